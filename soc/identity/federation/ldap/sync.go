package ldap

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"icewatch/soc/identity/federation/peer"
)

// Unit is an organisational unit. Path holds the names from the top down, its
// own last.
type Unit struct {
	DN   string
	Path []string
}

// Units reads the organisational units below the base, parents before their
// children.
func (d *Directory) Units(ctx context.Context) ([]Unit, error) {
	conn, done, err := d.open(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	list, err := d.search(conn, d.cfg.BaseDN, d.cfg.UnitFilter, []string{"ou"}, maxUnits)
	if err != nil {
		return nil, err
	}
	known := make(map[string]struct{}, len(list))
	type placed struct {
		unit Unit
		dn   *ldap.DN
	}
	all := make([]placed, 0, len(list))
	for _, e := range list {
		dn, err := ldap.ParseDN(e.DN)
		if err != nil {
			return nil, fmt.Errorf("%w: the unit %q: %w", peer.ErrInvalid, e.DN, err)
		}
		known[fold(dn)] = struct{}{}
		all = append(all, placed{Unit{DN: e.DN}, dn})
	}
	units := make([]Unit, 0, len(all))
	for _, p := range all {
		p.unit.Path = unitPath(p.dn, known)
		units = append(units, p.unit)
	}
	// A parent's path is shorter than its children's.
	byDepth := make([][]Unit, 1)
	for _, u := range units {
		for len(byDepth) <= len(u.Path) {
			byDepth = append(byDepth, nil)
		}
		byDepth[len(u.Path)] = append(byDepth[len(u.Path)], u)
	}
	units = units[:0]
	for _, level := range byDepth {
		units = append(units, level...)
	}
	return units, nil
}

// UnitPath returns the names of the units above an entry, from the top down, as
// its distinguished name tells them: every ou between it and the base.
func (d *Directory) UnitPath(dn string) []string {
	parsed, err := ldap.ParseDN(dn)
	if err != nil || len(parsed.RDNs) == 0 {
		return nil
	}
	base, err := ldap.ParseDN(d.cfg.BaseDN)
	if err != nil || !base.AncestorOfFold(parsed) {
		return nil
	}
	above := &ldap.DN{RDNs: parsed.RDNs[1 : len(parsed.RDNs)-len(base.RDNs)]}
	return names(above, func(int) bool { return true })
}

// unitPath names a unit and those above it that are units, too.
func unitPath(dn *ldap.DN, known map[string]struct{}) []string {
	return names(dn, func(i int) bool {
		_, ok := known[fold(&ldap.DN{RDNs: dn.RDNs[i:]})]
		return ok
	})
}

// names lists the values of the relative names that are units, top down.
func names(dn *ldap.DN, isUnit func(i int) bool) []string {
	var path []string
	for i := len(dn.RDNs) - 1; i >= 0; i-- {
		if a := dn.RDNs[i].Attributes; len(a) == 1 && strings.EqualFold(a[0].Type, "ou") && isUnit(i) {
			path = append(path, a[0].Value)
		}
	}
	return path
}

func fold(dn *ldap.DN) string { return strings.ToLower(dn.String()) }

// Users reads all users below the base, or those changed since a time, and
// hands them on page by page, their groups included. Entries that are not
// usable go to skip with the reason.
func (d *Directory) Users(ctx context.Context, since time.Time, each func([]Entry) error, skip func(dn string, why error)) error {
	conn, done, err := d.open(ctx)
	if err != nil {
		return err
	}
	defer done()
	members, err := d.memberships(conn)
	if err != nil {
		return err
	}
	filter := d.cfg.UserFilter
	if !since.IsZero() {
		// modifyTimestamp (RFC 4512) is made up on the fly in Active Directory,
		// which cannot search it, and keeps whenChanged.
		attribute := "modifyTimestamp"
		if strings.EqualFold(d.cfg.Subject, "objectGUID") {
			attribute = "whenChanged"
		}
		filter = "(&" + filter + "(" + attribute + ">=" + since.UTC().Format("20060102150405") + ".0Z))"
	}
	return d.pages(conn, d.cfg.BaseDN, filter, d.attributes(), func(page []*ldap.Entry) error {
		entries := make([]Entry, 0, len(page))
		for _, raw := range page {
			e, err := d.entry(raw)
			if err != nil {
				skip(raw.DN, err)
				continue
			}
			e.Claims["groups"] = members.of(d, e)
			entries = append(entries, e)
		}
		return each(entries)
	})
}

// memberships are all groups of a directory, read once, the other way round:
// which groups a member is in.
type memberships struct {
	base   string
	nested bool
	in     map[string][]*ldap.Entry // by the member's folded name
}

func (d *Directory) memberships(conn *ldap.Conn) (*memberships, error) {
	m := &memberships{base: d.cfg.GroupBaseDN, nested: d.cfg.Nested, in: map[string][]*ldap.Entry{}}
	if d.cfg.GroupBaseDN == "" {
		return m, nil
	}
	list, err := d.search(conn, d.cfg.GroupBaseDN, d.cfg.GroupFilter, []string{"cn", d.cfg.MemberAttribute, "memberOf"}, maxGroups)
	if err != nil {
		return nil, err
	}
	byDN := make(map[string]*ldap.Entry, len(list))
	for _, g := range list {
		byDN[foldDN(g.DN)] = g
	}
	for _, g := range list {
		// Active Directory gives 1,500 members at a time ("member;range=0-1499");
		// its memberOf, at the members, is complete.
		for _, member := range g.GetEqualFoldAttributeValues(d.cfg.MemberAttribute) {
			key := foldDN(member)
			m.in[key] = append(m.in[key], g)
		}
		for _, parent := range g.GetEqualFoldAttributeValues("memberOf") {
			if p := byDN[foldDN(parent)]; p != nil {
				m.in[foldDN(g.DN)] = append(m.in[foldDN(g.DN)], p)
			}
		}
	}
	return m, nil
}

// of lists the groups of one user.
func (m *memberships) of(d *Directory, e Entry) []string {
	found := newGroups(m.base)
	next := []string{foldDN(d.memberValue(e))}
	for _, dn := range e.Claims.Strings("memberof") {
		if found.add(dn, "") {
			next = append(next, foldDN(dn))
		}
	}
	if !m.nested {
		next = next[:1]
	}
	for range maxNested {
		var fresh []string
		for _, key := range next {
			for _, g := range m.in[key] {
				if found.add(g.DN, g.GetEqualFoldAttributeValue("cn")) {
					fresh = append(fresh, foldDN(g.DN))
				}
			}
		}
		if !m.nested || len(fresh) == 0 {
			break
		}
		next = fresh
	}
	return found.names()
}

// foldDN makes spellings of one name one; what is no distinguished name (a
// memberUid) is only folded.
func foldDN(s string) string {
	if dn, err := ldap.ParseDN(s); err == nil && len(dn.RDNs) > 0 {
		return fold(dn)
	}
	return strings.ToLower(s)
}

// Test connects, binds and searches, and says what is wrong.
func (d *Directory) Test(ctx context.Context) []peer.Check {
	conn, done, err := d.connect(ctx)
	if err != nil {
		name := "connect"
		if strings.Contains(err.Error(), "TLS") {
			name = "tls"
		}
		return []peer.Check{peer.Failed(name, err)}
	}
	defer done()
	checks := []peer.Check{peer.Passed("connect", d.cfg.URL)}
	if st, ok := conn.TLSConnectionState(); ok && len(st.PeerCertificates) > 0 {
		c := st.PeerCertificates[0]
		checks = append(checks, peer.Passed("tls", fmt.Sprintf("%s, good until %s", c.Subject, c.NotAfter.Format(time.DateOnly))))
	} else {
		checks = append(checks, peer.Failed("tls", errors.New("the connection is not encrypted: whoever sees the network sees passwords")))
	}
	if err := d.bind(conn); err != nil {
		return append(checks, peer.Failed("bind", err))
	}
	checks = append(checks, peer.Passed("bind", fmt.Sprintf("as %q", d.cfg.BindDN)))
	first := errors.New("enough")
	var usable, useless int
	var why error
	err = d.pages(conn, d.cfg.BaseDN, d.cfg.UserFilter, d.attributes(), func(page []*ldap.Entry) error {
		for _, raw := range page {
			if _, err := d.entry(raw); err != nil {
				useless, why = useless+1, err
			} else {
				usable++
			}
		}
		return first
	})
	switch {
	case err != nil && !errors.Is(err, first):
		checks = append(checks, peer.Failed("users", err))
	case usable == 0 && why != nil:
		checks = append(checks, peer.Failed("users", why))
	case usable == 0:
		checks = append(checks, peer.Failed("users", fmt.Errorf("no entry below %s matches %s, or %q may see none", d.cfg.BaseDN, d.cfg.UserFilter, d.cfg.BindDN)))
	default:
		checks = append(checks, peer.Passed("users", fmt.Sprintf("%d usable of the first %d", usable, usable+useless)))
	}
	if d.cfg.GroupBaseDN == "" {
		return checks
	}
	n := 0
	err = d.pages(conn, d.cfg.GroupBaseDN, d.cfg.GroupFilter, []string{"cn"}, func(page []*ldap.Entry) error {
		n = len(page)
		return first
	})
	if err != nil && !errors.Is(err, first) {
		return append(checks, peer.Failed("groups", err))
	}
	if n == 0 {
		return append(checks, peer.Failed("groups", fmt.Errorf("no entry below %s matches %s", d.cfg.GroupBaseDN, d.cfg.GroupFilter)))
	}
	return append(checks, peer.Passed("groups", fmt.Sprintf("%d on the first page", n)))
}
