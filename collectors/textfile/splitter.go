package textfile

import (
	"bytes"
	"fmt"
	"regexp"
)

// Options say what an event is.
type Options struct {
	Encoding Encoding
	// Start matches the first line of an event; lines that it does not match
	// belong to the event before. nil makes each line an event.
	Start *regexp.Regexp
	// MaxBytes bounds an event in bytes, of the file and of its text; the rest of
	// a longer one is left out, and Event.Cut says so.
	MaxBytes int
	// MaxLines bounds the lines of an event; the next line begins another.
	MaxLines int
}

// Event is a line, or lines that belong together, without the last line's end.
type Event struct {
	Text     []byte // in UTF-8; its own memory
	Offset   int64  // where it begins in the file
	Size     int    // how many bytes of the file it takes, with its line ends
	Cut      bool   // a part of it is left out
	Open     bool   // the file ended within its last line
	Replaced bool   // bytes that are no text in the file's encoding were replaced
}

// Splitter cuts a file's bytes into events. It keeps what is not complete: at
// most MaxBytes and a chunk of Write.
type Splitter struct {
	opts  Options
	buf   []byte // bytes of the file from place on
	place int64  // where buf begins in the file
	seen  int    // bytes of buf known to hold no line end
	long  int    // bytes of the present line that were left out behind those in buf
	odd   byte   // the last of them
	cur   Event  // the event that is being gathered, where lines is above 0
	lines int
	ready []Event
}

// NewSplitter starts at a file's byte offset, which is the beginning of a line.
// Encoding must be one that Sniff returned.
func NewSplitter(o Options, offset int64) (*Splitter, error) {
	if o.MaxBytes < 16 || o.MaxLines < 1 {
		return nil, fmt.Errorf("textfile: an event of %d bytes and %d lines is no bound", o.MaxBytes, o.MaxLines)
	}
	return &Splitter{opts: o, place: offset}, nil
}

// Write takes the next bytes of the file. It always takes all.
func (s *Splitter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if s.long > 0 {
			p = s.skip(p)
			continue
		}
		take := min(len(p), max(64<<10, s.opts.MaxBytes+4-len(s.buf)))
		s.buf = append(s.buf, p[:take]...)
		p = p[take:]
		s.cut()
	}
	return n, nil
}

// skip leaves out bytes of a line that is too long, up to its end, and returns
// what comes behind it.
func (s *Splitter) skip(p []byte) []byte {
	if s.opts.Encoding >= UTF16 && s.long&1 == 1 { // A line end may be one byte here and one there.
		s.long++
		if at, _ := s.opts.Encoding.Newline([]byte{s.odd, p[0]}, 0); at == 0 {
			s.finish()
		}
		return p[1:]
	}
	at, size := s.opts.Encoding.Newline(p, 0)
	if at < 0 {
		s.long += len(p)
		s.odd = p[len(p)-1]
		return nil
	}
	s.long += at + size
	s.finish()
	return p[at+size:]
}

// finish ends a line of which a part was left out.
func (s *Splitter) finish() {
	n := len(s.buf) + s.long
	s.line(s.buf, n, true, false)
	s.place += int64(n)
	s.buf, s.long, s.seen = s.buf[:0], 0, 0
}

// cut takes the complete lines out of buf.
func (s *Splitter) cut() {
	from := 0
	for {
		rest := s.buf[from:]
		at, size := s.opts.Encoding.Newline(rest, min(s.seen, len(rest)))
		s.seen = 0
		if at < 0 {
			s.seen = len(rest) &^ 1
			break
		}
		limit := s.opts.MaxBytes &^ 1
		s.line(rest[:min(at, limit)], at+size, at > limit, false)
		s.place += int64(at + size)
		from += at + size
	}
	s.buf = append(s.buf[:0], s.buf[from:]...)
	if keep := s.opts.MaxBytes &^ 1; len(s.buf) > keep+4 { // Longer than the bound, even without its end.
		s.long = len(s.buf) - keep
		s.odd = s.buf[len(s.buf)-1]
		s.buf, s.seen = s.buf[:keep], 0
	}
}

// line takes one line of size bytes with its end.
func (s *Splitter) line(raw []byte, size int, cut, open bool) {
	text, replaced := s.opts.Encoding.Decode(raw)
	text = bytes.TrimSuffix(text, []byte{'\r'})
	begins := s.opts.Start == nil || s.lines >= s.opts.MaxLines || s.opts.Start.Match(text)
	if begins || s.lines == 0 {
		s.flush()
		s.cur = Event{Text: append([]byte(nil), text[:min(len(text), s.opts.MaxBytes)]...), Offset: s.place}
	} else {
		room := s.opts.MaxBytes - len(s.cur.Text) - 1
		if room <= 0 || len(text) > room {
			s.cur.Cut = true
		}
		if room > 0 {
			s.cur.Text = append(append(s.cur.Text, '\n'), text[:min(len(text), room)]...)
		}
	}
	s.lines++
	s.cur.Size += size
	s.cur.Cut = s.cur.Cut || cut || len(text) > s.opts.MaxBytes
	s.cur.Open = open
	s.cur.Replaced = s.cur.Replaced || replaced
	if s.opts.Start == nil {
		s.flush()
	}
}

// flush makes the gathered event ready.
func (s *Splitter) flush() {
	if s.lines > 0 {
		if s.cur.Cut {
			s.cur.Text = whole(s.cur.Text)
		}
		s.ready = append(s.ready, s.cur)
	}
	s.cur, s.lines = Event{}, 0
}

// Next returns the next complete event. Empty ones are returned as well, since
// the place moves over them.
func (s *Splitter) Next() (Event, bool) {
	if len(s.ready) == 0 {
		return Event{}, false
	}
	e := s.ready[0]
	s.ready = s.ready[1:]
	return e, true
}

// Rest ends the file: what is left becomes ready for Next.
func (s *Splitter) Rest() {
	switch {
	case s.long > 0:
		n := len(s.buf) + s.long
		s.line(s.buf, n, true, true)
		s.place += int64(n)
	case len(s.buf) > 0:
		n := len(s.buf)
		s.line(s.buf[:min(n, s.opts.MaxBytes)], n, n > s.opts.MaxBytes, true)
		s.place += int64(n)
	}
	s.buf, s.long, s.seen = s.buf[:0], 0, 0
	s.flush()
}

// Pending tells whether bytes were taken that no event has yet.
func (s *Splitter) Pending() bool { return len(s.buf) > 0 || s.long > 0 || s.lines > 0 }

// whole leaves out a character that was cut.
func whole(text []byte) []byte {
	for back := 1; back <= 3 && back <= len(text); back++ {
		c := text[len(text)-back]
		if c < 0x80 {
			return text
		}
		if c >= 0xC0 {
			if need := size(c); need > back {
				return text[:len(text)-back]
			}
			return text
		}
	}
	return text
}

func size(lead byte) int {
	switch {
	case lead >= 0xF0:
		return 4
	case lead >= 0xE0:
		return 3
	}
	return 2
}
