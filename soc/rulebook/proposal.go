package rulebook

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"icewatch/detections/sigma"
)

// The states of a proposal. Only a pending one can be decided; an approved one
// is in force until it is rolled back.
const (
	Pending    = "pending"
	Approved   = "approved"
	Rejected   = "rejected"
	Withdrawn  = "withdrawn" // by who filed it
	InConflict = "conflict"  // approved, but a rule had changed meanwhile
	Expired    = "expired"
	RolledBack = "rolled_back"
)

var (
	// ErrDecided says that a proposal is not in a state in which this can be done.
	ErrDecided = errors.New("the proposal is decided")
	// ErrOwn says that somebody wanted to decide on his own proposal, or to
	// withdraw another's.
	ErrOwn = errors.New("four eyes")
)

const (
	proposalsDir = "proposals"
	testDir      = "test"
	// proposalLife is how long a proposal waits for a decision.
	proposalLife = 30 * 24 * time.Hour
	maxComment   = 1000 // characters
	maxPending   = 200
)

// Person is who files or decides.
type Person struct {
	ID   string // the same for all of a person's sessions and tokens
	Name string
}

// RuleChange is what a proposal does to one file of rules.
type RuleChange struct {
	Kind     string   `json:"kind,omitempty" doc:"Absent for rules; else the folder of the repository whose content it is: suppressions"`
	ID       string   `json:"id" doc:"Of the file's main rule, or of the other content"`
	Rules    []string `json:"rules" nullable:"false" doc:"Ids of all rules in the file"`
	Title    string   `json:"title"`
	Action   string   `json:"action" enum:"created,changed,deleted"`
	Revision int      `json:"revision" doc:"Of the own rule it was proposed for; 0 where there was none"`
	Before   string   `json:"before,omitempty" doc:"The text it replaces, also of a rule that comes with the suite"`
	After    string   `json:"after,omitempty"`
	Fields   []string `json:"fields" nullable:"false" doc:"Which parts of the rule differ"`
	Hits     *uint64  `json:"hits,omitempty" doc:"In test: events that met it since it is in test as it stands"`
}

// RuleProposal is a set of changes of rules that somebody else approves. Until then
// they can be in test: asked, counted, and silent.
type RuleProposal struct {
	ID         int          `json:"id"`
	State      string       `json:"state" enum:"pending,approved,rejected,withdrawn,conflict,expired,rolled_back"`
	Stage      string       `json:"stage" enum:"none,test,production" doc:"Where its rules are now"`
	Requester  string       `json:"requester"`
	Mine       bool         `json:"mine" doc:"The caller filed it, and cannot decide on it"`
	Comment    string       `json:"comment" doc:"Why the change is wanted"`
	CreatedAt  time.Time    `json:"created_at"`
	ExpiresAt  time.Time    `json:"expires_at"`
	TestedAt   *time.Time   `json:"tested_at,omitempty" doc:"In test since"`
	Decider    string       `json:"decider,omitempty"`
	DecidedAt  *time.Time   `json:"decided_at,omitempty"`
	Decision   string       `json:"decision,omitempty" doc:"What the decider said, or what the conflict is"`
	RolledBy   string       `json:"rolled_back_by,omitempty"`
	RolledAt   *time.Time   `json:"rolled_back_at,omitempty"`
	RolledNote string       `json:"rolled_back_note,omitempty"`
	Created    int          `json:"created"`
	Changed    int          `json:"changed"`
	Deleted    int          `json:"deleted"`
	Changes    []RuleChange `json:"changes,omitempty" doc:"Of a single proposal: what would change"`
}

// kept is a proposal as its file holds it.
type kept struct {
	RuleProposal
	RequesterID string `json:"requester_id"`
}

// ProposeOptions say how a proposal is made.
type ProposeOptions struct {
	By     Person
	Note   string   // why
	Name   string   // of the file, where it is not an archive
	Delete []string // ids of own rules to delete
	DryRun bool     // judge and compare, file nothing
}

func comment(text string, needed bool) (string, error) {
	text = strings.TrimSpace(text)
	switch {
	case text == "" && needed:
		return "", fmt.Errorf("%w: say why", ErrInvalid)
	case utf8.RuneCountInString(text) > maxComment:
		return "", fmt.Errorf("%w: the comment has more than %d characters", ErrInvalid, maxComment)
	}
	return text, nil
}

// Propose files what a ZIP archive of rules, or one file, would change. A file
// that is wrong is named in the report and does not keep the others out; what is
// kept as it is already is no change. Nothing is filed where nothing changes.
func (b *Book) Propose(data []byte, with Surroundings, o ProposeOptions) (RuleProposal, Report, error) {
	report := Report{Files: []Imported{}, DryRun: o.DryRun}
	why, err := comment(o.Note, !o.DryRun)
	if err != nil {
		return RuleProposal{}, report, err
	}
	p := kept{RequesterID: o.By.ID, RuleProposal: RuleProposal{State: Pending, Stage: "none", Requester: o.By.Name, Mine: true, Comment: why}}
	if len(data) > 0 {
		if p.Changes, err = b.compare(data, o.Name, with, &report); err != nil {
			return RuleProposal{}, report, err
		}
	}
	for _, id := range o.Delete {
		if folder, bare, other := strings.Cut(id, "/"); other && b.beside[folder] != nil {
			before, err := b.beside[folder].Get(context.Background(), bare)
			if err != nil {
				return RuleProposal{}, report, err
			}
			if before == "" {
				return RuleProposal{}, report, fmt.Errorf("%w: there is no %s", ErrNotFound, id)
			}
			if !slices.ContainsFunc(p.Changes, func(c RuleChange) bool { return c.Kind == folder && c.ID == bare }) {
				p.Changes = append(p.Changes, RuleChange{Kind: folder, ID: bare, Rules: []string{}, Title: bare, Action: Deleted, Before: before, Fields: []string{}})
			}
			continue
		}
		e, ok := b.Get(id)
		if !ok {
			return RuleProposal{}, report, fmt.Errorf("%w: %s is no own rule: only those can be deleted", ErrNotFound, id)
		}
		if slices.ContainsFunc(p.Changes, func(c RuleChange) bool { return c.Kind == "" && c.ID == e.ID }) {
			continue
		}
		p.Changes = append(p.Changes, RuleChange{ID: e.ID, Rules: e.Rules, Title: titleOf(e.Source), Action: Deleted, Revision: e.Revision, Before: e.Source, Fields: []string{}})
	}
	for _, c := range p.Changes {
		switch c.Action {
		case Created:
			p.Created++
		case Changed:
			p.Changed++
		default:
			p.Deleted++
		}
	}
	if len(p.Changes) == 0 || o.DryRun {
		return p.RuleProposal, report, nil
	}
	b.deciding.Lock()
	defer b.deciding.Unlock()
	all, err := b.proposals()
	if err != nil {
		return RuleProposal{}, report, err
	}
	pending, last := 0, 0
	for _, had := range all {
		last = max(last, had.ID)
		if had.State == Pending {
			pending++
		}
	}
	if pending >= maxPending {
		return RuleProposal{}, report, fmt.Errorf("%w: %d proposals wait already; decide on some first", ErrConflict, pending)
	}
	p.ID, p.CreatedAt = last+1, b.now().UTC()
	p.ExpiresAt = p.CreatedAt.Add(proposalLife)
	return p.RuleProposal, report, b.keep(&p)
}

// compare judges the files of an archive and says what each would change.
func (b *Book) compare(data []byte, name string, with Surroundings, report *Report) ([]RuleChange, error) {
	files, err := unpack(data, name)
	if err != nil {
		return nil, err
	}
	files, out, err := b.splitOff(files, report)
	if err != nil {
		return nil, err
	}
	faults := together(files, with)
	amid := amid(files, with)
	for i, f := range files {
		done, err := b.takeIn(f, faults[i], amid, ImportOptions{DryRun: true, Replace: true})
		if err != nil {
			return nil, err
		}
		report.Files = append(report.Files, done)
		if done.Result == FileInvalid {
			report.Invalid++
			continue
		}
		ready, err := prepare(f.text, "")
		if err != nil {
			return nil, err // takeIn has it prepared already
		}
		c := RuleChange{ID: ready.main, Rules: ready.ids, Title: titleOf(ready.source), Action: Created, After: ready.source, Fields: []string{}}
		if own, there := b.Get(ready.main); there {
			c.Revision, c.Before = own.Revision, own.Source
		} else if with.Rule != nil {
			if known, ok := with.Rule(ready.main); ok && known.Info.ID == ready.main {
				c.Before = known.Info.Source
			}
		}
		switch {
		case c.Before == "":
			report.Created++
		case c.Before == c.After:
			report.Same++
			continue
		default:
			if c.Fields = Differing(c.Before, c.After); len(c.Fields) == 0 && c.Revision == 0 {
				report.Same++ // a rule of the suite in another layout
				continue
			}
			c.Action = Changed
			report.Changed++
		}
		out = append(out, c)
	}
	return out, nil
}

func titleOf(source string) string {
	if rules, _ := sigma.Parse([]byte(source), nil); len(rules) > 0 {
		return rules[len(rules)-1].Title
	}
	return ""
}

// keep writes a proposal durably.
func (b *Book) keep(p *kept) error {
	file := *p
	file.Mine = false
	data, err := json.Marshal(&file)
	if err != nil {
		return fmt.Errorf("rulebook: proposal %d: %w", p.ID, err)
	}
	return replaceFile(filepath.Join(b.dir, proposalsDir, strconv.Itoa(p.ID)+".json"), data)
}

func (b *Book) proposal(id int) (kept, error) {
	data, err := os.ReadFile(filepath.Join(b.dir, proposalsDir, strconv.Itoa(id)+".json"))
	if errors.Is(err, fs.ErrNotExist) {
		return kept{}, fmt.Errorf("%w: there is no proposal %d", ErrNotFound, id)
	}
	if err != nil {
		return kept{}, fmt.Errorf("rulebook: %w", err)
	}
	var p kept
	if err := json.Unmarshal(data, &p); err != nil {
		return kept{}, fmt.Errorf("rulebook: proposal %d is damaged: %w", id, err)
	}
	if p.State == Pending && b.now().After(p.ExpiresAt) {
		p.State = Expired
	}
	return p, nil
}

func (b *Book) proposals() ([]kept, error) {
	files, err := os.ReadDir(filepath.Join(b.dir, proposalsDir))
	if err != nil {
		return nil, fmt.Errorf("rulebook: %w", err)
	}
	out := []kept{}
	for _, f := range files {
		name, ok := strings.CutSuffix(f.Name(), ".json")
		id, err := strconv.Atoi(name)
		if !ok || err != nil {
			continue
		}
		p, err := b.proposal(id)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b kept) int { return cmp.Compare(b.ID, a.ID) })
	return out, nil
}

// Proposals lists them without their texts, the newest first; all states where
// none is named.
func (b *Book) Proposals(who Person, state string) ([]RuleProposal, error) {
	b.deciding.Lock()
	defer b.deciding.Unlock()
	all, err := b.proposals()
	out := make([]RuleProposal, 0, len(all))
	for _, p := range all {
		if state == "" || p.State == state {
			p.Changes, p.Mine = nil, p.RequesterID == who.ID
			out = append(out, p.RuleProposal)
		}
	}
	return out, err
}

// Proposal returns one with its texts.
func (b *Book) Proposal(who Person, id int) (RuleProposal, error) {
	b.deciding.Lock()
	defer b.deciding.Unlock()
	p, err := b.proposal(id)
	p.Mine = p.RequesterID == who.ID
	return p.RuleProposal, err
}
