package ticketing

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/ticketing/sla"
)

// clockRow is the part of an incident's row that its clock is kept in, beside
// the due times.
type clockRow struct {
	AckWarn       int64  `bun:"ack_warn"`
	ResolveWarn   int64  `bun:"resolve_warn"`
	AckWarned     int64  `bun:"ack_warned"`
	ResolveWarned int64  `bun:"resolve_warned"`
	Calendar      string `bun:"calendar"`
	PausedAt      int64  `bun:"paused_at"`
	PausedFor     string `bun:"paused_for"`
	PausedMS      int64  `bun:"paused_ms"`
	Fault         string `bun:"fault"`
	ProposeDue    int64  `bun:"propose_due"`
	ProposedAt    int64  `bun:"proposed_at"`
	ProposeBreach int64  `bun:"propose_breach"`
	WarnAt        int64  `bun:"warn_at"`
}

// clockColumns are the columns of clockRow.
var clockColumns = []string{
	"ack_warn", "resolve_warn", "ack_warned", "resolve_warned", "calendar", "paused_at", "paused_for", "paused_ms",
	"fault", "propose_due", "proposed_at", "propose_breach", "warn_at",
}

func (i *incidentRow) clock() sla.Clock {
	return sla.Clock{
		Opened: when(i.OpenedAt), AckWarn: when(i.AckWarn), AckDue: when(i.AckDue), ResolveWarn: when(i.ResolveWarn), ResolveDue: when(i.ResolveDue),
		Acked: when(i.AckedAt), Resolved: when(i.ResolvedAt), Calendar: i.Calendar, Paused: when(i.PausedAt),
		Fault: i.Fault, ProposeDue: when(i.ProposeDue), Proposed: when(i.ProposedAt),
	}
}

// setClock keeps a clock. What was warned of a due time that moved counts for
// the new one no more.
func (i *incidentRow) setClock(c sla.Clock) {
	if millis(c.AckWarn) != i.AckWarn {
		i.AckWarned = 0
	}
	if millis(c.ResolveWarn) != i.ResolveWarn {
		i.ResolveWarned = 0
	}
	i.AckWarn, i.ResolveWarn, i.Calendar, i.PausedAt = millis(c.AckWarn), millis(c.ResolveWarn), c.Calendar, millis(c.Paused)
	i.Fault, i.ProposeDue, i.ProposedAt = c.Fault, millis(c.ProposeDue), millis(c.Proposed)
	i.AckDue, i.ResolveDue, i.AckedAt, i.ResolvedAt = millis(c.AckDue), millis(c.ResolveDue), millis(c.Acked), millis(c.Resolved)
	i.settle()
}

// settle works out when the clock has to be looked at next.
func (i *incidentRow) settle() {
	c := i.clock()
	i.Due, i.WarnAt = millis(c.Due()), 0
	if i.Status == StatusClosed {
		return
	}
	next := func(at, warned int64) {
		if at > 0 && warned == 0 && (i.WarnAt == 0 || at < i.WarnAt) {
			i.WarnAt = at
		}
	}
	if c.Acked.IsZero() {
		next(i.AckWarn, i.AckWarned)
	}
	if c.Paused.IsZero() {
		next(i.ResolveWarn, i.ResolveWarned)
	}
}

// slaView is the clock as the API shows it.
func (i *incidentRow) slaView(now time.Time) SLA {
	return SLA{
		AckDue: at(i.AckDue), ResolveDue: at(i.ResolveDue), AckedAt: maybe(i.AckedAt), ResolvedAt: maybe(i.ResolvedAt), State: i.clock().State(now),
		ResolveWarn: maybe(i.ResolveWarn), Calendar: i.Calendar, PausedAt: maybe(i.PausedAt), PausedFor: i.PausedFor, PausedSeconds: i.PausedMS / 1000,
		Fault: i.Fault, ProposeDue: maybe(i.ProposeDue), ProposedAt: maybe(i.ProposedAt),
	}
}

// PauseIncident stops the clock of the solution, for one of the reasons that the
// terms allow. The response has no pause: somebody has to look first.
func (s *Service) PauseIncident(ctx context.Context, by Actor, id, reason, comment string) (Incident, error) {
	if err := checkText("comment", comment, maxComment, false); err != nil {
		return Incident{}, err
	}
	r, ok := s.sla().Reason(reason)
	if !ok {
		return Incident{}, fmt.Errorf("%w: reason: %.40q is none of the terms", ErrInvalid, reason)
	}
	return s.oneIncident(ctx, by, id, "pause", reason, func(_ context.Context, _ bun.Tx, i *incident, now time.Time) ([]timelineRow, error) {
		switch {
		case i.Status == StatusOpen:
			return nil, incidentConflict(i, "paused: acknowledge it first")
		case i.Status == StatusClosed || i.PausedAt > 0:
			return nil, incidentConflict(i, "paused")
		}
		c := i.clock()
		c.Pause(now)
		i.PausedFor = r.Key
		i.setClock(c)
		return []timelineRow{entry(i.ID, now, "paused", by.Name, withComment("暂停计时："+r.Name.ZH, "Clock paused: "+r.Name.EN, comment), map[string]any{"reason": r.Key})}, nil
	})
}

// ResumeIncident lets the clock of the solution go on with what was left.
func (s *Service) ResumeIncident(ctx context.Context, by Actor, id, comment string) (Incident, error) {
	if err := checkText("comment", comment, maxComment, false); err != nil {
		return Incident{}, err
	}
	return s.oneIncident(ctx, by, id, "resume", "", func(_ context.Context, _ bun.Tx, i *incident, now time.Time) ([]timelineRow, error) {
		if i.PausedAt == 0 || i.Status == StatusClosed {
			return nil, incidentConflict(i, "resumed: its clock is not paused")
		}
		return []timelineRow{s.resume(i, by, now, comment)}, nil
	})
}

func (s *Service) resume(i *incident, by Actor, now time.Time, comment string) timelineRow {
	c := i.clock()
	paused := s.sla().Resume(&c, now)
	i.PausedMS += paused.Milliseconds()
	reason := i.PausedFor
	i.PausedFor = ""
	i.setClock(c)
	return entry(i.ID, now, "resumed", by.Name, withComment("恢复计时，应于 "+s.local(c.ResolveDue)+" 前解决", "Clock goes on: a solution is due by "+s.local(c.ResolveDue), comment),
		map[string]any{"reason": reason, "seconds": int64(paused.Seconds())})
}

// ConfirmFault says that an incident is a device fault, online or offline, which
// has promises of its own.
func (s *Service) ConfirmFault(ctx context.Context, by Actor, id, kind, comment string) (Incident, error) {
	if err := checkText("comment", comment, maxComment, false); err != nil {
		return Incident{}, err
	}
	return s.oneIncident(ctx, by, id, "confirm-fault", kind, func(_ context.Context, _ bun.Tx, i *incident, now time.Time) ([]timelineRow, error) {
		if i.Status == StatusClosed || i.Fault != "" {
			return nil, incidentConflict(i, "confirmed as a device fault")
		}
		c := i.clock()
		if err := s.sla().Confirm(&c, kind, now); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		i.setClock(c)
		zh, en := "确认为线上故障", "Confirmed as an online fault"
		if kind == sla.Offline {
			zh, en = "确认为线下故障", "Confirmed as an offline fault"
		}
		zh += "，应于 " + s.local(c.ProposeDue) + " 前提出解决方案，" + s.local(c.ResolveDue) + " 前恢复"
		en += ": a solution is to be proposed by " + s.local(c.ProposeDue) + " and the service recovered by " + s.local(c.ResolveDue)
		return []timelineRow{entry(i.ID, now, "sla", by.Name, withComment(zh, en, comment), map[string]any{"fault": kind})}, nil
	})
}

// ProposeSolution says how a device fault is to be solved, and stops the clock
// of that.
func (s *Service) ProposeSolution(ctx context.Context, by Actor, id, text string) (Incident, error) {
	if err := checkText("text", text, maxComment, true); err != nil {
		return Incident{}, err
	}
	return s.oneIncident(ctx, by, id, "propose-solution", "", func(_ context.Context, _ bun.Tx, i *incident, now time.Time) ([]timelineRow, error) {
		if i.Status == StatusClosed || i.Fault == "" || i.ProposedAt > 0 {
			return nil, incidentConflict(i, "given a proposal: it must be a confirmed device fault without one")
		}
		c := i.clock()
		c.Proposed = now
		i.setClock(c)
		return []timelineRow{entry(i.ID, now, "proposed", by.Name, detections.Text{ZH: text, EN: text}, nil)}, nil
	})
}

// warnings warns, once each, of what comes due.
func (s *Service) warnings(ctx context.Context, now time.Time) error {
	ms := now.UnixMilli()
	var ids []string
	if err := s.db.NewSelect().Model((*incidentRow)(nil)).Column("id").Where("warn_at > 0 AND warn_at <= ?", ms).
		OrderExpr("warn_at").Limit(idsPerStatement).Scan(ctx, &ids); err != nil {
		return fmt.Errorf("look for incidents that come due: %w", err)
	}
	if len(ids) == 0 {
		return nil
	}
	err := s.write(ctx, func(ctx context.Context, tx bun.Tx) error {
		list, err := readIncidents(ctx, tx, ids)
		if err != nil {
			return err
		}
		for _, i := range list {
			entries := s.soon(i, now)
			i.settle()
			if len(entries) > 0 {
				if err := saveTimeline(ctx, tx, entries); err != nil {
					return err
				}
				if err := s.tell(ctx, tx, i, "sla_warning", strconv.FormatInt(ms, 10), now); err != nil {
					return err
				}
			}
			if err := s.saveIncident(ctx, tx, i); err != nil {
				return err
			}
		}
		return nil
	})
	s.out.Wake()
	return err
}

// soon notes in an incident that it was warned, and returns what enters its
// timeline. A warning that comes after the due time is none: the breach is told.
func (s *Service) soon(i *incident, now time.Time) []timelineRow {
	c := i.clock()
	var entries []timelineRow
	warn := func(zh, en, target string, due time.Time) {
		entries = append(entries, entry(i.ID, now, "sla", SystemActor,
			detections.Text{ZH: zh + s.local(due) + " 前", EN: en + s.local(due)}, map[string]any{"target": target, "due": Time{due}, "state": sla.DueSoon}))
	}
	if i.AckWarned == 0 && c.AckSoon(now) {
		i.AckWarned = now.UnixMilli()
		if !c.AckLate(now) {
			warn("响应即将超时，应于 ", "A response comes due by ", "ack", c.AckDue)
		}
	}
	if i.ResolveWarned == 0 && c.ResolveSoon(now) {
		i.ResolveWarned = now.UnixMilli()
		if !c.ResolveLate(now) {
			warn("处置即将超时，应于 ", "A solution comes due by ", "resolve", c.ResolveDue)
		}
	}
	return entries
}
