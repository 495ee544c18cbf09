package elastic

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"

	"icewatch/soc/elastic/cluster"
	"icewatch/soc/elastic/dsl"
	"icewatch/soc/event"
	"icewatch/soc/intake"
	"icewatch/soc/lake"
	"icewatch/soc/pipeline"
	"icewatch/soc/protocol"
	"icewatch/soc/reach"
	"icewatch/soc/retention"
	"icewatch/soc/search"
)

// city is a real lake, fed by the real pipeline, with the API over it.
type city struct {
	t       testing.TB
	app     *fiber.App
	lake    *lake.Lake
	pipe    *pipeline.Pipeline
	writer  *lake.Writer
	account map[string]uint32
	n       uint64
	reach   reach.Reach
	search.Store
}

var _ protocol.Caller = (*city)(nil)

func newCity(t testing.TB, clusters ...cluster.Config) *city {
	t.Helper()
	const keep = 100 * 365 * 24 * time.Hour
	lk, err := lake.Open(lake.Options{Dir: filepath.Join(t.TempDir(), "lake"), Classes: []lake.Class{{Name: retention.Standard, Retention: keep}, {Name: "long", Retention: keep}}, Memory: 256 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lk.Close() })
	reg := event.NewRegistry(0)
	policy := retention.Policy{Classes: []retention.Class{{Name: retention.Standard, Keep: keep}}}
	c := &city{t: t, lake: lk, writer: lk.NewWriter(reg), account: map[string]uint32{"unassigned": 1, "tax": 100, "hall": 101}, reach: reach.All(),
		pipe: pipeline.New(pipeline.Options{Registry: reg, Keeping: &policy, Future: time.Hour})}
	dir := pipeline.Directory{}
	for slug, n := range c.account {
		dir[slug] = pipeline.Place{Account: n}
	}
	c.pipe.SetDirectory(dir)
	p, err := New(Options{Store: c, Caller: c, Clusters: clusters})
	if err != nil {
		t.Fatal(err)
	}
	c.app = fiber.New(fiber.Config{DisableStartupMessage: true, ErrorHandler: func(c *fiber.Ctx, err error) error { return p.Refuse(c, http.StatusInternalServerError, err.Error()) }})
	for _, r := range p.Routes {
		c.app.Add(r.Method, r.Path, r.Handler)
		if r.Method == http.MethodGet {
			c.app.Head(r.Path, r.Handler)
		}
	}
	return c
}

// Reach implements protocol.Caller.
func (c *city) Reach(*fiber.Ctx) (reach.Reach, error) { return c.reach, nil }

// Tenant implements protocol.Caller.
func (c *city) Tenant(*fiber.Ctx) string { return "tax" }

// Query implements search.Store.
func (c *city) Query(ctx context.Context, req search.Request, emit func([]byte) error) error {
	return c.lake.Rows(ctx, c.question(req), emit)
}

// Fields implements search.Store.
func (c *city) Fields(ctx context.Context, req search.Request, limit int) ([]search.ValueHits, error) {
	return c.lake.Fields(ctx, c.question(req), limit)
}

func (c *city) question(req search.Request) lake.Query {
	slugs, all := req.Reach.TenantSlugs()
	var accounts []uint32
	for slug, n := range c.account {
		if all || slices.Contains(slugs, slug) {
			accounts = append(accounts, n)
		}
	}
	return lake.Query{Accounts: accounts, Filter: req.Reach.LogsQL(), Veil: req.Reach.Veil(), LogsQL: req.Query, Start: req.Start, End: req.End.Add(-1), Limit: req.Limit, Offset: req.Offset}
}

// send takes a document in as collectors/elasticbulk does.
func (c *city) send(tenant, index, id, doc string) {
	c.t.Helper()
	rec := intake.Record{Tenant: tenant, Format: intake.JSON, Collector: "elastic-bulk", Received: time.Now().UnixNano(), Data: []byte(doc)}
	if index != "" {
		rec.Attrs = []intake.Attr{{Name: dsl.ColumnIndex, Value: index}}
	}
	if id != "" {
		rec.ID = index + "/" + id
	}
	c.n++
	var ev event.Event
	place := c.pipe.Fill(&rec, event.ID{Epoch: "e", Sequence: c.n}, &ev)
	class := place.Class
	if c.n%2 == 0 {
		class = "long" // so that answers are put together of two stores
	}
	if err := c.writer.Add(&ev, lake.Space{Account: place.Account, Class: class}, ev.Text(event.HostName)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *city) settle() {
	c.t.Helper()
	if err := c.writer.Flush(); err != nil {
		c.t.Fatal(err)
	}
	c.lake.Flush()
}

// shop sends the documents of testdata.
func (c *city) shop() {
	c.t.Helper()
	for _, d := range documents(c.t) {
		c.send("tax", "logs-shop", d.id, d.text)
	}
	c.settle()
}

type document struct{ id, text string }

func documents(t testing.TB) (list []document) {
	t.Helper()
	b, err := os.ReadFile("testdata/documents.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	for i := 0; i < len(lines); i += 2 {
		var action struct {
			Create struct {
				ID string `json:"_id"`
			}
		}
		if err := json.Unmarshal([]byte(lines[i]), &action); err != nil {
			t.Fatal(err)
		}
		list = append(list, document{action.Create.ID, lines[i+1]})
	}
	return list
}

// call asks the API.
func (c *city) call(method, path, body string) (int, map[string]any) {
	c.t.Helper()
	req := httptest.NewRequest(method, "/elastic"+path, strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	res, err := c.app.Test(req, -1)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	if res.Header.Get("X-Elastic-Product") != "Elasticsearch" {
		c.t.Errorf("%s %s: no product header", method, path)
	}
	var out map[string]any
	if len(b) > 0 && b[0] == '{' {
		if err := json.Unmarshal(b, &out); err != nil {
			c.t.Fatalf("%s %s answers %.300q: %v", method, path, b, err)
		}
	}
	return res.StatusCode, out
}

// golden is a request with what a real Elasticsearch answered.
type golden struct {
	Name   string         `json:"name"`
	Path   string         `json:"path"`
	Body   any            `json:"body,omitempty"`
	Answer map[string]any `json:"answer,omitempty"`
}

func readGolden(t testing.TB, file string) (list []golden) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &list); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return list
}

// settled is an answer without what differs from run to run: times, shards and
// scores.
func settled(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for name, inner := range v {
			switch name {
			case "sort":
				// Behind the time, the order in which events are stored: a number there,
				// an id here.
				if list, ok := inner.([]any); ok && len(list) == 2 {
					if _, isTime := list[0].(float64); isTime && v["fields"] != nil {
						inner = list[:1]
					}
				}
			case "took", "timed_out", "_shards", "max_score", "_score", "terminated_early", "status":
				continue
			}
			out[name] = settled(inner)
		}
		if hits, ok := out["hits"].([]any); ok {
			byID(hits)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = settled(v[i])
		}
		return out
	}
	return v
}

// byID orders hits that the request left in any order.
func byID(hits []any) {
	id := func(v any) (string, bool) {
		h, ok := v.(map[string]any)
		if !ok || h["sort"] != nil {
			return "", false
		}
		s, ok := h["_id"].(string)
		return s, ok
	}
	if slices.ContainsFunc(hits, func(v any) bool { _, ok := id(v); return !ok }) {
		return
	}
	slices.SortFunc(hits, func(a, b any) int {
		x, _ := id(a)
		y, _ := id(b)
		return strings.Compare(x, y)
	})
}

// difference tells where two answers first differ, "" where they do not.
// Numbers may differ by the rounding of floats.
func difference(at string, got, want any) string {
	switch want := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return fmt.Sprintf("%s: got %v, want an object", at, got)
		}
		for name := range want {
			if _, ok := g[name]; !ok {
				return fmt.Sprintf("%s: %q is missing, want %v", at, name, want[name])
			}
			if d := difference(at+"."+name, g[name], want[name]); d != "" {
				return d
			}
		}
		for name := range g {
			if _, ok := want[name]; !ok {
				return fmt.Sprintf("%s: %q is too much: %v", at, name, g[name])
			}
		}
		return ""
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(want) {
			return fmt.Sprintf("%s: got %v, want %v", at, brief(got), brief(want))
		}
		for i := range want {
			if d := difference(fmt.Sprintf("%s[%d]", at, i), g[i], want[i]); d != "" {
				return d
			}
		}
		return ""
	case float64:
		g, ok := got.(float64)
		if d := g - want; !ok || d > 1e-6*max(1, want) || -d > 1e-6*max(1, want) {
			return fmt.Sprintf("%s: got %v, want %v", at, got, want)
		}
		return ""
	}
	if got != want {
		return fmt.Sprintf("%s: got %v, want %v", at, got, want)
	}
	return ""
}

func brief(v any) string {
	b, _ := json.Marshal(v)
	if len(b) > 1500 {
		b = append(b[:1500], "…"...)
	}
	return string(bytes.TrimSpace(b))
}
