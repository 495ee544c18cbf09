package api

import (
	"bytes"
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/soc/identity"
	"icewatch/ticketing"
	"icewatch/ticketing/sla"
	"icewatch/ticketing/workdays"
)

// ServiceLevels is what the API asks of what is agreed on service levels.
type ServiceLevels interface {
	Agreement() *sla.Agreement
	Holidays() (published, own workdays.Book)
	SetHolidays(ctx context.Context, own workdays.Book, by string) error
}

// slaReport is a compliance report.
type slaReport struct {
	From  time.Time  `json:"from"`
	To    time.Time  `json:"to"`
	By    string     `json:"by"`
	Lines []sla.Line `json:"lines" nullable:"false" doc:"The last one, whose group is empty, is the sum"`
}

// slaTrial is what a promise would mean for an incident of a time.
type slaTrial struct {
	Priority   string         `json:"priority"`
	AckWarn    ticketing.Time `json:"ack_warn" format:"date-time"`
	AckDue     ticketing.Time `json:"ack_due" format:"date-time"`
	Warn       ticketing.Time `json:"resolve_warn" format:"date-time"`
	ResolveDue ticketing.Time `json:"resolve_due" format:"date-time"`
}

type holidayView struct {
	Published workdays.Book `json:"published" doc:"Ships with the suite"`
	Own       workdays.Book `json:"own" doc:"Uploaded: a year here replaces the published one"`
}

// maxHolidayFile is the largest file of holidays that is taken, in bytes.
const maxHolidayFile = 256 << 10

// slaRoutes registers service levels: the clocks of incidents, what is agreed,
// the report, and the holidays by which all of it counts.
func (s *Server) slaRoutes() {
	if s.deps.ServiceLevels == nil {
		return
	}
	s.clockRoutes()
	s.slaReportRoutes()
	s.availabilityRoutes()
	l, tags := s.deps.ServiceLevels, []string{"sla"}
	Register(s, huma.Operation{OperationID: "get-sla-terms", Method: http.MethodGet, Path: "/sla/terms", Tags: tags,
		Summary: "What is agreed on service levels: promises, calendars, reasons for pauses"}, identity.ScopeRead,
		func(context.Context, *Empty) (*Body[sla.Terms], error) { return Reply(l.Agreement().Terms()), nil })
	Register(s, huma.Operation{OperationID: "preview-sla-terms", Method: http.MethodPost, Path: "/sla/preview", Tags: tags,
		Summary: "When an incident that opens at a time would come due by terms, without keeping them", Errors: []int{422}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Body struct {
				Terms  sla.Terms `json:"terms"`
				Opened time.Time `json:"opened"`
			}
		}) (*Body[[]slaTrial], error) {
			stateOf(ctx).skipAudit = true // it changes nothing
			published, own := l.Holidays()
			a, err := in.Body.Terms.Compile(published.With(own).Compile())
			if err != nil {
				return nil, Problem(http.StatusUnprocessableEntity, "%s", err)
			}
			out := []slaTrial{}
			for _, p := range in.Body.Terms.Promises {
				c := a.Start(p.Priority, in.Body.Opened)
				out = append(out, slaTrial{p.Priority, ticketing.Time{Time: c.AckWarn}, ticketing.Time{Time: c.AckDue}, ticketing.Time{Time: c.ResolveWarn}, ticketing.Time{Time: c.ResolveDue}})
			}
			return Reply(out), nil
		})
	Register(s, huma.Operation{OperationID: "list-holidays", Method: http.MethodGet, Path: "/duty/holidays", Tags: tags,
		Summary: "Holidays and the workdays that make up for them, by year"}, identity.ScopeRead,
		func(context.Context, *Empty) (*Body[holidayView], error) {
			published, own := l.Holidays()
			return Reply(holidayView{published, own}), nil
		})
	Register(s, huma.Operation{OperationID: "upload-holidays", Method: http.MethodPut, Path: "/duty/holidays", Tags: tags,
		Summary:      "Put the holidays of further years in force, from a YAML or JSON file",
		Description:  "The file replaces what was uploaded before; {} takes it all back. A year in it replaces the published one.",
		MaxBodyBytes: maxHolidayFile, SkipValidateBody: true, Errors: []int{403, 413, 422}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			RawBody []byte `contentType:"application/yaml"`
		}) (*Body[holidayView], error) {
			AuditObject(ctx, "holidays", "", "")
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			b, err := workdays.Parse(bytes.NewReader(in.RawBody))
			if err != nil {
				return nil, Problem(http.StatusUnprocessableEntity, "%s", err)
			}
			published, before := l.Holidays()
			if err := l.SetHolidays(ctx, b, Actor(ctx)); err != nil {
				return nil, err
			}
			AuditChange(ctx, before, b)
			return Reply(holidayView{published, b}), nil
		})
}

func (s *Server) clockRoutes() {
	type reasonBody struct {
		Reason  string `json:"reason" maxLength:"32" doc:"Key of one of the terms' reasons"`
		Comment string `json:"comment,omitempty" maxLength:"10000"`
	}
	type faultBody struct {
		Kind    string `json:"kind" enum:"online,offline"`
		Comment string `json:"comment,omitempty" maxLength:"10000"`
	}
	op := func(id, action, summary string) huma.Operation {
		return huma.Operation{OperationID: id, Method: http.MethodPost, Path: "/incidents/{id}/" + action, Tags: []string{"incidents"}, Summary: summary, Errors: []int{404, 409, 422}}
	}
	act := func(ctx context.Context, id, detail string, do func(by ticketing.Actor) (ticketing.Incident, error)) (*Body[ticketing.Incident], error) {
		AuditObject(ctx, "incident:"+clip(id, 64), "", detail)
		by, err := acting(ctx)
		if err != nil {
			return nil, err
		}
		i, err := do(by)
		if err != nil {
			return nil, ticketProblem(err)
		}
		AuditObject(ctx, "incident:"+i.ID, i.Tenant, detail)
		return Reply(i), nil
	}
	t := s.deps.Incidents
	Register(s, op("pause-incident", "pause", "Stop the clock of the solution, for one of the reasons agreed"), identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			IDInput
			Body reasonBody
		}) (*Body[ticketing.Incident], error) {
			return act(ctx, in.ID, in.Body.Reason, func(by ticketing.Actor) (ticketing.Incident, error) {
				return t.PauseIncident(ctx, by, in.ID, in.Body.Reason, in.Body.Comment)
			})
		})
	Register(s, op("resume-incident", "resume", "Let the clock of the solution go on"), identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			IDInput
			Body *commentBody
		}) (*Body[ticketing.Incident], error) {
			comment := ""
			if in.Body != nil {
				comment = in.Body.Comment
			}
			return act(ctx, in.ID, "", func(by ticketing.Actor) (ticketing.Incident, error) {
				return t.ResumeIncident(ctx, by, in.ID, comment)
			})
		})
	Register(s, op("confirm-fault", "confirm-fault", "Say that it is a device fault, online or offline: its promises count from now on"), identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			IDInput
			Body faultBody
		}) (*Body[ticketing.Incident], error) {
			return act(ctx, in.ID, in.Body.Kind, func(by ticketing.Actor) (ticketing.Incident, error) {
				return t.ConfirmFault(ctx, by, in.ID, in.Body.Kind, in.Body.Comment)
			})
		})
	Register(s, op("propose-solution", "propose", "Say how a confirmed device fault is to be solved"), identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			IDInput
			Body textBody
		}) (*Body[ticketing.Incident], error) {
			return act(ctx, in.ID, "", func(by ticketing.Actor) (ticketing.Incident, error) {
				return t.ProposeSolution(ctx, by, in.ID, in.Body.Text)
			})
		})
}

func (s *Server) slaReportRoutes() {
	tags := []string{"sla"}
	Register(s, huma.Operation{OperationID: "get-sla-report", Method: http.MethodGet, Path: "/sla/report", Tags: tags,
		Summary: "How far service levels were kept, by organisation, priority, month and others", Errors: []int{400, 403}}, identity.ScopeRead,
		func(ctx context.Context, in *StatisticsInput) (*Body[slaReport], error) {
			from, to, lines, err := s.report(ctx, *in)
			return Reply(slaReport{from, to, in.By, lines}), err
		})
	Register(s, huma.Operation{OperationID: "export-sla-report", Method: http.MethodGet, Path: "/sla/report/export", Tags: tags,
		Summary: "The report as a table", Responses: fileResponses(), Errors: []int{400, 403}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			StatisticsInput
			TableInput
		}) (*huma.StreamResponse, error) {
			_, _, lines, err := s.report(ctx, in.StatisticsInput)
			if err != nil {
				return nil, err
			}
			rows := [][]any{}
			for _, l := range lines {
				group := l.Group
				if group == "" {
					group = "合计 total"
				} else if in.By == "unit" && s.deps.Units != nil {
					if u, ok := s.deps.Units.Tree().Get(group); ok {
						group = u.Name.ZH
					}
				} else if in.By == "team" && s.deps.Duty != nil {
					if t, ok := s.deps.Duty.Roster().Team(group); ok {
						group = t.Name.ZH
					}
				}
				rows = append(rows, []any{group, l.Incidents, l.Running, l.AckMet, l.AckMissed, l.AckShare, l.ResolveMet, l.ResolveMissed, l.ResolveShare, l.ProposeMet, l.ProposeMissed, l.AckMean, l.ResolveMean, l.PausedSeconds})
			}
			return tableAnswer("sla", in.Format, []string{"分组 " + in.By, "事件 incidents", "处置中 running", "响应达标 ack_met", "响应超时 ack_missed", "响应达标率% ack_share",
				"解决达标 resolve_met", "解决超时 resolve_missed", "解决达标率% resolve_share", "方案达标 propose_met", "方案超时 propose_missed", "平均响应秒 mtta_seconds", "平均解决秒 mttr_seconds", "暂停秒 paused_seconds"}, rows)
		})
}
