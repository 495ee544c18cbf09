package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPackagesUploadGoesOnAfterARefusal uploads a program and an archive; what is refused within
// it is told by name.
func TestPackagesUploadGoesOnAfterARefusal(t *testing.T) {
	t.Parallel()
	s := serve(t, map[string]string{
		"POST " + packagesPath:            `422|{"title":"Unprocessable Entity","status":422,"detail":"the file does not say of which version it is: give the version"}`,
		"POST " + packagesPath + "/batch": `{"items":[{"name":"icewatch-agent-linux-amd64","ok":true,"package":{"version":"1.4.0","os":"linux","arch":"amd64","sha256":"ab12"}},{"name":"SHA256SUMS","ok":false,"text":"it is no executable"}]}`,
	})
	program, archive := put(t, "icewatch-agent", "ELF"), put(t, "agents.tar.gz", "\x1f\x8b")
	code, out, errs := call(t, s.URL, nil, "", "packages", "upload", program, archive, "--note", "of the city")
	if code != 1 || !strings.Contains(errs, "2 files were not taken") {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
	for _, want := range []string{program + "\trefused: ", "give the version", archive + ":icewatch-agent-linux-amd64\t1.4.0 linux/amd64  ab12\n", archive + ":SHA256SUMS\trefused: it is no executable\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q lacks %q", out, want)
		}
	}
	if len(s.asked) != 2 || s.asked[0] != "POST "+packagesPath+"?note=of+the+city" || s.body[1] != "\x1f\x8b" {
		t.Errorf("%q", s.asked)
	}
}

// TestPackagesReport takes the last report of a version, or has one made.
func TestPackagesReport(t *testing.T) {
	t.Parallel()
	s := serve(t, map[string]string{
		"GET /api/v1/fleet/test-reports":           `{"items":[{"id":"R1","verdict":"pass"}],"total":1,"next":""}`,
		"POST /api/v1/fleet/test-reports":          `{"id":"R2","verdict":"fail"}`,
		"GET /api/v1/fleet/test-reports/R1/export": "%PDF-1",
		"GET /api/v1/fleet/test-reports/R2/export": "figures",
	})
	dir := t.TempDir()
	for _, c := range []struct {
		file, want, said string
		args             []string
	}{{"a.pdf", "%PDF-1", "pass", nil}, {"a.csv", "figures", "fail", []string{"--new"}}} {
		file := filepath.Join(dir, c.file)
		code, out, errs := call(t, s.URL, nil, "", append([]string{"packages", "report", "1.4.0", file}, c.args...)...)
		got, err := os.ReadFile(file)
		if code != 0 || err != nil || string(got) != c.want || !strings.Contains(out, c.said) {
			t.Errorf("exit %d: %s%s %q %v", code, out, errs, got, err)
		}
	}
	if code, _, errs := call(t, s.URL, nil, "", "packages", "report", "1.4.0", "a.txt"); code != 2 || !strings.Contains(errs, ".pdf") {
		t.Errorf("exit %d: %s", code, errs)
	}
}
