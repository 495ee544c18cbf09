package mfa

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
)

// ErrKey says that what an authenticator answered proves nothing; the error
// that wraps it says why, for the log.
var ErrKey = errors.New("mfa: the security key's answer is not good")

// ErrName says that the console was opened at an address that keys cannot be
// bound to.
var ErrName = errors.New("mfa: security keys are bound to a host name: open the console by its name (or localhost), not by an address")

// Party is the relying party: the site that keys are bound to.
type Party struct{ web *webauthn.WebAuthn }

// NewParty makes the party of a site, such as https://soc.example.org.
func NewParty(origin string) (*Party, error) {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%w: %q", ErrName, origin)
	}
	host := strings.ToLower(u.Hostname())
	if _, err := netip.ParseAddr(host); err == nil {
		return nil, fmt.Errorf("%w: %q", ErrName, origin)
	}
	web, err := webauthn.New(&webauthn.Config{
		RPID: host, RPDisplayName: "icewatch", RPOrigins: []string{u.Scheme + "://" + strings.ToLower(u.Host)},
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey: protocol.ResidentKeyRequirementPreferred, UserVerification: protocol.VerificationPreferred},
	})
	if err != nil {
		return nil, fmt.Errorf("mfa: security keys at %q: %w", origin, err)
	}
	return &Party{web}, nil
}

// Key is a WebAuthn credential.
type Key struct{ credential webauthn.Credential }

// ParseKey reads a key as Marshal wrote it.
func ParseKey(data []byte) (Key, error) {
	var k Key
	if err := json.Unmarshal(data, &k.credential); err != nil {
		return Key{}, fmt.Errorf("mfa: the stored security key: %w", err)
	}
	return k, nil
}

// Marshal writes a key, its counter included.
func (k Key) Marshal() ([]byte, error) { return json.Marshal(k.credential) }

// ID is the credential's id in base64url.
func (k Key) ID() string { return base64.RawURLEncoding.EncodeToString(k.credential.ID) }

// Synced tells whether copies of the key are kept elsewhere, as phones do.
func (k Key) Synced() bool { return k.credential.Flags.BackupState }

// Owner is a user with his keys.
type Owner struct {
	Handle string // opaque, at most 64 bytes
	Name   string
	Keys   []Key
}

// user is an Owner in the library's terms.
type user struct{ Owner }

func (u user) WebAuthnID() []byte          { return []byte(u.Handle) }
func (u user) WebAuthnName() string        { return u.Name }
func (u user) WebAuthnDisplayName() string { return u.Name }
func (u user) WebAuthnCredentials() []webauthn.Credential {
	out := make([]webauthn.Credential, len(u.Keys))
	for i, k := range u.Keys {
		out[i] = k.credential
	}
	return out
}

// State is what must be kept between the two halves of a ceremony.
type State struct{ data webauthn.SessionData }

// Options are what the browser's navigator.credentials wants, as JSON.
type Options = json.RawMessage

func begun(options any, data *webauthn.SessionData, err error) (Options, State, error) {
	if err != nil {
		return nil, State{}, fmt.Errorf("mfa: %w", err)
	}
	doc, err := json.Marshal(options)
	if err != nil {
		return nil, State{}, fmt.Errorf("mfa: %w", err)
	}
	return doc, State{*data}, nil
}

// BeginRegistration begins to add a key. One that the user has already is
// refused by the authenticator.
func (p *Party) BeginRegistration(o Owner) (Options, State, error) {
	u := user{o}
	var have []protocol.CredentialDescriptor
	for _, c := range u.WebAuthnCredentials() {
		have = append(have, c.Descriptor())
	}
	return begun(p.web.BeginRegistration(u, webauthn.WithExclusions(have)))
}

// FinishRegistration takes the authenticator's answer to BeginRegistration.
func (p *Party) FinishRegistration(o Owner, s State, answer []byte) (Key, error) {
	parsed, err := protocol.ParseCredentialCreationResponseBytes(answer)
	if err != nil {
		return Key{}, refused(err)
	}
	c, err := p.web.CreateCredential(user{o}, s.data, parsed)
	if err != nil {
		return Key{}, refused(err)
	}
	return Key{*c}, nil
}

// BeginLogin asks for one of the owner's keys.
func (p *Party) BeginLogin(o Owner) (Options, State, error) {
	return begun(p.web.BeginLogin(user{o}))
}

// FinishLogin takes the authenticator's answer to BeginLogin. The key it
// returns has a new counter and must be kept.
func (p *Party) FinishLogin(o Owner, s State, answer []byte) (Key, error) {
	parsed, err := protocol.ParseCredentialRequestResponseBytes(answer)
	if err != nil {
		return Key{}, refused(err)
	}
	c, err := p.web.ValidateLogin(user{o}, s.data, parsed)
	return used(c, err)
}

// BeginAlone asks for any key that signs in without a name and password; it
// must verify its user, by PIN or fingerprint.
func (p *Party) BeginAlone() (Options, State, error) {
	return begun(p.web.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired)))
}

// FinishAlone takes the authenticator's answer to BeginAlone. find answers
// whose the handle is.
func (p *Party) FinishAlone(s State, answer []byte, find func(handle string) (Owner, error)) (Owner, Key, error) {
	parsed, err := protocol.ParseCredentialRequestResponseBytes(answer)
	if err != nil {
		return Owner{}, Key{}, refused(err)
	}
	var owner Owner
	c, err := p.web.ValidateDiscoverableLogin(func(_, handle []byte) (webauthn.User, error) {
		var err error
		owner, err = find(string(handle))
		return user{owner}, err
	}, s.data, parsed)
	key, err := used(c, err)
	return owner, key, err
}

// used takes a credential after an assertion.
func used(c *webauthn.Credential, err error) (Key, error) {
	if err != nil {
		return Key{}, refused(err)
	}
	if c.Authenticator.CloneWarning {
		return Key{}, fmt.Errorf("%w: its counter went back, so there may be a copy of it", ErrKey)
	}
	return Key{*c}, nil
}

func refused(err error) error {
	var p *protocol.Error
	if errors.As(err, &p) && p.DevInfo != "" {
		return fmt.Errorf("%w: %s: %s", ErrKey, p.Details, p.DevInfo)
	}
	return fmt.Errorf("%w: %w", ErrKey, err)
}
