//go:build linux

package agent_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"icewatch/collectors/agent/agenttest"
	"icewatch/collectors/fleet"
	"icewatch/collectors/fleet/configuration"
	"icewatch/collectors/fleet/fleettest"
)

// TestHostUnplugged runs the agent in a network of its own, and takes the cable away
// for ICEWATCH_AGENT_CUT (make test-agent: ten minutes): packets vanish, nothing is
// told of it. It needs root.
func TestHostUnplugged(t *testing.T) {
	cut, err := time.ParseDuration(os.Getenv("ICEWATCH_AGENT_CUT"))
	if err != nil {
		t.Skip("make test-agent")
	}
	if os.Getuid() != 0 {
		t.Skip("a network of its own needs root")
	}
	ip := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
		}
	}
	name := fmt.Sprintf("iwa%d", os.Getpid()%100_000)
	net := fmt.Sprintf("10.213.%d.", os.Getpid()%250)
	ip("netns", "add", name)
	t.Cleanup(func() { ip("netns", "del", name) })
	ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
	ip("addr", "add", net+"1/24", "dev", name)
	ip("link", "set", name, "up")
	ip("-n", name, "addr", "add", net+"2/24", "dev", "eth0")
	ip("-n", name, "link", "set", "eth0", "up")
	ip("-n", name, "link", "set", "lo", "up")

	bin := program(t)
	f := fleettest.Start(t)
	way := agenttest.NewWireOn(t, net+"1:0", f.URL)
	token := f.Token(t, fleet.TokenDraft{})
	token.URLs = []string{way.URL()}
	c, err := f.KeepConfiguration(t.Context(), fleettest.Admin, "", 0, fleet.ConfigurationDraft{Tenant: "egov", Name: "all", Selector: configuration.Selector{Everybody: true}})
	if err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(t.TempDir(), "app.log")
	text := fmt.Sprintf("inputs: [{plugin: mem, interval: 1s, settings: {fieldinclude: [used]}}]\nfiles: [{name: app, paths: [%s]}]\nlimits: {cpu_percent: 1000, host: {cpu_percent: 100, memory_percent: 100, disk_percent: 100}}\n", log)
	if _, err := f.Publish(t.Context(), fleettest.Admin, c.ID, fleet.Publication{Document: text, AtOnce: true}); err != nil {
		t.Fatal(err)
	}
	g := enrol(t, bin, token.String(), "ip", "netns", "exec", name)
	g.start()
	writer := newWriter(t, log)
	agenttest.Await(t, 30*time.Second, "the first figures and lines", func() bool { return len(f.Named("mem_used")) > 0 && len(f.Lines()) > 0 })
	unplugged := time.Now()
	ip("link", "set", name, "down")
	time.Sleep(cut)
	before := len(f.Lines())
	ip("link", "set", name, "up")
	plugged := time.Now()
	writer.stop()
	writer.await(f, "after the cable was plugged in")
	gaps(t, f, unplugged.Add(-time.Second), plugged)
	t.Logf("%d lines and %d samples; %d lines came before the cable was plugged in again after %s, all were there %s later",
		writer.written(), len(f.Named("mem_used")), before, cut, time.Since(plugged).Round(time.Millisecond))
	g.stop(syscall.SIGTERM)
}
