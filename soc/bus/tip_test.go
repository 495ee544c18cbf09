package bus

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"testing"

	"icewatch/soc/intake"
)

// bytesRead is what the process has read from files so far, those in the page
// cache too.
func bytesRead(t *testing.T) (n int) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/io")
	if err == nil {
		_, err = fmt.Sscanf(string(text), "rchar: %d", &n)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// While a reader keeps up with what is written, nothing of it is read back from
// the disk: the library once read all of the block again for each message.
// This test counts the process's reads, so no other may run beside it.
func TestReaderAtTheTipReadsNoDisk(t *testing.T) {
	s := open(t, t.TempDir(), 1<<30)
	defer s.Close()
	p, err := s.Publisher()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	c, err := s.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const messages, size = 300, 10_000
	came, ended := make(chan struct{}, messages), make(chan error, 1)
	enough := errors.New("enough")
	go func() {
		n := 0
		ended <- c.Raw(t.Context(), 1, func(Message) error {
			came <- struct{}{}
			if n++; n == messages {
				return enough
			}
			return nil
		})
	}()
	data := make([]byte, size)
	before := bytesRead(t)
	for range messages {
		_, _ = rand.Read(data)
		if err := p.Append(t.Context(), []intake.Record{{Collector: "test", Data: data}}); err != nil {
			t.Fatal(err)
		}
		select {
		case <-came:
		case err := <-ended:
			t.Fatal(err)
		}
	}
	if err := <-ended; !errors.Is(err, enough) && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if n := bytesRead(t) - before; n > 3*messages*size {
		t.Errorf("%d bytes were read from files while %d were written", n, messages*size)
	}
}
