package ticketing

import (
	"errors"
	"testing"
	"time"

	"icewatch/soc/reach"
)

// What somebody has looked at is known to him alone, and what he does not see he
// cannot mark.
func TestReads(t *testing.T) {
	t.Parallel()
	s, c := newService(t, nil)
	ingest(t, s, fire(ruleScan, sealWeb, "203.0.113.7", 0, nil), fire(ruleGuess, sealWeb, "203.0.113.7", 0, nil), fire(ruleScan, taxWeb, "203.0.113.8", 0, nil))
	all := allAlerts(t, s)
	ids := []string{all[0].ID, all[1].ID, all[2].ID, all[0].ID, "no-such"}
	seal := Actor{Name: "li", Reach: reach.Tenants("e-seal")}
	city := Actor{Name: "wang", Reach: reach.All()}
	unread := func(by Actor) (n int) {
		t.Helper()
		list, _, _, err := s.Alerts(t.Context(), AlertQuery{Reach: by.Reach, Page: Page{Limit: 100}})
		if err == nil {
			err = s.MarkUnread(t.Context(), by.Name, list)
		}
		if err != nil {
			t.Fatal(err)
		}
		only, total, _, err := s.Alerts(t.Context(), AlertQuery{Reach: by.Reach, UnreadBy: by.Name, Page: Page{Limit: 100}})
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range list {
			if a.Unread {
				n++
			}
		}
		if len(only) != n || total != n {
			t.Errorf("%s: %d of %d are new, and %d are listed", by.Name, n, len(list), len(only))
		}
		return n
	}
	if unread(seal) != 2 || unread(city) != 3 {
		t.Errorf("at first %d and %d are new", unread(seal), unread(city))
	}
	if n, err := s.MarkRead(t.Context(), seal, ids, true); err != nil || n != 2 {
		t.Errorf("marked %d, %v", n, err)
	}
	if unread(seal) != 0 || unread(city) != 3 {
		t.Errorf("after reading %d and %d are new", unread(seal), unread(city))
	}
	if n, err := s.MarkRead(t.Context(), seal, ids, false); err != nil || n != 2 || unread(seal) != 2 {
		t.Errorf("made new %d, %v, %d are", n, err, unread(seal))
	}
	if _, err := s.MarkRead(t.Context(), seal, nil, true); !errors.Is(err, ErrInvalid) {
		t.Errorf("nothing: %v", err)
	}
	if _, err := s.MarkRead(t.Context(), city, ids, true); err != nil || unread(city) != 0 {
		t.Errorf("%v", err)
	}
	c.forward(readsFor + time.Hour)
	if err := s.pruneReads(t.Context(), s.now()); err != nil || unread(city) != 3 {
		t.Errorf("%d are new after a year: %v", unread(city), err)
	}
}
