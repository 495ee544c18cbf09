package acceptance

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"icewatch/collectors/fleet/extension/extensiontest"
	"icewatch/collectors/fleet/fleettest"
	"icewatch/collectors/fleet/wire"
	"icewatch/test/peers"
)

// TestFleet enrols this machine with the agent's own program: its figures are asked for
// in PromQL, its lines found once each, a change is live within three seconds, a bad one
// refused by name, a token good once, and a revoked agent refused.
func TestFleet(t *testing.T) {
	t.Parallel()
	agent := filepath.Join(bin, "icewatch-agent")
	if _, err := os.Stat(agent); err != nil {
		peers.Missing(t, "icewatch-agent ("+agent+"; make agent)")
	}
	port := peers.FreePort(t)
	s := newSuite(t, "agents: {listen: '127.0.0.1:"+port+"'}\n")
	ctx := t.Context()
	post := func(path string, in, out any) error {
		return s.admin.JSON(ctx, http.MethodPost, "/api/v1/fleet"+path, nil, in, out)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	// This machine is busy with other tests, which must not trip the breaker here.
	log := filepath.Join(t.TempDir(), "app.log")
	document := func(interval string) string {
		return fmt.Sprintf("inputs:\n  - {plugin: mem, interval: %s}\nfiles:\n  - {name: app, paths: [%s], dataset: app.orders}\nlimits: {cpu_percent: 800, memory_mb: 500, host: {cpu_percent: 100, memory_percent: 100, disk_percent: 100}}\n", interval, log)
	}
	var configuration struct{ ID string }
	must(post("/configurations", map[string]any{"tenant": "e-seal", "name": "web", "selector": map[string]any{"labels": []string{"role=web"}}}, &configuration))
	publish := func(document string) error {
		return post("/configurations/"+configuration.ID+"/publish", map[string]any{"document": document, "soak_seconds": 0}, nil)
	}
	must(publish(document("1s")))

	var made struct{ Token string }
	must(post("/tokens", map[string]any{"tenant": "e-seal", "labels": []string{"role=web"}}, &made))
	home := t.TempDir()
	if out, err := exec.CommandContext(ctx, agent, "enrol", "--dir", home, "--token", made.Token).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	token, err := wire.ParseToken(made.Token)
	must(err)
	thief, err := fleettest.NewClient(token)
	must(err)
	var refused *fleettest.Status
	if err := thief.Enrol(ctx, wire.Facts{Hostname: "thief"}); !errors.As(err, &refused) || refused.Body.Code != wire.CodeToken {
		t.Errorf("a token that was used enrolled another host: %v", err)
	}
	said, err := os.Create(filepath.Join(t.TempDir(), "said"))
	must(err)
	run := exec.CommandContext(ctx, agent, "run", "--dir", home)
	run.Stdout, run.Stderr = said, said
	must(run.Start())
	defer func() {
		_ = run.Process.Kill()
		_ = run.Wait()
		if t.Failed() {
			text, _ := os.ReadFile(said.Name())
			t.Logf("%s", text)
		}
	}()

	type host struct {
		ID, Name, State, Tenant, Item string
		Configuration                 struct {
			Version int64
			Applied bool
			Refused string
		}
	}
	the := func() host {
		t.Helper()
		var page struct{ Items []host }
		must(s.admin.Get(ctx, "/api/v1/fleet/hosts", nil, &page))
		if len(page.Items) != 1 {
			t.Fatalf("%d hosts", len(page.Items))
		}
		return page.Items[0]
	}
	eventually(t, 30*time.Second, "the configuration is in force", func() error {
		if h := the(); !h.Configuration.Applied || h.Configuration.Version != 1 || h.Tenant != "e-seal" {
			return fmt.Errorf("%+v", h)
		}
		return nil
	})
	id := the().ID
	var text strings.Builder
	const lines = 200
	for n := range lines {
		fmt.Fprintf(&text, "order %d of the fleet\n", n)
	}
	must(os.WriteFile(log, []byte(text.String()), 0o600))
	eventually(t, time.Minute, "the host's memory is known", func() error {
		var v struct{ Result []struct{ Value [2]any } }
		if err := s.admin.Get(ctx, "/api/v1/metrics/query", url.Values{"query": {`mem_used_percent{agent_id="` + id + `"}`}}, &v); err != nil {
			return err
		}
		if len(v.Result) != 1 {
			return fmt.Errorf("%d series", len(v.Result))
		}
		return nil
	})
	for _, r := range s.expect(`"of the fleet" agent.id:="`+id+`"`, lines, time.Minute) {
		if r["icewatch.tenant"] != nil && r["icewatch.tenant"] != "e-seal" {
			t.Fatalf("%v", r)
		}
	}

	began := time.Now()
	must(publish(document("2s")))
	eventually(t, 3*time.Second, "a change is live within 3 s", func() error {
		if h := the(); !h.Configuration.Applied || h.Configuration.Version != 2 {
			return fmt.Errorf("%+v", h)
		}
		return nil
	})
	t.Logf("a change was live after %s", time.Since(began).Round(time.Millisecond))
	// A plug-in of somebody's own: uploaded, signed, installed, and its figures are there.
	pack := extensiontest.Script(t, "name: depth\nversion: 1.0.0\nformat: influx\ninterval: 1s\noptions: [{name: queue, default: orders}]", "echo \"depth,queue=$OPTION_QUEUE value=42\"\n")
	must(s.admin.Send(ctx, http.MethodPost, "/api/v1/fleet/plugins", nil, http.Header{"Content-Type": {"application/octet-stream"}}, bytes.NewReader(pack), nil))
	if err := s.admin.Send(ctx, http.MethodPost, "/api/v1/fleet/plugins", nil, http.Header{"Content-Type": {"application/octet-stream"}}, bytes.NewReader(pack[:len(pack)-20]), nil); err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("a package that is cut off was taken: %v", err)
	}
	must(post("/jobs", map[string]any{"kind": "plugin-install", "plugin": "depth", "hosts": []string{id}}, nil))

	// What can be known here is refused here, by input and line.
	if err := publish("inputs:\n  - {plugin: mem, intervall: 1s}\n"); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("a bad document was published: %v", err)
	}
	// What the host alone knows it refuses, and the version is taken back: commands are
	// not run for the fleet where the host does not allow it.
	must(publish(document("2s") + "labels: {a: b}\n"))
	must(publish("inputs:\n  - {plugin: exec, settings: {commands: [id]}}\n"))
	eventually(t, 20*time.Second, "a version that the host refuses is taken back", func() error {
		var c struct {
			Rollout struct{ State, Reason string }
		}
		if err := s.admin.Get(ctx, "/api/v1/fleet/configurations/"+configuration.ID, nil, &c); err != nil {
			return err
		}
		if c.Rollout.State != "rolled_back" || !strings.Contains(c.Rollout.Reason, "exec") {
			return fmt.Errorf("%+v", c.Rollout)
		}
		return nil
	})

	eventually(t, 30*time.Second, "figures of the plug-in", func() error {
		var v struct{ Result []struct{ Value [2]any } }
		if err := s.admin.Get(ctx, "/api/v1/metrics/query", url.Values{"query": {`depth_value{queue="orders",agent_id="` + id + `"}`}}, &v); err != nil {
			return err
		}
		if len(v.Result) != 1 || v.Result[0].Value[1] != "42" {
			return fmt.Errorf("%+v", v.Result)
		}
		return nil
	})

	must(post("/hosts/revoke", map[string]any{"hosts": []string{id}, "reason": "lost"}, nil))
	if h := the(); h.State != "revoked" {
		t.Errorf("%+v", h)
	}
	eventually(t, 20*time.Second, "the agent is told that it is revoked", func() error {
		text, err := os.ReadFile(said.Name())
		if err == nil && !strings.Contains(string(text), "revoked") && !strings.Contains(string(text), "certificate") {
			err = errors.New("it does not say so")
		}
		return err
	})
}
