package centre

import (
	"context"

	"icewatch/ticketing/duty"
)

// openDuty opens the duty rosters, before ticketing, which asks them whose an
// incident is.
func (c *centre) openDuty(ctx context.Context) (err error) {
	if c.levels, err = openServiceLevels(ctx, c.settings, c.Config); err != nil {
		return err
	}
	c.duty, err = duty.Open(ctx, c.db, duty.Deps{Seal: c.seal, Log: c.log, URL: c.Config.HTTP.ExternalURL,
		Holidays: c.levels.days.Load,
		Known: func(name string) bool {
			_, err := c.identity.UserByName(ctx, name)
			return err == nil
		}})
	return err
}

// runDuty calls people about incidents that wait.
func (c *centre) runDuty(context.Context) error {
	c.duty.Serve(c.tickets)
	c.background(c.duty.Run)
	return nil
}
