package ticketing

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"icewatch/detections"
)

// Limits of actions on many alerts.
const (
	maxBulk = 10_000 // alerts
	maxTags = 20     // of an alert
	maxTag  = 40     // characters
)

// Bulk is an action on many alerts, as it was carried out.
type Bulk struct {
	bun.BaseModel `bun:"table:ticketing_bulks" json:"-"`
	ID            string `bun:"id,pk" json:"id"`
	At            int64  `bun:"at" json:"at" doc:"Unix milliseconds"`
	Actor         string `bun:"actor" json:"actor"`
	Action        string `bun:"action" json:"action" enum:"acknowledge,assign,close,reopen,tag,untag"`
	Detail        string `bun:"detail" json:"detail,omitempty"`
	Changed       int    `bun:"changed" json:"changed" doc:"Alerts"`
	Refused       int    `bun:"refused" json:"refused" doc:"Alerts whose state did not allow it"`
	UndoneAt      int64  `bun:"undone_at" json:"undone_at,omitempty" doc:"Unix milliseconds"`
	UndoneBy      string `bun:"undone_by" json:"undone_by,omitempty"`
}

// handled is all of an alert that an action of a batch changes.
type handled struct {
	Status         Status `json:"status"`
	Assignee       string `json:"assignee,omitempty"`
	AcknowledgedAt int64  `json:"acknowledged_at,omitempty"`
	AcknowledgedBy string `json:"acknowledged_by,omitempty"`
	ClosedAt       int64  `json:"closed_at,omitempty"`
	ClosedBy       string `json:"closed_by,omitempty"`
	Resolution     string `json:"resolution,omitempty"`
	Tags           string `json:"tags,omitempty"`
}

func (a *alertRow) handled() handled {
	return handled{a.Status, a.Assignee, a.AcknowledgedAt, a.AcknowledgedBy, a.ClosedAt, a.ClosedBy, a.Resolution, a.Tags}
}

func (a *alertRow) handle(h handled) {
	a.Status, a.Assignee, a.AcknowledgedAt, a.AcknowledgedBy = h.Status, h.Assignee, h.AcknowledgedAt, h.AcknowledgedBy
	a.ClosedAt, a.ClosedBy, a.Resolution, a.Tags = h.ClosedAt, h.ClosedBy, h.Resolution, h.Tags
}

type bulkAlertRow struct {
	bun.BaseModel `bun:"table:ticketing_bulk_alerts"`
	Bulk          string `bun:"bulk,pk"`
	Alert         string `bun:"alert,pk"`
	Before        string `bun:"before"`
	After         string `bun:"after"`
}

// CountBulk tells how many alerts an action by a filter would be carried out on.
func (s *Service) CountBulk(ctx context.Context, query AlertQuery) (int, error) {
	q, err := filter(s.db.NewSelect().Model((*alertRow)(nil)), "a", query)
	if err != nil {
		return 0, err
	}
	n, err := q.Count(ctx)
	if err != nil {
		return 0, fmt.Errorf("ticketing: count alerts: %w", err)
	}
	return int(n), nil
}

// BulkAlerts carries an action out on all alerts of a filter that allow it, and
// remembers how each stood, for UndoBulk. want is how many alerts the caller
// believes there are: where there are more the action is refused, so that it
// does nothing that nobody has looked at.
func (s *Service) BulkAlerts(ctx context.Context, by Actor, query AlertQuery, b Batch, want int) (Bulk, error) {
	step, detail, err := b.step(by)
	if err != nil {
		return Bulk{}, err
	}
	query.Reach = by.Reach
	var ids []string
	q, err := filter(s.db.NewSelect().Model((*alertRow)(nil)).Column("id"), "a", query)
	if err != nil {
		return Bulk{}, err
	}
	if err := q.OrderExpr("id").Limit(maxBulk+1).Scan(ctx, &ids); err != nil {
		return Bulk{}, fmt.Errorf("ticketing: find the alerts of a bulk action: %w", err)
	}
	switch {
	case len(ids) == 0:
		return Bulk{}, fmt.Errorf("%w: no alert fits the filter", ErrInvalid)
	case len(ids) > maxBulk:
		return Bulk{}, fmt.Errorf("%w: more than %d alerts fit the filter: narrow it", ErrInvalid, maxBulk)
	case len(ids) > want:
		return Bulk{}, &Conflict{Reason: fmt.Sprintf("%d alerts fit the filter now, and %d were expected: look again", len(ids), want)}
	}
	run := Bulk{ID: "BA-" + token(), At: s.now().UnixMilli(), Actor: by.Name, Action: b.Action, Detail: detail}
	if _, err := s.db.NewInsert().Model(&run).Returning("NULL").Exec(ctx); err != nil {
		return Bulk{}, fmt.Errorf("ticketing: write bulk action %s: %w", run.ID, err)
	}
	for part := range slices.Chunk(ids, maxBatch) {
		before := map[string]handled{}
		remembering := func(a *alert, now time.Time) ([]timelineRow, error) {
			was := a.handled()
			rows, err := step(a, now)
			if err == nil {
				before[a.ID] = was
			}
			return rows, err
		}
		_, failed, err := s.alertBatchAnd(ctx, by, part, b.Action, strings.TrimSpace(run.ID+" "+detail), remembering, func(ctx context.Context, tx bun.Tx, changed []*alert) error {
			rows := make([]bulkAlertRow, 0, len(changed))
			for _, a := range changed {
				was, _ := json.Marshal(before[a.ID])
				is, _ := json.Marshal(a.handled())
				rows = append(rows, bulkAlertRow{Bulk: run.ID, Alert: a.ID, Before: string(was), After: string(is)})
			}
			if len(rows) > 0 {
				if _, err := tx.NewInsert().Model(&rows).Returning("NULL").Exec(ctx); err != nil {
					return fmt.Errorf("remember how %d alerts stood: %w", len(rows), err)
				}
			}
			_, err := tx.NewUpdate().Model((*Bulk)(nil)).Set("changed = changed + ?", len(rows)).Set("refused = refused + ?", len(part)-len(rows)).Where("id = ?", run.ID).Exec(ctx)
			return err
		})
		if err != nil {
			return run, err
		}
		run.Refused += len(failed)
		run.Changed += len(part) - len(failed)
	}
	return run, nil
}

// UndoBulk gives the alerts of a bulk action back the state they had before.
// Those that somebody has handled since keep what he did; left counts them.
func (s *Service) UndoBulk(ctx context.Context, by Actor, id string) (run Bulk, left int, err error) {
	if run, err = s.bulk(ctx, by, id); err != nil {
		return run, 0, err
	}
	if run.UndoneAt != 0 {
		return run, 0, &Conflict{Object: id, By: run.UndoneBy, At: at(run.UndoneAt), Reason: fmt.Sprintf("%s was undone by %s already", id, run.UndoneBy)}
	}
	var rows []bulkAlertRow
	if err := s.db.NewSelect().Model(&rows).Where("bulk = ?", id).OrderExpr("alert").Scan(ctx); err != nil {
		return run, 0, fmt.Errorf("ticketing: read %s: %w", id, err)
	}
	before := map[string]bulkAlertRow{}
	ids := make([]string, 0, len(rows))
	for _, r := range rows {
		before[r.Alert] = r
		ids = append(ids, r.Alert)
	}
	back := func(a *alert, now time.Time) ([]timelineRow, error) {
		var was, left handled
		if err := errors.Join(json.Unmarshal([]byte(before[a.ID].Before), &was), json.Unmarshal([]byte(before[a.ID].After), &left)); err != nil {
			return nil, fmt.Errorf("how alert %s stood before %s: %w", a.ID, id, err)
		}
		if a.handled() != left {
			return nil, &Conflict{Object: a.ID, Status: a.Status, Reason: fmt.Sprintf("alert %s was handled since", a.ID)}
		}
		a.handle(was)
		return []timelineRow{entry(a.ID, now, "undone", by.Name, detections.Text{ZH: "撤销批量操作 " + id, EN: "Bulk action " + id + " undone"}, map[string]any{"bulk": id})}, nil
	}
	for part := range slices.Chunk(ids, maxBatch) {
		_, failed, err := s.alertBatch(ctx, by, part, "undo", id, back)
		if err != nil {
			return run, left, err
		}
		left += len(failed)
	}
	run.UndoneAt, run.UndoneBy = s.now().UnixMilli(), by.Name
	if _, err := s.db.NewUpdate().Model(&run).Column("undone_at", "undone_by").WherePK().Exec(ctx); err != nil {
		return run, left, fmt.Errorf("ticketing: write bulk action %s: %w", id, err)
	}
	return run, left, nil
}

// bulk reads a bulk action of the actor's own, or any of who sees everything.
func (s *Service) bulk(ctx context.Context, by Actor, id string) (run Bulk, err error) {
	err = s.db.NewSelect().Model(&run).Where("id = ?", id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) || err == nil && run.Actor != by.Name && !by.Reach.Everything() {
		return run, fmt.Errorf("bulk action %q: %w", id, ErrNotFound)
	}
	if err != nil {
		return run, fmt.Errorf("ticketing: read bulk action %q: %w", id, err)
	}
	return run, nil
}

// maxBulks is how many bulk actions are listed.
const maxBulks = 50

// Bulks lists the actor's latest bulk actions, newest first.
func (s *Service) Bulks(ctx context.Context, by Actor) ([]Bulk, error) {
	out := []Bulk{}
	if err := s.db.NewSelect().Model(&out).Where("actor = ?", by.Name).OrderExpr("at DESC, id").Limit(maxBulks).Scan(ctx); err != nil {
		return nil, fmt.Errorf("ticketing: list bulk actions: %w", err)
	}
	return out, nil
}

func checkTag(tag string) error {
	bad := strings.IndexFunc(tag, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-_.:/", r)
	})
	if tag == "" || bad >= 0 || utf8.RuneCountInString(tag) > maxTag {
		return fmt.Errorf("%w: tag %q: want 1 to %d letters, digits or - _ . : /", ErrInvalid, tag, maxTag)
	}
	return nil
}

// tagAlert gives an alert a tag, or takes it away, in whatever state it is.
func tagAlert(by Actor, tag string, give bool) alertStep {
	return func(a *alert, now time.Time) ([]timelineRow, error) {
		tags := splitList(a.Tags)
		has := slices.Contains(tags, tag)
		text := detections.Text{ZH: "添加标签 " + tag, EN: "Tagged " + tag}
		switch {
		case has == give:
			word := "has no"
			if give {
				word = "already has the"
			}
			return nil, &Conflict{Object: a.ID, Status: a.Status, Reason: fmt.Sprintf("alert %s %s tag %q", a.ID, word, tag)}
		case give && len(tags) >= maxTags:
			return nil, &Conflict{Object: a.ID, Status: a.Status, Reason: fmt.Sprintf("alert %s has %d tags, the most there may be", a.ID, len(tags))}
		case give:
			tags = union(tags, tag)
		default:
			tags = slices.DeleteFunc(tags, func(t string) bool { return t == tag })
			text = detections.Text{ZH: "移除标签 " + tag, EN: "Tag " + tag + " removed"}
		}
		a.Tags = strings.Join(tags, ",")
		return []timelineRow{entry(a.ID, now, "tag", by.Name, text, map[string]any{"tag": tag})}, nil
	}
}

// token is an id that nobody guesses.
func token() string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails, says crypto/rand
	return hex.EncodeToString(b[:])
}
