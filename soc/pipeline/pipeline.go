// Package pipeline makes an event of a raw record: it parses, decides whose the
// event is, bounds it to what the lake can hold (never silently: each
// alteration leaves a mark), and enriches it from the CMDB. Which events came
// before is the business of Seen, which tells repeated sender ids.
package pipeline

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"icewatch/soc/enrich"
	"icewatch/soc/event"
	"icewatch/soc/geo"
	"icewatch/soc/intake"
	"icewatch/soc/pipeline/parse"
	"icewatch/soc/pipeline/unread"
	"icewatch/soc/retention"
)

// Marks that the pipeline puts on events, beside those of parse and of the
// collectors.
const (
	MarkTimeClamped   = "time_clamped"    // the time sent is in icewatch.time_original
	MarkNamesOverflow = "fields_overflow" // fields beyond the tenant's limit of names are in icewatch.overflow
	MarkReduced       = "fields_removed"  // the event was too large: only its raw text and marks are left
	MarkUnknownTenant = "unknown_tenant"  // the tenant it was sent for does not exist
)

// Unassigned owns the events of nobody known; only city-level analysts see it.
const Unassigned = "unassigned"

// Directory says by slug where the events of the tenants go in the lake.
type Directory map[string]Place

// Place is where a tenant's events go.
type Place struct {
	Account uint32 `json:"account"` // its id in the lake
	Class   string `json:"class"`   // its retention class
}

// directories are the directory in force and the one before. A tenant that is
// removed while one of its events is on the way still has its place.
type directories struct{ now, before Directory }

// Options tune a Pipeline.
type Options struct {
	Registry *event.Registry
	// Keeping says which retention class an event goes to, and so how far back
	// its time may lie.
	Keeping *retention.Policy
	// Future is how far ahead of its reception an event's time may lie.
	Future time.Duration
	// Relays are the senders whose syslog HOSTNAME names the device; that of
	// any other sender names nothing but itself.
	Relays []netip.Prefix
	// NamesPerTenant bounds the field names a tenant may bring of its own.
	NamesPerTenant int
	// StreamsPerTenant bounds the distinct datasets that open a stream in the lake.
	StreamsPerTenant int
	Parse            parse.Options
}

// Pipeline turns records into events. Fill is for one goroutine; the setters
// may be called by any.
type Pipeline struct {
	opts   Options
	parser *parse.Parser
	index  atomic.Pointer[enrich.Index]
	places atomic.Pointer[geo.Index]
	dir    atomic.Pointer[directories]
	route  func(tenant, class, dataset string) string

	addresses addressNames
	names     map[string]*names            // by tenant: those of its own
	streams   map[string]map[string]string // datasets by tenant, in memory of their own

	altered atomic.Uint64
	unread  unread.Book
}

// New makes a pipeline without tenants and assets: set them before use.
func New(opts Options) *Pipeline {
	if opts.NamesPerTenant <= 0 {
		opts.NamesPerTenant = 1000
	}
	if opts.StreamsPerTenant <= 0 {
		opts.StreamsPerTenant = 1000
	}
	p := &Pipeline{opts: opts, route: opts.Keeping.Router(), parser: parse.New(opts.Registry, opts.Parse),
		addresses: addressNames{}, names: map[string]*names{}, streams: map[string]map[string]string{}}
	p.dir.Store(&directories{})
	return p
}

// SetIndex puts a new enrichment index in force.
func (p *Pipeline) SetIndex(x *enrich.Index) { p.index.Store(x) }

// SetPlaces has events say where in the world their addresses are.
func (p *Pipeline) SetPlaces(x *geo.Index) { p.places.Store(x) }

// Index returns the enrichment index in force, nil before there is one.
func (p *Pipeline) Index() *enrich.Index { return p.index.Load() }

// SetDirectory puts a new directory of tenants in force.
func (p *Pipeline) SetDirectory(d Directory) {
	p.dir.Store(&directories{now: d, before: p.dir.Load().now})
}

// Place returns where the events of a tenant go.
func (p *Pipeline) Place(tenant string) (Place, bool) {
	d := p.dir.Load()
	at, ok := d.now[tenant]
	if !ok {
		at, ok = d.before[tenant]
	}
	return at, ok
}

// Accounts returns the account ids of all tenants.
func (p *Pipeline) Accounts() []uint32 {
	dir := p.dir.Load().now
	ids := make([]uint32, 0, len(dir))
	for _, at := range dir {
		ids = append(ids, at.Account)
	}
	return ids
}

// Altered counts the events that carry a mark.
func (p *Pipeline) Altered() uint64 { return p.altered.Load() }

// Unread counts the lines that no parser could read.
func (p *Pipeline) Unread() *unread.Book { return &p.unread }

// Fill makes ev of rec and tells where it goes. ev points into rec's data and
// is valid for as long as that is.
func (p *Pipeline) Fill(rec *intake.Record, id event.ID, ev *event.Event) Place {
	ev.Reset()
	p.parser.Parse(rec, ev)
	ev.ID = id
	peer := rec.Peer.Unmap().WithZone("")
	relayed := p.isRelay(peer)
	ev.Set(event.Zone, rec.Zone)
	ev.Set(event.Collector, rec.Collector)
	if peer.IsValid() {
		name := p.addresses.name(peer)
		ev.Set(event.Peer, name)
		if !relayed && rec.Format == intake.Syslog {
			// The sender is the device itself, whatever name it gives.
			ev.Set(event.HostIP, name)
		}
	}
	p.own(rec, ev, peer, relayed)
	if p.parser.Unrecognised() {
		p.unread.Add(unread.Source{Tenant: ev.Tenant, Peer: peer, File: ev.Text(event.LogFilePath), Program: ev.Text(event.SyslogAppname)}, ev.Text(event.Message), ev.Created)
	}
	if x := p.index.Load(); rec.Format == intake.Syslog && !relayed && ev.Tenant == Unassigned && (x == nil || !x.Known(rec.Zone, peer)) {
		// Nobody knows who sends this. The name it gives stays in
		// log.syslog.hostname; as the device's name it would let a stranger
		// raise alerts about any host of the city.
		ev.Set(event.HostName, ev.Text(event.Peer))
	}
	to, _ := p.Place(ev.Tenant)
	to.Class = p.route(ev.Tenant, to.Class, ev.Text(event.EventDataset))
	p.clampTime(ev, to.Class)
	p.admitNames(ev)
	if x := p.index.Load(); x != nil {
		x.Apply(ev)
		direct(rec, ev)
	}
	if x := p.places.Load(); x != nil {
		x.Apply(ev)
	}
	if ev.Has(event.Marks) {
		p.altered.Add(1)
	}
	return to
}

func (p *Pipeline) isRelay(peer netip.Addr) bool {
	for _, r := range p.opts.Relays {
		if r.Contains(peer) {
			return true
		}
	}
	return false
}

// own decides whose the event is: by token or listener, else by the sender's
// address or, behind a relay, by the device's name, else nobody's.
func (p *Pipeline) own(rec *intake.Record, ev *event.Event, peer netip.Addr, relayed bool) {
	dir := p.dir.Load().now
	ev.Tenant = rec.Tenant
	sender, host := peer, ""
	switch {
	case rec.Format == intake.Flow:
		sender = p.exporter(ev, peer, relayed)
	case relayed || !peer.IsValid():
		sender, host = netip.Addr{}, ev.Text(event.HostName)
	}
	if ev.Tenant == "" {
		if x := p.index.Load(); x != nil {
			slug, ok := x.Tenant(rec.Zone, sender, host)
			if !ok && rec.Format == intake.Flow {
				slug, ok = flowTenant(x, rec.Zone, sender, ev)
			}
			if ok {
				ev.Tenant = slug
			}
		}
	}
	if ev.Tenant == "" {
		ev.Tenant = Unassigned
	} else if _, ok := dir[ev.Tenant]; !ok {
		ev.Mark(MarkUnknownTenant)
		ev.Tenant = Unassigned
	}
}

// clampTime puts the time of reception in place of a time the lake would drop.
func (p *Pipeline) clampTime(ev *event.Event, class string) {
	c, _ := p.opts.Keeping.Class(class)
	oldest := ev.Created - int64(c.Keep-time.Hour)
	newest := ev.Created + int64(p.opts.Future)
	if ev.Time >= oldest && ev.Time <= newest {
		return
	}
	ev.Set(event.TimeOriginal, ev.Timestamp().Format(time.RFC3339Nano))
	ev.Time = ev.Created
	ev.Mark(MarkTimeClamped)
}

// admitNames keeps a tenant within its number of field names: the lake drops
// rows of a block with too many, so the rest goes into one JSON object.
func (p *Pipeline) admitNames(ev *event.Event) {
	own := p.names[ev.Tenant]
	if !slices.ContainsFunc(ev.Fields, func(f event.Field) bool { return !event.IsKnown(f.ID) && !own.has(f.ID) }) {
		return
	}
	var over map[string]any
	kept := ev.Fields[:0]
	for _, f := range ev.Fields {
		if !event.IsKnown(f.ID) {
			if !own.has(f.ID) {
				if own == nil {
					own = &names{}
					p.names[ev.Tenant] = own
				}
				if own.count >= p.opts.NamesPerTenant {
					if over == nil {
						over = map[string]any{}
					}
					name := p.opts.Registry.Name(f.ID)
					switch old := over[name].(type) {
					case nil:
						over[name] = jsonValue(f)
					case []any:
						over[name] = append(old, jsonValue(f))
					default:
						over[name] = []any{old, jsonValue(f)}
					}
					continue
				}
				own.add(f.ID)
			}
		}
		kept = append(kept, f)
	}
	ev.Fields = kept
	if over == nil {
		return
	}
	if old := ev.Text(event.Overflow); old != "" {
		var m map[string]any
		if json.Unmarshal([]byte(old), &m) == nil {
			for k, v := range m {
				over[k] = v
			}
		}
	}
	b, err := json.Marshal(over)
	if err == nil {
		ev.Set(event.Overflow, string(b))
	}
	ev.Mark(MarkNamesOverflow)
}

// names are the fields of a tenant's own, a bit each: the registry bounds their
// ids. The zero value and nil hold none.
type names struct {
	bits  []uint64
	count int
}

func (n *names) has(id event.FieldID) bool {
	at := uint(id) >> 6
	return n != nil && at < uint(len(n.bits)) && n.bits[at]>>(id&63)&1 != 0
}

// add takes in a field that is not there yet.
func (n *names) add(id event.FieldID) {
	for uint(id)>>6 >= uint(len(n.bits)) {
		n.bits = append(n.bits, 0)
	}
	n.bits[uint(id)>>6] |= 1 << (id & 63)
	n.count++
}

func jsonValue(f event.Field) any {
	switch f.Kind {
	case event.Number:
		if json.Valid([]byte(f.Value)) {
			return json.RawMessage(f.Value)
		}
	case event.Bool:
		return f.Value == "true"
	case event.Null:
		return nil
	}
	return f.Value
}

// Reduce leaves an event only what says where it came from and why it is bare.
func Reduce(ev *event.Event) {
	kept := ev.Fields[:0]
	for _, f := range ev.Fields {
		switch f.ID {
		case event.Marks, event.Aside, event.SenderID, event.Collector, event.Peer, event.Zone, event.HostName, event.EventDataset, event.TimeOriginal:
			kept = append(kept, f)
		}
	}
	ev.Fields = kept
	ev.Mark(MarkReduced)
}

// Windows has hundreds of channels, most of which say little. In a stream of its
// own each they would be blocks of few rows, which cost most to write and merge.
const (
	windowsChannels = "windows."
	windowsStream   = "windows"
)

// Stream returns the dataset under which the event's stream is kept in the
// lake: "" for the datasets of a tenant beyond its limit, so that forged names
// cannot fill the lake's index, and one for all channels of Windows. It may be
// kept longer than the event.
func (p *Pipeline) Stream(ev *event.Event) string {
	dataset := ev.Text(event.EventDataset)
	if strings.HasPrefix(dataset, windowsChannels) {
		dataset = windowsStream
	}
	if dataset == "" || len(dataset) > 255 {
		return ""
	}
	own := p.streams[ev.Tenant]
	if kept, ok := own[dataset]; ok {
		return kept
	}
	if own == nil {
		own = map[string]string{}
		p.streams[ev.Tenant] = own
	}
	if len(own) >= p.opts.StreamsPerTenant {
		return ""
	}
	dataset = strings.Clone(dataset)
	own[dataset] = dataset
	return dataset
}

// addressNames keeps the texts of addresses, which come again and again.
type addressNames map[netip.Addr]string

func (n addressNames) name(a netip.Addr) string {
	s, ok := n[a]
	if !ok {
		if len(n) >= 10_000 {
			clear(n)
		}
		s = a.String()
		n[a] = s
	}
	return s
}
