package export

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"unicode/utf8"

	"github.com/valyala/fastjson"
	"github.com/xuri/excelize/v2"

	"icewatch/soc/event"
	"icewatch/soc/spreadsheet"
)

const (
	sheetRows = 1_048_576 // of one sheet, the header included
	cellChars = 32_767    // of one cell of a workbook, in UTF-16 units
)

// sink is a file of one format. Rows come as their fields' texts in the order
// of the columns; ok says whether the row has the field.
type sink interface {
	row(values []string, has []bool) error
	// close writes what is left and makes the file whole.
	close() error
}

// output turns rows into a file. Where the columns are not known before, rows
// are first put aside as NDJSON, and become the file once all are there.
type output struct {
	dir    string
	format string
	bom    bool
	fields []string // columns; nil while they are not known
	most   int64    // bytes
	file   *counted
	sink   sink
	at     map[string]int // column by name

	values  []string
	has     []bool
	raw     bool // rows are written as they come
	aside   *bufio.Writer
	asideAt *counted
	seen    map[string]bool
	order   []string
	missed  int64 // values of fields that are no columns
	cut     int64 // cells cut
	size    int64
	sheets  int
	chosen  bool // a field that is no column is left out on purpose
}

// counted is a file that is bounded and knows its size.
type counted struct {
	f    *os.File
	n    int64
	most int64
}

func (c *counted) Write(b []byte) (int, error) {
	if c.n+int64(len(b)) > c.most {
		return 0, reason{text: fmt.Sprintf("the file would be larger than %d MiB: narrow the time or the query, or choose fewer fields", c.most/mib)}
	}
	n, err := c.f.Write(b)
	c.n += int64(n)
	return n, err
}

func create(path string, most int64) (*counted, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("export: make a file: %w", err)
	}
	return &counted{f: f, most: most}, nil
}

func newOutput(dir string, r *row, fields []string, most int64) (*output, error) {
	o := &output{dir: dir, format: r.Format, bom: r.BOM, most: most, chosen: len(decode(r.Fields)) > 0}
	switch {
	case len(fields) > 0:
		return o, o.open(fields)
	case r.Format == CSV, r.Format == XLSX:
		var err error
		if o.asideAt, err = create(filepath.Join(dir, "aside"), most); err != nil {
			return nil, err
		}
		o.aside, o.seen = bufio.NewWriterSize(o.asideAt, 256<<10), map[string]bool{}
		return o, nil
	}
	o.raw = true
	return o, o.open(nil)
}

// open begins the file with these columns.
func (o *output) open(fields []string) (err error) {
	o.fields = fields
	o.at = make(map[string]int, len(fields))
	for i, f := range fields {
		o.at[f] = i
	}
	o.values, o.has = make([]string, len(fields)), make([]bool, len(fields))
	if o.file, err = create(filepath.Join(o.dir, "file"), o.most); err != nil {
		return err
	}
	switch o.format {
	case CSV:
		o.sink, err = newCSV(o.file, o.bom, fields)
	case XLSX:
		o.sheets = 1
		o.sink, err = newWorkbook(o, fields)
	default:
		o.sink = &jsonSink{w: bufio.NewWriterSize(o.file, 256<<10), fields: fields, array: o.format == JSON}
	}
	return err
}

// written is how many bytes are on the disk so far.
func (o *output) written() int64 {
	var n int64
	for _, c := range []*counted{o.file, o.asideAt} {
		if c != nil {
			n += c.n
		}
	}
	return n
}

// add takes one row; raw is its text.
func (o *output) add(object *fastjson.Object, raw []byte) error {
	switch {
	case o.raw:
		return o.sink.(*jsonSink).whole(raw)
	case o.aside != nil:
		object.Visit(func(key []byte, _ *fastjson.Value) {
			if !o.seen[string(key)] {
				o.seen[string(key)] = true
				o.order = append(o.order, string(key))
			}
		})
		if _, err := o.aside.Write(raw); err != nil {
			return err
		}
		return o.aside.WriteByte('\n')
	}
	for i := range o.values {
		o.values[i], o.has[i] = "", false
	}
	object.Visit(func(key []byte, v *fastjson.Value) {
		i, ok := o.at[string(key)]
		if !ok {
			o.missed++
			return
		}
		o.has[i] = true
		if text, err := v.StringBytes(); err == nil {
			o.values[i] = string(text)
		} else {
			o.values[i] = v.String()
		}
	})
	return o.sink.row(o.values, o.has)
}

// finish makes the file whole and durable and returns where it is.
func (o *output) finish(ctx context.Context) (path string, notes []string, err error) {
	notes = []string{}
	if o.aside != nil {
		if err := o.settle(ctx, &notes); err != nil {
			return "", nil, err
		}
	}
	if err := o.sink.close(); err != nil {
		return "", nil, err
	}
	if err := o.file.f.Sync(); err != nil {
		return "", nil, fmt.Errorf("export: make the file durable: %w", err)
	}
	o.size = o.file.n
	path = o.file.f.Name()
	err = o.file.f.Close()
	o.file.f = nil
	if err != nil {
		return "", nil, fmt.Errorf("export: close the file: %w", err)
	}
	if o.missed > 0 && !o.chosen {
		notes = append(notes, fmt.Sprintf("%d values of fields that came while the export ran are left out", o.missed))
	}
	if o.cut > 0 {
		notes = append(notes, fmt.Sprintf("%d cells are cut at %d characters, the most that a workbook's cell holds; choose ndjson for the whole text", o.cut, cellChars))
	}
	return path, notes, nil
}

// settle makes the file of the rows that were put aside: now their columns are
// known.
func (o *output) settle(ctx context.Context, notes *[]string) error {
	if err := o.aside.Flush(); err != nil {
		return err
	}
	f := o.asideAt.f
	defer os.Remove(f.Name())
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("export: read the rows put aside: %w", err)
	}
	fields := o.order
	if o.seen["@timestamp"] { // events, not figures: those stay as the query made them
		fields = inOrder(slices.Clone(fields))
	}
	if len(fields) > maxFields {
		*notes = append(*notes, fmt.Sprintf("of %d fields the first %d are columns; choose fields for others", len(fields), maxFields))
		fields = fields[:maxFields]
	}
	o.aside, o.chosen = nil, true
	if err := o.open(fields); err != nil {
		return err
	}
	in := bufio.NewReaderSize(f, 256<<10)
	var parser fastjson.Parser
	var line []byte
	for n := 0; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		line = line[:0]
		var err error
		for {
			var part []byte
			part, err = in.ReadSlice('\n')
			line = append(line, part...)
			if !errors.Is(err, bufio.ErrBufferFull) {
				break
			}
		}
		if len(line) > 0 {
			doc, perr := parser.ParseBytes(bytes.TrimSuffix(line, []byte{'\n'}))
			if perr != nil {
				return fmt.Errorf("export: a row put aside: %w", perr)
			}
			object, perr := doc.Object()
			if perr != nil {
				return fmt.Errorf("export: a row put aside: %w", perr)
			}
			if err := o.add(object, nil); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("export: read the rows put aside: %w", err)
		}
	}
	err := f.Close()
	o.asideAt = nil
	return err
}

// abandon lets go of the files of an output that was not finished.
func (o *output) abandon() {
	for _, c := range []*counted{o.file, o.asideAt} {
		if c != nil && c.f != nil {
			_ = c.f.Close()
		}
	}
	if w, ok := o.sink.(*workbook); ok {
		_ = w.book.Close()
	}
}

// csvSink writes RFC 4180.
type csvSink struct{ w *csv.Writer }

func newCSV(out io.Writer, bom bool, fields []string) (*csvSink, error) {
	if bom {
		if _, err := io.WriteString(out, "\ufeff"); err != nil {
			return nil, err
		}
	}
	s := &csvSink{csv.NewWriter(bufio.NewWriterSize(out, 256<<10))}
	return s, s.w.Write(spreadsheet.Row(slices.Clone(fields)))
}

func (s *csvSink) row(values []string, _ []bool) error { return s.w.Write(spreadsheet.Row(values)) }

func (s *csvSink) close() error {
	s.w.Flush()
	return s.w.Error()
}

// jsonSink writes JSON objects, one a line, or as one array.
type jsonSink struct {
	w      *bufio.Writer
	fields []string
	array  bool
	began  bool
	buf    []byte
}

func (s *jsonSink) begin() error {
	lead := ""
	switch {
	case s.array && !s.began:
		lead = "[\n"
	case s.array:
		lead = ",\n"
	}
	s.began = true
	_, err := s.w.WriteString(lead)
	return err
}

// whole writes a row as it is.
func (s *jsonSink) whole(row []byte) error {
	if err := s.begin(); err != nil {
		return err
	}
	if _, err := s.w.Write(row); err != nil {
		return err
	}
	return s.after()
}

func (s *jsonSink) after() error {
	if s.array {
		return nil
	}
	return s.w.WriteByte('\n')
}

func (s *jsonSink) row(values []string, has []bool) error {
	if err := s.begin(); err != nil {
		return err
	}
	b := append(s.buf[:0], '{')
	for i, f := range s.fields {
		if !has[i] {
			continue
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = event.AppendJSON(b, f)
		b = append(b, ':')
		b = event.AppendJSON(b, values[i])
	}
	s.buf = append(b, '}')
	if _, err := s.w.Write(s.buf); err != nil {
		return err
	}
	return s.after()
}

func (s *jsonSink) close() error {
	if s.array {
		tail := "\n]\n"
		if !s.began {
			tail = "[]\n"
		}
		if _, err := s.w.WriteString(tail); err != nil {
			return err
		}
	}
	return s.w.Flush()
}

// workbook writes an Excel workbook, with a new sheet whenever one is full.
type workbook struct {
	o      *output
	book   *excelize.File
	sheet  *excelize.StreamWriter
	fields []string
	next   int // row to write, from 1
	full   int // rows of a sheet
	cells  []any
	bytes  int64
}

func newWorkbook(o *output, fields []string) (*workbook, error) {
	w := &workbook{o: o, fields: fields, full: sheetRows, book: excelize.NewFile(excelize.Options{TmpDir: o.dir}), cells: make([]any, len(fields))}
	return w, w.begin("Sheet1")
}

// begin begins a sheet with the header.
func (w *workbook) begin(name string) (err error) {
	if w.sheet, err = w.book.NewStreamWriter(name); err != nil {
		return fmt.Errorf("export: begin a sheet: %w", err)
	}
	w.next = 1
	for i, f := range w.fields {
		w.cells[i] = f
	}
	if err := w.sheet.SetPanes(&excelize.Panes{Freeze: true, YSplit: 1, TopLeftCell: "A2", ActivePane: "bottomLeft"}); err != nil {
		return fmt.Errorf("export: begin a sheet: %w", err)
	}
	return w.write()
}

func (w *workbook) write() error {
	if err := w.sheet.SetRow(fmt.Sprintf("A%d", w.next), w.cells); err != nil {
		return fmt.Errorf("export: write row %d of a sheet: %w", w.next, err)
	}
	w.next++
	return nil
}

func (w *workbook) row(values []string, _ []bool) error {
	if w.next > w.full {
		if err := w.sheet.Flush(); err != nil {
			return fmt.Errorf("export: end a sheet: %w", err)
		}
		w.o.sheets++
		name := fmt.Sprintf("Sheet%d", w.o.sheets)
		if _, err := w.book.NewSheet(name); err != nil {
			return fmt.Errorf("export: begin a sheet: %w", err)
		}
		if err := w.begin(name); err != nil {
			return err
		}
	}
	for i, v := range values {
		// The cell's type is text, which no program runs as a formula.
		if cut, short := shorten(v); short {
			v = cut
			w.o.cut++
		}
		w.cells[i] = v
		w.bytes += int64(len(v)) + 16
	}
	if w.bytes > 8*w.o.most {
		return reason{text: fmt.Sprintf("the workbook would hold more than %d MiB of text: narrow the time or the query, or choose fewer fields", 8*w.o.most/mib)}
	}
	return w.write()
}

// shorten cuts a text to what a cell holds, between two characters.
func shorten(text string) (string, bool) {
	if len(text) <= cellChars {
		return text, false
	}
	units := 0
	for i, r := range text {
		n := 1
		if r > 0xffff {
			n = 2
		}
		if units+n > cellChars-1 {
			if utf8.RuneCountInString(text[i:]) == 1 && units+n <= cellChars {
				return text, false
			}
			return text[:i] + "…", true
		}
		units += n
	}
	return text, false
}

func (w *workbook) close() error {
	if err := w.sheet.Flush(); err != nil {
		return fmt.Errorf("export: end a sheet: %w", err)
	}
	out := bufio.NewWriterSize(w.o.file, 256<<10)
	if err := w.book.Write(out); err != nil {
		return fmt.Errorf("export: write the workbook: %w", err)
	}
	if err := out.Flush(); err != nil {
		return err
	}
	return w.book.Close()
}
