package dsl

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"icewatch/soc/elastic/dates"
	"icewatch/soc/elastic/wire"
)

// ipSpan compiles a range of IPv4 addresses.
func ipSpan(column string, b Bounds) (string, error) {
	low, high := netip.IPv4Unspecified(), netip.AddrFrom4([4]byte{255, 255, 255, 255})
	for _, end := range []struct {
		value *string
		take  func(netip.Addr)
	}{
		{b.GT, func(a netip.Addr) { low = a.Next() }}, {b.GTE, func(a netip.Addr) { low = a }},
		{b.LT, func(a netip.Addr) { high = a.Prev() }}, {b.LTE, func(a netip.Addr) { high = a }},
	} {
		if end.value == nil {
			continue
		}
		a, err := netip.ParseAddr(*end.value)
		if err != nil {
			return "", wire.Invalid("illegal_argument_exception", "'%s' is not an IP string literal.", *end.value)
		}
		if !a.Is4() {
			return "", wire.Unsupported("[range] of IPv6 addresses such as [%s]; ask for a network with [term]", *end.value)
		}
		end.take(a)
	}
	if !low.IsValid() || !high.IsValid() || high.Less(low) {
		return nothing, nil
	}
	return fmt.Sprintf("%s:ipv4_range(%q,%q)", Quote(column), low, high), nil
}

// rangeQuery compiles the members of a range.
func (c *Compiler) rangeQuery(field string, o *wire.Object) (string, error) {
	format, zoneName := o.Text("format", ""), o.Text("time_zone", "")
	if relation := strings.ToUpper(o.Text("relation", "INTERSECTS")); relation != "INTERSECTS" && relation != "WITHIN" {
		return "", wire.Unsupported("[relation] %s of [range]", relation)
	}
	var b Bounds
	read := func(name string, to **string) {
		if v, ok := o.Has(name); ok {
			s, simple := wire.Plain(v)
			if !simple {
				o.Fail(wire.Invalid("parsing_exception", "[%s] of [range] must be a string or a number, not %s", name, wire.KindOf(v)))
			}
			*to = &s
		}
	}
	read("gt", &b.GT)
	read("gte", &b.GTE)
	read("lt", &b.LT)
	read("lte", &b.LTE)
	// The form of old clients.
	lower, upper := o.Flag("include_lower", true), o.Flag("include_upper", true)
	var from, to *string
	read("from", &from)
	read("to", &to)
	if from != nil && lower {
		b.GTE = from
	} else if from != nil {
		b.GT = from
	}
	if to != nil && upper {
		b.LTE = to
	} else if to != nil {
		b.LT = to
	}
	if err := o.Done(); err != nil {
		return "", err
	}
	zone, ok := dates.Zone(zoneName)
	if !ok {
		return "", wire.Invalid("parsing_exception", "the time zone [%s] is not known: give an offset such as +08:00 or a name such as Asia/Shanghai", zoneName)
	}
	return c.Span(field, b, format, zone)
}

// Bounds are the ends of a range, nil where it is open.
type Bounds struct{ GT, GTE, LT, LTE *string }

// Span compiles a range.
func (c *Compiler) Span(field string, b Bounds, format string, zone *time.Location) (string, error) {
	column, k := Resolve(field)
	if field == AnyField || field == FieldID || field == FieldIndex {
		return "", wire.Unsupported("[range] of [%s]", field)
	}
	switch k {
	case Date:
		return c.dateSpan(column, b, format, zone)
	case IP:
		return ipSpan(column, b)
	case Long, Double:
		for _, s := range []*string{b.GT, b.GTE, b.LT, b.LTE} {
			if s != nil && !IsNumber(*s) {
				return "", wire.Invalid("number_format_exception", "For input string: \"%s\", as [%s] is a %s", *s, field, k)
			}
		}
	}
	var parts []string
	for _, end := range []struct {
		op    string
		value *string
	}{{">", b.GT}, {">=", b.GTE}, {"<", b.LT}, {"<=", b.LTE}} {
		if end.value == nil {
			continue
		}
		value := Quote(*end.value)
		if IsNumber(*end.value) {
			value = *end.value
		}
		parts = append(parts, Quote(column)+":"+end.op+value)
	}
	if len(parts) == 0 {
		return c.exists(field)
	}
	// The lake has the empty text come before all others.
	return And(append(parts, Present(column))...), nil
}

// dateSpan compiles a range of times. Ends that say less than a millisecond
// mean all of what they say or none of it, as they include it or not.
func (c *Compiler) dateSpan(column string, b Bounds, format string, zone *time.Location) (string, error) {
	var from, to time.Time // to is exclusive
	for _, end := range []struct {
		value *string
		take  func(dates.Moment)
	}{
		{b.GT, func(m dates.Moment) { from = later(from, m.To) }},
		{b.GTE, func(m dates.Moment) { from = later(from, m.From) }},
		{b.LT, func(m dates.Moment) { to = earlier(to, m.From) }},
		{b.LTE, func(m dates.Moment) { to = earlier(to, m.To) }},
	} {
		if end.value == nil {
			continue
		}
		m, err := dates.Parse(*end.value, format, zone, c.Now)
		if err != nil {
			return "", err
		}
		end.take(m)
	}
	if !from.IsZero() && !to.IsZero() && !from.Before(to) {
		return nothing, nil
	}
	if column != "_time" {
		// As the suite writes times, texts have the order of times.
		parts := []string{Present(column)}
		if !from.IsZero() {
			parts = append(parts, Quote(column)+":>="+Quote(dates.Millis(from)))
		}
		if !to.IsZero() {
			parts = append(parts, Quote(column)+":<"+Quote(dates.Millis(to)))
		}
		return And(parts...), nil
	}
	if c.Within && !c.against {
		c.Start, c.End = later(c.Start, from), earlier(c.End, to)
		return Everything, nil
	}
	return TimeFilter(from, to), nil
}
