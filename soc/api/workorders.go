package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"

	"icewatch/collectors/webbody"
	"icewatch/soc/exposure/finding"
	"icewatch/soc/identity"
	"icewatch/soc/reach"
	"icewatch/ticketing"
	"icewatch/ticketing/workorder"
)

// orderHookPath is where work-order systems send results. The key is the
// connection's token, or its id with the token in the Authorization header.
const orderHookPath = "/work-order-hooks/:key"

// admitOrderHook lets in who sends results of work orders.
func (s *Server) admitOrderHook(c *fiber.Ctx, st *reqState, key string) error {
	cred := parseCredential(c.Get(fiber.HeaderAuthorization), "")
	id, ok := "", false
	if s.deps.Dispatch != nil {
		id, ok = s.deps.Dispatch.Orders.Known(c.UserContext(), key, cred.secret)
	}
	if !ok {
		if answered, err := s.limit(c, st); answered {
			return err
		}
		s.discardBody(c)
		s.noteRefusal(st, "POST /work-order-hooks", "no work-order connection has this address and token")
		return writeProblem(c, http.StatusUnauthorized, "no work-order connection has this address and token")
	}
	st.object = "work-order-connection:" + id
	return s.admit(c, maxOrderResult)
}

const maxOrderResult = 1 << 20 // bytes

// takeOrderHook takes a result in. What is answered with 200 is durable.
func (s *Server) takeOrderHook(c *fiber.Ctx) error {
	st := stateOf(c.UserContext())
	id := strings.TrimPrefix(st.object, "work-order-connection:")
	body, err := webbody.Read(c, webbody.Limits{MaxBody: maxOrderResult, MaxDecoded: maxOrderResult})
	if err != nil {
		var r *webbody.Refusal
		if errors.As(err, &r) {
			return writeProblem(c, r.Status, r.Reason)
		}
		return err
	}
	defer body.Release()
	o, err := s.deps.Dispatch.Orders.Result(c.UserContext(), id, body.Bytes)
	switch {
	case errors.Is(err, workorder.ErrNotFound):
		return writeProblem(c, http.StatusNotFound, plain(err, workorder.ErrNotFound, ""))
	case errors.Is(err, workorder.ErrInvalid):
		return writeProblem(c, http.StatusUnprocessableEntity, plain(err, workorder.ErrInvalid, ""))
	case err != nil:
		s.log.Error("work orders: a result is not taken, and its sender is told to send it again", "connection", id, "request_id", st.requestID, "error", err)
		c.Set(fiber.HeaderRetryAfter, "5")
		return writeProblem(c, http.StatusServiceUnavailable, "the result cannot be taken now: send it again")
	}
	return c.JSON(map[string]string{"order": o.ID, "id": o.External, "state": o.State})
}

// ConnectionBody is a connection as it is written. It is exported because inputs
// embed it.
type ConnectionBody struct {
	Connection workorder.Content `json:"connection"`
	Secrets    workorder.Secrets `json:"secrets,omitempty"`
	Revision   int64             `json:"revision,omitempty" doc:"Of what was read before a change; without it whatever is there is replaced"`
}

// madeConnection is a connection with the token that is told once.
type madeConnection struct {
	Connection workorder.Connection `json:"connection"`
	Token      string               `json:"token,omitempty" doc:"Told this once: results come back with it"`
	Path       string               `json:"path,omitempty" doc:"Where results are posted to"`
}

// orderTarget is a connection as those see it who make orders.
type orderTarget struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
}

func (s *Server) connectionRoutes() {
	orders, tags := s.deps.Dispatch.Orders, []string{"work orders"}
	made := func(c workorder.Connection, token string, err error) (*Body[madeConnection], error) {
		out := madeConnection{Connection: c, Token: token}
		if token != "" {
			out.Path = strings.Replace(orderHookPath, ":key", token, 1)
		}
		return Reply(out), dispatchProblem(err)
	}
	// Connections lead out of the suite, whoever's alerts they are told of.
	change := func(ctx context.Context, id, detail string) error {
		AuditObject(ctx, "work-order-connection:"+clip(id, 64), "", clip(detail, 200))
		return cityOnly(ctx)
	}
	Register(s, huma.Operation{OperationID: "list-work-order-targets", Method: http.MethodGet, Path: "/work-order-targets", Tags: tags,
		Summary: "Systems in which a work order can be made"}, identity.ScopeRead,
		func(ctx context.Context, _ *Empty) (*Body[Page[orderTarget]], error) {
			list, err := orders.Connections(ctx, false)
			out := []orderTarget{}
			for _, c := range list {
				seen := len(c.Tenants) == 0
				for _, t := range c.Tenants {
					seen = seen || CanSee(ctx, t)
				}
				if c.Enabled && seen {
					out = append(out, orderTarget{c.ID, c.Name, c.Description})
				}
			}
			return Reply(PageOf(out, len(out), "")), err
		})
	Register(s, huma.Operation{OperationID: "list-work-order-connections", Method: http.MethodGet, Path: "/work-order-connections", Tags: tags,
		Summary: "Connections to work-order systems, without secrets, and how each fares", Errors: []int{403}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			Deleted bool `query:"deleted" doc:"Those that were deleted, too"`
		}) (*Body[Page[workorder.Connection]], error) {
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			list, err := orders.Connections(ctx, in.Deleted)
			return Reply(PageOf(list, len(list), "")), err
		})
	Register(s, huma.Operation{OperationID: "create-work-order-connection", Method: http.MethodPost, Path: "/work-order-connections", Tags: tags,
		Summary: "Connect a work-order system", DefaultStatus: http.StatusCreated, Errors: []int{403, 409, 422}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct{ Body ConnectionBody }) (*Body[madeConnection], error) {
			if err := change(ctx, "", in.Body.Connection.Name); err != nil {
				return nil, err
			}
			return made(orders.Add(ctx, Actor(ctx), in.Body.Connection, in.Body.Secrets))
		})
	Register(s, huma.Operation{OperationID: "test-work-order-connection", Method: http.MethodPost, Path: "/work-order-connections/test", Tags: tags,
		Summary: "See the request that would make a work order of a sample, and send it where that is asked for", Errors: []int{403, 404, 422}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			Body struct {
				ID         string            `json:"id,omitempty" maxLength:"64" doc:"Of a connection whose secrets are taken where none are given"`
				Send       bool              `json:"send,omitempty" doc:"Send it: the other system makes a work order of a sample"`
				Connection workorder.Content `json:"connection"`
				Secrets    workorder.Secrets `json:"secrets,omitempty"`
			}
		}) (*Body[workorder.Trial], error) {
			if err := change(ctx, in.Body.ID, "test "+in.Body.Connection.Name); err != nil {
				return nil, err
			}
			t, err := orders.Try(ctx, in.Body.ID, in.Body.Connection, in.Body.Secrets, in.Body.Send)
			return Reply(t), dispatchProblem(err)
		})
	Register(s, huma.Operation{OperationID: "get-work-order-connection", Method: http.MethodGet, Path: "/work-order-connections/{id}", Tags: tags,
		Summary: "One connection", Errors: []int{403, 404}}, identity.ScopeConfigure,
		func(ctx context.Context, in *IDInput) (*Body[workorder.Connection], error) {
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			c, err := orders.Connection(ctx, in.ID)
			return Reply(c), dispatchProblem(err)
		})
	Register(s, huma.Operation{OperationID: "update-work-order-connection", Method: http.MethodPut, Path: "/work-order-connections/{id}", Tags: tags,
		Summary: "Change a connection; secrets that are left out stay", Errors: []int{403, 404, 409, 422}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			IDInput
			Body ConnectionBody
		}) (*Body[workorder.Connection], error) {
			if err := change(ctx, in.ID, in.Body.Connection.Name); err != nil {
				return nil, err
			}
			c, err := orders.Change(ctx, Actor(ctx), in.ID, in.Body.Revision, in.Body.Connection, in.Body.Secrets)
			return Reply(c), dispatchProblem(err)
		})
	for _, a := range []struct {
		id, method, path, summary string
		do                        func(ctx context.Context, by, id string) (workorder.Connection, error)
	}{
		{"delete-work-order-connection", http.MethodDelete, "", "Take a connection away; its orders stay, and it can be restored", orders.Delete},
		{"restore-work-order-connection", http.MethodPost, "/restore", "Bring a deleted connection back", orders.Restore},
	} {
		Register(s, huma.Operation{OperationID: a.id, Method: a.method, Path: "/work-order-connections/{id}" + a.path, Tags: tags, Summary: a.summary, Errors: []int{403, 404, 409}}, identity.ScopeConfigure,
			func(ctx context.Context, in *IDInput) (*Body[workorder.Connection], error) {
				if err := change(ctx, in.ID, ""); err != nil {
					return nil, err
				}
				c, err := a.do(ctx, Actor(ctx), in.ID)
				return Reply(c), dispatchProblem(err)
			})
	}
	Register(s, huma.Operation{OperationID: "renew-work-order-token", Method: http.MethodPost, Path: "/work-order-connections/{id}/token", Tags: tags,
		Summary: "Make a new token for results; the one before ends", Errors: []int{403, 404}}, identity.ScopeConfigure,
		func(ctx context.Context, in *IDInput) (*Body[madeConnection], error) {
			if err := change(ctx, in.ID, "token"); err != nil {
				return nil, err
			}
			return made(orders.NewToken(ctx, Actor(ctx), in.ID))
		})
}

// OrderFilter filters work orders. It is exported because inputs embed it.
type OrderFilter struct {
	Tenant     string `query:"tenant" maxLength:"4096"`
	Object     string `query:"object" maxLength:"64" doc:"Id of an alert, an incident or a work order of findings"`
	Connection string `query:"connection" maxLength:"64"`
	State      string `query:"state" maxLength:"200" doc:"sending, open, working, done, rejected, failed; several with commas"`
	Q          string `query:"q" maxLength:"200" doc:"Part of the title, of an id or of who handles it"`
}

// seenOrder leaves out what the caller may not read: titles cite alerts.
func seenOrder(o *workorder.Order, within reach.Reach) {
	if within.Veil() != nil || !within.CoversWhole(o.Tenant) {
		o.Title, o.Note = "", ""
	}
}

// orderDetail is an order with what its system was told.
type orderDetail struct {
	Order    workorder.Order     `json:"order"`
	Messages []workorder.Message `json:"messages" nullable:"false" doc:"Oldest first"`
}

func (s *Server) orderRoutes() {
	orders, tags := s.deps.Dispatch.Orders, []string{"work orders"}
	list := func(ctx context.Context, f OrderFilter, limit int, cursor string) ([]workorder.Order, int, string, error) {
		within, err := Reach(ctx, f.Tenant)
		if err != nil {
			return nil, 0, "", err
		}
		q := workorder.Query{Reach: within, Object: f.Object, Connection: f.Connection, States: words(f.State), Q: f.Q, Limit: limit, Cursor: cursor}
		if within.Veil() != nil && q.Q != "" {
			return nil, 0, "", Problem(http.StatusUnprocessableEntity, "q: parts of alerts are masked for you: work orders cannot be looked for by their text")
		}
		items, total, next, err := orders.Orders(ctx, q)
		for i := range items {
			seenOrder(&items[i], within)
		}
		return items, total, next, dispatchProblem(err)
	}
	// open finds an order within the caller's reach.
	open := func(ctx context.Context, id, detail string) (orderDetail, error) {
		AuditObject(ctx, "work-order:"+clip(id, 64), "", detail)
		within, err := Reach(ctx, "")
		if err != nil {
			return orderDetail{}, err
		}
		o, messages, err := orders.Order(ctx, within, id)
		seenOrder(&o, within)
		return orderDetail{o, messages}, dispatchProblem(err)
	}
	Register(s, huma.Operation{OperationID: "list-work-orders", Method: http.MethodGet, Path: "/work-orders", Tags: tags, Summary: "Work orders, newest first", Errors: []int{403, 422}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			OrderFilter
			PageInput
		}) (*Body[Page[workorder.Order]], error) {
			items, total, next, err := list(ctx, in.OrderFilter, in.Limit, in.Cursor)
			return Reply(PageOf(items, total, next)), err
		})
	Register(s, huma.Operation{OperationID: "export-work-orders", Method: http.MethodGet, Path: "/work-orders/export", Tags: tags, Summary: "Work orders as a table, 10000 at most", Responses: fileResponses(), Errors: []int{403, 422}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			OrderFilter
			TableInput
		}) (*huma.StreamResponse, error) {
			rows := [][]any{}
			for cursor, more := "", true; more && len(rows) < maxExported; more = cursor != "" {
				items, _, next, err := list(ctx, in.OrderFilter, 500, cursor)
				if err != nil {
					return nil, err
				}
				for i := range items {
					o := &items[i]
					rows = append(rows, []any{o.ID, o.ConnectionName, o.External, o.Object, o.Tenant, o.Title, o.State, o.TheirState, o.Handler, o.Note, o.MadeBy, time.UnixMilli(o.MadeAt).Format(time.RFC3339), o.Error})
				}
				cursor = next
			}
			return tableAnswer("work-orders", in.Format, []string{"工单 order", "系统 system", "对方编号 external", "对象 object", "租户 tenant", "标题 title", "状态 state", "对方状态 their_state", "处理人 handler", "结果 note", "创建人 made_by", "创建时间 made_at", "错误 error"}, rows)
		})
	Register(s, huma.Operation{OperationID: "create-work-order", Method: http.MethodPost, Path: "/work-orders", Tags: tags, Summary: "Make a work order of an alert, an incident or findings in another system", DefaultStatus: http.StatusCreated, Errors: []int{404, 409, 422}}, identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			Body struct {
				Connection string `json:"connection" minLength:"1" maxLength:"64" doc:"Id of one of the targets"`
				Object     string `json:"object" minLength:"1" maxLength:"64" doc:"Id of an alert, an incident or a work order of findings"`
			}
		}) (*Body[workorder.Order], error) {
			AuditObject(ctx, "work-order", "", clip(in.Body.Object, 64)+" "+clip(in.Body.Connection, 64))
			by, err := acting(ctx)
			if err != nil {
				return nil, err
			}
			if err := s.inReach(ctx, by, in.Body.Object); err != nil {
				return nil, err
			}
			o, err := orders.Make(ctx, by.Name, in.Body.Connection, in.Body.Object, "")
			if err != nil {
				return nil, dispatchProblem(err)
			}
			AuditObject(ctx, "work-order:"+o.ID, o.Tenant, o.Object+" "+o.ConnectionName)
			seenOrder(&o, by.Reach)
			return Reply(o), nil
		})
	Register(s, huma.Operation{OperationID: "get-work-order", Method: http.MethodGet, Path: "/work-orders/{id}", Tags: tags, Summary: "One work order, and what its system was told", Errors: []int{404}}, identity.ScopeRead,
		func(ctx context.Context, in *IDInput) (*Body[orderDetail], error) {
			d, err := open(ctx, in.ID, "")
			return Reply(d), err
		})
	for _, a := range []struct {
		id, path, summary string
		do                func(ctx context.Context, id string) error
	}{
		{"resend-work-order", "/again", "Send what was given up of a work order once more", func(ctx context.Context, id string) error { return orders.Again(ctx, Actor(ctx), id) }},
		{"sync-work-order", "/sync", "Ask the other system for a work order now", orders.Sync},
	} {
		Register(s, huma.Operation{OperationID: a.id, Method: http.MethodPost, Path: "/work-orders/{id}" + a.path, Tags: tags, Summary: a.summary, Errors: []int{404, 409}}, identity.ScopeRespond,
			func(ctx context.Context, in *IDInput) (*Body[orderDetail], error) {
				if _, err := open(ctx, in.ID, a.path[1:]); err != nil {
					return nil, err
				}
				if err := a.do(ctx, in.ID); err != nil {
					return nil, dispatchProblem(err)
				}
				d, err := open(ctx, in.ID, a.path[1:])
				return Reply(d), err
			})
	}
}

// inReach refuses an alert, an incident or a work order of findings that the caller does not see.
func (s *Server) inReach(ctx context.Context, by ticketing.Actor, id string) error {
	if strings.HasPrefix(id, finding.OrderPrefix) && s.deps.Weaknesses != nil {
		_, _, _, err := s.deps.Weaknesses.Order(ctx, by.Reach, id)
		return findingProblem(err)
	}
	svc := s.deps.Casework.Incidents
	var err error
	if strings.HasPrefix(id, "INC-") {
		_, err = svc.Heading(ctx, by.Reach, id)
	} else {
		_, err = svc.Alert(ctx, by.Reach, id)
	}
	return ticketProblem(err)
}
