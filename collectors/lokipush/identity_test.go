package lokipush

import (
	"testing"

	"icewatch/soc/intake"
)

func TestAPushSentAgainHasTheSameIDs(t *testing.T) {
	t.Parallel()
	push := func() []intake.Record {
		labels := []intake.Attr{{Name: "app", Value: "x"}}
		return []intake.Record{
			{Attrs: labels, Time: 1, Data: []byte("a")},
			{Attrs: labels, Time: 1, Data: []byte("a")}, // twice in one push
			{Attrs: labels, Time: 2, Data: []byte("a")},
			{Attrs: labels, Time: 1, Data: []byte("b")},
			{Attrs: []intake.Attr{{Name: "app", Value: "y"}}, Time: 1, Data: []byte("a")},
			{Attrs: labels, Data: []byte("a")}, // without a time
		}
	}
	first, again := push(), push()
	identify(first)
	identify(again)
	seen := map[string]bool{}
	for i := range first {
		if first[i].ID != again[i].ID {
			t.Errorf("entry %d: %q, then %q", i, first[i].ID, again[i].ID)
		}
		if i == 5 {
			if first[i].ID != "" {
				t.Errorf("an entry without a time got the id %q", first[i].ID)
			}
			continue
		}
		if first[i].ID == "" || seen[first[i].ID] {
			t.Errorf("entry %d: the id %q is another's", i, first[i].ID)
		}
		seen[first[i].ID] = true
	}
}
