package cmdb

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/uptrace/bun"

	"icewatch/soc/reach"
)

// ignoredKeys are what the API says of an item and nobody can change.
var ignoredKeys = []string{"created_at", "updated_at"}

// parseJSON reads an array of items, or an object that has one under "items".
// Keys are the columns of a table; lists may be one text with semicolons, and
// attributes are an object, which replaces those the item has.
func parseJSON(text []byte, class string) ([]*draft, errorList, error) {
	p := jsonParser{class: class}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	err := p.document(d)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = RowError{Message: "the file goes on behind the items: want one array, or the format ndjson for an item a line"}
		}
	}
	return p.drafts, p.mistakes, jsonSyntax(err, text, d.InputOffset())
}

// parseNDJSON reads an item a line.
func parseNDJSON(text []byte, class string) ([]*draft, errorList, error) {
	p := jsonParser{class: class}
	row := 0
	for line := range bytes.Lines(text) {
		row++
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if err := p.item(row, line); err != nil {
			return p.drafts, p.mistakes, err
		}
	}
	return p.drafts, p.mistakes, nil
}

type jsonParser struct {
	class    string
	drafts   []*draft
	mistakes errorList
	values   int
}

var errNoItems = RowError{Message: `want an array of items, or an object with "items"`}

func (p *jsonParser) document(d *json.Decoder) error {
	t, err := d.Token()
	if errors.Is(err, io.EOF) {
		return errNoItems
	}
	if err != nil {
		return err
	}
	if t == json.Delim('{') {
		key, err := d.Token()
		if err != nil {
			return err
		}
		if key != "items" {
			return errNoItems
		}
		if t, err = d.Token(); err != nil {
			return err
		}
		if err = p.list(d, t); err != nil {
			return err
		}
		if t, err = d.Token(); err == nil && t != json.Delim('}') {
			err = RowError{Message: fmt.Sprintf("unknown key %q beside items", t)}
		}
		return err
	}
	return p.list(d, t)
}

func (p *jsonParser) list(d *json.Decoder, first json.Token) error {
	if first != json.Delim('[') {
		return errNoItems
	}
	for row := 1; d.More(); row++ {
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return err
		}
		if err := p.item(row, raw); err != nil {
			return err
		}
	}
	_, err := d.Token()
	return err
}

// jsonSyntax says where a text is none.
func jsonSyntax(err error, text []byte, at int64) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[RowError](err); ok || errors.Is(err, ErrTooLarge) {
		return err
	}
	if se, ok := errors.AsType[*json.SyntaxError](err); ok {
		at = se.Offset
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		at, err = int64(len(text)), errors.New("the text ends before its items do")
	}
	line := 1 + bytes.Count(text[:min(at, int64(len(text)))], []byte("\n"))
	return RowError{Message: fmt.Sprintf("this is no JSON: %v (line %d)", err, line)}
}

// item reads one item; row is what mistakes are told by.
func (p *jsonParser) item(row int, raw []byte) error {
	if len(p.drafts) == maxRows {
		return fmt.Errorf("%w: more than %d items", ErrTooLarge, maxRows)
	}
	d := &draft{row: row, given: map[string]bool{}}
	d.want.Class = p.class
	p.drafts = append(p.drafts, d)
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(raw, &keys); err != nil || keys == nil {
		p.bad(d, "", "want an object with keys such as class and name")
		return nil
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		value := keys[key]
		if p.values++; p.values > maxFileValues {
			return fmt.Errorf("%w: more than %d values", ErrTooLarge, maxFileValues)
		}
		switch {
		case slices.Contains(ignoredKeys, key):
		case key == colRevision: // the one that its author saw
			n, err := strconv.ParseInt(string(value), 10, 64)
			if err != nil || n < 0 {
				p.bad(d, key, "want the number of the revision that you saw, not %s", cutText(string(value), 40))
			}
			d.want.Revision = max(n, 0)
		case key == colAttributes:
			if err := p.attributes(d, value); err != nil {
				return err
			}
		case key == colAddresses || key == colHostnames || key == colLabels:
			d.given[key] = true
			list, err := jsonTexts(value)
			if err != nil {
				p.bad(d, key, "want a list of texts")
				continue
			}
			p.values += len(list)
			switch key {
			case colAddresses:
				d.want.Addresses = list
			case colHostnames:
				d.want.Hostnames = list
			case colLabels:
				d.want.Labels = list
			}
		case slices.Contains(tableColumns, key):
			d.given[key] = true
			text, ok := jsonText(value)
			if !ok {
				p.bad(d, key, "want one text")
			} else if err := d.set(key, text); err != nil {
				p.bad(d, key, "%v", err)
			}
		default:
			p.bad(d, key, "unknown key: want %s, attributes or revision", strings.Join(tableColumns, ", "))
		}
	}
	return nil
}

func (p *jsonParser) bad(d *draft, column, format string, args ...any) {
	d.bad = true
	p.mistakes.add(d.row, column, format, args...)
}

func (p *jsonParser) attributes(d *draft, raw json.RawMessage) error {
	d.wholeAttrs, d.attrs = true, map[string]string{}
	var values map[string]json.RawMessage
	if err := json.Unmarshal(raw, &values); err != nil {
		p.bad(d, colAttributes, "want an object of names and texts")
		return nil
	}
	if p.values += len(values); p.values > maxFileValues {
		return fmt.Errorf("%w: more than %d values", ErrTooLarge, maxFileValues)
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		text, ok := jsonText(values[name])
		if list, err := jsonTexts(values[name]); !ok && err == nil {
			text, ok = joinList(list), true
		}
		if !ok {
			p.bad(d, attrPrefix+name, "want one text")
			continue
		}
		d.attrs[name] = text
	}
	return nil
}

// jsonText is a text, a number or a truth value as a text; null is the empty
// one.
func jsonText(raw json.RawMessage) (string, bool) {
	switch raw[0] {
	case '"':
		var s string
		return s, json.Unmarshal(raw, &s) == nil
	case '{', '[':
		return "", false
	case 'n':
		return "", true
	}
	return string(raw), true
}

// jsonTexts is a list of texts, or one text as a cell of a table.
func jsonTexts(raw json.RawMessage) ([]string, error) {
	if text, ok := jsonText(raw); ok {
		return splitList(text), nil
	}
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, err
	}
	out := make([]string, len(list))
	for i, v := range list {
		text, ok := jsonText(v)
		if !ok {
			return nil, errors.New("not a text")
		}
		out[i] = text
	}
	return out, nil
}

// exportJSON writes one array of items, or an item a line.
func (s *Service) exportJSON(ctx context.Context, tx bun.Tx, r reach.Reach, w *bufio.Writer, f *Filter, array bool) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	next := "["
	err := s.eachFile(ctx, tx, r, f, func(it fileItem) error {
		if array {
			w.WriteString(next) // the writer keeps its first error for Flush
			next = ","
		}
		return enc.Encode(it)
	})
	if err != nil {
		return fmt.Errorf("cmdb: export: %w", err)
	}
	if array {
		if next == "[" {
			w.WriteString(next)
		}
		w.WriteString("]\n")
	}
	return nil
}
