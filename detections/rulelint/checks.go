package rulelint

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"icewatch/detections/match"
	"icewatch/detections/ruleschema"
	"icewatch/detections/ruleset"
	"icewatch/detections/sigma"
)

// documents judges each document of rules by the schema of its kind.
func (l *linter) documents(b *ruleset.Bundle) error {
	for _, f := range b.Files {
		if !ruleset.IsRule(f.Path) {
			continue
		}
		if _, errs := sigma.Parse(f.Data, &sigma.Options{KeepPlaceholders: true}); len(errs) > 0 {
			continue // it is among the problems; and what comes here is bounded
		}
		dec := yaml.NewDecoder(bytes.NewReader(f.Data))
		for {
			var doc yaml.Node
			err := dec.Decode(&doc)
			if errors.Is(err, io.EOF) || err != nil || len(doc.Content) == 0 {
				break
			}
			kind := ruleschema.KindOf(doc.Content[0])
			if kind == "" {
				continue
			}
			faults, err := ruleschema.Check(kind, doc.Content[0])
			if err != nil {
				return err
			}
			id := ""
			for i := 0; i+1 < len(doc.Content[0].Content); i += 2 {
				if doc.Content[0].Content[i].Value == "id" {
					id = doc.Content[0].Content[i+1].Value
				}
			}
			for _, fault := range faults {
				l.out = append(l.out, Finding{f.Path, fault.Line, id, Schema, Error, fault.Reason})
			}
		}
	}
	return nil
}

// suggester finds the known name that is meant by one that is not known.
func suggester(known map[string]bool) func(string) string {
	lower := map[string]string{}
	for name := range known {
		lower[strings.ToLower(name)] = name
	}
	return func(name string) string {
		if other := lower[strings.ToLower(name)]; other != "" {
			return other
		}
		best, least := "", 3
		for other := range known {
			if d := distance(name, other, 3); d < least || d == least && d < 3 && other < best {
				best, least = other, d
			}
		}
		return best
	}
}

// distance is the number of letters by which two names differ, at most limit.
func distance(a, b string, limit int) int {
	if d := len(a) - len(b); d >= limit || -d >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost++
			}
			diagonal = row[j]
			row[j] = min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return min(row[len(b)], limit)
}

// fields finds names that no event has. Names without a dot are those of a
// product, of which the registry holds few: they are only compared with it.
func (l *linter) fields(r *ruleset.Rule, meant func(string) string) {
	tops := map[string]bool{}
	for name := range l.o.Fields {
		if top, _, dotted := strings.Cut(name, "."); dotted {
			tops[top] = true
		}
	}
	seen := map[string]bool{}
	each(r.Rule, func(it *sigma.Item) {
		for _, name := range append([]string{it.Field}, it.Also...) {
			if name == "" || l.o.Fields[name] {
				return // it is one of its names
			}
		}
		if seen[it.Field] {
			return
		}
		seen[it.Field] = true
		top, _, dotted := strings.Cut(it.Field, ".")
		if !dotted || !tops[top] {
			return // a product's own
		}
		if other := meant(it.Field); other != "" {
			l.add(r, it.Line, Field, Warning, "field %q is not in the registry of fields: did you mean %q?", it.Field, other)
			return
		}
		l.add(r, it.Line, Field, Note, "field %q is not in the registry of fields", it.Field)
	})
}

// each goes through all items of a rule.
func each(r *sigma.Rule, do func(*sigma.Item)) {
	if r.Detection == nil {
		return
	}
	var walk func(g *sigma.Group)
	walk = func(g *sigma.Group) {
		if g == nil {
			return
		}
		for _, it := range g.Items {
			do(it)
		}
		for _, sub := range g.Groups {
			walk(sub)
		}
	}
	for _, s := range r.Detection.Selections {
		walk(s.Root)
	}
}

// maxSelections bounds how many selections are tried in all combinations.
const maxSelections = 12

// logic finds conditions that cannot be met, always are, or do not depend on
// one of their selections, and selections that contradict themselves.
func (l *linter) logic(r *ruleset.Rule, written *sigma.Rule) {
	d := written.Detection
	if d == nil {
		return
	}
	offset := r.Line - written.Line
	for _, s := range d.Selections {
		if field := contradiction(s.Root); field != "" {
			l.add(r, s.Line+offset, Unreachable, Warning, "selection %q is never met: it wants two different values of %q at once, which only a field with several values has", s.Name, field)
		}
	}
	used := map[int]bool{}
	count(d.Condition, used)
	if len(used) == 0 || len(used) > maxSelections {
		return
	}
	var list []int
	for i := range used {
		list = append(list, i)
	}
	slices.Sort(list)
	// Selections that are written alike are met together.
	class := map[int]int{}
	for at, i := range list {
		class[i] = at
		for _, j := range list[:at] {
			if fmt.Sprintf("%+v", shape(d.Selections[i].Root)) == fmt.Sprintf("%+v", shape(d.Selections[j].Root)) {
				class[i] = class[j]
				l.add(r, d.Selections[i].Line+offset, Unreachable, Warning, "selections %q and %q are the same", d.Selections[j].Name, d.Selections[i].Name)
				break
			}
		}
	}
	never, always := true, true
	matters := map[int]bool{}
	n := len(list)
	truth := make([]bool, 1<<n)
	for bits := range truth {
		truth[bits] = holds(d.Condition, func(sel int) bool { return bits>>class[sel]&1 == 1 })
		never, always = never && !truth[bits], always && truth[bits]
	}
	for bits := range truth {
		for at := range n {
			if truth[bits] != truth[bits^(1<<at)] {
				matters[at] = true
			}
		}
	}
	switch {
	case never:
		l.add(r, 0, Unreachable, Warning, "the condition is never met, whatever the event")
	case always:
		l.add(r, 0, Unreachable, Warning, "the condition is met by every event")
	default:
		for at, i := range list {
			if class[i] == at && !matters[at] {
				l.add(r, d.Selections[i].Line+offset, Unreachable, Warning, "the condition does not depend on selection %q", d.Selections[i].Name)
			}
		}
	}
}

// shape is a group without lines.
func shape(g *sigma.Group) any {
	if g == nil {
		return nil
	}
	var out []string
	for _, it := range g.Items {
		var values []string
		for _, v := range it.Values {
			v.Line = 0
			values = append(values, fmt.Sprintf("%+v", v))
		}
		out = append(out, fmt.Sprintf("%s %v %v %v", it.Field, values, it.All, it.Negate))
	}
	for _, sub := range g.Groups {
		out = append(out, fmt.Sprintf("%+v", shape(sub)))
	}
	return fmt.Sprint(g.All, out)
}

func count(e *sigma.Expr, used map[int]bool) {
	if e == nil {
		return
	}
	if e.Op == sigma.ExprSelection {
		used[e.Selection] = true
	}
	for _, a := range e.Args {
		count(a, used)
	}
}

func holds(e *sigma.Expr, is func(int) bool) bool {
	met := 0
	for _, a := range e.Args {
		if holds(a, is) {
			met++
		}
	}
	switch e.Op {
	case sigma.ExprSelection:
		return is(e.Selection)
	case sigma.ExprNot:
		return met == 0
	case sigma.ExprAnd:
		return met == len(e.Args)
	case sigma.ExprOr:
		return met > 0
	}
	return met >= e.N
}

// contradiction names a field of which a map wants two exact values that have
// none in common; "" where there is none.
func contradiction(g *sigma.Group) string {
	if g == nil || !g.All {
		return ""
	}
	exact := map[string]map[string]bool{}
	for _, it := range g.Items {
		if it.Field == "" || it.Negate || it.All {
			continue
		}
		values := map[string]bool{}
		for _, v := range it.Values {
			text, plain := v.Pattern.Plain()
			if v.Op == sigma.OpNumber {
				text, plain = v.Text, true
			}
			if v.Op != sigma.OpPattern && v.Op != sigma.OpNumber || !plain {
				values = nil
				break
			}
			values[strings.ToLower(text)] = true
		}
		if values == nil {
			continue
		}
		had, twice := exact[it.Field]
		if !twice {
			exact[it.Field] = values
			continue
		}
		common := false
		for v := range values {
			common = common || had[v]
		}
		if !common {
			return it.Field
		}
	}
	return ""
}

// least is how long a text has to be, in bytes, to spare most events.
const least = 2

// anchored tells whether the condition can only be met where a text, number or
// address is there that the matcher seeks for all rules at once.
func anchored(e *sigma.Expr, list []*sigma.Selection) bool {
	if e == nil {
		return true
	}
	each := func(arg *sigma.Expr) bool { return anchored(arg, list) }
	switch e.Op {
	case sigma.ExprSelection:
		return anchoredGroup(list[e.Selection].Root)
	case sigma.ExprNot:
		return false
	case sigma.ExprAnd:
		return slices.ContainsFunc(e.Args, each)
	}
	return !slices.ContainsFunc(e.Args, func(arg *sigma.Expr) bool { return !each(arg) })
}

func anchoredGroup(g *sigma.Group) bool {
	if g == nil {
		return true
	}
	sure := 0
	for _, it := range g.Items {
		if anchoredItem(it) {
			sure++
		}
	}
	for _, sub := range g.Groups {
		if anchoredGroup(sub) {
			sure++
		}
	}
	if g.All {
		return sure > 0
	}
	return sure == len(g.Items)+len(g.Groups)
}

func anchoredItem(it *sigma.Item) bool {
	if it.Negate {
		return false
	}
	sure := 0
	for _, v := range it.Values {
		if anchoredValue(v) {
			sure++
		}
	}
	if it.All {
		return sure > 0
	}
	return sure == len(it.Values)
}

func anchoredValue(v sigma.Value) bool {
	switch v.Op {
	case sigma.OpNumber, sigma.OpCIDR:
		return true
	case sigma.OpRegex:
		return match.Anchored(v.Regex)
	case sigma.OpPattern:
		if _, plain := v.Pattern.Plain(); plain {
			return true
		}
		return slices.ContainsFunc(v.Pattern, func(p sigma.Part) bool { return p.Wild == sigma.Literal && len(p.Text) >= least })
	}
	return false
}

// slow tells of a rule that nothing anchors what costs most in it.
func (l *linter) slow(r *ruleset.Rule) {
	var costly []string
	at := 0
	note := func(it *sigma.Item, what string) {
		if !slices.Contains(costly, what) {
			costly = append(costly, what)
		}
		if at == 0 {
			at = it.Line
		}
	}
	each(r.Rule, func(it *sigma.Item) {
		for _, v := range it.Values {
			switch {
			case anchoredValue(v):
			case v.Op == sigma.OpRegex:
				note(it, fmt.Sprintf("the regular expression of %s", or(it.Field, "all values")))
			case v.Op == sigma.OpPattern && it.Field == "":
				note(it, "a search of all values")
			case v.Op == sigma.OpPattern && len(v.Pattern) > 1 && v.Pattern[0].Wild == sigma.Star:
				note(it, fmt.Sprintf("a search within %s", it.Field))
			}
		}
	})
	if len(costly) > 0 {
		l.add(r, at, Slow, Warning, "every event of its log source pays for %s: there is no text of %d characters, number or address without which the rule cannot match; add a selection that has one", strings.Join(costly, ", "), least)
	}
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
