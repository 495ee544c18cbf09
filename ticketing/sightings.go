package ticketing

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"icewatch/ticketing/observable"
)

// maxSightings bounds the alerts whose observables wait at hand for the index,
// and maxSighted these observables.
const (
	maxSightings = 65_536
	maxSighted   = 4 * maxSightings
)

// sightings are the observables of the alerts that were raised since some time:
// their index need not read each alert again right after it was written. SQL has
// all of them; what is not at hand any more is read from there.
type sightings struct {
	mu    sync.Mutex
	after created // all alerts made after it are in list
	list  []observable.Alert
	n     int // observables in list
}

// created is the place of an alert in the order in which they are made.
type created struct {
	at int64 // Unix milliseconds
	id string
}

func (c created) compare(d created) int {
	return cmp.Or(cmp.Compare(c.at, d.at), strings.Compare(c.id, d.id))
}

func placeOf(a observable.Alert) created { return created{a.Created, a.ID} }

// sighted takes what can be looked for elsewhere out of a new alert.
func (a *alert) sighted() observable.Alert {
	return observable.Alert{ID: a.ID, Created: a.CreatedAt, Found: append(observable.Extract(a.doc.Fields, a.SourceIP, addressOf(a.doc.Attacker), addressOf(a.doc.Victim)), a.more()...)}
}

// add takes the alerts of a transaction that was committed.
func (s *sightings) add(list []observable.Alert) {
	if len(list) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	byPlace := func(a, b observable.Alert) int { return placeOf(a).compare(placeOf(b)) }
	slices.SortFunc(list, byPlace) // as they are, but for storms
	for _, a := range list {
		s.n += len(a.Found)
	}
	// The last ones of the list may be of the same millisecond, or of a time that
	// a clock that was set back has still before it.
	from, _ := slices.BinarySearchFunc(s.list, list[0], byPlace)
	later := slices.Clone(s.list[from:])
	s.list = s.list[:from]
	for len(later) > 0 && len(list) > 0 {
		if byPlace(later[0], list[0]) < 0 {
			s.list, later = append(s.list, later[0]), later[1:]
		} else {
			s.list, list = append(s.list, list[0]), list[1:]
		}
	}
	s.list = append(append(s.list, later...), list...)
	over := 0
	for ; len(s.list)-over > maxSightings || s.n > maxSighted; over++ {
		s.n -= len(s.list[over].Found)
	}
	s.drop(over)
}

// drop lets go of the first so many.
func (s *sightings) drop(n int) {
	if n > 0 {
		s.after = placeOf(s.list[n-1])
		s.list = slices.Clone(s.list[n:])
	}
}

// next returns those after a place, and whether all of them are at hand. Those
// before it are not asked for again.
func (s *sightings) next(after created, limit int) (out []observable.Alert, all bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if after.compare(s.after) < 0 {
		return nil, false
	}
	past := 0
	for ; past < len(s.list) && placeOf(s.list[past]).compare(after) <= 0; past++ {
		s.n -= len(s.list[past].Found)
	}
	s.drop(past)
	return slices.Clone(s.list[:min(limit, len(s.list))]), true
}

// Sightings tells what can be looked for elsewhere of the alerts in the order in
// which they were made, after the one with that time and id: for an index, which
// goes on and does not ask for the same again.
func (s *Service) Sightings(ctx context.Context, at int64, id string, limit int) ([]observable.Alert, error) {
	if list, all := s.sightings.next(created{at, id}, limit); all {
		return list, nil
	}
	var rows []alertRow
	err := s.db.NewSelect().Model(&rows).Where("(created_at, id) > (?, ?)", at, id).OrderExpr("created_at, id").Limit(int64(limit)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("ticketing: read the alerts after %q: %w", id, err)
	}
	out := make([]observable.Alert, 0, len(rows))
	for _, r := range rows {
		a := &alert{alertRow: r}
		if err := a.unpack(); err != nil {
			return nil, err
		}
		out = append(out, a.sighted())
	}
	return out, nil
}
