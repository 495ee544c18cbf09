// Package drawing keeps topologies that people draw of the CMDB's items for a
// purpose of their own: where items stand, notes beside them, and what the
// drawing grows from. How the items hang together is not kept here: whoever
// opens a drawing sees the relations of the moment.
//
// A drawing belongs to who made it and may be shared. Each change makes a
// version, so that everything has its way back. What somebody is shown holds
// items within his reach only; items that he does not see stay in a drawing
// that he saves.
package drawing

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"icewatch/cmdb/query"
	"icewatch/soc/reach"
)

// Bounds of one drawing.
const (
	MaxNodes  = 2000
	MaxNotes  = 500
	MaxName   = 200     // characters
	MaxText   = 2000    // characters of a description or a note
	maxPlace  = 1 << 20 // of a coordinate, either way
	maxKept   = 50      // versions of a drawing
	maxNames  = 200     // relation types that are hidden
	MaxFilter = 8192    // bytes
)

var (
	// ErrNotFound says that there is no such drawing, or none that the asker
	// may see.
	ErrNotFound = errors.New("drawing: not found")
	// ErrInvalid says that a drawing is beyond a bound, or names what there is
	// not.
	ErrInvalid = errors.New("drawing: invalid")
	// ErrConflict says that somebody else changed the drawing meanwhile.
	ErrConflict = errors.New("drawing: changed meanwhile")
	// ErrForbidden says that the drawing is another's.
	ErrForbidden = errors.New("drawing: not yours")
)

// The ways a drawing is laid out.
const (
	Free   = "free"   // items stand where they were put
	Layers = "layers" // items stand in the lanes of their business layers
)

// Node is an item in a drawing.
type Node struct {
	Item string  `json:"item" maxLength:"256" doc:"Id of the item"`
	X    float64 `json:"x"`
	Y    float64 `json:"y"`
	Note string  `json:"note,omitempty" doc:"Shown beside the item"`
}

// Note is a text that stands in a drawing by itself.
type Note struct {
	Text string  `json:"text"`
	X    float64 `json:"x"`
	Y    float64 `json:"y"`
}

// Content is what a drawing says.
type Content struct {
	Name        string   `json:"name" minLength:"1" maxLength:"200"`
	Scenario    string   `json:"scenario,omitempty" maxLength:"200" doc:"What it is for; drawings are grouped by it"`
	Description string   `json:"description,omitempty" maxLength:"2000"`
	Shared      bool     `json:"shared,omitempty" doc:"Others see it too"`
	Layout      string   `json:"layout,omitempty" enum:"free,layers,"`
	Filter      string   `json:"filter,omitempty" maxLength:"8192" doc:"A filter of items that it shows besides its nodes, whichever they are at the moment"`
	HiddenTypes []string `json:"hidden_types,omitempty" doc:"Relation types that it does not show"`
	Nodes       []Node   `json:"nodes" nullable:"false"`
	Notes       []Note   `json:"notes,omitempty"`
}

// Drawing is a drawing as the asker may see it.
type Drawing struct {
	Summary
	Content
}

// Summary is what a list tells of a drawing.
type Summary struct {
	ID        string    `json:"id"`
	Owner     string    `json:"owner" doc:"Name of who made it"`
	Mine      bool      `json:"mine"`
	Editable  bool      `json:"editable" doc:"The asker may change it"`
	Items     int       `json:"items" doc:"Nodes within reach"`
	Deleted   bool      `json:"deleted,omitempty"`
	Revision  int64     `json:"revision" doc:"Counts its versions"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	UpdatedBy string    `json:"updated_by"`
}

// Listed is a drawing in a list.
type Listed struct {
	Summary
	Name        string `json:"name"`
	Scenario    string `json:"scenario,omitempty"`
	Description string `json:"description,omitempty"`
	Shared      bool   `json:"shared,omitempty"`
	Layout      string `json:"layout,omitempty"`
}

// Version is one version of a drawing.
type Version struct {
	Revision int64     `json:"revision"`
	Action   string    `json:"action" enum:"created,updated,deleted,restored"`
	Actor    string    `json:"actor"`
	At       time.Time `json:"at"`
	Name     string    `json:"name"`
	Items    int       `json:"items" doc:"Nodes within reach"`
}

// Asker is who asks.
type Asker struct {
	User   string // id
	Name   string // for versions
	Manage bool   // may change what others drew
	Within reach.Reach
}

// Query narrows a list.
type Query struct {
	Text     string // words that all occur in name, scenario or description
	Scenario string
	Item     string // id of an item that it shows
	Mine     bool
	Deleted  bool // those that were deleted, in place of those that are there
	Limit    int  // a page: 50 where 0, at most 1000
	Cursor   string
}

// Page is one page of a list, what was changed last first.
type Page struct {
	Drawings []Listed
	Total    int
	Next     string
}

// check holds a content against the bounds and gives it its normal form.
func (c *Content) check() error {
	c.Name, c.Scenario, c.Description = strings.TrimSpace(c.Name), strings.TrimSpace(c.Scenario), strings.TrimSpace(c.Description)
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...)
	}
	if c.Name == "" {
		return refuse("name: a drawing needs one")
	}
	for _, t := range []struct {
		what, text string
		most       int
	}{{"name", c.Name, MaxName}, {"scenario", c.Scenario, MaxName}, {"description", c.Description, MaxText}} {
		if n := utf8.RuneCountInString(t.text); n > t.most {
			return refuse("%s: %d characters, at most %d", t.what, n, t.most)
		}
	}
	switch c.Layout {
	case "":
		c.Layout = Free
	case Free, Layers:
	default:
		return refuse("layout: %q is neither free nor layers", c.Layout)
	}
	if c.Filter = strings.TrimSpace(c.Filter); c.Filter != "" {
		if _, err := query.ParseFilter(c.Filter); err != nil {
			return refuse("filter: %v", err)
		}
	}
	if len(c.HiddenTypes) > maxNames {
		return refuse("hidden_types: %d, at most %d", len(c.HiddenTypes), maxNames)
	}
	if len(c.Nodes) > MaxNodes {
		return refuse("nodes: %d, at most %d", len(c.Nodes), MaxNodes)
	}
	if len(c.Notes) > MaxNotes {
		return refuse("notes: %d, at most %d", len(c.Notes), MaxNotes)
	}
	place := func(v float64) bool { return math.Abs(v) <= maxPlace } // NaN is not
	seen := make(map[string]bool, len(c.Nodes))
	for i, n := range c.Nodes {
		switch {
		case n.Item == "":
			return refuse("nodes[%d]: names no item", i)
		case seen[n.Item]:
			return refuse("nodes[%d]: item %q is there twice", i, n.Item)
		case !place(n.X) || !place(n.Y):
			return refuse("nodes[%d]: %v,%v: want coordinates within ±%d", i, n.X, n.Y, maxPlace)
		case utf8.RuneCountInString(n.Note) > MaxText:
			return refuse("nodes[%d]: a note of %d characters, at most %d", i, utf8.RuneCountInString(n.Note), MaxText)
		}
		seen[n.Item] = true
	}
	for i, n := range c.Notes {
		if !place(n.X) || !place(n.Y) {
			return refuse("notes[%d]: %v,%v: want coordinates within ±%d", i, n.X, n.Y, maxPlace)
		}
		if l := utf8.RuneCountInString(n.Text); l == 0 || l > MaxText {
			return refuse("notes[%d]: %d characters: want 1 to %d", i, l, MaxText)
		}
	}
	if c.Nodes == nil {
		c.Nodes = []Node{}
	}
	return nil
}

// keep leaves the nodes whose items are in a set.
func (c *Content) keep(items map[string]bool) {
	c.Nodes = slices.DeleteFunc(c.Nodes, func(n Node) bool { return !items[n.Item] })
}

func (c *Content) items() []string {
	out := make([]string, len(c.Nodes))
	for i, n := range c.Nodes {
		out[i] = n.Item
	}
	return out
}
