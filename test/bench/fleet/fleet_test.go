// Package fleet measures a fleet of a thousand agents: the agents' own code of the link,
// a real TLS connection each, in one process; the fleet with its listener in another,
// whose memory is told. It is run by make bench-fleet.
package fleet

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"icewatch/collectors/agent/config"
	"icewatch/collectors/agent/link"
	"icewatch/collectors/fleet"
	"icewatch/collectors/fleet/configuration"
	"icewatch/collectors/fleet/fleettest"
	"icewatch/collectors/fleet/lease"
	"icewatch/collectors/fleet/wire"
)

const role = "ICEWATCH_BENCH_FLEET"

// order is what the bench asks of the process that serves.
type order struct {
	Do       string
	Document string
	N        int
	Hosts    []string
	Group    string
	Config   string
}

// answer is what it says.
type answer struct {
	Text  string
	Error string
}

// TestServe is the serving process; it ends with its standard input.
func TestServe(t *testing.T) {
	if os.Getenv(role) != "serve" {
		t.Skip("it is the serving process of make bench-fleet")
	}
	f := fleettest.Start(t)
	ctx := t.Context()
	control := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var o order
		err := json.NewDecoder(r.Body).Decode(&o)
		var a answer
		switch o.Do {
		case "token":
			a.Text = f.Token(t, fleet.TokenDraft{Uses: o.N}).String()
		case "configuration":
			var c fleet.ConfigurationView
			c, err = f.KeepConfiguration(ctx, fleettest.Admin, "", 0, fleet.ConfigurationDraft{Tenant: "egov", Name: "bench", Selector: configuration.Selector{Everybody: true}})
			a.Text = c.ID
		case "publish":
			_, err = f.Publish(ctx, fleettest.Admin, o.Config, fleet.Publication{Document: o.Document, AtOnce: true})
		case "group":
			var g fleet.GroupView
			if g, err = f.KeepGroup(ctx, fleettest.Admin, "", fleet.GroupDraft{Tenant: "egov", Name: "bench"}); err == nil {
				a.Text = g.ID
				_, err = f.ChangeHosts(ctx, fleettest.Admin, o.Hosts, fleet.HostChange{Group: &g.ID})
			}
		case "tasks":
			for i := range o.N {
				if _, err = f.KeepTask(ctx, fleettest.Admin, "", 0, fleet.TaskDraft{Tenant: "egov", Name: fmt.Sprint("probe ", i), Template: "tcp-check", Params: map[string]string{"address": "127.0.0.1:" + strconv.Itoa(1000+i)}, Group: o.Group}); err != nil {
					break
				}
			}
		}
		if err != nil {
			a.Error = err.Error()
		}
		_ = json.NewEncoder(w).Encode(a)
	}))
	defer control.Close()
	fmt.Println("CONTROL", control.URL)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// host is one agent: it takes configurations as the agent does, by its own parser, and
// notes which tasks it runs until when.
type host struct {
	id   string
	dead atomic.Bool
	stop context.CancelFunc

	mu     sync.Mutex
	config string
	runs   map[string]time.Time
}

func (h *host) serve(ctx context.Context, c *link.Client, facts wire.Facts) {
	var in wire.Checkin
	in.Version, in.State, in.Facts = "1.0.0", wire.StateHealthy, &facts
	var wait link.Backoff
	for ctx.Err() == nil {
		o, sent, err := c.Checkin(ctx, &in)
		if err != nil {
			if !wait.Wait(ctx, 0) {
				return
			}
			continue
		}
		wait.Reset()
		in.Facts = nil
		h.mu.Lock()
		if o.Config != nil {
			if _, err := config.Read([]byte(o.Config.Document)); err != nil {
				in.ConfigError = &wire.Fault{SHA256: o.Config.SHA256, Text: err.Error()}
			} else {
				in.Config, h.config = o.Config.SHA256, o.Config.Document
			}
		}
		if o.Leases != nil {
			h.runs, in.Leases = map[string]time.Time{}, nil
			for _, l := range *o.Leases {
				h.runs[l.Task] = sent.Add(time.Duration(l.TTL) * time.Millisecond)
				in.Leases = append(in.Leases, wire.LeaseState{Task: l.Task, Fence: l.Fence})
			}
		}
		h.mu.Unlock()
	}
}

// running counts who runs each task now. Dead hosts run nothing.
func running(hosts []*host) (by map[string]int, twice string) {
	by = map[string]int{}
	now := time.Now()
	for _, h := range hosts {
		if h.dead.Load() {
			continue
		}
		h.mu.Lock()
		for task, until := range h.runs {
			if now.Before(until) {
				if by[task]++; by[task] > 1 {
					twice = task
				}
			}
		}
		h.mu.Unlock()
	}
	return by, twice
}

func TestFleetOfAThousand(t *testing.T) {
	if os.Getenv(role) != "1" {
		t.Skip("run make bench-fleet")
	}
	number := func(name string, usual int) int {
		if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
			return n
		}
		return usual
	}
	agents, tasks := number("FLEET_AGENTS", 1000), number("FLEET_TASKS", 1000)
	dying := agents * 3 / 10
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run", "^TestServe$", "-test.v", "-test.timeout", "20m")
	cmd.Env = append(os.Environ(), role+"=serve")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	control := ""
	lines := bufio.NewScanner(out)
	for control == "" && lines.Scan() {
		_, control, _ = strings.Cut(lines.Text(), "CONTROL ")
	}
	if control == "" {
		t.Fatal("the serving process does not serve")
	}
	go func() {
		for lines.Scan() {
			t.Log("serving:", lines.Text())
		}
	}()
	ask := func(o order) string {
		t.Helper()
		data, _ := json.Marshal(o)
		res, err := http.Post(control, "application/json", strings.NewReader(string(data)))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var a answer
		if err := json.NewDecoder(res.Body).Decode(&a); err != nil || a.Error != "" {
			t.Fatal(o.Do, a.Error, err)
		}
		return a.Text
	}

	token := ask(order{Do: "token", N: agents})
	configID := ask(order{Do: "configuration"})
	dir := t.TempDir()
	quiet := slog.New(slog.DiscardHandler)
	hosts := make([]*host, agents)
	began := time.Now()
	var wg sync.WaitGroup
	limit := make(chan struct{}, 16)
	for i := range hosts {
		limit <- struct{}{}
		wg.Go(func() {
			defer func() { <-limit }()
			facts := wire.Facts{Hostname: fmt.Sprintf("host-%04d", i), OS: "linux", Arch: "amd64", Platform: "debian", Addresses: []string{fmt.Sprintf("10.%d.%d.1", i/250, i%250)}}
			home := filepath.Join(dir, strconv.Itoa(i))
			id, err := link.Enrol(ctx, home, token, facts, "1.0.0", false)
			if err != nil {
				t.Error(err)
				return
			}
			c, err := link.NewClient(home, id, quiet)
			if err != nil {
				t.Error(err)
				return
			}
			own, stop := context.WithCancel(ctx)
			hosts[i] = &host{id: id.Agent, stop: func() { stop(); c.Close() }}
			go hosts[i].serve(own, c, facts)
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	t.Logf("%d hosts enrolled in %s", agents, time.Since(began).Round(time.Millisecond))
	until := func(what string, within time.Duration, f func() bool) time.Duration {
		t.Helper()
		began := time.Now()
		for !f() {
			if time.Since(began) > within {
				t.Fatalf("not within %s: %s", within, what)
			}
			time.Sleep(20 * time.Millisecond)
		}
		return time.Since(began)
	}
	all := func(document string) func() bool {
		return func() bool {
			for _, h := range hosts {
				h.mu.Lock()
				same := h.config == document
				h.mu.Unlock()
				if !same {
					return false
				}
			}
			return true
		}
	}
	document := func(n int) string {
		return configuration.Default + fmt.Sprintf("labels: {round: \"%d\"}\n", n)
	}
	ask(order{Do: "publish", Config: configID, Document: document(0)})
	until("the first configuration is everywhere", time.Minute, all(document(0)))
	slowest := time.Duration(0)
	for round := 1; round <= 3; round++ {
		began := time.Now()
		ask(order{Do: "publish", Config: configID, Document: document(round)})
		until("a change is everywhere", time.Minute, all(document(round)))
		slowest = max(slowest, time.Since(began))
	}

	// Group tasks: each on one host, none on two, looked at all the time.
	ids := make([]string, agents)
	for i, h := range hosts {
		ids[i] = h.id
	}
	group := ask(order{Do: "group", Hosts: ids})
	ask(order{Do: "tasks", Group: group, N: tasks})
	watching, halt := context.WithCancel(ctx)
	var doubled atomic.Int64
	var watch sync.WaitGroup
	watch.Go(func() {
		for watching.Err() == nil {
			if _, twice := running(hosts); twice != "" {
				doubled.Add(1)
			}
			time.Sleep(25 * time.Millisecond)
		}
	})
	until("every task of the group runs", 2*time.Minute, func() bool { by, _ := running(hosts); return len(by) == tasks })
	time.Sleep(2 * lease.Renew)
	for _, h := range hosts[:dying] {
		h.dead.Store(true)
		h.stop()
	}
	takeover := until("the tasks of the dead run elsewhere", time.Minute, func() bool { by, _ := running(hosts); return len(by) == tasks })
	time.Sleep(2 * time.Second)
	halt()
	watch.Wait()
	if n := doubled.Load(); n > 0 {
		t.Errorf("a task ran twice at %d moments", n)
	}
	rss := 0
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "VmRSS:" {
			rss, _ = strconv.Atoi(f[1])
		}
	}
	if slowest > 15*time.Second {
		t.Errorf("a change reached %d hosts in %s; 15 s are promised", agents, slowest)
	}
	if takeover > 30*time.Second {
		t.Errorf("the tasks of %d dead hosts ran elsewhere in %s; 30 s are promised", dying, takeover)
	}
	fmt.Printf("\n%d agents, %d tasks of a group, %d agents killed; a task that ran twice was seen %d times\n", agents, tasks, dying, doubled.Load())
	fmt.Printf("BENCH fleet.config_1000 %.2f s\nBENCH fleet.takeover %.2f s\nBENCH fleet.server_rss %d MB\n", slowest.Seconds(), takeover.Seconds(), rss>>10)
}
