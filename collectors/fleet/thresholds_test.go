package fleet_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/collectors/fleet"
	"icewatch/collectors/fleet/configuration"
	"icewatch/collectors/fleet/fleettest"
	"icewatch/collectors/fleet/wire"
	"icewatch/detections"
	"icewatch/soc/reach"
)

// TestThresholdsOfTasks holds what a task takes on a host, its inputs together, against rules.
func TestThresholdsOfTasks(t *testing.T) {
	t.Parallel()
	f := fleettest.Start(t)
	client := enrolled(t, f, f.Token(t, fleet.TokenDraft{}), facts)
	task, err := f.KeepTask(t.Context(), fleettest.Admin, "", 0, fleet.TaskDraft{Tenant: "egov", Name: "base", Template: "linux-host", Selector: configuration.Selector{Everybody: true}})
	if err != nil {
		t.Fatal(err)
	}
	doc, err := wire.ParseDocument([]byte(task.Document))
	if err != nil || len(doc.Inputs) < 2 {
		t.Fatal(err, task.Document)
	}
	for resource, above := range map[string]float64{"cpu": 3, "memory": 50, "network": 10, "time": 8, "rate": 100} {
		for name, x := range map[string]float64{resource + " low": above * 0.9, resource + " high": above * 1.1} {
			if _, err := f.KeepThreshold(t.Context(), fleettest.Admin, "", fleet.ThresholdDraft{Tenant: "egov", Name: name, Of: fleet.OfTask, Resource: resource, Above: x, Minutes: 1, Selector: configuration.Selector{Everybody: true}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := f.KeepThreshold(t.Context(), fleettest.Admin, "", fleet.ThresholdDraft{Tenant: "egov", Name: "x", Of: fleet.OfTask, Resource: "disk", Above: 1, Minutes: 1, Selector: configuration.Selector{Everybody: true}}); err == nil || !strings.Contains(err.Error(), "tasks cpu, memory, network, time and rate") {
		t.Error(err)
	}
	var got []string
	for range 3 {
		if _, err := client.Checkin(t.Context(), wire.Checkin{Config: "x", Inputs: []wire.InputState{
			{Name: doc.Inputs[0].Name, CPU: 2, KBps: 4, Busy: 5, Rate: 40},
			{Name: doc.Inputs[1].Name, CPU: 1, KBps: 6, Busy: 3, Rate: 60, Extension: &wire.ExtensionState{Package: "x", MemoryBytes: 50 << 20}},
			{Name: "another", CPU: 50, KBps: 50, Busy: 50, Rate: 5000},
		}}); err != nil {
			t.Fatal(err)
		}
		got = nil
		for _, a := range f.Alarms() {
			if a.Kind == fleet.AlarmBeyond {
				if a.Fields["task"] != "base" {
					t.Errorf("%+v", a)
				}
				got = append(got, a.Fields["rule"])
			}
		}
		f.Pass(40 * time.Second)
	}
	slices.Sort(got)
	if want := []string{"cpu low", "memory low", "network low", "rate low", "time low"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestThresholds: an alarm comes when a figure stays above a value for long enough, of the
// hosts that are chosen alone, and ends when it falls.
func TestThresholds(t *testing.T) {
	t.Parallel()
	f := fleettest.Start(t)
	client := enrolled(t, f, f.Token(t, fleet.TokenDraft{}), facts)
	id := client.ID
	checkin := func(c wire.Checkin) {
		t.Helper()
		c.Config = "x" // Another one than it should be: it is answered at once.
		if _, err := client.Checkin(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	yes := configuration.Selector{Everybody: true}
	rules := map[string]fleet.ThresholdDraft{
		"host":   {Tenant: "egov", Name: "host", Of: fleet.OfHost, Resource: "memory", Above: 90, Minutes: 5, Selector: yes, Severity: detections.High},
		"agent":  {Tenant: "egov", Name: "agent", Of: fleet.OfAgent, Resource: "cpu", Above: 20, Minutes: 1, Selector: yes},
		"others": {Tenant: "egov", Name: "others", Of: fleet.OfHost, Resource: "memory", Above: 1, Minutes: 1, Selector: configuration.Selector{Labels: []string{"role=db"}}},
		"seal":   {Tenant: "seal", Name: "seal", Of: fleet.OfHost, Resource: "memory", Above: 1, Minutes: 1, Selector: yes},
	}
	ids := map[string]string{}
	for name, d := range rules {
		v, err := f.KeepThreshold(t.Context(), fleettest.Admin, "", d)
		if err != nil {
			t.Fatal(err)
		}
		ids[name] = v.ID
	}
	for _, bad := range []fleet.ThresholdDraft{
		{Tenant: "egov", Name: "host", Of: fleet.OfHost, Resource: "cpu", Above: 1, Minutes: 1, Selector: yes},
		{Tenant: "egov", Name: "a", Of: fleet.OfHost, Resource: "rate", Above: 1, Minutes: 1, Selector: yes},
		{Tenant: "egov", Name: "b", Of: fleet.OfHost, Resource: "cpu", Above: 100, Minutes: 1, Selector: yes},
		{Tenant: "egov", Name: "c", Of: fleet.OfHost, Resource: "cpu", Above: 10, Minutes: 1},
		{Tenant: "nobody", Name: "d", Of: fleet.OfHost, Resource: "cpu", Above: 10, Minutes: 1, Selector: yes},
	} {
		if _, err := f.KeepThreshold(t.Context(), fleettest.Admin, "", bad); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
	raised := func() (out []string) {
		for _, a := range f.Alarms() {
			if a.Kind == fleet.AlarmBeyond {
				if a.Fields["agent"] != id || !strings.Contains(a.EN, a.Fields["rule"]) || a.ZH == "" {
					t.Errorf("%+v", a)
				}
				out = append(out, a.Fields["rule"])
				if a.Fields["rule"] == "host" && a.Severity != detections.High {
					t.Errorf("%+v", a)
				}
			}
		}
		slices.Sort(out)
		return out
	}
	busy := wire.Usage{CPUPercent: 50, Host: &wire.HostUsage{MemoryPercent: 95}}
	for minute, want := range [][]string{nil, {"agent"}, {"agent"}, {"agent"}, {"agent"}, {"agent", "host"}} {
		checkin(wire.Checkin{Usage: busy})
		if got := raised(); !slices.Equal(got, want) {
			t.Errorf("after %d min: %v, want %v", minute, got, want)
		}
		f.Pass(time.Minute)
	}
	views := f.Thresholds(fleet.Asker{Name: "li", Within: reach.All()})
	for _, v := range views {
		if want := v.Name == "host" || v.Name == "agent"; (len(v.Beyond) == 1) != want {
			t.Errorf("%+v", v)
		}
	}
	checkin(wire.Checkin{Usage: wire.Usage{CPUPercent: 1, Host: &wire.HostUsage{MemoryPercent: 95}}})
	if got := raised(); !slices.Equal(got, []string{"host"}) {
		t.Errorf("%v", got)
	}
	if _, err := f.DeleteThreshold(t.Context(), fleettest.Admin, ids["host"]); err != nil {
		t.Fatal(err)
	}
	if got := raised(); len(got) != 0 {
		t.Errorf("%v", got)
	}
}
