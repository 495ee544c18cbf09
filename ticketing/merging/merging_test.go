package merging

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/soc/state"
	"icewatch/ticketing/silence"
)

func TestSimilarity(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b     string
		from, to float64
	}{
		{"", "", 1, 1},
		{"disk full", "", 0, 0},
		{"Disk  FULL on sda1", "disk full on sda27", 1, 1},         // case, space and numbers do not count
		{"磁盘使用率 91% 超过阈值", "磁盘使用率 95% 超过阈值", 1, 1},                 // nor in Chinese
		{"磁盘使用率超过阈值", "内存使用率超过阈值", 0.4, 0.7},                       // two letters of nine
		{"CPU usage is high", "certificate expires soon", 0, 0.15}, // nothing to do with each other
		{"ab", "ab", 1, 1},
		{"ab", "ac", 0, 0},
	} {
		got := Similarity(TextOf(c.a), TextOf(c.b))
		if back := Similarity(TextOf(c.b), TextOf(c.a)); got < c.from || got > c.to || back != got {
			t.Errorf("%q and %q: %g, and %g the other way round; want %g to %g", c.a, c.b, got, back, c.from, c.to)
		}
	}
}

func FuzzSimilarity(f *testing.F) {
	f.Add("a b\x00c", "磁盘\xff1")
	f.Fuzz(func(t *testing.T, a, b string) {
		x, y := TextOf(a), TextOf(b)
		if !slices.IsSorted(x) || len(slices.Compact(slices.Clone(x))) != len(x) || len(x) > maxCompared {
			t.Fatalf("%q: %v is no set of at most %d", a, x, maxCompared)
		}
		if s := Similarity(x, y); s < 0 || s > 1 || s != Similarity(y, x) || Similarity(x, x) != 1 {
			t.Fatalf("%q and %q: %g", a, b, s)
		}
	})
}

func ids(groups [][]Alert) string {
	var out []string
	for _, g := range groups {
		var s []string
		for _, a := range g {
			s = append(s, a.ID)
		}
		out = append(out, strings.Join(s, ""))
	}
	return strings.Join(out, " ")
}

func TestGroups(t *testing.T) {
	t.Parallel()
	at := func(id string, first, last int64, text string) Alert {
		return Alert{ID: id, First: first * 1000, Last: last * 1000, Text: TextOf(text)}
	}
	for name, c := range map[string]struct {
		rule   Rule
		alerts []Alert
		want   string
	}{
		"one after the other":     {Rule{Window: time.Minute}, []Alert{at("a", 0, 10, ""), at("b", 70, 70, ""), at("c", 131, 131, "")}, "ab c"},
		"while one goes on":       {Rule{Window: time.Minute}, []Alert{at("a", 0, 500, ""), at("b", 20, 20, ""), at("c", 540, 540, "")}, "abc"},
		"texts that are alike":    {Rule{Window: time.Hour, Similar: &Similar{Title, 0.8}}, []Alert{at("a", 0, 0, "disk 1 is full"), at("b", 1, 1, "fan fails"), at("c", 2, 2, "disk 2 is full"), at("d", 3, 3, "fan fails")}, "ac bd"},
		"the most alike":          {Rule{Window: time.Hour, Similar: &Similar{Title, 0.3}}, []Alert{at("a", 0, 0, "yyyyaz bbbb cccc"), at("b", 1, 1, "xxxx bbbb dddd"), at("c", 2, 2, "xxxx bbbb cccc")}, "a bc"},
		"alike, but too late":     {Rule{Window: time.Minute, Similar: &Similar{Title, 0.8}}, []Alert{at("a", 0, 0, "disk full"), at("b", 100, 100, "disk full")}, "a b"},
		"texts are not asked for": {Rule{Window: time.Hour}, []Alert{at("a", 0, 0, "x"), at("b", 0, 0, "y")}, "ab"},
		"none":                    {Rule{Window: time.Hour}, nil, ""},
	} {
		for range 5 {
			rand.Shuffle(len(c.alerts), func(i, j int) { c.alerts[i], c.alerts[j] = c.alerts[j], c.alerts[i] })
			if got := ids(c.rule.Groups(c.alerts)); got != c.want {
				t.Errorf("%s: %q, want %q", name, got, c.want)
			}
		}
	}
}

func TestKey(t *testing.T) {
	t.Parallel()
	m, err := silence.ParseMatchers([]string{`severity=~"high|critical"`})
	if err != nil {
		t.Fatal(err)
	}
	r := Rule{Matchers: m, By: []string{"site", "app"}, Tenants: []string{"t1"}}
	set := func(severity, site, app string) map[string]string {
		return map[string]string{"severity": severity, "site": site, "app": app}
	}
	key, ok := r.Key("t1", set("high", "s", "a"))
	if again, same := r.Key("t1", set("critical", "s", "a")); !ok || !same || again != key {
		t.Errorf("alerts that agree in all that counts have the keys %q and %q", key, again)
	}
	if other, _ := r.Key("t1", set("high", "sa", "")); other == key {
		t.Error("values run into one another")
	}
	for name, c := range map[string]struct {
		tenant string
		set    map[string]string
	}{"another tenant": {"t2", set("high", "s", "a")}, "not matched": {"t1", set("low", "s", "a")}, "a label is missing": {"t1", set("high", "s", "")}} {
		if key, ok := r.Key(c.tenant, c.set); ok {
			t.Errorf("%s: it has the key %q", name, key)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	good := Rule{Name: "n", Kind: Alerts, By: []string{"site"}, Window: time.Minute, Least: 2}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(r *Rule){
		"name:":            func(r *Rule) { r.Name = " " },
		"kind:":            func(r *Rule) { r.Kind = Attack },
		"window:":          func(r *Rule) { r.Window = 0 },
		"least:":           func(r *Rule) { r.Least = 1 },
		"by[1]: \"site\"":  func(r *Rule) { r.By = []string{"site", "site"} },
		"by[0]:":           func(r *Rule) { r.By = []string{""} },
		"similar.on:":      func(r *Rule) { r.Similar = &Similar{"", 0.5} },
		"similar.at_least": func(r *Rule) { r.Similar = &Similar{Title, 1.5} },
		"all alerts":       func(r *Rule) { r.By = nil },
	} {
		r := good
		if change(&r); !errors.Is(r.Check(), ErrInvalid) || !strings.Contains(r.Check().Error(), want) {
			t.Errorf("%v: want %q", r.Check(), want)
		}
	}
	for _, r := range Shipped() {
		if r.Shipped = true; r.Check() != nil {
			t.Errorf("%s: %v", r.ID, r.Check())
		}
	}
}

func TestStore(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, err := state.Open(ctx, filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	now := time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC)
	s, err := Open(ctx, db, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	listed := func() string {
		rules, err := s.List(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, r := range rules {
			out = append(out, fmt.Sprint(r.Name[:min(len(r.Name), 6)], r.Off))
		}
		return strings.Join(out, " ")
	}
	shipped := listed()
	made, err := s.Set(ctx, "amy", Rule{Name: "mine", Kind: Alerts, By: []string{"site"}, Window: time.Minute, Least: 2})
	if err != nil {
		t.Fatal(err)
	}
	first := made.Version
	made.Least, made.Name = 3, "mine2"
	if made, err = s.Set(ctx, "bob", made); err != nil || made.Version == first || made.UpdatedBy != "bob" || made.Order != len(Shipped()) {
		t.Fatalf("changed: %+v, %v", made, err)
	}
	if err := s.Delete(ctx, "amy", made.ID); err != nil {
		t.Fatal(err)
	}
	if listed() != shipped {
		t.Errorf("deleted, there are %s, want %s", listed(), shipped)
	}
	if err := s.Delete(ctx, "amy", made.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("deleted twice: %v", err)
	}
	versions, err := s.Versions(ctx, made.ID)
	if err != nil || len(versions) != 3 || !versions[0].Deleted || versions[0].Name != "mine2" || versions[2].Least != 2 {
		t.Fatalf("versions: %+v, %v", versions, err)
	}
	if back, err := s.Restore(ctx, "amy", made.ID, first); err != nil || back.Name != "mine" || listed() != shipped+" minefalse" {
		t.Errorf("restored: %+v, %v: %s", back, err, listed())
	}
	if _, err := s.Restore(ctx, "amy", made.ID, 999); !errors.Is(err, ErrNotFound) {
		t.Errorf("a version that there is not: %v", err)
	}

	// What is shipped can be switched off and on, changed where it is data, and
	// be as it was shipped again; it cannot be deleted.
	off, err := s.Set(ctx, "amy", Rule{ID: "shipped-attack", Name: "other", Off: true})
	if err != nil || !off.Off || off.Name == "other" || off.Kind != Attack {
		t.Errorf("switched off: %+v, %v", off, err)
	}
	if err := s.Delete(ctx, "amy", "shipped-wave"); !errors.Is(err, ErrInvalid) {
		t.Errorf("a shipped rule was deleted: %v", err)
	}
	if back, err := s.Restore(ctx, "amy", "shipped-attack", 0); err != nil || back.Off {
		t.Errorf("as shipped: %+v, %v", back, err)
	}

	order := []string{made.ID, "shipped-attack", "shipped-fault", "shipped-alike", "shipped-wave"}
	if err := s.Reorder(ctx, "amy", order); err != nil {
		t.Fatal(err)
	}
	rules, err := s.List(ctx)
	if err != nil || len(rules) != len(order) || !slices.EqualFunc(rules, order, func(r Rule, id string) bool { return r.ID == id }) {
		t.Errorf("reordered: %v, %v", rules, err)
	}
	if err := s.Reorder(ctx, "amy", order[1:]); !errors.Is(err, ErrInvalid) {
		t.Errorf("an order without one of the rules: %v", err)
	}
}
