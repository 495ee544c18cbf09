package release_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"icewatch/collectors/fleet/release"
)

func put(t *testing.T, parts ...io.Reader) *release.File {
	t.Helper()
	s, err := release.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	sum, _, _, err := s.Put(io.MultiReader(parts...))
	if err != nil {
		t.Fatal(err)
	}
	f, err := s.Open(sum)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// TestFactsOfAProgram reads this test's own program, whose facts Go wrote, with a mark and names
// of inputs behind it that lie across the edges of what is read at once.
func TestFactsOfAProgram(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	fill := func(n int) string { return strings.Repeat("x", n) }
	toEdge := 1<<20 - len(program)%(1<<20)
	f := put(t, bytes.NewReader(program), strings.NewReader("icewatch-number<>icewatch-number<no version>"+fill(toEdge)+
		"github.com/influxdata/telegraf/plugins/inputs/redis.(*Redis).Gather"+fill(1<<20-300)+
		"icewatch-number<1.2.3-rc.1+build_7>"+fill(1<<20-40)+"github.com/influxdata/telegraf/plugins/inputs/nginx_plus.init github.com/influxdata/telegraf/plugins/inputs/cut"))
	x, err := f.Facts()
	if err != nil || x.Version != "1.2.3-rc.1+build_7" || x.Go != runtime.Version() || !strings.HasSuffix(x.Program, "release.test") || x.Other() != "" {
		t.Errorf("%+v %v", x, err)
	}
	c, err := f.Contents()
	if err != nil || !slices.Equal(c.Inputs, []string{"nginx_plus", "redis"}) || c.SHA256 == "" {
		t.Errorf("%+v %v", c, err)
	}
	if x, err := put(t, strings.NewReader("#!/bin/sh\n")).Facts(); err != nil || x != (release.BuildFacts{}) {
		t.Errorf("%+v %v", x, err)
	}
	if got := (release.BuildFacts{Program: "icewatch/cmd/icewatch-scanner"}).Other(); got != "icewatch-scanner" {
		t.Error(got)
	}
	if got := (release.BuildFacts{Program: "icewatch/cmd/icewatch-agent"}).Other(); got != "" {
		t.Error(got)
	}
}

func tarOf(t testing.TB, headers []tar.Header, body string) []byte {
	t.Helper()
	var b bytes.Buffer
	g := gzip.NewWriter(&b)
	w := tar.NewWriter(g)
	for _, h := range headers {
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(body))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			_, _ = io.WriteString(w, body)
		}
	}
	if err := errors.Join(w.Close(), g.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zipOf(t testing.TB, names ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, n := range names {
		w, err := z.Create(n)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(w, "body")
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestUnpack takes regular files alone out of archives, by their last name, and refuses what is none.
func TestUnpack(t *testing.T) {
	t.Parallel()
	reg := func(name string) tar.Header { return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755} }
	many := make([]tar.Header, release.MaxFiles+1)
	for i := range many {
		many[i] = reg("x")
	}
	whole := tarOf(t, []tar.Header{reg("a")}, "body")
	for _, c := range []struct {
		name string
		data []byte
		want []string
		err  string
	}{
		{"tar", tarOf(t, []tar.Header{reg("dist/icewatch-agent-linux-amd64"), {Typeflag: tar.TypeDir, Name: "d/"}, {Typeflag: tar.TypeSymlink, Name: "l", Linkname: "/etc/passwd"}, reg("../../etc/x")}, "body"), []string{"icewatch-agent-linux-amd64", "x"}, ""},
		{"zip", zipOf(t, "dist/", "dist/a.exe", `..\b.exe`), []string{"a.exe", "b.exe"}, ""},
		{"one file", []byte("body"), []string{""}, ""},
		{"no files", tarOf(t, []tar.Header{{Typeflag: tar.TypeDir, Name: "d/"}}, ""), nil, "no files"},
		{"too many", tarOf(t, many, "body"), slices.Repeat([]string{"x"}, release.MaxFiles), "more than"},
		{"cut", whole[:len(whole)-20], []string{"a"}, "EOF"},
		{"no gzip", []byte("\x1f\x8bxx"), nil, "gzip"},
		{"no zip", []byte("PK\x03\x04xxxx"), nil, "zip"},
	} {
		var got []string
		err := release.Unpack(c.data, func(name string, r io.Reader) error {
			got = append(got, name)
			b, err := io.ReadAll(r)
			if err == nil && string(b) != "body" {
				t.Errorf("%s: %q", c.name, b)
			}
			return err
		})
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) || c.name != "cut" && !slices.Equal(got, c.want) {
			t.Errorf("%s: %q %v", c.name, got, err)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(tarOf(f, []tar.Header{{Typeflag: tar.TypeReg, Name: "a/b", Mode: 0o755}}, "body"))
	f.Add(zipOf(f, "a/b"))
	f.Fuzz(func(t *testing.T, data []byte) {
		_ = release.Unpack(data, func(name string, r io.Reader) error {
			if strings.ContainsAny(name, "/\\\n") {
				t.Errorf("%q", name)
			}
			_, err := io.Copy(io.Discard, io.LimitReader(r, 1<<20))
			return err
		})
	})
}

func TestNumbered(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]bool{
		"1.2.0": true, "v2.0": true, "1.2.0-rc.1": true, "1.2.3-rc.1+build_7": true,
		"": false, "dev": false, "ab12cd3": false, "1234567": false, "1.2.0-5-gab12cd3": false, "1.2.0-dirty": false, "1.2.0-rc.1-3-gab12cd3": false,
	} {
		if release.Numbered(version) != want {
			t.Errorf("%q: a release's number: %t", version, !want)
		}
	}
}
