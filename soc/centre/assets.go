package centre

import (
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"icewatch/cmdb"
	"icewatch/soc/engine"
	"icewatch/soc/enrich"
)

// assetRetry is how long the centre waits before it publishes again what it
// could not, such as while the CMDB's database is away.
const assetRetry = 2 * time.Second

// publishers is how many parts are made ready at a time at the start, and
// publishTold how often the log tells how far that is.
const (
	publishers  = 3
	publishTold = 5 * time.Second
)

// cmdbDatabase is where the configuration has the CMDB keep its items: on
// PostgreSQL, or in a file beside the state, whose writers a large import would
// keep waiting.
func (c *centre) cmdbDatabase(ctx context.Context) (*cmdb.Database, error) {
	url, err := c.Config.CMDB.URL()
	switch {
	case err != nil:
		return nil, err
	case url == "":
		db, err := cmdb.OpenFile(ctx, filepath.Join(c.Config.Data, "state", "cmdb.db"), c.db)
		if err != nil {
			return nil, err
		}
		c.later(db.Close)
		return db, nil
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
	if err := c.publishAll(ctx, index, parts); err != nil {
		return err
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

// publishAll publishes all parts, several at a time: of a million items they
// are a thousand. What takes long is told of meanwhile.
func (c *centre) publishAll(ctx context.Context, index *enrich.Index, parts int32) error {
	var done atomic.Int32
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(publishers)
	told := time.Now()
	for part := range parts {
		g.Go(func() error {
			defer done.Add(1)
			return c.publishPart(ctx, index, part)
		})
		if time.Since(told) > publishTold {
			told = time.Now()
			c.log.Info("cmdb: the items are made ready for enrichment", "parts", done.Load(), "of", parts)
		}
	}
	return g.Wait()
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
