package enrich

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"net/netip"
	"strings"
	"sync"
)

// The tenants whose analysts see the whole city, and whose items everybody may
// know of. They are those of soc/tenancy.
const (
	cityTenant       = "city"
	unassignedTenant = "unassigned"
)

// DefaultZone is what the zone "" means: an event or item that names none.
const DefaultZone = "default"

// RelayLabel marks an item that passes on what others send, such as a syslog
// relay or a load balancer. Its address as a sender says nothing about where an
// event happened.
const RelayLabel = "relay"

// systemClass is the class of business systems in the CMDB.
const systemClass = "business_system"

// none is the number of no item.
const none = int32(-1)

// Index is who stands behind an address or a host name. It is safe for
// concurrent use, and looking up allocates nothing; Update changes it in place.
// An item with an address and two host names needs some 210 bytes; see
// BenchmarkMemory.
type Index struct {
	mu      sync.RWMutex
	items   []record
	texts   []string // of parts: what only their items have, see appendItem
	words   shared[string]
	labels  shared[string] // of items, behind one another; see labelSeparator
	owners  shared[systemRef]
	facts   shared[scopeFacts]
	zones   map[string]*zone
	seed    maphash.Seed
	names   map[uint32]int32 // first entry in entries of the host names of a hash
	entries []nameEntry
	systems map[string][]int32 // the business systems of a tenant
	parts   map[int32]*part
	// Numbers of items, entries and texts to be given again.
	freeItems, freeEntries, freeTexts []int32
}

// part is what came with one Snapshot.
type part struct {
	text     int32   // in Index.texts
	items    []int32 // their numbers
	networks []Network
}

// zone is one network zone. Addresses of different zones have nothing to do
// with each other.
type zone struct {
	addrs4 map[uint32]int32
	addrs6 map[[16]byte]int32
	nets4  []level // longest prefix first
	nets6  []level
}

// level holds the networks of one prefix length.
type level struct {
	bits int
	nets map[netip.Prefix]block
}

// block is what is known of a network.
type block struct {
	tenant string // "" where shared
	name   string
	part   int32 // it came with
}

// nameEntry is one item that goes by a host name; all names of one hash form a
// chain.
type nameEntry struct {
	item  int32
	next  int32
	at    uint32 // of the host name among the item's
	short bool   // the name is the first label of that host name
}

// NewIndex builds the index of one snapshot. An address or network that cannot
// be read, or that two items of one zone share, is an error that names it.
func NewIndex(s Snapshot) (*Index, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	x := EmptyIndex()
	if err := x.Update(s); err != nil {
		return nil, err
	}
	return x, nil
}

// EmptyIndex knows nobody until it is updated.
func EmptyIndex() *Index {
	return &Index{zones: map[string]*zone{}, seed: maphash.MakeSeed(), names: map[uint32]int32{}, systems: map[string][]int32{}, parts: map[int32]*part{}}
}

// check sees that no two items of a snapshot are one asset.
func (s *Snapshot) check() error {
	type asset struct {
		zone string
		addr netip.Addr
	}
	owner := map[asset]string{}
	for i := range s.Items {
		it := &s.Items[i]
		for _, a := range it.Addresses {
			addr, err := netip.ParseAddr(a)
			if err != nil {
				return fmt.Errorf("enrich: item %q: address %q: %w", it.ID, a, err)
			}
			k := asset{zoneName(it.Zone), addr.Unmap()}
			if other, ok := owner[k]; ok && other != it.ID {
				return fmt.Errorf("enrich: address %s in zone %q is of item %q and of item %q", a, it.Zone, other, it.ID)
			}
			owner[k] = it.ID
		}
	}
	type network struct {
		zone   string
		prefix netip.Prefix
	}
	seen := map[network]bool{}
	for _, n := range s.Networks {
		p, err := netip.ParsePrefix(n.CIDR)
		if err != nil {
			return fmt.Errorf("enrich: network %q: %w", n.Name, err)
		}
		k := network{zoneName(n.Zone), p.Masked()}
		if seen[k] {
			return fmt.Errorf("enrich: network %s in zone %q is there twice", k.prefix, n.Zone)
		}
		seen[k] = true
	}
	return nil
}

func zoneName(name string) string {
	if name == "" {
		return DefaultZone
	}
	return name
}

func (x *Index) makeZone(name string) *zone {
	name = zoneName(name)
	z := x.zones[name]
	if z == nil {
		z = &zone{addrs4: map[uint32]int32{}, addrs6: map[[16]byte]int32{}}
		x.zones[name] = z
	}
	return z
}

// nameHash is what host names are kept by.
func (x *Index) nameHash(name string) uint32 { return uint32(maphash.String(x.seed, name)) }

// nameOf is the name of an entry.
func (x *Index) nameOf(e *nameEntry) string {
	name := hostname(x.text(&x.items[e.item]), e.at)
	if e.short {
		name, _, _ = strings.Cut(name, ".")
	}
	return name
}

func (x *Index) addName(c called, item int32) {
	hash := x.nameHash(c.name)
	head, ok := x.names[hash]
	if !ok {
		head = none
	}
	entry := nameEntry{item: item, next: head, at: c.at, short: c.short}
	if n := len(x.freeEntries); n > 0 {
		x.names[hash] = x.freeEntries[n-1]
		x.entries[x.freeEntries[n-1]] = entry
		x.freeEntries = x.freeEntries[:n-1]
		return
	}
	x.entries = append(x.entries, entry)
	x.names[hash] = int32(len(x.entries) - 1)
}

// dropName takes an item off the chain of a name.
func (x *Index) dropName(c called, item int32) {
	hash := x.nameHash(c.name)
	before := none
	for e, ok := x.names[hash]; ok && e != none; before, e = e, x.entries[e].next {
		if n := &x.entries[e]; n.item != item || n.at != c.at || n.short != c.short {
			continue
		}
		switch next := x.entries[e].next; {
		case before != none:
			x.entries[before].next = next
		case next != none:
			x.names[hash] = next
		default:
			delete(x.names, hash)
		}
		x.freeEntries = append(x.freeEntries, e)
		return
	}
}

// Known tells whether a configuration item has the address in the zone.
func (x *Index) Known(zoneName string, addr netip.Addr) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.zoneOf(zoneName).byAddress(addr.WithZone("").Unmap()) != none
}

// At returns the configuration item with the address in the zone, without its
// addresses and host names.
func (x *Index) At(zoneName string, addr netip.Addr) (Item, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	i := x.zoneOf(zoneName).byAddress(addr.WithZone("").Unmap())
	if i == none {
		return Item{}, false
	}
	return x.item(i), true
}

// Place is what is known of an address, as far as a tenant may know of it.
type Place struct {
	Internal bool   // it is the city's
	Zone     string // name of the narrowest network around it, else of the network zone; "" outside of what is ours
	Item     Item   // the item that has it, as At returns it; the zero Item where none does that the tenant may know of
	Tenant   string // whose item it is, else whose network; "" where nobody's or everybody's
}

// Place tells of an address in a network zone to those who see a tenant's events.
func (x *Index) Place(zoneName, tenant string, addr netip.Addr) Place {
	x.mu.RLock()
	defer x.mu.RUnlock()
	z := x.zoneOf(zoneName)
	addr = addr.WithZone("").Unmap()
	at := z.byAddress(addr)
	p := Place{Internal: at != none || isInternal(z, addr)}
	net, bits, ok := z.network(addr)
	switch {
	case ok && bits > 0 && net.name != "":
		p.Zone = net.name
	case p.Internal && zoneName != "":
		p.Zone = zoneName
	case p.Internal:
		p.Zone = DefaultZone
	}
	if at = x.visible(at, tenant); at != none {
		p.Item = x.item(at)
		p.Tenant = p.Item.Tenant
	} else if net.tenant == tenant || tenant == "" || tenant == cityTenant || tenant == unassignedTenant {
		p.Tenant = net.tenant
	}
	return p
}

// Internal tells whether an address is the city's: an item's, or in one of the
// zone's networks or of the ranges that are never routed on the Internet.
func (x *Index) Internal(zoneName string, addr netip.Addr) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	z := x.zoneOf(zoneName)
	addr = addr.WithZone("").Unmap()
	return z.byAddress(addr) != none || isInternal(z, addr)
}

func (x *Index) zoneOf(name string) *zone {
	return x.zones[zoneName(name)]
}

// byAddress returns the item with the address in the zone, or none.
func (z *zone) byAddress(addr netip.Addr) int32 {
	if z == nil || !addr.IsValid() {
		return none
	}
	if addr.Is4() {
		if i, ok := z.addrs4[key4(addr)]; ok {
			return i
		}
	} else if i, ok := z.addrs6[addr.As16()]; ok {
		return i
	}
	return none
}

// key4 is an IPv4 address as a number.
func key4(addr netip.Addr) uint32 {
	b := addr.As4()
	return binary.BigEndian.Uint32(b[:])
}

// set says which item has an address.
func (z *zone) set(addr netip.Addr, item int32) {
	if addr.Is4() {
		z.addrs4[key4(addr)] = item
	} else {
		z.addrs6[addr.As16()] = item
	}
}

// unset says that an address is no item's.
func (z *zone) unset(addr netip.Addr) {
	if addr.Is4() {
		delete(z.addrs4, key4(addr))
	} else {
		delete(z.addrs6, addr.As16())
	}
}

// network finds the narrowest network of the zone that holds addr. bits is its
// prefix length.
func (z *zone) network(addr netip.Addr) (net block, bits int, ok bool) {
	if z == nil || !addr.IsValid() {
		return block{}, 0, false
	}
	levels := z.nets6
	if addr.Is4() {
		levels = z.nets4
	}
	for i := range levels {
		p, err := addr.Prefix(levels[i].bits)
		if err != nil {
			continue
		}
		if net, ok := levels[i].nets[p]; ok {
			return net, levels[i].bits, true
		}
	}
	return block{}, 0, false
}

// byName returns the item that goes by a host name, or none. The name in full
// counts before its first label, and among items of one name those of the
// event's zone and tenant come first. Where two fit equally well, it is none:
// to blame the wrong host is worse than to blame no one. Only items that the
// tenant may know of count.
func (x *Index) byName(name, zoneName, tenant string) int32 {
	name = strings.TrimSuffix(name, ".")
	if name == "" {
		return none
	}
	if looksLikeAddress(name) {
		if addr, err := netip.ParseAddr(name); err == nil {
			return x.visible(x.zoneOf(zoneName).byAddress(addr.WithZone("").Unmap()), tenant)
		}
	}
	var buf [255]byte
	lower, ok := lowerASCII(buf[:0], name)
	if !ok {
		lower = []byte(strings.ToLower(name))
	}
	if i := x.chain(lower, true, zoneName, tenant); i != none {
		return i
	}
	// An item that is known as "web-1" alone is also "web-1.example.org", but
	// one that is known as "web-1.a.org" is not "web-1.b.org".
	for i, c := range lower {
		if c == '.' {
			return x.chain(lower[:i], false, zoneName, tenant)
		}
	}
	return none
}

func (x *Index) chain(name []byte, shortToo bool, zoneName, tenant string) int32 {
	e, ok := x.names[uint32(maphash.Bytes(x.seed, name))]
	if !ok {
		return none
	}
	if zoneName == "" {
		zoneName = DefaultZone
	}
	best, bestScore, tie := none, -1, false
	for ; e != none; e = x.entries[e].next {
		n := &x.entries[e]
		if n.short && !shortToo || x.nameOf(n) != string(name) || x.visible(n.item, tenant) == none {
			continue
		}
		it := &x.items[n.item]
		zone := x.words.list[it.zone]
		score := 0
		if !n.short {
			score = 4
		}
		if zone == zoneName || zone == "" && zoneName == DefaultZone {
			score += 2
		}
		if x.words.list[it.tenant] == tenant {
			score++
		}
		switch {
		case score > bestScore:
			best, bestScore, tie = n.item, score, false
		case score == bestScore:
			tie = true
		}
	}
	if tie {
		return none
	}
	return best
}

// visible returns i where a tenant may know of the item: its own, the city's
// and shared ones. Events of the city, and those nobody owns, are read by
// city-level analysts only, who know of everything.
func (x *Index) visible(i int32, tenant string) int32 {
	if i == none {
		return none
	}
	owner := x.tenantOf(i)
	if owner == tenant || owner == "" || owner == cityTenant ||
		tenant == "" || tenant == cityTenant || tenant == unassignedTenant {
		return i
	}
	return none
}

// tenantOf is whose an item is.
func (x *Index) tenantOf(i int32) string { return x.words.list[x.items[i].tenant] }

// Named tells whether an item that a tenant may see has a host name.
func (x *Index) Named(name, tenant string) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.byName(name, "", tenant) != none
}

// Tenant tells whose an address or host name is: that of the item with (zone,
// address); else that of the item with the host name, where one is given; else
// that of the narrowest network around the address. The address of a relay
// counts after the host name. ok is false where nobody's or everybody's item or
// network is found.
func (x *Index) Tenant(zoneName string, addr netip.Addr, hostname string) (slug string, ok bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	z := x.zoneOf(zoneName)
	addr = addr.WithZone("").Unmap()
	at := z.byAddress(addr)
	if at != none && !x.items[at].relay && x.tenantOf(at) != "" {
		return x.tenantOf(at), true
	}
	if hostname != "" {
		if i := x.byName(hostname, zoneName, ""); i != none && x.tenantOf(i) != "" {
			return x.tenantOf(i), true
		}
	}
	if at != none && x.tenantOf(at) != "" {
		return x.tenantOf(at), true
	}
	net, _, _ := z.network(addr)
	return net.tenant, net.tenant != ""
}

// looksLikeAddress spares host names the cost of a failed parse.
func looksLikeAddress(s string) bool {
	if strings.IndexByte(s, ':') >= 0 {
		return true
	}
	return s[len(s)-1] >= '0' && s[len(s)-1] <= '9' && s[0] >= '0' && s[0] <= '9' && strings.IndexByte(s, '.') > 0
}

// lowerASCII appends s in lower case to buf. ok is false where s does not fit
// or is not ASCII.
func lowerASCII(buf []byte, s string) ([]byte, bool) {
	if len(s) > cap(buf) {
		return nil, false
	}
	for i := range len(s) {
		c := s[i]
		if c >= 0x80 {
			return nil, false
		}
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		buf = append(buf, c)
	}
	return buf, true
}
