package report

import (
	"strings"
	"unicode"
)

// Characters that no line begins or ends with (GB/T 15834, 6.1 and following).
const (
	notFirst = "，。、；：？！）》」』】〕…—·,.;:?!)]}%”’"
	notLast  = "（《「『【〔([{“‘"
)

// lines breaks a text into lines that are no wider than width by measure: at
// spaces, which the break takes the place of, and beside Chinese characters,
// of which none is lost. A word that is wider than a line is broken anywhere.
func lines(text string, width float64, measure func(string) float64) []string {
	all := []rune(text)
	var out []string
	for len(all) > 0 {
		n := fits(all, width, measure)
		if n == len(all) {
			return append(out, string(all))
		}
		end := n
		for end > 0 && !breaks(all, end) {
			end--
		}
		if end == 0 {
			end = n // nowhere to break well
		}
		out = append(out, strings.TrimRight(string(all[:end]), " "))
		for all = all[end:]; len(all) > 0 && all[0] == ' '; all = all[1:] {
		}
	}
	return out
}

// fits tells how many characters one line holds, one at least.
func fits(all []rune, width float64, measure func(string) float64) int {
	used := 0.0
	for i, r := range all {
		if used += measure(string(r)); used > width && r != ' ' {
			return max(i, 1)
		}
	}
	return len(all)
}

// breaks tells whether a line may end before the character at a place.
func breaks(all []rune, at int) bool {
	before, after := all[at-1], all[at]
	if strings.ContainsRune(notFirst, after) || strings.ContainsRune(notLast, before) {
		return false
	}
	return before == ' ' || after == ' ' || wide(before) || wide(after)
}

// wide tells whether a character belongs to a script that is written without spaces.
func wide(r rune) bool {
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul) || r >= 0x3000 && r <= 0x303F || r >= 0xFF00 && r <= 0xFFEF
}
