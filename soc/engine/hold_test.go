package engine

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestHold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var h hold
		free := func() (free bool) {
			h.unlessHeld(func() { free = true })
			return free
		}
		if !free() {
			t.Error("held by nobody")
		}
		first := h.extend(time.Minute)
		time.Sleep(50 * time.Second)
		if free() {
			t.Error("not held within the minute")
		}
		if again := h.extend(time.Minute); !again.Equal(first) {
			t.Error("there is a gap in a hold that was asked for again in time")
		}
		time.Sleep(61 * time.Second)
		if !free() {
			t.Error("held for ever")
		}
		if later := h.extend(time.Hour); later.Equal(first) {
			t.Error("a gap is not told")
		}
		time.Sleep(maxHold + time.Second)
		if !free() {
			t.Error("held beyond the longest time")
		}
		h.extend(time.Minute)
		if h.end(); !free() {
			t.Error("held after its end")
		}
	})
}
