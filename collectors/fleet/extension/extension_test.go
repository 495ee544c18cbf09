package extension_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"strings"
	"testing"

	"icewatch/collectors/fleet/extension"
	pack "icewatch/collectors/fleet/extension/extensiontest"
)

const manifest = "name: depth\nversion: 1.0.0\nformat: influx\n"

// TestWalk reads what is right and refuses, by name, all that an archive may not have.
func TestWalk(t *testing.T) {
	t.Parallel()
	m := pack.Entry{Name: "plugin.yaml", Body: manifest + "programs: {linux: run}"}
	run := pack.Entry{Name: "run", Body: "#!/bin/sh\n"}
	many := []pack.Entry{m, run}
	for i := range extension.MaxFiles {
		many = append(many, pack.Entry{Name: "f" + strings.Repeat("x", i%10) + string(rune('a'+i%26)) + strings.Repeat("y", i/26)})
	}
	elf := append([]byte("\x7fELF\x02\x01"), make([]byte, 60)...)
	elf[18] = 183 // arm64
	for name, c := range map[string]struct {
		data []byte
		want string // "" is no error
	}{
		"right":           {pack.Pack(t, m, run), ""},
		"dot":             {pack.Pack(t, pack.Entry{Name: "./", Type: tar.TypeDir}, pack.Entry{Name: "./plugin.yaml", Body: m.Body}, pack.Entry{Name: "./run", Body: run.Body}), ""},
		"no gzip":         {[]byte("PK\x03\x04 some zip"), "no gzip"},
		"cut":             {pack.Pack(t, m, run)[:60], "cannot be read"},
		"no manifest":     {pack.Pack(t, run), "no plugin.yaml"},
		"no program":      {pack.Pack(t, m), "no file run"},
		"symlink":         {pack.Pack(t, m, pack.Entry{Name: "run", Type: tar.TypeSymlink, Link: "/bin/sh"}), "is a link"},
		"hard link":       {pack.Pack(t, m, run, pack.Entry{Name: "x", Type: tar.TypeLink, Link: "run"}), "is a link"},
		"device":          {pack.Pack(t, m, run, pack.Entry{Name: "x", Type: tar.TypeChar}), "neither a file"},
		"out":             {pack.Pack(t, m, run, pack.Entry{Name: "../x"}), "leads out"},
		"out in between":  {pack.Pack(t, m, run, pack.Entry{Name: "a/../../x"}), "leads out"},
		"absolute":        {pack.Pack(t, m, run, pack.Entry{Name: "/etc/x"}), "leads out"},
		"Windows' way":    {pack.Pack(t, m, run, pack.Entry{Name: `..\x`}), "character"},
		"a stream":        {pack.Pack(t, m, run, pack.Entry{Name: `run:x`}), "character"},
		"twice":           {pack.Pack(t, m, run, pack.Entry{Name: "RUN"}), "twice"},
		"folder out":      {pack.Pack(t, m, run, pack.Entry{Name: "../d/", Type: tar.TypeDir}), "leads out"},
		"too many":        {pack.Pack(t, many...), "more than 1000 files"},
		"other machine":   {pack.Pack(t, pack.Entry{Name: "plugin.yaml", Body: manifest + "programs: {linux/amd64: run}"}, pack.Entry{Name: "run", Body: string(elf)}), "linux/arm64"},
		"any machine":     {pack.Pack(t, m, pack.Entry{Name: "run", Body: string(elf)}), "name that platform"},
		"text":            {pack.Pack(t, m, pack.Entry{Name: "run", Body: "echo hello"}), "neither an executable"},
		"env":             {pack.Pack(t, m, pack.Entry{Name: "run", Body: "#!env python"}), "whole path"},
		"Windows' script": {pack.Pack(t, pack.Entry{Name: "plugin.yaml", Body: manifest + "programs: {windows: run}"}, run), "does not run on Windows"},
	} {
		_, err := extension.Walk(bytes.NewReader(c.data), nil)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	// A bomb: it is the unpacked bytes that count, also of what is skipped.
	bomb := pack.Pack(t, m, run, pack.Entry{Name: "zeros", Body: string(make([]byte, 1<<20))})
	if len(bomb) > 10<<10 {
		t.Fatal("no bomb")
	}
	if c, err := extension.Walk(bytes.NewReader(bomb), func(string, int64, io.Reader) error { return nil }); err != nil || c.Files != 3 || c.Bytes < 1<<20 {
		t.Errorf("%+v, %v", c, err)
	}
}

// TestManifest refuses each wrong part by name, and gives options as variables.
func TestManifest(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                   "empty",
		"name: X\nversion: 1":                "the name",
		"name: a\nversion: ../x":             "the version",
		"name: a\nversion: 1\nfromat: x":     "field fromat not found",
		manifest + "run: often":              "run is",
		manifest + "interval: 10ms":          "interval",
		manifest + "timeout: 1h":             "timeout",
		"name: a\nversion: 1\nformat: xml":   "the format",
		manifest:                             "programs are missing",
		manifest + "programs: {plan9: x}":    "platform",
		manifest + "programs: {linux: ../x}": "leads out",
		manifest + "programs: {linux: x}\noptions: [{name: A}]":                           "options",
		manifest + "programs: {linux: x}\noptions: [{name: a}, {name: a}]":                "each name once",
		manifest + "programs: {linux: x}\noptions: [{name: a, type: number, default: x}]": "no number",
		manifest + "programs: {linux: x}\nlimits: {cpu_percent: -1}":                      "limits",
		manifest + "programs: {linux: x}\ntags: [a]":                                      "tags are of",
	} {
		if _, err := extension.ParseManifest([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	m, err := extension.ParseManifest([]byte(manifest + "programs: {linux: run, linux/arm64: arm}\noptions: [{name: url, required: true}, {name: depth, type: number, default: '3'}]"))
	if err != nil {
		t.Fatal(err)
	}
	if m.Program("linux", "arm64") != "arm" || m.Program("linux", "amd64") != "run" || m.Program("windows", "amd64") != "" {
		t.Errorf("%+v", m.Programs)
	}
	if env, err := m.Environment(map[string]string{"url": "http://x"}); err != nil || strings.Join(env, " ") != "OPTION_URL=http://x OPTION_DEPTH=3" {
		t.Errorf("%v, %v", env, err)
	}
	for _, given := range []map[string]string{{}, {"url": "x", "no": "x"}, {"url": "x", "depth": "deep"}, {"url": "a\x00b"}} {
		if _, err := m.Environment(given); err == nil {
			t.Errorf("%v is taken", given)
		}
	}
}

// gz packs bytes.
func gz(data []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(data)
	_ = z.Close()
	return b.Bytes()
}

// FuzzWalk holds that no archive breaks the reader down, and that each path it gives out is plain.
func FuzzWalk(f *testing.F) {
	f.Add(pack.Script(f, manifest, "echo depth value=1"))
	f.Add([]byte("\x1f\x8b"))
	f.Fuzz(func(t *testing.T, data []byte) {
		// What is packed is seldom hit upon: the bytes are tried as a tar archive, too.
		for _, in := range [][]byte{data, gz(data)} {
			_, _ = extension.Walk(bytes.NewReader(in), func(name string, _ int64, _ io.Reader) error {
				if strings.HasPrefix(name, "/") || strings.Contains("/"+name+"/", "/../") || strings.ContainsAny(name, "\\:\x00") || name == "" {
					t.Fatalf("the path %q", name)
				}
				return nil
			})
		}
	})
}

// FuzzManifest holds that no manifest breaks the reader down, and that what it takes has programs within the package.
func FuzzManifest(f *testing.F) {
	f.Add([]byte(manifest + "programs: {linux: run}\noptions: [{name: url, type: text, default: x}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := extension.ParseManifest(data)
		if err != nil {
			return
		}
		for _, p := range m.Programs {
			if strings.HasPrefix(p, "/") || strings.Contains("/"+p+"/", "/../") {
				t.Fatalf("the program %q", p)
			}
		}
		if _, err := m.Environment(nil); err != nil && !strings.Contains(err.Error(), "has to be given") {
			t.Fatal(err)
		}
	})
}
