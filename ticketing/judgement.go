package ticketing

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/uptrace/bun"

	"icewatch/detections"
)

// judgement is what an alert keeps of its firings' judgements. Each part is the
// same in whatever order the firings come: the worst verdict with the reason of
// the latest firing that had it, all phases, and of the rest what the latest
// firing says.
type judgement struct {
	VerdictReason detections.Text   `json:"verdict_reason,omitzero"`
	VerdictOf     mark              `json:"verdict_of,omitzero"`
	Phases        []string          `json:"phases,omitempty"` // in the order of the kill chain
	Attacker      *detections.Party `json:"attacker,omitempty"`
	Victim        *detections.Party `json:"victim,omitempty"`
	Risk          detections.Risk   `json:"risk,omitzero"`
}

// judge takes a firing's verdict and phase into the alert.
func (a *alert) judge(o *detections.Occurrence, m mark) {
	d := &a.doc
	if r := o.Verdict.Rank(); r > 0 && (r > d.Detected || r == d.Detected && d.VerdictOf.before(m)) {
		d.Detected, d.VerdictReason, d.VerdictOf = r, bothLanguages(o.VerdictReason), m
	}
	a.Verdict = d.Detected
	d.Phases = phaseUnion(d.Phases, o.Phase)
	a.Phase = furthest(d.Phases)
}

// judgeLatest takes the rest of a firing's judgement: it is the latest so far.
func (a *alert) judgeLatest(o *detections.Occurrence) {
	d := &a.doc
	d.Attacker, d.Victim, d.Risk = o.Attacker, o.Victim, o.Risk
	a.Direction, a.Threat, a.Attack, a.Risk = o.Direction, o.Threat, o.Attack, riskKey(o.Risk)
	a.alertRow.Attacker, a.alertRow.Victim = addressOf(o.Attacker), addressOf(o.Victim)
}

func addressOf(p *detections.Party) string {
	if p == nil {
		return ""
	}
	return p.IP
}

// riskKey is a risk as the column has it: a class is a prefix of its subclasses.
func riskKey(r detections.Risk) string {
	key := ""
	for _, code := range []string{r.Class, r.Subclass, r.Type} {
		if code == "" {
			break
		}
		key += code + "/"
	}
	return key
}

// dotted is such a key as people write it.
func dotted(key string) string { return strings.ReplaceAll(strings.TrimSuffix(key, "/"), "/", ".") }

// phaseUnion adds phases to a list that is in the order of the kill chain.
func phaseUnion(list []string, more ...string) []string {
	for _, p := range more {
		if slices.Contains(detections.Phases, p) && !slices.Contains(list, p) {
			list = append(slices.Clone(list), p)
		}
	}
	slices.SortFunc(list, func(a, b string) int { return slices.Index(detections.Phases, a) - slices.Index(detections.Phases, b) })
	return list
}

func furthest(phases []string) string {
	if len(phases) == 0 {
		return ""
	}
	return phases[len(phases)-1]
}

func verdictOf(rank int) detections.Verdict {
	if rank < 1 || rank > len(detections.Verdicts) {
		return ""
	}
	return detections.Verdicts[rank-1]
}

// judgedBy adds to a query of alerts what asks for their judgement.
func judgedBy(q *bun.SelectQuery, query AlertQuery) (*bun.SelectQuery, error) {
	if len(query.Verdicts) > 0 {
		ranks := make([]int, 0, len(query.Verdicts))
		for _, v := range query.Verdicts {
			rank := detections.Verdict(v).Rank()
			if rank == 0 && v != "none" {
				return nil, fmt.Errorf("%w: verdict %q: want failed, attempt, success, compromised or none", ErrInvalid, v)
			}
			ranks = append(ranks, rank)
		}
		q = q.Where("verdict IN (?)", bun.In(ranks))
	}
	for _, of := range []struct {
		name          string
		values, known []string
	}{
		{"phase", query.Phases, detections.Phases}, {"direction", query.Directions, detections.Directions},
		{"threat", query.Threats, detections.Threats}, {"attack", query.Attacks, nil},
	} {
		if len(of.values) == 0 {
			continue
		}
		for _, v := range of.values {
			if of.known != nil && !slices.Contains(of.known, v) {
				return nil, fmt.Errorf("%w: %s %q: want one of %s", ErrInvalid, of.name, v, strings.Join(of.known, ", "))
			}
		}
		q = q.Where("? IN (?)", bun.Ident(of.name), bun.In(of.values))
	}
	if len(query.Risks) > 0 {
		q = q.WhereGroup(" AND ", func(q *bun.SelectQuery) *bun.SelectQuery {
			for _, r := range query.Risks {
				key := strings.ReplaceAll(strings.Trim(r, "./"), ".", "/") + "/"
				q = q.WhereOr("substr(risk, 1, ?) = ?", len(key), key)
			}
			return q
		})
	}
	return q, nil
}

// maxParties is how many attackers, and how many victims, an incident names.
const maxParties = 50

// parties adds to an incident who attacks whom in the alerts that fired or that
// it took in just now.
func (c *correlation) parties(ctx context.Context, i *incident) error {
	for _, m := range c.members[i.ID] {
		if m.stirred < c.turn {
			continue
		}
		doc, err := c.docOf(ctx, m.ID)
		if err != nil {
			return err
		}
		i.doc.Attackers, i.doc.Victims = withParty(i.doc.Attackers, doc.Attacker), withParty(i.doc.Victims, doc.Victim)
	}
	return nil
}

// names tells whether an incident names an alert's parties already.
func (i *incident) names(d *alertDoc) bool {
	return slices.Equal(withParty(i.doc.Attackers, d.Attacker), i.doc.Attackers) && slices.Equal(withParty(i.doc.Victims, d.Victim), i.doc.Victims)
}

// withParty adds a party to a list that is sorted. One whose machine is known
// takes the place of its address alone.
func withParty(list []detections.Party, p *detections.Party) []detections.Party {
	if p == nil {
		return list
	}
	same := func(q detections.Party) bool {
		if p.Item != "" && q.Item != "" {
			return p.Item == q.Item && p.User == q.User
		}
		return p.IP == q.IP && p.User == q.User && (p.IP != "" || p.Name == q.Name)
	}
	list = slices.Clone(list)
	if at := slices.IndexFunc(list, same); at >= 0 {
		if list[at].Item == "" && p.Item != "" {
			list[at] = *p
		}
	} else if len(list) < maxParties {
		list = append(list, *p)
	}
	slices.SortFunc(list, func(a, b detections.Party) int {
		return cmp.Or(strings.Compare(a.IP, b.IP), strings.Compare(a.Name, b.Name), strings.Compare(a.User, b.User))
	})
	return list
}

// asSeen makes of an incident's judgement what those alerts tell that somebody
// sees who does not see all.
func (i *Incident) asSeen(alerts []Alert) {
	i.Verdict, i.Phases, i.Attackers, i.Victims = "", nil, nil, nil
	for _, a := range alerts {
		if a.Verdict.Rank() > i.Verdict.Rank() {
			i.Verdict = a.Verdict
		}
		i.Phases = phaseUnion(i.Phases, a.Phases...)
		i.Attackers, i.Victims = withParty(i.Attackers, a.Attacker), withParty(i.Victims, a.Victim)
	}
	i.Phases, i.Attackers, i.Victims = orEmpty(i.Phases), orEmpty(i.Attackers), orEmpty(i.Victims)
}
