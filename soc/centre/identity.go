package centre

import (
	"context"

	"icewatch/soc/identity"
	"icewatch/soc/identity/password"
)

// openIdentity opens the room that knows who is asking, with its figures.
func (c *centre) openIdentity(ctx context.Context) (err error) {
	opts := []identity.Option{identity.WithSeal(c.seal)}
	if path := c.Config.Identity.BreachList; path != "" {
		list, err := password.OpenList(path)
		if err != nil {
			return err
		}
		opts = append(opts, identity.WithLeaked(list))
	}
	if c.identity, err = identity.Open(ctx, c.db, c.settings, c.log, opts...); err != nil {
		return err
	}
	c.events.NameRoles(func(id string) (zh, en string) {
		r, err := c.identity.Access().Role(id)
		if err != nil {
			return "", ""
		}
		return r.Name.ZH, r.Name.EN
	})
	for name, value := range map[string]func(identity.Figures) float64{
		"icewatch_password_hashes_total":       func(f identity.Figures) float64 { return float64(f.Hashes) },
		"icewatch_password_hash_seconds_total": func(f identity.Figures) float64 { return f.HashTime.Seconds() },
		"icewatch_sign_in_locks_total":         func(f identity.Figures) float64 { return float64(f.Locks) },
		"icewatch_sign_in_locked":              func(f identity.Figures) float64 { return float64(f.Locked) },
	} {
		c.metrics.NewGauge(name, func() float64 { return value(c.identity.Figures()) })
	}
	return nil
}
