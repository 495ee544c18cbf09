package rulebook

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"icewatch/detections"
	"icewatch/detections/engine"
	"icewatch/detections/match"
	"icewatch/detections/ruleset"
	"icewatch/detections/ruletest"
	"icewatch/detections/sigma"
	"icewatch/soc/event"
	"icewatch/soc/intake"
	"icewatch/soc/pipeline/pack"
	"icewatch/soc/pipeline/parse"
	"icewatch/soc/pipeline/workshop"
)

// Bounds of what is pasted.
const (
	PastedLines = 200
	PastedBytes = 1 << 20
	pastedValue = 2000 // bytes of a value that is shown
)

// Pasted is what a rule makes of events that somebody pasted.
type Pasted struct {
	Events  []PastedEvent `json:"events" nullable:"false"`
	Matched int           `json:"matched" doc:"Events that meet a rule of the file"`
	Firings []Firing      `json:"firings" nullable:"false" doc:"What the file's rules raise of them, in their order, a second apart; correlations among them"`
}

// PastedEvent is one of the events.
type PastedEvent struct {
	Line   int               `json:"line" doc:"On which it stands, from 1"`
	Raw    string            `json:"raw"`
	Fields map[string]string `json:"fields" doc:"As it is read"`
	Rules  []PastedRule      `json:"rules" nullable:"false" doc:"Of the file, correlations left out"`
}

// PastedRule is what one rule makes of an event.
type PastedRule struct {
	Rule       string             `json:"rule"`
	Matches    bool               `json:"matches" doc:"It fires, or is counted"`
	Elsewhere  bool               `json:"elsewhere,omitempty" doc:"The condition holds, but the event is not of the rule's log source"`
	Evidence   []detections.Match `json:"evidence" nullable:"false" doc:"Fields and values by which the condition holds"`
	Selections []PastedSelection  `json:"selections" nullable:"false"`
}

// PastedSelection is a part of a condition.
type PastedSelection struct {
	Name     string             `json:"name"`
	Holds    bool               `json:"holds"`
	Evidence []detections.Match `json:"evidence" nullable:"false"`
}

// TryPasted runs a rule's file over events that somebody pasted, one a line: JSON,
// or lines of logs, which are read by the packs that the suite comes with. A file
// that is not valid is ErrInvalid.
func (b *Book) TryPasted(source string, with Surroundings, text string) (Pasted, error) {
	out := Pasted{Events: []PastedEvent{}, Firings: []Firing{}}
	if len(text) > PastedBytes {
		return out, fmt.Errorf("%w: the events are more than %d KiB", ErrInvalid, PastedBytes>>10)
	}
	rules, errs := sigma.Parse([]byte(source), nil)
	if len(errs) > 0 {
		return out, fmt.Errorf("%w: %w", ErrInvalid, errs[0])
	}
	reg := event.NewRegistry(0)
	set, problems := ruleset.Compile(draftBundle([]string{source}, rules, with), reg)
	for _, p := range problems {
		if p.Path == draftPath(0) {
			return out, fmt.Errorf("%w: line %d: %s", ErrInvalid, p.Line, p.Reason)
		}
	}
	own := map[string]bool{}
	for _, r := range rules {
		own[r.ID] = true
	}
	probe, err := newProbe(set, own, reg)
	if err != nil {
		return out, err
	}
	reader := pastedReader{reg: reg, decode: decoder{reg: reg}}
	eng := engine.New(engine.Options{Registry: reg, Log: slog.New(slog.DiscardHandler)})
	eng.Swap(set)
	take := func(o detections.Occurrence) {
		if own[o.Rule.ID] && len(out.Firings) < TrialSamples {
			f := Firing{Rule: o.Rule.ID, Time: o.Time, Tenant: o.Tenant, Sentence: o.Rule.Sentence, Count: o.Count, Group: o.Group, Evidence: o.Evidence, EventIDs: o.EventIDs, Fields: o.Fields}
			f.fill()
			out.Firings = append(out.Firings, f)
		}
	}
	at := time.Now().UTC().Truncate(time.Second).Add(-PastedLines * time.Second)
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		if len(out.Events) >= PastedLines {
			return out, fmt.Errorf("%w: line %d: at most %d events are tried at a time", ErrInvalid, n+1, PastedLines)
		}
		ev, err := reader.read(line, at)
		if err != nil {
			return out, fmt.Errorf("%w: line %d: %w", ErrInvalid, n+1, err)
		}
		if ev.Time == 0 {
			ev.Time = at.UnixNano()
		}
		ev.Created = 0 // windows follow the time of the events alone
		ev.ID = event.ID{Epoch: "pasted", Sequence: uint64(n + 1)}
		if ev.Tenant == "" {
			ev.Tenant = "pasted"
		}
		p := PastedEvent{Line: n + 1, Raw: line, Fields: map[string]string{}, Rules: probe.ask(ev)}
		for i := range ev.Fields {
			f := &ev.Fields[i]
			name, v := reg.Name(f.ID), clipped(f.Value)
			if before, there := p.Fields[name]; there {
				v = before + ", " + v
			}
			p.Fields[name] = v
		}
		if slices.ContainsFunc(p.Rules, func(r PastedRule) bool { return r.Matches }) {
			out.Matched++
		}
		out.Events = append(out.Events, p)
		eng.Process(ev, take)
		at = at.Add(time.Second)
	}
	if len(out.Events) == 0 {
		return out, fmt.Errorf("%w: there is no event: paste one a line", ErrInvalid)
	}
	return out, nil
}

func clipped(v string) string {
	if len(v) <= pastedValue {
		return strings.Clone(v)
	}
	return strings.ToValidUTF8(v[:pastedValue], "") + "…"
}

// pastedReader reads lines as events. An event is valid until the next.
type pastedReader struct {
	reg    *event.Registry
	decode decoder
	parser *parse.Parser
	packs  pack.Live
	ev     event.Event
}

func (p *pastedReader) read(line string, at time.Time) (*event.Event, error) {
	if strings.HasPrefix(line, "{") {
		ev, err := p.decode.event([]byte(line))
		if err != nil {
			return nil, fmt.Errorf("it is not valid JSON: %w", err)
		}
		// Events of the suite have dots in their names; what others write is read as it
		// would come in.
		for i := range ev.Fields {
			if strings.Contains(p.reg.Name(ev.Fields[i].ID), ".") {
				return ev, nil
			}
		}
	}
	if p.parser == nil { // packs take a moment
		packs, _ := pack.Compile(workshop.Sources(), p.reg)
		p.packs.Store(packs)
		p.parser = parse.New(p.reg, parse.Options{Location: time.Local, Packs: &p.packs})
	}
	p.ev.Reset()
	p.parser.Parse(&intake.Record{Format: ruletest.Format(line), Received: at.UnixNano(), Data: []byte(line)}, &p.ev)
	return &p.ev, nil
}

// probe asks of an event which rules and which of their selections hold.
type probe struct {
	rules  []*ruleset.Rule
	inSet  *match.Matcher
	set    *ruleset.Set
	whole  *match.Matcher // conditions, whatever the log source
	parts  *match.Matcher
	places []place // of parts
}

type place struct{ rule, selection int }

func newProbe(set *ruleset.Set, own map[string]bool, reg *event.Registry) (*probe, error) {
	p := &probe{set: set}
	if set.Program() != nil {
		p.inSet = set.Program().NewMatcher()
	}
	var whole, parts []*sigma.Rule
	for _, r := range set.Detections() {
		if !own[r.ID] || r.Detection == nil {
			continue
		}
		whole = append(whole, &sigma.Rule{ID: r.ID, Detection: r.Detection})
		for i, sel := range r.Detection.Selections {
			parts = append(parts, &sigma.Rule{ID: r.ID, Detection: &sigma.Detection{Selections: []*sigma.Selection{sel}, Condition: &sigma.Expr{Op: sigma.ExprSelection}}})
			p.places = append(p.places, place{len(p.rules), i})
		}
		p.rules = append(p.rules, r)
	}
	for _, one := range []struct {
		into  **match.Matcher
		rules []*sigma.Rule
	}{{&p.whole, whole}, {&p.parts, parts}} {
		program, errs := match.Compile(one.rules, reg, nil)
		for _, err := range errs {
			if err != nil {
				return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
			}
		}
		*one.into = program.NewMatcher()
	}
	return p, nil
}

// onceEach is evidence that outlives the event, each once.
func onceEach(list []detections.Match) []detections.Match {
	out := []detections.Match{}
	for _, m := range list {
		m.Value = clipped(m.Value)
		if !slices.Contains(out, m) {
			out = append(out, m)
		}
	}
	return out
}

func (p *probe) ask(ev *event.Event) []PastedRule {
	out := make([]PastedRule, len(p.rules))
	at := map[string]int{}
	for i, r := range p.rules {
		at[r.ID] = i
		out[i] = PastedRule{Rule: r.ID, Evidence: []detections.Match{}, Selections: []PastedSelection{}}
		for _, sel := range r.Detection.Selections {
			out[i].Selections = append(out[i].Selections, PastedSelection{Name: sel.Name, Evidence: []detections.Match{}})
		}
	}
	p.whole.Match(ev, func(i int, evidence func() []detections.Match) {
		out[i].Elsewhere, out[i].Evidence = true, onceEach(evidence())
	})
	if p.inSet != nil {
		p.inSet.Match(ev, func(i int, _ func() []detections.Match) {
			if n, ours := at[p.set.Detections()[i].ID]; ours {
				out[n].Matches, out[n].Elsewhere = true, false
			}
		})
	}
	p.parts.Match(ev, func(i int, evidence func() []detections.Match) {
		s := &out[p.places[i].rule].Selections[p.places[i].selection]
		s.Holds, s.Evidence = true, onceEach(evidence())
	})
	return out
}
