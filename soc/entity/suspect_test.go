package entity

import (
	"slices"
	"testing"
	"time"
)

func TestSuspect(t *testing.T) {
	t.Parallel()
	at := func(minute int) time.Time { return time.Date(2026, 11, 27, 8, minute, 0, 0, time.UTC) }
	evil, web, db, own := Side{IP: "203.0.113.7"}, Side{IP: "10.1.0.5", Item: "web", Internal: true}, Side{IP: "10.1.0.6", Item: "db", Internal: true}, Side{IP: "10.1.0.9", Item: "pc", Internal: true}
	sign := func(id string, from, to int, a, v Side, succeeded, compromised bool) Sign {
		return Sign{id, at(from), at(to), a, v, succeeded, compromised}
	}
	contact := func(a, v Side) time.Time {
		if a.same(evil) && v.same(web) {
			return at(1)
		}
		return time.Time{}
	}
	for _, c := range []struct {
		name     string
		signs    []Sign
		asset    Side
		from, to int // -1: open
		why      []string
		seen     int
	}{
		{"after the last attempt that failed", []Sign{sign("c", 30, 40, web, db, true, false), sign("b", 20, 25, evil, web, true, false), sign("a", 5, 12, evil, web, false, false), sign("0", 3, 4, evil, web, false, false)}, web, 20, 25, []string{WhySucceeded, WhyBegan}, 2},
		{"an attack of one event, after attempts", []Sign{sign("c", 30, 40, web, db, true, false), sign("b", 20, 20, evil, web, true, false), sign("a", 5, 12, evil, web, false, false), sign("0", 3, 4, evil, web, false, false)}, web, 12, 20, []string{WhySucceeded, WhyAttempt}, 2},
		{"two signs of one break-in", []Sign{sign("long", 4, 50, evil, web, true, false), sign("login", 34, 34, evil, web, true, false)}, web, 4, 34, []string{WhySucceeded, WhyBegan}, 1},
		{"an attempt that went on beyond", []Sign{sign("a", 5, 50, evil, web, false, false), sign("b", 20, 20, evil, web, true, false)}, web, 5, 20, []string{WhySucceeded, WhyAttempt}, 1},
		{"attempts of others do not narrow", []Sign{sign("a", 15, 16, Side{IP: "198.51.100.9"}, web, false, false), sign("b", 20, 20, evil, web, true, false)}, web, 1, 20, []string{WhySucceeded, WhyContact}, 1},
		{"nothing tells when", []Sign{sign("b", 20, 20, evil, db, true, false)}, db, -1, 20, []string{WhySucceeded, WhyOpen}, 1},
		{"behaves like a broken one", []Sign{sign("b", 20, 25, Side{}, web, false, true), sign("a", 10, 11, evil, web, false, false)}, web, 11, 20, []string{WhyCompromised, WhyAttempt}, 1},
		{"from within", []Sign{sign("b", 20, 20, own, web, true, false)}, own, -1, 20, []string{WhyLateral, WhyOpen}, 1},
	} {
		s, ok := Suspect(c.signs, contact)
		if !ok || !s.Asset.same(c.asset) || !s.To.Equal(at(c.to)) || s.Seen != c.seen || !slices.Equal(s.Why, c.why) || (s.From == nil) != (c.from < 0) || s.From != nil && !s.From.Equal(at(c.from)) {
			t.Errorf("%s: %+v (from %v), %v", c.name, s, s.From, ok)
		}
	}
	if s, ok := Suspect([]Sign{sign("a", 5, 12, evil, web, false, false)}, nil); ok {
		t.Errorf("attempts alone give %+v", s)
	}
}
