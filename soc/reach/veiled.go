package reach

import "icewatch/soc/veil"

// WithVeil is the reach in which the veil hides parts of the rows, beside what
// is hidden already. It travels with the reach through And and Narrow. It is
// about events; which rows there are to see stays the same.
func (r Reach) WithVeil(v *veil.Veil) Reach {
	if r.v != nil {
		r.veil = r.veil.With(v)
	}
	return r
}

// Veil is what WithVeil set, nil where nothing is hidden.
func (r Reach) Veil() *veil.Veil { return r.veil }

// Group is what WithGroup set, "" where nothing did.
func (r Reach) Group() string { return r.own }

// WithoutGroup is the reach without what WithGroup set.
func (r Reach) WithoutGroup() Reach {
	r.own = ""
	return r
}
