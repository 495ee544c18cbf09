package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"sort"
	"strings"
	"time"

	"icewatch/soc/client"
)

// showAlert prints an alert for people: the sentence first, then who, where,
// why and what was seen.
func (a *app) showAlert(raw []byte) error {
	var al struct {
		client.Alert
		Reasons  []client.Text `json:"reasons"`
		Evidence []struct {
			Selection string `json:"selection"`
			Field     string `json:"field"`
			Value     string `json:"value"`
		} `json:"evidence"`
		Fields   map[string]any         `json:"fields"`
		Timeline []client.TimelineEntry `json:"timeline"`
	}
	// The embedded Alert's own decoder would be used for the whole, so each
	// part is read by itself.
	if err := json.Unmarshal(raw, &al.Alert); err != nil {
		return fmt.Errorf("the alert is not what was expected: %w", err)
	}
	rest := struct {
		Reasons  *[]client.Text          `json:"reasons"`
		Evidence any                     `json:"evidence"`
		Fields   *map[string]any         `json:"fields"`
		Timeline *[]client.TimelineEntry `json:"timeline"`
	}{&al.Reasons, &al.Evidence, &al.Fields, &al.Timeline}
	if err := json.Unmarshal(raw, &rest); err != nil {
		return fmt.Errorf("the alert is not what was expected: %w", err)
	}
	lang := a.lang()
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\n\n", plain(al.Title.In(lang)))
	pairs(&b, [][2]string{
		{"id", al.ID}, {"rule", al.Rule.Title.In(lang) + " (" + al.Rule.ID + ")"}, {"severity", al.Severity + ", priority " + or(al.Priority)},
		{"status", al.Status}, {"tenant", al.Tenant}, {"on", itemLine(al.CI)}, {"system", itemName(al.System)}, {"from", al.SourceIP},
		{"seen", fmt.Sprintf("%d times, %s to %s", al.Count, when(al.FirstSeen), when(al.LastSeen))},
		{"assignee", al.Assignee}, {"incident", al.IncidentID}})
	texts(&b, "Why this priority", al.Reasons, lang)
	if len(al.Evidence) > 0 {
		b.WriteString("\nEvidence\n")
		for _, e := range al.Evidence {
			fmt.Fprintf(&b, "  %s: %s = %s\n", plain(e.Selection), plain(e.Field), plain(e.Value))
		}
	}
	if len(al.Fields) > 0 {
		b.WriteString("\nLast event\n")
		names := make([]string, 0, len(al.Fields))
		for name := range al.Fields {
			names = append(names, name)
		}
		sort.Strings(names)
		for _, name := range names {
			fmt.Fprintf(&b, "  %s = %s\n", plain(name), plain(fmt.Sprint(al.Fields[name])))
		}
	}
	timeline(&b, al.Timeline, lang)
	_, err := a.stdout.Write(b.Bytes())
	return err
}

// showIncident prints an incident for people.
func (a *app) showIncident(raw []byte) error {
	var in client.Incident
	if err := json.Unmarshal(raw, &in); err != nil {
		return fmt.Errorf("the incident is not what was expected: %w", err)
	}
	lang := a.lang()
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\n\n", plain(in.Title.In(lang)))
	sla := slaState(in.SLA)
	if in.SLA != nil && in.SLA.AckDue != nil {
		sla += ", acknowledge by " + when(*in.SLA.AckDue)
	}
	if in.SLA != nil && in.SLA.ResolveDue != nil {
		sla += ", resolve by " + when(*in.SLA.ResolveDue)
	}
	pairs(&b, [][2]string{
		{"id", in.ID}, {"severity", in.Severity + ", priority " + or(in.Priority)}, {"status", in.Status}, {"tenant", in.Tenant},
		{"system", itemName(in.System)}, {"on", itemLine(in.CI)}, {"owner", in.Owner}, {"assignee", in.Assignee},
		{"opened", when(in.OpenedAt)}, {"seen", when(in.FirstSeen) + " to " + when(in.LastSeen)}, {"SLA", sla}})
	if len(in.Alerts) > 0 {
		fmt.Fprintf(&b, "\nAlerts (%d)\n", len(in.Alerts))
		for _, al := range in.Alerts {
			fmt.Fprintf(&b, "  %s  %-8s %5d×  %s  [%s]\n", when(al.FirstSeen), al.Severity, al.Count, plain(al.Title.In(lang)), al.ID)
		}
	}
	timeline(&b, in.Timeline, lang)
	_, err := a.stdout.Write(b.Bytes())
	return err
}

func pairs(w io.Writer, list [][2]string) {
	for _, p := range list {
		if p[1] != "" && p[1] != "-" {
			fmt.Fprintf(w, "%-9s %s\n", p[0], plain(p[1]))
		}
	}
}

func texts(w io.Writer, title string, list []client.Text, lang string) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\n", title)
	for _, t := range list {
		fmt.Fprintf(w, "  %s\n", plain(t.In(lang)))
	}
}

func timeline(w io.Writer, list []client.TimelineEntry, lang string) {
	if len(list) == 0 {
		return
	}
	fmt.Fprint(w, "\nTimeline\n")
	for _, e := range list {
		fmt.Fprintf(w, "  %s  %-12s %s  %s\n", when(e.Time), plain(e.Kind), plain(or(e.Actor)), plain(e.Text.In(lang)))
	}
}

func itemLine(i *client.Item) string {
	if i == nil || i.Name == "" {
		return "-"
	}
	line := i.Name
	if i.Criticality > 0 {
		line += fmt.Sprintf(", criticality %d of 5", i.Criticality)
	}
	if i.Owner != "" {
		line += ", owner " + i.Owner
	}
	if len(i.Labels) > 0 {
		line += ", " + strings.Join(i.Labels, " ")
	}
	return line
}

// expires shows when something ends; nil is never.
func expires(t *time.Time) string {
	if t == nil || t.IsZero() {
		return "never"
	}
	return when(*t)
}
