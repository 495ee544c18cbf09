package correlation

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// A correlation with icewatch.travel asks whether two places of a window lie so far
// apart that nobody gets from one to the other in the time between: the count is 2
// then, and 1 where all can be travelled. A window that holds such a pair holds it
// for good, so that the condition only rises, and it is enough to compare each event
// with the others when it comes.

// earth is its mean radius in kilometres (IUGG).
const earth = 6371.0088

// place reads what the geographic database writes: latitude and longitude in
// degrees with a comma between them. Both are kept to about a metre.
func place(text string) (packed uint64, ok bool) {
	lat, lon, cut := strings.Cut(text, ",")
	if !cut {
		return 0, false
	}
	y, err := strconv.ParseFloat(strings.TrimSpace(lat), 32)
	if err != nil || !(y >= -90 && y <= 90) {
		return 0, false
	}
	x, err := strconv.ParseFloat(strings.TrimSpace(lon), 32)
	if err != nil || !(x >= -180 && x <= 180) {
		return 0, false
	}
	return uint64(math.Float32bits(float32(y)))<<32 | uint64(math.Float32bits(float32(x))), true
}

// distance is the length in kilometres of the great circle between two places, by
// the haversine formula.
func distance(a, b uint64) float64 {
	const degree = math.Pi / 180
	lat := func(p uint64) float64 { return float64(math.Float32frombits(uint32(p>>32))) * degree }
	lon := func(p uint64) float64 { return float64(math.Float32frombits(uint32(p))) * degree }
	y, x := math.Sin((lat(b)-lat(a))/2), math.Sin((lon(b)-lon(a))/2)
	h := y*y + math.Cos(lat(a))*math.Cos(lat(b))*x*x
	return 2 * earth * math.Asin(math.Sqrt(min(1, h)))
}

// tooFast tells whether nobody travels between two entries.
func (r *ruleState) tooFast(a, b *entry) bool {
	if a.value == b.value {
		return false
	}
	t := r.Sigma.Travel
	km := distance(a.value, b.value)
	if km < t.LeastKM {
		return false
	}
	gap := b.time - a.time
	if gap < 0 {
		gap = -gap
	}
	return km > t.KMH*time.Duration(gap).Hours()
}

// travelled counts the places of a pair with the entry at a place that nobody
// travels between.
func (r *ruleState) travelled(es []entry, at int) (count float64, met bool) {
	count = 1
	for i := range es {
		if r.tooFast(&es[i], &es[at]) {
			count = 2
			break
		}
	}
	return count, r.Sigma.Met(count)
}

// farApart is travelled for all pairs: of each place the latest entry is the nearest
// in time to those behind it.
func (r *ruleState) farApart(es []entry) (count float64, met bool) {
	count = 1
	var latest []int
	for i := range es {
		known := false
		for n, at := range latest {
			if es[at].value == es[i].value {
				latest[n], known = i, true
			} else if r.tooFast(&es[at], &es[i]) {
				return 2, r.Sigma.Met(2)
			}
		}
		if !known {
			latest = append(latest, i)
		}
	}
	return count, r.Sigma.Met(count)
}
