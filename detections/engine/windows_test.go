package engine

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/detections/correlation"
	"icewatch/soc/event"
)

// TestARuleChangesWhileWindowsAreOpen follows one burst of failures through
// changes of the rule that counts them.
func TestARuleChangesWhileWindowsAreOpen(t *testing.T) {
	t.Parallel()
	reg := event.NewRegistry(0)
	e, _ := fresh(t, reg, map[string]string{"a.yml": story})
	s := newStream()
	swap := func(old, to string) {
		if !strings.Contains(story, old) {
			t.Fatalf("the rules have no %q", old)
		}
		e.Swap(compileFiles(t, reg, map[string]string{"a.yml": strings.ReplaceAll(story, old, to)}))
	}
	collect(e, outcomes(s, "ff")...)
	swap("title: Failure", "title: Failure of a Sign-In")
	if w := e.Windows(); len(w.Closed) != 0 || w.ClosedGroups != 0 {
		t.Fatalf("a title closes %+v", w.Closed)
	}
	// One failure more and a success: the chain goes on over the change.
	if got := collect(e, outcomes(s, "fs")...); len(got) != 1 || got[0].Rule.ID != "guessed" {
		t.Fatalf("over a change of a title %+v is raised", got)
	}
	// The condition below is the meaning of what lies above.
	swap("gte: 3", "gte: 4")
	w := e.Windows()
	why := map[string]string{}
	for _, c := range w.Closed {
		why[c.Rule] = fmt.Sprint(c.Why, " ", c.Groups, " ", c.Kept)
		if c.At.IsZero() || c.Title == (detections.Text{}) || c.Reason.ZH == "" || c.Reason.EN == "" {
			t.Errorf("closing %+v", c)
		}
	}
	if len(why) != 2 || why["guessing"] != "rejudge 0 1" || why["guessed"] != "recount 1 0" || w.ClosedGroups != 1 {
		t.Errorf("a changed threshold closes %v, groups %d", why, w.ClosedGroups)
	}
	// All rules go, and what is told stays bounded.
	with, without := compileFiles(t, reg, map[string]string{"a.yml": story}), compileFiles(t, reg, map[string]string{"b.yml": base})
	for range maxClosings + 1 {
		e.Swap(with)
		collect(e, outcomes(s, "f")...)
		e.Swap(without)
	}
	if w = e.Windows(); len(w.Closed) != maxClosings || w.Closed[0].Why != correlation.Gone || w.Closed[0].At.Before(w.Closed[maxClosings-1].At) {
		t.Errorf("%d closings are told, the newest %+v", len(w.Closed), w.Closed[0])
	}
	if got := e.Report().Windows; got.ClosedGroups != w.ClosedGroups || got.Limit != correlation.DefaultMaxBytes {
		t.Errorf("the report says %+v", got)
	}
}

// TestTheMemoryOfCorrelations has more addresses come than the memory holds.
func TestTheMemoryOfCorrelations(t *testing.T) {
	t.Parallel()
	reg := event.NewRegistry(0)
	const limit = 1 << 20
	e := New(Options{Registry: reg, Log: quiet, MaxBytes: limit})
	e.Swap(compileFiles(t, reg, map[string]string{"a.yml": story}))
	s := newStream()
	for i := range 10_000 {
		ev := s.next(time.Millisecond, fmt.Sprintf("10.0.%d.%d", i>>8, i&255))
		ev.Set(event.EventOutcome, "failure")
		collect(e, ev)
	}
	w := e.Windows()
	if w.Bytes > limit || w.Limit != limit || w.Groups == 0 || w.Evicted == 0 || uint64(w.Groups)+w.Evicted != 10_000 || w.EvictedBy["guessing"] != w.Evicted || w.Foremost() != "guessing" {
		t.Errorf("windows %+v", w)
	}
	if text := w.Full(); !strings.Contains(text.EN, "guessing") || !strings.Contains(text.EN, "1 MiB") || !strings.Contains(text.ZH, "guessing") {
		t.Errorf("the alarm says %+v", text)
	}
	if a := e.Windows(); (&Windows{}).Foremost() != "" || a.Evicted != w.Evicted {
		t.Error("windows without evictions name a rule")
	}
}
