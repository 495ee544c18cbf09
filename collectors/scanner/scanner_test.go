//go:build linux

package scanner_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"icewatch/collectors/agent/link"
	"icewatch/collectors/fleet"
	"icewatch/collectors/fleet/fleettest"
	fleetwire "icewatch/collectors/fleet/wire"
	"icewatch/collectors/scanner"
	"icewatch/collectors/scanner/wire"
)

// room is the suite's room of scans, as the contract has it.
type room struct {
	mu       sync.Mutex
	orders   wire.Orders
	checkins []wire.Checkin
	results  []wire.Result
}

func (r *room) Checkin(ctx context.Context, _ fleet.Agent, body []byte) ([]byte, error) {
	var c wire.Checkin
	if err := json.Unmarshal(body, &c); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.checkins = append(r.checkins, c)
	o := r.orders
	o.Runs = nil
	for _, run := range r.orders.Runs {
		known := slices.ContainsFunc(c.Runs, func(s wire.RunState) bool { return s.ID == run.ID })
		if !known || slices.Contains(c.Wants, run.ID) {
			o.Runs = append(o.Runs, run)
		}
	}
	return wire.Encode(o), ctx.Err()
}

func (r *room) TakeResults(_ context.Context, _ fleet.Agent, body []byte) error {
	list, err := wire.Unpack(body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.results = append(r.results, list...)
	return err
}

func (r *room) Templates(string) (*os.File, error) { return nil, fs.ErrNotExist }

func (r *room) order(change func(*wire.Orders)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.orders)
}

func (r *room) await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for range 600 {
		r.mu.Lock()
		ok := is()
		r.mu.Unlock()
		if ok {
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	t.Fatalf("%s: %d checkins, results %+v", what, len(r.checkins), r.results)
}

func (r *room) end(id string) *wire.End {
	for i := range r.results {
		if r.results[i].Run == id && r.results[i].End != nil {
			return r.results[i].End
		}
	}
	return nil
}

// TestScannerOfTheSuite enrols a scanner over the agents' listener: it takes a run,
// tells what it found once, is paused and cancelled, keeps no credential on disk, asks
// for it again after a restart, and refuses what its own host does not allow.
func TestScannerOfTheSuite(t *testing.T) {
	t.Parallel()
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/.git/config" {
			fmt.Fprint(w, "[core]\n\trepositoryformatversion = 0\n")
			return
		}
		http.NotFound(w, r)
	}))
	defer site.Close()
	port := strconv.Itoa(int(netip.MustParseAddrPort(site.Listener.Addr().String()).Port()))
	r := &room{}
	f := fleettest.StartScanning(t, r)
	dir := t.TempDir()
	token := f.Token(t, fleet.TokenDraft{Kind: fleet.Scanning})
	if _, err := link.Enrol(t.Context(), dir, token.String(), fleetwire.Facts{Hostname: "scanner-1", OS: "linux", Arch: "amd64"}, "test", false); err != nil {
		t.Fatal(err)
	}
	start := func(allow []string) (stop func()) {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() {
			done <- scanner.Run(ctx, scanner.Options{Dir: dir, Allow: allow, Version: "test", Log: slog.New(slog.DiscardHandler)})
		}()
		return func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	local := wire.Run{Kind: wire.KindCheck, Scope: wire.Scope{Ranges: []string{"127.0.0.0/8"}}, Targets: []string{"127.0.0.1"}, Ports: wire.Ports{TCP: []string{port}}, Probes: []string{wire.ProbeTCP, wire.ProbeBanner, wire.ProbeHTTP},
		Checks: []string{"exposed-git-config"}, Rate: wire.Rate{Packets: 2000, PerHost: 2000}}
	first := local
	first.ID = "R1"
	slow := local
	slow.ID, slow.Kind, slow.Targets, slow.Ports.TCP = "R2", wire.KindDiscover, []string{"127.0.1.0/24"}, []string{"1-200"}
	slow.Rate = wire.Rate{Packets: 200, PerHost: 2, Hosts: 4}
	slow.Credentials = []wire.Credential{{Kind: wire.CredentialSSH, Name: "ops", User: "root", Secret: "hunter2-hunter2"}}
	r.order(func(o *wire.Orders) { o.Runs, o.Pause = []wire.Run{first, slow}, []string{"R2"} })
	stop := start(nil)
	r.await(t, "the first run ends", func() bool { return r.end("R1") != nil })
	if e := r.end("R1"); e.State != wire.EndDone || e.Progress.Weaknesses != 1 || e.Progress.HostsDone != 1 {
		t.Errorf("end %+v", e)
	}
	r.await(t, "the second run is paused", func() bool {
		return slices.ContainsFunc(r.checkins[len(r.checkins)-1].Runs, func(s wire.RunState) bool {
			return s.ID == "R2" && s.State == wire.StatePaused && strings.HasPrefix(s.Progress.Paused, "order")
		})
	})
	stop()
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if data, _ := os.ReadFile(path); strings.Contains(string(data), "hunter2") {
				t.Errorf("%s holds a credential", path)
			}
		}
		return err
	})
	r.order(func(o *wire.Orders) { o.Runs = []wire.Run{first} })
	stop = start(nil)
	r.await(t, "the second run wants its credentials", func() bool {
		return slices.Contains(r.checkins[len(r.checkins)-1].Wants, "R2")
	})
	r.order(func(o *wire.Orders) { o.Runs, o.Pause = []wire.Run{first, slow}, nil })
	r.await(t, "the second run goes on", func() bool {
		c := r.checkins[len(r.checkins)-1]
		return len(c.Wants) == 0 && slices.ContainsFunc(c.Runs, func(s wire.RunState) bool { return s.ID == "R2" && s.State == wire.StateRunning })
	})
	r.order(func(o *wire.Orders) { o.Runs, o.Cancel = nil, []string{"R2"} })
	r.await(t, "the second run is cancelled", func() bool { return r.end("R2") != nil && r.end("R2").State == wire.EndCancelled })
	stop()
	narrow := local
	narrow.ID = "R3"
	r.order(func(o *wire.Orders) { o.Runs, o.Cancel = []wire.Run{first, narrow}, nil })
	stop = start([]string{"127.0.9.0/24"})
	r.await(t, "the third run is refused by the host", func() bool { return r.end("R3") != nil })
	stop()
	if e := r.end("R3"); e.State != wire.EndFailed || e.Progress.Refused == 0 {
		t.Errorf("the host allows nothing of it: %+v", e)
	}
	seen := map[string]int{}
	ends := 0
	for _, x := range r.results {
		seen[x.Run+"/"+strconv.FormatUint(x.Seq, 10)]++
		if x.Run == "R1" && x.End != nil {
			ends++
		}
	}
	for key, n := range seen {
		if n > 1 {
			t.Errorf("result %s came %d times", key, n)
		}
	}
	if ends != 1 {
		t.Errorf("the first run, which the suite offers again and again, ended %d times", ends)
	}
}
