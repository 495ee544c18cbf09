// Package policy asks the Rego policies of the rule repository what code must
// not decide: how urgent a group of alerts is, who is to be told of it, and
// whether alerts make an incident. It runs on alerts only, never on raw events,
// with queries prepared once. The package holds no policy of its own: the
// built-in ones are content under rules/policy.
//
// Policies come as plain Rego files or as OPA's bundles, which may be signed;
// Shelf says which of them are in force when some are broken.
package policy

import (
	"time"

	"icewatch/detections"
)

// File is one Rego module, or one of OPA's bundles (*.tar.gz). All modules of a
// package come from one source: the last in the list that has it, so that a
// user's folder replaces a built-in policy as a whole.
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
	Kept   bool   `json:"kept" doc:"The last good state of the file is in force in its place"`
}

// Item is what a policy sees of a configuration item.
type Item struct {
	ID          string   `json:"id,omitempty"`
	Name        string   `json:"name,omitempty"`
	Class       string   `json:"class,omitempty"`
	Criticality int      `json:"criticality"` // 1 (least) to 5; 0 where it is not known
	System      string   `json:"system,omitempty"`
	Zone        string   `json:"zone"` // network zone; empty is the suite's default one
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

// Intelligence is what threat intelligence says of an indicator in the events
// behind an alert, in the words of ECS's threat.indicator.*; empty where there
// is nothing.
type Intelligence struct {
	Indicator  string `json:"indicator"`
	Type       string `json:"type"`       // ipv4-addr, domain-name, file, …
	Confidence string `json:"confidence"` // None, Low, Medium, High; or Not Specified
	Provider   string `json:"provider"`
}

// Window is a maintenance window that an alert falls into.
type Window struct {
	ID    string    `json:"id"`
	Name  string    `json:"name"`
	Until time.Time `json:"until"`
}

// Alert is what a policy sees of an alert: the whole group that its firings
// were merged into.
type Alert struct {
	ID           string            `json:"id,omitempty"`
	Tenant       string            `json:"tenant"`
	Rule         Rule              `json:"rule"`
	Item         Item              `json:"item"`
	Actor        Actor             `json:"actor"`
	Verdict      string            `json:"verdict"`   // attempt, failed, success or compromised
	Phase        string            `json:"phase"`     // of the kill chain
	Direction    string            `json:"direction"` // inbound, outbound, lateral, …
	Intelligence Intelligence      `json:"intelligence"`
	Maintenance  []Window          `json:"maintenance"`        // the windows in force at its last event
	Priority     string            `json:"priority,omitempty"` // P1 to P4; empty before the priority policy ran
	Status       string            `json:"status,omitempty"`   // open, acknowledged or closed
	First        time.Time         `json:"first"`
	Last         time.Time         `json:"last"`
	Count        int               `json:"count"` // events
	Fields       map[string]string `json:"fields,omitempty"`

	frozen *frozen // see Freeze; nil where nothing is
}

// Judgement is the priority policy's answer.
type Judgement struct {
	Priority string            `json:"priority"`          // P1 (most urgent) to P4
	Verdict  string            `json:"verdict,omitempty"` // overrides the detection's; empty where it stands
	Labels   map[string]string `json:"labels,omitempty"`  // for routing: silences, receivers and Alertmanager's clients match on them
	Muted    bool              `json:"muted,omitempty"`   // nobody is told of the alert
	Reasons  []detections.Text `json:"reasons"`
}

// IncidentInput asks whether an alert makes an incident. Related are the
// other alerts, not closed, on the same configuration item or by the same
// actor within the window that ticketing looks back.
//
// A policy also finds input.story: what the alert and its related ones that are
// not closed show together, so that it can answer most questions without going
// through them (see story).
type IncidentInput struct {
	Alert   Alert    `json:"alert"`
	Related []*Alert `json:"related"`
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
