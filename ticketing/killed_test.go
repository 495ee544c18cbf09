package ticketing

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/soc/state"
)

// killedDB names the database that TestKilledChild takes occurrences into.
const killedDB = "TICKETING_KILLED_DB"

// ofKilled are the occurrences of TestKilled: stories of several hosts, each
// firing again and again.
func ofKilled() []detections.Occurrence {
	var occs []detections.Occurrence
	for n := range 600 {
		occs = append(occs, onHost([]rule{ruleGuess, ruleLogin, ruleScan, ruleSudo, ruleOutbound}[n%5], n, n%7, n%7))
	}
	return occs
}

// TestKilled: a process that is killed while it takes occurrences in has lost
// none that it has answered for, and whatever is handed over again after it
// counts once, under the same alerts and incidents as if nothing had happened.
func TestKilled(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state.db")
	r := rand.New(rand.NewPCG(1, 2))
	occs := ofKilled()
	for range 4 {
		child := exec.Command(os.Args[0], "-test.run=^TestKilledChild$")
		child.Env = append(os.Environ(), killedDB+"="+path)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		answered, enough := 0, 1+r.IntN(len(occs))
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if n, err := fmt.Sscanf(lines.Text(), "taken %d", &answered); n == 1 && err == nil && answered >= enough {
				break
			}
		}
		if answered == 0 {
			t.Fatal("the process took nothing in")
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() { // what it had answered before it died
			fmt.Sscanf(lines.Text(), "taken %d", &answered)
		}
		_ = child.Wait()
		db, err := state.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		s := openService(t, db, newClock(), Deps{Policy: realPolicy()})
		fired := 0
		for _, a := range allAlerts(t, s) {
			fired += a.Occurrences
		}
		if fired < answered || fired > len(occs) {
			t.Errorf("%d firings are in alerts, %d were answered for", fired, answered)
		}
		db.Close()
	}
	db, err := state.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	killed := openService(t, db, newClock(), Deps{Policy: realPolicy()})
	whole, _ := newService(t, realPolicy())
	for _, s := range []*Service{killed, whole} {
		ingest(t, s, occs...)
	}
	a, b := summary(t, killed), summary(t, whole)
	if a != b {
		t.Errorf("after kills\n%s\nwithout\n%s", a, b)
	}
}

// summary tells what became of all that was taken in.
func summary(t *testing.T, s *Service) string {
	t.Helper()
	var lines []string
	for _, a := range allAlerts(t, s) {
		lines = append(lines, fmt.Sprint(a.ID, a.Severity, a.Priority, a.Count, a.Occurrences, a.FirstSeen, a.LastSeen, a.IncidentID != "", a.EventIDs))
	}
	for _, i := range allIncidents(t, s) {
		lines = append(lines, fmt.Sprint(i.CI.ID, i.Severity, i.Priority, i.AlertCount, i.Actors, i.FirstSeen, i.LastSeen))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// TestKilledChild is the process of TestKilled.
func TestKilledChild(t *testing.T) {
	path := os.Getenv(killedDB)
	if path == "" {
		t.Skip("only TestKilled runs it")
	}
	db, err := state.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	s := openService(t, db, newClock(), Deps{Policy: realPolicy()})
	occs := ofKilled()
	for n := 0; n < len(occs); n += 5 {
		ingest(t, s, occs[n:n+5]...)
		fmt.Println("taken", n+5)
	}
	time.Sleep(time.Hour) // it is killed here at the latest
}
