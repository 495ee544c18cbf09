//go:build linux

package scanner_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"icewatch/collectors/scanner/wire"
	"icewatch/test/peers"
)

// TestBenchScanner discovers 10,000 hosts of 20 ports each, on one machine: a
// namespace to which a whole range is local. The scanner is killed again and again;
// in the end every host was found, few of them twice, and no second had more
// connects than were allowed (BENCH lines).
func TestBenchScanner(t *testing.T) {
	if os.Getenv("ICEWATCH_BENCH_SCANNER") == "" {
		t.Skip("ICEWATCH_BENCH_SCANNER is not set")
	}
	if os.Getuid() != 0 {
		peers.Missing(t, "network namespaces need root")
	}
	c := newCity(t)
	// 10.80.0.0/18 is local to the scanner's namespace: each address of it answers.
	c.must("ip", "-n", c.scanner, "route", "add", "local", "10.80.0.0/18", "dev", "lo")
	c.must("ip", "netns", "exec", c.scanner, "sysctl", "-qw", "net.ipv4.ip_local_port_range=1024 65535", "net.ipv4.tcp_max_syn_backlog=4096")
	// The counting end: SYN packets on lo of that namespace.
	counter := newInside(t, c.scanner)
	var fd int
	var err error
	counter(func() {
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, int(htons(unix.ETH_P_IP)))
		if err == nil {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 256<<20)
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
			_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 200_000})
			var i *net.Interface
			if i, err = net.InterfaceByName("lo"); err == nil {
				err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_IP), Ifindex: i.Index})
			}
		}
		for _, port := range []string{"22", "80"} {
			l, lerr := net.Listen("tcp", "0.0.0.0:"+port)
			if lerr != nil {
				err = lerr
				return
			}
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					_ = conn.Close()
				}
			}()
			t.Cleanup(func() { _ = l.Close() })
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	const packets, perHost, hosts, atOnce = 8000, 10, 10_000, 1000
	bySecond, byHost := map[int64]int{}, map[[4]byte]map[int64]int{}
	stop, end := make(chan struct{}), make(chan struct{})
	syns, lost := 0, 0
	go func() {
		defer close(end)
		buf, oob := make([]byte, 256), make([]byte, 128)
		for {
			n, control, _, from, err := unix.Recvmsg(fd, buf, oob, 0)
			if err != nil {
				select {
				case <-stop:
					if st, err := unix.GetsockoptTpacketStats(fd, unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
						lost = int(st.Drops)
					}
					return
				default:
					continue
				}
			}
			if ll, ok := from.(*unix.SockaddrLinklayer); !ok || ll.Pkttype == unix.PACKET_OUTGOING || n < 54 || buf[23] != 6 {
				continue
			}
			if tcp := buf[14+int(buf[14]&15)*4:]; tcp[13]&0x12 != 2 || buf[30] != 10 || buf[31] != 80 {
				continue
			}
			syns++
			// By the kernel's clock: this program may read late.
			now := int64(0)
			if list, err := unix.ParseSocketControlMessage(oob[:control]); err == nil && len(list) > 0 && len(list[0].Data) >= 8 {
				now = int64(binary.NativeEndian.Uint64(list[0].Data))
			}
			bySecond[now]++
			h := [4]byte(buf[30:34])
			if byHost[h] == nil {
				byHost[h] = map[int64]int{}
			}
			byHost[h][now]++
		}
	}()
	ports := []string{"21-23", "25", "53", "80", "110", "143", "443", "445", "993", "1433", "1521", "3306", "3389", "5432", "5900", "6379", "8080", "9200"}
	o := order{Dir: filepath.Join(c.dir, "scanner"), Out: filepath.Join(c.dir, "bench.jsonl"), Connect: time.Second, Run: wire.Run{ID: "BENCH", Kind: wire.KindDiscover,
		Scope:   wire.Scope{Ranges: []string{"10.80.0.0/18"}, Exclusions: []string{"10.80.63.0/24"}},
		Targets: []string{"10.80.0.0/19", "10.80.32.0/22", "10.80.36.0/23", "10.80.38.0/24", "10.80.39.0/28"}, Ports: wire.Ports{TCP: ports}, Probes: []string{wire.ProbeTCP},
		Rate: wire.Rate{Packets: packets, PerHost: perHost, Hosts: atOnce}}}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := c.file("bench.json", string(wire.Encode(o)))
	start, kills := time.Now(), 0
	for {
		cmd := exec.Command("ip", "netns", "exec", c.scanner, os.Args[0])
		cmd.Env = append(os.Environ(), orderVariable+"="+path)
		done := make(chan error, 1)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		go func() { done <- cmd.Wait() }()
		patience := 4 * time.Second
		if kills == 5 {
			patience = 5 * time.Minute
		}
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(patience):
			_ = cmd.Process.Kill() // kill -9, in the middle of whatever it does.
			<-done
			kills++
			continue
		}
		break
	}
	took := time.Since(start)
	close(stop)
	<-end
	_ = unix.Close(fd)
	found, told := map[string]int{}, 0
	var last *wire.End
	for _, r := range readResults(t, o.Out) {
		switch r.Kind {
		case wire.KindHost:
			found[r.Host.Address]++
			told++
		case wire.KindEnd:
			last = r.End
		}
	}
	if len(found) != hosts {
		t.Errorf("%d of %d hosts were found", len(found), hosts)
	}
	if last == nil || last.State != wire.EndDone || last.Progress.HostsDone != hosts || last.Progress.Found != hosts || last.Progress.ProbesDone != hosts*20 || last.Progress.ProbesTotal != hosts*20 {
		t.Errorf("the end is not honest: %+v", last)
	}
	const batch = atOnce // See Job.work.
	if twice := told - hosts; twice > kills*batch {
		t.Errorf("%d hosts were told twice after %d kills, %d at most", twice, kills, kills*batch)
	}
	if most := hosts*20 + kills*batch*20; syns > most {
		t.Errorf("%d connects, %d at most", syns, most)
	}
	most, mostHost := 0, 0
	for _, n := range bySecond {
		most = max(most, n)
	}
	for _, seconds := range byHost {
		for _, n := range seconds {
			mostHost = max(mostHost, n)
		}
	}
	// A second may hold besides what was let through before it and left late, on two
	// cores that are busy.
	if most > packets+packets/20 || mostHost > perHost+1 {
		t.Errorf("%d connects in a second, %d allowed; %d to one host, %d allowed", most, packets, mostHost, perHost)
	}
	if kills == 0 || lost > 0 {
		t.Errorf("%d kills, %d packets that the counter lost", kills, lost)
	}
	fmt.Printf("BENCH scanner.hosts_per_s %.0f\nBENCH scanner.connects_per_s %.0f\nBENCH scanner.most_connects_in_a_second %d of %d allowed\nBENCH scanner.most_to_one_host_in_a_second %d of %d allowed\nBENCH scanner.kills %d, hosts told twice %d\n",
		float64(hosts)/took.Seconds(), float64(syns)/took.Seconds(), most, packets, mostHost, perHost, kills, told-hosts)
}
