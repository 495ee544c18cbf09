package centre

import (
	"context"

	"icewatch/soc/identity"
	"icewatch/soc/settings"
	"icewatch/ticketing/duty"
	"icewatch/ticketing/workdays"
)

// openDuty opens the duty rosters, before ticketing, which asks them whose an
// incident is.
func (c *centre) openDuty(ctx context.Context) (err error) {
	published := workdays.Published()
	c.holidays.Store(published.Compile())
	_, err = settings.Declare(ctx, c.settings, "holidays", identity.ScopeConfigure, workdays.Book{}, workdays.Book.Check,
		func(own workdays.Book) { c.holidays.Store(published.With(own).Compile()) })
	if err != nil {
		return err
	}
	c.duty, err = duty.Open(ctx, c.db, duty.Deps{Seal: c.seal, Log: c.log, URL: c.Config.HTTP.ExternalURL,
		Holidays: c.holidays.Load,
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
