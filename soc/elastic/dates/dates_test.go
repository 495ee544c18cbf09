package dates

import (
	"testing"
	"time"
)

// TestDateMath reads what date math says.
func TestDateMath(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 26, 15, 4, 5, 0, time.UTC)
	shanghai := time.FixedZone("", 8*3600)
	for said, want := range map[string]string{
		"now": "2026-11-26T15:04:05.000Z", "now-15m": "2026-11-26T14:49:05.000Z", "now/d": "2026-11-25T16:00:00.000Z", "now-1d/d": "2026-11-24T16:00:00.000Z",
		"now/w": "2026-11-22T16:00:00.000Z", "now/M": "2026-10-31T16:00:00.000Z", "now+1y": "2027-11-26T15:04:05.000Z", "2026-01-31||+1M": "2026-02-27T16:00:00.000Z",
		"2026-11-26T10:00:00+08:00": "2026-11-26T02:00:00.000Z", "2026-11-26": "2026-11-25T16:00:00.000Z", "1764115200000": "2025-11-26T00:00:00.000Z", "2026-11-26T10:00": "2026-11-26T02:00:00.000Z",
	} {
		m, err := Parse(said, "", shanghai, now)
		if err != nil || Millis(m.From) != want {
			t.Errorf("%s is %s, want %s (%v)", said, Millis(m.From), want, err)
		}
	}
}

// FuzzDate checks that no date makes the reader panic or loop.
func FuzzDate(f *testing.F) {
	for _, s := range []string{"now-15m/d", "2024-02-30||+1M/w", "1764115200000", "2024-01-01T00:00:00.123456789+08:00", "now+999999999y"} {
		f.Add(s, "strict_date_optional_time||epoch_millis")
	}
	f.Fuzz(func(_ *testing.T, s, format string) {
		if m, err := Parse(s, format, time.UTC, time.Now()); err == nil {
			_, _ = Format(m.From, format, time.UTC)
		}
	})
}
