package match

import "testing"

// BenchmarkMeter is what the account of the rules' costs adds to an event that
// makes ten rules candidates; BenchmarkMatch is what an event costs in all.
func BenchmarkMeter(b *testing.B) {
	m := newMeter(10)
	for range b.N {
		m.event()
		for r := range int32(10) {
			m.costs[r].Asked++
			if m.sampled {
				m.start()
			}
			if m.sampled {
				m.stop(r)
			}
		}
	}
}
