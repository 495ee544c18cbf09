package ticketing

import (
	"context"
	"database/sql"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"

	"icewatch/soc/state"
)

// alertColumns are the columns that an alert's life changes.
var alertColumns = []string{
	"rule_id", "rule_title", "severity", "priority", "status", "first_seen", "last_seen", "count", "occurrences",
	"item", "actor", "recon", "fault", "ci_id", "system_id", "source_ip", "assignee", "incident_id", "held", "joins", "judge", "muted", "flapping", "key_asset", "data_level", "focus", "gathered", "counted",
	"acknowledged_at", "acknowledged_by", "closed_at", "closed_by", "resolution", "tags", "tactics", "techniques",
	"verdict", "phase", "direction", "threat", "attack", "risk", "attacker", "victim",
	"search", "facts", "doc", "reach_unit", "reach_region", "reach_industry", "reach_labels",
}

// firingColumns are those of them that a further firing changes as a rule. A
// statement that names no more leaves most indexes of the table alone.
var firingColumns = []string{"last_seen", "count", "occurrences", "counted", "search", "doc"}

// onlyFired tells whether an alert differs from what SQL has in firingColumns
// alone.
func (a *alert) onlyFired() bool {
	if a.saved == nil {
		return false
	}
	r := *a.bare()
	r.LastSeen, r.Count, r.Occurrences, r.Counted = a.saved.LastSeen, a.saved.Count, a.saved.Occurrences, a.saved.Counted
	return r == *a.saved
}

// unsaved tells whether SQL has another state of an alert.
func (a *alert) unsaved() bool { return a.merged || a.saved == nil || *a.bare() != *a.saved }

// saveAlerts writes alerts back, new ones and changed ones alike. It does so by
// prepared statements: a doc has many kilobytes, which SQLite would read letter
// by letter as a part of a statement's text. Nothing can stand in the way of new
// ones, so that SQL need not look.
func saveAlerts(ctx context.Context, tx bun.Tx, alerts []*alert) error {
	table := tx.Dialect().Tables().Get(reflect.TypeFor[alertRow]())
	var all, changing []string
	for _, f := range table.Fields {
		all = append(all, f.Name)
	}
	for _, c := range alertColumns {
		changing = append(changing, c+" = EXCLUDED."+c)
	}
	born := births{tx: tx, table: table}
	defer born.close()
	put := prepared{tx: tx, table: table, columns: all, text: fmt.Sprintf("INSERT INTO ticketing_alerts (%s) VALUES (?%s) ON CONFLICT (id) DO UPDATE SET %s",
		strings.Join(all, ", "), strings.Repeat(", ?", len(all)-1), strings.Join(changing, ", "))}
	defer put.close()
	fired := prepared{tx: tx, table: table, columns: append(slices.Clone(firingColumns), "id"),
		text: fmt.Sprintf("UPDATE ticketing_alerts SET %s = ? WHERE id = ?", strings.Join(firingColumns, " = ?, "))}
	defer fired.close()
	next, stop := packed(alerts)
	defer stop()
	s := writerOf(ctx)
	for i, a := range alerts {
		onlyFired, err := next(i)
		fresh := a.fresh && !a.inSQL
		switch {
		case err != nil:
		case onlyFired:
			err = fired.exec(ctx, reflect.ValueOf(&a.alertRow).Elem())
		case fresh:
			err = born.row(ctx, &a.alertRow)
		default:
			err = put.exec(ctx, reflect.ValueOf(&a.alertRow).Elem())
		}
		if err != nil {
			return fmt.Errorf("write alert %s: %w", a.ID, err)
		}
		if is := a.stands(); s != nil && is != a.stood {
			s.standing.stage(a.stood, is, fresh)
			a.stood = is
		}
		a.inSQL = true
		a.saved = a.bare()
		a.Doc, a.Search = "", ""
	}
	return nil
}

// births writes new alerts. Most of their columns are empty: those stand in the
// statement as they are, and only the others are bound, one by one, for each of
// which the driver goes through all of them.
type births struct {
	tx    bun.Tx
	table *schema.Table
	puts  map[uint64]*state.Put // by the columns that are bound
	args  []any
}

// maxShapes is for how many sets of columns a transaction has a statement at
// most; preparing one takes as long as some twenty rows. What is of another shape
// is bound whole.
const maxShapes = 4

func (b *births) row(ctx context.Context, r *alertRow) error {
	row := reflect.ValueOf(r).Elem()
	var bound uint64
	for i, f := range b.table.Fields {
		if i >= 64 || !f.Value(row).IsZero() {
			bound |= 1 << i
		}
	}
	put := b.puts[bound]
	if put == nil && len(b.puts) >= maxShapes {
		bound = ^uint64(0)
		put = b.puts[bound]
	}
	if put == nil {
		var columns, values []string
		for i, f := range b.table.Fields {
			columns = append(columns, f.Name)
			switch {
			case bound>>i&1 == 1 || i >= 64:
				values = append(values, "?")
			case f.StructField.Type.Kind() == reflect.String:
				values = append(values, "''")
			default:
				values = append(values, "0")
			}
		}
		put = state.NewPutOf(b.tx, "ticketing_alerts", columns, values, "")
		if b.puts == nil {
			b.puts = map[uint64]*state.Put{}
		}
		b.puts[bound] = put
	}
	b.args = b.args[:0]
	for i, f := range b.table.Fields {
		if i < 64 && bound>>i&1 == 0 {
			continue
		}
		switch v := f.Value(row); {
		case v.Kind() == reflect.String:
			b.args = append(b.args, v.String())
		case v.CanInt():
			b.args = append(b.args, v.Int())
		default:
			b.args = append(b.args, v.Interface())
		}
	}
	return put.Row(ctx, b.args...)
}

func (b *births) close() {
	for _, p := range b.puts {
		p.Close()
	}
}

// packAhead is from how many alerts on their documents are made on another core
// while SQL takes those before.
const packAhead = 16

// packed makes what is written of alerts beside their columns. next waits until
// that of one of them is there, in their order, and tells whether it only fired;
// stop ends it.
func packed(alerts []*alert) (next func(i int) (onlyFired bool, err error), stop func()) {
	type made struct {
		onlyFired bool
		err       error
	}
	pack := func(a *alert) (m made) {
		m.onlyFired = a.onlyFired()
		a.Facts = "" // the document has all of it
		m.err = a.finish()
		return m
	}
	if len(alerts) < packAhead {
		return func(i int) (bool, error) { m := pack(alerts[i]); return m.onlyFired, m.err }, func() {}
	}
	done, quit, ended := make(chan made, len(alerts)), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for _, a := range alerts {
			select {
			case <-quit:
				return
			default:
				done <- pack(a)
			}
		}
	}()
	return func(int) (bool, error) { m := <-done; return m.onlyFired, m.err }, func() { close(quit); <-ended }
}

// saveCounted writes alerts that only counted, unless they were written already.
func saveCounted(ctx context.Context, tx bun.Tx, raised []*alert) error {
	raised = slices.DeleteFunc(slices.Clone(raised), func(a *alert) bool { return !a.merged })
	err := saveAlerts(ctx, tx, raised)
	for _, a := range raised {
		a.merged = false
	}
	return err
}

// prepared is a statement of a transaction that takes columns of rows. It is
// prepared when it is needed first.
type prepared struct {
	tx      bun.Tx
	table   *schema.Table
	columns []string
	text    string

	stmt   *sql.Stmt
	fields []*schema.Field
	args   []any
}

func (p *prepared) exec(ctx context.Context, row reflect.Value) (err error) {
	if p.stmt == nil {
		if p.stmt, err = p.tx.Tx.PrepareContext(ctx, p.text); err != nil {
			return err
		}
		for _, c := range p.columns {
			p.fields = append(p.fields, p.table.LookupField(c))
		}
	}
	p.args = p.args[:0]
	for _, f := range p.fields {
		p.args = append(p.args, f.Value(row).Interface())
	}
	// The transaction ends with its context: see state.Put.
	_, err = p.stmt.ExecContext(context.WithoutCancel(ctx), p.args...)
	return err
}

func (p *prepared) close() {
	if p.stmt != nil {
		p.stmt.Close()
	}
}

// saveLasts writes down until when incidents have gone on.
func saveLasts(ctx context.Context, tx bun.Tx, incidents []*incident) error {
	for _, i := range incidents {
		if _, err := tx.Tx.ExecContext(ctx, "UPDATE ticketing_incidents SET last_seen = ? WHERE id = ?", i.LastSeen, i.ID); err != nil {
			return fmt.Errorf("write when incident %s was seen last: %w", i.ID, err)
		}
	}
	return nil
}

func saveTimeline(ctx context.Context, tx bun.Tx, entries []timelineRow) error {
	for part := range slices.Chunk(entries, rowsPerStatement) {
		if _, err := tx.NewInsert().Model(&part).Returning("NULL").Exec(ctx); err != nil {
			return fmt.Errorf("ticketing: write %d timeline entries: %w", len(part), err)
		}
	}
	return nil
}
