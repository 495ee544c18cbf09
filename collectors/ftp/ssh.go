package ftp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"icewatch/collectors"
)

// signers reads the user's key.
func (s *settings) signers() ([]ssh.Signer, error) {
	if s.KeyPEM == "" {
		return nil, nil
	}
	var key ssh.Signer
	var err error
	if s.KeyPassphrase != "" {
		key, err = ssh.ParsePrivateKeyWithPassphrase([]byte(s.KeyPEM), []byte(s.KeyPassphrase))
	} else {
		key, err = ssh.ParsePrivateKey([]byte(s.KeyPEM))
	}
	var missing *ssh.PassphraseMissingError
	if errors.As(err, &missing) {
		return nil, errors.New("key_pem is protected: its key_passphrase is needed")
	}
	if err != nil {
		return nil, fmt.Errorf("key_pem is not a private key of OpenSSH or PKCS #1 or #8 in PEM, or key_passphrase is not its own: %w", err)
	}
	return []ssh.Signer{key}, nil
}

// trusted are the server's keys that the configuration names.
type trusted struct {
	prints []string
	keys   []ssh.PublicKey
	hosts  ssh.HostKeyCallback // of known_hosts; nil is none
}

func (s *settings) hostKeys() (*trusted, error) {
	t := &trusted{}
	for i, text := range s.HostKeys {
		text = strings.TrimSpace(text)
		if strings.HasPrefix(text, "SHA256:") && len(text) == len("SHA256:")+43 {
			t.prints = append(t.prints, text)
			continue
		}
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(text))
		if err != nil {
			return nil, fmt.Errorf("host_keys[%d] is neither SHA256: with 43 characters, as ssh-keygen -l shows it, nor a public key such as ssh-ed25519 AAAA…", i)
		}
		t.keys = append(t.keys, key)
	}
	if strings.TrimSpace(s.KnownHosts) == "" {
		return t, nil
	}
	f, err := os.CreateTemp("", "known_hosts-") // The library reads files alone.
	if err != nil {
		return nil, fmt.Errorf("known_hosts: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = io.WriteString(f, s.KnownHosts)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("known_hosts: %w", err)
	}
	if t.hosts, err = knownhosts.New(f.Name()); err != nil {
		return nil, fmt.Errorf("known_hosts: %s", strings.NewReplacer(f.Name()+":", "line ", "knownhosts: ", "").Replace(err.Error()))
	}
	return t, nil
}

// check judges the key that a server shows.
func (t *trusted) check(host string, remote net.Addr, key ssh.PublicKey) error {
	print := ssh.FingerprintSHA256(key)
	if slices.Contains(t.prints, print) || slices.ContainsFunc(t.keys, func(k ssh.PublicKey) bool { return string(k.Marshal()) == string(key.Marshal()) }) {
		return nil
	}
	if t.hosts != nil {
		err := t.hosts(host, remote, key)
		if err == nil {
			return nil
		}
		var revoked *knownhosts.RevokedError
		if errors.As(err, &revoked) {
			return fmt.Errorf("the server shows the key %s %s, which known_hosts has revoked", key.Type(), print)
		}
	}
	what := "is not among host_keys and known_hosts: another server may stand in its place"
	if t.hosts == nil && len(t.prints)+len(t.keys) == 0 {
		what = "is not known yet: compare it with what ssh-keygen -lf says on the server, and write it into host_keys"
	}
	return fmt.Errorf("the server shows the key %s %s, which %s", key.Type(), print, what)
}

// algorithms are those of the keys that are pinned whole, so that the server
// shows one of these; empty leaves it to the server.
func (t *trusted) algorithms() []string {
	var out []string
	if t.hosts != nil || len(t.prints) > 0 {
		return nil
	}
	for _, k := range t.keys {
		if k.Type() == ssh.KeyAlgoRSA {
			out = append(out, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512)
			continue
		}
		out = append(out, k.Type())
	}
	return out
}

func (s *settings) connectSFTP(ctx context.Context, d collectors.Dial, step func(string)) (remote, error) {
	keys, err := s.signers()
	if err != nil {
		return nil, err
	}
	trust, err := s.hostKeys()
	if err != nil {
		return nil, err
	}
	conf := &ssh.ClientConfig{User: s.Username, ClientVersion: "SSH-2.0-icewatch", HostKeyCallback: trust.check, HostKeyAlgorithms: trust.algorithms()}
	if len(keys) > 0 {
		conf.Auth = append(conf.Auth, ssh.PublicKeys(keys...))
	}
	if s.Password != "" {
		conf.Auth = append(conf.Auth, ssh.Password(s.Password), ssh.KeyboardInteractive(func(_, _ string, questions []string, echos []bool) ([]string, error) {
			answers := make([]string, len(questions))
			for i := range questions {
				if !echos[i] {
					answers[i] = s.Password
				}
			}
			return answers, nil
		}))
	}
	raw, err := dial(ctx, d, s.Address)
	if err != nil {
		return nil, err
	}
	step("connected to " + s.Address)
	conn, channels, requests, err := ssh.NewClientConn(raw, s.Address, conf)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("sign in as %s: %w", s.Username, err), raw.Close())
	}
	client := ssh.NewClient(conn, channels, requests)
	step("the server's key is the one that is trusted; signed in as " + s.Username)
	files, err := sftp.NewClient(client)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the server signs %s in but has no SFTP for it: %w", s.Username, err), client.Close())
	}
	return &sftpServer{files, client}, nil
}

type sftpServer struct {
	c   *sftp.Client
	ssh *ssh.Client
}

func (f *sftpServer) list(dir string) ([]entry, error) {
	infos, err := f.c.ReadDir(or(dir, "."))
	if err != nil {
		return nil, err
	}
	out := make([]entry, 0, len(infos))
	for _, i := range infos {
		if !plain(i.Name()) {
			continue
		}
		one := entry{path: path.Join(dir, i.Name()), size: i.Size(), time: i.ModTime(), folder: i.IsDir(), regular: i.Mode().IsRegular()}
		if i.Mode()&os.ModeSymlink != 0 { // Links to files are followed, those to folders not: they may lead in circles.
			if to, err := f.c.Stat(one.path); err == nil && to.Mode().IsRegular() {
				one.size, one.time, one.regular = to.Size(), to.ModTime(), true
			}
		}
		out = append(out, one)
	}
	return out, nil
}

func (f *sftpServer) open(path string, offset int64) (io.ReadCloser, error) {
	file, err := f.c.Open(path)
	if err != nil {
		return nil, err
	}
	if _, err := file.Seek(offset, io.SeekStart); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

func (f *sftpServer) rename(from, to string) error { return f.c.Rename(from, to) }
func (f *sftpServer) mkdir(dir string) error       { return f.c.Mkdir(dir) }
func (f *sftpServer) remove(path string) error     { return f.c.Remove(path) }
func (f *sftpServer) Close() error                 { return errors.Join(f.c.Close(), f.ssh.Close()) }
