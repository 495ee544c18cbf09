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

	"github.com/shirou/gopsutil/v4/process"

	"icewatch/collectors/agent/agenttest"
	"icewatch/collectors/agent/config"
	"icewatch/collectors/fleet"
	"icewatch/collectors/fleet/configuration"
	"icewatch/collectors/fleet/fleettest"
	"icewatch/test/peers"
)

// benchInputs are gathered by the agent and by telegraf's own program.
const benchInputs = `
[[inputs.cpu]]
  percpu = false
[[inputs.mem]]
[[inputs.system]]
[[inputs.processes]]
[[inputs.disk]]
[[inputs.diskio]]
[[inputs.net]]
  ignore_protocol_stats = true
[[inputs.redis]]
  servers = ["tcp://REDIS"]
[[inputs.nginx]]
  urls = ["NGINX"]
`

// TestBenchAgent measures what an idle agent takes, and both programs on the same
// inputs (make bench-agent). It runs for three minutes.
func TestBenchAgent(t *testing.T) {
	if os.Getenv("ICEWATCH_BENCH_AGENT") == "" {
		t.Skip("make bench-agent")
	}
	bin := program(t)
	redis, nginx := peers.StartRedis(t), peers.StartNginx(t)
	f := fleettest.Start(t)
	c, err := f.KeepConfiguration(t.Context(), fleettest.Admin, "", 0, fleet.ConfigurationDraft{Tenant: "egov", Name: "all", Selector: configuration.Selector{Everybody: true}})
	if err != nil {
		t.Fatal(err)
	}
	const limits = "limits: {cpu_percent: 1000, host: {cpu_percent: 100, memory_percent: 100, disk_percent: 100}}\n"
	publish := func(text string) {
		soak := 0
		if _, err := f.Publish(t.Context(), fleettest.Admin, c.ID, fleet.Publication{Document: text + limits, AtOnce: true, Soak: &soak}); err != nil {
			t.Fatal(err)
		}
	}
	const span = time.Minute
	// private is the part of a process's memory that is not its program's file.
	private := func(pid int) float64 {
		m, err := (&process.Process{Pid: int32(pid)}).MemoryInfoEx()
		if err != nil {
			t.Fatal(err)
		}
		return float64(m.RSS-m.Shared) / (1 << 20)
	}
	measure := func(pid int) (cpu, mb float64) {
		t.Helper()
		time.Sleep(10 * time.Second) // What comes once, at the start, is not what it takes.
		p, err := process.NewProcess(int32(pid))
		if err != nil {
			t.Fatal(err)
		}
		before, err := p.Times()
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(span)
		after, err := p.Times()
		if err != nil {
			t.Fatal(err)
		}
		m, err := p.MemoryInfo()
		if err != nil {
			t.Fatal(err)
		}
		return 100 * (after.User + after.System - before.User - before.System) / span.Seconds(), float64(m.RSS) / (1 << 20)
	}
	publish(config.Default)
	// Idle is what a host has that was given nothing: its own figures each ten seconds.
	g := enrol(t, bin, f.Token(t, fleet.TokenDraft{}).String())
	g.start()
	agenttest.Await(t, 20*time.Second, "the first figures", func() bool { return len(f.Named("mem_used")) > 0 })
	cpu, mb := measure(g.cmd.Process.Pid)
	fmt.Printf("BENCH agent.idle_cpu %.2f percent of a core\nBENCH agent.idle_rss %.0f MB\n", cpu, mb)
	if cpu > 1 || mb > 100 {
		t.Errorf("an idle agent takes %.2f %% of a core and %.0f MB; 1 %% and 100 MB are promised", cpu, mb)
	}

	var document strings.Builder
	document.WriteString("inputs:\n")
	text := strings.NewReplacer("REDIS", redis, "NGINX", nginx).Replace(benchInputs)
	for _, part := range strings.Split(text, "[[inputs.")[1:] {
		name, body, _ := strings.Cut(part, "]]\n")
		fmt.Fprintf(&document, "  - plugin: %s\n    interval: 1s\n    toml: |\n      # %s\n", name, name)
		for line := range strings.Lines(body) {
			document.WriteString("    " + line)
		}
	}
	publish(document.String())
	agenttest.Await(t, 10*time.Second, "the figures of Redis", func() bool { return len(f.Named("redis_uptime")) > 0 })
	cpu, mb = measure(g.cmd.Process.Pid)
	fmt.Printf("BENCH agent.cpu_1s %.2f percent of a core\nBENCH agent.rss_1s %.0f MB\nBENCH agent.private_1s %.0f MB\n", cpu, mb, private(g.cmd.Process.Pid))
	g.stop(syscall.SIGTERM)

	telegraf := os.Getenv("ICEWATCH_TELEGRAF")
	if telegraf == "" {
		return
	}
	file := filepath.Join(t.TempDir(), "telegraf.conf")
	own := "[agent]\n  interval = \"1s\"\n  flush_interval = \"5s\"\n[[outputs.discard]]\n" + text
	if err := os.WriteFile(file, []byte(own), 0o600); err != nil {
		t.Fatal(err)
	}
	other := exec.Command(telegraf, "--config", file)
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Process.Kill(); _ = other.Wait() }()
	otherCPU, otherMB := measure(other.Process.Pid)
	fmt.Printf("BENCH telegraf.cpu_1s %.2f percent of a core\nBENCH telegraf.rss_1s %.0f MB\nBENCH telegraf.private_1s %.0f MB\n", otherCPU, otherMB, private(other.Process.Pid))
	if cpu > 1.2*otherCPU || mb > 1.2*otherMB {
		t.Errorf("the agent takes %.2f %% and %.0f MB, telegraf %.2f %% and %.0f MB on the same inputs, without sending", cpu, mb, otherCPU, otherMB)
	}
}
