package centre

import (
	"context"
	"path/filepath"

	"icewatch/soc/exposure/library"
)

// exposure is what is known of weaknesses, and of those that assets have.
type exposure struct {
	library *library.Library
}

// openExposure opens the library of vulnerabilities.
func (c *centre) openExposure(ctx context.Context) (err error) {
	c.exposure.library, err = library.Open(ctx, c.cmdb.Database(), library.Options{Dir: filepath.Join(c.Config.Data, "vulnerabilities"), Log: c.log})
	if err != nil {
		return err
	}
	c.background(c.exposure.library.Run)
	return nil
}
