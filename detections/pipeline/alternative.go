package pipeline

import (
	"reflect"
	"slices"
	"strings"

	"icewatch/detections/sigma"
)

// alternatives makes any of several of an item: itself as it is, or as one of
// the lists of transformations makes it. It is for events that carry the same
// fact in another form: Hashes as one text or as a field each, true and false
// or ingress and egress.
type alternatives [][]*step

func (a alternatives) apply(t *run, s *step) error {
	err := t.names(func(field []string) ([]string, error) {
		open, _ := t.open(s, field)
		for _, steps := range a {
			if len(open) == 0 {
				break
			}
			branch := t.branch(nil, open)
			if err := nest(steps).apply(branch, s); err != nil {
				return nil, err
			}
			for _, name := range branch.asked[0] {
				field = appendNew(field, name)
			}
		}
		return field, nil
	})
	if err != nil {
		return err
	}
	return t.rewrite(s, func(it *sigma.Item) (rewritten, error) {
		g := anyOf(it)
		g.Items = append(g.Items, it)
		for _, steps := range a {
			copied := t.fork(it)
			root := &sigma.Group{All: true, Items: []*sigma.Item{copied}}
			if err := nest(steps).apply(t.branch(root, nil), s); err != nil {
				return rewritten{}, err
			}
			switch {
			case empty(root), len(root.Items) == 1 && reflect.DeepEqual(root.Items[0], it):
			case len(root.Items) == 1 && len(root.Groups) == 0:
				g.Items = append(g.Items, root.Items[0])
			case len(root.Items) == 0 && len(root.Groups) == 1:
				g.Groups = append(g.Groups, root.Groups[0])
			default:
				g.Groups = append(g.Groups, root)
			}
		}
		if len(g.Items) == 1 && len(g.Groups) == 0 {
			return rewritten{item: it}, nil
		}
		for _, made := range g.Items {
			t.mark(made, s.id)
		}
		return rewritten{group: g}, nil
	})
}

// branch is a run of the same rule over one item, or over the names of one
// field.
func (t *run) branch(root *sigma.Group, field []string) *run {
	b := *t
	b.roots, b.listed, b.grouped, b.asked = nil, nil, nil, nil
	if root != nil {
		b.roots = []*sigma.Group{root}
	} else {
		b.asked = [][]string{slices.Clone(field)}
	}
	return &b
}

// perValue makes a group of an item, of which each value becomes what f
// returns for it, not negated. Values that f cannot express stay in the item as
// it is; where there are only such, the item stays.
func (t *run) perValue(it *sigma.Item, f func(v sigma.Value) (rewritten, bool)) rewritten {
	g := &sigma.Group{All: it.All} // joins the parts as the item joins its values
	rest := t.fork(it)
	rest.Values, rest.Negate = nil, false
	for _, v := range it.Values {
		if made, ok := f(v); ok {
			put(g, made)
		} else {
			rest.Values = append(rest.Values, v)
		}
	}
	if empty(g) {
		return rewritten{item: it}
	}
	g.Items = gathered(g)
	if len(rest.Values) > 0 {
		g.Items = append(g.Items, rest)
	}
	if it.Negate {
		negate(g)
	}
	return rewritten{group: g}
}

// gathered makes one item of those of a group of which any counts that look at
// the same fields.
func gathered(g *sigma.Group) []*sigma.Item {
	if g.All {
		return g.Items
	}
	var out []*sigma.Item
next:
	for _, it := range g.Items {
		for _, had := range out {
			if slices.Equal(namesOf(had), namesOf(it)) {
				had.Values = append(had.Values, it.Values...)
				continue next
			}
		}
		out = append(out, it)
	}
	return out
}

// hashLengths tells the algorithm of a hash without a name, in hex digits.
var hashLengths = map[int]string{32: "MD5", 40: "SHA1", 64: "SHA256", 128: "SHA512"}

// hashDigits is how long the hashes are that Sysmon names.
var hashDigits = map[string]int{"MD5": 32, "SHA1": 40, "SHA256": 64, "SHA512": 128, "IMPHASH": 32}

// hashesFields takes a field that holds hashes with the names of their
// algorithms (SHA256=…) apart into a field for each algorithm.
func hashesFields(m *members) action {
	algorithms := m.needTexts("valid_hash_algos")
	for i, a := range algorithms {
		algorithms[i] = strings.ToUpper(a)
	}
	prefix, bare := m.text("field_prefix", ""), m.boolean("drop_algo_prefix", false)
	of := m.texts("field_to_parse")
	if of == nil {
		of = []string{"Hashes", "Hash"}
	}
	return ofItems(func(t *run, it *sigma.Item) rewritten {
		if !slices.ContainsFunc(namesOf(it), func(n string) bool { return slices.Contains(of, n) }) {
			return rewritten{item: it}
		}
		return t.perValue(it, func(v sigma.Value) (rewritten, bool) {
			algorithm, p := splitHash(v)
			if !slices.Contains(algorithms, algorithm) {
				return rewritten{}, false
			}
			name := prefix
			if !bare {
				name += algorithm
			}
			v.Pattern = p
			return rewritten{item: &sigma.Item{Field: name, Line: it.Line, Values: []sigma.Value{v}}}, true
		})
	}, nil)
}

// splitHash takes NAME=hash, NAME|hash or a hash apart. Wildcards around it
// say that it is one of several in a text; one that follows an incomplete hash
// stays.
func splitHash(v sigma.Value) (algorithm string, p sigma.Pattern) {
	if v.Op != sigma.OpPattern {
		return "", nil
	}
	p = v.Pattern
	open := false
	if len(p) > 1 && p[0].Wild == sigma.Star {
		p = p[1:]
	}
	if n := len(p); n > 1 && p[n-1].Wild == sigma.Star {
		p, open = p[:n-1], true
	}
	if len(p) == 0 || p[0].Wild != sigma.Literal {
		return "", nil
	}
	text := strings.TrimSuffix(p[0].Text, ",")
	at := strings.IndexAny(text, "=|")
	if at < 0 {
		if len(p) > 1 {
			return "", nil
		}
		return hashLengths[len(text)], literal(text)
	}
	algorithm, text = strings.ToUpper(strings.TrimLeft(text[:at], ",")), text[at+1:]
	out := append(literal(text), p[1:]...)
	if open && (len(p) > 1 || len(text) < hashDigits[algorithm]) {
		out = join(out, sigma.Part{Wild: sigma.Star})
	}
	return algorithm, out
}

// itemwise rewrites items; names are mapped beside them.
type itemwise struct {
	f     func(*run, *sigma.Item) rewritten
	names func([]string) []string // nil: they stay
}

func ofItems(f func(*run, *sigma.Item) rewritten, names func([]string) []string) action {
	return itemwise{f, names}
}

func (a itemwise) apply(t *run, s *step) error {
	err := t.names(func(field []string) ([]string, error) {
		if open, shut := t.open(s, field); a.names != nil && len(open) > 0 {
			return append(a.names(open), shut...), nil
		}
		return field, nil
	})
	if err != nil {
		return err
	}
	return t.rewrite(s, func(it *sigma.Item) (rewritten, error) {
		made := a.f(t, it)
		t.markAll(made, s.id)
		return made, nil
	})
}

// markAll notes that what an item became went through a step.
func (t *run) markAll(made rewritten, id string) {
	if made.item != nil {
		t.mark(made.item, id)
	}
	if made.group == nil {
		return
	}
	for _, it := range made.group.Items {
		t.mark(it, id)
	}
	for _, sub := range made.group.Groups {
		t.markAll(rewritten{group: sub}, id)
	}
}

// splitField spreads values of two parts, such as DOMAIN\user, over two
// fields. A value without the separator that may stand anywhere in the text is
// looked for in both.
func splitField(m *members) action {
	separator := m.text("separator", `\`)
	into := m.needTexts("into")
	if len(into) != 2 || separator == "" {
		m.fail(errorf(m.line, "split_field needs a separator and two fields in into, not %d", len(into)))
		return nil
	}
	item := func(line int, v sigma.Value, p sigma.Pattern, fields ...string) *sigma.Item {
		v.Pattern = p
		return &sigma.Item{Field: fields[0], Also: fields[1:], Line: line, Values: []sigma.Value{v}}
	}
	return ofItems(func(t *run, it *sigma.Item) rewritten {
		return t.perValue(it, func(v sigma.Value) (rewritten, bool) {
			if v.Op != sigma.OpPattern || len(v.Pattern) == 0 {
				return rewritten{}, false
			}
			before, after, found := cut(v.Pattern, separator)
			p := v.Pattern
			starts, ends := p[0].Wild == sigma.Star, p[len(p)-1].Wild == sigma.Star
			switch {
			case found:
				g := &sigma.Group{All: true}
				for i, half := range []sigma.Pattern{before, after} {
					if len(half) == 1 && half[0].Wild == sigma.Star {
						continue // anything
					}
					g.Items = append(g.Items, item(it.Line, v, half, into[i]))
				}
				if len(g.Items) == 0 {
					g.Items = append(g.Items, item(it.Line, v, before, into[0]))
				}
				return rewritten{group: g}, true
			case starts && ends:
				return rewritten{item: item(it.Line, v, p, into...)}, true
			case ends:
				return rewritten{item: item(it.Line, v, p, into[0])}, true
			}
			return rewritten{item: item(it.Line, v, p, into[1])}, true
		})
	}, func([]string) []string { return []string{into[1]} })
}

// cut parts a pattern at the first separator in its literals.
func cut(p sigma.Pattern, separator string) (before, after sigma.Pattern, found bool) {
	for i, part := range p {
		if part.Wild != sigma.Literal {
			continue
		}
		left, right, ok := strings.Cut(part.Text, separator)
		if !ok {
			continue
		}
		before = join(slices.Clone(p[:i]), sigma.Part{Text: left})
		after = append(literal(right), p[i+1:]...)
		return before, after, true
	}
	return nil, nil, false
}
