package fleet_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/collectors/agent/agenttest"
	"icewatch/collectors/fleet"
	"icewatch/collectors/fleet/deploy"
	"icewatch/collectors/fleet/fleettest"
	"icewatch/test/peers"
)

// program stands for the agent of a host: it writes down that it was asked, waits as long as the
// host has a file "hold", and fails while it has a file "broken".
const program = `#!/bin/sh
cd "$ICEWATCH_AGENT_ROOT" || exit 9
echo begin >>journal
while [ -e hold ]; do sleep 0.05; done
[ -e broken ] && { echo "the disk of $ICEWATCH_AGENT_ROOT is full" >&2; exit 1; }
echo end >>journal
`

// TestDeployToMany keeps to a number of hosts at a time, tells of each how far it is, ends in
// the middle, and tries again what failed and nothing else.
func TestDeployToMany(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("the agent is removed by root")
	}
	const hosts, atOnce = 14, 4
	dir := t.TempDir()
	file := func(i int, name string) string { return filepath.Join(dir, fmt.Sprint(i), name) }
	put := func(i int, name, text string, mode os.FileMode) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(file(i, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file(i, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	took := func(i int) { _ = os.Remove(file(i, "broken")); _ = os.Remove(file(i, "hold")) }
	var environments []string
	for i := range hosts {
		put(i, "opt/icewatch-agent/icewatch-agent", program, 0o755)
		environments = append(environments, "ICEWATCH_AGENT_ROOT="+filepath.Join(dir, fmt.Sprint(i)))
		if i < 3 {
			put(i, "broken", "", 0o644)
		}
		if i >= hosts-2 {
			put(i, "hold", "", 0o644)
		}
	}
	server, addresses := peers.StartHosts(t, environments)
	f := fleettest.StartDeploying(t, atOnce)
	ctx := t.Context()
	most := 0
	states := func(id string) map[string]int {
		t.Helper()
		v, targets, err := f.Deployment(fleettest.Admin, id)
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, v.States[fleet.DeployRunning])
		for _, h := range targets {
			if h.State == fleet.DeployFailed && !strings.Contains(h.Text, "the disk of "+filepath.Join(dir, fmt.Sprint(slices.Index(addresses, h.Address)))+" is full") {
				t.Fatalf("%+v", h)
			}
		}
		return v.States
	}
	await := func(id string, want map[string]int) {
		t.Helper()
		agenttest.Await(t, 30*time.Second, fmt.Sprint(want), func() bool {
			got := states(id)
			for state, n := range want {
				if got[state] != n {
					return false
				}
			}
			return true
		})
	}
	v, err := f.Deploy(ctx, fleettest.Admin, fleet.DeploymentDraft{Tenant: "egov", Kind: deploy.Remove, Hosts: addresses, User: server.User, Key: server.KeyPEM})
	if err != nil {
		t.Fatal(err)
	}
	await(v.ID, map[string]int{fleet.DeployKey: hosts})
	var keys []fleet.TrustedKey
	for _, a := range addresses {
		keys = append(keys, fleet.TrustedKey{Address: a, Fingerprint: deploy.Fingerprint(server.HostKey)})
	}
	if _, err := f.TrustKeys(ctx, fleettest.Admin, v.ID, keys); err != nil {
		t.Fatal(err)
	}
	await(v.ID, map[string]int{fleet.DeployDone: hosts - 5, fleet.DeployFailed: 3, fleet.DeployRunning: 2})
	if most != atOnce {
		t.Errorf("%d hosts at once; want %d", most, atOnce)
	}
	for i := range hosts {
		agenttest.Await(t, 10*time.Second, "the step of "+addresses[i], func() bool {
			h, err := f.DeploymentLog(fleettest.Admin, v.ID, addresses[i])
			return err == nil && h.Step == deploy.StepRun && len(h.Log) > 0
		})
	}

	// While it goes on the credentials are there: two of three are mended.
	took(0)
	took(1)
	if again, err := f.RetryDeployment(ctx, fleettest.Admin, v.ID, fleet.DeploymentRetry{}); err != nil || again.ID != v.ID || again.States[fleet.DeployWaiting] != 3 {
		t.Fatalf("%v %+v", err, again)
	}
	await(v.ID, map[string]int{fleet.DeployDone: hosts - 3, fleet.DeployFailed: 1, fleet.DeployRunning: 2})

	agenttest.Await(t, 10*time.Second, "hosts in the middle", func() bool {
		text, err := os.ReadFile(file(hosts-1, "journal"))
		other, err2 := os.ReadFile(file(hosts-2, "journal"))
		return err == nil && err2 == nil && len(text) > 0 && len(other) > 0
	})
	// Ended in the middle: what runs is cut off.
	if _, err := f.CancelDeployment(fleettest.Admin, v.ID); err != nil {
		t.Fatal(err)
	}
	await(v.ID, map[string]int{fleet.DeployDone: hosts - 3, fleet.DeployFailed: 1, fleet.DeployCancelled: 2})
	agenttest.Await(t, 5*time.Second, "the end", func() bool {
		now, _, _ := f.Deployment(fleettest.Admin, v.ID)
		return !now.EndedAt.IsZero()
	})
	if _, err := f.RetryDeployment(ctx, fleettest.Admin, v.ID, fleet.DeploymentRetry{}); !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), "give a password or a private key") {
		t.Errorf("%v", err)
	}
	if _, err := f.RetryDeployment(ctx, fleet.Asker{Name: "stranger"}, v.ID, fleet.DeploymentRetry{Key: server.KeyPEM}); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("%v", err)
	}
	for i := range hosts {
		took(i)
	}
	again, err := f.RetryDeployment(ctx, fleettest.Admin, v.ID, fleet.DeploymentRetry{Key: server.KeyPEM, Cancelled: true})
	if err != nil || again.RetryOf != v.ID || again.Hosts != 3 || again.User != server.User || again.Kind != deploy.Remove {
		t.Fatalf("%v %+v", err, again)
	}
	await(again.ID, map[string]int{fleet.DeployDone: 3})
	if _, err := f.RetryDeployment(ctx, fleettest.Admin, again.ID, fleet.DeploymentRetry{Key: server.KeyPEM}); !errors.Is(err, fleet.ErrConflict) {
		t.Errorf("%v", err)
	}
	want := map[int]int{0: 2, 1: 2, 2: 3, hosts - 2: 2, hosts - 1: 2}
	for i := range hosts {
		text, err := os.ReadFile(file(i, "journal"))
		if n := strings.Count(string(text), "begin"); err != nil || n != max(want[i], 1) {
			t.Errorf("host %d was asked %d times: %v", i, n, err)
		}
	}
}
