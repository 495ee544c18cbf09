// Package knowledge is the knowledge base: what a kind of trouble is, how to tell
// whether it is real, and what to do about it, in two languages. Each type of attack
// of the taxonomy has an article of its id, which is shipped and can be changed;
// people add others. Rules name an article (icewatch.knowledge); the alerts of
// others lead to that of their type of attack.
package knowledge

import (
	"bytes"
	"context"
	"embed"
	_ "embed" // of what is shipped
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"icewatch/detections"
	"icewatch/soc/editions"
	"icewatch/soc/state"
)

//go:embed migrations/*.sql
var migrations embed.FS

//go:embed shipped.yml
var shippedFile []byte

// Limits of what is kept.
const (
	MaxArticles = 2000

	maxTitle      = 120  // characters
	maxText       = 4000 // characters of a text
	maxLines      = 30   // of verify, and of steps
	maxReferences = 20
	maxReference  = 500 // bytes
	maxTags       = 20
	maxTag        = 40 // characters
)

// Errors of this room. The text of ErrInvalid says what would be right.
var (
	ErrNotFound = errors.New("knowledge: not found")
	ErrInvalid  = errors.New("knowledge: invalid")
)

// Article is an article as it is written.
type Article struct {
	Title      detections.Text   `json:"title" yaml:"title"`
	Summary    detections.Text   `json:"summary" yaml:"summary"`                       // what it is
	Verify     []detections.Text `json:"verify" yaml:"verify"`                         // how to tell whether it is real
	Steps      []detections.Text `json:"steps" yaml:"steps"`                           // what to do
	References []string          `json:"references" yaml:"references"`                 // addresses
	Tags       []string          `json:"tags" yaml:"tags,omitempty"`                   //
	Notes      detections.Text   `json:"notes,omitzero" yaml:"notes,omitempty"`        // what else people of this city need to know
	Contacts   string            `json:"contacts,omitempty" yaml:"contacts,omitempty"` // whom to ask
}

// Kept is an article with what is known of its text.
type Kept = editions.Kept[Article]

var shipped = sync.OnceValue(func() []Kept {
	var list []struct {
		ID      string `yaml:"id"`
		Article `yaml:",inline"`
	}
	dec := yaml.NewDecoder(bytes.NewReader(shippedFile))
	dec.KnownFields(true)
	if err := dec.Decode(&list); err != nil {
		panic(err) // a test reads it
	}
	out := make([]Kept, 0, len(list))
	for _, a := range list {
		a.fill()
		out = append(out, Kept{ID: a.ID, Content: a.Article, Shipped: true})
	}
	return out
})

// Shipped are the articles that every suite has.
func Shipped() []Kept { return slices.Clone(shipped()) }

// Store keeps the articles with all their versions.
type Store struct{ *editions.Store[Article] }

var idForm = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,99}$`)

// Open brings the table up to date.
func Open(ctx context.Context, db *state.DB, clock func() time.Time) (*Store, error) {
	if err := db.Migrate(ctx, "knowledge", migrations); err != nil {
		return nil, err
	}
	return &Store{editions.Open(db, clock, editions.Kind[Article]{Table: "knowledge_versions", Noun: "article", Most: MaxArticles, NotFound: ErrNotFound, Invalid: ErrInvalid,
		Check: (*Article).Check, Name: func(a *Article) string { return a.Title.ZH + a.Title.EN }, Shipped: shipped,
		ID: func(asked string) (string, error) {
			if !idForm.MatchString(asked) {
				return "", fmt.Errorf("%w: id: %.40q: want 1 to 100 lower-case letters, digits, dots, dashes and underscores, by which rules name it", ErrInvalid, asked)
			}
			return asked, nil
		}})}, nil
}

func (a *Article) fill() {
	if a.Verify == nil {
		a.Verify = []detections.Text{}
	}
	if a.Steps == nil {
		a.Steps = []detections.Text{}
	}
	if a.References == nil {
		a.References = []string{}
	}
	if a.Tags == nil {
		a.Tags = []string{}
	}
}

// Check says what is wrong with an article, and puts its defaults in.
func (a *Article) Check() error {
	a.fill()
	a.Title.ZH, a.Title.EN = strings.TrimSpace(a.Title.ZH), strings.TrimSpace(a.Title.EN)
	bounded := func(name string, t detections.Text, most int) error {
		if utf8.RuneCountInString(t.ZH) > most || utf8.RuneCountInString(t.EN) > most {
			return fmt.Errorf("%w: %s: want at most %d characters", ErrInvalid, name, most)
		}
		return nil
	}
	if a.Title == (detections.Text{}) {
		return fmt.Errorf("%w: title: it is empty", ErrInvalid)
	}
	for _, t := range []struct {
		name string
		text detections.Text
		most int
	}{{"title", a.Title, maxTitle}, {"summary", a.Summary, maxText}, {"notes", a.Notes, maxText}, {"contacts", detections.Text{ZH: a.Contacts}, maxText}} {
		if err := bounded(t.name, t.text, t.most); err != nil {
			return err
		}
	}
	for _, l := range []struct {
		name string
		list []detections.Text
	}{{"verify", a.Verify}, {"steps", a.Steps}} {
		if len(l.list) > maxLines {
			return fmt.Errorf("%w: %s: %d lines, at most %d", ErrInvalid, l.name, len(l.list), maxLines)
		}
		for i, t := range l.list {
			if strings.TrimSpace(t.ZH+t.EN) == "" {
				return fmt.Errorf("%w: %s[%d]: it is empty", ErrInvalid, l.name, i)
			}
			if err := bounded(fmt.Sprintf("%s[%d]", l.name, i), t, maxText); err != nil {
				return err
			}
		}
	}
	if len(a.References) > maxReferences {
		return fmt.Errorf("%w: references: %d, at most %d", ErrInvalid, len(a.References), maxReferences)
	}
	for i, r := range a.References {
		// What is shown as a link must be one that is safe to follow.
		if u, err := url.Parse(r); err != nil || len(r) > maxReference || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
			return fmt.Errorf("%w: references[%d]: %.100q: want an address that begins with https:// or http://, at most %d bytes", ErrInvalid, i, r, maxReference)
		}
	}
	if len(a.Tags) > maxTags {
		return fmt.Errorf("%w: tags: %d, at most %d", ErrInvalid, len(a.Tags), maxTags)
	}
	for i, t := range a.Tags {
		if strings.TrimSpace(t) == "" || utf8.RuneCountInString(t) > maxTag {
			return fmt.Errorf("%w: tags[%d]: want 1 to %d characters", ErrInvalid, i, maxTag)
		}
	}
	return nil
}

// Find are the articles in which all words of a text occur, those first that have
// them in the title.
func Find(list []Kept, text string) []Kept {
	words := strings.Fields(strings.ToLower(text))
	if len(words) == 0 {
		return list
	}
	var titled, others []Kept
	for _, k := range list {
		a := &k.Content
		title := strings.ToLower(k.ID + " " + a.Title.ZH + " " + a.Title.EN + " " + strings.Join(a.Tags, " "))
		all := []string{title, a.Summary.ZH, a.Summary.EN, a.Notes.ZH, a.Notes.EN, a.Contacts}
		for _, t := range slices.Concat(a.Verify, a.Steps) {
			all = append(all, t.ZH, t.EN)
		}
		whole := strings.ToLower(strings.Join(all, "\n"))
		missing := func(in string) bool {
			return slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(in, w) })
		}
		switch {
		case !missing(title):
			titled = append(titled, k)
		case !missing(whole):
			others = append(others, k)
		}
	}
	return append(titled, others...)
}
