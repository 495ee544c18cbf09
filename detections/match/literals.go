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
)

// requiredLiterals returns lower-case texts of which a text has to hold at
// least one, in lower case, for the expression to match it; nil where nothing
// can be said. A cheap search for them spares most runs of the expression.
func requiredLiterals(expr string) []string {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil
	}
	_, required := literalsOf(re.Simplify(), 0)
	if len(required) == 0 || len(required) > maxRequired {
		return nil
	}
	// A text that holds another of the list adds nothing to it.
	slices.SortFunc(required, func(a, b string) int { return len(a) - len(b) })
	var out []string
	for _, s := range required {
		if !slices.ContainsFunc(out, func(o string) bool { return strings.Contains(s, o) }) {
			out = append(out, s)
		}
	}
	return out
}

// literalsOf returns all the texts a node can match, where these are few
// (exact), and texts of which one has to be there (required).
func literalsOf(re *syntax.Regexp, depth int) (exact, required []string) {
	if depth > 100 {
		return nil, nil
	}
	switch re.Op {
	case syntax.OpEmptyMatch, syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText,
		syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return []string{""}, nil
	case syntax.OpLiteral:
		s := lower(string(re.Rune))
		return []string{s}, []string{s}
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
		return set, set
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
		allExact := true
		for i, sub := range re.Sub {
			e, r := literalsOf(sub, depth+1)
			if allExact = allExact && e != nil && len(exact)+len(e) <= maxExact; allExact {
				exact = append(exact, e...)
			}
			if r == nil || i > 0 && required == nil || len(required)+len(r) > maxRequired {
				required = nil
				if !allExact {
					return nil, nil
				}
				continue
			}
			required = append(required, r...)
		}
		if !allExact {
			exact = nil
		}
		return exact, required
	case syntax.OpConcat:
		return concat(re, depth)
	}
	return nil, nil
}

// concat joins the exact texts of neighbours and keeps the best it meets.
func concat(re *syntax.Regexp, depth int) (exact, required []string) {
	run, whole := []string{""}, true
	for _, sub := range re.Sub {
		e, r := literalsOf(sub, depth+1)
		required = better(required, r)
		if e == nil || len(run)*len(e) > maxExact {
			required = better(required, usable(run))
			if whole = false; e == nil {
				run = []string{""}
				continue
			}
			run = e
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
	required = better(required, usable(run))
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

// better prefers the list whose shortest text is longest, then the shorter list.
func better(a, b []string) []string {
	switch {
	case len(b) == 0:
		return a
	case len(a) == 0:
		return b
	}
	if la, lb := shortest(a), shortest(b); la != lb {
		if lb > la {
			return b
		}
		return a
	}
	if len(b) < len(a) {
		return b
	}
	return a
}

func shortest(list []string) int {
	n := len(list[0])
	for _, s := range list {
		n = min(n, len(s))
	}
	return n
}
