package ticketing

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/detections/policy"
	"icewatch/soc/reach"
	"icewatch/ticketing/merging"
)

// quota is a rule of alerts that no incident policy cares for.
var quota = rule{id: "quota", zh: "配额 1 将满", en: "Quota is nearly full", level: detections.Low, group: []string{"icewatch.ci.id"}, withoutSource: true, priority: "P4"}

// onMany makes firings of a rule on so many hosts, a minute apart.
func onMany(r rule, from, n int) (out []detections.Occurrence) {
	for i := range n {
		o := onHost(r, 0, from+i, 0)
		o.Time = o.Time.Add(time.Duration(from+i) * time.Minute)
		o.From, o.ID = o.Time, fmt.Sprint(o.Key, from+i)
		out = append(out, o)
	}
	return out
}

func TestMergeRules(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, nobody)
	ctx := t.Context()
	all := Actor{Name: "amy", Reach: reach.All()}
	settle := func() {
		t.Helper()
		if err := s.settleMerges(ctx, s.now()); err != nil {
			t.Fatal(err)
		}
	}
	take := func(list []detections.Occurrence) {
		t.Helper()
		if err := s.Ingest(ctx, list); err != nil {
			t.Fatal(err)
		}
		settle()
	}
	incidents := func() []Incident {
		t.Helper()
		list, _, _, err := s.Incidents(ctx, IncidentQuery{Reach: reach.All()})
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	take(onMany(quota, 0, 3))
	if got := incidents(); len(got) != 0 {
		t.Fatalf("without a rule there are %d incidents", len(got))
	}

	// The preview tells what the rule then does.
	r := merging.Rule{Name: "quotas", Kind: merging.Alerts, By: []string{"alertname"}, Window: 20 * time.Minute, Least: 3}
	p, err := s.PreviewMerge(ctx, reach.All(), r)
	if err != nil || p.Matched != 3 || p.Before != 3 || p.After != 1 || p.Ratio != 3 || len(p.Samples) != 1 || p.Samples[0].Alerts != 3 {
		t.Fatalf("preview: %+v, %v", p, err)
	}
	made, err := s.SetMergeRule(ctx, all, r)
	if err != nil {
		t.Fatal(err)
	}
	settle() // what was there before is merged as well
	list := incidents()
	if len(list) != 1 || list[0].AlertCount != 3 || list[0].Merge == nil || list[0].Merge.RuleID != made.ID || !strings.Contains(list[0].Title.EN, "3 alerts") || len(list[0].Reasons) != 1 {
		t.Fatalf("incidents: %+v", list)
	}

	// What follows joins, in any transaction; what comes too late is a group of
	// its own, and too small for an incident.
	take(onMany(quota, 3, 1))
	take(onMany(quota, 4, 2))
	take(onMany(quota, 30, 2))
	if list = incidents(); len(list) != 1 || list[0].AlertCount != 6 {
		t.Fatalf("incidents: %+v", list)
	}
	p, err = s.PreviewMerge(ctx, reach.All(), made)
	if err != nil || p.Before != 3 || p.After != 3 || p.Groups != 1 || p.Held != 0 {
		t.Fatalf("preview of a rule that is in force: %+v, %v", p, err)
	}

	// After a start the same is known.
	if err := s.reloadMerges(ctx); err != nil {
		t.Fatal(err)
	}
	take(onMany(quota, 32, 1))
	if list = incidents(); len(list) != 2 || list[0].AlertCount+list[1].AlertCount != 9 {
		t.Fatalf("after a start: %+v", list)
	}
	report, err := s.Compression(ctx, reach.All(), 1, "")
	if err != nil || report.Firings != 9 || report.Alerts != 9 || report.Incidents != 2 || report.Alone != 0 || report.Ratio != 4.5 || len(report.Rules) != 1 || len(report.Days) != 1 {
		t.Errorf("compression: %+v, %v", report, err)
	}

	// Deleted it merges no more.
	if err := s.DeleteMergeRule(ctx, all, made.ID); err != nil {
		t.Fatal(err)
	}
	take(onMany(quota, 33, 1))
	if report, err = s.Compression(ctx, reach.All(), 1, ""); err != nil || report.Alone != 1 {
		t.Errorf("a rule that is deleted merged: %+v, %v", report, err)
	}
}

func TestShippedWaysCanBeSwitchedOff(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, realPolicy())
	ctx := t.Context()
	if _, err := s.SetMergeRule(ctx, Actor{Name: "amy", Reach: reach.All()}, merging.Rule{ID: "shipped-attack", Off: true}); err != nil {
		t.Fatal(err)
	}
	if err := s.Ingest(ctx, intrusion(sealWeb, "198.18.0.1", 0)); err != nil {
		t.Fatal(err)
	}
	if n := s.Stats().Incidents; n != 0 {
		t.Errorf("%d incidents were opened by what is switched off", n)
	}
}

func TestMergeRulesStayWithinReach(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, nobody)
	ctx := t.Context()
	one := Actor{Name: "eve", Reach: reach.Tenants("e-seal")}
	r := merging.Rule{Name: "r", Kind: merging.Alerts, By: []string{"alertname"}, Window: time.Minute, Least: 2}
	if _, err := s.SetMergeRule(ctx, one, r); err == nil {
		t.Error("whoever reaches one tenant made a rule for all")
	}
	if _, err := s.SetMergeRule(ctx, one, merging.Rule{ID: "shipped-attack", Off: true}); err == nil {
		t.Error("whoever reaches one tenant switched off what is for all")
	}
	made, err := s.SetMergeRule(ctx, Actor{Name: "amy", Reach: reach.All()}, r)
	if err != nil {
		t.Fatal(err)
	}
	list, err := s.MergeRules(ctx, one.Reach)
	if err != nil || len(list) != len(merging.Shipped()) {
		t.Errorf("listed: %+v, %v", list, err)
	}
	if _, err := s.MergeRuleVersions(ctx, one, made.ID); err == nil {
		t.Error("the versions of a rule beyond the reach are told")
	}
	// A rule that was made narrower tells nothing of what it merged before.
	made.Tenants = []string{"e-seal"}
	if made, err = s.SetMergeRule(ctx, Actor{Name: "amy", Reach: reach.All()}, made); err != nil {
		t.Fatal(err)
	}
	versions, err := s.MergeRuleVersions(ctx, one, made.ID)
	if err != nil || len(versions) != 1 || versions[0].Version != made.Version {
		t.Errorf("versions of a rule that merged more before: %+v, %v", versions, err)
	}
	if versions, err := s.MergeRuleVersions(ctx, Actor{Name: "amy", Reach: reach.All()}, made.ID); err != nil || len(versions) != 2 {
		t.Errorf("versions for who reaches all: %+v, %v", versions, err)
	}
	if versions, err := s.MergeRuleVersions(ctx, one, "shipped-attack"); err != nil || len(versions) != 1 {
		t.Errorf("versions of a shipped rule: %+v, %v", versions, err)
	}
	r.Tenants = []string{"e-seal"}
	if _, err := s.SetMergeRule(ctx, one, r); err != nil {
		t.Error(err)
	}
}

// nobody is a policy that opens no incident.
var nobody = policyFunc(func(policy.IncidentInput) (policy.Decision, error) { return policy.Decision{}, nil })

// everyAlert is a policy by which every alert opens an incident.
func everyAlert(policy.IncidentInput) (policy.Decision, error) {
	return policy.Decision{Open: true, Join: true}, nil
}
