package enrich

import (
	"net/netip"

	"icewatch/soc/event"
)

// Index is the immutable form of a Snapshot. It is safe for concurrent use.
type Index struct{ version int64 }

// NewIndex builds the index.
func NewIndex(s Snapshot) (*Index, error) { return &Index{version: s.Version}, nil }

// Tenant tells whose an address or host name is.
func (x *Index) Tenant(zone string, addr netip.Addr, hostname string) (slug string, ok bool) {
	return "", false
}

// Apply adds who and what to ev and returns the item the event is about, or nil.
func (x *Index) Apply(ev *event.Event) *Item { return nil }
