package ticketing

import (
	"context"
	"fmt"
	"slices"

	"github.com/uptrace/bun"

	"icewatch/ticketing/outbox"
)

// HasReceiver tells whether there is a receiver of notifications of the name.
func (s *Service) HasReceiver(ctx context.Context, name string) (bool, error) {
	list, err := s.out.Receivers(ctx)
	return slices.ContainsFunc(list, func(r outbox.ReceiverInfo) bool { return r.Name == name }), err
}

// TellReceiver has one receiver told of something that is no incident, with
// the same durability, signature and repetition as notifications have. unique
// tells it from others of the kind: the same is told once. A receiver that is
// bound to tenants is told of what is theirs only.
func (s *Service) TellReceiver(ctx context.Context, receiver, tenant, kind, unique string, body []byte) error {
	told := 0
	err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) (err error) {
		told, err = s.out.Enqueue(ctx, tx, outbox.Message{Tenant: tenant, Kind: kind, Unique: unique, Only: receiver,
			Render: func(outbox.Addressee) ([]byte, error) { return body, nil }})
		return err
	})
	if err != nil {
		return err
	}
	if told == 0 {
		return fmt.Errorf("ticketing: the receiver %q is gone, or is not told of the tenant %q", receiver, tenant)
	}
	s.out.Wake()
	return nil
}
