package parse

import (
	"math"
	"strconv"
	"time"

	"icewatch/soc/event"
)

// sensorPart is what a member of a sensor's record means to a flow.
type sensorPart uint8

const (
	_ sensorPart = iota
	partSource
	partSourcePort
	partDest
	partDestPort
	partProtocol
	partSourceBytes
	partDestBytes
	partSourcePayload // counts without headers, where there are no others
	partDestPayload
	partSourcePackets
	partDestPackets
	partStart
	partEnd
	partDuration // seconds
	partApplication
	partVLAN
	partCommunityID
	partInterface
)

// sensorNames are the members of Zeek's conn.log and of Suricata's flow records
// (https://docs.zeek.org/en/master/logs/conn.html,
// https://docs.suricata.io/en/latest/output/eve/eve-json-format.html).
var sensorNames = map[string]sensorPart{
	"id.orig_h": partSource, "id.orig_p": partSourcePort, "id.resp_h": partDest, "id.resp_p": partDestPort, "proto": partProtocol,
	"orig_ip_bytes": partSourceBytes, "resp_ip_bytes": partDestBytes, "orig_bytes": partSourcePayload, "resp_bytes": partDestPayload,
	"orig_pkts": partSourcePackets, "resp_pkts": partDestPackets, "ts": partStart, "duration": partDuration, "service": partApplication,
	"vlan": partVLAN, "community_id": partCommunityID,

	"src_ip": partSource, "src_port": partSourcePort, "dest_ip": partDest, "dest_port": partDestPort,
	"flow.bytes_toserver": partSourceBytes, "flow.bytes_toclient": partDestBytes, "flow.pkts_toserver": partSourcePackets, "flow.pkts_toclient": partDestPackets,
	"flow.start": partStart, "flow.end": partEnd, "flow.age": partDuration, "app_proto": partApplication, "in_iface": partInterface,
}

// sensorFlow turns the members of a sensor's record of a connection, which
// have just been read, into the fields that all flows have. Members that only
// the sensor has stay as they are. It tells whether this is such a record.
func (p *Parser) sensorFlow(first int) bool {
	zeek := p.ev.Has(p.names.connState) && p.ev.Has(p.names.origHost)
	suricata := !zeek && p.ev.Text(p.names.eventType) == "flow" && p.ev.Has(p.names.flowBytesToServer)
	if !zeek && !suricata || p.ev.Has(event.EventDataset) {
		return false
	}
	r := newFlowRecord()
	r.dataset, r.originator = DatasetSensor, true
	var duration float64
	sourcePayload, destPayload := int64(-1), int64(-1)
	kept := p.ev.Fields[:first]
	for _, f := range p.ev.Fields[first:] {
		v := f.Value
		switch p.names.sensor[f.ID] {
		case partSource:
			r.source = v
		case partSourcePort:
			r.sourcePort = small(v)
		case partDest:
			r.destination = v
		case partDestPort:
			r.destPort = small(v)
		case partProtocol:
			r.protocol = protocolNumber(v)
		case partSourceBytes:
			r.sourceBytes = whole(v)
		case partDestBytes:
			r.destBytes = whole(v)
		case partSourcePayload:
			sourcePayload = whole(v)
		case partDestPayload:
			destPayload = whole(v)
		case partSourcePackets:
			r.sourcePackets = whole(v)
		case partDestPackets:
			r.destPackets = whole(v)
		case partStart:
			r.start = p.timeMillis(v)
		case partEnd:
			r.end = p.timeMillis(v)
		case partDuration:
			duration, _ = strconv.ParseFloat(v, 64)
		case partApplication:
			if v != "failed" && v != "unknown" { // Suricata's words for none
				r.application = v
			}
		case partVLAN:
			r.vlan = small(v)
		case partCommunityID:
			r.communityID = v
		case partInterface:
			r.ingressName = v
		default:
			kept = append(kept, f)
		}
	}
	clear(p.ev.Fields[len(kept):])
	p.ev.Fields = kept
	p.deferred = p.deferred[:0]
	if r.sourceBytes < 0 {
		r.sourceBytes = sourcePayload
	}
	if r.destBytes < 0 {
		r.destBytes = destPayload
	}
	if r.end == 0 && r.start > 0 && duration >= 0 && duration < 1e9 {
		r.end = r.start + int64(math.Round(duration*1000))
	}
	if (r.protocol == protoICMP || r.protocol == protoICMPv6) && zeek {
		r.icmpType, r.icmpCode = r.sourcePort, r.destPort // Zeek's way to say them
	}
	p.put(event.NetworkProtocol, r.application)
	r.application = ""
	p.putFlow(&r)
	return true
}

func (p *Parser) timeMillis(s string) int64 {
	t, ok := anyTime(s, p.opts.Location, p.rec.Received)
	if !ok {
		return 0
	}
	return t / int64(time.Millisecond)
}

// protocolNumber is IANA's number of a protocol that goes by its name.
func protocolNumber(name string) int {
	switch transport(name) {
	case "tcp":
		return 6
	case "udp":
		return 17
	case "icmp":
		return protoICMP
	case "ipv6-icmp":
		return protoICMPv6
	case "sctp":
		return 132
	case "gre":
		return 47
	case "esp":
		return 50
	case "ah":
		return 51
	case "igmp":
		return 2
	}
	return -1
}
