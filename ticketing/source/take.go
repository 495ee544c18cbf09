package source

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/uptrace/bun"
)

var (
	// ErrDisabled says that a source takes nothing at present.
	ErrDisabled = errors.New("the alert source is disabled")
	// ErrSeal says that a message is not from whom it pretends to be.
	ErrSeal = errors.New("the message is refused")
)

// Receipt is what became of messages that were taken in. They are durable.
type Receipt struct {
	Alerts    int      `json:"alerts" doc:"That fire or ended"`
	Discarded int      `json:"discarded" doc:"Alerts that corrections left out"`
	Failed    int      `json:"failed" doc:"Alerts, or messages as a whole, that could not be mapped; they are kept to be replayed"`
	Reasons   []string `json:"reasons" nullable:"false" doc:"The first of why"`
}

// The states of a message.
const (
	StateMapped    = "mapped"
	StateFailed    = "failed"
	StateDiscarded = "discarded"
)

// mapped is a message with what was made of it.
type mapped struct {
	Message
	at      time.Time
	outcome Outcome
	reasons []string // why something failed
}

func (m *mapped) state() string {
	switch {
	case len(m.reasons) > 0:
		return StateFailed
	case len(m.outcome.Alerts) == 0 && len(m.outcome.Discarded) > 0:
		return StateDiscarded
	}
	return StateMapped
}

// work maps a message as of a time. Nothing of it is lost: what cannot be mapped
// is a reason.
func (one *source) work(ctx context.Context, msg Message, at time.Time) mapped {
	m := mapped{Message: msg, at: at}
	if one.broken != nil {
		m.reasons = []string{one.broken.Error()}
		return m
	}
	var err error
	m.outcome, err = one.mapper.Map(ctx, msg, at)
	m.reasons = m.outcome.Failed
	if err != nil {
		m.reasons = append([]string{err.Error()}, m.reasons...)
	}
	if one.content.NetworkZone != "" {
		for _, a := range m.outcome.Alerts {
			if a.Fields[fieldZone] == "" {
				a.Fields[fieldZone] = one.content.NetworkZone
			}
		}
	}
	return m
}

// Take takes in messages of a source. When it returns without an error they are
// durable, those that could not be mapped among them.
func (s *Service) Take(ctx context.Context, id string, messages ...Message) (Receipt, error) {
	one := s.byID(id)
	if one == nil {
		return Receipt{}, ErrNotFound
	}
	if !one.Enabled {
		return Receipt{}, ErrDisabled
	}
	now := s.now()
	done := make([]mapped, 0, len(messages))
	for _, msg := range messages {
		done = append(done, one.work(ctx, msg, now))
	}
	if err := ctx.Err(); err != nil { // a mapping that was cut off is no reason
		return Receipt{}, err
	}
	if err := s.keep(ctx, one, done, now, nil); err != nil {
		return Receipt{}, err
	}
	return receipt(done), nil
}

func receipt(done []mapped) Receipt {
	r := Receipt{Reasons: []string{}}
	for _, m := range done {
		r.Alerts, r.Discarded, r.Failed = r.Alerts+len(m.outcome.Alerts), r.Discarded+len(m.outcome.Discarded), r.Failed+len(m.reasons)
		r.Reasons = append(r.Reasons, m.reasons[:min(len(m.reasons), maxReasons-min(maxReasons, len(r.Reasons)))]...)
	}
	return r
}

// keep writes messages and their alerts down. With and, more is done in the same
// transaction.
func (s *Service) keep(ctx context.Context, one *source, done []mapped, now time.Time, and func(ctx context.Context, tx bun.Tx) error) error {
	err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		var h healthRow
		if err := tx.NewSelect().Model(&h).Where("source = ?", one.ID).Scan(ctx); err != nil {
			return fmt.Errorf("read how it fares: %w", err)
		}
		h.Error = ""
		for i := range done {
			m := &done[i]
			if err := writeMessage(ctx, tx, one.ID, m); err != nil {
				return err
			}
			if err := s.follow(ctx, tx, one, m.outcome.Alerts, m.at, now); err != nil {
				return err
			}
			h.count(m)
		}
		if err := h.save(ctx, tx); err != nil {
			return err
		}
		if and != nil {
			return and(ctx, tx)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("source: take in %d messages of %s: %w", len(done), one.Name, err)
	}
	s.mu.Lock()
	if now := s.sources[one.ID]; now != nil {
		now.untidy += len(done)
	}
	s.mu.Unlock()
	poke(s.wake)
	return nil
}

type messageRow struct {
	bun.BaseModel `bun:"table:alert_source_messages,alias:m"`

	ID     int64  `bun:"id,pk,autoincrement"`
	Source string `bun:"source"`
	At     int64  `bun:"at"`
	LastAt int64  `bun:"last_at"`
	Times  int    `bun:"times"`
	Digest []byte `bun:"digest"`
	Body   []byte `bun:"body"`
	Meta   string `bun:"meta"`
	State  string `bun:"state"`
	Alerts int    `bun:"alerts"`
	Reason string `bun:"reason"`
}

// writeMessage keeps a message as it came. A dead letter that came before is
// counted once more.
func writeMessage(ctx context.Context, tx bun.Tx, source string, m *mapped) error {
	meta, _ := json.Marshal(m.Meta) // texts always encode
	sum := sha256.Sum256(m.Body)
	r := messageRow{Source: source, At: m.at.UnixMilli(), LastAt: m.at.UnixMilli(), Times: 1, Digest: sum[:], Body: m.Body, Meta: string(meta), State: m.state(), Alerts: len(m.outcome.Alerts), Reason: reasonsText(m)}
	if r.Body == nil {
		r.Body = []byte{}
	}
	_, err := tx.NewInsert().Model(&r).On("CONFLICT (source, digest) WHERE state = 'failed' DO UPDATE").
		Set("times = m.times + 1, last_at = EXCLUDED.last_at, alerts = EXCLUDED.alerts, reason = EXCLUDED.reason").Returning("NULL").Exec(ctx)
	if err != nil {
		return fmt.Errorf("keep a message: %w", err)
	}
	return nil
}

func reasonsText(m *mapped) string {
	list := m.reasons
	if m.state() == StateDiscarded {
		list = m.outcome.Discarded
	}
	list = slices.Clone(list[:min(len(list), maxReasons)])
	for i := range list {
		list[i] = clip(list[i], 1000)
	}
	text, _ := json.Marshal(list) // texts always encode
	return string(text)
}
