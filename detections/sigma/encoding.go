package sigma

import (
	"encoding/base64"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Dashes are the characters that windash makes interchangeable.
const Dashes = "-/\u2013\u2014\u2015"

var dashes = strings.Split(Dashes, "")

// shorten cuts a value for an error.
func shorten(s string) string {
	if len(s) > 100 {
		return s[:100] + "…"
	}
	return s
}

// spreadDashes writes out what the dash flag stands for, because an encoded
// dash is no longer one character.
func spreadDashes(s *scalar) ([]*scalar, *Error) {
	if !s.dash {
		return []*scalar{s}, nil
	}
	text, plain := s.pattern.Plain()
	if !plain {
		return nil, errorf(s.node.Line, "windash before an encoding needs a value without wildcards, not %q", shorten(s.raw))
	}
	variants := 1
	for _, r := range text {
		if strings.ContainsRune(Dashes, r) {
			variants *= len(dashes)
		}
		if variants > maxExpansion || variants*len(text) > maxRoom {
			return nil, errorf(s.node.Line, "windash before an encoding makes more than %d values, or %d MiB, of %q", maxExpansion, maxRoom>>20, shorten(text))
		}
	}
	texts := []string{""}
	for rest := text; rest != ""; {
		n := strings.IndexAny(rest, Dashes)
		if n < 0 {
			n = len(rest)
		}
		options := dashes
		if n == len(rest) {
			options = []string{""}
		}
		next := make([]string, 0, len(texts)*len(options))
		for _, t := range texts {
			for _, o := range options {
				next = append(next, t+rest[:n]+o)
			}
		}
		texts = next
		_, width := utf8.DecodeRuneInString(rest[n:])
		rest = rest[n+width:]
	}
	out := make([]*scalar, len(texts))
	for i, t := range texts {
		out[i] = &scalar{node: s.node, tag: s.tag, raw: s.raw, pattern: literal(t), literal: true}
	}
	return out, nil
}

// encoder makes a modifier of a UTF-16 encoding. Stars stay wildcards; the
// mark is what stands before the whole text.
func encoder(enc func(string) string, mark string) func(*reader, *scalar) ([]*scalar, *Error) {
	return func(_ *reader, s *scalar) ([]*scalar, *Error) {
		s.pat()
		out, err := spreadDashes(s)
		if err != nil {
			return nil, err
		}
		for _, v := range out {
			var next Pattern
			if mark != "" {
				next = Pattern{{Text: mark}}
			}
			for _, part := range v.pattern {
				switch part.Wild {
				case Single:
					return nil, errorf(s.node.Line, "a UTF-16 encoding cannot hold the wildcard ? of %q", s.raw)
				case Placeholder:
					return nil, errorf(s.node.Line, "a UTF-16 encoding cannot hold the placeholder %%%s%%, which has no values", part.Text)
				case Literal:
					part.Text = enc(part.Text)
				}
				if n := len(next); n > 0 && next[n-1].Wild == Literal && part.Wild == Literal {
					next[n-1].Text += part.Text
					continue
				}
				next = append(next, part)
			}
			v.pattern = next
		}
		return out, nil
	}
}

func utf16LE(s string) string {
	b := make([]byte, 0, 2*len(s))
	for _, u := range utf16.Encode([]rune(s)) {
		b = append(b, byte(u), byte(u>>8))
	}
	return string(b)
}

func utf16BE(s string) string {
	b := make([]byte, 0, 2*len(s))
	for _, u := range utf16.Encode([]rune(s)) {
		b = append(b, byte(u>>8), byte(u))
	}
	return string(b)
}

// plainFor makes sure that a value can be encoded as a whole.
func plainFor(s *scalar, name string) ([]*scalar, *Error) {
	s.pat()
	out, err := spreadDashes(s)
	if err != nil {
		return nil, err
	}
	for _, v := range out {
		if _, ok := v.pattern.Plain(); ok {
			continue
		}
		for _, part := range v.pattern {
			if part.Wild == Placeholder {
				return nil, errorf(s.node.Line, "modifier %q cannot encode the placeholder %%%s%%, which has no values", name, part.Text)
			}
		}
		return nil, errorf(s.node.Line, "modifier %q cannot encode the wildcard in %q; a wildcard as a plain character is written with a backslash before it", name, s.raw)
	}
	return out, nil
}

func base64Plain(_ *reader, s *scalar) ([]*scalar, *Error) {
	out, err := plainFor(s, "base64")
	if err != nil {
		return nil, err
	}
	for _, v := range out {
		text, _ := v.pattern.Plain()
		v.pattern = literal(base64.StdEncoding.EncodeToString([]byte(text)))
	}
	return out, nil
}

// base64Offset gives the three texts under which a value can appear inside a
// longer encoded text, each without the characters its neighbours share.
func base64Offset(_ *reader, s *scalar) ([]*scalar, *Error) {
	plain, err := plainFor(s, "base64offset")
	if err != nil {
		return nil, err
	}
	var out []*scalar
	for _, v := range plain {
		text, _ := v.pattern.Plain()
		for offset := range 3 {
			enc := base64.StdEncoding.EncodeToString([]byte("   "[:offset] + text))
			start := [3]int{0, 2, 3}[offset]
			cut := [3]int{0, 3, 2}[(len(text)+offset)%3]
			if len(enc)-cut <= start {
				continue
			}
			out = append(out, &scalar{node: s.node, tag: s.tag, raw: s.raw, literal: true, pattern: literal(enc[start : len(enc)-cut])})
		}
	}
	if len(out) == 0 {
		return nil, errorf(s.node.Line, "base64offset: %q is too short to leave a part that is always the same", s.raw)
	}
	return out, nil
}

func literal(text string) Pattern {
	if text == "" {
		return nil
	}
	return Pattern{{Text: text}}
}
