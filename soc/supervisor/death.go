package supervisor

import (
	"bytes"
	"io"
	"sync"
	"time"
)

// Death is how a child ended that was not asked to.
type Death struct {
	At     time.Time
	Lasted time.Duration // how long it had run
	Err    string        // its exit, as the system tells it
	Words  string        // the end of what it wrote to standard error
	InRow  int           // how many ended in a row within quickDeath
}

// quickDeath is the life below which a child counts as one that does not stay up.
const quickDeath = 30 * time.Second

// maxWords bounds Death.Words in bytes: a panic's stack of many goroutines is
// cut at its front but for its first lines, which name the cause.
const maxWords = 32 << 10

// Last is the child's last death; the zero Death where there was none.
func (s *Supervisor) Last() Death {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

func (s *Supervisor) died(begun time.Time, err error, words string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := Death{At: time.Now().UTC(), Lasted: time.Since(begun), Words: words, InRow: s.last.InRow + 1}
	if err != nil {
		d.Err = err.Error()
	}
	if d.Lasted > quickDeath {
		d.InRow = 1
	}
	s.last = d
}

// words passes on what a child writes to standard error, and remembers where a
// panic began and what came last.
type words struct {
	out io.Writer

	mu   sync.Mutex
	tail []byte
}

// Write never fails: a log that cannot be written must not end the child.
func (w *words) Write(p []byte) (int, error) {
	_, _ = w.out.Write(p)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tail = append(w.tail, p...)
	if n := len(w.tail); n > 2*maxWords {
		// The first half stays where a panic began in it.
		if at := firstPanic(w.tail); at >= 0 && at < n-maxWords {
			w.tail = append(w.tail[:0], w.tail[at:min(n, at+2*maxWords)]...)
		} else {
			w.tail = append(w.tail[:0], w.tail[n-maxWords:]...)
		}
	}
	return len(p), nil
}

// String is the last words: from a panic's beginning on, or the last ones.
func (w *words) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := w.tail
	if at := firstPanic(text); at >= 0 {
		// A few lines before say what the library was about.
		text = text[max(0, at-4<<10):]
		return string(text[:min(len(text), maxWords)])
	}
	return string(text[max(0, len(text)-maxWords):])
}

// firstPanic is where the runtime's word of a panic or a fatal signal begins at
// the start of a line, -1 where it is not.
func firstPanic(text []byte) int {
	at := -1
	for _, mark := range []string{"panic: ", "fatal error: ", "unexpected fault address "} {
		if bytes.HasPrefix(text, []byte(mark)) {
			at = max(at, 0)
		}
		// The first counts: what follows is its own consequence.
		if i := bytes.Index(text, []byte("\n"+mark)); i >= 0 && (at < 0 || i+1 < at) {
			at = i + 1
		}
	}
	return at
}
