package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	syslogConnections = 4
	bulkConnections   = 4
	markEvery         = 100 * time.Millisecond
)

// load sends chunks round and round, as many as may be on their way.
type load struct {
	corpus *corpus
	city   *city
	syslog string   // address
	url    string   // of _bulk
	tokens []string // by tenant

	window atomic.Int64    // events that may be on their way
	rate   float64         // events a second at most; 0 is as many as the suite takes
	sent   [2]atomic.Int64 // events by way, acknowledged those of _bulk
	gone   atomic.Int64    // events handed to the senders
	ended  atomic.Bool     // no more are sent

	progress atomic.Pointer[progress] // how far the suite is; nil before it was seen

	mu    sync.Mutex
	marks []mark
}

// seenPoint is how many events the suite had worked when it was last news.
type seenPoint struct {
	at     time.Time
	events float64
}

// progress is that, and how many events a second it works.
type progress struct {
	seenPoint
	rate float64
}

// longestUnseen is for how long the suite is taken to go on as before.
const longestUnseen = 3 * time.Second

// done is how many events the suite has worked by now: it tells once a second,
// and what it does until it tells again is taken to go on as before. Else the
// generator would send in bursts and leave it idle between them.
func (l *load) done() int64 {
	p := l.progress.Load()
	if p == nil {
		return 0
	}
	return int64(p.events + p.rate*min(time.Since(p.at), longestUnseen).Seconds())
}

// mark is a marked event.
type mark struct {
	user string
	sent time.Time
	way  way
}

// job is a chunk for a sender, with a marked event where one is due.
type job struct {
	*chunk
	mark string // user of the marked event
}

// run sends until ended is set, and returns once all is acknowledged.
func (l *load) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var jobs [2]chan job
	for i := range jobs {
		jobs[i] = make(chan job, 2)
	}
	var wg sync.WaitGroup
	start := func(n int, send func(ctx context.Context, jobs <-chan job) error, w way) {
		for range n {
			wg.Go(func() {
				if err := send(ctx, jobs[w]); err != nil {
					cancel(err)
				}
			})
		}
	}
	start(syslogConnections, l.sendSyslog, syslogTCP)
	start(bulkConnections, l.sendBulk, bulk)
	l.pace(ctx, jobs)
	for _, c := range jobs {
		close(c)
	}
	wg.Wait()
	return context.Cause(ctx)
}

// pace hands out the chunks.
func (l *load) pace(ctx context.Context, jobs [2]chan job) {
	began, marked, marks := time.Now(), time.Now(), 0
	for n := 0; !l.ended.Load(); n++ {
		c := &l.corpus.chunks[n%len(l.corpus.chunks)]
		for !l.ended.Load() && (l.gone.Load()-l.done() > l.window.Load() || l.rate > 0 && float64(l.gone.Load()) > l.rate*time.Since(began).Seconds()) {
			select {
			case <-time.After(2 * time.Millisecond):
			case <-ctx.Done():
				return
			}
		}
		j := job{chunk: c}
		// Marked events take both ways in turn.
		if time.Since(marked) >= markEvery && int(c.way) == marks%2 {
			marked = marked.Add(markEvery)
			j.mark = fmt.Sprintf("mark%06d", marks)
			marks++
		}
		select {
		case jobs[c.way] <- j:
			l.gone.Add(perChunk)
		case <-ctx.Done():
			return
		}
	}
}

// noted remembers when a marked event was sent.
func (l *load) noted(j job, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.marks = append(l.marks, mark{j.mark, at, j.way})
}

func (l *load) sendSyslog(ctx context.Context, jobs <-chan job) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.syslog)
	if err != nil {
		return err
	}
	defer conn.Close()
	var text []byte
	for j := range jobs {
		now, n := time.Now(), int64(perChunk)
		text = append(text[:0], j.text...)
		restamp(text, j.stamps, now)
		if j.mark != "" {
			text = fmt.Appendf(text, "<86>1 %s %s sudo - - - %s : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/true %s\n",
				now.UTC().Format(layouts[isoTime]), l.city.servers[0].name, j.mark, markWord)
			l.noted(j, now)
			n++
		}
		if _, err := conn.Write(text); err != nil {
			return fmt.Errorf("syslog: %w", err)
		}
		l.sent[syslogTCP].Add(n)
	}
	return nil
}

func (l *load) sendBulk(ctx context.Context, jobs <-chan job) error {
	var text []byte
	for j := range jobs {
		now, n := time.Now(), int64(perChunk)
		text = append(text[:0], j.text...)
		restamp(text, j.stamps, now)
		if j.mark != "" {
			text = fmt.Appendf(text, "{\"create\":{}}\n{\"@timestamp\":%q,\"message\":\"a marked document\",\"user.name\":%q,\"process.command_line\":%q}\n",
				now.UTC().Format(layouts[isoTime]), j.mark, markWord)
			l.noted(j, now)
			n++
		}
		if err := l.post(ctx, l.tokens[j.tenant], text); err != nil {
			return err
		}
		l.sent[bulk].Add(n)
	}
	return nil
}

// post sends one request, and again where the suite asks for patience.
func (l *load) post(ctx context.Context, token string, body []byte) error {
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.url, bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/x-ndjson")
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := transport.RoundTrip(req)
		if err != nil {
			return err
		}
		// The answer tells of each document; its first words tell of all.
		const fine = `{"errors":false`
		head := make([]byte, 512)
		n, err := io.ReadAtLeast(resp.Body, head, len(fine))
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		switch {
		case resp.StatusCode == http.StatusTooManyRequests:
			time.Sleep(50 * time.Millisecond)
			continue
		case err != nil || resp.StatusCode != http.StatusOK || !bytes.HasPrefix(head[:n], []byte(fine)):
			return fmt.Errorf("%s answers %s: %s %w", l.url, resp.Status, head[:n], err)
		}
		return nil
	}
}

var transport = &http.Transport{MaxIdleConnsPerHost: bulkConnections, DisableCompression: true}
