package kafka

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"icewatch/collectors"
	"icewatch/collectors/collecttest"
	"icewatch/soc/intake"
)

func cluster(t *testing.T, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func config(brokers []string, topics ...string) *Config {
	c := DefaultConfig()
	c.ID, c.Tenant, c.Zone, c.Brokers, c.Topics, c.Group = "k", "a", "z", brokers, topics, "readers"
	return c
}

// begin starts a source; it is stopped with the test, unless the caller does so
// before.
func begin(t *testing.T, cfg *Config, sink intake.Sink) (*Collector, func()) {
	t.Helper()
	c, err := New(*cfg, collectors.Deps{Sink: sink})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop := func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := c.Stop(ctx); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return c, stop
}

func producer(t *testing.T, brokers []string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	p, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(brokers...)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func produce(t *testing.T, p *kgo.Client, recs ...*kgo.Record) {
	t.Helper()
	if err := p.ProduceSync(t.Context(), recs...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func texts(topic string, from, to int) []*kgo.Record {
	var out []*kgo.Record
	for i := from; i < to; i++ {
		out = append(out, &kgo.Record{Topic: topic, Value: []byte("m" + strconv.Itoa(i))})
	}
	return out
}

func until(t *testing.T, what string, f func() bool, said ...*string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			for _, s := range said {
				t.Log(*s)
			}
			t.Fatalf("%s: not within a minute", what)
		}
	}
}

// distinct maps the ids of records to their texts and tells of ids that were
// given to two texts.
func distinct(t *testing.T, recs []intake.Record) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, r := range recs {
		if before, ok := out[r.ID]; ok && before != string(r.Data) {
			t.Errorf("the id %s is of %q and of %q", r.ID, before, r.Data)
		}
		out[r.ID] = string(r.Data)
	}
	return out
}

func TestRecords(t *testing.T) {
	t.Parallel()
	c := config([]string{"k"}, "t")
	at := time.UnixMilli(1_700_000_000_123)
	r := &kgo.Record{Topic: "fw.logs", Partition: 3, Offset: 42, Timestamp: at, Key: []byte("host\xff1"), Value: []byte(`{"a":1}`),
		Headers: []kgo.RecordHeader{{Key: "origin", Value: []byte("dc1")}}}
	got := c.records(nil, "S", r)
	if len(got) != 1 {
		t.Fatalf("%d records", len(got))
	}
	one := got[0]
	if one.ID != "S-3-42" || one.Format != intake.JSON || one.Tenant != "a" || one.Zone != "z" || one.Collector != "k" || one.Time != at.UnixNano() || string(one.Data) != `{"a":1}` {
		t.Errorf("%+v", one)
	}
	want := []intake.Attr{{Name: "kafka.topic", Value: "fw.logs"}, {Name: "kafka.partition", Value: "3"}, {Name: "kafka.offset", Value: "42"},
		{Name: "kafka.key", Value: "host\uFFFD1"}, {Name: "kafka.headers.origin", Value: "dc1"}}
	if !slices.Equal(one.Attrs, want) {
		t.Errorf("attributes are %v", one.Attrs)
	}
	r.Value = []byte("one\r\n\n{\"b\":2}\nlast")
	if got := c.records(nil, "S", r); len(got) != 1 || got[0].Format != intake.Line {
		t.Errorf("%+v", got)
	}
	c.SplitLines = true
	got = c.records(nil, "S", r)
	var said []string
	for _, g := range got {
		said = append(said, fmt.Sprintf("%s %d %s", g.ID, g.Format, g.Data))
	}
	if want := []string{"S-3-42-0 0 one", `S-3-42-2 2 {"b":2}`, "S-3-42-3 0 last"}; !slices.Equal(said, want) {
		t.Errorf("lines are %q", said)
	}
	c.SplitLines, c.MaxMessageBytes = false, 1024
	r.Value = []byte(strings.Repeat("界", 1000))
	got = c.records(nil, "S", r)
	if len(got[0].Data) != 1023 || !slices.Equal(got[0].Marks, []string{collectors.MarkTruncated}) {
		t.Errorf("%d bytes, marked %v", len(got[0].Data), got[0].Marks)
	}
	r.Value = nil
	if got := c.records(nil, "S", r); len(got) != 0 {
		t.Errorf("a message that says that a key is gone became %v", got)
	}
	for format, want := range map[string]intake.Format{FormatJSON: intake.JSON, FormatLine: intake.Line, FormatSyslog: intake.Syslog} {
		c.Format = format
		if got := c.format([]byte("{x")); got != want {
			t.Errorf("%s is %d", format, got)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	f := func(want string, change func(*Config)) {
		t.Helper()
		c := config([]string{"k1"}, "t")
		change(c)
		_, err := New(*c, collectors.Deps{Sink: new(collecttest.Sink)})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("want %q: %v", want, err)
		}
	}
	f("", func(*Config) {})
	f("", func(c *Config) { c.Topics, c.TopicPattern = nil, "fw-.*" })
	f("brokers: none", func(c *Config) { c.Brokers = nil })
	f("brokers[0]", func(c *Config) { c.Brokers = []string{"http://k:9"} })
	f("either topics or", func(c *Config) { c.Topics = nil })
	f("either topics or", func(c *Config) { c.TopicPattern = "x" })
	f("topics[0]", func(c *Config) { c.Topics = []string{"a b"} })
	f("topic_pattern", func(c *Config) { c.Topics, c.TopicPattern = nil, "(" })
	f("group", func(c *Config) { c.Group = "" })
	f("start is", func(c *Config) { c.Start = "x" })
	f("format is", func(c *Config) { c.Format = "x" })
	f("sasl_mechanism is", func(c *Config) { c.SASLMechanism = "GSSAPI" })
	f("username and password", func(c *Config) { c.SASLMechanism = Plain })
	f("sasl_mechanism: one", func(c *Config) { c.Username = "x" })
	f("tls is off", func(c *Config) { c.TLSCAPEM = "x" })
	f("tls_ca_pem", func(c *Config) { c.TLS, c.TLSCAPEM = true, "x" })
	f("go together", func(c *Config) { c.TLS, c.TLSCertPEM = true, "x" })
	f("max_message_bytes", func(c *Config) { c.MaxMessageBytes = 1 })
}

// What came is committed only once it is stored; a restart goes on there, and a
// stop in between makes nothing twice under another id.
func TestGroup(t *testing.T) {
	t.Parallel()
	k := cluster(t, kfake.NumBrokers(2), kfake.SeedTopics(3, "logs", "logs2", "other"), kfake.EnableSASL(), kfake.Superuser(ScramSHA256, "reader", "hush"))
	cfg := config(k.ListenAddrs())
	cfg.TopicPattern, cfg.SASLMechanism, cfg.Username, cfg.Password = "logs.*", ScramSHA256, "reader", "hush"
	cfg.Topics = nil
	client, err := cfg.open(collectors.PlainDial)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	produce(t, client, append(texts("logs", 0, 300), texts("logs2", 300, 400)...)...)
	produce(t, client, texts("other", 0, 5)...)
	var sink collecttest.Sink
	sink.Refuse(intake.ErrFull)
	c, stop := begin(t, cfg, &sink)
	until(t, "the sink's refusal is shown", func() bool { return c.Health().State == collectors.StateError })
	sink.Refuse(nil)
	sink.Wait(t, 400)
	stop()
	produce(t, client, texts("logs", 400, 500)...)
	_, stop = begin(t, cfg, &sink)
	sink.Wait(t, 500)
	stop()
	got := slices.Sorted(maps.Values(distinct(t, sink.Records())))
	if len(got) != 500 || len(slices.Compact(got)) != 500 {
		t.Errorf("%d ids of %d texts", len(got), len(slices.Compact(got)))
	}
	if n := len(sink.Records()); n != 500 {
		t.Errorf("%d records were handed over, though no stop came in between", n)
	}
	if h := c.Health(); h.Received != 400 || h.State != collectors.StateOff {
		t.Errorf("%+v", h)
	}
}

// A group that begins at the end keeps that place, though nothing came before it
// was stopped.
func TestEnd(t *testing.T) {
	t.Parallel()
	k := cluster(t, kfake.NumBrokers(1), kfake.SeedTopics(2, "logs"))
	p := producer(t, k.ListenAddrs())
	produce(t, p, texts("logs", 0, 50)...)
	cfg := config(k.ListenAddrs(), "logs")
	cfg.Start = FromEnd
	var sink collecttest.Sink
	c, stop := begin(t, cfg, &sink)
	until(t, "the end is noted", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		offsets, err := committed(ctx, p, cfg.Group, "logs", 2)
		return err == nil && offsets[0]+offsets[1] == 50
	})
	stop()
	produce(t, p, texts("logs", 50, 60)...)
	_, _ = begin(t, cfg, &sink)
	sink.Wait(t, 10)
	got := slices.Sorted(maps.Values(distinct(t, sink.Records())))
	if len(got) != 10 || got[0] != "m50" {
		t.Errorf("%v; %+v", got, c.Health())
	}
}

// Members come and go, and each message is stored under one id.
func TestRebalance(t *testing.T) {
	t.Parallel()
	k := cluster(t, kfake.NumBrokers(3), kfake.SeedTopics(6, "logs"))
	p := producer(t, k.ListenAddrs())
	cfg := config(k.ListenAddrs(), "logs")
	var sinks [3]collecttest.Sink
	for i := range sinks {
		sinks[i].Delay(2 * time.Millisecond)
	}
	const each = 400
	_, stop := begin(t, cfg, &sinks[0])
	produce(t, p, texts("logs", 0, each)...)
	_, _ = begin(t, cfg, &sinks[1])
	produce(t, p, texts("logs", each, 2*each)...)
	stop()
	_, _ = begin(t, cfg, &sinks[2])
	produce(t, p, texts("logs", 2*each, 3*each)...)
	all := func() []intake.Record {
		return slices.Concat(sinks[0].Records(), sinks[1].Records(), sinks[2].Records())
	}
	until(t, "all messages", func() bool { return len(distinct(t, all())) >= 3*each })
	if got := distinct(t, all()); len(got) != 3*each || len(slices.Compact(slices.Sorted(maps.Values(got)))) != 3*each {
		t.Errorf("%d ids", len(got))
	}
}

// What is wrong is said, and mended by itself.
func TestTrouble(t *testing.T) {
	t.Parallel()
	k := cluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "logs"), kfake.EnableSASL(), kfake.Superuser(Plain, "reader", "hush"))
	cfg := config(k.ListenAddrs(), "logs", "absent")
	cfg.SASLMechanism, cfg.Username, cfg.Password = Plain, "reader", "wrong"
	var sink collecttest.Sink
	c, _ := begin(t, cfg, &sink)
	until(t, "the refusal is shown", func() bool { return strings.Contains(c.Health().Error, "SASL") })
	if _, err := try(t.Context(), cfg, collectors.Deps{}); err == nil || !strings.Contains(err.Error(), "SASL") {
		t.Errorf("%v", err)
	}
	cfg.Password = "hush"
	if trial, err := try(t.Context(), cfg, collectors.Deps{}); err == nil || !strings.Contains(err.Error(), "no topic absent") || len(trial.Steps) < 2 {
		t.Errorf("%v %q", err, trial.Steps)
	}
	client, err := cfg.open(collectors.PlainDial)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	produce(t, client, texts("logs", 0, 12)...)
	c2, _ := begin(t, cfg, &sink)
	sink.Wait(t, 12)
	until(t, "the absent topic is shown beside", func() bool { return strings.Contains(c2.Health().Error, "no topic absent") })
	cfg.Topics = []string{"logs"}
	trial, err := try(t.Context(), cfg, collectors.Deps{})
	if err != nil || len(trial.Records) != collectors.MaxTrial || trial.Records[0] != "m0" {
		t.Errorf("%v %+v", err, trial)
	}
	away := config([]string{"127.0.0.1:1"}, "logs")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if _, err := try(ctx, away, collectors.Deps{}); err == nil || !strings.Contains(err.Error(), "no broker of 127.0.0.1:1 answers") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("%v", err)
	}
}
