package acceptance

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/elastic/go-elasticsearch/v8"
	"github.com/elastic/go-elasticsearch/v8/esutil"
)

// TestALineIsFoundWithinThreeSeconds is the newcomer's first minute: Debian's
// logger sends a line, icectl finds it. It runs alone, since it is about time.
func TestALineIsFoundWithinThreeSeconds(t *testing.T) {
	logger := peer(t, "logger")
	s := newSuite(t, "")
	host, port, _ := strings.Cut(s.syslog, ":")
	for name, flag := range map[string]string{"UDP": "-d", "TCP": "-T"} {
		marker := "newcomers-line-" + name
		if out, err := exec.Command(logger, "-n", host, "-P", port, flag, marker).CombinedOutput(); err != nil {
			t.Fatalf("logger: %v: %s", err, out)
		}
		began := time.Now()
		eventually(t, 3*time.Second, "icectl finds the line sent over "+name, func() error {
			out, err := s.icectl("query", `"`+marker+`"`, "--since", "5m")
			if err != nil {
				return err
			}
			var row map[string]any
			if err := json.Unmarshal([]byte(out), &row); err != nil {
				return fmt.Errorf("%w: %q", err, out)
			}
			if text(row, "message") != marker || !strings.Contains(text(row, "event.original"), marker) {
				return fmt.Errorf("found %s", out)
			}
			return nil
		})
		t.Logf("%s: found after %s", name, time.Since(began).Round(time.Millisecond))
	}
	s.balance()
}

// TestFilesAreFollowedThroughRotation writes to a log file that is rotated by
// renaming and by copying and truncating, with a restart in between: every
// line is stored once.
func TestFilesAreFollowedThroughRotation(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "app.log")
	n := 0
	write := func(lines int) {
		t.Helper()
		f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for range lines {
			n++
			if _, err := fmt.Fprintf(f, "%s app followed line=%d\n", time.Now().UTC().Format(time.RFC3339), n); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(100)
	s := newSuite(t, fmt.Sprintf("files:\n  - paths: [%s]\n    tenant: e-seal\n", filepath.Join(dir, "*.log")))
	s.expect("followed", 100, 10*time.Second)

	write(50)
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	write(70)
	s.expect("followed", 220, 10*time.Second)

	// Copy and truncate: what is written after the copy must not be lost, so the
	// writer rests meanwhile, as logrotate's manual asks.
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".2", content, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	time.Sleep(600 * time.Millisecond)
	write(30)
	s.expect("followed", 250, 10*time.Second)

	s.stop()
	write(40)
	if err := os.Rename(path, path+".3"); err != nil {
		t.Fatal(err)
	}
	write(10)
	s.start()
	s.signIn()
	write(5)
	s.expect("followed", 305, 15*time.Second)
	seen := map[string]int{}
	for _, row := range s.find("followed") {
		seen[text(row, "event.original")]++
		if text(row, "icewatch.tenant") != "e-seal" || text(row, "log.file.path") == "" {
			t.Fatalf("row %v", row)
		}
	}
	for line, times := range seen {
		if times != 1 {
			t.Errorf("%s is stored %d times", line, times)
		}
	}
	if len(seen) != n {
		t.Errorf("%d of %d lines are stored", len(seen), n)
	}
}

// TestElasticsearchsOwnClientWrites uses the official client's bulk indexer.
func TestElasticsearchsOwnClientWrites(t *testing.T) {
	t.Parallel()
	s := newSuite(t, "")
	made, err := s.admin.CreateToken(context.Background(), "bulk indexer", "e-licence", []string{"ingest"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	es, err := elasticsearch.NewClient(elasticsearch.Config{Addresses: []string{s.url + "/elastic"}, Username: "e-licence", Password: made.Secret})
	if err != nil {
		t.Fatal(err)
	}
	indexer, err := esutil.NewBulkIndexer(esutil.BulkIndexerConfig{Client: es, Index: "app-logs", NumWorkers: 3, FlushBytes: 20_000,
		OnError: func(_ context.Context, err error) { t.Errorf("bulk indexer: %v", err) }})
	if err != nil {
		t.Fatal(err)
	}
	const documents = 2000
	for i := range documents {
		doc := fmt.Sprintf(`{"@timestamp":%q,"message":"indexed document","sequence":%d,"user":{"name":"li"}}`, time.Now().UTC().Format(time.RFC3339Nano), i)
		err := indexer.Add(context.Background(), esutil.BulkIndexerItem{Action: "create", DocumentID: fmt.Sprint("doc-", i), Body: strings.NewReader(doc),
			OnFailure: func(_ context.Context, _ esutil.BulkIndexerItem, r esutil.BulkIndexerResponseItem, err error) {
				t.Errorf("document %d: %d %v", i, r.Status, err)
			}})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := indexer.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if st := indexer.Stats(); st.NumFailed > 0 || st.NumFlushed != documents {
		t.Fatalf("%+v", st)
	}
	rows := s.expect(`"indexed document"`, documents, 10*time.Second)
	if text(rows[0], "icewatch.tenant") != "e-licence" || text(rows[0], "user.name") != "li" {
		t.Fatalf("row %v", rows[0])
	}
	s.balance()
}
