// Package seal keeps the suite's secrets unreadable at rest: what must be kept
// to be used again (signing secrets, second factors, passwords towards other
// systems) is encrypted before it reaches SQL, under a master key that lies
// outside of SQL. Whoever copies the database, or a backup of it, has none of
// them.
//
// A sealed value is text: "iw1.KEY.DATA", the master key's id and, in
// unpadded URL-safe base64, a nonce of 24 bytes and the ciphertext of
// XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03). The context it belongs to,
// such as "receiver:duty", is authenticated with it, so that a value moved to
// another row does not open there.
//
// There may be several master keys: new values are sealed with the newest, the
// others still open. Rotate makes a new one and brings every value under it;
// to be able to, the box must know all places where sealed values lie, and
// seals nothing for a kind that no Place names.
package seal

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"icewatch/soc/state"
)

// scheme begins every sealed value and names how it is made. Another cipher
// gets another scheme.
const scheme = "iw1"

var (
	// ErrNotSealed says that a value is not in the sealed form.
	ErrNotSealed = errors.New("the value is not sealed")
	// ErrKeyLost says that the key file lacks a key that values are sealed with.
	ErrKeyLost = errors.New("a master key is missing")
	// ErrAltered says that a value was changed, or moved from where it was
	// sealed for. The two cannot be told apart.
	ErrAltered = errors.New("the sealed value was altered or belongs somewhere else")
)

// Box seals and opens. It is safe for concurrent use.
type Box struct {
	db     *state.DB // nil in an ephemeral box
	file   string    // "" in an ephemeral box
	places []Place
	kinds  []string // sorted

	changing sync.Mutex // one change of the keys at a time
	mu       sync.RWMutex
	keys     []key // oldest first; never empty
}

// Open opens the box of an installation. file holds the master keys; where
// neither it nor any sealed value exists, a key is made. places are all places
// where values are sealed. What an interrupted rotation left under an older
// key, and what an older release left unsealed, is sealed now. A key that is
// missing from the file is ErrKeyLost: starting without it would lose secrets
// one by one and without a word.
func Open(ctx context.Context, db *state.DB, file string, places ...Place) (*Box, error) {
	b, err := newBox(places)
	if err != nil {
		return nil, err
	}
	b.db, b.file = db, file
	if err := db.Migrate(ctx, "seal", migrations); err != nil {
		return nil, err
	}
	known, err := b.known(ctx)
	if err != nil {
		return nil, err
	}
	if b.keys, err = readKeys(file); errors.Is(err, errNoFile) && len(known) == 0 {
		b.keys = []key{newKey(time.Now())}
		err = writeKeys(file, b.keys)
	} else if errors.Is(err, errNoFile) {
		return nil, fmt.Errorf("seal: %w: the file %s is not there, and the secrets in the state are sealed with the key %s: put the file back from its backup",
			ErrKeyLost, file, strings.Join(sortedIDs(known), ", "))
	}
	if err != nil {
		return nil, err
	}
	for _, id := range sortedIDs(known) {
		if _, ok := b.find(id); !ok {
			return nil, fmt.Errorf("seal: %w: %s does not hold the key %s, with which secrets in the state are sealed: put the file back from its backup", ErrKeyLost, file, id)
		}
	}
	if kinds, ok := known[b.current().id]; !ok || kinds != strings.Join(b.kinds, ",") {
		if err := b.reseal(ctx); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// Ephemeral makes a box whose key lives in memory only, for tests.
func Ephemeral(places ...Place) *Box {
	b, err := newBox(places)
	if err != nil {
		panic(err) // a test's own list
	}
	b.keys = []key{newKey(time.Now())}
	return b
}

func newBox(places []Place) (*Box, error) {
	b := &Box{places: places}
	for _, p := range places {
		for _, k := range p.Kinds() {
			if k == "" || strings.ContainsAny(k, ":,") {
				return nil, fmt.Errorf("seal: the kind %q: want a word without ':' and ','", k)
			}
			b.kinds = append(b.kinds, k)
		}
	}
	slices.Sort(b.kinds)
	if n := len(b.kinds); len(slices.Compact(slices.Clone(b.kinds))) != n {
		return nil, fmt.Errorf("seal: a kind is named twice among %s", strings.Join(b.kinds, ", "))
	}
	return b, nil
}

func (b *Box) current() key {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.keys[len(b.keys)-1]
}

func (b *Box) find(id string) (key, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, k := range b.keys {
		if k.id == id {
			return k, true
		}
	}
	return key{}, false
}

// Seal encrypts plaintext for one context, "KIND:ID", with the newest key. The
// result is printable ASCII.
func (b *Box) Seal(plaintext, context []byte) ([]byte, error) {
	kind, _, ok := strings.Cut(string(context), ":")
	if _, registered := slices.BinarySearch(b.kinds, kind); !ok || !registered {
		return nil, fmt.Errorf("seal: the context %q is of no registered kind (%s): a rotation of the keys would lose the value", context, strings.Join(b.kinds, ", "))
	}
	return b.current().seal(plaintext, context), nil
}

// Open decrypts what Seal made for the same context. The errors are
// ErrNotSealed, ErrKeyLost and ErrAltered; they hold no part of the secret.
func (b *Box) Open(sealed, context []byte) ([]byte, error) {
	id, data, err := split(string(sealed))
	if err != nil {
		return nil, fmt.Errorf("seal: open %q: %w", context, err)
	}
	k, ok := b.find(id)
	if !ok {
		return nil, fmt.Errorf("seal: open %q: %w: it was sealed with the key %s", context, ErrKeyLost, id)
	}
	plain, err := k.open(data, context)
	if err != nil {
		return nil, fmt.Errorf("seal: open %q: %w", context, err)
	}
	return plain, nil
}

// SealString seals text; empty text stays empty, for "there is no secret".
func (b *Box) SealString(plaintext, context string) (string, error) {
	if plaintext == "" {
		return "", nil
	}
	sealed, err := b.Seal([]byte(plaintext), []byte(context))
	return string(sealed), err
}

// OpenString opens what SealString made.
func (b *Box) OpenString(sealed, context string) (string, error) {
	if sealed == "" {
		return "", nil
	}
	plain, err := b.Open([]byte(sealed), []byte(context))
	return string(plain), err
}

// split takes a sealed value apart.
func split(sealed string) (id string, data []byte, err error) {
	s, rest, _ := strings.Cut(sealed, ".")
	id, text, ok := strings.Cut(rest, ".")
	if s != scheme || !ok {
		return "", nil, ErrNotSealed
	}
	data, err = base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(data) < chacha20poly1305.NonceSizeX+chacha20poly1305.Overhead {
		return "", nil, ErrAltered
	}
	return id, data, nil
}

// seal is the encryption under one key.
func (k key) seal(plaintext, context []byte) []byte {
	nonce := make([]byte, chacha20poly1305.NonceSizeX, chacha20poly1305.NonceSizeX+len(plaintext)+chacha20poly1305.Overhead)
	_, _ = rand.Read(nonce) // never fails since Go 1.24
	data := k.aead.Seal(nonce, nonce, plaintext, k.associated(context))
	out := []byte(scheme + "." + k.id + ".")
	return base64.RawURLEncoding.AppendEncode(out, data)
}

func (k key) open(data, context []byte) ([]byte, error) {
	nonce, text := data[:chacha20poly1305.NonceSizeX], data[chacha20poly1305.NonceSizeX:]
	plain, err := k.aead.Open(nil, nonce, text, k.associated(context))
	if err != nil {
		return nil, ErrAltered
	}
	return plain, nil
}

// associated is what is authenticated beside the secret: scheme and key as
// well, so that no value can be passed off as one of another.
func (k key) associated(context []byte) []byte {
	return append([]byte(scheme+"\x00"+k.id+"\x00"), context...)
}
