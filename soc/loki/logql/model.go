package logql

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/valyala/fastjson"
)

// Fields of rows that the model is made of.
const (
	fieldTime     = "@timestamp"
	fieldID       = "event.id"
	fieldLine     = "event.original"
	fieldMessage  = "message"
	fieldLabels   = "icewatch.labels"   // the labels as pushed to Loki's API, JSON
	fieldMetadata = "icewatch.metadata" // the structured metadata as pushed, JSON
	fieldRaw      = "icewatch.raw"      // there where the line is written anew from the row's other fields
	fieldLevel    = "log.level"
)

// detectedLevel is the label that Loki gives lines for their level. Here it is
// there for a query that names it.
const detectedLevel = "detected_level"

// Fixed are the labels of events that came in otherwise than by Loki's API, and
// the fields that they show. They are few, and of few values each.
var Fixed = []struct{ Label, Field string }{
	{"dataset", "event.dataset"},
	{"host", "host.name"},
	{"level", fieldLevel},
	{"service", "service.name"},
	{"source", "icewatch.collector"},
	{"tenant", "icewatch.tenant"},
}

// fixedField is the field of a fixed label, "" where it is none.
func fixedField(label string) string {
	for _, f := range Fixed {
		if f.Label == label {
			return f.Field
		}
	}
	return ""
}

// stream is a set of labels.
type stream struct {
	labels  labels.Labels
	pushed  bool // by Loki's API
	matches bool
}

// record is a row as Loki's API shows it. Its texts are valid until the next
// one is decoded.
type record struct {
	time     int64 // Unix nanoseconds
	id       string
	line     string
	stream   *stream
	metadata labels.Labels
	row      []byte // as it came
}

// decoder makes records of rows.
type decoder struct {
	match func(labels.Labels) bool // which streams; nil is all
	// named are the labels that the query names. Of events that were not pushed
	// these fields become structured metadata, and all of them where all is true.
	named map[string]bool
	all   bool

	parser   fastjson.Parser
	row      *fastjson.Object // decoded last
	streams  map[string]*stream
	key      []byte
	fields   []labels.Label
	builder  labels.ScratchBuilder
	metadata struct { // the last one
		text string
		set  labels.Labels
	}
}

func newDecoder(match func(labels.Labels) bool, named map[string]bool, all bool) *decoder {
	return &decoder{match: match, named: named, all: all, streams: map[string]*stream{}}
}

// decode reads one flat JSON object of texts. skip is true where it is of a
// stream that was not asked for.
func (d *decoder) decode(row []byte, rec *record) (skip bool, err error) {
	v, err := d.parser.ParseBytes(row)
	if err != nil {
		return false, fmt.Errorf("a row of the lake is no JSON: %w", err)
	}
	o, err := v.Object()
	if err != nil {
		return false, fmt.Errorf("a row of the lake is no object: %w", err)
	}
	d.row = o
	text := func(name string) []byte { return o.Get(name).GetStringBytes() }
	pushed := text(fieldLabels)
	if len(pushed) > 0 {
		d.key = append(append(d.key[:0], 'p'), pushed...)
	} else {
		d.key = append(d.key[:0], 'e')
		for _, f := range Fixed {
			d.key = append(append(d.key, text(f.Field)...), 0)
		}
	}
	s, ok := d.streams[string(d.key)]
	if !ok {
		s = d.newStream(o, string(pushed))
		d.streams[string(d.key)] = s
	}
	*rec = record{stream: s, row: row}
	if at := text(fieldTime); len(at) > 0 {
		t, err := time.Parse(time.RFC3339Nano, string(at))
		if err != nil {
			return false, fmt.Errorf("a row of the lake has the time %q: %w", at, err)
		}
		rec.time = t.UnixNano()
	}
	if !s.matches {
		return true, nil
	}
	rec.id = string(text(fieldID))
	line := text(fieldLine)
	if len(line) == 0 {
		line = text(fieldMessage)
	}
	rec.line = string(line)
	if s.pushed {
		rec.metadata = d.pushedMetadata(text(fieldMetadata), text(fieldLevel), s)
	} else {
		rec.metadata = d.eventMetadata(o, rec.line, s)
	}
	return false, nil
}

func (d *decoder) newStream(o *fastjson.Object, pushed string) *stream {
	s := &stream{pushed: pushed != ""}
	if s.pushed {
		s.labels = parseLabels(pushed)
	} else {
		b := labels.NewScratchBuilder(len(Fixed))
		for _, f := range Fixed {
			if v := o.Get(f.Field).GetStringBytes(); len(v) > 0 {
				b.Add(f.Label, string(v))
			}
		}
		s.labels = b.Labels()
	}
	s.matches = d.match == nil || d.match(s.labels)
	return s
}

// parseLabels reads a JSON object of texts. What is no such object, since parts
// of it are masked, is no labels.
func parseLabels(text string) labels.Labels {
	v, err := fastjson.Parse(text)
	if err != nil {
		return labels.EmptyLabels()
	}
	o, err := v.Object()
	if err != nil {
		return labels.EmptyLabels()
	}
	set := make(map[string]string, o.Len())
	o.Visit(func(key []byte, v *fastjson.Value) {
		if value := v.GetStringBytes(); len(value) > 0 {
			set[labelName(string(key))] = string(value)
		}
	})
	return labels.FromMap(set)
}

// pushedMetadata is an entry's structured metadata as pushed, and its level
// where the query names it.
func (d *decoder) pushedMetadata(text, level []byte, s *stream) labels.Labels {
	set := labels.EmptyLabels()
	if len(text) > 0 {
		if d.metadata.text != string(text) {
			d.metadata.text = string(text)
			d.metadata.set = parseLabels(d.metadata.text)
		}
		set = d.metadata.set
	}
	if d.named[detectedLevel] && !s.labels.Has(detectedLevel) && !set.Has(detectedLevel) {
		b := labels.NewBuilder(set)
		b.Set(detectedLevel, levelOf(string(level)))
		set = b.Labels()
	}
	return set
}

// eventMetadata is the fields of an event that was not pushed to Loki's API,
// dots as underscores.
func (d *decoder) eventMetadata(o *fastjson.Object, line string, s *stream) labels.Labels {
	if !d.all && len(d.named) == 0 {
		return labels.EmptyLabels()
	}
	d.fields = d.fields[:0]
	o.Visit(func(key []byte, v *fastjson.Value) {
		name := string(key)
		if !shown(name) {
			return
		}
		label := strings.ReplaceAll(name, ".", "_")
		if !d.all && !d.named[label] {
			return
		}
		value := string(v.GetStringBytes())
		if value == "" || name == fieldMessage && value == line {
			return
		}
		d.fields = append(d.fields, labels.Label{Name: label, Value: value})
	})
	if d.named[detectedLevel] {
		d.fields = append(d.fields, labels.Label{Name: detectedLevel, Value: levelOf(s.labels.Get("level"))})
	}
	slices.SortStableFunc(d.fields, func(a, b labels.Label) int { return strings.Compare(a.Name, b.Name) })
	d.builder.Reset()
	for i, f := range d.fields {
		if i == 0 || d.fields[i-1].Name != f.Name {
			d.builder.Add(f.Name, f.Value)
		}
	}
	return d.builder.Labels()
}

// shown tells whether a field of an event is structured metadata: neither part
// of the stream, nor the line, nor of the storage, and with a name that is a
// label's once its dots are underscores.
func shown(name string) bool {
	switch name {
	case fieldTime, fieldLine, fieldLabels, fieldMetadata, fieldRaw, fieldCount, fieldOwn, fieldWith, "icewatch.seq":
		return false
	}
	for _, f := range Fixed {
		if f.Field == name {
			return false
		}
	}
	for i := 0; i < len(name); i++ {
		if c := name[i]; c != '_' && c != '.' && (c|0x20 < 'a' || c|0x20 > 'z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// labelName makes a label's name of any, as Loki does with structured metadata.
func labelName(name string) string {
	valid := func(c byte, i int) bool {
		return c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z' || i > 0 && c >= '0' && c <= '9'
	}
	for i := 0; i < len(name); i++ {
		if !valid(name[i], i) {
			b := []byte(name)
			for i := range b {
				if !valid(b[i], 1) {
					b[i] = '_'
				}
			}
			if b[0] >= '0' && b[0] <= '9' {
				return "key_" + string(b)
			}
			return string(b)
		}
	}
	return name
}

// levelOf names a level as Loki's detected_level does.
func levelOf(level string) string {
	switch l := strings.ToLower(level); l {
	case "trace", "trc":
		return "trace"
	case "debug", "dbg", "7":
		return "debug"
	case "info", "inf", "information", "informational", "notice", "6", "5":
		return "info"
	case "warn", "wrn", "warning", "4":
		return "warn"
	case "error", "err", "3":
		return "error"
	case "critical", "crit", "alert", "2", "1":
		return "critical"
	case "fatal", "emergency", "emerg", "panic", "0":
		return "fatal"
	default:
		return "unknown"
	}
}
