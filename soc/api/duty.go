package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/soc/identity"
	"icewatch/soc/reach"
	"icewatch/ticketing"
	"icewatch/ticketing/duty"
	"icewatch/ticketing/workdays"
)

// dutyProblem says duty's errors as problems.
func dutyProblem(err error) error {
	for kind, status := range map[error]int{duty.ErrNotFound: http.StatusNotFound, duty.ErrInvalid: http.StatusUnprocessableEntity,
		duty.ErrConflict: http.StatusConflict, duty.ErrForbidden: http.StatusForbidden} {
		if errors.Is(err, kind) {
			return Problem(status, "%s", plain(err, kind, ""))
		}
	}
	return ticketProblem(err)
}

// teamView is a team with what the caller may do to it.
type teamView struct {
	duty.Team
	Editable bool `json:"editable" doc:"All that it looks after is within the caller's reach"`
	Mine     bool `json:"mine" doc:"The caller stands in it"`
}

// TeamBody is a team as it is written. It is exported because inputs embed it.
type TeamBody struct {
	duty.Content
	Revision int64 `json:"revision,omitempty" doc:"Of what was read before the change; without it whatever is there is replaced"`
}

// RangeInput asks for a stretch of time.
type RangeInput struct {
	From string `query:"from" maxLength:"64" doc:"A time, or a duration before now; the beginning of this month by default"`
	To   string `query:"to" maxLength:"64" doc:"A time; a month after from by default"`
}

// maxDutyRange is how much of a roster is worked out at once.
const maxDutyRange = 400 * 24 * time.Hour

func (r RangeInput) times(now time.Time) (from, to time.Time, err error) {
	zone, err := workdays.Zone("")
	if err != nil {
		return from, to, err
	}
	y, m, _ := now.In(zone).Date()
	from = time.Date(y, m, 1, 0, 0, 0, 0, zone)
	if r.From != "" {
		if from, err = ParseTime(r.From, now); err != nil {
			return from, to, Problem(http.StatusBadRequest, "from: %s", err)
		}
	}
	to = from.AddDate(0, 1, 0)
	if r.To != "" {
		if to, err = ParseTime(r.To, now); err != nil {
			return from, to, Problem(http.StatusBadRequest, "to: %s", err)
		}
	}
	if !to.After(from) || to.Sub(from) > maxDutyRange {
		return from, to, Problem(http.StatusBadRequest, "to: want a time after from, by at most 400 days")
	}
	return from, to, nil
}

// lineView is a line of a team over a time.
type lineView struct {
	Line      string         `json:"line"`
	Name      duty.Text      `json:"name"`
	Stretches []duty.Stretch `json:"stretches" nullable:"false" doc:"Without a hole; nobody is on duty in those that are gaps"`
}

// calendarView is a team's roster over a time.
type calendarView struct {
	Team      duty.TeamRef    `json:"team"`
	Zone      string          `json:"zone"`
	From      time.Time       `json:"from"`
	To        time.Time       `json:"to"`
	Lines     []lineView      `json:"lines" nullable:"false"`
	Conflicts []duty.Conflict `json:"conflicts" nullable:"false" doc:"Who is on duty twice at a time"`
	Overrides []duty.Override `json:"overrides" nullable:"false"`
	Days      []dayView       `json:"days" nullable:"false" doc:"Holidays, and days that make up for them"`
	Unknown   []int           `json:"unknown_years" nullable:"false" doc:"Years whose holidays nobody has entered: weekdays count as worked"`
}

type dayView struct {
	Date   workdays.Date `json:"date"`
	Name   string        `json:"name,omitempty" doc:"Of the holiday"`
	MakeUp bool          `json:"make_up,omitempty"`
}

// calendarOf works a team's roster out.
func calendarOf(r *duty.Roster, t *duty.Team, among []duty.Team, from, to time.Time) calendarView {
	out := calendarView{Team: duty.TeamRef{ID: t.ID, Name: t.Name, Head: t.Head}, Zone: t.Zone, From: from.UTC(), To: to.UTC(),
		Lines: []lineView{}, Overrides: []duty.Override{}, Days: []dayView{}, Unknown: []int{}}
	if out.Zone == "" {
		out.Zone = workdays.DefaultZone
	}
	for i := range t.Lines {
		l := &t.Lines[i]
		out.Lines = append(out.Lines, lineView{Line: l.Key, Name: l.Name, Stretches: r.Stretches(t, l, from, to)})
	}
	out.Conflicts = r.Conflicts(t, among, from, to)
	for _, o := range r.Overrides {
		if o.Team == t.ID && o.From.Before(to) && o.To.After(from) {
			out.Overrides = append(out.Overrides, o)
		}
	}
	zone, err := workdays.Zone(t.Zone)
	if err != nil {
		return out
	}
	y, m, d := from.In(zone).Date()
	for day := time.Date(y, m, d, 0, 0, 0, 0, time.UTC); day.Before(to); day = day.AddDate(0, 0, 1) {
		if is := r.Holidays.Day(day); is.Name != "" || is.MakeUp {
			out.Days = append(out.Days, dayView{workdays.DateOf(day), is.Name, is.MakeUp})
		}
		if !r.Holidays.Known(day.Year()) && !slices.Contains(out.Unknown, day.Year()) {
			out.Unknown = append(out.Unknown, day.Year())
		}
	}
	return out
}

// OverrideBody is an override as it is written.
type OverrideBody struct {
	Team   string    `json:"team" maxLength:"40"`
	Line   string    `json:"line" maxLength:"32"`
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	People []string  `json:"people" maxItems:"50" nullable:"false" doc:"None: nobody is on duty"`
	Note   string    `json:"note,omitempty" maxLength:"1000"`
}

// PeriodBody is a time on a line.
type PeriodBody struct {
	Line string    `json:"line" maxLength:"32"`
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

func (p PeriodBody) period() duty.Period { return duty.Period{Line: p.Line, From: p.From, To: p.To} }

// dutyRoutes registers duty: teams, rosters, swaps, hand-overs.
func (s *Server) dutyRoutes() {
	if s.deps.Duty == nil {
		return
	}
	s.dutyTeamRoutes()
	s.dutyRosterRoutes()
	s.dutySwapRoutes()
	s.dutyLinkRoutes()
	s.dutyBookRoutes()
}

func (s *Server) dutyTeamRoutes() {
	d, tags := s.deps.Duty, []string{"duty"}
	view := func(by ticketing.Actor, t duty.Team) teamView {
		return teamView{Team: t, Editable: t.Covered(by.Reach), Mine: t.Has(by.Name)}
	}
	Register(s, huma.Operation{OperationID: "list-duty-teams", Method: http.MethodGet, Path: "/duty/teams", Tags: tags,
		Summary: "The teams that look after something within my reach, and those in which I stand"}, identity.ScopeRead,
		func(ctx context.Context, _ *Empty) (*Body[Page[teamView]], error) {
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			items := []teamView{}
			for _, t := range d.Teams(by) {
				items = append(items, view(by, t))
			}
			return Reply(PageOf(items, len(items), "")), nil
		})
	Register(s, huma.Operation{OperationID: "create-duty-team", Method: http.MethodPost, Path: "/duty/teams", Tags: tags,
		Summary: "Make a team with its rotations and escalation", DefaultStatus: http.StatusCreated, Errors: []int{403, 409, 422}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct{ Body duty.Content }) (*Body[teamView], error) {
			by, err := s.teamActor(ctx, in.Body)
			if err != nil {
				return nil, err
			}
			t, err := d.Put(ctx, by, "", 0, in.Body)
			AuditObject(ctx, "duty-team:"+t.ID, "", clip(in.Body.Name.ZH, 200))
			if err != nil {
				return nil, dutyProblem(err)
			}
			AuditChange(ctx, nil, t.Content)
			return Reply(view(by, t)), nil
		})
	Register(s, huma.Operation{OperationID: "get-duty-team", Method: http.MethodGet, Path: "/duty/teams/{id}", Tags: tags,
		Summary: "One team", Errors: []int{404}}, identity.ScopeRead,
		func(ctx context.Context, in *IDInput) (*Body[teamView], error) {
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			t, err := d.Team(by, in.ID)
			return Reply(view(by, t)), dutyProblem(err)
		})
	Register(s, huma.Operation{OperationID: "update-duty-team", Method: http.MethodPut, Path: "/duty/teams/{id}", Tags: tags,
		Summary: "Change a team", Errors: []int{403, 404, 409, 422}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			IDInput
			Body TeamBody
		}) (*Body[teamView], error) {
			AuditObject(ctx, "duty-team:"+in.ID, "", "")
			by, err := s.teamActor(ctx, in.Body.Content)
			if err != nil {
				return nil, err
			}
			old, err := d.Team(by, in.ID)
			if err != nil {
				return nil, dutyProblem(err)
			}
			t, err := d.Put(ctx, by, in.ID, in.Body.Revision, in.Body.Content)
			if err != nil {
				return nil, dutyProblem(err)
			}
			AuditObject(ctx, "duty-team:"+t.ID, "", clip(t.Name.ZH, 200))
			AuditChange(ctx, old.Content, t.Content)
			return Reply(view(by, t)), nil
		})
	Register(s, huma.Operation{OperationID: "delete-duty-team", Method: http.MethodDelete, Path: "/duty/teams/{id}", Tags: tags,
		Summary: "Remove a team with its overrides, swaps and notes", DefaultStatus: http.StatusNoContent, Errors: []int{403, 404}}, identity.ScopeConfigure,
		func(ctx context.Context, in *IDInput) (*Empty, error) {
			AuditObject(ctx, "duty-team:"+in.ID, "", "")
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			t, err := d.Delete(ctx, by, in.ID)
			if err != nil {
				return nil, dutyProblem(err)
			}
			AuditChange(ctx, t.Content, nil)
			return &Empty{}, nil
		})
}

// teamActor is who writes a team, after a look at what it names.
func (s *Server) teamActor(ctx context.Context, c duty.Content) (ticketing.Actor, error) {
	by, err := acting(ctx)
	if err != nil {
		return by, err
	}
	for i, slug := range c.Tenants {
		if !by.Reach.CoversTenant(slug) {
			return by, Problem(http.StatusUnprocessableEntity, "tenants[%d]: there is no tenant %q within your reach", i, clip(slug, 64))
		}
	}
	if c.Unit != "" && s.deps.Units != nil {
		if _, ok := s.deps.Units.Tree().Get(c.Unit); !ok {
			return by, Problem(http.StatusUnprocessableEntity, "unit: there is no unit %q", clip(c.Unit, 64))
		}
	}
	return by, nil
}

func (s *Server) dutyRosterRoutes() {
	d, tags := s.deps.Duty, []string{"duty"}
	Register(s, huma.Operation{OperationID: "who-is-on-duty", Method: http.MethodGet, Path: "/duty/now", Tags: tags,
		Summary: "Who is on duty for a tenant, system and priority at a time, and why", Errors: []int{400, 403}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Tenant   string `query:"tenant" maxLength:"64" required:"true"`
			System   string `query:"system" maxLength:"200" doc:"Id or name of a business system"`
			Priority string `query:"priority" enum:"P1,P2,P3,P4"`
			Owner    string `query:"owner" maxLength:"200" doc:"As the CMDB has it"`
			At       string `query:"at" maxLength:"64" doc:"A time; now by default"`
		}) (*Body[duty.Answer], error) {
			if _, err := Reach(ctx, in.Tenant); err != nil {
				return nil, err
			}
			if !CanSee(ctx, in.Tenant) {
				return nil, NotFound("tenant", clip(in.Tenant, 64))
			}
			q := duty.Question{Tenant: in.Tenant, System: in.System, Priority: in.Priority, Owners: []string{in.Owner}, At: time.Now()}
			if in.At != "" {
				var err error
				if q.At, err = ParseTime(in.At, q.At); err != nil {
					return nil, Problem(http.StatusBadRequest, "at: %s", err)
				}
			}
			return Reply(d.Roster().OnDuty(q)), nil
		})
	Register(s, huma.Operation{OperationID: "get-duty-calendar", Method: http.MethodGet, Path: "/duty/teams/{id}/calendar", Tags: tags,
		Summary: "A team's roster over a time, with its gaps, conflicts and holidays", Errors: []int{400, 404}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			IDInput
			RangeInput
		}) (*Body[calendarView], error) {
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			from, to, err := in.times(time.Now())
			if err != nil {
				return nil, err
			}
			t, err := d.Team(by, in.ID)
			if err != nil {
				return nil, dutyProblem(err)
			}
			return Reply(calendarOf(d.Roster(), &t, d.Teams(by), from, to)), nil
		})
	Register(s, huma.Operation{OperationID: "preview-duty-team", Method: http.MethodPost, Path: "/duty/preview", Tags: tags,
		Summary: "The roster that a team would have, without keeping it", Errors: []int{400, 422}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			RangeInput
			Body struct {
				duty.Content
				ID string `json:"id,omitempty" maxLength:"40" doc:"Of the team that would be changed: its overrides hold"`
			}
		}) (*Body[calendarView], error) {
			stateOf(ctx).skipAudit = true // it changes nothing
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			from, to, err := in.times(time.Now())
			if err != nil {
				return nil, err
			}
			if err := in.Body.Check(); err != nil {
				return nil, Problem(http.StatusUnprocessableEntity, "%s", err)
			}
			t := duty.Team{ID: "draft", Content: in.Body.Content}
			if in.Body.ID != "" {
				if _, err := d.Team(by, in.Body.ID); err != nil {
					return nil, dutyProblem(err)
				}
				t.ID = in.Body.ID
			}
			return Reply(calendarOf(d.Roster(), &t, d.Teams(by), from, to)), nil
		})
	Register(s, huma.Operation{OperationID: "create-duty-override", Method: http.MethodPost, Path: "/duty/overrides", Tags: tags,
		Summary: "Put others on duty for a while", DefaultStatus: http.StatusCreated, Errors: []int{403, 404, 422}}, identity.ScopeRespond,
		func(ctx context.Context, in *struct{ Body OverrideBody }) (*Body[duty.Override], error) {
			AuditObject(ctx, "duty-team:"+in.Body.Team, "", "override "+in.Body.Line)
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			o, err := d.AddOverride(ctx, by, duty.Override{Team: in.Body.Team, Line: in.Body.Line, From: in.Body.From, To: in.Body.To, People: in.Body.People, Note: in.Body.Note})
			if err != nil {
				return nil, dutyProblem(err)
			}
			AuditObject(ctx, "duty-override:"+o.ID, "", clip(o.Team+"/"+o.Line+" "+o.From.Format(time.RFC3339)+" – "+o.To.Format(time.RFC3339)+": "+strings.Join(o.People, ", "), 1000))
			return Reply(o), nil
		})
	Register(s, huma.Operation{OperationID: "delete-duty-override", Method: http.MethodDelete, Path: "/duty/overrides/{id}", Tags: tags,
		Summary: "Take an override back", DefaultStatus: http.StatusNoContent, Errors: []int{403, 404, 409}}, identity.ScopeRespond,
		func(ctx context.Context, in *IDInput) (*Empty, error) {
			AuditObject(ctx, "duty-override:"+in.ID, "", "")
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			_, err = d.RemoveOverride(ctx, by, in.ID)
			return &Empty{}, dutyProblem(err)
		})
	Register(s, huma.Operation{OperationID: "get-escalation", Method: http.MethodGet, Path: "/incidents/{id}/escalation", Tags: tags,
		Summary: "Who was called about an incident, and who is called next", Errors: []int{404}}, identity.ScopeRead,
		func(ctx context.Context, in *IDInput) (*Body[duty.Progress], error) {
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			i, err := s.deps.Incidents.Incident(ctx, by.Reach, in.ID)
			if err != nil {
				return nil, ticketProblem(err)
			}
			p, err := d.Progress(ctx, i.ID)
			return Reply(p), err
		})
}

func (s *Server) dutySwapRoutes() {
	d, tags := s.deps.Duty, []string{"duty"}
	Register(s, huma.Operation{OperationID: "list-duty-swaps", Method: http.MethodGet, Path: "/duty/swaps", Tags: tags,
		Summary: "The latest swaps of my teams, and my own"}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Team string `query:"team" maxLength:"40"`
		}) (*Body[Page[duty.Swap]], error) {
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			list, err := d.Swaps(ctx, by, in.Team)
			return Reply(PageOf(list, len(list), "")), err
		})
	Register(s, huma.Operation{OperationID: "propose-duty-swap", Method: http.MethodPost, Path: "/duty/swaps", Tags: tags,
		Summary: "Ask somebody to take over my duty", DefaultStatus: http.StatusCreated, Errors: []int{404, 409, 422}}, identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			Body struct {
				Team  string      `json:"team" maxLength:"40"`
				Taker string      `json:"taker" minLength:"1" maxLength:"64"`
				Give  PeriodBody  `json:"give"`
				Back  *PeriodBody `json:"back,omitempty" doc:"What I do for him in return"`
				Note  string      `json:"note,omitempty" maxLength:"1000"`
			}
		}) (*Body[duty.Swap], error) {
			AuditObject(ctx, "duty-team:"+in.Body.Team, "", "swap with "+clip(in.Body.Taker, 64))
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			w := duty.Swap{Team: in.Body.Team, Taker: in.Body.Taker, Give: in.Body.Give.period(), Note: in.Body.Note}
			if in.Body.Back != nil {
				back := in.Body.Back.period()
				w.Back = &back
			}
			made, err := d.Propose(ctx, by, w)
			if err != nil {
				return nil, dutyProblem(err)
			}
			AuditObject(ctx, "duty-swap:"+made.ID, "", made.Giver+" → "+made.Taker)
			return Reply(made), nil
		})
	Register(s, huma.Operation{OperationID: "act-on-duty-swap", Method: http.MethodPost, Path: "/duty/swaps/{id}/{action}", Tags: tags,
		Summary:     "Accept, decline, withdraw, undo or keep a swap of mine",
		Description: "The taker accepts or declines, the giver withdraws. Undoing takes both: the first one's undo asks for it, the other one's does it; keep takes that back.", Errors: []int{404, 409, 422}}, identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			IDInput
			Action string `path:"action" enum:"accept,decline,withdraw,undo,keep"`
		}) (*Body[duty.Swap], error) {
			AuditObject(ctx, "duty-swap:"+in.ID, "", in.Action)
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			w, err := d.Swap(ctx, by, in.ID, in.Action)
			return Reply(w), dutyProblem(err)
		})
}

// Incidents is what the routes of duty and service levels ask of ticketing.
type Incidents interface {
	duty.Book
	Measures(ctx context.Context, within reach.Reach, team string, from, to time.Time) ([]ticketing.Measure, error)
	Outages(ctx context.Context, within reach.Reach, from, to time.Time) ([]ticketing.Outage, error)
	PauseIncident(ctx context.Context, by ticketing.Actor, id, reason, comment string) (ticketing.Incident, error)
	ResumeIncident(ctx context.Context, by ticketing.Actor, id, comment string) (ticketing.Incident, error)
	ConfirmFault(ctx context.Context, by ticketing.Actor, id, kind, comment string) (ticketing.Incident, error)
	ProposeSolution(ctx context.Context, by ticketing.Actor, id, text string) (ticketing.Incident, error)
	Incident(ctx context.Context, within reach.Reach, id string) (ticketing.IncidentDetail, error)
}
