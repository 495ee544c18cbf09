// Package report writes documents of incidents as PDF and as DOCX. Both show
// Chinese wherever they are opened: the PDF holds the glyphs it uses, of a font
// that has all of GB 2312, and the DOCX names fonts that office programs have.
package report

import (
	_ "embed"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/go-pdf/fpdf"
)

//go:embed font/report.ttf
var font []byte

// Document is a document as its readers see it, in one language.
type Document struct {
	Title    string
	Subtitle string
	Footer   string // of each page, such as who made it and when
	Made     time.Time
	Sections []Section
}

// Section is a part of a document. What it has of the following stands in their
// order.
type Section struct {
	Heading string
	Text    string      // paragraphs, with line breaks between them
	Facts   [][2]string // names and values
	Table   Table
}

// Table is a table; one without rows is left out.
type Table struct {
	Columns []string
	Weights []float64 // of the columns' widths, as many
	Rows    [][]string
}

// The measures of a page, in millimetres.
const (
	margin = 18.0
	line   = 5.4
	name   = 36.0 // of a fact
)

// WritePDF writes the document as PDF 1.4 with its font embedded. Characters
// that the font does not have show as a box.
func WritePDF(w io.Writer, d *Document) error {
	p := fpdf.New("P", "mm", "A4", "")
	p.SetCatalogSort(true)
	p.SetCreationDate(d.Made)
	p.SetModificationDate(d.Made)
	p.SetTitle(d.Title, true)
	p.SetCreator("icewatch", true)
	p.AddUTF8FontFromBytes("report", "", font)
	p.SetMargins(margin, margin, margin)
	p.SetAutoPageBreak(true, margin+4)
	p.AliasNbPages("")
	p.SetFooterFunc(func() {
		p.SetY(-margin + 2)
		p.SetFont("report", "", 8)
		p.SetTextColor(120, 120, 120)
		p.CellFormat(0, 4, fmt.Sprintf("%s    %d / {nb}", plain(d.Footer), p.PageNo()), "", 0, "C", false, 0, "")
	})
	p.AddPage()
	p.SetFont("report", "", 18)
	write(p, 9, d.Title, "")
	if d.Subtitle != "" {
		p.SetFont("report", "", 10)
		p.SetTextColor(90, 90, 90)
		write(p, line, d.Subtitle, "")
	}
	for i := range d.Sections {
		writeSection(p, &d.Sections[i])
	}
	if err := p.Output(w); err != nil {
		return fmt.Errorf("report: write a PDF: %w", err)
	}
	return nil
}

func writeSection(p *fpdf.Fpdf, s *Section) {
	width, height := p.GetPageSize()
	if s.Heading != "" {
		if p.GetY() > height-3*margin { // no heading alone at the foot of a page
			p.AddPage()
		}
		p.Ln(3)
		p.SetFont("report", "", 13)
		p.SetTextColor(22, 70, 150)
		write(p, 7, s.Heading, "B")
		p.Ln(1.5)
	}
	p.SetFont("report", "", 10)
	p.SetTextColor(20, 20, 20)
	for text := range strings.SplitSeq(strings.TrimSpace(s.Text), "\n") {
		if text = plain(text); text != "" {
			write(p, line, text, "")
			p.Ln(0.8)
		}
	}
	for _, f := range s.Facts {
		rows(p, []float64{name, width - 2*margin - name}, []string{f[0], f[1]}, "")
	}
	if len(s.Table.Rows) == 0 {
		return
	}
	total := 0.0
	for i := range s.Table.Columns {
		total += s.Table.weight(i)
	}
	widths := make([]float64, len(s.Table.Columns))
	for i := range widths {
		widths[i] = (width - 2*margin) * s.Table.weight(i) / total
	}
	p.SetFont("report", "", 8.5)
	p.SetTextColor(90, 90, 90)
	rows(p, widths, s.Table.Columns, "B")
	p.SetTextColor(20, 20, 20)
	for _, r := range s.Table.Rows {
		rows(p, widths, r, "B")
	}
}

func (t *Table) weight(i int) float64 {
	if i < len(t.Weights) && t.Weights[i] > 0 {
		return t.Weights[i]
	}
	return 1
}

// write writes a text over the width of the page. Its lines are broken here: the
// library's own breaks lose the Chinese character that they come at.
func write(p *fpdf.Fpdf, height float64, text, border string) {
	width, _ := p.GetPageSize()
	p.MultiCell(0, height, strings.Join(lines(plain(text), width-2*margin-2*p.GetCellMargin()-0.5, p.GetStringWidth), "\n"), border, "L", false)
}

// rows writes cells beside each other, as high as the highest of them.
func rows(p *fpdf.Fpdf, widths []float64, cells []string, border string) {
	_, height := p.GetPageSize()
	_, unit := p.GetFontSize()
	step := unit * 1.45
	cut := make([][]string, len(widths))
	high := 1
	for i := range widths {
		text := ""
		if i < len(cells) {
			text = plain(strings.ReplaceAll(cells[i], "\n", " "))
		}
		if text != "" {
			cut[i] = lines(text, widths[i]-2, p.GetStringWidth)
		}
		high = max(high, len(cut[i]))
	}
	// A row that is higher than a page goes on on the next one, line by line.
	for from := 0; from < high; {
		room := int((height - margin - 4 - p.GetY()) / step)
		if room < min(high-from, 3) {
			p.AddPage()
			continue
		}
		n := min(room, high-from)
		x, y := p.GetXY()
		for i, w := range widths {
			for k := range n {
				if from+k < len(cut[i]) {
					p.SetXY(x, y+float64(k)*step)
					p.CellFormat(w, step, cut[i][from+k], "", 0, "L", false, 0, "")
				}
			}
			x += w
		}
		y += float64(n)*step + 0.8
		if border != "" {
			p.SetDrawColor(210, 210, 210)
			p.Line(margin, y, x, y)
		}
		p.SetXY(margin, y+0.8)
		from += n
	}
}

// plain leaves out what no reader sees and what neither format can hold:
// control characters, marks that turn the direction of text, and characters
// beyond the basic plane, which the PDF's font has none of.
func plain(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), unicode.Is(unicode.Cs, r), r == unicode.ReplacementChar:
			return -1
		case r > 0xFFFF:
			return '□'
		}
		return r
	}, s))
}
