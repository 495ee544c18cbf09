package syslog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/collectors"
	"icewatch/collectors/collecttest"
	"icewatch/soc/intake"
)

func startTCP(t testing.TB, sink intake.Sink, tune func(*TCPConfig)) *TCP {
	t.Helper()
	cfg := NewTCPFactory().DefaultConfig().(*TCPConfig)
	cfg.Listen = "127.0.0.1:0"
	if tune != nil {
		tune(cfg)
	}
	c, err := NewTCP(*cfg, collectors.Deps{Sink: sink, Aside: &collecttest.Aside{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, c) })
	return c
}

func startUDP(t testing.TB, sink intake.Sink) *UDP {
	t.Helper()
	cfg := NewUDPFactory().DefaultConfig().(*UDPConfig)
	cfg.Listen = "127.0.0.1:0"
	c, err := NewUDP(*cfg, collectors.Deps{Sink: sink, Aside: &collecttest.Aside{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, c) })
	return c
}

type stopper interface{ Stop(context.Context) error }

func stop(t testing.TB, c stopper) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := c.Stop(ctx); err != nil && t.Context().Err() == nil {
		t.Errorf("stop: %v", err)
	}
}

func dial(t testing.TB, addr net.Addr) net.Conn {
	t.Helper()
	c, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestTCPTakesBothFramings(t *testing.T) {
	t.Parallel()
	var sink collecttest.Sink
	c := startTCP(t, &sink, func(cfg *TCPConfig) { cfg.Tenant, cfg.Zone = "tax", "gov" })
	conn := dial(t, c.Addr())
	io.WriteString(conn, "<13>one\n7 <13>two<13>three\n")
	r := sink.Wait(t, 3)
	if got := sink.Texts(); !slices.Equal(got, []string{"<13>one", "<13>two", "<13>three"}) {
		t.Fatalf("got %q", got)
	}
	if r[0].Tenant != "tax" || r[0].Zone != "gov" || r[0].Collector != "syslog-tcp" || r[0].Format != intake.Syslog ||
		r[0].Peer.String() != "127.0.0.1" || time.Since(time.Unix(0, r[0].Received)) > time.Minute {
		t.Errorf("record %+v", r[0])
	}
	h := c.Health()
	if h.State != collectors.StateOK || h.Received != 3 || h.Bytes == 0 || h.Listen != c.Addr().String() || h.LastSeen.IsZero() {
		t.Errorf("health %+v", h)
	}
}

func TestTCPTakesALineWithinTheFlushInterval(t *testing.T) {
	t.Parallel()
	var sink collecttest.Sink
	conn := dial(t, startTCP(t, &sink, nil).Addr())
	io.WriteString(conn, "<13>first\n")
	sink.Wait(t, 1)
	start := time.Now()
	io.WriteString(conn, "<13>second\n")
	sink.Wait(t, 2)
	if took := time.Since(start); took > time.Second {
		t.Errorf("a line took %v to the sink", took)
	}
}

func TestTCPMalformed(t *testing.T) {
	t.Parallel()
	var sink collecttest.Sink
	var aside collecttest.Aside
	cfg := NewTCPFactory().DefaultConfig().(*TCPConfig)
	cfg.Listen, cfg.Tenant = "127.0.0.1:0", "tax"
	c, err := NewTCP(*cfg, collectors.Deps{Sink: &sink, Aside: &aside})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, c) })
	conn := dial(t, c.Addr())
	giant := "<13>" + strings.Repeat("0123456789", 1<<20)
	io.WriteString(conn, giant+"\n")
	io.WriteString(conn, "<13>\xff\xfe\n<13>a\x00b\n")
	fmt.Fprintf(conn, "3 <13>wrong\n")
	io.WriteString(conn, "<13>after\n")
	r := sink.Wait(t, 6)
	want := []string{"", "<13>\xff\xfe", "<13>a\x00b", "<13", ">wrong", "<13>after"}
	for i, w := range want {
		if i > 0 && string(r[i].Data) != w {
			t.Errorf("record %d is %q, want %q", i, r[i].Data, w)
		}
	}
	if len(r[0].Data) != intake.MaxData || !slices.Contains(r[0].Marks, "truncated") {
		t.Errorf("the giant has %d bytes and marks %q", len(r[0].Data), r[0].Marks)
	}
	if whole, err := aside.Get("tax", r[0].Aside); err != nil || string(whole) != giant {
		t.Errorf("the whole giant: %d bytes, %v", len(whole), err)
	}
	if !slices.Contains(r[4].Marks, "bad_framing") {
		t.Errorf("bad framing has marks %q", r[4].Marks)
	}
}

func TestTCPNULTerminatedWithoutSuccessor(t *testing.T) {
	t.Parallel()
	var sink collecttest.Sink
	conn := dial(t, startTCP(t, &sink, nil).Addr())
	io.WriteString(conn, "<13>only\x00")
	if r := sink.Wait(t, 1); string(r[0].Data) != "<13>only" {
		t.Errorf("got %q", r[0].Data)
	}
}

func TestTCPBackPressure(t *testing.T) {
	t.Parallel()
	var sink collecttest.Sink
	sink.Refuse(intake.ErrFull)
	c := startTCP(t, &sink, nil)
	conn := dial(t, c.Addr())
	line := strings.Repeat("x", 1000)
	const n = 20_000 // More than buffers and batches hold together.
	sent := make(chan error, 1)
	go func() {
		w := bytes.NewBuffer(nil)
		for i := range n {
			fmt.Fprintf(w, "<13>%d %s\n", i, line)
		}
		_, err := conn.Write(w.Bytes())
		sent <- err
	}()
	select {
	case err := <-sent:
		t.Fatalf("20 MB went into a full sink: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	for end := time.Now().Add(10 * time.Second); c.Health().State != collectors.StateError; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("health while full: %+v", c.Health())
		}
	}
	if h := c.Health(); h.Received > 10_000 {
		t.Errorf("health while full: %+v", h)
	}
	sink.Refuse(nil)
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	for i, r := range sink.Wait(t, n) {
		if want := fmt.Sprintf("<13>%d ", i); !strings.HasPrefix(string(r.Data), want) {
			t.Fatalf("record %d starts with %.20q", i, r.Data)
		}
	}
	if h := c.Health(); h.Dropped != 0 || h.State != collectors.StateOK {
		t.Errorf("health afterwards: %+v", h)
	}
}

func TestTCPStopReadsWhatHasArrived(t *testing.T) {
	t.Parallel()
	var sink collecttest.Sink
	sink.Delay(5 * time.Millisecond)
	c := startTCP(t, &sink, nil)
	const n = 5000
	var text bytes.Buffer
	for i := range n {
		fmt.Fprintf(&text, "<13>message %d\n", i)
	}
	text.WriteString("<13>unfinished")
	conn := dial(t, c.Addr())
	conn.Write(text.Bytes())
	start := time.Now()
	if err := c.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("stop took %v", took)
	}
	r := sink.Records()
	if len(r) != n+1 || !slices.Equal(r[n].Marks, []string{"partial"}) {
		t.Fatalf("%d records, the last one %+v", len(r), r[len(r)-1])
	}
	if h := c.Health(); h.State != collectors.StateOff {
		t.Errorf("state %s", h.State)
	}
}

func TestTCPStopCountsWhatItGivesUp(t *testing.T) {
	t.Parallel()
	var sink collecttest.Sink
	sink.Refuse(intake.ErrFull)
	cfg := NewTCPFactory().DefaultConfig().(*TCPConfig)
	cfg.Listen = "127.0.0.1:0"
	c, err := NewTCP(*cfg, collectors.Deps{Sink: &sink})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	conn := dial(t, c.Addr())
	io.WriteString(conn, "<13>a\n<13>b\n")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	for c.Health().Received < 2 {
		time.Sleep(time.Millisecond)
	}
	if err := c.Stop(ctx); err == nil || !strings.Contains(err.Error(), "2 messages") {
		t.Errorf("stop: %v", err)
	}
	if h := c.Health(); h.Dropped != 2 {
		t.Errorf("health %+v", h)
	}
}

func TestTCPLimitsConnections(t *testing.T) {
	t.Parallel()
	var sink collecttest.Sink
	c := startTCP(t, &sink, func(cfg *TCPConfig) { cfg.MaxConnections, cfg.IdleTimeout = 1, 200*time.Millisecond })
	first := dial(t, c.Addr())
	io.WriteString(first, "<13>a\n")
	sink.Wait(t, 1)
	second := dial(t, c.Addr())
	second.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := second.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the second connection is open: %v", err)
	}
	if h := c.Health(); h.Rejected != 1 {
		t.Errorf("health %+v", h)
	}
	first.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := first.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the idle connection: %v", err)
	}
}

func TestUDP(t *testing.T) {
	t.Parallel()
	var sink collecttest.Sink
	c := startUDP(t, &sink)
	conn := dial(t, c.Addr())
	big := "<13>" + strings.Repeat("y", 65_000)
	for _, m := range []string{"<13>one\n", "<13>two", "", big, "<13>a\x00b\xff"} {
		io.WriteString(conn, m)
	}
	sink.Wait(t, 4)
	if got := sink.Texts(); !slices.Equal(got, []string{"<13>one", "<13>two", big, "<13>a\x00b\xff"}) {
		t.Errorf("got %.200q", got)
	}
	if r := sink.Records()[0]; r.Peer.String() != "127.0.0.1" || r.Collector != "syslog-udp" {
		t.Errorf("record %+v", r)
	}
	if h := c.Health(); h.Received != 4 || h.Dropped != 0 || h.Rejected != 1 {
		t.Errorf("health %+v", h)
	}
}

// TestUDPCountsTheKernelsDrops floods a listener whose sink is full: sent must
// equal stored plus dropped.
func TestUDPCountsTheKernelsDrops(t *testing.T) {
	t.Parallel()
	var sink collecttest.Sink
	sink.Refuse(intake.ErrFull)
	cfg := NewUDPFactory().DefaultConfig().(*UDPConfig)
	cfg.Listen, cfg.ReceiveBuffer = "127.0.0.1:0", 64<<10
	c, err := NewUDP(*cfg, collectors.Deps{Sink: &sink})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	conn := dial(t, c.Addr())
	const n = 5000
	for i := range n {
		fmt.Fprintf(conn, "<13>%d %s", i, strings.Repeat("z", 1000))
	}
	sink.Refuse(nil)
	time.Sleep(200 * time.Millisecond)
	if err := c.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	h := c.Health()
	if h.Dropped == 0 {
		t.Error("nothing was dropped: the test does not test")
	}
	if stored := uint64(len(sink.Records())); stored+h.Dropped != n || stored != h.Received {
		t.Errorf("sent %d, stored %d, received %d, dropped %d", n, stored, h.Received, h.Dropped)
	}
}

func TestBadConfigurationFailsFast(t *testing.T) {
	t.Parallel()
	var sink collecttest.Sink
	f := func(tune func(*TCPConfig)) {
		t.Helper()
		cfg := NewTCPFactory().DefaultConfig().(*TCPConfig)
		tune(cfg)
		if _, err := NewTCPFactory().New(cfg, collectors.Deps{Sink: &sink}); err == nil {
			t.Errorf("%+v was accepted", cfg)
		}
	}
	f(func(c *TCPConfig) { c.ID = "" })
	f(func(c *TCPConfig) { c.Listen = "5514" })
	f(func(c *TCPConfig) { c.FlushInterval = time.Second })
	f(func(c *TCPConfig) { c.MaxConnections = 0 })
	f(func(c *TCPConfig) { c.MaxMessage = 1 << 40 })
	if _, err := NewTCPFactory().New(&UDPConfig{}, collectors.Deps{Sink: &sink}); err == nil {
		t.Error("a foreign configuration was accepted")
	}
	if _, err := NewTCPFactory().New(NewTCPFactory().DefaultConfig(), collectors.Deps{}); err == nil {
		t.Error("a missing sink was accepted")
	}
	c := startTCP(t, &sink, nil)
	cfg := NewTCPFactory().DefaultConfig().(*TCPConfig)
	cfg.Listen = c.Addr().String()
	second, err := NewTCP(*cfg, collectors.Deps{Sink: &sink})
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Start(t.Context()); err == nil {
		t.Error("an address in use was accepted")
	}
}

// peer returns the path of a program of the distribution that the test talks
// to. Where it is not installed the test is skipped, in CI it fails.
func peer(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + name)
	}
	if err != nil {
		if os.Getenv("ICEWATCH_CI") == "1" {
			t.Fatalf("%s is not installed", name)
		}
		t.Skipf("%s is not installed", name)
	}
	return path
}

func TestLogger(t *testing.T) {
	t.Parallel()
	logger := peer(t, "logger")
	var sink collecttest.Sink
	udp, tcp := startUDP(t, &sink), startTCP(t, &sink, nil)
	port := func(a net.Addr) string { _, p, _ := net.SplitHostPort(a.String()); return p }
	runs := [][]string{
		{"-n", "127.0.0.1", "-P", port(udp.Addr()), "-d", "by udp"},
		{"-n", "127.0.0.1", "-P", port(udp.Addr()), "-d", "--rfc3164", "by udp"},
		{"-n", "127.0.0.1", "-P", port(tcp.Addr()), "-T", "by tcp"},
		{"-n", "127.0.0.1", "-P", port(tcp.Addr()), "-T", "--octet-count", "by tcp"},
	}
	for i, args := range runs {
		if out, err := exec.Command(logger, args...).CombinedOutput(); err != nil {
			t.Fatalf("logger %v: %v: %s", args, err, out)
		}
		r := sink.Wait(t, i+1)[i]
		if text := string(r.Data); !strings.HasPrefix(text, "<13>") || !strings.Contains(text, args[len(args)-1]) || len(r.Marks) > 0 {
			t.Errorf("logger %v gave %q %v", args, text, r.Marks)
		}
	}
}

func TestRsyslogForwards(t *testing.T) {
	t.Parallel()
	rsyslogd := peer(t, "rsyslogd")
	for _, framing := range []string{"octet-counted", "traditional"} {
		t.Run(framing, func(t *testing.T) {
			t.Parallel()
			var sink collecttest.Sink
			c := startTCP(t, &sink, nil)
			_, port, _ := net.SplitHostPort(c.Addr().String())
			dir := t.TempDir()
			input := filepath.Join(dir, "in.log")
			conf := filepath.Join(dir, "rsyslog.conf")
			os.WriteFile(conf, fmt.Appendf(nil, `
global(workDirectory=%q)
module(load="imfile")
input(type="imfile" File=%q Tag="numbers:" ruleset="out" addMetadata="off")
ruleset(name="out") { action(type="omfwd" target="127.0.0.1" port=%q protocol="tcp" TCP_Framing=%q) }
`, dir, input, port, framing), 0o600)
			const n = 5000
			var text bytes.Buffer
			for i := range n {
				fmt.Fprintf(&text, "number %d\n", i)
			}
			os.WriteFile(input, text.Bytes(), 0o600)
			cmd := exec.Command(rsyslogd, "-n", "-f", conf, "-i", filepath.Join(dir, "pid"))
			cmd.Stderr = os.Stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
			seen := 0
			for _, r := range sink.Wait(t, n) {
				if len(r.Marks) > 0 {
					t.Fatalf("%q is marked %q", r.Data, r.Marks)
				}
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
		})
	}
}

// BenchmarkTCP measures the way from a loopback connection to the sink's call.
func BenchmarkTCP(b *testing.B) {
	sink := new(countSink)
	c := startTCP(b, sink, nil)
	msg := "<86>1 2026-11-23T10:00:00.123456+08:00 web-01 sshd 4242 - - Failed password for invalid user oracle from 203.0.113.7 port 40022 ssh2\n"
	block := strings.Repeat(msg, 500)
	conn := dial(b, c.Addr())
	b.ReportAllocs()
	b.SetBytes(int64(len(block)))
	n := uint64(0)
	for b.Loop() {
		io.WriteString(conn, block)
		n += 500
	}
	for c.Health().Received < n {
		time.Sleep(time.Millisecond)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "msg/s")
}

type countSink struct{ n int }

func (s *countSink) Append(_ context.Context, recs []intake.Record) error {
	s.n += len(recs)
	return nil
}
