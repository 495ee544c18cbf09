package simulate

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"icewatch/soc/client"
)

// Counts is what went over one channel. Acknowledged is what the suite said it
// keeps; plain syslog has no such word, so that it is missing there.
type Counts struct {
	Sent         int64  `json:"sent"`
	Acknowledged *int64 `json:"acknowledged,omitempty"`
	Resent       int64  `json:"resent,omitempty"`
	Failed       int64  `json:"failed,omitempty"`
}

// counters are the live form of Counts.
type counters struct{ sent, acked, resent, failed atomic.Int64 }

func (c *counters) counts(acks bool) Counts {
	out := Counts{Sent: c.sent.Load(), Resent: c.resent.Load(), Failed: c.failed.Load()}
	if acks {
		n := c.acked.Load()
		out.Acknowledged = &n
	}
	return out
}

// Frame is how a TCP stream is cut into messages (RFC 6587).
type Frame int

// The two framings.
const (
	OctetCounted Frame = iota
	NewlineFramed
)

// syslogHeader writes a message with a header of RFC 5424 or RFC 3164.
func syslogHeader(modern bool, facility, severity, host, app, pid, text string, now time.Time) []byte {
	pri := facilities[facility]*8 + severities[severity]
	if modern {
		if pid == "" {
			pid = "-"
		}
		return fmt.Appendf(nil, "<%d>1 %s %s %s %s - - %s", pri, now.Format("2006-01-02T15:04:05.000000Z07:00"), host, app, pid, text)
	}
	tag := app
	if pid != "" {
		tag += "[" + pid + "]"
	}
	return fmt.Appendf(nil, "<%d>%s %s %s: %s", pri, now.Local().Format(time.Stamp), host, tag, text)
}

// tcpSender keeps one syslog connection. A message that cannot be written is
// written again on the next one: without acknowledgements that is all a plain
// syslog sender can do.
type tcpSender struct {
	counters
	addr  string
	frame Frame
	conn  net.Conn
	log   *slog.Logger
}

func (s *tcpSender) send(ctx context.Context, msg []byte) {
	framed := make([]byte, 0, len(msg)+8)
	if s.frame == OctetCounted {
		framed = strconv.AppendInt(framed, int64(len(msg)), 10)
		framed = append(framed, ' ')
		framed = append(framed, msg...)
	} else {
		framed = append(framed, msg...)
		framed = append(framed, '\n')
	}
	for attempt := 0; ctx.Err() == nil; attempt++ {
		if attempt > 0 {
			s.resent.Add(1)
		}
		err := s.write(ctx, framed)
		if err == nil {
			s.sent.Add(1)
			return
		}
		if s.conn != nil {
			s.conn.Close()
			s.conn = nil
		}
		if attempt == 0 {
			s.log.Warn("syslog over TCP is interrupted, trying again", "address", s.addr, "error", err)
		}
		sleep(ctx, min(time.Duration(attempt+1)*200*time.Millisecond, 2*time.Second))
	}
	s.failed.Add(1)
}

func (s *tcpSender) write(ctx context.Context, framed []byte) error {
	if s.conn == nil {
		d := net.Dialer{Timeout: 5 * time.Second}
		conn, err := d.DialContext(ctx, "tcp", s.addr)
		if err != nil {
			return err
		}
		s.conn = conn
	}
	if err := s.conn.SetWriteDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return err
	}
	_, err := s.conn.Write(framed)
	return err
}

func (s *tcpSender) close() {
	if s.conn != nil {
		s.conn.Close()
	}
}

// udpSender sends datagrams.
type udpSender struct {
	counters
	conn net.Conn
}

func (s *udpSender) send(msg []byte) {
	if _, err := s.conn.Write(msg); err != nil {
		s.failed.Add(1)
		return
	}
	s.sent.Add(1)
}

// entry is one event on its way to an HTTP intake.
type entry struct {
	tenant string
	at     time.Time
	// app, level and host are Loki's labels; line is its line and, for
	// _bulk, the JSON document.
	app, level, host string
	id               string
	line             []byte
}

// batcher collects entries by tenant and posts them; a refused batch is posted
// again with the same ids, so that nothing is stored twice.
type batcher struct {
	counters
	name  string
	api   *client.Client
	every time.Duration
	size  int
	post  func(ctx context.Context, api *client.Client, batch []entry) (accepted int, retry []entry, err error)
	log   *slog.Logger

	mu      sync.Mutex
	waiting map[string][]entry
	kick    chan struct{}
}

// maxWaiting bounds what a batcher holds while the suite does not take it.
const maxWaiting = 20000

func newBatcher(name string, api *client.Client, every time.Duration, size int, log *slog.Logger,
	post func(context.Context, *client.Client, []entry) (int, []entry, error)) *batcher {
	return &batcher{name: name, api: api, every: every, size: size, post: post, log: log, waiting: map[string][]entry{}, kick: make(chan struct{}, 1)}
}

func (b *batcher) add(e entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, list := range b.waiting {
		n += len(list)
	}
	b.sent.Add(1)
	if n >= maxWaiting {
		b.failed.Add(1)
		return
	}
	b.waiting[e.tenant] = append(b.waiting[e.tenant], e)
	if len(b.waiting[e.tenant]) >= b.size {
		select {
		case b.kick <- struct{}{}:
		default:
		}
	}
}

// run posts until ctx ends, then what is left until drain ends.
func (b *batcher) run(ctx, drain context.Context) {
	tick := time.NewTicker(b.every)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			b.flush(drain)
		case <-b.kick:
			b.flush(drain)
		}
	}
	b.flush(drain)
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, list := range b.waiting {
		b.failed.Add(int64(len(list)))
	}
}

func (b *batcher) flush(ctx context.Context) {
	b.mu.Lock()
	all := b.waiting
	b.waiting = map[string][]entry{}
	b.mu.Unlock()
	for tenant, list := range all {
		api := b.api.With(b.api.Options().Token, tenant)
		for len(list) > 0 && ctx.Err() == nil {
			n := min(len(list), b.size)
			batch := list[:n]
			for attempt := 0; len(batch) > 0 && ctx.Err() == nil; attempt++ {
				if attempt > 0 {
					b.resent.Add(int64(len(batch)))
					sleep(ctx, min(time.Duration(attempt)*250*time.Millisecond, 3*time.Second))
				}
				accepted, retry, err := b.post(ctx, api, batch)
				b.acked.Add(int64(accepted))
				if err != nil && attempt == 0 {
					b.log.Warn("a batch was not taken", "channel", b.name, "tenant", tenant, "events", len(batch), "error", err)
				}
				if retry == nil {
					b.failed.Add(int64(len(batch) - accepted))
				}
				batch = retry
			}
			b.failed.Add(int64(len(batch)))
			list = list[n:]
		}
		b.failed.Add(int64(len(list)))
	}
}

// postBulk sends entries as Elasticsearch's _bulk does and reads each item's
// own status.
func postBulk(ctx context.Context, api *client.Client, batch []entry) (int, []entry, error) {
	var body bytes.Buffer
	for _, e := range batch {
		fmt.Fprintf(&body, `{"create":{"_id":%q}}`+"\n", e.id)
		body.Write(e.line)
		body.WriteByte('\n')
	}
	var answer struct {
		Errors bool                         `json:"errors"`
		Items  []map[string]json.RawMessage `json:"items"`
	}
	err := api.Send(ctx, http.MethodPost, "/elastic/logs-"+url.PathEscape(batch[0].app)+"/_bulk", nil,
		http.Header{"Content-Type": {"application/x-ndjson"}}, &body, &answer)
	if err != nil {
		return 0, retriable(err, batch), err
	}
	accepted := 0
	var retry []entry
	for i, item := range answer.Items {
		for _, raw := range item {
			var one struct {
				Status int `json:"status"`
			}
			if json.Unmarshal(raw, &one) != nil || i >= len(batch) {
				continue
			}
			switch {
			// 409 says that an earlier attempt had got through.
			case one.Status < 300 || one.Status == http.StatusConflict:
				accepted++
			case one.Status == http.StatusTooManyRequests || one.Status >= 500:
				retry = append(retry, batch[i])
			}
		}
	}
	if lost := len(batch) - accepted - len(retry); lost > 0 {
		return accepted, retry, fmt.Errorf("%d of %d documents were refused", lost, len(batch))
	}
	return accepted, retry, nil
}

// postLoki sends entries as Loki's push API takes them, as gzipped JSON.
func postLoki(ctx context.Context, api *client.Client, batch []entry) (int, []entry, error) {
	type stream struct {
		Stream map[string]string `json:"stream"`
		Values [][2]string       `json:"values"`
	}
	byLabels := map[string]*stream{}
	var streams []*stream
	for _, e := range batch {
		key := e.app + "\x00" + e.level + "\x00" + e.host
		s, ok := byLabels[key]
		if !ok {
			s = &stream{Stream: map[string]string{"app": e.app, "level": e.level, "host": e.host, "job": "simulate"}}
			byLabels[key] = s
			streams = append(streams, s)
		}
		s.Values = append(s.Values, [2]string{strconv.FormatInt(e.at.UnixNano(), 10), string(e.line)})
	}
	var body bytes.Buffer
	zip := gzip.NewWriter(&body)
	if err := json.NewEncoder(zip).Encode(map[string]any{"streams": streams}); err != nil {
		return 0, nil, err
	}
	if err := zip.Close(); err != nil {
		return 0, nil, err
	}
	err := api.Send(ctx, http.MethodPost, "/loki/api/v1/push", nil,
		http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"gzip"}}, &body, nil)
	if err != nil {
		return 0, retriable(err, batch), err
	}
	return len(batch), nil, nil
}

// retriable returns what may be sent again after an error: everything where
// the server was not reached or asks to wait, nothing where it refused.
func retriable(err error, batch []entry) []entry {
	if s := client.Status(err); s == 0 || s == http.StatusTooManyRequests || s >= 500 {
		return batch
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
