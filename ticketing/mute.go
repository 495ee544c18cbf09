package ticketing

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
)

// What a silence does. A silenced alert is raised, shown and taken into an
// incident as ever, and the clocks of the incident run on; only nobody is told:
//
//   - a notification leaves silenced alerts out;
//   - where all open alerts of an incident are silenced, its notifications,
//     those of a late response among them, are held back, which its timeline
//     says. Once one of the alerts is silenced no more and the incident is
//     still open, its receivers are told how it stands then, in one
//     notification;
//   - an alert that joins an incident while it is silenced is no change to
//     tell of; it is told of when its silence ends;
//   - an alert that a rule of inhibition mutes (see inhibit.go) counts as silenced
//     while the alert that mutes it is open;
//   - an alert that the priority policy mutes, as those in a maintenance window,
//     counts as silenced until the policy says otherwise, which it is asked
//     whenever the alert fires again;
//   - an alert that the policy of generation gathers or only keeps (see generate.go)
//     counts as silenced until its period ends;
//   - that an incident is over is told even while it is silenced, since a
//     receiver that opened a ticket would keep it open for good; unless its
//     receivers never learnt of it.

// What receivers lack of an incident, the least first.
const (
	mutedPart   = "part"    // alerts that were left out
	mutedChange = "changed" // all since they were told last
	mutedWhole  = "opened"  // that there is such an incident
)

var mutedKinds = []string{"", mutedPart, mutedChange, mutedWhole}

// mute notes what receivers lack.
func (i *incident) mute(kind string, now time.Time) {
	if i.MutedAt == 0 {
		i.MutedAt = now.UnixMilli()
	}
	if slices.Index(mutedKinds, kind) > slices.Index(mutedKinds, i.MutedKind) {
		i.MutedKind = kind
	}
}

// shown is an alert as the API shows it, with what silences it.
func (s *Service) shown(a *alert) Alert {
	v := a.view()
	v.SilencedBy, v.InhibitedBy = orEmpty(s.silencesOf(a)), orEmpty(s.inhibitedBy(a))
	if a.Gathered != 0 && a.gathered(s.now()) {
		v.Period, v.KeptOnly = a.doc.Period, a.Gathered == keptOnly
		if !v.KeptOnly {
			until := at(a.Gathered)
			v.GatheredUntil = &until
		}
	}
	return v
}

// silencesOf lists the ids of the silences that mute an alert now.
func (s *Service) silencesOf(a *alert) []string {
	if a.Status == StatusClosed || !s.muting.Any() {
		return nil
	}
	return s.muting.Mutes(a.matchable(), a.FactsOf(a.Tenant))
}

// quiet tells whether an alert can be muted at all now.
func (s *Service) quiet() bool {
	return s.muting.Any() || s.hushed.Load() || s.gathers.Load() || s.inhibit.any()
}

// Why an alert is muted that no silence mutes: a maintenance window, whose id
// follows, or the priority policy's own reasons.
const (
	byMaintenance = "maintenance/"
	byPolicy      = "policy"
)

// mutersOf lists what mutes an alert now: ids of silences, and why the priority
// policy does.
func (s *Service) mutersOf(a *alert) []string {
	by := s.silencesOf(a)
	inhibited := s.inhibitedBy(a)
	if len(inhibited) > 0 {
		s.inhibit.muted.Add(1)
	}
	for _, x := range inhibited {
		by = append(by, byInhibition+x.RuleID)
	}
	if a.Gathered != 0 && a.gathered(s.now()) {
		by = append(by, byGeneration+a.doc.Period)
	}
	if !a.Muted || a.Status == StatusClosed {
		return by
	}
	if len(a.doc.Maintenance) == 0 {
		return append(by, byPolicy)
	}
	for _, w := range a.doc.Maintenance {
		by = append(by, byMaintenance+w.ID)
	}
	return by
}

// heardOf returns those of an incident's alerts that are not muted, none where
// all that are open are, and what mutes the others.
func (s *Service) heardOf(members []*alert) (heard []*alert, by []string) {
	open := 0
	for _, a := range members {
		ids := s.mutersOf(a)
		by = union(by, ids...)
		if len(ids) > 0 {
			continue
		}
		heard = append(heard, a)
		if a.Status != StatusClosed {
			open++
		}
	}
	if open == 0 && len(by) > 0 {
		return nil, by
	}
	return heard, by
}

// heard tells whether one of the alerts that an incident took in is not muted.
func (c *correlation) heard(ctx context.Context, attached []*alert) (bool, error) {
	if !c.s.quiet() {
		return len(attached) > 0, nil
	}
	for _, r := range attached {
		if _, err := c.docOf(ctx, r.ID); err != nil {
			return false, err
		}
		if len(c.s.mutersOf(r)) == 0 {
			return true, nil
		}
	}
	return false, nil
}

// holdBack keeps a notification from the receivers and says so in the timeline,
// once until they are told again.
func (s *Service) holdBack(ctx context.Context, tx bun.Tx, i *incident, kind string, by []string, now time.Time) error {
	said := i.MutedKind == mutedChange || i.MutedKind == mutedWhole
	switch kind {
	case "resolved":
		i.MutedAt, i.MutedKind, said = 0, "", false
	case "opened":
		i.mute(mutedWhole, now)
	default:
		i.mute(mutedChange, now)
	}
	if said {
		return nil
	}
	text := detections.Text{ZH: "告警已静默，暂不通知", EN: "Its alerts are silenced: nobody is told for now"}
	var silences, windows, rules, periods []string
	for _, id := range by {
		if window, is := strings.CutPrefix(id, byMaintenance); is {
			windows = append(windows, window)
		} else if rule, is := strings.CutPrefix(id, byInhibition); is {
			rules = append(rules, rule)
		} else if period, is := strings.CutPrefix(id, byGeneration); is {
			periods = append(periods, period)
		} else if id != byPolicy {
			silences = append(silences, id)
		}
	}
	if len(rules) > 0 && len(silences)+len(windows) == 0 {
		text = detections.Text{ZH: "告警被其他告警抑制，暂不通知", EN: "Its alerts are inhibited by others that fire: nobody is told for now"}
	}
	if len(periods) > 0 && len(silences)+len(windows)+len(rules) == 0 {
		text = detections.Text{ZH: "告警按生成策略归集（" + strings.Join(periods, "、") + "），周期结束时通知", EN: "Its alerts are gathered by the policy of generation (" + strings.Join(periods, ", ") + "): it is told of when the period ends"}
	}
	if len(windows) > 0 && len(silences) == 0 {
		text = detections.Text{ZH: "告警处于维护窗口内，不发通知", EN: "Its alerts fall into a maintenance window: nobody is told"}
	}
	if kind == "resolved" {
		text = detections.Text{ZH: "静默期间未曾通知，结束也不再通知", EN: "Nobody was told of it while it was silenced, so nobody is told of its end"}
	}
	data := map[string]any{"status": "silenced", "notification": kind}
	if len(silences) > 0 {
		data["silences"] = silences
	}
	if len(windows) > 0 {
		data["maintenance"] = windows
	}
	if len(periods) > 0 {
		data["periods"] = periods
	}
	if len(rules) > 0 {
		data["inhibitions"] = rules
	}
	return saveTimeline(ctx, tx, []timelineRow{entry(i.ID, now, "notified", SystemActor, text, data)})
}

// tellUnmuted tells of the incidents whose notifications were held back and
// that are silenced no more.
func (s *Service) tellUnmuted(ctx context.Context, now time.Time) error {
	var ids []string
	if err := s.db.NewSelect().Model((*incidentRow)(nil)).Column("id").Where("muted_at > 0 AND status <> 'closed'").
		OrderExpr("muted_at").Scan(ctx, &ids); err != nil {
		return fmt.Errorf("look for silenced incidents: %w", err)
	}
	for part := range slices.Chunk(ids, idsPerStatement) {
		err := s.write(ctx, func(ctx context.Context, tx bun.Tx) error {
			list, err := readIncidents(ctx, tx, part)
			if err != nil {
				return err
			}
			for _, i := range list {
				if i.MutedAt == 0 || i.Status == StatusClosed {
					continue
				}
				if err := s.tellOne(ctx, tx, i, now); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if len(ids) > 0 {
		s.out.Wake()
	}
	return nil
}

// tellOne tells of a muted incident once it is silenced no more; of alerts that
// were left out, once none is.
func (s *Service) tellOne(ctx context.Context, tx bun.Tx, i *incident, now time.Time) error {
	members, err := alertsOf(ctx, tx, i.ID)
	if err != nil {
		return err
	}
	heard, by := s.heardOf(members)
	if len(by) > 0 && (len(heard) == 0 || i.MutedKind == mutedPart) {
		return nil
	}
	if err := s.tell(ctx, tx, i, "changed", fmt.Sprintf("unmuted %d", i.MutedAt), now); err != nil {
		return err
	}
	i.ToldAt, i.TellAt = now.UnixMilli(), 0
	return s.saveIncident(ctx, tx, i)
}
