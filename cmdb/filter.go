package cmdb

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/bits-and-blooms/bitset"

	"icewatch/cmdb/columns"
	"icewatch/cmdb/graph"
	"icewatch/cmdb/model"
	"icewatch/cmdb/query"
	"icewatch/soc/reach"
)

// FilterError says which part of a filter or a path asks for what there is not.
// It is ErrQuery.
type FilterError struct {
	Position int    `json:"position"` // character, from 1 on
	Reason   string `json:"reason"`
}

// Error implements error.
func (e *FilterError) Error() string {
	return fmt.Sprintf("cmdb: the query, at character %d: %s", e.Position, e.Reason)
}

// Is makes errors.Is(err, ErrQuery) true.
func (e *FilterError) Is(target error) bool { return target == ErrQuery }

func asFilterError(err error) error {
	if s, ok := err.(*query.SyntaxError); ok { // never wrapped by the parser
		return &FilterError{s.Position, s.Reason}
	}
	return err
}

// finder finds the items of filters in the index. What a filter asks of other
// items, it asks of those in reach only: it must not tell of what the caller
// may not see.
type finder struct {
	s      *Service
	m      *model.Model
	within reach.Reach
	v      columns.View
	g      *graph.Graph   // nil where no filter follows relations
	seen   *bitset.BitSet // see inReach
}

func fail(e *query.Expr, format string, args ...any) error {
	return &FilterError{e.Pos, fmt.Sprintf(format, args...)}
}

// inReach are the items that the caller may see; not to be changed.
func (f *finder) inReach() *bitset.BitSet {
	if f.seen == nil {
		if f.seen = f.v.Items(); f.within.Key() != reach.All().Key() {
			f.seen.InPlaceIntersection(f.v.Column(colFacts).Judge(f.within.Key(), func(text []byte) bool { return f.within.Match(factsOf(text)) }))
		}
	}
	return f.seen
}

// items are the items of a filter, in reach or not. The set is the caller's.
func (f *finder) items(e *query.Expr) (*bitset.BitSet, error) {
	switch e.Kind {
	case query.And, query.Or:
		var out *bitset.BitSet
		for _, k := range e.Kids {
			part, err := f.items(k)
			switch {
			case err != nil:
				return nil, err
			case out == nil:
				out = part
			case e.Kind == query.And:
				out.InPlaceIntersection(part)
			default:
				out.InPlaceUnion(part)
			}
		}
		return out, nil
	case query.Not:
		part, err := f.items(e.Kids[0])
		if err != nil {
			return nil, err
		}
		return f.others(part), nil
	case query.Has:
		return f.has(e.Steps)
	}
	if e.Of == "" {
		return f.condition(e)
	}
	inner := *e
	inner.Of = ""
	above, err := f.condition(&inner)
	if err != nil {
		return nil, err
	}
	above.InPlaceIntersection(f.inReach())
	return f.v.Column(e.Of).To(f.v.Column(colID), above), nil
}

// others are all items but some.
func (f *finder) others(some *bitset.BitSet) *bitset.BitSet {
	out := f.v.Items()
	out.InPlaceDifference(some)
	return out
}

// has are the items that are related to others as steps say.
func (f *finder) has(steps []query.Step) (*bitset.BitSet, error) {
	s := &steps[0]
	if s.Min != 1 || s.Max != 1 {
		return nil, &FilterError{s.Pos, "a filter follows one relation a step: write the steps out, or ask for a path"}
	}
	for _, t := range s.Types {
		if f.m.Relation(t) == nil {
			return nil, &FilterError{s.Pos, fmt.Sprintf("unknown relation type %q: want one of %s", t, relationNames(f.m))}
		}
	}
	targets, err := f.node(&s.To, s.Pos)
	if err != nil {
		return nil, err
	}
	if len(steps) > 1 {
		further, err := f.has(steps[1:])
		if err != nil {
			return nil, err
		}
		targets.InPlaceIntersection(further)
	}
	o, err := f.s.options(f.within, Scope{Types: s.Types}, func(*model.RelationType) graph.Direction { return direction(s) })
	if err != nil {
		return nil, err
	}
	return f.g.Sources(targets, o.Follow), nil
}

// direction is the way that a step goes.
func direction(s *query.Step) (way graph.Direction) {
	if s.Forward {
		way |= graph.Forward
	}
	if s.Backward {
		way |= graph.Backward
	}
	return way
}

// node are the items in reach that a path may come to. The set is the caller's.
func (f *finder) node(n *query.Node, pos int) (*bitset.BitSet, error) {
	out := f.inReach().Clone()
	if len(n.Classes) > 0 {
		names, err := f.classes(n.Classes, pos)
		if err != nil {
			return nil, err
		}
		out.InPlaceIntersection(f.v.Column(colClass).Equal(names...))
	}
	if n.Filter != nil {
		part, err := f.items(n.Filter)
		if err != nil {
			return nil, err
		}
		out.InPlaceIntersection(part)
	}
	return out, nil
}

func relationNames(m *model.Model) string {
	names := make([]string, len(m.RelationTypes))
	for i, r := range m.RelationTypes {
		names[i] = r.Name
	}
	return strings.Join(names, ", ")
}

// classes are the classes that items can be of, of those named.
func (f *finder) classes(names []string, pos int) ([]string, error) {
	for _, n := range names {
		if f.m.Class(n) == nil {
			return nil, &FilterError{pos, fmt.Sprintf("unknown class %q: want one of %s", n, classNames(f.m))}
		}
	}
	return f.m.Concrete(names...), nil
}

// condition are the items that fulfil one condition on their own fields.
func (f *finder) condition(e *query.Expr) (*bitset.BitSet, error) {
	if e.Op == query.NotEqual {
		equal := *e
		equal.Op = query.Equal
		part, err := f.condition(&equal)
		if err != nil {
			return nil, err
		}
		return f.others(part), nil
	}
	column := f.v.Column(e.Field)
	switch e.Field {
	case colClass:
		if e.Op != query.Equal && e.Op != query.In {
			return nil, fail(e, "a class is compared by =, != and in, not by %s", e.Op)
		}
		names, err := f.classes(e.Values, e.Pos)
		if err != nil {
			return nil, err
		}
		return column.Equal(names...), nil
	case colSystem, colOrganisation:
		return f.reference(e)
	case colCriticality, colRevision, colCreated, colUpdated:
		return f.number(e)
	case colID, colName, colTenant, colZone:
		return f.text(e, column, e.Values), nil
	case colLabel, colAddress:
		if slices.Contains([]string{query.Less, query.LessEqual, query.Greater, query.GreaterEqual}, e.Op) {
			return nil, fail(e, "%s is compared by =, !=, ~, ^=, in and exists, not by %s", e.Field, e.Op)
		}
		values := e.Values
		if e.Field == colAddress && (e.Op == query.Equal || e.Op == query.In) {
			values = eachOf(values, canonicalAddress)
		}
		return f.text(e, column, values), nil
	case colOwner, colHostname:
		return f.text(e, column, eachOf(e.Values, strings.ToLower)), nil
	}
	return f.attribute(e, f.v.Column(attrPrefix+e.Field))
}

func eachOf[T any](list []T, fn func(T) T) []T {
	out := make([]T, len(list))
	for i, v := range list {
		out[i] = fn(v)
	}
	return out
}

// text are the items one of whose texts in a column fulfils a condition.
func (f *finder) text(e *query.Expr, column *columns.Column, values []string) *bitset.BitSet {
	switch e.Op {
	case query.Exists:
		return column.Filled()
	case query.Equal, query.In:
		out := column.Equal(values...)
		if slices.Contains(values, "") {
			out.InPlaceUnion(f.others(column.Filled()))
		}
		return out
	case query.Contains:
		return column.Contain(strings.ToLower(values[0]))
	case query.Prefix:
		return column.Where(func(text []byte) bool { return strings.HasPrefix(string(text), values[0]) })
	}
	return column.Where(func(text []byte) bool { return holds(e.Op, cmp.Compare(string(text), values[0])) })
}

// holds tells whether a comparison came out as an operator wants.
func holds(op string, c int) bool {
	switch op {
	case query.Less:
		return c < 0
	case query.LessEqual:
		return c <= 0
	case query.Greater:
		return c > 0
	case query.GreaterEqual:
		return c >= 0
	}
	return c == 0 // Equal and In
}

// reference are the items that belong to others, by their id or name.
func (f *finder) reference(e *query.Expr) (*bitset.BitSet, error) {
	column := f.v.Column(e.Field)
	switch e.Op {
	case query.Exists:
		return column.Filled(), nil
	case query.Equal, query.In:
		named := f.v.Column(colID).Equal(e.Values...)
		named.InPlaceUnion(f.v.Column(colName).Equal(e.Values...))
		named.InPlaceIntersection(f.inReach())
		return column.To(f.v.Column(colID), named), nil
	}
	return nil, fail(e, "%s is an item: want =, !=, in or exists, or a field of it such as %s.name", e.Field, e.Field)
}

// number are the items whose number fulfils a condition.
func (f *finder) number(e *query.Expr) (*bitset.BitSet, error) {
	wanted := make([]int64, len(e.Values))
	for i, v := range e.Values {
		if e.Field == colCreated || e.Field == colUpdated {
			t, err := parseTime(v)
			if err != nil {
				return nil, fail(e, "%v", err)
			}
			wanted[i] = t.UnixMilli()
			continue
		}
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			return nil, fail(e, "%q is not a whole number, which %s is", v, e.Field)
		}
		wanted[i] = n
	}
	switch e.Op {
	case query.Exists:
		return f.v.Items(), nil
	case query.Contains, query.Prefix:
		return nil, fail(e, "%s is no text: want =, !=, <, <=, > or >=", e.Field)
	}
	return f.v.Numbers(e.Field, func(n int64) bool {
		return slices.ContainsFunc(wanted, func(w int64) bool { return holds(e.Op, cmp.Compare(n, w)) })
	}), nil
}

// attribute are the items one of whose values of an attribute fulfils a
// condition. A value is looked for by any of its names, as it is given.
func (f *finder) attribute(e *query.Expr, column *columns.Column) (*bitset.BitSet, error) {
	a := f.m.Attribute(e.Field)
	if a == nil || e.Op == query.Contains || e.Op == query.Prefix || e.Op == query.Exists {
		return f.text(e, column, eachOf(e.Values, strings.ToLower)), nil
	}
	if a.Type.Numeric() {
		wanted := make([]float64, len(e.Values))
		for i, v := range e.Values {
			n, err := strconv.ParseFloat(v, 64)
			if err != nil {
				return nil, fail(e, "%q is not a number, which %s is", v, e.Field)
			}
			wanted[i] = n
		}
		return column.Where(func(text []byte) bool {
			n, err := strconv.ParseFloat(string(text), 64)
			return err == nil && slices.ContainsFunc(wanted, func(w float64) bool { return holds(e.Op, cmp.Compare(n, w)) })
		}), nil
	}
	values := slices.Clone(e.Values)
	if a.Type != model.Text && a.Type != model.Reference && a.Type != model.Table {
		one := *a
		one.Multiple = false
		for i, v := range values {
			canonical, err := one.Check(v)
			if err != nil {
				return nil, fail(e, "%v", err)
			}
			values[i] = canonical
		}
	}
	return f.text(e, column, eachOf(values, strings.ToLower)), nil
}
