package storage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"icewatch/soc/lake/partition"
	"icewatch/soc/retention"
)

// ErrNoRoom says that the cold disk has no room for the next day.
var ErrNoRoom = errors.New("the cold disk has too little room")

// Due lists the days that are old enough for the cold folder and do not lie in
// it, the oldest first.
func (k *Keeper) Due() ([]partition.Partition, error) {
	if k.Deps.Cold == "" {
		return nil, nil
	}
	list, err := partition.List(k.lake())
	if err != nil {
		return nil, err
	}
	keeping, now := k.Keeping(), k.now()
	return slices.DeleteFunc(list, func(p partition.Partition) bool {
		class, known := keeping.Class(p.Class)
		day, err := time.Parse(time.DateOnly, p.Day)
		return p.Cold || err != nil || !known || class.Cold == 0 || now.Before(day.Add(retention.Day+class.Cold))
	}), nil
}

// CoolSoon asks for Cool without waiting for it: days of a large city take hours
// to copy. It returns the days that are due.
func (k *Keeper) CoolSoon() ([]partition.Partition, error) {
	due, err := k.Due()
	if err != nil || len(due) == 0 {
		return due, err
	}
	if err := k.cold().Claim(); err != nil {
		return nil, fmt.Errorf("storage: %w", err)
	}
	select {
	case k.cool <- struct{}{}:
	default: // asked for already
	}
	return due, nil
}

// Asked is received from when CoolSoon was called.
func (k *Keeper) Asked() <-chan struct{} { return k.cool }

// Cool copies the days that are due to the cold folder while the lake is open,
// and has the engine swap them for their copies at a restart. It returns those
// that lie there now. A day for which there is no room stops it: ErrNoRoom, with
// the days before it moved. It also removes from the cold folder what retention
// has let go of.
func (k *Keeper) Cool(ctx context.Context) ([]partition.Partition, error) {
	k.clearing.Lock()
	defer k.clearing.Unlock()
	due, err := k.Due()
	if err != nil || k.Deps.Cold == "" {
		return nil, err
	}
	cold := k.cold()
	if err := cold.Claim(); err != nil {
		return nil, fmt.Errorf("storage: %w", err)
	}
	if err := k.sweep(cold); err != nil {
		return nil, err
	}
	var ready []partition.Partition
	var full error
	for _, p := range due {
		disks, err := Disks(map[string]string{"cold": k.Deps.Cold}, k.Reserve)
		if err != nil {
			return nil, err
		}
		if d := disks[0]; d.Free-d.Reserve < p.Bytes {
			full = fmt.Errorf("storage: %w: %d MiB are free on %s, of which %d stay free; the day %s of the class %s has %d", ErrNoRoom, d.Free>>20, d.Mount, d.Reserve>>20, p.Day, p.Class, p.Bytes>>20)
			break
		}
		if err := cold.Copy(ctx, p); err != nil {
			return nil, err
		}
		ready = append(ready, p)
	}
	if len(ready) == 0 {
		return nil, full
	}
	if err := cold.Order(ready); err != nil {
		return nil, err
	}
	if err := k.restart(ctx, cold.Ordered); err != nil {
		return nil, err
	}
	now, err := partition.List(k.lake())
	if err != nil {
		return nil, err
	}
	ready = slices.DeleteFunc(ready, func(p partition.Partition) bool {
		return !slices.ContainsFunc(now, func(x partition.Partition) bool { return x.Cold && x.Class == p.Class && x.Day == p.Day })
	})
	k.Log.Info("storage: days of the lake went to the cold folder", "days", len(ready))
	return ready, full
}

// sweep removes from the cold folder what is older than its class keeps. Of a
// class that is not configured any more nothing is removed.
func (k *Keeper) sweep(cold partition.Cold) error {
	keeping, now := k.Keeping(), k.now()
	gone, err := cold.Sweep(func(name string) time.Time {
		class, ok := keeping.Class(name)
		if !ok {
			return time.Time{}
		}
		return now.Add(-class.Keep - 2*retention.Day)
	})
	for _, p := range gone {
		k.Log.Info("storage: a day beyond its retention is removed from the cold folder", "class", p.Class, "day", p.Day)
	}
	return err
}

// restart restarts the engine and waits until it has carried out its order.
func (k *Keeper) restart(ctx context.Context, waits func() bool) error {
	k.Restart()
	ctx, cancel := context.WithTimeout(ctx, clearTimeout)
	defer cancel()
	for waits() {
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("storage: the engine has not done it within %s; it will at its next start: %w", clearTimeout, ctx.Err())
		}
	}
	return nil
}
