//go:build linux

package agent_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"icewatch/collectors/agent/agenttest"
	"icewatch/collectors/fleet"
	"icewatch/collectors/fleet/configuration"
	pack "icewatch/collectors/fleet/extension/extensiontest"
	"icewatch/collectors/fleet/fleettest"
	"icewatch/collectors/fleet/roster"
	"icewatch/collectors/fleet/wire"
)

// TestExtensions has a shipped agent install a plug-in of somebody's own: its figures arrive, a configuration
// sets its options, another version takes its place, it is stopped, started and removed; one that was tampered with,
// on its way or on the host, is refused by name while all else runs on.
func TestExtensions(t *testing.T) {
	t.Parallel()
	bin := program(t)
	f := fleettest.Start(t)
	const common = `inputs: [{plugin: mem, interval: 1s}]
inventory: {skip: [packages, certificates, processes, services, users, containers, ports]}
limits: {cpu_percent: 1000, memory_mb: 400, host: {cpu_percent: 100, memory_percent: 100, disk_percent: 100}}
`
	c, err := f.KeepConfiguration(t.Context(), fleettest.Admin, "", 0, fleet.ConfigurationDraft{Tenant: "egov", Name: "all", Selector: configuration.Selector{Everybody: true}})
	if err != nil {
		t.Fatal(err)
	}
	soak := 0
	publish := func(document string) error {
		_, err := f.Publish(t.Context(), fleettest.Admin, c.ID, fleet.Publication{AtOnce: true, Soak: &soak, Document: document})
		return err
	}
	if err := publish(common); err != nil {
		t.Fatal(err)
	}
	upload := func(version, script string) fleet.Extension {
		t.Helper()
		data := pack.Script(t, "name: depth\nversion: "+version+"\nformat: influx\ninterval: 1s\noptions: [{name: queue, default: orders}]", script)
		x, err := f.AddExtension(t.Context(), fleettest.Admin, "", "", bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	one := upload("1.0.0", `echo "depth,queue=$OPTION_QUEUE value=1"`)
	upload("2.0.0", `echo "depth,queue=$OPTION_QUEUE value=2"`)
	if _, err := f.AddExtension(t.Context(), fleettest.Admin, "", strings.Repeat("0", 64), bytes.NewReader([]byte("x"))); err == nil || !strings.Contains(err.Error(), "changed on its way") {
		t.Errorf("an upload with another hash: %v", err)
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
	agenttest.Await(t, 10*time.Second, "the agent", func() bool { return host().Configuration.Applied })
	id := host().ID
	order := func(kind, version, want string) string {
		t.Helper()
		jobs, err := f.Order(t.Context(), fleettest.Admin, fleet.JobDraft{Kind: kind, Plugin: "depth", Version: version, Hosts: []string{id}})
		if err != nil {
			t.Fatal(err)
		}
		var o fleet.Outcome
		agenttest.Await(t, 20*time.Second, kind, func() bool {
			_, results, err := f.Job(fleettest.Admin, jobs[0].ID)
			if err != nil {
				t.Fatal(err)
			}
			o = results[0]
			return o.State == fleet.JobDone || o.State == fleet.JobFailed
		})
		if o.State != want {
			t.Fatalf("%s: %+v, want %s", kind, o, want)
		}
		return o.Text
	}
	at := func() fleet.ExtensionHost {
		d, err := f.ExtensionOf(fleettest.Admin, "depth")
		if err != nil {
			t.Fatal(err)
		}
		if len(d.Hosts) == 0 {
			return fleet.ExtensionHost{}
		}
		return d.Hosts[0]
	}
	value := func() float64 {
		if got := f.Named("depth_value"); len(got) > 0 {
			return got[len(got)-1].Value
		}
		return 0
	}

	if err := publish(common[:len("inputs: [")] + "{plugin: extension, settings: {package: depth, options: {nothing: x}}}]\n"); err == nil || !strings.Contains(err.Error(), "no option") {
		t.Errorf("options that the plug-in does not have: %v", err)
	}
	order(wire.CommandInstallExtension, "1.0.0", fleet.JobDone)
	agenttest.Await(t, 15*time.Second, "figures of the plug-in", func() bool { return value() == 1 && at().State == "running" })
	// The settings of a configuration count before the defaults.
	if err := publish(strings.Replace(common, "inputs: [", "inputs: [{name: of-queue, plugin: extension, interval: 1s, labels: {queue_is: set}, settings: {package: depth, options: {queue: letters}}}, ", 1)); err != nil {
		t.Fatal(err)
	}
	agenttest.Await(t, 15*time.Second, "the option", func() bool { return f.Labelled("queue", "letters") && f.Labelled("queue_is", "set") })

	order(wire.CommandInstallExtension, "2.0.0", fleet.JobDone)
	agenttest.Await(t, 15*time.Second, "figures of version 2", func() bool { return value() == 2 && at().Version == "2.0.0" && at().State == "running" })
	order(wire.CommandStopExtension, "", fleet.JobDone)
	agenttest.Await(t, 10*time.Second, "its end", func() bool { return at().State == "stopped" && host().Configuration.Applied })
	order(wire.CommandStartExtension, "", fleet.JobDone)
	agenttest.Await(t, 10*time.Second, "its start", func() bool { return at().State == "running" })
	if _, err := f.DeleteExtension(t.Context(), fleettest.Admin, "depth", "2.0.0"); err == nil || !strings.Contains(err.Error(), "1 hosts have") {
		t.Errorf("a package that is in use was deleted: %v", err)
	}

	if _, err := f.Order(t.Context(), fleettest.Admin, fleet.JobDraft{Kind: wire.CommandReload, Hosts: []string{id}}); err != nil { // It tells how it is.
		t.Fatal(err)
	}
	agenttest.Await(t, 10*time.Second, "how the program fares", func() bool {
		h := at()
		return h.Process != nil && h.Process.Starts > 0 && h.Process.Samples > 0 && h.Process.MemoryBytes > 0 && h.Process.Package == "depth"
	})

	// Tampered with on the host: it does not run after a restart, and all else does.
	run := filepath.Join(g.dir, "extensions", "depth", "versions", "2.0.0", "files", "bin", "run")
	if err := os.WriteFile(run, []byte("#!/bin/sh\necho depth value=666\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	restarted := host().Usage.Started
	time.Sleep(time.Second)
	if _, err := f.Order(t.Context(), fleettest.Admin, fleet.JobDraft{Kind: wire.CommandRestart, Hosts: []string{id}}); err != nil {
		t.Fatal(err)
	}
	agenttest.Await(t, 15*time.Second, "the refusal", func() bool {
		return host().Usage.Started > restarted && at().State == "failing" && strings.Contains(at().Error, "bin/run was changed")
	})
	for _, in := range host().Inputs {
		if in.Plugin == "mem" && in.State != "running" {
			t.Errorf("%+v", in)
		}
	}
	if value() == 666 {
		t.Error("a program that was tampered with ran")
	}
	order(wire.CommandInstallExtension, "2.0.0", fleet.JobDone)
	agenttest.Await(t, 15*time.Second, "it runs again", func() bool { return at().State == "running" })

	// Tampered with on its way: bytes on the shelf that are not those that were signed.
	shelf := f.PackageFile(one.SHA256)
	if err := os.Chmod(shelf, 0o600); err != nil {
		t.Fatal(err)
	}
	bad := pack.Script(t, "name: depth\nversion: 1.0.0\nformat: influx", "echo depth value=666")
	if err := os.WriteFile(shelf, append(bad, make([]byte, max(0, int(one.Size)-len(bad)))...)[:one.Size], 0o600); err != nil {
		t.Fatal(err)
	}
	if text := order(wire.CommandInstallExtension, "1.0.0", fleet.JobFailed); !strings.Contains(text, "depth 1.0.0") || !strings.Contains(text, "changed on its way") {
		t.Errorf("%s", text)
	}
	if h := at(); h.Version != "2.0.0" {
		t.Errorf("%+v", h)
	}

	// A configuration that names it holds it on no host.
	order(wire.CommandRemoveExtension, "", fleet.JobDone)
	agenttest.Await(t, 10*time.Second, "the removal", func() bool { return at().Host == "" })
	if left, _ := filepath.Glob(filepath.Join(g.dir, "extensions", "*")); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
	list, err := f.Operations(t.Context(), fleettest.Admin, roster.OperationQuery{Agent: id, Limit: 200})
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]string{}
	for _, o := range list {
		kinds[o.Kind] += o.Text + "\n"
	}
	for _, kind := range []string{"ordered-plugin-install", "result-plugin-install", "ordered-plugin-stop", "result-plugin-start", "result-plugin-remove"} {
		if !strings.Contains(kinds[kind], "depth") {
			t.Errorf("the operation log does not name the plug-in in %s: %q", kind, kinds[kind])
		}
	}
}
