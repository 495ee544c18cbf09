package parse

import (
	"strings"
	"time"
)

// header is what stands before a syslog message. Empty parts were not there.
type header struct {
	pri      int // -1 without one
	version  string
	time     int64
	timed    bool
	bsd      bool // the time is written as RFC 3164 has it, month first
	host     string
	app      string
	pid      string
	msgid    string
	sequence string // Cisco's message counter
	sd       string // structured data with its brackets
	msg      string
}

// Lengths beyond which a word is no host name (RFC 5424, 6) or no tag.
const (
	maxHost = 255
	maxTag  = 64
)

// scanHeader reads the header of a message that came over a syslog listener,
// RFC 5424 or RFC 3164 as devices send it. What is missing stays empty; a text
// without any header is all message.
func scanHeader(s string, loc *time.Location, received int64) (h header) {
	h.pri, s = priority(s)
	if h.pri >= 0 {
		if body, ok := h.rfc5424(s, loc, received); ok {
			h.msg = body
			return h
		}
	}
	h.rfc3164(s, loc, received)
	return h
}

// bareHeader recognises a line of a log file that starts with a syslog header
// without a priority (or with one, as raw captures have it). A time with the
// month in front is syslog's own; behind any other time it wants a host and a
// tag, lest it take every dated line for syslog.
func bareHeader(s string, loc *time.Location, received int64) (h header, ok bool) {
	if s == "" {
		return h, false
	}
	if s[0] == '<' {
		if h = scanHeader(s, loc, received); h.pri >= 0 && h.timed {
			return h, true
		}
		return h, false
	}
	if month(s) == 0 && !isDigit(s[0]) && s[0] != '*' {
		return h, false
	}
	h.pri = -1
	h.rfc3164(s, loc, received)
	return h, h.timed && (h.app != "" || h.bsd && h.host != "")
}

// priority reads <0> to <191>.
func priority(s string) (int, string) {
	if len(s) < 3 || s[0] != '<' {
		return -1, s
	}
	n, size := digits(s[1:], 3)
	if size == 0 || n > 191 || len(s) <= size+1 || s[size+1] != '>' {
		return -1, s
	}
	return n, s[size+2:]
}

// rfc5424 reads VERSION SP TIMESTAMP SP HOSTNAME SP APP-NAME SP PROCID SP
// MSGID SP STRUCTURED-DATA [SP MSG].
func (h *header) rfc5424(s string, loc *time.Location, received int64) (msg string, ok bool) {
	v, n := digits(s, 3)
	if n == 0 || v == 0 || len(s) <= n+1 || s[n] != ' ' {
		return s, false
	}
	version := s[:n]
	rest := s[n+1:]
	if hasPrefix(rest, "- ") {
		rest = rest[2:]
	} else {
		c, tail, isTime := isoTime(rest)
		if !isTime || tail == "" || tail[0] != ' ' {
			return s, false
		}
		h.time, h.timed = c.moment(loc, received)
		rest = tail[1:]
	}
	h.version = version
	h.host, rest = nilWord(rest)
	h.app, rest = nilWord(rest)
	h.pid, rest = nilWord(rest)
	h.msgid, rest = nilWord(rest)
	switch {
	case rest == "-" || hasPrefix(rest, "- "):
		rest = strings.TrimPrefix(rest[1:], " ")
	case hasPrefix(rest, "["):
		if n := structuredDataLen(rest); n > 0 {
			h.sd = rest[:n]
			rest = strings.TrimPrefix(rest[n:], " ")
		}
	}
	return strings.TrimPrefix(rest, "\ufeff"), true
}

// nilWord reads a word and turns RFC 5424's nil value into nothing.
func nilWord(s string) (head, rest string) {
	head, rest, _ = strings.Cut(s, " ")
	if head == "-" {
		head = ""
	}
	return head, rest
}

// structuredDataLen measures the SD elements at the start of s; 0 where they
// are malformed.
func structuredDataLen(s string) int {
	i := 0
	for i < len(s) && s[i] == '[' {
		quoted := false
		i++
		// A name has no quotes: Check Point writes [action:"Drop"; …] as its text.
		if n := strings.IndexAny(s[i:], ` ]"`); n >= 0 && s[i+n] == '"' {
			return 0
		}
		for ; ; i++ {
			if i >= len(s) {
				return 0
			}
			if c := s[i]; c == '\\' && quoted {
				i++
			} else if c == '"' {
				quoted = !quoted
			} else if c == ']' && !quoted {
				i++
				break
			}
		}
	}
	if i < len(s) && s[i] != ' ' {
		return 0
	}
	return i
}

// rfc3164 reads what follows the priority in the many shapes devices give it.
func (h *header) rfc3164(s string, loc *time.Location, received int64) {
	s = strings.TrimLeft(s, " ")
	s = h.ciscoSequence(s)
	h.bsd = month(strings.TrimLeft(s, "*.:")) != 0
	if c, rest, ok := looseTime(s); ok {
		if h.time, h.timed = c.moment(loc, received); h.timed {
			s = rest
		}
	} else if name, after, ok := strings.Cut(s, ": "); ok && isHost(name) {
		// Cisco with "logging origin-id": <189>12: edge1: *Mar  1 00:00:01: %SYS…
		if c, rest, ok := looseTime(after); ok {
			if h.time, h.timed = c.moment(loc, received); h.timed {
				h.host, s = name, rest
			}
		}
	}
	if h.timed {
		s = strings.TrimLeft(s, " ")
		if hasPrefix(s, ": ") { // *Mar  1 00:00:01.123: %SYS-5-CONFIG_I: …
			s = strings.TrimLeft(s[2:], " ")
		}
	}
	if h.takeTag(s) {
		return
	}
	name, rest := word(s)
	// A table of a program's own parts its columns by more blanks than a header.
	column := h.pri < 0 && !h.bsd && hasPrefix(s[len(name):], "  ")
	if h.host == "" && !column && h.nameIsHost(name, rest) {
		h.host = name
		rest = strings.TrimLeft(strings.TrimPrefix(rest, ": "), " ")
		if h.takeTag(rest) {
			return
		}
		s = rest
	}
	h.msg = s
}

// nameIsHost decides whether the word before rest is a host name.
func (h *header) nameIsHost(name, rest string) bool {
	if rest == "" || !isHost(name) {
		return false
	}
	if (name == "last" || name == "message") && (hasPrefix(rest, "message repeated") || hasPrefix(rest, "repeated")) {
		return false
	}
	if h.timed && (h.pri >= 0 || h.bsd) {
		return true // The header as the RFC has it.
	}
	if isLevel(name) {
		return false // "2026-11-23 10:00:00 INFO kafka.server.KafkaServer: …"
	}
	after := strings.TrimLeft(strings.TrimPrefix(rest, ": "), " ")
	var probe header
	return probe.takeTag(after)
}

// isLevel tells whether a word is the severity that logging libraries write
// behind the time.
func isLevel(s string) bool {
	switch s {
	case "TRACE", "DEBUG", "INFO", "NOTICE", "WARN", "WARNING", "ERROR", "FATAL", "SEVERE", "CRITICAL":
		return true
	}
	return false
}

// ciscoSequence takes the counter "000123: " that IOS puts first.
func (h *header) ciscoSequence(s string) string {
	_, n := digits(s, 10)
	if n == 0 || len(s) <= n+1 || s[n] != ':' || s[n+1] != ' ' {
		return s
	}
	h.sequence = s[:n]
	return strings.TrimLeft(s[n+2:], " ")
}

// looseTime reads a time with the signs that devices put before it: * and .
// say that the clock is not synchronised, : is a leftover.
func looseTime(s string) (clock, string, bool) {
	if s != "" && (s[0] == '*' || s[0] == '.' || s[0] == ':') {
		s = s[1:]
	}
	if s == "" {
		return clock{}, s, false
	}
	if isDigit(s[0]) {
		if c, rest, ok := isoTime(s); ok && (rest == "" || rest[0] == ' ' || rest[0] == ':') {
			return c, rest, true
		}
	}
	c, rest, ok := bsdTime(s)
	return c, rest, ok && (rest == "" || rest[0] == ' ' || rest[0] == ':')
}

// takeTag reads "program[pid]: ", "program: " or "%FACILITY-5-MNEMONIC: " and
// what follows as the message.
func (h *header) takeTag(s string) bool {
	if s == "" {
		return false
	}
	end := -1
scan:
	for i := 0; i < len(s) && i <= maxTag; i++ {
		switch c := s[i]; {
		case c == ':' || c == '[':
			end = i
			break scan
		case c == ' ' || c == '=' || c == '"' || c == '{' || c == ',' || c == ']' || c < ' ' || c == '<' || c == '\\':
			break scan
		}
	}
	if end <= 0 || isDigits(s[:end]) || s[0] == '(' && s[end-1] != ')' {
		return false // systemd's own children are (sd-pam); other brackets open a text.
	}
	app, rest := s[:end], s[end:]
	pid := ""
	if rest[0] == '[' {
		n := indexByte(rest, ']')
		if n < 1 || n > 48 {
			return false
		}
		pid, rest = rest[1:n], rest[n+1:]
		if rest == "" || rest[0] != ':' {
			// Some programs leave the colon away; without it the brackets
			// must hold a process id.
			if !isDigits(pid) || rest != "" && rest[0] != ' ' {
				return false
			}
			h.app, h.pid, h.msg = app, pid, strings.TrimPrefix(rest, " ")
			return true
		}
	}
	rest = rest[1:]
	if rest != "" && rest[0] != ' ' {
		return false // An address, a time or a URL, not a tag.
	}
	h.app, h.pid = app, pid
	h.msg = strings.TrimPrefix(rest, " ")
	if app[0] == '%' { // Cisco: the mnemonic is the message's id, not a program.
		h.app = ""
		h.msgid = app
		h.msg = s
	}
	return true
}

// isHost tells whether a word can be a host name or an address.
func isHost(s string) bool {
	if s == "" || len(s) > maxHost || s[0] == '-' || s[0] == '%' {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !isWordByte(c) && c != '.' && c != '-' && c != ':' && c < 0x80 {
			return false
		}
	}
	return s[len(s)-1] != ':' || isIP(s)
}

// structuredData makes each parameter a field
// log.syslog.structured_data.<SD-ID>.<name>.
func (p *Parser) structuredData(s string) {
	for s != "" && s[0] == '[' {
		s = s[1:]
		n := strings.IndexAny(s, " ]")
		if n < 0 {
			return
		}
		id := s[:n]
		s = strings.TrimLeft(s[n:], " ")
		for s != "" && s[0] != ']' {
			eq := indexByte(s, '=')
			if eq < 0 || len(s) < eq+2 || s[eq+1] != '"' {
				return
			}
			name := s[:eq]
			value, size := p.quoted(s[eq+1:])
			if size == 0 {
				return
			}
			s = strings.TrimLeft(s[eq+1+size:], " ")
			p.path = append(p.path[:0], "log.syslog.structured_data."...)
			p.path = append(p.path, id...)
			if name != "" {
				p.path = append(p.path, '.')
				p.path = append(p.path, name...)
			}
			p.free(view(p.path), value, 0)
		}
		s = strings.TrimPrefix(s, "]")
	}
}

// quoted reads a text in double quotes at the start of s, in which a backslash
// protects the next character. It returns the text without them and the bytes
// read; 0 where the quote does not end.
func (p *Parser) quoted(s string) (value string, size int) {
	escaped := false
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			escaped = true
			i++
		case '"':
			if !escaped {
				return s[1:i], i + 1
			}
			b := p.arena.grab(i)
			for j := 1; j < i; j++ {
				// RFC 5424, 6.3.3: a backslash before another character is
				// itself a character.
				if s[j] == '\\' && (s[j+1] == '"' || s[j+1] == '\\' || s[j+1] == ']') {
					j++
				}
				b = append(b, s[j])
			}
			return p.arena.keep(b), i + 1
		}
	}
	return "", 0
}
