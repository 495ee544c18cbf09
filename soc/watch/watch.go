// Package watch is how the suite alarms about itself: the engine is down, the
// disk fills, a quota is reached, a source fell silent. What is wrong is a
// condition for as long as it lasts. It becomes an alert of the tenant city in
// the ordinary way, and the alert closes when the condition is over.
//
// Conditions go straight to ticketing, not by way of the bus and the lake: they
// are about exactly these.
package watch

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/soc/state"
	"icewatch/soc/tenancy"
)

//go:embed migrations/*.sql
var migrations embed.FS

// RulePrefix begins the rule id of every alert that the suite raises about itself.
const RulePrefix = "icewatch-self-"

// Dataset is event.dataset of such alerts.
const Dataset = "icewatch.self"

const (
	// pace is how often what could not be told is tried again.
	pace = 2 * time.Second
	// refresh is how often the state learns that a condition still lasts.
	refresh = 30 * time.Second
	// keep is how long conditions that are over stay listed.
	keep = 180 * 24 * time.Hour
)

// Alarm says that something is wrong.
type Alarm struct {
	Kind     string            // one of Kinds by name
	Key      string            // tells this one from others, over all kinds; "" is the kind
	Severity detections.Level  // "" is the kind's
	Title    detections.Text   // empty is the kind's
	Detail   detections.Text   // what exactly, as a sentence with the figures; empty is the title
	Fields   map[string]string // figures by name, for receivers that are programs
}

// Condition is an alarm while and after it lasts.
type Condition struct {
	ID        string            `json:"id"`
	Kind      string            `json:"kind"`
	Key       string            `json:"key"`
	Severity  detections.Level  `json:"severity" enum:"critical,high,medium,low,informational"`
	Title     detections.Text   `json:"title"`
	Detail    detections.Text   `json:"detail"`
	Advice    detections.Text   `json:"advice"`
	Since     time.Time         `json:"since"`
	LastSeen  time.Time         `json:"last_seen"`
	ClearedAt *time.Time        `json:"cleared_at,omitempty"`
	AlertID   string            `json:"alert_id" doc:"Empty until ticketing has taken it in"`
	Fields    map[string]string `json:"fields" nullable:"false"`
}

// Tickets is what the watch asks of ticketing.
type Tickets interface {
	Ingest(ctx context.Context, occs []detections.Occurrence) error
	Recover(ctx context.Context, tenant, key string, why detections.Text) error
	LastAlert(ctx context.Context, tenant, key string) (string, error)
}

// Watch keeps the conditions. It is safe for concurrent use.
type Watch struct {
	db      *state.DB
	tickets Tickets
	log     *slog.Logger
	now     func() time.Time
	wake    chan struct{}

	mu      sync.Mutex
	active  map[string]*entry // by key, while it lasts
	over    []*entry          // cleared, but not told yet
	telling sync.Mutex        // one goroutine talks to ticketing
}

// entry is a condition and how far others know of it.
type entry struct {
	Condition
	source string
	told   detections.Level // the severity ticketing knows; "" is nothing
	saved  time.Time        // when the state last learnt of it
}

// Open loads the conditions that lasted when the suite stopped.
func Open(ctx context.Context, db *state.DB, tickets Tickets, log *slog.Logger) (*Watch, error) {
	if err := db.Migrate(ctx, "watch", migrations); err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}
	w := &Watch{db: db, tickets: tickets, log: log, now: time.Now, wake: make(chan struct{}, 1), active: map[string]*entry{}}
	var rows []row
	if err := db.NewSelect().Model(&rows).Where("cleared_at = 0").Scan(ctx); err != nil {
		return nil, fmt.Errorf("watch: read the conditions: %w", err)
	}
	for _, r := range rows {
		e := &entry{Condition: r.condition(), source: r.Source, saved: w.now()}
		if e.AlertID != "" {
			e.told = e.Severity
		}
		w.active[e.Key] = e
	}
	return w, nil
}

// Raise says that something is wrong. It stays so until Clear with the same
// key; saying it again only brings severity and detail up to date. Raise never
// fails: where the state or ticketing cannot take it now, it is tried again.
func (w *Watch) Raise(ctx context.Context, a Alarm) {
	w.mu.Lock()
	w.raise("", a)
	w.mu.Unlock()
	w.settle(ctx)
}

// Clear says that what was raised under the key is over. A key that is not
// raised is no mistake.
func (w *Watch) Clear(key string) {
	w.mu.Lock()
	w.clear(key)
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Hold says all that is wrong by one source's account: what it held before and
// does not name any more is over. A source that cannot tell at present does not
// call.
func (w *Watch) Hold(ctx context.Context, source string, now []Alarm) {
	w.mu.Lock()
	named := make(map[string]bool, len(now))
	for _, a := range now {
		named[w.raise(source, a)] = true
	}
	for key, e := range w.active {
		if e.source == source && !named[key] {
			w.clear(key)
		}
	}
	w.mu.Unlock()
	w.settle(ctx)
}

func (w *Watch) raise(source string, a Alarm) (key string) {
	k := kindOf(a.Kind)
	if a.Key == "" {
		a.Key = a.Kind
	}
	if a.Severity == "" {
		a.Severity = k.Severity
	}
	if a.Title == (detections.Text{}) {
		a.Title = k.Title
	}
	if a.Detail == (detections.Text{}) {
		a.Detail = a.Title
	}
	now := w.now().UTC().Truncate(time.Millisecond)
	e := w.active[a.Key]
	if e == nil {
		sum := sha256.Sum256(fmt.Appendf(nil, "condition\x00%s\x00%d", a.Key, now.UnixMilli()))
		e = &entry{Condition: Condition{ID: hex.EncodeToString(sum[:12]), Kind: a.Kind, Key: a.Key, Since: now}}
		w.active[a.Key] = e
	}
	e.source, e.Severity, e.Title, e.Detail, e.LastSeen, e.Fields = source, a.Severity, a.Title, a.Detail, now, maps.Clone(a.Fields)
	return a.Key
}

func (w *Watch) clear(key string) {
	e := w.active[key]
	if e == nil {
		return
	}
	now := w.now().UTC().Truncate(time.Millisecond)
	e.ClearedAt = &now
	delete(w.active, key)
	w.over = append(w.over, e)
}

// Active lists what is wrong now, the gravest first.
func (w *Watch) Active() []Condition {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]Condition, 0, len(w.active))
	for _, e := range w.active {
		out = append(out, e.shown())
	}
	slices.SortFunc(out, func(a, b Condition) int {
		if d := slices.Index(detections.Levels, b.Severity) - slices.Index(detections.Levels, a.Severity); d != 0 {
			return d
		}
		return strings.Compare(a.Key, b.Key)
	})
	return out
}

// shown is a copy to give away.
func (e *entry) shown() Condition {
	c := e.Condition
	c.Fields, c.Advice = maps.Clone(e.Fields), kindOf(e.Kind).Advice
	if c.Fields == nil {
		c.Fields = map[string]string{}
	}
	return c
}

// Past lists what is over, the latest first: limit of them after the first skip,
// and how many there are.
func (w *Watch) Past(ctx context.Context, limit, skip int) (list []Condition, total int, err error) {
	var rows []row
	n, err := w.db.NewSelect().Model(&rows).Where("cleared_at > 0").OrderExpr("cleared_at DESC, id").Limit(int64(limit)).Offset(int64(skip)).ScanAndCount(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("watch: read the conditions that are over: %w", err)
	}
	for _, r := range rows {
		e := entry{Condition: r.condition()}
		list = append(list, e.shown())
	}
	return list, int(n), nil
}

// Run tells ticketing and the state what they do not know yet, until ctx ends.
func (w *Watch) Run(ctx context.Context) {
	t := time.NewTicker(pace)
	defer t.Stop()
	for tick := 0; ; tick++ {
		select {
		case <-ctx.Done():
			// What was said last is told before the state closes.
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			w.settle(last)
			return
		case <-w.wake:
		case <-t.C:
		}
		w.settle(ctx)
		if tick%1800 == 0 {
			if _, err := w.db.NewDelete().Model((*row)(nil)).Where("cleared_at > 0 AND cleared_at < ?", w.now().Add(-keep).UnixMilli()).Exec(ctx); err != nil && ctx.Err() == nil {
				w.log.Warn("watch: old conditions stay listed", "error", err)
			}
		}
	}
}

// settle brings ticketing and the state up to date. What fails stays due.
func (w *Watch) settle(ctx context.Context) {
	w.telling.Lock()
	defer w.telling.Unlock()
	type task struct {
		e    *entry
		c    Condition
		from string
		tell bool
	}
	var tasks []task
	now := w.now()
	w.mu.Lock()
	for _, e := range w.over {
		tasks = append(tasks, task{e, e.Condition, e.source, e.told != ""})
	}
	for _, e := range w.active {
		if tell := e.told != e.Severity; tell || now.Sub(e.saved) >= refresh {
			tasks = append(tasks, task{e, e.Condition, e.source, tell})
		}
	}
	w.mu.Unlock()
	// What is over goes first: its key may have come back since.
	slices.SortStableFunc(tasks, func(a, b task) int { return compareOver(a.c, b.c) })
	for _, t := range tasks {
		if err := w.settleOne(ctx, &t.c, t.from, t.tell); err != nil {
			if ctx.Err() == nil && !errors.Is(err, state.ErrNestedTx) {
				w.log.Error("watch: a condition is not told yet and will be tried again", "kind", t.c.Kind, "key", t.c.Key, "error", err)
			}
			return
		}
		w.mu.Lock()
		t.e.AlertID, t.e.told, t.e.saved = t.c.AlertID, t.c.Severity, now
		if t.c.ClearedAt != nil {
			w.over = slices.DeleteFunc(w.over, func(e *entry) bool { return e == t.e })
		}
		w.mu.Unlock()
	}
}

func compareOver(a, b Condition) int {
	switch {
	case (a.ClearedAt != nil) == (b.ClearedAt != nil):
		return a.Since.Compare(b.Since)
	case a.ClearedAt != nil:
		return -1
	}
	return 1
}

func (w *Watch) settleOne(ctx context.Context, c *Condition, source string, tell bool) error {
	key := RulePrefix + c.Kind + "/" + c.Key
	switch {
	case tell && c.ClearedAt != nil:
		if err := w.tickets.Recover(ctx, tenancy.City, key, over(c)); err != nil {
			return err
		}
	case tell:
		if err := w.tickets.Ingest(ctx, []detections.Occurrence{occurrence(c, key)}); err != nil {
			return err
		}
		id, err := w.tickets.LastAlert(ctx, tenancy.City, key)
		if err != nil {
			return err
		}
		c.AlertID = id
		w.log.Warn("watch: "+c.Title.EN, "kind", c.Kind, "key", c.Key, "severity", c.Severity, "detail", c.Detail.EN, "alert", id)
	}
	r, err := rowOf(c, source)
	if err != nil {
		return err
	}
	_, err = w.db.NewInsert().Model(&r).On("CONFLICT (id) DO UPDATE").
		Set("severity = EXCLUDED.severity, title = EXCLUDED.title, detail = EXCLUDED.detail, fields = EXCLUDED.fields, last_seen = EXCLUDED.last_seen, cleared_at = EXCLUDED.cleared_at, alert_id = EXCLUDED.alert_id, source = EXCLUDED.source").
		Returning("NULL").Exec(ctx)
	if err != nil {
		return fmt.Errorf("watch: keep the condition %s: %w", c.Key, err)
	}
	if tell && c.ClearedAt != nil {
		w.log.Info("watch: over: "+c.Title.EN, "kind", c.Kind, "key", c.Key, "lasted", c.ClearedAt.Sub(c.Since).Round(time.Second))
	}
	return nil
}

// over says in the alert's timeline that the condition is over.
func over(c *Condition) detections.Text {
	lasted := c.ClearedAt.Sub(c.Since).Round(time.Second)
	return detections.Text{ZH: fmt.Sprintf("已恢复，持续 %s", lasted), EN: fmt.Sprintf("It is over after %s", lasted)}
}

// occurrence is the condition as detection would raise it. Its id is derived,
// so that it counts once however often it is told.
func occurrence(c *Condition, key string) detections.Occurrence {
	k := kindOf(c.Kind)
	fields := map[string]string{"event.dataset": Dataset, "event.kind": "alert", "icewatch.condition.kind": c.Kind, "icewatch.condition.key": c.Key}
	var evidence []detections.Match
	for _, name := range slices.Sorted(maps.Keys(c.Fields)) {
		fields[name] = c.Fields[name]
		evidence = append(evidence, detections.Match{Selection: c.Kind, Field: name, Value: c.Fields[name]})
	}
	return detections.Occurrence{
		ID: "self/" + c.ID + "/" + string(c.Severity), Key: key, Tenant: tenancy.City, Time: c.LastSeen, From: c.Since, Count: 1,
		Rule:  detections.RuleRef{ID: RulePrefix + c.Kind, Title: c.Title, Sentence: c.Detail, Advice: k.Advice, Level: c.Severity, Kind: "self", Tags: []string{"icewatch.self"}},
		Group: []detections.Pair{{Field: "icewatch.condition.key", Value: c.Key}}, Fields: fields, Evidence: evidence,
	}
}

type row struct {
	bun.BaseModel `bun:"table:watch_conditions,alias:c"`
	ID            string `bun:"id,pk"`
	Kind          string `bun:"kind"`
	Key           string `bun:"key"`
	Source        string `bun:"source"`
	Severity      string `bun:"severity"`
	Title         string `bun:"title"`
	Detail        string `bun:"detail"`
	Fields        string `bun:"fields"`
	Since         int64  `bun:"since"`
	LastSeen      int64  `bun:"last_seen"`
	ClearedAt     int64  `bun:"cleared_at"`
	AlertID       string `bun:"alert_id"`
}

func rowOf(c *Condition, source string) (row, error) {
	r := row{ID: c.ID, Kind: c.Kind, Key: c.Key, Source: source, Severity: string(c.Severity), Since: c.Since.UnixMilli(), LastSeen: c.LastSeen.UnixMilli(), AlertID: c.AlertID}
	if c.ClearedAt != nil {
		r.ClearedAt = c.ClearedAt.UnixMilli()
	}
	for _, x := range []struct {
		to   *string
		from any
	}{{&r.Title, c.Title}, {&r.Detail, c.Detail}, {&r.Fields, c.Fields}} {
		b, err := json.Marshal(x.from)
		if err != nil {
			return r, fmt.Errorf("watch: encode the condition %s: %w", c.Key, err)
		}
		*x.to = string(b)
	}
	return r, nil
}

func (r *row) condition() Condition {
	c := Condition{ID: r.ID, Kind: r.Kind, Key: r.Key, Severity: detections.Level(r.Severity), Since: time.UnixMilli(r.Since).UTC(),
		LastSeen: time.UnixMilli(r.LastSeen).UTC(), AlertID: r.AlertID}
	// What an older release wrote differently is shown without it.
	_ = json.Unmarshal([]byte(r.Title), &c.Title)
	_ = json.Unmarshal([]byte(r.Detail), &c.Detail)
	_ = json.Unmarshal([]byte(r.Fields), &c.Fields)
	if r.ClearedAt > 0 {
		at := time.UnixMilli(r.ClearedAt).UTC()
		c.ClearedAt = &at
	}
	return c
}
