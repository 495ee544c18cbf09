package engine

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"

	"icewatch/detections"
)

// snapshotMark is the first byte of a snapshot that holds more than the
// correlation's, whose own first byte is its version, a small number.
const snapshotMark = 0xE2

// memory is what detection remembers beside the correlation windows.
type memory struct {
	Clock    int64                   `json:"clock"`
	Floods   map[string]remembered   `json:"floods,omitempty"` // by rule id
	Leftover []detections.Occurrence `json:"leftover,omitempty"`
}

// remembered is a rule's account of its flood, for as long as its text stays.
type remembered struct {
	Text  string `json:"text"` // the digest of the rule's
	Flood *flood `json:"flood"`
}

// Snapshot returns what detection remembers, to be stored together with the
// detection position: correlation windows, and what is held back in floods.
func (e *Engine) Snapshot() ([]byte, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	m := memory{Clock: e.clock, Floods: map[string]remembered{}, Leftover: e.leftover}
	for _, list := range [][]compiled{e.rules, e.counts} {
		for i := range list {
			c := &list[i]
			// A window that is over says nothing any more.
			if f := &c.record.flood; f.Since != 0 || f.Count > 0 && e.flood.Rate > 0 && e.clock-f.From < int64(e.flood.Window) {
				m.Floods[c.ID] = remembered{hash(c.record.text), f}
			}
		}
	}
	more, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("engine: snapshot: %w", err)
	}
	out := binary.AppendUvarint([]byte{snapshotMark}, uint64(len(more)))
	return append(append(out, more...), e.state.Snapshot()...), nil
}

// Restore takes a snapshot back. Call it after Swap: what belongs to rules that
// are no longer there, or have changed, is dropped; occurrences that were held
// back for them are raised all the same.
func (e *Engine) Restore(data []byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	var m memory
	windows := data
	if len(data) > 0 && data[0] == snapshotMark {
		n, size := binary.Uvarint(data[1:])
		if size <= 0 || n > uint64(len(data)-1-size) {
			return fmt.Errorf("engine: restore %d bytes: the snapshot is cut off", len(data))
		}
		more := data[1+size:][:n]
		windows = data[1+size+int(n):]
		if err := json.NewDecoder(bytes.NewReader(more)).Decode(&m); err != nil {
			return fmt.Errorf("engine: restore %d bytes: %w", len(data), err)
		}
	}
	closed, err := e.state.Restore(windows)
	if err != nil {
		return fmt.Errorf("engine: restore %d bytes: %w", len(data), err)
	}
	e.closed(closed, titles(e.counts))
	e.clock = m.Clock
	e.swept = m.Clock / 1e9
	e.leftover = append(e.leftover[:0], m.Leftover...)
	e.flooding = e.flooding[:0]
	for _, list := range [][]compiled{e.rules, e.counts} {
		for i := range list {
			c := &list[i]
			had, ok := m.Floods[c.ID]
			if !ok || had.Flood == nil || had.Text != hash(c.record.text) {
				continue
			}
			delete(m.Floods, c.ID)
			c.record.flood = *had.Flood
			for _, g := range c.record.flood.Groups {
				if c.record.flood.index == nil {
					c.record.flood.index = map[string]*withheld{}
				}
				c.record.flood.index[g.Key] = g
			}
			if c.record.flood.Since != 0 {
				e.flooding = append(e.flooding, c.record)
			}
		}
	}
	for _, gone := range m.Floods {
		if gone.Flood != nil {
			e.leftover = append(e.leftover, gone.Flood.leave()...)
		}
	}
	return nil
}

// leave gives what is held back of a rule that is gone, as it stands.
func (f *flood) leave() (out []detections.Occurrence) {
	for _, g := range f.Groups {
		if g.N > 0 {
			o := g.Occ
			o.Held, o.EventIDs = g.N, lastIDs(o.EventIDs)
			out = append(out, o)
		}
	}
	return out
}
