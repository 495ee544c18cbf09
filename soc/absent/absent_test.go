package absent

import (
	"strconv"
	"testing"
)

func TestSet(t *testing.T) {
	t.Parallel()
	var s Set
	const keys = 3 * firstKeys
	for i := range keys {
		s.Add("key " + strconv.Itoa(i))
	}
	for i := range keys {
		if s.Lacks("key " + strconv.Itoa(i)) {
			t.Fatalf("key %d was added and is said not to be there", i)
		}
	}
	unsure := 0
	for i := range keys {
		if !s.Lacks("other " + strconv.Itoa(i)) {
			unsure++
		}
	}
	if share := float64(unsure) / keys; share > 0.02 {
		t.Errorf("of keys that were never added %.1f %% may be there, want 2 %% at most", share*100)
	}
	if len(s.filters) != 2 {
		t.Errorf("%d filters for %d keys", len(s.filters), keys)
	}
}
