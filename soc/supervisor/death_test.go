package supervisor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestLastWordsNameWhatAPanicSaid(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := &words{out: &out}
	for i := range 5000 {
		fmt.Fprintf(w, "an ordinary line %d of the log\n", i)
	}
	fmt.Fprint(w, "panic: FATAL: /data/lake/part: cannot unmarshal\n\ngoroutine 1 [running]:\n")
	for i := range 5000 {
		fmt.Fprintf(w, "goroutine %d [select]:\nmain.wait()\n", i)
	}
	got := w.String()
	if !strings.Contains(got, "panic: FATAL: /data/lake/part") || len(got) > maxWords {
		t.Fatalf("%d bytes: %.200s", len(got), got)
	}
	if n := strings.Count(out.String(), "\n"); n != 5000+3+10000 {
		t.Fatalf("%d lines were passed on", n)
	}
	quiet := &words{out: &out}
	fmt.Fprint(quiet, "no panic: it was killed\n")
	if quiet.String() != "no panic: it was killed\n" {
		t.Fatalf("%q", quiet.String())
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("the disk is full") }

func TestALogThatCannotBeWrittenEndsNoChild(t *testing.T) {
	t.Parallel()
	w := &words{out: broken{}}
	if n, err := w.Write([]byte("panic: x\n")); n != 9 || err != nil {
		t.Fatal(n, err)
	}
	if w.String() != "panic: x\n" {
		t.Fatalf("%q", w.String())
	}
}

func TestADeathIsRemembered(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	s := New(Child{Name: "child", Command: []string{"/bin/sh", "-c", "echo 'panic: it is over' >&2; exit 3"}, Log: slog.New(slog.DiscardHandler)})
	go func() {
		for ctx.Err() == nil && s.Last().InRow < 2 {
			time.Sleep(5 * time.Millisecond)
		}
		cancel()
	}()
	s.Run(ctx)
	if d := s.Last(); d.InRow < 2 || !strings.Contains(d.Words, "it is over") || !strings.Contains(d.Err, "3") || d.At.IsZero() {
		t.Fatalf("%+v", d)
	}
}
