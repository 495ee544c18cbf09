package flow

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strconv"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/netsampler/goflow2/v2/decoders/sflow"
)

var errSFlowVersion = errors.New("it is not sFlow v5")

// maxSamples bounds the samples of a datagram and the records of a sample;
// agents put a handful into the 1,500 bytes of a frame.
const maxSamples = 1000

// sflow decodes one datagram of sFlow v5. Each sampled packet is a flow of its
// own; samples of counters and of dropped packets are counted, not kept.
func (d *decoder) sflow(peer netip.Addr, data []byte) error {
	word := func(at int) uint32 {
		if at+4 > len(data) {
			return 0
		}
		return binary.BigEndian.Uint32(data[at:])
	}
	if len(data) < 8 {
		return errShort
	}
	if v := word(0); v != 5 {
		return fmt.Errorf("%w: its version is %d", errSFlowVersion, v)
	}
	size := map[uint32]int{1: 4, 2: 16}[word(4)]
	if size == 0 || len(data) < 8+size+16 {
		return fmt.Errorf("%w, or its agent has no address", errShort)
	}
	agent, _ := netip.AddrFromSlice(data[8 : 8+size])
	at := 8 + size
	domain, sequence, uptime, samples := word(at), word(at+4), word(at+8), word(at+12)
	if samples > maxSamples {
		return fmt.Errorf("it says it has %d samples; %d are the most", samples, maxSamples)
	}
	return d.within(peer, func() error {
		s := d.session(sessionKey{peer: peer, agent: agent.Unmap(), domain: domain})
		s.stats.Datagrams++
		s.sequence(sequence, 1)
		// The datagram has no time but the agent's uptime: a sample is of when it came.
		h := head{sequence: sequence, uptime: int64(uptime)}
		data = data[at+16:]
		for range samples {
			if len(data) < 8 {
				return errShort
			}
			format, n := binary.BigEndian.Uint32(data), binary.BigEndian.Uint32(data[4:])
			if uint64(n) > uint64(len(data)-8) {
				return fmt.Errorf("%w: a sample says %d bytes of %d", errShort, n, len(data)-8)
			}
			body := data[8 : 8+n]
			data = data[8+n:]
			if err := d.sample(s, h, format, body); err != nil {
				s.stats.Malformed++
			}
		}
		return nil
	})
}

func (d *decoder) sample(s *session, h head, format uint32, body []byte) error {
	switch format {
	case sflow.SAMPLE_FORMAT_FLOW:
	case sflow.SAMPLE_FORMAT_EXPANDED_FLOW:
		// The library takes the number of records on trust and makes room for
		// all of them: four thousand million would end the process.
		const countAt = 40
		if len(body) < countAt+4 {
			return errShort
		}
		if n := binary.BigEndian.Uint32(body[countAt:]); n > maxSamples {
			return fmt.Errorf("it says it has %d records; %d are the most", n, maxSamples)
		}
	default:
		s.stats.Skipped++
		return nil
	}
	decoded, err := sflow.DecodeSample(&sflow.SampleHeader{Format: format, Length: uint32(len(body))}, bytes.NewBuffer(body))
	if err != nil {
		return err
	}
	switch sample := decoded.(type) {
	case sflow.FlowSample:
		// The two highest bits tell what the number is: 0 is an interface.
		d.packet(s, h, sample.SamplingRate, sample.Input>>30, sample.Input&0x3fffffff, sample.Output>>30, sample.Output&0x3fffffff, sample.Records)
	case sflow.ExpandedFlowSample:
		d.packet(s, h, sample.SamplingRate, sample.InputIfFormat, sample.InputIfValue, sample.OutputIfFormat, sample.OutputIfValue, sample.Records)
	}
	return nil
}

// Header protocols of sampled headers (sFlow v5, 5.3).
const (
	headerEthernet = 1
	headerIPv4     = 11
	headerIPv6     = 12
)

// packet writes the record of one sampled packet.
func (d *decoder) packet(s *session, h head, rate, inFormat, in, outFormat, out uint32, records []sflow.FlowRecord) {
	s.stats.Sampling = rate
	b := d.open(s, "sflow", 0, h, rate, times{})
	w := members{b: b}
	ok := false
	for i := range records {
		switch r := records[i].Data.(type) {
		case sflow.SampledHeader:
			ok = w.header(&r) || ok
		case sflow.SampledIPv4:
			ok = w.sampledIP(&r.SampledIPBase) || ok
			w.number("ipClassOfService", uint64(r.Tos))
		case sflow.SampledIPv6:
			ok = w.sampledIP(&r.SampledIPBase) || ok
		case sflow.ExtendedSwitch:
			w.number("vlanId", uint64(r.SrcVlan))
			w.number("postVlanId", uint64(r.DstVlan))
		case sflow.ExtendedRouter:
			w.address("ipNextHopIPv4Address", "ipNextHopIPv6Address", r.NextHop)
			w.number("sourceIPv4PrefixLength", uint64(r.SrcMaskLen))
			w.number("destinationIPv4PrefixLength", uint64(r.DstMaskLen))
		case sflow.ExtendedGateway:
			w.number("bgpSourceAsNumber", uint64(r.SrcAS))
			if n := len(r.ASPath); n > 0 {
				w.number("bgpDestinationAsNumber", uint64(r.ASPath[n-1]))
			}
		}
	}
	if !ok {
		s.stats.Skipped++ // Not IP: nothing to tell ends by.
		return
	}
	const inside = 0x3fffffff // from or to the switch itself
	if inFormat == 0 && in != inside {
		w.number("ingressInterface", uint64(in))
	}
	if outFormat == 0 && out != inside {
		w.number("egressInterface", uint64(out))
	}
	d.close(s, w.b, times{})
}

// members writes the members of a record's flow. Each name is written once,
// whichever part of the sample gives it first.
type members struct {
	b     []byte
	names [32]string
	n     int
}

func (w *members) key(name string) bool {
	for _, have := range w.names[:w.n] {
		if have == name {
			return false
		}
	}
	if w.n == len(w.names) {
		return false
	}
	if w.n > 0 {
		w.b = append(w.b, ',')
	}
	w.names[w.n] = name
	w.n++
	w.b = append(append(append(w.b, '"'), name...), '"', ':')
	return true
}

func (w *members) number(name string, n uint64) {
	if w.key(name) {
		w.b = strconv.AppendUint(w.b, n, 10)
	}
}

func (w *members) mac(name string, v []byte) {
	if len(v) == 6 && w.key(name) {
		w.b = appendMAC(w.b, v)
	}
}

func (w *members) address(four, six string, v []byte) bool {
	a, ok := netip.AddrFromSlice(v)
	if !ok {
		return false
	}
	name := six
	if a.Is4() {
		name = four
	}
	if w.key(name) {
		w.b = appendValue(w.b, address, v)
	}
	return true
}

func (w *members) ends(from, to []byte) bool {
	return w.address("sourceIPv4Address", "sourceIPv6Address", from) && w.address("destinationIPv4Address", "destinationIPv6Address", to)
}

func (w *members) sampledIP(r *sflow.SampledIPBase) bool {
	if !w.ends(r.SrcIP, r.DstIP) {
		return false
	}
	w.number("octetDeltaCount", uint64(r.Length))
	w.number("packetDeltaCount", 1)
	w.number("protocolIdentifier", uint64(r.Protocol))
	w.number("sourceTransportPort", uint64(r.SrcPort))
	w.number("destinationTransportPort", uint64(r.DstPort))
	w.number("tcpControlBits", uint64(r.TcpFlags))
	return true
}

// header reads the first bytes of the sampled packet, outer headers only, and
// tells whether they are of IP. What the sample cut off is left out.
func (w *members) header(r *sflow.SampledHeader) bool {
	var first gopacket.LayerType
	switch r.Protocol {
	case headerEthernet:
		first = layers.LayerTypeEthernet
	case headerIPv4:
		first = layers.LayerTypeIPv4
	case headerIPv6:
		first = layers.LayerTypeIPv6
	default:
		return false
	}
	p := gopacket.NewPacket(r.HeaderData, first, gopacket.DecodeOptions{Lazy: true, NoCopy: true})
	if eth, ok := p.Layer(layers.LayerTypeEthernet).(*layers.Ethernet); ok {
		w.mac("sourceMacAddress", eth.SrcMAC)
		w.mac("destinationMacAddress", eth.DstMAC)
	}
	if tag, ok := p.Layer(layers.LayerTypeDot1Q).(*layers.Dot1Q); ok {
		w.number("vlanId", uint64(tag.VLANIdentifier))
	}
	var protocol layers.IPProtocol
	switch ip := p.NetworkLayer().(type) {
	case *layers.IPv4:
		if !w.ends(ip.SrcIP.To4(), ip.DstIP.To4()) {
			return false
		}
		protocol = ip.Protocol
		w.number("ipClassOfService", uint64(ip.TOS))
	case *layers.IPv6:
		if !w.ends(ip.SrcIP, ip.DstIP) {
			return false
		}
		protocol = ip.NextHeader
		w.number("ipClassOfService", uint64(ip.TrafficClass))
	default:
		return false
	}
	switch t := p.TransportLayer().(type) {
	case *layers.TCP:
		protocol = layers.IPProtocolTCP // behind extension headers of IPv6, too
		w.ports(uint16(t.SrcPort), uint16(t.DstPort))
		w.number("tcpControlBits", tcpFlags(t))
	case *layers.UDP:
		protocol = layers.IPProtocolUDP
		w.ports(uint16(t.SrcPort), uint16(t.DstPort))
	case *layers.SCTP:
		protocol = layers.IPProtocolSCTP
		w.ports(uint16(t.SrcPort), uint16(t.DstPort))
	default:
		if icmp, ok := p.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4); ok {
			w.number("icmpTypeCodeIPv4", uint64(icmp.TypeCode))
		} else if icmp, ok := p.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6); ok {
			protocol = layers.IPProtocolICMPv6
			w.number("icmpTypeCodeIPv6", uint64(icmp.TypeCode))
		} else if r.HeaderData != nil && p.ErrorLayer() != nil {
			// A header cut within the transport's: the ports come first.
			if rest := transportStart(p); len(rest) >= 4 && (protocol == layers.IPProtocolTCP || protocol == layers.IPProtocolUDP) {
				w.ports(binary.BigEndian.Uint16(rest), binary.BigEndian.Uint16(rest[2:]))
			}
		}
	}
	w.number("protocolIdentifier", uint64(protocol))
	w.number("octetDeltaCount", uint64(r.FrameLength))
	w.number("packetDeltaCount", 1)
	return true
}

func transportStart(p gopacket.Packet) []byte {
	if n := p.NetworkLayer(); n != nil {
		return n.LayerPayload()
	}
	return nil
}

func (w *members) ports(from, to uint16) {
	w.number("sourceTransportPort", uint64(from))
	w.number("destinationTransportPort", uint64(to))
}

func tcpFlags(t *layers.TCP) (bits uint64) {
	for i, set := range [...]bool{t.FIN, t.SYN, t.RST, t.PSH, t.ACK, t.URG, t.ECE, t.CWR} {
		if set {
			bits |= 1 << i
		}
	}
	return bits
}
