package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// publishTimeout is how long a message waits for its fsync before it is
	// sent again.
	publishTimeout = 20 * time.Second
	// sameMessage is how long the bus remembers the ids of messages. One that
	// is sent again waits behind the first in the stream's own queue, so that
	// it need not be long; at a start as much of the stream is read again.
	sameMessage = 30 * time.Second
)

// Client is one process's connection to the bus. It reconnects for ever.
type Client struct {
	nc  *nats.Conn
	js  jetstream.JetStream
	log *slog.Logger
}

// Connect connects to a bus that listens on a unix socket.
func Connect(path string, log *slog.Logger) (*Client, error) {
	return connect(log, nats.SetCustomDialer(unixDialer(path)))
}

type unixDialer string

func (d unixDialer) Dial(_, _ string) (net.Conn, error) { return net.Dial("unix", string(d)) }

func connect(log *slog.Logger, opt nats.Option) (*Client, error) {
	nc, err := nats.Connect("nats://bus", opt, nats.Name("icewatch"), nats.MaxReconnects(-1),
		nats.ReconnectWait(100*time.Millisecond), nats.Timeout(10*time.Second),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { log.Warn("bus: connection", "error", err) }))
	if err != nil {
		return nil, fmt.Errorf("bus: connect: %w", err)
	}
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(64), jetstream.WithPublishAsyncTimeout(publishTimeout))
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("bus: %w", err)
	}
	return &Client{nc: nc, js: js, log: log}, nil
}

// Close ends the connection.
func (c *Client) Close() { c.nc.Close() }

// State is where the raw stream stands.
type State struct {
	Epoch    string // changes when the stream is made anew and sequences start over
	First    uint64 // sequence of the oldest batch still held
	Last     uint64 // sequence of the newest
	Messages uint64
	Bytes    uint64
}

// RawState tells where the raw stream stands.
func (c *Client) RawState(ctx context.Context) (State, error) {
	return c.state(ctx, rawStream)
}

// OccurrenceState tells where the stream of occurrences stands.
func (c *Client) OccurrenceState(ctx context.Context) (State, error) {
	return c.state(ctx, occurrenceStream)
}

// MetricState tells where the stream of samples stands.
func (c *Client) MetricState(ctx context.Context) (State, error) {
	return c.state(ctx, metricStream)
}

func (c *Client) state(ctx context.Context, name string) (State, error) {
	st, err := c.js.Stream(ctx, name)
	if err != nil {
		return State{}, fmt.Errorf("bus: stream %s: %w", name, err)
	}
	info := st.CachedInfo()
	return State{Epoch: info.Config.Metadata[epochKey], First: info.State.FirstSeq, Last: info.State.LastSeq,
		Messages: info.State.Msgs, Bytes: info.State.Bytes}, nil
}

// TrimRaw lets go of the batches before sequence seq.
func (c *Client) TrimRaw(ctx context.Context, seq uint64) error { return c.trim(ctx, rawStream, seq) }

// TrimOccurrences lets go of the messages before sequence seq.
func (c *Client) TrimOccurrences(ctx context.Context, seq uint64) error {
	return c.trim(ctx, occurrenceStream, seq)
}

// TrimMetrics lets go of the samples before sequence seq.
func (c *Client) TrimMetrics(ctx context.Context, seq uint64) error {
	return c.trim(ctx, metricStream, seq)
}

func (c *Client) trim(ctx context.Context, name string, seq uint64) error {
	st, err := c.js.Stream(ctx, name)
	if err == nil {
		err = st.Purge(ctx, jetstream.WithPurgeSequence(seq))
	}
	if err != nil {
		return fmt.Errorf("bus: trim %s to %d: %w", name, seq, err)
	}
	return nil
}

// Message is one message of a stream.
type Message struct {
	Sequence uint64
	Time     time.Time // when the bus took it
	Data     []byte
}

// Raw hands over the raw batches from sequence start on, in order, each once,
// until ctx ends or handle returns an error.
func (c *Client) Raw(ctx context.Context, start uint64, handle func(Message) error) error {
	return c.consume(ctx, rawStream, rawSubject, start, handle)
}

// Occurrences hands over messages as Raw does.
func (c *Client) Occurrences(ctx context.Context, start uint64, handle func(Message) error) error {
	return c.consume(ctx, occurrenceStream, occurrenceSubj, start, handle)
}

// Metrics hands over batches of samples as Raw does.
func (c *Client) Metrics(ctx context.Context, start uint64, handle func(Message) error) error {
	return c.consume(ctx, metricStream, metricSubject, start, handle)
}

func (c *Client) consume(ctx context.Context, stream, subject string, start uint64, handle func(Message) error) error {
	next := max(start, 1)
	for ctx.Err() == nil {
		err := c.consumeOnce(ctx, stream, subject, &next, handle)
		var he handlerError
		if errors.As(err, &he) {
			return he.error
		}
		if err != nil && ctx.Err() == nil {
			c.log.Warn("bus: reading was interrupted and goes on", "stream", stream, "next", next, "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(200 * time.Millisecond):
			}
		}
	}
	return ctx.Err()
}

type handlerError struct{ error }

func (c *Client) consumeOnce(ctx context.Context, stream, subject string, next *uint64, handle func(Message) error) error {
	cons, err := c.js.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{subject}, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: *next,
	})
	if err != nil {
		return err
	}
	it, err := cons.Messages(jetstream.PullMaxBytes(16 << 20))
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, it.Stop)
	defer stop()
	defer it.Stop()
	for {
		msg, err := it.Next()
		if err != nil {
			return err
		}
		meta, err := msg.Metadata()
		if err != nil {
			return err
		}
		if meta.Sequence.Stream < *next {
			continue
		}
		if err := handle(Message{Sequence: meta.Sequence.Stream, Time: meta.Timestamp, Data: msg.Data()}); err != nil {
			return handlerError{err}
		}
		*next = meta.Sequence.Stream + 1
	}
}

// PublishOccurrences makes one message durable on the stream of occurrences.
func (c *Client) PublishOccurrences(ctx context.Context, data []byte) error {
	if _, err := c.js.Publish(ctx, occurrenceSubj, data); err != nil {
		return fmt.Errorf("bus: publish occurrences: %w", err)
	}
	return nil
}

// PublishRaw makes one batch durable on the stream of raw records, outside of
// the Publisher's groups: for what comes of the bus itself.
func (c *Client) PublishRaw(ctx context.Context, batch []byte) error {
	if _, err := c.js.Publish(ctx, rawSubject, batch); err != nil {
		return fmt.Errorf("bus: publish a batch: %w", err)
	}
	return nil
}

// PublishControl replaces the newest message of a control topic, such as
// "rules" or "enrichment".
func (c *Client) PublishControl(ctx context.Context, topic string, data []byte) error {
	if len(data) > maxPayload {
		return fmt.Errorf("bus: control message %s has %d bytes; %d is the most", topic, len(data), maxPayload)
	}
	if _, err := c.js.Publish(ctx, controlPrefix+topic, data); err != nil {
		return fmt.Errorf("bus: publish %s: %w", topic, err)
	}
	return nil
}

// Control hands over the newest message of a control topic, then each newer
// one, until ctx ends.
func (c *Client) Control(ctx context.Context, topic string, handle func(data []byte)) error {
	return c.control(ctx, topic, []string{topic}, func(_ string, m jetstream.Msg) { handle(m.Data()) })
}

// ControlParts is Control for a topic of many parts, each published under the
// topic, a dot and a name of its own, and the topic itself once all are there:
// after any change of parts as well. part is called for each part, whole once
// all of the parts that were there when the call began have been handed over.
func (c *Client) ControlParts(ctx context.Context, topic string, part func(name string, data []byte), whole func()) error {
	marked, told := false, false
	return c.control(ctx, topic, []string{topic, topic + ".>"}, func(name string, m jetstream.Msg) {
		if name == topic {
			marked = true
		} else {
			part(strings.TrimPrefix(name, topic+"."), m.Data())
		}
		// A part that changed since lies behind the mark.
		if meta, err := m.Metadata(); marked && !told && err == nil && meta.NumPending == 0 {
			told = true
			whole()
		}
	})
}

func (c *Client) control(ctx context.Context, topic string, topics []string, handle func(topic string, m jetstream.Msg)) error {
	subjects := make([]string, len(topics))
	for i, t := range topics {
		subjects[i] = controlPrefix + t
	}
	cons, err := c.js.OrderedConsumer(ctx, controlStream, jetstream.OrderedConsumerConfig{
		FilterSubjects: subjects, DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy,
	})
	if err != nil {
		return fmt.Errorf("bus: control %s: %w", topic, err)
	}
	cc, err := cons.Consume(func(m jetstream.Msg) { handle(strings.TrimPrefix(m.Subject(), controlPrefix), m) })
	if err != nil {
		return fmt.Errorf("bus: control %s: %w", topic, err)
	}
	<-ctx.Done()
	cc.Stop()
	return nil
}
