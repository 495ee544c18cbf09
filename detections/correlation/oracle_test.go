package correlation

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"icewatch/detections/sigma"
	"icewatch/soc/event"
)

// The oracle recomputes what has to fire from the whole stream, by trying all
// windows. It shares nothing with the state but the form of a firing's id.

// model is a random correlation with the rules that it counts.
type model struct {
	text     string
	id       string
	kind     string
	span     int64 // seconds
	bounds   []bound
	percent  float64
	expr     *node
	exprText string
	city     bool
	absent   bool
	travel   bool  // of places: more than 100,000 km/h, from 50 km on
	over     []int // correlations among its rules, by index; -1 for an event rule
	silent   bool
}

type bound struct {
	op string
	v  float64
}

// node is an expression over places.
type node struct {
	op    string // "", and, or, not
	place int
	args  []*node
}

func (n *node) text(names []string) string {
	switch n.op {
	case "":
		return names[n.place]
	case "not":
		return "not (" + n.args[0].text(names) + ")"
	}
	return "(" + n.args[0].text(names) + ") " + n.op + " (" + n.args[1].text(names) + ")"
}

func (n *node) holds(has func(int) bool) bool {
	switch n.op {
	case "":
		return has(n.place)
	case "not":
		return !n.args[0].holds(has)
	case "and":
		return n.args[0].holds(has) && n.args[1].holds(has)
	}
	return n.args[0].holds(has) || n.args[1].holds(has)
}

func (n *node) negates() bool {
	if n.op == "not" {
		return true
	}
	return slices.ContainsFunc(n.args, (*node).negates)
}

// sample is an event of a random stream.
type sample struct {
	time    int64 // seconds
	seq     uint64
	tenant  string
	user    string
	host    string
	value   string
	where   string // latitude and longitude
	number  float64
	matches []int // event rules 0 to 2
	weight  int
}

// seen is an event as a correlation sees it.
type seen struct {
	*sample
	time  int64
	place int
	id    string // identity of what is counted where that is a firing
}

func (m *model) rising() bool {
	switch {
	case m.absent, m.kind == "value_avg", m.kind == "value_percentile", m.kind == "value_median":
		return false
	case m.expr != nil:
		return !m.expr.negates()
	}
	return !slices.ContainsFunc(m.bounds, func(b bound) bool { return b.op != "gt" && b.op != "gte" })
}

func (m *model) met(v float64) bool {
	for _, b := range m.bounds {
		ok := map[string]bool{"gt": v > b.v, "gte": v >= b.v, "lt": v < b.v, "lte": v <= b.v, "eq": v == b.v, "neq": v != b.v}[b.op]
		if !ok {
			return false
		}
	}
	return true
}

// holds judges a window's events, which are in the order of time.
func (m *model) holds(es []seen, rules int) bool {
	distinct := func(f func(e seen) string) float64 {
		set := map[string]bool{}
		for _, e := range es {
			set[f(e)] = true
		}
		return float64(len(set))
	}
	event := func(e seen) string { return fmt.Sprint(e.seq, " ", e.time) } // shown by several windows it is still one
	once := map[string]bool{}
	var numbers []float64
	total := 0.0
	for _, e := range es {
		if key := event(e); !once[key] {
			once[key] = true
			for range e.weight {
				numbers = append(numbers, e.number)
				if m.kind == "value_sum" && m.rising() {
					total += max(0, e.number)
				} else {
					total += e.number
				}
			}
		}
	}
	sort.Float64s(numbers)
	switch m.kind {
	case "event_count":
		over := slices.ContainsFunc(m.over, func(o int) bool { return o >= 0 })
		if !over {
			return m.met(float64(len(numbers)))
		}
		return m.met(distinct(func(e seen) string {
			if e.id != "" {
				return e.id
			}
			return fmt.Sprint(e.seq)
		}))
	case "value_count":
		if m.travel {
			for _, a := range es {
				for _, b := range es {
					km := chord(a.where, b.where)
					if hours := math.Abs(float64(a.time-b.time)) / 3600; km >= 50 && km/100_000 > hours {
						return true
					}
				}
			}
			return false
		}
		return m.met(distinct(func(e seen) string { return e.value }))
	case "value_sum":
		return m.met(total)
	case "value_avg":
		return m.met(total / float64(len(numbers)))
	case "value_median":
		n := len(numbers)
		return m.met((numbers[(n+1)/2-1] + numbers[n/2]) / 2)
	case "value_percentile":
		return m.met(numbers[max(1, int(math.Ceil(m.percent/100*float64(len(numbers)))))-1])
	}
	has := func(p int) bool { return slices.ContainsFunc(es, func(e seen) bool { return e.place == p }) }
	if m.kind == "temporal" {
		if m.expr != nil {
			return m.expr.holds(has)
		}
		return m.met(distinct(func(e seen) string { return fmt.Sprint(e.place) }))
	}
	// Every set of rules that match one behind the other.
	best := 0
	for set := range 1 << rules {
		at, ok, n := int64(math.MinInt64), true, 0
		for p := range rules {
			if set>>p&1 == 0 {
				continue
			}
			n++
			i := slices.IndexFunc(es, func(e seen) bool { return e.place == p && e.time >= at })
			if i < 0 {
				ok = false
				break
			}
			at = es[i].time
		}
		if !ok {
			continue
		}
		best = max(best, n)
		if m.expr != nil {
			// Rules that the set leaves out, while they match, only speak where
			// they are negated.
			if m.expr.signed(func(p int) bool { return set>>p&1 == 1 }, has, false) {
				return true
			}
		}
	}
	return m.expr == nil && m.met(float64(best))
}

// chord gives the kilometres between two places from the angle between their
// vectors.
func chord(a, b string) float64 {
	vector := func(text string) (v [3]float64) {
		var lat, lon float64
		fmt.Sscanf(text, "%g,%g", &lat, &lon)
		lat, lon = lat*math.Pi/180, lon*math.Pi/180
		return [3]float64{math.Cos(lat) * math.Cos(lon), math.Cos(lat) * math.Sin(lon), math.Sin(lat)}
	}
	va, vb := vector(a), vector(b)
	dot := 0.0
	for i := range va {
		dot += va[i] * vb[i]
	}
	return 6371.0088 * math.Acos(min(1, dot))
}

// signed is holds with one answer where a rule is asked for and another where
// it is negated.
func (n *node) signed(wanted, unwanted func(int) bool, negated bool) bool {
	switch n.op {
	case "":
		if negated {
			return !unwanted(n.place)
		}
		return wanted(n.place)
	case "not":
		return n.args[0].signed(wanted, unwanted, !negated)
	}
	a, b := n.args[0].signed(wanted, unwanted, negated), n.args[1].signed(wanted, unwanted, negated)
	if (n.op == "and") != negated {
		return a && b
	}
	return a || b
}

func (m *model) opens(place int) bool {
	if m.kind != "temporal_ordered" || m.expr == nil || m.rising() {
		return true
	}
	var positive func(n *node, negated bool) bool
	positive = func(n *node, negated bool) bool {
		switch n.op {
		case "":
			return n.place == place && !negated
		case "not":
			return positive(n.args[0], !negated)
		}
		return positive(n.args[0], negated) || positive(n.args[1], negated)
	}
	return positive(m.expr, false)
}

func (m *model) firing(key []string, tenant string, from int64) string {
	h := sha256.New()
	h.Write(append([]byte(m.id), 0))
	h.Write(appendKey(nil, tenant, key))
	cell := int64(math.Floor(float64(from) / float64(m.span)))
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(cell)))
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// oracle gives the ids that have to fire. now is the time at the end of the
// stream, in seconds of arrival.
func oracleAll(models []*model, stream []*sample, lateness, now int64) []string {
	firings := map[string]bool{}
	shown := make([][]seen, len(models)) // what each correlation hands on
	for at, m := range models {
		groups := map[string][]seen{}
		put := func(e seen) {
			tenant := e.tenant
			if m.city {
				tenant = ""
			}
			groups[tenant+"\x00"+e.user] = append(groups[tenant+"\x00"+e.user], e)
		}
		for place, o := range m.over {
			if o < 0 {
				for _, e := range stream {
					if slices.Contains(e.matches, place) {
						put(seen{sample: e, time: e.time, place: place})
					}
				}
				continue
			}
			for _, e := range shown[o] {
				e.place = place
				put(e)
			}
		}
		for key, es := range groups {
			tenant, user, _ := strings.Cut(key, "\x00")
			slices.SortStableFunc(es, func(a, b seen) int { return cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.seq, b.seq)) })
			show := func(from int64, e seen, time int64) {
				id := m.firing([]string{user}, tenant, from)
				if !m.silent {
					firings[id] = true
				}
				e.id, e.time = id, time
				shown[at] = append(shown[at], e)
			}
			window := func(from, to int64) (out []seen) { // both inclusive
				for _, e := range es {
					if e.time >= from && e.time <= to {
						out = append(out, e)
					}
				}
				return out
			}
			switch {
			case m.absent:
				for i, e := range es {
					gap := i+1 < len(es) && es[i+1].time-e.time > m.span
					if gap || i+1 == len(es) && now > e.time+m.span+lateness {
						show(e.time, e, e.time+m.span)
					}
				}
			case m.rising():
				done := map[string]bool{}
				for _, last := range es {
					for _, first := range es {
						if first.time > last.time || last.time >= first.time+m.span || !m.holds(window(first.time, last.time), len(m.over)) {
							continue
						}
						id := m.firing([]string{user}, tenant, first.time)
						if mark := fmt.Sprint(id, last.seq, " ", last.time, last.id); !done[mark] {
							done[mark] = true
							show(first.time, last, last.time)
						}
					}
				}
			default:
				until := int64(math.MinInt64)
				for _, e := range es {
					if e.time < until || !m.opens(e.place) {
						continue
					}
					in := window(e.time, e.time+m.span-1)
					if m.holds(in, len(m.over)) {
						last := in[len(in)-1]
						show(e.time, last, last.time)
					}
					until = e.time + m.span
				}
			}
		}
	}
	var out []string
	for id := range firings {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}

// random makes correlations: a first one over events, and with some chance
// others over it.
func random(rng *rand.Rand) []*model {
	var list []*model
	for {
		m := &model{id: fmt.Sprint("c", len(list)), span: int64(2 + rng.IntN(12)), city: rng.IntN(4) == 0}
		n := 1 + rng.IntN(3)
		for p := range n {
			o := -1
			if len(list) > 0 && (p == 0 || rng.IntN(3) == 0) {
				if at := rng.IntN(len(list)); !slices.Contains(m.over, at) {
					o = at
				}
			}
			m.over = append(m.over, o)
		}
		kinds := []string{"event_count", "value_count", "temporal", "temporal_ordered", "value_sum", "value_avg", "value_percentile", "value_median", "absence", "travel"}
		m.kind = kinds[rng.IntN(len(kinds))]
		random := func(most int) {
			switch v := float64(1 + rng.IntN(most)); rng.IntN(7) {
			case 0, 1:
				m.bounds = []bound{{"gte", v}}
			case 2:
				m.bounds = []bound{{"gt", v}}
			case 3:
				m.bounds = []bound{{"lt", v + 1}}
			case 4:
				m.bounds = []bound{{"eq", v}}
			case 5:
				m.bounds = []bound{{"gte", v}, {"lte", v + 2}}
			default:
				m.bounds = []bound{{"neq", v}}
			}
		}
		switch m.kind {
		case "absence":
			m.kind, m.absent, m.bounds = "event_count", true, []bound{{"eq", 0}}
		case "travel":
			m.kind, m.travel, m.bounds = "value_count", true, []bound{{"gte", 2}}
		case "event_count", "value_count":
			random(5)
		case "temporal", "temporal_ordered":
			switch rng.IntN(3) {
			case 0:
				m.bounds = []bound{{"gte", float64(n)}}
			case 1:
				random(n)
			default:
				m.expr = &node{place: 0}
				for p := 1; p < n; p++ {
					m.expr = &node{op: []string{"and", "or"}[rng.IntN(2)], args: []*node{m.expr, {place: p}}}
					if rng.IntN(4) == 0 {
						m.expr.args[1] = &node{op: "not", args: []*node{{place: p}}}
					}
				}
				if n > 1 && rng.IntN(5) == 0 {
					m.expr = &node{op: "not", args: []*node{m.expr}}
				}
			}
		default:
			random(20)
			m.percent = float64(rng.IntN(101))
		}
		list = append(list, m)
		if rng.IntN(2) == 0 || len(list) == 4 {
			break
		}
	}
	for _, m := range list {
		for _, o := range m.over {
			if o >= 0 {
				list[o].silent = rng.IntN(2) == 0
			}
		}
	}
	return list
}

// rules brings models into the form of the state.
func rules(t testing.TB, models []*model, lateness int64) []Rule {
	out := make([]Rule, len(models))
	for at, m := range models {
		var names []string
		for p := range m.over {
			names = append(names, fmt.Sprint("r", p))
		}
		var b strings.Builder
		fmt.Fprintf(&b, "title: c\nid: %s\ncorrelation:\n  type: %s\n  rules: [%s]\n  group-by: [user]\n  timespan: %ds\n", m.id, m.kind, strings.Join(names, ", "), m.span)
		if m.expr != nil {
			fmt.Fprintf(&b, "  condition: %s\n", m.expr.text(names))
		} else {
			b.WriteString("  condition:\n")
			for _, one := range m.bounds {
				fmt.Fprintf(&b, "    %s: %g\n", one.op, one.v)
			}
			if strings.HasPrefix(m.kind, "value_") {
				b.WriteString("    field: v\n")
			}
			if m.kind == "value_percentile" {
				fmt.Fprintf(&b, "    percentile: %g\n", m.percent)
			}
		}
		if m.absent {
			b.WriteString("icewatch: {absence: true}\n")
		}
		if m.travel {
			b.WriteString("icewatch: {travel: {kmh: 100000, least_km: 50}}\n")
		}
		m.text = b.String()
		parsed, errs := sigma.Parse([]byte(m.text), nil)
		if len(errs) > 0 {
			t.Fatalf("%v in\n%s", errs, m.text)
		}
		out[at] = Rule{ID: m.id, Fingerprint: "1", Sigma: parsed[0].Correlation, City: m.city, Silent: m.silent,
			Over: slices.ContainsFunc(m.over, func(o int) bool { return o >= 0 })}
		for place, o := range m.over {
			if o >= 0 {
				out[o].Then = append(out[o].Then, Input{Rule: at, Place: place})
			}
		}
	}
	return out
}

// possible tells whether the parser takes a model's condition: it refuses what
// is never met.
func possible(m *model) bool {
	if m.kind == "temporal_ordered" && m.expr != nil && !slices.ContainsFunc([]int{0, 1, 2}, m.opens) {
		return false
	}
	if m.expr != nil {
		// A contradiction is refused as well.
		for set := range 1 << len(m.over) {
			if m.expr.holds(func(p int) bool { return set>>p&1 == 1 }) {
				return true
			}
		}
		return false
	}
	if m.absent || strings.HasPrefix(m.kind, "value_") && m.kind != "value_count" {
		return true
	}
	for n := 1.0; n < 50; n++ {
		if m.met(n) {
			return true
		}
	}
	return false
}

// stream makes events in the order of time, the last of them at the end.
func stream(rng *rand.Rand) []*sample {
	var out []*sample
	at := int64(1000 + rng.IntN(50))
	for i := range 10 + rng.IntN(40) {
		at += int64(rng.IntN(4))
		if rng.IntN(12) == 0 {
			at += int64(rng.IntN(40))
		}
		e := &sample{time: at, seq: uint64(i), tenant: string(rune('s' + rng.IntN(2))), user: string(rune('a' + rng.IntN(2))), value: string(rune('a' + rng.IntN(5))),
			where:  []string{"0,0", "0,0.3", "0,1", "1,0", "0,2", "-0.2,3.1", "50,120", "-50,-60"}[min(rng.IntN(8), rng.IntN(8))],
			number: float64(rng.IntN(12) - 2), weight: 1}
		if rng.IntN(10) == 0 {
			e.weight = 1 + rng.IntN(3)
		}
		for p := range 3 {
			if rng.IntN(2) == 0 {
				e.matches = append(e.matches, p)
			}
		}
		out = append(out, e)
	}
	return out
}

// disorder puts events into an order in which none is later than the lateness
// against any before it, and repeats some.
func disorder(rng *rand.Rand, in []*sample, lateness int64) []*sample {
	type late struct {
		*sample
		at int64
	}
	var list []late
	for _, e := range in {
		list = append(list, late{e, e.time + int64(rng.IntN(int(lateness)+1))})
		if rng.IntN(8) == 0 {
			list = append(list, late{e, e.time + int64(rng.IntN(int(lateness)+1))})
		}
	}
	rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	slices.SortStableFunc(list, func(a, b late) int { return cmp.Compare(a.at, b.at) })
	out := make([]*sample, len(list))
	for i, e := range list {
		out[i] = e.sample
	}
	return out
}

// player sends samples to a state as the engine does.
type player struct {
	models []*model
	rules  []Rule
	state  *State
	clock  int64
	got    []string
}

func (p *player) emit(f Firing) {
	p.got = append(p.got, f.ID)
}

func (p *player) links(at int, e *sample) func() []Link {
	if len(p.rules[at].Then) == 0 {
		return nil
	}
	return func() []Link {
		var out []Link
		for _, next := range p.rules[at].Then {
			l := Link{Group: []string{e.user}, Values: p.values(next.Rule, e)}
			if then := p.links(next.Rule, e); then != nil {
				l.Then = then()
			}
			out = append(out, l)
		}
		return out
	}
}

func (p *player) values(at int, e *sample) []string {
	switch kind := p.models[at].kind; {
	case p.models[at].travel:
		return []string{e.where}
	case kind == "value_count":
		return []string{e.value}
	case strings.HasPrefix(kind, "value_"):
		return []string{strconv.FormatFloat(e.number, 'g', -1, 64)}
	}
	return nil
}

func (p *player) send(e *sample) {
	p.clock = max(p.clock, e.time)
	p.state.Advance(p.clock*second, p.emit)
	for at, m := range p.models {
		for place, o := range m.over {
			if o >= 0 || !slices.Contains(e.matches, place) {
				continue
			}
			p.state.Add(at, Match{Time: e.time * second, Arrived: p.clock * second, Event: event.ID{Epoch: "e", Sequence: e.seq}, Place: place, Tenant: e.tenant,
				Group: []string{e.user}, Values: p.values(at, e), Weight: e.weight, Fields: inOrder(map[string]string{"u": e.user}),
				Then: p.links(at, e)}, p.emit)
		}
	}
}

// TestOracle compares random correlations on random streams, out of order and
// with repetitions, and with a restart from a snapshot in the middle, with the
// oracle. ICEWATCH_CORRELATIONS sets the number of cases, ICEWATCH_SEED where
// they begin.
func TestOracle(t *testing.T) {
	t.Parallel()
	cases, seed := 6000, uint64(1)
	if n, err := strconv.Atoi(os.Getenv("ICEWATCH_CORRELATIONS")); err == nil {
		cases = n
	}
	if n, err := strconv.ParseUint(os.Getenv("ICEWATCH_SEED"), 10, 64); err == nil {
		seed = n
	}
	begun, fired := time.Now(), 0
	for i := range cases {
		if n := oracleCase(t, seed+uint64(i)); n < 0 {
			t.Fatalf("run it alone with ICEWATCH_SEED=%d ICEWATCH_CORRELATIONS=1", seed+uint64(i))
		} else if n > 0 {
			fired++
		}
	}
	if fired < cases/4 {
		t.Errorf("only %d of %d cases fire", fired, cases)
	}
	t.Logf("%d cases, %d of them fire, in %v", cases, fired, time.Since(begun).Round(time.Millisecond))
}

// TestOracleAgain holds cases that failed once, by their seeds.
func TestOracleAgain(t *testing.T) {
	t.Parallel()
	for seed, of := range map[uint64]string{
		11772: "a late event begins a window in which others lie too far apart",
	} {
		if oracleCase(t, seed) < 0 {
			t.Errorf("seed %d: %s", seed, of)
		}
	}
}

// oneCase is a random case: correlations, a stream, and the order in which it is sent.
type oneCase struct {
	models   []*model
	lateness int64
	sent     []*sample
	slack    int // entries beyond which a group is made compact
	cut      int // before which event the state is restored from a snapshot
}

// run gives the ids that fired and those that have to. bad tells what else is
// wrong, if anything.
func (c *oneCase) run(t *testing.T) (got, want []string, bad string) {
	p := &player{models: c.models, rules: rules(t, c.models, c.lateness)}
	fresh := func() *State {
		s := New(p.rules, Options{Lateness: time.Duration(c.lateness) * time.Second})
		s.slack = c.slack
		return s
	}
	p.state = fresh()
	for i, e := range c.sent {
		if i == c.cut {
			next := fresh()
			if _, err := next.Restore(p.state.Snapshot()); err != nil {
				t.Fatal(err)
			}
			p.state = next
		}
		p.send(e)
	}
	// Time goes on far enough that everything is over.
	end := p.clock + 10_000
	for at := p.clock; at <= end; at += 100 {
		p.state.Advance(at*second, p.emit)
	}
	if st := p.state.Stats(); st.Late > 0 || st.Groups > 0 || st.Bytes != 0 {
		bad = fmt.Sprintf("stats %+v", st)
	}
	slices.Sort(p.got)
	ordered := slices.Clone(c.sent)
	slices.SortStableFunc(ordered, func(a, b *sample) int { return cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.seq, b.seq)) })
	want = oracleAll(c.models, slices.CompactFunc(ordered, func(a, b *sample) bool { return a.seq == b.seq }), c.lateness, end)
	if bad == "" && !slices.Equal(p.got, want) {
		bad = fmt.Sprintf("%d firings, %d are right", len(p.got), len(want))
	}
	return p.got, want, bad
}

// smaller leaves out what is not needed for the case to fail.
func (c *oneCase) smaller(t *testing.T) *oneCase {
	for i := 0; i < len(c.sent); {
		less := *c
		less.sent = slices.Delete(slices.Clone(c.sent), i, i+1)
		if i < c.cut {
			less.cut--
		}
		if _, _, bad := less.run(t); bad != "" {
			c, i = &less, 0
			continue
		}
		i++
	}
	return c
}

// oracleCase runs a case and gives how many firings it has, -1 where it fails.
func oracleCase(t *testing.T, seed uint64) int {
	rng := rand.New(rand.NewPCG(seed, 77))
	c := &oneCase{models: random(rng)}
	for _, m := range c.models {
		if !possible(m) {
			return 0
		}
	}
	c.lateness = int64(1 + rng.IntN(10))
	c.sent = disorder(rng, stream(rng), c.lateness)
	c.slack = 1 + rng.IntN(10)
	c.cut = rng.IntN(len(c.sent))
	_, want, bad := c.run(t)
	if bad == "" {
		return len(want)
	}
	c = c.smaller(t)
	got, want, bad := c.run(t)
	t.Errorf("seed %d: %s; lateness %d, slack %d, restored before %d\n got %v\nwant %v", seed, bad, c.lateness, c.slack, c.cut, got, want)
	for _, m := range c.models {
		t.Logf("city %v silent %v over %v\n%s", m.city, m.silent, m.over, m.text)
		for _, id := range slices.Compact(slices.Sorted(slices.Values(slices.Concat(got, want)))) {
			for cell := int64(-300); cell < 3000; cell++ {
				for _, tenant := range []string{"", "s", "t"} {
					for _, user := range []string{"a", "b"} {
						if m.firing([]string{user}, tenant, cell*m.span) == id {
							t.Logf("  fires for %q %s in the cell of %d: %v, %v is right", tenant, user, cell*m.span, slices.Contains(got, id), slices.Contains(want, id))
						}
					}
				}
			}
		}
	}
	for _, e := range c.sent {
		t.Logf("%d #%d %s/%s %s %g x%d %v", e.time, e.seq, e.tenant, e.user, e.value, e.number, e.weight, e.matches)
	}
	return -1
}
