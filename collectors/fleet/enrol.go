package fleet

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	"icewatch/collectors/fleet/ca"
	"icewatch/collectors/fleet/roster"
	"icewatch/collectors/fleet/wire"
)

// Token is an enrolment token as it is kept: without its secret.
type Token struct {
	ID            string    `json:"id"`
	Tenant        string    `json:"tenant"`
	Kind          string    `json:"kind,omitempty"` // of what it enrols: Collecting or Scanning
	Note          string    `json:"note"`
	Labels        []string  `json:"labels"`
	Group         string    `json:"group,omitempty"`
	Configuration string    `json:"configuration,omitempty"`
	Hash          string    `json:"hash"` // hex SHA-256 of the secret
	Uses          int       `json:"uses"` // how many hosts it enrols
	Used          int       `json:"used"`
	Expires       time.Time `json:"expires"`
	Withdrawn     bool      `json:"withdrawn,omitempty"`
	CreatedAt     time.Time `json:"created_at"`
	CreatedBy     string    `json:"created_by"`
	Joining
}

// TokenView is a token as the API shows it.
type TokenView struct {
	ID            string    `json:"id"`
	Tenant        string    `json:"tenant"`
	Note          string    `json:"note"`
	Labels        []string  `json:"labels" nullable:"false"`
	Group         string    `json:"group,omitempty"`
	Configuration string    `json:"configuration,omitempty"`
	Uses          int       `json:"uses"`
	Used          int       `json:"used"`
	Expires       time.Time `json:"expires"`
	State         string    `json:"state" enum:"valid,used,expired,withdrawn"`
	CreatedAt     time.Time `json:"created_at"`
	CreatedBy     string    `json:"created_by"`
	Kind          string    `json:"kind" enum:"agent,scanner" doc:"What it enrols"`
	Joining
}

func (t *Token) view(now time.Time) TokenView {
	v := TokenView{t.ID, t.Tenant, t.Note, orEmpty(t.Labels), t.Group, t.Configuration, t.Uses, t.Used, t.Expires, "valid", t.CreatedAt, t.CreatedBy, cmp.Or(t.Kind, Collecting), t.Joining}
	switch {
	case t.Withdrawn:
		v.State = "withdrawn"
	case t.Used >= t.Uses:
		v.State = "used"
	case !now.Before(t.Expires):
		v.State = "expired"
	}
	return v
}

// TokenDraft asks for a token.
type TokenDraft struct {
	Tenant        string   `json:"tenant" minLength:"1" maxLength:"63"`
	Note          string   `json:"note,omitempty" maxLength:"200"`
	Labels        []string `json:"labels,omitempty" nullable:"false" maxItems:"32"`
	Group         string   `json:"group,omitempty" maxLength:"64"`
	Configuration string   `json:"configuration,omitempty" maxLength:"64"`
	Uses          int      `json:"uses,omitempty" minimum:"1" maximum:"1000" default:"1" doc:"How many hosts it enrols"`
	Kind          string   `json:"kind,omitempty" enum:"agent,scanner," doc:"What it enrols: an agent on a host, which is the default, or a scanner"`
	Hours         int      `json:"hours,omitempty" minimum:"1" maximum:"720" default:"24" doc:"How long it is valid"`
	Joining
}

// MadeToken is a token with its text, which is shown this once.
type MadeToken struct {
	TokenView
	Text string   `json:"token" doc:"Shown this once"`
	URLs []string `json:"urls" nullable:"false" doc:"Where agents connect to"`
}

const maxTokens = 5000

// CreateToken makes an enrolment token.
func (s *Service) CreateToken(ctx context.Context, a Asker, d TokenDraft) (MadeToken, error) {
	if !a.may(d.Tenant) {
		return MadeToken{}, ErrForbidden
	}
	if !s.deps.Tenant(d.Tenant) {
		return MadeToken{}, invalid("there is no tenant %q", clip(d.Tenant, 63))
	}
	labels, err := cleanLabels(d.Labels)
	if err != nil {
		return MadeToken{}, err
	}
	if d.Kind == "" {
		d.Kind = Collecting
	}
	if d.Kind != Collecting && d.Kind != Scanning {
		return MadeToken{}, invalid("kind %q: want %s or %s", clip(d.Kind, 20), Collecting, Scanning)
	}
	if d.Kind == Scanning && (d.Group != "" || d.Configuration != "" || d.Profile != "" || len(d.Plugins)+len(d.Tasks) > 0) {
		return MadeToken{}, invalid("a scanner has neither group nor configuration, and no profile, plug-ins and tasks")
	}
	urls := s.deps.URLs()
	if len(urls) == 0 {
		return MadeToken{}, conflict("the listener for agents is switched off: set agents.listen and restart the suite")
	}
	secret := rand.Text() // 130 bits
	now := s.now().UTC()
	t := &Token{ID: roster.NewID(now), Tenant: d.Tenant, Kind: d.Kind, Note: clip(d.Note, 200), Labels: labels, Group: d.Group, Configuration: d.Configuration, Hash: hashSecret(secret),
		Uses: min(max(d.Uses, 1), 2*MaxBatch), Expires: now.Add(time.Duration(min(max(d.Hours, 1), 720)) * time.Hour), CreatedAt: now, CreatedBy: a.Name, Joining: d.Joining}
	s.changing.Lock()
	defer s.changing.Unlock()
	s.mu.Lock()
	g, c, n := s.groups[d.Group], s.configurations[d.Configuration], len(s.tokens)
	err = s.checkJoining(d.Tenant, d.Joining)
	s.mu.Unlock()
	switch {
	case err != nil:
		return MadeToken{}, err
	case d.Group != "" && (g == nil || g.Tenant != d.Tenant):
		return MadeToken{}, invalid("there is no group %q of the tenant %s", clip(d.Group, 64), d.Tenant)
	case d.Configuration != "" && (c == nil || c.Tenant != "" && c.Tenant != d.Tenant):
		return MadeToken{}, invalid("there is no configuration %q of the tenant %s", clip(d.Configuration, 64), d.Tenant)
	case n >= maxTokens:
		return MadeToken{}, conflict("there are %d tokens: delete old ones", n)
	}
	if err := s.store.Write(ctx, roster.Document{Kind: roster.KindToken, ID: t.ID, Tenant: t.Tenant, Data: t}); err != nil {
		return MadeToken{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens[t.ID] = t
	s.note(roster.Operation{Tenant: t.Tenant, Object: "token:" + t.ID, Kind: "token-created", Actor: a.Name, OK: true, Text: t.Note})
	return MadeToken{t.view(now), wire.Token{URLs: urls, CA: s.authority.Fingerprint(), Secret: secret}.String(), urls}, nil
}

func hashSecret(secret string) string {
	sum := sha256.Sum256([]byte("icewatch enrolment\n" + secret))
	return hex.EncodeToString(sum[:])
}

// Tokens lists tokens, newest first.
func (s *Service) Tokens(a Asker) []TokenView {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []TokenView{}
	for _, t := range sorted(s.tokens) {
		if a.may(t.Tenant) {
			out = append(out, t.view(s.now()))
		}
	}
	slices.Reverse(out)
	return out
}

// WithdrawToken makes a token worthless; one that is worthless already is forgotten.
func (s *Service) WithdrawToken(ctx context.Context, a Asker, id string) (TokenView, error) {
	s.enrolling.Lock()
	defer s.enrolling.Unlock()
	s.mu.Lock()
	t := s.tokens[id]
	s.mu.Unlock()
	if t == nil || !a.may(t.Tenant) {
		return TokenView{}, ErrNotFound
	}
	x := *t
	x.Withdrawn = true
	doc := roster.Document{Kind: roster.KindToken, ID: id, Tenant: t.Tenant, Data: &x}
	if t.view(s.now()).State != "valid" {
		doc.Data = nil
	}
	if err := s.store.Write(ctx, doc); err != nil {
		return TokenView{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if doc.Data == nil {
		delete(s.tokens, id)
	} else {
		s.tokens[id] = &x
	}
	s.note(roster.Operation{Tenant: t.Tenant, Object: "token:" + id, Kind: "token-withdrawn", Actor: a.Name, OK: true})
	return x.view(s.now()), nil
}

// Enrol gives a host an identity. Of requests at the same time with a token for one
// host, one gets it. The errors are ErrToken, ca.ErrRequest and ErrConflict.
func (s *Service) Enrol(ctx context.Context, r wire.EnrolRequest, from string) (wire.EnrolAnswer, error) {
	req, err := ca.ParseRequest(r.CSR)
	if err != nil {
		return wire.EnrolAnswer{}, err
	}
	s.enrolling.Lock()
	defer s.enrolling.Unlock()
	now := s.now().UTC()
	hash := hashSecret(r.Secret)
	s.mu.Lock()
	var token *Token
	for _, t := range s.tokens {
		if subtle.ConstantTimeCompare([]byte(t.Hash), []byte(hash)) == 1 {
			token = t
		}
	}
	if token == nil || token.Withdrawn || !now.Before(token.Expires) {
		s.mu.Unlock()
		return wire.EnrolAnswer{}, ErrToken
	}
	var former *member
	for _, m := range s.agents {
		if m.Token == token.ID && m.Key == req.Key && m.RevokedAt.IsZero() && now.Sub(m.EnrolledAt) < repeatEnrol {
			// The answer was lost on its way.
			answer := s.identity(m.Agent)
			s.mu.Unlock()
			return answer, nil
		}
		if r.Machine != "" && m.Machine == r.Machine && m.Tenant == token.Tenant && m.kind() == cmp.Or(token.Kind, Collecting) && (former == nil || m.EnrolledAt.After(former.EnrolledAt)) {
			former = m
		}
	}
	n := len(s.agents)
	s.mu.Unlock()
	if token.Used >= token.Uses {
		return wire.EnrolAnswer{}, ErrToken
	}
	if n >= MaxAgents {
		return wire.EnrolAnswer{}, conflict("there are %d agents, the most there may be", n)
	}
	facts := boundFacts(r.Facts)
	s.changing.Lock() // Tasks may get a host more.
	defer s.changing.Unlock()
	s.mu.Lock()
	kept := token
	given, version := s.joined(kept)
	token = &given
	s.mu.Unlock()
	x := Agent{ID: roster.NewID(now), Tenant: token.Tenant, Kind: token.Kind, Labels: token.Labels, Group: token.Group, Configuration: token.Configuration, Profile: token.Profile}
	if former != nil {
		s.mu.Lock()
		x = former.Agent
		s.mu.Unlock()
		x.RevokedAt, x.RevokedBy, x.Next, x.SeenAt = time.Time{}, "", "", time.Time{}
		x.Config, x.Fault, x.State, x.Reasons = "", nil, "", nil
		if len(token.Labels) > 0 {
			x.Labels = token.Labels
		}
		if token.Group != "" {
			x.Group = token.Group
		}
		if token.Configuration != "" {
			x.Configuration = token.Configuration
		}
		if token.Profile != "" {
			x.Profile = token.Profile
		}
		x.Extensions, x.Extends = nil, false
	}
	issued, err := s.authority.Issue(x.ID, x.kind(), req)
	if err != nil {
		return wire.EnrolAnswer{}, err
	}
	x.Name, x.Machine, x.Facts, x.Version = nameOf(facts, from), clip(r.Machine, 128), facts, clip(r.Version, 64)
	x.Token, x.Serial, x.Key, x.Certificate, x.NotAfter = token.ID, issued.Serial, req.Key, issued.DER, issued.NotAfter
	x.EnrolledAt, x.EnrolledBy, x.Address = now, token.CreatedBy, from
	used := *kept
	used.Used++
	docs := []roster.Document{{Kind: roster.KindAgent, ID: x.ID, Tenant: x.Tenant, Data: x}, {Kind: roster.KindToken, ID: used.ID, Tenant: used.Tenant, Data: &used}}
	s.mu.Lock()
	tasks := s.joinTasks(token, x.ID)
	s.mu.Unlock()
	for _, t := range tasks {
		docs = append(docs, roster.Document{Kind: roster.KindTask, ID: t.ID, Tenant: t.Tenant, Data: t})
	}
	if err := s.store.Write(ctx, docs...); err != nil {
		return wire.EnrolAnswer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens[used.ID] = &used
	m := former
	if m != nil {
		s.cut(m)
		m.Agent, m.wanted, m.wasWell = x, nil, false
		s.noteAgent(m, "agent", "enrolled-again", true, "from "+from)
	} else {
		m = newMember(x)
		m.saved = now
		s.agents[x.ID] = m
		s.noteAgent(m, "agent", "enrolled", true, "from "+from)
	}
	for _, t := range tasks {
		s.tasks[t.ID] = t
		s.noteTask(t, m, token.CreatedBy, "task-joined", true, t.Name)
	}
	if p := s.profiles[token.Profile]; p != nil {
		s.noteAgent(m, token.CreatedBy, "profile-applied", true, p.Name)
	}
	s.orderJoining(m, token, version)
	s.epoch++
	return s.identity(x), nil
}

func nameOf(f wire.Facts, from string) string {
	if f.Hostname != "" {
		return f.Hostname
	}
	return from
}

func (s *Service) identity(x Agent) wire.EnrolAnswer {
	return wire.EnrolAnswer{Agent: x.ID, Tenant: x.Tenant, Certificate: x.Certificate, Chain: [][]byte{}, CA: s.authority.Certificate(), ServerName: ca.ServerName, ReleaseKey: s.authority.ReleaseKey()}
}

// Renew gives an agent its next certificate.
func (s *Service) Renew(ctx context.Context, id string, csr []byte) (wire.RenewAnswer, error) {
	req, err := ca.ParseRequest(csr)
	if err != nil {
		return wire.RenewAnswer{}, err
	}
	s.mu.Lock()
	m := s.agents[id]
	if m == nil || !m.RevokedAt.IsZero() {
		s.mu.Unlock()
		return wire.RenewAnswer{}, ErrRevoked
	}
	x := m.Agent
	s.mu.Unlock()
	issued, err := s.authority.Issue(id, x.kind(), req)
	if err != nil {
		return wire.RenewAnswer{}, err
	}
	x.Next = issued.Serial
	if err := s.store.Write(ctx, roster.Document{Kind: roster.KindAgent, ID: id, Tenant: x.Tenant, Data: x}); err != nil {
		return wire.RenewAnswer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m.Next = issued.Serial
	s.noteAgent(m, "agent", "renewed", true, "until "+issued.NotAfter.Format(time.RFC3339))
	return wire.RenewAnswer{Certificate: issued.DER, Chain: [][]byte{}, CA: s.authority.Certificate(), ReleaseKey: s.authority.ReleaseKey()}, nil
}

// ErrIdentity says that a certificate is none of this fleet.
var ErrIdentity = errors.New("a certificate of this fleet is needed: enrol the host with a token of the console")

// Authenticate tells whose a client's certificate is. TLS has checked that the
// authority signed it and that the client holds its key.
func (s *Service) Authenticate(cert *x509.Certificate) (Agent, error) {
	if cert == nil {
		return Agent{}, ErrIdentity
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.agents[cert.Subject.CommonName]
	if m == nil {
		return Agent{}, ErrRevoked // it was deleted
	}
	if !m.RevokedAt.IsZero() {
		return Agent{}, ErrRevoked
	}
	switch serial := ca.SerialText(cert.SerialNumber); serial {
	case m.Serial:
	case m.Next:
		// The first use of a renewed certificate ends the one before.
		m.Serial, m.Next, m.Certificate, m.NotAfter, m.dirty = serial, "", nil, cert.NotAfter, true
	default:
		return Agent{}, ErrRevoked
	}
	return m.Agent, nil
}

// Attach notes an open connection of an agent, to be cut when it is revoked; detach
// ends that.
func (s *Service) Attach(id string, hangup func()) (detach func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.agents[id]
	if m == nil || !m.RevokedAt.IsZero() {
		go hangup()
		return func() {}
	}
	m.serial++
	n := m.serial
	m.hangups[n] = hangup
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(m.hangups, n)
	}
}

// Bounds of what agents say of themselves.
const (
	maxText      = 256
	maxAddresses = 64
)

func boundFacts(f wire.Facts) wire.Facts {
	for _, p := range []*string{&f.Hostname, &f.Machine, &f.OS, &f.Platform, &f.Release, &f.Kernel, &f.Arch, &f.Virtual, &f.Serial, &f.Model} {
		*p = plain(*p, maxText)
	}
	f.Addresses, f.MACs = boundList(f.Addresses), boundList(f.MACs)
	return f
}

func boundList(list []string) []string {
	out := []string{}
	for _, x := range list[:min(len(list), maxAddresses)] {
		if x = plain(x, 64); x != "" {
			out = append(out, x)
		}
	}
	return out
}

// plain is text of an agent without what does not belong in a line.
func plain(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	return clip(strings.TrimSpace(s), n)
}
