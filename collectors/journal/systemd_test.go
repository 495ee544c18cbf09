package journal

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/collectors"
	"icewatch/collectors/collecttest"
	"icewatch/collectors/places"
	"icewatch/soc/intake"
	"icewatch/test/peers"
)

// tool is a program of systemd that lies beside its units.
func tool(t testing.TB, name string) string {
	t.Helper()
	for _, dir := range []string{"/lib/systemd", "/usr/lib/systemd"} {
		if p := filepath.Join(dir, name); exec.Command(p, "--version").Run() == nil {
			return p
		}
	}
	peers.Missing(t, name+" is not installed (systemd-journal-remote)")
	return ""
}

// exported is an entry as its export text.
func exported(number int, fields string) string {
	return fmt.Sprintf("__CURSOR=s=0f9e;i=%x;b=c0ffee;m=%x;t=6000000000000;x=1\n__REALTIME_TIMESTAMP=%d\n__MONOTONIC_TIMESTAMP=%d\n_BOOT_ID=0123456789abcdef0123456789abcdef\n_MACHINE_ID=11111111111111111111111111111111\n%s\n",
		number, number, 1795654923000000+number, 1000+number, fields)
}

var entries = []string{
	exported(1, "_TRANSPORT=syslog\n_HOSTNAME=web-1\nPRIORITY=6\nSYSLOG_IDENTIFIER=sshd\n_PID=7\nMESSAGE=Failed password for root from 192.0.2.7 port 50123 ssh2\n"),
	exported(2, "_HOSTNAME=web-1\n_SYSTEMD_UNIT=a.service\nTAG=one\nTAG=二\nMESSAGE\n\x0d\x00\x00\x00\x00\x00\x00\x00two\nlines=\xe4\xb8\xad\n"),
	exported(3, "_HOSTNAME=web-1\nMESSAGE\n\x03\x00\x00\x00\x00\x00\x00\x00\xff\x00a\n"),
}

// file makes a journal of systemd from export texts.
func file(t *testing.T, dir, name string, texts ...string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	cmd := exec.Command(tool(t, "systemd-journal-remote"), "--output="+path, "-")
	cmd.Stdin = strings.NewReader(strings.Join(texts, ""))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}

func listen(t *testing.T, sink *collecttest.Sink, tune func(*UploadConfig)) *Upload {
	t.Helper()
	cfg, _ := NewUploadFactory().DefaultConfig().(*UploadConfig)
	cfg.Listen, cfg.Zone = "127.0.0.1:0", "dmz"
	if tune != nil {
		tune(cfg)
	}
	c, err := NewUploadFactory().New(cfg, collectors.Deps{Sink: sink})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Stop(t.Context()) })
	u, _ := c.(*Upload)
	return u
}

func messages(t *testing.T, recs []intake.Record) (list []string) {
	t.Helper()
	for _, r := range recs {
		var e struct{ MESSAGE string }
		if err := json.Unmarshal(r.Data, &e); err != nil || r.Format != intake.JSON || !strings.HasPrefix(r.ID, "journal/s=") || r.Time/1e9 != 1795654923 {
			t.Errorf("%s: %v, %+v", r.Data, err, r)
		}
		list = append(list, e.MESSAGE)
	}
	return list
}

var texts = []string{"Failed password for root from 192.0.2.7 port 50123 ssh2", "two\nlines=中", "\ufffd\x00a"}

func TestUpload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	journal := file(t, dir, "a.journal", entries...)
	var sink collecttest.Sink
	u := listen(t, &sink, nil)
	upload := func(more ...string) error {
		cmd := exec.Command(tool(t, "systemd-journal-upload"), append([]string{"--url=http://" + u.Addr().String(), "--file=" + journal, "--follow=no"}, more...)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
	state := "--save-state=" + filepath.Join(dir, "state")
	if err := upload(state); err != nil {
		t.Fatal(err)
	}
	recs := sink.Records()
	if got := messages(t, recs); !slices.Equal(got, texts) {
		t.Fatalf("%q", got)
	}
	if r := recs[1]; r.Zone != "dmz" || r.Collector != "journal-upload" || r.Peer.String() != "127.0.0.1" || !strings.Contains(string(r.Data), `"TAG":["one","二"]`) {
		t.Errorf("%s, %+v", r.Data, r)
	}
	if !slices.Equal(recs[2].Marks, []string{markInvalid}) || len(recs[1].Marks) > 0 {
		t.Errorf("marks %q and %q", recs[2].Marks, recs[1].Marks)
	}
	// A sender that has forgotten where it was sends all again, under the same ids.
	if err := upload(); err != nil {
		t.Fatal(err)
	}
	again := sink.Records()
	if len(again) != 6 || again[3].ID != recs[0].ID || again[5].ID != recs[2].ID {
		t.Errorf("%d records", len(again))
	}
	// One that has not begins with the last one that it sent.
	if err := upload(state); err != nil {
		t.Fatal(err)
	}
	for _, r := range sink.Records()[6:] {
		if r.ID != recs[2].ID {
			t.Errorf("sent again: %s", r.ID)
		}
	}
	// What is not stored is not acknowledged.
	sink.Refuse(&intake.OverQuota{Tenant: "x", Until: time.Now().Add(time.Hour)})
	if err := upload(); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("the sender was told %v", err)
	}
}

// A sender that follows its journal never ends its request: entries are stored
// as they come, and Stop ends it.
func TestUploadThatFollows(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file(t, dir, "a.journal", entries[:2]...)
	var sink collecttest.Sink
	u := listen(t, &sink, nil)
	cmd := exec.Command(tool(t, "systemd-journal-upload"), "--url=http://"+u.Addr().String(), "--directory="+dir, "--save-state="+filepath.Join(t.TempDir(), "state"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	sink.Wait(t, 2)
	file(t, dir, "b.journal", entries[2])
	if got := messages(t, sink.Wait(t, 3)); !slices.Equal(got, texts) {
		t.Errorf("%q", got)
	}
	if err := u.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	_ = cmd.Process.Kill() // It notices only when it has something to send.
	_ = cmd.Wait()
}

func TestUploadRefuses(t *testing.T) {
	t.Parallel()
	var sink collecttest.Sink
	u := listen(t, &sink, nil)
	post := func(kind, body string, want int) {
		t.Helper()
		resp, err := http.Post("http://"+u.Addr().String()+"/upload", kind, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s %q: %s, want %d", kind, body, resp.Status, want)
		}
	}
	post("text/plain", "MESSAGE=x\n\n", 415)
	post(mediaType, "", 400)
	post(mediaType, "hello\n\n", 400)
	post(mediaType, "MESSAGE=x\n", 400)
	post(mediaType, "MESSAGE\n\xff\xff\xff\xff\xff\xff\xff\xff", 400)
	if n := len(sink.Records()); n != 0 {
		t.Errorf("%d records", n)
	}
	post(mediaType, "MESSAGE=x\n\nmessage=y\n\n", 400) // What came before the fault stays.
	post(mediaType, "\nMESSAGE=x\n\n\n", 202)
	if n := len(sink.Records()); n != 2 {
		t.Errorf("%d records", n)
	}
	v := listen(t, &sink, func(c *UploadConfig) { c.Sources = []string{"192.0.2.0/24"} })
	if resp, err := http.Post("http://"+v.Addr().String()+"/upload", mediaType, strings.NewReader("MESSAGE=x\n\n")); err == nil {
		resp.Body.Close()
		t.Errorf("a sender of another network was answered %s", resp.Status)
	}
}

func TestLocal(t *testing.T) {
	t.Parallel()
	peers.Program(t, "journalctl")
	dir, state := t.TempDir(), t.TempDir()
	file(t, dir, "a.journal", entries[0])
	var sink collecttest.Sink
	start := func() collectors.Collector {
		c, err := NewFactory().New(&Config{ID: "journal", Directory: dir, ReadFrom: "beginning"}, collectors.Deps{Sink: &sink, Places: places.Dir(state)})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := start()
	sink.Wait(t, 1)
	if err := c.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	file(t, dir, "b.journal", entries[1])
	c = start()
	sink.Wait(t, 2)
	file(t, dir, "c.journal", entries[2]) // while it follows
	got := messages(t, sink.Wait(t, 3))
	if err := c.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, texts) || len(sink.Records()) != 3 {
		t.Errorf("%q", got)
	}
	trial, err := NewFactory().Try(t.Context(), &Config{Directory: dir, ReadFrom: "end", Units: []string{"a.service"}}, collectors.Deps{})
	if err != nil || len(trial.Records) != 1 || !strings.Contains(trial.Records[0], "two") {
		t.Errorf("%+v, %v", trial, err)
	}
	if _, err := NewFactory().Try(t.Context(), &Config{Directory: "/nowhere", ReadFrom: "end"}, collectors.Deps{}); err == nil || !os.IsNotExist(err) && !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a folder that is not there: %v", err)
	}
}
