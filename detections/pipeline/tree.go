package pipeline

import (
	"errors"
	"slices"

	"icewatch/detections/sigma"
)

// rewritten is what becomes of an item: itself, a group in its place, or
// nothing where both are nil.
type rewritten struct {
	item  *sigma.Item
	group *sigma.Group
}

// put adds what an item became to a group.
func put(g *sigma.Group, made rewritten) {
	if made.item != nil {
		g.Items = append(g.Items, made.item)
	}
	if made.group != nil {
		g.Groups = append(g.Groups, made.group)
	}
}

// walk sends every item through f.
func (t *run) walk(f func(*sigma.Item) (rewritten, error)) error {
	for _, root := range t.roots {
		if err := rewriteGroup(root, f); err != nil {
			return err
		}
	}
	return nil
}

func rewriteGroup(g *sigma.Group, f func(*sigma.Item) (rewritten, error)) error {
	out := sigma.Group{All: g.All}
	for _, it := range g.Items {
		made, err := f(it)
		if err != nil {
			return err
		}
		put(&out, made)
	}
	for _, sub := range g.Groups {
		if err := rewriteGroup(sub, f); err != nil {
			return err
		}
		if !empty(sub) {
			out.Groups = append(out.Groups, sub)
		}
	}
	*g = out
	return nil
}

func empty(g *sigma.Group) bool { return len(g.Items) == 0 && len(g.Groups) == 0 }

// rewrite sends every item that a step's conditions are for through f. Of an
// item with several names of which only some are meant, f gets a copy with
// those, as if the rule had each name written out by itself.
func (t *run) rewrite(s *step, f func(*sigma.Item) (rewritten, error)) error {
	return t.walk(func(it *sigma.Item) (rewritten, error) {
		if !s.item.open(itemAt{t, it}) {
			return rewritten{item: it}, nil
		}
		in, out := t.split(s, it)
		if in == nil {
			return rewritten{item: it}, nil
		}
		made, err := f(in)
		if err != nil || out == nil {
			return made, err
		}
		g := anyOf(it)
		g.Items = append(g.Items, out)
		put(g, made)
		return rewritten{group: g}, nil
	})
}

// split parts an item into what the step's field conditions are for and the rest.
func (t *run) split(s *step, it *sigma.Item) (in, out *sigma.Item) {
	var open, shut []string
	for _, name := range namesOf(it) {
		if s.field.open(fieldAt{t, name, it}) {
			open = append(open, name)
		} else {
			shut = append(shut, name)
		}
	}
	refers := slices.ContainsFunc(it.Values, func(v sigma.Value) bool {
		return v.Op == sigma.OpFieldRef && s.field.open(fieldAt{t, v.Field, nil})
	})
	switch {
	case len(shut) == 0 || refers:
		return it, nil
	case len(open) == 0:
		return nil, it
	}
	in, out = t.fork(it), t.fork(it)
	in.Field, in.Also = open[0], open[1:]
	out.Field, out.Also = shut[0], shut[1:]
	return in, out
}

// open parts the names of a field beside the items likewise.
func (t *run) open(s *step, field []string) (open, shut []string) {
	for _, name := range field {
		if s.field.open(fieldAt{t, name, nil}) {
			open = append(open, name)
		} else {
			shut = append(shut, name)
		}
	}
	return open, shut
}

// anyOf is the group that holds where one of several ways to write the item
// holds. Where the item is negated none of them may.
func anyOf(it *sigma.Item) *sigma.Group { return &sigma.Group{All: it.Negate} }

// negate turns a group into its opposite.
func negate(g *sigma.Group) {
	g.All = !g.All
	for _, it := range g.Items {
		it.Negate = !it.Negate
	}
	for _, sub := range g.Groups {
		negate(sub)
	}
}

var errNothingLeft = errors.New("the pipelines dropped all of the rule's condition")

// prune takes selections without items out of the detection. What combined
// such a selection with others combines the others.
func prune(d *sigma.Detection) error {
	index := make([]int, len(d.Selections))
	var kept []*sigma.Selection
	for i, s := range d.Selections {
		if index[i] = -1; !empty(s.Root) {
			index[i] = len(kept)
			kept = append(kept, s)
		}
	}
	if len(kept) == len(d.Selections) {
		return nil
	}
	d.Selections = kept
	if d.Condition = without(d.Condition, index); d.Condition == nil {
		return errNothingLeft
	}
	return nil
}

// without copies a condition with the selections' new indexes; those with a
// negative one are gone.
func without(e *sigma.Expr, index []int) *sigma.Expr {
	if e.Op == sigma.ExprSelection {
		if index[e.Selection] < 0 {
			return nil
		}
		return &sigma.Expr{Op: sigma.ExprSelection, Selection: index[e.Selection]}
	}
	out := &sigma.Expr{Op: e.Op, N: e.N}
	for _, a := range e.Args {
		if a = without(a, index); a != nil {
			out.Args = append(out.Args, a)
		}
	}
	switch {
	case len(out.Args) == 0:
		return nil
	case len(out.Args) == 1 && e.Op != sigma.ExprNot:
		return out.Args[0]
	case e.Op == sigma.ExprAtLeast:
		out.N = min(out.N, len(out.Args))
	}
	return out
}
