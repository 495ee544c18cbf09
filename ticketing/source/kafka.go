package source

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// Records are taken in so many at a time; the group's place moves on after each
// transaction.
const recordsPerTake = 500

// roots reads PEM certificates.
func roots(text string) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(text)) {
		return nil, errors.New("it holds no certificate in PEM")
	}
	return pool, nil
}

// client makes a client of the source's brokers.
func (s *Service) client(one *source, more ...kgo.Opt) (*kgo.Client, error) {
	k := one.content.Kafka
	dial := s.deps.Dial
	if k.TLS {
		conf := &tls.Config{MinVersion: tls.VersionTLS12}
		if k.CA != "" {
			var err error
			if conf.RootCAs, err = roots(k.CA); err != nil {
				return nil, fmt.Errorf("kafka.ca: %w", err)
			}
		}
		dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := s.deps.Dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			own := conf.Clone()
			own.ServerName, _, _ = net.SplitHostPort(address)
			secure := tls.Client(conn, own)
			if err := secure.HandshakeContext(ctx); err != nil {
				return nil, errors.Join(fmt.Errorf("TLS with %s: %w", address, err), conn.Close())
			}
			return secure, nil
		}
	}
	opts := append([]kgo.Opt{kgo.SeedBrokers(k.Brokers...), kgo.ClientID("icewatch"), kgo.Dialer(dial), kgo.FetchMaxPartitionBytes(MaxMessage)}, more...)
	var m sasl.Mechanism
	switch k.Mechanism {
	case "PLAIN":
		m = plain.Auth{User: k.Username, Pass: one.secrets[Password]}.AsMechanism()
	case "SCRAM-SHA-256":
		m = scram.Auth{User: k.Username, Pass: one.secrets[Password]}.AsSha256Mechanism()
	case "SCRAM-SHA-512":
		m = scram.Auth{User: k.Username, Pass: one.secrets[Password]}.AsSha512Mechanism()
	}
	if m != nil {
		opts = append(opts, kgo.SASL(m))
	}
	c, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	return c, nil
}

// consume reads the source's topics as one of its group until ctx ends. The
// group's place moves on only once what lies before it is durable, so that a
// record comes twice rather than not at all, and twice is once by fingerprint.
func (s *Service) consume(ctx context.Context, t *task) error {
	k := t.source.content.Kafka
	group, from := k.Group, kgo.NewOffset().AtEnd()
	if group == "" {
		group = "icewatch-alerts-" + t.source.ID
	}
	if k.From == "earliest" {
		from = kgo.NewOffset().AtStart()
	}
	c, err := s.client(t.source, kgo.ConsumerGroup(group), kgo.ConsumeTopics(k.Topics...), kgo.ConsumeResetOffset(from), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll())
	if err != nil {
		return err
	}
	defer c.CloseAllowingRebalance()
	if err := c.Ping(ctx); err != nil {
		return fmt.Errorf("no broker of %v answers: %w", k.Brokers, err)
	}
	for {
		fetches := c.PollRecords(ctx, recordsPerTake)
		if ctx.Err() != nil {
			return nil
		}
		for _, e := range fetches.Errors() {
			if !errors.Is(e.Err, context.Canceled) {
				return fmt.Errorf("topic %s, partition %d: %w", e.Topic, e.Partition, e.Err)
			}
		}
		t.fine(s.now())
		records := fetches.Records()
		if len(records) > 0 {
			messages := make([]Message, len(records))
			for i, r := range records {
				messages[i] = Message{Body: r.Value, Meta: map[string]string{"topic": r.Topic, "partition": strconv.Itoa(int(r.Partition)), "offset": strconv.FormatInt(r.Offset, 10), "key": clip(string(r.Key), 256)}}
			}
			if _, err := s.Take(ctx, t.source.ID, messages...); err != nil {
				return err
			}
			if err := c.CommitRecords(ctx, records...); err != nil && ctx.Err() == nil {
				return fmt.Errorf("the place of the group %s is not noted: %w", group, err)
			}
		}
		c.AllowRebalance()
	}
}

// probeKafka tells whether the brokers answer and have the topics.
func (s *Service) probeKafka(ctx context.Context, one *source) (string, error) {
	c, err := s.client(one, kgo.ConsumeTopics(one.content.Kafka.Topics...))
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.Ping(ctx); err != nil {
		return "", fmt.Errorf("no broker of %v answers: %w", one.content.Kafka.Brokers, err)
	}
	said := ""
	for _, topic := range one.content.Kafka.Topics {
		n, err := partitions(ctx, c, topic)
		if err != nil {
			return "", err
		}
		said += fmt.Sprintf("%s: %d partitions; ", topic, n)
	}
	return said[:len(said)-2], nil
}
