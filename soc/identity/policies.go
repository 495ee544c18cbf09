package identity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"icewatch/soc/identity/password"
	"icewatch/soc/settings"
)

// Who must show a second factor beside the password.
const (
	FactorsOptional = "optional" // who has one
	FactorsByRole   = "roles"    // who has one, and whoever has one of the roles
	FactorsAll      = "all"      // everybody
)

// SignInPolicy is the setting "sign-in": how guessing is met, and which proofs
// are asked for. Counts are of failures without a success between them.
type SignInPolicy struct {
	Tries        int `json:"tries"`         // on one account from one network, before the account is locked there
	AddressTries int `json:"address_tries"` // from one network on any accounts, before the network is locked
	AccountTries int `json:"account_tries"` // on one account from everywhere, before it is locked for all but known devices

	FirstLock   int `json:"first_lock_seconds"`   // doubled by each failure after it
	LongestLock int `json:"longest_lock_seconds"` // of a network, or of an account in one
	AccountLock int `json:"account_lock_seconds"` // of an account everywhere; short, since strangers cause it
	Forget      int `json:"forget_seconds"`       // without a failure, after which all is forgotten

	CaptchaAfter int `json:"captcha_after"` // failures before a CAPTCHA is asked for, on one account from one network; four times as many from one network; 0 is never
	CaptchaFlood int `json:"captcha_flood"` // failures a minute from everywhere, after which whoever is not known must answer one; 0 is never

	DeviceDays int `json:"device_days"` // how long a browser is remembered after a sign-in; 0 remembers none
	Devices    int `json:"devices"`     // remembered for one user

	Factors      string   `json:"factors"`      // optional, roles or all
	FactorRoles  []string `json:"factor_roles"` // whose holders need a second factor, where factors is roles
	Passwordless bool     `json:"passwordless"` // a WebAuthn key that verifies its user signs in alone
}

// DefaultSignIn is the policy where nothing was decided.
func DefaultSignIn() SignInPolicy {
	return SignInPolicy{Tries: 10, AddressTries: 40, AccountTries: 100, FirstLock: 30, LongestLock: 900, AccountLock: 60, Forget: 900,
		CaptchaAfter: 3, CaptchaFlood: 120, DeviceDays: 180, Devices: 10, Factors: FactorsOptional, FactorRoles: []string{}, Passwordless: true}
}

// Validate says which value the policy cannot have.
func (p SignInPolicy) Validate() error {
	if !slices.Contains([]string{FactorsOptional, FactorsByRole, FactorsAll}, p.Factors) {
		return fmt.Errorf("factors is %q and must be optional, roles or all", p.Factors)
	}
	if p.Factors == FactorsByRole && len(p.FactorRoles) == 0 {
		return errors.New("factors is roles, but factor_roles names none")
	}
	if p.LongestLock < p.FirstLock {
		return fmt.Errorf("longest_lock_seconds is %d, less than first_lock_seconds, %d", p.LongestLock, p.FirstLock)
	}
	return errors.Join(
		within("tries", p.Tries, 3, 100), within("address_tries", p.AddressTries, 3, 100_000), within("account_tries", p.AccountTries, 10, 100_000),
		within("first_lock_seconds", p.FirstLock, 1, 86_400), within("longest_lock_seconds", p.LongestLock, 1, 30*86_400),
		within("account_lock_seconds", p.AccountLock, 1, 3600), within("forget_seconds", p.Forget, 60, 86_400),
		within("captcha_after", p.CaptchaAfter, 0, 100), within("captcha_flood", p.CaptchaFlood, 0, 1_000_000),
		within("device_days", p.DeviceDays, 0, 730), within("devices", p.Devices, 1, 100))
}

// What is done about abnormal access.
const (
	ActRecord = "record" // write it down
	ActNotify = "notify" // and raise an alert
	ActFactor = "factor" // and let only those in who show a second factor
	ActLock   = "lock"   // and lock the account, end its sessions, until an administrator unlocks it
)

// AbnormalPolicy says what is done about each kind of abnormal access.
type AbnormalPolicy struct {
	NewDevice   string `json:"new_device"`   // a browser the user has not signed in with
	NewNetwork  string `json:"new_network"`  // a network the user has not signed in from
	UnusualHour string `json:"unusual_hour"` // an hour at which the user is not at work
	TwoNetworks string `json:"two_networks"` // two networks within a minute, where nobody travels that fast
}

// SessionPolicy is the setting "sessions".
type SessionPolicy struct {
	IdleMinutes     int            `json:"idle_minutes"`         // a session that is not used ends
	AbsoluteMinutes int            `json:"absolute_minutes"`     // any session ends
	PerUser         int            `json:"per_user"`             // the oldest go first
	Binding         string         `json:"binding"`              // off, network or address: where a session may be used beside the place it was opened at
	PageTimeout     int            `json:"page_timeout_minutes"` // the console locks itself when nobody touches it; 0 is never
	OnAbnormal      AbnormalPolicy `json:"on_abnormal"`
}

// How a session can be bound to a place.
const (
	BindingOff     = "off"
	BindingNetwork = "network" // the same /24 of IPv4, or /64 of IPv6
	BindingAddress = "address"
)

// DefaultSessions is the policy where nothing was decided.
func DefaultSessions() SessionPolicy {
	return SessionPolicy{IdleMinutes: 8 * 60, AbsoluteMinutes: 24 * 60, PerUser: 50, Binding: BindingOff,
		OnAbnormal: AbnormalPolicy{NewDevice: ActRecord, NewNetwork: ActRecord, UnusualHour: ActRecord, TwoNetworks: ActNotify}}
}

// Validate says which value the policy cannot have.
func (p SessionPolicy) Validate() error {
	if !slices.Contains([]string{BindingOff, BindingNetwork, BindingAddress}, p.Binding) {
		return fmt.Errorf("binding is %q and must be off, network or address", p.Binding)
	}
	if p.IdleMinutes > p.AbsoluteMinutes {
		return fmt.Errorf("idle_minutes is %d, more than absolute_minutes, %d", p.IdleMinutes, p.AbsoluteMinutes)
	}
	for name, act := range map[string]string{"new_device": p.OnAbnormal.NewDevice, "new_network": p.OnAbnormal.NewNetwork,
		"unusual_hour": p.OnAbnormal.UnusualHour, "two_networks": p.OnAbnormal.TwoNetworks} {
		if !slices.Contains([]string{ActRecord, ActNotify, ActFactor, ActLock}, act) {
			return fmt.Errorf("on_abnormal.%s is %q and must be record, notify, factor or lock", name, act)
		}
	}
	return errors.Join(within("idle_minutes", p.IdleMinutes, 1, 7*24*60), within("absolute_minutes", p.AbsoluteMinutes, 5, 30*24*60),
		within("per_user", p.PerUser, 1, 1000), within("page_timeout_minutes", p.PageTimeout, 0, 24*60))
}

func (p SessionPolicy) idle() time.Duration { return time.Duration(p.IdleMinutes) * time.Minute }
func (p SessionPolicy) absolute() time.Duration {
	return time.Duration(p.AbsoluteMinutes) * time.Minute
}

// TokenPolicy is the setting "tokens".
type TokenPolicy struct {
	LongestDays int `json:"longest_days"` // the longest life a new API token may be given; 0 leaves it open
}

// Validate says which value the policy cannot have.
func (p TokenPolicy) Validate() error { return within("longest_days", p.LongestDays, 0, 3650) }

func within(name string, v, low, high int) error {
	if v < low || v > high {
		return fmt.Errorf("%s is %d and must be %d to %d", name, v, low, high)
	}
	return nil
}

// policies are the room's settings in force.
type policies struct {
	password func() password.Policy
	signIn   func() SignInPolicy
	sessions func() SessionPolicy
	tokens   func() TokenPolicy
}

func fixed[T any](v T) func() T { return func() T { return v } }

func defaultPolicies() policies {
	return policies{fixed(password.Default()), fixed(DefaultSignIn()), fixed(DefaultSessions()), fixed(TokenPolicy{})}
}

// declare puts the room's settings into the store. What is cached of sessions
// is read again after a change, which may end some or oblige their users.
func (s *Service) declare(ctx context.Context, store *settings.Store) error {
	reload := func() { s.forgetWhere(func(_ string, e *entry) bool { return e.session }) }
	pass, err := settings.Declare(ctx, store, "password-policy", ScopeSecurity, password.Default(), password.Policy.Validate, func(password.Policy) { reload() })
	if err != nil {
		return err
	}
	in, err := settings.Declare(ctx, store, "sign-in", ScopeSecurity, DefaultSignIn(), SignInPolicy.Validate, func(SignInPolicy) { reload() })
	if err != nil {
		return err
	}
	sessions, err := settings.Declare(ctx, store, "sessions", ScopeSecurity, DefaultSessions(), SessionPolicy.Validate, func(SessionPolicy) { reload() })
	if err != nil {
		return err
	}
	tokens, err := settings.Declare(ctx, store, "tokens", ScopeSecurity, TokenPolicy{}, TokenPolicy.Validate)
	if err != nil {
		return err
	}
	s.policies = policies{pass.Get, in.Get, sessions.Get, tokens.Get}
	return nil
}

// Policies is what a form must know before anybody has signed in.
type Policies struct {
	Password     password.Policy
	MaxLength    int // of a password, in bytes
	Passwordless bool
	PageTimeout  time.Duration // 0 is never
}

// Policies returns the policies that are no secret.
func (s *Service) Policies() Policies {
	return Policies{s.policies.password(), password.MaxLength, s.policies.signIn().Passwordless,
		time.Duration(s.policies.sessions().PageTimeout) * time.Minute}
}
