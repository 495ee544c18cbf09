package engine

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"time"

	"icewatch/detections/ruleset"
	"icewatch/soc/pipeline/pack"
	"icewatch/soc/pipeline/unread"
	"icewatch/soc/pipeline/workshop"
)

// PackSources are the parser packs of folders, behind the suite's own.
func PackSources(dirs []string) []pack.Source {
	var folders []pack.Source
	for _, dir := range dirs {
		folders = append(folders, pack.Source{Name: dir, FS: os.DirFS(dir)})
	}
	return workshop.Sources(folders...)
}

// takePacks compiles the packs and puts them in force for the next event.
func (e *Engine) takePacks() {
	begun := time.Now()
	set, problems := pack.Compile(PackSources(e.opts.PackDirs), e.reg)
	e.packs.Store(set)
	for _, p := range problems {
		e.log.Warn("engine: a parser pack is not in force", "file", p.Path, "line", p.Line, "reason", p.Reason)
	}
	e.log.Info("engine: parser packs in force", "packs", len(set.Packs()), "rejected", len(problems), "took", time.Since(begun).Round(time.Millisecond))
}

// watchPacks follows the folders of packs until ctx ends.
func (e *Engine) watchPacks(ctx context.Context) {
	if len(e.opts.PackDirs) == 0 {
		return
	}
	every := e.opts.PackInterval
	if every <= 0 {
		every = 2 * time.Second
	}
	stamp := ruleset.NewLoader(packFiles(e.opts.PackDirs))
	version := stamp.Load(true).Version
	ruleset.Follow(ctx, e.opts.PackDirs, every, e.log, func() {
		if now := stamp.Load(false).Version; now != version {
			version = now
			e.takePacks()
		}
	})
}

func packFiles(dirs []string) []ruleset.Source {
	var out []ruleset.Source
	for _, dir := range dirs {
		out = append(out, ruleset.Source{Name: dir, FS: os.DirFS(dir)})
	}
	return out
}

func (e *Engine) packHandlers(mux *http.ServeMux) {
	mux.HandleFunc("GET /unread", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(e.pipe.Unread().Reports(func(string) bool { return true }))
	})
}

// Unread asks the engine for the lines that no parser could read.
func (c *Client) Unread(ctx context.Context) (list []unread.Report, err error) {
	err = c.get(ctx, "unread", &list)
	return list, err
}
