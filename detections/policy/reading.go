package policy

import (
	"encoding/binary"
	"slices"
	"sync"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// The incident policy is asked about every alert that opens, with all around it:
// no two questions are equal. But most answers rest on little of that, on the
// level of an alert and how many tactics it and its relations show, say, and the
// same answer follows for whatever agrees in this little. So while Rego answers a
// question it is watched which values it reads. An evaluation is determined by
// what it reads: a further question with the same values there takes the same
// course, whatever else differs, and gets the answer from memory.
//
// An evaluation that looks into related alerts has read too much to be met again.
// What it had read until then is remembered all the same: questions that agree in
// that are handed to Rego without a watch, which costs.

// maxReadings is how many different sets of values are remembered. The shipped
// policy has two.
const maxReadings = 8

// storyParts are the values of a story, by their names in the input.
var storyParts = []struct {
	name string
	put  func(buf []byte, s *story) []byte
}{
	{"tactics", func(buf []byte, s *story) []byte { return appendTexts(buf, s.tactics) }},
	{"techniques", func(buf []byte, s *story) []byte { return appendTexts(buf, s.techniques) }},
	{"tags", func(buf []byte, s *story) []byte { return appendTexts(buf, s.tags) }},
	{"beside", func(buf []byte, s *story) []byte { return appendTexts(buf, s.beside) }},
	{"rules", func(buf []byte, s *story) []byte { return binary.AppendVarint(buf, int64(s.rules)) }},
	{"actors", func(buf []byte, s *story) []byte { return binary.AppendVarint(buf, int64(s.actors)) }},
}

func appendTexts(buf []byte, list []string) []byte {
	buf = binary.AppendUvarint(buf, uint64(len(list)))
	for _, v := range list {
		buf = append(binary.AppendUvarint(buf, uint64(len(v))), v...)
	}
	return buf
}

// reading is what an evaluation read of an alert and its story.
type reading struct {
	alert *shape
	story [6]bool // by storyParts
	known map[string]remembered
}

// remembered is what came of an evaluation.
type remembered struct {
	Decision
	deep bool // it read more: there is no decision
}

func (r *reading) key(buf []byte, a *Alert, s *story) []byte {
	buf = r.alert.key(buf, a)
	for i, part := range storyParts {
		if r.story[i] {
			buf = part.put(buf, s)
		}
	}
	return buf
}

// readings are what evaluations of the incident policy read, and what came of
// them. They are safe for concurrent use.
type readings struct {
	mu          sync.Mutex
	list        []*reading
	entries     int
	met, missed uint64
}

// find tells what came of a question that agrees in all that was read, and where
// there was none, whether it is worth to watch this one: not each, where
// questions seldom agree.
func (r *readings) find(a *Alert, s *story) (got remembered, met, watch bool) {
	var room [512]byte
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, one := range r.list {
		if got, there := one.known[string(one.key(room[:0], a, s))]; there {
			r.met++
			return got, true, false
		}
	}
	r.missed++
	return remembered{}, false, r.missed < 1000 || r.missed < 4*r.met || r.missed%16 == 0
}

// keep remembers what came of an evaluation, and what it read.
func (r *readings) keep(w *watch, a *Alert, s *story, got remembered) {
	leaves, parts := w.leaves(), w.story()
	r.mu.Lock()
	defer r.mu.Unlock()
	sh := newShape(leaves)
	at := slices.IndexFunc(r.list, func(one *reading) bool { return one.story == parts && one.alert.sameAs(sh) })
	if at < 0 {
		if len(r.list) == maxReadings {
			return
		}
		at, r.list = len(r.list), append(r.list, &reading{alert: sh, story: parts, known: map[string]remembered{}})
	}
	if r.entries >= cacheEntries {
		for _, one := range r.list {
			clear(one.known)
		}
		r.entries = 0
	}
	r.list[at].known[string(r.list[at].key(nil, a, s))] = got
	r.entries++
}

// sameAs tells whether two shapes are of the same leaves.
func (s *shape) sameAs(o *shape) bool {
	return slices.EqualFunc(s.groups, o.groups, func(a, b shapeGroup) bool {
		if (a.key == nil) != (b.key == nil) || a.key != nil && !a.key.Equal(b.key) {
			return false
		}
		return slices.EqualFunc(a.leaves, b.leaves, func(x, y shapeLeaf) bool { return x.key.Equal(y.key) })
	})
}

// watch notes which values of the input an evaluation reads. It sees every
// expression before that is evaluated; what an expression names counts as read,
// the bodies of comprehensions in it among them. Rules must be evaluated without
// an index, which reads values unseen.
type watch struct {
	paths map[[3]string]bool // under the input: alert GROUP NAME, alert NAME "", story NAME ""
	deep  bool               // more was read than can be told apart
}

// Enabled and Config implement topdown.QueryTracer.
func (w *watch) Enabled() bool               { return true }
func (w *watch) Config() topdown.TraceConfig { return topdown.TraceConfig{} }

// TraceEvent implements topdown.QueryTracer.
func (w *watch) TraceEvent(e topdown.Event) {
	expr, ok := e.Node.(*ast.Expr)
	if e.Op != topdown.EvalOp || !ok || w.deep {
		return
	}
	if len(expr.With) > 0 { // what is named then is not the input
		w.deep = true
		return
	}
	var found [][3]string
	ast.WalkTerms(expr, func(t *ast.Term) bool {
		if v, ok := t.Value.(ast.Var); ok && v.Equal(ast.InputRootDocument.Value) { // by itself, in no reference
			w.deep = true
		}
		r, ok := t.Value.(ast.Ref)
		if !ok || !r.HasPrefix(ast.InputRootRef) {
			return w.deep
		}
		path := names(r[1:])
		switch {
		case len(path) >= 2 && (path[0] == "alert" || path[0] == "story"):
			p := [3]string{path[0], path[1]}
			if path[0] == "alert" && len(path) > 2 && hasGroup(path[1]) {
				p[2] = path[2]
			}
			found = append(found, p)
		default: // the whole alert, or what is related to it
			w.deep = true
		}
		// What the reference is indexed by may hold others.
		for _, part := range r[1:] {
			if _, plain := part.Value.(ast.String); !plain {
				ast.WalkRefs(part, func(inner ast.Ref) bool {
					w.deep = w.deep || inner.HasPrefix(ast.InputRootRef)
					return w.deep
				})
			}
		}
		return true
	})
	if w.deep {
		return // nothing of the expression has been evaluated yet
	}
	for _, p := range found {
		w.paths[p] = true
	}
}

// hasGroup tells whether values of an alert stand under a name.
func hasGroup(name string) bool {
	return name == allFields.name || slices.ContainsFunc(leaves, func(l leaf) bool { return l.group == name })
}

// leaves are the values of the alert that were read, in a fixed order.
func (w *watch) leaves() (out []leaf) {
	for _, l := range leaves {
		if l.group == "" && w.paths[[3]string{"alert", l.name}] || l.group != "" && (w.paths[[3]string{"alert", l.group}] || w.paths[[3]string{"alert", l.group, l.name}]) {
			out = append(out, l)
		}
	}
	if w.paths[[3]string{"alert", allFields.name}] {
		return append(out, allFields)
	}
	var fields []string
	for p := range w.paths {
		if p[0] == "alert" && p[1] == allFields.name {
			fields = append(fields, p[2])
		}
	}
	slices.Sort(fields)
	for _, f := range fields {
		out = append(out, oneField(f))
	}
	return out
}

func (w *watch) story() (parts [6]bool) {
	for i, part := range storyParts {
		parts[i] = w.paths[[3]string{"story", part.name}]
	}
	return parts
}
