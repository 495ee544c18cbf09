package evidence

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/soc/audit"
	"icewatch/soc/state"
)

// notes is a timeline that remembers.
type notes struct{ texts []string }

func (n *notes) Note(_ context.Context, _ bun.IDB, object, kind, actor string, text detections.Text, _ map[string]any) error {
	n.texts = append(n.texts, object+" "+kind+" "+actor+" "+text.EN)
	return nil
}

func openLocker(t *testing.T, limits Limits) (*Locker, *state.DB, *notes) {
	t.Helper()
	db, err := state.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	n := &notes{}
	at := time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC)
	l, err := Open(t.Context(), db, Deps{Timeline: n, Limits: limits, Clock: func() time.Time { at = at.Add(time.Second); return at }})
	if err != nil {
		t.Fatal(err)
	}
	return l, db, n
}

func openLog(t *testing.T) *audit.Log {
	t.Helper()
	db, err := state.Open(t.Context(), filepath.Join(t.TempDir(), "audit.db"))
	if err != nil {
		t.Fatal(err)
	}
	log, err := audit.Open(t.Context(), db, audit.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close(); db.Close() })
	return log
}

func add(t *testing.T, l *Locker, incident, name string, data []byte) Item {
	t.Helper()
	it, err := l.Add(t.Context(), incident, "qian", New{Kind: KindFile, Name: name, Reason: "shows it", Data: data})
	if err != nil {
		t.Fatal(err)
	}
	return it
}

func TestEvidence(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	l, _, notes := openLocker(t, Limits{})
	big := bytes.Repeat([]byte("0123456789abcdef"), 40_000) // more than two pieces
	it := add(t, l, "INC-1", `C:\temp\mem.dmp`, big)
	if it.Name != "mem.dmp" || it.Size != int64(len(big)) {
		t.Errorf("kept as %+v", it)
	}
	add(t, l, "INC-2", "other.dmp", big) // the same content of another incident
	if _, got, err := l.Read(ctx, "INC-1", it.ID, "sun"); err != nil || !bytes.Equal(got, big) {
		t.Fatalf("read %d bytes, %v", len(got), err)
	}
	if _, err := l.Withdraw(ctx, "INC-1", it.ID, "sun", "  "); !errors.Is(err, ErrInvalid) {
		t.Errorf("withdrawn for no reason: %v", err)
	}
	if _, err := l.Withdraw(ctx, "INC-1", it.ID, "sun", "of another host"); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Withdraw(ctx, "INC-1", it.ID, "sun", "again"); !errors.Is(err, ErrConflict) {
		t.Errorf("withdrawn twice: %v", err)
	}
	if _, err := l.Restore(ctx, "INC-1", it.ID, "qian"); err != nil {
		t.Fatal(err)
	}
	chain, fault, err := l.Custody(ctx, "INC-1")
	if err != nil || fault != "" {
		t.Fatal(fault, err)
	}
	var did []string
	for _, e := range chain {
		did = append(did, e.Actor+" "+e.Action)
	}
	if got := strings.Join(did, ", "); got != "qian added, sun read, sun withdrawn, qian restored" {
		t.Errorf("the chain says %s", got)
	}
	if len(notes.texts) != 4 { // reading is not news
		t.Errorf("the timelines say %q", notes.texts)
	}
	for name, n := range map[string]struct {
		new  New
		want error
	}{
		"no reason":    {New{Kind: KindFile, Name: "a", Data: []byte("x")}, ErrInvalid},
		"no name":      {New{Kind: KindFile, Name: "../..", Reason: "r", Data: []byte("x")}, ErrInvalid},
		"no content":   {New{Kind: KindFile, Name: "a", Reason: "r"}, ErrInvalid},
		"no such kind": {New{Kind: "rumour", Name: "a", Reason: "r", Data: []byte("x")}, ErrInvalid},
		"twice":        {New{Kind: KindFile, Name: "again", Reason: "r", Data: big}, ErrConflict},
	} {
		if _, err := l.Add(ctx, "INC-1", "qian", n.new); !errors.Is(err, n.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := l.Item(ctx, "INC-2", it.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("the item of another incident: %v", err)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	for name, limits := range map[string]Limits{
		"an item":            {Item: 9},
		"an incident":        {Incident: 19},
		"items":              {Items: 1},
		"all that there is ": {Total: chunkSize},
	} {
		l, _, _ := openLocker(t, limits)
		var err error
		for i := range 2 {
			_, err = l.Add(t.Context(), "INC-1", "qian", New{Kind: KindFile, Name: "a", Reason: "r", Data: fmt.Appendf(nil, "content %2d", i)})
			if limits.Item != 9 && i == 0 && err != nil {
				t.Fatalf("%s: the first one: %v", name, err)
			}
		}
		if !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNeverChanged changes database rows: SQL refuses it, and where somebody
// gets around that, chain and contents tell.
func TestNeverChanged(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	l, db, _ := openLocker(t, Limits{})
	it := add(t, l, "INC-1", "a.txt", []byte("content"))
	for _, q := range []string{"UPDATE evidence_custody SET actor = 'x'", "DELETE FROM evidence_custody", "UPDATE evidence_chunks SET data = 'x'"} {
		if _, err := db.ExecContext(ctx, q); err == nil || !strings.Contains(err.Error(), "never") {
			t.Errorf("%s: %v", q, err)
		}
	}
	for _, q := range []string{"DROP TRIGGER evidence_custody_no_update", "DROP TRIGGER evidence_chunks_no_update",
		"UPDATE evidence_custody SET actor = 'nobody'", "UPDATE evidence_chunks SET data = CAST('CONTENT' AS BLOB)"} {
		if _, err := db.ExecContext(ctx, q); err != nil {
			t.Fatal(err)
		}
	}
	if _, fault, err := l.Custody(ctx, "INC-1"); err != nil || !strings.Contains(fault, "entry 1") {
		t.Errorf("another actor: %q, %v", fault, err)
	}
	if _, _, err := l.Read(ctx, "INC-1", it.ID, "qian"); !errors.Is(err, ErrDamaged) {
		t.Errorf("another content: %v", err)
	}
	if err := l.Archive(ctx, io.Discard, Seal{Incident: "INC-1", By: "qian", Signer: openLog(t)}); !errors.Is(err, ErrDamaged) {
		t.Errorf("a broken chain is sealed: %v", err)
	}
}

// sealed makes an archive with two items, one of them withdrawn, and a file.
func sealed(t *testing.T) (archive []byte, log *audit.Log) {
	t.Helper()
	l, _, _ := openLocker(t, Limits{})
	log = openLog(t)
	add(t, l, "INC-1", "内存.dmp", []byte("content"))
	out := add(t, l, "INC-1", "wrong.txt", []byte("of another host"))
	if _, err := l.Withdraw(t.Context(), "INC-1", out.ID, "sun", "of another host"); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	err := l.Archive(t.Context(), &b, Seal{Incident: "INC-1", Tenant: "tax", By: "sun", Version: "1", Files: []File{{"incident.json", []byte("{}")}}, Signer: log})
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), log
}

func TestArchive(t *testing.T) {
	t.Parallel()
	archive, log := sealed(t)
	r, err := Verify(bytes.NewReader(archive), int64(len(archive)), "")
	if err != nil || len(r.Faults) > 0 {
		t.Fatal(err, r.Faults)
	}
	if len(r.Files) != 3 || r.Custody.Entries != 4 || r.MadeBy != "sun" || r.Tenant != "tax" {
		t.Errorf("sealed: %+v", r)
	}
	if own := log.Sign("x", nil).Key; r.Key != own {
		t.Errorf("signed by %s, the log by %s", r.Key, own)
	}
	if r, _ := Verify(bytes.NewReader(archive), int64(len(archive)), "0123456789abcdef"); len(r.Faults) != 1 {
		t.Errorf("another key: %q", r.Faults)
	}
	// Every file of it, changed, taken out, or joined by another.
	z, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		t.Fatal(err)
	}
	rebuild := func(change func(name string, data []byte) ([]byte, bool), more ...string) []byte {
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		put := func(name string, data []byte) {
			f, err := w.Create(name)
			if err == nil {
				_, err = f.Write(data)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, f := range z.File {
			r, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			if data, keep := change(f.Name, data); keep {
				put(f.Name, data)
			}
		}
		for _, name := range more {
			put(name, []byte("x"))
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	spoiled := func(what string, a []byte) {
		t.Helper()
		if r, err := Verify(bytes.NewReader(a), int64(len(a)), ""); err == nil && len(r.Faults) == 0 {
			t.Errorf("%s: nothing is noticed", what)
		}
	}
	same := func(_ string, data []byte) ([]byte, bool) { return data, true }
	if a := rebuild(same); true {
		if r, err := Verify(bytes.NewReader(a), int64(len(a)), ""); err != nil || len(r.Faults) > 0 {
			t.Fatalf("packed anew: %v %q", err, r.Faults)
		}
	}
	for _, f := range z.File {
		spoiled(f.Name+" taken out", rebuild(func(name string, data []byte) ([]byte, bool) { return data, name != f.Name }))
		spoiled(f.Name+" changed", rebuild(func(name string, data []byte) ([]byte, bool) {
			if name == f.Name {
				data = bytes.Replace(data, []byte("content"), []byte("CONTENT"), 1)
				data[len(data)/2] ^= 1
			}
			return data, true
		}))
	}
	spoiled("one more", rebuild(same, "evidence/more.txt"))
	spoiled("one twice", rebuild(same, "incident.json"))
	// Whoever writes manifest and chain anew has to sign them.
	_, forger, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	spoiled("a forged signature", rebuild(func(name string, data []byte) ([]byte, bool) {
		if name == signatureFile {
			var s audit.Signature
			_ = json.Unmarshal(data, &s)
			s.Signature = string(ed25519.Sign(forger, data))
			data, _ = json.Marshal(s)
		}
		return data, true
	}))
}

// FuzzVerify reads anything as an archive: it says what is wrong and never
// takes what it did not seal for whole.
func FuzzVerify(f *testing.F) {
	f.Add([]byte("PK\x05\x06"))
	f.Add([]byte{})
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range []string{manifestFile, signatureFile, custodyFile} {
		x, _ := w.Create(name)
		_, _ = x.Write([]byte(`{"format":"icewatch evidence 1","files":[{"path":"custody.ndjson","size":-1}]}`))
	}
	w.Close()
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := Verify(bytes.NewReader(data), int64(len(data)), ""); err == nil && len(r.Faults) == 0 {
			t.Errorf("whole: %+v", r)
		}
	})
}
