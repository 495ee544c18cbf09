package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"icewatch/detections"
	"icewatch/soc/reach"
	"icewatch/ticketing"
	"icewatch/ticketing/scenario"
)

// ScenarioBody is a scenario as it is written. It is exported because inputs embed
// it.
type ScenarioBody struct {
	Name        detections.Text `json:"name" doc:"In one language at least"`
	Description detections.Text `json:"description,omitzero"`
	Tags        []string        `json:"tags,omitempty" maxItems:"20"`
	Off         bool            `json:"off,omitempty" doc:"Kept, and not in the overview"`
	Any         [][]string      `json:"any" minItems:"1" maxItems:"50" doc:"Which alerts: matchers such as attack=\"mining\" or severity=~\"high|critical\"; those of one line hold together, the lines are alternatives. Names: attack, direction, key_asset, phase, priority, resolution, risk (a class stands for all below it), rule (id or name), rule_tag, severity, status, tactic, tag, technique (with its sub-techniques), tenant, threat, verdict"`
	Risks       [][]string      `json:"risks,omitempty" maxItems:"50" doc:"Which of them tell of a hidden risk and of no attack; none by default"`
	Objects     string          `json:"objects,omitempty" maxLength:"4000" doc:"About whose things: a data scope such as organisation under \"tax\" and label = \"mlps_3\"; all by default"`
	Items       string          `json:"items,omitempty" maxLength:"4000" doc:"About which items and systems alone: a filter of the CMDB such as class = database; all by default"`
	Days        int             `json:"days,omitempty" minimum:"1" maximum:"92" default:"7" doc:"Over how many days it is looked at"`
	Tenants     []string        `json:"tenants,omitempty" maxItems:"1000" doc:"Whose alerts; all by default"`
}

// ScenarioView is a scenario as the console shows it. It is exported because its
// versions embed it.
type ScenarioView struct {
	ScenarioBody
	ID        string          `json:"id"`
	Shipped   bool            `json:"shipped"`
	Editable  bool            `json:"editable" doc:"All that it looks at is within the caller's reach"`
	Version   int64           `json:"version" doc:"0 is what was shipped"`
	UpdatedAt *ticketing.Time `json:"updated_at,omitempty" format:"date-time"`
	UpdatedBy string          `json:"updated_by,omitempty"`
}

type scenarioVersion struct {
	ScenarioView
	Deleted bool `json:"deleted,omitempty" doc:"It was deleted then; the rest is as it was before"`
}

// ScenarioState is a scenario with what there is of it.
type ScenarioState struct {
	ScenarioView
	Figures ticketing.ScenarioFigures `json:"figures"`
	Notes   []detections.Text         `json:"notes" nullable:"false" doc:"What is odd about it: names in it that nobody knows, objects that were cut off"`
}

type scenarioFile struct {
	YAML  string `json:"yaml"`
	Count int    `json:"count"`
}

type scenarioImport struct {
	Created int      `json:"created"`
	Updated int      `json:"updated"`
	IDs     []string `json:"ids" nullable:"false"`
}

// Bounds of what one scenario's objects may be.
const (
	maxScenarioItems = 5000
	scenarioNames    = 400 // systems, items and units that are looked up in the CMDB for one answer
	scenarioTop      = 5   // shares of each kind in the overview
)

func (b ScenarioBody) scenario(id string) scenario.Scenario {
	return scenario.Scenario{ID: id, Content: scenario.Content(b)}
}

func (t *tickets) viewOfScenario(r reach.Reach, k *scenario.Kept) ScenarioView {
	v := ScenarioView{ScenarioBody: ScenarioBody(k.Content), ID: k.ID, Shipped: k.Shipped, Editable: t.svc.MayDefineScenario(r, k), Version: k.Version, UpdatedBy: k.UpdatedBy}
	if !k.UpdatedAt.IsZero() {
		v.UpdatedAt = &ticketing.Time{Time: k.UpdatedAt}
	}
	return v
}

func scenarioProblem(err error, id string) error {
	var syntax *reach.SyntaxError
	switch {
	case errors.Is(err, scenario.ErrNotFound):
		return NotFound("scenario", clip(id, 100))
	case errors.Is(err, scenario.ErrInvalid):
		return Problem(http.StatusUnprocessableEntity, "%s", plain(err, scenario.ErrInvalid, ""))
	case errors.As(err, &syntax):
		return Problem(http.StatusUnprocessableEntity, "objects: %s", syntax.Error())
	}
	return ticketProblem(err)
}

// asking is one request about scenarios: what is looked up for one serves the
// others.
type asking struct {
	t      *tickets
	s      *Server
	within reach.Reach
	src    scenario.Source
	names  map[string]ticketing.ScenarioShare // of systems, items and units by id, once looked up
}

func (t *tickets) asking(s *Server, within reach.Reach, since time.Time) *asking {
	a := &asking{t: t, s: s, within: within, names: map[string]ticketing.ScenarioShare{}}
	a.src.Values = func(ctx context.Context, column string) ([]string, error) {
		return t.svc.ScenarioValues(ctx, within, since, column)
	}
	a.src.Rules = func(ctx context.Context) ([]scenario.Rule, error) {
		if s.deps.Rules == nil {
			return nil, nil
		}
		all, err := s.deps.Rules.List(ctx)
		out := make([]scenario.Rule, 0, len(all))
		for i := range all {
			out = append(out, scenario.Rule{ID: all[i].ID, Name: all[i].Name, Tags: all[i].Tags})
		}
		return out, err
	}
	return a
}

// narrow has a query ask for a scenario's alerts alone. It notes what is odd.
func (a *asking) narrow(ctx context.Context, c *scenario.Content, q *ticketing.AlertQuery) (notes []detections.Text, err error) {
	clause, err := scenario.Compile(ctx, c.Any, &a.src)
	if err != nil {
		return nil, err
	}
	q.Scenario = &clause
	if len(c.Tenants) > 0 {
		q.Reach = q.Reach.Narrow(c.Tenants)
	}
	if c.Objects != "" {
		if a.s.deps.Reach == nil {
			return nil, unavailable("data scopes")
		}
		objects, err := a.s.deps.Reach.Reach(nil, c.Objects)
		if err != nil {
			return nil, err
		}
		q.Reach = q.Reach.And(objects)
		if e, err := reach.Parse(c.Objects); err == nil {
			if dir := a.s.deps.Reach.Directory(); dir != nil && a.within.Everything() { // to others it would tell which names there are
				if unknown := e.Unknown(dir); len(unknown) > 0 {
					list := strings.Join(unknown[:min(len(unknown), 10)], ", ")
					notes = append(notes, detections.Text{ZH: "分析对象中有未知的名称：" + list, EN: "Names in objects that nobody knows: " + list})
				}
			}
		}
	}
	if c.Items != "" {
		ids, more, err := a.items(ctx, c.Items)
		if err != nil {
			return nil, err
		}
		if q.About, q.AboutOnly = ids, true; more {
			notes = append(notes, detections.Text{ZH: fmt.Sprintf("配置项过多，只分析前 %d 个", maxScenarioItems), EN: fmt.Sprintf("More items than %d fit: only these are looked at", maxScenarioItems)})
		}
		if len(ids) == 0 {
			notes = append(notes, detections.Text{ZH: "没有符合条件的配置项", EN: "No item of the CMDB fits"})
		}
	}
	return notes, nil
}

// items are the ids of what a filter of the CMDB chooses of what the caller sees.
func (a *asking) items(ctx context.Context, expression string) (ids []string, more bool, err error) {
	if a.s.deps.CMDB == nil {
		return nil, false, unavailable("the CMDB")
	}
	f := cmdbFilter(expression)
	for {
		page, err := a.s.deps.CMDB.Items(ctx, a.within, f)
		if err != nil {
			return nil, false, err
		}
		for _, it := range page.Items {
			if len(ids) >= maxScenarioItems {
				return ids, true, nil
			}
			ids = append(ids, it.ID)
		}
		if f.Cursor = page.Next; f.Cursor == "" {
			return ids, false, nil
		}
	}
}

// figures counts what there is of a scenario.
func (a *asking) figures(ctx context.Context, c *scenario.Content, q ticketing.AlertQuery, zone *time.Location, whole bool) (f ticketing.ScenarioFigures, notes []detections.Text, err error) {
	if notes, err = a.narrow(ctx, c, &q); err != nil {
		return f, nil, err
	}
	ask := ticketing.ScenarioQuery{Alerts: q, Zone: zone, Top: scenarioTop, Items: whole, Facts: a.facts}
	if whole {
		ask.Top = 0
	}
	if len(c.Risks) > 0 {
		risks, err := scenario.Compile(ctx, c.Risks, &a.src)
		if err != nil {
			return f, nil, err
		}
		ask.Risks = &risks
	}
	if f, err = a.t.svc.ScenarioFigures(ctx, ask); err != nil {
		return f, nil, err
	}
	a.describe(ctx, f.Systems, true)
	a.describe(ctx, f.Units, false)
	a.describe(ctx, f.Items, false)
	return f, notes, nil
}

// facts is which unit and region count for a row.
func (a *asking) facts(tenant, unit, region string) (string, string) {
	if a.s.deps.Tenants != nil && (unit == "" || region == "") {
		if t, ok := a.s.deps.Tenants.Get(tenant); ok {
			if unit == "" {
				unit = t.Unit
			}
			if region == "" {
				region = t.Region
			}
		}
	}
	if region == "" && unit != "" && a.s.deps.Units != nil {
		region = a.s.deps.Units.Tree().Region(unit)
	}
	return unit, region
}

// describe says what people call systems, items and units, and what the CMDB knows
// of them. Who does not see one in the CMDB is told its id alone.
func (a *asking) describe(ctx context.Context, list []ticketing.ScenarioShare, systems bool) {
	var ids []string
	for _, sh := range list {
		if _, known := a.names[sh.Key]; !known && len(a.names) < scenarioNames {
			a.names[sh.Key] = ticketing.ScenarioShare{}
			ids = append(ids, sh.Key)
		}
	}
	if len(ids) > 0 && a.s.deps.Risk != nil {
		if lines, err := a.s.deps.Risk.Lines(ctx, a.within, ids); err == nil { // without it there is less to tell
			for id, l := range lines {
				a.names[id] = ticketing.ScenarioShare{Name: l.Name, Risk: string(l.Level), Score: l.Score, Findings: l.Findings}
			}
		}
	}
	for _, id := range ids {
		known := a.names[id]
		if a.s.deps.Units != nil {
			if u, ok := a.s.deps.Units.Tree().Get(id); ok && known.Name == "" {
				known.Name = u.Name.ZH
			}
		}
		if a.s.deps.CMDB != nil && (systems || known.Name == "") {
			if it, err := a.s.deps.CMDB.Get(ctx, a.within, id); err == nil {
				known.Name, known.ProtectionLevel = it.Name, protectionLevel(it.Attributes["protection_level"], it.Labels)
			}
		}
		a.names[id] = known
	}
	for i := range list {
		sh, known := &list[i], a.names[list[i].Key]
		if known.Name != "" {
			sh.Name = known.Name
		}
		sh.Risk, sh.Score, sh.Findings, sh.ProtectionLevel = known.Risk, known.Score, known.Findings, known.ProtectionLevel
		if systems && sh.ProtectionLevel == 0 && a.s.deps.Tenants != nil {
			if t, ok := a.s.deps.Tenants.Get(sh.Tenant); ok {
				sh.ProtectionLevel = t.ProtectionLevel
			}
		}
	}
}

// protectionLevel reads the level of the multi-level protection scheme that an item
// or its labels give.
func protectionLevel(attribute string, labels []string) int {
	if len(attribute) == 1 && attribute[0] >= '1' && attribute[0] <= '5' {
		return int(attribute[0] - '0')
	}
	for _, l := range labels {
		if n, ok := strings.CutPrefix(l, "mlps_"); ok && len(n) == 1 && n[0] >= '1' && n[0] <= '5' {
			return int(n[0] - '0')
		}
	}
	return 0
}

// unitsCalled are the organisations of an id, code or part of a name, with those
// below them, and the tenants that belong to them.
func (s *Server) unitsCalled(text string) (ids, tenants []string) {
	if s.deps.Units == nil {
		return []string{text}, nil
	}
	tree := s.deps.Units.Tree()
	for _, u := range tree.All() {
		if u.ID == text || u.Code == text || strings.Contains(u.Name.ZH, text) || strings.Contains(strings.ToLower(u.Name.EN), strings.ToLower(text)) {
			ids = append(ids, tree.IDs(u.ID)...)
		}
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	if len(ids) == 0 { // what nobody knows is taken as an id: rows may name a unit that was removed
		return []string{text}, nil
	}
	if s.deps.Tenants != nil {
		for _, t := range s.deps.Tenants.List() {
			if slices.Contains(ids, t.Unit) {
				tenants = append(tenants, t.Slug)
			}
		}
	}
	return ids, tenants
}

// query is what a filter asks of ticketing, within the caller's reach and, where it
// names one, of a scenario.
func (t *tickets) query(ctx context.Context, s *Server, f AlertFilter) (ticketing.AlertQuery, error) {
	q, err := f.query(ctx)
	if err != nil {
		return q, err
	}
	if f.Unit != "" {
		q.Units, q.OfUnits = s.unitsCalled(f.Unit)
	}
	if f.Scenario == "" {
		return q, nil
	}
	all, err := Reach(ctx, "")
	if err != nil {
		return q, err
	}
	k, err := t.svc.Scenario(ctx, all, f.Scenario)
	if err != nil {
		return q, scenarioProblem(err, f.Scenario)
	}
	_, err = t.asking(s, q.Reach, q.Since).narrow(ctx, &k.Content, &q)
	return q, scenarioProblem(err, f.Scenario)
}

// ScenarioTime is over which time scenarios are looked at. It is exported because
// inputs embed it.
type ScenarioTime struct {
	Days int    `query:"days" minimum:"0" maximum:"92" doc:"Days of the calendar, today among them; 0 is what each scenario says itself, and of the overview 7"`
	From string `query:"from" maxLength:"64" doc:"Beginning in place of days: a time, or a duration before now"`
	To   string `query:"to" maxLength:"64" doc:"End; now by default"`
	Zone string `query:"zone" maxLength:"64" default:"Asia/Shanghai" doc:"IANA time zone whose days are meant"`
}

func (in ScenarioTime) read(days int, now time.Time) (from, to time.Time, zone *time.Location, err error) {
	if zone, err = time.LoadLocation(in.Zone); err != nil || in.Zone == "Local" {
		return from, to, nil, Problem(http.StatusUnprocessableEntity, "zone: %q is no IANA time zone such as Asia/Shanghai", clip(in.Zone, 64))
	}
	if to = now; in.To != "" {
		if to, err = ParseTime(in.To, now); err != nil {
			return from, to, nil, Problem(http.StatusBadRequest, "to: %s", err)
		}
	}
	if in.From != "" {
		if from, err = ParseTime(in.From, now); err != nil {
			return from, to, nil, Problem(http.StatusBadRequest, "from: %s", err)
		}
	} else {
		if in.Days > 0 {
			days = in.Days
		}
		last := to.In(zone)
		from = time.Date(last.Year(), last.Month(), last.Day()-days+1, 0, 0, 0, 0, zone)
	}
	if !from.Before(to) || to.Sub(from) > (scenario.MaxDays+1)*24*time.Hour {
		return from, to, nil, Problem(http.StatusUnprocessableEntity, "from: want a beginning before its end, and %d days at most", scenario.MaxDays)
	}
	return from, to, zone, nil
}

// orNone is a list, never nil.
func orNone[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
