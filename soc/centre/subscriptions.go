package centre

import (
	"context"

	"icewatch/cmdb/subscription"
	"icewatch/soc/reach"
)

// openSubscriptions opens what tells people of changes of the CMDB.
func (c *centre) openSubscriptions(ctx context.Context) (err error) {
	c.subscriptions, err = subscription.Open(ctx, c.db, subscription.Deps{
		Items: c.cmdb, Outbox: c.tickets.Outbox(), Log: c.log,
		// What somebody sees is for the API to say, which opens later; nothing
		// is told before.
		Reach: func(ctx context.Context, user string) (reach.Reach, error) { return c.server.ReachOfUser(ctx, user) },
	})
	return err
}

// runSubscriptions tells of changes from now on.
func (c *centre) runSubscriptions(context.Context) error {
	c.tickets.Outbox().Guard(c.subscriptions.Gate)
	c.background(c.subscriptions.Run)
	return nil
}
