package cmdb

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"icewatch/cmdb/model"
	"icewatch/cmdb/sheet"
)

// tableColumns is the order of columns in an export.
var tableColumns = []string{
	colID, colClass, colName, colTenant, colZone, colAddresses, colHostnames, colCriticality,
	colOwner, colLabels, colSystem, colOrganisation,
}

// headerNames maps what a header may say to the column: its own name and what
// a Chinese ledger calls it.
var headerNames = map[string]string{
	"编号": colID, "标识": colID, "类别": colClass, "类型": colClass, "名称": colName, "租户": colTenant,
	"网络区域": colZone, "区域": colZone, "地址": colAddresses, "ip": colAddresses, "ip地址": colAddresses, "address": colAddresses,
	"主机名": colHostnames, "hostname": colHostnames, "重要性": colCriticality, "重要程度": colCriticality,
	"负责人": colOwner, "责任人": colOwner, "标签": colLabels, "业务系统": colSystem, "所属系统": colSystem,
	"组织": colOrganisation, "组织机构": colOrganisation, "单位": colOrganisation, "organization": colOrganisation,
}

// requiredMark stands behind the head of a column that no new item may leave
// empty.
const requiredMark = "*"

// table calls fn for each row that holds something: the name of its sheet, ""
// where the file has no sheets, and its number there, from 1. The cells are
// valid until the next row. An error of fn ends it and is returned; a RowError
// means that the file cannot be read beyond that place.
type table func(fn func(sheet string, row int, cells []string) error) error

// tableParser turns rows under a header into drafts.
type tableParser struct {
	model    *model.Model
	class    string // of rows that name none
	drafts   []*draft
	mistakes errorList

	sheet   string
	begun   bool
	broken  bool // the sheet's header is no good: its rows are not read
	of      string
	columns []string
	given   map[string]bool
	layouts map[string]map[string]int // by sheet, where the columns are
}

// parseTable reads a table. The first row of each sheet is its header. A sheet
// that is named like a class holds items of it.
func parseTable(t table, m *model.Model, class string) (*tableParser, error) {
	p := &tableParser{model: m, class: class, layouts: map[string]map[string]int{}}
	err := t(func(sheet string, row int, cells []string) error {
		if !p.begun || sheet != p.sheet {
			p.begun, p.sheet = true, sheet
			p.header(row, cells)
			return nil
		}
		if p.broken {
			return nil
		}
		if len(p.drafts) == maxRows {
			return fmt.Errorf("%w: more than %d rows", ErrTooLarge, maxRows)
		}
		p.row(row, cells)
		return nil
	})
	if err == nil && !p.begun {
		err = RowError{Message: "the file is empty: want a header such as class,name,tenant,zone,addresses"}
	}
	return p, err
}

// classOf is the class whose name or title a text is, or nil.
func classOf(m *model.Model, text string) *Class {
	text = strings.TrimSpace(text)
	if c := m.Class(strings.ToLower(text)); c != nil {
		return c
	}
	for _, name := range m.Concrete() {
		if c := m.Class(name); strings.EqualFold(c.Title.ZH, text) || strings.EqualFold(c.Title.EN, text) {
			return c
		}
	}
	return nil
}

// header learns what the columns of a sheet are.
func (p *tableParser) header(row int, cells []string) {
	p.mistakes.sheet = p.sheet
	p.of = p.class
	if c := classOf(p.model, p.sheet); c != nil && p.sheet != "" && !c.Abstract {
		p.of = c.Name
	}
	before := p.mistakes.total
	p.columns, p.given = make([]string, len(cells)), map[string]bool{}
	layout := map[string]int{}
	for i, h := range cells {
		if strings.TrimSpace(h) == "" {
			continue // an empty column of a spreadsheet; its cells must be empty too
		}
		c, err := headOf(h, p.model.Class(p.of))
		switch {
		case err != nil:
			p.mistakes.add(row, h, "%v", err)
		case p.given[c]:
			p.mistakes.add(row, h, "the column is there twice")
		}
		p.columns[i], p.given[c], layout[c] = c, true, i
		layout[h] = i // mistakes of the header name the head as it is written
	}
	p.layouts[p.sheet] = layout
	if p.mistakes.total == before && !p.given[colName] && !p.given[colID] {
		p.mistakes.add(row, colName, "the column is missing")
	}
	p.broken = p.mistakes.total > before
}

// headOf returns the column a head names. Attributes of a known class go by
// their titles too.
func headOf(head string, class *Class) (string, error) {
	head = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(head), requiredMark))
	if c, ok := columnOf(head); ok {
		return c, nil
	}
	var found []string
	if class != nil {
		for i := range class.Attributes {
			if a := &class.Attributes[i]; strings.EqualFold(a.Title.ZH, head) || strings.EqualFold(a.Title.EN, head) || a.Name == head {
				found = append(found, attrPrefix+a.Name)
			}
		}
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("unknown column: want %s, or attr.NAME for an attribute", strings.Join(tableColumns, ", "))
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("it may be any of %s: write one of these", strings.Join(found, ", "))
}

// columnOf returns the column a head names, whatever the class.
func columnOf(h string) (string, bool) {
	h = strings.TrimSpace(h)
	lower := strings.ToLower(h)
	if strings.HasPrefix(lower, attrPrefix) && attributePattern.MatchString(h[len(attrPrefix):]) {
		return attrPrefix + h[len(attrPrefix):], true
	}
	if slices.Contains(tableColumns, lower) {
		return lower, true
	}
	c, ok := headerNames[lower]
	return c, ok
}

// row reads one item.
func (p *tableParser) row(row int, cells []string) {
	d := &draft{sheet: p.sheet, row: row, given: p.given}
	d.want.Class = p.of
	p.drafts = append(p.drafts, d)
	wrong := func(column, format string, args ...any) {
		d.bad = true
		p.mistakes.add(row, column, format, args...)
	}
	for i, column := range p.columns {
		cell := ""
		if i < len(cells) {
			cell = cells[i]
		}
		switch {
		case column == "":
			if strings.TrimSpace(cell) != "" {
				wrong("", "the cell %q is in column %d, which has no name", cell, i+1)
			}
		case p.sheet != "" && isCellError(cell):
			wrong(column, "the spreadsheet has the error %s in place of a value", cell)
		case strings.HasPrefix(column, attrPrefix):
			if d.attrs == nil {
				d.attrs = map[string]string{}
			}
			d.attrs[column[len(attrPrefix):]] = cell
		default:
			if err := d.set(column, cell); err != nil {
				wrong(column, "%v", err)
			}
		}
	}
	for i := len(p.columns); i < len(cells); i++ {
		if strings.TrimSpace(cells[i]) != "" {
			hint := "quote a cell that contains the separator"
			if p.sheet != "" {
				hint = "give each column a head"
			}
			wrong("", "the row has %d cells, the header %d: %s", len(cells), len(p.columns), hint)
			break
		}
	}
}

// cellErrors are what a spreadsheet shows in place of a value that it could not
// compute.
var cellErrors = []string{"#NULL!", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#N/A", "#GETTING_DATA", "#SPILL!", "#CALC!"}

func isCellError(cell string) bool {
	return cell != "" && cell[0] == '#' && slices.Contains(cellErrors, cell)
}

func blank(cells []string) bool {
	return !slices.ContainsFunc(cells, func(c string) bool { return strings.TrimSpace(c) != "" })
}

// errFound ends a reading that has all it needs.
var errFound = errors.New("cmdb: found")

// maxToldValue is how many characters of a wrong cell a mistake repeats.
const maxToldValue = 200

// locate says of each mistake which cell it is in and what stands there.
func locate(list []RowError, t table, layouts map[string]map[string]int) {
	for i := range list {
		e := &list[i]
		if column, ok := layouts[e.Sheet][e.Column]; ok && e.Row > 0 && e.Column != "" {
			e.Cell = sheet.Name(e.Row, column)
		}
	}
	slices.SortStableFunc(list, func(a, b RowError) int {
		if a.Sheet != b.Sheet || a.Row != b.Row || a.Cell == "" || b.Cell == "" {
			return 0
		}
		return sheet.ColumnOf(a.Cell) - sheet.ColumnOf(b.Cell)
	})
	type at struct {
		sheet string
		row   int
	}
	rows := map[at][]*RowError{}
	for i := range list {
		if e := &list[i]; e.Cell != "" {
			rows[at{e.Sheet, e.Row}] = append(rows[at{e.Sheet, e.Row}], e)
		}
	}
	// What could not be read is a mistake already.
	_ = t(func(sheet string, row int, cells []string) error {
		for _, e := range rows[at{sheet, row}] {
			if column := layouts[e.Sheet][e.Column]; column < len(cells) {
				e.Value = cutText(cells[column], maxToldValue)
			}
		}
		if delete(rows, at{sheet, row}); len(rows) == 0 {
			return errFound
		}
		return nil
	})
}

// record is the row of an item in a table with these columns.
func record(it *Item, columns []string) []string {
	cells := make([]string, len(columns))
	for i, c := range columns {
		cells[i] = it.cell(c)
	}
	return cells
}

// cell is what a table holds of an item in one column.
func (it *Item) cell(column string) string {
	switch column {
	case colID:
		return it.ID
	case colClass:
		return it.Class
	case colName:
		return it.Name
	case colTenant:
		return it.Tenant
	case colZone:
		return it.Zone
	case colAddresses:
		return joinList(it.Addresses)
	case colHostnames:
		return joinList(it.Hostnames)
	case colCriticality:
		return fmt.Sprint(it.Criticality)
	case colOwner:
		return it.Owner
	case colLabels:
		return joinList(it.Labels)
	case colSystem:
		return it.System
	case colOrganisation:
		return it.Organisation
	}
	return it.Attributes[strings.TrimPrefix(column, attrPrefix)]
}
