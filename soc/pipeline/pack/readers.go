package pack

import (
	"fmt"
	"regexp"
	"strings"
)

// reader reads the captures of a text.
type reader interface {
	read(text string, m *Match) bool
}

// expression is a regular expression; it is only tried on lines that have the
// log's anchors or its program.
type expression struct {
	re    *regexp.Regexp
	slots []int
}

func compileRegexp(src string, slot func(string) (int, error)) (*expression, error) {
	re, err := regexp.Compile(src)
	if err != nil {
		return nil, err
	}
	x := &expression{re: re}
	for i, name := range re.SubexpNames() {
		at := -1
		if i > 0 && name != "" {
			// Names of groups cannot have dots: two underscores stand for one.
			if at, err = slot(strings.ReplaceAll(name, "__", ".")); err != nil {
				return nil, err
			}
		}
		x.slots = append(x.slots, at)
	}
	return x, nil
}

func (x *expression) read(text string, m *Match) bool {
	at := x.re.FindStringSubmatchIndex(text)
	if at == nil {
		return false
	}
	for i, slot := range x.slots {
		if slot >= 0 && at[2*i] >= 0 {
			m.values[slot] = text[at[2*i]:at[2*i+1]]
		}
	}
	return true
}

// columns reads lines of values set apart by one character, each bare or in
// double quotes (RFC 4180).
type columns struct {
	slots     []int
	separator byte
	least     int
}

func compileCSV(d *csvDocument, slot func(string) (int, error)) (*columns, error) {
	c := &columns{separator: ',', least: d.Least}
	switch {
	case d.Separator == "tab":
		c.separator = '\t'
	case len(d.Separator) == 1:
		c.separator = d.Separator[0]
	case d.Separator != "":
		return nil, fmt.Errorf("csv: separator %q: one character, or tab, was expected", d.Separator)
	}
	if len(d.Columns) < 2 {
		return nil, fmt.Errorf("csv: %d columns: at least two were expected", len(d.Columns))
	}
	if c.least == 0 {
		c.least = len(d.Columns)
	}
	for _, name := range d.Columns {
		at, err := slot(name)
		if err != nil {
			return nil, err
		}
		c.slots = append(c.slots, at)
	}
	return c, nil
}

func (c *columns) read(text string, m *Match) bool {
	n := 0
	for more := true; more; n++ {
		var value string
		value, text, more = field(text, c.separator)
		if n < len(c.slots) && c.slots[n] >= 0 {
			m.values[c.slots[n]] = value
		}
	}
	return n >= c.least
}

// field reads one value. Doubled quotes within stay as they are.
func field(s string, separator byte) (value, rest string, more bool) {
	if s != "" && s[0] == '"' {
		for i := 1; i < len(s); i++ {
			if s[i] != '"' {
				continue
			}
			if i+1 < len(s) && s[i+1] == '"' {
				i++
				continue
			}
			if i+1 == len(s) {
				return s[1:i], "", false
			}
			if s[i+1] == separator {
				return s[1:i], s[i+2:], true
			}
			break
		}
	}
	i := strings.IndexByte(s, separator)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// each hands w the pairs of a text. A value in double quotes may hold the
// separator.
func (p *Pairs) each(s string, w Writer) {
	for s = strings.TrimLeft(s, " "); s != ""; s = strings.TrimLeft(s, " ") {
		eq := strings.Index(s, p.Assign)
		if eq < 0 {
			return
		}
		name := s[:eq]
		if i := strings.LastIndex(name, p.Separator); i >= 0 {
			name = name[i+len(p.Separator):] // What stands before it is no pair.
		}
		s = s[eq+len(p.Assign):]
		if s != "" && s[0] == '\'' {
			s = s[1:] // Pairs within a pair, as auditd has them: msg='op=login …'
			continue
		}
		var value string
		if end := 0; s != "" && s[0] == '"' {
			if end = strings.IndexByte(s[1:], '"'); end >= 0 {
				value, s = s[1:end+1], s[end+2:]
				if i := strings.Index(s, p.Separator); i >= 0 {
					s = s[i+len(p.Separator):]
				} else {
					s = ""
				}
				w.Pair(p.prefix, strings.TrimSpace(name), value)
				continue
			}
		}
		if i := strings.Index(s, p.Separator); i >= 0 {
			value, s = s[:i], s[i+len(p.Separator):]
		} else {
			value, s = strings.TrimSuffix(s, strings.TrimRight(p.Separator, " ")), ""
		}
		w.Pair(p.prefix, strings.TrimSpace(name), strings.Trim(value, " '"))
	}
}
