package simulate

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"sync"
	"time"
)

// ChannelNetFlow carries flows.
const ChannelNetFlow = "netflow"

// connection is what the city's border saw of one connection.
type connection struct {
	client, server         netip.Addr
	clientPort, serverPort uint16
	protocol               uint8
	sent, answered         uint32 // bytes
	took                   time.Duration
}

var (
	signedIn = regexp.MustCompile(`from ([0-9.]+) port ([0-9]+)`)
	passed   = regexp.MustCompile(`FW-FORWARD-ACCEPT: .*SRC=([0-9.]+) DST=([0-9.]+) .*PROTO=TCP SPT=([0-9]+) DPT=([0-9]+)`)
	accessed = regexp.MustCompile(`^([0-9.]+) - \S+ \[[^\]]*\] "[^"]*" [0-9]+ ([0-9]+)`)
)

// connections are those that a message tells of, so that flows and logs are of
// one city: who signs in or reads a page has a connection, from the same
// address and port; and a page that is read makes the web server ask the
// application, and that its database.
func (c *City) connections(h *Host, app, text string, rnd *rand.Rand) (list []connection) {
	port := func(s string) uint16 {
		n, _ := strconv.ParseUint(s, 10, 16)
		return uint16(n)
	}
	add := func(client, server string, clientPort, serverPort uint16, sent, answered uint32) {
		from, err1 := netip.ParseAddr(client)
		to, err2 := netip.ParseAddr(server)
		if err1 == nil && err2 == nil && from.Is4() && to.Is4() {
			list = append(list, connection{from, to, clientPort, serverPort, 6, sent, answered, time.Duration(5+rnd.IntN(3000)) * time.Millisecond})
		}
	}
	high := func() uint16 { return uint16(32768 + rnd.IntN(28000)) }
	switch app {
	case "sshd":
		if m := signedIn.FindStringSubmatch(text); m != nil {
			add(m[1], h.Address, port(m[2]), 22, 3000+rnd.Uint32N(9000), 4000+rnd.Uint32N(60000))
		}
	case "kernel":
		if m := passed.FindStringSubmatch(text); m != nil {
			add(m[1], m[2], port(m[3]), port(m[4]), 500+rnd.Uint32N(4000), 800+rnd.Uint32N(90000))
		}
	case "nginx":
		m := accessed.FindStringSubmatch(text)
		if m == nil {
			return nil
		}
		size, _ := strconv.ParseUint(m[2], 10, 32)
		add(m[1], h.Address, high(), 443, 700+rnd.Uint32N(900), uint32(size)+4200)
		if h.System == nil || rnd.IntN(3) > 0 {
			return list // from the cache
		}
		for _, other := range c.Hosts {
			if other.System != h.System || other.Role != RoleApp {
				continue
			}
			add(h.Address, other.Address, high(), 8080, 600+rnd.Uint32N(900), uint32(size)+400)
			for _, db := range c.Hosts {
				if db.System == h.System && db.Role == RoleDB {
					add(other.Address, db.Address, high(), 5432, 300+rnd.Uint32N(700), 900+rnd.Uint32N(20000))
				}
			}
			break
		}
	}
	return list
}

// flowSender exports flows as the city's border firewall does: NetFlow v9, its
// template first and then every ten seconds, both directions of a connection
// as a flow each.
type flowSender struct {
	counters
	conn     net.Conn
	exporter netip.Addr
	domain   uint32

	mu       sync.Mutex
	started  time.Time
	waiting  []connection
	sequence uint32
	taught   time.Time // when the template was last sent
}

// The fields of the template, by NetFlow v9's numbers (RFC 3954, 8), with
// their lengths. 130 names the exporter to a collector behind a relay.
var flowTemplate = [][2]uint16{{8, 4}, {12, 4}, {7, 2}, {11, 2}, {4, 1}, {6, 1}, {1, 4}, {2, 4}, {22, 4}, {21, 4}, {10, 2}, {14, 2}, {130, 4}}

const (
	flowTemplateID  = 256
	flowsPerMessage = 24
	teachEvery      = 10 * time.Second
	wan, dmz        = 1, 2 // interfaces
)

func (s *flowSender) add(list []connection) {
	s.mu.Lock()
	s.waiting = append(s.waiting, list...)
	s.mu.Unlock()
}

// run exports until ctx ends, then what is left.
func (s *flowSender) run(ctx context.Context) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
		s.export(time.Now())
	}
}

// export sends what waits.
func (s *flowSender) export(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.waiting) > 0 {
		n := min(len(s.waiting), flowsPerMessage/2)
		msg := s.message(s.waiting[:n], now)
		s.waiting = s.waiting[n:]
		if _, err := s.conn.Write(msg); err != nil {
			s.failed.Add(int64(2 * n))
			continue
		}
		s.sent.Add(int64(2 * n))
	}
}

// message is one export packet.
func (s *flowSender) message(list []connection, now time.Time) []byte {
	uptime := func(t time.Time) uint32 { return uint32(t.Sub(s.started).Milliseconds()) }
	be := binary.BigEndian
	b := be.AppendUint16(nil, 9)
	count := 2 * len(list)
	teach := now.Sub(s.taught) >= teachEvery
	if teach {
		count++
	}
	b = be.AppendUint16(b, uint16(count))
	b = be.AppendUint32(b, uptime(now))
	b = be.AppendUint32(b, uint32(now.Unix()))
	b = be.AppendUint32(b, s.sequence)
	b = be.AppendUint32(b, s.domain)
	s.sequence++
	if teach {
		s.taught = now
		b = be.AppendUint16(b, 0)
		b = be.AppendUint16(b, uint16(8+4*len(flowTemplate)))
		b = be.AppendUint16(b, flowTemplateID)
		b = be.AppendUint16(b, uint16(len(flowTemplate)))
		for _, f := range flowTemplate {
			b = be.AppendUint16(b, f[0])
			b = be.AppendUint16(b, f[1])
		}
	}
	start := len(b)
	b = be.AppendUint16(b, flowTemplateID)
	b = be.AppendUint16(b, 0)
	exporter := s.exporter.As4()
	record := func(from, to netip.Addr, fromPort, toPort uint16, c *connection, bytes uint32, in, out uint16) {
		x, y := from.As4(), to.As4()
		b = append(b, x[:]...)
		b = append(b, y[:]...)
		b = be.AppendUint16(b, fromPort)
		b = be.AppendUint16(b, toPort)
		b = append(b, c.protocol, 0x1b) // FIN, SYN, PSH and ACK were seen
		b = be.AppendUint32(b, bytes)
		b = be.AppendUint32(b, bytes/900+3)
		b = be.AppendUint32(b, uptime(now.Add(-c.took)))
		b = be.AppendUint32(b, uptime(now))
		b = be.AppendUint16(b, in)
		b = be.AppendUint16(b, out)
		b = append(b, exporter[:]...)
	}
	for i := range list {
		c := &list[i]
		record(c.client, c.server, c.clientPort, c.serverPort, c, c.sent, wan, dmz)
		record(c.server, c.client, c.serverPort, c.clientPort, c, c.answered, dmz, wan)
	}
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	be.PutUint16(b[start+2:], uint16(len(b)-start))
	return b
}
