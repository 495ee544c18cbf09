package match

import (
	"strings"
	"unicode/utf8"

	"icewatch/detections/sigma"
)

// glob matches a whole text against a pattern with both wildcards. It goes
// back only to the last star, so its time is bounded by the product of the
// lengths.
func glob(p sigma.Pattern, s string) bool {
	part, pos := 0, 0
	star, starPos := -1, 0
	for {
		if part < len(p) {
			switch p[part].Wild {
			case sigma.Star:
				star, starPos = part, pos
				part++
				continue
			case sigma.Single:
				if pos < len(s) {
					_, n := utf8.DecodeRuneInString(s[pos:])
					pos += n
					part++
					continue
				}
			default:
				if strings.HasPrefix(s[pos:], p[part].Text) {
					pos += len(p[part].Text)
					part++
					continue
				}
			}
		} else if pos == len(s) {
			return true
		}
		// This way failed: let the last star take one character more.
		if star < 0 || starPos >= len(s) {
			return false
		}
		_, n := utf8.DecodeRuneInString(s[starPos:])
		starPos += n
		if star+1 < len(p) && p[star+1].Wild == sigma.Literal {
			i := strings.Index(s[starPos:], p[star+1].Text)
			if i < 0 {
				return false
			}
			starPos += i
		}
		part, pos = star+1, starPos
	}
}
