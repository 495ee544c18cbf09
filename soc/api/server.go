package api

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"icewatch/soc/search"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"
	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"icewatch/soc/identity/policy"
	"icewatch/soc/reach"
)

// localAddress stands for the client's address on the local socket.
const localAddress = "local"

// Server is the HTTP server. It may serve several listeners at once; a
// connection on a unix socket acts as the local administrator, so that socket
// must be within reach of the server's own account only.
type Server struct {
	deps       Deps
	log        *slog.Logger
	app        *fiber.App
	huma       huma.API
	http       *fasthttp.Server
	below      []*fasthttp.Server          // of the ports that protocols have of their own
	declared   map[string]policy.Operation // by "METHOD path" of the router
	operations []policy.Operation          // each once, in the order of registration
	reserved   map[string]struct{}         // first segments of all routes
	intakes    []intakeRoute               // those that take events in
	bodies     *memoryPool
	searches   chan struct{} // one place for each search that may run at once
	console    *console
	systems    memo[map[string]int]     // business systems by tenant
	active     memo[int]                // tenants with events of the last day
	seenNames  memo[[]search.ValueHits] // of fields, in the last day
	stop       context.Context          // ends what streams when the server stops
	stopNow    context.CancelFunc
	serving    sync.WaitGroup

	newcomers *newcomers
	roles     roleMemory // of users, while masking is in force
	tails     tailing    // live tails of each caller
	fields    fieldsKept // of suggestions

	anonymous, signedIn limiter
}

// maxSearches is how many searches of all clients run at once; more wait.
const maxSearches = 16

// New builds the server with all its routes. It serves nothing yet.
func New(deps Deps) (*Server, error) {
	if deps.Identity == nil || deps.Audit == nil || deps.Log == nil {
		return nil, errors.New("api: Identity, Audit and Log are required")
	}
	if deps.MaxBody <= 0 {
		deps.MaxBody = 64 << 20
	}
	if deps.MaxUnpacked < deps.MaxBody {
		deps.MaxUnpacked = max(256<<20, deps.MaxBody)
	}
	// One request of the largest kind must always find room.
	deps.BodyMemory = max(deps.BodyMemory, deps.MaxBody+deps.MaxUnpacked, 4*maxAPIBody)
	if deps.Reach == nil {
		deps.Reach = new(reach.Compiler)
	}
	if deps.SearchTimeout <= 0 {
		deps.SearchTimeout = time.Minute
	}
	if deps.StreamTimeout <= 0 {
		deps.StreamTimeout = 10 * time.Minute
	}
	s := &Server{
		deps: deps, log: deps.Log,
		declared: map[string]policy.Operation{},
		// What other rooms of the suite will answer under is never the console's.
		reserved: map[string]struct{}{"api": {}, "elastic": {}, "loki": {}, "prometheus": {}, "otlp": {}, "alertmanager": {}, "jaeger": {}},
		bodies:   newMemoryPool(deps.BodyMemory),
		searches: make(chan struct{}, maxSearches),

		newcomers: &newcomers{},
	}
	s.stop, s.stopNow = context.WithCancel(context.Background())
	var err error
	if s.console, err = newConsole(deps.Console); err != nil {
		return nil, fmt.Errorf("api: read the console's files: %w", err)
	}
	s.app = fiber.New(fiber.Config{
		AppName:                      "icewatch",
		DisableStartupMessage:        true,
		CaseSensitive:                true,
		Immutable:                    true, // values outlive the request, in caches and in the audit log
		BodyLimit:                    int(deps.MaxBody),
		ReadBufferSize:               16 << 10,
		DisablePreParseMultipartForm: true, // nothing is read before the caller is known
		ErrorHandler:                 s.fiberError,
	})
	s.app.Use(s.begin, s.authenticate)
	s.huma = humafiber.New(s.app, s.openAPI())
	s.routes()
	s.app.Use(s.notFound)
	if err := s.Check(); err != nil {
		return nil, err
	}
	deps.Identity.OnAbnormal(s.noteAbnormal)
	if err := deps.Identity.Access().SetOperations(context.Background(), s.operations); err != nil {
		return nil, err
	}
	s.http = s.server(s.app.Handler())
	return s, nil
}

// server makes an HTTP server. Fiber's own would read bodies whole before any
// handler runs; this one hands them over as streams (see readBody).
func (s *Server) server(handler fasthttp.RequestHandler) *fasthttp.Server {
	return &fasthttp.Server{
		Handler:                      handler,
		ErrorHandler:                 transportError,
		Name:                         "icewatch",
		Concurrency:                  8192,
		ReadTimeout:                  2 * time.Minute,
		WriteTimeout:                 2 * time.Minute,
		IdleTimeout:                  2 * time.Minute,
		ReadBufferSize:               16 << 10,
		MaxRequestBodySize:           int(s.deps.MaxBody),
		StreamRequestBody:            true,
		DisablePreParseMultipartForm: true,
		CloseOnShutdown:              true,
		ConnState:                    s.newcomers.state,
		Logger:                       quietLogger{s.log},
	}
}

// App returns the router, for tests and for what enumerates its routes.
func (s *Server) App() *fiber.App { return s.app }

// OpenAPI returns the description of the API.
func (s *Server) OpenAPI() *huma.OpenAPI { return s.huma.OpenAPI() }

// Serve answers requests on the listener until Shutdown. Several listeners may
// be served at once, each by a call of its own.
func (s *Server) Serve(ln net.Listener) error { return s.serve(s.http, ln) }

func (s *Server) serve(srv *fasthttp.Server, ln net.Listener) error {
	s.serving.Add(1)
	defer s.serving.Done()
	if err := srv.Serve(ln); err != nil {
		return fmt.Errorf("serve HTTP on %s: %w", ln.Addr(), err)
	}
	return nil
}

// Below returns what serves a port on which clients of one protocol find its
// paths without the prefix that stands before them elsewhere: with "/otlp", POST
// /v1/logs is POST /otlp/v1/logs. Nothing outside of the prefix is served there.
// Below is called before the first Serve.
func (s *Server) Below(prefix string) func(ln net.Listener) error {
	handler := s.app.Handler()
	srv := s.server(func(ctx *fasthttp.RequestCtx) {
		uri := ctx.URI()
		target := prefix + "/" + strings.TrimLeft(string(uri.PathOriginal()), "/") // as the router sees it
		if query := uri.QueryString(); len(query) > 0 {
			target += "?" + string(query)
		}
		ctx.Request.SetRequestURI(target)
		handler(ctx)
	})
	s.below = append(s.below, srv)
	return func(ln net.Listener) error { return s.serve(srv, ln) }
}

// Shutdown closes the listeners, lets running requests end within the
// context's time and cuts streams short.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stopNow()
	done := make(chan struct{})
	defer close(done)
	go s.newcomers.closeUntil(done)
	for _, srv := range append(s.below, s.http) {
		if err := srv.ShutdownWithContext(ctx); err != nil {
			return fmt.Errorf("stop HTTP: %w", err)
		}
	}
	s.serving.Wait()
	return nil
}

// begin gives the request its id and state, sets the headers every answer
// carries, and turns a panic into a 500 instead of a dead server.
func (s *Server) begin(c *fiber.Ctx) (err error) {
	if c.Context().ConnRequestNum() == 1 {
		s.newcomers.spoke(c.Context().Conn())
	}
	st := &reqState{requestID: requestID(), address: remoteAddress(c), secure: c.Secure(),
		userAgent: clip(c.Get(fiber.HeaderUserAgent), 300), device: clip(c.Cookies(deviceCookie), 128), origin: origin(c), conn: c.Context().Conn(),
		intake: s.isIntake(c.Method(), c.Path()), protocol: s.protocolOf(c.Path())}
	c.SetUserContext(context.WithValue(context.Background(), stateKey{}, st))
	bareHeaders(c, st)
	defer func() {
		if r := recover(); r != nil {
			s.log.Error("panic in a request handler", "request_id", st.requestID, "method", c.Method(),
				"path", clip(c.Path(), 200), "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			c.Response().ResetBody()
			c.Set(fiber.HeaderConnection, "close")
			err = writeProblem(c, http.StatusInternalServerError, "something went wrong on the server; quote the request id to its operator")
		}
	}()
	return c.Next()
}

// notFound answers what no route serves. Only the known get here.
func (s *Server) notFound(c *fiber.Ctx) error {
	var others []string
	for key := range s.declared {
		method, pattern, _ := cutKey(key)
		if fiber.RoutePatternMatch(c.Path(), pattern, fiber.Config{CaseSensitive: true}) {
			others = append(others, method)
		}
	}
	if len(others) > 0 {
		slices.Sort(others)
		for _, m := range others {
			c.Append(fiber.HeaderAllow, m)
		}
		return writeProblem(c, http.StatusMethodNotAllowed, "this path does not answer to "+c.Method())
	}
	return writeProblem(c, http.StatusNotFound, "there is nothing at this path")
}

// requestTimeout bounds what a handler may take; searches have their own,
// shorter or longer.
func (s *Server) requestTimeout() time.Duration { return s.deps.SearchTimeout + 15*time.Second }

// requestID makes an id that is unique enough to be found in a log.
func requestID() string {
	b := make([]byte, 10)
	_, _ = rand.Read(b) // never fails since Go 1.24
	return hex.EncodeToString(b)
}

// remoteAddress is the address of the peer itself. Headers like
// X-Forwarded-For are not believed: anybody can write them.
func remoteAddress(c *fiber.Ctx) string {
	if local := c.Context().LocalAddr(); local != nil && local.Network() == "unix" {
		return localAddress
	}
	if tcp, ok := c.Context().RemoteAddr().(*net.TCPAddr); ok {
		return tcp.IP.String()
	}
	return ""
}

// transportError answers what is not even a request.
func transportError(ctx *fasthttp.RequestCtx, err error) {
	status := http.StatusBadRequest
	var small *fasthttp.ErrSmallBuffer
	var netErr net.Error
	switch {
	case errors.As(err, &small):
		status = http.StatusRequestHeaderFieldsTooLarge
	case errors.As(err, &netErr) && netErr.Timeout():
		status = http.StatusRequestTimeout
	}
	ctx.Response.Header.SetContentType("application/problem+json")
	ctx.SetStatusCode(status)
	ctx.SetBodyString(fmt.Sprintf(`{"title":%q,"status":%d,"detail":"the request could not be read"}`, http.StatusText(status), status))
}

// quietLogger keeps fasthttp's remarks on broken connections at debug level.
type quietLogger struct{ log *slog.Logger }

func (q quietLogger) Printf(format string, args ...any) {
	q.log.Debug("http: " + fmt.Sprintf(format, args...))
}
