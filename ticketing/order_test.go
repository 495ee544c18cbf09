package ticketing

import (
	"context"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/soc/enrich"
)

// waitingItems is a CMDB that answers about one item late.
type waitingItems struct {
	id             string
	asked, release chan struct{}
}

func (w waitingItems) Item(ctx context.Context, id string) (enrich.Item, bool, error) {
	if id == w.id {
		close(w.asked)
		select {
		case <-w.release:
		case <-ctx.Done():
		}
	}
	return enrich.Item{}, false, ctx.Err()
}

// An alert that waits long until it is written is raised when it is written:
// who follows alerts by their time has gone past the time of its coming.
func TestAlertsAreRaisedInTheOrderOfWriting(t *testing.T) {
	t.Parallel()
	c := newClock()
	items := waitingItems{id: "ci-slow", asked: make(chan struct{}), release: make(chan struct{})}
	s := openService(t, openDB(t), c, Deps{Items: items})
	slow := fire(ruleScan, sealWeb, "203.0.113.7", 0, map[string]string{"icewatch.ci.id": "", "host.name": "", "destination.ip": "10.9.9.9", "icewatch.destination.ci.id": items.id})
	done := make(chan error, 1)
	go func() { done <- s.Ingest(t.Context(), []detections.Occurrence{slow}) }()
	<-items.asked
	c.forward(3 * time.Second)
	if err := s.Ingest(t.Context(), []detections.Occurrence{fire(ruleGuess, sealDB, "203.0.113.8", 0, nil)}); err != nil {
		t.Fatal(err)
	}
	desk := Desk{s}
	first, err := desk.RaisedAfter(t.Context(), 0, "", 10)
	if err != nil || len(first) != 1 {
		t.Fatalf("%+v, %v", first, err)
	}
	c.forward(3 * time.Second)
	close(items.release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if next, err := desk.RaisedAfter(t.Context(), first[0].At, first[0].ID, 10); err != nil || len(next) != 1 {
		t.Errorf("after the first alert there are %+v, %v: the one that waited is passed over", next, err)
	}
}
