package rulebook

import (
	"cmp"
	"fmt"
)

// pending is a proposal that can be decided.
func (b *Book) pending(id int) (kept, error) {
	p, err := b.proposal(id)
	if err == nil && p.State != Pending {
		err = fmt.Errorf("%w: proposal %d is %s", ErrDecided, id, p.State)
	}
	return p, err
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
