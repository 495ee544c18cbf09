package naive

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The wildcards, as characters that no text holds.
const (
	star rune = -1 - iota // "*": "an unbounded length wildcard"
	one                   // "?": "a single mandatory character"
	dash                  // any of the dashes, see windash
)

const dashes = "-/–—―"

// stray is added to a byte that is part of no UTF-8 character, which makes it a
// character of its own.
const stray = unicode.MaxRune + 1

// characters are the characters of a text.
func characters(s string) []rune {
	out := make([]rune, 0, len(s))
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && n == 1 {
			r = stray + rune(s[0])
		}
		out = append(out, r)
		s = s[n:]
	}
	return out
}

// text is the text of characters without wildcards.
func text(chars []rune) string {
	var b []byte
	for _, r := range chars {
		if r >= stray {
			b = append(b, byte(r-stray))
		} else {
			b = utf8.AppendRune(b, r)
		}
	}
	return string(b)
}

// small makes capital letters small. General: "All values are treated as
// case-insensitive strings." Letters are the same where Unicode's simple
// mapping gives them the same small letter, one to one.
func small(chars []rune) []rune {
	out := make([]rune, len(chars))
	for i, r := range chars {
		out[i] = r
		if r >= 0 && r < stray {
			out[i] = unicode.ToLower(r)
		}
	}
	return out
}

// wildcards reads a written value. Escaping: "A wildcard has to be escaped to
// be handled as a plain character", "The backslash before a wildcard has to be
// escaped to handle the value as a backslash followed by a wildcard", "Plain
// backslash not followed by a wildcard can be expressed as single or double
// backslash", "Three or four backslashes are handled as double backslash".
func wildcards(s string) []rune {
	var out []rune
	in := characters(s)
	for i := 0; i < len(in); i++ {
		switch {
		case in[i] == '\\' && i+1 < len(in) && (in[i+1] == '\\' || in[i+1] == '*' || in[i+1] == '?'):
			i++
			out = append(out, in[i])
		case in[i] == '*':
			out = append(out, star)
		case in[i] == '?':
			out = append(out, one)
		default:
			out = append(out, in[i])
		}
	}
	return out
}

// onPlain applies a change to the texts between the wildcards.
func onPlain(chars []rune, change func(string) string) []rune {
	var out, plain []rune
	for _, r := range append(chars[:len(chars):len(chars)], one) {
		if r >= 0 {
			plain = append(plain, r)
			continue
		}
		if len(plain) > 0 {
			out = append(out, characters(change(text(plain)))...)
			plain = nil
		}
		out = append(out, r)
	}
	return out[:len(out)-1]
}

// isPlain tells that there is no wildcard.
func isPlain(chars []rune) bool {
	return !slices.ContainsFunc(chars, func(r rune) bool { return r < 0 })
}

// pattern is a text cut at its stars.
type pattern [][]rune

func newPattern(chars []rune) pattern {
	p := pattern{nil}
	for _, r := range chars {
		if r == star {
			p = append(p, nil)
		} else {
			p[len(p)-1] = append(p[len(p)-1], r)
		}
	}
	return p
}

// fits tells whether the pattern is the whole of s: it begins with the first
// piece, ends with the last, and the others follow one another in between, each
// at the first place where it can be.
func (p pattern) fits(s []rune) bool {
	first, last := p[0], p[len(p)-1]
	if len(p) == 1 {
		return len(first) == len(s) && begins(s, first)
	}
	if !begins(s, first) {
		return false
	}
	s = s[len(first):]
	for _, piece := range p[1 : len(p)-1] {
		for !begins(s, piece) {
			if len(s) == 0 {
				return false
			}
			s = s[1:]
		}
		s = s[len(piece):]
	}
	return len(s) >= len(last) && begins(s[len(s)-len(last):], last)
}

// begins tells whether s begins with the piece, in which a question mark is any
// character and a dash any dash.
func begins(s, piece []rune) bool {
	if len(s) < len(piece) {
		return false
	}
	for i, r := range piece {
		if r != one && r != s[i] && (r != dash || !strings.ContainsRune(dashes, s[i])) {
			return false
		}
	}
	return true
}
