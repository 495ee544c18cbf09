package captcha

import (
	"bytes"
	"errors"
	"image/png"
	"testing"
	"time"
)

// solve reads the answer where a person would look at the picture.
func solve(t *testing.T, s *Store, id string) string {
	t.Helper()
	digits, err := s.digits(id)
	if err != nil {
		t.Fatal(err)
	}
	for i := range digits {
		digits[i] += '0'
	}
	return string(digits)
}

func TestOneTry(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	s := New(func() time.Time { return now })
	id, expires := s.Ask()
	if !expires.Equal(now.Add(Life)) {
		t.Errorf("open until %s", expires)
	}
	answer := solve(t, s, id)
	if !s.Answer(id, answer) {
		t.Error("the right answer")
	}
	if s.Answer(id, answer) {
		t.Error("the right answer, again")
	}
	id, _ = s.Ask()
	answer = solve(t, s, id)
	if s.Answer(id, "") || s.Answer(id, answer) {
		t.Error("the right answer after a wrong one")
	}
	id, _ = s.Ask()
	answer = solve(t, s, id)
	now = now.Add(Life)
	if s.Answer(id, answer) {
		t.Error("the right answer, too late")
	}
	if _, err := s.Image(id); !errors.Is(err, ErrGone) {
		t.Errorf("the picture of a question that is over: %v", err)
	}
	if s.Answer("", "") || s.Answer("nothing", "000000") {
		t.Error("an answer to nothing")
	}
}

func TestRenderings(t *testing.T) {
	t.Parallel()
	s := New(time.Now)
	id, _ := s.Ask()
	a, err := s.Image(id)
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(a))
	if err != nil || img.Bounds().Dx() != width || img.Bounds().Dy() != height {
		t.Errorf("%v, %v", img.Bounds(), err)
	}
	other, _ := s.Ask()
	if b, err := s.Image(other); err != nil || bytes.Equal(a, b) {
		t.Errorf("two questions look the same: %v", err)
	}
	for _, lang := range Languages {
		if wav, err := s.Audio(id, lang); err != nil || !bytes.HasPrefix(wav, []byte("RIFF")) {
			t.Errorf("%s: %v", lang, err)
		}
	}
}

func TestBounded(t *testing.T) {
	t.Parallel()
	s := New(time.Now)
	first, _ := s.Ask()
	for range 2 * maxOpen {
		id, _ := s.Ask()
		if id == first {
			t.Fatal("an id came again")
		}
	}
	if len(s.open) > maxOpen || len(s.order) > maxOpen {
		t.Errorf("%d open, %d in order", len(s.open), len(s.order))
	}
	if _, err := s.Image(first); !errors.Is(err, ErrGone) {
		t.Errorf("the oldest: %v", err)
	}
}
