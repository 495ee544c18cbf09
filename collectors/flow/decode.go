package flow

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/netsampler/goflow2/v2/decoders/netflow"
	"github.com/netsampler/goflow2/v2/decoders/netflowlegacy"
)

// Bounds of what senders can make the decoder keep. Any address can be forged
// over UDP, so each bound holds for all of them together.
const (
	maxSessions       = 4096
	maxTemplates      = 1024      // of a session
	maxFields         = 512       // of a template
	maxSamplers       = 1024      // of a session
	maxInterfaces     = 4096      // of a session
	maxWaiting        = 256       // sets of a session that wait for their template
	maxWaitingBytes   = 256 << 10 // of a session
	maxWaitingOverall = 16 << 20
	waitingTime       = 10 * time.Minute
	// leastFlow is the least length of a flow's record in bytes: two addresses
	// of IPv4. Shorter ones would make a small datagram a flood of records.
	leastFlow = 8
	maxBuffer = 4 << 20
)

var (
	errShort   = errors.New("it ends too early")
	errVersion = errors.New("it is neither NetFlow v5, v9 nor IPFIX")
)

// record is one flow on its way out. text is valid during the call only.
type record struct {
	peer netip.Addr
	at   int64 // Unix nanoseconds when the flow ended; 0 where it does not say
	text []byte
}

// decoder turns datagrams into records. One goroutine decodes; the other
// methods may be called by any.
type decoder struct {
	emit func(record)
	now  func() time.Time

	mu       sync.Mutex
	sessions map[sessionKey]*session
	waiting  int  // bytes in all sessions
	changed  bool // templates or samplers are other than on the disk
	evicted  uint64

	// The records of the datagram at hand, one text behind the other. They go
	// out once the lock is free: whoever takes them may wait for room.
	buf  []byte
	done []written
}

// written is one record in buf.
type written struct {
	end int
	at  int64
}

func newDecoder(emit func(record)) *decoder {
	return &decoder{emit: emit, now: time.Now, sessions: map[sessionKey]*session{}}
}

// sessionKey tells exporters apart: their address, what they speak and, within
// that, the observation domain (source id, engine, sub-agent). The port is not
// of it: it changes with each start of an exporter, its templates need not.
type sessionKey struct {
	peer    netip.Addr
	agent   netip.Addr // of sFlow
	version uint16     // 5, 9 or 10; 0 for sFlow
	domain  uint32
}

// session is what is remembered of one exporter's domain.
type session struct {
	key        sessionKey
	peer       []byte // its address as JSON
	templates  map[uint16]*template
	samplers   map[uint64]uint32 // packets to one sampled, by sampler
	sampling   uint32            // of records that name no sampler; 0 where it is not known
	interfaces map[uint32]string
	waiting    []waitingSet
	waitBytes  int
	expected   uint32 // next sequence number
	sequenced  bool
	seen       time.Time
	stats      ExporterStats
}

// template is a template as it came and as it is used.
type template struct {
	Fields []netflow.Field `json:"fields"`
	Scopes int             `json:"scopes,omitempty"` // of an options template, how many of the fields are its scope
	Option bool            `json:"option,omitempty"`

	columns []column
	least   int // bytes of a record at least
}

// waitingSet is a data set that came before its template.
type waitingSet struct {
	id   uint16
	head head
	data []byte
	at   time.Time
}

// head is what the records of a message have in common.
type head struct {
	exported int64 // Unix milliseconds
	uptime   int64 // milliseconds since the exporter's start; -1 where it does not say
	sequence uint32
}

func (d *decoder) session(key sessionKey) *session {
	s := d.sessions[key]
	if s == nil {
		if len(d.sessions) >= maxSessions {
			d.forgetOldest()
		}
		s = newSession(key)
		d.sessions[key] = s
	}
	s.seen = d.now()
	return s
}

func newSession(key sessionKey) *session {
	s := &session{key: key, peer: []byte(`"` + key.peer.String() + `"`), templates: map[uint16]*template{}, samplers: map[uint64]uint32{}, interfaces: map[uint32]string{}}
	s.stats.Exporter, s.stats.Domain = key.peer.String(), key.domain
	if key.agent.IsValid() {
		s.stats.Exporter = key.agent.String()
	}
	s.stats.Kind = map[uint16]string{0: "sflow", 5: "netflow5", 9: "netflow9", 10: "ipfix"}[key.version]
	return s
}

// forgetOldest makes room for another session.
func (d *decoder) forgetOldest() {
	var oldest *session
	for _, s := range d.sessions {
		if oldest == nil || s.seen.Before(oldest.seen) {
			oldest = s
		}
	}
	d.waiting -= oldest.waitBytes
	delete(d.sessions, oldest.key)
	d.evicted++
	d.changed = true
}

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

// within decodes one datagram under the lock and hands its records over after.
func (d *decoder) within(peer netip.Addr, decode func() error) error {
	d.buf, d.done = d.buf[:0], d.done[:0]
	d.mu.Lock()
	err := decode()
	d.mu.Unlock()
	start := 0
	for _, w := range d.done {
		d.emit(record{peer: peer, at: w.at, text: d.buf[start:w.end]})
		start = w.end
	}
	if cap(d.buf) > maxBuffer {
		d.buf = nil // One giant set should not be paid for ever after.
	}
	return err
}

// sequence compares a message's number with the one expected. units is by how
// much this message moves it on.
func (s *session) sequence(n, units uint32) {
	if gap := n - s.expected; s.sequenced && gap != 0 {
		switch {
		case gap < 1<<30:
			s.stats.Gaps++
			s.stats.Lost += uint64(gap)
		case -gap < 1000:
			// A datagram that was overtaken: it had been counted as lost.
			s.stats.Lost -= min(s.stats.Lost, uint64(units))
			return
		default:
			s.stats.Restarts++
		}
	}
	s.expected, s.sequenced = n+units, true
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

// learn takes a template in, and decodes what waited for it.
func (d *decoder) learn(s *session, id uint16, t *template) {
	if id < 256 {
		return // An IPFIX withdrawal of all templates, which over UDP is not used (RFC 7011, 8.4).
	}
	if len(t.Fields) == 0 {
		delete(s.templates, id)
		d.changed = true
		return
	}
	old := s.templates[id]
	if old != nil && old.Option == t.Option && old.Scopes == t.Scopes && equalFields(old.Fields, t.Fields) {
		return
	}
	if len(t.Fields) > maxFields || old == nil && len(s.templates) >= maxTemplates || !t.prepare(s.key.version) {
		s.stats.BadTemplates++
		return
	}
	s.templates[id] = t
	d.changed = true
	kept := s.waiting[:0]
	var ready []waitingSet
	for _, w := range s.waiting {
		if w.id == id {
			ready = append(ready, w)
			s.waitBytes -= len(w.data)
			d.waiting -= len(w.data)
		} else {
			kept = append(kept, w)
		}
	}
	s.waiting = kept
	for _, w := range ready {
		d.dataSet(s, w.head, w.id, w.data)
	}
}

func equalFields(a, b []netflow.Field) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// prepare readies a template for use; ok is false where its records would be of
// no length, so that there would be no end of them, or shorter than any flow.
func (t *template) prepare(version uint16) (ok bool) {
	t.columns = make([]column, len(t.Fields))
	t.least = 0
	for i, f := range t.Fields {
		// The library leaves the enterprise bit in the numbers of options.
		if f.PenProvided {
			f.Type &= 0x7fff
		}
		t.columns[i] = columnOf(f)
		if t.Option && version == 9 && i < t.Scopes {
			// The scopes of NetFlow v9 have numbers of their own.
			t.columns[i].id = 0
			if f.Type == scopeInterface {
				t.columns[i].id, t.columns[i].kind = ieInputSNMP, number
			}
		}
		if version == 10 && f.Length == variableLength {
			t.least++
		} else {
			t.least += int(f.Length)
		}
	}
	return t.least >= leastFlow || t.Option && t.least > 0
}

// wait keeps a set until its template comes, as long as there is room; the
// oldest give way.
func (d *decoder) wait(s *session, h head, id uint16, body []byte) {
	s.stats.Early++
	d.expire(s)
	for len(s.waiting) > 0 && (len(s.waiting) >= maxWaiting || s.waitBytes+len(body) > maxWaitingBytes || d.waiting+len(body) > maxWaitingOverall) {
		d.giveUp(s, 1)
	}
	if s.waitBytes+len(body) > maxWaitingBytes || d.waiting+len(body) > maxWaitingOverall {
		s.stats.Undecoded++
		return
	}
	s.waiting = append(s.waiting, waitingSet{id, h, bytes.Clone(body), d.now()})
	s.waitBytes += len(body)
	d.waiting += len(body)
}

// expire gives up the sets of a session that have waited too long.
func (d *decoder) expire(s *session) {
	before := d.now().Add(-waitingTime)
	n := 0
	for n < len(s.waiting) && s.waiting[n].at.Before(before) {
		n++
	}
	d.giveUp(s, n)
}

func (d *decoder) giveUp(s *session, n int) {
	for _, w := range s.waiting[:n] {
		s.waitBytes -= len(w.data)
		d.waiting -= len(w.data)
		s.stats.Undecoded++
	}
	s.waiting = append(s.waiting[:0], s.waiting[n:]...)
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

// cut takes one record off body.
func (t *template) cut(body []byte, values [][]byte, version uint16) (rest []byte, ok bool) {
	for i := range t.columns {
		n := int(t.columns[i].length)
		if n == variableLength && version == 10 { // RFC 7011, 7
			if len(body) < 1 {
				return nil, false
			}
			n, body = int(body[0]), body[1:]
			if n == 255 {
				if len(body) < 2 {
					return nil, false
				}
				n, body = int(binary.BigEndian.Uint16(body)), body[2:]
			}
		}
		if n > len(body) {
			return nil, false
		}
		values[i], body = body[:n:n], body[n:]
	}
	return body, true
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

// times are when a flow began and ended, in Unix milliseconds; 0 where it does
// not say.
type times struct{ start, end int64 }

// sysUpTime turns milliseconds since the exporter's start into a time.
func (h *head) sysUpTime(ms uint32) int64 {
	if h.uptime < 0 || h.exported == 0 {
		return 0
	}
	// Both wrap after 49.7 days; a flow ended before it was exported, or at
	// most a little after by the exporter's own clock.
	ago := int64(int32(uint32(h.uptime) - ms))
	return h.exported - ago
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

func (s *session) interfaceName(b []byte, key string, index uint64, first *bool) []byte {
	name, ok := s.interfaces[uint32(index)]
	if !ok || index > math.MaxUint32 {
		return b
	}
	if !*first {
		b = append(b, ',')
	}
	*first = false
	return appendValue(append(b, key...), text, []byte(name))
}

// open begins a record: what the message and the session say, then the flow's
// own members.
func (d *decoder) open(s *session, kind string, id uint16, h head, sampling uint32, t times) []byte {
	b := append(d.buf, `{"type":"`...)
	b = append(b, kind...)
	b = append(b, `","exporter":`...)
	b = append(b, s.peer...)
	if s.key.agent.IsValid() {
		b = append(b, `,"agent":"`...)
		b = s.key.agent.AppendTo(b)
		b = append(b, '"')
	}
	number := func(key string, n int64) {
		b = append(append(append(b, `,"`...), key...), `":`...)
		b = strconv.AppendInt(b, n, 10)
	}
	number("domain", int64(s.key.domain))
	if id != 0 {
		number("template", int64(id))
	}
	number("sequence", int64(h.sequence))
	if h.exported > 0 {
		number("exported", h.exported)
	}
	if sampling > 0 {
		number("sampling", int64(sampling))
	}
	if t.start > 0 {
		number("start", t.start)
	}
	if t.end > 0 {
		number("end", t.end)
	}
	return append(b, `,"flow":{`...)
}

// close ends a record and hands it over.
func (d *decoder) close(s *session, b []byte, t times) {
	b = append(b, '}', '}')
	d.buf = b
	s.stats.Flows++
	at := int64(0)
	if t.end > 0 && t.end < math.MaxInt64/1_000_000 {
		at = t.end * 1e6
	}
	d.done = append(d.done, written{len(b), at})
}
