package identity

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

const (
	// minPassword is the least length of a new password in characters.
	minPassword = 12
	// maxPassword bounds a password in bytes: hashing costs by length too.
	maxPassword = 512
	// maxWaiting is how many sign-ins may wait for the hasher; the next one is
	// sent away, so that a storm ends in refusals and not in a queue of hours.
	maxWaiting = 64
)

// hashParams are argon2id's. The defaults are OWASP's for 19 MiB.
type hashParams struct {
	memory  uint32 // KiB
	passes  uint32
	threads uint8
}

var defaultParams = hashParams{memory: 19 << 10, passes: 2, threads: 1}

// hasher hashes passwords, two at a time: that bounds the memory of any number
// of sign-ins to twice that of one.
type hasher struct {
	params  hashParams
	slots   chan struct{}
	waiting atomic.Int32
	dummy   string // verified in place of the hash of a user who does not exist
}

func newHasher(p hashParams) *hasher {
	h := &hasher{params: p, slots: make(chan struct{}, 2)}
	h.dummy = h.encode(generatePassword())
	return h
}

// enter waits for one of the slots.
func (h *hasher) enter(ctx context.Context) (leave func(), err error) {
	if h.waiting.Add(1) > maxWaiting {
		h.waiting.Add(-1)
		return nil, ErrBusy
	}
	defer h.waiting.Add(-1)
	select {
	case h.slots <- struct{}{}:
		return func() { <-h.slots }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("identity: wait to hash a password: %w", ctx.Err())
	}
}

// hash returns the PHC string of a password.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	leave, err := h.enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	return h.encode(password), nil
}

func (h *hasher) encode(password string) string {
	salt := make([]byte, 16)
	_, _ = rand.Read(salt)
	p := h.params
	key := argon2.IDKey([]byte(password), salt, p.passes, p.memory, p.threads, 32)
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.memory, p.passes, p.threads, b64(salt), b64(key))
}

// verify tells whether the password belongs to the hash. still is asked once
// more when the turn has come: what was allowed when the queue was entered may
// be locked by now.
func (h *hasher) verify(ctx context.Context, password, encoded string, still func() error) (bool, error) {
	leave, err := h.enter(ctx)
	if err != nil {
		return false, err
	}
	defer leave()
	if still != nil {
		if err := still(); err != nil {
			return false, err
		}
	}
	p, salt, key, err := parseHash(encoded)
	if err != nil {
		return false, err
	}
	got := argon2.IDKey([]byte(password), salt, p.passes, p.memory, p.threads, uint32(len(key)))
	return subtle.ConstantTimeCompare(got, key) == 1, nil
}

// parseHash reads a PHC string of argon2id. It refuses parameters that would
// take more memory or time than any we write, lest a changed row stop the
// server.
func parseHash(encoded string) (p hashParams, salt, key []byte, err error) {
	bad := func(why string) (hashParams, []byte, []byte, error) {
		return hashParams{}, nil, nil, errors.New("identity: the stored password hash is not valid: " + why)
	}
	parts := strings.Split(encoded, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return bad("not argon2id")
	}
	if parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return bad("version " + strconv.Quote(parts[2]))
	}
	var threads uint32
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.memory, &p.passes, &threads); err != nil || n != 3 {
		return bad("parameters")
	}
	if p.memory < 8 || p.memory > 256<<10 || p.passes < 1 || p.passes > 16 || threads < 1 || threads > 16 {
		return bad("parameters out of bounds")
	}
	p.threads = uint8(threads)
	if salt, err = base64.RawStdEncoding.DecodeString(parts[4]); err != nil || len(salt) < 8 {
		return bad("salt")
	}
	if key, err = base64.RawStdEncoding.DecodeString(parts[5]); err != nil || len(key) < 16 {
		return bad("key")
	}
	return p, salt, key, nil
}

// common are passwords of twelve and more characters that lists of leaked
// passwords hold at their top; shorter ones are refused for their length.
var common = func() map[string]struct{} {
	m := map[string]struct{}{}
	for _, w := range strings.Fields(`
		password1234 password12345 password123456 passw0rd1234 p@ssw0rd1234 p@ssword1234 password@123 password@1234
		administrator administrator1 administrator123 admin1234567 admin12345678 admin123456789 admin@123456 adminadmin123
		adminadminadmin qwertyuiop12 qwertyuiop123 qwertyuiop1234 qwerty123456 qwerty1234567 qwerty12345678 qwer1234asdf
		1qaz2wsx3edc 1qaz2wsx3edc4rfv 1q2w3e4r5t6y 1q2w3e4r5t6y7u 1q2w3e4r5t6y7u8i zaq12wsxcde3 zxcvbnm12345 asdfghjkl123
		abc123456789 abcd12345678 a123456789012 aa1234567890 woaini1314520 woaini520520 iloveyou1234 iloveyou12345
		letmein12345 welcome12345 welcome123456 changeme1234 changeme123456 changemenow1 superman1234 football1234
		baseball1234 sunshine1234 princess1234 trustno1trustno1 icewatch1234 icewatchadmin icewatch12345 huawei@123456
		root12345678 root123456789 test12345678 test123456789 guest1234567 default12345 system123456 manager12345
		server123456 oracle123456 mysql1234567 postgres1234 tomcat123456 sysadmin1234 superuser123 superadmin123`) {
		m[w] = struct{}{}
	}
	return m
}()

// checkPassword holds a new password against the policy: length, not one that
// everybody tries, not the user's own name.
func checkPassword(password, username string) error {
	switch n := utf8.RuneCountInString(password); {
	case !utf8.ValidString(password):
		return &PolicyError{"is not valid UTF-8"}
	case n < minPassword:
		return &PolicyError{fmt.Sprintf("has %d characters and needs at least %d", n, minPassword)}
	case len(password) > maxPassword:
		return &PolicyError{fmt.Sprintf("is longer than %d bytes", maxPassword)}
	}
	lower := strings.ToLower(password)
	if _, found := common[lower]; found {
		return &PolicyError{"is one of those that are tried first"}
	}
	if len(username) >= 3 && strings.Contains(lower, strings.ToLower(username)) && utf8.RuneCountInString(password)-utf8.RuneCountInString(username) < minPassword {
		return &PolicyError{"consists of the user name and little more"}
	}
	distinct := map[rune]struct{}{}
	steps := map[rune]int{}
	var last rune
	for i, r := range lower {
		if unicode.IsControl(r) {
			return &PolicyError{"holds control characters"}
		}
		distinct[r] = struct{}{}
		if i > 0 {
			steps[r-last]++
		}
		last = r
	}
	if len(distinct) < 5 {
		return &PolicyError{"repeats a few characters only"}
	}
	// 123456789012 and abcdefghijkl walk in equal steps.
	if n := utf8.RuneCountInString(lower) - 1; steps[1] >= n-2 || steps[-1] >= n-2 {
		return &PolicyError{"is a mere sequence"}
	}
	return nil
}
