package cmdb

import (
	"bytes"
	_ "embed"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"icewatch/soc/tenancy"
)

//go:embed classes.yaml
var classesYAML []byte

// What the addresses of a class are.
const (
	noAddresses   = "none"
	ipAddresses   = "ip"
	cidrAddresses = "cidr"
)

// Class describes one class of items.
type Class struct {
	Name       string       `json:"class" yaml:"class"`
	Title      tenancy.Text `json:"name" yaml:"name"`
	Prefix     string       `json:"-" yaml:"prefix"` // of ids the suite makes
	Layer      int          `json:"-" yaml:"layer"`  // references point to lower layers
	Addresses  string       `json:"addresses" yaml:"addresses"`
	Hostnames  bool         `json:"hostnames" yaml:"hostnames"`
	System     bool         `json:"system" yaml:"system"`
	Attributes []Attribute  `json:"attributes" yaml:"attributes"`
}

// Attribute describes one attribute of a class.
type Attribute struct {
	Name   string       `json:"name" yaml:"name"`
	Title  tenancy.Text `json:"title" yaml:"title"`
	Type   string       `json:"type" yaml:"type"` // text, integer, boolean, date or enum
	Min    *int64       `json:"min,omitempty" yaml:"min"`
	Max    *int64       `json:"max,omitempty" yaml:"max"`
	Values []string     `json:"values,omitempty" yaml:"values"` // of an enum
}

var classNamePattern = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// classSet is the class table.
type classSet struct {
	list   []Class
	byName map[string]*Class
}

// loadClasses reads a class table and checks that it makes sense.
func loadClasses(data []byte) (*classSet, error) {
	set := &classSet{byName: map[string]*Class{}}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&set.list); err != nil {
		return nil, fmt.Errorf("cmdb: read the classes: %w", err)
	}
	for i := range set.list {
		c := &set.list[i]
		if c.Addresses == "" {
			c.Addresses = noAddresses
		}
		switch {
		case !classNamePattern.MatchString(c.Name):
			return nil, fmt.Errorf("cmdb: class %q: bad name", c.Name)
		case set.byName[c.Name] != nil:
			return nil, fmt.Errorf("cmdb: class %q is there twice", c.Name)
		case c.Prefix == "" || c.Title.ZH == "" || c.Title.EN == "":
			return nil, fmt.Errorf("cmdb: class %q: prefix or a name is missing", c.Name)
		case !slices.Contains([]string{noAddresses, ipAddresses, cidrAddresses}, c.Addresses):
			return nil, fmt.Errorf("cmdb: class %q: addresses is %q", c.Name, c.Addresses)
		case c.System && c.Layer < 2:
			return nil, fmt.Errorf("cmdb: class %q: layer %d cannot belong to a system", c.Name, c.Layer)
		}
		for _, a := range c.Attributes {
			if !attributePattern.MatchString(a.Name) || !slices.Contains([]string{"text", "integer", "boolean", "date", "enum"}, a.Type) {
				return nil, fmt.Errorf("cmdb: class %q: attribute %q of type %q", c.Name, a.Name, a.Type)
			}
		}
		set.byName[c.Name] = c
	}
	for _, want := range []struct {
		name  string
		layer int
	}{{Organisation, 0}, {BusinessSystem, 1}} {
		if c := set.byName[want.name]; c == nil || c.Layer != want.layer {
			return nil, fmt.Errorf("cmdb: class %q is missing or not of layer %d", want.name, want.layer)
		}
	}
	return set, nil
}

// names lists the class names, for error messages.
func (s *classSet) names() string {
	var n []string
	for _, c := range s.list {
		n = append(n, c.Name)
	}
	return strings.Join(n, ", ")
}

// checkAttribute returns the canonical form of an attribute's value, or why it
// is none of its type. Attributes the class does not know are text.
func (c *Class) checkAttribute(name, value string) (string, error) {
	i := slices.IndexFunc(c.Attributes, func(a Attribute) bool { return a.Name == name })
	if i < 0 {
		return value, nil
	}
	a := &c.Attributes[i]
	switch a.Type {
	case "integer":
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return "", fmt.Errorf("%q is not a whole number", value)
		}
		if a.Min != nil && n < *a.Min || a.Max != nil && n > *a.Max {
			return "", fmt.Errorf("%d is out of range: want %s", n, a.span())
		}
		return strconv.FormatInt(n, 10), nil
	case "boolean":
		switch strings.ToLower(value) {
		case "true", "yes", "1", "是":
			return "true", nil
		case "false", "no", "0", "否":
			return "false", nil
		}
		return "", fmt.Errorf("%q is neither true nor false", value)
	case "date":
		if _, err := time.Parse(time.DateOnly, value); err != nil {
			return "", fmt.Errorf("%q is not a date such as 2026-01-31", value)
		}
	case "enum":
		if !slices.Contains(a.Values, value) {
			return "", fmt.Errorf("%q is not one of %s", value, strings.Join(a.Values, ", "))
		}
	}
	return value, nil
}

// span says which numbers are allowed.
func (a *Attribute) span() string {
	switch {
	case a.Min != nil && a.Max != nil:
		return fmt.Sprintf("%d to %d", *a.Min, *a.Max)
	case a.Min != nil:
		return fmt.Sprintf("at least %d", *a.Min)
	default:
		return fmt.Sprintf("at most %d", *a.Max)
	}
}
