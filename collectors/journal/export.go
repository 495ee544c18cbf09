// Package journal takes in the journal of systemd, in its export format
// (https://systemd.io/JOURNAL_EXPORT_FORMATS/): sent by systemd-journal-upload
// over HTTP to a listener of its own, in the place of systemd-journal-remote, or
// read from the journal of this machine by running journalctl.
//
// A record is a JSON object in the form that journalctl -o json has; the
// pipeline knows its fields. Its id is the entry's cursor, so that an entry that
// is sent or read again is stored once.
package journal

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"icewatch/collectors"
	"icewatch/soc/event"
	"icewatch/soc/intake"
)

// Bounds of an entry. What is longer is read past; the entry is marked.
const (
	maxFields = 1024
	maxName   = 64      // bytes of a field's name, as journald itself has it
	maxKept   = 1 << 20 // bytes of an entry's values that are kept
	maxSize   = 1 << 30 // bytes that a value may say it has
)

// Entry is one entry of a journal.
type Entry struct {
	Cursor string
	Time   time.Time // when it was written to the journal; zero where it does not say
	Cut    bool      // values, or parts of them, were left out
	fields []field
}

type field struct{ name, value string }

// SyntaxError says where a stream leaves the format.
type SyntaxError struct {
	Offset int64
	Reason string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("byte %d: this is not the journal's export format: %s", e.Offset, e.Reason)
}

// Reader reads entries from a stream.
type Reader struct {
	r      *bufio.Reader
	offset int64
}

// NewReader reads from r.
func NewReader(r io.Reader) *Reader { return &Reader{r: bufio.NewReaderSize(r, 64<<10)} }

// Buffered is how many bytes can be read without waiting.
func (r *Reader) Buffered() int { return r.r.Buffered() }

// Next reads an entry. The error is io.EOF behind the last one,
// io.ErrUnexpectedEOF where the stream ends within one, which is not returned
// then, or a *SyntaxError.
func (r *Reader) Next() (Entry, error) {
	var e Entry
	kept, any := 0, false
	for {
		name, value, inline, err := r.line(maxKept - kept)
		switch {
		case err == io.EOF && !any:
			return Entry{}, io.EOF
		case err == io.EOF:
			return Entry{}, io.ErrUnexpectedEOF
		case err != nil:
			return Entry{}, err
		}
		if len(name) == 0 && !inline.has {
			if any {
				return e, nil
			}
			continue // Empty lines may stand between entries.
		}
		any = true
		if !validName(name) {
			return Entry{}, &SyntaxError{r.offset, "a field has the name " + strconv.Quote(string(name[:min(len(name), maxName)])) + "; names have upper-case letters, digits and underscores"}
		}
		f := field{name: string(name), value: string(value)}
		cut := inline.cut
		if !inline.has {
			if f.value, cut, err = r.binary(maxKept - kept); err != nil {
				return Entry{}, err
			}
		}
		e.Cut = e.Cut || cut
		switch f.name {
		case "__CURSOR":
			e.Cursor = f.value
		case "__REALTIME_TIMESTAMP":
			if us, err := strconv.ParseInt(f.value, 10, 64); err == nil && us > 0 && us < 1<<53 {
				e.Time = time.UnixMicro(us)
			}
		}
		if len(e.fields) >= maxFields || cut && f.value == "" {
			e.Cut = true
			continue
		}
		kept += len(f.value)
		e.fields = append(e.fields, f)
	}
}

// inlined tells of a line whether it has its value behind a =.
type inlined struct{ has, cut bool }

// line reads a line: NAME=VALUE, or NAME alone, whose value follows. At most
// room bytes of the value are kept.
func (r *Reader) line(room int) (name, value []byte, in inlined, err error) {
	var text []byte
	total := 0
	for {
		piece, err := r.r.ReadSlice('\n')
		r.offset += int64(len(piece))
		total += len(piece)
		if keep := maxName + 1 + room - len(text); keep > 0 {
			text = append(text, piece[:min(len(piece), keep)]...)
		}
		if err == bufio.ErrBufferFull {
			if total > maxSize {
				return nil, nil, in, &SyntaxError{r.offset, "a line does not end"}
			}
			continue
		}
		if err == io.EOF && total > 0 {
			return nil, nil, in, io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, nil, in, err
		}
		break
	}
	in.cut = total > len(text)
	text = bytes.TrimSuffix(text, []byte{'\n'})
	name, value, in.has = bytes.Cut(text, []byte{'='})
	if len(value) > room {
		value, in.cut = value[:max(room, 0)], true
	}
	if !in.has && len(name) > maxName {
		return nil, nil, in, &SyntaxError{r.offset, "a line has no =, and is no name of a field either"}
	}
	return name, value, in, nil
}

// binary reads a value with its length before it.
func (r *Reader) binary(room int) (value string, cut bool, err error) {
	var head [8]byte
	if err := r.full(head[:]); err != nil {
		return "", false, err
	}
	size := binary.LittleEndian.Uint64(head[:])
	if size > maxSize {
		return "", false, &SyntaxError{r.offset, fmt.Sprintf("a value says that it has %d bytes; %d are the most", size, maxSize)}
	}
	var b strings.Builder
	keep := min(int64(size), int64(max(room, 0)))
	n, err := io.CopyN(&b, r.r, keep) // It grows as bytes come, not by what was promised.
	r.offset += n
	if err == nil {
		var m int64
		m, err = io.CopyN(io.Discard, r.r, int64(size)-keep)
		r.offset += m
	}
	var end [1]byte
	if err == nil {
		err = r.full(end[:])
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return "", false, err
	}
	if end[0] != '\n' {
		return "", false, &SyntaxError{r.offset, "a value is not followed by a line end"}
	}
	return b.String(), keep < int64(size), nil
}

func (r *Reader) full(p []byte) error {
	n, err := io.ReadFull(r.r, p)
	r.offset += int64(n)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

func validName(name []byte) bool {
	if len(name) == 0 || len(name) > maxName {
		return false
	}
	for _, c := range name {
		if (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}

// markInvalid is the pipeline's mark for bytes that were no text and were replaced.
const markInvalid = "invalid_utf8"

// Record makes the record of an entry for the collector id.
func (e *Entry) Record(base intake.Record) intake.Record {
	rec := base
	rec.Format, rec.Received = intake.JSON, time.Now().UnixNano()
	if e.Cursor != "" {
		rec.ID = "journal/" + e.Cursor
	}
	if !e.Time.IsZero() {
		rec.Time = e.Time.UnixNano()
	}
	if e.Cut {
		rec.Marks = append(rec.Marks, collectors.MarkTruncated)
	}
	out := []byte{'{'}
	invalid := false
	for i, f := range e.fields {
		if !e.first(i) {
			continue // With the first field of this name.
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(event.AppendJSON(out, f.name), ':')
		several := e.several(i)
		if several {
			out = append(out, '[')
		}
		for j := i; j < len(e.fields); j++ {
			if e.fields[j].name != f.name {
				continue
			}
			if j > i {
				out = append(out, ',')
			}
			v := e.fields[j].value
			if !utf8.ValidString(v) {
				v, invalid = strings.ToValidUTF8(v, "\ufffd"), true
			}
			out = event.AppendJSON(out, v)
			if !several {
				break
			}
		}
		if several {
			out = append(out, ']')
		}
	}
	rec.Data = append(out, '}')
	if invalid {
		rec.Marks = append(rec.Marks, markInvalid)
	}
	if len(rec.Data) > intake.MaxData {
		rec.Format = intake.Line // What is cut is no object any more.
	}
	return rec
}

func (e *Entry) first(i int) bool {
	for j := range i {
		if e.fields[j].name == e.fields[i].name {
			return false
		}
	}
	return true
}

func (e *Entry) several(i int) bool {
	for j := i + 1; j < len(e.fields); j++ {
		if e.fields[j].name == e.fields[i].name {
			return true
		}
	}
	return false
}

// peerOf is the address of the other end.
func peerOf(address string) netip.Addr {
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return netip.Addr{}
	}
	return a.Addr().Unmap()
}

var errNoEntry = errors.New("the body has no entry")
