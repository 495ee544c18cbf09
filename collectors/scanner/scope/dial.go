package scope

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/time/rate"
)

// Dialer opens the sockets of one run: within the scope, at the run's pace.
type Dialer struct {
	*Scope
	Pace    *Pace
	Timeout time.Duration // of a connect; 5 s where it is 0

	mu    sync.RWMutex
	names map[string][]netip.Addr
}

// NewDialer makes the dialer of a run.
func NewDialer(s *Scope, p *Pace, timeout time.Duration) *Dialer {
	if timeout <= 0 {
		timeout = 5 * time.Second
	}
	return &Dialer{Scope: s, Pace: p, Timeout: timeout, names: map[string][]netip.Addr{}}
}

// Pin lets a name be dialled, by addresses that were judged.
func (d *Dialer) Pin(name string, addrs []netip.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.names[name] = addrs
}

// Net is a net.Dialer that a library may have: its sockets are held to the scope
// whatever the library resolves. It does not wait for the pace.
func (d *Dialer) Net(by string) *net.Dialer {
	return &net.Dialer{Timeout: d.Timeout, KeepAlive: -1, Control: d.Control(by), FallbackDelay: -1}
}

// Dial opens a socket to host:port of tcp or udp. It looks no name up: a name
// that was not pinned is refused.
func (d *Dialer) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return d.DialBy(ctx, "scanner", network, address)
}

// DialBy is Dial for one that is named in refusals.
func (d *Dialer) DialBy(ctx context.Context, by, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		d.mu.RLock()
		pinned := d.names[host]
		d.mu.RUnlock()
		if len(pinned) == 0 {
			d.Refuse(address, "the name was no target", by)
			return nil, fmt.Errorf("%w: the name %q was no target", ErrOutside, host)
		}
		a = pinned[0]
	}
	a = a.Unmap()
	if err := d.Allows(a); err != nil {
		d.Refuse(address, err.Error(), by)
		return nil, err
	}
	if d.Pace != nil {
		if err := d.Pace.Wait(ctx, a); err != nil {
			return nil, err
		}
	}
	return d.Net(by).DialContext(ctx, network, net.JoinHostPort(a.String(), port))
}

// ErrNoPing says that this process may not send ICMP.
var ErrNoPing = errors.New("ICMP needs root or CAP_NET_RAW")

// Ping sends one ICMP echo and waits for its answer.
func (d *Dialer) Ping(ctx context.Context, a netip.Addr, timeout time.Duration) (time.Duration, error) {
	a = a.Unmap()
	if err := d.Allows(a); err != nil {
		d.Refuse(a.String(), err.Error(), "ping")
		return 0, err
	}
	if d.Pace != nil {
		if err := d.Pace.Wait(ctx, a); err != nil {
			return 0, err
		}
	}
	network, kind, reply, proto := "ip4:icmp", icmp.Type(ipv4.ICMPTypeEcho), icmp.Type(ipv4.ICMPTypeEchoReply), 1
	if a.Is6() {
		network, kind, reply, proto = "ip6:ipv6-icmp", ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply, 58
	}
	c, err := d.Net("ping").DialContext(ctx, network, a.String())
	if err != nil {
		if errors.Is(err, ErrOutside) {
			return 0, err
		}
		var op *net.OpError
		if errors.As(err, &op) && op.Op == "dial" && isPermission(err) {
			return 0, ErrNoPing
		}
		return 0, err
	}
	defer c.Close()
	id, seq := int(pingID()), 1
	m := icmp.Message{Type: kind, Body: &icmp.Echo{ID: id, Seq: seq, Data: []byte("icewatch")}}
	b, err := m.Marshal(nil)
	if err != nil {
		return 0, err
	}
	start := time.Now()
	if err := c.SetDeadline(start.Add(timeout)); err != nil {
		return 0, err
	}
	if _, err := c.Write(b); err != nil {
		return 0, err
	}
	buf := make([]byte, 1500)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return 0, err
		}
		packet := buf[:n]
		if a.Is4() && n > 20 && packet[0]>>4 == 4 { // A raw socket of IPv4 is read with its header.
			packet = packet[min(n, int(packet[0]&15)*4):]
		}
		in, err := icmp.ParseMessage(proto, packet)
		if err != nil {
			continue
		}
		if e, ok := in.Body.(*icmp.Echo); ok && in.Type == reply && e.ID == id && e.Seq == seq {
			return time.Since(start), nil
		}
	}
}

// Pace keeps a run's sockets to its rates. One at a time waits for the next packet of
// the run, and one for that of each address, so that a machine which is late has
// no crowd that makes up for it at once.
type Pace struct {
	whole   *turn
	perHost int
	sent    atomic.Int64

	mu    sync.Mutex
	hosts map[netip.Addr]*turn
}

// turn lets through one after another.
type turn struct {
	*rate.Limiter
	one chan struct{}
}

// newTurn lets no second hold more than perSecond, its burst of a twentieth (one at least) among them.
func newTurn(perSecond int) *turn {
	burst := max(1, perSecond/20)
	return &turn{rate.NewLimiter(rate.Limit(perSecond-burst+1), burst), make(chan struct{}, 1)}
}

func (t *turn) take(ctx context.Context) error {
	select {
	case t.one <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := t.Wait(ctx); err != nil {
		<-t.one
		return err
	}
	return nil
}

func (t *turn) give() { <-t.one }

// NewPace allows packets in any second in all and perHost to one address. Bursts are
// a twentieth of them, one at least, and count among them.
func NewPace(packets, perHost int) *Pace {
	p := &Pace{whole: newTurn(packets), perHost: perHost, hosts: map[netip.Addr]*turn{}}
	p.whole.AllowN(time.Now(), p.whole.Burst()) // It begins without a burst: a scanner that was killed has no second one in the same second.
	return p
}

// maxHosts bounds the addresses that the pace remembers.
const maxHosts = 8192

// Wait waits until one more packet may go to an address.
func (p *Pace) Wait(ctx context.Context, a netip.Addr) error {
	p.mu.Lock()
	t := p.hosts[a]
	if t == nil {
		if len(p.hosts) >= maxHosts {
			for k, t := range p.hosts {
				if len(t.one) == 0 && t.Tokens() >= float64(t.Burst()) { // Its pause is over: it loses nothing.
					delete(p.hosts, k)
				}
			}
		}
		t = newTurn(p.perHost)
		p.hosts[a] = t
	}
	p.mu.Unlock()
	if err := t.take(ctx); err != nil {
		return err
	}
	defer t.give()
	if err := p.whole.take(ctx); err != nil {
		return err
	}
	defer p.whole.give()
	p.sent.Add(1)
	return nil
}

// Sent is how many packets were allowed.
func (p *Pace) Sent() int64 { return p.sent.Load() }

// Read reads what a socket says within a time, at most n bytes of it.
func Read(c net.Conn, n int, timeout time.Duration) []byte {
	_ = c.SetReadDeadline(time.Now().Add(timeout))
	buf := make([]byte, n)
	got, _ := c.Read(buf)
	return buf[:got]
}

var pingCount struct {
	sync.Mutex
	n uint32
}

func pingID() uint16 {
	pingCount.Lock()
	defer pingCount.Unlock()
	pingCount.n++
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], pingCount.n*2654435761) // Spread, so that two pings of two processes seldom meet.
	return binary.BigEndian.Uint16(b[:2])
}
