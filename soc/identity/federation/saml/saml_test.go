package saml

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beevik/etree"
	"github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"

	"icewatch/soc/identity/federation/peer"
)

const (
	entity = "https://soc.test/api/v1/auth/saml/city/metadata"
	acs    = "https://soc.test/api/v1/auth/saml/city/acs"
)

// memory is a replay cache for tests.
type memory struct {
	mu   sync.Mutex
	seen map[string]bool
}

func (m *memory) Consume(id string, _ time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.seen[id] {
		return ErrReplayed
	}
	m.seen[id] = true
	return nil
}

func key(t *testing.T) (crypto.Signer, *x509.Certificate) {
	t.Helper()
	k, c, err := NewKey("test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	signer, cert, err := ParseKey(k, c)
	if err != nil {
		t.Fatal(err)
	}
	return signer, cert
}

// setup is an identity provider, whose answers a test bends, and us.
type setup struct {
	idp  *saml.IdentityProvider
	cfg  Config
	ours *Provider
}

func newSetup(t *testing.T) *setup {
	t.Helper()
	s := &setup{idp: &saml.IdentityProvider{MetadataURL: parse("https://idp.test/metadata"), SSOURL: parse("https://idp.test/sso")}}
	signer, cert := key(t)
	s.idp.Key, s.idp.Certificate = signer.(*rsa.PrivateKey), cert
	s.idp.ServiceProviderProvider = s
	metadata, err := xml.Marshal(s.idp.Metadata())
	if err != nil {
		t.Fatal(err)
	}
	s.cfg = Config{EntityID: entity, ACS: acs, Metadata: metadata, Sign: true, Used: &memory{seen: map[string]bool{}}}
	s.cfg.Key, s.cfg.Cert = key(t)
	if s.ours, err = New(s.cfg); err != nil {
		t.Fatal(err)
	}
	return s
}

func parse(s string) url.URL {
	u, err := url.Parse(s)
	if err != nil {
		panic(err)
	}
	return *u
}

// GetServiceProvider implements saml.ServiceProviderProvider with what our own
// metadata says of us.
func (s *setup) GetServiceProvider(*http.Request, string) (*saml.EntityDescriptor, error) {
	raw, err := s.ours.Metadata()
	if err != nil {
		return nil, err
	}
	out := &saml.EntityDescriptor{}
	return out, xml.Unmarshal(raw, out)
}

// answer lets the provider answer a request of ours. bend changes the assertion
// before it is signed, tamper the message after.
func (s *setup) answer(t *testing.T, bend func(*saml.IdpAuthnRequest), tamper func(*etree.Element)) (encoded, request string) {
	t.Helper()
	address, request, err := s.ours.Request()
	if err != nil {
		t.Fatal(err)
	}
	req, err := saml.NewIdpAuthnRequest(s.idp, httptest.NewRequest(http.MethodGet, address, nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := req.Validate(); err != nil {
		t.Fatalf("the provider does not take our request: %v", err)
	}
	req.SPSSODescriptor.KeyDescriptors = nil // do not encrypt: what is tampered with must be readable
	err = saml.DefaultAssertionMaker{}.MakeAssertion(req, &saml.Session{ID: "s", Index: "idx-1", CreateTime: time.Now(), ExpireTime: time.Now().Add(time.Hour),
		NameID: "u-1001", NameIDFormat: string(saml.PersistentNameIDFormat), UserName: "li.wei", UserEmail: "li.wei@city.test", Groups: []string{"analysts", "duty"},
		AuthnContextClassRef: "urn:test:mfa"})
	if err != nil {
		t.Fatal(err)
	}
	if bend != nil {
		bend(req)
	}
	if err := req.MakeResponse(); err != nil {
		t.Fatal(err)
	}
	if tamper != nil {
		tamper(req.ResponseEl)
	}
	doc := etree.NewDocument()
	doc.SetRoot(req.ResponseEl)
	raw, err := doc.WriteToBytes()
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(raw), request
}

func TestConsume(t *testing.T) {
	t.Parallel()
	s := newSetup(t)
	encoded, request := s.answer(t, nil, nil)
	a, err := s.ours.Consume(encoded)
	if err != nil {
		t.Fatal(err)
	}
	if a.Subject != "u-1001" || a.Request != request || a.Session != "idx-1" || !slices.Equal(a.Methods, []string{"urn:test:mfa"}) {
		t.Errorf("%+v", a)
	}
	if got := a.Claims.String("uid"); got != "li.wei" {
		t.Errorf("uid %q of %v", got, a.Claims)
	}
	if got := a.Claims.Strings("eduPersonAffiliation"); !slices.Equal(got, []string{"analysts", "duty"}) {
		t.Errorf("groups %q of %v", got, a.Claims)
	}
	if _, err := s.ours.Consume(encoded); !errors.Is(err, peer.ErrInvalid) || !errors.Is(err, ErrReplayed) {
		t.Errorf("the same assertion again: %v", err)
	}
}

func TestConsumeRefuses(t *testing.T) {
	t.Parallel()
	s := newSetup(t)
	stranger := newSetup(t)
	f := func(what string, want error, says string, bend func(*saml.IdpAuthnRequest), tamper func(*etree.Element)) {
		t.Helper()
		encoded, _ := s.answer(t, bend, tamper)
		_, err := s.ours.Consume(encoded)
		if !errors.Is(err, want) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", what, err)
		}
	}
	assertion := func(change func(*saml.Assertion)) func(*saml.IdpAuthnRequest) {
		return func(r *saml.IdpAuthnRequest) { change(r.Assertion) }
	}
	f("another audience", peer.ErrInvalid, "AudienceRestriction", assertion(func(a *saml.Assertion) {
		a.Conditions.AudienceRestrictions[0].Audience.Value = "https://other.test"
	}), nil)
	f("no audience", peer.ErrInvalid, "AudienceRestriction", assertion(func(a *saml.Assertion) { a.Conditions.AudienceRestrictions = nil }), nil)
	f("expired", peer.ErrInvalid, "expired", assertion(func(a *saml.Assertion) {
		a.Conditions.NotOnOrAfter = time.Now().Add(-10 * time.Minute)
	}), nil)
	f("not yet valid", peer.ErrInvalid, "not yet valid", assertion(func(a *saml.Assertion) {
		a.Conditions.NotBefore = time.Now().Add(10 * time.Minute)
	}), nil)
	f("issued long ago", peer.ErrInvalid, "expired", assertion(func(a *saml.Assertion) { a.IssueInstant = time.Now().Add(-time.Hour) }), nil)
	f("another recipient", peer.ErrInvalid, "", assertion(func(a *saml.Assertion) {
		a.Subject.SubjectConfirmations[0].SubjectConfirmationData.Recipient = "https://other.test/acs"
	}), nil)
	f("another request in the assertion", peer.ErrInvalid, "", assertion(func(a *saml.Assertion) {
		a.Subject.SubjectConfirmations[0].SubjectConfirmationData.InResponseTo = "id-other"
	}), nil)
	f("another issuer", peer.ErrInvalid, "issuer", assertion(func(a *saml.Assertion) { a.Issuer.Value = "https://other.test" }), nil)
	f("a transient NameID", peer.ErrInvalid, "transient", assertion(func(a *saml.Assertion) {
		a.Subject.NameID.Format = string(saml.TransientNameIDFormat)
	}), nil)
	f("no statement of how", peer.ErrInvalid, "AuthnStatement", assertion(func(a *saml.Assertion) { a.AuthnStatements = nil }), nil)
	f("a stranger's signature", peer.ErrInvalid, "signature", func(r *saml.IdpAuthnRequest) {
		r.IDP = &saml.IdentityProvider{Key: stranger.idp.Key, Certificate: stranger.idp.Certificate, MetadataURL: s.idp.MetadataURL, SSOURL: s.idp.SSOURL, ServiceProviderProvider: s}
	}, nil)
	f("SHA-1", peer.ErrInvalid, "SHA-1", func(r *saml.IdpAuthnRequest) {
		r.IDP = &saml.IdentityProvider{Key: s.idp.Key, Certificate: s.idp.Certificate, MetadataURL: s.idp.MetadataURL, SSOURL: s.idp.SSOURL, ServiceProviderProvider: s,
			SignatureMethod: dsig.RSASHA1SignatureMethod}
	}, nil)

	// After it was signed.
	edit := func(path string, change func(*etree.Element)) func(*etree.Element) {
		return func(root *etree.Element) {
			for _, el := range root.FindElements(path) {
				change(el)
			}
		}
	}
	f("another name", peer.ErrInvalid, "signature", nil, edit("//NameID", func(e *etree.Element) { e.SetText("u-1") }))
	f("another group", peer.ErrInvalid, "signature", nil, edit("//AttributeValue", func(e *etree.Element) { e.SetText("admins") }))
	f("no signature", peer.ErrInvalid, "", nil, edit("//Signature", func(e *etree.Element) { e.Parent().RemoveChild(e) }))
	f("no request", peer.ErrInvalid, "no request", nil, func(r *etree.Element) { r.RemoveAttr("InResponseTo") })
	f("a refusal", peer.ErrRefused, "Responder", nil, func(r *etree.Element) {
		edit("//Signature", func(e *etree.Element) { e.Parent().RemoveChild(e) })(r)
		edit("//StatusCode", func(e *etree.Element) { e.CreateAttr("Value", "urn:oasis:names:tc:SAML:2.0:status:Responder") })(r)
		edit("./Assertion", func(e *etree.Element) { e.Parent().RemoveChild(e) })(r)
	})
}

// TestSignatureWrapping puts a forged assertion beside, around and inside the
// one that is signed (Somorovsky et al., "On Breaking SAML", 2012): whoever is
// let in must be the one the signature covers.
func TestSignatureWrapping(t *testing.T) {
	t.Parallel()
	s := newSetup(t)
	forge := func(a *etree.Element) *etree.Element {
		evil := a.Copy()
		evil.CreateAttr("ID", "id-evil")
		for _, sig := range evil.FindElements("./Signature") {
			evil.RemoveChild(sig)
		}
		for _, n := range evil.FindElements("//NameID") {
			n.SetText("u-evil")
		}
		return evil
	}
	find := func(root *etree.Element) *etree.Element { return root.FindElement("./Assertion") }
	unsign := func(root *etree.Element) {
		for _, sig := range root.FindElements("./Signature") {
			root.RemoveChild(sig)
		}
	}
	for name, wrap := range map[string]func(root *etree.Element){
		"forged before the signed one": func(root *etree.Element) { root.InsertChildAt(find(root).Index(), forge(find(root))) },
		"forged after it":              func(root *etree.Element) { root.AddChild(forge(find(root))) },
		"signed one in an extension": func(root *etree.Element) {
			a := find(root)
			evil := forge(a)
			root.RemoveChild(a)
			ext := root.CreateElement("samlp:Extensions")
			ext.AddChild(a)
			root.AddChild(evil)
		},
		"signed one inside the forged": func(root *etree.Element) {
			a := find(root)
			evil := forge(a)
			root.RemoveChild(a)
			evil.AddChild(a)
			root.AddChild(evil)
		},
		"signed one in the forged one's signature": func(root *etree.Element) {
			a := find(root)
			evil := forge(a)
			sig := a.FindElement("./Signature")
			if sig == nil {
				return
			}
			moved := sig.Copy()
			root.RemoveChild(a)
			obj := moved.CreateElement("ds:Object")
			obj.AddChild(a)
			evil.AddChild(moved)
			root.AddChild(evil)
		},
		"a comment in the name": func(root *etree.Element) {
			for _, n := range root.FindElements("//NameID") {
				n.SetText("u-evil")
				n.CreateComment("")
				n.CreateText("u-1001")
			}
		},
	} {
		encoded, _ := s.answer(t, nil, func(root *etree.Element) {
			unsign(root) // leave the assertion's own signature alone to carry the trust
			wrap(root)
		})
		a, err := s.ours.Consume(encoded)
		if err == nil && a.Subject != "u-1001" {
			t.Errorf("%s: signed in as %q", name, a.Subject)
		}
		if err != nil && !errors.Is(err, peer.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMetadata(t *testing.T) {
	t.Parallel()
	s := newSetup(t)
	good := string(s.cfg.Metadata)
	f := func(what, text, says string) {
		t.Helper()
		cfg := s.cfg
		cfg.Metadata = []byte(text)
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", what, err)
		}
	}
	f("nothing", "", "metadata")
	f("no XML", "<html>not found", "metadata")
	f("another document", "<a/>", "metadata")
	f("an entity", `<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>`+good, "document type")
	f("too long", good+strings.Repeat(" ", MaxMetadata), "bytes")
	f("no certificate", regexp.MustCompile(`(?s)<KeyDescriptor.*</KeyDescriptor>`).ReplaceAllString(good, ""), "certificate")
	f("no HTTP-Redirect", strings.ReplaceAll(good, "HTTP-Redirect", "SOAP"), "HTTP-Redirect")
	for _, c := range Test(s.cfg) {
		if !c.OK {
			t.Errorf("%+v", c)
		}
	}
	ours, err := s.ours.Metadata()
	if err != nil || !strings.Contains(string(ours), acs) || strings.Contains(string(ours), "Artifact") {
		t.Errorf("%s %v", ours, err)
	}
}

func FuzzConsume(f *testing.F) {
	k, c, err := NewKey("test", time.Now())
	if err != nil {
		f.Fatal(err)
	}
	signer, cert, err := ParseKey(k, c)
	if err != nil {
		f.Fatal(err)
	}
	idp := &saml.IdentityProvider{Key: signer, Certificate: cert, MetadataURL: parse("https://idp.test/m"), SSOURL: parse("https://idp.test/sso")}
	metadata, err := xml.Marshal(idp.Metadata())
	if err != nil {
		f.Fatal(err)
	}
	p, err := New(Config{EntityID: entity, ACS: acs, Metadata: metadata, Key: signer, Cert: cert, Used: &memory{seen: map[string]bool{}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" InResponseTo="id-1" ID="a" Version="2.0"/>`))
	f.Add([]byte(`<!DOCTYPE x [<!ENTITY a "aaaa">]><x InResponseTo="&a;"/>`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if a, err := p.Consume(base64.StdEncoding.EncodeToString(raw)); err == nil {
			t.Errorf("what nobody signed signs in %q", a.Subject)
		}
	})
}
