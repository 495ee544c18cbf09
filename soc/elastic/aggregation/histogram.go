package aggregation

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"icewatch/soc/elastic/dates"
	"icewatch/soc/elastic/dsl"
	"icewatch/soc/elastic/hits"
	"icewatch/soc/elastic/wire"
)

// interval is the width of buckets.
type interval struct {
	step     float64       // of numbers
	shift    float64       // offset of numbers
	fixed    time.Duration // of times
	calendar byte          // of times, by the calendar
	offset   time.Duration
	zone     *time.Location
}

// zoneOf reads time_zone.
func zoneOf(o *wire.Object) (*time.Location, error) {
	name := o.Text("time_zone", "")
	zone, ok := dates.Zone(name)
	if !ok {
		return nil, wire.Invalid("illegal_argument_exception", "the time zone [%s] is not known: give an offset such as +08:00 or a name such as Asia/Shanghai", name)
	}
	return zone, nil
}

// calendars are the calendar intervals by their names.
var calendars = map[string]byte{"1m": 'm', "minute": 'm', "1h": 'h', "hour": 'h', "1d": 'd', "day": 'd', "1w": 'w', "week": 'w', "1M": 'M', "month": 'M', "1y": 'y', "year": 'y', "1s": 's', "second": 's'}

func (a *reader) dateHistogram(g *agg, o *wire.Object) error {
	if g.kind != dsl.Date {
		return wire.Invalid("illegal_argument_exception", "Field [%s] of type [%s] is not supported for aggregation [date_histogram]", g.field, g.kind)
	}
	var err error
	if g.interval.zone, err = zoneOf(o); err != nil {
		return err
	}
	fixed, calendar, either := o.Text("fixed_interval", ""), o.Text("calendar_interval", ""), o.Text("interval", "")
	if either != "" && fixed == "" && calendar == "" {
		if _, known := calendars[either]; known {
			calendar = either
		} else {
			fixed = either
		}
	}
	switch {
	case fixed != "" && calendar != "":
		return wire.Invalid("illegal_argument_exception", "Cannot use [calendar_interval] with [fixed_interval] configuration option.")
	case calendar != "":
		unit, known := calendars[calendar]
		if !known {
			return wire.Unsupported("the calendar_interval [%s]", calendar)
		}
		g.interval.calendar = unit
	case fixed != "":
		if g.interval.fixed, err = dates.Duration(fixed); err != nil || g.interval.fixed <= 0 {
			return wire.Invalid("parsing_exception", "[%s] is no fixed_interval: expected a number with ms, s, m, h or d", fixed)
		}
	default:
		return wire.Invalid("illegal_argument_exception", "Required one of fields [interval, calendar_interval, fixed_interval], but none were specified")
	}
	if s := o.Text("offset", ""); s != "" {
		sign := time.Duration(1)
		if rest, minus := strings.CutPrefix(s, "-"); minus {
			sign, s = -1, rest
		}
		d, err := dates.Duration(strings.TrimPrefix(s, "+"))
		if err != nil {
			return wire.Invalid("parsing_exception", "[%s] is no offset: expected a number with ms, s, m, h or d", s)
		}
		g.interval.offset = sign * d
	}
	if g.format != "" {
		if _, err := dates.Format(hits.Oldest, g.format, time.UTC); err != nil {
			return err
		}
	}
	return a.histogramRest(g, o)
}

func (a *reader) histogramRest(g *agg, o *wire.Object) error {
	g.least, g.keyed = o.Integer("min_doc_count", 0, 0, math.MaxInt32), o.Flag("keyed", false)
	if v, ok := o.Has("missing"); ok {
		if s, _ := wire.Plain(v); s != "" && s != "null" {
			return wire.Unsupported("[missing] of [%s]", g.how)
		}
	}
	for name, ends := range map[string][2]*string{"extended_bounds": {&g.low, &g.high}, "hard_bounds": {&g.hardLow, &g.hardHigh}} {
		v, ok := o.Has(name)
		if !ok {
			continue
		}
		b, err := wire.AsObject(name, v)
		if err != nil {
			return err
		}
		*ends[0], *ends[1] = b.Text("min", ""), b.Text("max", "")
		if err := b.Done(); err != nil {
			return err
		}
		for _, end := range ends {
			if *end == "" {
				continue
			}
			if _, err := g.bound(*end, a.c.Now); err != nil {
				return err
			}
		}
	}
	return a.order(g, o, bucketOrder{"_key", false})
}

// bound reads an end of a histogram: milliseconds for times.
func (g *agg) bound(s string, now time.Time) (float64, error) {
	if g.kind != dsl.Date {
		n, err := strconv.ParseFloat(s, 64)
		if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
			return 0, wire.Invalid("number_format_exception", "For input string: \"%s\" in the bounds of [%s]", s, g.name)
		}
		return n, nil
	}
	format := "strict_date_optional_time||epoch_millis"
	if g.format == "epoch_millis" || g.format == "epoch_second" {
		format = g.format
	}
	m, err := dates.Parse(s, format, g.interval.zone, now)
	return float64(m.From.UnixMilli()), err
}

func (a *reader) histogram(g *agg, o *wire.Object) error {
	if g.kind == dsl.Date || g.kind == dsl.IP || g.kind == dsl.Boolean {
		return wire.Unsupported("[histogram] of the %s field [%s]", g.kind, g.field)
	}
	g.interval.step, g.interval.shift = o.Number("interval", 0), o.Number("offset", 0)
	if !(g.interval.step > 0) || math.IsInf(g.interval.step, 0) {
		return wire.Invalid("illegal_argument_exception", "[interval] must be >0 for histogram aggregation [%s]", g.name)
	}
	whole := func(f float64) bool { return f == math.Trunc(f) && math.Abs(f) < 1e15 }
	if !whole(g.interval.step) && g.interval.step > 1 || !whole(g.interval.shift) {
		return wire.Unsupported("an [interval] above 1, or an [offset], that is no whole number, of [histogram]")
	}
	return a.histogramRest(g, o)
}

// key is how the lake groups by the field of an aggregation.
func (a *runner) key(g *agg) (groupKey, error) {
	k := groupKey{expression: dsl.Quote(g.column), column: dsl.Outside(g.column)}
	k.holds = func(value string) string { return dsl.Exactly(g.column, value) }
	switch g.how {
	case "terms":
		if dsl.IsList(g.column) {
			k.holds = func(value string) string {
				return dsl.Or(dsl.Exactly(g.column, value), dsl.Matches(g.column, dsl.Among(regexp.QuoteMeta(dsl.JSONText(value)))))
			}
		}
	case "histogram":
		step := strconv.FormatFloat(g.interval.step, 'f', -1, 64)
		k.expression += ":" + step
		if g.interval.shift != 0 {
			k.expression += " offset " + strconv.FormatFloat(math.Mod(g.interval.shift, g.interval.step), 'f', -1, 64)
		}
		k.holds = func(value string) string {
			n, _ := dsl.Number(value)
			return fmt.Sprintf("%s:>=%s %s:<%s", dsl.Quote(g.column), value, dsl.Quote(g.column), strconv.FormatFloat(n+g.interval.step, 'f', -1, 64))
		}
	case "date_histogram":
		shift, err := a.zoneShift(g)
		if err != nil {
			return k, err
		}
		switch {
		case g.interval.fixed > 0:
			k.expression += ":" + strconv.FormatInt(g.interval.fixed.Nanoseconds(), 10)
			shift %= g.interval.fixed
		default:
			k.expression += ":" + map[byte]string{'s': "second", 'm': "minute", 'h': "hour", 'd': "day", 'w': "week", 'M': "month", 'y': "year"}[g.interval.calendar]
		}
		if shift != 0 {
			k.expression += " offset " + strconv.FormatInt(shift.Nanoseconds(), 10)
		}
		k.holds = func(value string) string {
			t, _ := dates.Stored(value)
			next := time.UnixMilli(int64(g.next(float64(t.UnixMilli()))))
			if g.column == "_time" {
				return dsl.TimeFilter(t, next)
			}
			return fmt.Sprintf("(%s:>=%q %s:<%q)", dsl.Quote(g.column), dates.Millis(t), dsl.Quote(g.column), dates.Millis(next))
		}
	}
	return k, nil
}

// zoneShift is by how much buckets are shifted for the time zone and the offset.
// The lake shifts all by the same: a zone whose clock changes within the time
// searched cannot be served.
func (a *runner) zoneShift(g *agg) (time.Duration, error) {
	zone := g.interval.zone
	if zone == time.UTC || a.void {
		return g.interval.offset, nil
	}
	base := a.lake.Question(a.within, a.page, a.page.Filter+" | stats min(_time) low, max(_time) high")
	low, high := base.Start, base.End
	if low.Equal(hits.Oldest) {
		err := a.lake.Rows(a.ctx, base, func(row map[string]string) error {
			if t, ok := dates.Stored(row["low"]); ok {
				low = t
			}
			if t, ok := dates.Stored(row["high"]); ok {
				high = t
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	_, until := low.In(zone).ZoneBounds()
	_, offset := low.In(zone).Zone()
	if !until.IsZero() && until.Before(high) {
		if _, next := until.In(zone).Zone(); g.interval.fixed == 0 || time.Duration(next-offset)*time.Second%g.interval.fixed != 0 {
			return 0, wire.Unsupported("a [date_histogram] over a change of the clock in the time zone [%s] (%s); give an offset such as +08:00, or a shorter range,", zone, until.Format(time.RFC3339))
		}
	}
	return g.interval.offset - time.Duration(offset)*time.Second, nil
}

// next is the key behind a key of a histogram.
func (g *agg) next(at float64) float64 {
	switch {
	case g.how == "histogram":
		return math.Round((at+g.interval.step)*1e9) / 1e9
	case g.interval.fixed > 0:
		return at + float64(g.interval.fixed.Milliseconds())
	}
	t := time.UnixMilli(int64(at)).In(g.interval.zone).Add(-g.interval.offset)
	return float64(dates.Shift(t, g.interval.calendar, 1).Add(g.interval.offset).UnixMilli())
}

// floorOf is the key of the bucket that a value lies in.
func (g *agg) floorOf(v float64) float64 {
	switch {
	case g.how == "histogram":
		return math.Floor((v-g.interval.shift)/g.interval.step)*g.interval.step + g.interval.shift
	case g.interval.fixed > 0:
		_, zone := time.UnixMilli(int64(v)).In(g.interval.zone).Zone()
		shift := float64(g.interval.offset.Milliseconds()) - float64(zone)*1000
		step := float64(g.interval.fixed.Milliseconds())
		return math.Floor((v-shift)/step)*step + shift
	}
	t := time.UnixMilli(int64(v)).In(g.interval.zone).Add(-g.interval.offset)
	return float64(dates.Floor(t, g.interval.calendar).Add(g.interval.offset).UnixMilli())
}

// fill puts empty buckets between those that are there, and up to the bounds.
func (a *runner) fill(g *agg, sc scope, by map[string][]*bucket) error {
	if g.hardLow != "" || g.hardHigh != "" {
		low, high := math.Inf(-1), math.Inf(1)
		if g.hardLow != "" {
			low, _ = g.bound(g.hardLow, a.page.Compiler.Now)
			low = g.floorOf(low)
		}
		if g.hardHigh != "" {
			high, _ = g.bound(g.hardHigh, a.page.Compiler.Now)
		}
		for parent, list := range by {
			by[parent] = slices.DeleteFunc(list, func(b *bucket) bool { return b.number < low || b.number > high })
		}
	}
	if g.least > 0 {
		return nil
	}
	low, high := math.NaN(), math.NaN()
	if g.low != "" {
		low, _ = g.bound(g.low, a.page.Compiler.Now)
		low = g.floorOf(low)
	}
	if g.high != "" {
		high, _ = g.bound(g.high, a.page.Compiler.Now)
		high = g.floorOf(high)
	}
	if !math.IsNaN(low) && !math.IsNaN(high) {
		if len(sc.keys) == 0 {
			by[""] = append([]*bucket(nil), by[""]...)
		}
		for _, parent := range sc.groups {
			by[parent] = append([]*bucket(nil), by[parent]...)
		}
	}
	made := 0
	for parent, list := range by {
		first, last := low, high
		at := map[float64]*bucket{}
		for _, b := range list {
			at[b.number] = b
			if !(first <= b.number) {
				first = b.number
			}
			if !(last >= b.number) {
				last = b.number
			}
		}
		if math.IsNaN(first) || math.IsNaN(last) {
			continue
		}
		full := []*bucket{}
		for v := first; v <= last; v = g.next(v) {
			b := at[v]
			if b == nil {
				b = &bucket{number: v, value: strconv.FormatFloat(v, 'f', -1, 64), group: parent + separator + "none"}
			}
			delete(at, v)
			full = append(full, b)
			if made++; made > maxBuckets {
				return tooMany(made)
			}
		}
		for _, b := range at { // keys that are no multiples, by a rounding of floats
			full = append(full, b)
		}
		slices.SortFunc(full, func(a, b *bucket) int { return int(math.Copysign(1, a.number-b.number)) })
		if len(g.order) == 1 && g.order[0] == (bucketOrder{"_key", true}) {
			slices.Reverse(full)
		}
		by[parent] = full
	}
	return nil
}
