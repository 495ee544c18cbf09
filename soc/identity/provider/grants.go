package provider

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"
	"github.com/zitadel/oidc/v3/pkg/oidc"

	"icewatch/soc/identity"
	"icewatch/soc/identity/policy"
)

// Prefixes of what is handed out, so that a scanner finds a leaked one.
// Access tokens have that of soc/identity.
const (
	codePrefix    = "iwc_"
	refreshPrefix = "iwr_"
)

const (
	kindAccess  = "access"
	kindRefresh = "refresh"
)

// grant is what one sign-in to one application brought.
type grant struct {
	bun.BaseModel `bun:"table:provider_grants,alias:g"`

	ID            string `bun:"id,pk"`
	Application   string `bun:"application"`
	UserID        string `bun:"user_id"`
	SessionID     string `bun:"session_id"`
	Scopes        string `bun:"scopes"`
	Nonce         string `bun:"nonce"`
	RedirectURI   string `bun:"redirect_uri"`
	Challenge     string `bun:"challenge"`
	AuthTime      int64  `bun:"auth_time"`
	CodeHash      string `bun:"code_hash"`
	CodeExpiresAt int64  `bun:"code_expires_at"`
	CodeUsedAt    *int64 `bun:"code_used_at"`
	CreatedAt     int64  `bun:"created_at"`
	ExpiresAt     int64  `bun:"expires_at"`
}

func (g *grant) scopes() []string { return strings.Fields(g.Scopes) }

// token is an access or refresh token.
type token struct {
	bun.BaseModel `bun:"table:provider_tokens,alias:t"`

	Hash        string  `bun:"hash,pk"`
	Kind        string  `bun:"kind"`
	GrantID     *string `bun:"grant_id"`
	Application string  `bun:"application"`
	Scopes      string  `bun:"scopes"`
	IssuedAt    int64   `bun:"issued_at"`
	ExpiresAt   int64   `bun:"expires_at"`
	UsedAt      *int64  `bun:"used_at"`
}

// alive is a grant with the session it lives by.
type alive struct {
	grant
	session identity.SessionState
	user    identity.Standing
	app     *registered
}

// refusal is an error of the protocol: what the client may be told.
func refusal(e *oidc.Error, format string, args ...any) error {
	return e.WithDescription(format, args...)
}

// newCode starts a grant and returns its code.
func (s *Service) newCode(ctx context.Context, g grant) (string, error) {
	code := random(codePrefix)
	now := s.Now()
	g.ID, g.CodeHash, g.CreatedAt = newID("grt_"), identity.HashSecret(code), now.UnixMilli()
	g.CodeExpiresAt = now.Add(time.Duration(s.policy.Get().CodeSeconds) * time.Second).UnixMilli()
	if _, err := s.DB.NewInsert().Model(&g).Exec(ctx); err != nil {
		return "", fmt.Errorf("oidc: keep a grant to %s: %w", g.Application, err)
	}
	return code, nil
}

// redeem takes a code in. It works once: a code that comes again was stolen,
// on one side or the other, so everything it brought ends (RFC 6749, 4.1.2).
func (s *Service) redeem(ctx context.Context, app *registered, code, redirectURI, verifier string) (*alive, error) {
	g := new(grant)
	var stolen string
	err := s.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		err := tx.NewSelect().Model(g).Where("g.code_hash = ?", identity.HashSecret(code)).Scan(ctx)
		if errors.Is(err, sql.ErrNoRows) {
			return refusal(oidc.ErrInvalidGrant(), "the code is unknown, over or was taken back")
		}
		if err != nil {
			return err
		}
		switch {
		case g.Application != app.ID:
			stolen = "a code came from another application, " + app.ID
		case g.CodeUsedAt != nil:
			stolen = "a code came a second time"
		}
		if stolen != "" {
			_, err := tx.NewDelete().Model(g).WherePK().Exec(ctx)
			return err
		}
		now := s.Now().UnixMilli()
		if _, err := tx.ExecContext(ctx, "UPDATE provider_grants SET code_used_at = ? WHERE id = ?", now, g.ID); err != nil {
			return err
		}
		return nil
	})
	var e *oidc.Error
	switch {
	case errors.As(err, &e):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("oidc: take a code in: %w", err)
	case stolen != "":
		s.Record(ctx, Event{Application: g.Application, Action: EventCodeReused, Denied: true, Detail: stolen + ": the tokens it brought are ended"})
		return nil, refusal(oidc.ErrInvalidGrant(), "the code was used before or belongs to another client; what it brought is taken back")
	}
	// From here on the code is spent, whatever is wrong with the request.
	switch {
	case s.Now().UnixMilli() >= g.CodeExpiresAt:
		err = refusal(oidc.ErrInvalidGrant(), "the code is over: it holds for %d seconds", s.policy.Get().CodeSeconds)
	case redirectURI != g.RedirectURI:
		err = refusal(oidc.ErrInvalidGrant(), "redirect_uri is not the one the code was asked for with")
	case g.Challenge == "" && verifier != "":
		err = refusal(oidc.ErrInvalidGrant(), "code_verifier was sent, but the code was asked for without code_challenge")
	case g.Challenge != "" && subtle.ConstantTimeCompare([]byte(oidc.NewSHACodeChallenge(verifier)), []byte(g.Challenge)) != 1:
		err = refusal(oidc.ErrInvalidGrant(), "code_verifier does not belong to the code_challenge")
	}
	if err != nil {
		return nil, errors.Join(err, s.endGrant(ctx, g.ID))
	}
	return s.revive(ctx, g)
}

// revive asks whether a grant still holds: its session goes on, its
// application is open, and the user may still use it. One that does not is
// ended, with all its tokens.
func (s *Service) revive(ctx context.Context, g *grant) (*alive, error) {
	end := func(why string) (*alive, error) {
		return nil, errors.Join(refusal(oidc.ErrInvalidGrant(), "the grant does not hold: %s", why), s.endGrant(ctx, g.ID))
	}
	st, err := s.Identity.Session(ctx, g.SessionID)
	if errors.Is(err, identity.ErrUnauthenticated) {
		return end("the session it came from is over")
	}
	if err != nil {
		return nil, err
	}
	if s.Now().UnixMilli() >= g.ExpiresAt {
		return end("it is over")
	}
	app, ok := s.application(g.Application)
	if !ok || !app.Open {
		return end("the application is closed")
	}
	user, err := s.Identity.Standing(ctx, g.UserID)
	if err != nil {
		return nil, err
	}
	if !app.Admits(PersonOf(user)) {
		return end("the user may not use the application any more")
	}
	return &alive{grant: *g, session: st, user: user, app: app}, nil
}

// endGrant ends a grant and, by the foreign key, its tokens.
func (s *Service) endGrant(ctx context.Context, id string) error {
	if _, err := s.DB.ExecContext(ctx, "DELETE FROM provider_grants WHERE id = ?", id); err != nil {
		return fmt.Errorf("oidc: end the grant %s: %w", id, err)
	}
	return nil
}

// endTokens ends everything that an application holds.
func (s *Service) endTokens(ctx context.Context, app string) error {
	err := s.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM provider_grants WHERE application = ?", app); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "DELETE FROM provider_tokens WHERE application = ?", app)
		return err
	})
	if err != nil {
		return fmt.Errorf("oidc: end the tokens of %s: %w", app, err)
	}
	s.Identity.ForgetApplication(app)
	return nil
}

// issued is what a client gets.
type issued struct {
	access, refresh string
	expires         time.Time
}

// issue makes the tokens of a grant, with a refresh token where it is wanted.
func (s *Service) issue(ctx context.Context, db bun.IDB, a *alive, scopes []string, refresh bool) (issued, error) {
	now := s.Now()
	ends := time.UnixMilli(a.ExpiresAt)
	access, hash := identity.NewApplicationToken()
	out := issued{access: access, expires: now.Add(time.Duration(s.policy.Get().AccessTokenMinutes) * time.Minute)}
	if out.expires.After(ends) {
		out.expires = ends
	}
	rows := []token{{Hash: hash, Kind: kindAccess, GrantID: &a.ID, Application: a.Application, Scopes: strings.Join(scopes, " "),
		IssuedAt: now.UnixMilli(), ExpiresAt: out.expires.UnixMilli()}}
	if refresh {
		out.refresh = random(refreshPrefix)
		rows = append(rows, token{Hash: identity.HashSecret(out.refresh), Kind: kindRefresh, GrantID: &a.ID, Application: a.Application,
			Scopes: a.Scopes, IssuedAt: now.UnixMilli(), ExpiresAt: a.ExpiresAt})
	}
	if _, err := db.NewInsert().Model(&rows).Exec(ctx); err != nil {
		return issued{}, fmt.Errorf("oidc: keep tokens for %s: %w", a.Application, err)
	}
	return out, nil
}

// exchange takes a refresh token in. It works once, too: of two who use the
// same one, one is a thief, and nobody can tell which, so the grant ends (RFC
// 9700, 4.14.2).
func (s *Service) exchange(ctx context.Context, app *registered, refresh string) (*alive, error) {
	t, g := new(token), new(grant)
	stolen := false
	err := s.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		err := tx.NewSelect().Model(t).Where("t.hash = ? AND t.kind = ?", identity.HashSecret(refresh), kindRefresh).Scan(ctx)
		if err == nil && t.Application != app.ID {
			err = sql.ErrNoRows
		}
		if errors.Is(err, sql.ErrNoRows) || err == nil && s.Now().UnixMilli() >= t.ExpiresAt {
			return refusal(oidc.ErrInvalidGrant(), "the refresh token is unknown, over or was taken back")
		}
		if err != nil {
			return err
		}
		if err := tx.NewSelect().Model(g).Where("g.id = ?", *t.GrantID).Scan(ctx); err != nil {
			return err
		}
		if t.UsedAt != nil {
			stolen = true
			_, err := tx.NewDelete().Model(g).WherePK().Exec(ctx)
			return err
		}
		_, err = tx.ExecContext(ctx, "UPDATE provider_tokens SET used_at = ? WHERE hash = ?", s.Now().UnixMilli(), t.Hash)
		return err
	})
	var e *oidc.Error
	switch {
	case errors.As(err, &e):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("oidc: take a refresh token in: %w", err)
	case stolen:
		s.Record(ctx, Event{Application: g.Application, Action: EventTokenReused, Denied: true, Detail: "a refresh token came a second time: the tokens of its sign-in are ended"})
		return nil, refusal(oidc.ErrInvalidGrant(), "the refresh token was used before; what it brought is taken back")
	}
	return s.revive(ctx, g)
}

// lookUp returns a token that holds, with its grant; the grant is nil for an
// application's own. What does not hold, for whatever reason, is (nil, nil).
func (s *Service) lookUp(ctx context.Context, secret string) (*token, *alive, error) {
	t := new(token)
	err := s.DB.NewSelect().Model(t).Where("t.hash = ?", identity.HashSecret(secret)).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) || err == nil && (s.Now().UnixMilli() >= t.ExpiresAt || t.UsedAt != nil) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("oidc: look a token up: %w", err)
	}
	if t.GrantID == nil {
		if app, ok := s.application(t.Application); !ok || !app.Open {
			return nil, nil, nil
		}
		return t, nil, nil
	}
	g := new(grant)
	if err := s.DB.NewSelect().Model(g).Where("g.id = ?", *t.GrantID).Scan(ctx); errors.Is(err, sql.ErrNoRows) {
		return nil, nil, nil
	} else if err != nil {
		return nil, nil, fmt.Errorf("oidc: look a grant up: %w", err)
	}
	a, err := s.revive(ctx, g)
	var e *oidc.Error
	if errors.As(err, &e) {
		return nil, nil, nil
	}
	return t, a, err
}

// revoke ends a token of the application; a refresh token takes its grant with
// it (RFC 7009, 2.1). Of any other token nothing is said.
func (s *Service) revoke(ctx context.Context, app *registered, secret string) error {
	t := new(token)
	err := s.DB.NewSelect().Model(t).Where("t.hash = ? AND t.application = ?", identity.HashSecret(secret), app.ID).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("oidc: look a token up: %w", err)
	}
	if t.Kind == kindRefresh {
		return s.endGrant(ctx, *t.GrantID)
	}
	if _, err := s.DB.NewDelete().Model(t).WherePK().Exec(ctx); err != nil {
		return fmt.Errorf("oidc: end a token: %w", err)
	}
	s.Identity.ForgetApplication(app.ID)
	return nil
}

// ownToken makes a token with which an application acts for itself.
func (s *Service) ownToken(ctx context.Context, app *registered) (issued, error) {
	if len(app.Permissions.Operations) == 0 {
		return issued{}, refusal(oidc.ErrUnauthorizedClient(), "the application may call no operation: its permissions are empty")
	}
	now := s.Now()
	access, hash := identity.NewApplicationToken()
	out := issued{access: access, expires: now.Add(time.Duration(s.policy.Get().ApplicationTokenMinutes) * time.Minute)}
	row := token{Hash: hash, Kind: kindAccess, Application: app.ID, IssuedAt: now.UnixMilli(), ExpiresAt: out.expires.UnixMilli()}
	if _, err := s.DB.NewInsert().Model(&row).Exec(ctx); err != nil {
		return issued{}, fmt.Errorf("oidc: keep a token for %s: %w", app.ID, err)
	}
	return out, nil
}

// ApplicationToken implements identity.Applications.
func (s *Service) ApplicationToken(ctx context.Context, hash string) (*identity.Principal, time.Time, error) {
	t := new(token)
	err := s.DB.NewSelect().Model(t).Where("t.hash = ? AND t.kind = ? AND t.grant_id IS NULL AND t.expires_at > ?", hash, kindAccess, s.Now().UnixMilli()).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, time.Time{}, identity.ErrUnauthenticated
	}
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("oidc: look a token up: %w", err)
	}
	app, ok := s.application(t.Application)
	if !ok || !app.Open || !app.grants(oidc.GrantTypeClientCredentials) {
		return nil, time.Time{}, identity.ErrUnauthenticated
	}
	subject, err := policy.Subject{Service: true, Limit: &policy.Limit{Scopes: []string{}, Operations: app.Permissions.Operations}}.Prepare()
	if err != nil {
		return nil, time.Time{}, err
	}
	p := &identity.Principal{UserID: app.ID, Username: app.ID, DisplayName: firstOf(app.Name.ZH, app.Name.EN), Roles: []string{},
		Subject: subject, Via: identity.ViaApplication, TokenID: "apt_" + hash[:20]}
	p.AllTenants = slices.Contains(app.Permissions.Tenants, "*")
	if !p.AllTenants {
		p.Tenants = app.Permissions.Tenants
	}
	return p, time.UnixMilli(t.ExpiresAt), nil
}

func firstOf(list ...string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return ""
}

// Grant is a sign-in of a user to an application that still holds.
type Grant struct {
	ID          string    `json:"id"`
	Application string    `json:"application"`
	User        string    `json:"user"`
	Session     string    `json:"session"`
	Scopes      []string  `json:"scopes" nullable:"false"`
	CreatedAt   time.Time `json:"created_at"`
	ExpiresAt   time.Time `json:"expires_at"`
}

// Grants lists the sign-ins that hold, newest first, of one user or to one
// application where those are given; at most a thousand.
func (s *Service) Grants(ctx context.Context, user, app string) ([]Grant, error) {
	var rows []grant
	q := s.DB.NewSelect().Model(&rows).Where("g.expires_at > ? AND g.code_used_at IS NOT NULL", s.Now().UnixMilli()).Order("g.created_at DESC", "g.id").Limit(1000)
	if user != "" {
		q = q.Where("g.user_id = ?", user)
	}
	if app != "" {
		q = q.Where("g.application = ?", app)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("oidc: list the grants: %w", err)
	}
	out := make([]Grant, 0, len(rows))
	for i := range rows {
		r := &rows[i]
		if _, err := s.Identity.Session(ctx, r.SessionID); err != nil {
			continue
		}
		out = append(out, Grant{ID: r.ID, Application: r.Application, User: r.UserID, Session: r.SessionID, Scopes: r.scopes(),
			CreatedAt: time.UnixMilli(r.CreatedAt).UTC(), ExpiresAt: time.UnixMilli(r.ExpiresAt).UTC()})
	}
	return out, nil
}

// EndGrant ends a sign-in with all its tokens.
func (s *Service) EndGrant(ctx context.Context, id string) error {
	res, err := s.DB.ExecContext(ctx, "DELETE FROM provider_grants WHERE id = ?", id)
	if err != nil {
		return fmt.Errorf("oidc: end the grant %s: %w", id, err)
	}
	if n, err := res.RowsAffected(); err == nil && n == 0 {
		return fmt.Errorf("the grant %q: %w", id, identity.ErrNotFound)
	}
	return nil
}
