package match

import (
	"slices"

	"icewatch/detections"
)

// Bounds of evidence: enough for the console to mark, never a copy of a
// megabyte of script.
const (
	maxEvidence      = 64
	maxEvidenceValue = 4096
)

// evidence tells which selections a rule matched by, and by which values.
func (m *Matcher) evidence(r int32) []detections.Match {
	var out []detections.Match
	m.collect(m.p.rules[r].root, "", &out)
	return out
}

func (m *Matcher) collect(at int32, selection string, out *[]detections.Match) {
	n, about := &m.p.nodes[at], &m.p.meta[at]
	if about.selection != "" {
		selection = about.selection
	}
	if len(*out) >= maxEvidence || !m.holds(at) {
		return
	}
	add := func(i int32) {
		e := detections.Match{Selection: selection, Field: about.item.Field}
		if i >= 0 {
			if name := m.fieldAt(i); name != "" {
				e.Field = name
			}
			if e.Value = m.value(i); len(e.Value) > maxEvidenceValue {
				e.Value = e.Value[:maxEvidenceValue]
			}
		}
		if len(*out) < maxEvidence && !slices.Contains(*out, e) {
			*out = append(*out, e)
		}
	}
	switch n.op {
	case opNot:
		if about.item != nil { // neq: the value that is not one of those
			add(m.next(about.slot, -1))
		}
	case opTerms:
		for _, h := range m.hits {
			if slices.Contains(about.all, h.term) {
				add(h.at)
			}
		}
		for _, c := range n.checks {
			if m.check(c) {
				add(m.where(m.p.checks[c].slot, &m.p.checks[c].test))
			}
		}
	default:
		for k := n.from; k < n.to; k++ {
			m.collect(k, selection, out)
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
