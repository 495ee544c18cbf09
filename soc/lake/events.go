package lake

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/logstorage"

	"icewatch/soc/event"
)

// Events asks for stored events as detection saw them, to be judged once more.
type Events struct {
	Accounts []uint32
	Filter   string // of a data scope, as of Query
	// Needs is LogsQL without pipes that events must pass; "" lets all pass. It
	// is made by us and is not looked at.
	Needs    string
	From, To uint64 // raw batches, both included
	Spans    []Span // of the events' times
	// Brief leaves all fields out: events have their id, times and tenant alone.
	Brief bool
	Alone bool // one worker answers, so that searches go first
}

// ReadEvents makes events anew of the rows that were stored of raw batches, in no
// order. What the lake does not keep they lack: fields without a value, whether a
// value was a number, and nanoseconds of event.created. event.original is there.
// An event is the receiver's to keep, and ids of fields are reg's.
func (l *Lake) ReadEvents(ctx context.Context, q Events, reg *event.Registry, emit func(event.Event) error) error {
	if len(q.Accounts) == 0 {
		return nil
	}
	batches, err := logstorage.ParseFilter(sequences(q.From, q.To))
	if err != nil {
		return fmt.Errorf("lake: events of batches: %w", err)
	}
	text := q.Needs
	if text == "" {
		text = "*"
	}
	if q.Alone {
		text = "options(concurrency=1) " + text
	}
	if q.Brief {
		text += fmt.Sprintf(" | fields _time, %q, %q, %q, %q", fieldID, fieldCreated, fieldTenant, fieldSequence)
	} else {
		text += " | delete _stream, _stream_id"
	}
	for _, s := range q.Spans {
		p, err := logstorage.ParseQuery(text)
		if err != nil {
			return fmt.Errorf("lake: events that pass %.200q: %w", q.Needs, err)
		}
		p.AddExtraFilters(batches)
		if err := (Query{Filter: q.Filter}).confine(p, time.Unix(0, s.From), time.Unix(0, s.To)); err != nil {
			return err
		}
		if err := l.readEvents(ctx, q.Accounts, p, reg, emit); err != nil {
			return err
		}
	}
	return nil
}

func (l *Lake) readEvents(ctx context.Context, accounts []uint32, p *logstorage.Query, reg *event.Registry, emit func(event.Event) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		mu   sync.Mutex
		fail error
		r    = recaller{reg: reg, out: renderer{whole: true}}
	)
	err := l.run(ctx, accounts, p, func(_ uint, db *logstorage.DataBlock) {
		mu.Lock()
		defer mu.Unlock()
		if fail != nil {
			return
		}
		r.block(db)
		for i := range db.RowsCount() {
			ev, err := r.event(i)
			if err == nil {
				err = emit(ev)
			}
			if err != nil {
				fail = err
				cancel(err)
				return
			}
		}
	})
	switch {
	case fail != nil:
		return fail
	case err != nil && context.Cause(ctx) != nil:
		return context.Cause(ctx)
	case err != nil:
		return fmt.Errorf("lake: read events: %w", err)
	}
	return nil
}

// recaller makes events of rows. Their texts lie in memory of its own that many
// share, since the library's is used again.
type recaller struct {
	reg    *event.Registry
	out    renderer
	cols   []logstorage.BlockColumn
	ids    []event.FieldID
	time   int
	id     int
	made   int
	tenant int
	msg    int

	room    []byte
	fields  []event.Field
	tenants map[string]string
	created struct {
		text string
		ns   int64
	}
	epoch string
}

const (
	roomSize  = 256 << 10
	fieldRoom = 4096
)

func (r *recaller) block(db *logstorage.DataBlock) {
	r.out.block(db.Columns)
	r.cols, r.ids = db.Columns, r.ids[:0]
	r.time, r.id, r.made, r.tenant, r.msg = -1, -1, -1, -1, -1
	for i, c := range db.Columns {
		id := event.FieldID(0)
		switch c.Name {
		case "_time":
			r.time = i
		case fieldID:
			r.id = i
		case fieldCreated:
			r.made = i
		case fieldTenant:
			r.tenant = i
		case fieldSequence, fieldRaw, fieldOriginal, "_msg", "_stream", "_stream_id":
		default:
			id, _ = r.reg.Intern(c.Name) // a full registry leaves the field out
			if c.Name == fieldMessage {
				r.msg = i
			}
		}
		r.ids = append(r.ids, id)
	}
}

var errNoEvent = errors.New("lake: a row without time or id")

func (r *recaller) event(i int) (ev event.Event, err error) {
	if r.time < 0 || r.id < 0 {
		return ev, errNoEvent
	}
	at, err := time.Parse(time.RFC3339Nano, r.cols[r.time].Values[i])
	if err != nil {
		return ev, fmt.Errorf("lake: the time of a row: %w", err)
	}
	ev.Time = at.UnixNano()
	id, ok := event.ParseID(r.cols[r.id].Values[i])
	if !ok {
		return ev, errNoEvent
	}
	if id.Epoch != r.epoch {
		r.epoch = strings.Clone(id.Epoch)
	}
	id.Epoch, ev.ID = r.epoch, id
	if r.made >= 0 {
		if text := r.cols[r.made].Values[i]; text != r.created.text {
			at, err := time.Parse(time.RFC3339Nano, text)
			if err != nil {
				at = time.Unix(0, 0)
			}
			r.created.text, r.created.ns = strings.Clone(text), at.UnixNano()
		}
		ev.Created = r.created.ns
	}
	if r.tenant >= 0 {
		ev.Tenant = r.slug(r.cols[r.tenant].Values[i])
	}
	if r.out.raw >= 0 || r.out.text >= 0 || r.out.msg >= 0 {
		ev.Raw = r.out.original(i)
		if ev.Raw == "" && r.out.text >= 0 {
			ev.Raw = r.keep(r.cols[r.out.text].Values[i])
		}
	}
	if n := len(r.cols) + 1; cap(r.fields)-len(r.fields) < n {
		r.fields = make([]event.Field, 0, max(fieldRoom, n))
	}
	from := len(r.fields)
	for c, id := range r.ids {
		if id == 0 {
			continue
		}
		if v := r.cols[c].Values[i]; v != "" {
			r.add(id, v)
		}
	}
	if ev.Raw != "" && (r.msg < 0 || r.cols[r.msg].Values[i] == "") && r.out.raw >= 0 && r.cols[r.out.raw].Values[i] != "" {
		r.fields = append(r.fields, event.Field{ID: event.Message, Value: ev.Raw}) // it was left out where it is the raw text
	}
	ev.Fields = r.fields[from:len(r.fields):len(r.fields)]
	return ev, nil
}

// add puts a value among the event's, or the values of an array.
func (r *recaller) add(id event.FieldID, v string) {
	if len(v) > 4 && v[0] == '[' && v[len(v)-1] == ']' {
		if list, ok := arrayOf(v); ok {
			for _, x := range list {
				r.fields = append(r.fields, event.Field{ID: id, Value: x})
			}
			return
		}
	}
	r.fields = append(r.fields, event.Field{ID: id, Value: r.keep(v)})
}

func (r *recaller) keep(v string) string {
	if len(v) > roomSize/8 {
		return strings.Clone(v)
	}
	if cap(r.room)-len(r.room) < len(v) {
		r.room = make([]byte, 0, roomSize)
	}
	start := len(r.room)
	r.room = append(r.room, v...)
	return unsafeText(r.room[start:])
}

func (r *recaller) slug(v string) string {
	if s, ok := r.tenants[v]; ok {
		return s
	}
	if r.tenants == nil || len(r.tenants) > 10_000 {
		r.tenants = map[string]string{}
	}
	s := strings.Clone(v)
	r.tenants[s] = s
	return s
}
