package processing

import (
	"fmt"
	"hash/maphash"
	"strings"
	"sync/atomic"

	"icewatch/soc/event"
	"icewatch/soc/veil"
)

// Set is rules in force. Apply is for one goroutine; Counts may be called by any.
type Set struct {
	rules []compiled
	slots slots
	view  view
	seeds [2]maphash.Seed
	buf   []byte
}

// compiled is one rule.
type compiled struct {
	id     string
	tenant string
	when   condition
	tags   []string
	labels []label
	mask   *veil.Veil
	keys   []event.FieldID
	window int64 // seconds; 0 where it does not fold
	drop   bool
	hits   *atomic.Uint64
}

type label struct {
	id    event.FieldID
	parts []labelPart
}

type labelPart struct {
	text   string
	field  event.FieldID
	tenant bool
}

// Outcome is what the rules want of an event beyond what they wrote into it.
type Outcome struct {
	Drop   bool
	Window int64     // seconds within which it is folded; 0: it is not
	Key    [2]uint64 // what it and its repeats have in common
}

// Compile makes a set of those rules that are enabled, in their order. Rules
// that cannot be are left out and named in problems, by id.
func Compile(rules []Rule, reg *event.Registry) (set *Set, problems map[string]error) {
	set = &Set{slots: slots{reg: reg, of: map[event.FieldID]int{}}, seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}}
	problems = map[string]error{}
	for i := range rules {
		r := &rules[i]
		if !r.Enabled {
			continue
		}
		c, err := set.compile(r)
		if err != nil {
			problems[r.ID] = err
			continue
		}
		set.rules = append(set.rules, c)
	}
	return set, problems
}

func (s *Set) compile(r *Rule) (c compiled, err error) {
	if err := r.Check(); err != nil {
		return c, err
	}
	field := func(name string) event.FieldID {
		id, ok := s.slots.reg.Intern(name)
		if !ok && err == nil {
			err = fmt.Errorf("%w: the field %q cannot be named: there are too many names", ErrInvalid, name)
		}
		return id
	}
	c = compiled{id: r.ID, tenant: r.Tenant, tags: r.Tags, drop: r.Drop, hits: &atomic.Uint64{}}
	if c.when, err = s.slots.compile(r.When, ""); err != nil {
		return c, fmt.Errorf("%w: when: %w", ErrInvalid, err)
	}
	for _, l := range r.Labels {
		parts, _ := template(l.Value) // Check has judged it
		out := label{id: field("labels." + l.Name)}
		for _, p := range parts {
			q := labelPart{text: p.text}
			switch p.field {
			case "":
			case "icewatch.tenant":
				q.tenant = true
			default:
				q.field = field(p.field)
			}
			out.parts = append(out.parts, q)
		}
		c.labels = append(c.labels, out)
	}
	if r.Mask != nil {
		if c.mask, err = r.Mask.veil(); err != nil {
			return c, fmt.Errorf("%w: mask: %w", ErrInvalid, err)
		}
	}
	if r.Fold != nil {
		c.window = int64(r.Fold.Seconds)
		for _, k := range r.Fold.Keys {
			if k != "icewatch.tenant" { // tenants never share repeats
				c.keys = append(c.keys, field(k))
			}
		}
	}
	return c, err
}

// Empty tells that there is nothing to apply.
func (s *Set) Empty() bool { return s == nil || len(s.rules) == 0 }

// Apply tags the event by every rule whose condition holds, in order, and
// returns what the first of them that folds or drops wants.
func (s *Set) Apply(ev *event.Event) (out Outcome) {
	if s.Empty() {
		return out
	}
	s.slots.fill(&s.view, ev)
	decided := false
	for i := range s.rules {
		r := &s.rules[i]
		if r.tenant != "" && r.tenant != ev.Tenant || !r.when(&s.view) {
			continue
		}
		r.hits.Add(1)
		changed := false
		for _, tag := range r.tags {
			changed = addTag(ev, tag) || changed
		}
		for j := range r.labels {
			changed = s.addLabel(ev, &r.labels[j]) || changed
		}
		if r.mask != nil {
			s.hide(ev, r.mask)
			changed = true
		}
		if changed {
			s.slots.fill(&s.view, ev) // later rules may ask for what this one wrote
		}
		switch {
		case decided:
		case r.drop:
			out.Drop, decided = true, true
		case r.window > 0:
			out.Window, out.Key, decided = r.window, s.key(ev, r), true
		}
	}
	return out
}

func addTag(ev *event.Event, tag string) bool {
	for i := range ev.Fields {
		if f := &ev.Fields[i]; f.ID == event.Tags && f.Value == tag {
			return false
		}
	}
	ev.Add(event.Tags, tag)
	return true
}

func (s *Set) addLabel(ev *event.Event, l *label) bool {
	if ev.Has(l.id) {
		return false
	}
	if len(l.parts) == 1 && l.parts[0].text != "" {
		ev.Add(l.id, l.parts[0].text)
		return true
	}
	s.buf = s.buf[:0]
	for _, p := range l.parts {
		text := p.text
		switch {
		case p.tenant:
			text = ev.Tenant
		case p.field != 0:
			if text = ev.Text(p.field); text == "" {
				return false
			}
		}
		s.buf = append(s.buf, text...)
	}
	ev.Add(l.id, string(s.buf))
	return true
}

// MarkMasked is on events of which something was hidden for good.
const MarkMasked = "masked"

// hide puts the veil over the event itself. The whole of a text of which the
// event holds the beginning alone is let go of, since it would show what is
// hidden here.
func (s *Set) hide(ev *event.Event, v *veil.Veil) {
	said := make([]veil.Said, len(ev.Fields))
	for i, f := range ev.Fields {
		said[i] = veil.Said{Field: s.slots.reg.Name(f.ID), Value: f.Value}
	}
	show := v.Over(said)
	touched := false
	for i := range ev.Fields {
		f := &ev.Fields[i]
		if f.Kind == event.Null || f.ID == event.Marks {
			continue
		}
		if shown := show(said[i].Field, f.Value); shown != f.Value {
			f.Value, f.Kind, touched = shown, event.String, true
		}
	}
	if shown := show("event.original", ev.Raw); shown != ev.Raw {
		ev.Raw, touched = shown, true
	}
	if touched {
		ev.Delete(event.Aside)
		ev.Mark(MarkMasked)
	}
}

// key is made of the rule, the tenant and all values of the rule's keys.
func (s *Set) key(ev *event.Event, r *compiled) (key [2]uint64) {
	b := append(append(s.buf[:0], r.id...), 0)
	b = append(append(b, ev.Tenant...), 0)
	for _, id := range r.keys {
		for i := range ev.Fields {
			if f := &ev.Fields[i]; f.ID == id && f.Kind != event.Null {
				b = append(append(b, f.Value...), 1)
			}
		}
		b = append(b, 0)
	}
	s.buf = b
	for i := range key {
		key[i] = maphash.Bytes(s.seeds[i], b)
	}
	return key
}

// Counts are how many events each rule was applied to since it was compiled,
// by its id.
func (s *Set) Counts() map[string]uint64 {
	out := map[string]uint64{}
	if s != nil {
		for i := range s.rules {
			out[s.rules[i].id] += s.rules[i].hits.Load()
		}
	}
	return out
}

// clone copies an event so that it shares no memory with the batch it is of.
func clone(ev *event.Event) event.Event {
	size := len(ev.Tenant) + len(ev.Raw) + len(ev.ID.Epoch)
	for i := range ev.Fields {
		size += len(ev.Fields[i].Value)
	}
	var b strings.Builder
	b.Grow(size)
	keep := func(text string) string {
		at := b.Len()
		b.WriteString(text)
		return b.String()[at:]
	}
	out := *ev
	out.Tenant, out.Raw, out.ID.Epoch = keep(ev.Tenant), keep(ev.Raw), keep(ev.ID.Epoch)
	out.Fields = make([]event.Field, len(ev.Fields), len(ev.Fields)+3)
	for i, f := range ev.Fields {
		f.Value = keep(f.Value)
		out.Fields[i] = f
	}
	return out
}
