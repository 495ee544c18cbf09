package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"icewatch/soc/intake"
	"icewatch/soc/simulate"
	"icewatch/test/bench/suite"
)

// syslogConnections send at a time.
const syslogConnections = 4

// messages are the syslog messages of the simulator's mix, one a line.
func (b *bench) syslogMessages(n int) [][]byte {
	var list [][]byte
	for _, r := range simulate.Mix(b.seed, 2*n, time.Now()) {
		if r.Format == intake.Syslog && len(list) < n {
			list = append(list, r.Data)
		}
	}
	return list
}

// send writes all messages over some connections, and returns when they are
// closed in order.
func send(address string, messages [][]byte, times int) error {
	errs := make([]error, syslogConnections)
	var wg sync.WaitGroup
	for i := range syslogConnections {
		from, to := i*len(messages)/syslogConnections, (i+1)*len(messages)/syslogConnections
		text := append(bytes.Join(messages[from:to], []byte("\n")), '\n')
		wg.Go(func() {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				errs[i] = err
				return
			}
			for range times {
				for rest := text; len(rest) > 0 && err == nil; {
					n := min(len(rest), 64<<10)
					_, err = conn.Write(rest[:n])
					rest = rest[n:]
				}
			}
			if errs[i] = err; err == nil {
				errs[i] = conn.Close()
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// syslog measures syslog over TCP until it is durable on the bus, in turn with
// rsyslog until it is in a file.
func (b *bench) syslog(ctx context.Context) error {
	if _, err := exec.LookPath(b.rsyslog); err != nil {
		return fmt.Errorf("the peer of syslog is missing: %w; Debian's package is rsyslog", err)
	}
	const distinct = 50_000
	messages := b.syslogMessages(distinct)
	times := max(1, b.messages/distinct)
	total := int64(times * len(messages))
	size := int64(0)
	for _, m := range messages {
		size += int64(len(m)) + 1
	}
	var ours, theirs []round
	for range b.rounds {
		t, err := b.startTaker("syslog_tcp", 0, true)
		if err != nil {
			return err
		}
		r, err := measure(t.process, total, func() error { return send(t.address, messages, times) }, func() bool { return t.count.Load() >= total })
		if err == nil {
			err = t.stop()
		} else {
			t.kill()
		}
		if err != nil {
			return err
		}
		if t.stored != total {
			return fmt.Errorf("of %d messages over TCP the bus holds %d", total, t.stored)
		}
		ours = append(ours, r)
		if r, err = b.rsyslogRound(messages, times, total, size*int64(times)); err != nil {
			return err
		}
		theirs = append(theirs, r)
	}
	version, _ := exec.Command(b.rsyslog, "-v").Output()
	line, _, _ := bytes.Cut(version, []byte("\n"))
	fmt.Printf("syslog: %d messages of %d bytes a round over %d connections; the peer is %s, imptcp to omfile\n", total, size/int64(len(messages)), syslogConnections, line)
	rate, cpu := tell("icewatch, durable on the bus", "messages", ours)
	peer, peerCPU := tell("rsyslog, written to a file", "messages", theirs)
	fmt.Printf("BENCH collectors.syslog_tcp %.0f msg/s\n", rate)
	fmt.Printf("BENCH collectors.syslog_tcp_core %.0f msg/s\n", 1e6/cpu)
	fmt.Printf("BENCH collectors.syslog_vs_rsyslog %.2f ratio\n", rate/peer)
	fmt.Printf("BENCH collectors.syslog_cpu_vs_rsyslog %.2f ratio\n", peerCPU/cpu)
	b.aim("syslog over TCP", rate, aimSyslog, "messages a second")
	return nil
}

// measure times what is sent until all of it was taken.
func measure(p *process, total int64, send func() error, done func() bool) (round, error) {
	before, begun := p.cpu(), time.Now()
	if err := send(); err != nil {
		return round{}, err
	}
	if err := until("taking what was sent", done); err != nil {
		return round{}, err
	}
	took := time.Since(begun).Seconds()
	return round{rate: float64(total) / took, cpu: (p.cpu() - before) * 1e6 / float64(total)}, nil
}

func (b *bench) rsyslogRound(messages [][]byte, times int, total, size int64) (round, error) {
	dir, err := b.folder("rsyslog")
	if err != nil {
		return round{}, err
	}
	address, err := suite.FreeAddress()
	if err != nil {
		return round{}, err
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return round{}, err
	}
	file, config := filepath.Join(dir, "out"), filepath.Join(dir, "rsyslog.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, `global(workDirectory=%q maxMessageSize="64k")
module(load="imptcp")
template(name="raw" type="string" string="%%rawmsg%%\n")
ruleset(name="keep") { action(type="omfile" file=%q template="raw") }
input(type="imptcp" address="127.0.0.1" port=%q ruleset="keep")
`, dir, file, port), 0o600); err != nil {
		return round{}, err
	}
	p := newProcess(b.rsyslog, "-n", "-f", config, "-i", filepath.Join(dir, "pid"))
	if err := p.start(); err != nil {
		return round{}, err
	}
	defer p.kill()
	if err := until("the start of rsyslog", func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}); err != nil {
		return round{}, err
	}
	r, err := measure(p, total, func() error { return send(address, messages, times) }, func() bool {
		info, err := os.Stat(file)
		return err == nil && info.Size() >= size
	})
	_ = os.Remove(file)
	return r, err
}
