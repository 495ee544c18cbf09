package ports

import (
	"net/netip"
	"testing"
)

func TestServerIsDestination(t *testing.T) {
	t.Parallel()
	a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	f := func(aPort, bPort uint16, bServes bool) {
		t.Helper()
		if got := ServerIsDestination(a, aPort, b, bPort); got != bServes {
			t.Errorf("%d to %d: the destination serves: %v", aPort, bPort, got)
		}
		if got := ServerIsDestination(b, bPort, a, aPort); got == bServes {
			t.Errorf("%d to %d: both directions must agree", bPort, aPort)
		}
	}
	f(50000, 443, true)
	f(1025, 8080, true) // an old system's range of client ports
	f(22, 443, false)   // of two services the lower port
	f(40000, 30000, true)
	f(123, 123, false) // the lower address
	f(0, 0, false)
	f(5236, 51000, false)
}

func TestName(t *testing.T) {
	t.Parallel()
	if Name(443) != "https" || Name(5236) != "dameng" || Name(40000) != "" {
		t.Errorf("%q %q %q", Name(443), Name(5236), Name(40000))
	}
}
