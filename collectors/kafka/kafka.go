package kafka

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"icewatch/collectors"
	"icewatch/collectors/fetch"
	"icewatch/soc/intake"
)

// Collector reads topics as a member of a consumer group.
type Collector struct {
	*fetch.Loop
	cfg  Config
	deps collectors.Deps

	client  *kgo.Client
	cluster string // the cluster's id, for topics of brokers that give them none
	mu      sync.Mutex
	missing error                                // topics of the configuration that the brokers do not have
	begun   map[string]map[int32]kgo.EpochOffset // places at which partitions were begun, to be noted with the group
	seen    time.Time                            // when the topics were looked for last
	owing   bool                                 // a place is to be noted with the group

}

var _ collectors.Collector = (*Collector)(nil)

const (
	pollWait = time.Second // how long a look for messages waits
	lookFor  = time.Minute // how often missing topics are looked for
	pingWait = 15 * time.Second
)

// New makes a source of a Kafka's topics.
func New(cfg Config, deps collectors.Deps) (*Collector, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if err := deps.Check(); err != nil {
		return nil, err
	}
	c := &Collector{cfg: cfg, deps: deps}
	what := strings.Join(cfg.Topics, ",")
	if cfg.TopicPattern != "" {
		what = "/" + cfg.TopicPattern + "/"
	}
	c.Loop = fetch.NewLoop(cfg.ID, "kafka", "kafka://"+strings.Join(cfg.Brokers, ",")+" "+what, deps, 0, c.round)
	return c, nil
}

// hooks show in Health why nothing comes: the client tries again by itself and
// fails nothing.
type hooks struct{ trouble func(error) }

var (
	_ kgo.HookBrokerConnect    = hooks{}
	_ kgo.HookGroupManageError = hooks{}
)

// OnBrokerConnect implements kgo.HookBrokerConnect.
func (h hooks) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		h.trouble(fmt.Errorf("connect: %w", err))
	}
}

// OnGroupManageError implements kgo.HookGroupManageError.
func (h hooks) OnGroupManageError(err error) {
	if !errors.Is(err, context.Canceled) {
		h.trouble(fmt.Errorf("be a member of the group: %w", err))
	}
}

// open makes a client of the configuration's brokers.
func (c *Config) open(dial collectors.Dial, more ...kgo.Opt) (*kgo.Client, error) {
	if c.TLS {
		conf, err := c.secure().Config("tls_")
		if err != nil {
			return nil, err
		}
		dial = fetch.Dialer(dial, conf)
	}
	// A response holds a message beyond the bounds as well, so that reading goes
	// on; BrokerMaxReadBytes is what no honest response reaches.
	opts := append([]kgo.Opt{kgo.SeedBrokers(c.Brokers...), kgo.ClientID("icewatch"), kgo.Dialer(dial),
		kgo.FetchMaxBytes(16 << 20), kgo.FetchMaxPartitionBytes(1 << 20), kgo.MaxConcurrentFetches(4), kgo.BrokerMaxReadBytes(256 << 20),
		kgo.FetchIsolationLevel(kgo.ReadCommitted())}, more...)
	var m sasl.Mechanism
	switch c.SASLMechanism {
	case Plain:
		m = plain.Auth{User: c.Username, Pass: c.Password}.AsMechanism()
	case ScramSHA256:
		m = scram.Auth{User: c.Username, Pass: c.Password}.AsSha256Mechanism()
	case ScramSHA512:
		m = scram.Auth{User: c.Username, Pass: c.Password}.AsSha512Mechanism()
	}
	if m != nil {
		opts = append(opts, kgo.SASL(m))
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	return client, nil
}

func (c *Config) topics() []kgo.Opt {
	if c.TopicPattern != "" {
		return []kgo.Opt{kgo.ConsumeTopics("^(?:" + c.TopicPattern + ")$"), kgo.ConsumeRegex()}
	}
	return []kgo.Opt{kgo.ConsumeTopics(c.Topics...)}
}

func (c *Config) reset() kgo.Offset {
	if c.Start == FromEnd {
		return kgo.NewOffset().AtEnd()
	}
	return kgo.NewOffset().AtStart()
}

// ping tells whether a broker answers, and why none does.
func (c *Config) ping(ctx context.Context, client *kgo.Client) error {
	ctx, cancel := context.WithTimeout(ctx, pingWait)
	defer cancel()
	err := client.Ping(ctx)
	if err == nil {
		return nil
	}
	brokers, hint := strings.Join(c.Brokers, ","), ""
	switch {
	case errors.Is(err, kerr.SaslAuthenticationFailed):
		return fmt.Errorf("the brokers %s refuse the user %s by %s (SASL): %w", brokers, c.Username, c.SASLMechanism, err)
	case errors.Is(err, io.EOF) && c.SASLMechanism != "":
		hint = " (it closed the connection: are user, password and SASL mechanism right, and is TLS as it wants it?)"
	case errors.Is(err, io.EOF):
		hint = " (it closed the connection: does it want SASL or TLS?)"
	}
	return fmt.Errorf("no broker of %s answers%s: %w", brokers, hint, err)
}

// round consumes until something fails for good: then the client is given up,
// and the next round makes a new one.
func (c *Collector) round(ctx context.Context) (bool, error) {
	made := make(chan struct{}) // The client joins the group while it is made.
	settle := func(ctx context.Context, places map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
		<-made
		return c.settle(ctx, places)
	}
	c.mu.Lock()
	c.missing, c.begun, c.seen = nil, nil, time.Time{}
	c.mu.Unlock()
	opts := append(c.cfg.topics(), kgo.ConsumerGroup(c.cfg.Group), kgo.ConsumeResetOffset(c.cfg.reset()), kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(), kgo.AdjustFetchOffsetsFn(settle), kgo.WithHooks(hooks{c.Trouble}))
	client, err := c.cfg.open(c.deps.Dial, opts...)
	if err != nil {
		return false, err
	}
	defer client.CloseAllowingRebalance()
	c.client, c.owing = client, false
	close(made)
	if err := c.cfg.ping(ctx, client); err != nil {
		return false, err
	}
	for {
		if err := c.look(ctx); err != nil {
			return false, err
		}
		wait, cancel := context.WithTimeout(ctx, pollWait)
		fetches := client.PollRecords(wait, fetch.BatchRecords)
		cancel()
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		for _, e := range fetches.Errors() {
			if errors.Is(e.Err, context.Canceled) || errors.Is(e.Err, context.DeadlineExceeded) {
				continue
			}
			if errors.Is(e.Err, kerr.UnknownTopicID) {
				return false, fmt.Errorf("the topic %s was made anew: it is read from its beginning", e.Topic)
			}
			return false, fmt.Errorf("read topic %s, partition %d: %w", e.Topic, e.Partition, e.Err)
		}
		if err := c.take(fetches); err != nil {
			return false, err
		}
		client.AllowRebalance()
	}
}

// take stores what came and moves the group's place over it.
func (c *Collector) take(fetches kgo.Fetches) error {
	var recs []intake.Record
	count, size := 0, 0
	hand := func() error {
		err := c.Hand(recs)
		clear(recs)
		recs, size = recs[:0], 0
		return err
	}
	var fault error
	fetches.EachTopic(func(t kgo.FetchTopic) {
		name := c.stream(t.TopicID, t.Topic)
		t.EachRecord(func(r *kgo.Record) {
			if fault != nil {
				return
			}
			count++
			recs = c.cfg.records(recs, name, r)
			if size += len(r.Value); size >= fetch.BatchBytes || len(recs) >= fetch.BatchRecords {
				fault = hand()
			}
		})
	})
	if fault == nil {
		fault = hand()
	}
	if fault != nil {
		return fault
	}
	if err := c.noteBegun(); err != nil {
		return err
	}
	if c.owing = c.owing || count > 0; c.owing {
		// All that was polled is stored by now. A commit that a rebalance refuses is
		// owed: partitions that stay here go on from where they are.
		err := c.client.CommitUncommittedOffsets(c.Storing())
		if err != nil && !moved(err) {
			return fmt.Errorf("note the place of the group %s: %w", c.cfg.Group, err)
		}
		c.owing = err != nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.missing != nil {
		c.Trouble(c.missing)
	}
	return nil
}

// moved tells whether the partitions are another member's by now: it reads the
// same records again, under the same ids.
func moved(err error) bool {
	return errors.Is(err, kerr.IllegalGeneration) || errors.Is(err, kerr.UnknownMemberID) || errors.Is(err, kerr.RebalanceInProgress) || errors.Is(err, kerr.StaleMemberEpoch)
}

// stream names a topic as no other is named.
func (c *Collector) stream(id [16]byte, topic string) string {
	if id != ([16]byte{}) {
		return base64.RawURLEncoding.EncodeToString(id[:])
	}
	return c.cluster + "/" + topic // Brokers before 2.8 give topics no id.
}

// records appends what one message holds.
func (c *Config) records(recs []intake.Record, stream string, r *kgo.Record) []intake.Record {
	id := stream + "-" + strconv.Itoa(int(r.Partition)) + "-" + strconv.FormatInt(r.Offset, 10)
	attrs := make([]intake.Attr, 0, 4+min(len(r.Headers), maxHeaders))
	attrs = append(attrs, intake.Attr{Name: "kafka.topic", Value: r.Topic}, intake.Attr{Name: "kafka.partition", Value: strconv.Itoa(int(r.Partition))},
		intake.Attr{Name: "kafka.offset", Value: strconv.FormatInt(r.Offset, 10)})
	if len(r.Key) > 0 {
		attrs = append(attrs, intake.Attr{Name: "kafka.key", Value: text(r.Key)})
	}
	for i, h := range r.Headers {
		if i == maxHeaders {
			break
		}
		if h.Key != "" {
			attrs = append(attrs, intake.Attr{Name: "kafka.headers." + text([]byte(h.Key)), Value: text(h.Value)})
		}
	}
	base := intake.Record{Tenant: c.Tenant, Zone: c.Zone, Collector: c.ID, Received: time.Now().UnixNano(), Attrs: attrs}
	if !r.Timestamp.IsZero() && r.Timestamp.UnixMilli() > 0 {
		base.Time = r.Timestamp.UnixNano()
	}
	value := r.Value
	if len(value) > c.MaxMessageBytes {
		value = collectors.Cut(value, c.MaxMessageBytes)
		base.Marks = []string{collectors.MarkTruncated}
	}
	if !c.SplitLines {
		base.ID, base.Data, base.Format = id, value, c.format(value)
		if len(value) > 0 { // An empty value says that its key is gone, and nothing happened.
			recs = append(recs, base)
		}
		return recs
	}
	for n := 0; len(value) > 0; n++ {
		var line []byte
		line, value = cutLine(value)
		if len(line) == 0 {
			continue
		}
		rec := base
		rec.ID, rec.Data, rec.Format = id+"-"+strconv.Itoa(n), line, c.format(line)
		recs = append(recs, rec)
	}
	return recs
}

// trouble remembers the latest error.
type trouble struct {
	mu  sync.Mutex
	err error
}

func (t *trouble) set(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.err = err
}

func (t *trouble) get() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}
