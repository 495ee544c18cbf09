package seal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"icewatch/soc/state"
)

var places = []Place{Column("receiver", "receivers", "name", "secret")}

// fixture is a data folder with a table of secrets.
type fixture struct {
	t    testing.TB
	db   *state.DB
	file string
}

func newFixture(t testing.TB, dir string) *fixture {
	t.Helper()
	db, err := state.Open(t.Context(), filepath.Join(dir, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE IF NOT EXISTS receivers (name TEXT NOT NULL PRIMARY KEY, secret TEXT NOT NULL)"); err != nil {
		t.Fatal(err)
	}
	return &fixture{t, db, filepath.Join(dir, "keys", "master")}
}

func (f *fixture) open() *Box {
	f.t.Helper()
	b, err := Open(f.t.Context(), f.db, f.file, places...)
	if err != nil {
		f.t.Fatal(err)
	}
	return b
}

func (f *fixture) put(name, value string) {
	f.t.Helper()
	if _, err := f.db.ExecContext(f.t.Context(), "INSERT INTO receivers VALUES (?, ?)", name, value); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) get(name string) (value string) {
	f.t.Helper()
	if err := f.db.QueryRowContext(f.t.Context(), "SELECT secret FROM receivers WHERE name = ?", name).Scan(&value); err != nil {
		f.t.Fatal(err)
	}
	return value
}

// opens fails unless the value of the row is sealed and opens to want.
func (f *fixture) opens(b *Box, name, want string) {
	f.t.Helper()
	got, err := b.OpenString(f.get(name), "receiver:"+name)
	if err != nil || got != want {
		f.t.Errorf("the secret of %s opens to %q, %v; want %q", name, got, err, want)
	}
}

func TestSealOpen(t *testing.T) {
	t.Parallel()
	b := Ephemeral(places...)
	for _, plain := range []string{"x", "机密", strings.Repeat("long ", 10_000), "\x00"} {
		one, err := b.SealString(plain, "receiver:duty")
		if err != nil {
			t.Fatal(err)
		}
		two, err := b.SealString(plain, "receiver:duty")
		if err != nil || one == two || len(plain) > 1 && strings.Contains(one, plain) {
			t.Errorf("%.20q: sealed twice to %.60q and %.60q, %v; want two texts that show nothing", plain, one, two, err)
		}
		if got, err := b.OpenString(one, "receiver:duty"); err != nil || got != plain {
			t.Errorf("%.20q opens to %.20q, %v", plain, got, err)
		}
	}
	if s, err := b.SealString("", "receiver:duty"); s != "" || err != nil {
		t.Errorf("no secret becomes %q, %v", s, err)
	}
	if _, err := b.SealString("x", "token:1"); err == nil || !strings.Contains(err.Error(), "registered") {
		t.Errorf("an unregistered kind: %v", err)
	}
}

// TestRefused flips every character of a sealed value, moves it, cuts it and
// shows it to a box without the key.
func TestRefused(t *testing.T) {
	t.Parallel()
	b := Ephemeral(places...)
	sealed, err := b.SealString("geheim", "receiver:duty")
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what, value, context string, want ...error) {
		t.Helper()
		plain, err := b.OpenString(value, context)
		if plain != "" || err == nil {
			t.Fatalf("%s: opened to %q, %v", what, plain, err)
		}
		for _, w := range want {
			if errors.Is(err, w) {
				return
			}
		}
		t.Errorf("%s: %v; want one of %v", what, err, want)
	}
	for i := range sealed {
		c := byte('A')
		if sealed[i] == c {
			c = 'B'
		}
		refused(fmt.Sprintf("byte %d", i), sealed[:i]+string(c)+sealed[i+1:], "receiver:duty", ErrAltered, ErrKeyLost, ErrNotSealed)
	}
	for i := 1; i < len(sealed); i++ {
		refused(fmt.Sprintf("cut at %d", i), sealed[:i], "receiver:duty", ErrAltered, ErrKeyLost, ErrNotSealed)
	}
	refused("another row", sealed, "receiver:other", ErrAltered)
	refused("another kind", sealed, "totp:duty", ErrAltered)
	refused("not sealed", "geheim", "receiver:duty", ErrNotSealed)
	other, err := Ephemeral(places...).SealString("geheim", "receiver:duty")
	if err != nil {
		t.Fatal(err)
	}
	refused("another key", other, "receiver:duty", ErrKeyLost)
}

func TestFirstStartSealsWhatWasPlain(t *testing.T) {
	t.Parallel()
	f := newFixture(t, t.TempDir())
	f.put("old", "geheim")
	f.put("none", "")
	b := f.open()
	f.opens(b, "old", "geheim")
	if f.get("none") != "" {
		t.Error("a row without a secret got one")
	}
	st, err := os.Stat(f.file)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the key file: %v, %v; want the mode 0600", st.Mode(), err)
	}
	if again := f.open(); again.current().id != b.current().id {
		t.Error("a second start made another key")
	}
}

func TestRotateAndDrop(t *testing.T) {
	t.Parallel()
	f := newFixture(t, t.TempDir())
	b := f.open()
	const n = 2*chunk + 7
	for i := range n {
		s, err := b.SealString(fmt.Sprint("secret ", i), fmt.Sprint("receiver:r", i))
		if err != nil {
			t.Fatal(err)
		}
		f.put(fmt.Sprint("r", i), s)
	}
	before := f.get("r1")
	if err := b.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if f.get("r1") == before {
		t.Error("the value was not sealed anew")
	}
	keys, err := b.Keys(t.Context())
	if err != nil || len(keys) != 2 || keys[0].Current || !keys[1].Current || len(keys[0].Sealed) != 0 || keys[1].Sealed["receiver"] != n {
		t.Errorf("keys %+v, %v", keys, err)
	}
	if got, err := b.OpenString(before, "receiver:r1"); err != nil || got != "secret 1" {
		t.Errorf("a backup's value opens to %q, %v", got, err)
	}
	f.put("late", before) // a backup's row, put back
	if _, err := b.DropOld(t.Context()); !errors.Is(err, ErrInUse) {
		t.Fatalf("dropping a key in use: %v", err)
	}
	if _, err := f.db.ExecContext(t.Context(), "DELETE FROM receivers WHERE name = 'late'"); err != nil {
		t.Fatal(err)
	}
	if dropped, err := b.DropOld(t.Context()); err != nil || dropped != 1 {
		t.Fatalf("dropped %d, %v", dropped, err)
	}
	if _, err := b.OpenString(before, "receiver:r1"); !errors.Is(err, ErrKeyLost) {
		t.Errorf("under a dropped key: %v", err)
	}
	b = f.open()
	for i := range n {
		f.opens(b, fmt.Sprint("r", i), fmt.Sprint("secret ", i))
	}
}

// TestInterrupted stands between the two steps of a rotation: the key is in
// the file, no value is under it.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	f := newFixture(t, t.TempDir())
	f.put("a", "geheim")
	b := f.open()
	next := newKey(time.Now())
	if err := writeKeys(f.file, append(b.keys, next)); err != nil {
		t.Fatal(err)
	}
	b = f.open()
	if id, _, _ := split(f.get("a")); id != next.id {
		t.Errorf("the value is under %s after the next start, want %s", id, next.id)
	}
	f.opens(b, "a", "geheim")
}

func TestLostKey(t *testing.T) {
	t.Parallel()
	f := newFixture(t, t.TempDir())
	f.put("a", "geheim")
	id := f.open().current().id
	fails := func(what string, words ...string) {
		t.Helper()
		_, err := Open(t.Context(), f.db, f.file, places...)
		for _, w := range append(words, f.file) {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v; want %q in it", what, err, w)
			}
		}
	}
	saved, err := os.ReadFile(f.file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(f.file); err != nil {
		t.Fatal(err)
	}
	fails("no file", id, "backup")
	if _, err := os.Stat(f.file); err == nil {
		t.Fatal("a lost key was replaced by another")
	}
	if err := writeKeys(f.file, []key{newKey(time.Now())}); err != nil {
		t.Fatal(err)
	}
	fails("another installation's file", id, "backup")
	if err := os.WriteFile(f.file, []byte(strings.Replace(string(saved), id, strings.Repeat("0", len(id)), 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	fails("a damaged file", "damaged")
	if err := os.WriteFile(f.file, saved, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(f.file, 0o644); err != nil {
		t.Fatal(err)
	}
	fails("a file for everybody", "chmod 600")
}

// TestRotateKilled kills a process in the middle of its rotations, again and
// again; nothing may be lost and the next start must work.
func TestRotateKilled(t *testing.T) {
	if dir := os.Getenv("SEAL_TEST_ROTATE"); dir != "" {
		f := newFixture(t, dir)
		b := f.open()
		fmt.Println("rotating")
		for {
			if err := b.Rotate(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Parallel()
	dir := t.TempDir()
	f := newFixture(t, dir)
	const n = 1500
	for i := range n {
		f.put(fmt.Sprint("r", i), fmt.Sprint("secret ", i))
	}
	f.open()
	f.db.Close()
	for round := range 6 {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestRotateKilled$")
		cmd.Env = append(os.Environ(), "SEAL_TEST_ROTATE="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(20+round*37) * time.Millisecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()

		f := newFixture(t, dir)
		b := f.open()
		for i := range n {
			f.opens(b, fmt.Sprint("r", i), fmt.Sprint("secret ", i))
		}
		if keys, err := b.Keys(t.Context()); err != nil || keys[len(keys)-1].Sealed["receiver"] != n {
			t.Errorf("after kill %d: %d keys, %v", round, len(keys), err)
		}
		f.db.Close()
	}
}

func FuzzParseKeys(f *testing.F) {
	f.Add([]byte(keyFileHead))
	f.Add([]byte("a 2026-01-02T15:04:05Z AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := parseKeys(data)
		if err == nil && len(keys) == 0 {
			t.Error("no key and no error")
		}
	})
}

func FuzzOpen(f *testing.F) {
	b := Ephemeral(places...)
	sealed, _ := b.SealString("geheim", "receiver:duty")
	f.Add(sealed)
	f.Add("iw1..")
	f.Fuzz(func(t *testing.T, value string) {
		if plain, err := b.OpenString(value, "receiver:duty"); err == nil && value != "" && value != sealed {
			t.Errorf("%q opened to %q", value, plain)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	box := Ephemeral(places...)
	sealed, _ := box.SealString("a secret of the usual length", "receiver:duty")
	for b.Loop() {
		if _, err := box.OpenString(sealed, "receiver:duty"); err != nil {
			b.Fatal(err)
		}
	}
}
