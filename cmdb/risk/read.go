package risk

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/cmdb"
	"icewatch/detections"
	"icewatch/soc/reach"
)

// ErrInvalid says that a list is asked for in a way that there is not.
var ErrInvalid = errors.New("risk: invalid question")

// Line is an item with its risk, as lists have it.
type Line struct {
	ID          string          `json:"id"`
	Class       string          `json:"class"`
	Name        string          `json:"name"`
	Tenant      string          `json:"tenant"`
	Criticality int             `json:"criticality"`
	Owner       string          `json:"owner,omitempty"`
	Kind        string          `json:"kind" enum:"asset,system,unit"`
	Score       int             `json:"score" doc:"0 to 100"`
	Level       Level           `json:"level" enum:"low,medium,high,compromised"`
	Alerts      int             `json:"alerts" doc:"That are open"`
	Incidents   int             `json:"incidents" doc:"That these belong to"`
	Findings    int             `json:"findings"`
	Tags        []string        `json:"tags" nullable:"false" doc:"Rating tags"`
	Why         detections.Text `json:"why" doc:"What counts most"`
	ScoredAt    time.Time       `json:"scored_at,omitzero" doc:"Absent of a unit that is scored for the caller, by what he sees of it"`
}

// Detail is an item's risk with its reasons.
type Detail struct {
	Line
	Result Result `json:"result"`
	Trend  []Day  `json:"trend" nullable:"false" doc:"Of the last 15 days, oldest first; of a unit only for callers who see everything"`
	Peers  Peers  `json:"peers"`
}

// Day is a score at the end of a day.
type Day struct {
	Day   string `json:"day" doc:"2006-01-02, UTC"`
	Score int    `json:"score" doc:"-1 before it was scored"`
	Level Level  `json:"level,omitempty"`
}

// Peers compares an item with those like it that the caller sees: of its class,
// and of its business line if it has one.
type Peers struct {
	Class  string  `json:"class"`
	Line   string  `json:"line,omitempty" doc:"Business line"`
	Count  int     `json:"count" doc:"Items compared, this one included"`
	Rank   int     `json:"rank" doc:"1 is the most at risk"`
	Mean   float64 `json:"mean"`
	Median int     `json:"median"`
	Worst  int     `json:"worst"`
	Best   int     `json:"best"`
	Bins   []int   `json:"bins" nullable:"false" doc:"Items by score: 0 to 9, 10 to 19, … 90 to 100"`
}

// maxPeers is how many peers are compared, the most at risk.
const maxPeers = 10_000

// joined is a row of a score with its item's.
type joined struct {
	ItemID      string `bun:"item_id"`
	Class       string `bun:"class"`
	Name        string `bun:"name"`
	Tenant      string `bun:"tenant"`
	Criticality int    `bun:"criticality"`
	Owner       string `bun:"owner"`
	Kind        string `bun:"kind"`
	Score       int    `bun:"score"`
	Level       int    `bun:"level"`
	Alerts      int    `bun:"alerts"`
	Incidents   int    `bun:"incidents"`
	Findings    int    `bun:"findings"`
	ScoredAt    int64  `bun:"scored_at"`
	Result      string `bun:"result"`
	Labels      string `bun:"reach_labels"`
}

func (j *joined) line() (Line, Result, error) {
	l := Line{ID: j.ItemID, Class: j.Class, Name: j.Name, Tenant: j.Tenant, Criticality: j.Criticality, Owner: j.Owner, Kind: j.Kind, Score: j.Score,
		Level: Levels[min(max(j.Level, 0), len(Levels)-1)], Alerts: j.Alerts, Incidents: j.Incidents, Findings: j.Findings, Tags: []string{}, ScoredAt: time.UnixMilli(j.ScoredAt).UTC()}
	var r Result
	if err := json.Unmarshal([]byte(j.Result), &r); err != nil {
		return l, r, fmt.Errorf("risk: stored result of %s: %w", j.ItemID, err)
	}
	if r.Tags != nil {
		l.Tags = r.Tags
	}
	l.Why = r.why()
	return l, r, nil
}

// why is the first sentence of the part that counts most.
func (r *Result) why() detections.Text {
	best := -1
	for i, p := range r.Parts {
		if len(p.Reasons) > 0 && (best < 0 || p.Points > r.Parts[best].Points) {
			best = i
		}
	}
	switch {
	case best >= 0:
		reasons := r.Parts[best].Reasons
		return reasons[len(reasons)-1]
	case len(r.Matters) > 0:
		return r.Matters[0]
	}
	return detections.Text{}
}

// in is the scores of the items in a reach.
func (s *Service) in(r reach.Reach) *bun.SelectQuery {
	return r.Within(s.db.NewSelect().TableExpr("cmdb_risk AS r").Join("JOIN cmdb_items AS i ON i.id = r.item_id"), "i")
}

func whole(q *bun.SelectQuery) *bun.SelectQuery {
	return q.ColumnExpr("r.item_id, i.class, i.name, i.tenant, i.criticality, i.owner, r.kind, r.score, r.level, r.alerts, r.incidents, r.findings, r.scored_at, r.result, i.reach_labels")
}

// Question narrows and orders a list of items by risk.
type Question struct {
	Kind   string // asset, system, unit; "" is all
	Class  string
	Levels []Level
	System string // id
	Unit   string // id
	Words  string // that all occur in name, addresses, owner or labels
	Region string // of the item, or of the organisation it belongs to
	Tag    string // rating tag, see Result
	Sort   string // score (the default), alerts, incidents, findings, criticality; the most first
	Limit  int    // 50 where 0, at most 1000
	Offset int
}

var sorts = map[string]string{"": "r.level DESC, r.score", "score": "r.level DESC, r.score", "alerts": "r.alerts", "incidents": "r.incidents", "findings": "r.findings", "criticality": "i.criticality"}

// List lists items in reach, the most at risk first, with the number of all that
// match. A unit's own line is that of what the caller sees of it.
func (s *Service) List(ctx context.Context, r reach.Reach, q Question) ([]Line, int, error) {
	order, ok := sorts[q.Sort]
	if !ok {
		return nil, 0, fmt.Errorf("%w: sort: %q: want score, alerts, incidents, findings or criticality", ErrInvalid, q.Sort)
	}
	where := func(sel *bun.SelectQuery) *bun.SelectQuery {
		for column, v := range map[string]string{"r.kind": q.Kind, "i.class": q.Class, "i.system_id": q.System, "i.organisation_id": q.Unit, "i.reach_region": q.Region} {
			if v != "" {
				sel = sel.Where(column+" = ?", v)
			}
		}
		if q.Tag != "" {
			// A result is written with its tags right before its words, and JSON escapes the quotes within texts: no other
			// place of it reads so, and both databases know LIKE.
			sel = sel.Where(`r.result LIKE ? ESCAPE '!'`, `%"tags":[%"`+escapeLike(q.Tag)+`"%],"words":%`)
		}
		if len(q.Levels) > 0 {
			ranks := make([]int, len(q.Levels))
			for i, l := range q.Levels {
				ranks[i] = l.Rank()
			}
			sel = sel.Where("r.level IN (?)", bun.In(ranks))
		}
		for _, word := range strings.Fields(strings.ToLower(q.Words)) {
			sel = sel.Where("lower(i.name || ' ' || i.owner || ' ' || i.addresses || ' ' || i.hostnames || ' ' || i.labels) LIKE ? ESCAPE '!'", "%"+escapeLike(word)+"%")
		}
		return sel
	}
	if q.Kind == "" && !r.Everything() {
		// Units are told by what is seen of them, which SQL does not sort by.
		where = func(inner func(*bun.SelectQuery) *bun.SelectQuery) func(*bun.SelectQuery) *bun.SelectQuery {
			return func(sel *bun.SelectQuery) *bun.SelectQuery { return inner(sel).Where("r.kind <> 'unit'") }
		}(where)
	}
	limit := q.Limit
	if limit <= 0 {
		limit = 50
	}
	limit = min(limit, 1000)
	if q.Kind == Unit && !r.Everything() {
		return s.unitsSeen(ctx, r, q, where, limit)
	}
	total, err := where(s.in(r)).Count(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("risk: count: %w", err)
	}
	var rows []joined
	if err := whole(where(s.in(r))).OrderExpr(order+" DESC, r.item_id").Limit(int64(limit)).Offset(int64(q.Offset)).Scan(ctx, &rows); err != nil {
		return nil, 0, fmt.Errorf("risk: list: %w", err)
	}
	out := make([]Line, 0, len(rows))
	for i := range rows {
		l, _, err := rows[i].line()
		if err != nil {
			return nil, 0, err
		}
		out = append(out, l)
	}
	return out, int(total), nil
}

// escapeLike writes a text so that LIKE takes it literally, with ! as escape.
func escapeLike(text string) string {
	return strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(text)
}

// unitsSeen lists units by what a caller sees of them.
func (s *Service) unitsSeen(ctx context.Context, r reach.Reach, q Question, where func(*bun.SelectQuery) *bun.SelectQuery, limit int) ([]Line, int, error) {
	levels := q.Levels
	q.Levels = nil
	var rows []joined
	if err := whole(where(s.in(r))).Where("r.kind = 'unit'").OrderExpr("r.item_id").Scan(ctx, &rows); err != nil {
		return nil, 0, fmt.Errorf("risk: list units: %w", err)
	}
	lines := []Line{}
	for i := range rows {
		d, err := s.unitSeen(ctx, r, &rows[i])
		if err != nil {
			return nil, 0, err
		}
		if len(levels) == 0 || slices.Contains(levels, d.Line.Level) {
			lines = append(lines, d.Line)
		}
	}
	by := map[string]func(Line) int{"alerts": func(l Line) int { return l.Alerts }, "incidents": func(l Line) int { return l.Incidents },
		"findings": func(l Line) int { return l.Findings }, "criticality": func(l Line) int { return l.Criticality }}[q.Sort]
	if by == nil {
		by = func(l Line) int { return l.Level.Rank()*1000 + l.Score }
	}
	slices.SortStableFunc(lines, func(a, b Line) int { return cmp.Compare(by(b), by(a)) })
	from := min(q.Offset, len(lines))
	return lines[from:min(from+limit, len(lines))], len(lines), nil
}

// unitSeen is a unit's risk made of what the caller sees of it.
func (s *Service) unitSeen(ctx context.Context, r reach.Reach, j *joined) (Detail, error) {
	var x row
	result, err := s.unit(ctx, r, j.ItemID, &x)
	if err != nil {
		return Detail{}, err
	}
	j.Score, j.Level, j.Alerts, j.Incidents, j.Findings = result.Score, result.Level.Rank(), x.Alerts, x.Incidents, x.Findings
	text, err := json.Marshal(result)
	if err != nil {
		return Detail{}, err
	}
	j.Result = string(text)
	l, _, err := j.line()
	l.ScoredAt = time.Time{} // when it was stored would tell of what he does not see
	return Detail{Line: l, Result: result, Trend: []Day{}}, err
}

// Lines returns the risk of those of some items in reach that have one, by id.
func (s *Service) Lines(ctx context.Context, r reach.Reach, ids []string) (map[string]Line, error) {
	out := make(map[string]Line, len(ids))
	for part := range slices.Chunk(ids, chunk) {
		var rows []joined
		if err := whole(s.in(r)).Where("r.item_id IN (?)", bun.In(part)).Scan(ctx, &rows); err != nil {
			return nil, fmt.Errorf("risk: of %d items: %w", len(part), err)
		}
		for i := range rows {
			if rows[i].Kind == Unit && !r.Everything() {
				d, err := s.unitSeen(ctx, r, &rows[i])
				if err != nil {
					return nil, err
				}
				out[d.ID] = d.Line
				continue
			}
			l, _, err := rows[i].line()
			if err != nil {
				return nil, err
			}
			out[l.ID] = l
		}
	}
	return out, nil
}

// Of returns the risk of an item in reach. One that has none, or that is not
// scored yet, is cmdb.ErrNotFound.
func (s *Service) Of(ctx context.Context, r reach.Reach, id string) (Detail, error) {
	var rows []joined
	if err := whole(s.in(r)).Where("r.item_id = ?", id).Scan(ctx, &rows); err != nil {
		return Detail{}, fmt.Errorf("risk: of %q: %w", id, err)
	}
	if len(rows) == 0 {
		return Detail{}, fmt.Errorf("%w: no risk of %q is known", cmdb.ErrNotFound, id)
	}
	j := &rows[0]
	var d Detail
	var err error
	if j.Kind == Unit && !r.Everything() {
		d, err = s.unitSeen(ctx, r, j)
	} else {
		if d.Line, d.Result, err = j.line(); err == nil {
			d.Trend, err = s.trend(ctx, id)
		}
	}
	if err != nil {
		return Detail{}, err
	}
	d.Peers, err = s.peers(ctx, r, j)
	return d, err
}

// trend is the score of an item on each of the last days.
func (s *Service) trend(ctx context.Context, id string) ([]Day, error) {
	var rows []dayRow
	if err := s.db.NewSelect().Model(&rows).Where("d.item_id = ?", id).Order("d.day").Scan(ctx); err != nil {
		return nil, fmt.Errorf("risk: trend of %q: %w", id, err)
	}
	out := make([]Day, TrendDays)
	first := dayOf(s.now()) - TrendDays + 1
	for i := range out {
		day := first + int64(i)
		out[i] = Day{Day: time.Unix(day*86400, 0).UTC().Format(time.DateOnly), Score: -1}
		for _, r := range rows {
			if r.Day <= day {
				out[i].Score, out[i].Level = r.Score, Levels[min(max(r.Level, 0), len(Levels)-1)]
			}
		}
	}
	return out, nil
}

// peers compares an item with those of its class and business line in reach.
func (s *Service) peers(ctx context.Context, r reach.Reach, j *joined) (Peers, error) {
	p := Peers{Class: j.Class, Bins: make([]int, 10)}
	q := s.in(r).Where("i.class = ?", j.Class)
	for _, label := range reach.SplitLabels(j.Labels) {
		if line, ok := strings.CutPrefix(label, cmdb.LineLabel); ok {
			p.Line = line
			q = q.Where("i.reach_labels LIKE ? ESCAPE '!'", "%;"+strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(label)+";%")
			break
		}
	}
	var scores []int
	if j.Kind == Unit && !r.Everything() {
		lines, _, err := s.unitsSeen(ctx, r, Question{Class: j.Class}, func(q *bun.SelectQuery) *bun.SelectQuery { return q }, maxPeers)
		if err != nil {
			return p, err
		}
		for _, l := range lines {
			scores = append(scores, l.Score)
		}
		p.Line = ""
	} else if err := q.ColumnExpr("r.score").OrderExpr("r.score DESC").Limit(maxPeers).Scan(ctx, &scores); err != nil {
		return p, fmt.Errorf("risk: peers of %q: %w", j.ItemID, err)
	}
	slices.SortFunc(scores, func(a, b int) int { return b - a })
	p.Count = len(scores)
	if p.Count == 0 {
		return p, nil
	}
	sum := 0
	p.Rank = 1
	for _, x := range scores {
		sum += x
		p.Bins[min(x/10, 9)]++
		if x > j.Score {
			p.Rank++
		}
	}
	p.Mean = math.Round(10*float64(sum)/float64(p.Count)) / 10
	p.Median, p.Worst, p.Best = scores[p.Count/2], scores[0], scores[p.Count-1]
	return p, nil
}

// Overview is how much is at risk.
type Overview struct {
	Kind       string        `json:"kind"`
	Total      int           `json:"total"`
	AtRisk     int           `json:"at_risk" doc:"Of level medium and above"`
	ByLevel    map[Level]int `json:"by_level" nullable:"false"`
	Industries []Share       `json:"industries" nullable:"false" doc:"Industries of those at risk, the most frequent first"`
	Regions    []Share       `json:"regions" nullable:"false" doc:"Regions, the most at risk first"`
	Worst      []Line        `json:"worst" nullable:"false" doc:"The ten most at risk"`
	Trend      []DayLevels   `json:"trend" nullable:"false" doc:"Of the last 15 days, oldest first"`
}

// Share is how many there are of one value, and how many of them at risk.
type Share struct {
	Value  string `json:"value" doc:"Empty where nothing is recorded"`
	Total  int    `json:"total"`
	AtRisk int    `json:"at_risk"`
	Alerts int    `json:"alerts"`
	Worst  int    `json:"worst" doc:"The highest score"`
}

// DayLevels counts scores by level at the end of a day.
type DayLevels struct {
	Day     string        `json:"day"`
	ByLevel map[Level]int `json:"by_level"`
	Mean    float64       `json:"mean" doc:"Mean score"`
}

// Overview tells how much of a kind in reach is at risk. Of units it counts for
// each what the caller sees of it.
func (s *Service) Overview(ctx context.Context, r reach.Reach, kind string) (Overview, error) {
	if kind != Asset && kind != System && kind != Unit {
		return Overview{}, fmt.Errorf("%w: kind: %q: want asset, system or unit", ErrInvalid, kind)
	}
	out := Overview{Kind: kind, ByLevel: map[Level]int{}, Industries: []Share{}, Regions: []Share{}, Trend: []DayLevels{}}
	for _, l := range Levels {
		out.ByLevel[l] = 0
	}
	var err error
	if out.Worst, _, err = s.List(ctx, r, Question{Kind: kind, Limit: 10}); err != nil {
		return out, err
	}
	if kind == Unit && !r.Everything() {
		lines, total, err := s.List(ctx, r, Question{Kind: kind, Limit: 1000})
		if err != nil {
			return out, err
		}
		for _, l := range lines {
			out.ByLevel[l.Level]++
		}
		out.Total = total
		out.AtRisk = total - out.ByLevel[Low]
		return out, nil
	}
	for column, into := range map[string]*[]Share{"reach_industry": &out.Industries, "reach_region": &out.Regions} {
		err := s.in(r).Where("r.kind = ?", kind).ColumnExpr("? AS value, count(*) AS total, sum(CASE WHEN r.level > 0 THEN 1 ELSE 0 END) AS at_risk, sum(r.alerts) AS alerts, max(r.score) AS worst", bun.Ident("i."+column)).
			GroupExpr("?", bun.Ident("i."+column)).OrderExpr("at_risk DESC, worst DESC, value").Limit(100).Scan(ctx, into)
		if err != nil {
			return out, fmt.Errorf("risk: count by %s: %w", column, err)
		}
	}
	var counts []struct {
		Level int `bun:"level"`
		N     int `bun:"n"`
	}
	if err := s.in(r).Where("r.kind = ?", kind).ColumnExpr("r.level, count(*) AS n").GroupExpr("r.level").Scan(ctx, &counts); err != nil {
		return out, fmt.Errorf("risk: count by level: %w", err)
	}
	for _, c := range counts {
		level := Levels[min(max(c.Level, 0), len(Levels)-1)]
		out.ByLevel[level] += c.N
		out.Total += c.N
		if level != Low {
			out.AtRisk += c.N
		}
	}
	out.Trend, err = s.levels(ctx, r, kind)
	return out, err
}

// levels counts the items of a kind by level at the end of each of the last
// days: what is stored is when a score changed.
func (s *Service) levels(ctx context.Context, r reach.Reach, kind string) ([]DayLevels, error) {
	first := dayOf(s.now()) - TrendDays + 1
	// Each stored score holds from its day until the next of the item.
	spans := s.in(r).Where("r.kind = ?", kind).Join("JOIN cmdb_risk_days AS d ON d.item_id = r.item_id").
		ColumnExpr("d.level, d.score, d.day, coalesce(lead(d.day) OVER (PARTITION BY d.item_id ORDER BY d.day), ?) AS until", first+TrendDays)
	var rows []struct {
		Level int   `bun:"level"`
		Day   int64 `bun:"day"`
		Until int64 `bun:"until"`
		N     int   `bun:"n"`
		Sum   int64 `bun:"total"`
	}
	err := s.db.NewSelect().TableExpr("(?) AS s", spans).ColumnExpr("s.level, s.day, s.until, count(*) AS n, sum(s.score) AS total").
		Where("s.until > ?", first).GroupExpr("s.level, s.day, s.until").Scan(ctx, &rows)
	if err != nil {
		return nil, fmt.Errorf("risk: trend of %ss: %w", kind, err)
	}
	out := make([]DayLevels, TrendDays)
	for i := range out {
		day := first + int64(i)
		out[i] = DayLevels{Day: time.Unix(day*86400, 0).UTC().Format(time.DateOnly), ByLevel: map[Level]int{}}
		n, sum := 0, int64(0)
		for _, x := range rows {
			if x.Day <= day && day < x.Until {
				out[i].ByLevel[Levels[min(max(x.Level, 0), len(Levels)-1)]] += x.N
				n, sum = n+x.N, sum+x.Sum
			}
		}
		if n > 0 {
			out[i].Mean = math.Round(10*float64(sum)/float64(n)) / 10
		}
	}
	return out, nil
}
