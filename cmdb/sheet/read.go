package sheet

import (
	"archive/zip"
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"strconv"
	"strings"
	"time"
)

// Book is an open workbook. It is not safe for concurrent use.
type Book struct {
	parts   map[string]*zip.File
	sheets  []string
	paths   map[string]string // of sheets, by name
	strings []string          // shared by the cells
	dates   []bool            // whether a cell's style shows a date
	from    time.Time         // day 0
	left    int64             // bytes that may still be unpacked
}

// Open reads a workbook but for its sheets. Hidden sheets are left out: they
// hold what a template's lists choose from.
func Open(data []byte) (*Book, error) {
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, damaged("%v", err)
	}
	if len(z.File) > MaxParts {
		return nil, fmt.Errorf("%w: %d parts: want at most %d", ErrTooLarge, len(z.File), MaxParts)
	}
	b := &Book{parts: map[string]*zip.File{}, paths: map[string]string{}, from: time.Date(1899, 12, 30, 0, 0, 0, 0, time.UTC), left: MaxInflated}
	var total uint64
	for _, f := range z.File {
		if total += f.UncompressedSize64; f.UncompressedSize64 > MaxInflated || total > MaxInflated {
			return nil, fmt.Errorf("%w: unpacked it has more than %d MiB", ErrTooLarge, MaxInflated>>20)
		}
		b.parts[strings.ToLower(strings.TrimPrefix(strings.ReplaceAll(f.Name, `\`, "/"), "/"))] = f
	}
	if err := b.workbook(); err != nil {
		return nil, err
	}
	return b, nil
}

// Sheets lists the names of the sheets in their order.
func (b *Book) Sheets() []string { return b.sheets }

type relationships struct {
	List []struct {
		ID     string `xml:"Id,attr"`
		Type   string `xml:"Type,attr"`
		Target string `xml:"Target,attr"`
	} `xml:"Relationship"`
}

// relations are what a part refers to: paths by id, and by the last word of
// their type.
func (b *Book) relations(part string) (byID, byType map[string]string, err error) {
	byID, byType = map[string]string{}, map[string]string{}
	dir, file := path.Split(part)
	var rels relationships
	if err := b.decode(dir+"_rels/"+file+".rels", &rels); err != nil {
		return nil, nil, err
	}
	for _, r := range rels.List {
		target := r.Target
		if strings.HasPrefix(target, "/") {
			target = target[1:]
		} else {
			target = path.Join(dir, target)
		}
		byID[r.ID], byType[path.Base(r.Type)] = target, target
	}
	return byID, byType, nil
}

func (b *Book) workbook() error {
	_, root, err := b.relations("")
	if err != nil {
		return err
	}
	part := root["officeDocument"]
	if part == "" {
		return damaged("it names no workbook")
	}
	var book struct {
		Properties struct {
			Date1904 string `xml:"date1904,attr"`
		} `xml:"workbookPr"`
		Sheets []struct {
			Name  string `xml:"name,attr"`
			State string `xml:"state,attr"`
			ID    string `xml:"id,attr"`
		} `xml:"sheets>sheet"`
	}
	if err := b.decode(part, &book); err != nil {
		return err
	}
	if p := book.Properties.Date1904; p == "1" || p == "true" {
		b.from = time.Date(1904, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	byID, byType, err := b.relations(part)
	if err != nil {
		return err
	}
	if len(book.Sheets) > MaxSheets {
		return fmt.Errorf("%w: %d sheets: want at most %d", ErrTooLarge, len(book.Sheets), MaxSheets)
	}
	for _, s := range book.Sheets {
		if s.State == "hidden" || s.State == "veryHidden" {
			continue
		}
		at, ok := byID[s.ID]
		if !ok || b.paths[s.Name] != "" {
			return damaged("its sheet %q is not there, or there twice", s.Name)
		}
		b.sheets = append(b.sheets, s.Name)
		b.paths[s.Name] = at
	}
	if at := byType["styles"]; at != "" {
		if err := b.styles(at); err != nil {
			return err
		}
	}
	if at := byType["sharedStrings"]; at != "" {
		return b.sharedStrings(at)
	}
	return nil
}

// open unpacks a part, not beyond what the book may hold in all.
func (b *Book) open(part string) (io.ReadCloser, error) {
	f := b.parts[strings.ToLower(part)]
	if f == nil {
		return nil, damaged("its part %q is missing", part)
	}
	r, err := f.Open()
	if err != nil {
		return nil, damaged("part %q: %v", part, err)
	}
	return r, nil
}

func (b *Book) decode(part string, into any) error {
	r, err := b.open(part)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := xml.NewDecoder(r).Decode(into); err != nil {
		return damaged("part %q: %v", part, err)
	}
	return nil
}

// styles learns which styles of cells show dates.
func (b *Book) styles(part string) error {
	var sheet struct {
		Formats []struct {
			ID   int    `xml:"numFmtId,attr"`
			Code string `xml:"formatCode,attr"`
		} `xml:"numFmts>numFmt"`
		Cells []struct {
			Format int `xml:"numFmtId,attr"`
		} `xml:"cellXfs>xf"`
	}
	if err := b.decode(part, &sheet); err != nil {
		return err
	}
	custom := map[int]bool{}
	for _, f := range sheet.Formats {
		custom[f.ID] = showsDate(f.Code)
	}
	b.dates = make([]bool, len(sheet.Cells))
	for i, c := range sheet.Cells {
		date, own := custom[c.Format]
		// The formats that every spreadsheet knows, the East Asian ones too.
		known := c.Format >= 14 && c.Format <= 17 || c.Format == 22 || c.Format >= 27 && c.Format <= 31 || c.Format == 36 || c.Format >= 50 && c.Format <= 58
		b.dates[i] = own && date || !own && known
	}
	return nil
}

// showsDate tells whether a number format shows a day: it has a year or a day
// outside of quotes and brackets.
func showsDate(code string) bool {
	quoted, bracket := false, false
	for i := 0; i < len(code); i++ {
		switch c := code[i]; {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '\\' || c == '_' || c == '*':
			i++
		case c == '[':
			bracket = true
		case c == ']':
			bracket = false
		case !bracket && strings.IndexByte("yYdD", c) >= 0:
			return true
		}
	}
	return false
}

// scan reads a part's elements. start is called for each with its name and
// attributes, text for what stands in it, end at its end. A part that ends
// before its root does is damaged.
func (b *Book) scan(part string, start func(name string, attrs []xml.Attr) error, text func(xml.CharData), end func(name string) error) error {
	r, err := b.open(part)
	if err != nil {
		return err
	}
	defer r.Close()
	d := xml.NewDecoder(r)
	depth, seen := 0, false
	for {
		token, err := d.RawToken()
		if errors.Is(err, io.EOF) && seen && depth == 0 {
			return nil
		}
		if err != nil {
			return damaged("part %q: %v", part, err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			depth, seen = depth+1, true
			if err := start(t.Name.Local, t.Attr); err != nil {
				return err
			}
		case xml.EndElement:
			if depth--; depth < 0 {
				return damaged("part %q: an element ends that did not begin", part)
			}
			if err := end(t.Name.Local); err != nil {
				return err
			}
		case xml.CharData:
			text(t)
		}
	}
}

func (b *Book) sharedStrings(part string) error {
	var now strings.Builder
	in, phonetic := false, false
	return b.scan(part, func(name string, _ []xml.Attr) error {
		switch name {
		case "t":
			in = !phonetic
		case "rPh": // how a word is spoken is none of its text
			phonetic = true
		}
		return nil
	}, func(t xml.CharData) {
		if in {
			now.Write(t)
		}
	}, func(name string) error {
		switch name {
		case "t":
			in = false
		case "rPh":
			phonetic = false
		case "si":
			if len(b.strings) == MaxCells {
				return fmt.Errorf("%w: more than %d texts", ErrTooLarge, MaxCells)
			}
			b.strings = append(b.strings, unescape(now.String()))
			now.Reset()
		}
		return nil
	})
}

// unescape reads the format's own escapes of characters that XML has no place
// for: _x000D_.
func unescape(s string) string {
	for at := 0; ; {
		i := strings.Index(s[at:], "_x")
		if i < 0 || len(s) < at+i+7 {
			return s
		}
		i += at
		at = i + 2
		if n, err := strconv.ParseUint(s[i+2:i+6], 16, 16); err == nil && s[i+6] == '_' {
			r := string(rune(n))
			s = s[:i] + r + s[i+7:]
			at = i + len(r)
		}
	}
}

// Rows calls fn for each row of a sheet that holds something, from the top. An
// error of fn ends it and is returned.
func (b *Book) Rows(sheet string, fn func(Row) error) error {
	part, ok := b.paths[sheet]
	if !ok {
		return damaged("it has no sheet %q", sheet)
	}
	r := rowReader{book: b, sheet: sheet, fn: fn}
	return b.scan(part, r.start, func(t xml.CharData) {
		if r.reading && len(r.text) < 8*maxCellText {
			r.text = append(r.text, t...)
		}
	}, r.end)
}

// rowReader gathers the cells of one sheet into rows.
type rowReader struct {
	book  *Book
	sheet string
	fn    func(Row) error

	row, column int // that of the cell at hand, both from 0
	rows        int // the row after the last one, from 0
	cells       []string
	count       int
	filled      bool

	kind     string // of the cell at hand
	style    int
	text     []byte
	reading  bool
	phonetic bool
}

func (r *rowReader) start(name string, attrs []xml.Attr) error {
	switch name {
	case "row":
		r.row, r.column, r.cells, r.filled = r.rows, -1, r.cells[:0], false
		if n, err := strconv.Atoi(attr(attrs, "r")); err == nil && n >= 1 && n <= 1_048_576 {
			if r.row = n - 1; r.row < r.rows {
				return damaged("sheet %q: row %d stands behind row %d", r.sheet, n, r.rows)
			}
		}
		r.rows = r.row + 1
	case "c":
		at := attr(attrs, "r")
		r.column++
		if at != "" {
			row, column, ok := place(at)
			if !ok || row != r.row || column < r.column {
				return damaged("sheet %q: cell %q is out of order in row %d", r.sheet, at, r.row+1)
			}
			r.column = column
		}
		r.kind, r.text = attr(attrs, "t"), r.text[:0]
		r.style, _ = strconv.Atoi(attr(attrs, "s"))
	case "v":
		r.reading = true
	case "t":
		r.reading = !r.phonetic
	case "rPh":
		r.phonetic = true
	}
	return nil
}

func attr(attrs []xml.Attr, name string) string {
	for i := range attrs {
		if attrs[i].Name.Local == name && attrs[i].Name.Space == "" {
			return attrs[i].Value
		}
	}
	return ""
}

func (r *rowReader) end(name string) error {
	switch name {
	case "v", "t":
		r.reading = false
	case "rPh":
		r.phonetic = false
	case "c":
		return r.cell()
	case "row":
		if r.filled {
			return r.fn(Row{Number: r.row + 1, Cells: r.cells})
		}
	}
	return nil
}

func (r *rowReader) cell() error {
	if len(r.text) == 0 {
		return nil
	}
	value, err := r.value()
	if err != nil || value == "" {
		return err
	}
	if r.column >= MaxColumns {
		return fmt.Errorf("%w: sheet %q has something in cell %s: want at most %d columns", ErrTooLarge, r.sheet, Name(r.row+1, r.column), MaxColumns)
	}
	if r.count++; r.count > MaxCells {
		return fmt.Errorf("%w: sheet %q has more than %d cells", ErrTooLarge, r.sheet, MaxCells)
	}
	for len(r.cells) < r.column {
		r.cells = append(r.cells, "")
	}
	r.cells, r.filled = append(r.cells, value), true
	return nil
}

// value is the text of the cell at hand.
func (r *rowReader) value() (string, error) {
	text := string(r.text)
	switch r.kind {
	case "s":
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n >= len(r.book.strings) {
			return "", damaged("sheet %q: cell %s refers to text %q, of which there is none", r.sheet, Name(r.row+1, r.column), text)
		}
		return r.book.strings[n], nil
	case "inlineStr", "str":
		return unescape(text), nil
	case "b":
		if text == "1" {
			return "true", nil
		}
		return "false", nil
	case "e": // #N/A, #REF! and such, as they stand
		return text, nil
	case "d": // ISO 8601
		day, rest, _ := strings.Cut(text, "T")
		if strings.Trim(rest, "0:.Z") == "" {
			return day, nil
		}
		return text, nil
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return text, nil
	}
	if r.style >= 0 && r.style < len(r.book.dates) && r.book.dates[r.style] && n >= 0 && n < 2_958_466 {
		return r.book.day(n), nil
	}
	// A spreadsheet computes with 15 digits: what it stores beyond them, such
	// as 0.30000000000000004, nobody typed.
	if short, err := strconv.ParseFloat(strconv.FormatFloat(n, 'g', 15, 64), 64); err == nil {
		n = short
	}
	return strconv.FormatFloat(n, 'f', -1, 64), nil
}

// day writes a date as a spreadsheet counts it.
func (b *Book) day(n float64) string {
	whole := math.Floor(n)
	// The year 1900 has a day too many in this format.
	if b.from.Year() == 1899 && whole < 60 {
		whole++
	}
	at := b.from.AddDate(0, 0, int(whole)).Add(time.Duration(math.Round((n-math.Floor(n))*86_400)) * time.Second)
	if at.Hour()+at.Minute()+at.Second() == 0 {
		return at.Format(time.DateOnly)
	}
	return at.Format(time.DateTime)
}
