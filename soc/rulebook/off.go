package rulebook

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Off says who switched a rule off, when and why.
type Off struct {
	By     string    `json:"by"`
	At     time.Time `json:"at"`
	Reason string    `json:"reason,omitempty"`
}

func (b *Book) readOff() error {
	path := filepath.Join(b.dir, offFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		b.off = map[string]Off{}
		return nil
	}
	if err != nil {
		return fmt.Errorf("rulebook: %w", err)
	}
	if err := json.Unmarshal(data, &b.off); err != nil {
		return fmt.Errorf("rulebook: the list of rules that are switched off is damaged: %s: %w; put it right, or remove it to have every rule on", path, err)
	}
	if b.off == nil {
		b.off = map[string]Off{}
	}
	return nil
}

// Off returns the rules that are switched off, by id.
func (b *Book) Off() map[string]Off {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.off)
}

// OffIDs returns their ids, sorted.
func (b *Book) OffIDs() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Sorted(maps.Keys(b.off))
}

// Switch switches rules on or off, all of them or none, and returns those that
// were not so already. It does not look whether there is such a rule: one that
// is not there now may come back.
func (b *Book) Switch(ids []string, on bool, by, reason string) ([]string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	off := maps.Clone(b.off)
	changed := []string{}
	for _, id := range ids {
		if _, is := off[id]; is != on {
			continue
		}
		changed = append(changed, id)
		if on {
			delete(off, id)
		} else {
			off[id] = Off{By: by, At: b.now().UTC(), Reason: reason}
		}
	}
	if len(changed) == 0 {
		return changed, nil
	}
	data, err := json.MarshalIndent(off, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("rulebook: %w", err)
	}
	if err := replaceFile(filepath.Join(b.dir, offFile), append(data, '\n')); err != nil {
		return nil, err
	}
	b.off = off
	action := Switched
	if on {
		action = Enabled
	}
	for _, id := range changed {
		main := id
		if e := b.find(id); e != nil {
			main = e.ID
		}
		if _, err := b.record(main, Version{By: by, Action: action, Note: reason}); err != nil {
			return changed, err
		}
	}
	return changed, nil
}
