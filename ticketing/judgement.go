package ticketing

import (
	"slices"

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
	if r := o.Verdict.Rank(); r > 0 && (r > a.Verdict || r == a.Verdict && d.VerdictOf.before(m)) {
		a.Verdict, d.VerdictReason, d.VerdictOf = r, bothLanguages(o.VerdictReason), m
	}
	d.Phases = phaseUnion(d.Phases, o.Phase)
	a.Phase = furthest(d.Phases)
}

// judgeLatest takes the rest of a firing's judgement: it is the latest so far.
func (a *alert) judgeLatest(o *detections.Occurrence) {
	d := &a.doc
	d.Attacker, d.Victim, d.Risk = o.Attacker, o.Victim, o.Risk
	a.Direction, a.Threat, a.Attack, a.Risk = o.Direction, o.Threat, o.Attack, riskKey(o.Risk)
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
