package parse

import (
	"strings"
	"time"

	"icewatch/soc/event"
	"icewatch/soc/pipeline/pack"
)

// byPack recognises a text by the packs in force.
func (p *Parser) byPack(text string) bool {
	if p.opts.Packs == nil {
		return false
	}
	set := p.opts.Packs.Load()
	if set == nil || !set.Text(text, baseName(p.program), &p.matched) {
		return false
	}
	p.apply()
	p.settle()
	return true
}

// byMembers gives a record whose members were read its ECS fields, where a
// pack knows the product by them.
func (p *Parser) byMembers(format string) {
	if p.opts.Packs == nil || p.ev.Has(event.EventDataset) {
		return
	}
	set := p.opts.Packs.Load()
	if set != nil && set.Members(format, p.ev.Fields, &p.matched) {
		p.apply()
	}
}

// apply writes what a pack found.
func (p *Parser) apply() {
	l := p.matched.Log
	p.writer.from = len(p.ev.Fields)
	p.matched.Apply(&p.writer)
	p.dataset(l.Dataset, l.Module)
	p.put(event.LogType, l.ID)
}

// packWriter is how a pack writes to the event of its parser.
type packWriter struct {
	p    *Parser
	from int // where the fields of the pack begin
}

func (w *packWriter) Given(id event.FieldID) bool {
	for _, f := range w.p.ev.Fields[w.from:] {
		if f.ID == id {
			return true
		}
	}
	return w.p.soft && w.p.ev.Has(id)
}

func (w *packWriter) Put(id event.FieldID, kind event.Kind, value string) {
	p := w.p
	if value == "" || w.Given(id) {
		return
	}
	switch id {
	case event.NetworkTransport:
		if t := transport(value); t != "" {
			value = t
		}
	case event.LogLevel:
		value = level(value)
	}
	p.base = w.from
	if p.hadBefore(id) {
		p.supersede(id) // The message knows better than its header.
		w.from = p.base
	}
	p.base = 0
	if id == event.URLOriginal {
		p.target(value)
		return
	}
	p.ev.Fields = append(p.ev.Fields, event.Field{ID: id, Kind: kind, Value: value})
}

// level writes the usual severities as ECS does.
func level(s string) string {
	for _, l := range [...]string{"info", "warn", "warning", "error", "debug", "notice", "fatal", "trace", "critical", "emergency", "alert", "severe"} {
		if len(l) == len(s) && strings.EqualFold(l, s) {
			return l
		}
	}
	return s
}

func (w *packWriter) Add(id event.FieldID, value string) { w.p.ev.Add(id, value) }

func (w *packWriter) Named(id event.FieldID) string { return w.p.ev.Text(id) }

func (w *packWriter) Pair(prefix, name, value string) {
	if name == "" || value == "" {
		return
	}
	w.p.path = append(append(w.p.path[:0], prefix...), name...)
	w.p.free(view(w.p.path), value, event.String)
}

func (w *packWriter) Request(line string) { w.p.request(line) }

func (w *packWriter) Time(text, layout string) {
	p := w.p
	if p.soft && p.timed {
		return
	}
	if layout != "" {
		t, err := time.ParseInLocation(layout, text, p.opts.Location)
		if err != nil {
			p.badTime(text)
			return
		}
		if t.Year() == 0 {
			c := clock{month: int(t.Month()), day: t.Day(), hour: t.Hour(), minute: t.Minute(), second: t.Second(), nanos: int64(t.Nanosecond())}
			if at, ok := c.moment(p.opts.Location, p.rec.Received); ok {
				p.setTime(at)
			}
			return
		}
		p.setTime(t.UnixNano())
		return
	}
	if t, ok := anyTime(text, p.opts.Location, p.rec.Received); ok {
		p.setTime(t)
		return
	}
	p.badTime(text)
}

func (p *Parser) badTime(text string) {
	p.ev.Mark(MarkBadTime)
	p.ev.SetDefault(event.TimeOriginal, text)
}

func (w *packWriter) Invalid(event.FieldID, string) { w.p.ev.Mark(MarkInvalidValue) }

var _ pack.Writer = (*packWriter)(nil)
