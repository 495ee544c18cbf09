package capture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/gopacket/gopacket/layers"
)

// ErrFormat is wrapped by what is said of a file that is no capture, or broken.
var ErrFormat = errors.New("capture: not a readable packet capture")

// The numbers that a file begins with.
const (
	magicMicro = 0xa1b2c3d4
	magicNano  = 0xa1b23c4d
	magicNext  = 0x0a0d0d0a // pcapng: a section
	orderNext  = 0x1a2b3c4d
)

// Is tells whether content begins as a capture does, pcap or pcapng.
func Is(data []byte) bool {
	if len(data) < 4 {
		return false
	}
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		switch order.Uint32(data) {
		case magicMicro, magicNano, magicNext:
			return true
		}
	}
	return false
}

// packet is one packet of a file. data is a part of the file.
type packet struct {
	at     time.Time // zero where the file does not say
	link   layers.LinkType
	length int // bytes on the wire
	data   []byte
}

// each goes through the packets of a file. It returns the format's name, and what
// is wrong with the file where it ends amid a packet or goes on as no capture does:
// what came before is good.
func each(data []byte, take func(packet)) (format string, wrong, err error) {
	if !Is(data) {
		return "", nil, fmt.Errorf("%w: it begins neither as pcap nor as pcapng", ErrFormat)
	}
	if binary.LittleEndian.Uint32(data) == magicNext {
		wrong = next(data, take)
		return "pcapng", wrong, nil
	}
	wrong, err = classic(data, take)
	return "pcap", wrong, err
}

// classic goes through a pcap file: a head of 24 bytes, then before each packet
// its time, how much of it is kept and how long it was.
func classic(data []byte, take func(packet)) (wrong, err error) {
	var order binary.ByteOrder = binary.LittleEndian
	if m := order.Uint32(data); m != magicMicro && m != magicNano {
		order = binary.BigEndian
	}
	if len(data) < 24 {
		return nil, fmt.Errorf("%w: a pcap file of %d bytes has no whole head of 24", ErrFormat, len(data))
	}
	unit := time.Microsecond
	if order.Uint32(data) == magicNano {
		unit = time.Nanosecond
	}
	link := layers.LinkType(order.Uint32(data[20:]) & 0xffff)
	for at := 24; at < len(data); {
		if len(data)-at < 16 {
			return fmt.Errorf("the file ends in the head of a packet, at byte %d", at), nil
		}
		head := data[at:]
		kept, length := int64(order.Uint32(head[8:])), int(order.Uint32(head[12:]))
		if kept > int64(len(data)-at-16) {
			return fmt.Errorf("the packet at byte %d has %d bytes, and the file %d more", at, kept, len(data)-at-16), nil
		}
		take(packet{at: time.Unix(int64(order.Uint32(head)), int64(order.Uint32(head[4:]))*int64(unit)).UTC(), link: link, length: length, data: head[16 : 16+kept]})
		at += 16 + int(kept)
	}
	return nil, nil
}

// The blocks of a pcapng file that matter.
const (
	blockInterface = 1
	blockPacket    = 2 // obsolete
	blockSimple    = 3
	blockEnhanced  = 6
)

// maxInterfaces bounds those of one section.
const maxInterfaces = 4096

// port is an interface of a section.
type port struct {
	link layers.LinkType
	unit uint64 // its times are counted in, parts of a second
	snap int
}

// next goes through a pcapng file: blocks, each with its length before and behind.
func next(data []byte, take func(packet)) (wrong error) {
	var order binary.ByteOrder = binary.LittleEndian
	var ports []port
	for at := 0; at < len(data); {
		rest := data[at:]
		if len(rest) < 12 {
			return fmt.Errorf("the file ends in the head of a block, at byte %d", at)
		}
		kind := order.Uint32(rest)
		if binary.LittleEndian.Uint32(rest) == magicNext {
			kind, ports = magicNext, nil
			switch {
			case binary.LittleEndian.Uint32(rest[8:]) == orderNext:
				order = binary.LittleEndian
			case binary.BigEndian.Uint32(rest[8:]) == orderNext:
				order = binary.BigEndian
			default:
				return fmt.Errorf("the section at byte %d does not say the order of its bytes", at)
			}
		}
		size := int64(order.Uint32(rest[4:]))
		if size < 12 || size%4 != 0 || size > int64(len(rest)) {
			return fmt.Errorf("the block at byte %d has the length %d, and the file %d more bytes", at, size, len(rest))
		}
		body := rest[8 : size-4]
		switch kind {
		case blockInterface:
			if len(body) < 8 || len(ports) >= maxInterfaces {
				return fmt.Errorf("the interface at byte %d is broken, or one of more than %d", at, maxInterfaces)
			}
			ports = append(ports, port{link: layers.LinkType(order.Uint16(body)), snap: int(order.Uint32(body[4:])), unit: resolution(body[8:], order)})
		case blockEnhanced, blockPacket:
			if len(body) < 20 {
				return fmt.Errorf("the packet at byte %d is broken", at)
			}
			n := int64(order.Uint32(body))
			if kind == blockPacket {
				n = int64(order.Uint16(body))
			}
			kept := int64(order.Uint32(body[12:]))
			if n >= int64(len(ports)) || kept > int64(len(body)-20) {
				return fmt.Errorf("the packet at byte %d is longer than its block, or of an interface that is not described", at)
			}
			p := ports[n]
			ticks := uint64(order.Uint32(body[4:]))<<32 | uint64(order.Uint32(body[8:]))
			take(packet{at: moment(ticks, p.unit), link: p.link, length: int(order.Uint32(body[16:])), data: body[20 : 20+kept]})
		case blockSimple:
			if len(body) < 4 || len(ports) == 0 {
				return fmt.Errorf("the packet at byte %d is broken, or of an interface that is not described", at)
			}
			length := int(order.Uint32(body))
			kept := min(length, len(body)-4)
			if snap := ports[0].snap; snap > 0 {
				kept = min(kept, snap)
			}
			take(packet{link: ports[0].link, length: length, data: body[4 : 4+kept]})
		}
		at += int(size)
	}
	return nil
}

// resolution reads of an interface's options in how many parts of a second its
// times are: a million, unless they say otherwise.
func resolution(options []byte, order binary.ByteOrder) uint64 {
	for len(options) >= 4 {
		code, size := order.Uint16(options), int(order.Uint16(options[2:]))
		options = options[4:]
		if code == 0 || size > len(options) {
			break
		}
		if code == 9 && size == 1 { // if_tsresol
			n := options[0]
			switch {
			case n&0x80 != 0 && n&0x7f < 63:
				return 1 << (n & 0x7f)
			case n&0x80 == 0 && n <= 18:
				unit := uint64(1)
				for range n {
					unit *= 10
				}
				return unit
			}
		}
		options = options[min(len(options), (size+3)&^3):]
	}
	return 1_000_000
}

// moment is a time in parts of a second.
func moment(ticks, unit uint64) time.Time {
	part := float64(ticks%unit) / float64(unit)
	return time.Unix(int64(ticks/unit), int64(part*1e9)).UTC()
}
