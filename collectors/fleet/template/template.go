// Package template holds the shipped integration templates: what collecting from a
// product takes, as content (library/*.yaml) with names in Chinese and English, parameters,
// and the document that they make.
//
// Parameters are put into the scalars of the document's YAML, never into its
// text, so that no value can become structure.
package template

import (
	"cmp"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"

	"icewatch/collectors/fleet/wire"
)

//go:embed library/*.yaml
var library embed.FS

// Text is in both languages of the suite.
type Text struct {
	ZH string `yaml:"zh" json:"zh"`
	EN string `yaml:"en" json:"en"`
}

// Types of parameters.
const (
	TypeText     = "text"
	TypeList     = "list" // one a line
	TypeNumber   = "number"
	TypeBool     = "bool"
	TypeURL      = "url"
	TypeDuration = "duration"
	TypeChoice   = "choice"
)

// Param is what is asked of whoever applies a template.
type Param struct {
	Name     string   `yaml:"name" json:"name"`
	Type     string   `yaml:"type" json:"type" enum:"text,list,number,bool,url,duration,choice"`
	Label    Text     `yaml:"label" json:"label"`
	Help     Text     `yaml:"help,omitempty" json:"help"`
	Default  string   `yaml:"default,omitempty" json:"default"`
	Required bool     `yaml:"required,omitempty" json:"required"`
	Secret   bool     `yaml:"secret,omitempty" json:"secret"`
	Target   bool     `yaml:"target,omitempty" json:"target" doc:"It says where a connection goes: when it changes, secrets have to be given again"`
	Choices  []string `yaml:"choices,omitempty" json:"choices" nullable:"false"`
}

// Template is one integration.
type Template struct {
	Name        string   `yaml:"name" json:"name"`
	Category    string   `yaml:"category" json:"category" enum:"host,database,middleware,web,container,network,security,log"`
	Title       Text     `yaml:"title" json:"title"`
	Description Text     `yaml:"description" json:"description"`
	Remote      bool     `yaml:"remote,omitempty" json:"remote" doc:"It may collect from afar, so a group can share it"`
	Needs       Text     `yaml:"needs,omitempty" json:"needs" doc:"What has to be prepared at the product"`
	Params      []Param  `yaml:"params" json:"params" nullable:"false"`
	Document    string   `yaml:"document" json:"document"`
	Plugins     []string `yaml:"-" json:"plugins" nullable:"false" doc:"Inputs that it uses"`
}

// Param finds a parameter.
func (t *Template) Param(name string) *Param {
	for i := range t.Params {
		if t.Params[i].Name == name {
			return &t.Params[i]
		}
	}
	return nil
}

var load = sync.OnceValues(func() ([]Template, error) {
	files, err := fs.Glob(library, "library/*.yaml")
	if err != nil {
		return nil, err
	}
	var out []Template
	for _, f := range files {
		data, err := library.ReadFile(f)
		if err != nil {
			return nil, err
		}
		d := yaml.NewDecoder(strings.NewReader(string(data)))
		d.KnownFields(true)
		for {
			var t Template
			if err := d.Decode(&t); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, fmt.Errorf("%s: %w", path.Base(f), err)
			}
			if err := t.check(); err != nil {
				return nil, fmt.Errorf("%s: %s: %w", path.Base(f), t.Name, err)
			}
			out = append(out, t)
		}
	}
	slices.SortFunc(out, func(a, b Template) int {
		return cmp.Or(cmp.Compare(a.Category, b.Category), cmp.Compare(a.Name, b.Name))
	})
	return out, nil
})

// All lists the templates by category and name. What is shipped is whole: a test
// loads it.
func All() []Template {
	list, err := load()
	if err != nil {
		panic(err)
	}
	return list
}

// Get finds a template.
func Get(name string) (Template, bool) {
	for _, t := range All() {
		if t.Name == name {
			return t, true
		}
	}
	return Template{}, false
}

var placeholder = regexp.MustCompile(`\{\{([a-z_]+)\}\}`)

// check fills what a template leaves out and says what is wrong with it.
func (t *Template) check() error {
	for _, m := range placeholder.FindAllStringSubmatch(t.Document, -1) {
		if t.Param(m[1]) == nil {
			return fmt.Errorf("the document names the parameter %s, which is not declared", m[1])
		}
	}
	example := map[string]string{}
	for i := range t.Params {
		p := &t.Params[i]
		if p.Choices == nil {
			p.Choices = []string{}
		}
		if !strings.Contains(t.Document, "{{"+p.Name+"}}") {
			return fmt.Errorf("the parameter %s is nowhere in the document", p.Name)
		}
		example[p.Name] = p.Default
		if p.Required && p.Default == "" {
			example[p.Name] = map[string]string{TypeURL: "http://127.0.0.1", TypeNumber: "1", TypeDuration: "10s"}[p.Type]
			if example[p.Name] == "" {
				example[p.Name] = "/x"
			}
		}
	}
	if t.Params == nil {
		t.Params = []Param{}
	}
	text, err := t.Render(example, func(string) string { return "x" })
	if err != nil {
		return err
	}
	d, err := wire.ParseDocument([]byte(text))
	if err != nil {
		return err
	}
	t.Plugins = []string{}
	for _, in := range d.Inputs {
		if !slices.Contains(t.Plugins, in.Plugin) {
			t.Plugins = append(t.Plugins, in.Plugin)
		}
	}
	return nil
}

// Bounds of values.
const (
	maxValue = 8192
	maxItems = 200
)

// Render makes the document. Values that are absent have their defaults; secret
// tells what stands for a secret parameter that has a value. Errors name the
// parameter.
func (t *Template) Render(values map[string]string, secret func(name string) string) (string, error) {
	for k := range values {
		if t.Param(k) == nil {
			return "", fmt.Errorf("%s: the template %s has no such parameter", k, t.Name)
		}
	}
	nodes := map[string]*yaml.Node{} // nil: left out
	for i := range t.Params {
		p := &t.Params[i]
		v, given := values[p.Name]
		if !given || v == "" {
			v = p.Default
		}
		if v == "" && p.Required {
			return "", fmt.Errorf("%s: a value is needed (%s)", p.Name, p.Label.EN)
		}
		if len(v) > maxValue || strings.ContainsRune(v, 0) {
			return "", fmt.Errorf("%s: want at most %d bytes of text", p.Name, maxValue)
		}
		if v != "" && p.Secret {
			v = secret(p.Name)
		} else if strings.Contains(v, "${secret:") {
			return "", fmt.Errorf("%s: a reference to a secret cannot be a value", p.Name)
		}
		n, err := p.node(v)
		if err != nil {
			return "", fmt.Errorf("%s: %w", p.Name, err)
		}
		nodes[p.Name] = n
	}
	var root yaml.Node
	if err := yaml.Unmarshal([]byte(t.Document), &root); err != nil {
		return "", err
	}
	fill(&root, nodes)
	out, err := yaml.Marshal(&root)
	if err != nil {
		return "", err
	}
	if _, err := wire.ParseDocument(out); err != nil {
		return "", err
	}
	return string(out), nil
}

// node is a value as YAML; nil where there is none.
func (p *Param) node(v string) (*yaml.Node, error) {
	if v == "" {
		return nil, nil
	}
	scalar := func(tag, v string) *yaml.Node {
		n := &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: v}
		if tag == "!!str" {
			n.Style = yaml.DoubleQuotedStyle
		}
		return n
	}
	if p.Secret {
		return scalar("!!str", v), nil
	}
	switch p.Type {
	case TypeNumber:
		if _, err := strconv.ParseInt(v, 10, 64); err != nil {
			return nil, fmt.Errorf("%.60q is no whole number", v)
		}
		return scalar("!!int", v), nil
	case TypeBool:
		if v != "true" && v != "false" {
			return nil, fmt.Errorf("%.60q: want true or false", v)
		}
		return scalar("!!bool", v), nil
	case TypeURL:
		if u, err := url.Parse(v); err != nil || u.Scheme == "" || u.Host == "" && u.Path == "" {
			return nil, fmt.Errorf("%.100q is no URL: want one such as http://127.0.0.1:8080/status", v)
		} else if u.User != nil {
			if _, has := u.User.Password(); has {
				return nil, errors.New("the URL holds a password: give it as the parameter that is kept sealed")
			}
		}
	case TypeDuration:
		if d, err := time.ParseDuration(v); err != nil || d <= 0 {
			return nil, fmt.Errorf("%.60q is no span of time: want one such as 10s, 5m or 1h", v)
		}
	case TypeChoice:
		if !slices.Contains(p.Choices, v) {
			return nil, fmt.Errorf("%.60q: want one of %s", v, strings.Join(p.Choices, ", "))
		}
	case TypeList:
		list := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		for line := range strings.Lines(v) {
			if line = strings.TrimSpace(line); line != "" {
				list.Content = append(list.Content, scalar("!!str", line))
			}
		}
		if len(list.Content) > maxItems {
			return nil, fmt.Errorf("%d lines; at most %d are taken", len(list.Content), maxItems)
		}
		return list, nil
	}
	return scalar("!!str", v), nil
}

// fill puts values in the place of placeholders. Keys and items whose value is a
// placeholder without one are left out.
func fill(n *yaml.Node, values map[string]*yaml.Node) {
	kept := n.Content[:0:0]
	step := 1
	if n.Kind == yaml.MappingNode {
		step = 2
	}
	for i := 0; i+step <= len(n.Content); i += step {
		c := n.Content[i+step-1]
		if c.Kind == yaml.ScalarNode {
			if m := placeholder.FindStringSubmatch(c.Value); m != nil && m[0] == c.Value {
				v := values[m[1]]
				if v == nil {
					continue
				}
				fresh := *v
				c = &fresh
			} else if m != nil {
				fresh := *c
				empty := false
				fresh.Value = placeholder.ReplaceAllStringFunc(c.Value, func(ref string) string {
					v := values[ref[2:len(ref)-2]]
					if v == nil {
						empty = true
						return ""
					}
					return v.Value
				})
				if empty {
					continue
				}
				fresh.Style, fresh.Tag = yaml.DoubleQuotedStyle, "!!str"
				c = &fresh
			}
		} else {
			fill(c, values)
		}
		if step == 2 {
			kept = append(kept, n.Content[i])
		}
		kept = append(kept, c)
	}
	n.Content = kept
}
