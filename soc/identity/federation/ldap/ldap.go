// Package ldap signs people in at a directory that speaks LDAPv3 (RFC 4511),
// OpenLDAP and Active Directory alike, and reads its users and organisational
// units. A connection is encrypted unless that is switched off by name, bounded
// in time, and closed after use; a password goes to the directory and nowhere
// else.
package ldap

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"icewatch/soc/identity/federation/peer"
)

// Config says which directory, and where in it people are.
type Config struct {
	URL        string // ldaps://host:636 or ldap://host:389
	StartTLS   bool   // encrypt an ldap:// connection before anything is said
	Plaintext  bool   // allow ldap:// without StartTLS: passwords cross the network in the clear
	CA         string // PEM of the authorities to trust; "" trusts the system's
	ServerName string // the name in the server's certificate, where it is not the URL's
	BindDN     string // who searches; "" searches anonymously
	BindPass   string

	BaseDN          string
	UserFilter      string   // what counts as a user
	LoginAttributes []string // what people type as their name: any of these
	Subject         string   // attribute that names a user for ever: entryUUID, objectGUID
	Attributes      []string // beside those above, what to read of a user

	GroupBaseDN     string // "" reads no groups but memberOf
	GroupFilter     string // what counts as a group
	MemberAttribute string // its attribute that lists members: member, uniqueMember, memberUid
	Nested          bool   // members of groups in a group are members of it

	UnitFilter string // what counts as an organisational unit

	PageSize int           // entries of one page of a search; 0: 500
	Timeout  time.Duration // of one operation; 0: 10 s
	Dial     func(ctx context.Context, network, address string) (net.Conn, error)
}

// inChain is Active Directory's matching rule that follows groups in groups
// ([MS-ADTS] 3.1.1.3.4.4).
const inChain = "1.2.840.113556.1.4.1941"

// activeDirectory is the capability by which Active Directory is known
// ([MS-ADTS] 3.1.1.3.4.3).
const activeDirectory = "1.2.840.113556.1.4.800"

const (
	maxNested = 16      // groups in groups in groups
	maxUnits  = 100_000 // of one directory
	maxGroups = 100_000
)

// Directory is one directory. It is safe for concurrent use.
type Directory struct{ cfg Config }

// New checks the configuration. It connects to nothing yet.
func New(cfg Config) (*Directory, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Host == "" || u.Scheme != "ldap" && u.Scheme != "ldaps" || u.User != nil || strings.Trim(u.Path, "/") != "" {
		return nil, fmt.Errorf("url: %q is not the address of a directory such as ldaps://dc1.example.gov.cn:636", cfg.URL)
	}
	if u.Scheme == "ldap" && !cfg.StartTLS && !cfg.Plaintext {
		return nil, fmt.Errorf("url: %s would send passwords in the clear: use ldaps://, start_tls, or plaintext to allow it", cfg.URL)
	}
	if _, err := cfg.tls(); err != nil {
		return nil, err
	}
	for name, dn := range map[string]string{"base_dn": cfg.BaseDN, "bind_dn": cfg.BindDN, "group_base_dn": cfg.GroupBaseDN} {
		// Active Directory takes user@domain as the name to bind with.
		if name == "bind_dn" && strings.Contains(dn, "@") && !strings.Contains(dn, "=") {
			continue
		}
		if _, err := ldap.ParseDN(dn); err != nil {
			return nil, fmt.Errorf("%s: %q is not a distinguished name: %w", name, dn, err)
		}
	}
	if cfg.BaseDN == "" {
		return nil, errors.New("base_dn: it is empty; name the entry below which the users are, such as dc=example,dc=gov,dc=cn")
	}
	if cfg.BindDN != "" && cfg.BindPass == "" {
		return nil, errors.New("bind_password: it is empty; many servers take that for an anonymous bind")
	}
	for name, f := range map[string]string{"user_filter": cfg.UserFilter, "group_filter": cfg.GroupFilter, "unit_filter": cfg.UnitFilter} {
		if _, err := ldap.CompileFilter(f); err != nil {
			return nil, fmt.Errorf("%s: %q is not a search filter (RFC 4515): %w", name, f, err)
		}
	}
	if len(cfg.LoginAttributes) == 0 {
		return nil, errors.New("login_attributes: there is none; name the attribute people sign in with, such as uid or sAMAccountName")
	}
	for _, a := range slices.Concat(cfg.LoginAttributes, cfg.Attributes, []string{cfg.Subject, cfg.MemberAttribute}) {
		if !isAttribute(a) {
			return nil, fmt.Errorf("%q is not an attribute's name", a)
		}
	}
	if cfg.PageSize <= 0 {
		cfg.PageSize = 500
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 10 * time.Second
	}
	if cfg.Dial == nil {
		cfg.Dial = (&net.Dialer{}).DialContext
	}
	return &Directory{cfg}, nil
}

// isAttribute tells whether a text is an attribute description (RFC 4512,
// 2.5), so that it can stand in a filter as it is.
func isAttribute(s string) bool {
	if s == "" || len(s) > 128 {
		return false
	}
	for i, r := range s {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || (r < '0' || r > '9') && r != '-' && r != '.' && r != ';') {
			return false
		}
	}
	return true
}

func (c *Config) tls() (*tls.Config, error) {
	out := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.ServerName}
	if out.ServerName == "" {
		if u, err := url.Parse(c.URL); err == nil {
			out.ServerName = u.Hostname()
		}
	}
	if c.CA != "" {
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM([]byte(c.CA)) {
			return nil, errors.New("ca: it holds no certificate in PEM")
		}
	}
	return out, nil
}

// open connects, encrypts and binds as the one who searches. The returned
// function closes the connection; it is closed too when ctx ends.
func (d *Directory) open(ctx context.Context) (*ldap.Conn, func(), error) {
	conn, done, err := d.connect(ctx)
	if err != nil {
		return nil, nil, err
	}
	if err := d.bind(conn); err != nil {
		done()
		return nil, nil, err
	}
	return conn, done, nil
}

func (d *Directory) connect(ctx context.Context) (*ldap.Conn, func(), error) {
	u, err := url.Parse(d.cfg.URL)
	if err != nil {
		return nil, nil, fmt.Errorf("url: %w", err)
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"ldap": "389", "ldaps": "636"}[u.Scheme]
	}
	address := net.JoinHostPort(u.Hostname(), port)
	tlsConfig, err := d.cfg.tls()
	if err != nil {
		return nil, nil, err
	}
	dialing, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
	defer cancel()
	raw, err := d.cfg.Dial(dialing, "tcp", address)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: connect to %s: %w", peer.ErrUnavailable, address, err)
	}
	if u.Scheme == "ldaps" {
		secure := tls.Client(raw, tlsConfig)
		if err := secure.HandshakeContext(dialing); err != nil {
			_ = raw.Close()
			return nil, nil, fmt.Errorf("%w: TLS with %s: %w", peer.ErrUnavailable, address, err)
		}
		raw = secure
	}
	conn := ldap.NewConn(raw, u.Scheme == "ldaps")
	conn.SetTimeout(d.cfg.Timeout)
	conn.Start()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	done := func() {
		stop()
		_ = conn.Close()
	}
	if u.Scheme == "ldap" && d.cfg.StartTLS {
		if err := conn.StartTLS(tlsConfig); err != nil {
			done()
			return nil, nil, fmt.Errorf("%w: StartTLS with %s: %w", peer.ErrUnavailable, address, err)
		}
	}
	return conn, done, nil
}

func (d *Directory) bind(conn *ldap.Conn) error {
	var err error
	if d.cfg.BindDN == "" {
		err = conn.UnauthenticatedBind("")
	} else {
		err = conn.Bind(d.cfg.BindDN, d.cfg.BindPass)
	}
	if err != nil {
		return fmt.Errorf("%w: bind as %q: %w", peer.ErrUnavailable, d.cfg.BindDN, err)
	}
	return nil
}

// Entry is a user as the directory describes him. Its claims are his
// attributes, and "groups": the distinguished names of his groups, and the
// common names of those below the base of the groups.
type Entry struct {
	peer.Identity
	DN string
}

// Authenticate looks a user up and tries his password. A name that is not
// there, a wrong password and an account the directory keeps out all are
// peer.ErrCredentials.
func (d *Directory) Authenticate(ctx context.Context, name, password string) (Entry, error) {
	// A bind with a name and no password succeeds without proving anything
	// (RFC 4513, 5.1.2).
	if password == "" {
		return Entry{}, fmt.Errorf("%w: the password is empty", peer.ErrCredentials)
	}
	if name == "" || len(name) > 256 {
		return Entry{}, fmt.Errorf("%w: the user name is empty or longer than 256 bytes", peer.ErrCredentials)
	}
	conn, done, err := d.open(ctx)
	if err != nil {
		return Entry{}, err
	}
	defer done()
	var b strings.Builder
	for _, a := range d.cfg.LoginAttributes {
		fmt.Fprintf(&b, "(%s=%s)", a, ldap.EscapeFilter(name))
	}
	res, err := conn.Search(ldap.NewSearchRequest(d.cfg.BaseDN, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 2, d.seconds(), false,
		"(&"+d.cfg.UserFilter+"(|"+b.String()+"))", d.attributes(), nil))
	if err != nil && !ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded) {
		return Entry{}, d.broken("search for a user below "+d.cfg.BaseDN, err)
	}
	switch {
	case res == nil || len(res.Entries) == 0:
		return Entry{}, fmt.Errorf("%w: there is no such user below %s", peer.ErrCredentials, d.cfg.BaseDN)
	case len(res.Entries) > 1:
		return Entry{}, fmt.Errorf("%w: several users have that name below %s", peer.ErrCredentials, d.cfg.BaseDN)
	}
	e, err := d.entry(res.Entries[0])
	if err != nil {
		return Entry{}, err
	}
	if err := conn.Bind(e.DN, password); err != nil {
		if ldap.IsErrorAnyOf(err, ldap.LDAPResultInvalidCredentials, ldap.LDAPResultInappropriateAuthentication,
			ldap.LDAPResultUnwillingToPerform, ldap.LDAPResultInsufficientAccessRights, ldap.LDAPResultConstraintViolation) {
			return Entry{}, fmt.Errorf("%w: %s: %w", peer.ErrCredentials, e.DN, err)
		}
		return Entry{}, d.broken("bind as the user", err)
	}
	if e.Disabled {
		return Entry{}, fmt.Errorf("%w: the account %s is disabled there", peer.ErrCredentials, e.DN)
	}
	// The groups are read by the one who searches: users may not see them.
	if err := d.bind(conn); err != nil {
		return Entry{}, err
	}
	groups, err := d.groupsOf(conn, e)
	if err != nil {
		return Entry{}, err
	}
	e.Claims["groups"] = groups
	return e, nil
}

// attributes lists what is read of a user.
func (d *Directory) attributes() []string {
	list := slices.Concat([]string{d.cfg.Subject, "memberOf", "userAccountControl", "nsAccountLock", "pwdAccountLockedTime"}, d.cfg.LoginAttributes, d.cfg.Attributes)
	slices.Sort(list)
	return slices.Compact(list)
}

func (d *Directory) seconds() int { return int(d.cfg.Timeout / time.Second) }

// broken says that the directory did not do what it was asked.
func (d *Directory) broken(what string, err error) error {
	return fmt.Errorf("%w: %s: %w", peer.ErrUnavailable, what, err)
}

// accountDisable is the bit of userAccountControl ([MS-ADTS] 2.2.16).
const accountDisable = 0x2

// entry turns a search's entry into ours.
func (d *Directory) entry(e *ldap.Entry) (Entry, error) {
	out := Entry{DN: e.DN, Identity: peer.Identity{Claims: peer.Claims{"dn": e.DN}}}
	for _, a := range e.Attributes {
		if !strings.EqualFold(a.Name, d.cfg.Subject) {
			out.Claims[strings.ToLower(a.Name)] = a.Values
		}
	}
	raw := e.GetEqualFoldRawAttributeValue(d.cfg.Subject)
	if len(raw) == 0 {
		return Entry{}, fmt.Errorf("%w: the entry %s has no %s, or the bind account may not read it", peer.ErrInvalid, e.DN, d.cfg.Subject)
	}
	out.Subject = string(raw)
	if strings.EqualFold(d.cfg.Subject, "objectGUID") && len(raw) == 16 {
		out.Subject = guid(raw)
	}
	if uac, err := strconv.ParseInt(out.Claims.String("useraccountcontrol"), 10, 64); err == nil && uac&accountDisable != 0 {
		out.Disabled = true
	}
	if strings.EqualFold(out.Claims.String("nsaccountlock"), "true") || strings.HasPrefix(out.Claims.String("pwdaccountlockedtime"), "000001010000") {
		out.Disabled = true
	}
	return out, nil
}

// guid writes an objectGUID as Active Directory's tools do ([MS-DTYP] 2.3.4).
func guid(b []byte) string {
	return hex.EncodeToString([]byte{b[3], b[2], b[1], b[0]}) + "-" + hex.EncodeToString([]byte{b[5], b[4]}) + "-" +
		hex.EncodeToString([]byte{b[7], b[6]}) + "-" + hex.EncodeToString(b[8:10]) + "-" + hex.EncodeToString(b[10:])
}

// groupsOf reads the groups of one user.
func (d *Directory) groupsOf(conn *ldap.Conn, e Entry) ([]string, error) {
	found := newGroups(d.cfg.GroupBaseDN)
	for _, dn := range e.Claims.Strings("memberof") {
		found.add(dn, "")
	}
	if d.cfg.GroupBaseDN == "" {
		return found.names(), nil
	}
	chain := d.cfg.Nested && d.isActiveDirectory(conn)
	next := []string{d.memberValue(e)}
	if d.cfg.Nested && !chain {
		next = append(next, found.dns()...)
	}
	for range maxNested {
		var fresh []string
		for _, member := range next {
			attribute := d.cfg.MemberAttribute
			if chain {
				attribute += ":" + inChain + ":"
			}
			list, err := d.search(conn, d.cfg.GroupBaseDN, "(&"+d.cfg.GroupFilter+"("+attribute+"="+ldap.EscapeFilter(member)+"))", []string{"cn"}, maxGroups)
			if err != nil {
				return nil, err
			}
			for _, g := range list {
				if found.add(g.DN, g.GetEqualFoldAttributeValue("cn")) {
					fresh = append(fresh, g.DN)
				}
			}
		}
		if !d.cfg.Nested || chain || len(fresh) == 0 {
			break
		}
		next = fresh
	}
	return found.names(), nil
}

// memberValue is how groups name the user.
func (d *Directory) memberValue(e Entry) string {
	if strings.EqualFold(d.cfg.MemberAttribute, "memberUid") {
		return e.Claims.String("uid")
	}
	return e.DN
}

// isActiveDirectory asks the root DSE.
func (d *Directory) isActiveDirectory(conn *ldap.Conn) bool {
	res, err := conn.Search(ldap.NewSearchRequest("", ldap.ScopeBaseObject, ldap.NeverDerefAliases, 1, d.seconds(), false,
		"(objectClass=*)", []string{"supportedCapabilities"}, nil))
	return err == nil && len(res.Entries) == 1 && slices.Contains(res.Entries[0].GetEqualFoldAttributeValues("supportedCapabilities"), activeDirectory)
}

// search reads all entries that match, page by page, at most limit.
func (d *Directory) search(conn *ldap.Conn, base, filter string, attributes []string, limit int) ([]*ldap.Entry, error) {
	var all []*ldap.Entry
	err := d.pages(conn, base, filter, attributes, func(page []*ldap.Entry) error {
		if all = append(all, page...); len(all) > limit {
			return fmt.Errorf("%w: more than %d entries match %s below %s", peer.ErrUnavailable, limit, filter, base)
		}
		return nil
	})
	return all, err
}

// pages reads what matches page by page (RFC 2696).
func (d *Directory) pages(conn *ldap.Conn, base, filter string, attributes []string, each func([]*ldap.Entry) error) error {
	paging := ldap.NewControlPaging(uint32(d.cfg.PageSize))
	for {
		res, err := conn.Search(ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, d.seconds(), false,
			filter, attributes, []ldap.Control{paging}))
		if err != nil {
			return d.broken("search "+filter+" below "+base, err)
		}
		if err := each(res.Entries); err != nil {
			return err
		}
		answer, _ := ldap.FindControl(res.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging)
		if answer == nil || len(answer.Cookie) == 0 {
			return nil
		}
		paging.SetCookie(answer.Cookie)
	}
}

// groups collects the names of groups without repeating one.
type groups struct {
	base *ldap.DN
	seen map[string]struct{}
	list []string
	all  []string // distinguished names as found
}

func newGroups(base string) *groups {
	g := &groups{seen: map[string]struct{}{}}
	if base != "" {
		g.base, _ = ldap.ParseDN(base)
	}
	return g
}

// add adds a group and tells whether it is new. Below the base of the groups
// it goes by its common name too; elsewhere somebody else may have made one of
// that name.
func (g *groups) add(dn, cn string) bool {
	parsed, err := ldap.ParseDN(dn)
	if err != nil {
		return false
	}
	key := strings.ToLower(parsed.String())
	if _, known := g.seen[key]; known {
		return false
	}
	g.seen[key] = struct{}{}
	g.all = append(g.all, dn)
	g.list = append(g.list, dn)
	if g.base != nil && g.base.AncestorOfFold(parsed) {
		if cn == "" && len(parsed.RDNs) > 0 && len(parsed.RDNs[0].Attributes) > 0 && strings.EqualFold(parsed.RDNs[0].Attributes[0].Type, "cn") {
			cn = parsed.RDNs[0].Attributes[0].Value
		}
		if cn != "" {
			g.list = append(g.list, cn)
		}
	}
	return true
}

func (g *groups) names() []string { return g.list }
func (g *groups) dns() []string   { return g.all }
