package version

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"icewatch/detections"
	"icewatch/soc/exposure/library"
)

// Package is installed software of a host.
type Package struct {
	Name    string // as the package manager lists it
	Version string
	Arch    string
	// Source is the source package, which distributions' data of dpkg and apk go by,
	// and SourceVersion its version where it is another one; "" is as Name and Version.
	Source, SourceVersion string
}

// System is the distribution of a host.
type System struct {
	Platform string // debian, ubuntu, alpine, rocky, openEuler …
	Release  string // 12.5
}

// The states of a package by a vulnerability.
const (
	Affected     = "affected"
	Fixed        = "fixed" // it was, and the installed version is repaired
	NotAffected  = "not-affected"
	Undetermined = "undetermined" // the distribution has not decided, or the version cannot be compared
)

// Verdict is what holds of one package and vulnerability.
type Verdict struct {
	Vulnerability string          `json:"vulnerability"`
	Package       string          `json:"package" doc:"As it is installed"`
	Installed     string          `json:"installed" doc:"Version"`
	State         string          `json:"state" enum:"affected,fixed,not-affected,undetermined"`
	Fixed         string          `json:"fixed,omitempty" doc:"Version that repairs it; absent where there is none yet"`
	Ecosystem     string          `json:"ecosystem"`
	Source        string          `json:"source" doc:"Who says so"`
	Note          string          `json:"note,omitempty" doc:"Such as the distribution's urgency"`
	Why           detections.Text `json:"why"`
}

// Known is what is asked of the library of vulnerabilities.
type Known interface {
	Of(ctx context.Context, packages []string) ([]library.Hit, error)
}

// distribution is how data of a distribution name it, and its scheme.
type distribution struct {
	scheme Scheme
	names  func(release string) []string // ecosystems, or beginnings of them that end in a colon
}

func one(format string) func(string) []string {
	return func(r string) []string { n := fmt.Sprintf(format, r); return []string{n, n + ":"} }
}

// major and minor cut a release after its first and second number.
func major(r string) string { m, _, _ := strings.Cut(r, "."); return m }
func minor(r string) string {
	p := strings.SplitN(r, ".", 3)
	return strings.Join(p[:min(2, len(p))], ".")
}

var distributions = map[string]distribution{
	"debian":    {Dpkg, func(r string) []string { return one("Debian:%s")(major(r)) }},
	"ubuntu":    {Dpkg, func(r string) []string { return one("Ubuntu:%s")(minor(r)) }},
	"alpine":    {APK, func(r string) []string { return one("Alpine:v%s")(minor(r)) }},
	"wolfi":     {APK, func(string) []string { return []string{"Wolfi"} }},
	"rocky":     {RPM, func(r string) []string { return one("Rocky Linux:%s")(major(r)) }},
	"almalinux": {RPM, func(r string) []string { return one("AlmaLinux:%s")(major(r)) }},
	"rhel":      {RPM, func(r string) []string { return one("Red Hat:enterprise_linux:%s")(major(r)) }},
	"openeuler": {RPM, func(r string) []string {
		return one("openEuler:%s")(strings.ReplaceAll(strings.TrimSpace(r), " ", "-"))
	}},
	"opensuse": {RPM, func(r string) []string { return one("openSUSE:Leap %s")(minor(r)) }},
	"mageia":   {RPM, func(r string) []string { return one("Mageia:%s")(major(r)) }},
}

// otherNames are platforms by other names of theirs.
var otherNames = map[string]string{"red hat enterprise linux": "rhel", "redhat": "rhel", "rocky linux": "rocky", "rockylinux": "rocky", "alma": "almalinux", "opensuse-leap": "opensuse", "debian gnu/linux": "debian"}

func (s System) distribution() (distribution, bool) {
	p := strings.ToLower(strings.TrimSpace(s.Platform))
	if o, ok := otherNames[p]; ok {
		p = o
	}
	d, ok := distributions[p]
	return d, ok
}

// Covered tells whether the distribution is one whose data can be judged by.
func (s System) Covered() bool { _, ok := s.distribution(); return ok }

// binNMU is what Debian adds to a version when a binary package is built again.
var binNMU = regexp.MustCompile(`\+b[0-9]+$`)

// Judge says what holds of a host's packages. A distribution whose data cannot be
// judged by is an error; a package of which nothing is known has no verdict.
func Judge(ctx context.Context, known Known, sys System, list []Package) ([]Verdict, error) {
	d, ok := sys.distribution()
	if !ok {
		return nil, fmt.Errorf("version: there is no data to judge packages of %q by", sys.Platform)
	}
	names := map[string]bool{}
	for _, p := range list {
		names[p.Name] = true
		if p.Source != "" {
			names[p.Source] = true
		}
	}
	keys := make([]string, 0, len(names))
	for n := range names {
		keys = append(keys, n)
	}
	slices.Sort(keys)
	hits, err := known.Of(ctx, keys)
	if err != nil {
		return nil, err
	}
	of := map[string][]library.Hit{}
	for _, h := range hits {
		if within(h.Ecosystem, d.names(sys.Release)) {
			of[h.Package] = append(of[h.Package], h)
		}
	}
	var out []Verdict
	for _, p := range list {
		out = append(out, judge(d.scheme, p, of)...)
	}
	return out, nil
}

func within(ecosystem string, names []string) bool {
	for _, n := range names {
		if ecosystem == n || (strings.HasSuffix(n, ":") && strings.HasPrefix(ecosystem, n)) {
			return true
		}
	}
	return false
}

// judge judges one package: by its source package where there is data of that, and
// by its own name.
func judge(scheme Scheme, p Package, of map[string][]library.Hit) []Verdict {
	source, version := cmp.Or(p.Source, p.Name), cmp.Or(p.SourceVersion, p.Version)
	if scheme == Dpkg && p.SourceVersion == "" {
		version = binNMU.ReplaceAllString(version, "")
	}
	type saying struct {
		library.Hit
		version string
		weight  int
	}
	best := map[string]saying{}
	take := func(hits []library.Hit, version string) {
		for _, h := range hits {
			s := saying{h, version, weight(h)}
			if b, ok := best[h.Vulnerability]; !ok || s.weight > b.weight {
				best[h.Vulnerability] = s
			}
		}
	}
	take(of[source], version)
	if source != p.Name && scheme == RPM {
		take(of[p.Name], p.Version)
	}
	out := make([]Verdict, 0, len(best))
	for _, s := range best {
		v := verdict(scheme, s.Hit, s.version)
		v.Package, v.Installed = p.Name, p.Version
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b Verdict) int { return cmp.Compare(a.Vulnerability, b.Vulnerability) })
	return out
}

// weight is how much a saying counts: the distribution's tracker before OSV's record
// of the vulnerability, this before an advisory on several.
func weight(h library.Hit) int {
	switch {
	case h.Source == library.Debian:
		return 3
	case strings.Contains(h.Ref, h.Vulnerability):
		return 2
	}
	return 1
}

// verdict judges one version by what one source says of a package.
func verdict(scheme Scheme, h library.Hit, version string) Verdict {
	v := Verdict{Vulnerability: h.Vulnerability, Ecosystem: h.Ecosystem, Source: h.Source, Note: h.Note, State: Fixed}
	switch h.Status {
	case library.StatusNotAffected:
		v.State = NotAffected
		v.Why = detections.Text{ZH: "发行版确认不受影响", EN: "The distribution says that it is not affected"}
		return v
	case library.StatusUndetermined:
		v.State = Undetermined
		v.Why = detections.Text{ZH: "发行版尚未确定是否受影响", EN: "The distribution has not decided whether it is affected"}
		return v
	}
	if slices.Contains(h.Versions, version) {
		v.State = Affected
		v.Why = detections.Text{ZH: fmt.Sprintf("版本 %s 在受影响版本之列", version), EN: fmt.Sprintf("Version %s is listed as affected", version)}
		return v
	}
	for _, r := range h.Ranges {
		in, err := inside(scheme, r, version)
		if err != nil {
			v.State = Undetermined
			v.Why = detections.Text{ZH: "版本无法比较：" + err.Error(), EN: "The version cannot be compared: " + err.Error()}
			return v
		}
		if r.Fixed != "" {
			v.Fixed = r.Fixed
		}
		if in {
			v.State, v.Fixed = Affected, r.Fixed
			switch {
			case r.Fixed != "":
				v.Why = detections.Text{ZH: fmt.Sprintf("%s 低于修复版本 %s", version, r.Fixed), EN: fmt.Sprintf("%s is older than %s, which repairs it", version, r.Fixed)}
			case r.Last != "":
				v.Why = detections.Text{ZH: fmt.Sprintf("%s 不高于最后受影响版本 %s", version, r.Last), EN: fmt.Sprintf("%s is not newer than %s, the last affected version", version, r.Last)}
			default:
				v.Why = detections.Text{ZH: "受影响，尚无修复版本", EN: "It is affected, and no version repairs it yet"}
			}
			return v
		}
	}
	switch {
	case v.Fixed != "":
		v.Why = detections.Text{ZH: fmt.Sprintf("%s 已包含 %s 中的修复", version, v.Fixed), EN: fmt.Sprintf("%s has the repair of %s", version, v.Fixed)}
	default:
		v.State = NotAffected
		v.Why = detections.Text{ZH: "不在受影响版本之列", EN: "It is none of the affected versions"}
	}
	return v
}

func inside(scheme Scheme, r library.VersionRange, version string) (bool, error) {
	for _, b := range []struct {
		bound string
		ok    func(int) bool
	}{
		{r.From, func(c int) bool { return c >= 0 }}, {r.After, func(c int) bool { return c > 0 }},
		{r.Fixed, func(c int) bool { return c < 0 }}, {r.Last, func(c int) bool { return c <= 0 }},
	} {
		if b.bound == "" {
			continue
		}
		c, err := Compare(scheme, version, b.bound)
		if err != nil {
			return false, err
		}
		if !b.ok(c) {
			return false, nil
		}
	}
	return true, nil
}

// signs is what a name of a product loses to be one of CPE.
var signs = regexp.MustCompile(`[^a-z0-9._+-]+`)

// Product judges a product by vendor and version of its maker, by CPE: for what is no
// package of a distribution, whose versions say nothing of repairs brought back.
func Product(ctx context.Context, known Known, vendor, product, version string) ([]Verdict, error) {
	key := func(s string) string { return strings.Trim(signs.ReplaceAllString(strings.ToLower(s), "_"), "_") }
	if version = strings.TrimSpace(version); vendor == "" || product == "" || version == "" {
		return nil, nil
	}
	hits, err := known.Of(ctx, []string{key(vendor) + ":" + key(product)})
	if err != nil {
		return nil, err
	}
	var out []Verdict
	for _, h := range hits {
		if h.Ecosystem != "cpe" {
			continue
		}
		v := verdict(Loose, h, version)
		v.Package, v.Installed = product, version
		if at := slices.IndexFunc(out, func(o Verdict) bool { return o.Vulnerability == v.Vulnerability }); at < 0 {
			out = append(out, v)
		} else if v.State == Affected {
			out[at] = v
		}
	}
	return out, nil
}
