package centre

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"icewatch/rules"
	"icewatch/soc/config"
	"icewatch/soc/event"
	"icewatch/soc/identity"
	"icewatch/soc/lake"
	"icewatch/soc/reach"
	"icewatch/soc/settings"
	"icewatch/soc/watch"
	"icewatch/ticketing/source"
)

const heldAlertSources = "alert-sources"

// openAlertSources opens the sources of alerts that other systems raise.
func (c *centre) openAlertSources(ctx context.Context) (err error) {
	names := event.NewRegistry(1) // of the fields that enrichment adds
	var dictionary *settings.Setting[source.Dictionary]
	dictionary, err = settings.Declare(ctx, c.settings, "alert-fields", identity.ScopeConfigure, source.Dictionary{Own: []source.Field{}},
		func(d source.Dictionary) error {
			if c.alertSources == nil {
				return d.Check()
			}
			return c.alertSources.CheckDictionary(d)
		},
		func(source.Dictionary) {
			if c.alertSources == nil {
				return
			}
			if err := c.alertSources.Reload(context.Background()); err != nil {
				c.log.Error("alert sources: the field dictionary is not in force yet", "error", err)
			}
		})
	if err != nil {
		return err
	}
	c.alertSources, err = source.Open(ctx, c.db, source.Deps{
		Templates: rules.AlertSources, Dir: "alertsources", Tickets: c.tickets, Dictionary: dictionary.Get,
		Place:  func(w source.Where, fields map[string]string) string { return c.placeAlert(names, w, fields) },
		Tenant: func(slug string) bool { _, ok := c.tenants.Get(slug); return ok },
		Box:    c.seal, Dial: c.egress.Dialer(10 * time.Second).DialContext, Client: c.egress.Client(10 * time.Second),
		Arrivals: c.engine, CheckFilter: func(filter string) error { _, err := lake.CheckFilter(filter); return err },
		Reach: func(tenant string) (reach.Reach, error) {
			if tenant == "" {
				return reach.All(), nil
			}
			return c.reach.Reach([]string{tenant})
		},
		Hold: func(ctx context.Context, now []source.Alarm) {
			list := make([]watch.Alarm, 0, len(now))
			for _, a := range now {
				list = append(list, watch.Alarm{Kind: a.Kind, Key: a.Key, Detail: a.Detail, Fields: a.Fields})
			}
			c.watch.Hold(ctx, heldAlertSources, list)
		},
		Others: c.ownAlertSources, MailDomain: mailDomain(c.Config), Log: c.log})
	if err != nil {
		return err
	}
	before := c.gauge.more
	c.gauge.more = func(w io.Writer) {
		before(w)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := c.alertSources.WriteMetrics(ctx, w); err != nil {
			c.log.Error("the figures of alert sources are not known", "error", err)
		}
		_ = c.tickets.WriteMetrics(w) // whoever asked went away
		if err := c.tickets.WriteStanding(ctx, w); err != nil {
			c.log.Error("how alerts and incidents stand is not known", "error", err)
		}
		if err := c.tickets.Outbox().WriteMetrics(ctx, w); err != nil {
			c.log.Error("the figures of notifications are not known", "error", err)
		}
		_ = c.audit.WriteMetrics(w)
	}
	c.background(c.alertSources.Run)
	return nil
}

// mailDomain is that of the sources' addresses; "" where no mail is taken.
func mailDomain(cfg *config.Config) string {
	if !on(cfg.AlertMail.Listen) {
		return ""
	}
	return cfg.AlertMail.Domain
}

// ownAlertSources are the ways in that are part of the suite: what its own rules
// raise, and what is sent to the Alertmanager API that all senders share.
func (c *centre) ownAlertSources(ctx context.Context) ([]source.View, error) {
	st := c.tickets.Stats()
	own := source.View{ID: "rules", Builtin: true, SecretsSet: []string{}, Content: source.Content{Name: "rules", Enabled: true},
		Health: source.Health{State: source.StateOK, Messages: int64(st.Occurrences), Alerts: int64(st.AlertsOpened)}}
	if !st.LastAt.IsZero() {
		own.Health.LastAt = &st.LastAt
	}
	pushed, err := c.alertmanager.Pushed(ctx)
	if err != nil {
		return nil, err
	}
	shared := source.View{ID: "alertmanager", Builtin: true, SecretsSet: []string{}, Content: source.Content{Name: "Alertmanager API", Kind: source.KindAlertmanager, Enabled: true, Template: "alertmanager-push"},
		Health: source.Health{State: source.StateIdle, Alerts: pushed.Known, Firing: pushed.Firing, LastAt: pushed.LastAt}}
	if pushed.LastAt != nil {
		shared.Health.State = source.StateOK
	}
	return []source.View{own, shared}, nil
}

// placeAlert adds what the CMDB knows of the item that an alert is about, as the
// pipeline does for events, and tells whose it is. An item that is named by its
// id counts only where it is the tenant's own.
func (c *centre) placeAlert(names *event.Registry, w source.Where, fields map[string]string) string {
	if w.Item != "" {
		it, ok, err := items{c.cmdb}.Item(context.Background(), w.Item)
		switch {
		case err != nil:
			c.log.Warn("alert sources: an item cannot be read", "item", w.Item, "error", err)
		case !ok && w.Host == "":
			w.Host = w.Item // its name, perhaps
		case ok && (w.Tenant == "" || w.Tenant == it.Tenant):
			w.Tenant, w.Zone, w.IP, w.Host = it.Tenant, it.Zone, "", it.Name
			if len(it.Hostnames) > 0 {
				w.Host = it.Hostnames[0]
			}
			if i := slices.IndexFunc(it.Addresses, func(a string) bool { _, err := netip.ParseAddr(a); return err == nil }); i >= 0 {
				w.IP = it.Addresses[i]
			}
		}
	}
	return c.placeIn(names, w.Tenant, w.Zone, w.Host, w.IP, fields)
}

// runAlertMail opens the address for mails of alert sources, where one is
// configured. It speaks TLS by the certificate of the console; in the clear only
// on this machine itself, or where the console does, too.
func (c *centre) runAlertMail(context.Context) error {
	cfg := c.Config.AlertMail
	if !on(cfg.Listen) {
		return nil
	}
	cert, key := c.Config.HTTP.TLSCert, c.Config.HTTP.TLSKey
	if cert == "" {
		cert, key = filepath.Join(c.Config.Data, "tls", "self-signed.pem"), filepath.Join(c.Config.Data, "tls", "self-signed.key")
	}
	load := func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		// Read for each handshake, so that a renewed one is used; mails of alerts are few.
		pair, err := tls.LoadX509KeyPair(cert, key)
		return &pair, err
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: load}
	if _, err := load(nil); err != nil {
		host, _, _ := net.SplitHostPort(cfg.Listen)
		if addr, bad := netip.ParseAddr(host); !c.Config.HTTP.Insecure && (bad != nil || !addr.IsLoopback()) {
			return fmt.Errorf("alert_mail.listen: %s: there is no certificate for STARTTLS, without which the tokens in the addresses could be read: give http.tls_cert, or listen on 127.0.0.1: %w", cfg.Listen, err)
		}
		conf = nil
	}
	l, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return fmt.Errorf("alert_mail.listen: %w", err)
	}
	srv := c.alertSources.MailServer(cfg.Domain, conf)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := c.alertSources.ServeMail(srv, l); err != nil {
			c.failed <- err
		}
	}()
	c.later(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err := srv.Shutdown(ctx)
		<-done
		return err
	})
	return nil
}
