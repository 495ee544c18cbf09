package match

import (
	"slices"
	"time"
)

// Cost is what a rule has cost a matcher since it was made.
type Cost struct {
	Asked uint64        // events that held a witness of the rule, so that it was evaluated
	Hits  uint64        // events it matched
	Time  time.Duration // spent on evaluating it, estimated from a sample of the events
}

// sampleEvery is how many events go by for one whose rules are timed. Two
// clock readings a rule cost some 100 ns; one event in 64 keeps that below 1 %
// of matching.
const sampleEvery = 64

// meter counts the costs of the rules.
type meter struct {
	costs   []Cost
	events  uint32
	sampled bool
	began   time.Time
}

func newMeter(rules int) meter { return meter{costs: make([]Cost, rules)} }

func (t *meter) event() {
	t.events++
	t.sampled = t.events%sampleEvery == 0
}

func (t *meter) start() { t.began = time.Now() }

func (t *meter) stop(rule int32) { t.costs[rule].Time += sampleEvery * time.Since(t.began) }

// Costs returns what each rule has cost, by its index.
func (m *Matcher) Costs() []Cost { return slices.Clone(m.meter.costs) }

// Fed tells by rule whether there was an event of its log source. Where log
// sources are not asked for, each has had one.
func (m *Matcher) Fed() []bool {
	out := make([]bool, len(m.p.rules))
	for i, r := range m.p.rules {
		out[i] = r.root >= 0 && m.router.fed[r.group]
	}
	return out
}
