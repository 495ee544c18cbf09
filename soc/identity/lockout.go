package identity

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/state"
)

// maxKeys bounds what is remembered of failures.
const maxKeys = 50_000

// held is until when an account is locked that only an administrator unlocks.
const held = 100 * 365 * 24 * time.Hour

// The kinds of what failures count against.
const (
	lockPair    = "pair"    // an account from one network: a guesser
	lockAddress = "address" // a network: a guesser who tries many names
	lockAccount = "account" // an account from everywhere: guessers who share the work
	lockDevice  = "device"  // a known device: its own user's mistakes, or a thief's
	lockOwn     = "own"     // the current password, asked of somebody who is signed in
	lockFactor  = "factor"  // codes of a second factor, whose first was right
	lockHeld    = "held"    // an account locked until an administrator unlocks it
	lockFlood   = "flood"   // everything from everybody
)

// failures is what is known of one key.
type failures struct {
	count  int
	locked time.Time // until then
	last   time.Time
}

// lockout counts failures. In memory it answers at once; the service writes
// what changed to SQL each second. It is bounded: when it is full, what is
// about to be forgotten goes first.
type lockout struct {
	policy func() SignInPolicy
	now    func() time.Time

	mu      sync.Mutex
	keys    map[string]*failures
	changed map[string]struct{} // keys whose row in SQL is out of date
	locks   uint64              // that ever began
}

func newLockout(policy func() SignInPolicy, now func() time.Time) *lockout {
	return &lockout{policy: policy, now: now, keys: map[string]*failures{}, changed: map[string]struct{}{}}
}

// who is a sign-in as the lock-out sees it.
type who struct {
	account string // folded user name
	address string
	device  string // id of the known device of this very account; "" for a stranger
}

// limit is one key with its patience.
type limit struct {
	kind    string
	key     string
	most    int
	longest time.Duration
	leaks   time.Duration // failures spread over this time do not add up; 0 where they do
	captcha int           // failures after which a CAPTCHA is asked for; 0 is never
}

// limitsOf lists the keys that a sign-in counts against. One from a known
// device counts against that device alone: what strangers do to the account,
// or from the same network, is not its user's fault, and must not keep him out.
func (l *lockout) limitsOf(w who) []limit {
	p := l.policy()
	longest, forget := time.Duration(p.LongestLock)*time.Second, time.Duration(p.Forget)*time.Second
	if w.device != "" {
		return []limit{{lockDevice, lockDevice + "|" + w.device + "|" + w.account, p.Tries, longest, 0, p.CaptchaAfter}}
	}
	net := network(w.address)
	ls := []limit{
		{lockPair, lockPair + "|" + w.account + "|" + net, p.Tries, longest, 0, p.CaptchaAfter},
		{lockAccount, lockAccount + "|" + w.account, p.AccountTries, time.Duration(p.AccountLock) * time.Second, forget, 0},
	}
	if net != "" {
		ls = append(ls, limit{lockAddress, lockAddress + "|" + net, p.AddressTries, longest, forget, 4 * p.CaptchaAfter})
	}
	if p.CaptchaFlood > 0 {
		// It never locks: an attack from everywhere would lock out everybody.
		ls = append(ls, limit{lockFlood, lockFlood, 0, 0, time.Minute, p.CaptchaFlood})
	}
	return ls
}

// own is the limit of guesses at the current password by somebody signed in.
func (l *lockout) own(account string) []limit {
	p := l.policy()
	return []limit{{lockOwn, lockOwn + "|" + account, p.Tries, time.Duration(p.LongestLock) * time.Second, 0, 0}}
}

// factor is the limit of wrong codes, whose password was right: with strangers
// from everywhere together, since a code has only six digits.
func (l *lockout) factor(w who) []limit {
	p := l.policy()
	return []limit{{lockFactor, lockFactor + "|" + w.device + "|" + w.account, p.Tries, time.Duration(p.LongestLock) * time.Second, 0, 0}}
}

// network is what an attacker cannot change at will: the address in IPv4, the
// /64 in IPv6.
func network(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}

// check returns a *LockedError where the attempt must not even be tried.
func (l *lockout) check(account string, limits []limit) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	var after time.Duration
	if f := l.keys[lockHeld+"|"+account]; f != nil && now.Before(f.locked) {
		return &LockedError{Held: true, After: f.locked.Sub(now)}
	}
	for _, lim := range limits {
		if f := l.keys[lim.key]; f != nil && now.Before(f.locked) {
			after = max(after, f.locked.Sub(now))
		}
	}
	if after > 0 {
		return &LockedError{After: after}
	}
	return nil
}

// suspects tells whether a CAPTCHA must be answered before the password is
// looked at.
func (l *lockout) suspects(limits []limit) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	return slices.ContainsFunc(limits, func(lim limit) bool {
		f := l.keys[lim.key]
		return lim.captcha > 0 && f != nil && l.leaked(f, lim, now) >= lim.captcha
	})
}

// leaked is how many failures still count: one leaks away in as long as the
// limit's time allows for each.
func (l *lockout) leaked(f *failures, lim limit, now time.Time) int {
	if now.Sub(later(f.last, f.locked)) > time.Duration(l.policy().Forget)*time.Second {
		return 0
	}
	if most := max(lim.most, lim.captcha); lim.leaks > 0 && most > 0 {
		return max(0, f.count-int(now.Sub(f.last)/(lim.leaks/time.Duration(most))))
	}
	return f.count
}

// fail counts a failed attempt against the limits and returns the kinds that
// were locked by it.
func (l *lockout) fail(limits []limit) (locked []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	first := time.Duration(l.policy().FirstLock) * time.Second
	for _, lim := range limits {
		f := l.keys[lim.key]
		if f == nil {
			if len(l.keys) >= maxKeys {
				l.makeRoom(now)
			}
			f = &failures{}
			l.keys[lim.key] = f
		}
		f.count = l.leaked(f, lim, now) + 1
		f.last = now
		if over := f.count - lim.most; over >= 0 && lim.most > 0 {
			f.locked = now.Add(min(first<<min(over, 10), lim.longest))
			locked = append(locked, lim.kind)
			l.locks++
		}
		if lim.kind != lockFlood { // of no meaning after a restart
			l.changed[lim.key] = struct{}{}
		}
	}
	return locked
}

// succeed forgives the account from this address, or the device. The address
// and the account at large keep their count: one right password among many
// wrong ones is no absolution.
func (l *lockout) succeed(limits []limit) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, lim := range limits {
		if lim.leaks == 0 {
			l.drop(lim.key)
		}
	}
}

func (l *lockout) drop(key string) bool {
	_, found := l.keys[key]
	if found {
		delete(l.keys, key)
		l.changed[key] = struct{}{}
	}
	return found
}

// hold locks an account until it is unlocked.
func (l *lockout) hold(account string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	key := lockHeld + "|" + account
	l.keys[key] = &failures{count: 1, last: now, locked: now.Add(held)}
	l.changed[key] = struct{}{}
	l.locks++
}

// unlock forgets everything that keeps an account out.
func (l *lockout) unlock(account string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key := range l.keys {
		if lock := describe(key); lock.Account == account {
			l.drop(key)
		}
	}
}

// makeRoom drops what is over, or else a tenth of what is not locked.
func (l *lockout) makeRoom(now time.Time) {
	forget := time.Duration(l.policy().Forget) * time.Second
	for k, f := range l.keys {
		if now.Sub(later(f.last, f.locked)) > forget {
			l.drop(k)
		}
	}
	excess := len(l.keys) - maxKeys*9/10
	for k, f := range l.keys {
		if excess <= 0 {
			return
		}
		if !now.Before(f.locked) {
			l.drop(k)
			excess--
		}
	}
	for k := range l.keys { // all locked: an attack from everywhere
		if len(l.keys) < maxKeys {
			return
		}
		if !strings.HasPrefix(k, lockHeld+"|") {
			l.drop(k)
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Lock is what failed sign-ins count against, or an account that is locked.
type Lock struct {
	ID          string     `json:"id"`
	Kind        string     `json:"kind" enum:"pair,address,account,device,own,factor,held"`
	Account     string     `json:"account,omitempty"`
	Network     string     `json:"network,omitempty"` // an address, or the /64 of IPv6
	DeviceID    string     `json:"device_id,omitempty"`
	Failures    int        `json:"failures"`
	LastAt      time.Time  `json:"last_at"`
	LockedUntil *time.Time `json:"locked_until,omitempty"` // unset where it only counts so far
}

// describe takes a key apart.
func describe(key string) Lock {
	kind, rest, _ := strings.Cut(key, "|")
	lock := Lock{ID: base64.RawURLEncoding.EncodeToString([]byte(key)), Kind: kind}
	switch kind {
	case lockPair:
		// A user name holds whatever a stranger typed; an address has no bar.
		if i := strings.LastIndexByte(rest, '|'); i >= 0 {
			lock.Account, lock.Network = rest[:i], rest[i+1:]
		}
	case lockDevice, lockFactor:
		lock.DeviceID, lock.Account, _ = strings.Cut(rest, "|")
	case lockAddress:
		lock.Network = rest
	default:
		lock.Account = rest
	}
	return lock
}

// list returns what is locked at the moment, the latest first.
func (l *lockout) list() []Lock {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	var out []Lock
	for key, f := range l.keys {
		if !now.Before(f.locked) {
			continue
		}
		lock := describe(key)
		until := f.locked.UTC()
		lock.Failures, lock.LastAt, lock.LockedUntil = f.count, f.last.UTC(), &until
		out = append(out, lock)
	}
	slices.SortFunc(out, func(a, b Lock) int {
		if c := b.LastAt.Compare(a.LastAt); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out
}

// load reads what was known before the restart.
func (l *lockout) load(ctx context.Context, db *state.DB) error {
	rows, err := db.Read.QueryContext(ctx, "SELECT key, count, last_at, locked_until FROM identity_failures ORDER BY last_at DESC LIMIT ?", maxKeys)
	if err != nil {
		return fmt.Errorf("identity: read the failed sign-ins: %w", err)
	}
	defer rows.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	for rows.Next() {
		var key string
		var f failures
		var last, locked int64
		if err := rows.Scan(&key, &f.count, &last, &locked); err != nil {
			return fmt.Errorf("identity: read the failed sign-ins: %w", err)
		}
		f.last, f.locked = fromMilli(last), fromMilli(locked)
		l.keys[key] = &f
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("identity: read the failed sign-ins: %w", err)
	}
	return nil
}

// save writes what changed since the last time, and removes what is forgotten.
func (l *lockout) save(ctx context.Context, db *state.DB) error {
	type row struct {
		key                 string
		count, last, locked int64
		gone                bool
	}
	l.mu.Lock()
	now, forget := l.now(), time.Duration(l.policy().Forget)*time.Second
	for key, f := range l.keys {
		if now.Sub(later(f.last, f.locked)) > forget {
			l.drop(key)
		}
	}
	rows := make([]row, 0, len(l.changed))
	for key := range l.changed {
		r := row{key: key, gone: true}
		if f := l.keys[key]; f != nil {
			r = row{key: key, count: int64(f.count), last: f.last.UnixMilli(), locked: f.locked.UnixMilli()}
		}
		rows = append(rows, r)
	}
	clear(l.changed)
	l.mu.Unlock()
	if len(rows) == 0 {
		return nil
	}
	err := db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		for _, r := range rows {
			var err error
			if r.gone {
				_, err = tx.ExecContext(ctx, "DELETE FROM identity_failures WHERE key = ?", r.key)
			} else {
				_, err = tx.ExecContext(ctx, `INSERT INTO identity_failures (key, count, last_at, locked_until) VALUES (?, ?, ?, ?)
					ON CONFLICT (key) DO UPDATE SET count = excluded.count, last_at = excluded.last_at, locked_until = excluded.locked_until`,
					r.key, r.count, r.last, r.locked)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		l.mu.Lock()
		for _, r := range rows { // the next time, then
			l.changed[r.key] = struct{}{}
		}
		l.mu.Unlock()
		return fmt.Errorf("identity: note %d failed sign-ins: %w", len(rows), err)
	}
	return nil
}

// Locks lists what is locked at the moment: accounts, networks, both together,
// and devices.
func (s *Service) Locks() []Lock { return s.locks.list() }

// RemoveLock ends one lock by its id.
func (s *Service) RemoveLock(ctx context.Context, id string) (Lock, error) {
	key, err := base64.RawURLEncoding.DecodeString(id)
	if err != nil {
		return Lock{}, ErrNotFound
	}
	s.locks.mu.Lock()
	found := s.locks.drop(string(key))
	s.locks.mu.Unlock()
	if !found {
		return Lock{}, ErrNotFound
	}
	return describe(string(key)), s.locks.save(ctx, s.db)
}

// Unlock lets a user in again: it forgets every failure on the account.
func (s *Service) Unlock(ctx context.Context, userID string) (User, error) {
	u, err := s.User(ctx, userID)
	if err != nil {
		return User{}, err
	}
	s.locks.unlock(u.Username)
	return u, s.locks.save(ctx, s.db)
}

// Figures are the room's counters.
type Figures struct {
	Hashes   uint64        // passwords hashed, good or bad
	HashTime time.Duration // that took in all
	Locks    uint64        // that ever began
	Locked   int           // at the moment
}

// Figures counts what signing in costs, and what it kept out.
func (s *Service) Figures() Figures {
	var f Figures
	f.Hashes, f.HashTime = s.hasher.Count()
	now := s.now()
	s.locks.mu.Lock()
	defer s.locks.mu.Unlock()
	f.Locks = s.locks.locks
	for _, x := range s.locks.keys {
		if now.Before(x.locked) {
			f.Locked++
		}
	}
	return f
}
