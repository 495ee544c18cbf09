package ruletest

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"icewatch/detections/ruleset"
	"icewatch/soc/event"
)

// Near tells of a rule which of its negative cases differs from a positive one
// in one field, and in which.
type Near struct {
	Rule     *ruleset.Rule
	File     string
	Positive string // names of the cases
	Negative string
	Field    string // what differs; "" where no pair is that close
}

// Nearest finds for each rule that raises alerts a pair of cases, one in which
// it fires and one in which it does not, that differ in one field after parsing.
// What a parser or enrichment derives from that field differs with it and does
// not count. For what takes several events it may also be how often one step
// comes, when, whether it comes at all, or the order.
func (r *Runner) Nearest(files []Named) []Near {
	found := map[string]*Near{}
	for _, f := range files {
		tests := r.expectations(f.File)
		seen := map[int][]observed{}
		for _, yes := range tests {
			if yes.want == 0 || found[yes.rule] != nil {
				continue
			}
			for _, no := range tests {
				if no.rule != yes.rule || no.want != 0 {
					continue
				}
				p, n := &f.Cases[yes.at], &f.Cases[no.at]
				field, ok := sameBut(f.File, p, n)
				if !ok {
					for _, at := range []int{yes.at, no.at} {
						if _, had := seen[at]; !had {
							seen[at] = r.observe(f.File, &f.Cases[at])
						}
					}
					field, ok = oneField(seen[yes.at], seen[no.at])
					ok = ok && len(p.Items) == len(n.Items) && reflect.DeepEqual(p.Items, n.Items) && p.At == n.At
				}
				if ok {
					found[yes.rule] = &Near{File: f.Name, Positive: p.Name, Negative: n.Name, Field: field}
					break
				}
			}
		}
	}
	var out []Near
	for _, list := range [][]*ruleset.Rule{r.set.Detections(), r.set.Correlations()} {
		for _, rule := range list {
			if rule.Silent {
				continue
			}
			near := Near{Rule: rule}
			if had := found[rule.ID]; had != nil {
				near = *had
				near.Rule = rule
			}
			out = append(out, near)
		}
	}
	return out
}

// observed is an event as rules see it, and when it comes after the first.
type observed struct {
	after  int64
	line   string
	fields map[string]string
}

// observe plays a case's events without rules; nil where they cannot be read.
func (r *Runner) observe(f *File, c *Case) []observed {
	begin := int64(0)
	out := []observed{}
	err := r.events(f, c, func(m moment, ev *event.Event) {
		if begin == 0 {
			begin = m.at.UnixNano()
		}
		o := observed{after: m.at.UnixNano() - begin, line: m.step.Line, fields: map[string]string{}}
		if ev != nil {
			for _, fd := range ev.Fields {
				name := r.reg.Name(fd.ID)
				o.fields[name] += fmt.Sprintf("%d:%s\x00", fd.Kind, fd.Value)
			}
		}
		out = append(out, o)
	})
	if err != nil {
		return nil
	}
	return out
}

// sameBut compares cases as they are written: whether one thing differs that
// is no field of an event.
func sameBut(f *File, p, n *Case) (what string, ok bool) {
	sameSet := reflect.DeepEqual(p.Set, n.Set)
	sameSteps := reflect.DeepEqual(p.Steps, n.Steps)
	switch {
	case !sameSet:
		return "", false
	case sameSteps && p.At != n.At && reflect.DeepEqual(p.Items, n.Items):
		return "at", true
	case sameSteps && p.At == n.At:
		return oneItem(p.Items, n.Items)
	case p.At != n.At || !reflect.DeepEqual(p.Items, n.Items):
		return "", false
	}
	if len(p.Steps) == len(n.Steps) {
		differ := []string{}
		for i := range p.Steps {
			a, b := p.Steps[i], n.Steps[i]
			if a.Line != b.Line || !reflect.DeepEqual(a.Event, b.Event) || !reflect.DeepEqual(a.Set, b.Set) {
				differ = append(differ, "content")
			}
			if a.Repeat != b.Repeat {
				differ = append(differ, fmt.Sprintf("repeat of step %d", i+1))
			}
			if max(a.Repeat, b.Repeat) > 1 && a.Every != b.Every {
				differ = append(differ, fmt.Sprintf("every of step %d", i+1))
			}
			if !reflect.DeepEqual(a.After, b.After) {
				differ = append(differ, fmt.Sprintf("after of step %d", i+1))
			}
		}
		if len(differ) == 1 && differ[0] != "content" {
			return differ[0], true
		}
		if permuted(p.Steps, n.Steps) {
			return "order of the steps", true
		}
		return "", false
	}
	long, short := p.Steps, n.Steps
	if len(long) < len(short) {
		long, short = short, long
	}
	if len(long)-len(short) != 1 {
		return "", false
	}
	for i := range long {
		if equalContent(slices.Delete(slices.Clone(long), i, i+1), short) {
			return fmt.Sprintf("step %d", i+1), true
		}
	}
	return "", false
}

func equalContent(a, b []Step) bool {
	return slices.EqualFunc(a, b, func(x, y Step) bool {
		return x.Line == y.Line && x.Repeat == y.Repeat && reflect.DeepEqual(x.Event, y.Event) && reflect.DeepEqual(x.Set, y.Set)
	})
}

func permuted(a, b []Step) bool {
	key := func(list []Step) []string {
		var out []string
		for _, s := range list {
			out = append(out, fmt.Sprint(s.Line, s.Event, s.Set, s.Repeat))
		}
		slices.Sort(out)
		return out
	}
	return len(a) > 1 && slices.Equal(key(a), key(b)) && !equalContent(a, b)
}

// oneItem tells whether lists of items differ in one attribute of one item, or
// in one item.
func oneItem(p, n []Item) (string, bool) {
	if d := len(p) - len(n); d == 1 || d == -1 {
		long, short := p, n
		if d < 0 {
			long, short = n, p
		}
		for i := range long {
			if reflect.DeepEqual(slices.Delete(slices.Clone(long), i, i+1), slices.Clone(short)) || len(long) == 1 {
				return "item " + long[i].Name, true
			}
		}
		return "", false
	}
	if len(p) != len(n) {
		return "", false
	}
	var differ []string
	for i := range p {
		a, b := reflect.ValueOf(p[i]), reflect.ValueOf(n[i])
		for k := range a.NumField() {
			if !reflect.DeepEqual(a.Field(k).Interface(), b.Field(k).Interface()) {
				differ = append(differ, "item "+p[i].Name+" "+strings.ToLower(a.Type().Field(k).Name))
			}
		}
	}
	if len(differ) == 1 {
		return differ[0], true
	}
	return "", false
}

// oneField tells whether events differ in one field, the same in all of them.
func oneField(p, n []observed) (string, bool) {
	if len(p) != len(n) || len(p) == 0 {
		return "", false
	}
	differ := map[string]bool{}
	token := true
	for i := range p {
		a, b := p[i], n[i]
		if a.after != b.after {
			return "", false
		}
		before := len(differ)
		for name := range a.fields {
			if other, there := b.fields[name]; !there || other != a.fields[name] {
				differ[name] = true
			}
		}
		for name := range b.fields {
			if _, there := a.fields[name]; !there {
				differ[name] = true
			}
		}
		if len(differ) > before && (a.line == "" || b.line == "" || !oneToken(a.line, b.line)) {
			token = false
		}
	}
	for name := range differ {
		if derived(name, differ) {
			delete(differ, name)
		}
	}
	names := slices.Sorted(maps.Keys(differ))
	if len(names) == 1 || len(names) > 0 && token {
		return strings.Join(names, ", "), true
	}
	return "", false
}

// origins are fields from which parsers and enrichment derive others: what
// begins so differs because they do.
var origins = map[string][]string{
	"source.ip":                 {"source.", "client.", "icewatch.source.", "related."},
	"destination.ip":            {"destination.", "server.", "icewatch.destination.", "related."},
	"user.name":                 {"user.", "related.", "icewatch.user."},
	"host.name":                 {"host.", "icewatch.ci.", "related."},
	"http.response.status_code": {"event.outcome"},
	"event.code":                {"event.", "winlog.", "EventID"},
	"event.action":              {"event.outcome", "event.type", "event.category", "event.kind"},
	"winlog.event_id":           {"event.", "winlog.", "EventID"},
	"process.command_line":      {"process.args", "process.name", "process.executable"},
	"process.executable":        {"process.name"},
	"file.path":                 {"file."},
	"dns.question.name":         {"dns.question."},
}

// derived tells whether a field differs because another does.
func derived(name string, differ map[string]bool) bool {
	if name == "message" || name == "event.original" || name == "log.original" {
		return len(differ) > 1
	}
	if i := strings.IndexByte(name, '.'); i > 0 {
		if original := name[:i] + ".original"; original != name && differ[original] {
			return true
		}
	}
	for origin, list := range origins {
		if origin == name || !differ[origin] {
			continue
		}
		for _, prefix := range list {
			if strings.HasPrefix(name, prefix) {
				return true
			}
		}
	}
	return false
}

// oneToken tells whether lines differ in one word, value or quoted text.
func oneToken(a, b string) bool {
	start := 0
	for start < len(a) && start < len(b) && a[start] == b[start] {
		start++
	}
	end := 0
	for end < len(a)-start && end < len(b)-start && a[len(a)-1-end] == b[len(b)-1-end] {
		end++
	}
	const bounds = " \t\"'|;,<>{}[]"
	return !strings.ContainsAny(a[start:len(a)-end], bounds) && !strings.ContainsAny(b[start:len(b)-end], bounds)
}
