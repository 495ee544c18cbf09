package policy_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/bundle"

	"icewatch/detections/policy"
)

// signer signs bundles; its public half is key.
type signer struct {
	private string
	key     policy.Key
}

func newSigner(t testing.TB) signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&k.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return signer{string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private})),
		policy.Key{PEM: string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})), Algorithm: "ES256"}}
}

// pack makes a bundle of a module and data; by, where it is not nil, signs it.
func pack(t testing.TB, module string, data map[string]any, by *signer) []byte {
	t.Helper()
	parsed, err := ast.ParseModule("p.rego", module)
	if err != nil {
		t.Fatal(err)
	}
	if data == nil {
		data = map[string]any{}
	}
	b := bundle.Bundle{Manifest: bundle.Manifest{Revision: "r1"}, Data: data,
		Modules: []bundle.ModuleFile{{URL: "p.rego", Path: "p.rego", Raw: []byte(module), Parsed: parsed}}}
	b.Manifest.Init()
	if by != nil {
		if err := b.GenerateSignature(bundle.NewSigningConfig(by.private, "ES256", ""), "", false); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if err := bundle.NewWriter(&out).Write(b); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// forged replaces the module in a bundle and leaves its signature as it is.
func forged(t testing.TB, data []byte, module string) []byte {
	t.Helper()
	unzip, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	to := tar.NewWriter(zip)
	for from := tar.NewReader(unzip); ; {
		h, err := from.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(from)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(h.Name, ".rego") {
			text = []byte(module)
		}
		h.Size = int64(len(text))
		if err := to.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := to.Write(text); err != nil {
			t.Fatal(err)
		}
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func always(priority string) string {
	return "package icewatch.priority\n\ndecision := {\"priority\": \"" + priority + "\", \"reasons\": []}\n"
}

func answer(t testing.TB, s *policy.Set) string {
	t.Helper()
	j, err := s.Priority(context.Background(), policy.Alert{Rule: policy.Rule{Level: "low"}})
	if err != nil {
		t.Error(err)
	}
	return j.Priority
}

func TestSignatures(t *testing.T) {
	t.Parallel()
	ours, theirs := newSigner(t), newSigner(t)
	trusted := map[string]policy.Key{"theirs too": newSigner(t).key, "ours": ours.key}
	good := pack(t, always("P1"), nil, &ours)
	file := func(data []byte) policy.File { return policy.File{Source: "own", Path: "own/p.tar.gz", Data: data} }
	for _, c := range []struct {
		name    string
		file    policy.File
		keys    policy.Keys
		want    string // priority
		refused string // reason; empty where it is in force
	}{
		{"signed by a key we trust", file(good), policy.Keys{Keys: trusted}, "P1", ""},
		{"where a signature is demanded", file(good), policy.Keys{Keys: trusted, Required: true, Trusted: []string{"builtin"}}, "P1", ""},
		{"signed by another", file(pack(t, always("P1"), nil, &theirs)), policy.Keys{Keys: trusted}, "P4", "no key of rules.policy.keys (ours, theirs too) verifies its signature"},
		{"signed, and no key to verify it with", file(good), policy.Keys{}, "P4", "names no key"},
		{"changed after it was signed", file(forged(t, good, always("P2"))), policy.Keys{Keys: trusted}, "P4", "digest"},
		{"unsigned", file(pack(t, always("P1"), nil, nil)), policy.Keys{Keys: trusted}, "P1", ""},
		{"unsigned where a signature is demanded", file(pack(t, always("P1"), nil, nil)), policy.Keys{Keys: trusted, Required: true, Trusted: []string{"builtin"}}, "P4", "it is not signed"},
		{"a plain file where a signature is demanded", policy.File{Source: "own", Path: "own/p.rego", Data: []byte(always("P1"))}, policy.Keys{Required: true, Trusted: []string{"builtin"}}, "P4", "a plain file cannot be signed"},
		{"as a user tries it out", file(pack(t, always("P1"), nil, &theirs)), policy.Keys{Unverified: true}, "P1", ""},
		{"its data is there", file(pack(t, "package icewatch.priority\n\ndecision := {\"priority\": data.lists.urgent, \"reasons\": []}\n", map[string]any{"lists": map[string]any{"urgent": "P2"}}, &ours)), policy.Keys{Keys: trusted}, "P2", ""},
		{"a decision of the wrong shape", file(pack(t, always("P7"), nil, &ours)), policy.Keys{Keys: trusted}, "P4", "P7"},
		{"no compile", file(pack(t, "package icewatch.priority\n\ndecision := nosuch(1)\n", nil, &ours)), policy.Keys{Keys: trusted}, "P4", "p.rego:3"},
		{"no bundle at all", file([]byte("not a bundle")), policy.Keys{Keys: trusted}, "P4", "not a bundle"},
		{"cut short", file(good[:len(good)/2]), policy.Keys{Keys: trusted}, "P4", "not a bundle"},
	} {
		s, problems := policy.New(append(builtin(t), c.file), c.keys)
		if got := answer(t, s); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
		switch {
		case c.refused == "" && len(problems) > 0:
			t.Errorf("%s: refused: %+v", c.name, problems)
		case c.refused != "" && (len(problems) != 1 || problems[0].Path != c.file.Path || !strings.Contains(problems[0].Reason, c.refused)):
			t.Errorf("%s: problems %+v, want %q", c.name, problems, c.refused)
		}
	}
	s, _ := policy.New(append(builtin(t), file(good)), policy.Keys{Keys: trusted})
	for _, p := range s.Packages() {
		if p.Name == "icewatch.priority" && (p.SignedBy != "ours" || p.Revision != "r1" || p.Source != "own/p.tar.gz") {
			t.Errorf("package %+v", p)
		}
	}
}

// TestBundleThatUnfolds: a small file must not become a large one in memory.
func TestBundleThatUnfolds(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	to := tar.NewWriter(zip)
	if err := to.WriteHeader(&tar.Header{Name: "data.json", Mode: 0o600, Size: 65 << 20}); err != nil {
		t.Fatal(err)
	}
	zeros := make([]byte, 1<<20)
	for range 65 {
		if _, err := to.Write(zeros); err != nil {
			t.Fatal(err)
		}
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	_, problems := policy.New([]policy.File{{Source: "own", Path: "own/p.tar.gz", Data: out.Bytes()}}, policy.Keys{})
	if len(problems) != 1 || !strings.Contains(problems[0].Reason, "unpacks to more than") {
		t.Errorf("%+v", problems)
	}
}

func TestLastGoodStays(t *testing.T) {
	t.Parallel()
	ours, theirs := newSigner(t), newSigner(t)
	keys := policy.Keys{Keys: map[string]policy.Key{"ours": ours.key}}
	path := filepath.Join(t.TempDir(), "memory", "policies.good")
	open := func() *policy.Shelf {
		t.Helper()
		s, err := policy.OpenShelf(path, keys, nil)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	shelf := open()
	step := func(name, want string, refused, kept bool, more ...policy.File) {
		t.Helper()
		s, problems, err := shelf.Load(append(builtin(t), more...))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := answer(t, s); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
		if (len(problems) > 0) != refused || refused && problems[0].Kept != kept {
			t.Errorf("%s: problems %+v", name, problems)
		}
	}
	plain := func(module string) policy.File {
		return policy.File{Source: "own", Path: "own/p.rego", Data: []byte(module)}
	}
	packed := func(data []byte) policy.File { return policy.File{Source: "own", Path: "own/p.tar.gz", Data: data} }

	step("a first state that is broken", "P4", true, false, plain("package icewatch.priority\ndecision := {"))
	step("a good one", "P1", false, false, plain(always("P1")))
	step("a broken one", "P1", true, true, plain("package icewatch.priority\ndecision := {"))
	step("another broken one", "P1", true, true, plain("package icewatch.priority\ndecision := nosuch(1)"))
	shelf = open()
	step("after a restart", "P1", true, true, plain(always("P9")))
	step("mended", "P2", false, false, plain(always("P2")))
	step("taken away", "P4", false, false)
	step("what was taken away is forgotten", "P4", true, false, plain("package icewatch.priority\ndecision := {"))
	step("a signed bundle", "P1", false, false, packed(pack(t, always("P1"), nil, &ours)))
	step("a bundle by somebody else in its place", "P1", true, true, packed(pack(t, always("P2"), nil, &theirs)))
	step("a good file beside it", "P3", true, true, packed(pack(t, always("P2"), nil, &theirs)), policy.File{Source: "zz", Path: "zz/p.rego", Data: []byte(always("P3"))})

	if err := os.WriteFile(path, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := policy.OpenShelf(path, keys, nil); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a damaged memory: %v", err)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	good := newSigner(t)
	for _, c := range []struct {
		name, want string
		key        policy.Key
	}{
		{"good", "", good.key},
		{"a shared secret", "HS256", policy.Key{PEM: "secret", Algorithm: "HS256"}},
		{"no algorithm", "algorithm", policy.Key{PEM: good.key.PEM}},
		{"no PEM", "no PEM", policy.Key{PEM: "x", Algorithm: "RS256"}},
		{"a private key", "no private key belongs here", policy.Key{PEM: good.private, Algorithm: "ES256"}},
	} {
		err := c.key.Check()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

// TestReads: an answer is kept by what the policy reads, and only where it
// depends on nothing else.
func TestReads(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, body string
		again      bool // an alert that differs in what is not read is answered from memory
	}{
		{"a value", `"P1" if input.rule.level == "low"`, true},
		{"an object", `"P1" if input.rule`, true},
		{"through a function", "\"P1\" if low(input.rule)\nlow(r) if r.level == \"low\"", true},
		{"one field", `"P1" if not input.fields["process.name"] == "sh"`, true},
		{"all fields", `"P1" if not "x" in input.fields`, false},
		{"the input as a whole", "\"P1\" if low(input)\nlow(i) if i.rule.level == \"low\"", false},
		{"by a name known late", "\"P1\" if { some key in [\"rule\"]; input[key].level == \"low\" }", false},
		{"the time", `"P1" if time.now_ns() > 0`, false},
		{"chance", `"P1" if rand.intn("x", 2) >= 0`, false},
	} {
		s, problems := policy.New([]policy.File{{Source: "own", Path: "p.rego", Data: []byte("package icewatch.priority\ndecision := {\"priority\": p, \"reasons\": []}\np := " + c.body + "\n")}}, policy.Keys{})
		if len(problems) > 0 {
			t.Errorf("%s: %+v", c.name, problems)
			continue
		}
		for i, value := range []string{"one", "two"} {
			a := policy.Alert{ID: value, Rule: policy.Rule{Level: "low"}, Count: i, Fields: map[string]string{"user.name": value}}
			if j, err := s.Priority(t.Context(), a); err != nil || j.Priority != "P1" {
				t.Errorf("%s: %+v, %v", c.name, j, err)
			}
		}
		if got := s.Stats().Cached > 0; got != c.again {
			t.Errorf("%s: answered from memory %v, want %v", c.name, got, c.again)
		}
	}
}

func FuzzBundle(f *testing.F) {
	by := newSigner(f)
	f.Add(pack(f, always("P1"), nil, &by))
	f.Add(pack(f, always("P1"), map[string]any{"a": 1}, nil))
	f.Add([]byte("\x1f\x8b"))
	keys := policy.Keys{Keys: map[string]policy.Key{"k": by.key}}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, problems := policy.New([]policy.File{{Source: "own", Path: "own/p.tar.gz", Data: data}}, keys)
		if len(problems) == 0 && len(s.Packages()) == 0 {
			t.Error("a bundle that is neither in force nor refused")
		}
	})
}
