package library

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"icewatch/cmdb"
	"icewatch/cmdb/cmdbtest"
	"icewatch/detections"
)

// samples are files as their makers write them, by format.
var samples = map[string]string{"nvd.json": FormatNVD, "cnnvd.xml": FormatCNNVD, "cnvd.xml": FormatCNNVD, "osv.json": FormatOSV, "csaf.json": FormatCSAF, "epss.csv": FormatEPSS, "kev.json": FormatKEV, "debian.json": FormatDebian}

func sample(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func openTest(t *testing.T, c *cmdb.Service) *Library {
	t.Helper()
	l, err := Open(t.Context(), c.Database(), Options{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func add(t *testing.T, l *Library, name string) VulnImport {
	t.Helper()
	got, err := l.Add(t.Context(), "tester", name, Auto, bytes.NewReader(sample(t, name)))
	if err != nil || got.State != Done {
		t.Fatalf("import %s: %+v, %v", name, got, err)
	}
	return got
}

func TestWhatAllSourcesSay(t *testing.T) {
	t.Parallel()
	cmdbtest.OnBoth(t, func(t *testing.T, c *cmdb.Service) {
		l := openTest(t, c)
		ctx := t.Context()
		// EPSS comes before what it is about is known: it must not be lost.
		for _, name := range []string{"epss.csv", "cnnvd.xml", "nvd.json", "osv.json", "csaf.json", "kev.json", "debian.json", "cnvd.xml"} {
			add(t, l, name)
		}
		for _, name := range []string{"CVE-2021-44228", "cnnvd-202112-799", "CNVD-2021-95914", "GHSA-jfh8-c2jp-5v3q"} {
			v, err := l.Get(ctx, name)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if v.ID != "CVE-2021-44228" || v.Title.ZH != "Apache Log4j 代码问题漏洞" || v.Level != detections.Critical || v.Score != 10 || !v.Exploited || !v.Known.Ransomware || v.Class.ZH != "代码问题" || v.Solution.ZH == "" || v.Solution.EN == "" || v.EPSS != 0.97559 || v.Likelihood.Day != "2024-12-01" {
				t.Errorf("%s: %+v, %+v", name, v.VulnLine, v.Scores)
			}
			if len(v.Sources) != 8 {
				t.Errorf("sources %+v", v.Sources)
			}
			if len(v.Aliases) != 3 {
				t.Errorf("aliases %v: the advisory's id is no alias", v.Aliases)
			}
		}
		for _, c := range []struct {
			q    Question
			want string
		}{
			{Question{Words: "cve-2021-44228"}, "CVE-2021-44228"},
			{Question{Words: "CNNVD-202112-900"}, "CNNVD-202112-900"},
			{Question{Words: "内容管理 SQL注入"}, "CNNVD-202112-900"},
			{Question{Words: "jndi remote"}, "CVE-2021-44228"},
			{Question{Exploited: true}, "CVE-2021-44228"},
			{Question{Levels: []detections.Level{detections.Medium}}, "CNNVD-202112-900"},
			{Question{Product: "apache:log4j"}, "CVE-2021-44228"},
			{Question{Product: "ZLIB"}, "CVE-2023-45853"},
			{Question{Weakness: "CWE-502"}, "CVE-2021-44228"},
			{Question{Words: "100% _"}, ""},
			{Question{Words: "CVE-2023-0001"}, ""}, // rejected
			{Question{Words: "CVE-2023-0001", Rejected: true}, "CVE-2023-0001"},
			{Question{Words: "CVE-2099-11111"}, ""}, // EPSS alone makes none
		} {
			list, total, _, err := l.List(ctx, c.q)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, v := range list {
				got += v.ID
			}
			if got != c.want || total != len(list) {
				t.Errorf("%+v: %s, total %d; want %s", c.q, got, total, c.want)
			}
		}
		one, total, next, err := l.List(ctx, Question{Sort: "score", Limit: 1})
		if err != nil || len(one) != 1 || one[0].ID != "CVE-2021-44228" || total != 4 || next != "1" {
			t.Errorf("%+v, %d, %q, %v", one, total, next, err)
		}
		// Again: nothing new, nothing twice.
		if got := add(t, l, "osv.json"); got.Added != 0 || got.Written != 3 {
			t.Errorf("%+v", got)
		}
		hits, err := l.Of(ctx, []string{"apache-log4j2"})
		if err != nil || len(hits) != 5 {
			t.Errorf("%+v, %v", hits, err)
		}
		f, err := l.Figures(ctx)
		if err != nil || f.Total != 4 || f.Exploited != 1 || f.BySource[CNNVD] != 2 || f.EPSSDay != "2024-12-01" {
			t.Errorf("%+v, %v", f, err)
		}
		// CNNVD finds the CVE of what it knew by its own id alone.
		later := strings.ReplaceAll(string(sample(t, "cnnvd.xml")), "<cve-id></cve-id>", "<cve-id>CVE-2021-99999</cve-id>")
		if _, err := l.Add(ctx, "tester", "later.xml", Auto, strings.NewReader(later)); err != nil {
			t.Fatal(err)
		}
		v, err := l.Get(ctx, "CNNVD-202112-900")
		if err != nil || v.ID != "CVE-2021-99999" {
			t.Errorf("%+v, %v", v, err)
		}
	})
}

func TestBrokenFilesImportNothing(t *testing.T) {
	t.Parallel()
	cmdbtest.OnBoth(t, func(t *testing.T, c *cmdb.Service) {
		l := openTest(t, c)
		for name, c := range map[string]struct{ from, to, want string }{
			"nvd.json":    {`"id":"CVE-2023-0001"`, `"id":"CVE-23"`, "byte 2"},
			"cnnvd.xml":   {"中危", "很危", `line 23 (CNNVD-202112-900): severity "很危" is no level`},
			"osv.json":    {`"modified":"2022-01-01T00:00:00Z"`, `"modified":"yesterday"`, "(DSA-5020-1): modified yesterday is no time"},
			"csaf.json":   {`"baseScore":9.8`, `"baseScore":98`, "(RHSA-2021:5127): vulnerabilities[0]: the CVSS score 98 is not between 0 and 10"},
			"epss.csv":    {"0.00042", "1.5", `line 4 (CVE-2099-11111): epss "1.5"`},
			"kev.json":    {`"dateAdded":"2021-12-10",`, ``, "dateAdded is missing"},
			"debian.json": {`"fixed_version":"0",`, ``, "resolved without fixed_version"},
		} {
			text := string(sample(t, name))
			bad := strings.Replace(text, c.from, c.to, 1)
			if bad == text {
				t.Fatalf("%s does not hold %s", name, c.from)
			}
			got, err := l.Add(t.Context(), "tester", name, Auto, strings.NewReader(bad))
			if err != nil || got.State != Failed || !strings.Contains(got.Error, c.want) || got.Written != 0 {
				t.Errorf("%s: %+v, %v; want %s", name, got, err, c.want)
			}
			// Cut off in the middle.
			got, err = l.Add(t.Context(), "tester", name, samples[name], strings.NewReader(text[:len(text)*2/3]))
			if err != nil || (got.State != Failed && name != "epss.csv") || (got.State == Failed && got.Written != 0) {
				t.Errorf("%s cut off: %+v, %v", name, got, err)
			}
		}
		if _, total, _, err := l.List(t.Context(), Question{Rejected: true}); err != nil || total != 0 {
			t.Errorf("%d vulnerabilities of broken files, %v", total, err)
		}
	})
}

// TestImportGoesOn uploads in pieces, interrupts the writing and goes on in a
// library that was opened anew.
func TestImportGoesOn(t *testing.T) {
	t.Parallel()
	cmdbtest.OnBoth(t, func(t *testing.T, c *cmdb.Service) {
		l := openTest(t, c)
		var b bytes.Buffer
		b.WriteString("#model_version:v1,score_date:2024-12-01T00:00:00+0000\ncve,epss,percentile\n")
		for i := range 3 * batch {
			b.WriteString("CVE-2024-1" + strings.Repeat("0", 4-len(itoa(i))) + itoa(i) + ",0.5,0.9\n")
		}
		data := b.Bytes()
		at, err := l.Start(t.Context(), "tester", "epss.csv", Auto, int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		half := int64(len(data) / 2)
		if at, err = l.Piece(t.Context(), at.ID, 0, data[:half]); err != nil || at.Received != half || at.State != Uploading {
			t.Fatalf("%+v, %v", at, err)
		}
		if _, err := l.Piece(t.Context(), at.ID, 0, data[:half]); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "is the next that is missing") {
			t.Errorf("the same piece again: %v", err)
		}
		if at, err = l.Piece(t.Context(), at.ID, half, data[half:]); err != nil || at.State != Queued {
			t.Fatalf("%+v, %v", at, err)
		}
		// The suite ends after the first batch.
		ctx, cancel := context.WithCancel(t.Context())
		row, err := l.row(ctx, at.ID)
		if err != nil {
			t.Fatal(err)
		}
		row.State = Importing
		if _, err := l.db.NewUpdate().Model(&row).Column("state").WherePK().Exec(ctx); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { _, err := l.Next(ctx); done <- err }()
		for {
			now, err := l.Import(t.Context(), at.ID)
			if err != nil {
				t.Fatal(err)
			}
			if now.Written >= batch {
				cancel()
				break
			}
		}
		<-done
		again, err := Open(t.Context(), c.Database(), l.opt)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := again.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		if at, err = again.Import(t.Context(), at.ID); err != nil || at.State != Done || at.Written != 3*batch {
			t.Errorf("%+v, %v", at, err)
		}
		if left, _ := filepath.Glob(filepath.Join(l.opt.Dir, "*")); len(left) != 0 {
			t.Errorf("left over: %v", left)
		}
	})
}

func itoa(i int) string {
	if i < 10 {
		return string(rune('0' + i))
	}
	return itoa(i/10) + string(rune('0'+i%10))
}

// TestBaseScores holds the computation to scores that NVD and FIRST publish.
func TestBaseScores(t *testing.T) {
	t.Parallel()
	for vector, want := range map[string]float64{
		"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H": 10, "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H": 9.8,
		"CVSS:3.0/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H": 7.8, "CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N": 6.1,
		"CVSS:3.1/AV:N/AC:H/PR:N/UI:N/S:U/C:H/I:N/A:N": 5.9, "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N": 0,
		"CVSS:3.1/AV:N/AC:L/PR:H/UI:N/S:C/C:H/I:H/A:H": 9.1, "CVSS:3.1/AV:P/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N": 4.6,
	} {
		if got, err := baseScore(vector); err != nil || got != want {
			t.Errorf("%s: %v, %v; want %v", vector, got, err, want)
		}
	}
	for _, bad := range []string{"CVSS:3.1/AV:N", "CVSS:3.1/AV:X/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", "CVSS:3.1/AV:N/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H"} {
		if v, err := baseScore(bad); err == nil {
			t.Errorf("%s: %v", bad, v)
		}
	}
}

// TestBounds holds a record to its length.
func TestBounds(t *testing.T) {
	t.Parallel()
	long := io.MultiReader(strings.NewReader(`{"id":"GHSA-1","modified":"2024-01-01T00:00:00Z","details":"`), io.LimitReader(zeros{}, maxRecord+1))
	err := Read(t.Context(), long, FormatOSV, func(*Record) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "longer than 16 MiB") {
		t.Error(err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a'
	}
	return len(p), nil
}

// FuzzRead reads anything in every format: an error or records, each with an id
// and within bounds.
func FuzzRead(f *testing.F) {
	for name := range samples {
		f.Add(sample(f, name))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, format := range append([]string{Auto}, Formats...) {
			n := 0
			err := Read(t.Context(), bytes.NewReader(data), format, func(r *Record) error {
				if n++; r.ID == "" || r.Source == "" || r.Ref == "" || len(r.ID) > maxID {
					t.Fatalf("%s: %+v", format, r)
				}
				v := merge(r.ID, []Record{*r}, r.Likelihood)
				if v.ID == "" || v.Score < 0 || v.Score > 10 {
					t.Fatalf("%s: %+v", format, v)
				}
				return nil
			})
			if err != nil && err.Error() == "" {
				t.Fatal("an error without words")
			}
		}
	})
}
