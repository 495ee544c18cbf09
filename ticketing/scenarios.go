package ticketing

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/soc/reach"
	"icewatch/ticketing/scenario"
)

// A scenario's alerts are those that its conditions choose, within the reach of
// who asks: that anybody may read what a scenario looks for shows nobody an alert.

// ScenarioCounts is how much there is of a scenario.
type ScenarioCounts struct {
	Alerts    int              `json:"alerts" doc:"Seen within the time"`
	Open      int              `json:"open" doc:"Of these, not closed"`
	Risks     int              `json:"risks" doc:"Of these, those that tell of a hidden risk and of no attack"`
	Succeeded int              `json:"succeeded" doc:"Of these, attacks that succeeded"`
	Severity  detections.Level `json:"severity,omitempty" enum:"critical,high,medium,low,informational" doc:"The gravest; absent where there is none"`
	LastSeen  *Time            `json:"last_seen,omitempty" format:"date-time"`
}

func (c *ScenarioCounts) add(r *scenarioRow) {
	c.Alerts, c.Open = c.Alerts+r.N, c.Open+r.Open
	if r.Hidden {
		c.Risks += r.N
	}
	c.Succeeded += r.Succeeded
	if l := severityOf(r.Severity); c.Severity == "" || r.Severity > severityRank(c.Severity) {
		c.Severity = l
	}
	if last := at(r.Last); c.LastSeen == nil || last.After(c.LastSeen.Time) {
		c.LastSeen = &last
	}
}

// ScenarioShare is what of a scenario falls to one system, unit, region, account or
// item.
type ScenarioShare struct {
	Key             string `json:"key" doc:"Id, or the name itself; empty where the alerts name none"`
	Name            string `json:"name,omitempty" doc:"What people call it"`
	Tenant          string `json:"tenant,omitempty"`
	ProtectionLevel int    `json:"protection_level,omitempty" doc:"Of a system: level of the Chinese multi-level protection scheme, 1 to 5"`
	Risk            string `json:"risk,omitempty" enum:"low,medium,high,compromised" doc:"How much the CMDB finds it at risk"`
	Score           int    `json:"score,omitempty" doc:"0 to 100, of risk"`
	Findings        int    `json:"findings,omitempty" doc:"What the CMDB knows to be wrong with it"`
	ScenarioCounts
}

// ScenarioDay is a day of a scenario.
type ScenarioDay struct {
	Day    string `json:"day" format:"date"`
	Alerts int    `json:"alerts" doc:"Last seen on the day, hidden risks too"`
	Risks  int    `json:"risks" doc:"Of these, hidden risks"`
}

// ScenarioFigures is what there is of a scenario within a time.
type ScenarioFigures struct {
	From Time `json:"from" format:"date-time"`
	To   Time `json:"to" format:"date-time"`
	ScenarioCounts
	Before    int             `json:"before" doc:"Alerts of the time of the same length before, those that were seen again since not among them"`
	Incidents int             `json:"incidents" doc:"That hold alerts of it"`
	Days      []ScenarioDay   `json:"days" nullable:"false" doc:"Oldest first, those without anything too"`
	Systems   []ScenarioShare `json:"systems" nullable:"false" doc:"The gravest first, as in the lists below"`
	Units     []ScenarioShare `json:"units" nullable:"false"`
	Regions   []ScenarioShare `json:"regions" nullable:"false"`
	Accounts  []ScenarioShare `json:"accounts" nullable:"false" doc:"Empty where accounts are masked for the caller"`
	Items     []ScenarioShare `json:"items" nullable:"false" doc:"Of one scenario alone"`
	More      bool            `json:"more,omitempty" doc:"There are more systems, units, regions, accounts or items than are named"`
}

// ScenarioQuery asks for the figures of a scenario.
type ScenarioQuery struct {
	Alerts AlertQuery       // its alerts, with the time; Since is needed
	Risks  *scenario.Clause // which of them are hidden risks; nil for none
	Zone   *time.Location   // whose days; a day begins by the offset of the end of the time
	Top    int              // shares of each kind at most
	Items  bool             // tell of items, too
	// Facts says for a row's tenant, unit and region which unit and region count:
	// where a row has none, its tenant's do.
	Facts func(tenant, unit, region string) (string, string)
}

// maxScenarioShares bounds the shares of each kind.
const maxScenarioShares = 200

type scenarioRow struct {
	Tenant    string `bun:"tenant"`
	Unit      string `bun:"reach_unit"`
	Region    string `bun:"reach_region"`
	System    string `bun:"system_id"`
	Key       string `bun:"key"`
	Name      string `bun:"name"`
	Slot      int64  `bun:"slot"`
	Hidden    bool   `bun:"hidden"`
	N         int    `bun:"n"`
	Open      int    `bun:"open"`
	Succeeded int    `bun:"succeeded"`
	Severity  int    `bun:"severity"`
	Last      int64  `bun:"last"`
}

// scenarioColumns are what each of the questions counts.
func scenarioColumns(q *bun.SelectQuery, risks *scenario.Clause) *bun.SelectQuery {
	if risks == nil {
		risks = &scenario.Nothing
	}
	return q.ColumnExpr("CASE WHEN "+risks.Where+" THEN 1 ELSE 0 END AS hidden", risks.Args...).ColumnExpr("count(*) AS n").
		ColumnExpr("sum(CASE WHEN status <> 'closed' THEN 1 ELSE 0 END) AS open").ColumnExpr("sum(CASE WHEN verdict >= ? THEN 1 ELSE 0 END) AS succeeded", detections.Success.Rank()).
		ColumnExpr("max(severity) AS severity").ColumnExpr("max(last_seen) AS last")
}

// ScenarioFigures counts a scenario's alerts within reach.
func (s *Service) ScenarioFigures(ctx context.Context, q ScenarioQuery) (ScenarioFigures, error) {
	from, to := q.Alerts.Since, q.Alerts.Until
	if to.IsZero() {
		to = s.now()
		q.Alerts.Until = to
	}
	if from.IsZero() || !from.Before(to) || to.Sub(from) > (scenario.MaxDays+1)*24*time.Hour {
		return ScenarioFigures{}, fmt.Errorf("%w: the time: want a beginning before its end, %d days at most", ErrInvalid, scenario.MaxDays)
	}
	if q.Zone == nil {
		q.Zone = s.zone
	}
	if q.Top <= 0 || q.Top > maxScenarioShares {
		q.Top = maxScenarioShares
	}
	if q.Facts == nil {
		q.Facts = func(_, unit, region string) (string, string) { return unit, region }
	}
	out := ScenarioFigures{From: at(from.UnixMilli()), To: at(to.UnixMilli()), Days: []ScenarioDay{}, Systems: []ScenarioShare{}, Units: []ScenarioShare{}, Regions: []ScenarioShare{}, Accounts: []ScenarioShare{}, Items: []ScenarioShare{}}
	days := map[string]*ScenarioDay{}
	for day, last := from.In(q.Zone), to.In(q.Zone).Format(time.DateOnly); ; day = day.AddDate(0, 0, 1) {
		out.Days = append(out.Days, ScenarioDay{Day: day.Format(time.DateOnly)})
		if out.Days[len(out.Days)-1].Day >= last {
			break
		}
	}
	for i := range out.Days {
		days[out.Days[i].Day] = &out.Days[i]
	}
	fail := func(what string, err error) (ScenarioFigures, error) {
		return ScenarioFigures{}, fmt.Errorf("ticketing: count a scenario's %s: %w", what, err)
	}
	// asked makes the question anew each time: a query is for one use.
	asked := func(model any, query AlertQuery) (*bun.SelectQuery, error) {
		return filter(s.db.NewSelect().Model(model), "a", query)
	}

	_, offset := to.In(q.Zone).Zone()
	const day = 24 * int64(time.Hour/time.Millisecond)
	sel, err := asked((*alertRow)(nil), q.Alerts)
	if err != nil {
		return ScenarioFigures{}, err
	}
	var rows []scenarioRow
	err = scenarioColumns(sel.ColumnExpr("tenant, reach_unit, reach_region, system_id").ColumnExpr("(last_seen + ?) / ? AS slot", int64(offset)*1000, day), q.Risks).
		GroupExpr("tenant, reach_unit, reach_region, system_id, slot, hidden").Scan(ctx, &rows)
	if err != nil {
		return fail("alerts", err)
	}
	systems, units, regions := gathered{}, gathered{}, gathered{}
	for i := range rows {
		r := &rows[i]
		out.add(r)
		if d := days[time.UnixMilli(r.Slot*day).UTC().Format(time.DateOnly)]; d != nil {
			if d.Alerts += r.N; r.Hidden {
				d.Risks += r.N
			}
		}
		unit, region := q.Facts(r.Tenant, r.Unit, r.Region)
		if r.System != "" {
			systems.add(r.System, "", r.Tenant, r)
		}
		if unit != "" {
			units.add(unit, "", "", r)
		}
		if region != "" {
			regions.add(region, region, "", r)
		}
	}
	out.Systems, out.Units, out.Regions = systems.top(q.Top, &out.More), units.top(q.Top, &out.More), regions.top(q.Top, &out.More)

	// Whose accounts, and of one scenario which items.
	if !q.Alerts.Reach.Veil().Touches("user.name") {
		if out.Accounts, err = s.scenarioShares(ctx, q, "coalesce(json_extract(a.doc, '$.user'), '')", "''", &out.More); err != nil {
			return fail("accounts", err)
		}
		for i := range out.Accounts {
			out.Accounts[i].Name = out.Accounts[i].Key
		}
	}
	if q.Items {
		if out.Items, err = s.scenarioShares(ctx, q, "ci_id", "max(coalesce(json_extract(a.doc, '$.ci.name'), ci_id))", &out.More); err != nil {
			return fail("items", err)
		}
	}

	// Incidents that hold some of them and are within reach themselves.
	held, err := asked((*alertRow)(nil), q.Alerts)
	if err != nil {
		return ScenarioFigures{}, err
	}
	incidents, err := q.Alerts.Reach.Within(s.db.NewSelect().Model((*incidentRow)(nil)), "i").Where("i.id IN (?)", held.Column("incident_id").Where("incident_id <> ''")).Count(ctx)
	if err != nil {
		return fail("incidents", err)
	}
	out.Incidents = int(incidents)

	earlier := q.Alerts
	earlier.Since, earlier.Until = from.Add(-to.Sub(from)), from
	if sel, err = asked((*alertRow)(nil), earlier); err != nil {
		return ScenarioFigures{}, err
	}
	before, err := sel.Where("last_seen < ?", from.UnixMilli()).Count(ctx)
	if err != nil {
		return fail("alerts before", err)
	}
	out.Before = int(before)
	return out, nil
}

// scenarioShares counts by an expression.
func (s *Service) scenarioShares(ctx context.Context, q ScenarioQuery, key, name string, more *bool) ([]ScenarioShare, error) {
	sel, err := filter(s.db.NewSelect().Model((*alertRow)(nil)), "a", q.Alerts)
	if err != nil {
		return nil, err
	}
	var rows []scenarioRow
	err = scenarioColumns(sel.ColumnExpr(key+" AS \"key\", "+name+" AS name, max(tenant) AS tenant"), q.Risks).Where(key+" <> ''").
		GroupExpr("1, hidden").OrderExpr("max(verdict) DESC, max(severity) DESC, n DESC, 1").Limit(2*int64(q.Top)+1).Scan(ctx, &rows)
	if err != nil {
		return nil, err
	}
	out := gathered{}
	for i := range rows {
		out.add(rows[i].Key, rows[i].Name, rows[i].Tenant, &rows[i])
	}
	return out.top(q.Top, more), nil
}

type gathered map[string]*ScenarioShare

func (m gathered) add(key, name, tenant string, r *scenarioRow) {
	sh := m[key]
	if sh == nil {
		sh = &ScenarioShare{Key: key, Name: name, Tenant: tenant}
		m[key] = sh
	}
	sh.ScenarioCounts.add(r)
}

// top are the gravest: those where an attack succeeded, then by severity and number.
func (m gathered) top(n int, more *bool) []ScenarioShare {
	out := make([]ScenarioShare, 0, len(m))
	for _, sh := range m {
		out = append(out, *sh)
	}
	slices.SortFunc(out, func(a, b ScenarioShare) int {
		return cmp.Or(min(b.Succeeded, 1)-min(a.Succeeded, 1), severityRank(b.Severity)-severityRank(a.Severity), b.Alerts-a.Alerts, strings.Compare(a.Key, b.Key))
	})
	if len(out) > n {
		out, *more = out[:n], true
	}
	return out
}

// ScenarioValues lists the different values of a column of the alerts within reach
// seen within a time, for conditions that are judged by values.
func (s *Service) ScenarioValues(ctx context.Context, r reach.Reach, since time.Time, column string) ([]string, error) {
	out := []string{}
	q := r.Within(s.db.NewSelect().Model((*alertRow)(nil)), "a").ColumnExpr("DISTINCT ?", bun.Ident(column)).Limit(20_000)
	if !since.IsZero() {
		q = q.Where("last_seen >= ?", since.UnixMilli())
	}
	if err := q.Scan(ctx, &out); err != nil {
		return nil, fmt.Errorf("ticketing: which values of %s alerts have: %w", column, err)
	}
	return out, nil
}

// mayDefine tells whether all that a scenario looks at is within a reach.
func mayDefine(r reach.Reach, tenants []string) bool { return maySuppress(r, tenants) }

// knows tells whether a scenario is told within a reach: one that is for all tenants
// is, and one that is for some is told to those who see these whole, since it names
// them.
func knows(r reach.Reach, k *scenario.Kept) bool {
	return !r.Nothing() && (len(k.Content.Tenants) == 0 || mayDefine(r, k.Content.Tenants))
}

// Scenarios lists the scenarios that concern a reach.
func (s *Service) Scenarios(ctx context.Context, r reach.Reach) ([]scenario.Kept, error) {
	list, err := s.scenarios.List(ctx)
	return slices.DeleteFunc(list, func(k scenario.Kept) bool { return !knows(r, &k) }), err
}

// Scenario reads a scenario that concerns a reach.
func (s *Service) Scenario(ctx context.Context, r reach.Reach, id string) (scenario.Kept, error) {
	k, err := s.scenarios.Get(ctx, id)
	if err == nil && !knows(r, &k) {
		err = fmt.Errorf("scenario %.64q: %w", id, scenario.ErrNotFound)
	}
	return k, err
}

// MayDefineScenario tells whether somebody may change a scenario.
func (s *Service) MayDefineScenario(r reach.Reach, k *scenario.Kept) bool {
	return mayDefine(r, k.Content.Tenants)
}

// ownScenario refuses a scenario that looks at more than is within reach.
func ownScenario(by Actor) func(k *scenario.Kept) error {
	return func(k *scenario.Kept) error {
		switch {
		case mayDefine(by.Reach, k.Content.Tenants):
			return nil
		case knows(by.Reach, k):
			return fmt.Errorf("%w: the scenario is for tenants that are not all within your reach: make one of your own for yours", scenario.ErrInvalid)
		}
		return fmt.Errorf("scenario %.64q: %w", k.ID, scenario.ErrNotFound)
	}
}

// SetScenarios makes or changes scenarios, all or none. All that they look at, and
// looked at before, has to be within the actor's reach.
func (s *Service) SetScenarios(ctx context.Context, by Actor, list []scenario.Scenario) ([]scenario.Kept, error) {
	for i := range list {
		if !mayDefine(by.Reach, list[i].Tenants) {
			return nil, fmt.Errorf("%w: tenants: the scenario %.64q is for more than is within your reach: name tenants that are whole within it", scenario.ErrInvalid, cmp.Or(list[i].Name.ZH, list[i].Name.EN))
		}
	}
	return s.scenarios.Put(ctx, by.Name, list, ownScenario(by))
}

// DeleteScenario takes a scenario away; RestoreScenario brings it back.
func (s *Service) DeleteScenario(ctx context.Context, by Actor, id string) error {
	return s.scenarios.Delete(ctx, by.Name, id, ownScenario(by))
}

// ScenarioVersions lists the versions of a scenario that concern a reach, the
// newest first.
func (s *Service) ScenarioVersions(ctx context.Context, r reach.Reach, id string) ([]scenario.Kept, error) {
	list, err := s.scenarios.Versions(ctx, id)
	if err != nil {
		return nil, err
	}
	if list = slices.DeleteFunc(list, func(k scenario.Kept) bool { return !knows(r, &k) }); len(list) == 0 {
		return nil, fmt.Errorf("scenario %.64q: %w", id, scenario.ErrNotFound)
	}
	return list, nil
}

// RestoreScenario makes a scenario again what a version of it was.
func (s *Service) RestoreScenario(ctx context.Context, by Actor, id string, version int64) (scenario.Kept, error) {
	return s.scenarios.Restore(ctx, by.Name, id, version, ownScenario(by))
}
