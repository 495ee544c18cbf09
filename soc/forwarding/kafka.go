package forwarding

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// codecs are the ways to compress what goes to Kafka.
var codecs = map[string]kgo.CompressionCodec{"zstd": kgo.ZstdCompression(), "lz4": kgo.Lz4Compression(), "snappy": kgo.SnappyCompression(),
	"gzip": kgo.GzipCompression(), "none": kgo.NoCompression()}

// kafkaSender produces idempotently: what the client itself sends again after
// a broken connection or a new leader is there once. Only what a suite sent
// that was killed before it noted the acknowledgement comes twice, with the
// same key.
type kafkaSender struct {
	topic   pattern
	brokers string
	client  *kgo.Client
	trouble trouble
}

// trouble remembers why a broker cannot be reached: the client tries again by
// itself and fails nothing.
type trouble struct {
	mu  sync.Mutex
	err error
}

var _ kgo.HookBrokerConnect = (*trouble)(nil)

// OnBrokerConnect implements kgo.HookBrokerConnect.
func (t *trouble) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.err = err
}

// Trouble tells why it takes long, nil where nothing is known.
func (s *kafkaSender) Trouble() error {
	s.trouble.mu.Lock()
	defer s.trouble.mu.Unlock()
	return s.trouble.err
}

func openKafka(c *Content, secrets Secrets, dial Dialer) (sender, error) {
	k := c.Kafka
	topic, err := parsePattern(k.Topic, "tenant", "dataset")
	if err != nil {
		return nil, err
	}
	dialer := dial
	if k.TLS {
		dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
			host, _, _ := net.SplitHostPort(address)
			conf, err := c.tlsConfig(host, secrets)
			if err != nil {
				return nil, err
			}
			conn, err := dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			secure := tls.Client(conn, conf)
			if err := secure.HandshakeContext(ctx); err != nil {
				return nil, errors.Join(fmt.Errorf("TLS with %s: %w", address, err), conn.Close())
			}
			return secure, nil
		}
	}
	opts := []kgo.Opt{
		kgo.SeedBrokers(k.Brokers...), kgo.ClientID("icewatch"), kgo.Dialer(dialer), kgo.AllowAutoTopicCreation(),
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerBatchCompression(codecs[k.Compression]), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.ProducerBatchMaxBytes(1_000_000), kgo.ProducerLinger(5 * time.Millisecond),
		// A record is tried again for as long as the client lives: one that was
		// given up may be there all the same, and would come twice.
		kgo.RetryTimeout(sendTimeout), kgo.UnknownTopicRetries(10),
	}
	s := &kafkaSender{topic: topic, brokers: strings.Join(k.Brokers, ",")}
	opts = append(opts, kgo.WithHooks(&s.trouble))
	if k.Mechanism != "" {
		var m sasl.Mechanism
		switch k.Mechanism {
		case "PLAIN":
			m = plain.Auth{User: k.Username, Pass: secrets[Password]}.AsMechanism()
		case "SCRAM-SHA-256":
			m = scram.Auth{User: k.Username, Pass: secrets[Password]}.AsSha256Mechanism()
		default:
			m = scram.Auth{User: k.Username, Pass: secrets[Password]}.AsSha512Mechanism()
		}
		opts = append(opts, kgo.SASL(m))
	}
	if s.client, err = kgo.NewClient(opts...); err != nil {
		return nil, fmt.Errorf("forward: %w", err)
	}
	return s, nil
}

// permanent are the errors that say that a record itself is not wanted.
var permanent = []error{kerr.MessageTooLarge, kerr.RecordListTooLarge, kerr.InvalidRecord, kerr.InvalidTimestamp}

// Send implements sender. It waits until every record is acknowledged or has
// failed: a record that the client holds may still arrive.
func (s *kafkaSender) Send(ctx context.Context, b *Batch) error {
	open := b.Open()
	type outcome struct {
		i    int
		size int
		err  error
	}
	var mu sync.Mutex
	outcomes := make([]outcome, 0, len(open))
	var wg sync.WaitGroup
	for _, i := range open {
		e := &b.Events[i]
		value := e.document(nil)
		wg.Add(1)
		// Without ctx: see RetryTimeout above.
		s.client.Produce(context.WithoutCancel(ctx), &kgo.Record{Topic: s.topic.fill(e.word), Key: []byte(e.Key), Value: value, Timestamp: e.Time,
			Headers: []kgo.RecordHeader{{Key: "event.id", Value: []byte(e.Key)}, {Key: "content-type", Value: []byte("application/json")}}},
			func(_ *kgo.Record, err error) {
				mu.Lock()
				outcomes = append(outcomes, outcome{i, len(value), err})
				mu.Unlock()
				wg.Done()
			})
	}
	all := make(chan struct{})
	go func() {
		wg.Wait()
		close(all)
	}()
	select {
	case <-all:
	case <-ctx.Done():
		s.client.Close() // which fails what is not acknowledged
		<-all
	}
	var fault error
	for _, o := range outcomes {
		switch {
		case o.err == nil:
			b.Take(o.i, o.size)
		case isAny(o.err, permanent):
			b.Refuse(o.i, clip(o.err.Error(), maxReason))
		case fault == nil:
			fault = o.err
		}
	}
	if fault != nil {
		return fmt.Errorf("%d of %d events are not acknowledged by %s: %w", b.left, len(open), s.brokers, fault)
	}
	return nil
}

func isAny(err error, of []error) bool {
	for _, e := range of {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// Probe implements sender.
func (s *kafkaSender) Probe(ctx context.Context) (string, error) {
	if err := s.client.Ping(ctx); err != nil {
		return "", fmt.Errorf("no broker of %s answers: %w", s.brokers, err)
	}
	e := testEvent(time.Now())
	topic := s.topic.fill(e.word)
	r := s.client.ProduceSync(ctx, &kgo.Record{Topic: topic, Key: []byte(e.Key), Value: e.document(nil), Headers: []kgo.RecordHeader{{Key: "event.id", Value: []byte(e.Key)}}})
	if err := r.FirstErr(); err != nil {
		return "", fmt.Errorf("a test event to the topic %s: %w", topic, err)
	}
	return fmt.Sprintf("a test event was taken: topic %s, partition %d, offset %d", topic, r[0].Record.Partition, r[0].Record.Offset), nil
}

// Sure implements sender: the replicas that are in step have it.
func (s *kafkaSender) Sure() bool { return true }

// Close implements sender.
func (s *kafkaSender) Close() bool {
	s.client.Close()
	return true
}
