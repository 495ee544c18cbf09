package centre

import (
	"testing"
	"time"

	"icewatch/soc/bus"
)

// TestPaced: no message is lost, doubled or out of order, whatever the batches
// are; a first message waits for nothing, and a full batch for no pace.
func TestPaced(t *testing.T) {
	t.Parallel()
	const count = 1000
	for _, test := range []struct {
		name   string
		pace   time.Duration
		enough int
	}{
		{"gathered", time.Millisecond, 1 << 20},
		{"full batches wait for no pace", time.Hour, 10},
		{"one by one", time.Hour, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			messages := make(chan bus.Message, 8)
			go func() {
				defer close(messages)
				for n := range count {
					messages <- bus.Message{Sequence: uint64(n + 1), Data: []byte{0}}
				}
			}()
			in := paced{messages: messages, pace: test.pace, enough: test.enough}
			next := uint64(1)
			for batch := in.next(); batch != nil; batch = in.next() {
				if len(batch) > test.enough {
					t.Errorf("a batch of %d messages, want %d at most", len(batch), test.enough)
				}
				for _, m := range batch {
					if m.Sequence != next {
						t.Fatalf("message %d, want %d", m.Sequence, next)
					}
					next++
				}
			}
			if next != count+1 {
				t.Errorf("%d messages, want %d", next-1, count)
			}
		})
	}
	t.Run("the first waits for nothing", func(t *testing.T) {
		t.Parallel()
		messages := make(chan bus.Message, 1)
		messages <- bus.Message{Sequence: 1}
		in := paced{messages: messages, pace: time.Hour, enough: 10}
		if batch := in.next(); len(batch) != 1 {
			t.Errorf("%d messages, want 1", len(batch))
		}
	})
}
