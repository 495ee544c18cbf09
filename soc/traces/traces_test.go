package traces

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"icewatch/soc/event"
	"icewatch/soc/lake"
	"icewatch/soc/reach"
	"icewatch/soc/retention"
	"icewatch/soc/search"
)

// city is a real lake with the service over it.
type city struct {
	*Service
	t       testing.TB
	lake    *lake.Lake
	reg     *event.Registry
	writer  *lake.Writer
	account map[string]uint32
	n       uint64
	asked   []string // the queries
}

func newCity(t testing.TB) *city {
	t.Helper()
	lk, err := lake.Open(lake.Options{Dir: filepath.Join(t.TempDir(), "lake"), Classes: []lake.Class{{Name: retention.Standard, Retention: 30 * 24 * time.Hour}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lk.Close() })
	reg := event.NewRegistry(0)
	c := &city{t: t, lake: lk, reg: reg, writer: lk.NewWriter(reg), account: map[string]uint32{"seal": 100, "hall": 101}}
	c.Service = New(c)
	return c
}

// Query implements Searcher.
func (c *city) Query(ctx context.Context, req search.Request, emit func([]byte) error) error {
	c.asked = append(c.asked, req.Query)
	slugs, all := req.Reach.TenantSlugs()
	var accounts []uint32
	for slug, n := range c.account {
		if all || slices.Contains(slugs, slug) {
			accounts = append(accounts, n)
		}
	}
	v := req.Reach.Veil()
	return c.lake.Rows(ctx, lake.Query{Accounts: accounts, Filter: req.Reach.LogsQL(), Veil: v, LogsQL: req.Query, Start: req.Start, End: req.End.Add(-1), Limit: req.Limit},
		func(row []byte) error { return emit(v.Row(row)) })
}

// fact is a span as a test tells it.
type fact struct {
	trace, id, parent, name, kind, service, tenant string
	start                                          time.Time
	duration                                       time.Duration
	failed                                         bool
	tags                                           map[string]string
	original                                       string
}

func (c *city) store(facts ...fact) {
	c.t.Helper()
	for _, f := range facts {
		c.n++
		ev := event.Event{ID: event.ID{Epoch: "e", Sequence: c.n}, Time: f.start.UnixNano(), Created: f.start.UnixNano(), Tenant: f.tenant, Raw: f.original}
		set := func(name, value string) {
			if value == "" {
				return
			}
			id, ok := c.reg.Intern(name)
			if !ok {
				c.t.Fatalf("the field %s cannot be had", name)
			}
			ev.Add(id, value)
		}
		set("data_stream.type", "traces")
		set("event.dataset", "otlp.span")
		set("trace.id", f.trace)
		set("span.id", f.id)
		set("parent.id", f.parent)
		set("span.name", f.name)
		set("span.kind", f.kind)
		set("service.name", f.service)
		set("event.duration", fmt.Sprint(f.duration.Nanoseconds()))
		set("event.outcome", map[bool]string{true: "failure", false: "unknown"}[f.failed])
		for k, v := range f.tags {
			set("labels."+underscored.Replace(k), v)
		}
		if err := c.writer.Add(&ev, lake.Space{Account: c.account[f.tenant]}, ""); err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c *city) settle() {
	c.t.Helper()
	if err := c.writer.Flush(); err != nil {
		c.t.Fatal(err)
	}
	c.lake.Flush()
}

func asJSON(v any) string {
	b, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func traceID(n int) string { return fmt.Sprintf("%032x", 0xabc0000000000000+uint64(n)) }
func spanID(n int) string  { return fmt.Sprintf("%016x", n) }

// shop stores three traces: an order across three services with a failure, one
// that lost its root, and one of another tenant.
func shop(t testing.TB) (*city, time.Time) {
	c := newCity(t)
	base := time.Now().Add(-30 * time.Minute).Truncate(time.Second).Add(123456789)
	c.store(
		fact{trace: traceID(1), id: spanID(1), name: "GET /orders", kind: "server", service: "gateway", tenant: "seal", start: base, duration: 90 * time.Millisecond, tags: map[string]string{"http.route": "/orders"}},
		fact{trace: traceID(1), id: spanID(2), parent: spanID(1), name: "call orders", kind: "client", service: "gateway", tenant: "seal", start: base.Add(5 * time.Millisecond), duration: 60 * time.Millisecond},
		fact{trace: traceID(1), id: spanID(3), parent: spanID(2), name: "list", kind: "server", service: "orders", tenant: "seal", start: base.Add(10 * time.Millisecond), duration: 40 * time.Millisecond, failed: true},
		fact{trace: traceID(1), id: spanID(4), parent: spanID(3), name: "SELECT", kind: "client", service: "orders", tenant: "seal", start: base.Add(12 * time.Millisecond), duration: 130 * time.Millisecond, failed: true, tags: map[string]string{"db.system": "postgresql"}},
		fact{trace: traceID(2), id: spanID(5), parent: spanID(99), name: "consume", kind: "consumer", service: "mail", tenant: "seal", start: base.Add(time.Minute), duration: time.Second},
		fact{trace: traceID(3), id: spanID(6), name: "GET /hall", kind: "server", service: "hall", tenant: "hall", start: base.Add(2 * time.Minute), duration: time.Millisecond},
	)
	c.settle()
	return c, base
}

func TestSearch(t *testing.T) {
	t.Parallel()
	c, base := shop(t)
	r := Range{reach.Tenants("seal"), base.Add(-time.Hour), base.Add(time.Hour)}
	list, more, err := c.Search(context.Background(), r, Filter{}, 20)
	if err != nil {
		t.Fatal(err)
	}
	want := []Summary{
		{TraceID: traceID(2), Start: base.Add(time.Minute).UTC(), Duration: 1e9, Spans: 1, Matched: 1, Services: []ServicePart{{"mail", 1, 0}}, Tenants: []string{"seal"}},
		{TraceID: traceID(1), Start: base.UTC(), Duration: 142e6, Spans: 4, Errors: 2, Matched: 4, Root: &Root{spanID(1), "gateway", "GET /orders", "server"},
			Services: []ServicePart{{"gateway", 2, 0}, {"orders", 2, 2}}, Tenants: []string{"seal"}},
	}
	if more || asJSON(list) != asJSON(want) {
		t.Fatalf("more %t, got %s\nwant %s", more, asJSON(list), asJSON(want))
	}
	for _, x := range []struct {
		name   string
		filter Filter
		want   []string
	}{
		{"service", Filter{Service: "orders"}, []string{traceID(1)}},
		{"operation of another service", Filter{Service: "orders", Operation: "GET /orders"}, nil},
		{"operation", Filter{Service: "gateway", Operation: "GET /orders"}, []string{traceID(1)}},
		{"kind", Filter{Kind: "consumer"}, []string{traceID(2)}},
		{"longer", Filter{MinDuration: 100 * time.Millisecond}, []string{traceID(2), traceID(1)}},
		{"between", Filter{MinDuration: 100 * time.Millisecond, MaxDuration: 500 * time.Millisecond}, []string{traceID(1)}},
		{"exactly", Filter{MinDuration: time.Second, MaxDuration: time.Second}, []string{traceID(2)}},
		{"failed", Filter{Failed: true}, []string{traceID(1)}},
		{"failed elsewhere", Filter{Failed: true, Service: "gateway"}, nil},
		{"tag", Filter{Tags: []Tag{{"db.system", "postgresql"}}}, []string{traceID(1)}},
		{"tag of another span", Filter{Service: "gateway", Tags: []Tag{{"db.system", "postgresql"}}}, nil},
		{"tag error", Filter{Tags: []Tag{{"error", "true"}}}, []string{traceID(1)}},
		{"tag no error", Filter{Tags: []Tag{{"error", "false"}}}, []string{traceID(2), traceID(1)}},
		{"LogsQL", Filter{LogsQL: `service.name:=mail or span.name:=SELECT`}, []string{traceID(2), traceID(1)}},
		{"nothing", Filter{Service: "hall"}, nil},
	} {
		list, _, err := c.Search(context.Background(), r, x.filter, 20)
		var got []string
		for _, s := range list {
			got = append(got, s.TraceID)
		}
		if err != nil || !slices.Equal(got, x.want) {
			t.Errorf("%s: %v, error %v; want %v", x.name, got, err, x.want)
		}
	}
	for _, wrong := range []Filter{{LogsQL: "a | fields b"}, {LogsQL: "(a"}, {MinDuration: 2, MaxDuration: 1}, {Tags: []Tag{{"", "x"}}}} {
		if _, _, err := c.Search(context.Background(), r, wrong, 20); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", wrong, err)
		}
	}
	for _, limit := range []int{0, -1, MaxTraces + 1} {
		if _, _, err := c.Search(context.Background(), r, Filter{}, limit); !errors.Is(err, ErrInvalid) {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
	if list, more, err = c.Search(context.Background(), r, Filter{}, 1); err != nil || !more || len(list) != 1 || list[0].TraceID != traceID(2) {
		t.Errorf("the newest: %s, more %t, error %v", asJSON(list), more, err)
	}
	if list, _, err = c.Search(context.Background(), Range{reach.None(), r.Start, r.End}, Filter{}, 20); err != nil || len(list) != 0 {
		t.Errorf("a reach over nothing sees %s, error %v", asJSON(list), err)
	}
}
