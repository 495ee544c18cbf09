package library

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var (
	cveID  = regexp.MustCompile(`^CVE-[0-9]{4}-[0-9]{4,19}$`)
	anyCVE = regexp.MustCompile(`CVE-[0-9]{4}-[0-9]{4,19}$`)
	plain  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/+-]*$`)
)

// IsCVE tells whether an id is one of CVE's.
func IsCVE(id string) bool { return cveID.MatchString(id) }

// name checks an id as a file gives it.
func name(what, id string) (string, error) {
	id = strings.TrimSpace(id)
	switch {
	case id == "":
		return "", fmt.Errorf("%s is missing", what)
	case len(id) > maxID || !plain.MatchString(id):
		return "", fmt.Errorf("%s %q is no identifier", what, clip(id, 60))
	}
	return id, nil
}

// cve checks an id that has to be one of CVE's.
func cve(what, id string) (string, error) {
	id = strings.ToUpper(strings.TrimSpace(id))
	if !cveID.MatchString(id) {
		return "", fmt.Errorf("%s %q is no CVE id such as CVE-2024-3094", what, clip(id, 60))
	}
	return id, nil
}

// identify chooses the id of a record: its CVE where it has one, else its own; the
// others become aliases.
func (r *Record) identify(own string, others ...string) {
	all := []string{own}
	for _, o := range others {
		if o = strings.TrimSpace(o); o != "" && len(o) <= maxID && plain.MatchString(o) {
			all = append(all, o)
		}
	}
	r.ID = own
	if !IsCVE(own) {
		var cves []string
		for _, a := range all {
			if IsCVE(a) {
				cves = append(cves, a)
			}
		}
		if len(cves) > 0 {
			r.ID = slices.Min(cves)
		}
	}
	slices.Sort(all)
	all = slices.Compact(all)
	r.Aliases = slices.DeleteFunc(all, func(a string) bool { return a == r.ID })
}
