package loki

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/gofiber/fiber/v2"
	"github.com/grafana/loki/v3/pkg/logql/syntax"
	"github.com/grafana/loki/v3/pkg/util/httpreq"
	"github.com/prometheus/prometheus/model/labels"

	"icewatch/soc/reach"
)

// request is a request as Loki's own readers of parameters take it, and the
// body of its answer.
type request struct {
	*http.Request
	within reach.Reach
	name   string // of a label or field, in the path
	flags  httpreq.EncodingFlags
	body   []byte
}

func (s service) request(c *fiber.Ctx) (*request, error) {
	values, err := form(c)
	if err != nil {
		return nil, bad(err)
	}
	within, err := s.Caller.Reach(c)
	if err != nil {
		return nil, err
	}
	name, err := url.PathUnescape(c.Params("name"))
	if err != nil {
		return nil, bad(fmt.Errorf("the name %q in the path cannot be read: %w", c.Params("name"), err))
	}
	r := &request{Request: newRequest(c.Method(), string(c.Request().URI().Path()), values), within: within, name: string([]byte(name)), flags: httpreq.ParseEncodingFlags(c.Get(httpreq.LokiEncodingFlagsHeader))}
	if n := len(r.Form.Get("query")); n > longestQuery {
		return nil, bad(fmt.Errorf("input size too long (%d > %d)", n, longestQuery))
	}
	return r, nil
}

// newRequest makes a request of its parameters. The values are copied: they may
// lie in memory that the next request uses.
func newRequest(method, path string, values url.Values) *http.Request {
	own := make(url.Values, len(values))
	for name, list := range values {
		own[name] = slices.Clone(list)
	}
	return &http.Request{Method: method, URL: &url.URL{Path: path}, RequestURI: path, Form: own, Header: http.Header{}}
}

// Write makes the request the writer of its answer.
func (r *request) Write(b []byte) (int, error) {
	r.body = append(r.body, b...)
	return len(b), nil
}

func (r *request) json(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("the answer of %s: %w", r.URL.Path, err)
	}
	r.body = append(b, '\n')
	return nil
}

// matchers reads stream matchers; "" and {} are none.
func matchers(query string) ([]*labels.Matcher, error) {
	if query == "" || query == "{}" {
		return nil, nil
	}
	list, err := syntax.ParseMatchers(query, false)
	if err != nil {
		return nil, bad(err)
	}
	return list, nil
}
