package ticketing

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"icewatch/detections"
	"icewatch/detections/policy"
)

// What an alert keeps at most. The lake has the rest.
const (
	maxEvents       = 100
	maxRecent       = 20
	maxRecentEvents = 10
	maxFields       = 256
	maxFieldBytes   = 8 << 10
	maxFieldsBytes  = 64 << 10
	maxEvidence     = 100
)

// alertID derives an alert's id, so that a replay makes no second alert.
func alertID(key string, generation int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "alert\x00%s\x00%d", key, generation))
	return hex.EncodeToString(sum[:12])
}

// complete fills what an occurrence must have. One without an id gets it from
// its content, so that the same one is still taken in only once.
func complete(o *detections.Occurrence, now time.Time) {
	if o.Time.IsZero() {
		o.Time = o.From
	}
	if o.From.IsZero() || o.From.After(o.Time) {
		o.From = o.Time
	}
	if o.Count < 1 {
		o.Count = 1
	}
	if o.Key == "" {
		parts := []string{o.Rule.ID, o.Tenant}
		for _, g := range o.Group {
			parts = append(parts, g.Field, g.Value)
		}
		sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
		o.Key = hex.EncodeToString(sum[:12])
	}
	if o.ID == "" {
		data, _ := json.Marshal(o)
		sum := sha256.Sum256(data)
		o.ID = hex.EncodeToString(sum[:])
	}
	if o.Time.IsZero() {
		o.Time, o.From = now, now
	}
}

// keyOf is the key that occurrences of one tenant merge by. The tenant stands
// in it, whatever made the occurrence's own key: nothing merges across tenants.
func keyOf(o *detections.Occurrence) string { return o.Tenant + "/" + o.Key }

// newAlert makes an alert without occurrences.
func newAlert(key string, generation int, o *detections.Occurrence, now time.Time) *alert {
	return &alert{
		alertRow: alertRow{
			ID: alertID(key, generation), Key: key, Generation: generation, Tenant: o.Tenant, RuleID: o.Rule.ID,
			Status: StatusOpen, CreatedAt: now.UnixMilli(), FirstSeen: o.From.UnixMilli(), LastSeen: o.Time.UnixMilli(),
			Priority: 4,
		},
		doc:   alertDoc{Group: o.Group},
		fresh: true,
	}
}

// merge takes an occurrence into the alert. Every part of the outcome is the
// same in whatever order the occurrences come.
func (a *alert) merge(o *detections.Occurrence, s subject) {
	d := &a.doc
	a.merged = true
	grave, item, actor := a.Severity, a.Item, a.Actor
	defer func() { a.raised = a.raised || a.Severity > grave || a.Item != item || a.Actor != actor }()
	a.FirstSeen = min(a.FirstSeen, o.From.UnixMilli())
	a.LastSeen = max(a.LastSeen, o.Time.UnixMilli())
	a.Count += o.Count
	a.Occurrences++
	a.Severity = max(a.Severity, severityRank(o.Rule.Level))

	m := mark{At: o.Time.UnixNano(), ID: o.ID}
	rank := priorityRank(o.Priority, o.Rule.Level)
	if first := a.Occurrences == 1; first || rank < a.Priority || rank == a.Priority && d.ReasonsOf.before(m) {
		a.Priority, d.Reasons, d.ReasonsOf = rank, o.Reasons, m
	}
	a.Tactics = strings.Join(union(listOf(a.Tactics), o.Rule.Tactics...), ",")
	a.Techniques = strings.Join(union(listOf(a.Techniques), o.Rule.Techniques...), ",")
	a.judge(o, m)
	d.addEvents(o)
	d.addRecent(o, m)

	if a.Occurrences > 1 && !d.Latest.before(m) {
		return
	}
	d.Latest = m
	d.Rule = o.Rule
	d.Title = sentence(o)
	d.Evidence = o.Evidence[:min(len(o.Evidence), maxEvidence)]
	d.Fields = boundFields(o.Fields)
	d.CI, d.System, d.Owner, d.User = s.ci, s.system, s.owner, s.user
	a.Item, a.Actor, a.SourceIP, a.Recon = s.item, s.actor, s.sourceIP, recon(&o.Rule)
	a.Kept = s.facts
	a.Fault = s.fault
	a.judgeLatest(o)
	a.CIID, a.SystemID = "", ""
	if s.ci != nil {
		a.CIID = s.ci.ID
	}
	if s.system != nil {
		a.SystemID = s.system.ID
	}
	a.RuleTitle = encoded(ruleTitle(&o.Rule))
}

// sentence is what happened, in words: the rule's filled sentence, else its
// title.
func sentence(o *detections.Occurrence) detections.Text {
	t := o.Rule.Sentence
	if t.ZH == "" && t.EN == "" {
		t = o.Rule.Title
	}
	if t.ZH == "" && t.EN == "" {
		t.EN = o.Rule.ID
	}
	return bothLanguages(t)
}

func ruleTitle(r *detections.RuleRef) detections.Text {
	t := r.Title
	if t.ZH == "" && t.EN == "" {
		t.EN = r.ID
	}
	return bothLanguages(t)
}

// bothLanguages fills the language that is missing with the other.
func bothLanguages(t detections.Text) detections.Text {
	return detections.Text{ZH: firstOf(t.ZH, t.EN), EN: firstOf(t.EN, t.ZH)}
}

// addEvents keeps the last maxEvents event ids by event time. Keeping the
// greatest of a total order gives the same list in whatever order they come.
func (d *alertDoc) addEvents(o *detections.Occurrence) {
	t := o.Time.UnixNano()
	for _, id := range o.EventIDs {
		if i := slices.IndexFunc(d.Events, func(m mark) bool { return m.ID == id }); i >= 0 {
			d.Events[i].At = max(d.Events[i].At, t)
			continue
		}
		d.Events = append(d.Events, mark{At: t, ID: id})
	}
	order := func(a, b mark) int {
		if d := cmp.Compare(a.At, b.At); d != 0 {
			return d
		}
		return compareEventIDs(a.ID, b.ID)
	}
	if !slices.IsSortedFunc(d.Events, order) { // as a rule they come in their order
		slices.SortFunc(d.Events, order)
	}
	if extra := len(d.Events) - maxEvents; extra > 0 {
		d.Events = slices.Delete(d.Events, 0, extra)
	}
}

// compareEventIDs orders ids of one stream by their numbers: within the same
// stream a longer number is a greater one.
func compareEventIDs(a, b string) int {
	ea, ra, _ := strings.Cut(a, "-")
	eb, rb, _ := strings.Cut(b, "-")
	sa, ia, _ := strings.Cut(ra, "-")
	sb, ib, _ := strings.Cut(rb, "-")
	return cmp.Or(strings.Compare(ea, eb), cmp.Compare(len(sa), len(sb)), strings.Compare(sa, sb),
		cmp.Compare(len(ia), len(ib)), strings.Compare(ia, ib), strings.Compare(a, b))
}

func (d *alertDoc) addRecent(o *detections.Occurrence, m mark) {
	ids := o.EventIDs
	if len(ids) > maxRecentEvents {
		ids = ids[len(ids)-maxRecentEvents:]
	}
	ref := OccurrenceRef{ID: o.ID, Time: Time{o.Time.UTC()}, Count: o.Count, EventIDs: orEmpty(slices.Clone(ids))}
	i, _ := slices.BinarySearchFunc(d.Recent, m, func(r OccurrenceRef, m mark) int {
		return cmp.Or(cmp.Compare(m.At/int64(time.Millisecond), r.Time.UnixMilli()), strings.Compare(m.ID, r.ID))
	})
	if i < maxRecent {
		d.Recent = slices.Insert(d.Recent, i, ref)
		d.Recent = d.Recent[:min(len(d.Recent), maxRecent)]
	}
}

// boundFields keeps an alert small: at most maxFields fields of at most
// maxFieldBytes each and maxFieldsBytes together; a cut value ends in "…".
func boundFields(in map[string]string) map[string]string {
	out := make(map[string]string, min(len(in), maxFields))
	names := make([]string, 0, len(in))
	for k := range in {
		names = append(names, k)
	}
	slices.Sort(names)
	left := maxFieldsBytes
	for _, k := range names[:min(len(names), maxFields)] {
		v := in[k]
		if len(v) > maxFieldBytes {
			n := maxFieldBytes
			for n > 0 && !utf8.RuneStart(v[n]) {
				n--
			}
			v = v[:n] + "…"
		}
		if left -= len(k) + len(v); left < 0 {
			break
		}
		out[k] = v
	}
	return out
}

func listOf(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

// judged is what a policy sees of the alert.
func (a *alert) judged() policy.Alert {
	d := &a.doc
	o := detections.Occurrence{
		Key: a.Key, Rule: d.Rule, Tenant: a.Tenant, Time: when(a.LastSeen), From: when(a.FirstSeen), Count: a.Count,
		Group: d.Group, Fields: d.Fields, Evidence: d.Evidence, Priority: priorityOf(a.Priority), Reasons: d.Reasons,
	}
	o.Judgement = detections.Judgement{Verdict: verdictOf(a.Verdict), Phase: a.Phase, Direction: a.Direction}
	o.Rule.Level = severityOf(a.Severity)
	o.Rule.Tactics, o.Rule.Techniques = listOf(a.Tactics), listOf(a.Techniques)
	p := policy.FromOccurrence(&o)
	p.ID, p.Status, p.Priority = a.ID, string(a.Status), o.Priority
	p.First, p.Last, p.Count = o.From, o.Time, a.Count
	if d.CI != nil && (d.CI.ID != "" && d.CI.ID != p.Item.ID || p.Item.ID == "" && p.Item.Name == "") {
		// The alert is about another item than the one that told of it.
		p.Item = policy.Item{ID: d.CI.ID, Name: d.CI.Name, Class: d.CI.Class, Criticality: d.CI.Criticality, Labels: orEmpty(d.CI.Labels)}
		if d.System != nil {
			p.Item.System = firstOf(d.System.ID, d.System.Name)
		}
	}
	return p
}

// related is what a policy sees of the alert as a relation of another.
func (a *alert) related() *policy.Alert {
	facts := a.judged()
	facts.Fields = nil
	return &facts
}

// searchable is the text that is looked in of parts, each of which stands in it
// once where the same ones follow each other.
func searchable(parts []string) string {
	var b strings.Builder
	last := ""
	for _, p := range parts {
		if p != "" && p != last {
			if b.Len() > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(p)
			last = p
		}
	}
	return strings.ToLower(b.String())
}

// finish makes the columns that derive from the rest of the alert.
func (a *alert) finish() error {
	d := &a.doc
	parts := []string{a.ID, d.Title.ZH, d.Title.EN, d.Rule.ID, d.Rule.Title.ZH, d.Rule.Title.EN, a.SourceIP, d.User, d.Owner, a.SystemID, a.CIID}
	if d.CI != nil {
		parts = append(parts, d.CI.Name)
	}
	if d.System != nil {
		parts = append(parts, d.System.Name)
	}
	for _, g := range d.Group {
		parts = append(parts, g.Value)
	}
	a.Search = searchable(parts)
	return a.pack()
}
