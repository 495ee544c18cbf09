package channel

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"icewatch/ticketing/webhook"
)

// readLimit bounds what is read of an answer, in bytes.
const readLimit = 64 << 10

// ask makes a request and returns what came back. The result is a failure
// where there was no answer, or none of 2xx.
func (v *Via) ask(ctx context.Context, method, url string, headers map[string]string, body []byte) ([]byte, Result) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, final("the url cannot be used")
	}
	req.Header.Set("User-Agent", "icewatch")
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	resp, err := v.client.Do(req)
	if err != nil {
		return nil, Result{Result: webhook.Unanswered(err)}
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, readLimit))
	r := Result{Result: webhook.Judge(resp, v.Clock())}
	if r.Err == nil && err != nil {
		return nil, later(0, "the answer broke off")
	}
	return data, r
}

// askJSON posts a document and reads the answer into out.
func (v *Via) askJSON(ctx context.Context, url string, in, out any) Result {
	body, err := json.Marshal(in)
	if err != nil {
		return final("the message cannot be written: %w", err)
	}
	return v.read(v.ask(ctx, http.MethodPost, url, map[string]string{"Content-Type": "application/json; charset=utf-8"}, body))(out)
}

func (v *Via) read(data []byte, r Result) func(out any) Result {
	return func(out any) Result {
		if r.Err != nil {
			return r
		}
		if err := json.Unmarshal(data, out); err != nil {
			return Result{Result: webhook.Result{HTTPStatus: r.HTTPStatus, Retry: true, Err: errors.New("the answer is no JSON of this service: is the url the robot's, and does a proxy stand between?")}}
		}
		return r
	}
}

// refused makes a result of a vendor's own code. wait is how long to wait
// before trying again; a negative one never.
func (r Result) refused(vendor string, code int, message, hint string, wait time.Duration) Result {
	r.Err = fmt.Errorf("%s answered %d %s", vendor, code, clip(strings.TrimSpace(message), 200))
	if hint != "" {
		r.Err = fmt.Errorf("%w: %s", r.Err, hint)
	}
	r.Retry, r.RetryAfter = wait >= 0, max(wait, 0)
	return r
}

// clip cuts a text to so many bytes at most, between letters, and says so by an
// ellipsis.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	cut := max(limit-len("…"), 0)
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// tokens keeps access tokens until they expire, each under its owner's name.
type tokens struct {
	mu   sync.Mutex
	kept map[string]token
}

type token struct {
	value string
	until time.Time
}

func (t *tokens) get(owner string, now time.Time) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if k, ok := t.kept[owner]; ok && now.Before(k.until) {
		return k.value
	}
	return ""
}

func (t *tokens) put(owner, value string, until time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.kept == nil {
		t.kept = map[string]token{}
	}
	t.kept[owner] = token{value, until}
}

func (t *tokens) drop(owner string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.kept, owner)
}
