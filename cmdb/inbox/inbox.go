// Package inbox gathers what is seen in events and is unknown to the CMDB:
// addresses within private and user-defined ranges, and host names. They wait
// until somebody makes items of them, sets them aside, or a rule of approval
// takes them.
//
// It asks the lake once a minute for what enrichment left without an item, and
// so costs the intake nothing; a count within the pipeline would have to be kept
// over restarts and would know no more. What it sees is as old as the
// policy says, two minutes by default, and events that arrive later than that are not counted.
package inbox

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"icewatch/cmdb"
	"icewatch/soc/reach"
	"icewatch/soc/search"
)

//go:embed migrations/*.sql
var migrations embed.FS

//go:embed postgres/*.sql
var postgresMigrations embed.FS

// The kinds of candidates.
const (
	Address  = "address"
	Hostname = "hostname"
)

// The states of a candidate. An ignored one waits again after its time; an
// approved one whose item was deleted waits again once it is seen.
const (
	Waiting  = "waiting"
	Ignored  = "ignored"
	Approved = "approved"
)

// ErrInvalid says that a decision or a policy makes no sense.
var ErrInvalid = errors.New("inbox: invalid")

const (
	every      = time.Minute      // between two looks
	grace      = 2 * time.Minute  // of an approval: events of before it may be looked at after it
	longest    = 30 * time.Minute // of one look, where the suite was down
	maxRows    = 5_000            // candidates of one question to the lake
	maxWaiting = 50_000           // candidates that wait; those beyond are not taken
	maxList    = 16               // sources and ports of a candidate
	maxChosen  = 1_000            // candidates of one decision
	chunk      = 300
)

// Candidate is one address or host name that was seen.
type Candidate struct {
	ID           int64      `json:"id"`
	Tenant       string     `json:"tenant"`
	Zone         string     `json:"zone"`
	Kind         string     `json:"kind" enum:"address,hostname"`
	Value        string     `json:"value"`
	Other        string     `json:"other,omitempty" doc:"Seen with it: a name of the address, or an address of the name"`
	State        string     `json:"state" enum:"waiting,ignored,approved"`
	FirstSeen    time.Time  `json:"first_seen"`
	LastSeen     time.Time  `json:"last_seen"`
	Events       int64      `json:"events"`
	Sources      []string   `json:"sources" nullable:"false" doc:"Datasets it was seen in"`
	Ports        []Port     `json:"ports" nullable:"false" doc:"Ports it was spoken to at"`
	IgnoredUntil *time.Time `json:"ignored_until,omitempty"`
	DecidedBy    string     `json:"decided_by,omitempty"`
	DecidedAt    *time.Time `json:"decided_at,omitempty"`
	Note         string     `json:"note,omitempty"`
	ItemID       string     `json:"item_id,omitempty" doc:"What was made of it"`
}

type row struct {
	bun.BaseModel `bun:"table:cmdb_inbox,alias:c"`
	ID            int64  `bun:"id,pk,autoincrement"`
	Tenant        string `bun:"tenant"`
	Zone          string `bun:"zone"`
	Kind          string `bun:"kind"`
	Value         string `bun:"value"`
	Other         string `bun:"other"`
	State         string `bun:"state"`
	FirstSeen     int64  `bun:"first_seen"`
	LastSeen      int64  `bun:"last_seen"`
	Events        int64  `bun:"events"`
	Sources       string `bun:"sources"`
	Ports         string `bun:"ports"`
	IgnoredUntil  int64  `bun:"ignored_until"`
	DecidedBy     string `bun:"decided_by"`
	DecidedAt     int64  `bun:"decided_at"`
	Note          string `bun:"note"`
	ItemID        string `bun:"item_id"`
	reach.Kept
}

type placeRow struct {
	bun.BaseModel `bun:"table:cmdb_inbox_place"`
	ID            int   `bun:"id,pk"`
	Place         int64 `bun:"place"`
}

// Lake is what the room asks of the events.
type Lake interface {
	Query(ctx context.Context, req search.Request, emit func(row []byte) error) error
}

// Items is what the room asks of the CMDB.
type Items interface {
	Items(ctx context.Context, r reach.Reach, f cmdb.Filter) (cmdb.Page, error)
	UpsertAll(ctx context.Context, list []cmdb.Fields, opts cmdb.ImportOptions) (cmdb.Report, error)
}

// Deps is what the inbox needs.
type Deps struct {
	Lake   Lake
	Items  Items
	Policy func() Policy
	Log    *slog.Logger     // default slog.Default()
	Now    func() time.Time // default time.Now
}

// Inbox keeps the candidates. It is safe for concurrent use.
type Inbox struct {
	db   *cmdb.Database
	deps Deps

	looking sync.Mutex
	status  Status
	mu      sync.Mutex // of status
}

// Status tells of the last look.
type Status struct {
	LookedAt *time.Time `json:"looked_at,omitempty" doc:"When events were last looked at; absent before the first time"`
	Until    *time.Time `json:"until,omitempty" doc:"Events before this time were looked at"`
	Error    string     `json:"error,omitempty" doc:"Why the last look failed; it is repeated"`
	Full     bool       `json:"full" doc:"So many candidates wait that no further ones are taken"`
}

// Open brings the tables up to date. The CMDB's own must be there already.
func Open(ctx context.Context, db *cmdb.Database, deps Deps) (*Inbox, error) {
	if err := db.Migrate(ctx, "cmdb_inbox", migrations, postgresMigrations); err != nil {
		return nil, fmt.Errorf("inbox: %w", err)
	}
	if deps.Log == nil {
		deps.Log = slog.Default()
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	return &Inbox{db: db, deps: deps}, nil
}

// Run looks at events until ctx ends.
func (b *Inbox) Run(ctx context.Context) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		// That search is away is told by who watches it.
		if err := b.Look(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, search.ErrUnavailable) {
			b.deps.Log.Warn("what is unknown to the CMDB could not be gathered; it is tried again", "error", err)
		}
	}
}

// Status tells how the last look went.
func (b *Inbox) Status() Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.status
}

// Look looks at the events since the last time, and lets the rules decide.
func (b *Inbox) Look(ctx context.Context) error {
	b.looking.Lock()
	defer b.looking.Unlock()
	now := b.deps.Now()
	until, full, err := b.look(ctx, now)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.status.LookedAt, b.status.Error = &now, ""
	if err != nil {
		b.status.Error = err.Error()
		return err
	}
	if !until.IsZero() {
		b.status.Until, b.status.Full = &until, full
	}
	return nil
}

func (b *Inbox) look(ctx context.Context, now time.Time) (until time.Time, full bool, err error) {
	policy := b.deps.Policy()
	if !policy.Enabled {
		return until, false, nil
	}
	until = now.Add(-time.Duration(policy.Delay) * time.Second).Truncate(time.Second)
	var places []placeRow
	if err := b.db.NewSelect().Model(&places).Scan(ctx); err != nil {
		return until, false, fmt.Errorf("inbox: read up to where events were looked at: %w", err)
	}
	from := until.Add(-every)
	if len(places) > 0 {
		from = time.UnixMilli(places[0].Place)
	}
	if from.Before(until.Add(-longest)) {
		from = until.Add(-longest)
	}
	if !from.Before(until) {
		return until, false, nil
	}
	seen, err := b.unknown(ctx, policy, from, until)
	if err != nil {
		return until, false, err
	}
	err = b.db.Change(ctx, func(ctx context.Context, tx bun.Tx) error {
		if full, err = b.note(ctx, tx, seen, now); err != nil {
			return err
		}
		place := placeRow{ID: 1, Place: until.UnixMilli()}
		_, err := tx.NewInsert().Model(&place).On("CONFLICT (id) DO UPDATE").Set("place = EXCLUDED.place").Exec(ctx)
		return err
	})
	if err != nil {
		return until, false, fmt.Errorf("inbox: note what was seen: %w", err)
	}
	return until, full, b.approveByRules(ctx, policy)
}

// sighting is one candidate as the events of one look have it.
type sighting struct {
	tenant, zone, kind, value, other string
	first, last                      time.Time
	events                           int64
	sources, ports                   []string
}

type key struct{ tenant, zone, kind, value string }

// questions are what the lake is asked: what enrichment left without an item.
// An event whose host is unknown is about the tenant's business system at most.
var questions = []struct{ kind, value, other, filter, ports string }{
	{Address, "source.ip", "", `"source.ip":* -"icewatch.source.ci.id":*`, ""},
	{Address, "destination.ip", "", `"destination.ip":* -"icewatch.destination.ci.id":*`, "destination.port"},
	{Address, "host.ip", "host.name", `"host.ip":* (-"icewatch.ci.id":* or "icewatch.ci.class":=business_system)`, ""},
	{Hostname, "host.name", "host.ip", `"host.name":* (-"icewatch.ci.id":* or "icewatch.ci.class":=business_system)`, ""},
}

// unknown asks the lake for what is unknown, and leaves out what the CMDB has
// learnt to know since.
func (b *Inbox) unknown(ctx context.Context, policy Policy, from, until time.Time) ([]*sighting, error) {
	ranges := policy.ranges()
	found := map[key]*sighting{}
	for _, q := range questions {
		if q.kind == Hostname && !policy.Hostnames {
			continue
		}
		filter := q.filter
		if q.kind == Address {
			filter += " " + inRanges(q.value, ranges)
		}
		query := fmt.Sprintf(`%s | stats by ("icewatch.tenant", "icewatch.zone", %q) count() events, min(_time) first, max(_time) last, uniq_values("event.dataset") limit %d sources`,
			filter, q.value, maxList)
		if q.ports != "" {
			query += fmt.Sprintf(`, uniq_values(%q) limit %d ports`, q.ports, maxList)
		}
		if q.other != "" {
			query += fmt.Sprintf(`, max(%q) other`, q.other)
		}
		query += fmt.Sprintf(` | sort by (events desc, %q) limit %d`, q.value, maxRows)
		req := search.Request{Reach: reach.All(), Query: query, Start: from, End: until, Limit: maxRows}
		err := b.deps.Lake.Query(ctx, req, func(raw []byte) error {
			var fields map[string]string
			if err := json.Unmarshal(raw, &fields); err != nil {
				return fmt.Errorf("row %.200q: %w", raw, err)
			}
			s := read(q.kind, q.value, fields)
			if s == nil || q.kind == Address && !within(s.value, ranges) {
				return nil
			}
			k := key{s.tenant, s.zone, s.kind, s.value}
			if had := found[k]; had != nil {
				had.add(s)
			} else {
				found[k] = s
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("inbox: ask the lake for unknown %s: %w", q.value, err)
		}
	}
	return b.leaveOutKnown(ctx, found)
}

// read makes a sighting of a row, or nil where it is none.
func read(kind, field string, row map[string]string) *sighting {
	s := &sighting{tenant: row["icewatch.tenant"], zone: row["icewatch.zone"], kind: kind, other: row["other"]}
	if s.zone == "" {
		s.zone = cmdb.DefaultZone
	}
	switch kind {
	case Address:
		a, err := netip.ParseAddr(row[field])
		if err != nil {
			return nil
		}
		s.value = a.WithZone("").Unmap().String()
	case Hostname:
		s.value = strings.TrimSuffix(strings.ToLower(strings.TrimSpace(row[field])), ".")
		// A name that is an address is looked at as one.
		if _, err := netip.ParseAddr(s.value); err == nil || s.value == "" || len(s.value) > 253 || strings.ContainsAny(s.value, " \t\r\n;") {
			return nil
		}
	}
	if _, err := fmt.Sscan(row["events"], &s.events); err != nil || s.events <= 0 {
		return nil
	}
	var err error
	if s.first, err = time.Parse(time.RFC3339Nano, row["first"]); err != nil {
		return nil
	}
	if s.last, err = time.Parse(time.RFC3339Nano, row["last"]); err != nil {
		return nil
	}
	// A list that is none is empty.
	_ = json.Unmarshal([]byte(row["sources"]), &s.sources)
	_ = json.Unmarshal([]byte(row["ports"]), &s.ports)
	return s
}

// add takes another sighting of the same thing in. An event may have it twice,
// so that the larger count is nearer to the truth than the sum.
func (s *sighting) add(o *sighting) {
	s.events = max(s.events, o.events)
	if o.first.Before(s.first) {
		s.first = o.first
	}
	if o.last.After(s.last) {
		s.last = o.last
	}
	if s.other == "" {
		s.other = o.other
	}
	s.sources, s.ports = union(s.sources, o.sources), union(s.ports, o.ports)
}

func union(a, b []string) []string {
	out := slices.DeleteFunc(slices.Concat(a, b), func(s string) bool { return s == "" })
	slices.Sort(out)
	out = slices.Compact(out)
	return out[:min(len(out), maxList)]
}

// leaveOutKnown asks the CMDB which of the candidates it knows: an event is
// enriched as the CMDB was when it came.
func (b *Inbox) leaveOutKnown(ctx context.Context, found map[key]*sighting) ([]*sighting, error) {
	values := map[string][]string{}
	for k := range found {
		values[k.kind] = append(values[k.kind], k.value)
	}
	known := map[string]bool{} // zone and address, or host name
	for kind, list := range values {
		slices.Sort(list)
		for text := range quoted(slices.Compact(list)) {
			f := cmdb.Filter{Expression: kind + " in (" + text + ")", Limit: 1000}
			for {
				page, err := b.deps.Items.Items(ctx, reach.All(), f)
				if err != nil {
					return nil, fmt.Errorf("inbox: ask the CMDB what it knows: %w", err)
				}
				for i := range page.Items {
					it := &page.Items[i]
					for _, a := range it.Addresses {
						known[it.Zone+" "+a] = true
					}
					for _, h := range it.Hostnames {
						known[h] = true
					}
					known[strings.ToLower(it.Name)] = true
				}
				if page.Next == "" {
					break
				}
				f.Cursor = page.Next
			}
		}
	}
	var out []*sighting
	for _, s := range found {
		if s.kind == Address && known[s.zone+" "+s.value] || s.kind == Hostname && known[s.value] {
			continue
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b *sighting) int { return strings.Compare(a.value, b.value) })
	return out, nil
}

// maxQuoted is how long a list of values is in one filter, in bytes.
const maxQuoted = 7_000

// quoted lists values for filters, in parts of a length that a filter has.
func quoted(list []string) iter.Seq[string] {
	return func(yield func(string) bool) {
		var b strings.Builder
		for _, v := range list {
			text, _ := json.Marshal(v) // strings always encode
			if b.Len() > 0 && b.Len()+len(text) > maxQuoted {
				if !yield(b.String()) {
					return
				}
				b.Reset()
			}
			if b.Len() > 0 {
				b.WriteString(", ")
			}
			b.Write(text)
		}
		if b.Len() > 0 {
			yield(b.String())
		}
	}
}

// note writes sightings down, within a transaction.
func (b *Inbox) note(ctx context.Context, tx bun.Tx, seen []*sighting, now time.Time) (full bool, err error) {
	waiting, err := tx.NewSelect().Model((*row)(nil)).Where("state = ?", Waiting).Count(ctx)
	if err != nil {
		return false, err
	}
	left := maxWaiting - int(waiting)
	for part := range slices.Chunk(seen, chunk) {
		keys := make([][]any, len(part))
		for i, s := range part {
			keys[i] = []any{s.tenant, s.zone, s.kind, s.value}
		}
		var rows []row
		if err := tx.NewSelect().Model(&rows).Where("(tenant, zone, kind, value) IN (?)", bun.In(keys)).Scan(ctx); err != nil {
			return false, err
		}
		had := map[key]*row{}
		for i := range rows {
			had[key{rows[i].Tenant, rows[i].Zone, rows[i].Kind, rows[i].Value}] = &rows[i]
		}
		var fresh []row
		for _, s := range part {
			r := had[key{s.tenant, s.zone, s.kind, s.value}]
			if r == nil {
				if left--; left < 0 {
					full = true
					continue
				}
				fresh = append(fresh, s.row())
				continue
			}
			r.take(s, now)
			if _, err := tx.NewUpdate().Model(r).WherePK().Exec(ctx); err != nil {
				return false, err
			}
		}
		if len(fresh) > 0 {
			if _, err := tx.NewInsert().Model(&fresh).Exec(ctx); err != nil {
				return false, err
			}
		}
	}
	return full, nil
}

func (s *sighting) row() row {
	r := row{Tenant: s.tenant, Zone: s.zone, Kind: s.kind, Value: s.value, State: Waiting, FirstSeen: s.first.UnixMilli(), Sources: "[]", Ports: "[]"}
	r.take(s, time.Time{})
	return r
}

// take adds a sighting to what is known of a candidate.
func (r *row) take(s *sighting, now time.Time) {
	r.Events += s.events
	r.FirstSeen, r.LastSeen = min(r.FirstSeen, s.first.UnixMilli()), max(r.LastSeen, s.last.UnixMilli())
	if s.other != "" {
		r.Other = s.other
	}
	r.Sources, r.Ports = merged(r.Sources, s.sources), merged(r.Ports, s.ports)
	switch {
	// It is seen as unknown: the item that was made of it is gone.
	case r.State == Approved && r.DecidedAt < s.last.Add(-grace).UnixMilli(),
		r.State == Ignored && r.IgnoredUntil > 0 && r.IgnoredUntil <= now.UnixMilli():
		r.State, r.IgnoredUntil, r.ItemID = Waiting, 0, ""
	}
}

func merged(stored string, more []string) string {
	var list []string
	_ = json.Unmarshal([]byte(stored), &list) // a list that is none is empty
	text, _ := json.Marshal(append([]string{}, union(list, more)...))
	return string(text)
}
