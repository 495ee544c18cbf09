package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/soc/audit"
	"icewatch/soc/state"
	"icewatch/ticketing/evidence"
)

type noTimeline struct{}

func (noTimeline) Note(context.Context, bun.IDB, string, string, string, detections.Text, map[string]any) error {
	return nil
}

// An archive is verified without any server.
func TestEvidenceVerify(t *testing.T) {
	db, err := state.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	log, err := audit.Open(t.Context(), db, audit.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	locker, err := evidence.Open(t.Context(), db, evidence.Deps{Timeline: noTimeline{}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := locker.Add(t.Context(), "INC-1", "qian", evidence.New{Kind: evidence.KindFile, Name: "a.txt", Reason: "shows it", Data: []byte("content")}); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := locker.Archive(t.Context(), &b, evidence.Seal{Incident: "INC-1", Tenant: "tax", By: "sun", Signer: log}); err != nil {
		t.Fatal(err)
	}
	key := log.Sign("any", nil).Key
	f := func(name string, archive []byte, code int, want string, args ...string) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "archive.zip")
		if err := os.WriteFile(file, archive, 0o600); err != nil {
			t.Fatal(err)
		}
		got, out, errs := call(t, "", nil, "", append([]string{"evidence", "verify", file}, args...)...)
		if got != code || !strings.Contains(out+errs, want) {
			t.Errorf("%s: exit %d, %q, %q; want %d and %q", name, got, out, errs, code, want)
		}
	}
	f("whole", b.Bytes(), exitOK, "whole")
	f("whole, by its key", b.Bytes(), exitOK, key, "--key", key)
	f("another key", b.Bytes(), exitFailed, "want 0123456789abcdef", "--key", "0123456789abcdef")
	f("cut off", b.Bytes()[:b.Len()-40], exitFailed, "no ZIP archive")
	f("a changed name", bytes.ReplaceAll(b.Bytes(), []byte("a.txt"), []byte("b.txt")), exitFailed, "is missing")
}
