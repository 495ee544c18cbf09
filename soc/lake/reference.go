package lake

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/logstorage"

	"icewatch/soc/event"
)

// The raw text of an event and its fields say the same twice, and twice the
// bytes: most values are substrings of the raw text. So the raw text is kept
// as what stands between them, with references to the row's fields where they
// stood. Events of one kind then have the same text, which takes next to no
// room.
//
// A reference is one of the control bytes below and an argument. Fields go by
// their place among the fields of the row in the order of their names, the raw
// text itself left out. A raw text with such control bytes of its own is kept
// as it is. Arguments are separators, see there.
const (
	refValue      = 0x01 // place: the value
	refText       = 0x02 // place: "name":"value"
	refBare       = 0x03 // place: "name":value
	refLeafText   = 0x04 // place: "leaf":"value", the leaf being what follows the name's last dot
	refLeafBare   = 0x05 // place: "leaf":value
	refTime       = 0x06 // digits of the second's fraction, separator, offset: the event's time by RFC 3339
	refTimeBSD    = 0x07 // offset: the event's time by RFC 3164
	refTimeUnix   = 0x08 // digits: the event's time as a number since the epoch
	refLast       = refTimeUnix
	maxArgument   = 0x7f
	offsetNone    = maxArgument // no offset is written; what it is stands in the next argument
	offsetUTC     = maxArgument - 1
	quarter       = 15 * 60 // offsets are counted in quarters of an hour
	offsetQuarter = 60      // added to them
)

const argumentOld = 0x80 // added to arguments before they were separators

// appendArgument writes a number up to maxArgument: one separator, or two.
func appendArgument(b []byte, n int) []byte {
	if n >= len(separators) {
		b = append(b, lastSeparator)
	}
	return append(b, separators[n%len(separators)])
}

// argumentOf reads the argument that text begins with, and of how many bytes it is:
// of none where there is no argument.
func argumentOf(text string) (n, size int) {
	if text != "" && text[0] >= argumentOld {
		return int(text[0] - argumentOld), 1
	}
	if text != "" && text[0] == lastSeparator {
		n, size = len(separators), 1
	}
	if len(text) <= size || separated[text[size]] == notSeparated {
		return 0, 0
	}
	return n + int(separated[text[size]]), size + 1
}

// reference is a place in the raw text where a field's value stands.
type reference struct {
	off, size int
	field     int  // place among the row's fields
	escaped   bool // it stands there as JSON escapes it
}

// within tells where in raw the value lies: not a copy of it, but the very
// bytes, as parsing leaves them.
func within(raw, value string) (off int, ok bool) {
	if value == "" || raw == "" {
		return 0, false
	}
	start := uintptr(unsafe.Pointer(unsafe.StringData(raw)))
	at := uintptr(unsafe.Pointer(unsafe.StringData(value)))
	if at < start || at+uintptr(len(value)) > start+uintptr(len(raw)) {
		return 0, false
	}
	return int(at - start), true
}

// refer writes the raw text with references. ok is false where that is of no
// use or not possible.
func (w *Writer) refer(ev *event.Event) (text string, ok bool) {
	if len(ev.Raw) > 64<<10 {
		return "", false // rare, and little of it is fields
	}
	w.sortReferences()
	ok = true
	text = w.text(func(b []byte) []byte {
		start, done := len(b), 0
		literal := func(to int) {
			if ok {
				b, ok = appendLiteral(b, ev.Raw[done:to], ev.Time)
			}
			done = to
		}
		for _, r := range w.refs {
			if r.off < done || r.field > maxArgument {
				continue
			}
			op, before, after := bracket(ev.Raw, r, w.fields[r.field].Name)
			if r.off-before < done {
				op, before, after = refValue, 0, 0
			}
			if r.escaped && op == refValue {
				before, after = 1, 1 // the quotes are a part of it
				if r.off-before < done {
					continue
				}
			}
			literal(r.off - before)
			if r.escaped {
				b = appendArgument(append(b, refTimeUnix), escapedBy(op))
			} else {
				b = append(b, op)
			}
			b = appendArgument(b, r.field)
			done = r.off + r.size + after
		}
		literal(len(ev.Raw))
		if len(b)-start >= len(ev.Raw) {
			ok = false
		}
		return b
	})
	return text, ok
}

// sortReferences sorts the references by where they stand. In events of one kind
// values stand in the same order, so that of the last event is tried first.
func (w *Writer) sortReferences() {
	p := w.plan
	byPlace := func(a, b reference) int {
		if a.off != b.off {
			return a.off - b.off
		}
		return b.size - a.size
	}
	if len(p.standing) == len(w.refs) {
		w.sorted = w.sorted[:0]
		for _, at := range p.standing {
			w.sorted = append(w.sorted, w.refs[at])
		}
		if slices.IsSortedFunc(w.sorted, byPlace) {
			w.refs, w.sorted = w.sorted, w.refs
			return
		}
	}
	w.sorted = append(w.sorted[:0], w.refs...)
	slices.SortFunc(w.refs, byPlace)
	p.standing = p.standing[:0]
	for _, r := range w.refs {
		p.standing = append(p.standing, slices.Index(w.sorted, r))
	}
}

// bracket tells how a value stands in JSON, so that name and quotes need not be
// kept: how many bytes before and after it the reference stands for.
func bracket(raw string, r reference, name string) (op byte, before, after int) {
	end := r.off + r.size
	quoted := r.off > 0 && raw[r.off-1] == '"' && end < len(raw) && raw[end] == '"'
	head := raw[:r.off]
	if quoted {
		head, after = head[:len(head)-1], 1
	}
	head, ok := strings.CutSuffix(head, `":`)
	if !ok {
		return refValue, 0, 0
	}
	for _, n := range [...]string{name, name[strings.LastIndexByte(name, '.')+1:]} {
		if rest, ok := strings.CutSuffix(head, n); ok && strings.HasSuffix(rest, `"`) {
			op = refBare
			if quoted {
				op = refText
			}
			if len(n) != len(name) {
				op += refLeafText - refText
			}
			return op, r.off - len(rest) + 1, after
		}
	}
	return refValue, 0, 0
}

// appendLiteral appends text between values, with the event's time referred to
// where it stands there. ok is false where text has control bytes that would
// be taken for references.
func appendLiteral(b []byte, text string, at int64) (_ []byte, ok bool) {
	start := 0
	for i := 0; i < len(text); i++ {
		kind := literals[text[i]]
		if kind == plain || kind != opcode && i > 0 && isAlnum(text[i-1]) {
			continue
		}
		if kind == opcode {
			return b, false
		}
		kept := len(b)
		b = append(b, text[start:i]...)
		size := 0
		if kind == digit {
			b, size = appendTimeReference(b, text[i:], at)
		} else {
			b, size = appendBSDReference(b, text[i:], at)
		}
		if size == 0 {
			b = b[:kept]
			continue
		}
		i += size - 1
		start = i + 1
	}
	return append(b, text[start:]...), true
}

// What a byte of a literal may begin.
const (
	plain  = iota
	opcode // would be taken for a reference
	digit  // a time as RFC 3339 has it, or since the epoch
	month  // a time as RFC 3164 has it: Apr, Aug, Dec, Feb, Jan, …, Sep
)

var literals = func() (kinds [256]uint8) {
	for c := refValue; c <= refLast; c++ {
		kinds[c] = opcode
	}
	for c := '0'; c <= '9'; c++ {
		kinds[c] = digit
	}
	for _, c := range "ADFJMNOS" {
		kinds[c] = month
	}
	return kinds
}()

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// appendTimeReference refers to the event's time where text starts with it, by
// RFC 3339 or in Unix seconds, milliseconds, microseconds or nanoseconds. size
// is how many bytes of text the reference stands for, 0 where there is none.
func appendTimeReference(b []byte, text string, at int64) (_ []byte, size int) {
	n := 0
	for n < len(text) && text[n] >= '0' && text[n] <= '9' {
		n++
	}
	var room [40]byte
	if n != 4 {
		if n < 10 || n > 19 || string(appendUnix(room[:0], n, at)) != text[:n] {
			return b, 0
		}
		return appendArgument(append(b, refTimeUnix), n), n
	}
	// 2006-01-02T15:04:05 with a fraction and an offset.
	const seconds = len("2006-01-02T15:04:05")
	if len(text) < seconds || text[4] != '-' || text[13] != ':' {
		return b, 0
	}
	size = seconds
	digits := 0
	if size < len(text) && text[size] == '.' {
		for digits < 9 && size+1+digits < len(text) && text[size+1+digits] >= '0' && text[size+1+digits] <= '9' {
			digits++
		}
		if digits > 0 {
			size += 1 + digits
		}
	}
	zone := offsetNone
	rest := text[size:]
	switch {
	case strings.HasPrefix(rest, "Z"):
		zone = offsetUTC
		size++
	case len(rest) >= 6 && (rest[0] == '+' || rest[0] == '-') && rest[3] == ':':
		d, err := time.Parse("-07:00", rest[:6])
		if err != nil {
			return b, 0
		}
		_, east := d.Zone()
		off, ok := offsetOf(int64(east))
		if !ok {
			return b, 0
		}
		zone = off
		size += 6
	}
	kept := len(b)
	b = append(appendArgument(append(b, refTime), digits), text[10])
	b = appendArgument(b, zone)
	if zone == offsetNone {
		wall, err := time.Parse("2006-01-02 15:04:05", text[:10]+" "+text[11:seconds])
		if err != nil {
			return b, 0
		}
		off, ok := offsetOf(wall.Unix() - at/int64(time.Second))
		if !ok {
			return b, 0
		}
		b = appendArgument(b, off)
	}
	got, n := appendTime(room[:0], unsafe.String(unsafe.SliceData(b[kept+1:]), len(b)-kept-1), at)
	if n == 0 || string(got) != text[:size] {
		return b, 0
	}
	return b, size
}

// appendBSDReference refers to the event's time where text starts with it as
// RFC 3164 writes it, without a year and in a zone that is not told.
func appendBSDReference(b []byte, text string, at int64) (_ []byte, size int) {
	size = len(time.Stamp)
	if len(text) < size || text[3] != ' ' || text[9] != ':' {
		return b, 0
	}
	wall, err := time.Parse(time.Stamp, text[:size])
	if err != nil {
		return b, 0
	}
	var room [40]byte
	year := time.Unix(0, at).UTC().Year()
	for y := year - 1; y <= year+1; y++ {
		off, ok := offsetOf(wall.AddDate(y, 0, 0).Unix() - at/int64(time.Second))
		if ok && string(appendBSD(room[:0], off, at)) == text[:size] {
			return appendArgument(append(b, refTimeBSD), off), size
		}
	}
	return b, 0
}

// offsetOf makes an argument of an offset from UTC in seconds.
func offsetOf(east int64) (int, bool) {
	if east%quarter != 0 || east < -15*3600 || east > 15*3600 {
		return 0, false
	}
	return int(east/quarter + offsetQuarter), true
}

func appendUnix(b []byte, digits int, at int64) []byte {
	t := time.Unix(0, at)
	switch digits {
	case 10:
		return strconv.AppendInt(b, t.Unix(), 10)
	case 13:
		return strconv.AppendInt(b, t.UnixMilli(), 10)
	case 16:
		return strconv.AppendInt(b, t.UnixMicro(), 10)
	case 19:
		return strconv.AppendInt(b, at, 10)
	}
	return b
}

func appendBSD(b []byte, offset int, at int64) []byte {
	return inZone(at, offset).AppendFormat(b, time.Stamp)
}

// appendTime renders the time that the arguments describe and tells how many
// bytes they were; 0 where they make no sense.
func appendTime(b []byte, args string, at int64) (_ []byte, used int) {
	digits, used := argumentOf(args)
	if used == 0 || len(args) <= used {
		return b, 0
	}
	sep := args[used]
	offset, size := argumentOf(args[used+1:])
	if size == 0 {
		return b, 0
	}
	used += 1 + size
	zone := offset
	switch offset {
	case offsetNone:
		if zone, size = argumentOf(args[used:]); size == 0 {
			return b, 0
		}
		used += size
	case offsetUTC:
		zone = offsetQuarter
	}
	t := inZone(at, zone)
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	b = appendPadded(b, year, 4)
	b = appendPadded(append(b, '-'), int(month), 2)
	b = appendPadded(append(b, '-'), day, 2)
	b = appendPadded(append(b, sep), hour, 2)
	b = appendPadded(append(b, ':'), minute, 2)
	b = appendPadded(append(b, ':'), second, 2)
	if digits > 0 && digits <= 9 {
		b = appendPadded(append(b, '.'), t.Nanosecond(), 9)
		b = b[:len(b)-9+digits]
	}
	switch offset {
	case offsetNone:
	case offsetUTC:
		b = append(b, 'Z')
	default:
		b = t.AppendFormat(b, "-07:00")
	}
	return b, used
}

// appendPadded appends a number of at most width digits, with zeros before it.
func appendPadded(b []byte, n, width int) []byte {
	for i := width; i > 0; i-- {
		b = append(b, '0')
	}
	for i := len(b) - 1; n > 0 && width > 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
		width--
	}
	return b
}

// zones are the places whose clocks are a number of quarters of an hour away
// from UTC, by argument.
var zones = func() (z [2*offsetQuarter + 1]*time.Location) {
	for i := range z {
		z[i] = time.FixedZone("", (i-offsetQuarter)*quarter)
	}
	z[offsetQuarter] = time.UTC
	return z
}()

func inZone(at int64, offset int) time.Time {
	return time.Unix(0, at).In(zones[min(offset, len(zones)-1)])
}

// resolve writes the raw text anew from what refer made of it and the row's
// other fields in the order of their names. ok is false where the text refers
// to what is not there.
func resolve(b []byte, text string, fields []logstorage.Field, at int64) (_ []byte, ok bool) {
	for i := 0; i < len(text); i++ {
		op := text[i]
		if op < refValue || op > refLast {
			b = append(b, op)
			continue
		}
		if op == refTime {
			var used int
			if b, used = appendTime(b, text[i+1:], at); used == 0 {
				return b, false
			}
			i += used
			continue
		}
		arg, size := argumentOf(text[i+1:])
		if size == 0 {
			return b, false
		}
		i += size
		switch op {
		case refTimeBSD:
			b = appendBSD(b, arg, at)
			continue
		case refTimeUnix:
			if arg < refEscapedLeaf {
				b = appendUnix(b, arg, at)
				continue
			}
			// A value as JSON escapes it, and the place of its field.
			place, size := argumentOf(text[i+1:])
			if size == 0 || place >= len(fields) {
				return b, false
			}
			i += size
			name := fields[place].Name
			switch arg {
			case refEscapedLeaf:
				name = name[strings.LastIndexByte(name, '.')+1:]
				fallthrough
			case refEscapedText:
				b = append(append(append(b, '"'), name...), `":`...)
			}
			b = append(appendEscaped(append(b, '"'), fields[place].Value), '"')
			continue
		}
		if arg >= len(fields) {
			return b, false
		}
		f := fields[arg]
		name := f.Name
		if op >= refLeafText {
			name = name[strings.LastIndexByte(name, '.')+1:]
		}
		switch op {
		case refValue:
			b = append(b, f.Value...)
		case refText, refLeafText:
			b = append(append(append(append(append(b, '"'), name...), `":"`...), f.Value...), '"')
		default:
			b = append(append(append(append(b, '"'), name...), `":`...), f.Value...)
		}
	}
	return b, true
}
