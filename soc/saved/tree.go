package saved

import (
	"cmp"
	"slices"
	"strings"
)

// tree is all nodes at one time; it is not changed once it is made.
type tree struct {
	byID      map[string]Node
	ordered   []Node // parents before children, siblings by position
	confining []Node
}

func newTree(nodes []Node) *tree {
	t := &tree{byID: make(map[string]Node, len(nodes))}
	below := map[string][]Node{}
	for _, n := range nodes {
		t.byID[n.ID] = n
		below[n.Parent] = append(below[n.Parent], n)
		if n.Confines {
			t.confining = append(t.confining, n)
		}
	}
	var walk func(parent string)
	walk = func(parent string) {
		list := below[parent]
		slices.SortFunc(list, func(a, b Node) int {
			return cmp.Or(cmp.Compare(a.Position, b.Position), strings.Compare(a.Name, b.Name))
		})
		for _, n := range list {
			t.ordered = append(t.ordered, n)
			walk(n.ID)
		}
	}
	walk("")
	return t
}

// path is the names from the top to the node, joined by /.
func (t *tree) path(id string) string {
	var names []string
	for range maxDepth + 1 {
		n, ok := t.byID[id]
		if !ok {
			break
		}
		names = append(names, n.Name)
		id = n.Parent
	}
	slices.Reverse(names)
	return strings.Join(names, "/")
}

// at is the node at a path.
func (t *tree) at(path string) (Node, bool) {
	for _, n := range t.ordered {
		if t.path(n.ID) == path {
			return n, true
		}
	}
	return Node{}, false
}

func (t *tree) depth(id string) int {
	depth := 0
	for id != "" && depth <= maxDepth {
		depth++
		id = t.byID[id].Parent
	}
	return depth
}

func (t *tree) under(id, top string) bool {
	for range maxDepth + 1 {
		if id == top {
			return true
		}
		if id == "" {
			return false
		}
		id = t.byID[id].Parent
	}
	return false
}

// height is the levels below and including the node.
func (t *tree) height(id string) int {
	h := 0
	for _, n := range t.ordered {
		if n.Parent == id {
			h = max(h, t.height(n.ID))
		}
	}
	return h + 1
}

// place says what is wrong with putting something of the given height under parent.
func (t *tree) place(parent string, height int) error {
	if parent == "" {
		return nil
	}
	p, ok := t.byID[parent]
	if !ok {
		return invalid("parent: there is no directory %.64q", parent)
	}
	if p.Kind != KindDirectory {
		return invalid("parent: %q is a log group: only directories hold others", p.Name)
	}
	if t.depth(parent)+height > maxDepth {
		return invalid("parent: the tree would be deeper than %d levels", maxDepth)
	}
	return nil
}

func (t *tree) nameFree(n Node) error {
	for _, other := range t.byID {
		if other.ID != n.ID && other.Parent == n.Parent && other.Name == n.Name {
			return conflict("there is %q in the same place already", n.Name)
		}
	}
	return nil
}
