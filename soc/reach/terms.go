package reach

import "slices"

// Terms say how a Reach came about, so that it can be written down and compiled
// again later, for the tenants and organisations there are then: by
// Compiler.Reach. What only concerns the lake (WithLogs, WithGroup, WithVeil) is
// not in them.
type Terms struct {
	Tenants     []string `json:"tenants"`     // slugs, in order; nil is all of them, those to come included
	Expressions []string `json:"expressions"` // all of them hold
}

// Terms are how the reach came about; ok is false for what cannot be written
// down: the reach over nothing.
func (r Reach) Terms() (t Terms, ok bool) {
	if r.v == nil || r.terms == nil {
		return Terms{}, r.v != nil && r.v.all
	}
	return Terms{Tenants: slices.Clone(r.terms.Tenants), Expressions: slices.Clone(r.terms.Expressions)}, true
}

// with is what both say.
func (t *Terms) with(other *Terms) *Terms {
	switch {
	case t == nil:
		return other
	case other == nil || t == other:
		return t
	}
	both := &Terms{Tenants: t.Tenants, Expressions: t.Expressions}
	if both.Tenants == nil {
		both.Tenants = other.Tenants
	} else if other.Tenants != nil {
		both.Tenants = slices.DeleteFunc(slices.Clone(t.Tenants), func(s string) bool { return !slices.Contains(other.Tenants, s) })
	}
	for _, e := range other.Expressions {
		if !slices.Contains(both.Expressions, e) {
			both.Expressions = append(slices.Clone(both.Expressions), e)
		}
	}
	return both
}

// Covers tells whether every row that other shows is surely visible: what it
// cannot tell of two conditions, it denies. Like Match it goes by tenants and
// facts alone.
func (r Reach) Covers(other Reach) bool {
	plain := func(r Reach) Reach { return Reach{v: r.v} }
	return plain(r).And(plain(other)).Key() == plain(other).Key()
}
