package sla

import (
	"slices"
	"strings"
	"time"
)

// Case is one incident in a report.
type Case struct {
	Group  string // what the report is by: a unit, a priority, a month
	Clock  Clock
	Paused time.Duration
}

// Line is one line of a compliance report. The shares are of what is decided:
// what is still running and in time counts for neither side.
type Line struct {
	Group         string  `json:"group"`
	Incidents     int     `json:"incidents"`
	Running       int     `json:"running" doc:"Not solved yet"`
	AckMet        int     `json:"ack_met" doc:"Responded to in time"`
	AckMissed     int     `json:"ack_missed"`
	ResolveMet    int     `json:"resolve_met" doc:"Solved in time"`
	ResolveMissed int     `json:"resolve_missed"`
	ProposeMet    int     `json:"propose_met" doc:"Of confirmed device faults: a solution was proposed in time"`
	ProposeMissed int     `json:"propose_missed"`
	AckShare      float64 `json:"ack_share" doc:"Responded to in time, in percent; 100 where nothing is decided"`
	ResolveShare  float64 `json:"resolve_share"`
	AckMean       int64   `json:"ack_mean_seconds" doc:"Mean time to acknowledge (MTTA), of those that were"`
	ResolveMean   int64   `json:"resolve_mean_seconds" doc:"Mean time to resolve (MTTR) without pauses, of those that were"`
	PausedSeconds int64   `json:"paused_seconds"`
}

// Report sums cases up by their groups at now, in order, with all of them
// together as the last line, whose group is empty.
func Report(cases []Case, now time.Time) []Line {
	lines := map[string]*tally{}
	sum := &tally{}
	for _, c := range cases {
		t := lines[c.Group]
		if t == nil {
			t = &tally{line: Line{Group: c.Group}}
			lines[c.Group] = t
		}
		t.add(c, now)
		sum.add(c, now)
	}
	out := make([]Line, 0, len(lines)+1)
	for _, t := range lines {
		out = append(out, t.done())
	}
	slices.SortFunc(out, func(a, b Line) int { return strings.Compare(a.Group, b.Group) })
	total := sum.done()
	total.Group = ""
	return append(out, total)
}

type tally struct {
	line         Line
	acked        int
	resolved     int
	ack, resolve time.Duration
}

func (t *tally) add(c Case, now time.Time) {
	l := &t.line
	l.Incidents++
	l.PausedSeconds += int64(c.Paused / time.Second)
	decide := func(late, done bool, met, missed *int) {
		switch {
		case late:
			*missed++
		case done:
			*met++
		}
	}
	decide(c.Clock.AckLate(now), !c.Clock.Acked.IsZero() || !c.Clock.Resolved.IsZero(), &l.AckMet, &l.AckMissed)
	decide(c.Clock.ResolveLate(now), !c.Clock.Resolved.IsZero(), &l.ResolveMet, &l.ResolveMissed)
	if !c.Clock.ProposeDue.IsZero() {
		decide(c.Clock.ProposeLate(now), !c.Clock.Proposed.IsZero() || !c.Clock.Resolved.IsZero(), &l.ProposeMet, &l.ProposeMissed)
	}
	if !c.Clock.Acked.IsZero() {
		t.acked++
		t.ack += c.Clock.Acked.Sub(c.Clock.Opened)
	}
	if c.Clock.Resolved.IsZero() {
		l.Running++
	} else {
		t.resolved++
		t.resolve += max(0, c.Clock.Resolved.Sub(c.Clock.Opened)-c.Paused)
	}
}

func (t *tally) done() Line {
	share := func(met, missed int) float64 {
		if met+missed == 0 {
			return 100
		}
		return 100 * float64(met) / float64(met+missed)
	}
	mean := func(sum time.Duration, n int) int64 {
		if n == 0 {
			return 0
		}
		return int64(sum / time.Duration(n) / time.Second)
	}
	t.line.AckShare, t.line.ResolveShare = share(t.line.AckMet, t.line.AckMissed), share(t.line.ResolveMet, t.line.ResolveMissed)
	t.line.AckMean, t.line.ResolveMean = mean(t.ack, t.acked), mean(t.resolve, t.resolved)
	return t.line
}
