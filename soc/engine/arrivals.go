package engine

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"icewatch/soc/condition"
	"icewatch/soc/damage"
	"icewatch/soc/event"
	"icewatch/soc/lake"
	"icewatch/soc/lake/arrivals"
	"icewatch/soc/search"
)

// Events in the order in which they came are read from the lake, a page of
// batches at a time. So whoever reads them slowly, or after days, holds nothing
// back: neither the bus nor the pipeline knows of him.

const (
	// arrivalsFolder holds the list of when batches came; SQLite has several
	// files.
	arrivalsFolder = "arrivals"
	// arrivalReads is how many pages are read at a time; the others wait.
	arrivalReads = 2
	// showEvery is how often the lake is made to show what it has, at most. It
	// does so by itself as often, so that it costs next to nothing.
	showEvery = time.Second
	// maxPage bounds a page in events looked at.
	maxPage = 100_000
)

// openArrivals opens the list of when batches came. One that is damaged is set
// aside: then the lake is searched for the events of earlier batches as a whole.
func (e *Engine) openArrivals(ctx context.Context) error {
	keep := time.Duration(0)
	for _, c := range e.opts.Keeping.Classes {
		keep = max(keep, c.Keep)
	}
	open := func() (*arrivals.Ledger, error) {
		return arrivals.Open(ctx, filepath.Join(e.path(arrivalsFolder), "arrivals.db"), e.epoch, e.ckpt.Stored, keep)
	}
	l, err := open()
	if err != nil && ctx.Err() == nil {
		e.log.Error("engine: the list of arrivals is not usable and set aside", "folder", e.path(arrivalsFolder), "error", err)
		folder, ferr := damage.New(e.opts.damaged(), "engine")
		if ferr == nil {
			folder.Note.Severity = condition.Low
			folder.Note.Text = condition.Text{
				ZH: "事件到达次序清单损坏，已隔离；落后的转发目标读取旧事件时会变慢，不会丢失",
				EN: "the list of when events came is damaged and set aside; forwarding to targets that are behind reads more slowly, and loses nothing",
			}
			folder.Note.Items = []damage.Item{{Path: arrivalsFolder, Why: err.Error(), Kept: arrivalsFolder}}
			ferr = errors.Join(folder.Save(), folder.Move(e.path(arrivalsFolder), arrivalsFolder))
		}
		if ferr != nil {
			return fmt.Errorf("engine: %w", errors.Join(err, ferr))
		}
		if err = os.MkdirAll(e.path(arrivalsFolder), 0o700); err == nil {
			l, err = open()
		}
	}
	if err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	e.arrivals = l
	return nil
}

// shown is up to which batch the lake shows what it was handed.
type shown struct {
	mu  sync.Mutex
	seq uint64
	at  time.Time
}

// showAll makes the lake show what it was handed, if that was not done just
// now, and returns up to which batch it does.
func (e *Engine) showAll(ctx context.Context) uint64 {
	e.look(ctx)
	e.shown.mu.Lock()
	defer e.shown.mu.Unlock()
	if last := e.last.Load(); last > e.shown.seq && time.Since(e.shown.at) >= showEvery {
		e.lake.Flush()
		e.shown.seq, e.shown.at = last, time.Now()
	}
	return e.shown.seq
}

// arrivalQuestion asks for a page of arrivals, or for a place among them.
type arrivalQuestion struct {
	question
	From   search.Place `json:"from"`
	Events int          `json:"events"`
	When   string       `json:"when,omitempty"`
}

// arrivalAnswer comes before the rows of a page.
type arrivalAnswer struct {
	Next   search.Place `json:"next"`
	More   bool         `json:"more"`
	Behind uint64       `json:"behind"`
	Came   time.Time    `json:"came"`
	Lost   bool         `json:"lost"`
}

func (e *Engine) arrivalHandlers(mux *http.ServeMux) {
	slots := make(chan struct{}, arrivalReads)
	handle := func(name string, answer func(ctx context.Context, q arrivalQuestion, out *bufio.Writer) error) {
		mux.HandleFunc("POST /"+name, func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeoutCause(r.Context(), queryTimeout, fmt.Errorf("reading what came took longer than %s", queryTimeout))
			defer cancel()
			var q arrivalQuestion
			err := json.NewDecoder(io.LimitReader(r.Body, maxQuestion)).Decode(&q)
			if err == nil {
				err = q.compile()
			}
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			out := bufio.NewWriterSize(w, 256<<10)
			_ = json.NewEncoder(out).Encode(judge(answer(ctx, q, out)))
			_ = out.Flush()
		})
	}
	handle("arrivals", func(ctx context.Context, q arrivalQuestion, out *bufio.Writer) error {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		return e.page(ctx, q, out)
	})
	handle("backlog", func(ctx context.Context, q arrivalQuestion, out *bufio.Writer) error {
		a := arrivalAnswer{Next: q.From}
		if a.Lost = q.From.Epoch != e.epoch; a.Lost {
			a.Next = search.Place{Epoch: e.epoch, Sequence: 1}
		}
		var err error
		if a.Behind, a.Came, err = e.arrivals.Behind(ctx, a.Next.Sequence); err != nil {
			return err
		}
		a.More = a.Behind > 0
		return json.NewEncoder(out).Encode(a)
	})
	handle("locate", func(ctx context.Context, q arrivalQuestion, out *bufio.Writer) error {
		p, err := e.locate(ctx, q.When)
		if err != nil {
			return err
		}
		return json.NewEncoder(out).Encode(p)
	})
}

// page answers with what is next, and then the rows in no order.
func (e *Engine) page(ctx context.Context, q arrivalQuestion, out *bufio.Writer) error {
	lq := lake.Query{Accounts: q.Accounts, Filter: q.Filter, Veil: q.hidden, Group: q.Group, LogsQL: q.Query}
	if err := e.lake.CheckTail(lq); err != nil {
		return err
	}
	a := arrivalAnswer{Next: q.From}
	if a.Lost = q.From.Epoch != e.epoch; a.Lost {
		a.Next = search.Place{Epoch: e.epoch, Sequence: 1}
	}
	a.Next.Sequence = max(a.Next.Sequence, 1)
	from, to := a.Next.Sequence, e.showAll(ctx)
	var p arrivals.Page
	if from <= to {
		var err error
		if p, err = e.arrivals.Next(ctx, from, to, min(q.Events, maxPage)); err != nil {
			return err
		}
		if p.Spans == nil {
			p.Spans = []lake.Span{e.wholeTime()}
		}
		a.Next.Sequence, a.Next.Index, a.More = p.Through+1, 0, p.Through < to
	}
	var err error
	if a.Behind, a.Came, err = e.arrivals.Behind(ctx, a.Next.Sequence); err != nil {
		return err
	}
	if err := json.NewEncoder(out).Encode(a); err != nil || from > to {
		return err
	}
	return e.lake.Batches(ctx, lq, from, p.Through, p.Spans, func(row []byte) error {
		if _, err := out.Write(row); err != nil {
			return err
		}
		return out.WriteByte('\n')
	})
}

// wholeTime is all the time that the lake may have events of.
func (e *Engine) wholeTime() lake.Span {
	now, keep := time.Now(), time.Duration(0)
	for _, c := range e.opts.Keeping.Classes {
		keep = max(keep, c.Keep)
	}
	return lake.Span{From: now.Add(-keep).UnixNano(), To: now.Add(lake.FutureLimit).UnixNano()}
}

// locate finds the place that was reached at a time.
func (e *Engine) locate(ctx context.Context, when string) (search.Place, error) {
	p := search.Place{Epoch: e.epoch, Sequence: e.last.Load() + 1}
	var t time.Time
	switch when {
	case search.Newest:
		return p, nil
	case search.Oldest:
	default:
		var err error
		if t, err = time.Parse(time.RFC3339, when); err != nil {
			return p, fmt.Errorf("engine: the time %.40q: want one such as 2026-11-26T03:00:00Z, %s or %s", when, search.Newest, search.Oldest)
		}
	}
	seq, ok, err := e.arrivals.Since(ctx, t)
	if err == nil && ok {
		p.Sequence = seq
	}
	return p, err
}

// Arrivals implements search.Arrivals.
func (c *Client) Arrivals(ctx context.Context, a search.Arriving) (search.Arrived, error) {
	q := arrivalQuestion{question: c.within(a.Reach), From: a.From, Events: a.Events}
	q.Query = a.Query
	var head *arrivalAnswer
	var out search.Arrived
	err := c.ask(ctx, "arrivals", q, func(b []byte) error {
		if head == nil {
			head = &arrivalAnswer{}
			return json.Unmarshal(b, head)
		}
		var row struct {
			ID string `json:"event.id"`
		}
		if err := json.Unmarshal(b, &row); err != nil {
			return err
		}
		id, ok := event.ParseID(row.ID)
		if !ok || id.Epoch != head.Next.Epoch {
			return nil // another bus began its numbers anew
		}
		out.Events = append(out.Events, search.ArrivedEvent{ID: id, Row: slices.Clone(a.Reach.Veil().Row(b))})
		return nil
	})
	if err != nil {
		return search.Arrived{}, err
	}
	if head == nil {
		return search.Arrived{}, fmt.Errorf("%w: it told nothing of what came", search.ErrUnavailable)
	}
	slices.SortFunc(out.Events, func(a, b search.ArrivedEvent) int { return compareIDs(a.ID, b.ID) })
	out.Next, out.More, out.Behind, out.Came, out.Lost = head.Next, head.More, head.Behind, head.Came, head.Lost
	return out, nil
}

func compareIDs(a, b event.ID) int {
	if a.Sequence != b.Sequence {
		return cmp.Compare(a.Sequence, b.Sequence)
	}
	return cmp.Compare(a.Index, b.Index)
}

// Locate implements search.Arrivals.
func (c *Client) Locate(ctx context.Context, when string) (p search.Place, err error) {
	err = c.ask(ctx, "locate", arrivalQuestion{When: when}, into(&p))
	return p, err
}

// Backlog implements search.Arrivals.
func (c *Client) Backlog(ctx context.Context, from search.Place) (search.Arrived, error) {
	var a arrivalAnswer
	err := c.ask(ctx, "backlog", arrivalQuestion{From: from}, into(&a))
	return search.Arrived{Next: a.Next, More: a.More, Behind: a.Behind, Came: a.Came, Lost: a.Lost}, err
}

var _ search.Arrivals = (*Client)(nil)
