package lake

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// namesFile remembers the names of fields that rows have.
const namesFile = "names.json"

// maxNames bounds the fields that a word without a field is looked for in.
const maxNames = 400

// names are the names of fields that rows have, so that a word can be looked
// for in all of them. They only ever become more; one too many costs nothing
// but a look.
type names struct {
	path string

	mu    sync.Mutex
	set   map[string]struct{}
	list  atomic.Pointer[[]string]
	dirty bool
}

// load takes in what was saved. What cannot be read is gathered anew as rows
// come.
func (n *names) load(path string) {
	n.path, n.set = path, map[string]struct{}{}
	var saved []string
	if b, err := os.ReadFile(path); err == nil {
		_ = json.Unmarshal(b, &saved)
	}
	// The text of rows as earlier versions stored them, and what has no field
	// of its own.
	n.add(append(saved, "_msg", fieldMessage, fieldOriginal, "icewatch.overflow"))
	n.dirty = false
}

// searchable tells whether people look for words in the field.
func searchable(name string) bool {
	return !strings.HasPrefix(name, "icewatch.") && name != fieldID && name != fieldCreated || name == "icewatch.overflow" || name == "icewatch.sender_id"
}

func (n *names) add(found []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	grown := false
	for _, name := range found {
		if _, ok := n.set[name]; ok || !searchable(name) || len(n.set) >= maxNames {
			continue
		}
		n.set[strings.Clone(name)] = struct{}{}
		grown = true
	}
	if !grown {
		return
	}
	list := make([]string, 0, len(n.set))
	for name := range n.set {
		list = append(list, name)
	}
	slices.Sort(list)
	n.list.Store(&list)
	n.dirty = true
}

// all lists the names, in order.
func (n *names) all() []string { return *n.list.Load() }

// save writes the names down where they became more, and tells whether what is
// written holds them all.
func (n *names) save() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.dirty {
		return true
	}
	b, err := json.Marshal(n.all())
	if err != nil {
		return false
	}
	f, err := os.CreateTemp(filepath.Dir(n.path), ".names-*")
	if err != nil {
		return false
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = os.Rename(f.Name(), n.path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return false
	}
	n.dirty = false
	return true
}
