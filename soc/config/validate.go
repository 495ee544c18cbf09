package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"icewatch/soc/transport"
)

// within tells whether a path is a folder or lies below it.
func within(dir, p string) bool {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return false
	}
	if p, err = filepath.Abs(p); err != nil {
		return false
	}
	rel, err := filepath.Rel(dir, p)
	return err == nil && (rel == "." || filepath.IsLocal(rel))
}

// Validate tells what cannot work, each with the option's path and what would
// be right.
func (c *Config) Validate() []Problem {
	var out []Problem
	bad := func(path, format string, args ...any) {
		out = append(out, Problem{Path: path, Reason: fmt.Sprintf(format, args...)})
	}
	oneOf := func(path, v string, allowed ...string) {
		for _, a := range allowed {
			if v == a {
				return
			}
		}
		bad(path, "%q is not known; one of %s is expected", v, strings.Join(allowed, ", "))
	}
	address := func(path, v string, off bool) {
		if off && (v == "off" || v == "") {
			return
		}
		host, port, err := net.SplitHostPort(v)
		if err != nil {
			bad(path, "%q is not an address; host:port is expected, such as 127.0.0.1:8080 or :5514", v)
			return
		}
		if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
			bad(path, "the port %q of %q is not a number from 0 to 65535", port, v)
		}
		if _, err := netip.ParseAddr(host); host != "" && host != "localhost" && err != nil && strings.ContainsAny(host, " /") {
			bad(path, "%q is not a host", host)
		}
	}
	file := func(path, v string) {
		if v == "" {
			return
		}
		if st, err := os.Stat(v); err != nil {
			bad(path, "%q cannot be read: %v", v, err)
		} else if st.IsDir() {
			bad(path, "%q is a folder; a file is expected", v)
		}
	}
	atLeast := func(path string, v, least int64, unit string) {
		if v < least {
			bad(path, "%d is too little; at least %d%s is expected", v, least, unit)
		}
	}
	if strings.TrimSpace(c.Data) == "" {
		bad("data", "no folder is given; a path such as ./data is expected")
	}
	oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	oneOf("log.format", c.Log.Format, "text", "json")
	address("http.listen", c.HTTP.Listen, false)
	file("http.tls_cert", c.HTTP.TLSCert)
	file("http.tls_key", c.HTTP.TLSKey)
	if (c.HTTP.TLSCert == "") != (c.HTTP.TLSKey == "") {
		bad("http.tls_cert", "tls_cert and tls_key belong together; give both or neither")
	}
	oneOf("http.tls_provider", c.HTTP.TLSProvider, transport.Providers()...)
	if c.HTTP.ExternalURL != "" && !isHTTP(c.HTTP.ExternalURL) {
		bad("http.external_url", "%q is not a URL; one such as https://soc.example.gov.cn is expected", c.HTTP.ExternalURL)
	}
	atLeast("http.max_body", int64(c.HTTP.MaxBody), 64<<10, " bytes (64KiB)")
	atLeast("http.max_unpacked", int64(c.HTTP.MaxUnpacked), int64(c.HTTP.MaxBody), " bytes, which is http.max_body,")
	address("alert_mail.listen", c.AlertMail.Listen, true)
	if d := c.AlertMail.Domain; d == "" || strings.ContainsAny(d, "@ \t") {
		bad("alert_mail.domain", "%q is no name behind an @; one such as soc.example.gov.cn is expected", d)
	}
	address("syslog.udp", c.Syslog.UDP, true)
	address("syslog.tcp", c.Syslog.TCP, true)
	address("syslog.tls", c.Syslog.TLS, true)
	address("syslog.relp", c.Syslog.RELP, true)
	address("syslog.relp_tls", c.Syslog.RELPTLS, true)
	atLeast("syslog.max_message", int64(c.Syslog.MaxMessage), 1024, " bytes (1KiB)")
	if c.Syslog.MaxMessage > 64<<20 {
		bad("syslog.max_message", "%d bytes are too many; at most 64MiB are read as one message", c.Syslog.MaxMessage)
	}
	atLeast("syslog.max_connections", int64(c.Syslog.MaxConnections), 1, "")
	atLeast("syslog.idle_timeout", int64(c.Syslog.IdleTimeout), int64(time.Second), " ns (1s)")
	listeners := map[string]bool{}
	for i, l := range c.Syslog.Listeners {
		at, name := fmt.Sprintf("syslog.listeners[%d]", i), l.ListenerName()
		if listeners[name] || !fileSet.MatchString(name) {
			bad(at+".name", "%q is given twice, or has other characters than letters, digits, dot, dash and underscore", name)
		}
		listeners[name] = true
		given := false
		for _, x := range [][2]string{{"udp", l.UDP}, {"tcp", l.TCP}, {"tls", l.TLS}, {"relp", l.RELP}, {"relp_tls", l.RELPTLS}} {
			if x[1] != "" {
				address(at+"."+x[0], x[1], true)
				given = given || x[1] != "off"
			}
		}
		if !given {
			bad(at, "none of udp, tcp, tls, relp and relp_tls is given; at least one address such as :5515 is expected")
		}
	}
	address("flows.netflow", c.Flows.NetFlow, true)
	address("flows.sflow", c.Flows.SFlow, true)
	address("snmp.traps", c.SNMP.Traps, true)
	file("snmp.communities_file", c.SNMP.CommunitiesFile)
	file("snmp.users_file", c.SNMP.UsersFile)
	for i, n := range c.SNMP.Sources {
		if _, err := netip.ParsePrefix(n); err != nil {
			if _, err := netip.ParseAddr(n); err != nil {
				bad(fmt.Sprintf("snmp.sources[%d]", i), "%q is not a network; one such as 10.1.0.0/16 or 10.1.2.3 is expected", n)
			}
		}
	}
	if t := c.SNMP.Traps; t != "off" && t != "" && c.SNMP.CommunitiesFile == "" && c.SNMP.UsersFile == "" {
		bad("snmp.traps", "everything would be refused: give communities_file, or better users_file")
	}
	address("agents.listen", c.Agents.Listen, true)
	for i, u := range c.Agents.URLs {
		if x, err := url.Parse(u); err != nil || x.Scheme != "https" || x.Host == "" || x.Path != "" {
			bad(fmt.Sprintf("agents.urls[%d]", i), "%q is not an address of agents; one such as https://soc.example.gov.cn:8444 is expected", u)
		}
	}
	address("otlp.grpc", c.OTLP.GRPC, true)
	address("otlp.http", c.OTLP.HTTP, true)
	atLeast("otlp.max_message", int64(c.OTLP.MaxMessage), 64<<10, " bytes (64KiB)")
	if c.OTLP.MaxMessage > 256<<20 {
		bad("otlp.max_message", "%d bytes are too many; at most 256MiB are read as one message", c.OTLP.MaxMessage)
	}
	sets := map[string]bool{}
	for i, f := range c.Files {
		name := f.SetName(i)
		if sets[name] || !fileSet.MatchString(name) {
			bad(fmt.Sprintf("files[%d].name", i), "%q is given twice, or has other characters than letters, digits, dot, dash and underscore", name)
		}
		sets[name] = true
		if f.ReadFrom != "" {
			oneOf(fmt.Sprintf("files[%d].read_from", i), f.ReadFrom, "beginning", "end")
		}
		if f.Encoding != "" {
			oneOf(fmt.Sprintf("files[%d].encoding", i), f.Encoding, "auto", "utf-8", "gbk", "gb18030", "utf-16", "utf-16le", "utf-16be")
		}
		if _, err := regexp.Compile(f.Multiline); err != nil {
			bad(fmt.Sprintf("files[%d].multiline", i), "%q is no regular expression: %v", f.Multiline, err)
		}
		if len(f.Paths) == 0 {
			bad(fmt.Sprintf("files[%d].paths", i), "no path is given; at least one file or pattern is expected")
		}
		for j, p := range f.Paths {
			if _, err := filepath.Match(p, ""); err != nil {
				bad(fmt.Sprintf("files[%d].paths[%d]", i, j), "%q is not a pattern: %v", p, err)
			}
		}
	}
	for i, r := range c.Relays {
		if _, err := netip.ParsePrefix(r); err != nil {
			if _, err := netip.ParseAddr(r); err != nil {
				bad(fmt.Sprintf("relays[%d]", i), "%q is not a network; one such as 10.1.0.0/16 or 10.1.2.3 is expected", r)
			}
		}
	}
	atLeast("bus.max_size", int64(c.Bus.MaxSize), 16<<20, " bytes (16MiB)")
	atLeast("bus.min_free", int64(c.Bus.MinFree), 0, "")
	atLeast("bus.max_metrics", int64(c.Bus.MaxMetrics), 16<<20, " bytes (16MiB)")
	atLeast("bus.keep", int64(c.Bus.Keep), 1, "")
	for _, f := range c.Lake.Keeping().Check() {
		bad(f.Option, "%s", f.Reason)
	}
	atLeast("lake.flush_interval", int64(c.Lake.FlushInterval), int64(time.Second), " ns (1s)")
	atLeast("lake.memory", int64(c.Lake.Memory), 0, "")
	atLeast("memory.garbage", int64(c.Memory.Garbage), 0, "")
	atLeast("lake.scrub_period", int64(c.Lake.ScrubPeriod), 0, "")
	atLeast("lake.scrub_rate", int64(c.Lake.ScrubRate), 64<<10, " bytes (64KiB)")
	if c.Lake.ColdDir == "" {
		for i, class := range c.Lake.Keeping().Classes {
			if class.Cold > 0 {
				bad([]string{"lake.cold_after", fmt.Sprintf("lake.classes[%d].cold_after", i-1)}[min(i, 1)], "days cannot go to a cold folder: lake.cold_dir names none")
			}
		}
	} else if len(c.Lake.Remote.Nodes) > 0 {
		bad("lake.cold_dir", "events are kept by the servers of lake.remote, so there is nothing here to move")
	}
	c.checkRemote(bad, file)
	atLeast("metrics.retention", int64(c.Metrics.Retention), int64(24*time.Hour), " ns (1d)")
	atLeast("metrics.interval", int64(c.Metrics.Interval), int64(time.Second), " ns (1s)")
	atLeast("limits.fields", int64(c.Limits.Fields), 10, "")
	atLeast("limits.names", int64(c.Limits.Names), 10, "")
	if c.Limits.Names > 1500 {
		bad("limits.names", "%d is too many; the lake holds at most 1500 names of a tenant's own", c.Limits.Names)
	}
	atLeast("limits.sender_ids", int64(c.Limits.SenderIDs), 1, "")
	atLeast("parsers.interval", int64(c.Parsers.Interval), int64(100*time.Millisecond), " ns (100ms)")
	atLeast("rules.interval", int64(c.Rules.Interval), int64(100*time.Millisecond), " ns (100ms)")
	atLeast("rules.policy.decisions", int64(c.Rules.Policy.Decisions), 1, "")
	atLeast("rules.policy.decision_rate", int64(c.Rules.Policy.DecisionRate), 1, "")
	named := map[string]bool{}
	for i, k := range c.Rules.Policy.Keys {
		if at := fmt.Sprintf("rules.policy.keys[%d]", i); k.Name == "" || k.File == "" || k.Algorithm == "" {
			bad(at, "name, file and algorithm are needed")
		} else if named[k.Name] {
			bad(at+".name", "%s is given twice", k.Name)
		}
		named[k.Name] = true
	}
	atLeast("rules.flood.rate", int64(c.Rules.Flood.Rate), 0, "")
	atLeast("rules.flood.window", int64(c.Rules.Flood.Window), int64(time.Second), " ns (1s)")
	atLeast("rules.flood.interval", int64(c.Rules.Flood.Interval), int64(time.Second), " ns (1s)")
	if p := c.Rules.Slow.Percent; p < 0 || p > 100 {
		bad("rules.slow.percent", "%d: 0 to 100 is expected", p)
	}
	atLeast("rules.slow.window", int64(c.Rules.Slow.Window), int64(time.Second), " ns (1s)")
	atLeast("rules.slow.pause", int64(c.Rules.Slow.Pause), int64(time.Second), " ns (1s)")
	atLeast("rules.correlation.memory", int64(c.Rules.Correlation.Memory), 1<<20, " (1MiB)")
	atLeast("rules.correlation.lateness", int64(c.Rules.Correlation.Lateness), int64(time.Second), " ns (1s)")
	folder := func(path string, v string) {
		if st, err := os.Stat(v); err != nil {
			bad(path, "%q cannot be read: %v", v, err)
		} else if !st.IsDir() {
			bad(path, "%q is not a folder", v)
		}
	}
	for i, d := range c.Rules.Dirs {
		folder(fmt.Sprintf("rules.dirs[%d]", i), d)
	}
	for i, d := range c.Parsers.Dirs {
		folder(fmt.Sprintf("parsers.dirs[%d]", i), d)
	}
	for i, f := range c.Geo.Files {
		if st, err := os.Stat(f); err != nil {
			bad(fmt.Sprintf("geo.files[%d]", i), "%q cannot be read: %v", f, err)
		} else if !st.Mode().IsRegular() {
			bad(fmt.Sprintf("geo.files[%d]", i), "%q is not a file", f)
		}
	}
	if c.Geo.Language != "zh" && c.Geo.Language != "en" {
		bad("geo.language", "%q: want zh or en", c.Geo.Language)
	}
	for i, d := range c.Tenants.Dirs {
		folder(fmt.Sprintf("tenants.dirs[%d]", i), d)
	}
	names := map[string]bool{}
	for i, w := range c.Notify.Webhooks {
		at := fmt.Sprintf("notify.webhooks[%d]", i)
		if w.Name == "" {
			bad(at+".name", "the receiver has no name")
		} else if names[w.Name] {
			bad(at+".name", "the name %q is given twice", w.Name)
		}
		names[w.Name] = true
		if !isHTTP(w.URL) {
			bad(at+".url", "%q is not a URL; one such as https://hooks.example.gov.cn/soc is expected", w.URL)
		}
		if w.Secret != "" && w.SecretFile != "" {
			bad(at+".secret", "secret and secret_file exclude each other; give one")
		}
		file(at+".secret_file", w.SecretFile)
	}
	c.checkCMDB(bad, file)
	c.checkElastic(bad, file)
	for i, network := range c.Security.Egress.Allow {
		if _, err := (Egress{Allow: []string{network}}).Guard(); err != nil {
			bad(fmt.Sprintf("security.egress.allow[%d]", i), "%v", err)
		}
	}
	seen := map[string]bool{}
	for i, s := range c.SLA {
		at := fmt.Sprintf("sla[%d]", i)
		oneOf(at+".priority", s.Priority, "P1", "P2", "P3", "P4")
		if seen[s.Priority] {
			bad(at+".priority", "%s is given twice", s.Priority)
		}
		seen[s.Priority] = true
		if s.Acknowledge <= 0 || s.Resolve < s.Acknowledge {
			bad(at, "acknowledge must be more than 0 and resolve not less than it")
		}
	}
	if dir := c.Backup.Dir; dir != "" && within(c.Data, dir) {
		bad("backup.dir", "%q lies in the data folder, with which it would be lost; a folder on another disk is expected", dir)
	}
	return out
}

func isHTTP(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}
