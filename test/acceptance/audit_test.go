package acceptance

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite" // an attacker with the file in his hands
)

// A flipped byte, a removed row and rows that changed places in the database of
// the suite are each found by icectl, which names the record; an export shows
// the same to who has no server.
func TestAuditTampering(t *testing.T) {
	s := newSuite(t, "")
	for range 6 {
		if err := s.admin.JSON(t.Context(), http.MethodPost, "/api/v1/tokens", nil, map[string]any{"name": "audit-test", "scopes": []string{"read"}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := s.icectl("audit", "verify"); err != nil || !strings.Contains(out, "whole") {
		t.Fatalf("%v: %s", err, out)
	}
	export, err := s.icectl("audit", "export")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(s.dir, "audit.ndjson")
	if err := os.WriteFile(file, []byte(export), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.icectl("audit", "verify", "--file", file); err != nil {
		t.Fatal(err)
	}
	s.stop()

	db := filepath.Join(s.data, "state", "icewatch.db")
	whole, err := os.ReadFile(db)
	if err != nil {
		t.Fatal(err)
	}
	marks, err := os.ReadFile(filepath.Join(s.data, "audit", "checkpoints"))
	if err != nil {
		t.Fatal(err)
	}
	f := func(name, want string, tamper func(t *testing.T)) {
		t.Run(name, func(t *testing.T) {
			for path, data := range map[string][]byte{db: whole, filepath.Join(s.data, "audit", "checkpoints"): marks} {
				if err := os.WriteFile(path, data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			os.Remove(db + "-wal")
			os.Remove(db + "-shm")
			tamper(t)
			s.start()
			defer s.stop()
			out, err := s.icectl("audit", "verify")
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(out, want) {
				t.Errorf("%v, want exit code 1 and %q:\n%s", err, want, out)
			}
		})
	}
	statements := func(list ...string) func(*testing.T) {
		return func(t *testing.T) {
			conn, err := sql.Open("sqlite", db)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			for _, q := range append([]string{"DROP TRIGGER audit_records_no_update", "DROP TRIGGER audit_records_no_delete"}, list...) {
				if _, err := conn.Exec(q); err != nil {
					t.Fatalf("%s: %v", q, err)
				}
			}
		}
	}
	f("a flipped byte of the file", "record ", func(t *testing.T) {
		data := bytes.Clone(whole)
		at := bytes.LastIndex(data, []byte("create-token"))
		if at < 0 {
			t.Fatal("the file does not hold the action")
		}
		data[at] ^= 1
		if err := os.WriteFile(db, data, 0o600); err != nil {
			t.Fatal(err)
		}
	})
	f("a removed row", "record 4: it is missing", statements("DELETE FROM audit_records WHERE seq = 4"))
	f("the last row removed", "it is missing", statements("DELETE FROM audit_records WHERE seq = (SELECT max(seq) FROM audit_records)"))
	f("rows that changed places", "record 4: its hash", statements("UPDATE audit_records SET seq = -1 WHERE seq = 4", "UPDATE audit_records SET seq = 4 WHERE seq = 5", "UPDATE audit_records SET seq = 5 WHERE seq = -1"))
}

// Failed sign-ins raise an alert by the suite's own rule, and the trail of the
// one who got in is there to replay.
func TestOwnSignInIsWatched(t *testing.T) {
	s := newSuite(t, "")
	for range 12 {
		_ = s.admin.With("", "").JSON(t.Context(), http.MethodPost, "/api/v1/auth/login", nil, map[string]string{"username": "intruder", "password": "guess-me-if-you-can"}, nil)
	}
	var titles []string
	for deadline := time.Now().Add(90 * time.Second); time.Now().Before(deadline); time.Sleep(500 * time.Millisecond) {
		items, err := s.admin.Raw(t.Context(), "/api/v1/alerts", nil, 100)
		if err != nil {
			t.Fatal(err)
		}
		titles = titles[:0]
		for _, raw := range items {
			var al struct {
				Rule struct {
					Title struct{ EN string } `json:"title"`
				} `json:"rule"`
				Tenant string `json:"tenant"`
			}
			if err := json.Unmarshal(raw, &al); err != nil {
				t.Fatal(err)
			}
			titles = append(titles, al.Tenant+": "+al.Rule.Title.EN)
			if al.Tenant == "city" && al.Rule.Title.EN == "Password Guessing Against icewatch" {
				if out, err := s.icectl("audit", "track", "admin"); err != nil || !strings.Contains(out, "sign-in") {
					t.Errorf("track: %v: %s", err, out)
				}
				return
			}
		}
	}
	t.Fatalf("no alert by our own rule; alerts: %q", titles)
}
