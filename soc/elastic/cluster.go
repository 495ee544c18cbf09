package elastic

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
	"github.com/gofiber/fiber/v2"

	"icewatch/soc/elastic/filterpath"
	"icewatch/soc/reach"
)

// Cluster is an Elasticsearch of the city's own that is searched under the name
// <Name>:<index>.
type Cluster struct {
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

type cluster struct {
	Cluster
	client *elastictransport.Client
}

// open makes the client; it connects to nobody.
func (c Cluster) open() (*cluster, error) {
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
	return &cluster{c, client}, nil
}

// allowed keeps to the indices that may be asked.
func (c *cluster) allowed(names []string) (string, error) {
	var list []string
	for _, name := range names {
		if name == "" || strings.HasPrefix(name, "-") || strings.ContainsAny(name, ":/?#<>") {
			return "", invalid("invalid_index_name_exception", "Invalid index name [%s:%s]", c.Name, name)
		}
		// A pattern is allowed where one that is configured covers it.
		if !slices.ContainsFunc(c.Indices, func(p string) bool { return filterpath.Glob(p, name) }) {
			return "", &fault{http.StatusForbidden, "security_exception", fmt.Sprintf("the cluster [%s] is open for the indices %s here, not for [%s]", c.Name, strings.Join(c.Indices, ", "), name)}
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
func (c *cluster) scopeFilter(within reach.Reach) (map[string]any, error) {
	deny := func(why string) error {
		return &fault{http.StatusForbidden, "security_exception", fmt.Sprintf("the cluster [%s] cannot be searched by you: %s", c.Name, why)}
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

// search passes a search on, confined to what the caller may see. The answer
// comes as the cluster gives it.
func (c *cluster) search(ctx context.Context, within reach.Reach, names []string, body map[string]any, parameters map[string]string) (any, error) {
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
func (c *cluster) ask(ctx context.Context, method, path string, body []byte) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := c.client.Perform(req)
	if err != nil {
		return nil, &fault{http.StatusBadGateway, "connect_transport_exception", fmt.Sprintf("the cluster [%s] does not answer: %s", c.Name, cause(err))}
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return nil, &fault{http.StatusBadGateway, "connect_transport_exception", fmt.Sprintf("the answer of the cluster [%s] broke off: %s", c.Name, cause(err))}
	}
	if len(b) > maxAnswer {
		return nil, &fault{http.StatusBadGateway, "content_too_long_exception", fmt.Sprintf("the answer of the cluster [%s] is larger than %d MiB; ask for less", c.Name, maxAnswer>>20)}
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var out map[string]any
	if err := d.Decode(&out); err != nil {
		return nil, &fault{http.StatusBadGateway, "exception", fmt.Sprintf("the cluster [%s] answers with %s and no JSON", c.Name, res.Status)}
	}
	if res.StatusCode >= http.StatusBadRequest {
		return nil, &remoteFault{res.StatusCode, out}
	}
	c.rename(out)
	return out, nil
}

// rename puts the cluster's name in front of the index of each hit, as
// cross-cluster search does.
func (c *cluster) rename(v any) {
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

// remoteFault is an error as a cluster words it.
type remoteFault struct {
	status int
	body   map[string]any
}

func (r *remoteFault) Error() string { return fmt.Sprintf("elastic: a cluster answers %d", r.status) }

// pass passes a question about the indices of a cluster on, for those who may
// search it.
func (s *Server) pass(c *fiber.Ctx, in indices, path string) error {
	of := s.clusters[in.cluster[0]]
	names, err := of.allowed(in.remote[of.Name])
	if err != nil {
		return err
	}
	within, err := s.Caller.Reach(c)
	if err != nil {
		return err
	}
	if _, err := of.scopeFilter(within); err != nil {
		return err
	}
	out, err := of.ask(c.UserContext(), http.MethodGet, "/"+names+path, nil)
	if err != nil {
		return err
	}
	return respond(c, http.StatusOK, out)
}
