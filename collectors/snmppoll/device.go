package snmppoll

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/gosnmp/gosnmp"

	"icewatch/collectors"
)

// Bounds of what one look at a device may bring.
const (
	maxRows    = 10_000
	maxValues  = 200_000
	repetition = 25 // rows asked for at a time
)

// device is one device between the looks at it. One goroutine looks at a time.
type device struct {
	name, address string
	cfg           *Config
	checked       *checked
	dial          collectors.Dial

	counters map[string]*counter32
	uptime   uint32 // hundredths of a second, at the last look
	missed   int    // looks in a row without an answer
	down     bool   // it has been told that it is down
	since    time.Time
}

// counter32 carries a 32-bit counter over its wraps.
type counter32 struct {
	last uint32
	high uint64
}

// carry returns a 32-bit counter as a number that does not wrap: when it is
// lower than before and the device did not start anew since, it went over its
// end. The interval must be shorter than two wraps.
func (d *device) carry(key string, v uint32) float64 {
	c := d.counters[key]
	if c == nil {
		if len(d.counters) >= maxValues {
			return float64(v)
		}
		c = &counter32{last: v}
		d.counters[key] = c
	}
	if v < c.last {
		c.high += 1 << 32
	}
	c.last = v
	return float64(c.high + uint64(v))
}

// session is one look at a device.
type session struct {
	x      *gosnmp.GoSNMP
	values int
}

// open reaches the device's address, as far as that can be told over UDP.
func (d *device) open(ctx context.Context) (s *session, err error) {
	// The guarded way out judges the address; it is looked up once.
	conn, err := d.dial(ctx, "udp", d.address)
	if err != nil {
		return nil, err
	}
	to, ok := conn.RemoteAddr().(*net.UDPAddr)
	_ = conn.Close()
	if !ok {
		return nil, fmt.Errorf("%s is reached by %s, not by UDP", d.address, conn.RemoteAddr().Network())
	}
	x := &gosnmp.GoSNMP{Target: to.IP.String(), Port: uint16(to.Port), Transport: "udp", Context: ctx, Timeout: time.Duration(d.cfg.TimeoutSeconds) * time.Second,
		Retries: d.cfg.Retries, MaxOids: 20, MaxRepetitions: repetition, Community: d.cfg.Community}
	switch d.cfg.Version {
	case "1":
		x.Version = gosnmp.Version1
	case "2c":
		x.Version = gosnmp.Version2c
	default:
		u := d.checked.user
		x.Version, x.SecurityModel, x.MsgFlags, x.SecurityParameters, x.ContextName = gosnmp.Version3, gosnmp.UserSecurityModel, u.Level(), u.Parameters(), d.cfg.Context
	}
	if err := x.Connect(); err != nil {
		return nil, err
	}
	return &session{x: x}, nil
}

func (s *session) close() { _ = s.x.Conn.Close() }

var errTooMuch = errors.New("the device has more rows or values than are read at a look")

// guarded runs a call of the library, which takes some lengths of an answer for
// granted.
func guarded(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("an answer cannot be decoded: %v", r)
		}
	}()
	return f()
}

// get asks for single values, by identifier without a leading dot. What the
// device does not have is left out.
func (s *session) get(oids ...string) (out map[string]gosnmp.SnmpPDU, err error) {
	out = map[string]gosnmp.SnmpPDU{}
	ask := func(oids []string) error {
		return guarded(func() error {
			p, err := s.x.Get(oids)
			if err != nil {
				return err
			}
			if p.Error != gosnmp.NoError && p.Error != gosnmp.NoSuchName {
				return fmt.Errorf("it answers with %v", p.Error)
			}
			if p.Error == gosnmp.NoSuchName && len(oids) > 1 {
				return errNoSuchName // Version 1 says nothing of the others then.
			}
			for _, v := range p.Variables {
				if p.Error == gosnmp.NoError && there(&v) {
					out[strings.TrimPrefix(v.Name, ".")] = v
				}
			}
			return nil
		})
	}
	if err = ask(oids); !errors.Is(err, errNoSuchName) {
		return out, err
	}
	for _, oid := range oids {
		if err := ask([]string{oid}); err != nil {
			return out, err
		}
	}
	return out, nil
}

var errNoSuchName = errors.New("no such name")

func there(v *gosnmp.SnmpPDU) bool {
	switch v.Type {
	case gosnmp.NoSuchObject, gosnmp.NoSuchInstance, gosnmp.EndOfMibView, gosnmp.Null:
		return false
	}
	return true
}

// column asks for a column and calls f for its rows, by their index.
func (s *session) column(oid string, f func(index string, v *gosnmp.SnmpPDU)) error {
	rows := 0
	each := func(v gosnmp.SnmpPDU) error {
		if rows++; rows > maxRows {
			return errTooMuch
		}
		if s.values++; s.values > maxValues {
			return errTooMuch
		}
		if index, ok := strings.CutPrefix(strings.TrimPrefix(v.Name, "."), oid+"."); ok && there(&v) {
			f(index, &v)
		}
		return nil
	}
	return guarded(func() error {
		if s.x.Version == gosnmp.Version1 {
			return s.x.Walk("."+oid, each)
		}
		return s.x.BulkWalk("."+oid, each)
	})
}

// number is a value as a number; ok is false where it is none.
func number(v *gosnmp.SnmpPDU) (n float64, ok bool) {
	switch x := v.Value.(type) {
	case float32:
		return float64(x), true
	case float64:
		return x, true
	case []byte: // Some figures are texts, such as Net-SNMP's laLoad.
		n, err := strconv.ParseFloat(strings.TrimSpace(string(x)), 64)
		return n, err == nil
	case string, nil, bool:
		return 0, false
	}
	f, _ := gosnmp.ToBigInt(v.Value).Float64()
	return f, true
}

// text is a value as the value of a label.
func text(v *gosnmp.SnmpPDU) string {
	s := ""
	switch x := v.Value.(type) {
	case []byte:
		s = string(x)
	case string:
		s = strings.TrimPrefix(x, ".")
	default:
		if n, ok := number(v); ok {
			s = strconv.FormatFloat(n, 'f', -1, 64)
		}
	}
	s = strings.ToValidUTF8(strings.TrimRight(s, "\x00"), "\ufffd")
	s = strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, s)
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "")
	}
	return s
}
