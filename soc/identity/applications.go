package identity

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"icewatch/soc/identity/access"
)

// ViaApplication marks an application that acts for itself, with an access
// token it got from soc/identity/provider by its own credentials.
const ViaApplication = "application"

// applicationPrefix begins the access tokens of applications.
const applicationPrefix = "iwa_"

// Applications knows who is behind the access tokens of applications.
type Applications interface {
	// ApplicationToken returns the application that the token of the hash
	// speaks for, and when the token ends. A token that is unknown, over, or
	// was given for a user's sign-in is ErrUnauthenticated.
	ApplicationToken(ctx context.Context, hash string) (*Principal, time.Time, error)
}

// UseApplications lets Authenticate accept access tokens of applications. Call
// it before the first request.
func (s *Service) UseApplications(a Applications) { s.applications = a }

// NewApplicationToken makes an access token, of which the hash is to be kept.
func NewApplicationToken() (secret, hash string) {
	secret = newSecret(applicationPrefix)
	return secret, HashSecret(secret)
}

// HashSecret is what is kept of a secret of at least 128 random bits: its
// SHA-256 in hex.
func HashSecret(secret string) string { return hashSecret(secret) }

// ForgetApplication makes Authenticate ask again about every token of an
// application: after its permissions changed, or it was closed.
func (s *Service) ForgetApplication(id string) {
	s.forgetWhere(func(_ string, e *entry) bool { return e.userID == id })
}

// loadApplication asks who is behind an application's token.
func (s *Service) loadApplication(ctx context.Context, hash string) (*entry, error) {
	if s.applications == nil {
		return nil, ErrUnauthenticated
	}
	p, expires, err := s.applications.ApplicationToken(ctx, hash)
	if err != nil {
		return nil, err
	}
	e := &entry{id: p.TokenID, userID: p.UserID, application: true, principal: p, expires: expires.UnixMilli()}
	e.place.Store(&place{})
	return e, nil
}

// SessionState is a session that holds, seen from inside.
type SessionState struct {
	Principal *Principal
	CreatedAt time.Time // when the user signed in
	ExpiresAt time.Time // absolute limit
}

// Session returns the session of an id, for what hangs on it, such as the
// tokens of applications. It is not a use of the session. One that is over, or
// whose user is disabled or gone, is ErrUnauthenticated.
func (s *Service) Session(ctx context.Context, id string) (SessionState, error) {
	sess := new(sessionRow)
	err := s.db.NewSelect().Model(sess).Where("s.id = ?", id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return SessionState{}, ErrUnauthenticated
	}
	if err != nil {
		return SessionState{}, fmt.Errorf("identity: read the session %q: %w", id, err)
	}
	s.mu.RLock()
	e := s.cache[sess.TokenHash]
	s.mu.RUnlock()
	if e == nil {
		if e, err = s.loadSession(ctx, sess.TokenHash); err != nil {
			return SessionState{}, err
		}
	}
	if !e.valid(s.now().UnixMilli()) {
		return SessionState{}, ErrUnauthenticated
	}
	return SessionState{Principal: e.principal, CreatedAt: fromMilli(sess.CreatedAt), ExpiresAt: fromMilli(sess.ExpiresAt)}, nil
}

// Standing is what a user is at the moment, with what changes from hour to
// hour.
type Standing struct {
	User
	// InForce is the roles held directly or by a grant that is in force now.
	// Grants bound to a place are left out: who asks for a standing is no
	// request of the user's.
	InForce []string
	Groups  []string // ids
}

// Standing returns what a user is at the moment.
func (s *Service) Standing(ctx context.Context, userID string) (Standing, error) {
	u, err := s.User(ctx, userID)
	if err != nil {
		return Standing{}, err
	}
	st := Standing{User: u, InForce: slices.Clone(u.Roles), Groups: []string{}}
	grants, err := s.access.Grants(ctx, access.GrantQuery{User: userID, Via: true})
	if err != nil {
		return Standing{}, err
	}
	for _, g := range grants {
		if len(g.Networks) == 0 && g.InForce(s.now()) && !slices.Contains(st.InForce, g.Role) {
			st.InForce = append(st.InForce, g.Role)
		}
	}
	groups, err := s.access.Groups(ctx, access.GroupQuery{User: userID})
	if err != nil {
		return Standing{}, err
	}
	for _, g := range groups {
		st.Groups = append(st.Groups, g.ID)
	}
	return st, nil
}
