package audit

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"icewatch/soc/state"
)

// burgle opens the database as somebody with the file in his hands would, with
// the log's triggers gone.
func burgle(t *testing.T, path string) *state.DB {
	t.Helper()
	db, err := state.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	exec(t, db, "DROP TRIGGER IF EXISTS audit_records_no_update", "DROP TRIGGER IF EXISTS audit_records_no_delete")
	return db
}

func exec(t *testing.T, db *state.DB, statements ...string) {
	t.Helper()
	for _, q := range statements {
		if _, err := db.ExecContext(t.Context(), q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
}

// rehash makes the chain fit again from seq on, as a forger who read this
// source would.
func rehash(t *testing.T, db *state.DB, seq int64) {
	t.Helper()
	rows, err := rowsAfter(t.Context(), db, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	hash := ""
	for i := range rows {
		r := &rows[i]
		if r.Seq >= seq {
			r.Hash = r.chain(hash)
			if _, err := db.NewUpdate().Model(r).Column("hash").WherePK().Exec(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		hash = r.Hash
	}
}

// sample writes a log of 20 records with a checkpoint at each of 10 and 20,
// and closes it.
func sample(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "state.db")
	for range 2 {
		l, db := open(t, path)
		for range 10 {
			rec := Record{Kind: KindChange, Actor: "li", Action: "update-user", Object: "user:wang", Result: OK, Address: "192.0.2.1", Tenant: "city", Unit: "u1",
				RequestID: "r", Session: "s", Channel: "password", Client: "Mozilla", Findings: []string{"new_device", "new_network"}, Detail: "d", Changes: json.RawMessage(`[{"field":"a","before":1,"after":"<2>"}]`), Count: 2}
			if err := l.Append(t.Context(), rec); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		_ = db.Close()
	}
	return path
}

// Whatever is done to the database while the log is closed, the next start and
// every verification find it, and name the first record that is concerned.
func TestVerifyFindsTampering(t *testing.T) {
	t.Parallel()
	f := func(name, place string, seq int64, tamper func(t *testing.T, db *state.DB, dir string)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := sample(t)
			db := burgle(t, path)
			tamper(t, db, filepath.Join(filepath.Dir(path), "audit"))
			_ = db.Close()
			// Twice, with records in between: what happens next must not hide it.
			for range 2 {
				l, db := open(t, path)
				r, err := l.Verify(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if r.OK || !slices.ContainsFunc(r.Breaks, func(b Break) bool { return b.Place == place && b.Seq == seq }) {
					t.Fatalf("%+v, want a break at %s %d", r.Breaks, place, seq)
				}
				fill(t, l, 3)
				if r, err = l.Check(t.Context()); err != nil || r.OK || r.Err() == nil {
					t.Fatalf("afterwards: %+v, %v", r, err)
				}
				_ = l.Close()
				_ = db.Close()
			}
		})
	}
	sql := func(statements ...string) func(*testing.T, *state.DB, string) {
		return func(t *testing.T, db *state.DB, _ string) { exec(t, db, statements...) }
	}
	for _, column := range []string{"actor", "action", "object", "result", "address", "tenant", "unit", "request_id", "session", "channel", "client", "findings", "detail",
		"changes", "kind", "hash"} {
		f("a changed "+column, PlaceRecord, 7, sql("UPDATE audit_records SET "+column+" = substr("+column+", 1, length("+column+") - 1) || '~' WHERE seq = 7"))
	}
	for _, column := range []string{"time", "version", "times"} {
		f("a changed "+column, PlaceRecord, 7, sql("UPDATE audit_records SET "+column+" = "+column+" - 1 WHERE seq = 7"))
	}
	f("a time that is no number", PlaceRecord, 1, sql("UPDATE audit_records SET time = 'x' WHERE seq = 7"))
	f("changes that are no JSON", PlaceRecord, 7, sql("UPDATE audit_records SET changes = '[' WHERE seq = 7"))
	f("text moved between fields", PlaceRecord, 7, sql("UPDATE audit_records SET actor = actor || action, action = '' WHERE seq = 7"))
	f("a removed record", PlaceRecord, 7, sql("DELETE FROM audit_records WHERE seq = 7"))
	f("the first removed", PlaceRecord, 1, sql("DELETE FROM audit_records WHERE seq = 1"))
	f("the first ten removed", PlaceRecord, 1, sql("DELETE FROM audit_records WHERE seq <= 10"))
	f("all removed", PlaceRecord, 1, sql("DELETE FROM audit_records"))
	f("a removed record, the rest moved up", PlaceRecord, 7,
		sql("DELETE FROM audit_records WHERE seq = 7", "UPDATE audit_records SET seq = seq + 999 WHERE seq > 7", "UPDATE audit_records SET seq = seq - 1000 WHERE seq > 7"))
	f("two that changed places", PlaceRecord, 7,
		sql("UPDATE audit_records SET seq = 999 WHERE seq = 7", "UPDATE audit_records SET seq = 7 WHERE seq = 8", "UPDATE audit_records SET seq = 8 WHERE seq = 999"))
	f("one put in between", PlaceRecord, 7,
		sql("UPDATE audit_records SET seq = seq + 1000 WHERE seq >= 7", "UPDATE audit_records SET seq = seq - 999 WHERE seq >= 1007",
			"INSERT INTO audit_records SELECT 7, time, actor, action, object, result, address, tenant, request_id, detail, hash, version, kind, unit, session, channel, client, findings, changes, times FROM audit_records WHERE seq = 6"))
	f("the last removed", PlaceRecord, 20, sql("DELETE FROM audit_records WHERE seq = 20"))
	f("the end cut off, with what signed it in the database", PlaceRecord, 15,
		sql("DELETE FROM audit_records WHERE seq >= 15", "DELETE FROM audit_head", "DELETE FROM audit_checkpoints WHERE seq >= 15"))
	f("changed and hashed anew", PlaceRecord, 10, func(t *testing.T, db *state.DB, _ string) {
		exec(t, db, "UPDATE audit_records SET actor = 'nobody' WHERE seq = 7")
		rehash(t, db, 7)
	})
	f("hashed anew after the last checkpoint of the first run", PlaceRecord, 20, func(t *testing.T, db *state.DB, _ string) {
		exec(t, db, "UPDATE audit_records SET actor = 'nobody' WHERE seq = 15")
		rehash(t, db, 15)
	})
	f("hashed anew, all checkpoints and the head forged with another key", PlaceCheckpoint, 1, func(t *testing.T, db *state.DB, dir string) {
		exec(t, db, "UPDATE audit_records SET actor = 'nobody' WHERE seq = 7")
		rehash(t, db, 7)
		_, other, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		forger := &signer{private: other, id: keyID(other.Public().(ed25519.PublicKey))}
		list, err := checkpointsIn(t.Context(), db, 0)
		if err != nil {
			t.Fatal(err)
		}
		var lines []byte
		for _, c := range list {
			var hash string
			if err := db.QueryRowContext(t.Context(), "SELECT hash FROM audit_records WHERE seq = ?", c.Seq).Scan(&hash); err != nil {
				t.Fatal(err)
			}
			c.Hash = hash
			c = forger.sign(c)
			if _, err := db.ExecContext(t.Context(), "UPDATE audit_checkpoints SET hash = ?, time = ?, key = ?, signature = ? WHERE n = ?",
				c.Hash, c.Time.UnixMilli(), c.Key, c.Signature, c.N); err != nil {
				t.Fatal(err)
			}
			b, _ := json.Marshal(c)
			lines = append(append(lines, b...), '\n')
		}
		if err := os.WriteFile(filepath.Join(dir, fileCheckpoints), lines, 0o600); err != nil {
			t.Fatal(err)
		}
	})
	f("one added at the end that chains", PlaceCheckpoint, 3, func(t *testing.T, db *state.DB, _ string) {
		rows, err := rowsAfter(t.Context(), db, 19, 1)
		if err != nil {
			t.Fatal(err)
		}
		forged := rows[0]
		forged.Seq, forged.Actor = 21, "nobody"
		forged.Hash = forged.chain(rows[0].Hash)
		if _, err := db.NewInsert().Model(&forged).Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	f("a checkpoint removed from the database", PlaceCheckpoint, 1, sql("DELETE FROM audit_checkpoints WHERE n = 1"))
	f("the file of checkpoints removed", PlaceCheckpoint, 3, func(t *testing.T, _ *state.DB, dir string) { os.Remove(filepath.Join(dir, fileCheckpoints)) })
	f("the signature of a checkpoint changed", PlaceCheckpoint, 2, sql("UPDATE audit_checkpoints SET signature = replace(signature, substr(signature, 5, 1), '0') WHERE n = 2"))
	f("a forged anchor", PlaceRecord, 1,
		sql("INSERT INTO audit_checkpoints SELECT 3, 'anchor', seq, hash, time, 'retention', key, signature FROM audit_checkpoints WHERE n = 1", "DELETE FROM audit_records WHERE seq <= 10"))
}

// The same behind the back of a log that runs.
func TestVerifyFindsTamperingWhileOpen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state.db")
	l, _ := open(t, path)
	fill(t, l, 20)
	db := burgle(t, path)
	exec(t, db, "DELETE FROM audit_records WHERE seq > 15", "DELETE FROM audit_head")
	if r, err := l.Verify(t.Context()); err != nil || r.OK || r.Err().Error() == "" || r.Breaks[0].Seq != 16 {
		t.Fatalf("%+v, %v", r, err)
	}
	fill(t, l, 1)
	if r, err := l.Verify(t.Context()); err != nil || r.OK || r.Breaks[0].Seq != 16 || r.Breaks[0].Reason != "it is missing" {
		t.Fatalf("after another record: %+v, %v", r, err)
	}
}

// Bytes of a record, and of the indexes by which records are found, flipped in
// turn as SQLite keeps them in its file.
func TestVerifyFindsFlippedBytesOfTheFile(t *testing.T) {
	t.Parallel()
	path := sample(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var places []int
	for text, length := range map[string]int{"liupdate-useruser:wangok192.0.2.1cityrd": 100, "update-user": 11} {
		at := bytes.LastIndex(whole, []byte(text))
		if at < 0 {
			t.Fatalf("%q is not in the file", text)
		}
		for i := at; i < at+length; i += 3 {
			places = append(places, i)
		}
	}
	for _, i := range places {
		data := bytes.Clone(whole)
		data[i] ^= 0x04
		copied := filepath.Join(t.TempDir(), "state.db")
		if err := os.WriteFile(copied, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(filepath.Join(filepath.Dir(copied), "audit"), os.DirFS(filepath.Join(filepath.Dir(path), "audit"))); err != nil {
			t.Fatal(err)
		}
		l, db := open(t, copied)
		r, err := l.Verify(t.Context())
		if err != nil || r.OK {
			t.Errorf("byte %d (%q): %+v, %v", i, whole[i], r, err)
		}
		_ = l.Close()
		_ = db.Close()
	}
}

func TestExportIsVerifiedAnywhere(t *testing.T) {
	t.Parallel()
	l, _ := open(t, sample(t))
	fill(t, l, 5)
	var out bytes.Buffer
	n, err := l.Export(t.Context(), &out, zero, zero)
	if err != nil || n != 25 {
		t.Fatal(n, err)
	}
	r, err := VerifyExport(bytes.NewReader(out.Bytes()), l.sign.id)
	if err != nil || !r.OK || r.Records != 25 || r.Checkpoints != 2 || r.FirstSeq != 1 || r.LastSeq != 25 {
		t.Fatalf("%+v, %v", r, err)
	}
	lines := strings.SplitAfter(strings.TrimSuffix(out.String(), "\n"), "\n")
	f := func(name, pinned string, change func(lines []string) []string) {
		t.Helper()
		text := strings.Join(change(slices.Clone(lines)), "")
		if r, err := VerifyExport(strings.NewReader(text), pinned); err == nil && r.OK {
			t.Errorf("%s: not found", name)
		}
	}
	for i := range lines {
		f("a line removed", "", func(l []string) []string { return slices.Delete(l, i, i+1) })
		f("a line twice", "", func(l []string) []string { return slices.Insert(l, i, l[i]) })
		f("a flipped byte", "", func(l []string) []string {
			b := []byte(l[i])
			b[len(b)/2] ^= 1
			l[i] = string(b)
			return l
		})
	}
	f("two lines swapped", "", func(l []string) []string { l[5], l[6] = l[6], l[5]; return l })
	f("another key pinned", "0123456789abcdef", func(l []string) []string { return l })

	// A part is verified as well, from the hash before it.
	page, err := l.List(t.Context(), Query{})
	if err != nil {
		t.Fatal(err)
	}
	out.Reset()
	from := page.Items[4].Time // the first of the last five
	if n, err = l.Export(t.Context(), &out, from, zero); err != nil || n < 5 {
		t.Fatal(n, err)
	}
	if r, err := VerifyExport(&out, ""); err != nil || !r.OK || r.FirstSeq < 2 || r.LastSeq != 25 {
		t.Fatalf("%+v, %v", r, err)
	}
	out.Reset()
	if n, err = l.Export(t.Context(), &out, zero, from.AddDate(-1, 0, 0)); err != nil || n != 0 {
		t.Fatal(n, err)
	}
	if r, err := VerifyExport(&out, ""); err != nil || !r.OK {
		t.Fatalf("an empty export: %+v, %v", r, err)
	}
}

func FuzzVerifyExport(f *testing.F) {
	path := filepath.Join(f.TempDir(), "state.db")
	db, err := state.Open(context.Background(), path)
	if err != nil {
		f.Fatal(err)
	}
	defer db.Close()
	l, err := Open(context.Background(), db, Options{Dir: f.TempDir()})
	if err != nil {
		f.Fatal(err)
	}
	defer l.Close()
	for range 3 {
		if err := l.Append(context.Background(), Record{Actor: "li", Action: "x"}); err != nil {
			f.Fatal(err)
		}
	}
	var out bytes.Buffer
	if _, err := l.Export(context.Background(), &out, zero, zero); err != nil {
		f.Fatal(err)
	}
	f.Add(out.Bytes())
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := VerifyExport(bytes.NewReader(data), l.sign.id)
		if err == nil && r.OK && !bytes.Equal(bytes.TrimRight(data, "\n"), bytes.TrimRight(out.Bytes(), "\n")) {
			// JSON may be spelled otherwise in the signed end alone.
			if at := bytes.LastIndex(out.Bytes(), []byte(`{"end"`)); !bytes.HasPrefix(data, out.Bytes()[:at]) {
				t.Fatalf("another text is as good: %q", data)
			}
		}
	})
}
