package lake

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/logstorage"

	"icewatch/soc/event"
)

func TestIDsAreKeptShort(t *testing.T) {
	t.Parallel()
	var last string
	for _, id := range []event.ID{{Epoch: "e", Sequence: 0, Index: 0}, {Epoch: "e", Sequence: 0, Index: 1}, {Epoch: "e", Sequence: 9, Index: 999}, {Epoch: "e", Sequence: 10, Index: 0},
		{Epoch: "e", Sequence: 1 << 40, Index: 1<<24 - 1}} {
		kept := string(appendID(nil, id))
		if got, ok := storedID(kept); !ok || got != id {
			t.Errorf("%v came back as %v", id, got)
		}
		old := string(appendOldID(nil, id))
		if got, ok := storedID(old); !ok || got != id {
			t.Errorf("%v came back as %v from the form of before, %q", id, got, old)
		}
		if kept <= last || old >= kept {
			t.Errorf("%v comes before the one before it", id)
		}
		last = kept
	}
	if got := string(appendOldID(nil, event.ID{Epoch: "e", Sequence: 65, Index: 2})); got != "e\x01\x80\x80\x80\x80\x80\x80\x81\x81\x80\x80\x80\x82" {
		t.Errorf("the form of before is %q", got)
	}
	for _, s := range []string{"", "e-1-2", "登录失败登录失败", "x\x01123456789012", "x\x02123456789012", "x\x02____________", string(make([]byte, 13))} {
		if id, ok := storedID(s); ok {
			t.Errorf("%q is taken for %v", s, id)
		}
	}
}

func TestIDsInQueries(t *testing.T) {
	t.Parallel()
	l := openLake(t, t.TempDir())
	defer l.Close()
	var puts []put
	for i := range uint32(12) {
		puts = append(puts, put{tenant: "a", account: 10, seq: uint64(i/4 + 9), index: i % 4, raw: fmt.Sprint("row ", i), ago: time.Hour})
	}
	fill(t, l, puts...)
	for query, want := range map[string][]string{
		`event.id:="e1-9-3"`:                                    {"e1-9-3"},
		`event.id:e1-10-0`:                                      {"e1-10-0"},
		`event.id:"e1-10-0" or event.id:=e1-9-1`:                {"e1-10-0", "e1-9-1"},
		`event.id:in("e1-9-0", e1-11-3, "e1-99-0", "no id")`:    {"e1-11-3", "e1-9-0"},
		`event.id:in(message:"row 5" | fields event.id)`:        {"e1-10-1"},
		`event.id:="e2-9-3"`:                                    nil,
		`"e1-11-1"`:                                             {"e1-11-1"},
		`!event.id:* or event.id:="x"`:                          nil,
		`!event.id:in(e1-9-0) icewatch.seq:=9 | fields message`: {"", "", ""},
		`* | sort by (event.id desc) limit 3 | fields event.id`: {"e1-11-3", "e1-11-2", "e1-11-1"},
		`* | stats by (event.id) count() n | sort by (event.id) limit 1 | copy event.id as event.id2 | fields event.id2, event.id`: {"e1-9-0"},
	} {
		var got []string
		for _, row := range rows(t, l, []uint32{10}, query, 100) {
			got = append(got, row["event.id"])
			if other, ok := row["event.id2"]; ok && other != row["event.id"] {
				t.Errorf("%s: a copy is %q", query, other)
			}
		}
		if !slices.Contains([]string{"* | sort by (event.id desc) limit 3 | fields event.id"}, query) {
			slices.Sort(got)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s finds %q, want %q", query, got, want)
		}
	}
	for _, query := range []string{"event.id:e1*", `event.id:~"e1.*"`, "event.id:>5"} {
		err := l.Rows(t.Context(), Query{Accounts: []uint32{10}, LogsQL: query, Start: time.Now().Add(-time.Hour), End: time.Now(), Limit: 1}, func([]byte) error { return nil })
		if err == nil {
			t.Errorf("%s is answered", query)
		}
	}
	values, err := l.Values(t.Context(), Query{Accounts: []uint32{10}, LogsQL: "*", Start: time.Now().Add(-2 * time.Hour), End: time.Now()}, "event.id", 100)
	if err != nil || len(values) != 12 || values[0].Value != "e1-10-0" {
		t.Errorf("values: %v, %v", values, err)
	}
}

// TestRowsOfBefore: rows with the forms of ids and references of before lie beside
// those of now, are found, shown and come in their order.
func TestRowsOfBefore(t *testing.T) {
	t.Parallel()
	l := openLake(t, t.TempDir())
	defer l.Close()
	at := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	lr := logstorage.GetLogRows(nil, nil, nil, nil, "")
	for seq := uint64(1); seq < 4; seq++ {
		id, form := event.ID{Epoch: "e1", Sequence: seq, Index: 70}, appendOldID
		raw := "{\"at\":\"\x06\x83T\xfe\",\x02\x86}"
		if seq == 3 {
			form, raw = appendID, "{\"at\":\"\x06\x03T\x7f}\",\x02\x06}" // 126 is 64 and 62
		}
		lr.MustAdd(logstorage.TenantID{AccountID: 10}, at.UnixNano(), []logstorage.Field{{Name: "event.created", Value: "2026-03-02T00:59:58.123Z"}, {Name: "event.dataset", Value: "d"},
			{Name: "event.id", Value: string(form(nil, id))}, {Name: "icewatch.raw", Value: raw}, {Name: "icewatch.seq", Value: fmt.Sprint(seq)},
			{Name: "icewatch.tenant", Value: "a"}, {Name: "message", Value: "m"}, {Name: "user.name", Value: "li"}}, []logstorage.Field{{Name: "event.dataset", Value: "d"}})
	}
	if err := l.class(Standard).store.Add([]*logstorage.LogRows{lr}); err != nil {
		t.Fatal(err)
	}
	l.Flush()
	want := `{"at":"` + at.UTC().Format("2006-01-02T15:04:05.000Z") + `","user.name":"li"}`
	for query, ids := range map[string][]string{
		`event.id:="e1-2-70"`:                {"e1-2-70"},
		`event.id:in("e1-1-70", "e1-3-70")`:  {"e1-1-70", "e1-3-70"},
		`* | sort by (_time, event.id)`:      {"e1-1-70", "e1-2-70", "e1-3-70"},
		`* | sort by (_time, event.id desc)`: {"e1-3-70", "e1-2-70", "e1-1-70"},
		`user.name:li event.id:!="e1-2-70"`:  {"e1-1-70", "e1-3-70"},
	} {
		var got []string
		for _, row := range rows(t, l, []uint32{10}, query, 100) {
			got = append(got, row["event.id"])
			if row["event.original"] != want {
				t.Errorf("%s: the raw text is %q; %q is right", query, row["event.original"], want)
			}
		}
		if !strings.Contains(query, "sort") {
			slices.Sort(got)
		}
		if !slices.Equal(got, ids) {
			t.Errorf("%s finds %q, want %q", query, got, ids)
		}
	}
}

// A row is found as soon as it is taken in, of a stream that is new as well.
func TestRowsOfANewStream(t *testing.T) {
	t.Parallel()
	l := openLake(t, t.TempDir())
	defer l.Close()
	for i := range 20 {
		fill(t, l, put{tenant: "a", account: uint32(100 + i), seq: uint64(i + 1), raw: "opening"})
		if got := rows(t, l, []uint32{uint32(100 + i)}, "opening", 10); len(got) != 1 || got[0]["event.original"] != "opening" || got[0]["_stream"] != "" {
			t.Fatalf("the first row of a stream: %v", got)
		}
	}
}
