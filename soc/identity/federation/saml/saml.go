// Package saml signs people in at a SAML 2.0 identity provider. The suite is
// the service provider of the Web Browser SSO profile: signed AuthnRequests by
// HTTP-Redirect, answers by HTTP-POST. An answer counts only where it is signed
// by a certificate of the provider's metadata, made for us, in time, for a
// request of ours, and seen for the first time.
package saml

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"encoding/xml"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"time"

	"github.com/crewjam/saml"
	"github.com/crewjam/saml/samlsp"
	dsig "github.com/russellhaering/goxmldsig"

	"icewatch/soc/identity/federation/peer"
)

const (
	// MaxMetadata bounds a provider's metadata in bytes.
	MaxMetadata = 1 << 20
	// MaxResponse bounds an answer in bytes of XML: some providers list
	// hundreds of groups.
	MaxResponse = 256 << 10
	// keyLife is how long our own certificate says it is good for. Providers
	// pin it, so it must not run out by surprise.
	keyLife = 10 * 365 * 24 * time.Hour
)

// ErrReplayed is what Config.Used answers for an assertion that was used.
var ErrReplayed = saml.ErrAssertionReplayed

// Config says which provider, and who we are to it.
type Config struct {
	EntityID string // our name: the address of our metadata
	ACS      string // the address of our assertion consumer service
	Metadata []byte // the provider's metadata
	Key      crypto.Signer
	Cert     *x509.Certificate
	Sign     bool                      // sign the requests
	Used     saml.AssertionReplayCache // remembers the assertions that were used
	Clock    *dsig.Clock               // nil: the real one
}

// Provider is one identity provider as we see it. It is safe for concurrent
// use.
type Provider struct{ sp saml.ServiceProvider }

// New reads the metadata and prepares the service provider.
func New(cfg Config) (*Provider, error) {
	entity, err := ParseMetadata(cfg.Metadata)
	if err != nil {
		return nil, err
	}
	id, err := url.Parse(cfg.EntityID)
	if err != nil {
		return nil, fmt.Errorf("our entity ID %q: %w", cfg.EntityID, err)
	}
	acs, err := url.Parse(cfg.ACS)
	if err != nil {
		return nil, fmt.Errorf("our assertion consumer service %q: %w", cfg.ACS, err)
	}
	p := &Provider{sp: saml.ServiceProvider{
		EntityID: cfg.EntityID, MetadataURL: *id, AcsURL: *acs, Key: cfg.Key, Certificate: cfg.Cert, IDPMetadata: entity,
		AuthnNameIDFormat: saml.PersistentNameIDFormat, AssertionConsumerServiceBindings: []string{saml.HTTPPostBinding},
		MetadataOmitValidUntil:  true, // ours changes only with the certificate
		RejectUnknownConditions: true, RejectSHA1Signatures: true, RejectExpiredIDPMetadata: true, ReplayCache: cfg.Used, Clock: cfg.Clock,
	}}
	if cfg.Sign {
		p.sp.SignatureMethod = dsig.RSASHA256SignatureMethod
	}
	if p.sp.GetSSOBindingLocation(saml.HTTPRedirectBinding) == "" {
		return nil, errors.New("the metadata names no single sign-on service for HTTP-Redirect")
	}
	return p, nil
}

// ParseMetadata reads a provider's metadata: one EntityDescriptor with an
// IDPSSODescriptor and a signing certificate, alone or in an
// EntitiesDescriptor. Entities of the document's own making are refused.
func ParseMetadata(data []byte) (*saml.EntityDescriptor, error) {
	if len(data) > MaxMetadata {
		return nil, fmt.Errorf("the metadata has %d bytes, more than %d", len(data), MaxMetadata)
	}
	if bytes.Contains(data, []byte("<!DOCTYPE")) || bytes.Contains(data, []byte("<!ENTITY")) {
		return nil, errors.New("the metadata has a document type: entities are not taken")
	}
	entity, err := samlsp.ParseMetadata(data)
	if err != nil {
		return nil, fmt.Errorf("the metadata is not SAML metadata of one identity provider: %w", err)
	}
	if entity.EntityID == "" || len(entity.IDPSSODescriptors) == 0 {
		return nil, errors.New("the metadata describes no identity provider: it has no entityID or no IDPSSODescriptor")
	}
	if len(Certificates(entity)) == 0 {
		return nil, errors.New("the metadata holds no certificate for signatures")
	}
	return entity, nil
}

// Certificates returns the certificates a provider signs with.
func Certificates(entity *saml.EntityDescriptor) []*x509.Certificate {
	var out []*x509.Certificate
	for _, d := range entity.IDPSSODescriptors {
		for _, k := range d.KeyDescriptors {
			if k.Use != "" && k.Use != "signing" {
				continue
			}
			for _, c := range k.KeyInfo.X509Data.X509Certificates {
				der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(c.Data), ""))
				if err != nil {
					continue
				}
				if cert, err := x509.ParseCertificate(der); err == nil {
					out = append(out, cert)
				}
			}
		}
	}
	return out
}

// EntityID is the provider's name.
func (p *Provider) EntityID() string { return p.sp.IDPMetadata.EntityID }

// Metadata is our own metadata, to be given to the provider.
func (p *Provider) Metadata() ([]byte, error) {
	data, err := xml.MarshalIndent(p.sp.Metadata(), "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the metadata: %w", err)
	}
	return append([]byte(xml.Header), data...), nil
}

// Request makes an AuthnRequest: the address the browser goes to, and the
// request's ID, which the answer must name.
func (p *Provider) Request() (address, id string, err error) {
	req, err := p.sp.MakeAuthenticationRequest(p.sp.GetSSOBindingLocation(saml.HTTPRedirectBinding), saml.HTTPRedirectBinding, saml.HTTPPostBinding)
	if err != nil {
		return "", "", fmt.Errorf("make the AuthnRequest: %w", err)
	}
	u, err := req.Redirect("", &p.sp)
	if err != nil {
		return "", "", fmt.Errorf("sign the AuthnRequest: %w", err)
	}
	return u.String(), req.ID, nil
}

// Answer is a verified answer. Request names the request it answers: whether
// this browser made it is the caller's to see to.
type Answer struct {
	peer.Identity
	Request string
}

// Consume verifies an answer as the browser posts it, in base64. All that is
// wrong with one is peer.ErrInvalid, or peer.ErrRefused where the provider
// says itself that it signed nobody in.
func (p *Provider) Consume(encoded string) (Answer, error) {
	raw, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(encoded), ""))
	if err != nil {
		return Answer{}, fmt.Errorf("%w: SAMLResponse is not base64: %w", peer.ErrInvalid, err)
	}
	if len(raw) > MaxResponse {
		return Answer{}, fmt.Errorf("%w: it has %d bytes, more than %d", peer.ErrInvalid, len(raw), MaxResponse)
	}
	// The library compares the InResponseTo of response and assertion with the
	// requests we name; here they need only agree with each other, since the
	// browser's cookie, which knows the request, does not come with a post from
	// another site.
	request, err := inResponseTo(raw)
	if err != nil {
		return Answer{}, fmt.Errorf("%w: %w", peer.ErrInvalid, err)
	}
	assertion, err := p.sp.ParseXMLResponse(raw, []string{request}, p.sp.AcsURL)
	if err != nil {
		return Answer{}, wrap(err)
	}
	name := assertion.Subject.NameID
	switch {
	case name == nil || name.Value == "":
		return Answer{}, fmt.Errorf("%w: the assertion names nobody", peer.ErrInvalid)
	case name.Format == string(saml.TransientNameIDFormat):
		return Answer{}, fmt.Errorf("%w: the NameID is transient, another one each time: let the provider send a persistent one", peer.ErrInvalid)
	}
	out := Answer{Request: request, Identity: peer.Identity{Subject: name.Value, Claims: claims(assertion), Hint: name.Value}}
	for _, st := range assertion.AuthnStatements {
		if st.SessionIndex != "" {
			out.Session = st.SessionIndex
		}
		if c := st.AuthnContext.AuthnContextClassRef; c != nil && c.Value != "" {
			out.Methods = append(out.Methods, c.Value)
		}
	}
	return out, nil
}

// inResponseTo reads which request a response says it answers.
func inResponseTo(raw []byte) (string, error) {
	d := xml.NewDecoder(bytes.NewReader(raw))
	for {
		t, err := d.Token()
		if err != nil {
			return "", fmt.Errorf("it is not XML: %w", err)
		}
		switch t := t.(type) {
		case xml.Directive:
			return "", errors.New("it has a document type")
		case xml.StartElement:
			for _, a := range t.Attr {
				if a.Name.Local == "InResponseTo" && a.Name.Space == "" && a.Value != "" {
					return a.Value, nil
				}
			}
			return "", errors.New("it answers no request of ours: sign-in begins here, not at the provider")
		}
	}
}

// wrap tells a provider's refusal from an answer that does not verify, and says
// what the library found: that is for the audit log.
func wrap(err error) error {
	var bad saml.ErrBadStatus
	if errors.As(err, &bad) {
		return fmt.Errorf("%w: status %s", peer.ErrRefused, bad.Status)
	}
	var ire *saml.InvalidResponseError
	if errors.As(err, &ire) && ire.PrivateErr != nil {
		err = ire.PrivateErr
	}
	return fmt.Errorf("%w: %w", peer.ErrInvalid, err)
}

// claims turns an assertion's attributes into claims, under their names; the
// friendly name stands for them too where no attribute has it as its name.
func claims(a *saml.Assertion) peer.Claims {
	out := peer.Claims{}
	add := func(name string, at saml.Attribute) {
		list, _ := out[name].([]string)
		for _, v := range at.Values {
			if !v.Nil {
				list = append(list, v.Value)
			}
		}
		out[name] = list
	}
	for _, st := range a.AttributeStatements {
		for _, at := range st.Attributes {
			add(at.Name, at)
		}
	}
	for _, st := range a.AttributeStatements {
		for _, at := range st.Attributes {
			if _, taken := out[at.FriendlyName]; at.FriendlyName != "" && !taken {
				add(at.FriendlyName, at)
			}
		}
	}
	if n := a.Subject.NameID; n != nil {
		out["NameID"] = n.Value
	}
	return out
}

// NewKey makes the key and the self-signed certificate that we sign requests
// with and that the provider may encrypt to, both in PEM. RSA, since XML
// encryption needs it.
func NewKey(name string, now time.Time) (keyPEM, certPEM []byte, err error) {
	key, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, nil, fmt.Errorf("make a serial number: %w", err)
	}
	t := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name, Organization: []string{"icewatch"}},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(keyLife), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, nil, fmt.Errorf("make a certificate: %w", err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("write the key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// ParseKey reads what NewKey wrote.
func ParseKey(keyPEM, certPEM []byte) (crypto.Signer, *x509.Certificate, error) {
	k, _ := pem.Decode(keyPEM)
	c, _ := pem.Decode(certPEM)
	if k == nil || c == nil {
		return nil, nil, errors.New("the key or certificate is not PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(k.Bytes)
	if err != nil {
		return nil, nil, fmt.Errorf("the key: %w", err)
	}
	cert, err := x509.ParseCertificate(c.Bytes)
	if err != nil {
		return nil, nil, fmt.Errorf("the certificate: %w", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, nil, fmt.Errorf("the key is a %T, which signs nothing", key)
	}
	return signer, cert, nil
}

// Test says what is wrong with the provider's metadata.
func Test(cfg Config) []peer.Check {
	p, err := New(cfg)
	if err != nil {
		return []peer.Check{peer.Failed("metadata", err)}
	}
	now := cfg.Clock.Now()
	checks := []peer.Check{peer.Passed("metadata", "the provider is "+p.EntityID()),
		peer.Passed("redirect", p.sp.GetSSOBindingLocation(saml.HTTPRedirectBinding))}
	if until := p.sp.IDPMetadata.ValidUntil; !until.IsZero() && until.Before(now) {
		checks = append(checks, peer.Failed("expiry", fmt.Errorf("the metadata ran out on %s: fetch it again", until.Format(time.RFC3339))))
	}
	good := 0
	for _, c := range Certificates(p.sp.IDPMetadata) {
		if now.After(c.NotAfter) || now.Before(c.NotBefore) {
			checks = append(checks, peer.Failed("certificate", fmt.Errorf("%s is good from %s to %s, not now", c.Subject, c.NotBefore.Format(time.DateOnly), c.NotAfter.Format(time.DateOnly))))
			continue
		}
		good++
		checks = append(checks, peer.Passed("certificate", fmt.Sprintf("%s, good until %s", c.Subject, c.NotAfter.Format(time.DateOnly))))
	}
	if good == 0 {
		checks = append(checks, peer.Failed("certificate", errors.New("no certificate of the provider is good now: every sign-in would fail")))
	}
	return checks
}
