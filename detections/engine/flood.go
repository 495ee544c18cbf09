package engine

import (
	"time"

	"icewatch/detections"
	"icewatch/detections/suppression"
)

// Flood bounds what one rule may raise, so that a rule that meets far more than
// its author thought cannot bury the alerts of the others. It follows the rate
// limits of log daemons, which let bursts through and then count what they
// withhold, and Suricata's threshold "limit", which lets one alert a time span
// through for each track: systemd-journald takes 10,000 messages in 30 s of a
// service and then says how many it suppressed (journald.conf(5),
// RateLimitBurst), rsyslog's imjournal 20,000 in 600 s.
//
// Everything goes by the time of arrival that the event carries, not by the
// clock, and is part of the engine's snapshot: a replay holds back the same
// matches and raises the same occurrences.
type Flood struct {
	Rate     int           // occurrences a second, on the average of a window, up to which each is raised; 0 is without bound
	Window   time.Duration // over which the rate is taken; default 10 s
	Interval time.Duration // in a flood, one occurrence a group is raised in so long; default 10 s
}

func (f Flood) orDefault() Flood {
	if f.Window <= 0 {
		f.Window = 10 * time.Second
	}
	if f.Interval <= 0 {
		f.Interval = 10 * time.Second
	}
	return f
}

// limit is the most occurrences in a window that are no flood.
func (f Flood) limit() int64 { return max(1, int64(float64(f.Rate)*f.Window.Seconds())) }

// maxFloodGroups bounds the groups of one rule that are told apart in a flood.
// What comes of further groups is raised together, by tenant and without a
// group: a flood of forged addresses is one alert, not as many as addresses.
const maxFloodGroups = 1000

// flood is the account of one rule's occurrences. It goes into the snapshot.
type flood struct {
	From   int64       `json:"from"`            // arrival with which the window at hand began
	Count  int64       `json:"count"`           // occurrences in it
	Since  int64       `json:"since,omitempty"` // arrival since which the rule is throttled; 0 where it is not
	Held   uint64      `json:"held,omitempty"`  // matches held back since then
	Groups []*withheld `json:"groups,omitempty"`

	index map[string]*withheld
}

// withheld is what was held back of one group.
type withheld struct {
	Key  string                `json:"key"`
	Next int64                 `json:"next"` // arrival at which it may raise again
	N    int                   `json:"n"`    // matches held back
	Occ  detections.Occurrence `json:"occ"`  // stands for them, where N > 0
}

// sighting is a match or a firing that would become an occurrence.
type sighting struct {
	tenant   string
	group    []string
	from, to time.Time
	events   int
	ids      []string
	build    func() detections.Occurrence // the occurrence, which costs far more than the rest
}

// offer raises the occurrence of a sighting, or holds it back where the rule
// floods.
func (e *Engine) offer(c *compiled, s sighting, emit func(detections.Occurrence)) {
	f := &c.record.flood
	if e.flood.Rate <= 0 || !e.floods(c) {
		e.emit(s.build(), emit)
		return
	}
	key, rest := groupKey(s.tenant, s.group), false
	if len(e.suppressions.Fields(c.ID)) > 0 || c.outputs != nil {
		// What a suppression meets must not stand for what it does not meet, nor what
		// one output is for what another is.
		o := s.build()
		key += suppression.Apart(&o, o.Shared) + "\x00" + o.Rule.Output
		s.build = func() detections.Occurrence { return o }
	}
	g := f.index[key]
	if g == nil && len(f.index) >= maxFloodGroups {
		key, rest = groupKey(s.tenant, nil), true
		g = f.index[key]
	}
	if g == nil { // the first of its group, which needs no waiting
		f.add(&withheld{Key: key, Next: e.clock + int64(e.flood.Interval)})
		o := s.build()
		if rest {
			e.ungroup(c, &o)
		}
		e.emit(o, emit)
		return
	}
	f.Held++
	e.held++
	if g.N++; g.N == 1 {
		if g.Occ = s.build(); rest {
			e.ungroup(c, &g.Occ)
		}
		return
	}
	g.extend(&s)
}

// floods counts an occurrence and tells whether the rule is throttled.
func (e *Engine) floods(c *compiled) bool {
	f := &c.record.flood
	if f.Since == 0 && e.clock-f.From >= int64(e.flood.Window) {
		f.From, f.Count = e.clock, 0
	}
	f.Count++
	if f.Since == 0 && f.Count > e.flood.limit() {
		f.Since, f.Held = max(1, e.clock), 0
		e.flooding = append(e.flooding, c.record)
		e.log.Warn("a rule floods and is throttled", "rule", c.ID, "path", c.Info.Path, "occurrences", f.Count, "within", e.flood.Window)
	}
	return f.Since != 0
}

func (f *flood) add(g *withheld) {
	if f.index == nil {
		f.index = map[string]*withheld{}
	}
	f.index[g.Key] = g
	f.Groups = append(f.Groups, g)
}

// sweep raises what is due of what was held back, and ends floods that are
// over: those whose rate has sunk to half of what makes one. It does so when a
// second of arrival time has passed, so that a replay does it at the same events.
func (e *Engine) sweep(emit func(detections.Occurrence)) {
	for _, o := range e.leftover {
		e.emit(o, emit)
	}
	e.leftover = e.leftover[:0]
	second := e.clock / int64(time.Second)
	if second == e.swept {
		return
	}
	e.swept = second
	still := e.flooding[:0]
	for _, r := range e.flooding {
		f, over := &r.flood, false
		if since := e.clock - f.From; since >= int64(e.flood.Window) {
			perWindow := float64(f.Count) * float64(e.flood.Window) / float64(since)
			over = perWindow <= float64(e.flood.limit())/2
			f.From, f.Count = e.clock, 0
		}
		keep := f.Groups[:0]
		for _, g := range f.Groups {
			if !over && e.clock < g.Next {
				keep = append(keep, g)
				continue
			}
			if g.N > 0 {
				e.emit(e.release(r.rule, g), emit)
				g.Next = e.clock + int64(e.flood.Interval)
				keep = append(keep, g)
			} else {
				delete(f.index, g.Key)
			}
		}
		clear(f.Groups[len(keep):])
		f.Groups = keep
		if !over {
			still = append(still, r)
			continue
		}
		e.log.Info("a rule does not flood any more", "rule", r.rule.ID, "held_back", f.Held, "throttled_for", time.Duration(e.clock-f.Since).Round(time.Second))
		f.Since, f.Held, f.Groups, f.index = 0, 0, nil, nil
	}
	clear(e.flooding[len(still):])
	e.flooding = still
}

// release finishes what was held back of a group.
func (e *Engine) release(c *compiled, g *withheld) detections.Occurrence {
	o := g.Occ
	o.Held, o.EventIDs = g.N, lastIDs(o.EventIDs)
	e.finish(c, &o, o.Tenant, float64(o.Count))
	g.N, g.Occ = 0, detections.Occurrence{}
	return o
}

// ungroup makes an occurrence one of all groups that are not told apart.
func (e *Engine) ungroup(c *compiled, o *detections.Occurrence) {
	o.Group, o.Shared = nil, nil
	e.finish(c, o, o.Tenant, float64(o.Count))
}

// maxHeldIDs is how many events an occurrence names.
const maxHeldIDs = 100

// extend counts one more sighting. The fields stay those of the first, since
// copying an event's fields is most of what an occurrence costs.
func (g *withheld) extend(s *sighting) {
	o := &g.Occ
	o.Count += s.events
	o.Firings = g.N
	if s.from.Before(o.From) {
		o.From = s.from
	}
	if s.to.After(o.Time) {
		o.Time = s.to
	}
	o.EventIDs = append(o.EventIDs, s.ids...)
	if len(o.EventIDs) > 2*maxHeldIDs {
		o.EventIDs = lastIDs(o.EventIDs)
	}
}

// lastIDs keeps the last of the ids, in the same memory.
func lastIDs(ids []string) []string {
	if n := len(ids); n > maxHeldIDs {
		ids = append(ids[:0], ids[n-maxHeldIDs:]...)
	}
	return ids
}
