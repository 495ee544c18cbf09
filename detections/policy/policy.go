// Package policy asks the Rego policies of the rule repository what code must
// not decide: how urgent an alert is, and whether alerts make an incident.
// It runs on candidate alerts only, never on raw events, with queries
// prepared once. The package holds no policy of its own: the built-in ones
// are content under rules/policy.
package policy

import (
	"time"

	"icewatch/detections"
)

// File is one Rego module. All modules of a package come from one source: the
// last in the list that has it, so that a user's folder replaces a built-in
// policy as a whole.
type File struct {
	Source string `json:"source"` // the rule folder it comes from
	Path   string `json:"path"`
	Data   []byte `json:"data"`
}

// Problem names a policy that is not in force, and why.
type Problem struct {
	Path   string `json:"path"`
	Line   int    `json:"line,omitempty"`
	Reason string `json:"reason"`
}

// Item is what a policy sees of a configuration item.
type Item struct {
	ID          string   `json:"id,omitempty"`
	Name        string   `json:"name,omitempty"`
	Class       string   `json:"class,omitempty"`
	Criticality int      `json:"criticality,omitempty"` // 1 (least) to 5; 0 where it is not known
	System      string   `json:"system,omitempty"`
	Labels      []string `json:"labels"`
}

// Actor is what a policy sees of whoever caused an alert.
type Actor struct {
	IP       string   `json:"ip,omitempty"`
	User     string   `json:"user,omitempty"`
	Item     string   `json:"item,omitempty"` // configuration item behind the address
	Internal bool     `json:"internal"`
	Labels   []string `json:"labels"`
}

// Rule is what a policy sees of the rule behind an alert.
type Rule struct {
	ID         string           `json:"id"`
	Level      detections.Level `json:"level"`
	Kind       string           `json:"kind"`
	Tactics    []string         `json:"tactics"`
	Techniques []string         `json:"techniques"`
	Tags       []string         `json:"tags"`
}

// Alert is what a policy sees of an alert. The priority policy gets it without
// ID, First, Last, Count and Fields, so that its answers can be cached.
type Alert struct {
	ID       string            `json:"id,omitempty"`
	Tenant   string            `json:"tenant"`
	Rule     Rule              `json:"rule"`
	Item     Item              `json:"item"`
	Actor    Actor             `json:"actor"`
	Priority string            `json:"priority,omitempty"` // P1 to P4; empty before the priority policy ran
	Status   string            `json:"status,omitempty"`   // open, acknowledged or closed
	First    time.Time         `json:"first"`
	Last     time.Time         `json:"last"`
	Count    int               `json:"count"`
	Fields   map[string]string `json:"fields,omitempty"`
}

// IncidentInput asks whether an alert makes an incident. Related are the
// other alerts, not closed, on the same configuration item or by the same
// actor within the window that ticketing looks back.
type IncidentInput struct {
	Alert   Alert   `json:"alert"`
	Related []Alert `json:"related"`
}

// Decision is the incident policy's answer. Open: this alert with its
// relations opens an incident where there is none yet. Join: where one is
// open on the same configuration item, the alert belongs to it. Severity and
// Priority are the least that the incident has where Open holds: together
// alerts may mean more than each of them. Empty, they follow the alerts.
type Decision struct {
	Open     bool              `json:"open"`
	Join     bool              `json:"join"`
	Severity detections.Level  `json:"severity"`
	Priority string            `json:"priority"`
	Reasons  []detections.Text `json:"reasons"`
}
