package ticketing

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/soc/egress"
	"icewatch/soc/reach"
	"icewatch/soc/seal"
	"icewatch/soc/state"
	"icewatch/ticketing/channel"
	"icewatch/ticketing/disposal"
	"icewatch/ticketing/outbox"
	"icewatch/ticketing/webhook"
	"icewatch/ticketing/workorder"
)

// The environment of TestDispatchKilledChild.
const (
	dispatchDir = "TICKETING_DISPATCH_DIR" // of the database
	dispatchAt  = "TICKETING_DISPATCH_AT"  // when the test began, Unix milliseconds, the story's length, and where to go on
)

// dispatching is ticketing with work orders and disposal rules, as the suite
// wires them, on a clock that goes faster than the real one.
type dispatching struct {
	*Service
	orders *workorder.Service
	rules  *disposal.Service
	story  int // its length
}

// haste is by how much that clock is faster: rules wait a second until an alert
// has settled, and what was not taken is sent again after five.
const haste = 40

func openDispatching(t *testing.T, dir string, began time.Time, story int) *dispatching {
	t.Helper()
	ctx := t.Context()
	db, err := state.Open(ctx, filepath.Join(dir, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	box, err := seal.Open(ctx, db, filepath.Join(dir, "master.key"), slices.Concat(outbox.Sealed(), workorder.Sealed())...)
	if err != nil {
		t.Fatal(err)
	}
	guard, err := egress.New(egress.Options{Allow: []string{"127.0.0.0/8"}})
	if err != nil {
		t.Fatal(err)
	}
	clock := func() time.Time { return began.Add(haste * time.Since(began)) }
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	d := &dispatching{story: story}
	if d.Service, err = Open(ctx, db, Deps{Policy: simplePolicy, Seal: box, Egress: guard, Log: log, Clock: clock, Zone: time.UTC, Config: Config{ExternalURL: "https://soc.example/"}}); err != nil {
		t.Fatal(err)
	}
	desk := Desk{d.Service}
	if d.orders, err = workorder.Open(ctx, db, workorder.Deps{Tickets: desk, Seal: box, Egress: guard, Log: log, Clock: clock}); err != nil {
		t.Fatal(err)
	}
	d.rules, err = disposal.Open(ctx, db, disposal.Deps{Tickets: desk, Log: log, Clock: clock,
		WorkOrder: func(ctx context.Context, connection, object, rule string) error {
			return d.orders.MakeOnce(ctx, "disposal-rule", connection, object, rule)
		}})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// storyOf is how many incidents open in the story of a test with so many kills.
func storyOf(rounds int) int { return max(60, 4*rounds) }

// happen has the story go on: an incident opens, and the one three before it is
// closed. It may happen again from anywhere.

func (d *dispatching) happen(ctx context.Context, n int, wait func() error) error {
	h := host{id: fmt.Sprint("ci-", n), name: fmt.Sprint("web-", n), tenant: "e-seal", addr: fmt.Sprint("10.9.0.", n)}
	if n < d.story {
		if err := d.Ingest(ctx, []detections.Occurrence{fire(criticalRule("P1"), h, address(n), time.Duration(n)*time.Second, nil)}); err != nil {
			return err
		}
	}
	if n < 3 {
		return nil
	}
	list, _, _, err := d.Incidents(ctx, IncidentQuery{Reach: reach.All(), CI: fmt.Sprint("ci-", n-3)})
	if err != nil || len(list) != 1 {
		return fmt.Errorf("incidents of ci-%d: %v, %v", n-3, list, err)
	}
	if list[0].Status == StatusClosed {
		return nil
	}
	// Nobody closes what was not given to him yet.
	for {
		_, n, _, err := d.rules.Records(ctx, disposal.RecordQuery{Reach: reach.All(), Object: list[0].ID})
		if err != nil {
			return err
		}
		if n > 0 {
			break
		}
		if err := wait(); err != nil {
			return err
		}
	}
	_, err = d.CloseIncident(ctx, Actor{Name: "wang", Reach: reach.All()}, list[0].ID, Close{Resolution: "true_positive", Comment: "done"})
	return err
}

// receiver takes requests, answers those that it has seen before as it did then,
// and counts them.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	got    []workorder.Data // of work orders, in the order in which they came first
	told   map[string]int   // of notifications: how many by status and incident
	seen   map[string]bool  // deliveries
	again  int
	orders map[string]string // their ids by ours
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{told: map[string]int{}, seen: map[string]bool{}, orders: map[string]string{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return // broken off
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		delivery := req.Header.Get(webhook.DeliveryHeader)
		first := !r.seen[delivery]
		r.seen[delivery] = true
		if !first {
			r.again++
		}
		if req.URL.Path == "/told" {
			var p webhook.Payload
			if json.Unmarshal(body, &p) == nil && first && len(p.Alerts) == 1 {
				r.told[p.Status+" "+p.GroupLabels["incident"]+p.GroupLabels["alert"]]++
			}
			return
		}
		var in workorder.Data
		if err := json.Unmarshal(body, &in); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if first {
			r.got = append(r.got, in)
		}
		if r.orders[in.Order] == "" {
			r.orders[in.Order] = fmt.Sprint("T-", len(r.orders)+1)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"id": r.orders[in.Order]})
	}))
	t.Cleanup(r.Close)
	return r
}

// TestDispatchKilled kills a process over and over while disposal rules assign
// incidents, make work orders of them and tell of them, and while the orders'
// changes go to another system. Then each incident was assigned once, has one
// order, which the other system heard all changes of in their order, and its
// receivers were told once that it opened and once that it is over. What was sent
// when the process died comes again under the same id, no more often than it was
// killed. ICEWATCH_DISPATCH_KILLS sets how often.
func TestDispatchKilled(t *testing.T) {
	t.Parallel()
	rounds := 2
	if v := os.Getenv("ICEWATCH_DISPATCH_KILLS"); v != "" {
		var err error
		if rounds, err = strconv.Atoi(v); err != nil || rounds < 1 {
			t.Fatalf("ICEWATCH_DISPATCH_KILLS=%q is no number of rounds", v)
		}
	}
	dir, began, r := t.TempDir(), time.Now(), newReceiver(t)
	d := openDispatching(t, dir, began, storyOf(rounds))
	settings, _ := json.Marshal(channel.Webhook{URL: r.URL + "/told"})
	if _, err := d.Outbox().AddContact(t.Context(), "test", outbox.Contact{Name: "desk", Kind: "webhook", Settings: settings, SendResolved: true}); err != nil {
		t.Fatal(err)
	}
	key := "secret"
	c, _, err := d.orders.Add(t.Context(), "test", workorder.Content{Name: "orders", Enabled: true, URL: r.URL + "/orders"}, workorder.Secrets{Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	rule, err := d.rules.Add(t.Context(), "test", disposal.Content{Name: "all", Enabled: true, On: disposal.OnIncident, WorkOrder: c.ID,
		Assign: &disposal.Assign{To: disposal.ToUser, User: "wang", Anew: true}, Tell: &disposal.Tell{Receivers: []string{"desk"}, Recovery: true}})
	if err != nil {
		t.Fatal(err)
	}
	rnd, happened := rand.New(rand.NewPCG(3, 4)), 0
	for n := range rounds {
		// Each round goes on from where the one before was killed.
		left := d.story - happened
		happened = killDispatching(t, dir, began, d.story, happened, happened+1+rnd.IntN(max(1, 2*left/(rounds-n)-1)))
	}
	// What is left is done without kills.
	for n := happened; n < d.story+3; n++ {
		if err := d.happen(t.Context(), n, func() error { return d.step(t.Context()) }); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { d.Run(ctx) })
	defer func() { cancel(); running.Wait() }()
	wants := func() (missing string) {
		for _, i := range allIncidents(t, d.Service) {
			list, n, _, err := d.orders.Orders(ctx, workorder.Query{Reach: reach.All(), Object: i.ID})
			if err != nil || n != 1 || list[0].Waiting > 0 || list[0].State != workorder.StateOpen {
				return fmt.Sprintf("the orders of %s are %+v, %v", i.ID, list, err)
			}
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.told) < 2*d.story {
			return fmt.Sprintf("%d notifications came, want %d", len(r.told), 2*d.story)
		}
		return ""
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if err := d.step(ctx); err != nil {
			t.Fatal(err)
		}
		missing := wants()
		if missing == "" {
			break
		}
		if time.Now().After(end) {
			t.Fatal(missing)
		}
	}
	incidents := allIncidents(t, d.Service)
	if len(incidents) != d.story {
		t.Fatalf("%d incidents, want %d", len(incidents), d.story)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.again > rounds*2 { // one request to each of both may be under way at a kill
		t.Errorf("%d requests came again after %d kills", r.again, rounds)
	}
	for _, i := range incidents {
		for _, status := range []string{webhook.Firing, webhook.Resolved} {
			if n := r.told[status+" "+i.ID]; n != 1 {
				t.Errorf("that %s is %s was told %d times", i.ID, status, n)
			}
		}
		list, n, _, err := d.rules.Records(ctx, disposal.RecordQuery{Reach: reach.All(), Rule: rule.ID, Object: i.ID})
		if err != nil || n != 1 || slices.ContainsFunc(list[0].Done, func(o disposal.Outcome) bool { return o.Error != "" }) {
			t.Errorf("records of %s: %+v, %v", i.ID, list, err)
		}
		whole, err := d.Incident(ctx, reach.All(), i.ID)
		if err != nil {
			t.Fatal(err)
		}
		count, after := map[string]int{}, []string{} // the assignment, which comes before the order
		for _, e := range whole.Timeline {
			switch count[e.Kind]++; {
			case e.Kind == "assigned":
				after = nil
			case e.Kind != "work_order":
				after = append(after, "update "+e.Kind)
			}
		}
		if i.Assignee != "wang" || count["assigned"] != 1 || count["closed"] != 1 {
			t.Errorf("%s is with %q; its timeline has %v", i.ID, i.Assignee, count)
		}
		var heard []string
		for _, g := range r.got {
			if g.Subject.ID == i.ID {
				heard = append(heard, strings.TrimSpace(g.Kind+" "+g.Change.Kind))
			}
		}
		// What the timeline says last may not have gone out yet.
		if len(heard) < 2 || heard[0] != "create" || len(heard) > len(after)+1 || !slices.Equal(heard[1:], after[:len(heard)-1]) || !slices.Contains(heard, "update closed") {
			t.Errorf("the other system heard of %s: %v, the timeline has %v", i.ID, heard, after)
		}
	}
}

// step does once what rules and orders do again and again.
func (d *dispatching) step(ctx context.Context) error {
	if err := d.rules.Step(ctx); err != nil {
		return err
	}
	return d.orders.Step(ctx)
}

// killDispatching runs a process that goes on with the story and kills it once
// so much has happened, or a little later. It returns how much it answered for.
func killDispatching(t *testing.T, dir string, began time.Time, story, from, until int) (happened int) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestDispatchKilledChild$", "-test.timeout=2m")
	child.Env = append(os.Environ(), dispatchDir+"="+dir, fmt.Sprint(dispatchAt, "=", began.UnixMilli(), " ", story, " ", from))
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	happened = from
	lines := bufio.NewScanner(out)
	for happened < min(until, story) && lines.Scan() {
		if strings.Contains(lines.Text(), "FAIL") {
			t.Error(lines.Text())
		}
		fmt.Sscanf(lines.Text(), "happened %d", &happened)
	}
	if happened == from && from < story {
		t.Fatal("nothing happened")
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() { // what it had answered before it died
		fmt.Sscanf(lines.Text(), "happened %d", &happened)
	}
	_ = child.Wait()
	return happened
}

// TestDispatchKilledChild is the process of TestDispatchKilled.
func TestDispatchKilledChild(t *testing.T) {
	dir := os.Getenv(dispatchDir)
	if dir == "" {
		t.Skip("only TestDispatchKilled runs it")
	}
	var at int64
	var story, from int
	if _, err := fmt.Sscanf(os.Getenv(dispatchAt), "%d %d %d", &at, &story, &from); err != nil {
		t.Fatal(err)
	}
	d := openDispatching(t, dir, time.UnixMilli(at), story)
	go d.Run(t.Context())
	go func() {
		for {
			if err := d.step(t.Context()); err != nil {
				fmt.Println("FAIL:", err)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	for n := from; n < story; n++ {
		err := d.happen(t.Context(), n, func() error { time.Sleep(5 * time.Millisecond); return t.Context().Err() })
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("happened", n+1)
		time.Sleep(20 * time.Millisecond)
	}
	time.Sleep(time.Hour) // it is killed here at the latest
}
