package deploy_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"icewatch/collectors"
	"icewatch/collectors/fleet/deploy"
	"icewatch/test/peers"
)

const (
	agentID = "01JB2X3Y4Z5A6B7C8D9E0F1G2H"
	token   = "iwe_a-token-of-the-test"
)

// script stands for the program: it tells who runs it, with what, and what is left for it to read.
const script = `#!/bin/sh
[ "$ICEWATCH_AGENT_TOKEN" = ` + token + ` ] && known=yes
echo "user $(id -u), asked to $*, token known: $known $ICEWATCH_AGENT_TOKEN, left: $(cat | wc -c)"
echo "this host is agent ` + agentID + ` of egov"
`

// carry orders an installation and answers what was told besides.
func carry(t testing.TB, address string, c deploy.Credentials, o deploy.Order) (deploy.Result, string, error) {
	t.Helper()
	sum := sha256.Sum256([]byte(script))
	if o.Kind == "" {
		o.Kind, o.Token = deploy.Install, token
	}
	o.Dial = collectors.PlainDial
	o.Program = func(string, string) (deploy.Program, error) {
		return deploy.Program{Version: "1.0.0", SHA256: hex.EncodeToString(sum[:]), Size: int64(len(script)), Body: io.NopCloser(strings.NewReader(script))}, nil
	}
	var mu sync.Mutex
	var told strings.Builder
	o.Tell = func(step, line string) {
		mu.Lock()
		defer mu.Unlock()
		told.WriteString(step + "|" + line + "\n")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := deploy.Run(ctx, address, c, o)
	mu.Lock()
	defer mu.Unlock()
	for _, secret := range []string{c.Password, c.Sudo, o.Token} {
		if secret != "" && (strings.Contains(told.String(), secret) || err != nil && strings.Contains(err.Error(), secret) || strings.Contains(r.Text, secret)) {
			t.Errorf("a secret is told: %v\n%s", err, told.String())
		}
	}
	return r, told.String(), err
}

// TestWaysIn signs in and becomes root in each way that there is.
func TestWaysIn(t *testing.T) {
	t.Parallel()
	const free, asked = "%s ALL=(ALL) NOPASSWD: ALL", "%s ALL=(ALL) ALL"
	for name, c := range map[string]struct {
		way, sudo string
		key       bool
		more      string
	}{
		"password, sudo without":             {way: peers.PlainPassword, sudo: free},
		"password, sudo with":                {way: peers.PlainPassword, sudo: asked},
		"password by PAM, sudo with":         {way: peers.PAMPassword, sudo: asked},
		"keyboard-interactive, sudo without": {way: peers.AskedPassword, sudo: free},
		"keyboard-interactive, sudo with":    {way: peers.AskedPassword, sudo: asked},
		"key, sudo without":                  {way: peers.PlainPassword, sudo: free, key: true},
		"key, sudo with":                     {way: peers.AskedPassword, sudo: asked, key: true},
		"a host that greets":                 {way: peers.PlainPassword, sudo: asked, more: `ForceCommand echo "welcome to 127.0.0.1"; eval "$SSH_ORIGINAL_COMMAND"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			account := peers.AddAccount(t, c.sudo)
			host := peers.StartAccounts(t, c.way, c.more)
			cred := deploy.Credentials{User: account.Name, Password: account.Password}
			if c.key {
				cred = deploy.Credentials{User: account.Name, Key: host.KeyPEM}
				if c.sudo == asked {
					cred.Sudo = account.Password
				}
			}
			r, told, err := carry(t, host.Address, cred, deploy.Order{Trusted: host.HostKey})
			if err != nil || r.Agent != agentID || !strings.HasPrefix(r.Platform, "linux/") {
				t.Fatalf("%v %+v\n%s", err, r, told)
			}
			if !strings.Contains(told, "user 0, asked to install --again, token known: yes …, left: 0\n") {
				t.Error(told)
			}
			// An upgrade is refused where no agent is.
			if _, told, err = carry(t, host.Address, cred, deploy.Order{Kind: deploy.Upgrade, Trusted: host.HostKey}); err == nil || !strings.Contains(err.Error(), "there is no agent in /opt/") {
				t.Errorf("%v\n%s", err, told)
			}
			leavesNothing(t, account)
		})
	}
}

// TestSaysWhatIsWrong has each host that does not let the suite in, or make it root, say why.
func TestSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	const free, asked = "%s ALL=(ALL) NOPASSWD: ALL", "%s ALL=(ALL) ALL"
	wrong := func(c *deploy.Credentials) { c.Password = "not-" + c.Password }
	for name, c := range map[string]struct {
		way, sudo string
		more      string
		key       bool // sign in with the key, no password
		expired   bool
		change    func(*deploy.Credentials)
		want      []string
	}{
		"wrong password":                       {way: peers.PlainPassword, sudo: free, change: wrong, want: []string{"does not let USER in with this password"}},
		"wrong password by PAM":                {way: peers.AskedPassword, sudo: free, change: wrong, want: []string{"does not let USER in with this password"}},
		"no such account":                      {way: peers.PlainPassword, sudo: free, change: func(c *deploy.Credentials) { c.User = "iwt-nobody" }, want: []string{"does not let iwt-nobody in with this password"}},
		"wrong password for sudo":              {way: peers.PlainPassword, sudo: asked, change: func(c *deploy.Credentials) { c.Sudo = "not-" + c.Password }, want: []string{"sudo does not make USER root", "incorrect password"}},
		"no password for sudo":                 {way: peers.PlainPassword, sudo: asked, key: true, want: []string{"sudo does not make it so without a password", "password is required"}},
		"not for this user":                    {way: peers.PlainPassword, want: []string{"sudo does not make USER root", "not"}},
		"not a shell":                          {way: peers.PlainPassword, sudo: "%s ALL=(ALL) NOPASSWD: /usr/bin/true", want: []string{"sudo does not make USER root", "not allowed to execute"}},
		"sudo as another":                      {way: peers.PlainPassword, sudo: "Defaults:%s runas_default=nobody\n%s ALL=(ALL) ALL", want: []string{"sudo does not make USER root", "id says"}},
		"no sudo":                              {way: peers.PlainPassword, sudo: free, more: "SetEnv PATH=BARE", want: []string{"USER is not root and the host has no sudo"}},
		"a password that is to change":         {way: peers.AskedPassword, sudo: free, expired: true, want: []string{"asks USER for more than the password"}},
		"a password that is to change, by PAM": {way: peers.PAMPassword, sudo: free, expired: true, want: []string{"assword"}},
		"an account that may run nothing":      {way: peers.PlainPassword, sudo: free, more: "ForceCommand /usr/sbin/nologin", want: []string{"the host's platform", "not available"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var rules []string
			if c.sudo != "" {
				rules = []string{c.sudo}
			}
			account := peers.AddAccount(t, rules...)
			if c.expired {
				account.Expire(t)
			}
			host := peers.StartAccounts(t, c.way, strings.ReplaceAll(c.more, "BARE", bare(t)))
			cred := deploy.Credentials{User: account.Name, Password: account.Password}
			if c.key {
				cred = deploy.Credentials{User: account.Name, Key: host.KeyPEM}
			}
			if c.change != nil {
				c.change(&cred)
			}
			_, told, err := carry(t, host.Address, cred, deploy.Order{Trusted: host.HostKey})
			if err == nil {
				t.Fatal(told)
			}
			for _, want := range c.want {
				if want = strings.ReplaceAll(want, "USER", account.Name); !strings.Contains(err.Error(), want) {
					t.Errorf("%v; want %q\n%s", err, want, told)
				}
			}
			if strings.Contains(told, deploy.StepUpload+"|") {
				t.Errorf("the program was sent\n%s", told)
			}
		})
	}
}

// bare is a folder of what a host has that has no sudo.
func bare(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"sh", "uname", "id", "mktemp", "sha256sum", "cat", "chmod", "rm"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// leavesNothing checks that the host has no program of a deployment.
func leavesNothing(t testing.TB, account peers.Account) {
	t.Helper()
	left, err := filepath.Glob("/tmp/icewatch-agent.*")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range left {
		if info, err := os.Stat(path); err == nil && info.Sys().(*syscall.Stat_t).Uid == account.ID {
			t.Errorf("%s is left", path)
		}
	}
}
