package rhythm

import (
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"icewatch/soc/rhythm/beat"
	"icewatch/soc/state"
)

// monday is the beginning of a week.
var monday = time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)

// city is a keeper whose time is told.
type city struct {
	t    *testing.T
	db   *state.DB
	k    *Keeper
	now  time.Time
	held map[string]string // states by source
}

func newCity(t *testing.T) *city {
	t.Helper()
	db, err := state.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	c := &city{t: t, db: db, now: monday}
	c.open()
	return c
}

func (c *city) open() {
	c.t.Helper()
	k, err := Open(c.t.Context(), c.db, time.UTC)
	if err != nil {
		c.t.Fatal(err)
	}
	c.k = k
}

// pass lets time pass in slots. send tells how many events each source sends in
// the slot that begins at t. It returns what became silent or a flood, and when.
func (c *city) pass(d time.Duration, send func(t time.Time) map[string]uint64) []change {
	c.t.Helper()
	var out []change
	for end := c.now.Add(d); c.now.Before(end); {
		slot := beat.SlotOf(c.now)
		b := beat.Beats{Mark: beat.Mark{Run: "one"}}
		for name, n := range send(c.now) {
			if n > 0 {
				b.Beats = append(b.Beats, beat.Beat{Number: uint64(len(b.Beats)), New: true, Key: beat.Key{Tenant: "a", Dataset: "x", Source: name}, Last: c.now.Add(4 * time.Minute).UnixNano(), Counts: []beat.Count{{Slot: slot, Events: n}}})
			}
		}
		c.now = c.now.Add(beat.Span)
		c.k.Take(b, c.now, 15*time.Minute)
		c.k.Take(beat.Beats{Mark: beat.Mark{Run: "one"}}, c.now.Add(30*time.Second), 15*time.Minute)
		held := map[string]string{}
		for _, s := range c.k.List(c.now) {
			held[s.Source] = s.State
			if was := c.held[s.Source]; s.State != was && (s.State == Silent || s.State == Flood) {
				out = append(out, change{s.Source, s.State, c.now})
			}
		}
		c.held = held
	}
	return out
}

type change struct {
	source, state string
	at            time.Time
}

const day = 24 * time.Hour

func none(t *testing.T, what string, got []change) {
	t.Helper()
	if len(got) > 0 {
		t.Errorf("%s: %v", what, got)
	}
}

// one asserts that one source came into one state within a time.
func one(t *testing.T, got []change, source, state string, from time.Time, within time.Duration) {
	t.Helper()
	if len(got) != 1 || got[0].source != source || got[0].state != state || got[0].at.Before(from) || got[0].at.After(from.Add(within)) {
		t.Errorf("%v, want %s to be %s within %s of %s", got, source, state, within, from)
	}
}

// A source that always sends is missed within half an hour, one that works by
// day not by night and not at the weekend, and a nightly batch not by day.
func TestSilence(t *testing.T) {
	t.Parallel()
	c := newCity(t)
	r := rand.New(rand.NewPCG(1, 2))
	cut := map[string]bool{}
	batch := map[int]int{}
	send := func(at time.Time) map[string]uint64 {
		out := map[string]uint64{"always": 300 + r.Uint64N(200)}
		minute := at.Hour()*60 + at.Minute()
		if w := at.Weekday(); w != time.Saturday && w != time.Sunday && minute >= 8*60+30 && minute < 18*60 && r.IntN(10) > 0 {
			out["office"] = 1 + r.Uint64N(50)
		}
		begin, ok := batch[at.YearDay()]
		if !ok { // at two o'clock, or up to half an hour later
			begin = 120 + r.IntN(30)
			batch[at.YearDay()] = begin
		}
		if minute >= begin && minute < begin+40 {
			out["batch"] = 5000 + r.Uint64N(3000)
		}
		if r.IntN(28) == 0 { // some ten times a day, at any time
			out["rare"] = 1
		}
		for name := range cut {
			delete(out, name)
		}
		return out
	}
	none(t, "two weeks", c.pass(14*day, send))
	if err := c.k.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.open() // What was learnt outlives a restart.
	none(t, "a third week", c.pass(7*day+10*time.Hour, send))

	cut["always"] = true
	from := c.now
	one(t, c.pass(2*time.Hour, send), "always", Silent, from, 30*time.Minute)
	delete(cut, "always")
	none(t, "it sends again", c.pass(time.Hour, send))
	if c.held["always"] != OK {
		t.Errorf("it is %s", c.held["always"])
	}

	cut["office"] = true // on a Monday at one
	from = c.now
	one(t, c.pass(5*time.Hour, send), "office", Silent, from, 2*time.Hour)
	delete(cut, "office")
	none(t, "a night", c.pass(8*time.Hour, send))

	cut["batch"] = true
	c.pass(time.Duration(26-c.now.Hour())%24*time.Hour, send) // until two o'clock
	from = time.Date(c.now.Year(), c.now.Month(), c.now.Day(), 2, 0, 0, 0, time.UTC)
	one(t, c.pass(3*time.Hour, send), "batch", Silent, from, 3*time.Hour)

	cut["rare"] = true
	from = c.now
	one(t, c.pass(4*day, send), "rare", Silent, from, 3*day)
}

// A source is only watched for a day; its first weekend is none of its silence.
func TestNew(t *testing.T) {
	t.Parallel()
	c := newCity(t)
	none(t, "cut within its first day", c.pass(2*day, func(at time.Time) map[string]uint64 {
		if at.Sub(monday) < 6*time.Hour {
			return map[string]uint64{"short": 10}
		}
		return nil
	}))
	office := func(at time.Time) map[string]uint64 {
		if w := at.Weekday(); w != time.Saturday && w != time.Sunday && at.Hour() >= 8 && at.Hour() < 18 {
			return map[string]uint64{"office": 10}
		}
		return nil
	}
	none(t, "first weeks", c.pass(12*day, office))
	if c.held["office"] != OK {
		t.Errorf("it is %s", c.held["office"])
	}
}

// A flood is many times the most that is usual at that hour; one that lasts is
// the source's new way after a day.
func TestFlood(t *testing.T) {
	t.Parallel()
	c := newCity(t)
	times := uint64(1)
	send := func(at time.Time) map[string]uint64 {
		return map[string]uint64{"app": (400 + uint64(at.Minute())*10) * times, "small": 2 * times}
	}
	none(t, "three days", c.pass(3*day, send))
	times = 3
	none(t, "three times as much", c.pass(2*time.Hour, send))
	times = 40
	from := c.now
	one(t, c.pass(2*time.Hour, send), "app", Flood, from, 15*time.Minute)
	times = 1
	none(t, "as ever", c.pass(time.Hour, send))
	if c.held["app"] != OK {
		t.Errorf("it is %s", c.held["app"])
	}
	times = 40
	c.pass(3*day, send)
	if c.held["app"] != OK {
		t.Errorf("after three days it is %s", c.held["app"])
	}
}

// While the suite does not keep up, nothing is missed.
func TestUnknown(t *testing.T) {
	t.Parallel()
	c := newCity(t)
	send := func(time.Time) map[string]uint64 { return map[string]uint64{"always": 10} }
	c.pass(3*day, send)
	c.now = c.now.Add(5 * time.Hour) // nothing is heard of the counts
	none(t, "after the pause", c.pass(10*time.Minute, send))
	// Another run counts from nothing, within a slot too.
	slot := beat.SlotOf(c.now)
	at := func(run string, n uint64) beat.Beats {
		return beat.Beats{Mark: beat.Mark{Run: run, Round: n}, Beats: []beat.Beat{{New: true, Key: beat.Key{Tenant: "a", Dataset: "x", Source: "always"}, Last: c.now.Add(time.Minute).UnixNano(), Counts: []beat.Count{{Slot: slot, Events: n}}}}}
	}
	for _, b := range []beat.Beats{at("one", 3), at("one", 5), at("two", 2), at("two", 5)} {
		c.k.Take(b, c.now.Add(2*time.Minute), time.Minute)
	}
	c.k.Take(beat.Beats{Mark: beat.Mark{Run: "two"}}, c.now.Add(beat.Span+time.Second), time.Minute)
	// A key that was never told of has all told anew.
	c.k.Take(beat.Beats{Mark: beat.Mark{Run: "two", Round: 9}, Beats: []beat.Beat{{Number: 77, Last: c.now.UnixNano(), Counts: []beat.Count{{Slot: slot, Events: 1}}}}}, c.now.Add(2*time.Minute), time.Minute)
	if since, _ := c.k.From(); since != (beat.Mark{Run: "two"}) {
		t.Errorf("told on from %+v", since)
	}
	if got := c.k.List(c.now)[0]; got.Rate != round(10/beat.Span.Seconds()) {
		t.Errorf("%+v", got)
	}
	if err := c.k.Forget(t.Context(), c.k.List(c.now)[0].ID); err != nil || len(c.k.List(c.now)) != 0 {
		t.Errorf("%v, %v", err, c.k.List(c.now))
	}
}

// Many sources of all sorts raise no false alarm for two months.
func TestQuiet(t *testing.T) {
	t.Parallel()
	c := newCity(t)
	r := rand.New(rand.NewPCG(3, 4))
	begin := map[[2]int]int{}
	send := func(at time.Time) map[string]uint64 {
		out := map[string]uint64{}
		minute := at.Hour()*60 + at.Minute()
		for i := range 20 {
			if r.IntN(5+10*i) == 0 { // by chance, from every half hour to once a day
				out["chance"+string(rune('a'+i))] = 1 + r.Uint64N(5)
			}
			k := [2]int{at.YearDay(), i}
			if _, ok := begin[k]; !ok {
				begin[k] = 60*i + r.IntN(10+3*i)
			}
			if minute >= begin[k] && minute < begin[k]+10+5*i { // a batch a day
				out["batch"+string(rune('a'+i))] = 100 + r.Uint64N(2000)
			}
		}
		return out
	}
	if got := c.pass(60*day, send); len(got) > 2 {
		t.Errorf("%d false alarms of 40 sources in two months: %v", len(got), got)
	} else {
		t.Log(got)
	}
}
