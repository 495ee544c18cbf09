package identity

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/identity/mfa"
	"icewatch/soc/identity/policy"
	"icewatch/soc/seal"
)

// The second factors.
const (
	FactorTOTP     = "totp"
	FactorWebAuthn = "webauthn"
	FactorRecovery = "recovery" // stands in for one that is lost
)

const (
	// maxTries is how many codes one sign-in may try.
	maxTries = 5
	// maxUserKeys is how many WebAuthn keys a user may have.
	maxUserKeys = 20
	// issuer names the suite in authenticator apps.
	issuer = "icewatch"
	// kindTOTP is what TOTP secrets are sealed as.
	kindTOTP = "totp"
)

var (
	// ErrWrongCode says that a second factor's code or answer is wrong.
	ErrWrongCode = errors.New("identity: the code or the key's answer is wrong")
	// ErrOver says that a sign-in or enrolment that was begun is over, was
	// finished already, or was begun elsewhere.
	ErrOver = errors.New("identity: this was not begun here, or is over: begin again")
)

// CodeError is an ErrWrongCode of a user whose first factor was right.
type CodeError struct{ Username string }

// Error does not name the user.
func (e *CodeError) Error() string { return ErrWrongCode.Error() }

// Is tells errors.Is that this is an ErrWrongCode.
func (e *CodeError) Is(target error) bool { return target == ErrWrongCode }

// Sealed lists where the room keeps sealed secrets.
func Sealed() []seal.Place {
	return []seal.Place{seal.Column(kindTOTP, "identity_totp", "user_id", "secret")}
}

// FactorError says that the password was right and a second factor must be
// shown to go on.
type FactorError struct {
	Challenge string // names the sign-in in the next step
	ExpiresAt time.Time
	Factors   []string // that would do
}

// Error says so.
func (e *FactorError) Error() string {
	return "identity: a second factor is needed: " + strings.Join(e.Factors, ", ")
}

// ceremony is a proof that was begun: a sign-in that waits for a second
// factor, or a factor that is about to be enrolled.
type ceremony struct {
	enrols string // FactorTOTP or FactorWebAuthn; "" for a sign-in
	userID string // "" where a key alone will tell
	from   Entrance
	device *deviceRow
	tries  int
	secret string // of the TOTP to enrol
	party  *mfa.Party
	state  mfa.State // between the halves of WebAuthn
}

// keyRow is a WebAuthn key as SQL holds it.
type keyRow struct {
	bun.BaseModel `bun:"table:identity_keys,alias:k"`

	ID           string `bun:"id,pk"`
	UserID       string `bun:"user_id"`
	CredentialID string `bun:"credential_id"`
	Name         string `bun:"name"`
	Credential   string `bun:"credential"`
	CreatedAt    int64  `bun:"created_at"`
	LastUsedAt   *int64 `bun:"last_used_at"`
}

// Factors are a user's second factors.
type Factors struct {
	Policy   string `json:"policy" enum:"optional,roles,all"`
	Required bool   `json:"required" doc:"Of this user, by the policy"`
	TOTP     struct {
		Enabled   bool       `json:"enabled"`
		CreatedAt *time.Time `json:"created_at,omitempty"`
	} `json:"totp"`
	WebAuthn  []SecurityKey `json:"webauthn" nullable:"false"`
	CodesLeft int           `json:"recovery_codes_left"`
}

// SecurityKey is a WebAuthn key of a user.
type SecurityKey struct {
	ID         string     `json:"id"`
	Name       string     `json:"name"`
	CreatedAt  time.Time  `json:"created_at"`
	LastUsedAt *time.Time `json:"last_used_at,omitempty"`
	Synced     bool       `json:"synced" doc:"Copies of it are kept elsewhere, as phones do"`
}

func (r *keyRow) key() (SecurityKey, error) {
	k, err := mfa.ParseKey([]byte(r.Credential))
	if err != nil {
		return SecurityKey{}, err
	}
	out := SecurityKey{ID: r.ID, Name: r.Name, CreatedAt: fromMilli(r.CreatedAt), Synced: k.Synced()}
	if r.LastUsedAt != nil {
		at := fromMilli(*r.LastUsedAt)
		out.LastUsedAt = &at
	}
	return out, nil
}

// factors lists the kinds of second factor a user has; none where he has none.
func (s *Service) factors(ctx context.Context, userID string) ([]string, error) {
	var totp, keys, codes int
	err := s.db.Read.NewRaw(`SELECT (SELECT COUNT(*) FROM identity_totp WHERE user_id = ?), (SELECT COUNT(*) FROM identity_keys WHERE user_id = ?),
		(SELECT COUNT(*) FROM identity_recovery WHERE user_id = ?)`, userID, userID, userID).Scan(ctx, &totp, &keys, &codes)
	if err != nil {
		return nil, fmt.Errorf("identity: read the second factors of %q: %w", userID, err)
	}
	var out []string
	if totp > 0 {
		out = append(out, FactorTOTP)
	}
	if keys > 0 {
		out = append(out, FactorWebAuthn)
	}
	if len(out) > 0 && codes > 0 {
		out = append(out, FactorRecovery)
	}
	return out, nil
}

// needsFactor tells whether the policy demands a second factor of a user with
// these roles of his own. A role granted for some hours counts at all hours.
func (s *Service) needsFactor(ctx context.Context, userID string, direct []string) (bool, error) {
	p := s.policies.signIn()
	if p.Factors != FactorsByRole {
		return p.Factors == FactorsAll, nil
	}
	grants, err := s.access.Of(ctx, userID)
	if err != nil {
		return false, err
	}
	demands := func(role string) bool { return slices.Contains(p.FactorRoles, role) }
	return slices.ContainsFunc(direct, demands) || slices.ContainsFunc(grants, func(g policy.Grant) bool { return demands(g.Role) }), nil
}

// Factors describes a user's second factors.
func (s *Service) Factors(ctx context.Context, userID string) (Factors, error) {
	u, err := s.User(ctx, userID)
	if err != nil {
		return Factors{}, err
	}
	p := s.policies.signIn()
	f := Factors{Policy: p.Factors, WebAuthn: []SecurityKey{}}
	if f.Required, err = s.needsFactor(ctx, u.ID, u.Roles); err != nil {
		return Factors{}, err
	}
	var at int64
	err = s.db.Read.NewSelect().Table("identity_totp").Column("created_at").Where("user_id = ?", userID).Scan(ctx, &at)
	if err == nil {
		created := fromMilli(at)
		f.TOTP.Enabled, f.TOTP.CreatedAt = true, &created
	} else if !errors.Is(err, sql.ErrNoRows) {
		return Factors{}, fmt.Errorf("identity: read the TOTP of %q: %w", u.Username, err)
	}
	rows, err := s.keyRows(ctx, userID)
	if err != nil {
		return Factors{}, err
	}
	for i := range rows {
		k, err := rows[i].key()
		if err != nil {
			return Factors{}, err
		}
		f.WebAuthn = append(f.WebAuthn, k)
	}
	f.CodesLeft, err = s.codesLeft(ctx, userID)
	return f, err
}

func (s *Service) codesLeft(ctx context.Context, userID string) (int, error) {
	n, err := s.db.Read.NewSelect().Table("identity_recovery").Where("user_id = ?", userID).Count(ctx)
	if err != nil {
		return 0, fmt.Errorf("identity: count the recovery codes of %q: %w", userID, err)
	}
	return int(n), nil
}

func (s *Service) keyRows(ctx context.Context, userID string) ([]keyRow, error) {
	var rows []keyRow
	if err := s.db.NewSelect().Model(&rows).Where("k.user_id = ?", userID).Order("k.created_at", "k.id").Scan(ctx); err != nil {
		return nil, fmt.Errorf("identity: list the keys of %q: %w", userID, err)
	}
	return rows, nil
}

// keyOwner is a user as WebAuthn sees him.
func (s *Service) keyOwner(ctx context.Context, row *userRow) (mfa.Owner, error) {
	rows, err := s.keyRows(ctx, row.ID)
	if err != nil {
		return mfa.Owner{}, err
	}
	o := mfa.Owner{Handle: row.ID, Name: row.Username}
	for _, r := range rows {
		k, err := mfa.ParseKey([]byte(r.Credential))
		if err != nil {
			return mfa.Owner{}, err
		}
		o.Keys = append(o.Keys, k)
	}
	return o, nil
}
