package boards

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"icewatch/dashboards/grafana"
)

// want is what a query has to answer: figures by what tells them apart.
type want struct {
	values map[string]float64
	others bool    // there may be more than these
	near   float64 // part of a value by which it may be off
	atMost bool    // the values are bounds
	// Of the greatest, which of equal ones are shown is open: so many answers in all, each other one with this value.
	size int
	tie  float64
	some int // so many of the values at least, whichever
}

func one(v float64) want { return want{values: map[string]float64{"": v}} }

// by makes a want of values of one label.
func by(label string, m map[string]float64) want {
	out := map[string]float64{}
	for k, v := range m {
		out[label+"="+k] = v
	}
	return want{values: out}
}

func of(m map[string]float64) want { return want{values: m} }

func (x want) more() want { x.others, x.size = true, 0; return x }

// any asks for so many of the values at least, whichever, each of them right.
func (x want) any(n int) want           { x.others, x.some = true, n; return x }
func (x want) within(part float64) want { x.near = part; return x }
func (x want) bounded() want            { x.atMost = true; return x }
func (x want) compare(got map[string]float64) string {
	if x.others && len(x.values) == 0 && x.size == 0 {
		return "nothing is expected of it: rows alone are no answer"
	}
	var faults []string
	there := 0
	for k, v := range x.values {
		g, ok := got[k]
		if ok {
			there++
		}
		switch {
		case !ok && x.some > 0:
		case x.atMost && ok && g >= 0 && g <= v:
		case !x.atMost && ok && math.Abs(g-v) <= math.Abs(v)*x.near+1e-9*math.Abs(v):
		case !ok:
			faults = append(faults, fmt.Sprintf("no %q, want %v", k, v))
		default:
			faults = append(faults, fmt.Sprintf("%q is %v, want %v", k, g, v))
		}
	}
	for k, g := range got {
		switch _, ok := x.values[k]; {
		case ok:
		case x.size > 0 && math.Abs(g-x.tie) > x.tie*x.near+1e-9*x.tie:
			faults = append(faults, fmt.Sprintf("%q is %v, want %v", k, g, x.tie))
		case !x.others && g != 0:
			faults = append(faults, fmt.Sprintf("%q is %v, want none", k, g))
		}
	}
	if there < x.some {
		faults = append(faults, fmt.Sprintf("%d of the values, want %d", there, x.some))
	}
	if x.size > 0 && len(got) != x.size {
		faults = append(faults, fmt.Sprintf("%d answers, want the greatest %d", len(got), x.size))
	}
	slices.Sort(faults)
	if len(faults) > 0 {
		keys := slices.Sorted(maps.Keys(got))
		faults = append(faults, fmt.Sprintf("of %d: %q", len(keys), keys[:min(len(keys), 30)]))
	}
	return strings.Join(faults, "; ")
}

// until tries f for a while.
func until(ctx context.Context, within time.Duration, f func() error) error {
	end := time.Now().Add(within)
	for {
		err := f()
		if err == nil {
			return nil
		}
		if time.Now().After(end) || ctx.Err() != nil {
			return fmt.Errorf("not within %s: %w", within, err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// stored waits until what a round drove is in the lake.
func (w *World) stored(ctx context.Context, rounds int) error {
	n := 0
	for _, d := range w.documents {
		if d.round <= rounds && !d.own {
			n++
		}
	}
	return until(ctx, 30*time.Second, func() error {
		rows, err := w.Admin.Search(ctx, url.Values{"query": {`icewatch.collector:in("elastic-bulk", "syslog-tcp", "netflow") | stats count() n`}, "start": {"1970-01-01T00:00:00Z"},
			"end": {time.Now().Add(time.Hour).UTC().Format(time.RFC3339)}, "limit": {"10"}})
		if err != nil {
			return err
		}
		if len(rows) != 1 || fmt.Sprint(rows[0]["n"]) != fmt.Sprint(n) {
			return fmt.Errorf("%v, want %d", rows, n)
		}
		return nil
	})
}

// Run drives known data into the suite and asks every query of every dashboard.
// It takes a minute, most of it waiting.
func Run(t *testing.T, s Suite) {
	t.Helper()
	w := &World{Suite: s}
	ctx := t.Context()
	check := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	check("prepare", w.prepare(ctx))
	stop, err := w.forwardTo(ctx)
	check("forward", err)
	t.Cleanup(stop)
	check("the rule", w.rule(ctx))
	check("the first round", w.round(ctx, 1, time.Now().Add(-10*time.Minute)))
	check("alerts", w.alarm(ctx))
	check("strangers", w.strangers(ctx, 1))
	check("a quota", w.Admin.JSON(ctx, http.MethodPut, "/api/v1/tenants/"+webTenant+"/quota", nil, map[string]any{"events_per_day": quota}, nil))
	check("incidents", until(ctx, 30*time.Second, func() error {
		list, err := w.readIncidents(ctx)
		if err == nil && len(list) != len(w.tenants) {
			err = fmt.Errorf("%d incidents, want %d: one of each critical alert", len(list), len(w.tenants))
		}
		for _, i := range list {
			if i.Alerts != 3 {
				err = fmt.Errorf("the incident of %s has %d alerts, want 3", i.Tenant, i.Alerts)
			}
		}
		return err
	}))
	check("work", w.work(ctx))
	check("the first round is stored", w.stored(ctx, 1))
	w.from = time.Now().Add(step).Truncate(step)
	check("measures", w.measure(ctx))
	time.Sleep(time.Until(w.from.Add(1500 * time.Millisecond)))
	check("the second round", w.round(ctx, 2, time.Now()))
	check("more measures", w.measureMore(ctx))
	check("strangers", w.strangers(ctx, 2))
	check("the second round is stored", w.stored(ctx, 2))
	// The end leaves time for the suite to take its figures once more.
	w.to = w.from.Add(3 * step)
	for time.Until(w.to) < 3*time.Second {
		w.to = w.to.Add(step)
	}
	time.Sleep(time.Until(w.to))
	check("the figures", w.scrape(ctx))
	w.incidents, err = w.readIncidents(ctx)
	check("the incidents", err)
	time.Sleep(2 * time.Second) // until the last figures are in the lake of metrics
	w.ask(t)
}

// ask asks every query of every dashboard and compares.
func (w *World) ask(t *testing.T) {
	t.Helper()
	w.anchor(t)
	a := &asker{url: w.URL, token: w.reader, from: w.from, to: w.to}
	files := grafana.Files()
	names, err := fs.Glob(files, "en-US/*.json")
	if err != nil || len(names) < 12 {
		t.Fatalf("%d dashboards: %v", len(names), err)
	}
	panels, queries, written := 0, 0, 0
	known := map[string]bool{}
	others := 0 // panels without a query that ask all the same
	for _, name := range names {
		b, other := read(t, files, name), read(t, files, "zh-CN/"+path.Base(name))
		same(t, name, b, other)
		n := written
		written += targets(t, files, name)
		if m := targets(t, files, "zh-CN/"+path.Base(name)); m != written-n {
			t.Errorf("%s: %d queries in English, %d in Chinese", name, written-n, m)
		}
		slug := strings.TrimSuffix(path.Base(name), ".json")
		v, err := w.choose(a, slug, &b)
		if err != nil {
			t.Errorf("%s: %v", slug, err)
			continue
		}
		group := slug
		if strings.HasPrefix(slug, "domain-") {
			group = "domain"
		}
		for _, p := range b.Panels {
			if p.Type == "row" {
				continue
			}
			panels++
			expect, ok := expectations[group][p.Title]
			if !ok && (group == "domain" || group == "tenant") {
				expect, ok = ofTenants[p.Title]
			}
			if !ok {
				t.Errorf("%s: %q has no expectation: name in expectations.go what it must show", slug, p.Title)
				continue
			}
			known[group+"/"+p.Title] = true
			wants := expect(w, v)
			if p.Type == "alertGroups" {
				others++
				got, err := a.alerts()
				if err != nil {
					t.Errorf("%s: %q: %v", slug, p.Title, err)
				} else if d := wants[0].compare(got); d != "" {
					t.Errorf("%s: %q: %s", slug, p.Title, d)
				}
				continue
			}
			if len(wants) != len(p.Targets) {
				t.Errorf("%s: %q has %d queries and %d expectations", slug, p.Title, len(p.Targets), len(wants))
				continue
			}
			for i := range p.Targets {
				queries++
				got, err := a.ask(&p.Targets[i], v)
				if err != nil {
					t.Errorf("%s: %q, query %s: %v", slug, p.Title, p.Targets[i].RefID, err)
				} else if d := wants[i].compare(got); d != "" {
					t.Errorf("%s: %q, query %s: %s", slug, p.Title, p.Targets[i].RefID, d)
				}
			}
		}
	}
	// A key of one tenant shows that tenant's hosts, by the same dashboards.
	for _, p := range read(t, files, "en-US/hosts.json").Panels {
		if p.Title != "CPU used" {
			continue
		}
		got, err := (&asker{url: w.URL, token: w.other, from: w.from, to: w.to}).ask(&p.Targets[0], values{"tenant": {".*"}, "host": {".*"}})
		want := of(w.measured(values{"tenant": {otherTenant}}, "cpu_usage_idle", labelled("cpu", "cpu-total"), func(m measure) float64 { return 100 - m.value }, "host"))
		if d := want.compare(got); err != nil || d != "" {
			t.Errorf("with a key of %s: %q: %v %s", otherTenant, p.Title, err, d)
		}
	}
	for group, list := range expectations {
		for title := range list {
			if !known[group+"/"+title] {
				t.Errorf("%s: %q is expected of no panel", group, title)
			}
		}
	}
	// However deep a query lies in the files, and of whatever it is: none is left out.
	if queries != written {
		t.Errorf("the files hold %d queries, %d were asked and compared", written, queries)
	}
	t.Logf("%d dashboards, %d panels, %d queries asked and compared", len(names), panels, queries+others)
}

// targets counts the queries of a file, wherever in it they stand.
func targets(t *testing.T, files fs.FS, name string) (n int) {
	t.Helper()
	text, err := fs.ReadFile(files, name)
	var all any
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	var walk func(x any)
	walk = func(x any) {
		switch x := x.(type) {
		case []any:
			for _, y := range x {
				walk(y)
			}
		case map[string]any:
			for k, y := range x {
				if list, ok := y.([]any); ok && k == "targets" {
					n += len(list)
				} else if _, ok := y.(map[string]any); ok && k == "target" {
					n++ // of an annotation
				}
				walk(y)
			}
		}
	}
	walk(all)
	return n
}

// anchor holds figures of the page that dashboards are compared with against what was driven.
func (w *World) anchor(t *testing.T) {
	t.Helper()
	counted := w.shown("icewatch_tenant_day_events")
	for tenant, n := range w.today(values{}) {
		if got := counted["tenant="+tenant]; got != n {
			t.Errorf("/metrics: %s has %v events of today, %v were driven", tenant, got, n)
		}
	}
	driven, own := 0.0, 0.0
	for i := range w.documents {
		if w.documents[i].own {
			own++
		} else {
			driven++
		}
	}
	if rows := sum(w.shown("icewatch_lake_rows")); rows < driven || rows > driven+own+200 {
		t.Errorf("/metrics: the lake has %v rows; %v events were driven, and the suite's own audit log makes few more", rows, driven)
	}
}

func read(t *testing.T, files fs.FS, name string) (b board) {
	t.Helper()
	text, err := fs.ReadFile(files, name)
	if err == nil {
		err = json.Unmarshal(text, &b)
	}
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return b
}

// same holds that the Chinese dashboard asks what the English one asks.
func same(t *testing.T, name string, a, b board) {
	t.Helper()
	if len(a.Panels) != len(b.Panels) || len(a.Templating.List) != len(b.Templating.List) {
		t.Errorf("%s: the languages have other panels or variables", name)
		return
	}
	for i := range a.Panels {
		x, y := a.Panels[i], b.Panels[i]
		xs, _ := json.Marshal(x.Targets)
		ys, _ := json.Marshal(y.Targets)
		if x.Type != y.Type || x.ID != y.ID || string(xs) != string(ys) {
			t.Errorf("%s: %q asks something else in Chinese", name, x.Title)
		}
	}
	for i := range a.Templating.List {
		if x, y := a.Templating.List[i], b.Templating.List[i]; x.Name != y.Name || x.Type != y.Type || x.Type == "query" && fmt.Sprint(x.Query) != fmt.Sprint(y.Query) {
			t.Errorf("%s: the variable %s is another in Chinese", name, x.Name)
		}
	}
}

// choose asks what the variables of a dashboard offer, holds it against what was
// driven, and chooses: one tenant of which something was driven, and all of it.
func (w *World) choose(a *asker, slug string, b *board) (values, error) {
	v := values{}
	for _, x := range b.Templating.List {
		switch x.Type {
		case "datasource":
			continue
		case "custom":
			// Pairs of a title and a value; a comma or colon of a title is escaped.
			for pair := range strings.SplitSeq(strings.ReplaceAll(fmt.Sprint(x.Query), `\,`, "\x00"), ",") {
				_, value, ok := strings.Cut(pair, " : ")
				if !ok {
					return nil, fmt.Errorf("the variable %s offers %q", x.Name, pair)
				}
				v[x.Name] = append(v[x.Name], value)
			}
			if want := w.tenants[strings.TrimPrefix(slug, "domain-")]; !slices.Equal(v[x.Name], want) {
				return nil, fmt.Errorf("the variable %s offers %v, want %v", x.Name, v[x.Name], want)
			}
		case "query":
			list, err := a.options(x.Datasource.Type, fmt.Sprint(x.Query), v)
			if err != nil {
				return nil, fmt.Errorf("the variable %s: %w", x.Name, err)
			}
			if want := offered[slug+"/"+x.Name](w); !contains(list, want) {
				return nil, fmt.Errorf("the variable %s offers %v, want %v", x.Name, list, want)
			}
			switch {
			case x.Name == "service":
				v[x.Name] = []string{"seal-api"}
			case x.Name == "tenant" && slug == "databases":
				v[x.Name] = []string{otherTenant}
			case x.Name == "tenant" && slug != "tenant":
				v[x.Name] = []string{hostTenant}
			case slug == "tenant":
				v[x.Name] = []string{w.tenants["identity-and-trust"][0]}
			default:
				v[x.Name] = []string{".*"}
			}
		}
	}
	return v, nil
}

// contains tells whether a list has all that is wanted.
func contains(list, want []string) bool {
	for _, x := range want {
		if !slices.Contains(list, x) {
			return false
		}
	}
	return true
}

// scrape reads /metrics.
func (w *World) scrape(ctx context.Context) error {
	var text []byte
	if err := w.Admin.Get(ctx, "/metrics", nil, &text); err != nil {
		return err
	}
	w.page = map[string]map[string]float64{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		end := strings.LastIndexByte(line, ' ')
		if end < 0 || line[0] == '#' {
			continue
		}
		v, err := strconv.ParseFloat(line[end+1:], 64)
		if err != nil {
			return fmt.Errorf("/metrics: %q: %w", line, err)
		}
		name, labels, _ := strings.Cut(strings.TrimSuffix(line[:end], "}"), "{")
		if w.page[name] == nil {
			w.page[name] = map[string]float64{}
		}
		w.page[name][labels] = v
	}
	return nil
}
