package units

import (
	"cmp"
	"slices"
	"strings"
)

// Tree is the whole of the units at one moment. It is immutable; every look-up
// is a map's.
type Tree struct {
	list     []Unit // in the order of the tree: a unit, then what is below it
	at       map[string]int
	children map[string][]string
	last     []int // by place in list: the last place that is still below
}

// newTree orders the units. A unit whose parent is missing stands at the top.
func newTree(units []Unit) *Tree {
	t := &Tree{at: make(map[string]int, len(units)), children: map[string][]string{}}
	byID := make(map[string]Unit, len(units))
	for _, u := range units {
		byID[u.ID] = u
	}
	slices.SortFunc(units, func(a, b Unit) int {
		return cmp.Or(strings.Compare(a.Code, b.Code), strings.Compare(a.Name.ZH+a.Name.EN, b.Name.ZH+b.Name.EN), strings.Compare(a.ID, b.ID))
	})
	var roots []string
	for _, u := range units {
		if _, ok := byID[u.Parent]; ok {
			t.children[u.Parent] = append(t.children[u.Parent], u.ID)
		} else {
			roots = append(roots, u.ID)
		}
	}
	var walk func(id string, path []string)
	walk = func(id string, path []string) {
		u := byID[id]
		u.Path = append(slices.Clone(path), id)
		i := len(t.list)
		t.at[id] = i
		t.list = append(t.list, u)
		t.last = append(t.last, i)
		for _, c := range t.children[id] {
			walk(c, u.Path)
		}
		t.last[i] = len(t.list) - 1
	}
	for _, id := range roots {
		walk(id, nil)
	}
	return t
}

// Len returns how many units there are.
func (t *Tree) Len() int { return len(t.list) }

// Get returns one unit.
func (t *Tree) Get(id string) (Unit, bool) {
	i, ok := t.at[id]
	if !ok {
		return Unit{}, false
	}
	return t.list[i], true
}

// ByCode returns the unit with the code.
func (t *Tree) ByCode(code string) (Unit, bool) {
	for i := range t.list {
		if code != "" && t.list[i].Code == code {
			return t.list[i], true
		}
	}
	return Unit{}, false
}

// All returns the units in the order of the tree. The list is shared: do not
// change it.
func (t *Tree) All() []Unit { return t.list }

// Under tells whether the unit is the ancestor or lies below it.
func (t *Tree) Under(id, ancestor string) bool {
	i, ok := t.at[id]
	j, known := t.at[ancestor]
	return ok && known && i >= j && i <= t.last[j]
}

// Subtree returns the unit and all below it; nothing where it is unknown.
func (t *Tree) Subtree(id string) []Unit {
	i, ok := t.at[id]
	if !ok {
		return nil
	}
	return t.list[i : t.last[i]+1]
}

// IDs returns the ids of Subtree.
func (t *Tree) IDs(id string) []string {
	sub := t.Subtree(id)
	ids := make([]string, len(sub))
	for i := range sub {
		ids[i] = sub[i].ID
	}
	return ids
}

// Path returns the ids from the top to the unit.
func (t *Tree) Path(id string) []string {
	i, ok := t.at[id]
	if !ok {
		return nil
	}
	return t.list[i].Path
}

// Ceilings returns the data scopes that bound whoever belongs to the unit: its
// own and those of the units above it.
func (t *Tree) Ceilings(id string) []string {
	var out []string
	for _, a := range t.Path(id) {
		if c := t.list[t.at[a]].Ceiling; c != "" {
			out = append(out, c)
		}
	}
	return out
}

// Region and Industry are the unit's, or those of the nearest unit above that
// has one.
func (t *Tree) Region(id string) string {
	return t.inherited(id, func(u *Unit) string { return u.Region })
}

// Industry returns the unit's industry, or the nearest above.
func (t *Tree) Industry(id string) string {
	return t.inherited(id, func(u *Unit) string { return u.Industry })
}

func (t *Tree) inherited(id string, of func(*Unit) string) string {
	path := t.Path(id)
	for i := len(path) - 1; i >= 0; i-- {
		if v := of(&t.list[t.at[path[i]]]); v != "" {
			return v
		}
	}
	return ""
}
