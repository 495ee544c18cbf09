package api

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"
	"github.com/xuri/excelize/v2"

	"icewatch/soc/spreadsheet"
)

// TableInput asks for a table as a file.
type TableInput struct {
	Format string `query:"format" enum:"csv,xlsx" default:"csv"`
}

// tableAnswer is a table as a file: CSV in UTF-8 with a byte order mark, which
// spreadsheets need to read Chinese, or an Excel workbook. Numbers are numbers,
// and no text is a formula.
func tableAnswer(what, format string, header []string, rows [][]any) (*huma.StreamResponse, error) {
	var b bytes.Buffer
	kind := "text/csv; charset=utf-8"
	if format == "xlsx" {
		kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
		if err := writeWorkbook(&b, header, rows); err != nil {
			return nil, fmt.Errorf("api: write the workbook of %s: %w", what, err)
		}
	} else {
		b.WriteString("\ufeff")
		w := csv.NewWriter(&b)
		_ = w.Write(header) // a buffer takes everything
		for _, r := range rows {
			cells := make([]string, len(r))
			for i, v := range r {
				if cells[i] = fmt.Sprint(v); !isNumber(v) {
					cells[i] = spreadsheet.Guard(cells[i])
				}
			}
			_ = w.Write(cells)
		}
		w.Flush()
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		hc.SetHeader("Content-Type", kind)
		hc.SetHeader("Content-Disposition", fmt.Sprintf(exportPattern, what, time.Now().UTC().Format("20060102T150405Z"), format))
		humafiber.Unwrap(hc).Response().SetBodyRaw(b.Bytes())
	}}, nil
}

func isNumber(v any) bool {
	switch v.(type) {
	case int, int64, float64:
		return true
	}
	return false
}

func writeWorkbook(b *bytes.Buffer, header []string, rows [][]any) error {
	f := excelize.NewFile()
	defer f.Close()
	w, err := f.NewStreamWriter("Sheet1")
	if err != nil {
		return err
	}
	first := make([]any, len(header))
	for i, h := range header {
		first[i] = h
	}
	for i, r := range append([][]any{first}, rows...) {
		if err := w.SetRow(fmt.Sprintf("A%d", i+1), r); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Write(b)
}
