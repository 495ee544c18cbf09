package cmdb

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/uptrace/bun"
)

// lateFor is how long a change of criticality is known as one of late. What
// was enriched before the change must have become an alert by then.
const lateFor = time.Hour

// lately is what was made more or less critical of late. Enrichment follows a
// change within a second; who judges an alert asks here, so that even the alert
// that comes at once is judged by what its item is now.
type lately struct {
	mu      sync.RWMutex
	weighed map[string]weight // by item
	swept   time.Time
}

type weight struct {
	criticality int
	at          time.Time
}

// Criticality is how critical an item is, 1 to 5, where that was changed within
// the last hour; ok is false of every other item. It asks no database and knows
// of each change before the call that made it returns.
func (s *Service) Criticality(id string) (criticality int, ok bool) {
	s.lately.mu.RLock()
	defer s.lately.mu.RUnlock()
	w, ok := s.lately.weighed[id]
	return w.criticality, ok && s.now().Sub(w.at) < lateFor
}

// noteWeights keeps the criticalities that a commit changed, and gives up those
// that are of late no more.
func (l *lately) noteWeights(w *writer, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, it := range w.weighed {
		l.weighed[it.ID] = weight{it.Criticality, now}
	}
	if now.Sub(l.swept) < lateFor/4 {
		return
	}
	l.swept = now
	for id, w := range l.weighed {
		if now.Sub(w.at) >= lateFor {
			delete(l.weighed, id)
		}
	}
}

// recallWeights finds what was made more or less critical before the start: an
// alert of before may still be on its way.
func (s *Service) recallWeights(ctx context.Context) error {
	var ids []string
	now := s.now()
	err := s.db.NewSelect().Model((*historyRow)(nil)).ColumnExpr("DISTINCT h.item_id").Where("h.time > ? AND h.action = ?", now.Add(-lateFor).UnixMilli(), actionUpdated).
		Where("h.changes LIKE ?", `%"field":"`+colCriticality+`"%`).Scan(ctx, &ids)
	if err != nil {
		return fmt.Errorf("cmdb: what became more or less critical of late: %w", err)
	}
	for start := 0; start < len(ids); start += chunk {
		var rows []itemRow
		if err := s.db.NewSelect().Model(&rows).Column("id", "criticality").Where("i.id IN (?)", bun.In(ids[start:min(start+chunk, len(ids))])).Scan(ctx); err != nil {
			return fmt.Errorf("cmdb: what became more or less critical of late: %w", err)
		}
		for _, r := range rows {
			s.lately.weighed[r.ID] = weight{r.Criticality, now}
		}
	}
	return nil
}
