// Package relation draws how entities hang together: who met whom, as flows,
// events, alerts and the CMDB tell it. It drills one step at a time, so that
// an analyst goes as far as the traces go, and it traces by itself: from a
// victim backwards in time along what could have led there, or forwards along
// what could have come of it.
//
// Where edges come from is the business of a Source; soc/relation/sources has
// them. This package merges, filters, ranks and walks what they say and asks
// nothing itself.
package relation

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"icewatch/detections"
)

// ErrInvalid says that a question cannot be asked like this; the error that
// wraps it says why.
var ErrInvalid = errors.New("the question about relations is not valid")

// Type is what an entity is.
type Type string

// The types of entities.
const (
	IP      Type = "ip"      // an address of a network zone: zone|address
	Host    Type = "host"    // a machine by the name it logs under
	User    Type = "user"    // an account
	Process Type = "process" // a program on a machine: host|name
	Domain  Type = "domain"  // a name that was resolved or asked for
	Item    Type = "item"    // a configuration item, by its id
)

// Types are all types.
var Types = []Type{IP, Host, User, Process, Domain, Item}

// DefaultZone is the network zone of an address that names none.
const DefaultZone = "default"

// AnyZone stands for the zone of a public address that is not the city's: it is
// the same machine from whichever network it was met.
const AnyZone = "*"

// maxValue bounds the value of a Ref, in bytes.
const maxValue = 512

// Ref names an entity.
type Ref struct {
	Type  Type
	Value string
}

// ID is the entity's id on a graph: type:value.
func (r Ref) ID() string { return string(r.Type) + ":" + r.Value }

// Place is the zone and the address of an IP.
func (r Ref) Place() (zone, address string) {
	if zone, address, found := strings.Cut(r.Value, "|"); found {
		return zone, address
	}
	return DefaultZone, r.Value
}

// AtPlace makes the Ref of an address in a zone.
func AtPlace(zone, address string) Ref {
	if zone == "" {
		zone = DefaultZone
	}
	return Ref{IP, zone + "|" + address}
}

// ParseRef reads what ID writes. An address is brought into its canonical form;
// one without a zone stays without, which whoever asks must settle.
func ParseRef(id string) (Ref, error) {
	name, value, found := strings.Cut(id, ":")
	r := Ref{Type(name), strings.TrimSpace(value)}
	if r.Type == Domain {
		r.Value = strings.TrimRightFunc(strings.ToLower(r.Value), func(c rune) bool { return c == '.' || unicode.IsSpace(c) })
	}
	switch {
	case !found || !slices.Contains(Types, r.Type):
		return r, fmt.Errorf("%w: %q names no entity; want TYPE:VALUE with a type of %s", ErrInvalid, clip(id), typeNames())
	case r.Value == "":
		return r, fmt.Errorf("%w: %q has no value after the colon", ErrInvalid, clip(id))
	case len(r.Value) > maxValue:
		return r, fmt.Errorf("%w: the value of %q has %d bytes, at most %d", ErrInvalid, clip(id), len(r.Value), maxValue)
	case !utf8.ValidString(value):
		return r, fmt.Errorf("%w: %q is no UTF-8", ErrInvalid, clip(id))
	case strings.ContainsFunc(r.Value, func(c rune) bool { return c < ' ' }):
		return r, fmt.Errorf("%w: %q has control characters", ErrInvalid, clip(id))
	}
	switch r.Type {
	case IP:
		zone, address, zoned := strings.Cut(r.Value, "|")
		if !zoned {
			zone, address = "", r.Value
		}
		addr, err := netip.ParseAddr(strings.TrimSpace(address))
		if err != nil {
			return r, fmt.Errorf("%w: %q is no address; want ip:10.1.2.3 or ip:zone|10.1.2.3", ErrInvalid, clip(id))
		}
		r.Value = addr.Unmap().WithZone("").String()
		if zoned {
			r.Value = cmp.Or(zone, DefaultZone) + "|" + r.Value
		}
	case Process:
		host, name, found := strings.Cut(r.Value, "|")
		if !found || host == "" || name == "" {
			return r, fmt.Errorf("%w: %q names no process; want process:HOST|NAME", ErrInvalid, clip(id))
		}
	}
	return r, nil
}

func clip(s string) string {
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:80], "") + "…"
	}
	return s
}

func typeNames() string {
	names := make([]string, len(Types))
	for i, t := range Types {
		names[i] = string(t)
	}
	return strings.Join(names, ", ")
}

// Kind is what connects two entities.
type Kind string

// The kinds of relations.
const (
	Flow     Kind = "flow"     // a connection that a flow exporter counted, client to server
	Access   Kind = "access"   // a connection that a device logged
	Request  Kind = "request"  // a web request or a look-up of a name
	SignIn   Kind = "signin"   // an account was used
	Started  Kind = "process"  // a program was started
	Alert    Kind = "alert"    // an alert, attacker to victim
	Relation Kind = "relation" // a relation of the CMDB
	Same     Kind = "same"     // two names of one machine
)

// Kinds are all kinds.
var Kinds = []Kind{Flow, Access, Request, SignIn, Started, Alert, Relation, Same}

// AlertRef is an alert behind an edge.
type AlertRef struct {
	ID       string           `json:"id"`
	Title    detections.Text  `json:"title"`
	Severity detections.Level `json:"severity"`
	At       time.Time        `json:"at" doc:"Last seen"`
}

// Edge is what connects two entities, all of one kind and service together.
type Edge struct {
	ID        string     `json:"id"`
	From      string     `json:"from" doc:"Id of a node: who began it"`
	To        string     `json:"to" doc:"Id of a node"`
	Kind      Kind       `json:"kind" enum:"flow,access,request,signin,process,alert,relation,same"`
	Port      int        `json:"port" doc:"0 where there is none"`
	Transport string     `json:"transport"`
	Label     string     `json:"label" doc:"The service, account, parent process or type of relation"`
	Count     int64      `json:"count" doc:"Flows, events or alerts behind it"`
	Bytes     int64      `json:"bytes"`
	FirstSeen time.Time  `json:"first_seen" doc:"Year 1 where time has no part in it, as for relations of the CMDB"`
	LastSeen  time.Time  `json:"last_seen"`
	Outcome   string     `json:"outcome" enum:"success,failure,mixed," doc:"Empty where nothing tells"`
	Abnormal  []string   `json:"abnormal" nullable:"false" doc:"What is unusual about it; see the list of abnormal kinds of access"`
	Phases    []string   `json:"phases" nullable:"false" doc:"Phases of the kill chain, of the alerts between the two"`
	Alerts    []AlertRef `json:"alerts" nullable:"false" doc:"The latest five"`
	Query     string     `json:"query" doc:"LogsQL that finds the events behind it; empty where there are none"`

	// Days is on how many days it was seen, 0 where that is not known;
	// FromInside and ToInside tell whether the ends are the city's addresses.
	Days                 int  `json:"-"`
	FromInside, ToInside bool `json:"-"`
	// Since is from when on FirstSeen would have been noticed: the beginning of
	// the range, or the year 1 for a ledger of all time.
	Since time.Time `json:"-"`
}

// Add puts what another edge of the same id counted to this one.
func (e *Edge) Add(o *Edge) {
	e.Count, e.Bytes, e.Days = e.Count+o.Count, e.Bytes+o.Bytes, max(e.Days, o.Days)
	if o.FirstSeen.Before(e.FirstSeen) {
		e.FirstSeen = o.FirstSeen
	}
	if o.LastSeen.After(e.LastSeen) {
		e.LastSeen = o.LastSeen
	}
	switch {
	case e.Outcome == "":
		e.Outcome = o.Outcome
	case o.Outcome != "" && o.Outcome != e.Outcome:
		e.Outcome = "mixed"
	}
	e.FromInside, e.ToInside = e.FromInside || o.FromInside, e.ToInside || o.ToInside
}

// other is the end of the edge that is not the node.
func (e *Edge) other(node string) string {
	if e.From == node {
		return e.To
	}
	return e.From
}

// Node is an entity on a graph.
type Node struct {
	ID          string `json:"id" doc:"type:value"`
	Type        Type   `json:"type" enum:"ip,host,user,process,domain,item"`
	Value       string `json:"value"`
	Zone        string `json:"zone" doc:"Of an address"`
	Name        string `json:"name" doc:"What people call it"`
	Class       string `json:"class" doc:"Of its configuration item"`
	Item        string `json:"item" doc:"Id of its configuration item, where that is within reach"`
	System      string `json:"system" doc:"Name of its business system"`
	Tenant      string `json:"tenant"`
	Criticality int    `json:"criticality" doc:"0 where it is not known"`
	Internal    bool   `json:"internal" doc:"The address is the city's"`
	Masked      bool   `json:"masked" doc:"Its value is hidden from the caller: it cannot be drilled"`
	More        int    `json:"more" doc:"Of a node that was asked about: neighbours that were left out"`
	AtLeast     bool   `json:"at_least" doc:"There may be more neighbours yet than more says"`
}

// NodeOf makes the node of a Ref that nothing else is known about.
func NodeOf(r Ref) Node {
	n := Node{ID: r.ID(), Type: r.Type, Value: r.Value, Name: r.Value}
	switch r.Type {
	case IP:
		n.Zone, n.Name = r.Place()
		_, err := netip.ParseAddr(n.Name)
		n.Masked = err != nil
	case Process:
		_, n.Name, _ = strings.Cut(r.Value, "|")
	}
	return n
}

// Partial says what a graph lacks, and why.
type Partial struct {
	Source string `json:"source" enum:"flows,events,alerts,cmdb"`
	Reason string `json:"reason"`
}

// Graph is some entities and what connects them.
type Graph struct {
	Nodes   []Node    `json:"nodes" nullable:"false"`
	Edges   []Edge    `json:"edges" nullable:"false"`
	Partial []Partial `json:"partial" nullable:"false" doc:"Sources that could not be asked"`
}
