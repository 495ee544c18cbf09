// Package saved keeps what people keep of their searches: searches under a
// name, shared or not; the log groups that cut the lake into parts people know,
// and that may confine who searches it; each user's history, and the fields he
// follows. It keeps texts and decides who may see them; it never searches.
package saved

import (
	"context"
	"crypto/rand"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"icewatch/soc/state"
)

//go:embed migrations/*.sql
var migrations embed.FS

var (
	// ErrNotFound says that there is no such thing, or that it is not the
	// asker's to see.
	ErrNotFound = errors.New("there is no such thing, or it is not yours to see")
	// ErrInvalid says that a thing cannot be kept like this; the error that
	// wraps it says why.
	ErrInvalid = errors.New("it cannot be kept like this")
	// ErrConflict says that the name is taken, the thing was changed in between,
	// or that it is still in use.
	ErrConflict = errors.New("it conflicts with what there is")
	// ErrForbidden says that the asker sees the thing but may not do this to it.
	ErrForbidden = errors.New("you may not do this")
)

// Bounds of what is kept.
const (
	MaxQuery     = 16 << 10 // bytes of a query or filter
	maxText      = 2000     // characters of a description
	maxName      = 200      // characters of a name, and of a folder
	maxTags      = 20
	maxColumns   = 200
	maxDocument  = 64 << 10 // bytes of the console's own JSON
	maxSearches  = 2000     // of one owner
	maxGroups    = 2000     // in all: the tree is held in memory
	maxDepth     = 10       // levels of directories
	maxAccess    = 500      // roles, units or users that one group names
	maxConfining = 64       // groups that confine one person together
)

// Asker is who asks.
type Asker struct {
	User   string   // id
	Name   string   // user name
	Unit   string   // id of the organisation; "" where there is none
	Units  []string // that organisation and those above it
	Roles  []string // held directly or by a grant
	Share  bool     // may make searches that others see
	Manage bool     // may see and change what others keep
	Groups bool     // may see every log group
}

// Checks are what the room asks of others about the texts it keeps.
type Checks struct {
	// Query says what is wrong with a LogsQL query.
	Query func(query string) error
	// Filter says what is wrong with a LogsQL filter, or returns it as it
	// must be written to stand inside of another.
	Filter func(filter string) (canonical string, err error)
	// Tenant tells whether there is such a tenant.
	Tenant func(slug string) bool
	// Role and Unit tell whether there is such a role or organisation; User
	// turns an id or a user name into an id.
	Role func(id string) bool
	Unit func(id string) bool
	User func(ctx context.Context, idOrName string) (id string, ok bool)
}

// Store keeps all of it. It is safe for concurrent use.
type Store struct {
	db     *state.DB
	checks Checks
	log    *slog.Logger
	now    func() time.Time

	changing sync.Mutex // one change of the groups at a time, so that they stay a tree
	groups   atomic.Pointer[tree]
	notes    chan note
}

// Open prepares the tables and reads the groups. Run must be called for the
// history to be kept.
func Open(ctx context.Context, db *state.DB, checks Checks, log *slog.Logger) (*Store, error) {
	if err := db.Migrate(ctx, "saved", migrations); err != nil {
		return nil, err
	}
	s := &Store{db: db, checks: checks, log: log, now: time.Now, notes: make(chan note, 1024)}
	return s, s.loadGroups(ctx)
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}

func conflict(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrConflict, fmt.Sprintf(format, args...))
}

func newID(kind string) string { return kind + "_" + strings.ToLower(rand.Text()[:16]) }

// fault is what is wrong with one field.
type fault struct{ field, message string }

// faults gathers everything that is wrong, so that who corrects it need not
// ask again for each.
type faults []fault

func (f *faults) add(field, format string, args ...any) {
	*f = append(*f, fault{field, fmt.Sprintf(format, args...)})
}

// err is all faults as one error, nil where there are none.
func (f faults) err() error {
	if len(f) == 0 {
		return nil
	}
	texts := make([]string, len(f))
	for i, x := range f {
		texts[i] = x.field + ": " + x.message
	}
	return invalid("%s", strings.Join(texts, "; "))
}

// text checks one line (or, long, a paragraph) that people wrote.
func (f *faults) text(field, value string, least, most int, long bool) {
	n := utf8.RuneCountInString(value)
	switch {
	case !utf8.ValidString(value):
		f.add(field, "it is not valid UTF-8")
	case n < least || n > most:
		f.add(field, "it has %d characters: %d to %d are right", n, least, most)
	case strings.ContainsFunc(value, func(r rune) bool { return unicode.IsControl(r) && !(long && (r == '\n' || r == '\t')) }):
		f.add(field, "it holds control characters")
	}
}

// list checks a list of short texts and returns it trimmed, each once.
func (f *faults) list(field string, values []string, most int) []string {
	out := make([]string, 0, len(values))
	for _, v := range values {
		if v = strings.TrimSpace(v); v != "" && !slices.Contains(out, v) {
			f.text(field, v, 1, maxName, false)
			out = append(out, v)
		}
	}
	if len(out) > most {
		f.add(field, "it has %d entries: %d are the most", len(out), most)
	}
	return out
}

func encode(list []string) string {
	b, _ := json.Marshal(append([]string{}, list...)) // strings always encode
	return string(b)
}

func decode(text string) []string {
	list := []string{}
	_ = json.Unmarshal([]byte(text), &list) // written by encode
	return list
}

func millis(t *time.Time) int64 {
	if t == nil {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) *time.Time {
	if ms == 0 {
		return nil
	}
	t := time.UnixMilli(ms).UTC()
	return &t
}

// ParseSpan reads how far back a search looks: a duration as Go writes it, with
// d for days and w for weeks added, such as 90s, 1h30m, 7d.
func ParseSpan(text string) (time.Duration, error) {
	bad := fmt.Errorf("%.64q is no duration: give one like 90s, 15m, 1h30m, 7d or 2w", text)
	var total time.Duration
	rest := text
	for _, unit := range []struct {
		letter string
		size   time.Duration
	}{{"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}} {
		head, tail, found := strings.Cut(rest, unit.letter)
		if !found {
			continue
		}
		n, err := strconv.ParseUint(head, 10, 16)
		if err != nil {
			return 0, bad
		}
		total += time.Duration(n) * unit.size
		rest = tail
	}
	if rest != "" {
		d, err := time.ParseDuration(rest)
		if err != nil {
			return 0, bad
		}
		if d < 0 {
			return 0, bad
		}
		total += d
	}
	if total <= 0 || total > 20*365*24*time.Hour {
		return 0, bad
	}
	return total, nil
}

// page cuts one page out of a list; cursor is where it begins.
func page[T any](list []T, limit int, cursor string) (part []T, next string, err error) {
	from := 0
	if cursor != "" {
		n, err := strconv.ParseUint(cursor, 10, 31)
		if err != nil {
			return nil, "", invalid("the cursor is none that a list gave")
		}
		from = min(int(n), len(list))
	}
	end := min(from+max(limit, 1), len(list))
	if end < len(list) {
		next = strconv.Itoa(end)
	}
	return list[from:end], next, nil
}
