package lake

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"icewatch/soc/event"
	"icewatch/soc/search"
)

func openLake(t testing.TB, dir string) *Lake {
	t.Helper()
	c := Class{Name: Standard, Retention: 30 * 24 * time.Hour}
	for driver, open := range drivers {
		if strings.HasPrefix(t.Name(), driver+"/") {
			c.Backend = open(t, dir)
		}
	}
	l, err := Open(Options{Dir: dir, Classes: []Class{c}, Memory: 256 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

type put struct {
	tenant  string
	account uint32
	seq     uint64
	index   uint32
	raw     string
	ago     time.Duration
	sender  string
}

func fill(t testing.TB, l *Lake, puts ...put) {
	t.Helper()
	w := l.NewWriter(event.NewRegistry(0))
	for _, p := range puts {
		ev := event.Event{ID: event.ID{Epoch: "e1", Sequence: p.seq, Index: p.index}, Time: time.Now().Add(-p.ago).UnixNano(),
			Created: time.Now().UnixNano(), Tenant: p.tenant, Raw: p.raw}
		ev.Set(event.EventDataset, "test.log")
		ev.Set(event.Message, p.raw)
		ev.Add(event.Tags, "a")
		ev.Add(event.Tags, `b"c`)
		if p.sender != "" {
			ev.Set(event.SenderID, p.sender)
		}
		if err := w.Add(&ev, Space{Account: p.account}, "host-1"); err != nil {
			t.Fatal(err)
		}
	}
	w.Flush()
	l.Flush()
}

func rows(t testing.TB, l *Lake, accounts []uint32, query string, limit int) []map[string]string {
	t.Helper()
	var got []map[string]string
	err := l.Rows(t.Context(), Query{Accounts: accounts, LogsQL: query, Start: time.Now().Add(-29 * 24 * time.Hour), End: time.Now().Add(time.Hour), Limit: limit}, func(b []byte) error {
		m := map[string]string{}
		if err := json.Unmarshal(b, &m); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		got = append(got, m)
		return nil
	})
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return got
}

func TestTenantsAreApartOnEveryReadPath(t *testing.T) {
	t.Parallel()
	l := openLake(t, t.TempDir())
	defer l.Close()
	fill(t, l, put{tenant: "a", account: 10, seq: 1, raw: "secret of a", sender: "s1"}, put{tenant: "b", account: 11, seq: 1, index: 1, raw: "secret of b"})
	for _, query := range []string{"*", "secret", "icewatch.tenant:a or *", "* | fields *", "icewatch.tenant:in(icewatch.tenant:a | fields icewatch.tenant) or *",
		"* | union (*)", "* | join by (event.dataset) (*)", "* | sort by (_time)"} {
		for _, row := range rows(t, l, []uint32{11}, query, 100) {
			for name, v := range row {
				if strings.Contains(v, "secret of a") || row["icewatch.tenant"] == "a" {
					t.Fatalf("%s: tenant b sees %s=%q of tenant a", query, name, v)
				}
			}
		}
	}
	if got := rows(t, l, nil, "*", 10); len(got) != 0 {
		t.Fatalf("no tenant in scope, yet %d rows", len(got))
	}
	if got := rows(t, l, []uint32{500, 11, 2, 10, 11}, "secret", 10); len(got) != 2 {
		t.Fatalf("accounts in no order: %d rows, want 2", len(got))
	}
	all := Query{Accounts: []uint32{11}, LogsQL: "*", Start: time.Now().Add(-time.Hour), End: time.Now().Add(time.Hour)}
	values, err := l.Values(t.Context(), all, "message", 10)
	if err != nil || len(values) != 1 || values[0].Value != "secret of b" {
		t.Fatalf("values: %v %v", values, err)
	}
	h, err := l.Histogram(t.Context(), all, 10)
	var sum uint64
	for _, b := range h.Buckets {
		sum += b.Count
	}
	if err != nil || sum != 1 || h.Total != 1 {
		t.Fatalf("histogram counts %d: %v", sum, err)
	}
	if _, err := l.Event(t.Context(), []uint32{11}, "", "e1-1-0"); !errors.Is(err, search.ErrNotFound) {
		t.Fatalf("another tenant's event by id: %v", err)
	}
	row, err := l.Event(t.Context(), []uint32{10}, "", "e1-1-0")
	if err != nil || !strings.Contains(string(row), `"tags":"[\"a\",\"b\\\"c\"]"`) || !strings.Contains(string(row), `"event.original":"secret of a"`) {
		t.Fatalf("own event by id: %s %v", row, err)
	}
	for _, query := range []string{"* | stream_context before 5", "x:(", "* | STREAM_CONTEXT after 3"} {
		err := l.Rows(t.Context(), Query{Accounts: []uint32{10}, LogsQL: query, Start: all.Start, End: all.End}, func([]byte) error { return nil })
		var qe *search.QueryError
		if !errors.As(err, &qe) {
			t.Errorf("%s: %v", query, err)
		}
	}
}

func TestNewestFirstOverALongRange(t *testing.T) {
	t.Parallel()
	l := openLake(t, t.TempDir())
	defer l.Close()
	var puts []put
	for i := range 50 {
		puts = append(puts, put{tenant: "a", account: 10, seq: uint64(i + 1), raw: fmt.Sprint("row ", i), ago: time.Duration(i*i) * 10 * time.Minute})
	}
	fill(t, l, puts...)
	for _, limit := range []int{1, 7, 50, 500} {
		got := rows(t, l, []uint32{10}, "row", limit)
		if len(got) != min(limit, 50) {
			t.Fatalf("limit %d: %d rows", limit, len(got))
		}
		for i, row := range got {
			if row["message"] != fmt.Sprint("row ", i) {
				t.Fatalf("limit %d: row %d is %q", limit, i, row["message"])
			}
		}
	}
	whole := Query{Accounts: []uint32{10}, LogsQL: "row | fields _time", Start: time.Now().Add(-29 * 24 * time.Hour), End: time.Now().Add(time.Hour)}
	if v, err := l.Values(t.Context(), whole, "message", 3); err != nil || len(v) != 3 || v[0].Hits != 1 {
		t.Fatalf("three of many values: %v %v", v, err)
	}
	if v, err := l.Values(t.Context(), whole, "event.dataset", 3); err != nil || len(v) != 1 || v[0] != (search.ValueHits{Value: "test.log", Hits: 50}) {
		t.Fatalf("one value: %v %v", v, err)
	}
	if v, err := l.Values(t.Context(), whole, "@timestamp", 3); err != nil || len(v) != 3 {
		t.Fatalf("times: %v %v", v, err)
	}
	if got := rows(t, l, []uint32{10}, "* | stats count() n", 5); len(got) != 1 || got[0]["n"] != "50" {
		t.Fatalf("stats: %v", got)
	}
	stop := errors.New("stop")
	n := 0
	err := l.Rows(t.Context(), Query{Accounts: []uint32{10}, Start: time.Unix(0, 0), End: time.Now(), Limit: 40}, func([]byte) error {
		if n++; n == 3 {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) || n != 3 {
		t.Fatalf("stopped after %d rows with %v", n, err)
	}
}

func TestStoredNamesWhatIsThereAfterAReopen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := openLake(t, dir)
	fill(t, l, put{tenant: "a", account: 10, seq: 4, index: 0, raw: "old"}, put{tenant: "a", account: 10, seq: 5, index: 2, raw: "x", ago: 20 * 24 * time.Hour},
		put{tenant: "b", account: 11, seq: 6, index: 1, raw: "y", sender: "id-9"})
	l.Close()
	l = openLake(t, dir)
	defer l.Close()
	got, err := l.Stored(t.Context(), "e1", 4, []uint32{10, 11})
	if err != nil {
		t.Fatal(err)
	}
	if !got[5].Has(2) || got[5].Has(1) || got[5].Has(900) || len(got) != 2 {
		t.Fatalf("stored after 4: %v", got)
	}
	if other, _ := l.Stored(t.Context(), "e2", 0, []uint32{10, 11}); len(other) != 0 {
		t.Fatalf("another epoch: %v", other)
	}
	n := 0
	err = l.SenderIDs(t.Context(), "e1", 1, []uint32{10, 11}, func(tenant, sender string, id event.ID) {
		n++
		if tenant != "b" || sender != "id-9" || id.Sequence != 6 {
			t.Errorf("%s %s %v", tenant, sender, id)
		}
	})
	if err != nil || n != 1 {
		t.Fatalf("%d sender ids: %v", n, err)
	}
}

func TestNothingIsDroppedSilently(t *testing.T) {
	t.Parallel()
	l := openLake(t, t.TempDir())
	defer l.Close()
	reg := event.NewRegistry(0)
	w := l.NewWriter(reg)
	f := func(name string, change func(*event.Event), want string) {
		t.Helper()
		ev := event.Event{ID: event.ID{Epoch: "e", Sequence: 1}, Time: time.Now().UnixNano(), Tenant: "a", Raw: name}
		change(&ev)
		err := w.Add(&ev, Space{Account: 10}, "")
		if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Fatalf("%s: %v", name, err)
		}
	}
	f("plain", func(*event.Event) {}, "")
	f("1970", func(ev *event.Event) { ev.Time = 0 }, "before the retention")
	f("2100", func(ev *event.Event) { ev.Time = 4102444800e9 }, "in the future")
	f("too large", func(ev *event.Event) { ev.Raw = strings.Repeat("x", 3<<20) }, "bytes")
	f("too many fields", func(ev *event.Event) {
		for i := range 2500 {
			id, _ := reg.Intern(fmt.Sprint("f", i))
			ev.Add(id, "v")
		}
	}, "fields")
	f("at the limit", func(ev *event.Event) { ev.Raw = strings.Repeat("y", MaxRowSize-1000) }, "")
	w.Flush()
	l.Flush()
	if got := rows(t, l, []uint32{10}, "* | stats count() n", 0); got[0]["n"] != "2" {
		t.Fatalf("two were taken, %s are stored", got[0]["n"])
	}
	if st := l.Stats(); st.Rows != 2 || st.Dropped != 0 {
		t.Fatalf("%+v", st)
	}
}

func BenchmarkAdd(b *testing.B) {
	l := openLake(b, b.TempDir())
	defer l.Close()
	w := l.NewWriter(event.NewRegistry(0))
	ev := event.Event{Tenant: "a", Raw: "<34>1 2026-01-01T00:00:00Z web-1 sshd 4242 - - Failed password for root from 203.0.113.7 port 4242 ssh2"}
	for id := event.FieldID(event.EventAction); id < event.EventAction+15; id++ {
		ev.Set(id, "value")
	}
	b.ReportAllocs()
	n := uint64(0)
	for b.Loop() {
		n++
		ev.ID = event.ID{Epoch: "e", Sequence: n}
		ev.Time = time.Now().UnixNano()
		if err := w.Add(&ev, Space{Account: 10}, "h"); err != nil {
			b.Fatal(err)
		}
	}
	w.Flush()
}

// BenchmarkConvert lays out an event whose values stand in its raw text.
func BenchmarkConvert(b *testing.B) {
	l := openLake(b, b.TempDir())
	defer l.Close()
	w := l.NewWriter(event.NewRegistry(0))
	at := time.Now().UTC()
	ev := event.Event{Tenant: "a", Time: at.UnixNano(), Created: at.UnixNano()}
	ev.Raw = `{"@timestamp":"` + at.Format("2006-01-02T15:04:05.000000000Z") + `"`
	var ends []int
	for i := range 20 {
		ev.Raw += fmt.Sprintf(`,"field_%d":"value %d`, (i*7)%20, i)
		ends = append(ends, len(ev.Raw))
		ev.Raw += `"`
	}
	ev.Raw += "}"
	for i, end := range ends {
		ev.Add(mustIntern(b, w.reg, fmt.Sprintf("field_%d", (i*7)%20)), ev.Raw[end-len(fmt.Sprintf("value %d", i)):end])
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := w.convert(&ev); err != nil {
			b.Fatal(err)
		}
	}
}

// TestEndsAreExact has a query end at a whole second.
func TestEndsAreExact(t *testing.T) {
	t.Parallel()
	l := openLake(t, t.TempDir())
	defer l.Close()
	w := l.NewWriter(event.NewRegistry(0))
	second := time.Now().Add(-time.Minute).Truncate(time.Second)
	for i, at := range []time.Time{second.Add(-1), second, second.Add(1), second.Add(500 * time.Millisecond), second.Add(time.Second)} {
		ev := event.Event{ID: event.ID{Epoch: "e1", Sequence: uint64(i + 1)}, Time: at.UnixNano(), Created: at.UnixNano(), Tenant: "a", Raw: fmt.Sprint("n", i)}
		ev.Set(event.EventDataset, "test.log")
		ev.Set(event.Message, ev.Raw)
		if err := w.Add(&ev, Space{Account: 1}, ""); err != nil {
			t.Fatal(err)
		}
	}
	w.Flush()
	l.Flush()
	for _, x := range []struct {
		end  time.Time
		want int
	}{{second.Add(-1), 1}, {second, 2}, {second.Add(1), 3}, {second.Add(499 * time.Millisecond), 3}, {second.Add(500 * time.Millisecond), 4}, {second.Add(time.Second), 5}} {
		for _, query := range []string{"*", "* | sort by (_time)", "* | filter event.dataset:*"} {
			n := 0
			err := l.Rows(t.Context(), Query{Accounts: []uint32{1}, LogsQL: query, Start: second.Add(-time.Hour), End: x.end, Limit: 10}, func([]byte) error {
				n++
				return nil
			})
			if err != nil || n != x.want {
				t.Errorf("%s until %s: %d rows, want %d (%v)", query, x.end.Format(time.RFC3339Nano), n, x.want, err)
			}
		}
	}
}
