package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/cmdb"
	"icewatch/cmdb/subscription"
	"icewatch/soc/identity"
	"icewatch/soc/reach"
	"icewatch/ticketing/outbox"
)

// ReachOfUser is what a user may see at this moment, by his id: nothing where he
// is gone or may not sign in. For rooms that act in somebody's name later.
func (s *Server) ReachOfUser(ctx context.Context, id string) (reach.Reach, error) {
	p, err := s.deps.Identity.ActingAs(ctx, id)
	if errors.Is(err, identity.ErrUnauthenticated) || errors.Is(err, identity.ErrNotFound) {
		return reach.None(), nil
	}
	if err != nil {
		return reach.None(), err
	}
	return s.reachOf(p), nil
}

func subscriptionProblem(err error) error {
	for of, status := range map[error]int{subscription.ErrNotFound: http.StatusNotFound, subscription.ErrInvalid: http.StatusUnprocessableEntity, subscription.ErrConflict: http.StatusConflict} {
		if errors.Is(err, of) {
			return Problem(status, "%s", err.Error())
		}
	}
	return err
}

// subscriber is who asks for subscriptions. Whoever may change the model manages
// those of others.
func (s *Server) subscriber(ctx context.Context) subscription.Asker {
	p := PrincipalFrom(ctx)
	return subscription.Asker{User: p.UserID, Name: p.Username, Manage: seesEverything(ctx) && s.may(ctx, "change-cmdb-model")}
}

// subscriptionContact is a contact point that a subscription may name.
type subscriptionContact struct {
	Name     string `json:"name"`
	Kind     string `json:"kind"`
	Note     string `json:"note"`
	Disabled bool   `json:"disabled"`
}

// subscriptionContacts lists the contact points that subscriptions of the
// caller may name. He needs the permission to see contact points, and those are
// his that are told of nobody whom he does not see at all: what a subscription
// sends is what he sees himself.
func (s *Server) subscriptionContacts(ctx context.Context) ([]subscriptionContact, error) {
	out := []subscriptionContact{}
	if s.deps.Notifying == nil || !s.may(ctx, "list-contact-points") {
		return out, nil
	}
	within, err := Reach(ctx, "")
	if err != nil {
		return nil, err
	}
	list, err := s.deps.Notifying.Tickets.Outbox().Receivers(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range list {
		own := len(r.Tenants) > 0 && !slices.ContainsFunc(r.Tenants, func(t string) bool { return !within.CoversTenant(t) })
		if own || coversAll(ctx, r.Tenants) {
			out = append(out, subscriptionContact{r.Name, r.Kind, r.Note, r.Disabled})
		}
	}
	return out, nil
}

// mayTell refuses contact points that the caller may not name; those that a
// subscription of his names already may stay.
func (s *Server) mayTell(ctx context.Context, contact, before string) error {
	if contact == "" || contact == before {
		return nil
	}
	list, err := s.subscriptionContacts(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(list, func(c subscriptionContact) bool { return c.Name == contact }) {
		return Problem(http.StatusUnprocessableEntity, "contact: there is no contact point %q that you may use", clip(contact, 64))
	}
	return nil
}

// subscriptionTest is what a test came to.
type subscriptionTest struct {
	Delivery   string `json:"delivery" doc:"Id in the delivery log"`
	State      string `json:"state" enum:"pending,delivered,failed" doc:"pending: it is tried again; the delivery log tells"`
	HTTPStatus int    `json:"http_status,omitempty"`
	Error      string `json:"error,omitempty"`
}

// testWait is how long the answer of a test waits for the first attempt.
const testWait = 15 * time.Second

// tested waits for the first attempt of a delivery.
func (s *Server) tested(ctx context.Context, id string) (subscriptionTest, error) {
	out := subscriptionTest{Delivery: id, State: "pending"}
	over := time.NewTimer(testWait)
	defer over.Stop()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for {
		d, attempts, err := s.deps.Notifying.Tickets.Outbox().Delivery(ctx, reach.All(), id)
		if err != nil {
			return out, err
		}
		if n := len(attempts); n > 0 {
			out.State, out.HTTPStatus, out.Error = d.State, attempts[n-1].HTTPStatus, attempts[n-1].Error
			return out, nil
		}
		select {
		case <-look.C:
		case <-over.C:
			out.Error = "no attempt was made yet: others are waiting for the contact point before it"
			return out, nil
		case <-ctx.Done():
			return out, ctx.Err()
		}
	}
}

// cmdbSubscriptionRoutes registers who is told of which changes. Each
// subscription belongs to a person and tells what that person may see.
func (s *Server) cmdbSubscriptionRoutes() {
	subs := s.deps.Subscriptions
	if subs == nil {
		return
	}
	type SubscriptionID struct {
		ID string `path:"id" maxLength:"64"`
	}
	operation := func(id, method, path, summary string, status int, codes ...int) huma.Operation {
		op := cmdbOperation(id, method, "/subscriptions"+path, summary, codes...)
		op.DefaultStatus = status
		return op
	}
	// own refuses who is no person: nobody's reach would decide what is told.
	own := func(ctx context.Context) (subscription.Asker, error) {
		a := s.subscriber(ctx)
		if a.User == "" {
			return a, Problem(http.StatusForbidden, "a subscription belongs to a person: sign in, or use a token of a person")
		}
		return a, nil
	}

	Register(s, operation("list-cmdb-subscriptions", http.MethodGet, "", "Subscriptions to changes: mine, or with all, where I may change the model, everybody's", 0), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			All bool `query:"all"`
		}) (*Body[Page[subscription.Subscription]], error) {
			list, err := subs.List(ctx, s.subscriber(ctx), in.All)
			return Reply(PageOf(list, len(list), "")), err
		})

	export := operation("export-cmdb-subscriptions", http.MethodGet, "/export", "The same as a table", 0)
	export.Responses = binary("text/csv", cmdbFileTypes[cmdb.XLSX])
	Register(s, export, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			TableInput
			All bool `query:"all"`
		}) (*huma.StreamResponse, error) {
			list, err := subs.List(ctx, s.subscriber(ctx), in.All)
			if err != nil {
				return nil, err
			}
			rows := make([][]any, len(list))
			for i, v := range list {
				w := v.Wants
				rows[i] = []any{v.ID, v.Name, v.Owner, v.Enabled, strings.Join(w.Classes, ";"), strings.Join(w.Kinds, ";"), strings.Join(w.Fields, ";"), w.Filter, w.Notices, w.Contact, v.Trouble}
			}
			return tableAnswer("cmdb-subscriptions", in.Format, []string{"id", "name", "owner", "enabled", "classes", "kinds", "fields", "filter", "console", "contact", "trouble"}, rows)
		})

	Register(s, cmdbOperation("list-cmdb-subscription-contacts", http.MethodGet, "/subscription-contacts", "Contact points that my subscriptions may name"), identity.ScopeRead,
		func(ctx context.Context, _ *Empty) (*Body[Page[subscriptionContact]], error) {
			list, err := s.subscriptionContacts(ctx)
			return Reply(PageOf(list, len(list), "")), err
		})

	Register(s, operation("create-cmdb-subscription", http.MethodPost, "", "Hear of changes from now on", http.StatusCreated, 403, 422), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Body struct {
				Name  string             `json:"name" minLength:"1" maxLength:"800"`
				Wants subscription.Wants `json:"wants"`
			}
		}) (*Body[subscription.Subscription], error) {
			a, err := own(ctx)
			if err == nil {
				err = s.mayTell(ctx, in.Body.Wants.Contact, "")
			}
			if err != nil {
				return nil, err
			}
			v, err := subs.Create(ctx, a, in.Body.Name, in.Body.Wants)
			AuditObject(ctx, "cmdb subscription "+v.ID, "", clip(in.Body.Name, 200))
			return Reply(v), subscriptionProblem(err)
		})

	preview := cmdbOperation("preview-cmdb-subscription", http.MethodPost, "/subscription-preview", "Which of the newest thousand changes within reach a subscription would have told", 422)
	Register(s, preview, identity.ScopeRead,
		func(ctx context.Context, in *struct{ Body subscription.Wants }) (*Body[struct {
			Looked  int                 `json:"looked" doc:"Changes that were looked at"`
			Told    int                 `json:"told"`
			Changes []cmdb.HistoryEntry `json:"changes" nullable:"false" doc:"The newest 50 that would be told"`
		}], error) {
			stateOf(ctx).skipAudit = true
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			list, looked, err := subs.Preview(ctx, within, in.Body)
			if err != nil {
				return nil, subscriptionProblem(err)
			}
			var out struct {
				Looked  int                 `json:"looked" doc:"Changes that were looked at"`
				Told    int                 `json:"told"`
				Changes []cmdb.HistoryEntry `json:"changes" nullable:"false" doc:"The newest 50 that would be told"`
			}
			out.Looked, out.Told, out.Changes = looked, len(list), append([]cmdb.HistoryEntry{}, list[:min(len(list), 50)]...)
			return Reply(out), nil
		})

	Register(s, operation("get-cmdb-subscription", http.MethodGet, "/{id}", "A subscription", 0, 404), identity.ScopeRead,
		func(ctx context.Context, in *SubscriptionID) (*Body[subscription.Subscription], error) {
			v, err := subs.Get(ctx, s.subscriber(ctx), in.ID)
			return Reply(v), subscriptionProblem(err)
		})

	Register(s, operation("change-cmdb-subscription", http.MethodPut, "/{id}", "Change a subscription, or switch it off; somebody else's can be switched off only", 0, 404, 409, 422), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			SubscriptionID
			Body struct {
				Revision int64              `json:"revision" minimum:"1" doc:"The one that was read: another one now is a conflict"`
				Name     string             `json:"name" minLength:"1" maxLength:"800"`
				Enabled  bool               `json:"enabled"`
				Wants    subscription.Wants `json:"wants"`
			}
		}) (*Body[subscription.Subscription], error) {
			a := s.subscriber(ctx)
			before, err := subs.Get(ctx, a, in.ID)
			if err != nil {
				return nil, subscriptionProblem(err)
			}
			if before.Mine {
				if err := s.mayTell(ctx, in.Body.Wants.Contact, before.Wants.Contact); err != nil {
					return nil, err
				}
			}
			v, err := subs.Change(ctx, a, in.ID, subscription.Edit{Revision: in.Body.Revision, Name: in.Body.Name, Enabled: in.Body.Enabled, Wants: in.Body.Wants})
			AuditObject(ctx, "cmdb subscription "+in.ID, "", clip(before.Name, 200))
			return Reply(v), subscriptionProblem(err)
		})

	Register(s, operation("delete-cmdb-subscription", http.MethodDelete, "/{id}", "Delete a subscription; what waits to be delivered is given up", http.StatusNoContent, 404), identity.ScopeRead,
		func(ctx context.Context, in *SubscriptionID) (*Empty, error) {
			AuditObject(ctx, "cmdb subscription "+in.ID, "", "")
			return nil, subscriptionProblem(subs.Delete(ctx, s.subscriber(ctx), in.ID))
		})

	Register(s, operation("test-cmdb-subscription", http.MethodPost, "/{id}/test", "Send a test to a subscription's contact point, the way its changes go", 0, 404, 422), identity.ScopeRead,
		func(ctx context.Context, in *SubscriptionID) (*Body[subscriptionTest], error) {
			AuditObject(ctx, "cmdb subscription "+in.ID, "", "test")
			id, err := subs.Test(ctx, s.subscriber(ctx), in.ID)
			switch {
			case err != nil:
				return nil, subscriptionProblem(err)
			case id == "":
				return Reply(subscriptionTest{State: outbox.Failed, Error: "the contact point is not told: it is gone or switched off"}), nil
			}
			v, err := s.tested(ctx, id)
			return Reply(v), err
		})

	Register(s, cmdbOperation("list-cmdb-notices", http.MethodGet, "/notices", "Changes that my subscriptions tell me of in the console, newest first, as far as they are within reach now"), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Unread bool  `query:"unread"`
			Before int64 `query:"before" minimum:"0" doc:"Id of the change of the last notice of the page before"`
			Limit  int   `query:"limit" minimum:"1" maximum:"1000" default:"50"`
		}) (*Body[Page[subscription.Notice]], error) {
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			list, err := subs.Notices(ctx, PrincipalFrom(ctx).UserID, within, in.Unread, in.Before, in.Limit)
			return Reply(PageOf(list, len(list), "")), err
		})

	Register(s, cmdbOperation("mark-cmdb-notices", http.MethodPost, "/notices/mark", "Mark my notices as read, or as unread again"), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Body struct {
				Changes []int64 `json:"changes,omitempty" maxItems:"1000" doc:"Ids of the changes; all notices where none is named"`
				Read    bool    `json:"read"`
			}
		}) (*Body[struct {
			Marked int `json:"marked"`
		}], error) {
			stateOf(ctx).skipAudit = true // it is the person's own
			n, err := subs.Mark(ctx, PrincipalFrom(ctx).UserID, in.Body.Changes, in.Body.Read)
			var out struct {
				Marked int `json:"marked"`
			}
			out.Marked = n
			return Reply(out), err
		})
}
