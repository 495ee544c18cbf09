package plan

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"icewatch/detections"
)

// Where tasks come from.
const (
	OriginResponse = "response"
	OriginReview   = "review" // an action of the post-incident review
)

// Task is something to be done about an incident.
type Task struct {
	bun.BaseModel `bun:"table:plan_tasks" json:"-"`
	ID            string `bun:"id,pk" json:"id"`
	Incident      string `bun:"incident" json:"incident"`
	Position      int    `bun:"position" json:"position"`
	Title         string `bun:"title" json:"title"`
	Detail        string `bun:"detail" json:"detail,omitempty"`
	Owner         string `bun:"owner" json:"owner,omitempty"`
	Due           int64  `bun:"due" json:"due,omitempty" doc:"Unix milliseconds"`
	Plan          string `bun:"plan" json:"plan,omitempty" doc:"Id of the plan it came from"`
	Origin        string `bun:"origin" json:"origin" enum:"response,review"`
	MadeBy        string `bun:"made_by" json:"made_by"`
	MadeAt        int64  `bun:"made_at" json:"made_at" doc:"Unix milliseconds"`
	DoneBy        string `bun:"done_by" json:"done_by,omitempty"`
	DoneAt        int64  `bun:"done_at" json:"done_at,omitempty" doc:"Unix milliseconds"`
	Outcome       string `bun:"outcome" json:"outcome,omitempty"`
	RemovedBy     string `bun:"removed_by" json:"removed_by,omitempty"`
	RemovedAt     int64  `bun:"removed_at" json:"removed_at,omitempty" doc:"Unix milliseconds"`
}

// TaskContent is a task as people write it.
type TaskContent struct {
	Title  string `json:"title" minLength:"1" maxLength:"200"`
	Detail string `json:"detail,omitempty" maxLength:"4000"`
	Owner  string `json:"owner,omitempty" maxLength:"200"`
	Due    int64  `json:"due,omitempty" minimum:"0" doc:"Unix milliseconds; 0 for no due time"`
	Origin string `json:"origin,omitempty" enum:"response,review"`
}

func (s *Store) checkTask(c *TaskContent) error {
	if c.Title = strings.TrimSpace(c.Title); c.Title == "" || utf8.RuneCountInString(c.Title) > 200 {
		return fmt.Errorf("%w: title: %d characters, want 1 to 200", ErrInvalid, utf8.RuneCountInString(c.Title))
	}
	if n := utf8.RuneCountInString(c.Detail); n > maxText {
		return fmt.Errorf("%w: detail: %d characters, at most %d", ErrInvalid, n, maxText)
	}
	if c.Owner != "" && !s.deps.Known(c.Owner) {
		return fmt.Errorf("%w: owner: there is no user %q", ErrInvalid, c.Owner)
	}
	switch c.Origin {
	case "":
		c.Origin = OriginResponse
	case OriginResponse, OriginReview:
	default:
		return fmt.Errorf("%w: origin %q: want response or review", ErrInvalid, c.Origin)
	}
	return nil
}

// Tasks lists the tasks of an incident in their order, removed ones too.
func (s *Store) Tasks(ctx context.Context, incident string) ([]Task, error) {
	out := []Task{}
	if err := s.db.NewSelect().Model(&out).Where("incident = ?", incident).OrderExpr("position, id").Scan(ctx); err != nil {
		return nil, fmt.Errorf("plan: list the tasks of %s: %w", incident, err)
	}
	return out, nil
}

// Waiting lists what somebody has to do, the first due first, 200 at most.
func (s *Store) Waiting(ctx context.Context, owner string) ([]Task, error) {
	out := []Task{}
	err := s.db.NewSelect().Model(&out).Where("owner = ? AND done_at = 0 AND removed_at = 0", owner).
		OrderExpr("CASE WHEN due = 0 THEN 1 ELSE 0 END, due, made_at, id").Limit(200).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("plan: list the tasks of %s: %w", owner, err)
	}
	return out, nil
}

// AddTask adds a task to an incident.
func (s *Store) AddTask(ctx context.Context, incident, by string, c TaskContent) (Task, error) {
	if err := s.checkTask(&c); err != nil {
		return Task{}, err
	}
	made, err := s.add(ctx, incident, by, "", []TaskContent{c}, detections.Text{ZH: "新增任务：" + c.Title, EN: "Task added: " + c.Title})
	if err != nil {
		return Task{}, err
	}
	return made[0], nil
}

// Apply makes the steps of a plan tasks of an incident. Steps without an owner
// go to assignee, who has the incident. A plan that the incident has tasks of
// is a conflict.
func (s *Store) Apply(ctx context.Context, incident, by, plan, assignee string) ([]Task, error) {
	p, err := s.Plan(ctx, plan)
	if err != nil {
		return nil, err
	}
	if p.DeletedAt != 0 {
		return nil, fmt.Errorf("%w: the plan %q was deleted by %s", ErrConflict, p.Name, p.DeletedBy)
	}
	var tasks []TaskContent
	for _, st := range p.Steps {
		c := TaskContent{Title: st.Title, Detail: st.Detail, Owner: st.Owner, Origin: OriginResponse}
		if c.Owner == "" || !s.deps.Known(c.Owner) { // he may have left since the plan was written
			c.Owner = assignee
		}
		if st.Within > 0 {
			c.Due = s.now().Add(time.Duration(st.Within) * time.Minute).UnixMilli()
		}
		tasks = append(tasks, c)
	}
	return s.add(ctx, incident, by, p.ID, tasks, detections.Text{
		ZH: fmt.Sprintf("启用处置预案“%s”，生成 %d 项任务", p.Name, len(tasks)), EN: fmt.Sprintf("Disposal plan “%s” chosen, %d tasks made", p.Name, len(tasks))})
}

func (s *Store) add(ctx context.Context, incident, by, plan string, list []TaskContent, text detections.Text) (out []Task, err error) {
	now := s.now().UnixMilli()
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		out = nil
		var have struct {
			N    int `bun:"n"`
			Last int `bun:"last"`
			Same int `bun:"same"`
		}
		err := tx.NewSelect().Model((*Task)(nil)).ColumnExpr("count(*) AS n, coalesce(max(position), 0) AS last, coalesce(sum(plan = ? AND plan <> '' AND removed_at = 0), 0) AS same", plan).
			Where("incident = ?", incident).Scan(ctx, &have)
		switch {
		case err != nil:
			return err
		case have.Same > 0:
			return fmt.Errorf("%w: the plan was chosen for %s already", ErrConflict, incident)
		case have.N+len(list) > maxTasks:
			return fmt.Errorf("%w: %s has %d tasks, and there may be %d", ErrConflict, incident, have.N, maxTasks)
		}
		for i, c := range list {
			out = append(out, Task{ID: "TK-" + token(), Incident: incident, Position: have.Last + i + 1, Title: c.Title, Detail: c.Detail, Owner: c.Owner, Due: c.Due,
				Plan: plan, Origin: c.Origin, MadeBy: by, MadeAt: now})
		}
		if _, err := tx.NewInsert().Model(&out).Returning("NULL").Exec(ctx); err != nil {
			return err
		}
		return s.deps.Timeline.Note(ctx, tx, incident, "task", by, text, map[string]any{"plan": plan, "tasks": len(out)})
	})
	if err != nil {
		return nil, fmt.Errorf("plan: add tasks to %s: %w", incident, err)
	}
	return out, nil
}

// EditTask changes what is to be done, by whom and by when.
func (s *Store) EditTask(ctx context.Context, incident, id, by string, c TaskContent) (Task, error) {
	if err := s.checkTask(&c); err != nil {
		return Task{}, err
	}
	return s.task(ctx, incident, id, by, func(t *Task) (detections.Text, error) {
		if err := t.open(); err != nil {
			return detections.Text{}, err
		}
		t.Title, t.Detail, t.Owner, t.Due = c.Title, c.Detail, c.Owner, c.Due
		return detections.Text{ZH: "修改任务：" + t.Title, EN: "Task changed: " + t.Title}, nil
	})
}

func (t *Task) open() error {
	switch {
	case t.RemovedAt != 0:
		return fmt.Errorf("%w: %s removed the task", ErrConflict, t.RemovedBy)
	case t.DoneAt != 0:
		return fmt.Errorf("%w: %s has done the task", ErrConflict, t.DoneBy)
	}
	return nil
}

// Do says that a task is done, and how it came out; Undo takes that back.
func (s *Store) Do(ctx context.Context, incident, id, by, outcome string) (Task, error) {
	if n := utf8.RuneCountInString(outcome); n > maxText {
		return Task{}, fmt.Errorf("%w: outcome: %d characters, at most %d", ErrInvalid, n, maxText)
	}
	return s.task(ctx, incident, id, by, func(t *Task) (detections.Text, error) {
		if err := t.open(); err != nil {
			return detections.Text{}, err
		}
		t.DoneAt, t.DoneBy, t.Outcome = s.now().UnixMilli(), by, strings.TrimSpace(outcome)
		text := detections.Text{ZH: "完成任务：" + t.Title, EN: "Task done: " + t.Title}
		if t.Outcome != "" {
			text.ZH, text.EN = text.ZH+"——"+t.Outcome, text.EN+": "+t.Outcome
		}
		return text, nil
	})
}

// Undo takes back that a task is done.
func (s *Store) Undo(ctx context.Context, incident, id, by string) (Task, error) {
	return s.task(ctx, incident, id, by, func(t *Task) (detections.Text, error) {
		if t.DoneAt == 0 {
			return detections.Text{}, fmt.Errorf("%w: the task is not done", ErrConflict)
		}
		t.DoneAt, t.DoneBy, t.Outcome = 0, "", ""
		return detections.Text{ZH: "任务重新打开：" + t.Title, EN: "Task open again: " + t.Title}, nil
	})
}

// Remove takes a task off the list; with back it returns.
func (s *Store) Remove(ctx context.Context, incident, id, by string, back bool) (Task, error) {
	return s.task(ctx, incident, id, by, func(t *Task) (detections.Text, error) {
		if back == (t.RemovedAt == 0) {
			return detections.Text{}, fmt.Errorf("%w: the task is not in the state for that: removed %t", ErrConflict, !back)
		}
		if back {
			t.RemovedAt, t.RemovedBy = 0, ""
			return detections.Text{ZH: "恢复任务：" + t.Title, EN: "Task restored: " + t.Title}, nil
		}
		t.RemovedAt, t.RemovedBy = s.now().UnixMilli(), by
		return detections.Text{ZH: "移除任务：" + t.Title, EN: "Task removed: " + t.Title}, nil
	})
}

func (s *Store) task(ctx context.Context, incident, id, by string, f func(t *Task) (detections.Text, error)) (t Task, err error) {
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		t = Task{}
		err := tx.NewSelect().Model(&t).Where("id = ? AND incident = ?", id, incident).Scan(ctx)
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("%w: the incident %s has no task %q", ErrNotFound, incident, id)
		}
		if err != nil {
			return err
		}
		text, err := f(&t)
		if err != nil {
			return err
		}
		if _, err := tx.NewUpdate().Model(&t).WherePK().Exec(ctx); err != nil {
			return err
		}
		return s.deps.Timeline.Note(ctx, tx, incident, "task", by, text, map[string]any{"task": t.ID})
	})
	if err != nil {
		return Task{}, fmt.Errorf("plan: task %s: %w", id, err)
	}
	return t, nil
}
