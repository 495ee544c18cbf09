package sheet

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/xuri/excelize/v2"
)

// read lists the rows of all sheets as "sheet row cells".
func read(t testing.TB, data []byte) ([]string, error) {
	t.Helper()
	b, err := Open(data)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, s := range b.Sheets() {
		err := b.Rows(s, func(r Row) error {
			out = append(out, fmt.Sprintf("%s %d %s", s, r.Number, strings.Join(r.Cells, "|")))
			return nil
		})
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

// TestRead reads what another program wrote: shared and inline texts, numbers
// of all kinds, dates by built-in and own formats, truth values, formulas.
func TestRead(t *testing.T) {
	t.Parallel()
	f := excelize.NewFile()
	defer f.Close()
	set := func(cell string, v any, format string) {
		t.Helper()
		if err := f.SetCellValue("Sheet1", cell, v); err != nil {
			t.Fatal(err)
		}
		if format != "" {
			style, err := f.NewStyle(&excelize.Style{CustomNumFmt: &format})
			if err != nil {
				t.Fatal(err)
			}
			if err := f.SetCellStyle("Sheet1", cell, cell, style); err != nil {
				t.Fatal(err)
			}
		}
	}
	set("A1", "名称", "")
	set("C1", "_x000D_ & <b>\nline", "")
	set("A3", 13800138000.0, "")
	set("B3", 0.1+0.2, "")
	set("C3", 1234.5, "#,##0")
	set("D3", true, "")
	set("E3", time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC), "")
	set("F3", time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC), `yyyy"年"m"月"d"日"`)
	set("G3", time.Date(2026, 1, 31, 8, 30, 0, 0, time.UTC), "yyyy-mm-dd hh:mm")
	set("H3", 5, `0 "days"`)
	if err := f.SetCellFormula("Sheet1", "I3", "1+1"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.NewSheet("hidden"); err != nil {
		t.Fatal(err)
	}
	if err := f.SetSheetVisible("hidden", false); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := f.Write(&b); err != nil {
		t.Fatal(err)
	}
	got, err := read(t, b.Bytes())
	want := []string{"Sheet1 1 名称||\r & <b>\nline", "Sheet1 3 13800138000|0.3|1234.5|true|2026-01-31|2026-01-31|2026-01-31 08:30:00|5"}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, %v\nwant %q", got, err, want)
	}
}

// TestWriteAndRead sees that rows come back as they were written, and that
// another program finds heads, choices and notes where they belong.
func TestWriteAndRead(t *testing.T) {
	t.Parallel()
	w, err := NewWriter(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	long := make([]string, 300)
	for i := range long {
		long[i] = fmt.Sprintf("value %03d", i)
	}
	must(w.Begin("a/b"))
	must(w.Head([]Head{{Title: "名称 *", Required: true, Note: "unique"}, {Title: "kind", Options: long}}))
	must(w.Row([]string{"=1+1", "007"}))
	must(w.RowAt(5, []string{"x", "", "_x0041_"}, Mark{1, "missing"}, Mark{0, "odd"}, Mark{1, "indeed"}))
	must(w.Begin("second"))
	must(w.Head([]Head{{Title: "h"}}))
	var b bytes.Buffer
	if _, err := w.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	got, err := read(t, b.Bytes())
	want := []string{"a_b 1 名称 *|kind", "a_b 2 =1+1|007", "a_b 5 x||_x0041_", "second 1 h"}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, %v\nwant %q", got, err, want)
	}

	f, err := excelize.OpenReader(&b)
	must(err)
	defer f.Close()
	comments, err := f.GetComments("a_b")
	must(err)
	if len(comments) != 3 || comments[0].Cell != "A1" || comments[1].Cell != "A5" || comments[2].Cell != "B5" || comments[2].Paragraph[0].Text != "missing\nindeed" {
		t.Errorf("notes: %+v", comments)
	}
	rules, err := f.GetDataValidations("a_b")
	must(err)
	if len(rules) != 1 || rules[0].Sqref != "B2:B10000" || rules[0].Formula1 != "options!$A$1:$A$300" {
		t.Errorf("choices: %+v", rules)
	}
	if v, err := f.GetCellValue("options", "A300"); err != nil || v != "value 299" {
		t.Errorf("the last choice is %q, %v", v, err)
	}
	if kind, err := f.GetCellType("a_b", "A2"); err != nil || kind == excelize.CellTypeFormula {
		t.Errorf("a text that looks like a formula is of type %v, %v", kind, err)
	}
}

// pack makes a workbook of one sheet with this XML.
func pack(t testing.TB, sheet string, more map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	parts := map[string]string{
		"_rels/.rels":                `<Relationships><Relationship Id="r1" Type="x/officeDocument" Target="xl/workbook.xml"/></Relationships>`,
		"xl/workbook.xml":            `<workbook xmlns:r="r"><sheets><sheet name="s" sheetId="1" r:id="r1"/></sheets></workbook>`,
		"xl/_rels/workbook.xml.rels": `<Relationships><Relationship Id="r1" Type="x/worksheet" Target="worksheets/sheet1.xml"/></Relationships>`,
		"xl/worksheets/sheet1.xml":   sheet,
	}
	for name, text := range more {
		parts[name] = text
	}
	for name, text := range parts {
		f, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestRefuses(t *testing.T) {
	t.Parallel()
	rows := func(s string) string { return "<worksheet><sheetData>" + s + "</sheetData></worksheet>" }
	for name, c := range map[string]struct {
		data []byte
		want error
		text string
	}{
		"no ZIP file":       {[]byte("PK\x03\x04 and nothing more"), ErrFormat, "zip"},
		"cut off":           {pack(t, `<worksheet><sheetData><row r="1"><c r="A1"><v>1</v></c></row>`, nil), ErrFormat, "sheet1.xml"},
		"no sheet":          {pack(t, "", map[string]string{"xl/workbook.xml": `<workbook xmlns:r="r"><sheets><sheet name="s" r:id="r7"/></sheets></workbook>`}), ErrFormat, `"s"`},
		"no such text":      {pack(t, rows(`<row r="1"><c r="B1" t="s"><v>3</v></c></row>`), nil), ErrFormat, "cell B1"},
		"cell in wrong row": {pack(t, rows(`<row r="1"><c r="B2"><v>3</v></c></row>`), nil), ErrFormat, `"B2"`},
		"rows backwards":    {pack(t, rows(`<row r="3"/><row r="2"/>`), nil), ErrFormat, "row 2"},
		"far to the right":  {pack(t, rows(`<row r="1"><c r="XFD1"><v>3</v></c></row>`), nil), ErrTooLarge, "XFD1"},
		"a bomb":            {pack(t, rows(strings.Repeat(" ", MaxInflated)), nil), ErrTooLarge, "256 MiB"},
	} {
		_, err := read(t, c.data)
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want %v with %q", name, err, c.want, c.text)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for column, want := range map[int]string{0: "A", 25: "Z", 26: "AA", 701: "ZZ", 702: "AAA", 16_383: "XFD"} {
		if got := Name(7, column); got != want+"7" {
			t.Errorf("Name(7, %d) = %q, want %q", column, got, want+"7")
		}
		if row, got, ok := place(want + "7"); !ok || row != 6 || got != column {
			t.Errorf("place(%q) = %d, %d, %v", want+"7", row, got, ok)
		}
	}
	for _, bad := range []string{"", "7", "A", "A0", "XFE1", "A1048577", "a1", "A1B"} {
		if _, _, ok := place(bad); ok {
			t.Errorf("place(%q) is ok", bad)
		}
	}
}

func FuzzRows(f *testing.F) {
	f.Add(`<worksheet><sheetData><row r="1"><c r="A1" t="inlineStr"><is><t>x</t></is></c><c t="s"><v>0</v></c><c r="F1" s="1"><v>45000.5</v></c></row></sheetData></worksheet>`)
	f.Add(`<worksheet><row><c t="b"><v>1</v></c><c t="d"><v>2026-01-31T00:00:00</v></c><c t="e"><v>#N/A</v></c></row></worksheet>`)
	f.Fuzz(func(t *testing.T, text string) {
		rows, err := read(t, pack(t, text, map[string]string{
			"xl/_rels/workbook.xml.rels": `<Relationships><Relationship Id="r1" Type="x/worksheet" Target="worksheets/sheet1.xml"/><Relationship Id="r2" Type="x/sharedStrings" Target="/xl/strings.xml"/></Relationships>`,
			"xl/strings.xml":             `<sst><si><r><t>a</t></r><rPh><t>b</t></rPh></si></sst>`,
		}))
		if err != nil && !errors.Is(err, ErrFormat) && !errors.Is(err, ErrTooLarge) {
			t.Errorf("%v for %q", err, text)
		}
		_ = rows
	})
}
