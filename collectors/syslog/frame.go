package syslog

import (
	"bytes"

	"icewatch/collectors"
)

// framer takes messages out of the bytes of a TCP connection. RFC 6587 knows
// two framings, and a sender may use either for each message: a count of
// octets and a blank before it, or a line end (or NUL) behind it.
type framer struct {
	buf        []byte
	start, end int // buf[start:end] waits to be framed
	max        int // longest message, in bytes

	scanned  int  // bytes from start known to hold no line end
	counted  bool // the connection has counted octets before
	skip     int  // octets of an over-long frame still to pass over
	skipLine bool // the rest of an over-long line is to be passed over
	waitNUL  bool // the last byte is a NUL, which may end a message or be part of it
}

// lookahead is how many bytes behind a message may decide where it ends.
const lookahead = maxCountDigits + 4

// How the bytes of a connection end.
type ending uint8

const (
	open    ending = iota // more may come
	idle                  // nothing came for a while
	eof                   // the sender closed
	stopped               // we stop reading
)

var (
	marksTruncated  = []string{collectors.MarkTruncated}
	marksBadFraming = []string{collectors.MarkBadFraming}
	marksPartial    = []string{collectors.MarkPartial}
)

// maxCountDigits is how long a count of octets can be: 999 MB.
const maxCountDigits = 9

// next returns the next message, which stays valid until the buffer is filled
// again. ok is false where more bytes are needed.
func (f *framer) next(e ending) (msg []byte, marks []string, ok bool) {
	f.waitNUL = false
	for {
		if f.skip > 0 {
			n := min(f.skip, f.end-f.start)
			f.start += n
			f.skip -= n
		}
		if f.skipLine {
			i := bytes.IndexByte(f.buf[f.start:f.end], '\n')
			if i < 0 {
				f.start = f.end
			} else {
				f.start += i + 1
				f.skipLine = false
			}
		}
		b := f.buf[f.start:f.end]
		if len(b) == 0 {
			return nil, nil, false
		}
		c := b[0]
		if c == '\n' || c == '\r' || c == 0 {
			f.start++ // What a frame leaves behind, or an empty line.
			continue
		}
		if c >= '1' && c <= '9' {
			counted, more := f.count(b, e)
			if more {
				return nil, nil, false
			}
			if counted {
				msg, marks, ok = f.octets(b, e)
				if ok && len(msg) == 0 {
					continue
				}
				return msg, marks, ok
			}
		}
		msg, marks, ok = f.line(b, e)
		if ok && len(msg) == 0 {
			continue
		}
		return msg, marks, ok
	}
}

// count tells whether b starts with a count of octets, and whether more bytes
// are needed to tell.
func (f *framer) count(b []byte, e ending) (counted, more bool) {
	n := 0
	for n < len(b) && n <= maxCountDigits && b[n] >= '0' && b[n] <= '9' {
		n++
	}
	switch {
	case n > maxCountDigits:
		return false, false
	case n == len(b):
		return false, e <= idle
	case b[n] != ' ':
		return false, false
	case f.counted:
		return true, false
	case n+1 == len(b):
		return false, e <= idle
	}
	// A line may start with a number too, but a message starts with its
	// priority.
	return b[n+1] == '<', false
}

// octets reads a frame whose count stands at the start of b.
func (f *framer) octets(b []byte, e ending) (msg []byte, marks []string, ok bool) {
	n, size := 0, 0
	for b[size] != ' ' {
		n = n*10 + int(b[size]-'0')
		size++
	}
	size++
	f.counted = true
	body := b[size:]
	take := min(n, f.max)
	if len(body) < take {
		if e <= idle {
			return nil, nil, false
		}
		f.start = f.end
		return trimEnd(body), marksPartial, true // The sender owes the rest.
	}
	f.start += size + take
	if n > take {
		f.skip = n - take
		return body[:take], marksTruncated, true
	}
	return trimEnd(body[:take]), nil, true
}

// line reads up to a line end, or to a NUL behind which a message starts.
func (f *framer) line(b []byte, e ending) (msg []byte, marks []string, ok bool) {
	if f.counted && b[0] != '<' {
		// After counted frames a message starts with a count or a priority:
		// the count before was wrong. The line is kept, and framing goes on
		// behind it.
		marks = marksBadFraming
	}
	end, size := -1, 0
	if i := bytes.IndexByte(b[f.scanned:], '\n'); i >= 0 {
		end = f.scanned + i
		size = end + 1
	}
	text := b
	if end >= 0 {
		text = b[:end]
	}
	// A NUL near the end of what was there before may have waited for its
	// successor.
	for from := max(0, f.scanned-lookahead); ; {
		i := bytes.IndexByte(text[from:], 0)
		if i < 0 {
			break
		}
		from += i + 1
		if from-1 > f.max {
			break // The line is over-long whatever ends it, and is passed over to its line end.
		}
		if from < len(b) && (b[from] == '<' || startsCount(b[from:])) {
			end, size = from-1, from
			break
		}
		if from == len(b) {
			if e == open {
				f.waitNUL = true
			} else {
				end, size = from-1, from
			}
		}
		if from >= len(text) {
			break
		}
	}
	switch {
	case end > f.max || end < 0 && (len(b) > f.max+lookahead || e > idle && len(b) > f.max):
		f.scanned = 0
		if end >= 0 {
			f.start += size
		} else {
			f.start += f.max
			f.skipLine = true
		}
		return b[:f.max], marksTruncated, true
	case end >= 0:
		f.scanned = 0
		f.start += size
		return trimEnd(b[:end]), marks, true
	case e <= idle:
		f.scanned = len(b)
		return nil, nil, false
	}
	// Many senders leave the last line end away; only where we stop reading
	// the rest may be missing.
	f.scanned = 0
	f.start = f.end
	if e == stopped {
		marks = marksPartial
	}
	return trimEnd(b), marks, true
}

// startsCount tells whether b starts like a counted frame: 123 <
func startsCount(b []byte) bool {
	n := 0
	for n < len(b) && n <= maxCountDigits && b[n] >= '0' && b[n] <= '9' {
		n++
	}
	return n > 0 && n+1 < len(b) && b[n] == ' ' && b[n+1] == '<'
}

// trimEnd takes line ends and a closing NUL off a message.
func trimEnd(b []byte) []byte {
	for len(b) > 0 {
		switch b[len(b)-1] {
		case '\r', '\n', 0:
			b = b[:len(b)-1]
			continue
		}
		break
	}
	return b
}

// room makes place for at least want more bytes. It returns false where the
// buffer would have to exceed what the longest message needs.
func (f *framer) room(want int) bool {
	if len(f.buf)-f.end >= want {
		return true
	}
	if f.start > 0 {
		copy(f.buf, f.buf[f.start:f.end])
		f.end -= f.start
		f.start = 0
	}
	if len(f.buf)-f.end >= want {
		return true
	}
	limit := f.max + lookahead + want
	size := min(max(2*len(f.buf), f.end+want), limit)
	if size-f.end < want {
		return false
	}
	grown := make([]byte, size)
	copy(grown, f.buf[:f.end])
	f.buf = grown
	return true
}
