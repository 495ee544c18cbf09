// Package observable finds what of alerts can be looked for elsewhere:
// addresses, domains, URLs, hashes, accounts and files. It takes them out of
// alerts by itself, keeps those that people add to an incident, and tells in
// which other alerts one was seen.
package observable

import (
	"cmp"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// The types of observables, named as in the field.
const (
	IP     = "ip"
	Domain = "domain"
	URL    = "url"
	Hash   = "hash"
	User   = "user"
	File   = "file"
)

// Types lists the types in the order they are shown.
var Types = []string{IP, Domain, URL, Hash, File, User}

// Observable is a value of a type.
type Observable struct {
	Type  string `json:"type" enum:"ip,domain,url,hash,file,user"`
	Value string `json:"value"`
}

// maxFound is how many observables one alert gives.
const maxFound = 100

// fields are the fields of the Elastic Common Schema that hold observables.
var fields = map[string]string{
	"source.ip": IP, "destination.ip": IP, "client.ip": IP, "server.ip": IP, "source.nat.ip": IP, "destination.nat.ip": IP, "dns.resolved_ip": IP, "threat.indicator.ip": IP,
	"destination.domain": Domain, "source.domain": Domain, "url.domain": Domain, "dns.question.name": Domain, "tls.client.server_name": Domain, "server.domain": Domain, "client.domain": Domain, "threat.indicator.url.domain": Domain,
	"url.full": URL, "url.original": URL, "threat.indicator.url.full": URL,
	"file.path": File, "process.executable": File, "file.target_path": File,
	"user.name": User, "source.user.name": User, "destination.user.name": User, "user.target.name": User,
}

// texts are fields in whose text observables may stand.
var texts = []string{"message", "event.original", "process.command_line", "process.args"}

var (
	urlIn  = regexp.MustCompile(`\b(?:https?|ftp)://[^\s"'<>\\^{}|` + "`" + `]{3,1000}`)
	hashIn = regexp.MustCompile(`\b(?:[0-9a-fA-F]{128}|[0-9a-fA-F]{96}|[0-9a-fA-F]{64}|[0-9a-fA-F]{40}|[0-9a-fA-F]{32})\b`)
	ipIn   = regexp.MustCompile(`\b(?:\d{1,3}\.){3}\d{1,3}\b`)
	label  = regexp.MustCompile(`^[\p{L}\p{N}_](?:[\p{L}\p{N}_-]{0,61}[\p{L}\p{N}])?$`)
)

// hashField tells whether a field holds hashes.
func hashField(name string) bool {
	return strings.Contains(name, ".hash.") || name == "file.hash" || name == "process.hash"
}

// Extract takes the observables out of an alert's flat fields and the addresses
// of its parties, each in one way of writing, sorted.
func Extract(flat map[string]string, addresses ...string) []Observable {
	found := map[Observable]bool{}
	add := func(typ, value string) {
		if o, err := Read(typ, value); err == nil && len(found) < maxFound {
			found[o] = true
		}
	}
	for _, a := range addresses {
		add(IP, a)
	}
	var names []string
	for name := range flat {
		if fields[name] != "" || hashField(name) || slices.Contains(texts, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names) // where there are too many, the same ones each time
	for _, name := range names {
		value := flat[name]
		switch typ := fields[name]; {
		case typ == URL && !strings.Contains(value, "://"):
			// A path without its host is found nowhere else.
		case typ != "":
			add(typ, value)
		case hashField(name):
			add(Hash, value)
		case slices.Contains(texts, name):
			for _, u := range urlIn.FindAllString(value, maxFound) {
				add(URL, strings.TrimRight(u, ".,;:)]"))
			}
			for _, h := range hashIn.FindAllString(value, maxFound) {
				add(Hash, h)
			}
			for _, ip := range ipIn.FindAllString(value, maxFound) {
				add(IP, ip)
			}
		}
	}
	// The host of a URL is one more.
	for o := range found {
		if o.Type == URL {
			if u, err := url.Parse(o.Value); err == nil {
				add(IP, u.Hostname())
				add(Domain, u.Hostname())
			}
		}
	}
	out := make([]Observable, 0, len(found))
	for o := range found {
		out = append(out, o)
	}
	slices.SortFunc(out, compare)
	return out
}

func compare(a, b Observable) int {
	return cmp.Or(cmp.Compare(slices.Index(Types, a.Type), slices.Index(Types, b.Type)), strings.Compare(a.Value, b.Value))
}

// Read checks a value and writes it in the one way in which it is compared:
// addresses in their canonical form, domains and hashes in lower case. Values
// that say nothing, such as 0.0.0.0 or the hash of the empty file, are refused.
func Read(typ, value string) (Observable, error) {
	value = strings.TrimSpace(value)
	bad := func(want string) (Observable, error) {
		return Observable{}, fmt.Errorf("%w: %s %q: want %s", ErrInvalid, typ, value, want)
	}
	if value == "" || len(value) > 2048 || !utf8.ValidString(value) {
		return bad("1 to 2048 bytes of text")
	}
	switch typ {
	case IP:
		a, err := netip.ParseAddr(value)
		if err != nil || a.Zone() != "" {
			return bad("an address such as 203.0.113.7 or 2001:db8::7")
		}
		if a = a.Unmap(); a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() || a.IsLinkLocalUnicast() || a.String() == "255.255.255.255" {
			return bad("an address that a host on the network has")
		}
		value = a.String()
	case Domain:
		value = strings.TrimSuffix(strings.ToLower(value), ".")
		parts := strings.Split(value, ".")
		if _, err := netip.ParseAddr(value); err == nil || len(parts) < 2 || len(value) > 253 || slices.ContainsFunc(parts, func(p string) bool { return !label.MatchString(p) }) {
			return bad("a domain such as www.example.com")
		}
	case URL:
		u, err := url.Parse(value)
		if err != nil || u.Host == "" || u.Scheme == "" {
			return bad("a URL with its host, such as http://example.com/x")
		}
		u.Scheme, u.Host, u.User, u.Fragment = strings.ToLower(u.Scheme), strings.ToLower(u.Host), nil, ""
		value = u.String()
	case Hash:
		value = strings.ToLower(value)
		if hashIn.FindString(value) != value || slices.Contains(emptyHashes, value) || strings.Trim(value, value[:1]) == "" {
			return bad("an MD5, SHA-1 or SHA-2 in hex, not that of the empty file")
		}
	case User:
		if utf8.RuneCountInString(value) > 256 || strings.ContainsAny(value, "\n\r\t") || value == "-" {
			return bad("an account's name")
		}
	case File:
		if strings.ContainsAny(value, "\n\r\x00") || !strings.ContainsAny(value, `/\.`) {
			return bad("a path or the name of a file")
		}
	default:
		return bad("a type of ip, domain, url, hash, file, user")
	}
	return Observable{typ, value}, nil
}

// emptyHashes are MD5, SHA-1 and SHA-256 of nothing.
var emptyHashes = []string{"d41d8cd98f00b204e9800998ecf8427e", "da39a3ee5e6b4b0d3255bfef95601890afd80709", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}
