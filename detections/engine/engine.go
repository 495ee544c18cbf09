// Package engine turns events into occurrences: it matches the rules,
// correlates the matches over event time and fills the sentence templates. It is
// the only door the pipeline uses.
package engine

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"icewatch/detections"
	"icewatch/detections/correlation"
	"icewatch/detections/match"
	"icewatch/detections/ruleset"
	"icewatch/detections/suppression"
	"icewatch/detections/verdict"
	"icewatch/soc/event"
)

// Options sets the engine's bounds. Zero values take the defaults.
type Options struct {
	Registry  *event.Registry // required
	Log       *slog.Logger    // default: slog.Default()
	MaxBytes  int64           // that live correlation groups of all rules take together; default 512 MiB
	MaxGroups int             // of these; default as many as fit
	Lateness  time.Duration   // how far behind its group's newest event time an event still counts; default 5 min
	Flood     Flood           // bounds what one rule may raise; zero is without bound
	Slow      Slow            // bounds what one rule may take of the time; zero is without bound
	Places    verdict.Places  // what the CMDB knows of an address; nil where it is not asked
	// Enrich says of an event what the CMDB knows to its tenant, anew; nil where it is not asked.
	Enrich func(*event.Event)

	Now func() time.Time // default: time.Now; what a rule takes of the time goes by it
}

// Stats are counters since the start.
type Stats struct {
	Events      uint64            `json:"events"`
	Matches     uint64            `json:"matches"`
	Occurrences uint64            `json:"occurrences"`
	Held        uint64            `json:"held"`     // matches held back because their rule was throttled
	Hits        map[string]uint64 `json:"hits"`     // by rule id, since the rule is in force as it stands
	Disabled    map[string]string `json:"disabled"` // rule id to the panic that disabled it
	Panics      uint64            `json:"panics"`
	Groups      int               `json:"groups"`      // live correlation groups
	GroupBytes  int64             `json:"group_bytes"` // that these take, as estimated
	Evicted     uint64            `json:"evicted"`     // groups dropped because of MaxGroups and MaxBytes
	EvictedBy   map[string]uint64 `json:"evicted_by"`  // Evicted by rule id
	Late        uint64            `json:"late"`        // events too late to correlate
	Duplicates  uint64            `json:"duplicates"`  // events that were counted already
	Cut         uint64            `json:"cut"`         // events dropped from groups that held too many
}

// Engine is the detection of one pipeline. Its methods exclude each other by an
// internal lock and may be called at any time: a swap takes effect between two
// events.
type Engine struct {
	opts  Options
	flood Flood
	slow  Slow
	reg   *event.Registry
	log   *slog.Logger

	mu      sync.Mutex
	set     *ruleset.Set
	matcher *match.Matcher
	rules   []compiled // by index of the program
	counts  []compiled // correlations, by index of the set
	state   *correlation.State
	stats   Stats
	off     map[string]string
	repeat  event.FieldID

	group, values []string // of the match at hand

	clock        int64                   // newest arrival
	swept        int64                   // second of arrival in which floods were last looked at
	flooding     []*record               // rules that are throttled
	leftover     []detections.Occurrence // of rules that went while occurrences of theirs were held back
	suppressions *suppression.Set        // nil before there are any
	held         uint64
	lap          int
	judged       time.Time // when the rules' time was last looked at
	swaps        uint64
	sets         []SetUse // the last ones, the one in force at the end

	closings     []Closing // the last ones
	closedGroups uint64
}

// compiled is a rule with what does not change from firing to firing.
type compiled struct {
	*ruleset.Rule
	record   *record
	groupBy  []event.FieldID
	names    []string
	feeds    []feed
	ref      detections.RuleRef
	sentence template
	advice   template
	class    verdict.Rule
	outputs  *outputs // nil where what the alert says does not depend on the event
}

type feed struct {
	correlation, place int
	groupBy            [][]event.FieldID // for each field the names it can have
	fields             [][]event.FieldID
	then               []feed
}

// New makes an engine without rules: it emits nothing until Swap.
func New(opts Options) *Engine {
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	e := &Engine{opts: opts, flood: opts.Flood.orDefault(), slow: opts.Slow.orDefault(), reg: opts.Registry, log: opts.Log, off: map[string]string{},
		state: correlation.New(nil, correlation.Options{})}
	e.repeat, _ = e.reg.Intern("icewatch.repeat")
	return e
}

// Suppress says which suppressions there are. The engine suppresses nothing: it
// keeps apart what they tell apart where it joins firings in one occurrence.
func (e *Engine) Suppress(set *suppression.Set) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.suppressions = set
}

// Swap puts a rule set in force between two events. Of rules whose text did
// not change everything is kept: correlation windows, costs, what is held back
// in a flood, and that they are set aside.
func (e *Engine) Swap(set *ruleset.Set) {
	// What takes time is made before the lock, so that events go on.
	var rules, counts []compiled
	for _, r := range set.Detections() {
		rules = append(rules, e.compile(set, r))
	}
	for _, r := range set.Correlations() {
		counts = append(counts, e.compile(set, r))
	}
	state := correlation.New(set.StateRules(), correlation.Options{MaxBytes: e.opts.MaxBytes, MaxGroups: e.opts.MaxGroups, Lateness: e.opts.Lateness})
	var matcher *match.Matcher
	if p := set.Program(); p != nil {
		matcher = p.NewMatcher()
	}

	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed(state.Inherit(e.state), titles(e.counts, counts))
	e.inherit(rules, counts, matcher)
	e.set, e.rules, e.counts, e.state, e.matcher = set, rules, counts, state, matcher
	clear(e.off)
	e.turn(set.Version())
}

func (e *Engine) compile(set *ruleset.Set, r *ruleset.Rule) compiled {
	c := compiled{Rule: r, record: &record{text: r.Source}}
	groupBy := r.Custom.GroupBy
	if r.Correlation != nil {
		groupBy = r.Correlation.GroupBy
	} else if len(groupBy) == 0 {
		groupBy = defaultGroupBy
	}
	for _, name := range groupBy {
		c.names = append(c.names, name)
		c.groupBy = append(c.groupBy, e.field(name))
	}
	c.feeds = e.feeds(r.Feeds)
	c.ref = detections.RuleRef{ID: r.ID, Version: r.Version(), Hash: r.Hash(), Title: r.Info.Title, Level: r.Level, Kind: r.Info.Kind, Tactics: r.Info.Tactics,
		Techniques: r.Info.Techniques, Tags: r.Tags}
	sentence := r.Custom.Sentence
	if sentence == (detections.Text{}) {
		sentence = detections.Text{ZH: braceless(r.Info.Title.ZH) + "（{host.name}）", EN: braceless(r.Info.Title.EN) + " on {host.name}"}
	}
	c.class = set.Class(r, &c.ref)
	c.sentence, c.advice = newTemplate(sentence), newTemplate(r.Custom.Advice)
	c.ref.Knowledge = r.Custom.Knowledge
	c.outputs = newOutputs(r.Custom.Outputs)
	return c
}

func (e *Engine) field(name string) event.FieldID {
	id, _ := e.reg.Intern(name) // a full registry leaves the field without value
	return id
}

// alternatives is field for each of the names that fields can have.
func (e *Engine) alternatives(fields [][]string) [][]event.FieldID {
	out := make([][]event.FieldID, len(fields))
	for i, names := range fields {
		for _, name := range names {
			out[i] = append(out[i], e.field(name))
		}
	}
	return out
}

// Process matches one enriched event. emit is called for each firing before
// Process returns; the occurrence it gets is its own to keep.
func (e *Engine) Process(ev *event.Event, emit func(detections.Occurrence)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stats.Events++
	e.clock = max(e.clock, arrival(ev))
	e.sweep(emit)
	if e.matcher == nil {
		return
	}
	fire := func(f correlation.Firing) { e.fired(f, emit) }
	e.state.Advance(arrival(ev), fire)
	e.matcher.Match(ev, func(at int, evidence func() []detections.Match) {
		e.guard(&e.rules[at], func() { e.matched(&e.rules[at], ev, evidence, emit, fire) })
	})
	if off := e.matcher.Disabled(); len(off) > 0 {
		for at, why := range off {
			e.disable(&e.rules[at], why)
		}
	}
}

// guard keeps a panic over one rule from taking the engine down.
func (e *Engine) guard(c *compiled, f func()) {
	defer func() {
		if p := recover(); p != nil {
			e.disable(c, fmt.Sprint(p))
		}
	}()
	f()
}

func (e *Engine) disable(c *compiled, why string) {
	if _, done := e.off[c.ID]; done {
		return
	}
	e.off[c.ID] = why
	e.stats.Panics++
	e.log.Error("a rule panicked and is disabled until the rules change", "rule", c.ID, "path", c.Info.Path, "panic", why)
}

// arrival is when the event reached us; where that is not known, when it happened.
// It is taken to the millisecond, as the lake keeps it: what is read from there
// and judged again must raise the same.
func arrival(ev *event.Event) int64 {
	if ms := ev.Created / int64(time.Millisecond); ms != 0 {
		return ms * int64(time.Millisecond)
	}
	return ev.Time
}

func (e *Engine) matched(c *compiled, ev *event.Event, evidence func() []detections.Match, emit func(detections.Occurrence), fire func(correlation.Firing)) {
	if _, off := e.off[c.ID]; off {
		return
	}
	e.stats.Matches++
	c.record.hit(e.clock)
	if !c.Silent {
		at, group := ev.Timestamp(), values(ev, c.groupBy)
		e.offer(c, sighting{tenant: ev.Tenant, group: group, from: at, to: at, events: e.weight(ev), ids: []string{ev.ID.String()},
			build: func() detections.Occurrence { return e.single(c, ev, group, evidence()) }}, emit)
	}
	for i := range c.feeds {
		f := &c.feeds[i]
		count := &e.counts[f.correlation]
		if _, off := e.off[count.ID]; off || !count.within(ev.Tenant) {
			continue
		}
		m := correlation.Match{Time: ev.Time, Arrived: arrival(ev), Event: ev.ID, Tenant: ev.Tenant, Weight: e.weight(ev),
			Place: f.place, Fields: e.fields(ev)}
		if len(f.then) > 0 {
			m.Then = func() []correlation.Link { return e.links(ev, f.then) }
		}
		e.group = appendFirst(e.group[:0], ev, f.groupBy)
		if m.Group = e.group; len(m.Group) > 0 && !anyValue(m.Group) {
			continue // nothing to group by: unrelated events would add up
		}
		e.values = appendFirst(e.values[:0], ev, f.fields)
		if m.Values = e.values; len(m.Values) > 0 && !anyValue(m.Values) {
			continue // an absent value is not one more value
		}
		count.record.before.Asked++
		e.guard(count, func() { e.state.Add(f.correlation, m, fire) })
	}
}

// weight is how many events this one stands for: syslog daemons join repeats.
func (e *Engine) weight(ev *event.Event) int {
	n := 0
	for _, c := range ev.Text(e.repeat) {
		if c < '0' || c > '9' || n > 10_000 {
			return 1
		}
		n = 10*n + int(c-'0')
	}
	return max(1, n)
}

// single makes the occurrence of a rule that matched one event.
func (e *Engine) single(c *compiled, ev *event.Event, group []string, evidence []detections.Match) detections.Occurrence {
	for i := range evidence {
		evidence[i].Value = strings.Clone(evidence[i].Value) // the event's memory is reused
	}
	o := detections.Occurrence{Tenant: strings.Clone(ev.Tenant), Time: ev.Timestamp(), From: ev.Timestamp(), Count: e.weight(ev),
		Fields: e.flat(ev), Evidence: evidence, EventIDs: []string{ev.ID.String()}}
	skip := ""
	for i, name := range c.names {
		if group[i] == "" || name == skip {
			continue
		}
		if name == ciField { // the item says more than the name it goes by
			skip = hostField
		}
		o.Group = append(o.Group, detections.Pair{Field: name, Value: strings.Clone(group[i])})
	}
	o.ID = hash("event", c.ID, o.EventIDs[0])
	o.Shared = e.suppressions.Fields(c.ID)
	e.finish(c, &o, ev.Tenant, 1)
	return o
}

// fired makes the occurrence of a window whose condition is met.
func (e *Engine) fired(f correlation.Firing, emit func(detections.Occurrence)) {
	c := &e.counts[f.Rule]
	if _, off := e.off[c.ID]; off {
		return
	}
	c.record.hit(e.clock)
	e.offer(c, sighting{tenant: f.Tenant, group: f.Group, from: time.Unix(0, f.From).UTC(), to: time.Unix(0, f.To).UTC(), events: f.Events, ids: f.IDs,
		build: func() detections.Occurrence { return e.window(c, f) }}, emit)
}

// window makes the occurrence of a window that fired.
func (e *Engine) window(c *compiled, f correlation.Firing) detections.Occurrence {
	o := detections.Occurrence{ID: f.ID, Time: time.Unix(0, f.To).UTC(), From: time.Unix(0, f.From).UTC(), Count: f.Events,
		Fields: f.Fields, EventIDs: f.IDs}
	if o.Fields == nil {
		o.Fields = map[string]string{}
	}
	if o.Tenant = o.Fields["icewatch.tenant"]; o.Tenant == "" {
		o.Tenant = f.Tenant
	}
	for i, name := range c.names {
		if i < len(f.Group) && f.Group[i] != "" {
			o.Group = append(o.Group, detections.Pair{Field: name, Value: f.Group[i]})
			o.Evidence = append(o.Evidence, detections.Match{Selection: "group-by", Field: name, Value: f.Group[i]})
			if o.Fields[name] == "" { // an alias, or a window over events of several kinds
				o.Fields[name] = f.Group[i]
			}
		}
	}
	tenant := f.Tenant
	if c.city() {
		e.settle(c, &o)
		tenant = o.Tenant // an alert is of one tenant
	}
	o.Shared = e.suppressions.Fields(c.ID)
	e.finish(c, &o, tenant, f.Count)
	return o
}

// emit hands an occurrence over.
func (e *Engine) emit(o detections.Occurrence, emit func(detections.Occurrence)) {
	emit(o)
	e.stats.Occurrences++
}

// finish gives an occurrence its key, texts and judgement. Its priority is
// decided for the alert it becomes part of.
func (e *Engine) finish(c *compiled, o *detections.Occurrence, tenant string, count float64) {
	parts := []string{"alert", c.ID, tenant}
	for _, p := range o.Group {
		parts = append(parts, p.Field, p.Value)
	}
	o.Key = hash(parts...)
	o.Rule = c.ref
	o.Judgement = e.set.Taxonomy().Judge(&c.class, o, e.opts.Places)
	o.Rule.Sentence = c.sentence.fill(o, count)
	o.Rule.Advice = c.advice.fill(o, count)
	if c.outputs != nil {
		c.outputs.apply(o, count)
	}
}

// Stats returns the counters.
func (e *Engine) Stats() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	st := e.stats
	c := e.state.Stats()
	st.Groups, st.GroupBytes, st.Evicted, st.EvictedBy = c.Groups, c.Bytes, c.Evicted, c.EvictedBy
	st.Late, st.Duplicates, st.Cut = c.Late, c.Duplicates, c.Cut
	st.Held = e.held
	st.Hits = make(map[string]uint64, len(e.rules)+len(e.counts))
	for _, list := range [][]compiled{e.rules, e.counts} {
		for i := range list {
			if n := list[i].record.hits; n > 0 {
				st.Hits[list[i].ID] = n
			}
		}
	}
	st.Disabled = make(map[string]string, len(e.off))
	for id, why := range e.off {
		st.Disabled[id] = why
	}
	return st
}
