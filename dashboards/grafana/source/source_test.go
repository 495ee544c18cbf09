package source

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// all are the dashboards.
func all(t *testing.T) []Board {
	t.Helper()
	list, err := Boards()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestCommitted holds the JSON in the repository, which the programs carry,
// against the source, and reads it as Grafana's schema wants it.
func TestCommitted(t *testing.T) {
	t.Parallel()
	boards := all(t)
	for _, l := range Languages {
		folder := filepath.Join("..", string(l))
		files, err := os.ReadDir(folder)
		if err != nil {
			t.Fatal(err)
		}
		if len(files) != len(boards) || len(boards) < 12 {
			t.Errorf("%s has %d files, want %d: make dashboards", folder, len(files), len(boards))
		}
		uids := map[string]bool{}
		for i := range boards {
			b := &boards[i]
			want, err := b.JSON(l)
			if err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(filepath.Join(folder, b.Name+".json"))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s/%s.json is not what its source makes (%v): make dashboards", l, b.Name, err)
			}
			if uid := b.UID(l); len(uid) > 40 || uids[uid] {
				t.Errorf("%s: the uid %q is longer than Grafana takes, or given twice", b.Name, uid)
			}
			uids[b.UID(l)] = true
			check(t, b.Name, got)
		}
	}
}

// check reads a dashboard strictly, by the published schema, and looks at the
// places of its panels. Queries are left out: those of Jaeger are not in the SDK.
func check(t *testing.T, name string, text []byte) {
	t.Helper()
	var d map[string]any
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	type place struct{ X, Y, W, H int }
	var places []place
	ids := map[float64]bool{}
	for _, x := range d["panels"].([]any) {
		p := x.(map[string]any)
		id := p["id"].(float64)
		if ids[id] {
			t.Errorf("%s: the id %v is given twice", name, id)
		}
		ids[id] = true
		g := p["gridPos"].(map[string]any)
		at := place{int(g["x"].(float64)), int(g["y"].(float64)), int(g["w"].(float64)), int(g["h"].(float64))}
		if at.X+at.W > columns {
			t.Errorf("%s: %v is wider than the page: %+v", name, p["title"], at)
		}
		for _, o := range places {
			if at.X < o.X+o.W && o.X < at.X+at.W && at.Y < o.Y+o.H && o.Y < at.Y+at.H {
				t.Errorf("%s: %v lies on another panel: %+v on %+v", name, p["title"], at, o)
			}
		}
		places = append(places, at)
		if targets, ok := p["targets"].([]any); ok {
			var known []any
			for _, q := range targets {
				if q.(map[string]any)["datasource"].(map[string]any)["type"] != string(Jaeger) {
					known = append(known, q)
				}
			}
			p["targets"] = known
		}
	}
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	var strict dashboard.Dashboard
	var faults cog.BuildErrors // which the SDK returns where it is empty, too
	if err := strict.UnmarshalJSONStrict(text); err != nil && (!errors.As(err, &faults) || len(faults) > 0) {
		t.Errorf("%s is not of Grafana's schema: %v", name, err)
	} else if err := strict.Validate(); err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

// TestTexts finds what is not said in one of the languages, panels of one
// dashboard with the same name, and Chinese in English texts.
func TestTexts(t *testing.T) {
	t.Parallel()
	han := regexp.MustCompile(`\p{Han}`)
	for _, b := range all(t) {
		seen := map[string]bool{}
		say := func(what string, x Text) {
			if x.ZH == "" || x.EN == "" {
				t.Errorf("%s: %s is not said in both languages: %+v", b.Name, what, x)
			}
			if han.MatchString(x.EN) {
				t.Errorf("%s: %s has Chinese in English: %q", b.Name, what, x.EN)
			}
		}
		say("its title", b.Title)
		say("what it is about", b.About)
		for _, v := range b.Vars {
			say("the variable "+v.Name, v.Title)
		}
		for _, r := range b.Rows {
			say("a row", r.Title)
			for _, p := range r.Panels {
				say("a panel", p.Title)
				if seen[p.Title.EN] {
					t.Errorf("%s: two panels are named %q", b.Name, p.Title.EN)
				}
				seen[p.Title.EN] = true
				for _, c := range p.Columns {
					say("a column of "+p.Title.EN, c.Title)
				}
				if len(p.Targets) == 0 && p.Kind != Alerts {
					t.Errorf("%s: %s asks nothing", b.Name, p.Title.EN)
				}
			}
		}
	}
}

// TestVariables finds queries by variables that are not there.
func TestVariables(t *testing.T) {
	t.Parallel()
	used := regexp.MustCompile(`\$(\w+)`)
	for _, b := range all(t) {
		known := map[string]bool{"__rate_interval": true, "__interval": true, "__range": true}
		for _, v := range b.Vars {
			known[v.Name] = true
		}
		for _, r := range b.Rows {
			for _, p := range r.Panels {
				for _, q := range p.Targets {
					for _, m := range used.FindAllStringSubmatch(q.Expr+q.Service, -1) {
						if !known[m[1]] {
							t.Errorf("%s: %s asks by $%s, which is no variable", b.Name, p.Title.EN, m[1])
						}
					}
					if strings.Contains(q.Expr, "rate(") && !strings.Contains(q.Expr, "$__rate_interval") {
						t.Errorf("%s: %s has a rate over a time of its own: %s", b.Name, p.Title.EN, q.Expr)
					}
				}
			}
		}
	}
}
