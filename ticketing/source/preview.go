package source

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Sampled is one message of a preview with what would become of it.
type Sampled struct {
	Outcome
	Message int64  `json:"message,omitempty" doc:"Id of the message that is kept"`
	Body    string `json:"body"`
	Error   string `json:"error,omitempty" doc:"Why nothing of it could be mapped"`
	// Placed are the alerts' fields with what the CMDB adds.
	Placed []Placed `json:"placed" nullable:"false" doc:"Of each alert: whose it would be, and its fields with what the CMDB adds"`
}

// Placed is what an alert would have from the CMDB.
type Placed struct {
	Tenant string            `json:"tenant"`
	Fields map[string]string `json:"fields" nullable:"false"`
}

// previewed bounds how many messages a preview maps.
const previewed = 10

// Preview shows what a source would make of a sample, or, without one, of the
// last messages of the source with the id; without these of the template's own
// sample. Nothing is kept.
func (s *Service) Preview(ctx context.Context, a Asker, id string, c Content, sample string) ([]Sampled, error) {
	var messages []messageRow
	if id != "" {
		one, err := s.get(ctx, a, id, false)
		if err != nil {
			return nil, err
		}
		if c.Name == "" {
			c.Name = one.Name
		}
		if sample == "" {
			if err := s.db.NewSelect().Model(&messages).Where("source = ?", id).OrderExpr("id DESC").Limit(previewed).Scan(ctx); err != nil {
				return nil, fmt.Errorf("source: read the messages of %s: %w", id, err)
			}
		}
	}
	if !a.sees(c.Tenant) {
		return nil, fmt.Errorf("%w: tenant: %q is none that you reach as a whole", ErrInvalid, clip(c.Tenant, 64))
	}
	t, err := s.template(ctx, c.Template)
	if err != nil {
		return nil, fmt.Errorf("%w: template: %w", ErrInvalid, err)
	}
	one := &source{row: row{ID: id, Name: c.Name, Tenant: c.Tenant}, content: c, format: t}
	if one.mapper, err = NewMapper(t, c.Mapping, c.Corrections, s.deps.Dictionary()); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if sample == "" && len(messages) == 0 {
		sample = t.Sample
	}
	if sample != "" {
		messages = []messageRow{{Body: []byte(sample), LastAt: s.now().UnixMilli()}}
	}
	out := []Sampled{}
	for _, r := range messages {
		m := one.work(ctx, Message{Body: r.Body}, time.UnixMilli(r.LastAt).UTC())
		l := r.letter(false)
		x := Sampled{Outcome: m.outcome, Message: r.ID, Body: l.Body, Placed: []Placed{}}
		if len(m.reasons) > len(m.outcome.Failed) {
			x.Error = m.reasons[0]
		}
		for i := range x.Alerts {
			fields := one.fields(&x.Alerts[i])
			x.Placed = append(x.Placed, Placed{Tenant: s.deps.Place(one.where(&x.Alerts[i]), fields), Fields: fields})
		}
		out = append(out, x)
	}
	return out, nil
}

// Tested is what a test found.
type Tested struct {
	OK     bool   `json:"ok"`
	Detail string `json:"detail" doc:"What answered, or why it does not work"`
}

// testTime bounds a test.
const testTime = 10 * time.Second

// Test tells whether a source would work: what it fetches from answers, its
// filter can be read, its mapping makes alerts of the template's sample. With an
// id the source's secrets are taken where none are given.
func (s *Service) Test(ctx context.Context, a Asker, id string, c Content, secrets Secrets) (Tested, error) {
	ctx, cancel := context.WithTimeout(ctx, testTime)
	defer cancel()
	t, err := s.check(ctx, a, &c)
	if err != nil {
		return Tested{}, err
	}
	one := &source{row: row{ID: id, Name: c.Name, Tenant: c.Tenant}, content: c, secrets: secrets}
	if id != "" {
		have, err := s.get(ctx, a, id, false)
		if err != nil {
			return Tested{}, err
		}
		one.secrets = merge(have, &c, secrets)
	}
	if c.Kind == KindKafka {
		said, err := s.probeKafka(ctx, one)
		if err != nil {
			return Tested{Detail: err.Error()}, nil
		}
		return Tested{OK: true, Detail: said}, nil
	}
	m, err := NewMapper(t, c.Mapping, c.Corrections, s.deps.Dictionary())
	if err != nil {
		return Tested{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	out, err := m.Map(ctx, Message{Body: []byte(t.Sample)}, s.now())
	switch {
	case t.Sample == "":
		return Tested{OK: true, Detail: "the template has no sample to try"}, nil
	case err != nil:
		return Tested{Detail: err.Error()}, nil
	case len(out.Failed) > 0:
		return Tested{Detail: out.Failed[0]}, nil
	}
	return Tested{OK: true, Detail: fmt.Sprintf("%d alerts of the template's sample, %d discarded", len(out.Alerts), len(out.Discarded))}, nil
}

// partitions asks the brokers how many partitions a topic has.
func partitions(ctx context.Context, c *kgo.Client, topic string) (int, error) {
	req := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = &topic
	req.Topics = append(req.Topics, t)
	res, err := req.RequestWith(ctx, c)
	if err != nil {
		return 0, fmt.Errorf("topic %s: %w", topic, err)
	}
	if len(res.Topics) == 0 || len(res.Topics[0].Partitions) == 0 {
		return 0, errors.New("topic " + topic + ": there is none of this name, or it may not be read")
	}
	return len(res.Topics[0].Partitions), nil
}
