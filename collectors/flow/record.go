package flow

import (
	"math"
	"net/netip"
	"strconv"
)

// record is one flow on its way out. text is valid during the call only.
type record struct {
	peer netip.Addr
	at   int64 // Unix nanoseconds when the flow ended; 0 where it does not say
	text []byte
}

// written is one record in buf.
type written struct {
	end int
	at  int64
}

// head is what the records of a message have in common.
type head struct {
	exported int64 // Unix milliseconds
	uptime   int64 // milliseconds since the exporter's start; -1 where it does not say
	sequence uint32
}

// times are when a flow began and ended, in Unix milliseconds; 0 where it does
// not say.
type times struct{ start, end int64 }

// sysUpTime turns milliseconds since the exporter's start into a time.
func (h *head) sysUpTime(ms uint32) int64 {
	if h.uptime < 0 || h.exported == 0 {
		return 0
	}
	// Both wrap after 49.7 days; a flow ended before it was exported, or at
	// most a little after by the exporter's own clock.
	ago := int64(int32(uint32(h.uptime) - ms))
	return h.exported - ago
}

// open begins a record: what the message and the session say, then the flow's
// own members.
func (d *decoder) open(s *session, kind string, id uint16, h head, sampling uint32, t times) []byte {
	b := append(d.buf, `{"type":"`...)
	b = append(b, kind...)
	b = append(b, `","exporter":`...)
	b = append(b, s.peer...)
	if s.key.agent.IsValid() {
		b = append(b, `,"agent":"`...)
		b = s.key.agent.AppendTo(b)
		b = append(b, '"')
	}
	number := func(key string, n int64) {
		b = append(append(append(b, `,"`...), key...), `":`...)
		b = strconv.AppendInt(b, n, 10)
	}
	number("domain", int64(s.key.domain))
	if id != 0 {
		number("template", int64(id))
	}
	number("sequence", int64(h.sequence))
	if h.exported > 0 {
		number("exported", h.exported)
	}
	if sampling > 0 {
		number("sampling", int64(sampling))
	}
	if t.start > 0 {
		number("start", t.start)
	}
	if t.end > 0 {
		number("end", t.end)
	}
	return append(b, `,"flow":{`...)
}

// close ends a record and hands it over.
func (d *decoder) close(s *session, b []byte, t times) {
	b = append(b, '}', '}')
	d.buf = b
	s.stats.Flows++
	at := int64(0)
	if t.end > 0 && t.end < math.MaxInt64/1_000_000 {
		at = t.end * 1e6
	}
	d.done = append(d.done, written{len(b), at})
}
