package merging

import (
	"slices"
	"strings"
	"unicode"
)

// maxCompared bounds how much of a text is compared, in letters.
const maxCompared = 512

// Text is what a text is compared by: its set of character trigrams, each three
// letters packed into one number, ascending.
type Text []uint64

// TextOf reads a text. Case, white space and numbers do not count, since they
// tell firings of one kind apart and not kinds: a run of digits is one mark. A
// text of fewer than three letters is one gram by itself.
func TextOf(s string) Text {
	letters := make([]rune, 0, min(len(s), maxCompared))
	for _, r := range strings.ToLower(s) {
		if len(letters) == maxCompared {
			break
		}
		switch {
		case unicode.IsSpace(r):
			r = ' '
		case unicode.IsDigit(r):
			r = '#'
		}
		if n := len(letters); (r == ' ' || r == '#') && n > 0 && letters[n-1] == r {
			continue
		}
		letters = append(letters, r)
	}
	if n := len(letters); n > 0 && letters[n-1] == ' ' {
		letters = letters[:n-1]
	}
	if len(letters) > 0 && letters[0] == ' ' {
		letters = letters[1:]
	}
	pack := func(part []rune) (gram uint64) {
		for _, r := range part {
			gram = gram<<21 | uint64(r) // a letter of Unicode has 21 bits at most
		}
		return gram
	}
	if len(letters) == 0 {
		return nil
	}
	if len(letters) < 3 {
		return Text{pack(letters)}
	}
	out := make(Text, 0, len(letters)-2)
	for i := range len(letters) - 2 {
		out = append(out, pack(letters[i:i+3]))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Similarity is the Jaccard index of two texts' trigrams, |A∩B| / |A∪B|: 1 where
// they have all in common, 0 where nothing. Two empty texts are alike.
func Similarity(a, b Text) float64 {
	if len(a) == 0 && len(b) == 0 {
		return 1
	}
	common := 0
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch {
		case a[i] == b[j]:
			common, i, j = common+1, i+1, j+1
		case a[i] < b[j]:
			i++
		default:
			j++
		}
	}
	return float64(common) / float64(len(a)+len(b)-common)
}
