package rulecli

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unsafe"

	"github.com/valyala/fastjson"

	"icewatch/detections/ruleset"
	"icewatch/soc/event"
)

// decoder makes flat events of JSON objects. An event is valid until the next.
type decoder struct {
	parser fastjson.Parser
	reg    *event.Registry
	ids    map[string]event.FieldID
	ev     event.Event
	path   []byte
}

// maxDepth bounds how deep objects are flattened.
const maxDepth = 64

func newDecoder(reg *event.Registry) *decoder {
	return &decoder{reg: reg, ids: map[string]event.FieldID{}}
}

var errNoObject = errors.New("is not a JSON object")

func (d *decoder) event(line []byte) (*event.Event, error) {
	// A byte order mark opens files that Windows tools write.
	text := strings.TrimPrefix(unsafe.String(unsafe.SliceData(line), len(line)), "\ufeff")
	v, err := d.parser.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoObject, err)
	}
	if v.Type() != fastjson.TypeObject {
		return nil, errNoObject
	}
	d.ev.Reset()
	d.path = d.path[:0]
	d.flatten(v, 0)
	d.time()
	return &d.ev, nil
}

func (d *decoder) flatten(v *fastjson.Value, depth int) {
	switch v.Type() {
	case fastjson.TypeObject:
		o := v.GetObject()
		if o.Len() == 0 && depth > 0 || depth > maxDepth {
			d.add(event.Null, "")
			return
		}
		o.Visit(func(key []byte, child *fastjson.Value) {
			n := len(d.path)
			if n > 0 {
				d.path = append(d.path, '.')
			}
			d.path = append(d.path, key...)
			d.flatten(child, depth+1)
			d.path = d.path[:n]
		})
	case fastjson.TypeArray:
		list := v.GetArray()
		if len(list) == 0 || depth > maxDepth {
			d.add(event.Null, "") // there, but without a value
			return
		}
		for _, child := range list {
			d.flatten(child, depth+1)
		}
	case fastjson.TypeString:
		b := v.GetStringBytes()
		d.add(event.String, unsafe.String(unsafe.SliceData(b), len(b)))
	case fastjson.TypeNumber:
		d.add(event.Number, string(v.MarshalTo(nil)))
	case fastjson.TypeTrue:
		d.add(event.Bool, "true")
	case fastjson.TypeFalse:
		d.add(event.Bool, "false")
	default:
		d.add(event.Null, "")
	}
}

// add appends a value under the present path. Names that no rule uses need no
// number of their own: only searches over all values look at them.
func (d *decoder) add(kind event.Kind, value string) {
	id, ok := d.ids[string(d.path)]
	if !ok {
		id, _ = d.reg.Lookup(string(d.path))
		if len(d.ids) < 1<<20 {
			d.ids[string(d.path)] = id
		}
	}
	d.ev.Fields = append(d.ev.Fields, event.Field{ID: id, Kind: kind, Value: value})
}

// timeFields are where events of several origins carry their time.
var timeFields = []string{"@timestamp", "TimeCreated", "SystemTime", "UtcTime", "EventTime", "timestamp", "time", "ts"}

var timeLayouts = []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999"}

// time fills the event's time from the first field that has one. Only rule
// sets with correlations need it, and those intern the names.
func (d *decoder) time() {
	for _, name := range timeFields {
		id, ok := d.reg.Lookup(name)
		if !ok {
			continue
		}
		text := d.ev.Text(id)
		if text == "" {
			continue
		}
		for _, layout := range timeLayouts {
			if t, err := time.Parse(layout, text); err == nil {
				d.ev.Time = t.UnixNano()
				return
			}
		}
	}
}

// learn takes in the names that correlations need beside the rules' own.
func (d *decoder) learn(set *ruleset.Set) {
	names := append([]string(nil), timeFields...)
	for _, r := range set.Detections() {
		for _, f := range r.Feeds {
			names = append(append(names, f.GroupBy...), f.Fields...)
		}
	}
	for _, name := range names {
		d.reg.Intern(name) // this registry has no bound
	}
}

func (d *decoder) values(ev *event.Event, names []string) []string {
	if len(names) == 0 {
		return nil
	}
	out := make([]string, len(names))
	for i, name := range names {
		if id, ok := d.reg.Lookup(name); ok {
			out[i] = ev.Text(id)
		}
	}
	return out
}
