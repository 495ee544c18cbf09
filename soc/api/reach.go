package api

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"

	"icewatch/detections"
	"icewatch/soc/audit"
	"icewatch/soc/identity"
	"icewatch/soc/reach"
	"icewatch/soc/tenancy"
)

// headerSeeAs names, on a reading request, the user whose data scope narrows
// the answer.
const headerSeeAs = "X-Icewatch-See-As"

// postReads are the paths of requests that read though they are sent by POST: what
// they ask for is too long for an address.
var postReads = map[string]bool{"/api/v1/graph/neighbours": true, "/api/v1/graph/trace": true}

// previewReach is the operation that tells what a user may see. Who may do it
// may look through a user's eyes as well.
const previewReach = "preview-reach"

// covered is a tenant that a data scope covers, wholly or in part.
type covered struct {
	Slug     string          `json:"slug"`
	Name     detections.Text `json:"name"`
	Coverage string          `json:"coverage" enum:"whole,part" doc:"In part: each row is looked at"`
	Unit     string          `json:"unit"`
	Region   string          `json:"region"`
	Industry string          `json:"industry"`
	Labels   []string        `json:"labels" nullable:"false"`
}

// coverage lists the tenants a reach covers and that show lets through.
func (s *Server) coverage(r reach.Reach, show func(slug string) bool) (list []covered, whole, part int) {
	list = []covered{}
	if s.deps.Tenants == nil {
		return list, 0, 0
	}
	for _, t := range s.deps.Tenants.List() {
		if !r.CoversTenant(t.Slug) || !show(t.Slug) {
			continue
		}
		c := covered{Slug: t.Slug, Name: detections.Text(t.Name), Coverage: "part", Unit: t.Unit, Region: t.Region, Industry: t.Industry, Labels: t.Labels}
		if c.Labels == nil {
			c.Labels = []string{}
		}
		if r.CoversWhole(t.Slug) {
			c.Coverage = "whole"
			whole++
		} else {
			part++
		}
		list = append(list, c)
	}
	return list, whole, part
}

// reachFault is what is wrong with an expression, and where.
type reachFault struct {
	Position int    `json:"position" doc:"Characters before the fault"`
	Message  string `json:"message"`
}

// reachCheck is what an expression means.
type reachCheck struct {
	Valid     bool        `json:"valid"`
	Canonical string      `json:"canonical" doc:"The expression as it will be kept"`
	Error     *reachFault `json:"error"`
	Unknown   []string    `json:"unknown" nullable:"false" doc:"Names of tenants and organisations that nobody knows"`
	Tenants   []covered   `json:"tenants" nullable:"false"`
	Whole     int         `json:"whole" doc:"Tenants covered wholly"`
	Part      int         `json:"part" doc:"Tenants covered in part"`
	Units     int         `json:"units" doc:"Organisations that the expression names, with those below where it says under"`
}

// reachPreview is what a user may see, without any of the data itself.
type reachPreview struct {
	User struct {
		ID          string `json:"id"`
		Username    string `json:"username"`
		DisplayName string `json:"display_name"`
	} `json:"user"`
	Expression string    `json:"expression" doc:"The user's own data scope; empty is no condition"`
	Listed     []string  `json:"tenants_listed" nullable:"false" doc:"The user's tenants, * for all"`
	Ceilings   []ceiling `json:"ceilings" nullable:"false" doc:"What bounds the user's organisation, from the top"`
	Everything bool      `json:"everything" doc:"The whole suite, tenants to come included"`
	Nothing    bool      `json:"nothing"`
	Tenants    []covered `json:"tenants" nullable:"false"`
	Whole      int       `json:"whole"`
	Part       int       `json:"part"`
	Units      []named   `json:"units" nullable:"false" doc:"Organisations of the tenants covered"`
	Regions    []string  `json:"regions" nullable:"false" doc:"Regions of the tenants covered"`
	Industries []string  `json:"industries" nullable:"false" doc:"Industries of the tenants covered"`
}

type named struct {
	ID   string          `json:"id"`
	Name detections.Text `json:"name"`
}

type ceiling struct {
	Unit       string          `json:"unit"`
	Name       detections.Text `json:"name"`
	Expression string          `json:"expression"`
}

// reachRoutes registers what there is to do with data scopes.
func (s *Server) reachRoutes() {
	Register(s, huma.Operation{OperationID: "check-reach", Method: http.MethodPost, Path: "/reach/check", Tags: []string{"reach"},
		Summary: "What a data scope means", Description: "The tenants listed are those the caller may see himself."}, ScopeAny,
		func(ctx context.Context, in *struct {
			Body struct {
				Expression string `json:"expression" maxLength:"16384"`
			}
		}) (*Body[reachCheck], error) {
			stateOf(ctx).skipAudit = true // it changes nothing
			return Reply(s.checkReach(ctx, in.Body.Expression)), nil
		})

	Register(s, huma.Operation{OperationID: previewReach, Method: http.MethodGet, Path: "/reach/preview", Tags: []string{"reach"},
		Summary: "What a user may see, without any of the data itself", Errors: []int{404}}, identity.ScopeSecurity,
		func(ctx context.Context, in *struct {
			User string `query:"user" required:"true" minLength:"1" maxLength:"64" doc:"Id or user name"`
		}) (*Body[reachPreview], error) {
			out, err := s.previewOf(ctx, in.User)
			if err != nil {
				return nil, err
			}
			AuditObject(ctx, "user:"+out.User.Username, "", "")
			return Reply(out), nil
		})

	Register(s, huma.Operation{OperationID: "describe-tenant", Method: http.MethodPatch, Path: "/tenants/{slug}", Tags: []string{"catalogue"},
		Summary: "Say which organisation, region and industry a tenant belongs to: what is given changes, the rest stays", Errors: []int{404, 422}},
		identity.ScopeSystem,
		func(ctx context.Context, in *struct {
			Slug string `path:"slug" maxLength:"63"`
			Body struct {
				Unit     *string   `json:"unit,omitempty" maxLength:"128" doc:"Id of an organisation"`
				Region   *string   `json:"region,omitempty"`
				Industry *string   `json:"industry,omitempty"`
				Labels   *[]string `json:"labels,omitempty"`
			}
		}) (*Body[tenant], error) {
			AuditObject(ctx, "tenant:"+in.Slug, in.Slug, "")
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			if s.deps.Tenants == nil {
				return nil, unavailable("the catalogue of tenants")
			}
			before, ok := s.deps.Tenants.Get(in.Slug)
			if !ok {
				return nil, NotFound("tenant", in.Slug)
			}
			if u := in.Body.Unit; u != nil && *u != "" {
				if s.deps.Units == nil {
					return nil, unavailable("the tree of organisations")
				}
				if _, ok := s.deps.Units.Tree().Get(*u); !ok {
					return nil, Problem(http.StatusUnprocessableEntity, "unit: there is no organisation with the id %q", clip(*u, 64))
				}
			}
			after, err := s.deps.Tenants.Describe(ctx, in.Slug, tenancy.Change{Unit: in.Body.Unit, Region: in.Body.Region, Industry: in.Body.Industry, Labels: in.Body.Labels})
			switch {
			case errors.Is(err, tenancy.ErrInvalid):
				return nil, Problem(http.StatusUnprocessableEntity, "%s", plain(err, tenancy.ErrInvalid, ""))
			case err != nil:
				return nil, err
			}
			AuditChange(ctx, before.Facts, after.Facts)
			systems, err := s.systemsOf(ctx)
			if err != nil {
				return nil, err
			}
			return Reply(tenantOf(after, systems)), nil
		})
}

func (s *Server) checkReach(ctx context.Context, expression string) reachCheck {
	out := reachCheck{Unknown: []string{}, Tenants: []covered{}}
	e, err := reach.Parse(expression)
	var se *reach.SyntaxError
	if errors.As(err, &se) {
		out.Error = &reachFault{se.Position, se.Reason}
		return out
	}
	out.Valid, out.Canonical = true, e.String()
	d := s.deps.Reach.Directory()
	if d == nil {
		return out
	}
	out.Unknown = append(out.Unknown, e.Unknown(d)...)
	out.Units = len(e.Units(d))
	all := s.may(ctx, previewReach)
	out.Tenants, out.Whole, out.Part = s.coverage(e.Compile(d), func(slug string) bool { return all || CanSee(ctx, slug) })
	return out
}

func (s *Server) previewOf(ctx context.Context, user string) (reachPreview, error) {
	u, p, err := s.userSeen(ctx, user)
	if err != nil {
		return reachPreview{}, err
	}
	r := s.reachOf(p)
	out := reachPreview{Expression: u.Reach, Listed: append([]string{}, u.Tenants...), Everything: r.Everything(), Nothing: r.Nothing(),
		Ceilings: []ceiling{}, Units: []named{}, Regions: []string{}, Industries: []string{}}
	out.User.ID, out.User.Username, out.User.DisplayName = u.ID, u.Username, u.DisplayName
	if u.AllTenants {
		out.Listed = []string{"*"}
	}
	out.Tenants, out.Whole, out.Part = s.coverage(r, func(string) bool { return true })
	add := func(list *[]string, value string) {
		if value != "" && !slices.Contains(*list, value) {
			*list = append(*list, value)
		}
	}
	var units []string
	for _, t := range out.Tenants {
		add(&units, t.Unit)
		add(&out.Regions, t.Region)
		add(&out.Industries, t.Industry)
	}
	if s.deps.Units == nil {
		return out, nil
	}
	tree := s.deps.Units.Tree()
	for _, id := range units {
		if unit, ok := tree.Get(id); ok {
			out.Units = append(out.Units, named{id, detections.Text(unit.Name)})
		}
	}
	for _, id := range tree.Path(u.Unit) {
		if unit, ok := tree.Get(id); ok && unit.Ceiling != "" {
			out.Ceilings = append(out.Ceilings, ceiling{id, detections.Text(unit.Name), unit.Ceiling})
		}
	}
	return out, nil
}

// userSeen reads the user of the id or name, and who he would be if he asked.
func (s *Server) userSeen(ctx context.Context, user string) (identity.User, *identity.Principal, error) {
	u, err := s.deps.Identity.User(ctx, user)
	if errors.Is(err, identity.ErrNotFound) {
		u, err = s.deps.Identity.UserByName(ctx, user)
	}
	if errors.Is(err, identity.ErrNotFound) {
		return u, nil, NotFound("user", clip(user, 64))
	}
	if err != nil {
		return u, nil, err
	}
	p, err := s.deps.Identity.PrincipalOf(ctx, u.ID)
	return u, p, err
}

// seeAs narrows what the caller sees to what the user of the header would. It
// never widens it, gives no permission, and serves reading alone.
func (s *Server) seeAs(c *fiber.Ctx, st *reqState) error {
	name := c.Get(headerSeeAs)
	if name == "" {
		return nil
	}
	switch ctx := c.UserContext(); {
	case !safeMethod(c.Method()) && !postReads[c.Path()]:
		return Problem(http.StatusBadRequest, "the header %s is for reading: take it off a %s", headerSeeAs, c.Method())
	case len(name) > 64:
		return Problem(http.StatusBadRequest, "the header %s is longer than a user's name", headerSeeAs)
	case !s.may(ctx, previewReach):
		return Problem(http.StatusForbidden, "looking through a user's eyes needs the right to %s", previewReach)
	default:
		u, p, err := s.userSeen(ctx, name)
		if err != nil {
			return err
		}
		st.own = st.own.And(s.reachOf(p))
		c.Set(headerSeeAs, u.Username)
		rec := st.auditRecord()
		rec.Kind, rec.Action, rec.Object, rec.Result = audit.KindRead, "see-as", "user:"+u.Username, audit.OK
		s.deps.Audit.Note(rec)
	}
	return nil
}
