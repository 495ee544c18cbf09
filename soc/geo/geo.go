// Package geo says where in the world the addresses of events are: country,
// region, city and network, from databases in MaxMind's format (MMDB) that the
// operator brings. Nothing is asked over the network.
package geo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/oschwald/maxminddb-golang/v2"
	"golang.org/x/text/language"
	"golang.org/x/text/language/display"

	"icewatch/soc/event"
)

const (
	maxFile  = 1 << 30 // bytes of a database, which is held in memory
	maxPlace = 1 << 16 // addresses whose place is remembered
	maxText  = 200     // bytes of a name
	// every is how often it is looked whether a file is another one.
	every = 30 * time.Second
)

// Options say which databases are asked.
type Options struct {
	// Files are read in this order; one fills in what those before it lack, such as
	// the networks of an ASN database beside the countries of another.
	Files    []string
	English  bool // names are English; Chinese otherwise
	Registry *event.Registry
	Log      *slog.Logger // default slog.Default()
}

// Index places the addresses of events. Apply is for one goroutine; Run may go on
// beside it.
type Index struct {
	opts  Options
	ids   [2]fieldIDs // of the source and of the destination
	now   atomic.Pointer[readers]
	taken *readers // whose places are remembered
	known map[netip.Addr]*place
}

// readers are the databases as they were opened.
type readers struct {
	list   []*maxminddb.Reader
	stamps []stamp
}

type stamp struct {
	size int64
	time time.Time
}

type fieldIDs struct{ ip, code, country, region, city, location, as, organisation event.FieldID }

// place is what the fields of an address say, for the source and for the
// destination. It is shared and not to be changed.
type place [2][]event.Field

// Open opens the databases. One that cannot be read is an error that names it.
func Open(opts Options) (*Index, error) {
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	x := &Index{opts: opts, known: map[netip.Addr]*place{}}
	for i, end := range []string{"source", "destination"} {
		id := func(name string) event.FieldID {
			id, _ := opts.Registry.Intern(end + "." + name) // 0, which no field has, where the registry is full
			return id
		}
		x.ids[i] = fieldIDs{[]event.FieldID{event.SourceIP, event.DestIP}[i], id("geo.country_iso_code"), id("geo.country_name"), id("geo.region_name"), id("geo.city_name"),
			id("geo.location"), id("as.number"), id("as.organization.name")}
	}
	r, err := read(opts.Files)
	if err != nil {
		return nil, err
	}
	x.now.Store(r)
	return x, nil
}

func read(files []string) (*readers, error) {
	r := &readers{}
	for _, file := range files {
		st, err := os.Stat(file)
		if err != nil {
			return nil, fmt.Errorf("geo: %w", err)
		}
		if st.Size() > maxFile {
			return nil, fmt.Errorf("geo: %s has %d bytes: want at most %d", file, st.Size(), int64(maxFile))
		}
		// Whole in memory: a file that is overwritten while it is mapped would end
		// the process.
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("geo: %w", err)
		}
		db, err := maxminddb.OpenBytes(data)
		if err != nil {
			return nil, fmt.Errorf("geo: %s is no MMDB database: %w", file, err)
		}
		r.list, r.stamps = append(r.list, db), append(r.stamps, stamp{st.Size(), st.ModTime()})
	}
	return r, nil
}

// Run takes in files that were replaced until ctx ends. While one cannot be read
// those of before stay in force.
func (x *Index) Run(ctx context.Context) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var told string
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		switch changed, err := x.look(); {
		case err != nil && err.Error() != told:
			told = err.Error()
			x.opts.Log.Warn("geo: a database is not usable; those of before stay in force", "error", err)
		case err == nil && changed:
			told = ""
			x.opts.Log.Info("geo: databases are read anew", "files", x.opts.Files)
		}
	}
}

// look reads the files anew where one is another than it was.
func (x *Index) look() (changed bool, err error) {
	was := x.now.Load()
	for i, file := range x.opts.Files {
		st, err := os.Stat(file)
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil // it is being replaced
		}
		if err != nil {
			return false, fmt.Errorf("geo: %w", err)
		}
		changed = changed || was.stamps[i] != stamp{st.Size(), st.ModTime()}
	}
	if !changed {
		return false, nil
	}
	r, err := read(x.opts.Files)
	if err != nil {
		return false, err
	}
	x.now.Store(r)
	return true, nil
}

// Apply adds to an event where its source and destination are. Addresses that
// are in a known network, or in no public one, are nowhere; what an event says
// itself of an end stays. Of an address that is remembered it allocates nothing
// beyond growing ev.Fields.
func (x *Index) Apply(ev *event.Event) {
	var at [2]netip.Addr
	var said [2]bool
	for i := range ev.Fields {
		f := &ev.Fields[i]
		switch {
		case f.ID == event.SourceIP && !at[0].IsValid():
			at[0], _ = netip.ParseAddr(f.Value)
		case f.ID == event.DestIP && !at[1].IsValid():
			at[1], _ = netip.ParseAddr(f.Value)
		case f.ID == event.SourceInternal:
			said[0] = said[0] || f.Value == "true"
		case f.ID == event.DestInternal:
			said[1] = said[1] || f.Value == "true"
		case f.ID == x.ids[0].code || f.ID == x.ids[0].country || f.ID == x.ids[0].city:
			said[0] = true
		case f.ID == x.ids[1].code || f.ID == x.ids[1].country || f.ID == x.ids[1].city:
			said[1] = true
		}
	}
	for end, a := range at {
		if said[end] || !a.IsValid() {
			continue
		}
		a = a.WithZone("").Unmap()
		if !a.IsGlobalUnicast() || a.IsPrivate() {
			continue
		}
		ev.Fields = append(ev.Fields, x.place(a)[end]...)
	}
}

// place finds where an address is.
func (x *Index) place(a netip.Addr) *place {
	now := x.now.Load()
	if now != x.taken || len(x.known) >= maxPlace {
		clear(x.known)
		x.taken = now
	}
	p, ok := x.known[a]
	if !ok {
		p = x.find(now, a)
		x.known[a] = p
	}
	return p
}

// find asks the databases.
func (x *Index) find(r *readers, a netip.Addr) *place {
	said := map[string]string{}
	for _, db := range r.list {
		var record map[string]any
		if result := db.Lookup(a); !result.Found() || result.Decode(&record) != nil {
			continue // not there, or of a place in the file that is damaged
		}
		for name, value := range x.told(record) {
			if said[name] == "" {
				said[name] = value
			}
		}
	}
	p := &place{}
	for end, ids := range x.ids {
		for _, f := range []struct {
			id   event.FieldID
			name string
			kind event.Kind
		}{{ids.code, "code", event.String}, {ids.country, "country", event.String}, {ids.region, "region", event.String}, {ids.city, "city", event.String}, {ids.location, "location", event.String},
			{ids.as, "as", event.Number}, {ids.organisation, "organisation", event.String}} {
			if said[f.name] != "" && f.id != 0 {
				p[end] = append(p[end], event.Field{ID: f.id, Kind: f.kind, Value: said[f.name]})
			}
		}
	}
	return p
}

// told reads a record as GeoLite2, GeoIP2, DB-IP and the databases of
// ip-location-db have it.
func (x *Index) told(record map[string]any) map[string]string {
	out := map[string]string{}
	code := strings.ToUpper(cmp.Or(text(record, "country", "iso_code"), text(record, "country_code"), text(record, "registered_country", "iso_code")))
	if len(code) == 2 {
		out["code"], out["country"] = code, cmp.Or(x.country(code), x.name(record["country"]))
	}
	if list, _ := record["subdivisions"].([]any); len(list) > 0 {
		out["region"] = x.name(list[0])
	}
	out["region"] = cmp.Or(out["region"], text(record, "state1"), text(record, "region"))
	out["city"] = cmp.Or(x.name(record["city"]), text(record, "city"))
	where, _ := record["location"].(map[string]any)
	if where == nil {
		where = record
	}
	if lat, lon, ok := degrees(where["latitude"], where["longitude"]); ok {
		out["location"] = lat + "," + lon
	}
	for _, key := range []string{"autonomous_system_number", "asn"} {
		if n := number(record[key]); n > 0 && out["as"] == "" {
			out["as"] = strconv.FormatUint(n, 10)
		}
	}
	out["organisation"] = cmp.Or(text(record, "autonomous_system_organization"), text(record, "as_name"))
	maps.DeleteFunc(out, func(_, v string) bool { return v == "" })
	return out
}

// country names a country by its code.
func (x *Index) country(code string) string {
	region, err := language.ParseRegion(code)
	if err != nil || !region.IsCountry() {
		return ""
	}
	if x.opts.English {
		return display.English.Regions().Name(region)
	}
	if name := map[string]string{"HK": "中国香港", "MO": "中国澳门", "TW": "中国台湾"}[code]; name != "" {
		return name
	}
	return display.Chinese.Regions().Name(region)
}

// name is the name of a country, region or city that has several.
func (x *Index) name(v any) string {
	of, _ := v.(map[string]any)
	names, _ := of["names"].(map[string]any)
	languages := []string{"zh-CN", "en"}
	if x.opts.English {
		languages = []string{"en"}
	}
	for _, l := range languages {
		if s := text(names, l); s != "" {
			return s
		}
	}
	return ""
}

// text is a text at the end of keys, without what a field may not hold.
func text(m map[string]any, keys ...string) string {
	for i, k := range keys {
		if i == len(keys)-1 {
			s, _ := m[k].(string)
			if s = strings.TrimSpace(s); len(s) > maxText || !utf8.ValidString(s) || slices.ContainsFunc([]rune(s), func(r rune) bool { return r < ' ' || r == 0x7f }) {
				return ""
			}
			return s
		}
		m, _ = m[k].(map[string]any)
	}
	return ""
}

// number reads a number, which some databases have as a text.
func number(v any) uint64 {
	switch n := v.(type) {
	case uint64:
		return n
	case uint32:
		return uint64(n)
	case uint16:
		return uint64(n)
	case string:
		u, _ := strconv.ParseUint(strings.TrimPrefix(n, "AS"), 10, 32)
		return u
	}
	return 0
}

func degrees(lat, lon any) (string, string, bool) {
	f := func(v any) (float64, bool) {
		switch n := v.(type) {
		case float64:
			return n, true
		case float32:
			return float64(n), true
		case string:
			d, err := strconv.ParseFloat(n, 64)
			return d, err == nil
		}
		return 0, false
	}
	a, ok := f(lat)
	b, both := f(lon)
	if !ok || !both || !(a >= -90 && a <= 90) || !(b >= -180 && b <= 180) {
		return "", "", false
	}
	return strconv.FormatFloat(a, 'f', -1, 64), strconv.FormatFloat(b, 'f', -1, 64), true
}
