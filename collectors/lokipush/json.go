package lokipush

import (
	"fmt"
	"strconv"

	"github.com/valyala/fastjson"

	"icewatch/soc/intake"
)

// readJSON reads {"streams":[{"stream":{label:value},"values":[["<ns>","line",
// {metadata}]]}]}.
func (h *Handler) readJSON(b *batch, parser *fastjson.Parser, body []byte) error {
	root, err := parser.ParseBytes(body)
	if err != nil {
		return fmt.Errorf("the body is not valid JSON: %s", clip(err.Error()))
	}
	if root.Type() != fastjson.TypeObject {
		return fmt.Errorf("the body must be a JSON object, not %s", root.Type())
	}
	streams := root.Get("streams")
	if streams == nil {
		return fmt.Errorf("the body has no \"streams\"")
	}
	list, err := streams.Array()
	if err != nil {
		return fmt.Errorf("\"streams\" must be an array, not %s", streams.Type())
	}
	for i, s := range list {
		where := "streams[" + strconv.Itoa(i) + "]"
		if s.Type() != fastjson.TypeObject {
			return fmt.Errorf("%s must be an object, not %s", where, s.Type())
		}
		labels, err := jsonLabels(s.Get("stream"), where+".stream")
		if err != nil {
			return err
		}
		for _, l := range labels {
			if !isLabelName(l.Name) {
				return fmt.Errorf("%s.stream: %q is not a label name", where, clip(l.Name))
			}
		}
		if err := h.checkLabels(labels, where); err != nil {
			return err
		}
		if err := h.jsonValues(b, s.Get("values"), labels, where+".values"); err != nil {
			return err
		}
	}
	return nil
}

// jsonLabels reads an object of strings.
func jsonLabels(v *fastjson.Value, where string) ([]intake.Attr, error) {
	if v == nil {
		return nil, nil
	}
	o, err := v.Object()
	if err != nil {
		return nil, fmt.Errorf("%s must be an object, not %s", where, v.Type())
	}
	attrs := make([]intake.Attr, 0, o.Len())
	var bad error
	o.Visit(func(key []byte, v *fastjson.Value) {
		s, err := v.StringBytes()
		if err != nil && bad == nil {
			bad = fmt.Errorf("%s.%s must be a string, not %s", where, clip(string(key)), v.Type())
		}
		attrs = append(attrs, intake.Attr{Name: string(key), Value: string(s)})
	})
	return attrs, bad
}

func (h *Handler) jsonValues(b *batch, values *fastjson.Value, labels []intake.Attr, where string) error {
	if values == nil {
		return nil
	}
	list, err := values.Array()
	if err != nil {
		return fmt.Errorf("%s must be an array, not %s", where, values.Type())
	}
	marked := append(labels[:len(labels):len(labels)], intake.Attr{Name: intake.MetadataMark})
	for i, v := range list {
		entry, err := v.Array()
		if err != nil || len(entry) < 2 || len(entry) > 3 {
			return fmt.Errorf("%s[%d] must be [\"<nanoseconds>\", \"line\"] or the same with an object of metadata", where, i)
		}
		ts, err := entry[0].StringBytes()
		if err != nil {
			return fmt.Errorf("%s[%d][0] must be a string of nanoseconds, not %s", where, i, entry[0].Type())
		}
		t, err := strconv.ParseInt(string(ts), 10, 64)
		if err != nil {
			return fmt.Errorf("%s[%d][0]: %q is not a time in nanoseconds", where, i, clip(string(ts)))
		}
		line, err := entry[1].StringBytes()
		if err != nil {
			return fmt.Errorf("%s[%d][1] must be a string, not %s", where, i, entry[1].Type())
		}
		attrs := marked
		if len(entry) == 3 {
			metadata, err := jsonLabels(entry[2], fmt.Sprintf("%s[%d][2]", where, i))
			if err != nil {
				return err
			}
			if len(metadata) > h.opts.MaxLabels {
				return fmt.Errorf("%s[%d][2]: %d pairs of structured metadata exceed the limit of %d", where, i, len(metadata), h.opts.MaxLabels)
			}
			if len(metadata) > 0 {
				attrs = append(marked[:len(marked):len(marked)], metadata...)
			}
		}
		if err := b.add(t, line, attrs); err != nil {
			return err
		}
	}
	return nil
}
