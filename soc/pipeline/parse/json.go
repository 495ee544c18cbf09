package parse

import (
	"icewatch/soc/event"
	"icewatch/soc/event/flatjson"
	"icewatch/soc/pipeline/pack"
)

// json flattens one JSON object into fields with dotted names: members of
// nested objects by path, the elements of an array as repeated values. It
// returns false, and leaves the event as it was, where text is not exactly one
// valid object.
func (p *Parser) json(text string) bool {
	members, err := p.flat.Parse(text)
	if err != nil {
		return false
	}
	if p.flat.NUL() {
		p.ev.Mark(MarkNUL)
	}
	p.base = len(p.ev.Fields)
	p.jsonTime, p.jsonTimeRank = "", 0
	for i := range members {
		p.member(&members[i])
	}
	first := p.base
	p.base = 0
	p.gelf(first)
	p.sensorFlow(first)
	p.byMember(first)
	p.journald(first)
	p.byMembers(pack.JSON)
	p.windows()
	p.settle()
	if p.jsonTime != "" && !(p.soft && p.timed) {
		if t, ok := anyTime(p.jsonTime, p.opts.Location, p.rec.Received); ok {
			p.setTime(t)
		} else if p.jsonTimeRank == rankTimestamp {
			p.ev.Mark(MarkBadTime)
			p.ev.SetDefault(event.TimeOriginal, p.jsonTime)
		}
	} else if p.journal {
		p.journalTime()
	}
	p.nested(text)
	return true
}

// byMember recognises the programs whose records show by one member, which
// was read among those from first.
func (p *Parser) byMember(first int) {
	for i := min(first, len(p.ev.Fields)); i < len(p.ev.Fields); i++ {
		switch p.ev.Fields[i].ID {
		case p.names.zeekQueryType, p.names.suricataQuery:
			p.sensorDNS()
			return
		case p.names.pgBackend:
			p.postgresJSON()
			return
		}
	}
}

// nested recognises the message within a JSON object, as shippers send it: the
// line of a log file with metadata around.
func (p *Parser) nested(text string) {
	message := p.ev.Text(event.Message)
	if message != "" && message != text && p.depth < 2 && !p.ev.Has(event.EventDataset) {
		soft := p.soft
		p.soft = true
		p.depth++
		p.line(message)
		p.depth--
		p.soft = soft
	}
	p.putMessage(text)
	if p.journal {
		p.dataset("journald.log", "journald")
		return
	}
	if p.isGELF {
		p.dataset("gelf.log", "gelf")
		return
	}
	p.dataset("json.log", "json")
}

// Ranks of the members that can give the time: the higher one wins.
const (
	rankOther = iota + 1
	rankTime
	rankTimestamp
)

func timeRank(name string) int {
	switch name {
	case "@timestamp":
		return rankTimestamp
	case "timestamp", "time", "_time":
		return rankTime
	case "ts", "datetime", "date", "eventTime", "event_time", "TimeCreated", "EventTime":
		return rankOther
	}
	return 0
}

// jsonName is what there is to know of the name of a member, kept with it.
type jsonName struct {
	knownName
	reserved bool
	rank     int // of the times it can give
}

// member takes a scalar of an object.
func (p *Parser) member(m *flatjson.Member) {
	name, value, kind := m.Name.Text, m.Value, m.Kind
	k, ok := m.Name.Note.(*jsonName)
	if !ok {
		k = &jsonName{reserved: reserved(name), rank: timeRank(name)}
		m.Name.Note = k
	}
	if k.rank > 0 && kind != event.Null && kind != event.Bool {
		if k.rank > p.jsonTimeRank {
			p.jsonTime, p.jsonTimeRank = value, k.rank
		}
		if name == "@timestamp" || name == "_time" {
			return // It becomes the event's time.
		}
	}
	if k.reserved && name == "_msg" && !p.ev.Has(event.Message) {
		p.ev.Fields = append(p.ev.Fields, event.Field{ID: event.Message, Value: value})
		return
	}
	if p.admit(&k.knownName, name, value, kind, k.reserved) {
		p.place(&k.knownName, value, kind)
	}
}
