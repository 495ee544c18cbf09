package rulebook

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// notes keep texts: a line ID: text each.
type notes map[string]string

func (n notes) Split(_ string, data []byte) (out []Piece, wrong []Wrong) {
	for i, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		id, text, ok := strings.Cut(line, ": ")
		if !ok {
			return nil, []Wrong{{Line: i + 1, Reason: "no id"}}
		}
		out = append(out, Piece{ID: id, Title: id, Text: id + ": " + text})
	}
	return out, nil
}
func (n notes) Get(_ context.Context, id string) (string, error) { return n[id], nil }
func (n notes) Put(_ context.Context, by, text string) error {
	id, _, _ := strings.Cut(text, ": ")
	n[id] = text
	n["by"] = by
	return nil
}
func (n notes) Delete(_ context.Context, _, id string) error {
	delete(n, id)
	return nil
}

// TestProposalsOfOtherContent has suppressions and the like go the way of rules: in one
// proposal with them, approved by a second person, in conflict where they changed,
// taken back.
func TestProposalsOfOtherContent(t *testing.T) {
	t.Parallel()
	b, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	kept := notes{"b": "b: old", "c": "c: same", "d": "d: gone"}
	b.Beside("suppressions", kept)
	data := archive(t, map[string]string{"linux/r.yml": proposed("low", "alpha"), "suppressions/x.yml": "a: new\nb: newer\nc: same\n", "suppressions/bad.yml": "nothing\n"})
	p, report, err := b.Propose(data, Surroundings{}, ProposeOptions{By: lin, Note: "why", Delete: []string{"suppressions/d"}})
	if err != nil || p.Created != 2 || p.Changed != 1 || p.Deleted != 1 || report.Invalid != 1 {
		t.Fatalf("%+v %+v %v", p, report, err)
	}
	for _, f := range report.Files {
		if strings.HasSuffix(f.File, "bad.yml") && (f.Result != FileInvalid || f.Line != 1 || f.Reason != "no id") {
			t.Errorf("%+v", f)
		}
	}
	if _, err := b.Test(lin, p.ID, true); err != nil { // of the rules alone
		t.Error(err)
	}
	if _, err := b.Approve(lin, p.ID, ""); !errors.Is(err, ErrOwn) {
		t.Errorf("approved by who filed it: %v", err)
	}
	if kept["a"] != "" || kept["b"] != "b: old" {
		t.Errorf("before it was approved: %v", kept)
	}
	if p, err = b.Approve(wu, p.ID, "ok"); err != nil || p.State != Approved {
		t.Fatal(p.State, p.Decision, err)
	}
	if _, there := kept["d"]; there || kept["a"] != "a: new" || kept["b"] != "b: newer" || kept["by"] != "wu" {
		t.Errorf("approved: %v", kept)
	}
	if len(b.List()) != 1 {
		t.Errorf("the rules beside them: %d", len(b.List()))
	}
	if p, err = b.Rollback(lin, p.ID, "back", false); err != nil || p.State != RolledBack {
		t.Fatal(p.State, err)
	}
	if _, there := kept["a"]; there || kept["b"] != "b: old" || kept["d"] != "d: gone" {
		t.Errorf("rolled back: %v", kept)
	}

	// What changed meanwhile is a conflict, and nothing is changed.
	p, _, err = b.Propose(archive(t, map[string]string{"suppressions/x.yml": "b: mine\nc: mine\n"}), Surroundings{}, ProposeOptions{By: lin, Note: "why"})
	if err != nil || p.Changed != 2 {
		t.Fatalf("%+v %v", p, err)
	}
	kept["c"] = "c: somebody's"
	if p, err = b.Approve(wu, p.ID, ""); err != nil || p.State != InConflict || !strings.Contains(p.Decision, "suppressions c") || kept["b"] != "b: old" {
		t.Errorf("%s %q %v %v", p.State, p.Decision, err, kept)
	}
	if _, _, err := b.Propose(nil, Surroundings{}, ProposeOptions{By: lin, Note: "gone", Delete: []string{"suppressions/none"}}); !errors.Is(err, ErrNotFound) {
		t.Errorf("of nothing: %v", err)
	}
}
