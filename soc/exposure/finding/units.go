package finding

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/soc/reach"
)

// UnitProgress is how a unit repairs its findings, and how lately its assets were looked
// at.
type UnitProgress struct {
	Unit     string       `json:"unit" doc:"Id of the organisation; empty where none is known"`
	Name     string       `json:"name,omitempty" doc:"Of the organisation"`
	Counting int          `json:"counting" doc:"Findings that are not closed, excepted or false, now"`
	Overdue  int          `json:"overdue"`
	Closed   int          `json:"closed" doc:"Within these weeks"`
	Late     int          `json:"closed_late" doc:"Of these, those closed after their deadline"`
	Days     float64      `json:"repair_days" doc:"Mean days from the first sight to the end of what was closed within these weeks; 0 where nothing was"`
	Known    int          `json:"known" doc:"Items of the CMDB that have an address"`
	Ages     UnitLookAges `json:"looked_at" doc:"Of these, how long ago an engine looked at them last"`
	Last     time.Time    `json:"last_looked_at,omitzero" doc:"When an engine looked at any of them last"`
	Weeks    []UnitWeek   `json:"weeks" nullable:"false" doc:"The earliest first; the last one is not over yet"`
}

// UnitLookAges counts assets by how long ago they were looked at.
type UnitLookAges struct {
	Week    int `json:"within_7_days"`
	Month   int `json:"within_30_days" doc:"More than 7 days ago, and not more than 30"`
	Quarter int `json:"within_90_days" doc:"More than 30 days ago, and not more than 90"`
	Older   int `json:"older"`
	Never   int `json:"never"`
}

// UnitWeek is one week of a unit.
type UnitWeek struct {
	Week   string  `json:"week" doc:"Its Monday, UTC"`
	New    int     `json:"new"`
	Closed int     `json:"closed"`
	Days   float64 `json:"repair_days" doc:"Mean days to repair of what was closed; 0 where nothing was"`
}

const (
	maxWeeks = 53
	maxUnits = 500
	// toMonday moves days since 1970-01-01, a Thursday, so that a seventh of them
	// changes on Mondays.
	toMonday = 3
)

// Progress tells by unit, those with the most findings that count first, how repairs go
// week by week. unit narrows it to one where it is not nil.
func (s *Service) Progress(ctx context.Context, r reach.Reach, weeks int, unit *string) ([]UnitProgress, error) {
	if weeks < 1 || weeks > maxWeeks {
		return nil, fmt.Errorf("%w: %d weeks: want 1 to %d", ErrInvalid, weeks, maxWeeks)
	}
	now := s.now()
	this := (now.UnixMilli()/day + toMonday) / 7
	first := this - int64(weeks) + 1
	since := (first*7 - toMonday) * day
	units := map[string]*UnitProgress{}
	of := func(id string) *UnitProgress {
		u := units[id]
		if u == nil {
			u = &UnitProgress{Unit: id, Weeks: make([]UnitWeek, weeks)}
			for i := range u.Weeks {
				u.Weeks[i].Week = when(((first+int64(i))*7 - toMonday) * day).Format(time.DateOnly)
			}
			units[id] = u
		}
		return u
	}
	fail := func(err error) ([]UnitProgress, error) { return nil, fmt.Errorf("finding: progress of units: %w", err) }
	from := func() *bun.SelectQuery {
		q := r.Within(s.db.NewSelect().Model((*row)(nil)), "f").ColumnExpr("f.unit_id AS unit")
		if unit != nil {
			q = q.Where("f.unit_id = ?", *unit)
		}
		return q
	}
	type count struct {
		Unit string
		Week int64
		N    int
		Late int
		Sum  float64
	}
	var open, fresh, done []count
	if err := from().ColumnExpr("count(*) AS n").ColumnExpr("sum(CASE WHEN f.due_at > 0 AND f.due_at < ? THEN 1 ELSE 0 END) AS late", now.UnixMilli()).
		Where("f.state IN (?)", bun.In(counting)).GroupExpr("f.unit_id").Scan(ctx, &open); err != nil {
		return fail(err)
	}
	for _, c := range open {
		u := of(c.Unit)
		u.Counting, u.Overdue = c.N, c.Late
	}
	week := func(q *bun.SelectQuery, column string) *bun.SelectQuery {
		return q.ColumnExpr("(f.? / ? + ?) / 7 AS week, count(*) AS n", bun.Ident(column), day, toMonday).Where("f.? >= ?", bun.Ident(column), since).GroupExpr("1, 2")
	}
	if err := week(from(), "first_seen").Scan(ctx, &fresh); err != nil {
		return fail(err)
	}
	if err := week(from(), "closed_at").ColumnExpr("sum(1.0 * (f.closed_at - f.first_seen) / ?) AS sum", day).
		ColumnExpr("sum(CASE WHEN f.due_at > 0 AND f.closed_at > f.due_at THEN 1 ELSE 0 END) AS late").Where("f.state = 'closed'").Scan(ctx, &done); err != nil {
		return fail(err)
	}
	for _, c := range fresh {
		if i := c.Week - first; i >= 0 && i < int64(weeks) {
			of(c.Unit).Weeks[i].New = c.N
		}
	}
	for _, c := range done {
		i := c.Week - first
		if i < 0 || i >= int64(weeks) {
			continue
		}
		u := of(c.Unit)
		u.Weeks[i].Closed, u.Weeks[i].Days = c.N, c.Sum/float64(c.N)
		u.Closed, u.Late, u.Days = u.Closed+c.N, u.Late+c.Late, u.Days+c.Sum
	}
	if err := s.lookAges(ctx, r, unit, of, now); err != nil {
		return fail(err)
	}
	out := make([]UnitProgress, 0, len(units))
	for _, u := range units {
		if u.Closed > 0 {
			u.Days /= float64(u.Closed)
		}
		out = append(out, *u)
	}
	slices.SortFunc(out, func(a, b UnitProgress) int {
		return cmp.Or(cmp.Compare(b.Counting, a.Counting), cmp.Compare(b.Closed, a.Closed), strings.Compare(a.Unit, b.Unit))
	})
	out = out[:min(len(out), maxUnits)]
	ids := make([]string, 0, len(out))
	for i := range out {
		if out[i].Unit != "" {
			ids = append(ids, out[i].Unit)
		}
	}
	// Whoever sees the assets of a unit may know its name.
	called := s.Names(ctx, ids)
	for i := range out {
		out[i].Name = called[out[i].Unit]
	}
	return out, nil
}

// byAssets counts by type and group of assets.
func byAssets(ctx context.Context, from func() *bun.SelectQuery, out *FindingFigures) error {
	var types []struct {
		Class string
		N     int
	}
	q := from().Join("LEFT JOIN cmdb_items AS i ON i.id = f.item_id").ColumnExpr("coalesce(i.class, '') AS class, count(*) AS n").Where("f.state IN (?)", bun.In(counting))
	if err := q.GroupExpr("1").Scan(ctx, &types); err != nil {
		return err
	}
	for _, x := range types {
		out.ByType[x.Class] = x.N
	}
	q = from().Join("JOIN cmdb_labels AS l ON l.item_id = f.item_id").ColumnExpr("l.label AS ?, count(*) AS counting", bun.Ident("group")).
		ColumnExpr("sum(CASE WHEN f.level >= ? THEN 1 ELSE 0 END) AS urgent", rank(detections.High)).Where("f.state IN (?)", bun.In(counting))
	var groups []GroupFigures
	err := q.GroupExpr("l.label").OrderExpr("counting DESC, l.label").Limit(50).Scan(ctx, &groups)
	out.ByGroup = append(out.ByGroup, groups...)
	return err
}

// openOn adds to days, of which first is the earliest since 1970, what counted at their
// ends. What is excepted counted until it was.
func openOn(ctx context.Context, from func() *bun.SelectQuery, days []FindingTrendDay, first int64) error {
	for i := range days {
		days[i].Open = map[string]int{}
	}
	excepted := "(SELECT max(h.at) FROM exposure_finding_history AS h WHERE h.finding = f.id AND h.undone = 0 AND h.action LIKE '%state exception%')"
	for _, x := range []struct {
		end    string
		states []State
	}{{"", counting}, {"f.closed_at", []State{Closed, FalsePositive}}, {excepted, []State{Exception}}} {
		var list []struct {
			Level      int
			Start, End int64
			N          int
		}
		q := from().ColumnExpr("f.level AS level").ColumnExpr("CASE WHEN f.first_seen < ? THEN ? ELSE f.first_seen / ? END AS start", first*day, first, day).Where("f.state IN (?)", bun.In(x.states))
		if x.end == "" {
			q = q.ColumnExpr("? AS ?", first+int64(len(days)), bun.Ident("end"))
		} else {
			q = q.ColumnExpr("coalesce("+x.end+", 0) / ? AS ?", day, bun.Ident("end")).Where("coalesce("+x.end+", 0) >= ?", first*day)
		}
		if err := q.ColumnExpr("count(*) AS n").GroupExpr("1, 2, 3").Scan(ctx, &list); err != nil {
			return err
		}
		for _, c := range list {
			for d := max(c.Start, first); d < min(c.End, first+int64(len(days))); d++ {
				days[d-first].Open[string(levelOf(c.Level))] += c.N
			}
		}
	}
	return nil
}

// lookAges adds to units how long ago their assets were looked at.
func (s *Service) lookAges(ctx context.Context, r reach.Reach, unit *string, of func(string) *UnitProgress, now time.Time) error {
	known, err := s.Items.Reachable(ctx, r)
	if err != nil {
		return err
	}
	for id, n := range known {
		if unit == nil || *unit == id {
			u := of(id)
			u.Known, u.Ages.Never = n, n
		}
	}
	var rows []struct {
		Unit                  string
		Week, Month, Q, Older int
		Last                  int64
	}
	at := func(days int) int64 { return now.AddDate(0, 0, -days).UnixMilli() }
	between := "sum(CASE WHEN l.at >= ? AND l.at < ? THEN 1 ELSE 0 END) AS ?"
	q := r.Within(s.db.NewSelect().Model((*lookedRow)(nil)), "l").ColumnExpr("l.unit_id AS unit, max(l.at) AS last").
		ColumnExpr("sum(CASE WHEN l.at >= ? THEN 1 ELSE 0 END) AS week", at(7)).
		ColumnExpr(between, at(30), at(7), bun.Ident("month")).ColumnExpr(between, at(90), at(30), bun.Ident("q")).ColumnExpr(between, 0, at(90), bun.Ident("older")).
		Where("l.item_id IN (SELECT a.item_id FROM cmdb_addresses AS a)").GroupExpr("l.unit_id")
	if unit != nil {
		q = q.Where("l.unit_id = ?", *unit)
	}
	if err := q.Scan(ctx, &rows); err != nil {
		return err
	}
	for _, x := range rows {
		u := of(x.Unit)
		// What moved to another unit since counts there once it is looked at again.
		looked := x.Week + x.Month + x.Q + x.Older
		u.Ages = UnitLookAges{Week: x.Week, Month: x.Month, Quarter: x.Q, Older: x.Older, Never: max(0, u.Known-looked)}
		u.Last = when(x.Last)
	}
	return nil
}
