// Package portrait gathers what a portrait of an item, a business system or an
// organisation shows beyond the item itself: whom what belongs to it was bought
// from, which networks it is in, and what is known to be wrong with it. All of
// it is what the caller may see.
package portrait

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"icewatch/cmdb"
	"icewatch/cmdb/query"
	"icewatch/soc/reach"
)

// maxMembers is how many items of a system or organisation are looked at.
const maxMembers = 5000

// Items is what is asked of the CMDB.
type Items interface {
	Get(ctx context.Context, r reach.Reach, id string) (cmdb.Item, error)
	Items(ctx context.Context, r reach.Reach, f cmdb.Filter) (cmdb.Page, error)
}

// Findings knows what is wrong with items, such as vulnerabilities and weak
// configurations.
type Findings interface {
	// Of counts what is open of some items, by severity.
	Of(ctx context.Context, r reach.Reach, items []string) (map[string]int, error)
}

// Portrait is what is gathered.
type Portrait struct {
	Members int       `json:"members" doc:"Items that were looked at: the item, and what belongs to it"`
	More    bool      `json:"more" doc:"There are more of them: only the first 5000 were looked at"`
	Supply  []Supply  `json:"supply" nullable:"false"`
	Network []Network `json:"network" nullable:"false"`
	// Findings are nil where no room of the suite knows of any.
	Findings map[string]int `json:"findings,omitempty" doc:"Severity → open findings; absent where nothing looks for them"`
}

// Supply is one product of one vendor.
type Supply struct {
	Vendor    string     `json:"vendor"`
	Product   string     `json:"product"`
	Items     int        `json:"items"`
	Suppliers []cmdb.Ref `json:"suppliers" nullable:"false"`
	Contracts []cmdb.Ref `json:"contracts" nullable:"false"`
	Warranty  string     `json:"warranty_until,omitempty" doc:"The first one to end"`
}

// Network is a network zone with the networks in it that hold an address.
type Network struct {
	Zone      string     `json:"zone"`
	Items     int        `json:"items"`
	Addresses int        `json:"addresses"`
	Exposed   int        `json:"exposed" doc:"Items that say they are reached from the internet"`
	Networks  []cmdb.Ref `json:"networks" nullable:"false"`
}

// Of gathers the portrait of an item in reach. findings may be nil.
func Of(ctx context.Context, items Items, findings Findings, r reach.Reach, id string) (Portrait, error) {
	it, err := items.Get(ctx, r, id)
	if err != nil {
		return Portrait{}, err
	}
	members := []cmdb.Item{it}
	own := "id = " + query.Quote(it.ID)
	var f cmdb.Filter
	switch it.Class {
	case cmdb.BusinessSystem:
		f.System, own = it.ID, "system = "+query.Quote(it.ID)
	case cmdb.Organisation:
		f.Organisation, own = it.ID, "organisation = "+query.Quote(it.ID)
	}
	p := Portrait{}
	if f.System != "" || f.Organisation != "" {
		more, err := each(ctx, items, r, f, maxMembers, func(m cmdb.Item) { members = append(members, m) })
		if err != nil {
			return Portrait{}, err
		}
		p.More = more
	}
	p.Members = len(members)
	if p.Supply, err = supply(ctx, items, r, members); err != nil {
		return Portrait{}, err
	}
	if p.Network, err = networks(ctx, items, r, members, own); err != nil {
		return Portrait{}, err
	}
	if findings != nil {
		ids := make([]string, len(members))
		for i := range members {
			ids[i] = members[i].ID
		}
		if p.Findings, err = findings.Of(ctx, r, ids); err != nil {
			return Portrait{}, err
		}
	}
	return p, nil
}

// each calls fn for at most so many items of a filter, and tells whether there
// are more.
func each(ctx context.Context, items Items, r reach.Reach, f cmdb.Filter, most int, fn func(cmdb.Item)) (more bool, err error) {
	f.Limit = 1000
	for n := 0; ; {
		page, err := items.Items(ctx, r, f)
		if err != nil {
			return false, err
		}
		for _, it := range page.Items {
			if n++; n > most {
				return true, nil
			}
			fn(it)
		}
		if f.Cursor = page.Next; f.Cursor == "" {
			return false, nil
		}
	}
}

// named returns the item of an id that a reference has, where it is in reach.
func named(ctx context.Context, items Items, r reach.Reach, known map[string]*cmdb.Ref, id string) (*cmdb.Ref, error) {
	if ref, ok := known[id]; ok {
		return ref, nil
	}
	it, err := items.Get(ctx, r, id)
	if errors.Is(err, cmdb.ErrNotFound) {
		known[id] = nil
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("portrait: what %q is: %w", id, err)
	}
	known[id] = &cmdb.Ref{ID: it.ID, Class: it.Class, Name: it.Name}
	return known[id], nil
}

func supply(ctx context.Context, items Items, r reach.Reach, members []cmdb.Item) ([]Supply, error) {
	type product struct{ vendor, name string }
	found := map[product]*Supply{}
	known := map[string]*cmdb.Ref{}
	for i := range members {
		a := members[i].Attributes
		k := product{a["vendor"], a["product"]}
		if k == (product{}) && a["supplier"] == "" && a["contract"] == "" {
			continue
		}
		s := found[k]
		if s == nil {
			s = &Supply{Vendor: k.vendor, Product: k.name, Suppliers: []cmdb.Ref{}, Contracts: []cmdb.Ref{}}
			found[k] = s
		}
		s.Items++
		if until := a["warranty_until"]; until != "" && (s.Warranty == "" || until < s.Warranty) {
			s.Warranty = until
		}
		for attribute, into := range map[string]*[]cmdb.Ref{"supplier": &s.Suppliers, "contract": &s.Contracts} {
			for id := range strings.SplitSeq(a[attribute], ";") {
				if id == "" {
					continue
				}
				ref, err := named(ctx, items, r, known, id)
				if err != nil {
					return nil, err
				}
				if ref != nil && !slices.Contains(*into, *ref) {
					*into = append(*into, *ref)
				}
			}
		}
	}
	out := make([]Supply, 0, len(found))
	for _, s := range found {
		out = append(out, *s)
	}
	slices.SortFunc(out, func(a, b Supply) int {
		return cmp.Or(b.Items-a.Items, strings.Compare(a.Vendor, b.Vendor), strings.Compare(a.Product, b.Product))
	})
	return out, nil
}

// networks are the zones of the members; own is the filter of these.
func networks(ctx context.Context, items Items, r reach.Reach, members []cmdb.Item, own string) ([]Network, error) {
	found := map[string]*Network{}
	zone := func(name string) *Network {
		n := found[name]
		if n == nil {
			n = &Network{Zone: name, Networks: []cmdb.Ref{}}
			found[name] = n
		}
		return n
	}
	for i := range members {
		m := &members[i]
		if len(m.Addresses) == 0 || m.Class == cmdb.Network {
			continue
		}
		n := zone(m.Zone)
		n.Items++
		n.Addresses += len(m.Addresses)
		if m.Attributes["exposure"] == "internet" {
			n.Exposed++
		}
	}
	f := cmdb.Filter{Expression: "class = network and has <-in_network- *[" + own + "]"}
	_, err := each(ctx, items, r, f, 200, func(it cmdb.Item) {
		n := zone(it.Zone)
		n.Networks = append(n.Networks, cmdb.Ref{ID: it.ID, Class: it.Class, Name: it.Name})
	})
	if err != nil {
		return nil, err
	}
	out := make([]Network, 0, len(found))
	for _, n := range found {
		out = append(out, *n)
	}
	slices.SortFunc(out, func(a, b Network) int { return strings.Compare(a.Zone, b.Zone) })
	return out, nil
}
