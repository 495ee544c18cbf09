package capture

import (
	"encoding/binary"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// questions are the names that a DNS message asks for.
func questions(payload []byte) (names []string) {
	var p dnsmessage.Parser
	if _, err := p.Start(payload); err != nil {
		return nil
	}
	for range maxNames {
		q, err := p.Question()
		if err != nil {
			break
		}
		if name := printable(strings.TrimSuffix(q.Name.String(), ".")); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// serverName is the name that a client asks for as it begins TLS (RFC 8446, 4.1.2;
// RFC 6066, 3), where the hello's first part is in one segment.
func serverName(b []byte) string {
	// A handshake record with a client's hello.
	if len(b) < 43 || b[0] != 22 || b[1] != 3 || b[5] != 1 {
		return ""
	}
	b = b[43:]            // record, handshake, version and random
	skip := func(n int) { // a list whose length stands in n bytes before it
		if len(b) < n {
			b = nil
			return
		}
		size := int(b[0])
		if n == 2 {
			size = int(binary.BigEndian.Uint16(b))
		}
		b = b[min(len(b), n+size):]
	}
	skip(1) // session
	skip(2) // ciphers
	skip(1) // compression
	if len(b) < 2 {
		return ""
	}
	for b = b[2:]; len(b) >= 4; {
		kind, size := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		b = b[4:]
		if kind == 0 && size >= 5 && size <= len(b) && b[2] == 0 {
			if n := int(binary.BigEndian.Uint16(b[3:])); 5+n <= size {
				return printable(string(b[5 : 5+n]))
			}
			return ""
		}
		b = b[min(len(b), size):]
	}
	return ""
}

// printable is a name as it may be shown, "" where it is none.
func printable(name string) string {
	if name == "" || len(name) > 253 || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return ""
	}
	return strings.ToLower(name)
}
