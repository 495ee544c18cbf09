package centre

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"icewatch/cmdb"
	"icewatch/soc/identity"
	"icewatch/soc/reach"
	"icewatch/soc/settings"
	"icewatch/ticketing/eventlevel"
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

// openEventLevels declares the table by which data-security events are graded.
func (c *centre) openEventLevels(ctx context.Context) (func() eventlevel.Terms, error) {
	doc, err := settings.Declare(ctx, c.settings, "data-event-levels", identity.ScopeConfigure, eventlevel.Default(), eventlevel.Terms.Check)
	if err != nil {
		return nil, fmt.Errorf("centre: %w", err)
	}
	return doc.Get, nil
}

// Attribute implements ticketing.Attributes.
func (i items) Attribute(ctx context.Context, item, name string) (string, error) {
	it, err := i.Get(ctx, reach.All(), item)
	if errors.Is(err, cmdb.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("centre: read attribute %q: %w", name, err)
	}
	return it.Attributes[name], nil
}
