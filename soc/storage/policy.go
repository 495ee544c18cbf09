package storage

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"icewatch/soc/lake/partition"
	"icewatch/soc/retention"
)

// Policy is what the operators decide about the disks while the suite runs.
type Policy struct {
	AlertPercent float64        `json:"alert_free_percent" doc:"Alarm when less of a disk is free, in percent; 0 is never"`
	AlertBytes   int64          `json:"alert_free_bytes" doc:"Alarm when fewer bytes are free; 0 is never"`
	AlertDays    float64        `json:"alert_days_left" doc:"Alarm when a disk will be full within so many days; 0 is never"`
	ClearPercent float64        `json:"clear_free_percent" doc:"Clear the oldest data when less of the lake's disk is free, in percent; 0 is never"`
	ClearBytes   int64          `json:"clear_free_bytes" doc:"Clear the oldest data when fewer bytes are free; 0 is never"`
	BelowMinimum bool           `json:"clear_below_minimum" doc:"Clear security and audit logs younger than the legal minimum of 180 days, too. The law forbids it; leave it off"`
	ClassDays    map[string]int `json:"class_days" nullable:"false" doc:"Days that retention classes keep, over those of the configuration. A change restarts the engine, which takes seconds"`
	LogsDays     int            `json:"logs_days" doc:"Days that the class standard keeps, over lake.retention; 0 is as configured"`
	FlowsDays    int            `json:"flows_days" doc:"Days that flow records are kept, in a class of their own; 0 is as configured"`
}

// DefaultPolicy alarms and clears nothing.
var DefaultPolicy = Policy{AlertPercent: 15, AlertDays: 14, ClassDays: map[string]int{}}

// flowsClass is the class that FlowsDays makes.
const flowsClass = "flows"

// Check says what is wrong with the policy, given the retention of the
// configuration.
func (p Policy) Check(base *retention.Policy) error {
	for _, x := range []struct {
		name  string
		value float64
		most  float64
	}{{"alert_free_percent", p.AlertPercent, 99}, {"clear_free_percent", p.ClearPercent, 90}, {"alert_free_bytes", float64(p.AlertBytes), 1 << 60},
		{"clear_free_bytes", float64(p.ClearBytes), 1 << 60}, {"alert_days_left", p.AlertDays, MostDays}} {
		if x.value < 0 || x.value > x.most {
			return fmt.Errorf("%s: %v: 0 to %.0f is expected", x.name, x.value, x.most)
		}
	}
	if p.ClearPercent > 0 && p.AlertPercent > 0 && p.ClearPercent >= p.AlertPercent {
		return fmt.Errorf("clear_free_percent: %v: less than alert_free_percent, %v, is expected: the alarm comes first", p.ClearPercent, p.AlertPercent)
	}
	if p.ClearBytes > 0 && p.AlertBytes > 0 && p.ClearBytes >= p.AlertBytes {
		return fmt.Errorf("clear_free_bytes: %d: less than alert_free_bytes, %d, is expected: the alarm comes first", p.ClearBytes, p.AlertBytes)
	}
	for _, name := range slices.Sorted(maps.Keys(p.ClassDays)) {
		if _, ok := base.Class(name); !ok {
			return fmt.Errorf("class_days: there is no retention class %q", name)
		}
	}
	for name, days := range map[string]int{"logs_days": p.LogsDays, "flows_days": p.FlowsDays} {
		if days < 0 {
			return fmt.Errorf("%s: %d: 0 or more is expected", name, days)
		}
	}
	if faults := p.Keeping(base).Check(); len(faults) > 0 {
		return fmt.Errorf("class_days: %s", faults[0].Reason)
	}
	return nil
}

// Keeping is the retention in force: that of the configuration, with what the
// policy says over it.
func (p Policy) Keeping(base *retention.Policy) *retention.Policy {
	out := *base
	out.Classes = slices.Clone(base.Classes)
	set := func(name string, days int) {
		keep := time.Duration(days) * retention.Day
		if i := slices.IndexFunc(out.Classes, func(c retention.Class) bool { return c.Name == name }); i >= 0 {
			out.Classes[i].Keep = keep // Cold stays as configured
		} else {
			out.Classes = append(out.Classes, retention.Class{Name: name, Keep: keep})
		}
	}
	for name, days := range p.ClassDays {
		set(name, days)
	}
	if p.LogsDays > 0 {
		set(retention.Standard, p.LogsDays)
	}
	if p.FlowsDays > 0 {
		set(flowsClass, p.FlowsDays)
		out.Flows = flowsClass
	}
	return &out
}

// Low tells why a disk is to be alarmed about, "" where it is not.
func (p Policy) Low(d Disk) (limit string) {
	switch {
	case p.AlertPercent > 0 && d.Percent < p.AlertPercent:
		return fmt.Sprintf("%v%%", p.AlertPercent)
	case p.AlertBytes > 0 && d.Free < p.AlertBytes:
		return fmt.Sprintf("%d MiB", p.AlertBytes>>20)
	}
	return ""
}

// Target is how many bytes have to be freed on a disk, 0 where the clearing
// threshold is not reached. A hundredth of the disk more is freed, so that the
// threshold is not reached again within the hour.
func (p Policy) Target(d Disk) int64 {
	least := max(p.ClearBytes, int64(p.ClearPercent/100*float64(d.usable())))
	if least == 0 || d.Free >= least {
		return 0
	}
	return least + d.usable()/100 - d.Free
}

// Refusal is a partition that may not go, and why.
type Refusal struct {
	partition.Partition
	Reason string `json:"reason"`
}

// Plan chooses what goes to free bytes: the oldest days first, whatever their
// class. What may not go is named where the rest does not suffice.
func (p Policy) Plan(list []partition.Partition, keeping *retention.Policy, target int64, now time.Time) (clear []partition.Partition, refused []Refusal) {
	for _, x := range list {
		if target <= 0 {
			return clear, nil
		}
		if why := p.Protects(x, keeping, now); why != "" {
			refused = append(refused, Refusal{x, why})
			continue
		}
		clear = append(clear, x)
		target -= x.Bytes
	}
	if target <= 0 {
		refused = nil
	}
	return clear, refused
}

// Protects says why a partition may not be cleared, "" where it may: events
// still come for the last two days, and a class that holds security and audit
// logs keeps them for the legal minimum.
func (p Policy) Protects(x partition.Partition, keeping *retention.Policy, now time.Time) string {
	day, err := time.Parse(time.DateOnly, x.Day)
	if err != nil {
		return "it is no day"
	}
	age := now.UTC().Sub(day)
	switch {
	case age < 2*retention.Day:
		return "events of this day still come in"
	case !p.BelowMinimum && keeping.Secure(x.Class) && age < retention.LegalMinimum+retention.Day:
		return fmt.Sprintf("the class %s holds security and audit logs, which are kept for %d days at least (Cybersecurity Law of the PRC, article 21)", x.Class, int(retention.LegalMinimum/retention.Day))
	}
	return ""
}
