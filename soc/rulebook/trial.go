package rulebook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/valyala/fastjson"

	"icewatch/detections"
	"icewatch/detections/engine"
	"icewatch/detections/ruleset"
	"icewatch/detections/sigma"
	"icewatch/soc/event"
)

// Bounds of a trial.
const (
	TrialRows    = 1_000_000       // events looked at, at most
	TrialTime    = 2 * time.Minute // and for how long
	TrialSamples = 50              // firings shown
	trialMatches = 50_000          // matching events kept to be counted in windows
	trialBytes   = 128 << 20       // and their bytes
	trialBuckets = 60
)

// Rows hands over the events of a stretch of time in any order, each as a flat
// JSON object that is valid during the call. An error of emit ends it and
// comes back as it is.
type Rows func(ctx context.Context, from, to time.Time, emit func(row []byte) error) error

// Progress is how far a trial has come.
type Progress struct {
	Events  uint64    `json:"events" doc:"Events looked at so far"`
	Matches uint64    `json:"matches" doc:"Of these, events that match a rule of the file"`
	Reached time.Time `json:"reached" doc:"Everything from here to the end of the range was looked at"`
	Share   float64   `json:"share" doc:"Part of the range that was looked at, 0 to 1"`
}

// Firing is a sample of what the rule would have raised.
type Firing struct {
	Rule     string             `json:"rule"`
	Time     time.Time          `json:"time"`
	Tenant   string             `json:"tenant"`
	Sentence detections.Text    `json:"sentence"`
	Count    int                `json:"count" doc:"Events behind it"`
	Group    []detections.Pair  `json:"group" nullable:"false"`
	Evidence []detections.Match `json:"evidence" nullable:"false"`
	EventIDs []string           `json:"event_ids" nullable:"false"`
	Fields   map[string]string  `json:"fields"`
}

// Outcome is the result of a trial.
type Outcome struct {
	Progress
	Start     time.Time `json:"start"`
	End       time.Time `json:"end"`
	Firings   uint64    `json:"firings" doc:"Times the rule would have fired: matching events, or windows that are full"`
	Alerts    int       `json:"alerts" doc:"Alerts these make: firings of one rule for one group are one"`
	Buckets   []uint64  `json:"buckets" nullable:"false" doc:"Firings over the range, in stretches of equal length"`
	Samples   []Firing  `json:"samples" nullable:"false" doc:"The latest firings, at most 50"`
	Whole     bool      `json:"whole" doc:"The whole range was looked at"`
	Stopped   string    `json:"stopped,omitempty" enum:"rows,time,matches,cancelled" doc:"Why it was not"`
	Seconds   float64   `json:"seconds"`
	PerSecond float64   `json:"per_second" doc:"Events looked at a second, reading included"`
}

var errEnough = errors.New("enough")

type trial struct {
	set     *ruleset.Set
	reg     *event.Registry
	decode  decoder
	matched []found
	bytes   int
	out     Outcome
}

// found is a matching event, kept to be judged in the order of time.
type found struct {
	at  int64
	row []byte
}

// Try runs a rule's file over stored events from end back to start and tells
// what it would have raised. tell is called now and then with how far it has
// come; an error of it, and the end of ctx, cut the trial short, with what was
// found until then. A file that is not valid is ErrInvalid.
func (b *Book) Try(ctx context.Context, source string, with Surroundings, start, end time.Time, rows Rows, tell func(Progress) error) (Outcome, error) {
	rules, errs := sigma.Parse([]byte(source), nil)
	if len(errs) > 0 {
		return Outcome{}, fmt.Errorf("%w: %w", ErrInvalid, errs[0])
	}
	t := &trial{reg: event.NewRegistry(0)}
	set, problems := ruleset.Compile(draftBundle([]string{source}, rules, with), t.reg)
	for _, p := range problems {
		if p.Path == draftPath(0) {
			return Outcome{}, fmt.Errorf("%w: line %d: %s", ErrInvalid, p.Line, p.Reason)
		}
	}
	t.set = set
	t.decode.reg = t.reg
	t.out = Outcome{Start: start, End: end, Buckets: make([]uint64, trialBuckets), Samples: []Firing{}}
	t.out.Reached = end
	began := time.Now()
	err := t.scan(ctx, rows, tell)
	switch {
	case errors.Is(err, errEnough):
	case err != nil && ctx.Err() != nil:
		t.out.Stopped = "cancelled"
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			t.out.Stopped = "time"
		}
	case err != nil:
		return t.out, err
	default:
		t.out.Whole = true
	}
	t.judge(rules)
	t.out.Seconds = time.Since(began).Seconds()
	if t.out.Seconds > 0 {
		t.out.PerSecond = float64(t.out.Events) / t.out.Seconds
	}
	return t.out, nil
}

// scan reads stretch after stretch, the youngest first, and keeps what
// matches. A stretch is made longer or shorter so that it holds some ten
// thousand events: then how far it has come can be told.
func (t *trial) scan(ctx context.Context, rows Rows, tell func(Progress) error) error {
	if t.set.Program() == nil {
		return nil
	}
	matcher := t.set.Program().NewMatcher()
	span := time.Minute
	for to := t.out.End; to.After(t.out.Start); {
		from := to.Add(-span)
		if from.Before(t.out.Start) {
			from = t.out.Start
		}
		before := t.out.Events
		err := rows(ctx, from, to, func(row []byte) error {
			if t.out.Events >= TrialRows {
				t.out.Stopped = "rows"
				return errEnough
			}
			t.out.Events++
			ev, err := t.decode.event(row)
			if err != nil {
				return nil // what is no event cannot match
			}
			hit := false
			matcher.Match(ev, func(int, func() []detections.Match) { hit = true })
			if !hit {
				return nil
			}
			t.out.Matches++
			t.matched = append(t.matched, found{ev.Time, slices.Clone(row)})
			if t.bytes += len(row); len(t.matched) >= trialMatches || t.bytes >= trialBytes {
				t.out.Stopped = "matches"
				return errEnough
			}
			return nil
		})
		if err == nil {
			t.out.Reached = from
			t.out.Share = float64(t.out.End.Sub(from)) / float64(t.out.End.Sub(t.out.Start))
		}
		if err := cmp.Or(err, ctx.Err()); err != nil {
			return err
		}
		if err := tell(t.out.Progress); err != nil {
			t.out.Stopped = "cancelled"
			return errEnough
		}
		switch n := t.out.Events - before; {
		case n < 5_000:
			span = min(4*span, 24*time.Hour)
		case n > 50_000:
			span = max(span/4, time.Second)
		}
		to = from
	}
	return nil
}

// judge runs what matched through an engine of its own, in the order of time,
// as it would have come.
func (t *trial) judge(rules []*sigma.Rule) {
	own := map[string]bool{}
	for _, r := range rules {
		own[r.ID] = true
	}
	slices.SortStableFunc(t.matched, func(a, b found) int { return cmp.Compare(a.at, b.at) })
	e := engine.New(engine.Options{Registry: t.reg, Log: slog.New(slog.DiscardHandler)})
	e.Swap(t.set)
	alerts := map[string]bool{}
	take := func(o detections.Occurrence) {
		if !own[o.Rule.ID] {
			return // a rule that this one counts
		}
		t.out.Firings++
		alerts[o.Key] = true
		if span := t.out.End.Sub(t.out.Start); span > 0 {
			at := int(float64(o.Time.Sub(t.out.Start)) / float64(span) * trialBuckets)
			t.out.Buckets[max(0, min(at, trialBuckets-1))]++
		}
		f := Firing{Rule: o.Rule.ID, Time: o.Time, Tenant: o.Tenant, Sentence: o.Rule.Sentence, Count: o.Count, Group: o.Group, Evidence: o.Evidence, EventIDs: o.EventIDs, Fields: o.Fields}
		f.fill()
		if t.out.Samples = append(t.out.Samples, f); len(t.out.Samples) > 2*TrialSamples {
			t.out.Samples = slices.Delete(t.out.Samples, 0, TrialSamples)
		}
	}
	for i := range t.matched {
		if ev, err := t.decode.event(t.matched[i].row); err == nil {
			ev.Created = 0 // windows follow the time of the events alone
			e.Process(ev, take)
		}
	}
	// No event of the range is still to come: windows that were over at its end
	// are judged, and who fell silent within it is found.
	e.Tick(t.out.End, take)
	slices.SortStableFunc(t.out.Samples, func(a, b Firing) int { return b.Time.Compare(a.Time) })
	if len(t.out.Samples) > TrialSamples {
		t.out.Samples = t.out.Samples[:TrialSamples]
	}
	t.out.Alerts = len(alerts)
}

func (f *Firing) fill() {
	if f.Group == nil {
		f.Group = []detections.Pair{}
	}
	if f.Evidence == nil {
		f.Evidence = []detections.Match{}
	}
	if f.EventIDs == nil {
		f.EventIDs = []string{}
	}
}

// decoder makes events of the rows of a search again. An event is valid until
// the next.
type decoder struct {
	reg    *event.Registry
	parser fastjson.Parser
	inner  fastjson.Parser
	ev     event.Event
}

func (d *decoder) event(row []byte) (*event.Event, error) {
	v, err := d.parser.ParseBytes(row)
	if err != nil {
		return nil, err
	}
	o, err := v.Object()
	if err != nil {
		return nil, err
	}
	d.ev.Reset()
	o.Visit(func(key []byte, v *fastjson.Value) {
		if v.Type() != fastjson.TypeString {
			d.add(string(key), v)
			return
		}
		text := string(v.GetStringBytes())
		switch string(key) {
		case "@timestamp":
			d.ev.Time = nanos(text)
		case "event.created":
			d.ev.Created = nanos(text)
		case "event.id":
			d.ev.ID, _ = event.ParseID(text)
		case "icewatch.tenant":
			d.ev.Tenant = text
		case "event.original":
			d.ev.Raw = text
		default:
			// The lake keeps an array as its JSON text.
			if strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]") {
				if list, err := d.inner.Parse(text); err == nil && list.Type() == fastjson.TypeArray {
					d.add(string(key), list)
					return
				}
			}
			d.put(string(key), event.String, text)
		}
	})
	return &d.ev, nil
}

func nanos(text string) int64 {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return 0
	}
	return at.UnixNano()
}

func (d *decoder) add(name string, v *fastjson.Value) {
	switch v.Type() {
	case fastjson.TypeArray:
		for _, x := range v.GetArray() {
			d.add(name, x)
		}
	case fastjson.TypeString:
		d.put(name, event.String, string(v.GetStringBytes()))
	case fastjson.TypeNumber:
		d.put(name, event.Number, string(v.MarshalTo(nil)))
	case fastjson.TypeTrue, fastjson.TypeFalse:
		d.put(name, event.Bool, string(v.MarshalTo(nil)))
	case fastjson.TypeNull:
		d.put(name, event.Null, "")
	default:
		d.put(name, event.String, string(v.MarshalTo(nil)))
	}
}

func (d *decoder) put(name string, kind event.Kind, value string) {
	id, ok := d.reg.Intern(name)
	if !ok {
		return
	}
	d.ev.Fields = append(d.ev.Fields, event.Field{ID: id, Kind: kind, Value: value})
}
