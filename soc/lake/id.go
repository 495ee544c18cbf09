package lake

import (
	"strings"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/logstorage"

	"icewatch/soc/event"
)

// An event's id is kept as its epoch and then sequence and index in six bits a
// byte, of bytes that are no letters or digits: so it has the same length and
// order for all events, compresses to its last few bytes, and adds no words to
// the store's index of words.
const (
	idMark     = 0x01 // between epoch and numbers
	idDigit    = 0x80 // added to six bits
	idSequence = 8    // digits of the sequence: 48 bits
	idIndex    = 4    // digits of the index: 24 bits
	idTail     = 1 + idSequence + idIndex
)

// appendID appends the stored form of an id.
func appendID(b []byte, id event.ID) []byte {
	b = append(append(b, id.Epoch...), idMark)
	for shift := 6 * (idSequence - 1); shift >= 0; shift -= 6 {
		b = append(b, idDigit|byte(id.Sequence>>shift&0x3f))
	}
	for shift := 6 * (idIndex - 1); shift >= 0; shift -= 6 {
		b = append(b, idDigit|byte(id.Index>>shift&0x3f))
	}
	return b
}

// storedID reads the stored form of an id.
func storedID(s string) (id event.ID, ok bool) {
	at := len(s) - idTail
	if at < 1 || s[at] != idMark {
		return id, false
	}
	id.Epoch = s[:at]
	for i, c := range []byte(s[at+1:]) {
		if c&0xc0 != idDigit {
			return event.ID{}, false
		}
		if i < idSequence {
			id.Sequence = id.Sequence<<6 | uint64(c&0x3f)
		} else {
			id.Index = id.Index<<6 | uint32(c&0x3f)
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
		// Earlier versions kept it as it is.
		b.WriteString("(" + sequences(id.Sequence, id.Sequence) + " " + quote(fieldID) + ":in(" + quote(string(appendID(nil, id))) + "," + quote(text) + "))")
	}
	b.WriteByte(')')
	return b.String(), true
}
