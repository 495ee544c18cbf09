package installed

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"icewatch/detections"
	"icewatch/soc/exposure/finding"
	"icewatch/soc/exposure/version"
)

// maxEvidence is how many packages a finding names.
const maxEvidence = 20

// signed is what Debian and Ubuntu call the sources of signed kernels: they are built
// from linux, whose version they have with a plus in place of the last hyphen.
var signed = regexp.MustCompile(`^linux-(?:signed|signed-[a-z0-9-]+)$`)

// kernels are sources of kernels, of which a host runs one of those it has.
var kernels = map[string]bool{"linux": true, "linux-signed": true, "kernel": true, "kernel-core": true}

// running leaves of kernels the one that runs: an old one that lies about is no
// weakness, and headers are none at all. Without a known kernel all are left out.
func running(kernel string, list []version.Package) []version.Package {
	out := make([]version.Package, 0, len(list))
	for _, p := range list {
		source := cmp.Or(p.Source, p.Name)
		if signed.MatchString(source) {
			v := cmp.Or(p.SourceVersion, p.Version)
			if at := strings.LastIndexByte(v, '+'); at >= 0 {
				v = v[:at] + "-" + v[at+1:]
			}
			p.Source, p.SourceVersion, source = "linux", v, "linux"
		}
		if kernels[source] && (kernel == "" || !runs(kernel, p)) {
			continue
		}
		out = append(out, p)
	}
	return out
}

// runs tells whether a package holds the kernel that runs: dpkg's name ends in its
// release, and rpm's version begins it.
func runs(kernel string, p version.Package) bool {
	if strings.HasPrefix(p.Name, "linux-image-") {
		return strings.TrimPrefix(strings.TrimPrefix(p.Name, "linux-image-"), "unsigned-") == kernel
	}
	if p.Name == "kernel" || p.Name == "kernel-core" {
		_, v, ok := strings.Cut(p.Version, ":")
		if !ok {
			v = p.Version
		}
		return strings.HasPrefix(kernel, v)
	}
	return p.Name == "linux-lts" || p.Name == "linux-virt" // Alpine has one of each alone
}

// unimportant is what a distribution says of a vulnerability that has no effect as the
// package is built or used.
const unimportant = "unimportant"

// sightings makes of the verdicts of a host what it is affected by: one for each
// vulnerability, whose evidence names the packages.
func sightings(at finding.Sighting, verdicts []version.Verdict) []finding.Sighting {
	by := map[string][]version.Verdict{}
	for _, v := range verdicts {
		if v.State == version.Affected && v.Note != unimportant {
			by[v.Vulnerability] = append(by[v.Vulnerability], v)
		}
	}
	out := make([]finding.Sighting, 0, len(by))
	for id, list := range by {
		slices.SortFunc(list, func(a, b version.Verdict) int { return cmp.Compare(a.Package, b.Package) })
		first := list[0]
		var evidence, zh, en, names []string
		said := map[string]bool{}
		for i, v := range list {
			if i < maxEvidence {
				fixed := "–"
				if v.Fixed != "" {
					fixed = v.Fixed
				}
				evidence = append(evidence, fmt.Sprintf("%s %s → %s · %s · %s", v.Package, v.Installed, fixed, v.Ecosystem, v.Source))
				names = append(names, v.Package)
			}
			if key := v.Fixed + "\n" + v.Why.EN; !said[key] && len(said) < 3 {
				said[key] = true
				if v.Fixed != "" {
					zh, en = append(zh, fmt.Sprintf("将 %s 升级到 %s 或更高版本（%s）。", v.Package, v.Fixed, v.Why.ZH)), append(en, fmt.Sprintf("Upgrade %s to %s or newer (%s).", v.Package, v.Fixed, v.Why.EN))
				} else {
					zh, en = append(zh, fmt.Sprintf("%s：%s。关注后续更新，或采取缓解措施。", v.Package, v.Why.ZH)), append(en, fmt.Sprintf("%s: %s. Await an update, or mitigate.", v.Package, v.Why.EN))
				}
			}
		}
		if len(list) > maxEvidence {
			evidence = append(evidence, fmt.Sprintf("+ %d", len(list)-maxEvidence))
		}
		x := at
		x.Engine, x.Check, x.CVEs, x.Path = Engine, first.Ecosystem, []string{id}, strings.Join(names[:min(len(names), 5)], " ")
		x.Title = detections.Text{ZH: first.Package + " 存在 " + id, EN: first.Package + " is affected by " + id}
		x.Solution = detections.Text{ZH: strings.Join(zh, "\n"), EN: strings.Join(en, "\n")}
		x.Evidence, x.Level = strings.Join(evidence, "\n"), levelOf(first.Note)
		out = append(out, x)
	}
	slices.SortFunc(out, func(a, b finding.Sighting) int { return cmp.Compare(a.CVEs[0], b.CVEs[0]) })
	return out
}

// levelOf is a distribution's urgency as a level, where nobody else rates: medium where
// it does not say.
func levelOf(note string) detections.Level {
	switch strings.TrimRight(strings.ToLower(note), "*") {
	case "critical", "emergency":
		return detections.Critical
	case "high", "important":
		return detections.High
	case "low", "negligible":
		return detections.Low
	}
	return detections.Medium
}

// makers are the CPE names of products, by what people and agents call them.
var makers = map[string][2]string{
	"mysql": {"oracle", "mysql"}, "mariadb": {"mariadb", "mariadb"}, "postgresql": {"postgresql", "postgresql"}, "redis": {"redis", "redis"}, "mongodb": {"mongodb", "mongodb"},
	"nginx": {"f5", "nginx"}, "apache httpd": {"apache", "http_server"}, "apache": {"apache", "http_server"}, "httpd": {"apache", "http_server"}, "tomcat": {"apache", "tomcat"}, "apache tomcat": {"apache", "tomcat"},
	"kafka": {"apache", "kafka"}, "rabbitmq": {"vmware", "rabbitmq"}, "elasticsearch": {"elastic", "elasticsearch"}, "zookeeper": {"apache", "zookeeper"}, "memcached": {"memcached", "memcached"},
	"weblogic": {"oracle", "weblogic_server"}, "oracle weblogic": {"oracle", "weblogic_server"}, "activemq": {"apache", "activemq"}, "haproxy": {"haproxy", "haproxy"}, "etcd": {"etcd", "etcd"}, "clickhouse": {"clickhouse", "clickhouse"},
	"openssh": {"openbsd", "openssh"}, "vsftpd": {"vsftpd_project", "vsftpd"}, "nacos": {"alibaba", "nacos"}, "minio": {"minio", "minio"}, "jenkins": {"jenkins", "jenkins"},
}

// number is the version at the beginning of what people write, such as v8.0.36-log.
var number = regexp.MustCompile(`^[vV]?([0-9]+(?:\.[0-9]+)*[a-z]?[0-9]*(?:-?(?:rc|beta|alpha|p)[0-9]+)?)`)

// Known tells by which vendor and product of CPE a product is judged, and its version;
// ok is false where it has none.
func known(vendor, product, v string) (string, string, string, bool) {
	m := number.FindStringSubmatch(strings.TrimSpace(v))
	if m == nil {
		return "", "", "", false
	}
	if c, ok := makers[strings.ToLower(strings.TrimSpace(product))]; ok {
		return c[0], c[1], m[1], true
	}
	return vendor, product, m[1], vendor != "" && product != ""
}
