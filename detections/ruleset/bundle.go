// Package ruleset carries the detection content from folders to the engine:
// it reads rule folders into a bundle, sends the bundle over the bus in one
// compressed piece, and compiles it into the immutable set that the engine
// swaps in. A broken rule is named and left out; it never stops the others.
package ruleset

import (
	"bytes"
	"crypto/sha256"
	"encoding/gob"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"icewatch/detections/logsource"
	"icewatch/detections/policy"
	"icewatch/detections/verdict"
)

// Bounds of what is read.
const (
	maxFile   = 4 << 20
	maxBundle = 512 << 20
	maxFiles  = 200_000
)

// Source is one folder of rules. Name goes before the paths of its files in
// problems and lists. Later sources override earlier ones by rule id.
type Source struct {
	Name string
	FS   fs.FS
}

// File is one file of a bundle: a Sigma rule, a Rego policy, a bundle of
// policies or a logsource table.
type File struct {
	Source string `json:"source"`
	Path   string `json:"path"` // source name, slash, path inside it
	Data   []byte `json:"data"`

	sum [sha256.Size]byte // of Data; zero where it was not taken yet
}

// digest is the SHA-256 of the file's content.
func (f *File) digest() [sha256.Size]byte {
	if f.sum == [sha256.Size]byte{} {
		f.sum = sha256.Sum256(f.Data)
	}
	return f.sum
}

// Problem names a rule or file that is not in force, and why.
type Problem struct {
	Path   string `json:"path"`
	Line   int    `json:"line,omitempty"`
	RuleID string `json:"rule_id,omitempty"`
	Title  string `json:"title,omitempty"`
	Reason string `json:"reason"`
}

// String renders a problem as compilers do.
func (p Problem) String() string {
	at := p.Path
	if p.Line > 0 {
		at = fmt.Sprintf("%s:%d", at, p.Line)
	}
	return at + ": " + p.Reason
}

// Bundle is all content at one moment.
type Bundle struct {
	Version  string    `json:"version"` // hex SHA-256 over paths, contents and what is switched off
	Files    []File    `json:"files"`
	Disabled []string  `json:"disabled,omitempty"` // ids of the rules that are switched off, sorted
	Problems []Problem `json:"problems,omitempty"` // files that could not be read
	Origin   Origin    `json:"origin"`             // how it came about; not part of Version
}

// Origin says when and how fast a bundle came about, for the report of how long
// a change takes to be in force. All times are this machine's.
type Origin struct {
	Written time.Time     // when the newest of the changed files was written; zero at a first load
	Noticed time.Time     // when it was begun to be read
	Read    time.Duration // reading what changed
	Check   Timing        // compiling it for its faults, before it was sent
	Sent    time.Time     // when it went on the bus
}

// Load reads all sources once; see Loader.
func Load(srcs []Source) *Bundle { return NewLoader(srcs).Load(false) }

// Beside are the folders at the top of a rule repository that hold content of
// other kinds, each with a reader of its own: they are no rules.
var Beside = []string{"parsers", "alertsources", "suppressions", "schema", "baselines"}

// TestSource is the name of the source of rules that are in test: they are
// asked and their hits counted, and raise nothing. TestSuffix ends their ids, so
// that the rule that one is to replace stays in force beside it.
const (
	TestSource = "test"
	TestSuffix = "@test"
)

// Manifest is the file at the top of a rule repository that says whose it is.
const Manifest = "rules.yml"

func wanted(name string) bool {
	if top, _, deeper := strings.Cut(name, "/"); deeper && slices.Contains(Beside, top) {
		return false
	}
	switch {
	case name == Manifest:
		return false
	case strings.HasSuffix(name, ".test.yml"), strings.HasSuffix(name, ".test.yaml"), strings.HasSuffix(name, "_test.rego"):
		return false
	case strings.HasSuffix(name, ".yml"), strings.HasSuffix(name, ".yaml"):
		return true
	}
	return isPolicy(name)
}

// IsRule tells whether a file of a rule repository holds Sigma rules,
// correlations or filters, by its name.
func IsRule(name string) bool {
	base := path.Base(name)
	return wanted(name) && !isPolicy(name) && !isPipeline(name) && base != logsource.FileName && base != PlaceholderFile && base != verdict.FileName
}

// isPolicy tells whether a file is a Rego policy, or a bundle of them.
func isPolicy(name string) bool { return strings.HasSuffix(name, ".rego") || policy.IsBundle(name) }

func read(fsys fs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("larger than %d MiB", maxFile>>20)
	}
	return data, nil
}

// version is over the files' paths and contents, and the rules that are
// switched off. It goes by the contents' digests, which are taken once for
// each content.
func (b *Bundle) version() string {
	h := sha256.New()
	for i := range b.Files {
		sum := b.Files[i].digest()
		fmt.Fprintf(h, "%d:%s", len(b.Files[i].Path), b.Files[i].Path)
		h.Write(sum[:])
	}
	for _, id := range b.Disabled {
		fmt.Fprintf(h, "off %d:%s", len(id), id)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Encode packs the bundle for the bus.
func (b *Bundle) Encode() ([]byte, error) {
	var out bytes.Buffer
	z, err := zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return nil, fmt.Errorf("ruleset: pack bundle: %w", err)
	}
	if err := gob.NewEncoder(z).Encode(b); err != nil {
		return nil, fmt.Errorf("ruleset: pack bundle: %w", err)
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("ruleset: pack bundle: %w", err)
	}
	return out.Bytes(), nil
}

// Decode unpacks what Encode made.
func Decode(data []byte) (*Bundle, error) {
	z, err := zstd.NewReader(bytes.NewReader(data), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<30))
	if err != nil {
		return nil, fmt.Errorf("ruleset: unpack bundle: %w", err)
	}
	defer z.Close()
	b := &Bundle{}
	if err := gob.NewDecoder(io.LimitReader(z, 2*maxBundle)).Decode(b); err != nil {
		return nil, fmt.Errorf("ruleset: unpack bundle of %d bytes: %w", len(data), err)
	}
	if v := b.version(); v != b.Version {
		return nil, fmt.Errorf("ruleset: bundle says version %.12s and is %.12s", b.Version, v)
	}
	return b, nil
}

// Policies returns the bundle's Rego files and policy bundles for policy.New.
func (b *Bundle) Policies() []policy.File {
	var out []policy.File
	for _, f := range b.Files {
		if isPolicy(f.Path) {
			out = append(out, policy.File{Source: f.Source, Path: f.Path, Data: f.Data})
		}
	}
	return out
}
