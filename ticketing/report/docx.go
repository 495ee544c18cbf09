package report

import (
	"archive/zip"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

// The parts of a DOCX (ECMA-376, WordprocessingML) that are the same in each.
const (
	contentTypes = xml.Header + `<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/><Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/><Override PartName="/word/styles.xml" ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.styles+xml"/><Override PartName="/word/footer1.xml" ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.footer+xml"/></Types>`
	packageRels  = xml.Header + `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="word/document.xml"/></Relationships>`
	documentRels = xml.Header + `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/styles" Target="styles.xml"/><Relationship Id="rId2" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/footer" Target="footer1.xml"/></Relationships>`
	namespaces   = ` xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"`
	styles       = xml.Header + `<w:styles` + namespaces + `><w:docDefaults><w:rPrDefault><w:rPr><w:rFonts w:ascii="Calibri" w:hAnsi="Calibri" w:eastAsia="宋体" w:cs="Calibri"/><w:sz w:val="21"/><w:lang w:val="en-US" w:eastAsia="zh-CN"/></w:rPr></w:rPrDefault><w:pPrDefault><w:pPr><w:spacing w:after="80" w:line="300" w:lineRule="auto"/></w:pPr></w:pPrDefault></w:docDefaults>` +
		`<w:style w:type="paragraph" w:default="1" w:styleId="Normal"><w:name w:val="Normal"/></w:style>` +
		`<w:style w:type="paragraph" w:styleId="Title"><w:name w:val="Title"/><w:basedOn w:val="Normal"/><w:rPr><w:rFonts w:eastAsia="黑体"/><w:sz w:val="36"/></w:rPr></w:style>` +
		`<w:style w:type="paragraph" w:styleId="Subtitle"><w:name w:val="Subtitle"/><w:basedOn w:val="Normal"/><w:rPr><w:color w:val="666666"/></w:rPr></w:style>` +
		`<w:style w:type="paragraph" w:styleId="Heading1"><w:name w:val="heading 1"/><w:basedOn w:val="Normal"/><w:pPr><w:keepNext/><w:spacing w:before="240"/><w:outlineLvl w:val="0"/></w:pPr><w:rPr><w:rFonts w:eastAsia="黑体"/><w:b/><w:color w:val="164696"/><w:sz w:val="26"/></w:rPr></w:style></w:styles>`
)

// WriteDOCX writes the document as DOCX, to be gone on with in an office program.
func WriteDOCX(w io.Writer, d *Document) error {
	z := zip.NewWriter(w)
	for _, part := range []struct{ name, text string }{
		{"[Content_Types].xml", contentTypes}, {"_rels/.rels", packageRels}, {"word/_rels/document.xml.rels", documentRels}, {"word/styles.xml", styles},
		{"word/footer1.xml", xml.Header + `<w:ftr` + namespaces + `>` + paragraph("Subtitle", d.Footer) + `</w:ftr>`},
		{"word/document.xml", body(d)},
	} {
		f, err := z.CreateHeader(&zip.FileHeader{Name: part.name, Method: zip.Deflate, Modified: d.Made})
		if err == nil {
			_, err = io.WriteString(f, part.text)
		}
		if err != nil {
			return fmt.Errorf("report: write a DOCX: %w", err)
		}
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("report: write a DOCX: %w", err)
	}
	return nil
}

func body(d *Document) string {
	var b strings.Builder
	b.WriteString(xml.Header + `<w:document` + namespaces + `><w:body>` + paragraph("Title", d.Title))
	if d.Subtitle != "" {
		b.WriteString(paragraph("Subtitle", d.Subtitle))
	}
	for i := range d.Sections {
		s := &d.Sections[i]
		if s.Heading != "" {
			b.WriteString(paragraph("Heading1", s.Heading))
		}
		for text := range strings.SplitSeq(strings.TrimSpace(s.Text), "\n") {
			if strings.TrimSpace(text) != "" {
				b.WriteString(paragraph("", text))
			}
		}
		if len(s.Facts) > 0 {
			facts := make([][]string, len(s.Facts))
			for i, f := range s.Facts {
				facts[i] = f[:]
			}
			writeTable(&b, &Table{Columns: []string{"", ""}, Weights: []float64{1, 4}, Rows: facts}, false)
		}
		if len(s.Table.Rows) > 0 {
			writeTable(&b, &s.Table, true)
		}
	}
	b.WriteString(`<w:sectPr><w:footerReference w:type="default" r:id="rId2"/><w:pgSz w:w="11906" w:h="16838"/><w:pgMar w:top="1134" w:right="1134" w:bottom="1134" w:left="1134" w:header="600" w:footer="600" w:gutter="0"/></w:sectPr></w:body></w:document>`)
	return b.String()
}

func paragraph(style, text string) string {
	p := `<w:p>`
	if style != "" {
		p += `<w:pPr><w:pStyle w:val="` + style + `"/></w:pPr>`
	}
	return p + `<w:r><w:t xml:space="preserve">` + escaped(text) + `</w:t></w:r></w:p>`
}

func escaped(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(plain(text))) // a strings.Builder does not fail
	return b.String()
}

// textWidth is the width between the margins, in twentieths of a point.
const textWidth = 11906 - 2*1134

func writeTable(b *strings.Builder, t *Table, head bool) {
	total := 0.0
	for i := range t.Columns {
		total += t.weight(i)
	}
	b.WriteString(`<w:tbl><w:tblPr><w:tblW w:w="5000" w:type="pct"/><w:tblBorders><w:bottom w:val="single" w:sz="4" w:color="D2D2D2"/><w:insideH w:val="single" w:sz="4" w:color="D2D2D2"/></w:tblBorders><w:tblLayout w:type="fixed"/></w:tblPr><w:tblGrid>`)
	for i := range t.Columns {
		fmt.Fprintf(b, `<w:gridCol w:w="%d"/>`, int(textWidth*t.weight(i)/total))
	}
	b.WriteString(`</w:tblGrid>`)
	row := func(cells []string, head bool) {
		b.WriteString(`<w:tr>`)
		if head {
			b.WriteString(`<w:trPr><w:tblHeader/></w:trPr>`)
		}
		for i := range t.Columns {
			text := ""
			if i < len(cells) {
				text = cells[i]
			}
			fmt.Fprintf(b, `<w:tc><w:tcPr><w:tcW w:w="%d" w:type="dxa"/></w:tcPr>`, int(textWidth*t.weight(i)/total))
			for part := range strings.SplitSeq(text, "\n") {
				b.WriteString(paragraph("", part))
			}
			b.WriteString(`</w:tc>`)
		}
		b.WriteString(`</w:tr>`)
	}
	if head {
		row(t.Columns, true)
	}
	for _, r := range t.Rows {
		row(r, false)
	}
	b.WriteString(`</w:tbl><w:p/>`)
}
