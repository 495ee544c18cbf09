package usage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"icewatch/collectors/collecttest"
	"icewatch/soc/engine"
	"icewatch/soc/intake"
	"icewatch/soc/state"
)

var city = time.FixedZone("city", 8*3600)

// bench is a gate before a sink that keeps everything, at a time that the test
// sets: noon of the city.
type bench struct {
	db     *state.DB
	ledger *Ledger
	src    *Sources
	gate   *Gate
	sink   *collecttest.Sink
	mu     sync.Mutex
	at     time.Time
}

func (b *bench) now() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.at
}

func (b *bench) forward(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.at = b.at.Add(d)
}

func newBench(t *testing.T, standard Quota) *bench {
	t.Helper()
	db, err := state.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	b := &bench{db: db, sink: &collecttest.Sink{}, at: time.Date(2026, 11, 25, 12, 0, 0, 0, city)}
	b.open(t, standard)
	return b
}

// open starts everything anew on the state there is.
func (b *bench) open(t *testing.T, standard Quota) {
	t.Helper()
	var err error
	if b.ledger, err = Open(t.Context(), b.db, func() Quota { return standard }); err != nil {
		t.Fatal(err)
	}
	b.ledger.zone = city
	b.src, err = OpenSources(t.Context(), b.db, func(_ string, peer netip.Addr) (string, string, string) {
		if peer == netip.MustParseAddr("10.0.0.7") {
			return "tax", "ci-7", "fw-7"
		}
		return "", "", ""
	})
	if err != nil {
		t.Fatal(err)
	}
	b.gate = &Gate{next: b.sink, ledger: b.ledger, sources: b.src, log: slog.New(slog.DiscardHandler), now: b.now}
	if err := b.gate.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func records(tenant string, n int) []intake.Record {
	out := make([]intake.Record, n)
	for i := range out {
		out[i] = intake.Record{Tenant: tenant, Collector: "test", Data: []byte("0123456789")}
	}
	return out
}

func limited(events int64, at string) Quota {
	return Quota{EventsPerDay: events, WarnPercent: 80, AtLimit: at}
}

func (b *bench) standing(t *testing.T, tenant string, events uint64, state State) Standing {
	t.Helper()
	s := b.gate.Standing(tenant)
	if s.Events != events || s.State != state {
		t.Errorf("%s stands at %d events, %s; want %d, %s", tenant, s.Events, s.State, events, state)
	}
	return s
}

func TestRefuse(t *testing.T) {
	t.Parallel()
	b := newBench(t, NoQuota)
	ctx := t.Context()
	if err := b.ledger.SetQuota(ctx, "tax", &Quota{EventsPerDay: 10, WarnPercent: 80, AtLimit: Refuse}); err != nil {
		t.Fatal(err)
	}
	in := b.gate.Answering()
	append8 := func(want error) {
		t.Helper()
		if err := in.Append(ctx, records("tax", 8)); !errors.Is(err, want) {
			t.Fatal(err)
		}
	}
	append8(nil)
	b.standing(t, "tax", 8, Warning)
	append8(nil) // it begins below the limit and is taken whole
	b.standing(t, "tax", 16, Refusing)
	err := in.Append(ctx, records("tax", 3))
	var over *intake.OverQuota
	if !errors.As(err, &over) {
		t.Fatalf("over the quota: %v", err)
	}
	if want := time.Date(2026, 11, 26, 0, 0, 0, 0, city); !over.Until.Equal(want) || over.RetryAfter(b.now()) != 12*3600 || !strings.Contains(err.Error(), "10 events a day") {
		t.Errorf("refused until %s, retry after %d s: %v", over.Until, over.RetryAfter(b.now()), err)
	}
	if err := in.Append(ctx, records("hall", 20)); err != nil {
		t.Errorf("another tenant is refused too: %v", err)
	}
	if err := b.gate.Keeping().Append(ctx, records("tax", 3)); !errors.As(err, &over) {
		t.Errorf("a file is read on: %v", err)
	}
	s := b.standing(t, "tax", 16, Refusing)
	if s.RefusedEvents != 3 || s.RefusedBytes != 30 {
		t.Errorf("%d events of %d bytes are counted as refused, want the 3 that were answered", s.RefusedEvents, s.RefusedBytes)
	}

	// Syslog cannot be told: its own goes, the others' stays.
	mixed := append(records("tax", 2), records("hall", 1)...)
	own := records("tax", 1)
	own[0].Collector = intake.Own
	before := len(b.sink.Records())
	if err := b.gate.Losing().Append(ctx, append(mixed, own...)); err != nil {
		t.Fatal(err)
	}
	if got := len(b.sink.Records()) - before; got != 2 {
		t.Errorf("%d records got through, want the other tenant's and the suite's own", got)
	}
	if dropped, refused := b.gate.Lost(); dropped != 2 || refused != 3 {
		t.Errorf("%d dropped, %d refused", dropped, refused)
	}

	// A raised quota counts at once, and so does midnight.
	if err := b.ledger.SetQuota(ctx, "tax", &Quota{EventsPerDay: 18, WarnPercent: 80, AtLimit: Refuse}); err != nil {
		t.Fatal(err)
	}
	append8(nil)
	if err := in.Append(ctx, records("tax", 1)); err == nil {
		t.Fatal("the raised quota has no end")
	}
	b.forward(12*time.Hour - time.Nanosecond)
	if err := in.Append(ctx, records("tax", 1)); err == nil {
		t.Fatal("a nanosecond before midnight")
	}
	b.forward(time.Nanosecond)
	append8(nil)
	b.standing(t, "tax", 8, OK)
	days, err := b.ledger.Days(ctx, "2026-11-25", "2026-11-26", "tax")
	if err != nil || len(days) != 1 || days[0].RefusedEvents != 7 {
		t.Errorf("the day that ended is kept as %+v, %v", days, err)
	}
}

func TestAccept(t *testing.T) {
	t.Parallel()
	b := newBench(t, limited(10, Accept))
	for range 3 {
		if err := b.gate.Answering().Append(t.Context(), records("tax", 8)); err != nil {
			t.Fatal(err)
		}
	}
	b.standing(t, "tax", 24, Reached)
	b.standing(t, "hall", 0, OK)
}

// TestOwnersFoundLater: what comes by address counts as the engine has seen it,
// and is held back by address.
func TestOwnersFoundLater(t *testing.T) {
	t.Parallel()
	b := newBench(t, limited(10, Refuse))
	ctx := t.Context()
	syslog := func(peer string) []intake.Record {
		r := records("", 1)
		r[0].Peer = netip.MustParseAddr(peer)
		return r
	}
	in := b.gate.Losing()
	for range 20 {
		if err := in.Append(ctx, syslog("10.0.0.7")); err != nil {
			t.Fatal(err)
		}
	}
	b.standing(t, "tax", 0, OK)
	b.gate.Count(engine.Usage{Count: "1", Days: map[string]map[string]*engine.Used{"2026-11-25": {"tax": {Events: 20, Bytes: 200, LateEvents: 20, LateBytes: 200}}}})
	b.standing(t, "tax", 20, Refusing)
	if err := in.Append(ctx, append(syslog("10.0.0.7"), syslog("10.0.0.8")...)); err != nil {
		t.Fatal(err)
	}
	if got := len(b.sink.Records()); got != 21 {
		t.Errorf("%d records got through, want those before and the stranger's", got)
	}
	for _, slug := range []string{"unassigned", "city"} {
		if q, _ := b.ledger.Quota(slug); q.AtLimit != Accept {
			t.Errorf("%s is refused by the default", slug)
		}
		if err := b.ledger.SetQuota(ctx, slug, &Quota{EventsPerDay: 1, WarnPercent: 80, AtLimit: Refuse}); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s may be refused: %v", slug, err)
		}
	}
}

// TestRestart: after a crash the figures go on from the last Save, or from what
// the engine counted where that is more.
func TestRestart(t *testing.T) {
	t.Parallel()
	b := newBench(t, limited(100, Refuse))
	ctx := t.Context()
	if err := b.ledger.SetQuota(ctx, "hall", &Quota{BytesPerDay: 50, WarnPercent: 50, AtLimit: Accept}); err != nil {
		t.Fatal(err)
	}
	take := func(n int) {
		t.Helper()
		if err := b.gate.Answering().Append(ctx, records("tax", n)); err != nil {
			t.Fatal(err)
		}
	}
	take(30)
	if err := b.gate.Save(ctx); err != nil {
		t.Fatal(err)
	}
	take(20) // not saved any more
	b.open(t, limited(100, Refuse))
	b.standing(t, "tax", 30, OK)
	u := engine.Usage{Count: "1", Days: map[string]map[string]*engine.Used{"2026-11-25": {"tax": {Events: 50, Bytes: 500}, "hall": {Events: 3, Bytes: 30}}}}
	b.gate.Count(u)
	b.standing(t, "tax", 50, OK)
	b.standing(t, "hall", 3, Warning)
	if q, own := b.ledger.Quota("hall"); !own || q.BytesPerDay != 50 {
		t.Errorf("the quota of its own is %+v", q)
	}

	for range 2 { // the same figures come again and again
		if err := b.ledger.Take(ctx, u); err != nil {
			t.Fatal(err)
		}
	}
	u.Days["2026-11-25"]["tax"] = &engine.Used{Events: 60, Bytes: 600}
	if err := b.ledger.Take(ctx, u); err != nil {
		t.Fatal(err)
	}
	// The engine's folder is made anew: its count begins again, and adds up.
	if err := b.ledger.Take(ctx, engine.Usage{Count: "2", Days: map[string]map[string]*engine.Used{"2026-11-25": {"tax": {Events: 5, Bytes: 50}}}}); err != nil {
		t.Fatal(err)
	}
	days, err := b.ledger.Days(ctx, "2026-11-01", "2026-11-30", "")
	if err != nil {
		t.Fatal(err)
	}
	if len(days) != 2 || days[0].Tenant != "hall" || days[1].Events != 65 || days[1].Bytes != 650 {
		t.Errorf("the days are %+v", days)
	}
	if sum := Sum(append(days, days...)); len(sum) != 2 || sum[1].Events != 130 {
		t.Errorf("their sum is %+v", sum)
	}
	if err := b.ledger.Trim(ctx, b.now().AddDate(0, 0, Keep+1)); err != nil {
		t.Fatal(err)
	}
	if days, err := b.ledger.Days(ctx, "2026-11-01", "2026-11-30", ""); err != nil || len(days) != 0 {
		t.Errorf("after %d days there are %+v, %v", Keep, days, err)
	}
}

// TestNothingTakenIsCounted: what the bus did not take is nobody's usage.
func TestNothingTakenIsCounted(t *testing.T) {
	t.Parallel()
	b := newBench(t, limited(10, Refuse))
	b.sink.Refuse(intake.ErrFull)
	if err := b.gate.Answering().Append(t.Context(), records("tax", 8)); !errors.Is(err, intake.ErrFull) {
		t.Fatal(err)
	}
	b.standing(t, "tax", 0, OK)
	if list := b.src.List(b.now(), time.Hour); len(list) != 0 {
		t.Errorf("sources: %+v", list)
	}
}

func TestSources(t *testing.T) {
	t.Parallel()
	b := newBench(t, NoQuota)
	ctx := t.Context()
	send := func(peer string, n int) {
		t.Helper()
		recs := records("", n)
		for i := range recs {
			recs[i].Peer = netip.MustParseAddr(peer)
		}
		if err := b.gate.Losing().Append(ctx, recs); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 60 { // ten minutes
		send("10.0.0.7", 20)
		if i%30 == 0 { // every five minutes
			send("10.0.0.8", 1)
		}
		b.forward(slot)
		b.src.Tick(b.now())
	}
	f := func(i int, tenant, peer, name string, rate float64, events uint64, silent bool) {
		t.Helper()
		got := b.src.List(b.now(), time.Minute)[i]
		if got.Tenant != tenant || got.Peer != peer || got.Name != name || got.Rate != rate || got.Events != events || (got.SilentSince != nil) != silent {
			t.Errorf("source %d is %+v, want %s %s %s %v %d, silent %v", i, got, tenant, peer, name, rate, events, silent)
		}
	}
	f(0, "", "10.0.0.8", "", 0, 2, false)
	f(1, "tax", "10.0.0.7", "fw-7", 2, 1200, false)
	b.forward(2 * time.Minute)
	for range slotsOfRate {
		b.src.Tick(b.now())
	}
	f(1, "tax", "10.0.0.7", "fw-7", 0, 1200, true)
	f(0, "", "10.0.0.8", "", 0, 2, false) // it never was regular
	if err := b.src.Save(ctx); err != nil {
		t.Fatal(err)
	}
	b.open(t, NoQuota)
	f(1, "tax", "10.0.0.7", "fw-7", 0, 1200, true)
	id := b.src.List(b.now(), time.Minute)[1].ID
	if err := b.src.Forget(ctx, id); err != nil {
		t.Fatal(err)
	}
	if err := b.src.Forget(ctx, id); !errors.Is(err, ErrNoSource) {
		t.Errorf("forgotten twice: %v", err)
	}
	b.open(t, NoQuota)
	if n := len(b.src.List(b.now(), 0)); n != 1 {
		t.Errorf("%d sources are left", n)
	}
}

func TestQuotaCheck(t *testing.T) {
	t.Parallel()
	f := func(q Quota, want string) {
		t.Helper()
		err := q.Check()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%+v: %v, want %q", q, err, want)
		}
	}
	f(NoQuota, "")
	f(Quota{BytesPerDay: -1, WarnPercent: 80, AtLimit: Accept}, "bytes_per_day")
	f(Quota{EventsPerDay: -1, WarnPercent: 80, AtLimit: Accept}, "events_per_day")
	f(Quota{WarnPercent: 0, AtLimit: Accept}, "warn_percent")
	f(Quota{WarnPercent: 101, AtLimit: Accept}, "warn_percent")
	f(Quota{WarnPercent: 80, AtLimit: "drop"}, "at_limit")
}

// TestConcurrent: concurrent senders across midnight lose no count of theirs.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	b := newBench(t, NoQuota)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				if err := b.gate.Answering().Append(context.Background(), records("tax", 5)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	b.standing(t, "tax", 8000, OK)
	b.forward(24 * time.Hour)
	for range 8 {
		wg.Go(func() { b.gate.Standing("tax") })
	}
	wg.Wait()
	b.standing(t, "tax", 0, OK)
}

func BenchmarkGate(b *testing.B) {
	db, err := state.Open(b.Context(), filepath.Join(b.TempDir(), "state.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	l, err := Open(b.Context(), db, func() Quota { return limited(1<<60, Refuse) })
	if err != nil {
		b.Fatal(err)
	}
	s, err := OpenSources(b.Context(), db, func(string, netip.Addr) (string, string, string) { return "", "", "" })
	if err != nil {
		b.Fatal(err)
	}
	g, err := NewGate(b.Context(), nothing{}, l, s, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	recs := records("", 500)
	for i := range recs {
		recs[i].Peer = netip.MustParseAddr(fmt.Sprintf("10.0.0.%d", i%200))
	}
	in := g.Losing()
	for b.Loop() {
		_ = in.Append(b.Context(), recs)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(recs)), "ns/record")
}

type nothing struct{}

func (nothing) Append(context.Context, []intake.Record) error { return nil }
