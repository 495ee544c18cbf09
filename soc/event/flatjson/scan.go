package flatjson

import (
	"fmt"
	"strings"

	"icewatch/soc/event"
)

// The functions here take the offset at which their part of the text begins
// and return the one behind it, or -1 after calling fail.

// skip passes over blanks.
func skip(s string, i int) int {
	if i < len(s) && s[i] > ' ' {
		return i
	}
	return blanks(s, i)
}

func blanks(s string, i int) int {
	for i < len(s) {
		switch s[i] {
		case ' ', '\t', '\n', '\r':
			i++
			continue
		}
		break
	}
	return i
}

// object reads an object whose brace is at i.
func (d *Decoder) object(i int, of *Name, depth int) int {
	s := d.text
	if i = skip(s, i+1); i < len(s) && s[i] == '}' {
		if depth > 1 {
			d.empty(of)
		}
		return i + 1
	}
	var before, name *Name
	for {
		if i >= len(s) || s[i] != '"' {
			return d.fail(i, fmt.Sprintf("the name of a member in quotes was expected, not %s", found(s[min(i, len(s)):])))
		}
		i++
		if of == nil {
			i = d.pass(i)
		} else {
			name, i = d.name(i, of, before)
			before = name
		}
		if i < 0 {
			return -1
		}
		if i = skip(s, i); i >= len(s) || s[i] != ':' {
			return d.fail(i, fmt.Sprintf("a colon was expected behind the name of a member, not %s", found(s[min(i, len(s)):])))
		}
		if i = d.value(skip(s, i+1), name, depth); i < 0 {
			return -1
		}
		if i = skip(s, i); i >= len(s) {
			return d.fail(i, "the object is not closed: a comma or } was expected")
		}
		switch s[i] {
		case '}':
			return i + 1
		case ',':
			i = skip(s, i+1)
		default:
			return d.fail(i, fmt.Sprintf("a comma or } was expected behind a member, not %s", found(s[i:])))
		}
	}
}

// name reads the name of a member, whose opening quote is before i. The members
// that lately came here are tried first.
func (d *Decoder) name(i int, of, before *Name) (*Name, int) {
	s := d.text
	guess, other := of.first, (*Name)(nil)
	if before != nil {
		guess, other = before.next[0], before.next[1]
	}
	if guess != nil && guess.quoted != "" && strings.HasPrefix(s[i:], guess.quoted) {
		return guess, i + len(guess.quoted)
	}
	if other != nil && other.quoted != "" && strings.HasPrefix(s[i:], other.quoted) {
		other.follow(before, of)
		return other, i + len(other.quoted)
	}
	key, i := d.string(i)
	if i < 0 {
		return nil, -1
	}
	name := d.names.child(of, key)
	name.follow(before, of)
	return name, i
}

// array reads an array whose bracket is at i.
func (d *Decoder) array(i int, of *Name, depth int) int {
	s := d.text
	if i = skip(s, i+1); i < len(s) && s[i] == ']' {
		d.empty(of)
		return i + 1
	}
	for {
		if i = d.value(i, of, depth); i < 0 {
			return -1
		}
		if i = skip(s, i); i >= len(s) {
			return d.fail(i, "the array is not closed: a comma or ] was expected")
		}
		switch s[i] {
		case ']':
			return i + 1
		case ',':
			i = skip(s, i+1)
		default:
			return d.fail(i, fmt.Sprintf("a comma or ] was expected behind an element, not %s", found(s[i:])))
		}
	}
}

// value reads any value; depth counts the objects and arrays around it.
func (d *Decoder) value(i int, of *Name, depth int) int {
	s := d.text
	if i >= len(s) {
		return d.fail(i, "the text ends where a value was expected")
	}
	switch c := s[i]; c {
	case '"':
		if of == nil {
			return d.pass(i + 1)
		}
		text, end := d.string(i + 1)
		d.add(of, event.String, text)
		return end
	case '{', '[':
		if depth >= maxNesting {
			return d.fail(i, fmt.Sprintf("objects and arrays are nested deeper than %d", maxNesting))
		}
		if of != nil && (depth >= d.opts.MaxDepth || len(of.Text) > MaxName) {
			return d.deep(i, of, depth)
		}
		if c == '{' {
			return d.object(i, of, depth+1)
		}
		return d.array(i, of, depth+1)
	case 't':
		return d.word(i, of, event.Bool, "true")
	case 'f':
		return d.word(i, of, event.Bool, "false")
	case 'n':
		return d.word(i, of, event.Null, "null")
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		end := d.numeral(i)
		if end >= 0 {
			d.add(of, event.Number, s[i:end])
		}
		return end
	}
	return d.fail(i, fmt.Sprintf("a value was expected, not %s", found(s[i:])))
}

// deep reads an object or array that is not flattened.
func (d *Decoder) deep(i int, of *Name, depth int) int {
	end := 0
	if d.text[i] == '{' {
		end = d.object(i, nil, depth+1)
	} else {
		end = d.array(i, nil, depth+1)
	}
	switch {
	case end < 0:
	case d.opts.DeepText:
		d.add(of, event.String, d.text[i:end])
	default:
		d.add(of, event.Null, "")
	}
	return end
}

func (d *Decoder) word(i int, of *Name, kind event.Kind, word string) int {
	if !strings.HasPrefix(d.text[i:], word) {
		return d.fail(i, fmt.Sprintf("a value was expected; it begins like %s, but is not", word))
	}
	value := word
	if kind == event.Null {
		value = ""
	}
	d.add(of, kind, value)
	return i + len(word)
}

func (d *Decoder) empty(of *Name) {
	if !d.opts.DropEmpty {
		d.add(of, event.Null, "")
	}
}

func (d *Decoder) add(of *Name, kind event.Kind, value string) {
	if of != nil {
		d.members = append(d.members, Member{of, kind, value})
	}
}

// numeral reads a number by RFC 8259's grammar, so that it can be stored and
// written out again as it stands.
func (d *Decoder) numeral(i int) int {
	s := d.text
	if s[i] == '-' {
		i++
	}
	from := i
	if i = digits(s, i); i == from {
		return d.fail(i, fmt.Sprintf("a digit was expected in a number, not %s", found(s[i:])))
	}
	if s[from] == '0' && i > from+1 {
		return d.fail(from, "a number must not begin with 0 before other digits")
	}
	if i < len(s) && s[i] == '.' {
		from = i + 1
		if i = digits(s, from); i == from {
			return d.fail(i, fmt.Sprintf("a digit was expected behind the point of a number, not %s", found(s[i:])))
		}
	}
	if i < len(s) && s[i]|0x20 == 'e' {
		i++
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		from = i
		if i = digits(s, from); i == from {
			return d.fail(i, fmt.Sprintf("a digit was expected in the exponent of a number, not %s", found(s[i:])))
		}
	}
	return i
}

func digits(s string, i int) int {
	for i < len(s) && s[i]-'0' <= 9 {
		i++
	}
	return i
}
