// Package jaeger speaks the query API of Jaeger over the suite's spans, so that
// Grafana's Jaeger data source and other clients of Jaeger read them: the JSON
// API that Jaeger's own user interface uses, below /jaeger/api, and version 3
// of its API, whose traces are OTLP, below /jaeger/api/v3.
package jaeger

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"icewatch/soc/identity"
	"icewatch/soc/protocol"
	"icewatch/soc/reach"
	"icewatch/soc/traces"
)

const (
	prefix   = "/jaeger"
	prefixV3 = "/jaeger/api/v3"
	// lookBack is how far a search reaches back that has no start.
	lookBack = 48 * time.Hour
	// lookBackDependencies is the same of dependencies.
	lookBackDependencies = 24 * time.Hour
	// lookBackNames is how far back the lists of services and operations reach,
	// which have no times: as far as Jaeger's own with its usual settings.
	lookBackNames = 72 * time.Hour
	// ahead is how far beyond now spans are shown: clocks differ.
	ahead = time.Minute
	// defaultLimit is how many traces are searched for unless a number is given.
	defaultLimit = 100
)

// handler answers Jaeger's clients.
type handler struct {
	service *traces.Service
	who     protocol.Caller
	now     func() time.Time
}

// New makes the protocol, whose questions service answers.
func New(service *traces.Service, who protocol.Caller) protocol.Protocol {
	return (&handler{service, who, time.Now}).protocol()
}

func (h *handler) protocol() protocol.Protocol {
	route := func(path string, handle func(c *fiber.Ctx, to reach.Reach) error) protocol.Route {
		return protocol.Route{Method: http.MethodGet, Path: prefix + path, Operation: "jaeger-query", Scope: identity.ScopeRead, Kind: protocol.Search,
			Handler: func(c *fiber.Ctx) error {
				to, err := h.who.Reach(c)
				if err != nil {
					return err
				}
				err = handle(c, to)
				switch {
				case errors.Is(err, traces.ErrNotFound) && isV3(c.Path()):
					return refuse(c, http.StatusNotFound, noTraces)
				case errors.Is(err, traces.ErrNotFound):
					return refuse(c, http.StatusNotFound, traces.ErrNotFound.Error())
				case errors.Is(err, traces.ErrInvalid):
					return refuse(c, http.StatusBadRequest, err.Error())
				}
				return err
			}}
	}
	return protocol.Protocol{Prefix: prefix, Refuse: refuse, Routes: []protocol.Route{
		route("/api/services", h.services),
		route("/api/services/:service/operations", h.operationNames),
		route("/api/operations", h.operations),
		route("/api/traces", h.search),
		route("/api/traces/:id", h.trace),
		route("/api/dependencies", h.dependencies),
		route("/api/v3/services", h.servicesV3),
		route("/api/v3/operations", h.operationsV3),
		route("/api/v3/traces", h.searchV3),
		route("/api/v3/traces/:id", h.traceV3),
	}}
}

// fault is an error as Jaeger tells it.
type fault struct {
	Code    int    `json:"code,omitempty"`
	Msg     string `json:"msg"`
	TraceID string `json:"traceID,omitempty"`
}

// answer is what every answer of the JSON API is wrapped in.
type answer struct {
	Data   any     `json:"data"`
	Total  int     `json:"total"`
	Limit  int     `json:"limit"`
	Offset int     `json:"offset"`
	Errors []fault `json:"errors"`
}

// isV3 tells whether a path is of version 3 of the API.
func isV3(path string) bool {
	rest, ok := strings.CutPrefix(path, prefixV3)
	return ok && (rest == "" || rest[0] == '/')
}

// refuse answers an error in the form of the API that is asked.
func refuse(c *fiber.Ctx, status int, why string) error {
	c.Status(status)
	if isV3(c.Path()) {
		return c.JSON(fiber.Map{"error": fiber.Map{"httpCode": status, "message": why}})
	}
	return c.JSON(answer{Errors: []fault{{Code: status, Msg: why}}})
}

// names is the range of the lists of services and operations.
func (h *handler) names(to reach.Reach) traces.Range {
	now := h.now()
	return traces.Range{Reach: to, Start: now.Add(-lookBackNames), End: now.Add(ahead)}
}

func (h *handler) services(c *fiber.Ctx, to reach.Reach) error {
	list, err := h.service.ServiceNames(c.UserContext(), h.names(to))
	if err != nil {
		return err
	}
	return c.JSON(answer{Data: some(list), Total: len(list)})
}

// some makes an empty list of none, which JSON would call null.
func some[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func (h *handler) operationNames(c *fiber.Ctx, to reach.Reach) error {
	service, err := url.PathUnescape(c.Params("service"))
	if err != nil {
		return invalid("the service in the path: %s", err)
	}
	list, err := h.service.Operations(c.UserContext(), h.names(to), service, "")
	if err != nil {
		return err
	}
	var names []string       // null for none, as Jaeger answers
	for _, o := range list { // in order of their names
		if len(names) == 0 || names[len(names)-1] != o.Name {
			names = append(names, o.Name)
		}
	}
	return c.JSON(answer{Data: names, Total: len(names)})
}

// operation is a name of spans in Jaeger's form.
type operation struct {
	Name     string `json:"name"`
	SpanKind string `json:"spanKind"`
}

// noTraces is what version 3 of the API says where it has no trace to show.
const noTraces = "No traces found"

func (h *handler) listOperations(c *fiber.Ctx, to reach.Reach, service, kind string) ([]operation, error) {
	if service == "" {
		return nil, invalid("parameter 'service' is required")
	}
	found, err := h.service.Operations(c.UserContext(), h.names(to), service, kind)
	if err != nil {
		return nil, err
	}
	list := make([]operation, 0, len(found))
	for _, o := range found {
		list = append(list, operation{o.Name, o.Kind})
	}
	return list, nil
}

func (h *handler) operations(c *fiber.Ctx, to reach.Reach) error {
	list, err := h.listOperations(c, to, c.Query("service"), c.Query("spanKind"))
	if err != nil {
		return err
	}
	return c.JSON(answer{Data: list, Total: len(list)})
}

func (h *handler) search(c *fiber.Ctx, to reach.Reach) error {
	q, err := h.parseSearch(c)
	if err != nil {
		return err
	}
	var found []*traces.Trace
	var faults []fault
	if len(q.ids) > 0 {
		for _, id := range q.ids {
			t, err := h.service.Trace(c.UserContext(), to, id, q.start, q.end)
			switch {
			case errors.Is(err, traces.ErrNotFound):
				faults = append(faults, fault{Msg: traces.ErrNotFound.Error(), TraceID: shortID(id)})
			case err != nil:
				return err
			default:
				found = append(found, t)
			}
		}
	} else if found, err = h.service.Find(c.UserContext(), traces.Range{Reach: to, Start: q.start, End: q.end}, q.filter, q.limit); err != nil {
		return err
	}
	list := make([]trace, 0, len(found))
	for _, t := range found {
		list = append(list, traceOf(t))
	}
	return c.JSON(answer{Data: list, Errors: faults})
}

func (h *handler) trace(c *fiber.Ctx, to reach.Reach) error {
	p := params{c: c}
	start, end := p.time("start", time.Microsecond, time.Time{}), p.time("end", time.Microsecond, time.Time{})
	if p.err != nil {
		return p.err
	}
	t, err := h.service.Trace(c.UserContext(), to, c.Params("id"), start, end)
	if err != nil {
		return err
	}
	return c.JSON(answer{Data: []trace{traceOf(t)}})
}

// dependency is an edge of the service map in Jaeger's form.
type dependency struct {
	Parent    string `json:"parent"`
	Child     string `json:"child"`
	CallCount int64  `json:"callCount"`
}

func (h *handler) dependencies(c *fiber.Ctx, to reach.Reach) error {
	p := params{c: c}
	end := p.time("endTs", time.Millisecond, h.now().Add(ahead))
	back := p.whole("lookback", lookBackDependencies.Milliseconds(), 1, maxTime/int64(time.Millisecond))
	if p.err != nil {
		return p.err
	}
	m, err := h.service.Map(c.UserContext(), traces.Range{Reach: to, Start: end.Add(-time.Duration(back) * time.Millisecond), End: end}, c.Query("service"))
	if err != nil {
		return err
	}
	list := make([]dependency, 0, len(m.Edges))
	for _, e := range m.Edges {
		list = append(list, dependency{e.Parent, e.Child, e.Calls})
	}
	return c.JSON(answer{Data: list})
}
