package duty

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"icewatch/ticketing/workdays"
)

// iCalendar (RFC 5545), as far as rosters need it: events with a beginning and
// an end, whose summary names who is on duty. Rules of repetition are refused by
// name: whoever exports a plan exports its shifts.

const (
	maxICS    = 8 << 20 // bytes
	maxShifts = 5000
	utcForm   = "20060102T150405Z"
	localForm = "20060102T150405"
)

// WriteICS writes the shifts of a team's lines as a calendar. Each shift has a
// stable id, so that a calendar program that reads the file again changes what
// it has.
func WriteICS(w io.Writer, t *Team, lines map[string][]Stretch, now time.Time) error {
	b := bufio.NewWriter(w)
	line := func(name, value string) {
		// Lines are folded at 75 bytes, not within a character.
		text := name + ":" + value
		for width := 75; len(text) > width; width = 74 {
			cut := width
			for cut > 1 && !utf8.RuneStart(text[cut]) {
				cut--
			}
			_, _ = b.WriteString(text[:cut] + "\r\n ")
			text = text[cut:]
		}
		_, _ = b.WriteString(text + "\r\n")
	}
	line("BEGIN", "VCALENDAR")
	line("VERSION", "2.0")
	line("PRODID", "-//icewatch//duty//EN")
	line("X-WR-CALNAME", escapeICS(t.Name.ZH))
	for _, l := range t.Lines {
		for _, s := range lines[l.Key] {
			for _, p := range s.People {
				line("BEGIN", "VEVENT")
				line("UID", fmt.Sprintf("%s-%s-%d-%s@icewatch", t.ID, l.Key, s.From.Unix(), escapeICS(p)))
				line("DTSTAMP", now.UTC().Format(utcForm))
				line("DTSTART", s.From.UTC().Format(utcForm))
				line("DTEND", s.To.UTC().Format(utcForm))
				line("SUMMARY", escapeICS(p))
				line("DESCRIPTION", escapeICS(t.Name.ZH+" / "+l.Name.ZH))
				line("CATEGORIES", escapeICS(l.Key))
				line("END", "VEVENT")
			}
		}
	}
	line("END", "VCALENDAR")
	return b.Flush()
}

var icsEscapes = strings.NewReplacer(`\`, `\\`, ";", `\;`, ",", `\,`, "\r\n", `\n`, "\n", `\n`, "\r", `\n`)

func escapeICS(s string) string { return icsEscapes.Replace(s) }

func unescapeICS(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
			if s[i] == 'n' || s[i] == 'N' {
				b.WriteByte('\n')
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// ReadICS reads the shifts of a calendar. The summary of an event names the
// users on duty, with commas, semicolons or spaces between them. Times without a
// zone, and whole days, are of the zone given. Errors name the line.
func ReadICS(r io.Reader, zone *time.Location) ([]Shift, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxICS+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxICS {
		return nil, fmt.Errorf("the file has more than %d bytes", maxICS)
	}
	if !utf8.Valid(data) {
		return nil, errors.New("the file is not UTF-8")
	}
	var out []Shift
	var event *icsEvent
	sum, began := 0, false
	for n, text := range unfold(data) {
		name, params, value, ok := splitICS(text.text)
		at := func(err error) error { return fmt.Errorf("line %d: %w", text.line, err) }
		switch {
		case text.text == "":
		case !ok:
			return nil, at(fmt.Errorf("%.60q: want NAME:VALUE", text.text))
		case n == 0 && (name != "BEGIN" || !strings.EqualFold(value, "VCALENDAR")):
			return nil, at(errors.New("want BEGIN:VCALENDAR: this is no iCalendar file"))
		case name == "BEGIN" && strings.EqualFold(value, "VCALENDAR"):
			began = true
		case name == "BEGIN" && strings.EqualFold(value, "VEVENT"):
			event = &icsEvent{line: text.line}
		case name == "END" && strings.EqualFold(value, "VEVENT"):
			if event == nil {
				return nil, at(errors.New("END:VEVENT without a beginning"))
			}
			s, err := event.shift()
			if err != nil {
				return nil, fmt.Errorf("the event of line %d: %w", event.line, err)
			}
			event = nil
			if sum++; sum > maxShifts {
				return nil, fmt.Errorf("more than %d events", maxShifts)
			}
			// Who is on duty together stands in events of his own.
			if i := slices.IndexFunc(out, func(o Shift) bool { return o.From.Equal(s.From) && o.To.Equal(s.To) }); i >= 0 {
				out[i].People = slices.Compact(slices.Sorted(slices.Values(slices.Concat(out[i].People, s.People))))
				continue
			}
			out = append(out, s)
		case event != nil:
			if err := event.take(name, params, value, zone); err != nil {
				return nil, at(err)
			}
		}
	}
	if !began {
		return nil, errors.New("the file is empty: want an iCalendar file")
	}
	if event != nil {
		return nil, fmt.Errorf("the event of line %d has no end: the file is cut off", event.line)
	}
	return out, nil
}

type icsLine struct {
	line int
	text string
}

// unfold joins lines that were folded.
func unfold(data []byte) []icsLine {
	var out []icsLine
	for n, raw := range bytes.Split(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")), []byte("\n")) {
		text := strings.TrimSuffix(string(raw), "\r")
		if len(out) > 0 && text != "" && (text[0] == ' ' || text[0] == '\t') {
			out[len(out)-1].text += text[1:]
			continue
		}
		if text == "" {
			continue
		}
		out = append(out, icsLine{n + 1, text})
	}
	return out
}

// splitICS reads NAME;PARAM=VALUE:VALUE; a colon may stand in a quoted
// parameter.
func splitICS(s string) (name string, params map[string]string, value string, ok bool) {
	quoted := false
	colon := strings.IndexFunc(s, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return r == ':' && !quoted
	})
	if colon <= 0 {
		return "", nil, "", false
	}
	parts := strings.Split(s[:colon], ";")
	params = map[string]string{}
	for _, p := range parts[1:] {
		k, v, _ := strings.Cut(p, "=")
		params[strings.ToUpper(k)] = strings.Trim(v, `"`)
	}
	return strings.ToUpper(parts[0]), params, s[colon+1:], true
}

type icsEvent struct {
	line     int
	from, to time.Time
	day      bool
	length   time.Duration
	summary  string
}

func (e *icsEvent) take(name string, params map[string]string, value string, zone *time.Location) (err error) {
	switch name {
	case "DTSTART":
		e.from, e.day, err = icsTime(params, value, zone)
	case "DTEND":
		e.to, _, err = icsTime(params, value, zone)
	case "DURATION":
		e.length, err = icsDuration(value)
	case "SUMMARY":
		e.summary = unescapeICS(value)
	case "RRULE", "RDATE":
		err = fmt.Errorf("%s: events that repeat are not taken: export the single shifts", name)
	}
	return err
}

func icsTime(params map[string]string, value string, zone *time.Location) (t time.Time, day bool, err error) {
	if id := params["TZID"]; id != "" {
		if zone, err = workdays.Zone(id); err != nil {
			return t, false, err
		}
	}
	if t, err = time.Parse(utcForm, value); err == nil {
		return t, false, nil
	}
	if t, err = time.ParseInLocation(localForm, value, zone); err == nil {
		return t.UTC(), false, nil
	}
	if t, err = time.ParseInLocation("20060102", value, zone); err == nil {
		return t.UTC(), true, nil
	}
	return t, false, fmt.Errorf("%.40q is no time: want 20260102T090000Z, 20260102T090000 or 20260102", value)
}

func icsDuration(s string) (time.Duration, error) {
	bad := fmt.Errorf("DURATION %.40q: want a length such as P1D or PT8H30M", s)
	rest, ok := strings.CutPrefix(strings.TrimPrefix(s, "+"), "P")
	if !ok || rest == "" {
		return 0, bad
	}
	var d time.Duration
	number := ""
	for _, r := range rest {
		unit, known := map[rune]time.Duration{'W': 7 * 24 * time.Hour, 'D': 24 * time.Hour, 'H': time.Hour, 'M': time.Minute, 'S': time.Second}[r]
		switch {
		case r == 'T' && number == "":
		case r >= '0' && r <= '9' && len(number) < 6:
			number += string(r)
		case known && number != "":
			n, err := strconv.Atoi(number)
			if err != nil {
				return 0, bad
			}
			d, number = d+time.Duration(n)*unit, ""
			if d > maxDuration {
				return 0, errors.New("DURATION: a shift lasts 400 days at most")
			}
		default:
			return 0, bad
		}
	}
	if number != "" || d <= 0 {
		return 0, bad
	}
	return d, nil
}

func (e *icsEvent) shift() (Shift, error) {
	if e.from.IsZero() {
		return Shift{}, errors.New("DTSTART is missing")
	}
	switch {
	case !e.to.IsZero():
	case e.length > 0:
		e.to = e.from.Add(e.length)
	case e.day:
		e.to = e.from.AddDate(0, 0, 1)
	default:
		return Shift{}, errors.New("DTEND and DURATION are missing")
	}
	people := strings.FieldsFunc(e.summary, func(r rune) bool { return strings.ContainsRune(",;、，； \t\n", r) })
	if len(people) == 0 {
		return Shift{}, errors.New("SUMMARY is missing: it names the users on duty")
	}
	s := Shift{From: e.from.UTC(), To: e.to.UTC(), People: people}
	l := Layer{Shifts: []Shift{s}}
	if err := l.check(); err != nil {
		return Shift{}, err
	}
	return s, nil
}
