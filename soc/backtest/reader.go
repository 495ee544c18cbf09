package backtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"icewatch/soc/event"
	"icewatch/soc/lake"
	"icewatch/soc/lake/arrivals"
)

// Pages: a page is read whole and sorted, so its rows bound the memory.
const (
	pageRows  = 60_000
	pageBytes = 48 << 20
	pageFirst = 50_000    // events that the first page covers
	pageMost  = 4_000_000 // and any
)

// Reader brings stored events in the order in which they came.
type Reader struct {
	Lake     *lake.Lake
	Arrivals *arrivals.Ledger
	Epoch    string   // of the bus; events of others have no order that is known
	Last     uint64   // the newest batch that is stored
	Accounts []uint32 // tenants whose events are judged
	Everyone []uint32 // all tenants, whose events make time pass
	Filter   string   // of a data scope
	Low      bool     // let others go first
	// Wait is called before each page and may hold the backtest up.
	Wait func(ctx context.Context) error
}

var errPage = errors.New("the page is full")

// Run judges what came from From to To of the judge's options. tell is called
// after each page. Where ctx ends the outcome is that of what was judged by then,
// with the cause as error.
func (r *Reader) Run(ctx context.Context, j *Judge, tell func(Advance)) (Findings, error) {
	begun := time.Now()
	err := r.run(ctx, j, tell)
	end := j.opts.To
	if err != nil {
		end = time.Time{}
	}
	out := j.Finish(end)
	if out.Cost.Seconds = time.Since(begun).Seconds(); out.Cost.Seconds > 0 {
		out.Cost.PerSecond = float64(out.Events) / out.Cost.Seconds
	}
	switch {
	case err == nil:
		out.Share = 1
	case errors.Is(err, ErrAlerts):
		out.Stopped = "alerts"
		err = nil
	case ctx.Err() != nil:
		out.Stopped = "cancelled"
	default:
		out.Stopped = "failed"
	}
	return out, err
}

func (r *Reader) run(ctx context.Context, j *Judge, tell func(Advance)) error {
	from, ok, err := r.Arrivals.Since(ctx, j.opts.From.Add(-j.Warm()))
	if err != nil || !ok {
		return err
	}
	through := r.Last
	if seq, ok, err := r.Arrivals.Since(ctx, j.opts.To); err != nil {
		return err
	} else if ok {
		// The stretch in which To lies reaches beyond it; how far is told by its events.
		p, err := r.Arrivals.Next(ctx, min(seq, through), through, 1<<40)
		if err != nil {
			return err
		}
		through = min(through, max(seq, p.Through))
	}
	rest, came, err := r.Arrivals.Behind(ctx, from)
	if err != nil {
		return err
	}
	if came.After(j.out.Covered) {
		j.out.Covered = came
	}
	beyond, _, err := r.Arrivals.Behind(ctx, through+1)
	if err != nil {
		return err
	}
	total := rest - min(rest, beyond)
	for target := uint64(pageFirst); from <= through; {
		if r.Wait != nil {
			if err := r.Wait(ctx); err != nil {
				return err
			}
		}
		p, err := r.page(ctx, from, through, target)
		if err != nil {
			return err
		}
		rows, err := r.read(ctx, j, from, &p)
		if errors.Is(err, errPage) {
			target = max(1, min(target, p.events)/4)
			continue
		}
		if err != nil {
			return err
		}
		over, err := r.judge(ctx, j, rows, p)
		if err != nil {
			return err
		}
		j.out.Events += p.events
		from = p.through + 1
		switch n := len(rows); {
		case n < pageRows/8:
			target = min(2*target, pageMost)
		case n > pageRows/2:
			target = max(target/2, 1)
		}
		if j.out.Share = 1; total > 0 {
			j.out.Share = min(1, float64(j.out.Events)/float64(total))
		}
		j.out.Reached = time.Unix(0, j.clock).UTC()
		if _, came, err := r.Arrivals.Behind(ctx, from); err == nil && came.After(j.out.Reached) {
			j.out.Reached = came
		}
		j.out.Fired = j.out.Occurrences
		if tell != nil {
			tell(j.out.Advance)
		}
		if err := j.Err(); err != nil || over {
			return err
		}
	}
	return nil
}

// page is batches that are read together.
type page struct {
	through uint64
	spans   []lake.Span
	events  uint64
}

// page puts as many stretches together as bring about so many events.
func (r *Reader) page(ctx context.Context, from, to, events uint64) (p page, err error) {
	before, _, err := r.Arrivals.Behind(ctx, from)
	if err != nil {
		return p, err
	}
	for at := from; at <= to; at = p.through + 1 {
		next, err := r.Arrivals.Next(ctx, at, to, int(events-min(events, p.events)))
		if err != nil {
			return p, err
		}
		if next.Spans == nil {
			return p, fmt.Errorf("backtest: it is not known when the batches from %d on came; begin later", at)
		}
		p.through, p.spans = next.Through, lake.Join(append(p.spans, next.Spans...))
		behind, _, err := r.Arrivals.Behind(ctx, p.through+1)
		if err != nil {
			return p, err
		}
		if p.events = before - min(before, behind); p.events >= events*9/10 {
			break
		}
	}
	return p, nil
}

// read reads the events of a page that may match, in order.
func (r *Reader) read(ctx context.Context, j *Judge, from uint64, p *page) (rows []event.Event, err error) {
	size := 0
	q := lake.Events{Accounts: r.Accounts, Filter: r.Filter, Needs: j.Filter(), From: from, To: p.through, Spans: p.spans, Alone: r.Low}
	err = r.Lake.ReadEvents(ctx, q, j.Registry(), func(ev event.Event) error {
		if ev.ID.Epoch != r.Epoch {
			return nil
		}
		size += len(ev.Raw)
		for i := range ev.Fields {
			size += 32 + len(ev.Fields[i].Value)
		}
		if rows = append(rows, ev); (len(rows) > pageRows || size > pageBytes) && p.through > from {
			return errPage
		}
		return nil
	})
	sortEvents(rows)
	return rows, err
}

func sortEvents(rows []event.Event) {
	slices.SortFunc(rows, func(a, b event.Event) int {
		return cmp.Or(cmp.Compare(a.ID.Sequence, b.ID.Sequence), cmp.Compare(a.ID.Index, b.ID.Index))
	})
}

// judge judges a page. over tells that everything behind it came too late.
func (r *Reader) judge(ctx context.Context, j *Judge, rows []event.Event, p page) (over bool, err error) {
	var ticks []event.Event // of the rest of the page, once a rule floods
	ticked := false
	begin := j.opts.From.Add(-j.Warm()).UnixNano()
	for i := range rows {
		ev := &rows[i]
		if ev.Created != 0 && ev.Created < begin {
			continue
		}
		if ev.Created >= j.opts.To.UnixNano() {
			over = true
			continue
		}
		if !ticked && j.Flooding() {
			if ticks, err = r.ticks(ctx, j, ev.ID, p); err != nil {
				return over, err
			}
			ticked = true
		}
		ticks = pass(j, ticks, ev.ID)
		if j.Event(ev); j.Err() != nil {
			return over, nil
		}
		if i%1024 == 0 && ctx.Err() != nil {
			return over, context.Cause(ctx)
		}
	}
	if !ticked && j.Flooding() {
		last := event.ID{}
		if len(rows) > 0 {
			last = rows[len(rows)-1].ID
		}
		if ticks, err = r.ticks(ctx, j, last, p); err != nil {
			return over, err
		}
	}
	pass(j, ticks, event.ID{Sequence: p.through + 1})
	return false, nil
}

// ticks are the first events of each second behind one, whoever's they are.
func (r *Reader) ticks(ctx context.Context, j *Judge, after event.ID, p page) (list []event.Event, err error) {
	q := lake.Events{Accounts: r.Everyone, From: after.Sequence, To: p.through, Spans: p.spans, Brief: true, Alone: r.Low}
	err = r.Lake.ReadEvents(ctx, q, j.Registry(), func(ev event.Event) error {
		if ev.ID.Epoch == r.Epoch && ev.Created < j.opts.To.UnixNano() && (ev.ID.Sequence > after.Sequence || ev.ID.Index > after.Index) {
			ev.Raw, ev.Fields = "", nil
			list = append(list, ev)
		}
		return nil
	})
	sortEvents(list)
	second, kept := int64(-1), list[:0]
	for _, ev := range list {
		if s := ev.Created / int64(time.Second); s > second {
			second, kept = s, append(kept, ev)
		}
	}
	return kept, err
}

// pass lets the ticks before an event come to pass.
func pass(j *Judge, ticks []event.Event, before event.ID) []event.Event {
	n := 0
	for n < len(ticks) && (ticks[n].ID.Sequence < before.Sequence || ticks[n].ID.Sequence == before.Sequence && ticks[n].ID.Index < before.Index) {
		j.Tick(ticks[n].Created)
		n++
	}
	return ticks[n:]
}
