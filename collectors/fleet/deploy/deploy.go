// Package deploy installs, upgrades and removes the agent on a host over SSH. It knows
// one host at a time and nothing of the fleet: who may be reached, which
// credentials are good and which keys of hosts are trusted is its caller's business.
//
// The host needs a POSIX shell, the commands uname, id, mktemp and sha256sum, and sudo
// where the user is not root. Secrets go over standard input alone: no list of processes
// and no shell history of the host shows them.
package deploy

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// Kinds of deployments.
const (
	Install = "install"
	Upgrade = "upgrade"
	Remove  = "remove"
)

// Steps of a deployment, in their order.
const (
	StepConnect = "connect"
	StepProbe   = "probe"
	StepUpload  = "upload"
	StepRun     = "run"
)

// Credentials are how the user signs in and becomes root.
type Credentials struct {
	User       string
	Password   string
	Key        string // private key, PEM
	Passphrase string // of the key
	Sudo       string // password for sudo; Password where it is empty
}

// Program is an agent's executable.
type Program struct {
	Version string
	SHA256  string // hex
	Size    int64  // bytes
	Body    io.ReadCloser
}

// Order is what is to be done on a host.
type Order struct {
	Kind  string
	Purge bool   // of Remove: identity, queue and settings go, too
	Token string // of Install: enrolment token
	// Program answers the executable for a platform.
	Program func(os, arch string) (Program, error)
	// Trusted is the public key (in the form of authorized_keys) that the host is known by; "" is none yet.
	Trusted string
	Dial    func(ctx context.Context, network, address string) (net.Conn, error)
	// Tell is told of each step, and of each line that is said on the way, without secrets.
	Tell func(step, line string)
}

// Result is what came of it.
type Result struct {
	Agent    string // id of the agent that the host is, or was
	Platform string // linux/amd64
	Text     string // the last that was said
}

// UnknownKey says that the host's key is not trusted yet, or is another than the one
// it is known by.
type UnknownKey struct {
	Key         string // in the form of authorized_keys
	Type        string
	Fingerprint string // SHA256:…
	Known       string // fingerprint of the key it is known by; "" is none
}

// Error implements error.
func (e *UnknownKey) Error() string {
	if e.Known != "" {
		return fmt.Sprintf("the host shows the key %s %s and is known by %s: another host may stand in its place; forget the key that is known if the host was set up anew", e.Type, e.Fingerprint, e.Known)
	}
	return fmt.Sprintf("the host's key %s %s is not trusted yet", e.Type, e.Fingerprint)
}

// Times that steps may take.
const (
	connectTime = 20 * time.Second
	probeTime   = 30 * time.Second
	uploadTime  = 15 * time.Minute
	runTime     = 3 * time.Minute
)

// maxLine and maxLines bound what is kept of a command's output.
const (
	maxLine  = 500
	maxLines = 200
)

// Check says what is wrong with credentials, such as a key that is none.
func (c *Credentials) Check() error {
	_, err := c.auth(new(string))
	return err
}

// auth makes the ways to sign in. A host that asks for more than the password has its question put into asked.
func (c *Credentials) auth(asked *string) ([]ssh.AuthMethod, error) {
	var out []ssh.AuthMethod
	if c.User == "" {
		return nil, errors.New("the user: want the name of an account on the hosts")
	}
	if c.Key != "" {
		var key ssh.Signer
		var err error
		if c.Passphrase != "" {
			key, err = ssh.ParsePrivateKeyWithPassphrase([]byte(c.Key), []byte(c.Passphrase))
		} else {
			key, err = ssh.ParsePrivateKey([]byte(c.Key))
		}
		var missing *ssh.PassphraseMissingError
		if errors.As(err, &missing) {
			return nil, errors.New("the private key is protected: its passphrase is needed")
		}
		if err != nil {
			return nil, errors.New("the private key is none of OpenSSH, PKCS #1 or PKCS #8 in PEM, or the passphrase is not its own")
		}
		out = append(out, ssh.PublicKeys(key))
	}
	if c.Password != "" {
		answered := false
		out = append(out, ssh.Password(c.Password), ssh.KeyboardInteractive(func(_, instruction string, questions []string, echos []bool) ([]string, error) {
			answers := make([]string, len(questions))
			for i, q := range questions {
				// The one question whose answer is not shown is for the password. What comes then is for a code,
				// or for a new password, which nobody means to be the old one.
				if echos[i] || answered {
					*asked = strings.TrimSpace(instruction + " " + strings.TrimSpace(q))
					return nil, errors.New("a question that has no answer")
				}
				answers[i], answered = c.Password, true
			}
			return answers, nil
		}))
	}
	if len(out) == 0 {
		return nil, errors.New("a password or a private key is needed")
	}
	return out, nil
}

// session is a host that is connected.
type session struct {
	client *ssh.Client
	order  *Order
	secret *strings.Replacer
	root   string // what a command that needs root begins with; "" where the user is root
	input  string // what sudo reads before the command does
}

// Run carries an order out on the host at address (HOST:PORT).
func Run(ctx context.Context, address string, c Credentials, o Order) (Result, error) {
	var asked string
	auth, err := c.auth(&asked)
	if err != nil {
		return Result{}, err
	}
	s := &session{order: &o, secret: hide(c.Password, c.Passphrase, c.Sudo, o.Token)}
	o.Tell(StepConnect, "connect to "+address+" as "+c.User)
	if s.client, err = connect(ctx, address, c, auth, &o); err != nil {
		if asked != "" {
			err = fmt.Errorf("the host asks %s for more than the password: %q; give a private key, or sign in there once by hand", c.User, clip(s.secret.Replace(asked)))
		}
		return Result{}, err
	}
	defer s.client.Close()
	stop := context.AfterFunc(ctx, func() { _ = s.client.Close() })
	defer stop()
	r, err := s.run(ctx, c)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return r, err
}

// hide makes what takes secrets out of a text.
func hide(secrets ...string) *strings.Replacer {
	var pairs []string
	for _, x := range secrets {
		if len(x) > 0 {
			pairs = append(pairs, x, "…")
		}
	}
	return strings.NewReplacer(pairs...)
}

func connect(ctx context.Context, address string, c Credentials, auth []ssh.AuthMethod, o *Order) (*ssh.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	var unknown *UnknownKey
	config := &ssh.ClientConfig{User: c.User, Auth: auth, HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
		text := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
		if o.Trusted == text {
			return nil
		}
		unknown = &UnknownKey{Key: text, Type: key.Type(), Fingerprint: ssh.FingerprintSHA256(key)}
		if o.Trusted != "" {
			unknown.Known = Fingerprint(o.Trusted)
		}
		return unknown
	}}
	if o.Trusted != "" {
		// The host shows the key by which it is known, where it still has it.
		if key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(o.Trusted)); err == nil {
			config.HostKeyAlgorithms = []string{key.Type()}
			if key.Type() == ssh.KeyAlgoRSA {
				config.HostKeyAlgorithms = []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
			}
		}
	}
	conn, err := o.Dial(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("the host is not reached: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	client, channels, requests, err := ssh.NewClientConn(conn, address, config)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = conn.Close()
		if unknown != nil {
			return nil, unknown
		}
		if strings.Contains(err.Error(), "unable to authenticate") {
			with := map[[2]bool]string{{true, false}: "this password", {false, true}: "this key"}[[2]bool{c.Password != "", c.Key != ""}]
			return nil, fmt.Errorf("the host does not let %s in with %s: %w", c.User, cmp.Or(with, "this key and password"), err)
		}
		return nil, fmt.Errorf("the connection by SSH: %w", err)
	}
	return ssh.NewClient(client, channels, requests), nil
}

// Fingerprint is that of a public key in the form of authorized_keys; "" where it cannot be read.
func Fingerprint(text string) string {
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(text))
	if err != nil {
		return ""
	}
	return ssh.FingerprintSHA256(key)
}

// machines are uname's names of machines, by Go's.
var machines = map[string]string{"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64", "loongarch64": "loong64", "riscv64": "riscv64"}

// installed is where the agent's own installation puts the program.
const installed = "/opt/icewatch-agent/icewatch-agent"

var agentPattern = regexp.MustCompile(`\bagent ([0-9A-HJKMNP-TV-Z]{26})\b`)

func (s *session) run(ctx context.Context, c Credentials) (r Result, err error) {
	s.order.Tell(StepProbe, "")
	said, err := s.command(ctx, probeTime, shell("uname -s; uname -m; id -u"), nil)
	if err != nil {
		return r, fmt.Errorf("the host's platform: %w", err)
	}
	facts := strings.Fields(said)
	if len(facts) < 3 {
		return r, fmt.Errorf("the host's platform: uname and id said %.100q", said)
	}
	facts = facts[len(facts)-3:] // What a shell greets with stands above.
	if facts[0] != "Linux" || machines[facts[1]] == "" {
		return r, fmt.Errorf("the host is %s on %s: only Linux on amd64, arm64, loong64 and riscv64 is installed over SSH", facts[0], facts[1])
	}
	arch := machines[facts[1]]
	r.Platform = "linux/" + arch
	if facts[2] != "0" {
		if err := s.become(ctx, c); err != nil {
			return r, err
		}
	}
	var line string
	switch s.order.Kind {
	case Remove:
		line = `p="${ICEWATCH_AGENT_ROOT:-}` + installed + `"; if [ ! -x "$p" ]; then echo "there is no agent in $p" >&2; exit 3; fi; exec "$p" uninstall`
		if s.order.Purge {
			line += " --purge"
		}
	case Install, Upgrade:
		dir, err := s.upload(ctx, arch)
		if err != nil {
			return r, err
		}
		defer func() {
			_, _ = s.command(context.WithoutCancel(ctx), probeTime, "rm -rf "+dir, nil) // The connection may be gone; it is in /tmp.
		}()
		line = `IFS= read -r ICEWATCH_AGENT_TOKEN && export ICEWATCH_AGENT_TOKEN; exec ` + dir + `/icewatch-agent install --again`
		if s.order.Kind == Upgrade {
			line = `p="${ICEWATCH_AGENT_ROOT:-}` + installed + `"; if [ ! -x "$p" ]; then echo "there is no agent in $p: install it" >&2; exit 3; fi; exec ` + dir + `/icewatch-agent install`
		}
	default:
		return r, fmt.Errorf("there is no deployment of kind %q", s.order.Kind)
	}
	s.order.Tell(StepRun, "")
	input := ""
	if s.order.Kind == Install {
		input = s.order.Token + "\n"
	}
	said, err = s.asRoot(ctx, line, input)
	if m := agentPattern.FindStringSubmatch(said); m != nil {
		r.Agent = m[1]
	}
	r.Text = lastLine(said)
	return r, err
}

// become finds out how the user becomes root, by what is run as root later on: a shell.
func (s *session) become(ctx context.Context, c Credentials) error {
	// -k: what sudo remembers of a password may be forgotten before the program is on the host.
	_, err := s.command(ctx, probeTime, "sudo -n -k "+shell("exit 0"), nil)
	if err == nil {
		s.root = "sudo -n -k "
		return nil
	}
	if _, missing := s.command(ctx, probeTime, shell("command -v sudo"), nil); missing != nil {
		return fmt.Errorf("%s is not root and the host has no sudo: sign in as root", c.User)
	}
	password := c.Sudo
	if password == "" {
		password = c.Password
	}
	if password == "" {
		return fmt.Errorf("%s is not root and sudo does not make it so without a password: give the password, or sign in as root: %w", c.User, err)
	}
	// -k: the password is asked for each time, so that it never is what the command reads.
	s.root, s.input = "sudo -S -k -p '' ", password+"\n"
	said, err := s.command(ctx, probeTime, s.root+shell("id -u"), strings.NewReader(s.input))
	if err != nil {
		return fmt.Errorf("sudo does not make %s root: %w", c.User, err)
	}
	if id := lastLine(said); id != "0" {
		return fmt.Errorf("sudo does not make %s root: id says %.40q", c.User, id)
	}
	return nil
}

// shell has a line be read by sh, whatever shell the user has. It must hold no single quote.
func shell(line string) string { return "sh -c '" + line + "'" }

// asRoot runs a line of shell as root. It must hold no single quote.
func (s *session) asRoot(ctx context.Context, line, input string) (string, error) {
	if strings.Contains(line, "'") {
		return "", errors.New("the line holds a quote")
	}
	return s.command(ctx, runTime, s.root+shell(line), strings.NewReader(s.input+input))
}

var dirPattern = regexp.MustCompile(`^/[A-Za-z0-9/._-]{1,100}$`)

// upload puts the program for the platform into a new folder of the host.
func (s *session) upload(ctx context.Context, arch string) (dir string, err error) {
	p, err := s.order.Program("linux", arch)
	if err != nil {
		return "", err
	}
	defer p.Body.Close()
	s.order.Tell(StepUpload, fmt.Sprintf("version %s for linux/%s, %d MB", p.Version, arch, p.Size>>20))
	said, err := s.command(ctx, probeTime, shell("umask 077; mktemp -d /tmp/icewatch-agent.XXXXXXXX"), nil)
	if err != nil {
		return "", fmt.Errorf("a folder for the program: %w", err)
	}
	if dir = lastLine(said); !dirPattern.MatchString(dir) {
		return "", fmt.Errorf("a folder for the program: mktemp said %.100q", said)
	}
	said, err = s.command(ctx, uploadTime, shell("set -e; cd "+dir+"; cat >icewatch-agent; chmod 755 . icewatch-agent; sha256sum icewatch-agent"), p.Body)
	if err == nil && !strings.HasPrefix(lastLine(said), p.SHA256+" ") {
		err = fmt.Errorf("the host has another file than was sent: sha256sum said %.80q", said)
	}
	if err != nil {
		_, _ = s.command(ctx, probeTime, "rm -rf "+dir, nil)
		return "", fmt.Errorf("the program is not on the host: %w", err)
	}
	return dir, nil
}

// command runs a line and answers what it said on standard output; what it says on
// either is told as it comes. An error holds the last line of standard error.
func (s *session) command(ctx context.Context, most time.Duration, line string, input io.Reader) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	x, err := s.client.NewSession()
	if err != nil {
		return "", err
	}
	defer x.Close()
	out, err := x.StdoutPipe()
	if err != nil {
		return "", err
	}
	bad, err := x.StderrPipe()
	if err != nil {
		return "", err
	}
	x.Stdin = input
	if err := x.Start(line); err != nil {
		return "", err
	}
	stop := context.AfterFunc(ctx, func() { _ = x.Close() })
	defer stop()
	wrong := make(chan string, 1)
	go func() { wrong <- s.hear(bad) }()
	said := s.hear(out)
	complaint := <-wrong
	err = x.Wait()
	if ctx.Err() != nil {
		return said, fmt.Errorf("it took longer than %s", most)
	}
	var exit *ssh.ExitError
	if errors.As(err, &exit) {
		if complaint = lastLine(complaint); complaint == "" {
			complaint = lastLine(said)
		}
		return said, errors.New(strings.TrimSpace(complaint + " (exit status " + strconv.Itoa(exit.ExitStatus()) + ")"))
	}
	return said, err
}

// hear reads lines to the end and keeps the first of them.
func (s *session) hear(r io.Reader) string {
	var b strings.Builder
	lines := bufio.NewReaderSize(io.LimitReader(r, 1<<20), 4096)
	for n := 0; ; {
		part, err := lines.ReadString('\n')
		text := strings.ToValidUTF8(strings.TrimRight(part, "\r\n"), "\uFFFD")
		if text != "" && n < maxLines {
			n++
			if text = s.secret.Replace(text); len(text) > maxLine {
				text = strings.ToValidUTF8(text[:maxLine], "") + "…"
			}
			b.WriteString(text + "\n")
			s.order.Tell("", text)
		}
		if err != nil {
			_, _ = io.Copy(io.Discard, r) // What is beyond the bound would hold the command up.
			return b.String()
		}
	}
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

// clip bounds what a host says.
func clip(text string) string {
	if len(text) > maxLine {
		text = text[:maxLine] + "…"
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}
