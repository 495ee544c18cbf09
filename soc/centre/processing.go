package centre

import (
	"context"
	"encoding/json"
	"fmt"

	"icewatch/soc/engine"
	"icewatch/soc/pipeline/processing"
	"icewatch/soc/pipeline/processing/rulestore"
)

// openProcessing opens the rules by which events are tagged, folded and left
// out, and tells them to the engine.
func (c *centre) openProcessing(ctx context.Context) (err error) {
	c.processing, err = rulestore.Open(ctx, c.db, func(ctx context.Context, rules []processing.Rule) error {
		data, err := json.Marshal(rules)
		if err != nil {
			return fmt.Errorf("centre: processing rules: %w", err)
		}
		return c.client.PublishControl(ctx, engine.TopicProcessing, data)
	})
	if err != nil {
		return err
	}
	return c.processing.Publish(ctx)
}

// treatment tells the API of the processing rules.
type treatment struct {
	rules  *rulestore.Store
	engine *engine.Client
}

func (t treatment) Rules() *rulestore.Store { return t.rules }

func (t treatment) Counts(ctx context.Context) (engine.ProcessingCounts, error) {
	return t.engine.Processing(ctx)
}
