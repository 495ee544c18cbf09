package export

import (
	"context"
	"fmt"
	"syscall"
)

// Limits bound exports. They can be changed while the suite runs.
type Limits struct {
	MaxRows    int64 `json:"max_rows" doc:"Of one export"`
	MaxBytes   int64 `json:"max_bytes" doc:"Of one export's file"`
	OwnerBytes int64 `json:"owner_bytes" doc:"Of one person's files together"`
	OwnerFiles int   `json:"owner_files" doc:"One person's files"`
	OwnerOpen  int   `json:"owner_open" doc:"One person's exports that wait or run"`
	TotalBytes int64 `json:"total_bytes" doc:"Of all files together"`
	Days       int   `json:"days" doc:"How long a file is kept that its owner did not keep"`
}

// DefaultLimits are in force until somebody changes them.
var DefaultLimits = Limits{MaxRows: 5_000_000, MaxBytes: 2048 * mib, OwnerBytes: 8192 * mib, OwnerFiles: 200, OwnerOpen: 5, TotalBytes: 32768 * mib, Days: 7}

// Check says what is wrong with limits.
func (l Limits) Check() error {
	for _, c := range []struct {
		name             string
		value, low, high int64
	}{
		{"max_rows", l.MaxRows, 1, 100_000_000}, {"max_bytes", l.MaxBytes, mib, 1 << 40}, {"owner_bytes", l.OwnerBytes, mib, 1 << 50},
		{"owner_files", int64(l.OwnerFiles), 1, 10_000}, {"owner_open", int64(l.OwnerOpen), 1, 100}, {"total_bytes", l.TotalBytes, mib, 1 << 50}, {"days", int64(l.Days), 1, 3650},
	} {
		if c.value < c.low || c.value > c.high {
			return fmt.Errorf("%s: it is %d: %d to %d are right", c.name, c.value, c.low, c.high)
		}
	}
	return nil
}

// use is what an owner has.
type use struct {
	Open  int
	Files int
	Bytes int64
	Total int64 // of everybody
}

func (s *Service) use(ctx context.Context, owner string) (u use, err error) {
	err = s.db.Read.NewRaw(`SELECT count(*) FILTER (WHERE owner = ?0 AND state IN ('queued', 'running')), count(*) FILTER (WHERE owner = ?0 AND state = 'done'),
		coalesce(sum(bytes) FILTER (WHERE owner = ?0 AND state = 'done'), 0), coalesce(sum(bytes) FILTER (WHERE state = 'done'), 0) FROM exports`, owner).
		Scan(ctx, &u.Open, &u.Files, &u.Bytes, &u.Total)
	if err != nil {
		return u, fmt.Errorf("export: add up the files: %w", err)
	}
	return u, nil
}

// room says whether the disk has any left for exports.
func (s *Service) room() error {
	var st syscall.Statfs_t
	if err := syscall.Statfs(s.deps.Dir, &st); err != nil {
		return fmt.Errorf("export: ask the disk: %w", err)
	}
	if free := int64(st.Bavail) * int64(st.Bsize); free < s.deps.MinFree {
		return fmt.Errorf("%w: the disk has %d MiB free, and %d are left to what comes in", ErrRoom, free/mib, s.deps.MinFree/mib)
	}
	return nil
}

// Room is what exports may take, and what of it an owner has.
type Room struct {
	Limits
	Open  int   `json:"open" doc:"Mine that wait or run"`
	Files int   `json:"files" doc:"Mine"`
	Bytes int64 `json:"bytes" doc:"Of my files"`
}

// Room tells what exports may take, and what of it the owner has.
func (s *Service) Room(ctx context.Context, owner string) (Room, error) {
	u, err := s.use(ctx, owner)
	return Room{s.deps.Limits(), u.Open, u.Files, u.Bytes}, err
}
