package snmptrap

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gosnmp/gosnmp"
)

// head is what a message says before anything of it is believed: enough to
// refuse it, or to know whose keys it needs, without any work of cryptography.
type head struct {
	version gosnmp.SnmpVersion
	// of version 3:
	id, maxSize int64
	flags       byte
	model       int64
	engineID    string
	boots, time int64
	user        string
}

// Flags of version 3 (RFC 3412, 6.4).
const (
	flagAuth       = 1
	flagPriv       = 2
	flagReportable = 4
)

var errShort = errors.New("it ends too early")

// readHead reads a message's head.
func readHead(data []byte) (h head, err error) {
	r := ber{rest: data}
	message := ber{rest: r.element(tagSequence)}
	h.version = gosnmp.SnmpVersion(message.integer())
	if r.err == nil && message.err == nil && h.version == gosnmp.Version3 {
		global := ber{rest: message.element(tagSequence)}
		h.id, h.maxSize = global.integer(), global.integer()
		flags := global.element(tagOctets)
		h.model = global.integer()
		if len(flags) == 1 {
			h.flags = flags[0]
		} else if global.err == nil {
			global.err = errors.New("msgFlags is not one byte")
		}
		wrapped := ber{rest: message.element(tagOctets)}
		security := ber{rest: wrapped.element(tagSequence)}
		h.engineID = string(security.element(tagOctets))
		h.boots, h.time = security.integer(), security.integer()
		h.user = string(security.element(tagOctets))
		err = errors.Join(global.err, wrapped.err, security.err)
	}
	if err = errors.Join(r.err, message.err, err); err != nil {
		return h, fmt.Errorf("it is no SNMP message: %w", err)
	}
	return h, nil
}

// ber reads the basic encoding rules (X.690) as far as a message's head needs.
type ber struct {
	rest []byte
	err  error
}

const (
	tagInteger  = 0x02
	tagOctets   = 0x04
	tagSequence = 0x30
)

// element takes the contents of the next element, which has to have this tag.
func (b *ber) element(tag byte) []byte {
	fail := func(err error) []byte {
		if b.err == nil {
			b.err = err
		}
		b.rest = nil
		return nil
	}
	if b.err != nil || len(b.rest) < 2 {
		return fail(errShort)
	}
	if b.rest[0] != tag {
		return fail(fmt.Errorf("tag %#02x where %#02x is expected", b.rest[0], tag))
	}
	n, head := int(b.rest[1]), 2
	if n >= 0x80 {
		bytes := n - 0x80
		if bytes == 0 || bytes > 3 || len(b.rest) < 2+bytes {
			return fail(errors.New("a length is of another form than the definite one, or too large"))
		}
		n = 0
		for _, c := range b.rest[2 : 2+bytes] {
			n = n<<8 | int(c)
		}
		head += bytes
	}
	if n > len(b.rest)-head {
		return fail(errShort)
	}
	contents := b.rest[head : head+n]
	b.rest = b.rest[head+n:]
	return contents
}

// integer takes the next element as a number.
func (b *ber) integer() int64 {
	text := b.element(tagInteger)
	if b.err != nil {
		return 0
	}
	if len(text) == 0 || len(text) > 8 {
		b.err = errors.New("a number has no byte or more than 8")
		return 0
	}
	v := int64(int8(text[0]))
	for _, c := range text[1:] {
		v = v<<8 | int64(c)
	}
	return v
}

// decode reads a whole message, of version 3 with these parameters, whose keys
// are those of the message's engine. It checks the digest and decrypts. data is
// left as it is.
func decode(data []byte, version gosnmp.SnmpVersion, usm *gosnmp.UsmSecurityParameters) (p *gosnmp.SnmpPacket, err error) {
	defer func() {
		// The library takes some lengths of the message for granted.
		if r := recover(); r != nil {
			p, err = nil, fmt.Errorf("it cannot be decoded: %v", r)
		}
	}()
	x := &gosnmp.GoSNMP{Version: version}
	if usm != nil {
		x.SecurityModel, x.SecurityParameters, x.MsgFlags = gosnmp.UserSecurityModel, usm, gosnmp.AuthPriv
	}
	own := make([]byte, len(data)) // It is decrypted in place, and parts are blanked.
	copy(own, data)
	if p, err = x.UnmarshalTrap(own, true); err != nil {
		return nil, err
	}
	if p == nil || p.Version != version {
		return nil, errors.New("it is of two versions")
	}
	return p, nil
}

// encode is p.MarshalMsg without its panics.
func encode(p *gosnmp.SnmpPacket) (data []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			data, err = nil, fmt.Errorf("an answer cannot be encoded: %v", r)
		}
	}()
	return p.MarshalMsg()
}

// trapOID is the identifier by which a notification is known, as version 2 has
// them (RFC 3584, 3.1), and sysUpTime in hundredths of a second.
func trapOID(p *gosnmp.SnmpPacket) (oid string, uptime uint32, ok bool) {
	if p.PDUType == gosnmp.Trap {
		enterprise := strings.TrimPrefix(p.Enterprise, ".")
		if p.GenericTrap >= 0 && p.GenericTrap < 6 {
			return fmt.Sprintf("1.3.6.1.6.3.1.1.5.%d", p.GenericTrap+1), uint32(p.Timestamp), true
		}
		return fmt.Sprintf("%s.0.%d", enterprise, p.SpecificTrap), uint32(p.Timestamp), enterprise != ""
	}
	for _, v := range p.Variables {
		switch strings.TrimPrefix(v.Name, ".") {
		case oidUptime:
			if n, is := v.Value.(uint32); is {
				uptime = n
			}
		case oidTrap:
			if s, is := v.Value.(string); is {
				oid = strings.TrimPrefix(s, ".")
			}
		}
	}
	return oid, uptime, oid != ""
}

const (
	oidUptime = "1.3.6.1.2.1.1.3.0"
	oidTrap   = "1.3.6.1.6.3.1.1.4.1.0"
)
