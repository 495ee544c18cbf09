package match

import "icewatch/detections"

// Bounds of evidence: enough for the console to mark, never a copy of a
// megabyte of script.
const (
	maxEvidence      = 64
	maxEvidenceValue = 4096
)

// evidence tells which selections a rule matched by, and by which values.
func (m *Matcher) evidence(r int32) []detections.Match {
	var out []detections.Match
	m.collect(&m.p.rules[r].cond, "", &out)
	return out
}

func (m *Matcher) collect(n *node, selection string, out *[]detections.Match) {
	if n.selection != "" {
		selection = n.selection
	}
	if n.op == opNot || len(*out) >= maxEvidence || !m.holds(n) {
		return
	}
	if n.op != opPred {
		for i := range n.kids {
			m.collect(&n.kids[i], selection, out)
		}
		return
	}
	p := &m.p.preds[n.pred]
	add := func(i int32) {
		e := detections.Match{Selection: selection, Field: n.item.Field}
		if i >= 0 {
			if e.Field == "" {
				e.Field = m.fieldAt(i)
			}
			if e.Value = m.value(i); len(e.Value) > maxEvidenceValue {
				e.Value = e.Value[:maxEvidenceValue]
			}
		}
		for _, had := range *out {
			if had == e {
				return
			}
		}
		*out = append(*out, e)
	}
	if p.negate {
		add(m.first(p.slot))
		return
	}
	if len(p.texts) > 0 {
		for i := m.first(p.slot); i >= 0; i = m.following(p.slot, i) {
			if _, ok := p.texts[m.shaped(i, folded)]; ok {
				add(i)
			}
		}
	}
	for i := range p.tests {
		if at := m.where(p, &p.tests[i]); at != nowhere {
			add(at)
		}
	}
}

// fieldAt names the field of a position.
func (m *Matcher) fieldAt(i int32) string {
	if int(i) == len(m.ev.Fields) {
		return "event.original"
	}
	return m.p.reg.Name(m.ev.Fields[i].ID)
}
