package peers

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// BaseDN is where everything of a Slapd lies, BindDN who may search all of it.
const (
	BaseDN   = "dc=city,dc=test"
	BindDN   = "cn=reader," + BaseDN
	BindPass = "reader-secret"
)

// Slapd is a running OpenLDAP server.
type Slapd struct {
	LDAP, LDAPS string // URLs
	Authority   *Authority
	t           testing.TB
}

// StartSlapd starts an OpenLDAP server that holds the base, the account that
// searches, and what the LDIF adds. Its memberof overlay keeps memberOf; it
// refuses to search for strangers.
func StartSlapd(t testing.TB, ldif string) *Slapd {
	t.Helper()
	slapd, slapadd := Program(t, "slapd"), Program(t, "slapadd")
	dir := t.TempDir()
	authority := NewAuthority(t)
	cert, key := authority.Issue(t, dir)
	modules := ""
	for _, d := range []string{"/usr/lib/ldap", "/usr/lib64/openldap", "/usr/lib/openldap"} {
		if _, err := os.Stat(d); err == nil {
			modules = d
		}
	}
	schema := "/etc/ldap/schema"
	if _, err := os.Stat(schema); err != nil {
		schema = "/etc/openldap/schema"
	}
	if err := os.Mkdir(filepath.Join(dir, "db"), 0o700); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "slapd.conf")
	text := fmt.Sprintf(`include %[1]s/core.schema
include %[1]s/cosine.schema
include %[1]s/inetorgperson.schema
include %[1]s/nis.schema
modulepath %[2]s
moduleload back_mdb
moduleload memberof
pidfile %[3]s/pid
argsfile %[3]s/args
TLSCertificateFile %[4]s
TLSCertificateKeyFile %[5]s
TLSCACertificateFile %[4]s
sizelimit 500
database mdb
suffix %[6]s
rootdn cn=root,%[6]s
rootpw root-secret
directory %[3]s/db
maxsize 268435456
index objectClass,entryUUID,uid,member,memberUid,modifyTimestamp eq
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="%[7]s" read by users auth by * auth
limits dn.exact="%[7]s" size.pr=500 size.prtotal=unlimited
overlay memberof
`, schema, modules, dir, cert, key, BaseDN, BindDN)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	base := fmt.Sprintf(`dn: %s
objectClass: dcObject
objectClass: organization
o: City
dc: city

dn: %s
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: reader
userPassword: %s

`, BaseDN, BindDN, BindPass)
	run(t, base+ldif, slapadd, "-q", "-f", conf)
	plain, secure := FreePort(t), FreePort(t)
	s := &Slapd{LDAP: "ldap://127.0.0.1:" + plain, LDAPS: "ldaps://127.0.0.1:" + secure, Authority: authority, t: t}
	log, exited := start(t, exec.Command(slapd, "-d", "0", "-f", conf, "-h", s.LDAP+" "+s.LDAPS))
	await(t, 20*time.Second, "slapd", log, exited, func() error {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.LDAPS, "ldaps://"))
		if err != nil {
			return err
		}
		return conn.Close()
	})
	return s
}

// Modify changes the running directory with an LDIF of changes, as its root.
func (s *Slapd) Modify(ldif string) {
	s.t.Helper()
	run(s.t, ldif, Program(s.t, "ldapmodify"), "-x", "-H", s.LDAP, "-D", "cn=root,"+BaseDN, "-w", "root-secret")
}

// Person writes an entry with a password. where is the entry above it.
func Person(uid, name, where string, extra ...string) string {
	return fmt.Sprintf("dn: uid=%s,%s\nobjectClass: inetOrgPerson\nuid: %s\ncn: %s\nsn: %s\nmail: %s@city.test\nuserPassword: pw-of-%s\n%s\n\n",
		uid, where, uid, name, name, uid, uid, strings.Join(extra, "\n"))
}

// OU writes an organisational unit.
func OU(name, where string) string {
	return fmt.Sprintf("dn: ou=%s,%s\nobjectClass: organizationalUnit\nou: %s\n\n", name, where, name)
}

// Group writes a group of members by their names.
func Group(cn, where string, members ...string) string {
	return fmt.Sprintf("dn: cn=%s,%s\nobjectClass: groupOfNames\ncn: %s\nmember: %s\n\n", cn, where, cn, strings.Join(members, "\nmember: "))
}
