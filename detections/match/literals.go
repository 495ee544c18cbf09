package match

import (
	"regexp/syntax"
	"slices"
	"strings"
)

// Bounds of the literals taken from one regular expression.
const (
	maxExact    = 32
	maxRequired = 64
	maxSets     = 4
)

// requiredLiterals returns sets of lower-case texts: a text has to hold at
// least one of each set, in lower case, for the expression to match it. A
// cheap search for them spares most runs of the expression.
func requiredLiterals(expr string) [][]string {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil
	}
	_, required := literalsOf(re.Simplify(), 0)
	var out [][]string
	for _, set := range required {
		if len(set) > 0 && len(set) <= maxRequired {
			out = append(out, irredundant(set))
		}
	}
	slices.SortStableFunc(out, func(a, b []string) int {
		if strong(a, b) {
			return -1
		}
		return 1
	})
	var kept [][]string
	for _, set := range out {
		weak := shortest(set) < 2 && len(kept) > 0
		if !weak && len(kept) < maxSets && !slices.ContainsFunc(kept, func(k []string) bool { return implies(k, set) }) {
			kept = append(kept, set)
		}
	}
	return kept
}

// irredundant leaves out texts that hold another of the set: they add nothing.
func irredundant(set []string) []string {
	set = slices.Clone(set)
	slices.SortStableFunc(set, func(a, b string) int { return len(a) - len(b) })
	var out []string
	for _, s := range set {
		if !slices.ContainsFunc(out, func(o string) bool { return strings.Contains(s, o) }) {
			out = append(out, s)
		}
	}
	return out
}

// implies tells whether a text that holds one of a always holds one of b.
func implies(a, b []string) bool {
	for _, s := range a {
		if !slices.ContainsFunc(b, func(o string) bool { return strings.Contains(s, o) }) {
			return false
		}
	}
	return true
}

// literalsOf returns all the texts a node can match, where these are few
// (exact), and sets of texts of which one each has to be there (required).
func literalsOf(re *syntax.Regexp, depth int) (exact []string, required [][]string) {
	if depth > 100 {
		return nil, nil
	}
	switch re.Op {
	case syntax.OpEmptyMatch, syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText,
		syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return []string{""}, nil
	case syntax.OpLiteral:
		s := lower(string(re.Rune))
		return []string{s}, [][]string{{s}}
	case syntax.OpCharClass:
		var set []string
		for i := 0; i+1 < len(re.Rune); i += 2 {
			for r := re.Rune[i]; r <= re.Rune[i+1]; r++ {
				if s := lower(string(r)); !slices.Contains(set, s) {
					set = append(set, s)
				}
				if len(set) > 8 {
					return nil, nil
				}
			}
		}
		return set, [][]string{set}
	case syntax.OpCapture:
		return literalsOf(re.Sub[0], depth+1)
	case syntax.OpPlus:
		_, required = literalsOf(re.Sub[0], depth+1)
		return nil, required
	case syntax.OpQuest:
		if exact, _ = literalsOf(re.Sub[0], depth+1); exact != nil && len(exact) < maxExact {
			return append(slices.Clone(exact), ""), nil
		}
		return nil, nil
	case syntax.OpAlternate:
		return alternate(re, depth)
	case syntax.OpConcat:
		return concat(re, depth)
	}
	return nil, nil
}

// alternate needs one of what its branches need: the best set of each.
func alternate(re *syntax.Regexp, depth int) (exact []string, required [][]string) {
	allExact := true
	var any []string
	bound := true
	for _, sub := range re.Sub {
		e, r := literalsOf(sub, depth+1)
		if allExact = allExact && e != nil && len(exact)+len(e) <= maxExact; allExact {
			exact = append(exact, e...)
		}
		var best []string
		for _, set := range r {
			best = better(best, set)
		}
		bound = bound && best != nil && len(any)+len(best) <= maxRequired
		any = append(any, best...)
	}
	if !allExact {
		exact = nil
	}
	if bound {
		required = [][]string{any}
	}
	return exact, required
}

// concat joins the exact texts of neighbours and keeps what every part needs.
func concat(re *syntax.Regexp, depth int) (exact []string, required [][]string) {
	run, whole := []string{""}, true
	flush := func() {
		if set := usable(run); set != nil {
			required = append(required, set)
		}
	}
	for _, sub := range re.Sub {
		e, r := literalsOf(sub, depth+1)
		if e == nil || len(run)*len(e) > maxExact {
			flush()
			whole = false
			if run = e; e == nil {
				run = []string{""}
				required = append(required, r...)
			}
			continue
		}
		next := make([]string, 0, len(run)*len(e))
		for _, a := range run {
			for _, b := range e {
				next = append(next, a+b)
			}
		}
		run = next
	}
	flush()
	if whole {
		exact = run
	}
	return exact, required
}

// usable refuses a list in which the empty text would let everything through.
func usable(list []string) []string {
	if slices.Contains(list, "") {
		return nil
	}
	return list
}

// better returns the set whose shortest text is longest, then the smaller one.
func better(a, b []string) []string {
	if len(a) == 0 || len(b) > 0 && strong(b, a) {
		return b
	}
	return a
}

// strong tells whether a says more than b.
func strong(a, b []string) bool {
	if la, lb := shortest(a), shortest(b); la != lb {
		return la > lb
	}
	return len(a) < len(b)
}

func shortest(list []string) int {
	n := len(list[0])
	for _, s := range list {
		n = min(n, len(s))
	}
	return n
}

// Anchored tells whether every text that a regular expression matches holds one
// of some literals: then those are sought first, for all rules in one pass.
func Anchored(expr string) bool { return len(requiredLiterals(expr)) > 0 }
