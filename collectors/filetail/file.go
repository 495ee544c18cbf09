package filetail

import (
	"bytes"
	"io"
	"os"
	"syscall"
	"time"
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
	closing bool // to be closed with what it has: it was truncated or is gone
	dead    bool // the file has other content by now and must not be read any further
}

func identify(info os.FileInfo) identity {
	st := info.Sys().(*syscall.Stat_t)
	return identity{Dev: uint64(st.Dev), Inode: st.Ino}
}

func newFile(f *os.File, pos *position, now time.Time) *file {
	return &file{pos: pos, f: f, start: pos.Offset, next: pos.Offset, nextSkip: pos.Skip, grown: now, present: true}
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

// line is one line of a file.
type line struct {
	text   []byte // without its line end; valid until the file is filled again
	offset int64
	cut    bool // the line was longer than allowed
	open   bool // it has no line end
}

// lines calls f for each complete line in the buffer until it returns false,
// and takes them out. flush takes a last line without an end too.
func (t *file) lines(limit int, flush bool, f func(line) bool) {
	at := 0
	for at < len(t.buf) {
		rest := t.buf[at:]
		n := bytes.IndexByte(rest[min(t.scanned, len(rest)):], '\n')
		if n >= 0 {
			n += min(t.scanned, len(rest))
		}
		t.scanned = 0
		if t.nextSkip {
			if n < 0 {
				at = len(t.buf)
				break
			}
			at += n + 1
			t.nextSkip = false
			continue
		}
		l := line{offset: t.start + int64(at)}
		switch {
		case n > limit || n < 0 && len(rest) > limit:
			l.text, l.cut = rest[:limit], true
			if n >= 0 {
				at += n + 1
			} else {
				at = len(t.buf)
				t.nextSkip = true
			}
		case n >= 0:
			l.text = bytes.TrimSuffix(rest[:n], []byte{'\r'})
			at += n + 1
		case flush:
			l.text, l.open = bytes.TrimSuffix(rest, []byte{'\r'}), true
			at = len(t.buf)
		default:
			t.scanned = len(rest)
			t.take(at)
			return
		}
		if len(l.text) > 0 && !f(l) {
			break
		}
	}
	t.take(at)
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

// commit makes the position what the sink has acknowledged.
func (t *file) commit() bool {
	if t.pos.Offset == t.next && t.pos.Skip == t.nextSkip {
		return false
	}
	t.pos.Offset, t.pos.Skip = t.next, t.nextSkip
	return true
}
