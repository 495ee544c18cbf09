package fleet_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/collectors/fleet"
	"icewatch/collectors/fleet/fleettest"
	"icewatch/collectors/fleet/wire"
	"icewatch/soc/reach"
)

// elf is the head of a Linux executable for amd64 or arm64, and what follows.
func elf(machine byte, more string) string {
	head := make([]byte, 64)
	copy(head, "\x7fELF\x02\x01\x01")
	head[18] = machine
	return string(head) + more
}

// TestPackagesAtOnce takes in an archive of packages: each is read, and taken or refused for itself.
func TestPackagesAtOnce(t *testing.T) {
	t.Parallel()
	f := fleettest.Start(t)
	var b bytes.Buffer
	g := gzip.NewWriter(&b)
	w := tar.NewWriter(g)
	for _, x := range [][2]string{
		{"dist/icewatch-agent-linux-amd64", elf(62, "icewatch-number<1.4.0>")},
		{"dist/icewatch-agent-linux-arm64", elf(183, "icewatch-number<1.4.0>")},
		{"dist/other", elf(62, "icewatch-number<1.4.0> another build")},
		{"dist/unnamed", elf(62, "")},
		{"dist/SHA256SUMS", "0123  icewatch-agent-linux-amd64\n"},
	} {
		_ = w.WriteHeader(&tar.Header{Name: x[0], Size: int64(len(x[1])), Mode: 0o755, Typeflag: tar.TypeReg})
		_, _ = w.Write([]byte(x[1]))
	}
	if err := errors.Join(w.Close(), g.Close()); err != nil {
		t.Fatal(err)
	}
	list, err := f.AddPackages(t.Context(), fleettest.Admin, "", "of the archive", b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, x := range list {
		got = append(got, fmt.Sprint(x.Name, " ", x.OK, " ", x.Text))
		if x.OK && (!x.Package.Verified || x.Package.Version != "1.4.0" || x.Package.Build.Version != "1.4.0" || x.Package.Note != "of the archive") {
			t.Errorf("%+v", x.Package)
		}
	}
	for i, want := range []string{"icewatch-agent-linux-amd64 true ", "icewatch-agent-linux-arm64 true ", "already: delete it first", "give the version", "no executable"} {
		if len(got) != 5 || !strings.Contains(got[i], want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if n := len(f.Packages(fleettest.Admin)); n != 2 {
		t.Errorf("%d packages", n)
	}
	sum := list[0].Package.SHA256
	d, err := f.PackageDetail(fleettest.Admin, sum)
	if err != nil || !d.Intact || !d.Verified || d.Running != 0 {
		t.Errorf("%+v %v", d, err)
	}
	// The same again is no harm, another version for it is.
	if _, err := f.AddPackage(t.Context(), fleettest.Admin, "1.4.0", "", strings.NewReader(elf(62, "icewatch-number<1.4.0>"))); err != nil {
		t.Error(err)
	}
	if _, err := f.AddPackage(t.Context(), fleettest.Admin, "1.5.0", "", strings.NewReader(elf(62, "icewatch-number<1.4.0>"))); !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), "says that it is of version 1.4.0") {
		t.Error(err)
	}
	if d, err = f.PackageDetail(fleettest.Admin, sum); err != nil || !d.Intact {
		t.Errorf("the refused upload took the package's file away: %+v %v", d, err)
	}
	// What was changed on the disk since is told.
	if err := os.WriteFile(f.PackageFile(sum), []byte(elf(62, "icewatch-number<6.6.6>")), 0o600); err != nil {
		t.Fatal(err)
	}
	if d, err = f.PackageDetail(fleettest.Admin, sum); err != nil || d.Intact {
		t.Errorf("%+v %v", d, err)
	}
	if _, err := f.AddPackages(t.Context(), fleettest.Admin, "1", "", []byte("PK\x03\x04 no zip")); !errors.Is(err, fleet.ErrInvalid) {
		t.Error(err)
	}
	if _, err := f.AddPackages(t.Context(), fleet.Asker{Name: "other", Within: reach.Tenants("egov")}, "1", "", b.Bytes()); !errors.Is(err, fleet.ErrForbidden) {
		t.Error(err)
	}
}

// TestReportOfAnUpgrade measures hosts before and after an upgrade, and has the centre make the
// report by itself.
func TestReportOfAnUpgrade(t *testing.T) {
	t.Parallel()
	f := fleettest.Start(t)
	ctx := t.Context()
	token := f.Token(t, fleet.TokenDraft{Uses: 10})
	names := []string{"a", "b", "late"}
	clients := map[string]*fleettest.Client{}
	for _, n := range names {
		x := facts
		x.Hostname = n
		clients[n] = enrolled(t, f, token, x)
	}
	dropped := uint64(0)
	minute := func(version string, started int64, cpu float64, memory uint64, only ...string) {
		t.Helper()
		f.Pass(time.Minute)
		for i, n := range only {
			c := wire.Checkin{Config: "x", Version: version, State: wire.StateHealthy, Usage: wire.Usage{CPUPercent: cpu + float64(i)/10, MemoryBytes: memory << 20, Started: started},
				Queue: wire.Queue{DroppedLines: dropped}, Inputs: []wire.InputState{{Name: "cpu", Rate: 600, Busy: 0.5}, {Name: "mem", Rate: 60, Busy: 0.25}}}
			if _, err := clients[n].Checkin(ctx, c); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 14 {
		minute("1.0.0 (abc)", 1, 0.5, 60, "a", "b")
	}
	minute("1.0.0 (abc)", 1, 0.5, 60, names...)
	if _, err := f.MakeTestReport(ctx, fleettest.Admin, fleet.TestReportDraft{Version: "9"}); !errors.Is(err, fleet.ErrInvalid) {
		t.Error(err)
	}
	r, err := f.MakeTestReport(ctx, fleettest.Admin, fleet.TestReportDraft{Version: "1.0.0", Hosts: []string{clients["late"].ID}})
	if err != nil || r.Verdict != fleet.TestInsufficient || r.Measured != 0 || len(r.Figures) != 7 || r.Figures[0].All != nil || len(r.Reasons) != 1 {
		t.Errorf("%+v %v", r, err)
	}
	r, err = f.MakeTestReport(ctx, fleettest.Admin, fleet.TestReportDraft{Version: "1.0.0"})
	if err != nil || r.Verdict != fleet.TestPass || r.Measured != 2 || r.Compared != 0 || len(r.Hosts) != 3 {
		t.Errorf("%+v %v", r, err)
	}

	if _, err := f.AddPackage(ctx, fleettest.Admin, "1.1.0", "", strings.NewReader(elf(62, ""))); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, n := range names {
		ids = append(ids, clients[n].ID)
	}
	jobs, err := f.Order(ctx, fleettest.Admin, fleet.JobDraft{Kind: wire.CommandUpgrade, Version: "1.1.0", Hosts: ids})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if _, err := clients[n].Checkin(ctx, wire.Checkin{Config: "x", Version: "1.1.0", State: wire.StateHealthy, Usage: wire.Usage{CPUPercent: 80, MemoryBytes: 900 << 20, Started: 2}, Results: []wire.Result{{ID: jobs[0].ID, OK: true}}}); err != nil {
			t.Fatal(err)
		}
	}
	f.Restart(t) // What was measured before the upgrade outlives it.
	for i := range 18 {
		if i == 10 {
			dropped = 30
		}
		minute("1.1.0", 2, 1.5, 90, names...)
		if i == 5 {
			f.StepReports(ctx)
			if v, _, err := f.Job(fleettest.Admin, jobs[0].ID); err != nil || v.Report != "" {
				t.Errorf("a report after five minutes: %+v %v", v, err)
			}
		}
	}
	f.StepReports(ctx)
	v, _, err := f.Job(fleettest.Admin, jobs[0].ID)
	if err != nil || v.Report == "" {
		t.Fatalf("%+v %v", v, err)
	}
	if r, err = f.TestReport(fleettest.Admin, v.Report); err != nil {
		t.Fatal(err)
	}
	// The moment of the upgrade itself is not in it: the process had just started.
	cpu, memory, samples, gather := r.Figures[0], r.Figures[1], r.Figures[3], r.Figures[4]
	if r.By != "system" || r.Job != jobs[0].ID || r.Verdict != fleet.TestFail || r.Measured != 3 || r.Compared != 2 || !slices.Equal(r.Before, []string{"1.0.0"}) || r.Dropped != 90 ||
		cpu.All.P50 != 1.6 || cpu.All.P95 != 1.7 || cpu.Before.P50 != 0.5 || cpu.Before.P95 != 0.6 || cpu.After.P95 != 1.6 || !cpu.Worse || memory.All.P95 != 90 || memory.Before.P50 != 60 || !memory.Worse ||
		samples.All.P50 != 11 || samples.Worse || gather.All.P50 != 0.75 || gather.Worse {
		t.Errorf("%+v\ncpu %+v %+v %+v", r, cpu.All, cpu.After, cpu.Before)
	}
	if len(r.Hosts) != 3 || !r.Hosts[0].Over || r.Hosts[2].Host != "late" || r.Hosts[2].CPUBefore != nil || r.Hosts[0].Before != "1.0.0" {
		t.Errorf("%+v", r.Hosts)
	}
	f.StepReports(ctx)
	if list := f.TestReports(fleettest.Admin, "1.1.0"); len(list) != 1 {
		t.Errorf("%d reports", len(list))
	}
	other := fleet.Asker{Name: "other", Within: reach.Tenants("seal")}
	if _, err := f.TestReport(other, r.ID); !errors.Is(err, fleet.ErrNotFound) || len(f.TestReports(other, "")) != 0 {
		t.Error(err)
	}
	f.Restart(t)
	if again, err := f.TestReport(fleettest.Admin, r.ID); err != nil || fmt.Sprint(again.Reasons) != fmt.Sprint(r.Reasons) {
		t.Errorf("%+v %v", again, err)
	}
	if _, err := f.DeleteTestReport(ctx, fleettest.Admin, r.ID); err != nil {
		t.Error(err)
	}
	if _, err := f.TestReport(fleettest.Admin, r.ID); !errors.Is(err, fleet.ErrNotFound) {
		t.Error(err)
	}
}
