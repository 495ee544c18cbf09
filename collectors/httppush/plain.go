package httppush

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"

	"icewatch/soc/event/flatjson"
	"icewatch/soc/intake"
)

// documents reads one JSON object, or an array of them. Objects one behind the
// other are read too: many senders call that application/json.
func documents(w *work, body []byte) error {
	body = bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))
	return elements(body, func(raw []byte, at int64) error {
		if why := checkObject(raw); why != "" {
			return w.refuse(Fault{Offset: &at, Reason: why})
		}
		return w.add(intake.JSON, raw, "", 0, nil)
	}, w)
}

// elements calls f for the values of body: the elements where it is an array,
// else the values that stand one behind the other. The bytes handed to f are
// its own. After a fault of syntax nothing can be told of what follows: it is
// noted, and what came before it stays.
func elements(body []byte, f func(raw []byte, at int64) error, w *work) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	fault := func(err error) error {
		at := dec.InputOffset()
		var syntax *json.SyntaxError
		reason := err.Error()
		switch {
		case errors.As(err, &syntax):
			// The decoder's own offset is not that of the body.
			rest := bytes.TrimLeft(body[at:], " \t\r\n,")
			at = int64(len(body) - len(rest))
			var value json.RawMessage
			if errors.As(json.Unmarshal(rest, &value), &syntax) {
				at, reason = at+max(syntax.Offset-1, 0), syntax.Error()
			}
		case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
			at, reason = int64(len(body)), "the body ends within a value"
		}
		if w.events == 0 {
			return &placed{at, "this is not JSON: " + reason}
		}
		return w.refuse(Fault{Offset: &at, Reason: "this is not JSON, and what follows is not read: " + reason})
	}
	list := bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte{'['})
	if list {
		if _, err := dec.Token(); err != nil {
			return fault(err)
		}
	}
	for !list || dec.More() {
		var raw json.RawMessage
		switch err := dec.Decode(&raw); {
		case err == io.EOF && !list:
			return nil
		case err != nil:
			return fault(err)
		}
		if err := f(raw, dec.InputOffset()-int64(len(raw))); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil { // the closing bracket
		return fault(err)
	}
	if rest := bytes.TrimSpace(body[dec.InputOffset():]); len(rest) > 0 {
		at := dec.InputOffset()
		return w.refuse(Fault{Offset: &at, Reason: "something follows the array; it is not read"})
	}
	return nil
}

// checkObject tells what is wrong with a text that should be a JSON object, ""
// where nothing is.
func checkObject(text []byte) string {
	if t := bytes.TrimSpace(text); len(t) == 0 || t[0] != '{' {
		return "an event is a JSON object, not " + clip(string(text[:min(len(text), 40)]))
	}
	if err := flatjson.Valid(text); err != nil {
		return err.Error()
	}
	return ""
}

// lines calls f for each line that is not blank, with its number from 1.
func lines(body []byte, f func(line []byte, number int) error) error {
	number := 0
	for line := range bytes.Lines(body) {
		number++
		line = bytes.TrimRight(line, "\r\n")
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if err := f(line, number); err != nil {
			return err
		}
	}
	return nil
}

// objectLines reads a JSON object a line.
func objectLines(w *work, body []byte) error {
	return lines(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")), func(line []byte, number int) error {
		if why := checkObject(line); why != "" {
			return w.refuse(Fault{Line: number, Reason: why})
		}
		return w.add(intake.JSON, line, "", 0, nil)
	})
}

// textLines reads a line of text a line.
func textLines(w *work, body []byte) error {
	return lines(body, func(line []byte, _ int) error { return w.add(intake.Line, line, "", 0, nil) })
}
