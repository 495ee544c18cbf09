package slow

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"icewatch/soc/search"
	"icewatch/soc/state"
)

// sleepy answers three rows after a while.
type sleepy struct {
	search.Store
	takes time.Duration
	err   error
}

func (s *sleepy) Query(ctx context.Context, _ search.Request, emit func([]byte) error) error {
	time.Sleep(s.takes)
	for range 3 {
		if err := emit([]byte("{}")); err != nil {
			return err
		}
	}
	return s.err
}

func (s *sleepy) Values(context.Context, search.Request, string, int) ([]search.ValueHits, error) {
	time.Sleep(s.takes)
	return make([]search.ValueHits, 2), s.err
}

func TestSlow(t *testing.T) {
	t.Parallel()
	db, err := state.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	least := 20 * time.Millisecond
	l, err := Open(t.Context(), db, func() time.Duration { return least }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	below := &sleepy{takes: 30 * time.Millisecond}
	s := l.Watch(below, func(context.Context) string { return "li" })
	req := search.Request{Query: "error " + strings.Repeat("x", 2*maxQuery), Start: time.UnixMilli(1000), End: time.UnixMilli(2000)}
	ask := func(ctx context.Context) error { return s.Query(ctx, req, func([]byte) error { return nil }) }
	if err := ask(t.Context()); err != nil {
		t.Fatal(err)
	}
	below.err = context.DeadlineExceeded
	if _, err := l.Watch(below, func(context.Context) string { return "schedule of wang" }).Values(t.Context(), req, "f", 10); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("the error is not handed on: %v", err)
	}
	below.takes, below.err = 0, nil
	_ = ask(t.Context()) // a quick one
	least = 0
	below.takes = 30 * time.Millisecond
	_ = ask(t.Context()) // nothing is slow
	if l.Count() != 2 {
		t.Errorf("%d count as slow, want 2", l.Count())
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.Run(ctx)
	}()
	var list []Search
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if list, _, err = l.List(t.Context(), 10, 0); err != nil || len(list) == 2 {
			break
		}
	}
	cancel()
	<-done
	if err != nil || len(list) != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	if a := list[0]; a.Who != "schedule of wang" || a.Kind != "values" || a.Outcome != Timeout || a.Rows != 2 {
		t.Errorf("the latest is %+v", a)
	}
	if a := list[1]; a.Who != "li" || a.Kind != "rows" || a.Outcome != OK || a.Rows != 3 || a.Took < 30 || len(a.Query) != maxQuery || a.Start.UnixMilli() != 1000 || a.Stop.UnixMilli() != 2000 {
		t.Errorf("the first is %+v", a)
	}
}
