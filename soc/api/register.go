package api

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"
	"github.com/gofiber/fiber/v2"

	"icewatch/soc/identity"
	"icewatch/soc/identity/policy"
	"icewatch/soc/reach"
)

// The scopes beyond those of soc/identity that a route may declare.
const (
	scopePublic = policy.ScopePublic // no credential at all; only what publicRoutes lists
	ScopeAny    = policy.ScopeAny    // every principal, whatever it holds
)

// confinable are the operations of administration that know the caller's part
// of the tree of units and keep within it: only these can be delegated to the
// administrator of a unit.
var confinable = []string{
	"list-users", "get-user", "create-user", "update-user", "delete-user", "batch-users", "import-users", "export-users", "set-user-access", "copy-user-access",
	"create-unit", "update-unit", "delete-unit", "import-units", "export-units",
	"list-groups", "get-group", "create-group", "update-group", "delete-group", "list-members", "add-member", "remove-member",
	"list-grants", "create-grant", "update-grant", "delete-grant",
}

// prefix stands before the path of every operation.
const prefix = "/api/v1"

// loginPath is where a user signs in.
const loginPath = prefix + "/auth/login"

// publicRoutes is the whole list of what answers without a credential. A route
// is public by standing here, not by anything said where it is registered.
var publicRoutes = []string{
	"POST " + loginPath,
	"GET /api/v1/auth/policy",
	"POST /api/v1/auth/captcha",
	"GET /api/v1/auth/captcha/image",
	"GET /api/v1/auth/captcha/audio",
	"GET /oidc/.well-known/openid-configuration",
	"GET /oidc/authorize",
	"GET /oidc/end_session",
	"GET /oidc/keys",
	"GET /oidc/userinfo",
	"POST /oidc/authorize",
	"POST /oidc/consent",
	"POST /oidc/end_session",
	"POST /oidc/introspect",
	"POST /oidc/revoke",
	"POST /oidc/token",
	"POST /oidc/userinfo",
	"GET /api/v1/branding",
	"GET /api/v1/acknowledge/:token",
	"POST /api/v1/acknowledge/:token",
	"GET /api/v1/duty/acknowledge/:token",
	"POST /api/v1/duty/acknowledge/:token",
	"GET /api/v1/branding/logo",
	"POST /api/v1/auth/login/totp",
	"POST /api/v1/auth/login/recovery",
	"POST /api/v1/auth/login/webauthn/begin",
	"POST /api/v1/auth/login/webauthn/finish",
	"GET /api/v1/auth/providers",
	"GET /api/v1/auth/oidc/:provider/start",
	"GET /api/v1/auth/oidc/:provider/callback",
	"POST /api/v1/auth/oidc/:provider/backchannel",
	"GET /api/v1/auth/saml/:provider/start",
	"POST /api/v1/auth/saml/:provider/acs",
	"GET /api/v1/auth/saml/:provider/finish",
	"GET /api/v1/auth/saml/:provider/metadata",
	"POST " + hookPath,
	"POST " + orderHookPath,
	"POST " + hookPath + "/api/v2/alerts",
	"GET /healthz",
	"GET /readyz",
}

// lookedAt are the operations by which one of the three powers looks at what
// another one keeps: who may give roles must find the people, and who keeps the
// people sees what they were given. Looking exercises no power.
var lookedAt = map[string]string{
	"list-users": identity.ScopeSecurity, "get-user": identity.ScopeSecurity,
	"list-groups": identity.ScopeSecurity, "get-group": identity.ScopeSecurity, "list-members": identity.ScopeSecurity,
	"list-grants": identity.ScopeSystem,
}

// Page is a list as every listing operation answers it.
type Page[T any] struct {
	Items []T    `json:"items" nullable:"false"`
	Total int    `json:"total" doc:"Matches in all, this page and others"`
	Next  string `json:"next" doc:"Give it as cursor to get the next page; empty on the last"`
}

// PageOf makes a page; a nil list becomes an empty one.
func PageOf[T any](items []T, total int, next string) Page[T] {
	if items == nil {
		items = []T{}
	}
	return Page[T]{Items: items, Total: total, Next: next}
}

// pageFrom answers with the page of a whole list that was asked for.
func pageFrom[T any](list []T, in PageInput) (*Body[Page[T]], error) {
	from, err := offsetOf(in.Cursor)
	if err != nil {
		return nil, err
	}
	from = min(from, len(list))
	to, next := min(from+in.Limit, len(list)), ""
	if to < len(list) {
		next = strconv.Itoa(to)
	}
	return Reply(PageOf(list[from:to], len(list), next)), nil
}

// offsetOf reads the cursor of a list that counts its items.
func offsetOf(cursor string) (int, error) {
	if cursor == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(cursor)
	if err != nil || n < 1 {
		return 0, Problem(http.StatusBadRequest, "the cursor is none that a list gave")
	}
	return n, nil
}

// after is the cursor of the next page of a list that counts its items.
func after(from, shown, total int) string {
	if shown == 0 || from+shown >= total {
		return ""
	}
	return strconv.Itoa(from + shown)
}

// pageWithin answers with a page of what list finds within the caller's reach, narrowed to
// a tenant where one is named. problem makes of an error what the caller is told.
func pageWithin[T any](ctx context.Context, tenant string, in PageInput, problem func(error) error, list func(within reach.Reach, from int) ([]T, int, error)) (*Body[Page[T]], error) {
	within, err := Reach(ctx, tenant)
	if err != nil {
		return nil, err
	}
	from, err := offsetOf(in.Cursor)
	if err != nil {
		return nil, err
	}
	items, total, err := list(within, from)
	return Reply(PageOf(items, total, after(from, len(items), total))), problem(err)
}

// Body is an answer with nothing but a body.
type Body[T any] struct{ Body T }

// Reply makes an answer of a body.
func Reply[T any](body T) *Body[T] { return &Body[T]{Body: body} }

// Empty is an operation without input, or an answer without body (204).
type Empty struct{}

// PageInput is the part of a listing operation's input that asks for a page.
// Embed it.
type PageInput struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"50" doc:"Items at most"`
	Cursor string `query:"cursor" maxLength:"1024" doc:"next of the page before"`
}

// Register adds an operation. op.Path is relative to /api/v1; op.OperationID,
// op.Method, op.Path and op.Summary are required. The operation's id is its
// permission; scope is the kind of operation it is: one of soc/identity's, or
// ScopeAny. The policy decides on both who may do it. Errors of handler become
// problems: those made with Problem or NotFound as they are, the known ones of
// the services by what they mean, all others a 500 with the cause in the log.
// Every operation that is not a GET enters the audit log with its outcome.
func Register[I, O any](s *Server, op huma.Operation, scope string, handler func(ctx context.Context, in *I) (*O, error)) {
	if op.OperationID == "" || op.Method == "" || !strings.HasPrefix(op.Path, "/") {
		panic(fmt.Sprintf("api: the operation %+v lacks its id, method or path", op))
	}
	mustBeRead(op.OperationID, reflect.TypeFor[I]())
	op.Path = prefix + op.Path
	tag := ""
	if len(op.Tags) > 0 {
		tag = op.Tags[0]
	}
	s.declare(policy.Operation{ID: op.OperationID, Scope: scope, Method: op.Method, Path: op.Path, Summary: op.Summary, Tag: tag})
	if scope != scopePublic {
		op.Security = []map[string][]string{{"bearer": {}}, {"basic": {}}, {"session": {}}}
		op.Errors = append(op.Errors, http.StatusUnauthorized, http.StatusForbidden)
	}
	if op.Description == "" && scope != scopePublic && scope != ScopeAny {
		op.Description = "Needs a role or token with the scope " + scope + ", or with this operation."
	}
	op.Middlewares = append(huma.Middlewares{s.permissionMiddleware(op.OperationID, scope)}, op.Middlewares...)
	huma.Register(s.huma, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := handler(ctx, in)
		if err != nil {
			return nil, s.toProblem(ctx, err)
		}
		return out, nil
	})
}

// mustBeRead panics where an input embeds a struct that is not exported: huma
// passes those over without a word, and a filter or an id in it would never
// arrive.
func mustBeRead(operation string, in reflect.Type) {
	for in.Kind() == reflect.Pointer {
		in = in.Elem()
	}
	if in.Kind() != reflect.Struct {
		return
	}
	for i := range in.NumField() {
		f := in.Field(i)
		if f.Anonymous {
			if !f.IsExported() {
				panic(fmt.Sprintf("api: the input of %s embeds %s, which is not exported and would not be read", operation, f.Name))
			}
			mustBeRead(operation, f.Type)
		}
		if f.Name == "Body" {
			mustBeRead(operation, f.Type)
		}
	}
}

// fiberPath writes an OpenAPI path as the router does.
func fiberPath(p string) string {
	return strings.NewReplacer("{", ":", "}", "").Replace(p)
}

// handle adds a raw route outside of huma, with the same duty to declare.
func (s *Server) handle(method, path, action, scope string, handler fiber.Handler) {
	s.declare(policy.Operation{ID: action, Scope: scope, Method: method, Path: path})
	guarded := func(c *fiber.Ctx) error {
		st := stateOf(c.UserContext())
		st.action = action
		if !s.permitted(c.UserContext(), action, scope) {
			return writeProblem(c, http.StatusForbidden, missing(action, scope))
		}
		return handler(c)
	}
	s.app.Add(method, path, guarded)
	if method == http.MethodGet {
		s.app.Add(http.MethodHead, path, guarded)
	}
}

// declare notes an operation and its route. It panics on a scope that does not
// exist, on a public route outside the list, and on one id for two scopes: all
// are a slip of the pen that must not survive the first start.
func (s *Server) declare(op policy.Operation) {
	path := fiberPath(op.Path)
	key := op.Method + " " + path
	public := slices.Contains(publicRoutes, key)
	at := slices.IndexFunc(s.operations, func(o policy.Operation) bool { return o.ID == op.ID })
	switch {
	case public != (op.Scope == scopePublic):
		panic(fmt.Sprintf("api: the route %s declares the scope %q, but the list of public routes says otherwise", key, op.Scope))
	case !public && op.Scope != ScopeAny && (op.Scope == identity.ScopeAdmin || !slices.Contains(identity.Scopes, op.Scope)):
		panic(fmt.Sprintf("api: the route %s declares the unknown scope %q", key, op.Scope))
	case at >= 0 && s.operations[at].Scope != op.Scope:
		panic(fmt.Sprintf("api: the operation %s declares the scopes %q and %q", op.ID, s.operations[at].Scope, op.Scope))
	}
	op.Confinable = slices.Contains(confinable, op.ID)
	if also, ok := lookedAt[op.ID]; ok {
		op.Also = []string{also}
	}
	s.declared[key] = op
	if at < 0 {
		s.operations = append(s.operations, op)
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	s.reserved[first] = struct{}{}
}

// Check holds the router's list of routes against the declared operations and
// fails where one is reachable without having declared any.
func (s *Server) Check() error {
	for _, r := range s.app.GetRoutes(true) {
		key := r.Method + " " + r.Path
		if _, ok := s.declared[key]; ok {
			continue
		}
		// A HEAD stands beside its GET.
		if r.Method == http.MethodHead {
			if _, ok := s.declared[http.MethodGet+" "+r.Path]; ok {
				continue
			}
		}
		return fmt.Errorf("api: the route %s declares no operation", key)
	}
	return nil
}

// permissionMiddleware refuses a principal that may not do the operation.
func (s *Server) permissionMiddleware(action, scope string) func(huma.Context, func(huma.Context)) {
	return func(hc huma.Context, next func(huma.Context)) {
		st := stateOf(hc.Context())
		st.action = action
		if !s.permitted(hc.Context(), action, scope) {
			if err := huma.WriteErr(s.huma, hc, http.StatusForbidden, missing(action, scope)); err != nil {
				s.log.Warn("could not answer", "request_id", st.requestID, "error", err)
			}
			return
		}
		takeAsJSON(hc)
		next(hc)
	}
}

// takeAsJSON lets an operation that understands nothing but JSON take its body
// as JSON whatever the client calls it: curl and many scripts say that theirs
// is a form. What a foreign page could send that way is kept out by the check
// of its origin, not by the media type.
func takeAsJSON(hc huma.Context) {
	op := hc.Operation()
	if op == nil || op.RequestBody == nil || op.RequestBody.Content["application/json"] == nil || len(op.RequestBody.Content) != 1 {
		return
	}
	media, _, _ := strings.Cut(hc.Header("Content-Type"), ";")
	switch strings.ToLower(strings.TrimSpace(media)) {
	case "", "application/x-www-form-urlencoded", "text/plain", "text/json", "application/octet-stream":
		humafiber.Unwrap(hc).Request().Header.SetContentType("application/json")
	}
}
