// Package audit is the suite's memory of who did what: an append-only log in
// SQL whose records are chained by hashes, so that a record changed, removed
// or put in between is found. Secrets never enter it; callers see to that.
package audit

import "time"

// The results a record can have.
const (
	OK     = "ok"     // done
	Failed = "failed" // tried and not done
	Denied = "denied" // refused for lack of a credential or a permission
)

// Record is one line of the log.
type Record struct {
	Seq       int64     `json:"seq"`                  // place in the chain, from 1 without gaps
	Time      time.Time `json:"time"`                 // when it was done, UTC, to the millisecond
	Actor     string    `json:"actor"`                // who; "" for a stranger
	Action    string    `json:"action"`               // what, e.g. "create-user" or "login"
	Object    string    `json:"object"`               // to what
	Result    string    `json:"result"`               // OK, Failed or Denied
	Address   string    `json:"address"`              // from where
	Tenant    string    `json:"tenant,omitempty"`     // whose the object is
	RequestID string    `json:"request_id,omitempty"` // the request that did it
	Detail    string    `json:"detail,omitempty"`     // more, in words
	Hash      string    `json:"hash"`                 // hex SHA-256 over this record and the hash before it
}

// Query selects records, newest first. Empty fields do not select.
type Query struct {
	Start, End time.Time // inclusive, exclusive
	Actor      string
	Action     string
	Object     string // part of the object
	Result     string
	Address    string
	Tenant     string
	Limit      int   // default 50, at most 1000
	Before     int64 // records with a smaller Seq only; 0 for the newest
}

// Page is a part of the log.
type Page struct {
	Items []Record
	Total int
	Next  int64 // Before of the next page; 0 on the last
}
