// Package entity is the security encyclopaedia's foundation: which kinds of
// things events, alerts and the CMDB speak of (addresses, assets, devices,
// sites, domains, files, mail addresses, accounts, organisations), which fields
// of events name them, how a value of each is written in one way, and how events
// that name one are asked for. Beside that it keeps what people and the suite
// have judged of them, watches those that are to be watched, and says which
// asset was presumably broken into first and when.
//
// It decides nothing about who may see what: events are asked for with a reach,
// judgements are filtered by one.
package entity

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// ErrInvalid says that a value is none of its type, or that what is to be kept
// of an entity is not valid; the error that wraps it says why.
var ErrInvalid = errors.New("entity: not valid")

// Type is a kind of entity, as it stands in addresses of the console.
type Type string

// The types of entities.
const (
	IP           Type = "ip"           // an address, within a network zone where one is named
	Asset        Type = "asset"        // an item of the CMDB, by its id
	Device       Type = "device"       // a machine, by the name it gives itself
	Website      Type = "website"      // a site, by its host name
	Domain       Type = "domain"       // a name of the DNS
	File         Type = "file"         // a file, by its hash, path or name
	Mail         Type = "mail"         // a mail address
	AppUser      Type = "app-user"     // an account of an application
	SystemUser   Type = "system-user"  // an account of an operating system or directory
	Organisation Type = "organisation" // an organisation of the CMDB, by its id
)

// Types lists all types in the order in which they are shown.
var Types = []Type{IP, Asset, Device, Website, Domain, File, Mail, AppUser, SystemUser, Organisation}

// MaxValue is how many bytes a value has at most.
const MaxValue = 2048

// Entity is a thing that events name. It is comparable: Read writes equal
// things in one way.
type Entity struct {
	Type  Type   `json:"type" enum:"ip,asset,device,website,domain,file,mail,app-user,system-user,organisation"`
	Value string `json:"value"`
	Zone  string `json:"zone,omitempty" doc:"Network zone of an address; absent: in whichever zone"`
}

var (
	hashes   = regexp.MustCompile(`^(?:[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})$`)
	zoneName = regexp.MustCompile(`^[\p{L}\p{N}][\p{L}\p{N}._ -]{0,63}$`)
	label    = regexp.MustCompile(`^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$`)
	digits   = regexp.MustCompile(`^[0-9.]+$`)
)

// IsHash tells whether a file's value is a hash (MD5, SHA-1 or SHA-2 in hex).
func IsHash(value string) bool { return hashes.MatchString(strings.ToLower(value)) }

// Read checks a value of a type and writes it in the one way in which it is
// compared: addresses in canonical form, names in lower case and as ASCII
// (internationalised names by IDNA 2008), hashes in lower case. zone is for
// addresses; "zone|address" names it as well.
func Read(t Type, value, zone string) (Entity, error) {
	value, zone = strings.TrimSpace(value), strings.TrimSpace(zone)
	bad := func(want string) (Entity, error) {
		if r := []rune(value); len(r) > 80 {
			value = string(r[:80]) + "…"
		}
		return Entity{}, fmt.Errorf("%w: %s %q: want %s", ErrInvalid, t, value, want)
	}
	if value == "" || len(value) > MaxValue || !utf8.ValidString(value) || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return bad(fmt.Sprintf("1 to %d bytes of text without control characters", MaxValue))
	}
	e := Entity{Type: t, Value: value}
	switch t {
	case IP:
		if z, rest, found := strings.Cut(value, "|"); found {
			zone, value = strings.TrimSpace(z), strings.TrimSpace(rest)
		}
		a, err := netip.ParseAddr(value)
		if err != nil || a.Zone() != "" {
			return bad("an address such as 203.0.113.7 or 2001:db8::7")
		}
		if zone != "" && !zoneName.MatchString(zone) {
			return Entity{}, fmt.Errorf("%w: zone %q: want the name of a network zone", ErrInvalid, zone)
		}
		e.Value, e.Zone = a.Unmap().String(), zone
	case Domain, Website:
		if t == Website {
			value = hostOf(value)
			if a, err := netip.ParseAddr(strings.Trim(value, "[]")); err == nil {
				e.Value = a.Unmap().String() // a site may be known by its address alone
				return e, nil
			}
		}
		name, ok := Name(value)
		if !ok || t == Domain && !strings.Contains(name, ".") {
			return bad("a name such as www.example.com")
		}
		e.Value = name
	case Device:
		if strings.ContainsAny(value, " \t/\\|\"") && !strings.Contains(value, " ") || utf8.RuneCountInString(value) > 255 {
			return bad("the name of a machine, such as web-01")
		}
		e.Value = strings.ToLower(strings.TrimRight(value, ". "))
		if e.Value == "" { // it would be asked for as events without a name
			return bad("the name of a machine, such as web-01")
		}
	case File:
		if lower := strings.ToLower(value); hashes.MatchString(lower) {
			e.Value = lower
		}
	case Mail:
		local, domain, found := cutLast(strings.Trim(value, "<>"), "@")
		name, ok := Name(domain)
		if !found || local == "" || strings.ContainsAny(local, " <>\"") || !ok {
			return bad("a mail address such as zhang@example.gov.cn")
		}
		e.Value = strings.ToLower(local) + "@" + name
	case AppUser, SystemUser:
		if utf8.RuneCountInString(value) > 256 || value == "-" {
			return bad("an account's name, such as alice or CORP\\alice")
		}
	case Asset, Organisation:
		if len(value) > 256 {
			return bad("the id of an item of the CMDB")
		}
	default:
		return Entity{}, fmt.Errorf("%w: type %q: want one of %s", ErrInvalid, t, names())
	}
	return e, nil
}

func names() string {
	out := make([]string, len(Types))
	for i, t := range Types {
		out[i] = string(t)
	}
	return strings.Join(out, ", ")
}

// hostOf is the host of what may be a URL, a host with its port, or a host.
func hostOf(value string) string {
	if strings.Contains(value, "://") {
		if u, err := url.Parse(value); err == nil {
			return u.Hostname()
		}
	}
	if host, _, found := strings.Cut(value, "/"); found {
		value = host
	}
	if rest, found := strings.CutPrefix(value, "["); found { // an IPv6 address, perhaps with a port
		host, _, _ := strings.Cut(rest, "]")
		return host
	}
	if host, port, found := cutLast(value, ":"); found && !strings.Contains(host, ":") && digits.MatchString(port) {
		value = host
	}
	return value
}

// Name writes a host name or domain in lower-case ASCII. ok is false where it
// is none.
func Name(value string) (name string, ok bool) {
	value = strings.TrimSuffix(strings.ToLower(strings.TrimSpace(value)), ".")
	if ascii, err := idna.Lookup.ToASCII(value); err == nil {
		value = ascii // names with underscores, which IDNA refuses, stay as they are
	}
	if value == "" || len(value) > 253 || digits.MatchString(value) {
		return "", false
	}
	if _, err := netip.ParseAddr(value); err == nil {
		return "", false
	}
	for l := range strings.SplitSeq(value, ".") {
		if !label.MatchString(l) {
			return "", false
		}
	}
	return value, true
}

// Shown is the value as people read it: internationalised names in their own
// script.
func (e Entity) Shown() string {
	switch e.Type {
	case Domain, Website, Mail:
		local, domain := "", e.Value
		if l, d, found := cutLast(e.Value, "@"); found {
			local, domain = l+"@", d
		}
		if u, err := idna.Display.ToUnicode(domain); err == nil {
			return local + u
		}
	}
	return e.Value
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// Guess says what a text that somebody typed may be, the likeliest first. It is
// empty where the text is none of the forms that tell a type apart.
func Guess(text string) []Entity {
	text = strings.TrimSpace(text)
	var out []Entity
	add := func(t Type) {
		if e, err := Read(t, text, ""); err == nil && !slices.Contains(out, e) {
			out = append(out, e)
		}
	}
	switch {
	case text == "" || strings.ContainsAny(text, "\"*"):
	case IsHash(text):
		add(File)
	case strings.Contains(text, "@"):
		add(Mail)
		add(SystemUser)
	case strings.Contains(text, "://"):
		add(Website)
	default:
		add(IP)
		if len(out) > 0 {
			break
		}
		if strings.ContainsAny(text, `/\`) {
			if strings.Count(text, `\`) == 1 && !strings.Contains(text, ":") {
				add(SystemUser)
				break
			}
			if path.Base(text) != "" {
				add(File)
			}
			break
		}
		if strings.Contains(text, " ") {
			break
		}
		if name, ok := Name(text); ok && strings.Contains(name, ".") {
			add(Domain)
			add(Website)
		}
		add(Device)
		add(SystemUser)
		add(AppUser)
	}
	return out
}
