// Package usm is the users of SNMP's user-based security model (RFC 3414), as
// administrators write them: whom the trap listener hears, and as whom the poller
// asks.
package usm

import (
	"fmt"
	"strings"

	"github.com/gosnmp/gosnmp"
)

// User is a user of version 3 with his protocols and passphrases.
type User struct {
	Name                   string
	Auth                   gosnmp.SnmpV3AuthProtocol
	Priv                   gosnmp.SnmpV3PrivProtocol
	AuthSecret, PrivSecret string
}

// Level is how a user's messages are secured.
func (u *User) Level() gosnmp.SnmpV3MsgFlags {
	switch {
	case u.Priv > gosnmp.NoPriv:
		return gosnmp.AuthPriv
	case u.Auth > gosnmp.NoAuth:
		return gosnmp.AuthNoPriv
	}
	return gosnmp.NoAuthNoPriv
}

// Parameters are the user's for gosnmp.
func (u *User) Parameters() *gosnmp.UsmSecurityParameters {
	return &gosnmp.UsmSecurityParameters{UserName: u.Name, AuthenticationProtocol: u.Auth, AuthenticationPassphrase: u.AuthSecret,
		PrivacyProtocol: u.Priv, PrivacyPassphrase: u.PrivSecret}
}

var authProtocols = map[string]gosnmp.SnmpV3AuthProtocol{"MD5": gosnmp.MD5, "SHA": gosnmp.SHA, "SHA1": gosnmp.SHA, "SHA224": gosnmp.SHA224,
	"SHA256": gosnmp.SHA256, "SHA384": gosnmp.SHA384, "SHA512": gosnmp.SHA512}

var privProtocols = map[string]gosnmp.SnmpV3PrivProtocol{"DES": gosnmp.DES, "AES": gosnmp.AES, "AES128": gosnmp.AES, "AES192": gosnmp.AES192,
	"AES256": gosnmp.AES256, "AES192C": gosnmp.AES192C, "AES256C": gosnmp.AES256C}

// maxUsers bounds the users of a listener.
const maxUsers = 1000

// Parse reads users, one a line: NAME, or NAME PROTOCOL PASSPHRASE, or
// NAME PROTOCOL PASSPHRASE PROTOCOL PASSPHRASE, as snmptrapd's createUser has
// them. A passphrase with blanks stands in quotes. The error names the line and
// never what stands in it but the protocols.
func Parse(text string) (users []*User, err error) {
	seen := map[string]bool{}
	number := 0
	for line := range strings.Lines(text) {
		number++
		bad := func(format string, args ...any) ([]*User, error) {
			return nil, fmt.Errorf("line %d: %s", number, fmt.Sprintf(format, args...))
		}
		f, ok := words(line)
		if !ok {
			return bad("a quote is not closed")
		}
		if len(f) > 0 && f[0] == "createUser" {
			f = f[1:]
		}
		if len(f) == 0 {
			continue
		}
		if len(f) != 1 && len(f) != 3 && len(f) != 5 {
			return bad("%d words; a name alone, with protocol and passphrase, or with two of both are expected: NAME SHA-256 PASSPHRASE AES PASSPHRASE", len(f))
		}
		u := &User{Name: f[0], Auth: gosnmp.NoAuth, Priv: gosnmp.NoPriv}
		if len(u.Name) > 32 || seen[u.Name] {
			return bad("the name is longer than 32 bytes, or given twice")
		}
		seen[u.Name] = true
		if len(f) >= 3 {
			if u.Auth, ok = authProtocols[protocolName(f[1])]; !ok {
				return bad("the authentication protocol is none of MD5, SHA, SHA-224, SHA-256, SHA-384 and SHA-512")
			}
			u.AuthSecret = f[2]
		}
		if len(f) == 5 {
			if u.Priv, ok = privProtocols[protocolName(f[3])]; !ok {
				return bad("the privacy protocol is none of DES, AES, AES-192 and AES-256")
			}
			u.PrivSecret = f[4]
		}
		if len(f) >= 3 && len(u.AuthSecret) < 8 || len(f) == 5 && len(u.PrivSecret) < 8 {
			return bad("a passphrase has less than 8 characters (RFC 3414, 11.2)")
		}
		if users = append(users, u); len(users) > maxUsers {
			return bad("more than %d users", maxUsers)
		}
	}
	return users, nil
}

// protocolName lets SHA-256, sha256 and usmHMAC… be written as people do.
func protocolName(s string) string { return strings.ToUpper(strings.ReplaceAll(s, "-", "")) }

// words cuts a line at blanks that do not stand in quotes.
func words(line string) (out []string, ok bool) {
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimLeft(line, " \t") {
		if line[0] == '"' || line[0] == '\'' {
			end := strings.IndexByte(line[1:], line[0])
			if end < 0 {
				return nil, false
			}
			out, line = append(out, line[1:end+1]), line[end+2:]
			continue
		}
		if line[0] == '#' && len(out) == 0 {
			return nil, true
		}
		end := strings.IndexAny(line, " \t")
		if end < 0 {
			end = len(line)
		}
		out, line = append(out, line[:end]), line[end:]
	}
	return out, true
}
