package supervisor

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

type options struct{ File string }

// TestMain lets the test binary play the child.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "play-child" {
		var o options
		ctx, err := Options(context.Background(), os.Stdin, &o)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		f, err := os.OpenFile(o.File, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			os.Exit(3)
		}
		fmt.Fprintln(f, "started", os.Getpid())
		<-ctx.Done()
		fmt.Fprintln(f, "ended", os.Getpid())
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func lines(t *testing.T, file string, want int) []string {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		b, _ := os.ReadFile(file)
		got := strings.Split(strings.TrimSpace(string(b)), "\n")
		if len(got) >= want && got[0] != "" {
			return got
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d lines, want %d: %q", len(got), want, got)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestAKilledChildIsStartedAgainAndEndsWithItsParent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := New(Child{Name: "child", Command: []string{self, "play-child"}, Options: options{filepath.Join(dir, "log")},
		PIDFile: filepath.Join(dir, "pid"), Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(ctx)
	}()
	log := filepath.Join(dir, "log")
	for round := 1; round <= 3; round++ {
		got := lines(t, log, round)
		pid, err := strconv.Atoi(strings.Fields(got[round-1])[1])
		if err != nil || s.PID() != pid {
			t.Fatalf("%q, but the process is %d", got, s.PID())
		}
		if b, err := os.ReadFile(filepath.Join(dir, "pid")); err != nil || strings.TrimSpace(string(b)) != strconv.Itoa(pid) {
			t.Fatalf("process id file %q: %v", b, err)
		}
		if round < 3 {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	cancel()
	<-done
	got := lines(t, log, 4)
	if !strings.HasPrefix(got[3], "ended") || s.Restarts() != 2 || s.PID() != 0 {
		t.Fatalf("%q, %d restarts", got, s.Restarts())
	}
	if _, err := os.Stat(filepath.Join(dir, "pid")); !os.IsNotExist(err) {
		t.Fatalf("the process id file stays behind: %v", err)
	}
}

func TestWhatTheSystemCannotExecuteIsDoneInside(t *testing.T) {
	t.Parallel()
	foreign := filepath.Join(t.TempDir(), "foreign")
	if err := os.WriteFile(foreign, []byte("\x7fELF of another machine"), 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := 0
	New(Child{Name: "child", Command: []string{foreign}, Log: slog.New(slog.DiscardHandler), Inside: func(context.Context) error {
		if ran++; ran == 2 {
			cancel()
		}
		return nil
	}}).Run(ctx)
	if ran != 2 {
		t.Fatalf("done %d times", ran)
	}
}

func TestOptionsRefusesWhatIsNoJSON(t *testing.T) {
	t.Parallel()
	var o options
	for _, in := range []string{"", "{", "nonsense\n"} {
		if _, err := Options(t.Context(), strings.NewReader(in), &o); err == nil {
			t.Errorf("%q was taken", in)
		}
	}
}
