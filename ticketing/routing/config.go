package routing

import (
	"maps"
	"slices"
	"strconv"

	"github.com/prometheus/alertmanager/pkg/labels"
)

// Config is trees in force in the words of Alertmanager's configuration.
type Config struct {
	// Routes has one route for each tree, to stand one behind the other below a
	// root that takes every alert: an alert goes through each of them.
	Routes []map[string]any
	// Receivers are the names that the routes use. A route of several contact
	// points has one name for them all, with commas between.
	Receivers []string
	Intervals []Interval
}

// Scopes lists whose trees are in force, the city's ("") first.
func (s *Store) Scopes() []string { return slices.Sorted(maps.Keys(s.inForce())) }

// Config describes the trees in force of scopes ("" is the city's), for tools
// that read a configuration of Alertmanager. nobody names the receiver of routes
// that tell nobody. What Alertmanager has no word for,
// escalations and whether a route takes alerts without an incident, is left
// out, as are routes that are switched off.
func (s *Store) Config(scopes []string, nobody string) Config {
	e, out := &exporter{names: map[string]bool{}, joint: ",", nobody: nobody}, Config{}
	for _, scope := range scopes {
		c := s.inForce()[scope]
		if c == nil {
			continue
		}
		named := func(name string) string { return name }
		if scope != "" {
			named = func(name string) string { return scope + "/" + name } // each tree has names of its own
		}
		root := c.root.spelled(named)
		root.GroupWait, root.GroupInterval, root.RepeatInterval = short(c.root.wait), short(c.root.interval), short(c.root.again)
		root.GroupBy = c.root.groupedBy()
		if scope != "" {
			root.Matchers = []string{"tenant=" + strconv.Quote(scope)}
		}
		root.Continue, root.Nobody = true, len(c.root.receivers) == 0
		out.Routes = append(out.Routes, e.route(root, false))
		for _, i := range zoned(c.tree.Intervals) {
			i.Name = named(i.Name)
			out.Intervals = append(out.Intervals, i)
		}
	}
	out.Receivers = sortedKeys(e.names)
	return out
}

// spelled is a route with what the tree understands without saying so: matchers
// in their full form, and the tenant among what alerts are grouped by.
func (n *node) spelled(interval func(string) string) Route {
	r := *n.route
	r.Matchers = matcherTexts(n.matchers)
	if len(r.GroupBy) > 0 {
		r.GroupBy = n.groupedBy()
	}
	r.MuteTimes, r.ActiveTimes = each(r.MuteTimes, interval), each(r.ActiveTimes, interval)
	r.Routes = make([]Route, 0, len(n.children))
	for _, child := range n.children {
		r.Routes = append(r.Routes, child.spelled(interval))
	}
	return r
}

func (n *node) groupedBy() []string {
	if n.all || slices.Contains(n.groupBy, "tenant") {
		return n.groupBy
	}
	return append(slices.Clone(n.groupBy), "tenant")
}

func matcherTexts(ms labels.Matchers) []string {
	out := make([]string, 0, len(ms))
	for _, m := range ms {
		out = append(out, m.String())
	}
	return out
}

func each(names []string, f func(string) string) []string {
	out := make([]string, 0, len(names))
	for _, n := range names {
		out = append(out, f(n))
	}
	return out
}

// zoned is intervals whose time zone is named where it is left to our default:
// Alertmanager's is another.
func zoned(list []Interval) []Interval {
	out := slices.Clone(list)
	for i := range out {
		out[i].Times = slices.Clone(out[i].Times)
		for j := range out[i].Times {
			if out[i].Times[j].Location == "" {
				out[i].Times[j].Location = defaultLocation
			}
		}
	}
	return out
}
