package kafka

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"icewatch/collectors"
	"icewatch/collectors/collecttest"
	"icewatch/soc/intake"
	"icewatch/test/peers"
)

// committed are the group's places in the first n partitions of a topic, -1
// where there is none.
func committed(ctx context.Context, client *kgo.Client, group, topic string, n int) ([]int64, error) {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group = group
	t := kmsg.NewOffsetFetchRequestTopic()
	t.Topic = topic
	gt := kmsg.NewOffsetFetchRequestGroupTopic()
	gt.Topic = topic
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = group
	for p := range n {
		t.Partitions = append(t.Partitions, int32(p))
		gt.Partitions = append(gt.Partitions, int32(p))
	}
	g.Topics = append(g.Topics, gt)
	req.Topics, req.Groups = append(req.Topics, t), append(req.Groups, g)
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return nil, err
	}
	out := make([]int64, n)
	for _, g := range resp.Groups {
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				out[p.Partition] = p.Offset
			}
		}
	}
	return out, nil
}

func topic(t *testing.T, client *kgo.Client, name string, partitions int32) {
	t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	one := kmsg.NewCreateTopicsRequestTopic()
	one.Topic, one.NumPartitions, one.ReplicationFactor = name, partitions, 1
	req.Topics, req.TimeoutMillis = append(req.Topics, one), 10_000
	resp, err := req.RequestWith(t.Context(), client)
	if err == nil {
		err = kerr.ErrorForCode(resp.Topics[0].ErrorCode)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A real broker is killed and comes back while two members read, one of which
// leaves: each message is stored, under one id, and the group's place is behind
// the last. A topic that is made anew is read from its beginning, under other
// ids.
func TestRealKafka(t *testing.T) {
	t.Parallel()
	k := peers.StartKafka(t)
	brokers := []string{k.Address}
	p := producer(t, brokers, kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	topic(t, p, "logs", 4)
	cfg := config(brokers, "logs")
	var sinks [3]collecttest.Sink
	all := func() []intake.Record {
		return slices.Concat(sinks[0].Records(), sinks[1].Records(), sinks[2].Records())
	}
	count := func(n int) {
		t.Helper()
		until(t, fmt.Sprintf("%d messages", n), func() bool { return len(distinct(t, all())) >= n })
		got := distinct(t, all())
		if texts := slices.Compact(slices.Sorted(maps.Values(got))); len(got) != n || len(texts) != n {
			t.Errorf("%d ids of %d texts, want %d", len(got), len(texts), n)
		}
	}
	_, stop := begin(t, cfg, &sinks[0])
	produce(t, p, texts("logs", 0, 2000)...)
	_, _ = begin(t, cfg, &sinks[1])
	produce(t, p, texts("logs", 2000, 3000)...)
	k.Kill()
	k.Start()
	produce(t, p, texts("logs", 3000, 4000)...)
	stop()
	var said string
	last, _ := begin(t, cfg, &sinks[2])
	produce(t, p, texts("logs", 4000, 5000)...)
	count(5000)
	until(t, "the group's place", func() bool {
		at, err := committed(t.Context(), p, cfg.Group, "logs", 4)
		said = fmt.Sprint(at, err)
		return err == nil && max(at[0], 0)+max(at[1], 0)+max(at[2], 0)+max(at[3], 0) == 5000
	}, &said)

	req := kmsg.NewPtrDeleteTopicsRequest()
	one := kmsg.NewDeleteTopicsRequestTopic()
	one.Topic = kmsg.StringPtr("logs")
	req.Topics, req.TopicNames, req.TimeoutMillis = append(req.Topics, one), []string{"logs"}, 10_000
	if _, err := req.RequestWith(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	p2 := producer(t, brokers, kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	until(t, "the topic is made anew", func() bool {
		req := kmsg.NewPtrCreateTopicsRequest()
		one := kmsg.NewCreateTopicsRequestTopic()
		one.Topic, one.NumPartitions, one.ReplicationFactor = "logs", 4, 1
		req.Topics, req.TimeoutMillis = append(req.Topics, one), 10_000
		resp, err := req.RequestWith(t.Context(), p2)
		return err == nil && resp.Topics[0].ErrorCode == 0
	})
	produce(t, p2, texts("logs", 5000, 5040)...)
	count(5040)
	t.Logf("%+v", last.Health())
}

// A real broker that wants TLS with a certificate, and SASL by each mechanism.
func TestRealKafkaSecured(t *testing.T) {
	t.Parallel()
	a := peers.NewAuthority(t)
	k := peers.StartSecuredKafka(t, a, "reader", "hush-hush")
	certFile, keyFile := a.Issue(t, t.TempDir())
	read := func(name string) string {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	p := producer(t, []string{k.Address})
	topic(t, p, "logs", 1)
	produce(t, p, texts("logs", 0, 20)...)
	cfg := config([]string{k.Secured}, "logs")
	cfg.TLS, cfg.TLSCAPEM, cfg.TLSCertPEM, cfg.TLSKeyPEM = true, a.PEM, read(certFile), read(keyFile)
	cfg.Username, cfg.Password = "reader", "hush-hush"
	for _, m := range []string{Plain, ScramSHA256, ScramSHA512} {
		cfg.SASLMechanism, cfg.Group = m, "by-"+m
		trial, err := try(t.Context(), cfg, collectors.Deps{})
		if err != nil || len(trial.Records) != collectors.MaxTrial {
			t.Errorf("%s: %v %+v", m, err, trial)
			continue
		}
		var sink collecttest.Sink
		_, stop := begin(t, cfg, &sink)
		sink.Wait(t, 20)
		stop()
	}
	wrong := *cfg
	wrong.Password = "x"
	if _, err := try(t.Context(), &wrong, collectors.Deps{}); err == nil {
		t.Error("a wrong password is taken")
	} else {
		t.Log(err)
	}
	wrong = *cfg
	wrong.TLSCertPEM, wrong.TLSKeyPEM = "", ""
	if _, err := try(t.Context(), &wrong, collectors.Deps{}); err == nil {
		t.Error("a client without a certificate is taken")
	} else {
		t.Log(err)
	}
	wrong = *cfg
	wrong.TLSCAPEM = peers.NewAuthority(t).PEM
	if _, err := try(t.Context(), &wrong, collectors.Deps{}); err == nil {
		t.Error("a broker of a stranger's authority is trusted")
	} else {
		t.Log(err)
	}
}
