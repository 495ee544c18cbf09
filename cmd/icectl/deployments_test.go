package main

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
)

// hostKey makes a key of a host: a line of authorized_keys and its fingerprint.
func hostKey(t *testing.T) (line, fingerprint string) {
	t.Helper()
	public, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))), ssh.FingerprintSHA256(key)
}

func put(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDeploymentsCreateReadsHostsAndSecrets(t *testing.T) {
	t.Parallel()
	s := serve(t, map[string]string{"POST " + deploymentsPath: `{"id":"D1","kind":"install","hosts":2,"states":{"waiting":2}}`})
	file := put(t, "hosts", "\uFEFF# web\n10.1.2.3\n\n app1.example.gov.cn:2222 # the second\n")
	code, out, errs := call(t, s.URL, map[string]string{"ICEWATCH_SSH_PASSWORD": "hunter2", "ICEWATCH_SUDO_PASSWORD": "hunter3"}, "", "-t", "egov", "deployments", "create", "install", file, "--user", "ops", "--password", "--sudo", "--label", "role=web")
	if code != 0 || !strings.Contains(out, "D1  2 hosts: 2 waiting") {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
	var sent map[string]any
	if err := json.Unmarshal([]byte(s.body[0]), &sent); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(sent["hosts"]) != "[10.1.2.3 app1.example.gov.cn:2222]" || sent["user"] != "ops" || sent["password"] != "hunter2" || sent["sudo_password"] != "hunter3" || sent["tenant"] != "egov" || fmt.Sprint(sent["labels"]) != "[role=web]" {
		t.Errorf("%s", s.body[0])
	}
	for want, args := range map[string][]string{
		"--tenant":        {"deployments", "create", "install", file, "--password"},
		"--key FILE":      {"-t", "egov", "deployments", "create", "install", file},
		"no terminal":     {"-t", "egov", "deployments", "create", "install", file, "--password"},
		"line 2":          {"-t", "egov", "deployments", "create", "install", put(t, "bad", "a\nb c\n"), "--password"},
		"has no host":     {"-t", "egov", "deployments", "create", "install", put(t, "none", "# nobody\n"), "--password"},
		"more than 1,000": {"-t", "egov", "deployments", "create", "install", put(t, "many", strings.Repeat("a\n", 1001)), "--password"},
		"needs --watch":   {"-t", "egov", "deployments", "create", "install", file, "--password", "--known-hosts", file},
		"the private key": {"-t", "egov", "deployments", "create", "install", file, "--key", "/nowhere/key"},
		"which keys":      {"deployments", "trust", "D1"},
		"SHA256":          {"deployments", "trust", "D1", "10.1.2.3:22=MD5:00"},
	} {
		if code, out, errs := call(t, s.URL, nil, "", args...); code == 0 || !strings.Contains(out+errs, want) {
			t.Errorf("%v: exit %d: %s%s, want %q", args, code, out, errs, want)
		}
	}
	if len(s.asked) != 1 {
		t.Errorf("asked %v", s.asked)
	}
}

// deploying is a server whose deployment goes on with each look at it.
type deploying struct {
	*httptest.Server
	mu      sync.Mutex
	looks   []string // answers, the last again and again
	trusted []string
}

func deployServer(t *testing.T, looks ...string) *deploying {
	t.Helper()
	d := &deploying{looks: looks}
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		defer d.mu.Unlock()
		switch body, _ := io.ReadAll(r.Body); r.Method + " " + r.URL.Path {
		case "GET " + deploymentsPath + "/D1":
			io.WriteString(w, d.looks[0])
			if len(d.looks) > 1 {
				d.looks = d.looks[1:]
			}
		case "POST " + deploymentsPath + "/D1/trust":
			d.trusted = append(d.trusted, string(body))
			io.WriteString(w, `{"id":"D1"}`)
		case "POST " + deploymentsPath + "/D1/retry":
			d.trusted = append(d.trusted, "retry "+string(body))
			io.WriteString(w, `{"id":"D1","hosts":2,"states":{"waiting":1,"done":1}}`)
		case "POST " + deploymentsPath + "/D1/cancel":
			io.WriteString(w, `{"id":"D1","hosts":2,"states":{"cancelled":2}}`)
		case "GET /healthz":
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(d.Close)
	return d
}

func TestDeploymentsWatchTrustsWhatIsKnown(t *testing.T) {
	t.Parallel()
	line, fingerprint := hostKey(t)
	stranger, other := hostKey(t)
	waits := func(address, line, fingerprint string) string {
		return fmt.Sprintf(`{"address":%q,"state":"key-unknown","key":{"type":"ssh-ed25519","fingerprint":%q,"line":%q}}`, address, fingerprint, line)
	}
	first := `{"id":"D1","hosts":2,"states":{"key-unknown":2},"targets":[` + waits("10.1.2.3:22", line, fingerprint) + `,` + waits("app1.example.gov.cn:2222", line, fingerprint) + `]}`
	second := `{"id":"D1","hosts":2,"states":{"running":1,"done":1},"targets":[{"address":"10.1.2.3:22","state":"running","step":"upload"},{"address":"app1.example.gov.cn:2222","state":"done","text":"this host is \u001b[2Jagent X"}]}`
	last := `{"id":"D1","hosts":2,"ended_at":"2026-11-27T08:00:00Z","states":{"failed":1,"done":1},"targets":[{"address":"10.1.2.3:22","state":"failed","text":"the disk is full"},{"address":"app1.example.gov.cn:2222","state":"done","text":"this host is \u001b[2Jagent X"}]}`
	known := put(t, "known_hosts", "10.1.2.3 "+line+"\n[app1.example.gov.cn]:2222 "+line+"\n")
	s := deployServer(t, first, second, last)
	code, out, errs := call(t, s.URL, nil, "", "deployments", "watch", "D1", "--known-hosts", known)
	if code != exitFailed || strings.Count(out, "upload") != 1 || strings.Count(out, `done  this host is \x1b[2Jagent X`) != 1 || !strings.Contains(out, "failed  the disk is full") || !strings.Contains(errs, "2 hosts: 1 done, 1 failed") {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
	if len(s.trusted) != 1 || strings.Count(s.trusted[0], fingerprint) != 2 {
		t.Errorf("%v", s.trusted)
	}

	// Another key than the file has is not trusted, and no host that it does not have.
	s = deployServer(t, `{"id":"D1","hosts":3,"states":{"key-unknown":3},"targets":[`+waits("10.1.2.3:22", stranger, other)+`,`+waits("10.9.9.9:22", line, fingerprint)+`,`+waits("app1.example.gov.cn:2222", stranger, fingerprint)+`]}`)
	code, out, errs = call(t, s.URL, nil, "", "deployments", "watch", "D1", "--known-hosts", known)
	if code != exitFailed || !strings.Contains(errs, "10.1.2.3:22: the file of known hosts has another key") || !strings.Contains(errs, "10.9.9.9:22: the file of known hosts does not have it") || !strings.Contains(errs, "not of one another") || !strings.Contains(errs, "3 hosts wait until") || len(s.trusted) != 0 {
		t.Fatalf("exit %d: %s%s %v", code, out, errs, s.trusted)
	}
	if code, _, errs = call(t, s.URL, nil, "", "deployments", "trust", "D1", "--known-hosts", known); code != exitFailed || !strings.Contains(errs, "another key") || len(s.trusted) != 0 {
		t.Errorf("exit %d: %s", code, errs)
	}
	if code, out, _ = call(t, s.URL, nil, "", "deployments", "trust", "D1", "10.9.9.9:22="+fingerprint); code != 0 || out != "1 keys trusted\n" || len(s.trusted) != 1 {
		t.Errorf("exit %d: %s %v", code, out, s.trusted)
	}
}

func TestDeploymentsShowRetryAndStop(t *testing.T) {
	t.Parallel()
	s := deployServer(t, `{"id":"D1","kind":"install","version":"1.2.0","user":"ops","hosts":2,"states":{"failed":1,"done":1},"targets":[{"address":"10.1.2.3:22","state":"failed","text":"sudo does not make ops root"},{"address":"10.1.2.4:22","state":"done","platform":"linux/amd64","agent":"A"}]}`)
	code, out, errs := call(t, s.URL, nil, "", "deployments", "show", "D1")
	if code != 0 || !strings.Contains(out, "install 1.2.0 as ops, 2 hosts: 1 done, 1 failed") || !strings.Contains(out, "sudo does not make ops root") || !strings.Contains(out, "linux/amd64") {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
	if code, out, errs = call(t, s.URL, nil, "", "deployments", "retry", "D1"); code != 0 || !strings.Contains(out, "1 done, 1 waiting") || s.trusted[0] != `retry {"cancelled":false}` {
		t.Errorf("exit %d: %s%s %v", code, out, errs, s.trusted)
	}
	if code, _, errs = call(t, s.URL, map[string]string{"ICEWATCH_SSH_PASSWORD": "hunter2"}, "", "deployments", "retry", "D1", "--password", "--cancelled"); code != 0 || s.trusted[1] != `retry {"cancelled":true,"password":"hunter2"}` {
		t.Errorf("exit %d: %s %v", code, errs, s.trusted)
	}
	if code, out, errs = call(t, s.URL, nil, "", "deployments", "stop", "D1"); code != 0 || !strings.Contains(out, "2 cancelled") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}
