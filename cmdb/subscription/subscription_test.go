package subscription

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"icewatch/cmdb"
	"icewatch/cmdb/cmdbtest"
	"icewatch/soc/egress"
	"icewatch/soc/reach"
	"icewatch/soc/seal"
	"icewatch/soc/state"
	"icewatch/ticketing/channel"
	"icewatch/ticketing/outbox"
	"icewatch/ticketing/webhook"
)

// world is a CMDB with subscriptions, an outbox and somebody who listens.
type world struct {
	*Service
	t     *testing.T
	items *cmdb.Service
	db    *state.DB
	box   *outbox.Box
	mu    sync.Mutex
	reach map[string]reach.Reach // by user
	heard []Notification
	ids   []string
	busy  bool // the listener asks to be asked later
}

var wang = Asker{User: "u1", Name: "wang"}

// onBoth runs a test with the CMDB on both kinds of databases.
func onBoth(t *testing.T, test func(t *testing.T, w *world)) {
	cmdbtest.OnBoth(t, func(t *testing.T, items *cmdb.Service) {
		w := &world{t: t, items: items, reach: map[string]reach.Reach{"u1": reach.All()}}
		var err error
		if w.db, err = state.Open(t.Context(), filepath.Join(t.TempDir(), "sent.db")); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { w.db.Close() })
		listener := httptest.NewServer(http.HandlerFunc(w.listen))
		t.Cleanup(listener.Close)
		w.open()
		settings, _ := json.Marshal(channel.Webhook{URL: listener.URL, Secret: "s3cret"})
		if _, err := w.box.AddContact(t.Context(), "t", outbox.Contact{Name: "hook", Kind: "webhook", Settings: settings}); err != nil {
			t.Fatal(err)
		}
		test(t, w)
	})
}

// open opens outbox and subscriptions on the same state, as after a kill.
func (w *world) open() {
	w.t.Helper()
	guard, err := egress.New(egress.Options{Allow: []string{"127.0.0.0/8"}})
	if err != nil {
		w.t.Fatal(err)
	}
	if w.box == nil {
		w.box, err = outbox.Open(w.t.Context(), w.db, outbox.Deps{Seal: seal.Ephemeral(outbox.Sealed()...), Egress: guard, Log: slog.New(slog.DiscardHandler),
			Config: outbox.Config{BackoffMin: 10 * time.Millisecond, BackoffMax: 20 * time.Millisecond}})
		if err != nil {
			w.t.Fatal(err)
		}
	}
	w.Service, err = Open(w.t.Context(), w.db, Deps{Items: w.items, Outbox: w.box, Log: slog.New(slog.DiscardHandler),
		Reach: func(_ context.Context, user string) (reach.Reach, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.reach[user], nil
		}})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) listen(out http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.busy {
		out.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	var n Notification
	if err := json.Unmarshal(body, &n); err != nil || n.Version != Version || r.Header.Get(webhook.SignatureHeader) != webhook.Sign("s3cret", body) {
		w.t.Errorf("the listener got %.300s, signed %q: %v", body, r.Header.Get(webhook.SignatureHeader), err)
	}
	w.heard, w.ids = append(w.heard, n), append(w.ids, r.Header.Get(webhook.DeliveryHeader))
}

// see changes what a user may see from now on.
func (w *world) see(user string, r reach.Reach) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reach[user] = r
}

func (w *world) deliver() {
	w.t.Helper()
	w.box.Guard(w.Gate)
	ctx, stop := context.WithCancel(w.t.Context())
	done := make(chan struct{})
	go func() { defer close(done); w.box.Run(ctx) }()
	w.t.Cleanup(func() { stop(); <-done })
}

func (w *world) until(what string, cond func() bool) {
	w.t.Helper()
	for range 6000 {
		if cond() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	w.t.Fatalf("did not come about: %s", what)
}

func (w *world) told() (out []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.heard {
		for i := range n.Changes {
			out = append(out, kindOf(&n.Changes[i])+" "+n.Changes[i].ItemID)
		}
	}
	return out
}

func (w *world) subscribe(a Asker, wants Wants) Subscription {
	w.t.Helper()
	s, err := w.Create(w.t.Context(), a, "what I want", wants)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// noticed lists the notices of a user, oldest first.
func (w *world) noticed(user string) (out []string) {
	w.t.Helper()
	if err := w.Tell(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	within := w.reach[user]
	w.mu.Unlock()
	list, err := w.Notices(w.t.Context(), user, within, false, 0, 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, n := range slices.Backward(list) {
		out = append(out, n.Kind+" "+n.Change.ItemID)
	}
	return out
}

func (w *world) put(items string) { w.t.Helper(); cmdbtest.Import(w.t, w.items, items) }

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// TestWhatIsWanted: each way to narrow a subscription, on one story.
func TestWhatIsWanted(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world) {
		w.put(`{"id":"before","class":"host","name":"before","tenant":"a"}`)
		wants := []struct {
			name string
			Wants
			want []string
		}{
			{"all", Wants{}, []string{"created sys", "created h1", "created n1", "updated h1", "updated h1", "related h1", "related n1", "updated h1", "deleted n1"}},
			{"class", Wants{Classes: []string{"network"}}, []string{"created n1", "related n1", "deleted n1"}},
			{"class and those that extend it", Wants{Classes: []string{"computer"}, Kinds: []string{Created}}, []string{"created h1"}},
			{"kind", Wants{Kinds: []string{Deleted, Related}}, []string{"related h1", "related n1", "deleted n1"}},
			{"fields", Wants{Kinds: []string{Updated}, Fields: []string{"owner"}}, []string{"updated h1"}},
			{"attribute", Wants{Kinds: []string{Updated}, Fields: []string{"attr.os"}}, []string{"updated h1"}},
			// It is told of what it was as well: the one that leaves the filter, and the one that is deleted.
			{"filter", Wants{Kinds: []string{Created, Updated, Deleted}, Filter: "criticality >= 4 or name = n1"}, []string{"created n1", "updated h1", "updated h1", "deleted n1"}},
			{"what it belongs to", Wants{Filter: `system.name = "pay" and criticality < 3`}, []string{"created h1", "updated h1"}},
		}
		for i := range wants {
			wants[i].Notices = true
			user := fmt.Sprint("of ", wants[i].name)
			w.see(user, reach.All())
			w.subscribe(Asker{User: user, Name: user}, wants[i].Wants)
		}
		w.put(`{"id":"sys","class":"business_system","name":"pay","tenant":"a"}
{"id":"h1","class":"host","name":"h1","tenant":"a","criticality":2,"system":"sys"}
{"id":"n1","class":"network","name":"n1","tenant":"a","criticality":2}`)
		w.put(`{"id":"h1","class":"host","name":"h1","tenant":"a","criticality":5}`)
		w.put(`{"id":"h1","class":"host","name":"h1","tenant":"a","criticality":3,"owner":"li"}`)
		if _, err := w.items.Relate(t.Context(), reach.All(), "t", []cmdb.Link{{From: "h1", Type: "connects_to", To: "n1"}}); err != nil {
			t.Fatal(err)
		}
		w.put(`{"id":"h1","class":"host","name":"h1","tenant":"a","attributes":{"os":"Kylin"}}`)
		if err := w.items.Delete(t.Context(), reach.All(), "t", "n1"); err != nil {
			t.Fatal(err)
		}
		for _, x := range wants {
			same(t, x.name, w.noticed("of "+x.name), x.want)
			list, looked, err := w.Preview(t.Context(), reach.All(), x.Wants)
			if err != nil || looked < 10 || len(list) < len(x.want) {
				t.Errorf("%s: the preview tells %d of %d: %v", x.name, len(list), looked, err)
			}
		}
	})
}

// TestReachOfTheMoment: what is told is what the owner may see when it is found,
// when it is sent and when it is read.
func TestReachOfTheMoment(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world) {
		w.see("u1", reach.Tenants("a"))
		sub := w.subscribe(wang, Wants{Contact: "hook", Notices: true})
		w.put(`{"id":"a1","class":"host","name":"a1","tenant":"a"}
{"id":"b1","class":"host","name":"b1","tenant":"b"}`)
		// A relation to what he may not see is not his to know, either.
		if _, err := w.items.Relate(t.Context(), reach.All(), "t", []cmdb.Link{{From: "a1", Type: "connects_to", To: "b1"}}); err != nil {
			t.Fatal(err)
		}
		same(t, "notices of a", w.noticed("u1"), []string{"created a1"})

		// What waits in the outbox is asked for once more.
		w.see("u1", reach.Tenants("b"))
		w.deliver()
		var failed []outbox.Attempt
		w.until("the delivery is shut out", func() bool {
			var err error
			failed, _, _, err = w.box.Log(t.Context(), outbox.LogQuery{Reach: reach.All(), Limit: 10})
			return err == nil && len(failed) > 0
		})
		if failed[0].Status != outbox.Failed || !strings.Contains(failed[0].Error, "reach") || len(w.told()) > 0 {
			t.Errorf("the delivery came to %+v, told %q", failed[0], w.told())
		}
		same(t, "notices of b", w.noticed("u1"), nil)

		// The log shows it to who sees the item, and it goes out once the owner does again.
		if _, err := w.box.Again(t.Context(), "t", reach.Tenants("b"), failed[0].Delivery); !errors.Is(err, outbox.ErrNoDelivery) {
			t.Errorf("another tenant sees the delivery: %v", err)
		}
		w.see("u1", reach.Tenants("a"))
		if _, err := w.box.Again(t.Context(), "t", reach.Tenants("a"), failed[0].Delivery); err != nil {
			t.Fatal(err)
		}
		w.until("it is delivered", func() bool { return len(w.told()) > 0 })
		same(t, "told", w.told(), []string{"created a1"})
		if w.ids[0] != failed[0].Delivery {
			t.Errorf("it was sent again as %s, not %s", w.ids[0], failed[0].Delivery)
		}

		// An owner who is gone is told nothing, and the subscription says why.
		w.see("u1", reach.None())
		w.put(`{"id":"a2","class":"host","name":"a2","tenant":"a"}`)
		if err := w.Tell(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s, err := w.Get(t.Context(), wang, sub.ID); err != nil || s.Trouble == "" || s.Told != 1 {
			t.Errorf("the subscription of nobody: %+v, %v", s, err)
		}
	})
}

// TestKilled: whatever a kill takes away is told once more, in order and under
// the same ids, and nothing is lost.
func TestKilled(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world) {
		w.subscribe(wang, Wants{Contact: "hook"})
		var want []string
		for n := range 3 {
			id := fmt.Sprint("h", n)
			want = append(want, "created "+id)
			w.put(fmt.Sprintf(`{"id":%q,"class":"host","name":%q,"tenant":"a"}`, id, id))
			// It breaks off before the commit: nothing may be half done.
			broken, stop := context.WithCancel(t.Context())
			stop()
			if err := w.Tell(broken); err == nil {
				t.Fatal("telling went well without a context")
			}
			w.open()
			if n > 0 { // the first is told with the second
				if err := w.Tell(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		w.mu.Lock()
		w.busy = true
		w.mu.Unlock()
		w.deliver()
		w.until("an attempt fails", func() bool {
			list, _, _, err := w.box.Log(t.Context(), outbox.LogQuery{Reach: reach.All(), Limit: 10})
			return err == nil && len(list) > 0
		})
		w.mu.Lock()
		w.busy = false
		w.mu.Unlock()
		w.until("everything is told", func() bool { return len(w.told()) >= len(want) })
		same(t, "told", w.told(), want)
	})
}

// TestBounds: a contact point that takes nothing holds its subscription up, not
// the outbox; many changes are few notifications.
func TestBounds(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world) {
		sub := w.subscribe(wang, Wants{Contact: "hook", Notices: true})
		var many strings.Builder
		for n := range keep + batch {
			fmt.Fprintf(&many, `{"id":"h%04d","class":"host","name":"h%04d","tenant":"a"}`+"\n", n, n)
		}
		w.put(many.String())
		if got := len(w.noticed("u1")); got != keep {
			t.Errorf("%d notices are kept, want %d", got, keep)
		}
		if n, err := w.box.Waiting(t.Context(), "hook"); err != nil || n != (keep+batch)/batch {
			t.Errorf("%d changes wait as %d notifications: %v", keep+batch, n, err)
		}
		full := &world{t: t, items: w.items, reach: w.reach}
		full.Service = &Service{db: w.db, deps: w.deps}
		full.deps.Outbox = crowded{w.box}
		w.put(`{"id":"late","class":"host","name":"late","tenant":"a"}`)
		if err := full.Tell(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s, err := w.Get(t.Context(), wang, sub.ID); err != nil || s.Trouble == "" || s.Told != keep+batch {
			t.Errorf("behind a full queue: %+v, %v", s, err)
		}
		if err := w.Tell(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s, err := w.Get(t.Context(), wang, sub.ID); err != nil || s.Trouble != "" || s.Told != keep+batch+1 {
			t.Errorf("once there is room: %+v, %v", s, err)
		}
	})
}

// crowded is an outbox in which too much waits.
type crowded struct{ *outbox.Box }

func (crowded) Waiting(context.Context, string) (int, error) { return maxQueued, nil }

// TestKeeping: who may see and change a subscription, and what is refused.
func TestKeeping(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		for name, x := range map[string]Wants{
			"nobody is told":      {},
			"unknown class":       {Notices: true, Classes: []string{"spaceship"}},
			"unknown kind":        {Notices: true, Kinds: []string{"eaten"}},
			"unknown field":       {Notices: true, Fields: []string{"colour"}},
			"unknown attribute":   {Notices: true, Fields: []string{"attr.nowhere"}},
			"broken filter":       {Notices: true, Filter: "criticality >="},
			"relations in filter": {Notices: true, Filter: "not (has -runs_on-> host)"},
		} {
			if _, err := w.Create(ctx, wang, "x", x); !errors.Is(err, ErrInvalid) {
				t.Errorf("%s: %v, want ErrInvalid", name, err)
			}
		}
		if _, err := w.Create(ctx, wang, "  ", Wants{Notices: true}); !errors.Is(err, ErrInvalid) {
			t.Errorf("without a name: %v", err)
		}
		s := w.subscribe(wang, Wants{Notices: true})
		li, admin := Asker{User: "u2", Name: "li"}, Asker{User: "u3", Name: "admin", Manage: true}
		if _, err := w.Get(ctx, li, s.ID); !errors.Is(err, ErrNotFound) {
			t.Errorf("another sees it: %v", err)
		}
		if err := w.Delete(ctx, li, s.ID); !errors.Is(err, ErrNotFound) {
			t.Errorf("another deletes it: %v", err)
		}
		if list, err := w.List(ctx, li, true); err != nil || len(list) != 0 {
			t.Errorf("another lists %v, %v", list, err)
		}
		if list, err := w.List(ctx, admin, true); err != nil || len(list) != 1 || list[0].Mine {
			t.Errorf("the administrator lists %v, %v", list, err)
		}
		if _, err := w.Change(ctx, admin, s.ID, Edit{Revision: 1, Enabled: true}); !errors.Is(err, ErrInvalid) {
			t.Errorf("the administrator changes what another wants: %v", err)
		}
		off, err := w.Change(ctx, admin, s.ID, Edit{Revision: 1})
		if err != nil || off.Enabled || off.Name != s.Name || off.Revision != 2 {
			t.Fatalf("switched off: %+v, %v", off, err)
		}
		w.put(`{"id":"h1","class":"host","name":"h1","tenant":"a"}`)
		if _, err := w.Change(ctx, wang, s.ID, Edit{Revision: 1, Name: "y", Enabled: true, Wants: s.Wants}); !errors.Is(err, ErrConflict) {
			t.Errorf("a change of what was changed since: %v", err)
		}
		if _, err := w.Change(ctx, wang, s.ID, Edit{Revision: 2, Name: "y", Enabled: true, Wants: s.Wants}); err != nil {
			t.Fatal(err)
		}
		w.put(`{"id":"h2","class":"host","name":"h2","tenant":"a"}`)
		same(t, "told after it was off", w.noticed("u1"), []string{"created h2"})

		if n, err := w.Mark(ctx, "u1", nil, true); err != nil || n != 1 {
			t.Errorf("marked %d, %v", n, err)
		}
		if list, err := w.Notices(ctx, "u1", reach.All(), true, 0, 10); err != nil || len(list) != 0 {
			t.Errorf("unread after reading: %v, %v", list, err)
		}
		if n, err := w.Mark(ctx, "u1", nil, false); err != nil || n != 1 {
			t.Errorf("unmarked %d, %v", n, err)
		}
		if _, err := w.Test(ctx, wang, s.ID); !errors.Is(err, ErrInvalid) {
			t.Errorf("a test without a contact point: %v", err)
		}
		hook := w.subscribe(wang, Wants{Contact: "hook"})
		w.deliver()
		id, err := w.Test(ctx, wang, hook.ID)
		if err != nil || id == "" {
			t.Fatalf("test: %q, %v", id, err)
		}
		w.until("the test arrives", func() bool { w.mu.Lock(); defer w.mu.Unlock(); return slices.Contains(w.ids, id) })
		if err := w.Delete(ctx, wang, hook.ID); err != nil {
			t.Error(err)
		}
	})
}

// TestRun: changes are told as they come, without anybody asking.
func TestRun(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world) {
		w.subscribe(wang, Wants{Contact: "hook", Classes: []string{"host"}})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); w.Run(ctx) }()
		t.Cleanup(func() { stop(); <-done })
		w.deliver()
		w.put(`{"id":"h1","class":"host","name":"h1","tenant":"a"}`)
		w.until("it is told", func() bool { return len(w.told()) == 1 })
		n := w.heard[0]
		if !strings.Contains(n.SummaryEN, "h1") || !strings.Contains(n.Summary, "新建") || n.Text == "" {
			t.Errorf("in words: %+v", n)
		}
	})
}
