package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is a length of time in YAML: 90s, 15m, 8h, 7d, 2w.
type Duration time.Duration

// ParseDuration reads a duration with the units ns to h, d and w.
func ParseDuration(s string) (Duration, error) {
	for suffix, unit := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		if n, ok := strings.CutSuffix(s, suffix); ok {
			// What a float64 takes beside numbers, such as NaN and Inf, fails the comparison.
			if x, err := strconv.ParseFloat(n, 64); err == nil && math.Abs(x*float64(unit)) < math.MaxInt64 {
				return Duration(x * float64(unit)), nil
			}
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a length of time; one such as 90s, 15m, 8h, 7d or 2w is expected", s)
	}
	return Duration(d), nil
}

// String prints whole days as such.
func (d Duration) String() string {
	if day := Duration(24 * time.Hour); d >= day && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// Size is a number of bytes in YAML: 1048576, 64KiB, 16MiB, 8GiB, 500MB.
type Size int64

var units = []struct {
	suffix string
	bytes  int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"KB", 1e3}, {"B", 1}}

// ParseSize reads a number of bytes.
func ParseSize(s string) (Size, error) {
	unit := int64(1)
	text := s
	for _, u := range units {
		if n, ok := strings.CutSuffix(s, u.suffix); ok {
			text, unit = strings.TrimSpace(n), u.bytes
			break
		}
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n >= 0 && n*float64(unit) <= 1<<60) { // also where n is NaN
		return 0, fmt.Errorf("%q is not a size; one such as 64KiB, 16MiB or 8GiB is expected", s)
	}
	return Size(n * float64(unit)), nil
}

// String prints the largest binary unit that divides the size.
func (s Size) String() string {
	for _, u := range units[:4] {
		if int64(s) >= u.bytes && int64(s)%u.bytes == 0 {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.suffix
		}
	}
	return strconv.FormatInt(int64(s), 10)
}
