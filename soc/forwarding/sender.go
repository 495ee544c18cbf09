package forwarding

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"
)

// Batch is some events on their way to a target, of which each is open until
// the target took it or refused it for good.
type Batch struct {
	Events []Event

	settled  []bool
	left     int
	refused  []refusal
	bytes    int64 // of what was taken, as it was sent
	taken    int
	repeated int
}

// refusal is an event that the target does not want, and why.
type refusal struct {
	at     int
	reason string
}

func newBatch(events []Event) *Batch {
	return &Batch{Events: events, settled: make([]bool, len(events)), left: len(events)}
}

// Open are the places of the events that are still to be sent.
func (b *Batch) Open() []int {
	list := make([]int, 0, b.left)
	for i, done := range b.settled {
		if !done {
			list = append(list, i)
		}
	}
	return list
}

// Take says that the target has an event; size is how many bytes it took.
func (b *Batch) Take(i, size int) {
	b.settle(i)
	b.taken++
	b.bytes += int64(size)
}

// Repeat says that the target had the event already.
func (b *Batch) Repeat(i int) {
	b.Take(i, 0)
	b.repeated++
}

// Refuse says that the target does not want an event, whatever one does.
func (b *Batch) Refuse(i int, reason string) {
	b.settle(i)
	b.refused = append(b.refused, refusal{i, reason})
}

func (b *Batch) settle(i int) {
	b.settled[i] = true
	b.left--
}

// reached is how many events from the first on are settled without a gap.
func (b *Batch) reached() int {
	for i, done := range b.settled {
		if !done {
			return i
		}
	}
	return len(b.settled)
}

// sender speaks a target's protocol, over connections that it opens when they
// are needed. It is used by one goroutine.
type sender interface {
	// Send hands over the open events of the batch and says in the batch what
	// became of them. After an error those that are still open are sent again;
	// it says what the target did, never a secret.
	Send(ctx context.Context, b *Batch) error
	// Probe sees that the target can be reached and takes what is sent, by a
	// marked event where the protocol has no other way. detail says what was
	// found.
	Probe(ctx context.Context) (detail string, err error)
	// Sure tells whether an event that was taken is stored there. Where it is
	// not sure, the last ones are sent again after a connection broke.
	Sure() bool
	// Close lets go of connections, after what was sent has been read where that
	// can be known. It tells whether it has.
	Close() (read bool)
}

// Dialer opens connections to where users said; soc/egress judges where that is.
type Dialer func(ctx context.Context, network, address string) (net.Conn, error)

const (
	// sendTimeout bounds handing over one batch.
	sendTimeout = 30 * time.Second
	// maxAnswer bounds the answer of a target.
	maxAnswer = 32 << 20
	// maxReason bounds what is kept of why a target does not want an event.
	maxReason = 1000
)

// open makes the sender of a target.
func open(c *Content, secrets Secrets, dial Dialer, host string) (sender, error) {
	switch c.Kind {
	case Elasticsearch:
		return openElasticsearch(c, secrets, dial)
	case Kafka:
		return openKafka(c, secrets, dial)
	case Syslog:
		return openSyslog(c, secrets, dial, host)
	case Loki:
		return openLoki(c, secrets, dial)
	case RemoteWrite:
		return openRemoteWrite(c, secrets, dial)
	}
	return nil, fmt.Errorf("forward: there is no kind %q", c.Kind)
}

// transport is HTTP towards a target. It uses no proxy and follows no
// redirects: what is sent goes where the target says and nowhere else.
func transport(c *Content, secrets Secrets, dial Dialer) (*http.Transport, error) {
	conf, err := c.tlsConfig("", secrets)
	if err != nil {
		return nil, err
	}
	return &http.Transport{DialContext: dial, TLSClientConfig: conf, TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: sendTimeout,
		MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true}, nil
}

// clip cuts a text that others wrote to a length for people.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n] + "…"
}
