package centre

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"icewatch/soc/engine"
	"icewatch/soc/pipeline"
)

// publishTenants tells the engine where the events of each tenant go.
func (c *centre) publishTenants(ctx context.Context) error {
	dir := pipeline.Directory{}
	for _, t := range c.tenants.List() {
		dir[t.Slug] = pipeline.Place{Account: t.AccountID, Class: t.Retention}
	}
	data, err := json.Marshal(dir)
	if err != nil {
		return fmt.Errorf("centre: tenants: %w", err)
	}
	return c.client.PublishControl(ctx, engine.TopicTenants, data)
}

// tenantsChanged puts a change of the tenants in force: at once for whoever
// asks, and in the engine within moments.
func (c *centre) tenantsChanged() {
	c.refreshReach()
	if c.client == nil {
		return // the bus is opened later, and told then
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := c.publishTenants(ctx); err != nil {
		c.log.Error("tenants: the change is not in force in the engine yet", "error", err)
	}
}
