package suppression

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"

	"icewatch/detections"
	"icewatch/detections/match"
	"icewatch/detections/sigma"
	"icewatch/soc/event"
)

// Set is suppressions, compiled. It never changes and is safe for concurrent use.
//
// An occurrence is first looked up by its rule: what no suppression names costs
// two look-ups in maps, however many suppressions there are. The conditions of all
// suppressions of a rule are one program of detections/match.
type Set struct {
	list   []compiled // by id
	byRule map[string]*bundle
	any    *bundle // those of any rule; nil where there is none
}

type compiled struct {
	Suppression
	tenants, items, classes, systems map[string]bool
	fields                           []string // that its condition looks at
	looks                            []string // fields, and those that tell of asset and tenant where it is tied to such
}

// bundle is the suppressions of one rule.
type bundle struct {
	plain   []int32  // without a condition, indexes of the list
	rules   []int32  // of the program's rules
	looks   []string // what tells firings apart, in order; with what those of any rule look at
	fields  []string // of the conditions
	ids     []event.FieldID
	program *match.Program
	workers sync.Pool
}

type worker struct {
	m  *match.Matcher
	ev event.Event
}

// ofAsset are the fields by which it is known what an occurrence is about, and
// ofFacts those from which attacker and victim are read.
var (
	ofAsset = []string{"host.name", "icewatch.ci.id", "icewatch.destination.ci.id", "icewatch.source.ci.id", "destination.ip", "source.ip"}
	ofFacts = append([]string{"event.action", "event.outcome", "user.name", "user.target.name"}, ofAsset...)
)

// Compile makes a set. What is wrong with a suppression is a fault, and the
// suppression is left out: it suppresses nothing, and so nothing is hidden by a
// mistake. Suppressions that are disabled are left out without one.
func Compile(list []Suppression) (*Set, []Fault) {
	set := &Set{byRule: map[string]*bundle{}}
	var faults []Fault
	list = slices.SortedFunc(slices.Values(list), func(a, b Suppression) int { return strings.Compare(a.ID, b.ID) })
	var searches []*sigma.Detection
	for i := range list {
		s := &list[i]
		if s.Disabled {
			continue
		}
		fail := func(format string, args ...any) {
			faults = append(faults, Fault{ID: s.ID, Reason: fmt.Sprintf(format, args...)})
		}
		if err := s.checkForm(); err != nil {
			fail("%s", err)
			continue
		}
		if n := len(set.list); n > 0 && set.list[n-1].ID == s.ID {
			fail("its id is there twice")
			continue
		}
		if len(set.list) >= MaxActive {
			fail("there are more than %d suppressions", MaxActive)
			continue
		}
		var search *sigma.Detection
		c := compiled{Suppression: *s, tenants: index(s.Tenants), items: index(s.Assets.Items), classes: index(s.Assets.Classes), systems: index(s.Assets.Systems)}
		if len(s.Detection) > 0 {
			var err error
			if search, err = s.search(); err != nil {
				fail("detection: %s", err)
				continue
			}
			c.fields = search.Names()
			if slices.Contains(c.fields, "") {
				fail("detection: a search in all values: name the field that has to hold the value")
				continue
			}
			probe := &sigma.Rule{ID: s.ID, Detection: search}
			if _, errs := match.Compile([]*sigma.Rule{probe}, event.NewRegistry(0), nil); errs[0] != nil {
				fail("detection: %s", errs[0])
				continue
			}
		}
		c.looks = slices.DeleteFunc(slices.Clone(c.fields), func(name string) bool {
			return name == "alert.rule.id" || name == "alert.rule.level" || name == "alert.rule.kind"
		})
		if !s.Assets.Empty() {
			c.looks = append(c.looks, ofAsset...)
		}
		if len(s.Tenants) > 0 {
			c.looks = append(c.looks, "icewatch.ci.tenant")
		}
		if slices.ContainsFunc(c.fields, func(name string) bool { return strings.HasPrefix(name, "alert.") }) {
			c.looks = append(c.looks, ofFacts...)
		}
		set.list, searches = append(set.list, c), append(searches, search)
	}
	parts := map[string][]int32{}
	for i := range set.list {
		for _, rule := range set.list[i].Rules {
			parts[rule] = append(parts[rule], int32(i))
		}
		if len(set.list[i].Rules) == 0 {
			parts[""] = append(parts[""], int32(i))
		}
	}
	for rule, which := range parts {
		b := newBundle(set.list, searches, which)
		for _, list := range [][]int32{which, parts[""]} {
			for _, i := range list {
				b.looks = append(b.looks, set.list[i].looks...)
			}
		}
		slices.Sort(b.looks)
		b.looks = slices.Compact(b.looks)
		if rule == "" {
			set.any = b
		} else {
			set.byRule[rule] = b
		}
	}
	return set, faults
}

func newBundle(list []compiled, searches []*sigma.Detection, which []int32) *bundle {
	b := &bundle{}
	reg := event.NewRegistry(0)
	var rules []*sigma.Rule
	for _, i := range which {
		if searches[i] == nil {
			b.plain = append(b.plain, i)
			continue
		}
		b.rules = append(b.rules, i)
		rules = append(rules, &sigma.Rule{ID: list[i].ID, Detection: searches[i]})
		for _, name := range list[i].fields {
			if !slices.Contains(b.fields, name) {
				b.fields = append(b.fields, name)
			}
		}
	}
	if len(rules) == 0 {
		return b
	}
	for _, name := range b.fields {
		id, _ := reg.Intern(name) // without bound
		b.ids = append(b.ids, id)
	}
	b.program, _ = match.Compile(rules, reg, nil) // each was tried
	b.workers.New = func() any { return &worker{m: b.program.NewMatcher()} }
	return b
}

// search reads the searches of a suppression.
func (s *Suppression) search() (*sigma.Detection, error) {
	text, err := yaml.Marshal(s.Detection)
	if err != nil {
		return nil, err
	}
	var n yaml.Node
	if err := yaml.Unmarshal(text, &n); err != nil {
		return nil, err
	}
	d, _, fault := sigma.Search(n.Content[0])
	if fault != nil {
		return nil, fmt.Errorf("%s", fault.Reason) // its line is of no text that anybody wrote
	}
	return d, nil
}

func index(list []string) map[string]bool {
	if len(list) == 0 {
		return nil
	}
	m := make(map[string]bool, len(list))
	for _, v := range list {
		m[v] = true
	}
	return m
}

// Asset is what an occurrence is about, as the CMDB knows it. Systems are ids and
// names.
type Asset struct {
	ID, Name, Class      string
	SystemID, SystemName string
}

// AssetOf reads the asset of an occurrence from its fields. Ticketing knows more:
// of what a device between two ends tells, it is the end that is attacked.
func AssetOf(o *detections.Occurrence) Asset {
	f := o.Fields
	return Asset{ID: f["icewatch.ci.id"], Name: cmp.Or(f["icewatch.ci.name"], f["host.name"]), Class: f["icewatch.ci.class"],
		SystemID: f["icewatch.ci.system.id"], SystemName: f["icewatch.ci.system.name"]}
}

// Len is how many suppressions are in the set.
func (s *Set) Len() int { return len(s.list) }

// Get returns a suppression of the set by its id.
func (s *Set) Get(id string) (*Suppression, bool) {
	i, found := slices.BinarySearchFunc(s.list, id, func(c compiled, id string) int { return strings.Compare(c.ID, id) })
	if !found {
		return nil, false
	}
	return &s.list[i].Suppression, true
}

// Match tells which suppression an occurrence meets at a time, of several the one
// with the least id; "" where it meets none. It allocates nothing, unless a field
// that is looked at has several values.
//
// An occurrence that stands for several firings (Occurrence.Firings) shows the
// fields of the last alone. It is met only by what holds for all of them: by
// conditions on fields that they have in common, see Shared.
func (s *Set) Match(o *detections.Occurrence, a Asset, at time.Time) string {
	best := int32(-1)
	if b := s.byRule[o.Rule.ID]; b != nil {
		best = s.least(b, o, &a, at, best)
	}
	if s.any != nil {
		best = s.least(s.any, o, &a, at, best)
	}
	if best < 0 {
		return ""
	}
	return s.list[best].ID
}

// least is the least of best and those of a bundle that an occurrence meets.
func (s *Set) least(b *bundle, o *detections.Occurrence, a *Asset, at time.Time, best int32) int32 {
	for _, i := range b.plain {
		if (best < 0 || i < best) && s.list[i].within(o, a, at) {
			best = i
		}
	}
	if b.program == nil || !slices.ContainsFunc(b.rules, func(i int32) bool { return (best < 0 || i < best) && s.list[i].within(o, a, at) }) {
		return best
	}
	w := b.workers.Get().(*worker)
	w.ev.Reset()
	for i, name := range b.fields {
		Put(&w.ev, b.ids[i], Value(o, name))
	}
	w.m.Match(&w.ev, func(rule int, _ func() []detections.Match) {
		if i := b.rules[rule]; (best < 0 || i < best) && s.list[i].within(o, a, at) {
			best = i
		}
	})
	w.ev.Reset()
	b.workers.Put(w)
	return best
}

// within tells whether an occurrence is within what a suppression is tied to.
func (c *compiled) within(o *detections.Occurrence, a *Asset, at time.Time) bool {
	if !at.Before(c.Expires) || c.tenants != nil && !c.tenants[o.Tenant] {
		return false
	}
	if !c.Assets.Empty() && !(c.items[a.ID] || c.items[a.Name] || c.classes[a.Class] || c.systems[a.SystemID] || c.systems[a.SystemName]) {
		return false
	}
	return o.Firings <= 1 || c.shared(o)
}

// shared tells whether all firings that an occurrence stands for have the fields
// that a suppression looks at in common.
func (c *compiled) shared(o *detections.Occurrence) bool {
	for _, name := range c.looks {
		if !slices.Contains(o.Shared, name) && !slices.ContainsFunc(o.Group, func(p detections.Pair) bool { return p.Field == name }) {
			return false
		}
	}
	return true
}

// Fields lists the fields by which the suppressions for a rule tell its firings
// apart, in order: firings that agree in them are alike to the suppressions there
// are. It is empty for most rules. What lies behind it is shared: it is not to be
// changed.
func (s *Set) Fields(rule string) []string {
	if s == nil {
		return nil
	}
	b := s.byRule[rule]
	switch {
	case b == nil && s.any == nil:
		return nil
	case b == nil:
		return s.any.looks
	default:
		return b.looks // those of any rule among them
	}
}

// Apart is the same for two occurrences of a rule that agree in these fields, and for
// no others; "" for no fields.
func Apart(o *detections.Occurrence, fields []string) string {
	if len(fields) == 0 {
		return ""
	}
	var b []byte
	for _, name := range fields {
		v := Value(o, name)
		b = append(binary.AppendUvarint(b, uint64(len(v))), v...)
	}
	return string(b)
}

// Conditions lists the fields that the condition of a suppression looks at.
func (s *Set) Conditions(id string) []string {
	for i := range s.list {
		if s.list[i].ID == id {
			return slices.Clone(s.list[i].fields)
		}
	}
	return nil
}

// MeetsNothing tells whether the condition of a suppression holds where there is
// none of its fields, as one that only says what must not be does.
func (s *Set) MeetsNothing(id string) bool {
	one, found := s.Get(id)
	if !found {
		return false
	}
	bare := *one
	bare.Rules, bare.Assets, bare.Tenants = []string{"x"}, Assets{}, nil
	set, faults := Compile([]Suppression{bare})
	return len(faults) == 0 && set.Match(&detections.Occurrence{Rule: detections.RuleRef{ID: "x"}}, Asset{}, bare.Expires.Add(-1)) != ""
}
