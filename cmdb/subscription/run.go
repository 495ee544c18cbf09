package subscription

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"icewatch/cmdb"
	"icewatch/soc/reach"
	"icewatch/ticketing/outbox"
)

// The kinds of notifications in the outbox.
const (
	KindChange = outbox.GatedPrefix + "change"
	KindTest   = outbox.GatedPrefix + "test"
)

// Version is that of the form in which programs are told.
const Version = "icewatch.cmdb.changes/1"

// Notification is what a contact point is told. Programs read it as it is,
// people its words.
type Notification struct {
	Version      string              `json:"version"`
	Subscription Ref                 `json:"subscription"`
	Summary      string              `json:"summary"`
	SummaryEN    string              `json:"summary_en"`
	Text         string              `json:"description"`
	TextEN       string              `json:"description_en"`
	Changes      []cmdb.HistoryEntry `json:"changes"` // oldest first
}

// Ref names a subscription.
type Ref struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// pace is how often what could not be told is tried again, and tables are
// looked at that another process may have changed.
const pace = 3 * time.Second

// Wake makes Run look at once.
func (s *Service) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run tells of changes as they come, until ctx ends.
func (s *Service) Run(ctx context.Context) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for {
		stir := s.deps.Items.Stir()
		if err := s.Tell(ctx); err != nil && ctx.Err() == nil {
			s.deps.Log.Warn("cmdb: changes are not told yet", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-stir:
		case <-s.wake:
		case <-tick.C:
		}
	}
}

// Tell has every subscription look at what changed since it last did. One that
// fails keeps no other from it.
func (s *Service) Tell(ctx context.Context) error {
	last, err := s.deps.Items.LastChange(ctx)
	if err != nil {
		return err
	}
	var rows []row
	// A mark beyond the last change is of another database than this one.
	if err := s.db.NewSelect().Model(&rows).Where("enabled AND at <> ?", last).OrderExpr("id").Scan(ctx); err != nil {
		return fmt.Errorf("subscription: read those that are behind: %w", err)
	}
	var failed []error
	for i := range rows {
		for more := true; more && ctx.Err() == nil; {
			if more, err = s.step(ctx, &rows[i], last); err != nil {
				failed = append(failed, fmt.Errorf("subscription %s (%s): %w", rows[i].ID, rows[i].Name, err))
				break
			}
		}
	}
	return errors.Join(failed...)
}

// step has a subscription look at some changes, and tells whether there may be
// more up to the last.
func (s *Service) step(ctx context.Context, r *row, last int64) (more bool, err error) {
	if r.At > last {
		return false, s.settle(ctx, r, last, nil, "", nil)
	}
	w, err := r.wants()
	if err != nil {
		return false, err
	}
	if w.Contact != "" {
		// The histories keep what is not told yet, so the outbox need not.
		n, err := s.deps.Outbox.Waiting(ctx, w.Contact)
		if err != nil {
			return false, err
		}
		if n >= maxQueued {
			return false, s.settle(ctx, r, r.At, nil, fmt.Sprintf("%d notifications wait for the contact point %s: it goes on once that takes them", n, w.Contact), nil)
		}
	}
	within, err := s.deps.Reach(ctx, r.Owner)
	if err != nil {
		return false, err
	}
	if within.Nothing() {
		return false, s.settle(ctx, r, last, nil, "its owner may not see anything: he is gone, or switched off", nil)
	}
	after := r.At
	if after == 0 {
		after = cmdb.Beginning
	}
	list, err := s.deps.Items.Changes(ctx, within, cmdb.ChangeFilter{After: after, Limit: look})
	if err != nil {
		return false, err
	}
	to := last
	if len(list) == look {
		to = list[look-1].ID
	}
	found, err := s.chosen(ctx, within, &w, list)
	if errors.Is(err, cmdb.ErrQuery) {
		// The model is another than it was when the filter was written.
		return false, s.settle(ctx, r, to, nil, err.Error(), nil)
	}
	if err != nil {
		return false, err
	}
	return to < last, s.settle(ctx, r, to, found, "", &w)
}

// settle notes how far a subscription has looked, and tells what it found.
func (s *Service) settle(ctx context.Context, r *row, at int64, found []cmdb.HistoryEntry, trouble string, w *Wants) error {
	err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		sent := 0
		groups := runs(found)
		if w != nil && w.Contact != "" {
			for _, g := range groups {
				n, err := s.deps.Outbox.Enqueue(ctx, tx, s.message(r, w, KindChange, g))
				if err != nil {
					return err
				}
				sent += n
			}
			if len(groups) > 0 && sent == 0 {
				trouble = fmt.Sprintf("the contact point %s is not told: it is gone, switched off, or not for the tenant of the items", w.Contact)
			}
		}
		if w != nil && w.Notices && len(found) > 0 {
			if err := notice(ctx, tx, r, found); err != nil {
				return err
			}
		}
		u := tx.NewUpdate().Model((*row)(nil)).Where("id = ? AND enabled AND at = ?", r.ID, r.At).Set("at = ?", at).Set("trouble = ?", trouble)
		if len(found) > 0 && (sent > 0 || w.Notices) {
			u = u.Set("told = told + ?", len(found)).Set("told_at = ?", s.deps.Clock().UnixMilli())
		}
		done, err := u.Exec(ctx)
		if err != nil {
			return fmt.Errorf("note how far it has looked: %w", err)
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			return errMoved
		}
		return nil
	})
	if errors.Is(err, errMoved) {
		return nil // it was deleted, switched off or changed: the next look knows
	}
	if err == nil {
		r.At = at
		s.deps.Outbox.Wake()
	}
	return err
}

var errMoved = errors.New("the subscription is another than it was")

// runs parts changes into notifications: of one tenant and of what data scopes
// see alike, so that the delivery log shows each to who may see all of it.
func runs(list []cmdb.HistoryEntry) (out [][]cmdb.HistoryEntry) {
	for start := 0; start < len(list); {
		end := start + 1
		for end < len(list) && end-start < batch && list[end].Tenant == list[start].Tenant && list[end].Facts == list[start].Facts {
			end++
		}
		out = append(out, list[start:end])
		start = end
	}
	return out
}

// message makes the notification of some changes, which are alike.
func (s *Service) message(r *row, w *Wants, kind string, list []cmdb.HistoryEntry) outbox.Message {
	n := Notification{Version: Version, Subscription: Ref{r.ID, r.Name}, Changes: list}
	n.say(s.deps.Items.Model())
	m := outbox.Message{Kind: kind, Only: w.Contact, Thread: "cmdb-subscription/" + r.ID, Route: "cmdb: " + r.Name, People: []string{r.OwnerName},
		Render: func(outbox.Addressee) ([]byte, error) { return json.Marshal(n) }}
	if m.Sample = len(list) == 0; !m.Sample {
		m.Tenant, m.Facts = list[0].Tenant, list[0].Facts
		m.Unique = fmt.Sprintf("%s %d-%d", r.ID, list[0].ID, list[len(list)-1].ID)
	}
	return m
}

// Gate lets out what a subscription's owner may see at this moment; see
// outbox.Gate.
func (s *Service) Gate(ctx context.Context, body []byte) error {
	var n Notification
	if err := json.Unmarshal(body, &n); err != nil {
		return fmt.Errorf("%w: it cannot be read: %w", outbox.ErrShut, err)
	}
	var owners []string
	if err := s.db.NewSelect().Model((*row)(nil)).Column("owner").Where("id = ?", n.Subscription.ID).Scan(ctx, &owners); err != nil {
		return fmt.Errorf("subscription: read %s: %w", n.Subscription.ID, err)
	}
	if len(owners) == 0 {
		return fmt.Errorf("%w: the subscription was deleted", outbox.ErrShut)
	}
	within, err := s.deps.Reach(ctx, owners[0])
	if err != nil {
		return err
	}
	return s.allowed(ctx, within, n.Changes)
}

func (s *Service) allowed(ctx context.Context, within reach.Reach, list []cmdb.HistoryEntry) error {
	ids := make([]int64, len(list))
	for i, h := range list {
		ids[i] = h.ID
	}
	seen, err := s.deps.Items.SomeChanges(ctx, within, ids)
	if err != nil {
		return err
	}
	if len(seen) < len(ids) {
		return fmt.Errorf("%w: %d of its %d changes are not within the reach of the subscription's owner any more", outbox.ErrShut, len(ids)-len(seen), len(ids))
	}
	return nil
}

// Test sends a notification without changes to a subscription's contact point
// and returns its id in the delivery log; "" where the contact point takes none.
func (s *Service) Test(ctx context.Context, a Asker, id string) (delivery string, err error) {
	r, err := s.find(ctx, s.db, a, id)
	if err != nil {
		return "", err
	}
	w, err := r.wants()
	if err != nil {
		return "", err
	}
	if w.Contact == "" {
		return "", fmt.Errorf("%w: it names no contact point that could be tested", ErrInvalid)
	}
	m := s.message(r, &w, KindTest, nil)
	m.Unique = fmt.Sprintf("%s test %d", r.ID, s.deps.Clock().UnixNano())
	sent := 0
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) (err error) {
		sent, err = s.deps.Outbox.Enqueue(ctx, tx, m)
		return err
	})
	if err != nil || sent == 0 {
		return "", err
	}
	s.deps.Outbox.Wake()
	return m.Delivery(w.Contact), nil
}
