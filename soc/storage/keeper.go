package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"icewatch/detections"
	"icewatch/soc/lake/partition"
	"icewatch/soc/retention"
	"icewatch/soc/state"
	"icewatch/soc/watch"
)

// SampleEvery is how often the folders are measured.
const SampleEvery = 10 * time.Minute

// clearTimeout is how long the engine may take to restart and clear.
const clearTimeout = 2 * time.Minute

// ErrProtected says that a partition may not be cleared; the error that wraps
// it says why.
var ErrProtected = errors.New("the partition is protected")

// ErrNoPartition says that there is no such partition.
var ErrNoPartition = errors.New("there is no such partition")

// Deps are what a Keeper works with.
type Deps struct {
	Data    string // the suite's folder
	Cold    string // folder for the lake's old days; "" is none
	Reserve int64  // bytes left free: below them intake stops
	Base    *retention.Policy
	Policy  func() Policy // in force
	Restart func()        // of the engine
	Log     *slog.Logger
}

// Keeper looks after the disks below the suite's folder. It is safe for
// concurrent use.
type Keeper struct {
	Deps
	samples *Samples
	now     func() time.Time

	mu       sync.Mutex
	sizes    map[string]int64 // by part, as last measured
	growth   map[string]float64
	history  time.Duration
	clearing sync.Mutex // one at a time
	cool     chan struct{}
}

// Open makes a keeper and measures once.
func Open(ctx context.Context, db *state.DB, d Deps) (*Keeper, error) {
	samples, err := OpenSamples(ctx, db)
	if err != nil {
		return nil, err
	}
	return &Keeper{Deps: d, samples: samples, now: time.Now, cool: make(chan struct{}, 1)}, nil
}

func (k *Keeper) engine() string { return filepath.Join(k.Data, "engine") }
func (k *Keeper) lake() string   { return filepath.Join(k.engine(), "lake") }
func (k *Keeper) cold() partition.Cold {
	return partition.Cold{Dir: k.Deps.Cold, Engine: k.engine(), Lake: k.lake()}
}

// parts are the folders that hold the suite's data, by name. The lake's classes
// count each for itself.
func (k *Keeper) parts() (map[string]string, error) {
	out := map[string]string{"lake": k.lake()}
	if k.Deps.Cold != "" {
		out["cold"] = k.Deps.Cold
	}
	top, err := os.ReadDir(k.Data)
	if err != nil {
		return nil, fmt.Errorf("storage: %w", err)
	}
	for _, e := range top {
		if name := e.Name(); e.IsDir() && name != "run" || e.Type()&fs.ModeSymlink != 0 {
			out[name] = filepath.Join(k.Data, name)
		}
	}
	for name, dir := range map[string]string{"lake": k.lake(), "cold": k.Deps.Cold} {
		classes, _ := os.ReadDir(dir) // not there before the first start of the engine, or not at all
		for _, e := range classes {
			if e.IsDir() {
				out[name+"/"+e.Name()] = filepath.Join(dir, e.Name())
			}
		}
	}
	return out, nil
}

// Measure measures the folders and writes a sample down.
func (k *Keeper) Measure(ctx context.Context) error {
	parts, err := k.parts()
	if err != nil {
		return err
	}
	sizes := map[string]int64{}
	for name, dir := range parts {
		if name == "lake" || name == "cold" {
			continue // by class
		}
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			dir = real
		}
		if sizes[name], err = partition.Size(dir); err != nil {
			return err
		}
	}
	for name, size := range sizes {
		if strings.HasPrefix(name, "lake/") {
			sizes["engine"] -= size
		}
	}
	sizes["engine"] = max(0, sizes["engine"])
	now := k.now()
	if err := k.samples.Add(ctx, now, sizes); err != nil {
		return err
	}
	past, err := k.samples.Since(ctx, now.Add(-History))
	if err != nil {
		return err
	}
	growth := map[string]float64{}
	history := time.Duration(0)
	for part, list := range past {
		if perDay, ok := Growth(list); ok {
			growth[part] = perDay
			history = max(history, list[len(list)-1].At.Sub(list[0].At))
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sizes, k.growth, k.history = sizes, growth, history
	return nil
}

// Fill is a disk and how soon it will be full.
type Fill struct {
	Disk
	Growth   *float64 `json:"growth_bytes_per_day" doc:"Of the suite's parts on it; null while less than an hour is known"`
	DaysLeft *float64 `json:"days_left" doc:"Until the reserve is reached at this growth; null where nothing grows or too little is known"`
}

// View is how the disks stand.
type View struct {
	Disks    []Fill             `json:"disks" nullable:"false"`
	DaysLeft *float64           `json:"days_left" doc:"The fewest of all disks"`
	Growth   *float64           `json:"growth_bytes_per_day" doc:"Of the whole suite"`
	History  float64            `json:"history_days" doc:"On how much history the growth rests"`
	Parts    map[string]int64   `json:"parts" doc:"Bytes by part, at most ten minutes old; lake/NAME is a retention class, cold/NAME its days in the cold folder"`
	ByPart   map[string]float64 `json:"growth_by_part" doc:"Bytes a day"`
}

// View tells how the disks stand now.
func (k *Keeper) View() (View, error) {
	parts, err := k.parts()
	if err != nil {
		return View{}, err
	}
	disks, err := Disks(parts, k.Reserve)
	if err != nil {
		return View{}, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	v := View{Disks: []Fill{}, History: k.history.Hours() / 24, Parts: maps.Clone(k.sizes), ByPart: maps.Clone(k.growth)}
	if v.Parts == nil {
		v.Parts = map[string]int64{}
	}
	if v.ByPart == nil {
		v.ByPart = map[string]float64{}
	}
	for _, d := range disks {
		f := Fill{Disk: d}
		sum, known := 0.0, false
		for _, part := range d.Holds {
			if g, ok := k.growth[part]; ok {
				sum, known = sum+g, true
			}
		}
		if known {
			f.Growth = &sum
			if days, ok := DaysLeft(d.Free, d.Reserve, sum); ok {
				f.DaysLeft = &days
				if v.DaysLeft == nil || days < *v.DaysLeft {
					v.DaysLeft = &days
				}
			}
			whole := sum
			if v.Growth != nil {
				whole += *v.Growth
			}
			v.Growth = &whole
		}
		v.Disks = append(v.Disks, f)
	}
	return v, nil
}

// Keeping is the retention in force.
func (k *Keeper) Keeping() *retention.Policy { return k.Policy().Keeping(k.Base) }

// Day is a partition and whether it may be cleared.
type Day struct {
	partition.Partition
	Protected bool   `json:"protected"`
	Reason    string `json:"reason" doc:"Why it is protected"`
}

// Days lists the days of a class, or of all, the oldest first.
func (k *Keeper) Days(class string) ([]Day, error) {
	list, err := partition.List(k.lake())
	if err != nil {
		return nil, err
	}
	p, keeping, now := k.Policy(), k.Keeping(), k.now()
	out := []Day{}
	for _, x := range list {
		if class == "" || x.Class == class {
			why := p.Protects(x, keeping, now)
			out = append(out, Day{x, why != "", why})
		}
	}
	return out, nil
}

// Plan is what would be cleared now.
type Plan struct {
	Free    int64                 `json:"free_bytes" doc:"On the disk of the newer days"`
	Target  int64                 `json:"target_bytes" doc:"To be freed; 0 where the clearing threshold is not reached"`
	Clear   []partition.Partition `json:"partitions" nullable:"false"`
	Frees   int64                 `json:"frees_bytes"`
	Refused []Refusal             `json:"refused" nullable:"false"`
}

// Plan tells what the policy would clear now: on each disk the oldest of the
// days that lie on it.
func (k *Keeper) Plan() (Plan, error) {
	p := Plan{Clear: []partition.Partition{}, Refused: []Refusal{}}
	places := map[string]string{"lake": k.lake()}
	if k.Deps.Cold != "" {
		places["cold"] = k.Deps.Cold
	}
	disks, err := Disks(places, k.Reserve)
	if err != nil {
		return Plan{}, err
	}
	for _, d := range disks {
		target := k.Policy().Target(d)
		if slices.Contains(d.Holds, "lake") {
			p.Free = d.Free
		}
		if target == 0 {
			continue
		}
		p.Target += target
		list, err := partition.List(k.lake())
		if err != nil {
			return Plan{}, err
		}
		list = slices.DeleteFunc(list, func(x partition.Partition) bool {
			return !slices.Contains(d.Holds, map[bool]string{false: "lake", true: "cold"}[x.Cold])
		})
		clear, refused := k.Policy().Plan(list, k.Keeping(), target, k.now())
		for _, x := range clear {
			p.Frees += x.Bytes
		}
		p.Clear, p.Refused = append(p.Clear, clear...), append(p.Refused, refused...)
	}
	return p, nil
}

// Clear drops partitions: the engine does so at a restart. It returns those
// that are gone. One that is protected, or not there, stops it before anything
// is dropped.
func (k *Keeper) Clear(ctx context.Context, want []partition.Partition) ([]partition.Partition, error) {
	k.clearing.Lock()
	defer k.clearing.Unlock()
	days, err := k.Days("")
	if err != nil {
		return nil, err
	}
	var order []partition.Partition
	for _, w := range want {
		i := slices.IndexFunc(days, func(d Day) bool { return d.Class == w.Class && d.Day == w.Day })
		switch {
		case i < 0:
			return nil, fmt.Errorf("%w: %s of the class %q", ErrNoPartition, w.Day, w.Class)
		case days[i].Protected:
			return nil, fmt.Errorf("%w: %s of the class %s: %s", ErrProtected, w.Day, w.Class, days[i].Reason)
		}
		order = append(order, days[i].Partition)
	}
	if len(order) == 0 {
		return nil, nil
	}
	if err := partition.OrderClear(k.engine(), order); err != nil {
		return nil, err
	}
	if err := k.restart(ctx, func() bool { return partition.ClearOrdered(k.engine()) }); err != nil {
		return nil, err
	}
	left, err := partition.List(k.lake())
	if err != nil {
		return nil, err
	}
	gone := slices.DeleteFunc(order, func(p partition.Partition) bool {
		return slices.ContainsFunc(left, func(l partition.Partition) bool { return l.Class == p.Class && l.Day == p.Day })
	})
	k.Log.Warn("storage: days of the lake were cleared", "partitions", len(gone))
	return gone, nil
}

// Alarms says what is wrong with the disks.
func (k *Keeper) Alarms() ([]watch.Alarm, error) {
	v, err := k.View()
	if err != nil {
		return nil, err
	}
	p := k.Policy()
	var out []watch.Alarm
	for _, d := range v.Disks {
		fields := map[string]string{"mount": d.Mount, "free_bytes": strconv.FormatInt(d.Free, 10), "free_percent": strconv.FormatFloat(d.Percent, 'f', 1, 64)}
		if limit := p.Low(d.Disk); limit != "" {
			out = append(out, watch.Alarm{Kind: "disk-low", Key: "disk-low/" + d.Mount, Fields: fields, Detail: detections.Text{
				ZH: fmt.Sprintf("磁盘 %s 剩余 %.1f%%（%d MiB），低于告警阈值 %s", d.Mount, d.Percent, d.Free>>20, limit),
				EN: fmt.Sprintf("The disk %s has %.1f%% (%d MiB) left, less than the threshold of %s", d.Mount, d.Percent, d.Free>>20, limit)}})
		}
		if d.DaysLeft != nil && p.AlertDays > 0 && *d.DaysLeft < p.AlertDays {
			days := strconv.FormatFloat(*d.DaysLeft, 'f', 1, 64)
			fields := maps.Clone(fields)
			fields["days_left"], fields["growth_bytes_per_day"] = days, strconv.FormatFloat(*d.Growth, 'f', 0, 64)
			out = append(out, watch.Alarm{Kind: "disk-days", Key: "disk-days/" + d.Mount, Fields: fields, Detail: detections.Text{
				ZH: fmt.Sprintf("磁盘 %s 按当前增长（每天 %d MiB）还可用 %s 天", d.Mount, int64(*d.Growth)>>20, days),
				EN: fmt.Sprintf("The disk %s lasts %s more days at the present growth of %d MiB a day", d.Mount, days, int64(*d.Growth)>>20)}})
		}
	}
	return out, nil
}
