package relp

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"icewatch/collectors"
	"icewatch/collectors/collecttest"
	"icewatch/soc/intake"
	"icewatch/test/peers"
)

func TestFrames(t *testing.T) {
	t.Parallel()
	f := func(name, data string, want ...string) {
		t.Helper()
		for _, one := range []bool{false, true} {
			var src io.Reader = strings.NewReader(data)
			if one {
				src = oneByte{src}
			}
			r := &reader{r: bufio.NewReader(src), max: 20}
			var got []string
			for {
				f, err := r.next()
				if err != nil {
					got = append(got, err.Error())
					break
				}
				got = append(got, fmt.Sprint(f.txnr, " ", f.command, " ", string(f.data), " ", f.cut))
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s (byte by byte: %v):\n got %q\nwant %q", name, one, got, want)
			}
		}
	}
	f("a session", "1 open 10 commands=a\n2 syslog 3 <1>\n3 close 0\n", "1 open commands=a false", "2 syslog <1> false", "3 close  false", "EOF")
	f("line feeds within", "1 syslog 5 a\nb\nc\n2 syslog 1 x\n", "1 syslog a\nb\nc false", "2 syslog x false", "EOF")
	f("empty data with its blank", "1 syslog 0 \n2 syslog 0\n", "1 syslog  false", "2 syslog  false", "EOF")
	f("too long", "1 syslog 25 0123456789012345678901234\n2 syslog 1 x\n", "1 syslog 01234567890123456789 true", "2 syslog x false", "EOF")
	f("cut short in the data", "1 syslog 5 abc", "unexpected EOF")
	f("cut short in the head", "1 sys", "unexpected EOF")
	f("cut short before the end", "1 syslog 3 abc", "unexpected EOF")
	f("a wrong length", "1 syslog 2 abc\n", `not a frame of RELP: frame 1 ends in 'c', not in a line feed: its length of 2 bytes is wrong`)
	f("plain syslog", "<13>hello\n", `not a frame of RELP: a number is expected, not '<'`)
	f("a web browser", "GET / HTTP/1.1\r\n", `not a frame of RELP: a number is expected, not 'G'`)
	f("no command", "1  3 abc\n", `not a frame of RELP: a command of up to 32 small letters is expected, not " "`)
	f("a long command", "1 "+strings.Repeat("a", 33)+" 0\n", `not a frame of RELP: a command of up to 32 small letters is expected, not "`+strings.Repeat("a", 33)+`"`)
	f("a long number", "1234567890 syslog 0\n", `not a frame of RELP: a number has more than 9 digits`)
	f("a giant offer", "1 open 999999 x", `not a frame of RELP: command "open" brings 999999 bytes; at most 131072 are read`)
}

// oneByte yields one byte a read.
type oneByte struct{ r io.Reader }

func (o oneByte) Read(p []byte) (int, error) { return o.r.Read(p[:min(1, len(p))]) }

// FuzzFrames sees that whatever comes is framed or refused, and never more kept
// than allowed.
func FuzzFrames(f *testing.F) {
	for _, s := range []string{"1 open 10 commands=a\n2 syslog 3 <1>\n3 close 0\n", "1 syslog 0 \n", "999999999 syslog 999999999 x", "1 syslog 25 0123456789012345678901234\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := &reader{r: bufio.NewReader(bytes.NewReader(data)), max: 64}
		total := 0
		for {
			f, err := r.next()
			if err != nil {
				return
			}
			if f.command == "syslog" && len(f.data) > 64 {
				t.Fatalf("%d bytes of a message are kept", len(f.data))
			}
			if total += len(f.data); total > len(data) {
				t.Fatal("more was read than came")
			}
			if f.command == "open" {
				_, _ = offers(f.data)
			}
		}
	})
}

func start(t testing.TB, sink intake.Sink, change func(*Config)) *Listener {
	t.Helper()
	cfg := NewFactory().DefaultConfig().(*Config)
	cfg.Listen, cfg.Tenant, cfg.Zone = "127.0.0.1:0", "e-seal", "gov"
	if change != nil {
		change(cfg)
	}
	l, err := New(*cfg, collectors.Deps{Sink: sink})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = l.Stop(ctx)
	})
	return l
}

// client is the sender's side of a session, by hand.
type client struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

func dial(t *testing.T, l *Listener) *client {
	t.Helper()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &client{t, conn, bufio.NewReader(conn)}
}

func (c *client) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, text); err != nil {
		c.t.Fatal(err)
	}
}

// want reads answers as far as text is long.
func (c *client) want(text string) {
	c.t.Helper()
	got := make([]byte, len(text))
	c.conn.SetReadDeadline(time.Now().Add(time.Minute))
	if n, err := io.ReadFull(c.r, got); err != nil || string(got) != text {
		c.t.Fatalf("the answer is %q, %v; want %q", got[:n], err, text)
	}
}

const (
	opening = "1 open 49 relp_version=0\nrelp_software=test\ncommands=syslog\n"
	opened  = "1 rsp 60 200 OK\nrelp_version=0\nrelp_software=icewatch\ncommands=syslog\n"
)

func TestSession(t *testing.T) {
	t.Parallel()
	var sink collecttest.Sink
	l := start(t, &sink, nil)
	c := dial(t, l)
	c.send(opening)
	c.want(opened)
	c.send("2 syslog 9 <13>hello\n3 syslog 8 <13>two\n\n4 syslog 0\n5 rotate 0\n6 close 0\n")
	c.want("2 rsp 6 200 OK\n3 rsp 6 200 OK\n4 rsp 6 200 OK\n5 rsp 33 500 command \"rotate\" is not known\n6 rsp 6 200 OK\n0 serverclose 0\n")
	recs := sink.Wait(t, 2)
	for i, want := range []string{"<13>hello", "<13>two"} {
		r := recs[i]
		if string(r.Data) != want || r.Tenant != "e-seal" || r.Zone != "gov" || r.Collector != "relp" || r.Peer.String() != "127.0.0.1" || r.Format != intake.Syslog || r.Received == 0 {
			t.Errorf("record %d: %+v", i, r)
		}
	}
	if h := l.Health(); h.Received != 2 || h.Bytes != 16 || h.State != collectors.StateOK || h.Kind != "relp" {
		t.Errorf("health: %+v", h)
	}
}

// An acknowledgement waits for the disk, and where that takes long the sender
// does.
func TestAcknowledgedOnceStored(t *testing.T) {
	t.Parallel()
	var sink collecttest.Sink
	sink.Refuse(intake.ErrFull)
	l := start(t, &sink, nil)
	c := dial(t, l)
	c.send(opening)
	c.want(opened)
	c.send("2 syslog 1 x\n")
	c.conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if b, err := c.r.ReadByte(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("an answer came before the message was stored: %q, %v", b, err)
	}
	sink.Refuse(nil)
	c.want("2 rsp 6 200 OK\n")
	sink.Wait(t, 1)
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct{ sent, answer string }{
		"no session":        {"1 syslog 1 x\n", "1 rsp 22 500 no session is open\n"},
		"nothing in common": {"1 open 15 commands=rotate\n", "1 rsp 62 500 the command \"syslog\" is not offered, and no other is taken\n"},
		"a future version":  {"1 open 30 relp_version=9\ncommands=syslog\n", "1 rsp 58 500 version \"9\" of the protocol is not spoken; 0 and 1 are\n"},
		"another protocol":  {"<13>hello\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := start(t, new(collecttest.Sink), nil)
			c := dial(t, l)
			c.send(x.sent)
			c.conn.SetReadDeadline(time.Now().Add(time.Minute))
			got, err := io.ReadAll(c.r)
			if string(got) != x.answer || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the answer is %q, %v; want %q and the end", got, err, x.answer)
			}
			for l.Health().Rejected != 1 {
				if t.Context().Err() != nil {
					t.Fatal("it is not counted as rejected")
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
}

// At Stop what was stored is acknowledged, and the sender is told of the end.
func TestStop(t *testing.T) {
	t.Parallel()
	var sink collecttest.Sink
	l := start(t, &sink, nil)
	c := dial(t, l)
	c.send(opening + "2 syslog 1 x\n")
	c.want(opened + "2 rsp 6 200 OK\n")
	done := make(chan error, 1)
	go func() { done <- l.Stop(context.Background()) }()
	c.want("0 serverclose 0\n")
	if _, err := c.r.ReadByte(); err != io.EOF {
		t.Errorf("after the end of the session: %v", err)
	}
	c.conn.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// What cannot be stored is not acknowledged, and Stop says how much that is.
func TestStopGivesUp(t *testing.T) {
	t.Parallel()
	var sink collecttest.Sink
	sink.Refuse(intake.ErrFull)
	l := start(t, &sink, nil)
	c := dial(t, l)
	c.send(opening)
	c.want(opened)
	c.send("2 syslog 1 x\n")
	for l.Health().State != collectors.StateError {
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := l.Stop(ctx); err == nil || !strings.Contains(err.Error(), "1 messages were not stored") {
		t.Errorf("Stop: %v", err)
	}
	if got, _ := io.ReadAll(c.r); len(got) > 0 {
		t.Errorf("it was answered with %q", got)
	}
}

// A real rsyslogd sends.
func TestRsyslog(t *testing.T) {
	t.Parallel()
	rsyslogd := peers.Program(t, "rsyslogd")
	if found, _ := filepath.Glob("/usr/lib/*/rsyslog/omrelp.so"); len(found) == 0 {
		peers.Missing(t, "rsyslog's omrelp is not installed (Debian: rsyslog-relp)")
	}
	var sink collecttest.Sink
	l := start(t, &sink, nil)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	dir := t.TempDir()
	input, conf := filepath.Join(dir, "in.log"), filepath.Join(dir, "rsyslog.conf")
	const n = 3000
	var text bytes.Buffer
	for i := range n {
		fmt.Fprintf(&text, "number %d\n", i)
	}
	if err := errors.Join(os.WriteFile(input, text.Bytes(), 0o600), os.WriteFile(conf, fmt.Appendf(nil, `
global(workDirectory=%q)
module(load="imfile")
module(load="omrelp")
input(type="imfile" File=%q Tag="numbers:" ruleset="out" addMetadata="off")
ruleset(name="out") { action(type="omrelp" target="127.0.0.1" port=%q) }
`, dir, input, port), 0o600)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(rsyslogd, "-n", "-f", conf, "-i", filepath.Join(dir, "pid"))
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	seen := 0
	for _, r := range sink.Wait(t, n) {
		if i := strings.Index(string(r.Data), "number "); i >= 0 {
			if want := fmt.Sprintf("number %d", seen); string(r.Data[i:]) != want {
				t.Fatalf("got %q, want %q", r.Data, want)
			}
			seen++
		}
	}
	if seen != n {
		t.Errorf("%d numbers of %d", seen, n)
	}
}

func TestBadConfigurationFailsFast(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*Config){
		"has no id":                 func(c *Config) { c.ID = "" },
		"must be [host]:port":       func(c *Config) { c.Listen = "2514" },
		"max_connections (0)":       func(c *Config) { c.MaxConnections = 0 },
		"between 1 KiB and 256 MiB": func(c *Config) { c.MaxMessage = 10 },
	} {
		cfg := NewFactory().DefaultConfig().(*Config)
		change(cfg)
		if _, err := New(*cfg, collectors.Deps{Sink: new(collecttest.Sink)}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want one with %q", err, want)
		}
	}
}

// BenchmarkSession measures a sender that has a window of 128 messages open, as
// rsyslog's.
func BenchmarkSession(b *testing.B) {
	l := start(b, discard{}, nil)
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	msg := "<86>1 2026-11-23T10:00:00.123456+08:00 web-01 sshd 4242 - - Failed password for invalid user oracle from 203.0.113.7 port 40022 ssh2"
	window := strings.Repeat(fmt.Sprintf("2 syslog %d %s\n", len(msg), msg), 128)
	answers := make([]byte, 128*len("2 rsp 6 200 OK\n"))
	io.WriteString(conn, opening)
	r := bufio.NewReader(conn)
	if _, err := io.ReadFull(r, make([]byte, len(opened))); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		io.WriteString(conn, window)
		if _, err := io.ReadFull(r, answers); err != nil {
			b.Fatal(err)
		}
		n += 128
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "msg/s")
}

type discard struct{}

func (discard) Append(context.Context, []intake.Record) error { return nil }
