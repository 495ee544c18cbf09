package engine

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"icewatch/detections"
	"icewatch/detections/match"
)

// record is what is remembered of a rule over swaps, for as long as its text
// does not change.
type record struct {
	text    string     // of the rule
	rule    *compiled  // in the set in force
	before  match.Cost // with the matchers before this one
	hits    uint64
	lastHit int64  // arrival
	fed     bool   // an event of its log source came before this matcher
	born    uint64 // events before it
	flood   flood
	slow    slowness
}

func (r *record) hit(at int64) {
	r.hits++
	r.lastHit = at
}

// inherit gives the rules of a new set the records of those that they are.
func (e *Engine) inherit(rules, counts []compiled, matcher *match.Matcher) {
	var costs []match.Cost
	var fed []bool
	if e.matcher != nil {
		costs, fed = e.matcher.Costs(), e.matcher.Fed()
	}
	old := make(map[string]*record, len(e.rules)+len(e.counts))
	for i := range e.rules {
		r := e.rules[i].record
		r.before, r.fed = plus(r.before, costs[i]), r.fed || fed[i]
		old[e.rules[i].ID] = r
	}
	for i := range e.counts {
		old[e.counts[i].ID] = e.counts[i].record
	}
	for at, list := range [][]compiled{rules, counts} {
		for i := range list {
			c := &list[i]
			if r := old[c.ID]; r != nil && r.text == c.record.text {
				delete(old, c.ID)
				c.record = r
				if at == 0 && !r.slow.since.IsZero() {
					matcher.SetAside(i, true)
				}
			} else {
				c.record.born = e.stats.Events
			}
			c.record.rule = c
		}
	}
	// Nothing that was held back is lost with its rule.
	still := e.flooding[:0]
	for _, r := range e.flooding {
		if old[r.rule.ID] == r {
			e.leftover = append(e.leftover, r.flood.leave()...)
		} else {
			still = append(still, r)
		}
	}
	e.flooding = still
}

func plus(a, b match.Cost) match.Cost {
	return match.Cost{Asked: a.Asked + b.Asked, Hits: a.Hits + b.Hits, Time: a.Time + b.Time}
}

// maxSets is how many of the last sets are remembered by their events.
const maxSets = 10

// SetUse is a rule set and how many events it judged. Each event is judged by
// one set.
type SetUse struct {
	Version string    `json:"version"`
	Since   time.Time `json:"since"`
	Events  uint64    `json:"events"`

	from uint64 // events before it
}

// turn begins the account of another set.
func (e *Engine) turn(version string) {
	e.swaps++
	e.closeUse()
	e.sets = append(e.sets, SetUse{Version: version, Since: e.opts.Now().UTC(), from: e.stats.Events})
	if len(e.sets) > maxSets {
		e.sets = append(e.sets[:0], e.sets[1:]...)
	}
}

// closeUse brings the account of the set in force up to date.
func (e *Engine) closeUse() {
	if n := len(e.sets); n > 0 {
		e.sets[n-1].Events = e.stats.Events - e.sets[n-1].from
	}
}

// The states of a rule that does not run freely.
const (
	Flooding = "flood"     // it meets so much that not all is raised one by one
	SetAside = "set_aside" // it takes too much time and is not asked for a while
	Failed   = "failed"    // it panicked and is not asked until the rules change
)

// Throttle says that a rule does not run freely, since when and what that costs.
type Throttle struct {
	Rule   string          `json:"rule"`
	Title  detections.Text `json:"title"`
	State  string          `json:"state" enum:"flood,set_aside,failed"`
	Since  time.Time       `json:"since,omitzero"`
	Until  time.Time       `json:"until,omitzero" doc:"When a rule that is set aside is tried again"`
	Held   uint64          `json:"held,omitempty" doc:"Matches that were counted without an occurrence of their own"`
	Unseen uint64          `json:"unseen,omitempty" doc:"Events that the rule was not asked about"`
	Reason detections.Text `json:"reason"`
}

// Cost is what a rule cost and brought since it is in force as it stands.
type Cost struct {
	Asked       uint64    `json:"asked" doc:"Events for which its condition was evaluated; for a correlation the matches it was given"`
	Hits        uint64    `json:"hits" doc:"Events that met it; for a correlation its firings"`
	Seconds     float64   `json:"seconds" doc:"Time its condition took, estimated from a sample of events"`
	Share       float64   `json:"share" doc:"Its part of the time of all rules, 0 to 1"`
	Load        float64   `json:"load" doc:"Seconds a second that it took over the last ten; 1 is a whole core"`
	Selectivity float64   `json:"selectivity" doc:"Hits for each time asked"`
	HitRate     float64   `json:"hit_rate" doc:"Hits for each event that came in"`
	Unfed       bool      `json:"unfed,omitempty" doc:"No event of its log source came since the engine started, or since the rule is in force if that is later: it cannot fire for want of data. Not for correlations"`
	LastHit     time.Time `json:"last_hit,omitzero" doc:"When an event that met it arrived; absent where none did"`
}

// Phases says how long the last change of the rules took on its way into
// force, step by step, in seconds. The first steps are the centre's.
type Phases struct {
	Notice  float64 `json:"notice" doc:"From the newest change of a file until it was noticed; 0 where no file changed"`
	Read    float64 `json:"read" doc:"Reading the files that changed"`
	Check   float64 `json:"check" doc:"Looking for faults, in the centre"`
	Send    float64 `json:"send" doc:"Packing, and over the bus"`
	Decode  float64 `json:"decode" doc:"Unpacking, in the engine"`
	Parse   float64 `json:"parse" doc:"Parsing the files that changed"`
	Compile float64 `json:"compile" doc:"Making the matcher's program of all rules"`
	Rest    float64 `json:"rest" doc:"Policies, correlations, duplicates"`
	Swap    float64 `json:"swap" doc:"Putting it in force between two events"`
	Total   float64 `json:"total" doc:"From the change of the file, or from when it was noticed, until it was in force"`
	Parsed  int     `json:"parsed" doc:"Files that were parsed"`
	Reused  int     `json:"reused" doc:"Files whose content was parsed before"`
}

// Report is what the engine knows of its rules at a moment.
type Report struct {
	Version   string          `json:"version"` // of the set in force
	Since     time.Time       `json:"since"`
	Swaps     uint64          `json:"swaps"`
	Events    uint64          `json:"events"`
	Held      uint64          `json:"held"` // matches held back in floods, since the start
	Sets      []SetUse        `json:"sets"`
	Costs     map[string]Cost `json:"costs"` // by rule id
	Throttled []Throttle      `json:"throttled"`
	Program   int             `json:"program"` // bytes
	Rules     int             `json:"rules"`   // in force, correlations too
	Windows   Windows         `json:"windows"` // of correlations
}

// Report tells of every rule in force.
func (e *Engine) Report() Report {
	e.mu.Lock()
	defer e.mu.Unlock()
	out, cost := e.report()
	out.Costs = make(map[string]Cost, out.Rules)
	for i := range e.rules {
		out.Costs[e.rules[i].ID] = cost(i)
	}
	for i := range e.counts {
		out.Costs[e.counts[i].ID] = cost(len(e.rules) + i)
	}
	return out
}

// Brief is Report with no more costs than those of the n rules whose conditions
// took the most time, of equal ones those of the lesser ids; rules that took none
// are left out.
func (e *Engine) Brief(n int) Report {
	e.mu.Lock()
	defer e.mu.Unlock()
	out, cost := e.report()
	type dear struct {
		id      string
		seconds float64
		at      int
	}
	before := func(a, b dear) int { return cmp.Or(cmp.Compare(b.seconds, a.seconds), cmp.Compare(a.id, b.id)) }
	var list []dear
	for i := range e.rules { // what counts takes no time of its own
		d := dear{e.rules[i].ID, cost(i).Seconds, i}
		if d.seconds <= 0 || len(list) == n && (n == 0 || before(d, list[n-1]) > 0) {
			continue
		}
		if len(list) == n {
			list = list[:n-1]
		}
		at, _ := slices.BinarySearchFunc(list, d, before)
		list = slices.Insert(list, at, d)
	}
	out.Costs = make(map[string]Cost, len(list))
	for _, d := range list {
		out.Costs[d.id] = cost(d.at)
	}
	return out
}

// Hits is how many hits rules have, by id, as Report tells it; those that have
// none are left out.
func (e *Engine) Hits() map[string]uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := map[string]uint64{}
	put := func(id string, n uint64) {
		if n > 0 {
			out[id] = n
		}
	}
	var costs []match.Cost
	if e.matcher != nil {
		costs = e.matcher.Costs()
	}
	for i := range e.rules {
		put(e.rules[i].ID, e.rules[i].record.before.Hits+costs[i].Hits)
	}
	for i := range e.counts {
		put(e.counts[i].ID, e.counts[i].record.hits)
	}
	return out
}

// report is all of a report but the costs, and what a rule cost: those that judge
// single events, then those that count.
func (e *Engine) report() (out Report, cost func(i int) Cost) {
	e.closeUse()
	out = Report{Events: e.stats.Events, Swaps: e.swaps, Held: e.held,
		Sets: append([]SetUse{}, e.sets...), Throttled: e.throttled(), Rules: len(e.rules) + len(e.counts), Windows: e.windows()}
	if n := len(e.sets); n > 0 {
		out.Version, out.Since = e.sets[n-1].Version, e.sets[n-1].Since
	}
	if e.set != nil && e.set.Program() != nil {
		out.Program = e.set.Program().Size()
	}
	var costs []match.Cost
	var fed []bool
	total := time.Duration(0)
	if e.matcher != nil {
		costs = slices.Clone(e.matcher.Costs()) // the matcher goes on counting in its own
		for i := range e.rules {
			costs[i] = plus(e.rules[i].record.before, costs[i])
			total += costs[i].Time
		}
		fed = e.matcher.Fed()
	}
	return out, func(i int) Cost {
		if i >= len(e.rules) {
			r := e.counts[i-len(e.rules)].record
			return r.cost(match.Cost{Asked: r.before.Asked, Hits: r.hits}, total, e.stats.Events)
		}
		c := e.rules[i].record.cost(costs[i], total, e.stats.Events)
		c.Unfed = !e.rules[i].record.fed && !fed[i]
		return c
	}
}

func (r *record) cost(c match.Cost, total time.Duration, events uint64) Cost {
	out := Cost{Asked: c.Asked, Hits: c.Hits, Seconds: c.Time.Seconds(), Load: r.slow.load,
		Selectivity: ratio(float64(c.Hits), float64(c.Asked)), HitRate: ratio(float64(c.Hits), float64(events-r.born)), Share: ratio(c.Time.Seconds(), total.Seconds())}
	if r.lastHit != 0 {
		out.LastHit = time.Unix(0, r.lastHit).UTC()
	}
	return out
}

// ratio is 0 where there is nothing to divide by.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return math.Min(1, a/b)
}

// Throttled tells of the rules that do not run freely.
func (e *Engine) Throttled() []Throttle {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.throttled()
}

func (e *Engine) throttled() []Throttle {
	out := []Throttle{}
	for _, list := range [][]compiled{e.rules, e.counts} {
		for i := range list {
			c := &list[i]
			t := Throttle{Rule: c.ID, Title: c.Info.Title}
			f, s := &c.record.flood, &c.record.slow
			why, failed := e.off[c.ID]
			switch {
			case failed:
				t.State = Failed
				t.Reason = detections.Text{ZH: "运行时出错，规则变更前不再执行：" + why, EN: "It failed while running and is not asked until the rules change: " + why}
			case !s.since.IsZero():
				t.State, t.Since, t.Until, t.Unseen = SetAside, s.since.UTC(), s.until.UTC(), e.stats.Events-s.unseen
				t.Reason = detections.Text{
					ZH: fmt.Sprintf("执行占用超过一个处理器核心的 %.0f%%（%s 内），暂停至 %s；暂停以来 %d 条事件未经此规则检测", 100*e.slow.Share, e.slow.Window, t.Until.Local().Format(time.TimeOnly), t.Unseen),
					EN: fmt.Sprintf("It took more than %.0f%% of one core over %s and is set aside until %s; it has not seen %d events since", 100*e.slow.Share, e.slow.Window, t.Until.Local().Format(time.TimeOnly), t.Unseen)}
			case f.Since != 0:
				t.State, t.Since, t.Held = Flooding, time.Unix(0, f.Since).UTC(), f.Held
				t.Reason = detections.Text{
					ZH: fmt.Sprintf("触发超过每秒 %d 次（%s 平均），自 %s 起合并了 %d 次触发；计数完整，每组每 %s 产生一次告警发生", e.flood.Rate, e.flood.Window, t.Since.Local().Format(time.TimeOnly), f.Held, e.flood.Interval),
					EN: fmt.Sprintf("It fires more than %d times a second on the average of %s; %d matches were held back since %s: all are counted, one occurrence a group comes every %s", e.flood.Rate, e.flood.Window, f.Held, t.Since.Local().Format(time.TimeOnly), e.flood.Interval)}
			default:
				continue
			}
			out = append(out, t)
		}
	}
	return out
}

// Tick raises what is due while nothing comes in, windows that are over and
// what was held back: at is a time before which no event that is still to come arrived.
func (e *Engine) Tick(at time.Time, emit func(detections.Occurrence)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.pass(at, emit)
	if len(e.flooding) == 0 && len(e.leftover) == 0 {
		return
	}
	e.sweep(emit)
}

// Flooding tells whether a rule is throttled. What it raises then goes by every
// second in which anything came, be it nothing to any rule.
func (e *Engine) Flooding() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.flooding) > 0
}
