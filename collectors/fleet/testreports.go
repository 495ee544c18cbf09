package fleet

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"icewatch/collectors/fleet/roster"
	"icewatch/collectors/fleet/wire"
	"icewatch/detections"
)

// Verdicts of test reports.
const (
	TestPass         = "pass"
	TestFail         = "fail"
	TestInsufficient = "insufficient" // too little was measured to say
)

// The ceiling that agents keep below, where a report is asked for without one.
const (
	ceilingCPU    = 1.0   // percent of one core, in the middle minute
	ceilingMemory = 100.0 // MB, 19 of 20 minutes
)

// Bounds of test reports.
const (
	leastReadings  = 10 // minutes that a host was measured, to count
	awaitReadings  = 15 // minutes after an upgrade, before its report is made
	awaitAtMost    = time.Hour
	keptReports    = 200
	forgottenAfter = 24 * time.Hour // an upgrade whose report was not made by then gets none
)

// TestReport is what agents of a version took of their hosts, by what the centre wrote down
// minute by minute, beside the version before on the same hosts.
type TestReport struct {
	ID       string            `json:"id"`
	Tenants  []string          `json:"tenants" nullable:"false" doc:"Whose hosts it is about"`
	Version  string            `json:"version"`
	Before   []string          `json:"before" nullable:"false" doc:"Versions that the hosts had before"`
	Job      string            `json:"job,omitempty" doc:"Upgrade that it was made after"`
	At       time.Time         `json:"at"`
	By       string            `json:"by" doc:"system where the centre made it by itself"`
	CPU      float64           `json:"ceiling_cpu_percent" doc:"Of one core; the middle minute is held against it"`
	Memory   float64           `json:"ceiling_memory_mb" doc:"19 of 20 minutes are held against it"`
	Verdict  string            `json:"verdict" enum:"pass,fail,insufficient"`
	Reasons  []detections.Text `json:"reasons" nullable:"false"`
	Measured int               `json:"measured" doc:"Hosts with enough minutes to count"`
	Compared int               `json:"compared" doc:"Of these, hosts with enough minutes of the version before"`
	Dropped  float64           `json:"dropped" doc:"Lines and samples that queues dropped in the time"`
	Tripped  int               `json:"tripped" doc:"Hosts whose breaker held the agent back"`
	Figures  []TestFigure      `json:"figures" nullable:"false"`
	Hosts    []TestHost        `json:"hosts" nullable:"false" doc:"Those over the ceiling first"`
}

// TestFigure is one figure of a report.
type TestFigure struct {
	Name   string      `json:"name" enum:"cpu,memory,network,samples,gather,queue,dropped"`
	Unit   string      `json:"unit"`
	All    *TestSpread `json:"all,omitempty" doc:"Of all hosts that count; absent where none does"`
	After  *TestSpread `json:"after,omitempty" doc:"Of the hosts that are compared"`
	Before *TestSpread `json:"before,omitempty" doc:"Of the same hosts, with the version before"`
	Worse  bool        `json:"worse" doc:"The middle or 19 of 20 minutes take more than 1.2 times what they took before"`
}

// TestSpread are values of minutes.
type TestSpread struct {
	Minutes int     `json:"minutes"`
	P50     float64 `json:"p50"`
	P95     float64 `json:"p95"`
	Most    float64 `json:"max"`
}

// TestHost is a host of a report.
type TestHost struct {
	Agent         string      `json:"agent"`
	Host          string      `json:"host"`
	Platform      string      `json:"platform" doc:"Such as linux/amd64"`
	Minutes       int         `json:"minutes" doc:"Measured of the version"`
	Before        string      `json:"before,omitempty" doc:"Version before"`
	BeforeMinutes int         `json:"before_minutes" doc:"Measured of it"`
	Enough        bool        `json:"enough" doc:"It counts"`
	Over          bool        `json:"over" doc:"It is over the ceiling"`
	CPU           *TestSpread `json:"cpu,omitempty"`
	Memory        *TestSpread `json:"memory,omitempty"`
	CPUBefore     *TestSpread `json:"cpu_before,omitempty"`
	MemoryBefore  *TestSpread `json:"memory_before,omitempty"`
}

// TestReportDraft asks for a report.
type TestReportDraft struct {
	Version string   `json:"version" minLength:"1" maxLength:"64"`
	Hosts   []string `json:"hosts,omitempty" maxItems:"1000" doc:"Ids; all within reach that run the version where it is absent, at most 1,000"`
	CPU     float64  `json:"ceiling_cpu_percent,omitempty" minimum:"0" maximum:"10000" doc:"1 where it is absent"`
	Memory  float64  `json:"ceiling_memory_mb,omitempty" minimum:"0" maximum:"1000000" doc:"100 where it is absent"`
}

func (r *TestReport) within(a Asker) bool {
	return !slices.ContainsFunc(r.Tenants, func(t string) bool { return !a.may(t) })
}

// TestReports lists reports whose hosts are all within reach, the newest first; of a version
// where one is given. Their hosts are left out.
func (s *Service) TestReports(a Asker, version string) []TestReport {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []TestReport{}
	for _, r := range sorted(s.reports) {
		if r.within(a) && (version == "" || r.Version == version) {
			x := *r
			x.Hosts = []TestHost{}
			out = append(out, x)
		}
	}
	slices.Reverse(out)
	return out
}

// TestReport is one report.
func (s *Service) TestReport(a Asker, id string) (TestReport, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.reports[id]
	if r == nil || !r.within(a) {
		return TestReport{}, ErrNotFound
	}
	return *r, nil
}

// MakeTestReport makes a report of what was written down so far.
func (s *Service) MakeTestReport(ctx context.Context, a Asker, d TestReportDraft) (TestReport, error) {
	if len(d.Hosts) > MaxBatch {
		return TestReport{}, invalid("%d hosts; want at most %d", len(d.Hosts), MaxBatch)
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	s.mu.Lock()
	var list []*member
	err := func() error {
		for _, id := range d.Hosts {
			m, err := s.find(a, id)
			if err != nil {
				return err
			}
			if number(m.Version) != d.Version {
				return invalid("%s runs version %s, not %s", m.Name, cmp.Or(number(m.Version), "unknown"), clip(d.Version, 64))
			}
			list = append(list, m)
		}
		if len(d.Hosts) > 0 {
			return nil
		}
		for _, m := range sorted(s.agents) {
			if a.may(m.Tenant) && m.RevokedAt.IsZero() && !m.Scans() && number(m.Version) == d.Version && len(list) < MaxBatch {
				list = append(list, m)
			}
		}
		if len(list) == 0 {
			return invalid("no host within reach runs version %q", clip(d.Version, 64))
		}
		return nil
	}()
	var r TestReport
	if err == nil {
		r = s.testReport(list, d.Version, cmp.Or(d.CPU, ceilingCPU), cmp.Or(d.Memory, ceilingMemory))
		r.By = a.Name
	}
	s.mu.Unlock()
	if err != nil {
		return TestReport{}, err
	}
	return r, s.keepReport(ctx, &r)
}

// keepReport stores a report and forgets the oldest beyond what is kept. s.changing is held.
func (s *Service) keepReport(ctx context.Context, r *TestReport) error {
	docs := []roster.Document{{Kind: roster.KindTestReport, ID: r.ID, Data: r}}
	s.mu.Lock()
	old := sorted(s.reports)
	old = old[:max(len(old)+1-keptReports, 0)]
	s.mu.Unlock()
	for _, o := range old {
		docs = append(docs, roster.Document{Kind: roster.KindTestReport, ID: o.ID})
	}
	if err := s.store.Write(ctx, docs...); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reports[r.ID] = r
	for _, o := range old {
		delete(s.reports, o.ID)
	}
	tenant := ""
	if len(r.Tenants) == 1 {
		tenant = r.Tenants[0]
	}
	s.note(roster.Operation{Tenant: tenant, Object: "test-report:" + r.ID, Kind: "test-report-made", Actor: r.By, OK: r.Verdict != TestFail, Text: r.Version + ": " + r.Verdict})
	return nil
}

// DeleteTestReport takes a report away.
func (s *Service) DeleteTestReport(ctx context.Context, a Asker, id string) (TestReport, error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	r, err := s.TestReport(a, id)
	if err != nil {
		return r, err
	}
	if err := s.store.Write(ctx, roster.Document{Kind: roster.KindTestReport, ID: id}); err != nil {
		return r, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.reports, id)
	s.note(roster.Operation{Object: "test-report:" + id, Kind: "test-report-deleted", Actor: a.Name, OK: true, Text: r.Version})
	return r, nil
}

// stepReports makes the reports of upgrades whose hosts were measured for long enough since.
func (s *Service) stepReports(ctx context.Context) {
	s.changing.Lock()
	defer s.changing.Unlock()
	now := s.now().UTC()
	s.mu.Lock()
	var made []*TestReport
	for _, j := range sorted(s.jobs) {
		if list := s.ripe(j, now); len(list) > 0 {
			r := s.testReport(list, j.Version, ceilingCPU, ceilingMemory)
			r.By, r.Job = "system", j.ID
			j.Report, j.dirty = r.ID, true
			made = append(made, &r)
		}
	}
	s.mu.Unlock()
	for _, r := range made {
		if err := s.keepReport(ctx, r); err != nil && ctx.Err() == nil {
			s.log.Error("fleet: the test report of an upgrade is not stored", "version", r.Version, "error", err)
		}
	}
}

// ripe are the hosts of an upgrade whose report is to be made now; none, where it is not. s.mu is held.
func (s *Service) ripe(j *Job, now time.Time) (list []*member) {
	if j.Kind != wire.CommandUpgrade || j.Report != "" {
		return nil
	}
	var last time.Time
	waits := false
	for id, o := range j.Outcomes {
		switch o.State {
		case JobWaiting, JobSent:
			return nil
		case JobDone:
			if last = maxTime(last, o.At); s.agents[id] == nil || number(s.agents[id].Version) != j.Version {
				continue
			}
			m := s.agents[id]
			list = append(list, m)
			waits = waits || m.measured.now == nil || len(m.measured.now.Readings) < awaitReadings
		}
	}
	if last.IsZero() || now.Sub(last) > forgottenAfter || waits && now.Sub(last) < awaitAtMost {
		return nil
	}
	slices.SortFunc(list, func(a, b *member) int { return cmpText(a.ID, b.ID) })
	return list
}

func maxTime(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// testReport makes a report of hosts. s.mu is held.
func (s *Service) testReport(list []*member, version string, cpu, memory float64) TestReport {
	r := TestReport{ID: roster.NewID(s.now()), Tenants: []string{}, Version: version, Before: []string{}, At: s.now().UTC(), CPU: cpu, Memory: memory, Verdict: TestInsufficient, Reasons: []detections.Text{}, Figures: []TestFigure{}, Hosts: []TestHost{}}
	var all, after, before []reading
	over := 0
	for _, m := range list {
		if !slices.Contains(r.Tenants, m.Tenant) {
			r.Tenants = append(r.Tenants, m.Tenant)
		}
		h := TestHost{Agent: m.ID, Host: m.Name, Platform: m.Facts.OS + "/" + m.Facts.Arch}
		var now []reading
		if x := m.measured.now; x != nil && x.Version == version {
			now = x.Readings
			if x.Tripped > 0 {
				r.Tripped++
			}
		}
		if h.Minutes, h.Enough = len(now), len(now) >= leastReadings; h.Enough {
			r.Measured++
			all = append(all, now...)
			h.CPU, h.Memory = spread(now, figCPU), spread(now, figMemory)
			if h.Over = h.CPU.P50 > cpu || h.Memory.P95 > memory; h.Over {
				over++
			}
			for _, x := range now {
				r.Dropped += float64(x[figDropped])
			}
		}
		if b := m.measured.Before; b != nil {
			if h.Before, h.BeforeMinutes = b.Version, len(b.Readings); h.Enough && h.BeforeMinutes >= leastReadings {
				r.Compared++
				after, before = append(after, now...), append(before, b.Readings...)
				h.CPUBefore, h.MemoryBefore = spread(b.Readings, figCPU), spread(b.Readings, figMemory)
				if !slices.Contains(r.Before, b.Version) {
					r.Before = append(r.Before, b.Version)
				}
			}
		}
		r.Hosts = append(r.Hosts, h)
	}
	r.Dropped = math.Round(r.Dropped) // A minute's share of a count is none.
	slices.Sort(r.Tenants)
	slices.Sort(r.Before)
	slices.SortFunc(r.Hosts, func(a, b TestHost) int {
		if a.Over != b.Over {
			return map[bool]int{true: -1, false: 1}[a.Over]
		}
		return cmpText(a.Host+a.Agent, b.Host+b.Agent)
	})
	for i, n := range figureNames {
		f := TestFigure{Name: n[0], Unit: n[1], All: spread(all, i), After: spread(after, i), Before: spread(before, i)}
		if f.Before != nil && i != figSamples {
			f.Worse = worse(f.After.P50, f.Before.P50, i) || worse(f.After.P95, f.Before.P95, i)
		}
		r.Figures = append(r.Figures, f)
	}
	r.judge(len(list), over)
	return r
}

// least is by how much a figure has to grow at least to be worse: what is below says nothing.
var least = [figures]float64{figCPU: 0.1, figMemory: 5, figNetwork: 1, figGather: 0.5, figQueue: 1}

func worse(after, before float64, figure int) bool {
	return after > 1.2*before && after-before > least[figure]
}

// judge says what the figures come to.
func (r *TestReport) judge(hosts, over int) {
	say := func(zh, en string, args ...any) {
		r.Reasons = append(r.Reasons, detections.Text{ZH: fmt.Sprintf(zh, args...), EN: fmt.Sprintf(en, args...)})
	}
	if r.Measured == 0 {
		say("%d 台主机均未测满 %d 分钟，数据不足，不作结论", "None of the %d hosts was measured for %d minutes yet: too little to say", hosts, leastReadings)
		return
	}
	if r.Measured < hosts {
		say("%d 台主机中 %d 台未测满 %[3]d 分钟，未计入", "Of the %d hosts %d were not measured for %d minutes and do not count", hosts, hosts-r.Measured, leastReadings)
	}
	cpu, memory := r.Figures[figCPU].All, r.Figures[figMemory].All
	r.Verdict = TestPass
	if cpu.P50 > r.CPU {
		r.Verdict = TestFail
		say("CPU 中位数 %.2f %%，超过上限 %g %%（单核）", "The processor's median is %.2f %%, above %g %% of one core", cpu.P50, r.CPU)
	} else {
		say("CPU 中位数 %.2f %%，未超过上限 %g %%（单核）", "The processor's median is %.2f %%, within %g %% of one core", cpu.P50, r.CPU)
	}
	if memory.P95 > r.Memory {
		r.Verdict = TestFail
		say("内存 P95 为 %.0f MB，超过上限 %g MB", "The p95 of memory is %.0f MB, above %g MB", memory.P95, r.Memory)
	} else {
		say("内存 P95 为 %.0f MB，未超过上限 %g MB", "The p95 of memory is %.0f MB, within %g MB", memory.P95, r.Memory)
	}
	if over > 0 {
		say("%d 台主机单独超过上限", "%d hosts are over the ceiling by themselves", over)
	}
	if r.Compared == 0 {
		say("没有主机在升级前测满 %d 分钟，无法与前一版本比较", "No host was measured for %d minutes before: there is nothing to compare with", leastReadings)
	}
	if r.Dropped > 0 {
		say("期间队列丢弃 %.0f 条数据", "Queues dropped %.0f lines and samples in the time", r.Dropped)
	}
	if r.Tripped > 0 {
		say("%d 台主机触发过熔断", "The breaker tripped on %d hosts", r.Tripped)
	}
}

// spread is how the values of a figure lie; nil where there are none.
func spread(list []reading, figure int) *TestSpread {
	if len(list) == 0 {
		return nil
	}
	values := make([]float64, len(list))
	for i := range list {
		values[i] = float64(list[i][figure])
	}
	slices.Sort(values)
	return &TestSpread{len(values), tidy(rank(values, 0.5)), tidy(rank(values, 0.95)), tidy(values[len(values)-1])}
}

// tidy leaves three digits behind the point: what float32 adds is no figure.
func tidy(v float64) float64 { return float64(int64(v*1000+0.5)) / 1000 }
