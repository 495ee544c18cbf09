package ruleset

import (
	"crypto/sha256"
	"fmt"
	"path"
	"runtime"
	"sync"
	"time"

	"icewatch/detections/logsource"
	"icewatch/detections/match"
	"icewatch/detections/policy"
	"icewatch/detections/sigma"
	"icewatch/detections/verdict"
	"icewatch/soc/event"
)

// Cache compiles one bundle after the other, and does again only what
// changed: files with the content they had in the bundle before are not
// parsed again, and policies with theirs not prepared. It holds what the last
// bundle needed and nothing older. The zero Cache is empty and ready; its
// methods exclude each other.
//
// What is parsed is shared between the sets: a sigma.Rule is never changed
// once it is parsed.
type Cache struct {
	mu       sync.Mutex
	options  string // that parsing depends on
	parsed   map[[sha256.Size]byte]*parsed
	faults   map[*sigma.Rule]error // of rules that were compiled alone
	policies *policies
	chain    *pipelines
}

// parsed is a file's content once it is parsed. It is not changed any more.
type parsed struct {
	rules []*sigma.Rule
	errs  []*sigma.Error
}

type policies struct {
	sum    [sha256.Size]byte
	set    *policy.Set
	faults []policy.Problem
}

// Timing says how long the steps of a compilation took and what it could reuse.
type Timing struct {
	Parse   time.Duration `json:"parse"`   // of files, those that were not parsed before
	Program time.Duration `json:"program"` // the matcher's program, or the check of each rule
	Rest    time.Duration `json:"rest"`    // policies, correlations, duplicates
	Parsed  int           `json:"parsed"`  // files
	Reused  int           `json:"reused"`  // files
}

// Compile is CompileWith that reuses what the bundle before had parsed.
func (c *Cache) Compile(b *Bundle, reg *event.Registry, opts Options) (*Set, []Problem) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return compile(b, reg, opts, c)
}

// parse gives the parsed content of the bundle's Sigma files by the file's
// index, nil for files of other kinds. Files that are new are parsed several
// at a time.
func (c *Cache) parse(b *Bundle, opts *sigma.Options, t *Timing) []*parsed {
	if by := fmt.Sprint(opts.Placeholders); by != c.options || c.parsed == nil {
		c.options, c.parsed, c.faults = by, map[[sha256.Size]byte]*parsed{}, nil
	}
	out := make([]*parsed, len(b.Files))
	keep := make(map[[sha256.Size]byte]*parsed, len(b.Files))
	fresh := make(map[[sha256.Size]byte][]byte)
	for i := range b.Files {
		f := &b.Files[i]
		if isPolicy(f.Path) || path.Base(f.Path) == logsource.FileName || path.Base(f.Path) == PlaceholderFile || path.Base(f.Path) == verdict.FileName || isPipeline(f.Path) {
			continue
		}
		sum := f.digest()
		p := keep[sum]
		if p == nil {
			if p = c.parsed[sum]; p != nil {
				t.Reused++
			} else {
				p = &parsed{}
				fresh[sum] = f.Data
				t.Parsed++
			}
			keep[sum] = p
		}
		out[i] = p
	}
	type job struct {
		to   *parsed
		data []byte
	}
	jobs := make(chan job)
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(fresh)) {
		wg.Go(func() {
			for j := range jobs {
				j.to.rules, j.to.errs = sigma.Parse(j.data, opts)
			}
		})
	}
	for sum, data := range fresh {
		jobs <- job{keep[sum], data}
	}
	close(jobs)
	wg.Wait()
	c.parsed = keep
	return out
}

// check compiles each rule that was not compiled yet alone, for its faults. A
// program of all of them costs as much again and more, and is not needed where
// nothing is matched.
func (c *Cache) check(rules []*sigma.Rule) []error {
	errs := make([]error, len(rules))
	keep := make(map[*sigma.Rule]error, len(rules))
	reg := event.NewRegistry(0)
	for i, r := range rules {
		err, known := c.faults[r]
		if !known {
			_, one := match.Compile([]*sigma.Rule{r}, reg, nil)
			err = one[0]
		}
		keep[r], errs[i] = err, err
	}
	c.faults = keep
	return errs
}

// policy prepares the bundle's policies where they are others than before.
func (c *Cache) policy(b *Bundle) (*policy.Set, []policy.Problem) {
	h := sha256.New()
	for i := range b.Files {
		if f := &b.Files[i]; isPolicy(f.Path) {
			sum := f.digest()
			fmt.Fprintf(h, "%d:%s%d:%s", len(f.Source), f.Source, len(f.Path), f.Path)
			h.Write(sum[:])
		}
	}
	sum := [sha256.Size]byte(h.Sum(nil))
	if c.policies == nil || c.policies.sum != sum {
		p := &policies{sum: sum}
		p.set, p.faults = policy.New(b.Policies(), policy.Keys{Unverified: true})
		c.policies = p
	}
	return c.policies.set, c.policies.faults
}
