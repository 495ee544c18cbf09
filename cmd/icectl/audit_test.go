package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"icewatch/soc/audit"
	"icewatch/soc/state"
)

// exported writes a small log and returns its export and the id of its key.
func exported(t *testing.T) (text []byte, key string) {
	t.Helper()
	db, err := state.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	l, err := audit.Open(t.Context(), db, audit.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for range 5 {
		if err := l.Append(t.Context(), audit.Record{Actor: "li", Action: "create-user", Object: "user:wang", Result: audit.OK}); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	q := audit.Query{}
	if _, err := l.Export(t.Context(), &out, q.Start, q.End); err != nil {
		t.Fatal(err)
	}
	report, err := l.Verify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), report.Keys[0].ID
}

// An export is verified without any server.
func TestAuditVerifyFile(t *testing.T) {
	text, key := exported(t)
	file := filepath.Join(t.TempDir(), "audit.ndjson")
	f := func(name string, text []byte, wantCode int, wantOut string, args ...string) {
		t.Helper()
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		code, out, errs := call(t, "", nil, "", append([]string{"audit", "verify", "--file", file}, args...)...)
		if code != wantCode || !strings.Contains(out+errs, wantOut) {
			t.Errorf("%s: exit %d, %q, %q; want %d and %q", name, code, out, errs, wantCode, wantOut)
		}
	}
	f("whole", text, exitOK, "5, from 1 to 5")
	f("whole, by its key", text, exitOK, key, "--key", key)
	f("another key", text, exitFailed, "not by 0123456789abcdef", "--key", "0123456789abcdef")
	f("a changed name", bytes.Replace(text, []byte("wang"), []byte("chen"), 1), exitFailed, "record 1: its hash does not fit")
	lines := bytes.SplitAfter(text, []byte("\n"))
	f("a removed record", bytes.Join(append(append([][]byte{}, lines[:2]...), lines[3:]...), nil), exitFailed, "record 2: it is missing")
	f("two swapped", bytes.Join([][]byte{lines[0], lines[2], lines[1], lines[3], lines[4], lines[5], lines[6]}, nil), exitFailed, "record 1: it is missing")
	f("cut off", bytes.Join(lines[:4], nil), exitFailed, "cut off")
	f("no export", []byte("hello\n"), exitFailed, "line 1")
}

func TestAuditVerifyServer(t *testing.T) {
	s := serve(t, map[string]string{"GET /api/v1/audit/verify": `{"ok":false,"records":6,"last_seq":6,"breaks":[{"place":"record","seq":7,"reason":"it is missing"}]}`})
	if code, out, _ := call(t, s.URL, nil, "", "audit", "verify"); code != exitFailed || !strings.Contains(out, "record 7: it is missing") {
		t.Errorf("exit %d: %s", code, out)
	}
	s = serve(t, map[string]string{"GET /api/v1/audit/verify": `{"ok":true,"records":6,"first_seq":1,"last_seq":6,"head":"ab","checkpoints":2,"keys":[{"id":"k1"}],"breaks":[]}`})
	if code, out, _ := call(t, s.URL, nil, "", "audit", "verify"); code != exitOK || !strings.Contains(out, "whole") {
		t.Errorf("exit %d: %s", code, out)
	}
	if code, _, _ := call(t, s.URL, nil, "", "audit", "verify", "--key", "k1"); code != exitUsage {
		t.Errorf("exit %d, want %d", code, exitUsage)
	}
}

func TestAuditTrack(t *testing.T) {
	s := serve(t, map[string]string{"GET /api/v1/audit/track": `{"total":2,"sessions":[{"session_id":"s1","channel":"password","address":"10.1.2.3","start":"2026-11-25T09:00:00Z","end":"2026-11-25T09:01:00Z",
		"changes":1,"steps":[{"kind":"sign-in","record":{"action":"login"}},{"kind":"change","gap_seconds":60,"record":{"action":"update-user","object":"user:\u001b[31mli",
		"changes":[{"field":"roles","before":["viewer"],"after":["admin"]}]}}]}]}`})
	code, out, errs := call(t, s.URL, nil, "", "audit", "track", "li", "--since", "2d")
	if code != exitOK || !strings.Contains(out, `roles: ["viewer"] → ["admin"]`) || !strings.Contains(out, "+60.0") || strings.Contains(out, "\x1b") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	if len(s.asked) != 1 || !strings.Contains(s.asked[0], "user=li") {
		t.Errorf("asked %q", s.asked)
	}
}
