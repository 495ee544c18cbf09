package acceptance

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// cmdbReads says how each route of the CMDB that reads is asked: one entry for
// each question, the rest of its URL after the path, or the body of what is not
// a GET; one that begins with a slash is a whole path. OWN, and {id} in a path, becomes one after the other of the items that
// the callers see. A route that is not here fails.
var cmdbReads = map[string][]string{
	"list-cmdb-classes":         {""},
	"get-cmdb-model":            {""},
	"list-cmdb-model-revisions": {""},

	"list-cmdb-items": {"?limit=1000", "?limit=1", "?limit=1000&class=host", "?limit=1000&q=scarlet", "?limit=1000&q=10.8", "?limit=1000&system=in-sys",
		"?limit=1000&filter=" + url.QueryEscape(`name exists`), "?limit=1000&filter=" + url.QueryEscape(`has <-runs_on- vm`),
		"?limit=1000&filter=" + url.QueryEscape(`system.name ~ "scarlet"`), "?limit=1000&filter=" + url.QueryEscape(`zone = south or criticality >= 1`)},
	"get-cmdb-item":                   {""},
	"export-cmdb":                     {"?format=csv", "?format=yaml", "?format=csv&q=scarlet"},
	"get-cmdb-history":                {"?limit=1000"},
	"get-cmdb-item-states":            {""},
	"list-cmdb-merges":                {"", "?item=OWN"},
	"get-cmdb-statistics":             {""},
	"get-cmdb-key-assets":             {""},
	"list-cmdb-relations":             {"?limit=1000", "?limit=1000&type=runs_on"},
	"find-cmdb-path":                  {"?from=in-host&to=in-far&hops=8", "?from=in-vm&to=OWN&hops=8", "?from=in-host&to=in-far&hops=8&paths=20"},
	"walk-cmdb":                       {"?kind=around&depth=4", "?kind=impact&depth=4", "?kind=root_cause&depth=4"},
	"list-cmdb-risk":                  {"?limit=1000", "?kind=asset&sort=alerts&limit=1000", "?kind=unit", "?kind=system&q=scarlet", "?unit=in-org", "?system=in-sys"},
	"export-cmdb-risk":                {"?format=csv", "?format=csv&kind=unit"},
	"get-cmdb-risk-overview":          {"?kind=asset", "?kind=system", "?kind=unit"},
	"get-cmdb-item-risk":              {""},
	"list-cmdb-contacts":              {""},
	"list-cmdb-units":                 {"?limit=1000", "?q=indigo", "?q=scarlet", "?sort=alerts"},
	"list-cmdb-systems":               {"?limit=1000", "?q=indigo", "?q=10.8.0.1", "?q=scarlet-host", "?labels=filed", "?level=low"},
	"export-cmdb-units":               {"?format=csv&q=indigo", "?format=csv", "?format=csv&filter=" + url.QueryEscape(`has <-belongs_to_organisation- business_system[name ~ "scarlet"]`)},
	"export-cmdb-systems":             {"?format=csv&level=low", "?format=csv"},
	"export-cmdb-views":               {"?format=csv"},
	"export-cmdb-subscriptions":       {"?format=csv"},
	"list-cmdb-item-threats":          {"?limit=100"},
	"list-cmdb-changes":               {"?limit=1000", "?limit=1000&action=created&class=host", "?limit=1000&after=0"},
	"get-cmdb-item-portrait":          {""},
	"list-cmdb-traffic":               {"?limit=100"}, // without flows nothing is proposed: TestSums asks as who sees one end
	"export-cmdb-traffic":             {"?format=csv&days=7"},
	"list-cmdb-traffic-days":          {}, // TestTopology asks for an edge beyond reach
	"list-cmdb-views":                 {"", "?deleted=true"},
	"list-cmdb-followed":              {""},
	"list-cmdb-subscriptions":         {"", "?all=true"},
	"get-cmdb-subscription":           {},
	"preview-cmdb-subscription":       {`{"kinds":["created","updated"],"filter":"name exists and system.name exists"}`},
	"list-cmdb-notices":               {"?limit=1000"}, // of the callers, who have no subscription: TestReachOfTheMoment has some
	"list-cmdb-labels":                {""},
	"view-cmdb-graph":                 {`{"filter":"name exists"}`, `{"items":["in-host","in-vm","sc-vm","sc-host"]}`},
	"list-cmdb-topologies":            {""},
	"get-cmdb-topology":               {"/api/v1/cmdb/topologies/DRAWING"},
	"list-cmdb-topology-versions":     {"/api/v1/cmdb/topologies/DRAWING/versions"},
	"get-cmdb-template":               {}, // no two workbooks are equal to the byte
	"list-cmdb-imports":               {""},
	"get-cmdb-approval":               {""},
	"list-cmdb-requests":              {""},
	"get-cmdb-request":                {},
	"list-cmdb-attachments":           {""},
	"get-cmdb-attachment":             {},
	"list-cmdb-inbox":                 {}, // a candidate is of a tenant and no item yet: TestInbox asks as another tenant
	"export-cmdb-inbox":               {},
	"list-cmdb-subscription-contacts": {""},
	"query-cmdb":                      {"?path=" + url.QueryEscape("host <-runs_on- *"), "?path=" + url.QueryEscape("computer -*1..3- *"), "?path=" + url.QueryEscape("business_system")},
}

// cmdbCommon are the routes that answer the same to everybody, whatever items
// there are: the model is the city's, and the drawing of this test shows what is
// the callers' own, as are their items' life cycles and what they keep and follow. What people imported and asked for is told to who may see
// all of it: TestFourEyes and TestUndoImportWithinReach see to that.
var cmdbCommon = []string{"get-cmdb-item-states", "list-cmdb-traffic", "export-cmdb-traffic", "list-cmdb-classes", "get-cmdb-model", "list-cmdb-model-revisions", "list-cmdb-topologies", "get-cmdb-topology", "list-cmdb-topology-versions",
	"export-cmdb-views", "export-cmdb-subscriptions", "list-cmdb-views", "list-cmdb-followed", "list-cmdb-subscriptions", "list-cmdb-subscription-contacts", "list-cmdb-notices", "list-cmdb-imports", "list-cmdb-attachments", "get-cmdb-approval", "list-cmdb-requests"}

// cmdbWrites are bodies that the routes take which change one item.
var cmdbWrites = map[string]string{
	"undo-cmdb-merge":   ``,
	"change-cmdb-item":  `{"owner":"me"}`,
	"delete-cmdb-item":  ``,
	"restore-cmdb-item": `{"entry":1}`,
	"mark-cmdb-item":    `{"cii":true}`,
	"undo-cmdb-import":  ``, "approve-cmdb-request": `{}`, "reject-cmdb-request": `{"comment":"no"}`, "withdraw-cmdb-request": `{}`,
	"change-cmdb-subscription": `{"revision":1,"name":"x","enabled":true,"wants":{"notices":true}}`, "delete-cmdb-subscription": ``, "test-cmdb-subscription": ``,
	"change-cmdb-view": `{"revision":1,"name":"x","query":{}}`, "delete-cmdb-view": ``, "restore-cmdb-view": ``,
	"add-cmdb-attachment": `text`, "remove-cmdb-attachment": ``, "restore-cmdb-attachment": ``,
}

// indigo is what two restricted users see in part: one line of business, and
// hosts in one zone of the network. From in-host to in-far there is no way but
// over scarlet items.
const indigo = `
- {id: in-org, class: organisation, name: indigo bureau, tenant: e-seal, attributes: {business_line: indigo}}
- {id: in-sys, class: business_system, name: indigo payments, tenant: e-seal, attributes: {business_line: indigo}}
- {id: in-host, class: host, name: indigo-host, tenant: e-seal, zone: north, addresses: [10.8.0.1], system: in-sys}
- {id: in-vm, class: vm, name: indigo-vm, tenant: e-seal, zone: north, addresses: [10.8.0.2], system: in-sys, attributes: {hypervisor: in-host}}
- {id: in-far, class: host, name: indigo-far, tenant: e-seal, zone: north, addresses: [10.8.0.3], attributes: {business_line: indigo}}
`

// scarlet is another line's, in another zone, of the same tenant and with
// relations to the first: everything that could show through.
const scarlet = `
- {id: sc-sys, class: business_system, name: scarlet payments, tenant: e-seal, owner: scarlet owner, organisation: in-org, attributes: {business_line: scarlet, key_asset: "true"}}
- {id: sc-host, class: host, name: scarlet-host, tenant: e-seal, zone: south, addresses: [10.8.0.1], system: sc-sys, labels: [scarlet-label]}
- {id: sc-vm, class: vm, name: scarlet-vm, tenant: e-seal, zone: south, addresses: [10.8.0.2], system: sc-sys, attributes: {hypervisor: in-host}}
- {id: sc-app, class: application, name: scarlet app, tenant: e-seal, system: sc-sys}
- {id: sc-person, class: person, name: scarlet person, tenant: e-seal, attributes: {business_line: scarlet, phone: "999"}}
`

// twins are one host of the other line that was written down twice.
const twins = `
- {id: sc-twin-1, class: host, name: scarlet-twin-1, tenant: e-seal, zone: south, addresses: [10.8.0.8], system: sc-sys}
- {id: sc-twin-2, class: host, name: scarlet-twin-2, tenant: e-seal, zone: south, addresses: [10.8.0.9], system: sc-sys}
`

// TestOneLineOfBusiness reads by every route of the CMDB as somebody who is
// bound to one line of business, and as somebody who is bound to one zone, and
// then brings another line's items in. Nothing of what the two are told may
// change, to the byte: whatever differs would tell them of what is not theirs.
// What the routes are comes from the suite.
func TestOneLineOfBusiness(t *testing.T) {
	t.Parallel()
	s := newSuite(t, "")
	ctx := context.Background()
	ordered(t, s, "PUT", "/api/v1/settings/rate-limits", `{"enabled":false}`)
	if err := s.imports(indigo); err != nil {
		t.Fatal(err)
	}
	var drawing struct{ ID string }
	if err := s.admin.JSON(ctx, http.MethodPost, "/api/v1/cmdb/topologies", nil, map[string]any{"name": "indigo", "shared": true, "filter": "class = host",
		"nodes": []map[string]any{{"item": "in-host", "x": 1, "y": 1}}}, &drawing); err != nil {
		t.Fatal(err)
	}
	bound := map[string]string{}
	for name, scope := range map[string]string{"of-line": `label = "line:indigo"`, "of-zone": `label = "zone:north"`} {
		id := s.person(name, "operator")
		if err := s.admin.JSON(ctx, http.MethodPut, "/api/v1/users/"+id+"/access", nil, map[string]any{"reach": scope}, nil); err != nil {
			t.Fatal(err)
		}
		session, err := s.admin.Login(ctx, name, "Own-Word-2026-"+name)
		if err != nil {
			t.Fatal(err)
		}
		bound[name] = session.Token
	}
	bound["admin"] = s.admin.Options().Token

	ask := func(token, method, path, body string) string {
		t.Helper()
		req, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
		return fmt.Sprintf("%d %s", resp.StatusCode, text)
	}
	var list struct{ Items []route }
	get(t, s, "/api/v1/access/operations?routes=true", &list)
	var reads, changes []route
	for _, r := range list.Items {
		switch {
		case !strings.HasPrefix(r.Path, "/api/v1/cmdb"):
		case r.Method == http.MethodGet || cmdbReads[r.ID] != nil:
			if cmdbReads[r.ID] == nil {
				t.Errorf("%s (%s %s) is a route of the CMDB that no test of isolation asks: say in cmdbReads how it is asked", r.ID, r.Method, r.Path)
			}
			reads = append(reads, r)
		case ofItem(r):
			changes = append(changes, r)
		}
	}
	if len(reads) < len(cmdbReads) || len(changes) < len(cmdbWrites) {
		t.Errorf("the suite lists %d routes that read and %d that change; the tables have %d and %d", len(reads), len(changes), len(cmdbReads), len(cmdbWrites))
	}

	// told asks every route, by question; strip takes away what names the request.
	own := []string{"in-org", "in-sys", "in-host", "in-vm", "in-far"}
	told := func(token string) map[string]string {
		out := map[string]string{}
		for _, r := range reads {
			for _, q := range cmdbReads[r.ID] {
				url, body := placeholder.ReplaceAllString(r.Path, "OWN")+q, ""
				if strings.HasPrefix(q, "/") {
					url = strings.ReplaceAll(q, "DRAWING", drawing.ID)
				}
				if r.Method != http.MethodGet {
					url, body = strings.TrimSuffix(url, q), q
				}
				for _, id := range own {
					question := r.ID + " " + strings.ReplaceAll(url+body, "OWN", id)
					if out[question] == "" {
						out[question] = strip(ask(token, r.Method, strings.ReplaceAll(url, "OWN", id), strings.ReplaceAll(body, "OWN", id)), "")
					}
				}
			}
		}
		return out
	}
	// scored waits until the risk of a system is known, which comes after that of
	// its members.
	scored := func(system string) {
		t.Helper()
		eventually(t, time.Minute, "the risk of "+system+" is known", func() error {
			if answer := ask(bound["admin"], "GET", "/api/v1/cmdb/items/"+system+"/risk", ""); !strings.Contains(answer, `"silent"`) {
				return fmt.Errorf("%s", answer)
			}
			return nil
		})
	}
	scored("in-sys")
	before := map[string]map[string]string{}
	for name, token := range bound {
		before[name] = told(token)
	}
	seen := strings.Join(slices.Collect(maps.Values(before["of-line"])), "\n")
	for _, word := range own {
		if !strings.Contains(seen, word) {
			t.Errorf("who is bound to the line does not see its own %s", word)
		}
	}
	if err := s.imports(scarlet + twins); err != nil {
		t.Fatal(err)
	}
	ordered(t, s, "POST", "/api/v1/cmdb/merges", `{"keep":"sc-twin-1","gone":"sc-twin-2"}`)
	ordered(t, s, "POST", "/api/v1/cmdb/relations", `{"relations":[{"from":"in-vm","type":"depends_on","to":"sc-app"},{"from":"sc-app","type":"depends_on","to":"in-far"},{"from":"sc-person","type":"responsible_for","to":"in-host"}]}`)
	scored("sc-sys")
	eventually(t, time.Minute, "the other line's items are known", func() error {
		if answer := ask(bound["admin"], "GET", "/api/v1/cmdb/path?from=in-host&to=in-far&hops=8", ""); !strings.Contains(answer, "sc-app") {
			return fmt.Errorf("%s", answer)
		}
		return nil
	})
	for _, name := range []string{"of-line", "of-zone"} {
		after, answered := told(bound[name]), map[string]bool{}
		for _, question := range slices.Sorted(maps.Keys(after)) {
			was, is := before[name][question], after[question]
			if was != is {
				t.Errorf("%s is told of another line by %s:\nbefore %.600s\nafter  %.600s", name, question, was, is)
			}
			id, _, _ := strings.Cut(question, " ")
			answered[id] = answered[id] || strings.HasPrefix(is, "200 ")
		}
		for id, yes := range answered {
			if !yes {
				t.Errorf("%s: no question to %s is answered, so they test nothing", name, id)
			}
		}
	}
	// The questions are such that there is something to hide.
	everything := told(bound["admin"])
	hides := map[string]bool{}
	for question, is := range everything {
		id, _, _ := strings.Cut(question, " ")
		hides[id] = hides[id] || is != before["admin"][question]
	}
	for id, changed := range hides {
		if common := slices.Contains(cmdbCommon, id); common == changed {
			t.Errorf("%s: the administrator's answers changed: %v, and it is listed as common: %v", id, changed, common)
		}
	}

	// What is another's is answered as what there is not.
	const absent = "sc-none"
	for _, name := range []string{"of-line", "of-zone"} {
		for _, r := range slices.Concat(reads, changes) {
			if !ofItem(r) {
				continue
			}
			body, ok := cmdbWrites[r.ID]
			if !ok && cmdbReads[r.ID] == nil {
				t.Errorf("%s (%s %s) changes an item and no test of isolation tries it: say in cmdbWrites what body it takes", r.ID, r.Method, r.Path)
				continue
			}
			if q := cmdbReads[r.ID]; r.Method != http.MethodGet && q != nil {
				body = q[0]
			}
			for _, id := range []string{"sc-host", "sc-sys", "sc-app"} {
				theirs := ask(bound[name], r.Method, placeholder.ReplaceAllString(r.Path, id), body)
				nobody := ask(bound[name], r.Method, placeholder.ReplaceAllString(r.Path, absent), body)
				if strip(theirs, id) != strip(nobody, absent) || theirs[:3] != "404" && r.ID != "get-cmdb-history" {
					t.Errorf("%s: %s %s of another line's %s answers\n%.300s\nof what there is not\n%.300s", name, r.ID, r.Path, id, theirs, nobody)
				}
			}
		}
		for _, path := range []string{"/api/v1/cmdb/path?hops=8&from=in-host&to=", "/api/v1/cmdb/path?hops=8&to=in-host&from="} {
			if theirs := ask(bound[name], "GET", path+"sc-host", ""); theirs[:3] != "404" {
				t.Errorf("%s: %ssc-host answers %.300s", name, path, theirs)
			}
		}
		body := `{"relations":[{"from":"in-host","type":"depends_on","to":"sc-host"}]}`
		theirs, nobody := ask(bound[name], "POST", "/api/v1/cmdb/relations", body), ask(bound[name], "POST", "/api/v1/cmdb/relations", strings.ReplaceAll(body, "sc-host", absent))
		if strip(theirs, "sc-host") != strip(nobody, absent) || theirs[0] == '2' {
			t.Errorf("%s relates another line's item: %.300s; one that there is not: %.300s", name, theirs, nobody)
		}
	}
}

// ofItem tells whether a route is about one thing that may be another line's.
// Drawings are people's, and hold more than one.
func ofItem(r route) bool {
	return placeholder.MatchString(r.Path) && !strings.Contains(r.Path, "/cmdb/topologies/")
}

// strip takes the id that was asked for, and what names the request, out of an
// answer.
func strip(answer, id string) string {
	if id != "" {
		answer = strings.ReplaceAll(answer, id, "ID")
	}
	return requestName.ReplaceAllString(answer, "")
}

var requestName = regexp.MustCompile(`"instance":"[^"]*",?`)
