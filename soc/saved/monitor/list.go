package monitor

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"icewatch/soc/saved"
)

// show is a monitor as the asker sees it.
func (s *Service) show(ctx context.Context, a saved.Asker, r *row) (Monitor, error) {
	c, err := r.content()
	if err != nil {
		return Monitor{}, err
	}
	m := Monitor{ID: r.ID, Name: c.Name, Description: c.Description, Tags: append([]string{}, c.Tags...), Search: c.Search, Query: c.Query, Group: c.Group, Tenant: c.Tenant,
		Schedule: c.Schedule, TimeZone: c.TimeZone, Window: c.Window, Delay: c.Delay, Condition: c.Condition, Action: c.Action, Enabled: r.Enabled,
		State: Active, PausedReason: r.Paused, Health: "ok", Failures: r.Failures, Owner: saved.Owner{ID: r.Owner, Name: r.OwnerName}, Mine: r.Owner == a.User,
		Editable: r.visible(a), Revision: r.Revision, CreatedAt: at(r.CreatedAt), UpdatedAt: at(r.UpdatedAt)}
	switch {
	case !r.Enabled:
		m.State = Disabled
	case r.Paused != "":
		m.State = Paused
	default:
		next := at(r.DueAt)
		m.NextAt = &next
	}
	if c.Search != "" {
		from, err := s.deps.Searches.Search(ctx, a, c.Search)
		m.SearchChanged = err != nil || from.Revision != r.SearchRev
	}
	last := new(runRow)
	err = s.db.NewSelect().Model(last).Where("r.monitor = ?", r.ID).Order("r.id DESC").Limit(1).Scan(ctx)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		m.Health = "new"
	case err != nil:
		return Monitor{}, fmt.Errorf("monitor: read the last run of %s: %w", r.ID, err)
	default:
		run := last.run()
		m.LastRun = &run
	}
	if r.Failures >= warnAfter {
		m.Health = "warning"
	}
	return m, nil
}

// Query selects monitors. Empty fields do not select.
type Query struct {
	Text   string // part of the name, description or query, in any case
	State  string
	Health string
	Tag    string
	Mine   bool
	Limit  int
	Cursor string
}

// List lists the monitors that the asker may see, by name.
func (s *Service) List(ctx context.Context, a saved.Asker, q Query) (items []Monitor, total int, next string, err error) {
	var rows []row
	sel := s.db.NewSelect().Model(&rows).Order("m.name", "m.id")
	if q.Mine || !a.Manage {
		sel = sel.Where("m.owner = ?", a.User)
	}
	if err := sel.Scan(ctx); err != nil {
		return nil, 0, "", fmt.Errorf("monitor: list: %w", err)
	}
	from := 0
	if q.Cursor != "" {
		n, err := strconv.ParseUint(q.Cursor, 10, 31)
		if err != nil {
			return nil, 0, "", fmt.Errorf("%w: the cursor is none that a list gave", saved.ErrInvalid)
		}
		from = int(n)
	}
	text := strings.ToLower(q.Text)
	for i := range rows {
		m, err := s.show(ctx, a, &rows[i])
		if err != nil {
			return nil, 0, "", err
		}
		if q.State != "" && m.State != q.State || q.Health != "" && m.Health != q.Health || q.Tag != "" && !slices.Contains(m.Tags, q.Tag) ||
			text != "" && !strings.Contains(strings.ToLower(m.Name+"\n"+m.Description+"\n"+m.Query), text) {
			continue
		}
		if total++; total > from && len(items) < max(q.Limit, 1) {
			items = append(items, m)
		}
	}
	if from+len(items) < total {
		next = strconv.Itoa(from + len(items))
	}
	return items, total, next, nil
}

// Get reads one monitor that the asker may see.
func (s *Service) Get(ctx context.Context, a saved.Asker, id string) (Monitor, error) {
	r, err := s.row(ctx, s.db, a, id)
	if err != nil {
		return Monitor{}, err
	}
	return s.show(ctx, a, r)
}

// Runs lists the runs of a monitor, newest first.
func (s *Service) Runs(ctx context.Context, a saved.Asker, id string, limit int, cursor string) (items []Run, total int, next string, err error) {
	if _, err := s.row(ctx, s.db, a, id); err != nil {
		return nil, 0, "", err
	}
	from, err := strconv.ParseUint("0"+cursor, 10, 31)
	if err != nil {
		return nil, 0, "", fmt.Errorf("%w: the cursor is none that a list gave", saved.ErrInvalid)
	}
	var rows []runRow
	found, err := s.db.NewSelect().Model(&rows).Where("r.monitor = ?", id).Order("r.id DESC").Limit(int64(max(limit, 1))).Offset(int64(from)).ScanAndCount(ctx)
	if err != nil {
		return nil, 0, "", fmt.Errorf("monitor: read the runs of %s: %w", id, err)
	}
	for i := range rows {
		items = append(items, rows[i].run())
	}
	if n := int(from) + len(items); n < int(found) {
		next = strconv.Itoa(n)
	}
	return items, int(found), next, nil
}
