package observable

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/soc/state"
)

func TestExtract(t *testing.T) {
	t.Parallel()
	got := Extract(map[string]string{
		"source.ip": "::ffff:203.0.113.7", "destination.ip": "10.1.1.1", "dns.question.name": "Evil.Example.COM.", "url.original": "/index.php",
		"url.full": "HTTP://Evil.example.com:8080/x?y=1#frag", "file.hash.md5": "D41D8CD98F00B204E9800998ECF8427E", "process.hash.sha256": strings.Repeat("ab", 32),
		"user.name": "root", "file.path": `C:\Windows\x.exe`, "host.name": "web-01",
		"message": "GET http://198.51.100.9/a.sh, then 192.0.2.1 and 999.1.1.1 and 0123456789abcdef0123456789abcdef.",
	}, "127.0.0.1", "203.0.113.7")
	var text []string
	for _, o := range got {
		text = append(text, o.Type+" "+o.Value)
	}
	want := []string{"ip 10.1.1.1", "ip 192.0.2.1", "ip 198.51.100.9", "ip 203.0.113.7", "domain evil.example.com", "url http://198.51.100.9/a.sh", "url http://evil.example.com:8080/x?y=1",
		"hash 0123456789abcdef0123456789abcdef", "hash " + strings.Repeat("ab", 32), `file C:\Windows\x.exe`, "user root"}
	if !slices.Equal(text, want) {
		t.Errorf("found\n%s\nwant\n%s", strings.Join(text, "\n"), strings.Join(want, "\n"))
	}
}

// FuzzRead: what is read once is read again as it is.
func FuzzRead(f *testing.F) {
	for _, s := range []string{"203.0.113.7", "::1", "example.com", "http://x.y/z#a", "d41d8cd98f00b204e9800998ecf8427f", "a/b", "root", "пример.рф", "http://[::1]/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		for _, typ := range Types {
			if o, err := Read(typ, value); err == nil {
				if again, err := Read(typ, o.Value); err != nil || again != o {
					t.Errorf("%s %q was read as %q, and that as %q: %v", typ, value, o.Value, again.Value, err)
				}
			}
		}
		Extract(map[string]string{"message": value, "url.full": value})
	})
}

type noTimeline struct{}

func (noTimeline) Note(context.Context, bun.IDB, string, string, string, detections.Text, map[string]any) error {
	return nil
}

func TestSightings(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, err := state.Open(ctx, filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	var alerts []Alert
	for i := range 5000 { // more than one turn of the index
		alerts = append(alerts, Alert{ID: fmt.Sprintf("a%04d", i), Created: int64(i / 7), Found: []Observable{{IP, fmt.Sprintf("203.0.113.%d", i%200+1)}}})
	}
	now := time.UnixMilli(10_000)
	s, err := Open(ctx, db, Deps{Timeline: noTimeline{}, Clock: func() time.Time { return now }, Alerts: func(_ context.Context, created int64, id string, limit int) (out []Alert, _ error) {
		for _, a := range alerts {
			if (a.Created > created || a.Created == created && a.ID > id) && len(out) < limit {
				out = append(out, a)
			}
		}
		return out, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	index := func() (n int) {
		t.Helper()
		for {
			m, err := s.Index(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if n += m; m == 0 {
				return n
			}
		}
	}
	if n := index(); n != len(alerts) {
		t.Errorf("%d alerts indexed, there are %d", n, len(alerts))
	}
	seen := func() int {
		t.Helper()
		list, _, err := s.Seen(ctx, Observable{IP, "203.0.113.5"}, 100)
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	if seen() != 25 {
		t.Errorf("seen in %d alerts, want 25", seen())
	}
	// A young one waits until all of its transaction are there.
	alerts = append(alerts, Alert{ID: "young", Created: now.UnixMilli(), Found: []Observable{{IP, "203.0.113.5"}}})
	if index() != 0 || seen() != 25 {
		t.Error("a young alert is indexed at once")
	}
	now = now.Add(settle)
	if index() != 1 || seen() != 26 {
		t.Errorf("seen in %d alerts, want 26", seen())
	}

	if _, err := s.Add(ctx, "INC-1", "qian", Domain, "EVIL.example", "c2"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Add(ctx, "INC-1", "sun", Domain, "evil.example", ""); !errors.Is(err, ErrConflict) {
		t.Errorf("added twice: %v", err)
	}
	if _, err := s.Add(ctx, "INC-1", "sun", Domain, "evil", ""); !errors.Is(err, ErrInvalid) {
		t.Errorf("no domain: %v", err)
	}
	o := Observable{Domain, "evil.example"}
	in := func() int { _, list, _ := s.Seen(ctx, o, 10); return len(list) }
	if in() != 1 {
		t.Error("what was added is not seen")
	}
	if n, err := s.Remove(ctx, "INC-1", "sun", o); err != nil || n.RemovedBy != "sun" || n.AddedBy != "qian" || in() != 0 {
		t.Errorf("removed: %+v, %v", n, err)
	}
	if _, err := s.Remove(ctx, "INC-1", "sun", o); !errors.Is(err, ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
	if _, err := s.Add(ctx, "INC-1", "sun", Domain, "evil.example", ""); err != nil || in() != 1 {
		t.Errorf("brought back: %v", err)
	}
}
