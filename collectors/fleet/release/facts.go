package release

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"errors"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

// BuildFacts is what a package's file says of itself; the program is not run. Go writes most of it
// into each program, the version stands there by version.Mark.
type BuildFacts struct {
	Program   string    `json:"program,omitempty" doc:"Such as icewatch/cmd/icewatch-agent; empty where the file does not say"`
	Version   string    `json:"version,omitempty" doc:"That was built in; empty where none was"`
	Go        string    `json:"go,omitempty" doc:"Version of the compiler"`
	Commit    string    `json:"commit,omitempty" doc:"That it was built from"`
	Committed time.Time `json:"committed,omitzero"`
	Modified  bool      `json:"modified,omitempty" doc:"It was built from files that differ from the commit"`
	Telegraf  string    `json:"telegraf,omitempty" doc:"Version of telegraf, whose inputs are in it"`
}

// PackageContents is what is inside a package.
type PackageContents struct {
	Inputs  []string        `json:"inputs" nullable:"false" doc:"Inputs of telegraf, by name"`
	Modules []PackageModule `json:"modules" nullable:"false" doc:"Go modules, by path"`
	SHA256  string          `json:"sha256" doc:"Of the file as it lies there now"`
}

// PackageModule is a Go module of a program.
type PackageModule struct {
	Path    string `json:"path"`
	Version string `json:"version"`
}

// Agent is the program that a package is of.
const Agent = "icewatch-agent"

// telegraf is the module whose inputs the agent has.
const telegraf = "github.com/influxdata/telegraf"

var (
	mark  = []byte("icewatch-number<")
	input = []byte(telegraf + "/plugins/inputs/")
)

// Facts reads what the file says of itself. A file that says nothing has none.
func (f *File) Facts() (BuildFacts, error) {
	x, _ := f.build()
	v, _, _, err := f.scan()
	x.Version = v
	return x, err
}

// Contents reads what is inside.
func (f *File) Contents() (PackageContents, error) {
	c := PackageContents{Inputs: []string{}, Modules: []PackageModule{}}
	if _, list := f.build(); list != nil {
		c.Modules = list
	}
	_, inputs, sum, err := f.scan()
	c.Inputs, c.SHA256 = append(c.Inputs, inputs...), sum
	return c, err
}

func (f *File) build() (x BuildFacts, list []PackageModule) {
	info, err := buildinfo.Read(io.NewSectionReader(f.File, 0, f.Size))
	if err != nil {
		return x, nil // another compiler's, or none that says so
	}
	x.Program, x.Go = clean(info.Path), clean(info.GoVersion)
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			x.Commit = clean(s.Value)
		case "vcs.time":
			x.Committed, _ = time.Parse(time.RFC3339, s.Value)
		case "vcs.modified":
			x.Modified = s.Value == "true"
		}
	}
	for _, d := range info.Deps[:min(len(info.Deps), 5000)] {
		if d.Replace != nil {
			d = d.Replace
		}
		if list = append(list, PackageModule{clean(d.Path), clean(d.Version)}); d.Path == telegraf {
			x.Telegraf = clean(d.Version)
		}
	}
	slices.SortFunc(list, func(a, b PackageModule) int { return strings.Compare(a.Path, b.Path) })
	return x, list
}

// scan reads the file through for the mark and the inputs.
func (f *File) scan() (version string, inputs []string, sum string, err error) {
	const longest = 128 // of what is looked for with what follows
	seen := map[string]bool{}
	h := sha256.New()
	buf := make([]byte, 0, 1<<20)
	r := io.NewSectionReader(f.File, 0, f.Size)
	for end := false; !end; {
		n, err := io.ReadFull(r, buf[len(buf):cap(buf)])
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return "", nil, "", err
		}
		end = err != nil
		h.Write(buf[len(buf) : len(buf)+n])
		buf = buf[:len(buf)+n]
		for rest := buf; ; {
			at := bytes.Index(rest, input)
			if at < 0 {
				break
			}
			rest = rest[at+len(input):]
			if w := word(rest); w != "" && len(w) < len(rest) && rest[len(w)] == '.' && len(seen) < 1000 {
				seen[w] = true
			}
		}
		for rest := buf; version == ""; {
			at := bytes.Index(rest, mark)
			if at < 0 {
				break
			}
			rest = rest[at+len(mark):]
			if to := bytes.IndexByte(rest[:min(len(rest), 65)], '>'); to > 0 && IsVersion(string(rest[:to])) {
				version = string(rest[:to])
			}
		}
		if !end { // What lies across the edge is looked at once more.
			keep := min(longest, len(buf))
			buf = append(buf[:0], buf[len(buf)-keep:]...)
		}
	}
	for w := range seen {
		inputs = append(inputs, w)
	}
	slices.Sort(inputs)
	return version, inputs, hex.EncodeToString(h.Sum(nil)), nil
}

// word is the name of a package at the beginning of data.
func word(data []byte) string {
	n := 0
	for n < len(data) && n < 64 && (data[n] == '_' || data[n] >= 'a' && data[n] <= 'z' || data[n] >= '0' && data[n] <= '9') {
		n++
	}
	return string(data[:n])
}

// Other tells the name of a program of the suite that is not the agent; "" is the agent, or
// none of the suite's.
func (f BuildFacts) Other() string {
	if strings.HasPrefix(f.Program, "icewatch/cmd/") && path.Base(f.Program) != Agent {
		return path.Base(f.Program)
	}
	return ""
}

// numbered is what versions of releases look like.
var numbered = regexp.MustCompile(`^v?\d+(\.\d+)+(-[A-Za-z][0-9A-Za-z.]*)?(\+[0-9A-Za-z._-]+)?$`)

// Numbered tells whether a version is the number of a release. What git says of a commit
// between releases (1.2.0-5-gab12cd3, 1.2.0-dirty) or without any (ab12cd3) is none: such a
// file has the version by which it is uploaded.
func Numbered(version string) bool {
	return numbered.MatchString(version) && !strings.HasSuffix(version, "-dirty")
}

func clean(s string) string {
	return strings.ToValidUTF8(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s[:min(len(s), 200)]), "")
}
