package ticketing

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"icewatch/detections"
	"icewatch/soc/reach"
	"icewatch/ticketing/merging"
)

// mayMerge tells whether all that a rule merges is within a reach.
func mayMerge(r reach.Reach, rule *merging.Rule) bool {
	if len(rule.Tenants) == 0 {
		return r.Everything()
	}
	return !slices.ContainsFunc(rule.Tenants, func(t string) bool { return !r.CoversWhole(t) })
}

// MergeRules lists the rules in their order: those that are shipped, and those
// that merge nothing beyond a reach.
func (s *Service) MergeRules(ctx context.Context, r reach.Reach) ([]merging.Rule, error) {
	list, err := s.merges.store.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("ticketing: %w", err)
	}
	return slices.DeleteFunc(list, func(rule merging.Rule) bool { return !rule.Shipped && !mayMerge(r, &rule) }), nil
}

// ownMerge refuses a rule that merges more than is within the actor's reach: one
// that is shipped says so, another one does not exist for him.
func (s *Service) ownMerge(ctx context.Context, by Actor, id string) error {
	versions, err := s.merges.store.Versions(ctx, id)
	switch {
	case err != nil:
		return err
	case mayMerge(by.Reach, &versions[0].Rule):
		return nil
	case versions[0].Shipped:
		return fmt.Errorf("%w: the rule is for all tenants, and not all are within your reach: make a rule of your own for yours", merging.ErrInvalid)
	}
	return fmt.Errorf("rule %.64q: %w", id, merging.ErrNotFound)
}

// SetMergeRule makes a rule, or changes the one whose id it carries. All that it
// merges, and merged before, must be within the actor's reach. Incidents that it
// made stay as they are.
func (s *Service) SetMergeRule(ctx context.Context, by Actor, rule merging.Rule) (merging.Rule, error) {
	if rule.ID != "" {
		if err := s.ownMerge(ctx, by, rule.ID); err != nil {
			return rule, err
		}
	}
	if !mayMerge(by.Reach, &rule) {
		return rule, fmt.Errorf("%w: tenants: the rule merges more than is within your reach: name tenants that are whole within it", merging.ErrInvalid)
	}
	made, err := s.merges.store.Set(ctx, by.Name, rule)
	if err != nil {
		return rule, err
	}
	return made, s.changedMerges(ctx, by, "merge-rule.set", made.ID, made.Name)
}

// DeleteMergeRule takes a rule away; RestoreMergeRule brings it back.
func (s *Service) DeleteMergeRule(ctx context.Context, by Actor, id string) error {
	if err := s.ownMerge(ctx, by, id); err != nil {
		return err
	}
	if err := s.merges.store.Delete(ctx, by.Name, id); err != nil {
		return err
	}
	return s.changedMerges(ctx, by, "merge-rule.delete", id, "")
}

// MergeRuleVersions lists the versions of a rule within reach, the newest first.
// Those by which it merged more than the actor reaches are left out: they name
// what is others'.
func (s *Service) MergeRuleVersions(ctx context.Context, by Actor, id string) ([]merging.Version, error) {
	list, err := s.merges.store.Versions(ctx, id)
	if err != nil {
		return nil, err
	}
	own := func(v *merging.Version) bool { return v.Shipped || mayMerge(by.Reach, &v.Rule) }
	if !own(&list[0]) {
		return nil, fmt.Errorf("rule %.64q: %w", id, merging.ErrNotFound)
	}
	return slices.DeleteFunc(list, func(v merging.Version) bool { return !own(&v) }), nil
}

// RestoreMergeRule makes a rule again what a version of it was.
func (s *Service) RestoreMergeRule(ctx context.Context, by Actor, id string, version int64) (merging.Rule, error) {
	if err := s.ownMerge(ctx, by, id); err != nil {
		return merging.Rule{}, err
	}
	versions, err := s.merges.store.Versions(ctx, id)
	if err != nil {
		return merging.Rule{}, err
	}
	if i := slices.IndexFunc(versions, func(v merging.Version) bool { return v.Version == version }); i >= 0 && !mayMerge(by.Reach, &versions[i].Rule) {
		return merging.Rule{}, fmt.Errorf("%w: version: the rule merged more then than is within your reach", merging.ErrInvalid)
	}
	made, err := s.merges.store.Restore(ctx, by.Name, id, version)
	if err != nil {
		return merging.Rule{}, err
	}
	return made, s.changedMerges(ctx, by, "merge-rule.restore", id, made.Name)
}

// OrderMergeRules puts the rules into the order of ids. It touches all of them,
// so that all must be within the actor's reach.
func (s *Service) OrderMergeRules(ctx context.Context, by Actor, ids []string) error {
	if !by.Reach.Everything() {
		return fmt.Errorf("%w: the order is one for all tenants, and not all are within your reach", merging.ErrInvalid)
	}
	if err := s.merges.store.Reorder(ctx, by.Name, ids); err != nil {
		return err
	}
	return s.changedMerges(ctx, by, "merge-rule.order", "", "")
}

func (s *Service) changedMerges(ctx context.Context, by Actor, action, id, name string) error {
	s.note(ctx, Change{Actor: by.Name, Action: action, Object: id, Detail: name})
	defer s.nudge()
	return s.reloadMerges(ctx)
}

// Bounds of a preview.
const (
	previewDays    = 7
	previewAlerts  = 100_000
	previewSamples = 20
	sampleAlerts   = 10
)

// MergePreview is what a rule would have made of last week's alerts.
type MergePreview struct {
	Days      int           `json:"days" doc:"That were looked back"`
	Alerts    int           `json:"alerts" doc:"Within reach that were seen in these days"`
	Matched   int           `json:"matched" doc:"Of these, accepted by the rule"`
	Held      int           `json:"held" doc:"Of these, in incidents of other ways of grouping, which keep them"`
	Before    int           `json:"before" doc:"What the matched are to look at today: incidents, and alerts that none holds"`
	After     int           `json:"after" doc:"What they would have been with the rule"`
	Groups    int           `json:"groups" doc:"Incidents that the rule would have made"`
	Ratio     float64       `json:"ratio" doc:"before : after; 1 merges nothing"`
	Truncated bool          `json:"truncated" doc:"There are more alerts than are looked at; these are the latest"`
	Samples   []MergeSample `json:"samples" nullable:"false" doc:"The largest groups, 20 at most"`
}

// MergeSample is one incident that a rule would have made.
type MergeSample struct {
	By        map[string]string `json:"by" doc:"The labels that its alerts have in common"`
	Alerts    int               `json:"alerts"`
	FirstSeen Time              `json:"first_seen" format:"date-time"`
	LastSeen  Time              `json:"last_seen" format:"date-time"`
	Title     detections.Text   `json:"title" doc:"Of its first alert"`
	AlertIDs  []string          `json:"alert_ids" nullable:"false" doc:"The first ten at most"`
}

// PreviewMerge tells what a rule would have made of last week's alerts within
// reach that no other incident holds. A rule that there is already is looked at
// as if its own incidents were not there.
func (s *Service) PreviewMerge(ctx context.Context, r reach.Reach, rule merging.Rule) (MergePreview, error) {
	out := MergePreview{Days: previewDays, Samples: []MergeSample{}}
	rule.Kind = merging.Alerts
	if err := rule.Check(); err != nil {
		return out, err
	}
	own := map[string]bool{}
	if rule.ID != "" {
		var ids []string
		if err := s.db.NewSelect().Model((*incidentRow)(nil)).Column("id").Where("json_extract(doc, '$.merge.rule_id') = ?", rule.ID).Scan(ctx, &ids); err != nil {
			return out, fmt.Errorf("ticketing: read the incidents of rule %.64q: %w", rule.ID, err)
		}
		for _, id := range ids {
			own[id] = true
		}
	}
	type keyed struct {
		by     map[string]string
		alerts []merging.Alert
	}
	pages, titles, incidents := map[string]*keyed{}, map[string]detections.Text{}, map[string]bool{}
	free, merged := 0, map[string]bool{}
	err := s.eachSince(ctx, r, s.now().Add(-previewDays*24*time.Hour), func(a *alert) bool {
		if out.Alerts == previewAlerts {
			out.Truncated = true
			return false
		}
		out.Alerts++
		set := a.matchable()
		key, ok := rule.Key(a.Tenant, set)
		if !ok {
			return true
		}
		out.Matched++
		if a.IncidentID != "" && !own[a.IncidentID] || a.Fault { // a fault alone waits for the way of faults
			out.Held++
			incidents[firstOf(a.IncidentID, a.ID)] = true
			return true
		}
		if a.IncidentID != "" {
			merged[a.IncidentID] = true
		} else {
			free++
		}
		p := pages[key]
		if p == nil {
			p = &keyed{by: map[string]string{}}
			for _, name := range rule.By {
				p.by[name] = set[name]
			}
			pages[key] = p
		}
		p.alerts = append(p.alerts, merging.Alert{ID: a.ID, First: a.FirstSeen, Last: a.LastSeen, Text: rule.TextOf(a.doc.Title.ZH+"\n"+a.doc.Title.EN, set)})
		titles[a.ID] = a.doc.Title
		return true
	})
	if err != nil {
		return out, err
	}
	out.Before, out.After = len(incidents)+len(merged)+free, len(incidents)
	for _, p := range pages {
		for _, g := range rule.Groups(p.alerts) {
			if len(g) < rule.Least {
				out.After += len(g)
				continue
			}
			out.After++
			out.Groups++
			sample := MergeSample{By: p.by, Alerts: len(g), FirstSeen: at(g[0].First), LastSeen: at(g[0].Last), Title: titles[g[0].ID]}
			for n, a := range g {
				if a.Last > sample.LastSeen.UnixMilli() {
					sample.LastSeen = at(a.Last)
				}
				if n < sampleAlerts {
					sample.AlertIDs = append(sample.AlertIDs, a.ID)
				}
			}
			out.Samples = append(out.Samples, sample)
		}
	}
	slices.SortFunc(out.Samples, func(a, b MergeSample) int {
		return cmp.Or(cmp.Compare(b.Alerts, a.Alerts), slices.Compare(a.AlertIDs, b.AlertIDs))
	})
	out.Samples = out.Samples[:min(len(out.Samples), previewSamples)]
	if out.Ratio = 1; out.After > 0 {
		out.Ratio = float64(out.Before) / float64(out.After)
	}
	return out, nil
}

// eachSince calls f with the alerts in reach that were seen since, closed ones
// too, the last seen first, until it answers false.
func (s *Service) eachSince(ctx context.Context, r reach.Reach, since time.Time, f func(a *alert) bool) error {
	var before *alertRow
	for {
		var rows []alertRow
		q := r.Within(s.db.NewSelect().Model(&rows), "a").Where("last_seen >= ?", since.UnixMilli()).OrderExpr("last_seen DESC, id DESC").Limit(idsPerStatement)
		if before != nil {
			q = q.Where("(last_seen, id) < (?, ?)", before.LastSeen, before.ID)
		}
		if err := q.Scan(ctx); err != nil {
			return fmt.Errorf("ticketing: read the alerts since %s: %w", since.Format(time.RFC3339), err)
		}
		for _, row := range rows {
			a := &alert{alertRow: row}
			if err := a.unpack(); err != nil {
				return err
			}
			if !f(a) {
				return nil
			}
		}
		if len(rows) < idsPerStatement {
			return nil
		}
		before = &rows[len(rows)-1]
	}
}

// Compression is what of firings became what somebody looks at.
type Compression struct {
	Firings   int     `json:"firings" doc:"Raw firings that were merged into the alerts"`
	Alerts    int     `json:"alerts"`
	Incidents int     `json:"incidents" doc:"That hold some of the alerts"`
	Alone     int     `json:"alone" doc:"Alerts that no incident holds"`
	Ratio     float64 `json:"ratio" doc:"firings : incidents and alerts alone; 0 where there are none"`
}

func (c *Compression) rate() {
	if n := c.Incidents + c.Alone; n > 0 {
		c.Ratio = float64(c.Firings) / float64(n)
	}
}

// CompressionReport is the compression of the alerts that were opened in the last
// days, in all, by day and by rule.
type CompressionReport struct {
	Compression
	Days  []CompressionDay  `json:"days" nullable:"false"`
	Rules []CompressionRule `json:"rules" nullable:"false" doc:"Those with the most firings, 100 at most"`
}

// CompressionDay is the compression of a day.
type CompressionDay struct {
	Day string `json:"day" doc:"YYYY-MM-DD, of the suite's time zone"`
	Compression
}

// CompressionRule is the compression of a rule.
type CompressionRule struct {
	RuleID string          `json:"rule_id"`
	Title  detections.Text `json:"title"`
	Compression
}

// maxCompressed is how many rules a report lists.
const maxCompressed = 100

// MaxCompressionDays is how far back a report may look.
const MaxCompressionDays = 92

// Compression tells how many firings became how many alerts and incidents, of
// the alerts within reach that were opened in the last days, today among them;
// of one rule alone where it is not "".
func (s *Service) Compression(ctx context.Context, r reach.Reach, days int, rule string) (CompressionReport, error) {
	out := CompressionReport{Days: []CompressionDay{}, Rules: []CompressionRule{}}
	if days < 1 || days > MaxCompressionDays {
		return out, fmt.Errorf("%w: days: %d: want 1 to %d", ErrInvalid, days, MaxCompressionDays)
	}
	const counts = "coalesce(sum(occurrences), 0) AS firings, count(*) AS alerts, count(DISTINCT nullif(incident_id, '')) AS incidents, coalesce(sum(incident_id = ''), 0) AS alone"
	type counted struct {
		RuleID    string `bun:"rule_id"`
		Title     string `bun:"title"`
		Firings   int    `bun:"firings"`
		Alerts    int    `bun:"alerts"`
		Incidents int    `bun:"incidents"`
		Alone     int    `bun:"alone"`
	}
	read := func(from, to time.Time, byRule bool) ([]counted, error) {
		var rows []counted
		q := r.Within(s.db.NewSelect().Model((*alertRow)(nil)), "a").ColumnExpr(counts).Where("created_at >= ? AND created_at < ?", from.UnixMilli(), to.UnixMilli())
		if rule != "" {
			q = q.Where("rule_id = ?", rule)
		}
		if byRule {
			q = q.Column("rule_id").ColumnExpr("max(rule_title) AS title").Group("rule_id").OrderExpr("firings DESC, rule_id").Limit(maxCompressed)
		}
		if err := q.Scan(ctx, &rows); err != nil {
			return nil, fmt.Errorf("ticketing: count what alerts became: %w", err)
		}
		return rows, nil
	}
	of := func(c counted) Compression {
		x := Compression{Firings: c.Firings, Alerts: c.Alerts, Incidents: c.Incidents, Alone: c.Alone}
		x.rate()
		return x
	}
	y, m, d := s.now().In(s.zone).Date()
	day := func(n int) time.Time { return time.Date(y, m, d+n, 0, 0, 0, 0, s.zone) }
	for n := 1 - days; n <= 0; n++ {
		rows, err := read(day(n), day(n+1), false)
		if err != nil {
			return out, err
		}
		out.Days = append(out.Days, CompressionDay{Day: day(n).Format(time.DateOnly), Compression: of(rows[0])})
	}
	all, err := read(day(1-days), day(1), false)
	if err != nil {
		return out, err
	}
	out.Compression = of(all[0])
	rules, err := read(day(1-days), day(1), true)
	if err != nil {
		return out, err
	}
	for _, c := range rules {
		x := CompressionRule{RuleID: c.RuleID, Compression: of(c)}
		_ = json.Unmarshal([]byte(c.Title), &x.Title)
		out.Rules = append(out.Rules, x)
	}
	return out, nil
}
