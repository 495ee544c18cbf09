package engine

import (
	"crypto/rand"
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"

	"icewatch/soc/intake"
)

// Used is what a tenant brought on one day.
type Used struct {
	Events uint64 `json:"events"`
	Bytes  uint64 `json:"bytes"` // of raw text
	// Of these, what came without a tenant, whose owner was found by address
	// or name: the intake could not count it.
	LateEvents uint64 `json:"late_events,omitempty"`
	LateBytes  uint64 `json:"late_bytes,omitempty"`
}

// Usage is what all tenants brought, by day and slug. A day is that of the
// reception in the machine's time zone, such as 2026-11-25.
type Usage struct {
	// Count tells one count from another: figures of the same count grow, those
	// of another are to be added.
	Count string                      `json:"count"`
	Days  map[string]map[string]*Used `json:"days"`
}

// meterDays is how many days the meter remembers. The centre takes the figures
// over within seconds; the days are for an engine that catches up.
const meterDays = 14

// meter counts what each tenant brings. It is saved together with the state of
// detection and counts what detection sees: so each event counts once, however
// often the engine dies and reads the bus again.
type meter struct {
	zone *time.Location

	mu       sync.Mutex
	usage    Usage
	kept     bool             // the count was saved once; until then it could begin anew
	from, to int64            // the day that the last record came on, in Unix nanoseconds
	today    map[string]*Used // of that day
}

func newMeter() *meter {
	return &meter{zone: time.Local, usage: Usage{Count: rand.Text(), Days: map[string]map[string]*Used{}}}
}

// count adds one event that was stored for the tenant.
func (m *meter) count(tenant string, rec *intake.Record) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if rec.Received < m.from || rec.Received >= m.to {
		m.turn(time.Unix(0, rec.Received).In(m.zone))
	}
	u := m.today[tenant]
	if u == nil {
		u = &Used{}
		m.today[clone(tenant)] = u
	}
	u.Events++
	u.Bytes += uint64(len(rec.Data))
	if rec.Tenant == "" {
		u.LateEvents++
		u.LateBytes += uint64(len(rec.Data))
	}
}

// turn makes the day of t the one that is counted.
func (m *meter) turn(t time.Time) {
	begin := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, m.zone)
	m.from, m.to = begin.UnixNano(), begin.AddDate(0, 0, 1).UnixNano()
	day := begin.Format(time.DateOnly)
	if m.usage.Days[day] == nil {
		m.usage.Days[day] = map[string]*Used{}
		known := slices.Sorted(maps.Keys(m.usage.Days))
		for _, old := range known[:max(0, len(known)-meterDays)] {
			if old != day {
				delete(m.usage.Days, old)
			}
		}
	}
	m.today = m.usage.Days[day]
}

// saved notes that the count was saved.
func (m *meter) saved() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept = true
}

// told is what others may know: nothing before the count was saved, since a
// crash would begin another, and the same events would count in both.
func (m *meter) told() Usage {
	m.mu.Lock()
	kept := m.kept
	m.mu.Unlock()
	if !kept {
		return Usage{}
	}
	return m.read()
}

// read returns a copy of the figures.
func (m *meter) read() Usage {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := Usage{Count: m.usage.Count, Days: make(map[string]map[string]*Used, len(m.usage.Days))}
	for day, tenants := range m.usage.Days {
		copied := make(map[string]*Used, len(tenants))
		for slug, u := range tenants {
			v := *u
			copied[slug] = &v
		}
		out.Days[day] = copied
	}
	return out
}

// snapshot is the meter as it is saved.
func (m *meter) snapshot() json.RawMessage {
	b, _ := json.Marshal(m.read()) // numbers and texts always encode
	return b
}

// restore goes on with a saved count; without one a new count has begun.
func (m *meter) restore(saved json.RawMessage) error {
	if len(saved) == 0 {
		return nil
	}
	var u Usage
	if err := json.Unmarshal(saved, &u); err != nil {
		return err
	}
	if u.Days == nil {
		u.Days = map[string]map[string]*Used{}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.usage, m.kept, m.from, m.to, m.today = u, true, 0, 0, nil
	return nil
}
