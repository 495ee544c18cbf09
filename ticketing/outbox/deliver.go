package outbox

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"icewatch/ticketing/channel"
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
		to, err := b.receiver(ctx, name)
		var due []message
		if err == nil {
			limit := 1
			if to != nil {
				if kind, ok := channel.KindOf(to.Kind); ok && kind.Merges {
					limit = maxMerged
				}
			}
			due, err = b.due(ctx, name, limit)
		}
		if err != nil {
			if ctx.Err() == nil {
				b.log.Error("outbox: read the next notification", "receiver", name, "error", err)
			}
			return
		}
		if due, err = b.through(ctx, due); err != nil {
			b.log.Error("outbox: settle a notification", "receiver", name, "error", err)
			return
		}
		if len(due) == 0 {
			return
		}
		n, wait, err := b.room(ctx, to, len(due))
		if err == nil && n == 0 {
			err = b.postpone(ctx, due[0], wait)
			if err == nil {
				return
			}
		}
		if err == nil {
			err = b.attempt(ctx, to, due[:n])
		}
		if err != nil {
			// The state could not be read or written: stop here, the poll comes back.
			b.log.Error("outbox: settle a notification", "receiver", name, "incident", due[0].IncidentID, "error", err)
			return
		}
	}
}

// maxMerged is how many notifications go out as one at most.
const maxMerged = 200

// due returns what waits for a receiver and is due, in order. One that is not
// due holds up all behind it.
func (b *Box) due(ctx context.Context, name string, limit int) ([]message, error) {
	var rows []message
	err := b.db.NewSelect().Model(&rows).Where("state = ? AND receiver = ?", pending, name).OrderExpr("id").Limit(int64(limit)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("outbox: read what waits for %s: %w", name, err)
	}
	now := b.clock().UnixMilli()
	for i, m := range rows {
		if m.NextAt > now {
			return rows[:i], nil
		}
	}
	return rows, nil
}

// receiver finds a receiver, still sealed; nil where it is gone.
func (b *Box) receiver(ctx context.Context, name string) (*receiver, error) {
	all, err := b.all(ctx, b.db)
	if err != nil {
		return nil, err
	}
	for i := range all {
		if all[i].Name == name {
			return &all[i], nil
		}
	}
	return nil, nil
}

// shortWindow is the longest window of a limit that is waited for rather than
// merged for.
const shortWindow = 10 * time.Second

// room says how many of the notifications that are due go into the next
// attempt: one, or all of them as one message where the vendor's limit takes
// one more only; 0 where it takes none for now, and how long to wait then. It
// counts what stands in the log, so it holds over restarts.
func (b *Box) room(ctx context.Context, to *receiver, due int) (n int, wait time.Duration, err error) {
	if to == nil || to.Disabled {
		return 1, 0, nil
	}
	kind, ok := channel.KindOf(to.Kind)
	if !ok {
		return 1, 0, nil
	}
	n = 1
	now := b.clock()
	for _, l := range kind.Limits {
		var sent []int64
		err := b.db.NewSelect().Model((*Attempt)(nil)).Column("at").Where("receiver = ? AND carried = '' AND at > ? AND at <= ?", to.Name, now.Add(-l.Window).UnixMilli(), now.UnixMilli()).
			OrderExpr("at DESC").Limit(int64(l.Count)).Scan(ctx, &sent)
		if err != nil {
			return 0, 0, fmt.Errorf("outbox: count what %s was sent: %w", to.Name, err)
		}
		switch left := l.Count - len(sent); {
		case left <= 0:
			wait = max(wait, time.UnixMilli(sent[len(sent)-1]).Add(l.Window).Sub(now)+time.Millisecond)
		case left == 1 && kind.Merges && l.Window > shortWindow:
			n = due
		}
	}
	if wait > 0 {
		return 0, wait, nil
	}
	return n, 0, nil
}

// postpone lets the first notification wait, without an attempt.
func (b *Box) postpone(ctx context.Context, m message, wait time.Duration) error {
	_, err := b.db.NewUpdate().Model((*message)(nil)).Set("next_at = ?", b.clock().Add(wait).UnixMilli()).Where("id = ?", m.ID).Exec(ctx)
	if err != nil {
		return fmt.Errorf("outbox: postpone %s: %w", m.Delivery, err)
	}
	return nil
}

// attempt tries notifications, several as one message, once and writes down
// what became of them.
func (b *Box) attempt(ctx context.Context, to *receiver, batch []message) error {
	// An attempt under way is finished even while the suite stops: broken off,
	// it would have to be repeated.
	ctx = context.WithoutCancel(ctx)
	sent := b.send(ctx, to, batch)
	now := b.clock()
	rows := make([]Attempt, 0, len(batch))
	for i, m := range batch {
		a := b.outcome(m, sent, now)
		if i > 0 {
			a.Carried = batch[0].Delivery
		}
		rows = append(rows, a)
		log := b.log.Info
		if a.Status != Delivered {
			log = b.log.Warn
		}
		log("notification", "receiver", a.Receiver, "channel", a.Channel, "host", a.URLHost, "incident", a.IncidentID, "kind", a.Kind,
			"attempt", a.Attempt, "status", a.Status, "http_status", a.HTTPStatus, "error", a.Error)
	}
	err := b.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		for i, a := range rows {
			if err := b.settle(ctx, tx, batch[i], a, sent); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		b.counts.add(rows)
	}
	return err
}

// outcome is what an attempt means for one notification.
func (b *Box) outcome(m message, s sending, now time.Time) Attempt {
	a := Attempt{Delivery: m.Delivery, Receiver: m.Receiver, IncidentID: m.IncidentID, Tenant: m.Tenant, Kind: m.Kind, Attempt: m.Attempts + 1, Kept: m.Kept,
		URLHost: s.host, Channel: s.channel, At: now.UnixMilli(), HTTPStatus: s.HTTPStatus}
	switch {
	case s.Err == nil:
		a.Status, a.Error = Delivered, s.remark
	case s.Retry:
		next := now.Add(max(b.backoff(a.Attempt), s.RetryAfter))
		a.Status, a.Error, a.NextAt = Retrying, s.Err.Error(), next.UnixMilli()
		if end := time.UnixMilli(max(m.CreatedAt, m.Since)).Add(b.cfg.MaxAge); next.After(end) {
			// The last attempt is made when time is up, whatever the wait.
			a.NextAt = end.UnixMilli()
			if !end.After(now) {
				a.Status, a.NextAt = Failed, 0
				a.Error = fmt.Sprintf("%s; given up after %s", a.Error, b.cfg.MaxAge)
			}
		}
	default:
		a.Status, a.Error = Failed, s.Err.Error()
	}
	return a
}

// settle writes down what became of one notification. What it said is kept as
// long as the log is, so that it can be sent again.
func (b *Box) settle(ctx context.Context, tx bun.Tx, m message, a Attempt, s sending) error {
	if _, err := tx.NewInsert().Model(&a).Exec(ctx); err != nil {
		return fmt.Errorf("outbox: log attempt %d of %s: %w", a.Attempt, a.Delivery, err)
	}
	u := tx.NewUpdate().Model((*message)(nil)).Where("id = ?", m.ID).Set("attempts = ?", a.Attempt).Set("error = ?", a.Error).
		Set("title = ?", cmp.Or(s.title, m.Title)).Set("reached = ?", strings.Join(s.Done, ","))
	if a.Status == Retrying {
		u = u.Set("next_at = ?", a.NextAt)
	} else {
		state := Failed
		if a.Status == Delivered {
			state = Delivered
		}
		u = u.Set("state = ?", state).Set("settled_at = ?", a.At)
	}
	if _, err := u.Exec(ctx); err != nil {
		return fmt.Errorf("outbox: settle %s: %w", a.Delivery, err)
	}
	if a.Status != Retrying && b.settled != nil {
		return b.settled(ctx, tx, a)
	}
	return nil
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
