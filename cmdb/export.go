package cmdb

import (
	"bufio"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/uptrace/bun"
	"go.yaml.in/yaml/v3"

	"icewatch/soc/reach"
	"icewatch/soc/spreadsheet"
)

// yamlDocument is how many items one YAML document holds. A long export is
// several documents, so that neither side needs all of it in memory.
const yamlDocument = 500

// Export writes the items in reach that a filter selects, as of one moment;
// the filter's Limit and Cursor do not count. Import takes the file back
// without a change.
//
// The file is made whole beside the database before the first byte of it is
// written to w: a slow reader must not keep a connection, and an error must
// not leave half a file that looks whole.
func (s *Service) Export(ctx context.Context, r reach.Reach, format Format, w io.Writer, f Filter) error {
	spool, err := os.CreateTemp(s.db.spool, "cmdb-export-*")
	if err != nil {
		return fmt.Errorf("cmdb: export: %w", err)
	}
	defer spool.Close()
	// It has no name from here on, so that nothing is left after a crash.
	if err := os.Remove(spool.Name()); err != nil {
		return fmt.Errorf("cmdb: export: %w", err)
	}
	if err := s.ready(ctx); err != nil {
		return err
	}
	buffered := bufio.NewWriter(spool)
	err = s.db.view(ctx, func(ctx context.Context, tx bun.Tx) error {
		switch format {
		case CSV:
			return s.exportCSV(ctx, tx, r, buffered, &f)
		case YAML:
			return s.exportYAML(ctx, tx, r, buffered, &f)
		case XLSX:
			return s.exportXLSX(ctx, tx, r, buffered, &f)
		case JSON, NDJSON:
			return s.exportJSON(ctx, tx, r, buffered, &f, format == JSON)
		}
		return unknownFormat(format)
	})
	if err != nil {
		return err
	}
	if err := buffered.Flush(); err != nil {
		return fmt.Errorf("cmdb: export: %w", err)
	}
	if _, err := spool.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("cmdb: export: %w", err)
	}
	if _, err := io.Copy(w, spool); err != nil {
		return fmt.Errorf("cmdb: export: send the file: %w", err)
	}
	return nil
}

func (s *Service) exportCSV(ctx context.Context, tx bun.Tx, r reach.Reach, w io.Writer, f *Filter) error {
	// The header must name every attribute, so the items are read twice.
	names := map[string]bool{}
	err := s.each(ctx, tx, r, f, func(it *Item, _ reach.Kept) error {
		for k := range it.Attributes {
			names[k] = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	header := slices.Clone(tableColumns)
	for _, a := range slices.Sorted(maps.Keys(names)) {
		header = append(header, attrPrefix+a)
	}
	out := csv.NewWriter(w)
	out.Write(header) // the writer keeps its first error for Flush
	err = s.each(ctx, tx, r, f, func(it *Item, _ reach.Kept) error { return out.Write(spreadsheet.Row(record(it, header))) })
	if err != nil {
		return fmt.Errorf("cmdb: export: %w", err)
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("cmdb: export: %w", err)
	}
	return nil
}

func (s *Service) exportYAML(ctx context.Context, tx bun.Tx, r reach.Reach, w io.Writer, f *Filter) error {
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	var doc struct {
		Items []fileItem `yaml:"items"`
	}
	written := false
	flush := func() error {
		written = true
		err := enc.Encode(doc)
		doc.Items = doc.Items[:0]
		return err
	}
	doc.Items = []fileItem{}
	err := s.eachFile(ctx, tx, r, f, func(it fileItem) error {
		if doc.Items = append(doc.Items, it); len(doc.Items) == yamlDocument {
			return flush()
		}
		return nil
	})
	if err == nil && (len(doc.Items) > 0 || !written) {
		err = flush()
	}
	if err == nil {
		err = enc.Close()
	}
	if err != nil {
		return fmt.Errorf("cmdb: export: %w", err)
	}
	return nil
}

// eachFile calls fn for every item of the filter, as a file has it.
func (s *Service) eachFile(ctx context.Context, tx bun.Tx, r reach.Reach, f *Filter, fn func(fileItem) error) error {
	return s.each(ctx, tx, r, f, func(it *Item, _ reach.Kept) error {
		c := s.Model().Class(it.Class)
		if c == nil {
			return fmt.Errorf("item %q is of class %q, which is not there any more", it.ID, it.Class)
		}
		// The item is reused by the page after it: the copy is what a
		// document points to.
		own := *it
		return fn(toFile(c, &own))
	})
}
