package cmdb

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"icewatch/cmdb/model"
)

// maxFileValues bounds the values of one YAML file, which anchors could
// otherwise multiply without end.
const maxFileValues = 5_000_000

// parseYAML reads documents that are a list of items, or have one under
// "items", or are one item. Keys are the columns of the CSV form; attributes
// are a mapping, which replaces those the item has.
func parseYAML(text []byte, class string) ([]*draft, errorList, error) {
	p := yamlParser{class: class}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return p.drafts, p.mistakes, nil
		}
		if err != nil {
			return nil, p.mistakes, yamlSyntax(err)
		}
		if len(doc.Content) == 0 {
			continue
		}
		if err := p.document(deref(doc.Content[0])); err != nil {
			return nil, p.mistakes, err
		}
	}
}

type yamlParser struct {
	class    string
	drafts   []*draft
	mistakes errorList
	values   int
}

func (p *yamlParser) document(n *yaml.Node) error {
	switch {
	case n.Kind == yaml.SequenceNode:
		return p.list(n)
	case n.Kind == yaml.ScalarNode && n.Tag == "!!null":
		return nil
	case n.Kind != yaml.MappingNode:
		return RowError{Row: n.Line, Message: "want a list of items"}
	}
	if len(n.Content) >= 2 && n.Content[0].Value == "items" {
		for i := 2; i < len(n.Content); i += 2 {
			p.mistakes.add(n.Content[i].Line, n.Content[i].Value, "unknown key beside items")
		}
		list := deref(n.Content[1])
		if list.Kind == yaml.ScalarNode && list.Tag == "!!null" {
			return nil
		}
		if list.Kind != yaml.SequenceNode {
			return RowError{Row: list.Line, Column: "items", Message: "want a list of items"}
		}
		return p.list(list)
	}
	return p.item(n)
}

func (p *yamlParser) list(n *yaml.Node) error {
	for _, c := range n.Content {
		if err := p.item(deref(c)); err != nil {
			return err
		}
	}
	return nil
}

func (p *yamlParser) item(n *yaml.Node) error {
	if len(p.drafts) == maxRows {
		return fmt.Errorf("%w: more than %d items", ErrTooLarge, maxRows)
	}
	d := &draft{row: n.Line, given: map[string]bool{}}
	d.want.Class = p.class
	p.drafts = append(p.drafts, d)
	if n.Kind != yaml.MappingNode {
		p.bad(d, n.Line, "", "want an item with keys such as class and name")
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], deref(n.Content[i+1])
		if p.values++; p.values > maxFileValues {
			return fmt.Errorf("%w: more than %d values", ErrTooLarge, maxFileValues)
		}
		column, ok := columnOf(key.Value)
		switch {
		case key.Value == colAttributes:
			column = colAttributes
		case !ok || strings.HasPrefix(column, attrPrefix):
			p.bad(d, key.Line, key.Value, "unknown key: want %s or attributes", strings.Join(tableColumns, ", "))
			continue
		}
		if d.given[column] {
			p.bad(d, key.Line, column, "the key is there twice")
			continue
		}
		d.given[column] = true
		if err := p.value(d, column, value); err != nil {
			return err
		}
	}
	return nil
}

func (p *yamlParser) bad(d *draft, line int, column, format string, args ...any) {
	d.bad = true
	p.mistakes.add(line, column, format, args...)
}

func (p *yamlParser) value(d *draft, column string, n *yaml.Node) error {
	switch column {
	case colAddresses, colHostnames, colLabels:
		list, err := p.stringList(d, column, n)
		if err != nil {
			return err
		}
		switch column {
		case colAddresses:
			d.want.Addresses = list
		case colHostnames:
			d.want.Hostnames = list
		case colLabels:
			d.want.Labels = list
		}
	case colAttributes:
		d.wholeAttrs, d.attrs = true, map[string]string{}
		if text, ok := scalar(n); ok && text == "" {
			return nil
		}
		if n.Kind != yaml.MappingNode {
			p.bad(d, n.Line, column, "want a mapping of names to texts")
			return nil
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if p.values++; p.values > maxFileValues {
				return fmt.Errorf("%w: more than %d values", ErrTooLarge, maxFileValues)
			}
			name := n.Content[i].Value
			text, ok := scalar(deref(n.Content[i+1]))
			if _, twice := d.attrs[name]; twice || !ok {
				p.bad(d, n.Content[i].Line, attrPrefix+name, "want one text")
				continue
			}
			d.attrs[name] = text
		}
	default:
		text, ok := scalar(n)
		if !ok {
			p.bad(d, n.Line, column, "want one text")
			return nil
		}
		if err := d.set(column, text); err != nil {
			p.bad(d, n.Line, column, "%v", err)
		}
	}
	return nil
}

// stringList reads a list of texts, or one text as a cell of a table.
func (p *yamlParser) stringList(d *draft, column string, n *yaml.Node) ([]string, error) {
	if text, ok := scalar(n); ok {
		return splitList(text), nil
	}
	if n.Kind != yaml.SequenceNode {
		p.bad(d, n.Line, column, "want a list of texts")
		return nil, nil
	}
	out := make([]string, 0, len(n.Content))
	for _, c := range n.Content {
		if p.values++; p.values > maxFileValues {
			return nil, fmt.Errorf("%w: more than %d values", ErrTooLarge, maxFileValues)
		}
		text, ok := scalar(deref(c))
		if !ok {
			p.bad(d, c.Line, column, "want a list of texts")
			return nil, nil
		}
		out = append(out, text)
	}
	return out, nil
}

// scalar returns the text of a node as written: a ledger's 007 or "no" is a
// text, whatever YAML takes it for. Null is the empty text.
func scalar(n *yaml.Node) (string, bool) {
	if n.Kind != yaml.ScalarNode {
		return "", false
	}
	if n.Tag == "!!null" {
		return "", true
	}
	return n.Value, true
}

// deref follows an alias to what its anchor marks.
func deref(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode && n.Alias != nil {
		n = n.Alias
	}
	return n
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

func yamlSyntax(err error) error {
	e := RowError{Message: err.Error()}
	if m := yamlLine.FindStringSubmatch(e.Message); m != nil {
		e.Row, _ = strconv.Atoi(m[1])
		e.Message = "this is no YAML: " + m[2]
	}
	return e
}

// fileItem is an item as an export writes it. What the class does not have is
// nil and left out; what it has is written even where it is empty, so that an
// import brings back exactly this.
type fileItem struct {
	ID           string            `json:"id" yaml:"id"`
	Class        string            `json:"class" yaml:"class"`
	Name         string            `json:"name" yaml:"name"`
	Tenant       string            `json:"tenant" yaml:"tenant"`
	Zone         *string           `json:"zone,omitempty" yaml:"zone,omitempty"`
	Addresses    *[]string         `json:"addresses,omitempty" yaml:"addresses,flow,omitempty"`
	Hostnames    *[]string         `json:"hostnames,omitempty" yaml:"hostnames,flow,omitempty"`
	Criticality  int               `json:"criticality" yaml:"criticality"`
	Owner        string            `json:"owner" yaml:"owner"`
	Labels       []string          `json:"labels" yaml:"labels,flow"`
	System       *string           `json:"system,omitempty" yaml:"system,omitempty"`
	Organisation string            `json:"organisation" yaml:"organisation"`
	Attributes   map[string]string `json:"attributes" yaml:"attributes"`
}

func toFile(c *Class, it *Item) fileItem {
	y := fileItem{
		ID: it.ID, Class: it.Class, Name: it.Name, Tenant: it.Tenant, Criticality: it.Criticality, Owner: it.Owner,
		Labels: append([]string{}, it.Labels...), Organisation: it.Organisation, Attributes: it.Attributes,
	}
	if y.Attributes == nil {
		y.Attributes = map[string]string{}
	}
	if c.Addresses != model.NoAddresses {
		list := append([]string{}, it.Addresses...)
		y.Zone, y.Addresses = &it.Zone, &list
	}
	if c.Hostnames {
		list := append([]string{}, it.Hostnames...)
		y.Hostnames = &list
	}
	if c.System {
		y.System = &it.System
	}
	return y
}
