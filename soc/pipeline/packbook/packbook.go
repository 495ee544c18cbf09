// Package packbook keeps the parser packs that people make in the console:
// every version of each in SQL, with who, when and why, and those in force as
// files in a folder that the engine reads like any other folder of packs. The
// folder follows the versions and is written anew at a start: who keeps packs
// in git names their folder in parsers.dirs instead.
//
// A pack is judged before it is kept: that it compiles, that each of its types
// of log has a sample which falls to it, and that it takes no lines from others.
package packbook

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"icewatch/soc/pipeline/pack"
	"icewatch/soc/pipeline/workshop"
	"icewatch/soc/state"
)

//go:embed migrations/*.sql
var migrations embed.FS

// SourceName is the source's name in lists of packs.
const SourceName = "own"

// The bounds of a pack's files in bytes, and of how many there are.
const (
	MaxSource  = 512 << 10
	MaxSamples = 512 << 10
	maxPacks   = 500
	maxNote    = 500
)

// What is refused.
var (
	ErrNotFound = errors.New("there is no such pack of your own")
	ErrInvalid  = errors.New("the pack cannot be kept")
	ErrConflict = errors.New("the pack has changed meanwhile")
)

// What made a version.
const (
	Created  = "created"
	Changed  = "changed"
	Restored = "restored"
	Deleted  = "deleted"
)

// Version is a version of a pack.
type Version struct {
	bun.BaseModel `bun:"table:own_packs" json:"-"`

	Pack     string    `bun:"pack,pk" json:"pack"`
	Revision int       `bun:"revision,pk" json:"revision"`
	Millis   int64     `bun:"at" json:"-"`
	At       time.Time `bun:"-" json:"at"`
	By       string    `bun:"by" json:"by"`
	Action   string    `bun:"action" json:"action" enum:"created,changed,restored,deleted"`
	Note     string    `bun:"note" json:"note"`
	Source   string    `bun:"source" json:"source" doc:"pack.yml; of a deletion as it was before"`
	Samples  string    `bun:"samples" json:"samples" doc:"Lines as the product writes them"`
	Golden   string    `bun:"golden" json:"golden" doc:"The events that they become, a line each"`
}

// Book holds the packs. It is safe for concurrent use.
type Book struct {
	db     *state.DB
	folder string
	others func() []pack.Source // the suite's own and those of the configuration

	mu       sync.Mutex // of what is in force
	checking sync.Mutex // a check compiles all packs: one at a time
}

// Open opens the book. folder is where the packs in force lie; others are the
// sources that are read before it.
func Open(ctx context.Context, db *state.DB, folder string, others func() []pack.Source) (*Book, error) {
	if err := db.Migrate(ctx, "packbook", migrations); err != nil {
		return nil, fmt.Errorf("packbook: %w", err)
	}
	b := &Book{db: db, folder: folder, others: others}
	list, err := b.List(ctx)
	if err != nil {
		return nil, err
	}
	return b, b.lay(list)
}

// Folder is where the packs in force lie.
func (b *Book) Folder() string { return b.folder }

// lay makes the folder hold these packs and no other file.
func (b *Book) lay(list []Version) error {
	if err := os.MkdirAll(b.folder, 0o700); err != nil {
		return fmt.Errorf("packbook: %w", err)
	}
	want := map[string]string{}
	for _, v := range list {
		dir := filepath.Join(b.folder, filepath.FromSlash(v.Pack))
		want[filepath.Join(dir, pack.File)], want[filepath.Join(dir, pack.Samples)], want[filepath.Join(dir, pack.Golden)] = v.Source, v.Samples, v.Golden
	}
	err := filepath.WalkDir(b.folder, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if _, kept := want[name]; kept {
			return nil
		}
		return os.Remove(name)
	})
	if err != nil {
		return fmt.Errorf("packbook: %w", err)
	}
	for name, text := range want {
		if have, err := os.ReadFile(name); err == nil && string(have) == text {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			return fmt.Errorf("packbook: %w", err)
		}
		// A reader sees the old file or the new one. The versions are what lasts.
		tmp := filepath.Join(filepath.Dir(name), "."+filepath.Base(name)+".new")
		if err := errors.Join(os.WriteFile(tmp, []byte(text), 0o600), os.Rename(tmp, name)); err != nil {
			return fmt.Errorf("packbook: %w", err)
		}
	}
	return nil
}

// List lists the packs that are kept, by name, each in its last version.
func (b *Book) List(ctx context.Context) ([]Version, error) { return b.last(ctx, false) }

// Deleted lists the packs that were deleted, as they were.
func (b *Book) Deleted(ctx context.Context) ([]Version, error) { return b.last(ctx, true) }

func (b *Book) last(ctx context.Context, deleted bool) ([]Version, error) {
	var list []Version
	err := b.db.NewSelect().Model(&list).Where("revision = (SELECT max(revision) FROM own_packs AS o WHERE o.pack = version.pack)").Order("pack").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("packbook: read the packs: %w", err)
	}
	list = slices.DeleteFunc(list, func(v Version) bool { return (v.Action == Deleted) != deleted })
	return dated(list), nil
}

func dated(list []Version) []Version {
	for i := range list {
		list[i].At = time.UnixMilli(list[i].Millis).UTC()
	}
	return list
}

// Versions lists the versions of a pack, the newest first.
func (b *Book) Versions(ctx context.Context, id string) ([]Version, error) {
	var list []Version
	if err := b.db.NewSelect().Model(&list).Where("pack = ?", id).Order("revision DESC").Scan(ctx); err != nil {
		return nil, fmt.Errorf("packbook: read the versions of %s: %w", id, err)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%w: %.100q", ErrNotFound, id)
	}
	return dated(list), nil
}

// Reading is what becomes of a sample.
type Reading struct {
	Line    string `json:"line"`
	LogType string `json:"log_type" doc:"Which type of log took it; empty where none did"`
	Event   string `json:"event" doc:"JSON"`
}

// Judgement is what there is to say of a pack before it is kept.
type Judgement struct {
	Valid     bool             `json:"valid" doc:"It can be kept"`
	Problems  []pack.Problem   `json:"problems" nullable:"false" doc:"Why it does not compile, with lines of pack.yml"`
	Faults    []Fault          `json:"faults" nullable:"false" doc:"Samples that do not become what they should"`
	Readings  []Reading        `json:"readings" nullable:"false" doc:"What each sample becomes"`
	Claims    []workshop.Claim `json:"claims" nullable:"false" doc:"Samples of other packs that it takes: make its patterns say more"`
	Overrides bool             `json:"overrides" doc:"It takes the place of a pack of the same name that came with the suite or its configuration"`

	golden []byte
}

// Fault is a sample that does not become what it should.
type Fault struct {
	Line   int    `json:"line" doc:"Of the samples; 0 for the whole"`
	Reason string `json:"reason"`
}

var names = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,39}/[a-z0-9][a-z0-9_-]{0,39}$`)

// Check judges a pack, and keeps nothing.
func (b *Book) Check(ctx context.Context, id, source, samples string) (Judgement, error) {
	out := Judgement{Problems: []pack.Problem{}, Faults: []Fault{}, Readings: []Reading{}, Claims: []workshop.Claim{}}
	problem := func(format string, args ...any) {
		out.Problems = append(out.Problems, pack.Problem{Path: pack.File, Reason: fmt.Sprintf(format, args...)})
	}
	switch {
	case !names.MatchString(id):
		problem("its name %.100q: <vendor>/<product> of small letters, digits, '-' and '_' is right", id)
	case len(source) > MaxSource:
		problem("it has %d bytes: %d are the most", len(source), MaxSource)
	case len(samples) > MaxSamples:
		problem("the samples have %d bytes: %d are the most", len(samples), MaxSamples)
	case !utf8.ValidString(source) || !utf8.ValidString(samples):
		problem("it is no UTF-8")
	}
	if len(out.Problems) > 0 {
		return out, nil
	}
	dir, err := os.MkdirTemp("", "icewatch-pack-")
	if err != nil {
		return out, fmt.Errorf("packbook: %w", err)
	}
	defer os.RemoveAll(dir)
	at := filepath.Join(dir, filepath.FromSlash(id))
	err = os.MkdirAll(at, 0o700)
	if err == nil {
		err = errors.Join(os.WriteFile(filepath.Join(at, pack.File), []byte(source), 0o600), os.WriteFile(filepath.Join(at, pack.Samples), []byte(samples), 0o600))
	}
	if err != nil {
		return out, fmt.Errorf("packbook: %w", err)
	}
	const draft = "draft"
	b.checking.Lock()
	defer b.checking.Unlock()
	if err := ctx.Err(); err != nil {
		return out, err
	}
	sources := append(b.others(), pack.Source{Name: SourceName, FS: os.DirFS(b.folder)})
	for _, src := range sources[:len(sources)-1] {
		if _, err := fs.Stat(src.FS, id+"/"+pack.File); err == nil {
			out.Overrides = true
		}
	}
	shop := workshop.Open(append(sources, pack.Source{Name: draft, FS: os.DirFS(dir)}), nil)
	for _, p := range shop.Problems() {
		if rest, ours := strings.CutPrefix(p.Path, draft+"/"); ours {
			p.Path = strings.TrimPrefix(rest, id+"/")
			out.Problems = append(out.Problems, p)
		}
	}
	packs := shop.Packs()
	if !slices.ContainsFunc(packs, func(i pack.Info) bool { return i.ID == id && i.Source == draft }) {
		if len(out.Problems) == 0 {
			problem("it is not in force, and nothing says why")
		}
		return out, nil
	}
	golden, faults, err := shop.TestOf(id)
	if err != nil {
		return out, err
	}
	out.golden = golden
	for _, f := range faults {
		out.Faults = append(out.Faults, Fault{f.Line, f.Reason})
	}
	for line := range strings.Lines(samples) {
		if line = strings.TrimRight(line, "\r\n"); line == "" {
			continue
		}
		r := shop.Read([]byte(line), workshop.At)
		out.Readings = append(out.Readings, Reading{line, r.Log, string(r.Event)})
	}
	out.Claims = append(out.Claims, shop.ClaimedBy(id)...)
	out.Valid = len(out.Problems) == 0 && len(out.Faults) == 0
	return out, nil
}

// Put keeps a pack: the next version of its name, 0 where there is to be none
// yet. One that is not valid is refused with its judgement.
func (b *Book) Put(ctx context.Context, id, source, samples, by, note string, revision int) (Version, Judgement, error) {
	j, err := b.Check(ctx, id, source, samples)
	if err != nil {
		return Version{}, j, err
	}
	if !j.Valid {
		return Version{}, j, fmt.Errorf("%w: %s", ErrInvalid, j.first())
	}
	v, err := b.write(ctx, Version{Pack: id, By: by, Note: note, Source: source, Samples: samples, Golden: string(j.golden)}, revision)
	return v, j, err
}

// first is the first thing that is wrong.
func (j *Judgement) first() string {
	if len(j.Problems) > 0 {
		return fmt.Sprintf("%s line %d: %s", j.Problems[0].Path, j.Problems[0].Line, j.Problems[0].Reason)
	}
	if len(j.Faults) > 0 {
		return fmt.Sprintf("%s line %d: %s", pack.Samples, j.Faults[0].Line, j.Faults[0].Reason)
	}
	return ""
}

// write adds a version where the last one is the revision that was read, and
// puts it in force.
func (b *Book) write(ctx context.Context, v Version, revision int) (Version, error) {
	if utf8.RuneCountInString(v.Note) > maxNote {
		return v, fmt.Errorf("%w: the note has more than %d characters", ErrInvalid, maxNote)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	err := b.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		var list []Version
		if err := tx.NewSelect().Model(&list).Where("pack = ?", v.Pack).Order("revision DESC").Limit(1).Scan(ctx); err != nil {
			return fmt.Errorf("packbook: read %s: %w", v.Pack, err)
		}
		last := Version{Action: Deleted}
		if len(list) > 0 {
			last = list[0]
		}
		there := last.Action != Deleted
		switch {
		case v.Action == Deleted && !there:
			return fmt.Errorf("%w: %.100q", ErrNotFound, v.Pack)
		case v.Action == Deleted:
			v.Source, v.Samples, v.Golden = last.Source, last.Samples, last.Golden
		case v.Action == "" && there && last.Revision != revision:
			return fmt.Errorf("%w: revision %d was read, and it is at %d by %s", ErrConflict, revision, last.Revision, last.By)
		case v.Action == "" && !there && revision != 0 && revision != last.Revision:
			return fmt.Errorf("%w: it was deleted meanwhile", ErrConflict)
		}
		if v.Action == "" {
			v.Action = Created
			if there {
				v.Action = Changed
			}
		}
		if !there {
			n, err := tx.NewSelect().Model((*Version)(nil)).ColumnExpr("DISTINCT pack").Count(ctx)
			if err != nil {
				return fmt.Errorf("packbook: count the packs: %w", err)
			}
			if n >= maxPacks && len(list) == 0 {
				return fmt.Errorf("%w: there are %d, which is the most", ErrInvalid, n)
			}
		}
		v.Revision, v.Millis = last.Revision+1, time.Now().UnixMilli()
		if _, err := tx.NewInsert().Model(&v).Exec(ctx); err != nil {
			return fmt.Errorf("packbook: keep %s: %w", v.Pack, err)
		}
		return nil
	})
	if err != nil {
		return v, err
	}
	list, err := b.List(ctx)
	if err == nil {
		err = b.lay(list)
	}
	return dated([]Version{v})[0], err
}

// Delete takes a pack away. Its versions stay.
func (b *Book) Delete(ctx context.Context, id, by string) (Version, error) {
	return b.write(ctx, Version{Pack: id, By: by, Action: Deleted}, 0)
}

// Restore puts a version back in force, as a new one. It must still be valid
// beside the packs of today.
func (b *Book) Restore(ctx context.Context, id string, revision int, by string) (Version, error) {
	versions, err := b.Versions(ctx, id)
	if err != nil {
		return Version{}, err
	}
	at := slices.IndexFunc(versions, func(v Version) bool { return v.Revision == revision })
	if at < 0 {
		return Version{}, fmt.Errorf("%w: %s has no version %d", ErrNotFound, id, revision)
	}
	was := versions[at]
	j, err := b.Check(ctx, id, was.Source, was.Samples)
	if err != nil {
		return Version{}, err
	}
	if len(j.Problems) > 0 {
		return Version{}, fmt.Errorf("%w: %s", ErrInvalid, j.first())
	}
	return b.write(ctx, Version{Pack: id, By: by, Action: Restored, Note: fmt.Sprintf("version %d", revision), Source: was.Source, Samples: was.Samples, Golden: cmp.Or(string(j.golden), was.Golden)}, 0)
}
