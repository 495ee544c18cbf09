package ruleset

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"icewatch/detections/pipeline"
	"icewatch/detections/sigma"
)

// isPipeline tells whether a file is a processing pipeline: those in a folder
// called pipelines are.
func isPipeline(name string) bool {
	return !strings.HasSuffix(name, ".rego") && slices.Contains(strings.Split(path.Dir(name), "/"), pipeline.Folder)
}

// pipelines are those of a bundle with what they made of its rules. The zero
// value leaves rules as they are.
type pipelines struct {
	key       string // what they were made of
	chain     pipeline.Chain
	faults    []Problem
	rewritten map[*sigma.Rule]rewritten
}

// rewritten is what pipelines made of a rule. It stays the same as long as the
// rule and the pipelines do, so that what is known of it stays valid.
type rewritten struct {
	rule *sigma.Rule
	err  error
}

// pipelines gives the pipelines for a bundle, those of the last one where they
// are the same.
func (c *Cache) pipelines(b *Bundle, opts *Options) *pipelines {
	var files []*File
	h := sha256.New()
	if !opts.Native {
		for i := range b.Files {
			if f := &b.Files[i]; isPipeline(f.Path) {
				files = append(files, f)
				sum := f.digest()
				fmt.Fprintf(h, "%d:%s", len(f.Path), f.Path)
				h.Write(sum[:])
			}
		}
	}
	for _, p := range opts.Pipelines {
		fmt.Fprintf(h, "%p", p)
	}
	key := string(h.Sum(nil))
	if c.chain != nil && c.chain.key == key {
		return c.chain
	}
	p := &pipelines{key: key}
	list := slices.Clone(opts.Pipelines)
	for _, f := range files {
		one, err := pipeline.Parse(f.Data)
		if err != nil {
			p.faults = append(p.faults, fault(f.Path, err))
			continue
		}
		if one.Name == "" {
			one.Name = f.Path
		}
		list = append(list, one)
	}
	p.chain = pipeline.Order(list)
	c.chain = p
	return p
}

// fault is what is wrong with a file that is no rule: at its line, where the
// error knows it.
func fault(name string, err error) Problem {
	var at *sigma.Error
	if errors.As(err, &at) {
		return Problem{Path: name, Line: at.Line, Reason: at.Reason}
	}
	return Problem{Path: name, Reason: err.Error()}
}

// rewrite sends the rules through the pipelines. A rule that these refuse is
// rejected.
func (c *compiler) rewrite(b *Bundle) {
	p := c.cache.pipelines(b, &c.opts)
	c.chain = p.chain
	c.problems = append(c.problems, p.faults...)
	keep := make(map[*sigma.Rule]rewritten, len(c.found))
	kept := c.found[:0]
	for _, r := range c.found {
		r.native = r.Rule
		if len(p.chain) > 0 {
			made, known := p.rewritten[r.native]
			if !known {
				made.rule, made.err = p.chain.Apply(r.native)
			}
			keep[r.native] = made
			if made.err != nil {
				c.rejectRule(r, r.Line, "%v", made.err)
				continue
			}
			r.Rule = made.rule
		}
		if name, line := unfilled(r.Rule); name != "" {
			c.rejectRule(r, line, "placeholder %%%s%% has no values: give them in a file placeholders.yml of a rule folder, as %s: [value, …], or in the vars of a pipeline with value_placeholders", name, name)
			continue
		}
		kept = append(kept, r)
	}
	c.found, p.rewritten = kept, keep
}

// unfilled finds a placeholder that nothing gave values.
func unfilled(r *sigma.Rule) (name string, line int) {
	if r.Detection == nil {
		return "", 0
	}
	var in func(g *sigma.Group)
	in = func(g *sigma.Group) {
		for _, it := range g.Items {
			for _, v := range it.Values {
				for _, part := range v.Pattern {
					if part.Wild == sigma.Placeholder {
						name, line = part.Text, v.Line
					}
				}
			}
		}
		for _, sub := range g.Groups {
			in(sub)
		}
	}
	for _, s := range r.Detection.Selections {
		in(s.Root)
	}
	return name, line
}

// names are those under which fields of a rule's events, called as rules call
// them, are found.
func (c *compiler) names(r *Rule, fields []string) ([][]string, error) {
	if len(fields) == 0 {
		return nil, nil
	}
	return c.chain.Names(r.native, fields)
}
