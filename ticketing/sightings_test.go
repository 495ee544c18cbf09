package ticketing

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/ticketing/observable"
)

// What waits at hand for the index is what SQL says, from each place on, after a
// start too, where only SQL knows of the alerts.
func TestSightings(t *testing.T) {
	t.Parallel()
	db, c := openDB(t), newClock()
	s := openService(t, db, c, Deps{})
	var want []observable.Alert
	all := func(s *Service, from created, limit int) (out []observable.Alert) {
		t.Helper()
		for {
			list, err := s.Sightings(t.Context(), from.at, from.id, limit)
			if err != nil {
				t.Fatal(err)
			}
			if len(list) == 0 {
				return out
			}
			out, from = append(out, list...), placeOf(list[len(list)-1])
		}
	}
	for n := range 4 {
		var batch []detections.Occurrence
		for i := range 30 {
			batch = append(batch, onHost(ruleGuess, n*30+i, i, n*30+i))
		}
		batch = append(batch, onHost(ruleGuess, 0, 0, 0)) // fired before
		if err := s.Ingest(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		if list, at := s.sightings.next(created{c.now().UnixMilli(), ""}, 1000); !at || len(list) != 30 {
			t.Fatalf("%d alerts at hand (%t), want 30", len(list), at)
		}
		c.forward(time.Second)
	}
	later := openService(t, db, c, Deps{}) // knows nothing of them
	want = all(later, created{}, 7)
	if len(want) != 120 || len(want[5].Found) == 0 {
		t.Fatalf("SQL has %d: %+v", len(want), want[5])
	}
	for _, limit := range []int{1, 7, 1000} {
		for _, from := range []int{0, 29, 60, 119} {
			if got := all(s, placeOf(want[from]), limit); !slices.EqualFunc(got, want[from+1:], func(a, b observable.Alert) bool { return fmt.Sprint(a) == fmt.Sprint(b) }) {
				t.Errorf("%d at a time after the alert %d there are %d, want %d", limit, from, len(got), len(want)-from-1)
			}
		}
	}
}

// What is too much goes, and is known not to be at hand.
func TestSightingsBound(t *testing.T) {
	t.Parallel()
	var s sightings
	for i := range maxSightings + 10 {
		s.add([]observable.Alert{{ID: fmt.Sprintf("%08d", i), Created: int64(i / 100), Found: []observable.Observable{{}}}})
	}
	if _, at := s.next(created{0, "00000008"}, 1); at {
		t.Error("what was let go of is taken for at hand")
	}
	if list, at := s.next(created{0, "00000009"}, 1); !at || list[0].ID != "00000010" || s.n != maxSightings {
		t.Errorf("%v %t, %d observables", list, at, s.n)
	}
	s.add([]observable.Alert{{ID: "many", Created: 1 << 40, Found: make([]observable.Observable, maxSighted)}})
	if s.n > maxSighted || len(s.list) != 1 {
		t.Errorf("%d observables of %d alerts", s.n, len(s.list))
	}
}
