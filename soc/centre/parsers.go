package centre

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"icewatch/detections/ruleset"
	"icewatch/soc/api"
	"icewatch/soc/engine"
	"icewatch/soc/pipeline/pack"
	"icewatch/soc/pipeline/packbook"
	"icewatch/soc/pipeline/unread"
	"icewatch/soc/pipeline/workshop"
)

// parsers tells the API of the parser packs. The engine has a set of its own,
// of the same folders.
type parsers struct {
	engine *engine.Client
	shop   atomic.Pointer[workshop.Workshop]
	load   func()
	mu     sync.Mutex // one loads at a time
}

var _ api.Parsers = (*parsers)(nil)

// openParsers compiles the packs and follows their folders.
func (c *centre) openParsers() *parsers {
	p := &parsers{engine: c.engine, load: func() {}}
	dirs := c.packDirs()
	p.load = func() {
		own := pack.Source{Name: packbook.SourceName, FS: os.DirFS(dirs[len(dirs)-1])}
		p.shop.Store(workshop.Open(append(engine.PackSources(c.Config.Parsers.Dirs), own), nil))
	}
	// The packs made here change through the API alone, which calls Reload.
	if configured := c.Config.Parsers.Dirs; len(configured) > 0 {
		c.background(func(ctx context.Context) {
			ruleset.Follow(ctx, configured, max(time.Duration(c.Config.Parsers.Interval), time.Second), c.log, p.Reload)
		})
	}
	return p
}

// packDirs are the folders of packs: those of the configuration, and that of
// the packs that people make here.
func (c *centre) packDirs() []string {
	return append(slices.Clone(c.Config.Parsers.Dirs), filepath.Join(c.Config.Data, "parsers", packbook.SourceName))
}

// openPackbook opens the packs that people make. The engine, which reads their
// folder, starts after it.
func (c *centre) openPackbook(ctx context.Context) (err error) {
	dirs := c.packDirs()
	c.packs, err = packbook.Open(ctx, c.db, dirs[len(dirs)-1], func() []pack.Source { return engine.PackSources(c.Config.Parsers.Dirs) })
	return err
}

func (p *parsers) Text(id string) (source, samples []byte, origin string, err error) {
	return p.current().Text(id)
}

// Reload reads the packs anew, where anybody has asked for them yet.
func (p *parsers) Reload() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shop.Load() != nil {
		p.load()
	}
}

// current is the packs, compiled when somebody asks first: that takes memory,
// and most days nobody does.
func (p *parsers) current() *workshop.Workshop {
	if shop := p.shop.Load(); shop != nil {
		return shop
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shop.Load() == nil {
		p.load()
	}
	return p.shop.Load()
}

func (p *parsers) Packs() ([]pack.Info, []pack.Problem) {
	shop := p.current()
	return shop.Packs(), shop.Problems()
}

func (p *parsers) Explain(line string) api.Explained {
	r := p.current().Read([]byte(line), time.Now())
	return api.Explained{Recognised: !r.Unread, Pack: r.Pack, LogType: r.Log, Dataset: r.Dataset, Event: r.Event}
}

func (p *parsers) Unread(ctx context.Context) ([]unread.Report, error) { return p.engine.Unread(ctx) }
