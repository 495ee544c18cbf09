package source

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/uptrace/bun"
)

// What is kept of the messages of a source, beside the newest of each state.
const (
	keptMapped = 100
	keptDead   = 1000
	keptBytes  = 16 << 20 // of the bodies of each state
	tidyAfter  = 50       // messages
)

// Kept message as it is shown.
type Letter struct {
	ID      int64             `json:"id"`
	At      time.Time         `json:"at"`
	LastAt  time.Time         `json:"last_at" doc:"When the same came last"`
	Times   int               `json:"times"`
	State   string            `json:"state" enum:"mapped,failed,discarded"`
	Alerts  int               `json:"alerts"`
	Reasons []string          `json:"reasons" nullable:"false"`
	Meta    map[string]string `json:"meta" nullable:"false" doc:"How it came"`
	Body    string            `json:"body"`
	Cut     bool              `json:"cut,omitempty" doc:"The body is longer; the export has all of it"`
	Binary  bool              `json:"binary,omitempty" doc:"The body is no text in UTF-8: it is shown in base64"`
}

// shownBody bounds the body of a message in a list, in bytes.
const shownBody = 64 << 10

func (r *messageRow) letter(whole bool) Letter {
	l := Letter{ID: r.ID, At: time.UnixMilli(r.At).UTC(), LastAt: time.UnixMilli(r.LastAt).UTC(), Times: r.Times, State: r.State, Alerts: r.Alerts, Reasons: []string{}, Meta: map[string]string{}}
	_ = json.Unmarshal([]byte(r.Reason), &l.Reasons) // what writeMessage wrote
	_ = json.Unmarshal([]byte(r.Meta), &l.Meta)
	if l.Meta == nil {
		l.Meta = map[string]string{}
	}
	if !utf8.Valid(r.Body) {
		text, _ := json.Marshal(r.Body)
		l.Binary, l.Body = true, string(bytes.Trim(text, `"`))
	} else {
		l.Body = string(r.Body)
	}
	if !whole && len(l.Body) > shownBody {
		l.Body, l.Cut = clip(l.Body, shownBody), true
	}
	return l
}

// Messages lists what is kept of a source's messages, the newest first. A cursor
// is that of the page before. They are shown as they came: whoever parts of events
// are masked for gets none.
func (s *Service) Messages(ctx context.Context, a Asker, id, state, cursor string, limit int, whole bool) (list []Letter, total int, next string, err error) {
	if _, err := s.get(ctx, a, id, false); err != nil {
		return nil, 0, "", err
	}
	if a.Within.Veil() != nil {
		return nil, 0, "", fmt.Errorf("%w: parts of events are masked for you: messages cannot be shown as they came", ErrInvalid)
	}
	var rows []messageRow
	q := s.db.NewSelect().Model(&rows).Where("source = ?", id).OrderExpr("id DESC").Limit(int64(limit) + 1)
	n := s.db.NewSelect().Model((*messageRow)(nil)).Where("source = ?", id)
	if state != "" {
		q, n = q.Where("state = ?", state), n.Where("state = ?", state)
	}
	if cursor != "" {
		before, err := strconv.ParseInt(cursor, 10, 64)
		if err != nil {
			return nil, 0, "", fmt.Errorf("%w: the cursor is none that a list gave", ErrInvalid)
		}
		q = q.Where("id < ?", before)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, 0, "", fmt.Errorf("source: read the messages of %s: %w", id, err)
	}
	count, err := n.Count(ctx)
	if err != nil {
		return nil, 0, "", fmt.Errorf("source: count the messages of %s: %w", id, err)
	}
	if len(rows) > limit {
		rows = rows[:limit]
		next = strconv.FormatInt(rows[limit-1].ID, 10)
	}
	list = []Letter{}
	for i := range rows {
		list = append(list, rows[i].letter(whole))
	}
	return list, int(count), next, nil
}

// maxChosen bounds how many messages one request handles.
const maxChosen = 1000

// Choice says which dead letters are meant.
type Choice struct {
	IDs []int64 `json:"ids,omitempty" maxItems:"1000" doc:"Without any, all that wait"`
}

// Handled is what became of dead letters.
type Handled struct {
	Done   int `json:"done"`
	Failed int `json:"failed" doc:"Still cannot be mapped, and stay"`
	Alerts int `json:"alerts"`
}

func (s *Service) chosen(ctx context.Context, id string, c Choice) ([]messageRow, error) {
	var rows []messageRow
	q := s.db.NewSelect().Model(&rows).Where("source = ? AND state = ?", id, StateFailed).OrderExpr("id").Limit(maxChosen)
	if len(c.IDs) > 0 {
		q = q.Where("id IN (?)", bun.In(c.IDs))
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("source: read the dead letters of %s: %w", id, err)
	}
	return rows, nil
}

// Replay maps dead letters again, in their order and as of when they came. What
// was said of an alert since then counts more.
func (s *Service) Replay(ctx context.Context, a Asker, id string, c Choice) (out Handled, err error) {
	if _, err := s.get(ctx, a, id, false); err != nil {
		return out, err
	}
	one := s.byID(id)
	if one == nil {
		return out, ErrNotFound
	}
	rows, err := s.chosen(ctx, id, c)
	if err != nil {
		return out, err
	}
	for i := range rows {
		r := &rows[i]
		var meta map[string]string
		_ = json.Unmarshal([]byte(r.Meta), &meta)
		m := one.work(ctx, Message{Body: r.Body, Meta: meta}, time.UnixMilli(r.LastAt).UTC())
		if err := ctx.Err(); err != nil {
			return out, err
		}
		err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
			if err := s.follow(ctx, tx, one, m.outcome.Alerts, m.at, s.now()); err != nil {
				return err
			}
			_, err := tx.NewUpdate().Model((*messageRow)(nil)).Set("state = ?, alerts = ?, reason = ?", m.state(), len(m.outcome.Alerts), reasonsText(&m)).Where("id = ?", r.ID).Exec(ctx)
			return err
		})
		if err != nil {
			return out, fmt.Errorf("source: replay the message %d: %w", r.ID, err)
		}
		out.Alerts += len(m.outcome.Alerts)
		if m.state() == StateFailed {
			out.Failed++
		} else {
			out.Done++
		}
	}
	poke(s.wake)
	return out, s.settleError(ctx, id)
}

// Discard gives up dead letters.
func (s *Service) Discard(ctx context.Context, a Asker, id string, c Choice) (out Handled, err error) {
	if _, err := s.get(ctx, a, id, false); err != nil {
		return out, err
	}
	q := s.db.NewDelete().Model((*messageRow)(nil)).Where("source = ? AND state = ?", id, StateFailed)
	if len(c.IDs) > 0 {
		q = q.Where("id IN (?)", bun.In(c.IDs))
	}
	res, err := q.Exec(ctx)
	if err != nil {
		return out, fmt.Errorf("source: discard dead letters of %s: %w", id, err)
	}
	n, _ := res.RowsAffected()
	out.Done = int(n)
	return out, s.settleError(ctx, id)
}

// settleError forgets the error of a source that has no dead letters left.
func (s *Service) settleError(ctx context.Context, id string) error {
	_, err := s.db.NewUpdate().Model((*healthRow)(nil)).Set("error = ''").
		Where("source = ? AND NOT EXISTS (SELECT 1 FROM alert_source_messages WHERE source = ? AND state = ?)", id, id, StateFailed).Exec(ctx)
	if err != nil {
		return fmt.Errorf("source: %w", err)
	}
	return nil
}

// tidy takes away what is more than is kept.
func (s *Service) tidy(ctx context.Context) error {
	s.mu.Lock()
	var ids []string
	for id, one := range s.sources {
		if one.untidy >= tidyAfter {
			one.untidy = 0
			ids = append(ids, id)
		}
	}
	s.mu.Unlock()
	for _, id := range ids {
		for state, kept := range map[string]int{StateMapped: keptMapped, StateDiscarded: keptMapped, StateFailed: keptDead} {
			res, err := s.db.NewRaw(`DELETE FROM alert_source_messages WHERE id IN (SELECT id FROM (
				SELECT id, row_number() OVER w AS place, sum(length(body)) OVER w AS size FROM alert_source_messages WHERE source = ? AND state = ? WINDOW w AS (ORDER BY id DESC))
				WHERE place > 1 AND (place > ? OR size > ?))`, id, state, kept, keptBytes).Exec(ctx)
			if err != nil {
				return fmt.Errorf("source: tidy the messages of %s: %w", id, err)
			}
			if n, _ := res.RowsAffected(); n > 0 && state == StateFailed {
				if _, err := s.db.NewUpdate().Model((*healthRow)(nil)).Set("dropped = dropped + ?", n).Where("source = ?", id).Exec(ctx); err != nil {
					return fmt.Errorf("source: %w", err)
				}
				s.deps.Log.Warn("alert sources: dead letters gave way to newer ones", "source", id, "dropped", n)
			}
		}
	}
	return nil
}
