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

// IDInput is the input of an operation on one thing.
type IDInput struct {
	ID string `path:"id" maxLength:"64"`
}
