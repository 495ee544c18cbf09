package engine

import "time"

// Slow bounds what one rule may take of the time that detection has, so that a
// rule whose condition is dear, such as a regular expression over megabytes of
// script, slows itself down and not the engine. A rule beyond the bound is set
// aside, named, and tried again after a pause, which doubles each time it
// fails.
//
// It goes by the clock, and so is the one thing that a replay may judge
// otherwise: which events a rule saw while it was set aside. The identity of
// what it raises stays the same.
type Slow struct {
	Share  float64       // of one core's time, over a window, that a rule may take; 0 is without bound
	Window time.Duration // default 10 s
	Pause  time.Duration // for which a rule is set aside the first time; default 1 min
}

// laps is how many times within a window the rules' time is looked at. A rule
// must be beyond the bound in all of them: its time is known from a sample, and
// one event during which the machine did something else is no evidence.
const laps = 5

// longestPause bounds the doubling.
const longestPause = time.Hour

func (s Slow) orDefault() Slow {
	if s.Window <= 0 {
		s.Window = 10 * time.Second
	}
	if s.Pause <= 0 {
		s.Pause = time.Minute
	}
	return s
}

// slowness is the account of one rule's time.
type slowness struct {
	known  time.Duration       // all that it took, when last looked at
	spent  [laps]time.Duration // in the laps of the last window
	over   int                 // laps in a row beyond the bound
	load   float64             // of one core, over the last window
	since  time.Time           // set aside since; zero where it is not
	until  time.Time           // when it is tried again
	pause  time.Duration       // the last one; 0 where the rule was never slow, or is cured
	calm   time.Duration       // not beyond the bound since it was tried again
	unseen uint64              // events before it was set aside
}

// judge takes one more lap in and tells whether the rule is to be set aside or
// asked again.
func (s *slowness) judge(now time.Time, lap int, total, elapsed time.Duration, o Slow) (setAside, askAgain bool) {
	spent := total - s.known
	s.known, s.spent[lap%laps] = total, spent
	sum := time.Duration(0)
	for _, d := range s.spent {
		sum += d
	}
	s.load = sum.Seconds() / (laps * elapsed).Seconds()
	if o.Share <= 0 {
		return false, false
	}
	if !s.since.IsZero() {
		if now.Before(s.until) {
			return false, false
		}
		s.since, s.until, s.over, s.calm = time.Time{}, time.Time{}, 0, 0
		return false, true
	}
	if spent.Seconds() <= o.Share*elapsed.Seconds() {
		s.over = 0
		if s.calm += elapsed; s.calm >= 10*o.Window {
			s.pause = 0
		}
		return false, false
	}
	s.calm = 0
	if s.over++; s.over < laps {
		return false, false
	}
	s.pause = min(longestPause, max(o.Pause, 2*s.pause))
	s.since, s.until, s.over = now, now.Add(s.pause), 0
	return true, false
}

// Judge looks at what each rule took of the time, sets aside those that took
// too much and has those asked again whose pause is over. It is to be called
// every second or so; it does nothing until a fifth of the window is over.
func (e *Engine) Judge() {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.opts.Now()
	elapsed := now.Sub(e.judged)
	if elapsed < e.slow.Window/laps || e.matcher == nil {
		return
	}
	first := e.judged.IsZero()
	e.judged = now
	costs := e.matcher.Costs()
	if first { // nothing to compare with yet
		for i := range e.rules {
			r := e.rules[i].record
			r.slow.known = r.before.Time + costs[i].Time
		}
		return
	}
	e.lap++
	for i := range e.rules {
		c := &e.rules[i]
		s := &c.record.slow
		switch setAside, askAgain := s.judge(now, e.lap, c.record.before.Time+costs[i].Time, elapsed, e.slow); {
		case setAside:
			e.matcher.SetAside(i, true)
			s.unseen = e.stats.Events
			e.log.Warn("a rule takes too much of the time and is set aside", "rule", c.ID, "path", c.Info.Path, "share", s.load, "for", s.pause)
		case askAgain:
			e.matcher.SetAside(i, false)
			e.log.Info("a rule that was set aside is asked again", "rule", c.ID, "events_it_did_not_see", e.stats.Events-s.unseen)
		}
	}
}
