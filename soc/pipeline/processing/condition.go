package processing

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"icewatch/soc/event"
	"icewatch/soc/search/clause"
)

// condition is a compiled clause. It is asked about the event whose fields the
// view has found.
type condition func(v *view) bool

// view is an event with the fields that rules name found in one pass.
type view struct {
	ev    *event.Event
	first []int32 // by slot: index of the field's first value, -1 where it has none
	many  []bool  // by slot: it has more than one value
}

// each calls f with the values of a slot until one satisfies it.
func (v *view) each(slot int, id event.FieldID, f func(string) bool) bool {
	at := v.first[slot]
	if at < 0 {
		return false
	}
	fields := v.ev.Fields
	if f(fields[at].Value) {
		return true
	}
	if v.many[slot] {
		for i := int(at) + 1; i < len(fields); i++ {
			if fields[i].ID == id && f(fields[i].Value) {
				return true
			}
		}
	}
	return false
}

// slots give the fields that rules name places in a view.
type slots struct {
	reg  *event.Registry
	of   map[event.FieldID]int
	byID []int16 // slot+1 by field id; 0 where no rule names the field
}

func (s *slots) slot(id event.FieldID) int {
	n, ok := s.of[id]
	if !ok {
		n = len(s.of)
		s.of[id] = n
		if int(id) >= len(s.byID) {
			s.byID = append(s.byID, make([]int16, int(id)+1-len(s.byID))...)
		}
		s.byID[id] = int16(n + 1)
	}
	return n
}

// fill finds the fields of ev. It allocates nothing once v has its size.
func (s *slots) fill(v *view, ev *event.Event) {
	v.ev = ev
	if len(v.first) != len(s.of) {
		v.first, v.many = make([]int32, len(s.of)), make([]bool, len(s.of))
	}
	for i := range v.first {
		v.first[i], v.many[i] = -1, false
	}
	for i := range ev.Fields {
		f := &ev.Fields[i]
		if int(f.ID) >= len(s.byID) || s.byID[f.ID] == 0 || f.Kind == event.Null {
			continue
		}
		at := s.byID[f.ID] - 1
		if v.first[at] < 0 {
			v.first[at] = int32(i)
		} else {
			v.many[at] = true
		}
	}
}

// Operators are the ids of those operators of soc/search/clause by which an
// event can be judged before it is stored. The others look for words, which are
// an affair of the lake's index.
var Operators = []string{"equals", "not_equals", "in", "not_in", "starts_with", "ends_with", "substring", "wildcard", "matches", "not_matches",
	"greater", "greater_equal", "less", "less_equal", "range", "cidr", "ip_range", "exists", "missing", "day_range", "week_range"}

// compile makes a condition of a tree; path names the part in errors, which
// are of the type *clause.Error.
func (s *slots) compile(c *clause.Clause, path string) (condition, error) {
	if c.Text != "" {
		return nil, &clause.Error{Path: path, Message: "a text of LogsQL cannot be asked of an event before it is stored; compare fields instead"}
	}
	switch c.Join {
	case "":
		return s.compare(c, path)
	case clause.All, clause.Any, clause.Not:
	default:
		return nil, &clause.Error{Path: path, Message: fmt.Sprintf("conditions are joined by %q; it must be one of all, any and not", c.Join)}
	}
	parts := make([]condition, len(c.Clauses))
	for i := range c.Clauses {
		at := fmt.Sprintf("clauses[%d]", i)
		if path != "" {
			at = path + "." + at
		}
		p, err := s.compile(&c.Clauses[i], at)
		if err != nil {
			return nil, err
		}
		parts[i] = p
	}
	switch c.Join {
	case clause.Not:
		return func(v *view) bool { return !parts[0](v) }, nil
	case clause.Any:
		return func(v *view) bool {
			for _, p := range parts {
				if p(v) {
					return true
				}
			}
			return false
		}, nil
	}
	return func(v *view) bool {
		for _, p := range parts {
			if !p(v) {
				return false
			}
		}
		return true
	}, nil
}

func not(c condition) condition { return func(v *view) bool { return !c(v) } }

// compare makes a condition of one comparison. clause.Render has judged the
// number of values before.
func (s *slots) compare(c *clause.Clause, path string) (condition, error) {
	fail := func(format string, args ...any) (condition, error) {
		return nil, &clause.Error{Path: path, Message: fmt.Sprintf(format, args...)}
	}
	if !slices.Contains(Operators, c.Operator) {
		return fail("the operator %s cannot be asked of an event before it is stored; usable are %s", c.Operator, strings.Join(Operators, ", "))
	}
	switch c.Field {
	case "":
		return fail("the comparison names no field; the whole text of an event is its field message")
	case "@timestamp":
		return s.clock(c, path)
	}
	vals := c.Values
	if base, ok := strings.CutPrefix(c.Operator, "not_"); ok {
		positive := *c
		positive.Operator = base
		p, err := s.compare(&positive, path)
		if err != nil {
			return nil, err
		}
		return not(p), nil
	}
	var test func(string) bool
	switch c.Operator {
	case "equals":
		want := vals[0]
		test = func(x string) bool { return x == want }
	case "in":
		set := make(map[string]struct{}, len(vals))
		for _, x := range vals {
			set[x] = struct{}{}
		}
		test = func(x string) bool { _, ok := set[x]; return ok }
	case "starts_with":
		want := vals[0]
		test = func(x string) bool { return strings.HasPrefix(x, want) }
	case "ends_with":
		want := vals[0]
		test = func(x string) bool { return strings.HasSuffix(x, want) }
	case "substring":
		want := vals[0]
		test = func(x string) bool { return strings.Contains(x, want) }
	case "wildcard", "matches":
		expression := vals[0]
		if c.Operator == "wildcard" {
			expression = clause.Wildcard(expression)
		}
		re, err := regexp.Compile(expression)
		if err != nil {
			return fail("%q is no regular expression: %v", vals[0], err)
		}
		test = re.MatchString
	case "greater", "greater_equal", "less", "less_equal", "range":
		limits := make([]float64, len(vals))
		for i, x := range vals {
			n, err := strconv.ParseFloat(x, 64)
			if err != nil {
				return fail("%q is no number; units are for searches only", x)
			}
			limits[i] = n
		}
		within := map[string]func(float64) bool{
			"greater":       func(n float64) bool { return n > limits[0] },
			"greater_equal": func(n float64) bool { return n >= limits[0] },
			"less":          func(n float64) bool { return n < limits[0] },
			"less_equal":    func(n float64) bool { return n <= limits[0] },
			"range":         func(n float64) bool { return n >= limits[0] && n <= limits[1] },
		}[c.Operator]
		test = func(x string) bool {
			n, err := strconv.ParseFloat(x, 64)
			return err == nil && within(n)
		}
	case "cidr":
		network, err := clause.Network(vals[0])
		if err != nil {
			return fail("%v", err)
		}
		test = func(x string) bool {
			a, err := netip.ParseAddr(x)
			return err == nil && network.Contains(a.Unmap())
		}
	case "ip_range":
		from, err1 := netip.ParseAddr(vals[0])
		to, err2 := netip.ParseAddr(vals[1])
		if err1 != nil || err2 != nil {
			return fail("%q to %q are not two addresses", vals[0], vals[1])
		}
		test = func(x string) bool {
			a, err := netip.ParseAddr(x)
			return err == nil && a.Compare(from) >= 0 && a.Compare(to) <= 0
		}
	case "exists", "missing":
		test = func(x string) bool { return x != "" }
	default:
		return fail("the operator %s is about the field @timestamp only", c.Operator)
	}
	if c.Field == "icewatch.tenant" {
		return func(v *view) bool { return test(v.ev.Tenant) != (c.Operator == "missing") }, nil
	}
	id, ok := s.reg.Intern(c.Field)
	if !ok {
		return fail("the field %q cannot be named: there are too many names", c.Field)
	}
	slot := s.slot(id)
	if c.Operator == "missing" {
		return func(v *view) bool { return !v.each(slot, id, test) }, nil
	}
	return func(v *view) bool { return v.each(slot, id, test) }, nil
}

// clock compares the time of the event.
func (s *slots) clock(c *clause.Clause, path string) (condition, error) {
	fail := func(format string, args ...any) (condition, error) {
		return nil, &clause.Error{Path: path, Message: fmt.Sprintf(format, args...)}
	}
	var ahead time.Duration
	if len(c.Values) == 3 {
		d, err := time.ParseDuration(c.Values[2])
		if err != nil || d.Abs() > 14*time.Hour {
			return fail("%q does not say how far a clock is ahead of UTC; Beijing's is 8h", c.Values[2])
		}
		ahead = d
	}
	switch c.Operator {
	case "day_range":
		var at [2]time.Duration
		for i := range at {
			text := c.Values[i]
			if text == "24:00" {
				at[i] = 24 * time.Hour
				continue
			}
			t, err := time.Parse("15:04", text)
			if err != nil {
				return fail("%q is no time of day; write it like 08:00", text)
			}
			at[i] = time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute
		}
		if at[0] >= at[1] {
			return fail("from %s to %s is no part of a day; join two parts by any, or take the opposite by not", c.Values[0], c.Values[1])
		}
		return func(v *view) bool {
			const day = int64(24 * time.Hour)
			clock := ((v.ev.Time+int64(ahead))%day + day) % day
			return clock >= int64(at[0]) && clock < int64(at[1])
		}, nil
	case "week_range":
		var at [2]time.Weekday
		for i := range at {
			d := slices.IndexFunc(weekdays, func(name string) bool { return len(c.Values[i]) >= 3 && strings.EqualFold(name[:3], c.Values[i][:3]) })
			if d < 0 {
				return fail("%q is no day of the week; write it like Mon", c.Values[i])
			}
			at[i] = time.Weekday(d)
		}
		if at[0] > at[1] {
			return fail("from %s to %s is no part of a week, which begins on Sunday; join two parts by any", c.Values[0], c.Values[1])
		}
		return func(v *view) bool {
			d := time.Unix(0, v.ev.Time).UTC().Add(ahead).Weekday()
			return d >= at[0] && d <= at[1]
		}, nil
	}
	return fail("the time of an event is asked for by day_range and week_range")
}

var weekdays = []string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"}
