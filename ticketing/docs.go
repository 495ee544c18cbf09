package ticketing

import "sync"

// Who waits for alerts lists the same ones again and again, and most documents
// are as they were the time before.

// maxDocBytes is how much text of documents is remembered with what it says, in
// bytes, at most twice as much at a time. What it says takes about as much again.
const maxDocBytes = 4 << 20

// docs remembers what documents of alerts say. What it hands out is shared: it
// must not be changed.
type docs struct {
	mu         sync.Mutex
	young, old map[string]docSaid // by id of the alert
	bytes      int                // of the young
}

type docSaid struct {
	text string
	doc  alertDoc
}

// unpack is alert.unpack of an alert that is only shown.
func (d *docs) unpack(a *alert) error {
	d.mu.Lock()
	said, young := d.young[a.ID]
	if !young {
		said = d.old[a.ID]
	}
	d.mu.Unlock()
	if said.text == "" || said.text != a.Doc {
		if err := a.unpack(); err != nil {
			return err
		}
		said, young = docSaid{a.Doc, a.doc}, false
	}
	a.doc, a.whole = said.doc, true
	if young {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.young == nil || d.bytes+len(said.text) > maxDocBytes {
		d.young, d.old, d.bytes = map[string]docSaid{}, d.young, 0
	}
	d.bytes += len(said.text) - len(d.young[a.ID].text)
	d.young[a.ID] = said
	return nil
}
