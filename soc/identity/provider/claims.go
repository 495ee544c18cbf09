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
func userInfo(a *alive, scopes []string) *oidc.UserInfo {
	u := a.user
	info := &oidc.UserInfo{Subject: a.UserID}
	has := func(scope string) bool { return slices.Contains(scopes, scope) }
	if has(oidc.ScopeProfile) {
		info.Name, info.PreferredUsername = firstOf(u.DisplayName, u.Username), u.Username
		info.UpdatedAt = oidc.FromTime(u.UpdatedAt)
		if u.Locale != "" {
			info.AppendClaims("locale", u.Locale)
		}
	}
	if has(oidc.ScopeEmail) {
		info.Email = u.Email // nobody has verified it, so nothing says so
	}
	if has(scopeGroups) {
		info.AppendClaims("groups", list(u.Groups))
	}
	if has(scopeRoles) {
		info.AppendClaims("roles", list(u.InForce))
	}
	if has(scopeIcewatch) {
		tenants := list(u.Tenants)
		if u.AllTenants {
			tenants = []string{"*"}
		}
		info.AppendClaims("tenants", tenants)
		info.AppendClaims("unit", u.Unit)
	}
	return info
}

func list(l []string) []string {
	if l == nil {
		return []string{}
	}
	return l
}

// idToken makes the ID token that goes with an access token.
func (s *Service) idToken(ctx context.Context, a *alive, scopes []string, t issued) (string, error) {
	now := s.Now()
	claims := oidc.NewIDTokenClaims(s.Issuer, a.UserID, []string{a.Application}, t.expires, time.UnixMilli(a.AuthTime), a.Nonce, "", nil, a.Application, 0)
	claims.IssuedAt = oidc.FromTime(now)
	claims.SetUserInfo(userInfo(a, scopes))
	claims.SessionID = a.SessionID
	var err error
	if claims.AccessTokenHash, err = oidc.ClaimHash(t.access, algorithm); err != nil {
		return "", err
	}
	return s.sign(ctx, claims)
}
