package outbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"
)

// Gate is asked in the moment before each attempt whether what a notification
// says may still go out: what somebody sees may have become less since it was
// written. It returns nil where it may, an error that is ErrShut where it never
// will, and another where that cannot be told now.
type Gate func(ctx context.Context, body []byte) error

// ErrShut says that a notification must not go out any more. The text of the
// error stands in the delivery log.
var ErrShut = errors.New("it must not be told any more")

// GatedPrefix begins the kinds of notifications that wait until a gate is there
// to ask. They are given to programs as they were written.
const GatedPrefix = "cmdb-"

func gated(kind string) bool { return strings.HasPrefix(kind, GatedPrefix) }

// Guard puts the gate in force for notifications whose kinds begin with
// GatedPrefix; until then they wait.
func (b *Box) Guard(gate Gate) {
	b.gate.Store(&gate)
	b.Wake()
}

// through settles what the gate shuts out, and returns the others, up to the
// first about which it cannot be told now: that one waits.
func (b *Box) through(ctx context.Context, due []message) ([]message, error) {
	out := make([]message, 0, len(due))
	for _, m := range due {
		if gated(m.Kind) {
			err := errors.New("the rooms that know are not open yet")
			if g := b.gate.Load(); g != nil {
				err = (*g)(ctx, []byte(m.Body))
			}
			switch {
			case errors.Is(err, ErrShut):
				a := b.outcome(m, failed(sending{channel: "webhook"}, err), b.clock())
				b.log.Warn("notification", "receiver", a.Receiver, "kind", a.Kind, "status", a.Status, "error", a.Error)
				err := b.db.RunInTx(context.WithoutCancel(ctx), nil, func(ctx context.Context, tx bun.Tx) error { return b.settle(ctx, tx, m, a, sending{}) })
				if err != nil {
					return nil, err
				}
				continue
			case err != nil:
				if len(out) == 0 {
					b.log.Debug("outbox: a notification waits", "delivery", m.Delivery, "error", err)
					if err := b.postpone(ctx, m, time.Second); err != nil {
						return nil, err
					}
				}
				return out, nil
			}
		}
		out = append(out, m)
	}
	return out, nil
}

// Waiting counts what waits to be delivered to a receiver.
func (b *Box) Waiting(ctx context.Context, receiver string) (int, error) {
	n, err := b.db.NewSelect().Model((*message)(nil)).Where("receiver = ? AND state = ?", receiver, pending).Count(ctx)
	if err != nil {
		return 0, fmt.Errorf("outbox: count what waits for %s: %w", receiver, err)
	}
	return int(n), nil
}
