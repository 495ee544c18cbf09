// Package model says what may be in the CMDB: classes of items in layers, their
// attributes and what makes a value a good one, dictionaries of standard
// values, types of relations and the rules that make relations. All of it is
// data. The suite brings a document; administrators lay another one over it
// while the suite runs; Compile checks the two and makes the Model that the
// CMDB works with. A Model is not changed once it is made.
package model

import (
	"icewatch/soc/tenancy"
)

// Document is a set of definitions, as the suite brings it or as
// administrators lay it over what the suite brings.
type Document struct {
	Layers        []Layer        `json:"layers,omitempty" yaml:"layers,omitempty" doc:"Business layers, from the city down"`
	Dictionaries  []Dictionary   `json:"dictionaries,omitempty" yaml:"dictionaries,omitempty"`
	Templates     []Template     `json:"templates,omitempty" yaml:"templates,omitempty"`
	Classes       []Class        `json:"classes,omitempty" yaml:"classes,omitempty"`
	RelationTypes []RelationType `json:"relation_types,omitempty" yaml:"relation_types,omitempty"`
	Rules         []Rule         `json:"rules,omitempty" yaml:"rules,omitempty"`
}

// Layer is one layer of the city's topology: business over application over
// instance over infrastructure.
type Layer struct {
	Name  string       `json:"name" yaml:"name"`
	Title tenancy.Text `json:"title,omitzero" yaml:"title"`
}

// Dictionary holds the standard values of attributes.
type Dictionary struct {
	Name   string       `json:"name" yaml:"name"`
	Title  tenancy.Text `json:"title,omitzero" yaml:"title,omitempty"`
	Values []Value      `json:"values" yaml:"values"`
}

// Value is one standard value: what is stored, and its names. A file may give
// any of the three.
type Value struct {
	Value string `json:"value"`
	ZH    string `json:"zh,omitempty"`
	EN    string `json:"en,omitempty"`
}

// Template is a set of attributes that several classes have.
type Template struct {
	Name       string       `json:"name" yaml:"name"`
	Title      tenancy.Text `json:"title,omitzero" yaml:"title,omitempty"`
	Attributes []Attribute  `json:"attributes" yaml:"attributes"`
}

// What the addresses of a class are.
const (
	NoAddresses = "none"
	IPs         = "ip"   // single addresses
	CIDRs       = "cidr" // ranges
)

// Class describes one class of items. In a compiled Model it holds what it has
// from its templates and from the class it extends.
type Class struct {
	Name       string       `json:"class" yaml:"class"`
	Title      tenancy.Text `json:"name,omitzero" yaml:"name,omitempty"`
	Layer      string       `json:"layer,omitempty" yaml:"layer,omitempty" doc:"Business layer"`
	Extends    string       `json:"extends,omitempty" yaml:"extends,omitempty" doc:"The class whose attributes it has"`
	Abstract   bool         `json:"abstract,omitempty" yaml:"abstract,omitempty" doc:"There are no items of it, only of classes that extend it"`
	Templates  []string     `json:"templates,omitempty" yaml:"templates,omitempty"`
	Prefix     string       `json:"prefix,omitempty" yaml:"prefix,omitempty" doc:"How ids start that the suite makes itself; the class's name where empty"`
	Rank       int          `json:"rank,omitempty" yaml:"rank,omitempty" minimum:"0" maximum:"2" doc:"References by system and organisation point to lower ranks"`
	Addresses  string       `json:"addresses,omitempty" yaml:"addresses,omitempty" enum:"none,ip,cidr,"`
	Hostnames  bool         `json:"hostnames,omitempty" yaml:"hostnames,omitempty"`
	System     bool         `json:"system,omitempty" yaml:"system,omitempty" doc:"Its items belong to a business system"`
	Key        []string     `json:"key,omitempty" yaml:"key,omitempty" doc:"What makes an item one within class and tenant: name, zone, or attributes"`
	Attributes []Attribute  `json:"attributes,omitempty" yaml:"attributes,omitempty"`
	// Remove is for administrators' documents: attributes of the suite's
	// class that the city does not want.
	Remove []string `json:"remove,omitempty" yaml:"remove,omitempty" doc:"In a change: attributes the suite brings and the city does not want"`

	byName map[string]*Attribute
	depth  int
}

// Depth is how many references stand one behind the other in what makes an item
// one: 0 where its key has none.
func (c *Class) Depth() int { return c.depth }

// Type is what the values of an attribute are.
type Type string

// The types of attributes.
const (
	Text       Type = "text"
	Integer    Type = "integer"
	Decimal    Type = "decimal"
	Date       Type = "date" // 2006-01-02
	Enum       Type = "enum"
	Boolean    Type = "boolean"
	Table      Type = "table" // rows of columns
	IP         Type = "ip"    // an address or a range
	Reference  Type = "reference"
	Attachment Type = "attachment"
)

var types = []Type{Text, Integer, Decimal, Date, Enum, Boolean, Table, IP, Reference, Attachment}

// Numeric tells whether values of the type are compared as numbers.
func (t Type) Numeric() bool { return t == Integer || t == Decimal }

// Attribute describes one attribute of a class.
type Attribute struct {
	Name       string       `json:"name" yaml:"name"`
	Title      tenancy.Text `json:"title,omitzero" yaml:"title,omitempty"`
	Type       Type         `json:"type" yaml:"type" enum:"text,integer,decimal,date,enum,boolean,table,ip,reference,attachment"`
	Required   bool         `json:"required,omitempty" yaml:"required,omitempty"`
	Multiple   bool         `json:"multiple,omitempty" yaml:"multiple,omitempty" doc:"Several values, separated by semicolons"`
	Default    string       `json:"default,omitempty" yaml:"default,omitempty" doc:"Of new items that give no value"`
	Min        *float64     `json:"min,omitempty" yaml:"min,omitempty"`
	Max        *float64     `json:"max,omitempty" yaml:"max,omitempty"`
	MaxLength  int          `json:"max_length,omitempty" yaml:"max_length,omitempty" minimum:"0" doc:"Characters of a text"`
	Pattern    string       `json:"pattern,omitempty" yaml:"pattern,omitempty" doc:"Regular expression (RE2) that a whole text must match"`
	Values     []string     `json:"values,omitempty" yaml:"values,omitempty" doc:"Of an enumeration without a dictionary"`
	Dictionary string       `json:"dictionary,omitempty" yaml:"dictionary,omitempty" doc:"Whose values an enumeration has"`
	Open       bool         `json:"open,omitempty" yaml:"open,omitempty" doc:"Values that the dictionary does not know are taken too"`
	// Transitions make an enumeration the states of a life cycle.
	Transitions []Transition `json:"transitions,omitempty" yaml:"transitions,omitempty" doc:"Which values of an enumeration may follow which; any where there are none"`
	Class       string       `json:"class,omitempty" yaml:"class,omitempty" doc:"Of the items a reference points to"`
	Classes     []string     `json:"classes,omitempty" yaml:"classes,omitempty" doc:"As class, where there are several"`
	Relation    string       `json:"relation,omitempty" yaml:"relation,omitempty" doc:"The type of relation that a reference stands for"`
	Columns     []Attribute  `json:"columns,omitempty" yaml:"columns,omitempty" doc:"Of a table"`
	// RenamedFrom is for administrators' documents: the attribute takes over
	// the values of one that it replaces.
	RenamedFrom string `json:"renamed_from,omitempty" yaml:"renamed_from,omitempty" doc:"In a change: the attribute whose values it takes over"`

	check checker
}

// The cardinalities, read from the first item to the second.
const (
	OneToOne   = "one_to_one"
	OneToMany  = "one_to_many"
	ManyToOne  = "many_to_one"
	ManyToMany = "many_to_many"
)

// Where a failure goes along a relation.
const (
	NoImpact = "none"
	Forward  = "forward"  // from the first item to the second
	Backward = "backward" // from the second to the first
	Both     = "both"
)

// The relation types of the fields system and organisation, which code knows
// by name.
const (
	BelongsToSystem       = "belongs_to_system"
	BelongsToOrganisation = "belongs_to_organisation"
	// References is the type of a reference that names no other.
	References = "references"
)

// RelationType describes one way in which items hang together.
type RelationType struct {
	Name        string       `json:"name" yaml:"name"`
	Title       tenancy.Text `json:"title,omitzero" yaml:"title,omitempty" doc:"Read from the first item to the second"`
	Reverse     tenancy.Text `json:"reverse,omitzero" yaml:"reverse,omitempty" doc:"Read the other way"`
	From        []string     `json:"from,omitempty" yaml:"from,omitempty" doc:"Classes it starts from; any where empty"`
	To          []string     `json:"to,omitempty" yaml:"to,omitempty"`
	Cardinality string       `json:"cardinality,omitempty" yaml:"cardinality,omitempty" enum:"one_to_one,one_to_many,many_to_one,many_to_many,"`
	Impact      string       `json:"impact,omitempty" yaml:"impact,omitempty" enum:"none,forward,backward,both,"`
}

// Rule makes relations of what items say.
type Rule struct {
	Name  string       `json:"name" yaml:"name"`
	Title tenancy.Text `json:"title,omitzero" yaml:"title,omitempty"`
	Type  string       `json:"type" yaml:"type" doc:"Of the relations it makes"`
	From  []string     `json:"from" yaml:"from" doc:"Classes of the first item"`
	To    []string     `json:"to" yaml:"to" doc:"Classes of the second"`
	Where []Condition  `json:"where" yaml:"where" minItems:"1" doc:"All must hold"`
	Off   bool         `json:"off,omitempty" yaml:"off,omitempty"`
}

// The operators of a Condition.
const (
	Equal  = "equal"
	Within = "within"
)

// Condition joins a field of the first item to one of the second.
type Condition struct {
	From string `json:"from" yaml:"from"`
	Op   string `json:"op" yaml:"op" enum:"equal,within"`
	To   string `json:"to" yaml:"to"`
}

// Fields are what a condition may look at besides attributes.
var Fields = []string{"name", "zone", "owner", "address", "hostname", "label"}

// Model is a compiled model.
type Model struct {
	Layers        []Layer        `json:"layers"`
	Dictionaries  []Dictionary   `json:"dictionaries"`
	Templates     []Template     `json:"templates"`
	Classes       []Class        `json:"classes"` // abstract ones too
	RelationTypes []RelationType `json:"relation_types"`
	Rules         []Rule         `json:"rules"`

	classes      map[string]*Class
	relations    map[string]*RelationType
	dictionaries map[string]*Dictionary
	attributes   map[string]*Attribute // of any class; one name is one type
	extending    map[string][]string   // class → itself and all that extend it, abstract ones left out
}

// Class returns the class of that name, nil where there is none.
func (m *Model) Class(name string) *Class { return m.classes[name] }

// Relation returns the relation type of that name, nil where there is none.
func (m *Model) Relation(name string) *RelationType { return m.relations[name] }

// Dictionary returns the dictionary of that name, nil where there is none.
func (m *Model) Dictionary(name string) *Dictionary { return m.dictionaries[name] }

// Attribute returns an attribute of that name of any class, nil where no class
// has one. All attributes of one name are of one type.
func (m *Model) Attribute(name string) *Attribute { return m.attributes[name] }

// Concrete lists the classes that items can be of: the ones named, and those
// that extend them. Without a name it is all of them. An unknown name adds
// nothing.
func (m *Model) Concrete(names ...string) []string {
	if len(names) == 0 {
		out := make([]string, 0, len(m.Classes))
		for i := range m.Classes {
			if !m.Classes[i].Abstract {
				out = append(out, m.Classes[i].Name)
			}
		}
		return out
	}
	var out []string
	seen := map[string]bool{}
	for _, n := range names {
		for _, c := range m.extending[n] {
			if !seen[c] {
				seen[c] = true
				out = append(out, c)
			}
		}
	}
	return out
}

// Attribute returns the class's attribute of that name, nil where it has none.
func (c *Class) Attribute(name string) *Attribute { return c.byName[name] }

// Targets are the classes that a reference may point to.
func (a *Attribute) Targets() []string {
	if a.Class != "" {
		return append([]string{a.Class}, a.Classes...)
	}
	return a.Classes
}

// RelationName is the type of relation that a reference stands for.
func (a *Attribute) RelationName() string {
	if a.Relation == "" {
		return References
	}
	return a.Relation
}
