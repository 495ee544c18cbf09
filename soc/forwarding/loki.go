package forwarding

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/snappy"
)

// lokiSender pushes to Grafana Loki. The line is the event as ECS JSON with its
// id, so that no two events have the same one, and an event that is sent again
// has the same time, labels and line: Loki keeps it once.
type lokiSender struct {
	url    string
	sign   func(*http.Request)
	tenant string
	labels []lokiLabel // sorted by name
	client *http.Client
}

type lokiLabel struct{ name, field string }

func openLoki(c *Content, secrets Secrets, dial Dialer) (sender, error) {
	o := c.Loki
	t, err := transport(c, secrets, dial)
	if err != nil {
		return nil, err
	}
	s := &lokiSender{tenant: o.Tenant, client: &http.Client{Transport: t, Timeout: sendTimeout, CheckRedirect: noRedirect}, sign: signer(o.Auth, o.Username, secrets[Password])}
	u, err := url.Parse(strings.TrimRight(o.URL, "/"))
	if err != nil {
		return nil, fmt.Errorf("the URL %q: %w", o.URL, err)
	}
	if !strings.HasSuffix(u.Path, "/push") {
		u.Path += defaultPush
	}
	s.url = u.String()
	for _, name := range slices.Sorted(maps.Keys(o.Labels)) {
		s.labels = append(s.labels, lokiLabel{name, o.Labels[name]})
	}
	return s, nil
}

func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// signer signs requests in.
func signer(auth, username, secret string) func(*http.Request) {
	return func(r *http.Request) {
		switch auth {
		case AuthBasic:
			r.SetBasicAuth(username, secret)
		case AuthBearer:
			r.Header.Set("Authorization", "Bearer "+secret)
		}
	}
}

// stream is the labels of an event's stream as Loki writes them.
func (s *lokiSender) stream(e *Event) string {
	b := []byte(`{`)
	for _, l := range s.labels {
		v := e.text(l.field)
		if v == "" {
			continue
		}
		if len(b) > 1 {
			b = append(b, ", "...)
		}
		b = append(append(b, l.name...), '=')
		b = strconv.AppendQuote(b, v)
	}
	if len(b) == 1 {
		b = append(b, `job="icewatch"`...)
	}
	return string(append(b, '}'))
}

// Send implements sender.
func (s *lokiSender) Send(ctx context.Context, b *Batch) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	open := b.Open()
	lines := make([]string, len(open))
	for k, i := range open {
		lines[k] = string(b.Events[i].document(nil))
	}
	return s.push(ctx, b, open, lines)
}

// push sends some events. Loki answers 400 where it refuses one of them, and
// has taken the others: halves are sent again until it is known which.
func (s *lokiSender) push(ctx context.Context, b *Batch, open []int, lines []string) error {
	err := s.post(ctx, b, open, lines)
	var refused *statusError
	switch {
	case err == nil:
		for k, i := range open {
			b.Take(i, len(lines[k]))
		}
		return nil
	case !errors.As(err, &refused) || refused.status != http.StatusBadRequest && refused.status != http.StatusRequestEntityTooLarge:
		return err
	case len(open) == 1:
		b.Refuse(open[0], clip(err.Error(), maxReason))
		return nil
	}
	half := len(open) / 2
	if err := s.push(ctx, b, open[:half], lines[:half]); err != nil {
		return err
	}
	return s.push(ctx, b, open[half:], lines[half:])
}

func (s *lokiSender) post(ctx context.Context, b *Batch, open []int, lines []string) error {
	var req push.PushRequest
	places := map[string]int{}
	for k, i := range open {
		e := &b.Events[i]
		labels := s.stream(e)
		at, ok := places[labels]
		if !ok {
			at = len(req.Streams)
			places[labels] = at
			req.Streams = append(req.Streams, push.Stream{Labels: labels})
		}
		req.Streams[at].Entries = append(req.Streams[at].Entries, push.Entry{Timestamp: e.Time, Line: lines[k]})
	}
	data, err := req.Marshal()
	if err != nil {
		return fmt.Errorf("write the push request: %w", err)
	}
	header := http.Header{"Content-Type": {"application/x-protobuf"}}
	if s.tenant != "" {
		header.Set("X-Scope-OrgID", s.tenant)
	}
	return post(ctx, s.client, s.url, snappy.Encode(nil, data), header, s.sign)
}

// post sends a body; an answer that is none of success is a statusError.
func post(ctx context.Context, client *http.Client, to string, body []byte, header http.Header, sign func(*http.Request)) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("forward: %w", err)
	}
	r.Header = header
	r.Header.Set("User-Agent", "icewatch")
	sign(r)
	resp, err := client.Do(r)
	if err != nil {
		return fmt.Errorf("the target cannot be asked: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return fmt.Errorf("the target's answer broke off: %w", err)
	}
	if resp.StatusCode/100 != 2 {
		return &statusError{resp.StatusCode, clip(strings.TrimSpace(string(text)), 500)}
	}
	return nil
}

// Probe implements sender.
func (s *lokiSender) Probe(ctx context.Context) (string, error) {
	b := newBatch([]Event{testEvent(time.Now())})
	if err := s.Send(ctx, b); err != nil {
		return "", err
	}
	if len(b.refused) > 0 {
		return "", fmt.Errorf("it refused the test event: %s", b.refused[0].reason)
	}
	return "a test event was taken", nil
}

// Sure implements sender.
func (s *lokiSender) Sure() bool { return true }

// Close implements sender.
func (s *lokiSender) Close() bool {
	s.client.CloseIdleConnections()
	return true
}
