// Package audit is the suite's memory of who did what: an append-only log in
// SQL whose records are chained by hashes. The head of the chain is signed with
// every transaction, and checkpoints are signed and kept in a file outside the
// database too, so that a record changed, removed, put in between, cut off at
// the end or hashed anew is found by Verify, here and by anybody who holds an
// export. Secrets never enter it; Diff sees to that for changes, callers for
// the rest.
package audit

import (
	"encoding/json"
	"time"
)

// The results a record can have.
const (
	OK     = "ok"     // done
	Failed = "failed" // tried and not done
	Denied = "denied" // refused for lack of a credential or a permission
)

// The kinds of record.
const (
	KindSignIn  = "sign-in"
	KindSignOut = "sign-out"
	KindChange  = "change"
	KindRead    = "read"   // of sensitive data
	KindAccess  = "access" // a request that got no further than the gate
	KindSystem  = "system" // the suite's own doing, e.g. retention
)

// Record is one line of the log.
type Record struct {
	Seq       int64           `json:"seq"`                                                                    // place in the chain, from 1 without gaps
	Version   int64           `json:"version" doc:"Of the hash: says which fields it covers"`                 //
	Time      time.Time       `json:"time"`                                                                   // when it was done, UTC, to the millisecond
	Kind      string          `json:"kind,omitempty" doc:"sign-in, sign-out, change, read, access or system"` //
	Actor     string          `json:"actor"`                                                                  // who; "" for a stranger
	Action    string          `json:"action"`                                                                 // what: the operation's id, e.g. "create-user"
	Object    string          `json:"object"`                                                                 // to what
	Result    string          `json:"result" doc:"ok, failed or denied"`                                      //
	Address   string          `json:"address"`                                                                // from where
	Tenant    string          `json:"tenant,omitempty"`                                                       // whose the object is
	Unit      string          `json:"unit,omitempty"`                                                         // the actor's organisation
	RequestID string          `json:"request_id,omitempty"`                                                   // the request that did it
	Session   string          `json:"session_id,omitempty"`                                                   // the session it was done in
	Channel   string          `json:"channel,omitempty" doc:"How the actor proved who it is, e.g. password"`  //
	Client    string          `json:"client,omitempty" doc:"The client's User-Agent"`                         //
	Findings  []string        `json:"findings,omitempty" doc:"What was unusual about a sign-in, e.g. new_device"`
	Detail    string          `json:"detail,omitempty"`                                                              // more, in words
	Changes   json.RawMessage `json:"changes,omitempty" doc:"List of {field, before, after}; secrets are not in it"` //
	Count     int64           `json:"count,omitempty" doc:"How often it came, where repetitions were merged"`        //
	Hash      string          `json:"hash"`                                                                          // hex SHA-256 over this record and the hash before it
}

// Query selects records. Empty fields do not select.
type Query struct {
	Start, End time.Time // inclusive, exclusive
	Kind       string
	Actor      string
	Action     string
	Object     string // part of the object
	Result     string
	Address    string
	Tenant     string
	Channel    string
	Session    string
	Text       string // words, each of which stands in some field
	Limit      int    // default 50, at most 1000
	Before     int64  // records with a smaller Seq only; 0 for the newest
}

// Page is a part of the log, newest first.
type Page struct {
	Items []Record
	Total int
	Next  int64 // Before of the next page; 0 on the last
}
