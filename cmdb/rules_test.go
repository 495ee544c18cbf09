package cmdb

import (
	"net/netip"
	"strings"
	"testing"
)

// TestCommonText: each address of a range begins with what is said of it.
func TestCommonText(t *testing.T) {
	t.Parallel()
	for cidr, c := range map[string]struct {
		want  string
		holds []string
	}{
		"10.1.2.0/24":         {"10.1.2.", []string{"10.1.2.0", "10.1.2.255"}},
		"10.1.2.5/32":         {"10.1.2.", []string{"10.1.2.5"}},
		"10.1.16.0/20":        {"10.1.", []string{"10.1.16.0", "10.1.31.255"}},
		"10.0.0.0/7":          {"", []string{"10.0.0.1", "11.0.0.1"}},
		"0.0.0.0/0":           {"", []string{"1.2.3.4"}},
		"2001:db8::/32":       {"2001:db8:", []string{"2001:db8::", "2001:db8::1", "2001:db8:0:1::1", "2001:db8:1:2:3:4:5:6"}},
		"2001:db8:0:1::/64":   {"2001:db8:", []string{"2001:db8:0:1::1"}},
		"2001:db8:a:b::/56":   {"2001:db8:a:", []string{"2001:db8:a::1", "2001:db8:a:1:2:3:4:5"}},
		"fe80::/10":           {"", []string{"fe80::1", "febf::1"}},
		"1:2:3:4:5:6:7:8/128": {"1:2:3:4:5:6:7:", []string{"1:2:3:4:5:6:7:8"}},
		"::/0":                {"", []string{"::1"}},
	} {
		p := netip.MustParsePrefix(cidr)
		if got := commonText(p.Masked()); got != c.want {
			t.Errorf("%s: %q, want %q", cidr, got, c.want)
		}
		for _, a := range c.holds {
			addr := netip.MustParseAddr(a)
			if !p.Contains(addr) || !strings.HasPrefix(addr.String(), c.want) {
				t.Errorf("%s: %s is not in it, or does not begin so", cidr, addr)
			}
		}
	}
}
