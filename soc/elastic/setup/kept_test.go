package setup

import (
	"fmt"
	"testing"
)

// TestKeptIsBounded: what is kept of one tenant is bounded.
func TestKeptIsBounded(t *testing.T) {
	t.Parallel()
	var k kept
	for i := range maxKept {
		if err := k.put("tax", fmt.Sprint("index/", i), []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	if err := k.put("tax", "index/more", []byte("{}")); err == nil {
		t.Error("there is no bound")
	}
	if err := k.put("hall", "index/more", []byte("{}")); err != nil {
		t.Error("one tenant takes another's room")
	}
}
