package usage

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"icewatch/soc/engine"
	"icewatch/soc/intake"
)

// Gate stands before the bus, for events and for samples of metrics. It counts what each tenant brings and holds back
// what is over a quota that says refuse. A call that begins below the limit is
// taken whole, so a day may end over its quota by as much as is sent at once.
//
// What is done with what is held back depends on the sender: see Answering,
// Keeping and Losing. Nothing that a sender was told is stored is ever dropped.
type Gate struct {
	next    intake.Sink
	ledger  *Ledger
	sources *Sources
	log     *slog.Logger
	now     func() time.Time

	day     atomic.Pointer[day]
	turning sync.Mutex
	lost    atomic.Uint64 // records dropped because of a quota, since the start
	refused atomic.Uint64 // records refused with an answer because of one
}

// day is what the tenants brought today.
type day struct {
	name     string
	from, to int64 // Unix nanoseconds
	accounts sync.Map
}

// account is one tenant's.
type account struct {
	events, bytes               atomic.Uint64 // taken at the intake, the owner known
	refusedEvents, refusedBytes atomic.Uint64
	counted                     atomic.Pointer[engine.Used] // by the engine
	saved                       intakeRow                   // guarded by Gate.turning
}

func (d *day) account(tenant string) *account {
	if a, ok := d.accounts.Load(tenant); ok {
		return a.(*account)
	}
	a, _ := d.accounts.LoadOrStore(tenant, &account{})
	return a.(*account)
}

// figure is what counts against the quota: what the intake took, or what the
// engine has seen of it where the intake forgot some in a crash, and what was
// found to be the tenant's only later.
func (a *account) figure() (events, bytes uint64) {
	events, bytes = a.events.Load(), a.bytes.Load()
	if c := a.counted.Load(); c != nil {
		events = max(events, c.Events-c.LateEvents) + c.LateEvents
		bytes = max(bytes, c.Bytes-c.LateBytes) + c.LateBytes
	}
	return events, bytes
}

// NewGate makes a gate before next, and takes up the figures of today.
func NewGate(ctx context.Context, next intake.Sink, l *Ledger, s *Sources, log *slog.Logger) (*Gate, error) {
	g := &Gate{next: next, ledger: l, sources: s, log: log, now: time.Now}
	return g, g.begin(ctx)
}

func (g *Gate) begin(ctx context.Context) error {
	d := g.newDay(g.now())
	days, err := g.ledger.Days(ctx, d.name, d.name, "")
	if err != nil {
		return err
	}
	for _, f := range days {
		a := d.account(f.Tenant)
		a.events.Store(f.taken.Events)
		a.bytes.Store(f.taken.Bytes)
		a.refusedEvents.Store(f.RefusedEvents)
		a.refusedBytes.Store(f.RefusedBytes)
		a.counted.Store(&engine.Used{Events: f.Events, Bytes: f.Bytes, LateEvents: f.late.LateEvents, LateBytes: f.late.LateBytes})
	}
	g.day.Store(d)
	return nil
}

func (g *Gate) newDay(now time.Time) *day {
	end := g.ledger.midnight(now)
	begin := end.AddDate(0, 0, -1)
	return &day{name: g.ledger.Day(now), from: begin.UnixNano(), to: end.UnixNano()}
}

// today returns the day at hand, and begins the next at midnight. A clock that
// is put back to the day before does not bring that day back: its figures are
// closed.
func (g *Gate) today() *day {
	d := g.day.Load()
	if now := g.now(); now.UnixNano() >= d.to {
		g.turning.Lock()
		defer g.turning.Unlock()
		if d = g.day.Load(); now.UnixNano() >= d.to {
			next := g.newDay(now)
			g.day.Store(next)
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			if err := g.ledger.keepIntake(ctx, d.changed()); err != nil {
				g.log.Error("usage: the last seconds of the day are not kept", "day", d.name, "error", err)
			}
			d = next
		}
	}
	return d
}

// changed returns the accounts that differ from what is kept.
func (d *day) changed() []intakeRow {
	var rows []intakeRow
	d.accounts.Range(func(slug, value any) bool {
		a := value.(*account)
		r := intakeRow{Day: d.name, Tenant: slug.(string), Events: int64(a.events.Load()), Bytes: int64(a.bytes.Load()),
			RefusedEvents: int64(a.refusedEvents.Load()), RefusedBytes: int64(a.refusedBytes.Load())}
		if r != a.saved && (r.Bytes > 0 || r.Events > 0 || r.RefusedEvents > 0) {
			rows = append(rows, r)
		}
		return true
	})
	return rows
}

// Save makes today's figures durable. What is taken after the last Save is
// forgotten by a crash, until the engine has counted it.
func (g *Gate) Save(ctx context.Context) error {
	d := g.today()
	g.turning.Lock()
	defer g.turning.Unlock()
	rows := d.changed()
	if err := g.ledger.keepIntake(ctx, rows); err != nil {
		return err
	}
	for _, r := range rows {
		d.account(r.Tenant).saved = r
	}
	return nil
}

// Count tells the gate what the engine counted.
func (g *Gate) Count(u engine.Usage) {
	d := g.today()
	for slug, used := range u.Days[d.name] {
		v := *used
		d.account(slug).counted.Store(&v)
	}
}

// Standing is how a tenant stands to its quota today.
type Standing struct {
	Tenant        string
	Day           string
	Quota         Quota
	Own           bool
	Events, Bytes uint64
	RefusedEvents uint64
	RefusedBytes  uint64
	State         State
	Until         time.Time // the next midnight
}

// Standing tells how a tenant stands.
func (g *Gate) Standing(tenant string) Standing {
	d := g.today()
	s := Standing{Tenant: tenant, Day: d.name, Until: time.Unix(0, d.to).In(g.ledger.zone)}
	s.Quota, s.Own = g.ledger.Quota(tenant)
	if a, ok := d.accounts.Load(tenant); ok {
		a := a.(*account)
		s.Events, s.Bytes = a.figure()
		s.RefusedEvents, s.RefusedBytes = a.refusedEvents.Load(), a.refusedBytes.Load()
	}
	s.State = s.Quota.State(s.Events, s.Bytes)
	return s
}

// Standings tells how all tenants stand that brought something today, by slug.
func (g *Gate) Standings() []Standing {
	slugs := map[string]bool{}
	g.today().accounts.Range(func(slug, _ any) bool {
		slugs[slug.(string)] = true
		return true
	})
	out := make([]Standing, 0, len(slugs))
	for _, slug := range slices.Sorted(maps.Keys(slugs)) {
		out = append(out, g.Standing(slug))
	}
	return out
}

// Lost is how many records were dropped because of a quota, and Refused how
// many with an answer, since the start.
func (g *Gate) Lost() (dropped, refused uint64) { return g.lost.Load(), g.refused.Load() }

// manner is what is done with records over a quota.
type manner int

const (
	answer manner = iota
	keep
	lose
)

// Answering is the sink for senders that are answered: what is over the quota
// is refused with an *intake.OverQuota, for the whole call, and counted.
func (g *Gate) Answering() intake.Sink { return face{g, answer} }

// Keeping is the sink for senders that keep what is not taken and try again,
// such as the followed files: as Answering, but not counted as refused, since
// it is the same again and again.
func (g *Gate) Keeping() intake.Sink { return face{g, keep} }

// Losing is the sink for senders that cannot be told anything, such as syslog:
// what is over the quota is dropped and counted, the rest is taken.
func (g *Gate) Losing() intake.Sink { return face{g, lose} }

type face struct {
	gate   *Gate
	manner manner
}

// tally is what one call brings for one tenant.
type tally struct {
	tenant        string
	account       *account
	events, bytes uint64
}

// Append implements intake.Sink.
func (f face) Append(ctx context.Context, recs []intake.Record) error {
	g := f.gate
	d := g.today()
	over, err := f.over(d, recs)
	if err != nil {
		return err
	}
	if over != nil {
		kept := make([]intake.Record, 0, len(recs))
		for i := range recs {
			if owner := g.owner(&recs[i]); over[owner] && recs[i].Collector != intake.Own {
				d.account(owner).refuse(1, uint64(len(recs[i].Data)))
				g.lost.Add(1)
			} else {
				kept = append(kept, recs[i])
			}
		}
		if recs = kept; len(recs) == 0 {
			return nil
		}
	}
	if err := g.next.Append(ctx, recs); err != nil {
		return err
	}
	var last tally
	for i := range recs {
		r := &recs[i]
		if r.Tenant == "" {
			continue // the engine finds out whose it is
		}
		if last.tenant != r.Tenant {
			last.enter()
			last = tally{tenant: r.Tenant, account: d.account(r.Tenant)}
		}
		last.events++
		last.bytes += uint64(len(r.Data))
	}
	last.enter()
	g.sources.observe(recs, g.now())
	return nil
}

// enter adds a tally to its account.
func (t *tally) enter() {
	if t.account != nil {
		t.account.events.Add(t.events)
		t.account.bytes.Add(t.bytes)
	}
}

func (a *account) refuse(events, bytes uint64) {
	a.refusedEvents.Add(events)
	a.refusedBytes.Add(bytes)
}

// over finds the tenants of the call whose quota is used up. Where the sender
// can be told, it is told: then the error is not nil.
func (f face) over(d *day, recs []intake.Record) (map[string]bool, error) {
	g := f.gate
	if !g.ledger.strict() {
		return nil, nil
	}
	var out map[string]bool
	checked, has := "", false
	for i := range recs {
		r := &recs[i]
		if r.Collector == intake.Own {
			continue // the suite's own events are never refused
		}
		owner := g.owner(r)
		if owner == "" || has && owner == checked {
			continue
		}
		checked, has = owner, true
		q, _ := g.ledger.Quota(owner)
		if q.AtLimit != Refuse || !q.Limited() {
			continue
		}
		a := d.account(owner)
		limit := q.reached(a.figure())
		if limit == "" {
			continue
		}
		if f.manner == lose {
			if out == nil {
				out = map[string]bool{}
			}
			out[owner] = true
			continue
		}
		if f.manner == answer {
			size := uint64(0)
			for j := range recs {
				size += uint64(len(recs[j].Data))
			}
			a.refuse(uint64(len(recs)), size)
			g.refused.Add(uint64(len(recs)))
		}
		return nil, &intake.OverQuota{Tenant: owner, Limit: limit, Until: time.Unix(0, d.to).In(g.ledger.zone)}
	}
	return out, nil
}

// owner is whose a record is as far as the intake knows.
func (g *Gate) owner(r *intake.Record) string {
	if r.Tenant != "" {
		return r.Tenant
	}
	return g.sources.owner(r)
}

// String describes a standing in a line, for the log.
func (s Standing) String() string {
	return fmt.Sprintf("%s: %d events, %d bytes, %.0f%% of the quota", s.Tenant, s.Events, s.Bytes, 100*s.Quota.Share(s.Events, s.Bytes))
}
