package outbox

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
)

// outcomes are what becomes of an attempt.
var outcomes = []string{Delivered, Retrying, Failed}

// counts are the attempts since the start, by receiver and outcome.
type counts struct {
	mu   sync.Mutex
	made map[string]map[string]uint64
}

func (c *counts) add(list []Attempt) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range list {
		a := &list[i]
		if c.made == nil {
			c.made = map[string]map[string]uint64{}
		}
		if c.made[a.Receiver] == nil {
			c.made[a.Receiver] = map[string]uint64{}
		}
		c.made[a.Receiver][a.Status]++
	}
}

// WriteMetrics writes what became of notifications since the start and how many
// wait, by receiver, in Prometheus' text format. Receivers are few: those of the
// configuration and the contact points.
func (b *Box) WriteMetrics(ctx context.Context, w io.Writer) error {
	var rows []struct {
		Receiver string `bun:"receiver"`
		N        int64  `bun:"n"`
	}
	if err := b.db.NewSelect().Model((*message)(nil)).ColumnExpr("receiver, count(*) AS n").Where("state = ?", pending).GroupExpr("receiver").Scan(ctx, &rows); err != nil {
		return fmt.Errorf("outbox: count the notifications that wait: %w", err)
	}
	waiting := map[string]int64{}
	for _, r := range rows {
		waiting[r.Receiver] = r.N
	}
	list, err := b.all(ctx, b.db)
	if err != nil {
		return err
	}
	for i := range list {
		waiting[list[i].Name] += 0
	}
	b.counts.mu.Lock()
	defer b.counts.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(waiting)) {
		if _, err := fmt.Fprintf(w, "icewatch_notifications_waiting{receiver=%q} %d\n", name, waiting[name]); err != nil {
			return err
		}
		for _, outcome := range outcomes {
			if _, err := fmt.Fprintf(w, "icewatch_notification_attempts_total{receiver=%q,outcome=%q} %d\n", name, outcome, b.counts.made[name][outcome]); err != nil {
				return err
			}
		}
	}
	return nil
}
