package flatjson

import (
	"strings"

	"icewatch/soc/event"
)

// Name is a dotted name that a Decoder has met. It is the same pointer for the
// same path as long as the decoder remembers it, which Note makes use of.
type Name struct {
	Text string
	// Note is the caller's: what it found out about the name. It is nil for a
	// name that is met for the first time, or again after the decoder forgot it.
	Note any

	id       event.FieldID
	numbered bool
	quoted   string // the key with its closing quote as lines have it; empty where that needs escapes
	children map[string]*Name
	first    *Name    // the child that opened the last object here
	next     [2]*Name // the siblings that lately followed, the latest first
}

// The memory for names is bounded: when it is full, all are forgotten, and
// those in use are learnt again within a few objects.
const (
	maxNames     = 1 << 15
	maxNameBytes = 4 << 20
)

type names struct {
	root         *Name
	count, bytes int
}

func (n *names) full() bool { return n.count >= maxNames || n.bytes >= maxNameBytes }

func (n *names) forget() { *n = names{root: &Name{}} }

// child returns the name of a key within an object. The key may be scratch.
func (n *names) child(of *Name, key string) *Name {
	if c, ok := of.children[key]; ok {
		return c
	}
	c := &Name{}
	if plain(key) {
		c.quoted = key + `"`
		key = c.quoted[:len(key)]
	} else {
		key = strings.Clone(key)
	}
	c.Text = key
	if of.Text != "" {
		c.Text = of.Text + "." + key
	}
	if of.children == nil {
		of.children = map[string]*Name{}
	}
	of.children[key] = c
	n.count++
	n.bytes += len(key) + len(c.Text)
	return c
}

// plain tells whether a key can stand in a line as it is. What the line has
// where such a key and a quote match is then the key, and nothing else.
func plain(key string) bool {
	for i := 0; i < len(key); i++ {
		if c := key[i]; c < ' ' || c == '"' || c == '\\' {
			return false
		}
	}
	return !strings.Contains(key, "\ufffd") // It may stand for bytes that are not UTF-8.
}

// follow remembers that a name came after before, or first in its object.
func (n *Name) follow(before *Name, of *Name) {
	if before == nil {
		of.first = n
	} else if before.next[0] != n {
		before.next[1], before.next[0] = before.next[0], n
	}
}
