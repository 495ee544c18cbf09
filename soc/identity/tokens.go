package identity

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/uptrace/bun"
)

// longestToken bounds the life of a token that is given one.
const longestToken = 10 * 365 * 24 * time.Hour

// tokenRow is an API token as SQL holds it.
type tokenRow struct {
	bun.BaseModel `bun:"table:identity_tokens,alias:t"`

	ID         string `bun:"id,pk"`
	TokenHash  string `bun:"token_hash"`
	Name       string `bun:"name"`
	Tenant     string `bun:"tenant"`
	Scopes     string `bun:"scopes"`
	CreatedBy  string `bun:"created_by"`
	CreatedAt  int64  `bun:"created_at"`
	ExpiresAt  *int64 `bun:"expires_at"`
	LastUsedAt *int64 `bun:"last_used_at"`
}

func (r *tokenRow) token() (Token, error) {
	scopes, err := decodeList(r.Scopes)
	if err != nil {
		return Token{}, err
	}
	t := Token{ID: r.ID, Name: r.Name, Tenant: r.Tenant, Scopes: scopes, CreatedBy: r.CreatedBy, CreatedAt: fromMilli(r.CreatedAt)}
	if r.ExpiresAt != nil {
		at := fromMilli(*r.ExpiresAt)
		t.ExpiresAt = &at
	}
	if r.LastUsedAt != nil {
		at := fromMilli(*r.LastUsedAt)
		t.LastUsedAt = &at
	}
	return t, nil
}

// Tokens lists the API tokens, newest first, when they were last used as it is
// known this moment.
func (s *Service) Tokens(ctx context.Context) ([]Token, error) {
	var rows []tokenRow
	if err := s.db.NewSelect().Model(&rows).Order("t.created_at DESC", "t.id").Scan(ctx); err != nil {
		return nil, fmt.Errorf("identity: list the tokens: %w", err)
	}
	used := map[string]int64{}
	s.mu.RLock()
	for _, e := range s.cache {
		if !e.session {
			used[e.id] = e.used.Load()
		}
	}
	s.mu.RUnlock()
	tokens := make([]Token, 0, len(rows))
	for i := range rows {
		t, err := rows[i].token()
		if err != nil {
			return nil, err
		}
		if ms := used[t.ID]; ms > 0 && (t.LastUsedAt == nil || ms > t.LastUsedAt.UnixMilli()) {
			at := fromMilli(ms)
			t.LastUsedAt = &at
		}
		tokens = append(tokens, t)
	}
	return tokens, nil
}

// CreateToken makes an API token and returns it with its secret, which is kept
// nowhere. A token of one tenant cannot hold the admin scope: what that
// administers belongs to all of them.
func (s *Service) CreateToken(ctx context.Context, n NewToken) (Token, string, error) {
	n.Name = strings.TrimSpace(n.Name)
	switch {
	case n.Name == "" || len(n.Name) > 100 || !utf8.ValidString(n.Name):
		return Token{}, "", invalid("the token's name must be 1 to 100 bytes of UTF-8")
	case len(n.Scopes) == 0:
		return Token{}, "", invalid("a token needs at least one scope of %s", strings.Join(Scopes, ", "))
	case n.ExpiresIn < 0 || n.ExpiresIn > longestToken:
		return Token{}, "", invalid("the token's life must be above 0 and at most 10 years")
	case n.Tenant != "" && slices.Contains(n.Scopes, ScopeAdmin):
		return Token{}, "", invalid("a token of one tenant cannot hold the scope admin")
	}
	scopes := []string{}
	for _, sc := range n.Scopes {
		if !slices.Contains(Scopes, sc) {
			return Token{}, "", invalid("the scope %q is none of %s", sc, strings.Join(Scopes, ", "))
		}
		if !slices.Contains(scopes, sc) {
			scopes = append(scopes, sc)
		}
	}
	secret := newSecret(tokenPrefix)
	now := s.now()
	row := &tokenRow{
		ID: newID("tok_"), TokenHash: hashSecret(secret), Name: n.Name, Tenant: n.Tenant, Scopes: encodeList(scopes),
		CreatedBy: n.CreatedBy, CreatedAt: now.UnixMilli(),
	}
	if n.ExpiresIn > 0 {
		at := now.Add(n.ExpiresIn).UnixMilli()
		row.ExpiresAt = &at
	}
	if _, err := s.db.NewInsert().Model(row).Exec(ctx); err != nil {
		return Token{}, "", fmt.Errorf("identity: create the token %q: %w", n.Name, err)
	}
	t, err := row.token()
	return t, secret, err
}

// RevokeToken ends a token at once.
func (s *Service) RevokeToken(ctx context.Context, id string) error {
	res, err := s.db.ExecContext(ctx, "DELETE FROM identity_tokens WHERE id = ?", id)
	if err != nil {
		return fmt.Errorf("identity: revoke the token %q: %w", id, err)
	}
	s.forgetWhere(func(_ string, e *entry) bool { return e.id == id })
	if n, err := res.RowsAffected(); err != nil {
		return fmt.Errorf("identity: revoke the token %q: %w", id, err)
	} else if n == 0 {
		return ErrNotFound
	}
	return nil
}

// loadToken reads a token by the hash of its secret.
func (s *Service) loadToken(ctx context.Context, hash string) (*entry, error) {
	row := new(tokenRow)
	err := s.db.NewSelect().Model(row).Where("t.token_hash = ?", hash).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrUnauthenticated
	}
	if err != nil {
		return nil, fmt.Errorf("identity: read a token: %w", err)
	}
	scopes, err := decodeList(row.Scopes)
	if err != nil {
		return nil, err
	}
	p := &Principal{
		UserID: row.ID, Username: row.Name, DisplayName: row.Name, Scopes: scopes,
		AllTenants: row.Tenant == "", Via: ViaToken, TokenID: row.ID,
	}
	if row.Tenant != "" {
		p.Tenants = []string{row.Tenant}
	}
	e := &entry{id: row.ID, principal: p}
	if row.ExpiresAt != nil {
		e.expires = *row.ExpiresAt
	}
	if row.LastUsedAt != nil {
		e.used.Store(*row.LastUsedAt)
	}
	return e, nil
}
