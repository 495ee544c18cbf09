package cmdb

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/uptrace/bun"

	"icewatch/cmdb/columns"
	"icewatch/cmdb/model"
	"icewatch/soc/reach"
)

// The columns of the index besides the fields that filters know by name. An
// attribute is in one of its own, after attrPrefix.
const (
	colAddress  = "address"
	colHostname = "hostname"
	colLabel    = "label"
	colCreated  = "created"
	colUpdated  = "updated"
	colRevision = "revision"
	colFacts    = "facts" // what decides who may see the item
)

// newIndex makes the empty index that items are found by. A system or an
// organisation is named by its id.
func newIndex() *columns.Table {
	return columns.New(map[string]string{colSystem: colID, colOrganisation: colID})
}

// readIndex makes the index of the tables.
func (s *Service) readIndex(ctx context.Context) (*columns.Table, int64, error) {
	t := newIndex()
	var version int64
	err := s.db.view(ctx, func(ctx context.Context, tx bun.Tx) error {
		if err := tx.QueryRowContext(ctx, "SELECT version FROM cmdb_version WHERE id = 1").Scan(&version); err != nil {
			return fmt.Errorf("read the version: %w", err)
		}
		rows, err := tx.QueryContext(ctx, `SELECT seq, id, class, tenant, name, zone, addresses, hostnames, criticality, owner, labels,
			coalesce(system_id, ''), coalesce(organisation_id, ''), attributes, created_at, updated_at, revision,
			reach_unit, reach_region, reach_industry, reach_labels FROM cmdb_items ORDER BY seq`)
		if err != nil {
			return fmt.Errorf("read the items: %w", err)
		}
		defer rows.Close()
		m := s.Model()
		var failed error
		t.Change(func(e columns.Editor) {
			for rows.Next() && failed == nil {
				var r itemRow
				if failed = rows.Scan(&r.Seq, &r.ID, &r.Class, &r.Tenant, &r.Name, &r.Zone, &r.Addresses, &r.Hostnames, &r.Criticality, &r.Owner, &r.Labels,
					&r.SystemID, &r.OrganisationID, &r.Attributes, &r.CreatedAt, &r.UpdatedAt, &r.Revision, &r.Unit, &r.Region, &r.Industry, &r.Kept.Labels); failed != nil {
					return
				}
				var it Item
				if it, failed = r.item(); failed == nil {
					putItem(e, m.Class(it.Class), &it)
					e.Text(it.seq, colFacts, factsText(it.Tenant, r.Kept))
				}
			}
		})
		if failed != nil {
			return fmt.Errorf("read the items: %w", failed)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, 0, fmt.Errorf("cmdb: bring the items into memory: %w", err)
	}
	t.Clip()
	// The order of lists is made now, not while the first one is waited for.
	err = t.Read(func(v columns.View) error {
		v.Sorted(v.Items(), columns.Order{Columns: []string{colClass, colName}}, nil, 1)
		return nil
	})
	return t, version, err
}

// applyIndex makes the changes of a commit.
func (s *Service) applyIndex(t *columns.Table, w *writer) {
	t.Change(func(e columns.Editor) {
		for _, stored := range w.items {
			facts := e.First(stored.item.seq, colFacts)
			putItem(e, stored.class, stored.item)
			if facts != "" {
				e.Text(stored.item.seq, colFacts, facts)
			}
		}
		for _, n := range w.nodes {
			e.Text(n.seq, colFacts, factsText(n.tenant, n.facts))
		}
		for _, seq := range w.gone {
			e.Drop(seq)
		}
	})
}

// putItem puts all of an item but its facts into the index. c is nil where the
// model has lost its class.
func putItem(e columns.Editor, c *Class, it *Item) {
	e.Put(it.seq)
	one := func(column, value string) {
		if value != "" {
			e.Text(it.seq, column, value)
		}
	}
	one(colID, it.ID)
	one(colClass, it.Class)
	one(colTenant, it.Tenant)
	one(colName, it.Name)
	one(colZone, it.Zone)
	one(colOwner, strings.ToLower(it.Owner))
	one(colSystem, it.System)
	one(colOrganisation, it.Organisation)
	e.Text(it.seq, colAddress, it.Addresses...)
	e.Text(it.seq, colHostname, it.Hostnames...)
	e.Text(it.seq, colLabel, it.Labels...)
	e.Number(it.seq, colCriticality, int64(it.Criticality))
	e.Number(it.seq, colCreated, it.CreatedAt.UnixMilli())
	e.Number(it.seq, colUpdated, it.UpdatedAt.UnixMilli())
	e.Number(it.seq, colRevision, it.Revision)
	for name, value := range it.Attributes {
		var a *Attribute
		if c != nil {
			a = c.Attribute(name)
		}
		values := a.Each(value)
		if a != nil && a.Type == model.Table {
			values = cells(value)
		}
		for i := range values {
			values[i] = strings.ToLower(values[i])
		}
		e.Text(it.seq, attrPrefix+name, values...)
	}
}

// cells are the texts in a table, as its attribute has it.
func cells(table string) []string {
	var rows []map[string]any
	if json.Unmarshal([]byte(table), &rows) != nil {
		return []string{table}
	}
	var out []string
	for _, row := range rows {
		for _, cell := range row {
			out = append(out, fmt.Sprint(cell))
		}
	}
	return out
}

// factsSeparator stands between the parts of what decides who may see an item.
// No part can hold it: texts have no control characters.
const factsSeparator = "\x1f"

func factsText(tenant string, k reach.Kept) string {
	return strings.Join([]string{tenant, k.Unit, k.Region, k.Industry, k.Labels}, factsSeparator)
}

func factsOf(text []byte) reach.Facts {
	p := strings.SplitN(string(text), factsSeparator, 5)
	return reach.Kept{Unit: p[1], Region: p[2], Industry: p[3], Labels: p[4]}.FactsOf(p[0])
}

// IndexStats returns the sizes of what items are found by.
func (s *Service) IndexStats(ctx context.Context) (columns.Stats, error) {
	t, err := s.index.get(ctx, s.life)
	if err != nil {
		return columns.Stats{}, err
	}
	return t.Stats(), nil
}
