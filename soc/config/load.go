package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"sort"
	"strconv"
	"strings"

	"github.com/agnivade/levenshtein"
	"go.yaml.in/yaml/v3"
)

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	File   string // "" where it did not come from a file
	Line   int    // 0 where there is none
	Path   string // of the option, such as syslog.udp
	Reason string // what is wrong and what would be right
}

func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d", p.Line)
		}
		b.WriteString(": ")
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Reason)
	return b.String()
}

// Problems is the error of a configuration that cannot be used.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

// Load reads the file (where one is named), lays the environment and then the
// overrides over it, and validates the whole. Overrides are option paths and
// texts, such as {"http.listen": ":8443"}. The error is a Problems that names
// every fault at once.
func Load(file string, env []string, overrides map[string]string) (*Config, error) {
	c := Default()
	var problems Problems
	lines := map[string]int{}
	if file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, Problems{{File: file, Reason: fmt.Sprintf("cannot be read: %v", err)}}
		}
		problems = append(problems, decode(c, file, data, lines)...)
	}
	options := c.options()
	for _, kv := range env {
		name, text, _ := strings.Cut(kv, "=")
		key, ok := strings.CutPrefix(name, "ICEWATCH_")
		if !ok || reserved[name] {
			continue
		}
		o, ok := options[strings.ToLower(key)]
		if !ok {
			// Variables of other programs of the suite may be there; a near
			// miss is a slip of the pen.
			if near := nearest(strings.ToLower(key), keys(options)); near != "" {
				problems = append(problems, Problem{Path: name, Reason: fmt.Sprintf("no such variable; ICEWATCH_%s is meant?", strings.ToUpper(near))})
			}
			continue
		}
		if err := set(o.value, text); err != nil {
			problems = append(problems, Problem{Path: name, Reason: err.Error()})
		}
	}
	for _, path := range sortedKeys(overrides) {
		o, ok := options[strings.ReplaceAll(path, ".", "_")]
		if !ok {
			problems = append(problems, Problem{Path: path, Reason: "there is no such option"})
			continue
		}
		if err := set(o.value, overrides[path]); err != nil {
			problems = append(problems, Problem{Path: path, Reason: err.Error()})
		}
	}
	for _, p := range c.Validate() {
		if at := lineOf(lines, p.Path); at > 0 {
			p.File, p.Line = file, at
		}
		problems = append(problems, p)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return c, nil
}

// reserved are variables that are no options.
var reserved = map[string]bool{"ICEWATCH_ADMIN_PASSWORD": true, "ICEWATCH_URL": true, "ICEWATCH_TOKEN": true, "ICEWATCH_PASSWORD": true,
	"ICEWATCH_USERNAME": true, "ICEWATCH_CONFIG": true, "ICEWATCH_CI": true, "ICEWATCH_BIN": true, "ICEWATCH_RELEASE_DIR": true}

type option struct {
	path  string
	value reflect.Value
}

// options lists the single-valued options by their name with underscores.
func (c *Config) options() map[string]option {
	out := map[string]option{}
	var walk func(prefix string, v reflect.Value)
	walk = func(prefix string, v reflect.Value) {
		for i := range v.NumField() {
			name := prefix + v.Type().Field(i).Tag.Get("yaml")
			f := v.Field(i)
			switch {
			case f.Kind() == reflect.Struct:
				walk(name+".", f)
			case f.Kind() == reflect.Slice && f.Type().Elem().Kind() != reflect.String:
			default:
				out[strings.ReplaceAll(name, ".", "_")] = option{name, f}
			}
		}
	}
	walk("", reflect.ValueOf(c).Elem())
	return out
}

// set reads text into an option. A list is given with commas.
func set(v reflect.Value, text string) error {
	switch p := v.Addr().Interface().(type) {
	case *Duration:
		d, err := ParseDuration(text)
		*p = d
		return err
	case *Size:
		s, err := ParseSize(text)
		*p = s
		return err
	case *string:
		*p = text
	case *bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		*p = b
	case **bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		*p = &b
	case *int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		*p = n
	case *[]string:
		*p = nil
		for part := range strings.SplitSeq(text, ",") {
			if part = strings.TrimSpace(part); part != "" {
				*p = append(*p, part)
			}
		}
	default:
		return fmt.Errorf("an option of type %s cannot be given as text", v.Type())
	}
	return nil
}

func decode(c *Config, file string, data []byte, lines map[string]int) Problems {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var root yaml.Node
	if err := dec.Decode(&root); errors.Is(err, io.EOF) {
		return nil
	} else if err != nil {
		return Problems{yamlProblem(file, err)}
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return Problems{{File: file, Reason: "one YAML document is expected, a second one follows"}}
	}
	d := decoder{file: file, lines: lines}
	d.node("", root.Content[0], reflect.ValueOf(c).Elem())
	return d.problems
}

func yamlProblem(file string, err error) Problem {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	p := Problem{File: file, Reason: "not valid YAML: " + text}
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		if n, after, ok := strings.Cut(rest, ":"); ok {
			p.Line, _ = strconv.Atoi(n)
			p.Reason = "not valid YAML:" + after
		}
	}
	return p
}

type decoder struct {
	file     string
	lines    map[string]int
	problems Problems
}

func (d *decoder) bad(n *yaml.Node, path, format string, args ...any) {
	d.problems = append(d.problems, Problem{File: d.file, Line: n.Line, Path: path, Reason: fmt.Sprintf(format, args...)})
}

func (d *decoder) node(path string, n *yaml.Node, v reflect.Value) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if path != "" {
		d.lines[path] = n.Line
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return // an option left empty keeps its default
	}
	switch {
	case v.Kind() == reflect.Struct:
		d.mapping(path, n, v)
	case v.Kind() == reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			d.bad(n, path, "a list is expected")
			return
		}
		list := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
		for i, item := range n.Content {
			d.node(fmt.Sprintf("%s[%d]", path, i), item, list.Index(i))
		}
		v.Set(list)
	default:
		if n.Kind != yaml.ScalarNode {
			d.bad(n, path, "a single value is expected")
			return
		}
		if err := set(v, n.Value); err != nil {
			d.bad(n, path, "%s", err)
		}
	}
}

func (d *decoder) mapping(path string, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.MappingNode {
		d.bad(n, path, "options with values are expected here")
		return
	}
	names := map[string]int{}
	for i := range v.NumField() {
		names[v.Type().Field(i).Tag.Get("yaml")] = i
	}
	given := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		full := key.Value
		if path != "" {
			full = path + "." + key.Value
		}
		field, ok := names[key.Value]
		switch {
		case !ok:
			if near := nearest(key.Value, keys(names)); near != "" {
				d.bad(key, full, "there is no such option; %s is meant?", near)
			} else {
				d.bad(key, full, "there is no such option; %s can stand here", strings.Join(sortedKeys(names), ", "))
			}
		case given[key.Value]:
			d.bad(key, full, "the option is given twice")
		default:
			given[key.Value] = true
			d.node(full, value, v.Field(field))
		}
	}
}

// lineOf finds the line of an option or of the nearest one that holds it.
func lineOf(lines map[string]int, path string) int {
	for path != "" {
		if n, ok := lines[path]; ok {
			return n
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return 0
}

func keys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string {
	out := keys(m)
	sort.Strings(out)
	return out
}

// nearest finds the name a misspelt one most likely means, or "".
func nearest(name string, names []string) string {
	best, distance := "", 3
	sort.Strings(names)
	for _, n := range names {
		if d := levenshtein.ComputeDistance(name, n); d < distance {
			best, distance = n, d
		}
	}
	return best
}

// Reference writes the whole configuration with its defaults and texts: the
// file icewatch.yaml.
func Reference(w io.Writer) error {
	var b bytes.Buffer
	b.WriteString("# icewatch.yaml: every option with its default.\n" +
		"# A variable ICEWATCH_<OPTION> of the environment (ICEWATCH_HTTP_LISTEN for http.listen)\n" +
		"# goes over this file, a flag of the command line over both.\n" +
		"# icewatch config check --config FILE names what is wrong, and where.\n")
	describe(&b, "", reflect.ValueOf(Default()).Elem())
	_, err := w.Write(b.Bytes())
	return err
}

func describe(b *bytes.Buffer, indent string, v reflect.Value) {
	for i := range v.NumField() {
		t := v.Type().Field(i)
		f := v.Field(i)
		if indent == "" {
			b.WriteByte('\n')
		}
		fmt.Fprintf(b, "%s# %s\n", indent, t.Tag.Get("doc"))
		name := t.Tag.Get("yaml")
		switch {
		case f.Kind() == reflect.Struct:
			fmt.Fprintf(b, "%s%s:\n", indent, name)
			describe(b, indent+"  ", f)
		case f.Kind() == reflect.Slice && f.Type().Elem().Kind() == reflect.Struct:
			if f.Len() == 0 {
				fmt.Fprintf(b, "%s%s: []\n", indent, name)
				example := reflect.New(f.Type().Elem()).Elem()
				for j := range example.NumField() {
					et := example.Type().Field(j)
					dash := "  "
					if j == 0 {
						dash = "- "
					}
					fmt.Fprintf(b, "%s#  %s%s:  # %s\n", indent, dash, et.Tag.Get("yaml"), et.Tag.Get("doc"))
				}
				continue
			}
			fmt.Fprintf(b, "%s%s:\n", indent, name)
			for j := range f.Len() {
				item := f.Index(j)
				parts := make([]string, item.NumField())
				for k := range parts {
					parts[k] = fmt.Sprintf("%s: %v", item.Type().Field(k).Tag.Get("yaml"), item.Field(k).Interface())
				}
				fmt.Fprintf(b, "%s  - {%s}\n", indent, strings.Join(parts, ", "))
			}
		case f.Kind() == reflect.Slice:
			parts := make([]string, f.Len())
			for j := range parts {
				parts[j] = strconv.Quote(f.Index(j).String())
			}
			fmt.Fprintf(b, "%s%s: [%s]\n", indent, name, strings.Join(parts, ", "))
		case f.Kind() == reflect.String:
			fmt.Fprintf(b, "%s%s: %s\n", indent, name, strconv.Quote(f.String()))
		default:
			fmt.Fprintf(b, "%s%s: %v\n", indent, name, f.Interface())
		}
	}
}
