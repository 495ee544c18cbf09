package filetail

import (
	"bytes"
	"io"
	"os"
	"regexp"
	"time"
	"unicode/utf8"

	"icewatch/collectors"
	"icewatch/collectors/textfile"
)

// file is one file that is being followed.
type file struct {
	pos   *position
	f     *os.File
	start int64  // file offset of buf[0]
	buf   []byte // bytes read and not yet taken as lines
	// next is what the position becomes when the present batch has been
	// acknowledged.
	next     int64
	nextSkip bool

	size    int64     // as last seen
	changed time.Time // its modification time as last seen
	grown   time.Time
	present bool // a path of the configuration leads here
	scanned int  // bytes of buf known to hold no line end

	text    *reading
	sniffed bool // the beginning has been looked at
	enc     textfile.Encoding
	event   gathering // the lines of an event of several, so far
	closing bool      // to be closed with what it has: it was truncated or is gone
	dead    bool      // the file has other content by now and must not be read any further
}

// reading is how the files of a collector become events.
type reading struct {
	enc      textfile.Encoding
	auto     bool           // each file tells its encoding
	start    *regexp.Regexp // matches the first line of an event; nil makes each line one
	maxBytes int            // of a line, and of an event
	maxLines int
	wait     time.Duration // how long an event waits for more lines
}

func newFile(f *os.File, pos *position, text *reading, now time.Time) *file {
	return &file{pos: pos, f: f, text: text, start: pos.Offset, next: pos.Offset, nextSkip: pos.Skip, grown: now, present: true}
}

// sniff looks at a file's beginning for a byte order mark. It returns false
// where too little is there to know.
func (t *file) sniff() bool {
	if t.sniffed {
		return true
	}
	head := make([]byte, 3)
	n, _ := t.f.ReadAt(head, 0)
	head = head[:n]
	if n == 0 || n < 3 && !t.closing && mayBeMark(head) {
		return false
	}
	t.sniffed = true
	skip := 0
	t.enc, skip = t.text.enc.Sniff(head)
	if t.text.auto && t.pos.Encoding != "" && skip == 0 {
		t.enc, _ = textfile.Parse(t.pos.Encoding) // It was found before.
	}
	if t.start == 0 && skip > 0 {
		t.start, t.next = int64(skip), int64(skip)
	}
	return true
}

// mayBeMark tells whether a text shorter than 3 bytes may begin a byte order mark.
func mayBeMark(head []byte) bool {
	for _, mark := range []string{"\xef\xbb\xbf", "\xff\xfe", "\xfe\xff"} {
		if len(head) < len(mark) && string(head) == mark[:len(head)] {
			return true
		}
	}
	return false
}

// detect decides a file's encoding by its first line that is not of ASCII.
func (t *file) detect(raw []byte) {
	if !t.text.auto || t.enc != textfile.UTF8 || t.pos.Encoding != "" {
		return
	}
	for _, c := range raw {
		if c >= utf8.RuneSelf {
			if !utf8.Valid(raw) {
				t.enc = textfile.GB18030
			}
			t.pos.Encoding = t.enc.String()
			return
		}
	}
}

// chunk is how much of a file is read in one go, in bytes.
const chunk = 128 << 10

// fill reads on, as far as the file was seen to reach. It returns how many
// bytes came. It never writes over bytes that were handed out.
func (t *file) fill() (int, error) {
	want := int(min(chunk, t.size-t.start-int64(len(t.buf))))
	if want <= 0 || t.dead {
		return 0, nil
	}
	if !t.sniff() {
		return 0, nil
	}
	if want = int(min(chunk, t.size-t.start-int64(len(t.buf)))); want <= 0 {
		return 0, nil // There is nothing but a byte order mark.
	}
	have := len(t.buf)
	if cap(t.buf) < have+want {
		size := have + want
		if have > 0 {
			size = max(size, min(2*have, have+16<<20)) // A long line grows by doubling.
		}
		grown := make([]byte, have, size)
		copy(grown, t.buf)
		t.buf = grown
	}
	n, err := t.f.ReadAt(t.buf[have:have+want], t.start+int64(have))
	t.buf = t.buf[:have+n]
	if err == io.EOF {
		err = nil
	}
	return n, err
}

// line is one event of a file: a line, or several that belong together.
type line struct {
	text     []byte // in UTF-8, without its line end; valid until the file is filled again
	offset   int64
	size     int  // bytes of the file, without the last line's end
	cut      bool // it was longer than allowed
	open     bool // it has no line end
	replaced bool // bytes that are no text in the file's encoding were replaced
}

// gathering is an event of several lines of which more may come.
type gathering struct {
	line
	lines int
	last  time.Time // when its latest line came
}

// lines calls f for each complete event in the buffer and takes them out. flush
// takes a last line without an end, and an event that waits for more lines, too.
func (t *file) lines(flush bool, f func(line)) {
	limit := t.text.maxBytes &^ 1
	at := 0
	for at < len(t.buf) {
		rest := t.buf[at:]
		n, size := t.enc.Newline(rest, min(t.scanned, len(rest)))
		t.scanned = 0
		if t.nextSkip {
			if n < 0 {
				at = len(t.buf)
				if t.enc >= textfile.UTF16 && !flush {
					at -= len(rest) % 2 // It may be half a line end.
				}
				break
			}
			at += n + size
			t.nextSkip = false
			continue
		}
		l := line{offset: t.start + int64(at)}
		raw := rest
		switch {
		case n > limit || n < 0 && (len(rest) > limit+1 || flush && len(rest) > limit):
			raw, l.cut = rest[:limit], true
			switch {
			case n >= 0:
				at += n + size
			default:
				at += len(rest)
				if t.enc >= textfile.UTF16 {
					at -= len(rest) % 2
				}
				t.nextSkip = true
			}
		case n >= 0:
			raw = rest[:n]
			at += n + size
		case flush:
			l.open = true
			at = len(t.buf)
		default:
			t.scanned = len(rest) &^ 1
			t.take(at)
			return
		}
		t.detect(raw)
		if t.enc < textfile.UTF16 {
			raw = bytes.TrimSuffix(raw, []byte{'\r'})
		}
		l.size = len(raw)
		l.text, l.replaced = t.enc.Decode(raw)
		if t.enc >= textfile.UTF16 {
			l.text = bytes.TrimSuffix(l.text, []byte{'\r'})
		}
		t.gather(l, f)
	}
	t.take(at)
	if flush {
		t.complete(f)
	}
}

// gather puts a line to the event that it belongs to.
func (t *file) gather(l line, f func(line)) {
	if t.text.start == nil {
		if len(l.text) > 0 {
			f(l)
		}
		return
	}
	e := &t.event
	if e.lines == 0 || e.lines >= t.text.maxLines || t.text.start.Match(l.text) {
		t.complete(f)
		if len(l.text) == 0 {
			return // No event begins with an empty line that says nothing.
		}
		*e = gathering{line: l, lines: 1, last: time.Now()}
		e.text = append(make([]byte, 0, 2*len(l.text)), l.text...)
		return
	}
	e.lines, e.last = e.lines+1, time.Now()
	e.size = int(l.offset-e.offset) + l.size
	e.open, e.replaced, e.cut = l.open, e.replaced || l.replaced, e.cut || l.cut
	if room := t.text.maxBytes - len(e.text) - 1; room >= len(l.text) {
		e.text = append(append(e.text, '\n'), l.text...)
	} else {
		e.cut = true
		if room > 0 {
			e.text = append(append(e.text, '\n'), collectors.Cut(l.text, room)...)
		}
	}
}

// complete ends the event of several lines, where there is one.
func (t *file) complete(f func(line)) {
	if t.event.lines > 0 {
		e := t.event.line
		t.event = gathering{}
		f(e)
	}
}

// idle tells whether an event has waited long enough for more lines.
func (t *file) idle(now time.Time) bool {
	return t.event.lines > 0 && now.Sub(t.event.last) > t.text.wait
}

// take removes the first n bytes of the buffer. Lines handed out before stay
// valid: the memory is left alone until fill.
func (t *file) take(n int) {
	t.start += int64(n)
	t.next = t.start
	t.buf = t.buf[n:]
	if len(t.buf) == 0 {
		t.buf = nil
	}
}

// commit makes the position what the sink has acknowledged. An event that waits
// for more lines is read again from its beginning.
func (t *file) commit() bool {
	next, skip := t.next, t.nextSkip
	if t.event.lines > 0 {
		next, skip = t.event.offset, false
	}
	if t.pos.Offset == next && t.pos.Skip == skip {
		return false
	}
	t.pos.Offset, t.pos.Skip = next, skip
	return true
}
