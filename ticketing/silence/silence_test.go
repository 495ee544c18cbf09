package silence

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/pkg/labels"

	"icewatch/soc/reach"
	"icewatch/soc/state"
)

// fixture is a store with a clock that the test moves.
type fixture struct {
	t   *testing.T
	db  *state.DB
	now time.Time
	*Store
}

func open(t *testing.T) *fixture {
	t.Helper()
	db, err := state.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	f := &fixture{t: t, db: db, now: time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC)}
	f.reopen()
	return f
}

func (f *fixture) reopen() {
	f.t.Helper()
	var err error
	if f.Store, err = Open(f.t.Context(), f.db, Deps{Compile: (&reach.Compiler{}).Reach, Clock: func() time.Time { return f.now }}); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) parse(texts ...string) labels.Matchers {
	f.t.Helper()
	m, err := ParseMatchers(texts)
	if err != nil {
		f.t.Fatal(err)
	}
	return m
}

func (f *fixture) set(l Silence) Silence {
	f.t.Helper()
	if l.CreatedBy == "" {
		l.CreatedBy = "zhang"
	}
	made, err := f.Set(f.t.Context(), reach.All(), l)
	if err != nil {
		f.t.Fatal(err)
	}
	return made
}

func TestLife(t *testing.T) {
	f := open(t)
	l := f.set(Silence{Matchers: f.parse("a=b"), StartsAt: f.now.Add(time.Hour), EndsAt: f.now.Add(2 * time.Hour)})
	mutes := func() bool {
		return len(f.Mutes(map[string]string{"a": "b"}, reach.Facts{Tenant: "x"})) > 0
	}
	for _, step := range []struct {
		forward time.Duration
		state   State
		mutes   bool
	}{{0, Pending, false}, {time.Hour, Active, true}, {time.Hour - time.Millisecond, Active, true}, {time.Millisecond, Expired, false}} {
		f.now = f.now.Add(step.forward)
		f.reopen() // SQL has it all
		got, err := f.Get(t.Context(), l.ID)
		if err != nil || got.State(f.now) != step.state || mutes() != step.mutes || f.Any() != step.mutes || f.NextEnd().IsZero() == step.mutes {
			t.Errorf("at %s: %+v, mutes %v, %v", f.now, got, mutes(), err)
		}
	}
}

// TestChange: what may change under the same id is as in Alertmanager.
func TestChange(t *testing.T) {
	f := open(t)
	hour := func(n time.Duration) time.Time { return f.now.Add(n * time.Hour) }
	for _, tc := range []struct {
		name       string
		start, end time.Duration // of the silence, in hours from when it is made
		wait       time.Duration // hours until it is changed
		change     func(l *Silence)
		same       bool
		old        State // afterwards
	}{
		{"extended", 0, 2, 1, func(l *Silence) { l.EndsAt = hour(5) }, true, Active},
		{"another comment", 0, 2, 1, func(l *Silence) { l.Comment = "new" }, true, Active},
		{"other matchers", 0, 2, 1, func(l *Silence) { l.Matchers = f.parse("a=c") }, false, Expired},
		{"another operator", 0, 2, 1, func(l *Silence) { l.Matchers = f.parse("a=~b") }, false, Expired},
		{"another start", 0, 2, 1, func(l *Silence) { l.StartsAt = hour(0) }, false, Expired},
		{"to come, later", 1, 2, 0, func(l *Silence) { l.StartsAt, l.EndsAt = hour(3), hour(4) }, true, Pending},
		{"to come, in the past", 1, 2, 0, func(l *Silence) { l.StartsAt = hour(-1) }, false, Expired},
		{"over", 0, 1, 2, func(l *Silence) { l.StartsAt, l.EndsAt = hour(0), hour(1) }, false, Expired},
	} {
		l := f.set(Silence{Matchers: f.parse("a=b"), StartsAt: hour(tc.start), EndsAt: hour(tc.end)})
		f.now = hour(tc.wait)
		id := l.ID
		tc.change(&l)
		made := f.set(l)
		old, err := f.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if (made.ID == id) != tc.same || old.State(f.now) != tc.old || made.State(f.now) == Expired {
			t.Errorf("%s: same %v, the old is %s, the new %s", tc.name, made.ID == id, old.State(f.now), made.State(f.now))
		}
	}
}

func TestRefused(t *testing.T) {
	f := open(t)
	later := f.now.Add(time.Hour)
	for name, l := range map[string]Silence{
		"no matchers":         {EndsAt: later},
		"matches all":         {Matchers: f.parse("a=~.*"), EndsAt: later},
		"empty value":         {Matchers: f.parse(`a=""`), EndsAt: later},
		"no end":              {Matchers: f.parse("a=b")},
		"over":                {Matchers: f.parse("a=b"), StartsAt: f.now.Add(-2 * time.Hour), EndsAt: f.now.Add(-time.Hour)},
		"ends before it does": {Matchers: f.parse("a=b"), StartsAt: later, EndsAt: f.now.Add(time.Minute)},
		"no maker":            {Matchers: f.parse("a=b"), EndsAt: later, CreatedBy: " "},
		"null":                {Matchers: labels.Matchers{nil}, EndsAt: later},
	} {
		if l.CreatedBy == "" {
			l.CreatedBy = "zhang"
		}
		if _, err := f.Set(t.Context(), reach.All(), l); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := f.Set(t.Context(), reach.All(), Silence{ID: "x", Matchers: f.parse("a=b"), EndsAt: later, CreatedBy: "z"}); !errors.Is(err, ErrNotFound) {
		t.Errorf("an unknown id: %v", err)
	}
	if _, err := f.Set(t.Context(), reach.None(), Silence{Matchers: f.parse("a=b"), EndsAt: later, CreatedBy: "z"}); !errors.Is(err, ErrInvalid) {
		t.Errorf("nobody's reach: %v", err)
	}
	// All or nothing.
	good := Silence{Matchers: f.parse("a=b"), EndsAt: later, CreatedBy: "z"}
	if _, err := f.SetAll(t.Context(), reach.All(), []Silence{good, {}}); !errors.Is(err, ErrInvalid) {
		t.Errorf("one of two: %v", err)
	}
	if list, err := f.List(context.Background()); err != nil || len(list) > 0 || f.Any() {
		t.Errorf("%d silences are left of what was refused, %v", len(list), err)
	}
}

func TestList(t *testing.T) {
	f := open(t)
	at := func(start, end time.Duration) string {
		return f.set(Silence{Matchers: f.parse("a=b"), StartsAt: f.now.Add(start), EndsAt: f.now.Add(end)}).ID
	}
	long, short := at(0, 3*time.Hour), at(0, 2*time.Hour)
	late, soon := at(3*time.Hour, 4*time.Hour), at(time.Hour, 4*time.Hour)
	first, second := at(0, time.Minute), at(0, 2*time.Minute)
	f.now = f.now.Add(10 * time.Minute)
	check := func(want []string, states ...State) {
		t.Helper()
		list, err := f.List(t.Context(), states...)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, l := range list {
			ids = append(ids, l.ID)
		}
		if !slices.Equal(ids, want) {
			t.Errorf("%v: %v, want %v", states, ids, want)
		}
	}
	check([]string{short, long, soon, late, second, first})
	check([]string{short, long}, Active)
	check([]string{soon, late, second, first}, Pending, Expired)
	f.now = f.now.Add(keep + 24*time.Hour)
	if err := f.Prune(t.Context()); err != nil {
		t.Fatal(err)
	}
	check(nil)
}

func TestMatchers(t *testing.T) {
	set := map[string]string{"alertname": "Disk full", "ci": "web-01", "os.type": "linux"}
	for text, want := range map[string]bool{
		`alertname="Disk full"`: true, `alertname=Disk full`: true, `ci=~"web-.*"`: true, `ci=~web`: false, `ci!=web-01`: false,
		`ci!~"db-.*"`: true, `nothing=""`: true, `nothing!=""`: false, `"os.type"=linux`: true, `ci=~"web-(01|02)"`: true,
	} {
		m, err := ParseMatcher(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := Matches(labels.Matchers{m}, set); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	for _, text := range []string{"", "a", "=b", "a=~(", "{a=b", `a="b`, `a=b, c="d"`} {
		if m, err := ParseMatcher(text); err == nil {
			t.Errorf("%q is taken as %s", text, m)
		}
	}
	l := Silence{Matchers: labels.Matchers{must(ParseMatcher("a=b")), must(ParseMatcher("c=~d"))}}
	if !l.Has(nil) || !l.Has(labels.Matchers{must(ParseMatcher("c=~d"))}) || l.Has(labels.Matchers{must(ParseMatcher("c=d"))}) || l.Has(labels.Matchers{must(ParseMatcher("a=c"))}) {
		t.Error("a filter finds what it should not, or the other way round")
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// FuzzParseMatcher: what is taken says the same when it is written again.
func FuzzParseMatcher(f *testing.F) {
	for _, s := range []string{`a="b"`, `a!=b`, `a=~"x|y"`, `"a b"!~'c'`, `a=\"`, "a=\xff", `{a="b"}`, `a="\u00e9\n"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, err := ParseMatcher(text)
		if err != nil {
			return
		}
		again, err := ParseMatcher(m.String())
		if err != nil {
			t.Fatalf("%q is %s, which is refused: %v", text, m, err)
		}
		if again.Name != m.Name || again.Type != m.Type || again.Value != m.Value {
			t.Fatalf("%q is %s, which is %s", text, m, again)
		}
	})
}
