package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// ErrNoCredential says that no token, sign-in or local socket was found.
var ErrNoCredential = errors.New("not signed in")

// Credential is a stored sign-in at one server.
type Credential struct {
	Token     string    `json:"token"`
	Username  string    `json:"username"`
	ExpiresAt time.Time `json:"expires_at"`
}

// Credentials is the file that `icectl login` writes: the sign-ins by server,
// and the server asked when none is named.
type Credentials struct {
	Default string                `json:"default"`
	Servers map[string]Credential `json:"servers"`
}

// CredentialsPath is where the sign-ins are kept:
// $XDG_CONFIG_HOME/icewatch/credentials, else ~/.config/icewatch/credentials.
func CredentialsPath(getenv func(string) string) (string, error) {
	dir := getenv("XDG_CONFIG_HOME")
	if dir == "" {
		home := getenv("HOME")
		if home == "" {
			return "", errors.New("neither XDG_CONFIG_HOME nor HOME is set: there is no place for the sign-in")
		}
		dir = filepath.Join(home, ".config")
	}
	return filepath.Join(dir, "icewatch", "credentials"), nil
}

// LoadCredentials reads the file; one that is not there is empty. A file that
// others can read is refused, as ssh refuses such a key.
func LoadCredentials(path string) (Credentials, error) {
	c := Credentials{Servers: map[string]Credential{}}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, fmt.Errorf("sign-ins: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return c, fmt.Errorf("sign-ins in %s can be read by others (mode %04o): run chmod 600 %s", path, info.Mode().Perm(), path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return c, fmt.Errorf("sign-ins: %w", err)
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return c, fmt.Errorf("sign-ins in %s: %w", path, err)
	}
	if c.Servers == nil {
		c.Servers = map[string]Credential{}
	}
	return c, nil
}

// Save writes the file with mode 0600, whole or not at all.
func (c Credentials) Save(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("sign-ins: %w", err)
	}
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	// CreateTemp makes the file with mode 0600.
	f, err := os.CreateTemp(filepath.Dir(path), ".credentials-*")
	if err != nil {
		return fmt.Errorf("sign-ins: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(data, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("sign-ins in %s: %w", path, err)
	}
	return nil
}

// Key is the form of a server's address under which a sign-in is kept.
func Key(address string) string {
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	return strings.TrimSuffix(strings.ToLower(address), "/")
}

// SocketPath is the local peer's socket under a data folder.
func SocketPath(data string) string { return filepath.Join(data, "run", "icewatch.sock") }

// Resolve fills in URL, Token and Socket of o from the environment:
// ICEWATCH_URL; ICEWATCH_TOKEN, else the sign-in kept for the server, else the
// socket under data for a server on this machine. Without any of them it
// returns ErrNoCredential with o's URL filled in.
func Resolve(o Options, data string, getenv func(string) string, now time.Time) (Options, error) {
	if o.URL == "" {
		o.URL = getenv("ICEWATCH_URL")
	}
	if o.Token == "" {
		o.Token = getenv("ICEWATCH_TOKEN")
	}
	if o.Token != "" {
		if o.URL == "" {
			o.URL = DefaultURL
		}
		return o, nil
	}
	expired := ""
	if path, err := CredentialsPath(getenv); err == nil {
		kept, err := LoadCredentials(path)
		if err != nil {
			return o, err
		}
		address := o.URL
		if address == "" {
			address = kept.Default
		}
		if cred, ok := kept.Servers[Key(address)]; ok && address != "" {
			if cred.ExpiresAt.IsZero() || now.Before(cred.ExpiresAt) {
				o.URL, o.Token = address, cred.Token
				return o, nil
			}
			expired = fmt.Sprintf("the sign-in of %s at %s ended %s", cred.Username, address, cred.ExpiresAt.Local().Format(time.DateTime))
		}
	}
	if o.URL == "" {
		o.URL = DefaultURL
	}
	if socket := SocketPath(data); data != "" && loopback(o.URL) && answers(socket) {
		o.Socket = socket
		return o, nil
	}
	if expired != "" {
		return o, fmt.Errorf("%w: %s", ErrNoCredential, expired)
	}
	return o, ErrNoCredential
}

// loopback tells whether an address is one of this machine.
func loopback(address string) bool {
	u, err := url.Parse(Key(address))
	if err != nil {
		return false
	}
	if u.Hostname() == "localhost" {
		return true
	}
	ip := net.ParseIP(u.Hostname())
	return ip != nil && ip.IsLoopback()
}

// answers tells whether somebody listens on a socket: a killed server leaves
// the file behind.
func answers(path string) bool {
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}
