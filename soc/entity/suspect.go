package entity

import (
	"cmp"
	"slices"
	"time"
)

// Side is one end of an attack.
type Side struct {
	Item     string `json:"item,omitempty" doc:"Id of the CMDB's item"`
	Name     string `json:"name,omitempty"`
	IP       string `json:"ip,omitempty"`
	Internal bool   `json:"internal,omitempty" doc:"It is ours: an item of the CMDB, or in a known network"`
}

// same tells whether two ends are one machine.
func (s Side) same(o Side) bool {
	if s.Item != "" && o.Item != "" {
		return s.Item == o.Item
	}
	return s.IP != "" && s.IP == o.IP
}

func (s Side) known() bool { return s.Item != "" || s.IP != "" }

// Sign is an alert as the search for the first break-in sees it.
type Sign struct {
	ID          string
	From, To    time.Time // its first and last event
	Attacker    Side
	Victim      Side
	Succeeded   bool // the attack got through, or what it left behind was seen
	Compromised bool // the machine was seen doing what only a broken one does
}

// Why a suspicion is what it is.
const (
	WhySucceeded   = "succeeded"   // the first attack that got through
	WhyCompromised = "compromised" // nothing was seen to get through; the first machine that behaves like a broken one
	WhyLateral     = "lateral"     // the attacker is a machine of ours, which must have been broken into before
	WhyAttempt     = "attempt"     // the time begins with the last attempt that did not get through
	WhyBegan       = "began"       // the time begins with the attack that got through
	WhyContact     = "contact"     // the time begins with the first contact of the two
	WhyOpen        = "open"        // nothing tells how long before it happened
)

// Suspicion is which machine was presumably broken into first, and between
// which times.
type Suspicion struct {
	Asset Side       `json:"asset"`
	By    Side       `json:"by" doc:"Who broke in, as far as it is known"`
	From  *time.Time `json:"from,omitempty" doc:"It happened after; absent where nothing tells"`
	To    time.Time  `json:"to" doc:"It had happened by then"`
	Alert string     `json:"alert" doc:"The first sign of it"`
	Why   []string   `json:"why" nullable:"false" doc:"succeeded, compromised, lateral, attempt, began, contact, open"`
	Seen  int        `json:"seen" doc:"Machines of ours that show signs of a break-in"`
}

// by is when what a sign tells of had happened at the latest: an attack that got
// through had done so by its last event; a machine that behaves like a broken one
// was broken before the first.
func (x *Sign) by() time.Time {
	if x.Succeeded {
		return x.To
	}
	return x.From
}

// Suspect finds the first break-in among signs, and narrows down when it
// happened: after the last attempt on the machine that did not get through or the
// beginning of the attack that did, whichever is later, else after the first
// contact of the two ends, which contact tells (the zero time where it is not
// known; nil knows none). ok is false where no sign tells of a break-in.
func Suspect(signs []Sign, contact func(attacker, victim Side) time.Time) (s Suspicion, ok bool) {
	signs = slices.Clone(signs)
	slices.SortStableFunc(signs, func(a, b Sign) int {
		return cmp.Or(a.by().Compare(b.by()), a.From.Compare(b.From), cmp.Compare(a.ID, b.ID))
	})
	broken := func(x *Sign) bool { return x.Succeeded || x.Compromised }
	first := -1
	var victims []Side
	for i := range signs {
		x := &signs[i]
		if !broken(x) || !x.Victim.known() {
			continue
		}
		if first < 0 {
			first = i
		}
		if !slices.ContainsFunc(victims, x.Victim.same) {
			victims = append(victims, x.Victim)
		}
	}
	if first < 0 {
		return Suspicion{}, false
	}
	x := &signs[first]
	s = Suspicion{Asset: x.Victim, By: x.Attacker, To: x.by(), Alert: x.ID, Seen: len(victims), Why: []string{WhySucceeded}}
	if !x.Succeeded {
		s.Why[0] = WhyCompromised
	}
	if x.Succeeded && x.Attacker.Internal && x.Attacker.known() && !x.Attacker.same(x.Victim) {
		// Who attacks from within was broken into before, and not by this.
		s.Asset, s.By, s.Why = x.Attacker, Side{}, []string{WhyLateral}
	}
	var from time.Time
	why := WhyAttempt
	for i := range signs {
		a := &signs[i]
		if !a.Victim.same(s.Asset) || s.By.known() && x.Succeeded && !a.Attacker.same(s.By) {
			continue
		}
		if broken(a) {
			if a.Succeeded && a.From.Before(s.To) && a.From.After(from) {
				from, why = a.From, WhyBegan // it had not got through before it began
			}
			continue
		}
		last := a.To
		if last.After(s.To) {
			last = a.From // it went on beyond: that it had not got through holds for its beginning
		}
		if last.Before(s.To) && last.After(from) {
			from, why = last, WhyAttempt
		}
	}
	switch {
	case !from.IsZero():
		s.Why = append(s.Why, why)
	case contact != nil && s.By.known():
		if from = contact(s.By, s.Asset); !from.IsZero() && from.Before(s.To) {
			s.Why = append(s.Why, WhyContact)
		} else {
			from = time.Time{}
		}
	}
	if from.IsZero() {
		s.Why = append(s.Why, WhyOpen)
	} else {
		s.From = &from
	}
	return s, true
}
