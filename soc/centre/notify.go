package centre

import (
	"context"
	"slices"

	"icewatch/ticketing/channel"
	"icewatch/ticketing/routing"
	"icewatch/ticketing/wording"
)

// openNotify opens what says who is told of alerts and in which words, before
// ticketing, which tells them.
func (c *centre) openNotify(ctx context.Context) (err error) {
	if c.wordings, err = wording.Open(ctx, c.db, nil); err != nil {
		return err
	}
	c.routes, err = routing.Open(ctx, c.db, routing.Deps{Log: c.log, Known: c.mayBeTold})
	return err
}

// mayBeTold tells whether the routes of a scope may name a contact point: the
// city's any, a tenant's what is told of that tenant alone.
func (c *centre) mayBeTold(ctx context.Context, scope, receiver string) bool {
	r, err := c.tickets.Outbox().Receiver(ctx, receiver)
	return err == nil && (scope == "" || slices.Equal(r.Tenants, []string{scope}))
}

// person finds the addresses of somebody who is called.
func (c *centre) person(ctx context.Context, name string) (channel.Person, bool) {
	u, err := c.identity.UserByName(ctx, name)
	if err != nil || u.Disabled {
		return channel.Person{}, false
	}
	return channel.Person{Name: name, Email: u.Email, Phone: u.Phone}, true
}
