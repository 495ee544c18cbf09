package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	rules "icewatch/detections/engine"
	"icewatch/detections/ruleset"
	"icewatch/soc/condition"
)

// RuleSet is the rules in force as the engine knows them.
type RuleSet struct {
	rules.Report
	Phases   rules.Phases      `json:"phases"`
	Problems []ruleset.Problem `json:"problems"` // rules that are not in force
}

// takeRules puts a bundle in force. Events go on meanwhile; only the last step,
// the swap, comes between two of them.
func (e *Engine) takeRules(data []byte) error {
	e.swapped.Lock()
	defer e.swapped.Unlock()
	got := time.Now()
	bundle, err := ruleset.Decode(data)
	if err != nil {
		return err
	}
	decoded := time.Now()
	set, problems := e.rules.Compile(bundle, e.reg, ruleset.Options{NoPolicies: true})
	compiled := time.Now()
	e.detect.Swap(set)
	now := time.Now()
	o, t := &bundle.Origin, set.Timing()
	begun := o.Noticed
	p := rules.Phases{Read: o.Read.Seconds(), Check: (o.Check.Parse + o.Check.Program + o.Check.Rest).Seconds(), Send: max(0, got.Sub(o.Sent).Seconds()), Decode: decoded.Sub(got).Seconds(),
		Parse: t.Parse.Seconds(), Compile: t.Program.Seconds(), Rest: t.Rest.Seconds(), Swap: now.Sub(compiled).Seconds(), Parsed: t.Parsed, Reused: t.Reused}
	// A file that was moved here may have been written long ago.
	if wait := o.Noticed.Sub(o.Written); wait > 0 && wait < time.Minute {
		p.Notice, begun = wait.Seconds(), o.Written
	}
	p.Total = max(0, now.Sub(begun).Seconds())
	e.phases.Store(&p)
	e.problems.Store(&problems)
	e.version.Store(&bundle.Version)
	e.log.Info("engine: rules in force", "version", bundle.Version, "rules", len(set.Detections())+len(set.Correlations()), "rejected", len(problems),
		"took", now.Sub(got).Round(time.Millisecond), "since_the_change", time.Duration(p.Total*float64(time.Second)).Round(time.Millisecond), "parsed", t.Parsed, "reused", t.Reused)
	return nil
}

// ruleSet tells of the rules in force.
func (e *Engine) ruleSet() RuleSet { return e.told(e.detect.Report(), *e.problems.Load()) }

func (e *Engine) told(r rules.Report, problems []ruleset.Problem) RuleSet {
	s := RuleSet{Report: r, Problems: problems}
	if p := e.phases.Load(); p != nil {
		s.Phases = *p
	}
	return s
}

// watchRules looks after the rules' time, and raises a condition for each rule
// that does not run freely, until ctx ends.
func (e *Engine) watchRules(ctx context.Context) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	var evictions evictions
	for {
		select {
		case <-t.C:
			e.detect.Judge()
			tellThrottled(e.health.board, e.detect.Throttled())
			evictions.tell(e.health.board, e.detect.Windows(), time.Now())
		case <-ctx.Done():
			return
		}
	}
}

// throttleKinds are the conditions of rules, by the rule's state.
var throttleKinds = map[string]struct {
	kind     string
	severity condition.Severity
}{
	rules.Flooding: {condition.RuleFlood, condition.Medium},
	rules.SetAside: {condition.RuleSlow, condition.High},
	rules.Failed:   {condition.RuleFailed, condition.High},
}

// tellThrottled keeps a condition for each rule that does not run freely, and
// no others of these kinds.
func tellThrottled(board *condition.Board, now []rules.Throttle) {
	stands := map[[2]string]bool{}
	for _, t := range now {
		k := throttleKinds[t.State]
		stands[[2]string{k.kind, t.Rule}] = true
		board.Set(condition.Condition{Kind: k.kind, Key: t.Rule, Severity: k.severity, Since: t.Since,
			Text: condition.Text{ZH: t.Title.ZH + "：" + t.Reason.ZH, EN: t.Title.EN + ": " + t.Reason.EN}})
	}
	for _, c := range board.List() {
		if strings.HasPrefix(c.Kind, "rule-") && !stands[[2]string{c.Kind, c.Key}] {
			board.Clear(c.Kind, c.Key)
		}
	}
}

// calm is how long no group must have been dropped for the alarm to end.
const calm = 5 * time.Minute

// evictions remembers when correlations last lost groups to their memory.
type evictions struct {
	count uint64
	last  time.Time
}

// tell keeps a condition from when groups are dropped until none was for a while.
func (v *evictions) tell(board *condition.Board, w rules.Windows, now time.Time) {
	switch {
	case w.Evicted != v.count:
		v.count, v.last = w.Evicted, now
		text := w.Full()
		board.Set(condition.Condition{Kind: condition.CorrelationFull, Severity: condition.High, Text: condition.Text{ZH: text.ZH, EN: text.EN}})
	case !v.last.IsZero() && now.Sub(v.last) >= calm:
		v.last = time.Time{}
		board.Clear(condition.CorrelationFull, "")
	}
}

// detectIdle raises what was held back in a flood after which nothing comes.
func (e *Engine) detectIdle(ctx context.Context, at time.Time) error {
	e.pending = e.pending[:0]
	clear(e.byKey)
	e.halfway = true
	e.detect.Tick(at, e.raise)
	if err := e.publish(ctx); err != nil {
		return err
	}
	e.halfway = false
	return nil
}

func (e *Engine) ruleHandlers(mux *http.ServeMux) {
	mux.HandleFunc("GET /rules", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(e.ruleSet())
	})
	mux.HandleFunc("GET /rules/hits", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(e.detect.Hits())
	})
	mux.HandleFunc("GET /rules/brief", func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.ParseUint(r.URL.Query().Get("costs"), 10, 16)
		if err != nil {
			http.Error(w, "costs: how many of the costliest rules are told of: "+err.Error(), http.StatusBadRequest)
			return
		}
		_ = json.NewEncoder(w).Encode(e.told(e.detect.Brief(int(n)), []ruleset.Problem{}))
	})
}

// RuleSet asks the engine about its rules.
func (c *Client) RuleSet(ctx context.Context) (s RuleSet, err error) {
	err = c.get(ctx, "rules", &s)
	return s, err
}

// RulesBrief asks what RuleSet does, but for the problems, and no more costs than
// those of the n costliest rules: of thousands of rules little is left.
func (c *Client) RulesBrief(ctx context.Context, n int) (s RuleSet, err error) {
	err = c.get(ctx, fmt.Sprintf("rules/brief?costs=%d", n), &s)
	return s, err
}

// RuleHits asks how many hits the rules have, by id; those that have none are
// left out.
func (c *Client) RuleHits(ctx context.Context) (hits map[string]uint64, err error) {
	err = c.get(ctx, "rules/hits", &hits)
	return hits, err
}
