package lake

import (
	"encoding/json"
	"unsafe"

	"icewatch/soc/event"
)

// arrayOf reads an array as Writer renders several values of a field. ok is false
// for any other text, one that is JSON but was not written so included.
func arrayOf(v string) (list []string, ok bool) {
	var parts []json.RawMessage
	if json.Unmarshal([]byte(v), &parts) != nil || len(parts) < 2 {
		return nil, false
	}
	b := []byte{'['}
	for i, p := range parts {
		if i > 0 {
			b = append(b, ',')
		}
		if len(p) > 0 && p[0] == '"' {
			var s string
			if json.Unmarshal(p, &s) != nil {
				return nil, false
			}
			b = event.AppendJSON(b, s)
			list = append(list, s)
			continue
		}
		if c := p[0]; c == '{' || c == '[' || c == 'n' {
			return nil, false
		}
		b = append(b, p...)
		list = append(list, string(p))
	}
	return list, string(append(b, ']')) == v
}

// unsafeText is bytes that are not changed any more as a text.
func unsafeText(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
