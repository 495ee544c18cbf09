package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"icewatch/soc/seal"
	"icewatch/soc/state"
)

var zero time.Time

func TestPolicy(t *testing.T) {
	t.Parallel()
	f := func(days int, ok bool) {
		t.Helper()
		if err := (Policy{days}).Check(); (err == nil) != ok {
			t.Errorf("%d days: %v", days, err)
		}
	}
	f(0, false)
	f(179, false)
	f(180, true)
	f(3650, true)
	f(1<<40, false)
}

func TestPruneLeavesWhatVerifies(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state.db")
	old := time.Now().AddDate(0, 0, -200)
	for run := range 3 {
		l, db := open(t, path)
		for range 10 {
			rec := Record{Actor: "li", Action: "x", Time: old.AddDate(0, 0, 10*run)} // 200, 190 and 180 days old
			if run == 2 {
				rec.Time = zero
			}
			if err := l.Append(t.Context(), rec); err != nil {
				t.Fatal(err)
			}
		}
		_ = l.Close()
		_ = db.Close()
	}
	l, db := open(t, path)
	if _, err := l.Prune(t.Context(), Policy{100}); err == nil {
		t.Fatal("a shorter time than the law's was taken")
	}
	if n, err := l.Prune(t.Context(), Policy{195}); n != 10 || err != nil {
		t.Fatal(n, err)
	}
	if n, err := l.Prune(t.Context(), Policy{195}); n != 0 || err != nil {
		t.Fatal("again:", n, err)
	}
	r, err := l.Verify(t.Context())
	if err != nil || !r.OK || r.FirstSeq != 11 || r.LastSeq != 31 {
		t.Fatalf("%+v, %v", r, err)
	}
	if n, err := l.Prune(t.Context(), DefaultPolicy()); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	if n, err := l.Prune(t.Context(), Policy{180}); n != 10 || err != nil {
		t.Fatal(n, err)
	}
	_ = l.Close()
	_ = db.Close()
	l, _ = open(t, path)
	if r, err = l.Verify(t.Context()); err != nil || !r.OK || r.FirstSeq != 21 {
		t.Fatalf("%+v, %v", r, err)
	}
	list, err := readLines[Checkpoint](l.sign.path())
	if err != nil || list[0].Seq < 20 {
		t.Fatalf("checkpoints of what is gone are left: %+v, %v", list, err)
	}
	var out bytes.Buffer
	if _, err := l.Export(t.Context(), &out, zero, zero); err != nil {
		t.Fatal(err)
	}
	if r, err := VerifyExport(&out, ""); err != nil || !r.OK || r.FirstSeq != 21 {
		t.Fatalf("%+v, %v", r, err)
	}
	// Under the anchor nothing is left to delete, above it the trigger stands.
	if _, err := l.db.ExecContext(t.Context(), "DELETE FROM audit_records WHERE seq = 21"); err == nil {
		t.Error("a record above the anchor was deleted")
	}
}

// A log of the first release has no signatures; it is taken as it is, once.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	path := sample(t)
	db := burgle(t, path)
	exec(t, db, "UPDATE audit_records SET version = 1, kind = '', unit = '', session = '', channel = '', client = '', findings = '', changes = '', times = 0",
		"DELETE FROM audit_checkpoints", "DELETE FROM audit_head")
	rehash(t, db, 1)
	_ = db.Close()
	dir := filepath.Join(filepath.Dir(path), "audit")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	l, db := open(t, path)
	fill(t, l, 2)
	if r, err := l.Verify(t.Context()); err != nil || !r.OK || r.Records != 22 {
		t.Fatalf("%+v, %v", r, err)
	}
	_ = l.Close()
	_ = db.Close()
	// With a key there is no second first time.
	db = burgle(t, path)
	exec(t, db, "DELETE FROM audit_checkpoints", "DELETE FROM audit_head", "DELETE FROM audit_records WHERE seq > 20")
	_ = db.Close()
	if err := os.Remove(filepath.Join(dir, fileCheckpoints)); err != nil {
		t.Fatal(err)
	}
	l, _ = open(t, path)
	if r, err := l.Verify(t.Context()); err != nil || r.OK {
		t.Fatalf("%+v, %v", r, err)
	}
}

func TestKeyFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, err := openSigner(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(filepath.Join(dir, fileKey))
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Fatal(st.Mode(), err)
	}
	// With a master key the plain one is sealed, and again when that changes.
	keyFile, path := filepath.Join(t.TempDir(), "master"), filepath.Join(t.TempDir(), "state.db")
	db, err := state.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	box, err := seal.Open(t.Context(), db, keyFile, Sealed(dir))
	if err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(filepath.Join(dir, fileKey))
	if err := box.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := box.DropOld(t.Context()); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	after, _ := os.ReadFile(filepath.Join(dir, fileKey))
	if bytes.Equal(before, after) || bytes.Contains(before, []byte("PRIVATE")) || bytes.Contains(after, []byte("PRIVATE")) {
		t.Fatal("the key was not sealed, or not anew")
	}
	b, err := openSigner(dir, box)
	if err != nil || a.id != b.id || b.fresh {
		t.Fatal(a.id, b.id, err)
	}
	if _, err := openSigner(dir, nil); err == nil || !strings.Contains(err.Error(), "no master key") {
		t.Fatal(err)
	}
	if _, err := openSigner(dir, seal.Ephemeral(Sealed(dir))); !errors.Is(err, seal.ErrKeyLost) {
		t.Fatal(err)
	}
	if b, err = openSigner(t.TempDir(), box); err != nil || !b.fresh {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, fileKey), []byte("-----BEGIN x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openSigner(dir, nil); err == nil || !strings.Contains(err.Error(), "no PEM") {
		t.Fatal(err)
	}
	// A new key after a lost one: what the old one signed still verifies.
	if err := os.Remove(filepath.Join(dir, fileKey)); err != nil {
		t.Fatal(err)
	}
	c, err := openSigner(dir, nil)
	if err != nil || c.id == a.id || len(c.keys) != 2 {
		t.Fatal(c.keys, err)
	}
	signed := a.sign(Checkpoint{Kind: checkPoint, N: 1})
	if why := c.ring.check(&signed); why != "" {
		t.Fatal(why)
	}
}

func TestTornLine(t *testing.T) {
	t.Parallel()
	path := sample(t)
	name := filepath.Join(filepath.Dir(path), "audit", fileCheckpoints)
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	// The machine died while the last line was written.
	if err := os.WriteFile(name, text[:len(text)-20], 0o600); err != nil {
		t.Fatal(err)
	}
	l, _ := open(t, path)
	fill(t, l, 1)
	_ = l.Close()
	if r, err := l.Verify(t.Context()); err != nil || !r.OK || r.Checkpoints != 3 {
		t.Fatalf("%+v, %v", r, err)
	}
}

func TestDiff(t *testing.T) {
	t.Parallel()
	type doc map[string]any
	f := func(before, after any, want string) {
		t.Helper()
		got, err := Diff(before, after)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := json.Marshal(got)
		if string(b) != want {
			t.Errorf("got  %s\nwant %s", b, want)
		}
	}
	f(nil, nil, `null`)
	f(doc{"a": 1}, doc{"a": 1}, `null`)
	f(doc{"a": 1, "b": doc{"c": true, "d": []string{"x"}}}, doc{"a": 2, "b": doc{"c": true, "d": []string{"x", "y"}}},
		`[{"field":"a","before":1,"after":2},{"field":"b.d","before":["x"],"after":["x","y"]}]`)
	f(nil, doc{"name": "li"}, `[{"field":"name","after":"li"}]`)
	f(doc{"name": "li"}, nil, `[{"field":"name","before":"li"}]`)
	f(doc{"password": "alt", "token_id": "1"}, doc{"password": "neu", "token_id": "2"},
		`[{"field":"password","before":"(secret)","after":"(secret)"},{"field":"token_id","before":"1","after":"2"}]`)
	f(doc{"password": doc{"min_length": 8}}, doc{"password": doc{"min_length": 12}}, `[{"field":"password.min_length","before":8,"after":12}]`)
	f(doc{"url": "https://u:geheim@h/x?access_token=abc"}, nil, `[{"field":"url","before":"https://secret@h/x?access_token=secret"}]`)
	f(nil, doc{"list": []doc{{"client_secret": "x", "name": "n"}}}, `[{"field":"list","after":[{"client_secret":"(secret)","name":"n"}]}]`)
	f("a", "b", `[{"field":"value","before":"a","after":"b"}]`)

	long, err := Diff(nil, doc{"a": strings.Repeat("冰", 5000)})
	if err != nil || len(long[0].After) > 2*maxValue || !json.Valid(long[0].After) {
		t.Error(len(long[0].After), err)
	}
	many := doc{}
	for i := range 500 {
		many[strings.Repeat("x", i+1)] = i
	}
	if list, err := Diff(nil, many); err != nil || len(list) != maxDiff+1 {
		t.Error(len(list), err)
	}
	if _, err := Diff(func() {}, nil); err == nil {
		t.Error("a function has no JSON")
	}
}

func TestTrack(t *testing.T) {
	t.Parallel()
	l, _ := open(t, filepath.Join(t.TempDir(), "state.db"))
	at := time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)
	add := func(after time.Duration, rec Record) {
		t.Helper()
		at = at.Add(after)
		rec.Time = at
		if err := l.Append(t.Context(), rec); err != nil {
			t.Fatal(err)
		}
	}
	add(0, Record{Kind: KindSignIn, Actor: "li", Action: "login", Result: Denied, Address: "10.0.0.1", Channel: "password"})
	add(5*time.Second, Record{Kind: KindSignIn, Actor: "li", Action: "login", Result: OK, Address: "10.0.0.1", Channel: "totp", Session: "s1", Client: "Firefox"})
	add(time.Minute, Record{Kind: KindRead, Actor: "li", Action: "list-users", Result: OK, Address: "10.0.0.1", Channel: "session", Session: "s1"})
	add(time.Second, Record{Kind: KindChange, Actor: "wang", Action: "create-user", Result: OK, Address: "10.0.0.9", Session: "s9"})
	add(time.Minute, Record{Kind: KindChange, Actor: "li", Action: "update-user", Object: "user:wang", Result: OK, Address: "10.0.0.7", Session: "s1"})
	add(time.Hour, Record{Kind: KindSignIn, Actor: "li", Action: "login", Result: Denied, Address: "10.0.0.1", Channel: "password"})
	add(time.Second, Record{Kind: KindSignOut, Actor: "li", Action: "logout", Result: OK, Address: "10.0.0.7", Session: "s1"})
	tr, err := l.Track(t.Context(), Query{Actor: "li"}, 0)
	if err != nil || tr.Total != 6 || tr.Truncated || len(tr.Sessions) != 3 {
		t.Fatalf("%+v, %v", tr, err)
	}
	v := tr.Sessions[1]
	if v.Session != "s1" || v.Channel != "totp" || v.Client != "Firefox" || len(v.Others) != 1 || v.Changes != 1 || v.Reads != 1 || len(v.Steps) != 4 ||
		v.Steps[1].Gap != 60 || v.Steps[2].Gap != 61 || v.Steps[3].Kind != KindSignOut || v.Duration != 60+61+3601 {
		t.Errorf("%+v", v)
	}
	if v := tr.Sessions[0]; v.Denied != 1 || v.Steps[0].Kind != Denied {
		t.Errorf("%+v", v)
	}
	if tr, err = l.Track(t.Context(), Query{Actor: "li", Text: "USER:wang update"}, 0); err != nil || tr.Total != 1 {
		t.Errorf("%+v, %v", tr, err)
	}
	if tr, err = l.Track(t.Context(), Query{Actor: "li"}, 2); err != nil || !tr.Truncated || len(tr.Sessions) != 2 {
		t.Errorf("%+v, %v", tr, err)
	}
	if actions, err := l.Actions(t.Context()); err != nil || strings.Join(actions, " ") != "create-user list-users login logout update-user" {
		t.Error(actions, err)
	}
}

func TestReadsAreMergedAndDurable(t *testing.T) {
	t.Parallel()
	l, _ := open(t, filepath.Join(t.TempDir(), "state.db"))
	for range 50 {
		if err := l.Read(t.Context(), Record{Kind: KindRead, Actor: "li", Action: "search", Object: "events", Result: OK, Detail: "query: error"}); err != nil {
			t.Fatal(err)
		}
	}
	if p, err := l.List(t.Context(), Query{Kind: KindRead}); err != nil || p.Total != 1 {
		t.Fatal(p, err)
	}
	_ = l.Close()
	p, err := l.List(t.Context(), Query{Kind: KindRead})
	if err != nil || p.Total != 2 || p.Items[0].Count != 49 {
		t.Fatalf("%+v, %v", p, err)
	}
}
