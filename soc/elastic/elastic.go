// Package elastic speaks the API of Elasticsearch below /elastic, so that stock
// shippers start and Grafana and scripts search unchanged. The query DSL and its
// aggregations are compiled to LogsQL and counted by the lake; what is not among
// them is refused by name. Documents come in by collectors/elasticbulk.
//
// Here are the routes and the answers about searches, indices and fields; what
// they are made of has rooms of its own below.
//
// docs/elasticsearch.md is the reference of what is spoken.
package elastic

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/gofiber/fiber/v2"

	"icewatch/soc/elastic/cluster"
	"icewatch/soc/elastic/hits"
	"icewatch/soc/elastic/setup"
	"icewatch/soc/elastic/wire"
	"icewatch/soc/identity"
	"icewatch/soc/protocol"
	"icewatch/soc/search"
)

// prefix is the first segment of the paths.
const prefix = "/elastic"

// Options are what the room needs.
type Options struct {
	Store    search.Store
	Caller   protocol.Caller
	Clusters []cluster.Config // asked under the name <cluster>:<index>
	Now      func() time.Time // nil is time.Now
}

// Server answers the API.
type Server struct {
	Options
	lake     *hits.Lake
	clusters map[string]*cluster.Client
}

// New makes the API. It connects to nobody: clusters are asked when they are
// searched.
func New(o Options) (protocol.Protocol, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Server{Options: o, lake: &hits.Lake{Store: o.Store, Now: o.Now}, clusters: map[string]*cluster.Client{}}
	for _, c := range o.Clusters {
		opened, err := c.Open()
		if err != nil {
			return protocol.Protocol{}, fmt.Errorf("elastic: the cluster %s: %w", c.Name, err)
		}
		s.clusters[c.Name] = opened
	}
	// The probes come last: they hold /{index}, which any name matches.
	routes := slices.Concat(s.searchRoutes(), setup.Routes(prefix, o.Caller, o.Now))
	for i := range routes {
		routes[i].Handler = answering(routes[i].Handler)
	}
	return protocol.Protocol{Prefix: prefix, Refuse: refuse, Routes: routes}, nil
}

// searchRoutes are the routes that read events.
func (s *Server) searchRoutes() (list []protocol.Route) {
	read := func(handler fiber.Handler, methods []string, paths ...string) {
		for _, method := range methods {
			for _, path := range paths {
				list = append(list, protocol.Route{Method: method, Path: prefix + path, Operation: "elastic-search", Scope: identity.ScopeRead,
					Kind: protocol.Search, Handler: handler})
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

// answering puts on what every answer of Elasticsearch has, and words errors of
// the room in its form.
func answering(handler fiber.Handler) fiber.Handler {
	return func(c *fiber.Ctx) error {
		wire.Head(c)
		err := handler(c)
		var f *wire.Fault
		if errors.As(err, &f) {
			return f.Answer(c)
		}
		var remote *cluster.Refusal
		if errors.As(err, &remote) {
			return c.Status(remote.Status).JSON(remote.Body)
		}
		var wrong *search.QueryError
		if errors.As(err, &wrong) {
			return wire.Invalid("query_shard_exception", "failed to create query: %s", wrong.Reason).Answer(c)
		}
		return err
	}
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
	wire.Head(c)
	return (&wire.Fault{Status: status, Type: kind, Reason: why}).Answer(c)
}
