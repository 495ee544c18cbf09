package acceptance

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"icewatch/soc/client"
	"icewatch/soc/reach"
	"icewatch/soc/reach/reachtest"
	"icewatch/test/peers"
)

// row is an event as it was sent.
type row struct {
	n     int
	id    string // of the suite
	host  string
	user  string
	extra string // a field that only some events have
	facts reach.Facts
}

// city is a suite with tenants, organisations, items and events at random, and
// what the test knows of them.
type city struct {
	*suite
	town  *reachtest.Town
	items map[string]reach.Facts // by id, what counts for a scope
	class map[string]string
	rows  []row

	silences map[string]string // by id, the tenant whose alerts it mutes
	merges   map[string]string // by id of a merge rule, the tenant that it is for

	everything string // id of a scenario of all alerts
	drawing    string // id of a shared topology of all hosts
	teams      []dutyTeam
	orders     map[string]string // by id of a work order of findings, the host that it is about

	backtests []keptBacktest // of the viewer, under scopes of before
}

// TestIsolation gives one user scope after scope and reads by every road there
// is: what comes back is what an oracle makes of all there is, counts included.
func TestIsolation(t *testing.T) {
	t.Parallel()
	rnd := random(t)
	dir := t.TempDir()
	rule := strings.ReplaceAll(strings.ReplaceAll(ownRule, "WORD", "quetzal"), "level: high", "level: critical")
	if err := os.WriteFile(filepath.Join(dir, "own.yml"), []byte(rule), 0o644); err != nil {
		t.Fatal(err)
	}
	c := &city{suite: newSuite(t, loopback+fmt.Sprintf("rules:\n  dirs: [%s]\nagents: {listen: '127.0.0.1:%s'}\n", dir, peers.FreePort(t))), items: map[string]reach.Facts{}, class: map[string]string{}}
	c.handOn()
	c.build(rnd, 10, 1500)
	id := c.person("scoped", "viewer")
	sess, err := c.admin.Login(context.Background(), "scoped", "Own-Word-2026-scoped")
	if err != nil {
		t.Fatal(err)
	}
	viewer := c.admin.With(sess.Token, "")
	alerts := c.alerts(c.admin)
	if len(alerts) < 20 {
		t.Fatalf("only %d alerts", len(alerts))
	}
	c.silence()
	c.judge()
	c.handled()
	c.handOver("scoped")
	for range 15 {
		x := c.town.NewTerm(rnd, 3)
		c.must(http.MethodPut, "/api/v1/users/"+id+"/access", map[string]any{"reach": x.Text()}, nil)
		c.compare(rnd, viewer, x, alerts)
		if t.Failed() {
			return
		}
	}
}

func (c *city) must(method, path string, in, out any) {
	c.t.Helper()
	if err := c.admin.JSON(context.Background(), method, path, nil, in, out); err != nil {
		c.t.Fatalf("%s %s %v: %v", method, path, in, err)
	}
}

// build makes the tenants, organisations, items and events.
func (c *city) build(rnd *rand.Rand, tenants, events int) {
	ctx, t := context.Background(), c.t
	var list struct {
		Items []struct{ Slug, Domain string }
	}
	if err := c.admin.Get(ctx, "/api/v1/tenants", url.Values{"limit": {"1000"}}, &list); err != nil {
		t.Fatal(err)
	}
	var slugs []string
	for _, x := range list.Items {
		if x.Domain == "city" {
			continue
		}
		c.items["bs-"+x.Slug], c.class["bs-"+x.Slug] = reach.Facts{Tenant: x.Slug}, "business_system"
		if len(slugs) < tenants {
			slugs = append(slugs, x.Slug)
		}
	}
	c.town = reachtest.NewTown(rnd, slugs...)
	for _, u := range c.town.Units {
		c.must(http.MethodPost, "/api/v1/units", map[string]any{"id": u.ID, "parent": u.Parent, "name": map[string]string{"zh": "单位" + u.ID, "en": "Unit " + u.ID}}, nil)
	}
	for i := range c.town.Tenants {
		x := &c.town.Tenants[i]
		if x.Unit == "u8" { // there is no such organisation
			x.Unit = ""
		}
		c.must(http.MethodPatch, "/api/v1/tenants/"+x.Slug, map[string]any{"unit": x.Unit, "region": x.Region, "industry": x.Industry, "labels": append([]string{}, x.Labels...)}, nil)
	}
	c.dutyTeams()
	type item struct {
		ID         string            `json:"id"`
		Class      string            `json:"class"`
		Name       string            `json:"name"`
		Tenant     string            `json:"tenant"`
		System     string            `json:"system,omitempty"`
		Labels     []string          `json:"labels"`
		Attributes map[string]string `json:"attributes"`
	}
	var items []item
	hosts := map[string][]string{}
	add := func(id, class, system string, f reach.Facts) {
		attributes := map[string]string{}
		for name, v := range map[string]string{"unit": f.Unit, "region": f.Region, "industry": f.Industry} {
			if v != "" {
				attributes[name] = v
			}
		}
		items = append(items, item{id, class, id, f.Tenant, system, append([]string{}, f.Labels...), attributes})
		if above, ok := c.items[system]; ok { // what the system says counts where the item says nothing
			first := func(a, b string) string {
				if a != "" {
					return a
				}
				return b
			}
			f.Unit, f.Region, f.Industry = first(f.Unit, above.Unit), first(f.Region, above.Region), first(f.Industry, above.Industry)
			f.Labels = append(slices.Clone(f.Labels), above.Labels...)
		}
		c.items[id], c.class[id] = f, class
	}
	for _, slug := range slugs {
		system := "sys-" + slug
		add(system, "business_system", "", c.town.Row(rnd, slug))
		for i := range 6 {
			id := fmt.Sprintf("host-%s-%d", slug, i)
			f, of := c.town.Row(rnd, slug), ""
			if i%2 == 0 {
				of = system
			}
			add(id, "host", of, f)
			hosts[slug] = append(hosts[slug], id)
		}
		add("db-"+slug, "database", "", c.town.Row(rnd, slug))
		items[len(items)-1].Attributes["product"], items[len(items)-1].Attributes["version"] = "Redis", "5.0.0"
	}
	file, err := json.Marshal(items) // JSON is YAML
	if err != nil {
		t.Fatal(err)
	}
	header := http.Header{"Content-Type": {"application/octet-stream"}}
	if err := c.admin.Send(ctx, http.MethodPost, "/api/v1/cmdb/import", url.Values{"format": {"yaml"}}, header, bytes.NewReader(file), nil); err != nil {
		t.Fatal(err)
	}
	c.draw(hosts)
	c.weaken(hosts)
	c.scanned(slugs, hosts)
	c.connect(slugs)
	time.Sleep(3 * time.Second) // the engine takes in the items
	for _, slug := range slugs {
		var body bytes.Buffer
		for range events / tenants {
			r := row{n: len(c.rows), host: hosts[slug][rnd.IntN(6)], user: "user-" + strconv.Itoa(rnd.IntN(6))}
			r.facts = c.items[r.host]
			if rnd.IntN(8) == 0 { // a host that nobody knows
				r.host, r.facts = "stranger", reach.Facts{Tenant: slug}
			}
			message := "row " + strconv.Itoa(r.n)
			if rnd.IntN(10) == 0 {
				message += " quetzal"
			}
			// A sender cannot say where it belongs.
			doc := map[string]any{"message": message, "host.name": r.host, "user.name": r.user, "test.n": r.n, reach.FieldRegion: "a", reach.FieldLabels: ";a;b;",
				"data_stream.type": "traces", "trace.id": isolationTrace(r.n), "span.id": fmt.Sprintf("%016x", r.n+1), "service.name": "svc-" + r.user}
			if rnd.IntN(4) == 0 {
				r.extra = "test.extra" + strconv.Itoa(rnd.IntN(20))
				doc[r.extra] = "x"
			}
			b, err := json.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			body.WriteString("{\"create\":{}}\n")
			body.Write(append(b, '\n'))
			c.rows = append(c.rows, r)
		}
		if status, answer := post(t, c.token(slug, "ingest"), "/elastic/app/_bulk", map[string]string{"Content-Type": "application/x-ndjson"}, body.Bytes()); status != 200 {
			t.Fatalf("bulk: %d %s", status, answer)
		}
	}
	for _, e := range c.expect("test.n:*", len(c.rows), time.Minute) {
		n, err := strconv.Atoi(text(e, "test.n"))
		if err != nil || n >= len(c.rows) {
			t.Fatalf("%v", e)
		}
		c.rows[n].id = text(e, "event.id")
		if f := c.rows[n].facts; text(e, reach.FieldRegion) != f.Region || text(e, reach.FieldLabels) != reach.JoinLabels(f.Labels) {
			t.Fatalf("the event of %s has region %q and labels %q, want %+v", c.rows[n].host, text(e, reach.FieldRegion), text(e, reach.FieldLabels), f)
		}
	}
	c.waitScanned(slugs)
	c.sample(slugs)
	before := -1
	eventually(t, time.Minute, "no more alerts come", func() error {
		var alarms struct{ Total int }
		if err := c.admin.Get(ctx, "/api/v1/alerts", url.Values{"rule": {"icewatch-self-source-error"}, "limit": {"1"}}, &alarms); err != nil {
			return err
		}
		if want := len(slugs) + 1; alarms.Total != want {
			return fmt.Errorf("%d of %d inputs have an alarm", alarms.Total, want)
		}
		if err := c.admin.Get(ctx, "/api/v1/alerts", url.Values{"rule": {"icewatch-self-surface-unknown"}, "limit": {"1"}}, &alarms); err != nil {
			return err
		}
		if alarms.Total != len(slugs) {
			return fmt.Errorf("%d of %d unknown hosts have an alarm", alarms.Total, len(slugs))
		}
		n := len(c.alerts(c.admin))
		if n == before {
			return nil
		}
		before = n
		time.Sleep(2 * time.Second)
		return fmt.Errorf("%d alerts", n)
	})
}

// alert is an alert or incident as the API shows it.
type alert struct {
	ID       string
	Tenant   string
	Severity string
	Incident string `json:"incident_id"`
	Count    int    `json:"alert_count"`
	CI       *struct{ ID string }
	Attacker *struct{ IP string }
}

func (c *city) alerts(as *client.Client) (list []alert) {
	var page struct {
		Items []alert
		Total int
	}
	if err := as.Get(context.Background(), "/api/v1/alerts", url.Values{"limit": {"1000"}}, &page); err != nil {
		c.t.Fatal(err)
	}
	if page.Total != len(page.Items) {
		c.t.Fatalf("%d alerts of %d", len(page.Items), page.Total)
	}
	var attacks struct{ Alerts, Counted int }
	if err := as.Get(context.Background(), "/api/v1/attacks", nil, &attacks); err != nil {
		c.t.Fatal(err)
	}
	if attacks.Alerts != page.Total || attacks.Counted > page.Total {
		c.t.Fatalf("%d alerts in reach, and statistics of %d, by the fields of %d", page.Total, attacks.Alerts, attacks.Counted)
	}
	return page.Items
}

// factsOf are what counts for a scope of a thing that is about an item.
func (c *city) factsOf(a alert) reach.Facts {
	f := reach.Facts{}
	if a.CI != nil {
		f = c.items[a.CI.ID]
	}
	f.Tenant = a.Tenant
	return f
}

func sorted[K string | int](m map[K]bool) []K { return slices.Sorted(maps.Keys(m)) }

// compare reads as the viewer, who has the scope x.
func (c *city) compare(rnd *rand.Rand, viewer *client.Client, x *reachtest.Term, alerts []alert) {
	ctx, t := context.Background(), c.t
	shows := func(f reach.Facts) bool { return x.Shows(c.town, f) }
	wrong := func(what string, got, want any) {
		t.Helper()
		brief := func(v any) string { s := fmt.Sprint(v); return s[:min(len(s), 300)] }
		t.Errorf("scope %s\n%s shows %s\nwant %s", x.Text(), what, brief(got), brief(want))
	}
	get := func(path string, query url.Values, out any) {
		t.Helper()
		if err := viewer.Get(ctx, path, query, out); err != nil {
			t.Fatalf("scope %s: GET %s %v: %v", x.Text(), path, query, err)
		}
	}
	status := func(path string) int {
		t.Helper()
		resp, err := viewer.Do(ctx, http.MethodGet, path, nil, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	ask := func(query string) []map[string]any {
		t.Helper()
		rows, err := viewer.Search(ctx, always(query))
		if err != nil {
			t.Fatalf("scope %s: %s: %v", x.Text(), query, err)
		}
		return rows
	}

	// Events.
	user := "user-" + strconv.Itoa(rnd.IntN(6))
	limit := rnd.IntN(len(c.rows))
	conditions := []struct {
		query, lucene string
		holds         func(row) bool
	}{
		{"test.n:*", "_exists_:test.n", func(row) bool { return true }},
		{`test.n:* user.name:="` + user + `"`, `_exists_:test.n AND user.name:"` + user + `"`, func(r row) bool { return r.user == user }},
		{`test.n:* !user.name:="` + user + `"`, `_exists_:test.n AND NOT user.name:` + user, func(r row) bool { return r.user != user }},
		{fmt.Sprintf("test.n:<%d", limit), fmt.Sprintf("test.n:[* TO %d}", limit), func(r row) bool { return r.n < limit }},
	}
	c.compareGraph(viewer, user, shows, wrong)
	first, second := conditions[rnd.IntN(4)], conditions[rnd.IntN(4)]
	numbers, users, extras, tenants, others := map[int]bool{}, map[string]int{}, map[string]int{}, map[string]int{}, map[string]bool{}
	for _, r := range c.rows {
		if !shows(r.facts) {
			continue
		}
		if second.holds(r) {
			others[r.user] = true
		}
		if first.holds(r) {
			numbers[r.n] = true
			users[r.user]++
			tenants[r.facts.Tenant]++
			if r.extra != "" {
				extras[r.extra]++
			}
		}
	}
	c.elastic(viewer, x, first.lucene, numbers, users)
	c.metrics(viewer, x, shows)
	inOthers := map[int]bool{}
	for _, r := range c.rows {
		if numbers[r.n] && others[r.user] {
			inOthers[r.n] = true
		}
	}
	found := func(query string) map[int]bool {
		out := map[int]bool{}
		for _, e := range ask(query) {
			n, err := strconv.Atoi(text(e, "test.n"))
			if err != nil {
				t.Fatalf("%s: %v", query, e)
			}
			out[n] = true
		}
		return out
	}
	for _, query := range []string{first.query, first.query + " | filter test.n:*", "(" + first.query + ") or (" + first.query + ")"} {
		if got := found(query); !maps.Equal(got, numbers) {
			wrong(query, sorted(got), sorted(numbers))
		}
	}
	body, _ := json.Marshal(map[string]any{"query": first.query, "start": "1970-01-01T00:00:00Z", "end": time.Now().Add(3 * time.Hour), "format": "ndjson"})
	session := viewer.Options().Token
	written := map[int]bool{}
	for line := range bytes.Lines(c.exportedFile(session, c.beginExport(session, string(body)).ID)) {
		var e map[string]any
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("an export of %s: %v", first.query, err)
		}
		n, _ := strconv.Atoi(text(e, "test.n"))
		written[n] = true
	}
	if !maps.Equal(written, numbers) {
		wrong("an export of "+first.query, sorted(written), sorted(numbers))
	}
	for _, query := range []string{"(" + first.query + ") user.name:in(" + second.query + " | fields user.name)",
		first.query + " | filter user.name:in(" + second.query + " | uniq by (user.name) | fields user.name)"} {
		if got := found(query); !maps.Equal(got, inOthers) {
			wrong(query, sorted(got), sorted(inOthers))
		}
	}
	counted := func(query string) map[string]int {
		out := map[string]int{}
		for _, e := range ask(query) {
			n, _ := strconv.Atoi(text(e, "n"))
			out[text(e, "user.name")] += n
		}
		return out
	}
	both := map[string]int{}
	for _, r := range c.rows {
		if shows(r.facts) {
			both[r.user] += btoi(first.holds(r)) + btoi(second.holds(r))
		}
	}
	maps.DeleteFunc(both, func(_ string, n int) bool { return n == 0 })
	for query, want := range map[string]map[string]int{
		first.query + " | stats by (user.name) count() n":                                                                 users,
		first.query + " | top 100 by (user.name) hits as n":                                                               users,
		first.query + " | stats by (user.name) count() n | union (" + second.query + " | stats by (user.name) count() n)": both,
	} {
		if got := counted(query); !maps.Equal(got, want) {
			wrong(query, got, want)
		}
	}
	var histogram struct {
		Total   int
		Buckets []struct{ Count int }
	}
	get("/api/v1/search/histogram", url.Values{"query": {first.query}, "start": {"1h"}}, &histogram)
	sum := 0
	for _, b := range histogram.Buckets {
		sum += b.Count
	}
	if histogram.Total != len(numbers) || sum != len(numbers) {
		wrong("a histogram of "+first.query, histogram.Total, len(numbers))
	}
	facet := func(path, field string, prefix string) map[string]int {
		var page struct {
			Items []struct {
				Name, Value string
				Hits        int
			}
		}
		get(path, url.Values{"query": {first.query}, "start": {"1h"}, "field": {field}, "limit": {"5000"}}, &page)
		out := map[string]int{}
		for _, i := range page.Items {
			if name := i.Name + i.Value; strings.HasPrefix(name, prefix) {
				out[name] = i.Hits
			}
		}
		return out
	}
	c.compareLoki(get, shows, wrong)
	c.tryRule(viewer, shows, wrong)
	if len(c.backtests) < 6 {
		c.backtest(viewer, shows, wrong)
	}
	c.compareInputs(viewer, wrong)
	if got := facet("/api/v1/search/values", "icewatch.tenant", ""); !maps.Equal(got, tenants) {
		wrong("values of icewatch.tenant", got, tenants)
	}
	if got := facet("/api/v1/search/values", "user.name", ""); !maps.Equal(got, users) {
		wrong("values of user.name", got, users)
	}
	for name := range facet("/api/v1/search/fields", "", "test.extra") {
		// Where tenants are covered wholly the lake counts by blocks and may name
		// fields of rows that the query leaves out; never of rows out of reach.
		if !slices.ContainsFunc(c.rows, func(r row) bool { return r.extra == name && shows(r.facts) }) {
			wrong("fields", name, extras)
		}
	}
	c.compareTraces(rnd, session, shows, wrong)
	c.lookAround(rnd, get, wrong, shows, first.query, first.holds)
	for range 5 {
		r := c.rows[rnd.IntN(len(c.rows))]
		want := http.StatusNotFound
		if shows(r.facts) {
			want = http.StatusOK
		}
		for _, path := range []string{"/api/v1/events/" + r.id, "/api/v1/events/" + r.id + "/original", "/api/v1/events/" + r.id + "/context"} {
			if got := status(path); got != want {
				wrong(fmt.Sprintf("%s (%+v)", path, r.facts), got, want)
			}
		}
	}

	// Items.
	hosts, systems := map[string]bool{}, map[string]int{}
	for id, f := range c.items {
		if shows(f) {
			if c.class[id] == "host" {
				hosts[id] = true
			} else if c.class[id] == "business_system" {
				systems[f.Tenant]++
			}
		}
	}
	var items struct {
		Items []struct{ ID string }
		Total int
	}
	get("/api/v1/cmdb/items", url.Values{"class": {"host"}, "limit": {"1000"}}, &items)
	listed := map[string]bool{}
	for _, i := range items.Items {
		listed[i.ID] = true
	}
	if !maps.Equal(listed, hosts) || items.Total != len(hosts) {
		wrong("the list of hosts", sorted(listed), sorted(hosts))
	}
	resp, err := viewer.Do(ctx, http.MethodGet, "/api/v1/cmdb/export", url.Values{"format": {"csv"}, "class": {"host"}}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	records, err := csv.NewReader(resp.Body).ReadAll()
	if err := errors.Join(err, resp.Body.Close()); err != nil || len(records) != len(hosts)+1 {
		wrong("the export", len(records)-1, len(hosts))
	}
	var filtered struct {
		Items []struct{ ID string }
		Total int
	}
	get("/api/v1/cmdb/items", url.Values{"filter": {"class = computer and name exists"}, "limit": {"1000"}}, &filtered)
	if len(filtered.Items) != len(hosts) || filtered.Total != len(hosts) {
		wrong("the hosts that a filter finds", filtered.Total, len(hosts))
	}
	var ends struct {
		Ends []struct{ Item struct{ ID string } }
	}
	get("/api/v1/cmdb/query", url.Values{"path": {"host[name exists]"}}, &ends)
	if len(ends.Ends) != len(hosts) {
		wrong("the hosts that a path query finds", len(ends.Ends), len(hosts))
	}
	c.compareDrawing(viewer, hosts, wrong)
	c.compareFindings(viewer, hosts, wrong)
	c.compareScans(viewer, hosts, wrong)
	var counts struct{ Classes map[string]int }
	get("/api/v1/cmdb/statistics", nil, &counts)
	if counts.Classes["host"] != len(hosts) {
		wrong("the count of hosts", counts.Classes, len(hosts))
	}
	for id, f := range c.items {
		if rnd.IntN(10) > 0 {
			continue
		}
		var detail struct {
			ID        string
			Relations struct{ Counts map[string]int }
		}
		err := viewer.Get(ctx, "/api/v1/cmdb/items/"+id, nil, &detail)
		if (err == nil) != shows(f) {
			wrong("the item "+id, err, shows(f))
		}
		if err == nil && strings.HasPrefix(id, "sys-") {
			members := 0
			for h := range hosts {
				if n, ok := strings.CutPrefix(h, "host-"+f.Tenant+"-"); ok && strings.Contains("024", n) {
					members++
				}
			}
			if detail.Relations.Counts["host"] != members {
				wrong("the members of "+id, detail.Relations.Counts, members)
			}
			var related struct {
				Items []struct{ Item struct{ Class string } }
			}
			get("/api/v1/cmdb/items/"+id+"/relations", url.Values{"class": {"host"}, "limit": {"1000"}}, &related)
			var walk struct{ Counts map[string]int }
			get("/api/v1/cmdb/items/"+id+"/walk", url.Values{"kind": {"around"}, "depth": {"1"}}, &walk)
			if len(related.Items) != members || walk.Counts["host"] != members {
				wrong("the relations of "+id, []int{len(related.Items), walk.Counts["host"]}, members)
			}
		}
	}
	var page struct {
		Items []struct {
			Slug    string
			Systems int
		}
	}
	get("/api/v1/tenants", nil, &page)
	for _, x := range page.Items {
		if x.Systems != systems[x.Slug] {
			wrong("the systems of "+x.Slug, x.Systems, systems[x.Slug])
		}
		delete(systems, x.Slug)
	}
	if len(systems) > 0 {
		wrong("the list of tenants, which lacks some with", "", systems)
	}

	// Alerts and incidents.
	visible, members, severities := map[string]bool{}, map[string]int{}, map[string]int{}
	for _, a := range alerts {
		if shows(c.factsOf(a)) {
			visible[a.ID] = true
			members[a.Incident]++
			severities[a.Severity]++
		}
		if rnd.IntN(20) == 0 {
			if got := status("/api/v1/alerts/" + a.ID); (got == 200) != visible[a.ID] {
				wrong("the alert "+a.ID, got, visible[a.ID])
			}
		}
	}
	c.compareThreats(alerts, visible, get, wrong)
	seen := map[string]bool{}
	for _, a := range c.alerts(viewer) {
		seen[a.ID] = true
	}
	if !maps.Equal(seen, visible) {
		wrong("the list of alerts", sorted(seen), sorted(visible))
	}
	for _, path := range []string{"/alertmanager/api/v2/alerts", "/alertmanager/api/v2/alerts/groups"} {
		seen = map[string]bool{}
		var list []struct {
			Annotations map[string]string
			Alerts      []struct{ Annotations map[string]string }
		}
		get(path, nil, &list)
		for _, x := range list {
			for _, a := range append(x.Alerts, struct{ Annotations map[string]string }{x.Annotations}) {
				if id := a.Annotations["alert"]; id != "" {
					seen[id] = true
				}
			}
		}
		if !maps.Equal(seen, visible) {
			wrong(path, sorted(seen), sorted(visible))
		}
	}
	c.compareSilences(alerts, visible, get, wrong)
	c.comparePolicies(alerts, visible, get, status, wrong)
	var all, own struct{ Items []alert }
	if err := c.admin.Get(ctx, "/api/v1/incidents", url.Values{"limit": {"1000"}}, &all); err != nil {
		t.Fatal(err)
	}
	get("/api/v1/incidents", url.Values{"limit": {"1000"}}, &own)
	incidents, wantIncidents := map[string]bool{}, map[string]bool{}
	for _, i := range own.Items {
		incidents[i.ID] = true
		if i.Count != members[i.ID] {
			wrong("the count of alerts of "+i.ID, i.Count, members[i.ID])
		}
	}
	for _, i := range all.Items {
		if shows(c.factsOf(i)) {
			wantIncidents[i.ID] = true
		}
	}
	if !maps.Equal(incidents, wantIncidents) {
		wrong("the list of incidents", sorted(incidents), sorted(wantIncidents))
	}
	c.compareEntities(rnd, viewer, shows, visible, wrong)
	c.compareTickets(rnd, viewer, alerts, all.Items, visible, wantIncidents, wrong)
	c.compareDuty(viewer, shows, wantIncidents, wrong)
	c.compareAttackers(alerts, visible, get, wrong)
	var figures struct {
		Total struct{ Incidents, Alerts int }
	}
	get("/api/v1/incidents/figures", url.Values{"days": {"3"}}, &figures)
	if figures.Total.Incidents != len(wantIncidents) || figures.Total.Alerts != len(visible) {
		wrong("the figures", figures.Total, []int{len(wantIncidents), len(visible)})
	}
	var overview struct {
		Alerts struct {
			Open       int
			BySeverity map[string]int `json:"by_severity"`
		}
		Me struct {
			IncidentsOpen int `json:"incidents_open"`
		}
	}
	get("/api/v1/overview", nil, &overview)
	maps.DeleteFunc(overview.Alerts.BySeverity, func(_ string, n int) bool { return n == 0 })
	if overview.Alerts.Open != len(visible) || overview.Me.IncidentsOpen != len(wantIncidents) || !maps.Equal(overview.Alerts.BySeverity, severities) {
		wrong("the overview", overview, severities)
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// lookAround holds facets, statistics, suggestions and contexts against what
// the viewer may see.
func (c *city) lookAround(rnd *rand.Rand, get func(string, url.Values, any), wrong func(string, any, any), shows func(reach.Facts) bool, query string, holds func(row) bool) {
	total, users := 0, map[string]int{}
	for _, r := range c.rows {
		if shows(r.facts) && holds(r) {
			total++
			users[r.user]++
		}
	}
	var facets struct {
		Total  int
		Facets []struct {
			Field  string
			Rows   int
			Values []struct {
				Value string
				Hits  int
			}
		}
	}
	get("/api/v1/search/facets", url.Values{"query": {query}, "start": {"1h"}, "fields": {"user.name"}, "limit": {"100"}}, &facets)
	seen := map[string]int{}
	for _, f := range facets.Facets {
		for _, v := range f.Values {
			seen[v.Value] = v.Hits
		}
	}
	if facets.Total != total || !maps.Equal(seen, users) {
		wrong("facets", facets, users)
	}
	var stats struct{ Total, Rows, Distinct int }
	get("/api/v1/search/stats", url.Values{"query": {query}, "start": {"1h"}, "field": {"user.name"}}, &stats)
	if stats.Total != total || stats.Rows != total || stats.Distinct != len(users) {
		wrong("statistics", stats, users)
	}
	var hints struct {
		Items []struct {
			Kind, Label string
			Hits        int
		}
	}
	get("/api/v1/search/suggest", url.Values{"text": {`test.n:"`}, "start": {"1h"}}, &hints)
	for _, h := range hints.Items {
		if n, err := strconv.Atoi(h.Label); h.Kind == "value" && (err != nil || n >= len(c.rows) || !shows(c.rows[n].facts)) {
			wrong("a suggestion", h, nil)
		}
	}
	r := c.rows[rnd.IntN(len(c.rows))]
	if !shows(r.facts) {
		return // 404, as is seen elsewhere
	}
	by := []string{"host", "tenant", "none"}[rnd.IntN(3)]
	around := 0
	for _, o := range c.rows {
		if shows(o.facts) && (by == "none" || o.facts.Tenant == r.facts.Tenant && (by == "tenant" || o.host == r.host)) {
			around++
		}
	}
	var context struct {
		Before, After []map[string]any
		More          bool `json:"more_after"`
	}
	get("/api/v1/events/"+r.id+"/context", url.Values{"by": {by}, "minutes": {"600"}, "before": {"1000"}, "after": {"1000"}}, &context)
	rows := slices.Concat(context.Before, context.After)
	for _, e := range rows {
		n, err := strconv.Atoi(text(e, "test.n"))
		if err != nil {
			continue // of the suite's own
		}
		if !shows(c.rows[n].facts) {
			wrong("the context of "+r.id, c.rows[n].facts, nil)
		}
		around--
	}
	if len(context.Before) < 1000 && len(context.After) < 1000 && around != 1 {
		wrong(fmt.Sprintf("the context of %s by %s lacks", r.id, by), around-1, 0)
	}
}

// silence makes silences of the whole city, each of which mutes one tenant's
// alerts.
func (c *city) silence() {
	c.silences, c.merges = map[string]string{}, map[string]string{}
	var all []string
	for _, x := range c.town.Tenants {
		all = append(all, x.Slug)
	}
	for _, x := range c.town.Tenants {
		var made struct{ ID string }
		c.must(http.MethodPost, "/api/v1/silences", map[string]any{"comment": "isolation", "ends_at": time.Now().Add(time.Hour),
			"matchers": []map[string]any{{"name": "tenant", "value": x.Slug + "|", "isRegex": true}, {"name": "alertname", "value": "", "isRegex": false, "isEqual": false}}}, &made)
		c.silences[made.ID] = x.Slug
		c.must(http.MethodPut, "/api/v1/maintenance-windows/of-"+x.Slug, map[string]any{"id": "of-" + x.Slug, "name": "isolation", "tenants": []string{x.Slug},
			"start": time.Now().Add(24 * time.Hour), "end": time.Now().Add(25 * time.Hour)}, nil)
		never := []map[string]any{{"name": "alertname", "value": "of-" + x.Slug, "isRegex": false}}
		merge := map[string]any{"name": "of " + x.Slug, "tenants": all, "matchers": never, "by": []string{"alertname"}}
		c.must(http.MethodPost, "/api/v1/merge-rules", merge, &made)
		merge["tenants"] = []string{x.Slug} // it was for all, and is for one
		c.must(http.MethodPut, "/api/v1/merge-rules/"+made.ID, merge, nil)
		c.merges[made.ID] = x.Slug
		c.must(http.MethodPost, "/api/v1/inhibitions", map[string]any{"name": "of " + x.Slug, "tenants": []string{x.Slug}, "source": never, "target": never}, nil)
		c.must(http.MethodPost, "/api/v1/suppressions", map[string]any{"name": "of " + x.Slug, "tenants": []string{x.Slug}, "rules": []string{"of-" + x.Slug}, "reason": "isolation", "expires": time.Now().Add(time.Hour)}, nil)
		c.must(http.MethodPost, "/api/v1/scenarios", map[string]any{"name": map[string]string{"zh": "of " + x.Slug}, "tenants": []string{x.Slug}, "any": [][]string{{`tenant="` + x.Slug + `"`}}}, nil)
	}
	var made struct{ ID string }
	c.must(http.MethodPost, "/api/v1/scenarios", map[string]any{"name": map[string]string{"zh": "everything"}, "any": [][]string{{`severity=~".+"`}}}, &made)
	c.everything = made.ID
}

// comparePolicies: the decisions that somebody sees are about alerts that he
// sees, and the maintenance windows about tenants of which he sees all.
func (c *city) comparePolicies(alerts []alert, visible map[string]bool, get func(string, url.Values, any), status func(string) int, wrong func(string, any, any)) {
	hidden := map[string]bool{}
	for _, a := range alerts {
		hidden[a.Tenant] = hidden[a.Tenant] || !visible[a.ID]
	}
	var decisions struct {
		Items []struct {
			Custom struct{ Alert, Tenant string }
		}
	}
	get("/api/v1/policy-decisions", url.Values{"limit": {"500"}}, &decisions)
	for _, d := range decisions.Items {
		if hidden[d.Custom.Tenant] {
			wrong("a decision on an alert of "+d.Custom.Tenant, d.Custom.Alert, "none")
		}
	}
	var windows struct{ Items []struct{ Tenants []string } }
	get("/api/v1/maintenance-windows", url.Values{}, &windows)
	for _, w := range windows.Items {
		for _, tenant := range w.Tenants {
			if hidden[tenant] {
				wrong("a maintenance window of "+tenant, "it is listed", "none")
			}
		}
	}
	var merges struct {
		Items []struct {
			ID      string
			Tenants []string
		}
	}
	get("/api/v1/merge-rules", nil, &merges)
	versioned := false
	for _, r := range merges.Items {
		for _, tenant := range r.Tenants {
			if hidden[tenant] {
				wrong("a merge rule of "+tenant, "it is listed", "none")
			}
		}
		if c.merges[r.ID] == "" || versioned {
			continue
		}
		versioned = true // one tells
		var versions struct{ Items []struct{ Tenants []string } }
		get("/api/v1/merge-rules/"+r.ID+"/versions", nil, &versions)
		for _, v := range versions.Items {
			for _, tenant := range v.Tenants {
				if hidden[tenant] {
					wrong("an earlier version of the merge rule of "+c.merges[r.ID], tenant, "it is not told")
				}
			}
		}
	}
	// A scenario of all alerts holds those that he sees and no other, whatever is asked of it.
	seen := 0
	for _, a := range alerts {
		if visible[a.ID] {
			seen++
		}
	}
	type figures struct {
		Alerts  int
		Systems []struct{ Tenant string }
	}
	var scenarios struct {
		Items []struct {
			ID      string
			Tenants []string
			Figures figures
		}
	}
	get("/api/v1/scenarios", url.Values{"days": {"92"}}, &scenarios)
	for _, s := range scenarios.Items {
		for _, tenant := range s.Tenants {
			if hidden[tenant] {
				wrong("a scenario of "+tenant, "it is listed", "none")
			}
		}
		if s.Figures.Alerts > seen {
			wrong("alerts of the scenario "+s.ID, s.Figures.Alerts, seen)
		}
	}
	if len(scenarios.Items) == 0 { // who reaches nothing is told of none
		if got := status("/api/v1/scenarios/" + c.everything); got != 404 || seen > 0 {
			wrong("a scenario of everything, of none that are listed", fmt.Sprint(got, " with ", seen, " alerts"), 404)
		}
	} else if c.everything != "" {
		var one struct{ Figures figures }
		get("/api/v1/scenarios/"+c.everything, url.Values{"days": {"92"}}, &one)
		var listed struct{ Total int }
		get("/api/v1/alerts", url.Values{"scenario": {c.everything}, "suppressed": {"none"}, "limit": {"1"}}, &listed)
		if one.Figures.Alerts > seen || listed.Total > seen || seen > 0 && one.Figures.Alerts == 0 {
			wrong("alerts of a scenario of everything", fmt.Sprint(one.Figures.Alerts, " counted, ", listed.Total, " listed"), seen)
		}
		for _, s := range one.Figures.Systems {
			if hidden[s.Tenant] && !slices.ContainsFunc(alerts, func(a alert) bool { return a.Tenant == s.Tenant && visible[a.ID] }) {
				wrong("a system of a scenario", s.Tenant, "none")
			}
		}
	}
	var suppressions struct{ Items []struct{ Tenants []string } }
	get("/api/v1/suppressions", nil, &suppressions)
	for _, r := range suppressions.Items {
		for _, tenant := range r.Tenants {
			if hidden[tenant] {
				wrong("a suppression of "+tenant, "it is listed", "none")
			}
		}
	}
	var inhibitions struct{ Items []struct{ Tenants []string } }
	get("/api/v1/inhibitions", nil, &inhibitions)
	for _, r := range inhibitions.Items {
		for _, tenant := range r.Tenants {
			if hidden[tenant] {
				wrong("a rule of inhibition of "+tenant, "it is listed", "none")
			}
		}
	}
}

// compareSilences: whoever sees an alert sees the silence that mutes it, and
// nobody sees a silence that mutes what is others' alone.
func (c *city) compareSilences(alerts []alert, visible map[string]bool, get func(string, url.Values, any), wrong func(string, any, any)) {
	muted := map[string]bool{}
	for _, tenant := range c.silences {
		muted[tenant] = true
	}
	want := map[string]bool{}
	for _, a := range alerts {
		if visible[a.ID] && muted[a.Tenant] { // the suite's own alerts, of the machine, are not muted here
			want[a.Tenant] = true
		}
	}
	var own struct {
		Items []struct {
			ID      string
			Tenants []string
		}
	}
	get("/api/v1/silences", url.Values{"limit": {"1000"}}, &own)
	var foreign []struct{ ID string }
	get("/alertmanager/api/v2/silences", nil, &foreign)
	got := map[string]bool{}
	for _, l := range own.Items {
		got[c.silences[l.ID]] = true
	}
	if len(foreign) != len(own.Items) {
		wrong("the silences of Alertmanager's API", len(foreign), len(own.Items))
	}
	var exported []struct{ ID string }
	get("/api/v1/silences/export", nil, &exported)
	if len(exported) != len(own.Items) {
		wrong("the export of silences", len(exported), len(own.Items))
	}
	if !maps.Equal(got, want) {
		wrong("the silences", sorted(got), sorted(want))
	}
}
