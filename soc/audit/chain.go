package audit

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"
)

const (
	// maxField bounds each text of a record in bytes.
	maxField = 1000
	// maxChanges bounds the list of changes of a record in bytes.
	maxChanges = 16 << 10
	// chainVersion is how records are hashed now. Version 1 covered the fields
	// up to Detail.
	chainVersion = 2
)

// row is a record as SQL holds it.
type row struct {
	bun.BaseModel `bun:"table:audit_records,alias:a"`

	Seq       int64  `bun:"seq,pk"`
	Version   int64  `bun:"version"`
	Time      int64  `bun:"time"`
	Kind      string `bun:"kind"`
	Actor     string `bun:"actor"`
	Action    string `bun:"action"`
	Object    string `bun:"object"`
	Result    string `bun:"result"`
	Address   string `bun:"address"`
	Tenant    string `bun:"tenant"`
	Unit      string `bun:"unit"`
	RequestID string `bun:"request_id"`
	Session   string `bun:"session"`
	Channel   string `bun:"channel"`
	Client    string `bun:"client"`
	Findings  string `bun:"findings"` // words
	Detail    string `bun:"detail"`
	Changes   string `bun:"changes"`
	Times     int64  `bun:"times"`
	Hash      string `bun:"hash"`
}

func (r *row) record() Record {
	var changes json.RawMessage
	if r.Changes != "" {
		changes = json.RawMessage(r.Changes)
		if !json.Valid(changes) {
			// Somebody wrote to the file. The record must be shown all the same;
			// that its hash does not fit is for Verify to say.
			changes, _ = json.Marshal(r.Changes)
		}
	}
	return Record{
		Seq: r.Seq, Version: r.Version, Time: time.UnixMilli(r.Time).UTC(), Kind: r.Kind, Actor: r.Actor, Action: r.Action,
		Object: r.Object, Result: r.Result, Address: r.Address, Tenant: r.Tenant, Unit: r.Unit, RequestID: r.RequestID,
		Session: r.Session, Channel: r.Channel, Client: r.Client, Findings: strings.Fields(r.Findings), Detail: r.Detail, Changes: changes, Count: r.Times, Hash: r.Hash,
	}
}

// rowOf is the inverse of record: it keeps every field as it is.
func rowOf(rec *Record) row {
	return row{
		Seq: rec.Seq, Version: rec.Version, Time: rec.Time.UnixMilli(), Kind: rec.Kind, Actor: rec.Actor, Action: rec.Action,
		Object: rec.Object, Result: rec.Result, Address: rec.Address, Tenant: rec.Tenant, Unit: rec.Unit, RequestID: rec.RequestID,
		Session: rec.Session, Channel: rec.Channel, Client: rec.Client, Findings: strings.Join(rec.Findings, " "), Detail: rec.Detail, Changes: string(rec.Changes), Times: rec.Count, Hash: rec.Hash,
	}
}

// newRow bounds and cleans the texts of a record that is to be written: it
// must be storable whatever a stranger put into a path or a name.
func newRow(rec Record) row {
	if rec.Time.IsZero() {
		rec.Time = time.Now()
	}
	r := rowOf(&rec)
	r.Version = chainVersion
	for _, s := range []*string{&r.Kind, &r.Actor, &r.Action, &r.Object, &r.Result, &r.Address, &r.Tenant, &r.Unit,
		&r.RequestID, &r.Session, &r.Channel, &r.Client, &r.Findings, &r.Detail} {
		if len(*s) > maxField {
			*s = (*s)[:maxField] + "…"
		}
		*s = strings.ReplaceAll(strings.ToValidUTF8(*s, "\uFFFD"), "\x00", "\uFFFD")
	}
	if r.Changes != "" {
		// Marshalled once more, so that an export repeats it byte for byte.
		b, err := json.Marshal(rec.Changes)
		if err != nil || len(b) > maxChanges {
			b, _ = json.Marshal([]Change{{Field: fmt.Sprintf("(%d bytes of changes, more than a record holds)", len(rec.Changes))}})
		}
		r.Changes = string(b)
	}
	return r
}

// chain returns the record's hash: SHA-256 over the hash before it and every
// field, each text with its length before it so that no two records read
// alike. Numbers are 64 bits, most significant byte first.
func (r *row) chain(previous string) string {
	h := sha256.New()
	var n [8]byte
	num := func(v int64) {
		binary.BigEndian.PutUint64(n[:], uint64(v))
		h.Write(n[:])
	}
	text := func(s string) {
		num(int64(len(s)))
		h.Write([]byte(s))
	}
	text(previous)
	num(r.Seq)
	num(r.Time)
	for _, s := range []string{r.Actor, r.Action, r.Object, r.Result, r.Address, r.Tenant, r.RequestID, r.Detail} {
		text(s)
	}
	if r.Version > 1 {
		num(r.Version)
		for _, s := range []string{r.Kind, r.Unit, r.Session, r.Channel, r.Client, r.Findings, r.Changes} {
			text(s)
		}
		num(r.Times)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// follows says why the record cannot be the one after the record of the given
// place and hash; "" where it can.
func (r *row) follows(seq int64, hash string) string {
	switch {
	case r.Seq > seq+1:
		return "it is missing"
	case r.Seq <= seq:
		return fmt.Sprintf("it stands where record %d is due", seq+1)
	case r.Version < 1 || r.Version > chainVersion:
		return fmt.Sprintf("its version %d is none that this release knows", r.Version)
	case r.Version == 1 && (r.Kind+r.Unit+r.Session+r.Channel+r.Client+r.Findings+r.Changes != "" || r.Times != 0):
		return "it holds what records of version 1 do not have"
	case r.Hash != r.chain(hash):
		return "its hash does not fit its content and its predecessor"
	}
	return ""
}
