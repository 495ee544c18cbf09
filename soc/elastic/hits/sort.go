package hits

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"icewatch/soc/elastic/dates"
	"icewatch/soc/elastic/dsl"
	"icewatch/soc/elastic/wire"
	"icewatch/soc/event"
)

type sortKey struct {
	field  string
	column string
	kind   dsl.Kind
	desc   bool
	first  bool // events without the field come first
	format string
}

// tie tells whether the key tells events of one time apart and no more.
func (k sortKey) tie() bool { return k.column == dsl.ColumnID }

func readSort(v any) (keys []sortKey, err error) {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	for _, v := range list {
		field, how := "", any(nil)
		if s, ok := v.(string); ok {
			field = s
		} else if field, how, err = wire.Only("sort", v); err != nil {
			return nil, err
		}
		k := sortKey{field: field, desc: field == "_score"}
		if order, ok := how.(string); ok {
			how = map[string]any{"order": order}
		}
		if how != nil {
			o, err := wire.AsObject("sort", how)
			if err != nil {
				return nil, err
			}
			o.Ignore("unmapped_type", "numeric_type", "mode")
			switch order := o.Text("order", map[bool]string{true: "desc", false: "asc"}[k.desc]); strings.ToLower(order) {
			case "asc":
				k.desc = false
			case "desc":
				k.desc = true
			default:
				return nil, wire.Invalid("illegal_argument_exception", "Unknown SortOrder [%s]", order)
			}
			switch missing := o.Text("missing", "_last"); missing {
			case "_last":
			case "_first":
				k.first = true
			default:
				return nil, wire.Unsupported("[missing] %s of [sort]", missing)
			}
			if k.format = o.Text("format", ""); k.format != "" {
				if _, err := dates.Format(Oldest, k.format, time.UTC); err != nil {
					return nil, err
				}
			}
			if err := o.Done(); err != nil {
				return nil, err
			}
		}
		switch field {
		case "_score":
			continue // every event has the same
		case "_doc", "_id", "_shard_doc", dsl.ColumnID:
			k.column, k.kind = dsl.ColumnID, dsl.Keyword
		case dsl.FieldIndex:
			k.column, k.kind = dsl.ColumnIndex, dsl.Keyword
		default:
			if err := dsl.OneField(field); err != nil {
				return nil, err
			}
			if strings.HasPrefix(field, "_") {
				return nil, wire.Unsupported("[%s] in [sort]", field)
			}
			if k.column, k.kind = dsl.Resolve(field); k.kind == dsl.Text {
				return nil, wire.Invalid("illegal_argument_exception", "Text fields are not optimised for operations that require per-document field data like aggregations and sorting: [%s]", field)
			}
		}
		keys = append(keys, k)
		if k.tie() {
			break // nothing comes behind what differs always
		}
	}
	return keys, nil
}

// order writes the keys for the pipe sort. Events of equal values have the order
// in which they came, so that pages do not overlap.
func (p *Page) order() string {
	var parts []string
	tied := false
	keys := p.sort
	if len(keys) == 0 {
		keys = []sortKey{{column: "_time", desc: true}}
	}
	for _, k := range keys {
		key := dsl.Quote(k.column)
		if k.desc {
			key += " desc"
		}
		parts = append(parts, key)
		tied = tied || k.tie()
	}
	if !tied {
		parts = append(parts, dsl.Quote(dsl.ColumnID))
	}
	return strings.Join(parts, ", ")
}

// afterFilter is the filter with what search_after leaves. skip tells which rows
// beside it came before, nil where the filter tells all.
func (p *Page) afterFilter() (filter string, skip func(row map[string]string) bool, err error) {
	if p.after == nil {
		return p.Filter, nil, nil
	}
	var either, equal []string
	for i, k := range p.sort {
		s, simple := wire.Plain(p.after[i])
		if none, _ := wire.Plain(k.none()); p.after[i] == nil || !simple || s == none {
			return "", nil, wire.Unsupported("the value %v of [search_after], of an event without [%s],", p.after[i], k.field)
		}
		var beyond, same string
		switch {
		case k.tie():
			either = append(either, dsl.And(equal...))
			desc, keys := k.desc, p.sort[:i]
			last := p.after
			return dsl.And(p.Filter, dsl.Or(either...)), func(row map[string]string) bool {
				for at, key := range keys {
					if v, _ := wire.Plain(last[at]); !sameKey(key, row, v) {
						return false
					}
				}
				if desc {
					return !laterID(s, row[dsl.ColumnID])
				}
				return !laterID(row[dsl.ColumnID], s)
			}, nil
		case k.kind == dsl.Date:
			m, err := dates.Parse(s, k.format+map[bool]string{true: "||"}[k.format != ""]+"epoch_millis||strict_date_optional_time_nanos", time.UTC, p.Compiler.Now)
			if err != nil {
				return "", nil, err
			}
			low, high := m.From, m.To
			if low.Nanosecond()%int(time.Millisecond) != 0 {
				high = low.Add(1)
			}
			if k.column != "_time" {
				op := ">="
				if k.desc {
					op = "<"
					high = low
				}
				beyond, same = dsl.Quote(k.column)+":"+op+dsl.Quote(dates.Millis(high)), dsl.Exactly(k.column, dates.Millis(low))
				break
			}
			if beyond = dsl.TimeFilter(high, time.Time{}); k.desc {
				beyond = dsl.TimeFilter(time.Time{}, low)
			}
			same = dsl.TimeFilter(low, high)
		default:
			op := ">"
			if k.desc {
				op = "<"
			}
			value := dsl.Quote(s)
			if dsl.IsNumber(s) {
				value = s
			}
			beyond, same = dsl.And(dsl.Quote(k.column)+":"+op+value, dsl.Present(k.column)), dsl.Exactly(k.column, s)
		}
		either = append(either, dsl.And(append(slices.Clone(equal), beyond)...))
		equal = append(equal, same)
	}
	return dsl.And(p.Filter, dsl.Or(either...)), nil, nil
}

// sameKey tells whether a row has the value of search_after.
func sameKey(k sortKey, row map[string]string, value string) bool {
	if k.kind != dsl.Date {
		return row[dsl.Outside(k.column)] == value
	}
	at, ok := dates.Stored(row[dsl.Outside(k.column)])
	m, err := dates.Parse(value, k.format+map[bool]string{true: "||"}[k.format != ""]+"epoch_millis||strict_date_optional_time_nanos", time.UTC, time.Now())
	return ok && err == nil && !at.Before(m.From) && at.Before(m.To)
}

// none is how the lack of a value is shown: as the number it is sorted as.
func (k sortKey) none() any {
	high := k.desc == k.first
	switch k.kind {
	case dsl.Long, dsl.Date, dsl.Boolean:
		if high {
			return json.Number("9223372036854775807")
		}
		return json.Number("-9223372036854775808")
	case dsl.Double:
		if high {
			return "Infinity"
		}
		return "-Infinity"
	}
	return nil
}

func (k sortKey) value(row map[string]string) any {
	v := row[dsl.Outside(k.column)]
	if v == "" {
		return k.none()
	}
	if k.kind == dsl.Date {
		t, ok := dates.Stored(v)
		if !ok {
			return v
		}
		if k.format == "" {
			return t.UnixMilli()
		}
		s, _ := dates.Format(t, k.format, time.UTC)
		return s
	}
	return typed(k.kind, v, nil)
}

// laterID tells whether the event a was taken in after the event b. Ids of
// different stretches of the bus have the order of their texts.
func laterID(a, b string) bool {
	x, ok := event.ParseID(a)
	y, ok2 := event.ParseID(b)
	if !ok || !ok2 || x.Epoch != y.Epoch {
		return a > b
	}
	return cmp.Or(cmp.Compare(x.Sequence, y.Sequence), cmp.Compare(x.Index, y.Index)) > 0
}
