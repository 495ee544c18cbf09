//go:build linux

package scanner_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	fleet "icewatch/collectors/fleet/wire"
	"icewatch/collectors/scanner/run"
	"icewatch/collectors/scanner/wire"
	"icewatch/test/peers"
)

// deep reads a host of the loopback address with a credential.
func deep(t *testing.T, address string, cred wire.Credential) (attributes map[string][]string, notes []string) {
	t.Helper()
	_, port, _ := net.SplitHostPort(address)
	attributes = map[string][]string{}
	j, err := run.New(run.Options{Log: slog.New(slog.DiscardHandler), Answer: time.Second, Emit: func(_ context.Context, results []wire.Result) error {
		for _, r := range results {
			if err := r.Check(); err != nil {
				t.Errorf("a result breaks the contract: %v", err)
			}
			if strings.Contains(string(wire.Encode(r)), "hush-hush") {
				t.Error("a secret is among the results")
			}
			if r.Attribute != nil {
				attributes[r.Attribute.Name] = append(attributes[r.Attribute.Name], string(r.Attribute.Value))
			}
			if r.Note != nil {
				notes = append(notes, r.Note.Text)
			}
		}
		return nil
	}}, wire.Run{ID: "DEEP", Kind: wire.KindDeep, Scope: wire.Scope{Ranges: []string{"127.0.0.1"}}, Targets: []string{"127.0.0.1"}, Ports: wire.Ports{TCP: []string{port}},
		Probes: []string{wire.ProbeTCP, wire.ProbeBanner}, Credentials: []wire.Credential{cred}})
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Do(t.Context()); err != nil {
		t.Fatal(err)
	}
	return attributes, notes
}

// A host is read over its own sshd: what it tells is what this host is.
func TestDeepReadsOverSSH(t *testing.T) {
	t.Parallel()
	server, other := peers.StartShell(t, "LANG=C"), peers.StartShell(t, "LANG=C")
	got, notes := deep(t, server.Address, wire.Credential{Kind: wire.CredentialSSH, Name: "linux", User: server.User, Key: server.KeyPEM})
	name, _ := os.Hostname()
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	if want := `"` + unix.ByteSliceToString(u.Release[:]) + `"`; len(notes) != 0 || len(got["kernel"]) != 1 || got["kernel"][0] != want || got["hostname"][0] != `"`+name+`"` || len(got["os"]) != 1 || len(got["memory"]) != 1 {
		t.Errorf("%v, want kernel %s, host %s; notes %v", got["kernel"], want, name, notes)
	}
	id, err := os.ReadFile("/etc/machine-id")
	if want := `"` + fleet.Machine(strings.TrimSpace(string(id))) + `"`; err == nil && len(id) > 0 && (len(got[wire.AttributeMachine]) != 1 || got[wire.AttributeMachine][0] != want) {
		t.Errorf("%v, want %s", got[wire.AttributeMachine], want)
	}
	var metrics map[string]float64
	if len(got[wire.AttributeMetrics]) != 1 || json.Unmarshal([]byte(got[wire.AttributeMetrics][0]), &metrics) != nil || metrics["uptime_seconds"] <= 0 || metrics["memory_available_bytes"] <= 0 || metrics["memory_available_bytes"] >= metrics["memory_total_bytes"] ||
		metrics["root_used_bytes"] <= 0 || metrics["processes"] < 2 {
		t.Errorf("%v", got[wire.AttributeMetrics])
	}
	if _, err := exec.LookPath("ss"); err == nil {
		_, port, _ := net.SplitHostPort(server.Address)
		var list []map[string]string
		if len(got["services"]) != 1 || json.Unmarshal([]byte(got["services"][0]), &list) != nil || !slices.ContainsFunc(list, func(x map[string]string) bool {
			return x["port"] == port && x["address"] == "127.0.0.1" && x["program"] == "sshd" && strings.HasPrefix(x["version"], "OpenSSH_")
		}) {
			t.Errorf("the sshd that answers is not among what listens: %v", got["services"])
		}
	}
	found := false
	for _, part := range got["software"] {
		var packages []map[string]string
		if err := json.Unmarshal([]byte(part), &packages); err != nil || len(part) > 64<<10 {
			t.Fatal(err, len(part))
		}
		for _, p := range packages {
			found = found || p["name"] == "openssh-server" && p["version"] != "" && p["source_package"] == "openssh" && p["source_version"] != ""
		}
	}
	if !found {
		t.Errorf("openssh-server, which answers, is not among the software: %d parts", len(got["software"]))
	}
	// With another's key there is a note, and nothing is read.
	if got, notes = deep(t, server.Address, wire.Credential{Kind: wire.CredentialSSH, Name: "linux", User: server.User, Key: other.KeyPEM}); len(got) != 0 || len(notes) != 1 || !strings.Contains(notes[0], "linux") {
		t.Errorf("%v, %v", got, notes)
	}
	if got, notes = deep(t, server.Address, wire.Credential{Kind: wire.CredentialSSH, Name: "linux", User: server.User, Secret: "hush-hush"}); len(got) != 0 || len(notes) != 1 {
		t.Errorf("a password at a server of keys alone: %v, %v", got, notes)
	}
}

// A device that asks for the password by keyboard-interactive alone is read, too; a
// password that it refuses is sent once.
func TestDeepAnswersQuestions(t *testing.T) {
	t.Parallel()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	tries := 0
	judge := func(password string) (*ssh.Permissions, error) {
		mu.Lock()
		defer mu.Unlock()
		tries++
		if password != "hush-hush" {
			return nil, errors.New("no")
		}
		return nil, nil
	}
	cfg := &ssh.ServerConfig{KeyboardInteractiveCallback: func(_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
		answers, err := ask("", "", []string{"Password: "}, []bool{false})
		if err != nil || len(answers) != 1 {
			return nil, errors.New("no answer")
		}
		return judge(answers[0])
	}}
	both := &ssh.ServerConfig{KeyboardInteractiveCallback: cfg.KeyboardInteractiveCallback, PasswordCallback: func(_ ssh.ConnMetadata, p []byte) (*ssh.Permissions, error) { return judge(string(p)) }}
	serve := func(cfg *ssh.ServerConfig) string {
		cfg.AddHostKey(signer)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go device(c, cfg)
			}
		}()
		return l.Addr().String()
	}
	got, notes := deep(t, serve(cfg), wire.Credential{Kind: wire.CredentialSSH, Name: "switch", User: "admin", Secret: "hush-hush"})
	if len(notes) != 0 || len(got["hostname"]) != 1 || got["hostname"][0] != `"core-1"` || tries != 1 {
		t.Errorf("%v, %v, %d passwords", got, notes, tries)
	}
	tries = 0
	if got, notes = deep(t, serve(both), wire.Credential{Kind: wire.CredentialSSH, Name: "switch", User: "admin", Secret: "wrong"}); len(got) != 0 || len(notes) != 1 || tries != 1 {
		t.Errorf("%v, %v, %d passwords", got, notes, tries)
	}
}

// device knows its name and no other command.
func device(c net.Conn, cfg *ssh.ServerConfig) {
	defer c.Close()
	_, channels, requests, err := ssh.NewServerConn(c, cfg)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for n := range channels {
		ch, in, err := n.Accept()
		if err != nil {
			return
		}
		for r := range in {
			_ = r.Reply(r.Type == "exec", nil)
			if r.Type != "exec" {
				continue
			}
			status := byte(1)
			if len(r.Payload) > 4 && string(r.Payload[4:]) == "hostname" {
				_, _ = ch.Write([]byte("core-1\n"))
				status = 0
			}
			_, _ = ch.SendRequest("exit-status", false, []byte{0, 0, 0, status})
			_ = ch.Close()
		}
	}
}
