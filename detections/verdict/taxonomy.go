package verdict

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"icewatch/detections"
	"icewatch/detections/sigma"
)

// FileName is the name under which rule folders have a taxonomy.
const FileName = "taxonomy.yml"

// Class is a class of risk, a subclass or a type: a node of the tree of
// GB/Z 20986-2007, which has up to three tiers.
type Class struct {
	Code      string           `json:"code" yaml:"code"`
	Name      detections.Text  `json:"name" yaml:"name"`
	Successor *detections.Text `json:"successor,omitempty" yaml:"successor" doc:"The class of GB/T 20986-2023 that took its place"`
	Below     []Class          `json:"below,omitempty" yaml:"-"`

	Subclasses []Class `json:"-" yaml:"subclasses"`
	Types      []Class `json:"-" yaml:"types"`
}

// Attack is a type of attack, by which alerts are grouped.
type Attack struct {
	ID      string          `json:"id" yaml:"id"`
	Name    detections.Text `json:"name" yaml:"name"`
	Risk    string          `json:"risk" yaml:"risk" doc:"Codes of the tiers of the risk that it is, with dots between them"`
	Website bool            `json:"website,omitempty" yaml:"website" doc:"It is a risk of a website"`
	Tunnel  bool            `json:"tunnel,omitempty" yaml:"tunnel" doc:"It is a covert tunnel"`
	Fault   bool            `json:"fault,omitempty" yaml:"fault" doc:"It is a fault and no attack"`
	Fields  []string        `json:"fields" yaml:"fields" doc:"Fields that tell attacks of this type apart"`

	Tags       []string `json:"-" yaml:"tags"`
	Words      []string `json:"-" yaml:"words"`
	Techniques []string `json:"techniques,omitempty" yaml:"techniques"`
	Tactics    []string `json:"tactics,omitempty" yaml:"tactics"`
	Success    []string `json:"-" yaml:"success"`
	Failure    []string `json:"-" yaml:"failure"`

	risk             detections.Risk
	success, failure []*regexp.Regexp
}

// document is a taxonomy's file.
type document struct {
	Risks      []Class                    `yaml:"risks"`
	Attacks    []Attack                   `yaml:"attacks"`
	Refused    []string                   `yaml:"refused"`
	Passed     []string                   `yaml:"passed"`
	Cleaned    []string                   `yaml:"cleaned"`
	BlockPages []string                   `yaml:"block_pages"`
	Tactics    map[string]detections.Text `yaml:"tactics"`
	Techniques map[string]detections.Text `yaml:"techniques"`
}

// Taxonomy is how alerts are classed. It is immutable and safe for concurrent
// use; the zero value knows nothing and classes nothing.
type Taxonomy struct {
	Risks      []Class                    `json:"risks" doc:"Classes of GB/Z 20986-2007, with subclasses and types below them"`
	Attacks    []Attack                   `json:"attacks" doc:"Types of attack"`
	Tactics    map[string]detections.Text `json:"tactics" doc:"Names of ATT&CK tactics"`
	Techniques map[string]detections.Text `json:"techniques" doc:"Names of ATT&CK techniques"`

	refused, passed, cleaned []string
	blockPages               []*regexp.Regexp
}

// With is the taxonomy with what a file adds to it: of what both have, the
// file's counts. The error names the line or the entry that is wrong, and then
// nothing of the file is taken.
func (t *Taxonomy) With(data []byte) (*Taxonomy, error) {
	if _, err := sigma.Document(data, "taxonomy"); err != nil { // bounded, unlike the decoder
		return nil, err
	}
	var d document
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&d); err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.New(strings.TrimPrefix(strings.Join(strings.Fields(err.Error()), " "), "yaml: "))
	}
	out := &Taxonomy{Tactics: merged(t.Tactics, d.Tactics, normal), Techniques: merged(t.Techniques, d.Techniques, strings.ToUpper),
		refused: words(t.refused, d.Refused), passed: words(t.passed, d.Passed), cleaned: words(t.cleaned, d.Cleaned)}
	var err error
	if out.Risks, err = mergedClasses(t.Risks, d.Risks, "risk"); err != nil {
		return nil, err
	}
	pages, err := patterns("block_pages", d.BlockPages)
	if err != nil {
		return nil, err
	}
	out.blockPages = slices.Concat(t.blockPages, pages)
	if out.Attacks, err = out.mergedAttacks(t.Attacks, d.Attacks); err != nil {
		return nil, err
	}
	return out, nil
}

func merged(a, b map[string]detections.Text, key func(string) string) map[string]detections.Text {
	out := make(map[string]detections.Text, len(a)+len(b))
	for k, v := range a {
		out[k] = v
	}
	for k, v := range b {
		out[key(k)] = v
	}
	return out
}

func words(a, b []string) []string {
	out := slices.Clone(a)
	for _, w := range b {
		if w = strings.ToLower(strings.TrimSpace(w)); w != "" && !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	return out
}

func patterns(what string, list []string) ([]*regexp.Regexp, error) {
	var out []*regexp.Regexp
	for _, p := range list {
		re, err := regexp.Compile(p)
		if err != nil {
			return nil, fmt.Errorf("%s: %q is not a regular expression: %w", what, p, err)
		}
		out = append(out, re)
	}
	return out, nil
}

// code is what a tier's code may be made of: tags, columns and addresses have it.
var code = regexp.MustCompile(`^[A-Za-z0-9_-]{1,40}$`)

func mergedClasses(have, more []Class, what string) ([]Class, error) {
	out := slices.Clone(have)
	for _, c := range more {
		if !code.MatchString(c.Code) {
			return nil, fmt.Errorf("%s: code %q: want letters, digits, - and _, at most 40", what, c.Code)
		}
		if len(c.Subclasses) > 0 && what != "risk" || len(c.Types) > 0 && what != "subclass" {
			return nil, fmt.Errorf("%s %s: a risk has subclasses, a subclass has types, and a type has neither", what, c.Code)
		}
		at := slices.IndexFunc(out, func(o Class) bool { return strings.EqualFold(o.Code, c.Code) })
		below := c.Subclasses
		tier := "subclass"
		if what != "risk" {
			below, tier = c.Types, "type"
		}
		if at < 0 {
			if c.Name == (detections.Text{}) {
				return nil, fmt.Errorf("%s %s is new and has no name", what, c.Code)
			}
			at = len(out)
			out = append(out, Class{Code: c.Code})
		}
		o := &out[at]
		if c.Name != (detections.Text{}) {
			o.Name = bothLanguages(c.Name)
		}
		if c.Successor != nil {
			o.Successor = c.Successor
		}
		var err error
		if o.Below, err = mergedClasses(o.Below, below, tier); err != nil {
			return nil, fmt.Errorf("%s %s: %w", what, c.Code, err)
		}
	}
	return out, nil
}

func (t *Taxonomy) mergedAttacks(have, more []Attack) ([]Attack, error) {
	out := slices.Clone(have)
	// Those of a later file come first: they are meant for what they name.
	fresh := 0
	for _, a := range more {
		if !code.MatchString(a.ID) {
			return nil, fmt.Errorf("attack: id %q: want letters, digits, - and _, at most 40", a.ID)
		}
		if a.Name == (detections.Text{}) {
			return nil, fmt.Errorf("attack %s has no name", a.ID)
		}
		a.Name, a.Words = bothLanguages(a.Name), words(nil, a.Words)
		for i := range a.Techniques {
			a.Techniques[i] = strings.ToUpper(a.Techniques[i])
		}
		for i := range a.Tactics {
			a.Tactics[i] = normal(a.Tactics[i])
		}
		if a.Fields == nil {
			a.Fields = []string{}
		}
		var ok bool
		if a.risk, ok = t.Find(a.Risk); !ok {
			return nil, fmt.Errorf("attack %s: there is no risk %q; want the codes of its tiers with dots between them, such as NAI.VAI", a.ID, a.Risk)
		}
		var err error
		if a.success, err = patterns("attack "+a.ID+": success", a.Success); err != nil {
			return nil, err
		}
		if a.failure, err = patterns("attack "+a.ID+": failure", a.Failure); err != nil {
			return nil, err
		}
		if at := slices.IndexFunc(out, func(o Attack) bool { return o.ID == a.ID }); at >= 0 {
			out[at] = a
			continue
		}
		out = slices.Insert(out, fresh, a)
		fresh++
	}
	return out, nil
}

// Find reads a risk from the codes of its tiers, whatever their case, with dots
// or slashes between them. ok is false where the tree has no such risk.
func (t *Taxonomy) Find(path string) (r detections.Risk, ok bool) {
	list := t.Risks
	for tier, part := range strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '/' }) {
		at := slices.IndexFunc(list, func(c Class) bool { return strings.EqualFold(c.Code, part) })
		if at < 0 {
			return detections.Risk{}, false
		}
		switch tier {
		case 0:
			r.Class = list[at].Code
		case 1:
			r.Subclass = list[at].Code
		case 2:
			r.Type = list[at].Code
		}
		list = list[at].Below
	}
	return r, r.Class != ""
}

// Attack returns the type of attack of an id, nil where there is none.
func (t *Taxonomy) Attack(id string) *Attack {
	if at := slices.IndexFunc(t.Attacks, func(a Attack) bool { return a.ID == id }); at >= 0 {
		return &t.Attacks[at]
	}
	return nil
}

// bothLanguages fills the language that is missing with the other.
func bothLanguages(t detections.Text) detections.Text {
	if t.ZH == "" {
		t.ZH = t.EN
	}
	if t.EN == "" {
		t.EN = t.ZH
	}
	return t
}
