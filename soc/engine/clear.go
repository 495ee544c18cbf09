package engine

import (
	"log/slog"
	"path/filepath"
	"slices"

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
