package main

import (
	"strings"
	"testing"
)

// TestCMDBTopology: key paths, impact, root causes, path queries and traffic are
// asked for as the flags say and shown in words; control characters that a name
// holds do not reach the terminal.
func TestCMDBTopology(t *testing.T) {
	t.Parallel()
	s := serve(t, map[string]string{
		"GET /api/v1/cmdb/path": `{"found":true,"from":{"id":"a","class":"host","name":"web"},"to":{"id":"c","class":"database","name":"db"},"hops":2,
			"steps":[{"type":"runs_on","forward":false,"item":{"id":"b","class":"application","name":"shop\u001b[31m"}},{"type":"depends_on","forward":true,"item":{"id":"c","class":"database","name":"db"}}],"more":true}`,
		"GET /api/v1/cmdb/items/a%2Fb/walk": `{"item":{"id":"a/b","class":"host","name":"x"},"steps":[{"item":{"id":"b","class":"application","name":"shop"},"from":"a/b","type":"runs_on","forward":false,"depth":1}],"counts":{"application":1},"more":false}`,
		"GET /api/v1/cmdb/items/a/b/walk":   `{"item":{"id":"a/b","class":"host","name":"x"},"steps":[{"item":{"id":"b","class":"application","name":"shop"},"from":"a/b","type":"runs_on","forward":false,"depth":1}],"counts":{"application":1},"more":false}`,
		"GET /api/v1/cmdb/items/lone/walk":  `{"item":{"id":"lone","class":"host","name":"lone"},"steps":[],"counts":{}}`,
		"GET /api/v1/cmdb/query":            `{"ends":[{"item":{"id":"b","class":"application","name":"shop"},"way":[]}],"more":false}`,
		"GET /api/v1/cmdb/traffic": `{"items":[{"from":{"id":"a","name":"web"},"to":{"id":"c","name":"db"},"zone":"default","state":"waiting","bytes":2048,"flows":3,
			"services":[{"port":5432,"protocol":"tcp","name":"postgresql"}],"annotation":"夜间备份"}],"total":9}`,
		"GET /api/v1/cmdb/traffic/export":     "id,state\n1,waiting\n",
		"POST /api/v1/cmdb/merges":            `{"keep":{"id":"a","class":"host","name":"web\u001b[31m"},"gone":{"id":"b","class":"host","name":"10.0.0.9"},"fields":[{"field":"attr.os","keep":"Kylin","gone":"Linux","value":"Kylin","conflict":true}],"relations":2,"referring":[{"id":"d"}]}`,
		"GET /api/v1/cmdb/merges":             `{"items":[{"id":"mrg-1","time":"2026-03-02T08:00:00Z","actor":"li","keep":{"id":"a","class":"host","name":"web"},"gone":{"id":"b","class":"host","name":"10.0.0.9"},"undone_by":"ma"}]}`,
		"POST /api/v1/cmdb/merges/mrg-1/undo": `{"id":"mrg-1","keep":{"id":"a","class":"host","name":"web"},"gone":{"id":"b","class":"host","name":"10.0.0.9"}}`,
		"GET /api/v1/surface/duplicates":      `{"items":[{"id":"d1","keep":{"id":"a","class":"host","name":"web\u001b[31m"},"gone":{"id":"b","class":"host","name":"10.0.0.9"},"marks":["serial_number","mac"],"certain":true,"state":"open"}]}`,
		"POST /api/v1/surface/duplicates/d1":  `{"id":"d1","keep":{"id":"a","class":"host","name":"web"},"gone":{"id":"b","class":"host","name":"10.0.0.9"},"marks":["mac"],"state":"merged","merge":"mrg-2"}`,
	})
	for _, c := range []struct {
		args  []string
		asked string
		says  []string
	}{
		{[]string{"cmdb", "path", "a", "c", "--hops", "4", "--types", "runs_on,depends_on"}, "from=a&hops=4&paths=1&to=c&types=runs_on%2Cdepends_on",
			[]string{"web (host a)", "<-runs_on- shop", "-depends_on-> db (database c)", "more paths"}},
		{[]string{"cmdb", "impact", "a/b", "--depth", "3"}, "depth=3&kind=impact", []string{"shop", "a/b <-runs_on-", "In all 1 items: 1 application."}},
		{[]string{"cmdb", "root", "lone"}, "kind=root_cause", []string{"lone (host) depends on nothing."}},
		{[]string{"cmdb", "query", "host <-runs_on- application"}, "path=host+%3C-runs_on-+application", []string{"application  shop"}},
		{[]string{"cmdb", "traffic", "--port", "5432", "--days", "7", "--zone", "default"}, "days=7&limit=50&port=5432&sort=-bytes&zone=default", []string{"tcp/5432 postgresql", "夜间备份", "1 of 9."}},
		{[]string{"cmdb", "merge", "a", "b", "--dry-run", "--choose", "owner=gone"}, "/cmdb/merges", []string{"stays     web", "goes      10.0.0.9 (host b)", `attr.os: "Kylin", "Linux" → "Kylin"  (both have one: choose with --choose attr.os=gone)`, "2 taken over", "1 items refer"}},
		{[]string{"cmdb", "merges", "--item", "a"}, "item=a&limit=50", []string{"mrg-1", "web (host a) ← 10.0.0.9 (host b)", "taken back by ma"}},
		{[]string{"cmdb", "merges", "--undo", "mrg-1"}, "/cmdb/merges/mrg-1/undo", []string{"stays     web (host a)"}},
		{[]string{"scans", "duplicates"}, "limit=50&state=open", []string{"d1  open  certain", "same [serial_number mac]"}},
		{[]string{"scans", "duplicates", "--merge", "d1"}, "/surface/duplicates/d1", []string{"merged", "mrg-2"}},
		{[]string{"cmdb", "traffic", "--csv"}, "/traffic/export?format=csv", []string{"1,waiting"}},
	} {
		code, out, errs := call(t, s.URL, nil, "", c.args...)
		if code != 0 || !strings.Contains(s.asked[len(s.asked)-1], c.asked) {
			t.Errorf("%v: code %d, asked %s: %s", c.args, code, s.asked[len(s.asked)-1], errs)
		}
		for _, want := range c.says {
			if !strings.Contains(out, want) {
				t.Errorf("%v says %q, without %q", c.args, out, want)
			}
		}
		if strings.Contains(out, "\x1b") {
			t.Errorf("%v: a control character reaches the terminal", c.args)
		}
	}
	if code, _, errs := call(t, s.URL, nil, "", "cmdb", "impact", "nobody"); code == 0 || errs == "" {
		t.Errorf("an item that there is not: %d %q", code, errs)
	}
}
