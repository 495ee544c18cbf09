package centre

import (
	"fmt"
	"net"
	"strings"
	"time"

	"icewatch/detections"
	"icewatch/soc/config"
	"icewatch/ticketing"
	"icewatch/ticketing/outbox"
	"icewatch/ticketing/sla"
)

// ticketingConfig hands ticketing its part of the configuration.
func ticketingConfig(c *config.Config) (ticketing.Config, error) {
	out := ticketing.Config{ExternalURL: c.HTTP.ExternalURL, SLA: sla.Targets{}}
	wait := time.Duration(c.Alerts.Faults.Wait)
	out.Faults = ticketing.Faults{Wait: &wait, Window: time.Duration(c.Alerts.Faults.Window), Opens: detections.Level(c.Alerts.Faults.Opens), Least: c.Alerts.Faults.Least, Share: float64(c.Alerts.Faults.Percent) / 100}
	out.Flapping = ticketing.Flaps{Changes: c.Alerts.Flapping.Changes, Window: time.Duration(c.Alerts.Flapping.Window), Calm: time.Duration(c.Alerts.Flapping.Calm)}
	out.Storm = ticketing.Storm{Rule: c.Alerts.Storm.Rule, Source: c.Alerts.Storm.Source, Per: time.Duration(c.Alerts.Storm.Per)}
	for _, s := range c.SLA {
		out.SLA[s.Priority] = sla.Target{Ack: time.Duration(s.Acknowledge), Resolve: time.Duration(s.Resolve)}
	}
	for _, w := range c.Notify.Webhooks {
		out.Webhooks.Receivers = append(out.Webhooks.Receivers, outbox.Receiver{Name: w.Name, URL: w.URL, Secret: w.Secret, SecretFile: w.SecretFile, SendResolved: w.SendResolved})
	}
	if err := out.Validate(); err != nil {
		return out, fmt.Errorf("configuration: %w", err)
	}
	return out, nil
}

// greet tells a newcomer where the console is and, once, how to sign in.
func (c *centre) greet() {
	host, port, _ := net.SplitHostPort(c.listener.Addr().String())
	if host == "::" || host == "0.0.0.0" {
		host = "localhost"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n  icewatch %s is ready\n  console   %s://%s/\n", c.Version, c.listener.Scheme, net.JoinHostPort(host, port))
	if c.listener.Notice != "" {
		fmt.Fprintf(&b, "            %s\n", c.listener.Notice)
	}
	switch {
	case c.first.Generated != "":
		fmt.Fprintf(&b, "  sign in   user %s, password %s   (shown this once; change it after signing in)\n", c.first.Username, c.first.Generated)
	case c.first.Created:
		fmt.Fprintf(&b, "  sign in   user %s, with the password from ICEWATCH_ADMIN_PASSWORD\n", c.first.Username)
	}
	for _, h := range c.gauge.health {
		s := h()
		if s.Listen != "" {
			fmt.Fprintf(&b, "  %-9s %s\n", "intake", s.ID+" on "+s.Listen)
		}
	}
	fmt.Fprintf(&b, "  data      %s\n  try       bin/icewatch simulate   (an attack on a small city, seen in the console within a minute)\n\n", c.Config.Data)
	_, _ = c.Out.Write([]byte(b.String()))
}
