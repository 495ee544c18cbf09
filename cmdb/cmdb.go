// Package cmdb knows what the city has: organisations, business systems, hosts
// and networks, who owns them and how much each matters. It turns an address
// in an event into a system with a name. An asset is (network zone, address),
// never an address alone, since isolated networks use the same addresses.
//
// Items are changed one at a time or by a file, always whole or not at all, and
// every change is kept with who made it and when. What the pipeline needs goes
// out as enrich.Snapshots, one of each part of the items.
package cmdb

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"icewatch/soc/reach"
	"icewatch/soc/tenancy"
)

// The classes code knows by name. Which others there are, and what their items
// may carry, is data: see package model.
const (
	Organisation   = "organisation"
	BusinessSystem = "business_system"
	Host           = "host"
	Network        = "network"
)

// DefaultZone is the network zone of an item that names none.
const DefaultZone = "default"

var (
	// ErrNotFound says that there is no such item, or none within the caller's
	// reach: the two are not told apart.
	ErrNotFound = errors.New("cmdb: item not found")
	// ErrConflict says that an item is still referred to, or that a name or
	// address is taken.
	ErrConflict = errors.New("cmdb: conflict")
	// ErrInvalid says that an item breaks a rule of its class.
	ErrInvalid = errors.New("cmdb: invalid item")
	// ErrStale says that somebody else changed the item meanwhile; see
	// StaleError.
	ErrStale = errors.New("cmdb: the item was changed meanwhile")
	// ErrCursor says that a list was asked for with a cursor it did not give.
	ErrCursor = errors.New("cmdb: unknown cursor")
	// ErrTooLarge says that a file is beyond the limits of an import.
	ErrTooLarge = errors.New("cmdb: file too large")
)

// Item is one configuration item.
type Item struct {
	ID           string            `json:"id"`
	Class        string            `json:"class"`
	Name         string            `json:"name"`        // unique within class and tenant
	Tenant       string            `json:"tenant"`      // slug; "" is shared by the whole city
	Zone         string            `json:"zone"`        // network zone; "" where the class has no addresses
	Addresses    []string          `json:"addresses"`   // IP addresses, or CIDRs of a network, in canonical form
	Hostnames    []string          `json:"hostnames"`   // lower case
	Criticality  int               `json:"criticality"` // 1 (least) to 5
	Owner        string            `json:"owner"`
	Labels       []string          `json:"labels"`
	System       string            `json:"system"`       // id of a business system
	Organisation string            `json:"organisation"` // id of an organisation; an organisation's parent
	Attributes   map[string]string `json:"attributes"`
	CreatedAt    time.Time         `json:"created_at"`
	UpdatedAt    time.Time         `json:"updated_at"`
	// Revision counts the item's changes. Who changes an item may say which
	// one he saw; see ErrStale.
	Revision int64 `json:"revision,omitempty" yaml:"-"`

	seq      int32  // as relations and indexes know it; never given twice
	identity string // what the class's key makes of it
}

// fill puts an empty list or map where there is none, so that whoever reads the
// item as JSON finds [] and {} and never null.
func (it *Item) fill() {
	for _, l := range []*[]string{&it.Addresses, &it.Hostnames, &it.Labels} {
		if *l == nil {
			*l = []string{}
		}
	}
	if it.Attributes == nil {
		it.Attributes = map[string]string{}
	}
}

// Filter narrows a list. Empty fields do not narrow; several values of one
// field are alternatives.
type Filter struct {
	Classes      []string
	Tenants      []string // within the reach
	Zone         string
	Address      string // an IP address or CIDR an item has, however written
	Label        string
	System       string // id
	Organisation string // id
	Query        string // words that must all occur in name, id, hostnames, addresses, owner, labels or attributes
	Expression   string // a filter of package query
	// Sort is the field to sort by, with a minus before it for the largest
	// first; without one items come by class and name, or as they were made
	// where there is an Expression.
	Sort   string
	Limit  int    // items a page: 50 where 0, at most 1000
	Cursor string // Next of the page before
}

// Page is one page of a list.
type Page struct {
	Items []Item `json:"items"`
	Total int    `json:"total"` // matches on all pages
	Next  string `json:"next"`  // "" on the last page
}

// Ref names another item.
type Ref struct {
	ID          string `json:"id"`
	Class       string `json:"class"`
	Name        string `json:"name"`
	Criticality int    `json:"criticality,omitempty"`
	Owner       string `json:"owner,omitempty"`
}

// TenantRef names a tenant.
type TenantRef struct {
	Slug            string       `json:"slug"`
	Name            tenancy.Text `json:"name"`
	ProtectionLevel int          `json:"protection_level,omitempty"`
}

// Card is what an analyst must know of an item at a glance.
type Card struct {
	Item         Item       `json:"item"`
	System       *Ref       `json:"system,omitempty"`       // for a business system: itself
	Organisation *Ref       `json:"organisation,omitempty"` // the item's, else its system's
	Tenant       *TenantRef `json:"tenant,omitempty"`
	Owner        string     `json:"owner,omitempty"` // the item's, else its system's
	Facts        reach.Kept `json:"-"`               // what data scopes see of the item
}

// Relations are the items around one: what it belongs to and what belongs to it.
type Relations struct {
	System       *Ref           `json:"system,omitempty"`
	Organisation *Ref           `json:"organisation,omitempty"`
	Members      []Ref          `json:"members"` // items that name this one as system or organisation, the first 200
	Counts       map[string]int `json:"counts"`  // class → number of all members
}

// Change is one field of one item before and after.
type Change struct {
	Field  string `json:"field"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// HistoryEntry is one change of an item.
type HistoryEntry struct {
	ID      int64     `json:"id"`
	ItemID  string    `json:"item_id"`
	Class   string    `json:"class"`
	Name    string    `json:"name"`
	Tenant  string    `json:"tenant,omitempty"`
	Time    time.Time `json:"time"`
	Actor   string    `json:"actor"`
	Action  string    `json:"action"` // "created", "updated" or "deleted"
	Changes []Change  `json:"changes"`
	// Revision is the item's after the change; Model is the revision of the
	// model that made the change, 0 where somebody did.
	Revision int64 `json:"revision,omitempty"`
	Model    int64 `json:"model,omitempty"`
	// Facts are what data scopes saw of the item right after the change, or
	// before where it was deleted.
	Facts reach.Kept `json:"-"`
}

// Format is a file format of import and export.
type Format string

// The file formats.
const (
	YAML   Format = "yaml"
	CSV    Format = "csv"
	XLSX   Format = "xlsx"
	JSON   Format = "json"   // an array of items
	NDJSON Format = "ndjson" // an item a line
)

// Formats are all of them.
var Formats = []Format{XLSX, CSV, JSON, NDJSON, YAML}

// ImportOptions say how a file is taken in.
type ImportOptions struct {
	Within reach.Reach // every item of the file must be in it, before and after
	Actor  string      // for the history
	Class  string      // of rows that name none
	Tenant string      // of new items that name none
	DryRun bool        // check and count, change nothing
	// Source is what the change came from, such as the name of a file. A change
	// with one is kept among Imports, and can be taken back as a whole.
	Source string
	// Step is told how far the change is. Optional.
	Step func(Step)

	back      bool       // items are given what they had before: life cycles do not bind
	approved  bool       // protected classes may be changed
	proposing *proposing // nothing is changed: what would be is noted here
	remove    []*Proposal
}

// Step is how far an import is.
type Step struct {
	Phase string `json:"phase"` // "reading", "checking", "writing" or what is written
	Rows  int    `json:"rows"`  // of the file, as far as they are known
	Done  int    `json:"done"`  // percent of the whole, an estimate
}

// Report is the outcome of an import. Where Errors is not empty, nothing was
// imported.
type Report struct {
	Created   int        `json:"created"`
	Updated   int        `json:"updated"`
	Unchanged int        `json:"unchanged"`
	DryRun    bool       `json:"dry_run"`
	Protected int        `json:"protected,omitempty"` // of a dry run: items that need approval
	Import    int64      `json:"import,omitempty"`    // its number among Imports, 0 where nothing was changed
	IDs       []string   `json:"-"`                   // of UpsertAll: of the items, in their order
	Errors    []RowError `json:"errors,omitempty"`    // the first 1000
	Rejected  int        `json:"rejected,omitempty"`  // errors in all
}

// RowError is one mistake in a file. Row counts as a spreadsheet does (the
// header is row 1) in XLSX and CSV, is the line in YAML and NDJSON and the
// number of the item in JSON; 0 is the file as a whole.
type RowError struct {
	Sheet   string `json:"sheet,omitempty"` // of a workbook
	Row     int    `json:"row"`
	Column  string `json:"column,omitempty"` // the column's own name, such as attr.os
	Cell    string `json:"cell,omitempty"`   // of a table, such as C7
	Value   string `json:"value,omitempty"`  // what stands there, where it is a cell
	Message string `json:"message"`          // what is wrong, and what would be right
}

// Error implements error.
func (e RowError) Error() string {
	where := ""
	if e.Sheet != "" {
		where = fmt.Sprintf("sheet %q, ", e.Sheet)
	}
	switch {
	case e.Row == 0 && where == "":
		return e.Message
	case e.Row == 0:
		return strings.TrimSuffix(where, ", ") + ": " + e.Message
	case e.Column == "":
		return fmt.Sprintf("%srow %d: %s", where, e.Row, e.Message)
	}
	return fmt.Sprintf("%srow %d, column %s: %s", where, e.Row, e.Column, e.Message)
}
