package ticketing

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"icewatch/ticketing/sla"
)

// How alerts and incidents stand is counted from the tables once, of one state of
// them, and then follows what transactions change: each says what it moved, which
// counts once it is committed. A transaction that failed, or that changed what
// nobody knows the former state of, has all counted anew.

// standings are the counts.
type standings struct {
	look sync.Mutex // one look at a time

	staged []move // of the transaction that runs; within Service.write alone
	unsure bool   // it changed what it does not know the former state of

	mu        sync.Mutex
	state     counting
	since     int64 // of the last day: alerts raised at this time or later, in Unix milliseconds
	open      map[stance]int64
	day       map[stance]int64 // without a status
	rules     map[string]ruleRaised
	incidents incidentStanding
}

// counting is how far it is.
type counting int

const (
	uncounted counting = iota
	following          // what transactions change is counted, what there was before not yet
	allCounted
)

// stance is what counts of an alert.
type stance struct {
	tenant   string
	severity int
	status   Status
}

type ruleRaised struct {
	n     int64
	title string // as an alert has it: the greatest, where they differ
}

// stood is how an alert stands in SQL.
type stood struct {
	stance
	rule, title string
	created     int64
	known       bool // it is there, and so
}

func (r *alertRow) stands() stood {
	return stood{stance{r.Tenant, r.Severity, r.Status}, r.RuleID, r.RuleTitle, r.CreatedAt, true}
}

// move is what a transaction changes: of an alert, or of an incident.
type move struct {
	was, is  stood
	incident *incidentStood
}

// writerOf is the service whose transaction the context is of.
func writerOf(ctx context.Context) *Service {
	s, _ := ctx.Value(writing{}).(*Service)
	return s
}

// stage notes what becomes of an alert. One that was not known and is not new
// leaves the counts in doubt.
func (st *standings) stage(was, is stood, fresh bool) {
	if !was.known && !fresh {
		st.unsure = true
	}
	if was != is {
		st.staged = append(st.staged, move{was: was, is: is})
	}
}

func (st *standings) stageIncident(i *incidentRow) {
	x := i.stands()
	st.staged = append(st.staged, move{incident: &x})
}

// settle ends a transaction: what it moved counts where it is committed.
func (st *standings) settle(committed bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	switch {
	case st.unsure:
		st.state = uncounted
	case committed && st.state != uncounted:
		for i := range st.staged {
			st.apply(&st.staged[i])
		}
	}
	clear(st.staged)
	st.staged, st.unsure = st.staged[:0], false
}

func (st *standings) apply(m *move) {
	if m.incident != nil {
		st.incidents.put(*m.incident)
		return
	}
	for _, part := range []struct {
		stood
		n int64
	}{{m.was, -1}, {m.is, 1}} {
		if !part.known {
			continue
		}
		if part.status != StatusClosed {
			st.open[part.stance] += part.n
		}
		if part.created >= st.since {
			st.raised(part.stance, part.rule, part.title, part.n)
		}
	}
}

// raised counts alerts of the last day.
func (st *standings) raised(of stance, rule, title string, n int64) {
	of.status = ""
	st.day[of] += n
	r := st.rules[rule]
	if r.n += n; n > 0 {
		r.title = max(r.title, title)
	}
	if st.rules[rule] = r; r.n == 0 {
		delete(st.rules, rule)
	}
}

// countStanding counts all, unless it is counted. Transactions wait only until a
// state of the tables is held on to; what they change meanwhile is added to what
// is read of it.
func (s *Service) countStanding(ctx context.Context) error {
	st := &s.standing
	st.mu.Lock()
	done := st.state == allCounted
	st.mu.Unlock()
	if done {
		return nil
	}
	select {
	case s.writer <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("ticketing: count what is open: %w", ctx.Err())
	}
	now := s.clock()
	tx, err := s.hold(ctx)
	st.mu.Lock()
	st.begin(now)
	since := st.since
	st.mu.Unlock()
	<-s.writer
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // it wrote nothing
	open, err := readStances(ctx, tx, "status <> ?", StatusClosed)
	if err != nil {
		return fmt.Errorf("ticketing: count the open alerts: %w", err)
	}
	day, err := readStances(ctx, tx, "created_at >= ?", since)
	if err != nil {
		return fmt.Errorf("ticketing: count the alerts of the last day: %w", err)
	}
	incidents, err := readIncidentStanding(ctx, tx, now)
	if err != nil {
		return err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.state != following { // a transaction left it in doubt: the next look begins anew
		return nil
	}
	for _, r := range open {
		st.open[r.stance()] += r.N
	}
	for _, r := range day {
		st.raised(r.stance(), r.RuleID, r.Title, r.N)
	}
	for _, x := range incidents {
		if _, newer := st.incidents.by[x.id]; !newer {
			st.incidents.put(x)
		}
	}
	st.state = allCounted
	return nil
}

// begin counts from nothing. What there was is 0 now, but for the rules.
func (st *standings) begin(now time.Time) {
	st.state, st.since = following, now.Add(-standingDay).UnixMilli()
	if st.open == nil {
		st.open, st.day = map[stance]int64{}, map[stance]int64{}
	}
	for k := range st.open {
		st.open[k] = 0
	}
	for k := range st.day {
		st.day[k] = 0
	}
	st.rules, st.incidents.by = map[string]ruleRaised{}, map[string]incidentStood{}
}

// hold begins a transaction that reads one state of the tables.
func (s *Service) hold(ctx context.Context) (bun.Tx, error) {
	tx, err := s.db.Read.BeginTx(ctx, nil)
	if err != nil {
		return tx, fmt.Errorf("ticketing: read how alerts stand: %w", err)
	}
	if _, err := tx.NewSelect().Model((*alertRow)(nil)).Column("id").Limit(1).Exec(ctx); err != nil {
		_ = tx.Rollback()
		return tx, fmt.Errorf("ticketing: read how alerts stand: %w", err)
	}
	return tx, nil
}

type stanceRow struct {
	Tenant   string `bun:"tenant"`
	Severity int    `bun:"severity"`
	Status   Status `bun:"status"`
	RuleID   string `bun:"rule_id"`
	Title    string `bun:"title"`
	N        int64  `bun:"n"`
}

func (r *stanceRow) stance() stance { return stance{r.Tenant, r.Severity, r.Status} }

func readStances(ctx context.Context, db bun.IDB, where string, args ...any) (rows []stanceRow, err error) {
	err = db.NewSelect().Model((*alertRow)(nil)).ColumnExpr("tenant, severity, status, rule_id, max(rule_title) AS title, count(*) AS n").Where(where, args...).
		GroupExpr("tenant, severity, status, rule_id").Scan(ctx, &rows)
	return rows, err
}

// passWait is how long a look waits for a transaction to end, to take out what is
// not of the last day any more; else the next look does.
const passWait = 100 * time.Millisecond

// passStanding takes out what has become older than the figures look back over.
func (s *Service) passStanding(ctx context.Context, now time.Time) error {
	st := &s.standing
	until := now.Add(-standingDay).UnixMilli()
	st.mu.Lock()
	since := st.since
	st.incidents.pass(now)
	if until < since { // the clock was set back
		st.state = uncounted
	}
	st.mu.Unlock()
	if until <= since {
		return nil
	}
	wait := time.NewTimer(passWait)
	defer wait.Stop()
	select {
	case s.writer <- struct{}{}: // no alert changes between what is read and what is counted
	case <-wait.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.writer }()
	rows, err := s.db.Read.DB.QueryContext(ctx, "SELECT tenant, severity, status, rule_id, count(*) FROM ticketing_alerts INDEXED BY ticketing_alerts_created WHERE created_at >= ? AND created_at < ? GROUP BY 1, 2, 3, 4", since, until)
	if err != nil {
		return fmt.Errorf("ticketing: read which alerts are older than a day: %w", err)
	}
	defer rows.Close()
	var gone []stanceRow
	for rows.Next() {
		var r stanceRow
		if err := rows.Scan(&r.Tenant, &r.Severity, &r.Status, &r.RuleID, &r.N); err != nil {
			return fmt.Errorf("ticketing: read which alerts are older than a day: %w", err)
		}
		gone = append(gone, r)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("ticketing: read which alerts are older than a day: %w", err)
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.state != allCounted || st.since != since {
		return nil
	}
	for _, r := range gone {
		st.raised(r.stance(), r.RuleID, "", -r.N)
	}
	st.since = until
	return nil
}

// incidentStood is what counts of an incident.
type incidentStood struct {
	id string
	stance
	clock  sla.Clock
	opened int64
	paused time.Duration
}

func (i *incidentRow) stands() incidentStood {
	return incidentStood{id: i.ID, stance: stance{i.Tenant, i.Severity, i.Status}, clock: i.clock(), opened: i.OpenedAt, paused: time.Duration(i.PausedMS) * time.Millisecond}
}

// incidentStanding are the incidents that are open or were opened in the last
// month.
type incidentStanding struct {
	by    map[string]incidentStood
	known map[string]map[string]bool // by name, the labels of every series there was
}

func (x *incidentStanding) put(i incidentStood) {
	if _, known := x.by[i.id]; known || len(x.by) < maxMeasures {
		x.by[i.id] = i
	}
}

// pass forgets what counts no more.
func (x *incidentStanding) pass(now time.Time) {
	since := now.Add(-standingMonth).UnixMilli()
	maps.DeleteFunc(x.by, func(_ string, i incidentStood) bool { return i.status == StatusClosed && i.opened < since })
}

// tell adds up.
func (x *incidentStanding) tell(now time.Time, add func(name, labels string, v float64)) {
	open := map[stance]float64{}
	late := map[stance]float64{} // the status is that of the clock
	month := map[string]*Tally{}
	since := now.Add(-standingMonth).UnixMilli()
	for _, i := range x.by {
		if i.status != StatusClosed {
			open[i.stance]++
			late[stance{tenant: i.tenant, status: Status(i.clock.State(now))}]++
		}
		if i.opened < since {
			continue
		}
		t := month[i.tenant]
		if t == nil {
			t = &Tally{}
			month[i.tenant] = t
		}
		t.clocked(i.clock, i.status, i.paused, now)
	}
	series := map[string]map[string]float64{}
	one := func(name, labels string, v float64) {
		if series[name] == nil {
			series[name] = map[string]float64{}
		}
		series[name][labels] = v
	}
	for k, n := range open {
		one("icewatch_incidents", fmt.Sprintf("tenant=%q,severity=%q,state=%q", k.tenant, severityOf(k.severity), k.status), n)
	}
	for k, n := range late {
		one("icewatch_incidents_sla", fmt.Sprintf("tenant=%q,state=%q", k.tenant, k.status), n)
	}
	for name, t := range month {
		tenant := fmt.Sprintf("tenant=%q", name)
		one("icewatch_incidents_month_opened", tenant, float64(t.Incidents))
		one("icewatch_incidents_month_closed", tenant, float64(t.Closed))
		one("icewatch_incidents_month_late", tenant, float64(t.Breached))
		one("icewatch_incidents_month_acknowledged", tenant, float64(t.acked))
		one("icewatch_incidents_month_acknowledge_seconds", tenant, t.ack.Seconds())
		one("icewatch_incidents_month_resolved", tenant, float64(t.resolved))
		one("icewatch_incidents_month_resolve_seconds", tenant, t.resolve.Seconds())
	}
	for name, list := range series {
		for labels := range list {
			if x.known == nil {
				x.known = map[string]map[string]bool{}
			}
			if x.known[name] == nil {
				x.known[name] = map[string]bool{}
			}
			x.known[name][labels] = true
		}
	}
	for name, list := range x.known {
		for labels := range list {
			add(name, labels, series[name][labels])
		}
	}
}

func readIncidentStanding(ctx context.Context, db bun.IDB, now time.Time) ([]incidentStood, error) {
	var rows []incidentRow
	err := db.NewSelect().Model(&rows).Column("id", "tenant", "severity", "status", "opened_at", "ack_due", "ack_warn", "resolve_due", "resolve_warn", "acked_at", "resolved_at",
		"calendar", "paused_at", "paused_ms", "fault", "propose_due", "proposed_at").
		Where("status <> ? OR opened_at >= ?", StatusClosed, now.Add(-standingMonth).UnixMilli()).Limit(maxMeasures).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("ticketing: read the incidents of the last month: %w", err)
	}
	out := make([]incidentStood, 0, len(rows))
	for i := range rows {
		out = append(out, rows[i].stands())
	}
	return slices.Clip(out), nil
}
