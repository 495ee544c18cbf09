// Package ruleset carries the detection content from folders to the engine:
// it reads rule folders into a bundle, sends the bundle over the bus in one
// compressed piece, and compiles it into the immutable set that the engine
// swaps in. A broken rule is named and left out; it never stops the others.
package ruleset

import (
	"io/fs"

	"icewatch/detections"
	"icewatch/detections/policy"
	"icewatch/soc/event"
)

// Source is one folder of rules. Name goes before the paths of its files in
// problems and lists. Later sources override earlier ones by rule id.
type Source struct {
	Name string
	FS   fs.FS
}

// File is one file of a bundle: a Sigma rule, a Rego policy or a logsource table.
type File struct {
	Path string `json:"path"` // source name, slash, path inside it
	Data []byte `json:"data"`
}

// Problem names a rule or file that is not in force, and why.
type Problem struct {
	Path   string `json:"path"`
	Line   int    `json:"line,omitempty"`
	RuleID string `json:"rule_id,omitempty"`
	Title  string `json:"title,omitempty"`
	Reason string `json:"reason"`
}

// Bundle is all content at one moment.
type Bundle struct {
	Version  string    `json:"version"` // hex SHA-256 over paths and contents
	Files    []File    `json:"files"`
	Problems []Problem `json:"problems,omitempty"` // files that could not be read
}

// Load reads all sources. It never fails as a whole: what cannot be read is
// among the bundle's problems.
func Load(srcs []Source) *Bundle { return &Bundle{} }

// Encode packs the bundle for the bus.
func (b *Bundle) Encode() ([]byte, error) { return nil, nil }

// Decode unpacks what Encode made.
func Decode(data []byte) (*Bundle, error) { return &Bundle{}, nil }

// Policies returns the bundle's Rego files for policy.New.
func (b *Bundle) Policies() []policy.File { return nil }

// RuleInfo describes one rule to people: the API's /rules list.
type RuleInfo struct {
	ID         string           `json:"id"`
	Name       string           `json:"name,omitempty"`
	Title      detections.Text  `json:"title"`
	Level      detections.Level `json:"level"`
	Kind       string           `json:"kind"`   // sigma or correlation
	Status     string           `json:"status"` // active or rejected
	Reason     string           `json:"reason,omitempty"`
	Path       string           `json:"path"`
	Line       int              `json:"line"`
	Tactics    []string         `json:"tactics"`
	Techniques []string         `json:"techniques"`
	Tags       []string         `json:"tags"`
	Source     string           `json:"-"` // YAML text of the rule's document
}

// Set is a compiled bundle: immutable, safe for concurrent use.
type Set struct{}

// Compile compiles every rule of the bundle against the registry's fields.
func Compile(b *Bundle, reg *event.Registry) (*Set, []Problem) { return &Set{}, nil }

// Version is the bundle's version.
func (s *Set) Version() string { return "" }

// Rules lists all rules, rejected ones included, sorted by path and line.
func (s *Set) Rules() []RuleInfo { return nil }

// Policy returns the prepared policies of the bundle.
func (s *Set) Policy() *policy.Set { return nil }
