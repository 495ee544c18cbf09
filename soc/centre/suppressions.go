package centre

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"

	"icewatch/detections/ruleset"
	"icewatch/detections/suppression"
	"icewatch/soc/engine"
	"icewatch/soc/reach"
	"icewatch/ticketing"
	"icewatch/ticketing/suppressing"
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

// followSuppressions keeps the suppressions in the folders suppressions/ of the rule
// folders in force as long as ctx lasts. Files that are wrong change nothing at all:
// half a folder would take away what the other half holds.
func (c *centre) followSuppressions(ctx context.Context, rules []string, every time.Duration) {
	var dirs []string
	for _, d := range rules {
		dirs = append(dirs, filepath.Join(d, "suppressions"))
	}
	take := func() {
		if err := c.takeSuppressions(ctx, dirs); err != nil && ctx.Err() == nil {
			c.log.Error("suppressions: the folders are not in force", "folders", dirs, "error", err)
		}
	}
	take()
	ruleset.Follow(ctx, dirs, every, c.log, take)
}

func (c *centre) takeSuppressions(ctx context.Context, dirs []string) error {
	held, faults, found, err := suppressing.ReadFolders(dirs)
	switch {
	case err != nil:
		return err
	case len(faults) > 0:
		return fmt.Errorf("%d faults, the first: %w", len(faults), faults[0])
	case !found:
		return nil
	}
	by := ticketing.Actor{Name: suppressing.FromFolder, Reach: reach.All()}
	views, err := c.tickets.Suppressions(ctx, reach.All())
	if err != nil {
		return err
	}
	kept := make([]suppressing.Kept, 0, len(views))
	for i := range views {
		kept = append(kept, views[i].Kept)
	}
	put, gone := suppressing.Differing(kept, held)
	if len(put)+len(gone) == 0 {
		return nil
	}
	if c.keeper.book.SuppressionsRequired() {
		return fmt.Errorf("%d changed and %d gone, and changes of suppressions need a second person here: push the folder as a proposal (icectl rules push)", len(put), len(gone))
	}
	if len(put) > 0 {
		if _, err := c.tickets.SetSuppressions(ctx, by, put); err != nil {
			return err
		}
	}
	for _, id := range gone {
		if err := c.tickets.DeleteSuppression(ctx, by, id); err != nil {
			return err
		}
	}
	c.log.Info("suppressions: taken from the folders", "changed", len(put), "gone", len(gone))
	return nil
}
