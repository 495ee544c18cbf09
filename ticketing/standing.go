package ticketing

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"icewatch/detections"
)

// The times that figures of the standing look back over.
const (
	standingDay   = 24 * time.Hour
	standingMonth = 30 * 24 * time.Hour
)

// ruleAlerts is the metric of which only the maxRuleAlerts greatest are written:
// its series come and go, and are not remembered.
const (
	ruleAlerts    = "icewatch_rule_alerts_last_day"
	maxRuleAlerts = 20
)

// WriteStanding writes how alerts and incidents stand, by tenant, in Prometheus'
// text format: those that are open, what the last day raised, what is late, and
// the sums of which the mean times of the last thirty days are made. They are
// counted from the tables once and followed since, so a restart changes none of
// them. The series are bounded by tenants × severities.
func (s *Service) WriteStanding(ctx context.Context, w io.Writer) error {
	st := &s.standing
	st.look.Lock()
	defer st.look.Unlock()
	if err := s.countStanding(ctx); err != nil {
		return err
	}
	if err := s.passStanding(ctx, s.clock()); err != nil {
		return err
	}
	return st.write(w, s.clock())
}

// write writes what is counted. A series that came to nothing is written as 0: one
// that just ends stands still in a chart for five minutes.
func (st *standings) write(w io.Writer, now time.Time) error {
	var lines []string
	add := func(name, labels string, v float64) {
		lines = append(lines, fmt.Sprintf("%s{%s} %g\n", name, labels, v))
	}
	st.mu.Lock()
	for k, n := range st.open {
		add("icewatch_alerts", fmt.Sprintf("tenant=%q,severity=%q,state=%q", k.tenant, severityOf(k.severity), k.status), float64(n))
	}
	for k, n := range st.day {
		add("icewatch_alerts_raised_last_day", fmt.Sprintf("tenant=%q,severity=%q", k.tenant, severityOf(k.severity)), float64(n))
	}
	ids := slices.SortedFunc(maps.Keys(st.rules), func(a, b string) int {
		return cmp.Or(cmp.Compare(st.rules[b].n, st.rules[a].n), cmp.Compare(a, b))
	})
	for _, id := range ids[:min(len(ids), maxRuleAlerts)] {
		r := st.rules[id]
		var title detections.Text
		if json.Unmarshal([]byte(r.title), &title) != nil { // one of a single language
			title = detections.Text{ZH: r.title, EN: r.title}
		}
		add(ruleAlerts, fmt.Sprintf(`rule="%s",title="%s",title_en="%s"`, quoted(id), quoted(cmp.Or(title.ZH, title.EN)), quoted(cmp.Or(title.EN, title.ZH))), float64(r.n))
	}
	st.incidents.tell(now, add)
	st.mu.Unlock()
	slices.Sort(lines)
	for _, line := range lines {
		if _, err := io.WriteString(w, line); err != nil {
			return err
		}
	}
	return nil
}

// maxQuoted bounds a label's value, in characters.
const maxQuoted = 200

// quoted is a text as the value of a label: others may have written it, and one
// escape that the format does not know costs a scraper the whole page.
func quoted(text string) string {
	if r := []rune(text); len(r) > maxQuoted {
		text = string(r[:maxQuoted-1]) + "…"
	}
	return labelEscapes.Replace(strings.ToValidUTF8(text, "\ufffd"))
}

var labelEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
