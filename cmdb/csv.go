package cmdb

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"

	"icewatch/soc/spreadsheet"
)

// csvTable reads a table with a header (RFC 4180; comma, tab or semicolon).
// Rows count as a spreadsheet does, whatever lines a cell has.
func csvTable(text []byte) table {
	return func(fn func(string, int, []string) error) error {
		r := csv.NewReader(bytes.NewReader(text))
		r.Comma = delimiter(text)
		r.FieldsPerRecord = -1
		r.ReuseRecord = true
		folded := 0 // line breaks inside cells so far
		for {
			record, err := r.Read()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return csvError(err, -folded)
			}
			line, _ := r.FieldPos(0)
			row := line - folded
			for i, cell := range record {
				folded += strings.Count(cell, "\n")
				record[i] = spreadsheet.Unguard(cell)
			}
			if blank(record) {
				continue
			}
			if err := fn("", row, record); err != nil {
				return err
			}
		}
	}
}

// csvError turns the reader's error into a row. With a positive row that is the
// row, else it corrects the reader's line.
func csvError(err error, row int) error {
	if pe, ok := errors.AsType[*csv.ParseError](err); ok {
		if row <= 0 {
			row += pe.StartLine
		}
		return RowError{Row: max(row, 1), Message: fmt.Sprintf("the row cannot be read: %v (column %d of line %d)", pe.Err, pe.Column, pe.Line)}
	}
	return fmt.Errorf("cmdb: read CSV: %w", err)
}

// delimiter guesses what separates the cells from the header line, which has no
// lists: a comma, or what spreadsheets write instead in some countries.
func delimiter(text []byte) rune {
	line, _, _ := bytes.Cut(text, []byte("\n"))
	switch {
	case bytes.IndexByte(line, ',') >= 0:
		return ','
	case bytes.IndexByte(line, '\t') >= 0:
		return '\t'
	case bytes.IndexByte(line, ';') >= 0:
		return ';'
	}
	return ','
}
