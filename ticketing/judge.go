package ticketing

import (
	"context"
	"maps"
	"strconv"
	"time"

	"icewatch/detections"
	"icewatch/detections/policy"
)

// Judge decides how urgent an alert is, whether its verdict stands, how it is
// routed and whether anybody is told of it. *policy.Set implements it. Like
// Policy it is called inside a write transaction and must not use the database.
type Judge interface {
	Priority(ctx context.Context, a policy.Alert) (policy.Judgement, error)
}

// Maintenance tells which maintenance windows an alert falls into: one about a
// configuration item (or "") of a business system (or "") of a tenant, whose
// last event is of that time. *maintenance.Calendar implements it.
type Maintenance interface {
	InForce(item, system, tenant string, at time.Time) []policy.Window
}

// The fields in which an event names its configuration item.
const (
	fieldItem        = "icewatch.ci.id"
	fieldCriticality = "icewatch.ci.criticality"
)

// Criticalities know how critical a configuration item is, 1 to 5, where that
// was changed of late: an event that came before the change names what it was.
// It is called inside a write transaction and must not use the database.
// *cmdb.Service implements it.
type Criticalities interface {
	Criticality(item string) (criticality int, ok bool)
}

// KeyAssets know which configuration items are key assets: those that an
// administrator marked, those that a rule names, and what belongs to a business
// system that is one. It is called inside a write transaction and must not use
// the database. *cmdb.Service implements it.
type KeyAssets interface {
	KeyAsset(item, system string) bool
}

// key has an alert say whether it is about a key asset, as things stand now.
func (s *Service) key(a *alert) {
	if s.keyAssets == nil {
		return
	}
	is := (a.CIID != "" || a.SystemID != "") && s.keyAssets.KeyAsset(a.CIID, a.SystemID)
	a.keyed = a.keyed || !a.fresh && is != a.KeyAsset
	a.KeyAsset = is
}

// ruling is what an alert keeps of the priority policy's judgement.
type ruling struct {
	Detected    int               `json:"detected,omitempty"` // rank of the firings' verdict; the column has the policy's where it says otherwise
	Routing     map[string]string `json:"routing,omitempty"`
	Maintenance []policy.Window   `json:"maintenance,omitempty"`
}

// rule has the policy judge each alert as the group that it is now. What it
// said before is forgotten: a group that goes on after a maintenance window is
// muted no longer, and one whose item has become critical is more urgent.
// Without a judge the priority stays the most urgent of the firings'.
func (s *Service) rule(ctx context.Context, alerts []*alert) {
	for _, a := range alerts {
		s.key(a)
		s.grade(a)
	}
	policy, now := s.generated(), s.now()
	if policy != nil {
		for _, a := range alerts {
			s.focus(a, policy)
		}
	}
	defer func() {
		for _, a := range alerts {
			s.gather(a, policy, now)
		}
	}()
	if s.judge == nil {
		return
	}
	for _, a := range alerts {
		s.weigh(a)
		q := a.judged()
		if a.fresh {
			q.Priority = ""
		}
		q.Verdict = string(verdictOf(a.doc.Detected))
		if s.maintenance != nil {
			q.Maintenance = s.maintenance.InForce(a.CIID, a.SystemID, a.Tenant, when(a.LastSeen))
		}
		j, err := s.judge.Priority(ctx, q)
		if err != nil {
			s.count(func(st *Stats) { st.JudgeErrors++ })
			s.log.Error("ticketing: the priority policy failed; the priority follows the rule's level", "alert", a.ID, "rule", a.RuleID, "error", err)
		}
		before, d := a.Priority, &a.doc
		a.Priority, d.Reasons = priorityRank(j.Priority, severityOf(a.Severity)), j.Reasons
		a.raised = a.raised || a.Priority < before
		a.sayGrade()
		a.sayFocus()
		d.Routing, d.Maintenance, a.Muted = j.Labels, q.Maintenance, j.Muted
		if a.Muted {
			s.hushed.Store(true)
		}
		if a.Verdict = d.Detected; j.Verdict != "" {
			a.Verdict = detections.Verdict(j.Verdict).Rank()
		}
	}
}

// weigh has an alert say how critical its item is now, whatever that was when
// the event passed enrichment.
func (s *Service) weigh(a *alert) {
	if s.criticalities == nil {
		return
	}
	d := &a.doc
	if d.CI != nil {
		if n, ok := s.criticalities.Criticality(d.CI.ID); ok && n != d.CI.Criticality {
			ci := *d.CI
			ci.Criticality = n
			d.CI = &ci
		}
	}
	if n, ok := s.criticalities.Criticality(d.Fields[fieldItem]); ok && d.Fields[fieldCriticality] != strconv.Itoa(n) {
		d.Fields = maps.Clone(d.Fields)
		d.Fields[fieldCriticality] = strconv.Itoa(n)
	}
}
