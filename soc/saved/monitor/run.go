package monitor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/uptrace/bun"
	"github.com/valyala/fastjson"

	"icewatch/detections"
	"icewatch/soc/export"
	"icewatch/soc/reach"
	"icewatch/soc/saved"
	"icewatch/soc/search"
	"icewatch/soc/tenancy"
)

const (
	// RulePrefix begins the rule ids of alerts that monitors raise.
	RulePrefix = "icewatch-search-"
	// maxRows is how many rows of a query with pipes are counted.
	maxRows = 1_000_000
	// maxSamples is how many rows stand behind an alert.
	maxSamples = 100
	// runTime bounds one run.
	runTime = 2 * time.Minute
	// maxInline is how many bytes of a file are told to a receiver along with
	// where the file is.
	maxInline = 256 << 10
	// fieldText bounds the text of one field in an alert.
	fieldText = 2000
)

// Run runs what is due until ctx ends. as tells what owners may read.
func (s *Service) Run(ctx context.Context, as export.As) {
	s.mu.Lock()
	s.as, s.base = as, ctx
	s.mu.Unlock()
	slots := make(chan struct{}, concurrency)
	for {
		wait := s.startDue(ctx, slots)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-s.wake:
		case <-ctx.Done():
			timer.Stop()
			s.mu.Lock()
			s.as = nil // no manual run begins any more
			s.mu.Unlock()
			s.group.Wait()
			return
		}
		timer.Stop()
	}
}

// startDue starts the monitors that are due and returns how long there is
// nothing to do.
func (s *Service) startDue(ctx context.Context, slots chan struct{}) time.Duration {
	var rows []row
	err := s.db.NewSelect().Model(&rows).Where("m.enabled = ?", true).Where("m.paused = ''").Order("m.due_at").Scan(ctx)
	if err != nil {
		if ctx.Err() == nil {
			s.deps.Log.Error("monitor: what is due cannot be read", "error", err)
		}
		return 5 * time.Second
	}
	now, wait := s.now(), time.Minute
	for i := range rows {
		r := &rows[i]
		c, err := r.content()
		if err != nil {
			s.deps.Log.Error("monitor: one is left out", "monitor", r.ID, "error", err)
			continue
		}
		begin := at(r.DueAt).Add(c.delay())
		if d := begin.Sub(now); d > 0 {
			wait = min(wait, d)
			continue
		}
		if !s.enter(r.ID) {
			continue // it runs; its end wakes us
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			s.leave(r.ID)
			return 0
		}
		s.group.Go(func() {
			defer s.nudge()
			defer s.leave(r.ID)
			defer func() { <-slots }()
			if err := s.due(ctx, r, c); err != nil && ctx.Err() == nil {
				s.deps.Log.Error("monitor: a run could not be written down", "monitor", r.ID, "name", r.Name, "error", err)
				time.Sleep(time.Second) // not again at once
			}
		})
	}
	return wait
}

func (s *Service) enter(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running[id] {
		return false
	}
	s.running[id] = true
	return true
}

func (s *Service) leave(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.running, id)
}

func (c Content) delay() time.Duration {
	d, _ := saved.ParseSpan(c.Delay) // checked when it was kept; "" is none
	return d
}

// due does the run of the latest time of the schedule that is over. Those
// before it that were missed are not made up for: they are counted.
func (s *Service) due(ctx context.Context, r *row, c Content) error {
	now := s.now()
	sched, err := ParseSchedule(c.Schedule, c.TimeZone, now)
	if err != nil {
		return err
	}
	tick, missed := at(r.DueAt), 0
	for missed < maxMissed {
		next := sched.next(tick)
		if next.IsZero() || next.Add(c.delay()).After(now) {
			break
		}
		tick = next
		missed++
	}
	run := &runRow{Monitor: r.ID, DueAt: tick.UnixMilli(), Missed: missed}
	if err := s.begin(ctx, run, c, tick); err != nil {
		return err
	}
	unique := strconv.FormatInt(tick.Unix(), 10)
	away := s.look(ctx, r, c, run, unique)
	if ctx.Err() != nil && run.Outcome == Failed {
		return ctx.Err() // the suite stops: the time stays due
	}
	return s.end(context.WithoutCancel(ctx), r, run, away, sched.next(tick))
}

// begin writes down that a run begins.
func (s *Service) begin(ctx context.Context, run *runRow, c Content, end time.Time) error {
	window, err := saved.ParseSpan(c.Window)
	if err != nil {
		return fmt.Errorf("monitor: the window of %s: %w", run.Monitor, err)
	}
	run.StartedAt, run.WindowStart, run.WindowEnd, run.Outcome = s.now().UnixMilli(), end.Add(-window).UnixMilli(), end.UnixMilli(), Running
	if _, err := s.db.NewInsert().Model(run).Exec(ctx); err != nil {
		return fmt.Errorf("monitor: begin a run of %s: %w", run.Monitor, err)
	}
	return nil
}

// end writes down how a run ended, and when the next one is.
func (s *Service) end(ctx context.Context, r *row, run *runRow, away string, next time.Time) error {
	failures := 0
	err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if _, err := tx.NewUpdate().Model(run).WherePK().Exec(ctx); err != nil {
			return err
		}
		_, err := tx.NewRaw(`DELETE FROM monitor_runs WHERE monitor = ? AND id NOT IN (SELECT id FROM monitor_runs WHERE monitor = ? ORDER BY id DESC LIMIT ?)`,
			r.ID, r.ID, keptRuns).Exec(ctx)
		if err != nil {
			return err
		}
		if run.Dry {
			return nil
		}
		// Whoever changed it in between planned it anew.
		q := tx.NewUpdate().Model((*row)(nil)).Where("id = ?", r.ID).Where("revision = ?", r.Revision)
		if run.Outcome == Failed {
			if failures = r.Failures + 1; away != "" {
				q = q.Set("paused = ?", away)
			}
		}
		q = q.Set("failures = ?", failures)
		if !run.Manual {
			q = q.Set("due_at = ?", next.UnixMilli())
		}
		_, err = q.Exec(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("monitor: write down a run of %s: %w", r.ID, err)
	}
	switch {
	case run.Dry:
	case failures >= warnAfter || away != "":
		s.deps.Alarm(ctx, Alarm{Key: alarmKey(r.ID), Detail: detections.Text{
			ZH: fmt.Sprintf("定时检索“%s”（%s）：%s", r.Name, r.OwnerName, run.Error),
			EN: fmt.Sprintf("Scheduled search %q of %s: %s", r.Name, r.OwnerName, run.Error)}})
	case failures == 0:
		s.deps.Clear(alarmKey(r.ID))
	}
	return nil
}

// look does what a run does: search, hold against the condition, act. What
// goes wrong stands in the run. away is why the owner cannot search any more.
func (s *Service) look(ctx context.Context, r *row, c Content, run *runRow, unique string) (away string) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, runTime)
	defer cancel()
	err := func() (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("monitor: panic: %v", p)
			}
		}()
		return s.try(ctx, r, c, run, unique)
	}()
	run.TookMS = time.Since(began).Milliseconds()
	if err == nil {
		return ""
	}
	run.Outcome, run.Error = Failed, s.explain(r, err)
	if errors.Is(err, export.ErrAway) {
		return run.Error
	}
	return ""
}

// explain says to people why a run failed; what is the suite's own business
// goes to the log alone.
func (s *Service) explain(r *row, err error) string {
	var qe *search.QueryError
	switch {
	case errors.Is(err, export.ErrRefused), errors.Is(err, saved.ErrInvalid), errors.Is(err, export.ErrLimit), errors.Is(err, export.ErrRoom), errors.Is(err, export.ErrInvalid):
		return err.Error()
	case errors.As(err, &qe):
		return qe.Error()
	case errors.Is(err, search.ErrUnavailable):
		return "the engine was not available"
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("it took longer than %s: narrow the window or the query", runTime)
	}
	s.deps.Log.Error("monitor: a run failed", "monitor", r.ID, "name", r.Name, "owner", r.OwnerName, "error", err)
	return "something went wrong on the server: " + strings.ToValidUTF8(fmt.Sprintf("%.200s", err), "")
}

func (s *Service) try(ctx context.Context, r *row, c Content, run *runRow, unique string) error {
	s.mu.Lock()
	as := s.as
	s.mu.Unlock()
	if as == nil {
		return context.Canceled
	}
	within, start, err := as(ctx, r.exportOwner(), c.Tenant, c.Group, at(run.WindowStart))
	if err != nil {
		return err
	}
	tenant, err := alertTenant(c, within)
	if err != nil {
		return err
	}
	run.WindowStart = start.UnixMilli()
	found := findings{}
	if end := at(run.WindowEnd); !within.Nothing() && end.After(start) {
		req := search.Request{Reach: within, Query: c.Query, Start: start, End: end}
		if req.Query == "" {
			req.Query = "*"
		}
		if err := s.find(ctx, req, c.Condition, &found); err != nil {
			return err
		}
	}
	run.Rows, run.Value, run.Outcome = found.rows, found.shown, NotMet
	met := found.met
	if c.Condition.Kind == OnRows {
		met = c.Condition.holds(float64(found.rows))
	}
	if !met {
		return nil
	}
	if run.Dry {
		run.Outcome = Met
		return nil
	}
	if c.Action.Kind == Export {
		o := r.exportOwner()
		j, err := s.deps.Export(ctx, o, export.Request{Query: c.Query, Tenant: c.Tenant, Group: c.Group, Start: start, End: at(run.WindowEnd), Format: c.Action.Format,
			Fields: c.Action.Fields, Name: fmt.Sprintf("%.100s %s", c.Name, at(run.WindowEnd).Format("2006-01-02 1504")), Kept: c.Action.Kept, BOM: c.Action.Format == export.CSV,
			Origin: Origin(r.ID)})
		if err != nil {
			return err
		}
		run.Export, run.Outcome = j.ID, Met
		return nil
	}
	o := raised(r, c, run, found, tenant, unique)
	if err := s.deps.Raise(ctx, o); err != nil {
		return err
	}
	run.Occurrence, run.Outcome = o.ID, Met
	return nil
}

// alertTenant is whose the alert of a monitor is: of the one tenant it
// searches in, or of the city, where its owner sees everything anyway.
func alertTenant(c Content, within reach.Reach) (string, error) {
	if c.Tenant != "" {
		return c.Tenant, nil
	}
	if slugs, all := within.TenantSlugs(); all {
		return tenancy.City, nil
	} else if len(slugs) == 1 {
		return slugs[0], nil
	}
	if c.Action.Kind == Export {
		return "", nil
	}
	return "", export.Refusal("an alert belongs to one tenant: name the tenant, or let somebody own this who sees everything")
}

// findings is what a search found.
type findings struct {
	rows  int64
	met   bool
	shown string            // the figure that a condition on a field looked at
	at    map[string]string // the row it was in, or the newest
	ids   []string
	from  time.Time // the first event's time, as far as rows were read
	last  time.Time
}

// find searches and holds what it finds against a condition.
func (s *Service) find(ctx context.Context, req search.Request, c Condition, f *findings) error {
	shape, err := s.deps.Shape(req.Query)
	if err != nil {
		return err
	}
	var p fastjson.Parser
	if c.Kind == OnRows && !shape.Pipes {
		h, err := s.deps.Search.Histogram(ctx, req, 1)
		if err != nil {
			return err
		}
		f.rows = int64(h.Total)
		if f.rows == 0 || !c.holds(float64(f.rows)) {
			return nil
		}
		req.Limit = maxSamples
		return s.deps.Search.Query(ctx, req, func(row []byte) error { return f.sample(&p, row) })
	}
	req.Limit = maxRows
	seen := map[string]bool{}
	looked := false
	extreme := 0.0
	err = s.deps.Search.Query(ctx, req, func(row []byte) error {
		f.rows++
		if c.Kind == OnRows {
			return f.sample(&p, row)
		}
		doc, err := p.ParseBytes(row)
		if err != nil {
			return fmt.Errorf("monitor: a row is not JSON: %w", err)
		}
		v := doc.Get(c.Field)
		if v == nil {
			if len(seen) < 30 {
				doc.GetObject().Visit(func(key []byte, _ *fastjson.Value) { seen[string(key)] = true })
			}
			return nil
		}
		text := v.String()
		if b, err := v.StringBytes(); err == nil {
			text = string(b)
		}
		x, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil // a text meets no condition on figures
		}
		met := c.holds(x)
		// The figure furthest towards the condition is what people want to see.
		further := strings.HasPrefix(c.Op, ">") && x > extreme || strings.HasPrefix(c.Op, "<") && x < extreme
		if !looked || met && !f.met || met == f.met && further {
			extreme, f.shown = x, text
			if met {
				f.at = nil // of the row that meets it
			}
		}
		looked, f.met = true, f.met || met
		if met && f.at == nil {
			return f.sample(&p, row)
		}
		return nil
	})
	if err == nil && c.Kind == OnValue && f.rows > 0 && !looked {
		names := slices.Sorted(maps.Keys(seen))
		return export.Refusal(fmt.Sprintf("no row has a figure in the field %q: there are %s", c.Field, strings.Join(names, ", ")))
	}
	return err
}

// sample takes a row as one that stands behind the alert.
func (f *findings) sample(p *fastjson.Parser, row []byte) error {
	if f.at != nil && len(f.ids) >= maxSamples {
		return nil
	}
	doc, err := p.ParseBytes(row)
	if err != nil {
		return fmt.Errorf("monitor: a row is not JSON: %w", err)
	}
	if id := doc.GetStringBytes("event.id"); id != nil && len(f.ids) < maxSamples {
		f.ids = append(f.ids, string(id))
	}
	if t, err := time.Parse(time.RFC3339Nano, string(doc.GetStringBytes("@timestamp"))); err == nil {
		if f.from.IsZero() || t.Before(f.from) {
			f.from = t
		}
		if t.After(f.last) {
			f.last = t
		}
	}
	if f.at != nil {
		return nil
	}
	f.at = map[string]string{}
	doc.GetObject().Visit(func(key []byte, v *fastjson.Value) {
		text := v.String()
		if b, err := v.StringBytes(); err == nil {
			text = string(b)
		}
		f.at[string(key)] = strings.ToValidUTF8(fmt.Sprintf("%.*s", fieldText, text), "")
	})
	return nil
}

// raised is what becomes an alert. Its id is that of the time of the schedule,
// so that a run that is done again raises the same; its key is the monitor's,
// so that all it raises merges into one alert while that is open.
func raised(r *row, c Content, run *runRow, f findings, tenant, unique string) detections.Occurrence {
	sum := sha256.Sum256([]byte(strings.Join([]string{"monitor", r.ID, unique}, "\x00")))
	title := c.Action.Title
	if title.ZH == "" && title.EN == "" {
		title = detections.Text{ZH: c.Name, EN: c.Name}
	}
	what := strconv.FormatInt(run.Rows, 10)
	looked := "rows"
	sentence := detections.Text{ZH: fmt.Sprintf("定时检索“%s”在窗口内找到 %s 条", c.Name, what), EN: fmt.Sprintf("The scheduled search %q found %s rows in its window", c.Name, what)}
	if c.Condition.Kind == OnValue {
		what, looked = f.shown, c.Condition.Field
		sentence = detections.Text{ZH: fmt.Sprintf("定时检索“%s”：%s 为 %s", c.Name, looked, what), EN: fmt.Sprintf("The scheduled search %q: %s is %s", c.Name, looked, what)}
	}
	fields := f.at
	if fields == nil || tenant == tenancy.City {
		// An alert of the city is about no single tenant's item: what one row
		// says of its own does not stand for all.
		fields = map[string]string{}
	}
	limit := strconv.FormatFloat(c.Condition.Value, 'g', -1, 64)
	for k, v := range map[string]string{"icewatch.monitor.id": r.ID, "icewatch.monitor.name": c.Name, "icewatch.monitor.query": c.Query, "icewatch.monitor.window_start": at(run.WindowStart).Format(time.RFC3339),
		"icewatch.monitor.window_end": at(run.WindowEnd).Format(time.RFC3339), "icewatch.monitor.rows": strconv.FormatInt(run.Rows, 10), "icewatch.monitor.condition": looked + " " + c.Condition.Op + " " + limit} {
		fields[k] = v
	}
	o := detections.Occurrence{ID: hex.EncodeToString(sum[:]), Tenant: tenant, Time: at(run.WindowEnd), From: at(run.WindowStart), Count: int(max(run.Rows, 1)),
		Rule: detections.RuleRef{ID: RulePrefix + strings.TrimPrefix(r.ID, "monitor_"), Title: title, Sentence: sentence, Level: c.Action.Severity, Kind: "search", Tags: append([]string{"icewatch.search"}, c.Tags...),
			Advice: detections.Text{ZH: "打开该定时检索查看窗口内的原始日志。", EN: "Open the scheduled search and look at the events of its window."}},
		Group: []detections.Pair{{Field: "icewatch.monitor.id", Value: r.ID}}, Fields: fields, EventIDs: f.ids,
		Evidence: []detections.Match{{Selection: "condition " + c.Condition.Op + " " + limit, Field: looked, Value: what}},
		Priority: priorities[c.Action.Severity],
		Reasons:  []detections.Text{{ZH: "优先级由定时检索的级别决定", EN: "The priority goes by the severity of the scheduled search"}}}
	if !f.last.IsZero() {
		o.Time, o.From = f.last, f.from
	}
	return o
}

var priorities = map[detections.Level]string{detections.Critical: "P1", detections.High: "P2", detections.Medium: "P3", detections.Low: "P4", detections.Informational: "P4"}

// RunNow runs a monitor at once, for the window that ends now; dry looks and
// does nothing. The run goes on in the background.
func (s *Service) RunNow(ctx context.Context, a saved.Asker, id string, dry bool) (Run, error) {
	r, err := s.row(ctx, s.db, a, id)
	if err != nil {
		return Run{}, err
	}
	c, err := r.content()
	if err != nil {
		return Run{}, err
	}
	s.mu.Lock()
	base, ready := s.base, s.as != nil
	s.mu.Unlock()
	if !ready {
		return Run{}, search.ErrUnavailable
	}
	if !s.enter(id) {
		return Run{}, fmt.Errorf("%w: it runs this moment", saved.ErrConflict)
	}
	now := s.now().UTC()
	run := &runRow{Monitor: id, DueAt: now.UnixMilli(), Manual: true, Dry: dry}
	if err := s.begin(ctx, run, c, now); err != nil {
		s.leave(id)
		return Run{}, err
	}
	begun := run.run()
	s.group.Go(func() {
		defer s.nudge()
		defer s.leave(id)
		away := s.look(base, r, c, run, "manual "+strconv.FormatInt(run.ID, 10))
		if err := s.end(context.WithoutCancel(base), r, run, away, time.Time{}); err != nil {
			s.deps.Log.Error("monitor: a run could not be written down", "monitor", id, "error", err)
		}
	})
	return begun, nil
}

// Origin is the origin of the exports that a monitor begins.
func Origin(id string) string { return "monitor:" + id }

// told is what a receiver is told of an export.
type told struct {
	Kind    string     `json:"kind"` // export
	Monitor string     `json:"monitor_id"`
	Name    string     `json:"monitor"`
	Export  export.Job `json:"export"`
	Link    string     `json:"link"`              // of the console, for people
	Content string     `json:"content,omitempty"` // the file itself, where it is a text and not large
}

// Exported tells the receiver of a monitor that an export of the monitor's has
// ended. open opens the export's file.
func (s *Service) Exported(ctx context.Context, j export.Job, open func() (io.ReadCloser, error)) {
	id, ok := strings.CutPrefix(j.Origin, "monitor:")
	if !ok {
		return
	}
	if err := s.tell(ctx, id, j, open); err != nil {
		s.deps.Log.Error("monitor: a receiver is not told of an export", "monitor", id, "export", j.ID, "error", err)
	}
}

func (s *Service) tell(ctx context.Context, id string, j export.Job, open func() (io.ReadCloser, error)) error {
	r, err := s.row(ctx, s.db, saved.Asker{Manage: true}, id)
	if errors.Is(err, saved.ErrNotFound) {
		return nil // removed since
	}
	if err != nil {
		return err
	}
	c, err := r.content()
	if err != nil {
		return err
	}
	if j.State != export.Done {
		_, err := s.db.NewUpdate().Model((*runRow)(nil)).Set("outcome = ?", Failed).Set("error = ?", "its export "+j.State+": "+j.Error).Where("export = ?", j.ID).Exec(ctx)
		if err != nil {
			return fmt.Errorf("monitor: write down what became of export %s: %w", j.ID, err)
		}
	}
	if c.Action.Receiver == "" {
		return nil
	}
	t := told{Kind: "export", Monitor: id, Name: c.Name, Export: j, Link: s.deps.Link("exports", j.ID)}
	if j.State == export.Done && j.Format != export.XLSX && j.Bytes <= maxInline {
		f, err := open()
		if err != nil {
			return err
		}
		defer f.Close()
		body, err := io.ReadAll(io.LimitReader(f, maxInline))
		if err != nil {
			return fmt.Errorf("monitor: read the file of export %s: %w", j.ID, err)
		}
		t.Content = string(body)
	}
	body, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("monitor: tell of export %s: %w", j.ID, err)
	}
	return s.deps.Tell(ctx, c.Action.Receiver, c.Tenant, j.ID, body)
}
