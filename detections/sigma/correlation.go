package sigma

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// correlationTypes are those that are known, the specification's and value_median, which
// pySigma adds.
var correlationTypes = []string{"event_count", "value_count", "temporal", "temporal_ordered", "value_sum", "value_avg", "value_percentile", "value_median"}

// maxTemporalRules bounds the rules of a temporal correlation.
const maxTemporalRules = 64

func parseCorrelation(n *yaml.Node, custom *Custom) (*Correlation, *Error) {
	if n.Kind != yaml.MappingNode {
		return nil, errorf(n.Line, "correlation has to be a map")
	}
	c := &Correlation{Line: n.Line, Absent: custom.Absence, Travel: custom.Travel, Lateness: custom.Lateness, Percentile: -1}
	var condition *yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], resolve(n.Content[i+1])
		var err *Error
		switch key.Value {
		case "type":
			c.Type, err = text(key, val)
		case "rules":
			c.Rules, err = texts(key, val)
		case "group-by":
			c.GroupBy, err = texts(key, val)
		case "timespan", "timeframe":
			c.Timespan, err = timespan(val)
		case "generate":
			c.Generate, err = boolean(key, val)
		case "aliases":
			c.Aliases, err = aliases(val)
		case "condition":
			condition = val
		default:
			err = errorf(key.Line, "correlation.%s is not known; known are type, rules, group-by, timespan, generate, aliases, condition", key.Value)
		}
		if err != nil {
			return nil, err
		}
	}
	switch {
	case c.Type == "":
		return nil, errorf(n.Line, "correlation has no type")
	case !slices.Contains(correlationTypes, c.Type):
		return nil, errorf(n.Line, "correlation type %q is unknown; known are %s", c.Type, strings.Join(correlationTypes, ", "))
	}
	if condition != nil {
		if err := c.readCondition(condition); err != nil {
			return nil, err
		}
	}
	if c.Timespan <= 0 {
		return nil, errorf(n.Line, "correlation has no timespan")
	}
	return c, c.check(n.Line)
}

// Temporal tells whether the correlation asks which of its rules match, and
// not how often.
func (c *Correlation) Temporal() bool {
	return c.Type == "temporal" || c.Type == "temporal_ordered"
}

// Numeric tells whether the values of its field are taken as numbers.
func (c *Correlation) Numeric() bool {
	return strings.HasPrefix(c.Type, "value_") && c.Type != "value_count"
}

// check finds what does not go together, and fills in what need not be said.
func (c *Correlation) check(line int) *Error {
	if len(c.Rules) == 0 {
		return errorf(line, "correlation names no rules")
	}
	for i, name := range c.Rules {
		if slices.Contains(c.Rules[:i], name) {
			return errorf(line, "correlation names the rule %q twice", name)
		}
	}
	if c.Absent {
		return c.checkAbsent(line)
	}
	if c.Travel != nil {
		switch {
		case c.Type != "value_count" || len(c.Fields) != 1:
			return errorf(line, "icewatch.travel is for value_count of one field that holds latitude and longitude, such as source.geo.location")
		case len(c.Bounds) == 0:
			c.Bounds = []Bound{{Relation: "gte", Value: 2}}
		case len(c.Bounds) > 1 || c.Bounds[0].Relation != "gte" || c.Bounds[0].Value != 2:
			return errorf(line, "with icewatch.travel the condition can only be gte: 2 (or be left out): two places that nobody gets between in the time")
		}
	}
	if c.Temporal() {
		switch {
		case len(c.Rules) > maxTemporalRules:
			return errorf(line, "a %s correlation is of %d rules at most, not %d", c.Type, maxTemporalRules, len(c.Rules))
		case len(c.Fields) > 0:
			return errorf(line, "condition.field is for the types value_…, not for %s", c.Type)
		case len(c.Cases) == 0 && len(c.Bounds) == 0:
			c.Bounds = []Bound{{Relation: "gte", Value: float64(len(c.Rules))}}
		}
	}
	values := strings.HasPrefix(c.Type, "value_")
	switch {
	case values && len(c.Fields) == 0:
		return errorf(line, "%s needs condition.field", c.Type)
	case !values && len(c.Fields) > 0:
		return errorf(line, "condition.field is for the types value_…, not for %s", c.Type)
	case c.Numeric() && len(c.Fields) > 1:
		return errorf(line, "%s takes one field, not %d", c.Type, len(c.Fields))
	case c.Type == "value_percentile" && c.Percentile < 0:
		return errorf(line, "value_percentile needs condition.percentile, from 0 to 100: which percentile of the values is compared")
	case c.Type != "value_percentile" && c.Percentile >= 0:
		return errorf(line, "condition.percentile is for value_percentile, not for %s", c.Type)
	case len(c.Bounds) == 0 && len(c.Cases) == 0:
		return errorf(line, "correlation has no condition")
	case !c.Numeric() && len(c.Bounds) > 0 && !c.possible():
		return errorf(line, "the condition is never met: a window begins with an event, so that it counts 1 at least; for silence write icewatch.absence: true")
	}
	return nil
}

// possible tells whether any count of 1 and more can meet the bounds.
func (c *Correlation) possible() bool {
	if c.Met(1) {
		return true
	}
	for _, b := range c.Bounds {
		v := math.Floor(b.Value)
		for _, n := range []float64{v - 1, v, v + 1} {
			if n >= 1 && c.Met(n) {
				return true
			}
		}
	}
	return false
}

// checkAbsent checks a correlation that waits for silence.
func (c *Correlation) checkAbsent(line int) *Error {
	if c.Type != "event_count" {
		return errorf(line, "icewatch.absence is for the type event_count, not for %s", c.Type)
	}
	for _, b := range c.Bounds {
		if none := b.Relation == "eq" && b.Value == 0 || b.Relation == "lte" && b.Value == 0 || b.Relation == "lt" && b.Value == 1; !none {
			return errorf(line, "with icewatch.absence the condition can only be eq: 0 (or be left out), not %s: %s", b.Relation, b)
		}
	}
	if len(c.Cases) > 0 || len(c.Fields) > 0 || c.Percentile >= 0 {
		return errorf(line, "with icewatch.absence the condition can only be eq: 0 (or be left out)")
	}
	c.Bounds = []Bound{{Relation: "eq", Value: 0}}
	return nil
}

func timespan(n *yaml.Node) (time.Duration, *Error) {
	s := strings.TrimSpace(n.Value)
	if n.Kind == yaml.ScalarNode && len(s) > 1 {
		unit := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour}[s[len(s)-1]]
		v, err := strconv.ParseInt(s[:len(s)-1], 10, 64)
		if unit > 0 && err == nil && v > 0 && v <= int64(366*24*time.Hour/unit) {
			return time.Duration(v) * unit, nil
		}
	}
	return 0, errorf(n.Line, "timespan %q is not a number with s, m, h, d or w, of at most 366 days", n.Value)
}

func aliases(n *yaml.Node) (map[string]map[string]string, *Error) {
	if n.Kind != yaml.MappingNode {
		return nil, errorf(n.Line, "aliases has to be a map")
	}
	out := map[string]map[string]string{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		val := resolve(n.Content[i+1])
		if val.Kind != yaml.MappingNode {
			return nil, errorf(val.Line, "alias %q has to map rule names to fields", n.Content[i].Value)
		}
		m := map[string]string{}
		for j := 0; j+1 < len(val.Content); j += 2 {
			s, err := text(val.Content[j], resolve(val.Content[j+1]))
			if err != nil {
				return nil, err
			}
			m[val.Content[j].Value] = s
		}
		out[n.Content[i].Value] = m
	}
	return out, nil
}

func (c *Correlation) readCondition(n *yaml.Node) *Error {
	if n.Kind == yaml.ScalarNode && c.Temporal() {
		return c.readExpression(n)
	}
	if n.Kind != yaml.MappingNode {
		return errorf(n.Line, "a correlation's condition has to be a map such as gte: 10")
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], resolve(n.Content[i+1])
		switch key.Value {
		case "gt", "gte", "lt", "lte", "eq", "neq":
			v, err := strconv.ParseFloat(val.Value, 64)
			switch {
			case !c.Numeric() && !(err == nil && v >= 0 && v == math.Trunc(v) && v <= 1<<53):
				return errorf(val.Line, "condition %s needs a whole number, not %q", key.Value, val.Value)
			case err != nil || math.IsInf(v, 0) || math.IsNaN(v):
				return errorf(val.Line, "condition %s needs a number, not %q", key.Value, val.Value)
			}
			c.Bounds = append(c.Bounds, Bound{Relation: key.Value, Value: v})
		case "field":
			var err *Error
			if c.Fields, err = texts(key, val); err != nil {
				return err
			}
		case "percentile":
			v, err := strconv.ParseFloat(val.Value, 64)
			if err != nil || !(v >= 0 && v <= 100) {
				return errorf(val.Line, "condition percentile needs a number from 0 to 100, not %q", val.Value)
			}
			c.Percentile = v
		default:
			return errorf(key.Line, "condition %q is none of gt, gte, lt, lte, eq, neq, field, percentile", key.Value)
		}
	}
	return nil
}

// String is the bound's number as it is written.
func (b Bound) String() string { return strconv.FormatFloat(b.Value, 'f', -1, 64) }

// Met tells whether a count, or what the correlation makes of values,
// satisfies every bound.
func (c *Correlation) Met(count float64) bool {
	for _, b := range c.Bounds {
		ok := false
		switch b.Relation {
		case "gt":
			ok = count > b.Value
		case "gte":
			ok = count >= b.Value
		case "lt":
			ok = count < b.Value
		case "lte":
			ok = count <= b.Value
		case "eq":
			ok = count == b.Value
		case "neq":
			ok = count != b.Value
		}
		if !ok {
			return false
		}
	}
	return true
}

// Rising tells whether the condition, once met, stays met however many events
// are added: then a window can fire as soon as it is met, else only when it is
// over. Threshold is the count at which a condition on a count is first met.
func (c *Correlation) Rising() (threshold int64, rising bool) {
	switch c.Type {
	case "value_avg", "value_percentile", "value_median":
		return 0, false
	}
	threshold = 1
	for _, b := range c.Bounds {
		switch b.Relation {
		case "gt":
			threshold = max(threshold, int64(math.Floor(b.Value))+1)
		case "gte":
			threshold = max(threshold, int64(math.Ceil(b.Value)))
		default:
			return 0, false
		}
	}
	for _, one := range c.Cases {
		if len(one.Absent) > 0 {
			return 0, false
		}
	}
	return threshold, true
}
