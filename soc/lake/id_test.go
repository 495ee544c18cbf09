package lake

import (
	"fmt"
	"slices"
	"testing"
	"time"

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
		if kept <= last {
			t.Errorf("%v comes before the one before it", id)
		}
		last = kept
	}
	for _, s := range []string{"", "e-1-2", "登录失败登录失败", "x\x01123456789012", string(make([]byte, 13))} {
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
