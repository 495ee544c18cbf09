package password

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/argon2"
)

// ErrBusy says that more passwords wait to be checked than may; the client
// should come again shortly.
var ErrBusy = errors.New("identity: too many sign-ins at once")

// maxWaiting is how many may wait in each lane; the next one is sent away, so
// that a storm ends in refusals and not in a queue of hours.
const maxWaiting = 64

// Params are argon2id's (RFC 9106).
type Params struct {
	Memory  uint32 // KiB
	Passes  uint32
	Threads uint8
}

// DefaultParams are OWASP's for 19 MiB.
var DefaultParams = Params{Memory: 19 << 10, Passes: 2, Threads: 1}

// Lane is the queue in which a password waits to be hashed.
type Lane int

// The lanes. Each hashes one password at a time, so that any number of
// sign-ins takes the memory and the processors of two, and strangers in any
// number do not keep those waiting who are known: they have a lane to
// themselves.
const (
	Strangers Lane = iota // anybody who tries to sign in
	Known                 // from a device the user has signed in with before, or signed in already
	lanes
)

// Hasher hashes passwords. It is safe for concurrent use.
type Hasher struct {
	params  Params
	dummy   string // verified in place of the hash of a user who does not exist
	slots   [lanes]chan struct{}
	waiting [lanes]atomic.Int32
	count   atomic.Uint64
	spent   atomic.Int64 // nanoseconds
}

// NewHasher makes one that writes hashes with the parameters.
func NewHasher(p Params) *Hasher {
	h := &Hasher{params: p}
	for i := range h.slots {
		h.slots[i] = make(chan struct{}, 1)
	}
	b := make([]byte, 20)
	_, _ = rand.Read(b) // never fails since Go 1.24
	h.dummy = h.encode(hex.EncodeToString(b))
	return h
}

// Count returns how many passwords were hashed, and how long that took in all.
func (h *Hasher) Count() (uint64, time.Duration) {
	return h.count.Load(), time.Duration(h.spent.Load())
}

// Dummy is the hash of a password that nobody has, to be verified where there
// is no user: finding none must take as long.
func (h *Hasher) Dummy() string { return h.dummy }

// enter waits for the lane.
func (h *Hasher) enter(ctx context.Context, lane Lane) (leave func(), err error) {
	defer h.waiting[lane].Add(-1)
	if h.waiting[lane].Add(1) > maxWaiting {
		return nil, ErrBusy
	}
	select {
	case h.slots[lane] <- struct{}{}:
		return func() { <-h.slots[lane] }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("identity: wait to hash a password: %w", ctx.Err())
	}
}

// Hash returns the PHC string of a new password.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	leave, err := h.enter(ctx, Known)
	if err != nil {
		return "", err
	}
	defer leave()
	return h.encode(password), nil
}

func (h *Hasher) key(password string, salt []byte, p Params, size uint32) []byte {
	start := time.Now()
	defer func() {
		h.count.Add(1)
		h.spent.Add(int64(time.Since(start)))
	}()
	return argon2.IDKey([]byte(password), salt, p.Passes, p.Memory, p.Threads, size)
}

func (h *Hasher) encode(password string) string {
	salt := make([]byte, 16)
	_, _ = rand.Read(salt)
	p := h.params
	key := h.key(password, salt, p, 32)
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.Memory, p.Passes, p.Threads, b64(salt), b64(key))
}

// Verify tells whether the password belongs to the hash. still, which may be
// nil, is asked once more when the turn has come: what was allowed when the
// queue was entered may be locked by now.
func (h *Hasher) Verify(ctx context.Context, lane Lane, password, encoded string, still func() error) (bool, error) {
	leave, err := h.enter(ctx, lane)
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
	got := h.key(password, salt, p, uint32(len(key)))
	return subtle.ConstantTimeCompare(got, key) == 1, nil
}

// Stale tells whether a hash was written with other parameters than new ones
// are; it should be written again when its password is at hand.
func (h *Hasher) Stale(encoded string) bool {
	p, _, _, err := parseHash(encoded)
	return err == nil && p != h.params
}

// IsHash tells whether there is a password at all: users of a directory have
// none here.
func IsHash(encoded string) bool { return strings.HasPrefix(encoded, "$argon2id$") }

// parseHash reads a PHC string of argon2id. It refuses parameters that would
// take more memory or time than any we write, lest a changed row stop the
// server.
func parseHash(encoded string) (p Params, salt, key []byte, err error) {
	bad := func(why string) (Params, []byte, []byte, error) {
		return Params{}, nil, nil, errors.New("identity: the stored password hash is not valid: " + why)
	}
	parts := strings.Split(encoded, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return bad("not argon2id")
	}
	if parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return bad("version " + strconv.Quote(parts[2]))
	}
	var threads uint32
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.Memory, &p.Passes, &threads); err != nil || n != 3 {
		return bad("parameters")
	}
	if p.Memory < 8 || p.Memory > 256<<10 || p.Passes < 1 || p.Passes > 16 || threads < 1 || threads > 16 {
		return bad("parameters out of bounds")
	}
	p.Threads = uint8(threads)
	if salt, err = base64.RawStdEncoding.DecodeString(parts[4]); err != nil || len(salt) < 8 {
		return bad("salt")
	}
	if key, err = base64.RawStdEncoding.DecodeString(parts[5]); err != nil || len(key) < 16 || len(key) > 64 {
		return bad("key")
	}
	return p, salt, key, nil
}
