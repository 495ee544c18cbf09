package fleet

import (
	"cmp"
	"math"
	"slices"

	"icewatch/collectors/fleet/wire"
)

// VersionPerformance is what agents of a version take of their hosts, by what those tell that are
// online: the figures that a new version is judged by before it goes to all.
type VersionPerformance struct {
	Version     string  `json:"version"`
	OS          string  `json:"os"`
	Arch        string  `json:"arch"`
	Agents      int     `json:"agents" doc:"Online, whose figures these are"`
	CPU         float64 `json:"cpu_percent" doc:"Of one core, the middle of them"`
	CPUMost     float64 `json:"cpu_percent_p95" doc:"Of one core, 19 of 20 take less"`
	Memory      uint64  `json:"memory_bytes" doc:"The middle of them"`
	MemoryMost  uint64  `json:"memory_bytes_p95" doc:"19 of 20 take less"`
	Tripped     int     `json:"tripped" doc:"Held back by their breaker"`
	Failing     int     `json:"failing" doc:"With an input that fails"`
	LostSamples uint64  `json:"lost_samples"`
	LostLines   uint64  `json:"lost_lines"`
}

// performance tells it by version and platform, the newest version first. s.mu is held.
func performance(members []*member) []VersionPerformance {
	type key struct{ version, os, arch string }
	by := map[key][]*member{}
	for _, m := range members {
		k := key{cmp.Or(m.Version, "unknown"), m.Facts.OS, m.Facts.Arch}
		by[k] = append(by[k], m)
	}
	out := []VersionPerformance{}
	for k, list := range by {
		v := VersionPerformance{Version: k.version, OS: k.os, Arch: k.arch, Agents: len(list)}
		var cpu []float64
		var memory []uint64
		for _, m := range list {
			cpu, memory = append(cpu, m.Usage.CPUPercent), append(memory, m.Usage.MemoryBytes)
			if m.State == wire.StateTripped {
				v.Tripped++
			}
			if slices.ContainsFunc(m.Inputs, func(in wire.InputState) bool { return in.State == "failing" }) {
				v.Failing++
			}
			v.LostSamples += m.Queue.DroppedMetrics
			v.LostLines += m.Queue.DroppedLines
		}
		slices.Sort(cpu)
		slices.Sort(memory)
		v.CPU, v.CPUMost = rank(cpu, 0.5), rank(cpu, 0.95)
		v.Memory, v.MemoryMost = rank(memory, 0.5), rank(memory, 0.95)
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b VersionPerformance) int {
		return cmp.Or(-cmp.Compare(a.Version, b.Version), cmp.Compare(a.OS, b.OS), cmp.Compare(a.Arch, b.Arch))
	})
	return out
}

// rank is the nearest rank of a share in sorted values, of which there is at least one.
func rank[T any](sorted []T, share float64) T {
	return sorted[max(int(math.Ceil(share*float64(len(sorted)))), 1)-1]
}
