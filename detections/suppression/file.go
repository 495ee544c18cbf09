package suppression

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// MaxFile is how many bytes a file of suppressions may have.
const MaxFile = 8 << 20

// Parse reads a file of suppressions: YAML, one or several documents, of which
// each is one suppression. A document that is wrong is a fault and does not keep
// the others from being read. What Check asks for beside the form is not asked.
func Parse(path string, data []byte) (list []Suppression, faults []Fault) {
	defer func() {
		if p := recover(); p != nil { // some malformed inputs make the library panic
			list, faults = nil, []Fault{{Path: path, Reason: fmt.Sprintf("the YAML parser failed: %v", p)}}
		}
	}()
	if len(data) > MaxFile {
		return nil, []Fault{{Path: path, Reason: fmt.Sprintf("the file is larger than %d MiB", MaxFile>>20)}}
	}
	dec := yaml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))))
	for {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return list, append(faults, Fault{Path: path, Reason: "not valid YAML: " + strings.TrimPrefix(err.Error(), "yaml: ")})
		}
		root := doc.Content[0]
		if root.Kind == yaml.ScalarNode && root.ShortTag() == "!!null" {
			continue // an empty document
		}
		s, fault := read(root)
		if fault != nil {
			fault.Path = path
			faults = append(faults, *fault)
			continue
		}
		list = append(list, s)
	}
	if len(list) == 0 && len(faults) == 0 {
		faults = append(faults, Fault{Path: path, Line: 1, Reason: "the file holds no suppression"})
	}
	return list, faults
}

// keys of a suppression, in the order in which they are written.
var keys = []string{"id", "name", "rules", "assets", "tenants", "detection", "owner", "reason", "expires", "receiver", "disabled"}

// maxNodes and maxDepth bound what a document may unfold to through aliases.
const (
	maxNodes = 100_000
	maxDepth = 32
)

func read(root *yaml.Node) (s Suppression, fault *Fault) {
	fail := func(line int, format string, args ...any) (Suppression, *Fault) {
		return s, &Fault{Line: line, ID: s.ID, Reason: fmt.Sprintf(format, args...)}
	}
	if root.Kind != yaml.MappingNode {
		return fail(root.Line, "a suppression has to be a map of %s", strings.Join(keys, ", "))
	}
	budget := maxNodes
	if line := tooMuch(root, &budget, 0); line > 0 {
		return fail(line, "the document is too large or too deep")
	}
	for i := 0; i+1 < len(root.Content); i += 2 {
		if root.Content[i].Value == "id" {
			s.ID = root.Content[i+1].Value
		}
	}
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, val := root.Content[i], dealias(root.Content[i+1])
		var err error
		switch key.Value {
		case "id", "name", "owner", "reason", "receiver":
			if val.Kind != yaml.ScalarNode {
				return fail(key.Line, "%s: want a text", key.Value)
			}
			*map[string]*string{"id": &s.ID, "name": &s.Name, "owner": &s.Owner, "reason": &s.Reason, "receiver": &s.Receiver}[key.Value] = val.Value
		case "rules":
			s.Rules, err = texts(val)
			if slices.Equal(s.Rules, []string{"any"}) {
				s.Rules = nil
			}
		case "tenants":
			s.Tenants, err = texts(val)
		case "assets":
			if val.Kind != yaml.MappingNode {
				return fail(key.Line, "assets: want a map of items, classes, systems")
			}
			for j := 0; j+1 < len(val.Content); j += 2 {
				into := map[string]*[]string{"items": &s.Assets.Items, "classes": &s.Assets.Classes, "systems": &s.Assets.Systems}[val.Content[j].Value]
				if into == nil {
					return fail(val.Content[j].Line, "assets.%s is not known: want items, classes, systems", val.Content[j].Value)
				}
				if *into, err = texts(dealias(val.Content[j+1])); err != nil {
					return fail(val.Content[j].Line, "assets.%s: %s", val.Content[j].Value, err)
				}
			}
		case "detection":
			v, ok := plain(val).(map[string]any)
			if !ok {
				return fail(key.Line, "detection: want a map of selections and a condition")
			}
			s.Detection = v
		case "expires":
			if s.Expires, err = moment(val.Value); err != nil {
				return fail(key.Line, "expires: %s", err)
			}
		case "disabled":
			err = val.Decode(&s.Disabled)
		default:
			return fail(key.Line, "%q is not known: want %s", key.Value, strings.Join(keys, ", "))
		}
		if err != nil {
			return fail(key.Line, "%s: %s", key.Value, err)
		}
	}
	if err := s.checkForm(); err != nil {
		return fail(root.Line, "%s", err)
	}
	if !s.Disabled {
		if _, faults := Compile([]Suppression{s}); len(faults) > 0 {
			return fail(root.Line, "%s", faults[0].Reason)
		}
	}
	return s, nil
}

func tooMuch(n *yaml.Node, budget *int, depth int) (line int) {
	if *budget--; *budget < 0 || depth > maxDepth {
		return max(1, n.Line)
	}
	for _, c := range dealias(n).Content {
		if line := tooMuch(c, budget, depth+1); line > 0 {
			return line
		}
	}
	return 0
}

func dealias(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode && n.Alias != nil {
		n = n.Alias
	}
	return n
}

// moment reads a time: RFC 3339, or a day, which ends with it in the zone of this
// machine.
func moment(v string) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, v); err == nil {
		return t, nil
	}
	if t, err := time.ParseInLocation(time.DateOnly, v, time.Local); err == nil {
		return t.AddDate(0, 0, 1), nil
	}
	return time.Time{}, fmt.Errorf("%.40q: want a day such as 2027-03-31 or a time such as 2027-03-31T18:00:00+08:00", v)
}

func texts(n *yaml.Node) ([]string, error) {
	switch n.Kind {
	case yaml.ScalarNode:
		return []string{n.Value}, nil
	case yaml.SequenceNode:
		var out []string
		for _, c := range n.Content {
			if c = dealias(c); c.Kind != yaml.ScalarNode {
				return nil, errors.New("want a list of texts")
			}
			out = append(out, c.Value)
		}
		return out, nil
	}
	return nil, errors.New("want a text or a list of texts")
}

// plain makes plain values of a node, as they would come from JSON. Dates and
// numbers that do not read the same when they are written again stay text.
func plain(n *yaml.Node) any {
	n = dealias(n)
	switch n.Kind {
	case yaml.MappingNode:
		m := make(map[string]any, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			m[n.Content[i].Value] = plain(n.Content[i+1])
		}
		return m
	case yaml.SequenceNode:
		list := make([]any, 0, len(n.Content))
		for _, c := range n.Content {
			list = append(list, plain(c))
		}
		return list
	}
	switch n.ShortTag() {
	case "!!null":
		return nil
	case "!!bool":
		if n.Value == "true" || n.Value == "false" {
			return n.Value == "true"
		}
	case "!!int":
		if v, err := strconv.Atoi(n.Value); err == nil && strconv.Itoa(v) == n.Value {
			return v
		}
	}
	return n.Value
}

// Format writes suppressions as a file that Parse reads.
func Format(list []Suppression) ([]byte, error) {
	if len(list) == 0 {
		return nil, nil // The encoder takes no end without a beginning.
	}
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	for i := range list {
		if err := enc.Encode(&list[i]); err != nil {
			return nil, fmt.Errorf("suppression %s: %w", list[i].ID, err)
		}
	}
	if err := enc.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
