package ticketing

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"icewatch/detections"
	"icewatch/soc/tenancy"
)

// followed is how long after an attack what its victim does still counts as
// what came of it.
const followed = time.Hour

// Types of attack of the shipped taxonomy that what follows depends on.
const (
	attackGuessing = "brute-force"
	attackAccount  = "account-abuse"
	attackWebShell = "web-shell"
)

// follow raises the verdicts of attacks by what came of them. A request whose
// answer shows nothing may have worked all the same: then its victim soon does
// what it never did, connects out, runs a shell, answers as a web shell. And
// guessing that failed succeeded when the same address signs in. What is
// compared are the alerts at hand, on the item or by the actor of one that
// fired, in whatever order they came: each of the two may be the later. It
// returns the alerts whose verdict rose, which may be others than fired.
func (c *correlation) follow(ctx context.Context, touched []*alert) ([]*alert, error) {
	type rise struct{ attack, by *alert }
	var rises []rise
	attacks := map[*cohort][]*alert{} // those of a cohort that are attacks: few, as a rule
	for _, a := range touched {
		if a.Item == "" {
			continue
		}
		co := c.cohort(a.Tenant, link{linkItem, a.Item})
		if co == nil {
			continue
		}
		rose := func(attack, by *alert) {
			if attack != by && cameOf(attack, by) > attack.Verdict {
				rises = append(rises, rise{attack, by})
			}
		}
		if a.Attack != "" {
			for _, r := range co.alerts {
				rose(a, r)
			}
		}
		of, known := attacks[co]
		if !known {
			for _, r := range co.alerts {
				if r.Attack != "" {
					of = append(of, r)
				}
			}
			attacks[co] = of
		}
		for _, r := range of {
			rose(r, a)
		}
	}
	if len(rises) == 0 {
		return nil, nil
	}
	var missing []string
	for _, r := range rises {
		if c.touched[r.attack.ID] == nil {
			missing = append(missing, r.attack.ID)
		}
	}
	found, err := c.wholes(ctx, c.tx, missing...)
	if err != nil {
		return nil, err
	}
	var holders []string
	var links []link
	for _, a := range found {
		c.touch(a)
		links = append(links, sliceOf(a.ofLinks())...)
		if a.Held {
			holders = append(holders, a.IncidentID)
		}
	}
	if err := c.load(ctx, c.tx, links...); err != nil {
		return nil, err
	}
	if err := c.loadIncidents(ctx, c.tx, holders...); err != nil {
		return nil, err
	}
	// The gravest first, then the earliest: what is told does not depend on
	// the order in which they were found.
	slices.SortStableFunc(rises, func(x, y rise) int {
		if d := cameOf(y.attack, y.by) - cameOf(x.attack, x.by); d != 0 {
			return d
		}
		if x.by.FirstSeen != y.by.FirstSeen {
			return int(max(-1, min(1, x.by.FirstSeen-y.by.FirstSeen)))
		}
		return strings.Compare(x.by.ID, y.by.ID)
	})
	var out []*alert
	for _, r := range rises {
		a := c.touched[r.attack.ID]
		if a == nil { // closed and gone in the meantime
			continue
		}
		if rank := cameOf(a, r.by); rank > a.Verdict {
			a.Verdict, a.doc.Detected, a.doc.VerdictReason = rank, rank, cameOfReason(a, r.by, rank)
			a.doc.VerdictOf, a.by, a.raised = mark{At: r.by.LastSeen * int64(time.Millisecond), ID: r.by.ID}, r.by.ID, true
			if !slices.Contains(out, a) {
				out = append(out, a)
			}
		}
	}
	c.s.rule(ctx, out) // a worse verdict may make them more urgent
	return out, nil
}

// cameOf is the rank of the verdict that an alert on the same item lends to an
// attack, 0 where it tells nothing of it.
func cameOf(attack, by *alert) int {
	if attack.Status == StatusClosed || attack.Attack == "" || attack.Recon ||
		by.LastSeen < attack.FirstSeen || by.FirstSeen > attack.LastSeen+followed.Milliseconds() {
		return 0
	}
	verdict, attempt, success := verdictOf(by.Verdict), detections.Attempt.Rank(), detections.Success.Rank()
	comes := attack.Direction == "inbound" || attack.Direction == "lateral"
	breaks := attack.Phase == "delivery" || attack.Phase == "exploitation" || attack.Phase == "installation"
	// The victim itself acts, or talks back to who attacked it.
	acts := by.Direction == "outbound" || by.Direction == "internal"
	late := by.Phase == "installation" || by.Phase == "command-and-control" || by.Phase == "actions-on-objectives"
	if comes && breaks && (attack.Verdict == attempt || attack.Verdict == success) && by.RuleID != attack.RuleID {
		switch {
		case acts && late && verdict == detections.Compromised,
			acts && dealt(attack, by),
			by.Attack == attackWebShell && verdict.Rank() >= success && by.FirstSeen >= attack.FirstSeen:
			return detections.Compromised.Rank()
		}
	}
	if attack.Actor == "" || by.Actor != attack.Actor || by.Verdict < success {
		return 0
	}
	guessed := attack.Attack == attackGuessing && (by.Attack == attackAccount || by.Attack == attackGuessing)
	if guessed && attack.Verdict < success || attack.Attack == by.Attack && attack.Verdict == attempt {
		return success
	}
	return 0
}

// dealt tells whether the victim dealt with the very address that attacked it.
func dealt(attack, by *alert) bool {
	return attack.Attacker != "" && attack.Attacker == by.Attacker && by.Direction == "outbound"
}

func cameOfReason(attack, by *alert, rank int) detections.Text {
	var t detections.Text
	_ = json.Unmarshal([]byte(by.RuleTitle), &t)
	when := by.FirstSeen
	if when < attack.FirstSeen {
		when = by.LastSeen
	}
	clock := at(when).Format(time.RFC3339)
	switch {
	case rank == detections.Success.Rank():
		return detections.Text{ZH: fmt.Sprintf("同一来源随后成功：%s（%s）", t.ZH, clock), EN: fmt.Sprintf("The same source succeeded afterwards: %s (%s)", t.EN, clock)}
	case dealt(attack, by):
		return detections.Text{ZH: fmt.Sprintf("受害主机随后与攻击者往来：%s（%s）", t.ZH, clock), EN: fmt.Sprintf("The victim dealt with the attacker afterwards: %s (%s)", t.EN, clock)}
	default:
		return detections.Text{ZH: fmt.Sprintf("受害主机随后出现失陷行为：%s（%s）", t.ZH, clock), EN: fmt.Sprintf("The victim did what only a machine in others' hands does afterwards: %s (%s)", t.EN, clock)}
	}
}

// verdictEntry tells in an alert's timeline that its verdict rose, and why.
func verdictEntry(a *alert, now time.Time) timelineRow {
	names := func(rank int) detections.Text {
		return [...]detections.Text{{ZH: "未判定", EN: "none"}, {ZH: "失败", EN: "failed"}, {ZH: "尝试", EN: "attempt"}, {ZH: "成功", EN: "success"}, {ZH: "失陷", EN: "compromised"}}[rank]
	}
	from, to, why := names(a.before), names(a.Verdict), a.doc.VerdictReason
	data := map[string]any{"from": verdictOf(a.before), "to": verdictOf(a.Verdict)}
	if a.by != "" {
		data["alert_id"] = a.by
	}
	return entry(a.ID, now, "verdict", SystemActor, detections.Text{
		ZH: "判定由“" + from.ZH + "”改为“" + to.ZH + "”：" + why.ZH, EN: "Verdict from " + from.EN + " to " + to.EN + ": " + why.EN}, data)
}

// discreet takes from the parties of an occurrence what its tenant may not
// know: whose an item of another tenant is. The address stays, which the event
// itself has.
func discreet(o *detections.Occurrence) {
	for _, p := range []**detections.Party{&o.Attacker, &o.Victim} {
		if *p == nil || (*p).Tenant == "" || (*p).Tenant == o.Tenant || (*p).Tenant == tenancy.City || o.Tenant == tenancy.City || o.Tenant == tenancy.Unassigned {
			continue
		}
		*p = &detections.Party{IP: (*p).IP, User: (*p).User}
	}
}
