package ticketing

import (
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/soc/reach"
)

// TestWouldJoin asks of alerts that were not raised which incident would have taken
// them in.
func TestWouldJoin(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, realPolicy())
	ingest(t, s, intrusion(sealWeb, "203.0.113.7", 0)...)
	list := allIncidents(t, s)
	if len(list) != 1 {
		t.Fatalf("%d incidents, want 1", len(list))
	}
	same := intrusion(sealWeb, "203.0.113.7", 0)[0]
	item := fire(rule{id: "draft", en: "Draft", level: detections.Low}, sealWeb, "", time.Minute, nil)
	item.Key = "of a rule that is not in force"
	late := item
	late.From, late.Time = item.From.Add(300*24*time.Hour), item.Time.Add(300*24*time.Hour)
	foreign := item
	foreign.Tenant = "another"
	got, err := s.WouldJoin(t.Context(), reach.All(), []detections.Occurrence{same, item, late, foreign})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []Joined{{ID: list[0].ID, By: "alert"}, {ID: list[0].ID, By: "item"}, {}, {}} {
		if got[i].ID != want.ID || got[i].By != want.By {
			t.Errorf("%d: %+v, want %+v", i, got[i], want)
		}
	}
	if got, err := s.WouldJoin(t.Context(), reach.None(), []detections.Occurrence{same}); err != nil || got[0].ID != "" {
		t.Errorf("beyond the reach: %+v, %v", got, err)
	}
}
