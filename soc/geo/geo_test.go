package geo

import (
	"encoding/binary"
	"io"
	"log/slog"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"

	"icewatch/soc/event"
)

// encode writes a value as MMDB's data section has it.
func encode(v any) []byte {
	head := func(kind, size int) []byte {
		first, rest := size, []byte(nil)
		switch {
		case size >= 285:
			first, rest = 30, []byte{byte((size - 285) >> 8), byte(size - 285)}
		case size >= 29:
			first, rest = 29, []byte{byte(size - 29)}
		}
		if kind > 7 {
			return append([]byte{byte(first), byte(kind - 7)}, rest...)
		}
		return append([]byte{byte(kind<<5 | first)}, rest...)
	}
	switch x := v.(type) {
	case string:
		return append(head(2, len(x)), x...)
	case float64:
		return binary.BigEndian.AppendUint64(head(3, 8), math.Float64bits(x))
	case uint16:
		return binary.BigEndian.AppendUint16(head(5, 2), x)
	case uint32:
		return binary.BigEndian.AppendUint32(head(6, 4), x)
	case uint64:
		return binary.BigEndian.AppendUint64(head(9, 8), x)
	case []any:
		out := head(11, len(x))
		for _, e := range x {
			out = append(out, encode(e)...)
		}
		return out
	case map[string]any:
		out := head(7, len(x))
		for k, e := range x {
			out = append(append(out, encode(k)...), encode(e)...)
		}
		return out
	}
	panic(v)
}

// database writes an MMDB file with a record for each network.
func database(records map[string]map[string]any) []byte {
	const none = -1
	nodes := [][2]int{{none, none}}
	var data []byte
	for network, record := range records {
		p := netip.MustParsePrefix(network)
		bits, address := p.Bits(), p.Addr().As16()
		if p.Addr().Is4() {
			bits += 96
			clear(address[:12]) // IPv4 stands at ::/96
		}
		at := 0
		for i := range bits {
			side := int(address[i/8]>>(7-i%8)) & 1
			if i == bits-1 {
				nodes[at][side] = -2 - len(data)
				break
			}
			if nodes[at][side] == none {
				nodes = append(nodes, [2]int{none, none})
				nodes[at][side] = len(nodes) - 1
			}
			at = nodes[at][side]
		}
		data = append(data, encode(record)...)
	}
	var out []byte
	for _, n := range nodes {
		for _, v := range n {
			switch {
			case v == none:
				v = len(nodes)
			case v < none:
				v = len(nodes) + 16 + (-2 - v)
			}
			out = binary.BigEndian.AppendUint32(out, uint32(v))
		}
	}
	out = append(append(out, make([]byte, 16)...), data...)
	out = append(out, "\xab\xcd\xefMaxMind.com"...)
	return append(out, encode(map[string]any{"node_count": uint32(len(nodes)), "record_size": uint16(32), "ip_version": uint16(6), "database_type": "Test", "languages": []any{"en"},
		"binary_format_major_version": uint16(2), "binary_format_minor_version": uint16(0), "build_epoch": uint64(1_700_000_000), "description": map[string]any{"en": "test"}})...)
}

func write(t testing.TB, name string, data []byte) string {
	t.Helper()
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

var cities = map[string]map[string]any{
	"203.0.113.0/24": {
		"country":      map[string]any{"iso_code": "RU", "names": map[string]any{"en": "Russia"}},
		"subdivisions": []any{map[string]any{"names": map[string]any{"en": "Moscow Oblast", "zh-CN": "莫斯科州"}}},
		"city":         map[string]any{"names": map[string]any{"en": "Khimki"}},
		"location":     map[string]any{"latitude": 55.9, "longitude": 37.4},
	},
	"198.51.100.0/24": {"country_code": "TW"},
	"2001:db8::/32":   {"country_code": "de", "city": "Bonn", "state1": "NW", "latitude": "50.7", "longitude": "7.1"},
	"192.0.2.0/24":    {"country_code": "nonsense", "city": "bad\x1bname", "latitude": 400.0, "longitude": 1.0},
}

// said is what an event says of places, in the order of its fields.
func said(reg *event.Registry, ev *event.Event) string {
	var out []string
	for _, f := range ev.Fields {
		if name := reg.Name(f.ID); strings.Contains(name, ".geo.") || strings.Contains(name, ".as.") {
			out = append(out, name+"="+f.Value)
		}
	}
	return strings.Join(out, " ")
}

func TestApply(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	places := write(t, filepath.Join(dir, "city.mmdb"), database(cities))
	networks := write(t, filepath.Join(dir, "asn.mmdb"), database(map[string]map[string]any{
		"203.0.113.0/25": {"autonomous_system_number": uint32(64500), "autonomous_system_organization": "Example Net", "country_code": "FR"}}))
	f := func(what string, english bool, fields []event.Field, want string) {
		t.Helper()
		reg := event.NewRegistry(0)
		x, err := Open(Options{Files: []string{places, networks}, English: english, Registry: reg})
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(fields, func(f event.Field) bool { return f.ID == 0 }) {
			id, _ := reg.Intern("source.geo.city_name")
			for i := range fields {
				if fields[i].ID == 0 {
					fields[i].ID = id
				}
			}
		}
		for range 2 { // the second time it is remembered
			ev := &event.Event{Fields: slices.Clone(fields)}
			x.Apply(ev)
			if got := said(reg, ev); got != want {
				t.Errorf("%s: %s, want %s", what, got, want)
			}
		}
	}
	ip := func(id event.FieldID, v string) event.Field { return event.Field{ID: id, Value: v} }
	moscow := "source.geo.country_iso_code=RU source.geo.country_name=俄罗斯 source.geo.region_name=莫斯科州 source.geo.city_name=Khimki source.geo.location=55.9,37.4"
	f("source", false, []event.Field{ip(event.SourceIP, "203.0.113.200")}, moscow)
	f("two databases", false, []event.Field{ip(event.SourceIP, "203.0.113.7")}, moscow+" source.as.number=64500 source.as.organization.name=Example Net")
	f("English", true, []event.Field{ip(event.SourceIP, "::ffff:203.0.113.200")}, strings.NewReplacer("俄罗斯", "Russia", "莫斯科州", "Moscow Oblast").Replace(moscow))
	f("destination", false, []event.Field{ip(event.SourceIP, "10.0.0.1"), ip(event.DestIP, "2001:db8::1")},
		"destination.geo.country_iso_code=DE destination.geo.country_name=德国 destination.geo.region_name=NW destination.geo.city_name=Bonn destination.geo.location=50.7,7.1")
	f("a part of China", false, []event.Field{ip(event.SourceIP, "198.51.100.1")}, "source.geo.country_iso_code=TW source.geo.country_name=中国台湾")
	f("nowhere", false, []event.Field{ip(event.SourceIP, "8.8.8.8"), ip(event.DestIP, "not an address")}, "")
	f("nonsense in the database", false, []event.Field{ip(event.SourceIP, "192.0.2.1")}, "")
	f("one of ours", false, []event.Field{ip(event.SourceIP, "203.0.113.200"), {ID: event.SourceInternal, Value: "true"}}, "")
	f("the event says it", false, []event.Field{ip(event.SourceIP, "203.0.113.200"), {Value: "Elsewhere"}}, "source.geo.city_name=Elsewhere")
}

// TestFiles: a file that is none is refused by name, one that is replaced is
// taken in, and while that one is broken the one before stays in force.
func TestFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for what, name := range map[string]string{"missing": filepath.Join(dir, "none"), "nonsense": write(t, filepath.Join(dir, "bad"), []byte("nonsense"))} {
		if _, err := Open(Options{Files: []string{name}, Registry: event.NewRegistry(0)}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", what, err)
		}
	}
	file := write(t, filepath.Join(dir, "x.mmdb"), database(cities))
	reg := event.NewRegistry(0)
	x, err := Open(Options{Files: []string{file}, Registry: reg, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	code := func() string {
		ev := &event.Event{Fields: []event.Field{{ID: event.SourceIP, Value: "198.51.100.1"}}}
		x.Apply(ev)
		id, _ := reg.Lookup("source.geo.country_iso_code")
		return ev.Text(id)
	}
	step := func(what string, data []byte, changes, fails bool, want string) {
		t.Helper()
		write(t, file, data)
		later := time.Now().Add(time.Duration(len(data)) * time.Second)
		if err := os.Chtimes(file, later, later); err != nil {
			t.Fatal(err)
		}
		if changed, err := x.look(); changed != changes || err != nil != fails {
			t.Errorf("%s: changed %v, %v", what, changed, err)
		}
		if got := code(); got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	if got := code(); got != "TW" {
		t.Error(got)
	}
	step("broken", []byte("half"), false, true, "TW")
	step("replaced", database(map[string]map[string]any{"198.51.100.0/24": {"country_code": "JP"}}), true, false, "JP")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if changed, err := x.look(); changed || err != nil || code() != "JP" {
		t.Errorf("while it is away: %v, %v, %s", changed, err, code())
	}
}

func TestApplyAllocatesNothing(t *testing.T) {
	x, err := Open(Options{Files: []string{write(t, filepath.Join(t.TempDir(), "x.mmdb"), database(cities))}, Registry: event.NewRegistry(0)})
	if err != nil {
		t.Fatal(err)
	}
	ev := &event.Event{Fields: make([]event.Field, 0, 32)}
	n := testing.AllocsPerRun(1000, func() {
		ev.Fields = append(ev.Fields[:0], event.Field{ID: event.SourceIP, Value: "203.0.113.9"}, event.Field{ID: event.DestIP, Value: "2001:db8::2"})
		x.Apply(ev)
	})
	if n > 0 {
		t.Errorf("%v allocations an event", n)
	}
}

// FuzzRecord: no file, whatever is in it, ends the process.
func FuzzRecord(f *testing.F) {
	f.Add(database(cities), []byte{203, 0, 113, 9})
	f.Fuzz(func(t *testing.T, data, address []byte) {
		a, ok := netip.AddrFromSlice(address)
		if !ok || len(data) > 1<<20 {
			return
		}
		x, err := Open(Options{Registry: event.NewRegistry(0)})
		if err != nil {
			t.Fatal(err)
		}
		db, err := maxminddb.OpenBytes(data)
		if err != nil {
			return
		}
		x.now.Store(&readers{list: []*maxminddb.Reader{db}})
		x.Apply(&event.Event{Fields: []event.Field{{ID: event.SourceIP, Value: a.String()}}})
	})
}
