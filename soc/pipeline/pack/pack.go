// Package pack recognises lines of log by content, not by code. A pack is a
// folder <vendor>/<product> with pack.yml: the types of log that one product
// writes, how each is recognised, and which fields of the Elastic Common Schema
// its parts are. A line needs no word about which device sent it: the literals
// of all patterns are sought in one pass over the line, and only the patterns
// whose literals are there are tried. docs/parsers.md has the language.
package pack

import (
	"cmp"
	"slices"
	"sync/atomic"

	"icewatch/soc/event"
)

// The classes of products, as SOC-MID-02 of the tender has them.
const (
	Security    = "security"
	Network     = "network"
	Application = "application"
	System      = "os"
)

// Info is what there is to tell of a pack.
type Info struct {
	ID        string    `json:"id" doc:"<vendor>/<product>, as its folder is named."`
	Vendor    string    `json:"vendor"`
	Product   string    `json:"product"`
	Module    string    `json:"module" doc:"event.module of what it recognises."`
	Class     string    `json:"class" enum:"security,network,application,os"`
	Reference string    `json:"reference" doc:"Where the maker describes the format."`
	Source    string    `json:"source" doc:"builtin, or the folder it comes from."`
	Logs      []LogInfo `json:"logs" nullable:"false"`
}

// LogInfo is what there is to tell of a type of log.
type LogInfo struct {
	ID      string `json:"id" doc:"<vendor>/<product>/<name>: icewatch.log_type of what it recognises."`
	Name    string `json:"name"`
	Dataset string `json:"dataset"`
	BuiltIn bool   `json:"built_in" doc:"Read by code: the pack describes and proves it."`
}

// Problem is a pack, or a part of one, that is not in force.
type Problem struct {
	Path   string `json:"path"`
	Line   int    `json:"line,omitempty"`
	Reason string `json:"reason"`
}

// Live is the set in force. It may be swapped while parsers read it.
type Live struct{ atomic.Pointer[Set] }

// Set is a compiled set of packs. It does not change: any number of parsers may
// share it, each with a Match of its own.
type Set struct {
	packs    []Info
	logs     []*Log // by rank: those that are tried first come first
	programs map[string][]*Log
	anchors  *automaton
	members  map[event.FieldID]*member // by the field of the condition that says most
	telling  []uint64                  // the fields of members, a bit each
	datasets map[string]*Log           // what code recognises
	byID     map[string]*Log
}

// Packs lists the packs by id.
func (s *Set) Packs() []Info { return s.packs }

// BuiltIn returns the type of log that code recognises as dataset.
func (s *Set) BuiltIn(dataset string) (*Log, bool) {
	l, ok := s.datasets[dataset]
	return l, ok
}

// Log returns a type of log by its id.
func (s *Set) Log(id string) (*Log, bool) {
	l, ok := s.byID[id]
	return l, ok
}

// Log is one type of log, compiled.
type Log struct {
	LogInfo
	Pack   string // id of the pack
	Module string

	rank     int
	priority int
	head     *opening // of a catalogue, and the log's codes in it
	codes    []string
	risks    []string // that it may be of
	programs []string
	anchors  []string
	readers  []reader
	pairs    *Pairs
	format   string
	when     []condition // on fields
	where    []whereTerm // on captures
	names    []string    // of the captures
	plan     plan
}

// condition is a field, the first of ids that there is, that must have one of
// the values; none: any.
type condition struct {
	ids    []event.FieldID
	values []string
}

// member are the logs that a field shows: by a value of it, or by any.
type member struct {
	any    []*Log
	values map[string][]*Log
}

type whereTerm struct {
	slot   int
	values []string
}

// Pairs say how key-value pairs are set apart in a captured text.
type Pairs struct {
	Separator string // between pairs
	Assign    string // between name and value
	prefix    string // of the names of their fields
	slot      int
}

// Match is what recognising a line found, and scratch memory for it. The zero
// value is ready. It is for one goroutine.
type Match struct {
	Log    *Log
	values [maxCaptures]string
	m      matcher
	tried  []*Log
}

// Text recognises a message, which program wrote where a header says so.
func (s *Set) Text(text, program string, m *Match) bool {
	if program != "" {
		for _, l := range s.programs[program] {
			if l.try(text, m) {
				return true
			}
		}
	}
	m.tried = s.anchors.find(text, m.tried[:0])
	slices.SortFunc(m.tried, func(a, b *Log) int { return cmp.Compare(a.rank, b.rank) })
	var last *Log
	for _, l := range m.tried {
		if l != last && l.try(text, m) {
			return true
		}
		last = l
	}
	return false
}

// try recognises a message as the log or, where the log stands for those of a
// head, as one of them.
func (l *Log) try(text string, m *Match) bool {
	if l.head != nil {
		return l.head.text(text, m)
	}
	return l.text(text, m)
}

// text tries the readers of a log in turn.
func (l *Log) text(text string, m *Match) bool {
	for _, r := range l.readers {
		clear(m.values[:len(l.names)])
		if r.read(text, m) && l.holds(m) {
			m.Log = l
			return true
		}
	}
	return false
}

// Risks are the risks of which events of the log may be: the codes of their
// tiers in the suite's taxonomy, with dots between them.
func (l *Log) Risks() []string { return l.risks }

func (l *Log) holds(m *Match) bool {
	for _, w := range l.where {
		if v := m.values[w.slot]; !(len(w.values) == 0 && v != "") && !slices.Contains(w.values, v) {
			return false
		}
	}
	return true
}

// Members recognises a record by fields that were read from it already.
func (s *Set) Members(format string, fields []event.Field, m *Match) bool {
	var best *Log
	better := func(logs []*Log) {
		for _, l := range logs {
			if (best == nil || l.rank < best.rank) && (l.format == format || l.format == anyFormat) && l.meets(fields) {
				best = l
			}
		}
	}
	for i := range fields {
		id := uint(fields[i].ID)
		if at := id >> 6; at >= uint(len(s.telling)) || s.telling[at]>>(id&63)&1 == 0 {
			continue
		}
		if found := s.members[fields[i].ID]; found != nil {
			better(found.any)
			if found.values != nil {
				better(found.values[fields[i].Value])
			}
		}
	}
	if best == nil {
		return false
	}
	m.Log = best
	return true
}

func (l *Log) meets(fields []event.Field) bool {
	for i := range l.when {
		if !l.when[i].met(fields) {
			return false
		}
	}
	return true
}

func (c *condition) met(fields []event.Field) bool {
	for _, id := range c.ids {
		for i := range fields {
			if fields[i].ID == id && (len(c.values) == 0 || slices.Contains(c.values, fields[i].Value)) {
				return true
			}
		}
	}
	return false
}
