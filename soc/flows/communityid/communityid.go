// Package communityid computes the Community ID of a flow, version 1: the short
// text by which Zeek, Suricata, Elastic and others name the same connection
// alike (https://github.com/corelight/community-id-spec).
package communityid

import (
	"crypto/sha1" //nolint:gosec // the specification's hash; it protects nothing
	"encoding/base64"
	"encoding/binary"
	"net/netip"
)

// Protocol numbers that the specification treats apart.
const (
	icmp   = 1
	tcp    = 6
	udp    = 17
	icmpv6 = 58
	sctp   = 132
)

// answers pairs the types of ICMP messages that ask and answer.
var (
	answers4 = map[uint16]uint16{8: 0, 0: 8, 13: 14, 14: 13, 15: 16, 16: 15, 10: 9, 9: 10, 17: 18, 18: 17}
	answers6 = map[uint16]uint16{128: 129, 129: 128, 133: 134, 134: 133, 135: 136, 136: 135, 130: 131, 131: 130, 144: 145, 145: 144, 139: 140, 140: 139}
)

// V1 returns the Community ID with seed 0, or "" where the ends are no
// addresses of one family. For ICMP the ports are type and code. Protocols
// without ports take neither.
func V1(protocol uint8, source, destination netip.Addr, sourcePort, destinationPort uint16) string {
	source, destination = source.Unmap(), destination.Unmap()
	if !source.IsValid() || !destination.IsValid() || source.Is4() != destination.Is4() {
		return ""
	}
	ported, oneWay := false, false
	switch protocol {
	case tcp, udp, sctp:
		ported = true
	case icmp:
		ported = true
		sourcePort, destinationPort, oneWay = pair(answers4, sourcePort, destinationPort)
	case icmpv6:
		ported = true
		sourcePort, destinationPort, oneWay = pair(answers6, sourcePort, destinationPort)
	}
	if c := source.Compare(destination); !oneWay && (c > 0 || c == 0 && sourcePort > destinationPort) {
		source, destination = destination, source
		sourcePort, destinationPort = destinationPort, sourcePort
	}
	var buf [2 + 16 + 16 + 2 + 4]byte
	b := append(buf[:0], 0, 0) // the seed
	b = append(b, source.AsSlice()...)
	b = append(b, destination.AsSlice()...)
	b = append(b, protocol, 0)
	if ported {
		b = binary.BigEndian.AppendUint16(b, sourcePort)
		b = binary.BigEndian.AppendUint16(b, destinationPort)
	}
	sum := sha1.Sum(b) //nolint:gosec
	var out [2 + 28]byte
	copy(out[:], "1:")
	base64.StdEncoding.Encode(out[2:], sum[:])
	return string(out[:])
}

// pair turns type and code into what stands for ports: the type and that of
// its answer. A type without one is of one way only.
func pair(answers map[uint16]uint16, kind, code uint16) (uint16, uint16, bool) {
	if answer, ok := answers[kind]; ok {
		return kind, answer, false
	}
	return kind, code, true
}
