package elastic

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fastjson"

	"icewatch/soc/elastic/aggregation"
	"icewatch/soc/elastic/hits"
	"icewatch/soc/elastic/wire"
	"icewatch/soc/reach"
)

// request is a search as it was asked for.
type request struct {
	*hits.Page
	aggs      aggregation.Tree
	typedKeys bool
}

// readRequest reads the body of a search and, where c is not nil, the parameters
// beside it.
func (s *Server) readRequest(c *fiber.Ctx, body map[string]any, names []string) (*request, error) {
	o := wire.NewObject("search", body)
	p, err := hits.Read(o, s.Now())
	if err != nil {
		return nil, err
	}
	r := &request{Page: p}
	for _, name := range []string{"aggs", "aggregations"} {
		if v, ok := o.Has(name); ok {
			if r.aggs, err = aggregation.Read(p.Compiler, v); err != nil {
				return nil, err
			}
		}
	}
	if err := o.Done(); err != nil {
		return nil, err
	}
	if c != nil {
		if err := p.Parameters(c); err != nil {
			return nil, err
		}
		r.typedKeys = c.QueryBool("typed_keys")
	}
	return r, p.Confine(names)
}

// search answers _search.
func (s *Server) search(c *fiber.Ctx) error {
	in, err := s.indices(wire.Param(c, "index"))
	if err != nil {
		return err
	}
	body, err := wire.Decode(bodyOf(c))
	if err != nil {
		return err
	}
	out, err := s.searchIn(c, in, body)
	if err != nil {
		return err
	}
	return wire.Respond(c, http.StatusOK, out)
}

// bodyOf is the request's JSON, which clients that cannot send a body with a GET
// give as a parameter.
func bodyOf(c *fiber.Ctx) []byte {
	if b := c.Body(); len(b) > 0 {
		return b
	}
	return []byte(c.Query("source"))
}

// searchIn searches events here or passes the search on to another cluster.
func (s *Server) searchIn(c *fiber.Ctx, in indices, body map[string]any) (any, error) {
	start := s.Now()
	r, err := s.readRequest(c, body, in.here)
	if err != nil {
		return nil, err
	}
	within, err := s.Caller.Reach(c)
	if err != nil {
		return nil, err
	}
	if len(in.cluster) > 0 {
		name := in.cluster[0]
		return s.clusters[name].Search(c.UserContext(), within, in.remote[name], body, c.Queries())
	}
	out, err := s.run(c.UserContext(), within, r)
	if err != nil {
		return nil, err
	}
	out["took"], out["timed_out"] = s.Now().Sub(start).Milliseconds(), false
	out["_shards"] = map[string]int{"total": 1, "successful": 1, "skipped": 0, "failed": 0}
	return out, nil
}

// run answers a search here.
func (s *Server) run(ctx context.Context, within reach.Reach, r *request) (map[string]any, error) {
	out, err := s.lake.Search(ctx, within, r.Page)
	if err != nil || len(r.aggs) == 0 {
		return out, err
	}
	out["aggregations"], err = r.aggs.Answer(ctx, s.lake, within, r.Page, r.typedKeys)
	return out, err
}

// count answers _count.
func (s *Server) count(c *fiber.Ctx) error {
	in, err := s.indices(wire.Param(c, "index"))
	if err != nil {
		return err
	}
	body, err := wire.Decode(bodyOf(c))
	if err != nil {
		return err
	}
	o := wire.NewObject("count", body)
	o.Has("query")
	if err := o.Done(); err != nil {
		return err
	}
	body["size"], body["track_total_hits"] = json.Number("0"), true
	out, err := s.searchIn(c, in, body)
	if err != nil {
		return err
	}
	n := any(0)
	if m, ok := out.(map[string]any); ok {
		if hits, ok := m["hits"].(map[string]any); ok {
			if total, ok := hits["total"].(map[string]any); ok {
				n = total["value"]
			}
		}
	}
	return wire.Respond(c, http.StatusOK, map[string]any{"count": n, "_shards": map[string]int{"total": 1, "successful": 1, "skipped": 0, "failed": 0}})
}

// document answers GET /{index}/_doc/{id}.
func (s *Server) document(c *fiber.Ctx) error {
	in, err := s.indices(wire.Param(c, "index"))
	if err != nil {
		return err
	}
	if len(in.cluster) > 0 {
		return wire.Unsupported("[_doc] of another cluster")
	}
	id := wire.Param(c, "id")
	r, err := s.readRequest(nil, map[string]any{"size": json.Number("1"), "query": map[string]any{"ids": map[string]any{"values": []any{id}}}}, in.here)
	if err != nil {
		return err
	}
	within, err := s.Caller.Reach(c)
	if err != nil {
		return err
	}
	rows, err := s.lake.Hits(c.UserContext(), within, r.Page)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return wire.Respond(c, http.StatusNotFound, map[string]any{"_index": wire.Param(c, "index"), "_id": id, "found": false})
	}
	h := r.Hit(new(fastjson.Parser), rows[0])
	if strings.Contains(c.Path(), "/_source/") {
		return wire.Respond(c, http.StatusOK, h["_source"])
	}
	delete(h, "_score")
	h["found"], h["_version"] = true, 1
	return wire.Respond(c, http.StatusOK, h)
}
