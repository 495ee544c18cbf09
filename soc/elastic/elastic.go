// Package elastic speaks the API of Elasticsearch below /elastic, so that stock
// shippers start and Grafana and scripts search unchanged. The query DSL and its
// aggregations are compiled to LogsQL and counted by the lake; what is not among
// them is refused by name. Documents come in by collectors/elasticbulk.
//
// docs/elasticsearch.md is the reference of what is spoken.
package elastic

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"icewatch/soc/elastic/filterpath"
	"icewatch/soc/identity"
	"icewatch/soc/identity/policy"
	"icewatch/soc/protocol"
	"icewatch/soc/search"
)

// prefix is the first segment of the paths.
const prefix = "/elastic"

// Version is the release of Elasticsearch whose API is spoken. Clients refuse
// to talk to older majors.
const Version = "8.19.0"

// Options are what the room needs.
type Options struct {
	Store    search.Store
	Caller   protocol.Caller
	Clusters []Cluster        // asked under the name <cluster>:<index>
	Now      func() time.Time // nil is time.Now
}

// Server answers the API.
type Server struct {
	Options
	clusters map[string]*cluster
	kept     kept
}

// New makes the API. It connects to nobody: clusters are asked when they are
// searched.
func New(o Options) (protocol.Protocol, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Server{Options: o, clusters: map[string]*cluster{}}
	for _, c := range o.Clusters {
		opened, err := c.open()
		if err != nil {
			return protocol.Protocol{}, fmt.Errorf("elastic: the cluster %s: %w", c.Name, err)
		}
		s.clusters[c.Name] = opened
	}
	// The probes come last: they hold /{index}, which any name matches.
	return protocol.Protocol{Prefix: prefix, Refuse: refuse, Routes: slices.Concat(s.searchRoutes(), s.probeRoutes())}, nil
}

// searchRoutes are the routes that read events.
func (s *Server) searchRoutes() (list []protocol.Route) {
	read := func(handler fiber.Handler, methods []string, paths ...string) {
		for _, method := range methods {
			for _, path := range paths {
				list = append(list, protocol.Route{Method: method, Path: prefix + path, Operation: "elastic-search", Scope: identity.ScopeRead,
					Kind: protocol.Search, Handler: answering(handler)})
			}
		}
	}
	get, both := []string{http.MethodGet}, []string{http.MethodGet, http.MethodPost}
	read(s.search, both, "/_search", "/:index/_search")
	read(s.multiSearch, both, "/_msearch", "/:index/_msearch")
	read(s.count, both, "/_count", "/:index/_count")
	read(s.fieldCaps, both, "/_field_caps", "/:index/_field_caps")
	read(s.mapping, get, "/_mapping", "/:index/_mapping", "/_mapping/field/:fields", "/:index/_mapping/field/:fields")
	read(s.resolve, get, "/_resolve/index/:index")
	read(s.catIndices, get, "/_cat/indices", "/_cat/indices/:index")
	read(s.document, get, "/:index/_doc/:id", "/:index/_source/:id")
	return list
}

// probe is a route that tells nothing about events and that every token may
// call: shippers ask before they send, readers before they search.
func (s *Server) probe(method, path string, handler fiber.Handler) protocol.Route {
	return protocol.Route{Method: method, Path: prefix + path, Operation: "elastic-probe", Scope: policy.ScopeAny, Kind: protocol.Read, Handler: answering(handler)}
}

// change is a route by which a shipper sets something up.
func (s *Server) change(method, path string, handler fiber.Handler) protocol.Route {
	return protocol.Route{Method: method, Path: prefix + path, Operation: "elastic-setup", Scope: identity.ScopeIngest, Kind: protocol.Change, Handler: answering(handler)}
}

// answering puts on what every answer of Elasticsearch has, and words errors of
// the room in its form.
func answering(handler fiber.Handler) fiber.Handler {
	return func(c *fiber.Ctx) error {
		head(c)
		err := handler(c)
		var f *fault
		if errors.As(err, &f) {
			return f.answer(c)
		}
		var remote *remoteFault
		if errors.As(err, &remote) {
			return c.Status(remote.status).JSON(remote.body)
		}
		var wrong *search.QueryError
		if errors.As(err, &wrong) {
			return invalid("query_shard_exception", "failed to create query: %s", wrong.Reason).answer(c)
		}
		return err
	}
}

// head sets the headers that the official clients demand.
func head(c *fiber.Ctx) {
	c.Set("X-Elastic-Product", "Elasticsearch")
	c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
	// A client that names the version of the media type wants it back.
	if accept := c.Get(fiber.HeaderAccept); strings.HasPrefix(accept, "application/vnd.elasticsearch+json") {
		c.Set(fiber.HeaderContentType, "application/vnd.elasticsearch+json;compatible-with=8")
	}
}

// respond answers with a JSON document, of which filter_path picks parts.
func respond(c *fiber.Ctx, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if b, err = filterpath.Pick(b, c.Query("filter_path")); err != nil {
		return err
	}
	c.Response().SetBody(b)
	c.Status(status)
	return nil
}

// fault is an error in Elasticsearch's form.
type fault struct {
	Status       int
	Type, Reason string
}

func (f *fault) Error() string { return f.Type + ": " + f.Reason }

// invalid is a request that is wrong, or that asks for what is not supported.
func invalid(kind, format string, args ...any) *fault {
	return &fault{http.StatusBadRequest, kind, fmt.Sprintf(format, args...)}
}

// unsupported names what of Elasticsearch is not spoken here.
func unsupported(format string, args ...any) *fault {
	return invalid("illegal_argument_exception", "%s is not supported by icewatch; docs/elasticsearch.md lists what is", fmt.Sprintf(format, args...))
}

// body is the error as a document.
func (f *fault) body() map[string]any {
	cause := map[string]any{"type": f.Type, "reason": f.Reason}
	return map[string]any{"error": map[string]any{"root_cause": []any{cause}, "type": f.Type, "reason": f.Reason}, "status": f.Status}
}

func (f *fault) answer(c *fiber.Ctx) error {
	c.Status(f.Status)
	return c.JSON(f.body())
}

// refuse words an error of the frame.
func refuse(c *fiber.Ctx, status int, why string) error {
	kind := "illegal_argument_exception"
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		kind = "security_exception"
	case status == http.StatusNotFound:
		kind = "resource_not_found_exception"
	case status == http.StatusRequestEntityTooLarge:
		kind = "content_too_long_exception"
	case status == http.StatusTooManyRequests:
		kind = "es_rejected_execution_exception"
	case status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout:
		kind = "unavailable_shards_exception"
	case status >= http.StatusInternalServerError:
		kind = "exception"
	}
	head(c)
	return (&fault{status, kind, why}).answer(c)
}
