package sigma

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"icewatch/detections"
)

// The statuses and kinds of relation that the specification names.
var (
	statuses  = []string{"stable", "test", "experimental", "deprecated", "unsupported"}
	relatives = []string{"derived", "obsolete", "merged", "renamed", "similar"}
)

// attributes are the keys of documents that mean something; every other is the
// author's own. Those that are a letter away from one are a mistake.
var attributes = []string{"title", "id", "name", "related", "taxonomy", "status", "description", "license", "references", "author", "date", "modified",
	"logsource", "detection", "correlation", "filter", "fields", "falsepositives", "level", "tags", "scope", "generate", "action", "icewatch"}

// rule reads a document's attributes.
func (r *reader) rule(rule *Rule, root *yaml.Node) *Error {
	var detection, correlation, filter, logsource, level *yaml.Node
	var err *Error
	generate := false
	for i := 0; i+1 < len(root.Content) && err == nil; i += 2 {
		key, val := root.Content[i], resolve(root.Content[i+1])
		switch key.Value {
		case "title":
			rule.Title, err = r.short(key, val)
		case "id":
			rule.ID, err = text(key, val)
		case "name":
			rule.Name, err = r.short(key, val)
		case "related":
			rule.Related, err = r.related(val)
		case "taxonomy":
			if rule.Taxonomy, err = r.short(key, val); rule.Taxonomy == "sigma" {
				rule.Taxonomy = ""
			}
		case "status":
			rule.Status, err = r.oneOf(key, val, statuses)
		case "description":
			if rule.Description, err = text(key, val); utf8.RuneCountInString(rule.Description) > 65535 {
				r.warn(val.Line, "description is longer than 65535 characters")
			}
		case "license":
			rule.License, err = text(key, val)
		case "references":
			rule.References, err = texts(key, val)
		case "author":
			rule.Author, err = text(key, val)
		case "date":
			rule.Date, err = r.date(key, val)
		case "modified":
			rule.Modified, err = r.date(key, val)
		case "level":
			level = val
			var s string
			if s, err = text(key, val); err == nil {
				rule.Level = detections.Level(strings.ToLower(s))
				if !validLevel(rule.Level) {
					err = errorf(val.Line, "level %q is not one of informational, low, medium, high, critical", s)
				}
			}
		case "tags":
			rule.Tags, err = r.tags(key, val)
		case "fields":
			rule.Fields, err = texts(key, val)
		case "falsepositives":
			rule.FalsePositives, err = texts(key, val)
		case "scope":
			rule.Scope, err = texts(key, val)
		case "logsource":
			logsource = key
			rule.Logsource, err = readLogsource(val)
		case "detection":
			detection = val
		case "correlation":
			correlation = val
		case "filter":
			filter = val
		case "generate": // the specification has it here, its schema and pySigma inside the correlation
			generate, err = boolean(key, val)
		case "action":
			err = errorf(key.Line, "action documents left Sigma with version 2: write complete rules")
		case "icewatch":
			err = r.custom(rule, val)
		default:
			if meant := nearest(key.Value, attributes); meant != "" {
				r.warn(key.Line, "attribute %q is not known to Sigma: is %q meant?", key.Value, meant)
			}
		}
	}
	if err != nil {
		return err
	}
	kinds := 0
	for _, n := range []*yaml.Node{detection, correlation, filter} {
		if n != nil {
			kinds++
		}
	}
	switch {
	case rule.Title == "":
		return errorf(root.Line, "title is missing")
	case kinds > 1:
		return errorf(root.Line, "a document is either a detection, a correlation or a filter, not several of them")
	case kinds == 0:
		return errorf(root.Line, "neither detection nor correlation nor filter is there")
	case rule.Status == "unsupported":
		return errorf(root.Line, "the rule says of itself that it is unsupported")
	}
	if rule.ID == "" {
		if rule.ID = rule.Name; rule.ID == "" {
			rule.ID = rule.Title
		}
		r.warn(root.Line, "id is missing")
	}
	switch {
	case correlation != nil:
		if rule.Correlation, err = parseCorrelation(correlation, &rule.Custom); err == nil && generate {
			rule.Correlation.Generate = true
		}
	case filter != nil:
		switch {
		case logsource == nil:
			return errorf(root.Line, "a filter needs a logsource: the rules it is for have to lie within it")
		case rule.Logsource == (Logsource{}):
			return errorf(logsource.Line, "a filter's logsource needs a category, product or service")
		case level != nil:
			r.warn(level.Line, "a filter has no level: that of the rules stays")
		}
		rule.Filter, err = r.filter(filter)
	default:
		switch {
		case logsource == nil:
			r.warn(root.Line, "logsource is missing: the rule applies to every event")
		case rule.Logsource == (Logsource{}):
			r.warn(logsource.Line, "logsource has no category, product or service: the rule applies to every event")
		}
		rule.Detection, err = r.detection(detection, false)
	}
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

func boolean(key, val *yaml.Node) (bool, *Error) {
	if val.Kind != yaml.ScalarNode || val.ShortTag() != "!!bool" {
		return false, errorf(val.Line, "%s has to be true or false", key.Value)
	}
	return strings.EqualFold(val.Value, "true"), nil
}

// short reads a text of up to 256 characters.
func (r *reader) short(key, val *yaml.Node) (string, *Error) {
	s, err := text(key, val)
	if n := utf8.RuneCountInString(s); n > 256 {
		r.warn(val.Line, "%s has %d characters, 256 are allowed", key.Value, n)
	}
	return s, err
}

func (r *reader) oneOf(key, val *yaml.Node, known []string) (string, *Error) {
	s, err := text(key, val)
	if err != nil {
		return "", err
	}
	for _, k := range known {
		if s == k {
			return s, nil
		}
	}
	r.warn(val.Line, "%s %q is not one of %s", key.Value, s, strings.Join(known, ", "))
	return s, nil
}

func (r *reader) date(key, val *yaml.Node) (string, *Error) {
	s, err := text(key, val)
	if err != nil || s == "" {
		return s, err
	}
	if _, bad := time.Parse(time.DateOnly, s); bad != nil {
		r.warn(val.Line, "%s %q is not a date as YYYY-MM-DD", key.Value, s)
	}
	return s, nil
}

// tagForm is a name in at least one namespace. Capitals and spaces are against
// the specification's advice and change nothing here.
var tagForm = regexp.MustCompile(`^[a-z0-9_-]+\.[a-z0-9._-]+$`)

func (r *reader) tags(key, val *yaml.Node) ([]string, *Error) {
	tags, err := texts(key, val)
	for _, t := range tags {
		if !tagForm.MatchString(t) {
			r.warn(val.Line, "tag %q is not of the form namespace.name in lower-case letters, digits, _ and -", t)
		}
	}
	return tags, err
}

func (r *reader) related(n *yaml.Node) ([]Related, *Error) {
	if n.Kind != yaml.SequenceNode {
		return nil, errorf(n.Line, "related has to be a list of maps with id and type")
	}
	var out []Related
	for _, c := range n.Content {
		if c = resolve(c); c.Kind != yaml.MappingNode {
			return nil, errorf(c.Line, "related has to be a list of maps with id and type")
		}
		var rel Related
		for i := 0; i+1 < len(c.Content); i += 2 {
			key, val := c.Content[i], resolve(c.Content[i+1])
			var err *Error
			switch key.Value {
			case "id":
				rel.ID, err = text(key, val)
			case "type":
				rel.Type, err = r.oneOf(key, val, relatives)
			default:
				err = errorf(key.Line, "related.%s is not known; known are id and type", key.Value)
			}
			if err != nil {
				return nil, err
			}
		}
		if rel.ID == "" || rel.Type == "" {
			return nil, errorf(c.Line, "related needs both id and type")
		}
		out = append(out, rel)
	}
	return out, nil
}

func readLogsource(n *yaml.Node) (l Logsource, err *Error) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		return l, nil
	}
	if n.Kind != yaml.MappingNode {
		return l, errorf(n.Line, "logsource has to be a map")
	}
	for i := 0; i+1 < len(n.Content) && err == nil; i += 2 {
		key, val := n.Content[i], resolve(n.Content[i+1])
		switch key.Value {
		case "category":
			l.Category, err = text(key, val)
		case "product":
			l.Product, err = text(key, val)
		case "service":
			l.Service, err = text(key, val)
		}
	}
	return l, err
}

// nearest finds the known name that is one change of a letter away from s, or
// the same in another case.
func nearest(s string, known []string) string {
	s = strings.ToLower(s)
	for _, k := range known {
		if s == k || oneOff(s, k) {
			return k
		}
	}
	return ""
}

// oneOff tells whether one insertion, deletion, replacement or swap of
// neighbours makes b of a.
func oneOff(a, b string) bool {
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	return len(a) <= 1 && len(b) <= 1 || len(a) == 2 && len(b) == 2 && a[0] == b[1] && a[1] == b[0]
}

// ends are the ends of a connection that a rule may name as the attacker.
var ends = []string{"source", "destination", "host"}

func (r *reader) custom(rule *Rule, n *yaml.Node) *Error {
	if n.Kind != yaml.MappingNode {
		return errorf(n.Line, "icewatch has to be a map")
	}
	var tenants *yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], resolve(n.Content[i+1])
		var err *Error
		switch key.Value {
		case "title":
			err = r.bilingual(key, val, &rule.Custom.Title)
		case "sentence":
			err = r.bilingual(key, val, &rule.Custom.Sentence)
		case "advice":
			err = r.bilingual(key, val, &rule.Custom.Advice)
		case "group_by":
			rule.Custom.GroupBy, err = texts(key, val)
		case "scope":
			if rule.Custom.Scope, err = text(key, val); err == nil && rule.Custom.Scope != "tenant" && rule.Custom.Scope != "city" {
				err = errorf(val.Line, "icewatch.scope is tenant or city, not %q", rule.Custom.Scope)
			}
		case "tenants":
			rule.Custom.Tenants, err = texts(key, val)
			tenants = val
		case "alert":
			var alert bool
			alert, err = boolean(key, val)
			rule.Custom.Counted = !alert
		case "absence":
			rule.Custom.Absence, err = boolean(key, val)
		case "travel":
			rule.Custom.Travel, err = travel(val)
		case "lateness":
			rule.Custom.Lateness, err = timespan(val)
		case "verdict":
			var s string
			if s, err = text(key, val); err == nil && detections.Verdict(s).Rank() == 0 {
				err = errorf(val.Line, "icewatch.verdict is failed, attempt, success or compromised, not %q", s)
			}
			rule.Custom.Verdict = detections.Verdict(s)
		case "attack":
			rule.Custom.Attack, err = text(key, val)
		case "owner":
			rule.Custom.Owner, err = text(key, val)
		case "attacker":
			if rule.Custom.Attacker, err = text(key, val); err == nil && !slices.Contains(ends, rule.Custom.Attacker) {
				err = errorf(val.Line, "icewatch.attacker is source, destination or host, not %q", rule.Custom.Attacker)
			}
		case "knowledge":
			rule.Custom.Knowledge, err = article(key, val)
		case "outputs":
			rule.Custom.Outputs, err = r.outputs(val, 0, new(int))
		default:
			r.warn(key.Line, "icewatch.%s is not known; known are title, sentence, advice, group_by, scope, tenants, alert, absence, travel, lateness, verdict, attack, attacker, owner, knowledge, outputs", key.Value)
		}
		if err != nil {
			return err
		}
	}
	if tenants != nil && rule.Custom.Scope != "city" {
		return errorf(tenants.Line, "icewatch.tenants is for icewatch.scope: city; without it each tenant is counted apart")
	}
	return nil
}

// travel reads icewatch.travel.
func travel(n *yaml.Node) (*Travel, *Error) {
	if n.Kind != yaml.MappingNode {
		return nil, errorf(n.Line, "icewatch.travel has to be a map with kmh and least_km")
	}
	t := &Travel{KMH: 900, LeastKM: 500}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], resolve(n.Content[i+1])
		into := map[string]*float64{"kmh": &t.KMH, "least_km": &t.LeastKM}[key.Value]
		if into == nil {
			return nil, errorf(key.Line, "icewatch.travel.%s is not known; known are kmh, least_km", key.Value)
		}
		v, err := strconv.ParseFloat(val.Value, 64)
		if err != nil || !(v >= 1 && v <= 100_000) {
			return nil, errorf(val.Line, "icewatch.travel.%s is a number from 1 to 100000, not %q", key.Value, val.Value)
		}
		*into = v
	}
	return t, nil
}

func (r *reader) bilingual(key, n *yaml.Node, into *detections.Text) *Error {
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

// Meaning is equal for two states of a detection that ask the same of events,
// however they are worded, laid out and commented: what was counted by one is
// valid for the other. Filters that narrow it belong to it.
func (r *Rule) Meaning() string {
	print := r.ID + "\x00" + decisive(r.Source)
	for _, f := range r.Filters {
		print += "\x00" + decisive(f.Source)
	}
	return print
}

// decisive are the parts of a document that decide what it matches, and all of
// it where they cannot be told.
func decisive(source string) string {
	var d struct{ Taxonomy, Logsource, Detection, Filter any }
	if err := yaml.Unmarshal([]byte(source), &d); err != nil {
		return source
	}
	text, err := json.Marshal(d)
	if err != nil {
		return source
	}
	return string(text)
}

// Version says which state of the rule this is: when it was last changed, as
// the rule itself has it, "" where it does not say.
func (r *Rule) Version() string {
	if r.Modified != "" {
		return r.Modified
	}
	return r.Date
}

// Hash is the SHA-256 of the rule's source as it stands, in hexadecimal.
func (r *Rule) Hash() string {
	sum := sha256.Sum256([]byte(r.Source))
	return hex.EncodeToString(sum[:])
}
