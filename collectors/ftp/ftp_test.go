package ftp

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"

	"icewatch/collectors"
	"icewatch/collectors/collecttest"
	"icewatch/collectors/fetch"
	"icewatch/test/peers"
)

// bench is a server with a folder, and a source that reads it.
type bench struct {
	t      *testing.T
	dir    string
	cfg    Config
	sink   collecttest.Sink
	places *collecttest.Places
	c      *Collector
	clock  time.Time
	told   int // records that were looked at
}

func newBench(t *testing.T, dir string, cfg Config) *bench {
	t.Helper()
	b := &bench{t: t, dir: dir, cfg: cfg, places: new(collecttest.Places), clock: time.Now()}
	b.restart()
	return b
}

// restart makes the source anew with the places that are kept.
func (b *bench) restart() {
	b.t.Helper()
	c, err := New(b.cfg, collectors.Deps{Sink: &b.sink, Places: b.places})
	if err != nil {
		b.t.Fatal(err)
	}
	c.now = func() time.Time { return b.clock }
	b.c = c
}

func (b *bench) write(name string, data []byte) {
	b.t.Helper()
	file := filepath.Join(b.dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		b.t.Fatal(err)
	}
	_ = os.Chmod(filepath.Dir(file), 0o777)
	if err := os.WriteFile(file, data, 0o666); err != nil {
		b.t.Fatal(err)
	}
	_ = os.Chmod(file, 0o666)
}

func (b *bench) add(name, text string) {
	b.t.Helper()
	f, err := os.OpenFile(filepath.Join(b.dir, name), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Close()); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) rename(from, to string) {
	b.t.Helper()
	if err := os.Rename(filepath.Join(b.dir, from), filepath.Join(b.dir, to)); err != nil {
		b.t.Fatal(err)
	}
}

// look looks n times and says what came: file, offset and text.
func (b *bench) look(n int, want ...string) {
	b.t.Helper()
	for range n {
		b.clock = b.clock.Add(30 * time.Second)
		if _, err := b.c.round(b.t.Context()); err != nil {
			b.t.Fatal(err)
		}
	}
	b.came(want...)
}

func (b *bench) came(want ...string) {
	b.t.Helper()
	var got []string
	for _, r := range b.sink.Records()[b.told:] {
		got = append(got, fmt.Sprintf("%s@%s %s", filepath.Base(r.Attrs[0].Value), r.Attrs[1].Value, r.Data))
		b.told++
	}
	slices.Sort(got)
	want = slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		b.t.Errorf("came\n%q, want\n%q", got, want)
	}
	ids := map[string]bool{}
	for _, r := range b.sink.Records() {
		if ids[r.ID] {
			b.t.Errorf("the id %s comes twice", r.ID)
		}
		ids[r.ID] = true
	}
}

func packed(t testing.TB, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write([]byte(text))
	if err := errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func sftpConfig(t testing.TB, s *peers.SSHServer) Config {
	t.Helper()
	c := *DefaultConfig()
	c.ID, c.Tenant, c.Address, c.Username, c.KeyPEM, c.HostKeys = "files", "a", s.Address, s.User, s.KeyPEM, []string{s.HostKey}
	c.Paths = []string{s.Dir + "/**/*.log*"}
	return c
}

func ftpConfig(s *peers.FTPServer, protocol string) Config {
	c := *DefaultConfig()
	c.ID, c.Tenant, c.Protocol, c.Address, c.Username, c.Password = "files", "a", protocol, s.Address, "anonymous", s.Password
	c.Paths = []string{"**/*.log*"}
	return c
}

// servers starts each kind of server and runs f against it.
func servers(t *testing.T, f func(t *testing.T, dir string, cfg Config)) {
	t.Run("sftp", func(t *testing.T) {
		t.Parallel()
		s := peers.StartSSHD(t)
		f(t, s.Dir, sftpConfig(t, s))
	})
	t.Run("ftp", func(t *testing.T) {
		t.Parallel()
		s := peers.StartVsftpd(t, "", "")
		f(t, s.Dir, ftpConfig(s, FTP))
	})
	for _, protocol := range []string{FTPS, Implicit} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			a := peers.NewAuthority(t)
			cert, key := a.Issue(t, t.TempDir())
			var more []string
			if protocol == Implicit {
				more = []string{"implicit_ssl=YES"}
			}
			s := peers.StartVsftpd(t, cert, key, more...)
			cfg := ftpConfig(s, protocol)
			cfg.TLSCAPEM = a.PEM
			f(t, s.Dir, cfg)
		})
	}
}

// Complete files: nothing while they are written, all of them once, whatever
// becomes of their names.
func TestComplete(t *testing.T) {
	t.Parallel()
	servers(t, func(t *testing.T, dir string, cfg Config) {
		cfg.Exclude, cfg.MultilineStart = []string{"no*"}, `^\d`
		b := newBench(t, dir, cfg)
		long := strings.Repeat("x", 80)
		b.write("app.log", []byte("1 "+long+"\n  more\n2 two\n3 three"))
		b.write("deep/down/d.log", []byte("1 d\n"))
		b.write("no.log", []byte("1 no\n"))
		b.write("other.txt", []byte("1 no\n"))
		b.write("old.log.gz", packed(t, "1 packed\n2 packed\n"))
		b.look(1)
		b.add("app.log", "\n4 four\n")
		b.look(1, "d.log@0 1 d", "old.log.gz@0 1 packed", "old.log.gz@9 2 packed")
		b.look(1, "app.log@0 1 "+long+"\n  more", "app.log@90 2 two", "app.log@96 3 three", "app.log@104 4 four")
		b.add("app.log", "5 five\n")
		b.look(2, "app.log@111 5 five")
		// Rotation: by renaming, then packed.
		b.add("app.log", "6 six\n")
		b.rename("app.log", "app.log.1")
		b.write("app.log", []byte("1 new\n"))
		b.look(2, "app.log.1@118 6 six", "app.log@0 1 new")
		b.places = b.places.Copy()
		b.restart()
		b.look(3)
		text, err := os.ReadFile(filepath.Join(dir, "app.log.1"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(dir, "app.log.1")); err != nil {
			t.Fatal(err)
		}
		b.write("app.log.2.gz", packed(t, string(text)+"7 seven\n"))
		b.look(2, "app.log.2.gz@124 7 seven")
		// A file that was begun anew, with more than was read before.
		b.write("deep/down/d.log", []byte("8 other\n9 nine\n"))
		b.look(3, "d.log@0 8 other", "d.log@8 9 nine")
	})
}

// Growing files: complete lines at each look, the last one once it has rested.
func TestGrowing(t *testing.T) {
	t.Parallel()
	servers(t, func(t *testing.T, dir string, cfg Config) {
		cfg.Read = Growing
		b := newBench(t, dir, cfg)
		b.write("g.log", []byte("one\ntwo"))
		b.look(1, "g.log@0 one")
		b.add("g.log", "-and-a-half\nthree\nfo")
		b.look(1, "g.log@4 two-and-a-half", "g.log@19 three")
		b.look(1)
		b.look(2, "g.log@25 fo")
		b.places = b.places.Copy()
		b.restart()
		b.add("g.log", "ur\nfive\n")
		b.look(2, "g.log@27 ur", "g.log@30 five")
		// Copied and truncated.
		text, err := os.ReadFile(filepath.Join(dir, "g.log"))
		if err != nil {
			t.Fatal(err)
		}
		b.write("g.log.1", append(text, "six\n"...))
		b.write("g.log", []byte("1\n"))
		if len(text) < leastPrefix { // A beginning as short as this proves nothing: better twice than not at all.
			b.look(1, "g.log@0 1", "g.log.1@0 one", "g.log.1@4 two-and-a-half", "g.log.1@19 three", "g.log.1@25 four", "g.log.1@30 five", "g.log.1@35 six")
		}
	})
}

func TestEncodings(t *testing.T) {
	t.Parallel()
	s := peers.StartSSHD(t)
	for name, x := range map[string]struct {
		of   encoding.Encoding
		mark string
		at   int
	}{
		"gbk": {simplifiedchinese.GBK, "", 9}, "gb18030": {simplifiedchinese.GB18030, "", 9}, "utf-8": {unicode.UTF8, "\xef\xbb\xbf", 16},
		"utf-16le": {unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM), "", 10}, "utf-16": {unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM), "\xfe\xff", 12},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := sftpConfig(t, s)
			cfg.Paths, cfg.Encoding = []string{s.Dir + "/" + name + ".log"}, name
			b := newBench(t, s.Dir, cfg)
			text, err := x.of.NewEncoder().Bytes([]byte("登录失败\n用户张三\n"))
			if err != nil {
				t.Fatal(err)
			}
			b.write(name+".log", append([]byte(x.mark), text...))
			b.look(2, fmt.Sprintf("%s.log@%d 登录失败", name, len(x.mark)), fmt.Sprintf("%s.log@%d 用户张三", name, x.at))
		})
	}
}

// What becomes of files that were read.
func TestAfterwards(t *testing.T) {
	t.Parallel()
	servers(t, func(t *testing.T, dir string, cfg Config) {
		cfg.After, cfg.MoveTo = Move, "read"
		if cfg.Protocol == SFTP {
			cfg.MoveTo = filepath.Join(dir, "read")
		}
		b := newBench(t, dir, cfg)
		b.write("a.log", []byte("one\n"))
		b.look(2, "a.log@0 one")
		b.write("a.log", []byte("two\n"))
		b.look(4, "a.log@0 two")
		moved, err := filepath.Glob(filepath.Join(dir, "read", "a.log*"))
		if left, _ := filepath.Glob(filepath.Join(dir, "*.log")); err != nil || len(moved) != 2 || len(left) != 0 {
			t.Errorf("moved are %v, left are %v, %v", moved, left, err)
		}
		b.cfg.After, b.cfg.MoveTo, b.cfg.Exclude = Delete, "", []string{path.Join(cfg.MoveTo, "*")}
		b.restart()
		b.write("b.log", []byte("three\n"))
		b.look(1)
		b.add("b.log", "four\n")
		b.look(1)
		if _, err := os.Stat(filepath.Join(dir, "b.log")); err != nil {
			t.Error("a file that has not been read is gone")
		}
		b.look(1, "b.log@0 three", "b.log@6 four")
		if _, err := os.Stat(filepath.Join(dir, "b.log")); !os.IsNotExist(err) {
			t.Errorf("the file that was read is still there: %v", err)
		}
	})
}

// A file that cannot be read is told, and the others are read.
func TestFaults(t *testing.T) {
	t.Parallel()
	servers(t, func(t *testing.T, dir string, cfg Config) {
		b := newBench(t, dir, cfg)
		whole := packed(t, strings.Repeat("a line of the packed file\n", 1000))
		b.write("broken.log.gz", whole[:len(whole)/2])
		b.write("fine.log", []byte("one\n"))
		b.write("not.log.gz", []byte("no gzip"))
		var err error
		for range 2 {
			b.clock = b.clock.Add(time.Minute)
			_, err = b.c.round(t.Context())
		}
		var partial *fetch.Partial
		if !errors.As(err, &partial) || !strings.Contains(err.Error(), "broken.log.gz: it is not whole gzip") || !strings.Contains(err.Error(), "not.log.gz: it is not whole gzip") {
			t.Errorf("%v", err)
		}
		found := false
		for _, r := range b.sink.Records() {
			found = found || string(r.Data) == "one"
		}
		if !found {
			t.Error("the other file was not read")
		}
	})
}

// The source is stopped and begun again within a file: each line is stored, and
// under one id.
func TestRestart(t *testing.T) {
	t.Parallel()
	servers(t, func(t *testing.T, dir string, cfg Config) {
		const lines = 20_000
		cfg.IntervalSeconds = 1
		b := newBench(t, dir, cfg)
		var text strings.Builder
		for i := range lines {
			fmt.Fprintf(&text, "line %d of a file that is long enough to be read in many parts, by %s\n", i, cfg.Protocol)
		}
		b.write("long.log", []byte(text.String()))
		b.sink.Delay(30 * time.Millisecond)
		for range 3 {
			c, err := New(cfg, collectors.Deps{Sink: &b.sink, Places: b.places})
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			was := len(b.sink.Records())
			for end := time.Now().Add(20 * time.Second); len(b.sink.Records()) < min(lines, was+4000) && time.Now().Before(end); {
				time.Sleep(5 * time.Millisecond)
			}
			kept := b.places.Copy() // as a kill leaves it
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			if err := c.Stop(ctx); err != nil {
				t.Error(err)
			}
			cancel()
			b.places = kept
		}
		b.sink.Delay(0)
		b.restart()
		for range 2 {
			b.clock = b.clock.Add(time.Minute)
			if _, err := b.c.round(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		ids, texts := map[string]string{}, map[string]bool{}
		for _, r := range b.sink.Records() {
			if was, ok := ids[r.ID]; ok && was != string(r.Data) {
				t.Fatalf("the id %s is of %q and %q", r.ID, was, r.Data)
			}
			ids[r.ID], texts[string(r.Data)] = string(r.Data), true
		}
		if len(ids) != lines || len(texts) != lines {
			t.Errorf("%d ids of %d texts, want %d", len(ids), len(texts), lines)
		}
	})
}

func TestTrySFTP(t *testing.T) {
	t.Parallel()
	s := peers.StartSSHD(t)
	cfg := sftpConfig(t, s)
	f := func(want string, change func(*Config)) {
		t.Helper()
		c := cfg
		change(&c)
		trial, err := try(t.Context(), &c, collectors.Deps{})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("want %q: %v after %q", want, err, trial.Steps)
		}
	}
	f("no file matches", func(*Config) {})
	if err := os.WriteFile(filepath.Join(s.Dir, "a.log"), []byte("one\ntwo\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f("", func(*Config) {})
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(s.HostKey))
	if err != nil {
		t.Fatal(err)
	}
	print := ssh.FingerprintSHA256(key)
	f("", func(c *Config) { c.HostKeys = []string{print} })
	host, port, _ := strings.Cut(s.Address, ":")
	f("", func(c *Config) { c.HostKeys, c.KnownHosts = nil, "["+host+"]:"+port+" "+s.HostKey })
	f("is not among", func(c *Config) { c.HostKeys, c.KnownHosts = nil, "elsewhere "+s.HostKey })
	f(print+", which is not known yet", func(c *Config) { c.HostKeys = nil })
	f("is not among host_keys", func(c *Config) { c.HostKeys = []string{"SHA256:" + strings.Repeat("A", 43)} })
	f("sign in as", func(c *Config) { c.KeyPEM, c.Password = "", "x" })
	f("max_files", func(c *Config) {
		c.MaxFiles = 1
		if err := os.WriteFile(filepath.Join(s.Dir, "b.log"), []byte("x\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	})
	trial, err := try(t.Context(), &cfg, collectors.Deps{})
	if err != nil || !slices.Equal(trial.Records, []string{"one", "two"}) || len(trial.Steps) != 4 {
		t.Errorf("%v %+v", err, trial)
	}
}

func TestTryFTP(t *testing.T) {
	t.Parallel()
	a := peers.NewAuthority(t)
	cert, key := a.Issue(t, t.TempDir())
	s := peers.StartVsftpd(t, cert, key)
	cfg := ftpConfig(s, FTPS)
	cfg.TLSCAPEM = a.PEM
	if err := os.WriteFile(filepath.Join(s.Dir, "a.log"), []byte("one\ntwo"), 0o644); err != nil {
		t.Fatal(err)
	}
	f := func(want string, change func(*Config)) {
		t.Helper()
		c := cfg
		change(&c)
		trial, err := try(t.Context(), &c, collectors.Deps{})
		if want == "" && (err != nil || !slices.Equal(trial.Records, []string{"one", "two"})) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("want %q: %v after %q: %q", want, err, trial.Steps, trial.Records)
		}
	}
	f("", func(*Config) {})
	f("sign in as anonymous", func(c *Config) { c.Password = "wrong" })
	f("unknown authority", func(c *Config) { c.TLSCAPEM = peers.NewAuthority(t).PEM })
	f("valid for", func(c *Config) { c.TLSServerName = "files.example" })
	f("sessions must use encryption", func(c *Config) { c.Protocol, c.TLSCAPEM = FTP, "" })
}

func TestCheck(t *testing.T) {
	t.Parallel()
	f := func(want string, change func(*Config)) {
		t.Helper()
		c := *DefaultConfig()
		c.ID, c.Address, c.Username, c.Password, c.Paths, c.HostKeys = "f", "files.example", "u", "p", []string{"/var/log/*.log"}, []string{"SHA256:" + strings.Repeat("A", 43)}
		change(&c)
		_, err := New(c, collectors.Deps{Sink: new(collecttest.Sink), Places: new(collecttest.Places)})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("want %q: %v", want, err)
		}
	}
	f("", func(*Config) {})
	f("", func(c *Config) { c.Protocol, c.HostKeys = FTP, nil })
	f("protocol is", func(c *Config) { c.Protocol = "scp" })
	f("address", func(c *Config) { c.Address = "a:b:c" })
	f("username", func(c *Config) { c.Username = "" })
	f("password or key_pem", func(c *Config) { c.Password = "" })
	f("key_pem is not", func(c *Config) { c.KeyPEM = "x" })
	f("host_keys or known_hosts", func(c *Config) { c.HostKeys = nil })
	f("host_keys[0]", func(c *Config) { c.HostKeys = []string{"MD5:00"} })
	f("known_hosts: line 1", func(c *Config) { c.KnownHosts = "nonsense" })
	f("tls_ca_pem", func(c *Config) { c.TLSCAPEM = "x" })
	f("paths: none", func(c *Config) { c.Paths = nil })
	f("paths[0]", func(c *Config) { c.Paths = []string{"../x"} })
	f("paths[0]", func(c *Config) { c.Paths = []string{"/var/[/x"} })
	f("paths[0]", func(c *Config) { c.Paths = []string{"/var/log/"} })
	f("exclude[0]", func(c *Config) { c.Exclude = []string{"["} })
	f("read is", func(c *Config) { c.Read = "x" })
	f("after is", func(c *Config) { c.After = "x" })
	f("must be complete", func(c *Config) { c.Read, c.After = Growing, Delete })
	f("move_to go together", func(c *Config) { c.After = Move })
	f("encoding", func(c *Config) { c.Encoding = "latin-1" })
	f("multiline_start", func(c *Config) { c.MultilineStart = "(" })
	f("time_zone", func(c *Config) { c.TimeZone = "Mars/Base" })
	f("max_files is", func(c *Config) { c.MaxFiles = 0 })
}
