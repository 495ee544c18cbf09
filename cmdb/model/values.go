package model

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Bounds of values.
const (
	maxTableRows = 200
	maxMultiple  = 100
)

// checker returns the canonical form of one value, or why it is none.
type checker func(value string) (string, error)

// Check returns the canonical form of a value, which is not empty, or what is
// wrong with it and what would be right. Equal values have equal forms.
func (a *Attribute) Check(value string) (string, error) {
	if !a.Multiple {
		return a.check(value)
	}
	var out []string
	for _, v := range Split(value) {
		c, err := a.check(v)
		if err != nil {
			return "", err
		}
		if !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	if len(out) > maxMultiple {
		return "", fmt.Errorf("%d values: want at most %d", len(out), maxMultiple)
	}
	return strings.Join(out, ";"), nil
}

// Each lists the values of a canonical form: several where the attribute has
// several.
func (a *Attribute) Each(canonical string) []string {
	if a == nil || !a.Multiple {
		return []string{canonical}
	}
	return Split(canonical)
}

// Split separates the values of one cell: by the semicolon of either keyboard
// or by lines. Empty ones are left out.
func Split(cell string) []string {
	var out []string
	for _, v := range strings.FieldsFunc(cell, func(r rune) bool { return r == ';' || r == '；' || r == '\n' || r == '\r' }) {
		if v = strings.TrimSpace(v); v != "" {
			out = append(out, v)
		}
	}
	return out
}

// makeCheck prepares the check of an attribute's values, or says what is wrong
// with its definition. column is true within a table.
func (a *Attribute) makeCheck(dictionaries map[string]*Dictionary, column bool) error {
	if column && (a.Type == Table || a.Type == Attachment || a.Type == Reference) {
		return fmt.Errorf("a column of a table cannot be of type %s", a.Type)
	}
	if !slices.Contains(types, a.Type) {
		return fmt.Errorf("type %q: want one of %s", a.Type, join(types))
	}
	if a.Multiple && (a.Type == Table || a.Type == Boolean || a.Type == Attachment) {
		return fmt.Errorf("a %s cannot have several values", a.Type)
	}
	for _, foreign := range []struct {
		given bool
		what  string
		of    []Type
	}{
		{a.Min != nil || a.Max != nil, "min and max", []Type{Integer, Decimal}},
		{a.Pattern != "" || a.MaxLength != 0, "pattern and max_length", []Type{Text}},
		{len(a.Values) > 0 || a.Dictionary != "" || a.Open, "values, dictionary and open", []Type{Enum}},
		{len(a.Targets()) > 0 || a.Relation != "", "class and relation", []Type{Reference}},
		{len(a.Columns) > 0, "columns", []Type{Table}},
	} {
		if foreign.given && !slices.Contains(foreign.of, a.Type) {
			return fmt.Errorf("%s are for %s, not for %s", foreign.what, join(foreign.of), a.Type)
		}
	}
	if a.Min != nil && a.Max != nil && *a.Min > *a.Max {
		return fmt.Errorf("min %s is above max %s", number(*a.Min), number(*a.Max))
	}
	switch a.Type {
	case Text:
		return a.makeText()
	case Integer:
		a.check = a.integer
	case Decimal:
		a.check = a.decimal
	case Date:
		a.check = date
	case Boolean:
		a.check = boolean
	case IP:
		a.check = address
	case Reference:
		if len(a.Targets()) == 0 {
			return fmt.Errorf("the class it refers to is missing")
		}
		a.check = func(v string) (string, error) { return strings.TrimSpace(v), nil }
	case Attachment:
		a.check = attachment
	case Enum:
		return a.makeEnum(dictionaries)
	case Table:
		return a.makeTable(dictionaries)
	}
	return nil
}

func (a *Attribute) makeText() error {
	var re *regexp.Regexp
	if a.Pattern != "" {
		var err error
		if re, err = regexp.Compile(`^(?:` + a.Pattern + `)$`); err != nil {
			return fmt.Errorf("pattern %q: %w", a.Pattern, err)
		}
	}
	a.check = func(v string) (string, error) {
		switch {
		case a.MaxLength > 0 && utf8.RuneCountInString(v) > a.MaxLength:
			return "", fmt.Errorf("%q is longer than %d characters", v, a.MaxLength)
		case re != nil && !re.MatchString(v):
			return "", fmt.Errorf("%q does not match %s", v, a.Pattern)
		}
		return v, nil
	}
	return nil
}

func (a *Attribute) makeEnum(dictionaries map[string]*Dictionary) error {
	known := map[string]string{}
	var names []string
	switch {
	case a.Dictionary != "" && len(a.Values) > 0:
		return fmt.Errorf("it has values and a dictionary: want one of the two")
	case a.Dictionary != "":
		d := dictionaries[a.Dictionary]
		if d == nil {
			return fmt.Errorf("unknown dictionary %q: want one of %s", a.Dictionary, strings.Join(slices.Sorted(maps.Keys(dictionaries)), ", "))
		}
		// A value counts before a name of another one.
		for _, v := range slices.Backward(d.Values) {
			known[strings.ToLower(v.ZH)], known[strings.ToLower(v.EN)] = v.Value, v.Value
		}
		for _, v := range d.Values {
			known[strings.ToLower(v.Value)] = v.Value
			names = append(names, v.Value)
		}
		delete(known, "")
	case len(a.Values) > 0:
		for _, v := range a.Values {
			known[strings.ToLower(v)] = v
		}
		names = a.Values
	default:
		return fmt.Errorf("an enumeration needs values or a dictionary")
	}
	a.check = func(v string) (string, error) {
		if c, ok := known[strings.ToLower(strings.TrimSpace(v))]; ok {
			return c, nil
		}
		if a.Open {
			return v, nil
		}
		return "", fmt.Errorf("%q is not one of %s", v, few(names))
	}
	return nil
}

func (a *Attribute) makeTable(dictionaries map[string]*Dictionary) error {
	if len(a.Columns) == 0 {
		return fmt.Errorf("a table needs columns")
	}
	seen := map[string]bool{}
	for i := range a.Columns {
		c := &a.Columns[i]
		if !attributeName.MatchString(c.Name) || seen[c.Name] {
			return fmt.Errorf("column %q: bad name, or there twice", c.Name)
		}
		seen[c.Name] = true
		if err := c.makeCheck(dictionaries, true); err != nil {
			return fmt.Errorf("column %q: %w", c.Name, err)
		}
	}
	a.check = a.table
	return nil
}

func (a *Attribute) integer(v string) (string, error) {
	n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
	if err != nil {
		return "", fmt.Errorf("%q is not a whole number", v)
	}
	if err := a.span(float64(n), v); err != nil {
		return "", err
	}
	return strconv.FormatInt(n, 10), nil
}

var decimalForm = regexp.MustCompile(`^[+-]?\d{1,30}(\.\d{1,18})?$`)

// decimal keeps the digits as they are: amounts of money are not rounded.
func (a *Attribute) decimal(v string) (string, error) {
	v = strings.TrimSpace(v)
	if !decimalForm.MatchString(v) {
		return "", fmt.Errorf("%q is not a number such as 12.5", v)
	}
	r, _ := new(big.Rat).SetString(v) // of decimalForm
	f, _ := r.Float64()
	if err := a.span(f, v); err != nil {
		return "", err
	}
	s := r.FloatString(18)
	s = strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
	if s == "-0" {
		s = "0"
	}
	return s, nil
}

func (a *Attribute) span(n float64, v string) error {
	if (a.Min == nil || n >= *a.Min) && (a.Max == nil || n <= *a.Max) {
		return nil
	}
	want := ""
	switch {
	case a.Min != nil && a.Max != nil:
		want = number(*a.Min) + " to " + number(*a.Max)
	case a.Min != nil:
		want = "at least " + number(*a.Min)
	default:
		want = "at most " + number(*a.Max)
	}
	return fmt.Errorf("%s is out of range: want %s", v, want)
}

func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

func date(v string) (string, error) {
	v = strings.TrimSpace(v)
	for _, form := range []string{time.DateOnly, "2006/1/2", "2006年1月2日"} {
		if t, err := time.Parse(form, v); err == nil {
			return t.Format(time.DateOnly), nil
		}
	}
	return "", fmt.Errorf("%q is not a date such as 2026-01-31", v)
}

func boolean(v string) (string, error) {
	switch strings.ToLower(strings.TrimSpace(v)) {
	case "true", "yes", "1", "是":
		return "true", nil
	case "false", "no", "0", "否":
		return "false", nil
	}
	return "", fmt.Errorf("%q is neither true nor false", v)
}

func address(v string) (string, error) {
	v = strings.TrimSpace(v)
	if a, err := netip.ParseAddr(v); err == nil && a.Zone() == "" {
		return a.Unmap().String(), nil
	}
	if p, err := netip.ParsePrefix(v); err == nil {
		if m := p.Masked(); m != p {
			return "", fmt.Errorf("%q has bits set beyond its mask: did you mean %s?", v, m)
		}
		return p.String(), nil
	}
	return "", fmt.Errorf("%q is neither an IP address nor a range such as 10.1.0.0/16", v)
}

var attachmentForm = regexp.MustCompile(`^[0-9a-f]{64}/[^/\\]{1,200}$`)

// attachment is the SHA-256 of a stored file and the name it goes by.
func attachment(v string) (string, error) {
	if !attachmentForm.MatchString(v) {
		return "", fmt.Errorf("%q is no attachment: want the SHA-256 of a stored file, a slash and its name", v)
	}
	return v, nil
}

// table reads rows as a JSON array of objects, and writes them with the columns
// in their order.
func (a *Attribute) table(v string) (string, error) {
	dec := json.NewDecoder(strings.NewReader(v))
	dec.UseNumber()
	var rows []map[string]any
	if err := dec.Decode(&rows); err != nil || dec.More() {
		return "", fmt.Errorf("a table is a JSON array of objects such as [{%q: …}]", a.Columns[0].Name)
	}
	if len(rows) > maxTableRows {
		return "", fmt.Errorf("the table has %d rows: want at most %d", len(rows), maxTableRows)
	}
	var b bytes.Buffer
	b.WriteByte('[')
	for i, row := range rows {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := a.tableRow(&b, row); err != nil {
			return "", fmt.Errorf("row %d: %w", i+1, err)
		}
	}
	b.WriteByte(']')
	return b.String(), nil
}

func (a *Attribute) tableRow(b *bytes.Buffer, row map[string]any) error {
	written := 0
	b.WriteByte('{')
	for j := range a.Columns {
		c := &a.Columns[j]
		cell := ""
		switch x := row[c.Name].(type) {
		case nil:
		case string:
			cell = strings.TrimSpace(x)
		case json.Number, bool:
			cell = fmt.Sprint(x)
		default:
			return fmt.Errorf("column %s: want one text, number or true or false", c.Name)
		}
		delete(row, c.Name)
		if cell == "" {
			if c.Required {
				return fmt.Errorf("column %s is missing", c.Name)
			}
			continue
		}
		value, err := c.Check(cell)
		if err != nil {
			return fmt.Errorf("column %s: %w", c.Name, err)
		}
		if written > 0 {
			b.WriteByte(',')
		}
		written++
		name, _ := json.Marshal(c.Name) // strings always encode
		text, _ := json.Marshal(value)
		b.Write(name)
		b.WriteByte(':')
		b.Write(text)
	}
	b.WriteByte('}')
	for extra := range row {
		return fmt.Errorf("unknown column %q", extra)
	}
	return nil
}

// few lists names, the first of many.
func few(names []string) string {
	if len(names) > 12 {
		return strings.Join(names[:12], ", ") + fmt.Sprintf(" and %d more", len(names)-12)
	}
	return strings.Join(names, ", ")
}

func join[T ~string](list []T) string {
	out := make([]string, len(list))
	for i, t := range list {
		out[i] = string(t)
	}
	return strings.Join(out, ", ")
}
