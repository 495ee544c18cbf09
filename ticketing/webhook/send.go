package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"icewatch/soc/egress"
)

// The headers a notification carries beside the body.
const (
	// SignatureHeader holds "sha256=" and the hexadecimal HMAC-SHA256 of the
	// body under the receiver's secret, where it has one.
	SignatureHeader = "X-Icewatch-Signature"
	// DeliveryHeader holds the delivery's id. It stays the same when an
	// attempt is repeated, so that a receiver can drop what it has.
	DeliveryHeader = "X-Icewatch-Delivery"
)

// readLimit bounds what is read of an answer, in bytes: enough to reuse the
// connection after a usual one, too little to be fed for ever.
const readLimit = 64 << 10

// Target is where a notification goes.
type Target struct {
	URL    string
	Secret string // "" sends unsigned
}

// Result is the outcome of one attempt.
type Result struct {
	HTTPStatus int           // 0 where there was no answer
	Err        error         // nil on success; never holds the URL, which may hold secrets
	Retry      bool          // a later attempt may succeed
	RetryAfter time.Duration // how long the receiver asked to wait; 0 where it did not say
}

// Sender sends notifications. It is safe for concurrent use.
type Sender struct {
	client *http.Client
	agent  string
	clock  func() time.Time
}

// NewSender makes a sender whose attempts go through transport, which decides
// where they may go, and end after timeout. clock (nil for time.Now) turns
// dates in Retry-After into waiting times.
func NewSender(transport http.RoundTripper, timeout time.Duration, clock func() time.Time) *Sender {
	if clock == nil {
		clock = time.Now
	}
	return &Sender{agent: "icewatch", clock: clock, client: &http.Client{
		Transport: transport,
		Timeout:   timeout,
		// A redirect could carry alerts and signature to somebody else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// CheckURL tells whether notifications can go to a URL. The error does not
// repeat the URL.
func CheckURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil {
		return errors.New("url: it cannot be parsed: want http://HOST/PATH or https://HOST/PATH")
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("url: scheme %q: want http or https", u.Scheme)
	}
	if u.Hostname() == "" {
		return errors.New("url: the host is missing: want http://HOST/PATH or https://HOST/PATH")
	}
	return nil
}

// Host returns the host and port of a URL, for logs.
func Host(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Host
}

// Redact returns a URL that may be shown: without password and without the
// values of its query, where receivers keep their tokens.
func Redact(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	if u.User != nil {
		u.User = url.User("***")
	}
	if q := u.Query(); len(q) > 0 {
		for k := range q {
			q[k] = []string{"***"}
		}
		u.RawQuery = q.Encode()
	}
	u.Fragment = ""
	return u.String()
}

// Sign returns the value of SignatureHeader.
func Sign(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// Send makes one attempt. A status of 200 to 299 is success; 408, 429 and 500
// and above, and no answer at all, may be tried again; anything else, a
// redirect and a refused address included, is final.
func (s *Sender) Send(ctx context.Context, t Target, delivery string, body []byte) Result {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.URL, bytes.NewReader(body))
	if err != nil {
		return Result{Err: errors.New("the receiver's url cannot be used")}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", s.agent)
	req.Header.Set(DeliveryHeader, delivery)
	if t.Secret != "" {
		req.Header.Set(SignatureHeader, Sign(t.Secret, body))
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return Unanswered(err)
	}
	defer resp.Body.Close()
	// What the receiver says is not kept: it may quote secrets.
	_, _ = io.CopyN(io.Discard, resp.Body, readLimit)
	return Judge(resp, s.clock())
}

// Unanswered is the result of a request that an HTTP client gave up with err.
func Unanswered(err error) Result {
	return Result{Err: withoutURL(err), Retry: !errors.Is(err, egress.ErrRefused)}
}

// Judge says by an answer's status what became of an attempt; now turns dates
// in Retry-After into waiting times.
func Judge(resp *http.Response, now time.Time) Result {
	r := Result{HTTPStatus: resp.StatusCode}
	switch code := resp.StatusCode; {
	case code >= 200 && code <= 299:
		return r
	case code == http.StatusRequestTimeout, code == http.StatusTooManyRequests, code >= 500:
		r.Retry = true
		r.RetryAfter = retryAfter(resp.Header.Get("Retry-After"), now)
		r.Err = fmt.Errorf("the receiver answered %d %s", code, http.StatusText(code))
	case code >= 300 && code <= 399:
		r.Err = fmt.Errorf("the receiver answered %d %s: redirects are not followed", code, http.StatusText(code))
	default:
		r.Err = fmt.Errorf("the receiver answered %d %s", code, http.StatusText(code))
	}
	return r
}

// retryAfter reads the header of RFC 9110, section 10.2.3: seconds or a date.
func retryAfter(v string, now time.Time) time.Duration {
	if v == "" {
		return 0
	}
	if n, err := strconv.Atoi(v); err == nil {
		return time.Duration(max(0, min(n, 7*24*3600))) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// withoutURL takes the URL off an error of the HTTP client, since receivers
// keep tokens in it.
func withoutURL(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		if ue.Timeout() {
			return errors.New("no answer in time")
		}
		err = ue.Err
	}
	return err
}
