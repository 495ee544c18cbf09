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

	"icewatch/detections/ruleset"
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

// pending is a proposal that can be decided.
func (b *Book) pending(id int) (kept, error) {
	p, err := b.proposal(id)
	if err == nil && p.State != Pending {
		err = fmt.Errorf("%w: proposal %d is %s", ErrDecided, id, p.State)
	}
	return p, err
}

// Test puts a pending proposal's rules in test, or takes them out of it. In
// test they are asked beside those in force, and only counted.
func (b *Book) Test(who Person, id int, on bool) (RuleProposal, error) {
	b.deciding.Lock()
	defer b.deciding.Unlock()
	p, err := b.pending(id)
	if err != nil {
		return RuleProposal{}, err
	}
	if on {
		for _, had := range p.Changes {
			if had.Kind != "" {
				continue
			}
			if other := b.inTest(had.Rules, id); other != 0 {
				return RuleProposal{}, fmt.Errorf("%w: the rule %s is in test by proposal %d already", ErrConflict, had.ID, other)
			}
		}
		if err := b.stage(&p); err != nil {
			return RuleProposal{}, err
		}
		now := b.now().UTC()
		p.Stage, p.TestedAt = "test", &now
	} else {
		if err := b.unstage(&p); err != nil {
			return RuleProposal{}, err
		}
		p.Stage, p.TestedAt = "none", nil
	}
	p.Mine = p.RequesterID == who.ID
	return p.RuleProposal, b.keep(&p)
}

// inTest is the proposal, other than this one, of which one of the rules is in
// test; 0 for none.
func (b *Book) inTest(ids []string, but int) int {
	all, err := b.proposals()
	if err != nil {
		return 0
	}
	for _, p := range all {
		if p.ID == but || p.State != Pending || p.Stage != "test" {
			continue
		}
		for _, c := range p.Changes {
			if slices.ContainsFunc(c.Rules, func(id string) bool { return slices.Contains(ids, id) }) {
				return p.ID
			}
		}
	}
	return 0
}

// TestSource is the rules in test as a source of the rule set.
func (b *Book) TestSource() ruleset.Source {
	return ruleset.Source{Name: ruleset.TestSource, FS: os.DirFS(b.TestFolder())}
}

// TestFolder is where the files of the rules in test lie.
func (b *Book) TestFolder() string { return filepath.Join(b.dir, testDir) }

func (b *Book) testFile(p *kept, i int) string {
	return filepath.Join(b.TestFolder(), fmt.Sprintf("%d-%d.yml", p.ID, i))
}

// stage writes the proposal's rules under ids of their own, by which its
// correlations count its own rules and not those in force.
func (b *Book) stage(p *kept) error {
	renamed := map[string]string{}
	parsed := make([][]*sigma.Rule, len(p.Changes))
	for i, c := range p.Changes {
		rules, errs := sigma.Parse([]byte(c.After), nil)
		if len(errs) > 0 && c.Action != Deleted && c.Kind == "" {
			return fmt.Errorf("%w: %s: %w", ErrInvalid, c.ID, errs[0])
		}
		if c.Action == Deleted || c.Kind != "" {
			continue
		}
		parsed[i] = rules
		for _, r := range rules {
			renamed[r.ID] = r.ID + ruleset.TestSuffix
			if r.Name != "" {
				renamed[r.Name] = r.ID + ruleset.TestSuffix
			}
		}
	}
	b.importing.Add(1)
	defer b.importing.Add(-1)
	for i := range p.Changes {
		var docs []string
		for _, r := range parsed[i] {
			text, err := sigma.Rename(r.Source, r.ID+ruleset.TestSuffix, renamed)
			if err != nil {
				return fmt.Errorf("%w: %s: %w", ErrInvalid, r.ID, err)
			}
			docs = append(docs, text)
		}
		if len(docs) == 0 {
			continue
		}
		if err := replaceFile(b.testFile(p, i), []byte(strings.Join(docs, "---\n"))); err != nil {
			return err
		}
	}
	return nil
}

func (b *Book) unstage(p *kept) error {
	b.importing.Add(1)
	defer b.importing.Add(-1)
	for i := range p.Changes {
		if err := os.Remove(b.testFile(p, i)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("rulebook: %w", err)
		}
	}
	return nil
}

// Reject refuses somebody else's proposal, with a reason.
func (b *Book) Reject(by Person, id int, why string) (RuleProposal, error) {
	return b.decide(by, id, Rejected, why, false)
}

// Withdraw takes one's own proposal back.
func (b *Book) Withdraw(by Person, id int) (RuleProposal, error) {
	return b.decide(by, id, Withdrawn, "", true)
}

func (b *Book) decide(by Person, id int, state, why string, own bool) (RuleProposal, error) {
	b.deciding.Lock()
	defer b.deciding.Unlock()
	p, err := b.decidable(by, id, own)
	if err != nil {
		return RuleProposal{}, err
	}
	if why, err = comment(why, state == Rejected); err != nil {
		return RuleProposal{}, err
	}
	if err := b.unstage(&p); err != nil {
		return RuleProposal{}, err
	}
	p.Stage = "none"
	return b.close(&p, by, state, why)
}

func (b *Book) decidable(by Person, id int, own bool) (kept, error) {
	p, err := b.pending(id)
	switch {
	case err != nil:
	case own && p.RequesterID != by.ID:
		err = fmt.Errorf("%w: only who filed a proposal withdraws it", ErrOwn)
	case !own && p.RequesterID == by.ID:
		err = fmt.Errorf("%w: somebody else than who filed a proposal decides on it", ErrOwn)
	}
	return p, err
}

func (b *Book) close(p *kept, by Person, state, why string) (RuleProposal, error) {
	now := b.now().UTC()
	p.State, p.Decider, p.DecidedAt, p.Decision, p.Mine = state, by.Name, &now, why, p.RequesterID == by.ID
	return p.RuleProposal, b.keep(p)
}

// Approve puts somebody else's proposal in force as it was shown. Where a rule
// was changed meanwhile the proposal is in conflict and nothing is changed.
func (b *Book) Approve(by Person, id int, why string) (RuleProposal, error) {
	b.deciding.Lock()
	defer b.deciding.Unlock()
	p, err := b.decidable(by, id, false)
	if err != nil {
		return RuleProposal{}, err
	}
	if why, err = comment(why, false); err != nil {
		return RuleProposal{}, err
	}
	conflict, err := b.conflict(&p)
	if err != nil {
		return RuleProposal{}, err
	}
	if conflict != "" {
		if err := b.unstage(&p); err != nil {
			return RuleProposal{}, err
		}
		p.Stage = "none"
		return b.close(&p, by, InConflict, conflict)
	}
	b.importing.Add(1)
	defer b.importing.Add(-1)
	note := fmt.Sprintf("proposal %d of %s: %s", p.ID, p.Requester, p.Comment)
	for _, c := range p.Changes {
		if err := b.apply(c, c.After, Change{By: by.Name, Note: note}); err != nil {
			return RuleProposal{}, err // approving again goes on where it broke off
		}
	}
	if err := b.unstage(&p); err != nil {
		return RuleProposal{}, err
	}
	p.Stage = "production"
	return b.close(&p, by, Approved, why)
}

// conflict says which rule was changed since the proposal was made, "" where
// none was. What is as the proposal wants it already is none.
func (b *Book) conflict(p *kept) (string, error) {
	for i, c := range p.Changes {
		if c.Kind != "" {
			if conflict, err := b.besideConflict(&p.Changes[i]); conflict != "" || err != nil {
				return conflict, err
			}
			continue
		}
		e, there := b.Get(c.ID)
		switch {
		case there && e.Source == c.After, !there && c.Action == Deleted:
		case there && e.Revision != c.Revision:
			return fmt.Sprintf("rule %s is at revision %d by %s, and the proposal was made for %d", c.ID, e.Revision, cmp.Or(e.UpdatedBy, "hand"), c.Revision), nil
		case !there && c.Revision != 0:
			return fmt.Sprintf("rule %s was deleted meanwhile", c.ID), nil
		}
	}
	return "", nil
}

// apply makes the own rule's file what it is to be: "" for none.
func (b *Book) apply(c RuleChange, to string, change Change) error {
	if c.Kind != "" {
		return b.applyBeside(&c, to, change.By)
	}
	e, there := b.Get(c.ID)
	change.Revision = e.Revision
	switch {
	case there && e.Source == to, !there && to == "":
		return nil
	case to == "":
		_, err := b.Delete(c.ID, change)
		return err
	case there:
		_, _, err := b.Update(c.ID, to, change)
		return err
	}
	_, err := b.Create(to, change)
	return err
}

// Rollback takes a proposal that is in force back: each rule is again as it was
// before, the ones that it made are gone. id 0 is the one that came in force
// last. It is refused where a rule was changed since, unless force is set.
func (b *Book) Rollback(by Person, id int, why string, force bool) (RuleProposal, error) {
	b.deciding.Lock()
	defer b.deciding.Unlock()
	why, err := comment(why, true)
	if err != nil {
		return RuleProposal{}, err
	}
	all, err := b.proposals()
	if err != nil {
		return RuleProposal{}, err
	}
	if id == 0 {
		var last *kept
		for i := range all {
			if p := &all[i]; p.State == Approved && (last == nil || p.DecidedAt.After(*last.DecidedAt)) {
				last = p
			}
		}
		if last == nil {
			return RuleProposal{}, fmt.Errorf("%w: no proposal is in force", ErrNotFound)
		}
		id = last.ID
	}
	p, err := b.proposal(id)
	if err != nil {
		return RuleProposal{}, err
	}
	if p.State != Approved {
		return RuleProposal{}, fmt.Errorf("%w: proposal %d is %s, not in force", ErrDecided, id, p.State)
	}
	before := func(c RuleChange) string {
		if c.Revision == 0 && c.Kind == "" {
			return "" // a rule of the suite of that id is in force again
		}
		return c.Before
	}
	for i, c := range p.Changes {
		if c.Kind != "" {
			if conflict, err := b.besideConflict(&p.Changes[i]); err != nil || conflict != "" && !force {
				return RuleProposal{}, cmp.Or(err, fmt.Errorf("%w: %s; roll back with force to lose that", ErrConflict, conflict))
			}
			continue
		}
		e, there := b.Get(c.ID)
		as := there && e.Source == c.After || !there && c.After == "" // as the proposal left it
		back := there && e.Source == before(c) || !there && before(c) == ""
		if !as && !back && !force {
			return RuleProposal{}, fmt.Errorf("%w: rule %s was changed after proposal %d came in force; roll back with force to lose that", ErrConflict, c.ID, id)
		}
	}
	b.importing.Add(1)
	defer b.importing.Add(-1)
	note := fmt.Sprintf("rollback of proposal %d: %s", p.ID, why)
	for _, c := range p.Changes {
		if err := b.apply(c, before(c), Change{By: by.Name, Note: note, Action: map[bool]string{true: Restored}[before(c) != ""]}); err != nil {
			return RuleProposal{}, err
		}
	}
	now := b.now().UTC()
	p.State, p.Stage, p.RolledBy, p.RolledAt, p.RolledNote, p.Mine = RolledBack, "none", by.Name, &now, why, p.RequesterID == by.ID
	return p.RuleProposal, b.keep(&p)
}
