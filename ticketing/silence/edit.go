package silence

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/prometheus/alertmanager/pkg/labels"
	"github.com/uptrace/bun"

	"icewatch/soc/reach"
)

// Set makes a silence, or changes the one whose id it carries, within the reach
// given. As in Alertmanager only the end of an active silence may change, and
// its texts, and of one to come also when it begins; any other change ends the
// old silence and makes a new one, with a new id. So does a change of one that
// is over. A silence that began in the past begins now.
func (s *Store) Set(ctx context.Context, within reach.Reach, l Silence) (Silence, error) {
	made, err := s.SetAll(ctx, within, []Silence{l})
	if err != nil {
		return Silence{}, err
	}
	return made[0], nil
}

// SetAll is Set for several, all or nothing.
func (s *Store) SetAll(ctx context.Context, within reach.Reach, list []Silence) ([]Silence, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	var made []Silence
	var changed []*Silence
	err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		made, changed = nil, nil
		now := s.now()
		for n := range list {
			l := list[n]
			old, err := s.prepare(ctx, tx, within, &l, now)
			if err != nil {
				if len(list) > 1 {
					return fmt.Errorf("silence %d of %d: %w", n+1, len(list), err)
				}
				return err
			}
			if old != nil {
				changed = append(changed, old)
			}
			changed = append(changed, &l)
			made = append(made, l)
		}
		for _, l := range changed {
			if err := write(ctx, tx, l); err != nil {
				return err
			}
		}
		return s.room(now, changed)
	})
	if err != nil {
		return nil, err
	}
	s.take(changed)
	return made, nil
}

// prepare makes l complete and decides under which id it goes on. It returns
// the silence that ends for it, if one does.
func (s *Store) prepare(ctx context.Context, tx bun.Tx, within reach.Reach, l *Silence, now time.Time) (old *Silence, err error) {
	l.StartsAt, l.EndsAt = l.StartsAt.UTC().Truncate(time.Millisecond), l.EndsAt.UTC().Truncate(time.Millisecond)
	if l.StartsAt.Before(time.UnixMilli(1)) {
		l.StartsAt = now
	}
	if l.Recurrence != nil {
		own := *l.Recurrence
		l.Recurrence = &own
		if err := own.compile(l.StartsAt); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
	}
	if err := check(l, now); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if l.ID != "" {
		if old, err = s.get(ctx, tx, l.ID); err != nil {
			return nil, err
		}
		if !within.Covers(s.Reach(old)) {
			return nil, fmt.Errorf("silence %s: %w", l.ID, ErrForbidden)
		}
		within = s.Reach(old) // whoever sees more does not widen it
	}
	if l.Terms, err = termsOf(within, l.Matchers); err != nil {
		return nil, err
	}
	l.UpdatedAt = now
	if old != nil {
		if goesOn(old, l, now) {
			return nil, nil
		}
		if old.State(now) == Expired {
			old = nil
		} else {
			end(old, now)
		}
	}
	id, err := uuid.NewRandom()
	if err != nil {
		return nil, fmt.Errorf("silence: make an id: %w", err)
	}
	l.ID, l.Dropped = id.String(), 0
	if l.StartsAt.Before(now) && l.Recurrence == nil {
		l.StartsAt = now
	}
	return old, nil
}

// goesOn tells whether a silence may become another under the same id.
func goesOn(old, l *Silence, now time.Time) bool {
	if !slices.EqualFunc(old.Matchers, l.Matchers, func(a, b *labels.Matcher) bool { return a.Name == b.Name && a.Type == b.Type && a.Value == b.Value }) {
		return false
	}
	switch old.State(now) {
	case Active:
		if (old.Recurrence == nil) != (l.Recurrence == nil) || old.NoData != l.NoData || old.Recurrence != nil && (old.Recurrence.Rule != l.Recurrence.Rule || old.Recurrence.Lasts != l.Recurrence.Lasts || old.Recurrence.Zone != l.Recurrence.Zone) {
			return false
		}
		if old.StartsAt.Unix() != l.StartsAt.Unix() {
			return false
		}
		l.StartsAt = old.StartsAt
		return true
	case Pending:
		return !l.StartsAt.Before(now)
	default:
		return false
	}
}

// end makes a silence be over from now on; one to come never began.
func end(l *Silence, now time.Time) {
	if l.StartsAt.After(now) {
		l.StartsAt = now
	}
	l.EndsAt, l.UpdatedAt = now, now
}

func check(l *Silence, now time.Time) error {
	if err := CheckMatchers(l.Matchers); err != nil {
		return err
	}
	switch {
	case l.EndsAt.Before(time.UnixMilli(1)):
		return errors.New("end time: it is missing")
	case l.EndsAt.Before(l.StartsAt):
		return fmt.Errorf("end time %s: it must not be before the start time %s", l.EndsAt.Format(time.RFC3339), l.StartsAt.Format(time.RFC3339))
	case !l.EndsAt.After(now):
		return fmt.Errorf("end time %s: it can't be in the past", l.EndsAt.Format(time.RFC3339))
	case utf8.RuneCountInString(l.Owner) > maxBy || !utf8.ValidString(l.Owner) || len(l.Receiver) > maxBy:
		return fmt.Errorf("owner, receiver: want at most %d characters of UTF-8", maxBy)
	case strings.TrimSpace(l.CreatedBy) == "":
		return errors.New("created by: it is missing")
	case utf8.RuneCountInString(l.CreatedBy) > maxBy || !utf8.ValidString(l.CreatedBy):
		return fmt.Errorf("created by: want at most %d characters of UTF-8", maxBy)
	case utf8.RuneCountInString(l.Comment) > maxText || !utf8.ValidString(l.Comment):
		return fmt.Errorf("comment: want at most %d characters of UTF-8", maxText)
	}
	size := 0
	for k, v := range l.Annotations {
		size += len(k) + len(v)
		if !utf8.ValidString(k) || !utf8.ValidString(v) {
			return fmt.Errorf("annotation %.40q: want UTF-8", k)
		}
	}
	if size > maxText {
		return fmt.Errorf("annotations: %d bytes, at most %d", size, maxText)
	}
	return nil
}

// termsOf bounds a silence to a reach and, where its matchers name one tenant,
// to that.
func termsOf(within reach.Reach, matchers labels.Matchers) (reach.Terms, error) {
	for _, m := range matchers {
		if m.Name == "tenant" && m.Type == labels.MatchEqual {
			within = within.Narrow([]string{m.Value})
		}
	}
	t, ok := within.Terms()
	if !ok {
		return t, fmt.Errorf("%w: it can mute nothing: no tenant that the matchers allow is within your reach", ErrInvalid)
	}
	return t, nil
}

// room refuses what would be too many silences at a time.
func (s *Store) room(now time.Time, changed []*Silence) error {
	ids := map[string]bool{}
	s.mu.RLock()
	for id, l := range s.live {
		if l.State(now) != Expired {
			ids[id] = true
		}
	}
	s.mu.RUnlock()
	for _, l := range changed {
		if l.State(now) == Expired {
			delete(ids, l.ID)
		} else {
			ids[l.ID] = true
		}
	}
	if len(ids) > maxKept {
		return fmt.Errorf("%w: that would make %d silences at a time, at most %d: end some that are not needed", ErrInvalid, len(ids), maxKept)
	}
	return nil
}

// Expire ends a silence now. One that is over stays as it is.
func (s *Store) Expire(ctx context.Context, within reach.Reach, id string) (Silence, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	l, err := s.Get(ctx, id)
	if err != nil {
		return Silence{}, err
	}
	if !within.Covers(s.Reach(l)) {
		return Silence{}, fmt.Errorf("silence %s: %w", id, ErrForbidden)
	}
	now := s.now()
	if l.State(now) == Expired {
		return *l, nil
	}
	end(l, now)
	if err := write(ctx, s.db, l); err != nil {
		return Silence{}, err
	}
	s.take([]*Silence{l})
	return *l, nil
}

// take puts changes in force and tells of them.
func (s *Store) take(changed []*Silence) {
	now := s.now()
	s.mu.Lock()
	maps.DeleteFunc(s.live, func(_ string, l *Silence) bool { return l.State(now) == Expired })
	for _, l := range changed {
		if l.State(now) == Expired {
			delete(s.live, l.ID)
		} else {
			s.live[l.ID] = l
		}
	}
	s.find = newFinder(s.live)
	s.mu.Unlock()
	if s.deps.Changed != nil {
		s.deps.Changed()
	}
}
