package version

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"icewatch/soc/exposure/library"
	"icewatch/test/peers"
)

// ordered are versions of each scheme from the oldest on, after the schemes' own
// documents and tests; those between two of them are equal where joined by "=".
var ordered = map[Scheme][]string{
	Dpkg:   {"0~~a", "0~", "0", "1.0~beta1~svn1245", "1.0~beta1", "1.0", "1.0-1~bpo10+1", "1.0-1", "1.0-1+b1", "1.0-1+deb12u1", "1.0-1.1", "1.0-2", "1.0a-1", "1.0.0-1", "1.1.1n-0+deb11u3", "1.1.1n-0+deb11u5", "1.1.1w-0+deb11u1", "1.10-1", "3.0.11-1~deb12u2", "3.0.13-1~deb12u1", "1:0.1", "2:0"},
	RPM:    {"1.0~rc1-1", "1.0~rc2-1", "1.0-1.el8", "1.0-2.el8", "1.0^git1-1", "1.0.1-1", "1.1a-1", "1.1.1-1", "1.1.1k-9.el8_7", "1.1.1k-12.el8_9", "2-1", "10-1", "1:0.5-1"},
	APK:    {"1.0_alpha", "1.0_alpha2", "1.0_beta1", "1.0_pre1", "1.0_rc1", "1.0", "1.0-r1", "1.0-r10", "1.0_p1", "1.0_p2", "1.0.1", "1.0.1a", "1.0.1b", "1.1.1w-r1", "3.0.12-r1", "3.1.4-r1"},
	Semver: {"1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "v1.2.0", "1.10.0", "2.0.0"},
	Loose:  {"2.0-alpha1", "2.0-beta9", "2.0-rc1", "2.0", "2.0.1", "2.0.1-p1", "2.3.1", "2.12.2", "2.15.0", "2024.1", "2024.10"},
}

func TestOrder(t *testing.T) {
	t.Parallel()
	for scheme, list := range ordered {
		for i, a := range list {
			for j, b := range list {
				got, err := Compare(scheme, a, b)
				want := 0
				if i < j {
					want = -1
				} else if i > j {
					want = 1
				}
				if err != nil || sign(got) != want {
					t.Errorf("%s: %s against %s: %d, %v; want %d", scheme, a, b, got, err, want)
				}
			}
		}
	}
	for _, same := range []struct {
		scheme Scheme
		a, b   string
	}{{Dpkg, "0:1.0-1", "1.0-1"}, {Dpkg, "1.01-1", "1.1-01"}, {RPM, "0:1.0-1", "1.0-1"}, {RPM, "1.0", "1.0-7"}, {RPM, "1_0-1", "1.0-1"}, {Semver, "v1.0.0+build5", "1.0"}, {Loose, "1.0.0", "1.0"}, {Loose, "2.0.Final", "2.0"}} {
		if got, err := Compare(same.scheme, same.a, same.b); err != nil || got != 0 {
			t.Errorf("%s: %s and %s are the same: %d, %v", same.scheme, same.a, same.b, got, err)
		}
	}
	for _, bad := range []string{"", "a:1", "1 2", ":1", "版本", "-1", strings.Repeat("1", 300)} {
		if _, err := Compare(Dpkg, bad, "1"); err == nil {
			t.Errorf("%q is taken as a version", bad)
		}
	}
}

func sign(n int) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}

// TestOrderIsDpkgs holds the order of dpkg to dpkg itself.
func TestOrderIsDpkgs(t *testing.T) {
	t.Parallel()
	program := peers.Program(t, "dpkg")
	list := append(slices.Clone(ordered[Dpkg]), "1.0+dfsg-1", "1.0-1ubuntu0.22.04.1", "1.0-1ubuntu0.22.4", "7:4.3.3-0+deb11u1", "1.2.3+really1.1-2", "0.0.0~git20200101.abcdef", "1.0-0", "09-1", "1.0..1", "5.10.209-2")
	var script strings.Builder
	n := 0
	for _, a := range list {
		for _, b := range list {
			want, err := Compare(Dpkg, a, b)
			if err != nil {
				t.Fatal(err)
			}
			op := map[int]string{-1: "lt", 0: "eq", 1: "gt"}[sign(want)]
			// Two in three pairs are enough: each is a process.
			if n++; n%3 == 0 {
				fmt.Fprintf(&script, "%s --compare-versions '%s' %s '%s' || echo '%s %s %s'\n", program, a, op, b, a, op, b)
			}
		}
	}
	out, err := exec.Command("/bin/sh", "-c", script.String()).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("dpkg differs: %s, %v", out, err)
	}
}

// memory is a library at hand.
type memory []library.Hit

func (m memory) Of(_ context.Context, packages []string) ([]library.Hit, error) {
	var out []library.Hit
	for _, h := range m {
		if slices.Contains(packages, h.Package) {
			out = append(out, h)
		}
	}
	return out, nil
}

func read(t testing.TB, name string) memory {
	t.Helper()
	var m memory
	err := library.ReadFile(t.Context(), name, library.Auto, func(r *library.Record) error {
		for _, a := range r.Affected {
			m = append(m, library.Hit{Vulnerability: r.ID, Source: r.Source, Ref: r.Ref, AffectedPackage: a})
		}
		return nil
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestDebianAgrees judges the versions that Debian's archives held by the tracker's
// data, and compares with what the tracker says of each archive. What an archive's
// version is worth is told by dpkg here, and not by the code under test.
func TestDebianAgrees(t *testing.T) {
	t.Parallel()
	program := peers.Program(t, "dpkg")
	data, err := os.ReadFile("testdata/tracker.json")
	if err != nil {
		t.Fatal(err)
	}
	tracker := map[string]map[string]struct{ Releases json.RawMessage }{}
	if err := json.Unmarshal(data, &tracker); err != nil {
		t.Fatal(err)
	}
	known := read(t, "testdata/tracker.json")
	numbers := map[string]string{"jessie": "8", "stretch": "9", "buster": "10", "bullseye": "11", "bookworm": "12", "sid": "unstable"}
	var right, wrong, missed, quiet int
	for pkg, cves := range tracker {
		for cve, entry := range cves {
			var releases map[string]struct {
				Status       string
				Repositories map[string]string
				Fixed        string `json:"fixed_version"`
			}
			if json.Unmarshal(entry.Releases, &releases) != nil {
				continue // an empty list
			}
			for release, is := range releases {
				for archive, held := range is.Repositories {
					truth := is.Status == "open"
					if is.Status == "resolved" {
						truth = exec.Command(program, "--compare-versions", held, "lt", is.Fixed).Run() == nil
					}
					got, err := Judge(t.Context(), known, System{Platform: "debian", Release: numbers[release]}, []Package{{Name: pkg + "-bin", Source: pkg, Version: held + "+b1", SourceVersion: held}})
					if err != nil {
						t.Fatal(err)
					}
					affected := slices.ContainsFunc(got, func(v Verdict) bool { return v.Vulnerability == cve && v.State == Affected })
					switch {
					case affected && truth:
						right++
					case affected:
						wrong++
						t.Errorf("%s %s in %s (%s): said to be affected", pkg, held, archive, cve)
					case truth:
						missed++
						t.Errorf("%s %s in %s (%s): missed", pkg, held, archive, cve)
					default:
						quiet++
					}
				}
			}
		}
	}
	if right == 0 || quiet == 0 {
		t.Fatalf("%d affected and %d not: the sample says nothing", right, quiet)
	}
	fmt.Printf("Debian's tracker, sample of %d package versions: precision %.3f, recall %.3f (%d affected, %d not)\n", right+wrong+missed+quiet,
		float64(right)/float64(right+wrong), float64(right)/float64(right+missed), right, quiet)
}

func TestDistributionsData(t *testing.T) {
	t.Parallel()
	hit := func(source, ref, cve, ecosystem, pkg, status string, ranges ...library.VersionRange) library.Hit {
		return library.Hit{Vulnerability: cve, Source: source, Ref: ref, AffectedPackage: library.AffectedPackage{Ecosystem: ecosystem, Package: pkg, Status: status, Ranges: ranges}}
	}
	known := memory{
		// Upstream repaired 3.0.12; Debian brought the repair back to 3.0.11-1~deb12u2.
		hit(library.NVD, "CVE-1", "CVE-1", "cpe", "openssl:openssl", "", library.VersionRange{From: "3.0.0", Fixed: "3.0.12"}),
		hit(library.OSV, "DSA-5532-1", "CVE-1", "Debian:12", "openssl", "", library.VersionRange{Fixed: "3.0.99-1"}),
		hit(library.OSV, "DEBIAN-CVE-1", "CVE-1", "Debian:12", "openssl", "", library.VersionRange{Fixed: "3.0.11-1~deb12u2"}),
		hit(library.OSV, "DEBIAN-CVE-2", "CVE-2", "Debian:12", "openssl", "", library.VersionRange{}),
		hit(library.Debian, "openssl", "CVE-2", "Debian:12", "openssl", library.StatusNotAffected),
		hit(library.Debian, "openssl", "CVE-3", "Debian:11", "openssl", library.StatusOpen, library.VersionRange{}),
		hit(library.Debian, "openssl", "CVE-4", "Debian:12", "openssl", library.StatusUndetermined),
		hit(library.OSV, "RLSA-1", "CVE-1", "Rocky Linux:9", "openssl-libs", "", library.VersionRange{Fixed: "1:3.0.7-25.el9_3"}),
		hit(library.OSV, "ALPINE-CVE-1", "CVE-1", "Alpine:v3.18", "openssl", "", library.VersionRange{Fixed: "3.1.4-r1"}),
		hit(library.OSV, "UBUNTU-CVE-1", "CVE-1", "Ubuntu:22.04:LTS", "openssl", "", library.VersionRange{Fixed: "3.0.2-0ubuntu1.12"}),
		hit(library.OSV, "UBUNTU-CVE-1", "CVE-1", "Ubuntu:Pro:22.04:LTS", "openssl", "", library.VersionRange{Fixed: "9"}),
	}
	for _, c := range []struct {
		sys  System
		pkg  Package
		want string
	}{
		{System{"debian", "12.5"}, Package{Name: "libssl3", Source: "openssl", Version: "3.0.11-1~deb12u1"}, "CVE-1 affected 3.0.11-1~deb12u2, CVE-2 not-affected, CVE-4 undetermined"},
		{System{"debian", "12.5"}, Package{Name: "libssl3", Source: "openssl", Version: "3.0.11-1~deb12u2+b1"}, "CVE-1 fixed 3.0.11-1~deb12u2, CVE-2 not-affected, CVE-4 undetermined"},
		{System{"Debian GNU/Linux", "11"}, Package{Name: "openssl", Version: "1.1.1w-0+deb11u1"}, "CVE-3 affected"},
		{System{"rocky", "9.3"}, Package{Name: "openssl-libs", Source: "openssl", Version: "1:3.0.7-24.el9"}, "CVE-1 affected 1:3.0.7-25.el9_3"},
		{System{"rocky", "9.3"}, Package{Name: "openssl-libs", Source: "openssl", Version: "1:3.0.7-27.el9"}, "CVE-1 fixed 1:3.0.7-25.el9_3"},
		{System{"alpine", "3.18.4"}, Package{Name: "libssl3", Source: "openssl", Version: "3.1.4-r0"}, "CVE-1 affected 3.1.4-r1"},
		{System{"ubuntu", "22.04"}, Package{Name: "libssl3", Source: "openssl", Version: "3.0.2-0ubuntu1.12"}, "CVE-1 fixed 3.0.2-0ubuntu1.12"},
		{System{"debian", "13"}, Package{Name: "openssl", Version: "1"}, ""},
	} {
		list, err := Judge(t.Context(), known, c.sys, []Package{c.pkg})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, v := range list {
			got = append(got, strings.TrimSpace(v.Vulnerability+" "+v.State+" "+v.Fixed))
			if v.Why.ZH == "" || v.Why.EN == "" {
				t.Errorf("%+v has no reason", v)
			}
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%+v %+v: %s; want %s", c.sys, c.pkg, strings.Join(got, ", "), c.want)
		}
	}
	if _, err := Judge(t.Context(), known, System{"kylin", "V10"}, nil); err == nil || !strings.Contains(err.Error(), "kylin") {
		t.Errorf("a distribution without data: %v", err)
	}
	list, err := Product(t.Context(), known, "OpenSSL", "openssl", "3.0.11")
	if err != nil || len(list) != 1 || list[0].State != Affected || list[0].Fixed != "3.0.12" {
		t.Errorf("%+v, %v", list, err)
	}
	if list, err = Product(t.Context(), known, "OpenSSL", "openssl", "3.0.12"); err != nil || len(list) != 1 || list[0].State != Fixed {
		t.Errorf("%+v, %v", list, err)
	}
}

// FuzzCompare wants of every scheme that it is an order: the same the other way
// round, and each version equal to itself.
func FuzzCompare(f *testing.F) {
	for _, list := range ordered {
		for i := range list[1:] {
			f.Add(list[i], list[i+1])
		}
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, s := range []Scheme{Dpkg, RPM, APK, Semver, Loose} {
			x, err := Compare(s, a, b)
			y, other := Compare(s, b, a)
			if (err == nil) != (other == nil) || sign(x) != -sign(y) {
				t.Errorf("%s: %q, %q: %d and %d, %v, %v", s, a, b, x, y, err, other)
			}
			if x, err := Compare(s, a, a); err == nil && x != 0 {
				t.Errorf("%s: %q against itself: %d", s, a, x)
			}
		}
	})
}
