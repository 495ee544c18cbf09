package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"

	"icewatch/soc/condition"
	"icewatch/soc/lake"
	"icewatch/soc/lake/partition"
	"icewatch/soc/retention"
)

// dropOrdered drops the days that the centre ordered to clear, before the lake
// opens. What cannot be dropped stays: the next order names it again.
func dropOrdered(dir string, log *slog.Logger) {
	gone, err := partition.Clear(dir, filepath.Join(dir, "lake"))
	for _, p := range gone {
		log.Warn("engine: a day of the lake is cleared, as the storage policy ordered", "class", p.Class, "day", p.Day, "rows", p.Rows, "bytes", p.Bytes)
	}
	if err != nil {
		log.Error("engine: not all that was ordered is cleared", "error", err)
	}
}

// settleDays brings old days to the cold folder, as the centre ordered, and opens
// the lake without those that cannot be reached. Where that fails what can be
// reached is in its place all the same.
func (h *healed) settleDays(ctx context.Context, opts Options, log *slog.Logger) {
	cold := partition.Cold{Dir: opts.ColdDir, Engine: opts.Dir, Lake: filepath.Join(opts.Dir, "lake")}
	var why error
	if cold.Dir != "" {
		if why = cold.Claim(); why != nil {
			log.Error("engine: the cold folder is not used", "folder", cold.Dir, "error", why)
			cold.Dir = ""
		} else {
			h.room.dirs = append(h.room.dirs, cold.Dir)
		}
	}
	s, err := cold.Settle(ctx)
	for _, p := range s.Moved {
		log.Info("engine: a day of the lake lies in the cold folder now", "class", p.Class, "day", p.Day)
	}
	for _, p := range s.Back {
		log.Info("engine: a day in the cold folder can be reached again", "class", p.Class, "day", p.Day)
	}
	if why = errors.Join(why, err); why == nil && len(s.Away) > 0 {
		why = errors.New("their files are not there")
	}
	if why == nil {
		return
	}
	h.board.Set(condition.Condition{Kind: condition.ColdAway, Key: opts.ColdDir, Severity: condition.High, Text: condition.Text{
		ZH: fmt.Sprintf("冷存储目录 %s 不可用：%v；%d 天的日志暂不可检索。请检查磁盘与挂载，恢复后重启引擎", opts.ColdDir, why, len(s.Away)),
		EN: fmt.Sprintf("the cold folder %s cannot be used: %v; %d days are not searched. Look at the disk and how it is mounted, then restart the suite", opts.ColdDir, why, len(s.Away))}})
}

// classes are the stores of the lake: those of the policy, and those that the
// configuration does not name any more but that still hold data. These stay
// readable, and nothing of them is deleted, until somebody clears them.
func classes(p retention.Policy, dir string, log *slog.Logger) []lake.Class {
	list := make([]lake.Class, len(p.Classes))
	for i, c := range p.Classes {
		list[i] = lake.Class{Name: c.Name, Retention: c.Keep}
	}
	held := partition.Classes(dir)
	for _, name := range held {
		// The one store of earlier versions becomes that of the class standard.
		early := name == "logs" && !slices.Contains(held, lake.Standard)
		if _, ok := p.Class(name); !ok && !early {
			log.Warn("engine: a retention class is not configured any more; what it holds stays readable and is not deleted", "class", name)
			list = append(list, lake.Class{Name: name, Retention: retention.Longest})
		}
	}
	return list
}
