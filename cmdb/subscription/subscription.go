// Package subscription tells people and programs of changes of the CMDB that
// they asked to hear of. What there is to tell is in the items' histories,
// which are never lost; a subscription keeps how far it has looked. What it
// finds goes into its owner's notices in the console and, by the outbox, to a
// contact point: a signed webhook, an e-mail, a chat. How far it looked and what
// it sent is one transaction, so a kill loses nothing and makes no second id.
//
// A subscription tells what its owner may see at that moment: when the change is
// found, again before each attempt to deliver it, and when a notice is read.
package subscription

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"icewatch/cmdb"
	"icewatch/cmdb/model"
	"icewatch/soc/reach"
	"icewatch/ticketing/outbox"
)

// The bounds of what is kept.
const (
	maxName   = 200 // characters
	maxList   = 100 // classes, fields
	maxOwn    = 50  // subscriptions of a person
	maxAll    = 1000
	keep      = 1000 // notices of a person: older ones are forgotten
	batch     = 100  // changes in one notification
	look      = 500  // entries that are looked at in one transaction
	maxQueued = 1000 // notifications that may wait for a contact point before a subscription waits, too
)

var (
	// ErrNotFound says that there is no such subscription, or none that the
	// asker may know of.
	ErrNotFound = errors.New("no such subscription")
	// ErrInvalid says what is wrong with a subscription.
	ErrInvalid = errors.New("invalid subscription")
	// ErrConflict says that it was changed since it was read.
	ErrConflict = errors.New("the subscription was changed meanwhile")
)

// Created, Updated, Deleted and Related are the kinds of changes. A relation
// that is made or taken away by hand is Related, at both of its ends.
const (
	Created = "created"
	Updated = "updated"
	Deleted = "deleted"
	Related = "related"
)

// Kinds lists the kinds of changes.
func Kinds() []string { return []string{Created, Updated, Deleted, Related} }

// Wants is what a subscription asks to hear of, and where. What is empty does
// not narrow.
type Wants struct {
	Classes []string `json:"classes" required:"false" nullable:"false" maxItems:"100" doc:"With those that extend them; all where empty"`
	Kinds   []string `json:"kinds" required:"false" nullable:"false" maxItems:"4" enum:"created,updated,deleted,related" doc:"All where empty"`
	Fields  []string `json:"fields" required:"false" nullable:"false" maxItems:"100" doc:"Of updates: one of these changed. owner, criticality, …; attributes as attr.NAME"`
	Filter  string   `json:"filter" required:"false" maxLength:"8192" doc:"Of the item, before or after the change; it cannot follow relations"`
	// Contact is the contact point that is told; "" where none is.
	Contact string `json:"contact" required:"false" maxLength:"64" doc:"Contact point that is told; empty tells the owner in the console only"`
	Notices bool   `json:"notices" required:"false" doc:"The owner is told in the console"`
}

// Subscription is what somebody asks to hear of.
type Subscription struct {
	ID       string     `json:"id"`
	Name     string     `json:"name"`
	Owner    string     `json:"owner" doc:"Whose reach decides what is told"`
	Mine     bool       `json:"mine"`
	Enabled  bool       `json:"enabled"`
	Wants    Wants      `json:"wants"`
	Told     int64      `json:"told" doc:"Changes so far"`
	ToldAt   *time.Time `json:"told_at,omitempty"`
	Trouble  string     `json:"trouble" doc:"Why nothing is told at the moment"`
	Revision int64      `json:"revision"`
	Created  time.Time  `json:"created_at"`
	Updated  time.Time  `json:"updated_at"`
}

// Items is what is asked of the CMDB.
type Items interface {
	Model() *model.Model
	Stir() <-chan struct{}
	LastChange(ctx context.Context) (int64, error)
	Changes(ctx context.Context, r reach.Reach, f cmdb.ChangeFilter) ([]cmdb.HistoryEntry, error)
	SomeChanges(ctx context.Context, r reach.Reach, ids []int64) ([]cmdb.HistoryEntry, error)
	CheckChangeFilter(ctx context.Context, expression string) error
	ChangedBy(ctx context.Context, r reach.Reach, expression string, list []cmdb.HistoryEntry) ([]bool, error)
}

// Outbox is what is asked of the outbox.
type Outbox interface {
	Enqueue(ctx context.Context, tx bun.Tx, m outbox.Message) (int, error)
	Waiting(ctx context.Context, receiver string) (int, error)
	Wake()
}

// Deps is what the room needs. All but Log and Clock are required.
type Deps struct {
	Items  Items
	Outbox Outbox
	// Reach is what a user may see at this moment: nothing where there is no
	// such user any more or he may not sign in. An error is of the suite.
	Reach func(ctx context.Context, user string) (reach.Reach, error)
	Log   *slog.Logger
	Clock func() time.Time
}

// check says what is wrong with what is wanted.
func (s *Service) check(ctx context.Context, w *Wants) error {
	m := s.deps.Items.Model()
	for _, c := range w.Classes {
		if m.Class(c) == nil {
			return fmt.Errorf("%w: classes: there is no class %q", ErrInvalid, c)
		}
	}
	for _, k := range w.Kinds {
		if !slices.Contains(Kinds(), k) {
			return fmt.Errorf("%w: kinds: %q: want %s", ErrInvalid, k, strings.Join(Kinds(), ", "))
		}
	}
	for _, f := range w.Fields {
		if name, ok := strings.CutPrefix(f, attribute); ok {
			if m.Attribute(name) == nil {
				return fmt.Errorf("%w: fields: no class has an attribute %q", ErrInvalid, name)
			}
		} else if !slices.Contains(fields, f) {
			return fmt.Errorf("%w: fields: %q: want %s, or an attribute as %sNAME", ErrInvalid, f, strings.Join(fields, ", "), attribute)
		}
	}
	if len(w.Classes) > maxList || len(w.Fields) > maxList {
		return fmt.Errorf("%w: more than %d classes or fields: leave them out to hear of all", ErrInvalid, maxList)
	}
	if w.Filter != "" {
		if err := s.deps.Items.CheckChangeFilter(ctx, w.Filter); err != nil {
			return fmt.Errorf("%w: filter: %w", ErrInvalid, err)
		}
	}
	if w.Contact == "" && !w.Notices {
		return fmt.Errorf("%w: it tells nobody: name a contact point, or have notices in the console", ErrInvalid)
	}
	for _, list := range []*[]string{&w.Classes, &w.Kinds, &w.Fields} {
		if *list == nil {
			*list = []string{}
		}
	}
	return nil
}

func checkName(name string) (string, error) {
	name = strings.TrimSpace(name)
	if n := utf8.RuneCountInString(name); n == 0 || n > maxName {
		return "", fmt.Errorf("%w: name: it has %d characters: want 1 to %d", ErrInvalid, n, maxName)
	}
	return name, nil
}

// attribute begins the fields of a change that are attributes.
const attribute = "attr."

// fields are those of a change that are no attributes.
var fields = []string{"name", "tenant", "zone", "addresses", "hostnames", "criticality", "owner", "labels", "system", "organisation"}

// kindOf is the kind of a change.
func kindOf(h *cmdb.HistoryEntry) string {
	if h.Relates() {
		return Related
	}
	return h.Action
}

// chosen are those of some changes that are wanted.
func (s *Service) chosen(ctx context.Context, r reach.Reach, w *Wants, list []cmdb.HistoryEntry) ([]cmdb.HistoryEntry, error) {
	classes := s.deps.Items.Model().Concrete(w.Classes...)
	list = slices.DeleteFunc(slices.Clone(list), func(h cmdb.HistoryEntry) bool {
		switch kind := kindOf(&h); {
		case len(w.Classes) > 0 && !slices.Contains(classes, h.Class), len(w.Kinds) > 0 && !slices.Contains(w.Kinds, kind):
			return true
		case kind == Updated && len(w.Fields) > 0:
			return !slices.ContainsFunc(h.Changes, func(c cmdb.Change) bool { return slices.Contains(w.Fields, c.Field) })
		}
		return false
	})
	if w.Filter == "" || len(list) == 0 {
		return list, nil
	}
	by, err := s.deps.Items.ChangedBy(ctx, r, w.Filter, list)
	if err != nil {
		return nil, err
	}
	var out []cmdb.HistoryEntry
	for i, yes := range by {
		if yes {
			out = append(out, list[i])
		}
	}
	return out, nil
}
