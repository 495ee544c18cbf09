package cmdb

import (
	"context"
	"fmt"
	"strings"
	"time"

	"icewatch/soc/reach"
)

// Statistics are how much there is within a reach.
type Statistics struct {
	Items     int            `json:"items"`
	Relations int            `json:"relations" doc:"Between two items within reach; one of several origins counts as often"`
	Classes   map[string]int `json:"classes" nullable:"false" doc:"Class → items"`
	Zones     map[string]int `json:"zones" nullable:"false" doc:"Network zone → items that have one"`
	Lines     map[string]int `json:"lines" nullable:"false" doc:"Business line → items of it, by their own attribute or their system's"`
	Changes   []DayChanges   `json:"changes" nullable:"false" doc:"Of the last 7 days (UTC), oldest first"`
}

// DayChanges are the changes of one day.
type DayChanges struct {
	Day     string `json:"day"` // 2006-01-02
	Created int    `json:"created"`
	Updated int    `json:"updated"`
	Deleted int    `json:"deleted"`
}

// statisticsDays is how many days of changes are counted.
const statisticsDays = 7

// Statistics counts the items in reach, and their changes of the last days.
func (s *Service) Statistics(ctx context.Context, r reach.Reach) (Statistics, error) {
	out := Statistics{Classes: map[string]int{}, Zones: map[string]int{}, Lines: map[string]int{}}
	for column, into := range map[string]map[string]int{"class": out.Classes, "zone": out.Zones} {
		var rows []struct {
			What string `bun:"what"`
			N    int    `bun:"n"`
		}
		q := s.db.NewSelect().Model((*itemRow)(nil)).ColumnExpr("i." + column + " AS what, count(*) AS n")
		if err := r.Within(q, "i").GroupExpr("i."+column).Scan(ctx, &rows); err != nil {
			return Statistics{}, fmt.Errorf("cmdb: count items by %s: %w", column, err)
		}
		for _, row := range rows {
			if row.What != "" {
				into[row.What] = row.N
			}
		}
	}
	for _, n := range out.Classes {
		out.Items += n
	}
	if err := s.countLines(ctx, r, out.Lines); err != nil {
		return Statistics{}, err
	}
	var err error
	if out.Relations, err = s.countRelations(ctx, r); err != nil {
		return Statistics{}, err
	}
	today := s.now().Truncate(24 * time.Hour)
	first := today.AddDate(0, 0, 1-statisticsDays)
	days := make([]DayChanges, statisticsDays)
	for i := range days {
		days[i].Day = first.AddDate(0, 0, i).Format(time.DateOnly)
	}
	const day = int64(24 * time.Hour / time.Millisecond)
	var rows []struct {
		Day    int64  `bun:"day"`
		Action string `bun:"action"`
		N      int    `bun:"n"`
	}
	q := s.db.NewSelect().Model((*historyRow)(nil)).ColumnExpr("h.time / ? AS day, h.action, count(*) AS n", day).Where("h.time >= ?", first.UnixMilli())
	if err := s.told(r, q).GroupExpr("h.time / ?, h.action", day).Scan(ctx, &rows); err != nil {
		return Statistics{}, fmt.Errorf("cmdb: count changes: %w", err)
	}
	for _, row := range rows {
		i := int(row.Day - first.UnixMilli()/day)
		if i < 0 || i >= len(days) {
			continue
		}
		switch row.Action {
		case actionCreated:
			days[i].Created = row.N
		case actionUpdated:
			days[i].Updated = row.N
		case actionDeleted:
			days[i].Deleted = row.N
		}
	}
	out.Changes = days
	return out, nil
}

// Lines counts the items in reach of each business line.
func (s *Service) Lines(ctx context.Context, r reach.Reach) (map[string]int, error) {
	out := map[string]int{}
	return out, s.countLines(ctx, r, out)
}

// countLines counts the items of each business line.
func (s *Service) countLines(ctx context.Context, r reach.Reach, into map[string]int) error {
	var rows []struct {
		Labels string `bun:"labels"`
		N      int    `bun:"n"`
	}
	q := s.db.NewSelect().Model((*itemRow)(nil)).ColumnExpr("i.reach_labels AS labels, count(*) AS n").Where("instr(i.reach_labels, ?) > 0", ";"+LineLabel)
	if err := r.Within(q, "i").GroupExpr("i.reach_labels").Scan(ctx, &rows); err != nil {
		return fmt.Errorf("cmdb: count items by business line: %w", err)
	}
	for _, row := range rows {
		for _, label := range reach.SplitLabels(row.Labels) {
			if line, ok := strings.CutPrefix(label, LineLabel); ok {
				into[line] += row.N
			}
		}
	}
	return nil
}

// countRelations counts the relations both of whose items are in reach.
func (s *Service) countRelations(ctx context.Context, r reach.Reach) (int, error) {
	g, err := s.topologyGraph(ctx)
	if err != nil {
		return 0, err
	}
	if r.Everything() {
		return g.Stats().Edges, nil
	}
	t := &s.topology
	return g.Count(func(facts uint32) bool {
		t.names.RLock()
		f := t.facts.value(facts)
		t.names.RUnlock()
		return r.Match(f.FactsOf(f.tenant))
	}), nil
}
