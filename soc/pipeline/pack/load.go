package pack

import (
	"bytes"
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

	"go.yaml.in/yaml/v3"
)

// The files of a pack's folder.
const (
	File    = "pack.yml"
	Samples = "samples.log"  // lines as the product writes them
	Golden  = "golden.jsonl" // the events that they become, line by line
)

// Source is a folder of packs: <vendor>/<product>/pack.yml within FS.
type Source struct {
	Name string
	FS   fs.FS
}

// document is pack.yml.
type document struct {
	Vendor    string                 `yaml:"vendor"`
	Product   string                 `yaml:"product"`
	Module    string                 `yaml:"module"`
	Class     string                 `yaml:"class"`
	Type      string                 `yaml:"type"`
	Reference string                 `yaml:"reference"`
	Set       map[string]list        `yaml:"set"`
	Prefixes  list                   `yaml:"prefixes"`
	Templates map[string]logDocument `yaml:"templates"`
	Logs      []logDocument          `yaml:"logs"`

	id, file, source string
	data             []byte // the file
}

// line tells where a log of the document stands.
func (d *document) line(log int) int {
	var root yaml.Node
	if err := yaml.Unmarshal(d.data, &root); err != nil || len(root.Content) == 0 {
		return 0
	}
	for i := 0; i+1 < len(root.Content[0].Content); i += 2 {
		if list := root.Content[0].Content[i+1].Content; root.Content[0].Content[i].Value == "logs" && log < len(list) {
			return list[log].Line
		}
	}
	return 0
}

type logDocument struct {
	Name     string          `yaml:"name"`
	Dataset  string          `yaml:"dataset"`
	BuiltIn  string          `yaml:"builtin"`
	Programs list            `yaml:"programs"`
	Anchors  list            `yaml:"anchors"`
	Priority int             `yaml:"priority"`
	Pattern  list            `yaml:"pattern"`
	Regexp   list            `yaml:"regexp"`
	CSV      *csvDocument    `yaml:"csv"`
	Pairs    *pairsDocument  `yaml:"pairs"`
	Format   string          `yaml:"format"`
	When     map[string]list `yaml:"when"`
	Where    map[string]list `yaml:"where"`
	Use      list            `yaml:"use"`
	Code     list            `yaml:"code"`
	Head     string          `yaml:"head"`
	Risk     grading         `yaml:"risk"`
	Level    grading         `yaml:"level"`

	Time   *timeDocument             `yaml:"time"`
	Fields map[string]fieldDocument  `yaml:"fields"`
	Switch map[string]switchDocument `yaml:"switch"`
	Set    map[string]list           `yaml:"set"`
}

type csvDocument struct {
	Columns   list   `yaml:"columns"`
	Separator string `yaml:"separator"`
	Least     int    `yaml:"least"`
}

type pairsDocument struct {
	Of        string  `yaml:"of"`
	Separator string  `yaml:"separator"`
	Assign    string  `yaml:"assign"`
	Prefix    *string `yaml:"prefix"`
}

type timeDocument struct {
	From   list   `yaml:"from"`
	Layout string `yaml:"layout"`
	Zone   string `yaml:"zone"`
}

type switchDocument map[string]map[string]list

// list is one scalar or a sequence of them.
type list []string

// UnmarshalYAML takes numbers and booleans as they are written.
func (l *list) UnmarshalYAML(n *yaml.Node) error {
	switch n.Kind {
	case yaml.ScalarNode:
		if n.Tag == "!!null" {
			return nil
		}
		*l = list{n.Value}
		return nil
	case yaml.SequenceNode:
		for _, c := range n.Content {
			if c.Kind != yaml.ScalarNode {
				return fmt.Errorf("line %d: a list of texts was expected", c.Line)
			}
			*l = append(*l, c.Value)
		}
		return nil
	}
	return fmt.Errorf("line %d: a text or a list of texts was expected", n.Line)
}

// fieldDocument says which part fills a field, and how it is converted.
type fieldDocument struct {
	From list
	As   string
}

// UnmarshalYAML reads a name, a list of names of which the first that has a
// value counts, or {from: …, as: …}.
func (f *fieldDocument) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.MappingNode {
		return f.From.UnmarshalYAML(n)
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		switch key := n.Content[i]; key.Value {
		case "from":
			if err := f.From.UnmarshalYAML(n.Content[i+1]); err != nil {
				return err
			}
		case "as":
			f.As = n.Content[i+1].Value
		default:
			return fmt.Errorf("line %d: a field has from and as, not %s", key.Line, key.Value)
		}
	}
	return nil
}

// read reads the packs of all sources. A pack of a later source takes the
// place of an earlier one of the same id.
func read(sources []Source) (docs []*document, problems []Problem) {
	at := map[string]int{}
	for _, src := range sources {
		fail := func(name string, line int, err error) {
			problems = append(problems, Problem{Path: path.Join(src.Name, name), Line: line, Reason: err.Error()})
		}
		err := fs.WalkDir(src.FS, ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				if name == "." && errors.Is(err, fs.ErrNotExist) {
					return fs.SkipAll // The folder may come yet.
				}
				fail(name, 0, err)
				return nil
			}
			if d.IsDir() || path.Base(name) != File {
				return nil
			}
			data, err := fs.ReadFile(src.FS, name)
			if err != nil {
				fail(name, 0, err)
				return nil
			}
			doc, line, err := decode(data)
			if err != nil {
				fail(name, line, err)
				return nil
			}
			doc.id, doc.file, doc.source = path.Dir(name), path.Join(src.Name, name), src.Name
			if strings.Count(doc.id, "/") != 1 {
				fail(name, 0, fmt.Errorf("a pack lies in <vendor>/<product>/%s", File))
				return nil
			}
			if i, ok := at[doc.id]; ok {
				docs[i] = doc
				return nil
			}
			at[doc.id] = len(docs)
			docs = append(docs, doc)
			return nil
		})
		if err != nil {
			fail(".", 0, err)
		}
	}
	slices.SortFunc(docs, func(a, b *document) int { return strings.Compare(a.id, b.id) })
	return docs, problems
}

var lineOf = regexp.MustCompile(`line (\d+):`)

// decode reads a pack.yml. line is where it is wrong, if that is known.
func decode(data []byte) (doc *document, line int, err error) {
	doc = &document{}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, 0, errors.New("the file is empty")
		}
		if m := lineOf.FindStringSubmatch(err.Error()); m != nil {
			line, _ = strconv.Atoi(m[1])
		}
		return nil, line, err
	}
	switch {
	case doc.Vendor == "", doc.Product == "", doc.Module == "":
		return nil, 1, errors.New("vendor, product and module are wanted")
	case !slices.Contains([]string{Security, Network, Application, System}, doc.Class):
		return nil, 1, fmt.Errorf("class %q: it is %s, %s, %s or %s", doc.Class, Security, Network, Application, System)
	case len(doc.Logs) == 0:
		return nil, 1, errors.New("logs is empty: a pack has at least one type of log")
	}
	if u, err := url.Parse(doc.Reference); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return nil, 1, fmt.Errorf("reference %q: the address of the maker's description was expected, such as https://example.com/logs", doc.Reference)
	}
	doc.data = data
	return doc, 0, nil
}
