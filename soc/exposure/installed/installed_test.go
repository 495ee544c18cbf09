package installed

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/cmdb"
	"icewatch/cmdb/cmdbtest"
	"icewatch/collectors/fleet/wire"
	"icewatch/soc/exposure/finding"
	"icewatch/soc/exposure/library"
	"icewatch/soc/exposure/version"
	"icewatch/soc/reach"
)

const items = `{"id":"web-1","class":"host","name":"web-1","tenant":"a","addresses":["10.0.0.1"],"criticality":5}
{"id":"db-1","class":"database","name":"MySQL","tenant":"a","attributes":{"product":"MySQL","version":"8.0.30"}}
`

// tracker is in the form of Debian's tracker.
const tracker = `{"openssl":{
 "CVE-2023-5363":{"description":"key and IV","releases":{"bookworm":{"status":"resolved","fixed_version":"3.0.11-1~deb12u2","urgency":"not yet assigned"}}},
 "CVE-2023-9999":{"releases":{"bookworm":{"status":"open","urgency":"low"}}},
 "CVE-2007-6755":{"releases":{"bookworm":{"status":"open","urgency":"unimportant"}}}},
"linux":{"CVE-2024-1086":{"releases":{"bookworm":{"status":"resolved","fixed_version":"6.1.76-1","urgency":"high"}}}}}`

const trackerLater = `{"openssl":{
 "CVE-2023-5363":{"description":"key and IV","releases":{"bookworm":{"status":"resolved","fixed_version":"3.0.11-1~deb12u2","urgency":"not yet assigned"}}},
 "CVE-2023-9999":{"releases":{"bookworm":{"status":"resolved","fixed_version":"3.0.15-1~deb12u1","urgency":"low"}}}}}`

const cpe = `{"format":"NVD_CVE","version":"2.0","vulnerabilities":[{"cve":{"id":"CVE-2023-21980","published":"2023-04-18T20:15:00.000","lastModified":"2023-04-18T20:15:00.000","vulnStatus":"Analyzed","descriptions":[{"lang":"en","value":"MySQL"}],
"configurations":[{"nodes":[{"operator":"OR","cpeMatch":[{"vulnerable":true,"criteria":"cpe:2.3:a:oracle:mysql:*:*:*:*:*:*:*:*","versionStartIncluding":"8.0.0","versionEndIncluding":"8.0.32","matchCriteriaId":"1"}]}]}]}}]}`

type world struct {
	*Service
	findings *finding.Service
	library  *library.Library
	hosts    []Host
	packages map[string][]version.Package
	baseline map[string][]wire.BaselineCheck
	products []Product
	at       time.Time
}

func open(t *testing.T, c *cmdb.Service) *world {
	t.Helper()
	cmdbtest.Import(t, c, items)
	w := &world{packages: map[string][]version.Package{}, baseline: map[string][]wire.BaselineCheck{}, at: time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)}
	clock := func() time.Time { return w.at }
	quiet := slog.New(slog.DiscardHandler)
	var err error
	if w.library, err = library.Open(t.Context(), c.Database(), library.Options{Dir: t.TempDir(), Log: quiet, Clock: clock}); err != nil {
		t.Fatal(err)
	}
	if w.findings, err = finding.Open(t.Context(), c.Database(), finding.Deps{Items: c, Library: w.library, Log: quiet, Clock: clock}); err != nil {
		t.Fatal(err)
	}
	w.Service, err = Open(t.Context(), c.Database(), Deps{Library: w.library, Findings: w.findings, Log: quiet, Clock: clock,
		Hosts: func(context.Context) ([]Host, error) { return w.hosts, nil },
		Inventory: func(_ context.Context, id string) (Inventory, error) {
			return Inventory{w.packages[id], w.baseline[id]}, nil
		},
		Products: func(context.Context) ([]Product, error) { return slices.Clone(w.products), nil }})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) learn(t *testing.T, name, format, text string) {
	t.Helper()
	w.at = w.at.Add(time.Minute)
	if got, err := w.library.Add(t.Context(), "t", name, format, bytes.NewReader([]byte(text))); err != nil || got.State != library.Done {
		t.Fatal(got, err)
	}
}

// round judges and answers the findings that count, as WEAKNESS@HOST.
func (w *world) round(t *testing.T, want int) string {
	t.Helper()
	w.at = w.at.Add(time.Minute)
	if n, err := w.Round(t.Context()); err != nil || n != want {
		t.Errorf("%d judged, %v; want %d", n, err, want)
	}
	list, _, err := w.findings.List(t.Context(), reach.All(), finding.Question{States: []finding.State{finding.StateOpen, finding.Verified, finding.Repair, finding.Fixed}, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range list {
		out = append(out, f.Weakness+"@"+f.Host)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// TestInventoriesAreJudged follows a host from its first inventory to its repair.
func TestInventoriesAreJudged(t *testing.T) {
	t.Parallel()
	cmdbtest.OnBoth(t, func(t *testing.T, c *cmdb.Service) {
		w := open(t, c)
		ctx, all := t.Context(), reach.All()
		w.learn(t, "tracker.json", library.FormatDebian, tracker)
		debian := version.System{Platform: "debian", Release: "12.4"}
		w.hosts = []Host{
			{ID: "a1", Tenant: "a", Item: "web-1", Name: "web-1", Address: "10.0.0.1", System: debian, Kernel: "6.1.0-17-amd64", Taken: w.at},
			{ID: "a2", Tenant: "b", Name: "Lone", System: debian, Taken: w.at},
			{ID: "a3", Tenant: "b", Name: "old", System: version.System{Platform: "kylin", Release: "V10"}, Taken: w.at},
		}
		old := []version.Package{{Name: "libssl3", Version: "3.0.11-1~deb12u1", Source: "openssl"}, {Name: "openssl", Version: "3.0.11-1~deb12u1"}}
		w.packages["a1"] = append(slices.Clone(old), version.Package{Name: "linux-image-6.1.0-17-amd64", Version: "6.1.69-1", Source: "linux-signed-amd64", SourceVersion: "6.1.69+1"},
			version.Package{Name: "linux-image-6.1.0-9-amd64", Version: "6.1.27-1", Source: "linux-signed-amd64", SourceVersion: "6.1.27+1"}, version.Package{Name: "linux-libc-dev", Version: "6.1.69-1", Source: "linux"})
		w.packages["a2"], w.packages["a3"] = old, old
		if got := w.round(t, 3); got != "CVE-2023-5363@10.0.0.1 CVE-2023-5363@lone CVE-2023-9999@10.0.0.1 CVE-2023-9999@lone CVE-2024-1086@10.0.0.1" {
			t.Fatal(got)
		}
		list, _, err := w.findings.List(ctx, all, finding.Question{Weakness: "CVE-2023-5363", Item: "web-1", Engine: Engine})
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		f, _, err := w.findings.Get(ctx, all, list[0].ID)
		if err != nil || !strings.Contains(f.Solution.ZH, "升级到 3.0.11-1~deb12u2") || !strings.Contains(f.Solution.EN, "is older than") || !strings.Contains(f.Evidence, "libssl3 3.0.11-1~deb12u1 → 3.0.11-1~deb12u2 · Debian:12") {
			t.Errorf("%+v, %v", f, err)
		}
		// Nothing new: nothing is judged.
		w.round(t, 0)
		if got, err := w.Judgement(ctx, reach.Tenants("b")); err != nil || got.Hosts != 2 || got.Uncovered != 1 || got.Items[0].Name != "old" {
			t.Errorf("%+v, %v", got, err)
		}
		// A new inventory with the repair closes what it repairs, at once.
		w.at = w.at.Add(time.Hour)
		w.hosts[0].Taken = w.at
		w.packages["a1"] = []version.Package{{Name: "libssl3", Version: "3.0.11-1~deb12u2", Source: "openssl"}}
		if got := w.round(t, 1); got != "CVE-2023-5363@lone CVE-2023-9999@10.0.0.1 CVE-2023-9999@lone" {
			t.Error(got)
		}
		if f, history, err := w.findings.Get(ctx, all, f.ID); err != nil || f.State != finding.Closed || history[0].Action != "gone" {
			t.Errorf("%+v %+v, %v", f, history, err)
		}
		// The library learns which version repairs the rest: the solution follows, and a
		// false positive stays one.
		if list, _, err = w.findings.List(ctx, all, finding.Question{Weakness: "CVE-2023-9999", Item: "web-1"}); err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		if _, err := w.findings.Change(ctx, all, "li", []string{list[0].ID}, finding.FindingChange{State: finding.FalsePositive, Comment: "not used"}); err != nil {
			t.Fatal(err)
		}
		w.learn(t, "tracker2.json", library.FormatDebian, trackerLater)
		if got := w.round(t, 3); got != "CVE-2023-5363@lone CVE-2023-9999@lone" {
			t.Error(got)
		}
		if f, _, err := w.findings.Get(ctx, all, list[0].ID); err != nil || f.State != finding.FalsePositive || !strings.Contains(f.Solution.ZH, "3.0.15-1~deb12u1") {
			t.Errorf("%+v, %v", f, err)
		}
		// An inventory without packages says nothing; it closes nothing.
		w.at = w.at.Add(time.Hour)
		w.hosts[1].Taken, w.packages["a2"] = w.at, nil
		if got := w.round(t, 1); got != "CVE-2023-5363@lone CVE-2023-9999@lone" {
			t.Error(got)
		}
	})
}

// TestBaselines follows items of the baseline: what fails is a finding, what could not be
// read keeps the one it had, what is put right closes.
func TestBaselines(t *testing.T) {
	t.Parallel()
	cmdbtest.OnBoth(t, func(t *testing.T, c *cmdb.Service) {
		w := open(t, c)
		w.hosts = []Host{{ID: "a1", Tenant: "a", Item: "web-1", Name: "web-1", Address: "10.0.0.1", System: version.System{Platform: "kylin", Release: "V10"}, Taken: w.at}}
		send := func(states ...string) string {
			w.at = w.at.Add(time.Hour)
			w.hosts[0].Taken, w.baseline["a1"] = w.at, nil
			for i, state := range states {
				w.baseline["a1"] = append(w.baseline["a1"], wire.BaselineCheck{ID: []string{"ssh.root-login", "redis.password", "newer.than-this"}[i], State: state, Where: "/etc/x", Found: "as it is"})
			}
			return w.round(t, 1)
		}
		const root, redis = "icewatch-baseline:ssh.root-login@10.0.0.1", "icewatch-baseline:redis.password@10.0.0.1"
		for _, x := range []struct {
			want   string
			states []string
		}{
			{redis + " " + root, []string{wire.BaselineFail, wire.BaselineFail, wire.BaselineFail}},
			{redis + " " + root, []string{wire.BaselineUnknown, wire.BaselineFail}},
			{redis, []string{wire.BaselinePass, wire.BaselineFail}},
			{redis, nil},
			{root, []string{wire.BaselineFail, wire.BaselinePass}},
		} {
			if got := send(x.states...); got != x.want {
				t.Errorf("%v: %s; want %s", x.states, got, x.want)
			}
		}
		got, err := w.Judgement(t.Context(), reach.Tenants("a"))
		if err != nil || len(got.Items) != 1 || got.Items[0].Baseline.Passed != 1 || got.Items[0].Baseline.Failed != 1 {
			t.Errorf("%+v, %v", got, err)
		}
		if got, err := w.Judgement(t.Context(), reach.Tenants("b")); err != nil || got.Hosts != 0 || len(got.Items) != 0 {
			t.Errorf("another tenant sees %+v, %v", got, err)
		}
		list, _, err := w.findings.List(t.Context(), reach.All(), finding.Question{Weakness: "icewatch-baseline:ssh.root-login"})
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		if f, _, err := w.findings.Get(t.Context(), reach.All(), list[0].ID); err != nil || !strings.Contains(f.Text.ZH, "8.1.4.2 d)") || f.Solution.EN == "" || f.Evidence != "/etc/x: as it is" || f.Reopened != 1 {
			t.Errorf("%+v, %v", f, err)
		}
	})
}

func TestProductsAreJudged(t *testing.T) {
	t.Parallel()
	cmdbtest.OnBoth(t, func(t *testing.T, c *cmdb.Service) {
		w := open(t, c)
		w.learn(t, "nvd.json", library.FormatNVD, cpe)
		w.products = []Product{{Item: "db-1", Tenant: "a", Name: "MySQL", Product: "MySQL", Version: "v8.0.30-log"}, {Item: "x", Tenant: "a", Product: "unknown", Version: "1"}}
		if got := w.round(t, 1); got != "CVE-2023-21980@mysql" && got != "CVE-2023-21980@MySQL" {
			t.Fatal(got)
		}
		w.products[0].Version = "8.0.33"
		if got := w.round(t, 1); got != "" {
			t.Error(got)
		}
		w.products[0].Version = "8.0.31"
		w.round(t, 1)
		// Gone from the CMDB, or on a host whose packages are judged: closed.
		w.products = nil
		if got := w.round(t, 0); got != "" {
			t.Error(got)
		}
	})
}

// TestThisMachine judges the packages of the Debian that the test runs on, as its own
// dpkg lists them.
func TestThisMachine(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("/var/lib/dpkg/status")
	if err != nil {
		t.Skip("this is no Debian: there is no /var/lib/dpkg/status")
	}
	out, err := exec.Command("dpkg-query", "-W", "-f", "${Package}\t${Version}\t${source:Package}\t${source:Version}\n").Output()
	if err != nil {
		t.Skip("dpkg-query does not run: ", err, len(text))
	}
	var list []version.Package
	for line := range strings.Lines(string(out)) {
		if f := strings.Split(strings.TrimSpace(line), "\t"); len(f) == 4 {
			list = append(list, version.Package{Name: f[0], Version: f[1], Source: f[2], SourceVersion: f[3]})
		}
	}
	if len(list) < enough {
		t.Fatalf("dpkg lists %d packages", len(list))
	}
	// One package is said to be repaired by what is installed, another by a later one.
	fixed, open := list[0], list[len(list)-1]
	known := cache{has: map[string][]library.Hit{}, known: one{fixed: fixed.SourceVersion, open: open.SourceVersion + "+z1", of: [2]string{fixed.Source, open.Source}}}
	verdicts, err := version.Judge(t.Context(), &known, version.System{Platform: "debian", Release: "12"}, list)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range verdicts {
		if want := map[string]string{"CVE-2020-0001": version.Fixed, "CVE-2020-0002": version.Affected}[v.Vulnerability]; v.State != want {
			t.Errorf("%+v; want %s", v, want)
		}
	}
	if len(verdicts) < 2 {
		t.Errorf("%d verdicts", len(verdicts))
	}
}

type one struct {
	fixed, open string
	of          [2]string
}

func (o one) Of(_ context.Context, packages []string) (out []library.Hit, _ error) {
	for i, fixed := range []string{o.fixed, o.open} {
		if slices.Contains(packages, o.of[i]) {
			out = append(out, library.Hit{Vulnerability: []string{"CVE-2020-0001", "CVE-2020-0002"}[i], Source: library.Debian, Ref: o.of[i], AffectedPackage: library.AffectedPackage{Ecosystem: "Debian:12", Package: o.of[i], Ranges: []library.VersionRange{{Fixed: fixed}}}})
		}
	}
	return out, nil
}

func TestKernelsThatRun(t *testing.T) {
	t.Parallel()
	list := []version.Package{{Name: "kernel", Version: "5.14.0-362.el9", Source: "kernel"}, {Name: "kernel", Version: "5.14.0-70.el9"}, {Name: "bash", Version: "5"}}
	if got := running("5.14.0-362.el9.x86_64", list); len(got) != 2 || got[0].Version != "5.14.0-362.el9" {
		t.Errorf("%+v", got)
	}
	if got := running("", list); len(got) != 1 || got[0].Name != "bash" {
		t.Errorf("%+v", got)
	}
}
