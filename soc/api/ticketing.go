package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/cmdb"
	"icewatch/soc/identity"
	"icewatch/soc/reach"
	"icewatch/ticketing"
	"icewatch/ticketing/outbox"
	"icewatch/ticketing/transition"
)

// NewTicketing makes the routes for alerts, incidents, receivers and
// notifications, and ticketing's part of the overview.
func NewTicketing(svc *ticketing.Service) Ticketing { return &tickets{svc: svc} }

type tickets struct{ svc *ticketing.Service }

// Overview implements Ticketing.
func (t *tickets) Overview(ctx context.Context, within reach.Reach, username string) (TicketingOverview, error) {
	in, err := t.svc.Overview(ctx, within, username)
	if err != nil {
		return TicketingOverview{}, err
	}
	var out TicketingOverview
	out.Me.IncidentsOpen, out.Me.IncidentsMine, out.Me.IncidentsBreaching = in.IncidentsOpen, in.IncidentsMine, in.IncidentsBreaching
	out.Alerts.Open, out.Alerts.Unacknowledged, out.Alerts.BySeverity = in.AlertsOpen, in.Unacknowledged, in.BySeverity
	for _, i := range in.Incidents {
		out.Incidents = append(out.Incidents, i)
	}
	for _, a := range in.LatestAlerts {
		out.LatestAlerts = append(out.LatestAlerts, a)
	}
	return out, nil
}

// Routes implements Ticketing.
func (t *tickets) Routes(s *Server) {
	t.bulkRoutes(s) // before alerts by their ids
	t.mergeRuleRoutes(s)
	t.generationRoutes(s)
	t.eventLevelRoutes(s)
	t.suppressionRoutes(s)
	if s.deps.Rulebook != nil {
		s.deps.Rulebook.Beside("suppressions", proposedSuppressions{t.svc})
	}
	t.scenarioRoutes(s)
	t.alertRoutes(s)
	t.attackRoutes(s)
	t.incidentRoutes(s)
	t.threatRoutes(s)
	t.viewRoutes(s)
	t.receiverRoutes(s)
	t.silenceRoutes(s)
	t.inhibitionRoutes(s)
	t.graphRoutes(s)
}

// ticketProblem says ticketing's errors as problems.
func ticketProblem(err error) error {
	var conflict *ticketing.Conflict
	var refused *transition.Refused
	switch {
	case err == nil:
		return nil
	case errors.As(err, &conflict):
		p := &huma.ErrorModel{Status: http.StatusConflict, Title: http.StatusText(http.StatusConflict), Detail: conflict.Reason}
		state := Facts{"id": conflict.Object, "status": conflict.Status}
		if conflict.By != "" {
			state["by"], state["at"] = conflict.By, conflict.At
		}
		p.Errors = []*huma.ErrorDetail{{Location: "status", Message: "the state does not allow it", Value: state}}
		return p
	case errors.As(err, &refused):
		return Problem(http.StatusForbidden, "%s", refused.Error())
	case errors.Is(err, ticketing.ErrNotFound):
		return Problem(http.StatusNotFound, "%s", plain(err, ticketing.ErrNotFound, "there is no such alert or incident, or it is not within your reach"))
	case errors.Is(err, ticketing.ErrInvalid):
		return Problem(http.StatusUnprocessableEntity, "%s", plain(err, ticketing.ErrInvalid, ""))
	case errors.Is(err, outbox.ErrInvalid):
		return Problem(http.StatusUnprocessableEntity, "%s", plain(err, outbox.ErrInvalid, ""))
	case errors.Is(err, outbox.ErrNotFound):
		return Problem(http.StatusNotFound, "%s", err.Error())
	case errors.Is(err, outbox.ErrExists), errors.Is(err, outbox.ErrFromConfig):
		return Problem(http.StatusConflict, "%s", err.Error())
	default:
		return err
	}
}

// plain returns what an error says beyond its kind, or instead.
func plain(err, kind error, instead string) string {
	if instead != "" {
		return instead
	}
	text := err.Error()
	if i := strings.Index(text, kind.Error()+": "); i >= 0 {
		return text[i+len(kind.Error())+2:]
	}
	return text
}

// acting returns who acts, and on whose things he may.
func acting(ctx context.Context) (ticketing.Actor, error) {
	within, err := Reach(ctx, "")
	return ticketing.Actor{Name: Actor(ctx), Reach: within}, err
}

// assigneeIn reads an assignee given as a filter; "me" is the caller.
func assigneeIn(ctx context.Context, name string) string {
	if name == "me" {
		return PrincipalFrom(ctx).Username
	}
	return name
}

// TicketFilter is the part of the input that alerts and incidents share.
type TicketFilter struct {
	Status   string `query:"status" maxLength:"200" doc:"open, acknowledged, closed; several with commas"`
	Severity string `query:"severity" maxLength:"200" doc:"critical, high, medium, low, informational; several with commas"`
	Priority string `query:"priority" maxLength:"200" doc:"P1 to P4; several with commas"`
	Tenant   string `query:"tenant" maxLength:"4096" doc:"Tenants, separated by commas; all within reach by default"`
	CI       string `query:"ci" maxLength:"200" doc:"Id of a configuration item"`
	System   string `query:"system" maxLength:"200" doc:"Id of a business system"`
	Assignee string `query:"assignee" maxLength:"200" doc:"A user's name, or me"`
	Q        string `query:"q" maxLength:"1000" doc:"Words that must all occur"`
	Key      bool   `query:"key" doc:"Those alone that are about key assets"`
	Data     string `query:"data_level" maxLength:"20" doc:"Security levels of the data that they are about, 1 to 5; 0: none is known; several with commas"`
	Since    string `query:"since" maxLength:"64" doc:"Last seen since: a duration before now like 24h or 7d, or a time"`
}

// dataLevels are the levels that Data names.
func (f TicketFilter) dataLevels() (out []int, err error) {
	for _, w := range words(f.Data) {
		n, err := strconv.Atoi(w)
		if err != nil || n < 0 || n > cmdb.MaxDataLevel {
			return nil, Problem(http.StatusBadRequest, "data_level: %q: want 0 to %d", clip(w, 20), cmdb.MaxDataLevel)
		}
		out = append(out, n)
	}
	return out, nil
}

func (f TicketFilter) since(now time.Time) (time.Time, error) {
	if f.Since == "" {
		return time.Time{}, nil
	}
	t, err := ParseTime(f.Since, now)
	if err != nil {
		return t, Problem(http.StatusBadRequest, "since: %s", err)
	}
	return t, nil
}

type commentBody struct {
	Comment string `json:"comment,omitempty" maxLength:"10000"`
}

type assignBody struct {
	Assignee string `json:"assignee" doc:"A user's name; empty takes the assignment back" maxLength:"200"`
}

type textBody struct {
	Text string `json:"text" minLength:"1" maxLength:"10000"`
}

// CloseBody is how a thing is closed.
type CloseBody struct {
	Resolution string `json:"resolution" enum:"true_positive,false_positive,benign,test,duplicate"`
	Comment    string `json:"comment,omitempty" maxLength:"10000"`
}

func (b CloseBody) how() ticketing.Close {
	return ticketing.Close{Resolution: b.Resolution, Comment: b.Comment}
}

type closeIncidentBody struct {
	CloseBody
	CloseAlerts *bool `json:"close_alerts,omitempty" doc:"Close the incident's alerts with it, with the same resolution; true by default"`
}

func (b closeIncidentBody) how() ticketing.Close {
	c := b.CloseBody.how()
	c.KeepAlerts = b.CloseAlerts != nil && !*b.CloseAlerts
	return c
}

// IDInput is the input of an operation on one thing.
type IDInput struct {
	ID string `path:"id" maxLength:"64"`
}

type listAlertsInput struct {
	AlertFilter
	PageInput
	Sort string `query:"sort" maxLength:"64" doc:"last_seen, first_seen, created_at, severity, priority, verdict, count or focus (risks of focus first, then last seen), with - before it for descending; -last_seen by default"`
}

type markedAlerts struct {
	Marked int `json:"marked" doc:"Alerts within reach"`
}

type batchFailure struct {
	ID     string `json:"id"`
	Status int    `json:"status" doc:"As the single action would have answered"`
	Detail string `json:"detail"`
}

// failureOf says why one thing of a batch was not done, as the single action
// would have said it.
func failureOf(id string, problem error) batchFailure {
	f := batchFailure{ID: id, Status: http.StatusInternalServerError, Detail: "something went wrong on the server"}
	var p *huma.ErrorModel
	if errors.As(problem, &p) {
		f.Status, f.Detail = p.Status, p.Detail
	}
	return f
}

type batchResult struct {
	Items  []ticketing.Alert `json:"items" nullable:"false" doc:"The alerts that were changed"`
	Failed []batchFailure    `json:"failed" nullable:"false"`
}

func (t *tickets) alertRoutes(s *Server) {
	Register(s, huma.Operation{OperationID: "list-alerts", Method: http.MethodGet, Path: "/alerts", Tags: []string{"alerts"},
		Summary: "Alerts"}, identity.ScopeRead,
		func(ctx context.Context, in *listAlertsInput) (*Body[Page[ticketing.Alert]], error) {
			query, err := t.query(ctx, s, in.AlertFilter)
			if err != nil {
				return nil, err
			}
			query.Page = ticketing.Page{Sort: in.Sort, Limit: in.Limit, Cursor: in.Cursor}
			items, total, next, err := t.svc.Alerts(ctx, query)
			if err == nil {
				err = t.svc.MarkUnread(ctx, Actor(ctx), items)
			}
			if err != nil {
				return nil, ticketProblem(err)
			}
			return Reply(PageOf(items, total, next)), nil
		})

	Register(s, huma.Operation{OperationID: "mark-alerts", Method: http.MethodPost, Path: "/alerts/read", Tags: []string{"alerts"},
		Summary: "Note that the caller has looked at alerts, or have them as new to him again", Errors: []int{422}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Body struct {
				IDs    []string `json:"ids" minItems:"1" maxItems:"1000" nullable:"false"`
				Unread bool     `json:"unread,omitempty" doc:"They are to be as new again"`
			}
		}) (*Body[markedAlerts], error) {
			stateOf(ctx).skipAudit = true // it changes nothing but the caller's own view
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			n, err := t.svc.MarkRead(ctx, by, in.Body.IDs, !in.Body.Unread)
			return Reply(markedAlerts{n}), ticketProblem(err)
		})

	Register(s, huma.Operation{OperationID: "get-alert", Method: http.MethodGet, Path: "/alerts/{id}", Tags: []string{"alerts"},
		Summary: "One alert with its latest firings and its timeline", Errors: []int{404}}, identity.ScopeRead,
		func(ctx context.Context, in *IDInput) (*Body[ticketing.AlertDetail], error) {
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			a, err := t.svc.Alert(ctx, by.Reach, in.ID)
			if err != nil {
				return nil, ticketProblem(err)
			}
			return Reply(a), nil
		})

	actRoutes[CloseBody](s, acts[ticketing.Alert]{
		noun: "alert", of: func(a ticketing.Alert) (string, string) { return a.ID, a.Tenant },
		acknowledge: t.svc.AcknowledgeAlert, assign: t.svc.AssignAlert, comment: t.svc.CommentAlert,
		close: t.svc.CloseAlert, closing: "Close an alert",
		reopen: t.svc.ReopenAlert, reopening: "Undo closing or acknowledging",
	})

	Register(s, huma.Operation{OperationID: "batch-alerts", Method: http.MethodPost, Path: "/alerts/batch", Tags: []string{"alerts"},
		Summary: "One action on several alerts; those that do not allow it are named and the rest is done", Errors: []int{422}}, identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			Body struct {
				IDs        []string `json:"ids" minItems:"1" maxItems:"500" nullable:"false"`
				Action     string   `json:"action" enum:"acknowledge,assign,close,reopen,tag,untag"`
				Tag        string   `json:"tag,omitempty" maxLength:"40" doc:"Of tag and untag"`
				Assignee   string   `json:"assignee,omitempty" maxLength:"200" doc:"Of assign"`
				Resolution string   `json:"resolution,omitempty" enum:"true_positive,false_positive,benign,test,duplicate" doc:"Of close"`
				Comment    string   `json:"comment,omitempty" maxLength:"10000" doc:"Of acknowledge and close"`
			}
		}) (*Body[batchResult], error) {
			AuditObject(ctx, "alerts", "", in.Body.Action+" "+strconv.Itoa(len(in.Body.IDs)))
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			done, failed, err := t.svc.BatchAlerts(ctx, by, ticketing.Batch{
				IDs: in.Body.IDs, Action: in.Body.Action, Assignee: in.Body.Assignee, Tag: in.Body.Tag,
				Close: ticketing.Close{Resolution: in.Body.Resolution, Comment: in.Body.Comment}})
			if err != nil {
				return nil, ticketProblem(err)
			}
			out := batchResult{Items: done, Failed: []batchFailure{}}
			if out.Items == nil {
				out.Items = []ticketing.Alert{}
			}
			names := make([]string, 0, len(done))
			for _, a := range done {
				names = append(names, a.ID)
			}
			for _, id := range in.Body.IDs {
				cause, ok := failed[id]
				if !ok {
					continue
				}
				delete(failed, id)
				out.Failed = append(out.Failed, failureOf(id, ticketProblem(cause)))
			}
			detail := in.Body.Action
			if in.Body.Resolution != "" {
				detail += " " + in.Body.Resolution
			}
			AuditObject(ctx, "alerts", "", clip(detail+": "+strings.Join(names, " "), 4096))
			return Reply(out), nil
		})
}

type listIncidentsInput struct {
	TicketFilter
	PageInput
	Verdict  string `query:"verdict" maxLength:"200" doc:"Worst verdict: failed, attempt, success, compromised, none; several with commas"`
	Phase    string `query:"phase" maxLength:"400" doc:"Furthest phase of the kill chain; several with commas"`
	Mine     bool   `query:"mine" doc:"Only those assigned to the caller"`
	Archived string `query:"archived" enum:"only,too" doc:"Archived ones alone, or beside the others; left out they are not listed"`
	Sort     string `query:"sort" maxLength:"64" doc:"opened_at, last_seen, first_seen, severity, priority, due or alert_count, with - before it for descending; -opened_at by default"`
}

func (t *tickets) incidentRoutes(s *Server) {
	Register(s, huma.Operation{OperationID: "list-incidents", Method: http.MethodGet, Path: "/incidents", Tags: []string{"incidents"},
		Summary: "Incidents"}, identity.ScopeRead,
		func(ctx context.Context, in *listIncidentsInput) (*Body[Page[ticketing.Incident]], error) {
			within, err := Reach(ctx, in.Tenant)
			if err != nil {
				return nil, err
			}
			since, err := in.since(time.Now())
			if err != nil {
				return nil, err
			}
			levels, err := in.dataLevels()
			if err != nil {
				return nil, err
			}
			assignee := assigneeIn(ctx, in.Assignee)
			if in.Mine {
				assignee = PrincipalFrom(ctx).Username
			}
			items, total, next, err := t.svc.Incidents(ctx, ticketing.IncidentQuery{
				Reach: within, Statuses: words(in.Status), Severities: words(in.Severity), Priorities: words(in.Priority),
				CI: in.CI, System: in.System, Assignee: assignee, Verdicts: words(in.Verdict), Phases: words(in.Phase), Q: in.Q, Since: since, Archived: in.Archived, KeyAsset: in.Key, DataLevels: levels,
				Page: ticketing.Page{Sort: in.Sort, Limit: in.Limit, Cursor: in.Cursor}})
			if err != nil {
				return nil, ticketProblem(err)
			}
			return Reply(PageOf(items, total, next)), nil
		})

	Register(s, huma.Operation{OperationID: "get-incident", Method: http.MethodGet, Path: "/incidents/{id}", Tags: []string{"incidents"},
		Summary: "One incident with its alerts and its timeline", Errors: []int{404}}, identity.ScopeRead,
		func(ctx context.Context, in *IDInput) (*Body[ticketing.IncidentDetail], error) {
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			i, err := t.svc.Incident(ctx, by.Reach, in.ID)
			if err != nil {
				return nil, ticketProblem(err)
			}
			return Reply(i), nil
		})

	actRoutes[closeIncidentBody](s, acts[ticketing.Incident]{
		noun: "incident", of: func(i ticketing.Incident) (string, string) { return i.ID, i.Tenant },
		acknowledge: t.svc.AcknowledgeIncident, assign: t.svc.AssignIncident, comment: t.svc.CommentIncident,
		close: t.svc.CloseIncident, closing: "Close an incident and, unless told otherwise, its alerts",
		reopen: t.svc.ReopenIncident, reopening: "Undo closing, with the alerts that were closed with it, or acknowledging",
	})
	t.priorityRoutes(s)
	t.regroupRoutes(s)
	t.recordRoutes(s)
}

// priorityRoutes let an analyst set an incident's priority himself, and take
// that back.
func (t *tickets) priorityRoutes(s *Server) {
	reply := func(ctx context.Context, id, detail string, do func(by ticketing.Actor) (ticketing.Incident, error)) (*Body[ticketing.Incident], error) {
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
	Register(s, huma.Operation{OperationID: "override-incident-priority", Method: http.MethodPut, Path: "/incidents/{id}/priority", Tags: []string{"incidents"},
		Summary: "Set an incident's priority, whatever its alerts say; its targets of response follow", Errors: []int{404, 409, 422}}, identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			IDInput
			Body struct {
				Priority string `json:"priority" enum:"P1,P2,P3,P4"`
				Reason   string `json:"reason" minLength:"1" maxLength:"10000" doc:"Kept and shown beside the priority"`
			}
		}) (*Body[ticketing.Incident], error) {
			return reply(ctx, in.ID, "priority: "+in.Body.Priority, func(by ticketing.Actor) (ticketing.Incident, error) {
				return t.svc.OverridePriority(ctx, by, in.ID, in.Body.Priority, in.Body.Reason)
			})
		})
	Register(s, huma.Operation{OperationID: "undo-incident-priority", Method: http.MethodDelete, Path: "/incidents/{id}/priority", Tags: []string{"incidents"},
		Summary: "Give an incident back the priority that follows from its alerts", Errors: []int{404, 409}}, identity.ScopeRespond,
		func(ctx context.Context, in *IDInput) (*Body[ticketing.Incident], error) {
			return reply(ctx, in.ID, "priority: undo", func(by ticketing.Actor) (ticketing.Incident, error) { return t.svc.UndoOverride(ctx, by, in.ID) })
		})
}

// acts is what can be done to an alert or to an incident: the calls, and the
// summaries of those two that do not mean the same for both.
type acts[T any] struct {
	noun                         string
	of                           func(T) (id, tenant string)
	acknowledge, assign, comment func(ctx context.Context, by ticketing.Actor, id, text string) (T, error)
	close                        func(ctx context.Context, by ticketing.Actor, id string, how ticketing.Close) (T, error)
	reopen                       func(ctx context.Context, by ticketing.Actor, id string) (T, error)
	closing, reopening           string
}

// actRoutes makes the routes of acts, so that analysts and scripts find alerts
// and incidents to behave alike. C is the body that closes.
func actRoutes[C interface{ how() ticketing.Close }, T any](s *Server, a acts[T]) {
	act := func(ctx context.Context, id, detail string, do func(by ticketing.Actor) (T, error)) (*Body[T], error) {
		// Known before it is tried, so that the audit log has failures too.
		AuditObject(ctx, a.noun+":"+clip(id, 64), "", detail)
		by, err := acting(ctx)
		if err != nil {
			return nil, err
		}
		out, err := do(by)
		if err != nil {
			return nil, ticketProblem(err)
		}
		id, tenant := a.of(out)
		AuditObject(ctx, a.noun+":"+id, tenant, detail)
		return Reply(out), nil
	}
	op := func(verb, action, summary string) huma.Operation {
		return huma.Operation{OperationID: verb + "-" + a.noun, Method: http.MethodPost, Path: "/" + a.noun + "s/{id}/" + action,
			Tags: []string{a.noun + "s"}, Summary: summary, Errors: []int{404, 409, 422}}
	}
	Register(s, op("acknowledge", "acknowledge", "Say that somebody looks after an open "+a.noun), identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			IDInput
			Body *commentBody
		}) (*Body[T], error) {
			comment := ""
			if in.Body != nil {
				comment = in.Body.Comment
			}
			return act(ctx, in.ID, "", func(by ticketing.Actor) (T, error) { return a.acknowledge(ctx, by, in.ID, comment) })
		})
	Register(s, op("assign", "assign", "Give an "+a.noun+" to somebody"), identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			IDInput
			Body assignBody
		}) (*Body[T], error) {
			return act(ctx, in.ID, "assignee: "+clip(in.Body.Assignee, 200), func(by ticketing.Actor) (T, error) {
				return a.assign(ctx, by, in.ID, in.Body.Assignee)
			})
		})
	Register(s, op("comment", "comments", "Add a comment"), identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			IDInput
			Body textBody
		}) (*Body[T], error) {
			return act(ctx, in.ID, "", func(by ticketing.Actor) (T, error) { return a.comment(ctx, by, in.ID, in.Body.Text) })
		})
	Register(s, op("close", "close", a.closing), identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			IDInput
			Body C
		}) (*Body[T], error) {
			how := in.Body.how()
			return act(ctx, in.ID, "resolution: "+how.Resolution, func(by ticketing.Actor) (T, error) { return a.close(ctx, by, in.ID, how) })
		})
	Register(s, op("reopen", "reopen", a.reopening), identity.ScopeRespond,
		func(ctx context.Context, in *IDInput) (*Body[T], error) {
			return act(ctx, in.ID, "", func(by ticketing.Actor) (T, error) { return a.reopen(ctx, by, in.ID) })
		})
}

// Receiver is a webhook as the API shows it. Its secret is never shown.
type Receiver struct {
	Name         string          `json:"name"`
	URL          string          `json:"url" doc:"Without password and without the values of its query"`
	SendResolved bool            `json:"send_resolved"`
	Signed       bool            `json:"signed" doc:"Whether notifications carry X-Icewatch-Signature"`
	Tenants      []string        `json:"tenants" nullable:"false" doc:"Whose incidents it is told of; empty for all"`
	Origin       string          `json:"origin" enum:"config,api"`
	CreatedAt    *ticketing.Time `json:"created_at,omitempty" format:"date-time"`
	CreatedBy    string          `json:"created_by,omitempty"`
}

func receiverOf(r outbox.ReceiverInfo) Receiver {
	out := Receiver{Name: r.Name, URL: r.URL, SendResolved: r.SendResolved, Signed: r.Signed, Tenants: r.Tenants, Origin: "api", CreatedBy: r.CreatedBy}
	if out.Tenants == nil {
		out.Tenants = []string{}
	}
	if r.FromConfig {
		out.Origin = "config"
	} else {
		out.CreatedAt = &ticketing.Time{Time: r.CreatedAt}
	}
	return out
}

// Notification is one attempt to deliver a notification.
type Notification struct {
	ID         int64           `json:"id"`
	Delivery   string          `json:"delivery" doc:"The same over a notification's attempts; sent as X-Icewatch-Delivery"`
	Receiver   string          `json:"receiver"`
	IncidentID string          `json:"incident_id"`
	Kind       string          `json:"kind" enum:"opened,changed,sla,resolved"`
	URLHost    string          `json:"url_host"`
	Attempt    int             `json:"attempt"`
	Status     string          `json:"status" enum:"delivered,retrying,failed"`
	HTTPStatus int             `json:"http_status,omitempty"`
	Error      string          `json:"error,omitempty"`
	At         ticketing.Time  `json:"at" format:"date-time"`
	NextAt     *ticketing.Time `json:"next_at,omitempty" format:"date-time"`
}

func (t *tickets) receiverRoutes(s *Server) {
	Register(s, huma.Operation{OperationID: "list-receivers", Method: http.MethodGet, Path: "/receivers", Tags: []string{"notifications"},
		Summary: "Webhooks, those of the configuration file among them"}, identity.ScopeConfigure,
		func(ctx context.Context, _ *Empty) (*Body[Page[Receiver]], error) {
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			list, err := t.svc.Outbox().Receivers(ctx)
			if err != nil {
				return nil, err
			}
			items := make([]Receiver, 0, len(list))
			for _, r := range list {
				items = append(items, receiverOf(r))
			}
			return Reply(PageOf(items, len(items), "")), nil
		})

	Register(s, huma.Operation{OperationID: "create-receiver", Method: http.MethodPost, Path: "/receivers", Tags: []string{"notifications"},
		Summary: "Tell a webhook of incidents from now on", DefaultStatus: http.StatusCreated, Errors: []int{409, 422}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			Body struct {
				Name         string   `json:"name" pattern:"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"`
				URL          string   `json:"url" maxLength:"2048" doc:"http or https"`
				SendResolved *bool    `json:"send_resolved,omitempty" doc:"Tell of closed incidents as well; true by default"`
				Secret       string   `json:"secret,omitempty" maxLength:"1024" doc:"Signs each body: X-Icewatch-Signature is sha256= and the hexadecimal HMAC-SHA256"`
				Tenants      []string `json:"tenants,omitempty" nullable:"false" doc:"Whose incidents it is told of; all by default"`
			}
		}) (*Body[Receiver], error) {
			AuditObject(ctx, "receiver:"+clip(in.Body.Name, 64), "", "")
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			if err := s.checkTenants(in.Body.Tenants); err != nil {
				return nil, err
			}
			r, err := t.svc.Outbox().AddReceiver(ctx, Actor(ctx), outbox.Receiver{Name: in.Body.Name, URL: in.Body.URL,
				SendResolved: in.Body.SendResolved, Secret: in.Body.Secret, Tenants: in.Body.Tenants})
			if err != nil {
				return nil, ticketProblem(err)
			}
			return Reply(receiverOf(r)), nil
		})

	Register(s, huma.Operation{OperationID: "delete-receiver", Method: http.MethodDelete, Path: "/receivers/{name}", Tags: []string{"notifications"},
		Summary: "Stop telling a webhook; what still waits for it is given up", DefaultStatus: http.StatusNoContent, Errors: []int{404, 409}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			Name string `path:"name" maxLength:"64"`
		}) (*Empty, error) {
			AuditObject(ctx, "receiver:"+clip(in.Name, 64), "", "")
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			return nil, ticketProblem(t.svc.Outbox().RemoveReceiver(ctx, in.Name))
		})

	Register(s, huma.Operation{OperationID: "list-notifications", Method: http.MethodGet, Path: "/notifications", Tags: []string{"notifications"},
		Summary: "The delivery log, newest first: one item an attempt"}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			PageInput
			Incident string `query:"incident" maxLength:"64"`
			Tenant   string `query:"tenant" maxLength:"4096"`
		}) (*Body[Page[Notification]], error) {
			within, err := Reach(ctx, in.Tenant)
			if err != nil {
				return nil, err
			}
			q := outbox.LogQuery{Reach: within, Incident: in.Incident, Limit: in.Limit}
			if in.Cursor != "" {
				if q.Before, err = strconv.ParseInt(in.Cursor, 10, 64); err != nil || q.Before <= 0 {
					return nil, Problem(http.StatusBadRequest, "the cursor is none that a list gave")
				}
			}
			list, total, more, err := t.svc.Outbox().Log(ctx, q)
			if err != nil {
				return nil, err
			}
			items := make([]Notification, 0, len(list))
			for _, a := range list {
				n := Notification{ID: a.ID, Delivery: a.Delivery, Receiver: a.Receiver, IncidentID: a.IncidentID, Kind: a.Kind,
					URLHost: a.URLHost, Attempt: a.Attempt, Status: a.Status, HTTPStatus: a.HTTPStatus, Error: a.Error,
					At: ticketing.Time{Time: time.UnixMilli(a.At)}}
				if a.NextAt > 0 {
					n.NextAt = &ticketing.Time{Time: time.UnixMilli(a.NextAt)}
				}
				items = append(items, n)
			}
			next := ""
			if more {
				next = strconv.FormatInt(list[len(list)-1].ID, 10)
			}
			return Reply(PageOf(items, total, next)), nil
		})
}
