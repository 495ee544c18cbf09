package cmdb

import (
	"context"
	"fmt"
	"time"

	"icewatch/soc/reach"
)

// State is where an item stands in one of its life cycles: an attribute of its
// class with transitions.
type State struct {
	Attribute string   `json:"attribute"`
	Value     string   `json:"value" doc:"Empty where it has none yet"`
	Next      []string `json:"next" nullable:"false" doc:"The values that may follow"`
	Any       bool     `json:"any" doc:"Any value may follow"`
	// Periods are as far back as the caller is told of changes, oldest first.
	Periods []Period `json:"periods" nullable:"false"`
}

// Period is a stretch of time in which an item was in one state.
type Period struct {
	Value string     `json:"value" doc:"Empty where it had none"`
	Since time.Time  `json:"since"`
	Until *time.Time `json:"until,omitempty" doc:"Missing for the state of now"`
	Actor string     `json:"actor" doc:"Who brought it there"`
}

// States tells where an item in reach stands in its life cycles, and since when
// by whom.
func (s *Service) States(ctx context.Context, r reach.Reach, id string) ([]State, error) {
	it, err := s.Get(ctx, r, id)
	if err != nil {
		return nil, err
	}
	out := []State{}
	c := s.Model().Class(it.Class)
	if c == nil {
		return out, nil
	}
	for i := range c.Attributes {
		a := &c.Attributes[i]
		if len(a.Transitions) == 0 {
			continue
		}
		st := State{Attribute: a.Name, Value: it.Attributes[a.Name], Next: []string{}}
		next, any := a.Next(st.Value)
		st.Next, st.Any = append(st.Next, next...), any
		if st.Periods, err = s.periods(ctx, r, id, attrPrefix+a.Name); err != nil {
			return nil, err
		}
		out = append(out, st)
	}
	return out, nil
}

// periods are the values that a field had, by the last thousand changes of it.
func (s *Service) periods(ctx context.Context, r reach.Reach, id, field string) ([]Period, error) {
	var rows []historyRow
	q := s.told(r, s.db.NewSelect().Model(&rows)).Where("h.item_id = ? AND h.changes LIKE ?", id, `%"`+field+`"%`)
	if err := q.Order("h.id DESC").Limit(maxLimit).Scan(ctx); err != nil {
		return nil, fmt.Errorf("cmdb: states of %q: %w", id, err)
	}
	list, err := entries(rows)
	if err != nil {
		return nil, err
	}
	out := []Period{}
	for i := len(list) - 1; i >= 0; i-- {
		for _, c := range list[i].Changes {
			if c.Field != field {
				continue
			}
			if n := len(out); n > 0 {
				until := list[i].Time
				out[n-1].Until = &until
			}
			out = append(out, Period{Value: c.After, Since: list[i].Time, Actor: list[i].Actor})
		}
	}
	return out, nil
}
