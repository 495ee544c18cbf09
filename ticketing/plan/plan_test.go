package plan

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
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

func openStore(t *testing.T) (*Store, *notes) {
	t.Helper()
	db, err := state.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	n := &notes{}
	now := time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC)
	s, err := Open(t.Context(), db, Deps{Timeline: n, Clock: func() time.Time { return now }, Known: func(name string) bool { return name != "nobody" }})
	if err != nil {
		t.Fatal(err)
	}
	return s, n
}

var isolate = Content{Name: "口令爆破", Techniques: []string{"T1110"}, Severities: []string{"high", "critical"},
	Steps: []Step{{Title: "封禁来源", Within: 30}, {Title: "重置口令", Owner: "sun"}, {Title: "复核", Owner: "nobody"}}}

func TestPlans(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s, notes := openStore(t)
	p, err := s.Create(ctx, "qian", isolate)
	if err != nil {
		t.Fatal(err)
	}
	general, err := s.Create(ctx, "qian", Content{Name: "通用", Steps: []Step{{Title: "研判"}}})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		of   Subject
		want []string
	}{
		"a subtechnique":    {Subject{Severity: "high", Techniques: []string{"T1110.001"}}, []string{p.ID, general.ID}},
		"another technique": {Subject{Severity: "high", Techniques: []string{"T1111"}}, []string{general.ID}},
		"too light":         {Subject{Severity: "low", Techniques: []string{"T1110"}}, []string{general.ID}},
		"nothing known":     {Subject{}, []string{general.ID}},
	} {
		got, err := s.Suggest(ctx, c.of)
		var ids []string
		for _, x := range got {
			ids = append(ids, x.ID)
		}
		if err != nil || strings.Join(ids, " ") != strings.Join(c.want, " ") {
			t.Errorf("%s: %v, want %v (%v)", name, ids, c.want, err)
		}
	}
	tasks, err := s.Apply(ctx, "INC-1", "qian", p.ID, "li")
	if err != nil || len(tasks) != 3 {
		t.Fatalf("%d tasks, %v", len(tasks), err)
	}
	if tasks[0].Owner != "li" || tasks[1].Owner != "sun" || tasks[2].Owner != "li" || tasks[0].Due != s.now().Add(30*time.Minute).UnixMilli() || tasks[1].Due != 0 {
		t.Errorf("made %+v", tasks)
	}
	if _, err := s.Apply(ctx, "INC-1", "qian", p.ID, "li"); !errors.Is(err, ErrConflict) {
		t.Errorf("chosen twice: %v", err)
	}
	if _, err := s.Update(ctx, "sun", p.ID, 1, Content{Name: "爆破", Steps: isolate.Steps}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Update(ctx, "qian", p.ID, 1, isolate); !errors.Is(err, ErrConflict) {
		t.Errorf("an old revision: %v", err)
	}
	if _, err := s.Delete(ctx, "sun", p.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Apply(ctx, "INC-2", "qian", p.ID, ""); !errors.Is(err, ErrConflict) {
		t.Errorf("a deleted plan: %v", err)
	}
	if list, _ := s.Plans(ctx, false); len(list) != 1 {
		t.Errorf("%d plans after one was deleted", len(list))
	}
	if p, err := s.Restore(ctx, p.ID); err != nil || p.DeletedAt != 0 {
		t.Errorf("restored: %+v, %v", p, err)
	}
	for name, bad := range map[string]Content{"no name": {Steps: isolate.Steps}, "no steps": {Name: "x"}, "no such severity": {Name: "x", Steps: isolate.Steps, Severities: []string{"dire"}}, "a step without title": {Name: "x", Steps: []Step{{}}}} {
		if _, err := s.Create(ctx, "qian", bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(notes.texts) != 1 {
		t.Errorf("timelines: %q", notes.texts)
	}
}

func TestTasks(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s, notes := openStore(t)
	a, err := s.AddTask(ctx, "INC-1", "qian", TaskContent{Title: " 取证 ", Owner: "sun", Due: s.now().UnixMilli()})
	if err != nil || a.Title != "取证" || a.Origin != OriginResponse {
		t.Fatalf("%+v, %v", a, err)
	}
	if _, err := s.AddTask(ctx, "INC-1", "qian", TaskContent{Title: "x", Owner: "nobody"}); !errors.Is(err, ErrInvalid) {
		t.Errorf("nobody's task: %v", err)
	}
	if _, err := s.Do(ctx, "INC-2", a.ID, "sun", ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("the task of another incident: %v", err)
	}
	steps := []struct {
		what    string
		do      func() (Task, error)
		waiting int
		fails   bool
	}{
		{"undo before it is done", func() (Task, error) { return s.Undo(ctx, "INC-1", a.ID, "sun") }, 1, true},
		{"do", func() (Task, error) { return s.Do(ctx, "INC-1", a.ID, "sun", "done it") }, 0, false},
		{"do again", func() (Task, error) { return s.Do(ctx, "INC-1", a.ID, "sun", "") }, 0, true},
		{"edit what is done", func() (Task, error) { return s.EditTask(ctx, "INC-1", a.ID, "qian", TaskContent{Title: "y"}) }, 0, true},
		{"undo", func() (Task, error) { return s.Undo(ctx, "INC-1", a.ID, "sun") }, 1, false},
		{"edit", func() (Task, error) {
			return s.EditTask(ctx, "INC-1", a.ID, "qian", TaskContent{Title: "y", Owner: "sun"})
		}, 1, false},
		{"remove", func() (Task, error) { return s.Remove(ctx, "INC-1", a.ID, "qian", false) }, 0, false},
		{"do what is removed", func() (Task, error) { return s.Do(ctx, "INC-1", a.ID, "sun", "") }, 0, true},
		{"bring back", func() (Task, error) { return s.Remove(ctx, "INC-1", a.ID, "qian", true) }, 1, false},
		{"bring back again", func() (Task, error) { return s.Remove(ctx, "INC-1", a.ID, "qian", true) }, 1, true},
	}
	told := 1
	for _, st := range steps {
		_, err := st.do()
		if (err != nil) != st.fails || err != nil && !errors.Is(err, ErrConflict) {
			t.Errorf("%s: %v", st.what, err)
		}
		if !st.fails {
			told++
		}
		if w, err := s.Waiting(ctx, "sun"); err != nil || len(w) != st.waiting {
			t.Errorf("after %s %d tasks wait, want %d (%v)", st.what, len(w), st.waiting, err)
		}
	}
	if len(notes.texts) != told {
		t.Errorf("%d entries in the timeline, want %d: %q", len(notes.texts), told, notes.texts)
	}
}

func TestReview(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s, notes := openStore(t)
	if r, err := s.Review(ctx, "INC-1"); err != nil || r.Revision != 0 || len(r.Sections) == 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := s.EndReview(ctx, "INC-1", "qian", false); !errors.Is(err, ErrConflict) {
		t.Errorf("ended unwritten: %v", err)
	}
	if _, err := s.WriteReview(ctx, "INC-1", "qian", 0, map[string]string{"rumour": "x"}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a section there is not: %v", err)
	}
	for n := range int64(2) {
		if r, err := s.WriteReview(ctx, "INC-1", "qian", n, map[string]string{"cause": "弱口令"}); err != nil || r.Revision != n+1 || r.Answers["cause"] != "弱口令" {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	if _, err := s.WriteReview(ctx, "INC-1", "sun", 1, nil); !errors.Is(err, ErrConflict) {
		t.Errorf("over what somebody else wrote: %v", err)
	}
	if r, err := s.EndReview(ctx, "INC-1", "sun", false); err != nil || r.EndedBy != "sun" {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := s.WriteReview(ctx, "INC-1", "sun", 2, nil); !errors.Is(err, ErrConflict) {
		t.Errorf("after its end: %v", err)
	}
	if r, err := s.EndReview(ctx, "INC-1", "sun", true); err != nil || r.EndedAt != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	if len(notes.texts) != 3 {
		t.Errorf("the timeline says %q", notes.texts)
	}
}
