package engine

import (
	"encoding/json"
	"fmt"
	"strconv"
	"testing"
	"time"

	"icewatch/soc/intake"
	"icewatch/soc/pipeline/processing"
	"icewatch/soc/reach"
	"icewatch/soc/search/clause"
)

func (s *suite) process(rules ...processing.Rule) {
	s.t.Helper()
	b, err := json.Marshal(rules)
	if err == nil {
		err = s.control.PublishControl(s.t.Context(), TopicProcessing, b)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// TestRepeatsAreFoldedAndCounted: repeats become one event that counts them,
// over a restart in the middle of a window, and with nothing coming after them.
func TestRepeatsAreFoldedAndCounted(t *testing.T) {
	t.Parallel()
	s := start(t)
	noisy := clause.Clause{Field: "kind", Operator: "equals", Values: []string{"noisy"}}
	chatter := clause.Clause{Field: "kind", Operator: "equals", Values: []string{"chatter"}}
	s.process(
		processing.Rule{ID: "fold", Name: "fold", Enabled: true, When: &noisy, Tags: []string{"loud"}, Fold: &processing.Fold{Keys: []string{"host.name"}, Seconds: 2}},
		processing.Rule{ID: "drop", Name: "drop", Enabled: true, When: &chatter, Drop: true},
	)
	one := func(kind, host string) intake.Record {
		return intake.Record{Tenant: "a", Format: intake.JSON, Data: fmt.Appendf(nil, `{"kind":%q,"host":{"name":%q}}`, kind, host)}
	}
	// In force when an event of it is tagged.
	sent := 0
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		s.send(one("noisy", "first"))
		sent++
		if c, err := s.client.Processing(t.Context()); err == nil && c.Rules["fold"] > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the rule does not come into force")
		}
	}
	count := func() (rows, events int) {
		for _, row := range s.rows(reach.All(), `kind:="noisy"`, -1) {
			rows++
			if n, err := strconv.Atoi(row["icewatch.repeat.count"]); err == nil {
				events += n
				if row["event.start"] > row["event.end"] || row["event.end"] == "" {
					t.Errorf("from %q to %q", row["event.start"], row["event.end"])
				}
			} else {
				events++
			}
		}
		return rows, events
	}
	send := func(rounds int) {
		for range rounds {
			s.send(one("noisy", "h1"), one("noisy", "h2"), one("chatter", "h1"), one("noisy", "h1"))
			sent += 3
			time.Sleep(20 * time.Millisecond)
		}
	}
	send(60)
	s.stop()
	send(20)
	s.start()
	send(60)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		rows, events := count()
		if events == sent && rows < sent/4 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d rows count %d events of %d", rows, events, sent)
		}
	}
	if c, err := s.client.Processing(t.Context()); err != nil || c.Folded == 0 || c.Dropped == 0 {
		t.Errorf("%+v %v", c, err)
	}
	s.rows(reach.All(), `kind:="chatter"`, 0)
	if rows := s.rows(reach.All(), `kind:="noisy" tags:="loud" icewatch.repeat.count:>1`, -1); len(rows) == 0 {
		t.Error("what stands for repeats has no tag")
	}
}
