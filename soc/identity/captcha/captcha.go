// Package captcha asks a question that a person answers and a program hardly
// does: six digits in a distorted picture, or read aloud over noise. Each
// question is good for one answer and five minutes, and only so many are open
// at a time.
package captcha

import (
	"bytes"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	library "github.com/dchest/captcha"
)

const (
	// Digits is how many digits a question has.
	Digits = 6
	// Life is how long a question can be answered.
	Life = 5 * time.Minute
	// maxOpen bounds the open questions; the oldest goes first.
	maxOpen = 10_000

	width, height = 240, 80
)

// Languages lists those a question can be read aloud in.
var Languages = []string{"zh", "en"}

var (
	// ErrGone says that there is no such question, or no longer.
	ErrGone = errors.New("captcha: there is no such question, or no longer")
	// ErrBusy says that too many pictures are being drawn already.
	ErrBusy = errors.New("captcha: too many pictures are being drawn: try again shortly")
)

// Store holds the open questions. It is safe for concurrent use.
type Store struct {
	now     func() time.Time
	drawing chan struct{} // drawing costs a millisecond or more, so strangers get one processor at most

	mu    sync.Mutex
	open  map[string]question
	order []string // of being asked, oldest first; answered ones are left in until they are met
}

type question struct {
	digits  []byte // 0 to 9, not the letters
	expires time.Time
}

// New makes an empty store. The clock is for tests.
func New(now func() time.Time) *Store {
	return &Store{now: now, drawing: make(chan struct{}, 1), open: map[string]question{}}
}

// Ask opens a question and returns its id and until when it can be answered.
func (s *Store) Ask() (id string, expires time.Time) {
	b := make([]byte, 15)
	_, _ = rand.Read(b) // never fails since Go 1.24
	q := question{digits: library.RandomDigits(Digits), expires: s.now().Add(Life)}
	id = base64.RawURLEncoding.EncodeToString(b)
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.order) >= maxOpen || len(s.order) > 0 && !s.isOpen(s.order[0]) {
		delete(s.open, s.order[0])
		s.order = s.order[1:]
	}
	s.open[id] = q
	s.order = append(s.order, id)
	return id, q.expires
}

func (s *Store) isOpen(id string) bool {
	q, ok := s.open[id]
	return ok && s.now().Before(q.expires)
}

func (s *Store) digits(id string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.isOpen(id) {
		return nil, ErrGone
	}
	return slices.Clone(s.open[id].digits), nil
}

// draw makes one rendering at a time.
func (s *Store) draw(id string, render func(digits []byte, b *bytes.Buffer) error) ([]byte, error) {
	digits, err := s.digits(id)
	if err != nil {
		return nil, err
	}
	select {
	case s.drawing <- struct{}{}:
		defer func() { <-s.drawing }()
	case <-time.After(2 * time.Second):
		return nil, ErrBusy
	}
	var b bytes.Buffer
	if err := render(digits, &b); err != nil {
		return nil, fmt.Errorf("captcha: %w", err)
	}
	return b.Bytes(), nil
}

// Image draws a question as PNG.
func (s *Store) Image(id string) ([]byte, error) {
	return s.draw(id, func(digits []byte, b *bytes.Buffer) error {
		_, err := library.NewImage(id, digits, width, height).WriteTo(b)
		return err
	})
}

// Audio reads a question aloud as WAV, in one of Languages.
func (s *Store) Audio(id, language string) ([]byte, error) {
	return s.draw(id, func(digits []byte, b *bytes.Buffer) error {
		_, err := library.NewAudio(id, digits, language).WriteTo(b)
		return err
	})
}

// Answer closes the question and tells whether the answer was right. A wrong
// answer closes it too: there is one try.
func (s *Store) Answer(id, answer string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	ok := s.isOpen(id)
	want := s.open[id].digits
	delete(s.open, id)
	if !ok || len(answer) != len(want) {
		return false
	}
	got := []byte(answer)
	for i := range got {
		got[i] -= '0'
	}
	return subtle.ConstantTimeCompare(got, want) == 1
}
