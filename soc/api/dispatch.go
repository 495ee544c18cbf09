package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/soc/identity"
	"icewatch/soc/preferences"
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
