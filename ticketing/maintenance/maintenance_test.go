package maintenance

import (
	"strings"
	"testing"
	"time"
)

func moment(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestInForce(t *testing.T) {
	t.Parallel()
	once := Window{ID: "once", Name: "upgrade", Start: moment(t, "2026-11-26T10:00:00Z"), End: moment(t, "2026-11-26T12:00:00Z"), Items: []string{"host-1"}}
	weekly := func(days, from, to, zone string) Window {
		return Window{ID: "weekly", Name: "patches", Systems: []string{"sys-1"}, Weekly: &Weekly{Days: strings.Fields(days), From: from, To: to, Zone: zone}}
	}
	bounded := weekly("sunday", "00:00", "24:00", "UTC")
	bounded.Start, bounded.End = moment(t, "2026-11-20T00:00:00Z"), moment(t, "2026-11-22T06:00:00Z")
	off := once
	off.Off = true
	for _, c := range []struct {
		name   string
		window Window
		at     string
		until  string // empty: not in force
	}{
		{"once, at its start", once, "2026-11-26T10:00:00Z", "2026-11-26T12:00:00Z"},
		{"once, before", once, "2026-11-26T09:59:59.999Z", ""},
		{"once, at its end", once, "2026-11-26T12:00:00Z", ""},
		{"once, off", off, "2026-11-26T11:00:00Z", ""},
		{"within a day", weekly("thursday", "22:00", "23:00", "Asia/Shanghai"), "2026-11-26T14:30:00Z", "2026-11-26T15:00:00Z"},
		{"the same clock in another zone", weekly("thursday", "22:00", "23:00", "UTC"), "2026-11-26T14:30:00Z", ""},
		{"over midnight, in the evening", weekly("thursday", "22:00", "02:00", "Asia/Shanghai"), "2026-11-26T14:30:00Z", "2026-11-26T18:00:00Z"},
		{"over midnight, in the night", weekly("thursday", "22:00", "02:00", "Asia/Shanghai"), "2026-11-26T17:59:00Z", "2026-11-26T18:00:00Z"},
		{"over midnight, the night before", weekly("thursday", "22:00", "02:00", "Asia/Shanghai"), "2026-11-25T17:30:00Z", ""},
		{"a whole day", weekly("sunday", "00:00", "24:00", "Asia/Shanghai"), "2026-11-22T15:59:59Z", "2026-11-22T16:00:00Z"},
		{"a day and a night from the same time", weekly("sunday", "08:00", "08:00", "UTC"), "2026-11-23T07:59:00Z", "2026-11-23T08:00:00Z"},
		{"when summer time begins the hours on the wall hold", weekly("sunday", "01:00", "04:00", "Europe/Berlin"), "2026-03-29T01:59:00Z", "2026-03-29T02:00:00Z"},
		{"when summer time ends too", weekly("sunday", "01:00", "04:00", "Europe/Berlin"), "2026-10-25T02:59:00Z", "2026-10-25T03:00:00Z"},
		{"a bound cuts the last one", bounded, "2026-11-22T05:00:00Z", "2026-11-22T06:00:00Z"},
		{"past its bound", bounded, "2026-11-22T07:00:00Z", ""},
	} {
		s := Schedule{Windows: []Window{c.window}}
		if err := s.Check(); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got := New(s).InForce("host-1", "sys-1", "t", moment(t, c.at))
		switch {
		case c.until == "" && len(got) > 0:
			t.Errorf("%s: in force: %+v", c.name, got)
		case c.until != "" && (len(got) != 1 || !got[0].Until.Equal(moment(t, c.until))):
			t.Errorf("%s: got %+v, want until %s", c.name, got, c.until)
		}
	}
}

func TestScope(t *testing.T) {
	t.Parallel()
	span := func(id string) Window {
		return Window{ID: id, Name: id, Start: moment(t, "2026-01-01T00:00:00Z"), End: moment(t, "2027-01-01T00:00:00Z")}
	}
	item, system, tenant, all := span("c-item"), span("b-system"), span("a-tenant"), span("d-all")
	item.Items, system.Systems, tenant.Tenants = []string{"h1"}, []string{"s1"}, []string{"t1"}
	all.Items, all.Systems, all.Tenants = []string{"h1"}, []string{"s1"}, []string{"t1"}
	c := New(Schedule{Windows: []Window{item, system, tenant, all}})
	for _, q := range []struct{ item, system, tenant, want string }{
		{"h1", "s1", "t1", "a-tenant b-system c-item d-all"}, {"h1", "", "t2", "c-item d-all"}, {"", "s1", "t2", "b-system d-all"}, {"h2", "s2", "t2", ""}, {"", "", "", ""},
	} {
		var ids []string
		for _, w := range c.InForce(q.item, q.system, q.tenant, moment(t, "2026-06-01T00:00:00Z")) {
			ids = append(ids, w.ID)
		}
		if got := strings.Join(ids, " "); got != q.want {
			t.Errorf("%+v: got %q", q, got)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	good := func() Window {
		return Window{ID: "w", Name: "w", Items: []string{"h"}, Weekly: &Weekly{Days: []string{"monday"}, From: "01:00", To: "02:00", Zone: "UTC"}}
	}
	for _, c := range []struct {
		name   string
		change func(*Window)
		want   string
	}{
		{"good", func(w *Window) {}, ""},
		{"no id", func(w *Window) { w.ID = "" }, "its id"},
		{"an id with spaces", func(w *Window) { w.ID = "a b" }, "its id"},
		{"no name", func(w *Window) { w.Name = "" }, "a name"},
		{"about nothing", func(w *Window) { w.Items = nil }, "about nothing"},
		{"an empty item", func(w *Window) { w.Items = []string{""} }, "none empty"},
		{"no time at all", func(w *Window) { w.Weekly = nil }, "start and end"},
		{"an end alone", func(w *Window) { w.Weekly, w.End = nil, time.Now() }, "start and end"},
		{"it ends before it begins", func(w *Window) { w.Start, w.End = moment(t, "2026-01-02T00:00:00Z"), moment(t, "2026-01-01T00:00:00Z") }, "is not before its end"},
		{"no day", func(w *Window) { w.Weekly.Days = nil }, "weekly.days"},
		{"a day there is not", func(w *Window) { w.Weekly.Days = []string{"Montag"} }, "Montag"},
		{"a time there is not", func(w *Window) { w.Weekly.From = "25:00" }, "weekly.from"},
		{"it begins at a day's end", func(w *Window) { w.Weekly.From = "24:00" }, "weekly.from"},
		{"a short time", func(w *Window) { w.Weekly.To = "1:00" }, "weekly.to"},
		{"no zone", func(w *Window) { w.Weekly.Zone = "" }, "weekly.zone"},
		{"a zone there is not", func(w *Window) { w.Weekly.Zone = "Asia/Atlantis" }, "Asia/Atlantis"},
	} {
		w := good()
		c.change(&w)
		err := Schedule{Windows: []Window{w}}.Check()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
	if err := (Schedule{Windows: []Window{good(), good()}}).Check(); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("one id twice: %v", err)
	}
}
