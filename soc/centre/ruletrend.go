package centre

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// trendHours is how far back the trend of a rule's hits reaches.
const trendHours = 24

// ruleTrend keeps how often each rule matched in each of the last hours, by
// asking the engine for its counts now and then. It outlives restarts.
type ruleTrend struct {
	path string

	mu    sync.Mutex
	seen  map[string]uint64 // counts at the last look; nil before the first
	saved struct {
		Hour int64                       `json:"hour"` // Unix hour of the last bucket
		Hits map[string]*[trendHours]int `json:"hits"` // the last bucket is that of Hour
	}
}

func openTrend(path string) *ruleTrend {
	t := &ruleTrend{path: path}
	if data, err := os.ReadFile(path); err == nil || !errors.Is(err, fs.ErrNotExist) {
		// It is for the eye: a damaged one begins anew.
		_ = json.Unmarshal(data, &t.saved)
	}
	if t.saved.Hits == nil {
		t.saved.Hits = map[string]*[trendHours]int{}
	}
	return t
}

// watch looks at the counts until ctx ends.
func (t *ruleTrend) watch(ctx context.Context, hits func(context.Context) (map[string]uint64, error), every time.Duration, failed func(error)) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case now := <-tick.C:
			if counts, err := hits(ctx); err == nil {
				t.look(counts, now)
			}
			if now.Sub(last) > 5*time.Minute {
				last = now
				failed(t.save())
			}
		case <-ctx.Done():
			failed(t.save())
			return
		}
	}
}

// look takes in what the counts have grown by. An engine that was started
// again, and a rule that was changed, count from nothing.
func (t *ruleTrend) look(hits map[string]uint64, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.roll(now)
	first := t.seen == nil
	seen := make(map[string]uint64, len(hits))
	for id, n := range hits {
		seen[id] = n
		grown := n
		if had := t.seen[id]; n >= had {
			grown = n - had
		}
		if first || grown == 0 { // what came before the first look came at an hour nobody knows
			continue
		}
		b := t.saved.Hits[id]
		if b == nil {
			b = new([trendHours]int)
			t.saved.Hits[id] = b
		}
		b[trendHours-1] += int(grown)
	}
	t.seen = seen
}

// roll moves the buckets to the hour at hand.
func (t *ruleTrend) roll(now time.Time) {
	hour := now.Unix() / 3600
	by := hour - t.saved.Hour
	if by <= 0 {
		return
	}
	t.saved.Hour = hour
	for id, b := range t.saved.Hits {
		var moved [trendHours]int
		any := false
		for i := range moved {
			if from := int64(i) + by; from < trendHours {
				moved[i] = b[from]
				any = any || moved[i] > 0
			}
		}
		if !any {
			delete(t.saved.Hits, id)
			continue
		}
		*b = moved
	}
}

// of returns a rule's hits an hour, the oldest first.
func (t *ruleTrend) of(id string, now time.Time) []int {
	if t == nil {
		return []int{}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.roll(now)
	b := t.saved.Hits[id]
	if b == nil {
		return []int{}
	}
	return append([]int(nil), b[:]...)
}

func (t *ruleTrend) save() error {
	t.mu.Lock()
	data, err := json.Marshal(t.saved)
	t.mu.Unlock()
	if err != nil {
		return err
	}
	tmp := t.path + ".new"
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Clean(t.path))
}

// ruleHits are the engine's counts of the rules in force, by id.
func (c *centre) ruleHits(ctx context.Context) (map[string]uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return c.engine.RuleHits(ctx)
}
