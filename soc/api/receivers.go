package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/soc/identity"
	"icewatch/ticketing"
	"icewatch/ticketing/outbox"
)

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
