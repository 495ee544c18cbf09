package acceptance

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"icewatch/soc/backup"
)

// icewatch runs the server's program with arguments and returns what it wrote.
func (s *suite) icewatch(args ...string) (string, error) {
	cmd := exec.Command(s.binary[0], append(slices.Clone(s.binary[1:]), args...)...)
	cmd.Env, cmd.Dir = cleanEnv(), s.dir
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("icewatch %s: %w: %s", strings.Join(args, " "), err, errs.String())
	}
	return out.String(), nil
}

// digests sums up, by tenant, what the lake holds of a range of time: how many
// events, and one checksum over their ids and originals.
func (s *suite) digests(from, to time.Time) map[string]string {
	s.t.Helper()
	rows := map[string][]string{}
	q := url.Values{"query": {"*"}, "start": {from.UTC().Format(time.RFC3339Nano)}, "end": {to.UTC().Format(time.RFC3339Nano)}, "limit": {"1000000"}}
	err := s.admin.Stream(context.Background(), "/api/v1/search", q, func(line []byte) error {
		var row struct {
			ID       string `json:"event.id"`
			Original string `json:"event.original"`
			Tenant   string `json:"icewatch.tenant"`
		}
		if err := json.Unmarshal(line, &row); err != nil {
			return err
		}
		if row.ID == "" || row.Original == "" || row.Tenant == "" {
			return fmt.Errorf("an event without id, original or tenant: %s", line)
		}
		rows[row.Tenant] = append(rows[row.Tenant], row.ID+"\x00"+row.Original)
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	out := map[string]string{}
	for tenant, list := range rows {
		slices.Sort(list)
		sum := sha256.Sum256([]byte(strings.Join(list, "\x01")))
		out[tenant] = fmt.Sprintf("%d events %s", len(list), hex.EncodeToString(sum[:8]))
	}
	return out
}

// belongings is what a suite keeps beside events, by the API's own account.
func (s *suite) belongings() map[string]string {
	s.t.Helper()
	out := map[string]string{}
	for path, drop := range map[string][]string{
		"/api/v1/alerts?limit=1000": {"sla", "breached", "age_seconds"}, "/api/v1/incidents?limit=1000": {"sla", "breached", "age_seconds"},
		"/api/v1/cmdb/items?limit=1000": nil, "/api/v1/users?limit=1000": {"last_login_at"},
		"/api/v1/settings": nil, "/api/v1/units": nil,
	} {
		var page map[string]any
		get(s.t, s, path, &page)
		items, _ := page["items"].([]any)
		for _, it := range items {
			for _, name := range drop {
				delete(it.(map[string]any), name)
			}
		}
		text, err := json.Marshal(items)
		if err != nil {
			s.t.Fatal(err)
		}
		out[path] = string(text)
	}
	return out
}

// load writes to the suite until it is stopped: documents to _bulk and lines to
// syslog over TCP.
func (s *suite) load() (stop func()) {
	var over atomic.Bool
	var wg sync.WaitGroup
	bulk := startNumbered(s.t, "load", bulkTo(s.token("e-licence", "ingest")))
	wg.Go(func() {
		conn, err := net.Dial("tcp", s.syslog)
		if err != nil {
			s.t.Error(err)
			return
		}
		defer conn.Close()
		for i := 0; !over.Load(); i++ {
			if _, err := fmt.Fprintf(conn, "<13>%s loadhost app[%d]: line %d under load\n", time.Now().Format(time.Stamp), i%50, i); err != nil {
				s.t.Errorf("syslog TCP: %v", err)
				return
			}
			time.Sleep(2 * time.Millisecond)
		}
	})
	return func() {
		over.Store(true)
		wg.Wait()
		bulk.finish(s.t)
	}
}

// TestBackupUnderLoad takes backups of a suite that is written to all the time
// and restores them into an empty folder: what was acknowledged before is
// there, event for event, and everything else the suite keeps as well.
func TestBackupUnderLoad(t *testing.T) {
	t.Parallel()
	rules := t.TempDir()
	if err := os.WriteFile(filepath.Join(rules, "own.yml"), []byte(strings.ReplaceAll(strings.ReplaceAll(ownRule, "WORD", "wombat"), "level: high", "level: critical")), 0o644); err != nil {
		t.Fatal(err)
	}
	store := filepath.Join(t.TempDir(), "backups")
	s := newSuite(t, fmt.Sprintf("rules:\n  dirs: [%s]\nbackup:\n  dir: %s\n", rules, store))
	const passphrase = "the ice is thin in spring"
	secret := filepath.Join(s.dir, "passphrase")
	if err := os.WriteFile(secret, []byte(passphrase+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.icewatch("backup", "init", "--to", store, "--passphrase-file", secret); err != nil {
		t.Fatal(err)
	}
	s.person("keeper", "viewer")
	ordered(t, s, http.MethodPut, "/api/v1/settings/watermark", `{"enabled":true}`)
	item := `[{"id":"backup-host","class":"host","name":"backup-host","tenant":"e-licence"}]`
	if err := s.admin.Send(t.Context(), http.MethodPost, "/api/v1/cmdb/import", url.Values{"format": {"yaml"}}, http.Header{"Content-Type": {"application/octet-stream"}}, strings.NewReader(item), nil); err != nil {
		t.Fatal(err)
	}
	from := time.Now().Add(-time.Hour)
	stop := s.load()
	s.sendTCP([]byte("<13>Nov 26 00:00:00 zoo app: a wombat was here\n"))
	eventually(t, 30*time.Second, "an alert comes", func() error {
		var page struct{ Total int }
		get(t, s, "/api/v1/alerts", &page)
		if page.Total == 0 {
			return fmt.Errorf("none")
		}
		return nil
	})
	time.Sleep(2 * time.Second)
	to := time.Now()
	time.Sleep(2 * time.Second) // whatever bears a time before that is acknowledged by now
	kept := s.belongings()

	out, err := s.icewatch("backup", "--config", s.config)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("under load:\n%s", out)
	first := s.backups(store)[0]
	if !first.Encrypted || !first.MasterKey || first.Rows == 0 || first.Bus.Last == 0 || first.Bus.First > min(first.Bus.Stored, first.Bus.Detected)+1 {
		t.Errorf("the backup says of itself %+v", first)
	}
	if i := slices.IndexFunc(first.Tenants, func(x backup.Tenant) bool { return x.Tenant == "e-licence" }); i < 0 || first.Tenants[i].Events == 0 {
		t.Errorf("it counts the tenants %+v", first.Tenants)
	}
	stop()
	s.settled()
	want := s.digests(from, to)
	if len(want) < 2 {
		t.Fatalf("only %v were written", want)
	}

	if out, err = s.icewatch("backup", "--config", s.config, "--rate-mib", "50"); err != nil {
		t.Fatal(err)
	}
	t.Logf("the second:\n%s", out)
	second := s.backups(store)[0]
	if second.Name == first.Name || second.CopiedBytes >= second.Bytes || second.CopiedFiles >= second.Files || !strings.Contains(out, "copied ") {
		t.Errorf("the second backup copied %d of %d bytes, %d of %d files", second.CopiedBytes, second.Bytes, second.CopiedFiles, second.Files)
	}

	r := prepare(t, "")
	refused := filepath.Join(r.dir, "refused")
	if _, err := r.icewatch("restore", "--from", store, "--data", refused); err == nil || !strings.Contains(err.Error(), "encrypted") {
		t.Errorf("without the passphrase: %v", err)
	}
	if _, err := r.icewatch("restore", "--from", store, "--data", s.data, "--passphrase-file", secret); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("over the data of a suite: %v", err)
	}
	if out, err = r.icewatch("restore", "--from", store+"@"+first.Name, "--data", r.data, "--passphrase-file", secret); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s", out)
	r.start()
	r.signIn()
	r.settled()
	if got := r.digests(from, to); !maps.Equal(got, want) {
		t.Errorf("restored are\n%v\nwritten were\n%v", got, want)
	}
	t.Logf("digests by tenant: %v", want)
	for path, text := range r.belongings() {
		if text != kept[path] {
			t.Errorf("%s after the restore:\n%s\nbefore:\n%s", path, text, kept[path])
		}
	}
	r.call("", http.MethodPost, "/api/v1/auth/login", `{"username":"keeper","password":"Own-Word-2026-keeper"}`, http.StatusOK, nil)
	if out, err := r.icectl("audit", "verify"); err != nil || !strings.Contains(out, "whole") {
		t.Errorf("the audit log after the restore: %s %v", out, err)
	}
	r.sendTCP([]byte("<13>Nov 26 00:00:00 zoo app: life goes on\n"))
	r.expect(`"life goes on"`, 1, 30*time.Second)
	r.stop()

	s.damagedBackup(store, secret)
}

// backups lists the backups of a folder, the newest first.
func (s *suite) backups(dir string) (list []backup.Summary) {
	s.t.Helper()
	out, err := s.icewatch("backup", "list", "--to", dir, "--json")
	if err == nil {
		err = json.Unmarshal([]byte(out), &list)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return list
}

// damagedBackup flips a bit in the largest file of the backups and wants that
// file named and nothing restored.
func (s *suite) damagedBackup(store, secret string) {
	t := s.t
	t.Helper()
	var largest string
	var size int64
	files, _ := filepath.Glob(filepath.Join(store, "objects", "*", "*"))
	for _, f := range files {
		if st, err := os.Stat(f); err == nil && st.Size() > size {
			largest, size = f, st.Size()
		}
	}
	whole, err := os.ReadFile(largest)
	if err != nil {
		t.Fatal(err)
	}
	bad := slices.Clone(whole)
	bad[len(bad)/2] ^= 4
	if err := os.WriteFile(largest, bad, 0o600); err != nil {
		t.Fatal(err)
	}
	named := 0
	for _, b := range s.backups(store) {
		to := filepath.Join(s.dir, "damaged-"+b.Name)
		_, err := s.icewatch("restore", "--from", store+"@"+b.Name, "--data", to, "--passphrase-file", secret)
		if err == nil {
			continue // it does not need that file
		}
		if !strings.Contains(err.Error(), largest) {
			t.Errorf("the damaged file %s is not named: %v", largest, err)
		}
		named++
		if entries, _ := os.ReadDir(to); len(entries) > 0 {
			t.Errorf("restored from a damaged backup: %v", entries)
		}
		if _, err := s.icewatch("backup", "verify", "--to", store, b.Name); err == nil || !strings.Contains(err.Error(), largest) {
			t.Errorf("the check does not name %s: %v", largest, err)
		}
	}
	if named == 0 {
		t.Errorf("no backup needs %s", largest)
	}
}

// TestBackupInterrupted breaks backups off in every way there is: none leaves
// a backup, and the suite and the next backup do not suffer.
func TestBackupInterrupted(t *testing.T) {
	t.Parallel()
	store := filepath.Join(t.TempDir(), "backups")
	s := newSuite(t, fmt.Sprintf("backup:\n  dir: %s\n", store))
	s.sendTCP([]byte("<13>Nov 26 00:00:00 zoo app: something to keep\n"))
	s.expect(`"something to keep"`, 1, 30*time.Second)
	time.Sleep(5 * time.Second) // the lake writes its files; this is no test of the lake
	none := func(how string) {
		t.Helper()
		if list := s.backups(store); len(list) != 0 {
			t.Errorf("a backup %s is there: %+v", how, list)
		}
	}
	begin := func() *exec.Cmd {
		t.Helper()
		cmd := exec.Command(s.binary[0], append(slices.Clone(s.binary[1:]), "backup", "--config", s.config)...)
		cmd.Env, cmd.Dir = cleanEnv(), s.dir
		var errs bytes.Buffer
		cmd.Stderr = &errs
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, 20*time.Second, "the backup is at work", func() error {
			var job backup.Job
			if err := s.admin.Get(t.Context(), "/api/v1/backups/job", nil, &job); err != nil {
				return err
			}
			if job.State != backup.StateRunning || job.Phase == backup.PhaseWaiting {
				return fmt.Errorf("%+v", job)
			}
			return nil
		})
		return cmd
	}

	cmd := begin()
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("a backup that was broken off ends well")
	}
	none("that its caller broke off")

	cmd = begin()
	ordered(t, s, http.MethodDelete, "/api/v1/backups/job", "")
	if err := cmd.Wait(); err == nil {
		t.Error("a backup that was cancelled ends well")
	}
	none("that was cancelled over the API")
	var job backup.Job
	get(t, s, "/api/v1/backups/job", &job)
	if job.State != backup.StateCancelled {
		t.Errorf("%+v", job)
	}

	if status, answer := post(t, s.admin, "/api/v1/backups", nil, []byte(`{"dir":"/tmp"}`)); status != http.StatusForbidden {
		t.Errorf("a folder given over the network: %d %s", status, answer)
	}
	if status, answer := post(t, s.token("", "read"), "/api/v1/backups", nil, nil); status != http.StatusForbidden {
		t.Errorf("a reader's token: %d %s", status, answer)
	}
	if status, answer := post(t, s.admin, "/api/v1/backups", nil, nil); status != http.StatusAccepted {
		t.Fatalf("%d %s", status, answer)
	}
	if status, answer := post(t, s.admin, "/api/v1/backups", nil, nil); status != http.StatusConflict {
		t.Errorf("two at a time: %d %s", status, answer)
	}
	name := s.jobDone(backup.StateSucceeded).Name
	if status, answer := post(t, s.admin, "/api/v1/backups/"+name+"/verify", nil, nil); status != http.StatusAccepted {
		t.Fatalf("%d %s", status, answer)
	}
	s.jobDone(backup.StateSucceeded)
	var page struct {
		Items []backup.Summary
		Dir   string
	}
	get(t, s, "/api/v1/backups", &page)
	if len(page.Items) != 1 || page.Items[0].Verified.IsZero() || page.Dir != store || page.Items[0].By != "admin" {
		t.Errorf("%+v", page)
	}

	cmd = begin()
	s.kill()
	_ = cmd.Wait()
	if list := s.backups(store); len(list) != 1 || list[0].Name != name {
		t.Errorf("a backup whose suite was killed is there: %+v", list)
	}
	s.start()
	s.signIn()
	s.expect(`"something to keep"`, 1, 30*time.Second)
	for _, folder := range []string{"snapshot", "engine/snapshot"} {
		if _, err := os.Stat(filepath.Join(s.data, folder)); err == nil {
			t.Errorf("links are left in %s", folder)
		}
	}

	// Without the keys it is restored with a copy of them, and only then starts.
	r := prepare(t, "")
	if _, err := r.icewatch("restore", "--from", store, "--data", r.data, "--key-file", filepath.Join(s.data, "keys", "master")); err != nil {
		t.Fatal(err)
	}
	r.start()
	r.signIn()
	r.expect(`"something to keep"`, 1, 30*time.Second)
	r.stop()

	ordered(t, s, http.MethodDelete, "/api/v1/backups/"+name, "")
	none("that was deleted")
}

// jobDone waits for the job at work and wants it to end so.
func (s *suite) jobDone(state string) (job backup.Job) {
	s.t.Helper()
	eventually(s.t, 60*time.Second, "the backup job has ended", func() error {
		get(s.t, s, "/api/v1/backups/job", &job)
		if job.State == backup.StateRunning {
			return fmt.Errorf("%+v", job)
		}
		return nil
	})
	if job.State != state {
		s.t.Fatalf("the job is %+v, want %s", job, state)
	}
	return job
}

// TestBackupToAFullDisk gives backups a disk that is too small: the failure
// says so, alarms, and is over with the next backup that succeeds.
func TestBackupToAFullDisk(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	disk(t, root, 1)
	store := filepath.Join(root, "backups")
	s := newSuite(t, fmt.Sprintf("backup:\n  dir: %s\n", store))
	filler := filepath.Join(root, "filler")
	if err := os.WriteFile(filler, make([]byte, 980<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := s.icewatch("backup", "--config", s.config)
	if err == nil || !strings.Contains(err.Error(), "is full") {
		t.Errorf("to a full disk: %v", err)
	}
	alerts := func() (open int) {
		var page struct {
			Items []struct {
				Status string
				Rule   struct{ ID string }
			}
		}
		get(t, s, "/api/v1/alerts?limit=1000", &page)
		for _, a := range page.Items {
			if a.Rule.ID == "icewatch-self-backup-failed" && a.Status != "closed" && a.Status != "resolved" {
				open++
			}
		}
		return open
	}
	eventually(t, 20*time.Second, "the failure alarms", func() error {
		if n := alerts(); n != 1 {
			return fmt.Errorf("%d alerts", n)
		}
		return nil
	})
	if list := s.backups(store); len(list) != 0 {
		t.Errorf("it left %+v", list)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if _, err := s.icewatch("backup", "--config", s.config); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "the alarm is over", func() error {
		if n := alerts(); n != 0 {
			return fmt.Errorf("%d alerts", n)
		}
		return nil
	})
}
