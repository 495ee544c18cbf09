package centre

import (
	"context"
	"sync/atomic"
	"time"

	"icewatch/detections/ruleset"
	"icewatch/soc/api"
	"icewatch/soc/engine"
	"icewatch/soc/pipeline/pack"
	"icewatch/soc/pipeline/unread"
	"icewatch/soc/pipeline/workshop"
)

// parsers tells the API of the parser packs. The engine has a set of its own,
// of the same folders.
type parsers struct {
	engine *engine.Client
	shop   atomic.Pointer[workshop.Workshop]
}

var _ api.Parsers = (*parsers)(nil)

// openParsers compiles the packs and follows their folders.
func (c *centre) openParsers() *parsers {
	p := &parsers{engine: c.engine}
	load := func() { p.shop.Store(workshop.Open(engine.PackSources(c.Config.Parsers.Dirs), nil)) }
	load()
	if dirs := c.Config.Parsers.Dirs; len(dirs) > 0 {
		c.background(func(ctx context.Context) {
			ruleset.Follow(ctx, dirs, max(time.Duration(c.Config.Parsers.Interval), time.Second), c.log, load)
		})
	}
	return p
}

func (p *parsers) Packs() ([]pack.Info, []pack.Problem) {
	shop := p.shop.Load()
	return shop.Packs(), shop.Problems()
}

func (p *parsers) Explain(line string) api.Explained {
	r := p.shop.Load().Read([]byte(line), time.Now())
	return api.Explained{Recognised: !r.Unread, Pack: r.Pack, LogType: r.Log, Dataset: r.Dataset, Event: r.Event}
}

func (p *parsers) Unread(ctx context.Context) ([]unread.Report, error) { return p.engine.Unread(ctx) }
