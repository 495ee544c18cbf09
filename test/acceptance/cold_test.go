package acceptance

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestOldDaysGoToTheColdDisk moves old days of the built suite to another disk
// while events come in, takes the disk away and gives it back, and restores a
// backup of it: every event is found once each time.
func TestOldDaysGoToTheColdDisk(t *testing.T) {
	t.Parallel()
	// Another file system, where there is one: no rename and no link leads to it.
	cold, err := os.MkdirTemp("/dev/shm", "iw-cold-")
	if err != nil {
		cold = t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(cold) })
	cold = filepath.Join(cold, "days")
	store := filepath.Join(t.TempDir(), "backups")
	s := newSuite(t, fmt.Sprintf("lake: {flush_interval: 1s, cold_dir: %s, cold_after: 30d}\nbackup: {dir: %s}\n", cold, store))
	writer := s.token("e-licence", "ingest")
	sent := 0
	send := func(ago, n int) {
		t.Helper()
		var body bytes.Buffer
		for range n {
			sent++
			fmt.Fprintf(&body, "{\"create\":{\"_id\":\"cold-%d\"}}\n{\"message\":\"numbered snowflake %d\",\"@timestamp\":%q}\n", sent, sent,
				time.Now().UTC().AddDate(0, 0, -ago).Format(time.RFC3339Nano))
		}
		if status, answer := post(t, writer, "/elastic/_bulk", map[string]string{"Content-Type": "application/x-ndjson"}, body.Bytes()); status != 200 {
			t.Fatalf("%d %.300s", status, answer)
		}
	}
	all := func(of *suite, when string, want int) {
		t.Helper()
		rows := of.expect("snowflake", want, 30*time.Second)
		seen := map[string]bool{}
		for _, r := range rows {
			if seen[text(r, "message")] {
				t.Errorf("%s: %s is there twice", when, text(r, "message"))
			}
			seen[text(r, "message")] = true
		}
	}
	send(50, 20)
	send(40, 30)
	send(3, 10)
	all(s, "all are hot", 60)
	s.settled()

	var view struct {
		Cold *struct {
			Folder string
			Due    int
		}
		Classes []struct {
			Name      string
			ColdBytes int64 `json:"cold_bytes"`
			ColdDays  int   `json:"cold_after_days"`
		}
	}
	get(t, s, "/api/v1/storage", &view)
	if view.Cold == nil || view.Cold.Folder != cold || view.Cold.Due != 2 {
		t.Fatalf("the storage tells of %+v", view)
	}
	var moved struct {
		Partitions []struct {
			Class, Day string
			Cold       bool
		}
	}
	s.call(s.admin.Options().Token, http.MethodPost, "/api/v1/storage/cool", "", http.StatusAccepted, &moved)
	if len(moved.Partitions) != 2 {
		t.Fatalf("moved: %+v", moved)
	}
	eventually(t, 30*time.Second, "both days are cold", func() error {
		get(t, s, "/api/v1/storage", &view)
		if view.Cold.Due != 0 {
			return fmt.Errorf("%d days are due", view.Cold.Due)
		}
		return nil
	})
	days, err := filepath.Glob(filepath.Join(cold, "standard", "[0-9]*", "datadb", "parts.json"))
	if err != nil || len(days) != 2 {
		t.Fatalf("the cold folder holds %q, %v", days, err)
	}
	s.ready(30 * time.Second)
	all(s, "two days are cold", 60)
	send(50, 5) // late, to a day that is cold
	all(s, "late events", 65)
	s.settled()

	// A backup holds the cold days as well.
	secret := filepath.Join(s.dir, "passphrase")
	if err := os.WriteFile(secret, []byte("the ice is thick in winter\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.icewatch("backup", "init", "--to", store, "--passphrase-file", secret); err != nil {
		t.Fatal(err)
	}
	if _, err := s.icewatch("backup", "--config", s.config); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(cold, "snapshot", "*")); len(left) > 0 {
		t.Errorf("the backup left %q", left)
	}

	// Killed while the next day moves, it is whole all the same.
	send(35, 15)
	all(s, "another old day", 80)
	s.settled()
	go func() {
		req, _ := http.NewRequest(http.MethodPost, s.url+"/api/v1/storage/cool", nil)
		req.Header.Set("Authorization", "Bearer "+s.admin.Options().Token)
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
		}
	}()
	time.Sleep(time.Duration(random(t).IntN(400)) * time.Millisecond)
	s.kill()

	// Without its disk the rest is searched, and an alarm says why not all is.
	if err := os.Rename(cold, cold+".unmounted"); err != nil {
		t.Fatal(err)
	}
	s.start()
	s.wrong("cold-away", true, 30*time.Second)
	if n := len(s.find("snowflake")); n < 10 || n > 25 {
		t.Errorf("without the cold disk %d events are found, want the 10 of the hot day, and perhaps the 15 that were being moved", n)
	}
	send(50, 2)
	s.settled()
	s.stop()
	if err := os.RemoveAll(cold); err != nil { // what the suite made meanwhile
		t.Fatal(err)
	}
	if err := os.Rename(cold+".unmounted", cold); err != nil {
		t.Fatal(err)
	}
	s.start()
	all(s, "the disk is back", 82)
	s.wrong("cold-away", false, 30*time.Second)

	r := prepare(t, "")
	if _, err := r.icewatch("restore", "--from", store, "--data", r.data, "--passphrase-file", secret); err != nil {
		t.Fatal(err)
	}
	r.start()
	r.signIn()
	all(r, "restored", 65)
}
