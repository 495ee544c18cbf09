package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/s2"
)

// The load generator runs as a process of its own, so that its CPU time can be
// told apart.
const (
	senders  = 4    // connections at a time
	perChunk = 2000 // events a request
)

// load sends events from up to to-1, and ends when all are acknowledged.
func load(ctx context.Context, c corpus, kind, url, token string, from, to uint64) error {
	encode := bulk
	if kind == "loki" {
		encode = lokiPush
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Uint64
	next.Store(from)
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			var e event
			var body []byte
			for ctx.Err() == nil {
				first := next.Add(perChunk) - perChunk
				if first >= to {
					return
				}
				body = encode(body[:0], c, &e, first, min(first+perChunk, to))
				if err := send(ctx, kind, url, token, body); err != nil {
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// send posts one request, and again where the store asks for patience.
func send(ctx context.Context, kind, url, token string, body []byte) error {
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/x-ndjson")
		if kind == "loki" {
			req.Header.Set("Content-Type", "application/x-protobuf")
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		answer, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		switch {
		case err != nil:
			return err
		case resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable:
			time.Sleep(50 * time.Millisecond)
			continue
		case resp.StatusCode/100 != 2:
			return fmt.Errorf("%s answers %s: %.500s", url, resp.Status, answer)
		}
		// The answer tells of each document; its first words tell of all.
		if kind == "bulk" && !bytes.HasPrefix(answer, []byte(`{"errors":false`)) {
			return fmt.Errorf("%s answers %.500s", url, answer)
		}
		return nil
	}
}

func bulk(b []byte, c corpus, e *event, from, to uint64) []byte {
	for i := from; i < to; i++ {
		c.event(i, e)
		b = append(b, "{\"create\":{}}\n"...)
		b = e.appendJSON(b)
		b = append(b, '\n')
	}
	return b
}

// lokiPush lays the same events out as streams of one host each.
func lokiPush(b []byte, c corpus, e *event, from, to uint64) []byte {
	var streams [hosts][]push.Entry
	for i := from; i < to; i++ {
		c.event(i, e)
		streams[e.host] = append(streams[e.host], push.Entry{Timestamp: time.Unix(0, e.time), Line: string(e.appendJSON(nil))})
	}
	req := push.PushRequest{}
	for host, entries := range streams {
		if len(entries) > 0 {
			req.Streams = append(req.Streams, push.Stream{Labels: `{job="gov", host="web-` + strconv.Itoa(host) + `"}`, Entries: entries})
		}
	}
	plain, err := req.Marshal()
	if err != nil {
		panic(err) // of our own making
	}
	return s2.EncodeSnappy(b[:cap(b)], plain)
}
