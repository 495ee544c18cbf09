package bus

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/soc/damage"
	"icewatch/soc/intake"
)

// filled is a bus with n batches of one record each, stopped.
func filled(t *testing.T, n int) (dir string, state State) {
	t.Helper()
	dir = t.TempDir()
	s := open(t, dir, 1<<30)
	add(t, s, 0, n)
	c, err := s.Client()
	if err != nil {
		t.Fatal(err)
	}
	if state, err = c.RawState(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.Close()
	s.Close()
	return dir, state
}

func add(t *testing.T, s *Server, from, to int) {
	t.Helper()
	p, err := s.Publisher()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for i := from; i < to; i++ {
		if err := p.Append(t.Context(), []intake.Record{{Collector: "test", Data: fmt.Appendf(nil, "record %d %s", i, strings.Repeat("x", i%97))}}); err != nil {
			t.Fatal(err)
		}
	}
}

// numbers reads all records of the raw stream with their sequences.
func numbers(t *testing.T, s *Server) (found []int, sequences []uint64) {
	t.Helper()
	c, err := s.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	st, err := c.RawState(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if st.Messages == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	enough := errors.New("enough")
	err = c.Raw(ctx, 1, func(m Message) error {
		recs, err := intake.DecodeBatch(nil, m.Data)
		if err != nil {
			return err
		}
		var n int
		if _, err := fmt.Sscanf(string(recs[0].Data), "record %d", &n); err != nil {
			return err
		}
		found, sequences = append(found, n), append(sequences, m.Sequence)
		if uint64(len(found)) == st.Messages {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Fatalf("%d of %d messages read: %v", len(found), st.Messages, err)
	}
	return found, sequences
}

// blockFile is the file of the raw stream's only block.
func blockFile(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "jetstream/$G/streams/RAW/msgs/*.blk"))
	if err != nil || len(files) != 1 {
		t.Fatalf("blocks %v: %v", files, err)
	}
	return files[0]
}

// offsets are where the records of a block begin.
func offsets(data []byte) (list []int) {
	for at := 0; at+4 <= len(data); at += int(binary.LittleEndian.Uint32(data[at:]) &^ headerBit) {
		list = append(list, at)
	}
	return list
}

// TestWhatCanBeReadOfADamagedBlockIsKept harms a block of 100 messages. Every
// message that was not touched is there afterwards, the note names the missing
// ones, and a number is never given out twice.
func TestWhatCanBeReadOfADamagedBlockIsKept(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		harm    func(data []byte, at []int) []byte
		missing []int  // records that are gone
		leap    bool   // the numbering leaps
		note    string // part of what the note says
		unclean bool   // JetStream's own summary is gone, as after a crash
	}{
		{name: "a flipped bit", harm: func(d []byte, at []int) []byte { d[at[40]+60] ^= 1; return d }, missing: []int{40}, note: "messages 41 to 41"},
		{name: "a flipped bit after a crash", harm: func(d []byte, at []int) []byte { d[at[40]+60] ^= 1; return d }, missing: []int{40}, note: "messages 41 to 41", unclean: true},
		{name: "a flipped length", harm: func(d []byte, at []int) []byte { d[at[40]+1] ^= 0x10; return d }, missing: []int{40}, note: "messages 41 to 41"},
		{name: "a sector of zeroes", harm: func(d []byte, at []int) []byte { clear(d[at[20]+5 : at[22]+5]); return d }, missing: []int{20, 21, 22}, note: "messages 21 to 23"},
		{name: "the first message", harm: func(d []byte, at []int) []byte { d[at[0]+30] ^= 1; return d }, missing: []int{0}, note: "damaged in 1 places"},
		{name: "the last message", harm: func(d []byte, at []int) []byte { d[at[99]+30] ^= 1; return d }, missing: []int{99}, leap: true, note: "damaged in 1 places"},
		{name: "cut within a message", harm: func(d []byte, at []int) []byte { return d[:at[98]+25] }, missing: []int{98, 99}, leap: true, note: "ends with message 98, but message 100", unclean: true},
		{name: "cut between messages", harm: func(d []byte, at []int) []byte { return d[:at[95]] }, missing: []int{95, 96, 97, 98, 99}, leap: true, note: "ends with message 95, but message 100", unclean: true},
		{name: "empty", harm: func(d []byte, at []int) []byte { return nil }, missing: seqTo(100), leap: true, note: "message 100 was acknowledged", unclean: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir, state := filled(t, 100)
			file := blockFile(t, dir)
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			at := offsets(data)
			if len(at) != 100 {
				t.Fatalf("%d records in the block", len(at))
			}
			if err := os.WriteFile(file, c.harm(data, at), 0o600); err != nil {
				t.Fatal(err)
			}
			if c.unclean {
				_ = os.Remove(filepath.Join(filepath.Dir(file), "index.db"))
			}
			if got := readMark(dir, rawStream, state.Epoch); got != 100 {
				t.Fatalf("the newest acknowledged message is %d", got)
			}
			reopen := func() *Server {
				s, err := Open(t.Context(), Options{Dir: dir, Damaged: filepath.Join(dir, "damaged"), Log: slog.New(slog.DiscardHandler)})
				if err != nil {
					t.Fatal(err)
				}
				return s
			}
			s := reopen()
			found, _ := numbers(t, s)
			var want []int
			for i := range 100 {
				if !slices.Contains(c.missing, i) {
					want = append(want, i)
				}
			}
			if !slices.Equal(found, want) {
				t.Errorf("found %v, want all but %v", found, c.missing)
			}
			notes, err := damage.Notes(filepath.Join(dir, "damaged"))
			if err != nil || len(notes) != 1 || !strings.Contains(fmt.Sprint(notes[0].Text.EN, notes[0].Items), c.note) {
				t.Errorf("notes %+v %v, want %q", notes, err, c.note)
			}
			add(t, s, 100, 102)
			_, sequences := numbers(t, s)
			next := sequences[len(sequences)-2]
			if next <= 100 || c.leap != (next%Jump == 0) {
				t.Errorf("the next message got the number %d", next)
			}
			s.Close()
			// What was told is not told again, and nothing else is lost.
			s = reopen()
			defer s.Close()
			if found, _ := numbers(t, s); len(found) != len(want)+2 {
				t.Errorf("%d messages after another start, want %d", len(found), len(want)+2)
			}
			if notes, _ := damage.Notes(filepath.Join(dir, "damaged")); len(notes) != 1 {
				t.Errorf("%d notes after another start: %+v", len(notes), notes)
			}
			c, err := s.Client()
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if st, err := c.RawState(t.Context()); err != nil || st.Epoch != state.Epoch {
				t.Errorf("the epoch became %q: %v", st.Epoch, err)
			}
		})
	}
}

func seqTo(n int) (list []int) {
	for i := range n {
		list = append(list, i)
	}
	return list
}

// TestWhatWasPromisedTellsALossFromATornEnd cuts the stream's last message. Had
// it been acknowledged it is lost; had it not, nothing is wrong. The lake, too,
// may know of messages that the bus lost.
func TestWhatWasPromisedTellsALossFromATornEnd(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		mark, floor uint64
		notes       int
	}{"it was acknowledged": {10, 0, 1}, "it was not": {9, 0, 0}, "nobody knows": {0, 0, 0}, "the lake holds it": {9, 10, 1}, "the lake holds less": {9, 5, 0}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, state := filled(t, 10)
			if err := errors.Join(os.WriteFile(markPath(dir, rawStream), []byte(markLine(state.Epoch, c.mark)), 0o600), os.Truncate(blockFile(t, dir), func() int64 {
				info, err := os.Stat(blockFile(t, dir))
				if err != nil {
					t.Fatal(err)
				}
				return info.Size() - 9
			}())); err != nil {
				t.Fatal(err)
			}
			_ = os.Remove(filepath.Join(filepath.Dir(blockFile(t, dir)), "index.db"))
			s, err := Open(t.Context(), Options{Dir: dir, Log: slog.New(slog.DiscardHandler), Floor: func(epoch string) uint64 {
				if epoch != state.Epoch {
					t.Errorf("asked for epoch %q, want %q", epoch, state.Epoch)
				}
				return c.floor
			}})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if found, _ := numbers(t, s); len(found) != 9 {
				t.Errorf("found %v", found)
			}
			if notes, err := damage.Notes(filepath.Join(dir, "damaged")); err != nil || len(notes) != c.notes {
				t.Errorf("notes %+v %v", notes, err)
			}
			add(t, s, 10, 11)
			if _, sequences := numbers(t, s); sequences[len(sequences)-1]%Jump != 0 {
				t.Errorf("the next message got the number %d, which may be another's", sequences[len(sequences)-1])
			}
		})
	}
}

// TestADamagedDescriptionIsMended harms the files that say what a stream is.
func TestADamagedDescriptionIsMended(t *testing.T) {
	t.Parallel()
	for _, name := range metaFiles {
		for what, harm := range map[string]func(string) error{
			"cut":     func(p string) error { return os.Truncate(p, 10) },
			"missing": os.Remove,
			"flipped": func(p string) error {
				raw, err := os.ReadFile(p)
				if err != nil {
					return err
				}
				raw[len(raw)/2] ^= 2
				return os.WriteFile(p, raw, 0o600)
			},
		} {
			t.Run(name+" "+what, func(t *testing.T) {
				t.Parallel()
				dir, state := filled(t, 10)
				if err := harm(filepath.Join(dir, "jetstream/$G/streams/RAW", name)); err != nil {
					t.Fatal(err)
				}
				s := open(t, dir, 1<<30)
				defer s.Close()
				c, err := s.Client()
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				if got, err := c.RawState(t.Context()); err != nil || got != state {
					t.Errorf("state %+v became %+v: %v", state, got, err)
				}
				if notes, err := damage.Notes(filepath.Join(dir, "damaged")); err != nil || len(notes) != 1 || !notes[0].Items[0].Mended {
					t.Errorf("notes %+v %v", notes, err)
				}
			})
		}
	}
	t.Run("without a copy", func(t *testing.T) {
		t.Parallel()
		dir, _ := filled(t, 10)
		if err := errors.Join(os.RemoveAll(filepath.Join(dir, "meta")), os.Truncate(filepath.Join(dir, "jetstream/$G/streams/RAW/meta.inf"), 5)); err != nil {
			t.Fatal(err)
		}
		s, err := Open(t.Context(), Options{Dir: dir, Log: slog.New(slog.DiscardHandler)})
		if err == nil {
			s.Close()
			t.Fatal("a stream without a description was opened")
		}
		if !strings.Contains(err.Error(), "restore a backup") {
			t.Fatal(err)
		}
	})
}

// TestAGoodBusIsLeftAlone opens a bus that was stopped and one that was killed.
func TestAGoodBusIsLeftAlone(t *testing.T) {
	t.Parallel()
	dir, _ := filled(t, 200)
	for range 2 {
		s := open(t, dir, 1<<30)
		c, err := s.Client()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.TrimRaw(t.Context(), 150); err != nil {
			t.Fatal(err)
		}
		c.Close()
		s.Close()
		_ = os.Remove(filepath.Join(dir, "jetstream/$G/streams/RAW/msgs/index.db"))
	}
	if notes, err := damage.Notes(filepath.Join(dir, "damaged")); err != nil || len(notes) != 0 {
		t.Fatalf("notes %+v %v", notes, err)
	}
}

// TestRotUnderARunningBusCostsOneMessage flips a bit once the block has left the
// server's memory: the one message is passed over, and its number is missing.
func TestRotUnderARunningBusCostsOneMessage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, 1<<30)
	defer s.Close()
	add(t, s, 0, 50)
	time.Sleep(12 * time.Second) // JetStream keeps a block in memory for ten
	file := blockFile(t, dir)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	at := offsets(data)[20] + 90
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{data[at] ^ 1}, int64(at)); err != nil {
		t.Fatal(err)
	}
	c, err := s.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var got []uint64
	enough := errors.New("enough")
	err = c.Raw(ctx, 1, func(m Message) error {
		if got = append(got, m.Sequence); m.Sequence == 50 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || len(got) != 49 || slices.Contains(got, 21) {
		t.Fatalf("read %v: %v", got, err)
	}
}

func FuzzReadBlock(f *testing.F) {
	raw, err := tombstoneBlock("RAW", 1, 7, 1)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add(append(raw[:len(raw)-1:len(raw)-1], raw...))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := readBlock("RAW", 1, data)
		if err != nil {
			t.Fatal(err)
		}
		n := len(b.whole())
		for _, s := range b.bad {
			n += s.to - s.from
		}
		if n != len(data) {
			t.Fatalf("%d of %d bytes are accounted for", n, len(data))
		}
		again, err := readBlock("RAW", 1, b.whole())
		if err != nil || len(again.bad) != 0 || len(again.records) != len(b.records) {
			t.Fatalf("what was kept is damaged again: %+v %v", again.bad, err)
		}
	})
}
