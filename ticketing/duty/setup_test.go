package duty

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/detections/policy"
	"icewatch/soc/reach"
	"icewatch/soc/seal"
	"icewatch/soc/state"
	"icewatch/ticketing"
	"icewatch/ticketing/outbox"
	"icewatch/ticketing/workdays"
)

// world is a suite with a clock that tests set: duty on real ticketing.
type world struct {
	t       *testing.T
	db      *state.DB
	box     *seal.Box
	tickets *ticketing.Service
	duty    *Store
	fault   func() error // of the next calls; nil for none

	mu  sync.Mutex
	at  time.Time
	num int
}

// opens opens an incident for each alert by itself.
type opens struct{}

func (opens) Incident(context.Context, policy.IncidentInput) (policy.Decision, error) {
	return policy.Decision{Open: true, Reasons: []detections.Text{{ZH: "测试", EN: "test"}}}, nil
}

// faulty is ticketing whose calls may fail after they were written, as a crash
// would have it.
type faulty struct {
	*ticketing.Service
	w *world
}

func (f faulty) CallOut(ctx context.Context, tx bun.Tx, c ticketing.Call) error {
	err := f.Service.CallOut(ctx, tx, c)
	if err == nil && f.w.fault != nil {
		err = f.w.fault()
	}
	return err
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

func (w *world) forward(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = w.at.Add(d)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, at: shanghai(t, "2026-11-26 10:00").UTC(), box: seal.Ephemeral(slices.Concat(outbox.Sealed(), Sealed())...)}
	db, err := state.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	w.db = db
	w.restart()
	if _, err := w.tickets.Outbox().AddReceiver(t.Context(), "test", outbox.Receiver{Name: "pager", URL: "http://192.0.2.1/hook", Secret: "secret-of-the-test-0123456789"}); err != nil {
		t.Fatal(err)
	}
	return w
}

// restart opens everything anew on the same file, as after a crash.
func (w *world) restart() {
	w.t.Helper()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	var err error
	w.duty, err = Open(w.t.Context(), w.db, Deps{Seal: w.box, Clock: w.now, Log: log, URL: "https://soc.example.org/", Holidays: func() *workdays.Holidays { return holidays },
		Known: func(name string) bool { return name != "nobody" }})
	if err != nil {
		w.t.Fatal(err)
	}
	w.tickets, err = ticketing.Open(w.t.Context(), w.db, ticketing.Deps{Policy: opens{}, Seal: w.box, Clock: w.now, Log: log, Zone: time.UTC, Assigner: w.duty})
	if err != nil {
		w.t.Fatal(err)
	}
	w.duty.Serve(faulty{w.tickets, w})
}

var all = ticketing.Actor{Name: "lead", Reach: reach.All()}

func (w *world) team(c Content) Team {
	w.t.Helper()
	if c.Name == (Text{}) {
		c.Name = Text{ZH: "安全运营", EN: "Security operations"}
	}
	team, err := w.duty.Put(w.t.Context(), all, "", 0, c)
	if err != nil {
		w.t.Fatal(err)
	}
	return team
}

// day is a line on which the people take turns day by day from midnight.
func dayLine(key string, people ...string) Line {
	return Line{Key: key, Name: Text{ZH: key}, Layers: []Layer{{From: "2026-11-26", Turn: Turn{Handover: "00:00"}, People: groups(people...)}}}
}

// incident opens one and returns it.
func (w *world) incident(tenant, priority string) ticketing.Incident {
	w.t.Helper()
	w.num++
	n := w.num
	o := detections.Occurrence{ID: fmt.Sprint("occ", n), Key: fmt.Sprint("key", n), Tenant: tenant, Time: w.now(), From: w.now(), Count: 1, Priority: priority,
		Rule:   detections.RuleRef{ID: fmt.Sprint("rule", n), Level: detections.High, Title: detections.Text{ZH: "测试", EN: "Test"}},
		Group:  []detections.Pair{{Field: "n", Value: fmt.Sprint(n)}},
		Fields: map[string]string{"icewatch.ci.id": fmt.Sprint("ci", n), "icewatch.ci.name": fmt.Sprint("host", n), "icewatch.ci.owner": "周敏"}}
	if err := w.tickets.Ingest(w.t.Context(), []detections.Occurrence{o}); err != nil {
		w.t.Fatal(err)
	}
	items, _, _, err := w.tickets.Incidents(w.t.Context(), ticketing.IncidentQuery{Reach: reach.All(), Page: ticketing.Page{Limit: 1, Sort: "-opened_at"}})
	if err != nil || len(items) != 1 {
		w.t.Fatalf("incidents: %d, %v", len(items), err)
	}
	return w.read(items[0].ID)
}

func (w *world) read(id string) ticketing.Incident {
	w.t.Helper()
	i, err := w.tickets.Incident(w.t.Context(), reach.All(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return i.Incident
}

// settle lets escalation do all that is due now.
func (w *world) settle() error {
	for before := int64(-1); ; {
		n, err := w.db.NewSelect().Model((*callRow)(nil)).Count(w.t.Context())
		if err != nil || n == before {
			return err
		}
		before = n
		if _, err := w.duty.Escalate(w.t.Context()); err != nil {
			return err
		}
	}
}

func (w *world) calls(id string) []Called {
	w.t.Helper()
	p, err := w.duty.Progress(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return p.Calls
}

// pages are the bodies that wait to be sent, by delivery.
func (w *world) pages(kind string) map[string]string {
	w.t.Helper()
	var rows []struct{ Delivery, Body string }
	if err := w.db.NewRaw("SELECT delivery, body FROM outbox_messages WHERE kind = ?", kind).Scan(w.t.Context(), &rows); err != nil {
		w.t.Fatal(err)
	}
	out := map[string]string{}
	for _, r := range rows {
		out[r.Delivery] = r.Body
	}
	return out
}
