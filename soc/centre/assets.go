package centre

import (
	"context"
	"fmt"
	"time"

	"icewatch/cmdb"
	"icewatch/soc/engine"
	"icewatch/soc/enrich"
)

// assetRetry is how long the centre waits before it publishes again what it
// could not, such as while the CMDB's database is away.
const assetRetry = 2 * time.Second

// cmdbDatabase is where the configuration has the CMDB keep its items.
func (c *centre) cmdbDatabase(ctx context.Context) (*cmdb.Database, error) {
	url, err := c.Config.CMDB.URL()
	switch {
	case err != nil:
		return nil, err
	case url == "":
		return cmdb.OnState(c.db), nil
	}
	db, err := cmdb.OpenPostgres(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("cmdb.postgres: %w", err)
	}
	c.later(db.Close)
	c.log.Info("cmdb: items are kept on PostgreSQL", "database", c.Config.CMDB.Postgres)
	return db, nil
}

// openAssets publishes what enrichment needs of the CMDB's items, part by part,
// and then each part that changes.
func (c *centre) openAssets(ctx context.Context) error {
	index := enrich.EmptyIndex()
	parts, err := c.cmdb.Parts(ctx)
	if err != nil {
		return err
	}
	c.cmdb.ChangedParts() // all of them go out now
	for part := range parts {
		if err := c.publishPart(ctx, index, part); err != nil {
			return err
		}
	}
	c.assets.Store(index)
	// The mark behind the last part: an engine begins once it has all.
	if err := c.client.PublishControl(ctx, engine.TopicEnrichment, nil); err != nil {
		return err
	}
	c.background(func(ctx context.Context) {
		for {
			select {
			case <-c.cmdb.Changed():
				c.publishChanged(ctx, index)
			case <-ctx.Done():
				return
			}
		}
	})
	return nil
}

// publishChanged publishes the parts that changed; what fails is tried again.
func (c *centre) publishChanged(ctx context.Context, index *enrich.Index) {
	parts := c.cmdb.ChangedParts()
	for i, part := range parts {
		err := c.publishPart(ctx, index, part)
		if err == nil {
			continue
		}
		if ctx.Err() == nil {
			c.log.Error("cmdb: changes are not in force for enrichment yet; they are tried again", "parts", len(parts)-i, "error", err)
		}
		select {
		case <-time.After(assetRetry):
			c.cmdb.Retell(parts[i:])
		case <-ctx.Done():
		}
		return
	}
}

// publishPart puts one part in force here, where events are taken in, and
// publishes it to the engine.
func (c *centre) publishPart(ctx context.Context, index *enrich.Index, part int32) error {
	snap, err := c.cmdb.Part(ctx, part)
	if err != nil {
		return err
	}
	data, err := snap.Encode()
	if err != nil {
		return err
	}
	if err := index.Update(snap); err != nil {
		return err
	}
	return c.client.PublishControl(ctx, fmt.Sprintf("%s.%d", engine.TopicEnrichment, part), data)
}
