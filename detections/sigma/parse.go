package sigma

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"

	"icewatch/detections"
)

// maxNodes bounds what one document may unfold to through YAML aliases.
const maxNodes = 200_000

// Parse reads every document of a rule file. A document that is wrong becomes
// an error and does not keep the others from being read; what follows a
// syntax error of YAML itself is lost.
func Parse(data []byte, opts *Options) (rules []*Rule, errs []*Error) {
	if opts == nil {
		opts = &Options{}
	}
	defer func() {
		if p := recover(); p != nil {
			errs = append(errs, panicked(p))
		}
	}()
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var docs []*yaml.Node
	for {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			errs = append(errs, yamlError(err))
			break
		}
		if len(doc.Content) == 1 && doc.Content[0].Kind == yaml.ScalarNode && doc.Content[0].ShortTag() == "!!null" {
			continue // an empty document, as a trailing "---" makes
		}
		docs = append(docs, &doc)
	}
	if len(docs) == 0 && len(errs) == 0 {
		errs = append(errs, errorf(1, "the file holds no rule"))
	}
	var all []string // the file's lines
	if len(docs) > 1 {
		all = strings.SplitAfter(string(data), "\n")
	}
	for i, doc := range docs {
		rule, err := parseDocument(doc, opts)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if rule.Source = string(data); len(docs) > 1 {
			end := 0
			if i+1 < len(docs) {
				end = docs[i+1].Content[0].Line - 1
			}
			rule.Source = lines(all, doc.Content[0].Line, end)
		}
		rules = append(rules, rule)
	}
	return rules, errs
}

// lines cuts lines first to last (1-based, 0 for the end) without the
// document separator.
func lines(all []string, first, last int) string {
	if last == 0 || last > len(all) {
		last = len(all)
	}
	if first > last {
		return ""
	}
	return strings.TrimSuffix(strings.TrimRight(strings.Join(all[first-1:last], ""), "\n"), "\n---") + "\n"
}

// resolve follows an alias to the node it names.
func resolve(n *yaml.Node) *yaml.Node {
	for range 32 {
		if n.Kind != yaml.AliasNode || n.Alias == nil {
			break
		}
		n = n.Alias
	}
	return n
}

// checkTree refuses keys that stand twice in one map, which YAML forbids and
// of which one would be lost, and documents that unfold without end.
func checkTree(n *yaml.Node, budget *int, depth int) *Error {
	if *budget--; *budget < 0 || depth > 100 {
		return errorf(n.Line, "the document is too large or too deep")
	}
	n = resolve(n)
	if n.Kind == yaml.MappingNode {
		seen := make(map[string]struct{}, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			if key.Kind != yaml.ScalarNode {
				return errorf(key.Line, "a key has to be a text")
			}
			if _, twice := seen[key.Value]; twice {
				return errorf(key.Line, "key %q stands twice in the same map", key.Value)
			}
			seen[key.Value] = struct{}{}
		}
	}
	for _, c := range n.Content {
		if err := checkTree(c, budget, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func parseDocument(doc *yaml.Node, opts *Options) (*Rule, *Error) {
	if len(doc.Content) != 1 {
		return nil, errorf(doc.Line, "the document is not a map")
	}
	root := resolve(doc.Content[0])
	if root.Kind != yaml.MappingNode {
		return nil, errorf(root.Line, "the document is not a map of rule attributes")
	}
	r := &Rule{Line: root.Line, Level: detections.Medium}
	in := &reader{opts: opts, room: maxRoom}
	budget := maxNodes
	err := checkTree(root, &budget, 0)
	if err == nil {
		err = in.rule(r, root)
	}
	r.Warnings = in.warnings
	if err != nil {
		if r.ID == "" { // name the rule as well as it can be
			r.ID = scalarOf(root, "id")
		}
		err.RuleID, err.Title = r.ID, r.Title
		if err.Title == "" {
			err.Title = scalarOf(root, "title")
		}
		return nil, err
	}
	return r, nil
}

func scalarOf(root *yaml.Node, key string) string {
	for i := 0; i+1 < len(root.Content); i += 2 {
		if root.Content[i].Value == key && root.Content[i+1].Kind == yaml.ScalarNode {
			return root.Content[i+1].Value
		}
	}
	return ""
}
