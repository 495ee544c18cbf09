package enrich

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unique"
)

// Update puts a snapshot in place of what the index had of its part; other
// parts stay as they are. Of an address or network that two parts have, as
// between two updates when it moves from one to the other, the last counts. On
// an error, an address or network that cannot be read, nothing is changed.
func (x *Index) Update(s Snapshot) error {
	addrs := make([][]netip.Addr, len(s.Items))
	for i := range s.Items {
		var err error
		if addrs[i], err = s.Items[i].addrs(); err != nil {
			return err
		}
		s.Items[i].share()
	}
	for _, n := range s.Networks {
		if _, err := netip.ParsePrefix(n.CIDR); err != nil {
			return fmt.Errorf("enrich: network %q: %w", n.Name, err)
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	old := x.parts[s.Part]
	if old == nil {
		old = &part{}
	}
	now := &part{items: make(map[string]int32, len(s.Items)), networks: s.Networks}
	for i := range s.Items {
		it := &s.Items[i]
		if n, ok := old.items[it.ID]; ok && x.items[n].foundAs(it) {
			x.items[n], x.relay[n] = it, slices.Contains(it.Labels, RelayLabel)
			now.items[it.ID] = n
		}
	}
	for id, n := range old.items {
		if _, stays := now.items[id]; !stays {
			x.drop(n)
		}
	}
	for i := range s.Items {
		it := &s.Items[i]
		if _, there := now.items[it.ID]; !there {
			now.items[it.ID] = x.add(it, addrs[i])
		}
	}
	if !slices.Equal(old.networks, s.Networks) {
		for _, n := range old.networks {
			x.makeZone(n.Zone).dropNetwork(n, s.Part)
		}
		for _, n := range s.Networks {
			x.makeZone(n.Zone).addNetwork(n, s.Part)
		}
	}
	if x.parts[s.Part] = now; len(s.Items) == 0 && len(s.Networks) == 0 {
		delete(x.parts, s.Part)
	}
	return nil
}

// addrs reads the item's addresses.
func (it *Item) addrs() ([]netip.Addr, error) {
	out := make([]netip.Addr, len(it.Addresses))
	for i, a := range it.Addresses {
		addr, err := netip.ParseAddr(a)
		if err != nil {
			return nil, fmt.Errorf("enrich: item %q: address %q: %w", it.ID, a, err)
		}
		out[i] = addr.Unmap()
	}
	return out, nil
}

// share keeps texts once that many items have.
func (it *Item) share() {
	for _, s := range []*string{&it.Class, &it.Tenant, &it.Zone, &it.Owner, &it.SystemID, &it.SystemName, &it.Unit, &it.Region, &it.Industry, &it.ReachLabels} {
		*s = unique.Make(*s).Value()
	}
	for i, l := range it.Labels {
		it.Labels[i] = unique.Make(l).Value()
	}
}

// foundAs tells whether two states of an item are found by the same.
func (it *Item) foundAs(other *Item) bool {
	return it.Zone == other.Zone && it.Tenant == other.Tenant && it.Class == other.Class &&
		slices.Equal(it.Addresses, other.Addresses) && slices.Equal(it.Hostnames, other.Hostnames)
}

// add makes an item be found, and returns its number.
func (x *Index) add(it *Item, addrs []netip.Addr) int32 {
	var n int32
	if free := len(x.freeItems); free > 0 {
		n = x.freeItems[free-1]
		x.freeItems = x.freeItems[:free-1]
	} else {
		n = int32(len(x.items))
		x.items, x.relay = append(x.items, nil), append(x.relay, false)
	}
	x.items[n], x.relay[n] = it, slices.Contains(it.Labels, RelayLabel)
	z := x.makeZone(it.Zone)
	for _, a := range addrs {
		z.addrs[a] = n
	}
	for name, short := range it.names() {
		x.addName(name, n, short)
	}
	if it.Class == systemClass && it.Tenant != "" {
		x.systems[it.Tenant] = append(x.systems[it.Tenant], n)
	}
	return n
}

// drop makes an item be found no more.
func (x *Index) drop(n int32) {
	it := x.items[n]
	z := x.makeZone(it.Zone)
	addrs, _ := it.addrs() // they could be read when it came
	for _, a := range addrs {
		if z.addrs[a] == n {
			delete(z.addrs, a)
		}
	}
	for name := range it.names() {
		x.dropName(name, n)
	}
	if it.Class == systemClass {
		if left := slices.DeleteFunc(x.systems[it.Tenant], func(i int32) bool { return i == n }); len(left) > 0 {
			x.systems[it.Tenant] = left
		} else {
			delete(x.systems, it.Tenant)
		}
	}
	x.items[n] = nil
	x.freeItems = append(x.freeItems, n)
}

// names are the host names that an item goes by; short marks those that are
// the first label of a longer one.
func (it *Item) names() func(yield func(name string, short bool) bool) {
	return func(yield func(string, bool) bool) {
		for _, h := range it.Hostnames {
			h = strings.ToLower(strings.TrimSuffix(h, "."))
			if h == "" {
				continue
			}
			if !yield(h, false) {
				return
			}
			if short, _, ok := strings.Cut(h, "."); ok && short != "" && !yield(short, true) {
				return
			}
		}
	}
}

// systemOf is the business system that stands for a tenant: the one that is
// named after it, else its only one.
func (x *Index) systemOf(tenant string) int32 {
	list := x.systems[tenant]
	for _, n := range list {
		if id := x.items[n].ID; len(id) == len("bs-")+len(tenant) && id[:3] == "bs-" && id[3:] == tenant {
			return n
		}
	}
	if len(list) == 1 {
		return list[0]
	}
	return none
}

// levels are those of the prefix's family.
func (z *zone) levels(p netip.Prefix) *[]level {
	if p.Addr().Is4() {
		return &z.nets4
	}
	return &z.nets6
}

func (z *zone) addNetwork(n Network, part int32) {
	p := netip.MustParsePrefix(n.CIDR).Masked()
	levels := z.levels(p)
	i, found := slices.BinarySearchFunc(*levels, p.Bits(), func(l level, bits int) int { return cmp.Compare(bits, l.bits) })
	if !found {
		*levels = slices.Insert(*levels, i, level{bits: p.Bits(), nets: map[netip.Prefix]block{}})
	}
	(*levels)[i].nets[p] = block{tenant: n.Tenant, name: n.Name, part: part}
}

// dropNetwork takes a network of a part away, unless its range has come with
// another one since.
func (z *zone) dropNetwork(n Network, part int32) {
	p := netip.MustParsePrefix(n.CIDR).Masked()
	levels := z.levels(p)
	for i, l := range *levels {
		if b, ok := l.nets[p]; l.bits != p.Bits() || !ok || b.part != part {
			continue
		}
		if delete(l.nets, p); len(l.nets) == 0 {
			*levels = slices.Delete(*levels, i, i+1)
		}
		return
	}
}
