package cmdb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"

	"icewatch/cmdb/sheet"
	"icewatch/soc/tenancy"
)

// Bounds of one file.
const (
	maxFile     = 64 << 20 // bytes
	maxRows     = 200_000
	maxFileText = 96 << 20 // bytes after conversion to UTF-8
)

// Import takes in a file, all or nothing: where one row has a mistake, nothing
// is changed and the report says what is wrong in which row. A row changes the
// item with its id, else the one with its class, tenant and name, else it makes
// a new one; a column or key that the file does not have stays as it is. Text
// may be UTF-8, UTF-16 with its mark, or GB18030 and so GBK and GB 2312.
//
// The error is about the file as a whole (ErrTooLarge, an unknown format) or
// about the suite; mistakes in rows are in the report and not an error.
func (s *Service) Import(ctx context.Context, format Format, r io.Reader, opts ImportOptions) (Report, error) {
	if opts.Class != "" && s.Model().Class(opts.Class) == nil {
		return Report{}, fmt.Errorf("%w: unknown class %q: want one of %s", ErrInvalid, opts.Class, classNames(s.Model()))
	}
	if slugs, all := opts.Within.TenantSlugs(); opts.Tenant == "" && !all && len(slugs) == 1 {
		opts.Tenant = slugs[0]
	}
	if opts.Tenant != "" {
		if _, ok := s.tenants.Get(opts.Tenant); !ok || opts.Tenant == tenancy.Unassigned || !opts.Within.CoversTenant(opts.Tenant) {
			return Report{}, fmt.Errorf("%w: unknown tenant %q", ErrInvalid, opts.Tenant)
		}
	}
	if !slices.Contains(Formats, format) {
		return Report{}, unknownFormat(format)
	}
	if opts.Source != "" && opts.proposing == nil {
		defer s.running.begin(&opts, s.now())()
	}
	opts.step(Step{Phase: "reading", Done: 5})
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return Report{}, fmt.Errorf("cmdb: read the file: %w", err)
	}
	if len(data) > maxFile {
		return Report{}, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, maxFile)
	}
	select {
	case s.importing <- struct{}{}:
		defer func() { <-s.importing }()
	case <-ctx.Done():
		return Report{}, fmt.Errorf("cmdb: wait for another import: %w", ctx.Err())
	}
	drafts, mistakes, place, err := s.parse(format, data, opts.Class)
	if err != nil {
		if row, ok := errors.AsType[RowError](err); ok {
			return rejected(opts, row), nil
		}
		return Report{}, err
	}
	report, err := s.change(ctx, drafts, mistakes, opts)
	if place != nil {
		place(report.Errors)
	}
	return report, err
}

// parse reads a file into drafts. place, where it is not nil, says of mistakes
// which cells they are in.
func (s *Service) parse(format Format, data []byte, class string) (drafts []*draft, mistakes errorList, place func([]RowError), err error) {
	if format == CSV || format == XLSX {
		t, err := openTable(format, data)
		if err != nil {
			return nil, mistakes, nil, err
		}
		p, err := parseTable(t, s.Model(), class)
		return p.drafts, p.mistakes, func(list []RowError) { locate(list, t, p.layouts) }, err
	}
	text, err := decodeText(data)
	if err != nil {
		return nil, mistakes, nil, RowError{Message: err.Error()}
	}
	switch format {
	case JSON:
		drafts, mistakes, err = parseJSON(text, class)
	case NDJSON:
		drafts, mistakes, err = parseNDJSON(text, class)
	default:
		drafts, mistakes, err = parseYAML(text, class)
	}
	return drafts, mistakes, nil, err
}

func unknownFormat(f Format) error {
	return fmt.Errorf("%w: unknown format %q: want one of %v", ErrInvalid, f, Formats)
}

// step tells the importer how far he is, where he wants to know.
func (o *ImportOptions) step(s Step) {
	if o.Step != nil {
		o.Step(s)
	}
}

// openTable reads a file that is a table. What is wrong with the file as a
// whole is a RowError.
func openTable(format Format, data []byte) (table, error) {
	switch format {
	case CSV:
		text, err := decodeText(data)
		if err != nil {
			return nil, RowError{Message: err.Error()}
		}
		return csvTable(text), nil
	case XLSX:
		b, err := sheet.Open(data)
		if errors.Is(err, sheet.ErrFormat) {
			return nil, RowError{Message: err.Error()}
		}
		if err != nil {
			return nil, tooLarge(err)
		}
		return bookTable(b), nil
	}
	return nil, fmt.Errorf("%w: the format %q has no cells: want %s or %s", ErrInvalid, format, XLSX, CSV)
}

// rejected is the report on a file that could not even be read as one.
func rejected(opts ImportOptions, e RowError) Report {
	return Report{DryRun: opts.DryRun, Errors: []RowError{e}, Rejected: 1}
}

// decodeText turns a file into UTF-8 without a byte order mark.
func decodeText(data []byte) ([]byte, error) {
	switch {
	case bytes.HasPrefix(data, []byte("PK\x03\x04")):
		return nil, errors.New("this is a ZIP file, perhaps a spreadsheet (XLSX): import it with the format xlsx")
	case bytes.HasPrefix(data, []byte{0xef, 0xbb, 0xbf}):
		data = data[3:]
	case bytes.HasPrefix(data, []byte{0xff, 0xfe}), bytes.HasPrefix(data, []byte{0xfe, 0xff}):
		text, err := unicode.UTF16(unicode.LittleEndian, unicode.ExpectBOM).NewDecoder().Bytes(data)
		if err != nil {
			return nil, fmt.Errorf("the file is marked as UTF-16, but is not: %w", err)
		}
		data = text
	}
	if len(data) > maxFileText {
		return nil, fmt.Errorf("the text is longer than %d bytes", maxFileText)
	}
	if utf8.Valid(data) {
		return data, nil
	}
	text, err := simplifiedchinese.GB18030.NewDecoder().Bytes(data)
	if err != nil || bytes.ContainsRune(text, utf8.RuneError) {
		return nil, errors.New("the text is neither UTF-8 nor GB18030 (GBK)")
	}
	if len(text) > maxFileText {
		return nil, fmt.Errorf("the text is longer than %d bytes", maxFileText)
	}
	return text, nil
}

// set gives one column of a draft a value as written in a cell. Lists are
// separated by ';'.
func (d *draft) set(column, cell string) error {
	w := &d.want
	switch column {
	case colID:
		w.ID = cell
	case colClass:
		if strings.TrimSpace(cell) != "" {
			w.Class = cell
		}
	case colName:
		w.Name = cell
	case colTenant:
		w.Tenant = cell
	case colZone:
		w.Zone = cell
	case colAddresses:
		w.Addresses = splitList(cell)
	case colHostnames:
		w.Hostnames = splitList(cell)
	case colLabels:
		w.Labels = splitList(cell)
	case colOwner:
		w.Owner = cell
	case colSystem:
		w.System = cell
	case colOrganisation:
		w.Organisation = cell
	case colCriticality:
		// An empty one leaves what is there: no item is without.
		if strings.TrimSpace(cell) == "" {
			return nil
		}
		n, err := checkCriticality(cell)
		if err != nil {
			return err
		}
		w.Criticality = n
	}
	return nil
}

// isListSeparator tells what separates the values of a list in one cell: the
// semicolon of either keyboard, or a line break inside a quoted cell.
func isListSeparator(r rune) bool { return r == ';' || r == '；' || r == '\n' || r == '\r' }

func splitList(cell string) []string { return strings.FieldsFunc(cell, isListSeparator) }
