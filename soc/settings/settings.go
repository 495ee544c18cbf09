// Package settings keeps what administrators decide while the suite runs: the
// password policy, the limits of sessions, whether the three powers are apart.
// Each setting is one JSON document of a Go type with a default and a check of
// its own; every change is kept, so that the one before can be put back. What
// must be known before the state is open belongs to soc/config instead.
package settings

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/state"
)

//go:embed migrations/*.sql
var migrations embed.FS

var (
	// ErrInvalid says that a document is not one the setting can hold; the
	// error that wraps it says why.
	ErrInvalid = errors.New("the setting is not valid")
	// ErrNotFound says that there is no setting of the name.
	ErrNotFound = errors.New("there is no such setting")
)

// Store holds all settings. It is safe for concurrent use.
type Store struct {
	db  *state.DB
	now func() time.Time

	mu   sync.Mutex
	docs map[string]document
}

// document is a Setting without its type.
type document interface {
	view() View
	decode(doc []byte) (apply func(), err error)
}

// View is a setting as it is shown.
type View struct {
	Name    string          `json:"name"`
	Scope   string          `json:"scope"` // who may change it: a scope of soc/identity
	Value   json.RawMessage `json:"value"`
	Default json.RawMessage `json:"default"`
}

// Version is one change of a setting.
type Version struct {
	Seq   int64           `json:"seq"`
	At    time.Time       `json:"at"`
	By    string          `json:"by"`
	Value json.RawMessage `json:"value"`
}

// Open prepares the table. Declare the settings next.
func Open(ctx context.Context, db *state.DB) (*Store, error) {
	if err := db.Migrate(ctx, "settings", migrations); err != nil {
		return nil, err
	}
	return &Store{db: db, now: time.Now, docs: map[string]document{}}, nil
}

// Setting is one document in force. Get costs one atomic load.
type Setting[T any] struct {
	name, scope string
	def         T
	check       func(T) error
	store       *Store
	value       atomic.Pointer[T]
	changed     []func(T)
}

// Declare adds a setting and loads its value. scope names who may change it
// over the API; one without a scope is not offered there. check, which may be nil, says what is wrong with a value. A
// stored document that no longer passes (an older release wrote it) is an
// error: a security policy is not replaced by a default without a word.
// onChange is called, with the store locked, after each change.
func Declare[T any](ctx context.Context, s *Store, name, scope string, def T, check func(T) error, onChange ...func(T)) (*Setting[T], error) {
	v := &Setting[T]{name: name, scope: scope, def: def, check: check, store: s, changed: onChange}
	v.value.Store(&def)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, twice := s.docs[name]; twice {
		return nil, fmt.Errorf("settings: %s is declared twice", name)
	}
	versions, err := s.read(ctx, name, 1)
	if err != nil {
		return nil, err
	}
	if len(versions) > 0 {
		apply, err := v.decode(versions[0].Value)
		if err != nil {
			return nil, fmt.Errorf("settings: the stored %s: %w", name, err)
		}
		apply()
	}
	s.docs[name] = v
	return v, nil
}

// Get returns the value in force. It is shared: do not change what it refers to.
func (v *Setting[T]) Get() T { return *v.value.Load() }

// Set makes the value durable, then puts it in force.
func (v *Setting[T]) Set(ctx context.Context, value T, by string) error {
	doc, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("settings: encode %s: %w", v.name, err)
	}
	return v.store.Set(ctx, v.name, doc, by)
}

func (v *Setting[T]) view() View {
	value, _ := json.Marshal(v.Get())
	def, _ := json.Marshal(v.def)
	return View{Name: v.name, Scope: v.scope, Value: value, Default: def}
}

func (v *Setting[T]) decode(doc []byte) (func(), error) {
	// What a document leaves out stays the default. It is copied by way of
	// JSON, so that no value shares a list or map with it.
	var value T
	def, err := json.Marshal(v.def)
	if err == nil {
		err = json.Unmarshal(def, &value)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: copy the default: %w", v.name, err)
	}
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&value); err != nil {
		return nil, fmt.Errorf("%s: %w: %s", v.name, ErrInvalid, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %w: there is more than one document", v.name, ErrInvalid)
	}
	if v.check != nil {
		if err := v.check(value); err != nil {
			return nil, fmt.Errorf("%s: %w: %s", v.name, ErrInvalid, err)
		}
	}
	return func() {
		v.value.Store(&value)
		for _, f := range v.changed {
			f(value)
		}
	}, nil
}

// List returns all settings by name.
func (s *Store) List() []View {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]View, 0, len(s.docs))
	for _, d := range s.docs {
		out = append(out, d.view())
	}
	slices.SortFunc(out, func(a, b View) int { return bytes.Compare([]byte(a.Name), []byte(b.Name)) })
	return out
}

// Get returns one setting.
func (s *Store) Get(name string) (View, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, ok := s.docs[name]
	if !ok {
		return View{}, fmt.Errorf("%q: %w", name, ErrNotFound)
	}
	return d.view(), nil
}

// Set checks the document, makes it durable and puts it in force.
func (s *Store) Set(ctx context.Context, name string, doc []byte, by string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, ok := s.docs[name]
	if !ok {
		return fmt.Errorf("%q: %w", name, ErrNotFound)
	}
	apply, err := d.decode(doc)
	if err != nil {
		return err
	}
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO settings (name, at, by, doc) VALUES (?, ?, ?, ?)", name, s.now().UnixMilli(), by, string(doc))
		return err
	})
	if err != nil {
		return fmt.Errorf("settings: keep %s: %w", name, err)
	}
	apply()
	return nil
}

// History returns the changes of a setting, newest first, at most limit.
func (s *Store) History(ctx context.Context, name string, limit int) ([]Version, error) {
	if _, err := s.Get(name); err != nil {
		return nil, err
	}
	return s.read(ctx, name, limit)
}

func (s *Store) read(ctx context.Context, name string, limit int) ([]Version, error) {
	rows, err := s.db.QueryContext(ctx, "SELECT seq, at, by, doc FROM settings WHERE name = ? ORDER BY seq DESC LIMIT ?", name, limit)
	if err != nil {
		return nil, fmt.Errorf("settings: read %s: %w", name, err)
	}
	defer rows.Close()
	out := []Version{}
	for rows.Next() {
		var v Version
		var at int64
		var doc string
		if err := rows.Scan(&v.Seq, &at, &v.By, &doc); err != nil {
			return nil, fmt.Errorf("settings: read %s: %w", name, err)
		}
		v.At, v.Value = time.UnixMilli(at).UTC(), json.RawMessage(doc)
		out = append(out, v)
	}
	return out, rows.Err()
}
