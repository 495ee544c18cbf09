package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

var began = time.Date(2026, 11, 27, 8, 0, 0, 123_456_000, time.UTC)

// frame builds an Ethernet frame.
func frame(t testing.TB, from, to string, transport gopacket.SerializableLayer, payload []byte) []byte {
	t.Helper()
	ip := &layers.IPv4{Version: 4, TTL: 64, SrcIP: net.ParseIP(from), DstIP: net.ParseIP(to)}
	switch l := transport.(type) {
	case *layers.TCP:
		ip.Protocol = layers.IPProtocolTCP
		_ = l.SetNetworkLayerForChecksum(ip)
	case *layers.UDP:
		ip.Protocol = layers.IPProtocolUDP
		_ = l.SetNetworkLayerForChecksum(ip)
	default:
		ip.Protocol = layers.IPProtocolICMPv4
	}
	eth := &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, EthernetType: layers.EthernetTypeIPv4}
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, eth, ip, transport, gopacket.Payload(payload)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// hello is how a client begins TLS and asks for a name.
func hello(name string) []byte {
	sni := append([]byte{0, 0, 0, byte(len(name) + 5), 0, byte(len(name) + 3), 0, 0, byte(len(name))}, name...)
	body := append([]byte{3, 3}, make([]byte, 32)...)
	body = append(body, 0, 0, 2, 0x13, 1, 1, 0, 0, byte(len(sni)))
	body = append(body, sni...)
	out := append([]byte{1, 0, 0, byte(len(body))}, body...)
	return append([]byte{22, 3, 1, 0, byte(len(out))}, out...)
}

func packets(t testing.TB) [][]byte {
	dns := []byte{0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 4, 'E', 'v', 'i', 'l', 7, 'e', 'x', 'a', 'm', 'p', 'l', 'e', 0, 0, 1, 0, 1}
	arp := gopacket.NewSerializeBuffer()
	_ = gopacket.SerializeLayers(arp, gopacket.SerializeOptions{}, &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{255, 255, 255, 255, 255, 255}, EthernetType: layers.EthernetTypeARP},
		&layers.ARP{AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4, Operation: 1,
			SourceHwAddress: []byte{2, 0, 0, 0, 0, 1}, SourceProtAddress: []byte{10, 0, 0, 5}, DstHwAddress: make([]byte, 6), DstProtAddress: []byte{10, 0, 0, 1}})
	return [][]byte{
		frame(t, "10.0.0.5", "203.0.113.9", &layers.TCP{SrcPort: 40000, DstPort: 443, SYN: true}, nil),
		frame(t, "203.0.113.9", "10.0.0.5", &layers.TCP{SrcPort: 443, DstPort: 40000, SYN: true, ACK: true}, nil),
		frame(t, "10.0.0.5", "203.0.113.9", &layers.TCP{SrcPort: 40000, DstPort: 443, ACK: true}, hello("c2.example")),
		frame(t, "203.0.113.9", "10.0.0.5", &layers.TCP{SrcPort: 443, DstPort: 40000, ACK: true}, make([]byte, 900)),
		frame(t, "10.0.0.5", "10.0.0.1", &layers.UDP{SrcPort: 5353, DstPort: 53}, dns),
		frame(t, "10.0.0.5", "10.0.0.1", &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0)}, []byte("ping")),
		arp.Bytes(),
		{1, 2, 3},
	}
}

func classicFile(t testing.TB, snap int) []byte {
	var b bytes.Buffer
	w := pcapgo.NewWriter(&b)
	if err := w.WriteFileHeader(65536, layers.LinkTypeEthernet); err != nil {
		t.Fatal(err)
	}
	for n, p := range packets(t) {
		kept := p[:min(len(p), snap)]
		if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: began.Add(time.Duration(n) * time.Second), CaptureLength: len(kept), Length: len(p)}, kept); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func nextFile(t testing.TB) []byte {
	var b bytes.Buffer
	w, err := pcapgo.NewNgWriter(&b, layers.LinkTypeEthernet)
	if err != nil {
		t.Fatal(err)
	}
	for n, p := range packets(t) {
		if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: began.Add(time.Duration(n) * time.Second), CaptureLength: len(p), Length: len(p)}, p); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Both formats, as another program writes them, tell the same conversations.
func TestRead(t *testing.T) {
	t.Parallel()
	for format, data := range map[string][]byte{"pcap": classicFile(t, 1<<16), "pcapng": nextFile(t)} {
		s, err := Read(data)
		if err != nil {
			t.Fatal(format, err)
		}
		if s.Format != format || s.Packets != 8 || s.Unread != 1 || s.Fault != "" || s.Cut != 0 || !s.First.Equal(began) || !s.Last.Equal(began.Add(7*time.Second)) {
			t.Errorf("%s: %+v", format, s)
		}
		var lines []string
		for _, c := range s.Conversations {
			lines = append(lines, fmt.Sprintf("%s %s:%d %s:%d %d %d/%d %s", c.Protocol, c.A.Address, c.A.Port, c.B.Address, c.B.Port, c.Packets, c.FromA, c.FromB, strings.Join(c.Names, ",")))
		}
		want := []string{
			"tcp 10.0.0.5:40000 203.0.113.9:443 4 185/1014 c2.example",
			"udp 10.0.0.5:5353 10.0.0.1:53 1 72/0 evil.example",
			"icmp 10.0.0.5:0 10.0.0.1:0 1 60/0 ",
			"arp 10.0.0.5:0 10.0.0.1:0 1 60/0 ",
		}
		if strings.Join(lines, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s:\n%s\nwant\n%s", format, strings.Join(lines, "\n"), strings.Join(want, "\n"))
		}
	}
}

// What is cut off is said, what is no capture is refused.
func TestBroken(t *testing.T) {
	t.Parallel()
	s, err := Read(classicFile(t, 60))
	if err != nil || s.Cut != 3 || len(s.Conversations) != 4 {
		t.Errorf("packets that were not kept whole: %+v, %v", s, err)
	}
	whole := classicFile(t, 1<<16)
	for _, data := range [][]byte{whole[:len(whole)-5], nextFile(t)[:len(nextFile(t))-40]} {
		if s, err := Read(data); err != nil || s.Fault == "" || len(s.Conversations) == 0 {
			t.Errorf("a file that ends amid a packet: %+v, %v", s, err)
		}
	}
	huge := bytes.Clone(whole)
	binary.LittleEndian.PutUint32(huge[24+8:], 0xffffffff)
	for name, data := range map[string][]byte{"nothing": nil, "text": []byte("GET / HTTP/1.1"), "half a head": whole[:20], "a packet of 4 GB": huge} {
		if _, err := Read(data); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v, want %v", name, err, ErrFormat)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(classicFile(f, 1<<16))
	f.Add(classicFile(f, 40))
	f.Add(nextFile(f))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Read(data)
		if err == nil && s.Packets > len(data)/8 {
			t.Errorf("%d packets in %d bytes", s.Packets, len(data))
		}
	})
}
