package parse

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"icewatch/soc/event"
	"icewatch/soc/pipeline/pack"
)

// Windows events as XML, by the schema that Microsoft publishes
// (https://learn.microsoft.com/en-us/windows/win32/wes/eventschema-schema):
// System, EventData or UserData, and RenderingInfo where the event was
// forwarded with its text. The parts get the names that the rules and the packs
// know them by, which are Windows' own: EventID, Channel, Computer, the names of
// Data; a Data without a name is param1, param2… as winlogbeat has it.

// Bounds of an event.
const (
	maxXMLDepth = 32
	maxXMLParts = 4000
)

// xmlPart is one value of an event, by its name.
type xmlPart struct{ name, value string }

// windowsXML reads one event. It returns false, and leaves the event as it was,
// where text is not exactly one.
func (p *Parser) windowsXML(text string) bool {
	text = trimSpace(text)
	if hasPrefix(text, "<?xml") {
		end := strings.Index(text, "?>")
		if end < 0 {
			return false
		}
		text = trimSpace(text[end+2:])
	}
	if !hasPrefix(text, "<Event") || len(text) < 7 || isWordByte(text[6]) {
		return false
	}
	x := xmlEvent{p: p, s: text, parts: p.xmlParts[:0]}
	ok := x.read()
	p.xmlParts = x.parts
	if !ok || x.channel == "" && x.id == "" {
		return false
	}
	p.base = len(p.ev.Fields)
	for i := range x.parts {
		p.free(x.parts[i].name, x.parts[i].value, event.String)
	}
	clear(x.parts) // They must not keep the text.
	p.base = 0
	if x.time != "" && !(p.soft && p.timed) {
		if t, ok := anyTime(x.time, p.opts.Location, p.rec.Received); ok {
			p.setTime(t)
		} else {
			p.badTime(x.time)
		}
	}
	p.byMembers(pack.JSON)
	p.windows()
	p.settle()
	if x.level != "" {
		p.ev.SetDefault(event.LogLevel, x.level)
	}
	if x.message != "" {
		p.putMessage(x.message)
	}
	return true
}

// xmlLevels are the words of System/Level (winmeta.xml).
var xmlLevels = map[string]string{"0": "information", "1": "critical", "2": "error", "3": "warning", "4": "information", "5": "verbose"}

// xmlEvent walks one event.
type xmlEvent struct {
	p     *Parser
	s     string
	i     int
	parts []xmlPart

	stack   [maxXMLDepth]string
	depth   int
	key     string // the Name of the present Data
	unnamed int    // Data without a name so far
	// what is wanted apart
	channel, id, time, level, message string
}

func (x *xmlEvent) read() bool {
	var text string // of the present element, so far
	leaf := false   // nothing but text came since the element began
	for x.i < len(x.s) {
		next := strings.IndexByte(x.s[x.i:], '<')
		if next < 0 {
			return false // The end of the event is missing.
		}
		if next > 0 && leaf {
			piece, ok := x.unescape(x.s[x.i : x.i+next])
			if !ok {
				return false
			}
			text = x.join(text, piece)
		}
		x.i += next
		rest := x.s[x.i:]
		switch {
		case hasPrefix(rest, "<!--"):
			end := strings.Index(rest, "-->")
			if end < 0 {
				return false
			}
			x.i += end + 3
		case hasPrefix(rest, "<![CDATA["):
			end := strings.Index(rest, "]]>")
			if end < 0 {
				return false
			}
			if leaf {
				text = x.join(text, rest[9:end])
			}
			x.i += end + 3
		case hasPrefix(rest, "<!"), hasPrefix(rest, "<?"):
			return false
		case hasPrefix(rest, "</"):
			end := strings.IndexByte(rest, '>')
			if end < 0 || x.depth == 0 || local(trimSpace(rest[2:end])) != x.stack[x.depth-1] {
				return false
			}
			if leaf {
				x.take(text)
			}
			x.i += end + 1
			x.depth--
			leaf, text = false, ""
			if x.depth == 0 {
				return trimSpace(x.s[x.i:]) == ""
			}
		default:
			closed, ok := x.open()
			if !ok {
				return false
			}
			leaf, text = !closed, ""
			if closed {
				if x.depth--; x.depth == 0 {
					return false // <Event/>
				}
			}
		}
	}
	return false
}

// join puts two pieces of an element's text together.
func (x *xmlEvent) join(a, b string) string {
	switch {
	case a == "":
		return b
	case b == "":
		return a
	}
	buf := x.p.arena.grab(len(a) + len(b))
	return x.p.arena.keep(append(append(buf, a...), b...))
}

// local is a name without its prefix.
func local(name string) string {
	if i := indexByte(name, ':'); i >= 0 {
		return name[i+1:]
	}
	return name
}

// open reads a tag that begins an element, with its attributes.
func (x *xmlEvent) open() (closed, ok bool) {
	s := x.s[x.i+1:]
	n := 0
	for n < len(s) && !isXMLEnd(s[n]) {
		n++
	}
	if n == 0 || x.depth == maxXMLDepth {
		return false, false
	}
	name := local(s[:n])
	x.stack[x.depth] = name
	x.depth++
	x.key = ""
	for {
		for n < len(s) && isXMLSpace(s[n]) {
			n++
		}
		if n >= len(s) {
			return false, false
		}
		switch s[n] {
		case '>':
			x.i += n + 2
			return false, true
		case '/':
			if n+1 >= len(s) || s[n+1] != '>' {
				return false, false
			}
			x.i += n + 3
			return true, true
		}
		from := n
		for n < len(s) && s[n] != '=' && !isXMLEnd(s[n]) {
			n++
		}
		attribute := local(s[from:n])
		for n < len(s) && isXMLSpace(s[n]) {
			n++
		}
		if n >= len(s) || s[n] != '=' || attribute == "" {
			return false, false
		}
		for n++; n < len(s) && isXMLSpace(s[n]); n++ {
		}
		if n >= len(s) || s[n] != '"' && s[n] != '\'' {
			return false, false
		}
		quote := s[n]
		end := indexByte(s[n+1:], quote)
		if end < 0 {
			return false, false
		}
		value, fine := x.unescape(s[n+1 : n+1+end])
		if !fine {
			return false, false
		}
		n += end + 2
		x.attribute(name, attribute, value)
	}
}

func isXMLSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }
func isXMLEnd(c byte) bool   { return isXMLSpace(c) || c == '>' || c == '/' }

func (x *xmlEvent) in(part string) bool { return x.depth > 1 && x.stack[1] == part }

func (x *xmlEvent) put(name, value string) {
	if value != "" && len(x.parts) < maxXMLParts {
		x.parts = append(x.parts, xmlPart{name, value})
	}
}

// attribute takes an attribute of an element.
func (x *xmlEvent) attribute(element, name, value string) {
	if x.in("EventData") {
		if element == "Data" && name == "Name" {
			x.key = value
		}
		return
	}
	if !x.in("System") || x.depth != 3 {
		return
	}
	switch element + "/" + name {
	case "Provider/Name":
		x.put("Provider_Name", value)
	case "Provider/Guid":
		x.put("Provider_Guid", value)
	case "Provider/EventSourceName":
		x.put("EventSourceName", value)
	case "TimeCreated/SystemTime":
		x.time = value
		x.put("SystemTime", value)
	case "Execution/ProcessID":
		x.put("Execution_ProcessID", value)
	case "Execution/ThreadID":
		x.put("Execution_ThreadID", value)
	case "Correlation/ActivityID":
		x.put("Correlation_ActivityID", value)
	case "Security/UserID":
		x.put("Security_UserID", value)
	}
}

// take takes the text of an element that has no others within.
func (x *xmlEvent) take(text string) {
	name := x.stack[x.depth-1]
	switch {
	case x.depth < 3:
	case x.in("System"):
		text = trimSpace(text)
		switch name {
		case "Channel":
			x.channel = text
		case "EventID":
			x.id = text
		case "Level":
			if x.level == "" {
				x.level = xmlLevels[text]
			}
		}
		x.put(name, text)
	case x.in("EventData"):
		switch {
		case name != "Data":
			x.put(name, text)
		case x.key != "":
			x.put(x.key, text)
		default:
			x.unnamed++
			x.put(paramName(x.unnamed), text)
		}
	case x.in("UserData"), x.in("DebugData"), x.in("ProcessingErrorData"):
		x.put(name, text)
	case x.in("RenderingInfo"):
		switch name {
		case "Message":
			x.message = text
		case "Level":
			if text != "" {
				x.level = strings.ToLower(text)
			}
		case "Task":
			x.put("TaskName", text)
		case "Opcode":
			x.put("OpcodeName", text)
		case "Keyword":
			x.put("KeywordName", text)
		}
	}
}

var paramNames = func() (t [32]string) {
	for i := range t {
		t[i] = "param" + strconv.Itoa(i+1)
	}
	return t
}()

func paramName(n int) string {
	if n <= len(paramNames) {
		return paramNames[n-1]
	}
	return "param" + strconv.Itoa(n)
}

// unescape replaces the references of a text. What has none is a part of the
// event's own text.
func (x *xmlEvent) unescape(s string) (string, bool) {
	at := indexByte(s, '&')
	if at < 0 {
		return s, true
	}
	buf := x.p.arena.grab(len(s))
	for at >= 0 {
		buf = append(buf, s[:at]...)
		s = s[at:]
		end := indexByte(s, ';')
		if end < 0 || end > 12 {
			return "", false
		}
		switch name := s[1:end]; name {
		case "lt":
			buf = append(buf, '<')
		case "gt":
			buf = append(buf, '>')
		case "amp":
			buf = append(buf, '&')
		case "quot":
			buf = append(buf, '"')
		case "apos":
			buf = append(buf, '\'')
		default:
			if name == "" || name[0] != '#' {
				return "", false
			}
			digits, base := name[1:], 10
			if len(digits) > 0 && (digits[0] == 'x' || digits[0] == 'X') {
				digits, base = digits[1:], 16
			}
			n, err := strconv.ParseUint(digits, base, 21)
			if err != nil {
				return "", false
			}
			c := rune(n)
			if c == 0 || !utf8.ValidRune(c) {
				c = utf8.RuneError
			}
			buf = utf8.AppendRune(buf, c)
		}
		s = s[end+1:]
		at = indexByte(s, '&')
	}
	return x.p.arena.keep(append(buf, s...)), true
}
