package centre

import (
	"context"

	"icewatch/soc/api"
)

// openCasework opens what people keep of incidents, after ticketing, into whose
// timelines it writes.
func (c *centre) openCasework(ctx context.Context) (err error) {
	c.casework, err = api.OpenCasework(ctx, c.db, c.tickets, c.audit, func(name string) bool {
		_, err := c.identity.UserByName(ctx, name)
		return err == nil
	})
	if err != nil {
		return err
	}
	c.background(c.casework.Observables.Run)
	return nil
}
