package identity

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"icewatch/soc/identity/policy"
)

const (
	// longestToken bounds the life of a token that is given one.
	longestToken = 10 * 365 * 24 * time.Hour
	// maxOwnTokens is how many tokens a user may make.
	maxOwnTokens = 50
	// maxNetworks is how many networks a token may be bound to.
	maxNetworks = 64
)

// tokenRow is an API token as SQL holds it.
type tokenRow struct {
	bun.BaseModel `bun:"table:identity_tokens,alias:t"`

	ID          string `bun:"id,pk"`
	TokenHash   string `bun:"token_hash"`
	Name        string `bun:"name"`
	Tenant      string `bun:"tenant"`
	Scopes      string `bun:"scopes"`
	Owner       string `bun:"owner"`
	Addresses   string `bun:"addresses"`
	CreatedBy   string `bun:"created_by"`
	CreatedAt   int64  `bun:"created_at"`
	ExpiresAt   *int64 `bun:"expires_at"`
	LastUsedAt  *int64 `bun:"last_used_at"`
	LastAddress string `bun:"last_address"`
}

// Token is an API token without its secret.
type Token struct {
	ID          string     `json:"id"`
	Name        string     `json:"name"`
	Tenant      string     `json:"tenant"` // slug; "" is city-level, or all that its owner sees
	Scopes      []string   `json:"scopes" nullable:"false"`
	Owner       string     `json:"owner,omitempty"` // id of the user it acts for; "" for a service's
	Addresses   []string   `json:"addresses" nullable:"false" doc:"CIDRs it may be used from; none is anywhere"`
	CreatedBy   string     `json:"created_by"`
	CreatedAt   time.Time  `json:"created_at"`
	ExpiresAt   *time.Time `json:"expires_at,omitempty"` // nil: never
	LastUsedAt  *time.Time `json:"last_used_at,omitempty"`
	LastAddress string     `json:"last_address,omitempty"`
}

// NewToken is what an API token is made of.
type NewToken struct {
	Name      string
	Tenant    string
	Scopes    []string
	Addresses []string      // CIDRs or single addresses; none is anywhere
	ExpiresIn time.Duration // 0: never
	CreatedBy string
	Owner     *Principal // the user it acts for, whose rights bound its own; nil for a service's
}

func (r *tokenRow) token() (Token, error) {
	scopes, err := decodeList(r.Scopes)
	if err != nil {
		return Token{}, err
	}
	addresses, err := decodeList(r.Addresses)
	if err != nil {
		return Token{}, err
	}
	t := Token{ID: r.ID, Name: r.Name, Tenant: r.Tenant, Scopes: scopes, Owner: r.Owner, Addresses: addresses, CreatedBy: r.CreatedBy,
		CreatedAt: fromMilli(r.CreatedAt), LastAddress: r.LastAddress}
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

// Tokens lists the API tokens, newest first, when and from where they were last
// used as it is known this moment: those of one user, or all where owner is
// empty.
func (s *Service) Tokens(ctx context.Context, owner string) ([]Token, error) {
	var rows []tokenRow
	q := s.db.NewSelect().Model(&rows).Order("t.created_at DESC", "t.id")
	if owner != "" {
		q = q.Where("t.owner = ?", owner)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("identity: list the tokens: %w", err)
	}
	used := map[string]*entry{}
	s.mu.RLock()
	for _, e := range s.cache {
		if !e.session {
			used[e.id] = e
		}
	}
	s.mu.RUnlock()
	tokens := make([]Token, 0, len(rows))
	for i := range rows {
		t, err := rows[i].token()
		if err != nil {
			return nil, err
		}
		if e := used[t.ID]; e != nil {
			if ms := e.used.Load(); ms > 0 && (t.LastUsedAt == nil || ms > t.LastUsedAt.UnixMilli()) {
				at := fromMilli(ms)
				t.LastUsedAt, t.LastAddress = &at, e.place.Load().last
			}
		}
		tokens = append(tokens, t)
	}
	return tokens, nil
}

// parseNetworks reads CIDRs and single addresses.
func parseNetworks(list []string) (canonical []string, nets []netip.Prefix, err error) {
	if len(list) > maxNetworks {
		return nil, nil, invalid("a token can be bound to at most %d networks", maxNetworks)
	}
	canonical = []string{}
	for _, text := range list {
		p, err := netip.ParsePrefix(strings.TrimSpace(text))
		if err != nil {
			a, err := netip.ParseAddr(strings.TrimSpace(text))
			if err != nil {
				return nil, nil, invalid("%q is neither a network like 10.1.0.0/16 nor an address", clip(text, 64))
			}
			a = a.Unmap().WithZone("")
			p = netip.PrefixFrom(a, a.BitLen())
		}
		p = p.Masked()
		canonical, nets = append(canonical, p.String()), append(nets, p)
	}
	return canonical, nets, nil
}

// allowed tells whether a token may be used from the address. The local socket
// has none, so a token bound to networks is of no use there.
func (e *entry) allowed(address string) bool {
	if len(e.networks) == 0 {
		return true
	}
	a, err := netip.ParseAddr(address)
	if err != nil {
		return false
	}
	a = a.Unmap().WithZone("")
	return slices.ContainsFunc(e.networks, func(p netip.Prefix) bool { return p.Contains(a) })
}

// checkLife holds the life of a new token against the policy.
func (s *Service) checkLife(life time.Duration) error {
	longest := time.Duration(s.policies.tokens().LongestDays) * 24 * time.Hour
	switch {
	case life < 0 || life > longestToken:
		return invalid("the token's life must be above 0 and at most 10 years")
	case longest > 0 && (life == 0 || life > longest):
		return invalid("the token's life must be at most %d days, as the setting tokens says", s.policies.tokens().LongestDays)
	}
	return nil
}

// CreateToken makes an API token and returns it with its secret, which is kept
// nowhere. A token of one tenant cannot hold the admin scope: what that
// administers belongs to all of them. A user's own token can hold no more than
// the user may do; what he may no longer do later, it may not either.
func (s *Service) CreateToken(ctx context.Context, n NewToken) (Token, string, error) {
	n.Name = strings.TrimSpace(n.Name)
	switch {
	case n.Name == "" || len(n.Name) > 100 || !utf8.ValidString(n.Name):
		return Token{}, "", invalid("the token's name must be 1 to 100 bytes of UTF-8")
	case len(n.Scopes) == 0:
		return Token{}, "", invalid("a token needs at least one scope of %s", strings.Join(Scopes, ", "))
	case n.Tenant != "" && slices.Contains(n.Scopes, ScopeAdmin):
		return Token{}, "", invalid("a token of one tenant cannot hold the scope admin")
	}
	if err := s.checkLife(n.ExpiresIn); err != nil {
		return Token{}, "", err
	}
	addresses, _, err := parseNetworks(n.Addresses)
	if err != nil {
		return Token{}, "", err
	}
	scopes := []string{}
	for _, sc := range n.Scopes {
		if !slices.Contains(Scopes, sc) {
			return Token{}, "", invalid("the scope %q is none of %s", sc, strings.Join(Scopes, ", "))
		}
		if n.Owner != nil {
			if holds, err := s.holds(ctx, n.Owner, sc); err != nil {
				return Token{}, "", err
			} else if !holds {
				return Token{}, "", invalid("you do not hold the scope %q yourself", sc)
			}
		}
		if !slices.Contains(scopes, sc) {
			scopes = append(scopes, sc)
		}
	}
	secret := newSecret(tokenPrefix)
	now := s.now()
	row := &tokenRow{
		ID: newID("tok_"), TokenHash: hashSecret(secret), Name: n.Name, Tenant: n.Tenant, Scopes: encodeList(scopes), Addresses: encodeList(addresses),
		CreatedBy: n.CreatedBy, CreatedAt: now.UnixMilli(),
	}
	if n.Owner != nil {
		if n.Owner.Via != ViaSession {
			return Token{}, "", invalid("only a user who is signed in has tokens of his own")
		}
		if n.Tenant != "" && !n.Owner.listed(n.Tenant) {
			return Token{}, "", invalid("the tenant %q is not within your reach", n.Tenant)
		}
		if err := s.confirmed(ctx, n.Owner); err != nil {
			return Token{}, "", err
		}
		row.Owner = n.Owner.UserID
	}
	if n.ExpiresIn > 0 {
		at := now.Add(n.ExpiresIn).UnixMilli()
		row.ExpiresAt = &at
	}
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if row.Owner != "" {
			have, err := tx.NewSelect().Model((*tokenRow)(nil)).Where("t.owner = ?", row.Owner).Count(ctx)
			if err != nil {
				return err
			}
			if have >= maxOwnTokens {
				return invalid("a user has at most %d tokens: revoke one first", maxOwnTokens)
			}
		}
		_, err := tx.NewInsert().Model(row).Exec(ctx)
		return err
	})
	if errors.Is(err, ErrInvalid) {
		return Token{}, "", err
	}
	if err != nil {
		return Token{}, "", fmt.Errorf("identity: create the token %q: %w", n.Name, err)
	}
	t, err := row.token()
	return t, secret, err
}

// holds tells whether the principal may do anything of the scope; of admin,
// which is all of them, anything of each.
func (s *Service) holds(ctx context.Context, p *Principal, scope string) (bool, error) {
	if scope == ScopeAdmin {
		for _, sc := range policy.AllScopes {
			if ok, err := s.holds(ctx, p, sc); !ok || err != nil {
				return false, err
			}
		}
		return true, nil
	}
	engine := s.access.Engine()
	for _, o := range engine.Operations() {
		if o.Scope != scope || len(o.Also) > 0 { // to look at what another scope keeps is not to hold it
			continue
		}
		d, err := engine.Decide(ctx, policy.Request{Subject: p.Subject, Operation: o.ID, Everywhere: p.AllTenants && len(p.Conditions) == 0, Time: s.now()})
		if d.Allow || err != nil {
			return d.Allow, err
		}
	}
	return false, nil
}

// RotateToken gives a token a new secret, at once: the old one is void. The
// token keeps everything else, and its life begins anew where it has an end.
// owner bounds whose it may be, as in Tokens; a user confirms first.
func (s *Service) RotateToken(ctx context.Context, owner *Principal, id string) (Token, string, error) {
	row := new(tokenRow)
	q := s.db.NewSelect().Model(row).Where("t.id = ?", id)
	if owner != nil {
		if err := s.confirmed(ctx, owner); err != nil {
			return Token{}, "", err
		}
		q = q.Where("t.owner = ?", owner.UserID)
	}
	if err := q.Scan(ctx); errors.Is(err, sql.ErrNoRows) {
		return Token{}, "", ErrNotFound
	} else if err != nil {
		return Token{}, "", fmt.Errorf("identity: read the token %q: %w", id, err)
	}
	now := s.now()
	life := time.Duration(0)
	if row.ExpiresAt != nil {
		life = fromMilli(*row.ExpiresAt).Sub(fromMilli(row.CreatedAt))
		at := now.Add(life).UnixMilli()
		row.ExpiresAt = &at
	}
	if err := s.checkLife(life); err != nil {
		return Token{}, "", err
	}
	secret := newSecret(tokenPrefix)
	row.TokenHash, row.CreatedAt = hashSecret(secret), now.UnixMilli()
	res, err := s.db.ExecContext(ctx, "UPDATE identity_tokens SET token_hash = ?, created_at = ?, expires_at = ? WHERE id = ?",
		row.TokenHash, row.CreatedAt, row.ExpiresAt, id)
	if err != nil {
		return Token{}, "", fmt.Errorf("identity: rotate the token %q: %w", id, err)
	}
	s.forgetWhere(func(_ string, e *entry) bool { return e.id == id })
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return Token{}, "", errors.Join(err, ErrNotFound)
	}
	t, err := row.token()
	return t, secret, err
}

// RevokeToken ends a token at once: of the user, or anybody's where owner is
// empty.
func (s *Service) RevokeToken(ctx context.Context, owner, id string) error {
	q := s.db.NewDelete().Model((*tokenRow)(nil)).Where("id = ?", id)
	if owner != "" {
		q = q.Where("owner = ?", owner)
	}
	res, err := q.Exec(ctx)
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

// tokenByHash is prepared once: parsing it costs more than answering it.
const tokenByHash = `SELECT id, name, tenant, scopes, owner, addresses, created_by, created_at, expires_at, last_used_at, last_address
	FROM identity_tokens WHERE token_hash = ?`

// loadToken reads a token by the hash of its secret.
func (s *Service) loadToken(ctx context.Context, hash string) (*entry, error) {
	row := new(tokenRow)
	err := s.tokenByHash.QueryRowContext(ctx, hash).Scan(&row.ID, &row.Name, &row.Tenant, &row.Scopes, &row.Owner, &row.Addresses, &row.CreatedBy, &row.CreatedAt,
		&row.ExpiresAt, &row.LastUsedAt, &row.LastAddress)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrUnauthenticated
	}
	if err != nil {
		return nil, fmt.Errorf("identity: read a token: %w", err)
	}
	t, err := row.token()
	if err != nil {
		return nil, err
	}
	p := &Principal{
		UserID: t.ID, Username: t.Name, DisplayName: t.Name,
		AllTenants: t.Tenant == "", Via: ViaToken, TokenID: t.ID,
	}
	if t.Tenant != "" {
		p.Tenants = []string{t.Tenant}
	}
	e := &entry{id: t.ID, principal: p}
	subject := policy.Subject{Service: true}
	if t.Owner != "" {
		if subject, err = s.bind(ctx, p, t); err != nil {
			return nil, err
		}
		e.userID = t.Owner
	}
	subject.Limit = &policy.Limit{Scopes: t.Scopes, Operations: []string{}}
	if p.Subject, err = subject.Prepare(); err != nil {
		return nil, err
	}
	if _, e.networks, err = parseNetworks(t.Addresses); err != nil {
		return nil, fmt.Errorf("identity: the token %q: %w", t.ID, err)
	}
	if row.ExpiresAt != nil {
		e.expires = *row.ExpiresAt
	}
	if row.LastUsedAt != nil {
		e.used.Store(*row.LastUsedAt)
	}
	e.place.Store(&place{last: row.LastAddress})
	return e, nil
}

// bind narrows a user's own token to what the user may do at the moment and
// returns whom the policy decides on: the user, within the token's limit.
func (s *Service) bind(ctx context.Context, p *Principal, t Token) (policy.Subject, error) {
	row, err := s.userRow(ctx, "u.id = ?", t.Owner)
	if errors.Is(err, ErrNotFound) {
		return policy.Subject{}, ErrUnauthenticated
	}
	if err != nil {
		return policy.Subject{}, err
	}
	if !row.usable(s.now()) || s.locks.check(row.Username, nil) != nil { // disabled, or locked until an administrator unlocks him
		return policy.Subject{}, ErrUnauthenticated
	}
	u, err := row.user()
	if err != nil {
		return policy.Subject{}, err
	}
	p.UserID, p.DisplayName, p.Roles, p.Unit = u.ID, u.DisplayName+" ("+t.Name+")", u.Roles, u.Unit
	p.Conditions = u.conditions()
	switch {
	case t.Tenant == "":
		p.AllTenants, p.Tenants = u.AllTenants, u.Tenants
	case !u.AllTenants && !slices.Contains(u.Tenants, t.Tenant):
		p.Tenants = []string{}
	}
	grants, err := s.access.Of(ctx, u.ID)
	p.Granted = rolesOf(grants)
	return policy.Subject{Roles: u.Roles, Grants: grants}, err
}
