package lake

import (
	"strings"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/logstorage"

	"icewatch/soc/event"
)

// An event's id is kept as its epoch and then sequence and index in separators, six
// bits each: so it has the same length and order for all events, compresses to its
// last few bytes, and adds no words to the store's index of words. Before, the
// digits were bytes over 0x7f, behind a mark that is lower, so that ids of then are
// lower than those of now.
const (
	idMark     = 0x02 // between epoch and numbers
	idMarkOld  = 0x01
	idDigitOld = 0x80 // added to six bits
	idSequence = 8    // digits of the sequence: 48 bits
	idIndex    = 4    // digits of the index: 24 bits
	idTail     = 1 + idSequence + idIndex
)

// separators are the digits of numbers that are to add no words to the store's
// index: the bytes of ASCII that are no part of a word, in their order, but for the
// last one. A text of ASCII alone is cut into words faster.
var separators = func() (list [64]byte) {
	n := 0
	for c := byte(0); n < len(list); c++ {
		if !isAlnum(c) && c != '_' {
			list[n] = c
			n++
		}
	}
	return list
}()

const (
	notSeparated  = 0xff
	lastSeparator = 0x7f // the one that is none of the digits
)

// separated are the numbers by their digit, notSeparated for other bytes.
var separated = func() (digits [256]byte) {
	for c := range digits {
		digits[c] = notSeparated
	}
	for n, c := range separators {
		digits[c] = byte(n)
	}
	return digits
}()

// appendID appends the stored form of an id.
func appendID(b []byte, id event.ID) []byte {
	b = append(append(b, id.Epoch...), idMark)
	for shift := 6 * (idSequence - 1); shift >= 0; shift -= 6 {
		b = append(b, separators[id.Sequence>>shift&0x3f])
	}
	for shift := 6 * (idIndex - 1); shift >= 0; shift -= 6 {
		b = append(b, separators[id.Index>>shift&0x3f])
	}
	return b
}

// appendOldID appends the stored form of before.
func appendOldID(b []byte, id event.ID) []byte {
	mark := len(b) + len(id.Epoch)
	b = appendID(b, id)
	b[mark] = idMarkOld
	for i := mark + 1; i < len(b); i++ {
		b[i] = idDigitOld + separated[b[i]]
	}
	return b
}

// storedID reads the stored form of an id.
func storedID(s string) (id event.ID, ok bool) {
	at := len(s) - idTail
	if at < 1 || s[at] != idMark && s[at] != idMarkOld {
		return id, false
	}
	id.Epoch = s[:at]
	for i, c := range []byte(s[at+1:]) {
		digit := separated[c]
		if s[at] == idMarkOld {
			digit = c - idDigitOld
		}
		if int(digit) >= len(separators) {
			return event.ID{}, false
		}
		if i < idSequence {
			id.Sequence = id.Sequence<<6 | uint64(digit)
		} else {
			id.Index = id.Index<<6 | uint32(digit)
		}
	}
	return id, true
}

// isID tells whether a text is an id in the form outside.
func isID(s string) bool {
	_, ok := event.ParseID(s)
	return ok
}

// showIDs puts the ids of a block of an answer into the form outside, whatever
// the query calls their column.
func showIDs(db *logstorage.DataBlock) {
	for i := range db.Columns {
		values := db.Columns[i].Values
		if len(values) == 0 {
			continue
		}
		if _, ok := storedID(values[0]); !ok && db.Columns[i].Name != fieldID {
			continue
		}
		// The library's own values stay as they are: it may use them again.
		shown := make([]string, len(values))
		for k, v := range values {
			shown[k] = v
			if id, ok := storedID(v); ok {
				shown[k] = id.String()
			}
		}
		db.Columns[i].Values = shown
	}
}

// idCondition is the condition, as the library prints it behind the name of the
// field, for ids in the form outside. ok is false where it asks for more than
// equality.
func idCondition(s string) (_ string, ok bool) {
	if s == "*" {
		return quote(fieldID) + ":*", true
	}
	var ids []string
	if list, isSet := strings.CutPrefix(s, "in("); isSet && strings.HasSuffix(list, ")") {
		if list = list[:len(list)-1]; len(split(list, '|')) > 1 {
			return quote(fieldID) + ":" + s, true // of another query, in the stored form as well
		}
		for _, part := range split(list, ',') {
			ids = append(ids, unquoted(strings.TrimSpace(part)))
			if _, done := storedID(ids[len(ids)-1]); done {
				return quote(fieldID) + ":" + s, true
			}
		}
	} else {
		ids = []string{unquoted(strings.TrimPrefix(s, "="))}
		if strings.HasSuffix(s, "*") || strings.ContainsAny(ids[0], "~<>()[]") {
			return "", false
		}
	}
	var b strings.Builder
	b.WriteByte('(')
	for i, text := range ids {
		if i > 0 {
			b.WriteString(" or ")
		}
		id, isID := event.ParseID(text)
		if !isID {
			// No event has it, whatever it is.
			b.WriteString(quote(fieldID) + ":=" + quote(text))
			continue
		}
		// The sequence tells the store which blocks to look into.
		// Earlier versions had other forms.
		b.WriteString("(" + sequences(id.Sequence, id.Sequence) + " " + quote(fieldID) + ":in(" + quote(string(appendID(nil, id))) + "," + quote(string(appendOldID(nil, id))) + "," + quote(text) + "))")
	}
	b.WriteByte(')')
	return b.String(), true
}
