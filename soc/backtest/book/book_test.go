package book

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"icewatch/soc/backtest"
	"icewatch/soc/reach"
	"icewatch/soc/state"
	"icewatch/soc/veil"
)

func open(t *testing.T, path string) *Book {
	t.Helper()
	db, err := state.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	b, err := Open(t.Context(), db, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func ended(t *testing.T, b *Book, owner, id string) Backtest {
	t.Helper()
	for range 500 {
		x, err := b.Get(t.Context(), Asker{Owner: owner}, id)
		if err != nil {
			t.Fatal(err)
		}
		if !x.EndedAt.IsZero() {
			return x
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("it does not end")
	return Backtest{}
}

func TestBook(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state.db")
	b := open(t, path)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go b.Run(ctx)
	begun := make(chan struct{})
	long := func(ctx context.Context, tell func(backtest.Advance)) (backtest.Findings, error) {
		tell(backtest.Advance{Share: 0.5})
		close(begun)
		<-ctx.Done()
		return backtest.Findings{}, ctx.Err()
	}
	quick := func(context.Context, func(backtest.Advance)) (backtest.Findings, error) {
		return backtest.Findings{Alerts: 3, Samples: []backtest.SampleFiring{{Fields: map[string]string{"a": string(make([]byte, 5000))}}}}, nil
	}
	first, err := b.Start(ctx, "ann", "one", nil, BacktestSpec{Rule: "r1"}, long)
	if err != nil {
		t.Fatal(err)
	}
	second, err := b.Start(ctx, "ann", "two", nil, BacktestSpec{Rule: "r2"}, quick)
	if err != nil {
		t.Fatal(err)
	}
	<-begun
	if x, _ := b.Get(ctx, Asker{Owner: "ann"}, first.ID); x.State != Running || x.Progress.Share != 0.5 {
		t.Errorf("%+v", x)
	}
	for _, err := range []error{func() error { _, err := b.Get(ctx, Asker{Owner: "bob"}, first.ID); return err }(), func() error { _, err := b.Cancel(ctx, Asker{Owner: "bob"}, first.ID); return err }(), b.Delete(ctx, Asker{Owner: "bob"}, second.ID)} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("another's: %v", err)
		}
	}
	if _, err := b.Cancel(ctx, Asker{Owner: "ann"}, first.ID); err != nil {
		t.Fatal(err)
	}
	if x := ended(t, b, "ann", first.ID); x.State != Cancelled || x.Findings != nil {
		t.Errorf("%+v", x)
	}
	if x := ended(t, b, "ann", second.ID); x.State != Done || x.Findings == nil || x.Findings.Alerts != 3 || len(x.Findings.Samples[0].Fields["a"]) > 2*maxField {
		t.Errorf("%+v", x)
	}
	if list, err := b.List(ctx, Asker{Owner: "ann"}, "r2"); err != nil || len(list) != 1 || list[0].Findings != nil {
		t.Errorf("%+v, %v", list, err)
	}
	if err := b.Delete(ctx, Asker{Owner: "ann"}, second.ID); err != nil {
		t.Error(err)
	}
	stop()
	for range maxWaitingOwn {
		if _, err := b.Start(t.Context(), "ann", "waits", nil, BacktestSpec{}, quick); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Start(t.Context(), "ann", "waits", nil, BacktestSpec{}, quick); !errors.Is(err, ErrBusy) {
		t.Errorf("one too many: %v", err)
	}
}

// TestReachOfNow: what was judged within more than the asker sees now is not there
// for him, whether it waits or has ended.
func TestReachOfNow(t *testing.T) {
	t.Parallel()
	var c reach.Compiler
	city := func(tax string) {
		c.SetDirectory(reach.NewDirectory([]reach.Tenant{{Slug: "tax", Region: tax}, {Slug: "water", Region: "south"}, {Slug: "parks", Region: "north"}}, nil))
	}
	city("north")
	compile := func(expression string, tenants ...string) reach.Reach {
		t.Helper()
		r, err := c.Reach(tenants, expression)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	in := func(r reach.Reach) Asker {
		return Asker{Owner: "ann", Sees: func(w Within) bool { return w.In(r, c.Reach) }}
	}
	path := filepath.Join(t.TempDir(), "state.db")
	b := open(t, path)
	const north = `region = "north"`
	if w := WithinOf(reach.None(), c.Reach); w != nil {
		t.Errorf("nothing: %+v", w)
	}
	ids := map[string]string{}
	for name, w := range map[string]*Within{"all": WithinOf(reach.All(), c.Reach), "logs": WithinOf(reach.All().WithLogs("app:nginx"), c.Reach), "north": WithinOf(compile(north), c.Reach), "tax": WithinOf(reach.Tenants("tax"), c.Reach), "unknown": nil} {
		x, err := b.Start(t.Context(), "ann", name, w, BacktestSpec{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		ids[name] = x.ID
	}
	masks, err := veil.New([]veil.Rule{{ID: "m", Fields: []string{"user.name"}, Method: veil.Full}}, []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	sees := func(b *Book, what string, r reach.Reach, want ...string) {
		t.Helper()
		list, err := b.List(t.Context(), in(r), "")
		if err != nil {
			t.Fatal(err)
		}
		got := []string{}
		for name, id := range ids {
			_, err := b.Get(t.Context(), in(r), id)
			if listed := slices.ContainsFunc(list, func(x Backtest) bool { return x.ID == id }); listed != (err == nil) {
				t.Errorf("%s: %s: %v, listed %v", what, name, err, listed)
			}
			if err == nil {
				got = append(got, name)
				continue
			}
			_, cancelled := b.Cancel(t.Context(), in(r), id)
			if removed := b.Delete(t.Context(), in(r), id); !errors.Is(err, ErrNotFound) || !errors.Is(cancelled, ErrNotFound) || !errors.Is(removed, ErrNotFound) {
				t.Errorf("%s: %s: read %v, ended %v, removed %v", what, name, err, cancelled, removed)
			}
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("%s sees %q, want %q", what, got, want)
		}
	}
	for _, state := range []string{"waiting", "ended"} {
		city("north")
		sees(b, state+", all", reach.All(), "all", "logs", "north", "tax")
		sees(b, state+", those logs", reach.All().WithLogs("app:nginx"), "logs")
		sees(b, state+", other logs", reach.All().WithLogs("app:sshd"))
		sees(b, state+", north", compile(north), "north")
		sees(b, state+", north of tax", compile(north, "tax"))
		sees(b, state+", tax", reach.Tenants("tax"), "tax")
		sees(b, state+", tax and parks", reach.Tenants("tax", "parks"), "tax")
		sees(b, state+", water", reach.Tenants("water"))
		sees(b, state+", nothing", reach.None())
		sees(b, state+", masked", reach.All().WithVeil(masks))
		// Compiled apart, in another order, it is the same reach.
		var apart reach.Compiler
		apart.SetDirectory(c.Directory())
		again, err := apart.Reach([]string{"tax", "water", "parks"}, north)
		if err != nil {
			t.Fatal(err)
		}
		if w := WithinOf(again, apart.Reach); !w.In(again, c.Reach) {
			t.Errorf("%s: %+v is not in itself", state, w)
		}
		city("south") // tax moves
		sees(b, state+", north since", compile(north))
		sees(b, state+", tax since", reach.Tenants("tax"), "tax")
		sees(b, state+", all since", reach.All(), "all", "logs", "north", "tax")
		b = open(t, path)
	}
}

// TestStartedAnew finds what ran when the suite ended.
func TestStartedAnew(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state.db")
	b := open(t, path)
	x, err := b.Start(t.Context(), "ann", "one", nil, BacktestSpec{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if x, err := open(t, path).Get(t.Context(), Asker{Owner: "ann"}, x.ID); err != nil || x.State != Failed || x.Error == "" {
		t.Errorf("%+v, %v", x, err)
	}
}
