package config

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"icewatch/collectors/fleet/wire"
)

// tomlWriter turns YAML settings into TOML, and remembers the lines.
type tomlWriter struct {
	name  string
	out   bytes.Buffer
	lines []int
}

const maxDepth = 8

func (t *tomlWriter) line(node *yaml.Node, text string) {
	t.out.WriteString(text)
	t.out.WriteByte('\n')
	t.lines = append(t.lines, node.Line)
}

func (t *tomlWriter) fail(node *yaml.Node, format string, args ...any) error {
	return &wire.DocumentError{Part: "inputs." + t.name, Line: node.Line, Text: fmt.Sprintf(format, args...)}
}

var bareKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// key writes a name so that TOML's reader takes it for one.
func key(name string) string {
	if bareKey.MatchString(name) {
		return name
	}
	return quote(name)
}

// quote writes text as TOML's basic string.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\r':
			b.WriteString(`\r`)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func (t *tomlWriter) table(node *yaml.Node, path []string, depth int) error {
	if node.Kind == yaml.AliasNode {
		return t.fail(node, "references (*name) are not taken in settings")
	}
	if node.Kind != yaml.MappingNode {
		return t.fail(node, "settings are names with values")
	}
	if depth > maxDepth {
		return t.fail(node, "settings are nested deeper than %d", maxDepth)
	}
	type sub struct {
		name string
		node *yaml.Node
	}
	var later []sub
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, value := node.Content[i], node.Content[i+1]
		if value.Kind == yaml.MappingNode || value.Kind == yaml.SequenceNode && len(value.Content) > 0 && value.Content[0].Kind == yaml.MappingNode {
			later = append(later, sub{name.Value, value}) // Tables stand behind the values.
			continue
		}
		text, err := t.value(value, depth)
		if err != nil {
			return err
		}
		t.line(name, key(name.Value)+" = "+text)
	}
	for _, s := range later {
		below := append(slices.Clone(path), key(s.name))
		if s.node.Kind == yaml.MappingNode {
			t.line(s.node, "["+strings.Join(below, ".")+"]")
			if err := t.table(s.node, below, depth+1); err != nil {
				return err
			}
			continue
		}
		for _, n := range s.node.Content {
			t.line(n, "[["+strings.Join(below, ".")+"]]")
			if err := t.table(n, below, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *tomlWriter) value(node *yaml.Node, depth int) (string, error) {
	switch node.Kind {
	case yaml.SequenceNode:
		if depth > maxDepth {
			return "", t.fail(node, "settings are nested deeper than %d", maxDepth)
		}
		var parts []string
		for _, n := range node.Content {
			text, err := t.value(n, depth+1)
			if err != nil {
				return "", err
			}
			parts = append(parts, text)
		}
		return "[" + strings.Join(parts, ", ") + "]", nil
	case yaml.ScalarNode:
	case yaml.MappingNode:
		return "", t.fail(node, "a list has values or groups of settings, not both")
	default:
		return "", t.fail(node, "references (*name) are not taken in settings")
	}
	switch node.ShortTag() {
	case "!!bool":
		var v bool
		if err := node.Decode(&v); err != nil {
			return "", t.fail(node, "%q is not true or false", node.Value)
		}
		return strconv.FormatBool(v), nil
	case "!!int":
		var v int64
		if err := node.Decode(&v); err != nil {
			return "", t.fail(node, "%q is too large a number", node.Value)
		}
		return strconv.FormatInt(v, 10), nil
	case "!!float":
		var v float64
		if err := node.Decode(&v); err != nil || v != v || v > 1e300 || v < -1e300 {
			return "", t.fail(node, "%q is no number that can be set", node.Value)
		}
		text := strconv.FormatFloat(v, 'f', -1, 64)
		if !strings.Contains(text, ".") {
			text += ".0"
		}
		return text, nil
	case "!!null":
		return "", t.fail(node, "a setting has no value")
	}
	return quote(node.Value), nil
}
