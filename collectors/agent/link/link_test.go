package link

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"icewatch/collectors/agent/agenttest"
	"icewatch/collectors/agent/queue"
	"icewatch/collectors/fleet/wire"
	"icewatch/soc/intake"
)

var quiet = slog.New(slog.DiscardHandler)

func enrolled(t *testing.T, s *agenttest.Suite, token string) (*Client, string) {
	t.Helper()
	dir := t.TempDir()
	id, err := Enrol(t.Context(), dir, token, wire.Facts{Hostname: "h"}, "1", false)
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewClient(dir, id, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, dir
}

func TestEnrol(t *testing.T) {
	t.Parallel()
	s := agenttest.New(t)
	c, dir := enrolled(t, s, s.Token)
	if _, sent, err := c.Checkin(t.Context(), &wire.Checkin{Version: "1"}); err != nil || sent.IsZero() {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, identityFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", info, err)
	}
	if _, err := Enrol(t.Context(), dir, s.Token, wire.Facts{}, "1", false); err == nil || !strings.Contains(err.Error(), "enrolled already") {
		t.Fatal(err)
	}
	_, err := Enrol(t.Context(), t.TempDir(), s.Token, wire.Facts{}, "1", false)
	var refused *Refused
	if !errors.As(err, &refused) || refused.Code != wire.CodeToken || strings.Contains(err.Error(), agenttest.Secret) {
		t.Fatal(err)
	}
	// Another suite with the same secret is not spoken to.
	other := agenttest.New(t)
	if _, err := Enrol(t.Context(), t.TempDir(), s.TokenFor(other.URL), wire.Facts{}, "1", false); err == nil || !strings.Contains(err.Error(), "does not show the authority") {
		t.Fatal(err)
	}
	before := string(c.Identity().Certificate[0])
	if err := c.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	if id, err := LoadIdentity(dir); err != nil || string(id.Certificate[0]) == before {
		t.Fatalf("not renewed: %v", err)
	}
	if _, _, err := c.Checkin(t.Context(), &wire.Checkin{}); err != nil {
		t.Fatal(err)
	}
	s.Revoke(true)
	if _, _, err := c.Checkin(t.Context(), &wire.Checkin{}); !errors.As(err, &refused) || refused.Code != wire.CodeRevoked {
		t.Fatal(err)
	}
}

// TestNothingLostNothingDoubled sends over a wire that is cut again and again,
// with answers that are lost, and opens the queue anew in between.
func TestNothingLostNothingDoubled(t *testing.T) {
	t.Parallel()
	s := agenttest.New(t)
	w := agenttest.NewWire(t, s.URL)
	c, dir := enrolled(t, s, s.TokenFor(w.URL()))
	const batches, each = 120, 5
	n := 0
	for round := range 4 {
		q, err := queue.Open(filepath.Join(dir, "logs"), queue.Options{MaxBytes: 1 << 20, SegmentBytes: 2000})
		if err != nil {
			t.Fatal(err)
		}
		f := &Feed{Queue: q, Path: wire.PathLogs, Type: wire.TypeRecords}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { c.Send(ctx, f); close(done) }()
		for i := range batches / 4 {
			var recs []intake.Record
			for range each {
				recs = append(recs, intake.Record{ID: fmt.Sprint(n), Data: fmt.Append(nil, n)})
				n++
			}
			if err := q.Append(intake.AppendBatch(nil, recs), each); err != nil {
				t.Fatal(err)
			}
			switch i {
			case 5:
				s.LoseNextAnswer()
			case 10:
				w.Cut(true)
			case 15:
				w.Cut(false)
			}
		}
		if round == 3 {
			agenttest.Await(t, 20*time.Second, "all records", func() bool { return q.Stats().Batches == 0 })
		} else {
			time.Sleep(50 * time.Millisecond)
		}
		cancel()
		<-done
		_ = q.Close()
	}
	recs := s.Records()
	if len(recs) != n {
		t.Fatalf("%d records, %d were queued", len(recs), n)
	}
	for i, r := range recs {
		if string(r.Data) != fmt.Sprint(i) {
			t.Fatalf("record %d is %s", i, r.Data)
		}
	}
	if s.Doubled() == 0 {
		t.Error("no batch was sent again: the test did not test it")
	}
}

func TestRefusedBatchIsKeptAside(t *testing.T) {
	t.Parallel()
	s := agenttest.New(t)
	c, dir := enrolled(t, s, s.Token)
	q, err := queue.Open(filepath.Join(dir, "logs"), queue.Options{MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	aside := filepath.Join(dir, "refused")
	f := &Feed{Queue: q, Path: wire.PathLogs, Type: wire.TypeRecords, Aside: AsideDir(aside, 1<<20, quiet)}
	_ = q.Append([]byte("no batch at all"), 7)
	_ = q.Append(intake.AppendBatch(nil, []intake.Record{{Data: []byte("good")}}), 1)
	s.AnswerWith(wire.PathLogs, 503)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go c.Send(ctx, f)
	agenttest.Await(t, 5*time.Second, "trouble", func() bool { return f.Trouble() != "" })
	s.AnswerWith(wire.PathLogs, 0)
	agenttest.Await(t, 10*time.Second, "the good one", func() bool { return len(s.Records()) == 1 })
	agenttest.Await(t, time.Second, "the end", func() bool { sent, refused := f.Sent(); return sent == 1 && refused == 7 && f.Trouble() == "" })
	files, _ := os.ReadDir(aside)
	if len(files) != 1 {
		t.Fatalf("%v", files)
	}
}

func TestPackages(t *testing.T) {
	t.Parallel()
	s := agenttest.New(t)
	c, dir := enrolled(t, s, s.Token)
	p := s.Publish(wire.Package{Version: "2", OS: "linux", Arch: "amd64"}, []byte("an executable"))
	path, err := c.Package(t.Context(), &p, dir)
	if err != nil {
		t.Fatal(err)
	}
	if data, _ := os.ReadFile(path); string(data) != "an executable" {
		t.Fatalf("%q", data)
	}
	forged := p
	forged.Version = "3"
	if _, err := c.Package(t.Context(), &forged, dir); !errors.Is(err, ErrPackage) || !strings.Contains(err.Error(), "version 3") {
		t.Fatal(err)
	}
	s.Tamper(p)
	if _, err := c.Package(t.Context(), &p, dir); !errors.Is(err, ErrPackage) || !strings.Contains(err.Error(), "changed on its way") {
		t.Fatal(err)
	}
	left, _ := filepath.Glob(filepath.Join(dir, ".upgrade-*"))
	if len(left) != 1 {
		t.Fatalf("%v", left)
	}
}

func TestLimit(t *testing.T) {
	t.Parallel()
	s := agenttest.New(t)
	c, dir := enrolled(t, s, s.Token)
	q, err := queue.Open(filepath.Join(dir, "logs"), queue.Options{MaxBytes: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	for range 6 {
		data := make([]byte, 100_000)
		_, _ = rand.Read(data) // It does not compress.
		_ = q.Append(intake.AppendBatch(nil, []intake.Record{{Data: data}}), 1)
	}
	total := q.Stats().Bytes
	c.Limit(int(total / 2))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	start := time.Now()
	go c.Send(ctx, &Feed{Queue: q, Path: wire.PathLogs, Type: wire.TypeRecords})
	agenttest.Await(t, 10*time.Second, "all", func() bool { return len(s.Records()) == 6 })
	if want := time.Duration(float64(total-burst) / float64(total/2) * 0.8 * float64(time.Second)); time.Since(start) < want || c.Waited() == 0 {
		t.Fatalf("%d bytes took %s, waited %s, want %s", total, time.Since(start), c.Waited(), want)
	}
}
