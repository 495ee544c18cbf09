package cmdb

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
)

// attrDataLevel is the security level of the data that an item holds, 1 (least) to
// MaxDataLevel, as its owner graded it.
const attrDataLevel = "data_level"

// dataLevelled selects the items that have a level, by their partial index, as
// keyMarked does the key assets.
const dataLevelled = `instr(attributes, '"data_level":"') > 0`

// MaxDataLevel is the highest level of data.
const MaxDataLevel = 5

// dataLevels are the levels of the data that items hold, in memory: of the few that
// have one.
type dataLevels struct {
	mu   sync.RWMutex
	of   map[string]int
	late map[string]int // what commits said while the levels are read; nil otherwise
}

func dataLevelOf(text string) int {
	if n, err := strconv.Atoi(text); err == nil && n >= 1 && n <= MaxDataLevel {
		return n
	}
	return 0 // what is no level says nothing
}

// DataLevel is the security level of the data that an item holds, or, where it says
// nothing of its own, its business system; 0 where neither says. Either may be "".
// It asks no database, and knows of each change before the call that made it
// returns.
func (s *Service) DataLevel(item, system string) int {
	d := &s.dataLevels
	d.mu.RLock()
	defer d.mu.RUnlock()
	if n := d.of[item]; n > 0 {
		return n
	}
	return d.of[system]
}

// note follows a commit.
func (d *dataLevels) note(w *writer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, stored := range w.items {
		n := dataLevelOf(stored.item.Attributes[attrDataLevel])
		if d.late != nil {
			d.late[stored.item.ID] = n
		}
		if n > 0 {
			d.of[stored.item.ID] = n
		} else {
			delete(d.of, stored.item.ID)
		}
	}
}

// readDataLevels reads the levels of all items: at the start, and from time to time,
// since another process may have changed the tables.
func (s *Service) readDataLevels(ctx context.Context) error {
	d := &s.dataLevels
	d.mu.Lock()
	d.late = map[string]int{}
	d.mu.Unlock()
	var rows []struct {
		ID         string `bun:"id"`
		Attributes string `bun:"attributes"`
	}
	err := s.db.NewSelect().Model((*itemRow)(nil)).Column("id", "attributes").Where(dataLevelled).Scan(ctx, &rows)
	d.mu.Lock()
	defer d.mu.Unlock()
	late := d.late
	d.late = nil
	if err != nil {
		return fmt.Errorf("cmdb: read the levels of data: %w", err)
	}
	d.of = make(map[string]int, len(rows))
	for _, r := range rows {
		var attributes map[string]string
		if err := json.Unmarshal([]byte(r.Attributes), &attributes); err != nil {
			return fmt.Errorf("cmdb: read the level of the data of item %s: %w", r.ID, err)
		}
		if n := dataLevelOf(attributes[attrDataLevel]); n > 0 {
			d.of[r.ID] = n
		}
	}
	for id, n := range late {
		if d.of[id] = n; n == 0 {
			delete(d.of, id)
		}
	}
	return nil
}
