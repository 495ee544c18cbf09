package ruleset

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestFollow changes folders in the ways that people and programs do.
func TestFollow(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	dir, later := filepath.Join(root, "rules"), filepath.Join(root, "later")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	told, ended := make(chan time.Time, 100), make(chan bool)
	go func() {
		Follow(ctx, []string{dir, later}, time.Hour, slog.New(slog.DiscardHandler), func() { told <- time.Now() })
		close(ended)
	}()
	time.Sleep(200 * time.Millisecond) // until the folder is watched
	f := func(what string, change func() error) {
		t.Helper()
		if err := change(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-told:
		case <-time.After(20 * time.Second):
			t.Fatalf("%s is not told", what)
		}
		for quiet := false; !quiet; {
			select {
			case <-told:
			case <-time.After(300 * time.Millisecond):
				quiet = true
			}
		}
	}
	sub := filepath.Join(dir, "sub")
	f("a new file", func() error { return os.WriteFile(filepath.Join(dir, "a.yml"), []byte("x"), 0o600) })
	f("a changed file", func() error { return os.WriteFile(filepath.Join(dir, "a.yml"), []byte("y"), 0o600) })
	f("a new folder", func() error { return os.Mkdir(sub, 0o700) })
	f("a file in a new folder", func() error { return os.WriteFile(filepath.Join(sub, "b.yml"), []byte("x"), 0o600) })
	f("a renamed file", func() error { return os.Rename(filepath.Join(sub, "b.yml"), filepath.Join(sub, "c.yml")) })
	f("a removed file", func() error { return os.Remove(filepath.Join(dir, "a.yml")) })
	cancel()
	<-ended
}

// TestFollowLooksAnyway where the system tells nothing.
func TestFollowLooksAnyway(t *testing.T) {
	t.Parallel()
	told := make(chan bool, 10)
	go Follow(t.Context(), []string{filepath.Join(t.TempDir(), "none")}, 20*time.Millisecond, slog.New(slog.DiscardHandler), func() {
		select {
		case told <- true:
		default:
		}
	})
	for range 3 {
		select {
		case <-told:
		case <-time.After(20 * time.Second):
			t.Fatal("the folders are not looked at")
		}
	}
}
