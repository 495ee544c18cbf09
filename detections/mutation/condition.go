package mutation

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"icewatch/detections/sigma"
)

// condition makes the mutants of the references to selections.
func (m *maker) condition(n *yaml.Node, single map[string]bool) {
	node := value(n, "condition")
	root := m.rule.Detection.Condition
	if node == nil || root == nil {
		return
	}
	names := m.rule.Detection.Selections
	used := map[int]int{}
	count(root, used)
	replace := func(e *sigma.Expr, item, change string) {
		text, ok := render(e, names)
		if !ok {
			return // of several out of many: too long to write out
		}
		m.with(node, *scalar("!!str", text), item, change, node.Line)
	}
	var walk func(e *sigma.Expr, rebuild func(*sigma.Expr) *sigma.Expr)
	walk = func(e *sigma.Expr, rebuild func(*sigma.Expr) *sigma.Expr) {
		switch e.Op {
		case sigma.ExprSelection:
			name := names[e.Selection].Name
			if !single[name] || used[e.Selection] > 1 {
				replace(rebuild(&sigma.Expr{Op: sigma.ExprNot, Args: []*sigma.Expr{e}}), "condition."+name, Negated)
			}
		case sigma.ExprNot:
			walk(e.Args[0], func(x *sigma.Expr) *sigma.Expr {
				return rebuild(&sigma.Expr{Op: sigma.ExprNot, Args: []*sigma.Expr{x}})
			})
		default:
			for i, arg := range e.Args {
				if len(e.Args) > 1 {
					name := "condition." + label(arg, names)
					same := arg.Op == sigma.ExprSelection && single[names[arg.Selection].Name] && used[arg.Selection] == 1 && e.Op == sigma.ExprAnd
					if !same { // dropping the only item of a selection that has to hold is the same
						less := *e
						less.Args = slices.Delete(slices.Clone(e.Args), i, i+1)
						if e.Op == sigma.ExprAtLeast {
							less.N = min(less.N, len(less.Args))
						}
						replace(rebuild(&less), name, Dropped)
					}
				}
				walk(arg, func(x *sigma.Expr) *sigma.Expr {
					other := *e
					other.Args = slices.Clone(e.Args)
					other.Args[i] = x
					return rebuild(&other)
				})
			}
		}
	}
	walk(root, func(e *sigma.Expr) *sigma.Expr { return e })
}

func count(e *sigma.Expr, used map[int]int) {
	if e.Op == sigma.ExprSelection {
		used[e.Selection]++
	}
	for _, a := range e.Args {
		count(a, used)
	}
}

// label names a part of a condition.
func label(e *sigma.Expr, names []*sigma.Selection) string {
	switch e.Op {
	case sigma.ExprSelection:
		return names[e.Selection].Name
	case sigma.ExprNot:
		return "not " + label(e.Args[0], names)
	}
	word := map[sigma.ExprOp]string{sigma.ExprAnd: " and ", sigma.ExprOr: " or "}[e.Op]
	var parts []string
	for _, a := range e.Args {
		parts = append(parts, label(a, names))
	}
	if word == "" {
		return fmt.Sprintf("%d of (%s)", e.N, strings.Join(parts, ", "))
	}
	return "(" + strings.Join(parts, word) + ")"
}

// maxChoices bounds how many combinations "N of" is written out as.
const maxChoices = 64

// render writes a condition; false where it would be too long.
func render(e *sigma.Expr, names []*sigma.Selection) (string, bool) {
	switch e.Op {
	case sigma.ExprSelection:
		return names[e.Selection].Name, true
	case sigma.ExprNot:
		inner, ok := render(e.Args[0], names)
		return "not (" + inner + ")", ok
	case sigma.ExprAtLeast:
		choices := combinations(len(e.Args), e.N)
		if len(choices) == 0 {
			return "", false
		}
		either := &sigma.Expr{Op: sigma.ExprOr}
		for _, c := range choices {
			all := &sigma.Expr{Op: sigma.ExprAnd}
			for _, i := range c {
				all.Args = append(all.Args, e.Args[i])
			}
			either.Args = append(either.Args, all)
		}
		return render(either, names)
	}
	word := " and "
	if e.Op == sigma.ExprOr {
		word = " or "
	}
	parts := make([]string, len(e.Args))
	for i, a := range e.Args {
		text, ok := render(a, names)
		if !ok {
			return "", false
		}
		parts[i] = text
	}
	return "(" + strings.Join(parts, word) + ")", true
}

// combinations are the ways to choose k of n; none where there are too many.
func combinations(n, k int) [][]int {
	var out [][]int
	pick := make([]int, 0, k)
	var walk func(from int) bool
	walk = func(from int) bool {
		if len(pick) == k {
			out = append(out, slices.Clone(pick))
			return len(out) <= maxChoices
		}
		for i := from; i <= n-(k-len(pick)); i++ { // so many are left to fill the choice
			pick = append(pick, i)
			ok := walk(i + 1)
			pick = pick[:len(pick)-1]
			if !ok {
				return false
			}
		}
		return true
	}
	if !walk(0) {
		return nil
	}
	return out
}
