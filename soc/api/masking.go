package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/soc/identity"
	"icewatch/soc/masking"
	"icewatch/soc/reach"
)

// maskingInput is a masking rule as it is written.
type maskingInput struct {
	Name        masking.Text `json:"name"`
	Description string       `json:"description,omitempty" maxLength:"2000"`
	Enabled     bool         `json:"enabled,omitempty"`
	Fields      []string     `json:"fields,omitempty" maxItems:"100" doc:"Of which values; none is every text of the event, and needs a pattern"`
	Pattern     string       `json:"pattern,omitempty" maxLength:"1000" doc:"What of the values, a regular expression (RE2); empty is all"`
	Check       string       `json:"check,omitempty" enum:",luhn,id-card" doc:"A further test of what the pattern finds"`
	Method      string       `json:"method" enum:"full,keep,hash" doc:"Hidden wholly, but for the first and last characters, or by a mark that is the same for equal values"`
	First       int          `json:"first,omitempty" minimum:"0" maximum:"64"`
	Last        int          `json:"last,omitempty" minimum:"0" maximum:"64"`
	Strict      bool         `json:"strict,omitempty" doc:"Filters do not see the text of events that have one of the fields"`
	ExemptRoles []string     `json:"exempt_roles,omitempty" maxItems:"100" doc:"Ids of the roles that see the values"`
}

func (in maskingInput) rule() masking.Rule {
	return masking.Rule{Name: in.Name, Description: in.Description, Enabled: in.Enabled, Fields: in.Fields, Pattern: in.Pattern, Check: in.Check, Method: in.Method,
		First: in.First, Last: in.Last, Strict: in.Strict, ExemptRoles: in.ExemptRoles}
}

// maskingSample is a text before and after a rule.
type maskingSample struct {
	Before  string `json:"before"`
	After   string `json:"after"`
	Changed bool   `json:"changed"`
}

// maskingMine is a rule as those see it for whom it holds.
type maskingMine struct {
	Name    masking.Text `json:"name"`
	Fields  []string     `json:"fields" nullable:"false"`
	Pattern bool         `json:"pattern" doc:"It hides parts of texts"`
}

type maskingID struct {
	ID string `path:"id" maxLength:"64"`
}

func (s *Server) maskingRoutes() {
	tags := []string{"masking"}
	// each registers an operation that answers with one rule.
	store := func() (*masking.Store, error) {
		if s.deps.Masking == nil {
			return nil, unavailable("masking")
		}
		return s.deps.Masking, nil
	}
	Register(s, huma.Operation{OperationID: "list-masking-rules", Method: http.MethodGet, Path: "/masking/rules", Tags: tags, Summary: "The masking rules"}, identity.ScopeSecurity,
		func(ctx context.Context, in *struct {
			PageInput
			Text    string `query:"text" maxLength:"200" doc:"In the id, the name, the description, the fields or the pattern"`
			Enabled string `query:"enabled" enum:",true,false"`
		}) (*Body[Page[masking.Rule]], error) {
			m, err := store()
			if err != nil {
				return nil, err
			}
			q := masking.Query{Text: in.Text, Limit: in.Limit}
			if in.Enabled != "" {
				on := in.Enabled == "true"
				q.Enabled = &on
			}
			if in.Cursor != "" {
				if q.Offset, err = strconv.Atoi(in.Cursor); err != nil || q.Offset < 0 {
					return nil, Problem(http.StatusBadRequest, "cursor: %q is not one that a page gave", clip(in.Cursor, 64))
				}
			}
			list, total, err := m.List(ctx, q)
			if err != nil {
				return nil, err
			}
			next := ""
			if q.Offset+len(list) < total {
				next = strconv.Itoa(q.Offset + len(list))
			}
			return Reply(PageOf(list, total, next)), nil
		})

	Register(s, huma.Operation{OperationID: "get-masking-rule", Method: http.MethodGet, Path: "/masking/rules/{id}", Tags: tags, Summary: "One masking rule", Errors: []int{404}}, identity.ScopeSecurity,
		func(ctx context.Context, in *maskingID) (*Body[masking.Rule], error) {
			m, err := store()
			if err != nil {
				return nil, err
			}
			r, err := m.Get(ctx, in.ID)
			return Reply(r), maskingProblem(err, in.ID)
		})

	Register(s, huma.Operation{OperationID: "create-masking-rule", Method: http.MethodPost, Path: "/masking/rules", Tags: tags, Summary: "Add a masking rule", DefaultStatus: http.StatusCreated, Errors: []int{422}},
		identity.ScopeSecurity,
		func(ctx context.Context, in *struct{ Body maskingInput }) (*Body[masking.Rule], error) {
			m, err := store()
			if err != nil {
				return nil, err
			}
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			r, err := m.Create(ctx, in.Body.rule(), Actor(ctx))
			AuditObject(ctx, "masking-rule:"+r.ID, "", in.Body.Name.ZH)
			return Reply(r), maskingProblem(err, "")
		})

	Register(s, huma.Operation{OperationID: "update-masking-rule", Method: http.MethodPut, Path: "/masking/rules/{id}", Tags: tags, Summary: "Change a masking rule", Errors: []int{404, 422}}, identity.ScopeSecurity,
		func(ctx context.Context, in *struct {
			ID   string `path:"id" maxLength:"64"`
			Body maskingInput
		}) (*Body[masking.Rule], error) {
			return s.changeMasking(ctx, in.ID, func(m *masking.Store) (masking.Rule, error) {
				return m.Update(ctx, in.ID, in.Body.rule(), Actor(ctx))
			})
		})

	for _, on := range []bool{true, false} {
		word, summary := "enable", "Put a masking rule in force"
		if !on {
			word, summary = "disable", "Put a masking rule out of force"
		}
		Register(s, huma.Operation{OperationID: word + "-masking-rule", Method: http.MethodPost, Path: "/masking/rules/{id}/" + word, Tags: tags, Summary: summary, Errors: []int{404}}, identity.ScopeSecurity,
			func(ctx context.Context, in *maskingID) (*Body[masking.Rule], error) {
				return s.changeMasking(ctx, in.ID, func(m *masking.Store) (masking.Rule, error) { return m.Enable(ctx, in.ID, on, Actor(ctx)) })
			})
	}

	Register(s, huma.Operation{OperationID: "delete-masking-rule", Method: http.MethodDelete, Path: "/masking/rules/{id}", Tags: tags, Summary: "Remove a masking rule", Errors: []int{404, 409}}, identity.ScopeSecurity,
		func(ctx context.Context, in *maskingID) (*Empty, error) {
			_, err := s.changeMasking(ctx, in.ID, func(m *masking.Store) (masking.Rule, error) { return masking.Rule{}, m.Delete(ctx, in.ID) })
			if err != nil {
				return nil, err
			}
			return &Empty{}, nil
		})

	Register(s, huma.Operation{OperationID: "preview-masking", Method: http.MethodPost, Path: "/masking/preview", Tags: tags, Summary: "Show texts as a masking rule would have them shown", Errors: []int{422}}, identity.ScopeSecurity,
		func(ctx context.Context, in *struct {
			Body struct {
				Rule    maskingInput `json:"rule"`
				Samples []string     `json:"samples" maxItems:"50"`
			}
		}) (*Body[Page[maskingSample]], error) {
			stateOf(ctx).skipAudit = true // it changes nothing
			m, err := store()
			if err != nil {
				return nil, err
			}
			shown, err := m.Preview(in.Body.Rule.rule(), in.Body.Samples)
			if err != nil {
				return nil, maskingProblem(err, "")
			}
			list := make([]maskingSample, len(shown))
			for i := range shown {
				list[i] = maskingSample{in.Body.Samples[i], shown[i], shown[i] != in.Body.Samples[i]}
			}
			return Reply(PageOf(list, len(list), "")), nil
		})

	Register(s, huma.Operation{OperationID: "my-masking", Method: http.MethodGet, Path: "/masking/mine", Tags: tags, Summary: "What is masked for the caller"}, ScopeAny,
		func(ctx context.Context, _ *Empty) (*Body[Page[maskingMine]], error) {
			var list []maskingMine
			if s.deps.Masking != nil {
				for _, r := range s.deps.Masking.InForce(s.rolesInForce(PrincipalFrom(ctx))) {
					list = append(list, maskingMine{r.Name, r.Fields, r.Pattern != ""})
				}
			}
			return Reply(PageOf(list, len(list), "")), nil
		})
}

// changeMasking changes a rule, which holds for the whole suite.
func (s *Server) changeMasking(ctx context.Context, id string, change func(*masking.Store) (masking.Rule, error)) (*Body[masking.Rule], error) {
	AuditObject(ctx, "masking-rule:"+clip(id, 64), "", "")
	if s.deps.Masking == nil {
		return nil, unavailable("masking")
	}
	if err := cityOnly(ctx); err != nil {
		return nil, err
	}
	r, err := change(s.deps.Masking)
	return Reply(r), maskingProblem(err, id)
}

func maskingProblem(err error, id string) error {
	switch {
	case errors.Is(err, masking.ErrNotFound):
		return NotFound("masking rule", id)
	case errors.Is(err, masking.ErrInvalid):
		return Problem(http.StatusUnprocessableEntity, "%s", err.Error())
	case errors.Is(err, masking.ErrBuiltIn):
		return Problem(http.StatusConflict, "%s", err.Error())
	}
	return err
}

// veiled is the reach with what is hidden from a principal.
func (s *Server) veiled(r reach.Reach, p *identity.Principal) reach.Reach {
	if s.deps.Masking == nil || !s.deps.Masking.Active() {
		return r
	}
	v, err := s.deps.Masking.Veil(s.rolesInForce(p))
	if err != nil {
		s.log.Error("the masking rules do not compile: nobody sees events", "error", err)
		return reach.None()
	}
	return r.WithVeil(v)
}

// roleMemory remembers the roles of users for a short time, since every request
// asks for them while rules are in force.
type roleMemory struct {
	mu    sync.Mutex
	users map[string]keptRoles
}

type keptRoles struct {
	until time.Time
	roles []string
}

const (
	keepRoles    = 5 * time.Second
	maxKeptRoles = 10_000
)

// rolesInForce are the roles of a principal at the moment, by grants as well. Of
// an API token they are its owner's; a token without an owner has none.
func (s *Server) rolesInForce(p *identity.Principal) []string {
	if p == nil || p.UserID == "" || p.Via == identity.ViaLocal {
		if p == nil {
			return nil
		}
		return p.Roles
	}
	now := time.Now()
	s.roles.mu.Lock()
	kept, ok := s.roles.users[p.UserID]
	s.roles.mu.Unlock()
	if ok && now.Before(kept.until) {
		return kept.roles
	}
	ctx, cancel := context.WithTimeout(s.stop, 5*time.Second)
	defer cancel()
	standing, err := s.deps.Identity.Standing(ctx, p.UserID)
	if errors.Is(err, identity.ErrNotFound) {
		err = nil // a token without an owner
	}
	if err != nil {
		s.log.Warn("the roles of a user cannot be read: no role is taken as exempt from masking", "user", p.Username, "error", err)
		return nil
	}
	s.roles.mu.Lock()
	defer s.roles.mu.Unlock()
	if s.roles.users == nil || len(s.roles.users) >= maxKeptRoles {
		s.roles.users = map[string]keptRoles{}
	}
	s.roles.users[p.UserID] = keptRoles{now.Add(keepRoles), standing.InForce}
	return standing.InForce
}
