package agent_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"icewatch/collectors/agent/agenttest"
	"icewatch/collectors/fleet"
	"icewatch/collectors/fleet/configuration"
	"icewatch/collectors/fleet/fleettest"
	"icewatch/collectors/fleet/wire"
	"icewatch/test/peers"
)

// program is the agent's own binary, as it is shipped.
func program(t testing.TB) string {
	t.Helper()
	for _, dir := range []string{os.Getenv("ICEWATCH_BIN"), "../../bin"} {
		path := filepath.Join(dir, "icewatch-agent")
		if _, err := os.Stat(path); dir != "" && err == nil {
			path, err = filepath.Abs(path)
			if err != nil {
				t.Fatal(err)
			}
			return path
		}
	}
	peers.Missing(t, "icewatch-agent is not built (make agent)")
	return ""
}

// guest is an agent of its own process.
type guest struct {
	t       testing.TB
	program string
	prefix  []string // what runs it
	dir     string

	mu  sync.Mutex
	cmd *exec.Cmd
	log strings.Builder
}

func (g *guest) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.log.Write(p)
}

func (g *guest) said() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.log.String()
}

func enrol(t testing.TB, bin, token string, prefix ...string) *guest {
	t.Helper()
	g := &guest{t: t, prefix: prefix, dir: filepath.Join(t.TempDir(), "state")}
	// A copy of its own: upgrades replace it.
	g.program = filepath.Join(t.TempDir(), "icewatch-agent")
	if err := os.Link(bin, g.program); err != nil {
		data, err := os.ReadFile(bin)
		if err == nil {
			err = os.WriteFile(g.program, data, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	cmd := g.command("enrol")
	cmd.Env = append(os.Environ(), "ICEWATCH_AGENT_TOKEN="+token)
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "this host is agent") {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() {
		g.stop(syscall.SIGTERM)
		if t.Failed() {
			t.Logf("the agent said:\n%s", g.said())
		}
	})
	return g
}

func (g *guest) command(args ...string) *exec.Cmd {
	args = append(slices.Clone(g.prefix), append([]string{g.program}, append(args, "--dir", g.dir)...)...)
	return exec.Command(args[0], args[1:]...)
}

func (g *guest) start() {
	g.t.Helper()
	g.cmd = g.command("run")
	g.cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "INVOCATION_ID=") }) // It is no service of this machine.
	g.cmd.Stdout, g.cmd.Stderr = g, g
	if err := g.cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
}

func (g *guest) stop(s syscall.Signal) {
	if g.cmd != nil {
		_ = g.cmd.Process.Signal(s)
		_ = g.cmd.Wait()
		g.cmd = nil
	}
}

var number = regexp.MustCompile(`^line (\d+)$`)

// TestHost enrols a host with the program as it is shipped at a fleet as it runs,
// gathers from real servers, is given good and bad documents, loses the network
// and its life, and is upgraded and revoked.
func TestHost(t *testing.T) {
	t.Parallel()
	bin := program(t)
	redis, nginx, postgres := peers.StartRedis(t), peers.StartNginx(t), peers.StartPostgres(t)
	f := fleettest.Start(t)
	scissors := agenttest.NewWire(t, f.URL)
	c, err := f.KeepConfiguration(t.Context(), fleettest.Admin, "", 0, fleet.ConfigurationDraft{Tenant: "egov", Name: "all", Selector: configuration.Selector{Everybody: true}})
	if err != nil {
		t.Fatal(err)
	}
	publish := func(text string) time.Time {
		t.Helper()
		began, soak := time.Now(), 0
		if _, err := f.Publish(t.Context(), fleettest.Admin, c.ID, fleet.Publication{Document: text, AtOnce: true, Soak: &soak}); err != nil {
			t.Fatal(err)
		}
		return began
	}
	// Whatever else this machine does, the breaker is not what is tested here.
	const limits = "limits: {cpu_percent: 1000, memory_mb: 400, host: {cpu_percent: 100, memory_percent: 100, disk_percent: 100}}\n"
	publish("inputs: [{plugin: mem, interval: 1s}]\n" + limits)
	token := f.Token(t, fleet.TokenDraft{})
	token.URLs = []string{scissors.URL()}
	g := enrol(t, bin, token.String())
	again := g.command("enrol", "--again")
	again.Env = append(os.Environ(), "ICEWATCH_AGENT_TOKEN="+token.String())
	if out, err := again.CombinedOutput(); err == nil || strings.Contains(string(out), token.Secret) {
		t.Fatalf("a token of one use enrolled twice: %s", out)
	}
	g.start()

	host := func() fleet.HostDetail {
		h := f.Hosts(fleettest.Admin, fleet.HostQuery{})
		if len(h) != 1 {
			t.Fatalf("%d hosts", len(h))
		}
		d, err := f.Host(fleettest.Admin, h[0].ID)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	agenttest.Await(t, 10*time.Second, "the first figures", func() bool { return len(f.Named("mem_used")) > 0 && host().Facts.Hostname != "" })

	log := filepath.Join(t.TempDir(), "app.log")
	document := func(more string) string {
		return fmt.Sprintf(`inputs:
  - {plugin: mem, interval: 1s}
  - {plugin: redis, interval: 2s, settings: {servers: ["tcp://%s"]}}
  - {plugin: nginx, interval: 2s, settings: {urls: [%q]}}
  - {plugin: postgresql, interval: 2s, settings: {address: %q}}
%sfiles:
  - {name: app, paths: [%s], dataset: app}
inventory: {skip: [packages, certificates, processes, services, users, containers]}
%s`, redis, nginx, postgres, more, log, limits)
	}
	inputs := func() string {
		var names []string
		for _, in := range host().Inputs {
			names = append(names, in.Name)
		}
		return strings.Join(names, " ")
	}
	began := publish(document(""))
	agenttest.Await(t, 5*time.Second, "the new document", func() bool { return inputs() == "mem redis nginx postgresql app" })
	if d := time.Since(began); d > 3*time.Second {
		t.Errorf("a changed document was live after %s; 3 s are the most", d)
	} else {
		t.Logf("a changed document was live after %s", d.Round(time.Millisecond))
	}
	for _, name := range []string{"redis_uptime", "nginx_active", "postgresql_xact_commit"} {
		agenttest.Await(t, 10*time.Second, name, func() bool { return len(f.Named(name)) > 0 })
	}

	agenttest.Await(t, 20*time.Second, "the end of the roll-out", func() bool {
		v, _, _ := f.Configuration(fleettest.Admin, c.ID)
		return v.Rollout.State == configuration.Done
	})

	// A bad document is refused by the name of its plug-in and its line.
	publish(document("  - {name: bad, plugin: redis, settings: {severs: [x]}}\n"))
	agenttest.Await(t, 5*time.Second, "the refusal", func() bool {
		v, _, _ := f.Configuration(fleettest.Admin, c.ID)
		return v.Rollout.State == configuration.RolledBack
	})
	v, _, err := f.Configuration(fleettest.Admin, c.ID)
	if err != nil || !strings.Contains(v.Rollout.Reason, "inputs.bad") || !strings.Contains(v.Rollout.Reason, "line 6") || !strings.Contains(v.Rollout.Reason, "redis has no setting severs") {
		t.Errorf("%v %+v", err, v.Rollout)
	}
	if inputs() != "mem redis nginx postgresql app" {
		t.Errorf("after the refusal %s run", inputs())
	}

	const cut = 3 * time.Second // TestHostUnplugged takes longer.
	writer := newWriter(t, log)
	time.Sleep(500 * time.Millisecond)
	unplugged := time.Now()
	scissors.Cut(true)
	time.Sleep(cut)
	scissors.Cut(false)
	plugged := time.Now()
	writer.await(f, "after the network came back")
	gaps(t, f, unplugged.Add(-time.Second), plugged)
	// Killed with lines on their way, with the network and without.
	for i := range 2 {
		scissors.Cut(i == 1)
		time.Sleep(300 * time.Millisecond)
		g.stop(syscall.SIGKILL)
		g.start()
		scissors.Cut(false)
	}
	writer.stop()
	writer.await(f, "after kills")

	upgrade(t, f, g, host)
	publish(document("  - {plugin: system}\n"))
	agenttest.Await(t, 5*time.Second, "a document for the new version", func() bool { return strings.Contains(inputs(), "system") })
	agenttest.Await(t, 5*time.Second, "the new version's word", func() bool { return strings.Contains(g.said(), "the new version is taken for good") })
	status, err := g.command("status").CombinedOutput()
	if err != nil || !strings.Contains(string(status), "redis") || !strings.Contains(string(status), "lost 0 lines, 0 samples") {
		t.Errorf("%v: %s", err, status)
	}
	id := host().ID
	if err := f.Revoke(t.Context(), fleettest.Admin, []string{id}, "test"); err != nil {
		t.Fatal(err)
	}
	agenttest.Await(t, 5*time.Second, "the refusal of the revoked", func() bool {
		said, _ := g.command("status").CombinedOutput()
		return strings.Contains(string(said), "the suite is not reached")
	})
	before := len(f.Lines())
	if err := os.WriteFile(log, []byte("a line of a host that was revoked\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	if n := len(f.Lines()); n != before {
		t.Errorf("%d lines of a revoked agent were taken", n-before)
	}
	if strings.Contains(g.said(), token.Secret) {
		t.Error("the token stands in the log")
	}
}

// upgrade offers the agent its own program with some bytes more as a new version.
func upgrade(t *testing.T, f *fleettest.Fleet, g *guest, host func() fleet.HostDetail) {
	t.Helper()
	data, err := os.Open(g.program)
	if err != nil {
		t.Fatal(err)
	}
	defer data.Close()
	if _, err := f.AddPackage(t.Context(), fleettest.Admin, "2.0.0", "", io.MultiReader(data, strings.NewReader("another build"))); err != nil {
		t.Fatal(err)
	}
	before := host().Usage.Started
	time.Sleep(time.Until(time.Unix(before+1, 0))) // It is told in seconds.
	jobs, err := f.Order(t.Context(), fleettest.Admin, fleet.JobDraft{Kind: wire.CommandUpgrade, Version: "2.0.0", Hosts: []string{host().ID}})
	if err != nil {
		t.Fatal(err)
	}
	agenttest.Await(t, 20*time.Second, "the upgrade", func() bool {
		_, results, _ := f.Job(fleettest.Admin, jobs[0].ID)
		if len(results) == 1 && results[0].State == "failed" {
			t.Fatal(results[0].Text)
		}
		return len(results) == 1 && results[0].State == "done" && host().Usage.Started > before
	})
	old, err := os.Stat(g.program + ".former")
	if err != nil {
		t.Fatal(err)
	}
	if now, err := os.Stat(g.program); err != nil || now.Size() != old.Size()+int64(len("another build")) {
		t.Errorf("%v: %d bytes are in place, %d were", err, now.Size(), old.Size())
	}
}

// writer writes numbered lines until it is stopped.
type writer struct {
	t    testing.TB
	end  chan struct{}
	done chan struct{}
	mu   sync.Mutex
	n    int
}

func newWriter(t testing.TB, path string) *writer {
	t.Helper()
	out, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	w := &writer{t: t, end: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(w.done)
		defer out.Close()
		for {
			select {
			case <-w.end:
				return
			case <-time.After(5 * time.Millisecond):
			}
			w.mu.Lock()
			w.n++
			_, _ = fmt.Fprintf(out, "line %d\n", w.n)
			w.mu.Unlock()
		}
	}()
	return w
}

func (w *writer) stop() { close(w.end); <-w.done }

func (w *writer) written() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.n
}

// await waits for all lines written so far, and looks that none is there twice: a
// record sent again has its old id.
func (w *writer) await(f *fleettest.Fleet, when string) {
	w.t.Helper()
	want := w.written()
	var lines map[int]string
	agenttest.Await(w.t, 90*time.Second, "all lines "+when, func() bool {
		lines = map[int]string{}
		for _, r := range f.Lines() {
			if m := number.FindSubmatch(r.Data); m != nil {
				n, _ := strconv.Atoi(string(m[1]))
				if id, ok := lines[n]; ok && id != r.ID {
					w.t.Fatalf("%s: line %d came under %s and %s", when, n, id, r.ID)
				}
				lines[n] = r.ID
			}
		}
		return len(lines) >= want
	})
	for n := 1; n <= want; n++ {
		if lines[n] == "" {
			w.t.Fatalf("%s: line %d is missing", when, n)
		}
	}
}

// gaps looks whether the figures of each second of a span came, once.
func gaps(t *testing.T, f *fleettest.Fleet, from, to time.Time) {
	t.Helper()
	var at []int64
	agenttest.Await(t, 90*time.Second, "the figures of the time without network", func() bool {
		at = at[:0]
		for _, s := range f.Named("mem_used") {
			at = append(at, s.Time)
		}
		slices.Sort(at)
		return len(at) > 0 && at[len(at)-1] > to.UnixMilli()
	})
	for i := 1; i < len(at); i++ {
		if at[i] == at[i-1] {
			t.Errorf("the figures of %s came twice", time.UnixMilli(at[i]))
		}
		if at[i] > from.UnixMilli() && at[i-1] < to.UnixMilli() && at[i]-at[i-1] > 1900 {
			t.Errorf("nothing came of %d ms before %s", at[i]-at[i-1], time.UnixMilli(at[i]))
		}
	}
}
