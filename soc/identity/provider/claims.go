package provider

import (
	"context"
	"slices"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
)

// claimNames is what discovery says can be had.
var claimNames = []string{"sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "at_hash", "azp", "sid",
	"name", "preferred_username", "locale", "updated_at", "email", "groups", "roles", "unit", "tenants"}

// userInfo says of the user what the scopes allow. The lists are always there
// where their scope is: a client must be able to tell "none" from "not asked".
func (s *Service) userInfo(ctx context.Context, a *alive, scopes []string) (*oidc.UserInfo, error) {
	u, err := s.Identity.User(ctx, a.UserID)
	if err != nil {
		return nil, err
	}
	p := a.session.Principal
	info := &oidc.UserInfo{Subject: a.UserID}
	has := func(scope string) bool { return slices.Contains(scopes, scope) }
	if has(oidc.ScopeProfile) {
		info.Name, info.PreferredUsername = firstOf(u.DisplayName, u.Username), u.Username
		info.UpdatedAt = oidc.FromTime(u.UpdatedAt)
		if u.Locale != "" {
			info.AppendClaims("locale", u.Locale)
		}
	}
	if has(scopeGroups) {
		info.AppendClaims("groups", list(PersonOf(p).Groups))
	}
	if has(scopeRoles) {
		info.AppendClaims("roles", list(p.Roles))
	}
	if has(scopeIcewatch) {
		tenants := list(p.Tenants)
		if p.AllTenants {
			tenants = []string{"*"}
		}
		info.AppendClaims("tenants", tenants)
	}
	return info, nil
}

func list(l []string) []string {
	if l == nil {
		return []string{}
	}
	return l
}

// idToken makes the ID token that goes with an access token.
func (s *Service) idToken(ctx context.Context, a *alive, scopes []string, t issued) (string, error) {
	info, err := s.userInfo(ctx, a, scopes)
	if err != nil {
		return "", err
	}
	now := s.Now()
	claims := oidc.NewIDTokenClaims(s.Issuer, a.UserID, []string{a.Application}, t.expires, time.UnixMilli(a.AuthTime), a.Nonce, "", nil, a.Application, 0)
	claims.IssuedAt = oidc.FromTime(now)
	claims.SetUserInfo(info)
	claims.SessionID = a.SessionID
	if claims.AccessTokenHash, err = oidc.ClaimHash(t.access, algorithm); err != nil {
		return "", err
	}
	return s.sign(ctx, claims)
}
