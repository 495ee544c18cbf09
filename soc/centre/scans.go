package centre

import (
	"context"
	"time"

	"icewatch/soc/exposure/credential"
	"icewatch/soc/exposure/scan"
	"icewatch/soc/exposure/scope"
)

// openScans opens what has hosts scanned. It comes after the fleet, whose scanners do it.
func (c *centre) openScans(ctx context.Context) (err error) {
	db := c.cmdb.Database()
	secrets, err := credential.Open(ctx, c.db, c.seal)
	if err != nil {
		return err
	}
	if c.exposure.scope, err = scope.Open(ctx, db, nil); err != nil {
		return err
	}
	c.exposure.scans, err = scan.Open(ctx, scan.Deps{Database: db, Secrets: secrets, Scope: c.exposure.scope, Items: c.cmdb, Findings: c.exposure.findings, Fleet: c.fleet, Workday: c.workday, Log: c.log})
	if err != nil {
		return err
	}
	c.background(c.exposure.scans.Run)
	return nil
}

// workday tells whether people work on a day by the calendar of service levels.
func (c *centre) workday(at time.Time) bool {
	return c.levels.days.Load().Day(at).Worked
}
