package rulebook

import (
	"bytes"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"go.yaml.in/yaml/v3"
)

// Differing names the parts in which two files of rules differ in meaning: keys
// such as level or detection.selection, with the rule's id before them where the
// files hold several. Layout, comments and the order of keys are no difference.
func Differing(a, b string) []string {
	before, after := documents(a), documents(b)
	var out []string
	for _, id := range slices.Sorted(maps.Keys(merge(before, after))) {
		prefix := ""
		if len(before) > 1 || len(after) > 1 {
			prefix = id + ": "
		}
		x, y := before[id], after[id]
		switch {
		case x == nil:
			out = append(out, prefix+"added")
			continue
		case y == nil:
			out = append(out, prefix+"removed")
			continue
		}
		for _, key := range slices.Sorted(maps.Keys(merge(x, y))) {
			if reflect.DeepEqual(x[key], y[key]) {
				continue
			}
			inX, okX := x[key].(map[string]any)
			inY, okY := y[key].(map[string]any)
			if !okX || !okY {
				out = append(out, prefix+key)
				continue
			}
			for _, sub := range slices.Sorted(maps.Keys(merge(inX, inY))) {
				if !reflect.DeepEqual(inX[sub], inY[sub]) {
					out = append(out, prefix+key+"."+sub)
				}
			}
		}
	}
	return append([]string{}, out...)
}

func merge[V any](a, b map[string]V) map[string]V {
	out := maps.Clone(a)
	if out == nil {
		out = map[string]V{}
	}
	maps.Copy(out, b)
	return out
}

// documents are the documents of a file by the rules' ids, else titles.
func documents(source string) map[string]map[string]any {
	out := map[string]map[string]any{}
	dec := yaml.NewDecoder(bytes.NewReader([]byte(source)))
	for {
		var doc map[string]any
		if err := dec.Decode(&doc); err != nil {
			return out
		}
		id := fmt.Sprint(doc["id"])
		if doc["id"] == nil {
			id = fmt.Sprint(doc["title"])
		}
		if doc != nil {
			out[id] = doc
		}
	}
}
