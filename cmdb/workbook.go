package cmdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/uptrace/bun"

	"icewatch/cmdb/model"
	"icewatch/cmdb/sheet"
	"icewatch/soc/reach"
)

// bookTable reads the sheets of a workbook.
func bookTable(b *sheet.Book) table {
	return func(fn func(string, int, []string) error) error {
		for _, name := range b.Sheets() {
			err := b.Rows(name, func(r sheet.Row) error {
				if blank(r.Cells) {
					return nil
				}
				return fn(name, r.Number, r.Cells)
			})
			if errors.Is(err, sheet.ErrFormat) {
				return RowError{Sheet: name, Message: err.Error()}
			}
			if err != nil {
				return tooLarge(err)
			}
		}
		return nil
	}
}

func tooLarge(err error) error {
	if errors.Is(err, sheet.ErrTooLarge) {
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	}
	return err
}

// exportXLSX writes a workbook with a sheet for each class.
func (s *Service) exportXLSX(ctx context.Context, tx bun.Tx, r reach.Reach, out io.Writer, f *Filter) error {
	// The heads must name every attribute, so the items are read twice.
	extra := map[string]map[string]bool{}
	err := s.each(ctx, tx, r, f, func(it *Item, _ reach.Kept) error {
		names := extra[it.Class]
		if names == nil {
			names = map[string]bool{}
			extra[it.Class] = names
		}
		for k := range it.Attributes {
			names[k] = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	w, err := sheet.NewWriter(s.db.spool)
	if err != nil {
		return fmt.Errorf("cmdb: export: %w", err)
	}
	defer w.Close()
	class := ""
	var columns []string
	err = s.each(ctx, tx, r, f, func(it *Item, _ reach.Kept) error {
		if it.Class != class {
			class = it.Class
			columns = slices.Clone(tableColumns)
			for _, a := range slices.Sorted(maps.Keys(extra[class])) {
				columns = append(columns, attrPrefix+a)
			}
			heads := make([]sheet.Head, len(columns))
			for i, c := range columns {
				heads[i].Title = c
			}
			if err := w.Begin(class); err != nil {
				return err
			}
			if err := w.Head(heads); err != nil {
				return err
			}
		}
		return w.Row(record(it, columns))
	})
	if err == nil && class == "" {
		err = emptyBook(w)
	}
	if err == nil {
		_, err = w.WriteTo(out)
	}
	if err != nil {
		return fmt.Errorf("cmdb: export: %w", err)
	}
	return nil
}

// emptyBook writes what an export without items is.
func emptyBook(w *sheet.Writer) error {
	if err := w.Begin("items"); err != nil {
		return err
	}
	heads := make([]sheet.Head, len(tableColumns))
	for i, c := range tableColumns {
		heads[i].Title = c
	}
	return w.Head(heads)
}

// columnTitles are the heads of a template, which headOf understands.
var columnTitles = map[string][2]string{ // zh, en
	colID: {"编号", "id"}, colName: {"名称", "name"}, colTenant: {"租户", "tenant"}, colZone: {"网络区域", "zone"},
	colAddresses: {"IP地址", "addresses"}, colHostnames: {"主机名", "hostnames"}, colCriticality: {"重要性", "criticality"},
	colOwner: {"负责人", "owner"}, colLabels: {"标签", "labels"}, colSystem: {"业务系统", "system"}, colOrganisation: {"组织机构", "organisation"},
}

// columnNotes say what a column takes.
var columnNotes = map[string][2]string{
	colID:           {"可留空：系统自动生成", "May be left empty: the suite makes one"},
	colName:         {"同一类别、同一租户内唯一", "Unique within class and tenant"},
	colTenant:       {"租户标识；留空则取业务系统的租户，无业务系统则全市共享", "Slug; empty takes that of the system, else the item is shared by the whole city"},
	colZone:         {"留空为 default；资产由（网络区域，地址）确定", "Empty is default; an asset is (zone, address)"},
	colAddresses:    {"多个值用分号分隔", "Several are separated by semicolons"},
	colHostnames:    {"日志中出现的主机名，多个值用分号分隔", "As they stand in logs; several are separated by semicolons"},
	colCriticality:  {"1（最低）至 5（最高）；留空取业务系统的值，否则为 3", "1 (least) to 5 (most); empty takes the system's, else 3"},
	colLabels:       {"多个值用分号分隔", "Several are separated by semicolons"},
	colSystem:       {"业务系统的名称或编号", "Name or id of a business system"},
	colOrganisation: {"组织机构的名称或编号", "Name or id of an organisation"},
}

// typeNotes say what values of a type look like.
var typeNotes = map[model.Type][2]string{
	model.Integer: {"整数", "A whole number"}, model.Decimal: {"数字", "A number"}, model.Date: {"日期：2026-01-31", "A date: 2026-01-31"},
	model.Boolean: {"是或否", "yes or no"}, model.IP: {"IP 地址或网段", "An IP address or a range"}, model.Reference: {"配置项的名称或编号", "Name or id of an item"},
	model.Table: {"JSON 对象数组", "A JSON array of objects"}, model.Enum: {"从列表中选择", "Choose from the list"},
}

// Template writes an empty workbook for items of some classes: one sheet each,
// with heads in a language, "zh" or "en", the required ones marked, and lists
// to choose standard values from. Import understands it.
func (s *Service) Template(w io.Writer, language string, classes ...string) error {
	m := s.Model()
	at := 1
	if language == "zh" {
		at = 0
	}
	book, err := sheet.NewWriter(s.db.spool)
	if err != nil {
		return fmt.Errorf("cmdb: template: %w", err)
	}
	defer book.Close()
	if len(classes) == 0 {
		classes = m.Concrete()
	}
	for _, name := range classes {
		c := m.Class(name)
		if c == nil || c.Abstract {
			return fmt.Errorf("%w: there are no items of class %q: want one of %s", ErrInvalid, name, classNames(m))
		}
		if err := book.Begin(c.Name); err != nil {
			return fmt.Errorf("cmdb: template: %w", err)
		}
		if err := book.Head(s.heads(m, c, at)); err != nil {
			return fmt.Errorf("cmdb: template: %w", err)
		}
	}
	if _, err := book.WriteTo(w); err != nil {
		return fmt.Errorf("cmdb: template: %w", err)
	}
	return nil
}

// heads are those of a class, in the language at 0 (Chinese) or 1.
func (s *Service) heads(m *model.Model, c *Class, at int) []sheet.Head {
	var heads []sheet.Head
	// A sheet's name holds 31 characters: a longer class is named in each row.
	if len(c.Name) > 31 {
		heads = append(heads, sheet.Head{Title: colClass, Required: true, Options: []string{c.Name}})
	}
	for _, column := range tableColumns {
		switch {
		case column == colClass,
			column == colHostnames && !c.Hostnames,
			column == colSystem && !c.System,
			(column == colZone || column == colAddresses) && c.Addresses == model.NoAddresses:
			continue
		}
		h := sheet.Head{Title: columnTitles[column][at], Note: columnNotes[column][at], Required: column == colName || slices.Contains(c.Key, column)}
		switch column {
		case colCriticality:
			h.Options = []string{"1", "2", "3", "4", "5"}
		case colTenant:
			for _, t := range s.tenants.List() {
				if !t.BuiltIn {
					h.Options = append(h.Options, t.Slug)
				}
			}
		}
		heads = append(heads, h)
	}
	for i := range c.Attributes {
		heads = append(heads, attributeHead(m, c, &c.Attributes[i], at))
	}
	for i := range heads {
		if heads[i].Required {
			heads[i].Title += " " + requiredMark
		}
	}
	return heads
}

func attributeHead(m *model.Model, c *Class, a *Attribute, at int) sheet.Head {
	title := a.Title.EN
	if at == 0 {
		title = a.Title.ZH
	}
	// A title that could mean something else is no head.
	if column, err := headOf(title, c); err != nil || column != attrPrefix+a.Name {
		title = attrPrefix + a.Name
	}
	h := sheet.Head{Title: title, Required: a.Required && a.Default == "" || slices.Contains(c.Key, a.Name), Note: typeNotes[a.Type][at], Open: a.Open}
	if a.Multiple {
		h.Open = true
		h.Note = strings.TrimSpace(h.Note + "\n" + columnNotes[colLabels][at])
	}
	switch a.Type {
	case model.Enum:
		h.Options = slices.Clone(a.Values)
		if d := m.Dictionary(a.Dictionary); d != nil {
			h.Options = h.Options[:0]
			for _, v := range d.Values {
				h.Options = append(h.Options, valueTitle(d, v, at))
			}
		}
	case model.Boolean:
		h.Options = [][]string{{"是", "否"}, {"yes", "no"}}[at]
	}
	return h
}

// valueTitle is what stands for a standard value in a list: its name, where
// that is of this value alone.
func valueTitle(d *model.Dictionary, v model.Value, at int) string {
	title := v.EN
	if at == 0 {
		title = v.ZH
	}
	for _, o := range d.Values {
		if title == "" || o.Value != v.Value && (o.Value == title || o.ZH == title || o.EN == title) {
			return v.Value
		}
	}
	return title
}

// Marked writes a file that cannot be imported as it is as a workbook: the same
// rows in the same places, with each wrong cell coloured and its mistake beside
// it. report is the one that Import gave on the file.
func (s *Service) Marked(format Format, data []byte, report Report, w io.Writer) error {
	unreadable := func(err error) error {
		if e, ok := errors.AsType[RowError](err); ok {
			return fmt.Errorf("%w: %w", ErrInvalid, e)
		}
		return err
	}
	t, err := openTable(format, data)
	if err != nil {
		return unreadable(err)
	}
	type at struct {
		sheet string
		row   int
	}
	marks := map[at][]sheet.Mark{}
	for _, e := range report.Errors {
		mark := sheet.Mark{Text: e.Message}
		if e.Cell != "" {
			mark.Column = sheet.ColumnOf(e.Cell)
		} else if e.Column != "" {
			mark.Text = e.Column + ": " + e.Message
		}
		k := at{e.Sheet, max(e.Row, 1)}
		marks[k] = append(marks[k], mark)
	}
	book, err := sheet.NewWriter(s.db.spool)
	if err != nil {
		return fmt.Errorf("cmdb: mark the file: %w", err)
	}
	defer book.Close()
	now, begun := "", false
	err = t(func(name string, row int, cells []string) error {
		if !begun || name != now {
			begun, now = true, name
			if err := book.Begin(name); err != nil {
				return err
			}
		}
		return book.RowAt(row, cells, marks[at{name, row}]...)
	})
	if err := unreadable(err); errors.Is(err, ErrInvalid) {
		return err
	}
	if err == nil && !begun {
		err = emptyBook(book)
	}
	if err == nil {
		_, err = book.WriteTo(w)
	}
	if err != nil {
		return fmt.Errorf("cmdb: mark the file: %w", err)
	}
	return nil
}
