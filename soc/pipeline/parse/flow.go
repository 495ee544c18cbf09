package parse

import (
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"icewatch/soc/event"
	"icewatch/soc/flows/communityid"
	"icewatch/soc/flows/ports"
)

// Datasets of flows. All have the same fields, whoever measured them.
const (
	DatasetNetFlow = "flow.netflow" // v5 and v9
	DatasetIPFIX   = "flow.ipfix"
	DatasetSFlow   = "flow.sflow"
	DatasetSensor  = "flow.sensor" // Zeek, Suricata
)

// Numbers of protocols that are read apart.
const (
	protoICMP   = 1
	protoICMPv6 = 58
)

// flowRecord is one flow whose parts have been found, whatever its source
// calls them. Numbers are -1 where the source does not say.
type flowRecord struct {
	dataset              string
	source, destination  string // addresses
	sourcePort, destPort int
	protocol             int
	sourceBytes          int64 // of the way from source to destination, or of both where the source does not part them
	destBytes            int64 // of the way back, of sensors
	sourcePackets        int64
	destPackets          int64
	icmpType, icmpCode   int
	sampling             int64
	start, end           int64 // Unix milliseconds; 0 where it does not say
	tcpFlags, tos        int
	vlan                 int
	sourceMAC, destMAC   string
	ingress, egress      string // numbers of interfaces
	ingressName          string
	egressName           string
	sourceAS, destAS     string
	application          string
	communityID          string
	originator           bool // the source is known to have begun
}

func newFlowRecord() flowRecord {
	return flowRecord{sourcePort: -1, destPort: -1, protocol: -1, sourceBytes: -1, destBytes: -1, sourcePackets: -1, destPackets: -1,
		icmpType: -1, icmpCode: -1, tcpFlags: -1, tos: -1, vlan: -1}
}

// flow reads a record of collectors/flow.
func (p *Parser) flow(text string) bool {
	r := newFlowRecord()
	var observer, exporter, domain, sequence string
	var initiatorBytes, responderBytes int64 = -1, -1
	it := members{s: text}
	for {
		key, value, ok := it.next()
		if !ok {
			return false
		}
		if key == "" {
			break
		}
		switch key {
		case "type":
			switch value {
			case "netflow5", "netflow9":
				r.dataset = DatasetNetFlow
			case "ipfix":
				r.dataset = DatasetIPFIX
			case "sflow":
				r.dataset = DatasetSFlow
			}
		case "exporter":
			exporter = value
		case "agent", "exporterIPv4Address", "exporterIPv6Address":
			observer = value
		case "domain":
			domain = value
		case "sequence":
			sequence = value
		case "sampling":
			r.sampling = whole(value)
		case "start":
			r.start = max(whole(value), 0)
		case "end":
			r.end = max(whole(value), 0)
		case "sourceIPv4Address", "sourceIPv6Address":
			r.source = given(r.source, value)
		case "destinationIPv4Address", "destinationIPv6Address":
			r.destination = given(r.destination, value)
		case "sourceTransportPort", "udpSourcePort", "tcpSourcePort":
			r.sourcePort = small(value)
		case "destinationTransportPort", "udpDestinationPort", "tcpDestinationPort":
			r.destPort = small(value)
		case "protocolIdentifier":
			r.protocol = small(value)
		case "octetDeltaCount", "octetTotalCount", "postOctetDeltaCount":
			r.sourceBytes = counted(r.sourceBytes, value)
		case "packetDeltaCount", "packetTotalCount", "postPacketDeltaCount":
			r.sourcePackets = counted(r.sourcePackets, value)
		case "initiatorOctets":
			initiatorBytes = whole(value)
		case "responderOctets":
			responderBytes = whole(value)
		case "initiatorPackets":
			r.sourcePackets = counted(r.sourcePackets, value)
		case "responderPackets", "reversePacketDeltaCount", "reversePacketTotalCount":
			r.destPackets = counted(r.destPackets, value)
		case "reverseOctetDeltaCount", "reverseOctetTotalCount":
			r.destBytes = counted(r.destBytes, value)
		case "icmpTypeCodeIPv4", "icmpTypeCodeIPv6":
			if n := small(value); n >= 0 && (n > 0 || r.icmpType < 0) {
				r.icmpType, r.icmpCode = n>>8, n&0xff
			}
		case "icmpTypeIPv4", "icmpTypeIPv6":
			r.icmpType = small(value)
		case "icmpCodeIPv4", "icmpCodeIPv6":
			r.icmpCode = small(value)
		case "tcpControlBits":
			r.tcpFlags = small(value)
		case "ipClassOfService":
			r.tos = small(value)
		case "vlanId", "dot1qVlanId":
			r.vlan = max(r.vlan, small(value))
		case "sourceMacAddress":
			r.sourceMAC = value
		case "destinationMacAddress", "postDestinationMacAddress":
			r.destMAC = given(r.destMAC, value)
		case "ingressInterface":
			r.ingress = value
		case "egressInterface":
			r.egress = value
		case "ingressInterfaceName":
			r.ingressName = value
		case "egressInterfaceName":
			r.egressName = value
		case "bgpSourceAsNumber":
			r.sourceAS = value
		case "bgpDestinationAsNumber":
			r.destAS = value
		case "applicationName":
			r.application = value
		}
	}
	if r.dataset == "" || exporter == "" {
		return false
	}
	if initiatorBytes >= 0 && r.sourceBytes < 0 {
		r.sourceBytes, r.destBytes, r.originator = initiatorBytes, max(responderBytes, 0), true
	}
	if (r.protocol == protoICMP || r.protocol == protoICMPv6) && r.icmpType <= 0 && r.destPort > 0 {
		// NetFlow v5, and many a v9, has type and code in the place of the port.
		r.icmpType, r.icmpCode = r.destPort>>8, r.destPort&0xff
	}
	if observer == "" || observer == "0.0.0.0" || observer == "::" {
		observer = exporter
	}
	p.put(event.ObserverIP, observer)
	if isDigits(domain) {
		p.putNumber(event.FlowExporterDomain, domain)
	}
	if isDigits(sequence) {
		p.putNumber(event.FlowExporterSequence, sequence)
	}
	p.putFlow(&r)
	return true
}

// putFlow fills the fields that all flows have.
func (p *Parser) putFlow(r *flowRecord) {
	p.put(event.EventDataset, r.dataset)
	p.put(event.EventModule, "flow")
	p.put(event.EventKind, "event")
	p.put(event.EventCategory, "network")
	p.put(event.EventType, "connection")
	p.put(event.SourceIP, r.source)
	p.put(event.DestIP, r.destination)
	p.put(event.SourceMAC, r.sourceMAC)
	p.put(event.DestMAC, r.destMAC)
	icmp := r.protocol == protoICMP || r.protocol == protoICMPv6
	if icmp {
		p.putInt(event.FlowICMPType, int64(r.icmpType))
		p.putInt(event.FlowICMPCode, int64(r.icmpCode))
	} else if r.sourcePort > 0 || r.destPort > 0 {
		p.putInt(event.SourcePort, int64(r.sourcePort))
		p.putInt(event.DestPort, int64(r.destPort))
	}
	if r.protocol >= 0 {
		number := strconv.Itoa(r.protocol)
		p.putNumber(event.NetworkIANANumber, number)
		p.put(event.NetworkTransport, transport(number))
	}
	source, _ := netip.ParseAddr(r.source)
	destination, _ := netip.ParseAddr(r.destination)
	switch {
	case source.Is4():
		p.put(event.NetworkType, "ipv4")
	case source.Is6():
		p.put(event.NetworkType, "ipv6")
	}
	id := r.communityID
	if id == "" && r.protocol >= 0 && r.protocol <= 255 {
		first, second := r.sourcePort, r.destPort
		if icmp {
			first, second = r.icmpType, r.icmpCode
		}
		id = communityid.V1(uint8(r.protocol), source, destination, uint16(max(first, 0)), uint16(max(second, 0)))
	}
	p.put(event.NetworkCommunityID, id)
	p.putRoles(r, source, destination, icmp)

	times := max(r.sampling, 1)
	sum := func(a, b int64) int64 {
		if a < 0 && b < 0 {
			return -1
		}
		return max(a, 0) + max(b, 0)
	}
	p.putInt(event.SourceBytes, r.sourceBytes)
	p.putInt(event.SourcePackets, r.sourcePackets)
	p.putInt(event.DestBytes, r.destBytes)
	p.putInt(event.DestPackets, r.destPackets)
	p.putInt(event.NetworkBytes, sum(r.sourceBytes, r.destBytes))
	p.putInt(event.NetworkPackets, sum(r.sourcePackets, r.destPackets))
	if r.sampling > 0 {
		p.putInt(event.FlowSampling, r.sampling)
	}
	p.putInt(event.FlowBytes, scaled(sum(r.sourceBytes, r.destBytes), times))
	p.putInt(event.FlowPackets, scaled(sum(r.sourcePackets, r.destPackets), times))
	p.putInt(event.FlowSourceBytes, scaled(r.sourceBytes, times))
	p.putInt(event.FlowDestBytes, scaled(r.destBytes, times))

	if r.tcpFlags > 0 {
		p.putInt(event.FlowTCPFlags, int64(r.tcpFlags))
	}
	if r.tos > 0 {
		p.putInt(event.FlowTOS, int64(r.tos))
	}
	if r.vlan > 0 {
		p.put(event.NetworkVLAN, strconv.Itoa(r.vlan))
	}
	p.put(event.ObserverIngressID, r.ingress)
	p.put(event.ObserverEgressID, r.egress)
	p.put(event.ObserverIngress, r.ingressName)
	p.put(event.ObserverEgress, r.egressName)
	if r.sourceAS != "0" {
		p.putNumber(event.SourceAS, r.sourceAS)
	}
	if r.destAS != "0" {
		p.putNumber(event.DestAS, r.destAS)
	}
	p.put(event.NetworkApplication, r.application)
	p.put(event.EventStart, p.millis(r.start))
	p.put(event.EventEnd, p.millis(r.end))
	if r.start > 0 && r.end >= r.start && r.end-r.start < math.MaxInt64/1_000_000 {
		p.putInt(event.EventDuration, (r.end-r.start)*1_000_000)
	}
}

// putRoles says who asked and who serves.
func (p *Parser) putRoles(r *flowRecord, source, destination netip.Addr, icmp bool) {
	if !source.IsValid() || !destination.IsValid() {
		return
	}
	forward := r.originator
	switch {
	case r.originator:
	case icmp:
		// Answers come from who was asked.
		forward = !(r.protocol == protoICMP && r.icmpType == 0 || r.protocol == protoICMPv6 && r.icmpType == 129)
	default:
		forward = ports.ServerIsDestination(source, uint16(max(r.sourcePort, 0)), destination, uint16(max(r.destPort, 0)))
	}
	client, server, port := r.source, r.destination, r.destPort
	if !forward {
		client, server, port = r.destination, r.source, r.sourcePort
	}
	p.put(event.ClientIP, client)
	p.put(event.ServerIP, server)
	if !icmp && port > 0 {
		p.putInt(event.ServerPort, int64(port))
	}
}

// scaled multiplies a count that is there; what would not fit is the most.
func scaled(n, times int64) int64 {
	if n > 0 && n > math.MaxInt64/times {
		return math.MaxInt64
	}
	if n < 0 {
		return -1
	}
	return n * times
}

// putInt puts a number that is not negative.
func (p *Parser) putInt(id event.FieldID, n int64) {
	if n < 0 {
		return
	}
	b := p.arena.grab(20)
	p.putNumber(id, p.arena.keep(strconv.AppendInt(b, n, 10)))
}

// millis writes Unix milliseconds as a time, "" for none or one that is no time.
func (p *Parser) millis(ms int64) string {
	if ms <= 0 || ms > 253402300799999 { // the end of the year 9999
		return ""
	}
	b := p.arena.grab(24)
	return p.arena.keep(time.UnixMilli(ms).UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z"))
}

// members walks the members of a JSON object that the suite itself wrote:
// texts and numbers, and one object within, whose members follow.
type members struct {
	s string
	i int
}

// next returns the next member; a key of "" is the end. ok is false where the
// text is not of that shape.
func (m *members) next() (key, value string, ok bool) {
	for m.i < len(m.s) && (m.s[m.i] == '{' || m.s[m.i] == ',' || m.s[m.i] == '}') {
		m.i++
	}
	if m.i >= len(m.s) {
		return "", "", m.i > 0
	}
	if key, ok = m.text(); !ok || key == "" || m.i >= len(m.s) || m.s[m.i] != ':' {
		return "", "", false
	}
	m.i++
	if m.i >= len(m.s) {
		return "", "", false
	}
	switch c := m.s[m.i]; {
	case c == '{':
		return m.next()
	case c == '"':
		value, ok = m.text()
		return key, value, ok
	}
	from := m.i
	for m.i < len(m.s) && m.s[m.i] != ',' && m.s[m.i] != '}' {
		m.i++
	}
	return key, m.s[from:m.i], m.i > from
}

// text reads a string; one with escapes is unquoted.
func (m *members) text() (string, bool) {
	if m.s[m.i] != '"' {
		return "", false
	}
	end := strings.IndexByte(m.s[m.i+1:], '"')
	if end < 0 {
		return "", false
	}
	value := m.s[m.i+1 : m.i+1+end]
	if strings.IndexByte(value, '\\') < 0 {
		m.i += end + 2
		return value, true
	}
	from := m.i
	for m.i++; m.i < len(m.s) && m.s[m.i] != '"'; m.i++ {
		if m.s[m.i] == '\\' {
			m.i++
		}
	}
	if m.i >= len(m.s) {
		return "", false
	}
	m.i++
	quoted := strings.ReplaceAll(m.s[from:m.i], `\u00`, `\x`) // JSON's escapes, as Go writes them
	value, err := strconv.Unquote(quoted)
	return value, err == nil
}

// whole reads a number of at most 63 bits, -1 where it is none.
func whole(s string) int64 {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return -1
	}
	return int64(min(n, math.MaxInt64))
}

// small reads a number of 16 bits, -1 where it is none.
func small(s string) int {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return -1
	}
	return int(n)
}

// given keeps what is there, unless it says nothing.
func given(have, value string) string {
	if have != "" && have != "0.0.0.0" && have != "::" && have != "00-00-00-00-00-00" {
		return have
	}
	return value
}

// counted keeps the first count that is not nought: an exporter may fill one
// of several elements only.
func counted(have int64, value string) int64 {
	if have > 0 {
		return have
	}
	return whole(value)
}
