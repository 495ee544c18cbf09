package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"icewatch/ticketing/webhook"
)

// The longest Run sleeps while something waits, and while nothing does. Due
// times are kept in SQL, so a clock that jumps is noticed within a poll.
const (
	pollPending = time.Second
	pollIdle    = time.Minute
)

// Run delivers until ctx ends, then lets attempts under way come to their end,
// which the timeout bounds. Each receiver is served by itself and in order: one
// that hangs or is down keeps no other waiting.
func (b *Box) Run(ctx context.Context) {
	var workers sync.WaitGroup
	defer workers.Wait()
	var pruned time.Time
	for ctx.Err() == nil {
		wait := pollIdle
		heads, err := b.heads(ctx)
		if err != nil && ctx.Err() == nil {
			b.log.Error("outbox: look for notifications", "error", err)
			wait = pollPending
		}
		now := b.clock()
		for _, h := range heads {
			due := time.UnixMilli(h.NextAt).Sub(now)
			if due > 0 {
				wait = min(wait, due, pollPending)
				continue
			}
			if !b.take(h.Receiver) {
				continue
			}
			workers.Go(func() {
				defer b.Wake()
				defer b.leave(h.Receiver)
				b.serve(ctx, h.Receiver)
			})
		}
		if now.Sub(pruned) > time.Hour || now.Before(pruned) {
			pruned = now
			if err := b.prune(ctx, now); err != nil && ctx.Err() == nil {
				b.log.Error("outbox: prune the delivery log", "error", err)
			}
		}
		select {
		case <-ctx.Done():
		case <-b.wake:
		case <-time.After(max(wait, 5*time.Millisecond)):
		}
	}
}

func (b *Box) take(receiver string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.busy[receiver] {
		return false
	}
	b.busy[receiver] = true
	return true
}

func (b *Box) leave(receiver string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.busy, receiver)
}

// heads returns the first waiting notification of each receiver.
func (b *Box) heads(ctx context.Context) ([]message, error) {
	var rows []message
	err := b.db.NewSelect().Model(&rows).Column("id", "receiver", "next_at").
		Where("id IN (SELECT min(id) FROM outbox_messages WHERE state = ? GROUP BY receiver)", pending).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("outbox: read the waiting notifications: %w", err)
	}
	return rows, nil
}

// serve delivers to one receiver until nothing is due.
func (b *Box) serve(ctx context.Context, name string) {
	for ctx.Err() == nil {
		var m message
		err := b.db.NewSelect().Model(&m).Where("state = ? AND receiver = ?", pending, name).
			OrderExpr("id").Limit(1).Scan(ctx)
		if errors.Is(err, sql.ErrNoRows) {
			return
		}
		if err != nil {
			if ctx.Err() == nil {
				b.log.Error("outbox: read the next notification", "receiver", name, "error", err)
			}
			return
		}
		if m.NextAt > b.clock().UnixMilli() {
			return
		}
		if err := b.attempt(ctx, m); err != nil {
			// The state could not be written: stop here, the poll comes back.
			b.log.Error("outbox: settle a notification", "receiver", name, "incident", m.IncidentID, "error", err)
			return
		}
	}
}

// attempt tries one notification once and writes down what became of it.
func (b *Box) attempt(ctx context.Context, m message) error {
	// An attempt under way is finished even while the suite stops: broken off,
	// it would have to be repeated.
	ctx = context.WithoutCancel(ctx)
	all, err := b.all(ctx, b.db)
	if err != nil {
		return err
	}
	a := Attempt{
		Delivery: m.Delivery, Receiver: m.Receiver, IncidentID: m.IncidentID, Tenant: m.Tenant, Kind: m.Kind,
		Attempt: m.Attempts + 1, Kept: m.Kept,
	}
	var to *receiver
	for i := range all {
		if all[i].Name == m.Receiver {
			to = &all[i]
		}
	}
	var res webhook.Result
	if to == nil {
		res.Err = errors.New("the receiver was removed")
	} else if *to, res.Err = b.plain(*to); res.Err == nil {
		a.URLHost = webhook.Host(to.URL)
		sender := b.guarded
		if _, fixed := b.fixed[to.Name]; fixed {
			sender = b.free
		}
		res = sender.Send(ctx, webhook.Target{URL: to.URL, Secret: to.Secret}, m.Delivery, []byte(m.Body))
	}
	now := b.clock()
	a.At, a.HTTPStatus = now.UnixMilli(), res.HTTPStatus
	switch {
	case res.Err == nil:
		a.Status = Delivered
	case res.Retry:
		next := now.Add(max(b.backoff(a.Attempt), res.RetryAfter))
		a.Status, a.Error, a.NextAt = Retrying, res.Err.Error(), next.UnixMilli()
		if end := time.UnixMilli(m.CreatedAt).Add(b.cfg.MaxAge); next.After(end) {
			// The last attempt is made when time is up, whatever the wait.
			a.NextAt = end.UnixMilli()
			if !end.After(now) {
				a.Status, a.NextAt = Failed, 0
				a.Error = fmt.Sprintf("%s; given up after %s", a.Error, b.cfg.MaxAge)
			}
		}
	default:
		a.Status, a.Error = Failed, res.Err.Error()
	}
	log := b.log.Info
	if a.Status != Delivered {
		log = b.log.Warn
	}
	log("webhook", "receiver", a.Receiver, "host", a.URLHost, "incident", a.IncidentID, "kind", a.Kind,
		"attempt", a.Attempt, "status", a.Status, "http_status", a.HTTPStatus, "error", a.Error)

	return b.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if _, err := tx.NewInsert().Model(&a).Exec(ctx); err != nil {
			return fmt.Errorf("outbox: log attempt %d of %s: %w", a.Attempt, a.Delivery, err)
		}
		u := tx.NewUpdate().Model((*message)(nil)).Where("id = ?", m.ID).Set("attempts = ?", a.Attempt)
		if a.Status == Retrying {
			u = u.Set("next_at = ?", a.NextAt)
		} else {
			state := Failed
			if a.Status == Delivered {
				state = Delivered
			}
			u = u.Set("state = ?", state).Set("settled_at = ?", a.At).Set("body = ''")
		}
		if _, err := u.Exec(ctx); err != nil {
			return fmt.Errorf("outbox: settle %s: %w", a.Delivery, err)
		}
		if a.Status != Retrying && b.settled != nil {
			return b.settled(ctx, tx, a)
		}
		return nil
	})
}

// backoff returns the wait after the nth failed attempt.
func (b *Box) backoff(n int) time.Duration {
	d := b.cfg.BackoffMax
	if n <= 30 {
		if grown := b.cfg.BackoffMin << (n - 1); grown > 0 && grown < d {
			d = grown
		}
	}
	return d - time.Duration(rand.Int64N(int64(d)/2+1))
}

// prune forgets attempts and settled notifications beyond their age.
func (b *Box) prune(ctx context.Context, now time.Time) error {
	before := now.Add(-b.cfg.KeepLog).UnixMilli()
	return b.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if _, err := tx.NewDelete().Model((*Attempt)(nil)).Where("at < ?", before).Exec(ctx); err != nil {
			return fmt.Errorf("outbox: prune attempts: %w", err)
		}
		if _, err := tx.NewDelete().Model((*message)(nil)).Where("state <> ? AND settled_at < ?", pending, before).Exec(ctx); err != nil {
			return fmt.Errorf("outbox: prune notifications: %w", err)
		}
		return nil
	})
}
