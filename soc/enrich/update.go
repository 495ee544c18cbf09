package enrich

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"
)

// Update puts a snapshot in place of what the index had of its part; other
// parts stay as they are. Of an address or network that two parts have, as
// between two updates when it moves from one to the other, the last counts. On
// an error, an address or network that cannot be read, nothing is changed.
func (x *Index) Update(s Snapshot) error {
	addrs := make([][]netip.Addr, len(s.Items))
	starts := make([]uint32, len(s.Items))
	var packed []byte
	for i := range s.Items {
		var err error
		if addrs[i], err = s.Items[i].addrs(); err != nil {
			return err
		}
		if len(packed) > math.MaxUint32 {
			return fmt.Errorf("enrich: part %d: the items have more than 4 GiB of text", s.Part)
		}
		starts[i] = uint32(len(packed))
		packed = appendItem(packed, &s.Items[i], addrs[i])
	}
	for _, n := range s.Networks {
		if _, err := netip.ParsePrefix(n.CIDR); err != nil {
			return fmt.Errorf("enrich: network %q: %w", n.Name, err)
		}
	}
	text := string(packed)
	x.mu.Lock()
	defer x.mu.Unlock()
	p := x.parts[s.Part]
	if p == nil {
		p = x.newPart()
		x.parts[s.Part] = p
	}
	x.replace(p, s.Items, starts, text)
	if !slices.Equal(p.networks, s.Networks) {
		for _, n := range p.networks {
			x.makeZone(n.Zone).dropNetwork(n, s.Part)
		}
		for _, n := range s.Networks {
			x.makeZone(n.Zone).addNetwork(n, s.Part)
		}
		p.networks = s.Networks
	}
	if len(s.Items) == 0 && len(s.Networks) == 0 {
		delete(x.parts, s.Part)
		x.freeTexts = append(x.freeTexts, p.text)
	}
	return nil
}

func (x *Index) newPart() *part {
	if last := len(x.freeTexts) - 1; last >= 0 {
		p := &part{text: x.freeTexts[last]}
		x.freeTexts = x.freeTexts[:last]
		return p
	}
	x.texts = append(x.texts, "")
	return &part{text: int32(len(x.texts) - 1)}
}

// replace puts items in place of those that a part had. Who is found by the
// same keeps his number.
func (x *Index) replace(p *part, items []Item, starts []uint32, text string) {
	old := make(map[string]int32, len(p.items))
	for _, n := range p.items {
		old[x.id(&x.items[n])] = n
	}
	numbers := make([]int32, len(items))
	seen := make(map[string]bool, len(items))
	for i := range items {
		it := &items[i]
		numbers[i] = none
		if n, ok := old[it.ID]; ok && !seen[it.ID] && x.foundAs(n, it, text[starts[i]:]) {
			numbers[i] = n
			delete(old, it.ID)
		}
		seen[it.ID] = true
	}
	for _, n := range old {
		x.drop(n)
	}
	// Events that are on their way keep the texts that they were given alive:
	// where nothing changed in them these stay the same.
	if x.texts[p.text] != text {
		x.texts[p.text] = text
	}
	p.items = p.items[:0:0]
	clear(seen)
	for i := range items {
		it := &items[i]
		if seen[it.ID] {
			continue // an item that is there twice is its first
		}
		seen[it.ID] = true
		r, n := x.record(it, p.text, starts[i]), numbers[i]
		if n != none {
			x.release(&x.items[n])
			x.items[n] = r
		} else {
			n = x.add(r)
		}
		p.items = append(p.items, n)
	}
}

// addrs reads the item's addresses.
func (it *Item) addrs() ([]netip.Addr, error) {
	out := make([]netip.Addr, len(it.Addresses))
	for i, a := range it.Addresses {
		addr, err := netip.ParseAddr(a)
		if err != nil {
			return nil, fmt.Errorf("enrich: item %q: address %q: %w", it.ID, a, err)
		}
		out[i] = addr.WithZone("").Unmap()
	}
	return out, nil
}

// foundAs tells whether an item that is in the index is found by the same as
// another state of it, whose text is given.
func (x *Index) foundAs(n int32, it *Item, text string) bool {
	r := &x.items[n]
	return x.words.list[r.zone] == it.Zone && x.words.list[r.tenant] == it.Tenant && x.words.list[r.class] == it.Class && keys(x.text(r)) == keys(text)
}

// add makes an item be found, and returns its number.
func (x *Index) add(r record) int32 {
	var n int32
	if free := len(x.freeItems); free > 0 {
		n = x.freeItems[free-1]
		x.freeItems = x.freeItems[:free-1]
		x.items[n] = r
	} else {
		n = int32(len(x.items))
		x.items = append(x.items, r)
	}
	text := x.text(&r)
	z := x.makeZone(x.words.list[r.zone])
	for a := range addresses(text) {
		z.set(a, n)
	}
	for _, c := range names(text) {
		x.addName(c, n)
	}
	if tenant := x.words.list[r.tenant]; x.words.list[r.class] == systemClass && tenant != "" {
		x.systems[tenant] = append(x.systems[tenant], n)
	}
	return n
}

// drop makes an item be found no more.
func (x *Index) drop(n int32) {
	r := &x.items[n]
	text := x.text(r)
	z := x.makeZone(x.words.list[r.zone])
	for a := range addresses(text) {
		if z.byAddress(a) == n {
			z.unset(a)
		}
	}
	for _, c := range names(text) {
		x.dropName(c, n)
	}
	if tenant := x.words.list[r.tenant]; x.words.list[r.class] == systemClass {
		if left := slices.DeleteFunc(x.systems[tenant], func(i int32) bool { return i == n }); len(left) > 0 {
			x.systems[tenant] = left
		} else {
			delete(x.systems, tenant)
		}
	}
	x.release(r)
	x.items[n] = record{}
	x.freeItems = append(x.freeItems, n)
}

// systemOf is the business system that stands for a tenant: the one that is
// named after it, else its only one.
func (x *Index) systemOf(tenant string) int32 {
	list := x.systems[tenant]
	for _, n := range list {
		if id := x.id(&x.items[n]); len(id) == len("bs-")+len(tenant) && id[:3] == "bs-" && id[3:] == tenant {
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
