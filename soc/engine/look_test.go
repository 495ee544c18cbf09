package engine

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"icewatch/soc/intake"
	"icewatch/soc/reach"
)

// TestWhoLooksSeesRowsThatWait: while nobody looks, rows of streams that fill no
// block wait, here for an hour; a look, also beside others, has them handed over.
func TestWhoLooksSeesRowsThatWait(t *testing.T) {
	s := startWith(t, time.Hour)
	const (
		streams = 12 // of a megabyte: more than handMany, and none fills a block
		each    = 16
	)
	filler := strings.Repeat("x", 64<<10)
	for i := range streams {
		recs := make([]intake.Record, each)
		for n := range recs {
			recs[n] = intake.Record{Collector: "c", Format: intake.JSON, Tenant: "a", Data: fmt.Appendf(nil, `{"event.dataset":"set-%d.log","message":"waiting","filler":"%s"}`, i, filler)}
		}
		s.send(recs...)
	}
	// What the suite asks for itself is no look.
	looked := func() time.Time {
		st, err := s.client.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return st.Looked
	}
	before := looked()
	if items, err := s.client.Heard(t.Context(), time.Now().Add(-time.Hour), time.Now(), 10); err != nil || len(items) > 0 {
		t.Fatalf("the items %q were heard of, %v; none is known", items, err)
	}
	if after := looked(); !after.Equal(before) {
		t.Errorf("what the suite asked for itself counts as a look at %s", after)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { s.rows(reach.Tenants("a"), "message:waiting | fields message", streams*each) })
	}
	wg.Wait()
	if after := looked(); !after.After(before) {
		t.Error("the searches do not count as looks")
	}
}

// seen are looks of which the last was just now.
func seen() *looks {
	l := newLooks()
	l.last.Store(time.Now().UnixNano())
	return l
}

// TestALookDoesNotWaitForever: where nothing is handed over at the moment, a
// look goes on with what there is.
func TestALookDoesNotWaitForever(t *testing.T) {
	e := &Engine{looks: newLooks()}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { e.look(t.Context()) })
	}
	wg.Wait()
	if !e.looks.lately() {
		t.Error("nobody has looked of late; somebody did")
	}
}
