package ticketing

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/soc/reach"
	"icewatch/ticketing/transition"
)

// ErrNotFound is answered for an alert or incident that does not exist or is
// not in reach.
var ErrNotFound = errors.New("ticketing: not found")

// ErrInvalid is answered for a request that cannot be carried out as it is
// written. The error's text says what would be right.
var ErrInvalid = errors.New("ticketing: invalid")

// Conflict is answered where the state does not allow an action. It says how
// things stand, so that whoever was second understands.
type Conflict struct {
	Object string // id
	Status Status
	By     string // who brought it there; "" where nobody did
	At     Time
	Reason string // in words
}

// Error implements error.
func (c *Conflict) Error() string { return c.Reason }

// Actor does something to an alert or incident.
type Actor struct {
	Name  string      // enters timeline and audit log
	Reach reach.Reach // what he may touch; the zero value is nothing
}

// Limits of what people write, in characters.
const (
	maxComment  = 10_000
	maxAssignee = 200
	maxBatch    = 500
)

// Close says how an alert or incident is closed.
type Close struct {
	Resolution string // one of Resolutions
	Comment    string // optional
	// KeepAlerts leaves an incident's alerts open. Otherwise they are closed
	// with it, with the same resolution.
	KeepAlerts bool
}

func (c Close) check() error {
	if !slices.Contains(Resolutions, c.Resolution) {
		return fmt.Errorf("%w: resolution %q: want one of %s", ErrInvalid, c.Resolution, strings.Join(Resolutions, ", "))
	}
	return checkText("comment", c.Comment, maxComment, false)
}

func checkText(what, text string, limit int, required bool) error {
	if required && strings.TrimSpace(text) == "" {
		return fmt.Errorf("%w: %s: it is empty", ErrInvalid, what)
	}
	if n := utf8.RuneCountInString(text); n > limit {
		return fmt.Errorf("%w: %s: %d characters, at most %d", ErrInvalid, what, n, limit)
	}
	return nil
}

// alertStep is one action on one alert: it changes it and returns what
// enters the timeline.
type alertStep func(a *alert, now time.Time) ([]timelineRow, error)

// AcknowledgeAlert says that somebody looks after an open alert.
func (s *Service) AcknowledgeAlert(ctx context.Context, by Actor, id, comment string) (Alert, error) {
	if err := checkText("comment", comment, maxComment, false); err != nil {
		return Alert{}, err
	}
	return s.oneAlert(ctx, by, id, "acknowledge", "", ackAlert(by, comment))
}

func ackAlert(by Actor, comment string) alertStep {
	return func(a *alert, now time.Time) ([]timelineRow, error) {
		if a.Status != StatusOpen {
			return nil, alertConflict(a, "acknowledged")
		}
		a.Status, a.AcknowledgedAt, a.AcknowledgedBy = StatusAcknowledged, now.UnixMilli(), by.Name
		return []timelineRow{entry(a.ID, now, "acknowledged", by.Name, withComment("已确认", "Acknowledged", comment), nil)}, nil
	}
}

// AssignAlert gives an alert to somebody; an empty assignee takes it back.
func (s *Service) AssignAlert(ctx context.Context, by Actor, id, assignee string) (Alert, error) {
	if err := checkText("assignee", assignee, maxAssignee, false); err != nil {
		return Alert{}, err
	}
	return s.oneAlert(ctx, by, id, "assign", assignee, assignAlert(by, assignee))
}

func assignAlert(by Actor, assignee string) alertStep {
	return func(a *alert, now time.Time) ([]timelineRow, error) {
		if a.Status == StatusClosed {
			return nil, alertConflict(a, "assigned")
		}
		a.Assignee = assignee
		return []timelineRow{assigned(a.ID, now, by, assignee)}, nil
	}
}

func assigned(id string, now time.Time, by Actor, assignee string) timelineRow {
	t := detections.Text{ZH: "指派给 " + assignee, EN: "Assigned to " + assignee}
	if assignee == "" {
		t = detections.Text{ZH: "取消指派", EN: "Assignment withdrawn"}
	}
	return entry(id, now, "assigned", by.Name, t, map[string]any{"assignee": assignee})
}

// CommentAlert adds a comment, in whatever state the alert is.
func (s *Service) CommentAlert(ctx context.Context, by Actor, id, text string) (Alert, error) {
	if err := checkText("text", text, maxComment, true); err != nil {
		return Alert{}, err
	}
	return s.oneAlert(ctx, by, id, "comment", "", func(a *alert, now time.Time) ([]timelineRow, error) {
		return []timelineRow{entry(a.ID, now, "comment", by.Name, detections.Text{ZH: text, EN: text}, nil)}, nil
	})
}

// CloseAlert ends an alert. If its key fires again a new alert opens.
func (s *Service) CloseAlert(ctx context.Context, by Actor, id string, c Close) (Alert, error) {
	if err := c.check(); err != nil {
		return Alert{}, err
	}
	return s.oneAlert(ctx, by, id, "close", c.Resolution, closeAlert(by, c))
}

func closeAlert(by Actor, c Close) alertStep {
	return func(a *alert, now time.Time) ([]timelineRow, error) {
		if a.Status == StatusClosed {
			return nil, alertConflict(a, "closed")
		}
		a.Status, a.ClosedAt, a.ClosedBy, a.Resolution, a.Judge = StatusClosed, now.UnixMilli(), by.Name, c.Resolution, false
		zh, en := resolutionText(c.Resolution)
		return []timelineRow{entry(a.ID, now, "closed", by.Name, withComment("已关闭："+zh, "Closed: "+en, c.Comment),
			map[string]any{"resolution": c.Resolution})}, nil
	}
}

// ReopenAlert undoes closing or acknowledging.
func (s *Service) ReopenAlert(ctx context.Context, by Actor, id string) (Alert, error) {
	return s.oneAlert(ctx, by, id, "reopen", "", reopenAlert(by))
}

func reopenAlert(by Actor) alertStep {
	return func(a *alert, now time.Time) ([]timelineRow, error) {
		if a.Status == StatusOpen {
			return nil, alertConflict(a, "reopened")
		}
		if a.SuppressedBy != "" {
			return nil, suppressedConflict(a)
		}
		reopenRow(&a.alertRow)
		return []timelineRow{entry(a.ID, now, "reopened", by.Name, detections.Text{ZH: "重新打开", EN: "Reopened"}, nil)}, nil
	}
}

func reopenRow(a *alertRow) {
	a.Status, a.AcknowledgedAt, a.AcknowledgedBy = StatusOpen, 0, ""
	a.ClosedAt, a.ClosedBy, a.Resolution = 0, "", ""
}

func (s *Service) oneAlert(ctx context.Context, by Actor, id, action, detail string, step alertStep) (Alert, error) {
	done, failed, err := s.alertBatch(ctx, by, []string{id}, action, detail, step)
	if err != nil {
		return Alert{}, err
	}
	if e := failed[id]; e != nil {
		return Alert{}, e
	}
	return done[0], nil
}

// Batch is one action on several alerts.
type Batch struct {
	IDs      []string
	Action   string // acknowledge, assign, close, reopen, tag, untag
	Assignee string // of assign
	Tag      string // of tag and untag
	Close    Close  // of close; its comment is that of acknowledge as well
}

// BatchAlerts carries an action out on each alert that allows it, in one
// transaction. failed tells of the others, by id.
func (s *Service) BatchAlerts(ctx context.Context, by Actor, b Batch) (done []Alert, failed map[string]error, err error) {
	if len(b.IDs) == 0 || len(b.IDs) > maxBatch {
		return nil, nil, fmt.Errorf("%w: ids: %d of them, want 1 to %d", ErrInvalid, len(b.IDs), maxBatch)
	}
	step, detail, err := b.step(by)
	if err != nil {
		return nil, nil, err
	}
	return s.alertBatch(ctx, by, b.IDs, b.Action, detail, step)
}

// step makes of an action what it does to each alert, and what the audit log
// says of it beside its name.
func (b *Batch) step(by Actor) (step alertStep, detail string, err error) {
	switch b.Action {
	case "acknowledge":
		err, step = checkText("comment", b.Close.Comment, maxComment, false), ackAlert(by, b.Close.Comment)
	case "assign":
		err, step, detail = checkText("assignee", b.Assignee, maxAssignee, false), assignAlert(by, b.Assignee), b.Assignee
	case "close":
		err, step, detail = b.Close.check(), closeAlert(by, b.Close), b.Close.Resolution
	case "reopen":
		step = reopenAlert(by)
	case "tag", "untag":
		err, step, detail = checkTag(b.Tag), tagAlert(by, b.Tag, b.Action == "tag"), b.Tag
	default:
		err = fmt.Errorf("%w: action %q: want acknowledge, assign, close, reopen, tag or untag", ErrInvalid, b.Action)
	}
	return step, detail, err
}

func (s *Service) alertBatch(ctx context.Context, by Actor, ids []string, action, detail string, step alertStep) (done []Alert, failed map[string]error, err error) {
	return s.alertBatchAnd(ctx, by, ids, action, detail, step, func(context.Context, bun.Tx, []*alert) error { return nil })
}

// alertBatchAnd hands the alerts that were changed to also, within the
// transaction.
func (s *Service) alertBatchAnd(ctx context.Context, by Actor, ids []string, action, detail string, step alertStep, also func(ctx context.Context, tx bun.Tx, changed []*alert) error) (done []Alert, failed map[string]error, err error) {
	now := s.now()
	order := slices.Clone(ids)
	var changes []Change
	err = s.write(ctx, func(ctx context.Context, tx bun.Tx) error {
		done, failed, changes = nil, map[string]error{}, nil
		found, err := readAlerts(ctx, tx, ids)
		if err != nil {
			return err
		}
		byID := map[string]*alert{}
		for _, a := range found {
			if by.Reach.Match(a.FactsOf(a.Tenant)) {
				byID[a.ID] = a
			}
		}
		var changed []*alert
		var entries []timelineRow
		for _, id := range order {
			a := byID[id]
			if a == nil {
				failed[id] = fmt.Errorf("alert %q: %w", id, ErrNotFound)
				continue
			}
			if slices.Contains(changed, a) {
				continue // named twice
			}
			was := a.Status
			rows, err := step(a, now)
			if err == nil {
				err = s.mayMove(ctx, transition.Alert, was, a.Status)
			}
			if err != nil {
				failed[id] = err
				continue
			}
			if was == StatusClosed && a.Status != StatusClosed {
				if err := revive(ctx, tx, a, changed); err != nil {
					var c *Conflict
					if !errors.As(err, &c) {
						return err
					}
					failed[id] = err
					continue
				}
			}
			changed, entries = append(changed, a), append(entries, rows...)
			changes = append(changes, Change{Actor: by.Name, Action: "alert." + action, Object: a.ID, Tenant: a.Tenant, Detail: detail})
		}
		if err := saveAlerts(ctx, tx, changed); err != nil {
			return err
		}
		s.live.drop(changed...)
		if err := also(ctx, tx, changed); err != nil {
			return err
		}
		for _, a := range changed {
			v := s.shown(a)
			v.veiled(by.Reach.Veil())
			done = append(done, v)
		}
		return saveTimeline(ctx, tx, entries)
	})
	if err != nil {
		return nil, nil, fmt.Errorf("ticketing: %s %d alerts: %w", action, len(ids), err)
	}
	s.note(ctx, changes...)
	return done, failed, nil
}

// revive checks that a closed alert may open again: not where its key has
// fired since and another alert is open for it, nor beside one of those that open
// with it. It tells the alert whether its incident is open.
func revive(ctx context.Context, tx bun.Tx, a *alert, with []*alert) error {
	var other string
	err := tx.NewSelect().Model((*alertRow)(nil)).ColumnExpr("coalesce(max(id), '')").
		Where("key = ? AND status <> ? AND id <> ?", a.Key, StatusClosed, a.ID).Scan(ctx, &other)
	if err != nil {
		return fmt.Errorf("look for an open alert of the same key: %w", err)
	}
	for _, b := range with {
		if b.Key == a.Key && b.Status != StatusClosed {
			other = b.ID
		}
	}
	if other != "" {
		return &Conflict{Object: a.ID, Status: StatusClosed,
			Reason: fmt.Sprintf("alert %s cannot be reopened: the same thing happened again since, and alert %s is open for it", a.ID, other)}
	}
	a.Held = false
	if a.IncidentID != "" {
		held, err := tx.NewSelect().Model((*incidentRow)(nil)).Where("id = ? AND status <> ?", a.IncidentID, StatusClosed).Exists(ctx)
		if err != nil {
			return fmt.Errorf("look for incident %s: %w", a.IncidentID, err)
		}
		a.Held = held
	}
	return nil
}

func alertConflict(a *alert, verb string) error {
	return conflict("alert", a.ID, verb, a.Status, a.AcknowledgedBy, a.AcknowledgedAt, a.ClosedBy, a.ClosedAt)
}

func conflict(what, id, verb string, st Status, ackBy string, ackAt int64, closedBy string, closedAt int64) error {
	c := &Conflict{Object: id, Status: st}
	switch st {
	case StatusAcknowledged:
		c.By, c.At = ackBy, at(ackAt)
	case StatusClosed:
		c.By, c.At = closedBy, at(closedAt)
	}
	c.Reason = fmt.Sprintf("%s %s cannot be %s: it is %s", what, id, verb, st)
	if c.By != "" {
		c.Reason += fmt.Sprintf(" by %s since %s", c.By, c.At.UTC().Format(timeLayout))
	}
	return c
}

func withComment(zh, en, comment string) detections.Text {
	if strings.TrimSpace(comment) == "" {
		return detections.Text{ZH: zh, EN: en}
	}
	return detections.Text{ZH: zh + "：" + comment, EN: en + ": " + comment}
}

func resolutionText(r string) (zh, en string) {
	switch r {
	case "true_positive":
		return "确认为真", "true positive"
	case "false_positive":
		return "误报", "false positive"
	case "benign":
		return "正常行为", "benign"
	case "test":
		return "演练测试", "test"
	case Recovered:
		return "已恢复", "recovered"
	default:
		return "重复", "duplicate"
	}
}
