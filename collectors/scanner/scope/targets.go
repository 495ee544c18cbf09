package scope

import (
	"context"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"icewatch/collectors/scanner/wire"
)

// Targets are the addresses of a run, each once, in an order that is the same
// whenever the same targets are read, so that a position in it is a place to go on from.
type Targets struct {
	spans []span
	ends  []int64 // of each span: how many addresses lie up to its end
	// Sites are URLs and host names that were targets, with their addresses.
	Sites []Site
}

// Site is a target that has a name or a path.
type Site struct {
	URL       string       // scheme, host, port and path; "" where only a name was given
	Host      string       // the name, or the address
	Port      int          // 0 where the target has none
	Addresses []netip.Addr // within the scope
}

// Resolve looks a name up.
type Resolve func(ctx context.Context, name string) ([]netip.Addr, error)

// SystemResolve asks the host's own resolver.
func SystemResolve(ctx context.Context, name string) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
}

// Targets reads a run's targets. What lies outside the scope is refused, counted
// and told; it is no error. Names that cannot be looked up are told as failed.
func (s *Scope) Targets(ctx context.Context, targets []string, resolve Resolve, failed func(target string, err error)) (*Targets, error) {
	out := &Targets{}
	var want []span
	if len(targets) == 0 {
		want = s.allowed
	}
	for i, text := range targets {
		text = strings.TrimSpace(text)
		if p, err := wire.ParseRange(text); err == nil {
			asked := span{p.Addr(), last(p)}
			in := intersect([]span{asked}, s.allowed)
			if len(in) == 0 || len(in) == 1 && in[0] != asked || len(in) > 1 {
				why := "a part of it is " + ErrOutside.Error() + " and is left out"
				if len(in) == 0 {
					why = ErrOutside.Error()
				}
				s.Refuse(text, why, "targets")
			}
			want = append(want, in...)
			continue
		}
		site, err := readSite(text)
		if err != nil {
			return nil, fmt.Errorf("targets[%d]: %w", i, err)
		}
		addrs := []netip.Addr{}
		if a, err := netip.ParseAddr(site.Host); err == nil {
			addrs = append(addrs, a)
		} else if addrs, err = resolve(ctx, site.Host); err != nil {
			failed(text, err)
			continue
		}
		for _, a := range addrs {
			a = a.Unmap().WithZone("")
			if err := s.Allows(a); err != nil {
				s.Refuse(text+" ("+a.String()+")", err.Error(), "targets")
				continue
			}
			site.Addresses = append(site.Addresses, a)
			want = append(want, span{a, a})
		}
		if len(site.Addresses) > 0 {
			out.Sites = append(out.Sites, site)
		}
	}
	var n int64
	for _, w := range merge(append([]span(nil), want...)) {
		// Network and broadcast addresses of IPv4 are asked like others: where
		// a range is routed they are hosts.
		n += w.size(wire.MaxHosts + 1)
		if n > wire.MaxHosts {
			return nil, fmt.Errorf("targets: they are more than %d addresses; name the hosts of large ranges (of IPv6 above all)", wire.MaxHosts)
		}
		out.spans = append(out.spans, w)
		out.ends = append(out.ends, n)
	}
	return out, nil
}

// Len is how many addresses there are.
func (t *Targets) Len() int64 {
	if len(t.ends) == 0 {
		return 0
	}
	return t.ends[len(t.ends)-1]
}

// At is the address at a position, 0 ≤ i < Len.
func (t *Targets) At(i int64) netip.Addr {
	low, high := 0, len(t.ends)
	for low < high {
		mid := (low + high) / 2
		if t.ends[mid] <= i {
			low = mid + 1
		} else {
			high = mid
		}
	}
	if low > 0 {
		i -= t.ends[low-1]
	}
	from := t.spans[low].from
	if from.Is4() {
		b := from.As4()
		n := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
		n += uint32(i)
		return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
	}
	var b [16]byte
	new(big.Int).Add(number(from), big.NewInt(i)).FillBytes(b[:])
	return netip.AddrFrom16(b)
}

// readSite reads a URL, a name, or either with a port.
func readSite(text string) (Site, error) {
	if text == "" || len(text) > 2048 || strings.ContainsAny(text, " \t\r\n\x00") {
		return Site{}, fmt.Errorf("%.80q is no address, range, name or URL", text)
	}
	raw := text
	if !strings.Contains(text, "://") {
		if strings.Contains(text, "/") {
			return Site{}, fmt.Errorf("%.80q is no range, and a URL begins with http:// or https://", text)
		}
		raw = "//" + text
	}
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Scheme != "" && u.Scheme != "http" && u.Scheme != "https" {
		return Site{}, fmt.Errorf("%.80q is no address, range, name or URL of http or https without user and password", text)
	}
	s := Site{Host: strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))}
	if p := u.Port(); p != "" {
		list, err := wire.ParsePorts([]string{p})
		if err != nil || len(list) != 1 {
			return Site{}, fmt.Errorf("%.80q has no port: %q", text, p)
		}
		s.Port = list[0]
	}
	if _, err := netip.ParseAddr(s.Host); err != nil && !isName(s.Host) {
		return Site{}, fmt.Errorf("%.80q is no name of a host", s.Host)
	}
	if u.Scheme != "" {
		if s.Port == 0 {
			s.Port = map[string]int{"http": 80, "https": 443}[u.Scheme]
		}
		if u.Path == "" {
			u.Path = "/"
		}
		u.Fragment = ""
		s.URL = u.String()
	}
	return s, nil
}

// isName tells whether a host name can be looked up. What looks like a number is
// no name: "0x7f.1" and "2130706433" are addresses to some resolvers.
func isName(s string) bool {
	labels := strings.Split(s, ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 {
			return false
		}
		for _, r := range l {
			if r > 127 || !(r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z') {
				return false
			}
		}
	}
	c := labels[len(labels)-1][0]
	return c >= 'a' && c <= 'z' && len(s) <= 253
}
