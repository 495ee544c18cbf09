package book

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"icewatch/soc/backtest"
	"icewatch/soc/state"
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
		x, err := b.Get(t.Context(), owner, id)
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
	first, err := b.Start(ctx, "ann", "one", BacktestSpec{Rule: "r1"}, long)
	if err != nil {
		t.Fatal(err)
	}
	second, err := b.Start(ctx, "ann", "two", BacktestSpec{Rule: "r2"}, quick)
	if err != nil {
		t.Fatal(err)
	}
	<-begun
	if x, _ := b.Get(ctx, "ann", first.ID); x.State != Running || x.Progress.Share != 0.5 {
		t.Errorf("%+v", x)
	}
	for _, err := range []error{func() error { _, err := b.Get(ctx, "bob", first.ID); return err }(), func() error { _, err := b.Cancel(ctx, "bob", first.ID); return err }(), b.Delete(ctx, "bob", second.ID)} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("another's: %v", err)
		}
	}
	if _, err := b.Cancel(ctx, "ann", first.ID); err != nil {
		t.Fatal(err)
	}
	if x := ended(t, b, "ann", first.ID); x.State != Cancelled || x.Findings != nil {
		t.Errorf("%+v", x)
	}
	if x := ended(t, b, "ann", second.ID); x.State != Done || x.Findings == nil || x.Findings.Alerts != 3 || len(x.Findings.Samples[0].Fields["a"]) > 2*maxField {
		t.Errorf("%+v", x)
	}
	if list, err := b.List(ctx, "ann", "r2"); err != nil || len(list) != 1 || list[0].Findings != nil {
		t.Errorf("%+v, %v", list, err)
	}
	if err := b.Delete(ctx, "ann", second.ID); err != nil {
		t.Error(err)
	}
	stop()
	for range maxWaitingOwn {
		if _, err := b.Start(t.Context(), "ann", "waits", BacktestSpec{}, quick); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Start(t.Context(), "ann", "waits", BacktestSpec{}, quick); !errors.Is(err, ErrBusy) {
		t.Errorf("one too many: %v", err)
	}
}

// TestStartedAnew finds what ran when the suite ended.
func TestStartedAnew(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state.db")
	b := open(t, path)
	x, err := b.Start(t.Context(), "ann", "one", BacktestSpec{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if x, err := open(t, path).Get(t.Context(), "ann", x.ID); err != nil || x.State != Failed || x.Error == "" {
		t.Errorf("%+v, %v", x, err)
	}
}
