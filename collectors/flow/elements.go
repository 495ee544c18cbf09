package flow

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"net/netip"
	"strconv"
	"strings"

	"github.com/netsampler/goflow2/v2/decoders/netflow"

	"icewatch/soc/event"
)

// Information elements that the decoder itself looks at, by their numbers in
// IANA's registry of IPFIX entities; NetFlow v9 has the same ones below 128.
const (
	ieInputSNMP         = netflow.IPFIX_FIELD_ingressInterface
	ieOutputSNMP        = netflow.IPFIX_FIELD_egressInterface
	ieEndSysUpTime      = netflow.IPFIX_FIELD_flowEndSysUpTime
	ieStartSysUpTime    = netflow.IPFIX_FIELD_flowStartSysUpTime
	ieSamplingInterval  = netflow.IPFIX_FIELD_samplingInterval
	ieSamplerID         = netflow.IPFIX_FIELD_samplerId
	ieSamplerRandom     = netflow.IPFIX_FIELD_samplerRandomInterval
	ieInterfaceName     = netflow.IPFIX_FIELD_interfaceName
	ieInterfaceDesc     = netflow.IPFIX_FIELD_interfaceDescription
	ieExporterIPv4      = netflow.IPFIX_FIELD_exporterIPv4Address
	ieExporterIPv6      = netflow.IPFIX_FIELD_exporterIPv6Address
	ieStartSeconds      = netflow.IPFIX_FIELD_flowStartSeconds
	ieEndSeconds        = netflow.IPFIX_FIELD_flowEndSeconds
	ieStartMillis       = netflow.IPFIX_FIELD_flowStartMilliseconds
	ieEndMillis         = netflow.IPFIX_FIELD_flowEndMilliseconds
	ieStartMicros       = netflow.IPFIX_FIELD_flowStartMicroseconds
	ieEndMicros         = netflow.IPFIX_FIELD_flowEndMicroseconds
	ieStartNanos        = netflow.IPFIX_FIELD_flowStartNanoseconds
	ieEndNanos          = netflow.IPFIX_FIELD_flowEndNanoseconds
	ieStartDelta        = netflow.IPFIX_FIELD_flowStartDeltaMicroseconds
	ieEndDelta          = netflow.IPFIX_FIELD_flowEndDeltaMicroseconds
	ieSystemInit        = netflow.IPFIX_FIELD_systemInitTimeMilliseconds
	ieSelectorID        = netflow.IPFIX_FIELD_selectorId
	iePacketInterval    = netflow.IPFIX_FIELD_samplingPacketInterval
	iePacketSpace       = netflow.IPFIX_FIELD_samplingPacketSpace
	ieSamplingProb      = netflow.IPFIX_FIELD_samplingProbability
	scopeInterface      = 2     // of NetFlow v9's options, RFC 3954, 6.1
	penReverse          = 29305 // elements of the way back, RFC 5103
	variableLength      = 0xffff
	maxElementName      = 64
	maxInterfaceName    = 64
	ntpEpoch            = 2208988800 // seconds from 1900, which NTP counts from, to 1970
	samplingIntervalMax = 1 << 30    // what claims more is not believed
)

// kind says how the bytes of an element are read.
type kind uint8

const (
	number kind = iota // unsigned, up to 8 bytes; longer ones as hex
	address
	mac
	text
	octets // as hex
	float
	ntp // seconds since 1900 and their 2^32nds
)

// kinds are those of the elements that are no plain numbers.
var kinds = func() map[uint16]kind {
	m := map[uint16]kind{}
	for k, list := range map[kind][]uint16{
		address: {8, 12, 15, 18, 27, 28, 44, 45, 47, 62, 63, 130, 131, 140, 169, 170, 211, 212, 225, 226, 281, 282, 366, 403, 404, 432},
		mac:     {56, 57, 80, 81, 365, 367, 414, 415},
		text: {82, 83, 84, 94, 96, 100, 147, 236, 284, 300, 335, 340, 341, 348, 350, 371, 372, 373, 374, 450, 451, 452, 453, 454, 455, 456,
			459, 460, 461, 462},
		octets: {70, 71, 72, 73, 74, 75, 76, 77, 78, 79, 90, 95, 104, 210, 262, 266, 274, 275, 291, 292, 293, 313, 314, 315, 316, 317, 326, 333, 349, 435, 436, 437, 449},
		float:  {311, 320, 321, 336, 337, 338},
		ntp:    {154, 155, 156, 157, 268, 270, 271, 273, 324, 325},
	} {
		for _, id := range list {
			m[id] = k
		}
	}
	return m
}()

// column is one field of a template, ready to be read and written.
type column struct {
	key    string // the JSON member's name with quotes and colon
	id     uint16 // of IANA's elements; 0 for those of others
	length uint16 // variableLength: the record says
	kind   kind
}

func columnOf(f netflow.Field) column {
	c := column{length: f.Length, kind: octets}
	switch {
	case !f.PenProvided || f.Pen == 0:
		c.id, c.kind = f.Type, kinds[f.Type]
		c.key = elementName(f.Type)
	case f.Pen == penReverse:
		name := elementName(f.Type & 0x7fff)
		c.kind = kinds[f.Type&0x7fff]
		c.key = "reverse" + strings.ToUpper(name[:1]) + name[1:]
	default:
		if f.Length <= 8 {
			c.kind = number // Most are; the bytes are all there either way.
		}
		c.key = "pen" + strconv.FormatUint(uint64(f.Pen), 10) + "." + strconv.Itoa(int(f.Type&0x7fff))
	}
	c.key = `"` + c.key + `":`
	return c
}

// elementName is an element's name in IANA's registry, or "element" and its
// number.
func elementName(id uint16) string {
	name := netflow.IPFIXTypeToString(id)
	if name == "" || len(name) > maxElementName || strings.ContainsAny(name, ` "`) || name == "Unassigned" || name == "Reserved" {
		return "element" + strconv.Itoa(int(id))
	}
	return name
}

// appendValue writes a field's bytes as a JSON value.
func appendValue(b []byte, k kind, v []byte) []byte {
	switch k {
	case number:
		if len(v) <= 8 {
			return strconv.AppendUint(b, unsigned(v), 10)
		}
	case address:
		if a, ok := netip.AddrFromSlice(v); ok {
			b = append(b, '"')
			b = a.AppendTo(b)
			return append(b, '"')
		}
		if len(v) <= 8 {
			return strconv.AppendUint(b, unsigned(v), 10)
		}
	case mac:
		if len(v) == 6 {
			return appendMAC(b, v)
		}
	case text:
		return event.AppendJSON(b, strings.TrimRight(string(v), "\x00"))
	case float:
		if f, ok := floating(v); ok {
			return strconv.AppendFloat(b, f, 'g', -1, 64)
		}
	case ntp:
		if len(v) == 8 {
			return strconv.AppendInt(b, ntpMillis(v), 10)
		}
	}
	b = append(b, '"')
	b = hex.AppendEncode(b, v)
	return append(b, '"')
}

// appendMAC writes an address the way ECS wants it: upper case with hyphens
// (RFC 7042, 2.1).
func appendMAC(b, v []byte) []byte {
	const digits = "0123456789ABCDEF"
	b = append(b, '"')
	for i, c := range v {
		if i > 0 {
			b = append(b, '-')
		}
		b = append(b, digits[c>>4], digits[c&15])
	}
	return append(b, '"')
}

// unsigned reads a number in network order of up to 8 bytes.
func unsigned(v []byte) uint64 {
	switch len(v) {
	case 1:
		return uint64(v[0])
	case 2:
		return uint64(binary.BigEndian.Uint16(v))
	case 4:
		return uint64(binary.BigEndian.Uint32(v))
	case 8:
		return binary.BigEndian.Uint64(v)
	}
	var n uint64
	for _, c := range v {
		n = n<<8 | uint64(c)
	}
	return n
}

func floating(v []byte) (float64, bool) {
	var f float64
	switch len(v) {
	case 4:
		f = float64(math.Float32frombits(binary.BigEndian.Uint32(v)))
	case 8:
		f = math.Float64frombits(binary.BigEndian.Uint64(v))
	default:
		return 0, false
	}
	return f, !math.IsNaN(f) && !math.IsInf(f, 0)
}

// ntpMillis turns an NTP time stamp into Unix milliseconds.
func ntpMillis(v []byte) int64 {
	seconds, fraction := int64(binary.BigEndian.Uint32(v)), uint64(binary.BigEndian.Uint32(v[4:]))
	return (seconds-ntpEpoch)*1000 + int64(fraction*1000>>32)
}
