package rulebook

import (
	"errors"
	"strings"
	"testing"
)

const pastedRule = `title: Own Rule
id: own
logsource: {product: linux}
detection:
  word:
    message|contains: quetzal
  who:
    user.name: [mallory, eve]
  harmless:
    host.name: lab
  condition: word and who and not harmless
level: high
`

func TestPastedEventsAreMarked(t *testing.T) {
	t.Parallel()
	b := &Book{}
	got, err := b.TryPasted(pastedRule, Surroundings{}, `{"message":"a quetzal flies","user.name":"mallory","host.name":"web-1"}

{"message":"a quetzal flies","user.name":"alice"}
<13>1 - lab app - - - a quetzal in the lab
`)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Events) != 3 || got.Matched != 1 || len(got.Firings) != 1 || got.Firings[0].Rule != "own" {
		t.Fatalf("%+v", got)
	}
	holds := func(e int) string {
		var names []string
		for _, s := range got.Events[e].Rules[0].Selections {
			if s.Holds {
				names = append(names, s.Name)
			}
		}
		return strings.Join(names, " ")
	}
	first := got.Events[0].Rules[0]
	if !first.Matches || holds(0) != "word who" || len(first.Evidence) != 2 || first.Evidence[0].Field == "" {
		t.Errorf("the first: %+v", first)
	}
	if got.Events[1].Line != 3 || got.Events[1].Rules[0].Matches || holds(1) != "word" {
		t.Errorf("the second: %+v", got.Events[1])
	}
	if got.Events[2].Line != 4 || got.Events[2].Rules[0].Matches || holds(2) != "word harmless" || got.Events[2].Fields["host.name"] != "lab" {
		t.Errorf("the third: %+v", got.Events[2])
	}
}

func TestPastedIsBounded(t *testing.T) {
	t.Parallel()
	b := &Book{}
	for text, want := range map[string]string{
		"":                                   "there is no event",
		`{"a":`:                              "line 1: it is not valid JSON",
		strings.Repeat("{\"a.b\":1}\n", 201): "line 201: at most 200",
		strings.Repeat("x", PastedBytes+1):   "more than 1024 KiB",
	} {
		if _, err := b.TryPasted(pastedRule, Surroundings{}, text); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v, want %s", text, err, want)
		}
	}
	if _, err := b.TryPasted("title: x", Surroundings{}, "{}"); !errors.Is(err, ErrInvalid) {
		t.Errorf("no rule: %v", err)
	}
}
