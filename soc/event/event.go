// Package event is the ground floor: the normalised event every other room
// speaks of. Field names are those of the Elastic Common Schema (ECS 9), flat
// and dotted. A name is interned to a small number once, so that the hot path
// compares numbers and allocates nothing per field. It imports nothing of ours.
package event

import (
	"strconv"
	"strings"
	"time"
)

// FieldID is the interned number of a field name. Zero is no field.
type FieldID uint32

// Kind says what a value was before it became text.
type Kind uint8

// The kinds of value an event field can hold.
const (
	String Kind = iota
	Number
	Bool
	Null
)

// Field is one name-value pair. An array is several fields with the same ID,
// in order. Value holds the literal text of a number or boolean, and is empty
// for null.
type Field struct {
	ID    FieldID
	Kind  Kind
	Value string
}

// ID places an event on the bus: the epoch of the stream, the sequence of its
// batch and its index in that batch. It is unique and ordered.
type ID struct {
	Epoch    string
	Sequence uint64
	Index    uint32
}

// String renders the ID as event.id: <epoch>-<sequence>-<index>.
func (id ID) String() string {
	b := make([]byte, 0, len(id.Epoch)+24)
	b = append(b, id.Epoch...)
	b = append(b, '-')
	b = strconv.AppendUint(b, id.Sequence, 10)
	b = append(b, '-')
	b = strconv.AppendUint(b, uint64(id.Index), 10)
	return string(b)
}

// ParseID reads what ID.String wrote. ok is false for any other text.
func ParseID(s string) (id ID, ok bool) {
	epoch, rest, found := strings.Cut(s, "-")
	if !found || epoch == "" {
		return ID{}, false
	}
	seq, index, found := strings.Cut(rest, "-")
	if !found {
		return ID{}, false
	}
	n, err := strconv.ParseUint(seq, 10, 64)
	if err != nil {
		return ID{}, false
	}
	i, err := strconv.ParseUint(index, 10, 32)
	if err != nil {
		return ID{}, false
	}
	return ID{Epoch: epoch, Sequence: n, Index: uint32(i)}, true
}

// Event is one normalised event. It is reused between batches: whoever keeps
// a part of it beyond the call that handed it over must copy that part.
type Event struct {
	ID      ID
	Time    int64  // @timestamp: when it happened, Unix nanoseconds
	Created int64  // event.created: when it reached us, Unix nanoseconds
	Tenant  string // slug of the tenant; never empty after the pipeline's ownership step
	Raw     string // event.original
	Fields  []Field
}

// Reset empties e for reuse and keeps its memory.
func (e *Event) Reset() {
	clear(e.Fields)
	*e = Event{Fields: e.Fields[:0]}
}

// Get returns the first value of a field.
func (e *Event) Get(id FieldID) (string, bool) {
	for i := range e.Fields {
		if e.Fields[i].ID == id {
			return e.Fields[i].Value, e.Fields[i].Kind != Null
		}
	}
	return "", false
}

// Text returns the first value of a field, or "" where there is none.
func (e *Event) Text(id FieldID) string {
	s, _ := e.Get(id)
	return s
}

// Has tells whether the field exists, be it null.
func (e *Event) Has(id FieldID) bool {
	for i := range e.Fields {
		if e.Fields[i].ID == id {
			return true
		}
	}
	return false
}

// Set puts a text in place of every earlier value of the field.
func (e *Event) Set(id FieldID, value string) {
	for i := range e.Fields {
		if e.Fields[i].ID != id {
			continue
		}
		e.Fields[i] = Field{ID: id, Value: value}
		rest := e.Fields[:i+1]
		for _, f := range e.Fields[i+1:] {
			if f.ID != id {
				rest = append(rest, f)
			}
		}
		e.Fields = rest
		return
	}
	e.Fields = append(e.Fields, Field{ID: id, Value: value})
}

// SetDefault sets the field only where it has no value yet.
func (e *Event) SetDefault(id FieldID, value string) {
	if value != "" && !e.Has(id) {
		e.Fields = append(e.Fields, Field{ID: id, Value: value})
	}
}

// SetInt sets the field to a number.
func (e *Event) SetInt(id FieldID, n int64) {
	e.Set(id, strconv.FormatInt(n, 10))
	for i := range e.Fields {
		if e.Fields[i].ID == id {
			e.Fields[i].Kind = Number
			return
		}
	}
}

// Add appends a value: a second one makes the field an array.
func (e *Event) Add(id FieldID, value string) {
	e.Fields = append(e.Fields, Field{ID: id, Value: value})
}

// Delete removes every value of the field.
func (e *Event) Delete(id FieldID) {
	rest := e.Fields[:0]
	for _, f := range e.Fields {
		if f.ID != id {
			rest = append(rest, f)
		}
	}
	e.Fields = rest
}

// Mark adds a note about what the pipeline had to change in the event
// (icewatch.marks), so that an alteration is never silent.
func (e *Event) Mark(mark string) {
	for _, f := range e.Fields {
		if f.ID == Marks && f.Value == mark {
			return
		}
	}
	e.Add(Marks, mark)
}

// Timestamp returns Time as UTC.
func (e *Event) Timestamp() time.Time { return time.Unix(0, e.Time).UTC() }
