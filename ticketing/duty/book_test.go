package duty

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/soc/reach"
	"icewatch/ticketing"
	"icewatch/ticketing/sla"
	"icewatch/ticketing/workdays"
)

func TestHandover(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	team := w.team(Content{Tenants: []string{"tax", "edu"}, Lines: []Line{dayLine("first", "qian", "sun")}})
	both := reach.Tenants("tax", "edu")
	qian, sun := ticketing.Actor{Name: "qian", Reach: both}, ticketing.Actor{Name: "sun", Reach: reach.Tenants("tax")}
	taxes, lessons := w.incident("tax", "P1"), w.incident("edu", "P2")
	if _, err := w.tickets.CloseIncident(t.Context(), all, lessons.ID, ticketing.Close{Resolution: "benign"}); err != nil {
		t.Fatal(err)
	}
	note, err := w.duty.AddNote(t.Context(), qian, team.ID, "the disk of tax-db is being replaced")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.duty.AddNote(t.Context(), qian, team.ID, " "); !errors.Is(err, ErrInvalid) {
		t.Errorf("an empty note: %v", err)
	}
	if _, err := w.duty.AddNote(t.Context(), ticketing.Actor{Name: "x"}, team.ID, "hello"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a stranger's note: %v", err)
	}
	// Who sees a part of what the team looks after sees the team, not what its people
	// write of everything.
	part := ticketing.Actor{Name: "teacher", Reach: reach.Tenants("edu")}
	if _, err := w.duty.Team(part, team.ID); err != nil {
		t.Error(err)
	}
	if list, err := w.duty.Notes(t.Context(), part, team.ID, w.now()); !errors.Is(err, ErrForbidden) {
		t.Errorf("notes of a team that looks after others, too: %v, %v", list, err)
	}
	if list, err := w.duty.Handovers(t.Context(), part, team.ID); !errors.Is(err, ErrForbidden) {
		t.Errorf("hand-overs of a team that looks after others, too: %v, %v", list, err)
	}
	if _, err := w.duty.CloseNote(t.Context(), part, note.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("a note that he does not see is closed: %v", err)
	}
	if list, err := w.duty.Notes(t.Context(), ticketing.Actor{Name: "lead", Reach: both}, team.ID, w.now()); err != nil || len(list) != 1 {
		t.Errorf("who sees all of it: %v, %v", list, err)
	}
	w.forward(12 * time.Hour)
	d, err := w.duty.Draft(t.Context(), qian, w.tickets, team.ID, "first")
	if err != nil {
		t.Fatal(err)
	}
	if d.Incoming != "sun" || !d.From.Equal(shanghai(t, "2026-11-26 00:00")) || !d.To.Equal(shanghai(t, "2026-11-27 00:00")) || len(d.Opened) != 2 || len(d.Closed) != 1 || len(d.Open) != 1 || len(d.Notes) != 1 {
		t.Fatalf("%+v", d)
	}
	if _, err := w.duty.Draft(t.Context(), all, w.tickets, team.ID, "first"); !errors.Is(err, ErrConflict) {
		t.Errorf("somebody who was not on duty: %v", err)
	}
	if _, err := w.duty.Sign(t.Context(), qian, w.tickets, team.ID, "first", "qian", ""); !errors.Is(err, ErrInvalid) {
		t.Errorf("to oneself: %v", err)
	}
	h, err := w.duty.Sign(t.Context(), qian, w.tickets, team.ID, "first", "sun", "all quiet")
	if err != nil || h.SignedAt == nil || len(h.Digest) != 64 {
		t.Fatalf("%+v, %v", h, err)
	}
	if _, err := w.duty.Accept(t.Context(), qian, h.ID, ""); !errors.Is(err, ErrForbidden) {
		t.Errorf("accepted by the outgoing: %v", err)
	}
	if _, err := w.duty.Accept(t.Context(), ticketing.Actor{Name: "li"}, h.ID, ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("accepted by a stranger: %v", err)
	}
	got, err := w.duty.Accept(t.Context(), sun, h.ID, "seen")
	if err != nil || got.AcceptedAt == nil || got.Remark != "seen" || got.Digest != h.Digest {
		t.Fatalf("%+v, %v", got, err)
	}
	if len(got.Opened) != 1 || got.Opened[0].ID != taxes.ID || len(got.Closed) != 0 {
		t.Errorf("the incoming is told of incidents beyond his reach: %+v", got)
	}
	if _, err := w.duty.Accept(t.Context(), sun, h.ID, ""); !errors.Is(err, ErrConflict) {
		t.Errorf("accepted twice: %v", err)
	}
	if _, err := w.duty.CloseNote(t.Context(), sun, note.ID); err != nil {
		t.Error(err)
	}
	if _, err := w.duty.CloseNote(t.Context(), sun, note.ID); !errors.Is(err, ErrConflict) {
		t.Errorf("a note closed twice: %v", err)
	}
	for name, f := range map[string]struct {
		by   ticketing.Actor
		team string
		want int
	}{"his own": {sun, "", 1}, "the team's": {all, team.ID, 1}, "a stranger's": {ticketing.Actor{Name: "x"}, "", 0}} {
		if list, err := w.duty.Handovers(t.Context(), f.by, f.team); err != nil || len(list) != f.want {
			t.Errorf("%s: %d hand-overs, %v", name, len(list), err)
		}
	}
}

func TestShares(t *testing.T) {
	t.Parallel()
	team := Team{ID: "a", Content: checked(t, Content{Name: Text{ZH: "a"}, Lines: []Line{{Key: "first", Name: Text{ZH: "a"}, Layers: []Layer{{From: "2026-09-28", Turn: Turn{Handover: "08:00"}, People: groups("x", "y")}}}}})}
	r := &Roster{Teams: []Team{team}, Holidays: holidays}
	got := r.Shares(r.Teams, shanghai(t, "2026-09-28 08:00"), shanghai(t, "2026-10-02 08:00"))
	if len(got) != 2 || got[0].Person != "x" || got[0].Hours != 48 || got[0].Shifts != 2 || got[0].Nights != 16 || got[0].RestDay != 8 {
		t.Errorf("%+v", got) // x has the 28th and 30th: eight hours of the 1st of October
	}
	if got[1].RestDay != 24 {
		t.Errorf("%+v", got)
	}
}

func TestCases(t *testing.T) {
	t.Parallel()
	zone, err := workdays.Zone("")
	if err != nil {
		t.Fatal(err)
	}
	m := ticketing.Measure{Tenant: "tax", Priority: "P1", Assignee: "a", AckedBy: "b", Team: "t", System: "s", Unit: "u", Clock: sla.Clock{Opened: time.Date(2026, 10, 31, 20, 0, 0, 0, time.UTC)}}
	for by, want := range map[string]string{"person": "b", "team": "t", "system": "s", "tenant": "tax", "unit": "u", "priority": "P1", "month": "2026-11"} {
		if got := Cases([]ticketing.Measure{m}, by, zone); got[0].Group != want || !slices.Contains(Groupings, by) {
			t.Errorf("by %s: %q, want %q", by, got[0].Group, want)
		}
	}
}

func TestCalendarFiles(t *testing.T) {
	t.Parallel()
	team := Team{ID: "a", Content: checked(t, Content{Name: Text{ZH: "安全, 运营;中心"}, Lines: []Line{dayLine("first", "qian", "sun li")}})}
	r := &Roster{Teams: []Team{team}}
	from, to := shanghai(t, "2026-11-26 00:00"), shanghai(t, "2026-12-03 00:00")
	stretches := r.Stretches(&team, &team.Lines[0], from, to)
	var b bytes.Buffer
	if err := WriteICS(&b, &team, map[string][]Stretch{"first": stretches}, from); err != nil {
		t.Fatal(err)
	}
	for l := range strings.SplitSeq(b.String(), "\r\n") {
		if len(l) > 75 {
			t.Errorf("a line of %d bytes: %q", len(l), l)
		}
	}
	shifts, err := ReadICS(&b, time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	again := Team{ID: "a", Content: checked(t, Content{Name: Text{ZH: "a"}, Lines: []Line{{Key: "first", Name: Text{ZH: "a"}, Layers: []Layer{{Shifts: shifts}}}}})}
	for at := from; at.Before(to); at = at.Add(time.Hour) {
		want := r.On(&team, &team.Lines[0], at).People
		got := r.On(&again, &again.Lines[0], at).People
		if !slices.Equal(slices.Sorted(slices.Values(want)), got) {
			t.Fatalf("%s: %v, want %v", at, got, want)
		}
	}

	zone, err := workdays.Zone("")
	if err != nil {
		t.Fatal(err)
	}
	text := "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART;TZID=Europe/Berlin:20260102T090000\nDURATION:PT8H30M\nSUMMARY:qian\\, su\n n\nEND:VEVENT\nBEGIN:VEVENT\nDTSTART;VALUE=DATE:20260103\nSUMMARY:li\nEND:VEVENT\nEND:VCALENDAR\n"
	got, err := ReadICS(strings.NewReader(text), zone)
	if err != nil || len(got) != 2 || !slices.Equal(got[0].People, []string{"qian", "sun"}) || got[0].From.Format(time.RFC3339) != "2026-01-02T08:00:00Z" || got[0].To.Sub(got[0].From) != 510*time.Minute ||
		!got[1].From.Equal(shanghai(t, "2026-01-03 00:00")) || got[1].To.Sub(got[1].From) != 24*time.Hour {
		t.Errorf("%+v, %v", got, err)
	}
	event := func(lines string) string {
		return "BEGIN:VCALENDAR\nBEGIN:VEVENT\n" + lines + "\nEND:VEVENT\nEND:VCALENDAR"
	}
	for want, bad := range map[string]string{
		"empty":          "",
		"no iCalendar":   "hello: world",
		"NAME:VALUE":     "BEGIN:VCALENDAR\nnonsense",
		"is no time":     event("DTSTART:tomorrow"),
		"DTSTART is":     event("SUMMARY:a"),
		"SUMMARY is":     event("DTSTART:20260102T090000Z\nDTEND:20260102T100000Z"),
		"DTEND and":      event("DTSTART:20260102T090000Z\nSUMMARY:a"),
		"repeat":         event("RRULE:FREQ=DAILY"),
		"P1D":            event("DURATION:soon"),
		"cut off":        "BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:a",
		"after the begi": event("DTSTART:20260102T090000Z\nDTEND:20260102T080000Z\nSUMMARY:a"),
		"named twice":    event("DTSTART:20260102T090000Z\nDTEND:20260102T100000Z\nSUMMARY:a a"),
		"IANA":           event("DTSTART;TZID=Nowhere:20260102T090000\nSUMMARY:a"),
	} {
		if _, err := ReadICS(strings.NewReader(bad), zone); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", bad, err, want)
		}
	}
}

func FuzzReadICS(f *testing.F) {
	f.Add("BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART;TZID=Asia/Shanghai:20260102T090000\r\nDURATION:PT8H\r\nSUMMARY:a\\, b\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n")
	f.Add("BEGIN:VCALENDAR\nX;A=\"b:c\":d\n e\n")
	f.Fuzz(func(t *testing.T, text string) {
		shifts, err := ReadICS(strings.NewReader(text), time.UTC)
		if err != nil {
			return
		}
		for _, s := range shifts {
			if !s.To.After(s.From) || len(s.People) == 0 {
				t.Fatalf("%+v", s)
			}
		}
	})
}
