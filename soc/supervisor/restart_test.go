package supervisor

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// turns are options that differ at each start.
type turns struct {
	dir string
	n   atomic.Int64
}

func (o *turns) MarshalJSON() ([]byte, error) {
	name := []string{"first", "second"}[min(o.n.Add(1), 2)-1]
	return json.Marshal(options{filepath.Join(o.dir, name)})
}

// TestRestart: the child ends in order and starts with the options as they are
// then, and it counts neither as a death nor as one more restart.
func TestRestart(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s := New(Child{Name: "child", Command: []string{self, "play-child"}, Options: &turns{dir: dir}, Log: slog.New(slog.DiscardHandler)})
	s.Restart() // nothing runs yet
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(ctx)
	}()
	lines(t, filepath.Join(dir, "first"), 1)
	s.Restart()
	s.Restart() // once is enough
	if got := lines(t, filepath.Join(dir, "first"), 2); len(got) != 2 || !strings.HasPrefix(got[1], "ended") {
		t.Errorf("the first wrote %q", got)
	}
	lines(t, filepath.Join(dir, "second"), 1)
	if s.Restarts() != 0 || s.Last().InRow != 0 {
		t.Errorf("%d restarts, the last death %+v", s.Restarts(), s.Last())
	}
	cancel()
	<-done
}
