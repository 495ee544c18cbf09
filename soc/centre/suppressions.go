package centre

import (
	"context"
	"encoding/json"
	"fmt"

	"icewatch/detections/suppression"
	"icewatch/soc/engine"
)

// tellSuppressions tells the engine what suppressions there are, which keeps apart
// the firings that they tell apart.
func (c *centre) tellSuppressions(ctx context.Context, in []suppression.Suppression) error {
	data, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("centre: suppressions: %w", err)
	}
	return c.client.PublishControl(ctx, engine.TopicSuppressions, data)
}
