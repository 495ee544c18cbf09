package acceptance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"icewatch/soc/damage"
)

// harms are what befalls a file.
var (
	flipped = func(t *testing.T, path string) {
		t.Helper()
		// In place, as a disk does it: whoever has the file open sees it, too.
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		var b [1]byte
		at := info.Size() / 2
		if _, err := f.ReadAt(b[:], at); err != nil {
			t.Fatal(err)
		}
		b[0] ^= 0x55
		if _, err := f.WriteAt(b[:], at); err != nil {
			t.Fatal(err)
		}
	}
	cut = func(t *testing.T, path string) {
		t.Helper()
		info, err := os.Stat(path)
		if err == nil {
			err = os.Truncate(path, info.Size()/2)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
)

// file finds the largest file of the data folder whose path ends as the
// pattern says.
func (s *suite) file(pattern string) string {
	s.t.Helper()
	best, size := "", int64(-1)
	depth := strings.Count(pattern, "/") + 1
	_ = filepath.WalkDir(s.data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.Contains(path, "/sums/") || strings.Contains(path, "/damaged/") {
			return nil
		}
		elements := strings.Split(path, "/")
		if ok, _ := filepath.Match(pattern, strings.Join(elements[max(0, len(elements)-depth):], "/")); ok {
			if info, err := d.Info(); err == nil && info.Size() > size {
				best, size = path, info.Size()
			}
		}
		return nil
	})
	if best == "" {
		s.t.Fatalf("the data folder has no file %s", pattern)
	}
	return best
}

// notes are what was set aside.
func (s *suite) notes() []damage.Note {
	s.t.Helper()
	notes, err := damage.Notes(filepath.Join(s.data, "damaged"))
	if err != nil {
		s.t.Fatal(err)
	}
	return notes
}

// told waits until a note's words are a condition, and an alarm of the suite.
func (s *suite) told(words string) {
	s.t.Helper()
	eventually(s.t, 20*time.Second, "a condition tells of "+words, func() error {
		var page struct {
			Items []struct {
				Kind   string `json:"kind"`
				Detail struct {
					ZH string `json:"zh"`
					EN string `json:"en"`
				} `json:"detail"`
			} `json:"items"`
		}
		raw := s.call(s.admin.Options().Token, http.MethodGet, "/api/v1/health/conditions", "", http.StatusOK, nil)
		if err := json.Unmarshal(raw, &page); err != nil {
			return err
		}
		for _, c := range page.Items {
			if c.Kind == "damage" && strings.Contains(c.Detail.EN, words) && c.Detail.ZH != "" {
				return nil
			}
		}
		return fmt.Errorf("%.600s", raw)
	})
}

// flooded sends documents and waits until they are stored.
func (s *suite) flooded(documents int) *flood {
	s.t.Helper()
	f := newFlood(s.t, s)
	for len(f.acked) < documents {
		if status, answer := f.post(s.t); status != 200 {
			s.t.Fatalf("%d %.300s", status, answer)
		}
	}
	s.settled()
	return f
}

// TestDamagedFilesAreSetAsideAndAllElseGoesOn harms one file of a stopped
// suite at a time. It starts, names what is damaged, sets it aside and raises
// an alarm; what the damaged part of the lake had held comes back from the bus.
func TestDamagedFilesAreSetAsideAndAllElseGoesOn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, pattern string
		harm          func(*testing.T, string)
		says          string // part of the condition
	}{
		{"lake values cut", "datadb/*/values.bin*", cut, "when it was new"},
		{"lake index flipped", "datadb/*/index.bin", flipped, "its content changed"},
		{"lake metadata", "datadb/*/metadata.json", cut, "mended"},
		{"lake list", "datadb/parts.json", flipped, "list of parts"},
		{"lake stream index", "indexdb/*/items.bin", flipped, "mended"},
		{"bus block", "RAW/msgs/*.blk", flipped, "of the stream RAW was damaged"},
		{"checkpoint", "engine/checkpoint.json", flipped, "the checkpoint is damaged"},
		{"detection", "engine/detection.json", cut, "the state of detection is damaged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSuite(t, "bus:\n  keep: 1000000\n")
			f := s.flooded(200)
			s.stop()
			s.sumsAgree()
			path := s.file(c.pattern)
			c.harm(t, path)
			s.start()
			s.signIn()
			f.c = s.token("e-seal", "ingest")
			if status, answer := f.post(t); status != 200 {
				t.Fatalf("%d %.300s", status, answer)
			}
			f.check(t, s)
			s.told(c.says)
			notes := s.notes()
			if len(notes) != 1 || len(notes[0].Items) == 0 || notes[0].Text.ZH == "" {
				t.Errorf("notes %+v", notes)
			}
			if m := s.metrics(); m["icewatch_engine_restarts_total"] > 1 {
				t.Errorf("the engine was restarted %v times", m["icewatch_engine_restarts_total"])
			}
			// Once the operator has dealt with it, the condition is over.
			for _, n := range notes {
				if err := os.RemoveAll(n.Folder); err != nil {
					t.Fatal(err)
				}
			}
			s.condition("damage", "", false, 10*time.Second)
		})
	}
}

// sumsAgree starts a stopped suite and kills it once every part has its sums:
// an orderly stop would write parts that have none.
func (s *suite) sumsAgree() {
	s.t.Helper()
	s.start()
	s.signIn()
	lists, err := filepath.Glob(filepath.Join(s.data, "engine/lake/*/partitions/*/*/parts.json"))
	if err != nil || len(lists) == 0 {
		s.t.Fatalf("no lists of parts: %v", err)
	}
	eventually(s.t, 40*time.Second, "every part has its sums", func() error {
		for _, list := range lists {
			raw, err := os.ReadFile(list)
			if err != nil {
				return err
			}
			var names []string
			if err := json.Unmarshal(raw, &names); err != nil {
				return err
			}
			rel, err := filepath.Rel(filepath.Join(s.data, "engine/lake"), filepath.Dir(list))
			if err != nil {
				return err
			}
			sums, err := os.ReadFile(filepath.Join(s.data, "engine/sums", rel, "sums.json"))
			for _, n := range names {
				if err != nil || !bytes.Contains(sums, []byte(n)) {
					return fmt.Errorf("%s: %s has no sums: %v", rel, n, err)
				}
			}
		}
		return nil
	})
	s.kill()
}

// TestADamagedBatchCostsThatBatchAlone harms the bus while batches wait on it
// that are stored nowhere else.
func TestADamagedBatchCostsThatBatchAlone(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(*testing.T, string){"flipped": flipped, "cut": cut} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSuite(t, "")
			f := newFlood(t, s)
			if err := syscall.Kill(s.enginePID(), syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			for range 20 {
				if status, answer := f.post(t); status != 200 {
					t.Fatalf("%d %.300s", status, answer)
				}
			}
			s.kill()
			harm(t, s.file("RAW/msgs/*.blk"))
			s.start()
			s.signIn()
			s.settled()
			there := map[int]int{}
			for _, row := range s.inventory() {
				if n, ok := number(row.message, "of the flood"); ok {
					there[n]++
				}
			}
			gone := 0
			for n := range f.acked {
				if there[n] > 1 {
					t.Errorf("number %d is there %d times", n, there[n])
				}
				if there[n] == 0 {
					gone++
				}
			}
			t.Logf("%d of %d documents were in what was damaged", gone, len(f.acked))
			if gone == 0 || name == "flipped" && gone > 40 || name == "cut" && gone > len(f.acked)*3/4 {
				t.Errorf("%d of %d documents are gone", gone, len(f.acked))
			}
			s.told("stream RAW")
			if notes := s.notes(); len(notes) == 0 || len(notes) > 2 {
				t.Errorf("notes %+v", notes)
			}
			// New documents are new, whatever numbers the lost batches had.
			f.acked = map[int]bool{}
			f.c = s.token("e-seal", "ingest")
			for range 5 {
				if status, answer := f.post(t); status != 200 {
					t.Fatalf("%d %.300s", status, answer)
				}
			}
			f.check(t, s)
		})
	}
}

// TestRotIsFoundWhileTheSuiteRuns harms a part under the running engine: once a
// search meets the end of a file and the process dies of it, once the
// comparison finds a flipped bit that no search would. Both times the part is set aside within seconds, and what
// it had held comes back from the bus.
func TestRotIsFoundWhileTheSuiteRuns(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		extra string
		harm  func(*testing.T, string)
	}{
		"by the library": {"  scrub_period: 0s\n", cut},
		"by comparison":  {"  scrub_period: 1s\n", flipped},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSuite(t, "bus:\n  keep: 1000000\nlake:\n"+c.extra)
			f := s.flooded(200)
			s.stop()
			s.sumsAgree()
			s.start()
			s.signIn()
			c.harm(t, s.file("datadb/*/values.bin*"))
			eventually(t, 60*time.Second, "the part is set aside", func() error {
				_, _ = s.admin.Search(context.Background(), always("* | fields noise, message"))
				if notes := s.notes(); len(notes) == 0 {
					return fmt.Errorf("no note; the engine was restarted %v times", s.metrics()["icewatch_engine_restarts_total"])
				}
				return nil
			})
			eventually(t, 30*time.Second, "the engine answers again", func() error {
				_, err := s.admin.Search(context.Background(), always("* | stats count() n"))
				return err
			})
			f.check(t, s)
			if m := s.metrics(); m["icewatch_engine_restarts_total"] > 3 || m["icewatch_engine_restored_events_total"] == 0 {
				t.Errorf("the engine was restarted %v times and restored %v events", m["icewatch_engine_restarts_total"], m["icewatch_engine_restored_events_total"])
			}
			s.told("are set aside in")
			s.forgive("panic:", "fatal error:")
		})
	}
}

// TestDamagedStateAndKeysAreRefusedByName harms what nothing can be made up
// for: the suite does not start, changes nothing and says what to do.
func TestDamagedStateAndKeysAreRefusedByName(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		pattern string
		harm    func(*testing.T, string)
		says    []string
	}{
		"state cut": {"state/icewatch.db", cut, []string{"the database is damaged", "Restore the last backup"}},
		"key flipped": {"keys/master", func(t *testing.T, path string) {
			raw, err := os.ReadFile(path)
			if err == nil {
				raw[len(raw)-20] ^= 1 // of the last key's secret
				err = os.WriteFile(path, raw, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}, []string{"keys/master", "damaged"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSuite(t, "")
			s.stop()
			path := s.file(c.pattern)
			c.harm(t, path)
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			s.launch()
			eventually(t, 30*time.Second, "the suite ends", func() error {
				if s.ended() {
					return nil
				}
				return fmt.Errorf("it runs")
			})
			log, _ := os.ReadFile(s.log.Name())
			for _, words := range c.says {
				if !bytes.Contains(log, []byte(words)) {
					t.Errorf("the log does not say %q:\n%s", words, log[max(0, len(log)-1500):])
				}
			}
			if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
				t.Errorf("the file was changed: %v", err)
			}
		})
	}
}

// TestADamagedTextKeptAsideIsTold flips a bit of a text that was too long for
// its event.
func TestADamagedTextKeptAsideIsTold(t *testing.T) {
	t.Parallel()
	s := newSuite(t, "")
	noise := make([]byte, 2<<20)
	rnd := rand.New(rand.NewPCG(seed, 3))
	for i := range noise {
		noise[i] = "abcdefghijklmnop"[rnd.IntN(16)]
	}
	s.sendTCP(slices.Concat([]byte("<13>1 - host app - - - kept-aside "), noise, []byte("\n")))
	row := s.expect(`"kept-aside"`, 1, 20*time.Second)[0]
	flipped(t, s.file(text(row, "icewatch.aside")))
	for range 2 {
		answer := s.call(s.admin.Options().Token, http.MethodGet, "/api/v1/events/"+text(row, "event.id")+"/original", "", http.StatusGone, nil)
		if !bytes.Contains(answer, []byte("is damaged")) {
			t.Errorf("%s", answer)
		}
	}
	s.told("kept aside")
}
