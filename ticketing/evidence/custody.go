package evidence

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/uptrace/bun"

	"icewatch/detections"
)

// What is done to evidence.
const (
	ActionAdded     = "added"
	ActionRead      = "read" // its content was handed out
	ActionWithdrawn = "withdrawn"
	ActionRestored  = "restored"
	ActionSealed    = "sealed" // it left in an archive
)

// Entry is one thing done to the evidence of an incident. Each holds the hash
// of the one before, so that none can be changed or taken out unnoticed.
type Entry struct {
	bun.BaseModel `bun:"table:evidence_custody,alias:c" json:"-"`
	Incident      string `bun:"incident,pk" json:"incident"`
	N             int64  `bun:"n,pk" json:"n"`
	At            int64  `bun:"at" json:"at" doc:"Unix milliseconds"`
	Actor         string `bun:"actor" json:"actor"`
	Action        string `bun:"action" json:"action" enum:"added,read,withdrawn,restored,sealed"`
	Item          string `bun:"item" json:"item,omitempty"`
	SHA256        string `bun:"sha256" json:"sha256,omitempty" doc:"Of the content"`
	Detail        string `bun:"detail" json:"detail,omitempty"`
	Prev          string `bun:"prev" json:"prev,omitempty"`
	Hash          string `bun:"hash" json:"hash"`
}

// digest is the entry's hash: SHA-256 over its fields as lines, with the
// lengths of those that people write before them.
func (e *Entry) digest() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "icewatch custody 1\n%d %s\n%d\n%d\n%d %s\n%s\n%s\n%s\n%d %s\n%s\n",
		len(e.Incident), e.Incident, e.N, e.At, len(e.Actor), e.Actor, e.Action, e.Item, e.SHA256, len(e.Detail), e.Detail, e.Prev))
	return hex.EncodeToString(sum[:])
}

// enter adds an entry to the chain, and to the timeline where text says
// something.
func (l *Locker) enter(ctx context.Context, tx bun.Tx, it *Item, by, action, detail string, text detections.Text) error {
	e := Entry{Incident: it.Incident, At: l.now().UnixMilli(), Actor: by, Action: action, Item: it.ID, SHA256: it.SHA256, Detail: detail}
	var last Entry
	err := tx.NewSelect().Model(&last).Where("incident = ?", it.Incident).OrderExpr("n DESC").Limit(1).Scan(ctx)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("read the end of the chain of custody of %s: %w", it.Incident, err)
	}
	e.N, e.Prev = last.N+1, last.Hash
	e.Hash = e.digest()
	if _, err := tx.NewInsert().Model(&e).Returning("NULL").Exec(ctx); err != nil {
		return fmt.Errorf("enter %s into the chain of custody of %s: %w", action, it.Incident, err)
	}
	if text == (detections.Text{}) {
		return nil
	}
	return l.timeline.Note(ctx, tx, it.Incident, "evidence", by, text, map[string]any{"evidence_id": it.ID, "sha256": it.SHA256, "action": action})
}

// Custody returns an incident's chain. fault says where it is broken; "" where
// it is whole.
func (l *Locker) Custody(ctx context.Context, incident string) (chain []Entry, fault string, err error) {
	chain = []Entry{}
	if err := l.db.NewSelect().Model(&chain).Where("incident = ?", incident).OrderExpr("n").Scan(ctx); err != nil {
		return nil, "", fmt.Errorf("evidence: read the chain of custody of %s: %w", incident, err)
	}
	return chain, checkChain(chain), nil
}

// checkChain says what is wrong with a chain; "" for nothing.
func checkChain(chain []Entry) string {
	prev := ""
	for i := range chain {
		e := &chain[i]
		switch {
		case e.N != int64(i)+1:
			return fmt.Sprintf("entry %d is missing: the next one is %d", i+1, e.N)
		case e.Prev != prev:
			return fmt.Sprintf("entry %d follows on the hash %q, and entry %d has %q", e.N, e.Prev, e.N-1, prev)
		case e.Hash != e.digest():
			return fmt.Sprintf("entry %d is not what it was: its hash is %s, and its content makes %s", e.N, e.Hash, e.digest())
		case e.Incident != chain[0].Incident:
			return fmt.Sprintf("entry %d is of the incident %q, the chain of %q", e.N, e.Incident, chain[0].Incident)
		}
		prev = e.Hash
	}
	return ""
}
