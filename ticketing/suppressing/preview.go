package suppressing

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"icewatch/detections"
	"icewatch/detections/suppression"
	"icewatch/soc/reach"
)

// Bounds of a preview.
const (
	previewTime    = 30 * time.Second
	previewSamples = 20
	previewRows    = 50      // of rules, and of assets
	previewKeys    = 200_000 // alerts that are told apart
	manyOfRule     = 0.5     // of a rule's firings: more is a warning
)

// SuppressionPreview is what a suppression would have suppressed of the firings of the last
// weeks.
type SuppressionPreview struct {
	From       time.Time            `json:"from" doc:"Since when firings are remembered, at most 30 days ago"`
	Until      time.Time            `json:"until"`
	Complete   bool                 `json:"complete" doc:"All remembered firings were looked at; false where that took too long"`
	Estimated  bool                 `json:"estimated" doc:"Of rules that fired very often one firing in 20 was remembered; counts are estimates then"`
	Firings    int                  `json:"firings" doc:"Firings within reach of the rules that it is for"`
	Suppressed int                  `json:"suppressed" doc:"Of these, those that it would have suppressed"`
	Alerts     int                  `json:"alerts" doc:"Alerts that these are part of"`
	Unsure     int                  `json:"unsure" doc:"Firings that were joined with others, of which only the last is remembered: it may have met some of them"`
	UnsureIn   int                  `json:"unsure_alerts" doc:"Alerts that these are part of and that are not among alerts: with them these are all alerts that it may have met"`
	Already    int                  `json:"already" doc:"Firings that it meets and that another suppression suppressed"`
	Rules      []SuppressedRule     `json:"rules" nullable:"false" doc:"50 at most, the most suppressed first"`
	Assets     []SuppressedAsset    `json:"assets" nullable:"false" doc:"50 at most, the most suppressed first"`
	Days       []SuppressedDay      `json:"days" nullable:"false" doc:"Days (UTC) with firings, in order"`
	Samples    []SuppressedSample   `json:"samples" nullable:"false" doc:"20 at most, the latest first"`
	Warnings   []SuppressionWarning `json:"warnings" nullable:"false"`

	Keys []string `json:"-"` // of the alerts
}

// SuppressedRule is what it would have suppressed of a rule.
type SuppressedRule struct {
	ID         string          `json:"id"`
	Title      detections.Text `json:"title"`
	Firings    int             `json:"firings"`
	Suppressed int             `json:"suppressed"`
}

// SuppressedAsset is what it would have suppressed about an asset.
type SuppressedAsset struct {
	ID          string `json:"id,omitempty"`
	Name        string `json:"name"`
	Class       string `json:"class,omitempty"`
	System      string `json:"system,omitempty"`
	Criticality int    `json:"criticality,omitempty" doc:"1 (least) to 5"`
	Suppressed  int    `json:"suppressed"`
}

// SuppressedDay is a day of it.
type SuppressedDay struct {
	Day        time.Time `json:"day"`
	Firings    int       `json:"firings"`
	Suppressed int       `json:"suppressed"`
}

// SuppressedSample is a firing that it would have suppressed.
type SuppressedSample struct {
	At      time.Time         `json:"at"`
	Tenant  string            `json:"tenant"`
	Rule    string            `json:"rule"`
	Title   detections.Text   `json:"title"`
	Asset   string            `json:"asset,omitempty"`
	Events  int               `json:"events"`
	EventID string            `json:"event_id,omitempty" doc:"Of its last event"`
	Fields  map[string]string `json:"fields" doc:"Those of its condition and its group"`
}

// SuppressionWarning is what speaks against it.
type SuppressionWarning struct {
	Kind   string          `json:"kind" enum:"confirmed,incident,most_of_rule,critical_asset,absent,all_tenants"`
	Text   detections.Text `json:"text"`
	Alerts []string        `json:"alerts,omitempty" doc:"Ids of the alerts that it is about, 20 at most"`
	Rules  []string        `json:"rules,omitempty"`
}

// ofParties are the fields that the parties of an attack are read from.
var ofParties = []string{"source.ip", "destination.ip", "client.ip", "server.ip", "host.ip", "host.name", "user.name", "user.target.name"}

// Preview tells what a suppression would have suppressed of the firings of the last
// 30 days within a reach. The end of the suppression is not looked at, nor whether
// it is disabled. What the suppression with its id suppressed already counts.
func (s *Store) Preview(ctx context.Context, one suppression.Suppression, within reach.Reach) (SuppressionPreview, error) {
	now := s.now()
	p := SuppressionPreview{Until: now, From: now, Complete: true, Rules: []SuppressedRule{}, Assets: []SuppressedAsset{}, Days: []SuppressedDay{}, Samples: []SuppressedSample{}, Warnings: []SuppressionWarning{}}
	one.Disabled = false
	if one.ID == "" {
		one.ID = "preview"
	}
	set, faults := suppression.Compile([]suppression.Suppression{one})
	if len(faults) > 0 {
		return p, fmt.Errorf("%w: %s", ErrInvalid, faults[0].Reason)
	}
	at := one.Expires.Add(-1) // it is in force
	fields := set.Conditions(one.ID)
	veil := within.Veil()
	hidden := func(name string) bool {
		return veil.Touches(name) || (strings.HasPrefix(name, "alert.attacker.") || strings.HasPrefix(name, "alert.victim.")) && slices.ContainsFunc(ofParties, veil.Touches)
	}
	if i := slices.IndexFunc(fields, hidden); i >= 0 {
		return p, fmt.Errorf("%w: detection: the field %s is masked for you: what it holds cannot be asked for", ErrInvalid, fields[i])
	}
	rules, assets, days, keys := map[string]*SuppressedRule{}, map[string]*SuppressedAsset{}, map[int64]*SuppressedDay{}, map[string]bool{}
	unsure := map[string]bool{} // keys of alerts
	deadline := time.Now().Add(previewTime)
	looked := 0
	first, err := s.Recall(ctx, now.Add(-RecallDays*day), one.Rules, func(taken time.Time, f *Firing) bool {
		if looked++; looked%256 == 0 && (time.Now().After(deadline) || ctx.Err() != nil) {
			p.Complete = false
			return false
		}
		if !within.Match(f.Facts) {
			return true
		}
		o := &f.Occurrence
		p.Firings += f.Weight
		p.Estimated = p.Estimated || f.Weight > 1
		d := days[taken.Truncate(day).Unix()]
		if d == nil {
			d = &SuppressedDay{Day: taken.Truncate(day)}
			days[taken.Truncate(day).Unix()] = d
		}
		d.Firings += f.Weight
		r := rules[o.Rule.ID]
		if r == nil {
			r = &SuppressedRule{ID: o.Rule.ID}
			rules[o.Rule.ID] = r
		}
		r.Title, r.Firings = o.Rule.Title, r.Firings+f.Weight
		if set.Match(o, f.Asset, at) == "" {
			if o.Firings > 1 {
				alone := *o
				if alone.Firings = 1; set.Match(&alone, f.Asset, at) != "" {
					p.Unsure += f.Weight
					if len(unsure) < previewKeys {
						unsure[f.Key] = true
					}
				}
			}
			return true
		}
		if f.By != "" && f.By != one.ID {
			p.Already += f.Weight
			return true
		}
		p.Suppressed, r.Suppressed, d.Suppressed = p.Suppressed+f.Weight, r.Suppressed+f.Weight, d.Suppressed+f.Weight
		if len(keys) < previewKeys {
			keys[f.Key] = true
		}
		name := cmp.Or(f.Asset.ID, f.Asset.Name)
		a := assets[name]
		if a == nil {
			a = &SuppressedAsset{ID: f.Asset.ID, Name: cmp.Or(f.Asset.Name, f.Asset.ID), Class: f.Asset.Class, System: cmp.Or(f.Asset.SystemName, f.Asset.SystemID), Criticality: f.Criticality}
			assets[name] = a
		}
		a.Suppressed += f.Weight
		sample := SuppressedSample{At: taken, Tenant: o.Tenant, Rule: o.Rule.ID, Title: o.Rule.Title, Asset: a.Name, Events: o.Count, Fields: map[string]string{}}
		if len(o.EventIDs) > 0 {
			sample.EventID = o.EventIDs[0]
		}
		for _, name := range fields {
			sample.Fields[name] = veil.Value(name, o.Fields[name])
		}
		for _, g := range o.Group {
			sample.Fields[g.Field] = veil.Value(g.Field, g.Value)
		}
		if p.Samples = append(p.Samples, sample); len(p.Samples) > previewSamples {
			p.Samples = slices.Delete(p.Samples, 0, 1)
		}
		return true
	})
	if err != nil {
		return p, err
	}
	if !first.IsZero() {
		p.From = first
		if since := now.Add(-RecallDays * day); p.From.Before(since) {
			p.From = since
		}
	}
	slices.Reverse(p.Samples)
	p.Alerts = len(keys)
	for k := range unsure {
		if !keys[k] {
			p.UnsureIn++
		}
	}
	for k := range keys {
		p.Keys = append(p.Keys, k)
	}
	slices.Sort(p.Keys)
	for _, r := range rules {
		p.Rules = append(p.Rules, *r)
	}
	slices.SortFunc(p.Rules, func(a, b SuppressedRule) int { return cmp.Or(b.Suppressed-a.Suppressed, strings.Compare(a.ID, b.ID)) })
	p.Rules = p.Rules[:min(len(p.Rules), previewRows)]
	for _, a := range assets {
		p.Assets = append(p.Assets, *a)
	}
	slices.SortFunc(p.Assets, func(a, b SuppressedAsset) int {
		return cmp.Or(b.Suppressed-a.Suppressed, strings.Compare(a.Name, b.Name))
	})
	p.warn(&one, set)
	p.Assets = p.Assets[:min(len(p.Assets), previewRows)]
	for _, d := range days {
		p.Days = append(p.Days, *d)
	}
	slices.SortFunc(p.Days, func(a, b SuppressedDay) int { return a.Day.Compare(b.Day) })
	return p, nil
}

// warn says what speaks against a suppression as far as the firings tell.
func (p *SuppressionPreview) warn(one *suppression.Suppression, set *suppression.Set) {
	var most []string
	for _, r := range p.Rules {
		if float64(r.Suppressed) > manyOfRule*float64(r.Firings) && r.Firings > 1 {
			most = append(most, r.ID)
		}
	}
	if len(most) > 0 {
		p.Warnings = append(p.Warnings, SuppressionWarning{Kind: "most_of_rule", Rules: most, Text: detections.Text{
			ZH: fmt.Sprintf("%d 条规则有一半以上的触发会被加白：考虑修改规则本身", len(most)),
			EN: fmt.Sprintf("It would suppress more than half of what %d rules raise: consider changing the rule itself", len(most))}})
	}
	var critical []string
	for _, a := range p.Assets {
		if a.Criticality >= 4 {
			critical = append(critical, a.Name)
		}
	}
	if len(critical) > 0 {
		names := strings.Join(critical[:min(len(critical), 5)], ", ")
		p.Warnings = append(p.Warnings, SuppressionWarning{Kind: "critical_asset", Text: detections.Text{
			ZH: fmt.Sprintf("会隐藏 %d 个重要资产的告警：%s", len(critical), names), EN: fmt.Sprintf("It would hide alerts about %d critical assets: %s", len(critical), names)}})
	}
	if len(one.Detection) > 0 && set.MeetsNothing(one.ID) {
		p.Warnings = append(p.Warnings, SuppressionWarning{Kind: "absent", Text: detections.Text{
			ZH: "条件对没有这些字段的告警也成立：加上必须存在的字段", EN: "The condition also holds for alerts that have none of its fields: add a field that has to be there"}})
	}
	if len(one.Tenants) == 0 {
		p.Warnings = append(p.Warnings, SuppressionWarning{Kind: "all_tenants", Text: detections.Text{ZH: "对所有租户生效", EN: "It holds for all tenants"}})
	}
}
