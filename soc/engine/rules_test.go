package engine

import (
	"testing"
	"time"

	"icewatch/detections"
	rules "icewatch/detections/engine"
	"icewatch/soc/condition"
)

// TestAConditionForEachThrottledRule follows rules that flood, are set aside,
// fail and recover.
func TestAConditionForEachThrottledRule(t *testing.T) {
	t.Parallel()
	var board condition.Board
	board.Set(condition.Condition{Kind: condition.Unsaved, Key: "x"}) // of somebody else
	since := time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC)
	throttle := func(rule, state string) rules.Throttle {
		return rules.Throttle{Rule: rule, State: state, Since: since, Title: detections.Text{ZH: "规则", EN: "Rule " + rule}, Reason: detections.Text{ZH: "原因", EN: "why"}}
	}
	f := func(now []rules.Throttle, want ...string) {
		t.Helper()
		tellThrottled(&board, now)
		var got []string
		for _, c := range board.List() {
			got = append(got, c.Kind+" "+c.Key)
			if c.Kind != condition.Unsaved && (c.Text.EN != "Rule "+c.Key+": why" || c.Text.ZH != "规则：原因" || !c.Since.Equal(since)) {
				t.Errorf("condition %+v", c)
			}
		}
		want = append(want, condition.Unsaved+" x")
		if len(got) != len(want) {
			t.Fatalf("got %q, want %q", got, want)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("got %q, want %q", got, want)
			}
		}
	}
	f(nil)
	f([]rules.Throttle{throttle("b", rules.Flooding), throttle("a", rules.SetAside)}, "rule-flood b", "rule-slow a")
	f([]rules.Throttle{throttle("b", rules.SetAside), throttle("c", rules.Failed)}, "rule-failed c", "rule-slow b")
	f(nil)
}

// TestAConditionWhileCorrelationsLackMemory follows the alarm from the first
// group that is dropped to its end.
func TestAConditionWhileCorrelationsLackMemory(t *testing.T) {
	t.Parallel()
	var board condition.Board
	var v evictions
	at := time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC)
	for _, step := range []struct {
		after   time.Duration
		evicted uint64
		stands  bool
	}{
		{0, 0, false}, {time.Second, 3, true}, {calm - time.Second, 3, true}, {0, 4, true}, {calm - time.Second, 4, true}, {time.Second, 4, false}, {time.Hour, 4, false}, {time.Second, 5, true},
	} {
		at = at.Add(step.after)
		v.tell(&board, rules.Windows{Limit: 1 << 20, Evicted: step.evicted, EvictedBy: map[string]uint64{"scan": step.evicted}}, at)
		list := board.List()
		if stands := len(list) == 1 && list[0].Kind == condition.CorrelationFull && list[0].Severity == condition.High; stands != step.stands {
			t.Fatalf("at %s with %d groups dropped the conditions are %+v", at, step.evicted, list)
		}
	}
}
