// Package spreadsheet keeps cells of CSV files harmless to the programs that
// open them: a text that a spreadsheet would run as a formula is marked on the
// way out, and the mark is taken off on the way in (OWASP, CSV injection).
package spreadsheet

import "strings"

// Guard puts an apostrophe before a text that starts like a formula, which
// spreadsheets take as "this is text".
func Guard(cell string) string {
	if looksLikeFormula(cell) {
		return "'" + cell
	}
	return cell
}

// Unguard takes off what Guard put on, and leaves every other text as it is.
func Unguard(cell string) string {
	if strings.HasPrefix(cell, "'") && looksLikeFormula(cell) {
		return cell[1:]
	}
	return cell
}

// looksLikeFormula also counts text that only apostrophes keep from being one,
// so that Guard and Unguard are each other's inverse.
func looksLikeFormula(cell string) bool {
	s := strings.TrimLeft(cell, "'")
	return s != "" && strings.IndexByte("=+-@\t\r", s[0]) >= 0
}

// Row guards each cell of a row, in place, and returns it.
func Row(cells []string) []string {
	for i := range cells {
		cells[i] = Guard(cells[i])
	}
	return cells
}
