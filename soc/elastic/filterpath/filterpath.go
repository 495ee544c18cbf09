// Package filterpath is what Elasticsearch's parameter filter_path does: it picks
// parts of an answer, so that shippers read no more than the errors.
package filterpath

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// Pick picks the parts of a JSON document that paths names: dotted paths
// with * for any part of a name and ** for any depth; a - in front leaves out.
func Pick(b []byte, paths string) ([]byte, error) {
	if paths == "" {
		return b, nil
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	var in, out [][]string
	for p := range strings.SplitSeq(paths, ",") {
		if p = strings.TrimSpace(p); strings.HasPrefix(p, "-") {
			out = append(out, strings.Split(p[1:], "."))
		} else if p != "" {
			in = append(in, strings.Split(p, "."))
		}
	}
	if len(in) > 0 {
		v, _ = pick(v, in)
		if v == nil {
			v = map[string]any{}
		}
	}
	return json.Marshal(leaveOut(v, out))
}

// pick keeps what the paths lead to.
func pick(v any, paths [][]string) (any, bool) {
	for _, p := range paths {
		if len(p) == 0 {
			return v, true
		}
	}
	switch v := v.(type) {
	case map[string]any:
		kept := map[string]any{}
		for name, inner := range v {
			if below := step(paths, name); len(below) > 0 {
				if part, ok := pick(inner, below); ok {
					kept[name] = part
				}
			}
		}
		return kept, len(kept) > 0
	case []any:
		var kept []any
		for _, inner := range v {
			if part, ok := pick(inner, paths); ok {
				kept = append(kept, part)
			}
		}
		return kept, len(kept) > 0
	}
	return nil, false
}

func leaveOut(v any, paths [][]string) any {
	if len(paths) == 0 {
		return v
	}
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			below := step(paths, name)
			if slices.ContainsFunc(below, func(p []string) bool { return len(p) == 0 }) {
				delete(v, name)
			} else {
				v[name] = leaveOut(inner, below)
			}
		}
	case []any:
		for i := range v {
			v[i] = leaveOut(v[i], paths)
		}
	}
	return v
}

// step is what is left of the paths behind a member.
func step(paths [][]string, name string) (below [][]string) {
	for _, p := range paths {
		if len(p) == 0 {
			continue
		}
		if p[0] == "**" {
			below = append(below, p)
			if len(p) > 1 {
				below = append(below, step([][]string{p[1:]}, name)...)
			}
		} else if Glob(p[0], name) {
			below = append(below, p[1:])
		}
	}
	return below
}

// Glob tells whether a name matches a pattern in which * stands for any
// characters.
func Glob(pattern, name string) bool {
	head, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == name
	}
	name, ok := strings.CutPrefix(name, head)
	if !ok {
		return false
	}
	for {
		part, more, star := strings.Cut(rest, "*")
		if !star {
			return strings.HasSuffix(name, part)
		}
		at := strings.Index(name, part)
		if at < 0 {
			return false
		}
		name, rest = name[at+len(part):], more
	}
}

// Any tells whether one of the patterns, around which blanks do not count, is
// met by the name.
func Any(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return Glob(strings.TrimSpace(p), name) })
}
