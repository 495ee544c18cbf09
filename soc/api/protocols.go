package api

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"

	"icewatch/soc/identity"
	"icewatch/soc/protocol"
	"icewatch/soc/reach"
)

// opIngest is the operation of the routes that take events in. What else demands
// the scope ingest, such as the templates that shippers put, is a change like any
// other: bounded, unpacked and in the audit log.
const opIngest = "ingest"

// protocolRoutes mounts the protocols and the handlers that take events in.
func (s *Server) protocolRoutes() {
	// Before the protocols, which may have patterns that match these paths, too.
	for _, in := range s.deps.Ingest {
		in.Mount(ingestRouter{s.app, s})
	}
	for _, p := range s.deps.Protocols {
		if len(p.Prefix) < 2 || p.Prefix[0] != '/' || p.Refuse == nil {
			panic("api: a protocol at " + strconv.Quote(p.Prefix) + " needs a path of its own and a form for its errors")
		}
		for _, r := range p.Routes {
			if !below(r.Path, p.Prefix) {
				panic("api: the route " + r.Path + " does not lie below " + p.Prefix)
			}
			s.handle(r.Method, r.Path, r.Operation, r.Scope, s.serveProtocol(r))
		}
	}
	for key, op := range s.declared {
		if op.ID == opIngest {
			method, pattern, _ := cutKey(key)
			s.intakes = append(s.intakes, intakeRoute{method, strings.Split(pattern, "/")})
		}
	}
}

// serveProtocol does for a route what its kind asks for.
func (s *Server) serveProtocol(r protocol.Route) fiber.Handler {
	return func(c *fiber.Ctx) error {
		if st := stateOf(c.UserContext()); r.Kind != protocol.Change {
			st.still = func(ctx context.Context) string {
				_, why := s.stillSees(ctx, st, r.Operation, st.reach, "")
				return why
			}
		}
		if r.Kind == protocol.Change {
			return r.Handler(c)
		}
		stateOf(c.UserContext()).skipAudit = true
		if r.Kind == protocol.Search {
			ctx, leave, err := s.enterSearch(c.UserContext(), s.deps.SearchTimeout)
			if err != nil {
				return err
			}
			defer leave()
			c.SetUserContext(ctx)
		}
		return r.Handler(c)
	}
}

// below tells whether path is prefix or lies below it.
func below(path, prefix string) bool {
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (rest == "" || rest[0] == '/')
}

// protocolOf is the protocol whose path this is, nil where it is the suite's
// own API.
func (s *Server) protocolOf(path string) *protocol.Protocol {
	for i := range s.deps.Protocols {
		if p := &s.deps.Protocols[i]; below(path, p.Prefix) {
			return p
		}
	}
	return nil
}

// foreign are the paths whose clients expect to be asked for a password.
var foreign = []string{"/elastic", "/loki", "/prometheus", "/otlp", "/jaeger", "/alertmanager", "/ingest"}

// isForeign tells whether clients of other products speak at this path.
func isForeign(path string) bool {
	return slices.ContainsFunc(foreign, func(prefix string) bool { return below(path, prefix) })
}

// intakeRoute is a route that takes events in, its pattern in segments.
type intakeRoute struct {
	method  string
	pattern []string
}

// isIntake tells whether a request brings events. A HEAD is as its GET.
func (s *Server) isIntake(method, path string) bool {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	for _, r := range s.intakes {
		if r.method == method && r.matches(path) {
			return true
		}
	}
	return false
}

func (r intakeRoute) matches(path string) bool {
	for i, want := range r.pattern {
		segment, rest, more := strings.Cut(path, "/")
		if more != (i < len(r.pattern)-1) || want != segment && (!strings.HasPrefix(want, ":") || segment == "") {
			return false
		}
		path = rest
	}
	return true
}

// ingestRouter is the router as the intake handlers see it: every route they
// add demands the scope ingest. What it does not wrap is added without a scope,
// which Server.Check then refuses.
type ingestRouter struct {
	fiber.Router
	s *Server
}

// Add adds a route for one method.
func (r ingestRouter) Add(method, path string, handlers ...fiber.Handler) fiber.Router {
	if len(handlers) != 1 || !isForeign(path) {
		panic("api: the intake route " + path + " must have one handler and lie below one of " + strings.Join(foreign, ", "))
	}
	r.s.handle(method, path, opIngest, identity.ScopeIngest, handlers[0])
	return r
}

// Get adds a route for GET and HEAD.
func (r ingestRouter) Get(path string, handlers ...fiber.Handler) fiber.Router {
	return r.Add(http.MethodGet, path, handlers...)
}

// Head adds a route for HEAD.
func (r ingestRouter) Head(path string, handlers ...fiber.Handler) fiber.Router {
	return r.Add(http.MethodHead, path, handlers...)
}

// Post adds a route for POST.
func (r ingestRouter) Post(path string, handlers ...fiber.Handler) fiber.Router {
	return r.Add(http.MethodPost, path, handlers...)
}

// Put adds a route for PUT.
func (r ingestRouter) Put(path string, handlers ...fiber.Handler) fiber.Router {
	return r.Add(http.MethodPut, path, handlers...)
}

// IngestTenant tells an intake handler whose the request's events are; "" lets
// the pipeline decide by its ownership tables.
func IngestTenant(c *fiber.Ctx) string { return SelectedTenant(c.UserContext()) }

// ProtocolCaller tells the protocols' handlers who asks.
type ProtocolCaller struct{}

var _ protocol.Watcher = ProtocolCaller{}

// Reach is what the caller may see, of the tenants chosen.
func (ProtocolCaller) Reach(c *fiber.Ctx) (reach.Reach, error) { return Reach(c.UserContext(), "") }

// Actor is the name of the caller.
func (ProtocolCaller) Actor(c *fiber.Ctx) string { return Actor(c.UserContext()) }

// AuditObject says what the request does and to what; see AuditObject.
func (ProtocolCaller) AuditObject(c *fiber.Ctx, object, tenant, detail string) {
	AuditObject(c.UserContext(), object, tenant, detail)
}

// Still makes a check for what outlives its request.
func (ProtocolCaller) Still(c *fiber.Ctx) func(context.Context) string {
	if st := stateOf(c.UserContext()); st != nil && st.still != nil {
		return st.still
	}
	return func(context.Context) string { return "who asks is not known" }
}

// Tenant is whom the request writes for.
func (ProtocolCaller) Tenant(c *fiber.Ctx) string { return IngestTenant(c) }
