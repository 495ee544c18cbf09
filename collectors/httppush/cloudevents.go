package httppush

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"

	"icewatch/collectors/webbody"
	"icewatch/soc/event/flatjson"
	"icewatch/soc/intake"
)

// Sources: CloudEvents 1.0.2, its JSON event format and its HTTP protocol binding.

const (
	headerPrefix = "ce-"
	// prefix stands before the names of attributes, as fields.
	prefix = "cloudevents."

	maxAttributes = 64
	maxAttribute  = 8 << 10 // bytes of an attribute's value
)

// cloudEvent is the context of an event, and its data.
type cloudEvent struct {
	id, source, kind string
	time             int64
	attrs            []intake.Attr
	data             []byte
	format           intake.Format
}

// attribute takes one attribute of the context; what is wrong with it, "" where nothing is.
func (e *cloudEvent) attribute(name, value string) string {
	if len(e.attrs) >= maxAttributes {
		return "it has more attributes than 64"
	}
	if len(value) > maxAttribute {
		return "the attribute " + name + " is longer than 8 KiB"
	}
	if !attributeName(name) {
		return "the attribute " + clip(name) + " has a name of other characters than a to z and 0 to 9"
	}
	switch name {
	case "specversion":
		if value != "1.0" {
			return "specversion is " + clip(value) + "; 1.0 is read"
		}
		return "" // It says how the others are to be read.
	case "id":
		e.id = value
	case "source":
		e.source = value
	case "type":
		e.kind = value
	case "time":
		t, err := time.Parse(time.RFC3339Nano, value)
		if err != nil {
			return "time is " + clip(value) + "; one as 2026-11-26T08:00:00Z (RFC 3339) is expected"
		}
		if year := t.Year(); year > 1678 && year < 2262 {
			e.time = t.UnixNano()
		}
	}
	e.attrs = append(e.attrs, intake.Attr{Name: prefix + name, Value: value})
	return ""
}

func attributeName(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// complete tells what the context lacks, "" where nothing.
func (e *cloudEvent) complete(version bool) string {
	switch {
	case !version:
		return "specversion is missing; 1.0 is expected"
	case e.id == "":
		return "id is missing or empty"
	case e.source == "":
		return "source is missing or empty"
	case e.kind == "":
		return "type is missing or empty"
	}
	return ""
}

// identity is the id under which an event is stored once: source and id
// together are unique by the specification.
func (e *cloudEvent) identity() string {
	s := "ce/" + e.source + "/" + e.id
	if len(s) <= 512 {
		return s
	}
	h := sha256.Sum256([]byte(e.source + "\x00" + e.id))
	return "ce/sha256/" + hex.EncodeToString(h[:])
}

func (w *work) cloudEvent(e *cloudEvent) error {
	// The attributes' order in a record should not depend on the sender's map.
	slices.SortFunc(e.attrs, func(a, b intake.Attr) int { return strings.Compare(a.Name, b.Name) })
	return w.add(e.format, e.data, e.identity(), e.time, e.attrs)
}

func structured(w *work, body []byte) error {
	if t := bytes.TrimSpace(body); len(t) > 0 && t[0] == '[' {
		return &placed{0, "one event is expected; an array goes as application/cloudevents-batch+json"}
	}
	return elements(body, func(raw []byte, at int64) error {
		if w.events > 0 {
			return w.refuse(Fault{Offset: &at, Reason: "one event is expected; many go as application/cloudevents-batch+json"})
		}
		return w.envelope(raw, at)
	}, w)
}

func batched(w *work, body []byte) error {
	if t := bytes.TrimSpace(body); len(t) > 0 && t[0] != '[' {
		return &placed{0, "a batch is a JSON array"}
	}
	if bytes.Equal(bytes.Join(bytes.Fields(body), nil), []byte("[]")) {
		return webbody.Refuse(http.StatusBadRequest, "the batch is empty")
	}
	return elements(body, w.envelope, w)
}

// envelope reads an event in the JSON event format.
func (w *work) envelope(raw []byte, at int64) error {
	e, why := readEnvelope(raw)
	if why != "" {
		return w.refuse(Fault{Offset: &at, Reason: why})
	}
	return w.cloudEvent(&e)
}

func readEnvelope(raw []byte) (e cloudEvent, why string) {
	if why := checkObject(raw); why != "" {
		return e, why
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return e, err.Error()
	}
	version := false
	names := make([]string, 0, len(members))
	for name := range members {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		value := bytes.TrimSpace(members[name])
		if name == "data" || name == "data_base64" || bytes.Equal(value, []byte("null")) {
			continue
		}
		text := string(value)
		switch value[0] {
		case '"':
			if json.Unmarshal(value, &text) != nil {
				return e, "the attribute " + clip(name) + " is no text"
			}
		case '{', '[':
			return e, "the attribute " + clip(name) + " is " + kindOf(value[0]) + "; attributes are texts, numbers or true and false"
		}
		if why := e.attribute(name, text); why != "" {
			return e, why
		}
		version = version || name == "specversion"
	}
	if why := e.complete(version); why != "" {
		return e, why
	}
	data, packed := members["data"], members["data_base64"]
	switch {
	case data != nil && packed != nil:
		return e, "data and data_base64 exclude each other"
	case packed != nil:
		var text string
		if json.Unmarshal(packed, &text) != nil {
			return e, "data_base64 is no text"
		}
		bytes, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return e, "data_base64 is not base64: " + err.Error()
		}
		e.payload(bytes)
	case data != nil && data[0] == '"':
		var text string
		if err := json.Unmarshal(data, &text); err != nil {
			return e, "data: " + err.Error()
		}
		e.payload([]byte(text))
	case data != nil && !bytes.Equal(data, []byte("null")):
		e.payload(data)
	}
	if len(e.data) == 0 {
		e.format, e.data = intake.JSON, raw // The context is all there is.
	}
	return e, ""
}

func kindOf(c byte) string {
	if c == '{' {
		return "an object"
	}
	return "an array"
}

// payload takes the data: an object as such, other text as a line. What is no
// text is kept in base64, and said to be.
func (e *cloudEvent) payload(data []byte) {
	switch {
	case len(bytes.TrimSpace(data)) == 0:
	case !utf8.Valid(data):
		e.format, e.data = intake.Line, []byte(base64.StdEncoding.EncodeToString(data))
		e.attrs = append(e.attrs, intake.Attr{Name: prefix + "data_encoding", Value: "base64"})
	case bytes.TrimSpace(data)[0] == '{' && flatjson.Valid(data) == nil:
		e.format, e.data = intake.JSON, data
	default:
		e.format, e.data = intake.Line, data
	}
}

// binaryAttributes reads the context from the headers ce-*.
func binaryAttributes(c *fiber.Ctx) (*cloudEvent, error) {
	e := new(cloudEvent)
	why, version := "", false
	c.Request().Header.VisitAll(func(key, value []byte) {
		name, ok := strings.CutPrefix(strings.ToLower(string(key)), headerPrefix)
		if !ok || why != "" {
			return
		}
		text := string(value)
		// Characters beyond printable ASCII travel percent-encoded.
		if plain, err := url.PathUnescape(text); err == nil && utf8.ValidString(plain) {
			text = plain
		}
		if !utf8.ValidString(text) {
			why = "the header ce-" + name + " is not UTF-8"
			return
		}
		why = e.attribute(name, text)
		version = version || name == "specversion"
	})
	if why == "" {
		why = e.complete(version)
	}
	if why != "" {
		return nil, webbody.Refuse(http.StatusBadRequest, "%s", why)
	}
	return e, nil
}

// binary reads an event whose data is the body.
func (w *work) binary(e *cloudEvent, contentType, kind string, body []byte) error {
	if contentType != "" {
		e.attrs = append(e.attrs, intake.Attr{Name: prefix + "datacontenttype", Value: clip(contentType)})
	}
	if (kind == "application/json" || strings.HasSuffix(kind, "+json")) && len(bytes.TrimSpace(body)) > 0 && !json.Valid(body) {
		return webbody.Refuse(http.StatusBadRequest, "the Content-Type is %s, but the body is not JSON", clip(contentType))
	}
	e.payload(body)
	if len(e.data) == 0 {
		context := map[string]string{"specversion": "1.0"}
		for _, a := range e.attrs {
			context[strings.TrimPrefix(a.Name, prefix)] = a.Value
		}
		e.format = intake.JSON
		e.data, _ = json.Marshal(context) // Texts always marshal.
	}
	return w.cloudEvent(e)
}
