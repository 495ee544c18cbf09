package engine

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"iter"
	"math"
	"strconv"
	"strings"
	"time"

	"icewatch/detections"
	"icewatch/soc/event"
)

const (
	ciField   = "icewatch.ci.id"
	hostField = "host.name"
)

// defaultGroupBy makes one alert of what the same actor does on the same item,
// where a rule says nothing else. The tenant is always part of the key.
var defaultGroupBy = []string{ciField, hostField, "source.ip", "user.name"}

// hash derives an identity of 128 bits from parts. Each part's length goes
// in, so that no two lists of parts read the same.
func hash(parts ...string) string {
	h := sha256.New()
	var b [8]byte
	for _, p := range parts {
		binary.BigEndian.PutUint64(b[:], uint64(len(p)))
		h.Write(b[:])
		h.Write([]byte(p))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// values returns the first value of each field, "" where there is none.
func values(ev *event.Event, ids []event.FieldID) []string {
	if len(ids) == 0 {
		return nil
	}
	out := make([]string, len(ids))
	for i, id := range ids {
		if id != 0 {
			out[i] = ev.Text(id)
		}
	}
	return out
}

// groupKey is the same for the same tenant and values, and for no others.
func groupKey(tenant string, values []string) string {
	b := make([]byte, 0, 64)
	b = binary.AppendUvarint(b, uint64(len(tenant)))
	b = append(b, tenant...)
	for _, v := range values {
		b = binary.AppendUvarint(b, uint64(len(v)))
		b = append(b, v...)
	}
	return string(b)
}

// appendFirst is values of fields that each can have several names: the first
// name that has a value counts.
func appendFirst(out []string, ev *event.Event, fields [][]event.FieldID) []string {
	for _, names := range fields {
		value := ""
		for _, id := range names {
			if id != 0 && value == "" {
				value = ev.Text(id)
			}
		}
		out = append(out, value)
	}
	return out
}

func anyValue(list []string) bool {
	for _, v := range list {
		if v != "" {
			return true
		}
	}
	return false
}

// maxFlatValue bounds a value in an occurrence; the lake has it whole.
const maxFlatValue = 16 << 10

// flat copies the event's fields out of its memory, which is reused.
func (e *Engine) flat(ev *event.Event) map[string]string {
	m := make(map[string]string, len(ev.Fields)+4)
	for name, value := range e.fields(ev) {
		m[name] = strings.Clone(value)
	}
	return m
}

// fields are the event's as one text each, in its memory; of a name that comes
// twice the last counts. A field with several values becomes a JSON array.
func (e *Engine) fields(ev *event.Event) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		// Which fields may come more than once, by the lowest bits of their ids.
		var seen, again uint64
		for i := range ev.Fields {
			bit := uint64(1) << (ev.Fields[i].ID % 64)
			again |= seen & bit
			seen |= bit
		}
		for i := range ev.Fields {
			f := &ev.Fields[i]
			if f.Kind == event.Null {
				continue
			}
			v := bounded(f.Value)
			if again>>(f.ID%64)&1 == 1 {
				several := texts(ev.Fields, f.ID)
				if several[0] != &f.Value {
					continue // told with the first
				}
				if len(several) > 1 {
					v = array(several)
				}
			}
			if !yield(e.reg.Name(f.ID), v) {
				return
			}
		}
		_ = yield("@timestamp", ev.Timestamp().Format(time.RFC3339Nano)) && yield("event.id", ev.ID.String()) && yield("icewatch.tenant", ev.Tenant)
	}
}

// texts are a field's values.
func texts(fields []event.Field, id event.FieldID) (list []*string) {
	for i := range fields {
		if f := &fields[i]; f.ID == id && f.Kind != event.Null {
			list = append(list, &f.Value)
		}
	}
	return list
}

func array(list []*string) string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = bounded(*v)
	}
	data, err := json.Marshal(out)
	if err != nil { // texts can always be written
		return bounded(*list[0])
	}
	return string(data)
}

func bounded(v string) string { return v[:min(len(v), maxFlatValue)] }

// template is a text with {field} places in both languages, split once.
type template struct{ zh, en []piece }

type piece struct {
	text  string
	field string // a place where set
}

func newTemplate(t detections.Text) template {
	if t.ZH == "" {
		t.ZH = t.EN
	}
	if t.EN == "" {
		t.EN = t.ZH
	}
	return template{zh: split(t.ZH), en: split(t.EN)}
}

// split finds the places: a brace pair around a field's name. Anything else
// in braces stays text.
func split(s string) []piece {
	var out []piece
	for {
		open := strings.IndexByte(s, '{')
		if open < 0 {
			break
		}
		end := strings.IndexByte(s[open:], '}')
		if end < 0 {
			break
		}
		name := s[open+1 : open+end]
		if name == "" || strings.ContainsAny(name, " {\t\n") {
			out = append(out, piece{text: s[:open+1]})
			s = s[open+1:]
			continue
		}
		out = append(out, piece{text: s[:open]}, piece{field: name})
		s = s[open+end+1:]
	}
	return append(out, piece{text: s})
}

// braceless keeps a title that happens to hold braces from being a template.
func braceless(s string) string {
	return strings.NewReplacer("{", "(", "}", ")").Replace(s)
}

// maxPlace bounds what one place puts into a sentence, in bytes.
const maxPlace = 512

func (t template) fill(o *detections.Occurrence, count float64) detections.Text {
	return detections.Text{ZH: fill(t.zh, o, count, "（未知）"), EN: fill(t.en, o, count, "(unknown)")}
}

func fill(pieces []piece, o *detections.Occurrence, count float64, unknown string) string {
	if len(pieces) == 1 {
		return pieces[0].text
	}
	var b strings.Builder
	for _, p := range pieces {
		b.WriteString(p.text)
		switch p.field {
		case "":
		case "count":
			b.WriteString(number(count))
		case "events":
			b.WriteString(strconv.Itoa(o.Count))
		default:
			v := o.Fields[p.field]
			if v == "" && p.field == "icewatch.ci.name" {
				v = o.Fields[hostField]
			}
			if v == "" {
				v = unknown
			}
			b.WriteString(shorten(v))
		}
	}
	return b.String()
}

// number writes a count, or with up to two decimals what was made of values.
func number(v float64) string {
	return strconv.FormatFloat(math.Round(v*100)/100, 'f', -1, 64)
}

func shorten(v string) string {
	if len(v) <= maxPlace {
		return v
	}
	n := maxPlace
	for n > 0 && v[n]&0xC0 == 0x80 { // not inside a character
		n--
	}
	return v[:n] + "…"
}
