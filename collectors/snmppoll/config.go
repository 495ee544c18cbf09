// Package snmppoll asks devices for their figures over SNMP, versions 1, 2c and
// 3, and hands them on as metrics: uptime, interfaces (64-bit counters, and
// 32-bit ones carried over their wraps), processors, memory and storage by
// HOST-RESOURCES-MIB and UCD-SNMP-MIB, and what is named besides.
//
// Each device is asked at its own moment of the interval, a bounded number at a
// time. snmp_up says whether it answered; when it stops answering, and when it
// answers again, an event says so.
package snmppoll

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"icewatch/collectors"
	"icewatch/collectors/usm"
	"icewatch/soc/metrics"
)

// Config is the configuration of a set of devices that are asked alike.
type Config struct {
	ID     string `yaml:"id" json:"-"`     // unique name, stored as icewatch.collector
	Tenant string `yaml:"tenant" json:"-"` // slug of the tenant of the devices; empty is the city itself
	Zone   string `yaml:"zone" json:"-"`   // network zone of the devices

	Devices   []string `yaml:"devices" json:"devices" required:"true" minItems:"1" maxItems:"1000" doc:"Names or addresses, with a port where it is not 161"`
	Version   string   `yaml:"version" json:"version" enum:"1,2c,3" doc:"Version of SNMP"`
	Community string   `yaml:"community" json:"community,omitempty" secret:"true" doc:"Community of versions 1 and 2c"`
	User      string   `yaml:"user" json:"user,omitempty" secret:"true" doc:"User of version 3: NAME SHA-256 PASSPHRASE AES PASSPHRASE"`
	Context   string   `yaml:"context" json:"context,omitempty" maxLength:"255" doc:"Context of version 3, where devices have several"`

	Templates []string `yaml:"templates" json:"templates" maxItems:"5" doc:"What is asked for: system, interfaces, cpu, memory, storage"`
	Objects   []string `yaml:"objects" json:"objects,omitempty" maxItems:"200" doc:"Further objects, such as: fan_speed gauge 1.3.6.1.4.1.9.9.13.1.4.1.3 name=1.3.6.1.4.1.9.9.13.1.4.1.2. A metric's name, gauge or counter, the object's identifier (of a column, or of one value with its .0), then labels by the columns that have them"`

	IntervalSeconds int `yaml:"interval_seconds" json:"interval_seconds" minimum:"10" maximum:"86400" doc:"Seconds between two looks at a device"`
	TimeoutSeconds  int `yaml:"timeout_seconds" json:"timeout_seconds" minimum:"1" maximum:"60" doc:"Seconds to wait for an answer"`
	Retries         int `yaml:"retries" json:"retries" minimum:"0" maximum:"10" doc:"How often a question is sent again that got no answer"`
	DownAfter       int `yaml:"down_after" json:"down_after" minimum:"1" maximum:"100" doc:"Looks in a row without an answer after which a device counts as down"`
	Concurrency     int `yaml:"concurrency" json:"concurrency" minimum:"1" maximum:"200" doc:"Devices asked at a time"`

	// Samples takes the metrics, Held is what its store holds, and Catalogue
	// learns what they mean; whoever makes the poller gives them.
	Samples   metrics.Sink       `yaml:"-" json:"-"`
	Held      metrics.Limits     `yaml:"-" json:"-"`
	Catalogue *metrics.Catalogue `yaml:"-" json:"-"`
}

// Kind is the word for this source in configurations.
const Kind = "snmppoll"

var templates = []string{"system", "interfaces", "cpu", "memory", "storage"}

// NewFactory returns the factory of pollers.
func NewFactory() collectors.Factory {
	return collectors.Factory{
		Type: Kind,
		DefaultConfig: func() any {
			return &Config{ID: "snmp-poll", Version: "2c", Templates: slices.Clone(templates), IntervalSeconds: 60, TimeoutSeconds: 3, Retries: 2, DownAfter: 3, Concurrency: 16}
		},
		New: func(cfg any, deps collectors.Deps) (collectors.Collector, error) {
			c, ok := cfg.(*Config)
			if !ok {
				return nil, fmt.Errorf("snmppoll: configuration of a poller expected, not %T", cfg)
			}
			return New(*c, deps)
		},
		Try: try,
	}
}

// checked is what a Config says, read.
type checked struct {
	addresses []string
	user      *usm.User
	objects   []object
}

// object is a further object: a column, or one value.
type object struct {
	metric  string
	counter bool
	oid     string
	labels  []labelColumn
}

type labelColumn struct{ name, oid string }

var (
	metricName = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]{0,127}$`)
	labelName  = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]{0,63}$`)
	identifier = regexp.MustCompile(`^[0-2](\.(0|[1-9][0-9]{0,9})){2,60}$`)
)

func (c *Config) check() (out checked, err error) {
	bad := func(option, format string, args ...any) {
		err = errors.Join(err, fmt.Errorf("snmppoll: %s: %s: %s", c.ID, option, fmt.Sprintf(format, args...)))
	}
	if c.ID == "" {
		bad("id", "a poller has none")
	}
	if len(c.Devices) == 0 {
		bad("devices", "none is given; names or addresses such as 10.1.2.3 are expected")
	}
	seen := map[string]bool{}
	for _, d := range c.Devices {
		host, port, e := net.SplitHostPort(d)
		if e != nil {
			host, port = strings.Trim(d, "[]"), "161"
		}
		n, e := strconv.Atoi(port)
		if e != nil || n < 1 || n > 65535 || host == "" || len(host) > 253 || strings.ContainsAny(host, " /@\t\r\n") {
			bad("devices", "%q is no name or address, with or without a port", d)
			continue
		}
		if seen[d] {
			bad("devices", "%q is given twice", d)
		}
		seen[d] = true
		out.addresses = append(out.addresses, net.JoinHostPort(host, port))
	}
	switch c.Version {
	case "1", "2c":
		if c.Community == "" {
			bad("community", "version %s needs one", c.Version)
		}
	case "3":
		users, e := usm.Parse(c.User)
		switch {
		case e != nil:
			bad("user", "%v", e)
		case len(users) != 1:
			bad("user", "version 3 needs one: NAME SHA-256 PASSPHRASE AES PASSPHRASE")
		default:
			out.user = users[0]
		}
	default:
		bad("version", "%q is none of 1, 2c and 3", c.Version)
	}
	for _, t := range c.Templates {
		if !slices.Contains(templates, t) {
			bad("templates", "%q is none of %s", t, strings.Join(templates, ", "))
		}
	}
	for _, line := range c.Objects {
		o, why := readObject(line)
		if why != "" {
			bad("objects", "%q: %s", line, why)
		}
		out.objects = append(out.objects, o)
	}
	if c.IntervalSeconds < 1 || c.TimeoutSeconds < 1 || c.Retries < 0 || c.DownAfter < 1 || c.Concurrency < 1 {
		bad("interval_seconds", "it, timeout_seconds, down_after and concurrency must be above 0, and retries not below")
	}
	return out, err
}

func readObject(line string) (o object, why string) {
	f := strings.Fields(line)
	if len(f) < 3 {
		return o, "a name, gauge or counter, and an identifier are expected, such as: fan_speed gauge 1.3.6.1.4.1.9.9.13.1.4.1.3"
	}
	o = object{metric: f[0], counter: f[1] == "counter", oid: strings.TrimPrefix(f[2], ".")}
	switch {
	case !metricName.MatchString(o.metric):
		return o, "the name may have letters, digits and underscores alone"
	case f[1] != "gauge" && f[1] != "counter":
		return o, f[1] + " is neither gauge nor counter"
	case !identifier.MatchString(o.oid):
		return o, f[2] + " is no object identifier"
	}
	for _, l := range f[3:] {
		name, oid, ok := strings.Cut(l, "=")
		if oid = strings.TrimPrefix(oid, "."); !ok || !labelName.MatchString(name) || !identifier.MatchString(oid) || name == "host" || name == "zone" {
			return o, l + " is no label: a name, = and the identifier of a column are expected"
		}
		o.labels = append(o.labels, labelColumn{name, oid})
	}
	return o, ""
}

func (c *Config) interval() time.Duration { return time.Duration(c.IntervalSeconds) * time.Second }
