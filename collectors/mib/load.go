package mib

import (
	"fmt"
	"strconv"
	"strings"
)

// Bounds of what is read from the texts of modules.
const (
	MaxText    = 8 << 20 // bytes of one text
	MaxObjects = 100_000 // objects with names, all modules together
	maxArcs    = 128     // numbers of an identifier (RFC 2578, 3.5)
)

// well are the roots that modules import and none defines.
var well = map[string]string{
	"iso": "1", "org": "1.3", "dod": "1.3.6", "internet": "1.3.6.1", "directory": "1.3.6.1.1", "mgmt": "1.3.6.1.2", "mib-2": "1.3.6.1.2.1",
	"transmission": "1.3.6.1.2.1.10", "experimental": "1.3.6.1.3", "private": "1.3.6.1.4", "enterprises": "1.3.6.1.4.1", "security": "1.3.6.1.5",
	"snmpV2": "1.3.6.1.6", "snmpDomains": "1.3.6.1.6.1", "snmpProxys": "1.3.6.1.6.2", "snmpModules": "1.3.6.1.6.3", "snmpTraps": "1.3.6.1.6.3.1.1.5",
	"zeroDotZero": "0.0", "ccitt": "0", "joint-iso-ccitt": "2", "system": "1.3.6.1.2.1.1", "interfaces": "1.3.6.1.2.1.2", "host": "1.3.6.1.2.1.25",
	"ifMIB": "1.3.6.1.2.1.31", "entityMIB": "1.3.6.1.2.1.47", "snmp": "1.3.6.1.2.1.11",
}

// definition is an object of a module before its parent is known.
type definition struct {
	name, parent string
	arcs         []string
	words        map[int64]string
}

// Load adds the names of MIB modules (SMIv1 or SMIv2 texts) to those that n
// has. Modules may refer to each other in any order. The error names modules'
// objects whose parent no text defines; all others have their names.
func (n *Names) Load(texts ...string) error {
	var open []definition
	total := 0
	for i, text := range texts {
		if len(text) > MaxText {
			return fmt.Errorf("mib: text %d has %d bytes; %d are the most", i+1, len(text), MaxText)
		}
		found := define(text)
		if total += len(found); total > MaxObjects {
			return fmt.Errorf("mib: the texts define more than %d objects", MaxObjects)
		}
		open = append(open, found...)
	}
	if len(texts) > 0 && len(open) == 0 {
		return fmt.Errorf("mib: the texts define no object; ASN.1 modules as vendors publish them are expected, with lines such as name OBJECT-TYPE … ::= { parent 1 }")
	}
	at := make(map[string]string, len(well)+len(n.byOID)+len(open))
	for oid, name := range n.byOID {
		at[name] = oid
	}
	for name, oid := range well {
		at[name] = oid
	}
	for progress := true; progress && len(open) > 0; {
		progress = false
		rest := open[:0]
		for _, d := range open {
			parent, ok := at[d.parent]
			if !ok {
				rest = append(rest, d)
				continue
			}
			progress = true
			oid := parent
			if len(d.arcs) > 0 {
				oid += "." + strings.Join(d.arcs, ".")
			}
			if strings.Count(oid, ".") >= maxArcs {
				continue
			}
			at[d.name] = oid
			if _, own := n.byOID[oid]; !own {
				n.byOID[oid] = d.name
			}
			for v, w := range d.words {
				n.word(oid, v, w)
			}
		}
		open = rest
	}
	if len(open) > 0 {
		return fmt.Errorf("mib: %d objects have a parent that no text defines, such as %s below %s: add the module that defines %s", len(open), open[0].name, open[0].parent, open[0].parent)
	}
	return nil
}

// macros are the words behind a name that make it an object with an identifier.
var macros = map[string]bool{"OBJECT-TYPE": true, "OBJECT-IDENTITY": true, "MODULE-IDENTITY": true, "NOTIFICATION-TYPE": true, "OBJECT-GROUP": true,
	"NOTIFICATION-GROUP": true, "MODULE-COMPLIANCE": true, "AGENT-CAPABILITIES": true, "TRAP-TYPE": true}

// define finds the definitions of a module's text.
func define(text string) (found []definition) {
	s := scanner{rest: text}
	var before [2]string // the two tokens before the present one
	for tok := s.next(); tok != "" && len(found) <= MaxObjects; tok = s.next() {
		name := before[1]
		switch {
		case tok == "IDENTIFIER" && before[1] == "OBJECT":
			name = before[0]
			if s.next() != "::=" {
				break
			}
			if d, ok := s.place(name); ok {
				found = append(found, d)
			}
		case macros[tok] && isName(name):
			if d, ok := s.object(name, tok); ok {
				found = append(found, d)
			}
		}
		before[0], before[1] = before[1], tok
	}
	return found
}

// object reads on to where the object's identifier stands.
func (s *scanner) object(name, macro string) (definition, bool) {
	words, enterprise := map[int64]string(nil), ""
	for tok := s.next(); tok != ""; tok = s.next() {
		switch tok {
		case "ENTERPRISE":
			enterprise = s.next()
			if enterprise == "{" {
				enterprise = s.next()
			}
		case "INTEGER", "BITS", "Integer32":
			if s.peek() == "{" {
				words = s.words()
			}
		case "::=":
			if macro != "TRAP-TYPE" {
				d, ok := s.place(name)
				d.words = words
				return d, ok
			}
			// RFC 3584, 3.1: a trap of version 1 is enterprise, 0, number.
			number := s.next()
			if !digits(number) || enterprise == "" {
				return definition{}, false
			}
			if enterprise == "snmp" { // The generic traps are numbered from 0 there, and from 1 in snmpTraps.
				n, _ := strconv.Atoi(number)
				return definition{name: name, parent: "snmpTraps", arcs: []string{strconv.Itoa(n + 1)}}, true
			}
			return definition{name: name, parent: enterprise, arcs: []string{"0", number}}, true
		}
	}
	return definition{}, false
}

// place reads { parent 1 2 }, where a number may have a name: { iso org(3) }.
func (s *scanner) place(name string) (definition, bool) {
	d := definition{name: name}
	if s.next() != "{" {
		return d, false
	}
	for tok := s.next(); tok != "}"; tok = s.next() {
		switch {
		case tok == "" || len(d.arcs) > maxArcs:
			return d, false
		case digits(tok):
			d.arcs = append(d.arcs, strings.TrimLeft(tok[:len(tok)-1], "0")+tok[len(tok)-1:])
		case tok == "(":
			number := s.next()
			if !digits(number) || s.next() != ")" {
				return d, false
			}
			d.arcs = append(d.arcs, number)
		case d.parent == "":
			d.parent = tok
			if s.peek() == "(" { // { iso(1) … }
				s.next()
				s.next()
				s.next()
			}
		}
	}
	if d.parent == "" && len(d.arcs) > 0 {
		d.parent, d.arcs = map[string]string{"0": "ccitt", "1": "iso", "2": "joint-iso-ccitt"}[d.arcs[0]], d.arcs[1:]
	}
	return d, d.parent != "" && isName(name)
}

// words reads the enumeration { up(1), down(2) }.
func (s *scanner) words() map[int64]string {
	words, word := map[int64]string{}, ""
	for tok := s.next(); tok != "}" && tok != "" && len(words) < 1000; tok = s.next() {
		switch {
		case tok == "(":
			if v, err := strconv.ParseInt(s.next(), 10, 64); err == nil && word != "" {
				words[v] = word
			}
		case isName(tok):
			word = tok
		}
	}
	return words
}

func isName(s string) bool {
	return s != "" && s[0] >= 'a' && s[0] <= 'z' && len(s) <= 128
}

func digits(s string) bool {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return s != "" && len(s) <= 10
}

// scanner cuts ASN.1 into tokens. Texts in quotes are tokens of their own, which
// nothing here looks into; comments are passed over.
type scanner struct{ rest string }

func (s *scanner) peek() string { return (&scanner{s.rest}).next() }

func (s *scanner) next() string {
	for {
		s.rest = strings.TrimLeft(s.rest, " \t\r\n\f")
		if !strings.HasPrefix(s.rest, "--") {
			break
		}
		// A comment ends at the line's end or at the next two dashes.
		body := s.rest[2:]
		end := strings.IndexAny(body, "\r\n")
		if end < 0 {
			end = len(body)
		}
		if i := strings.Index(body[:end], "--"); i >= 0 && strings.Trim(body[:i], "-") != "" {
			end = i + 2
		}
		s.rest = body[end:]
	}
	if s.rest == "" {
		return ""
	}
	n := 1
	switch c := s.rest[0]; {
	case c == '"':
		if i := strings.IndexByte(s.rest[1:], '"'); i >= 0 {
			n = i + 2
		} else {
			n = len(s.rest)
		}
	case strings.HasPrefix(s.rest, "::="):
		n = 3
	case word(c):
		for n < len(s.rest) && word(s.rest[n]) && !strings.HasPrefix(s.rest[n:], "--") {
			n++
		}
	}
	tok := s.rest[:n]
	s.rest = s.rest[n:]
	return tok
}

func word(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.'
}
