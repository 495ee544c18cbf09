package policy

import (
	"cmp"
	"encoding/binary"
	"hash/maphash"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
)

// leaf is one value of an alert as policies see it, at the path that its JSON
// has. get answers nil where the JSON leaves the value out.
type leaf struct {
	group, name string // input.GROUP.NAME, or input.NAME where group is empty
	get         func(a *Alert) any
}

// leaves are all values of an alert but its fields.
var leaves = []leaf{
	{"", "id", func(a *Alert) any { return text(a.ID) }},
	{"", "tenant", func(a *Alert) any { return a.Tenant }},
	{"rule", "id", func(a *Alert) any { return a.Rule.ID }},
	{"rule", "level", func(a *Alert) any { return string(a.Rule.Level) }},
	{"rule", "kind", func(a *Alert) any { return a.Rule.Kind }},
	{"rule", "tactics", func(a *Alert) any { return a.Rule.Tactics }},
	{"rule", "techniques", func(a *Alert) any { return a.Rule.Techniques }},
	{"rule", "tags", func(a *Alert) any { return a.Rule.Tags }},
	{"item", "id", func(a *Alert) any { return text(a.Item.ID) }},
	{"item", "name", func(a *Alert) any { return text(a.Item.Name) }},
	{"item", "class", func(a *Alert) any { return text(a.Item.Class) }},
	{"item", "criticality", func(a *Alert) any { return a.Item.Criticality }},
	{"item", "system", func(a *Alert) any { return text(a.Item.System) }},
	{"item", "zone", func(a *Alert) any { return a.Item.Zone }},
	{"item", "labels", func(a *Alert) any { return a.Item.Labels }},
	{"actor", "ip", func(a *Alert) any { return text(a.Actor.IP) }},
	{"actor", "user", func(a *Alert) any { return text(a.Actor.User) }},
	{"actor", "item", func(a *Alert) any { return text(a.Actor.Item) }},
	{"actor", "internal", func(a *Alert) any { return a.Actor.Internal }},
	{"actor", "labels", func(a *Alert) any { return a.Actor.Labels }},
	{"", "verdict", func(a *Alert) any { return a.Verdict }},
	{"", "phase", func(a *Alert) any { return a.Phase }},
	{"", "direction", func(a *Alert) any { return a.Direction }},
	{"intelligence", "indicator", func(a *Alert) any { return a.Intelligence.Indicator }},
	{"intelligence", "type", func(a *Alert) any { return a.Intelligence.Type }},
	{"intelligence", "confidence", func(a *Alert) any { return a.Intelligence.Confidence }},
	{"intelligence", "provider", func(a *Alert) any { return a.Intelligence.Provider }},
	{"", "maintenance", func(a *Alert) any { return a.Maintenance }},
	{"", "priority", func(a *Alert) any { return text(a.Priority) }},
	{"", "status", func(a *Alert) any { return text(a.Status) }},
	{"", "first", func(a *Alert) any { return a.First }},
	{"", "last", func(a *Alert) any { return a.Last }},
	{"", "count", func(a *Alert) any { return a.Count }},
}

// text is a text that JSON leaves out where it is empty.
func text(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// allFields is the leaf of an alert's fields as a whole.
var allFields = leaf{"", "fields", func(a *Alert) any {
	if a.Fields == nil {
		return map[string]string{}
	}
	return a.Fields
}}

// oneField is the leaf of the field of that name alone.
func oneField(name string) leaf {
	return leaf{"fields", name, func(a *Alert) any {
		if v, ok := a.Fields[name]; ok {
			return v
		}
		return nil
	}}
}

// shape is which values of an alert a policy is given: for the priority policy
// those that it reads, since that is what an answer may be kept by.
type shape struct {
	groups []shapeGroup // the one without a name comes first
}

type shapeGroup struct {
	key    *ast.Term // nil for values at the top
	leaves []shapeLeaf
}

type shapeLeaf struct {
	key *ast.Term
	get func(a *Alert) any
}

func newShape(list []leaf) *shape {
	s := &shape{groups: []shapeGroup{{}}}
	at := map[string]int{"": 0}
	for _, l := range list {
		i, there := at[l.group]
		if !there {
			i = len(s.groups)
			at[l.group] = i
			s.groups = append(s.groups, shapeGroup{key: ast.StringTerm(l.group)})
		}
		s.groups[i].leaves = append(s.groups[i].leaves, shapeLeaf{ast.StringTerm(l.name), l.get})
	}
	return s
}

var (
	wholeShape = newShape(append(slices.Clone(leaves), allFields))
	factsShape = newShape(leaves)
)

// term makes the value that Rego sees. The alert must be normal.
func (s *shape) term(a *Alert) *ast.Term {
	top := make([][2]*ast.Term, 0, len(s.groups[0].leaves)+len(s.groups))
	for i := range s.groups {
		g := &s.groups[i]
		if g.key == nil {
			top = g.put(top, a)
			continue
		}
		if s == factsShape && a.frozen != nil {
			top = append(top, [2]*ast.Term{g.key, a.frozen.groups[i]})
			continue
		}
		if pairs := g.put(make([][2]*ast.Term, 0, len(g.leaves)), a); len(pairs) > 0 || g.key.Value != ast.String("fields") {
			top = append(top, [2]*ast.Term{g.key, ast.ObjectTerm(pairs...)})
		}
	}
	return ast.ObjectTerm(top...)
}

func (g *shapeGroup) put(pairs [][2]*ast.Term, a *Alert) [][2]*ast.Term {
	for i := range g.leaves {
		if v := g.leaves[i].get(a); v != nil {
			pairs = append(pairs, [2]*ast.Term{g.leaves[i].key, termOf(v)})
		}
	}
	return pairs
}

func termOf(v any) *ast.Term {
	switch v := v.(type) {
	case time.Time:
		return ast.StringTerm(v.Format(time.RFC3339Nano))
	case []string:
		list := make([]*ast.Term, len(v))
		for i, s := range v {
			list[i] = ast.InternedTerm(s)
		}
		return ast.ArrayTerm(list...)
	case string:
		return ast.InternedTerm(v)
	case int:
		return ast.InternedTerm(v)
	case bool:
		return ast.InternedTerm(v)
	case []Window:
		if len(v) == 0 {
			return ast.InternedEmptyArray
		}
	}
	// Of the types of leaves only plain ones are left: they always convert.
	return ast.NewTerm(ast.MustInterfaceToValue(v))
}

// key appends to buf what tells the alert's values of this shape from others'.
func (s *shape) key(buf []byte, a *Alert) []byte {
	put := func(v string) { buf = append(binary.AppendUvarint(buf, uint64(len(v))), v...) }
	for i := range s.groups {
		for _, l := range s.groups[i].leaves {
			switch v := l.get(a).(type) {
			case nil:
				buf = append(buf, 0)
			case string:
				buf = append(buf, 1)
				put(v)
			case int:
				buf = binary.AppendVarint(append(buf, 2), int64(v))
			case bool:
				buf = append(buf, 3)
				if v {
					buf[len(buf)-1] = 4
				}
			case time.Time:
				buf = binary.AppendVarint(append(buf, 5), v.UnixNano())
			case []string:
				buf = binary.AppendUvarint(append(buf, 6), uint64(len(v)))
				for _, e := range v {
					put(e)
				}
			case []Window:
				buf = binary.AppendUvarint(append(buf, 7), uint64(len(v)))
				for _, w := range v {
					put(w.ID)
					put(w.Name)
					buf = binary.AppendVarint(buf, w.Until.UnixNano())
				}
			default:
				buf = append(buf, 8)
				put(termOf(v).Value.String())
			}
		}
	}
	return buf
}

// Freeze prepares the alert for many questions: as related to others its rule,
// item, actor and intelligence are brought into Rego's form once. These must not
// change any more; copies of the alert share the form.
func (a *Alert) Freeze() {
	if a.frozen != nil {
		return
	}
	*a = a.normal()
	groups := make([]*ast.Term, len(factsShape.groups))
	for i := range factsShape.groups {
		if g := &factsShape.groups[i]; g.key != nil {
			groups[i] = ast.ObjectTerm(g.put(nil, a)...)
		}
	}
	a.frozen = &frozen{groups: groups}
}

// frozen is what Freeze prepares. It is shared by copies of an alert, and
// remembers the last form of the whole, which most questions need again.
type frozen struct {
	groups []*ast.Term // by factsShape.groups
	last   atomic.Pointer[seen]
}

// seen is an alert with its form.
type seen struct {
	alert Alert
	term  *ast.Term
}

// facts is the alert's form as related to another.
func (a *Alert) facts() *ast.Term {
	if a.frozen == nil {
		n := a.normal()
		return factsShape.term(&n)
	}
	l := a.frozen.last.Load()
	if l != nil && l.alert.ID == a.ID && l.alert.Tenant == a.Tenant && l.alert.Verdict == a.Verdict && l.alert.Phase == a.Phase && l.alert.Direction == a.Direction &&
		l.alert.Priority == a.Priority && l.alert.Status == a.Status && l.alert.Count == a.Count && l.alert.First.Equal(a.First) && l.alert.Last.Equal(a.Last) &&
		slices.Equal(l.alert.Maintenance, a.Maintenance) {
		return l.term
	}
	n := a.normal()
	t := factsShape.term(&n)
	a.frozen.last.Store(&seen{n, t})
	return t
}

// Thawed is the alert without what Freeze has prepared, to be changed or compared.
func (a Alert) Thawed() Alert {
	a.frozen = nil
	return a
}

// normal fills what Rego must never see as null.
func (a Alert) normal() Alert {
	for _, list := range []*[]string{&a.Rule.Tactics, &a.Rule.Techniques, &a.Rule.Tags, &a.Item.Labels, &a.Actor.Labels} {
		if *list == nil {
			*list = []string{}
		}
	}
	if a.Maintenance == nil {
		a.Maintenance = []Window{}
	}
	return a
}

// story is what alerts show together, those that are closed left out: their
// tactics, techniques and tags, each once and sorted, and how many rules and
// how many actors' addresses there are. beside are the levels of the related
// ones that are about the alert's own item, of another rule, and whose actor
// carries no label.
type story struct {
	tactics, techniques, tags []string
	beside                    []string
	rules, actors             int
}

// storySeed is of the hashes that rules and addresses are counted by.
var storySeed = maphash.MakeSeed()

func storyOf(in *IncidentInput) story {
	var s story
	var roomOfRules, roomOfActors [48]uint64
	rules, actors := roomOfRules[:0], roomOfActors[:0]
	different := func(list []uint64, v string) []uint64 {
		if v == "" {
			return list
		}
		if h := maphash.String(storySeed, v); !slices.Contains(list, h) {
			list = append(list, h)
		}
		return list
	}
	union := func(list []string, more ...string) []string {
		for _, v := range more {
			if v != "" && !slices.Contains(list, v) {
				list = append(list, v)
			}
		}
		return list
	}
	take := func(a *Alert) {
		s.tactics, s.techniques, s.tags = union(s.tactics, a.Rule.Tactics...), union(s.techniques, a.Rule.Techniques...), union(s.tags, a.Rule.Tags...)
		rules, actors = different(rules, a.Rule.ID), different(actors, a.Actor.IP)
	}
	take(&in.Alert)
	for _, r := range in.Related {
		if r.Status != "closed" {
			take(r)
			if a := &in.Alert; r.Rule.ID != a.Rule.ID && len(r.Actor.Labels) == 0 && r.Item.ID == a.Item.ID && (a.Item.ID != "" || a.Item.Name != "" && r.Item.Name == a.Item.Name) {
				s.beside = union(s.beside, string(r.Rule.Level))
			}
		}
	}
	for _, list := range [][]string{s.tactics, s.techniques, s.tags, s.beside} {
		slices.Sort(list)
	}
	s.rules, s.actors = len(rules), len(actors)
	return s
}

var (
	keyAlert, keyRelated, keyStory    = ast.StringTerm("alert"), ast.StringTerm("related"), ast.StringTerm("story")
	keyTactics, keyTechniques, keyTag = ast.StringTerm("tactics"), ast.StringTerm("techniques"), ast.StringTerm("tags")
	keyRules, keyActors, keyBeside    = ast.StringTerm("rules"), ast.StringTerm("actors"), ast.StringTerm("beside")
)

// term makes the value that the incident policy sees, of the normal alert and the
// story of all.
func (in *IncidentInput) term(a *Alert, s *story) *ast.Term {
	related := make([]*ast.Term, len(in.Related))
	for i, r := range in.Related {
		related[i] = r.facts()
	}
	return ast.ObjectTerm(
		[2]*ast.Term{keyAlert, wholeShape.term(a)},
		[2]*ast.Term{keyRelated, ast.ArrayTerm(related...)},
		[2]*ast.Term{keyStory, ast.ObjectTerm(
			[2]*ast.Term{keyTactics, termOf(s.tactics)}, [2]*ast.Term{keyTechniques, termOf(s.techniques)}, [2]*ast.Term{keyTag, termOf(s.tags)},
			[2]*ast.Term{keyRules, ast.InternedTerm(s.rules)}, [2]*ast.Term{keyActors, ast.InternedTerm(s.actors)}, [2]*ast.Term{keyBeside, termOf(s.beside)})},
	)
}

// reads finds, in the rules that an answer depends on, which values of an alert
// they read, and whether they ask for nothing but the input and so always
// answer the same, or for something like the time besides.
func reads(c *ast.Compiler, answer ast.Ref) (list []leaf, pure bool) {
	var whole bool
	pure = true
	tops, pairs, fields := map[string]bool{}, map[[2]string]bool{}, map[string]bool{}
	for _, rule := range reachable(c, answer) {
		ast.WalkRefs(rule, func(r ast.Ref) bool {
			if b := ast.BuiltinMap[r.String()]; b != nil && b.Nondeterministic {
				pure = false
			}
			if !r.HasPrefix(ast.InputRootRef) {
				return false
			}
			switch path := names(r[1:]); {
			case len(path) == 0:
				whole = true
			case len(path) == 1:
				tops[path[0]] = true
			case path[0] == allFields.name:
				fields[path[1]] = true
			default:
				pairs[[2]string{path[0], path[1]}] = true
				pairs[[2]string{"", path[0]}] = true // a value at the top may be an object
			}
			return false
		})
	}
	for _, l := range append(slices.Clone(leaves), allFields) {
		if whole || tops[cmp.Or(l.group, l.name)] || pairs[[2]string{l.group, l.name}] {
			list = append(list, l)
		}
	}
	if !whole && !tops[allFields.name] {
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			list = append(list, oneField(name))
		}
	}
	return list, pure
}

// names are the texts that a path begins with, up to the first element that is
// known only when the policy runs.
func names(r ast.Ref) []string {
	var out []string
	for _, t := range r {
		s, ok := t.Value.(ast.String)
		if !ok {
			break
		}
		out = append(out, string(s))
	}
	return out
}

// reachable are the rules that an answer depends on.
func reachable(c *ast.Compiler, answer ast.Ref) []*ast.Rule {
	open := c.GetRulesExact(answer)
	seen := map[*ast.Rule]bool{}
	for n := 0; n < len(open); n++ {
		rule := open[n]
		if seen[rule] {
			continue
		}
		seen[rule] = true
		for to := range c.Graph.Dependencies(rule) {
			if r, ok := to.(*ast.Rule); ok && !seen[r] {
				open = append(open, r)
			}
		}
	}
	return slices.Collect(maps.Keys(seen))
}
