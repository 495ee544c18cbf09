package source

import (
	"context"
	"fmt"
)

// Push takes in what was sent to a source over HTTP. What it returns without an
// error is durable.
func (s *Service) Push(ctx context.Context, id string, msg Message) (Receipt, error) {
	one := s.byID(id)
	if one == nil {
		return Receipt{}, ErrNotFound
	}
	if k := one.content.Kind; k != KindWebhook && k != KindAlertmanager {
		return Receipt{}, fmt.Errorf("%w: the alert source %q is of the kind %s, which takes nothing by HTTP", ErrInvalid, one.Name, k)
	}
	if one.format.Envelope == "" {
		return s.Take(ctx, id, msg)
	}
	if !one.Enabled {
		return Receipt{}, ErrDisabled
	}
	inside, invited, err := s.open(ctx, one.format.Envelope, *one.content.Cloud, msg.Body)
	if err != nil {
		return Receipt{}, err
	}
	if invited != "" {
		if err := s.confirm(ctx, invited); err != nil {
			return Receipt{}, err
		}
		s.deps.Log.Info("alert sources: a subscription was accepted", "source", one.Name, "topic", one.content.Cloud.Topic)
	}
	if inside == nil {
		return Receipt{Reasons: []string{}}, nil
	}
	return s.Take(ctx, id, Message{Body: inside, Meta: msg.Meta})
}
