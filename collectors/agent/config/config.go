// Package config makes of the agent's configuration document (collectors/fleet/wire)
// what the agent runs: each input's settings as TOML text that telegraf's reader
// takes, with the line of the document that each of its lines came from, so that
// a bad setting is refused by name and line; and limits with their defaults. It
// needs no plug-in: the server checks with it what it saves.
package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"icewatch/collectors/fleet/extension"
	"icewatch/collectors/fleet/wire"
)

// Plan is a document, ready to be run.
type Plan struct {
	wire.Document
	Inputs []Input
	Limits wire.Limits // with the defaults filled in
}

// Input is one plug-in of telegraf with its settings.
type Input struct {
	Name     string
	Plugin   string
	Interval time.Duration
	Labels   map[string]string
	// Settings is TOML text, as in telegraf's documentation, without the line
	// [[inputs.NAME]].
	Settings string
	Line     int // of the entry in the document
	// Extension are the settings of an extension plug-in; nil of any other.
	Extension *Extension

	lines []int // of the document, of each line of Settings
}

// Extension names an extension plug-in with its options.
type Extension struct {
	Package string
	Version string // "" is the one that is installed
	Options map[string]string
}

// Key names the input with everything that makes it: two of the same key do the same.
func (in *Input) Key() string {
	h := sha256.New()
	for _, s := range []string{in.Name, in.Plugin, in.Interval.String(), in.Settings} {
		fmt.Fprintf(h, "%d:%s", len(s), s)
	}
	for _, k := range slices.Sorted(maps.Keys(in.Labels)) {
		fmt.Fprintf(h, "%d:%s%d:%s", len(k), k, len(in.Labels[k]), in.Labels[k])
	}
	return hex.EncodeToString(h.Sum(nil)[:12])
}

// DocumentLine is the line of the document of a line of Settings, both from 1.
func (in *Input) DocumentLine(line int) int {
	if line < 1 || line > len(in.lines) {
		return in.Line
	}
	return in.lines[line-1]
}

// Fault makes an error of this input; line is of Settings, 0 where it has none.
func (in *Input) Fault(line int, format string, args ...any) error {
	return &wire.DocumentError{Part: "inputs." + in.Name, Line: in.DocumentLine(line), Text: fmt.Sprintf(format, args...)}
}

// DefaultInterval is how often an input is gathered that does not say.
const DefaultInterval = 10 * time.Second

// Read parses and checks a document. The error is a *wire.DocumentError.
func Read(data []byte) (*Plan, error) {
	d, err := wire.ParseDocument(data)
	if err != nil {
		return nil, err
	}
	p := &Plan{Document: *d, Limits: withDefaults(d.Limits)}
	entries := inputNodes(data)
	for i := range d.Inputs {
		in := Input{Name: d.Inputs[i].Name, Plugin: d.Inputs[i].Plugin, Interval: time.Duration(d.Inputs[i].Interval), Labels: d.Inputs[i].Labels}
		if in.Interval == 0 {
			in.Interval = DefaultInterval
		}
		if i < len(entries) {
			if err := in.settings(entries[i]); err != nil {
				return nil, err
			}
		}
		p.Inputs = append(p.Inputs, in)
	}
	return p, nil
}

// withDefaults fills in what a document leaves to the agent.
func withDefaults(l *wire.Limits) wire.Limits {
	out := wire.Limits{CPUPercent: 10, MemoryMB: 100, DiskMB: 512, NetworkKBps: 2048, Host: wire.Host{CPUPercent: 95, MemoryPercent: 95, DiskPercent: 95}}
	if l == nil {
		return out
	}
	set := func(into *float64, v float64) {
		if v > 0 {
			*into = v
		}
	}
	setInt := func(into *int, v int) {
		if v > 0 {
			*into = v
		}
	}
	set(&out.CPUPercent, l.CPUPercent)
	setInt(&out.MemoryMB, l.MemoryMB)
	setInt(&out.DiskMB, l.DiskMB)
	setInt(&out.NetworkKBps, l.NetworkKBps)
	set(&out.Host.CPUPercent, l.Host.CPUPercent)
	set(&out.Host.MemoryPercent, l.Host.MemoryPercent)
	set(&out.Host.DiskPercent, l.Host.DiskPercent)
	return out
}

// Default is the document of a host that was given none: its own figures.
const Default = `inputs:
  - {name: cpu, plugin: cpu, settings: {percpu: false, totalcpu: true}}
  - {name: mem, plugin: mem}
  - {name: system, plugin: system}
  - {name: processes, plugin: processes}
  - {name: disk, plugin: disk, interval: 60s, settings: {ignore_fs: [tmpfs, devtmpfs, devfs, iso9660, overlay, aufs, squashfs]}}
  - {name: diskio, plugin: diskio}
  - {name: net, plugin: net, settings: {ignore_protocol_stats: true}}
inventory: {interval: 6h}
`

// inputNodes are the entries of the section inputs as they stand in the text.
func inputNodes(data []byte) []*yaml.Node {
	var root yaml.Node
	if yaml.Unmarshal(data, &root) != nil || len(root.Content) == 0 {
		return nil
	}
	return field(root.Content[0], "inputs").Content
}

// field is the value of a name; a node of nothing where it is absent.
func field(node *yaml.Node, name string) *yaml.Node {
	if node.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == name {
				return node.Content[i+1]
			}
		}
	}
	return &yaml.Node{}
}

func (in *Input) settings(entry *yaml.Node) error {
	in.Line = entry.Line
	if in.Plugin == wire.ExtensionPlugin {
		if err := in.extension(entry); err != nil {
			return err
		}
	}
	if text := field(entry, "toml"); text.Kind != 0 && text.Value != "" {
		return in.fromTOML(text)
	}
	settings := field(entry, "settings")
	if settings.Kind == 0 || settings.ShortTag() == "!!null" {
		return nil
	}
	t := tomlWriter{name: in.Name}
	if err := t.table(settings, []string{"inputs", in.Plugin}, 0); err != nil {
		return err
	}
	in.Settings, in.lines = t.out.String(), t.lines
	return nil
}

// extension reads the settings of an extension plug-in.
func (in *Input) extension(entry *yaml.Node) error {
	wrong := func(n *yaml.Node, format string, args ...any) error {
		return &wire.DocumentError{Part: "inputs." + in.Name, Line: n.Line, Text: fmt.Sprintf(format, args...)}
	}
	if text := field(entry, "toml"); text.Kind != 0 {
		return wrong(text, "an extension plug-in has settings, no toml")
	}
	in.Extension = &Extension{Options: map[string]string{}}
	settings := field(entry, "settings")
	for i := 0; i+1 < len(settings.Content); i += 2 {
		name, value := settings.Content[i], settings.Content[i+1]
		switch {
		case name.Value == "package" && value.Kind == yaml.ScalarNode:
			in.Extension.Package = value.Value
		case name.Value == "version" && value.Kind == yaml.ScalarNode:
			in.Extension.Version = value.Value
		case name.Value == "options" && value.Kind == yaml.MappingNode:
			for k := 0; k+1 < len(value.Content); k += 2 {
				if value.Content[k+1].Kind != yaml.ScalarNode {
					return wrong(value.Content[k], "the option %.60q is no single value", value.Content[k].Value)
				}
				in.Extension.Options[value.Content[k].Value] = value.Content[k+1].Value
			}
		default:
			return wrong(name, "the setting %.60q: an extension plug-in has package, version and options", name.Value)
		}
	}
	version := in.Extension.Version
	if version == "" {
		version = "0"
	}
	if err := extension.CheckName(in.Extension.Package, version); err != nil {
		return wrong(entry, "the plug-in: %v", err)
	}
	return nil
}

var ownHeader = regexp.MustCompile(`^\s*\[\[?\s*(inputs|outputs|processors|aggregators|secretstores|agent|global_tags|tags)(?:\.([A-Za-z0-9_]+))?\s*\]\]?\s*(#.*)?$`)

// fromTOML takes TOML text; the line [[inputs.NAME]] may stand at its top.
func (in *Input) fromTOML(node *yaml.Node) error {
	lines := strings.Split(node.Value, "\n")
	started := false
	for i, line := range lines {
		number := node.Line
		if node.Style&yaml.LiteralStyle != 0 {
			number += 1 + i
		}
		in.lines = append(in.lines, number)
		text := strings.TrimSpace(line)
		if m := ownHeader.FindStringSubmatch(line); m != nil {
			if m[1] != "inputs" || m[2] != in.Plugin || started {
				return in.Fault(i+1, "%s begins another section; each plug-in has an entry of its own", text)
			}
			lines[i] = ""
			started = true
		}
		if text != "" && !strings.HasPrefix(text, "#") {
			started = true
		}
	}
	in.Settings = strings.Join(lines, "\n")
	return nil
}
