package communityid

import (
	"net/netip"
	"testing"
)

// TestV1 holds the specification's own examples, both ways.
func TestV1(t *testing.T) {
	t.Parallel()
	f := func(protocol uint8, a, b string, aPort, bPort uint16, want string) {
		t.Helper()
		from, to := netip.MustParseAddr(a), netip.MustParseAddr(b)
		if got := V1(protocol, from, to, aPort, bPort); got != want {
			t.Errorf("%d %s:%d to %s:%d is %s, want %s", protocol, a, aPort, b, bPort, got, want)
		}
		if protocol == icmp || protocol == icmpv6 {
			return // The answer has a type of its own.
		}
		if got := V1(protocol, to, from, bPort, aPort); got != want {
			t.Errorf("the way back of %s to %s is %s, want %s", a, b, got, want)
		}
	}
	f(6, "128.232.110.120", "66.35.250.204", 34855, 80, "1:LQU9qZlK+B5F3KDmev6m5PMibrg=")
	f(17, "192.168.1.52", "8.8.8.8", 54585, 53, "1:d/FP5EW3wiY1vCndhwleRRKHowQ=")
	f(132, "192.168.170.8", "192.168.170.56", 7, 7, "1:MP2EtRCAUIZvTw6MxJHLV7N7JDs=")
	f(1, "192.168.0.89", "192.168.0.1", 8, 0, "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=")
	f(1, "192.168.0.1", "192.168.0.89", 0, 0, "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=")
	f(58, "fe80::260:97ff:fe07:69ea", "ff02::1", 134, 0, "1:pkvHqCL88/tg1k4cPigmZXUtL00=")
	f(6, "2001:470:e5bf:dead:4957:2174:e82c:4887", "2607:f8b0:400c:c03::1a", 63943, 25, "1:/qFaeAR+gFe1KYjMzVDsMv+wgU4=")
	f(6, "1.2.3.4", "5.6.7.8", 1122, 3344, "1:wCb3OG7yAFWelaUydu0D+125CLM=")
	f(17, "1.2.3.4", "5.6.7.8", 1122, 3344, "1:0Mu9InQx6z4ZiCZM/7HXi2WMhOg=")
	f(6, "::ffff:1.2.3.4", "5.6.7.8", 1122, 3344, "1:wCb3OG7yAFWelaUydu0D+125CLM=")
	if got := V1(6, netip.MustParseAddr("1.2.3.4"), netip.MustParseAddr("::1"), 1, 2); got != "" {
		t.Errorf("ends of two families are %q", got)
	}
	if got := V1(6, netip.Addr{}, netip.MustParseAddr("::1"), 1, 2); got != "" {
		t.Errorf("an end without address is %q", got)
	}
}

func BenchmarkV1(b *testing.B) {
	from, to := netip.MustParseAddr("128.232.110.120"), netip.MustParseAddr("66.35.250.204")
	b.ReportAllocs()
	for b.Loop() {
		V1(6, from, to, 34855, 80)
	}
}
