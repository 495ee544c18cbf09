package lake

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/logstorage"

	"icewatch/soc/event"
)

// Field names that only the stored form has, or that it shares with the form
// outside.
const (
	fieldTenant   = "icewatch.tenant"
	fieldSequence = "icewatch.seq"
	fieldID       = "event.id"
	fieldCreated  = "event.created"
	fieldMessage  = "message"
	// fieldRaw holds the raw text with references to the row's other fields;
	// see reference.go. Where the message is the raw text there is none.
	fieldRaw = "icewatch.raw"
	// fieldOriginal holds the raw text where neither serves.
	fieldOriginal = "event.original"
)

// Writer lays events out as rows and gathers them until they are handed to the
// stores. It is not safe for concurrent use.
type Writer struct {
	gatherer
	lake    *Lake
	reg     *event.Registry
	fields  []logstorage.Field
	rowSize int // of the row laid out last, as the library counts it
	refs    []reference
	lone    []lone      // values that are not in the raw text as they are
	sorted  []reference // memory of sortReferences
	stream  [2]logstorage.Field
	buf     []byte
	plans   map[uint64]*plan
	plan    *plan     // of the event at hand
	weighed time.Time // when kinds were, see Waiting
	created struct {  // the last event.created
		ms   int64
		text string
	}
}

// plan says how the fields of an event become those of a row. Events of one
// kind have the same fields in the same order, so plans are kept.
type plan struct {
	ids   []event.FieldID // of the event, as they come
	order []int           // place in ids of each of the row's fields, by name; -1 and below: see own
	many  []bool          // whether more values of the same field follow, by place in ids
	names []string        // of the row's fields

	standing []int // the order of the last event's references

	shape string // of the rows
	kinds map[streamKey]*kind
}

// maxPlans bounds the plans that a writer keeps. A city's logs have some
// hundred kinds of events.
const maxPlans = 4096

// own are the row's fields that are no field of the event: place -1-i.
var own = [...]string{fieldTenant, fieldSequence, fieldID, fieldCreated}

// NewWriter makes a writer for events whose fields reg names.
func (l *Lake) NewWriter(reg *event.Registry) *Writer {
	return &Writer{gatherer: newGatherer(), lake: l, reg: reg, plans: map[uint64]*plan{}}
}

// Space is where a tenant's rows go.
type Space struct {
	Account uint32 `json:"account"`         // its id in the stores
	Class   string `json:"class,omitempty"` // its retention class; "" is Standard
}

// RefusedError says that the lake cannot hold an event as it is.
type RefusedError struct{ Reason string }

// Error gives the reason.
func (e *RefusedError) Error() string { return "lake: " + e.Reason }

func refused(format string, args ...any) error { return &RefusedError{fmt.Sprintf(format, args...)} }

// Add takes in one event of a tenant, which is handed over by Take or Flush. A
// *RefusedError means that the lake cannot hold the event as it is; nothing of
// it was kept then. stream names the stream, of which there must be few: rows of
// one stream lie side by side in blocks, and blocks of many rows are written
// once, while small ones are merged over and over.
func (w *Writer) Add(ev *event.Event, to Space, stream string) error {
	c := w.lake.class(to.Class)
	now := time.Now()
	if ev.Time < now.Add(-c.retention).UnixNano() {
		return refused("the time %s lies before the retention of %s", ev.Timestamp().Format(time.RFC3339), c.retention)
	}
	if ev.Time > now.Add(FutureLimit+time.Minute).UnixNano() {
		return refused("the time %s lies in the future", ev.Timestamp().Format(time.RFC3339))
	}
	if err := w.convert(ev); err != nil {
		return err
	}
	k := w.kind(c.store, to.Account, stream)
	rows := w.gather(k, ev.ID.Sequence, now, w.rowSize)
	w.stream = [...]logstorage.Field{{Name: "event.dataset", Value: stream}, {Name: "shape", Value: k.key.shape}}
	tags := w.stream[:]
	if !k.own {
		tags = tags[:1]
	}
	rows.MustAdd(logstorage.TenantID{AccountID: to.Account}, ev.Time, w.fields, tags)
	return nil
}

// class finds a retention class. One that is not configured any more is
// Standard.
func (l *Lake) class(name string) class {
	if c, ok := l.classes[name]; ok {
		return c
	}
	return l.classes[Standard]
}

// convert lays the event out as the library's fields, in the order of their
// names. An array becomes a JSON array in one field.
func (w *Writer) convert(ev *event.Event) error {
	if err := w.arrange(ev); err != nil {
		return err
	}
	w.fields, w.refs, w.lone, w.buf = w.fields[:0], w.refs[:0], w.lone[:0], w.buf[:0]
	// Where the message is all of the raw text, JSON would be kept twice: it
	// is laid out in fields already.
	message := !(ev.Raw != "" && ev.Raw[0] == '{' && ev.Text(event.Message) == ev.Raw)
	whole, size := false, rowOverhead
	for at, place := range w.plan.order {
		var value string
		if place < 0 {
			value = w.own(ev, -1-place)
		} else {
			f := &ev.Fields[place]
			if w.plan.many[place] {
				value = w.values(ev.Fields[place:], f.ID)
			} else if f.Kind != event.Null {
				value = f.Value
			}
			if value == "" || f.ID == event.Message && !message {
				continue
			}
			if f.ID == event.Message && value == ev.Raw {
				whole = true
			} else if off, ok := within(ev.Raw, value); ok {
				w.refs = append(w.refs, reference{off: off, size: len(value), field: len(w.fields)})
			} else if !w.plan.many[place] {
				w.lone = append(w.lone, lone{value, len(w.fields)})
			}
		}
		name := w.plan.names[at]
		w.fields = append(w.fields, logstorage.Field{Name: name, Value: value})
		size += len(name) + len(value) + fieldOverhead
	}
	if !whole && ev.Raw != "" {
		name, value := fieldOriginal, ev.Raw
		if ev.Raw[0] == '{' {
			w.referEscaped(ev)
		}
		if text, ok := w.refer(ev); ok {
			name, value = fieldRaw, text
		} else if !message {
			// Nothing refers to the message then; it is the raw text.
			name = fieldMessage
		}
		// In its place by name: the library sorts what is sorted in no time.
		at, _ := slices.BinarySearchFunc(w.fields, name, func(f logstorage.Field, name string) int { return strings.Compare(f.Name, name) })
		w.fields = slices.Insert(w.fields, at, logstorage.Field{Name: name, Value: value})
		size += len(name) + len(value) + fieldOverhead
	}
	if len(w.fields) > MaxFields {
		return refused("the event has %d fields; %d is the most", len(w.fields), MaxFields)
	}
	if size > MaxRowSize {
		return refused("the event has %d bytes; %d is the most", size, MaxRowSize)
	}
	w.rowSize = size
	return nil
}

// arrange finds the plan for the event's fields, or makes it.
func (w *Writer) arrange(ev *event.Event) error {
	sum := uint64(len(ev.Fields))
	for i := range ev.Fields {
		sum = (sum ^ uint64(ev.Fields[i].ID)) * 0x9e3779b97f4a7c15
		sum ^= sum >> 29
	}
	if p := w.plans[sum]; p != nil && slices.EqualFunc(ev.Fields, p.ids, func(f event.Field, id event.FieldID) bool { return f.ID == id }) {
		w.plan = p
		return nil
	}
	p := &plan{}
	first := make(map[event.FieldID]int, len(ev.Fields))
	for i := range ev.Fields {
		id := ev.Fields[i].ID
		p.ids, p.many = append(p.ids, id), append(p.many, false)
		if at, ok := first[id]; ok {
			p.many[at] = true
			continue
		}
		name := w.reg.Name(id)
		if name == "" || len(name) > MaxName {
			return refused("the field name %.40q… has %d bytes; 1 to %d are allowed", name, len(name), MaxName)
		}
		first[id] = i
		p.order = append(p.order, i)
	}
	for i := range own {
		p.order = append(p.order, -1-i)
	}
	nameOf := func(place int) string {
		if place < 0 {
			return own[-1-place]
		}
		return w.reg.Name(p.ids[place])
	}
	slices.SortFunc(p.order, func(a, b int) int { return strings.Compare(nameOf(a), nameOf(b)) })
	for _, place := range p.order {
		p.names = append(p.names, nameOf(place))
	}
	p.shape, p.kinds = shapeOf(p.names), map[streamKey]*kind{}
	w.lake.names.add(p.names)
	if len(w.plans) >= maxPlans {
		clear(w.plans)
	}
	w.plans[sum], w.plan = p, p
	return nil
}

// own renders one of the row's own fields.
func (w *Writer) own(ev *event.Event, which int) string {
	switch own[which] {
	case fieldTenant:
		return ev.Tenant
	case fieldSequence:
		return w.text(func(b []byte) []byte { return strconv.AppendUint(b, ev.ID.Sequence, 10) })
	case fieldID:
		return w.text(func(b []byte) []byte { return appendID(b, ev.ID) })
	default:
		// The events of a batch came together.
		if ms := ev.Created / int64(time.Millisecond); ms != w.created.ms || w.created.text == "" {
			w.created.ms, w.created.text = ms, time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z")
		}
		return w.created.text
	}
}

// text renders into the writer's buffer. The string stays valid until the
// next row: a buffer that grows leaves the old one to the strings made of it.
func (w *Writer) text(render func([]byte) []byte) string {
	start := len(w.buf)
	w.buf = render(w.buf)
	b := w.buf[start:]
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// values renders several values of one field: an array, unless all but one are
// null.
func (w *Writer) values(fields []event.Field, id event.FieldID) string {
	one, n := "", 0
	for i := range fields {
		if fields[i].ID == id && fields[i].Kind != event.Null {
			one = fields[i].Value
			n++
		}
	}
	if n < 2 {
		return one
	}
	return w.text(func(b []byte) []byte {
		b = append(b, '[')
		first := true
		for i := range fields {
			if fields[i].ID != id || fields[i].Kind == event.Null {
				continue
			}
			if !first {
				b = append(b, ',')
			}
			first = false
			if k := fields[i].Kind; k == event.Number || k == event.Bool {
				b = append(b, fields[i].Value...)
			} else {
				b = event.AppendJSON(b, fields[i].Value)
			}
		}
		return append(b, ']')
	})
}
