package correlation

import (
	"math"
	"testing"
)

func TestPlace(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "39.9", "39.9,", ",116.4", "91,0", "-90.1,0", "0,181", "NaN,0", "0,Inf", "a,b", "39.9,116.4,7"} {
		if _, ok := place(bad); ok {
			t.Errorf("%q is taken for a place", bad)
		}
	}
	at := func(text string) uint64 {
		t.Helper()
		p, ok := place(text)
		if !ok {
			t.Fatalf("%q is no place", text)
		}
		return p
	}
	for _, x := range []struct {
		a, b string
		km   float64
	}{
		{"39.9042,116.4074", "31.2304,121.4737", 1067},   // Beijing to Shanghai
		{"39.9042,116.4074", "51.5074,-0.1278", 8138},    // Beijing to London
		{"-33.8688,151.2093", "40.7128,-74.0060", 15990}, // Sydney to New York, over the date line
		{"0, 0", "0,180", math.Pi * earth},               // opposite
		{"90,0", "90,77", 0},                             // the pole has every longitude
		{"55.9,37.4", "55.9,37.4", 0},
	} {
		if km := distance(at(x.a), at(x.b)); math.Abs(km-x.km) > max(1, x.km*0.002) {
			t.Errorf("%s to %s: %.0f km, want %.0f", x.a, x.b, km, x.km)
		}
		if d, e := distance(at(x.a), at(x.b)), distance(at(x.b), at(x.a)); d != e {
			t.Errorf("%s to %s: %g, and back %g", x.a, x.b, d, e)
		}
	}
}
