package forward

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"icewatch/soc/audit"
)

// recordKey is the key of every record: one key is one partition, so that the
// chain stays in order.
var recordKey = []byte("icewatch-audit")

// kafkaSender produces to one topic.
type kafkaSender struct {
	target Target
	client *kgo.Client
}

func openKafka(t *Target, o Options) (sender, error) {
	dial := o.Dial
	if t.TLS {
		dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := o.Dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			host, _, _ := net.SplitHostPort(address)
			secure := tls.Client(conn, t.tlsConfig(host))
			if err := secure.HandshakeContext(ctx); err != nil {
				_ = conn.Close()
				return nil, err
			}
			return secure, nil
		}
	}
	opts := []kgo.Opt{
		kgo.SeedBrokers(t.Brokers...), kgo.DefaultProduceTopic(t.Topic), kgo.ClientID("icewatch"), kgo.Dialer(dial),
		// Stored by all replicas that are in step, before it counts as sent.
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordDeliveryTimeout(sendTimeout), kgo.AllowAutoTopicCreation(),
	}
	if t.Mechanism != "" {
		password, err := t.password(o.Secrets)
		if err != nil {
			return nil, err
		}
		var m sasl.Mechanism
		switch t.Mechanism {
		case "PLAIN":
			m = plain.Auth{User: t.Username, Pass: password}.AsMechanism()
		case "SCRAM-SHA-256":
			m = scram.Auth{User: t.Username, Pass: password}.AsSha256Mechanism()
		default:
			m = scram.Auth{User: t.Username, Pass: password}.AsSha512Mechanism()
		}
		opts = append(opts, kgo.SASL(m))
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", t.where(), err)
	}
	return &kafkaSender{target: *t, client: client}, nil
}

// send implements sender.
func (s *kafkaSender) send(ctx context.Context, recs []audit.Record) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	out := make([]*kgo.Record, len(recs))
	for i := range recs {
		value, err := json.Marshal(&recs[i])
		if err != nil {
			return fmt.Errorf("write record %d: %w", recs[i].Seq, err)
		}
		out[i] = &kgo.Record{Key: recordKey, Value: value, Timestamp: recs[i].Time,
			Headers: []kgo.RecordHeader{{Key: "seq", Value: strconv.AppendInt(nil, recs[i].Seq, 10)}}}
	}
	if err := s.client.ProduceSync(ctx, out...).FirstErr(); err != nil {
		return fmt.Errorf("send to %s: %w", s.target.where(), err)
	}
	return nil
}

// sure implements sender: the brokers have acknowledged.
func (s *kafkaSender) sure() bool { return true }

func (s *kafkaSender) close() { s.client.Close() }
