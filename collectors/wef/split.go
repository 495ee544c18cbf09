// Package wef takes apart what Windows writes its events in: XML documents of
// the Event schema (http://schemas.microsoft.com/win/2004/08/events/event), as
// event forwarding, wevtutil and forwarders such as NXLog send them. It finds
// where each event begins and ends; what an event says is read by the pipeline.
package wef

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxNesting bounds events within events, which the schema does not have but
// which the user data of a provider may look like.
const MaxNesting = 8

// ErrNone says that a document has no Event element.
var ErrNone = errors.New("the document has no Event element of the Windows event schema")

// SyntaxError says where a document cannot be read.
type SyntaxError struct {
	Offset int // bytes of the document, in UTF-8
	Reason string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("byte %d: %s", e.Offset, e.Reason) }

// Split calls f for each Event element of a document, with its bytes and where
// they begin. The document is one Event, Events around several, or several one
// behind the other; a declaration may stand before. f's error ends it. A
// *SyntaxError names what cannot be read; the events before it were handed over.
func Split(doc []byte, f func(event []byte, at int) error) error {
	depth, start, found := 0, 0, false
	for at := 0; at < len(doc); {
		open := bytes.IndexByte(doc[at:], '<')
		if open < 0 {
			break
		}
		at += open
		rest := doc[at:]
		end := -1
		switch {
		case bytes.HasPrefix(rest, []byte("<!--")):
			end = after(rest, 4, "-->")
		case bytes.HasPrefix(rest, []byte("<![CDATA[")):
			end = after(rest, 9, "]]>")
		case bytes.HasPrefix(rest, []byte("<?")):
			end = after(rest, 2, "?>")
		case bytes.HasPrefix(rest, []byte("<!")):
			return &SyntaxError{at, "a document type is not read"}
		case element(rest[1:]):
			if end = tagEnd(rest); end < 0 {
				break
			}
			if rest[end-2] == '/' { // <Event/> says nothing.
				break
			}
			if depth == 0 {
				start = at
			}
			if depth++; depth > MaxNesting {
				return &SyntaxError{at, "events lie within events too deep"}
			}
		case len(rest) > 1 && rest[1] == '/' && element(rest[2:]):
			if end = tagEnd(rest); end < 0 {
				break
			}
			if depth == 0 {
				return &SyntaxError{at, "an event ends that did not begin"}
			}
			if depth--; depth == 0 {
				found = true
				if err := f(doc[start:at+end:at+end], start); err != nil {
					return err
				}
			}
		default:
			end = tagEnd(rest)
		}
		if end < 0 {
			return &SyntaxError{at, "what begins here does not end"}
		}
		at += end
	}
	switch {
	case depth > 0:
		return &SyntaxError{start, "the event that begins here does not end"}
	case !found:
		return ErrNone
	}
	return nil
}

// element tells whether a tag's name, at the beginning of s, is Event.
func element(s []byte) bool {
	const name = "Event"
	if len(s) <= len(name) || string(s[:len(name)]) != name {
		return false
	}
	switch s[len(name)] {
	case ' ', '\t', '\r', '\n', '>', '/':
		return true
	}
	return false
}

// after is where what ends with end is over, -1 where it is not.
func after(s []byte, from int, end string) int {
	i := bytes.Index(s[from:], []byte(end))
	if i < 0 {
		return -1
	}
	return from + i + len(end)
}

// tagEnd is behind the > of the tag that s begins with, -1 where it has none.
// A > may stand within the value of an attribute.
func tagEnd(s []byte) int {
	quote := byte(0)
	for i, c := range s {
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"', c == '\'':
			quote = c
		case c == '>':
			return i + 1
		}
	}
	return -1
}

// UTF8 returns a document in UTF-8. Windows writes UTF-16, which shows by its
// byte order mark or by the zero bytes around the first <. An unpaired half of
// a surrogate becomes U+FFFD.
func UTF8(doc []byte) ([]byte, error) {
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(doc, []byte{0xff, 0xfe}):
		order, doc = binary.LittleEndian, doc[2:]
	case bytes.HasPrefix(doc, []byte{0xfe, 0xff}):
		order, doc = binary.BigEndian, doc[2:]
	case bytes.HasPrefix(doc, []byte{'<', 0}):
		order = binary.LittleEndian
	case bytes.HasPrefix(doc, []byte{0, '<'}):
		order = binary.BigEndian
	default:
		doc = bytes.TrimPrefix(doc, []byte("\xef\xbb\xbf"))
		if !utf8.Valid(doc) {
			return nil, &SyntaxError{invalidAt(doc), "this is neither UTF-8 nor UTF-16 with a byte order mark"}
		}
		return doc, nil
	}
	if len(doc)%2 != 0 {
		return nil, &SyntaxError{len(doc) - 1, "the UTF-16 text ends within a character"}
	}
	out := make([]byte, 0, len(doc)/2+len(doc)/8)
	for i := 0; i < len(doc); i += 2 {
		c := rune(order.Uint16(doc[i:]))
		if utf16.IsSurrogate(c) {
			next := rune(0)
			if i+3 < len(doc) {
				next = rune(order.Uint16(doc[i+2:]))
			}
			if c = utf16.DecodeRune(c, next); c != utf8.RuneError {
				i += 2
			}
		}
		out = utf8.AppendRune(out, c)
	}
	return out, nil
}

func invalidAt(doc []byte) int {
	for i := 0; i < len(doc); {
		r, n := utf8.DecodeRune(doc[i:])
		if r == utf8.RuneError && n <= 1 {
			return i
		}
		i += n
	}
	return len(doc)
}
