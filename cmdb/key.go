package cmdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"icewatch/soc/reach"
)

// Key assets are those that an administrator marked by attrKey, those that a
// rule names by a filter, and what belongs to a business system that is one.
const attrKey = "key_asset"

// keyMarked selects the items that are marked, by their partial index. Attributes
// are stored as encoding/json writes a map of texts, which escapes the quotation
// marks of values: it finds nothing but the attribute.
const keyMarked = `instr(attributes, '"key_asset":"true"') > 0`

const (
	maxKeyRules  = 50
	maxKeyItems  = 100_000 // that rules name, in all
	keyAtLeast   = time.Second
	keyRestsSo   = 20 // times as long as the last look at the rules took
	maxKeyFilter = 4096
)

// KeyRule names key assets by a filter.
type KeyRule struct {
	Name   string `json:"name" maxLength:"100"`
	Filter string `json:"filter" maxLength:"4096" doc:"Items that it selects are key assets, such as criticality >= 5"`
}

// KeyPolicy says which items are key assets without being marked. It is a
// setting.
type KeyPolicy struct {
	Rules []KeyRule `json:"rules" nullable:"false" maxItems:"50"`
}

// DefaultKeyPolicy names none.
var DefaultKeyPolicy = KeyPolicy{Rules: []KeyRule{}}

// Check refuses rules that cannot be read or have no name of their own. Whether
// there are the fields that they ask for is known of a model alone: see
// CheckKeyRules.
func (p KeyPolicy) Check() error {
	if len(p.Rules) > maxKeyRules {
		return fmt.Errorf("rules: there are %d: want at most %d", len(p.Rules), maxKeyRules)
	}
	names := map[string]bool{}
	for i, r := range p.Rules {
		at := fmt.Sprintf("rules[%d]", i)
		switch n := utf8.RuneCountInString(r.Name); {
		case strings.TrimSpace(r.Name) == "" || n > 100:
			return fmt.Errorf("%s.name: it has %d characters: want 1 to 100", at, n)
		case names[r.Name]:
			return fmt.Errorf("%s.name: there are two rules %q", at, r.Name)
		case strings.TrimSpace(r.Filter) == "":
			return fmt.Errorf("%s.filter: it is empty, and would name every item: want a filter such as criticality >= 5", at)
		case len(r.Filter) > maxKeyFilter:
			return fmt.Errorf("%s.filter: it has %d bytes: want at most %d", at, len(r.Filter), maxKeyFilter)
		}
		names[r.Name] = true
		if _, err := parseExpression(&Filter{Expression: r.Filter}); err != nil {
			return fmt.Errorf("%s.filter: %w", at, err)
		}
	}
	return nil
}

// CheckKeyRules refuses rules that ask for what the model does not have.
func (s *Service) CheckKeyRules(ctx context.Context, p KeyPolicy) error {
	for i, r := range p.Rules {
		if _, err := s.Items(ctx, reach.None(), Filter{Expression: r.Filter, Limit: 1}); errors.Is(err, ErrQuery) {
			return fmt.Errorf("rules[%d].filter: %w", i, err)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// keys are the key assets, in memory.
type keys struct {
	mu     sync.RWMutex
	marked map[string]bool
	ruled  map[string]bool
	late   map[string]bool // what commits said while the marks are read; nil otherwise
	rules  []KeyRuleResult
}

// KeyRuleResult is what a rule of the key assets came to.
type KeyRuleResult struct {
	Name  string `json:"name"`
	Items int    `json:"items" doc:"Items that it names within the asker's reach"`
	Error string `json:"error,omitempty" doc:"Why it names none"`

	ids []string
}

// KeyAsset tells whether an item is a key asset, by itself or since its business
// system is one; either may be "". It asks no database, and knows of each mark
// before the call that made it returns; what rules name, a second later.
func (s *Service) KeyAsset(item, system string) bool {
	s.keys.mu.RLock()
	defer s.keys.mu.RUnlock()
	for _, id := range [...]string{item, system} {
		if id != "" && (s.keys.marked[id] || s.keys.ruled[id]) {
			return true
		}
	}
	return false
}

// note follows a commit.
func (k *keys) note(w *writer) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, stored := range w.items {
		is := stored.item.Attributes[attrKey] == "true"
		if k.late != nil {
			k.late[stored.item.ID] = is
		}
		if is {
			k.marked[stored.item.ID] = true
		} else {
			delete(k.marked, stored.item.ID)
		}
	}
}

// readMarks reads which items are marked: at the start, and from time to time,
// since another process may have changed the tables.
func (s *Service) readMarks(ctx context.Context) error {
	k := &s.keys
	k.mu.Lock()
	k.late = map[string]bool{}
	k.mu.Unlock()
	var ids []string
	err := s.db.NewSelect().Model((*itemRow)(nil)).Column("id").Where(keyMarked).Scan(ctx, &ids)
	k.mu.Lock()
	defer k.mu.Unlock()
	late := k.late
	k.late = nil
	if err != nil {
		return fmt.Errorf("cmdb: read which items are key assets: %w", err)
	}
	marked := make(map[string]bool, len(ids))
	for _, id := range ids {
		marked[id] = true
	}
	for id, is := range late {
		if is {
			marked[id] = true
		} else {
			delete(marked, id)
		}
	}
	k.marked = marked
	return nil
}

// RunKeyAssets follows the rules of the key assets until ctx ends: after every
// change of the items, and when nudged as after a change of the rules.
func (s *Service) RunKeyAssets(ctx context.Context, policy func() KeyPolicy, nudge <-chan struct{}) {
	for {
		changed := s.Stir()
		began := time.Now()
		if err := s.followKeyRules(ctx, policy()); err != nil && ctx.Err() == nil {
			slog.Warn("cmdb: key assets are as they were; they are looked at again with the next change", "error", err)
		}
		rest := time.NewTimer(max(keyAtLeast, keyRestsSo*time.Since(began)))
		select {
		case <-rest.C:
		case <-nudge:
			rest.Stop()
			continue
		case <-ctx.Done():
			rest.Stop()
			return
		}
		select {
		case <-changed:
		case <-nudge:
		case <-ctx.Done():
			return
		}
	}
}

// followKeyRules works out which items the rules name. A rule that cannot be
// asked, or names too many, names none, and says so.
func (s *Service) followKeyRules(ctx context.Context, p KeyPolicy) error {
	if err := s.readMarks(ctx); err != nil {
		return err
	}
	if err := s.readDataLevels(ctx); err != nil {
		return err
	}
	ruled, results := map[string]bool{}, make([]KeyRuleResult, 0, len(p.Rules))
	for _, r := range p.Rules {
		result := KeyRuleResult{Name: r.Name}
		ids, err := s.idsOf(ctx, r.Filter, maxKeyItems-len(ruled))
		switch {
		case errors.Is(err, ErrQuery):
			result.Error = err.Error()
		case err != nil:
			return err
		}
		for _, id := range ids {
			ruled[id] = true
		}
		result.ids = ids
		results = append(results, result)
	}
	s.keys.mu.Lock()
	defer s.keys.mu.Unlock()
	s.keys.ruled, s.keys.rules = ruled, results
	return nil
}

// idsOf are the items, of any reach, that a filter selects: limit at most.
func (s *Service) idsOf(ctx context.Context, filter string, limit int) (ids []string, err error) {
	f := Filter{Expression: filter}
	e, err := parseExpression(&f)
	if err != nil {
		return nil, err
	}
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	err = s.look(ctx, reach.All(), followsRelations(e), func(fd *finder) error {
		set, err := fd.filtered(&f, e)
		if err != nil {
			return err
		}
		if int(set.Count()) > limit { // how many there are is not for everybody who reads the rule's error
			return fmt.Errorf("%w: the rules together select more than %d items, with this one: narrow it", ErrQuery, maxKeyItems)
		}
		column := fd.v.Column(colID)
		for seq, ok := set.NextSet(0); ok; seq, ok = set.NextSet(seq + 1) {
			ids = append(ids, column.First(int32(seq)))
		}
		return nil
	})
	return ids, asFilterError(err)
}

// KeyAssets counts the key assets within a reach.
type KeyAssets struct {
	Items   int             `json:"items" doc:"Marked or named by a rule"`
	Marked  int             `json:"marked"`
	Members int             `json:"members" doc:"Items that are key assets since their business system is one"`
	Classes map[string]int  `json:"classes" nullable:"false" doc:"Class → items, members left out"`
	Tenants map[string]int  `json:"tenants" nullable:"false" doc:"Tenant → items, members left out"`
	Rules   []KeyRuleResult `json:"rules" nullable:"false"`
}

// KeyAssets counts them.
func (s *Service) KeyAssets(ctx context.Context, r reach.Reach) (KeyAssets, error) {
	out := KeyAssets{Classes: map[string]int{}, Tenants: map[string]int{}, Rules: []KeyRuleResult{}}
	s.keys.mu.RLock()
	marked, ruled, results := maps.Clone(s.keys.marked), s.keys.ruled, s.keys.rules
	s.keys.mu.RUnlock()
	all := maps.Clone(marked)
	if all == nil {
		all = map[string]bool{}
	}
	maps.Copy(all, ruled)
	seen, systems := make(map[string]bool, len(all)), []string{}
	for part := range slices.Chunk(slices.Sorted(maps.Keys(all)), chunk) {
		var rows []itemRow
		if err := r.Within(s.db.NewSelect().Model(&rows).Column("id", "class", "tenant"), "i").Where("i.id IN (?)", bun.In(part)).Scan(ctx); err != nil {
			return out, fmt.Errorf("cmdb: count the key assets: %w", err)
		}
		for _, row := range rows {
			seen[row.ID] = true
			out.Items++
			out.Classes[row.Class]++
			out.Tenants[row.Tenant]++
			if marked[row.ID] {
				out.Marked++
			}
			if row.Class == BusinessSystem {
				systems = append(systems, row.ID)
			}
		}
	}
	for part := range slices.Chunk(systems, chunk) {
		var ids []string
		if err := r.Within(s.db.NewSelect().Model((*itemRow)(nil)).Column("id"), "i").Where("i.system_id IN (?)", bun.In(part)).Scan(ctx, &ids); err != nil {
			return out, fmt.Errorf("cmdb: count what belongs to key systems: %w", err)
		}
		for _, id := range ids {
			if !seen[id] {
				out.Members++
			}
		}
	}
	for _, result := range results {
		told := KeyRuleResult{Name: result.Name, Error: result.Error}
		for _, id := range result.ids {
			if seen[id] {
				told.Items++
			}
		}
		out.Rules = append(out.Rules, told)
	}
	return out, nil
}
