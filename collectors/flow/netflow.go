package flow

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"strconv"

	"github.com/netsampler/goflow2/v2/decoders/netflow"
	"github.com/netsampler/goflow2/v2/decoders/netflowlegacy"
)

// netflow decodes one datagram of NetFlow v5, v9 or IPFIX.
func (d *decoder) netflow(peer netip.Addr, data []byte) error {
	if len(data) < 2 {
		return errShort
	}
	return d.within(peer, func() error {
		switch v := binary.BigEndian.Uint16(data); v {
		case 5:
			return d.v5(peer, data)
		case 9:
			return d.v9(peer, data)
		case 10:
			return d.ipfix(peer, data)
		default:
			return fmt.Errorf("%w: its version is %d", errVersion, v)
		}
	})
}

// v5 decodes NetFlow v5, whose records are always the same.
func (d *decoder) v5(peer netip.Addr, data []byte) error {
	const header, size = 24, 48
	if len(data) < header {
		return errShort
	}
	// A count beyond the datagram's end would make the library return records
	// of zeros.
	if n := int(binary.BigEndian.Uint16(data[2:])); n*size > len(data)-header {
		return fmt.Errorf("%w: it says %d records and holds %d", errShort, n, (len(data)-header)/size)
	}
	var p netflowlegacy.PacketNetFlowV5
	if err := netflowlegacy.DecodeMessageVersion(bytes.NewBuffer(data), &p); err != nil {
		return err
	}
	s := d.session(sessionKey{peer: peer, version: 5, domain: uint32(p.EngineType)<<8 | uint32(p.EngineId)})
	s.stats.Datagrams++
	s.sequence(p.FlowSequence, uint32(p.Count))
	// The two highest bits tell how it is sampled.
	if s.sampling = uint32(p.SamplingInterval & 0x3fff); s.sampling > 1 {
		s.stats.Sampling = s.sampling
	}
	h := head{exported: int64(p.UnixSecs)*1000 + int64(p.UnixNSecs)/1e6, uptime: int64(p.SysUptime), sequence: p.FlowSequence}
	for i := range p.Records {
		r := &p.Records[i]
		t := times{start: h.sysUpTime(r.First), end: h.sysUpTime(r.Last)}
		b := d.open(s, "netflow5", 0, h, s.sampling, t)
		b = append(b, `"sourceIPv4Address":"`...)
		b = ipv4(r.SrcAddr).AppendTo(b)
		b = append(b, `","destinationIPv4Address":"`...)
		b = ipv4(r.DstAddr).AppendTo(b)
		b = append(b, `","ipNextHopIPv4Address":"`...)
		b = ipv4(r.NextHop).AppendTo(b)
		b = append(b, '"')
		for _, f := range [...]struct {
			name  string
			value uint64
		}{
			{"ingressInterface", uint64(r.Input)}, {"egressInterface", uint64(r.Output)}, {"packetDeltaCount", uint64(r.DPkts)},
			{"octetDeltaCount", uint64(r.DOctets)}, {"sourceTransportPort", uint64(r.SrcPort)}, {"destinationTransportPort", uint64(r.DstPort)},
			{"tcpControlBits", uint64(r.TCPFlags)}, {"protocolIdentifier", uint64(r.Proto)}, {"ipClassOfService", uint64(r.Tos)},
			{"bgpSourceAsNumber", uint64(r.SrcAS)}, {"bgpDestinationAsNumber", uint64(r.DstAS)},
			{"sourceIPv4PrefixLength", uint64(r.SrcMask)}, {"destinationIPv4PrefixLength", uint64(r.DstMask)},
		} {
			b = append(append(append(b, `,"`...), f.name...), `":`...)
			b = strconv.AppendUint(b, f.value, 10)
		}
		d.close(s, b, t)
	}
	return nil
}

func ipv4(a netflowlegacy.IPAddress) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)})
}

func (d *decoder) v9(peer netip.Addr, data []byte) error {
	const header = 20
	if len(data) < header {
		return errShort
	}
	s := d.session(sessionKey{peer: peer, version: 9, domain: binary.BigEndian.Uint32(data[16:])})
	s.stats.Datagrams++
	h := head{exported: int64(binary.BigEndian.Uint32(data[8:])) * 1000, uptime: int64(binary.BigEndian.Uint32(data[4:])), sequence: binary.BigEndian.Uint32(data[12:])}
	s.sequence(h.sequence, 1)
	_, err := d.sets(s, h, data[header:])
	return err
}

func (d *decoder) ipfix(peer netip.Addr, data []byte) error {
	const header = 16
	if len(data) < header {
		return errShort
	}
	if n := int(binary.BigEndian.Uint16(data[2:])); n < header || n > len(data) {
		return fmt.Errorf("%w: it says %d bytes and has %d", errShort, n, len(data))
	} else {
		data = data[:n]
	}
	s := d.session(sessionKey{peer: peer, version: 10, domain: binary.BigEndian.Uint32(data[12:])})
	s.stats.Datagrams++
	h := head{exported: int64(binary.BigEndian.Uint32(data[4:])) * 1000, uptime: -1, sequence: binary.BigEndian.Uint32(data[8:])}
	n, err := d.sets(s, h, data[header:])
	if n < 0 || err != nil {
		// The number counts data records, and how many these are is not known.
		s.sequenced = false
	} else {
		s.sequence(h.sequence, uint32(n))
	}
	return err
}

// sets works the sets of a message and returns how many data records they
// hold, or -1 where one of them has no template yet. The first that is
// malformed ends it.
func (d *decoder) sets(s *session, h head, data []byte) (records int, err error) {
	for len(data) >= 4 {
		id, size := binary.BigEndian.Uint16(data), int(binary.BigEndian.Uint16(data[2:]))
		if size < 4 || size > len(data) {
			return records, fmt.Errorf("%w: a set says %d bytes of %d", errShort, size, len(data))
		}
		body := data[4:size]
		data = data[size:]
		switch {
		case id >= 256:
			n, ok := d.dataSet(s, h, id, body)
			if !ok {
				d.wait(s, h, id, body)
				records = -1
			} else if records >= 0 {
				records += n
			}
		case s.key.version == 9 && id == 0, s.key.version == 10 && id == 2:
			list, err := netflow.DecodeTemplateSet(s.key.version, bytes.NewBuffer(body))
			for _, t := range list {
				d.learn(s, t.TemplateId, &template{Fields: t.Fields})
			}
			if err != nil {
				return records, err
			}
		case s.key.version == 9 && id == 1:
			list, err := netflow.DecodeNFv9OptionsTemplateSet(bytes.NewBuffer(body))
			for _, t := range list {
				d.learn(s, t.TemplateId, &template{Fields: append(t.Scopes, t.Options...), Scopes: len(t.Scopes), Option: true})
			}
			// What is left of padding after the last one looks like the
			// beginning of another.
			if err != nil && len(list) == 0 {
				return records, err
			}
		case s.key.version == 10 && id == 3:
			list, err := netflow.DecodeIPFIXOptionsTemplateSet(bytes.NewBuffer(body))
			for _, t := range list {
				d.learn(s, t.TemplateId, &template{Fields: append(t.Scopes, t.Options...), Scopes: len(t.Scopes), Option: true})
			}
			if err != nil && len(list) == 0 {
				return records, err
			}
		default:
			return records, fmt.Errorf("a set has the reserved number %d", id)
		}
	}
	return records, nil
}

// dataSet decodes the records of one data set; ok is false where its template
// is not known. The records are read here and not by the library, whose loop
// does not end where a template's fields are all of no length, and which
// allocates for each field.
func (d *decoder) dataSet(s *session, h head, id uint16, body []byte) (n int, ok bool) {
	t := s.templates[id]
	if t == nil {
		return 0, false
	}
	var values [maxFields][]byte
	for len(body) >= t.least {
		rest, ok := t.cut(body, values[:len(t.columns)], s.key.version)
		if !ok {
			s.stats.Malformed++
			break
		}
		body = rest
		n++
		if t.Option {
			d.option(s, t, values[:len(t.columns)])
		} else {
			d.flow(s, h, id, t, values[:len(t.columns)])
		}
	}
	return n, true
}

// option learns from a record of options: rates of sampling and names of
// interfaces.
func (d *decoder) option(s *session, t *template, values [][]byte) {
	var sampler, ifIndex, interval, space uint64
	var named, ifNamed bool
	var rate uint64
	var ifName string
	for i := range t.columns {
		v := values[i]
		if t.columns[i].kind == number && len(v) > 8 {
			continue
		}
		switch t.columns[i].id {
		case ieSamplerID, ieSelectorID:
			sampler, named = unsigned(v), true
		case ieSamplingInterval, ieSamplerRandom:
			rate = unsigned(v)
		case iePacketInterval:
			interval = unsigned(v)
		case iePacketSpace:
			space = unsigned(v)
		case ieSamplingProb:
			if p, ok := floating(v); ok && p > 0 && p <= 1 {
				rate = uint64(math.Round(1 / p))
			}
		case ieInputSNMP, ieOutputSNMP:
			ifIndex, ifNamed = unsigned(v), true
		case ieInterfaceName:
			ifName = string(bytes.TrimRight(v, "\x00"))
		case ieInterfaceDesc:
			if ifName == "" {
				ifName = string(bytes.TrimRight(v, "\x00"))
			}
		}
	}
	if r := samplingRate(interval, space); r > 0 {
		rate = r
	}
	if rate > 0 && rate < samplingIntervalMax {
		s.stats.Sampling = uint32(rate)
		switch old, known := s.samplers[sampler]; {
		case !named:
			d.changed = d.changed || s.sampling != uint32(rate)
			s.sampling = uint32(rate)
		case known || len(s.samplers) < maxSamplers:
			d.changed = d.changed || old != uint32(rate)
			s.samplers[sampler] = uint32(rate)
		}
	}
	if ifNamed && ifName != "" && len(ifName) <= maxInterfaceName && ifIndex <= math.MaxUint32 {
		if old, known := s.interfaces[uint32(ifIndex)]; old != ifName && (known || len(s.interfaces) < maxInterfaces) {
			s.interfaces[uint32(ifIndex)] = ifName
			d.changed = true
		}
	}
}

// samplingRate is how many packets stand for one: of interval + space packets
// the first interval are looked at (RFC 5477, 8.2).
func samplingRate(interval, space uint64) uint64 {
	if interval == 0 || interval >= samplingIntervalMax || space >= samplingIntervalMax {
		return 0
	}
	return (interval + space + interval/2) / interval
}

// flow writes one record of a flow.
func (d *decoder) flow(s *session, h head, id uint16, t *template, values [][]byte) {
	var at times
	var upStart, upEnd, interval, space, init uint64
	var hasStart, hasEnd bool
	sampling := uint64(s.sampling)
	var in, out uint64
	if len(s.samplers) == 1 && sampling == 0 {
		for _, rate := range s.samplers { // Records need not name the only one there is.
			sampling = uint64(rate)
		}
	}
	for i := range t.columns {
		v := values[i]
		if t.columns[i].kind == number && len(v) > 8 {
			continue
		}
		switch t.columns[i].id {
		case ieStartSysUpTime:
			upStart, hasStart = unsigned(v), true
		case ieEndSysUpTime:
			upEnd, hasEnd = unsigned(v), true
		case ieStartSeconds:
			at.start = int64(unsigned(v)) * 1000
		case ieEndSeconds:
			at.end = int64(unsigned(v)) * 1000
		case ieStartMillis:
			at.start = int64(unsigned(v))
		case ieEndMillis:
			at.end = int64(unsigned(v))
		case ieStartMicros, ieStartNanos:
			if len(v) == 8 {
				at.start = ntpMillis(v)
			}
		case ieEndMicros, ieEndNanos:
			if len(v) == 8 {
				at.end = ntpMillis(v)
			}
		case ieStartDelta:
			at.start = h.exported - int64(unsigned(v)/1000)
		case ieEndDelta:
			at.end = h.exported - int64(unsigned(v)/1000)
		case ieSystemInit:
			init = unsigned(v)
		case ieSamplerID, ieSelectorID:
			if rate, ok := s.samplers[unsigned(v)]; ok {
				sampling = uint64(rate)
			}
		case ieSamplingInterval, ieSamplerRandom:
			if rate := unsigned(v); rate > 0 && rate < samplingIntervalMax {
				sampling = rate
			}
		case iePacketInterval:
			interval = unsigned(v)
		case iePacketSpace:
			space = unsigned(v)
		case ieInputSNMP:
			in = unsigned(v)
		case ieOutputSNMP:
			out = unsigned(v)
		}
	}
	up := h
	if init > 0 && up.uptime < 0 {
		up.uptime = h.exported - int64(init)
	}
	if hasStart && at.start == 0 {
		at.start = up.sysUpTime(uint32(upStart))
	}
	if hasEnd && at.end == 0 {
		at.end = up.sysUpTime(uint32(upEnd))
	}
	if r := samplingRate(interval, space); r > 0 {
		sampling = r
	}
	b := d.open(s, s.stats.Kind, id, h, uint32(sampling), at)
	first := true
	for i := range t.columns {
		c := &t.columns[i]
		if len(values[i]) == 0 && c.kind != text {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(b, c.key...)
		b = appendValue(b, c.kind, values[i])
	}
	if len(s.interfaces) > 0 {
		b = s.interfaceName(b, `"ingressInterfaceName":`, in, &first)
		b = s.interfaceName(b, `"egressInterfaceName":`, out, &first)
	}
	d.close(s, b, at)
}
