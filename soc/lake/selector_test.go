package lake

import (
	"slices"
	"testing"
	"time"
)

// TestConditionsOfFunctionsFindNumbers counts by conditions in columns of all
// kinds.
func TestConditionsOfFunctionsFindNumbers(t *testing.T) {
	t.Parallel()
	l := shelf(t, time.Now().Add(-time.Hour),
		map[string]string{"a": "1", "b": "10.0.0.1", "c": "x", "d": "1.5"},
		map[string]string{"a": "2", "b": "10.0.0.2", "c": "y", "d": "2.5"},
		map[string]string{"a": "30000"})
	for field, want := range map[string]int{"a": 3, "b": 2, "c": 2, "d": 2, "e": 0} {
		for query, want := range map[string]int{"* | stats count() if (" + field + ":*) n": want, "* | stats count() if (!" + field + ":*) n": 3 - want} {
			if got := numbers(t, l, query); !slices.Equal(got, []int{want}) {
				t.Errorf("%s: %v, want %d", query, got, want)
			}
		}
	}
}

// TestStreamSelectorsSelectByFields asks with selectors as Loki has them: what
// the store makes a stream of is not to be seen.
func TestStreamSelectorsSelectByFields(t *testing.T) {
	t.Parallel()
	l := shelf(t, time.Now().Add(-time.Hour),
		map[string]string{"event.dataset": "sshd", "host.name": "a1", "message": "one"},
		map[string]string{"event.dataset": "sshd", "host.name": "b1", "message": "two"},
		map[string]string{"event.dataset": "sudo", "host.name": "a1", "message": "three"},
		map[string]string{"event.dataset": "sudo", "message": `quote " and {brace}`},
		map[string]string{"my field": "x, or y", "message": "five\nlines"})
	for query, want := range map[string][]int{
		`{}`:                               {0, 1, 2, 3, 4},
		`{event.dataset="sshd"}`:           {0, 1},
		`{event.dataset!="sshd"}`:          {2, 3, 4},
		`_stream:{host.name="a1"}`:         {0, 2},
		`{host.name=~"a.*|b1"}`:            {0, 1, 2},
		`{host.name=~"a"}`:                 {},
		`{host.name!~"a.*"}`:               {1, 3, 4},
		`{host.name=""}`:                   {3, 4},
		`{host.name=~".*"}`:                {0, 1, 2, 3, 4},
		`{message=~"five.lines"}`:          {4},
		`{host.name in ("a1", "b1")}`:      {0, 1, 2},
		`{host.name not_in ("a1")}`:        {1, 3, 4},
		`{"my field"="x, or y"}`:           {4},
		`{message="quote \" and {brace}"}`: {3},
		`{event.dataset="sshd",host.name="a1" or event.dataset="sudo",host.name=""}`: {0, 3},
		`{event.dataset="sshd"} two`:                      {1},
		`!{event.dataset="sshd"} message:three`:           {2},
		`* | stats count() if ({host.name="a1"}) n`:       {2},
		`n:in({host.name="b1"} | fields n)`:               {1},
		`one or {event.dataset="sudo" or host.name="b1"}`: {0, 1, 2, 3},
	} {
		if got := numbers(t, l, query); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}
}
