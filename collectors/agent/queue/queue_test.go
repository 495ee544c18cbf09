package queue

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func open(t *testing.T, dir string, opts Options) *Queue {
	t.Helper()
	q, err := Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.Close() })
	return q
}

func next(t *testing.T, q *Queue) Batch {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	b, err := q.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func add(t *testing.T, q *Queue, text string) {
	t.Helper()
	if err := q.Append([]byte(text), 1); err != nil {
		t.Fatal(err)
	}
}

func TestOrderAndAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	q := open(t, dir, Options{MaxBytes: 1 << 20})
	for i := range 5 {
		add(t, q, strconv.Itoa(i))
	}
	first := next(t, q)
	if string(first.Body) != "0" || first.Seq != 1 {
		t.Fatalf("first batch: %q %d", first.Body, first.Seq)
	}
	if next(t, q).Seq != 2 {
		t.Fatal("the second batch does not follow")
	}
	q.Again()
	if again := next(t, q); again.ID() != first.ID() || !bytes.Equal(again.Body, first.Body) {
		t.Fatalf("given again: %s %q, was %s %q", again.ID(), again.Body, first.ID(), first.Body)
	}
	if err := q.Ack(first); err != nil {
		t.Fatal(err)
	}
	q.Again()
	b := next(t, q)
	if b.Seq != 2 {
		t.Fatalf("after an acknowledgement came %d", b.Seq)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	// The next opening gives the rest under the old ids, and its own under new ones.
	q = open(t, dir, Options{MaxBytes: 1 << 20})
	add(t, q, "5")
	for want := 1; want <= 5; want++ {
		got := next(t, q)
		if string(got.Body) != strconv.Itoa(want) {
			t.Fatalf("got %q, want %d", got.Body, want)
		}
		if (got.Epoch == first.Epoch) != (want < 5) {
			t.Fatalf("batch %d has epoch %s", want, got.Epoch)
		}
		if err := q.Ack(got); err != nil {
			t.Fatal(err)
		}
	}
	if s := q.Stats(); s.Batches != 0 || s.Items != 0 || s.Dropped != 0 || s.Damaged != 0 {
		t.Fatalf("%+v", s)
	}
}

func TestFullRefusesOrDropsOldest(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("x", 1000)
	q := open(t, t.TempDir(), Options{MaxBytes: 10_000, SegmentBytes: 2500})
	n := 0
	var err error
	for ; err == nil; n++ {
		err = q.Append([]byte(body), 1)
	}
	if !errors.Is(err, ErrFull) || n < 8 || q.Stats().Dropped != 0 {
		t.Fatalf("after %d batches: %v, %+v", n, err, q.Stats())
	}
	for range 4 {
		if err := q.Ack(next(t, q)); err != nil {
			t.Fatal(err)
		}
	}
	add(t, q, body) // There is room again.

	q = open(t, t.TempDir(), Options{MaxBytes: 10_000, SegmentBytes: 2500, DropOldest: true})
	held := Batch{}
	for i := range 50 {
		if err := q.Append(append([]byte(strconv.Itoa(i)+" "), body...), 10); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			held = next(t, q)
		}
	}
	if err := q.Ack(held); err != nil {
		t.Fatal(err) // It is gone already.
	}
	s := q.Stats()
	if s.Bytes > 10_000 || s.Dropped == 0 || uint64(s.Items)+s.Dropped != 500 {
		t.Fatalf("%+v", s)
	}
	got := next(t, q)
	if want := fmt.Sprintf("%d ", s.Dropped/10); !strings.HasPrefix(string(got.Body), want) {
		t.Fatalf("the first that is left is %.4s, want %s", got.Body, want)
	}
	for seq := got.Seq; seq < 50; seq++ {
		if b := next(t, q); b.Seq != seq+1 {
			t.Fatalf("%d follows %d", b.Seq, seq)
		}
	}
}

func TestTornAndDamaged(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func([]byte) []byte{
		"torn":     func(b []byte) []byte { return b[:len(b)-3] },
		"appended": func(b []byte) []byte { return append(b, 9, 0, 0, 0, 1) },
		"zeroes":   func(b []byte) []byte { return append(b, make([]byte, 4096)...) },
		"flipped":  func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			q := open(t, dir, Options{MaxBytes: 1 << 20})
			for _, s := range []string{"one", "two", "three"} {
				add(t, q, s)
			}
			if err := q.Close(); err != nil {
				t.Fatal(err)
			}
			file, _ := filepath.Glob(filepath.Join(dir, "*.seg"))
			data, err := os.ReadFile(file[0])
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file[0], harm(data), 0o600); err != nil {
				t.Fatal(err)
			}
			q = open(t, dir, Options{MaxBytes: 1 << 20})
			add(t, q, "four")
			want := []string{"one", "two", "three", "four"}
			if name == "torn" || name == "flipped" {
				want = []string{"one", "two", "four"}
			}
			for _, w := range want {
				if b := next(t, q); string(b.Body) != w {
					t.Fatalf("got %q, want %q", b.Body, w)
				}
			}
			if q.Stats().Damaged == 0 {
				t.Fatal("the damage was not counted")
			}
		})
	}
}

// TestDamagedWhileOpen reads a file that was damaged after it was opened: what
// is lost waits no more, and what is appended after it is kept.
func TestDamagedWhileOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	q := open(t, dir, Options{MaxBytes: 1 << 20})
	for _, s := range []string{"one", "two", "three"} {
		add(t, q, s)
	}
	file, _ := filepath.Glob(filepath.Join(dir, "*.seg"))
	f, err := os.OpenFile(file[0], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	frame := int64(frameHead + bodyHead + len("one"))
	if _, err := f.WriteAt([]byte("T"), int64(headerSize)+frame+frameHead+bodyHead); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if b := next(t, q); string(b.Body) != "one" {
		t.Fatalf("got %q", b.Body)
	}
	if b, ok, err := q.next(); ok || err != nil {
		t.Fatalf("got %q of what is damaged: %v", b.Body, err)
	}
	if s := q.Stats(); s.Batches != 1 || s.Items != 1 || s.Damaged == 0 {
		t.Fatalf("%+v", s)
	}
	add(t, q, "four")
	for range 2 {
		q.Again()
		for _, w := range []string{"one", "four"} {
			b, ok, err := q.next()
			if !ok || err != nil || string(b.Body) != w {
				t.Fatalf("got %q, %v, want %q", b.Body, err, w)
			}
		}
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	q = open(t, dir, Options{MaxBytes: 1 << 20})
	for _, w := range []string{"one", "four"} {
		b := next(t, q)
		if string(b.Body) != w {
			t.Fatalf("after a start got %q, want %q", b.Body, w)
		}
		if err := q.Ack(b); err != nil {
			t.Fatal(err)
		}
	}
	if s := q.Stats(); s.Batches != 0 || s.Items != 0 || !s.Oldest.IsZero() {
		t.Fatalf("%+v", s)
	}
}

// TestKilled appends in a process that is killed, reads what it said was
// durable, and acknowledges in part, round after round.
func TestKilled(t *testing.T) {
	t.Parallel()
	if dir := os.Getenv("ICEWATCH_TEST_QUEUE"); dir != "" {
		appendUntilKilled(dir)
		return
	}
	dir := t.TempDir()
	acked, said, lastSeen := -1, -1, -1
	for round := range 6 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$")
		cmd.Env = append(os.Environ(), "ICEWATCH_TEST_QUEUE="+dir, "ICEWATCH_TEST_FROM="+strconv.Itoa(said+1))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for i := 0; lines.Scan(); i++ {
			n, err := strconv.Atoi(lines.Text())
			if err != nil {
				continue
			}
			said = n
			if i > 20+7*round {
				_ = cmd.Process.Kill()
			}
		}
		_ = cmd.Wait()
		q := open(t, dir, Options{MaxBytes: 64 << 20, SegmentBytes: 4096})
		waiting := q.Stats().Batches
		for i := range waiting {
			b := next(t, q)
			n, _ := strconv.Atoi(strings.TrimSpace(string(b.Body)))
			// What was acknowledged may come again after a kill, never may one be missing.
			if n > lastSeen+1 && n != acked+1 {
				t.Fatalf("round %d: %d follows %d (acknowledged %d)", round, n, lastSeen, acked)
			}
			lastSeen = n
			if i < waiting/2 {
				if err := q.Ack(b); err != nil {
					t.Fatal(err)
				}
				acked = n
			}
		}
		if lastSeen < said {
			t.Fatalf("round %d: %d was durable, the last one is %d", round, said, lastSeen)
		}
		said = lastSeen // One more may have been written than was said.
		lastSeen = acked
		_ = q.Close()
	}
}

func appendUntilKilled(dir string) {
	q, err := Open(dir, Options{MaxBytes: 64 << 20, SegmentBytes: 4096})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	from, _ := strconv.Atoi(os.Getenv("ICEWATCH_TEST_FROM"))
	for i := from; i < from+100_000; i++ {
		if err := q.Append([]byte(strconv.Itoa(i)+strings.Repeat(" ", i%700)), 1); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(i)
	}
}

func FuzzOpen(f *testing.F) {
	f.Add([]byte(magic+strings.Repeat("0", 32)+"\n"), []byte{})
	f.Add(appendFrame([]byte(magic+strings.Repeat("a", 32)+"\n"), 1, 3, time.Unix(5, 0), []byte("body")), make([]byte, 20))
	f.Fuzz(func(t *testing.T, file, at []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "0000000000000001.seg"), file, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, placeName), at, 0o600); err != nil {
			t.Fatal(err)
		}
		q, err := Open(dir, Options{MaxBytes: 1 << 20})
		if err != nil {
			return
		}
		defer q.Close()
		if err := q.Append([]byte("new"), 1); err != nil && !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
		for {
			b, ok, err := q.next()
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				return
			}
			if err := q.Ack(b); err != nil {
				t.Fatal(err)
			}
		}
	})
}
