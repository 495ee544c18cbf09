package sigma

import (
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

func parseCorrelation(n *yaml.Node) (*Correlation, *Error) {
	if n.Kind != yaml.MappingNode {
		return nil, errorf(n.Line, "correlation has to be a map")
	}
	c := &Correlation{Line: n.Line}
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
			err = c.readCondition(val)
		default:
			err = errorf(key.Line, "correlation.%s is not known; known are type, rules, group-by, timespan, generate, aliases, condition", key.Value)
		}
		if err != nil {
			return nil, err
		}
	}
	switch c.Type {
	case "event_count":
	case "value_count":
		if len(c.Fields) == 0 {
			return nil, errorf(n.Line, "value_count needs condition.field")
		}
	case "temporal", "temporal_ordered", "value_sum", "value_avg", "value_percentile", "value_median":
		return nil, errorf(n.Line, "correlation type %q is not supported yet", c.Type)
	case "":
		return nil, errorf(n.Line, "correlation has no type")
	default:
		return nil, errorf(n.Line, "correlation type %q is unknown; known are event_count, value_count, temporal, temporal_ordered, value_sum, value_avg, value_percentile, value_median", c.Type)
	}
	switch {
	case len(c.Rules) == 0:
		return nil, errorf(n.Line, "correlation names no rules")
	case c.Timespan <= 0:
		return nil, errorf(n.Line, "correlation has no timespan")
	case len(c.Bounds) == 0:
		return nil, errorf(n.Line, "correlation has no condition")
	}
	return c, nil
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
	if n.Kind != yaml.MappingNode {
		return errorf(n.Line, "a correlation's condition has to be a map such as gte: 10")
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], resolve(n.Content[i+1])
		switch key.Value {
		case "gt", "gte", "lt", "lte", "eq", "neq":
			v, err := strconv.ParseInt(val.Value, 10, 64)
			if err != nil || v < 0 {
				return errorf(val.Line, "condition %s needs a whole number, not %q", key.Value, val.Value)
			}
			c.Bounds = append(c.Bounds, Bound{Relation: key.Value, Value: v})
		case "field":
			var err *Error
			if c.Fields, err = texts(key, val); err != nil {
				return err
			}
		default:
			return errorf(key.Line, "condition %q is none of gt, gte, lt, lte, eq, neq, field", key.Value)
		}
	}
	return nil
}

// Met tells whether a count satisfies every bound.
func (c *Correlation) Met(count int64) bool {
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

// Rising tells whether the condition, once met, stays met as the count grows:
// then a window can fire as soon as it is met, else only when it is over.
// Threshold is the count at which a rising condition is first met.
func (c *Correlation) Rising() (threshold int64, rising bool) {
	threshold = 1
	for _, b := range c.Bounds {
		switch b.Relation {
		case "gt":
			threshold = max(threshold, b.Value+1)
		case "gte":
			threshold = max(threshold, b.Value)
		default:
			return 0, false
		}
	}
	return threshold, true
}
