package centre

import (
	"context"
	"net"
	"net/netip"
	"strings"

	"icewatch/soc/api"
	"icewatch/soc/config"
	"icewatch/soc/identity/provider"
)

// openProvider makes the suite an OpenID provider for other applications.
func (c *centre) openProvider(ctx context.Context) (err error) {
	d := provider.Deps{DB: c.db, Settings: c.settings, Identity: c.identity, Seal: c.seal, Fetch: c.egress, Log: c.log, Record: api.ProviderEvents(c.audit, c.log)}
	if d.Issuer, d.Warning = issuer(c.Config); d.Issuer == "" {
		c.log.Warn("oidc: " + d.Warning)
	}
	if c.provider, err = provider.Open(ctx, d); err != nil {
		return err
	}
	c.identity.UseApplications(c.provider)
	c.background(c.provider.Run)
	return nil
}

// issuer is the provider's name to the world. It must not depend on what a
// request says its host is, since anybody can write that: it is the configured
// address, or the one listened on where there is only one.
func issuer(c *config.Config) (issuer, warning string) {
	if c.HTTP.ExternalURL != "" {
		return strings.TrimRight(c.HTTP.ExternalURL, "/") + provider.Path, ""
	}
	const say = "http.external_url is not set: set it to the address under which people and applications reach the suite, such as https://soc.example.gov.cn"
	host, _, err := net.SplitHostPort(c.HTTP.Listen)
	if err != nil {
		return "", say
	}
	if a, err := netip.ParseAddr(host); host == "" || err == nil && a.IsUnspecified() {
		return "", "no application can sign users in: " + say
	}
	scheme := "https"
	if c.HTTP.TLSCert == "" && (c.Loopback() || c.HTTP.Insecure) {
		scheme = "http"
	}
	return scheme + "://" + c.HTTP.Listen + provider.Path, say
}
