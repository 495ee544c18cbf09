// Package discover finds out about one address at a time: whether it answers, which
// ports are open, and what the services on them are. All of its sockets come from
// the run's dialer, which holds them to scope and pace.
package discover

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"icewatch/collectors/scanner/scope"
	"icewatch/collectors/scanner/wire"
)

// UsualTCP and UsualUDP are the ports of a run that names none: those of services
// that are commonly found, and of those that should not be open.
var (
	UsualTCP = []string{"21-23", "25", "53", "80-82", "88", "110", "111", "135", "139", "143", "389", "443", "445", "465", "512-514", "587", "636", "873", "990", "993", "995",
		"1080", "1099", "1433", "1521", "1883", "2049", "2181", "2375", "2376", "2379", "3000", "3128", "3306", "3389", "4848", "5000", "5432", "5601", "5672", "5900", "5984",
		"6379", "6443", "7001", "7002", "8000", "8001", "8008", "8009", "8080-8090", "8161", "8443", "8848", "8888", "9000", "9042", "9090", "9092", "9200", "9300", "9443",
		"10000", "10250", "10255", "11211", "15672", "27017", "50000", "50070", "61616"}
	UsualUDP = []string{"53", "123", "137", "161", "623", "11211"}
)

// Options are what a run wants to know.
type Options struct {
	Dialer      *scope.Dialer
	TCP, UDP    []int
	Probes      []string // of wire.Probes; all where it is empty
	Credentials []wire.Credential
	Connect     time.Duration // how long a connect waits; 1.5 s where it is 0
	Answer      time.Duration // how long an answer is waited for; 2 s where it is 0
	Parallel    int           // connects to one host at once; 8 where it is 0
	// Gate is waited at before each connect and datagram to a port; nil where nothing holds back.
	Gate func(ctx context.Context) error
	// Probed is told of each connect and datagram as it is done.
	Probed func(n int)
}

func (o *Options) wants(probe string) bool {
	return len(o.Probes) == 0 || slices.Contains(o.Probes, probe)
}

// PerHost is how many probes discovery makes to an address before it identifies services.
func (o *Options) PerHost() int64 {
	var n int64
	if o.wants(wire.ProbePing) {
		n++
	}
	if o.wants(wire.ProbeTCP) {
		n += int64(len(o.TCP))
	}
	if o.wants(wire.ProbeUDP) {
		n += int64(len(o.UDP))
	}
	return n
}

func (o *Options) probed() {
	if o.Probed != nil {
		o.Probed(1)
	}
}

// Found is what is known of an address.
type Found struct {
	Host       *wire.Host // nil: nothing answered
	Services   []wire.Service
	Attributes []wire.Attribute
	Notes      []wire.Note
}

// Host finds out about an address. The error is that of ctx, or of the scope.
func (o *Options) Host(ctx context.Context, a netip.Addr) (*Found, error) {
	if err := o.Dialer.Allows(a); err != nil {
		o.Dialer.Refuse(a.String(), err.Error(), "discover")
		return nil, err
	}
	connect, answer := o.Connect, o.Answer
	if connect <= 0 {
		connect = 1500 * time.Millisecond
	}
	if answer <= 0 {
		answer = 2 * time.Second
	}
	h := &look{Options: o, a: a, connect: connect, answer: answer, out: &Found{}, host: &wire.Host{Address: a.Unmap().String()}}
	if o.wants(wire.ProbePing) {
		rtt, err := o.Dialer.Ping(ctx, a, connect)
		o.probed()
		switch {
		case err == nil:
			h.answered(wire.ProbePing, rtt)
		case errors.Is(err, scope.ErrOutside):
			return nil, err
		}
	}
	if o.wants(wire.ProbeTCP) {
		h.tcp(ctx)
	}
	if o.wants(wire.ProbeUDP) {
		h.udp(ctx)
	}
	if o.wants(wire.ProbeSNMP) {
		h.snmp(ctx)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(h.host.Found) == 0 {
		return h.out, nil
	}
	h.host.MAC = neighbour(a)
	slices.SortFunc(h.out.Services, func(x, y wire.Service) int {
		if c := strings.Compare(x.Protocol, y.Protocol); c != 0 {
			return c
		}
		return x.Port - y.Port
	})
	for i := range h.out.Services {
		guessOS(h.host, &h.out.Services[i])
	}
	h.out.Host = h.host
	return h.out, nil
}

// look is one address being looked at.
type look struct {
	*Options
	a               netip.Addr
	connect, answer time.Duration

	mu   sync.Mutex
	host *wire.Host
	out  *Found
}

func (h *look) answered(probe string, rtt time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !slices.Contains(h.host.Found, probe) {
		h.host.Found = append(h.host.Found, probe)
	}
	ms := float64(rtt.Microseconds()) / 1000
	if rtt > 0 && (h.host.RTT == 0 || ms < h.host.RTT) {
		h.host.RTT = ms
	}
}

func (h *look) service(s wire.Service) {
	s.Address = h.host.Address
	s.Banner = clean(s.Banner, wire.MaxBanner)
	s.CPE = cpe(&s)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.out.Services = append(h.out.Services, s)
}

// tcp connects to the ports and identifies what is open.
func (h *look) tcp(ctx context.Context) {
	parallel := h.Parallel
	if parallel <= 0 {
		parallel = 8
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(parallel, len(h.TCP)) {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(h.TCP) {
					return
				}
				if h.Gate != nil && h.Gate(ctx) != nil {
					return // ctx ended, which Host tells.
				}
				h.port(ctx, h.TCP[i])
			}
		})
	}
	wg.Wait()
}

func (h *look) port(ctx context.Context, port int) {
	c, err := h.Dialer.Dial(ctx, "tcp", net.JoinHostPort(h.a.String(), strconv.Itoa(port)))
	h.probed()
	if err != nil {
		if errors.Is(err, syscall.ECONNREFUSED) {
			h.answered(wire.ProbeTCP, 0) // A host is there that says no.
		}
		return
	}
	h.answered(wire.ProbeTCP, 0)
	s := wire.Service{Port: port, Protocol: "tcp"}
	if h.wants(wire.ProbeBanner) {
		h.identify(ctx, c, &s)
	}
	reset(c)
	h.service(s)
}

// reset closes a connection without leaving it behind in the host's tables.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}

// clean makes text of what a service said: printable, at most n bytes.
func clean(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r < ' ' || r == 0x7f || r == 0xfffd || r >= 0x80 && r < 0xa0:
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "")
	}
	return strings.TrimSpace(s)
}

// neighbour is the hardware address that the kernel knows of an address on its own links.
func neighbour(a netip.Addr) string {
	f, err := os.Open("/proc/net/arp")
	if err != nil {
		return "" // Not this system.
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if f := strings.Fields(lines.Text()); len(f) >= 4 && f[0] == a.String() && f[3] != "00:00:00:00:00:00" {
			return f[3]
		}
	}
	return ""
}

// guessOS takes an operating system from what a service says of itself.
func guessOS(h *wire.Host, s *wire.Service) {
	if h.OS != "" {
		return
	}
	from, text := "", s.Banner
	switch {
	case s.Name == "ssh":
		from = "ssh-banner"
	case s.HTTP != nil:
		from, text = "http", s.HTTP.Server
	case s.Name == "snmp":
		from = "snmp"
	default:
		return
	}
	for _, known := range []struct{ sign, os string }{
		{"deb13", "Debian GNU/Linux 13"}, {"deb12", "Debian GNU/Linux 12"}, {"deb11", "Debian GNU/Linux 11"}, {"deb10", "Debian GNU/Linux 10"}, {"Debian", "Debian GNU/Linux"},
		{"Ubuntu", "Ubuntu"}, {"FreeBSD", "FreeBSD"}, {"openEuler", "openEuler"}, {"Kylin", "Kylin"}, {"CentOS", "CentOS"}, {"Red Hat", "Red Hat Enterprise Linux"},
		{"for_Windows", "Windows"}, {"Microsoft-IIS", "Windows"}, {"Windows", "Windows"}, {"Huawei", "Huawei VRP"}, {"H3C", "H3C Comware"}, {"Cisco IOS", "Cisco IOS"}, {"Linux", "Linux"},
	} {
		if strings.Contains(text, known.sign) {
			h.OS, h.OSFrom = known.os, from
			return
		}
	}
}
