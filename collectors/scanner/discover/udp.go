package discover

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"icewatch/collectors/scanner/scope"
	"icewatch/collectors/scanner/wire"
)

// udpAskings are questions by port. Ports without one are not asked: silence
// says nothing, and what answers must be known for what it is.
var udpAskings = map[int]asking{
	53: {name: "dns", send: versionBind(), match: func(b []byte, s *wire.Service) bool {
		var p dnsmessage.Parser
		head, err := p.Start(b)
		if err != nil || !head.Response || head.ID != 0x4957 {
			return false
		}
		_ = p.SkipAllQuestions()
		if answers, err := p.AllAnswers(); err == nil {
			for _, a := range answers {
				if t, ok := a.Body.(*dnsmessage.TXTResource); ok {
					s.Banner = strings.Join(t.TXT, " ")
				}
			}
		}
		return true
	}},
	123: {name: "ntp", send: append([]byte{0x23}, make([]byte, 47)...), match: func(b []byte, _ *wire.Service) bool {
		return len(b) >= 48 && b[0]&7 == 4 && b[0]>>3&7 >= 1 && b[0]>>3&7 <= 4 && b[1] <= 16 // a server's answer, of a version and a stratum that there are
	}},
	137: {name: "netbios-ns", send: append([]byte{0x49, 0x57, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x20}, append([]byte("CKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), 0, 0, 0x21, 0, 1)...), match: func(b []byte, s *wire.Service) bool {
		if len(b) < 72 || b[0] != 0x49 || b[1] != 0x57 || b[2]&0x80 == 0 {
			return false
		}
		s.Banner = string(bytes.TrimRight(b[57:72], " \x00"))
		return true
	}},
	// Discovery of SNMPv3: an agent tells its engine to whoever asks.
	161: {name: "snmp", send: []byte("\x30\x3e\x02\x01\x03\x30\x11\x02\x04\x00\x00\x49\x57\x02\x03\x00\xff\xe3\x04\x01\x04\x02\x01\x03\x04\x10\x30\x0e\x04\x00\x02\x01\x00\x02\x01\x00\x04\x00\x04\x00\x04\x00\x30\x14\x04\x00\x04\x00\xa0\x0e\x02\x04\x00\x00\x49\x57\x02\x01\x00\x02\x01\x00\x30\x00"), match: func(b []byte, _ *wire.Service) bool {
		return len(b) > 20 && b[0] == 0x30 && bytes.Contains(b[:8], []byte{2, 1, 3})
	}},
	623: {name: "ipmi", send: []byte{6, 0, 0xff, 6, 0, 0, 0x11, 0xbe, 0x80, 0, 0, 0}, match: func(b []byte, _ *wire.Service) bool {
		return len(b) >= 12 && b[0] == 6 && bytes.Equal(b[4:8], []byte{0, 0, 0x11, 0xbe})
	}},
	11211: {name: "memcached", send: []byte("\x00\x01\x00\x00\x00\x01\x00\x00version\r\n"), match: func(b []byte, s *wire.Service) bool {
		if len(b) < 16 || !bytes.HasPrefix(b[8:], []byte("VERSION ")) {
			return false
		}
		s.Product, s.Version = "memcached", string(bytes.TrimSpace(b[16:]))
		return true
	}},
}

func versionBind() []byte {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: 0x4957, RecursionDesired: false})
	_ = b.StartQuestions()
	_ = b.Question(dnsmessage.Question{Name: dnsmessage.MustNewName("version.bind."), Type: dnsmessage.TypeTXT, Class: dnsmessage.ClassCHAOS})
	out, _ := b.Finish() // A question that is written here is whole.
	return out
}

func (h *look) udp(ctx context.Context) {
	var wg sync.WaitGroup
	for _, port := range h.UDP {
		q, ok := udpAskings[port]
		if !ok {
			h.probed()
			continue
		}
		wg.Go(func() {
			defer h.probed()
			if h.Gate != nil && h.Gate(ctx) != nil {
				return
			}
			c, err := h.Dialer.Dial(ctx, "udp", h.address(port))
			if err != nil {
				return
			}
			defer c.Close()
			start := time.Now()
			if _, err := c.Write(q.send); err != nil {
				return
			}
			b := scope.Read(c, 2048, h.answer)
			if len(b) == 0 || bytes.Equal(b, q.send) { // An echo is no answer.
				return
			}
			s := wire.Service{Port: port, Protocol: "udp"}
			if q.match(b, &s) {
				s.Name = q.name
				h.answered(wire.ProbeUDP, time.Since(start))
				h.service(s)
			}
		})
	}
	wg.Wait()
}

// String tells what is looked for, for logs.
func (o *Options) String() string {
	return fmt.Sprintf("%d TCP and %d UDP ports", len(o.TCP), len(o.UDP))
}
