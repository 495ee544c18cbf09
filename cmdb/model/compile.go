package model

import (
	"bytes"
	"embed"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"icewatch/soc/tenancy"
)

//go:embed shipped/*.yaml
var shipped embed.FS

var (
	className     = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)
	attributeName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]{0,62}$`)
	prefixForm    = regexp.MustCompile(`^[a-z][a-z0-9-]{0,30}$`)
)

// Reserved are the names that no attribute may have: items carry them as
// fields.
var Reserved = append([]string{"id", "class", "tenant", "zone", "addresses", "hostnames", "criticality", "labels",
	"system", "organisation", "attributes", "revision", "created", "updated"}, Fields...)

// Bounds of a model.
const (
	maxClasses    = 1000
	maxAttributes = 200 // of one class
	maxValues     = 5000
	maxDepth      = 8 // of classes that extend each other
)

// UnmarshalYAML reads a value as a mapping or as the list [value, zh, en].
func (v *Value) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.SequenceNode {
		var list []string
		if err := n.Decode(&list); err != nil || len(list) != 3 {
			return fmt.Errorf("line %d: want a value, its Chinese and its English name", n.Line)
		}
		*v = Value{list[0], list[1], list[2]}
		return nil
	}
	type plain Value
	return n.Decode((*plain)(v))
}

// Parse reads a document.
func Parse(text []byte) (Document, error) {
	var d Document
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(&d); err != nil {
		return Document{}, fmt.Errorf("model: read the document: %w", err)
	}
	return d, nil
}

// Shipped is the document that the suite brings.
func Shipped() (Document, error) {
	var all Document
	for _, name := range []string{"dictionaries", "classes", "relations"} {
		text, err := shipped.ReadFile("shipped/" + name + ".yaml")
		if err != nil {
			return Document{}, fmt.Errorf("model: %w", err)
		}
		d, err := Parse(text)
		if err != nil {
			return Document{}, fmt.Errorf("%s: %w", name, err)
		}
		all.Layers = append(all.Layers, d.Layers...)
		all.Dictionaries = append(all.Dictionaries, d.Dictionaries...)
		all.Templates = append(all.Templates, d.Templates...)
		all.Classes = append(all.Classes, d.Classes...)
		all.RelationTypes = append(all.RelationTypes, d.RelationTypes...)
		all.Rules = append(all.Rules, d.Rules...)
	}
	return all, nil
}

// Over lays another document over d. What d does not have is added. A
// dictionary of the same name gains values, or other names for those it has; a
// template or class of the same name gains attributes, each in place of one of
// its name, and takes the fields that are given; a layer, relation type or rule
// of the same name is replaced.
func (d Document) Over(o Document) Document {
	out := Document{
		Layers:        lay(d.Layers, o.Layers, func(l Layer) string { return l.Name }, func(_, b Layer) Layer { return b }),
		RelationTypes: lay(d.RelationTypes, o.RelationTypes, func(r RelationType) string { return r.Name }, func(_, b RelationType) RelationType { return b }),
		Rules:         lay(d.Rules, o.Rules, func(r Rule) string { return r.Name }, func(_, b Rule) Rule { return b }),
	}
	out.Dictionaries = lay(d.Dictionaries, o.Dictionaries, func(x Dictionary) string { return x.Name }, func(a, b Dictionary) Dictionary {
		a.Title = title(a.Title, b.Title)
		a.Values = lay(a.Values, b.Values, func(v Value) string { return v.Value }, func(_, b Value) Value { return b })
		return a
	})
	attributes := func(a, b []Attribute) []Attribute {
		return lay(a, b, func(x Attribute) string { return x.Name }, func(_, b Attribute) Attribute { return b })
	}
	out.Templates = lay(d.Templates, o.Templates, func(t Template) string { return t.Name }, func(a, b Template) Template {
		a.Title, a.Attributes = title(a.Title, b.Title), attributes(a.Attributes, b.Attributes)
		return a
	})
	out.Classes = lay(d.Classes, o.Classes, func(c Class) string { return c.Name }, func(a, b Class) Class {
		a.Title = title(a.Title, b.Title)
		if b.Layer != "" {
			a.Layer = b.Layer
		}
		if len(b.Key) > 0 {
			a.Key = b.Key
		}
		a.Templates = slices.Clone(a.Templates)
		for _, t := range b.Templates {
			if !slices.Contains(a.Templates, t) {
				a.Templates = append(a.Templates, t)
			}
		}
		a.Attributes, a.Remove = attributes(a.Attributes, b.Attributes), slices.Concat(a.Remove, b.Remove)
		return a
	})
	return out
}

// lay puts the definitions of over into base, in place of, or after, those
// there are.
func lay[T any](base, over []T, name func(T) string, merge func(a, b T) T) []T {
	out := slices.Clone(base)
	for _, b := range over {
		i := slices.IndexFunc(out, func(a T) bool { return name(a) == name(b) })
		if i < 0 {
			out = append(out, b)
			continue
		}
		out[i] = merge(out[i], b)
	}
	return out
}

func title(a, b tenancy.Text) tenancy.Text {
	if b.ZH != "" {
		a.ZH = b.ZH
	}
	if b.EN != "" {
		a.EN = b.EN
	}
	return a
}

// DefinitionError says which definition of a document cannot be.
type DefinitionError struct {
	What    string `json:"what"` // such as "class", "dictionary" or "rule"
	Name    string `json:"name"`
	Message string `json:"message"`
}

// Error implements error.
func (e *DefinitionError) Error() string {
	return fmt.Sprintf("model: %s %q: %s", e.What, e.Name, e.Message)
}

func wrong(what, name, format string, args ...any) error {
	return &DefinitionError{What: what, Name: name, Message: fmt.Sprintf(format, args...)}
}

// Compile checks a document and makes the model of it. The error is a
// *DefinitionError.
func Compile(d Document) (*Model, error) {
	m := &Model{
		Layers: d.Layers, Dictionaries: d.Dictionaries, Templates: d.Templates, RelationTypes: slices.Clone(d.RelationTypes), Rules: d.Rules,
		classes: map[string]*Class{}, relations: map[string]*RelationType{}, dictionaries: map[string]*Dictionary{},
		attributes: map[string]*Attribute{}, extending: map[string][]string{},
	}
	if len(d.Classes) > maxClasses {
		return nil, wrong("model", "classes", "%d classes: want at most %d", len(d.Classes), maxClasses)
	}
	for _, step := range []func(Document) error{m.takeDictionaries, m.takeClasses, m.takeRelations, m.checkReferences, m.takeRules} {
		if err := step(d); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *Model) takeDictionaries(Document) error {
	for i := range m.Dictionaries {
		x := &m.Dictionaries[i]
		switch {
		case !className.MatchString(x.Name):
			return wrong("dictionary", x.Name, "want a name of lower-case letters, digits and '_', the first a letter")
		case m.dictionaries[x.Name] != nil:
			return wrong("dictionary", x.Name, "it is there twice")
		case len(x.Values) > maxValues:
			return wrong("dictionary", x.Name, "%d values: want at most %d", len(x.Values), maxValues)
		}
		for _, v := range x.Values {
			if v.Value == "" || strings.ContainsAny(v.Value, ";；\n") {
				return wrong("dictionary", x.Name, "value %q: want a text without semicolons and line breaks", v.Value)
			}
		}
		m.dictionaries[x.Name] = x
	}
	return nil
}

func (m *Model) takeClasses(d Document) error {
	templates := map[string]*Template{}
	for i := range d.Templates {
		t := &d.Templates[i]
		if !className.MatchString(t.Name) || templates[t.Name] != nil {
			return wrong("template", t.Name, "bad name, or there twice")
		}
		templates[t.Name] = t
	}
	layers := map[string]bool{"": true}
	for _, l := range d.Layers {
		layers[l.Name] = true
	}
	raw := map[string]*Class{}
	for i := range d.Classes {
		c := &d.Classes[i]
		switch {
		case !className.MatchString(c.Name):
			return wrong("class", c.Name, "want a name of lower-case letters, digits and '_', the first a letter")
		case raw[c.Name] != nil:
			return wrong("class", c.Name, "it is there twice")
		case c.Title.ZH == "" && c.Title.EN == "":
			return wrong("class", c.Name, "it has no name for the console: want zh or en")
		case !layers[c.Layer]:
			return wrong("class", c.Name, "unknown layer %q", c.Layer)
		case c.Prefix != "" && !prefixForm.MatchString(c.Prefix):
			return wrong("class", c.Name, "prefix %q: want lower-case letters, digits and '-', the first a letter", c.Prefix)
		}
		raw[c.Name] = c
	}
	m.Classes = make([]Class, 0, len(d.Classes))
	for i := range d.Classes {
		c, err := resolve(&d.Classes[i], raw, templates, 0)
		if err != nil {
			return err
		}
		m.Classes = append(m.Classes, *c)
	}
	for i := range m.Classes {
		c := &m.Classes[i]
		m.classes[c.Name] = c
		if err := m.takeAttributes(c); err != nil {
			return err
		}
		if !c.Abstract {
			for up := c; up != nil; up = raw[up.Extends] {
				m.extending[up.Name] = append(m.extending[up.Name], c.Name)
			}
		}
	}
	return nil
}

// resolve is a class with what it has from the class it extends and from its
// templates.
func resolve(c *Class, raw map[string]*Class, templates map[string]*Template, depth int) (*Class, error) {
	if depth > maxDepth {
		return nil, wrong("class", c.Name, "it extends itself, or more than %d classes", maxDepth)
	}
	out := *c
	var own []Attribute
	if c.Extends != "" {
		parent := raw[c.Extends]
		if parent == nil {
			return nil, wrong("class", c.Name, "it extends the unknown class %q", c.Extends)
		}
		p, err := resolve(parent, raw, templates, depth+1)
		if err != nil {
			return nil, err
		}
		own = slices.Clone(p.Attributes)
		if out.Layer == "" {
			out.Layer = p.Layer
		}
		if out.Addresses == "" {
			out.Addresses = p.Addresses
		}
		if len(out.Key) == 0 {
			out.Key = p.Key
		}
		out.Rank = max(out.Rank, p.Rank)
		out.Hostnames, out.System = out.Hostnames || p.Hostnames, out.System || p.System
	}
	byName := func(a Attribute) string { return a.Name }
	take := func(_, b Attribute) Attribute { return b }
	for _, name := range c.Templates {
		t := templates[name]
		if t == nil {
			return nil, wrong("class", c.Name, "unknown template %q", name)
		}
		own = lay(own, t.Attributes, byName, take)
	}
	own = lay(own, c.Attributes, byName, take)
	for _, r := range c.Remove {
		if !slices.ContainsFunc(own, func(a Attribute) bool { return a.Name == r }) {
			return nil, wrong("class", c.Name, "it has no attribute %q to remove", r)
		}
	}
	out.Attributes = slices.DeleteFunc(own, func(a Attribute) bool { return slices.Contains(c.Remove, a.Name) })
	if out.Addresses == "" {
		out.Addresses = NoAddresses
	}
	if out.Prefix == "" {
		out.Prefix = strings.ReplaceAll(out.Name, "_", "-")
	}
	if len(out.Key) == 0 {
		out.Key = []string{"name"}
	}
	return &out, nil
}

func (m *Model) takeAttributes(c *Class) error {
	switch {
	case !slices.Contains([]string{NoAddresses, IPs, CIDRs}, c.Addresses):
		return wrong("class", c.Name, "addresses is %q: want none, ip or cidr", c.Addresses)
	case c.System && c.Rank < 2:
		return wrong("class", c.Name, "rank %d cannot belong to a system: want rank 2", c.Rank)
	case len(c.Attributes) > maxAttributes:
		return wrong("class", c.Name, "%d attributes: want at most %d", len(c.Attributes), maxAttributes)
	}
	c.byName = make(map[string]*Attribute, len(c.Attributes))
	for i := range c.Attributes {
		a := &c.Attributes[i]
		of := c.Name + "." + a.Name
		switch {
		case !attributeName.MatchString(a.Name):
			return wrong("attribute", of, "want 1 to 63 of letters, digits, '_', '.' and '-', the first a letter")
		case slices.Contains(Reserved, strings.ToLower(a.Name)):
			return wrong("attribute", of, "every item has a field of that name")
		case c.byName[a.Name] != nil:
			return wrong("attribute", of, "it is there twice")
		}
		if err := a.makeCheck(m.dictionaries, false); err != nil {
			return wrong("attribute", of, "%v", err)
		}
		if err := a.checkTransitions(); err != nil {
			return wrong("attribute", of, "%v", err)
		}
		if a.Default != "" {
			canonical, err := a.Check(a.Default)
			if err != nil {
				return wrong("attribute", of, "default: %v", err)
			}
			a.Default = canonical
		}
		if other := m.attributes[a.Name]; other != nil && other.Type != a.Type {
			return wrong("attribute", of, "it is of type %s, but another class has an attribute of that name of type %s: one name has one type", a.Type, other.Type)
		}
		if m.attributes[a.Name] == nil {
			m.attributes[a.Name] = a
		}
		c.byName[a.Name] = a
	}
	for _, k := range c.Key {
		switch {
		case k == "name", k == "zone" && c.Addresses != NoAddresses:
		case k == "zone":
			return wrong("class", c.Name, "key: its items have no network zone")
		case c.byName[k] == nil:
			return wrong("class", c.Name, "key: unknown attribute %q", k)
		case c.byName[k].Type == Table, c.byName[k].Type == Attachment, c.byName[k].Multiple:
			return wrong("class", c.Name, "key: attribute %q cannot make identity: it is a %s or has several values", k, c.byName[k].Type)
		}
	}
	return nil
}

// checkReferences sees that references point to classes there are, by relation
// types there are.
func (m *Model) checkReferences(Document) error {
	for i := range m.Classes {
		c := &m.Classes[i]
		for j := range c.Attributes {
			a := &c.Attributes[j]
			if a.Type != Reference {
				continue
			}
			if err := m.known(a.Targets()); err != nil {
				return wrong("attribute", c.Name+"."+a.Name, "%v", err)
			}
			if m.relations[a.RelationName()] == nil {
				return wrong("attribute", c.Name+"."+a.Name, "unknown relation type %q", a.Relation)
			}
		}
	}
	for i := range m.Classes {
		if err := m.deepen(&m.Classes[i], 0); err != nil {
			return err
		}
	}
	return nil
}

// deepen works out how many items stand behind the identity of one of a class:
// a reference in its key is one, with those behind it.
func (m *Model) deepen(c *Class, way int) error {
	if way > maxDepth {
		return wrong("class", c.Name, "key: it is made by references to its own class, or to more than %d classes in a row", maxDepth)
	}
	for _, k := range c.Key {
		a := c.byName[k]
		if a == nil || a.Type != Reference {
			continue
		}
		for _, name := range m.Concrete(a.Targets()...) {
			to := m.classes[name]
			if to.Rank > c.Rank {
				return wrong("class", c.Name, "key: %q refers to items of class %s, which is of rank %d: they must be known before items of rank %d", k, name, to.Rank, c.Rank)
			}
			if err := m.deepen(to, way+1); err != nil {
				return err
			}
			c.depth = max(c.depth, to.depth+1)
		}
	}
	return nil
}

func (m *Model) known(classes []string) error {
	for _, c := range classes {
		if m.classes[c] == nil {
			return fmt.Errorf("unknown class %q: want one of %s", c, few(slices.Sorted(maps.Keys(m.classes))))
		}
	}
	return nil
}

func (m *Model) takeRelations(Document) error {
	if !slices.ContainsFunc(m.RelationTypes, func(r RelationType) bool { return r.Name == References }) {
		m.RelationTypes = append(m.RelationTypes, RelationType{Name: References, Title: tenancy.Text{ZH: "引用", EN: "refers to"},
			Reverse: tenancy.Text{ZH: "被引用", EN: "is referred to by"}, Impact: NoImpact})
	}
	for i := range m.RelationTypes {
		r := &m.RelationTypes[i]
		if r.Cardinality == "" {
			r.Cardinality = ManyToMany
		}
		if r.Impact == "" {
			r.Impact = NoImpact
		}
		switch {
		case !className.MatchString(r.Name):
			return wrong("relation type", r.Name, "want a name of lower-case letters, digits and '_', the first a letter")
		case m.relations[r.Name] != nil:
			return wrong("relation type", r.Name, "it is there twice")
		case !slices.Contains([]string{OneToOne, OneToMany, ManyToOne, ManyToMany}, r.Cardinality):
			return wrong("relation type", r.Name, "cardinality %q: want one_to_one, one_to_many, many_to_one or many_to_many", r.Cardinality)
		case !slices.Contains([]string{NoImpact, Forward, Backward, Both}, r.Impact):
			return wrong("relation type", r.Name, "impact %q: want none, forward, backward or both", r.Impact)
		}
		if err := m.known(slices.Concat(r.From, r.To)); err != nil {
			return wrong("relation type", r.Name, "%v", err)
		}
		m.relations[r.Name] = r
	}
	for _, name := range []string{BelongsToSystem, BelongsToOrganisation} {
		if m.relations[name] == nil {
			return wrong("relation type", name, "it is missing: items' systems and organisations are relations of it")
		}
	}
	return nil
}

func (m *Model) takeRules(Document) error {
	seen := map[string]bool{}
	for i := range m.Rules {
		r := &m.Rules[i]
		switch {
		case !className.MatchString(r.Name) || seen[r.Name]:
			return wrong("rule", r.Name, "bad name, or there twice")
		case m.relations[r.Type] == nil:
			return wrong("rule", r.Name, "unknown relation type %q", r.Type)
		case len(r.From) == 0 || len(r.To) == 0 || len(r.Where) == 0:
			return wrong("rule", r.Name, "want classes from and to, and at least one condition")
		}
		seen[r.Name] = true
		if err := m.known(slices.Concat(r.From, r.To)); err != nil {
			return wrong("rule", r.Name, "%v", err)
		}
		for _, c := range r.Where {
			if err := m.checkCondition(r, c); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *Model) checkCondition(r *Rule, c Condition) error {
	for _, side := range []struct {
		field   string
		classes []string
	}{{c.From, r.From}, {c.To, r.To}} {
		if slices.Contains(Fields, side.field) {
			continue
		}
		if !slices.ContainsFunc(m.Concrete(side.classes...), func(n string) bool { return m.classes[n].byName[side.field] != nil }) {
			return wrong("rule", r.Name, "field %q: want one of %s, or an attribute of %s", side.field, strings.Join(Fields, ", "), strings.Join(side.classes, ", "))
		}
	}
	switch {
	case c.Op != Equal && c.Op != Within:
		return wrong("rule", r.Name, "op %q: want equal or within", c.Op)
	case c.Op == Within && (c.From != "address" || c.To != "address" || len(r.Where) != 1):
		return wrong("rule", r.Name, "within joins address to address, and is a rule's only condition")
	case c.Op == Equal && (c.From == "address") != (c.To == "address"):
		return wrong("rule", r.Name, "an address is (zone, address): it is equal to another item's address only")
	}
	return nil
}
