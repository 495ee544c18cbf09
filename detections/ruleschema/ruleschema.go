// Package ruleschema holds the JSON schemas of the content of a rule
// repository, one a kind, and judges documents of YAML by them, with the line of
// each fault. It reads the part of JSON Schema (draft 2020-12) that these use:
// type, enum, const, required, properties, additionalProperties, minProperties,
// items, minItems, anyOf, if and else, pattern, minLength, maxLength, minimum,
// maximum, and references to $defs.
package ruleschema

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"icewatch/rules"
)

// The kinds of content.
const (
	Sigma       = "sigma"
	Correlation = "correlation"
	Filter      = "filter"
	Suppression = "suppression"
	Test        = "test"
	PolicyMeta  = "policy-meta"
	ParserPack  = "parser-pack"
)

// Kinds lists them.
var Kinds = []string{Sigma, Correlation, Filter, Suppression, Test, PolicyMeta, ParserPack}

// Fault is where a document does not fit its schema.
type Fault struct {
	Line   int
	Reason string
}

// schema is one, as far as it is read.
type schema struct {
	Type          string             `json:"type"`
	Enum          []any              `json:"enum"`
	Const         any                `json:"const"`
	Required      []string           `json:"required"`
	Properties    map[string]*schema `json:"properties"`
	Additional    json.RawMessage    `json:"additionalProperties"`
	MinProperties int                `json:"minProperties"`
	Items         *schema            `json:"items"`
	MinItems      int                `json:"minItems"`
	AnyOf         []*schema          `json:"anyOf"`
	If            *schema            `json:"if"`
	Else          *schema            `json:"else"`
	Pattern       string             `json:"pattern"`
	MinLength     int                `json:"minLength"`
	MaxLength     int                `json:"maxLength"`
	Minimum       *float64           `json:"minimum"`
	Maximum       *float64           `json:"maximum"`
	Ref           string             `json:"$ref"`
	Defs          map[string]*schema `json:"$defs"`

	others  *schema // additionalProperties, where it is a schema
	closed  bool    // additionalProperties: false
	pattern *regexp.Regexp
}

// Text is the schema of a kind, as JSON.
func Text(kind string) ([]byte, error) {
	if !slices.Contains(Kinds, kind) {
		return nil, fmt.Errorf("there is no schema %q; there are %s", kind, strings.Join(Kinds, ", "))
	}
	return fs.ReadFile(rules.FS, "schema/"+kind+".json")
}

var known = sync.OnceValues(func() (map[string]*schema, error) {
	out := map[string]*schema{}
	for _, kind := range Kinds {
		data, err := Text(kind)
		if err != nil {
			return nil, err
		}
		var s schema
		if err := json.Unmarshal(data, &s); err != nil {
			return nil, fmt.Errorf("schema %s: %w", kind, err)
		}
		if err := s.prepare(); err != nil {
			return nil, fmt.Errorf("schema %s: %w", kind, err)
		}
		out[kind] = &s
	}
	return out, nil
})

// prepare compiles what a schema holds.
func (s *schema) prepare() (err error) {
	if s == nil {
		return nil
	}
	switch text := strings.TrimSpace(string(s.Additional)); {
	case text == "false":
		s.closed = true
	case strings.HasPrefix(text, "{"):
		s.others = &schema{}
		if err := json.Unmarshal(s.Additional, s.others); err != nil {
			return err
		}
	}
	if s.Pattern != "" {
		if s.pattern, err = regexp.Compile(s.Pattern); err != nil {
			return err
		}
	}
	below := []*schema{s.others, s.Items, s.If, s.Else}
	below = append(below, s.AnyOf...)
	for _, p := range s.Properties {
		below = append(below, p)
	}
	for _, d := range s.Defs {
		below = append(below, d)
	}
	for _, b := range below {
		if err := b.prepare(); err != nil {
			return err
		}
	}
	return nil
}

// KindOf says of which kind a document of rules is; "" for none.
func KindOf(n *yaml.Node) string {
	for _, kind := range []string{Correlation, Filter} {
		if child(n, kind) != nil {
			return kind
		}
	}
	if child(n, "detection") != nil {
		return Sigma
	}
	return ""
}

func child(n *yaml.Node, key string) *yaml.Node {
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == key {
				return behind(n.Content[i+1])
			}
		}
	}
	return nil
}

func behind(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode && n.Alias != nil {
		n = n.Alias
	}
	return n
}

// Check judges a document of a kind. The document's tree must be bounded.
func Check(kind string, n *yaml.Node) ([]Fault, error) {
	all, err := known()
	if err != nil {
		return nil, err
	}
	s := all[kind]
	if s == nil {
		return nil, fmt.Errorf("there is no schema %q", kind)
	}
	c := &checker{root: s}
	c.check(s, behind(n), "", 0)
	return c.faults, nil
}

type checker struct {
	root   *schema
	faults []Fault
}

const maxDepth = 64

func (c *checker) add(n *yaml.Node, at, format string, args ...any) {
	where := ""
	if at != "" {
		where = at + ": "
	}
	c.faults = append(c.faults, Fault{n.Line, where + fmt.Sprintf(format, args...)})
}

func (c *checker) fits(s *schema, n *yaml.Node, depth int) bool {
	sub := &checker{root: c.root}
	sub.check(s, n, "", depth)
	return len(sub.faults) == 0
}

func (c *checker) check(s *schema, n *yaml.Node, at string, depth int) {
	if depth > maxDepth {
		c.add(n, at, "nested too deep")
		return
	}
	if name, ok := strings.CutPrefix(s.Ref, "#/$defs/"); ok {
		if to := c.root.Defs[name]; to != nil {
			c.check(to, n, at, depth+1)
		}
		return
	}
	if len(s.AnyOf) > 0 && !slices.ContainsFunc(s.AnyOf, func(one *schema) bool { return c.fits(one, n, depth+1) }) {
		var kinds []string
		for _, one := range s.AnyOf {
			if one.Type == kindOf(n) { // the faults of the alternative that was meant
				c.check(one, n, at, depth+1)
				return
			}
			if one.Type != "" {
				kinds = append(kinds, one.Type)
			}
		}
		c.add(n, at, "has to be %s", strings.Join(kinds, " or "))
		return
	}
	if s.Type != "" && !isOf(s.Type, n) {
		c.add(n, at, "has to be %s, not %s", article(s.Type), article(kindOf(n)))
		return
	}
	if s.Const != nil && fmt.Sprint(s.Const) != n.Value {
		c.add(n, at, "has to be %v", s.Const)
	}
	if len(s.Enum) > 0 {
		var words []string
		for _, e := range s.Enum {
			words = append(words, fmt.Sprint(e))
		}
		if !slices.Contains(words, n.Value) {
			c.add(n, at, "%q is none of %s", n.Value, strings.Join(words, ", "))
		}
	}
	switch n.Kind {
	case yaml.ScalarNode:
		c.scalar(s, n, at)
	case yaml.SequenceNode:
		if len(n.Content) < s.MinItems {
			c.add(n, at, "needs %d entries at least", s.MinItems)
		}
		if s.Items != nil {
			for i, e := range n.Content {
				c.check(s.Items, behind(e), fmt.Sprintf("%s[%d]", at, i+1), depth+1)
			}
		}
	case yaml.MappingNode:
		c.object(s, n, at, depth)
	}
	if s.If != nil && s.Else != nil && !c.fits(s.If, n, depth+1) {
		c.check(s.Else, n, at, depth+1)
	}
}

func (c *checker) scalar(s *schema, n *yaml.Node, at string) {
	size := utf8.RuneCountInString(n.Value)
	switch {
	case size < s.MinLength && s.MinLength == 1:
		c.add(n, at, "is empty")
	case size < s.MinLength:
		c.add(n, at, "needs %d characters at least", s.MinLength)
	case s.MaxLength > 0 && size > s.MaxLength:
		c.add(n, at, "has more than %d characters", s.MaxLength)
	case s.pattern != nil && !s.pattern.MatchString(n.Value):
		c.add(n, at, "%q does not fit %s", n.Value, s.Pattern)
	}
	if v, err := strconv.ParseFloat(n.Value, 64); err == nil {
		if s.Minimum != nil && v < *s.Minimum {
			c.add(n, at, "has to be %v at least", *s.Minimum)
		}
		if s.Maximum != nil && v > *s.Maximum {
			c.add(n, at, "has to be %v at most", *s.Maximum)
		}
	}
}

func (c *checker) object(s *schema, n *yaml.Node, at string, depth int) {
	dot := func(key string) string {
		if at == "" {
			return key
		}
		return at + "." + key
	}
	for _, key := range s.Required {
		if child(n, key) == nil {
			c.add(n, "", "%s is missing", dot(key))
		}
	}
	if len(n.Content)/2 < s.MinProperties {
		c.add(n, at, "needs %d keys at least", s.MinProperties)
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], behind(n.Content[i+1])
		switch sub := s.Properties[key.Value]; {
		case sub != nil:
			c.check(sub, val, dot(key.Value), depth+1)
		case s.closed:
			var names []string
			for name := range s.Properties {
				names = append(names, name)
			}
			slices.Sort(names)
			c.add(key, "", "%s is not known; known are %s", dot(key.Value), strings.Join(names, ", "))
		case s.others != nil:
			c.check(s.others, val, dot(key.Value), depth+1)
		}
	}
}

// kindOf is the JSON type of a node.
func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "object"
	case yaml.SequenceNode:
		return "array"
	}
	switch n.ShortTag() {
	case "!!int", "!!float":
		return "number"
	case "!!bool":
		return "boolean"
	case "!!null":
		return "null"
	}
	return "string" // dates as well
}

func isOf(want string, n *yaml.Node) bool {
	switch is := kindOf(n); {
	case is == want:
		return true
	case want == "integer":
		return n.ShortTag() == "!!int"
	case want == "string":
		return n.Kind == yaml.ScalarNode && is != "null" // a number or a word of YAML stands for its text
	}
	return false
}

func article(kind string) string {
	switch kind {
	case "object":
		return "a map"
	case "array":
		return "a list"
	case "string":
		return "a text"
	case "null":
		return "nothing"
	}
	return "a " + kind
}
