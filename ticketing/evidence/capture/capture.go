// Package capture tells what is in a packet capture that is kept as evidence: who
// talked to whom, when, how much and in which protocol. It reads pcap and pcapng
// from memory, takes nothing for granted that a file says of itself, and keeps no
// more than the conversations that it lists.
package capture

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// Most conversations that are told apart in one capture; the packets of further
// ones are counted.
const maxConversations = 20_000

// PacketEnd is one side of a conversation: an address with a port where the protocol has
// ports, or the address of a network card.
type PacketEnd struct {
	Address string `json:"address"`
	Port    int    `json:"port,omitempty"`
}

// PacketConversation is what two ends said to each other in one protocol. A is who was
// seen to speak first.
type PacketConversation struct {
	Protocol string    `json:"protocol" doc:"tcp, udp, icmp, sctp, arp, …"`
	A        PacketEnd `json:"a"`
	B        PacketEnd `json:"b"`
	Packets  int       `json:"packets"`
	FromA    int64     `json:"bytes_from_a" doc:"On the wire"`
	FromB    int64     `json:"bytes_from_b" doc:"On the wire"`
	First    time.Time `json:"first" doc:"Of its packets; the year 1 where the file does not say"`
	Last     time.Time `json:"last"`
	Names    []string  `json:"names,omitempty" doc:"Asked for by DNS, or named when TLS began; 5 at most"`
}

// PacketSummary is what is in a capture.
type PacketSummary struct {
	Format        string               `json:"format" enum:"pcap,pcapng"`
	Packets       int                  `json:"packets"`
	Bytes         int64                `json:"bytes" doc:"On the wire"`
	First         time.Time            `json:"first"`
	Last          time.Time            `json:"last"`
	Conversations []PacketConversation `json:"conversations" nullable:"false"`
	Others        int                  `json:"others,omitempty" doc:"Packets of conversations beyond those that are told apart"`
	Unread        int                  `json:"unread,omitempty" doc:"Packets of which no two ends can be read"`
	Cut           int                  `json:"cut,omitempty" doc:"Packets that the capture did not keep whole"`
	Fault         string               `json:"fault,omitempty" doc:"Where the file is broken; what came before it counts"`
}

// maxNames is how many names a conversation keeps.
const maxNames = 5

type key struct {
	protocol string
	a, b     PacketEnd
}

// Read tells what is in a capture, the conversations with most bytes first. The
// error wraps ErrFormat.
func Read(data []byte) (PacketSummary, error) {
	var s PacketSummary
	at := map[key]int{}
	var err, wrong error
	s.Format, wrong, err = each(data, func(p packet) {
		s.Packets++
		s.Bytes += int64(p.length)
		if len(p.data) < p.length {
			s.Cut++
		}
		s.First, s.Last = widen(s.First, s.Last, p.at)
		from, to, protocol, names, ok := ends(p)
		if !ok {
			s.Unread++
			return
		}
		k := key{protocol, from, to}
		n, known := at[k]
		back := false
		if !known {
			n, back = at[key{protocol, to, from}]
			known = back
		}
		if !known {
			if len(s.Conversations) >= maxConversations {
				s.Others++
				return
			}
			n = len(s.Conversations)
			at[k] = n
			s.Conversations = append(s.Conversations, PacketConversation{Protocol: protocol, A: from, B: to})
		}
		c := &s.Conversations[n]
		c.Packets++
		if back {
			c.FromB += int64(p.length)
		} else {
			c.FromA += int64(p.length)
		}
		c.First, c.Last = widen(c.First, c.Last, p.at)
		for _, name := range names {
			if len(c.Names) < maxNames && !slices.Contains(c.Names, name) {
				c.Names = append(c.Names, name)
			}
		}
	})
	if err != nil {
		return PacketSummary{}, err
	}
	if wrong != nil {
		if s.Packets == 0 {
			return PacketSummary{}, fmt.Errorf("%w: %w", ErrFormat, wrong)
		}
		s.Fault = wrong.Error()
	}
	if s.Conversations == nil {
		s.Conversations = []PacketConversation{}
	}
	slices.SortStableFunc(s.Conversations, func(a, b PacketConversation) int {
		return cmp.Or(cmp.Compare(b.FromA+b.FromB, a.FromA+a.FromB), a.First.Compare(b.First))
	})
	return s, nil
}

func widen(first, last, at time.Time) (time.Time, time.Time) {
	if at.IsZero() {
		return first, last
	}
	if first.IsZero() || at.Before(first) {
		first = at
	}
	if at.After(last) {
		last = at
	}
	return first, last
}

// ends reads who sent a packet to whom and in which protocol, the highest below
// the application's that has an address.
func ends(p packet) (from, to PacketEnd, protocol string, names []string, ok bool) {
	// It is decoded as far as it is asked, and bad packets end it without a panic.
	pkt := gopacket.NewPacket(p.data, p.link, gopacket.DecodeOptions{Lazy: true, NoCopy: true})
	if n := pkt.NetworkLayer(); n != nil {
		src, dst := n.NetworkFlow().Endpoints()
		from.Address, to.Address = address(src), address(dst)
		protocol = "ip"
		switch n := n.(type) {
		case *layers.IPv4:
			protocol = lower(n.Protocol)
		case *layers.IPv6:
			protocol = lower(n.NextHeader)
		}
		switch t := pkt.TransportLayer().(type) {
		case *layers.TCP:
			protocol, from.Port, to.Port = "tcp", int(t.SrcPort), int(t.DstPort)
			if name := serverName(t.Payload); name != "" {
				names = []string{name}
			}
		case *layers.UDP:
			protocol, from.Port, to.Port = "udp", int(t.SrcPort), int(t.DstPort)
			if t.SrcPort == 53 || t.DstPort == 53 {
				names = questions(t.Payload)
			}
		case *layers.SCTP:
			protocol, from.Port, to.Port = "sctp", int(t.SrcPort), int(t.DstPort)
		}
		return from, to, protocol, names, from.Address != "" && to.Address != ""
	}
	if l := pkt.Layer(layers.LayerTypeARP); l != nil {
		arp := l.(*layers.ARP)
		a, okA := netip.AddrFromSlice(arp.SourceProtAddress)
		b, okB := netip.AddrFromSlice(arp.DstProtAddress)
		return PacketEnd{Address: a.String()}, PacketEnd{Address: b.String()}, "arp", nil, okA && okB
	}
	if l := pkt.LinkLayer(); l != nil {
		src, dst := l.LinkFlow().Endpoints()
		return PacketEnd{Address: src.String()}, PacketEnd{Address: dst.String()}, "link", nil, len(src.Raw()) > 0 && len(dst.Raw()) > 0
	}
	return from, to, "", nil, false
}

func address(e gopacket.Endpoint) string {
	if a, ok := netip.AddrFromSlice(e.Raw()); ok {
		return a.Unmap().String()
	}
	return ""
}

func lower(p layers.IPProtocol) string {
	switch p {
	case layers.IPProtocolICMPv4:
		return "icmp"
	case layers.IPProtocolICMPv6:
		return "icmp6"
	case layers.IPProtocolTCP:
		return "tcp"
	case layers.IPProtocolUDP:
		return "udp"
	case layers.IPProtocolSCTP:
		return "sctp"
	case layers.IPProtocolGRE:
		return "gre"
	case layers.IPProtocolESP:
		return "esp"
	case layers.IPProtocolIGMP:
		return "igmp"
	}
	return fmt.Sprintf("ip-%d", uint8(p))
}
