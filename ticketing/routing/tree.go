// Package routing says who is told of an alert, and when: a tree of routes with
// Alertmanager's semantics (matchers, continue, grouping, intervals of time)
// that is stored with all its versions, and the groups of alerts that wait to
// be told of, which stand in SQL so that a crash loses and doubles none.
// What a notification says and how it travels is not its matter.
// Source: https://prometheus.io/docs/alerting/latest/configuration/#route
package routing

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/alertmanager/timeinterval"
	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"

	"icewatch/ticketing/silence"
)

// The defaults of a root that says nothing; they are Alertmanager's, but for
// the grouping: by default a notification is of one incident.
const (
	DefaultGroupWait      = 30 * time.Second
	DefaultGroupInterval  = 5 * time.Minute
	DefaultRepeatInterval = 4 * time.Hour
)

// The bounds of a tree.
const (
	maxRoutes    = 1000
	maxDepth     = 10
	maxIntervals = 200
	groupByAll   = "..."
)

// defaultLocation is the time zone of intervals that name none.
const defaultLocation = "Asia/Shanghai"

// Tree is what is told to whom.
type Tree struct {
	Root      Route      `json:"root"`
	Intervals []Interval `json:"intervals" nullable:"false"`
}

// Route is one node. What it leaves empty it has from its parent: receivers,
// grouping and times, but neither matchers nor intervals.
type Route struct {
	ID             string   `json:"id,omitempty" maxLength:"40" doc:"Given by the suite; keep it where a route changes"`
	Name           string   `json:"name,omitempty" maxLength:"100"`
	Description    string   `json:"description,omitempty" maxLength:"1000"`
	Disabled       bool     `json:"disabled,omitempty" doc:"Passed over with all below it"`
	Matchers       []string `json:"matchers,omitempty" doc:"All have to accept an alert: severity=~\"critical|high\""`
	Receivers      []string `json:"receivers,omitempty" doc:"Contact points"`
	Nobody         bool     `json:"nobody,omitempty" doc:"Nobody is told of what it takes, nor of what those below it take that name no receivers"`
	Continue       bool     `json:"continue,omitempty" doc:"The routes behind it are asked as well"`
	GroupBy        []string `json:"group_by,omitempty" doc:"Labels; \"...\" for all: each alert by itself"`
	GroupWait      string   `json:"group_wait,omitempty" doc:"How long the first notification of a group waits: 30s"`
	GroupInterval  string   `json:"group_interval,omitempty" doc:"Least time between two notifications of changes"`
	RepeatInterval string   `json:"repeat_interval,omitempty" doc:"After which it is told again that alerts go on"`
	MuteTimes      []string `json:"mute_time_intervals,omitempty" doc:"Names of intervals in which nothing is sent"`
	ActiveTimes    []string `json:"active_time_intervals,omitempty" doc:"Names of intervals outside of which nothing is sent"`
	Direct         *bool    `json:"direct,omitempty" doc:"It takes alerts that belong to no incident too"`
	NoResolved     *bool    `json:"no_resolved,omitempty" doc:"The end of alerts is not told"`
	EscalateAfter  string   `json:"escalate_after,omitempty" doc:"Where nobody has acknowledged by then, escalate_to is told: 15m"`
	EscalateTo     []string `json:"escalate_to,omitempty" doc:"Contact points"`
	Routes         []Route  `json:"routes,omitempty"`
}

// Interval is a named set of times, in Alertmanager's form.
type Interval struct {
	Name  string `json:"name" yaml:"name" maxLength:"100"`
	Times []Span `json:"time_intervals" yaml:"time_intervals" nullable:"false"`
}

// Span is one of them: all that is given has to hold.
type Span struct {
	Times       []Clock  `json:"times,omitempty" yaml:"times,omitempty"`
	Weekdays    []string `json:"weekdays,omitempty" yaml:"weekdays,omitempty,flow" doc:"monday, or monday:friday"`
	DaysOfMonth []string `json:"days_of_month,omitempty" yaml:"days_of_month,omitempty,flow" doc:"1, 1:5, -3:-1"`
	Months      []string `json:"months,omitempty" yaml:"months,omitempty,flow" doc:"1:3, may:august"`
	Years       []string `json:"years,omitempty" yaml:"years,omitempty,flow" doc:"2026:2027"`
	Location    string   `json:"location,omitempty" yaml:"location,omitempty" doc:"Time zone; Asia/Shanghai by default"`
}

// Clock is a part of the day; its end is not in it.
type Clock struct {
	Start string `json:"start_time" yaml:"start_time" doc:"18:00"`
	End   string `json:"end_time" yaml:"end_time" doc:"24:00"`
}

// ErrInvalid says that a tree cannot work.
var ErrInvalid = errors.New("invalid routing")

// compiled is a tree that can be asked.
type compiled struct {
	tree      Tree
	root      *node
	byID      map[string]*node
	intervals map[string][]timeinterval.TimeInterval
	direct    bool // some route takes alerts without an incident
}

type node struct {
	route    *Route
	path     []string // names from the root
	matchers labels.Matchers
	children []*node

	receivers             []string
	groupBy               []string
	all                   bool
	wait, interval, again time.Duration
	direct, noResolved    bool
	escalate              time.Duration
}

// located says in which route something is wrong.
func located(path []string, format string, args ...any) error {
	return fmt.Errorf("%w: route %s: %w", ErrInvalid, strings.Join(path, " / "), fmt.Errorf(format, args...))
}

// compile checks a tree and makes it ready. Routes without an id get one of
// fresh. known tells whether there is a contact point of the name; nil does not
// ask.
func compile(t Tree, fresh func() string, known func(receiver string) bool) (*compiled, error) {
	c := &compiled{tree: t, byID: map[string]*node{}, intervals: map[string][]timeinterval.TimeInterval{}}
	if len(t.Intervals) > maxIntervals {
		return nil, fmt.Errorf("%w: %d intervals: at most %d", ErrInvalid, len(t.Intervals), maxIntervals)
	}
	for _, i := range t.Intervals {
		if i.Name == "" {
			return nil, fmt.Errorf("%w: an interval has no name", ErrInvalid)
		}
		if _, twice := c.intervals[i.Name]; twice {
			return nil, fmt.Errorf("%w: the interval %q is there twice", ErrInvalid, i.Name)
		}
		spans, err := i.compile()
		if err != nil {
			return nil, fmt.Errorf("%w: interval %q: %w", ErrInvalid, i.Name, err)
		}
		c.intervals[i.Name] = spans
	}
	if len(t.Root.Matchers) > 0 || t.Root.Continue || len(t.Root.MuteTimes) > 0 || len(t.Root.ActiveTimes) > 0 || t.Root.Disabled {
		return nil, fmt.Errorf("%w: the root takes every alert: it has no matchers, no intervals, no continue and is not switched off", ErrInvalid)
	}
	base := &node{groupBy: []string{"incident"}, wait: DefaultGroupWait, interval: DefaultGroupInterval, again: DefaultRepeatInterval}
	root, err := c.node(&c.tree.Root, base, nil, fresh, known)
	c.root = root
	return c, err
}

func (c *compiled) node(r *Route, parent *node, path []string, fresh func() string, known func(string) bool) (*node, error) {
	if r.ID == "" {
		r.ID = fresh()
	}
	n := &node{route: r, path: append(slices.Clone(path), cmp.Or(r.Name, map[bool]string{true: "root", false: r.ID}[len(path) == 0])),
		receivers: parent.receivers, groupBy: parent.groupBy, all: parent.all, wait: parent.wait, interval: parent.interval, again: parent.again,
		direct: parent.direct, noResolved: parent.noResolved}
	if _, twice := c.byID[r.ID]; twice {
		return nil, located(n.path, "its id %q is there twice", r.ID)
	}
	if len(n.path) > maxDepth || len(c.byID) == maxRoutes {
		return nil, located(n.path, "at most %d routes, %d deep", maxRoutes, maxDepth)
	}
	c.byID[r.ID] = n
	var err error
	if n.matchers, err = silence.ParseMatchers(r.Matchers); err != nil {
		return nil, located(n.path, "%w", err)
	}
	if r.Nobody && len(r.Receivers) > 0 {
		return nil, located(n.path, "it tells nobody, and names receivers: one of the two")
	}
	if r.Nobody || len(r.Receivers) > 0 {
		n.receivers = r.Receivers
	}
	if len(r.GroupBy) > 0 {
		n.groupBy, n.all = r.GroupBy, slices.Contains(r.GroupBy, groupByAll)
		if n.all && len(r.GroupBy) > 1 {
			return nil, located(n.path, "group_by: \"...\" stands alone")
		}
	}
	if r.Direct != nil {
		n.direct = *r.Direct
	}
	c.direct = c.direct || n.direct && !r.Disabled
	if r.NoResolved != nil {
		n.noResolved = *r.NoResolved
	}
	for _, d := range []struct {
		name, text string
		into       *time.Duration
		least      time.Duration
	}{{"group_wait", r.GroupWait, &n.wait, 0}, {"group_interval", r.GroupInterval, &n.interval, time.Second}, {"repeat_interval", r.RepeatInterval, &n.again, time.Minute}, {"escalate_after", r.EscalateAfter, &n.escalate, time.Second}} {
		if d.text == "" {
			continue
		}
		v, err := model.ParseDuration(d.text)
		if err != nil || time.Duration(v) < d.least {
			return nil, located(n.path, "%s: %q: want a duration such as 5m, at least %s", d.name, d.text, d.least)
		}
		*d.into = time.Duration(v)
	}
	if (n.escalate > 0) != (len(r.EscalateTo) > 0) {
		return nil, located(n.path, "escalate_after and escalate_to belong together")
	}
	for _, name := range slices.Concat(r.Receivers, r.EscalateTo) {
		if known != nil && !known(name) {
			return nil, located(n.path, "there is no contact point %q that it may use", name)
		}
	}
	for _, name := range slices.Concat(r.MuteTimes, r.ActiveTimes) {
		if _, ok := c.intervals[name]; !ok {
			return nil, located(n.path, "there is no interval %q", name)
		}
	}
	for i := range r.Routes {
		child, err := c.node(&r.Routes[i], n, n.path, fresh, known)
		if err != nil {
			return nil, err
		}
		n.children = append(n.children, child)
	}
	return n, nil
}

// compile makes Alertmanager's own intervals of ours, by their common form.
func (i Interval) compile() ([]timeinterval.TimeInterval, error) {
	var out []timeinterval.TimeInterval
	for _, s := range i.Times {
		if s.Location == "" {
			s.Location = defaultLocation
		}
		text, err := yaml.Marshal(s)
		if err != nil {
			return nil, err
		}
		var t timeinterval.TimeInterval
		if err := yaml.Unmarshal(text, &t); err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

// match returns the routes that take an alert, as Alertmanager finds them:
// depth first, the deepest that match; within one level the first, unless it
// goes on.
func (n *node) match(set map[string]string) []*node {
	if n.route.Disabled || !silence.Matches(n.matchers, set) {
		return nil
	}
	var all []*node
	for _, child := range n.children {
		found := child.match(set)
		all = append(all, found...)
		if len(found) > 0 && !child.route.Continue {
			break
		}
	}
	if len(all) == 0 {
		all = append(all, n)
	}
	return all
}

// labelsOf are what the node groups an alert by. The tenant is always among
// them: a group never mixes tenants.
func (n *node) labelsOf(set map[string]string) map[string]string {
	if n.all {
		return maps.Clone(set)
	}
	out := make(map[string]string, len(n.groupBy)+1)
	for _, name := range n.groupBy {
		if v := set[name]; v != "" {
			out[name] = v
		}
	}
	out["tenant"] = set["tenant"]
	return out
}

// held tells whether the node sends nothing at a time, and by which interval.
func (c *compiled) held(n *node, at time.Time) (by string, held bool) {
	for _, name := range n.route.MuteTimes {
		if contains(c.intervals[name], at) {
			return name, true
		}
	}
	if len(n.route.ActiveTimes) == 0 {
		return "", false
	}
	for _, name := range n.route.ActiveTimes {
		if contains(c.intervals[name], at) {
			return "", false
		}
	}
	return strings.Join(n.route.ActiveTimes, ", "), true
}

func contains(spans []timeinterval.TimeInterval, at time.Time) bool {
	return slices.ContainsFunc(spans, func(t timeinterval.TimeInterval) bool { return t.ContainsTime(at) })
}

// receiversOf lists every contact point that a tree names.
func (t Tree) receiversOf() []string {
	var out []string
	var walk func(r *Route)
	walk = func(r *Route) {
		out = append(out, r.Receivers...)
		out = append(out, r.EscalateTo...)
		for i := range r.Routes {
			walk(&r.Routes[i])
		}
	}
	walk(&t.Root)
	slices.Sort(out)
	return slices.Compact(out)
}
