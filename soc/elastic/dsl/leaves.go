package dsl

import (
	"fmt"
	"math"
	"net/netip"
	"regexp"
	"strconv"
	"time"

	"icewatch/soc/elastic/dates"
	"icewatch/soc/elastic/wire"
	"icewatch/soc/search/clause"
)

// term compiles the equality with one value.
func (c *Compiler) term(field, value string, fold bool) (string, error) {
	column, k := Resolve(field)
	c.mark(column, k, markWhole, value)
	switch {
	case field == AnyField:
		return c.words(AnyField, value, "or", nil)
	case field == FieldID:
		return idIs(value), nil
	case field == FieldIndex:
		return IndexFilter([]string{value}), nil
	case value == "":
		// The lake does not tell an empty text from none.
		return nothing, nil
	}
	switch k {
	case Text:
		return word(column, value, false), nil
	case Date:
		m, err := dates.Parse(value, "", time.UTC, c.Now)
		if err != nil {
			return "", err
		}
		from, to := dates.Millis(m.From), dates.Millis(m.To)
		return c.dateSpan(column, Bounds{GTE: &from, LT: &to}, "", time.UTC)
	case IP:
		return ipTerm(column, value)
	case Long, Double:
		if !IsNumber(value) {
			return "", wire.Invalid("number_format_exception", "For input string: \"%s\", as [%s] is a %s", value, field, k)
		}
		return fmt.Sprintf("%s:range[%s,%s]", Quote(column), value, value), nil
	case Boolean:
		if value != "true" && value != "false" {
			return "", wire.Invalid("illegal_argument_exception", "Can't parse boolean value [%s], expected [true] or [false]", value)
		}
		return Exactly(column, value), nil
	}
	if fold {
		e := regexp.QuoteMeta(value)
		one := Matches(column, "(?is)^"+e+"$")
		if IsList(column) {
			return Or(one, Matches(column, "(?i)"+Among(regexp.QuoteMeta(JSONText(value))))), nil
		}
		return one, nil
	}
	if IsList(column) {
		return Or(Exactly(column, value), Matches(column, Among(regexp.QuoteMeta(JSONText(value))))), nil
	}
	return Exactly(column, value), nil
}

// ipTerm compiles the equality with an address, or the membership of a network.
func ipTerm(column, value string) (string, error) {
	list := IsList(column)
	if a, err := netip.ParseAddr(value); err == nil {
		if list {
			return Or(Exactly(column, value), Matches(column, Among(regexp.QuoteMeta(JSONText(value))))), nil
		}
		if a.Is4() {
			return Exactly(column, a.String()), nil
		}
	}
	if _, err := netip.ParsePrefix(value); err != nil {
		if _, err := netip.ParseAddr(value); err != nil {
			return "", wire.Invalid("illegal_argument_exception", "'%s' is not an IP string literal.", value)
		}
	}
	s, err := clause.Render(&clause.Clause{Field: column, Operator: "cidr", Values: []string{value}})
	if err != nil {
		return "", wire.Invalid("illegal_argument_exception", "[%s]: %s", value, err)
	}
	return s, nil
}

// exists compiles the presence of a field.
func (c *Compiler) exists(field string) (string, error) {
	if err := OneField(field); err != nil && field != AnyField {
		return "", err
	}
	column, _ := Resolve(field)
	switch field {
	case AnyField, FieldID, FieldIndex, FieldTime:
		return Everything, nil
	}
	return Present(column), nil
}

// Number reads a stored or counted value as a finite number.
func Number(s string) (float64, bool) {
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
}
