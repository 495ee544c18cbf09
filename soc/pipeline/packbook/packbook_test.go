package packbook

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"icewatch/soc/pipeline/pack"
	"icewatch/soc/pipeline/workshop"
	"icewatch/soc/state"
)

const gate = `vendor: Example
product: Gate
module: example_gate
class: security
reference: https://example.com/gate
logs:
  - name: session
    pattern: 'GATE {action=permit|deny} {source.ip:ip} -> {destination.ip:ip}'
    set: {event.category: network, event.action: session}
`

const lines = "GATE permit 10.1.1.1 -> 10.2.2.2\nGATE deny 10.1.1.3 -> 10.2.2.2\n"

func open(t *testing.T) *Book {
	t.Helper()
	dir := t.TempDir()
	db, err := state.Open(t.Context(), filepath.Join(dir, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	b, err := Open(t.Context(), db, filepath.Join(dir, "own"), func() []pack.Source { return workshop.Sources() })
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCheckSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	b := open(t)
	f := func(id, source, samples, want string) {
		t.Helper()
		j, err := b.Check(t.Context(), id, source, samples)
		if err != nil || j.Valid {
			t.Fatalf("valid %v, %v", j.Valid, err)
		}
		if !strings.Contains(j.first(), want) {
			t.Errorf("%q does not say %q", j.first(), want)
		}
	}
	f("Example/Gate", gate, lines, "small letters")
	f("../gate", gate, lines, "small letters")
	f("example/gate", strings.Replace(gate, "class: security", "class: magic", 1), lines, `class "magic"`)
	f("example/gate", strings.Replace(gate, "logs:", "log:", 1), lines, "line 6")
	f("example/gate", gate, "", "has no sample")
	f("example/gate", gate, "nothing of the kind\n", "no event.category")
	f("example/gate", gate, strings.Repeat("x", MaxSamples+1), "the most")
	f("example/gate", gate, "\xff", "UTF-8")
}

func TestVersions(t *testing.T) {
	t.Parallel()
	b := open(t)
	ctx := t.Context()
	const id = "example/gate"
	v, j, err := b.Put(ctx, id, gate, lines, "ann", "the new gate", 0)
	if err != nil || v.Revision != 1 || v.Action != Created {
		t.Fatalf("%+v %v", v, err)
	}
	if len(j.Readings) != 2 || j.Readings[0].LogType != id+"/session" || !strings.Contains(j.Readings[0].Event, `"source.ip":"10.1.1.1"`) || j.Overrides || len(j.Claims) > 0 {
		t.Errorf("%+v", j)
	}
	// The engine's way to it: the folder, whose samples prove it.
	read := func() *workshop.Workshop {
		return workshop.Open(workshop.Sources(pack.Source{Name: SourceName, FS: os.DirFS(b.Folder())}), workshop.Zone)
	}
	if r := read().Read([]byte("GATE deny 10.9.9.9 -> 10.2.2.2"), workshop.At); r.Log != id+"/session" {
		t.Errorf("it is read as %+v", r)
	}
	if golden, _ := os.ReadFile(filepath.Join(b.Folder(), filepath.FromSlash(id), pack.Golden)); strings.Count(string(golden), "\n") != 2 {
		t.Errorf("golden events: %s", golden)
	}
	changed := strings.Replace(gate, "session}", "session, event.kind: event}", 1)
	if _, _, err := b.Put(ctx, id, changed, lines, "bob", "", 7); !errors.Is(err, ErrConflict) {
		t.Errorf("another revision: %v", err)
	}
	if v, _, err = b.Put(ctx, id, changed, lines, "bob", "", 1); err != nil || v.Revision != 2 || v.Action != Changed {
		t.Fatalf("%+v %v", v, err)
	}
	if _, _, err := b.Put(ctx, id, "logs: [", lines, "bob", "", 2); !errors.Is(err, ErrInvalid) {
		t.Errorf("a broken pack: %v", err)
	}
	if v, err = b.Delete(ctx, id, "bob"); err != nil || v.Action != Deleted || v.Source != changed {
		t.Fatalf("%+v %v", v, err)
	}
	if _, err := b.Delete(ctx, id, "bob"); !errors.Is(err, ErrNotFound) {
		t.Errorf("twice: %v", err)
	}
	if r := read().Read([]byte("GATE deny 10.9.9.9 -> 10.2.2.2"), workshop.At); r.Pack != "" {
		t.Errorf("it is still read: %+v", r)
	}
	if gone, err := b.Deleted(ctx); err != nil || len(gone) != 1 || gone[0].Pack != id {
		t.Errorf("%+v %v", gone, err)
	}
	if v, err = b.Restore(ctx, id, 1, "ann"); err != nil || v.Revision != 4 || v.Source != gate {
		t.Fatalf("%+v %v", v, err)
	}
	if _, err := b.Restore(ctx, id, 9, "ann"); !errors.Is(err, ErrNotFound) {
		t.Errorf("no such version: %v", err)
	}
	if all, err := b.Versions(ctx, id); err != nil || len(all) != 4 || all[0].Action != Restored {
		t.Errorf("%+v %v", all, err)
	}
	// A start lays the folder anew, and nothing else stays in it.
	stray := filepath.Join(b.Folder(), "stray", "pack", pack.File)
	if err := errors.Join(os.MkdirAll(filepath.Dir(stray), 0o700), os.WriteFile(stray, []byte("x"), 0o600), os.Remove(filepath.Join(b.Folder(), "example", "gate", pack.File))); err != nil {
		t.Fatal(err)
	}
	again, err := Open(ctx, b.db, b.folder, b.others)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(stray); !os.IsNotExist(err) {
		t.Errorf("what is no version stays: %v", err)
	}
	if text, err := os.ReadFile(filepath.Join(again.Folder(), "example", "gate", pack.File)); err != nil || string(text) != gate {
		t.Errorf("%s %v", text, err)
	}
}

func TestAPackThatTakesOthersLinesIsNamed(t *testing.T) {
	t.Parallel()
	b := open(t)
	greedy := strings.Replace(gate, "    pattern: 'GATE {action=permit|deny} {source.ip:ip} -> {destination.ip:ip}'", "    priority: 1000\n    anchors: ['CONNECT: Client']\n    pattern: '{message:rest}'", 1)
	j, err := b.Check(t.Context(), "example/gate", greedy, "Thu CONNECT: Client \"10.1.1.1\"\n")
	if err != nil {
		t.Fatal(err)
	}
	if len(j.Claims) == 0 || j.Claims[0].Pack != "vsftpd/vsftpd" || j.Claims[0].Lines == 0 {
		t.Errorf("claims %+v, problems %+v", j.Claims, j.Problems)
	}
	j, err = b.Check(t.Context(), "vsftpd/vsftpd", strings.Replace(gate, "example_gate", "vsftpd", 1), lines)
	if err != nil || !j.Overrides {
		t.Errorf("a pack of the suite's name: %+v %v", j, err)
	}
}
