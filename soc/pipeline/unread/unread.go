// Package unread counts the lines that no parser could read, by who sent them,
// and keeps an example of each shape, so that a pack can be drafted for them.
// The lines themselves are in the lake like all others: nothing is lost, but
// nothing in them can be searched by field or hit a rule that wants one.
package unread

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"icewatch/soc/pipeline/pack"
)

// Bounds of the book.
const (
	maxSources  = 10_000
	maxShapes   = 20   // kept of one source
	maxExample  = 2048 // bytes
	closeLooks  = 100  // lines of a source of which each is looked at
	laterSample = 16   // one in so many after that
)

// Source is who sent a line.
type Source struct {
	Tenant  string
	Peer    netip.Addr
	File    string // log.file.path
	Program string // of the syslog header
}

// Book holds the counts. The zero value is ready; any goroutine may use it.
type Book struct {
	mu      sync.Mutex
	sources map[Source]*entry
	beyond  uint64
}

type entry struct {
	count       uint64
	first, last int64
	shapes      map[string]*shape
}

type shape struct {
	seen    uint64 // among the lines that were looked at
	example string
}

// Add counts a line that was received at (Unix nanoseconds). The source's
// texts and the line may be scratch.
func (b *Book) Add(s Source, line string, at int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.sources[s]
	if e == nil {
		if b.sources == nil {
			b.sources = map[Source]*entry{}
		}
		if len(b.sources) >= maxSources {
			b.beyond++
			return
		}
		s.Tenant, s.File, s.Program = strings.Clone(s.Tenant), strings.Clone(s.File), strings.Clone(s.Program)
		e = &entry{first: at, shapes: map[string]*shape{}}
		b.sources[s] = e
	}
	e.count++
	e.last = max(e.last, at)
	if e.count > closeLooks && e.count%laterSample != 0 {
		return
	}
	if len(line) > maxExample {
		line = strings.ToValidUTF8(line[:maxExample], "")
	}
	key := pack.Shape(line)
	sh := e.shapes[key]
	if sh == nil {
		if len(e.shapes) >= maxShapes {
			return
		}
		sh = &shape{example: strings.Clone(line)}
		e.shapes[key] = sh
	}
	sh.seen++
}

// Report is what is told of a source.
type Report struct {
	Tenant   string       `json:"tenant"`
	Peer     string       `json:"peer,omitempty"`
	File     string       `json:"file,omitempty"`
	Program  string       `json:"program,omitempty"`
	Lines    uint64       `json:"lines" doc:"Since the engine's start."`
	First    time.Time    `json:"first"`
	Last     time.Time    `json:"last"`
	Examples []string     `json:"examples" nullable:"false" doc:"One of each shape, the most frequent first."`
	Drafts   []pack.Draft `json:"drafts" nullable:"false" doc:"Patterns for these, to begin a pack with."`
}

// Reports lists the sources of the tenants for which show is true, those with
// most lines first.
func (b *Book) Reports(show func(tenant string) bool) []Report {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := []Report{}
	for s, e := range b.sources {
		if !show(s.Tenant) {
			continue
		}
		r := Report{Tenant: s.Tenant, File: s.File, Program: s.Program, Lines: e.count, First: time.Unix(0, e.first).UTC(), Last: time.Unix(0, e.last).UTC()}
		if s.Peer.IsValid() {
			r.Peer = s.Peer.String()
		}
		shapes := make([]*shape, 0, len(e.shapes))
		for _, sh := range e.shapes {
			shapes = append(shapes, sh)
		}
		slices.SortFunc(shapes, func(a, b *shape) int {
			return cmp.Or(cmp.Compare(b.seen, a.seen), strings.Compare(a.example, b.example))
		})
		r.Examples = make([]string, 0, len(shapes))
		for _, sh := range shapes {
			r.Examples = append(r.Examples, sh.example)
		}
		r.Drafts = pack.Suggest(r.Examples)
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b Report) int {
		return cmp.Or(cmp.Compare(b.Lines, a.Lines), strings.Compare(a.Tenant, b.Tenant), strings.Compare(a.Peer, b.Peer), strings.Compare(a.File, b.File), strings.Compare(a.Program, b.Program))
	})
	return out
}
