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

// csvColumns is the order of columns in an export.
var csvColumns = []string{
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

// parseCSV reads a table with a header (RFC 4180; comma, tab or semicolon).
// class is that of rows that name none. A RowError as error means that the
// table cannot be read beyond that place.
func parseCSV(text []byte, class string) ([]*draft, errorList, error) {
	var mistakes errorList
	r := csv.NewReader(bytes.NewReader(text))
	r.Comma = delimiter(text)
	r.FieldsPerRecord = -1
	r.ReuseRecord = true

	header, err := r.Read()
	if errors.Is(err, io.EOF) {
		return nil, mistakes, RowError{Message: "the file is empty: want a header such as class,name,tenant,zone,addresses"}
	}
	if err != nil {
		return nil, mistakes, csvError(err, 1)
	}
	columns := make([]string, len(header))
	given := map[string]bool{}
	for i, h := range header {
		c, ok := columnOf(h)
		switch {
		case strings.TrimSpace(h) == "":
			continue // an empty column of a spreadsheet; its cells must be empty too
		case !ok:
			mistakes.add(1, h, "unknown column: want %s, or attr.NAME for an attribute", strings.Join(csvColumns, ", "))
		case given[c]:
			mistakes.add(1, h, "the column is there twice")
		}
		columns[i] = c
		given[c] = true
	}
	if mistakes.total == 0 && !given[colName] && !given[colID] {
		mistakes.add(1, colName, "the column is missing")
	}
	if mistakes.total > 0 {
		return nil, mistakes, nil
	}

	var drafts []*draft
	folded := strings.Count(strings.Join(header, ""), "\n") // line breaks inside cells so far
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return drafts, mistakes, nil
		}
		if err != nil {
			return nil, mistakes, csvError(err, -folded)
		}
		line, _ := r.FieldPos(0)
		row := line - folded
		blank := true
		for _, cell := range record {
			folded += strings.Count(cell, "\n")
			blank = blank && strings.TrimSpace(cell) == ""
		}
		if blank {
			continue
		}
		if len(drafts) == maxRows {
			return nil, mistakes, fmt.Errorf("%w: more than %d rows", ErrTooLarge, maxRows)
		}
		d := &draft{row: row, given: given}
		d.want.Class = class
		for i, column := range columns {
			cell := ""
			if i < len(record) {
				cell = spreadsheet.Unguard(record[i])
			}
			switch {
			case column == "":
				if strings.TrimSpace(cell) != "" {
					d.bad = true
					mistakes.add(row, "", "the cell %q is in column %d, which has no name", cell, i+1)
				}
			case strings.HasPrefix(column, attrPrefix):
				if d.attrs == nil {
					d.attrs = map[string]string{}
				}
				d.attrs[column[len(attrPrefix):]] = cell
			default:
				if err := d.set(column, cell); err != nil {
					d.bad = true
					mistakes.add(row, column, "%v", err)
				}
			}
		}
		for i := len(columns); i < len(record); i++ {
			if strings.TrimSpace(record[i]) != "" {
				d.bad = true
				mistakes.add(row, "", "the row has %d cells, the header %d: quote a cell that contains the separator", len(record), len(columns))
				break
			}
		}
		drafts = append(drafts, d)
	}
}

// columnOf returns the column a header cell names.
func columnOf(h string) (string, bool) {
	h = strings.TrimSpace(h)
	lower := strings.ToLower(h)
	if strings.HasPrefix(lower, attrPrefix) && attributePattern.MatchString(h[len(attrPrefix):]) {
		return attrPrefix + h[len(attrPrefix):], true
	}
	for _, c := range csvColumns {
		if c == lower {
			return c, true
		}
	}
	c, ok := headerNames[lower]
	return c, ok
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

// csvRecord is the row of an item.
func csvRecord(it *Item, attributes []string) []string {
	cells := []string{
		it.ID, it.Class, it.Name, it.Tenant, it.Zone, joinList(it.Addresses), joinList(it.Hostnames),
		fmt.Sprint(it.Criticality), it.Owner, joinList(it.Labels), it.System, it.Organisation,
	}
	for _, a := range attributes {
		cells = append(cells, it.Attributes[a])
	}
	return spreadsheet.Row(cells)
}
