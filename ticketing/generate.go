package ticketing

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"icewatch/detections"
	"icewatch/soc/reach"
	"icewatch/ticketing/generation"
)

// How the policy by which alerts are raised is applied (see ticketing/generation).
// An alert of a risk of focus is marked, and graver by one level where the policy
// says so, before its priority is judged. Another one may be gathered when it is
// raised: until its period ends it counts as muted, so that it is kept, shown and
// taken into an incident as ever and nobody is told; then its incident is told of
// as it stands. What is only kept counts as muted until it closes.

// keptOnly is the mark of an alert that nobody is told of.
const keptOnly = -1

// byGeneration is why an alert is muted that the policy gathers; the name of its
// period follows.
const byGeneration = "generation/"

// FocusMark is what an alert keeps of the risk of focus that it tells of.
type FocusMark struct {
	Name string `json:"name"`
	From *int   `json:"from,omitempty"` // rank of its severity before it was raised
}

// generates is the values of an alert that the policy asks for by a name.
func (a *alert) generates(name string) []string {
	one := func(s string) []string {
		if s == "" {
			return nil
		}
		return []string{s}
	}
	d := &a.doc
	switch name {
	case "attack":
		return one(a.Attack)
	case "data_level":
		return generation.DataLevel(a.DataLevel)
	case "direction":
		return one(a.Direction)
	case "industry":
		return one(a.Industry)
	case "item_class":
		if d.CI != nil {
			return one(d.CI.Class)
		}
	case "item_label":
		if d.CI != nil {
			return d.CI.Labels
		}
	case "key_asset":
		if a.KeyAsset {
			return []string{"true"}
		}
	case "phase":
		return d.Phases
	case "priority":
		return one(priorityOf(a.Priority))
	case "region":
		return one(a.Region)
	case "risk": // a class stands for all below it
		var out []string
		for _, code := range []string{d.Risk.Class, d.Risk.Subclass, d.Risk.Type} {
			if code != "" {
				out = append(out, code)
			}
		}
		if full := strings.Join(out, "."); len(out) > 1 {
			out = append(out, full)
		}
		return out
	case "rule":
		out := []string{a.RuleID}
		for _, title := range []string{d.Rule.Title.ZH, d.Rule.Title.EN} {
			if title != "" {
				out = append(out, title)
			}
		}
		return out
	case "rule_tag":
		return d.Rule.Tags
	case "severity":
		return one(string(severityOf(a.Severity)))
	case "system":
		if d.System != nil {
			return []string{d.System.ID, d.System.Name}
		}
	case "tactic":
		return splitList(a.Tactics)
	case "technique": // T1110 stands for its sub-techniques, too
		out := splitList(a.Techniques)
		for _, t := range slices.Clone(out) {
			if top, _, sub := strings.Cut(t, "."); sub {
				out = append(out, top)
			}
		}
		return out
	case "tenant":
		return one(a.Tenant)
	case "threat":
		return one(a.Threat)
	case "unit":
		return one(a.Unit)
	case "verdict":
		return one(string(verdictOf(a.Verdict)))
	}
	return nil
}

// generated is the policy in force; nil where it changes nothing.
func (s *Service) generated() *generation.Compiled {
	if s.generation == nil {
		return nil
	}
	if p := s.generation(); !p.Idle() {
		return p
	}
	return nil
}

// focus marks an alert that tells of a risk of focus, and raises it. What was
// raised stays so until the alert closes.
func (s *Service) focus(a *alert, p *generation.Compiled) {
	f, is := p.Focus(a.Tenant, a.generates)
	switch mark := a.doc.Focus; {
	case !is:
		if mark != nil && mark.From == nil {
			a.doc.Focus = nil
		}
	case mark == nil || mark.Name != f.Name:
		next := &FocusMark{Name: f.Name}
		if mark != nil {
			next.From = mark.From
		}
		if f.Raise && next.From == nil && a.Severity < severityRank(detections.Critical) {
			was := a.Severity
			next.From = &was
			a.Severity++
			a.raised = true
		}
		a.doc.Focus = next
	}
	a.Focus = a.doc.Focus != nil
}

// sayFocus adds to the reasons of an alert's priority that it is of focus.
func (a *alert) sayFocus() {
	f := a.doc.Focus
	if f == nil {
		return
	}
	said := detections.Text{ZH: "重点关注风险：" + f.Name, EN: "A risk of focus: " + f.Name}
	if f.From != nil {
		said.ZH += fmt.Sprintf("，级别由%s提升一级", severityZH[severityOf(*f.From)])
		said.EN += fmt.Sprintf("; its severity is one level above %s", severityOf(*f.From))
	}
	a.doc.Reasons = append(slices.Clone(a.doc.Reasons), said)
}

// gather decides when people are told of an alert. What they were told of once,
// they go on to be told of.
func (s *Service) gather(a *alert, p *generation.Compiled, now time.Time) {
	if a.Status == StatusClosed || !a.fresh && a.Gathered == 0 {
		return
	}
	was := a.Gathered
	if !a.fresh && was > 0 && was <= now.UnixMilli() {
		return // its period is over
	}
	a.Gathered, a.doc.Period = 0, ""
	if p != nil && !a.Focus {
		if d, is := p.Period(a.Tenant, a.generates); is {
			switch due := p.Due(d, now); {
			case d.Mode == generation.Keep:
				a.Gathered, a.doc.Period = keptOnly, d.Name
			case !due.IsZero():
				a.Gathered, a.doc.Period = due.UnixMilli(), d.Name
				if was > 0 {
					a.Gathered = min(was, a.Gathered) // it does not wait longer by firing again
				}
			}
		}
	}
	if a.Gathered != 0 {
		s.gathers.Store(true)
	}
	if was != 0 && a.Gathered == 0 { // it has become grave enough
		s.unmute.Store(true)
	}
}

// gathered tells whether an alert is kept from people now.
func (a *alertRow) gathered(now time.Time) bool {
	return a.Status != StatusClosed && (a.Gathered == keptOnly || a.Gathered > now.UnixMilli())
}

// gatheredSince tells whether the period of an alert ended after a moment and up to
// another.
func (s *Service) gatheredSince(ctx context.Context, after, now time.Time) (bool, error) {
	if !s.gathers.Load() {
		return false, nil
	}
	return s.db.NewSelect().Model((*alertRow)(nil)).Where("gathered > ? AND gathered <= ?", after.UnixMilli(), now.UnixMilli()).Where("status <> ?", StatusClosed).Exists(ctx)
}

// GenerationShare is what a line of a policy would have done.
type GenerationShare struct {
	Name   string   `json:"name"`
	Alerts int      `json:"alerts"`
	Raised int      `json:"raised,omitempty" doc:"Of focus: whose severity would have been one level higher"`
	Times  int      `json:"times,omitempty" doc:"Of a period: how often people would have been told of these alerts; each tenant's are told of apart"`
	Sample []string `json:"sample" nullable:"false" doc:"Ids of the latest, five at most"`
}

// GenerationPreview is what a policy would have made of last week's alerts.
type GenerationPreview struct {
	Days      int               `json:"days" doc:"That were looked back"`
	Alerts    int               `json:"alerts" doc:"Within reach that were raised in these days and that no suppression met"`
	Focus     int               `json:"focus" doc:"Of these, of a risk of focus"`
	AtOnce    int               `json:"at_once" doc:"Of these, told of at once: those of focus too"`
	Gathered  int               `json:"gathered" doc:"Of these, gathered"`
	Kept      int               `json:"kept" doc:"Of these, kept only"`
	Tellings  int               `json:"tellings" doc:"How often people would have been told: at once, and at the ends of periods"`
	ByFocus   []GenerationShare `json:"by_focus" nullable:"false" doc:"In the order of the policy"`
	ByPeriod  []GenerationShare `json:"by_period" nullable:"false" doc:"In the order of the policy"`
	Truncated bool              `json:"truncated" doc:"There are more alerts than are looked at; these are the latest"`
}

// PreviewGeneration tells what a policy would have made of last week's alerts
// within reach.
func (s *Service) PreviewGeneration(ctx context.Context, r reach.Reach, policy generation.RaisingPolicy) (GenerationPreview, error) {
	out := GenerationPreview{Days: previewDays, ByFocus: []GenerationShare{}, ByPeriod: []GenerationShare{}}
	p, err := policy.Compile(s.zone)
	if err != nil {
		return out, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	focus, periods := map[string]*GenerationShare{}, map[string]*GenerationShare{}
	for _, f := range policy.Focus {
		focus[f.Name] = &GenerationShare{Name: f.Name, Sample: []string{}}
	}
	for _, d := range policy.Periods {
		periods[d.Name] = &GenerationShare{Name: d.Name, Sample: []string{}}
	}
	count := func(g *GenerationShare, a *alert) {
		if g.Alerts++; len(g.Sample) < 5 {
			g.Sample = append(g.Sample, a.ID)
		}
	}
	told := map[string]bool{}
	since := s.now().Add(-previewDays * 24 * time.Hour)
	err = s.eachSince(ctx, r, since, func(a *alert) bool {
		if a.CreatedAt < since.UnixMilli() || a.SuppressedBy != "" {
			return true
		}
		if out.Alerts == previewAlerts {
			out.Truncated = true
			return false
		}
		out.Alerts++
		if f := a.doc.Focus; f != nil && f.From != nil {
			a.Severity = *f.From // as if no policy had been
		}
		if f, is := p.Focus(a.Tenant, a.generates); is {
			count(focus[f.Name], a)
			if f.Raise && a.Severity < severityRank(detections.Critical) {
				focus[f.Name].Raised++
			}
			out.Focus++
			out.AtOnce++
			out.Tellings++
			return true
		}
		d, is := p.Period(a.Tenant, a.generates)
		if is {
			count(periods[d.Name], a)
		}
		due := time.Time{}
		if is {
			due = p.Due(d, when(a.CreatedAt))
		}
		switch {
		case is && d.Mode == generation.Keep:
			out.Kept++
		case due.IsZero():
			out.AtOnce++
			out.Tellings++
			if is {
				periods[d.Name].Times++
			}
		default:
			out.Gathered++
			if key := d.Name + "\x00" + a.Tenant + "\x00" + due.Format(time.RFC3339); !told[key] {
				told[key] = true
				out.Tellings++
				periods[d.Name].Times++
			}
		}
		return true
	})
	for _, f := range policy.Focus {
		out.ByFocus = append(out.ByFocus, *focus[f.Name])
	}
	for _, d := range policy.Periods {
		out.ByPeriod = append(out.ByPeriod, *periods[d.Name])
	}
	return out, err
}
