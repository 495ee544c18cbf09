package engine

import (
	"fmt"
	"testing"
	"time"

	"icewatch/soc/intake"
)

func TestMeter(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("city", 8*3600)
	m := newMeter()
	m.zone = zone
	midnight := time.Date(2026, 11, 26, 0, 0, 0, 0, zone)
	add := func(m *meter, tenant string, own bool, at time.Time, data string) {
		rec := intake.Record{Received: at.UnixNano(), Data: []byte(data)}
		if own {
			rec.Tenant = tenant
		}
		m.count(tenant, &rec)
	}
	add(m, "tax", true, midnight.Add(-time.Nanosecond), "1234")
	add(m, "tax", true, midnight, "12345")
	add(m, "tax", false, midnight.Add(24*time.Hour-1), "1")
	add(m, "tax", true, midnight.Add(-time.Hour), "12") // an older batch comes late
	u := m.read()
	if got := *u.Days["2026-11-25"]["tax"]; got != (Used{Events: 2, Bytes: 6}) {
		t.Errorf("the day before: %+v", got)
	}
	if got := *u.Days["2026-11-26"]["tax"]; got != (Used{Events: 2, Bytes: 6, LateEvents: 1, LateBytes: 1}) {
		t.Errorf("the day: %+v", got)
	}

	if m.told().Count != "" {
		t.Error("a count is told that a crash would begin anew")
	}
	m.saved()
	if m.told().Count != u.Count {
		t.Error("the saved count is not told")
	}
	again := newMeter()
	again.zone = zone
	if err := again.restore(m.snapshot()); err != nil {
		t.Fatal(err)
	}
	add(again, "tax", true, midnight, "1")
	if got := again.read(); got.Count != u.Count || got.Days["2026-11-26"]["tax"].Events != 3 || u.Days["2026-11-26"]["tax"].Events != 2 {
		t.Errorf("after the restart: %+v", got.Days["2026-11-26"]["tax"])
	}
	if err := again.restore([]byte("{")); err == nil {
		t.Error("a damaged count is taken")
	}

	for i := range 2 * meterDays {
		add(again, "tax", true, midnight.AddDate(0, 0, i), fmt.Sprint(i))
	}
	if n := len(again.read().Days); n != meterDays {
		t.Errorf("%d days are remembered, want %d", n, meterDays)
	}
}

func BenchmarkMeter(b *testing.B) {
	m := newMeter()
	rec := intake.Record{Tenant: "tax", Received: time.Now().UnixNano(), Data: make([]byte, 200)}
	for b.Loop() {
		m.count("tax", &rec)
	}
}
