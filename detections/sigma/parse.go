package sigma

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
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
		// The YAML library panics on some malformed inputs; a rule file must
		// never take the suite down.
		if p := recover(); p != nil {
			errs = append(errs, errorf(0, "the YAML parser failed: %v", p))
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
			rule.Source = lines(data, doc.Content[0].Line, end)
		}
		rules = append(rules, rule)
	}
	return rules, errs
}

// lines cuts lines first to last (1-based, 0 for the end) without the
// document separator.
func lines(data []byte, first, last int) string {
	all := strings.SplitAfter(string(data), "\n")
	if last == 0 || last > len(all) {
		last = len(all)
	}
	if first > last {
		return ""
	}
	return strings.TrimSuffix(strings.TrimRight(strings.Join(all[first-1:last], ""), "\n"), "\n---") + "\n"
}

var yamlLine = regexp.MustCompile(`line (\d+): `)

func yamlError(err error) *Error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 0
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = strings.Replace(text, m[0], "", 1)
	}
	return errorf(line, "not valid YAML: %s", text)
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
	budget := maxNodes
	err := checkTree(root, &budget, 0)
	if err == nil {
		err = r.read(root, opts)
	}
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

func (r *Rule) warn(line int, format string, args ...any) {
	r.Warnings = append(r.Warnings, errorf(line, format, args...))
}

func (r *Rule) read(root *yaml.Node, opts *Options) *Error {
	var detection, correlation, filter *yaml.Node
	var err *Error
	logsource := false
	for i := 0; i+1 < len(root.Content) && err == nil; i += 2 {
		key, val := root.Content[i], resolve(root.Content[i+1])
		switch key.Value {
		case "title":
			r.Title, err = text(key, val)
		case "id":
			r.ID, err = text(key, val)
		case "name":
			r.Name, err = text(key, val)
		case "status":
			if r.Status, err = text(key, val); err == nil {
				switch r.Status {
				case "stable", "test", "experimental", "deprecated", "unsupported":
				default:
					r.warn(val.Line, "status %q is not one of stable, test, experimental, deprecated, unsupported", r.Status)
				}
			}
		case "description":
			r.Description, err = text(key, val)
		case "level":
			var s string
			if s, err = text(key, val); err == nil {
				r.Level = detections.Level(strings.ToLower(s))
				if !validLevel(r.Level) {
					err = errorf(val.Line, "level %q is not one of informational, low, medium, high, critical", s)
				}
			}
		case "tags":
			r.Tags, err = texts(key, val)
		case "fields":
			r.Fields, err = texts(key, val)
		case "logsource":
			logsource = true
			err = r.readLogsource(val)
		case "detection":
			detection = val
		case "correlation":
			correlation = val
		case "filter":
			filter = val
		case "action":
			err = errorf(key.Line, "action documents left Sigma with version 2: write complete rules")
		case "icewatch":
			err = r.readCustom(val)
		}
	}
	if err != nil {
		return err
	}
	switch {
	case r.Title == "":
		return errorf(root.Line, "title is missing")
	case filter != nil:
		return errorf(root.Line, "Sigma filters are not supported yet: put the exclusion into the rule")
	case detection != nil && correlation != nil:
		return errorf(root.Line, "a document is either a detection or a correlation, not both")
	case detection == nil && correlation == nil:
		return errorf(root.Line, "neither detection nor correlation is there")
	case r.Status == "unsupported":
		return errorf(root.Line, "the rule says of itself that it is unsupported")
	}
	if r.ID == "" {
		if r.ID = r.Name; r.ID == "" {
			r.ID = r.Title
		}
		r.warn(root.Line, "id is missing")
	}
	if correlation != nil {
		r.Correlation, err = parseCorrelation(correlation)
		return err
	}
	if !logsource {
		r.warn(root.Line, "logsource is missing: the rule applies to every event")
	}
	var unused []*Error
	r.Detection, unused, err = parseDetection(detection, opts)
	r.Warnings = append(r.Warnings, unused...)
	return err
}

func validLevel(l detections.Level) bool {
	for _, known := range detections.Levels {
		if l == known {
			return true
		}
	}
	return false
}

func text(key, val *yaml.Node) (string, *Error) {
	if val.Kind != yaml.ScalarNode {
		return "", errorf(val.Line, "%s has to be a text", key.Value)
	}
	if val.ShortTag() == "!!null" {
		return "", nil
	}
	return val.Value, nil
}

func texts(key, val *yaml.Node) ([]string, *Error) {
	if val.Kind == yaml.ScalarNode {
		s, err := text(key, val)
		if err != nil || s == "" {
			return nil, err
		}
		return []string{s}, nil
	}
	if val.Kind != yaml.SequenceNode {
		return nil, errorf(val.Line, "%s has to be a list of texts", key.Value)
	}
	var out []string
	for _, c := range val.Content {
		s, err := text(key, resolve(c))
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

func (r *Rule) readLogsource(n *yaml.Node) *Error {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		return errorf(n.Line, "logsource has to be a map")
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], resolve(n.Content[i+1])
		var err *Error
		switch key.Value {
		case "category":
			r.Logsource.Category, err = text(key, val)
		case "product":
			r.Logsource.Product, err = text(key, val)
		case "service":
			r.Logsource.Service, err = text(key, val)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *Rule) readCustom(n *yaml.Node) *Error {
	if n.Kind != yaml.MappingNode {
		return errorf(n.Line, "icewatch has to be a map")
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], resolve(n.Content[i+1])
		var err *Error
		switch key.Value {
		case "title":
			err = r.bilingual(key, val, &r.Custom.Title)
		case "sentence":
			err = r.bilingual(key, val, &r.Custom.Sentence)
		case "advice":
			err = r.bilingual(key, val, &r.Custom.Advice)
		case "group_by":
			r.Custom.GroupBy, err = texts(key, val)
		case "scope":
			if r.Custom.Scope, err = text(key, val); err == nil && r.Custom.Scope != "tenant" && r.Custom.Scope != "city" {
				err = errorf(val.Line, "icewatch.scope is tenant or city, not %q", r.Custom.Scope)
			}
		default:
			r.warn(key.Line, "icewatch.%s is not known; known are title, sentence, advice, group_by, scope", key.Value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *Rule) bilingual(key, n *yaml.Node, into *detections.Text) *Error {
	if n.Kind != yaml.MappingNode {
		return errorf(n.Line, "icewatch.%s has to be a map with zh and en", key.Value)
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, val := n.Content[i], resolve(n.Content[i+1])
		s, err := text(k, val)
		if err != nil {
			return err
		}
		switch k.Value {
		case "zh":
			into.ZH = s
		case "en":
			into.EN = s
		default:
			r.warn(k.Line, "icewatch.%s.%s is not known; known are zh and en", key.Value, k.Value)
		}
	}
	return nil
}

// tactics of MITRE ATT&CK for enterprise and ICS, as tags name them.
var tactics = map[string]bool{
	"reconnaissance": true, "resource-development": true, "initial-access": true, "execution": true,
	"persistence": true, "privilege-escalation": true, "defense-evasion": true, "credential-access": true,
	"discovery": true, "lateral-movement": true, "collection": true, "command-and-control": true,
	"exfiltration": true, "impact": true, "evasion": true, "inhibit-response-function": true,
	"impair-process-control": true, "stealth": true, "defense-impairment": true,
}

var technique = regexp.MustCompile(`^t\d{4}(\.\d{3})?$`)

// Attack splits the ATT&CK tags into tactics ("credential-access") and
// techniques ("T1110.001"), in their order and without repetition.
func (r *Rule) Attack() (tacticNames, techniqueIDs []string) {
	seen := map[string]bool{}
	for _, tag := range r.Tags {
		name, ok := strings.CutPrefix(strings.ToLower(tag), "attack.")
		if !ok || seen[name] {
			continue
		}
		seen[name] = true
		if slug := strings.ReplaceAll(name, "_", "-"); tactics[slug] {
			tacticNames = append(tacticNames, slug)
		} else if technique.MatchString(name) {
			techniqueIDs = append(techniqueIDs, strings.ToUpper(name))
		}
	}
	return tacticNames, techniqueIDs
}

// Fingerprint is equal for two rules that detect the same way under the same id:
// state kept for one is valid for the other.
func (r *Rule) Fingerprint() string {
	return fmt.Sprintf("%s\x00%s", r.ID, r.Source)
}
