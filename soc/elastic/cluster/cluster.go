// Package cluster searches Elasticsearch clusters of the city's own. A search is
// passed on confined to what the caller may see, and denied where that cannot be
// asked of another cluster.
package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/elastic/elastic-transport-go/v8/elastictransport"

	"icewatch/soc/elastic/filterpath"
	"icewatch/soc/elastic/wire"
	"icewatch/soc/reach"
)

// Config is an Elasticsearch of the city's own that is searched under the name
// <Name>:<index>.
type Config struct {
	Name     string
	URLs     []string
	Username string
	Password string
	APIKey   string // in place of user and password
	CA       string // PEM file; "" trusts the system's authorities
	Indices  []string
	// TenantField is the keyword field whose values are the slugs of tenants; ""
	// where there is none: then only who sees every tenant may search.
	TenantField string
	Timeout     time.Duration // of one request; 0 is 30 s
}

// maxAnswer bounds what a cluster may answer, in bytes.
const maxAnswer = 64 << 20

// Client asks a cluster.
type Client struct {
	Config
	client *elastictransport.Client
}

// Open makes the client; it connects to nobody.
func (c Config) Open() (*Client, error) {
	if c.Timeout <= 0 {
		c.Timeout = 30 * time.Second
	}
	if len(c.Indices) == 0 {
		c.Indices = []string{"*"}
	}
	cfg := elastictransport.Config{Username: c.Username, Password: c.Password, APIKey: c.APIKey, DisableRetry: len(c.URLs) < 2, MaxRetries: len(c.URLs), UserAgent: "icewatch"}
	for _, raw := range c.URLs {
		u, err := url.Parse(strings.TrimRight(raw, "/"))
		if err != nil {
			return nil, fmt.Errorf("the URL %q: %w", raw, err)
		}
		cfg.URLs = append(cfg.URLs, u)
	}
	if c.CA != "" {
		pem, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, fmt.Errorf("the certificates of its authority: %w", err)
		}
		cfg.CACert = pem
	}
	client, err := elastictransport.New(cfg)
	if err != nil {
		return nil, err
	}
	return &Client{c, client}, nil
}

// allowed keeps to the indices that may be asked.
func (c *Client) allowed(names []string) (string, error) {
	var list []string
	for _, name := range names {
		if name == "" || strings.HasPrefix(name, "-") || strings.ContainsAny(name, ":/?#<>") {
			return "", wire.Invalid("invalid_index_name_exception", "Invalid index name [%s:%s]", c.Name, name)
		}
		// A pattern is allowed where one that is configured covers it.
		if !slices.ContainsFunc(c.Indices, func(p string) bool { return filterpath.Glob(p, name) }) {
			return "", &wire.Fault{Status: http.StatusForbidden, Type: "security_exception", Reason: fmt.Sprintf("the cluster [%s] is open for the indices %s here, not for [%s]", c.Name, strings.Join(c.Indices, ", "), name)}
		}
		list = append(list, url.PathEscape(name))
	}
	if len(list) == 0 {
		for _, p := range c.Indices {
			list = append(list, url.PathEscape(p))
		}
	}
	return strings.Join(list, ","), nil
}

// scopeFilter is what the caller may see as a query of the DSL; nil is all of it.
// What cannot be said so is denied.
func (c *Client) scopeFilter(within reach.Reach) (map[string]any, error) {
	deny := func(why string) error {
		return &wire.Fault{Status: http.StatusForbidden, Type: "security_exception", Reason: fmt.Sprintf("the cluster [%s] cannot be searched by you: %s", c.Name, why)}
	}
	if within.Nothing() {
		return nil, deny("you may see no events")
	}
	if within.LogsFilter() != "" {
		return nil, deny("a filter on logs confines what you may see, and it cannot be asked of another cluster")
	}
	if len(within.Veil().Rules()) > 0 {
		return nil, deny("parts of events are masked for you, and another cluster does not mask")
	}
	if within.Everything() {
		return nil, nil
	}
	slugs, all := within.TenantSlugs()
	if c.TenantField == "" || all {
		return nil, deny("its events are of no tenant, and you may not see every tenant")
	}
	for _, slug := range slugs {
		if !within.CoversWhole(slug) {
			return nil, deny("of the tenant " + slug + " you may see a part only, and that cannot be asked of another cluster")
		}
	}
	return map[string]any{"terms": map[string]any{c.TenantField: slugs}}, nil
}

// Search passes a search on, confined to what the caller may see. The answer
// comes as the cluster gives it.
func (c *Client) Search(ctx context.Context, within reach.Reach, names []string, body map[string]any, parameters map[string]string) (any, error) {
	path, err := c.allowed(names)
	if err != nil {
		return nil, err
	}
	confined, err := c.scopeFilter(within)
	if err != nil {
		return nil, err
	}
	args := url.Values{}
	var must []any
	if q, ok := body["query"].(map[string]any); ok && len(q) > 0 {
		must = append(must, q)
	}
	for name, value := range parameters {
		switch name {
		case "q":
			must = append(must, map[string]any{"query_string": map[string]any{"query": value}})
		case "from", "size", "sort", "track_total_hits", "_source", "_source_includes", "_source_excludes", "rest_total_hits_as_int", "typed_keys", "ignore_unavailable", "allow_no_indices":
			args.Set(name, value)
		}
	}
	bounded := map[string]any{}
	if len(must) > 0 {
		bounded["must"] = must
	}
	if confined != nil {
		bounded["filter"] = confined
		body["query"] = map[string]any{"bool": bounded}
	} else if len(must) > 0 {
		body["query"] = map[string]any{"bool": bounded}
	}
	payload, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	return c.ask(ctx, http.MethodPost, "/"+path+"/_search?"+args.Encode(), payload)
}

// ask sends one request and reads the JSON of its answer.
func (c *Client) ask(ctx context.Context, method, path string, body []byte) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := c.client.Perform(req)
	if err != nil {
		return nil, &wire.Fault{Status: http.StatusBadGateway, Type: "connect_transport_exception", Reason: fmt.Sprintf("the cluster [%s] does not answer: %s", c.Name, cause(err))}
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return nil, &wire.Fault{Status: http.StatusBadGateway, Type: "connect_transport_exception", Reason: fmt.Sprintf("the answer of the cluster [%s] broke off: %s", c.Name, cause(err))}
	}
	if len(b) > maxAnswer {
		return nil, &wire.Fault{Status: http.StatusBadGateway, Type: "content_too_long_exception", Reason: fmt.Sprintf("the answer of the cluster [%s] is larger than %d MiB; ask for less", c.Name, maxAnswer>>20)}
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var out map[string]any
	if err := d.Decode(&out); err != nil {
		return nil, &wire.Fault{Status: http.StatusBadGateway, Type: "exception", Reason: fmt.Sprintf("the cluster [%s] answers with %s and no JSON", c.Name, res.Status)}
	}
	if res.StatusCode >= http.StatusBadRequest {
		return nil, &Refusal{res.StatusCode, out}
	}
	c.rename(out)
	return out, nil
}

// About asks a question about indices, such as /_mapping, for those who may
// search them.
func (c *Client) About(ctx context.Context, within reach.Reach, names []string, question string) (any, error) {
	path, err := c.allowed(names)
	if err != nil {
		return nil, err
	}
	if _, err := c.scopeFilter(within); err != nil {
		return nil, err
	}
	return c.ask(ctx, http.MethodGet, "/"+path+question, nil)
}

// rename puts the cluster's name in front of the index of each hit, as
// cross-cluster search does.
func (c *Client) rename(v any) {
	switch v := v.(type) {
	case map[string]any:
		if hits, ok := v["hits"].([]any); ok {
			for _, h := range hits {
				if hit, ok := h.(map[string]any); ok {
					if index, ok := hit["_index"].(string); ok {
						hit["_index"] = c.Name + ":" + index
					}
				}
			}
		}
		for name, inner := range v {
			if name != "_source" && name != "fields" {
				c.rename(inner)
			}
		}
	case []any:
		for _, inner := range v {
			c.rename(inner)
		}
	}
}

// cause keeps an error of the client short, without the URL, which may hold a
// password.
func cause(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return err.Error()
}

// Refusal is an error as a cluster words it.
type Refusal struct {
	Status int // of HTTP
	Body   map[string]any
}

// Error implements error.
func (r *Refusal) Error() string { return fmt.Sprintf("elastic: a cluster answers %d", r.Status) }
