package kafka

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"icewatch/collectors"
)

// found is a topic that the brokers have.
type found struct {
	name       string
	partitions int
}

// survey asks which of the configuration's topics there are. missing names
// those that are not, and why.
func (c *Config) survey(ctx context.Context, client *kgo.Client) (cluster string, topics []found, missing error, err error) {
	ctx, cancel := context.WithTimeout(ctx, pingWait)
	defer cancel()
	req := kmsg.NewPtrMetadataRequest()
	for _, t := range c.Topics {
		one := kmsg.NewMetadataRequestTopic()
		one.Topic = kmsg.StringPtr(t)
		req.Topics = append(req.Topics, one)
	}
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return "", nil, nil, fmt.Errorf("ask the brokers for their topics: %w", err)
	}
	if resp.ClusterID != nil {
		cluster = *resp.ClusterID
	}
	var pattern *regexp.Regexp
	if c.TopicPattern != "" {
		pattern = regexp.MustCompile("^(?:" + c.TopicPattern + ")$") // check compiled it.
	}
	var absent []error
	for _, t := range resp.Topics {
		switch fault := kerr.ErrorForCode(t.ErrorCode); {
		case t.Topic == nil, pattern != nil && (t.IsInternal || !pattern.MatchString(*t.Topic)):
		case errors.Is(fault, kerr.UnknownTopicOrPartition):
			absent = append(absent, fmt.Errorf("the brokers have no topic %s that this user may see", *t.Topic))
		case fault != nil:
			absent = append(absent, fmt.Errorf("topic %s: %w", *t.Topic, fault))
		default:
			topics = append(topics, found{*t.Topic, len(t.Partitions)})
		}
	}
	if pattern != nil && len(topics) == 0 {
		absent = append(absent, fmt.Errorf("no topic that this user may see matches %s", c.TopicPattern))
	}
	slices.SortFunc(topics, func(a, b found) int { return strings.Compare(a.name, b.name) })
	return cluster, topics, errors.Join(absent...), nil
}

// look asks now and then whether the topics are there: the client waits for
// those that are not without a word.
func (c *Collector) look(ctx context.Context) error {
	if now := time.Now(); now.Sub(c.seen) < lookFor {
		return nil
	} else {
		c.seen = now
	}
	cluster, _, missing, err := c.cfg.survey(ctx, c.client)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cluster, c.missing = cluster, missing
	c.Trouble(missing)
	return nil
}

// settle turns "the end" into the offset that it is now, for partitions of
// which the group has no place, so that a restart goes on there and not at a
// later end. What it finds is noted with the group after the next look.
func (c *Collector) settle(ctx context.Context, places map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	if c.cfg.Start != FromEnd {
		return places, nil
	}
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	req.IsolationLevel = 1
	for topic, partitions := range places {
		t := kmsg.NewListOffsetsRequestTopic()
		t.Topic = topic
		for p, at := range partitions {
			if at.EpochOffset().Offset >= 0 {
				continue
			}
			one := kmsg.NewListOffsetsRequestTopicPartition()
			one.Partition, one.Timestamp = p, -1
			t.Partitions = append(t.Partitions, one)
		}
		if len(t.Partitions) > 0 {
			req.Topics = append(req.Topics, t)
		}
	}
	if len(req.Topics) == 0 {
		return places, nil
	}
	for _, shard := range c.client.RequestSharded(ctx, req) {
		if shard.Err != nil {
			return nil, fmt.Errorf("ask for the ends of partitions: %w", shard.Err)
		}
		for _, t := range shard.Resp.(*kmsg.ListOffsetsResponse).Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					return nil, fmt.Errorf("ask for the end of %s, partition %d: %w", t.Topic, p.Partition, err)
				}
				places[t.Topic][p.Partition] = kgo.NewOffset().At(p.Offset)
				c.mu.Lock()
				if c.begun == nil {
					c.begun = map[string]map[int32]kgo.EpochOffset{}
				}
				if c.begun[t.Topic] == nil {
					c.begun[t.Topic] = map[int32]kgo.EpochOffset{}
				}
				c.begun[t.Topic][p.Partition] = kgo.EpochOffset{Epoch: -1, Offset: p.Offset}
				c.mu.Unlock()
			}
		}
	}
	return places, nil
}

// noteBegun commits the places at which partitions were begun.
func (c *Collector) noteBegun() error {
	c.mu.Lock()
	begun := c.begun
	c.begun = nil
	c.mu.Unlock()
	if len(begun) == 0 {
		return nil
	}
	var fault error
	c.client.CommitOffsetsSync(c.Storing(), begun, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		fault = err
		if err != nil {
			return
		}
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				fault = errors.Join(fault, kerr.ErrorForCode(p.ErrorCode))
			}
		}
	})
	if fault != nil && !moved(fault) {
		return fmt.Errorf("note the place of the group %s: %w", c.cfg.Group, fault)
	}
	return nil
}

// try reaches the brokers and reads the first messages outside any group.
func try(ctx context.Context, cfg any, deps collectors.Deps) (collectors.Trial, error) {
	given, ok := cfg.(*Config)
	if !ok {
		return collectors.Trial{}, fmt.Errorf("kafka: configuration of a Kafka source expected, not %T", cfg)
	}
	c := *given
	if err := c.check(); err != nil {
		return collectors.Trial{}, err
	}
	if deps.Dial == nil {
		deps.Dial = collectors.PlainDial
	}
	var out collectors.Trial
	var mu trouble
	client, err := c.open(deps.Dial, append(c.topics(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.WithHooks(hooks{mu.set}))...)
	if err != nil {
		return out, err
	}
	defer client.Close()
	if err := c.ping(ctx, client); err != nil {
		if why := mu.get(); why != nil && errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("%w: %w", err, why)
		}
		return out, err
	}
	out.Steps = append(out.Steps, "a broker of "+strings.Join(c.Brokers, ",")+" answers"+c.how())
	_, topics, missing, err := c.survey(ctx, client)
	if err != nil {
		return out, err
	}
	for _, t := range topics {
		if len(out.Steps) < 20 {
			out.Steps = append(out.Steps, fmt.Sprintf("topic %s has %d partitions", t.name, t.partitions))
		}
	}
	if missing != nil {
		return out, missing
	}
	if err := c.mayJoin(ctx, client); err != nil {
		return out, err
	}
	out.Steps = append(out.Steps, "the group "+c.Group+" may be read")
	wait, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for len(out.Records) < collectors.MaxTrial && wait.Err() == nil {
		fetches := client.PollRecords(wait, collectors.MaxTrial-len(out.Records))
		for _, e := range fetches.Errors() {
			if !errors.Is(e.Err, context.DeadlineExceeded) && !errors.Is(e.Err, context.Canceled) {
				return out, fmt.Errorf("read topic %s, partition %d: %w", e.Topic, e.Partition, e.Err)
			}
		}
		fetches.EachRecord(func(r *kgo.Record) {
			for _, rec := range c.records(nil, "", r) {
				if len(out.Records) < collectors.MaxTrial {
					out.Records = append(out.Records, text(rec.Data))
				}
			}
		})
	}
	out.Steps = append(out.Steps, fmt.Sprintf("%d messages read from the beginning of the topics; the group's place was not touched", len(out.Records)))
	return out, nil
}

func (c *Config) how() string {
	said := ""
	if c.TLS {
		said += ", over TLS"
	}
	if c.SASLMechanism != "" {
		said += fmt.Sprintf(", signed in as %s by %s", c.Username, c.SASLMechanism)
	}
	return said
}

// mayJoin asks for the group's places, which needs the right to read it.
func (c *Config) mayJoin(ctx context.Context, client *kgo.Client) error {
	ctx, cancel := context.WithTimeout(ctx, pingWait)
	defer cancel()
	for {
		req := kmsg.NewPtrOffsetFetchRequest()
		req.Group = c.Group
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group = c.Group
		req.Groups = append(req.Groups, g)
		resp, err := req.RequestWith(ctx, client)
		if err == nil {
			err = kerr.ErrorForCode(resp.ErrorCode)
		}
		if err == nil && len(resp.Groups) > 0 {
			err = kerr.ErrorForCode(resp.Groups[0].ErrorCode)
		}
		if err == nil {
			return nil
		}
		fault := fmt.Errorf("the group %s: %w", c.Group, err)
		if !kerr.IsRetriable(err) {
			return fault
		}
		select { // The first group that a broker is asked for lets it make a topic of its own.
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return fault
		}
	}
}
