package grafana

import (
	"archive/zip"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestExport writes the files twice, beside a file of somebody else's.
func TestExport(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "b")
	first, err := Export(dir)
	if err != nil {
		t.Fatal(err)
	}
	mine := filepath.Join(dir, "zh-CN", "mine.json")
	if err := os.WriteFile(mine, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := Export(dir)
	if _, lost := os.Stat(mine); err != nil || lost != nil || again != first || first < 2*12+2 {
		t.Errorf("%d files, then %d: %v, %v", first, again, err, lost)
	}
	var b bytes.Buffer
	if err := Zip(&b); err != nil {
		t.Fatal(err)
	}
	z, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	for _, f := range z.File {
		if f.FileInfo().IsDir() {
			continue
		}
		files++
		got, err := fs.ReadFile(z, f.Name)
		want, err2 := os.ReadFile(filepath.Join(dir, f.Name))
		if err != nil || err2 != nil || !bytes.Equal(got, want) {
			t.Errorf("%s of the archive is another: %v %v", f.Name, err, err2)
		}
	}
	if files != first {
		t.Errorf("%d files in the archive, want %d", files, first)
	}
	if _, err := Export(mine); err == nil {
		t.Error("a file is taken for a folder")
	}
}

// TestProvisioning reads the provisioning as Grafana does, and holds the data
// sources against those that the dashboards choose.
func TestProvisioning(t *testing.T) {
	t.Parallel()
	var sources struct {
		APIVersion  int `yaml:"apiVersion"`
		Datasources []struct {
			Name, UID, Type, Access, URL string
			Editable                     bool
			JSONData                     map[string]any    `yaml:"jsonData"`
			Secure                       map[string]string `yaml:"secureJsonData"`
		}
	}
	text, err := fs.ReadFile(files, "provisioning/datasources/icewatch.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &sources); err != nil || sources.APIVersion != 1 {
		t.Fatalf("%v: %+v", err, sources)
	}
	paths := map[string]string{"prometheus": "/prometheus", "loki": "", "elasticsearch": "/elastic", "alertmanager": "/alertmanager", "jaeger": "/jaeger"}
	known := map[string]bool{}
	for _, s := range sources.Datasources {
		path, ok := paths[s.Type]
		known[s.UID] = true
		if !ok || s.URL != "$ICEWATCH_URL"+path || s.UID != "icewatch-"+s.Type || s.Access != "proxy" || s.Editable || s.JSONData["httpHeaderName1"] != "Authorization" ||
			s.Secure["httpHeaderValue1"] != "Bearer $__file{/etc/grafana/icewatch.token}" || s.JSONData["tlsSkipVerify"] != nil {
			t.Errorf("the data source %+v", s)
		}
	}
	if len(known) != len(paths) {
		t.Errorf("%d data sources, want %d", len(known), len(paths))
	}
	chosen := regexp.MustCompile(`"value": "(icewatch-[a-z]+)"`)
	names, err := fs.Glob(files, "*/*.json")
	if err != nil || len(names) < 24 {
		t.Fatalf("%v: %d dashboards", err, len(names))
	}
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			t.Fatal(err)
		}
		uids := chosen.FindAllStringSubmatch(string(text), -1)
		if len(uids) == 0 {
			t.Errorf("%s chooses no data source", name)
		}
		for _, m := range uids {
			if !known[m[1]] {
				t.Errorf("%s chooses the data source %s, which is not provisioned", name, m[1])
			}
		}
	}
	var providers struct {
		Providers []struct {
			Name, Type string
			Options    struct{ Path string }
		}
	}
	text, err = fs.ReadFile(files, "provisioning/dashboards/icewatch.yaml")
	if err == nil {
		err = yaml.Unmarshal(text, &providers)
	}
	if err != nil || len(providers.Providers) != 2 {
		t.Fatalf("%v: %+v", err, providers)
	}
	for _, p := range providers.Providers {
		folder := strings.TrimPrefix(p.Options.Path, "$ICEWATCH_DASHBOARDS/")
		if list, err := fs.ReadDir(files, folder); err != nil || len(list) < 12 || p.Type != "file" {
			t.Errorf("the provider %+v: %d dashboards, %v", p, len(list), err)
		}
	}
}
