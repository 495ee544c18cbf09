package routing

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/uptrace/bun"
)

// A group is the alerts that a route tells of together. It opens with its first
// alert, waits group_wait, is told of, and again at most every group_interval
// as it changes and every repeat_interval as it stays; with its last alert it
// ends. Its clocks stand in SQL and move in the transaction that writes the
// notification, so that a crash at any moment neither loses nor doubles one.

type groupRow struct {
	bun.BaseModel `bun:"table:routing_groups,alias:g"`
	Key           string `bun:"key,pk"`
	Scope         string `bun:"scope"`
	Route         string `bun:"route"`
	Tenant        string `bun:"tenant"`
	Labels        string `bun:"labels"`
	CreatedAt     int64  `bun:"created_at"`
	FlushAt       int64  `bun:"flush_at"`
	FlushedAt     int64  `bun:"flushed_at"`
	Seq           int    `bun:"seq"`
	Urgent        string `bun:"urgent"`
	EscalateAt    int64  `bun:"escalate_at"`
}

type memberRow struct {
	bun.BaseModel `bun:"table:routing_members,alias:m"`
	Group         string `bun:"grp,pk"`
	Alert         string `bun:"alert,pk"`
	Told          bool   `bun:"told"`
}

// Subject is an alert that somebody may have to be told of.
type Subject struct {
	Alert    string // id
	Labels   map[string]string
	Incident bool   // it belongs to one; else only direct routes take it
	Urgent   string // kind of notification that does not wait; "" for none
}

// Idle tells that no tree stands, so that nobody needs to ask.
func (s *Store) Idle() bool { return len(s.inForce()) == 0 }

// Direct tells whether some route takes alerts that belong to no incident.
func (s *Store) Direct() bool {
	for _, c := range s.inForce() {
		if c.direct {
			return true
		}
	}
	return false
}

// short writes a duration as Alertmanager does: 5m, not 5m0s.
func short(d time.Duration) string { return model.Duration(d).String() }

func keyOf(scope, route string, set map[string]string) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q%q", scope, route)
	for _, name := range slices.Sorted(maps.Keys(set)) {
		fmt.Fprintf(h, "%q%q", name, set[name])
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// ScopesOf lists whose trees an alert of a tenant goes through: the city's and
// the tenant's own.
func ScopesOf(tenant string) []string {
	if tenant == "" {
		return []string{""}
	}
	return []string{"", tenant}
}

// Take puts alerts into the groups of the routes that they reach, within the
// transaction of the change they come of.
func (s *Store) Take(ctx context.Context, tx bun.Tx, now time.Time, list []Subject) error {
	for _, a := range list {
		for _, scope := range ScopesOf(a.Labels["tenant"]) {
			c := s.inForce()[scope]
			if c == nil {
				continue
			}
			for _, n := range c.root.match(a.Labels) {
				if !a.Incident && !n.direct || len(n.receivers) == 0 {
					continue
				}
				if err := s.join(ctx, tx, now, scope, n, a); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// join makes an alert a member of a group and says when that is looked at.
func (s *Store) join(ctx context.Context, tx bun.Tx, now time.Time, scope string, n *node, a Subject) error {
	set := n.labelsOf(a.Labels)
	text, err := json.Marshal(set)
	if err != nil {
		return fmt.Errorf("routing: write the labels of a group: %w", err)
	}
	ms := now.UnixMilli()
	g := groupRow{Key: keyOf(scope, n.route.ID, set), Scope: scope, Route: n.route.ID, Tenant: a.Labels["tenant"], Labels: string(text),
		CreatedAt: ms, FlushAt: now.Add(n.wait).UnixMilli(), Urgent: a.Urgent}
	if a.Urgent != "" {
		g.FlushAt = ms
	}
	res, err := tx.NewInsert().Model(&g).On("CONFLICT (key) DO NOTHING").Returning("NULL").Exec(ctx)
	if err != nil {
		return fmt.Errorf("routing: open a group of route %s: %w", n.route.ID, err)
	}
	s.busy.Store(true)
	fresh, _ := res.RowsAffected()
	m := memberRow{Group: g.Key, Alert: a.Alert}
	if _, err := tx.NewInsert().Model(&m).On("CONFLICT (grp, alert) DO NOTHING").Returning("NULL").Exec(ctx); err != nil {
		return fmt.Errorf("routing: put alert %s into a group: %w", a.Alert, err)
	}
	if fresh == 1 {
		return nil
	}
	if a.Urgent == "" {
		var told bool
		if err := tx.NewSelect().Model((*memberRow)(nil)).Column("told").Where("grp = ? AND alert = ?", g.Key, a.Alert).Scan(ctx, &told); err != nil {
			return fmt.Errorf("routing: read a member: %w", err)
		}
		if told {
			return nil
		}
	}
	return s.due(ctx, tx, g.Key, n, a.Urgent, now)
}

// due brings the next look at a group that is there nearer: at once where it is
// urgent, else as soon as group_interval allows.
func (s *Store) due(ctx context.Context, db bun.IDB, key string, n *node, urgent string, now time.Time) error {
	ms := now.UnixMilli()
	u := db.NewUpdate().Model((*groupRow)(nil)).Where("key = ?", key)
	if urgent != "" {
		u = u.Set("flush_at = ?", ms).Set("urgent = ?", urgent)
	} else {
		// Of a group that has not been told of, group_wait goes on.
		u = u.Set("flush_at = CASE WHEN seq = 0 THEN flush_at ELSE CASE WHEN flush_at = 0 THEN max(?, flushed_at + ?) ELSE min(flush_at, max(?, flushed_at + ?)) END END",
			ms, n.interval.Milliseconds(), ms, n.interval.Milliseconds())
	}
	if _, err := u.Exec(ctx); err != nil {
		return fmt.Errorf("routing: wake a group: %w", err)
	}
	return nil
}

// Standing is how an alert stands when its group is looked at.
type Standing struct {
	Open         bool // not closed
	Acknowledged bool
	Muted        bool // nobody is told of it for now
}

// Telling is what a group has to tell.
type Telling struct {
	Kind      string // opened, changed, repeat, resolved, sla, escalation, …
	Key       string // of the group
	Unique    string // tells it from the group's others
	Route     string // its name, or its id
	Tenant    string
	Labels    map[string]string
	Receivers []string
	Firing    []string // ids of alerts that go on
	Resolved  []string // ids of alerts that are over since the group was told of last
}

// Host is what the store asks of whom the alerts are.
type Host interface {
	// Standing says how alerts stand; one that is gone is left out.
	Standing(ctx context.Context, tx bun.Tx, ids []string) (map[string]Standing, error)
	// Tell writes a notification, within the transaction.
	Tell(ctx context.Context, tx bun.Tx, t Telling, now time.Time) error
}

// recheck is how soon a group is looked at again that holds something back:
// alerts that are muted, or an interval of time.
const recheck = time.Minute

// Look tells of all groups that are due, and says when the next one is; zero
// where none waits.
func (s *Store) Look(ctx context.Context, now time.Time, host Host) (told bool, next time.Time, err error) {
	if !s.busy.Load() {
		return false, time.Time{}, nil
	}
	if err := s.ended(ctx, now); err != nil {
		return false, next, err
	}
	ms := now.UnixMilli()
	var keys []string
	if err := s.db.NewSelect().Model((*groupRow)(nil)).Column("key").Where("flush_at > 0 AND flush_at <= ? OR escalate_at > 0 AND escalate_at <= ?", ms, ms).
		OrderExpr("flush_at").Limit(500).Scan(ctx, &keys); err != nil {
		return false, next, fmt.Errorf("routing: look for groups: %w", err)
	}
	for _, key := range keys {
		err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
			did, err := s.flush(ctx, tx, key, now, host)
			told = told || did
			return err
		})
		if err != nil {
			return told, next, err
		}
	}
	var soonest int64
	row := s.db.NewSelect().Model((*groupRow)(nil)).
		ColumnExpr("coalesce(min(CASE WHEN escalate_at > 0 AND (flush_at = 0 OR escalate_at < flush_at) THEN escalate_at WHEN flush_at > 0 THEN flush_at END), 0)")
	if err := row.Scan(ctx, &soonest); err != nil {
		return told, next, fmt.Errorf("routing: look for the next group: %w", err)
	}
	if soonest > 0 {
		next = time.UnixMilli(soonest)
	}
	return told, next, nil
}

// ended wakes the groups of which an alert that was told of is over: whoever
// closes alerts needs not know of groups. The table of alerts is ticketing's;
// this is the one place that reads it.
func (s *Store) ended(ctx context.Context, now time.Time) error {
	var groups []groupRow
	if err := s.db.NewSelect().Model(&groups).Where("key IN (SELECT m.grp FROM routing_members AS m JOIN ticketing_alerts AS a ON a.id = m.alert WHERE a.status = 'closed' AND m.told)").
		Limit(500).Scan(ctx); err != nil {
		return fmt.Errorf("routing: look for alerts that are over: %w", err)
	}
	for _, g := range groups {
		_, n := s.nodeOf(g)
		if n == nil {
			continue
		}
		if err := s.due(ctx, s.db, g.Key, n, "", now); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) nodeOf(g groupRow) (*compiled, *node) {
	c := s.inForce()[g.Scope]
	if c == nil {
		return nil, nil
	}
	return c, c.byID[g.Route]
}

// flush looks at one group and tells what there is to tell.
func (s *Store) flush(ctx context.Context, tx bun.Tx, key string, now time.Time, host Host) (bool, error) {
	var groups []groupRow
	if err := tx.NewSelect().Model(&groups).Where("key = ?", key).Scan(ctx); err != nil || len(groups) == 0 {
		return false, wrap("read group "+key, err)
	}
	g := groups[0]
	c, n := s.nodeOf(g)
	if n == nil || n.route.Disabled {
		return false, s.end(ctx, tx, key) // the route is gone: so is what waited for it
	}
	var members []memberRow
	if err := tx.NewSelect().Model(&members).Where("grp = ?", key).OrderExpr("alert").Scan(ctx); err != nil {
		return false, fmt.Errorf("routing: read the members of group %s: %w", key, err)
	}
	ids := make([]string, 0, len(members))
	for _, m := range members {
		ids = append(ids, m.Alert)
	}
	standing, err := host.Standing(ctx, tx, ids)
	if err != nil {
		return false, err
	}
	look := look{group: &g, c: c, n: n, now: now}
	look.sort(members, standing)
	told, err := s.tellGroup(ctx, tx, &look, host)
	if err != nil {
		return false, err
	}
	if did, err := s.escalate(ctx, tx, &look, standing, host); err != nil {
		return false, err
	} else if did {
		told = true
	}
	if len(look.gone) > 0 {
		if _, err := tx.NewDelete().Model((*memberRow)(nil)).Where("grp = ? AND alert IN (?)", key, bun.In(look.gone)).Exec(ctx); err != nil {
			return false, fmt.Errorf("routing: take alerts out of group %s: %w", key, err)
		}
	}
	if len(look.gone) == len(members) {
		return told, s.end(ctx, tx, key)
	}
	if _, err := tx.NewUpdate().Model(&g).WherePK().Exec(ctx); err != nil {
		return false, fmt.Errorf("routing: write group %s: %w", key, err)
	}
	return told, nil
}

func wrap(what string, err error) error {
	if err != nil {
		return fmt.Errorf("routing: %s: %w", what, err)
	}
	return nil
}

// look is a group as it stands at a moment.
type look struct {
	group *groupRow
	c     *compiled
	n     *node
	now   time.Time

	firing, fresh, resolved []string // fresh are the firing ones that nobody knows of
	held                    []string // muted and untold
	gone                    []string // to be taken out
}

func (l *look) sort(members []memberRow, standing map[string]Standing) {
	for _, m := range members {
		st, there := standing[m.Alert]
		switch {
		case !there, !st.Open && !m.Told: // nobody knows of it, so nobody is told of its end
			l.gone = append(l.gone, m.Alert)
		case !st.Open:
			l.resolved = append(l.resolved, m.Alert)
		case st.Muted:
			if !m.Told {
				l.held = append(l.held, m.Alert)
			}
		default:
			l.firing = append(l.firing, m.Alert)
			if !m.Told {
				l.fresh = append(l.fresh, m.Alert)
			}
		}
	}
}

// tellGroup writes the notification that is due, if one is, and sets the
// group's clock.
func (s *Store) tellGroup(ctx context.Context, tx bun.Tx, l *look, host Host) (bool, error) {
	g, ms := l.group, l.now.UnixMilli()
	if g.FlushAt == 0 || g.FlushAt > ms {
		return false, nil // the look was for an escalation
	}
	if _, held := l.c.held(l.n, l.now); held {
		g.FlushAt = l.now.Add(recheck).UnixMilli()
		return false, nil
	}
	kind := ""
	switch {
	case g.Urgent != "" && len(l.firing) > 0:
		kind = g.Urgent
	case len(l.fresh) > 0 && g.Seq == 0:
		kind = "opened"
	case len(l.fresh) > 0, len(l.resolved) > 0 && len(l.firing) > 0 && !l.n.noResolved:
		kind = "changed"
	case len(l.resolved) > 0 && len(l.firing) == 0:
		kind = "resolved"
	case len(l.firing) > 0 && g.Seq > 0 && !l.now.Before(time.UnixMilli(g.FlushedAt).Add(l.n.again)):
		kind = "repeat"
	}
	if kind == "resolved" && l.n.noResolved {
		kind = ""
	}
	if kind != "" {
		if err := s.send(ctx, tx, l, kind, l.n.receivers, host); err != nil {
			return false, err
		}
		if len(l.fresh) > 0 {
			if _, err := tx.NewUpdate().Model((*memberRow)(nil)).Set("told = 1").Where("grp = ? AND alert IN (?)", g.Key, bun.In(l.fresh)).Exec(ctx); err != nil {
				return false, fmt.Errorf("routing: mark the members of group %s: %w", g.Key, err)
			}
		}
		if g.Seq == 0 && l.n.escalate > 0 {
			g.EscalateAt = l.now.Add(l.n.escalate).UnixMilli()
		}
		g.Seq++
		g.FlushedAt = ms
	}
	g.Urgent = ""
	l.gone = append(l.gone, l.resolved...)
	// The next look: what is held back is asked for again, the rest repeats.
	switch {
	case len(l.held) > 0:
		g.FlushAt = l.now.Add(recheck).UnixMilli()
	case len(l.firing) > 0:
		g.FlushAt = time.UnixMilli(g.FlushedAt).Add(l.n.again).UnixMilli()
	default:
		g.FlushAt = l.now.Add(max(l.n.interval, recheck)).UnixMilli() // all are muted that were told of
	}
	return kind != "", nil
}

func (s *Store) send(ctx context.Context, tx bun.Tx, l *look, kind string, receivers []string, host Host) error {
	g := l.group
	set := map[string]string{}
	if err := json.Unmarshal([]byte(g.Labels), &set); err != nil {
		return fmt.Errorf("routing: read the labels of group %s: %w", g.Key, err)
	}
	return host.Tell(ctx, tx, Telling{Kind: kind, Key: g.Key, Unique: strings.Join([]string{g.Key, strconv.FormatInt(g.CreatedAt, 10), strconv.Itoa(g.Seq)}, "/"),
		Route: strings.Join(l.n.path, " / "), Tenant: g.Tenant, Labels: set, Receivers: receivers, Firing: l.firing, Resolved: l.resolved}, l.now)
}

// escalate tells those beyond, once, where nobody has acknowledged in time.
func (s *Store) escalate(ctx context.Context, tx bun.Tx, l *look, standing map[string]Standing, host Host) (bool, error) {
	g := l.group
	if g.EscalateAt == 0 || g.EscalateAt > l.now.UnixMilli() {
		return false, nil
	}
	if _, held := l.c.held(l.n, l.now); held {
		g.EscalateAt = l.now.Add(recheck).UnixMilli()
		return false, nil
	}
	g.EscalateAt = 0
	l.firing = slices.DeleteFunc(l.firing, func(id string) bool { return standing[id].Acknowledged })
	l.resolved = nil
	if len(l.firing) == 0 {
		return false, nil
	}
	return true, s.send(ctx, tx, l, "escalation", l.n.route.EscalateTo, host)
}

func (s *Store) end(ctx context.Context, tx bun.Tx, key string) error {
	if _, err := tx.NewDelete().Model((*memberRow)(nil)).Where("grp = ?", key).Exec(ctx); err != nil {
		return fmt.Errorf("routing: end group %s: %w", key, err)
	}
	if _, err := tx.NewDelete().Model((*groupRow)(nil)).Where("key = ?", key).Exec(ctx); err != nil {
		return fmt.Errorf("routing: end group %s: %w", key, err)
	}
	return nil
}
