// Package flows answers who talks to whom: top talkers, their volumes over
// time, conversations, an asset's communication map and an address's profile.
//
// Counts over a range of time are asked of the lake, in its own language and
// by the ordinary way of searches, so that a reach sees of sums what it sees
// of events. First and last seen come from the ledger of edges (soc/flows/ledger),
// which needs no scan over months.
//
// An address is always one of a network zone: equal addresses of different
// zones are different ends. Bytes and packets are estimates wherever an
// exporter samples: what was counted times the rate of sampling.
package flows

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/logstorage"

	"icewatch/soc/enrich"
	"icewatch/soc/flows/ledger"
	"icewatch/soc/flows/ports"
	"icewatch/soc/reach"
	"icewatch/soc/search"
)

// ErrInvalid says that a question cannot be asked like this; the error that
// wraps it says why.
var ErrInvalid = errors.New("the question about flows is not valid")

// Searcher answers searches; the engine's client does.
type Searcher interface {
	Query(ctx context.Context, req search.Request, emit func(row []byte) error) error
}

// Ledger answers about edges and addresses; the engine's client does.
type Ledger interface {
	Edges(ctx context.Context, q ledger.Query) (edges []ledger.Edge, more bool, err error)
	Places(ctx context.Context, places []ledger.Place) (items []*enrich.Item, internal []bool, err error)
}

// Service answers questions about flows.
type Service struct {
	search Searcher
	ledger Ledger
	now    func() time.Time
}

// New makes a service.
func New(s Searcher, l Ledger) *Service { return &Service{search: s, ledger: l, now: time.Now} }

// Range is what flows a question is about.
type Range struct {
	Reach      reach.Reach
	Start, End time.Time // [Start, End)
	Zone       string    // network zone; "" is all
	Filter     string    // LogsQL without pipes; "" is all
}

// Item is what a Peer is in the CMDB.
type Item struct {
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	Class       string   `json:"class"`
	Tenant      string   `json:"tenant"`
	Criticality int      `json:"criticality"`
	Labels      []string `json:"labels" nullable:"false"`
	System      *System  `json:"system"`
}

// System is the business system of an Item.
type System struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Peer is an end of flows.
type Peer struct {
	Zone     string `json:"zone"`
	Address  string `json:"address"`
	Internal bool   `json:"internal" doc:"The address is the city's"`
	CI       *Item  `json:"ci" doc:"The configuration item at the address; null where there is none within reach"`
}

// Sums are what flows add up to.
type Sums struct {
	Bytes   int64 `json:"bytes" doc:"Counted bytes times the rate of sampling"`
	Packets int64 `json:"packets" doc:"Counted packets times the rate of sampling"`
	Flows   int64 `json:"flows" doc:"Records"`
}

// of returns the sum that a metric names.
func (s *Sums) of(metric string) int64 {
	switch metric {
	case "packets":
		return s.Packets
	case "flows":
		return s.Flows
	}
	return s.Bytes
}

// Metrics are what can be ranked by.
var Metrics = []string{"bytes", "packets", "flows"}

func checkMetric(m string) error {
	for _, known := range Metrics {
		if m == known {
			return nil
		}
	}
	return fmt.Errorf("%w: metric %q is not known; one of %s is expected", ErrInvalid, m, strings.Join(Metrics, ", "))
}

// filter is the LogsQL of a range, without pipes. what narrows it further; it
// is ours and stands in brackets where it must.
func (r *Range) filter(what ...string) (string, error) {
	parts := []string{`"event.dataset":in("flow.netflow","flow.ipfix","flow.sflow","flow.sensor")`}
	if r.Zone != "" {
		parts = append(parts, zoneIs(r.Zone))
	}
	if f := strings.TrimSpace(r.Filter); f != "" && f != "*" {
		parsed, err := logstorage.ParseFilter(f)
		if err != nil {
			return "", fmt.Errorf("%w: query %q is not a filter of LogsQL without pipes: %w", ErrInvalid, f, err)
		}
		parts = append(parts, "("+parsed.String()+")")
	}
	return strings.Join(append(parts, what...), " "), nil
}

func zoneIs(zone string) string {
	if zone == ledger.DefaultZone {
		return `"icewatch.zone":in("default","")` // events of listeners without a zone
	}
	return `"icewatch.zone":=` + strconv.Quote(zone)
}

// row is one row of a query's answer.
type row map[string]string

func (r row) number(name string) int64 {
	f, err := strconv.ParseFloat(r[name], 64)
	if err != nil || math.IsNaN(f) || f < 0 {
		return 0
	}
	if f >= math.MaxInt64 {
		return math.MaxInt64
	}
	if n, err := strconv.ParseInt(r[name], 10, 64); err == nil {
		return n
	}
	return int64(f)
}

func (r row) sums() Sums { return Sums{r.number("bytes"), r.number("packets"), r.number("flows")} }

func (r row) zone() string {
	if z := r["icewatch.zone"]; z != "" {
		return z
	}
	return ledger.DefaultZone
}

func (r row) time(name string) time.Time {
	t, _ := time.Parse(time.RFC3339Nano, r[name])
	return t.UTC()
}

// sumUp are the functions of stats behind Sums.
const sumUp = `sum("icewatch.flow.bytes") bytes, sum("icewatch.flow.packets") packets, count() flows`

// ask runs a query and hands over its rows.
func (s *Service) ask(ctx context.Context, r *Range, query string, limit int, each func(row) error) error {
	return s.search.Query(ctx, search.Request{Reach: r.Reach, Query: query, Start: r.Start, End: r.End, Limit: limit}, func(b []byte) error {
		var m row
		if err := json.Unmarshal(b, &m); err != nil {
			return fmt.Errorf("flows: a row of the lake: %w", err)
		}
		return each(m)
	})
}

// total sums up all flows of a range.
func (s *Service) total(ctx context.Context, r *Range) (t Sums, err error) {
	f, err := r.filter()
	if err != nil {
		return t, err
	}
	err = s.ask(ctx, r, f+" | stats "+sumUp, 1, func(m row) error {
		t = m.sums()
		return nil
	})
	return t, err
}

// Service of a port, as people call it.
type Port struct {
	Port      int    `json:"port" doc:"0 where the protocol has none"`
	Transport string `json:"transport"`
	Name      string `json:"name" doc:"The service's name; empty where the port has none"`
}

func portOf(number int, transport string) Port {
	p := Port{Port: number, Transport: transport}
	if number > 0 && number <= math.MaxUint16 {
		p.Name = ports.Name(uint16(number))
	}
	return p
}

// transports are the names of protocols as the lake's rows have them.
var transports = map[int]string{1: "icmp", 2: "igmp", 6: "tcp", 17: "udp", 47: "gre", 50: "esp", 51: "ah", 58: "ipv6-icmp", 132: "sctp", 136: "udplite"}

func transportOf(protocol int) string {
	if name, ok := transports[protocol]; ok {
		return name
	}
	if protocol < 0 {
		return ""
	}
	return strconv.Itoa(protocol)
}

func protocolOf(transport string) int {
	for number, name := range transports {
		if name == transport {
			return number
		}
	}
	if n, err := strconv.Atoi(transport); err == nil && n >= 0 && n < 256 {
		return n
	}
	return -1
}

// names looks up what peers are. A peer's item is named where it is in reach,
// the city's or everybody's.
func (s *Service) names(ctx context.Context, r reach.Reach, peers []*Peer) error {
	var places []ledger.Place
	at := map[ledger.Place]int{}
	for _, p := range peers {
		place := ledger.Place{Zone: p.Zone, Address: p.Address}
		if _, ok := at[place]; !ok {
			at[place] = len(places)
			places = append(places, place)
		}
	}
	if len(places) == 0 {
		return nil
	}
	items, internal, err := s.ledger.Places(ctx, places)
	if err != nil {
		return err
	}
	for _, p := range peers {
		i := at[ledger.Place{Zone: p.Zone, Address: p.Address}]
		p.Internal = internal[i]
		p.CI = visible(r, items[i])
	}
	return nil
}

func visible(r reach.Reach, it *enrich.Item) *Item {
	if it == nil {
		return nil
	}
	facts := reach.Facts{Tenant: it.Tenant, Unit: it.Unit, Region: it.Region, Industry: it.Industry, Labels: reach.SplitLabels(it.ReachLabels)}
	if it.Tenant != "" && it.Tenant != "city" && !r.Match(facts) {
		return nil
	}
	out := &Item{ID: it.ID, Name: it.Name, Class: it.Class, Tenant: it.Tenant, Criticality: it.Criticality, Labels: it.Labels}
	if out.Labels == nil {
		out.Labels = []string{}
	}
	if it.SystemID != "" {
		out.System = &System{ID: it.SystemID, Name: it.SystemName}
	}
	return out
}

// ParsePlace reads "address" or "zone|address"; zone stands where the text
// names none. ok is false where it is no address.
func ParsePlace(text, zone string) (ledger.Place, bool) {
	if z, rest, found := strings.Cut(text, "|"); found {
		zone, text = z, rest
	}
	addr, err := netip.ParseAddr(strings.TrimSpace(text))
	if err != nil {
		return ledger.Place{}, false
	}
	if zone == "" {
		zone = ledger.DefaultZone
	}
	return ledger.Place{Zone: zone, Address: addr.Unmap().WithZone("").String()}, true
}
