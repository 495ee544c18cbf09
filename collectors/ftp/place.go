package ftp

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"path"
	"slices"
	"strings"
	"time"

	"icewatch/collectors"
)

// content is what a file holds, and how far it was read. Places and sizes count
// the file's bytes, unpacked where it is packed; Size is the listing's.
type content struct {
	Path   []byte    `json:"path"`   // where it was last seen; bytes, for a server's names need not be UTF-8
	Stream string    `json:"stream"` // its random name
	Offset int64     `json:"offset"` // what lies before is stored
	Prefix int       `json:"prefix"` // how many of the first bytes Head covers
	Head   string    `json:"head"`
	At     int64     `json:"at"` // the Mark bytes before At have the hash Print
	Mark   int       `json:"mark"`
	Print  string    `json:"print"`
	Size   int64     `json:"size"` // the listing's when it was read last
	Time   time.Time `json:"time"` // likewise
	Done   bool      `json:"done"` // all of it was read
	Seen   time.Time `json:"seen"`
}

const (
	maxPrint    = 1024                // bytes that Head and Print cover
	leastPrefix = 64                  // a shorter beginning does not tell two contents apart
	keepContent = 30 * 24 * time.Hour // how long files that are gone are remembered
	maxContents = 20_000
	shards      = 64 // places are kept in so many parts, so that a save is small
)

func digest(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:12])
}

func newStream() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // It never fails.
	return hex.EncodeToString(b[:])
}

// begins tells whether a file with this beginning may have the content.
func (c *content) begins(head []byte) bool {
	return len(head) >= c.Prefix && digest(head[:c.Prefix]) == c.Head
}

// grow lets Head cover what is known of the beginning by now.
func (c *content) grow(head []byte) {
	if n := min(len(head), maxPrint); n > c.Prefix {
		c.Prefix, c.Head = n, digest(head[:n])
	}
}

// places are all contents of a source.
type places struct {
	id    string
	store collectors.Places
	list  []*content
	paths map[string]*content // the present content of each path
	dirty [shards]bool
}

type shard struct {
	Version  int        `json:"version"`
	Contents []*content `json:"contents"`
}

func shardOf(path string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(path))
	return int(h.Sum32() % shards)
}

func (p *places) key(n int) string { return fmt.Sprintf("%s/files/%02d", p.id, n) }

// load reads the places. A damaged one is an error: to start over silently would
// store every line again.
func (p *places) load(ctx context.Context) error {
	p.list, p.paths = nil, map[string]*content{}
	for n := range shards {
		data, err := p.store.Place(ctx, p.key(n))
		if err != nil {
			return fmt.Errorf("how far files were read: %w", err)
		}
		if data == nil {
			continue
		}
		var s shard
		if err := json.Unmarshal(data, &s); err != nil || s.Version != 1 {
			return fmt.Errorf("how far files were read (%s) is damaged or of another version: %v", p.key(n), err)
		}
		for _, c := range s.Contents {
			p.list = append(p.list, c)
			if old := p.paths[string(c.Path)]; old == nil || old.Seen.Before(c.Seen) {
				p.paths[string(c.Path)] = c
			}
		}
	}
	return nil
}

func (p *places) touch(path []byte) { p.dirty[shardOf(string(path))] = true }

// save keeps what has changed.
func (p *places) save(ctx context.Context) error {
	for n := range shards {
		if !p.dirty[n] {
			continue
		}
		s := shard{Version: 1, Contents: []*content{}}
		for _, c := range p.list {
			if shardOf(string(c.Path)) == n {
				s.Contents = append(s.Contents, c)
			}
		}
		data, err := json.Marshal(s)
		if err != nil {
			return fmt.Errorf("encode how far files were read: %w", err)
		}
		if err := p.store.Save(ctx, p.key(n), data); err != nil {
			return fmt.Errorf("keep how far files were read: %w", err)
		}
		p.dirty[n] = false
	}
	return nil
}

// add makes a new content the one of its path. What was there is remembered, for
// it may be found under another name.
func (p *places) add(path string, now time.Time) *content {
	c := &content{Path: []byte(path), Stream: newStream(), Seen: now}
	p.list = append(p.list, c)
	p.paths[path] = c
	p.touch(c.Path)
	return c
}

// moveTo makes a content that was found under another name the one of that path.
func (p *places) moveTo(c *content, path string) {
	p.touch(c.Path)
	if p.paths[string(c.Path)] == c {
		delete(p.paths, string(c.Path))
	}
	c.Path = []byte(path)
	p.paths[path] = c
	p.touch(c.Path)
}

// drop forgets a content.
func (p *places) drop(c *content) {
	p.touch(c.Path)
	if p.paths[string(c.Path)] == c {
		delete(p.paths, string(c.Path))
	}
	p.list = slices.DeleteFunc(p.list, func(o *content) bool { return o == c })
}

// prune forgets what has been gone for long.
func (p *places) prune(now time.Time) {
	var gone []*content
	for _, c := range p.list {
		if now.Sub(c.Seen) > keepContent {
			gone = append(gone, c)
		}
	}
	if more := len(p.list) - len(gone) - maxContents; more > 0 {
		oldest := slices.SortedFunc(slices.Values(p.list), func(a, b *content) int { return a.Seen.Compare(b.Seen) })
		gone = append(gone, oldest[:more]...)
	}
	for _, c := range gone {
		p.drop(c)
	}
}

// renamed finds the content that a file with this beginning had under another
// name, which no longer has it: rotation made the file of the other. size is
// the file's, -1 where it is packed.
func (p *places) renamed(file string, head []byte, size int64) *content {
	var best *content
	for _, c := range p.list {
		other := string(c.Path)
		if other == file && p.paths[other] == c || c.Prefix < leastPrefix || size >= 0 && size < c.At || !sibling(other, file) || !c.begins(head) {
			continue
		}
		if best == nil || c.Offset > best.Offset {
			best = c
		}
	}
	return best
}

// sibling tells whether rotation may have made other of file: app.log becomes
// app.log.1, app-20261123.log or app.log.2.gz.
func sibling(file, other string) bool {
	base := path.Base(file)
	stem, _, _ := strings.Cut(base, ".")
	return path.Dir(file) == path.Dir(other) && strings.HasPrefix(path.Base(other), or(stem, base))
}
