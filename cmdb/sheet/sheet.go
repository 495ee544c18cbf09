// Package sheet reads and writes spreadsheets (XLSX, ISO/IEC 29500) as sheets
// of rows of text. It reads what people typed, not what their spreadsheet made
// of it on the screen: numbers keep all their digits, dates are 2006-01-02,
// formulas are their last result. What it writes is text only, so that no cell
// is run as a formula and none loses its leading zeros.
package sheet

import (
	"errors"
	"fmt"
	"strconv"
)

// Bounds of a workbook that is read. They keep a small file from becoming a
// large one in memory.
const (
	MaxInflated = 256 << 20 // bytes of all parts together, unpacked
	MaxParts    = 2_000     // files within the file
	MaxSheets   = 200       // sheets
	MaxColumns  = 1_024     // cells of one row
	MaxCells    = 5_000_000 // cells that hold something, of one sheet
)

// maxCellText is how many UTF-16 units one cell holds, by the format.
const maxCellText = 32_767

var (
	// ErrFormat says that a file is no workbook, or a damaged one.
	ErrFormat = errors.New("sheet: not a readable XLSX workbook")
	// ErrTooLarge says that a workbook is beyond the bounds of this package.
	ErrTooLarge = errors.New("sheet: workbook too large")
)

// Row is one row of a sheet that holds something.
type Row struct {
	Number int      // as the spreadsheet shows it, from 1
	Cells  []string // from column A on; valid until the next row
}

// Name is the name of a cell, such as C7. row counts from 1, column from 0.
func Name(row, column int) string { return Column(column) + strconv.Itoa(row) }

// Column is the name of a column, such as C for 2.
func Column(column int) string {
	var name string
	for n := column + 1; n > 0; n = (n - 1) / 26 {
		name = string(rune('A'+(n-1)%26)) + name
	}
	return name
}

// ColumnOf is the column of a cell by its name, from 0; 0 where it is no name.
func ColumnOf(cell string) int {
	_, column, _ := place(cell)
	return column
}

// place reads a cell's name. Both count from 0; a name without a row, or one
// beyond the format, is not ok.
func place(name string) (row, column int, ok bool) {
	i := 0
	for ; i < len(name) && name[i] >= 'A' && name[i] <= 'Z'; i++ {
		if column = column*26 + int(name[i]-'A') + 1; column > 16_384 {
			return 0, 0, false
		}
	}
	n, err := strconv.Atoi(name[i:])
	if i == 0 || err != nil || n < 1 || n > 1_048_576 {
		return 0, 0, false
	}
	return n - 1, column - 1, true
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrFormat, fmt.Sprintf(format, args...))
}
