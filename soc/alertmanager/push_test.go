package alertmanager

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/detections/policy"
	"icewatch/soc/reach"
	"icewatch/soc/seal"
	"icewatch/soc/state"
	"icewatch/ticketing"
	"icewatch/ticketing/outbox"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func TestComplete(t *testing.T) {
	long := strings.Repeat("x", maxValue+1)
	for name, tc := range map[string]struct {
		in         sentAlert
		start, end time.Duration // from noon
		wrong      string
	}{
		"nothing said":    {in: sentAlert{Labels: map[string]string{"a": "b"}}, end: 5 * time.Minute},
		"only an end":     {in: sentAlert{Labels: map[string]string{"a": "b"}, EndsAt: noon.Add(-time.Hour)}, start: -time.Hour, end: -time.Hour},
		"all said":        {in: sentAlert{Labels: map[string]string{"a": "b"}, StartsAt: noon.Add(-time.Hour), EndsAt: noon.Add(time.Hour)}, start: -time.Hour, end: time.Hour},
		"UTF-8 names":     {in: sentAlert{Labels: map[string]string{"主机 名": "b"}}, end: 5 * time.Minute},
		"empty labels":    {in: sentAlert{Labels: map[string]string{"a": ""}}, wrong: "at least one label"},
		"ends too soon":   {in: sentAlert{Labels: map[string]string{"a": "b"}, StartsAt: noon, EndsAt: noon.Add(-1)}, wrong: "start time must be before end time"},
		"far ahead":       {in: sentAlert{Labels: map[string]string{"a": "b"}, StartsAt: noon.Add(2 * time.Hour), EndsAt: noon.Add(3 * time.Hour)}, wrong: "in the future"},
		"no UTF-8":        {in: sentAlert{Labels: map[string]string{"a": "\xff"}}, wrong: "UTF-8"},
		"no name":         {in: sentAlert{Labels: map[string]string{"": "x"}}, wrong: "invalid name"},
		"long value":      {in: sentAlert{Labels: map[string]string{"a": long}}, wrong: "at most"},
		"long annotation": {in: sentAlert{Labels: map[string]string{"a": "b"}, Annotations: map[string]string{"s": strings.Repeat("x", maxNotes)}}, wrong: "annotations"},
	} {
		err := tc.in.complete(noon)
		switch {
		case tc.wrong != "":
			if err == nil || !strings.Contains(err.Error(), tc.wrong) {
				t.Errorf("%s: %v", name, err)
			}
		case err != nil || !tc.in.StartsAt.Equal(noon.Add(tc.start)) || !tc.in.EndsAt.Equal(noon.Add(tc.end)):
			t.Errorf("%s: %v, from %s to %s", name, err, tc.in.StartsAt, tc.in.EndsAt)
		}
	}
}

func TestFieldsOf(t *testing.T) {
	for _, tc := range []struct {
		labels     map[string]string
		host, addr string
	}{
		{map[string]string{"instance": "10.1.2.3:9100"}, "", "10.1.2.3"},
		{map[string]string{"instance": "[2001:db8::1]:9100"}, "", "2001:db8::1"},
		{map[string]string{"instance": "2001:db8::1"}, "", "2001:db8::1"},
		{map[string]string{"instance": "web-01:9100"}, "web-01", ""},
		{map[string]string{"instance": "10.1.2.3:9100", "host": "web-01"}, "web-01", "10.1.2.3"},
		{map[string]string{"instance": "exporter:9115", "hostname": "web-01"}, "web-01", ""},
		{map[string]string{"job": "x"}, "", ""},
	} {
		f := fieldsOf(tc.labels)
		if f[fieldHost] != tc.host || f[fieldAddress] != tc.addr {
			t.Errorf("%v: host %q, address %q", tc.labels, f[fieldHost], f[fieldAddress])
		}
	}
}

// anyOpens is a policy by which every alert of level critical opens an incident.
type anyOpens struct{}

func (anyOpens) Incident(_ context.Context, in policy.IncidentInput) (policy.Decision, error) {
	return policy.Decision{Open: in.Alert.Rule.Level == detections.Critical, Join: true}, nil
}

// fixture is the room with a ticketing of its own and a clock that the test
// moves.
type fixture struct {
	*Service
	t   *testing.T
	now time.Time
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	db, err := state.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	f := &fixture{t: t, now: noon}
	clock := func() time.Time { return f.now }
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	tickets, err := ticketing.Open(t.Context(), db, ticketing.Deps{Policy: anyOpens{}, Seal: seal.Ephemeral(outbox.Sealed()...), Clock: clock, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	place := func(tenant string, fields map[string]string) string {
		if fields[fieldHost] == "web-01" {
			maps.Copy(fields, map[string]string{"icewatch.ci.id": "ci-1", "icewatch.ci.name": "Web 1", "icewatch.ci.system.id": "s", "icewatch.ci.system.name": "Portal"})
			if tenant == "" {
				return "police"
			}
		}
		if tenant == "" {
			return "unassigned"
		}
		return tenant
	}
	if f.Service, err = New(t.Context(), db, Deps{Tickets: tickets, Place: place, Clock: clock, Log: log}); err != nil {
		t.Fatal(err)
	}
	return f
}

// send takes alerts in as postAlerts does.
func (f *fixture) send(tenant string, list ...sentAlert) {
	f.t.Helper()
	for i := range list {
		if err := list[i].complete(f.now); err != nil {
			f.t.Fatal(err)
		}
	}
	if _, err := f.take(f.t.Context(), tenant, list, f.now); err != nil {
		f.t.Fatal(err)
	}
	f.tell(f.t.Context())
}

// alerts lists ticketing's alerts, as status and resolution, oldest first.
func (f *fixture) alerts() (words string, list []ticketing.Alert) {
	f.t.Helper()
	list, _, _, err := f.Tickets.Alerts(f.t.Context(), ticketing.AlertQuery{Reach: reach.All(), Page: ticketing.Page{Sort: "created_at"}})
	if err != nil {
		f.t.Fatal(err)
	}
	var parts []string
	for _, a := range list {
		parts = append(parts, strings.TrimSpace(string(a.Status)+" "+a.Resolution))
	}
	return strings.Join(parts, ", "), list
}

func (f *fixture) want(words string) []ticketing.Alert {
	f.t.Helper()
	got, list := f.alerts()
	if got != words {
		f.t.Fatalf("at %s: alerts are %q, want %q", f.now.Format("15:04:05"), got, words)
	}
	return list
}

// TestSentAlerts: an alert lasts as long as its sender says, once however often
// it is sent.
func TestSentAlerts(t *testing.T) {
	f := newFixture(t)
	disk := func() sentAlert {
		return sentAlert{Labels: map[string]string{"alertname": "DiskFull", "instance": "web-01:9100", "severity": "critical", "tenant": "theirs"},
			Annotations: map[string]string{"summary": "Disk is full"}, StartsAt: noon.Add(-time.Minute), GeneratorURL: "http://prometheus/graph"}
	}
	f.send("", disk())
	a := f.want("open")[0]
	if a.Tenant != "police" || a.CI == nil || a.CI.ID != "ci-1" || a.System == nil || a.IncidentID == "" || a.Severity != detections.Critical || a.Title.EN != "Disk is full" {
		t.Errorf("%+v", a)
	}
	if want := map[string]string{"alertname": "DiskFull", "instance": "web-01:9100", "severity": "critical", "exported_tenant": "theirs", "tenant": "police", "ci": "Web 1", "system": "Portal"}; !maps.Equal(a.Labels, want) {
		t.Errorf("labels %v", a.Labels)
	}
	for range 5 {
		f.now = f.now.Add(4 * time.Minute)
		again := disk()
		again.Annotations["summary"] = "Disk is fuller"
		f.send("", again)
	}
	if a = f.want("open")[0]; a.Count != 1 {
		t.Errorf("counted %d times", a.Count)
	}
	rows, err := f.sent(t.Context(), []ticketing.Routed{{Alert: a}})
	if err != nil {
		t.Fatal(err)
	}
	shown := f.show(&a, rows)
	if shown.Annotations["summary"] != "Disk is fuller" || !shown.StartsAt.Equal(noon.Add(-time.Minute)) || !shown.EndsAt.Equal(f.now.Add(refreshed)) || shown.GeneratorURL != "http://prometheus/graph" {
		t.Errorf("%+v", shown)
	}
	over := disk()
	over.EndsAt = f.now
	f.send("", over)
	f.want("closed recovered")
	f.send("", over) // it says so for a while
	f.want("closed recovered")
	f.now = f.now.Add(time.Minute)
	f.send("", disk())
	f.want("closed recovered, open")
	// Its sender falls silent.
	f.now = f.now.Add(refreshed - time.Second)
	f.tell(t.Context())
	f.want("closed recovered, open")
	f.now = f.now.Add(time.Second)
	f.tell(t.Context())
	f.want("closed recovered, closed recovered")
	// Ended and begun again between two looks.
	f.send("", disk())
	f.now = f.now.Add(time.Hour)
	f.send("", disk())
	f.want("closed recovered, closed recovered, closed recovered, open")
	f.send("", sentAlert{Labels: map[string]string{"alertname": "never heard of"}, EndsAt: f.now.Add(-time.Minute)})
	f.want("closed recovered, closed recovered, closed recovered, open")
	// The same labels of another tenant are another alert.
	f.now = f.now.Add(time.Second)
	f.send("fire", disk())
	f.want("closed recovered, closed recovered, closed recovered, open, open")
	over.EndsAt = f.now
	f.send("fire", over)
	f.want("closed recovered, closed recovered, closed recovered, open, closed recovered")
}

// TestSentAcrossAStart: an alert whose time ran out while the suite was away is
// not over until its sender had as long to say it again as it gives itself; one
// that its sender ended is.
func TestSentAcrossAStart(t *testing.T) {
	f := newFixture(t)
	sent := func(name string, lasts time.Duration) sentAlert {
		return sentAlert{Labels: map[string]string{"alertname": name}, StartsAt: noon.Add(-time.Minute), EndsAt: f.now.Add(lasts)}
	}
	f.send("", sent("a", 4*time.Second), sent("b", 4*time.Second), sent("c", 4*time.Second), sent("long", time.Hour))
	f.send("", sent("c", 0)) // its last word
	f.now = f.now.Add(time.Minute)
	started := f.now
	var err error
	if f.Service, err = New(t.Context(), f.db, f.Deps); err != nil {
		t.Fatal(err)
	}
	want := func(open ...string) {
		t.Helper()
		f.tell(t.Context())
		_, list := f.alerts()
		var got []string
		for _, a := range list {
			if a.Status == ticketing.StatusOpen {
				got = append(got, a.Labels["alertname"])
			}
		}
		slices.Sort(got)
		if len(list) != 4 || !slices.Equal(got, open) {
			t.Fatalf("%v after the start, %v of %d alerts are open; want %v of 4", f.now.Sub(started), got, len(list), open)
		}
	}
	want("a", "b", "long")
	f.now = f.now.Add(3999 * time.Millisecond)
	f.send("", sent("a", 4*time.Second))
	want("a", "b", "long")
	f.now = f.now.Add(time.Millisecond)
	want("a", "long")
	f.now = f.now.Add(4 * time.Second)
	want("long")
	f.now = noon.Add(time.Hour - 1)
	want("long")
	// Gone for its very end, it lasts five minutes more, not an hour.
	started = f.now
	if f.Service, err = New(t.Context(), f.db, f.Deps); err != nil {
		t.Fatal(err)
	}
	f.now = f.now.Add(refreshed - time.Second)
	want("long")
	f.now = f.now.Add(time.Second)
	want()
}

// TestSentTogether: more than fits into one statement, twice in one request
// too, and what ended before ticketing heard of it stands on record.
func TestSentTogether(t *testing.T) {
	f := newFixture(t)
	var list []sentAlert
	for i := range 3*perStatement + 7 {
		list = append(list, sentAlert{Labels: map[string]string{"alertname": "X", "n": fmt.Sprint(i)}})
	}
	list = append(list, sentAlert{Labels: map[string]string{"alertname": "X", "n": "0"}, EndsAt: noon.Add(-time.Second), StartsAt: noon.Add(-time.Minute)})
	f.send("", list...)
	_, total, _, err := f.Tickets.Alerts(t.Context(), ticketing.AlertQuery{Reach: reach.All()})
	if err != nil || total != 3*perStatement+7 {
		t.Fatalf("%d alerts, %v", total, err)
	}
	_, closed, _, err := f.Tickets.Alerts(t.Context(), ticketing.AlertQuery{Reach: reach.All(), Statuses: []string{"closed"}})
	if err != nil || closed != 1 {
		t.Errorf("%d are closed, %v", closed, err)
	}
}

// TestSentAtOnce: requests at a time that bring the same alerts and others: each
// alert is there once, has fired once and is known by ticketing.
func TestSentAtOnce(t *testing.T) {
	f := newFixture(t)
	var senders sync.WaitGroup
	for n := range 6 {
		senders.Go(func() {
			for round := range 4 {
				var list []sentAlert
				for i := range 25 {
					a := sentAlert{Labels: map[string]string{"alertname": fmt.Sprint("A", (n*10+round*5+i)%50)}}
					if err := a.complete(f.now); err != nil {
						t.Error(err)
					}
					list = append(list, a)
				}
				if _, err := f.take(t.Context(), "fire", list, f.now); err != nil {
					t.Error(err)
				}
			}
		})
	}
	senders.Wait()
	list := f.want(strings.TrimSuffix(strings.Repeat("open, ", 50), ", "))
	for _, a := range list {
		if a.Occurrences != 1 {
			t.Errorf("%s fired %d times", a.Labels["alertname"], a.Occurrences)
		}
	}
	if left, err := f.db.NewSelect().Model((*row)(nil)).Where("told <> 1 OR firing <> 1 OR over <> 0").Count(t.Context()); err != nil || left > 0 || len(f.hand.writing) > 0 {
		t.Errorf("%d rows are not told of, %d are being written: %v", left, len(f.hand.writing), err)
	}
}

func TestFollow(t *testing.T) {
	const now = 1000
	fires := row{StartsAt: 100, EndsAt: 2000, Firing: 3, Told: 3, Over: 2, Since: 150}
	ended := row{StartsAt: 100, EndsAt: 900, Firing: 3, Told: 3, Over: 2, Since: 150}
	over := row{StartsAt: 100, EndsAt: 900, Firing: 3, Told: 3, Over: 3, Since: 150}
	sent := func(start, end int64) row { return row{StartsAt: start, EndsAt: end, Since: now, Firing: 1} }
	for _, tc := range []struct {
		name        string
		have        *row
		sent        row
		start, end  int64 // 0: it stays as it is
		firing, was int64 // was: since
	}{
		{"new", nil, sent(500, 1500), 500, 1500, 1, now},
		{"over, unknown", nil, sent(500, 900), 0, 0, 0, 0},
		{"goes on", &fires, sent(500, 2500), 100, 2500, 3, 150},
		{"is over", &fires, sent(100, 990), 100, 990, 3, 150},
		{"over once more", &ended, sent(100, 990), 0, 0, 0, 0},
		{"again before anybody noticed", &ended, sent(950, 1500), 950, 1500, 4, now},
		{"again", &over, sent(950, 1500), 950, 1500, 4, now},
	} {
		got := follow(tc.have, tc.sent, now, 0)
		switch {
		case tc.end == 0:
			if got != nil {
				t.Errorf("%s: %+v", tc.name, got)
			}
		case got == nil || got.StartsAt != tc.start || got.EndsAt != tc.end || got.Firing != tc.firing || got.Since != tc.was:
			t.Errorf("%s: %+v", tc.name, got)
		}
	}
}

// FuzzAlerts: whatever is sent is refused by name or becomes an occurrence.
func FuzzAlerts(f *testing.F) {
	for _, s := range []string{
		`[{"labels":{"alertname":"x","instance":"10.0.0.1:9100","severity":"page"},"annotations":{"summary":"s"},"startsAt":"2026-05-04T11:00:00Z","generatorURL":"http://p/g"}]`,
		`[{"labels":{}}]`, `[{}]`, `{}`, `[null]`, `[{"labels":{"a":"\ud800"},"endsAt":"0001-01-01T00:00:00Z"}]`, `[{"labels":{"instance":"[::1%eth0]:80"},"generatorURL":"::"}]`,
	} {
		f.Add([]byte(s))
	}
	s := &Service{Deps: Deps{Place: func(t string, _ map[string]string) string { return t }}}
	f.Fuzz(func(t *testing.T, data []byte) {
		var list []sentAlert
		if json.Unmarshal(data, &list) != nil {
			return
		}
		if why, _ := malformed(list); why != "" {
			return
		}
		for i := range list {
			a := &list[i]
			if a.complete(noon) != nil {
				continue
			}
			labels, _ := json.Marshal(a.Labels)
			notes, _ := json.Marshal(a.Annotations)
			o := s.occurrence(&row{Tenant: "t", Fingerprint: "f", Labels: string(labels), Annotations: string(notes), URL: a.GeneratorURL, StartsAt: a.StartsAt.UnixMilli(), Since: noon.UnixMilli(), Firing: 1})
			if o.ID == "" || o.Key == "" || o.Rule.Title.EN == "" || o.From.After(o.Time) || len(o.Group) != len(a.Labels) || !slices.Contains(detections.Levels, o.Rule.Level) {
				t.Fatalf("%q became %+v", data, o)
			}
		}
	})
}

// FuzzSilence: whatever is posted is refused or is a silence with its matchers.
func FuzzSilence(f *testing.F) {
	for _, s := range []string{
		`{"matchers":[{"name":"a","value":"b","isRegex":false}],"startsAt":"2026-05-04T11:00:00Z","endsAt":"2026-05-04T13:00:00Z","createdBy":"z","comment":"c"}`,
		`{"matchers":[{"name":"a","value":"(","isRegex":true,"isEqual":false}],"startsAt":"2026-05-04T11:00:00Z","endsAt":"2026-05-04T13:00:00Z","createdBy":"z","comment":"c"}`,
		`{"matchers":[null]}`, `{"matchers":null}`, `[]`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var p Posted
		if json.Unmarshal(data, &p) != nil || p.Incomplete() != "" {
			return
		}
		l, err := p.Silence("me")
		if err == nil && (len(l.Matchers) != len(*p.Matchers) || !strings.HasPrefix(l.CreatedBy, "me")) {
			t.Fatalf("%q became %+v", data, l)
		}
	})
}

// TestFiresOn: an alert that is sent again and again stays, though SQL hears of
// its new end only now and then; a restart in between ends none of them.
func TestFiresOn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	again := func(s *Service) {
		t.Helper()
		list := []sentAlert{{Labels: map[string]string{"alertname": "Again"}}}
		if err := list[0].complete(f.now); err != nil {
			t.Fatal(err)
		}
		if _, err := s.take(t.Context(), "e-seal", list, f.now); err != nil {
			t.Fatal(err)
		}
		if err := s.flush(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		s.tell(t.Context())
	}
	written := func() int64 {
		var r row
		if err := f.db.NewSelect().Model(&r).Scan(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r.Over != 0 || r.Firing != 1 || r.EndsAt <= f.now.UnixMilli() {
			t.Fatalf("at %s the alert is %+v", f.now, r)
		}
		return r.EndsAt
	}
	writes, last := 0, int64(0)
	s := f.Service
	for n := range 60 {
		again(s)
		if end := written(); end != last {
			writes, last = writes+1, end
		}
		f.now = f.now.Add(30 * time.Second)
		if n%10 == 9 {
			var err error
			if s, err = New(t.Context(), f.db, f.Deps); err != nil {
				t.Fatal(err)
			}
		}
	}
	if writes > 20 {
		t.Errorf("60 sendings in half an hour made %d writes of the end", writes)
	}
}
