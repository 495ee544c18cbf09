package engine

import (
	"testing"
	"time"
)

func TestDetectionIsSavedByWhatItCosts(t *testing.T) {
	t.Parallel()
	for took, want := range map[time.Duration]time.Duration{
		0:                      saveEvery,
		20 * time.Millisecond:  saveEvery,
		100 * time.Millisecond: 20 * time.Second,
		time.Second:            saveLate,
	} {
		if got := saveAfter(took); got != want {
			t.Errorf("after a save of %v the next waits %v, want %v", took, got, want)
		}
	}
}
