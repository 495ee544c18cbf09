package ticketing

import (
	"encoding/json"
	"strconv"

	"icewatch/detections"
	"icewatch/soc/plainjson"
)

// The document of an alert is written as encoding/json would write it, but for
// letters that only HTML cares for, without looking for each part of it at run
// time: every new alert and every firing is written so. TestEncode holds both
// against each other, whatever parts there are.

// encodedRoom is how much room the document of an alert takes as a rule.
const encodedRoom = 2 << 10

// encode is the document in JSON.
func (d *alertDoc) encode() (string, error) {
	e := encoder{buf: make([]byte, 0, encodedRoom)}
	e.buf = append(e.buf, '{')
	e.name("rule")
	e.rule(&d.Rule)
	e.name("title")
	e.text(d.Title)
	e.name("reasons")
	elements(&e, d.Reasons, e.text)
	e.name("group")
	elements(&e, d.Group, e.pair)
	e.some("user", d.User)
	if d.CI != nil {
		e.name("ci")
		e.any(d.CI)
	}
	if d.System != nil {
		e.name("system")
		e.any(d.System)
	}
	e.some("owner", d.Owner)
	e.name("evidence")
	elements(&e, d.Evidence, e.match)
	e.name("fields")
	e.object(d.Fields)
	e.name("events")
	elements(&e, d.Events, e.mark)
	e.name("recent")
	elements(&e, d.Recent, e.recent)
	if d.Pinned {
		e.name("pinned")
		e.buf = append(e.buf, "true"...)
	}
	e.name("latest")
	e.mark(d.Latest)
	e.name("reasons_of")
	e.mark(d.ReasonsOf)
	if d.Flapping != nil {
		e.name("flapping")
		e.any(d.Flapping)
	}
	if d.RaisedFrom != nil {
		e.name("raised_from")
		e.int(int64(*d.RaisedFrom))
	}
	if d.Focus != nil {
		e.name("focus")
		e.any(d.Focus)
	}
	e.some("period", d.Period)
	// What embedded structs add stands beside the rest.
	if d.VerdictReason != (detections.Text{}) {
		e.name("verdict_reason")
		e.text(d.VerdictReason)
	}
	if d.VerdictOf != (mark{}) {
		e.name("verdict_of")
		e.mark(d.VerdictOf)
	}
	if len(d.Phases) > 0 {
		e.name("phases")
		elements(&e, d.Phases, e.string)
	}
	if d.Attacker != nil {
		e.name("attacker")
		e.any(d.Attacker)
	}
	if d.Victim != nil {
		e.name("victim")
		e.any(d.Victim)
	}
	if d.Risk != (detections.Risk{}) {
		e.name("risk")
		e.any(d.Risk)
	}
	if d.Detected != 0 {
		e.name("detected")
		e.int(int64(d.Detected))
	}
	if len(d.Routing) > 0 {
		e.name("routing")
		e.object(d.Routing)
	}
	if len(d.Maintenance) > 0 {
		e.name("maintenance")
		e.any(d.Maintenance)
	}
	e.buf = append(e.buf, '}')
	return string(e.buf), e.err
}

// encoder writes JSON. The first thing that cannot be written stays in err.
type encoder struct {
	buf []byte
	err error
}

// name begins a member of an object.
func (e *encoder) name(name string) {
	if e.buf[len(e.buf)-1] != '{' {
		e.buf = append(e.buf, ',')
	}
	e.buf = append(append(append(e.buf, '"'), name...), '"', ':')
}

// some writes a member that is left out where it is empty.
func (e *encoder) some(name, value string) {
	if value != "" {
		e.name(name)
		e.string(value)
	}
}

func (e *encoder) int(n int64) { e.buf = strconv.AppendInt(e.buf, n, 10) }

// any writes what is rare.
func (e *encoder) any(v any) {
	data, err := json.Marshal(v)
	if err != nil && e.err == nil {
		e.err = err
	}
	e.buf = append(e.buf, data...)
}

func (e *encoder) string(s string) { e.buf = plainjson.Text(e.buf, s) }

// elements writes a list; one that is nil is null.
func elements[T any](e *encoder, values []T, each func(T)) {
	if values == nil {
		e.buf = append(e.buf, "null"...)
		return
	}
	e.buf = append(e.buf, '[')
	for i, v := range values {
		if i > 0 {
			e.buf = append(e.buf, ',')
		}
		each(v)
	}
	e.buf = append(e.buf, ']')
}

func (e *encoder) object(m map[string]string) { e.buf = plainjson.Object(e.buf, m) }

func (e *encoder) text(t detections.Text) {
	e.buf = append(e.buf, '{')
	e.some("zh", t.ZH)
	e.some("en", t.EN)
	e.buf = append(e.buf, '}')
}

func (e *encoder) pair(p detections.Pair) {
	e.buf = append(e.buf, `{"field":`...)
	e.string(p.Field)
	e.buf = append(e.buf, `,"value":`...)
	e.string(p.Value)
	e.buf = append(e.buf, '}')
}

func (e *encoder) match(m detections.Match) {
	e.buf = append(e.buf, `{"selection":`...)
	e.string(m.Selection)
	e.buf = append(e.buf, `,"field":`...)
	e.string(m.Field)
	e.buf = append(e.buf, `,"value":`...)
	e.string(m.Value)
	e.buf = append(e.buf, '}')
}

func (e *encoder) mark(m mark) {
	e.buf = append(e.buf, `{"at":`...)
	e.int(m.At)
	e.buf = append(e.buf, `,"id":`...)
	e.string(m.ID)
	e.buf = append(e.buf, '}')
}

func (e *encoder) recent(r OccurrenceRef) {
	e.buf = append(e.buf, `{"id":`...)
	e.string(r.ID)
	e.buf = append(e.buf, `,"time":`...)
	e.time(r.Time)
	e.buf = append(e.buf, `,"count":`...)
	e.int(int64(r.Count))
	e.buf = append(e.buf, `,"event_ids":`...)
	elements(e, r.EventIDs, e.string)
	e.buf = append(e.buf, '}')
}

func (e *encoder) time(t Time) {
	e.buf = append(t.UTC().AppendFormat(append(e.buf, '"'), timeLayout), '"')
}

func (e *encoder) rule(r *detections.RuleRef) {
	e.buf = append(e.buf, `{"id":`...)
	e.string(r.ID)
	e.some("version", r.Version)
	e.some("hash", r.Hash)
	e.name("title")
	e.text(r.Title)
	e.name("sentence")
	e.text(r.Sentence)
	e.name("advice")
	e.text(r.Advice)
	e.name("level")
	e.string(string(r.Level))
	e.name("kind")
	e.string(r.Kind)
	for _, l := range []struct {
		name string
		list []string
	}{{"tactics", r.Tactics}, {"techniques", r.Techniques}, {"tags", r.Tags}} {
		if len(l.list) > 0 {
			e.name(l.name)
			elements(e, l.list, e.string)
		}
	}
	e.some("knowledge", r.Knowledge)
	e.some("output", r.Output)
	e.buf = append(e.buf, '}')
}

// encoded is a text of both languages in JSON.
func encoded(t detections.Text) string {
	e := encoder{buf: make([]byte, 0, 128)}
	e.text(t)
	return string(e.buf)
}
