package risk

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/cmdb"
	"icewatch/detections"
	"icewatch/soc/reach"
)

// chunk is how many items one statement names.
const chunk = 400

// The kinds of what has a risk.
const (
	Asset  = "asset"
	System = "system"
	Unit   = "unit"
)

type row struct {
	bun.BaseModel `bun:"table:cmdb_risk,alias:r"`
	ItemID        string `bun:"item_id,pk"`
	Kind          string `bun:"kind"`
	Above         string `bun:"above"`
	Score         int    `bun:"score"`
	Level         int    `bun:"level"`
	Alerts        int    `bun:"alerts"`
	Incidents     int    `bun:"incidents"`
	Findings      int    `bun:"findings"`
	Exposure      int    `bun:"exposure"`
	Doors         int    `bun:"doors"`
	Controls      int    `bun:"controls"`
	HeardAt       int64  `bun:"heard_at"`
	Moving        int    `bun:"moving"`
	ScoredAt      int64  `bun:"scored_at"`
	Result        string `bun:"result"`
}

type dayRow struct {
	bun.BaseModel `bun:"table:cmdb_risk_days,alias:d"`
	ItemID        string `bun:"item_id,pk"`
	Day           int64  `bun:"day,pk"`
	Score         int    `bun:"score"`
	Level         int    `bun:"level"`
}

// exposures orders who reaches an asset.
var exposures = []string{"isolated", "internal", "extranet", "internet"}

// refresh scores some items, and what their risk is part of: assets first, then
// the systems they belong to, then the units, up to the topmost.
func (s *Service) refresh(ctx context.Context, ids []string, now time.Time) error {
	for range 40 { // more units stand above one another nowhere; a ring of them ends here too
		next := map[string]bool{}
		for part := range slices.Chunk(ids, chunk) {
			if err := s.score(ctx, part, now, next); err != nil {
				return err
			}
		}
		if ids = slices.Sorted(maps.Keys(next)); len(ids) == 0 {
			return nil
		}
	}
	return nil
}

// score scores some items and adds to above whatever their risk is part of and
// has to be scored next.
func (s *Service) score(ctx context.Context, ids []string, now time.Time, above map[string]bool) error {
	if len(ids) == 0 {
		return nil
	}
	items, err := s.Items.Some(ctx, ids)
	if err != nil {
		return err
	}
	var old []row
	if err := s.db.NewSelect().Model(&old).Where("r.item_id IN (?)", bun.In(ids)).Scan(ctx); err != nil {
		return fmt.Errorf("risk: read %d scores: %w", len(ids), err)
	}
	before := map[string]*row{}
	for i := range old {
		before[old[i].ItemID] = &old[i]
	}
	classes := s.Items.AssetClasses()
	items = slices.DeleteFunc(items, func(it cmdb.Item) bool { return !slices.Contains(classes, it.Class) })
	rows, err := s.judge(ctx, items, before, now)
	if err != nil {
		return err
	}
	gone := map[string]bool{}
	for id := range before {
		gone[id] = true
	}
	var put []row
	var days []dayRow
	for _, r := range rows {
		delete(gone, r.ItemID)
		was := before[r.ItemID]
		if was == nil || was.Score != r.Score || was.Level != r.Level {
			days = append(days, dayRow{ItemID: r.ItemID, Day: dayOf(now), Score: r.Score, Level: r.Level})
		}
		if was != nil && was.same(&r) {
			continue
		}
		put = append(put, r)
		for _, list := range []string{r.Above, was.aboveOrNone()} {
			var up []string
			if err := json.Unmarshal([]byte(list), &up); err != nil {
				return fmt.Errorf("risk: what %s is part of: %w", r.ItemID, err)
			}
			for _, id := range up {
				above[id] = true
			}
		}
	}
	for id := range gone {
		var up []string
		if err := json.Unmarshal([]byte(before[id].Above), &up); err != nil {
			return fmt.Errorf("risk: what %s is part of: %w", id, err)
		}
		for _, x := range up {
			above[x] = true
		}
	}
	if len(put)+len(days)+len(gone) == 0 {
		return nil
	}
	return s.db.Change(ctx, func(ctx context.Context, tx bun.Tx) error {
		if len(put) > 0 {
			q := tx.NewInsert().Model(&put).On("CONFLICT (item_id) DO UPDATE")
			for _, c := range []string{"kind", "above", "score", "level", "alerts", "incidents", "findings", "exposure", "doors", "controls", "moving", "scored_at", "result"} {
				q = q.Set(c + " = EXCLUDED." + c)
			}
			if _, err := q.Exec(ctx); err != nil {
				return fmt.Errorf("risk: write %d scores: %w", len(put), err)
			}
		}
		if len(days) > 0 {
			if _, err := tx.NewInsert().Model(&days).On("CONFLICT (item_id, day) DO UPDATE").Set("score = EXCLUDED.score, level = EXCLUDED.level").Exec(ctx); err != nil {
				return fmt.Errorf("risk: write the trend of %d scores: %w", len(days), err)
			}
		}
		if len(gone) > 0 {
			list := bun.In(slices.Sorted(maps.Keys(gone)))
			for _, table := range []string{"cmdb_risk", "cmdb_risk_days"} {
				if _, err := tx.NewDelete().Table(table).Where("item_id IN (?)", list).Exec(ctx); err != nil {
					return fmt.Errorf("risk: forget %d items: %w", len(gone), err)
				}
			}
		}
		return nil
	})
}

func (r *row) aboveOrNone() string {
	if r == nil {
		return "[]"
	}
	return r.Above
}

// same tells whether nothing but the time of scoring differs.
func (r *row) same(n *row) bool {
	a, b := *r, *n
	a.ScoredAt, a.HeardAt = b.ScoredAt, b.HeardAt
	return a == b
}

// judge scores items. Systems and units take in what is stored of their parts.
func (s *Service) judge(ctx context.Context, items []cmdb.Item, before map[string]*row, now time.Time) ([]row, error) {
	ids := make([]string, len(items))
	systems := map[string]bool{}
	for i := range items {
		ids[i] = items[i].ID
		if id := items[i].System; id != "" {
			systems[id] = true
		}
	}
	about, err := s.about(ctx, ids, now)
	if err != nil {
		return nil, err
	}
	found := map[string][]Finding{}
	if s.Findings != nil {
		if found, err = s.Findings.Of(ctx, ids); err != nil {
			return nil, err
		}
	}
	over := map[string]*cmdb.Item{}
	list, err := s.Items.Some(ctx, slices.Collect(maps.Keys(systems)))
	if err != nil {
		return nil, err
	}
	for i := range list {
		over[list[i].ID] = &list[i]
	}
	rows := make([]row, 0, len(items))
	for i := range items {
		it := &items[i]
		r := row{ItemID: it.ID, Kind: Asset, ScoredAt: now.UnixMilli()}
		if was := before[it.ID]; was != nil {
			r.HeardAt = was.HeardAt
		}
		up := []string{}
		for _, id := range []string{it.System, it.Organisation} {
			if id != "" {
				up = append(up, id)
			}
		}
		alerts := about[it.ID]
		subject := subjectOf(it, over[it.System], now)
		subject.Key = subject.Key || s.Items.KeyAsset(it.ID, it.System)
		subject.Findings = append(subject.Findings, found[it.ID]...)
		var result Result
		switch it.Class {
		case cmdb.Organisation:
			r.Kind = Unit
			result, err = s.unit(ctx, reach.All(), it.ID, &r)
		case cmdb.BusinessSystem:
			r.Kind = System
			if err = s.takeIn(ctx, it.ID, &subject, now); err == nil {
				result = s.weigh(&subject, alerts, &r, now)
			}
		default:
			subject.Watchable = s.Heard != nil && (len(it.Addresses) > 0 || len(it.Hostnames) > 0)
			if r.HeardAt > now.Add(-quiet).UnixMilli() {
				subject.Logging = 1
			}
			result = s.weigh(&subject, alerts, &r, now)
		}
		if err != nil {
			return nil, err
		}
		aboveList, err := json.Marshal(up)
		if err != nil {
			return nil, err
		}
		text, err := json.Marshal(result)
		if err != nil {
			return nil, fmt.Errorf("risk: result of %s: %w", it.ID, err)
		}
		r.Above, r.Result, r.Score, r.Level = string(aboveList), string(text), result.Score, result.Level.Rank()
		rows = append(rows, r)
	}
	return rows, nil
}

// about reads the alerts about each of some items.
func (s *Service) about(ctx context.Context, ids []string, now time.Time) (map[string][]Alert, error) {
	list, err := s.Alerts.About(ctx, ids, now.Add(-memory))
	if err != nil {
		return nil, err
	}
	out := map[string][]Alert{}
	for _, a := range list {
		for _, id := range slices.Compact([]string{a.Item, a.System}) {
			if id != "" {
				out[id] = append(out[id], a)
			}
		}
	}
	return out, nil
}

// weigh scores a subject with its alerts and counts into its row.
func (s *Service) weigh(subject *Subject, alerts []Alert, r *row, now time.Time) Result {
	incidents := map[string]bool{}
	for _, a := range alerts {
		subject.Threats = append(subject.Threats, a.Threat)
		if a.Closed {
			continue
		}
		r.Alerts++
		if a.IncidentID != "" {
			incidents[a.IncidentID] = true
		}
	}
	r.Incidents, r.Findings = len(incidents), len(subject.Findings)
	r.Exposure, r.Doors, r.Controls = max(0, slices.Index(exposures, subject.Exposure)), subject.Doors, subject.Controls
	if subject.Exposure == "" {
		r.Exposure = 1
	}
	if len(subject.Threats) > 0 {
		r.Moving = 1
	}
	return Score(*subject, s.Policy(), now)
}

// subjectOf is what an item says of itself; over is its system, or nil.
func subjectOf(it, over *cmdb.Item, now time.Time) Subject {
	a := it.Attributes
	subject := Subject{Criticality: it.Criticality, CII: yes(a["cii"]), Key: yes(a["key_asset"]), Exposure: a["exposure"], Controls: listed(a["controls"]), Doors: listed(a["open_ports"])}
	subject.ProtectionLevel, _ = strconv.Atoi(a["protection_level"]) // what is no number says nothing
	if over != nil {
		// What a system is counts for what it is made of.
		level, _ := strconv.Atoi(over.Attributes["protection_level"])
		subject.ProtectionLevel = max(subject.ProtectionLevel, level)
		subject.CII = subject.CII || yes(over.Attributes["cii"])
	}
	subject.Findings = known(it, now)
	return subject
}

func yes(s string) bool { return s == "true" }

// listed counts the values of an attribute that has several.
func listed(s string) int {
	n := 0
	for v := range strings.SplitSeq(s, ";") {
		if strings.TrimSpace(v) != "" {
			n++
		}
	}
	return n
}

// known finds what the ledger itself says is wrong with an item.
func known(it *cmdb.Item, now time.Time) []Finding {
	var out []Finding
	date := func(name string) (time.Time, bool) {
		t, err := time.Parse(time.DateOnly, it.Attributes[name])
		return t, err == nil
	}
	if until, ok := date("warranty_until"); ok && until.Before(now.AddDate(0, 0, -1)) {
		out = append(out, Finding{Severity: "low", Title: textf("维保已于 %s 到期", "Its warranty ended on %s", until.Format(time.DateOnly))})
	}
	// Systems of level 3 are assessed once a year, of level 4 each half year
	// (信息安全等级保护管理办法, article 14).
	months := map[string]int{"3": 12, "4": 6}[it.Attributes["protection_level"]]
	if at, ok := date("assessed_on"); ok && months > 0 && at.AddDate(0, months, 1).Before(now) {
		out = append(out, Finding{Severity: detections.Level("medium"), Title: textf("等保测评逾期，上次测评 %s", "Its MLPS assessment is overdue; the last was on %s", at.Format(time.DateOnly))})
	}
	return out
}

// takeIn adds to a system what is stored of its members: who reaches it reaches
// the system, and its doors are the system's.
func (s *Service) takeIn(ctx context.Context, id string, subject *Subject, now time.Time) error {
	var sum struct {
		N        int `bun:"n"`
		Exposure int `bun:"exposure"`
		Doors    int `bun:"doors"`
		Controls int `bun:"controls"`
		Heard    int `bun:"heard"`
		Findings int `bun:"findings"`
	}
	err := s.db.NewSelect().TableExpr("cmdb_risk AS r").Join("JOIN cmdb_items AS i ON i.id = r.item_id").Where("i.system_id = ?", id).
		ColumnExpr("count(*) AS n, coalesce(max(r.exposure), 0) AS exposure, coalesce(sum(r.doors), 0) AS doors, coalesce(min(r.controls), 0) AS controls, coalesce(sum(r.findings), 0) AS findings").
		ColumnExpr("coalesce(sum(CASE WHEN r.heard_at > ? THEN 1 ELSE 0 END), 0) AS heard", now.Add(-quiet).UnixMilli()).Scan(ctx, &sum)
	if err != nil {
		return fmt.Errorf("risk: members of system %s: %w", id, err)
	}
	interfaces, err := s.db.NewSelect().TableExpr("cmdb_items AS i").Where("i.system_id = ? AND i.class IN ('service', 'interface')", id).Count(ctx)
	if err != nil {
		return fmt.Errorf("risk: interfaces of system %s: %w", id, err)
	}
	subject.Doors += sum.Doors + int(interfaces)
	if sum.N == 0 {
		return nil
	}
	own := max(0, slices.Index(exposures, subject.Exposure))
	if subject.Exposure == "" {
		own = 1
	}
	subject.Exposure = exposures[max(own, sum.Exposure)]
	// A system is protected as its least protected member, unless it says itself.
	if subject.Controls == 0 {
		subject.Controls = sum.Controls
	}
	subject.Watchable, subject.Logging = s.Heard != nil, float64(sum.Heard)/float64(sum.N)
	if sum.Findings > 0 {
		subject.Findings = append(subject.Findings, Finding{Severity: "medium", Title: textf("其资产共有 %d 项隐患", "%d findings on its assets", sum.Findings)})
	}
	return nil
}

// unit scores a unit by what belongs to it: sub-units, systems, and assets that
// belong to no system, as far as they are within a reach. What a sub-unit itself
// is, is not seen by its parts, so who sees only part is told by what of it he
// sees directly.
func (s *Service) unit(ctx context.Context, within reach.Reach, id string, r *row) (Result, error) {
	var parts []struct {
		Name  string `bun:"name"`
		Kind  string `bun:"kind"`
		Score int    `bun:"score"`
		Level int    `bun:"level"`
	}
	of := func() *bun.SelectQuery {
		q := s.in(within)
		if !within.Everything() {
			q = q.Where("r.kind <> 'unit'")
		}
		return q.Where("i.organisation_id = ?", id).Where("(r.kind <> 'asset' OR coalesce(i.system_id, '') = '')")
	}
	if err := of().ColumnExpr("i.name, r.kind, r.score, r.level").OrderExpr("r.score DESC, r.level DESC, r.item_id").Limit(5).Scan(ctx, &parts); err != nil {
		return Result{}, fmt.Errorf("risk: parts of unit %s: %w", id, err)
	}
	var sum struct {
		Lost      int `bun:"lost"`
		Alerts    int `bun:"alerts"`
		Incidents int `bun:"incidents"`
		Findings  int `bun:"findings"`
	}
	err := of().ColumnExpr("coalesce(max(r.level), 0) AS lost, coalesce(sum(r.alerts), 0) AS alerts, coalesce(sum(r.incidents), 0) AS incidents, coalesce(sum(r.findings), 0) AS findings").Scan(ctx, &sum)
	if err != nil {
		return Result{}, fmt.Errorf("risk: parts of unit %s: %w", id, err)
	}
	r.Alerts, r.Incidents, r.Findings = sum.Alerts, sum.Incidents, sum.Findings
	out := Result{Importance: 1, Parts: []Part{}, Tags: []string{}, Words: []Word{}, Matters: []detections.Text{}}
	scores := make([]int, len(parts))
	for i, p := range parts {
		scores[i] = p.Score
		level := Levels[min(max(p.Level, 0), len(Levels)-1)]
		out.Matters = append(out.Matters, text(fmt.Sprintf("%s：%d 分（%s）", p.Name, p.Score, levelNames[level].ZH), fmt.Sprintf("%s: %d (%s)", p.Name, p.Score, levelNames[level].EN)))
	}
	compromised := sum.Lost >= Compromised.Rank()
	out.Score, out.Level = Whole(scores, compromised, s.Policy())
	if compromised {
		out.Floor = s.Policy().CompromisedFloor
		out.Tags = append(out.Tags, "compromised")
	}
	if len(parts) == 0 {
		out.Matters = append(out.Matters, text("没有登记下属系统或资产", "No systems or assets of it are recorded"))
	}
	return out, nil
}

var levelNames = map[Level]detections.Text{Low: text("低危", "low"), Medium: text("中危", "medium"), High: text("高危", "high"), Compromised: text("已失陷", "compromised")}
