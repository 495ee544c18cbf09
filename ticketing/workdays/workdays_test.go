package workdays

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	loc, err := Zone(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func TestPublishedHolidays(t *testing.T) {
	t.Parallel()
	h := Published().Compile()
	for day, want := range map[Date]Day{
		"2026-01-01": {Name: "元旦"},
		"2026-01-04": {Worked: true, MakeUp: true}, // a Sunday
		"2026-02-14": {Worked: true, MakeUp: true},
		"2026-02-23": {Name: "春节"}, // a Monday
		"2026-02-24": {Worked: true},
		"2026-10-07": {Name: "国庆节"},
		"2026-10-10": {Worked: true, MakeUp: true},
		"2026-10-11": {},
		"2025-10-08": {Name: "国庆节、中秋节"},
		"2030-10-01": {Worked: true}, // not published: a Tuesday
	} {
		at, err := day.time()
		if err != nil {
			t.Fatal(err)
		}
		if got := h.Day(at); got != want {
			t.Errorf("%s: %+v, want %+v", day, got, want)
		}
	}
	if !h.Known(2026) || h.Known(2030) {
		t.Error("2026 is published and 2030 is not")
	}
	// 365 days less weekends, days off on weekdays, plus days that make up.
	for year, want := range map[int]int{2025: 248, 2026: 248} {
		worked := 0
		for d := time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC); d.Year() == year; d = d.AddDate(0, 0, 1) {
			if h.Day(d).Worked {
				worked++
			}
		}
		if worked != want {
			t.Errorf("%d has %d working days, want %d", year, worked, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{
		"":                                  "empty",
		"2027: {of: []}":                    "of",
		"2027: {off: [{name: a, from: x}]}": "off[0]",
		"2027: {work: [2027-01-04]}":        "worked anyway",
		"2027: {work: [2026-01-04]}":        "not in the year",
		"1000: {}":                          "between 1949",
		"2027: {off: [{name: a, from: 2027-05-02, to: 2027-05-01}]}":                                "before it begins",
		"2027: {off: [{name: a, from: 2026-05-01, to: 2026-05-02}]}":                                "no day",
		"2027: {off: [{name: a, from: 2027-01-02, to: 2027-01-03}], work: [2027-01-03]}":            "off, too",
		"2027: {off: [{name: a, from: 0001-01-01, to: 2027-01-03}]}":                                "more than",
		"2027: {off: [{name: " + strings.Repeat("a", 200) + ", from: 2027-01-01, to: 2027-01-01}]}": "name",
	} {
		if _, err := Parse(strings.NewReader(file)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: error %v, want one with %q", file, err, want)
		}
	}
	own, err := Parse(strings.NewReader("2026: {source: own, off: [], work: []}"))
	if err != nil {
		t.Fatal(err)
	}
	if both := Published().With(own); both[2026].Source != "own" || len(both[2025].Off) == 0 {
		t.Errorf("a year of one's own does not replace the published one: %+v", both[2026])
	}
}

func FuzzParse(f *testing.F) {
	f.Add(string(china))
	f.Add("2027: {off: [{name: a, from: 2027-05-01, to: 2027-05-02}], work: [2027-05-08]}")
	f.Fuzz(func(t *testing.T, file string) {
		b, err := Parse(strings.NewReader(file))
		if err != nil {
			return
		}
		h := b.Compile()
		for y, year := range b {
			if !h.Known(y) {
				t.Fatalf("%d is lost", y)
			}
			for _, d := range year.Work {
				if at, _ := d.time(); !h.Day(at).Worked && len(b) == 1 {
					t.Fatalf("%s is not worked", d)
				}
			}
		}
	})
}

func TestSpecRefuses(t *testing.T) {
	t.Parallel()
	for want, s := range map[string]Spec{
		"IANA":           {Zone: "Beijing"},
		"every machine":  {Zone: "Local"},
		"always open":    {Holidays: true},
		"time of day":    {Windows: []Window{{Days: []int{1}, From: "9:00", To: "17:00"}}},
		"at most 24:00":  {Windows: []Window{{Days: []int{1}, From: "09:00", To: "24:01"}}},
		"end of the day": {Windows: []Window{{Days: []int{1}, From: "24:00", To: "09:00"}}},
		"1 (Monday)":     {Windows: []Window{{Days: []int{0}, From: "09:00", To: "17:00"}}},
		"empty":          {Windows: []Window{{From: "09:00", To: "17:00"}}},
	} {
		if _, err := s.Compile(nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v, want one with %q", s, err, want)
		}
	}
}

func TestWorkingHours(t *testing.T) {
	t.Parallel()
	c, err := WorkingHours().Compile(Published().Compile())
	if err != nil {
		t.Fatal(err)
	}
	shanghai := zone(t, "")
	at := func(s string) time.Time {
		v, err := time.ParseInLocation("2006-01-02 15:04", s, shanghai)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, f := range []struct {
		from string
		add  time.Duration
		want string
	}{
		{"2026-02-13 17:00", time.Hour, "2026-02-14 09:30"},      // Saturday the 14th makes up
		{"2026-02-14 17:00", time.Hour, "2026-02-24 09:30"},      // then nine days off
		{"2026-11-26 11:00", 2 * time.Hour, "2026-11-26 14:30"},  // over noon
		{"2026-11-26 12:10", time.Minute, "2026-11-26 13:31"},    // from the break
		{"2026-11-27 16:30", time.Hour, "2026-11-27 17:30"},      // to the last minute
		{"2026-11-28 10:00", 7 * time.Hour, "2026-11-30 17:30"},  // from a Saturday
		{"2026-11-26 11:00", 0, "2026-11-26 11:00"},              // nothing to wait for
		{"2026-09-30 09:00", 14 * time.Hour, "2026-10-08 17:30"}, // over the National Day
	} {
		got := c.Add(at(f.from), f.add)
		if !got.Equal(at(f.want)) {
			t.Errorf("%s + %s = %s, want %s", f.from, f.add, got.In(shanghai).Format("2006-01-02 15:04"), f.want)
		}
		if back := c.Between(at(f.from), got); back != f.add {
			t.Errorf("from %s to %s are %s, want %s", f.from, f.want, back, f.add)
		}
	}
	var always *Calendar
	if now := at("2026-10-01 00:00"); !always.Open(now) || !always.Add(now, time.Hour).Equal(now.Add(time.Hour)) || always.Between(now, now.Add(-time.Hour)) != 0 {
		t.Error("7×24 is not always open")
	}
}

func TestWallWhereClocksChange(t *testing.T) {
	t.Parallel()
	berlin := zone(t, "Europe/Berlin")
	for _, f := range []struct {
		day    string
		minute int
		want   string // UTC
	}{
		{"2026-03-29", 2*60 + 30, "2026-03-29T01:00:00Z"}, // skipped: the change
		{"2026-03-29", 3 * 60, "2026-03-29T01:00:00Z"},
		{"2026-10-25", 2*60 + 30, "2026-10-25T00:30:00Z"}, // twice: the first
		{"2026-10-25", 3 * 60, "2026-10-25T02:00:00Z"},
		{"2026-10-25", 24*60 + 60, "2026-10-26T00:00:00Z"},
	} {
		day, err := Date(f.day).time()
		if err != nil {
			t.Fatal(err)
		}
		if got := Wall(day, f.minute, berlin).UTC().Format(time.RFC3339); got != f.want {
			t.Errorf("minute %d of %s is %s, want %s", f.minute, f.day, got, f.want)
		}
	}
}

// open is the oracle: whether a calendar is open in the minute that begins at
// t, read off the wall clock alone.
func open(s Spec, h *Holidays, t time.Time) bool {
	if len(s.Windows) == 0 {
		return true
	}
	within := func(day time.Time, minute int) bool {
		weekday := int(day.Weekday()+6)%7 + 1
		if s.Holidays {
			switch d := h.Day(day); {
			case d.Name != "":
				return false
			case d.MakeUp:
				weekday = 1
			}
		}
		for _, w := range s.Windows {
			from, _ := ParseClock(w.From)
			to, _ := ParseClock(w.To)
			if to <= from {
				to += dayMinutes
			}
			if slices.Contains(w.Days, weekday) && minute >= from && minute < to {
				return true
			}
		}
		return false
	}
	minute := t.Hour()*60 + t.Minute()
	return within(t, minute) || within(t.AddDate(0, 0, -1), minute+dayMinutes)
}

// TestOracle compares Add and Between with counting minute by minute.
func TestOracle(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(9, 4))
	h := Published().Compile()
	night := Window{Days: []int{1, 2, 3, 4, 5, 6, 7}, From: "22:00", To: "06:00"}
	specs := []Spec{
		{}, WorkingHours(),
		{Windows: []Window{night}},
		{Windows: []Window{night, {Days: []int{6, 7}, From: "00:00", To: "24:00"}}, Holidays: true},
		{Windows: []Window{{Days: []int{1, 2, 3, 4, 5, 6, 7}, From: "00:00", To: "24:00"}}},
		{Windows: []Window{{Days: []int{3}, From: "08:17", To: "08:18"}}},
		{Windows: []Window{{Days: []int{1, 5}, From: "08:00", To: "16:00"}, {Days: []int{1, 5}, From: "12:00", To: "20:00"}}},
	}
	for _, name := range []string{"Asia/Shanghai", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"} {
		loc := zone(t, name)
		for _, s := range specs {
			s.Zone = name
			c, err := s.Compile(h)
			if err != nil {
				t.Fatal(err)
			}
			for range 12 {
				// Around a change of clocks as often as not.
				start := time.Date(2026, 1, 1+r.IntN(330), 0, r.IntN(dayMinutes), 0, 0, loc)
				if r.IntN(2) == 0 {
					start = []time.Time{time.Date(2026, 3, 27, 0, 0, 0, 0, loc), time.Date(2026, 10, 23, 0, 0, 0, 0, loc), time.Date(2026, 4, 3, 0, 0, 0, 0, loc)}[r.IntN(3)].Add(time.Duration(r.IntN(dayMinutes)) * time.Minute)
				}
				want := time.Duration(r.IntN(9*60)) * time.Minute
				var sum time.Duration
				end := start
				for limit := 0; sum < want && limit < 25*dayMinutes; limit++ {
					if open(s, h, end.In(loc)) {
						sum += time.Minute
					}
					end = end.Add(time.Minute)
				}
				if got := c.Between(start, end); got != sum {
					t.Fatalf("%s %+v: from %s to %s are %s, counted %s", name, s.Windows, start, end, got, sum)
				}
				if sum == want {
					if got := c.Add(start, want); !got.Equal(end) {
						t.Fatalf("%s %+v: %s + %s = %s, counted %s", name, s.Windows, start, want, got.In(loc), end)
					}
				}
				if got := c.Open(start); got != open(s, h, start) {
					t.Fatalf("%s %+v: open at %s is %v", name, s.Windows, start, got)
				}
			}
		}
	}
}

func BenchmarkAddAWeekOfWorkingHours(b *testing.B) {
	c, err := WorkingHours().Compile(Published().Compile())
	if err != nil {
		b.Fatal(err)
	}
	at := time.Date(2026, 2, 10, 3, 0, 0, 0, time.UTC)
	for b.Loop() {
		c.Add(at, 37*time.Hour)
	}
}
