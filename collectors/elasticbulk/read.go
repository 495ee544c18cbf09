package elasticbulk

import (
	"bytes"
	"net/http"
	"strings"

	"github.com/valyala/fastjson"

	"icewatch/collectors/webbody"
	"icewatch/soc/event/flatjson"
	"icewatch/soc/intake"
)

// Limits of names, as Elasticsearch has them, in bytes.
const (
	maxIndex = 255
	maxID    = 512
)

// read takes a request apart into items and records. Nothing is stored yet: a
// refusal, for a line that leaves open what follows it, means that the whole
// request had no effect.
func (h *Handler) read(w *work, body []byte, index string, base intake.Record) *webbody.Refusal {
	parser := h.parsers.Get()
	defer h.parsers.Put(parser)
	// fiber reuses the memory of its parameters.
	index = strings.Clone(index)
	lines := lineReader{rest: body}
	var attrs map[string][]intake.Attr
	for {
		line, ok := lines.next()
		if !ok {
			break
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if len(w.items) >= h.opts.MaxItems {
			return webbody.Refuse(http.StatusRequestEntityTooLarge, "the request has more than %d actions", h.opts.MaxItems)
		}
		it, refusal := action(parser, line, lines.number, index)
		if refusal != nil {
			return refusal
		}
		if it.action == "delete" {
			it.errType, it.reason = "illegal_argument_exception", "delete is not supported: stored events cannot be changed"
			w.items = append(w.items, it)
			h.counters.Rejected(1)
			continue
		}
		doc, ok := lines.next()
		if !ok || len(bytes.TrimSpace(doc)) == 0 {
			return webbody.Refuse(http.StatusBadRequest, "Malformed action/metadata line [%d]: the document of action [%s] is missing", lines.number, it.action)
		}
		if it.action == "update" {
			it.errType, it.reason = "illegal_argument_exception", "update is not supported: stored events cannot be changed"
		}
		if it.errType == "" {
			it.errType, it.reason = checkIndex(it.index)
		}
		if it.errType == "" && len(it.id) > maxID {
			it.errType, it.reason = "illegal_argument_exception", "id is too long, must be no longer than 512 bytes"
		}
		if it.errType == "" {
			if err := checkDocument(doc); err != "" {
				it.errType, it.reason = "document_parsing_exception", err
			}
		}
		if it.errType == "" {
			r := base
			r.Data = doc
			if it.id != "" {
				r.ID = it.index + "/" + it.id
			}
			a, ok := attrs[it.index]
			if !ok {
				if attrs == nil {
					attrs = make(map[string][]intake.Attr)
				}
				a = []intake.Attr{{Name: "icewatch.index", Value: it.index}}
				attrs[it.index] = a
			}
			r.Attrs = a
			w.records = append(w.records, r)
		} else {
			h.counters.Rejected(1)
		}
		w.items = append(w.items, it)
	}
	if len(w.items) == 0 {
		return webbody.Refuse(http.StatusBadRequest, "request body is required")
	}
	return nil
}

// lineReader walks the lines of a body. The last one needs no line end.
type lineReader struct {
	rest   []byte
	number int // of the line next returned last, from 1
}

func (l *lineReader) next() ([]byte, bool) {
	if len(l.rest) == 0 {
		return nil, false
	}
	l.number++
	line := l.rest
	if i := bytes.IndexByte(l.rest, '\n'); i >= 0 {
		line, l.rest = l.rest[:i], l.rest[i+1:]
	} else {
		l.rest = nil
	}
	return bytes.TrimSuffix(line, []byte{'\r'}), true
}

// defaultIndex labels documents whose sender named no index.
const defaultIndex = "logs"

// action reads an action line such as {"create":{"_index":"logs","_id":"1"}}.
func action(parser *fastjson.Parser, line []byte, number int, index string) (item, *webbody.Refusal) {
	malformed := func(why string) (item, *webbody.Refusal) {
		return item{}, webbody.Refuse(http.StatusBadRequest, "Malformed action/metadata line [%d], %s", number, why)
	}
	v, err := parser.ParseBytes(line)
	if err != nil {
		return malformed("expected a JSON object: " + firstLine(err.Error()))
	}
	o, err := v.Object()
	if err != nil {
		return malformed("expected START_OBJECT but found [" + v.Type().String() + "]")
	}
	if o.Len() != 1 {
		return malformed("expected exactly one action")
	}
	it := item{index: index}
	var meta *fastjson.Value
	o.Visit(func(key []byte, v *fastjson.Value) { it.action, meta = string(key), v })
	switch it.action {
	case "index", "create", "update", "delete":
	default:
		return malformed("expected field [create], [delete], [index] or [update] but found [" + it.action + "]")
	}
	m, err := meta.Object()
	if err != nil {
		return malformed("expected START_OBJECT after [" + it.action + "] but found [" + meta.Type().String() + "]")
	}
	why := ""
	m.Visit(func(key []byte, v *fastjson.Value) {
		switch string(key) {
		case "_index":
			s, err := v.StringBytes()
			if err != nil {
				why = "_index must be a string"
			}
			it.index = string(s)
		case "_id":
			switch v.Type() {
			case fastjson.TypeString:
				s, _ := v.StringBytes()
				it.id = string(s)
			case fastjson.TypeNumber:
				it.id = v.String()
			case fastjson.TypeNull:
			default:
				why = "_id must be a string"
			}
		}
	})
	if why != "" {
		return malformed(why)
	}
	if it.index == "" {
		// Elasticsearch refuses an action without an index. Here an index is a
		// label and no place of storage, so nothing needs to be lost for it.
		it.index = defaultIndex
	}
	return it, nil
}

// checkIndex applies Elasticsearch's rules for names of indices.
func checkIndex(name string) (kind, reason string) {
	bad := ""
	switch {
	case len(name) > maxIndex:
		bad = "index name is too long"
	case name == "." || name == "..":
		bad = "must not be '.' or '..'"
	case strings.ContainsAny(name, "\\/*?\"<>| ,#\x00\n\r\t"):
		bad = `must not contain the following characters [' ','"','*',',','/','<','>','?','\','|','#']`
	case strings.ContainsAny(name[:1], "-_+"):
		bad = "must not start with '_', '-', or '+'"
	case strings.ToLower(name) != name:
		bad = "must be lowercase"
	}
	if bad == "" {
		return "", ""
	}
	return "invalid_index_name_exception", "Invalid index name [" + name + "], " + bad
}

// checkDocument tells what is wrong with a document, "" where nothing is.
func checkDocument(doc []byte) string {
	if doc = bytes.TrimSpace(doc); doc[0] != '{' {
		return "failed to parse: expected a JSON object but found [" + string(doc[:1]) + "]"
	}
	if err := flatjson.Valid(doc); err != nil {
		return "failed to parse: " + err.Error()
	}
	return ""
}

// firstLine keeps a library's error short: it quotes the text it stumbled on.
func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "") + "…"
	}
	return s
}
