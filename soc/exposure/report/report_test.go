package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/xuri/excelize/v2"

	"icewatch/soc/exposure/finding"
	"icewatch/soc/exposure/library"
)

// samples are reports after the documented formats of the tools.
var samples = map[string]string{"scan.nessus": Nessus, "openvas.xml": OpenVAS, "nuclei.jsonl": Nuclei, "nmap.xml": Nmap, "scan.sarif": SARIF, "table.csv": CSV}

func sample(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func options(name string) Options {
	o := Options{Zone: "gov"}
	if samples[name] == CSV {
		o.Format = CSV
	}
	if samples[name] == SARIF {
		o.Item = "app-1"
	}
	return o
}

func TestReports(t *testing.T) {
	t.Parallel()
	for name := range samples {
		r, err := Read(t.Context(), sample(t, name), options(name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := json.MarshalIndent(r, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join("testdata", name+".golden")
		if os.Getenv("UPDATE_GOLDEN") != "" {
			if err := os.WriteFile(golden, append(got, '\n'), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if want := sample(t, name+".golden"); !bytes.Equal(append(got, '\n'), want) {
			t.Errorf("%s is read as\n%s", name, got)
		}
	}
}

func TestBrokenReports(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, from, to, want string }{
		{"scan.nessus", `severity="4"`, `severity="9"`, "line 19 (10.0.0.1, plugin 156014): severity 9"},
		{"scan.nessus", `port="8080"`, `port="http"`, "line 13 (10.0.0.1"},
		{"scan.nessus", `</ReportHost>`, ``, "this is not XML"},
		{"openvas.xml", `<port>22/tcp`, `<port>ssh/tcp`, `(r1): the port "ssh/tcp" is no number`},
		{"openvas.xml", `<severity>5.3`, `<severity>15`, "is no number from 0 to 10"},
		{"nuclei.jsonl", `"severity":"high"`, `"severity":"awful"`, `line 2 (redis-default-logins): info.severity "awful" is no level`},
		{"nuclei.jsonl", `{"template-id":"tech-detect"`, `{"template-id":`, "line 3: this is not JSON"},
		{"nmap.xml", `addr="10.0.0.1"`, `addr="10.0.0.256"`, "the host has no IP address"},
		{"scan.sarif", `"version":"2.1.0"`, `"version":"1.0"`, "SARIF 2.1.0 is read"},
		{"scan.sarif", `"security-severity":"8.8"`, `"security-severity":"bad"`, "runs[0].results[0]"},
		{"table.csv", "高危", "很危", `line 3: "很危" is no level`},
		{"table.csv", "漏洞名称", "叫什么", "map title to one of IP地址, 端口, 叫什么"},
		{"table.csv", "8080", "八零", "line 2: the port"},
	} {
		text := string(sample(t, c.name))
		bad := strings.Replace(text, c.from, c.to, 1)
		if bad == text {
			t.Fatalf("%s does not hold %s", c.name, c.from)
		}
		r, err := Read(t.Context(), []byte(bad), options(c.name))
		var fault *library.Fault
		if r != nil || !errors.As(err, &fault) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s with %s: %v; want %s", c.name, c.to, err, c.want)
		}
	}
	if _, err := Read(t.Context(), sample(t, "scan.sarif"), Options{}); err == nil || !strings.Contains(err.Error(), "say which item") {
		t.Errorf("SARIF of nothing: %v", err)
	}
	if _, err := Read(t.Context(), []byte("hello"), Options{}); err == nil {
		t.Error("a text is taken as a report")
	}
	if _, err := Read(t.Context(), sample(t, "table.csv"), Options{Format: CSV, Mapping: Mapping{"colour": "x"}}); !errors.Is(err, finding.ErrInvalid) {
		t.Errorf("a mapping of an unknown field: %v", err)
	}
	if _, err := Read(t.Context(), sample(t, "table.csv"), Options{Format: CSV, Mapping: Mapping{"port": "口"}}); err == nil || !strings.Contains(err.Error(), `"口"`) {
		t.Errorf("a mapping of a missing column: %v", err)
	}
}

func TestWorkbookByMapping(t *testing.T) {
	t.Parallel()
	f := excelize.NewFile()
	for i, row := range [][]any{{"资产", "问题", "级别"}, {"10.0.0.7", "后台弱口令", "高"}} {
		if err := f.SetSheetRow("Sheet1", []string{"A1", "A2"}[i], &row); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if err := f.Write(&b); err != nil {
		t.Fatal(err)
	}
	r, err := Read(t.Context(), b.Bytes(), Options{Mapping: Mapping{"address": "资产", "title": "问题", "level": "级别"}})
	if err != nil || len(r.Sightings) != 1 || r.Sightings[0].Address != "10.0.0.7" || r.Sightings[0].Title.ZH != "后台弱口令" || r.Sightings[0].Level != "high" {
		t.Errorf("%+v, %v", r, err)
	}
}

// FuzzRead reads anything as every format: an error, or sightings within bounds.
func FuzzRead(f *testing.F) {
	for name := range samples {
		f.Add(sample(f, name))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, format := range []string{Auto, Nessus, OpenVAS, Nuclei, Nmap, SARIF, CSV} {
			r, err := Read(t.Context(), data, Options{Format: format, Item: "x"})
			if err != nil {
				continue
			}
			for _, x := range r.Sightings {
				if x.Check == "" || x.Port < 0 || x.Port > 65535 || x.Score < 0 || x.Score > 10 || x.Engine == "" {
					t.Fatalf("%s: %+v", format, x)
				}
			}
		}
	})
}
