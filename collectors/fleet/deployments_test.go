package fleet_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"icewatch/collectors"
	"icewatch/collectors/agent/agenttest"
	"icewatch/collectors/fleet"
	"icewatch/collectors/fleet/deploy"
	"icewatch/collectors/fleet/fleettest"
	"icewatch/test/peers"
)

// agentProgram is the agent's own binary.
func agentProgram(t testing.TB) string {
	t.Helper()
	for _, dir := range []string{os.Getenv("ICEWATCH_BIN"), "../../bin"} {
		path := filepath.Join(dir, "icewatch-agent")
		if _, err := os.Stat(path); dir != "" && err == nil {
			return path
		}
	}
	peers.Missing(t, "icewatch-agent is not built (make agent)")
	return ""
}

// TestDeployOverSSH installs, upgrades and removes the agent as it is shipped on a host
// behind a real sshd, whose key a person has to trust first.
func TestDeployOverSSH(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("the agent is installed by root")
	}
	program := agentProgram(t)
	root := t.TempDir() // of the host
	host := peers.StartShell(t, "ICEWATCH_AGENT_ROOT="+root)
	f := fleettest.Start(t)
	ctx := t.Context()
	draft := fleet.DeploymentDraft{Tenant: "egov", Kind: deploy.Install, Hosts: []string{host.Address, host.Address}, User: host.User, Key: host.KeyPEM, Labels: []string{"role=web"}}
	if _, err := f.Deploy(ctx, fleettest.Admin, draft); err == nil || !strings.Contains(err.Error(), "no package") {
		t.Fatal(err)
	}
	add := func(version string) {
		t.Helper()
		file, err := os.Open(program)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if _, err := f.AddPackage(ctx, fleettest.Admin, version, "", file); err != nil {
			t.Fatal(err)
		}
	}
	add("1.0.0")
	begin := func(d fleet.DeploymentDraft) string {
		t.Helper()
		v, err := f.Deploy(ctx, fleettest.Admin, d)
		if err != nil {
			t.Fatal(err)
		}
		if v.Hosts != 1 {
			t.Fatalf("%+v", v)
		}
		return v.ID
	}
	await := func(id, state string) fleet.DeploymentHost {
		t.Helper()
		var h fleet.DeploymentHost
		agenttest.Await(t, 30*time.Second, state, func() bool {
			_, hosts, err := f.Deployment(fleettest.Admin, id)
			if err != nil {
				t.Fatal(err)
			}
			if h = hosts[0]; h.State == fleet.DeployFailed && h.State != state {
				t.Fatalf("%+v", h)
			}
			return h.State == state
		})
		return h
	}

	// A template comes along: the agent is installed, and collects by it, as one task.
	installed, err := f.InstallTemplate(ctx, fleettest.Admin, fleet.TemplateInstall{Task: fleet.TaskDraft{Tenant: "egov", Name: "hosts", Template: "linux-host"}, Deployment: &draft})
	if err != nil {
		t.Fatal(err)
	}
	id := installed.Deployment.ID
	if installed.Task.Deployment != id || installed.Task.Installing[fleet.DeployWaiting]+installed.Task.Installing[fleet.DeployRunning] != 1 || installed.Task.State != "waiting" {
		t.Errorf("%+v", installed.Task)
	}
	h := await(id, fleet.DeployKey)
	if h.Key == nil || h.Key.Line != host.HostKey || h.Key.Fingerprint != deploy.Fingerprint(host.HostKey) {
		t.Fatalf("%+v; the host's key is %s", h, host.HostKey)
	}
	// Nothing of another key, and nothing on the host before somebody looked.
	if _, err := f.TrustKeys(ctx, fleettest.Admin, id, []fleet.TrustedKey{{Address: h.Address, Fingerprint: "SHA256:other"}}); err == nil {
		t.Error("another key was trusted")
	}
	if _, err := os.Stat(filepath.Join(root, "opt")); err == nil {
		t.Error("something was put on a host that nobody trusted")
	}
	f.Restart(t) // What waits for a person waits on, with its credentials.
	if _, err := f.TrustKeys(ctx, fleettest.Admin, id, []fleet.TrustedKey{{Address: h.Address, Fingerprint: h.Key.Fingerprint}}); err != nil {
		t.Fatal(err)
	}
	agent := filepath.Join(root, "opt/icewatch-agent/icewatch-agent")
	dir := filepath.Join(root, "var/lib/icewatch-agent")
	// start does the service manager's part, of which there is none in a folder,
	// once the program is in place.
	var run *exec.Cmd
	stop := func() {
		if run != nil {
			_ = run.Process.Kill()
			_ = run.Wait()
		}
	}
	defer func() { stop() }()
	start := func(id string) {
		t.Helper()
		agenttest.Await(t, 30*time.Second, "the program in place", func() bool {
			_, hosts, _ := f.Deployment(fleettest.Admin, id)
			if hosts[0].State == fleet.DeployFailed {
				t.Fatalf("%+v", hosts[0])
			}
			return hosts[0].Step == fleet.StepOnline
		})
		stop()
		run = exec.Command(agent, "run", "--dir", dir)
		if err := run.Start(); err != nil {
			t.Fatal(err)
		}
	}
	start(id)
	h = await(id, fleet.DeployDone)
	hosts := f.Hosts(fleettest.Admin, fleet.HostQuery{})
	if len(hosts) != 1 || hosts[0].ID != h.Agent || hosts[0].Labels[0] != "role=web" || !strings.HasPrefix(h.Platform, "linux/") {
		t.Fatalf("%+v %+v", hosts, h)
	}
	if task, err := f.Task(fleettest.Admin, installed.Task.ID); err != nil || task.State != "running" || task.Running != 1 || task.Installing[fleet.DeployDone] != 1 || h.Step != fleet.StepCollect {
		t.Errorf("%+v %v %s", task, err, h.Step)
	}
	log, err := f.DeploymentLog(fleettest.Admin, id, h.Address)
	if err != nil || len(log.Log) < 3 || !strings.Contains(log.Log[len(log.Log)-1].Text, h.Agent) {
		t.Errorf("%v %+v", err, log)
	}
	for _, line := range log.Log {
		if strings.Contains(line.Text, "iwe_") {
			t.Errorf("the token stands in the log: %s", line.Text)
		}
	}
	// At the end credentials are forgotten, and the token is good for nobody.
	agenttest.Await(t, 5*time.Second, "the end", func() bool {
		v, _, _ := f.Deployment(fleettest.Admin, id)
		return !v.EndedAt.IsZero()
	})
	if tokens := f.Tokens(fleettest.Admin); len(tokens) != 1 || tokens[0].State != "withdrawn" {
		t.Errorf("%+v", tokens)
	}

	// The upgrade knows the host's key, and needs nobody.
	draft.Kind = deploy.Upgrade
	upgrade := begin(draft)
	start(upgrade)
	upgraded := await(upgrade, fleet.DeployDone)
	if upgraded.Agent != h.Agent {
		t.Errorf("%+v", upgraded)
	}
	draft.Kind, draft.Purge = deploy.Remove, true
	removed := await(begin(draft), fleet.DeployDone)
	if removed.Agent != h.Agent {
		t.Errorf("%+v", removed)
	}
	for _, path := range []string{agent, dir, filepath.Join(root, "etc/systemd/system/icewatch-agent.service")} {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s is left", path)
		}
	}
	if hosts := f.Hosts(fleettest.Admin, fleet.HostQuery{}); hosts[0].State != fleet.Revoked {
		t.Errorf("%+v", hosts[0])
	}

	// What goes wrong is said by host: a wrong key, another host in its place, nothing there.
	stranger := peers.StartShell(t, "A=b")
	wrong := draft
	wrong.Kind, wrong.Key = deploy.Remove, stranger.KeyPEM
	if h := await(begin(wrong), fleet.DeployFailed); !strings.Contains(h.Text, "does not let "+host.User+" in") {
		t.Errorf("%+v", h)
	}
	if h := await(begin(draft), fleet.DeployFailed); !strings.Contains(h.Text, "there is no agent in "+root) {
		t.Errorf("%+v", h)
	}
	if _, err := f.ForgetHostKey(ctx, fleettest.Admin, "egov", host.Address); err != nil {
		t.Fatal(err)
	}
	again := begin(draft)
	await(again, fleet.DeployKey)
	if _, err := f.CancelDeployment(fleettest.Admin, again); err != nil {
		t.Fatal(err)
	}
	await(again, fleet.DeployCancelled)
	gone := draft
	gone.Hosts = []string{"127.0.0.1:" + peers.FreePort(t)}
	if h := await(begin(gone), fleet.DeployFailed); !strings.Contains(h.Text, "is not reached") {
		t.Errorf("%+v", h)
	}
	for _, bad := range []string{"a b", "-x", "10.0.0.1:0", "10.0.0.1:99999", "x_y;rm", ""} {
		d := draft
		d.Hosts = []string{bad}
		if _, err := f.Deploy(ctx, fleettest.Admin, d); err == nil {
			t.Errorf("the host %q is taken", bad)
		}
	}
}

// TestDeployToAnImpostor does not sign in on a host that shows another key than the one it is known by.
func TestDeployToAnImpostor(t *testing.T) {
	t.Parallel()
	host := peers.StartShell(t, "A=b")
	other := peers.StartShell(t, "A=b")
	_, err := deploy.Run(context.Background(), host.Address, deploy.Credentials{User: host.User, Key: host.KeyPEM},
		deploy.Order{Kind: deploy.Remove, Trusted: other.HostKey, Dial: collectors.PlainDial, Tell: func(string, string) {}})
	if err == nil || !strings.Contains(err.Error(), "another host may stand in its place") || !strings.Contains(err.Error(), deploy.Fingerprint(other.HostKey)) {
		t.Fatal(err)
	}
}
