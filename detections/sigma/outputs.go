package sigma

import (
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"icewatch/detections"
)

// Bounds of a rule's outputs.
const (
	maxOutputs      = 50 // of all depths
	maxOutputDepth  = 4
	maxOutputFields = 20
	maxOutputText   = 1000 // bytes of a field's value
)

var (
	articleForm     = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,99}$`)
	outputFieldForm = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}(\.[a-z][a-z0-9_]{0,39}){0,3}$`)
)

// article reads the id of an article of the knowledge base.
func article(key, val *yaml.Node) (string, *Error) {
	s, err := text(key, val)
	if err == nil && !articleForm.MatchString(s) {
		err = errorf(val.Line, "icewatch.%s: %.40q: want the id of an article: lower-case letters, digits, dots, dashes and underscores, at most 100", key.Value, s)
	}
	return s, err
}

// outputs reads what alerts say where that depends on the event.
func (r *reader) outputs(n *yaml.Node, depth int, count *int) ([]Output, *Error) {
	if n.Kind != yaml.SequenceNode {
		return nil, errorf(n.Line, "icewatch.outputs has to be a list of maps")
	}
	if depth >= maxOutputDepth {
		return nil, errorf(n.Line, "icewatch.outputs: nested more than %d deep", maxOutputDepth)
	}
	var out []Output
	for i, c := range n.Content {
		if c = resolve(c); c.Kind != yaml.MappingNode {
			return nil, errorf(c.Line, "icewatch.outputs has to be a list of maps")
		}
		if *count++; *count > maxOutputs {
			return nil, errorf(c.Line, "icewatch.outputs: more than %d", maxOutputs)
		}
		o, err := r.output(c, depth, count)
		if err != nil {
			return nil, err
		}
		if i > 0 && out[i-1].When == nil {
			return nil, errorf(c.Line, "icewatch.outputs: the one in line %d has no when, so that it always holds and this one never counts", out[i-1].Line)
		}
		out = append(out, o)
	}
	return out, nil
}

func (r *reader) output(n *yaml.Node, depth int, count *int) (o Output, err *Error) {
	o.Line = n.Line
	said := false
	for i := 0; i+1 < len(n.Content) && err == nil; i += 2 {
		key, val := n.Content[i], resolve(n.Content[i+1])
		said = said || key.Value != "when"
		switch key.Value {
		case "when":
			o.When, err = r.detection(val, false)
		case "level":
			var s string
			if s, err = text(key, val); err == nil {
				if o.Level = detections.Level(strings.ToLower(s)); !validLevel(o.Level) {
					err = errorf(val.Line, "icewatch.outputs: level %q is not one of informational, low, medium, high, critical", s)
				}
			}
		case "title":
			err = r.bilingual(key, val, &o.Title)
		case "sentence":
			err = r.bilingual(key, val, &o.Sentence)
		case "advice":
			err = r.bilingual(key, val, &o.Advice)
		case "tags":
			o.Tags, err = r.tags(key, val)
		case "knowledge":
			o.Knowledge, err = article(key, val)
		case "fields":
			o.Fields, err = outputFields(val)
		case "then":
			o.Then, err = r.outputs(val, depth+1, count)
		default:
			err = errorf(key.Line, "icewatch.outputs: %s is not known; known are when, level, title, sentence, advice, tags, knowledge, fields, then", key.Value)
		}
	}
	if err == nil && !said {
		err = errorf(n.Line, "icewatch.outputs: it says nothing: want level, title, sentence, advice, tags, knowledge, fields or then")
	}
	return o, err
}

func outputFields(n *yaml.Node) ([]OutputField, *Error) {
	if n.Kind != yaml.MappingNode {
		return nil, errorf(n.Line, "icewatch.outputs: fields has to be a map of names and values")
	}
	if len(n.Content)/2 > maxOutputFields {
		return nil, errorf(n.Line, "icewatch.outputs: %d fields, at most %d", len(n.Content)/2, maxOutputFields)
	}
	var out []OutputField
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], resolve(n.Content[i+1])
		if !outputFieldForm.MatchString(key.Value) {
			return nil, errorf(key.Line, "icewatch.outputs: the field %.60q: want lower-case letters, digits and underscores, parts with dots between them", key.Value)
		}
		s, err := text(key, val)
		if err != nil {
			return nil, err
		}
		if len(s) > maxOutputText {
			return nil, errorf(val.Line, "icewatch.outputs: the field %s: %d bytes, at most %d", key.Value, len(s), maxOutputText)
		}
		out = append(out, OutputField{Name: key.Value, Value: s})
	}
	return out, nil
}
