package centre

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"icewatch/soc/identity"
	"icewatch/soc/settings"
	"icewatch/ticketing/generation"
)

// openGeneration declares the policy by which alerts are raised to people, and
// returns it as it is in force. Its times of day are of the server's zone.
func (c *centre) openGeneration(ctx context.Context) (func() *generation.Compiled, error) {
	var inForce atomic.Pointer[generation.Compiled]
	take := func(p generation.RaisingPolicy) {
		compiled, err := p.Compile(time.Local)
		if err != nil { // the setting was checked
			c.Log.Error("centre: the policy of generation cannot be read; the one before stays", "error", err)
			return
		}
		inForce.Store(compiled)
	}
	doc, err := settings.Declare(ctx, c.settings, "alert-generation", identity.ScopeConfigure, generation.Default(), generation.RaisingPolicy.Check, take)
	if err != nil {
		return nil, fmt.Errorf("centre: %w", err)
	}
	take(doc.Get())
	return inForce.Load, nil
}
