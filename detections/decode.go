package detections

import (
	"bytes"
	"encoding/json"
	"time"
	"unicode/utf8"

	"github.com/valyala/fastjson"
)

// DecodeOccurrences reads a list of occurrences as encoding/json does, in a
// fraction of its time: firings come by the hundred a second, with a hundred
// fields each. What is not written as the suite writes it is read by encoding/json.
func DecodeOccurrences(data []byte) ([]Occurrence, error) {
	if list, ok := decodeFast(data); ok {
		return list, nil
	}
	var list []Occurrence
	err := json.Unmarshal(data, &list)
	return list, err
}

var parsers fastjson.ParserPool

// decodeFast reads what it knows every part of.
func decodeFast(data []byte) (list []Occurrence, ok bool) {
	// encoding/json has rules of its own for what is no text.
	if !utf8.Valid(data) || bytes.Contains(data, []byte(`\ud`)) || bytes.Contains(data, []byte(`\uD`)) || fastjson.ValidateBytes(data) != nil {
		return nil, false
	}
	p := parsers.Get()
	defer parsers.Put(p)
	v, err := p.ParseBytes(data)
	if err != nil || v.Type() != fastjson.TypeArray {
		return nil, false
	}
	d := decoder{texts: map[string]string{}}
	list = elements(&d, v, d.occurrence)
	return list, !d.failed
}

// decoder reads parsed JSON. What it does not expect makes all of it fail.
type decoder struct {
	texts  map[string]string // read so far: fields' names and many values come again and again
	failed bool
}

func (d *decoder) text(v *fastjson.Value) string {
	switch v.Type() {
	case fastjson.TypeString:
		return d.shared(v.GetStringBytes())
	case fastjson.TypeNull:
	default:
		d.failed = true
	}
	return ""
}

// maxShared is how long a text is at most that is looked for among those before,
// in bytes.
const maxShared = 64

func (d *decoder) shared(b []byte) string {
	if len(b) > maxShared {
		return string(b)
	}
	s, known := d.texts[string(b)]
	if !known {
		s = string(b)
		d.texts[s] = s
	}
	return s
}

func (d *decoder) int(v *fastjson.Value) int {
	n, err := v.Int()
	d.failed = d.failed || err != nil
	return n
}

func (d *decoder) time(v *fastjson.Value) (t time.Time) {
	if v.Type() != fastjson.TypeString || t.UnmarshalText(v.GetStringBytes()) != nil {
		d.failed = true
	}
	return t
}

// elements reads a list; null is none.
func elements[T any](d *decoder, v *fastjson.Value, each func(*fastjson.Value) T) []T {
	switch v.Type() {
	case fastjson.TypeNull:
		return nil
	case fastjson.TypeArray:
	default:
		d.failed = true
		return nil
	}
	values := v.GetArray()
	list := make([]T, 0, len(values))
	for _, one := range values {
		list = append(list, each(one))
	}
	return list
}

// object hands over the members of an object. What is there twice fails.
func (d *decoder) object(v *fastjson.Value, member func(name []byte, v *fastjson.Value)) {
	o, err := v.Object()
	if err != nil {
		d.failed = true
		return
	}
	seen := 0
	o.Visit(func(key []byte, v *fastjson.Value) {
		member(key, v)
		seen++
	})
	d.failed = d.failed || seen != o.Len()
}

func (d *decoder) fields(v *fastjson.Value) map[string]string {
	if v.Type() == fastjson.TypeNull {
		return nil
	}
	out := map[string]string{}
	if o, err := v.Object(); err == nil {
		out = make(map[string]string, o.Len())
	}
	d.object(v, func(name []byte, v *fastjson.Value) { out[d.shared(name)] = d.text(v) })
	return out
}

func (d *decoder) occurrence(v *fastjson.Value) (o Occurrence) {
	d.object(v, func(name []byte, v *fastjson.Value) {
		switch string(name) {
		case "id":
			o.ID = d.text(v)
		case "key":
			o.Key = d.text(v)
		case "rule":
			o.Rule = d.rule(v)
		case "tenant":
			o.Tenant = d.text(v)
		case "time":
			o.Time = d.time(v)
		case "from":
			o.From = d.time(v)
		case "count":
			o.Count = d.int(v)
		case "held":
			o.Held = d.int(v)
		case "firings":
			o.Firings = d.int(v)
		case "shared":
			o.Shared = elements(d, v, d.text)
		case "group":
			o.Group = elements(d, v, d.pair)
		case "fields":
			o.Fields = d.fields(v)
		case "evidence":
			o.Evidence = elements(d, v, d.match)
		case "event_ids":
			o.EventIDs = elements(d, v, d.text)
		case "priority":
			o.Priority = d.text(v)
		case "reasons":
			o.Reasons = elements(d, v, d.both)
		case "verdict":
			o.Verdict = Verdict(d.text(v))
		case "verdict_reason":
			o.VerdictReason = d.both(v)
		case "phase":
			o.Phase = d.text(v)
		case "attacker":
			o.Attacker = d.party(v)
		case "victim":
			o.Victim = d.party(v)
		case "direction":
			o.Direction = d.text(v)
		case "threat":
			o.Threat = d.text(v)
		case "attack":
			o.Attack = d.text(v)
		case "risk":
			o.Risk = d.risk(v)
		default:
			d.failed = true
		}
	})
	return o
}

func (d *decoder) rule(v *fastjson.Value) (r RuleRef) {
	d.object(v, func(name []byte, v *fastjson.Value) {
		switch string(name) {
		case "id":
			r.ID = d.text(v)
		case "version":
			r.Version = d.text(v)
		case "hash":
			r.Hash = d.text(v)
		case "title":
			r.Title = d.both(v)
		case "sentence":
			r.Sentence = d.both(v)
		case "advice":
			r.Advice = d.both(v)
		case "level":
			r.Level = Level(d.text(v))
		case "kind":
			r.Kind = d.text(v)
		case "tactics":
			r.Tactics = elements(d, v, d.text)
		case "techniques":
			r.Techniques = elements(d, v, d.text)
		case "tags":
			r.Tags = elements(d, v, d.text)
		case "knowledge":
			r.Knowledge = d.text(v)
		case "output":
			r.Output = d.text(v)
		default:
			d.failed = true
		}
	})
	return r
}

func (d *decoder) both(v *fastjson.Value) (t Text) {
	d.object(v, func(name []byte, v *fastjson.Value) {
		switch string(name) {
		case "zh":
			t.ZH = d.text(v)
		case "en":
			t.EN = d.text(v)
		default:
			d.failed = true
		}
	})
	return t
}

func (d *decoder) pair(v *fastjson.Value) (p Pair) {
	d.object(v, func(name []byte, v *fastjson.Value) {
		switch string(name) {
		case "field":
			p.Field = d.text(v)
		case "value":
			p.Value = d.text(v)
		default:
			d.failed = true
		}
	})
	return p
}

func (d *decoder) match(v *fastjson.Value) (m Match) {
	d.object(v, func(name []byte, v *fastjson.Value) {
		switch string(name) {
		case "selection":
			m.Selection = d.text(v)
		case "field":
			m.Field = d.text(v)
		case "value":
			m.Value = d.text(v)
		default:
			d.failed = true
		}
	})
	return m
}

func (d *decoder) party(v *fastjson.Value) *Party {
	if v.Type() == fastjson.TypeNull {
		return nil
	}
	var p Party
	d.object(v, func(name []byte, v *fastjson.Value) {
		switch string(name) {
		case "ip":
			p.IP = d.text(v)
		case "name":
			p.Name = d.text(v)
		case "user":
			p.User = d.text(v)
		case "zone":
			p.Zone = d.text(v)
		case "item":
			p.Item = d.text(v)
		case "system":
			p.System = d.text(v)
		case "tenant":
			p.Tenant = d.text(v)
		default:
			d.failed = true
		}
	})
	return &p
}

func (d *decoder) risk(v *fastjson.Value) (r Risk) {
	d.object(v, func(name []byte, v *fastjson.Value) {
		switch string(name) {
		case "class":
			r.Class = d.text(v)
		case "subclass":
			r.Subclass = d.text(v)
		case "type":
			r.Type = d.text(v)
		default:
			d.failed = true
		}
	})
	return r
}
