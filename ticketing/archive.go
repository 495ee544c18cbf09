package ticketing

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
)

// Which incidents a list shows. The zero value leaves archived ones out.
const (
	ArchivedNone = ""
	ArchivedOnly = "only"
	ArchivedToo  = "too"
)

func archived(q *bun.SelectQuery, which string) (*bun.SelectQuery, error) {
	switch which {
	case ArchivedNone:
		return q.Where("archived_at = 0"), nil
	case ArchivedOnly:
		return q.Where("archived_at > 0"), nil
	case ArchivedToo:
		return q, nil
	}
	return nil, fmt.Errorf("%w: archived %q: want only or too, or nothing", ErrInvalid, which)
}

// ArchiveIncident puts a closed incident aside: lists show it only where they
// are asked for archived ones. Reopening brings it back as well.
func (s *Service) ArchiveIncident(ctx context.Context, by Actor, id string) (Incident, error) {
	return s.oneIncident(ctx, by, id, "archive", "", func(_ context.Context, _ bun.Tx, i *incident, now time.Time) ([]timelineRow, error) {
		if i.Status != StatusClosed {
			return nil, incidentConflict(i, "archived")
		}
		if i.ArchivedAt != 0 {
			return nil, &Conflict{Object: i.ID, Status: i.Status, By: i.ArchivedBy, At: at(i.ArchivedAt), Reason: fmt.Sprintf("incident %s was archived by %s", i.ID, i.ArchivedBy)}
		}
		i.ArchivedAt, i.ArchivedBy = now.UnixMilli(), by.Name
		return []timelineRow{entry(i.ID, now, "archived", by.Name, detections.Text{ZH: "归档", EN: "Archived"}, nil)}, nil
	})
}

// RestoreIncident brings an archived incident back into the lists, closed as it is.
func (s *Service) RestoreIncident(ctx context.Context, by Actor, id string) (Incident, error) {
	return s.oneIncident(ctx, by, id, "restore", "", func(_ context.Context, _ bun.Tx, i *incident, now time.Time) ([]timelineRow, error) {
		if i.ArchivedAt == 0 {
			return nil, &Conflict{Object: i.ID, Status: i.Status, Reason: fmt.Sprintf("incident %s is not archived", i.ID)}
		}
		i.ArchivedAt, i.ArchivedBy = 0, ""
		return []timelineRow{entry(i.ID, now, "restored", by.Name, detections.Text{ZH: "移出归档", EN: "Restored from the archive"}, nil)}, nil
	})
}

// archiveStep is how many incidents one transaction archives.
const archiveStep = 500

// ArchiveClosed archives what was closed before a time, and returns how many
// incidents that are. What somebody restored after that time stays where it is.
func (s *Service) ArchiveClosed(ctx context.Context, before time.Time) (n int, err error) {
	for {
		var ids []string
		err := s.write(ctx, func(ctx context.Context, tx bun.Tx) error {
			ids = nil
			if err := tx.NewSelect().Model((*incidentRow)(nil)).Column("id").
				Where("status = ? AND archived_at = 0 AND closed_at > 0 AND closed_at < ?", StatusClosed, before.UnixMilli()).
				Where("NOT EXISTS (SELECT 1 FROM ticketing_timeline AS t WHERE t.object = i.id AND t.kind = 'restored' AND t.at >= ?)", before.UnixMilli()).
				OrderExpr("closed_at, id").Limit(archiveStep).Scan(ctx, &ids); err != nil || len(ids) == 0 {
				return err
			}
			now := s.now()
			if _, err := tx.NewUpdate().Model((*incidentRow)(nil)).Where("id IN (?)", bun.In(ids)).
				Set("archived_at = ?", now.UnixMilli()).Set("archived_by = ?", SystemActor).Exec(ctx); err != nil {
				return err
			}
			entries := make([]timelineRow, 0, len(ids))
			for _, id := range ids {
				entries = append(entries, entry(id, now, "archived", SystemActor, detections.Text{ZH: "到期自动归档", EN: "Archived by age"}, nil))
			}
			s.live.forget()
			return saveTimeline(ctx, tx, entries)
		})
		if err != nil {
			return n, fmt.Errorf("ticketing: archive the incidents closed before %s: %w", before.Format(time.RFC3339), err)
		}
		if n += len(ids); len(ids) < archiveStep {
			return n, nil
		}
	}
}
