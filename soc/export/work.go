package export

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/valyala/fastjson"

	"icewatch/soc/search"
)

const (
	// stretch is how many rows one query of a job is meant to bring. They are
	// held in memory to be put in order.
	stretch = 10_000
	// heldBytes is how many bytes of rows are held at most; a denser stretch is
	// put in order piece by piece.
	heldBytes = 32 * mib
	// buckets is how finely a stretch of time is counted.
	buckets = 200
	// patience is how long a job waits for an engine that restarts.
	patience = 2 * time.Minute
)

var (
	errCancelled = errors.New("it was cancelled")
	errEnough    = errors.New("enough rows")
)

// reason is an error whose text the owner may read as it is.
type reason struct {
	text string
	kind error
}

func (r reason) Error() string { return r.text }

// Is tells of what kind the reason is.
func (r reason) Is(kind error) bool { return kind == ErrRefused || r.kind != nil && kind == r.kind }

var (
	// ErrRefused is any error whose text the owner may read as it is.
	ErrRefused = errors.New("refused")
	// ErrAway says that the owner's account is disabled, locked or gone.
	ErrAway = errors.New("the owner is away")
)

// Refusal is an error of As whose text the owner may read: why he may not
// search this at the moment.
func Refusal(text string) error { return reason{text: text} }

// Away is a Refusal that is ErrAway as well.
func Away(text string) error { return reason{text, ErrAway} }

// work runs one job to its end.
func (s *Service) work(ctx context.Context, r *row, as As) {
	job, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	at := &run{cancel: cancel}
	at.estimated.Store(-1)
	s.mu.Lock()
	s.running[r.ID] = at
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.running, r.ID)
		s.mu.Unlock()
	}()
	w := &worker{s: s, r: r, at: at}
	err := func() (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("export: panic: %v", p)
			}
		}()
		return w.write(job, as)
	}()
	if ctx.Err() != nil && err != nil {
		// The suite stops: the job begins anew when it is back, and this was no
		// attempt that failed.
		end, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer stop()
		_, err := s.db.NewUpdate().Model((*row)(nil)).Set("state = ?", Queued).Set("attempts = attempts - 1").
			Where("id = ?", r.ID).Where("state = ?", Running).Exec(end)
		if err != nil {
			s.deps.Log.Warn("export: a job is found again as running", "export", r.ID, "error", err)
		}
		return
	}
	s.end(context.WithoutCancel(ctx), r, at, err)
}

// end writes down how a job ended.
func (s *Service) end(ctx context.Context, r *row, at *run, err error) {
	now := s.now()
	r.Rows, r.Estimated, r.FinishedAt = at.rows.Load(), at.estimated.Load(), now.UnixMilli()
	switch {
	case err == nil:
		r.State = Done
		r.ExpiresAt = now.AddDate(0, 0, s.deps.Limits().Days).UnixMilli()
	case errors.Is(err, errCancelled):
		r.State, r.Bytes = Cancelled, 0
	default:
		r.State, r.Error, r.Bytes = Failed, s.explain(r, err), 0
	}
	// A cancellation that came this moment counts: then the file goes.
	res, fail := s.db.NewUpdate().Model(r).Column("state", "rows", "estimated", "bytes", "sheets", "notes", "error", "file", "fields", "finished_at", "expires_at").
		WherePK().Where("state IN (?, ?)", Running, r.State).Exec(ctx)
	if fail != nil {
		s.deps.Log.Error("export: how a job ended is not written down: it begins anew at the next start", "export", r.ID, "error", fail)
		return
	}
	if n, err := res.RowsAffected(); err == nil && n == 0 {
		if err := s.remove(r.File); err != nil {
			s.deps.Log.Warn("export: the file of a cancelled job is removed at the next start", "export", r.ID, "error", err)
		}
		r.State, r.File, r.Bytes = Cancelled, "", 0
	}
	if s.deps.Finished != nil {
		s.deps.Finished(ctx, r.job(now))
	}
}

// explain says to the owner why his job failed; what is the suite's own
// business goes to the log alone.
func (s *Service) explain(r *row, err error) string {
	var qe *search.QueryError
	var why reason
	switch {
	case errors.As(err, &why):
		return why.text
	case errors.As(err, &qe):
		return qe.Error()
	case errors.Is(err, ErrRoom):
		return err.Error()
	case errors.Is(err, search.ErrUnavailable):
		return fmt.Sprintf("the engine was not available for %s: ask again", patience)
	}
	s.deps.Log.Error("export: a job failed", "export", r.ID, "owner", r.OwnerName, "error", err)
	return "something went wrong on the server: quote the export's id to its operator"
}

// worker writes one job's file.
type worker struct {
	s      *Service
	r      *row
	at     *run
	out    *output
	parser fastjson.Parser
	looked time.Time // when the disk was last asked
}

// write runs the query and leaves the file in the folder.
func (w *worker) write(ctx context.Context, as As) (err error) {
	r, s := w.r, w.s
	within, start, err := as(ctx, r.owner(), r.Tenant, r.Group, time.UnixMilli(r.StartAt).UTC())
	if err != nil {
		return err
	}
	req := search.Request{Reach: within, Query: r.Query, Start: start, End: time.UnixMilli(r.EndAt).UTC()}
	if req.Query == "" {
		req.Query = "*"
	}
	shape, err := s.deps.Shape(req.Query)
	if err != nil {
		return err
	}
	empty := within.Nothing() || !req.End.After(req.Start)
	total := int64(-1)
	var counts search.Histogram
	switch {
	case empty:
		total = 0
	case shape.Slices:
		if counts, err = w.count(ctx, req); err != nil {
			return err
		}
		total = int64(counts.Total)
	}
	w.at.estimated.Store(total)
	fields := decode(r.Fields)
	if len(fields) == 0 && !shape.Pipes && !empty && (r.Format == CSV || r.Format == XLSX) {
		if fields, err = w.columns(ctx, req); err != nil {
			return err
		}
	}
	name := strings.ToLower(rand.Text())
	temp := filepath.Join(s.deps.Dir, name+".part")
	defer os.RemoveAll(temp)
	if err := os.Mkdir(temp, 0o700); err != nil {
		return fmt.Errorf("export: make a folder to work in: %w", err)
	}
	w.out, err = newOutput(temp, r, fields, s.deps.Limits().MaxBytes)
	if err != nil {
		return err
	}
	defer w.out.abandon()
	switch {
	case empty:
	case shape.Slices:
		err = w.walk(ctx, req, counts)
	default:
		one := req
		one.Limit = int(r.MaxRows)
		err = s.deps.Search.Query(ctx, one, w.put)
	}
	if err != nil && !errors.Is(err, errEnough) {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return err
	}
	file, notes, err := w.out.finish(ctx)
	if err != nil {
		return err
	}
	if rows := w.at.rows.Load(); rows == r.MaxRows && (total < 0 || total > rows) {
		notes = append(notes, fmt.Sprintf("it holds the newest %d rows, as many as were asked for; there may be more", rows))
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	r.File = name + "." + r.Format
	if err := os.Rename(file, filepath.Join(s.deps.Dir, r.File)); err != nil {
		return fmt.Errorf("export: put the file in its place: %w", err)
	}
	if err := syncFolder(s.deps.Dir); err != nil {
		return err
	}
	r.Fields, r.Notes, r.Bytes, r.Sheets = encode(w.out.fields), encode(notes), w.out.size, w.out.sheets
	return nil
}

// columns lists the fields that occur, the time first and the text as sent
// last.
func (w *worker) columns(ctx context.Context, req search.Request) ([]string, error) {
	hits, err := retry(ctx, func() ([]search.ValueHits, error) { return w.s.deps.Search.Fields(ctx, req, maxFields) })
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(hits))
	for _, h := range hits {
		names = append(names, h.Value)
	}
	// The lake keeps the text as sent apart from the fields and does not list it among them; its rows have it.
	if len(names) > 0 {
		names = append(names, "event.original")
	}
	return inOrder(names), nil
}

// inOrder puts names as people read them: when, what, the rest by name, and
// the long text as it was sent at the end.
func inOrder(names []string) []string {
	rank := func(name string) int {
		switch name {
		case "@timestamp":
			return 0
		case "event.id":
			return 1
		case "event.original":
			return 3
		}
		return 2
	}
	slices.SortFunc(names, func(a, b string) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	return slices.Compact(names)
}

// count counts the rows of a request over its time.
func (w *worker) count(ctx context.Context, req search.Request) (search.Histogram, error) {
	return retry(ctx, func() (search.Histogram, error) { return w.s.deps.Search.Histogram(ctx, req, buckets) })
}

// walk writes the rows of a request, newest first, in stretches of time that
// each hold not too many. The counts are only there to find them.
func (w *worker) walk(ctx context.Context, req search.Request, h search.Histogram) error {
	start, end := req.Start, req.End
	step := time.Duration(h.StepMS) * time.Millisecond
	last, gathered := end, uint64(0)
	for i := len(h.Buckets) - 1; i >= 0; i-- {
		b := h.Buckets[i]
		from, to := later(b.Time, start), earlier(b.Time.Add(step), end)
		if b.Count > stretch && step > 100*time.Millisecond && to.Sub(from) > 100*time.Millisecond && (from.After(start) || to.Before(end)) {
			if err := w.read(ctx, req, to, last); err != nil {
				return err
			}
			dense := req
			dense.Start, dense.End = from, to
			finer, err := w.count(ctx, dense)
			if err != nil {
				return err
			}
			if err := w.walk(ctx, dense, finer); err != nil {
				return err
			}
			last, gathered = from, 0
			continue
		}
		gathered += b.Count
		if gathered >= stretch {
			if err := w.read(ctx, req, from, last); err != nil {
				return err
			}
			last, gathered = from, 0
		}
	}
	return w.read(ctx, req, start, last)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// read writes the rows of one stretch, newest first. An engine that restarts is
// waited for, as long as nothing of the stretch was written.
func (w *worker) read(ctx context.Context, req search.Request, start, end time.Time) error {
	if !end.After(start) {
		return nil
	}
	req.Start, req.End = start, end
	_, err := retry(ctx, func() (struct{}, error) {
		var held []heldRow
		size, written := 0, false
		flush := func() error {
			slices.SortStableFunc(held, func(a, b heldRow) int { return strings.Compare(b.time, a.time) })
			for _, h := range held {
				written = true
				if err := w.put(h.row); err != nil {
					return err
				}
			}
			held, size = held[:0], 0
			return nil
		}
		err := w.s.deps.Search.Query(ctx, req, func(row []byte) error {
			held = append(held, heldRow{timeKey(row), bytes.Clone(row)})
			if size += len(row) + 64; size > heldBytes {
				return flush()
			}
			return nil
		})
		if err == nil {
			err = flush()
		}
		if written && errors.Is(err, search.ErrUnavailable) {
			err = reason{text: "the engine stopped in the middle of a dense stretch: ask again"}
		}
		return struct{}{}, err
	})
	return err
}

// heldRow is a row with what it is ordered by.
type heldRow struct {
	time string
	row  []byte
}

// timeKey is a row's time in a form that compares as time does: RFC 3339 in
// UTC with nine digits of fraction.
func timeKey(row []byte) string {
	text := fastjson.GetString(row, "@timestamp")
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000000000Z")
}

// put writes one row and looks now and then after the disk.
func (w *worker) put(row []byte) error {
	if w.at.rows.Load() >= w.r.MaxRows {
		return errEnough
	}
	doc, err := w.parser.ParseBytes(row)
	if err != nil {
		return fmt.Errorf("export: a row is not JSON: %w", err)
	}
	object, err := doc.Object()
	if err != nil {
		return fmt.Errorf("export: a row is no object: %w", err)
	}
	if err := w.out.add(object, row); err != nil {
		return err
	}
	rows := w.at.rows.Add(1)
	w.at.bytes.Store(w.out.written())
	if rows%512 == 0 && time.Since(w.looked) > time.Second {
		w.looked = time.Now()
		if err := w.s.room(); err != nil {
			return err
		}
	}
	return nil
}

// retry asks again where the engine is away for a moment.
func retry[T any](ctx context.Context, ask func() (T, error)) (T, error) {
	end := time.Now().Add(patience)
	for wait := 200 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		v, err := ask()
		if !errors.Is(err, search.ErrUnavailable) || time.Now().After(end) {
			return v, err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return v, context.Cause(ctx)
		}
	}
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("export: open the folder: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("export: make the folder durable: %w", err)
	}
	return nil
}
