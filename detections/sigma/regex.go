package sigma

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode/utf8"
)

// regex brings an expression of the modifier re into Go's syntax. Sigma names
// PCRE as its flavour and of it only wildcards, anchors, quantifiers, classes,
// groups and alternation; look-around, back-references and the like "can not
// be used". That is what Go's linear-time engine offers, with one difference:
// in PCRE a plain $ also holds before a newline that ends the text.
//
// The size is that of the compiled program in instructions: how much work the
// expression makes does not show in its length.
func regex(expr, flags string, affix Affix) (out string, size int, err error) {
	if !utf8.ValidString(expr) {
		return "", 0, errNotUTF8
	}
	if name, at := foreign(expr); name != "" {
		return "", 0, fmt.Errorf("%q is %s, which Sigma's regular expressions do not have (specification 2.1.0, appendix modifiers)", at, name)
	}
	if _, err := syntax.Parse(expr, syntax.Perl); err != nil {
		return "", 0, plainer(err)
	}
	switch affix {
	case StartsWith:
		expr = `\A(?:` + expr + `)`
	case EndsWith:
		expr = `(?:` + expr + `)\z`
	}
	if flags != "" {
		expr = "(?" + flags + ")" + expr
	}
	tree, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return "", 0, plainer(err)
	}
	if endings(tree) {
		expr = tree.String()
		if tree, err = syntax.Parse(expr, syntax.Perl); err != nil {
			return "", 0, plainer(err)
		}
	}
	program, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return "", 0, plainer(err)
	}
	return expr, len(program.Inst), nil
}

// plainer drops what every error of the regexp package begins with.
func plainer(err error) error {
	return fmt.Errorf("%s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
}

// endings replaces each $ that is not the end of a line by what it means in
// PCRE, and tells whether there was one.
func endings(re *syntax.Regexp) bool {
	found := false
	for i, sub := range re.Sub {
		if sub.Op == syntax.OpEndText && sub.Flags&syntax.WasDollar != 0 {
			re.Sub[i], found = lastLineEnd(), true
			continue
		}
		found = endings(sub) || found
	}
	if re.Op == syntax.OpEndText && re.Flags&syntax.WasDollar != 0 {
		*re, found = *lastLineEnd(), true
	}
	return found
}

// lastLineEnd is \n?\z.
func lastLineEnd() *syntax.Regexp {
	newline := &syntax.Regexp{Op: syntax.OpLiteral, Rune: []rune{'\n'}}
	return &syntax.Regexp{Op: syntax.OpConcat, Sub: []*syntax.Regexp{
		{Op: syntax.OpQuest, Sub: []*syntax.Regexp{newline}}, {Op: syntax.OpEndText},
	}}
}

// groups names what may follow "(?" in PCRE and not in Sigma, longest first.
var groups = []struct{ prefix, name string }{
	{"<=", "a look-behind"}, {"<!", "a negative look-behind"}, {"=", "a look-ahead"}, {"!", "a negative look-ahead"},
	{">", "an atomic group"}, {"|", "a branch reset"}, {"#", "a comment"}, {"(", "a conditional group"}, {"C", "a callout"},
	{"P=", "a back-reference"}, {"P>", "a recursion"}, {"&", "a recursion"}, {"R", "a recursion"}, {"'", "a group named in quotes"},
	{"0", "a recursion"}, {"1", "a recursion"}, {"2", "a recursion"}, {"3", "a recursion"}, {"4", "a recursion"},
	{"5", "a recursion"}, {"6", "a recursion"}, {"7", "a recursion"}, {"8", "a recursion"}, {"9", "a recursion"}, {"+", "a recursion"},
}

// escapes names what may follow a backslash in PCRE and not in Sigma.
var escapes = map[byte]string{
	'k': "a back-reference", 'g': "a back-reference", 'K': "a reset of the match's start", 'G': "the anchor of the last match",
	'R': "the class of line breaks", 'X': "the class of grapheme clusters", 'h': "the class of horizontal space", 'H': "a class of horizontal space",
	'V': "a class of vertical space", 'N': "a class of line breaks", 'Z': "the anchor before a last newline", 'c': "a control character", 'e': "an escape character",
}

var (
	repetition = regexp.MustCompile(`^\{\d+(,\d*)?\}`)
	modeX      = regexp.MustCompile(`^\(\?[a-zA-Z]*[xJUn][a-zA-Z]*(-[a-zA-Z]+)?[:)]`)
)

// foreign finds the first construct of PCRE that Sigma does not have: its
// name and where it stands.
func foreign(expr string) (name, at string) {
	cut := func(i, n int) string { return expr[i:min(i+n, len(expr))] }
	quantified := false // the character before ended a quantifier
	for i := 0; i < len(expr); {
		was := quantified
		quantified = false
		switch c := expr[i]; {
		case c == '\\' && i+1 < len(expr):
			next := expr[i+1]
			if next == 'Q' {
				end := strings.Index(expr[i:], `\E`)
				if end < 0 {
					return "", ""
				}
				i += end
			} else if name := escapes[next]; name != "" {
				return name, cut(i, 2)
			} else if next >= '1' && next <= '9' && (i+2 >= len(expr) || expr[i+2] < '0' || expr[i+2] > '7') {
				return "a back-reference", cut(i, 2)
			}
			i += 2
		case c == '[':
			i = afterClass(expr, i)
		case c == '(' && strings.HasPrefix(expr[i:], "(*"):
			return "a verb of the matching engine", cut(i, 8)
		case c == '(' && strings.HasPrefix(expr[i:], "(?"):
			for _, g := range groups {
				if strings.HasPrefix(expr[i+2:], g.prefix) {
					return g.name, cut(i, 2+len(g.prefix))
				}
			}
			if m := modeX.FindString(expr[i:]); m != "" && strings.ContainsAny(m, "xJn") {
				return "a mode that changes how the expression is read", m
			}
			i += 2
		case c == '+' && was:
			return "a possessive quantifier", cut(max(i-1, 0), 2)
		case c == '?' && was:
			i++ // as few as possible; nothing may quantify it again
		case c == '*' || c == '+' || c == '?':
			quantified = true
			i++
		case c == '{':
			n := len(repetition.FindString(expr[i:]))
			quantified = n > 0
			i += max(n, 1)
		default:
			i++
		}
	}
	return "", ""
}

// afterClass returns where the class that opens at i is over.
func afterClass(expr string, i int) int {
	i++
	if i < len(expr) && expr[i] == '^' {
		i++
	}
	if i < len(expr) && expr[i] == ']' {
		i++
	}
	for i < len(expr) {
		switch {
		case expr[i] == '\\':
			i += 2
		case strings.HasPrefix(expr[i:], "[:"):
			if end := strings.Index(expr[i:], ":]"); end > 0 {
				i += end + 2
			} else {
				i++
			}
		case expr[i] == ']':
			return i + 1
		default:
			i++
		}
	}
	return len(expr)
}
