// Package ruletest runs the tests that stand beside rules as *.test.yml: raw
// log lines or flat events go through the real parsers and the real engine,
// and the case says what has to fire.
//
//	rule: 5a1f…            # id or name; default for the cases
//	set: {host.name: web-1}  # fields added to every event, as enrichment would
//	cases:
//	  - name: guessing from one address
//	    match: true          # the rule fires; or occurrences: 2 for a number
//	    steps:
//	      - line: 'sshd[{n}]: Failed password for root from 203.0.113.9 port 4{n} ssh2'
//	        repeat: 10       # {n} counts from 1
//	        every: 2s        # between repetitions; default 1s
//	      - after: 10s       # since the step before; default 1s
//	        event: {event.action: ssh_login, source.ip: 203.0.113.9}
//	        set: {icewatch.source.internal: "true"}
//	      - after: 10m       # alone: time passes and nothing comes
//	    fires: [name, …]     # instead of match: exactly these rules fire
//	    incident: true       # whether the alerts together open an incident
//	    at: "02:30"          # clock of the first step
//
// Lines may hold the places of a Stage, such as {n} and {time}. With items, what
// the CMDB would know, enrichment is the real one:
//
//	items: [{name: web-1, addresses: [10.1.2.3], labels: [backup], criticality: 4}]
package ruletest

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"icewatch/detections"
	"icewatch/detections/engine"
	"icewatch/detections/policy"
	"icewatch/detections/ruleset"
	"icewatch/soc/enrich"
	"icewatch/soc/event"
	"icewatch/soc/intake"
	"icewatch/soc/pipeline/pack"
	"icewatch/soc/pipeline/parse"
	"icewatch/soc/pipeline/workshop"
)

// Runner runs test files against one rule set.
type Runner struct {
	set      *ruleset.Set
	reg      *event.Registry
	packs    pack.Live         // lines are read as the engine reads them
	ids      map[string]string // by id and name
	positive map[string]bool
	negative map[string]bool
}

// New makes a runner. reg is the registry the set was compiled with.
func New(set *ruleset.Set, reg *event.Registry) *Runner {
	r := &Runner{set: set, reg: reg, ids: map[string]string{}, positive: map[string]bool{}, negative: map[string]bool{}}
	packs, _ := pack.Compile(workshop.Sources(), reg)
	r.packs.Store(packs)
	for _, list := range [][]*ruleset.Rule{set.Detections(), set.Correlations()} {
		for _, rule := range list {
			r.ids[rule.ID] = rule.ID
			if rule.Name != "" {
				r.ids[rule.Name] = rule.ID
			}
		}
	}
	return r
}

// File runs the cases of one file and returns a line for each that failed.
func (r *Runner) File(name string, data []byte) (cases int, failures []string) {
	f, err := Parse(data)
	if err != nil {
		return 0, []string{fmt.Sprintf("%s: %v", name, err)}
	}
	mentioned := map[string]bool{} // by the exact lists of all cases
	for i := range f.Cases {
		if f.Cases[i].Fires != nil {
			for _, rule := range *f.Cases[i].Fires {
				mentioned[r.ids[rule]] = true
			}
		}
	}
	for i := range f.Cases {
		c := &f.Cases[i]
		if err := r.run(f, c, mentioned); err != nil {
			failures = append(failures, fmt.Sprintf("%s: case %q: %v", name, c.Name, err))
		}
	}
	return len(f.Cases), failures
}

// Untested names the rules that lack a positive or a negative case.
func (r *Runner) Untested() []string {
	var out []string
	check := func(rule *ruleset.Rule) {
		switch pos, neg := r.positive[rule.ID], r.negative[rule.ID]; {
		case !pos && !neg:
			out = append(out, fmt.Sprintf("%s: rule %q has no test", rule.Info.Path, rule.Title))
		case !pos:
			out = append(out, fmt.Sprintf("%s: rule %q has no positive test", rule.Info.Path, rule.Title))
		case !neg:
			out = append(out, fmt.Sprintf("%s: rule %q has no negative test", rule.Info.Path, rule.Title))
		}
	}
	for _, rule := range r.set.Detections() {
		if !rule.Silent {
			check(rule)
		}
	}
	for _, rule := range r.set.Correlations() {
		if !rule.Silent {
			check(rule)
		}
	}
	return out
}

func (r *Runner) run(f *File, c *Case, mentioned map[string]bool) error {
	if c.Match == nil && c.Occurrences == nil && c.Fires == nil && c.Incident == nil {
		return fmt.Errorf("expects nothing: give match, occurrences, fires or incident")
	}
	if len(c.Steps) == 0 {
		return fmt.Errorf("has no steps")
	}
	fired, err := r.play(f, c)
	if err != nil {
		return err
	}
	count := map[string]int{}
	for _, o := range fired {
		count[o.Rule.ID]++
	}
	if c.Match != nil || c.Occurrences != nil {
		id, ok := r.ids[c.Rule]
		if !ok {
			return fmt.Errorf("rule %q is not in force", c.Rule)
		}
		switch {
		case c.Match != nil && *c.Match && count[id] == 0:
			return fmt.Errorf("the rule does not fire; %s", r.names(count))
		case c.Match != nil && !*c.Match && count[id] > 0:
			return fmt.Errorf("the rule fires %d times", count[id])
		case c.Occurrences != nil && *c.Occurrences != count[id]:
			return fmt.Errorf("the rule fires %d times, not %d", count[id], *c.Occurrences)
		}
		if c.Match != nil && *c.Match || c.Occurrences != nil && *c.Occurrences > 0 {
			r.positive[id] = true
		} else {
			r.negative[id] = true
		}
	}
	if c.Fires != nil {
		want := map[string]int{}
		for _, name := range *c.Fires {
			id, ok := r.ids[name]
			if !ok {
				return fmt.Errorf("rule %q is not in force", name)
			}
			want[id] = 1
		}
		if got, expected := r.names(count), r.names(want); got != expected {
			return fmt.Errorf("%s; expected: %s", got, expected)
		}
		for id := range mentioned {
			if count[id] > 0 {
				r.positive[id] = true
			} else {
				r.negative[id] = true
			}
		}
	}
	for _, o := range fired {
		if o.Rule.ID != r.ids[c.Rule] {
			continue
		}
		for _, want := range []struct {
			name  string
			party *detections.Party
			what  string
		}{{c.Attacker, o.Attacker, "attacker"}, {c.Victim, o.Victim, "victim"}} {
			if name := stage.Text(want.name); name != "" && !Is(want.party, name) {
				return fmt.Errorf("the %s is %+v, not %s", want.what, want.party, name)
			}
		}
	}
	if c.Incident != nil {
		open, why, err := r.incident(fired)
		if err != nil {
			return err
		}
		if open != *c.Incident {
			return fmt.Errorf("an incident opens: %v %s; %s", open, why, r.names(count))
		}
	}
	return nil
}

func (r *Runner) names(count map[string]int) string {
	var out []string
	for _, list := range [][]*ruleset.Rule{r.set.Detections(), r.set.Correlations()} {
		for _, rule := range list {
			if count[rule.ID] > 0 {
				name := rule.Name
				if name == "" {
					name = rule.Title
				}
				out = append(out, name)
			}
		}
	}
	sort.Strings(out)
	if len(out) == 0 {
		return "nothing fires"
	}
	return "these fire: " + strings.Join(out, ", ")
}

// stage is where cases are played.
var stage = &Stage{Start: Start, Net: "10.7", Out: "203.0.113", Tenant: "test"}

// play sends the steps through parser, enrichment and engine.
func (r *Runner) play(f *File, c *Case) ([]detections.Occurrence, error) {
	var out []detections.Occurrence
	err := r.over(r.set, f, c, func(o detections.Occurrence) { out = append(out, o) })
	return out, err
}

// over plays a case over a set of rules.
func (r *Runner) over(set *ruleset.Set, f *File, c *Case, emit func(detections.Occurrence)) error {
	eng := engine.New(engine.Options{Registry: r.reg, Log: slog.New(slog.DiscardHandler)})
	eng.Swap(set)
	err := r.events(f, c, func(m moment, ev *event.Event) {
		if ev == nil {
			eng.Tick(m.at, emit)
			return
		}
		eng.Process(ev, emit)
	})
	if err != nil {
		return err
	}
	for id, why := range eng.Stats().Disabled {
		return fmt.Errorf("rule %s panics: %s", id, why)
	}
	return nil
}

// events gives the events of a case as the engine would see them, and nil
// where time passes. An event is valid until the next.
func (r *Runner) events(f *File, c *Case, each func(moment, *event.Event)) error {
	at := c.begin(Start)
	index, err := enrich.NewIndex(enrich.Snapshot{Items: stage.Items(f, c)})
	if err != nil {
		return err
	}
	parser := parse.New(r.reg, parse.Options{Location: time.UTC, Packs: &r.packs})
	sequence := uint64(0)
	for _, m := range c.moments(at) {
		s, at := m.step, m.at
		var ev event.Event
		count := strconv.Itoa(m.n)
		switch {
		case s.Line != "":
			line := stage.text(s.Line, m.n, at)
			rec := intake.Record{Format: Format(line), Received: at.UnixNano(), Data: []byte(line)}
			parser.Parse(&rec, &ev)
		case s.Event != nil:
			if err := r.fill(&ev, s.Event, count); err != nil {
				return fmt.Errorf("step %d: %w", m.place, err)
			}
		default:
			each(m, nil)
			continue
		}
		for _, set := range []map[string]any{f.Set, c.Set, s.Set} {
			if err := r.fill(&ev, set, count); err != nil {
				return fmt.Errorf("step %d: set: %w", m.place, err)
			}
		}
		sequence++
		ev.ID = event.ID{Epoch: "test", Sequence: sequence}
		ev.Time, ev.Created, ev.Tenant = at.UnixNano(), at.UnixNano(), stage.Tenant
		if len(f.Items)+len(c.Items) > 0 {
			index.Apply(&ev)
		}
		each(m, &ev)
	}
	return nil
}

// fill puts the fields into the event; a list makes several values.
func (r *Runner) fill(ev *event.Event, fields map[string]any, n string) error {
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		id, ok := r.reg.Intern(name)
		if !ok {
			return fmt.Errorf("field %q: the registry of names is full", name)
		}
		list, several := fields[name].([]any)
		if !several {
			list = []any{fields[name]}
		}
		ev.Delete(id)
		for _, v := range list {
			fd := event.Field{ID: id}
			switch v := v.(type) {
			case nil:
				fd.Kind = event.Null
			case string:
				fd.Value = strings.ReplaceAll(v, "{n}", n)
			case bool:
				fd.Kind, fd.Value = event.Bool, strconv.FormatBool(v)
			case int, int64, uint64, float64:
				fd.Kind, fd.Value = event.Number, fmt.Sprint(v)
			default:
				return fmt.Errorf("field %q: a value is a text, number, boolean or null", name)
			}
			ev.Fields = append(ev.Fields, fd)
		}
	}
	return nil
}

// incident asks the incident policy after each firing, as ticketing does:
// firings with the same key are one alert.
func (r *Runner) incident(fired []detections.Occurrence) (open bool, why string, err error) {
	alerts := map[string]policy.Alert{}
	for i := range fired {
		o := &fired[i]
		a := policy.FromOccurrence(o)
		a.ID, a.Status = o.Key, "open"
		if had, ok := alerts[o.Key]; ok {
			a.First, a.Count = had.First, had.Count+a.Count
		}
		judged, err := r.set.Policy().Priority(context.Background(), a)
		if err != nil {
			return false, "", err
		}
		a.Priority = judged.Priority
		alerts[o.Key] = a
		in := policy.IncidentInput{Alert: a}
		for key, other := range alerts {
			if key != o.Key && (other.Item.ID == a.Item.ID && other.Item.Name == a.Item.Name || other.Actor.IP == a.Actor.IP && a.Actor.IP != "") {
				in.Related = append(in.Related, &other)
			}
		}
		d, err := r.set.Policy().Incident(context.Background(), in)
		if err != nil {
			return false, "", err
		}
		if d.Open {
			for _, reason := range d.Reasons {
				why += reason.EN + " "
			}
			return true, why, nil
		}
	}
	return false, "", nil
}
