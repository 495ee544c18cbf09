package library

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
)

// searchTime is the longest that a search may take.
const searchTime = 20 * time.Second

// mostCounted is up to how many matches are counted.
const mostCounted = 10_000

// Question narrows and orders a list of vulnerabilities.
type Question struct {
	Words     string // that all occur in ids, title, class, products or description
	Product   string // that occurs in the name of an affected package or product
	Levels    []detections.Level
	Weakness  string // a CWE id
	Exploited bool   // only those known to be exploited
	Since     time.Time
	Rejected  bool   // those too that were taken back
	Sort      string // published, score, epss or modified; the most first
	Limit     int
	Cursor    string
}

// List lists vulnerabilities. total is counted up to 10,000 and -1 beyond.
func (l *Library) List(ctx context.Context, q Question) (list []VulnLine, total int, next string, err error) {
	ctx, cancel := context.WithTimeout(ctx, searchTime)
	defer cancel()
	if q.Limit <= 0 || q.Limit > 1000 {
		q.Limit = 50
	}
	from := 0
	if q.Cursor != "" {
		if from, err = strconv.Atoi(q.Cursor); err != nil || from < 0 {
			return nil, 0, "", fmt.Errorf("%w: the cursor %q is none that this list gave", ErrInvalid, clip(q.Cursor, 40))
		}
	}
	sort, ok := map[string]string{"": "published", "published": "published", "score": "score", "epss": "epss", "modified": "modified"}[q.Sort]
	if !ok {
		return nil, 0, "", fmt.Errorf("%w: sort by published, score, epss or modified", ErrInvalid)
	}
	var rows []vulnRow
	if err := q.where(l.db.NewSelect().Model(&rows).Column("v.id", "v.epss", "v.line")).OrderExpr("v.? DESC, v.id DESC", bun.Ident(sort)).Offset(int64(from)).Limit(int64(q.Limit + 1)).Scan(ctx); err != nil {
		return nil, 0, "", fmt.Errorf("library: search: %w", err)
	}
	if len(rows) > q.Limit {
		rows, next = rows[:q.Limit], strconv.Itoa(from+q.Limit)
	}
	if list, err = lines(rows); err != nil {
		return nil, 0, "", err
	}
	if next == "" {
		return list, from + len(list), "", nil
	}
	some := q.where(l.db.NewSelect().Model((*vulnRow)(nil)).Column("v.id")).Limit(mostCounted + 1)
	n, err := l.db.NewSelect().TableExpr("(?) AS n", some).Count(ctx)
	if err != nil {
		return nil, 0, "", fmt.Errorf("library: count: %w", err)
	}
	if n > mostCounted {
		n = -1
	}
	return list, int(n), next, nil
}

func lines(rows []vulnRow) ([]VulnLine, error) {
	list := make([]VulnLine, len(rows))
	for i, r := range rows {
		if err := json.Unmarshal([]byte(r.Line), &list[i]); err != nil {
			return nil, fmt.Errorf("library: the row of %s cannot be read: %w", r.ID, err)
		}
		list[i].EPSS = r.EPSS // moves by itself
	}
	return list, nil
}

// escape takes the meaning off the signs of LIKE.
var escape = strings.NewReplacer("!", "!!", "%", "!%", "_", "!_")

func (q *Question) where(s *bun.SelectQuery) *bun.SelectQuery {
	for i, w := range strings.Fields(strings.ToLower(clip(q.Words, 500))) {
		if i == 10 {
			break
		}
		if up := strings.ToUpper(w); IsCVE(up) {
			s = s.Where("(v.id = ? OR v.id IN (SELECT a.vulnerability FROM exposure_vulnerability_aliases AS a WHERE a.alias = ?))", up, up)
			continue
		}
		s = s.Where("v.words LIKE ? ESCAPE '!'", "%"+escape.Replace(w)+"%")
	}
	if p := strings.ToLower(strings.TrimSpace(clip(q.Product, 200))); p != "" {
		s = s.Where("v.id IN (SELECT f.vulnerability FROM exposure_affected AS f WHERE f.package LIKE ? ESCAPE '!')", "%"+escape.Replace(strings.ReplaceAll(p, " ", "_"))+"%")
	}
	if len(q.Levels) > 0 {
		var ranks []int
		for _, x := range q.Levels {
			ranks = append(ranks, rank(x))
		}
		s = s.Where("v.level IN (?)", bun.In(ranks))
	}
	if q.Weakness != "" {
		s = s.Where("v.words LIKE ? ESCAPE '!'", "%\n"+escape.Replace(strings.ToLower(q.Weakness))+"\n%")
	}
	if q.Exploited {
		s = s.Where("v.exploited = 1")
	}
	if !q.Since.IsZero() {
		s = s.Where("v.published >= ?", q.Since.UnixMilli())
	}
	if !q.Rejected {
		s = s.Where("v.rejected = 0")
	}
	return s
}

// Get is all that is known of a vulnerability, by its id or another name.
func (l *Library) Get(ctx context.Context, id string) (Vulnerability, error) {
	id = strings.TrimSpace(id)
	ids := []string{id, strings.ToUpper(id)}
	var row vulnRow
	var found []vulnRow
	if err := l.db.NewSelect().Model(&found).Column("v.id").Where("v.id IN (?) OR v.id IN (SELECT a.vulnerability FROM exposure_vulnerability_aliases AS a WHERE a.alias = ?)", bun.In(ids), ids[1]).Order("v.id").Limit(10).Scan(ctx); err != nil {
		return Vulnerability{}, fmt.Errorf("library: look for %s: %w", id, err)
	}
	if len(found) == 0 {
		return Vulnerability{}, ErrNotFound
	}
	row = found[0]
	if at := slices.IndexFunc(found, func(r vulnRow) bool { return r.ID == ids[1] }); at >= 0 {
		row = found[at]
	}
	recs, epss, err := l.read(ctx, l.db.DB, []string{row.ID})
	if err != nil {
		return Vulnerability{}, err
	}
	return merge(row.ID, recs[row.ID], epss[row.ID]), nil
}

// Some are the lines of vulnerabilities by id or other name, those that are known;
// the map's keys are as they were asked for.
func (l *Library) Some(ctx context.Context, names []string) (map[string]VulnLine, error) {
	out := map[string]VulnLine{}
	for part := range slices.Chunk(names, 400) {
		byID := map[string][]string{}
		for _, n := range part {
			up := strings.ToUpper(n)
			byID[up] = append(byID[up], n)
			if up != n {
				byID[n] = append(byID[n], n)
			}
		}
		ids := sortedKeys(byID)
		var aliases []aliasRow
		if err := l.db.NewSelect().Model(&aliases).Where("a.alias IN (?)", bun.In(ids)).Scan(ctx); err != nil {
			return nil, fmt.Errorf("library: look for names: %w", err)
		}
		for _, a := range aliases {
			byID[a.Vulnerability] = append(byID[a.Vulnerability], byID[a.Alias]...)
		}
		var rows []vulnRow
		if err := l.db.NewSelect().Model(&rows).Column("v.id", "v.epss", "v.line").Where("v.id IN (?)", bun.In(sortedKeys(byID))).Scan(ctx); err != nil {
			return nil, fmt.Errorf("library: look for vulnerabilities: %w", err)
		}
		found, err := lines(rows)
		if err != nil {
			return nil, err
		}
		for _, v := range found {
			for _, n := range byID[v.ID] {
				out[n] = v
			}
		}
	}
	return out, nil
}

// LibraryFigures says how much the library knows.
type LibraryFigures struct {
	Total     int            `json:"total"`
	ByLevel   map[string]int `json:"by_level" doc:"Level, or unrated → vulnerabilities"`
	Exploited int            `json:"exploited"`
	BySource  map[string]int `json:"by_source" doc:"Source → what it says"`
	EPSSDay   string         `json:"epss_day,omitempty" doc:"Day of the newest EPSS"`
}

// Figures counts.
func (l *Library) Figures(ctx context.Context) (LibraryFigures, error) {
	ctx, cancel := context.WithTimeout(ctx, searchTime)
	defer cancel()
	out := LibraryFigures{ByLevel: map[string]int{}, BySource: map[string]int{}}
	var levels []struct {
		Level, N, Known int
	}
	if err := l.db.NewSelect().Model((*vulnRow)(nil)).ColumnExpr("v.level AS level, count(*) AS n, sum(v.exploited) AS known").Where("v.rejected = 0").Group("v.level").Scan(ctx, &levels); err != nil {
		return out, fmt.Errorf("library: count: %w", err)
	}
	for _, r := range levels {
		name := "unrated"
		if r.Level > 0 {
			name = string(detections.Levels[min(r.Level, len(detections.Levels))-1])
		}
		out.ByLevel[name] += r.N
		out.Total, out.Exploited = out.Total+r.N, out.Exploited+r.Known
	}
	var sources []struct {
		Source string
		N      int
	}
	if err := l.db.NewSelect().Model((*recordRow)(nil)).ColumnExpr("r.source AS source, count(*) AS n").Group("r.source").Scan(ctx, &sources); err != nil {
		return out, fmt.Errorf("library: count: %w", err)
	}
	for _, s := range sources {
		out.BySource[s.Source] = s.N
	}
	var day *string
	if err := l.db.NewSelect().Model((*epssRow)(nil)).ColumnExpr("max(e.day)").Scan(ctx, &day); err != nil {
		return out, fmt.Errorf("library: count: %w", err)
	}
	if day != nil {
		out.EPSSDay = *day
	}
	return out, nil
}

// Stamp tells one state of the library from another: it changes when an import has
// ended. While one writes, busy says so.
func (l *Library) Stamp(ctx context.Context) (stamp string, busy bool, err error) {
	var r struct {
		Last    int64
		Written int64
		Busy    int
	}
	if err := l.db.NewSelect().Model((*importRow)(nil)).ColumnExpr("coalesce(max(CASE WHEN i.written > 0 THEN i.ended_at ELSE 0 END), 0) AS last").ColumnExpr("coalesce(sum(CASE WHEN i.ended_at > 0 THEN i.written ELSE 0 END), 0) AS written").
		ColumnExpr("coalesce(sum(CASE WHEN i.state = ? THEN 1 ELSE 0 END), 0) AS busy", Importing).Scan(ctx, &r); err != nil {
		return "", false, fmt.Errorf("library: %w", err)
	}
	return strconv.FormatInt(r.Last, 10) + "-" + strconv.FormatInt(r.Written, 10), r.Busy > 0, nil
}

// Hit is what a source says of a package in an ecosystem.
type Hit struct {
	Vulnerability, Source, Ref string
	AffectedPackage
}

// Of is what is known of packages by name, in all ecosystems that begin so.
func (l *Library) Of(ctx context.Context, packages []string) ([]Hit, error) {
	var out []Hit
	for part := range slices.Chunk(packages, 400) {
		var rows []affectedRow
		if err := l.db.NewSelect().Model(&rows).Where("f.package IN (?)", bun.In(part)).Where("NOT EXISTS (SELECT 1 FROM exposure_vulnerabilities AS v WHERE v.id = f.vulnerability AND v.rejected = 1)").OrderExpr("f.package, f.vulnerability, f.source, f.ref").Scan(ctx); err != nil {
			return nil, fmt.Errorf("library: what is affected: %w", err)
		}
		for _, r := range rows {
			h := Hit{Vulnerability: r.Vulnerability, Source: r.Source, Ref: r.Ref}
			if err := json.Unmarshal([]byte(r.Doc), &h.AffectedPackage); err != nil {
				return nil, fmt.Errorf("library: what %s says of %s cannot be read: %w", r.Ref, r.Package, err)
			}
			out = append(out, h)
		}
	}
	return out, nil
}
