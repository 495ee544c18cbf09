package entity

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/soc/reach"
	"icewatch/soc/search"
	"icewatch/soc/state"
)

// row is an event of the lake of these tests: who is in it, whose and when.
type row struct {
	id, ip, tenant string
	at             time.Time
}

// lake answers the two kinds of questions that a watch asks, as the real one
// would: it knows them by their pipes.
type lake struct {
	rows []row
	asks int
}

func (l *lake) Query(_ context.Context, q search.Request, emit func([]byte) error) error {
	l.asks++
	filter, pipes, _ := strings.Cut(q.Query, " | ")
	type bucket struct {
		at     time.Time
		tenant string
	}
	counts := map[bucket][]row{}
	var hit []row
	for _, r := range l.rows {
		if !strings.Contains(filter, `"`+r.ip+`"`) || r.at.Before(q.Start) || !r.at.Before(q.End) || !q.Reach.CoversTenant(r.tenant) {
			continue
		}
		if i := strings.Index(filter, `"icewatch.tenant":=`); i >= 0 && !strings.HasPrefix(filter[i:], fmt.Sprintf(`"icewatch.tenant":=%q`, r.tenant)) {
			continue
		}
		hit = append(hit, r)
		b := bucket{r.at.Truncate(time.Minute), r.tenant}
		counts[b] = append(counts[b], r)
	}
	if strings.HasPrefix(pipes, "stats") {
		var keys []bucket
		for b := range counts {
			keys = append(keys, b)
		}
		slices.SortFunc(keys, func(a, b bucket) int { return a.at.Compare(b.at) })
		for _, b := range keys {
			list := counts[b]
			if err := emit(fmt.Appendf(nil, `{"_time":%q,"icewatch.tenant":%q,"n":"%d","first":%q,"last":%q}`, b.at.Format(time.RFC3339), b.tenant, len(list), list[0].at.Format(time.RFC3339Nano), list[len(list)-1].at.Format(time.RFC3339Nano))); err != nil {
				return err
			}
		}
		return nil
	}
	for i := len(hit) - 1; i >= 0 && i >= len(hit)-q.Limit; i-- {
		if err := emit(fmt.Appendf(nil, `{"event.id":%q,"source.ip":%q,"icewatch.tenant":%q}`, hit[i].id, hit[i].ip, hit[i].tenant)); err != nil {
			return err
		}
	}
	return nil
}

func openStore(t *testing.T) *Store {
	t.Helper()
	db, err := state.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	s, err := Open(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestJudgementsHaveAHistoryAndATenant(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	judge := func(j Judgement) Judgement {
		t.Helper()
		out, err := s.Judge(t.Context(), j)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	e := Entity{Type: IP, Value: "203.0.113.7"}
	judge(Judgement{Entity: e, Tenant: "a", Conclusion: "suspicious", By: "li"})
	judge(Judgement{Entity: e, Tenant: "b", Conclusion: "benign", By: "wang", Note: "their scanner"})
	last := judge(Judgement{Entity: Entity{Type: IP, Value: "::ffff:203.0.113.7"}, Tenant: "a", Conclusion: "attacker", Risk: "high", Tags: []string{"扫描", "扫描"}, Watched: true, By: "li"})
	if !last.InForce || !slices.Equal(last.Tags, []string{"扫描"}) || last.Entity != e {
		t.Errorf("kept %+v", last)
	}
	for _, c := range []struct {
		r    reach.Reach
		want []string
	}{{reach.All(), []string{"attacker a true", "benign b true", "suspicious a false"}}, {reach.Tenants("a"), []string{"attacker a true", "suspicious a false"}}, {reach.Tenants("c"), nil}, {reach.None(), nil}} {
		list, err := s.History(t.Context(), c.r, e)
		var got []string
		for _, j := range list {
			got = append(got, fmt.Sprintln(j.Conclusion, j.Tenant, j.InForce)[:len(fmt.Sprintln(j.Conclusion, j.Tenant, j.InForce))-1])
		}
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("the history is %q, %v; want %q", got, err, c.want)
		}
	}
	if list, err := s.InForce(t.Context(), reach.All(), true); err != nil || len(list) != 1 || list[0].Seq != last.Seq {
		t.Errorf("watched are %+v, %v", list, err)
	}
	yesterday := time.Now().Add(-24 * time.Hour)
	for _, bad := range []Judgement{
		{Entity: e, Conclusion: "evil"}, {Entity: e, Conclusion: "attacker", Risk: "huge"}, {Entity: e, Conclusion: "benign", Watched: true}, {Entity: e, Conclusion: "attacker", Watched: true, Until: &yesterday},
		{Entity: e, Conclusion: "attacker", Tags: []string{"a,b"}}, {Entity: Entity{Type: IP, Value: "x"}, Conclusion: "attacker"}, {Entity: e, Conclusion: "attacker", Note: strings.Repeat("x", maxNote+1)},
	} {
		if _, err := s.Judge(t.Context(), bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v is taken: %v", bad, err)
		}
	}
}

func TestSightingsRaiseAlertsOnce(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	now := time.Now().UTC().Truncate(time.Minute)
	s.now = func() time.Time { return now }
	at := func(d time.Duration) time.Time { return now.Add(d) }
	if _, err := s.Judge(t.Context(), Judgement{Entity: Entity{Type: IP, Value: "203.0.113.7"}, Tenant: "a", Conclusion: "attacker", Risk: "critical", Watched: true, By: "li"}); err != nil {
		t.Fatal(err)
	}
	l := &lake{rows: []row{
		{"before", "203.0.113.7", "a", at(-time.Hour)}, {"1", "203.0.113.7", "a", at(70 * time.Second)}, {"2", "203.0.113.7", "a", at(80 * time.Second)}, {"3", "203.0.113.7", "a", at(130 * time.Second)},
		{"other", "198.51.100.1", "a", at(70 * time.Second)}, {"foreign", "203.0.113.7", "b", at(70 * time.Second)},
	}}
	var raised []detections.Occurrence
	clock := at(4 * time.Minute)
	deps := WatchDeps{Search: l, Raise: func(_ context.Context, o detections.Occurrence) error { raised = append(raised, o); return nil }, Clock: func() time.Time { return clock }}
	w := NewWatch(s, deps)
	for range 3 {
		if err := w.Pass(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(raised) != 2 {
		t.Fatalf("raised %+v", raised)
	}
	o := raised[0]
	if o.Tenant != "a" || o.Count != 2 || !slices.Equal(o.EventIDs, []string{"1", "2"}) || o.Rule.Level != detections.Critical || o.Priority != "P1" || o.Fields["source.ip"] != "203.0.113.7" ||
		!o.From.Equal(at(70*time.Second)) || !o.Time.Equal(at(80*time.Second)) || o.Evidence[0].Field != "source.ip" || o.ID == raised[1].ID || raised[1].Count != 1 {
		t.Errorf("raised %+v", o)
	}
	// One that comes late is found; what a restart finds again has the same id.
	l.rows = append(l.rows, row{"late", "203.0.113.7", "a", at(10 * time.Second)})
	clock = at(5 * time.Minute)
	if err := w.Pass(t.Context()); err != nil || len(raised) != 3 || raised[2].EventIDs[0] != "late" {
		t.Errorf("after a late event: %v, %+v", err, raised[2:])
	}
	clock = at(6 * time.Minute)
	if err := NewWatch(s, deps).Pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(raised) == 3 {
		t.Error("a restart looks back at nothing")
	}
	for _, again := range raised[3:] {
		if !slices.ContainsFunc(raised[:3], func(o detections.Occurrence) bool { return o.ID == again.ID }) {
			t.Errorf("a restart raised another: %+v", again)
		}
	}
	list, err := s.InForce(t.Context(), reach.All(), true)
	if err != nil || len(list) != 1 || list[0].Sightings != 4 || list[0].LastSeen == nil || !list[0].LastSeen.Equal(at(130*time.Second)) {
		t.Errorf("the list of what is watched says %+v, %v", list, err)
	}
	// Withdrawn, it is looked for no more.
	if _, err := s.Judge(t.Context(), Judgement{Entity: Entity{Type: IP, Value: "203.0.113.7"}, Tenant: "a", Conclusion: "withdrawn", By: "li"}); err != nil {
		t.Fatal(err)
	}
	asks := l.asks
	if clock = at(9 * time.Minute); w.Pass(t.Context()) != nil || l.asks != asks {
		t.Error("what was withdrawn is looked for")
	}
}

func TestConfirmedAttackersAreWatched(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	closed := time.Now().Add(-time.Hour).UTC().Truncate(time.Millisecond)
	list := []Confirmed{
		{Tenant: "a", Attacker: detections.Party{IP: "203.0.113.7"}, Alert: "alr-1", Severity: detections.High, ClosedAt: closed},
		{Tenant: "a", Attacker: detections.Party{IP: "10.1.0.5", Item: "web"}, Alert: "alr-2", Severity: detections.High, ClosedAt: closed},
		{Tenant: "b", Attacker: detections.Party{IP: "203.0.113.8"}, Alert: "alr-3", Severity: detections.Informational, ClosedAt: closed.Add(time.Second)},
	}
	if _, err := s.Judge(t.Context(), Judgement{Entity: Entity{Type: IP, Value: "203.0.113.8"}, Tenant: "b", Conclusion: "benign", By: "li"}); err != nil {
		t.Fatal(err)
	}
	w := NewWatch(s, WatchDeps{Search: &lake{}, Confirmed: func(_ context.Context, since time.Time, _ int) (out []Confirmed, _ error) {
		for _, c := range list {
			if c.ClosedAt.After(since) {
				out = append(out, c)
			}
		}
		return out, nil
	}})
	for range 2 {
		if err := w.Form(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.InForce(t.Context(), reach.All(), false)
	if err != nil || len(got) != 2 || got[0].Value != "203.0.113.7" || got[0].Conclusion != "attacker" || got[0].Risk != "high" || !got[0].Watched || got[0].Until == nil || got[0].By != System || got[0].Alert != "alr-1" || got[1].Conclusion != "benign" {
		t.Errorf("formed %+v, %v", got, err)
	}
}
