package source

import (
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
)

// The operations of corrections.
const (
	OpSet     = "set"     // the value becomes With
	OpDefault = "default" // With, where there is none
	OpCopy    = "copy"    // the value of From
	OpLower   = "lower"
	OpUpper   = "upper"
	OpTrim    = "trim"    // spaces around it, or the characters of With
	OpReplace = "replace" // what Pattern matches becomes With, where $1 is its first group
	OpExtract = "extract" // the first group of Pattern in From (or in the field itself); nothing where it does not match
	OpMap     = "map"     // what Values names by the value; With where it names none and With is given
	OpPort    = "host"    // a host without its port: 10.1.2.3:9100 is 10.1.2.3
	OpRemove  = "remove"
	OpDiscard = "discard" // the alert is no alert where Pattern matches
)

var corrections = []string{OpSet, OpDefault, OpCopy, OpLower, OpUpper, OpTrim, OpReplace, OpExtract, OpMap, OpPort, OpRemove, OpDiscard}

// Limits of corrections.
const (
	maxCorrections = 100
	maxPattern     = 1 << 10
	maxValues      = 500
)

// Correction changes a field of every alert of a source, after the mapping and
// before it is read what severity, status and times mean. They are made in
// their order.
type Correction struct {
	Field   string            `json:"field" yaml:"field" doc:"Of the alert schema, or labels.NAME"`
	Op      string            `json:"op" yaml:"op" enum:"set,default,copy,lower,upper,trim,replace,extract,map,host,remove,discard"`
	From    string            `json:"from,omitempty" yaml:"from,omitempty" doc:"Of copy and extract: the field that is read"`
	Pattern string            `json:"pattern,omitempty" yaml:"pattern,omitempty" doc:"Of replace, extract and discard: a regular expression (RE2)"`
	With    string            `json:"with,omitempty" yaml:"with,omitempty"`
	Values  map[string]string `json:"values,omitempty" yaml:"values,omitempty" doc:"Of map: the new values by the old ones, upper and lower case alike"`
	When    *When             `json:"when,omitempty" yaml:"when,omitempty" doc:"Only for alerts of which this holds"`
}

// When is a condition of a correction.
type When struct {
	Field   string `json:"field" yaml:"field"`
	Pattern string `json:"pattern" yaml:"pattern" doc:"A regular expression (RE2) that the field has to match"`
}

// correction is a Correction that is ready to be made.
type correction struct {
	Correction
	pattern, when *regexp.Regexp
	values        map[string]string
}

// compileCorrections checks corrections and makes them ready. The error names
// the place of what is wrong.
func compileCorrections(list []Correction, dict Dictionary) ([]correction, error) {
	if len(list) > maxCorrections {
		return nil, fmt.Errorf("corrections: %d, at most %d", len(list), maxCorrections)
	}
	out := make([]correction, 0, len(list))
	for i, c := range list {
		r, err := compileCorrection(c, dict)
		if err != nil {
			return nil, fmt.Errorf("corrections[%d].%w", i, err)
		}
		out = append(out, r)
	}
	return out, nil
}

func compileCorrection(c Correction, dict Dictionary) (r correction, err error) {
	r.Correction = c
	if !slices.Contains(corrections, c.Op) {
		return r, fmt.Errorf("op: %q: want one of %s", clip(c.Op, 64), strings.Join(corrections, ", "))
	}
	if err := knownOrLabel(c.Field, dict); err != nil {
		return r, fmt.Errorf("field: %w", err)
	}
	switch c.Op {
	case OpCopy:
		if c.From == "" {
			return r, fmt.Errorf("from: copy needs the field to copy")
		}
	case OpReplace, OpExtract, OpDiscard:
		if c.Pattern == "" {
			return r, fmt.Errorf("pattern: %s needs a regular expression", c.Op)
		}
	case OpMap:
		if len(c.Values) == 0 || len(c.Values) > maxValues {
			return r, fmt.Errorf("values: %d: map needs 1 to %d", len(c.Values), maxValues)
		}
		r.values = make(map[string]string, len(c.Values))
		for from, to := range c.Values {
			r.values[strings.ToLower(from)] = to
		}
	}
	if len(c.With) > maxValue {
		return r, fmt.Errorf("with: it has %d bytes, at most %d", len(c.With), maxValue)
	}
	if c.From != "" {
		if err := knownOrLabel(c.From, dict); err != nil {
			return r, fmt.Errorf("from: %w", err)
		}
	}
	if c.Pattern != "" {
		if r.pattern, err = pattern(c.Pattern); err != nil {
			return r, fmt.Errorf("pattern: %w", err)
		}
		if c.Op == OpExtract && r.pattern.NumSubexp() == 0 {
			return r, fmt.Errorf("pattern: %q has no group: put what is to be taken in ( )", c.Pattern)
		}
	}
	if c.When != nil {
		if err := knownOrLabel(c.When.Field, dict); err != nil {
			return r, fmt.Errorf("when.field: %w", err)
		}
		if r.when, err = pattern(c.When.Pattern); err != nil {
			return r, fmt.Errorf("when.pattern: %w", err)
		}
	}
	return r, nil
}

func pattern(text string) (*regexp.Regexp, error) {
	if len(text) > maxPattern {
		return nil, fmt.Errorf("it has %d bytes, at most %d", len(text), maxPattern)
	}
	r, err := regexp.Compile(text)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", clip(text, 200), err)
	}
	return r, nil
}

func knownOrLabel(name string, dict Dictionary) error {
	if label, ok := strings.CutPrefix(name, labelPrefix); ok && label != "" && len(label) <= maxLabelName {
		return nil
	}
	return dict.known(name)
}

// draft is an alert while it is made: texts by field, and labels.
type draft struct {
	fields map[string]string
	labels map[string]string
}

func (d *draft) get(name string) string {
	if label, ok := strings.CutPrefix(name, labelPrefix); ok {
		return d.labels[label]
	}
	return d.fields[name]
}

func (d *draft) set(name, value string) {
	into, key := d.fields, name
	if label, ok := strings.CutPrefix(name, labelPrefix); ok {
		into, key = d.labels, label
	}
	if value == "" {
		delete(into, key)
	} else {
		into[key] = clip(value, maxValue)
	}
}

// correct makes the corrections; discarded names the one that said that this is
// no alert.
func (d *draft) correct(list []correction) (discarded string) {
	for i := range list {
		c := &list[i]
		if c.when != nil && !c.when.MatchString(d.get(c.When.Field)) {
			continue
		}
		v := d.get(c.Field)
		switch c.Op {
		case OpSet:
			v = c.With
		case OpDefault:
			if v == "" {
				v = c.With
			}
		case OpCopy:
			v = d.get(c.From)
		case OpLower:
			v = strings.ToLower(v)
		case OpUpper:
			v = strings.ToUpper(v)
		case OpTrim:
			if c.With == "" {
				v = strings.TrimSpace(v)
			} else {
				v = strings.Trim(v, c.With)
			}
		case OpReplace:
			v = c.pattern.ReplaceAllString(v, c.With)
		case OpExtract:
			from := c.Field
			if c.From != "" {
				from = c.From
			}
			v = ""
			if m := c.pattern.FindStringSubmatch(d.get(from)); m != nil {
				v = m[1]
			}
		case OpMap:
			if to, ok := c.values[strings.ToLower(v)]; ok {
				v = to
			} else if c.With != "" {
				v = c.With
			}
		case OpPort:
			v = withoutPort(v)
		case OpRemove:
			v = ""
		case OpDiscard:
			if c.pattern.MatchString(v) {
				return fmt.Sprintf("corrections[%d] discards alerts whose %s matches %s", i, c.Field, clip(c.Pattern, 100))
			}
		}
		d.set(c.Field, v)
	}
	return ""
}

// withoutPort takes the port off a host, and the brackets off an address.
func withoutPort(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.Trim(host, "[]")
}
