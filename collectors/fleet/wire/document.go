package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Document is what an agent does, as YAML. Each section may be absent.
type Document struct {
	Inputs    []Input           `yaml:"inputs,omitempty"`
	Files     []Files           `yaml:"files,omitempty"`
	Journal   *Journal          `yaml:"journal,omitempty"`
	Integrity *Integrity        `yaml:"integrity,omitempty"`
	Inventory *InventoryPlan    `yaml:"inventory,omitempty"`
	Limits    *Limits           `yaml:"limits,omitempty"`
	Labels    map[string]string `yaml:"labels,omitempty"` // of all metrics and lines
}

// Input is one plug-in of telegraf. Of Settings and TOML one is given.
type Input struct {
	Name     string            `yaml:"name"`               // unique in the document; the plug-in's name where it is absent
	Plugin   string            `yaml:"plugin"`             // telegraf's name: cpu, nginx, postgresql
	Interval Duration          `yaml:"interval,omitempty"` // 10s where it is absent; not under 1s
	Settings map[string]any    `yaml:"settings,omitempty"` // the plug-in's settings by their TOML names
	TOML     string            `yaml:"toml,omitempty"`     // the same as the text of a TOML table
	Labels   map[string]string `yaml:"labels,omitempty"`
}

// Files are log files to follow.
type Files struct {
	Name      string            `yaml:"name"`
	Paths     []string          `yaml:"paths"` // files and glob patterns, absolute
	Exclude   []string          `yaml:"exclude,omitempty"`
	Dataset   string            `yaml:"dataset,omitempty"`   // event.dataset
	Multiline string            `yaml:"multiline,omitempty"` // regular expression (RE2) of an event's first line
	Encoding  string            `yaml:"encoding,omitempty"`  // utf-8 (the default), gbk, gb18030
	ReadFrom  string            `yaml:"read_from,omitempty"` // beginning (the default) or end
	Format    string            `yaml:"format,omitempty"`    // line (the default), json, syslog
	Labels    map[string]string `yaml:"labels,omitempty"`
}

// Journal follows systemd's journal.
type Journal struct {
	Units    []string `yaml:"units,omitempty"`    // none: all
	Priority string   `yaml:"priority,omitempty"` // the least important taken: debug (the default) … emerg
	ReadFrom string   `yaml:"read_from,omitempty"`
}

// Integrity watches files for changes.
type Integrity struct {
	Paths    []string `yaml:"paths"` // files and folders, absolute; folders with what is below
	Exclude  []string `yaml:"exclude,omitempty"`
	Interval Duration `yaml:"interval,omitempty"` // of whole scans beside the notices of the kernel; 1h
	MaxSize  int64    `yaml:"max_size,omitempty"` // bytes; of larger files size and time are compared alone; 64 MiB
}

// InventoryPlan is when the inventory is taken.
type InventoryPlan struct {
	Interval Duration `yaml:"interval,omitempty"` // 6h; not under 1m
	Skip     []string `yaml:"skip,omitempty"`     // packages, processes, ports, users, certificates, containers, services, baseline, cloud
}

// Limits are the breaker's. Zero is the default.
type Limits struct {
	CPUPercent  float64 `yaml:"cpu_percent,omitempty"`  // of one core, of the agent itself; 10
	MemoryMB    int     `yaml:"memory_mb,omitempty"`    // of the agent; 100
	DiskMB      int     `yaml:"disk_mb,omitempty"`      // of its queue; 512
	NetworkKBps int     `yaml:"network_kbps,omitempty"` // kilobytes a second it sends; 2048
	Host        Host    `yaml:"host,omitempty"`
}

// Host are thresholds of the whole host, above which the agent holds back.
type Host struct {
	CPUPercent    float64 `yaml:"cpu_percent,omitempty"`    // of all cores; 95
	MemoryPercent float64 `yaml:"memory_percent,omitempty"` // 95
	DiskPercent   float64 `yaml:"disk_percent,omitempty"`   // of the file system of its queue; 95
}

// Duration is a span of time such as 10s, 5m, 1h30m.
type Duration time.Duration

// UnmarshalYAML implements yaml.Unmarshaler.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	v, err := time.ParseDuration(n.Value)
	if err != nil || v < 0 {
		return &DocumentError{Line: n.Line, Part: "", Text: fmt.Sprintf("%.60q is no span of time: want one such as 10s, 5m or 1h", n.Value)}
	}
	*d = Duration(v)
	return nil
}

// MarshalYAML implements yaml.Marshaler.
func (d Duration) MarshalYAML() (any, error) { return time.Duration(d).String(), nil }

// DocumentError says what is wrong in a document, and where.
type DocumentError struct {
	Part string // "inputs.nginx", "files.app", "limits"
	Line int    // from 1; 0 where it is not known
	Text string
}

// Error implements error.
func (e *DocumentError) Error() string {
	at := e.Part
	if e.Line > 0 {
		if at != "" {
			at += ", "
		}
		at += fmt.Sprintf("line %d", e.Line)
	}
	if at == "" {
		return e.Text
	}
	return at + ": " + e.Text
}

// Bounds of a document.
const (
	MaxInputs = 200
	MaxLabels = 32
	maxDepth  = 24
)

var (
	namePattern   = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$`)
	pluginPattern = regexp.MustCompile(`^[a-z0-9_]{1,64}$`)
	labelPattern  = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]{0,63}$`)
	priorities    = []string{"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"}
	skippable     = []string{"packages", "processes", "ports", "users", "certificates", "containers", "services", "baseline", "cloud"}
)

// ReservedLabels are those that the server sets of its own knowledge. Those of
// a document and of a batch under these names are dropped.
var ReservedLabels = []string{"tenant", "agent_id", "host", "hostname", "icewatch_tenant"}

// ParseDocument reads a document strictly and checks it as far as can be
// without the plug-ins. Names of inputs that are absent are filled in. The error
// is a *DocumentError.
func ParseDocument(data []byte) (*Document, error) {
	if len(data) > MaxDocument {
		return nil, &DocumentError{Text: fmt.Sprintf("the document is %d bytes long; at most %d are taken", len(data), MaxDocument)}
	}
	var root yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&root); errors.Is(err, io.EOF) {
		return &Document{}, nil
	} else if err != nil {
		return nil, yamlError(err)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, &DocumentError{Text: "the file holds several YAML documents; one is taken"}
	}
	if err := noAliases(&root, 0); err != nil {
		return nil, err
	}
	var d Document
	strict := yaml.NewDecoder(bytes.NewReader(data))
	strict.KnownFields(true)
	if err := strict.Decode(&d); err != nil && !errors.Is(err, io.EOF) {
		return nil, yamlError(err)
	}
	lines := linesOf(&root)
	if err := d.check(lines); err != nil {
		return nil, err
	}
	return &d, nil
}

// noAliases refuses anchors, by which a small text becomes a huge document, and depth.
func noAliases(n *yaml.Node, depth int) error {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		return &DocumentError{Line: n.Line, Text: "anchors and aliases (& and *) are not taken"}
	}
	if depth > maxDepth {
		return &DocumentError{Line: n.Line, Text: fmt.Sprintf("the document is nested deeper than %d", maxDepth)}
	}
	for _, c := range n.Content {
		if err := noAliases(c, depth+1); err != nil {
			return err
		}
	}
	return nil
}

var yamlLine = regexp.MustCompile(`line (\d+): `)

func yamlError(err error) error {
	var d *DocumentError
	if errors.As(err, &d) {
		return d
	}
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	var many *yaml.TypeError
	if errors.As(err, &many) && len(many.Errors) > 0 {
		text = many.Errors[0]
	}
	out := &DocumentError{Text: text}
	if m := yamlLine.FindStringSubmatchIndex(text); m != nil {
		_, _ = fmt.Sscan(text[m[2]:m[3]], &out.Line)
		out.Text = text[:m[0]] + text[m[1]:]
	}
	out.Text = strings.ReplaceAll(out.Text, "in type wire.", "in ")
	if len(out.Text) > 500 {
		out.Text = out.Text[:500] + "…"
	}
	return out
}

// linesOf tells where the entries of a section's list stand: "inputs" → lines.
func linesOf(root *yaml.Node) map[string][]int {
	out := map[string][]int{}
	if len(root.Content) == 0 || root.Content[0].Kind != yaml.MappingNode {
		return out
	}
	top := root.Content[0]
	for i := 0; i+1 < len(top.Content); i += 2 {
		key, value := top.Content[i], top.Content[i+1]
		if value.Kind == yaml.SequenceNode {
			for _, c := range value.Content {
				out[key.Value] = append(out[key.Value], c.Line)
			}
		} else {
			out[key.Value] = []int{key.Line}
		}
	}
	return out
}

func (d *Document) check(lines map[string][]int) error {
	at := func(section string, i int) int {
		if l := lines[section]; i < len(l) {
			return l[i]
		}
		return 0
	}
	wrong := func(part, section string, i int, format string, args ...any) error {
		return &DocumentError{Part: part, Line: at(section, i), Text: fmt.Sprintf(format, args...)}
	}
	if len(d.Inputs)+len(d.Files) > MaxInputs {
		return wrong("inputs", "inputs", MaxInputs, "%d inputs and sets of files; at most %d are taken", len(d.Inputs)+len(d.Files), MaxInputs)
	}
	seen := map[string]bool{}
	for i := range d.Inputs {
		in := &d.Inputs[i]
		if in.Name == "" {
			in.Name = in.Plugin
		}
		part := "inputs." + in.Name
		switch {
		case !pluginPattern.MatchString(in.Plugin):
			return wrong(part, "inputs", i, "the plugin %.60q: want the name of a plug-in such as cpu or nginx", in.Plugin)
		case !namePattern.MatchString(in.Name):
			return wrong("inputs", "inputs", i, "the name %.60q: want letters, digits, '.', '_' and '-'", in.Name)
		case seen[in.Name]:
			return wrong(part, "inputs", i, "the name %s stands twice: give each input a name of its own", in.Name)
		case in.TOML != "" && len(in.Settings) > 0:
			return wrong(part, "inputs", i, "settings and toml are both given: want one of them")
		case in.Interval != 0 && time.Duration(in.Interval) < time.Second:
			return wrong(part, "inputs", i, "the interval %s: want 1s or more", time.Duration(in.Interval))
		}
		seen[in.Name] = true
		if err := checkLabels(in.Labels); err != nil {
			return wrong(part, "inputs", i, "%v", err)
		}
	}
	files := map[string]bool{}
	for i := range d.Files {
		f := &d.Files[i]
		part := "files." + f.Name
		switch {
		case !namePattern.MatchString(f.Name):
			return wrong("files", "files", i, "the name %.60q: want letters, digits, '.', '_' and '-'", f.Name)
		case files[f.Name]:
			return wrong(part, "files", i, "the name %s stands twice", f.Name)
		case len(f.Paths) == 0:
			return wrong(part, "files", i, "paths are missing")
		case f.Encoding != "" && !slices.Contains([]string{"utf-8", "gbk", "gb18030"}, f.Encoding):
			return wrong(part, "files", i, "the encoding %.60q: want utf-8, gbk or gb18030", f.Encoding)
		case f.ReadFrom != "" && f.ReadFrom != "beginning" && f.ReadFrom != "end":
			return wrong(part, "files", i, "read_from is %.60q: want beginning or end", f.ReadFrom)
		case f.Format != "" && !slices.Contains([]string{"line", "json", "syslog"}, f.Format):
			return wrong(part, "files", i, "the format %.60q: want line, json or syslog", f.Format)
		}
		files[f.Name] = true
		for _, p := range slices.Concat(f.Paths, f.Exclude) {
			if !absolute(p) {
				return wrong(part, "files", i, "the path %.100q is not absolute", p)
			}
		}
		if f.Multiline != "" {
			if _, err := regexp.Compile(f.Multiline); err != nil {
				return wrong(part, "files", i, "multiline is no regular expression: %v", err)
			}
		}
		if err := checkLabels(f.Labels); err != nil {
			return wrong(part, "files", i, "%v", err)
		}
	}
	if j := d.Journal; j != nil {
		if j.Priority != "" && !slices.Contains(priorities, j.Priority) {
			return wrong("journal", "journal", 0, "the priority %.60q: want one of %s", j.Priority, strings.Join(priorities, ", "))
		}
		if j.ReadFrom != "" && j.ReadFrom != "beginning" && j.ReadFrom != "end" {
			return wrong("journal", "journal", 0, "read_from is %.60q: want beginning or end", j.ReadFrom)
		}
	}
	if g := d.Integrity; g != nil {
		if len(g.Paths) == 0 {
			return wrong("integrity", "integrity", 0, "paths are missing")
		}
		for _, p := range g.Paths {
			if !absolute(p) {
				return wrong("integrity", "integrity", 0, "the path %.100q is not absolute", p)
			}
		}
		if g.MaxSize < 0 {
			return wrong("integrity", "integrity", 0, "max_size is negative")
		}
	}
	if v := d.Inventory; v != nil {
		if v.Interval != 0 && time.Duration(v.Interval) < time.Minute {
			return wrong("inventory", "inventory", 0, "the interval %s: want 1m or more", time.Duration(v.Interval))
		}
		for _, s := range v.Skip {
			if !slices.Contains(skippable, s) {
				return wrong("inventory", "inventory", 0, "skip names %.60q: want of %s", s, strings.Join(skippable, ", "))
			}
		}
	}
	if l := d.Limits; l != nil {
		for name, v := range map[string]float64{"cpu_percent": l.CPUPercent, "memory_mb": float64(l.MemoryMB), "disk_mb": float64(l.DiskMB), "network_kbps": float64(l.NetworkKBps),
			"host.cpu_percent": l.Host.CPUPercent, "host.memory_percent": l.Host.MemoryPercent, "host.disk_percent": l.Host.DiskPercent} {
			if !(v >= 0) {
				return wrong("limits", "limits", 0, "%s is %v: want a positive number", name, v)
			}
			if strings.HasPrefix(name, "host.") && v > 100 {
				return wrong("limits", "limits", 0, "%s is %v: want at most 100", name, v)
			}
		}
		if l.MemoryMB != 0 && l.MemoryMB < 32 {
			return wrong("limits", "limits", 0, "memory_mb is %d: the agent needs 32 at least", l.MemoryMB)
		}
	}
	if err := checkLabels(d.Labels); err != nil {
		return wrong("labels", "labels", 0, "%v", err)
	}
	return nil
}

// checkLabels checks names and values of labels.
func checkLabels(labels map[string]string) error {
	if len(labels) > MaxLabels {
		return fmt.Errorf("%d labels; at most %d are taken", len(labels), MaxLabels)
	}
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		if !labelPattern.MatchString(k) {
			return fmt.Errorf("the label %.80q: want letters, digits and '_'", k)
		}
		if slices.Contains(ReservedLabels, k) {
			return fmt.Errorf("the label %s is set by the server", k)
		}
		if len(labels[k]) > 256 {
			return fmt.Errorf("the label %s is longer than 256 bytes", k)
		}
	}
	return nil
}

// absolute tells whether a path is, on Linux or Windows.
func absolute(p string) bool {
	if strings.HasPrefix(p, "/") {
		return true
	}
	return len(p) > 3 && p[1] == ':' && (p[2] == '\\' || p[2] == '/') && (p[0] >= 'A' && p[0] <= 'Z' || p[0] >= 'a' && p[0] <= 'z')
}
