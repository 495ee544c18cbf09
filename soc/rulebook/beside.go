package rulebook

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Piece is one thing of a file that holds other content than rules.
type Piece struct {
	ID    string
	Title string
	Text  string // as it is kept, whatever way it was laid out
}

// Wrong is what is wrong with such a file.
type Wrong struct {
	Line   int
	Reason string
}

// Keeper keeps content of a repository other than rules, such as suppressions.
// Proposals change it as they change rules.
type Keeper interface {
	// Split reads a file.
	Split(file string, data []byte) ([]Piece, []Wrong)
	// Get is what is kept of an id; "" where nothing is.
	Get(ctx context.Context, id string) (text string, err error)
	// Put makes or changes what a text says, on behalf of somebody.
	Put(ctx context.Context, by, text string) error
	Delete(ctx context.Context, by, id string) error
}

// Beside has proposals change content that lies in a folder of that name in a
// repository beside the rules. It is said before the book is used.
func (b *Book) Beside(folder string, k Keeper) {
	if b.beside == nil {
		b.beside = map[string]Keeper{}
	}
	b.beside[folder] = k
}

// besideOf is the folder whose content a file holds, "" for rules.
func (b *Book) besideOf(file string) string {
	for _, part := range strings.Split(path.Dir(file), "/") {
		if b.beside[part] != nil {
			return part
		}
	}
	return ""
}

// splitOff takes the files of other content out of an archive's, and says what each
// would change.
func (b *Book) splitOff(files []packed, report *Report) (rules []packed, out []RuleChange, err error) {
	for _, f := range files {
		folder := b.besideOf(f.name)
		if folder == "" {
			rules = append(rules, f)
			continue
		}
		pieces, faults := b.beside[folder].Split(f.name, []byte(f.text))
		done := Imported{File: f.name, IDs: []string{}, Result: FileSame}
		if len(faults) > 0 { // a file is taken whole
			done.Result, done.Line, done.Reason = FileInvalid, faults[0].Line, faults[0].Reason
			report.Invalid++
			report.Files = append(report.Files, done)
			continue
		}
		for _, p := range pieces {
			done.IDs, done.Title = append(done.IDs, p.ID), p.Title
			if slices.ContainsFunc(out, func(c RuleChange) bool { return c.ID == p.ID && c.Kind == folder }) {
				done.Result, done.Reason = FileInvalid, fmt.Sprintf("the id %s is in another file already", p.ID)
				continue
			}
			before, err := b.beside[folder].Get(context.Background(), p.ID)
			if err != nil {
				return nil, nil, err
			}
			c := RuleChange{Kind: folder, ID: p.ID, Rules: []string{}, Title: p.Title, Action: Created, Before: before, After: p.Text, Fields: []string{}}
			switch before {
			case p.Text:
				continue
			case "":
				done.Result = FileCreated
			default:
				c.Action, done.Result = Changed, FileChanged
				c.Fields = Differing(before, p.Text)
			}
			out = append(out, c)
		}
		switch done.Result {
		case FileCreated:
			report.Created++
		case FileChanged:
			report.Changed++
		case FileInvalid:
			report.Invalid++
		default:
			report.Same++
		}
		report.Files = append(report.Files, done)
	}
	return rules, out, nil
}

// besideConflict says what of other content is no longer as the proposal was made
// for, "" where all is.
func (b *Book) besideConflict(c *RuleChange) (string, error) {
	k := b.beside[c.Kind]
	if k == nil {
		return fmt.Sprintf("nothing keeps %s here", c.Kind), nil
	}
	now, err := k.Get(context.Background(), c.ID)
	if err == nil && now != c.Before && now != c.After {
		return fmt.Sprintf("%s %s was changed meanwhile", c.Kind, c.ID), nil
	}
	return "", err
}

// applyBeside makes other content what it is to be: "" for none.
func (b *Book) applyBeside(c *RuleChange, to, by string) error {
	k := b.beside[c.Kind]
	if k == nil {
		return fmt.Errorf("%w: nothing keeps %s here", ErrNotFound, c.Kind)
	}
	now, err := k.Get(context.Background(), c.ID)
	switch {
	case err != nil:
		return err
	case now == to:
		return nil
	case to == "":
		return k.Delete(context.Background(), by, c.ID)
	}
	return k.Put(context.Background(), by, to)
}
