package audit

import (
	"fmt"
	"sync"
	"time"
)

const (
	// noteWindow is how long repetitions of a note are gathered.
	noteWindow = time.Minute
	// maxNotes bounds the kinds of notes remembered at once. Beyond it notes
	// of one address and result are gathered whatever their object.
	maxNotes = 2000
)

// noteKey is what makes two notes the same.
type noteKey struct{ actor, action, object, result, address, session, detail string }

// note is one that was written and how often it came again since.
type note struct {
	record Record
	since  time.Time
	again  int
}

// notes gathers repetitions.
type notes struct {
	mu   sync.Mutex
	seen map[noteKey]*note
	now  func() time.Time
}

// repeats tells whether the record repeats one that was written within the
// window; it is then counted. Beyond the bound on kinds, those that may be
// gathered whatever they are, which strangers cause, are; others are written
// each.
func (n *notes) repeats(rec Record, gather bool) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	key := noteKey{rec.Actor, rec.Action, rec.Object, rec.Result, rec.Address, rec.Session, rec.Detail}
	if _, known := n.seen[key]; !known && len(n.seen) >= maxNotes {
		if !gather {
			return false
		}
		key = noteKey{result: rec.Result, address: rec.Address}
		if _, known := n.seen[key]; !known && len(n.seen) >= 2*maxNotes {
			key = noteKey{result: rec.Result} // from everywhere at once
		}
		rec = Record{Time: rec.Time, Kind: KindAccess, Action: "access", Object: "(various)", Result: rec.Result, Address: key.address, Detail: "a flood of different requests"}
	}
	now := n.now()
	if x := n.seen[key]; x != nil {
		x.again++
		x.record.Time = rec.Time
		return true
	}
	n.seen[key] = &note{record: rec, since: now}
	return false
}

// due returns a record for each note whose window is over and that came again,
// and forgets it; with all set it returns every one.
func (n *notes) due(all bool) []Record {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.now()
	var recs []Record
	for key, x := range n.seen {
		if !all && now.Sub(x.since) < noteWindow {
			continue
		}
		delete(n.seen, key)
		if x.again > 0 {
			rec := x.record
			rec.Count = int64(x.again)
			rec.Detail = fmt.Sprintf("%s (came again %d times since %s)", rec.Detail, x.again, x.since.UTC().Format(time.RFC3339))
			recs = append(recs, rec)
		}
	}
	return recs
}
