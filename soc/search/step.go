package search

import "time"

// steps are lengths that people read easily.
var steps = []time.Duration{100 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second,
	30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour,
	3 * time.Hour, 6 * time.Hour, 12 * time.Hour}

// Step is the length of buckets that part a span into about n, rounded up to
// one that people read easily.
func Step(span time.Duration, n int) time.Duration {
	d := span / time.Duration(max(n, 1))
	for _, s := range steps {
		if d <= s {
			return s
		}
	}
	return (d + 24*time.Hour - 1).Truncate(24 * time.Hour)
}
