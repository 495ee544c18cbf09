package routing

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"icewatch/test/peers"
)

func ids() func() string {
	n := 0
	return func() string { n++; return fmt.Sprint("r", n) }
}

// TestLikeAlertmanager holds trees made by chance to what Alertmanager's own
// amtool says of them: the same receivers, in order, for the same labels.
func TestLikeAlertmanager(t *testing.T) {
	t.Parallel()
	amtool := peers.Program(t, "amtool") // of prometheus-alertmanager
	random := rand.New(rand.NewPCG(9, 2026))
	values := []string{"a", "b", "c", ""}
	var grow func(depth int) (Route, map[string]any)
	grow = func(depth int) (Route, map[string]any) {
		r, am := Route{}, map[string]any{}
		name := fmt.Sprint("r", random.IntN(5))
		if random.IntN(3) > 0 {
			r.Receivers, am["receiver"] = []string{name}, name
		}
		for range random.IntN(3) {
			m := fmt.Sprintf("%s%s%q", []string{"x", "y", "z"}[random.IntN(3)], []string{"=", "!=", "=~", "!~"}[random.IntN(4)], values[random.IntN(4)])
			r.Matchers = append(r.Matchers, m)
			am["matchers"] = slices.Clone(r.Matchers)
		}
		if random.IntN(3) == 0 {
			r.Continue, am["continue"] = true, true
		}
		if depth > 0 {
			var children []map[string]any
			for range 1 + random.IntN(3) {
				child, theirs := grow(depth - 1)
				r.Routes, children = append(r.Routes, child), append(children, theirs)
			}
			am["routes"] = children
		}
		return r, am
	}
	file := filepath.Join(t.TempDir(), "am.yml")
	for range 20 {
		root, am := grow(3)
		root.Receivers, root.Matchers, root.Continue = []string{"r0"}, nil, false
		am["receiver"] = "r0"
		delete(am, "matchers")
		delete(am, "continue")
		var receivers []map[string]string
		for n := range 5 {
			receivers = append(receivers, map[string]string{"name": fmt.Sprint("r", n)})
		}
		text, err := yaml.Marshal(map[string]any{"route": am, "receivers": receivers})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		ours, err := compile(Tree{Root: root}, ids(), nil)
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		for range 4 {
			set, args := map[string]string{}, []string{"config", "routes", "test", "--config.file=" + file}
			for _, name := range []string{"x", "y", "z"} {
				if v := values[random.IntN(4)]; v != "" {
					set[name], args = v, append(args, name+"="+v)
				}
			}
			out, err := exec.CommandContext(t.Context(), amtool, args...).Output()
			if err != nil {
				t.Fatalf("amtool: %v in\n%s", err, text)
			}
			var got []string
			for _, n := range ours.root.match(set) {
				if !slices.Contains(got, n.receivers[0]) { // amtool names each once
					got = append(got, n.receivers[0])
				}
			}
			var want []string
			for name := range strings.SplitSeq(strings.TrimSpace(string(out)), ",") {
				if !slices.Contains(want, name) {
					want = append(want, name)
				}
			}
			if !slices.Equal(got, want) {
				t.Fatalf("for %v\n got %q\nwant %q\nin\n%s", set, got, want, text)
			}
		}
	}
}

func TestCompileErrors(t *testing.T) {
	t.Parallel()
	for want, tree := range map[string]Tree{
		"route root / night: \"...\" stands alone":                           {}, // replaced below
		"the root takes every alert":                                         {Root: Route{Matchers: []string{"a=b"}}},
		`the interval "n" is there twice`:                                    {Intervals: []Interval{{Name: "n"}, {Name: "n"}}},
		`interval "n": `:                                                     {Intervals: []Interval{{Name: "n", Times: []Span{{Weekdays: []string{"someday"}}}}}},
		`route root / night: matcher "a": `:                                  {Root: Route{Routes: []Route{{Name: "night", Matchers: []string{"a"}}}}},
		`route root / night: there is no interval "x"`:                       {Root: Route{Routes: []Route{{Name: "night", MuteTimes: []string{"x"}}}}},
		`route root: group_interval: "0s"`:                                   {Root: Route{GroupInterval: "0s"}},
		`route root: repeat_interval: "soon"`:                                {Root: Route{RepeatInterval: "soon"}},
		`route root: escalate_after and escalate_to belong together`:         {Root: Route{EscalateAfter: "5m"}},
		`route root / a: its id "r" is there twice`:                          {Root: Route{ID: "r", Routes: []Route{{ID: "r", Name: "a"}}}},
		`route root / night: there is no contact point "nobody" that it may`: {Root: Route{Routes: []Route{{Name: "night", Receivers: []string{"nobody"}}}}},
	} {
		if tree.Root.Name == "" && len(tree.Intervals) == 0 && strings.Contains(want, "stands alone") {
			tree.Root.Routes = []Route{{Name: "night", GroupBy: []string{"...", "a"}}}
			want = `route root / night: group_by: "..." stands alone`
		}
		_, err := compile(tree, ids(), func(name string) bool { return name != "nobody" })
		if !errors.Is(err, ErrInvalid) || !strings.HasPrefix(strings.TrimPrefix(err.Error(), "invalid routing: "), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestHeld(t *testing.T) {
	t.Parallel()
	c, err := compile(Tree{Intervals: []Interval{{Name: "office", Times: []Span{{Times: []Clock{{"09:00", "18:00"}}, Weekdays: []string{"monday:friday"}}}},
		{Name: "newyear", Times: []Span{{Months: []string{"1"}, DaysOfMonth: []string{"1:3"}}}}},
		Root: Route{Routes: []Route{{ID: "active", ActiveTimes: []string{"office", "newyear"}}, {ID: "mute", MuteTimes: []string{"office"}}}}}, ids(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[string]string{
		"2026-11-26T02:00:00Z": "office", // Thursday, ten in Shanghai
		"2026-11-26T10:00:00Z": "",       // six in the evening: the end is not in it
		"2026-11-28T02:00:00Z": "",       // Saturday
		"2027-01-02T20:00:00Z": "newyear",
	} {
		when, _ := time.Parse(time.RFC3339, at)
		_, inactive := c.held(c.byID["active"], when)
		by, muted := c.held(c.byID["mute"], when)
		if inactive != (want == "") || muted != (want == "office") || muted && by != "office" {
			t.Errorf("%s: inactive %v, muted %v by %q, want %q", at, inactive, muted, by, want)
		}
	}
}
