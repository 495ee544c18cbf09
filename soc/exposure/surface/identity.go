package surface

import (
	"context"
	"slices"
	"strings"

	"icewatch/cmdb"
	"icewatch/collectors/scanner/wire"
	"icewatch/soc/reach"
)

// The marks by which a host is told from others, the stronger first. A serial number is
// the hardware's, a machine id the installation's, an engine id the SNMP agent's; a
// network card's address and a name say less: cards are moved, names are given twice.
const (
	markSerial  = "serial_number"
	markMachine = "machine_id"
	markEngine  = "snmp_engine"
	markMAC     = "mac"
	markName    = "hostname"
)

var strong = []string{markSerial, markMachine, markEngine}

// maxShared is how many items have the same network card's address until it is taken for
// that of a router that answers for others.
const maxShared = 4

// marks are what an item or a host is told by.
type marks struct {
	serial, machine, engine string
	macs, names             []string
}

// placeholders are serial numbers that makers leave in.
var placeholders = []string{"none", "0", "n/a", "not specified", "not available", "not applicable", "to be filled by o.e.m.", "to be filled by oem", "system serial number", "chassis serial number",
	"default string", "default", "0123456789", "123456789", "1234567890", "unknown", "invalid", "empty", "oem", "serial"}

// serialOf is a serial number that tells a host from others, empty of one that does not.
func serialOf(text string) string {
	text = strings.ToLower(strings.TrimSpace(text))
	if len(text) < 4 || slices.Contains(placeholders, text) || strings.Trim(text, text[:1]) == "" || strings.Trim(text, "0x -.") == "" {
		return ""
	}
	return text
}

// macOf is the address of a network card that is one host's: not those of groups of
// routers (VRRP, HSRP, GLBP) and not those that software makes up.
func macOf(text string) string {
	text = strings.ToLower(strings.TrimSpace(text))
	if len(text) != 17 || strings.Trim(text, "0:") == "" || text == "ff:ff:ff:ff:ff:ff" {
		return ""
	}
	for _, p := range []string{"00:00:5e:00:", "00:00:0c:07:ac", "00:00:0c:9f:f", "00:07:b4:00:", "00:05:73:a0:", "02:42:"} {
		if strings.HasPrefix(text, p) {
			return ""
		}
	}
	return text
}

func (m *marks) add(serial, machine, engine, mac string, names []string) {
	set := func(to *string, v string) {
		if *to == "" {
			*to = v
		}
	}
	set(&m.serial, serialOf(serial))
	if v := strings.ToLower(strings.TrimSpace(machine)); len(v) == 64 && strings.Trim(v, "0") != "" {
		set(&m.machine, v)
	}
	if v := strings.ToLower(strings.TrimSpace(engine)); len(v) >= 10 {
		set(&m.engine, v)
	}
	for v := range strings.FieldsFuncSeq(mac, func(r rune) bool { return r == ';' || r == ',' || r == ' ' }) {
		if v = macOf(v); v != "" && !slices.Contains(m.macs, v) && len(m.macs) < 64 {
			m.macs = append(m.macs, v)
		}
	}
	for _, n := range names {
		if n = strings.ToLower(n); n != "" && n != "localhost" && n != "localhost.localdomain" && !slices.Contains(m.names, n) && len(m.names) < 64 {
			m.names = append(m.names, n)
		}
	}
}

func (m *marks) addItem(it *cmdb.Item) {
	a := it.Attributes
	m.add(a["serial_number"], a["machine_id"], a["snmp_engine"], a["mac"]+";"+a["macs"], append([]string{it.Name}, it.Hostnames...))
}

func (m *marks) addHost(h *kept) {
	m.add(h.Attributes["serial"], h.Attributes[wire.AttributeMachine], h.Attributes[wire.AttributeEngine], h.MAC+";"+h.Attributes[wire.AttributeMACs], h.Names)
}

// each calls fn with what an index finds a host by.
func (m *marks) each(fn func(mark, value string)) {
	for _, x := range [][2]string{{markSerial, m.serial}, {markMachine, m.machine}, {markEngine, m.engine}} {
		if x[1] != "" {
			fn(x[0], x[1])
		}
	}
	for _, v := range m.macs {
		fn(markMAC, v)
	}
}

// agree tells by which marks two are one host, and whether that is certain: two of them,
// one of them strong, and nothing speaks against it. They are none where their serial
// numbers differ, or where no more than a name is the same.
func agree(a, b *marks) (by []string, certain bool) {
	if a.serial != "" && b.serial != "" && a.serial != b.serial {
		return nil, false
	}
	against := a.machine != "" && b.machine != "" && a.machine != b.machine || a.engine != "" && b.engine != "" && a.engine != b.engine
	for _, x := range []struct{ mark, a, b string }{{markSerial, a.serial, b.serial}, {markMachine, a.machine, b.machine}, {markEngine, a.engine, b.engine}} {
		if x.a != "" && x.a == x.b {
			by = append(by, x.mark)
		}
	}
	n := len(by)
	both := func(x, y []string) bool {
		return slices.ContainsFunc(x, func(v string) bool { return slices.Contains(y, v) })
	}
	if both(a.macs, b.macs) {
		by = append(by, markMAC)
	}
	if len(by) == 0 || against && n == 0 {
		return nil, false
	}
	if both(a.names, b.names) {
		by = append(by, markName)
	}
	return by, n > 0 && len(by) > 1 && !against
}

// directory finds the items of a tenant's zone by their marks.
type directory struct {
	items map[string]*cmdb.Item
	marks map[string]*marks
	by    map[string][]string // mark and value → ids
}

// maxDirectory bounds the items that are compared.
const maxDirectory = 50_000

// directory reads the items of the run's tenant in its zone, with what discoveries saw
// of them.
func (r *reconciling) directory(ctx context.Context) (*directory, error) {
	d := &directory{items: map[string]*cmdb.Item{}, marks: map[string]*marks{}, by: map[string][]string{}}
	f := cmdb.Filter{Tenants: []string{r.run.Tenant}, Zone: r.run.Zone, Limit: 1000}
	for {
		page, err := r.s.Items.Items(ctx, reach.Tenants(r.run.Tenant), f)
		if err != nil {
			return nil, err
		}
		for i := range page.Items {
			if it := &page.Items[i]; it.Class != cmdb.Network {
				d.items[it.ID], d.marks[it.ID] = it, &marks{}
				d.marks[it.ID].addItem(it)
			}
		}
		if f.Cursor = page.Next; f.Cursor == "" || len(d.items) >= maxDirectory {
			break
		}
	}
	for _, o := range r.had {
		if m := d.marks[o.Item]; m != nil && r.answered[o.Address] == nil {
			m.addHost(o)
		}
	}
	for _, h := range r.hosts {
		if m := d.marks[h.Item]; m != nil {
			m.addHost(h)
		}
	}
	d.index()
	return d, nil
}

func (d *directory) index() {
	for id, m := range d.marks {
		m.each(func(mark, value string) {
			d.by[mark+"\x00"+value] = append(d.by[mark+"\x00"+value], id)
		})
	}
}

// near are the ids of items that share a mark with a host, without those that a router
// answers for.
func (d *directory) near(m *marks) []string {
	var out []string
	m.each(func(mark, value string) {
		if ids := d.by[mark+"\x00"+value]; mark != markMAC || len(ids) <= maxShared {
			out = append(out, ids...)
		}
	})
	slices.Sort(out)
	return slices.Compact(out)
}

// same is the one item that a host is certainly, empty where there is none or more.
func (d *directory) same(h *kept) string {
	m := &marks{}
	m.addHost(h)
	found := ""
	for _, id := range d.near(m) {
		if _, certain := agree(m, d.marks[id]); certain {
			if found != "" {
				return ""
			}
			found = id
		}
	}
	return found
}
