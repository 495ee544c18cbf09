package acceptance

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	_ "modernc.org/sqlite" // an attacker with the file in his hands

	"icewatch/soc/audit"
	"icewatch/soc/client"
	"icewatch/test/peers"
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

// Every audit record reaches a real rsyslogd and a real Kafka, though rsyslogd
// goes away and the suite is restarted in between; the positions survive.
func TestAuditIsForwarded(t *testing.T) {
	port := peers.FreePort(t)
	file := filepath.Join(t.TempDir(), "received")
	stop := peers.StartRsyslog(t, port, file)
	kafka := peers.StartKafka(t).Address
	s := newSuite(t, "security:\n  egress:\n    allow: [127.0.0.1/32]\n")
	config := map[string]any{"targets": []any{
		map[string]any{"name": "siem", "kind": "syslog", "transport": "tcp", "address": "127.0.0.1:" + port, "from": "start"},
		map[string]any{"name": "lake", "kind": "kafka", "brokers": []string{kafka}, "topic": "icewatch-audit", "from": "start"},
	}}
	if err := s.admin.JSON(t.Context(), http.MethodPut, "/api/v1/settings/audit-forward", nil, config, nil); err != nil {
		t.Fatal(err)
	}
	act := func(n int) {
		t.Helper()
		for range n {
			if err := s.admin.JSON(t.Context(), http.MethodPost, "/api/v1/tokens", nil, map[string]any{"name": "forwarded", "scopes": []string{"read"}}, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	type status struct {
		Name, State, Error  string
		Position, Head, Lag int64
	}
	// settled waits until the named targets have everything, and returns the newest record.
	settled := func(names ...string) (head int64) {
		t.Helper()
		var page client.Page[status]
		for deadline := time.Now().Add(90 * time.Second); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
			if err := s.admin.Get(t.Context(), "/api/v1/audit/forward", nil, &page); err != nil {
				t.Fatal(err)
			}
			waiting := false
			for _, st := range page.Items {
				head = st.Head
				waiting = waiting || slices.Contains(names, st.Name) && (st.State != "ok" || st.Lag > 0)
			}
			if !waiting {
				return head
			}
		}
		t.Fatalf("not forwarded: %+v", page.Items)
		return 0
	}
	act(5)
	settled("siem", "lake")
	stop()
	act(5)
	settled("lake")
	s.stop()
	s.start()
	act(5)
	peers.StartRsyslog(t, port, file)
	head := settled("siem", "lake")

	seqs := map[int64]bool{}
	take := func(text []byte) {
		var rec audit.Record
		if err := json.Unmarshal(text, &rec); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		seqs[rec.Seq] = true
	}
	whole := func(name string) {
		t.Helper()
		for seq := int64(1); seq <= head; seq++ {
			if !seqs[seq] {
				t.Errorf("%s: record %d of %d is missing", name, seq, head)
			}
		}
		clear(seqs)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		take(line[bytes.IndexByte(line, '{'):])
	}
	whole("rsyslogd")
	consumer, err := kgo.NewClient(kgo.SeedBrokers(kafka), kgo.ConsumeTopics("icewatch-audit"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer consumer.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for !seqs[head] {
		fetches := consumer.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(k *kgo.Record) { take(k.Value) })
	}
	whole("Kafka")
}
