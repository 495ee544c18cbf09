package logql

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"

	"github.com/grafana/loki/v3/pkg/logql/log"
	lokisyntax "github.com/grafana/loki/v3/pkg/logql/syntax"
	"github.com/prometheus/prometheus/model/labels"

	"icewatch/soc/event"
)

// A condition in LogsQL is exact where it holds for the very rows that LogQL
// picks, and a sieve where it holds for these and maybe more: then what comes
// through it is looked at again. "" holds for every row.

// quote is a name or text in LogsQL.
func quote(s string) string { return strconv.Quote(s) }

// is compares a field with a text.
func is(field, value string) string { return quote(field) + ":=" + quote(value) }

// has asks for a field to have a value.
func has(field string) string { return quote(field) + ":*" }

// lacks asks for a field to have none.
func lacks(field string) string { return quote(field) + `:""` }

// holds asks for a text within a field.
func holds(field, text string) string { return quote(field) + ":~" + quote(regexp.QuoteMeta(text)) }

// all joins conditions that must hold together.
func all(conditions ...string) string {
	list := conditions[:0:0]
	for _, c := range conditions {
		if c != "" {
			list = append(list, c)
		}
	}
	return strings.Join(list, " ")
}

// oneOf joins conditions of which one must hold. Where one is "" the whole is.
func oneOf(conditions ...string) string {
	for i, c := range conditions {
		if c == "" {
			return ""
		}
		conditions[i] = "(" + c + ")"
	}
	return "(" + strings.Join(conditions, " or ") + ")"
}

// matching tells whether labels meet all matchers.
func matching(matchers []*labels.Matcher) func(labels.Labels) bool {
	return func(set labels.Labels) bool {
		for _, m := range matchers {
			if !m.Matches(set.Get(m.Name)) {
				return false
			}
		}
		return true
	}
}

// pushedSieve is a sieve for the streams that were pushed, and whether it is so
// fine that there is no need to know the streams before.
func pushedSieve(matchers []*labels.Matcher) (sieve string, fine bool) {
	parts := []string{has(fieldLabels)}
	fine = true
	for _, m := range matchers {
		switch {
		case m.Type == labels.MatchEqual && m.Value != "" && labelName(m.Name) == m.Name:
			// As the text stands in the object; quotes within a value are escaped,
			// so it is found nowhere else.
			fragment := event.AppendJSON(append(event.AppendJSON(nil, m.Name), ':'), m.Value)
			parts = append(parts, holds(fieldLabels, string(fragment)))
		case m.Matches("") && m.Type == labels.MatchEqual:
		case m.Value == ".+" || m.Value == ".*":
		default:
			fine = false
		}
	}
	return all(parts...), fine
}

// eventSieve is a sieve for the events that were not pushed; ok is false where
// none can match.
func eventSieve(matchers []*labels.Matcher) (sieve string, ok bool) {
	parts := []string{lacks(fieldLabels)}
	for _, m := range matchers {
		field := fixedField(m.Name)
		if field == "" {
			if !m.Matches("") {
				return "", false
			}
			continue
		}
		switch m.Type {
		case labels.MatchEqual:
			if m.Value == "" {
				parts = append(parts, lacks(field))
			} else {
				parts = append(parts, is(field, m.Value))
			}
		case labels.MatchNotEqual:
			if m.Value == "" {
				parts = append(parts, has(field))
			} else {
				parts = append(parts, "!"+is(field, m.Value))
			}
		case labels.MatchRegexp:
			if !m.Matches("") {
				parts = append(parts, quote(field)+":~"+quote("^(?:"+m.Value+")$"))
			}
		}
	}
	return all(parts...), true
}

// alternatives lists the filters of a line that must hold together, each with
// its alternatives.
func alternatives(e *lokisyntax.LineFilterExpr) [][]lokisyntax.LineFilter {
	var list [][]lokisyntax.LineFilter
	for ; e != nil; e = e.Left {
		var either []lokisyntax.LineFilter
		for o := e; o != nil; o = o.Or {
			either = append(either, o.LineFilter)
		}
		list = append(list, either)
	}
	return list
}

// lineCondition is the exact condition of a line filter on rows whose line is
// as it is stored; ok is false where LogsQL cannot say it.
func lineCondition(e *lokisyntax.LineFilterExpr) (condition string, ok bool) {
	parts, ok := lineConditions(e)
	if !ok {
		return "", false
	}
	return all(parts...), true
}

// lineConditions are those of a line filter's parts that LogsQL can say; whole
// tells whether that is all of them.
func lineConditions(e *lokisyntax.LineFilterExpr) (parts []string, whole bool) {
	whole = true
	for _, either := range alternatives(e) {
		if slices.ContainsFunc(either, everyLine) {
			continue
		}
		var on []func(field string) string
		possible := true
		negative := false
		for _, f := range either {
			pattern := ""
			switch f.Ty {
			case log.LineMatchEqual, log.LineMatchNotEqual:
				pattern = regexp.QuoteMeta(f.Match)
			case log.LineMatchRegexp, log.LineMatchNotRegexp:
				pattern = f.Match
				if !sameEverywhere(pattern) {
					possible = false
				}
			default:
				possible = false
			}
			if f.Op != "" || f.Match == "" {
				possible = false
			}
			negative = negative || f.Ty == log.LineMatchNotEqual || f.Ty == log.LineMatchNotRegexp
			on = append(on, func(field string) string { return quote(field) + ":~" + quote(pattern) })
		}
		if !possible {
			whole = false
			continue
		}
		in := func(field string) string {
			conditions := make([]string, len(on))
			for i := range on {
				conditions[i] = on[i](field)
			}
			any := oneOf(conditions...)
			if negative {
				return "!" + any
			}
			return any
		}
		parts = append(parts, oneOf(has(fieldLine)+" "+in(fieldLine), lacks(fieldLine)+" "+in(fieldMessage)))
	}
	return parts, whole
}

// everyLine tells whether a filter lets every line pass; Grafana's builder of
// queries begins with one.
func everyLine(f lokisyntax.LineFilter) bool {
	return f.Op == "" && f.Match == "" && (f.Ty == log.LineMatchEqual || f.Ty == log.LineMatchRegexp)
}

// sameEverywhere tells whether a regular expression means the same to Loki and
// to the lake, which lets a dot match the end of a line.
func sameEverywhere(pattern string) bool {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return false
	}
	var same func(*syntax.Regexp) bool
	same = func(re *syntax.Regexp) bool {
		switch re.Op {
		case syntax.OpAnyCharNotNL, syntax.OpAnyChar, syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText, syntax.OpEmptyMatch:
			return false
		}
		if re.Flags&syntax.FoldCase != 0 {
			return false
		}
		for _, sub := range re.Sub {
			if !same(sub) {
				return false
			}
		}
		return true
	}
	return same(re)
}

// lineSieve is a sieve of the line filters that look at lines as they were sent.
func lineSieve(stages lokisyntax.MultiStageExpr) string {
	var parts []string
	for _, stage := range stages {
		switch s := stage.(type) {
		case *lokisyntax.LineFilterExpr:
			conditions, _ := lineConditions(s)
			parts = append(parts, conditions...)
			continue
		case *lokisyntax.LineFmtExpr, *lokisyntax.DecolorizeExpr:
		case *lokisyntax.LineParserExpr:
			if s.Op != lokisyntax.OpParserTypeUnpack {
				continue
			}
		default:
			continue
		}
		break // the line is another one from here on
	}
	if len(parts) == 0 {
		return ""
	}
	return oneOf(has(fieldRaw), all(parts...))
}

// stagesOf are the stages of a selector.
func stagesOf(e lokisyntax.LogSelectorExpr) lokisyntax.MultiStageExpr {
	if p, ok := e.(*lokisyntax.PipelineExpr); ok {
		return p.MultiStages
	}
	return nil
}

// named are the labels that an expression names but in matchers and line
// filters: those that its result may depend on.
func named(e lokisyntax.Expr) map[string]bool {
	set := map[string]bool{}
	add := func(names ...string) {
		for _, n := range names {
			set[n] = true
		}
	}
	words := func(text string) {
		for w := range strings.FieldsFuncSeq(text, func(r rune) bool {
			return r != '_' && (r < '0' || r > '9') && (r|0x20 < 'a' || r|0x20 > 'z')
		}) {
			set[w] = true
		}
	}
	grouping := func(g *lokisyntax.Grouping) {
		if g != nil {
			add(g.Groups...)
		}
	}
	e.Walk(func(e lokisyntax.Expr) bool {
		switch x := e.(type) {
		case *lokisyntax.VectorAggregationExpr:
			grouping(x.Grouping)
		case *lokisyntax.RangeAggregationExpr:
			grouping(x.Grouping)
			if u := x.Left.Unwrap; u != nil {
				add(u.Identifier)
				for _, f := range u.PostFilters {
					add(f.RequiredLabelNames()...)
				}
			}
		case *lokisyntax.LabelReplaceExpr:
			add(x.Src)
		case *lokisyntax.BinOpExpr:
			if x.Opts != nil && x.Opts.VectorMatching != nil {
				add(x.Opts.VectorMatching.MatchingLabels...)
				add(x.Opts.VectorMatching.Include...)
			}
		case *lokisyntax.PipelineExpr:
			for _, stage := range x.MultiStages {
				switch s := stage.(type) {
				case *lokisyntax.LineFilterExpr:
				case *lokisyntax.LabelFilterExpr:
					add(s.RequiredLabelNames()...)
				default:
					words(stage.String())
				}
			}
		}
		return true
	})
	return set
}
