package model

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func compiled(t testing.TB, over string) (*Model, error) {
	t.Helper()
	base, err := Shipped()
	if err != nil {
		t.Fatal(err)
	}
	if over == "" {
		return Compile(base)
	}
	d, err := Parse([]byte(over))
	if err != nil {
		t.Fatal(err)
	}
	return Compile(base.Over(d))
}

func must(t testing.TB, over string) *Model {
	t.Helper()
	m, err := compiled(t, over)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestShippedIsWhole holds the shipped model to what a city needs of it.
func TestShippedIsWhole(t *testing.T) {
	t.Parallel()
	m := must(t, "")
	for _, c := range []string{"organisation", "person", "business_system", "application", "service", "interface", "host", "vm", "container",
		"database", "middleware", "network_device", "security_device", "storage", "network_zone", "network", "domain", "certificate",
		"cloud_account", "room", "cabinet", "contract", "supplier"} {
		if m.Class(c) == nil || m.Class(c).Abstract {
			t.Errorf("no items of class %s", c)
		}
	}
	for name, least := range map[string]int{"industry": 40, "unit_type": 20, "system_label": 20, "system_type": 4, "system_risk": 4} {
		if d := m.Dictionary(name); d == nil || len(d.Values) < least {
			t.Errorf("dictionary %s has fewer than %d values", name, least)
		}
	}
	layers := map[string]bool{}
	for _, l := range m.Layers {
		layers[l.Name] = true
	}
	for _, d := range m.Dictionaries {
		seen := map[string]bool{}
		for _, v := range d.Values {
			if seen[v.Value] || v.ZH == "" || v.EN == "" {
				t.Errorf("dictionary %s: value %q is there twice or has no name", d.Name, v.Value)
			}
			seen[v.Value] = true
		}
	}
	for _, c := range m.Classes {
		if c.Title.ZH == "" || c.Title.EN == "" || !layers[c.Layer] {
			t.Errorf("class %s: name %+v, layer %q", c.Name, c.Title, c.Layer)
		}
		for _, a := range c.Attributes {
			if a.Title.ZH == "" || a.Title.EN == "" {
				t.Errorf("attribute %s.%s has no name", c.Name, a.Name)
			}
		}
	}
	for _, r := range m.RelationTypes {
		if r.Title.ZH == "" || r.Title.EN == "" || r.Reverse.ZH == "" || r.Reverse.EN == "" {
			t.Errorf("relation type %s has no names", r.Name)
		}
	}
}

func TestInheritance(t *testing.T) {
	t.Parallel()
	m := must(t, "classes: [{class: bmc, name: {zh: 带外, en: BMC}, extends: device, templates: [operation], remove: [price], attributes: [{name: port_speed, type: decimal}]}]")
	c := m.Class("bmc")
	for _, want := range []string{"vendor", "cabinet", "management_ip", "environment", "port_speed"} {
		if c.Attribute(want) == nil {
			t.Errorf("no attribute %s", want)
		}
	}
	if c.Attribute("price") != nil || m.Class("storage").Attribute("price") == nil {
		t.Error("an attribute was removed from another class, or from none")
	}
	if c.Addresses != IPs || !c.Hostnames || !c.System || c.Rank != 2 || c.Layer != "infrastructure" || c.Prefix != "bmc" || !slices.Equal(c.Key, []string{"name"}) {
		t.Errorf("%+v", c)
	}
	if got := m.Concrete("device"); !slices.Equal(got, []string{"network_device", "security_device", "storage", "bmc"}) {
		t.Errorf("devices are %v", got)
	}
	if got := m.Concrete("host", "computer"); !slices.Equal(got, []string{"host", "vm"}) {
		t.Errorf("computers are %v", got)
	}
}

func TestOver(t *testing.T) {
	t.Parallel()
	m := must(t, `
dictionaries: [{name: unit_type, values: [[lab, 实验室, Laboratory], [hospital, 医疗机构, Clinic]]}]
classes:
  - {class: host, name: {zh: 服务器}, key: [serial_number], attributes: [{name: os, title: {zh: 系统}, type: text, max_length: 5}]}
`)
	a := m.Class("organisation").Attribute("unit_type")
	for _, v := range []string{"lab", "实验室", "LABORATORY"} {
		if got, err := a.Check(v); got != "lab" || err != nil {
			t.Errorf("%q is %q, %v", v, got, err)
		}
	}
	if got, _ := a.Check("医疗机构; university"); got != "hospital;university" {
		t.Errorf("%q", got)
	}
	h := m.Class("host")
	if h.Title.ZH != "服务器" || h.Title.EN != "Host" || !slices.Equal(h.Key, []string{"serial_number"}) || h.Attribute("os").MaxLength != 5 {
		t.Errorf("%+v", h)
	}
	if must(t, "").Class("host").Attribute("os").MaxLength != 0 {
		t.Error("the shipped document was changed")
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	m := must(t, `
classes:
  - class: x
    name: {zh: 甲, en: X}
    attributes:
      - {name: amount, type: decimal, min: 0, max: 10}
      - {name: count, type: integer, min: -5}
      - {name: code, type: text, pattern: '[A-Z]{2}\d+', max_length: 6}
      - {name: kind, type: enum, values: [GET, post]}
      - {name: ips, type: ip, multiple: true}
      - {name: lines, type: table, columns: [{name: a, type: integer, required: true}, {name: b, type: text}]}
      - {name: paper, type: attachment}
`)
	sum := strings.Repeat("0f", 32)
	for _, c := range []struct{ attribute, value, want, fault string }{
		{"amount", "1.50", "1.5", ""},
		{"amount", "+3", "3", ""},
		{"amount", "-0.0", "0", ""},
		{"amount", "0.100000000000000001", "0.100000000000000001", ""},
		{"amount", "10.1", "", "want 0 to 10"},
		{"amount", "1e3", "", "not a number"},
		{"amount", "NaN", "", "not a number"},
		{"count", " 007 ", "7", ""},
		{"count", "-6", "", "want at least -5"},
		{"count", "1.0", "", "not a whole number"},
		{"code", "AB12", "AB12", ""},
		{"code", "xAB12", "", "does not match"},
		{"code", "AB12345", "", "longer than 6"},
		{"kind", "get", "GET", ""},
		{"kind", "PUT", "", "not one of GET, post"},
		{"ips", "2001:DB8::1; 10.0.0.1;10.0.0.1", "2001:db8::1;10.0.0.1", ""},
		{"ips", "10.0.0.1;10.0.0.0/8", "10.0.0.1;10.0.0.0/8", ""},
		{"ips", "10.0.0.1/8", "", "did you mean 10.0.0.0/8"},
		{"ips", "::ffff:10.0.0.1", "10.0.0.1", ""},
		{"lines", `[{"b":" x ","a":"07"},{"a":1}]`, `[{"a":"7","b":"x"},{"a":"1"}]`, ""},
		{"lines", `[{"b":"x"}]`, "", "row 1: column a is missing"},
		{"lines", `[{"a":1},{"a":1,"c":2}]`, "", `row 2: unknown column "c"`},
		{"lines", `[{"a":[1]}]`, "", "want one text"},
		{"lines", `{"a":1}`, "", "JSON array"},
		{"lines", `[] []`, "", "JSON array"},
		{"paper", sum + "/合同.pdf", sum + "/合同.pdf", ""},
		{"paper", sum + "/../x", "", "no attachment"},
	} {
		got, err := m.Class("x").Attribute(c.attribute).Check(c.value)
		if got != c.want || (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%s %q: %q, %v; want %q, %q", c.attribute, c.value, got, err, c.want, c.fault)
		}
		if err == nil {
			if again, err := m.Class("x").Attribute(c.attribute).Check(got); again != got || err != nil {
				t.Errorf("%s: the canonical form %q becomes %q, %v", c.attribute, got, again, err)
			}
		}
	}
	for value, want := range map[string]string{"2026/1/2": "2026-01-02", "2026年11月3日": "2026-11-03", "2026-02-28": "2026-02-28"} {
		if got, err := date(value); got != want || err != nil {
			t.Errorf("%q: %q, %v", value, got, err)
		}
	}
	if _, err := date("2026-02-30"); err == nil {
		t.Error("the thirtieth of February is a date")
	}
}

// TestCompileRefuses lays documents over the shipped one that cannot be.
func TestCompileRefuses(t *testing.T) {
	t.Parallel()
	class := func(rest string) string { return "classes: [{class: x, name: {en: X}, " + rest + "}]" }
	for _, c := range []struct{ over, fault string }{
		{"classes: [{class: Bad, name: {en: X}}]", `class "Bad": want a name`},
		{"classes: [{class: x}]", "no name for the console"},
		{class("layer: moon"), `unknown layer "moon"`},
		{class("extends: nothing"), `unknown class "nothing"`},
		{class("extends: x"), "extends itself"},
		{class("templates: [t]"), `unknown template "t"`},
		{class("addresses: mac"), "want none, ip or cidr"},
		{class("system: true"), "want rank 2"},
		{class("key: [serial]"), `unknown attribute "serial"`},
		{class("key: [zone]"), "no network zone"},
		{class("key: [t], attributes: [{name: t, type: table, columns: [{name: a, type: text}]}]"), "cannot make identity"},
		{class("attributes: [{name: a, type: colour}]"), "want one of text, integer"},
		{class("attributes: [{name: a, type: enum}]"), "needs values or a dictionary"},
		{class("attributes: [{name: a, type: enum, dictionary: no}]"), `unknown dictionary "no"`},
		{class("attributes: [{name: a, type: text, min: 1}]"), "min and max are for integer, decimal"},
		{class("attributes: [{name: a, type: integer, min: 3, max: 1}]"), "min 3 is above max 1"},
		{class("attributes: [{name: a, type: integer, default: x}]"), "default: \"x\" is not a whole number"},
		{class("attributes: [{name: a, type: text, pattern: '('}]"), "pattern"},
		{class("attributes: [{name: a, type: reference}]"), "class it refers to is missing"},
		{class("attributes: [{name: a, type: reference, class: no}]"), `unknown class "no"`},
		{class("attributes: [{name: a, type: reference, class: host, relation: no}]"), `unknown relation type "no"`},
		{class("attributes: [{name: a, type: table}]"), "needs columns"},
		{class("attributes: [{name: a, type: boolean, multiple: true}]"), "several values"},
		{class("attributes: [{name: Label, type: text}]"), "field of that name"},
		{class("attributes: [{name: os, type: integer}]"), "one name has one type"},
		{class("remove: [nothing]"), "no attribute \"nothing\" to remove"},
		{"dictionaries: [{name: d, values: [['a;b', x, y]]}]", "without semicolons"},
		{"relation_types: [{name: r, cardinality: some}]", "cardinality"},
		{"relation_types: [{name: r, impact: some}]", "impact"},
		{"relation_types: [{name: r, to: [no]}]", `unknown class "no"`},
		{"rules: [{name: r, type: no, from: [host], to: [host], where: [{from: name, op: equal, to: name}]}]", "unknown relation type"},
		{"rules: [{name: r, type: runs_on, from: [host], to: [host], where: [{from: vlan, op: equal, to: name}]}]", `field "vlan"`},
		{"rules: [{name: r, type: runs_on, from: [host], to: [host], where: [{from: name, op: like, to: name}]}]", "want equal or within"},
		{"rules: [{name: r, type: runs_on, from: [host], to: [host], where: [{from: name, op: within, to: name}]}]", "within joins address"},
		{"rules: [{name: r, type: runs_on, from: [host], to: [host], where: [{from: address, op: equal, to: name}]}]", "(zone, address)"},
	} {
		_, err := compiled(t, c.over)
		var d *DefinitionError
		if !errors.As(err, &d) || !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%s: %v, want %q", c.over, err, c.fault)
		}
	}
}

// FuzzOver lays whatever parses over the shipped document: it compiles or is
// refused by a definition, and what compiles checks values to a form that it
// leaves as it is.
func FuzzOver(f *testing.F) {
	f.Add("classes: [{class: x, name: {en: X}, attributes: [{name: a, type: decimal, min: 1}]}]", "1.5")
	f.Add("classes: [{class: x, name: {en: X}, attributes: [{name: a, type: table, columns: [{name: c, type: date}]}]}]", `[{"c":"2026/1/1"}]`)
	f.Add("dictionaries: [{name: d, values: [[a, b, c]]}]\nclasses: [{class: x, name: {en: X}, attributes: [{name: a, type: enum, dictionary: d, multiple: true, open: true}]}]", "b;x")
	base, err := Shipped()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		d, err := Parse([]byte(text))
		if err != nil {
			return
		}
		m, err := Compile(base.Over(d))
		var wrong *DefinitionError
		if err != nil {
			if !errors.As(err, &wrong) {
				t.Fatalf("%v", err)
			}
			return
		}
		for _, c := range m.Classes {
			for i := range c.Attributes {
				form, err := c.Attributes[i].Check(value)
				if err != nil || form == "" {
					continue
				}
				if again, err := c.Attributes[i].Check(form); err != nil || again != form {
					t.Fatalf("%s.%s: %q becomes %q, then %q, %v", c.Name, c.Attributes[i].Name, value, form, again, err)
				}
			}
		}
	})
}
