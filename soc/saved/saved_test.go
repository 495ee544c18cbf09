package saved

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/soc/lake"
	"icewatch/soc/reach"
	"icewatch/soc/state"
)

var (
	lin  = Asker{User: "u-lin", Name: "lin", Unit: "dns", Units: []string{"dns", "bureau"}, Roles: []string{"analyst"}, Share: true}
	wang = Asker{User: "u-wang", Name: "wang", Unit: "web", Units: []string{"web", "bureau"}, Roles: []string{"viewer"}}
	root = Asker{User: "u-root", Name: "root", Share: true, Manage: true, Groups: true}
)

func open(t testing.TB) *Store {
	t.Helper()
	db, err := state.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	s, err := Open(t.Context(), db, Checks{
		Query:  func(q string) error { _, err := lake.ShapeOf(q); return err },
		Filter: lake.CheckFilter,
		Tenant: func(slug string) bool { return slug == "a" || slug == "b" },
		Role:   func(id string) bool { return id == "analyst" || id == "viewer" },
		Unit:   func(id string) bool { return slices.Contains([]string{"dns", "web", "bureau"}, id) },
		User: func(_ context.Context, name string) (string, bool) {
			return "u-" + strings.TrimPrefix(name, "u-"), name == "lin" || name == "u-wang"
		},
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *Store) mustCreate(t *testing.T, a Asker, c Content) Search {
	t.Helper()
	out, err := s.CreateSearch(t.Context(), a, c)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func names(t *testing.T, s *Store, a Asker, q SearchQuery) string {
	t.Helper()
	q.Limit = 100
	list, total, _, err := s.Searches(t.Context(), a, q)
	if err != nil || total != len(list) {
		t.Fatalf("%v, total %d of %d", err, total, len(list))
	}
	var out []string
	for _, x := range list {
		out = append(out, x.Name)
	}
	return strings.Join(out, " ")
}

func TestSearchesAreSeenByWhomTheyAreFor(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.mustCreate(t, lin, Content{Name: "own", Query: "error"})
	s.mustCreate(t, lin, Content{Name: "ours", Folder: " dns / tunnels ", Query: "dns", Visibility: Unit, Tags: []string{"dns", "dns"}})
	all := s.mustCreate(t, lin, Content{Name: "all", Folder: "dns", Query: "登录失败", Visibility: Everybody, Click: json.RawMessage(`{"op":"and"}`)})
	s.mustCreate(t, wang, Content{Name: "own", Query: "wang's"})
	colleague := lin
	colleague.User = "u-chen"
	below := Asker{User: "u-li", Unit: "x", Units: []string{"x", "dns"}}
	for who, c := range map[string]struct {
		a    Asker
		q    SearchQuery
		want string
	}{
		"the owner":            {lin, SearchQuery{}, "own all ours"},
		"a colleague":          {colleague, SearchQuery{}, "all ours"},
		"one below":            {below, SearchQuery{}, "all ours"},
		"a stranger":           {wang, SearchQuery{}, "own all"},
		"who keeps all":        {root, SearchQuery{}, "own own all ours"},
		"mine":                 {wang, SearchQuery{Mine: true}, "own"},
		"a folder and below":   {lin, SearchQuery{Folder: "dns"}, "all ours"},
		"a folder itself only": {lin, SearchQuery{Folder: "dn"}, ""},
		"a tag":                {lin, SearchQuery{Tag: "dns"}, "ours"},
		"a text of the query":  {wang, SearchQuery{Text: "登录"}, "all"},
		"a text in any case":   {lin, SearchQuery{Text: "OWN"}, "own"},
		"not even by its text": {wang, SearchQuery{Text: "tunnels"}, ""},
	} {
		if got := names(t, s, c.a, c.q); got != c.want {
			t.Errorf("%s: %q, want %q", who, got, c.want)
		}
	}
	if folders, err := s.Folders(t.Context(), lin); err != nil || fmt.Sprint(folders) != "[{ 1} {dns 1} {dns/tunnels 1}]" {
		t.Errorf("folders: %v %v", folders, err)
	}
	if _, err := s.CreateSearch(t.Context(), wang, Content{Name: "x", Visibility: Everybody}); !errors.Is(err, ErrForbidden) {
		t.Errorf("shared without the right to: %v", err)
	}
	if _, _, err := s.UpdateSearch(t.Context(), wang, all.ID, all.Revision, all.Content()); !errors.Is(err, ErrForbidden) {
		t.Errorf("another's search is changed: %v", err)
	}
	if _, err := s.DeleteSearch(t.Context(), wang, all.ID); !errors.Is(err, ErrForbidden) {
		t.Errorf("another's search is removed: %v", err)
	}
	copied, err := s.CopySearch(t.Context(), wang, all.ID, "", "")
	if err != nil || copied.Name != "all" || copied.Visibility != Private || !copied.Mine || string(copied.Click) != `{"op":"and"}` {
		t.Errorf("a copy: %v %+v", err, copied)
	}
	if copied, err = s.CopySearch(t.Context(), wang, all.ID, "", ""); err != nil || copied.Name != "all (2)" {
		t.Errorf("a second copy: %v %q", err, copied.Name)
	}
}

func TestTwoWhoChangeTheSame(t *testing.T) {
	t.Parallel()
	s := open(t)
	x := s.mustCreate(t, lin, Content{Name: "x", Query: "a"})
	c := x.Content()
	c.Query = "b"
	before, after, err := s.UpdateSearch(t.Context(), lin, x.ID, x.Revision, c)
	if err != nil || before.Query != "a" || after.Query != "b" || after.Revision != 2 {
		t.Fatalf("%v: %+v", err, after)
	}
	if _, _, err := s.UpdateSearch(t.Context(), lin, x.ID, x.Revision, c); !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), "revision 2") {
		t.Errorf("an old revision: %v", err)
	}
	s.mustCreate(t, lin, Content{Name: "y"})
	c.Name = "y"
	if _, _, err := s.UpdateSearch(t.Context(), lin, x.ID, 2, c); !errors.Is(err, ErrConflict) {
		t.Errorf("a name twice: %v", err)
	}
}

func TestWhatIsWrongWithASearch(t *testing.T) {
	t.Parallel()
	s := open(t)
	now := time.Now()
	for want, c := range map[string]Content{
		"name: it has 0 characters":                  {Name: "  "},
		"not valid LogsQL":                           {Name: "x", Query: "error | stats ("},
		"there is no tenant":                         {Name: "x", Tenant: "a,zz"},
		"there is no log group":                      {Name: "x", Group: "group_none"},
		"no duration":                                {Name: "x", Time: Range{Since: "yesterday"}},
		"start and end belong":                       {Name: "x", Time: Range{Start: &now}},
		"is not before the end":                      {Name: "x", Time: Range{Start: &now, End: &now}},
		"not both":                                   {Name: "x", Time: Range{Since: "1h", Start: &now, End: &now}},
		"private, unit or everybody":                 {Name: "x", Visibility: "public"},
		"not valid JSON":                             {Name: "x", Click: json.RawMessage(`{`)},
		"holds control characters":                   {Name: "a\x00b"},
		`are right; tenant: there is no tenant "zz"`: {Tenant: "zz"},
	} {
		_, err := s.CreateSearch(t.Context(), lin, c)
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: want %q", err, want)
		}
	}
	for text, want := range map[string]time.Duration{"15m": 15 * time.Minute, "7d": 7 * 24 * time.Hour, "1w2d3h": 9*24*time.Hour + 3*time.Hour, "": 0, "-1h": 0, "d": 0, "1y": 0, "0s": 0, "9999999w": 0} {
		if got, err := ParseSpan(text); got != want || (err == nil) != (want > 0) {
			t.Errorf("%q is %v (%v), want %v", text, got, err, want)
		}
	}
}

func TestFilesOfSearches(t *testing.T) {
	t.Parallel()
	s := open(t)
	dir, err := s.CreateGroup(t.Context(), "", NodeContent{Kind: KindDirectory, Name: "网络"})
	if err != nil {
		t.Fatal(err)
	}
	g, err := s.CreateGroup(t.Context(), dir.ID, NodeContent{Kind: KindGroup, Name: "dns", Filter: `event.dataset:=dns`})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	end := start.Add(time.Hour)
	s.mustCreate(t, lin, Content{Name: "yes", Query: `"中文" | stats count()`, Group: g.ID, Tags: []string{"1", "true"}, Time: Range{Since: "1d"}, Click: json.RawMessage(`{"a":[1,"x"]}`), Columns: []string{"a"}})
	s.mustCreate(t, lin, Content{Name: "range", Folder: "f", Description: "two\nlines: yes", Tenant: "a,b", Time: Range{Start: &start, End: &end}, Visibility: Everybody})
	for _, isYAML := range []bool{false, true} {
		t.Run(fmt.Sprint("yaml ", isYAML), func(t *testing.T) {
			data, err := s.ExportSearches(t.Context(), lin, SearchQuery{}, isYAML)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(data), "网络/dns") {
				t.Errorf("the group's path is not in\n%s", data)
			}
			o := ImportOptions{YAML: isYAML, Conflict: ConflictFail}
			if r, err := s.ImportSearches(t.Context(), lin, data, o); err != nil || r.Rejected != 2 || r.Errors[1].Entry != 2 || r.Errors[0].Field != "name" {
				t.Errorf("names that are taken: %v %+v", err, r)
			}
			o.Conflict, o.DryRun = ConflictRename, true
			if r, err := s.ImportSearches(t.Context(), lin, data, o); err != nil || r.Renamed != 2 || r.Rejected != 0 {
				t.Errorf("a dry run: %v %+v", err, r)
			}
			if got := names(t, s, lin, SearchQuery{}); got != "yes range" {
				t.Errorf("a dry run left %q", got)
			}
			o.Conflict, o.DryRun = ConflictUpdate, false
			if r, err := s.ImportSearches(t.Context(), lin, data, o); err != nil || r.Updated != 2 {
				t.Errorf("replace: %v %+v", err, r)
			}
			again, err := s.ExportSearches(t.Context(), lin, SearchQuery{}, isYAML)
			if err != nil || string(again) != string(data) {
				t.Errorf("%v: exported again it is\n%s\nnot\n%s", err, again, data)
			}
		})
	}
	for want, text := range map[string]string{
		`the file cannot be read`:          `{"format":"icewatch/searches/v1","searches":[],"extra":1}`,
		`icewatch/searches/v1 is right`:    `{"format":"x","searches":[]}`,
		`entry cannot be read`:             `{"format":"icewatch/searches/v1","searches":[{"name":"new"},{"nam":"x"}]}`,
		`has the same name`:                `{"format":"icewatch/searches/v1","searches":[{"name":"new"},{"name":"new"}]}`,
		`it has 0 characters`:              `{"format":"icewatch/searches/v1","searches":[{"name":"new"},{"query":"x"}]}`,
		`there is more behind`:             `{"format":"icewatch/searches/v1","searches":[]} {}`,
		`log group "no/such"`:              `{"format":"icewatch/searches/v1","searches":[{"name":"new"},{"name":"other","group":"no/such"}]}`,
		`visibility:sharing a search need`: `{"format":"icewatch/searches/v1","searches":[{"name":"new"},{"name":"other","visibility":"everybody"}]}`,
	} {
		r, err := s.ImportSearches(t.Context(), wang, []byte(text), ImportOptions{})
		if err != nil || r.Rejected == 0 || !strings.Contains(r.Errors[0].Field+":"+r.Errors[0].Message, want) {
			t.Errorf("%s: %v %+v, want %q", text, err, r, want)
		}
		if got := names(t, s, wang, SearchQuery{Mine: true}); got != "" {
			t.Fatalf("%s: half imported: %q", text, got)
		}
	}
}

func TestLogGroups(t *testing.T) {
	t.Parallel()
	s := open(t)
	ctx := t.Context()
	dir, err := s.CreateGroup(ctx, "", NodeContent{Kind: KindDirectory, Name: "network"})
	if err != nil {
		t.Fatal(err)
	}
	g, err := s.CreateGroup(ctx, dir.ID, NodeContent{Kind: KindGroup, Name: "dns", Filter: `event.dataset:=dns or x:y`, Tenants: []string{"a"}, Span: "30d"})
	if err != nil {
		t.Fatal(err)
	}
	other, err := s.CreateGroup(ctx, "", NodeContent{Kind: KindGroup, Name: "web", Filter: "web"})
	if err != nil {
		t.Fatal(err)
	}
	for want, f := range map[string]func() error{
		"in the same place already": func() error {
			_, err := s.CreateGroup(ctx, dir.ID, NodeContent{Kind: KindGroup, Name: "dns"})
			return err
		},
		"only directories hold others": func() error { _, err := s.CreateGroup(ctx, g.ID, NodeContent{Kind: KindGroup, Name: "x"}); return err },
		"a filter alone is right": func() error {
			_, err := s.CreateGroup(ctx, "", NodeContent{Kind: KindGroup, Name: "x", Filter: "a | limit 1"})
			return err
		},
		"a filter alone": func() error {
			_, err := s.CreateGroup(ctx, "", NodeContent{Kind: KindGroup, Name: "x", Filter: "a:in(b | fields c)"})
			return err
		},
		"not valid LogsQL": func() error {
			_, err := s.CreateGroup(ctx, "", NodeContent{Kind: KindGroup, Name: "x", Filter: "a) or (b"})
			return err
		},
		"directory has no filter": func() error {
			_, err := s.CreateGroup(ctx, "", NodeContent{Kind: KindDirectory, Name: "x", Filter: "a"})
			return err
		},
		"is not empty": func() error { _, err := s.DeleteGroup(ctx, dir.ID, true); return err },
		"in itself":    func() error { _, _, err := s.MoveGroup(ctx, dir.ID, dir.ID, 0); return err },
		"there is no user": func() error {
			_, _, err := s.SetAccess(ctx, g.ID, 0, Access{Users: []string{"nobody"}}, false)
			return err
		},
		"name the roles":               func() error { _, _, err := s.SetAccess(ctx, g.ID, 0, Access{}, true); return err },
		"changed in between":           func() error { _, _, err := s.SetAccess(ctx, g.ID, 99, Access{}, false); return err },
		"directory or group are right": func() error { _, err := s.CreateGroup(ctx, "", NodeContent{Kind: "x", Name: "x"}); return err },
	} {
		if err := f(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	scope, err := s.Scope(wang, g.ID)
	if err != nil {
		t.Fatal(err)
	}
	within := scope.Within(reach.Tenants("a", "b"))
	if slugs, _ := within.TenantSlugs(); !slices.Equal(slugs, []string{"a"}) || !strings.Contains(within.LogsQL(), "dns") {
		t.Errorf("the group leaves %v with %q", slugs, within.LogsQL())
	}
	now := time.Now()
	if got := scope.Start(now.AddDate(-1, 0, 0), now); !got.Equal(now.Add(-30 * 24 * time.Hour)) {
		t.Errorf("a search of a year in the group begins %v", got)
	}
	if got := scope.Start(now.Add(-time.Hour), now); !got.Equal(now.Add(-time.Hour)) {
		t.Errorf("a search of an hour in the group begins %v", got)
	}
	if _, err := s.Scope(wang, dir.ID); !errors.Is(err, ErrInvalid) {
		t.Errorf("searching in a directory: %v", err)
	}

	// Who is not named cannot use it, and does not see it.
	if _, g, err = s.SetAccess(ctx, g.ID, 0, Access{Roles: []string{"analyst"}}, false); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Scope(wang, g.ID); !errors.Is(err, ErrForbidden) {
		t.Errorf("the group is used by who may not: %v", err)
	}
	for who, c := range map[*Asker]string{&wang: "web", &lin: "network dns web", &root: "network dns web"} {
		list, err := s.Groups(ctx, *who)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, n := range list {
			got = append(got, n.Name)
			if !who.Groups && !n.Access.open() {
				t.Errorf("%s sees who may use %s", who.Name, n.Name)
			}
		}
		if strings.Join(got, " ") != c {
			t.Errorf("%s sees %q, want %q", who.Name, got, c)
		}
	}
	if _, err := s.CreateSearch(ctx, wang, Content{Name: "x", Group: g.ID}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a search in a group out of reach: %v", err)
	}

	// Confinement.
	if got := s.Confinement(lin); got != "" {
		t.Errorf("nobody is confined, but %q", got)
	}
	if _, g, err = s.SetAccess(ctx, g.ID, g.Revision, Access{Units: []string{"dns"}}, true); err != nil {
		t.Fatal(err)
	}
	if _, _, err = s.SetAccess(ctx, other.ID, 0, Access{Users: []string{"lin"}}, true); err != nil {
		t.Fatal(err)
	}
	filter := s.Confinement(lin)
	if canonical, err := lake.CheckFilter(filter); err != nil || !strings.Contains(filter, ") or (") || !strings.Contains(filter, `"icewatch.tenant":in("a")`) {
		t.Errorf("confined by %q (%q, %v)", filter, canonical, err)
	}
	if got := s.Confinement(wang); got != "" {
		t.Errorf("who is not named is confined by %q", got)
	}
	if _, _, err := s.UpdateGroup(ctx, g.ID, g.Revision, NodeContent{Kind: KindGroup, Name: "dns", Filter: "*"}, false); !errors.Is(err, ErrForbidden) {
		t.Errorf("a confining group is opened by who may not: %v", err)
	}
	if _, err := s.DeleteGroup(ctx, g.ID, false); !errors.Is(err, ErrForbidden) {
		t.Errorf("a confining group is removed by who may not: %v", err)
	}
	if r, err := s.ImportGroups(ctx, []byte(`{"format":"icewatch/log-groups/v1","groups":[{"path":"network/dns","kind":"group","filter":"*"}]}`), ImportOptions{}, false); err != nil || r.Rejected != 1 {
		t.Errorf("a confining group is opened by a file: %v %+v", err, r)
	}

	// Moving, and what a restart finds.
	if _, _, err := s.MoveGroup(ctx, other.ID, dir.ID, 0); err != nil {
		t.Fatal(err)
	}
	again, err := Open(ctx, s.db, s.checks, s.log)
	if err != nil {
		t.Fatal(err)
	}
	list, _ := again.Groups(ctx, root)
	var paths []string
	for _, n := range list {
		paths = append(paths, again.groups.Load().path(n.ID))
	}
	if got := strings.Join(paths, " "); got != "network network/web network/dns" {
		t.Errorf("after a restart: %q", got)
	}
	if again.Confinement(lin) != s.Confinement(lin) {
		t.Errorf("after a restart %q confines, not %q", again.Confinement(lin), filter)
	}
	if _, err := s.DeleteGroup(ctx, g.ID, true); err != nil {
		t.Error(err)
	}
}

func TestFilesOfGroups(t *testing.T) {
	t.Parallel()
	s, ctx := open(t), t.Context()
	const text = `format: icewatch/log-groups/v1
groups:
  - path: 网络
    kind: directory
  - path: 网络/dns
    kind: group
    description: "yes"
    filter: event.dataset:=dns
    tenants: [a]
    span: 30d
`
	o := ImportOptions{YAML: true, DryRun: true}
	if r, err := s.ImportGroups(ctx, []byte(text), o, false); err != nil || r.Created != 2 || len(s.groups.Load().byID) != 0 {
		t.Fatalf("a dry run: %v %+v", err, r)
	}
	o.DryRun = false
	if r, err := s.ImportGroups(ctx, []byte(text), o, false); err != nil || r.Created != 2 {
		t.Fatalf("%v %+v", err, r)
	}
	if r, err := s.ImportGroups(ctx, []byte(text), o, false); err != nil || r.Updated != 2 || r.Created != 0 {
		t.Fatalf("again: %v %+v", err, r)
	}
	out, err := s.ExportGroups(ctx, root, true)
	if err != nil {
		t.Fatal(err)
	}
	empty := open(t)
	if r, err := empty.ImportGroups(ctx, out, o, false); err != nil || r.Created != 2 {
		t.Fatalf("what was exported cannot be imported: %v %+v\n%s", err, r, out)
	}
	if r, err := empty.ImportGroups(ctx, []byte("format: icewatch/log-groups/v1\ngroups:\n  - {path: n, kind: directory}\n  - {path: x/y, kind: group}\n"), o, false); err != nil || r.Rejected != 1 || r.Errors[0].Entry != 2 || len(empty.groups.Load().byID) != 2 {
		t.Errorf("a missing directory: %v %+v", err, r)
	}
}

func TestHistory(t *testing.T) {
	t.Parallel()
	s := open(t)
	clock := time.Now()
	s.now = func() time.Time { clock = clock.Add(time.Second); return clock }
	run, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); s.Run(run) }()
	for i := range maxHistory + 20 {
		s.Note("u1", Past{Query: fmt.Sprint("q", i), Since: "1h", Rows: i})
	}
	s.Note("u1", Past{Query: "q219", Since: "1h", Rows: 7})
	s.Note("u1", Past{Query: "q219", Since: "2h"})
	s.Note("u2", Past{Query: "other"})
	stop()
	<-ended
	items, total, next, err := s.History(t.Context(), "u1", "", 2, "")
	if err != nil || total != maxHistory || next != "2" {
		t.Fatalf("%v: %d, next %q", err, total, next)
	}
	if items[0].Query != "q219" || items[0].Since != "2h" || items[1].Since != "1h" || items[1].Count != 2 || items[1].Rows != 7 {
		t.Errorf("the newest: %+v", items)
	}
	if found, n, _, _ := s.History(t.Context(), "u1", "Q219", 10, ""); n != 2 || len(found) != 2 {
		t.Errorf("by text: %d", n)
	}
	if err := s.ForgetHistory(t.Context(), "u2", items[0].ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("another's history is changed: %v", err)
	}
	if err := s.ForgetHistory(t.Context(), "u1", items[0].ID); err != nil {
		t.Error(err)
	}
	if err := s.ForgetHistory(t.Context(), "u1", 0); err != nil {
		t.Error(err)
	}
	if _, n, _, _ := s.History(t.Context(), "u1", "", 10, ""); n != 0 {
		t.Errorf("%d are left", n)
	}
	if _, n, _, _ := s.History(t.Context(), "u2", "", 10, ""); n != 1 {
		t.Errorf("another's history has %d", n)
	}
	p, err := s.SetPreferences(t.Context(), "u1", Preferences{Followed: []string{"source.ip", "source.ip", " "}, Pinned: []string{"host.name"}})
	if err != nil || !slices.Equal(p.Followed, []string{"source.ip"}) {
		t.Errorf("%v %+v", err, p)
	}
	if p, err = s.Preferences(t.Context(), "u1"); err != nil || !slices.Equal(p.Followed, []string{"source.ip"}) || len(p.Columns) != 0 || !slices.Equal(p.Pinned, []string{"host.name"}) {
		t.Errorf("%v %+v", err, p)
	}
}

// FuzzImport: whatever a file holds, an import that reports an error leaves
// nothing, and one that does not leaves as many as it says.
func FuzzImport(f *testing.F) {
	f.Add([]byte(`{"format":"icewatch/searches/v1","searches":[{"name":"a"},{"name":"b","click":{"x":1}}]}`), false)
	f.Add([]byte("format: icewatch/searches/v1\nsearches:\n- &a {name: x}\n- *a\n"), true)
	f.Fuzz(func(t *testing.T, data []byte, isYAML bool) {
		s := open(t)
		r, err := s.ImportSearches(t.Context(), lin, data, ImportOptions{YAML: isYAML})
		if err != nil {
			t.Fatal(err)
		}
		want := r.Created
		if r.Rejected > 0 {
			want = 0
		}
		if _, n, _, err := s.Searches(t.Context(), lin, SearchQuery{}); err != nil || n != want {
			t.Fatalf("%d searches (%v), the report says %+v", n, err, r)
		}
	})
}
