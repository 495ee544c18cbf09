package fleet_test

import (
	"fmt"
	"testing"
	"time"

	"icewatch/collectors/fleet"
	"icewatch/collectors/fleet/fleettest"
	"icewatch/collectors/fleet/wire"
	"icewatch/soc/reach"
)

// TestPerformanceOfVersions tells what agents take by version, of those that are online and within reach.
func TestPerformanceOfVersions(t *testing.T) {
	t.Parallel()
	f := fleettest.Start(t)
	token := f.Token(t, fleet.TokenDraft{Uses: 10})
	checkin := func(name, version string, cpu float64, memory uint64, c wire.Checkin) {
		t.Helper()
		x := facts
		x.Hostname = name
		client := enrolled(t, f, token, x)
		c.Config, c.Version, c.Usage = "x", version, wire.Usage{CPUPercent: cpu, MemoryBytes: memory}
		if _, err := client.Checkin(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	checkin("away", "1.0.0", 99, 1<<40, wire.Checkin{State: wire.StateHealthy})
	f.Pass(wire.OfflineAfter + time.Second)
	for i := range 4 {
		checkin(fmt.Sprint("old-", i), "1.0.0", float64(i+1), uint64(i+1)<<20, wire.Checkin{State: wire.StateHealthy})
	}
	checkin("new-1", "1.1.0", 12, 200<<20, wire.Checkin{State: wire.StateTripped, Queue: wire.Queue{DroppedMetrics: 7, DroppedLines: 2}, Inputs: []wire.InputState{{Name: "a", Plugin: "redis", State: "failing"}, {Name: "b", Plugin: "redis", State: "failing"}}})
	got := f.Statistics(fleettest.Admin).Performance
	want := []fleet.VersionPerformance{
		{Version: "1.1.0", OS: facts.OS, Arch: facts.Arch, Agents: 1, CPU: 12, CPUMost: 12, Memory: 200 << 20, MemoryMost: 200 << 20, Tripped: 1, Failing: 1, LostSamples: 7, LostLines: 2},
		{Version: "1.0.0", OS: facts.OS, Arch: facts.Arch, Agents: 4, CPU: 2, CPUMost: 4, Memory: 2 << 20, MemoryMost: 4 << 20},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	if other := f.Statistics(fleet.Asker{Name: "other", Within: reach.Tenants("seal")}).Performance; other == nil || len(other) != 0 {
		t.Errorf("%+v", other)
	}
}
