package api

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/soc/identity"
	"icewatch/ticketing"
	"icewatch/ticketing/channel"
	"icewatch/ticketing/outbox"
	"icewatch/ticketing/routing"
	"icewatch/ticketing/webhook"
	"icewatch/ticketing/wording"
)

// Notifying is what the routes of notifications need.
type Notifying struct {
	Tickets  *ticketing.Service
	Routes   *routing.Store
	Wordings *wording.Store
}

// notifying are the handlers of notifications.
type notifying struct {
	*Server
	*Notifying
}

// notifyProblem says the errors of notifications as problems.
func notifyProblem(err error) error {
	var part *wording.PartError
	if errors.As(err, &part) {
		return Problem(http.StatusUnprocessableEntity, "%s", part)
	}
	for kind, status := range map[error]int{outbox.ErrNoDelivery: http.StatusNotFound, outbox.ErrWaits: http.StatusConflict, routing.ErrNotFound: http.StatusNotFound,
		routing.ErrChanged: http.StatusConflict, wording.ErrNotFound: http.StatusNotFound} {
		if errors.Is(err, kind) {
			return Problem(status, "%s", err)
		}
	}
	for _, kind := range []error{routing.ErrInvalid, wording.ErrInvalid} {
		if errors.Is(err, kind) {
			return Problem(http.StatusUnprocessableEntity, "%s", plain(err, kind, ""))
		}
	}
	return ticketProblem(err)
}

// contactView is a contact point without its secrets.
type contactView struct {
	Name         string          `json:"name"`
	Kind         string          `json:"kind" enum:"webhook,email,sms,dingtalk,wecom,wecom_app,feishu"`
	Settings     map[string]any  `json:"settings" doc:"Of the channel; secrets show as ******"`
	Note         string          `json:"note"`
	SendResolved bool            `json:"send_resolved"`
	Tenants      []string        `json:"tenants" nullable:"false" doc:"Whose alerts it may be told of; empty for all"`
	Every        bool            `json:"every" doc:"It is told of every incident, without a route"`
	Language     string          `json:"language" enum:"zh,en"`
	Wording      string          `json:"wording" doc:"Name of a wording; empty for the default"`
	Disabled     bool            `json:"disabled"`
	Acknowledge  string          `json:"acknowledge" enum:"none,signed_in,anyone" doc:"How links in its notifications acknowledge an incident: there are none; whoever opens one has to sign in; the link is enough"`
	Origin       string          `json:"origin" enum:"config,api"`
	Editable     bool            `json:"editable"`
	UsedBy       []string        `json:"used_by" nullable:"false" doc:"Whose routes name it: city, or a tenant"`
	CreatedAt    *ticketing.Time `json:"created_at,omitempty" format:"date-time"`
	CreatedBy    string          `json:"created_by,omitempty"`
	UpdatedAt    *ticketing.Time `json:"updated_at,omitempty" format:"date-time"`
	UpdatedBy    string          `json:"updated_by,omitempty"`
}

// ContactBody is a contact point as it is written. It is exported because inputs
// embed it.
type ContactBody struct {
	Kind         string         `json:"kind" enum:"webhook,email,sms,dingtalk,wecom,wecom_app,feishu"`
	Settings     map[string]any `json:"settings" doc:"Of the channel, see GET /contact-kinds; a secret of ****** stays as it is"`
	Note         string         `json:"note,omitempty" maxLength:"500"`
	SendResolved *bool          `json:"send_resolved,omitempty" doc:"Tell when alerts are over as well; true by default"`
	Tenants      []string       `json:"tenants,omitempty" nullable:"false"`
	Every        bool           `json:"every,omitempty"`
	Language     string         `json:"language,omitempty" enum:"zh,en"`
	Wording      string         `json:"wording,omitempty" maxLength:"64"`
	Disabled     bool           `json:"disabled,omitempty"`
	Acknowledge  string         `json:"acknowledge,omitempty" enum:"none,signed_in,anyone" doc:"How links in its notifications acknowledge an incident; signed_in by default"`
}

func (b ContactBody) contact(name string) (outbox.Contact, error) {
	settings, err := json.Marshal(b.Settings)
	return outbox.Contact{Name: name, Kind: b.Kind, Settings: settings, Note: b.Note, SendResolved: b.SendResolved == nil || *b.SendResolved,
		Tenants: b.Tenants, Every: b.Every, Language: b.Language, Wording: b.Wording, Disabled: b.Disabled, Acknowledge: b.Acknowledge}, err
}

// coversAll tells whether all the tenants are within the caller's reach; none
// named means all there are.
func coversAll(ctx context.Context, tenants []string) bool {
	if len(tenants) == 0 {
		return seesEverything(ctx)
	}
	within, err := Reach(ctx, "")
	return err == nil && !slices.ContainsFunc(tenants, func(t string) bool { return !within.CoversWhole(t) })
}

// mayContact refuses to handle contact points that are told of more than the
// caller sees.
func mayContact(ctx context.Context, tenants []string) error {
	if !coversAll(ctx, tenants) {
		return Problem(http.StatusForbidden, "the contact point would be told of tenants beyond your reach: name tenants of yours")
	}
	return nil
}

func (n *notifying) view(ctx context.Context, r outbox.ReceiverInfo) contactView {
	v := contactView{Name: r.Name, Kind: r.Kind, Settings: map[string]any{}, Note: r.Note, SendResolved: r.SendResolved, Tenants: r.Tenants, Every: r.Every, Language: r.Language,
		Wording: r.Wording, Disabled: r.Disabled, Acknowledge: r.Acknowledge, Origin: "api", Editable: !r.FromConfig && coversAll(ctx, r.Tenants), UsedBy: []string{}, CreatedBy: r.CreatedBy, UpdatedBy: r.UpdatedBy}
	_ = json.Unmarshal(r.Settings, &v.Settings) // it was written by the same library
	if v.Tenants == nil {
		v.Tenants = []string{}
	}
	for _, scope := range n.Routes.Uses(r.Name) {
		if scope == "" {
			scope = "city"
		}
		v.UsedBy = append(v.UsedBy, scope)
	}
	slices.Sort(v.UsedBy)
	if r.FromConfig {
		v.Origin = "config"
	} else {
		v.CreatedAt = &ticketing.Time{Time: r.CreatedAt}
	}
	if !r.UpdatedAt.IsZero() {
		v.UpdatedAt = &ticketing.Time{Time: r.UpdatedAt}
	}
	return v
}

// contact finds a contact point that the caller may handle.
func (n *notifying) contact(ctx context.Context, name string) (outbox.ReceiverInfo, error) {
	r, err := n.Tickets.Outbox().Receiver(ctx, name)
	if err != nil {
		return r, notifyProblem(err)
	}
	if !coversAll(ctx, r.Tenants) {
		return r, notifyProblem(outbox.ErrNotFound)
	}
	return r, nil
}

// sampleNotice is what a contact point is tried with.
func sampleNotice(now time.Time, actor, url string) channel.Notice {
	a := webhook.Alert{Status: webhook.Firing, StartsAt: now,
		Labels: map[string]string{"alertname": "icewatch test", "severity": "informational", "tenant": "test"},
		Annotations: map[string]string{"summary": "测试通知：" + actor + " 正在检查这个联系点，无需处理", "summary_en": "Test: " + actor + " is checking this contact point, nothing is wrong",
			"description": "如果您能看到这条消息，说明告警通知能够到达这里。", "description_en": "Notifications reach this place."}}
	n := channel.Notice{Delivery: strings.ToLower(rand.Text()), Kind: "test", At: now, Payload: webhook.New("test", url, map[string]string{}, []webhook.Alert{a}, 1), People: []channel.Person{{Name: actor}}}
	n.Thread = "test/" + n.Delivery
	return n
}

// triedView is what a trial came to.
type triedView struct {
	OK         bool   `json:"ok"`
	HTTPStatus int    `json:"http_status,omitempty"`
	Error      string `json:"error,omitempty" doc:"In the words of the service, as far as they hold no secret"`
	Retry      bool   `json:"retry,omitempty" doc:"A later attempt may succeed"`
	Millis     int64  `json:"duration_ms"`
}

func (n *notifying) try(ctx context.Context, c outbox.Contact) (triedView, error) {
	began := time.Now()
	r, err := n.Tickets.Outbox().Try(ctx, c, sampleNotice(began, Actor(ctx), n.Tickets.ExternalURL()))
	if err != nil {
		return triedView{}, notifyProblem(err)
	}
	v := triedView{OK: r.Err == nil, HTTPStatus: r.HTTPStatus, Retry: r.Retry, Millis: time.Since(began).Milliseconds()}
	if r.Err != nil {
		v.Error = r.Err.Error()
	}
	return v, nil
}

// contactKind describes a kind of channel for a form.
type contactKind struct {
	Name     string            `json:"name"`
	ZH       string            `json:"zh"`
	EN       string            `json:"en"`
	Limits   []string          `json:"limits" nullable:"false" doc:"What the vendor takes, such as 20/1m0s"`
	Fields   []channel.Field   `json:"fields" nullable:"false"`
	Gateways []channel.Gateway `json:"gateways,omitempty" doc:"Presets of SMS gateways"`
}

// ContactName names a contact point in a path.
type ContactName struct {
	Name string `path:"name" maxLength:"64"`
}

func (s *Server) notifyRoutes() {
	if s.deps.Notifying == nil {
		return
	}
	n := &notifying{s, s.deps.Notifying}
	n.contactRoutes()
	n.routingRoutes()
	n.wordingRoutes()
	n.deliveryRoutes()
	n.acknowledgeLinkRoutes()
}

func (n *notifying) contactRoutes() {
	s, tags := n.Server, []string{"notifications"}
	Register(s, huma.Operation{OperationID: "list-contact-kinds", Method: http.MethodGet, Path: "/contact-kinds", Tags: tags,
		Summary: "The kinds of channels with their settings and the vendors' limits"}, identity.ScopeRead,
		func(ctx context.Context, _ *Empty) (*Body[Page[contactKind]], error) {
			items := []contactKind{}
			for _, k := range channel.Kinds() {
				v := contactKind{Name: k.Name, ZH: k.ZH, EN: k.EN, Fields: k.Fields(), Limits: []string{}}
				for _, l := range k.Limits {
					v.Limits = append(v.Limits, strings.TrimSuffix(clipCount(l), "0s"))
				}
				if k.Name == "sms" {
					var err error
					if v.Gateways, err = channel.Gateways(); err != nil {
						return nil, err
					}
					for i := range v.Fields {
						if v.Fields[i].Name == "preset" {
							for _, g := range v.Gateways {
								v.Fields[i].Choices = append(v.Fields[i].Choices, g.Key)
							}
						}
					}
				}
				items = append(items, v)
			}
			return Reply(PageOf(items, len(items), "")), nil
		})
	Register(s, huma.Operation{OperationID: "list-contact-points", Method: http.MethodGet, Path: "/contact-points", Tags: tags,
		Summary: "Contact points within the caller's reach, the webhooks of the configuration file among them"}, identity.ScopeConfigure,
		func(ctx context.Context, _ *Empty) (*Body[Page[contactView]], error) {
			list, err := n.Tickets.Outbox().Receivers(ctx)
			if err != nil {
				return nil, err
			}
			items := []contactView{}
			for _, r := range list {
				if coversAll(ctx, r.Tenants) {
					items = append(items, n.view(ctx, r))
				}
			}
			return Reply(PageOf(items, len(items), "")), nil
		})
	Register(s, huma.Operation{OperationID: "create-contact-point", Method: http.MethodPost, Path: "/contact-points", Tags: tags,
		Summary: "Make a contact point", DefaultStatus: http.StatusCreated, Errors: []int{409, 422}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			Body struct {
				Name string `json:"name" pattern:"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"`
				ContactBody
			}
		}) (*Body[contactView], error) {
			AuditObject(ctx, "contact-point:"+clip(in.Body.Name, 64), "", in.Body.Kind)
			c, err := n.wanted(ctx, in.Body.Name, in.Body.ContactBody)
			if err != nil {
				return nil, err
			}
			r, err := n.Tickets.Outbox().AddContact(ctx, Actor(ctx), c)
			if err != nil {
				return nil, notifyProblem(err)
			}
			return Reply(n.view(ctx, r)), nil
		})
	Register(s, huma.Operation{OperationID: "update-contact-point", Method: http.MethodPut, Path: "/contact-points/{name}", Tags: tags,
		Summary: "Change a contact point; its kind stays", Errors: []int{404, 409, 422}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			ContactName
			Body ContactBody
		}) (*Body[contactView], error) {
			AuditObject(ctx, "contact-point:"+clip(in.Name, 64), "", in.Body.Kind)
			if _, err := n.contact(ctx, in.Name); err != nil {
				return nil, err
			}
			c, err := n.wanted(ctx, in.Name, in.Body)
			if err != nil {
				return nil, err
			}
			for _, scope := range n.Routes.Uses(in.Name) {
				if scope != "" && !slices.Equal(c.Tenants, []string{scope}) {
					return nil, Problem(http.StatusConflict, "the routes of the tenant %s use it: it has to stay bound to that tenant alone", scope)
				}
			}
			r, err := n.Tickets.Outbox().ChangeContact(ctx, Actor(ctx), c)
			if err != nil {
				return nil, notifyProblem(err)
			}
			return Reply(n.view(ctx, r)), nil
		})
	Register(s, huma.Operation{OperationID: "delete-contact-point", Method: http.MethodDelete, Path: "/contact-points/{name}", Tags: tags,
		Summary: "Remove a contact point that no route names; what waits for it is given up", DefaultStatus: http.StatusNoContent, Errors: []int{404, 409}}, identity.ScopeConfigure,
		func(ctx context.Context, in *ContactName) (*Empty, error) {
			AuditObject(ctx, "contact-point:"+clip(in.Name, 64), "", "")
			if _, err := n.contact(ctx, in.Name); err != nil {
				return nil, err
			}
			if used := n.Routes.Uses(in.Name); len(used) > 0 {
				return nil, Problem(http.StatusConflict, "routes name the contact point %s (%s): take it out of them first, or switch it off", in.Name, strings.TrimPrefix(strings.Join(used, ", "), ", "))
			}
			return nil, notifyProblem(n.Tickets.Outbox().RemoveReceiver(ctx, in.Name))
		})
	Register(s, huma.Operation{OperationID: "test-contact-point", Method: http.MethodPost, Path: "/contact-points/test", Tags: tags,
		Summary: "Send a test over settings, before they are kept or as they are; who is on call is the caller", Errors: []int{404, 422}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			Body struct {
				Name string `json:"name,omitempty" maxLength:"64" doc:"Of a contact point whose masked secrets are meant"`
				ContactBody
			}
		}) (*Body[triedView], error) {
			AuditObject(ctx, "contact-point:"+clip(in.Body.Name, 64), "", "test")
			if in.Body.Name != "" {
				if _, err := n.Tickets.Outbox().Receiver(ctx, in.Body.Name); err == nil {
					if _, err := n.contact(ctx, in.Body.Name); err != nil {
						return nil, err
					}
				}
			}
			c, err := n.wanted(ctx, in.Body.Name, in.Body.ContactBody)
			if err != nil {
				return nil, err
			}
			v, err := n.try(ctx, c)
			if err != nil {
				return nil, err
			}
			return Reply(v), nil
		})
}

func clipCount(l channel.Limit) string { return itoa(l.Count) + "/" + l.Window.String() }

// wanted reads a contact point that is to be, and refuses what is beyond the
// caller.
func (n *notifying) wanted(ctx context.Context, name string, b ContactBody) (outbox.Contact, error) {
	c, err := b.contact(name)
	if err != nil {
		return c, err
	}
	if err := mayContact(ctx, c.Tenants); err != nil {
		return c, err
	}
	return c, n.checkTenants(c.Tenants)
}
