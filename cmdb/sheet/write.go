package sheet

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf16"

	"github.com/xuri/excelize/v2"
)

// Head is the head of one column.
type Head struct {
	Title    string
	Note     string   // shown beside the head
	Required bool     // the head is marked
	Options  []string // values that the cells are chosen from
	Open     bool     // others are taken too
}

// Mark is what is said of a cell: the cell is coloured and has the text as its
// note.
type Mark struct {
	Column int // from 0
	Text   string
}

// Writer writes a workbook, sheet after sheet and row after row. Long sheets
// lie in temporary files while they are made. Close it.
type Writer struct {
	book   *excelize.File
	stream *excelize.StreamWriter
	sheet  string
	count  int // sheets begun
	row    int // the last one written
	lists  int // columns of options on the hidden sheet
	styles struct{ head, required, text, bad int }
	cells  []any
}

// listSheet is the hidden sheet that long lists of options stand on.
const listSheet = "options"

// optionRows is for how many rows a list of options is offered.
const optionRows = 10_000

// NewWriter begins a workbook whose long sheets lie below dir while they are
// made; "" is the system's place.
func NewWriter(dir string) (*Writer, error) {
	w := &Writer{book: excelize.NewFile(excelize.Options{TmpDir: dir})}
	style := func(into *int, s excelize.Style) error {
		s.NumFmt = 49 // text: what is typed stays as it is typed
		var err error
		*into, err = w.book.NewStyle(&s)
		return err
	}
	fill := func(colour string) excelize.Fill {
		return excelize.Fill{Type: "pattern", Pattern: 1, Color: []string{colour}}
	}
	wrap := &excelize.Alignment{Vertical: "top", WrapText: true}
	for _, err := range []error{
		style(&w.styles.head, excelize.Style{Font: &excelize.Font{Bold: true}, Fill: fill("E6F4FF")}),
		style(&w.styles.required, excelize.Style{Font: &excelize.Font{Bold: true, Color: "CF1322"}, Fill: fill("E6F4FF")}),
		style(&w.styles.text, excelize.Style{Alignment: &excelize.Alignment{Vertical: "top"}}),
		style(&w.styles.bad, excelize.Style{Alignment: wrap, Fill: fill("FFCCC7"), Font: &excelize.Font{Color: "A8071A"}}),
	} {
		if err != nil {
			return nil, fmt.Errorf("sheet: begin a workbook: %w", err)
		}
	}
	return w, nil
}

// Close gives back what the writer holds.
func (w *Writer) Close() error { return w.book.Close() }

// Begin begins a sheet. name is cut to what the format allows.
func (w *Writer) Begin(name string) error {
	if err := w.flush(); err != nil {
		return err
	}
	name = sheetName(name)
	if w.count == 0 {
		if err := w.book.SetSheetName("Sheet1", name); err != nil {
			return fmt.Errorf("sheet: begin sheet %q: %w", name, err)
		}
	} else if _, err := w.book.NewSheet(name); err != nil {
		return fmt.Errorf("sheet: begin sheet %q: %w", name, err)
	}
	w.count++
	var err error
	if w.stream, err = w.book.NewStreamWriter(name); err != nil {
		return fmt.Errorf("sheet: begin sheet %q: %w", name, err)
	}
	w.sheet, w.row = name, 0
	return nil
}

// sheetName makes a text a name that sheets may have.
func sheetName(name string) string {
	name = strings.Trim(strings.Map(func(r rune) rune {
		if strings.ContainsRune(`:\/?*[]`, r) {
			return '_'
		}
		return r
	}, name), "'")
	if r := []rune(name); len(r) > 31 {
		name = string(r[:31])
	}
	if name == "" {
		return "Sheet"
	}
	return name
}

// Head writes the heads of the sheet's columns, as its first row.
func (w *Writer) Head(heads []Head) error {
	err := w.stream.SetPanes(&excelize.Panes{Freeze: true, YSplit: 1, TopLeftCell: "A2", ActivePane: "bottomLeft"})
	if err == nil {
		err = w.stream.SetColStyle(1, max(len(heads), 1), w.styles.text)
	}
	cells := make([]any, len(heads))
	for i, h := range heads {
		style := w.styles.head
		if h.Required {
			style = w.styles.required
		}
		cells[i] = excelize.Cell{Value: h.Title, StyleID: style}
		if err == nil {
			err = w.stream.SetColWidth(i+1, i+1, float64(min(max(2*len([]rune(h.Title)), 12), 40)))
		}
	}
	if err == nil {
		w.row = 1
		err = w.stream.SetRow("A1", cells)
	}
	for i, h := range heads {
		if err == nil && h.Note != "" {
			err = w.note(i, h.Note)
		}
		if err == nil && len(h.Options) > 0 {
			err = w.options(i, &h)
		}
	}
	if err != nil {
		return fmt.Errorf("sheet: heads of sheet %q: %w", w.sheet, err)
	}
	return nil
}

// note puts a note beside a cell of the row at hand.
func (w *Writer) note(column int, text string) error {
	return w.book.AddComment(w.sheet, excelize.Comment{
		Cell: Name(w.row, column), Author: "icewatch", Width: 260, Height: uint(min(60+len([]rune(text)), 240)),
		Paragraph: []excelize.RichTextRun{{Text: cut(text, 2_000)}},
	})
}

// options offers values for the cells below a head. They stand on a hidden
// sheet, since a list within a cell's rule holds 255 characters.
func (w *Writer) options(column int, h *Head) error {
	if w.lists == 0 {
		if _, err := w.book.NewSheet(listSheet); err != nil {
			return err
		}
		if err := w.book.SetSheetVisible(listSheet, false); err != nil {
			return err
		}
	}
	for i, o := range h.Options {
		if err := w.book.SetCellStr(listSheet, Name(i+1, w.lists), cut(o, maxCellText)); err != nil {
			return err
		}
	}
	list := Column(w.lists)
	w.lists++
	rule := excelize.NewDataValidation(true)
	rule.Sqref = fmt.Sprintf("%s:%s", Name(2, column), Name(optionRows, column))
	rule.SetSqrefDropList(fmt.Sprintf("%s!$%s$1:$%s$%d", listSheet, list, list, len(h.Options)))
	if h.Open {
		rule.ShowErrorMessage = false
	} else {
		rule.SetError(excelize.DataValidationErrorStyleWarning, cut(h.Title, 32), "want one of the list")
	}
	return w.book.AddDataValidation(w.sheet, rule)
}

// Row writes the next row as text, and marks some of its cells.
func (w *Writer) Row(cells []string, marks ...Mark) error { return w.RowAt(w.row+1, cells, marks...) }

// RowAt writes a row below the last one at its own place.
func (w *Writer) RowAt(row int, cells []string, marks ...Mark) error {
	if row <= w.row || row > excelize.TotalRows {
		return fmt.Errorf("sheet: row %d of sheet %q: want one behind row %d, up to %d", row, w.sheet, w.row, excelize.TotalRows)
	}
	w.row, w.cells = row, w.cells[:0]
	for _, c := range cells {
		var v any // an empty cell takes no room
		if c != "" {
			v = excelize.Cell{Value: cut(c, maxCellText), StyleID: w.styles.text}
		}
		w.cells = append(w.cells, v)
	}
	var notes []string // by column, so that the same marks make the same file
	for _, m := range marks {
		for len(w.cells) <= m.Column {
			w.cells = append(w.cells, nil)
		}
		for len(notes) <= m.Column {
			notes = append(notes, "")
		}
		value := ""
		if m.Column < len(cells) {
			value = cut(cells[m.Column], maxCellText)
		}
		w.cells[m.Column] = excelize.Cell{Value: value, StyleID: w.styles.bad}
		if had := notes[m.Column]; had != "" {
			m.Text = had + "\n" + m.Text
		}
		notes[m.Column] = m.Text
	}
	if err := w.stream.SetRow(Name(row, 0), w.cells); err != nil {
		return fmt.Errorf("sheet: row %d of sheet %q: %w", row, w.sheet, err)
	}
	for column, text := range notes {
		if text == "" {
			continue
		}
		if err := w.note(column, text); err != nil {
			return fmt.Errorf("sheet: note at %s of sheet %q: %w", Name(row, column), w.sheet, err)
		}
	}
	return nil
}

func (w *Writer) flush() error {
	if w.stream == nil {
		return nil
	}
	err := w.stream.Flush()
	w.stream = nil
	if err != nil {
		return fmt.Errorf("sheet: end sheet %q: %w", w.sheet, err)
	}
	return nil
}

// WriteTo ends the workbook and writes it.
func (w *Writer) WriteTo(out io.Writer) (int64, error) {
	if err := w.flush(); err != nil {
		return 0, err
	}
	n, err := w.book.WriteTo(out)
	if err != nil {
		return n, fmt.Errorf("sheet: write the workbook: %w", err)
	}
	return n, nil
}

// cut shortens a text to so many UTF-16 units, between two characters.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	n := 0
	for i, r := range text {
		if n += max(utf16.RuneLen(r), 1); n > limit {
			return text[:i]
		}
	}
	return text
}
