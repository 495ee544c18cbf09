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
	"icewatch/soc/identity"
	"icewatch/soc/preferences"
	"icewatch/soc/reach"
	"icewatch/ticketing"
	"icewatch/ticketing/daily"
	"icewatch/ticketing/disposal"
	"icewatch/ticketing/notice"
	"icewatch/ticketing/transition"
	"icewatch/ticketing/workorder"
)

// Dispatch is what hands alerts and incidents on: work orders in other systems,
// rules of disposal, notices, daily reports, and who may move what from state to
// state.
type Dispatch struct {
	Orders      *workorder.Service
	Rules       *disposal.Service
	Moves       func() transition.Table
	Preferences *preferences.Store
	Notices     *notice.Store
	Daily       *daily.Service
}

// MayMove refuses whoever asks in ctx a move that the table does not give him.
// What the suite does by itself, and who follows a link that was sent to him, is
// not asked for roles.
func (s *Server) MayMove(ctx context.Context, t transition.Table, of, from, to string) error {
	p := PrincipalFrom(ctx)
	if p == nil {
		return nil
	}
	return t.May(of, from, to, s.rolesInForce(p))
}

// dispatchProblem says the errors of these rooms as problems.
func dispatchProblem(err error) error {
	for _, p := range []struct {
		kind   error
		status int
	}{
		{workorder.ErrNotFound, http.StatusNotFound}, {workorder.ErrInvalid, http.StatusUnprocessableEntity}, {workorder.ErrConflict, http.StatusConflict},
		{disposal.ErrNotFound, http.StatusNotFound}, {disposal.ErrInvalid, http.StatusUnprocessableEntity}, {disposal.ErrConflict, http.StatusConflict},
		{preferences.ErrInvalid, http.StatusUnprocessableEntity},
	} {
		if errors.Is(err, p.kind) {
			return Problem(p.status, "%s", plain(err, p.kind, ""))
		}
	}
	return ticketProblem(err)
}

// dispatchRoutes registers them.
func (s *Server) dispatchRoutes() {
	if s.deps.Dispatch == nil {
		return
	}
	s.figureRoutes()
	s.archiveRoutes()
	s.preferenceRoutes()
	s.handle(http.MethodPost, orderHookPath, "work-order-hook", scopePublic, s.takeOrderHook)
	s.connectionRoutes()
	s.orderRoutes()
	s.disposalRoutes()
	s.noticeRoutes()
	s.dailyRoutes()
}

func (s *Server) figureRoutes() {
	Register(s, huma.Operation{OperationID: "get-incident-figures", Method: http.MethodGet, Path: "/incidents/figures", Tags: []string{"incidents"},
		Summary: "Incidents and alerts of the last days: totals, those of the days before, day by day, and by state, severity, source, unit, system, handler and more", Errors: []int{400, 403, 422}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Days   int    `query:"days" minimum:"1" maximum:"92" default:"7" doc:"Days of the calendar, today among them; the dashboard shows 7 and 14"`
			Tenant string `query:"tenant" maxLength:"4096"`
			Zone   string `query:"zone" maxLength:"64" default:"Asia/Shanghai" doc:"IANA time zone whose days are meant"`
		}) (*Body[ticketing.Figures], error) {
			within, err := Reach(ctx, in.Tenant)
			if err != nil {
				return nil, err
			}
			zone, err := time.LoadLocation(in.Zone)
			if err != nil || in.Zone == "Local" {
				return nil, Problem(http.StatusUnprocessableEntity, "zone: %q is no IANA time zone such as Asia/Shanghai", in.Zone)
			}
			f, err := s.deps.Casework.Incidents.Figures(ctx, ticketing.FiguresQuery{Reach: within, To: time.Now(), Days: in.Days, Zone: zone})
			if err != nil {
				return nil, ticketProblem(err)
			}
			s.nameShares(f.By)
			return Reply(f), nil
		})
}

// nameShares says what people call tenants, units and teams.
func (s *Server) nameShares(by []ticketing.Dimension) {
	for _, d := range by {
		for i := range d.Shares {
			sh := &d.Shares[i]
			switch {
			case d.By == ticketing.ByTenant && s.deps.Tenants != nil:
				if t, ok := s.deps.Tenants.Get(sh.Key); ok {
					sh.Name = t.Name.ZH
				}
			case d.By == ticketing.ByUnit && s.deps.Units != nil:
				if u, ok := s.deps.Units.Tree().Get(sh.Key); ok {
					sh.Name = u.Name.ZH
				}
			case d.By == ticketing.ByTeam && s.deps.Duty != nil:
				if t, ok := s.deps.Duty.Roster().Team(sh.Key); ok {
					sh.Name = t.Name.ZH
				}
			}
		}
	}
}

// movesView is what the caller may do with an incident.
type movesView struct {
	Status ticketing.Status `json:"status"`
	To     []string         `json:"to" nullable:"false" doc:"States that the caller's roles may move it to"`
}

func (s *Server) archiveRoutes() {
	svc := s.deps.Casework.Incidents
	act := func(ctx context.Context, id, detail string, do func(by ticketing.Actor) (ticketing.Incident, error)) (*Body[ticketing.Incident], error) {
		AuditObject(ctx, "incident:"+clip(id, 64), "", detail)
		by, err := acting(ctx)
		if err != nil {
			return nil, err
		}
		i, err := do(by)
		return Reply(i), ticketProblem(err)
	}
	Register(s, caseOp("archive-incident", http.MethodPost, "/archive", "Put a closed incident into the archive"), identity.ScopeRespond,
		func(ctx context.Context, in *IDInput) (*Body[ticketing.Incident], error) {
			return act(ctx, in.ID, "archive", func(by ticketing.Actor) (ticketing.Incident, error) { return svc.ArchiveIncident(ctx, by, in.ID) })
		})
	Register(s, caseOp("restore-incident", http.MethodPost, "/restore", "Bring an incident back out of the archive"), identity.ScopeRespond,
		func(ctx context.Context, in *IDInput) (*Body[ticketing.Incident], error) {
			return act(ctx, in.ID, "restore", func(by ticketing.Actor) (ticketing.Incident, error) { return svc.RestoreIncident(ctx, by, in.ID) })
		})
	Register(s, caseOp("list-incident-moves", http.MethodGet, "/moves", "To which states the caller's roles may move an incident"), identity.ScopeRead,
		func(ctx context.Context, in *IDInput) (*Body[movesView], error) {
			c, err := s.openCase(ctx, in.ID, "")
			if err != nil {
				return nil, err
			}
			return Reply(movesView{c.Status, s.openMoves(ctx, transition.Incident, string(c.Status))}), nil
		})
}

// openMoves are the states that the caller may move a thing to.
func (s *Server) openMoves(ctx context.Context, of, from string) []string {
	return s.deps.Dispatch.Moves().Open(of, from, s.rolesInForce(PrincipalFrom(ctx)))
}

func (s *Server) preferenceRoutes() {
	store, tags := s.deps.Dispatch.Preferences, []string{"me"}
	Register(s, huma.Operation{OperationID: "get-my-preferences", Method: http.MethodGet, Path: "/me/preferences/{page}", Tags: tags,
		Summary: "How I want to see a page: how often it refreshes, its search items and columns, my searches", Errors: []int{403, 422}}, identity.ScopeRead,
		func(ctx context.Context, in *PreferredPage) (*Body[preferences.Page], error) {
			who, err := personOf(ctx)
			if err != nil {
				return nil, err
			}
			p, err := store.Get(ctx, who, in.Page)
			return Reply(p), dispatchProblem(err)
		})
	Register(s, huma.Operation{OperationID: "set-my-preferences", Method: http.MethodPut, Path: "/me/preferences/{page}", Tags: tags,
		Summary: "Keep how I want to see a page", Errors: []int{403, 422}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			PreferredPage
			Body preferences.Page
		}) (*Body[preferences.Page], error) {
			AuditObject(ctx, "own preferences", "", clip(in.Page, 64))
			who, err := personOf(ctx)
			if err != nil {
				return nil, err
			}
			p, err := store.Set(ctx, who, in.Page, in.Body)
			return Reply(p), dispatchProblem(err)
		})
}

// PreferredPage names a page of the console. It is exported because inputs embed it.
type PreferredPage struct {
	Page string `path:"page" maxLength:"64" pattern:"^[a-z0-9][a-z0-9-]*$" doc:"Name of a page of the console, such as my-incidents"`
}

// personOf is the id of the person who asks; a token without an owner has none.
func personOf(ctx context.Context) (string, error) {
	p := PrincipalFrom(ctx)
	if !personal(p) {
		return "", Problem(http.StatusForbidden, "this belongs to a person: sign in, or use a personal token")
	}
	return p.UserID, nil
}

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
	Object     string `query:"object" maxLength:"64" doc:"Id of an alert or incident"`
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
	Register(s, huma.Operation{OperationID: "create-work-order", Method: http.MethodPost, Path: "/work-orders", Tags: tags, Summary: "Make a work order of an alert or incident in another system", DefaultStatus: http.StatusCreated, Errors: []int{404, 409, 422}}, identity.ScopeRespond,
		func(ctx context.Context, in *struct {
			Body struct {
				Connection string `json:"connection" minLength:"1" maxLength:"64" doc:"Id of one of the targets"`
				Object     string `json:"object" minLength:"1" maxLength:"64" doc:"Id of an alert or incident"`
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

// inReach refuses an alert or incident that the caller does not see.
func (s *Server) inReach(ctx context.Context, by ticketing.Actor, id string) error {
	svc := s.deps.Casework.Incidents
	var err error
	if strings.HasPrefix(id, "INC-") {
		_, err = svc.Heading(ctx, by.Reach, id)
	} else {
		_, err = svc.Alert(ctx, by.Reach, id)
	}
	return ticketProblem(err)
}

// DisposalBody is a disposal rule as it is written. It is exported because
// inputs embed it.
type DisposalBody struct {
	disposal.Content
	Position int   `json:"position,omitempty" minimum:"0" doc:"Its place among the rules; left out it stays where it is"`
	Revision int64 `json:"revision,omitempty" doc:"Of what was read before the change; without it whatever is there is replaced"`
}

// matchedThing is an alert or incident that a rule would match.
type matchedThing struct {
	ID       string    `json:"id"`
	Kind     string    `json:"kind" enum:"alert,incident"`
	Title    string    `json:"title,omitempty"`
	Tenant   string    `json:"tenant"`
	Severity string    `json:"severity"`
	OpenedAt time.Time `json:"opened_at"`
}

// previewOver is how much of the past a preview looks at.
const previewOver = 200

func (s *Server) disposalRoutes() {
	rules, tags := s.deps.Dispatch.Rules, []string{"disposal rules"}
	// Rules see every tenant's alerts, whoever wrote them.
	one := func(ctx context.Context, id, detail string, do func(by string) (disposal.Rule, error)) (*Body[disposal.Rule], error) {
		AuditObject(ctx, "disposal-rule:"+clip(id, 64), "", clip(detail, 200))
		if err := cityOnly(ctx); err != nil {
			return nil, err
		}
		r, err := do(Actor(ctx))
		return Reply(r), dispatchProblem(err)
	}
	Register(s, huma.Operation{OperationID: "list-disposal-rules", Method: http.MethodGet, Path: "/disposal-rules", Tags: tags, Summary: "Rules by which alerts and incidents are handed on, in their order", Errors: []int{403}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			Deleted bool `query:"deleted" doc:"Those that were deleted, too"`
		}) (*Body[Page[disposal.Rule]], error) {
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			list, err := rules.Rules(ctx, in.Deleted)
			return Reply(PageOf(list, len(list), "")), err
		})
	Register(s, huma.Operation{OperationID: "create-disposal-rule", Method: http.MethodPost, Path: "/disposal-rules", Tags: tags, Summary: "Add a disposal rule", DefaultStatus: http.StatusCreated, Errors: []int{403, 409, 422}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct{ Body disposal.Content }) (*Body[disposal.Rule], error) {
			return one(ctx, "", in.Body.Name, func(by string) (disposal.Rule, error) { return rules.Add(ctx, by, in.Body) })
		})
	Register(s, huma.Operation{OperationID: "preview-disposal-rule", Method: http.MethodPost, Path: "/disposal-rules/preview", Tags: tags,
		Summary: "Which of the latest alerts or incidents a rule would have matched, without keeping it", Errors: []int{403, 422}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct{ Body disposal.Content }) (*Body[Page[matchedThing]], error) {
			stateOf(ctx).skipAudit = true // it changes nothing
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			within, err := Reach(ctx, "")
			if err != nil {
				return nil, err
			}
			subjects, err := s.latest(ctx, within, in.Body.On)
			if err != nil {
				return nil, err
			}
			list, err := disposal.Matches(in.Body, subjects, func(sub *workorder.Subject) time.Time { return sub.OpenedAt })
			out := []matchedThing{}
			for _, m := range list {
				if within.Veil() != nil {
					m.Title = ""
				}
				out = append(out, matchedThing{m.ID, m.Kind, m.Title, m.Tenant, m.Severity, m.OpenedAt})
			}
			return Reply(PageOf(out, len(out), "")), dispatchProblem(err)
		})
	Register(s, huma.Operation{OperationID: "get-disposal-rule", Method: http.MethodGet, Path: "/disposal-rules/{id}", Tags: tags, Summary: "One disposal rule", Errors: []int{403, 404}}, identity.ScopeConfigure,
		func(ctx context.Context, in *IDInput) (*Body[disposal.Rule], error) {
			return one(ctx, in.ID, "", func(string) (disposal.Rule, error) { return rules.Rule(ctx, in.ID) })
		})
	Register(s, huma.Operation{OperationID: "update-disposal-rule", Method: http.MethodPut, Path: "/disposal-rules/{id}", Tags: tags, Summary: "Change a disposal rule", Errors: []int{403, 404, 409, 422}}, identity.ScopeConfigure,
		func(ctx context.Context, in *struct {
			IDInput
			Body DisposalBody
		}) (*Body[disposal.Rule], error) {
			return one(ctx, in.ID, in.Body.Name, func(by string) (disposal.Rule, error) {
				return rules.Change(ctx, by, in.ID, in.Body.Revision, in.Body.Position, in.Body.Content)
			})
		})
	Register(s, huma.Operation{OperationID: "delete-disposal-rule", Method: http.MethodDelete, Path: "/disposal-rules/{id}", Tags: tags, Summary: "Take a disposal rule away; it can be restored", Errors: []int{403, 404, 409}}, identity.ScopeConfigure,
		func(ctx context.Context, in *IDInput) (*Body[disposal.Rule], error) {
			return one(ctx, in.ID, "", func(by string) (disposal.Rule, error) { return rules.Delete(ctx, by, in.ID) })
		})
	Register(s, huma.Operation{OperationID: "restore-disposal-rule", Method: http.MethodPost, Path: "/disposal-rules/{id}/restore", Tags: tags, Summary: "Bring a deleted disposal rule back", Errors: []int{403, 404, 409}}, identity.ScopeConfigure,
		func(ctx context.Context, in *IDInput) (*Body[disposal.Rule], error) {
			return one(ctx, in.ID, "", func(by string) (disposal.Rule, error) { return rules.Restore(ctx, by, in.ID) })
		})
	Register(s, huma.Operation{OperationID: "list-disposal-records", Method: http.MethodGet, Path: "/disposal-records", Tags: tags, Summary: "What disposal rules did, the latest first", Errors: []int{403, 422}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			PageInput
			Tenant string `query:"tenant" maxLength:"4096"`
			Rule   string `query:"rule" maxLength:"64"`
			Object string `query:"object" maxLength:"64" doc:"Id of an alert or incident"`
			Failed bool   `query:"failed" doc:"Only those of which something could not be done"`
		}) (*Body[Page[disposal.Record]], error) {
			within, err := Reach(ctx, in.Tenant)
			if err != nil {
				return nil, err
			}
			items, total, next, err := rules.Records(ctx, disposal.RecordQuery{Reach: within, Rule: in.Rule, Object: in.Object, Failed: in.Failed, Limit: in.Limit, Cursor: in.Cursor})
			for i := range items {
				if within.Veil() != nil || !within.CoversWhole(items[i].Tenant) {
					items[i].Title = ""
				}
			}
			return Reply(PageOf(items, total, next)), dispatchProblem(err)
		})
}

// latest are the latest alerts or incidents in reach, as rules see them.
func (s *Server) latest(ctx context.Context, within reach.Reach, on string) (out []workorder.Subject, err error) {
	svc := s.deps.Casework.Incidents
	var ids []string
	if on == disposal.OnAlert {
		list, _, _, err := svc.Alerts(ctx, ticketing.AlertQuery{Reach: within, Page: ticketing.Page{Sort: "-created_at", Limit: previewOver}})
		if err != nil {
			return nil, ticketProblem(err)
		}
		for i := range list {
			ids = append(ids, list[i].ID)
		}
	} else {
		list, _, _, err := svc.Incidents(ctx, ticketing.IncidentQuery{Reach: within, Archived: ticketing.ArchivedToo, Page: ticketing.Page{Sort: "-opened_at", Limit: previewOver}})
		if err != nil {
			return nil, ticketProblem(err)
		}
		for i := range list {
			ids = append(ids, list[i].ID)
		}
	}
	desk := ticketing.Desk{Service: svc}
	for _, id := range ids {
		sub, err := desk.Subject(ctx, id)
		if errors.Is(err, workorder.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, sub)
	}
	return out, nil
}
