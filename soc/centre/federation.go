package centre

import (
	"context"

	"icewatch/soc/identity/federation"
)

// openFederation opens the identity providers, and has the directories among
// them asked for passwords that are not ours.
func (c *centre) openFederation(ctx context.Context) (err error) {
	c.sso, err = federation.Open(ctx, federation.Deps{DB: c.db, Seal: c.seal, Accounts: c.identity, Units: c.units, Egress: c.egress, Audit: c.audit,
		ExternalURL: c.Config.HTTP.ExternalURL, Log: c.log.With("room", "federation")})
	if err != nil {
		return err
	}
	c.identity.UseDirectory(c.sso)
	c.background(c.sso.Run)
	return nil
}
