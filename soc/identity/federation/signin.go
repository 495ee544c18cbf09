package federation

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"icewatch/soc/identity"
	"icewatch/soc/identity/federation/peer"
	"icewatch/soc/identity/federation/saml"
	"icewatch/soc/tenancy"
)

// Choice is a provider as the sign-in page offers it.
type Choice struct {
	ID    string       `json:"id"`
	Kind  string       `json:"kind"`
	Name  tenancy.Text `json:"name"`
	Start string       `json:"start" doc:"Where the browser goes, with ?return=/path; empty for directories, whose users type name and password"`
}

// Choices lists the providers that are enabled.
func (s *Service) Choices() []Choice {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := []Choice{}
	for _, e := range s.known {
		if !e.Enabled {
			continue
		}
		c := Choice{ID: e.ID, Kind: e.Kind, Name: e.Name}
		if e.Kind != KindLDAP {
			c.Start = e.path("start")
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b Choice) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// Browser is who is signing in, as far as the connection tells.
type Browser struct {
	identity.Entrance
	Cookie string // the flow's, as Start gave it
}

// SignedIn is a sign-in that worked out.
type SignedIn struct {
	Session identity.Session
	Return  string // where the browser goes on: a path of ours
}

// Start begins a sign-in: where the browser goes, and the cookie it must bring
// back.
func (s *Service) Start(ctx context.Context, kind, id, returnTo string) (location, cookie string, err error) {
	e, err := s.enabled(id, kind)
	if err != nil {
		return "", "", err
	}
	f := flow{Provider: e.ID, Return: localPath(returnTo)}
	switch kind {
	case KindOIDC:
		c, err := s.oidcClient(ctx, e)
		if err != nil {
			return "", "", err
		}
		f.State, f.Nonce, f.Verifier = rand.Text(), rand.Text(), oauth2.GenerateVerifier()
		location = c.AuthURL(f.State, f.Nonce, f.Verifier)
	case KindSAML:
		p, err := s.samlProvider(e)
		if err != nil {
			return "", "", err
		}
		if location, f.Request, err = p.Request(); err != nil {
			return "", "", err
		}
	default:
		return "", "", fmt.Errorf("%w: %s signs in with name and password", ErrNotFound, id)
	}
	cookie, err = s.sealFlow(f)
	return location, cookie, err
}

// FinishOIDC ends a sign-in with the query the browser came back with.
func (s *Service) FinishOIDC(ctx context.Context, id string, q url.Values, b Browser) (SignedIn, error) {
	e, err := s.enabled(id, KindOIDC)
	if err != nil {
		return SignedIn{}, err
	}
	f, err := s.openFlow(b.Cookie, id)
	if err != nil {
		return SignedIn{}, err
	}
	if f.State == "" || subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(f.State)) != 1 {
		return SignedIn{}, fmt.Errorf("%w: the state is not the one this browser was given", peer.ErrInvalid)
	}
	c, err := s.oidcClient(ctx, e)
	if err != nil {
		return SignedIn{}, err
	}
	code, err := c.Answer(q)
	if err != nil {
		return SignedIn{}, err
	}
	who, err := c.Exchange(ctx, code, f.Nonce, f.Verifier)
	if err != nil {
		return SignedIn{}, err
	}
	sess, err := s.signIn(ctx, e, who, b)
	return SignedIn{Session: sess, Return: f.Return}, err
}

// ticket is a verified assertion whose browser has still to show that it asked
// for it.
type ticket struct {
	provider string
	answer   saml.Answer
	expires  time.Time
}

const (
	ticketLife = 2 * time.Minute
	// maxTickets bounds them: each needs an assertion the provider signed.
	maxTickets = 10_000
)

// ConsumeSAML verifies an answer that a browser posted and returns a ticket for
// FinishSAML. The post comes from the provider's page, so the browser sends no
// cookie of ours along; it does with the address it is sent to next.
func (s *Service) ConsumeSAML(id, response string) (string, error) {
	e, err := s.enabled(id, KindSAML)
	if err != nil {
		return "", err
	}
	p, err := s.samlProvider(e)
	if err != nil {
		return "", err
	}
	a, err := p.Consume(response)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.tickets) >= maxTickets {
		return "", fmt.Errorf("%w: more than %d sign-ins are on the way", peer.ErrUnavailable, maxTickets)
	}
	t := rand.Text()
	s.tickets[t] = ticket{provider: id, answer: a, expires: s.now().Add(ticketLife)}
	return t, nil
}

// FinishSAML ends a sign-in in the browser that began it.
func (s *Service) FinishSAML(ctx context.Context, id, name string, b Browser) (SignedIn, error) {
	e, err := s.enabled(id, KindSAML)
	if err != nil {
		return SignedIn{}, err
	}
	s.mu.Lock()
	t, ok := s.tickets[name]
	delete(s.tickets, name)
	s.mu.Unlock()
	if !ok || t.provider != id || s.now().After(t.expires) {
		return SignedIn{}, fmt.Errorf("%w: the ticket was used, is older than %s, or never was", ErrExpired, ticketLife)
	}
	f, err := s.openFlow(b.Cookie, id)
	if err != nil {
		return SignedIn{}, err
	}
	if f.Request == "" || f.Request != t.answer.Request {
		return SignedIn{}, fmt.Errorf("%w: the assertion answers the request %.80q, this browser made another", peer.ErrInvalid, t.answer.Request)
	}
	sess, err := s.signIn(ctx, e, t.answer.Identity, b)
	return SignedIn{Session: sess, Return: f.Return}, err
}

// Metadata is our SAML metadata for a provider.
func (s *Service) Metadata(id string) ([]byte, error) {
	e, err := s.get(id)
	if err != nil {
		return nil, err
	}
	if e.Kind != KindSAML {
		return nil, fmt.Errorf("%w: %.40q of the kind saml", ErrNotFound, id)
	}
	p, err := s.samlProvider(e)
	if err != nil {
		return nil, err
	}
	return p.Metadata()
}

// signIn turns a verified identity into a session of ours.
func (s *Service) signIn(ctx context.Context, e *entry, who peer.Identity, b Browser) (identity.Session, error) {
	id, err := s.account(ctx, e, who, "")
	if err != nil {
		return identity.Session{}, err
	}
	b.Channel = e.Kind
	if e.secondFactor(who.Methods) {
		b.Channel += "+mfa"
	}
	sess, err := s.Accounts.Enter(ctx, id, b.Entrance)
	if err != nil {
		return identity.Session{}, err
	}
	return sess, s.remember(ctx, e, who, sess.ID)
}

// account finds or makes the account of a verified identity. dn is the entry's
// in a directory.
func (s *Service) account(ctx context.Context, e *entry, who peer.Identity, dn string) (string, error) {
	u, err := s.user(e, who, dn)
	if err != nil {
		return "", err
	}
	return s.Accounts.EnsureExternal(ctx, u, e.Mapping.Create)
}

// remember keeps what signing out at the provider will need.
func (s *Service) remember(ctx context.Context, e *entry, who peer.Identity, sessionID string) error {
	if e.Kind != KindOIDC || sessionID == "" {
		return nil
	}
	hint, err := s.Seal.SealString(who.Hint, "federation-session:"+sessionID)
	if err != nil {
		return err
	}
	row := &session{SessionID: sessionID, Provider: e.ID, Subject: who.Subject, PeerSession: who.Session, Hint: hint, CreatedAt: s.now().UnixMilli()}
	if _, err := s.DB.NewInsert().Model(row).Exec(ctx); err != nil {
		return fmt.Errorf("federation: remember where a session came from: %w", err)
	}
	return nil
}

// secondFactor tells whether the provider says that there was one.
func (e *entry) secondFactor(methods []string) bool {
	var strong []string
	switch e.Kind {
	case KindOIDC:
		strong = e.OIDC.SecondFactor
	case KindSAML:
		strong = e.SAML.SecondFactor
	}
	return slices.ContainsFunc(methods, func(m string) bool { return slices.Contains(strong, m) })
}

// user puts a person into soc/identity's words. dn is the entry's in a
// directory.
func (s *Service) user(e *entry, who peer.Identity, dn string) (identity.ExternalUser, error) {
	p, err := e.person(who)
	if err != nil {
		return identity.ExternalUser{}, err
	}
	return identity.ExternalUser{Provider: e.ID, Subject: p.Subject, Username: p.Username, DisplayName: p.DisplayName, Email: p.Email,
		Roles: p.Roles, Tenants: p.Tenants, Unit: s.unitOf(e, who, dn, p.Unit), Disabled: p.Disabled}, nil
}

// unitOf finds a person's unit: the directory's tree where it is taken over, or
// the unit whose code the claim holds, or else what the mapping says.
func (s *Service) unitOf(e *entry, who peer.Identity, dn, mapped string) string {
	tree := s.Units.Tree()
	if e.Sync.Units == UnitsOU || e.Sync.Units == UnitsAttribute {
		for path := e.unitPath(who, dn); len(path) > 0; path = path[:len(path)-1] {
			if u, ok := tree.Get(unitID(e.ID, path)); ok {
				return u.ID
			}
		}
		return mapped
	}
	if u, ok := tree.ByCode(who.Claims.String(e.Attributes.Unit)); ok {
		return u.ID
	}
	if u, ok := tree.ByCode(mapped); ok {
		return u.ID
	}
	return mapped
}

// Check tries a name and password at the directories, in the order of their
// ids; it implements identity.Directory. A directory that cannot be reached does
// not keep the next from being asked, but where none says yes it is what is
// told.
func (s *Service) Check(ctx context.Context, name, password string) (userID string, err error) {
	s.mu.RLock()
	var list []*entry
	for _, e := range s.known {
		if e.Enabled && e.Kind == KindLDAP {
			list = append(list, e)
		}
	}
	s.mu.RUnlock()
	if len(list) == 0 {
		return "", identity.ErrNotFound
	}
	slices.SortFunc(list, func(a, b *entry) int { return strings.Compare(a.ID, b.ID) })
	var broken error
	for _, e := range list {
		d, err := s.directory(e)
		if err != nil {
			return "", err
		}
		found, err := d.Authenticate(ctx, name, password)
		switch {
		case errors.Is(err, peer.ErrCredentials):
			s.Log.Debug("federation: a directory says no", "provider", e.ID, "why", err)
			continue
		case err != nil:
			s.Log.Warn("federation: a directory could not be asked", "provider", e.ID, "error", err)
			broken = errors.Join(broken, fmt.Errorf("%s: %w", e.ID, err))
			continue
		}
		return s.account(ctx, e, found.Identity, found.DN)
	}
	if broken != nil {
		return "", broken
	}
	return "", identity.ErrUnauthenticated
}

// Logout says where the browser goes to sign out at the provider of a session
// that has just ended; "" where it came from none, or the provider knows no
// such thing.
func (s *Service) Logout(ctx context.Context, sessionID string) (string, error) {
	row, err := s.takeSession(ctx, sessionID)
	if err != nil || row == nil {
		return "", err
	}
	e, err := s.enabled(row.Provider, KindOIDC)
	if err != nil {
		return "", nil // the provider is gone: there is nothing to sign out of
	}
	hint, err := s.Seal.OpenString(row.Hint, "federation-session:"+sessionID)
	if err != nil {
		return "", err
	}
	c, err := s.oidcClient(ctx, e)
	if err != nil {
		s.Log.Warn("federation: signed out here only", "provider", e.ID, "error", err)
		return "", nil
	}
	return c.LogoutURL(hint, e.BaseURL+"/login"), nil
}

// BackChannel ends the sessions that a provider says are over, and returns how
// many.
func (s *Service) BackChannel(ctx context.Context, id, token string) (int, error) {
	e, err := s.enabled(id, KindOIDC)
	if err != nil {
		return 0, err
	}
	c, err := s.oidcClient(ctx, e)
	if err != nil {
		return 0, err
	}
	over, err := c.VerifyLogout(ctx, token)
	if err != nil {
		return 0, err
	}
	fresh, err := s.once(ctx, id, "logout:"+over.ID, over.Expires)
	if err != nil {
		return 0, err
	}
	if !fresh {
		return 0, fmt.Errorf("%w: the logout token was used before", peer.ErrInvalid)
	}
	var rows []session
	q := s.DB.NewSelect().Model(&rows).Where("s.provider = ?", id)
	if over.Session != "" {
		q = q.Where("s.peer_session = ?", over.Session)
	}
	if over.Subject != "" {
		q = q.Where("s.subject = ?", over.Subject)
	}
	if err := q.Scan(ctx); err != nil {
		return 0, fmt.Errorf("federation: find the sessions of a subject: %w", err)
	}
	ended := 0
	for _, r := range rows {
		// He may have signed out here already.
		if err := s.Accounts.EndSession(ctx, "", r.SessionID); err == nil {
			ended++
		} else if !errors.Is(err, identity.ErrNotFound) {
			return ended, err
		}
		if _, err := s.takeSession(ctx, r.SessionID); err != nil {
			return ended, err
		}
		over.Subject = r.Subject
	}
	if over.Subject == "" {
		return ended, nil
	}
	n, err := s.Accounts.EndExternal(ctx, id, over.Subject)
	return ended + n, err
}

// Reason is a short word for why a sign-in failed: the console words it for the
// user. What exactly happened is for the audit log.
func Reason(err error) string {
	switch {
	case errors.Is(err, ErrExpired):
		return "expired"
	case errors.Is(err, peer.ErrRefused):
		return "refused"
	case errors.Is(err, peer.ErrInvalid):
		return "invalid"
	case errors.Is(err, ErrUnmapped):
		return "unmapped"
	case errors.Is(err, identity.ErrNoAccount):
		return "unknown"
	case errors.Is(err, identity.ErrDisabled):
		return "disabled"
	case errors.As(err, new(*identity.FactorError)):
		return "mfa"
	case errors.Is(err, identity.ErrExists), errors.Is(err, identity.ErrInvalid):
		return "conflict"
	}
	return "unavailable"
}

// digest names a message of a provider in a fixed length.
func digest(provider, id string) string {
	sum := sha256.Sum256([]byte(provider + "\x00" + id))
	return hex.EncodeToString(sum[:])
}
