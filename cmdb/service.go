package cmdb

import (
	"context"
	"errors"
	"io"

	"icewatch/soc/enrich"
	"icewatch/soc/state"
	"icewatch/soc/tenancy"
)

var errSoon = errors.New("cmdb: signature only")

// Service is the CMDB. It is safe for concurrent use.
type Service struct {
	db      *state.DB
	tenants *tenancy.Registry
	changed chan struct{}
}

// Open migrates the tables and brings each tenant's business system in.
func Open(ctx context.Context, db *state.DB, tenants *tenancy.Registry) (*Service, error) {
	return nil, errSoon
}

// Classes lists the classes.
func (s *Service) Classes() []Class { return nil }

// Class describes one class of items.
type Class struct {
	Name       string           `json:"class" yaml:"class"`
	Title      tenancy.Text     `json:"name" yaml:"name"`
	Attributes []ClassAttribute `json:"attributes" yaml:"attributes"`
}

// ClassAttribute describes one attribute of a class.
type ClassAttribute struct {
	Name  string       `json:"name" yaml:"name"`
	Title tenancy.Text `json:"title" yaml:"title"`
	Type  string       `json:"type" yaml:"type"` // text, integer, boolean, date, enum
}

// Items lists items.
func (s *Service) Items(ctx context.Context, scope Scope, f Filter) (Page, error) {
	return Page{}, errSoon
}

// Get returns one item.
func (s *Service) Get(ctx context.Context, scope Scope, id string) (Item, error) {
	return Item{}, errSoon
}

// Card returns an item with what it belongs to.
func (s *Service) Card(ctx context.Context, scope Scope, id string) (Card, error) {
	return Card{}, errSoon
}

// Relations returns the items around one.
func (s *Service) Relations(ctx context.Context, scope Scope, id string) (Relations, error) {
	return Relations{}, errSoon
}

// History lists the changes of an item, newest first; before is the ID of the last entry of the page before, 0 for the first page.
func (s *Service) History(ctx context.Context, scope Scope, id string, before int64, limit int) ([]HistoryEntry, error) {
	return nil, errSoon
}

// Upsert creates or replaces one item.
func (s *Service) Upsert(ctx context.Context, scope Scope, actor string, it Item) (Item, error) {
	return Item{}, errSoon
}

// Delete removes one item that nothing refers to.
func (s *Service) Delete(ctx context.Context, scope Scope, actor, id string) error { return errSoon }

// Import takes in a file, all or nothing. Mistakes in the file are in the report and not an error.
func (s *Service) Import(ctx context.Context, format Format, r io.Reader, opts ImportOptions) (Report, error) {
	return Report{}, errSoon
}

// Export writes the items a filter selects; Limit and Cursor do not count.
func (s *Service) Export(ctx context.Context, scope Scope, format Format, w io.Writer, f Filter) error {
	return errSoon
}

// Snapshot returns what enrichment needs.
func (s *Service) Snapshot(ctx context.Context) (enrich.Snapshot, error) {
	return enrich.Snapshot{}, errSoon
}

// Changed delivers after changes, one value for any number of them. It is one channel, for one listener.
func (s *Service) Changed() <-chan struct{} { return s.changed }
