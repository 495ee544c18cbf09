package centre

import (
	"context"

	"icewatch/soc/watch"
)

// openWatch begins the watch over the suite itself.
func (c *centre) openWatch(ctx context.Context) (err error) {
	if c.watch, err = watch.Open(ctx, c.db, c.tickets, c.log); err != nil {
		return err
	}
	c.background(c.watch.Run)
	return nil
}
