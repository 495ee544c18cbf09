// Package outbox sends notifications and loses none. A notification is
// written in the same SQL transaction as the change it tells of; from there it
// goes to each receiver in order, is tried again while trying makes sense, and
// every attempt stands in the delivery log. Delivery is at least once: each
// notification carries an id that stays the same over its attempts.
package outbox

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"icewatch/ticketing/webhook"
)

// Config holds the options under the key "ticketing.webhooks".
type Config struct {
	// Receivers that always exist. Further ones are kept in SQL and made over
	// the API.
	Receivers []Receiver `yaml:"receivers"`
	// Timeout of one attempt. Default 10s.
	Timeout time.Duration `yaml:"timeout"`
	// BackoffMin is the wait after the first failure; it doubles with each
	// further one up to BackoffMax. A random part of up to half of it is
	// taken off, so that receivers are not hit in step. Default 1s and 5m.
	BackoffMin time.Duration `yaml:"backoff_min"`
	BackoffMax time.Duration `yaml:"backoff_max"`
	// MaxAge is when a notification is given up. Default 24h.
	MaxAge time.Duration `yaml:"max_age"`
	// KeepLog is how long the delivery log is kept. Default 720h (30 days).
	KeepLog time.Duration `yaml:"keep_log"`
}

// Receiver is an endpoint that takes Alertmanager's webhook payload.
type Receiver struct {
	Name string `yaml:"name"` // letters, digits, '.', '_', '-'; unique
	URL  string `yaml:"url"`  // http or https
	// SendResolved tells of closed incidents as well. Default true.
	SendResolved *bool `yaml:"send_resolved"`
	// Secret signs the body (HMAC-SHA256 in X-Icewatch-Signature). SecretFile
	// reads it from a file, whose last line break does not count.
	Secret     string `yaml:"secret"`
	SecretFile string `yaml:"secret_file"`
	// Tenants limits what is told to these tenants' incidents. Default all.
	Tenants []string `yaml:"tenants"`
}

var receiverName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// WithDefaults returns the configuration with defaults in the empty places.
func (c Config) WithDefaults() Config {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&c.Timeout, 10*time.Second)
	set(&c.BackoffMin, time.Second)
	set(&c.BackoffMax, 5*time.Minute)
	set(&c.MaxAge, 24*time.Hour)
	set(&c.KeepLog, 30*24*time.Hour)
	return c
}

// Validate names the first option that cannot work. The error begins with the
// option's key and holds no secret.
func (c Config) Validate() error {
	c = c.WithDefaults()
	for _, o := range []struct {
		key string
		d   time.Duration
	}{{"timeout", c.Timeout}, {"backoff_min", c.BackoffMin}, {"backoff_max", c.BackoffMax}, {"max_age", c.MaxAge}, {"keep_log", c.KeepLog}} {
		if o.d <= 0 {
			return fmt.Errorf("%s: %s: want a positive duration such as 10s", o.key, o.d)
		}
	}
	if c.BackoffMax < c.BackoffMin {
		return fmt.Errorf("backoff_max: %s is less than backoff_min %s", c.BackoffMax, c.BackoffMin)
	}
	seen := map[string]bool{}
	for i, r := range c.Receivers {
		if err := r.check(); err != nil {
			return fmt.Errorf("receivers[%d].%w", i, err)
		}
		if seen[r.Name] {
			return fmt.Errorf("receivers[%d].name: %q is there twice", i, r.Name)
		}
		seen[r.Name] = true
		if r.Secret != "" && r.SecretFile != "" {
			return fmt.Errorf("receivers[%d].secret: give secret or secret_file, not both", i)
		}
	}
	return nil
}

func (r Receiver) check() error {
	if !receiverName.MatchString(r.Name) {
		return fmt.Errorf("name: %q: want letters, digits, '.', '_' or '-', at most 64", r.Name)
	}
	return webhook.CheckURL(r.URL)
}

// secret returns what signs the receiver's notifications.
func (r Receiver) secret() (string, error) {
	if r.SecretFile == "" {
		return r.Secret, nil
	}
	data, err := os.ReadFile(r.SecretFile)
	if err != nil {
		return "", fmt.Errorf("outbox: receiver %s: read its secret: %w", r.Name, err)
	}
	secret := strings.TrimRight(string(data), "\r\n")
	if secret == "" {
		return "", fmt.Errorf("outbox: receiver %s: the secret file %s is empty", r.Name, r.SecretFile)
	}
	return secret, nil
}
