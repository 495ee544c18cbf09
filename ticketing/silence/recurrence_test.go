package silence

import (
	"testing"
	"time"
)

// TestRecurrence compares when silences are active with what the calendar says.
func TestRecurrence(t *testing.T) {
	t.Parallel()
	at := func(text string) time.Time {
		v, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct {
		rule, zone, start string
		lasts             time.Duration
		active, quiet     []string
	}{
		{"FREQ=DAILY", "Asia/Shanghai", "2026-03-02T02:00:00+08:00", 2 * time.Hour,
			[]string{"2026-03-02T02:00:00+08:00", "2026-03-09T03:59:59+08:00", "2026-03-10T19:30:00Z"},
			[]string{"2026-03-02T01:59:59+08:00", "2026-03-09T04:00:00+08:00", "2026-03-10T12:00:00Z"}},
		{"FREQ=WEEKLY;BYDAY=SA,SU", "Asia/Shanghai", "2026-03-07T22:00:00+08:00", 4 * time.Hour, // over midnight
			[]string{"2026-03-07T23:00:00+08:00", "2026-03-08T01:59:00+08:00", "2026-03-09T01:00:00+08:00", "2026-03-15T22:00:00+08:00"},
			[]string{"2026-03-09T02:00:00+08:00", "2026-03-10T23:00:00+08:00"}},
		{"RRULE:FREQ=MONTHLY;BYMONTHDAY=-1", "Asia/Shanghai", "2026-01-31T20:00:00+08:00", time.Hour,
			[]string{"2026-02-28T20:30:00+08:00", "2026-04-30T20:00:00+08:00"}, []string{"2026-04-29T20:30:00+08:00", "2026-05-01T20:30:00+08:00"}},
		{"FREQ=MONTHLY;BYMONTHDAY=31", "UTC", "2026-01-31T00:00:00Z", 24 * time.Hour,
			[]string{"2026-03-31T12:00:00Z"}, []string{"2026-02-28T12:00:00Z", "2026-04-30T12:00:00Z"}},
		{"FREQ=DAILY", "Europe/Berlin", "2026-03-27T08:00:00+01:00", time.Hour, // the clock goes forward on the 29th
			[]string{"2026-03-28T08:30:00+01:00", "2026-03-30T08:30:00+02:00"}, []string{"2026-03-30T08:30:00+01:00", "2026-03-30T09:00:00+02:00"}},
		{"FREQ=DAILY;COUNT=2", "UTC", "2026-03-01T00:00:00Z", time.Hour, []string{"2026-03-02T00:30:00Z"}, []string{"2026-03-03T00:30:00Z"}},
	} {
		s := Silence{StartsAt: at(c.start), EndsAt: at("2026-12-31T00:00:00Z"), Recurrence: &Recurrence{Rule: c.rule, Lasts: c.lasts, Zone: c.zone}}
		if err := s.Recurrence.compile(s.StartsAt); err != nil {
			t.Fatal(err)
		}
		for _, text := range c.active {
			if got := s.State(at(text)); got != Active {
				t.Errorf("%s from %s: %s at %s", c.rule, c.start, got, text)
			}
		}
		for _, text := range c.quiet {
			if got := s.State(at(text)); got != Pending {
				t.Errorf("%s from %s: %s at %s", c.rule, c.start, got, text)
			}
		}
		if got := s.State(s.EndsAt); got != Expired {
			t.Errorf("%s at its end", got)
		}
		if times := s.Times(at(c.start), 3); len(times) < 2 || !times[0][0].Equal(at(c.start)) || times[0][1].Sub(times[0][0]) != c.lasts {
			t.Errorf("%s: times %v", c.rule, times)
		}
	}
	for _, c := range [][2]string{{"", "UTC"}, {"FREQ=HOURLY", "UTC"}, {"FREQ=DAILY;BYHOUR=3", "UTC"}, {"FREQ=DAILY", ""}, {"FREQ=DAILY", "Mars/Base"}, {"FREQ=DAILY\nDTSTART:20200101T000000Z", "UTC"}, {"every day", "UTC"}} {
		if err := (&Recurrence{Rule: c[0], Zone: c[1], Lasts: time.Hour}).compile(time.Now()); err == nil {
			t.Errorf("%q in %q is taken", c[0], c[1])
		}
	}
	if err := (&Recurrence{Rule: "FREQ=DAILY", Zone: "UTC"}).compile(time.Now()); err == nil {
		t.Error("one that lasts no time is taken")
	}
}

// FuzzRecurrence: no rule makes it hang or panic.
func FuzzRecurrence(f *testing.F) {
	for _, s := range []string{"FREQ=DAILY", "FREQ=WEEKLY;BYDAY=SA;INTERVAL=2", "FREQ=MONTHLY;BYMONTHDAY=31;BYMONTH=2", "FREQ=YEARLY;BYWEEKNO=53;BYDAY=-1MO", "FREQ=DAILY;UNTIL=20200101T000000Z"} {
		f.Add(s)
	}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		s := Silence{StartsAt: start, EndsAt: start.AddDate(1, 0, 0), Recurrence: &Recurrence{Rule: text, Zone: "UTC", Lasts: time.Hour}}
		if s.Recurrence.compile(start) == nil {
			s.State(start.AddDate(0, 3, 0))
			s.Times(start, 5)
		}
	})
}
