package source

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html"
	"golang.org/x/text/encoding/htmlindex"
)

// MaxMessage bounds one message, in bytes.
const MaxMessage = 8 << 20

// Message is a message as it came.
type Message struct {
	Body []byte
	// Meta is how it came: the topic and key of Kafka, the address it was sent
	// from. Nothing of it is a secret.
	Meta map[string]string
}

func (m *Message) meta() any {
	out := make(map[string]any, len(m.Meta))
	for k, v := range m.Meta {
		out[k] = v
	}
	return out
}

// parse reads the message as expressions see it.
func (m *Message) parse(format string) (any, error) {
	if len(m.Body) > MaxMessage {
		return nil, fmt.Errorf("the message has %d bytes, at most %d", len(m.Body), MaxMessage)
	}
	switch format {
	case FormatJSON:
		return parseJSON(m.Body)
	case FormatForm:
		return parseForm(m.Body)
	case FormatMail:
		return parseMail(m.Body)
	default:
		return map[string]any{"text": strings.ToValidUTF8(strings.TrimRight(string(m.Body), "\r\n\x00"), "�")}, nil
	}
}

// parseJSON reads JSON with numbers as they are: ids of 64 bits do not fit a
// float.
func parseJSON(data []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		var s *json.SyntaxError
		switch {
		case errors.As(err, &s):
			return nil, fmt.Errorf("the message is no JSON: %w at byte %d, it begins with %q", err, s.Offset, clip(string(data), 60))
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil, fmt.Errorf("the message is no JSON: it ends after %d bytes", len(data))
		}
		return nil, fmt.Errorf("the message is no JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("the message is no JSON: there is more after its end at byte %d", d.InputOffset())
	}
	return numbers(v), nil
}

// numbers makes of json.Number what jq knows.
func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := strconv.Atoi(string(v)); err == nil {
			return n
		}
		if n, ok := new(big.Int).SetString(string(v), 10); ok && len(v) < 400 {
			return n
		}
		f, err := v.Float64()
		if err != nil || math.IsInf(f, 0) {
			return string(v) // kept as it was written rather than lost
		}
		return f
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = numbers(v[k])
		}
	}
	return v
}

// parseForm reads a form; some senders post it under another name and send JSON.
func parseForm(data []byte) (any, error) {
	if t := bytes.TrimSpace(data); len(t) > 0 && t[0] == '{' {
		return parseJSON(t)
	}
	values, err := url.ParseQuery(string(data))
	if err != nil {
		return nil, fmt.Errorf("the message is no form: %w", err)
	}
	if len(values) == 0 {
		return nil, errors.New("the message is an empty form")
	}
	out := make(map[string]any, len(values))
	for k, v := range values {
		out[strings.ToValidUTF8(k, "�")] = strings.ToValidUTF8(strings.Join(v, ","), "�")
	}
	return out, nil
}

// maxParts bounds how many parts of a mail are looked at, and how deep.
const (
	maxParts = 50
	maxDepth = 5
)

// parseMail reads a mail of RFC 5322 and MIME: its text part, else the text of
// its HTML part.
func parseMail(data []byte) (any, error) {
	msg, err := mail.ReadMessage(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("the message is no mail: %w", err)
	}
	headers := make(map[string]any, len(msg.Header))
	word := mime.WordDecoder{CharsetReader: charset}
	for k, v := range msg.Header {
		text := strings.Join(v, ", ")
		if decoded, err := word.DecodeHeader(text); err == nil {
			text = decoded
		}
		headers[strings.ToLower(k)] = strings.ToValidUTF8(text, "�")
	}
	var r reading
	r.part(msg.Header.Get("Content-Type"), msg.Header.Get("Content-Transfer-Encoding"), msg.Body, 0)
	text := r.text
	if text == "" {
		text = textOfHTML(r.html)
	}
	get := func(name string) any {
		v, _ := headers[name].(string)
		return v
	}
	return map[string]any{"from": get("from"), "to": get("to"), "subject": get("subject"), "date": get("date"), "message_id": get("message-id"), "text": text, "html": r.html, "headers": headers}, nil
}

// reading gathers the texts of a mail.
type reading struct {
	text, html string
	parts      int
}

func (r *reading) part(contentType, encoding string, body io.Reader, depth int) {
	if r.parts++; r.parts > maxParts || depth > maxDepth {
		return
	}
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		kind = "text/plain"
	}
	if strings.HasPrefix(kind, "multipart/") {
		mr := multipart.NewReader(body, params["boundary"])
		for r.parts <= maxParts {
			p, err := mr.NextRawPart()
			if err != nil {
				return
			}
			r.part(p.Header.Get("Content-Type"), p.Header.Get("Content-Transfer-Encoding"), p, depth+1)
		}
		return
	}
	into := &r.text
	switch {
	case kind == "text/html":
		into = &r.html
	case !strings.HasPrefix(kind, "text/"):
		return // a picture, an attachment
	}
	if *into != "" {
		return
	}
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	if decoded, err := charset(params["charset"], body); err == nil {
		body = decoded
	}
	all, _ := io.ReadAll(io.LimitReader(body, MaxMessage)) // what cannot be decoded ends the text where it stands
	*into = strings.TrimSpace(strings.ToValidUTF8(strings.ReplaceAll(string(all), "\r\n", "\n"), "�"))
}

// charset reads a text in its character set: GB 18030 and its kin are common in
// the mails of older systems.
func charset(name string, r io.Reader) (io.Reader, error) {
	if name == "" {
		return r, nil
	}
	e, err := htmlindex.Get(name)
	if err != nil {
		return nil, fmt.Errorf("the character set %q is not known", clip(name, 64))
	}
	return e.NewDecoder().Reader(r), nil
}

// textOfHTML is the text of a page as a person reads it, about.
func textOfHTML(page string) string {
	if !utf8.ValidString(page) {
		return ""
	}
	var b strings.Builder
	z := html.NewTokenizer(strings.NewReader(page))
	hidden := 0
	for {
		switch z.Next() {
		case html.ErrorToken:
			return strings.TrimSpace(b.String())
		case html.TextToken:
			if t := strings.Join(strings.Fields(string(z.Text())), " "); hidden == 0 && t != "" {
				if s := b.String(); s != "" && s[len(s)-1] != '\n' {
					b.WriteByte(' ')
				}
				b.WriteString(t)
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			switch name, _ := z.TagName(); string(name) {
			case "script", "style", "head":
				hidden++
			case "br", "p", "tr", "div", "li", "h1", "h2", "h3":
				b.WriteByte('\n')
			}
		case html.EndTagToken:
			switch name, _ := z.TagName(); string(name) {
			case "script", "style", "head":
				hidden = max(0, hidden-1)
			}
		}
	}
}
