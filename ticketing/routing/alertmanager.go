package routing

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Problem is what of an Alertmanager configuration was not taken over.
type Problem struct {
	Line   int    `json:"line"`
	What   string `json:"what"`
	Reason string `json:"reason"`
}

// Point is a contact point that a configuration describes. Its settings are
// those of the channel.
type Point struct {
	Name     string
	Kind     string
	Settings map[string]any
	Resolved bool
}

// Imported is what a configuration comes to.
type Imported struct {
	Tree     Tree
	Points   []Point
	Problems []Problem
}

type amRoute struct {
	Receiver       string            `yaml:"receiver,omitempty"`
	GroupBy        []string          `yaml:"group_by,omitempty,flow"`
	Match          map[string]string `yaml:"match,omitempty"`
	MatchRE        map[string]string `yaml:"match_re,omitempty"`
	Matchers       yaml.Node         `yaml:"matchers,omitempty"`
	MuteTimes      []string          `yaml:"mute_time_intervals,omitempty,flow"`
	ActiveTimes    []string          `yaml:"active_time_intervals,omitempty,flow"`
	Continue       bool              `yaml:"continue,omitempty"`
	GroupWait      string            `yaml:"group_wait,omitempty"`
	GroupInterval  string            `yaml:"group_interval,omitempty"`
	RepeatInterval string            `yaml:"repeat_interval,omitempty"`
	Routes         []amRoute         `yaml:"routes,omitempty"`
}

type amReceiver struct {
	Name    string               `yaml:"name"`
	Configs map[string]yaml.Node `yaml:",inline"`
}

type amConfig struct {
	Global        map[string]yaml.Node `yaml:"global"`
	Route         *amRoute             `yaml:"route"`
	Receivers     []amReceiver         `yaml:"receivers"`
	TimeIntervals []Interval           `yaml:"time_intervals"`
	MuteIntervals []Interval           `yaml:"mute_time_intervals"` // as it was called once
	InhibitRules  yaml.Node            `yaml:"inhibit_rules"`
	Templates     yaml.Node            `yaml:"templates"`
}

// maxConfig bounds a configuration, in bytes.
const maxConfig = 1 << 20

// FromAlertmanager reads the routes, receivers and intervals of an Alertmanager
// configuration. What does not map is a Problem with its line; a text that is
// no configuration is an error.
func FromAlertmanager(text []byte) (Imported, error) {
	if len(text) > maxConfig {
		return Imported{}, fmt.Errorf("%w: the configuration has %d bytes: at most %d", ErrInvalid, len(text), maxConfig)
	}
	var cfg amConfig
	if err := yaml.Unmarshal(text, &cfg); err != nil {
		return Imported{}, fmt.Errorf("%w: it is no YAML of an Alertmanager configuration: %w", ErrInvalid, err)
	}
	if cfg.Route == nil {
		return Imported{}, fmt.Errorf("%w: route: it is missing", ErrInvalid)
	}
	r := &importer{global: cfg.Global, points: map[string][]string{}}
	for _, each := range cfg.Receivers {
		r.receiver(each)
	}
	out := Imported{Tree: Tree{Intervals: slices.Concat(cfg.TimeIntervals, cfg.MuteIntervals)}}
	for i := range out.Tree.Intervals {
		for j := range out.Tree.Intervals[i].Times {
			if s := &out.Tree.Intervals[i].Times[j]; s.Location == "" {
				s.Location = "UTC" // Alertmanager's default
			}
		}
	}
	out.Tree.Root = r.route(*cfg.Route)
	if len(out.Tree.Root.GroupBy) == 0 {
		// Without group_by Alertmanager has one group; with us it would be one an incident.
		r.problem(0, "route.group_by", "it is empty: here a notification is of one incident unless group_by says otherwise")
	}
	for what, n := range map[string]yaml.Node{"inhibit_rules": cfg.InhibitRules, "templates": cfg.Templates} {
		if n.Kind != 0 && len(n.Content) > 0 {
			r.problem(n.Line, what, "it is not taken over: enter it on its own page")
		}
	}
	slices.SortFunc(r.problems, func(a, b Problem) int { return cmp.Or(a.Line-b.Line, strings.Compare(a.What, b.What)) })
	out.Points, out.Problems = r.made, r.problems
	return out, nil
}

type importer struct {
	global   map[string]yaml.Node
	points   map[string][]string // names of contact points, by receiver
	made     []Point
	problems []Problem
}

func (r *importer) problem(line int, what, format string, args ...any) {
	r.problems = append(r.problems, Problem{line, what, fmt.Sprintf(format, args...)})
}

var notInNames = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// receiver makes contact points of a receiver: one for each integration.
func (r *importer) receiver(a amReceiver) {
	base := strings.Trim(notInNames.ReplaceAllString(a.Name, "-"), "-._")
	if base == "" {
		base = "receiver-" + strconv.Itoa(len(r.points)+1)
	}
	if len(base) > 60 {
		base = base[:60]
	}
	names := []string{}
	for _, kind := range slices.Sorted(func(yield func(string) bool) {
		for k := range a.Configs {
			if !yield(k) {
				return
			}
		}
	}) {
		list := a.Configs[kind]
		for _, n := range list.Content {
			if list.Kind != yaml.SequenceNode {
				break
			}
			p, err := r.point(kind, n)
			if err != nil {
				r.problem(n.Line, "receiver "+a.Name, "%s: %s", kind, err)
				continue
			}
			p.Name = base
			if len(names) > 0 {
				p.Name = base + "-" + strconv.Itoa(len(names)+1)
			}
			names, r.made = append(names, p.Name), append(r.made, p)
		}
	}
	r.points[a.Name] = names
}

// option reads an option of an integration, or its global default.
func (r *importer) option(n *yaml.Node, name, global string) string {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i+1].Value
		}
	}
	if g, ok := r.global[global]; ok && global != "" {
		return g.Value
	}
	return ""
}

func (r *importer) point(kind string, n *yaml.Node) (Point, error) {
	get := func(name, global string) string { return r.option(n, name, global) }
	for _, file := range []string{"url_file", "auth_password_file", "api_secret_file", "http_config"} {
		if get(file, "") != "" || slices.ContainsFunc(n.Content, func(c *yaml.Node) bool { return c.Value == file }) {
			r.problem(n.Line, kind, "%s is not taken over: enter what it holds", file)
		}
	}
	p := Point{Resolved: get("send_resolved", "") != "false"}
	switch kind {
	case "webhook_configs":
		u := get("url", "")
		if _, err := url.ParseRequestURI(u); err != nil {
			return p, errors.New("url: it is missing or none")
		}
		p.Kind, p.Settings = "webhook", map[string]any{"url": u}
	case "email_configs":
		p.Resolved = get("send_resolved", "") == "true"
		host, port, ok := strings.Cut(get("smarthost", "smtp_smarthost"), ":")
		number, err := strconv.Atoi(port)
		if !ok || err != nil {
			return p, errors.New("smarthost: want HOST:PORT")
		}
		security := "starttls"
		if get("require_tls", "smtp_require_tls") == "false" {
			security = "none"
		}
		if number == 465 {
			security = "tls"
		}
		var to []string
		for each := range strings.SplitSeq(get("to", ""), ",") {
			if each = strings.TrimSpace(each); each != "" {
				to = append(to, each)
			}
		}
		p.Kind = "email"
		p.Settings = map[string]any{"host": host, "port": number, "security": security, "from": get("from", "smtp_from"), "to": to}
		if user := get("auth_username", "smtp_auth_username"); user != "" {
			p.Settings["username"], p.Settings["password"] = user, get("auth_password", "smtp_auth_password")
		}
	case "wechat_configs":
		agent, err := strconv.Atoi(get("agent_id", ""))
		if err != nil {
			return p, errors.New("agent_id: want a number")
		}
		p.Kind = "wecom_app"
		p.Settings = map[string]any{"corp_id": get("corp_id", "wechat_api_corp_id"), "agent_id": agent, "secret": get("api_secret", "wechat_api_secret"),
			"to_user": get("to_user", ""), "to_party": get("to_party", ""), "to_tag": get("to_tag", "")}
		p.Resolved = get("send_resolved", "") == "true"
	default:
		return p, errors.New("there is no such channel here")
	}
	return p, nil
}

func (r *importer) route(a amRoute) Route {
	out := Route{Name: a.Receiver, GroupBy: a.GroupBy, Continue: a.Continue, GroupWait: a.GroupWait, GroupInterval: a.GroupInterval, RepeatInterval: a.RepeatInterval,
		MuteTimes: a.MuteTimes, ActiveTimes: a.ActiveTimes}
	if a.Receiver != "" {
		points, known := r.points[a.Receiver]
		if !known {
			r.problem(a.Matchers.Line, "route", "there is no receiver %q", a.Receiver)
		}
		out.Receivers, out.Nobody = points, len(points) == 0
	}
	for _, each := range []struct {
		set  map[string]string
		sign string
	}{{a.Match, "="}, {a.MatchRE, "=~"}} {
		for _, name := range sorted(each.set) {
			out.Matchers = append(out.Matchers, name+each.sign+strconv.Quote(each.set[name]))
		}
	}
	for _, n := range a.Matchers.Content {
		out.Matchers = append(out.Matchers, strings.TrimSpace(n.Value))
	}
	if a.Matchers.Kind == yaml.ScalarNode && a.Matchers.Value != "" {
		out.Matchers = append(out.Matchers, a.Matchers.Value)
	}
	for _, child := range a.Routes {
		out.Routes = append(out.Routes, r.route(child))
	}
	return out
}

func sorted(set map[string]string) []string {
	out := make([]string, 0, len(set))
	for name := range set {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// ToAlertmanager writes a tree as Alertmanager's configuration: routes,
// intervals and the names of receivers, whose settings hold secrets and stay
// here. Problems say what Alertmanager has no words for.
func ToAlertmanager(t Tree) ([]byte, []Problem, error) {
	e := &exporter{names: map[string]bool{}, joint: "+", nobody: "nobody"}
	cfg := map[string]any{"route": e.route(t.Root, true)}
	receivers := []map[string]string{}
	for _, name := range sortedKeys(e.names) {
		receivers = append(receivers, map[string]string{"name": name})
	}
	cfg["receivers"] = receivers
	if len(t.Intervals) > 0 {
		cfg["time_intervals"] = zoned(t.Intervals)
	}
	text, err := yaml.Marshal(cfg)
	return text, e.problems, err
}

type exporter struct {
	names    map[string]bool
	problems []Problem
	joint    string // stands between the contact points of one route in its receiver's name
	nobody   string // receiver of routes that tell nobody: Alertmanager wants one
}

func sortedKeys(set map[string]bool) []string {
	out := make([]string, 0, len(set))
	for name := range set {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

func (e *exporter) route(r Route, root bool) map[string]any {
	out := map[string]any{}
	put := func(name string, value any, there bool) {
		if there {
			out[name] = value
		}
	}
	name := strings.Join(r.Receivers, e.joint)
	if r.Nobody || root && name == "" {
		name = e.nobody
	}
	if name != "" {
		out["receiver"], e.names[name] = name, true
	}
	by := r.GroupBy
	if root && len(by) == 0 {
		by = []string{"incident"}
	}
	put("matchers", r.Matchers, len(r.Matchers) > 0)
	put("group_by", by, len(by) > 0)
	put("group_wait", r.GroupWait, r.GroupWait != "")
	put("group_interval", r.GroupInterval, r.GroupInterval != "")
	put("repeat_interval", r.RepeatInterval, r.RepeatInterval != "")
	put("continue", true, r.Continue)
	put("mute_time_intervals", r.MuteTimes, len(r.MuteTimes) > 0)
	put("active_time_intervals", r.ActiveTimes, len(r.ActiveTimes) > 0)
	for _, own := range []struct {
		what  string
		there bool
	}{{"direct", r.Direct != nil}, {"no_resolved", r.NoResolved != nil}, {"escalate_after", r.EscalateAfter != ""}} {
		if own.there {
			e.problems = append(e.problems, Problem{What: "route " + cmp.Or(r.Name, r.ID), Reason: own.what + " has no word in Alertmanager"})
		}
	}
	var children []map[string]any
	for _, child := range r.Routes {
		if child.Disabled {
			e.problems = append(e.problems, Problem{What: "route " + cmp.Or(child.Name, child.ID), Reason: "it is switched off and left out"})
			continue
		}
		children = append(children, e.route(child, false))
	}
	put("routes", children, len(children) > 0)
	return out
}
