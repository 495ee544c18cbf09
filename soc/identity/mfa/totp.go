// Package mfa holds the second factors as such: time-based one-time codes
// (RFC 6238), WebAuthn keys, recovery codes, and the ceremonies that are open
// between two requests. Whose they are, and where they are kept, is soc/identity's.
package mfa

import (
	"crypto/subtle"
	"fmt"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"
)

const (
	// period is how long a code lasts, in seconds.
	period = 30
	// skew is how many steps before and after the present one are taken, for
	// clocks that differ.
	skew = 1
	// codeDigits is how many digits a code has.
	codeDigits = otp.DigitsSix
)

// NewTOTP makes a secret for an authenticator app, in base32, and the
// otpauth:// address that the app reads from a QR code.
func NewTOTP(issuer, account string) (secret, uri string, err error) {
	key, err := totp.Generate(totp.GenerateOpts{Issuer: issuer, AccountName: account, Period: period, Digits: codeDigits, SecretSize: 20})
	if err != nil {
		return "", "", fmt.Errorf("mfa: make a TOTP secret for %q: %w", account, err)
	}
	return key.Secret(), key.URL(), nil
}

// VerifyTOTP tells which time step a code is of, and whether it is the code of
// one at or about the time given and behind the step that was last taken: a
// code that somebody looked over the shoulder is of no use.
func VerifyTOTP(secret, code string, now time.Time, last int64) (step int64, ok bool, err error) {
	present := now.Unix() / period
	for s := present - skew; s <= present+skew; s++ {
		want, err := hotp.GenerateCodeCustom(secret, uint64(s), hotp.ValidateOpts{Digits: codeDigits, Algorithm: otp.AlgorithmSHA1})
		if err != nil {
			return 0, false, fmt.Errorf("mfa: the stored TOTP secret: %w", err)
		}
		if subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 && s > last {
			step, ok = s, true
		}
	}
	return step, ok, nil
}
