package template

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/xuri/excelize/v2"

	"icewatch/cmdb"
	"icewatch/cmdb/cmdbtest"
	"icewatch/detections"
	"icewatch/soc/exposure/finding"
	"icewatch/ticketing/report"
)

var sample = Data{Total: 3, Made: time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC), By: "li", Chinese: true, Zone: time.UTC, Units: map[string]string{"org-1": "税务局"}, Findings: []finding.Finding{
	{Item: "web-1", Name: "web-1", Host: "10.0.0.1", Port: 8080, Unit: "org-1", Weakness: "CVE-2021-44228", Title: detections.Text{ZH: "Log4j 远程代码执行"}, Level: detections.Critical, State: finding.StateOpen, Exploited: true, Priority: 100, Solution: detections.Text{ZH: "升级到 2.17.1"}, Due: time.Date(2026, 3, 5, 8, 0, 0, 0, time.UTC)},
	{Item: "web-2", Name: "web-2", Host: "10.0.0.2", Unit: "org-1", Weakness: "CVE-2021-44228", Title: detections.Text{ZH: "Log4j 远程代码执行"}, Level: detections.Critical, State: finding.Repair, Solution: detections.Text{ZH: "升级到 2.17.1"}},
	{Host: "10.0.0.9", Weakness: "x:1", Title: detections.Text{EN: "Weak password"}, Level: detections.Low, State: finding.StateOpen, Overdue: true},
}}

const own = `name: {zh: 周报}
title: {zh: "{{ total }} 项隐患"}
sections:
  - heading: {zh: 清单}
    table: findings
    columns: [title, place, unit, due]
  - heading: {zh: 单位}
    table: units
`

func TestShippedTemplates(t *testing.T) {
	t.Parallel()
	for _, id := range shippedIDs {
		text, err := shipped.ReadFile("shipped/" + id + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		tpl, err := Parse(text)
		if err != nil {
			t.Fatal(id, err)
		}
		for _, chinese := range []bool{true, false} {
			d := sample
			d.Chinese = chinese
			doc := tpl.Document(&d)
			var all strings.Builder
			for _, s := range doc.Sections {
				all.WriteString(s.Heading + s.Text)
				for _, r := range s.Table.Rows {
					all.WriteString(strings.Join(r, " "))
				}
			}
			if strings.Contains(all.String(), "{{") || !strings.Contains(all.String(), "web-1, web-2") || !strings.Contains(all.String(), "升级到 2.17.1") {
				t.Errorf("%s: %s", id, all.String())
			}
			for name, write := range map[string]func(*bytes.Buffer) error{"pdf": func(b *bytes.Buffer) error { return report.WritePDF(b, doc) }, "docx": func(b *bytes.Buffer) error { return report.WriteDOCX(b, doc) }} {
				var b bytes.Buffer
				if err := write(&b); err != nil || b.Len() < 1000 {
					t.Errorf("%s: %s: %d bytes, %v", id, name, b.Len(), err)
				}
			}
		}
	}
}

func TestOwnTemplate(t *testing.T) {
	t.Parallel()
	tpl, err := Parse([]byte(own))
	if err != nil {
		t.Fatal(err)
	}
	doc := tpl.Document(&sample)
	if doc.Title != "3 项隐患" || strings.Join(doc.Sections[0].Table.Rows[0], "|") != "Log4j 远程代码执行|10.0.0.1:8080|税务局|2026-03-05" || strings.Join(doc.Sections[1].Table.Rows[0], "|") != "税务局|2|0|0|0|0" {
		t.Errorf("%+v", doc)
	}
	var b bytes.Buffer
	if err := tpl.WriteXLSX(&b, &sample); err != nil {
		t.Fatal(err)
	}
	f, err := excelize.OpenReader(&b)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, err := f.GetCellValue("1", "B2"); err != nil || got != "10.0.0.1:8080" {
		t.Errorf("%q, %v in %v", got, err, f.GetSheetList())
	}
}

func TestBadTemplates(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                      "it is empty",
		"x: 1":                                  "line 1",
		"name: {zh: a}":                         "0 sections",
		"name: [":                               "line 1",
		"sections: [{table: x}]":                "name is missing",
		"name: {zh: a}\nsections: [{table: x}]": `section 1: there is no table "x": findings`,
		"name: {zh: a}\nsections: [{table: findings, columns: [price]}]":             `there is no column "price"`,
		"name: {zh: a}\nsections: [{table: levels, columns: [title]}]":               "columns are of the table findings alone",
		"name: {zh: a}\nsections: [{text: {zh: '{{printf \"%1000000d\" 1}}'}}]":      "there is no figure",
		"name: {zh: a}\ntitle: {en: '{{x}}'}\nsections: [{table: levels}]":           `title: there is no figure "x": made`,
		"name: {zh: a}\nsections: [{table: levels}]\n#" + strings.Repeat("x", 70000): "at most 65536",
	} {
		if _, err := Parse([]byte(text)); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v; want %s", text, err, want)
		}
	}
}

// TestShelf follows a template from its upload to its end.
func TestShelf(t *testing.T) {
	t.Parallel()
	cmdbtest.OnBoth(t, func(t *testing.T, c *cmdb.Service) {
		ctx := t.Context()
		s, err := Open(ctx, c.Database())
		if err != nil {
			t.Fatal(err)
		}
		id, err := s.Put(ctx, "li", "", []byte(own))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Put(ctx, "li", "", []byte("name: [")); !errors.Is(err, ErrInvalid) {
			t.Error(err)
		}
		if err := s.Choose(ctx, id); err != nil {
			t.Fatal(err)
		}
		if text, err := s.Text(ctx, ""); err != nil || string(text) != own {
			t.Errorf("%s, %v", text, err)
		}
		if _, err := s.Put(ctx, "wang", id, []byte(strings.Replace(own, "周报", "月报", 1))); err != nil {
			t.Fatal(err)
		}
		list, err := s.List(ctx)
		if err != nil || len(list) != 3 || list[0].Default || !list[0].Shipped || list[2].Name.ZH != "月报" || !list[2].Default || list[2].By != "wang" {
			t.Errorf("%+v, %v", list, err)
		}
		for what, err := range map[string]error{"delete a shipped one": s.Delete(ctx, "detailed")} {
			if !errors.Is(err, ErrShipped) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if _, err := s.Put(ctx, "li", "gone", []byte(own)); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		if err := s.Choose(ctx, "gone"); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		if err := s.Delete(ctx, id); err != nil {
			t.Fatal(err)
		}
		if text, err := s.Text(ctx, ""); err != nil || !bytes.Contains(text, []byte("漏洞扫描报告（详细）")) {
			t.Errorf("%s, %v", text, err)
		}
	})
}

// FuzzParse wants that whatever is read as a template makes a report.
func FuzzParse(f *testing.F) {
	f.Add([]byte(own))
	for _, id := range shippedIDs {
		text, _ := shipped.ReadFile("shipped/" + id + ".yaml")
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		tpl, err := Parse(text)
		if err != nil {
			return
		}
		d := sample
		if doc := tpl.Document(&d); len(doc.Sections) != len(tpl.Sections) {
			t.Errorf("%d sections of %d", len(doc.Sections), len(tpl.Sections))
		}
	})
}
