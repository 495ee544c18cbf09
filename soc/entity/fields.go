package entity

import (
	"slices"
	"strconv"
	"strings"
)

// Role is what part an entity plays in an event whose field names it.
type Role string

// The roles.
const (
	Actor  Role = "actor"  // who did it or where it came from
	Target Role = "target" // whom or what it was done to
	Part   Role = "part"   // what else the event is about
)

// Field is a field of events that names entities of a type.
type Field struct {
	Name string
	Type Type
	Role Role
	Many bool // it may hold a list
}

// Fields says which fields of the Elastic Common Schema, and of the suite's own,
// name which entities. A field may name several types; the first one here is
// what a link from a value of the field leads to. The console has the same table
// (soc/console/src/logic/entity.ts; a test compares them).
var Fields = []Field{
	{"source.ip", IP, Actor, false}, {"client.ip", IP, Actor, false}, {"source.nat.ip", IP, Actor, false},
	{"destination.ip", IP, Target, false}, {"server.ip", IP, Target, false}, {"destination.nat.ip", IP, Target, false},
	{"host.ip", IP, Part, true}, {"observer.ip", IP, Part, true}, {"dns.resolved_ip", IP, Part, true}, {"threat.indicator.ip", IP, Part, false},

	{"icewatch.ci.id", Asset, Part, false}, {"icewatch.source.ci.id", Asset, Actor, false}, {"icewatch.destination.ci.id", Asset, Target, false}, {"icewatch.ci.system.id", Asset, Part, false},

	{"host.name", Device, Part, false}, {"host.hostname", Device, Part, false}, {"observer.name", Device, Part, false}, {"observer.hostname", Device, Part, false}, {"device.id", Device, Part, false},

	{"url.domain", Website, Target, false}, {"tls.client.server_name", Website, Target, false},

	{"dns.question.name", Domain, Target, false}, {"dns.question.registered_domain", Domain, Target, false}, {"url.domain", Domain, Target, false}, {"url.registered_domain", Domain, Target, false},
	{"tls.client.server_name", Domain, Target, false}, {"destination.domain", Domain, Target, false}, {"server.domain", Domain, Target, false}, {"source.domain", Domain, Actor, false},
	{"client.domain", Domain, Actor, false}, {"threat.indicator.url.domain", Domain, Part, false},

	{"file.hash.md5", File, Part, false}, {"file.hash.sha1", File, Part, false}, {"file.hash.sha256", File, Part, false}, {"file.hash.sha512", File, Part, false},
	{"process.hash.md5", File, Part, false}, {"process.hash.sha1", File, Part, false}, {"process.hash.sha256", File, Part, false},
	{"dll.hash.md5", File, Part, false}, {"dll.hash.sha1", File, Part, false}, {"dll.hash.sha256", File, Part, false}, {"email.attachments.file.hash.sha256", File, Part, true},
	{"file.path", File, Part, false}, {"file.name", File, Part, false}, {"file.target_path", File, Part, false}, {"process.executable", File, Part, false},
	{"dll.path", File, Part, false}, {"email.attachments.file.name", File, Part, true},

	{"email.from.address", Mail, Actor, true}, {"email.sender.address", Mail, Actor, true}, {"email.to.address", Mail, Target, true}, {"email.cc.address", Mail, Target, true},
	{"email.bcc.address", Mail, Target, true}, {"email.reply_to.address", Mail, Part, true}, {"user.email", Mail, Part, false},

	{"user.id", AppUser, Actor, false}, {"user.target.id", AppUser, Target, false}, {"url.username", AppUser, Actor, false},

	{"user.name", SystemUser, Actor, false}, {"user.effective.name", SystemUser, Actor, false}, {"source.user.name", SystemUser, Actor, false}, {"process.user.name", SystemUser, Actor, false},
	{"user.target.name", SystemUser, Target, false}, {"destination.user.name", SystemUser, Target, false}, {"user.changes.name", SystemUser, Target, false},
	// Applications that have no ids of their own name their accounts like systems do.
	{"user.name", AppUser, Actor, false}, {"user.target.name", AppUser, Target, false},

	{"organization.id", Organisation, Part, false}, {"icewatch.reach.unit", Organisation, Part, false},
}

// Of lists the fields of a type, of a role where one is given.
func Of(t Type, roles ...Role) []Field {
	var out []Field
	for _, f := range Fields {
		if f.Type == t && (len(roles) == 0 || slices.Contains(roles, f.Role)) {
			out = append(out, f)
		}
	}
	return out
}

// TypeOf is the type that a link from a value of the field leads to; "" where
// the field names no entity.
func TypeOf(field string) Type {
	for _, f := range Fields {
		if f.Name == field {
			return f.Type
		}
	}
	return ""
}

// variants are the ways in which senders write the value. The lake compares
// letters by their case.
func (e Entity) variants() []string {
	out := []string{e.Value}
	add := func(v string) {
		if v != "" && !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	switch e.Type {
	case Domain, Website:
		add(e.Value + ".")
		add(e.Shown())
		add(strings.ToUpper(e.Value))
	case Mail:
		add(e.Shown())
	case Device, SystemUser, AppUser:
		add(strings.ToLower(e.Value))
		add(strings.ToUpper(e.Value))
	case File:
		if IsHash(e.Value) {
			add(strings.ToUpper(e.Value))
		}
	case IP, Asset, Organisation:
	}
	return out
}

// Filter is the LogsQL of events that name the entity, without pipes; roles
// narrow it to the part that it plays in them. It is "" where the type has no
// field of these roles.
func (e Entity) Filter(roles ...Role) string {
	var parts []string
	values := e.variants()
	for _, f := range Of(e.Type, roles...) {
		if e.Type == File && IsHash(e.Value) != strings.Contains(f.Name, ".hash.") {
			continue
		}
		parts = append(parts, is(f, values))
	}
	if domain, name, found := strings.Cut(e.Value, `\`); found && e.Type == SystemUser && len(roles) == 0 {
		// Windows writes the domain into a field of its own.
		account := Entity{Type: SystemUser, Value: name}.variants()
		parts = append(parts, "("+is(Field{Name: "user.name"}, account)+" "+is(Field{Name: "user.domain"}, []string{domain, strings.ToLower(domain), strings.ToUpper(domain)})+")")
	}
	if len(parts) == 0 {
		return ""
	}
	q := "(" + strings.Join(parts, " or ") + ")"
	if e.Type == IP && e.Zone != "" {
		q += " " + InZone(e.Zone)
	}
	return q
}

// AnyOf is the LogsQL of events whose field holds one of some values.
func AnyOf(field string, values []string) string { return is(Field{Name: field}, values) }

// DefaultZone is what events without a zone are of.
const DefaultZone = "default"

// InZone is the LogsQL of events of a network zone.
func InZone(zone string) string {
	if zone == DefaultZone {
		return `"icewatch.zone":in("default","")`
	}
	return `"icewatch.zone":=` + strconv.Quote(zone)
}

func is(f Field, values []string) string {
	name := strconv.Quote(f.Name)
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = strconv.Quote(v)
	}
	q := name + ":=" + quoted[0]
	if len(quoted) > 1 {
		q = name + ":in(" + strings.Join(quoted, ",") + ")"
	}
	if f.Many { // several values stand in one text, as whole words
		for _, v := range quoted {
			q += " or " + name + ":" + v
		}
	}
	return q
}
