// Package extension is what an extension plug-in of the agent is: a program of an
// administrator's own, in an archive (tar, gzip) with a manifest plugin.yaml. The suite
// checks it when it is uploaded, and the agent before it writes anything, with the same code.
package extension

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"icewatch/collectors/fleet/wire"
)

// ManifestName is the manifest's file in the archive.
const ManifestName = "plugin.yaml"

// How a program runs.
const (
	RunInterval = "interval" // once each interval; it prints and ends
	RunProcess  = "process"  // all the time; it prints when it has something
)

// What a program prints.
const (
	FormatInflux = "influx" // InfluxDB line protocol
	FormatJSON   = "json"   // objects: numbers are figures, strings named by tags are labels
	FormatLines  = "lines"  // lines of a log
)

// PluginManifest is what a package says of itself.
type PluginManifest struct {
	Name        string            `yaml:"name" json:"name"`
	Version     string            `yaml:"version" json:"version"`
	Title       string            `yaml:"title,omitempty" json:"title,omitempty"`
	Description string            `yaml:"description,omitempty" json:"description,omitempty"`
	Run         string            `yaml:"run,omitempty" json:"run" enum:"interval,process"`
	Interval    wire.Duration     `yaml:"interval,omitempty" json:"interval" doc:"Nanoseconds"`
	Timeout     wire.Duration     `yaml:"timeout,omitempty" json:"timeout" doc:"Nanoseconds that one run may take"`
	Format      string            `yaml:"format" json:"format" enum:"influx,json,lines"`
	Tags        []string          `yaml:"tags,omitempty" json:"tags,omitempty" nullable:"false" doc:"Of json: names whose values are labels"`
	Dataset     string            `yaml:"dataset,omitempty" json:"dataset,omitempty" doc:"Of lines: event.dataset"`
	Programs    map[string]string `yaml:"programs" json:"programs" doc:"File by platform, such as linux/amd64; linux is every processor"`
	Args        []string          `yaml:"args,omitempty" json:"args,omitempty" nullable:"false"`
	Options     []PluginOption    `yaml:"options,omitempty" json:"options,omitempty" nullable:"false"`
	Limits      PluginLimits      `yaml:"limits,omitempty" json:"limits"`
}

// PluginOption is a setting of a plug-in. The program finds it in its environment as OPTION_NAME.
type PluginOption struct {
	Name     string `yaml:"name" json:"name"`
	Type     string `yaml:"type,omitempty" json:"type" enum:"text,number,bool"`
	Help     string `yaml:"help,omitempty" json:"help,omitempty"`
	Default  string `yaml:"default,omitempty" json:"default,omitempty"`
	Required bool   `yaml:"required,omitempty" json:"required,omitempty"`
}

// PluginLimits are what a plug-in's processes may take together; beyond them for two looks in a row they are ended.
type PluginLimits struct {
	CPUPercent float64 `yaml:"cpu_percent,omitempty" json:"cpu_percent" doc:"Of one core"`
	MemoryMB   int     `yaml:"memory_mb,omitempty" json:"memory_mb"`
}

// Bounds of a manifest.
const (
	maxManifest = 64 << 10
	maxOptions  = 50
	maxArgs     = 50
	maxValue    = 4096
)

var (
	namePattern    = regexp.MustCompile(`^[a-z][a-z0-9-]{0,39}$`)
	versionPattern = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z.+_-]{0,63}$`)
	optionPattern  = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`)
	datasetPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,63}$`)
	platforms      = []string{"linux", "linux/amd64", "linux/arm64", "linux/loong64", "windows", "windows/amd64", "windows/arm64"}
)

// CheckName says what is wrong with a name and a version.
func CheckName(name, version string) error {
	if !namePattern.MatchString(name) {
		return fmt.Errorf("the name %.60q: want small letters, digits and '-', such as queue-depth", name)
	}
	if !versionPattern.MatchString(version) {
		return fmt.Errorf("the version %.80q: want letters, digits, '.', '+', '_' and '-', such as 1.2.0", version)
	}
	return nil
}

// ParseManifest reads plugin.yaml strictly and fills in what is left out.
func ParseManifest(data []byte) (*PluginManifest, error) {
	if len(data) > maxManifest {
		return nil, fmt.Errorf("%s has %d bytes; at most %d are taken", ManifestName, len(data), maxManifest)
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	var m PluginManifest
	if err := d.Decode(&m); errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s is empty", ManifestName)
	} else if err != nil {
		return nil, fmt.Errorf("%s: %.400s", ManifestName, strings.ReplaceAll(strings.TrimPrefix(err.Error(), "yaml: "), "in type extension.", "in "))
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", ManifestName, err)
	}
	return &m, nil
}

func (m *PluginManifest) check() error {
	if err := CheckName(m.Name, m.Version); err != nil {
		return err
	}
	if len(m.Title) > 200 || len(m.Description) > 4000 {
		return errors.New("title or description is too long: at most 200 and 4000 bytes are taken")
	}
	if m.Run == "" {
		m.Run = RunInterval
	}
	if m.Run != RunInterval && m.Run != RunProcess {
		return fmt.Errorf("run is %.40q: want %s (once each interval) or %s (all the time)", m.Run, RunInterval, RunProcess)
	}
	if m.Interval == 0 {
		m.Interval = wire.Duration(30 * time.Second)
	}
	if m.Timeout == 0 {
		m.Timeout = min(m.Interval, wire.Duration(30*time.Second))
	}
	switch {
	case m.Interval < wire.Duration(time.Second) || m.Interval > wire.Duration(24*time.Hour):
		return fmt.Errorf("the interval %s: want 1s to 24h", time.Duration(m.Interval))
	case m.Timeout < wire.Duration(100*time.Millisecond) || m.Timeout > wire.Duration(10*time.Minute):
		return fmt.Errorf("the timeout %s: want 100ms to 10m", time.Duration(m.Timeout))
	case !slices.Contains([]string{FormatInflux, FormatJSON, FormatLines}, m.Format):
		return fmt.Errorf("the format %.40q: want %s, %s or %s", m.Format, FormatInflux, FormatJSON, FormatLines)
	case len(m.Tags) > 0 && m.Format != FormatJSON:
		return fmt.Errorf("tags are of the format %s alone", FormatJSON)
	case len(m.Tags) > 50:
		return errors.New("more than 50 tags")
	case m.Dataset != "" && !datasetPattern.MatchString(m.Dataset):
		return fmt.Errorf("the dataset %.80q: want small letters, digits, '.', '_' and '-'", m.Dataset)
	case len(m.Args) > maxArgs || slices.ContainsFunc(m.Args, func(a string) bool { return len(a) > maxValue || strings.ContainsRune(a, 0) }):
		return fmt.Errorf("args: want at most %d of at most %d bytes", maxArgs, maxValue)
	case len(m.Programs) == 0:
		return errors.New("programs are missing: want a file for each platform, such as linux/amd64: bin/probe")
	case len(m.Options) > maxOptions:
		return fmt.Errorf("%d options; at most %d are taken", len(m.Options), maxOptions)
	}
	for _, p := range slices.Sorted(maps.Keys(m.Programs)) {
		if !slices.Contains(platforms, p) {
			return fmt.Errorf("programs: the platform %.40q: want of %s", p, strings.Join(platforms, ", "))
		}
		path, err := cleanPath(m.Programs[p])
		if err != nil {
			return fmt.Errorf("programs: %s: %w", p, err)
		}
		m.Programs[p] = path
	}
	seen := map[string]bool{}
	for i := range m.Options {
		o := &m.Options[i]
		if !optionPattern.MatchString(o.Name) || seen[o.Name] {
			return fmt.Errorf("options: the name %.60q: want small letters, digits and '_', each name once", o.Name)
		}
		seen[o.Name] = true
		if o.Type == "" {
			o.Type = "text"
		}
		if !slices.Contains([]string{"text", "number", "bool"}, o.Type) {
			return fmt.Errorf("options: %s: the type %.40q: want text, number or bool", o.Name, o.Type)
		}
		if len(o.Help) > 1000 {
			return fmt.Errorf("options: %s: the help is longer than 1000 bytes", o.Name)
		}
		if o.Default != "" {
			if err := o.check(o.Default); err != nil {
				return fmt.Errorf("options: the default of %w", err)
			}
		}
	}
	if m.Limits.CPUPercent == 0 {
		m.Limits.CPUPercent = 10
	}
	if m.Limits.MemoryMB == 0 {
		m.Limits.MemoryMB = 64
	}
	if !(m.Limits.CPUPercent > 0 && m.Limits.CPUPercent <= 10_000) || m.Limits.MemoryMB < 1 || m.Limits.MemoryMB > 65536 {
		return fmt.Errorf("limits: %v %% and %d MB: want above 0 to 10000 %% of a core, and 1 to 65536 MB", m.Limits.CPUPercent, m.Limits.MemoryMB)
	}
	return nil
}

func (o *PluginOption) check(v string) error {
	switch {
	case len(v) > maxValue || strings.ContainsRune(v, 0):
		return fmt.Errorf("%s: want at most %d bytes", o.Name, maxValue)
	case o.Type == "number":
		if _, err := strconv.ParseFloat(v, 64); err != nil {
			return fmt.Errorf("%s: %.60q is no number", o.Name, v)
		}
	case o.Type == "bool" && v != "true" && v != "false":
		return fmt.Errorf("%s: %.60q: want true or false", o.Name, v)
	}
	return nil
}

// Program is the file that runs on a platform; "" where there is none.
func (m *PluginManifest) Program(os, arch string) string {
	if p := m.Programs[os+"/"+arch]; p != "" {
		return p
	}
	return m.Programs[os]
}

// Platforms are those it has programs for.
func (m *PluginManifest) Platforms() []string { return slices.Sorted(maps.Keys(m.Programs)) }

// Environment makes the variables of options, with the defaults of those that are not given.
func (m *PluginManifest) Environment(given map[string]string) ([]string, error) {
	var names, out []string
	for i := range m.Options {
		o := &m.Options[i]
		names = append(names, o.Name)
		v, ok := given[o.Name]
		if !ok {
			v = o.Default
		}
		if v == "" && o.Required {
			return nil, fmt.Errorf("the option %s has to be given", o.Name)
		}
		if v != "" {
			if err := o.check(v); err != nil {
				return nil, fmt.Errorf("the option %w", err)
			}
		}
		out = append(out, "OPTION_"+strings.ToUpper(o.Name)+"="+v)
	}
	for k := range given {
		if !slices.Contains(names, k) {
			return nil, fmt.Errorf("the plug-in %s has no option %.60q; it has: %s", m.Name, k, strings.Join(names, ", "))
		}
	}
	return out, nil
}
