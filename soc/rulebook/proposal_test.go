package rulebook

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"icewatch/detections/ruleset"
	"icewatch/soc/event"
)

var (
	lin = Person{ID: "u1", Name: "lin"}
	wu  = Person{ID: "u2", Name: "wu"}
)

// proposed is a file of a rule and a correlation that counts it.
func proposed(level, word string) string {
	return fmt.Sprintf(`title: Words Seen
id: 5a1f0000-0000-4000-8000-000000000001
name: words_seen
status: test
logsource: {product: linux}
detection:
  selection: {message|contains: %s}
  condition: selection
level: %s
---
title: Many Words Seen
id: 5a1f0000-0000-4000-8000-000000000002
name: many_words
status: test
correlation:
  type: event_count
  rules: [words_seen]
  group-by: [host.name]
  timespan: 5m
  condition: {gte: 3}
level: %s
`, word, level, level)
}

func archive(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Export(&b, files, time.Unix(0, 0)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestProposals follows a change from its proposal through test and approval
// into force and back.
func TestProposals(t *testing.T) {
	t.Parallel()
	b, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	file := func(by Person, text string) RuleProposal {
		t.Helper()
		p, report, err := b.Propose(archive(t, map[string]string{"words.yml": text}), Surroundings{}, ProposeOptions{By: by, Note: "words"})
		if err != nil || report.Invalid > 0 {
			t.Fatal(err, report)
		}
		return p
	}
	p := file(lin, proposed("low", "alpha"))
	if p.ID != 1 || p.Created != 1 || p.State != Pending || len(b.List()) != 0 {
		t.Fatalf("%+v", p)
	}

	// In test: there under names of their own, and silent.
	if p, err = b.Test(wu, p.ID, true); err != nil || p.Stage != "test" {
		t.Fatal(p, err)
	}
	set, problems := ruleset.Compile(ruleset.Load([]ruleset.Source{b.Source(), b.TestSource()}), event.NewRegistry(0))
	if len(problems) > 0 || len(set.Correlations()) != 1 {
		t.Fatal(problems, set.Rules())
	}
	if c := set.Correlations()[0]; c.ID != "5a1f0000-0000-4000-8000-000000000002@test" || !c.Silent || c.Correlation.Rules[0] != "5a1f0000-0000-4000-8000-000000000001@test" {
		t.Fatal(c.ID, c.Silent, c.Correlation.Rules)
	}
	other := file(wu, proposed("high", "gamma"))
	if _, err := b.Test(wu, other.ID, true); !errors.Is(err, ErrConflict) {
		t.Fatalf("a rule is in test twice: %v", err)
	}

	// Four eyes.
	if _, err := b.Approve(lin, p.ID, ""); !errors.Is(err, ErrOwn) {
		t.Fatalf("approved by who filed it: %v", err)
	}
	if _, err := b.Withdraw(wu, p.ID); !errors.Is(err, ErrOwn) {
		t.Fatalf("withdrawn by somebody else: %v", err)
	}
	if _, err := b.Reject(wu, p.ID, " "); !errors.Is(err, ErrInvalid) {
		t.Fatalf("rejected without a reason: %v", err)
	}
	if p, err = b.Approve(wu, p.ID, "fine"); err != nil || p.State != Approved || p.Stage != "production" {
		t.Fatal(p, err)
	}
	if _, err := b.Approve(wu, p.ID, ""); !errors.Is(err, ErrDecided) {
		t.Fatalf("approved twice: %v", err)
	}
	e, ok := b.Get("5a1f0000-0000-4000-8000-000000000002")
	if !ok || e.UpdatedBy != "wu" || !strings.Contains(e.Source, "alpha") {
		t.Fatal(e, ok)
	}
	if left := ruleset.Load([]ruleset.Source{b.TestSource()}); len(left.Files) != 0 {
		t.Fatal("still in test:", left.Files)
	}

	// What was proposed before is in conflict now, and changes nothing.
	if other, err = b.Approve(lin, other.ID, ""); err != nil || other.State != InConflict {
		t.Fatal(other, err)
	}
	if same, _ := b.Get(e.ID); same.Revision != e.Revision {
		t.Fatal("a conflict changed the rule")
	}

	// A change of it, rolled back, leaves what was; the first one, rolled back, nothing.
	second := file(wu, proposed("high", "alpha"))
	if got, err := b.Proposal(wu, second.ID); err != nil || fmt.Sprint(got.Changes[0].Fields) != "[5a1f0000-0000-4000-8000-000000000001: level 5a1f0000-0000-4000-8000-000000000002: level]" {
		t.Fatal(got.Changes, err)
	}
	if _, err := b.Approve(lin, second.ID, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Rollback(wu, p.ID, "too many", false); !errors.Is(err, ErrConflict) {
		t.Fatalf("an older one is rolled back beneath a newer: %v", err)
	}
	if back, err := b.Rollback(wu, 0, "too many", false); err != nil || back.ID != second.ID || back.State != RolledBack {
		t.Fatal(back, err)
	}
	if now, _ := b.Get(e.ID); now.Source != e.Source || now.Revision != 3 {
		t.Fatal(now)
	}
	if _, err := b.Rollback(wu, 0, "all of it", false); err != nil {
		t.Fatal(err)
	}
	if len(b.List()) != 0 {
		t.Fatal(b.List())
	}
	if _, err := b.Rollback(wu, 0, "more", false); !errors.Is(err, ErrNotFound) {
		t.Fatal(err)
	}

	// It is all there after a start.
	again, err := Open(b.dir)
	if err != nil {
		t.Fatal(err)
	}
	list, err := again.Proposals(lin, "")
	if err != nil || len(list) != 3 || list[0].State != RolledBack || list[2].Decider != "wu" || !list[2].Mine {
		t.Fatal(list, err)
	}
}

// TestProposalExpires lets one wait too long.
func TestProposalExpires(t *testing.T) {
	t.Parallel()
	b, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	p, _, err := b.Propose([]byte(proposed("low", "alpha")), Surroundings{}, ProposeOptions{By: lin, Note: "words"})
	if err != nil {
		t.Fatal(err)
	}
	b.now = func() time.Time { return time.Now().Add(31 * 24 * time.Hour) }
	if _, err := b.Approve(wu, p.ID, ""); !errors.Is(err, ErrDecided) {
		t.Fatal(err)
	}
	if list, _ := b.Proposals(wu, Expired); len(list) != 1 {
		t.Fatal(list)
	}
}

// TestProposalUnreadable puts nothing in test while it is not known what is in
// test already.
func TestProposalUnreadable(t *testing.T) {
	t.Parallel()
	b, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	p, _, err := b.Propose([]byte(proposed("low", "alpha")), Surroundings{}, ProposeOptions{By: lin, Note: "words"})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.dir, proposalsDir, "7.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Test(wu, p.ID, true); err == nil || !strings.Contains(err.Error(), "proposal 7 is damaged") {
		t.Fatal(err)
	}
	if left := ruleset.Load([]ruleset.Source{b.TestSource()}); len(left.Files) != 0 {
		t.Fatal("in test:", left.Files)
	}
}

// TestProposalHalfStaged takes out of test what was put there before the rest
// could not be.
func TestProposalHalfStaged(t *testing.T) {
	t.Parallel()
	b, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	other := strings.NewReplacer("5a1f", "5a20", "words_seen", "more_seen", "many_words", "many_more").Replace(proposed("low", "beta"))
	p, report, err := b.Propose(archive(t, map[string]string{"a.yml": proposed("low", "alpha"), "b.yml": other}), Surroundings{}, ProposeOptions{By: lin, Note: "words"})
	if err != nil || p.Created != 2 {
		t.Fatal(p, report, err)
	}
	// A folder stands where the second file is to go.
	if err := os.MkdirAll(b.testFile(&kept{RuleProposal: p}, 1), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Test(wu, p.ID, true); err == nil {
		t.Fatal("it is in test")
	}
	if left := ruleset.Load([]ruleset.Source{b.TestSource()}); len(left.Files) != 0 {
		t.Fatal("still in test:", left.Files)
	}
	if p, err = b.Test(wu, p.ID, true); err != nil || p.Stage != "test" {
		t.Fatal("it is not in test once there is room for it:", p, err)
	}
}

// TestProposalNothing files nothing where nothing changes, and names what is
// wrong.
func TestProposalNothing(t *testing.T) {
	t.Parallel()
	b, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	with := Surroundings{Rule: func(ref string) (Known, bool) {
		if ref != "5a1f0000-0000-4000-8000-000000000002" {
			return Known{}, false
		}
		return Known{Info: ruleset.RuleInfo{ID: ref, Source: proposed("low", "alpha")}, Source: "builtin"}, true
	}}
	p, report, err := b.Propose(archive(t, map[string]string{"a.yml": "# with a comment\n" + proposed("low", "alpha"), "b.yml": "title: no\n"}), with, ProposeOptions{By: lin, Note: "words"})
	if err != nil || p.ID != 0 || report.Same != 1 || report.Invalid != 1 || report.Files[1].Reason == "" {
		t.Fatal(p, report, err)
	}
	if _, _, err := b.Propose(nil, with, ProposeOptions{By: lin, Note: "gone", Delete: []string{"x"}}); !errors.Is(err, ErrNotFound) {
		t.Fatal(err)
	}
	if err := b.RequireApproval(true, true); err != nil {
		t.Fatal(err)
	}
	if again, err := Open(b.dir); err != nil || !again.ApprovalRequired() {
		t.Fatal(err)
	}
}
