package ftp

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"icewatch/collectors"
	"icewatch/collectors/fetch"
)

// Collector reads files of a server.
type Collector struct {
	*fetch.Loop
	s      *settings
	deps   collectors.Deps
	places places
	loaded bool
	looks  map[string]look
	now    func() time.Time
}

var _ collectors.Collector = (*Collector)(nil)

// look is a file as it was seen, and since when it has been so.
type look struct {
	size  int64
	time  time.Time
	since time.Time
}

// restWait is how long a growing file must have rested before its last line is
// taken without a line end, and its last event without the beginning of another.
const restWait = time.Minute

// New makes a source of files of a server.
func New(cfg Config, deps collectors.Deps) (*Collector, error) {
	s, err := cfg.settle(false)
	if err != nil {
		return nil, err
	}
	if err := deps.Check(); err != nil {
		return nil, err
	}
	if deps.Places == nil {
		return nil, fmt.Errorf("ftp: %s: nowhere to keep how far files were read", cfg.ID)
	}
	c := &Collector{s: s, deps: deps, places: places{id: s.ID, store: deps.Places}, looks: map[string]look{}, now: time.Now}
	c.Loop = fetch.NewLoop(s.ID, "ftp", s.Protocol+"://"+s.Address+" "+strings.Join(s.Paths, " "), deps, time.Duration(s.IntervalSeconds)*time.Second, c.round)
	return c, nil
}

func (s *settings) walk(r remote) *walk {
	return &walk{list: r.list, depth: s.MaxDepth, most: s.MaxFiles, skip: func(file string) bool {
		for _, g := range s.Exclude {
			whole, _ := path.Match(g, file) // settle tried the patterns.
			name, _ := path.Match(g, path.Base(file))
			if whole || name {
				return true
			}
		}
		return s.After == Move && path.Dir(file) == path.Clean(s.MoveTo)
	}}
}

// round looks once.
func (c *Collector) round(ctx context.Context) (bool, error) {
	if !c.loaded {
		if err := c.places.load(ctx); err != nil {
			return false, err
		}
		c.loaded = true
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, err := c.s.connect(ctx, c.deps.Dial, func(string) {})
	if err != nil {
		return false, err
	}
	defer r.Close()
	w := c.s.walk(r)
	files, err := w.files(c.s.Paths)
	if err != nil {
		return false, err
	}
	faults := w.faults
	now := c.now()
	c.notice(files, now)
	// Files that are known come first: only then is it clear which contents have
	// left their place, to be found under another name.
	var order, fresh []entry
	for _, e := range files {
		if c.places.paths[e.path] != nil {
			order = append(order, e)
		} else {
			fresh = append(fresh, e)
		}
	}
	for _, e := range append(order, fresh...) {
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		if err := c.file(r, e, now); err != nil {
			err = fmt.Errorf("file %s: %w", display(e.path), err)
			if !lasting(err) {
				return false, errors.Join(err, c.places.save(c.Storing()))
			}
			faults = append(faults, err)
		}
	}
	faults = append(faults, c.afterwards(r, files)...)
	c.places.prune(now)
	if err := c.places.save(c.Storing()); err != nil {
		return false, err
	}
	if len(faults) > 0 {
		return false, &fetch.Partial{Err: errors.Join(faults[:min(len(faults), 5)]...)}
	}
	return false, nil
}

// notice compares the listing with the one before.
func (c *Collector) notice(files []entry, now time.Time) {
	looks := make(map[string]look, len(files))
	for _, e := range files {
		l := look{e.size, e.time, now}
		if old, ok := c.looks[e.path]; ok && old.size == e.size && old.time.Equal(e.time) {
			l.since = old.since
		}
		looks[e.path] = l
		if k := c.places.paths[e.path]; k != nil && now.Sub(k.Seen) > time.Hour {
			k.Seen = now
			c.places.touch(k.Path)
		}
	}
	c.looks = looks
}

// file reads what is new of one file.
func (c *Collector) file(r remote, e entry, now time.Time) error {
	known := c.places.paths[e.path]
	same := known != nil && known.Size == e.size && known.Time.Equal(e.time)
	if same && known.Done {
		return nil
	}
	rested := now.Sub(c.looks[e.path].since)
	packed := strings.HasSuffix(strings.ToLower(e.path), ".gz")
	rest := c.s.Read == Complete || packed || rested >= restWait
	if (c.s.Read == Complete || packed) && rested == 0 || same && !rest {
		return nil // It may still be written to, or only its last line is open.
	}
	if e.size == 0 && known == nil {
		return nil
	}
	head, err := c.s.head(r, e, packed)
	if err != nil {
		return err
	}
	size := e.size
	if packed {
		size = -1
	}
	if known == nil || !known.begins(head) || size >= 0 && size < known.At {
		if known = c.places.renamed(e.path, head, size); known != nil && c.stands(r, known, e, packed) {
			c.places.moveTo(known, e.path)
		} else {
			known = c.places.add(e.path, now)
		}
	} else if !c.stands(r, known, e, packed) {
		known = c.places.add(e.path, now)
	}
	known.grow(head)
	known.Seen, known.Done = now, false
	c.places.touch(known.Path)
	// A stream must be known before its first event is stored.
	if err := c.places.save(c.Storing()); err != nil {
		return err
	}
	done, err := c.read(r, e, known, head, packed, rest)
	if err != nil {
		return err
	}
	known.Size, known.Time, known.Done = e.size, e.time, done
	c.places.touch(known.Path)
	return nil
}

// afterwards moves or deletes the files that were read whole, unless they have
// changed since.
func (c *Collector) afterwards(r remote, files []entry) []error {
	if c.s.After == Keep {
		return nil
	}
	var faults []error
	fault := func(e entry, err error) {
		faults = append(faults, fmt.Errorf("%s the file %s, which was read: %w", c.s.After, display(e.path), err))
	}
	var taken map[string]bool // names in the folder that files are moved to
	dirs := map[string]map[string]entry{}
	for _, e := range files {
		k := c.places.paths[e.path]
		if k == nil || !k.Done || k.Size != e.size || !k.Time.Equal(e.time) {
			continue
		}
		if err := c.places.save(c.Storing()); err != nil { // What is gone must be known to be stored.
			return append(faults, err)
		}
		dir := path.Dir(e.path)
		if _, ok := dirs[dir]; !ok {
			got, err := r.list(strings.TrimPrefix(dir, "."))
			if err != nil {
				fault(e, err)
				continue
			}
			dirs[dir] = map[string]entry{}
			for _, g := range got {
				dirs[dir][g.path] = g
			}
		}
		if at := dirs[dir][e.path]; at.size != e.size || !at.time.Equal(e.time) {
			continue // It has grown: the next look reads the rest.
		}
		var err error
		if c.s.After == Delete {
			err = r.remove(e.path)
		} else {
			err = c.move(r, e, k, &taken)
		}
		if err != nil {
			fault(e, err)
			continue
		}
		c.places.drop(k)
	}
	return faults
}

// move moves a file to the folder for read ones, never over another: some
// servers would write over it.
func (c *Collector) move(r remote, e entry, k *content, taken *map[string]bool) error {
	if *taken == nil {
		there, err := r.list(c.s.MoveTo)
		if err != nil || len(there) == 0 { // To some servers a folder that is not there is an empty one.
			if made := r.mkdir(c.s.MoveTo); made != nil && err != nil {
				return fmt.Errorf("make the folder %s: %w", c.s.MoveTo, made)
			}
		}
		*taken = map[string]bool{}
		for _, t := range there {
			(*taken)[path.Base(t.path)] = true
		}
	}
	name := path.Base(e.path)
	if (*taken)[name] {
		name += "." + k.Stream
	}
	if err := r.rename(e.path, path.Join(c.s.MoveTo, name)); err != nil {
		return err
	}
	(*taken)[name] = true
	return nil
}
