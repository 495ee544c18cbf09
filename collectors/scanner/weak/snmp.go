package weak

import (
	"context"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/gosnmp/gosnmp"

	"icewatch/collectors/scanner/check"
	"icewatch/collectors/scanner/wire"
)

// sysDescr is what an agent says of itself.
const sysDescr = ".1.3.6.1.2.1.1.1.0"

// heard is an agent's answer to a community.
type heard struct{ community, version, description string }

// communities asks an agent by each community in both of the versions that have any,
// once: devices of the first say nothing to the second, and none says anything to a
// community that it does not know. err tells that nothing could be asked.
func communities(ctx context.Context, e *Env, t check.Target, list []string, wait time.Duration) ([]heard, error) {
	c, err := e.Dialer.DialBy(ctx, "weak", "udp", t.Dial())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	for _, community := range list {
		for _, version := range []gosnmp.SnmpVersion{gosnmp.Version2c, gosnmp.Version1} {
			if e.Dialer.Pace != nil {
				if err := e.Dialer.Pace.Wait(ctx, t.Address.Unmap()); err != nil {
					return nil, err
				}
			}
			g := &gosnmp.GoSNMP{Version: version, Community: community}
			q, err := g.SnmpEncodePacket(gosnmp.GetRequest, []gosnmp.SnmpPDU{{Name: sysDescr, Type: gosnmp.Null}}, 0, 0)
			if err != nil {
				return nil, err
			}
			if _, err := c.Write(q); err != nil {
				return nil, err
			}
		}
	}
	var out []heard
	end := time.Now().Add(wait)
	buf := make([]byte, 4096)
	for ctx.Err() == nil && len(out) < 2*len(list) {
		_ = c.SetReadDeadline(end)
		n, err := c.Read(buf)
		if err != nil {
			break // Nothing more comes, or the port is closed.
		}
		if h, ok := answered(buf[:n], list); ok {
			if out = append(out, h); len(out) == 1 {
				// Those that answer do so at once.
				if soon := time.Now().Add(wait / 4); soon.Before(end) {
					end = soon
				}
			}
		}
	}
	return out, nil
}

// answered reads an answer to one of some communities. What an agent answers to one that
// may read nothing is none.
func answered(b []byte, list []string) (heard, bool) {
	g := &gosnmp.GoSNMP{Version: gosnmp.Version2c}
	p, err := g.SnmpDecodePacket(b)
	if err != nil || p.PDUType != gosnmp.GetResponse || p.Error != gosnmp.NoError || len(p.Variables) != 1 || p.Variables[0].Name != sysDescr || p.Version > gosnmp.Version2c {
		return heard{}, false
	}
	text, ok := p.Variables[0].Value.([]byte)
	for _, community := range list {
		if ok && community == p.Community {
			return heard{community, p.Version.String(), string(text)}, true
		}
	}
	return heard{}, false
}

func snmp(ctx context.Context, e *Env, t check.Target, p pair) (verdict, string) {
	got, err := communities(ctx, e, t, []string{p.password}, e.answer()/2)
	switch {
	case err != nil:
		return impossible, err.Error()
	case len(got) == 0:
		return refused, ""
	}
	return accepted, "SNMPv" + got[0].version + " sysDescr: " + got[0].description
}

// Silent asks what did not answer at a port of SNMP by the communities that devices come
// with: an agent of the first versions is not to be found by any other question. The
// service is nil where nothing answers, of which no attempts are told; whole is false
// where the limit left one of them untried.
func (e *Env) Silent(ctx context.Context, t check.Target) (s *wire.Service, whole bool) {
	k := kinds["snmp"]
	if !e.Select.Takes(k.meta.ID, k.meta.Tags) {
		return nil, true
	}
	most, window := e.limits()
	var list []string
	for _, p := range k.pairs {
		if ok, err := e.Ledger.Take(net.JoinHostPort(t.Address.Unmap().String(), strconv.Itoa(t.Service.Port))+"/udp/", most, window); err == nil && ok {
			list = append(list, p.password)
		}
	}
	whole = len(list) == len(k.pairs)
	if len(list) == 0 {
		return nil, whole
	}
	got, err := communities(ctx, e, t, list, e.answer()/4)
	if err != nil || len(got) == 0 {
		return nil, whole && err == nil
	}
	agent := *t.Service
	s = &agent
	s.Name, s.Address, s.Banner = "snmp", t.Address.Unmap().String(), got[0].description
	s.Banner = strings.ToValidUTF8(s.Banner[:min(len(s.Banner), wire.MaxBanner)], "")
	known := map[string]bool{}
	for _, h := range got {
		if !known[h.community] {
			known[h.community] = true
			e.Found(k.meta.Weakness(check.Target{Address: t.Address, Service: s}, evidence(pair{"", h.community})+"\nSNMPv"+h.version+" sysDescr: "+h.description))
		}
	}
	if e.Attempts != nil {
		e.Attempts(wire.Attempts{Address: s.Address, Port: s.Port, Service: "snmp", Count: len(list), Stopped: "found"})
	}
	return s, whole
}
