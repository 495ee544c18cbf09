package egress

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// class is a kind of address that users' URLs do not reach.
type class struct {
	prefix netip.Prefix
	name   string
}

// refused lists what nobody outside of the configuration file may reach, by
// IANA's registries of special-purpose addresses and the clouds' manuals. The
// first match names the reason.
var refused = classes(
	"169.254.169.254/32", "a cloud's metadata service", // AWS, Azure, GCP, Huawei, OpenStack
	"169.254.170.2/32", "a cloud's metadata service", // AWS, container credentials
	"169.254.0.23/32", "a cloud's metadata service", // Tencent
	"100.100.100.200/32", "a cloud's metadata service", // Alibaba
	"192.0.0.192/32", "a cloud's metadata service", // Oracle
	"168.63.129.16/32", "a cloud's metadata service", // Azure, wire server
	"fd00:ec2::/32", "a cloud's metadata service", // AWS
	"fd20:ce::254/128", "a cloud's metadata service", // GCP
	"fd00:42::42/128", "a cloud's metadata service", // Scaleway
	"0.0.0.0/8", "an unspecified address, which means this machine",
	"127.0.0.0/8", "a loopback address",
	"169.254.0.0/16", "a link-local address",
	"192.0.0.0/24", "an address reserved for protocols",
	"224.0.0.0/4", "a multicast address",
	"240.0.0.0/4", "a reserved or broadcast address",
	"::/128", "the unspecified address, which means this machine",
	"::1/128", "a loopback address",
	"::/96", "an IPv6 form of an IPv4 address",
	"64:ff9b:1::/48", "an IPv6 form of an IPv4 address",
	"2001::/32", "an IPv6 form of an IPv4 address", // Teredo
	"2002::/16", "an IPv6 form of an IPv4 address", // 6to4
	"100::/64", "a discard-only address",
	"fe80::/10", "a link-local address",
	"fec0::/10", "a site-local address",
	"ff00::/8", "a multicast address",
)

var private = classes(
	"10.0.0.0/8", "a private address",
	"172.16.0.0/12", "a private address",
	"192.168.0.0/16", "a private address",
	"100.64.0.0/10", "a private address",
	"fc00::/7", "a private address",
)

// nat64 carries an IPv4 address in its last four bytes (RFC 6052), which is
// judged as such.
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

func classes(pairs ...string) []class {
	var out []class
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, class{netip.MustParsePrefix(pairs[i]), pairs[i+1]})
	}
	return out
}

// judge tells whether a connection may go to the address.
func (g *Guard) judge(addr netip.Addr, port uint16) error {
	plain := addr.WithZone("").Unmap()
	if nat64.Contains(plain) {
		b := plain.As16()
		plain = netip.AddrFrom4([4]byte(b[12:]))
	}
	for _, r := range g.allow {
		if r.prefix.Contains(plain) && (r.port == 0 || r.port == port) {
			return nil
		}
	}
	no := func(why string) error {
		return fmt.Errorf("%w: %s is %s; the operator can allow it with security.egress.allow", ErrRefused, addr, why)
	}
	for _, c := range refused {
		if c.prefix.Contains(plain) {
			return no(c.name)
		}
	}
	if !g.private {
		for _, c := range private {
			if c.prefix.Contains(plain) {
				return no(c.name)
			}
		}
	}
	// What listens on this machine trusts it: its other addresses are no
	// further away than loopback.
	own, err := g.own()
	if err != nil {
		return fmt.Errorf("%w: this machine's own addresses cannot be listed: %w", ErrRefused, err)
	}
	for _, a := range own {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok && ip.Unmap() == plain {
				return no("an address of this machine")
			}
		}
	}
	return nil
}

// rule is one entry of Options.Allow; port 0 means every port.
type rule struct {
	prefix netip.Prefix
	port   uint16
}

func parseRule(text string) (rule, error) {
	network, port := text, ""
	if inner, rest, ok := strings.Cut(strings.TrimPrefix(text, "["), "]"); ok && strings.HasPrefix(text, "[") {
		network, port = inner, strings.TrimPrefix(rest, ":")
	} else if i := strings.LastIndexByte(text, ':'); i >= 0 && strings.Count(text, ":") == 1 {
		network, port = text[:i], text[i+1:]
	}
	bad := func() (rule, error) {
		return rule{}, fmt.Errorf("%q is not a network; one such as 127.0.0.0/8, 10.0.0.5:9000 or [fd00::/8]:443 is expected", text)
	}
	var r rule
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return bad()
		}
		r.port = uint16(n)
	}
	if p, err := netip.ParsePrefix(network); err == nil {
		r.prefix = p.Masked()
	} else if a, err := netip.ParseAddr(network); err == nil && a.Zone() == "" {
		r.prefix = netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen())
	} else {
		return bad()
	}
	return r, nil
}
