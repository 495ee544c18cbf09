package centre

import (
	"context"

	"icewatch/soc/masking"
)

// openMasking opens the rules by which parts of events are hidden.
func (c *centre) openMasking(ctx context.Context) (err error) {
	c.masking, err = masking.Open(ctx, c.db, c.seal)
	return err
}
