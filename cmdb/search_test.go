package cmdb

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"icewatch/cmdb/model"
	"icewatch/soc/reach"
)

func found(t testing.TB, s *Service, r reach.Reach, expression string) []string {
	t.Helper()
	var ids []string
	f := Filter{Expression: expression, Limit: 2}
	for {
		p, err := s.Items(t.Context(), r, f)
		if err != nil {
			t.Fatalf("%s: %v", expression, err)
		}
		for _, it := range p.Items {
			ids = append(ids, it.ID)
		}
		if f.Cursor = p.Next; f.Cursor != "" {
			continue
		}
		if p.Total != len(ids) {
			t.Errorf("%s: %d on the pages, %d in all", expression, len(ids), p.Total)
		}
		slices.Sort(ids)
		return ids
	}
}

func TestSearch(t *testing.T) {
	t.Parallel()
	s := openCity(t)
	all, onlyA := reach.All(), reach.Tenants("a")
	for _, c := range []struct {
		r          reach.Reach
		expression string
		want       string
	}{
		{all, `class = host`, "h1 h2"},
		{all, `class = computer and name ^= v`, "v1 v2"},
		{all, `cpu_cores >= 8`, "h1 h2"},
		{all, `cpu_cores = 8.0`, "h2"},
		{all, `cpu_cores in (4, 64) and not class = vm`, "h1"},
		{all, `os ~ kylin or os ^= OPEN`, "h1 v1"},
		{all, `os exists and cpu_cores exists`, "h1"},
		{all, `class = vm and os != openEuler`, "v2"},
		{all, `address = 10.1.0.1 or address ^= "10.2."`, "h1 v2"},
		{all, `system = bs-a and class in (vm, service)`, "svc v1 v2"},
		{all, `system.name = 'a应用' and class = database`, "db"},
		{all, `system.protection_level = 3 and port = 5432`, "db"},
		{all, `has -runs_on-> host[cpu_cores > 32]`, "v1 v2"},
		{all, `has <-runs_on- application`, "v1"},
		{all, `has <-runs_on- *[class = application]`, "v1"},
		{all, `has -runs_on-> vm -runs_on-> host`, "app db"},
		{all, `class = database and has -- *`, "db"},
		{all, `cabinet = cab and has -placed_in-> cabinet[has -placed_in-> room[name = 机房]]`, "h1 h2"},
		{all, `criticality >= 4 and class = business_system`, "bs-a bs-b"},
		{all, `created >= 2020-01-01 and class = room`, "room"},
		{all, `name ~ '%'`, ""},
		{onlyA, `class = host`, "h1"},
		{onlyA, `has -placed_in-> cabinet`, ""},
		{onlyA, `cabinet exists`, "h1"},
		{reach.Tenants("b"), `system.name exists`, ""},
	} {
		if got := strings.Join(found(t, s, c.r, c.expression), " "); got != c.want {
			t.Errorf("%s: %s, want %s", c.expression, got, c.want)
		}
	}
	for expression, fault := range map[string]string{
		`class = egg`:                "character 1: unknown class",
		`a = 1 and cpu_cores > many`: "character 11: \"many\" is not a number",
		`class > host`:               "a class is compared by",
		`system > x`:                 "is an item",
		`label < x`:                  "is compared by",
		`criticality ~ 4`:            "is no text",
		`created > soon`:             "is no time",
		`has -eats-> *`:              "unknown relation type",
		`has -runs_on*2-> *`:         "one relation a step",
		`lifecycle = alive`:          "is not one of",
		`a = `:                       "character 5",
	} {
		_, err := s.Items(t.Context(), all, Filter{Expression: expression})
		if !errors.Is(err, ErrQuery) || !strings.Contains(err.Error(), fault) {
			t.Errorf("%s: %v, want %q", expression, err, fault)
		}
	}
	if _, err := s.Items(t.Context(), all, Filter{Expression: "name exists", Cursor: "zzz"}); !errors.Is(err, ErrCursor) {
		t.Errorf("an unknown cursor: %v", err)
	}
}

func TestPathQuery(t *testing.T) {
	t.Parallel()
	s := openCity(t)
	for _, c := range []struct {
		r    reach.Reach
		text string
		want string
	}{
		{reach.All(), `business_system[name = 'a应用'] <-belongs_to_system- application -runs_on*1..3-> host`, "bs-a>app>h1"},
		{reach.All(), `host[name = h1] <-runs_on- vm`, "h1>v1 h1>v2"},
		{reach.All(), `host[name = h1] <-runs_on*2-  *`, "h1>app h1>db"},
		{reach.All(), `cabinet <-placed_in- host[cpu_cores < 10]`, "cab>h2"},
		{reach.Tenants("b"), `host --*3- host`, ""},
		{reach.All(), `room[name = nothing] -- *`, ""},
	} {
		e, err := s.Query(t.Context(), c.r, strings.ReplaceAll(c.text, "--*3-", "-*3-"))
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		var got []string
		for _, end := range e.Ends {
			text := ""
			for _, w := range end.Way {
				text += w.ID + ">"
			}
			got = append(got, text+end.Item.ID)
		}
		slices.Sort(got)
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v, want %s", c.text, got, c.want)
		}
	}
	for _, text := range []string{`host -eats-> *`, `egg`, `host -runs_on->`} {
		if _, err := s.Query(t.Context(), reach.All(), text); !errors.Is(err, ErrQuery) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestStatistics(t *testing.T) {
	t.Parallel()
	s := openCity(t)
	if err := s.Delete(t.Context(), reach.All(), "t", "svc"); err != nil {
		t.Fatal(err)
	}
	st, err := s.Statistics(t.Context(), reach.Tenants("a"))
	if err != nil {
		t.Fatal(err)
	}
	if st.Items != 8 || st.Relations == 0 || st.Classes["vm"] != 2 || st.Classes["host"] != 1 || st.Classes["cabinet"] != 0 || st.Zones["z"] != 6 || len(st.Changes) != statisticsDays {
		t.Errorf("%+v", st)
	}
	sum := DayChanges{}
	for _, d := range st.Changes {
		sum.Created, sum.Updated, sum.Deleted = sum.Created+d.Created, sum.Updated+d.Updated, sum.Deleted+d.Deleted
	}
	if sum.Created != 9 || sum.Deleted != 1 {
		t.Errorf("%+v", st.Changes)
	}
}

func TestSubgraph(t *testing.T) {
	t.Parallel()
	s := openCity(t)
	show := func(r reach.Reach, ids []string, filter string) string {
		t.Helper()
		g, err := s.Subgraph(t.Context(), r, ids, filter)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, it := range g.Items {
			out = append(out, it.ID)
		}
		for _, l := range g.Relations {
			out = append(out, l.From+"-"+l.Type+"-"+l.To)
		}
		slices.Sort(out)
		return strings.Join(out, " ")
	}
	for _, c := range []struct {
		name   string
		reach  reach.Reach
		ids    []string
		filter string
		want   string
	}{
		{"by ids", reach.All(), []string{"v1", "h1", "nothing"}, "", "h1 v1 v1-runs_on-h1"},
		{"by a filter", reach.All(), []string{"h1"}, "class = vm", "h1 v1 v1-runs_on-h1 v2 v2-runs_on-h1"},
		{"named twice", reach.All(), []string{"v1", "v1"}, "name = v1", "v1"},
		{"within reach", reach.Tenants("b"), []string{"v1", "h1", "h2", "cab"}, "class = host", "h2"},
		{"nothing", reach.All(), nil, "", ""},
	} {
		if got := show(c.reach, c.ids, c.filter); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	var wrong *FilterError
	if _, err := s.Subgraph(t.Context(), reach.All(), nil, "class ="); !errors.As(err, &wrong) {
		t.Errorf("a filter that is none: %v", err)
	}
	if _, err := s.Subgraph(t.Context(), reach.All(), make([]string, MaxSubgraph+1), ""); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too many: %v", err)
	}
}

func TestPreviewRule(t *testing.T) {
	t.Parallel()
	s := openCity(t)
	rule := func(where ...model.Condition) model.Document {
		return model.Document{Rules: []model.Rule{{Name: "addresses_in_networks", Type: "in_network", From: []string{"computer"}, To: []string{"network"}, Where: where}}}
	}
	within := model.Condition{From: "address", Op: model.Within, To: "address"}
	off := rule(within)
	off.Rules[0].Off = true
	named := model.Document{Rules: []model.Rule{{Name: "same_system", Type: "depends_on", From: []string{"application"}, To: []string{"application", "vm"}, Where: []model.Condition{{From: "zone", Op: model.Equal, To: "zone"}}}}}
	for _, c := range []struct {
		name             string
		d                model.Document
		rule             string
		made, kept, gone int
	}{
		// The database is an instance, and no computer: what the shipped rule
		// made of it is looked at by its first items only.
		{"as shipped", rule(within), "addresses_in_networks", 0, 2, 0},
		{"off", off, "addresses_in_networks", 0, 0, 2},
		{"new", named, "same_system", 0, 0, 0},
	} {
		p, err := s.PreviewRule(t.Context(), c.d, c.rule)
		if err != nil || p.Made != c.made || p.Kept != c.kept || p.Dropped != c.gone || len(p.Samples) != c.made+c.gone {
			t.Errorf("%s: %+v: %v", c.name, p, err)
		}
	}
	if _, err := s.PreviewRule(t.Context(), model.Document{}, "none"); !errors.Is(err, ErrInvalid) {
		t.Errorf("no such rule: %v", err)
	}
}
