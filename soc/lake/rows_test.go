package lake

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"icewatch/soc/event"
	"icewatch/soc/search"
)

// TestRowsOfAllSizes stores the widest and the largest rows there may be, and
// Chinese text, and asks for them in every way.
func TestRowsOfAllSizes(t *testing.T) {
	t.Parallel()
	l := openLake(t, t.TempDir())
	defer l.Close()
	reg := event.NewRegistry(0)
	w := l.NewWriter(reg)
	now := time.Now()
	id := func(i int) event.ID { return event.ID{Epoch: "e", Sequence: uint64(i + 1)} }
	add := func(i int, raw string, change func(*event.Event)) {
		t.Helper()
		ev := event.Event{ID: id(i), Time: now.Add(time.Duration(i-10) * time.Minute).UnixNano(), Created: now.UnixNano(), Tenant: "a", Raw: raw}
		ev.Set(event.EventDataset, fmt.Sprint("set.", i%2))
		change(&ev)
		if err := w.Add(&ev, Space{Account: 10}, ""); err != nil {
			t.Fatal(err)
		}
	}
	const wide = MaxFields - 20
	add(0, "wide", func(ev *event.Event) {
		for i := range wide {
			ev.Set(mustIntern(t, reg, fmt.Sprint("wide.f", i)), fmt.Sprint("v", i))
		}
	})
	large := strings.Repeat("大", MaxRowSize/3-1000)
	add(1, large, func(*event.Event) {})
	add(2, "用户登录失败：来源 10.0.0.1", func(ev *event.Event) { ev.Set(mustIntern(t, reg, "user.name"), "张三") })
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	l.Flush()

	all := Query{Accounts: []uint32{10}, LogsQL: "*", Start: now.Add(-time.Hour), End: now, Limit: 10}
	event := func(i int) map[string]string {
		t.Helper()
		b, err := l.Event(t.Context(), []uint32{10}, "", id(i).String())
		if err != nil {
			t.Fatalf("event %d: %v", i, err)
		}
		m := map[string]string{}
		if err := json.Unmarshal(b, &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	if row := event(0); row["wide.f0"] != "v0" || row[fmt.Sprint("wide.f", wide-1)] != fmt.Sprint("v", wide-1) {
		t.Errorf("the wide row has %d fields", len(row))
	}
	if row := event(1); row["event.original"] != large {
		t.Errorf("the large row has %d bytes, want %d", len(row["event.original"]), len(large))
	}
	if row := event(2); row["user.name"] != "张三" {
		t.Errorf("the Chinese row: %v", row)
	}
	if _, err := l.Event(t.Context(), []uint32{11}, "", id(2).String()); err == nil {
		t.Error("another tenant's event is found")
	}
	if got := rows(t, l, []uint32{10}, `user.name:="张三"`, 10); len(got) != 1 {
		t.Errorf("%d rows of 张三", len(got))
	}
	h, err := l.Histogram(t.Context(), all, 10)
	if err != nil || h.Total != 3 {
		t.Errorf("histogram: %+v %v", h, err)
	}
	fields, err := l.Fields(t.Context(), all, 5000)
	if err != nil || len(fields) < wide {
		t.Errorf("%d fields: %v", len(fields), err)
	}
	values, err := l.Values(t.Context(), all, "event.dataset", 10)
	if want := []search.ValueHits{{Value: "set.0", Hits: 2}, {Value: "set.1", Hits: 1}}; err != nil || fmt.Sprint(values) != fmt.Sprint(want) {
		t.Errorf("values: %v %v, want %v", values, err, want)
	}
	if st := l.Stats(); st.Rows != 3 || st.Dropped != 0 {
		t.Errorf("%+v", st)
	}
}

// TestKindsOfEventsTakeTurns stores events of kinds that differ in the order of
// their fields, or in one of them, in turn: each keeps its own.
func TestKindsOfEventsTakeTurns(t *testing.T) {
	t.Parallel()
	l := openLake(t, t.TempDir())
	defer l.Close()
	reg := event.NewRegistry(0)
	w := l.NewWriter(reg)
	now := time.Now()
	a, b, c := mustIntern(t, reg, "kind.a"), mustIntern(t, reg, "kind.b"), mustIntern(t, reg, "kind.c")
	kinds := [][]event.FieldID{{a, b}, {b, a}, {a, c}, {a, b, b}, {c, a}}
	const rounds = 3
	id := func(round, kind int) event.ID {
		return event.ID{Epoch: "e", Sequence: uint64(round + 1), Index: uint32(kind)}
	}
	for round := range rounds {
		for k, ids := range kinds {
			ev := event.Event{ID: id(round, k), Time: now.UnixNano(), Created: now.UnixNano(), Tenant: "a", Raw: fmt.Sprint("raw ", round, k)}
			for place, f := range ids {
				ev.Fields = append(ev.Fields, event.Field{ID: f, Value: fmt.Sprint(reg.Name(f), round, k, place)})
			}
			if err := w.Add(&ev, Space{Account: 10}, "kinds"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	l.Flush()
	for round := range rounds {
		for k, ids := range kinds {
			text, err := l.Event(t.Context(), []uint32{10}, "", id(round, k).String())
			if err != nil {
				t.Fatalf("round %d, kind %d: %v", round, k, err)
			}
			row := map[string]string{}
			if err := json.Unmarshal(text, &row); err != nil {
				t.Fatal(err)
			}
			want := map[string]string{}
			for place, f := range ids {
				value := fmt.Sprint(reg.Name(f), round, k, place)
				if before, ok := want[reg.Name(f)]; ok {
					value = fmt.Sprintf("[%q,%q]", before, value)
				}
				want[reg.Name(f)] = value
			}
			for _, f := range []event.FieldID{a, b, c} {
				if name := reg.Name(f); row[name] != want[name] {
					t.Errorf("round %d, kind %d: %s is %q, want %q", round, k, name, row[name], want[name])
				}
			}
		}
	}
}
