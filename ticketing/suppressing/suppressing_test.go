package suppressing

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/detections/suppression"
	"icewatch/soc/reach"
	"icewatch/soc/state"
)

var start = time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC)

func open(t testing.TB, now *time.Time) *Store {
	t.Helper()
	db, err := state.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	s, err := Open(t.Context(), db, func() time.Time { return *now }, slog.New(slog.NewTextHandler(io.Discard, nil)), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func firing(n int, rule, user string) Firing {
	return Firing{Key: "k", Facts: reach.Facts{Tenant: "a"}, Asset: suppression.Asset{ID: "ci-1", Name: "web-1"},
		Occurrence: detections.Occurrence{ID: fmt.Sprint(n), Tenant: "a", Rule: detections.RuleRef{ID: rule}, Count: 1, EventIDs: []string{fmt.Sprint("e-", n)},
			Fields: map[string]string{"user.name": user, "host.name": "web-1", "process.command_line": "/usr/bin/borg create --stats repo::{now} /srv /home /etc", "source.ip": "10.1.2.3", "event.action": "execve", "icewatch.ci.id": "ci-1"}}}
}

func take(t testing.TB, s *Store, now time.Time, list ...Firing) {
	t.Helper()
	if err := s.db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error { return s.Taken(ctx, tx, list, now) }); err != nil {
		t.Fatal(err)
	}
}

func backups() suppression.Suppression {
	return suppression.Suppression{Name: "n", Owner: "o", Reason: "r", Rules: []string{"r1"}, Expires: start.AddDate(0, 6, 0),
		Detection: map[string]any{"s": map[string]any{"user.name": "backup"}, "condition": "s"}}
}

// TestWhatIsRemembered: 30 days, of the rule that is asked for, and of one that fires
// without end an estimate.
func TestWhatIsRemembered(t *testing.T) {
	t.Parallel()
	now := start
	s := open(t, &now)
	for d := range 40 {
		now = start.AddDate(0, 0, d)
		take(t, s, now, firing(d, "r1", "backup"), firing(d, "r1", "alice"), firing(d, "r2", "backup"))
	}
	p, err := s.Preview(t.Context(), backups(), reach.All())
	if err != nil {
		t.Fatal(err)
	}
	if p.Suppressed != 31 || p.Firings != 62 || len(p.Days) != 31 || p.Estimated || !p.From.Equal(now.AddDate(0, 0, -30)) {
		t.Errorf("after 40 days: %d of %d on %d days since %s", p.Suppressed, p.Firings, len(p.Days), p.From)
	}
	var kept int
	if err := s.db.NewRaw(`SELECT count(*) FROM suppressing_recall`).Scan(t.Context(), &kept); err != nil || kept > 31 {
		t.Errorf("%d rows are kept, %v", kept, err)
	}
	if p, _ = s.Preview(t.Context(), backups(), reach.Tenants("b")); p.Firings != 0 || len(p.Samples) != 0 {
		t.Errorf("another tenant sees %+v", p)
	}
	now = now.AddDate(0, 0, 31)
	var flood []Firing
	for n := range 10_300 {
		flood = append(flood, firing(n, "r1", "backup"))
	}
	take(t, s, now, flood...)
	if p, err = s.Preview(t.Context(), backups(), reach.All()); err != nil || !p.Estimated || p.Suppressed != 10_300 {
		t.Errorf("of a flood of 10300: %d, estimated %v, %v", p.Suppressed, p.Estimated, err)
	}
}

// TestALineIsReadAgain holds what is remembered of a firing to all that a suppression
// looks at.
func TestALineIsReadAgain(t *testing.T) {
	t.Parallel()
	f := firing(7, "r1", "back\"up\n\x01<&>\u2028 备份")
	f.By, f.Criticality, f.Weight = "s", 4, 20
	f.Asset = suppression.Asset{ID: "i", Name: "n", Class: "c", SystemID: "si", SystemName: "sn"}
	f.Facts = reach.Facts{Tenant: "a", Unit: "u", Region: "r", Industry: "in", Labels: []string{"x", "y"}}
	o := &f.Occurrence
	o.ID, o.Firings, o.Shared, o.Group = "", 3, []string{"user.name"}, []detections.Pair{{Field: "host.name", Value: "web-1"}}
	o.Rule.Level, o.Rule.Kind, o.Rule.Title = detections.High, "sigma", detections.Text{ZH: "题", EN: "title"}
	o.Judgement = detections.Judgement{Verdict: detections.Success, Phase: "delivery", Attacker: &detections.Party{IP: "1.2.3.4"}, Victim: &detections.Party{Item: "i"}, Direction: "inbound", Threat: "external", Attack: "sqli", Risk: detections.Risk{Class: "NAI", Subclass: "VAI", Type: "x"}}
	line, err := f.append(nil)
	if err != nil {
		t.Fatal(err)
	}
	var got Firing
	if err := json.Unmarshal(line, &got); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	if !reflect.DeepEqual(got, f) {
		t.Errorf("%+v\n%+v", got, f)
	}
}

// TestJoinedFiringsAreUnsure: every alert is of firings that it surely met, or of
// such as were joined, of which it may have met some.
func TestJoinedFiringsAreUnsure(t *testing.T) {
	t.Parallel()
	now := start
	s := open(t, &now)
	joined := func(n int, key string, shared ...string) Firing {
		f := firing(n, "r1", "backup")
		f.Key, f.Occurrence.Firings, f.Occurrence.Shared = key, 2, shared
		return f
	}
	alone := firing(1, "r1", "backup")
	alone.Key = "alone"
	take(t, s, now, alone, joined(2, "alone"), joined(3, "joined"), joined(4, "joined"), joined(5, "alike", "user.name"))
	p, err := s.Preview(t.Context(), backups(), reach.All())
	if err != nil {
		t.Fatal(err)
	}
	if p.Suppressed != 2 || p.Alerts != 2 || p.Unsure != 3 || p.UnsureIn != 1 {
		t.Errorf("%d firings of %d alerts, and perhaps %d of %d more; want 2, 2, 3, 1", p.Suppressed, p.Alerts, p.Unsure, p.UnsureIn)
	}
}

func TestNoticesComeOnceForEachEnd(t *testing.T) {
	t.Parallel()
	now := start
	s := open(t, &now)
	one := backups()
	one.Expires, one.Receiver = start.AddDate(0, 0, 10), "night-shift"
	made, err := s.Put(t.Context(), "li", []suppression.Suppression{one}, func(*Kept) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	told := func() (out []string) {
		t.Helper()
		list, err := s.Notices(t.Context(), 7*day)
		if err != nil {
			t.Fatal(err)
		}
		for i := range list {
			out = append(out, fmt.Sprint(list[i].Over))
			if err := s.Told(t.Context(), &list[i]); err != nil {
				t.Fatal(err)
			}
		}
		return out
	}
	for _, c := range []struct {
		days int
		want string
	}{{0, "[]"}, {3, "[false]"}, {4, "[]"}, {10, "[true]"}, {11, "[]"}} {
		now = start.AddDate(0, 0, c.days)
		if got := fmt.Sprint(told()); got != c.want {
			t.Errorf("after %d days %s, want %s", c.days, got, c.want)
		}
	}
	again := made[0].Suppression
	again.Expires = now.AddDate(0, 0, 5)
	if _, err := s.Put(t.Context(), "li", []suppression.Suppression{again}, func(*Kept) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(told()); got != "[false]" {
		t.Errorf("put off: %s", got)
	}
}

func BenchmarkTaken(b *testing.B) {
	now := start
	s := open(b, &now)
	batch := make([]Firing, 200)
	n := 0
	for b.Loop() {
		for i := range batch {
			n++
			batch[i] = firing(n, fmt.Sprint("r", i%20), "backup")
		}
		now = now.Add(time.Minute)
		take(b, s, now, batch...)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/firing")
	var size int64
	if err := s.db.NewRaw(`SELECT sum(length(doc)) FROM suppressing_recall`).Scan(b.Context(), &size); err == nil {
		b.ReportMetric(float64(size)/float64(n), "B/firing")
	}
}
