package cmdb

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/cmdb/model"
)

// maxFailures is how many cells that fail a preview tells.
const maxFailures = 1000

// The states of a revision of the model.
const (
	stateMoving = "moving"
	stateDone   = "done"
	stateFailed = "failed" // what was moved was moved back
)

type modelRow struct {
	bun.BaseModel `bun:"table:cmdb_models,alias:m"`
	Revision      int64  `bun:"revision,pk"`
	Document      string `bun:"document"`
	State         string `bun:"state"`
	Undoes        int64  `bun:"undoes"`
	Actor         string `bun:"actor"`
	Comment       string `bun:"comment"`
	CreatedAt     int64  `bun:"created_at"`
	EndedAt       int64  `bun:"ended_at"`
	Total         int64  `bun:"total"`
	Moved         int64  `bun:"moved"`
	Changed       int64  `bun:"changed"`
	Place         int32  `bun:"place"`
	Message       string `bun:"message"`
}

// ModelRevision is one change of the model.
type ModelRevision struct {
	Revision  int64          `json:"revision"`
	State     string         `json:"state" enum:"moving,done,failed"`
	Undoes    int64          `json:"undoes,omitempty" doc:"The revision that it takes back"`
	Actor     string         `json:"actor"`
	Comment   string         `json:"comment,omitempty"`
	CreatedAt time.Time      `json:"created_at"`
	EndedAt   *time.Time     `json:"ended_at,omitempty"`
	Items     int64          `json:"items" doc:"Items to look at"`
	Moved     int64          `json:"moved" doc:"Items looked at so far"`
	Changed   int64          `json:"changed" doc:"Items that were changed"`
	Message   string         `json:"message,omitempty" doc:"Why it failed"`
	Document  model.Document `json:"document"`
}

func (m *modelRow) revision() (ModelRevision, error) {
	out := ModelRevision{Revision: m.Revision, State: m.State, Undoes: m.Undoes, Actor: m.Actor, Comment: m.Comment,
		CreatedAt: time.UnixMilli(m.CreatedAt).UTC(), Items: m.Total, Moved: m.Moved, Changed: m.Changed, Message: m.Message}
	if m.EndedAt != 0 {
		at := time.UnixMilli(m.EndedAt).UTC()
		out.EndedAt = &at
	}
	if err := json.Unmarshal([]byte(m.Document), &out.Document); err != nil {
		return out, fmt.Errorf("cmdb: revision %d of the model: %w", m.Revision, err)
	}
	return out, nil
}

// ModelChange is what administrators lay over the shipped model, in place of
// what they laid over it before.
type ModelChange struct {
	Document model.Document `json:"document"`
	Revision int64          `json:"revision" doc:"The one in force that the caller saw"`
	// ClearFailing takes values away that the new model does not allow. Items
	// that lack one it wants keep lacking it until somebody edits them.
	ClearFailing bool   `json:"clear_failing,omitempty"`
	Comment      string `json:"comment,omitempty" maxLength:"1000"`
}

// ModelEffect is what a change of the model does to one attribute of a class.
type ModelEffect struct {
	Class     string `json:"class"`
	Attribute string `json:"attribute,omitempty"`
	Items     int    `json:"items" doc:"Items whose value it changes"`
}

// CellFailure is a value that another model does not allow.
type CellFailure struct {
	Item      Ref    `json:"item"`
	Attribute string `json:"attribute"`
	Value     string `json:"value"`
	Message   string `json:"message"`
	Final     bool   `json:"final,omitempty" doc:"Clearing the value does not help"`
}

// ModelPreview is what a change of the model would do.
type ModelPreview struct {
	Items    int           `json:"items" doc:"Items of the classes that change"`
	Changed  int           `json:"changed"`
	Effects  []ModelEffect `json:"effects" nullable:"false"`
	Failed   int           `json:"failed" doc:"Values that the new model does not allow"`
	Failures []CellFailure `json:"failures" nullable:"false" doc:"The first 1000"`
	final    int
}

// FailingError refuses a change of the model that items stand against. It is
// ErrInvalid.
type FailingError struct{ Preview ModelPreview }

// Error implements error.
func (e *FailingError) Error() string {
	f := e.Preview.Failures[0]
	return fmt.Sprintf("cmdb: %d values of %d items stand against the new model, the first: %s of %s %q: %s",
		e.Preview.Failed, e.Preview.Items, f.Attribute, f.Item.Class, f.Item.Name, f.Message)
}

// Is makes errors.Is(err, ErrInvalid) true.
func (e *FailingError) Is(target error) bool { return target == ErrInvalid }

// preview runs through all items that a move looks at, without a change.
func (s *Service) preview(ctx context.Context, m *move) (ModelPreview, error) {
	out := ModelPreview{Effects: []ModelEffect{}, Failures: []CellFailure{}}
	effects := map[ModelEffect]int{}
	err := s.db.view(ctx, func(ctx context.Context, tx bun.Tx) error {
		for after := int32(0); ; {
			list, err := m.batch(ctx, tx, after)
			if err != nil || len(list) == 0 {
				return err
			}
			for i := range list {
				x := &list[i]
				after = x.old.seq
				out.Items++
				changes := diff(&x.old, &x.new)
				if len(changes) > 0 {
					out.Changed++
				}
				for _, c := range changes {
					effects[ModelEffect{Class: x.old.Class, Attribute: strings.TrimPrefix(c.Field, attrPrefix)}]++
				}
				for _, f := range x.failures {
					if out.Failed++; len(out.Failures) < maxFailures {
						out.Failures = append(out.Failures, f)
					}
					if f.Final {
						out.final++
					}
				}
			}
		}
	})
	clear(m.keys) // the move itself goes through them anew
	for e, n := range effects {
		e.Items = n
		out.Effects = append(out.Effects, e)
	}
	slices.SortFunc(out.Effects, func(a, b ModelEffect) int {
		return strings.Compare(a.Class+"\x00"+a.Attribute, b.Class+"\x00"+b.Attribute)
	})
	return out, err
}

// revisions reads the changes of the model, newest first.
func (s *Service) revisions(ctx context.Context) ([]modelRow, error) {
	var rows []modelRow
	if err := s.db.NewSelect().Model(&rows).Order("m.revision DESC").Scan(ctx); err != nil {
		return nil, fmt.Errorf("cmdb: read the revisions of the model: %w", err)
	}
	return rows, nil
}

// Revisions lists the changes of the model, newest first.
func (s *Service) Revisions(ctx context.Context) ([]ModelRevision, error) {
	rows, err := s.revisions(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]ModelRevision, len(rows))
	for i := range rows {
		if out[i], err = rows[i].revision(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// inForce is the newest revision that is done; its number is 0 and its document
// empty before the first.
func inForce(rows []modelRow) modelRow {
	for _, r := range rows {
		if r.State == stateDone {
			return r
		}
	}
	return modelRow{Document: "{}"}
}

// PreviewModel tells what a change of the model would do to the items. The
// error is a *model.DefinitionError where it is no model.
func (s *Service) PreviewModel(ctx context.Context, d model.Document) (ModelPreview, error) {
	next, err := compileModel(s.shipped.Over(d))
	if err != nil {
		return ModelPreview{}, err
	}
	return s.preview(ctx, newMove(s.Model(), next, 0, false))
}

// ChangeModel puts another model in force. Where values stand against it the
// error is a *FailingError, unless they are to be cleared. The items move in the
// background; Revisions tells how far they are. Until then the old model is in
// force, and items of the classes that change cannot be written.
func (s *Service) ChangeModel(ctx context.Context, actor string, c ModelChange) (ModelRevision, error) {
	return s.startMove(ctx, actor, c, 0)
}

// UndoModel takes the newest change of the model back, with what it did to the
// items; what somebody changed since stays his.
func (s *Service) UndoModel(ctx context.Context, actor string, revision int64, clearFailing bool) (ModelRevision, error) {
	return s.startMove(ctx, actor, ModelChange{Revision: revision, ClearFailing: clearFailing, Comment: fmt.Sprintf("undo of revision %d", revision)}, revision)
}

func (s *Service) startMove(ctx context.Context, actor string, c ModelChange, undoes int64) (ModelRevision, error) {
	s.moves.Lock()
	defer s.moves.Unlock()
	rows, err := s.revisions(ctx)
	if err != nil {
		return ModelRevision{}, err
	}
	if len(rows) > 0 && rows[0].State == stateMoving {
		return ModelRevision{}, fmt.Errorf("%w: revision %d is at %d of %d items: wait for it", ErrConflict, rows[0].Revision, rows[0].Moved, rows[0].Total)
	}
	current := inForce(rows)
	if current.Revision != c.Revision {
		return ModelRevision{}, fmt.Errorf("%w: revision %d of the model is in force, made by %s, not %d: look at it first", ErrConflict, current.Revision, current.Actor, c.Revision)
	}
	if undoes != 0 {
		older := slices.IndexFunc(rows, func(r modelRow) bool { return r.State == stateDone && r.Revision < undoes })
		if older >= 0 {
			err = json.Unmarshal([]byte(rows[older].Document), &c.Document)
		}
		if err != nil {
			return ModelRevision{}, fmt.Errorf("cmdb: revision %d of the model: %w", rows[older].Revision, err)
		}
	}
	next, err := compileModel(s.shipped.Over(c.Document))
	if err != nil {
		return ModelRevision{}, err
	}
	m := newMove(s.Model(), next, undoes, c.ClearFailing)
	// From here on nobody writes what is looked at.
	s.moving.Store(m)
	started := false
	defer func() {
		if !started {
			s.moving.Store(nil)
		}
	}()
	look, err := s.preview(ctx, m)
	if err != nil {
		return ModelRevision{}, err
	}
	if look.final > 0 || look.Failed > 0 && !c.ClearFailing {
		return ModelRevision{}, &FailingError{look}
	}
	row := modelRow{Revision: 1, Document: text(c.Document), State: stateMoving, Undoes: undoes, Actor: actor, Comment: c.Comment,
		CreatedAt: s.now().UnixMilli(), Total: int64(look.Items)}
	if len(rows) > 0 {
		row.Revision = rows[0].Revision + 1
	}
	if _, err := s.db.NewInsert().Model(&row).Exec(ctx); err != nil {
		return ModelRevision{}, fmt.Errorf("cmdb: keep the change of the model: %w", err)
	}
	started = true
	s.background.Go(func() { s.run(m, row) })
	return row.revision()
}

// loadModel puts the model in force that the last start had, and goes on with a
// change that it did not end.
func (s *Service) loadModel(ctx context.Context) error {
	rows, err := s.revisions(ctx)
	if err != nil {
		return err
	}
	compile := func(row modelRow) (*model.Model, error) {
		var d model.Document
		if err := json.Unmarshal([]byte(row.Document), &d); err != nil {
			return nil, fmt.Errorf("cmdb: revision %d of the model: %w", row.Revision, err)
		}
		m, err := compileModel(s.shipped.Over(d))
		if err != nil {
			return nil, fmt.Errorf("cmdb: revision %d of the model, laid over what this release brings: %w", row.Revision, err)
		}
		return m, nil
	}
	m, err := compile(inForce(rows))
	if err != nil {
		return err
	}
	s.model.Store(m)
	if err := s.startValues(ctx); err != nil {
		return err
	}
	if len(rows) == 0 || rows[0].State != stateMoving {
		return nil
	}
	next, err := compile(rows[0])
	if err != nil {
		return err
	}
	// The first start looked at what stands against it, and was told to go on.
	way := newMove(m, next, rows[0].Undoes, true)
	s.moving.Store(way)
	s.background.Go(func() { s.run(way, rows[0]) })
	return nil
}

// Close ends what runs in the background; a change of the model goes on at the
// next start. The database is its owner's.
func (s *Service) Close() {
	s.end()
	s.background.Wait()
}
