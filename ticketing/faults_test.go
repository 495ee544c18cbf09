package ticketing

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/soc/reach"
	"icewatch/soc/state"
	"icewatch/ticketing/topology"
)

// relations are a small CMDB: names, and whose failure reaches whom.
type relations struct {
	names  []string // by number
	down   map[int32][]int32
	mutual map[int32][]int32
	walks  int
}

func newRelations() *relations {
	return &relations{names: []string{""}, down: map[int32][]int32{}, mutual: map[int32][]int32{}}
}

func (r *relations) number(name string) int32 {
	if i := slices.Index(r.names, name); i > 0 {
		return int32(i)
	}
	r.names = append(r.names, name)
	return int32(len(r.names) - 1)
}

func (r *relations) carries(from string, to ...string) {
	for _, name := range to {
		a, b := r.number(from), r.number(name)
		r.down[a] = append(r.down[a], b)
	}
}

func (r *relations) joins(from, to string) {
	a, b := r.number(from), r.number(to)
	r.mutual[a], r.mutual[b] = append(r.mutual[a], b), append(r.mutual[b], a)
}

func (r *relations) Numbers(_ context.Context, ids []string) (map[string]int32, error) {
	out := map[string]int32{}
	for _, id := range ids {
		if i := slices.Index(r.names, id); i > 0 {
			out[id] = int32(i)
		}
	}
	return out, nil
}

func (r *relations) Causes(_ context.Context, item int32, _, _ int) (out []topology.Cause, _ error) {
	r.walks++
	for from, list := range r.down {
		if slices.Contains(list, item) {
			out = append(out, topology.Cause{Item: from})
		}
	}
	for _, from := range r.mutual[item] {
		out = append(out, topology.Cause{Item: from, Mutual: true})
	}
	return out, nil
}

func (r *relations) Dependents(_ context.Context, item int32, _ int) ([]int32, error) {
	return append(slices.Clone(r.down[item]), r.mutual[item]...), nil
}

func (r *relations) Named(_ context.Context, items []int32) (map[int32]NamedItem, error) {
	out := map[int32]NamedItem{}
	for _, i := range items {
		out[i] = NamedItem{ID: r.names[i], Name: strings.ToUpper(r.names[i]), Class: "device", Tenant: "e-seal"}
	}
	return out, nil
}

// pushedAlert is an alert that somebody's Prometheus sent about an item.
func pushedAlert(item, name, instance string, level detections.Level, at time.Time) detections.Occurrence {
	return detections.Occurrence{
		Key: "pushed/" + item + name + instance, Tenant: "e-seal", Time: at, From: at, Count: 1,
		Rule:   detections.RuleRef{ID: "pushed", Kind: Pushed, Level: level, Title: detections.Text{ZH: name, EN: name}},
		Group:  []detections.Pair{{Field: PushedLabel + "alertname", Value: name}, {Field: PushedLabel + "instance", Value: instance}},
		Fields: map[string]string{"icewatch.ci.id": item, "icewatch.ci.name": item, "icewatch.ci.class": "device"},
	}
}

// breakdown is a switch that fails, with its hosts and their systems, and two
// faults that have nothing to do with it: one elsewhere, one on a host whose
// system the storm hits too.
func breakdown(hosts, systems, perItem int) (*relations, []detections.Occurrence) {
	r := newRelations()
	var occs []detections.Occurrence
	add := func(item, name string, at time.Duration) {
		for n := range perItem {
			occs = append(occs, pushedAlert(item, name, fmt.Sprint(n), detections.High, start.Add(at)))
		}
	}
	add("sw", "SwitchDown", 20*time.Second)
	for h := range hosts {
		host, system := fmt.Sprintf("host-%d", h), fmt.Sprintf("system-%d", h%systems)
		r.joins("sw", host)
		r.carries(host, system)
		add(host, "HostUnreachable", time.Duration(h%30)*time.Second)
	}
	for n := range systems {
		add(fmt.Sprintf("system-%d", n), "SystemTimeout", 30*time.Second)
	}
	r.carries("db", "report")
	add("db", "InstanceDown", 10*time.Second)
	add("report", "服务不可用", 15*time.Second)
	r.carries("lonely", "system-0")
	add("lonely", "NodeOffline", 12*time.Second)
	return r, occs
}

func faultService(t *testing.T, db *state.DB, c *clock, r *relations, wait time.Duration) *Service {
	t.Helper()
	return openService(t, db, c, Deps{Relations: r, Config: Config{Faults: Faults{Wait: &wait}}})
}

// settle has all faults grouped that wait.
func settle(t *testing.T, s *Service, c *clock) {
	t.Helper()
	c.forward(10 * time.Second)
	if err := s.settleFaults(t.Context(), s.now()); err != nil {
		t.Fatal(err)
	}
}

// heldBy tells of each item which incident holds all of its alerts.
func heldBy(t *testing.T, s *Service) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, a := range allAlerts(t, s) {
		if was, there := out[a.CI.ID]; there && was != a.IncidentID {
			t.Errorf("alerts of %s are in %q and %q", a.CI.ID, was, a.IncidentID)
		}
		out[a.CI.ID] = a.IncidentID
	}
	return out
}

func openIncidents(t *testing.T, s *Service) (open []Incident) {
	t.Helper()
	for _, i := range allIncidents(t, s) {
		if i.Status != StatusClosed {
			open = append(open, i)
		}
	}
	return open
}

// TestStorm sends a storm in any order and any cut, with and without a wait, and
// starts anew in between: it becomes one incident whose root is the switch, and
// the others stay apart.
func TestStorm(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		rnd := rand.New(rand.NewPCG(seed, 9))
		r, occs := breakdown(40, 8, 2)
		wait := time.Duration(seed%2) * 10 * time.Second
		c, db := newClock(), openDB(t)
		s := faultService(t, db, c, r, wait)
		rnd.Shuffle(len(occs), func(i, j int) { occs[i], occs[j] = occs[j], occs[i] })
		for len(occs) > 0 {
			n := min(len(occs), 1+rnd.IntN(40))
			ingest(t, s, occs[:n]...)
			if occs = occs[n:]; rnd.IntN(3) == 0 {
				settle(t, s, c)
			}
			if rnd.IntN(4) == 0 {
				r.walks = 0
				s = faultService(t, db, c, r, wait) // as after a crash
			}
		}
		settle(t, s, c)
		if r.walks > len(r.names) {
			t.Errorf("seed %d: %d walks for %d items", seed, r.walks, len(r.names)-1)
		}
		open, held := openIncidents(t, s), heldBy(t, s)
		if len(open) != 3 {
			t.Fatalf("seed %d: %d incidents: %+v", seed, len(open), open)
		}
		storm := held["sw"]
		for item, id := range held {
			if apart := item == "db" || item == "report" || item == "lonely"; (id == storm) == apart {
				t.Errorf("seed %d: %s is in %s; the storm is %s", seed, item, id, storm)
			}
		}
		if held["db"] != held["report"] || held["db"] == held["lonely"] {
			t.Errorf("seed %d: the faults beside it: %v, %v, %v", seed, held["db"], held["report"], held["lonely"])
		}
		for _, i := range open {
			want := map[string]string{storm: "sw", held["db"]: "db", held["lonely"]: "lonely"}[i.ID]
			if i.Root == nil || i.Root.ItemID != want || !i.Root.Alerted || i.Root.Inferred {
				t.Errorf("seed %d: the root of %s is %+v, want %s", seed, i.ID, i.Root, want)
			}
			if i.ID == storm && (i.Root.Affected != 48 || i.Root.Items != 49 || i.Root.Coverage < 0.9 || i.AlertCount != 98 || !strings.Contains(i.Title.EN, "SW fails and takes 48 items down")) {
				t.Errorf("seed %d: %d alerts, %q, root %+v", seed, i.AlertCount, i.Title.EN, i.Root)
			}
		}
		for _, i := range allIncidents(t, s) {
			if i.Status == StatusClosed && (i.MergedInto == "" || i.Resolution != "duplicate") {
				t.Errorf("seed %d: %s is closed as %q, merged into %q", seed, i.ID, i.Resolution, i.MergedInto)
			}
		}
	}
}

// TestSilentRoot: a dead switch tells of nothing; half of its hosts do. When it
// speaks up at last it is the root of the same incident.
func TestSilentRoot(t *testing.T) {
	t.Parallel()
	r, occs := breakdown(40, 8, 1)
	c := newClock()
	s := faultService(t, openDB(t), c, r, 10*time.Second)
	var root []detections.Occurrence
	for _, o := range occs {
		if o.Fields["icewatch.ci.id"] == "sw" {
			root = append(root, o)
		} else {
			ingest(t, s, o)
		}
	}
	settle(t, s, c)
	held := heldBy(t, s)
	find := func(id string) Incident {
		i, err := s.Incident(t.Context(), reach.All(), id)
		if err != nil {
			t.Fatal(err)
		}
		return i.Incident
	}
	storm := find(held["host-3"])
	if len(openIncidents(t, s)) != 3 || storm.Root.ItemID != "sw" || !storm.Root.Inferred || storm.Root.Alerted || storm.Root.Affected != 48 {
		t.Fatalf("%d incidents, root %+v", len(openIncidents(t, s)), storm.Root)
	}
	ingest(t, s, root...)
	settle(t, s, c)
	again := find(heldBy(t, s)["sw"])
	if again.ID != storm.ID || again.Root.Inferred || !again.Root.Alerted || again.Root.ItemID != "sw" || again.AlertCount != storm.AlertCount+1 {
		t.Errorf("%s has the root %+v", again.ID, again.Root)
	}
}

// TestFaultsApart: what is no fault of an item stays with the policy, and a minor
// one waits alone.
func TestFaultsApart(t *testing.T) {
	t.Parallel()
	r := newRelations()
	r.carries("sw", "seal-web-01", "b")
	c := newClock()
	s := faultService(t, openDB(t), c, r, 0)
	attack := fire(criticalRule("P1"), sealWeb, "203.0.113.7", 0, nil)
	attack.Fields["icewatch.ci.id"] = "b"
	ingest(t, s, pushedAlert("sw", "LinkDown", "1", detections.High, start), pushedAlert("b", "HostDown", "1", detections.High, start), attack)
	ingest(t, s, pushedAlert("x", "HostDown", "1", detections.Low, start), pushedAlert("b", "DiskFull", "1", detections.High, start))
	held := map[string]string{}
	for _, a := range allAlerts(t, s) {
		held[a.Title.EN] = a.IncidentID
		if a.CI.ID == "x" && a.IncidentID != "" {
			t.Errorf("a minor fault opened %s", a.IncidentID)
		}
	}
	if held["LinkDown"] == "" || held["LinkDown"] == held[attack.Rule.Sentence.EN] || held["DiskFull"] == held["LinkDown"] {
		t.Errorf("%v", held)
	}
}

func TestFaultOf(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"HostDown": true, "InstanceDown": true, "node_unreachable": true, "BlackboxProbeFailed": true, "KubeNodeNotReady": true, "TargetDown": true,
		"主机不可达": true, "核心交换机宕机": true, "接口响应超时": true, "HTTPTimeout": true, "SwitchPortDown": true, "ServiceUnavailable": true, "PING failed": true,
		"HighErrorRate": true, "DiskFull": false, "CPUHigh": false, "ScaleDownPending": false, "CertificateExpiresSoon": false, "磁盘空间不足": false, "BackupFailed": false,
		"CountdownStarted": false, "PodShutdown": false, "": false,
	} {
		var f faultNames
		if got := saysFault(name); got != want || f.say(name) != want || f.say(name) != want {
			t.Errorf("%q: %v, words %v", name, got, wordsOf(name))
		}
	}
	o := pushedAlert("a", "HostDown", "1", detections.High, start)
	o.Group = append(o.Group, detections.Pair{Field: PushedLabel + "category", Value: "performance"})
	if (&faultNames{}).faultOf(&o) {
		t.Error("its category says that it is none")
	}
	o = pushedAlert("a", "Custom", "1", detections.High, start)
	o.Group = append(o.Group, detections.Pair{Field: PushedLabel + "category", Value: "Availability"})
	if !(&faultNames{}).faultOf(&o) {
		t.Error("its category says that it is one")
	}
	o.Attack = "denial-of-service"
	if (&faultNames{}).faultOf(&o) {
		t.Error("an attack is none")
	}
}
