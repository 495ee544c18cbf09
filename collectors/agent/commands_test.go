//go:build linux

package agent_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"icewatch/collectors/agent/agenttest"
	"icewatch/collectors/fleet"
	"icewatch/collectors/fleet/configuration"
	"icewatch/collectors/fleet/fleettest"
	"icewatch/collectors/fleet/wire"
)

// TestMain makes the test's own program an agent that tells its version and cannot run, for
// TestCommands.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "version" {
		fmt.Println("broken")
		os.Exit(0)
	}
	if len(os.Args) > 1 && os.Args[1] == "run" {
		os.Exit(7)
	}
	os.Exit(m.Run())
}

// TestCommands gives a shipped agent each order: inputs are stopped and started, it restarts,
// takes its inventory, refuses a package that was tampered with, goes back from a version
// that does not run, and is removed.
func TestCommands(t *testing.T) {
	t.Parallel()
	bin := program(t)
	f := fleettest.Start(t)
	c, err := f.KeepConfiguration(t.Context(), fleettest.Admin, "", 0, fleet.ConfigurationDraft{Tenant: "egov", Name: "all", Selector: configuration.Selector{Everybody: true}})
	if err != nil {
		t.Fatal(err)
	}
	soak := 0
	if _, err := f.Publish(t.Context(), fleettest.Admin, c.ID, fleet.Publication{AtOnce: true, Soak: &soak, Document: `inputs: [{plugin: mem, interval: 1s}, {plugin: system, interval: 1s}]
inventory: {skip: [packages, certificates, processes, services, users, containers, ports]}
limits: {cpu_percent: 1000, memory_mb: 400, host: {cpu_percent: 100, memory_percent: 100, disk_percent: 100}}
`}); err != nil {
		t.Fatal(err)
	}
	g := enrol(t, bin, f.Token(t, fleet.TokenDraft{}).String())
	g.start()
	host := func() fleet.HostDetail {
		d, err := f.Host(fleettest.Admin, f.Hosts(fleettest.Admin, fleet.HostQuery{})[0].ID)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	state := func(input string) string {
		for _, in := range host().Inputs {
			if in.Name == input {
				return in.State
			}
		}
		return ""
	}
	agenttest.Await(t, 10*time.Second, "the agent", func() bool { return state("mem") == "running" && host().Configuration.Applied })
	id := host().ID
	order := func(d fleet.JobDraft) string {
		t.Helper()
		d.Hosts = []string{id}
		jobs, err := f.Order(t.Context(), fleettest.Admin, d)
		if err != nil {
			t.Fatal(err)
		}
		return jobs[0].ID
	}
	outcome := func(job string) fleet.Outcome {
		_, results, err := f.Job(fleettest.Admin, job)
		if err != nil {
			t.Fatal(err)
		}
		return results[0]
	}
	await := func(job, want string) fleet.Outcome {
		t.Helper()
		agenttest.Await(t, 20*time.Second, "the job "+want, func() bool { s := outcome(job).State; return s == fleet.JobDone || s == fleet.JobFailed })
		o := outcome(job)
		if o.State != want {
			t.Fatalf("%+v, want %s", o, want)
		}
		return o
	}

	await(order(fleet.JobDraft{Kind: wire.CommandStop, Input: "mem"}), fleet.JobDone)
	agenttest.Await(t, 5*time.Second, "mem to be stopped", func() bool { return state("mem") == "stopped" })
	before := len(f.Named("mem_used"))
	time.Sleep(1200 * time.Millisecond)
	if n := len(f.Named("mem_used")); n > before+6 || state("system") != "running" {
		t.Errorf("%d samples of an input that is stopped came; the other one is %s", n-before, state("system"))
	}
	await(order(fleet.JobDraft{Kind: wire.CommandStart, Input: "mem"}), fleet.JobDone)
	agenttest.Await(t, 5*time.Second, "mem to run", func() bool { return state("mem") == "running" })
	if o := await(order(fleet.JobDraft{Kind: wire.CommandStop, Input: "none"}), fleet.JobFailed); !strings.Contains(o.Text, "none") {
		t.Errorf("%+v", o)
	}
	await(order(fleet.JobDraft{Kind: wire.CommandReload}), fleet.JobDone)
	started := host().Usage.Started
	time.Sleep(time.Second) // Starts are told by the second.
	await(order(fleet.JobDraft{Kind: wire.CommandRestart}), fleet.JobDone)
	agenttest.Await(t, 10*time.Second, "the restart", func() bool { return host().Usage.Started > started })
	await(order(fleet.JobDraft{Kind: wire.CommandInventory}), fleet.JobDone)
	agenttest.Await(t, 10*time.Second, "the inventory", func() bool { _, err := f.Inventory(t.Context(), fleettest.Admin, id); return err == nil })

	// Bytes that are others than those that were signed.
	add := func(version, path string) fleet.UpgradeView {
		t.Helper()
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		u, err := f.AddPackage(t.Context(), fleettest.Admin, version, "", file)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	u := add("2.0.0", self)
	file, err := os.OpenFile(f.PackageFile(u.SHA256), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	original := []byte{0}
	whole, err := os.ReadFile(f.PackageFile(u.SHA256))
	if err != nil {
		t.Fatal(err)
	}
	original[0] = whole[u.Size/2]
	if _, err := file.WriteAt([]byte{original[0] ^ 1}, u.Size/2); err != nil {
		t.Fatal(err)
	}
	if o := await(order(fleet.JobDraft{Kind: wire.CommandUpgrade, Version: "2.0.0"}), fleet.JobFailed); !strings.Contains(o.Text, "changed on its way") {
		t.Errorf("%+v", o)
	}
	if _, err := os.Stat(g.program + ".former"); err == nil {
		t.Error("a tampered package was put in place")
	}

	// A version that does not run. The service has the former program look before each start.
	if _, err := file.WriteAt(original, u.Size/2); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	failing := order(fleet.JobDraft{Kind: wire.CommandUpgrade, Version: "2.0.0"})
	var exit *exec.ExitError
	wait := func() (err error) {
		t.Helper()
		ended := make(chan error, 1)
		go func() { ended <- g.cmd.Wait() }()
		select {
		case err = <-ended:
		case <-time.After(20 * time.Second):
			_ = g.cmd.Process.Kill()
			t.Errorf("it goes on: %+v; it ended with %v", outcome(failing), <-ended)
		}
		g.cmd = nil
		return err
	}
	if err := wait(); !asExit(err, &exit) || exit.ExitCode() != 7 {
		t.Fatalf("the broken version ended with %v", err)
	}
	starts := 0
	for ; starts < 6; starts++ {
		recover := exec.Command(g.program+".former", "recover", "--dir", g.dir)
		if _, err := os.Stat(recover.Path); err != nil {
			break
		}
		if out, err := recover.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if _, err := os.Stat(recover.Path); err != nil {
			break
		}
		if err := exec.Command(g.program, "run").Run(); !asExit(err, &exit) || exit.ExitCode() != 7 {
			t.Fatalf("%v", err)
		}
	}
	if starts != 3 {
		t.Errorf("the former program was put back after %d starts", starts)
	}
	g.start()
	agenttest.Await(t, 10*time.Second, "the word of the former version", func() bool { return outcome(failing).State == fleet.JobFailed })
	if o := outcome(failing); !strings.Contains(o.Text, "did not reach the suite in 3 starts") || !strings.Contains(o.Text, "rolled back") {
		t.Errorf("%+v", o)
	}

	await(order(fleet.JobDraft{Kind: wire.CommandUninstall}), fleet.JobDone)
	if err := wait(); err != nil {
		t.Errorf("the agent that is to be removed ended with %v", err)
	}
	if h := host(); h.State != fleet.Revoked {
		t.Errorf("%+v", h.Host)
	}
}

func asExit(err error, exit **exec.ExitError) bool {
	e, ok := err.(*exec.ExitError) //nolint:errorlint // Of Wait itself.
	*exit = e
	return ok
}
