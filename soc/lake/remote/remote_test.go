package remote_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"icewatch/soc/event"
	"icewatch/soc/lake"
	"icewatch/soc/lake/remote"
	"icewatch/soc/node"
	"icewatch/soc/search"
	"icewatch/test/peers"
)

const (
	account = 10
	keep    = 30 * 24 * time.Hour
)

// rig is a lake on servers, and what its sender believes to be stored.
type rig struct {
	t       *testing.T
	servers []*peers.Victoria
	backend *remote.Backend
	lake    *lake.Lake
	writer  *lake.Writer
	timeout time.Duration
	next    int // number of the next event
}

func newRig(t *testing.T, servers int) *rig {
	t.Helper()
	t.Parallel()
	r := &rig{t: t, timeout: 10 * time.Second}
	for range servers {
		r.servers = append(r.servers, peers.StartVictoriaLogs(t))
	}
	return r
}

// open opens the lake as an engine that starts does.
func (r *rig) open() error {
	o := remote.Options{Retention: keep, Timeout: r.timeout}
	for _, s := range r.servers {
		o.Nodes = append(o.Nodes, node.Options{URL: s.URL})
	}
	b, err := remote.Open(r.t.Context(), o)
	if err != nil {
		return err
	}
	l, err := lake.Open(lake.Options{Dir: r.t.TempDir(), Classes: []lake.Class{{Name: lake.Standard, Retention: keep, Backend: b}}, Memory: 256 << 20})
	if err != nil {
		r.t.Fatal(err)
	}
	r.backend, r.lake, r.writer = b, l, l.NewWriter(event.NewRegistry(0))
	r.t.Cleanup(func() { l.Close() })
	return nil
}

func (r *rig) mustOpen() {
	r.t.Helper()
	if err := r.open(); err != nil {
		r.t.Fatal(err)
	}
}

// put hands over the event with a number.
func (r *rig) put(n int) error {
	ev := event.Event{ID: event.ID{Epoch: "e", Sequence: uint64(n/10 + 1), Index: uint32(n % 10)}, Time: time.Now().UnixNano(), Created: time.Now().UnixNano(),
		Tenant: "a", Raw: fmt.Sprintf("number-%d", n)}
	ev.Set(event.EventDataset, fmt.Sprint("set.", n%7))
	return r.writer.Add(&ev, lake.Space{Account: account}, "")
}

// send hands over n more events in blocks of ten, until the backend says that
// some may be lost.
func (r *rig) send(n int) error {
	for range n / 10 {
		for range 10 {
			if err := r.put(r.next); err != nil {
				r.t.Fatal(err)
			}
			r.next++
		}
		if err := r.flush(); err != nil {
			return err
		}
	}
	return nil
}

// flush hands over what waits, as the engine's stage does.
func (r *rig) flush() error {
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		err := r.writer.Flush()
		if err == nil || errors.Is(err, lake.ErrLost) || time.Now().After(deadline) {
			return err
		}
	}
}

// recover opens the lake anew and hands over what it does not hold of the
// events so far: what an engine does that starts over.
func (r *rig) recover() (again int) {
	r.t.Helper()
	r.lake.Close()
	var err error
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if err = r.open(); err == nil {
			break
		}
		if time.Now().After(deadline) {
			r.t.Fatal(err)
		}
	}
	held, err := r.lake.Stored(r.t.Context(), "e", 0, []uint32{account})
	if err != nil {
		r.t.Fatal(err)
	}
	for n := range r.next {
		if !held[uint64(n/10+1)].Has(uint32(n % 10)) {
			if err := r.put(n); err != nil {
				r.t.Fatal(err)
			}
			again++
		}
	}
	if err := r.flush(); err != nil {
		r.t.Fatal(err)
	}
	return again
}

// numbers counts each event that the lake holds.
func (r *rig) numbers() (map[string]int, error) {
	r.lake.Flush()
	got := map[string]int{}
	err := r.lake.Rows(r.t.Context(), lake.Query{Accounts: []uint32{account}, LogsQL: `* | fields _time, event.original | sort by (_time)`, Start: time.Now().Add(-time.Hour),
		End: time.Now().Add(time.Hour)}, func(row []byte) error {
		i := strings.Index(string(row), "number-")
		got[strings.TrimRight(string(row)[i:], "\"}")]++
		return nil
	})
	return got, err
}

// complete sees that the lake holds each event once.
func (r *rig) complete() {
	r.t.Helper()
	got, err := r.numbers()
	if err != nil {
		r.t.Fatal(err)
	}
	lost, doubled := 0, 0
	for n := range r.next {
		switch k := got[fmt.Sprintf("number-%d", n)]; {
		case k == 0:
			lost++
		case k > 1:
			doubled++
		}
	}
	if lost > 0 || doubled > 0 || len(got) != r.next {
		r.t.Errorf("of %d events %d are lost and %d doubled; %d kinds are stored", r.next, lost, doubled, len(got))
	}
}

// until waits for Durable to give an answer other than not yet.
func (r *rig) until(m lake.Mark, within time.Duration) error {
	r.t.Helper()
	for deadline := time.Now().Add(within); ; time.Sleep(100 * time.Millisecond) {
		ok, err := r.lake.Durable(m)
		if ok || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("what was handed over is not durable after %s: %+v", within, r.lake.Stats())
		}
	}
}

func TestWhatIsDurableSurvivesAKill(t *testing.T) {
	r := newRig(t, 2)
	r.mustOpen()
	if err := r.send(200); err != nil {
		t.Fatal(err)
	}
	m := r.lake.Mark()
	if ok, err := r.lake.Durable(m); ok || err != nil {
		t.Errorf("durable at once: %v %v", ok, err)
	}
	if st := r.lake.Stats(); st.Unflushed != 200 {
		t.Errorf("not durable yet: %d, want 200", st.Unflushed)
	}
	begun := time.Now()
	if err := r.until(m, 30*time.Second); err != nil {
		t.Fatal(err)
	}
	t.Logf("durable after %s", time.Since(begun).Round(100*time.Millisecond))
	for _, s := range r.servers {
		s.Kill()
		s.Start()
	}
	// Nothing was at stake, so nothing is lost; and nothing has to be sent again.
	if ok, err := r.lake.Durable(m); !ok || err != nil {
		t.Errorf("after the kill: %v %v", ok, err)
	}
	r.complete()
	if !r.lake.Close() {
		t.Error("closing does not tell that all is durable")
	}
}

// TestWhatAnEarlierEngineAddedIsAtStake kills a node right after an engine that
// started anew has taken what it shows for kept.
func TestWhatAnEarlierEngineAddedIsAtStake(t *testing.T) {
	r := newRig(t, 2)
	r.mustOpen()
	// A node writes what is in its memory to disk within a second; on a busy
	// machine that may come before the kill, and then nothing is lost.
	for attempt := 1; ; attempt++ {
		if err := r.send(200); err != nil {
			t.Fatal(err)
		}
		if again := r.recover(); again != 0 {
			t.Fatalf("%d events were added again, though the nodes hold them", again)
		}
		held, err := r.lake.Durable(r.lake.Mark())
		if err != nil {
			t.Fatalf("what is in the memory of the nodes: %v", err)
		}
		r.servers[0].Kill()
		r.servers[0].Start()
		err = r.until(r.lake.Mark(), time.Minute)
		if errors.Is(err, lake.ErrLost) && !held {
			break
		}
		if err != nil || attempt == 10 {
			t.Fatalf("a node lost what was in its memory (durable before: %v), and the lake says %v in attempt %d", held, err, attempt)
		}
	}
	if r.lake.Close() {
		t.Error("closing tells that all is durable")
	}
	if again := r.recover(); again == 0 {
		t.Error("nothing was lost: the test tests nothing")
	}
	if err := r.until(r.lake.Mark(), 30*time.Second); err != nil {
		t.Fatal(err)
	}
	r.complete()
}

// TestKilledNodesLoseAndDoubleNothing kills nodes at random moments under load.
func TestKilledNodesLoseAndDoubleNothing(t *testing.T) {
	r := newRig(t, 2)
	r.mustOpen()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	again := 0
	for range 4 {
		victim := r.servers[rnd.IntN(2)]
		moment := time.Duration(rnd.IntN(1500)) * time.Millisecond
		killed := make(chan struct{})
		go func() {
			defer close(killed)
			time.Sleep(moment)
			victim.Kill()
			victim.Start()
		}()
		var err error
		for began := time.Now(); err == nil && time.Since(began) < moment+2*time.Second; {
			err = r.send(50)
		}
		<-killed
		if err == nil {
			err = r.until(r.lake.Mark(), 30*time.Second)
		}
		if err != nil {
			if !errors.Is(err, lake.ErrLost) {
				t.Fatal(err)
			}
			again += r.recover()
		}
		r.complete()
	}
	t.Logf("%d events, of which %d had to be added again", r.next, again)
}

func TestANodeThatIsDownKeepsNoEventsOut(t *testing.T) {
	r := newRig(t, 2)
	r.mustOpen()
	if err := r.send(100); err != nil {
		t.Fatal(err)
	}
	down := r.servers[1]
	down.Stop()                        // in order: it has written everything
	time.Sleep(300 * time.Millisecond) // until the connections to it are known to be closed
	if err := r.send(200); err != nil {
		t.Fatalf("with one node of two: %v", err)
	}
	name := strings.TrimPrefix(down.URL, "http://")
	_, err := r.numbers()
	if !errors.Is(err, search.ErrUnavailable) || !strings.Contains(err.Error(), name) {
		t.Errorf("a read without a node: %v", err)
	}
	if _, err := r.lake.Fields(t.Context(), lake.Query{Accounts: []uint32{account}, LogsQL: "*", Start: time.Now().Add(-time.Hour), End: time.Now()}, 10); !errors.Is(err, search.ErrUnavailable) {
		t.Errorf("fields without a node: %v", err)
	}
	other := r.servers[0]
	other.Stop()
	for range 10 {
		_ = r.put(r.next)
		r.next++
	}
	// A connection that breaks under an insert leaves open whether it was taken.
	if err := r.writer.Flush(); err == nil || !errors.Is(err, lake.ErrLost) && !strings.Contains(err.Error(), name) {
		t.Errorf("without any node: %v", err)
	}
	other.Start()
	down.Start()
	// The events waited. That the nodes started anew is found out meanwhile.
	if err := r.flush(); err != nil && !errors.Is(err, lake.ErrLost) {
		t.Fatal(err)
	}
	if err := r.until(r.lake.Mark(), 30*time.Second); !errors.Is(err, lake.ErrLost) {
		t.Errorf("a restart went unnoticed: %v", err)
	}
	r.recover()
	r.complete()
}

func TestAnUnansweredInsertIsNeitherLostNorDoubled(t *testing.T) {
	r := newRig(t, 2)
	r.timeout = time.Second
	r.mustOpen()
	if err := r.send(40); err != nil {
		t.Fatal(err)
	}
	r.servers[0].Freeze()
	err := r.send(40)
	if !errors.Is(err, lake.ErrLost) {
		t.Errorf("an insert without an answer: %v", err)
	}
	if err := r.writer.Flush(); !errors.Is(err, lake.ErrLost) {
		t.Errorf("adding after that: %v", err)
	}
	if _, err := r.lake.Durable(r.lake.Mark()); !errors.Is(err, lake.ErrLost) {
		t.Errorf("durable after that: %v", err)
	}
	go func() {
		time.Sleep(time.Second)
		r.servers[0].Thaw()
	}()
	r.recover()
	r.complete()
}

func TestServersThatWouldLoseRowsAreRefused(t *testing.T) {
	t.Parallel()
	for flag, want := range map[string]string{
		"-retentionPeriod=7d": "-retentionPeriod=30d", "-insert.maxFieldsPerLine=1000": "-insert.maxFieldsPerLine=2000", "-defaultMsgValue=none": "-defaultMsgValue=",
	} {
		s := peers.StartVictoriaLogs(t, flag)
		_, err := remote.Open(t.Context(), remote.Options{Nodes: []node.Options{{URL: s.URL}}, Retention: keep})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), strings.TrimPrefix(s.URL, "http://")) {
			t.Errorf("%s: %v", flag, err)
		}
	}
	m := peers.StartVictoriaMetrics(t)
	if _, err := remote.Open(t.Context(), remote.Options{Nodes: []node.Options{{URL: m.URL}}, Retention: keep}); err == nil {
		t.Error("a VictoriaMetrics server passes as a node of the lake")
	}
	locked := peers.StartVictoriaLogs(t, "-httpAuth.username=a", "-httpAuth.password=b")
	for _, o := range []node.Options{{URL: locked.URL}, {URL: locked.URL, Username: "a", Password: "wrong"}, {URL: locked.URL, Token: "b"}} {
		if _, err := remote.Open(t.Context(), remote.Options{Nodes: []node.Options{o}, Retention: keep}); err == nil || !strings.Contains(err.Error(), "401") {
			t.Errorf("%+v: %v", o, err)
		}
	}
	b, err := remote.Open(t.Context(), remote.Options{Nodes: []node.Options{{URL: locked.URL, Username: "a", Password: "b"}}, Retention: keep})
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := remote.Open(ctx, remote.Options{Nodes: []node.Options{{URL: "http://127.0.0.1:" + peers.FreePort(t)}}, Retention: keep}); err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("no server: %v", err)
	}
}
