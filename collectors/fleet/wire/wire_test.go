package wire

import (
	"errors"
	"strings"
	"testing"
)

func TestToken(t *testing.T) {
	t.Parallel()
	want := Token{URLs: []string{"https://soc.example.gov.cn:8444"}, CA: strings.Repeat("ab", 32), Secret: "s3cr3t-value"}
	got, err := ParseToken(" " + want.String() + "\n")
	if err != nil || got.Secret != want.Secret || got.CA != want.CA || got.URLs[0] != want.URLs[0] {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, bad := range []string{"", "iwe_", "iwe_!!", want.String()[:40], Token{URLs: []string{"http://x"}, CA: want.CA, Secret: "s3cr3t-value"}.String(),
		Token{URLs: want.URLs, CA: "ab", Secret: "s3cr3t-value"}.String(), Token{CA: want.CA, Secret: "s3cr3t-value"}.String()} {
		if _, err := ParseToken(bad); err == nil {
			t.Errorf("%q was taken", bad)
		} else if strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("the secret is in the error: %v", err)
		}
	}
}

func TestBatch(t *testing.T) {
	t.Parallel()
	b, err := ParseBatch("01JDQ6Z3W8-42")
	if err != nil || b.Seq != 42 || b.String() != "01JDQ6Z3W8-42" {
		t.Fatal(b, err)
	}
	for _, bad := range []string{"", "-", "01JDQ6Z3W8-0", "01JDQ6Z3W8--1", "01JDQ6Z3W8", "short-1", "01JDQ6Z3W/-1", "01JDQ6Z3W8-99999999999999999999"} {
		if _, err := ParseBatch(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestDocument(t *testing.T) {
	t.Parallel()
	d, err := ParseDocument([]byte("inputs:\n  - plugin: nginx\n    interval: 15s\n    settings:\n      urls: [http://127.0.0.1/status]\nfiles:\n  - name: app\n    paths: [/var/log/app/*.log]\nlimits:\n  cpu_percent: 5\n"))
	if err != nil || d.Inputs[0].Name != "nginx" {
		t.Fatalf("%+v, %v", d, err)
	}
	if d, err := ParseDocument(nil); err != nil || len(d.Inputs) != 0 {
		t.Fatal(d, err)
	}
	for text, want := range map[string]string{
		"inputs:\n  - plugin: cpu\n  - plugin: cpu\n":                                 "inputs.cpu, line 3: the name cpu stands twice",
		"inputs:\n  - plugin: cpu\n    intervall: 10s\n":                              "line 3: field intervall not found",
		"inputs:\n  - plugin: cpu\n    interval: 10\n":                                "line 3:",
		"inputs:\n  - plugin: cpu\n    interval: 10ms\n":                              "inputs.cpu, line 2: the interval 10ms",
		"files:\n  - name: a\n    paths: [var/log]\n":                                 "files.a, line 2: the path",
		"files:\n  - name: a\n    paths: [/var/log/a]\n    multiline: '('\n":          "files.a, line 2: multiline",
		"limits:\n  memory_mb: 3\n":                                                   "limits, line 1: memory_mb is 3",
		"labels: {tenant: x}\n":                                                       "the label tenant is set by the server",
		"a: &x [1]\nb: *x\n":                                                          "anchors",
		"inputs: [\n":                                                                 "line",
		"---\nlabels: {}\n---\nlabels: {}\n":                                          "several",
		"inputs:\n  - plugin: cpu\n    toml: 'percpu = true'\n    settings: {a: 1}\n": "settings and toml are both given",
		"inputs:\n  - plugin: 'exec;rm'\n":                                            "the plugin",
		"integrity:\n  interval: 1h\n":                                                "integrity, line 1: paths are missing",
		"limits:\n  host: {cpu_percent: .nan}\n":                                      "host.cpu_percent",
	} {
		_, err := ParseDocument([]byte(text))
		var de *DocumentError
		if !errors.As(err, &de) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func FuzzDocument(f *testing.F) {
	f.Add([]byte("inputs:\n  - plugin: nginx\n    interval: 15s\nlimits: {host: {cpu_percent: 90}}\n"))
	f.Add([]byte("a: &x [*x]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := ParseDocument(data)
		var de *DocumentError
		if err != nil && !errors.As(err, &de) {
			t.Fatalf("%T: %v", err, err)
		}
		if err == nil && d == nil {
			t.Fatal("neither a document nor an error")
		}
	})
}

func FuzzToken(f *testing.F) {
	f.Add(Token{URLs: []string{"https://a:1"}, CA: strings.Repeat("ab", 32), Secret: "x"}.String())
	f.Fuzz(func(t *testing.T, text string) {
		if tok, err := ParseToken(text); err == nil {
			if again, err := ParseToken(tok.String()); err != nil || again.Secret != tok.Secret {
				t.Fatal(again, err)
			}
		}
		if b, err := ParseBatch(text); err == nil && b.Seq == 0 {
			t.Fatal("number 0")
		}
	})
}
