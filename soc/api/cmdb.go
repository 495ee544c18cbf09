package api

import (
	"context"
	"io"
	"time"

	"icewatch/detections"
)

// CMDBClass is a class of configuration items and its attributes.
type CMDBClass struct {
	Class      string          `json:"class"`
	Name       detections.Text `json:"name"`
	Attributes []string        `json:"attributes" nullable:"false"`
}

// CMDBItem is one configuration item.
type CMDBItem struct {
	ID           string            `json:"id"`
	Class        string            `json:"class"`
	Name         string            `json:"name"`
	Tenant       string            `json:"tenant"`
	Zone         string            `json:"zone"`
	Addresses    []string          `json:"addresses" nullable:"false"`
	Hostnames    []string          `json:"hostnames" nullable:"false"`
	Criticality  int               `json:"criticality" doc:"1 (least) to 5, 0 where it is not set"`
	Owner        string            `json:"owner"`
	Labels       []string          `json:"labels" nullable:"false"`
	System       string            `json:"system" doc:"Id of the business system it belongs to"`
	Organisation string            `json:"organisation"`
	Attributes   map[string]string `json:"attributes"`
	UpdatedAt    time.Time         `json:"updated_at"`
}

// CMDBRelation is one tie of an item to another.
type CMDBRelation struct {
	Kind  string `json:"kind" doc:"What the other is to this item: system, organisation, member, parent"`
	ID    string `json:"id"`
	Class string `json:"class"`
	Name  string `json:"name"`
}

// CMDBDetail is an item with its relations.
type CMDBDetail struct {
	CMDBItem
	Relations []CMDBRelation `json:"relations" nullable:"false"`
}

// CMDBQuery selects items.
type CMDBQuery struct {
	Tenants []string // nil means all
	Class   string
	Text    string // part of a name, address or host name
	Limit   int
	Cursor  string
}

// CMDBImport says how to read an import.
type CMDBImport struct {
	Format string // "yaml" or "csv"
	Class  string // class of the rows of a CSV file
	DryRun bool
	Actor  string
}

// CMDBReport is what an import did, or would do.
type CMDBReport struct {
	Created   int  `json:"created"`
	Updated   int  `json:"updated"`
	Unchanged int  `json:"unchanged"`
	DryRun    bool `json:"dry_run"`
}

// CMDB is what the API asks of the room cmdb. Items of no tenant (an
// organisation, a shared network) are returned to every reader.
type CMDB interface {
	Classes(ctx context.Context) ([]CMDBClass, error)
	Items(ctx context.Context, q CMDBQuery) (Page[CMDBItem], error)
	// Get answers ErrNotFound where there is no such item.
	Get(ctx context.Context, id string) (CMDBDetail, error)
	// Import takes all rows or none; wrong rows come back as *RowsProblem.
	Import(ctx context.Context, r io.Reader, how CMDBImport) (CMDBReport, error)
	Export(ctx context.Context, w io.Writer, format string, q CMDBQuery) error
}
