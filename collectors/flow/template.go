package flow

import (
	"bytes"
	"encoding/binary"
	"slices"
	"time"

	"github.com/netsampler/goflow2/v2/decoders/netflow"
)

// template is a template as it came and as it is used.
type template struct {
	Fields []netflow.Field `json:"fields"`
	Scopes int             `json:"scopes,omitempty"` // of an options template, how many of the fields are its scope
	Option bool            `json:"option,omitempty"`

	columns []column
	least   int // bytes of a record at least
}

// waitingSet is a data set that came before its template.
type waitingSet struct {
	id   uint16
	head head
	data []byte
	at   time.Time
}

// learn takes a template in, and decodes what waited for it.
func (d *decoder) learn(s *session, id uint16, t *template) {
	if id < 256 {
		return // An IPFIX withdrawal of all templates, which over UDP is not used (RFC 7011, 8.4).
	}
	if len(t.Fields) == 0 {
		delete(s.templates, id)
		d.changed = true
		return
	}
	old := s.templates[id]
	if old != nil && old.Option == t.Option && old.Scopes == t.Scopes && slices.Equal(old.Fields, t.Fields) {
		return
	}
	if len(t.Fields) > maxFields || old == nil && len(s.templates) >= maxTemplates || !t.prepare(s.key.version) {
		s.stats.BadTemplates++
		return
	}
	s.templates[id] = t
	d.changed = true
	kept := s.waiting[:0]
	var ready []waitingSet
	for _, w := range s.waiting {
		if w.id == id {
			ready = append(ready, w)
			s.waitBytes -= len(w.data)
			d.waiting -= len(w.data)
		} else {
			kept = append(kept, w)
		}
	}
	s.waiting = kept
	for _, w := range ready {
		d.dataSet(s, w.head, w.id, w.data)
	}
}

// prepare readies a template for use; ok is false where its records would be of
// no length, so that there would be no end of them, or shorter than any flow.
func (t *template) prepare(version uint16) (ok bool) {
	t.columns = make([]column, len(t.Fields))
	t.least = 0
	for i, f := range t.Fields {
		// The library leaves the enterprise bit in the numbers of options.
		if f.PenProvided {
			f.Type &= 0x7fff
		}
		t.columns[i] = columnOf(f)
		if t.Option && version == 9 && i < t.Scopes {
			// The scopes of NetFlow v9 have numbers of their own.
			t.columns[i].id = 0
			if f.Type == scopeInterface {
				t.columns[i].id, t.columns[i].kind = ieInputSNMP, number
			}
		}
		if version == 10 && f.Length == variableLength {
			t.least++
		} else {
			t.least += int(f.Length)
		}
	}
	return t.least >= leastFlow || t.Option && t.least > 0
}

// wait keeps a set until its template comes, as long as there is room; the
// oldest give way.
func (d *decoder) wait(s *session, h head, id uint16, body []byte) {
	s.stats.Early++
	d.expire(s)
	for len(s.waiting) > 0 && (len(s.waiting) >= maxWaiting || s.waitBytes+len(body) > maxWaitingBytes || d.waiting+len(body) > maxWaitingOverall) {
		d.giveUp(s, 1)
	}
	if s.waitBytes+len(body) > maxWaitingBytes || d.waiting+len(body) > maxWaitingOverall {
		s.stats.Undecoded++
		return
	}
	s.waiting = append(s.waiting, waitingSet{id, h, bytes.Clone(body), d.now()})
	s.waitBytes += len(body)
	d.waiting += len(body)
}

// expire gives up the sets of a session that have waited too long.
func (d *decoder) expire(s *session) {
	before := d.now().Add(-waitingTime)
	n := 0
	for n < len(s.waiting) && s.waiting[n].at.Before(before) {
		n++
	}
	d.giveUp(s, n)
}

func (d *decoder) giveUp(s *session, n int) {
	for _, w := range s.waiting[:n] {
		s.waitBytes -= len(w.data)
		d.waiting -= len(w.data)
		s.stats.Undecoded++
	}
	s.waiting = append(s.waiting[:0], s.waiting[n:]...)
}

// cut takes one record off body.
func (t *template) cut(body []byte, values [][]byte, version uint16) (rest []byte, ok bool) {
	for i := range t.columns {
		n := int(t.columns[i].length)
		if n == variableLength && version == 10 { // RFC 7011, 7
			if len(body) < 1 {
				return nil, false
			}
			n, body = int(body[0]), body[1:]
			if n == 255 {
				if len(body) < 2 {
					return nil, false
				}
				n, body = int(binary.BigEndian.Uint16(body)), body[2:]
			}
		}
		if n > len(body) {
			return nil, false
		}
		values[i], body = body[:n:n], body[n:]
	}
	return body, true
}
