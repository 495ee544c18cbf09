// Package workdays knows when people work: which days are holidays, which
// weekends make up for them, and the hours of a working day. Its calendars turn
// "four working hours from now" into a time and back. Duty rosters and the
// clocks of service levels count by it. All of it is plain values: nothing here
// asks what time it is.
package workdays

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"
)

//go:embed china.yaml
var china []byte

// Date is a day of the calendar, written YYYY-MM-DD.
type Date string

const dateLayout = "2006-01-02"

// DateOf is the day that a clock in t's zone shows at t.
func DateOf(t time.Time) Date { return Date(t.Format(dateLayout)) }

func (d Date) time() (time.Time, error) {
	t, err := time.Parse(dateLayout, string(d))
	if err != nil {
		return t, fmt.Errorf("date %q: want YYYY-MM-DD", string(d))
	}
	return t, nil
}

// Holiday is a run of days off under one name. From and To are both off.
type Holiday struct {
	Name string `json:"name" yaml:"name"`
	From Date   `json:"from" yaml:"from" format:"date"`
	To   Date   `json:"to" yaml:"to" format:"date"`
}

// Year is what is published for one year.
type Year struct {
	Source string    `json:"source" yaml:"source" doc:"Which publication says so"`
	Off    []Holiday `json:"off" yaml:"off" nullable:"false" required:"false"`
	Work   []Date    `json:"work" yaml:"work" nullable:"false" required:"false" doc:"Days of a weekend that are worked to make up for days off"`
}

// Book is the holidays of several years, by year.
type Book map[int]Year

// Bounds of an uploaded book.
const (
	maxYears = 100
	maxDays  = 200 // days off, or worked, of one year
	maxName  = 100 // bytes of a holiday's name and of a source
)

// Published returns what is published for China and ships with the suite.
func Published() Book {
	b, err := Parse(bytes.NewReader(china))
	if err != nil {
		panic("workdays: china.yaml: " + err.Error()) // a test reads it
	}
	return b
}

// Parse reads a book from YAML, of which JSON is a part. Unknown keys, days
// outside their year, a day that is both off and worked, and a make-up day that
// is no weekend are errors that name the place.
func Parse(r io.Reader) (Book, error) {
	dec := yaml.NewDecoder(r)
	dec.KnownFields(true)
	var b Book
	switch err := dec.Decode(&b); {
	case errors.Is(err, io.EOF):
		return nil, errors.New("the file is empty: want years with off and work")
	case err != nil:
		return nil, err
	}
	return b, b.Check()
}

// Check names the first thing of a book that cannot be.
func (b Book) Check() error {
	if len(b) > maxYears {
		return fmt.Errorf("%d years, at most %d", len(b), maxYears)
	}
	for _, y := range slices.Sorted(maps.Keys(b)) {
		if err := b[y].check(y); err != nil {
			return fmt.Errorf("%d: %w", y, err)
		}
	}
	return nil
}

func (y Year) check(year int) error {
	if year < 1949 || year > 2200 {
		return errors.New("the year must be between 1949 and 2200")
	}
	if len(y.Source) > 4*maxName {
		return fmt.Errorf("source: %d bytes, at most %d", len(y.Source), 4*maxName)
	}
	off, days := map[Date]string{}, 0
	for i, h := range y.Off {
		from, err1 := h.From.time()
		to, err2 := h.To.time()
		if err := errors.Join(err1, err2); err != nil {
			return fmt.Errorf("off[%d]: %w", i, err)
		}
		switch {
		case len(h.Name) > maxName:
			return fmt.Errorf("off[%d].name: %d bytes, at most %d", i, len(h.Name), maxName)
		case to.Before(from):
			return fmt.Errorf("off[%d] %s: it ends on %s, before it begins on %s", i, h.Name, h.To, h.From)
		case from.Year() != year && to.Year() != year:
			return fmt.Errorf("off[%d] %s: no day of %s to %s is in the year", i, h.Name, h.From, h.To)
		case to.Sub(from) > maxDays*24*time.Hour:
			return fmt.Errorf("off[%d] %s: more than %d days", i, h.Name, maxDays)
		}
		for d := from; !d.After(to); d = d.AddDate(0, 0, 1) {
			off[DateOf(d)] = h.Name
			if days++; days > maxDays {
				return fmt.Errorf("more than %d days off", maxDays)
			}
		}
	}
	if len(y.Work) > maxDays {
		return fmt.Errorf("work: %d days, at most %d", len(y.Work), maxDays)
	}
	for i, d := range y.Work {
		t, err := d.time()
		switch {
		case err != nil:
			return fmt.Errorf("work[%d]: %w", i, err)
		case t.Year() != year:
			return fmt.Errorf("work[%d]: %s is not in the year", i, d)
		case t.Weekday() != time.Saturday && t.Weekday() != time.Sunday:
			return fmt.Errorf("work[%d]: %s is a %s, which is worked anyway: want a day of a weekend", i, d, t.Weekday())
		}
		if name, both := off[d]; both {
			return fmt.Errorf("work[%d]: %s is off, too (%s)", i, d, name)
		}
	}
	return nil
}

// With returns the book with the years of more in place of its own.
func (b Book) With(more Book) Book {
	out := maps.Clone(b)
	if out == nil {
		out = Book{}
	}
	maps.Copy(out, more)
	return out
}

// Holidays is a book made ready to be asked. It is never changed. The nil
// pointer knows no holidays: Monday to Friday are worked.
type Holidays struct {
	off   map[Date]string
	work  map[Date]bool
	years map[int]bool
}

// Compile makes a checked book ready.
func (b Book) Compile() *Holidays {
	h := &Holidays{off: map[Date]string{}, work: map[Date]bool{}, years: map[int]bool{}}
	for y, year := range b {
		h.years[y] = true
		for _, run := range year.Off {
			from, err1 := run.From.time()
			to, err2 := run.To.time()
			for d := from; err1 == nil && err2 == nil && !d.After(to); d = d.AddDate(0, 0, 1) {
				h.off[DateOf(d)] = run.Name
			}
		}
		for _, d := range year.Work {
			h.work[d] = true
		}
	}
	return h
}

// Known tells whether the year's holidays are in the book. Of a year that is
// not, weekdays are worked and weekends are not, which is a guess.
func (h *Holidays) Known(year int) bool { return h != nil && h.years[year] }

// Day says what a day is.
type Day struct {
	Worked bool
	Name   string // of the holiday; "" where it is none
	MakeUp bool   // a day of a weekend that is worked
}

// Day says what the day is on which a clock in t's zone stands at t.
func (h *Holidays) Day(t time.Time) Day {
	weekday := t.Weekday() != time.Saturday && t.Weekday() != time.Sunday
	if h == nil {
		return Day{Worked: weekday}
	}
	d := DateOf(t)
	if name, off := h.off[d]; off {
		return Day{Name: name}
	}
	return Day{Worked: weekday || h.work[d], MakeUp: h.work[d]}
}
