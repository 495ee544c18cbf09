package traces

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/soc/reach"
)

func TestTrace(t *testing.T) {
	t.Parallel()
	c, base := shop(t)
	ctx := context.Background()
	tr, err := c.Trace(ctx, reach.Tenants("seal"), traceID(1), time.Time{}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	tree := tr.Tree()
	var got []string
	for _, n := range tree.Nodes {
		got = append(got, fmt.Sprintf("%d %s %s children=%d self=%s critical=%t orphan=%t %s", n.Depth, n.ID[12:], n.Name, n.Children, n.Self, n.Critical, n.Orphan, n.Outcome))
	}
	want := []string{
		"0 0001 GET /orders children=1 self=30ms critical=true orphan=false unset",
		"1 0002 call orders children=1 self=20ms critical=true orphan=false unset",
		"2 0003 list children=1 self=2ms critical=true orphan=false error",
		"3 0004 SELECT children=0 self=130ms critical=true orphan=false error",
	}
	if tree.Depth != 4 || !slices.Equal(got, want) {
		t.Errorf("depth %d:\n%s", tree.Depth, strings.Join(got, "\n"))
	}
	for _, x := range []struct {
		name, id   string
		to         reach.Reach
		start, end time.Time
		fail       error
	}{
		{"another tenant's", traceID(3), reach.Tenants("seal"), time.Time{}, time.Time{}, ErrNotFound},
		{"nobody's reach", traceID(1), reach.None(), time.Time{}, time.Time{}, ErrNotFound},
		{"unknown", "abc", reach.All(), time.Time{}, time.Time{}, ErrNotFound},
		{"in capitals", strings.ToUpper(traceID(1)), reach.All(), time.Time{}, time.Time{}, nil},
		{"without zeros", strings.TrimLeft(traceID(1), "0"), reach.All(), time.Time{}, time.Time{}, nil},
		{"times around", traceID(1), reach.All(), base.Add(-time.Minute), base.Add(time.Minute), nil},
		{"times elsewhere", traceID(1), reach.All(), base.Add(-100 * time.Hour), base.Add(-99 * time.Hour), nil},
		{"only a start", traceID(1), reach.All(), base, time.Time{}, nil},
		{"only an end", traceID(1), reach.All(), time.Time{}, base.Add(time.Hour), nil},
		{"not hexadecimal", "xyz", reach.All(), time.Time{}, time.Time{}, ErrInvalid},
		{"too long", strings.Repeat("a", 33), reach.All(), time.Time{}, time.Time{}, ErrInvalid},
		{"empty", "", reach.All(), time.Time{}, time.Time{}, ErrInvalid},
	} {
		tr, err := c.Trace(ctx, x.to, x.id, x.start, x.end)
		if !errors.Is(err, x.fail) || err == nil && len(tr.Spans) != 4 {
			t.Errorf("%s: %v", x.name, err)
		}
	}
}

// TestTreeOdd lays out what no proper sender makes: rings, spans that are their
// own parents, ids that occur twice or not at all.
func TestTreeOdd(t *testing.T) {
	t.Parallel()
	at := time.Unix(1000, 0)
	span := func(id, parent, kind string, from, length int) *Span {
		return &Span{ID: id, Parent: parent, Kind: kind, Start: at.Add(time.Duration(from)), Duration: time.Duration(length), Resource: &Resource{}}
	}
	for _, x := range []struct {
		name  string
		spans []*Span
		want  string // depth, id and self of each
	}{
		{"a ring", []*Span{span("a", "b", "", 0, 10), span("b", "a", "", 1, 5)}, "0a5 1b0"},
		{"its own parent", []*Span{span("a", "a", "", 0, 10)}, "0a0"},
		{"one id on both sides of a call", []*Span{span("a", "", "client", 0, 10), span("a", "", "server", 1, 8), span("b", "a", "", 2, 3)}, "0a10 0a5 1b3"},
		{"no ids", []*Span{span("", "", "", 0, 10), span("", "x", "", 1, 5)}, "010 05"},
		{"children that overlap and end late", []*Span{span("a", "", "", 0, 10), span("b", "a", "", 2, 3), span("c", "a", "", 3, 4), span("d", "a", "", 9, 50)}, "0a4 1b3 1c4 1d50"},
		{"a child before its parent", []*Span{span("b", "a", "", 0, 4), span("a", "", "", 2, 10)}, "0a8 1b4"},
	} {
		var got []string
		for _, n := range (&Trace{Spans: x.spans}).Tree().Nodes {
			got = append(got, fmt.Sprintf("%d%s%d", n.Depth, n.ID, n.Self))
		}
		if s := strings.Join(got, " "); s != x.want {
			t.Errorf("%s: %s, want %s", x.name, s, x.want)
		}
	}
	// A chain as deep as traces may be.
	var chain []*Span
	for i := range MaxSpans {
		parent := ""
		if i > 0 {
			parent = spanID(i)
		}
		chain = append(chain, span(spanID(i+1), parent, "", i, MaxSpans-i))
	}
	if tree := (&Trace{Spans: chain}).Tree(); tree.Depth != MaxSpans || !tree.Nodes[MaxSpans-1].Critical {
		t.Errorf("a chain of %d spans is %d deep", MaxSpans, tree.Depth)
	}
}

func TestCritical(t *testing.T) {
	t.Parallel()
	at := time.Unix(1000, 0)
	span := func(id, parent string, from, to int) *Span {
		return &Span{ID: id, Parent: parent, Start: at.Add(time.Duration(from)), Duration: time.Duration(to - from), Resource: &Resource{}}
	}
	// b and c run side by side, c ends last; then d; e outlives the root, which did not wait for it.
	tr := &Trace{Spans: []*Span{span("a", "", 0, 100), span("b", "a", 5, 40), span("c", "a", 10, 50), span("f", "c", 20, 30), span("d", "a", 60, 90), span("g", "b", 6, 9)}}
	var got string
	for _, n := range tr.Tree().Nodes {
		if n.Critical {
			got += n.ID
		}
	}
	if got != "acfd" {
		t.Errorf("the critical path is %s, want acfd", got)
	}
}

func TestTags(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		text string
		want []Tag // nil: an error
	}{
		{"", []Tag{}},
		{"a=b", []Tag{{"a", "b"}}},
		{`  a=b   c.d="e f"  g=""`, []Tag{{"a", "b"}, {"c.d", "e f"}, {"g", ""}}},
		{`a="say \"hi\" \\"`, []Tag{{"a", `say "hi" \`}}},
		{"a=b=c", []Tag{{"a", "b=c"}}},
		{"a=", []Tag{{"a", ""}}},
		{"a", nil}, {"=b", nil}, {`a="b`, nil}, {`a="b"c=d`, nil}, {"a b=c", nil},
	} {
		got, err := ParseTags(x.text)
		if (err != nil) != (x.want == nil) || err == nil && !slices.Equal(got, x.want) {
			t.Errorf("%q: %v, %v", x.text, got, err)
		}
		if err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v is no ErrInvalid", x.text, err)
		}
	}
	for tag, column := range map[Tag]string{
		{"http.method", "GET"}:      `"http.request.method":="GET"`,
		{"http.route", "/a"}:        `"labels.http_route":="/a"`,
		{"net.peer.ip", "10.0.0.1"}: `"destination.ip":="10.0.0.1"`,
		{"plain", "x"}:              `"plain":="x"`,
		{"error", "true"}:           `"event.outcome":=failure`,
	} {
		if q := tag.logsQL(); !strings.Contains(q, column) {
			t.Errorf("%v asks %s, which lacks %s", tag, q, column)
		}
	}
}

// FuzzQuestion asks with what anybody may write: every answer is one, or an
// error that says the question is wrong, never a broken query.
func FuzzQuestion(f *testing.F) {
	c, base := shop(f)
	f.Add("gateway", "GET /orders", "client", "error=true a=\"b c\"", int64(5), int64(0), "abc", "")
	f.Add(`"`, "`", `\`, `x="\"" |=y *:=z`, int64(-1), int64(1<<62), "0", `a:b | stats count()`)
	f.Add("\x00", "') | delete", "a:=b or *", `a.*"b=c`, int64(7), int64(6), strings.Repeat("f", 32), "(((")
	f.Fuzz(func(t *testing.T, service, operation, kind, tags string, low, high int64, id, query string) {
		c.asked = c.asked[:0]
		parsed, err := ParseTags(tags)
		if err != nil && !errors.Is(err, ErrInvalid) {
			t.Fatalf("tags %q: %v", tags, err)
		}
		r := Range{reach.Tenants("seal"), base.Add(-time.Hour), base.Add(time.Hour)}
		filter := Filter{Service: service, Operation: operation, Kind: kind, Tags: parsed, MinDuration: time.Duration(low), MaxDuration: time.Duration(high), LogsQL: query}
		list, _, err := c.Search(context.Background(), r, filter, 5)
		if err != nil && !errors.Is(err, ErrInvalid) && query == "" {
			t.Fatalf("search: %v", err)
		}
		for _, s := range list {
			if slices.Contains(s.Tenants, "hall") {
				t.Fatalf("it sees another tenant: %+v", s)
			}
		}
		if _, err := c.Operations(context.Background(), r, service, kind); err != nil {
			t.Fatalf("operations: %v", err)
		}
		if _, err := c.Trace(context.Background(), r.Reach, id, time.Time{}, time.Time{}); err != nil && !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrNotFound) {
			t.Fatalf("trace: %v", err)
		}
	})
}

// wide stores one trace of n spans, with originals as OTLP brings them.
func wide(b *testing.B, traces, spans int) (*city, time.Time) {
	c := newCity(b)
	base := time.Now().Add(-time.Hour).Truncate(time.Second)
	var list []fact
	for n := range traces {
		for i := range spans {
			f := fact{trace: traceID(n), id: spanID(n*spans + i + 1), name: "GET /orders", kind: "server", service: fmt.Sprintf("service-%d", i%12), tenant: "seal",
				start: base.Add(time.Duration(n+i) * time.Millisecond), duration: time.Second, tags: map[string]string{"region": "north", "customer": fmt.Sprint(i)}}
			if i > 0 {
				f.parent = spanID(n*spans + (i-1)/4 + 1)
			}
			f.original = fmt.Sprintf(`{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":%q}},{"key":"host.name","value":{"stringValue":"node-1"}}]},"scope":{"name":"otelhttp"},"span":{"traceId":%q,"spanId":%q,"parentSpanId":%q,"name":"GET /orders","kind":2,"startTimeUnixNano":"%d","endTimeUnixNano":"%d","attributes":[{"key":"region","value":{"stringValue":"north"}},{"key":"customer","value":{"intValue":"%d"}},{"key":"url.full","value":{"stringValue":"https://orders.example.gov/v1/orders/%d?page=1"}}],"events":[{"name":"cache miss","timeUnixNano":"%d"}]}}`,
				f.service, f.trace, f.id, f.parent, f.start.UnixNano(), f.start.Add(f.duration).UnixNano(), i, i, f.start.UnixNano())
			list = append(list, f)
		}
		if len(list) > 50_000 {
			c.store(list...)
			c.settle()
			list = list[:0]
		}
	}
	c.store(list...)
	c.settle()
	return c, base
}

// BenchmarkTrace reads a trace of 10,000 spans by its id alone and lays it out.
func BenchmarkTrace(b *testing.B) {
	c, _ := wide(b, 1, 10_000)
	for b.Loop() {
		t, err := c.Trace(context.Background(), reach.Tenants("seal"), traceID(0), time.Time{}, time.Time{})
		if err != nil || len(t.Tree().Nodes) != 10_000 {
			b.Fatal(err)
		}
	}
}

// BenchmarkMap makes the service map of 200,000 spans.
func BenchmarkMap(b *testing.B) {
	c, base := wide(b, 5000, 40)
	for b.Loop() {
		m, err := c.Map(context.Background(), Range{reach.Tenants("seal"), base.Add(-time.Hour), base.Add(time.Hour)}, "")
		if err != nil || len(m.Edges) == 0 || m.Share != 1 {
			b.Fatal(err)
		}
	}
}

// BenchmarkSearch sums up the newest 20 of 5,000 traces with 200,000 spans.
func BenchmarkSearch(b *testing.B) {
	c, base := wide(b, 5000, 40)
	for b.Loop() {
		list, _, err := c.Search(context.Background(), Range{reach.Tenants("seal"), base.Add(-time.Hour), base.Add(time.Hour)}, Filter{Service: "service-3"}, 20)
		if err != nil || len(list) != 20 {
			b.Fatal(err)
		}
	}
}
