// Package source takes in the alerts that other systems raise: by webhook,
// Alertmanager's API, Kafka, mail, or as events among those that the collectors
// bring. A source says who sends, whose the alerts are and how its messages are
// read; templates, which are data, know the common senders.
//
// The way of a message: it is mapped (Mapper) and written down with what became
// of it in one transaction, and only then acknowledged. What was mapped is kept
// as an alert that fires or is over, by its fingerprint, and told to ticketing
// in the ordinary way, where it gets its item, its priority and its incident,
// and closes when the sender says so. What could not be mapped waits, with the
// reason, to be replayed once the mapping is right.
package source

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// The kinds of sources: the ways in.
const (
	KindWebhook      = "webhook"      // HTTP POST to the source's own address
	KindAlertmanager = "alertmanager" // Alertmanager's API v2 below the source's own address: Prometheus, vmalert, Loki's ruler
	KindKafka        = "kafka"
	KindMail         = "mail"   // SMTP to the source's own address
	KindEvents       = "events" // a filter over the events that collectors bring: syslog and others
)

// Kinds lists the kinds that can be made.
func Kinds() []string {
	return []string{KindWebhook, KindAlertmanager, KindKafka, KindMail, KindEvents}
}

var (
	// ErrNotFound says that there is no such source within reach.
	ErrNotFound = errors.New("there is no such alert source")
	// ErrInvalid says what is wrong with what was asked for.
	ErrInvalid = errors.New("invalid")
	// ErrConflict says that somebody else changed it meanwhile, or that the name
	// is taken.
	ErrConflict = errors.New("conflict")
)

// Content is what a source says, without its secrets.
type Content struct {
	Name        string       `json:"name" yaml:"name" doc:"1 to 64 characters, once only"`
	Description string       `json:"description,omitempty" yaml:"description,omitempty"`
	Kind        string       `json:"kind" yaml:"kind" enum:"webhook,alertmanager,kafka,mail,events"`
	Enabled     bool         `json:"enabled" yaml:"enabled"`
	Tenant      string       `json:"tenant,omitempty" yaml:"tenant,omitempty" doc:"Whose the alerts are; without one, of the owner of the item, which only those may ask for who reach everything"`
	NetworkZone string       `json:"network_zone,omitempty" yaml:"network_zone,omitempty" doc:"Of addresses that name none"`
	Template    string       `json:"template" yaml:"template" doc:"Id of the template that reads its messages"`
	Mapping     Mapping      `json:"mapping,omitzero" yaml:"mapping,omitempty" doc:"What is otherwise than the template says"`
	Corrections []Correction `json:"corrections,omitempty" yaml:"corrections,omitempty"`
	SilentAfter string       `json:"silent_after,omitempty" yaml:"silent_after,omitempty" doc:"Alarm after so long without a message: a duration, off, or empty for ten of its usual gaps and an hour at least"`

	Kafka  *KafkaOptions  `json:"kafka,omitempty" yaml:"kafka,omitempty"`
	Events *EventsOptions `json:"events,omitempty" yaml:"events,omitempty"`
	Mail   *MailOptions   `json:"mail,omitempty" yaml:"mail,omitempty"`
	Cloud  *CloudOptions  `json:"cloud,omitempty" yaml:"cloud,omitempty"`
}

// KafkaOptions are those of a topic.
type KafkaOptions struct {
	Brokers   []string `json:"brokers" yaml:"brokers" doc:"host:port"`
	Topics    []string `json:"topics" yaml:"topics"`
	Group     string   `json:"group,omitempty" yaml:"group,omitempty" doc:"Consumer group; icewatch-alerts and the source's id by default"`
	From      string   `json:"from,omitempty" yaml:"from,omitempty" enum:"latest,earliest," doc:"Where a new group begins: latest by default"`
	TLS       bool     `json:"tls,omitempty" yaml:"tls,omitempty"`
	CA        string   `json:"ca,omitempty" yaml:"ca,omitempty" doc:"PEM certificates to trust in place of the system's"`
	Mechanism string   `json:"mechanism,omitempty" yaml:"mechanism,omitempty" enum:"PLAIN,SCRAM-SHA-256,SCRAM-SHA-512," doc:"How to sign in (SASL); the secret is the password"`
	Username  string   `json:"username,omitempty" yaml:"username,omitempty"`
}

// EventsOptions say which events are alerts.
type EventsOptions struct {
	Filter string `json:"filter" yaml:"filter" doc:"LogsQL without pipes, such as event.dataset:syslog AND log.syslog.severity.code:<4"`
	From   string `json:"from,omitempty" yaml:"from,omitempty" enum:"now,beginning," doc:"Where it begins: now by default"`
}

// MailOptions bound who may send mail to a source.
type MailOptions struct {
	Senders []string `json:"senders,omitempty" yaml:"senders,omitempty" doc:"Addresses (a@b.cn) or domains (@b.cn) that may send; all by default"`
}

// CloudOptions are those of messages in an envelope (Amazon SNS, Huawei SMN).
type CloudOptions struct {
	Topic string `json:"topic" yaml:"topic" doc:"ARN or URN of the topic: messages of others are refused"`
	// Hosts are for private clouds, whose certificates and confirmations lie
	// elsewhere than the public cloud's.
	Hosts []string `json:"hosts,omitempty" yaml:"hosts,omitempty" doc:"Hosts that certificates and confirmations may come from, for private clouds"`
}

// Limits of sources.
const (
	maxName        = 64
	maxDescription = 2000
	maxFilter      = 4 << 10
	maxList        = 20
)

var topicPattern = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

// complete fills in the defaults.
func (c *Content) complete() {
	c.Name, c.Description = strings.TrimSpace(c.Name), strings.TrimSpace(c.Description)
	if c.Kind == KindAlertmanager && c.Template == "" {
		c.Template = "alertmanager-push"
	}
}

// check says what is wrong with a source, by the place. What its template and
// mapping say is checked by NewMapper.
func (c *Content) check(t Template) error {
	switch {
	case c.Name == "" || utf8.RuneCountInString(c.Name) > maxName || strings.ContainsFunc(c.Name, func(r rune) bool { return r < ' ' }):
		return fmt.Errorf("name: %q: want 1 to %d characters", clip(c.Name, 100), maxName)
	case len(c.Description) > maxDescription:
		return fmt.Errorf("description: it has %d bytes, at most %d", len(c.Description), maxDescription)
	case !slices.Contains(Kinds(), c.Kind):
		return fmt.Errorf("kind: %q: want one of %s", clip(c.Kind, 64), strings.Join(Kinds(), ", "))
	case !slices.Contains(t.Kinds, c.Kind):
		return fmt.Errorf("template: %s reads sources of the kind %s, not %s", t.ID, strings.Join(t.Kinds, ", "), c.Kind)
	}
	if _, _, err := c.silence(); err != nil {
		return err
	}
	for _, of := range []struct {
		kind  string
		there bool
	}{{KindKafka, c.Kafka != nil}, {KindEvents, c.Events != nil}} {
		if of.there != (c.Kind == of.kind) {
			return fmt.Errorf("%s: it belongs to sources of this kind, and they need it", of.kind)
		}
	}
	if (t.Envelope != "") != (c.Cloud != nil) {
		return errors.New("cloud: it belongs to templates of messages in an envelope, and they need its topic")
	}
	switch {
	case c.Kafka != nil:
		return c.Kafka.check()
	case c.Events != nil && (c.Events.Filter == "" || len(c.Events.Filter) > maxFilter):
		return fmt.Errorf("events.filter: want a filter of 1 to %d bytes; * is every event", maxFilter)
	case c.Mail != nil && len(c.Mail.Senders) > 100:
		return errors.New("mail.senders: at most 100")
	case c.Cloud != nil && (c.Cloud.Topic == "" || len(c.Cloud.Topic) > 512):
		return errors.New("cloud.topic: the ARN or URN of the topic is needed: messages of others are refused")
	case c.Cloud != nil && len(c.Cloud.Hosts) > maxList:
		return fmt.Errorf("cloud.hosts: at most %d", maxList)
	}
	return nil
}

func (k *KafkaOptions) check() error {
	if len(k.Brokers) == 0 || len(k.Brokers) > maxList {
		return fmt.Errorf("kafka.brokers: want 1 to %d, each host:port", maxList)
	}
	for i, b := range k.Brokers {
		if host, port, err := net.SplitHostPort(b); err != nil || host == "" || port == "" {
			return fmt.Errorf("kafka.brokers[%d]: %q: want host:port", i, clip(b, 100))
		}
	}
	if len(k.Topics) == 0 || len(k.Topics) > maxList {
		return fmt.Errorf("kafka.topics: want 1 to %d", maxList)
	}
	for i, t := range k.Topics {
		if !topicPattern.MatchString(t) {
			return fmt.Errorf("kafka.topics[%d]: %q: want 1 to 249 letters, digits, '.', '_' and '-'", i, clip(t, 100))
		}
	}
	switch {
	case len(k.Group) > 200:
		return errors.New("kafka.group: at most 200 bytes")
	case k.Mechanism != "" && !slices.Contains([]string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}, k.Mechanism):
		return fmt.Errorf("kafka.mechanism: %q: want PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512", clip(k.Mechanism, 64))
	case k.Mechanism != "" && k.Username == "":
		return errors.New("kafka.username: signing in needs one")
	case k.From != "" && k.From != "latest" && k.From != "earliest":
		return fmt.Errorf("kafka.from: %q: want latest or earliest", clip(k.From, 64))
	}
	return nil
}

// silence is after how long without a message a source is silent; zero where
// that is learnt, and never true where it is off.
func (c *Content) silence() (after time.Duration, never bool, err error) {
	switch c.SilentAfter {
	case "":
		return 0, false, nil
	case "off":
		return 0, true, nil
	}
	after, err = time.ParseDuration(c.SilentAfter)
	if err != nil || after < time.Second || after > 90*24*time.Hour {
		return 0, false, fmt.Errorf("silent_after: %q: want a duration of 1s to 90 days such as 30m, off, or nothing", clip(c.SilentAfter, 64))
	}
	return after, false, nil
}
