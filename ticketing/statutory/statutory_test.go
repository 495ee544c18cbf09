package statutory

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/soc/state"
)

type notes struct{ texts []string }

func (n *notes) Note(_ context.Context, _ bun.IDB, _, _, actor string, text detections.Text, _ map[string]any) error {
	n.texts = append(n.texts, actor+": "+text.EN)
	return nil
}

// TestReport takes a report from draft to sent, tries every step in every state
// that does not allow it, and looks at the clock.
func TestReport(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, err := state.Open(ctx, filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	now := time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC)
	n := &notes{}
	s, err := Open(ctx, db, Deps{Timeline: n, Clock: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	c := Content{Level: "major", Operator: "cii", KnownAt: now.Add(-20 * time.Minute).UnixMilli(), Answers: map[string]string{"unit": "甲单位"}}
	for name, spoil := range map[string]func(*Content){
		"no such level":    func(c *Content) { c.Level = "dire" },
		"no such operator": func(c *Content) { c.Operator = "me" },
		"known tomorrow":   func(c *Content) { c.KnownAt = now.Add(time.Hour).UnixMilli() },
		"no such field":    func(c *Content) { c.Answers = map[string]string{"rumour": "x"} },
	} {
		bad := c
		spoil(&bad)
		if _, err := s.Begin(ctx, "INC-1", "qian", KindFirst, bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r, err := s.Begin(ctx, "INC-1", "qian", KindFirst, c)
	if err != nil || r.Clock != "running" || r.Due != now.Add(40*time.Minute).UnixMilli() {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := s.Begin(ctx, "INC-1", "sun", KindFirst, c); !errors.Is(err, ErrConflict) {
		t.Errorf("begun twice: %v", err)
	}
	if _, err := s.Submit(ctx, "INC-1", r.ID, "qian"); !errors.Is(err, ErrInvalid) {
		t.Errorf("submitted half empty: %v", err)
	}
	for _, f := range s.Terms().Fields {
		if f.First {
			c.Answers[f.Key] = "有"
		}
	}
	if r, err = s.Write(ctx, "INC-1", r.ID, "sun", r.Revision, c); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(ctx, "INC-1", r.ID, "qian", 1, c); !errors.Is(err, ErrConflict) {
		t.Errorf("over what somebody else wrote: %v", err)
	}
	proof := Proof{Channel: "门户", Receipt: "2026-17"}
	steps := map[string]func(by string) error{
		"write":   func(by string) error { _, err := s.Write(ctx, "INC-1", r.ID, by, r.Revision, c); return err },
		"submit":  func(by string) error { _, err := s.Submit(ctx, "INC-1", r.ID, by); return err },
		"approve": func(by string) error { _, err := s.Approve(ctx, "INC-1", r.ID, by); return err },
		"return":  func(by string) error { _, err := s.Return(ctx, "INC-1", r.ID, by, "不够"); return err },
		"send":    func(by string) error { _, err := s.Send(ctx, "INC-1", r.ID, by, proof); return err },
	}
	refuses := func(state string, names ...string) {
		t.Helper()
		for _, name := range names {
			if err := steps[name]("li"); !errors.Is(err, ErrConflict) {
				t.Errorf("%s of one that is %s: %v", name, state, err)
			}
		}
	}
	does := func(name, by string) {
		t.Helper()
		if err := steps[name](by); err != nil {
			t.Fatalf("%s by %s: %v", name, by, err)
		}
	}
	refuses(Draft, "approve", "return", "send")
	does("submit", "qian")
	refuses(Submitted, "write", "submit", "send")
	for _, own := range []string{"qian", "sun"} { // who submitted it, and who wrote it
		if err := steps["approve"](own); !errors.Is(err, ErrForbidden) {
			t.Errorf("%s approves his own report: %v", own, err)
		}
	}
	does("return", "li")
	does("submit", "qian")
	does("approve", "li")
	refuses(Approved, "write", "submit", "approve")
	now = now.Add(30 * time.Minute)
	if w, err := s.Waiting(ctx); err != nil || len(w) != 1 || w[0].Clock != "running" {
		t.Errorf("waiting: %+v, %v", w, err)
	}
	now = now.Add(time.Hour)
	if w, err := s.Waiting(ctx); err != nil || w[0].Clock != "late" {
		t.Errorf("late: %+v, %v", w, err)
	}
	does("send", "li")
	refuses(Sent, "write", "submit", "approve", "return", "send")
	if r, err := s.Report(ctx, "INC-1", r.ID); err != nil || r.Clock != "missed" || r.Receipt != "2026-17" || len(r.Digest) != 64 {
		t.Errorf("sent: %+v, %v", r, err)
	}
	if w, _ := s.Waiting(ctx); len(w) != 0 {
		t.Errorf("still waiting: %+v", w)
	}
	if _, err := s.Report(ctx, "INC-2", r.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("by another incident: %v", err)
	}
	if len(n.texts) != 6 {
		t.Errorf("the timeline says %q", n.texts)
	}
}

// TestDue holds every operator and level against the deadlines of the measures
// as they were published.
func TestDue(t *testing.T) {
	t.Parallel()
	terms, from := Shipped(), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for operator, hours := range map[string]int{"cii": 1, "state": 2, "other": 4} {
		o, err := terms.operator(operator)
		if err != nil {
			t.Fatal(err)
		}
		for level, reported := range map[string]bool{"general": false, "major": true, "grave": true, "gravest": true} {
			l, err := terms.level(level)
			if err != nil {
				t.Fatal(err)
			}
			want := time.Time{}
			if reported {
				want = from.Add(time.Duration(hours) * time.Hour)
			}
			if got := terms.due(KindFirst, l, o, from); !got.Equal(want) {
				t.Errorf("%s, %s: due %s, want %s", operator, level, got, want)
			}
			if reported {
				if got := terms.due(KindSummary, l, o, from); !got.Equal(from.AddDate(0, 0, 30)) {
					t.Errorf("the summary is due %s", got)
				}
			}
		}
	}
	for _, bad := range []string{"", "levels: []", "source: x\nsurprise: 1", "levels: [{key: a}]\noperators: [{key: b, within: soon}]\nfields: [{key: c}]\nsummary_within: 1h"} {
		if _, err := ReadTerms([]byte(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
