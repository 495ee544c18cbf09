package inputs

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
	"unicode/utf8"

	"icewatch/collectors"
)

// maxTried bounds a record of a trial in bytes.
const maxTried = 8 << 10

// Trial is what a test of an input found.
type Trial struct {
	OK      bool     `json:"ok"`
	Steps   []string `json:"steps" nullable:"false" doc:"What went well, in order"`
	Error   string   `json:"error,omitempty" doc:"What did not, and what would be right"`
	Records []string `json:"records" nullable:"false" doc:"The first records, as they would be taken in; none is kept"`
	Seconds float64  `json:"seconds"`
}

// Try tests an input without keeping anything. id is that of an input whose
// secrets are taken where none are given, if its address is the same; "" for
// none.
func (s *Service) Try(ctx context.Context, a Asker, id string, c Content) (Trial, error) {
	began := time.Now()
	out := Trial{Steps: []string{}, Records: []string{}}
	var before *row
	as := "input-trial"
	if id != "" {
		r, err := s.managed(ctx, a, id, false)
		if err != nil {
			return out, err
		}
		before, as = r, id
	}
	if strings.TrimSpace(c.Name) == "" {
		c.Name = "trial" // a name is no matter yet
	}
	c.Enabled = true
	c, all, err := s.checked(a, as, c, before)
	if err != nil {
		return out, err
	}
	k := s.kinds[c.Kind]
	doc, err := document(c.Settings)
	if err != nil {
		return out, err
	}
	putSecrets(k.schema, doc, all)
	cfg, err := k.config(as, c.Tenant, c.Zone, doc)
	if err != nil {
		return out, err
	}
	if s.deps.Prepare != nil {
		if err := s.deps.Prepare(as, cfg); err != nil {
			return out, &Invalid{[]Fault{k.blame(as, err)}}
		}
	}
	select {
	case s.tries <- struct{}{}:
		defer func() { <-s.tries }()
	default:
		return out, fmt.Errorf("%w: %d inputs are being tested at the moment: try again in a few seconds", ErrConflict, triesAtOnce)
	}
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	out.Steps = append(out.Steps, "the settings can be used")
	if k.factory.Try == nil {
		err = s.tryListener(ctx, k, before, doc, &out)
	} else {
		deps := s.deps.Collectors(k.waits)
		deps.Sink, deps.Places, deps.Metrics = nowhere{}, s.places(as), nil
		var found collectors.Trial
		err = guarded(func() (err error) { found, err = k.factory.Try(ctx, cfg, deps); return err })
		out.Steps = append(out.Steps, found.Steps...)
		for _, r := range found.Records[:min(len(found.Records), collectors.MaxTrial)] {
			out.Records = append(out.Records, clip(r))
		}
	}
	switch {
	case err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		out.Error = fmt.Sprintf("it took longer than %v: %s", tryTime, err)
	case err != nil:
		out.Error = err.Error()
	}
	out.OK, out.Seconds = err == nil, time.Since(began).Seconds()
	return out, nil
}

func clip(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= maxTried {
		return s
	}
	cut := maxTried
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// tryListener sees whether an address can be opened. It is closed again at once.
func (s *Service) tryListener(ctx context.Context, k *kind, before *row, doc map[string]any, out *Trial) error {
	listen, _ := doc["listen"].(string)
	if p := k.schema.Properties["listen"]; listen == "" && p != nil {
		listen, _ = p.Default.(string)
	}
	if listen == "" {
		return nil
	}
	if before != nil {
		old, err := document([]byte(before.Settings))
		if err != nil {
			return err
		}
		was, _ := old["listen"].(string)
		if h := s.healthOf(before); h.State != collectors.StateOff && (was == listen || h.Listen == listen) {
			if h.State == collectors.StateError {
				return errors.New(h.Error)
			}
			out.Steps = append(out.Steps, fmt.Sprintf("the input listens on %s: %d records came since the start", h.Listen, h.Received))
			return nil
		}
	}
	var conf net.ListenConfig
	if strings.Contains(k.factory.Type, "udp") || k.factory.Type == "flow" || k.factory.Type == "snmptrap" {
		c, err := conf.ListenPacket(ctx, "udp", listen)
		if err != nil {
			return fmt.Errorf("the address cannot be opened: %w", err)
		}
		_ = c.Close()
	} else {
		l, err := conf.Listen(ctx, "tcp", listen)
		if err != nil {
			return fmt.Errorf("the address cannot be opened: %w", err)
		}
		_ = l.Close()
	}
	out.Steps = append(out.Steps, fmt.Sprintf("the address %s is free and can be opened", listen))
	return nil
}
