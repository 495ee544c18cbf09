package elastic

import (
	"bytes"
	"errors"
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v2"

	"icewatch/soc/elastic/cluster"
	"icewatch/soc/elastic/wire"
	"icewatch/soc/search"
)

// maxSearches bounds the searches of one _msearch.
const maxSearches = 100

// multiSearch answers _msearch: lines of a header and a search each.
func (s *Server) multiSearch(c *fiber.Ctx) error {
	start := s.Now()
	body := bytes.TrimSpace(c.Body())
	if len(body) == 0 {
		return wire.Invalid("action_request_validation_exception", "Validation Failed: 1: no requests added;")
	}
	var lines [][]byte
	for line := range bytes.SplitSeq(body, []byte{'\n'}) {
		lines = append(lines, bytes.TrimSpace(line))
	}
	if len(lines)%2 != 0 {
		return wire.Invalid("illegal_argument_exception", "The msearch request must have a search behind each header; it has %d lines", len(lines))
	}
	if len(lines)/2 > maxSearches {
		return wire.Invalid("illegal_argument_exception", "The msearch request has %d searches; %d are the most", len(lines)/2, maxSearches)
	}
	responses := []any{}
	for i := 0; i < len(lines); i += 2 {
		out, err := s.oneOfMany(c, lines[i], lines[i+1])
		if err != nil {
			var f *wire.Fault
			var remote *cluster.Refusal
			var wrong *search.QueryError
			switch {
			case errors.As(err, &f):
			case errors.As(err, &remote):
				responses = append(responses, remote.Body)
				continue
			case errors.As(err, &wrong):
				f = wire.Invalid("query_shard_exception", "failed to create query: %s", wrong.Reason)
			default:
				return err
			}
			responses = append(responses, f.Document())
			continue
		}
		responses = append(responses, out)
	}
	return wire.Respond(c, http.StatusOK, map[string]any{"took": s.Now().Sub(start).Milliseconds(), "responses": responses})
}

func (s *Server) oneOfMany(c *fiber.Ctx, header, body []byte) (any, error) {
	h, err := wire.Decode(header)
	if err != nil {
		return nil, err
	}
	o := wire.NewObject("header of msearch", h)
	o.Ignore("search_type", "ignore_unavailable", "allow_no_indices", "expand_wildcards", "preference", "routing", "request_cache", "allow_partial_search_results", "ccs_minimize_roundtrips", "max_concurrent_shard_requests", "version")
	names := append(o.Texts("index"), o.Texts("indices")...)
	if err := o.Done(); err != nil {
		return nil, err
	}
	if len(names) == 0 {
		names = []string{wire.Param(c, "index")}
	}
	in, err := s.indices(strings.Join(names, ","))
	if err != nil {
		return nil, err
	}
	b, err := wire.Decode(body)
	if err != nil {
		return nil, err
	}
	out, err := s.searchIn(c, in, b)
	if err != nil {
		return nil, err
	}
	if m, ok := out.(map[string]any); ok {
		m["status"] = http.StatusOK
	}
	return out, nil
}
