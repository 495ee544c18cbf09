package forwarding

import (
	"fmt"
	"slices"
	"strings"
)

// pattern is a name with words in braces that each event fills in.
type pattern []string // texts and words by turns, a text first

// parsePattern reads a pattern whose words are some of those given.
func parsePattern(text string, words ...string) (pattern, error) {
	var p pattern
	rest := text
	for {
		before, after, ok := strings.Cut(rest, "{")
		p = append(p, before)
		if !ok {
			break
		}
		word, after, ok := strings.Cut(after, "}")
		if !ok || !slices.Contains(words, word) {
			return nil, fmt.Errorf("%.80q: in braces one of %s is right", text, strings.Join(words, ", "))
		}
		p = append(p, word)
		rest = after
	}
	return p, nil
}

// fill gives the name for an event.
func (p pattern) fill(word func(string) string) string {
	if len(p) == 1 {
		return p[0]
	}
	var b strings.Builder
	for i, s := range p {
		if i%2 == 0 {
			b.WriteString(s)
			continue
		}
		// What a name may hold is the strictest of the targets': Elasticsearch's.
		b.WriteString(strings.Map(func(r rune) rune {
			switch {
			case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '.', r == '_', r == '-':
				return r
			case r >= 'A' && r <= 'Z':
				return r + 'a' - 'A'
			}
			return '_'
		}, word(s)))
	}
	return b.String()
}

// sample is a name that the pattern may give.
func (p pattern) sample() string { return p.fill(func(string) string { return "x" }) }
