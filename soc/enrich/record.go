package enrich

import (
	"encoding/binary"
	"iter"
	"net/netip"
	"slices"
	"strings"
)

// labelSeparator stands between the labels of an item where they are one text.
const labelSeparator = "\x00"

// record is an item in 44 bytes that hold no pointers, so that a million of
// them cost the garbage collector nothing. What only the item has, its id, name,
// host names and addresses, is in the text of its part; what it has in common
// with others is a number.
type record struct {
	part                       int32  // in Index.texts
	start                      uint32 // of the item there
	class, tenant, zone, owner uint32 // in Index.words
	labels                     uint32 // in Index.labels
	system                     uint32 // in Index.owners
	facts                      uint32 // in Index.facts
	criticality                int32
	relay                      bool // carries RelayLabel
}

// systemRef is a business system.
type systemRef struct{ id, name string }

// scopeFacts are what data scopes see of an item.
type scopeFacts struct{ unit, region, industry, labels string }

// appendItem appends what only the item has: its id and name, its host names in
// lower case, its addresses as bytes, each list behind its length and each text
// behind its own.
func appendItem(b []byte, it *Item, addrs []netip.Addr) []byte {
	field := func(s string) {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	field(it.ID)
	field(it.Name)
	b = binary.AppendUvarint(b, uint64(len(it.Hostnames)))
	for _, h := range it.Hostnames {
		field(strings.ToLower(strings.TrimSuffix(h, ".")))
	}
	b = binary.AppendUvarint(b, uint64(len(addrs)))
	for _, a := range addrs {
		b = binary.AppendUvarint(b, uint64(a.BitLen()/8))
		b = append(b, a.AsSlice()...)
	}
	return b
}

// number reads a number and returns what is behind it.
func number(s string) (n int, rest string) {
	var v uint64
	for i, shift := 0, 0; i < len(s); i, shift = i+1, shift+7 {
		v |= uint64(s[i]&0x7f) << shift
		if s[i] < 0x80 {
			return int(v), s[i+1:]
		}
	}
	return 0, ""
}

// field reads a text and returns what is behind it.
func field(s string) (text, rest string) {
	n, rest := number(s)
	return rest[:n], rest[n:]
}

// text is the record's own: its id and all behind it.
func (x *Index) text(r *record) string { return x.texts[r.part][r.start:] }

func (x *Index) id(r *record) string {
	id, _ := field(x.text(r))
	return id
}

func (x *Index) idAndName(r *record) (id, name string) {
	id, rest := field(x.text(r))
	name, _ = field(rest)
	return id, name
}

// keys is the part of an item's text that it is found by: host names and
// addresses.
func keys(text string) string {
	_, text = field(text)
	_, text = field(text)
	rest := text
	for range 2 {
		var n int
		for n, rest = number(rest); n > 0; n-- {
			_, rest = field(rest)
		}
	}
	return text[:len(text)-len(rest)]
}

// hostname is one of an item's host names.
func hostname(text string, at uint32) string {
	_, text = field(text)
	_, text = field(text)
	_, text = number(text)
	for ; at > 0; at-- {
		_, text = field(text)
	}
	name, _ := field(text)
	return name
}

// addresses are an item's.
func addresses(text string) iter.Seq[netip.Addr] {
	return func(yield func(netip.Addr) bool) {
		_, text := field(text)
		_, text = field(text)
		n, text := number(text)
		for ; n > 0; n-- {
			_, text = field(text)
		}
		for n, text = number(text); n > 0; n-- {
			var a string
			a, text = field(text)
			addr, _ := netip.AddrFromSlice([]byte(a)) // it is 4 or 16 bytes
			if !yield(addr) {
				return
			}
		}
	}
}

// called is a name that an item goes by: one of its host names, or the first
// label of a longer one, which no whole name of its is.
type called struct {
	name  string
	at    uint32 // of the host name
	short bool
}

// names are all names that an item goes by, each once.
func names(text string) []called {
	_, text = field(text)
	_, text = field(text)
	n, text := number(text)
	out := make([]called, 0, 2*n)
	add := func(c called) {
		if c.name != "" && !slices.ContainsFunc(out, func(o called) bool { return o.name == c.name }) {
			out = append(out, c)
		}
	}
	whole := text
	for at := range n {
		var h string
		h, whole = field(whole)
		add(called{h, uint32(at), false})
	}
	for at := range n {
		var h string
		h, text = field(text)
		if short, _, longer := strings.Cut(h, "."); longer {
			add(called{short, uint32(at), true})
		}
	}
	return out
}

// item is an item without its addresses and host names.
func (x *Index) item(n int32) Item {
	r := &x.items[n]
	id, name := x.idAndName(r)
	system, facts := x.owners.list[r.system], x.facts.list[r.facts]
	return Item{
		ID: id, Name: name, Class: x.words.list[r.class], Tenant: x.words.list[r.tenant], Zone: x.words.list[r.zone],
		Criticality: int(r.criticality), Owner: x.words.list[r.owner], Labels: x.labelsOf(r),
		SystemID: system.id, SystemName: system.name,
		Unit: facts.unit, Region: facts.region, Industry: facts.industry, ReachLabels: facts.labels,
	}
}

func (x *Index) labelsOf(r *record) []string {
	if text := x.labels.list[r.labels]; text != "" {
		return strings.Split(text, labelSeparator)
	}
	return nil
}

// record makes an item's record: start is where its text is in that of its part.
func (x *Index) record(it *Item, part int32, start uint32) record {
	return record{
		part: part, start: start, criticality: int32(it.Criticality), relay: slices.Contains(it.Labels, RelayLabel),
		class: x.words.take(it.Class), tenant: x.words.take(it.Tenant), zone: x.words.take(it.Zone), owner: x.words.take(it.Owner),
		labels: x.labels.take(strings.Join(it.Labels, labelSeparator)),
		system: x.owners.take(systemRef{it.SystemID, it.SystemName}),
		facts:  x.facts.take(scopeFacts{it.Unit, it.Region, it.Industry, it.ReachLabels}),
	}
}

// release gives back what a record has in common with others.
func (x *Index) release(r *record) {
	for _, n := range []uint32{r.class, r.tenant, r.zone, r.owner} {
		x.words.give(n)
	}
	x.labels.give(r.labels)
	x.owners.give(r.system)
	x.facts.give(r.facts)
}
