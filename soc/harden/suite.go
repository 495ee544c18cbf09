package harden

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"database/sql"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	_ "modernc.org/sqlite" // the "sqlite" driver of database/sql

	"icewatch/soc/api"
	"icewatch/soc/egress"
	"icewatch/soc/identity"
	"icewatch/soc/identity/access"
)

// listeners looks at how the suite can be reached.
func (r *report) listeners() {
	c := r.Config
	switch {
	case c.Loopback():
	case c.HTTP.Insecure:
		r.add(Critical, "http-plain", "http.insecure", "set http.insecure: false, or listen on a loopback address behind the proxy that ends TLS",
			"passwords and data cross the network in the clear: HTTP without TLS on %s", c.HTTP.Listen)
	case c.HTTP.TLSCert == "":
		r.add(Medium, "tls-self-signed", "http.tls_cert", "give http.tls_cert and http.tls_key of a certificate authority that your browsers trust",
			"the certificate is self-signed: users learn to click warnings away, and cannot tell a forger")
	default:
		r.certificate(c.HTTP.TLSCert)
	}
	for option, addr := range map[string]string{"syslog.udp": c.Syslog.UDP, "syslog.tcp": c.Syslog.TCP, "flows.netflow": c.Flows.NetFlow, "flows.sflow": c.Flows.SFlow} {
		if addr == "" || addr == "off" {
			continue
		}
		host, _, err := net.SplitHostPort(addr)
		ip, _ := netip.ParseAddr(host)
		if err == nil && (host == "" || ip.IsValid() && ip.IsUnspecified()) {
			r.add(Low, "listen-everywhere", option, "name the address of the network your devices are in, or switch the listener off",
				"%s is taken on every address of this machine (%s), from anybody and in the clear", strings.Split(option, ".")[0], addr)
		}
	}
	for _, network := range c.Security.Egress.Allow {
		for _, inside := range []string{"http://127.0.0.1/", "http://[::1]/", "http://169.254.169.254/"} {
			guard, err := egress.New(egress.Options{Allow: []string{network}})
			if err == nil && guard.Check(context.Background(), inside) == nil {
				r.add(High, "egress-inside", "security.egress.allow", "name the one address and port that is needed, or remove the entry",
					"users' webhooks reach this machine's own services or a cloud's metadata: %s is allowed", network)
				break
			}
		}
	}
}

// certificate looks at a supplied certificate.
func (r *report) certificate(file string) {
	data, err := os.ReadFile(file)
	if err != nil {
		r.add(High, "tls-unreadable", file, "run the check as the suite's own account", "the certificate cannot be read: %v", err)
		return
	}
	block, _ := pem.Decode(data)
	if block == nil {
		r.add(High, "tls-unreadable", file, "give a PEM file", "the certificate is not in PEM form")
		return
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		r.add(High, "tls-unreadable", file, "give a PEM file", "the certificate cannot be read: %v", err)
		return
	}
	switch left := time.Until(cert.NotAfter); {
	case left < 0:
		r.add(High, "tls-expired", file, "renew it; the suite takes the new file up by itself", "the certificate ended on %s", cert.NotAfter.Format(time.DateOnly))
	case left < 30*24*time.Hour:
		r.add(Medium, "tls-expiring", file, "renew it; the suite takes the new file up by itself", "the certificate ends on %s", cert.NotAfter.Format(time.DateOnly))
	}
	if key, ok := cert.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() < 2048 {
		r.add(High, "tls-weak-key", file, "use RSA of 3072 bits or ECDSA P-256", "the certificate's RSA key has %d bits", key.N.BitLen())
	}
	if alg := cert.SignatureAlgorithm; alg == x509.SHA1WithRSA || alg == x509.ECDSAWithSHA1 {
		r.add(High, "tls-weak-signature", file, "have it signed with SHA-256 or better", "the certificate is signed with SHA-1")
	}
}

// secrets looks at where secrets lie.
func (r *report) secrets() {
	c := r.Config
	for i, w := range c.Notify.Webhooks {
		if w.Secret != "" {
			r.add(Medium, "secret-in-config", fmt.Sprintf("notify.webhooks[%d].secret", i), "put it into a file of mode 0600 and name that as secret_file",
				"the configuration holds the signing secret of the receiver %s", w.Name)
		}
		if u, err := url.Parse(w.URL); err == nil && u.Scheme == "http" {
			r.add(Medium, "webhook-plain", fmt.Sprintf("notify.webhooks[%d].url", i), "use an https URL", "incidents are told to %s in the clear", w.Name)
		}
	}
	if rel, err := filepath.Rel(c.Data, c.KeyFile()); err == nil && !strings.HasPrefix(rel, "..") {
		r.add(Medium, "key-beside-data", c.KeyFile(), "move the file, name it in security.master_key_file, and back it up by itself",
			"the master key lies in the data folder: whoever gets a backup of the data can open every sealed secret in it")
	}
	if c.Lake.Retention < 180*24*60*60*1e9 {
		r.add(High, "retention", "lake.retention", "set lake.retention: 180d or more",
			"events are kept for %s; network logs must be kept for six months (Cybersecurity Law of the PRC, article 21)", c.Lake.Retention)
	}
}

// maxWalk bounds how many files of the data folder are looked at.
const maxWalk = 200_000

// files looks at who owns and may read what.
func (r *report) files() {
	c := r.Config
	exclusive := func(s Severity, id, file, what string) {
		st, err := os.Stat(file)
		if err != nil {
			return // what is not there cannot be read
		}
		if st.Mode().Perm()&0o077 != 0 {
			r.add(s, id, file, fmt.Sprintf("chmod %s %s", map[bool]string{true: "700", false: "600"}[st.IsDir()], file),
				"%s has the mode %04o: other accounts of this machine get at it", what, st.Mode().Perm())
		}
	}
	exclusive(High, "data-mode", c.Data, "the data folder")
	exclusive(Critical, "key-mode", c.KeyFile(), "the file of the master keys")
	if c.HTTP.TLSKey != "" {
		exclusive(Critical, "tls-key-mode", c.HTTP.TLSKey, "the key of the certificate")
	}
	for _, w := range c.Notify.Webhooks {
		if w.SecretFile != "" {
			exclusive(High, "secret-mode", w.SecretFile, "the secret of the receiver "+w.Name)
		}
		if w.Secret != "" && r.ConfigFile != "" {
			exclusive(High, "config-mode", r.ConfigFile, "the configuration, which holds a secret,")
		}
	}
	for _, e := range c.Elastic.Clusters {
		for _, secret := range []string{e.PasswordFile, e.APIKeyFile} {
			if secret != "" {
				exclusive(High, "secret-mode", secret, "the secret of the cluster "+e.Name)
			}
		}
		if e.Password != "" && r.ConfigFile != "" {
			exclusive(High, "config-mode", r.ConfigFile, "the configuration, which holds a secret,")
		}
	}
	if st, err := os.Stat(c.Data); err == nil {
		if sys, ok := st.Sys().(*syscall.Stat_t); ok && sys.Uid == 0 {
			r.add(High, "runs-as-root", c.Data, "make an account for the suite, chown the data folder to it, and set User= in the unit (docs/hardening.md)",
				"the data folder is root's, so the suite runs as root: a fault in any parser would give the machine away")
		}
	}
	if self, err := os.Executable(); err == nil {
		if st, err := os.Stat(self); err == nil && st.Mode().Perm()&0o022 != 0 {
			r.add(High, "binary-mode", self, "chmod 755 "+self, "others may replace the program: its mode is %04o", st.Mode().Perm())
		}
	}
	seen, open := 0, 0
	first := ""
	err := filepath.WalkDir(c.Data, func(path string, d fs.DirEntry, err error) error {
		if seen++; seen > maxWalk {
			return fs.SkipAll
		}
		if err != nil || path == c.Data {
			return nil
		}
		if info, err := d.Info(); err == nil && info.Mode()&fs.ModeSymlink == 0 && info.Mode().Perm()&0o006 != 0 {
			// Below a folder of mode 0700 others reach nothing; a copy or backup
			// keeps the files' modes and not the folder's.
			if open++; first == "" {
				first = path
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.add(Medium, "data-unreadable", c.Data, "run the check as the suite's own account", "the data folder cannot be looked through: %v", err)
	}
	if open > 0 {
		r.add(Low, "data-readable", first, "chmod -R o-rwx "+c.Data, "%d files and folders of the data can be read by everybody once they are copied elsewhere", open)
	}
}

// decisions looks at what administrators have decided, in the state.
func (r *report) decisions(ctx context.Context) {
	file := filepath.Join(r.Config.Data, "state", "icewatch.db")
	if _, err := os.Stat(file); err != nil {
		r.add(Low, "state-missing", file, "start the suite once, decide its settings, and check again", "there is no state yet, so no setting was looked at")
		return
	}
	dsn := url.URL{Scheme: "file", Path: file, RawQuery: "mode=ro&_pragma=busy_timeout(5000)&_pragma=query_only(1)"}
	db, err := sql.Open("sqlite", dsn.String())
	if err == nil {
		defer db.Close()
		err = db.PingContext(ctx)
	}
	if err != nil {
		r.add(Medium, "state-unreadable", file, "run the check as the suite's own account", "the state cannot be read: %v", err)
		return
	}
	at := func(name string) string { return "setting " + name }
	setting(ctx, r, db, "separation", access.Separation{}, func(s access.Separation) {
		if !s.Enabled {
			r.add(Medium, "separation", at("separation"), "name a system, a security and an audit administrator and switch it on (the setup wizard does)",
				"one account holds all powers; MLPS level 3 wants system, security and audit administration apart (GB/T 22239-2019, 8.1.5)")
		}
	})
	setting(ctx, r, db, "sign-in", identity.DefaultSignIn(), func(s identity.SignInPolicy) {
		if s.Factors == identity.FactorsOptional {
			r.add(Medium, "second-factor", at("sign-in"), `set factors to "all", or to "roles" with the administrators' roles`,
				"a password alone lets administrators in; MLPS level 3 wants two factors (GB/T 22239-2019, 8.1.4.1)")
		}
		if s.CaptchaAfter == 0 {
			r.add(Low, "captcha", at("sign-in"), "set captcha_after to 3", "no CAPTCHA is asked for after failed sign-ins")
		}
	})
	setting(ctx, r, db, "rate-limits", api.DefaultRateLimits, func(l api.RateLimits) {
		if !l.Enabled {
			r.add(Medium, "rate-limits", at("rate-limits"), "switch them on", "one client may ask as fast as it can")
		}
	})
	setting(ctx, r, db, "watermark", api.DefaultWatermark, func(w api.Watermark) {
		if !w.Enabled {
			r.add(Low, "watermark", at("watermark"), "switch it on", "a photograph of the console does not tell whose screen it was")
		}
	})
	var endless int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM identity_tokens WHERE expires_at IS NULL OR expires_at = 0").Scan(&endless); err == nil && endless > 0 {
		r.add(Medium, "token-endless", "API tokens", "replace them by ones that expire, and set longest_days in the setting tokens", "%d API tokens never expire", endless)
	}
}

// setting hands the value in force to look: the last one kept, or the default.
func setting[T any](ctx context.Context, r *report, db *sql.DB, name string, def T, look func(T)) {
	var doc string
	err := db.QueryRowContext(ctx, "SELECT doc FROM settings WHERE name = ? ORDER BY seq DESC LIMIT 1", name).Scan(&doc)
	if err == nil {
		err = json.Unmarshal([]byte(doc), &def)
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		r.add(Medium, "setting-unreadable", "setting "+name, "run the check with the release that wrote the state", "the setting cannot be read: %v", err)
		return
	}
	look(def)
}
