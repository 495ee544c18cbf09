// Package backtest runs rules over what the lake has: the events of the past, in
// the order in which they came, through an engine of detection of its own. What it
// raises has the ids that the live engine gave, or would have given.
//
// A Judge is the pure part: events in, figures out. A Reader brings the events
// of stored batches, those alone that a rule may match; Book keeps what people
// asked for and what came of it.
package backtest

import (
	"cmp"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"slices"
	"time"

	"icewatch/detections"
	"icewatch/detections/engine"
	"icewatch/detections/ruleset"
	"icewatch/detections/suppression"
	"icewatch/soc/event"
)

// Bounds of a result.
const (
	MaxSpan    = 400 * 24 * time.Hour // of arrival, that one backtest may cover
	MaxAlerts  = 200_000              // alerts told apart; with more the backtest ends
	MaxGroups  = 500                  // alerts listed, those of most occurrences
	MaxSamples = 50                   // occurrences shown
)

// Options say what is judged.
type Options struct {
	Bundle       *ruleset.Bundle // the rules, what they refer to, and how they meet events
	Rules        []string        // ids of the rules whose occurrences count; none for all of the bundle
	Suppressions []suppression.Suppression
	From, To     time.Time      // arrival, to the millisecond; To excluded
	Zone         *time.Location // of days; nil is this machine's
	// Each is called for every occurrence that counts; nil is not.
	Each   func(*detections.Occurrence)
	Engine engine.Options // bounds and what the CMDB knows; Registry and Log may be left out
}

// DayCount is what was raised on one day, by the time of the last event behind it.
type DayCount struct {
	Date        string `json:"date" doc:"Of the engine's zone, such as 2026-11-27"`
	Occurrences uint64 `json:"occurrences" doc:"Single firings"`
	Alerts      uint64 `json:"alerts" doc:"Alerts that these belong to: those of one rule, tenant and group are one"`
	Suppressed  uint64 `json:"suppressed" doc:"Firings that a suppression of the backtest would have kept from being alerts"`
}

// SampleFiring is one firing as it would have been raised.
type SampleFiring struct {
	ID          string             `json:"id"`
	Rule        string             `json:"rule"`
	Tenant      string             `json:"tenant"`
	Time        time.Time          `json:"time"`
	Sentence    detections.Text    `json:"sentence"`
	Count       int                `json:"count" doc:"Events behind it"`
	Group       []detections.Pair  `json:"group" nullable:"false"`
	Evidence    []detections.Match `json:"evidence" nullable:"false"`
	EventIDs    []string           `json:"event_ids" nullable:"false"`
	Fields      map[string]string  `json:"fields"`
	Suppression string             `json:"suppression,omitempty" doc:"Id of the suppression that meets it"`
}

// FiredAlert is the firings of one rule for one tenant and group.
type FiredAlert struct {
	Key         string            `json:"key" doc:"As live alerts have it"`
	Rule        string            `json:"rule"`
	Tenant      string            `json:"tenant"`
	First       time.Time         `json:"first"`
	Last        time.Time         `json:"last"`
	Occurrences uint64            `json:"occurrences"`
	Events      uint64            `json:"events"`
	Suppressed  uint64            `json:"suppressed"`
	Group       []detections.Pair `json:"group" nullable:"false"`
	Title       detections.Text   `json:"title"`

	// Facts are fields of the first firing, by which it is known what the alert is
	// about and who is behind it; of the alerts listed alone.
	Facts    map[string]string `json:"facts,omitempty"`
	Incident *JoinedIncident   `json:"incident,omitempty" doc:"That was open then and would have taken the alert in"`
}

// JoinedIncident is an incident of the past that an alert would have joined.
type JoinedIncident struct {
	ID    string          `json:"id"`
	Title detections.Text `json:"title"`
	By    string          `json:"by" enum:"alert,item,actor" doc:"The same alert was raised then, or the incident is about its item or actor"`
}

// RunCost is what the rules took.
type RunCost struct {
	PerMillion float64 `json:"per_million" doc:"Seconds of one core for the rules' conditions in a million events, as the live engine would count it"`
	Asked      uint64  `json:"asked" doc:"Events for which a condition was evaluated"`
	Seconds    float64 `json:"seconds" doc:"The backtest took, waiting included"`
	PerSecond  float64 `json:"per_second" doc:"Events of the span for each of these"`
}

// Advance is how far a backtest has come.
type Advance struct {
	Reached time.Time `json:"reached" doc:"Everything that came before was judged"`
	Share   float64   `json:"share" doc:"Part of the events of the span, 0 to 1"`
	Events  uint64    `json:"events" doc:"Stored in what was judged, about, of all tenants; for who does not see all of them, those read"`
	Read    uint64    `json:"read" doc:"Of these, events that were fetched and judged; the others cannot match"`
	Fired   uint64    `json:"fired" doc:"Occurrences so far"`
}

// Findings is what came of a backtest.
type Findings struct {
	Advance
	From        time.Time         `json:"from"`
	To          time.Time         `json:"to"`
	Covered     time.Time         `json:"covered" doc:"From here on the order of arrival is known; nothing before is judged"`
	Occurrences uint64            `json:"occurrences"`
	Alerts      uint64            `json:"alerts"`
	Suppressed  uint64            `json:"suppressed"`
	Held        uint64            `json:"held" doc:"Matches held back since a rule flooded, and counted in occurrences"`
	Days        []DayCount        `json:"days" nullable:"false"`
	Rules       map[string]uint64 `json:"rules" doc:"Occurrences by rule id"`
	Met         map[string]uint64 `json:"met" doc:"Occurrences by the id of the suppression that meets them"`
	Samples     []SampleFiring    `json:"samples" nullable:"false" doc:"The latest firings"`
	List        []FiredAlert      `json:"list" nullable:"false" doc:"The alerts of most occurrences"`
	Cost        RunCost           `json:"cost"`
	Filter      string            `json:"filter" doc:"LogsQL by which events were picked; empty: all were read"`
	Joined      int               `json:"joined" doc:"Alerts of the list that an incident of then would have taken in"`
	Stopped     string            `json:"stopped,omitempty" enum:"alerts,failed,cancelled" doc:"Why it did not come to its end"`
}

// ErrAlerts says that a rule raises more alerts than can be told apart.
var ErrAlerts = fmt.Errorf("backtest: more than %d alerts: the rule is too wide", MaxAlerts)

// Judge judges events in the order in which they came. It is for one goroutine.
type Judge struct {
	opts   Options
	reg    *event.Registry
	set    *ruleset.Set
	engine *engine.Engine
	hush   *suppression.Set
	only   map[string]bool
	repeat [2]event.FieldID

	out     Findings
	days    map[string]*DayCount
	alerts  map[string]*FiredAlert
	touched map[uint64]struct{} // days' alerts
	seq     uint64
	batch   []detections.Occurrence
	byKey   map[string]int
	clock   int64
	err     error
}

// NewJudge compiles the rules. What is wrong with one that counts is an error.
func NewJudge(opts Options) (*Judge, error) {
	if opts.Bundle == nil {
		return nil, errors.New("backtest: no rules")
	}
	j := &Judge{opts: opts, reg: opts.Engine.Registry, only: map[string]bool{}, days: map[string]*DayCount{}, alerts: map[string]*FiredAlert{}, touched: map[uint64]struct{}{}, byKey: map[string]int{}}
	if j.reg == nil {
		j.reg = event.NewRegistry(0)
	}
	if j.opts.Zone == nil {
		j.opts.Zone = time.Local
	}
	j.opts.Engine.Registry = j.reg
	if j.opts.Engine.Log == nil {
		j.opts.Engine.Log = slog.New(slog.DiscardHandler)
	}
	j.opts.Engine.Slow = engine.Slow{} // it goes by the clock
	for _, id := range opts.Rules {
		j.only[id] = true
	}
	set, problems := new(ruleset.Cache).Compile(opts.Bundle, j.reg, ruleset.Options{NoPolicies: true})
	for _, p := range problems {
		if len(j.only) == 0 || j.only[p.RuleID] {
			return nil, fmt.Errorf("backtest: %s", p)
		}
	}
	if len(set.Detections()) == 0 {
		return nil, errors.New("backtest: there is no rule in what was given")
	}
	j.set = set
	hush, faults := suppression.Compile(opts.Suppressions)
	if len(faults) > 0 {
		return nil, fmt.Errorf("backtest: suppression: %w", faults[0])
	}
	j.hush = hush
	j.repeat[0], _ = j.reg.Intern("icewatch.repeat")
	j.repeat[1], _ = j.reg.Intern("icewatch.repeat.count")
	j.engine = engine.New(j.opts.Engine)
	j.engine.Swap(set)
	j.out = Findings{From: opts.From, To: opts.To, Covered: opts.From, Rules: map[string]uint64{}, Met: map[string]uint64{}, Filter: Filter(set.Program(), j.reg)}
	return j, nil
}

// Registry names the fields of the events that it is given.
func (j *Judge) Registry() *event.Registry { return j.reg }

// Filter is LogsQL that every event passes that a rule may match.
func (j *Judge) Filter() string { return j.out.Filter }

// Warm is how long before From events are judged, so that windows that were open
// then are: what is raised by then does not count.
func (j *Judge) Warm() (warm time.Duration) {
	for _, r := range j.set.Correlations() {
		warm = max(warm, 2*r.Correlation.Timespan+3*cmp.Or(r.Correlation.Lateness, j.opts.Engine.Lateness, 5*time.Minute))
	}
	return warm * time.Duration(1+min(3, len(j.set.Correlations())/2))
}

// Event judges one event.
func (j *Judge) Event(ev *event.Event) {
	if ev.ID.Sequence != j.seq {
		j.flush()
		j.seq = ev.ID.Sequence
	}
	if n := ev.Text(j.repeat[1]); n != "" && ev.Text(j.repeat[0]) == "" {
		ev.Fields = append(slices.Clip(ev.Fields), event.Field{ID: j.repeat[0], Value: n}) // it stands for so many
	}
	j.clock = max(j.clock, cmp.Or(ev.Created, ev.Time))
	j.out.Read++
	j.engine.Process(ev, j.raise)
}

// Flooding tells whether Tick has to be called for each second in which events
// came that are not judged.
func (j *Judge) Flooding() bool { return j.engine.Flooding() }

// Tick tells when an event came that is not judged.
func (j *Judge) Tick(at int64) {
	j.clock = max(j.clock, at)
	j.engine.Tick(time.Unix(0, at), j.raise)
}

// raise gathers the occurrences of a batch, as the engine does before it sends
// them: those of one rule for one group are one.
func (j *Judge) raise(o detections.Occurrence) {
	if o.Rule.Kind != ruleset.KindSigma || o.Held > 0 {
		j.batch = append(j.batch, o)
		return
	}
	at, ok := j.byKey[o.Key]
	if !ok {
		j.byKey[o.Key] = len(j.batch)
		j.batch = append(j.batch, o)
		return
	}
	p := &j.batch[at]
	p.Count += o.Count
	p.EventIDs = append(p.EventIDs, o.EventIDs...)
	p.EventIDs = p.EventIDs[max(0, len(p.EventIDs)-100):]
	if o.From.Before(p.From) {
		p.From = o.From
	}
	if o.Time.After(p.Time) {
		p.Time, p.Fields, p.Evidence, p.Rule = o.Time, o.Fields, o.Evidence, o.Rule
	}
}

func (j *Judge) flush() {
	for i := range j.batch {
		j.take(&j.batch[i])
	}
	clear(j.batch)
	j.batch = j.batch[:0]
	clear(j.byKey)
}

func (j *Judge) take(o *detections.Occurrence) {
	if len(j.only) > 0 && !j.only[o.Rule.ID] || j.clock < j.opts.From.UnixNano() {
		return
	}
	hushed := j.hush.Match(o, suppression.AssetOf(o), o.Time)
	j.out.Occurrences++
	j.out.Held += uint64(o.Held)
	j.out.Rules[o.Rule.ID]++
	date := o.Time.In(j.opts.Zone).Format(time.DateOnly)
	d := j.days[date]
	if d == nil {
		d = &DayCount{Date: date}
		j.days[date] = d
	}
	d.Occurrences++
	key := o.Tenant + "/" + o.Key // as ticketing has it
	h := fnv.New64a()
	_, _ = h.Write([]byte(date + key))
	if _, had := j.touched[h.Sum64()]; !had && len(j.touched) < 20*MaxAlerts {
		j.touched[h.Sum64()] = struct{}{}
		d.Alerts++
	}
	a := j.alerts[key]
	if a == nil {
		if len(j.alerts) >= MaxAlerts {
			j.err = ErrAlerts
			return
		}
		a = &FiredAlert{Key: o.Key, Rule: o.Rule.ID, Tenant: o.Tenant, First: o.From, Last: o.Time, Group: o.Group, Title: o.Rule.Title}
		if a.Group == nil {
			a.Group = []detections.Pair{}
		}
		if len(j.alerts) < 4*MaxGroups {
			a.Facts = factsOf(o.Fields)
		}
		j.alerts[key] = a
	}
	if o.From.Before(a.First) {
		a.First = o.From
	}
	if o.Time.After(a.Last) {
		a.Last = o.Time
	}
	a.Occurrences++
	a.Events += uint64(o.Count)
	if hushed != "" {
		j.out.Suppressed++
		d.Suppressed++
		a.Suppressed++
		j.out.Met[hushed]++
	}
	if j.opts.Each != nil {
		j.opts.Each(o)
	}
	s := SampleFiring{ID: o.ID, Rule: o.Rule.ID, Tenant: o.Tenant, Time: o.Time, Sentence: o.Rule.Sentence, Count: o.Count, Group: a.Group, Evidence: o.Evidence, EventIDs: o.EventIDs, Fields: o.Fields, Suppression: hushed}
	if s.Evidence == nil {
		s.Evidence = []detections.Match{}
	}
	if j.out.Samples = append(j.out.Samples, s); len(j.out.Samples) > 2*MaxSamples {
		j.out.Samples = slices.Delete(j.out.Samples, 0, MaxSamples)
	}
}

// facts are the fields by which ticketing knows what an alert is about.
var facts = []string{"icewatch.ci.id", "icewatch.ci.name", "icewatch.source.ci.id", "icewatch.source.ci.labels", "icewatch.source.internal", "icewatch.destination.ci.id",
	"icewatch.destination.internal", "icewatch.zone", "host.name", "host.hostname", "host.ip", "observer.name", "observer.ip", "source.ip", "destination.ip", "user.name", "user.target.name"}

func factsOf(fields map[string]string) map[string]string {
	m := map[string]string{}
	for _, name := range facts {
		if v := fields[name]; v != "" {
			m[name] = v
		}
	}
	return m
}

// Err is why it cannot go on.
func (j *Judge) Err() error { return j.err }

// Finish tells what came of it. at is a time before which nothing arrives any
// more; zero where that is not known, as when it was ended early.
func (j *Judge) Finish(at time.Time) Findings {
	j.flush()
	if !at.IsZero() {
		j.Tick(at.UnixNano())
		j.flush()
	}
	out := j.out
	out.Fired = out.Occurrences
	out.Alerts = uint64(len(j.alerts))
	out.Days, out.List = []DayCount{}, []FiredAlert{}
	for _, d := range j.days {
		out.Days = append(out.Days, *d)
	}
	slices.SortFunc(out.Days, func(a, b DayCount) int { return cmp.Compare(a.Date, b.Date) })
	for _, a := range j.alerts {
		out.List = append(out.List, *a)
	}
	slices.SortFunc(out.List, func(a, b FiredAlert) int {
		return cmp.Or(cmp.Compare(b.Occurrences, a.Occurrences), a.First.Compare(b.First), cmp.Compare(a.Key, b.Key))
	})
	out.List = out.List[:min(len(out.List), MaxGroups)]
	slices.SortStableFunc(out.Samples, func(a, b SampleFiring) int { return b.Time.Compare(a.Time) })
	if out.Samples = out.Samples[:min(len(out.Samples), MaxSamples)]; out.Samples == nil {
		out.Samples = []SampleFiring{}
	}
	for _, c := range j.engine.Report().Costs {
		out.Cost.Asked += c.Asked
		out.Cost.PerMillion += c.Seconds // of the events read; the others ask no condition
	}
	if out.Events = max(out.Events, out.Read); out.Events > 0 {
		out.Cost.PerMillion *= 1e6 / float64(out.Events)
	}
	return out
}
