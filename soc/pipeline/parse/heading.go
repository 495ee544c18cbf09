package parse

import (
	"net/netip"
	"strings"

	"icewatch/soc/event"
	"icewatch/soc/pipeline/pack"
)

// maxHeadings bounds the sources whose columns are remembered.
const maxHeadings = 10_000

// headings are the columns of the logs that name them in lines of their own:
// W3C extended logs (https://www.w3.org/TR/WD-logfile.html), which IIS and
// others write, and Zeek's (https://docs.zeek.org/en/master/log-formats.html).
type headings struct {
	sources map[headingSource]*headingOf
	any     bool
}

type headingSource struct {
	peer netip.Addr
	file string
}

type headingOf struct {
	columns  []string
	zeek     bool
	path     string // Zeek's name of the log
	software string
}

func (p *Parser) headingSource() headingSource {
	s := headingSource{peer: p.rec.Peer}
	for i := range p.rec.Attrs {
		if p.rec.Attrs[i].Name == "log.file.path" {
			s.file = p.rec.Attrs[i].Value
		}
	}
	return s
}

// heading reads a line of a log that names its columns: the names, or values
// for them.
func (p *Parser) heading(text string) bool {
	if text == "" {
		return false
	}
	if text[0] == '#' {
		return p.directive(text)
	}
	if !p.headings.any {
		return false
	}
	h := p.headings.sources[p.headingSource()]
	return h != nil && len(h.columns) > 0 && p.row(h, text)
}

// directive reads a line that starts with #.
func (p *Parser) directive(text string) bool {
	text = strings.TrimRight(text, "\r\n ")
	name, value, _ := strings.Cut(text[1:], ":")
	zeek := false
	if n, v, ok := strings.Cut(text[1:], "\t"); ok {
		name, value, zeek = n, v, true
	} else if hasPrefix(text, "#separator ") {
		name, zeek = "separator", true
	}
	switch name {
	case "Software", "Version", "Date", "Start-Date", "End-Date", "Remark", "Fields":
		if zeek {
			return false
		}
	case "separator", "set_separator", "empty_field", "unset_field", "path", "open", "close", "fields", "types":
		if !zeek {
			return false
		}
	default:
		return false
	}
	s := p.headingSource()
	h := p.headings.sources[s]
	if h == nil {
		if len(p.headings.sources) >= maxHeadings || p.headings.sources == nil {
			p.headings.sources = map[headingSource]*headingOf{}
		}
		h = &headingOf{}
		s.file = strings.Clone(s.file)
		p.headings.sources[s] = h
		p.headings.any = true
	}
	h.zeek = zeek
	switch name {
	case "path":
		h.path = strings.Clone(trimSpace(value))
	case "Software":
		h.software = strings.Clone(trimSpace(value))
	case "fields":
		h.columns = strings.Split(strings.Clone(value), "\t")
	case "Fields":
		h.columns = strings.Fields(strings.Clone(value))
	}
	p.putMessage(text)
	if zeek {
		p.dataset("zeek.header", "zeek")
	} else {
		p.dataset("w3c.header", "w3c")
	}
	return true
}

// row reads values in the order of the columns.
func (p *Parser) row(h *headingOf, text string) bool {
	separator := " "
	if h.zeek {
		separator = "\t"
	}
	text = strings.TrimRight(text, "\r\n")
	if strings.Count(text, separator)+1 != len(h.columns) {
		return false
	}
	first := len(p.ev.Fields)
	p.base = first
	date, clockText := "", ""
	rest := text
	for _, name := range h.columns {
		var value string
		value, rest, _ = strings.Cut(rest, separator)
		switch {
		case value == "" || value == "-" || value == "(empty)":
			continue
		case name == "date" && !h.zeek:
			date = value
			continue
		case name == "time" && !h.zeek:
			clockText = value
			continue
		case name == "ts" && h.zeek:
			if t, ok := epoch(value); ok {
				p.setTime(t)
			}
		}
		p.free(name, value, event.String)
	}
	p.base = 0
	if h.zeek {
		if h.path != "" {
			p.free("_path", h.path, event.String)
		}
		p.sensorFlow(first)
		p.byMember(first)
		p.byMembers(pack.W3C)
		p.settle()
		p.dataset("zeek."+h.path, "zeek")
	} else {
		// The times of W3C logs are UTC.
		if t, ok := anyTime(date+"T"+clockText+"Z", p.opts.Location, p.rec.Received); ok {
			p.setTime(t)
		}
		if strings.Contains(h.software, "Internet Information Services") {
			p.free("software", "iis", event.String)
		}
		p.byMembers(pack.W3C)
		p.settle()
		p.dataset("w3c.access", "w3c")
	}
	p.putMessage(text)
	return true
}
