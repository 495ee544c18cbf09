package api

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"

	"icewatch/soc/identity"
	"icewatch/ticketing"
	"icewatch/ticketing/duty"
	"icewatch/ticketing/sla"
	"icewatch/ticketing/workdays"
)

// myDuty is what concerns the caller now.
type myDuty struct {
	On        []myShift          `json:"on" nullable:"false" doc:"Where I am on duty now"`
	Next      []myShift          `json:"next" nullable:"false" doc:"My shifts of the next 31 days, at most 20"`
	Mine      []ticketing.Brief  `json:"mine" nullable:"false" doc:"Open incidents of my teams that are mine"`
	Others    []ticketing.Brief  `json:"others" nullable:"false" doc:"The other open incidents of my teams"`
	Notes     []duty.Note        `json:"notes" nullable:"false" doc:"Open notes of my teams"`
	Swaps     []duty.Swap        `json:"swaps" nullable:"false" doc:"That wait for me"`
	Handovers []duty.Handover    `json:"handovers" nullable:"false" doc:"That wait for my signature"`
	Teams     []teamView         `json:"teams" nullable:"false" doc:"In which I stand"`
	People    map[string]nameRef `json:"people" doc:"By team who is on its first line now"`
}

type nameRef struct {
	Name   duty.Text `json:"name"`
	People []string  `json:"people" nullable:"false"`
}

type myShift struct {
	Team     duty.TeamRef `json:"team"`
	Line     string       `json:"line"`
	LineName duty.Text    `json:"line_name"`
	From     time.Time    `json:"from"`
	To       time.Time    `json:"to"`
	With     []string     `json:"with" nullable:"false" doc:"Who else is on duty there"`
}

// dutyBookRoutes registers what people on duty keep, and what is counted of it.
func (s *Server) dutyBookRoutes() {
	d, tags := s.deps.Duty, []string{"duty"}
	Register(s, huma.Operation{OperationID: "get-my-duty", Method: http.MethodGet, Path: "/duty/me", Tags: tags,
		Summary: "My shift: what is mine now, what waits for me, when I am on duty next"}, identity.ScopeRead,
		func(ctx context.Context, _ *Empty) (*Body[myDuty], error) {
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			out, err := s.myDuty(ctx, by)
			return Reply(out), err
		})
	type noteInput struct {
		Body struct {
			Team string `json:"team" maxLength:"40"`
			Text string `json:"text" minLength:"1" maxLength:"10000"`
		}
	}
	Register(s, huma.Operation{OperationID: "list-duty-notes", Method: http.MethodGet, Path: "/duty/notes", Tags: tags,
		Summary: "Open notes of a team, and those closed in the last week", Errors: []int{403, 404}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Team string `query:"team" required:"true" maxLength:"40"`
		}) (*Body[Page[duty.Note]], error) {
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			list, err := d.Notes(ctx, by, in.Team, time.Now().AddDate(0, 0, -7))
			return Reply(PageOf(list, len(list), "")), dutyProblem(err)
		})
	Register(s, huma.Operation{OperationID: "create-duty-note", Method: http.MethodPost, Path: "/duty/notes", Tags: tags,
		Summary: "Leave a note to whoever comes next", DefaultStatus: http.StatusCreated, Errors: []int{404, 422}}, identity.ScopeRespond,
		func(ctx context.Context, in *noteInput) (*Body[duty.Note], error) {
			AuditObject(ctx, "duty-team:"+in.Body.Team, "", "note")
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			n, err := d.AddNote(ctx, by, in.Body.Team, in.Body.Text)
			return Reply(n), dutyProblem(err)
		})
	Register(s, huma.Operation{OperationID: "close-duty-note", Method: http.MethodPost, Path: "/duty/notes/{id}/close", Tags: tags,
		Summary: "Say that a note is done", Errors: []int{404, 409}}, identity.ScopeRespond,
		func(ctx context.Context, in *IDInput) (*Body[duty.Note], error) {
			AuditObject(ctx, "duty-note:"+in.ID, "", "")
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			n, err := d.CloseNote(ctx, by, in.ID)
			return Reply(n), dutyProblem(err)
		})
	Register(s, huma.Operation{OperationID: "draft-handover", Method: http.MethodGet, Path: "/duty/handovers/draft", Tags: tags,
		Summary: "What I have to hand over: my shift, what happened in it, who has what", Errors: []int{404, 409}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Team string `query:"team" required:"true" maxLength:"40"`
			Line string `query:"line" required:"true" maxLength:"32"`
		}) (*Body[duty.Handover], error) {
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			h, err := d.Draft(ctx, by, s.deps.Incidents, in.Team, in.Line)
			return Reply(h), dutyProblem(err)
		})
	Register(s, huma.Operation{OperationID: "list-handovers", Method: http.MethodGet, Path: "/duty/handovers", Tags: tags,
		Summary: "The latest hand-overs of a team, or my own", Errors: []int{403, 404}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Team string `query:"team" maxLength:"40"`
		}) (*Body[Page[duty.Handover]], error) {
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			list, err := d.Handovers(ctx, by, in.Team)
			return Reply(PageOf(list, len(list), "")), dutyProblem(err)
		})
	Register(s, huma.Operation{OperationID: "sign-handover", Method: http.MethodPost, Path: "/duty/handovers", Tags: tags,
		Summary: "Hand my shift over", DefaultStatus: http.StatusCreated, Errors: []int{404, 409, 422}}, identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			Body struct {
				Team     string `json:"team" maxLength:"40"`
				Line     string `json:"line" maxLength:"32"`
				Incoming string `json:"incoming" minLength:"1" maxLength:"64" doc:"Who takes over"`
				Text     string `json:"text,omitempty" maxLength:"10000"`
			}
		}) (*Body[duty.Handover], error) {
			AuditObject(ctx, "duty-team:"+in.Body.Team, "", "hand-over to "+in.Body.Incoming)
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			h, err := d.Sign(ctx, by, s.deps.Incidents, in.Body.Team, in.Body.Line, in.Body.Incoming, in.Body.Text)
			if err != nil {
				return nil, dutyProblem(err)
			}
			AuditObject(ctx, "duty-handover:"+h.ID, "", h.Outgoing+" → "+h.Incoming+" sha256:"+h.Digest)
			return Reply(h), nil
		})
	Register(s, huma.Operation{OperationID: "accept-handover", Method: http.MethodPost, Path: "/duty/handovers/{id}/accept", Tags: tags,
		Summary: "Sign a hand-over to me", Errors: []int{403, 404, 409}}, identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			IDInput
			Body *struct {
				Remark string `json:"remark,omitempty" maxLength:"10000"`
			}
		}) (*Body[duty.Handover], error) {
			AuditObject(ctx, "duty-handover:"+in.ID, "", "")
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			remark := ""
			if in.Body != nil {
				remark = in.Body.Remark
			}
			h, err := d.Accept(ctx, by, in.ID, remark)
			return Reply(h), dutyProblem(err)
		})
	s.dutyFileRoutes()
	s.dutyStatisticsRoutes()
}

func (s *Server) myDuty(ctx context.Context, by ticketing.Actor) (out myDuty, err error) {
	d, now := s.deps.Duty, time.Now()
	out = myDuty{On: []myShift{}, Next: []myShift{}, Mine: []ticketing.Brief{}, Others: []ticketing.Brief{}, Notes: []duty.Note{}, Swaps: []duty.Swap{},
		Handovers: []duty.Handover{}, Teams: []teamView{}, People: map[string]nameRef{}}
	roster := d.Roster()
	for _, t := range d.Teams(by) {
		if len(t.Lines) > 0 {
			out.People[t.ID] = nameRef{t.Name, roster.On(&t, &t.Lines[0], now).People}
		}
		if !t.Has(by.Name) {
			continue
		}
		out.Teams = append(out.Teams, teamView{Team: t, Editable: t.Covered(by.Reach), Mine: true})
		ref := duty.TeamRef{ID: t.ID, Name: t.Name, Head: t.Head}
		for i := range t.Lines {
			l := &t.Lines[i]
			for _, st := range roster.Stretches(&t, l, now.AddDate(0, 0, -8), now.AddDate(0, 0, 31)) {
				if !slices.Contains(st.People, by.Name) || !st.To.After(now) {
					continue
				}
				shift := myShift{Team: ref, Line: l.Key, LineName: l.Name, From: st.From, To: st.To, With: slices.DeleteFunc(slices.Clone(st.People), func(p string) bool { return p == by.Name })}
				if st.From.After(now) {
					out.Next = append(out.Next, shift)
				} else {
					out.On = append(out.On, shift)
				}
			}
		}
		_, _, open, err := s.deps.Incidents.TeamIncidents(ctx, by.Reach, t.ID, now)
		if err != nil {
			return out, err
		}
		for _, b := range open {
			if b.Assignee == by.Name {
				out.Mine = append(out.Mine, b)
			} else {
				out.Others = append(out.Others, b)
			}
		}
		notes, err := d.Notes(ctx, by, t.ID, now)
		if err != nil {
			return out, dutyProblem(err)
		}
		out.Notes = append(out.Notes, notes...)
	}
	slices.SortFunc(out.Next, func(a, b myShift) int { return a.From.Compare(b.From) })
	out.Next = out.Next[:min(len(out.Next), 20)]
	swaps, err := d.Swaps(ctx, by, "")
	if err != nil {
		return out, err
	}
	for _, w := range swaps {
		asks := w.State == duty.Proposed && w.Taker == by.Name || w.State == duty.UndoProposed && w.UndoBy != by.Name
		if asks && (w.Taker == by.Name || w.Giver == by.Name) {
			out.Swaps = append(out.Swaps, w)
		}
	}
	handovers, err := d.Handovers(ctx, by, "")
	if err != nil {
		return out, dutyProblem(err)
	}
	for _, h := range handovers {
		if h.AcceptedAt == nil && h.Incoming == by.Name {
			out.Handovers = append(out.Handovers, h)
		}
	}
	return out, nil
}

// maxCalendarFile is the largest calendar file that is taken, in bytes.
const maxCalendarFile = 8 << 20

func (s *Server) dutyFileRoutes() {
	d, tags := s.deps.Duty, []string{"duty"}
	Register(s, huma.Operation{OperationID: "export-duty-calendar", Method: http.MethodGet, Path: "/duty/teams/{id}/calendar.ics", Tags: tags,
		Summary: "A team's roster as iCalendar", Responses: fileResponses(), Errors: []int{400, 404}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			IDInput
			RangeInput
		}) (*huma.StreamResponse, error) {
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
			roster, lines := d.Roster(), map[string][]duty.Stretch{}
			for i := range t.Lines {
				lines[t.Lines[i].Key] = roster.Stretches(&t, &t.Lines[i], from, to)
			}
			var b bytes.Buffer
			if err := duty.WriteICS(&b, &t, lines, time.Now()); err != nil {
				return nil, err
			}
			return &huma.StreamResponse{Body: func(hc huma.Context) {
				hc.SetHeader("Content-Type", "text/calendar; charset=utf-8")
				hc.SetHeader("Content-Disposition", fmt.Sprintf(exportPattern, "duty", time.Now().UTC().Format("20060102T150405Z"), "ics"))
				humafiber.Unwrap(hc).Response().SetBodyRaw(b.Bytes())
			}}, nil
		})
	Register(s, huma.Operation{OperationID: "import-duty-calendar", Method: http.MethodPost, Path: "/duty/teams/{id}/lines/{line}/calendar", Tags: tags,
		Summary:      "Make an iCalendar file a layer of a line, above its others",
		Description:  "The summary of each event names the users on duty. A layer that came from a file of the same name before is replaced.",
		MaxBodyBytes: maxCalendarFile, SkipValidateBody: true, Errors: []int{403, 404, 409, 413, 422}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			IDInput
			Line    string `path:"line" maxLength:"32"`
			Name    string `query:"name" maxLength:"100" default:"ics" doc:"Of the layer"`
			DryRun  bool   `query:"dry_run" doc:"Check and count, change nothing"`
			RawBody []byte `contentType:"text/calendar"`
		}) (*Body[calendarImport], error) {
			AuditObject(ctx, "duty-team:"+in.ID, "", "import "+in.Line)
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			t, err := d.Team(by, in.ID)
			if err != nil {
				return nil, dutyProblem(err)
			}
			out, err := s.takeCalendar(ctx, by, t, in.Line, in.Name, in.RawBody, in.DryRun)
			return Reply(out), err
		})
}

type calendarImport struct {
	Shifts  int       `json:"shifts"`
	From    time.Time `json:"from"`
	To      time.Time `json:"to"`
	Unknown []string  `json:"unknown" nullable:"false" doc:"People whom no user's name matches: nothing is taken while there are any"`
}

func (s *Server) takeCalendar(ctx context.Context, by ticketing.Actor, t duty.Team, line, name string, file []byte, dry bool) (out calendarImport, err error) {
	out.Unknown = []string{}
	zone, err := workdays.Zone(t.Zone)
	if err != nil {
		return out, err
	}
	shifts, err := duty.ReadICS(bytes.NewReader(file), zone)
	if err != nil {
		return out, Problem(http.StatusUnprocessableEntity, "%s", err)
	}
	if len(shifts) == 0 {
		return out, Problem(http.StatusUnprocessableEntity, "the file has no events")
	}
	out.Shifts, out.From, out.To = len(shifts), shifts[0].From, shifts[0].To
	known := map[string]bool{}
	for _, sh := range shifts {
		if sh.From.Before(out.From) {
			out.From = sh.From
		}
		if sh.To.After(out.To) {
			out.To = sh.To
		}
		for _, p := range sh.People {
			if _, asked := known[p]; !asked {
				_, err := s.deps.Identity.UserByName(ctx, p)
				if known[p] = err == nil; err != nil {
					out.Unknown = append(out.Unknown, p)
				}
			}
		}
	}
	slices.Sort(out.Unknown)
	if dry {
		return out, nil
	}
	if len(out.Unknown) > 0 {
		return out, Problem(http.StatusUnprocessableEntity, "there are no users %s", clip(strings.Join(out.Unknown, ", "), 1000))
	}
	// A copy: the snapshot in force is shared.
	c := t.Content
	c.Lines = slices.Clone(c.Lines)
	l, ok := c.Line(line)
	if !ok {
		return out, NotFound("line", clip(line, 32))
	}
	layer := duty.Layer{Name: name, Shifts: shifts}
	l.Layers = append(slices.DeleteFunc(slices.Clone(l.Layers), func(o duty.Layer) bool { return o.Name == name && len(o.Shifts) > 0 }), layer)
	_, err = s.deps.Duty.Put(ctx, by, t.ID, t.Revision, c)
	return out, dutyProblem(err)
}

// dutyStatistics is what is counted of duty over a time.
type dutyStatistics struct {
	From   time.Time    `json:"from"`
	To     time.Time    `json:"to"`
	By     string       `json:"by"`
	Lines  []sla.Line   `json:"lines" nullable:"false" doc:"The last one, whose group is empty, is the sum"`
	Shares []duty.Share `json:"shares" nullable:"false" doc:"Who was on duty how much"`
}

// StatisticsInput says over what is counted.
type StatisticsInput struct {
	RangeInput
	By     string `query:"by" enum:"person,team,system,tenant,unit,priority,month" default:"team"`
	Team   string `query:"team" maxLength:"40" doc:"Of this team alone"`
	Tenant string `query:"tenant" maxLength:"4096" doc:"Tenants, separated by commas; all within reach by default"`
}

func (s *Server) report(ctx context.Context, in StatisticsInput) (from, to time.Time, lines []sla.Line, err error) {
	within, err := Reach(ctx, in.Tenant)
	if err != nil {
		return from, to, nil, err
	}
	now := time.Now()
	if from, to, err = in.times(now); err != nil {
		return from, to, nil, err
	}
	list, err := s.deps.Incidents.Measures(ctx, within, in.Team, from, to)
	if err != nil {
		return from, to, nil, err
	}
	zone, err := workdays.Zone("")
	if err != nil {
		return from, to, nil, err
	}
	// Of an incident whose row names no organisation its tenant's counts.
	for i := range list {
		if list[i].Unit == "" && s.deps.Tenants != nil {
			if t, ok := s.deps.Tenants.Get(list[i].Tenant); ok {
				list[i].Unit = t.Unit
			}
		}
	}
	return from, to, sla.Report(duty.Cases(list, in.By, zone), now), nil
}

func (s *Server) statistics(ctx context.Context, in StatisticsInput) (out dutyStatistics, err error) {
	by, err := acting(ctx)
	if err != nil {
		return out, err
	}
	out.By = in.By
	if out.From, out.To, out.Lines, err = s.report(ctx, in); err != nil {
		return out, err
	}
	teams := slices.DeleteFunc(s.deps.Duty.Teams(by), func(t duty.Team) bool { return in.Team != "" && t.ID != in.Team })
	out.Shares = s.deps.Duty.Roster().Shares(teams, out.From, out.To)
	return out, nil
}

func (s *Server) dutyStatisticsRoutes() {
	tags := []string{"duty"}
	Register(s, huma.Operation{OperationID: "get-duty-statistics", Method: http.MethodGet, Path: "/duty/statistics", Tags: tags,
		Summary: "How soon incidents were acknowledged and resolved (MTTA, MTTR), and who was on duty how much", Errors: []int{400, 403}}, identity.ScopeRead,
		func(ctx context.Context, in *StatisticsInput) (*Body[dutyStatistics], error) {
			out, err := s.statistics(ctx, *in)
			return Reply(out), err
		})
	Register(s, huma.Operation{OperationID: "export-duty-statistics", Method: http.MethodGet, Path: "/duty/statistics/export", Tags: tags,
		Summary: "Who was on duty how much, as a table", Responses: fileResponses(), Errors: []int{400, 403}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			StatisticsInput
			TableInput
		}) (*huma.StreamResponse, error) {
			out, err := s.statistics(ctx, in.StatisticsInput)
			if err != nil {
				return nil, err
			}
			rows := [][]any{}
			for _, x := range out.Shares {
				team := x.Team
				if t, ok := s.deps.Duty.Roster().Team(x.Team); ok {
					team = t.Name.ZH
				}
				rows = append(rows, []any{x.Person, team, x.Shifts, x.Hours, x.Nights, x.RestDay})
			}
			return tableAnswer("duty", in.Format, []string{"值班人 person", "班组 team", "班次 shifts", "小时 hours", "夜间小时 night_hours", "休息日小时 rest_day_hours"}, rows)
		})
}
