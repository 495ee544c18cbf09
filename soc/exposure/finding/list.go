package finding

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/cmdb/risk"
	"icewatch/detections"
	"icewatch/soc/reach"
)

// Question narrows and orders a list of findings. Empty fields do not narrow.
type Question struct {
	Words     string // that all occur in ids, title, host, asset, class, service or owner
	States    []State
	Levels    []detections.Level
	Item      string
	Classes   []string // of the CMDB's items: types of assets
	Group     string   // label of the CMDB's item
	System    string
	Unit      string
	Owner     string
	Engine    string
	Host      string // address or name
	Port      int
	Service   string // as engines name it, such as https
	Class     string // part of the kind of weakness, or a CWE id
	Title     string // part of the title
	Weakness  string // CVE, CNNVD or another id, or a check
	Overdue   bool
	Attacked  bool
	Exploited bool
	Sort      string // priority, level, due, first_seen or last_seen
	Full      bool   // with description, solution and evidence
	Limit     int
	Offset    int
}

// escape takes the meaning off the signs of LIKE.
var escape = strings.NewReplacer("!", "!!", "%", "!%", "_", "!_")

func (q *Question) where(s *bun.SelectQuery, now time.Time) *bun.SelectQuery {
	for i, w := range strings.Fields(strings.ToLower(clip(q.Words, 500))) {
		if i == 10 {
			break
		}
		s = s.Where("f.words LIKE ? ESCAPE '!'", "%"+escape.Replace(w)+"%")
	}
	if len(q.States) > 0 {
		s = s.Where("f.state IN (?)", bun.In(q.States))
	}
	if len(q.Levels) > 0 {
		ranks := make([]int, len(q.Levels))
		for i, l := range q.Levels {
			ranks[i] = rank(l)
		}
		s = s.Where("f.level IN (?)", bun.In(ranks))
	}
	// Class and label are the item's, as they are now.
	if len(q.Classes) > 0 {
		s = s.Where("f.item_id IN (SELECT i.id FROM cmdb_items AS i WHERE i.class IN (?))", bun.In(q.Classes))
	}
	if q.Group != "" {
		s = s.Where("f.item_id IN (SELECT l.item_id FROM cmdb_labels AS l WHERE l.label = ?)", q.Group)
	}
	for _, x := range []struct{ column, value string }{{"item_id", q.Item}, {"system_id", q.System}, {"unit_id", q.Unit}, {"owner", q.Owner}} {
		if x.value != "" {
			s = s.Where("f.? = ?", bun.Ident(x.column), x.value)
		}
	}
	// Of an asset the address or a name counts, of a vulnerability each of its ids.
	for _, x := range []struct{ column, value string }{{"host", q.Host}, {"weakness", q.Weakness}} {
		if v := strings.ToLower(strings.TrimSpace(x.value)); v != "" {
			s = s.Where("(lower(f.?) = ? OR f.words LIKE ? ESCAPE '!')", bun.Ident(x.column), v, "%\n"+escape.Replace(v)+"\n%")
		}
	}
	if v := strings.ToLower(strings.TrimSpace(q.Service)); v != "" {
		s = s.Where("f.words LIKE ? ESCAPE '!'", "%\n"+escape.Replace(v)+"\n%")
	}
	for _, v := range []string{q.Class, q.Title} {
		if v = strings.ToLower(strings.TrimSpace(v)); v != "" {
			s = s.Where("f.words LIKE ? ESCAPE '!'", "%"+escape.Replace(v)+"%")
		}
	}
	if q.Engine != "" {
		s = s.Where("f.engines LIKE ? ESCAPE '!'", `%"`+escape.Replace(q.Engine)+`"%`)
	}
	if q.Port > 0 {
		s = s.Where("f.port = ?", q.Port)
	}
	if q.Overdue {
		s = s.Where("f.due_at > 0 AND f.due_at < ? AND f.state IN (?)", now.UnixMilli(), bun.In(counting))
	}
	if q.Attacked {
		s = s.Where("f.attacked_at > 0")
	}
	if q.Exploited {
		s = s.Where("f.exploited = 1")
	}
	return s
}

var orders = map[string]string{"": "f.priority DESC, f.id", "priority": "f.priority DESC, f.id", "level": "f.level DESC, f.priority DESC, f.id", "due": "CASE WHEN f.due_at = 0 THEN 1 ELSE 0 END, f.due_at, f.id",
	"first_seen": "f.first_seen DESC, f.id", "last_seen": "f.last_seen DESC, f.id"}

// List lists findings within reach and counts them.
func (s *Service) List(ctx context.Context, r reach.Reach, q Question) ([]Finding, int, error) {
	order, ok := orders[q.Sort]
	if !ok {
		return nil, 0, fmt.Errorf("%w: sort by priority, level, due, first_seen or last_seen", ErrInvalid)
	}
	if q.Limit <= 0 || q.Limit > 1000 {
		q.Limit = 50
	}
	now := s.now()
	var rows []row
	if err := r.Within(q.where(s.db.NewSelect().Model(&rows), now), "f").OrderExpr(order).Offset(int64(max(q.Offset, 0))).Limit(int64(q.Limit)).Scan(ctx); err != nil {
		return nil, 0, fmt.Errorf("finding: list: %w", err)
	}
	total, err := r.Within(q.where(s.db.NewSelect().Model((*row)(nil)), now), "f").Count(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("finding: count: %w", err)
	}
	out := make([]Finding, len(rows))
	for i := range rows {
		if out[i], err = rows[i].unpack(now); err != nil {
			return nil, 0, err
		}
		if q.Full {
			continue
		}
		// Lists carry no long texts.
		out[i].Text, out[i].Solution, out[i].Evidence = detections.Text{}, detections.Text{}, ""
	}
	return out, int(total), nil
}

// Get is a finding within reach with what happened to it, the latest first.
func (s *Service) Get(ctx context.Context, r reach.Reach, id string) (Finding, []FindingEvent, error) {
	had, err := s.rows(ctx, s.db.DB, r, []string{id})
	if err != nil {
		return Finding{}, nil, err
	}
	if had[id] == nil {
		return Finding{}, nil, ErrNotFound
	}
	f, err := had[id].unpack(s.now())
	if err != nil {
		return Finding{}, nil, err
	}
	if strings.HasPrefix(f.Weakness, "CVE-") && s.Library != nil {
		// What the library learned since.
		if v, err := s.Library.Get(ctx, f.Weakness); err == nil {
			if f.Text.ZH == "" {
				f.Text.ZH = v.Text.ZH
			}
			if f.Text.EN == "" {
				f.Text.EN = v.Text.EN
			}
			if f.Solution.ZH == "" {
				f.Solution.ZH = v.Solution.ZH
			}
			if f.Solution.EN == "" {
				f.Solution.EN = v.Solution.EN
			}
		}
	}
	var list []historyRow
	if err := s.db.NewSelect().Model(&list).ExcludeColumn("before").Where("h.finding = ? AND h.action <> 'seen'", id).Order("h.id DESC").Limit(200).Scan(ctx); err != nil {
		return Finding{}, nil, fmt.Errorf("finding: history of %s: %w", id, err)
	}
	out := make([]FindingEvent, len(list))
	for i, h := range list {
		out[i] = FindingEvent{At: when(h.At), Actor: h.Actor, Action: h.Action, Comment: h.Comment, Change: h.Change, Undone: h.Undone != 0}
	}
	return f, out, nil
}

// FindingFigures are figures of findings within reach.
type FindingFigures struct {
	Counting int                `json:"counting" doc:"Findings that are not closed, excepted or false"`
	Overdue  int                `json:"overdue"`
	Attacked int                `json:"attacked" doc:"Of those that count, those on which attacks were seen"`
	ByState  map[string]int     `json:"by_state"`
	ByLevel  map[string]int     `json:"by_level" doc:"Of those that count"`
	ByType   map[string]int     `json:"by_asset_type" doc:"Class of the CMDB → findings that count; empty is what the CMDB does not know"`
	ByGroup  []GroupFigures     `json:"by_asset_group" nullable:"false" doc:"By label of the asset, the 50 with the most that count; an asset with several labels counts for each"`
	Assets   int                `json:"assets" doc:"Assets that have findings that count"`
	Known    int                `json:"known" doc:"Items of the CMDB that have an address"`
	Looked   int                `json:"looked_at" doc:"Of these, those that any engine looked at within 30 days, whether it found something or not"`
	Units    []UnitFigures      `json:"units" nullable:"false" doc:"The 100 with the most that count"`
	Trend    []FindingTrendDay  `json:"trend" nullable:"false" doc:"Of the last 30 days"`
	Engines  map[string]int     `json:"engines" doc:"Engine → findings that count"`
	Repair   map[string]float64 `json:"repair_days" doc:"Level → mean days from the first sight to the end, of what was closed within 90 days"`
}

// GroupFigures are a group of assets'.
type GroupFigures struct {
	Group    string `json:"group" doc:"Label of the CMDB"`
	Counting int    `json:"counting"`
	Urgent   int    `json:"urgent" doc:"Of these, high and critical ones"`
}

// UnitFigures are a unit's.
type UnitFigures struct {
	Unit     string  `json:"unit" doc:"Id of the organisation; empty where none is known"`
	Name     string  `json:"name,omitempty" doc:"Of the organisation"`
	Counting int     `json:"counting"`
	Overdue  int     `json:"overdue"`
	Closed   int     `json:"closed" doc:"Within 90 days"`
	Known    int     `json:"known" doc:"Items of the CMDB that have an address"`
	Looked   int     `json:"looked_at" doc:"Of these, those that any engine looked at within 30 days"`
	Days     float64 `json:"repair_days" doc:"Mean days to repair of these; 0 where there is none"`
}

// FindingTrendDay is one day, UTC.
type FindingTrendDay struct {
	Day    string `json:"day"`
	New    int    `json:"new"`
	Closed int    `json:"closed"`
	// Open is what counted at the end of the day, of today now. What was closed and came
	// back counts for the time between, too.
	Open map[string]int `json:"open" doc:"Level → findings that counted at the end of the day, of today now"`
}

const day = int64(24 * time.Hour / time.Millisecond)

// Figures counts findings within reach.
func (s *Service) Figures(ctx context.Context, r reach.Reach) (FindingFigures, error) {
	now := s.now()
	out := FindingFigures{ByState: map[string]int{}, ByLevel: map[string]int{}, Engines: map[string]int{}, Repair: map[string]float64{}, ByType: map[string]int{}, ByGroup: []GroupFigures{}, Units: []UnitFigures{}, Trend: []FindingTrendDay{}}
	fail := func(err error) (FindingFigures, error) { return out, fmt.Errorf("finding: figures: %w", err) }
	from := func() *bun.SelectQuery { return r.Within(s.db.NewSelect().Model((*row)(nil)), "f") }
	var groups []struct {
		State   State
		Level   int
		Engines string
		N       int
		Late    int
		Hit     int
	}
	if err := from().ColumnExpr("f.state AS state, f.level AS level, f.engines AS engines, count(*) AS n").ColumnExpr("sum(CASE WHEN f.due_at > 0 AND f.due_at < ? THEN 1 ELSE 0 END) AS late", now.UnixMilli()).
		ColumnExpr("sum(CASE WHEN f.attacked_at > 0 THEN 1 ELSE 0 END) AS hit").GroupExpr("f.state, f.level, f.engines").Scan(ctx, &groups); err != nil {
		return fail(err)
	}
	for _, g := range groups {
		out.ByState[string(g.State)] += g.N
		if !slices.Contains(counting, g.State) {
			continue
		}
		out.Counting, out.Overdue, out.Attacked = out.Counting+g.N, out.Overdue+g.Late, out.Attacked+g.Hit
		out.ByLevel[string(levelOf(g.Level))] += g.N
		for e := range strings.SplitSeq(strings.Trim(g.Engines, "[]"), ",") {
			out.Engines[strings.Trim(e, `"`)] += g.N
		}
	}
	if err := from().ColumnExpr("count(DISTINCT CASE WHEN f.item_id = '' THEN f.zone || '|' || f.host ELSE f.item_id END)").Where("f.state IN (?)", bun.In(counting)).Scan(ctx, &out.Assets); err != nil {
		return fail(err)
	}
	if err := byAssets(ctx, from, &out); err != nil {
		return fail(err)
	}
	var units []struct {
		Unit string
		N    int
		Late int
		Done int
		Sum  float64
	}
	since := now.AddDate(0, 0, -90).UnixMilli()
	if err := from().ColumnExpr("f.unit_id AS unit").ColumnExpr("sum(CASE WHEN f.state IN (?) THEN 1 ELSE 0 END) AS n", bun.In(counting)).
		ColumnExpr("sum(CASE WHEN f.state IN (?) AND f.due_at > 0 AND f.due_at < ? THEN 1 ELSE 0 END) AS late", bun.In(counting), now.UnixMilli()).
		ColumnExpr("sum(CASE WHEN f.state = 'closed' AND f.closed_at >= ? THEN 1 ELSE 0 END) AS done", since).
		ColumnExpr("sum(CASE WHEN f.state = 'closed' AND f.closed_at >= ? THEN 1.0 * (f.closed_at - f.first_seen) / ? ELSE 0.0 END) AS sum", since, day).
		GroupExpr("f.unit_id").OrderExpr("n DESC, unit").Limit(100).Scan(ctx, &units); err != nil {
		return fail(err)
	}
	for _, u := range units {
		x := UnitFigures{Unit: u.Unit, Counting: u.N, Overdue: u.Late, Closed: u.Done}
		if u.Done > 0 {
			x.Days = u.Sum / float64(u.Done)
		}
		out.Units = append(out.Units, x)
	}
	if err := s.coverage(ctx, r, &out, now); err != nil {
		return fail(err)
	}
	names := make([]string, 0, len(out.Units))
	for _, u := range out.Units {
		if u.Unit != "" {
			names = append(names, u.Unit)
		}
	}
	// Whoever sees the assets of a unit may know its name.
	called := s.Names(ctx, names)
	for i := range out.Units {
		out.Units[i].Name = called[out.Units[i].Unit]
	}
	var repair []struct {
		Level int
		Days  float64
	}
	if err := from().ColumnExpr("f.level AS level, avg(1.0 * (f.closed_at - f.first_seen) / ?) AS days", day).Where("f.state = 'closed' AND f.closed_at >= ?", since).GroupExpr("f.level").Scan(ctx, &repair); err != nil {
		return fail(err)
	}
	for _, x := range repair {
		out.Repair[string(levelOf(x.Level))] = x.Days
	}
	first := now.UnixMilli()/day - 29
	days := map[int64]*FindingTrendDay{}
	for i := range int64(30) {
		out.Trend = append(out.Trend, FindingTrendDay{Day: when((first + i) * day).Format(time.DateOnly)})
	}
	for i := range out.Trend {
		days[first+int64(i)] = &out.Trend[i]
	}
	for _, column := range []string{"first_seen", "closed_at"} {
		var list []struct {
			Day int64
			N   int
		}
		q := from().ColumnExpr("f.? / ? AS day, count(*) AS n", bun.Ident(column), day).Where("f.? >= ?", bun.Ident(column), first*day).GroupExpr("1")
		if column == "closed_at" {
			q = q.Where("f.state = 'closed'")
		}
		if err := q.Scan(ctx, &list); err != nil {
			return fail(err)
		}
		for _, x := range list {
			if d := days[x.Day]; d != nil && column == "first_seen" {
				d.New = x.N
			} else if d != nil {
				d.Closed = x.N
			}
		}
	}
	if err := openOn(ctx, from, out.Trend, first); err != nil {
		return fail(err)
	}
	return out, nil
}

// Names are the names of organisations by id, those that are known.
func (s *Service) Names(ctx context.Context, units []string) map[string]string {
	out := map[string]string{}
	for _, id := range units {
		if card, err := s.Items.Card(ctx, reach.All(), id); err == nil {
			out[id] = card.Item.Name
		}
	}
	return out
}

// ForRisk lists what counts of items, the worst first, at most 50 an item: the CMDB's
// risk is made of it.
type ForRisk struct{ *Service }

// Of implements risk.Findings.
func (s ForRisk) Of(ctx context.Context, ids []string) (map[string][]risk.Finding, error) {
	out := map[string][]risk.Finding{}
	for part := range slices.Chunk(ids, 400) {
		var rows []row
		if err := s.db.NewSelect().Model(&rows).Column("f.id", "f.item_id", "f.level", "f.due_at", "f.state", "f.doc").Where("f.item_id IN (?) AND f.state IN (?)", bun.In(part), bun.In(counting)).
			OrderExpr("f.item_id, f.priority DESC").Scan(ctx); err != nil {
			return nil, fmt.Errorf("finding: of %d items: %w", len(part), err)
		}
		for i := range rows {
			if len(out[rows[i].ItemID]) >= 50 {
				continue
			}
			f, err := rows[i].unpack(s.now())
			if err != nil {
				return nil, err
			}
			title := f.Title
			if title.ZH == "" {
				title.ZH = title.EN
			}
			if title.EN == "" {
				title.EN = title.ZH
			}
			out[f.Item] = append(out[f.Item], risk.Finding{Severity: f.Level, Title: detections.Text{ZH: title.ZH + " " + place(&f), EN: title.EN + " " + place(&f)}})
		}
	}
	return out, nil
}

// maxStirred bounds how much of the history is read at once.
const maxStirred = 5000

// Stirred implements risk.Findings.
func (s ForRisk) Stirred(ctx context.Context, after int64) (ids []string, next int64, err error) {
	var rows []struct {
		ID     int64  `bun:"id"`
		Item   string `bun:"item_id"`
		System string `bun:"system_id"`
		Before string `bun:"before"`
	}
	err = s.db.NewSelect().TableExpr("exposure_finding_history AS h").Join("LEFT JOIN exposure_findings AS f ON f.id = h.finding").
		ColumnExpr("h.id, COALESCE(f.item_id, '') AS item_id, COALESCE(f.system_id, '') AS system_id, CASE WHEN f.id IS NULL THEN h.before ELSE '' END AS before").
		Where("h.id > ?", after).OrderExpr("h.id").Limit(maxStirred).Scan(ctx, &rows)
	if err != nil {
		return nil, after, fmt.Errorf("finding: what changed after entry %d: %w", after, err)
	}
	next = after
	found := map[string]bool{}
	for _, r := range rows {
		next = r.ID
		if r.Before != "" { // it is no more
			var was row
			if err := json.Unmarshal([]byte(r.Before), &was); err != nil {
				return nil, after, fmt.Errorf("finding: what entry %d was cannot be read: %w", r.ID, err)
			}
			r.Item, r.System = was.ItemID, was.SystemID
		}
		for _, id := range []string{r.Item, r.System} {
			if id != "" && !found[id] {
				found[id], ids = true, append(ids, id)
			}
		}
	}
	return ids, next, nil
}

func place(f *Finding) string {
	if f.Port > 0 {
		return f.Host + ":" + strconv.Itoa(f.Port)
	}
	return f.Host
}

// ForPortrait counts what is open of items.
type ForPortrait struct{ *Service }

// Of implements portrait.Findings.
func (s ForPortrait) Of(ctx context.Context, r reach.Reach, items []string) (map[string]int, error) {
	out := map[string]int{}
	for part := range slices.Chunk(items, 400) {
		var rows []struct{ Level, N int }
		if err := r.Within(s.db.NewSelect().Model((*row)(nil)).ColumnExpr("f.level AS level, count(*) AS n").Where("f.item_id IN (?) AND f.state IN (?)", bun.In(part), bun.In(counting)).GroupExpr("f.level"), "f").Scan(ctx, &rows); err != nil {
			return nil, fmt.Errorf("finding: of %d items: %w", len(part), err)
		}
		for _, x := range rows {
			out[string(levelOf(x.Level))] += x.N
		}
	}
	return out, nil
}
