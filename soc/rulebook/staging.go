package rulebook

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"icewatch/detections/ruleset"
	"icewatch/detections/sigma"
)

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
			other, err := b.inTest(had.Rules, id)
			if err != nil {
				return RuleProposal{}, err
			}
			if other != 0 {
				return RuleProposal{}, fmt.Errorf("%w: the rule %s is in test by proposal %d already", ErrConflict, had.ID, other)
			}
		}
		if err := b.stage(&p); err != nil {
			if p.Stage != "test" { // what was in test before stays
				err = errors.Join(err, b.unstage(&p))
			}
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
func (b *Book) inTest(ids []string, but int) (int, error) {
	all, err := b.proposals()
	if err != nil {
		return 0, err
	}
	for _, p := range all {
		if p.ID == but || p.State != Pending || p.Stage != "test" {
			continue
		}
		for _, c := range p.Changes {
			if slices.ContainsFunc(c.Rules, func(id string) bool { return slices.Contains(ids, id) }) {
				return p.ID, nil
			}
		}
	}
	return 0, nil
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
