package check

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"icewatch/collectors/scanner/wire"
)

const itemCrypto = "MLPS-3 8.1.4.7"

var (
	tlsExpired = &Meta{ID: "tls-certificate-expired", Title: "The certificate is over", TitleZH: "TLS 证书已过期", Severity: wire.SeverityMedium, CWE: "CWE-298", Item: itemCrypto,
		Tags: []string{"tls", "certificate"}, Solution: "Install a valid certificate, and renew it by a program before it ends.", SolutionZH: "更换有效证书,并在到期前自动续期。"}
	tlsFuture = &Meta{ID: "tls-certificate-not-yet-valid", Title: "The certificate is not valid yet", TitleZH: "TLS 证书尚未生效", Severity: wire.SeverityLow, CWE: "CWE-298", Item: itemCrypto,
		Tags: []string{"tls", "certificate"}, Solution: "Install a valid certificate; check the clock of who issued it.", SolutionZH: "更换有效证书,并检查签发端时钟。"}
	tlsSoon = &Meta{ID: "tls-certificate-expires-soon", Title: "The certificate ends within 15 days", TitleZH: "TLS 证书即将过期", Severity: wire.SeverityLow, CWE: "CWE-298", Item: itemCrypto,
		Tags: []string{"tls", "certificate"}, Solution: "Renew the certificate.", SolutionZH: "尽快续期证书。"}
	tlsWeakKey = &Meta{ID: "tls-weak-key", Title: "The certificate's key is too short", TitleZH: "TLS 证书密钥强度不足", Severity: wire.SeverityMedium, CWE: "CWE-326", Item: itemCrypto,
		Tags: []string{"tls", "certificate"}, Solution: "Use RSA of 2048 bits or more, or ECDSA P-256.", SolutionZH: "使用 2048 位以上 RSA 或 ECDSA P-256 密钥。"}
	tlsWeakSignature = &Meta{ID: "tls-weak-signature", Title: "The certificate is signed with MD5 or SHA-1", TitleZH: "TLS 证书使用弱签名算法", Severity: wire.SeverityMedium, CWE: "CWE-328", Item: itemCrypto,
		Tags: []string{"tls", "certificate"}, Solution: "Have the certificate issued anew with SHA-256 or better.", SolutionZH: "使用 SHA-256 及以上算法重新签发证书。"}
	tlsOld = &Meta{ID: "tls-old-version", Title: "TLS 1.0 or 1.1 is accepted", TitleZH: "支持不安全的 TLS 1.0/1.1 协议", Severity: wire.SeverityMedium, CWE: "CWE-327", Item: itemCrypto,
		Tags: []string{"tls"}, Solution: "Allow TLS 1.2 and 1.3 alone.", SolutionZH: "仅启用 TLS 1.2 与 TLS 1.3。"}
	tlsSelfSigned = &Meta{ID: "tls-self-signed", Title: "The certificate is signed by itself", TitleZH: "TLS 证书为自签名", Severity: wire.SeverityLow, CWE: "CWE-295", Item: itemCrypto,
		Tags: []string{"tls", "certificate"}, Solution: "Use a certificate of an authority that the clients trust.", SolutionZH: "使用受信任 CA 签发的证书。"}
	tlsName = &Meta{ID: "tls-wrong-name", Title: "The certificate is for another name", TitleZH: "TLS 证书域名不匹配", Severity: wire.SeverityLow, CWE: "CWE-297", Item: itemCrypto,
		Tags: []string{"tls", "certificate"}, Solution: "Use a certificate that has the site's name.", SolutionZH: "使用与站点域名一致的证书。"}
	tlsChecks = []*Meta{tlsExpired, tlsFuture, tlsSoon, tlsWeakKey, tlsWeakSignature, tlsOld, tlsSelfSigned, tlsName}
)

// certificate judges what discovery saw of TLS.
func (e *Env) certificate(_ context.Context, t Target) {
	s, now := t.Service.TLS, time.Now()
	if e.Now != nil {
		now = e.Now()
	}
	hit := func(m *Meta, evidence string) {
		if e.wants(m) {
			w := m.Weakness(t, evidence)
			e.found(w)
		}
	}
	until := time.Unix(s.NotAfter, 0)
	who := "subject " + s.Subject + ", "
	switch {
	case now.After(until):
		hit(tlsExpired, who+"valid until "+until.UTC().Format(time.RFC3339))
	case now.Before(time.Unix(s.NotBefore, 0)):
		hit(tlsFuture, who+"valid from "+time.Unix(s.NotBefore, 0).UTC().Format(time.RFC3339))
	case until.Sub(now) < 15*24*time.Hour:
		hit(tlsSoon, who+"valid until "+until.UTC().Format(time.RFC3339))
	}
	if kind, bits, ok := strings.Cut(s.Key, " "); ok && kind == "RSA" {
		if n, err := strconv.Atoi(bits); err == nil && n < 2048 {
			hit(tlsWeakKey, s.Key)
		}
	}
	if strings.Contains(s.Signature, "MD5") || strings.Contains(s.Signature, "SHA1") {
		hit(tlsWeakSignature, s.Signature)
	}
	var old []string
	for _, v := range s.Versions {
		if v == "TLS 1.0" || v == "TLS 1.1" {
			old = append(old, v)
		}
	}
	if len(old) > 0 {
		hit(tlsOld, strings.Join(old, ", "))
	}
	if s.SelfSigned {
		hit(tlsSelfSigned, "issuer "+s.Issuer)
	}
	if t.Host != "" && !named(s.SANs, t.Host) {
		hit(tlsName, "names "+strings.Join(s.SANs, ", ")+"; reached as "+t.Host)
	}
}

// named tells whether a certificate's names cover a host.
func named(sans []string, host string) bool {
	return slices.ContainsFunc(sans, func(n string) bool {
		n = strings.ToLower(n)
		if rest, ok := strings.CutPrefix(n, "*."); ok {
			_, after, dotted := strings.Cut(host, ".")
			return dotted && after == rest
		}
		return n == host
	})
}
