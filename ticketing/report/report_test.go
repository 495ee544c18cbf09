package report

import (
	"archive/zip"
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"icewatch/test/peers"
)

func sample() *Document {
	d := &Document{Title: "网络安全事件报告 <1> & “二”", Subtitle: "INC-20261126-0001", Footer: "icewatch · 钱", Made: time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC)}
	d.Sections = []Section{{Heading: "经过", Text: "第一段。\n第二段 with Latin words and a very long line 203.0.113.7 对 电子印章平台/web-01 的 SSH 口令爆破成功，随后以 root 提权，随后外联。\x00\x1b‮", Facts: [][2]string{{"级别", "较大"}, {"说明", strings.Repeat("很长的说明", 60)}}}}
	t := Table{Columns: []string{"时间", "内容"}, Weights: []float64{1, 3}}
	for i := range 80 {
		t.Rows = append(t.Rows, []string{fmt.Sprint(i), "告警 " + strings.Repeat("内容", i)})
	}
	t.Rows = append(t.Rows, []string{"one that no page holds", strings.Repeat("长", 6000)}, []string{"短"})
	d.Sections = append(d.Sections, Section{Heading: "时间线", Table: t}, Section{Heading: "空"})
	return d
}

func TestPDF(t *testing.T) {
	t.Parallel()
	var one, two bytes.Buffer
	if err := WritePDF(&one, sample()); err != nil {
		t.Fatal(err)
	}
	if err := WritePDF(&two, sample()); err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(one.Bytes(), []byte("%PDF-")) || !bytes.Contains(one.Bytes(), []byte("/FontFile2")) {
		t.Error("it is no PDF with its font in it")
	}
	if !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Error("the same document makes two files")
	}
	if one.Len() > 3<<20 {
		t.Errorf("it has %d bytes", one.Len())
	}
	tool := peers.Program(t, "pdftotext") // of poppler-utils
	file := filepath.Join(t.TempDir(), "report.pdf")
	if err := os.WriteFile(file, one.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := exec.Command(tool, file, "-").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"网络安全事件报告", "较大", "口令爆破成功", "203.0.113.7"} {
		if !strings.Contains(strings.ReplaceAll(string(text), "\n", ""), want) {
			t.Errorf("%q cannot be read back", want)
		}
	}
}

func TestDOCX(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := WriteDOCX(&b, sample()); err != nil {
		t.Fatal(err)
	}
	z, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	var words strings.Builder
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		for dec := xml.NewDecoder(r); ; {
			tok, err := dec.Token()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", f.Name, err)
			}
			if c, ok := tok.(xml.CharData); ok && f.Name == "word/document.xml" {
				words.Write(c)
			}
		}
	}
	for _, want := range []string{"网络安全事件报告 <1> & “二”", "较大", "第二段", "79"} {
		if !strings.Contains(words.String(), want) {
			t.Errorf("%q is not in it", want)
		}
	}
}

func FuzzDocument(f *testing.F) {
	f.Add("text", "<&>\x00")
	f.Add("很长", strings.Repeat("x", 3000))
	f.Add("😀\u202e", "\xff")
	f.Fuzz(func(t *testing.T, a, b string) {
		d := &Document{Title: a, Footer: b, Sections: []Section{{Heading: b, Text: a, Facts: [][2]string{{a, b}}, Table: Table{Columns: []string{"x", a}, Rows: [][]string{{a, b}, {b}}}}}}
		if err := WritePDF(io.Discard, d); err != nil {
			t.Errorf("PDF: %v", err)
		}
		if dec := xml.NewDecoder(strings.NewReader(body(d))); true {
			for {
				if _, err := dec.Token(); err == io.EOF {
					break
				} else if err != nil {
					t.Fatalf("DOCX: %v", err)
				}
			}
		}
	})
}
