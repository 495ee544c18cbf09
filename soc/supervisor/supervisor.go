// Package supervisor keeps one child process running: it starts it with its
// options on standard input, starts it again when it ends, ever more slowly
// while it fails at once, and ends it with its parent. The open standard
// input is the child's sign of life from the parent, so that no orphan stays
// behind a parent that was killed.
package supervisor

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Child says what to run.
type Child struct {
	Name    string   // for the log
	Command []string // program and arguments
	Options any      // goes to the child as one line of JSON
	PIDFile string   // where the child's process id is written; "" writes none
	// Inside does the child's work within this process. It is the resort where
	// the system cannot execute the program a second time, as under an
	// emulator that was started for this process alone. nil means there is none.
	Inside func(ctx context.Context) error
	Log    *slog.Logger
}

// Supervisor runs one child until its context ends.
type Supervisor struct {
	child    Child
	restarts atomic.Uint64
	pid      atomic.Int64

	mu    sync.Mutex
	last  Death
	end   context.CancelFunc // of the child that runs; nil where none does
	asked bool               // Restart has ended it
}

// New makes a supervisor of a child that does not run yet.
func New(c Child) *Supervisor { return &Supervisor{child: c} }

// Restarts is how often the child was started again.
func (s *Supervisor) Restarts() uint64 { return s.restarts.Load() }

// PID is the running child's process id, or 0.
func (s *Supervisor) PID() int { return int(s.pid.Load()) }

// grace is how long the child may take to end by itself.
const grace = 20 * time.Second

// Run keeps the child running and returns when ctx has ended and the child with it.
func (s *Supervisor) Run(ctx context.Context) {
	const first, slowest = 100 * time.Millisecond, 10 * time.Second
	wait := first
	for {
		begun := time.Now()
		last := &words{out: os.Stderr}
		err := s.once(ctx, last)
		if ctx.Err() != nil {
			return
		}
		if s.wasAsked() {
			s.child.Log.Info("supervisor: the process is started anew, as asked", "name", s.child.Name)
			wait = first
			continue
		}
		s.died(begun, err, last.String())
		if time.Since(begun) > quickDeath {
			wait = first
		}
		s.restarts.Add(1)
		s.child.Log.Error("supervisor: the process ended and is started again", "name", s.child.Name, "after", time.Since(begun).Round(time.Millisecond), "wait", wait, "error", err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		wait = min(2*wait, slowest)
	}
}

func (s *Supervisor) once(ctx context.Context, stderr io.Writer) error {
	ctx, end := s.life(ctx)
	defer end()
	options, err := json.Marshal(s.child.Options)
	if err != nil {
		return fmt.Errorf("supervisor: options of %s: %w", s.child.Name, err)
	}
	cmd := exec.Command(s.child.Command[0], s.child.Command[1:]...)
	cmd.Stdout, cmd.Stderr = stderr, stderr
	// A terminal's interrupt reaches the parent alone, which ends the child in
	// its own order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("supervisor: %w", err)
	}
	if err := cmd.Start(); err != nil {
		if errors.Is(err, syscall.ENOEXEC) && s.child.Inside != nil {
			s.child.Log.Warn("supervisor: the system cannot start the program a second time; its work is done within this process", "name", s.child.Name)
			return s.child.Inside(ctx)
		}
		return fmt.Errorf("supervisor: start %s: %w", s.child.Name, err)
	}
	s.pid.Store(int64(cmd.Process.Pid))
	defer s.pid.Store(0)
	if s.child.PIDFile != "" {
		if err := os.WriteFile(s.child.PIDFile, []byte(strconv.Itoa(cmd.Process.Pid)+"\n"), 0o600); err != nil {
			s.child.Log.Warn("supervisor: process id file", "error", err)
		}
		defer os.Remove(s.child.PIDFile)
	}
	ended := make(chan error, 1)
	go func() {
		_, werr := in.Write(append(options, '\n'))
		ended <- errors.Join(werr, cmd.Wait())
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	_ = in.Close()
	select {
	case err := <-ended:
		return err
	case <-time.After(grace):
		s.child.Log.Warn("supervisor: the process does not end by itself and is killed", "name", s.child.Name, "waited", grace)
		_ = cmd.Process.Kill()
		return <-ended
	}
}

// Options reads the child's options from its standard input and returns a
// context that ends with the parent.
func Options(ctx context.Context, in io.Reader, v any) (context.Context, error) {
	r := bufio.NewReader(in)
	line, err := r.ReadBytes('\n')
	if err != nil {
		return ctx, fmt.Errorf("supervisor: no options on standard input: %w", err)
	}
	if err := json.Unmarshal(line, v); err != nil {
		return ctx, fmt.Errorf("supervisor: options: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, r)
		cancel()
	}()
	return ctx, nil
}
