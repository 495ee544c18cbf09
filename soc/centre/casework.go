package centre

import (
	"context"

	"icewatch/soc/api"
)

// openCasework opens what people keep of incidents, after ticketing, into whose
// timelines it writes.
func (c *centre) openCasework(ctx context.Context) (err error) {
	c.casework, err = api.OpenCasework(ctx, c.db, c.tickets, c.audit)
	return err
}
