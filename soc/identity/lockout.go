package identity

import (
	"net/netip"
	"sync"
	"time"
)

// The back-off. Failures count by three keys, each with its own patience: the
// account from one address (a guesser), the address alone (a guesser who tries
// many names), and the account from anywhere (guessers who share the work).
// The last is the most patient and locks the shortest, since with it a
// stranger can keep the right user out.
const (
	maxPair    = 10
	maxAddress = 40
	maxAccount = 100

	firstLock      = 30 * time.Second // doubled by each further failure
	longestLock    = 15 * time.Minute
	longestAccount = time.Minute
	forget         = 15 * time.Minute // without a failure, after the lock is over

	maxKeys = 50_000
)

// failures is what is known of one key.
type failures struct {
	count  int
	locked time.Time // until then
	last   time.Time
}

// lockout counts failures. It is bounded: when it is full, what is about to be
// forgotten goes first.
type lockout struct {
	mu   sync.Mutex
	keys map[string]*failures
	now  func() time.Time
}

func newLockout(now func() time.Time) *lockout {
	return &lockout{keys: map[string]*failures{}, now: now}
}

// limit is one key with its patience.
type limit struct {
	key     string
	most    int
	longest time.Duration
	leaks   bool // failures spread over a long time do not add up
}

// limitsOf lists the keys that an attempt counts against.
func limitsOf(account, address string) []limit {
	address = network(address)
	ls := []limit{
		{"p|" + account + "|" + address, maxPair, longestLock, false},
		{"u|" + account, maxAccount, longestAccount, true},
	}
	if address != "" {
		ls = append(ls, limit{"a|" + address, maxAddress, longestLock, true})
	}
	return ls
}

// network is what an attacker cannot change at will: the address in IPv4, the
// /64 in IPv6.
func network(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	a = a.Unmap()
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}

// check returns a *LockedError where the attempt must not even be tried.
func (l *lockout) check(account, address string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	var after time.Duration
	for _, lim := range limitsOf(account, address) {
		if f := l.keys[lim.key]; f != nil && now.Before(f.locked) {
			after = max(after, f.locked.Sub(now))
		}
	}
	if after > 0 {
		return &LockedError{After: after}
	}
	return nil
}

// fail counts a failed attempt.
func (l *lockout) fail(account, address string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	for _, lim := range limitsOf(account, address) {
		f := l.keys[lim.key]
		if f == nil || now.Sub(later(f.last, f.locked)) > forget {
			if f == nil && len(l.keys) >= maxKeys {
				l.makeRoom(now)
			}
			f = &failures{}
			l.keys[lim.key] = f
		}
		if lim.leaks {
			f.count = max(0, f.count-int(now.Sub(f.last)/(forget/time.Duration(lim.most))))
		}
		f.count++
		f.last = now
		if over := f.count - lim.most; over >= 0 {
			lock := firstLock << min(over, 10)
			f.locked = now.Add(min(lock, lim.longest))
		}
	}
}

// succeed forgives the account from this address. The address and the account
// at large keep their count: one right password among many wrong ones is no
// absolution.
func (l *lockout) succeed(account, address string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.keys, limitsOf(account, address)[0].key)
}

// makeRoom drops what is over, or else a tenth of what is not locked.
func (l *lockout) makeRoom(now time.Time) {
	for k, f := range l.keys {
		if now.Sub(later(f.last, f.locked)) > forget {
			delete(l.keys, k)
		}
	}
	drop := len(l.keys) - maxKeys*9/10
	for k, f := range l.keys {
		if drop <= 0 {
			return
		}
		if !now.Before(f.locked) {
			delete(l.keys, k)
			drop--
		}
	}
	for k := range l.keys { // all locked: an attack from everywhere
		if len(l.keys) < maxKeys {
			return
		}
		delete(l.keys, k)
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
