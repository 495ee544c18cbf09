package parse

import (
	"strings"

	"icewatch/soc/event"
	"icewatch/soc/pipeline/pack"
)

// minPairs is how many key=value pairs make a text structured. A sentence may
// well hold one or two.
const minPairs = 3

// keyValues reads key=value pairs, values bare or in double or single quotes,
// set apart by blanks, commas, semicolons or bars. A text that starts with a
// pair needs two of them, any other minPairs. It tells whether there were
// enough.
func (p *Parser) keyValues(text string) bool {
	need := minPairs
	if _, _, n := p.pair(text, false); n > 0 {
		need = minPairs - 1
	}
	if strings.Count(text, "=") < need {
		return false
	}
	found := 0
	p.pairs(text, func(string, string) bool {
		found++
		return found < need
	}, false)
	if found < need {
		return false
	}
	p.base = len(p.ev.Fields)
	timeText, rank := "", 0
	p.pairs(text, func(name, value string) bool {
		if r := timeRank(name); r > rank {
			timeText, rank = value, r
		}
		p.free(name, value, event.String)
		return true
	}, true)
	p.base = 0
	p.byMembers(pack.KV)
	p.settle()
	if timeText != "" && !p.timed {
		if t, ok := anyTime(timeText, p.opts.Location, p.rec.Received); ok {
			p.setTime(t)
		}
	}
	if !p.soft {
		p.dataset("kv.log", "kv")
	}
	return true
}

// pairs calls f for each pair until it returns false. Only with keep are
// escapes resolved.
func (p *Parser) pairs(text string, f func(name, value string) bool, keep bool) {
	for i := 0; i < len(text); {
		name, value, n := p.pair(text[i:], keep)
		if n == 0 {
			// Not a pair: on to the next word.
			j := strings.IndexAny(text[i:], " \t,;|[(\n")
			if j < 0 {
				return
			}
			i += j + 1
			continue
		}
		if !f(name, value) {
			return
		}
		i += n
	}
}

// pair reads name=value at the start of s and the one separator behind it.
func (p *Parser) pair(s string, keep bool) (name, value string, size int) {
	i := 0
	for i < len(s) && isKeyByte(s[i]) {
		i++
	}
	if i == 0 || i > 128 || i >= len(s) || s[i] != '=' || !isWordByte(s[0]) && s[0] != '@' || isDigits(s[:i]) {
		return "", "", 0
	}
	name = s[:i]
	i++
	if i < len(s) && s[i] == '=' {
		return "", "", 0 // a == b is code, not data.
	}
	if i < len(s) && (s[i] == '"' || s[i] == '\'') {
		quote := s[i]
		escaped := false
		for j := i + 1; j < len(s); j++ {
			if s[j] == '\\' && j+1 < len(s) {
				escaped = true
				j++
				continue
			}
			if s[j] != quote {
				continue
			}
			value = s[i+1 : j]
			if escaped && keep {
				value = p.unescape(value)
			}
			j++
			if j < len(s) {
				j++ // The separator.
			}
			return name, value, j
		}
		// The quote does not end: the text was cut. Take it as it is.
		return name, s[i+1:], len(s)
	}
	j := i
	for j < len(s) && s[j] != ' ' && s[j] != '\t' && s[j] != '\n' && s[j] != '|' {
		if (s[j] == ',' || s[j] == ';') && (j+1 == len(s) || s[j+1] == ' ' || nextIsPair(s[j+1:])) {
			break
		}
		j++
	}
	value = s[i:j]
	if j < len(s) {
		j++
	}
	return name, value, j
}

// nextIsPair tells whether a pair follows, so that a comma in a value is told
// from one between pairs.
func nextIsPair(s string) bool {
	i := 0
	for i < len(s) && i < 64 && isKeyByte(s[i]) {
		i++
	}
	return i > 0 && i < len(s) && s[i] == '='
}

func isKeyByte(c byte) bool {
	return isWordByte(c) || c == '.' || c == '-' || c == '@' || c == '/' || c >= 0x80
}

// unescape resolves the backslashes of a quoted value.
func (p *Parser) unescape(s string) string {
	b := p.arena.grab(len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '\\' && i+1 < len(s) {
			i++
			switch s[i] {
			case 'n':
				c = '\n'
			case 't':
				c = '\t'
			case 'r':
				c = '\r'
			case '"', '\'', '\\':
				c = s[i]
			default:
				b = append(b, '\\')
				c = s[i]
			}
		}
		b = append(b, c)
	}
	return p.arena.keep(b)
}
