package config

import (
	"fmt"
	"slices"
	"strings"

	"icewatch/soc/metrics/remote"
	"icewatch/soc/node"
	"icewatch/soc/retention"
)

// LakeRemote names the servers that hold the events.
type LakeRemote struct {
	Nodes []LakeNode `yaml:"nodes" doc:"The storage nodes of VictoriaLogs clusters, all of them; the suite spreads rows over those of a class. Empty: events are kept below the data folder."`
}

// LakeNode is a server that holds events.
type LakeNode struct {
	URL          string `yaml:"url" doc:"Where it answers, such as http://10.0.0.5:9428."`
	Class        string `yaml:"class" doc:"Retention class whose events it holds. Empty: those of all classes without a node of their own."`
	Username     string `yaml:"username" doc:"User for basic authentication."`
	Password     string `yaml:"password" doc:"The user's password. Better given as password_file."`
	PasswordFile string `yaml:"password_file" doc:"File that holds the password; it is read again when it changes."`
	Token        string `yaml:"token" doc:"Bearer token. Better given as token_file."`
	TokenFile    string `yaml:"token_file" doc:"File that holds the token; it is read again when it changes."`
	CAFile       string `yaml:"ca_file" doc:"PEM file of those who may have signed the server's certificate. Empty: the system's authorities."`
	CertFile     string `yaml:"cert_file" doc:"PEM file of the suite's own certificate, where the server asks for one."`
	KeyFile      string `yaml:"key_file" doc:"PEM file of that certificate's key."`
	ServerName   string `yaml:"server_name" doc:"Name that the server's certificate must bear. Empty: the one of the URL."`
}

// Node is the server as drivers take it.
func (n LakeNode) Node() node.Options {
	return node.Options{URL: n.URL, Username: n.Username, Password: n.Password, PasswordFile: n.PasswordFile, Token: n.Token, TokenFile: n.TokenFile,
		CAFile: n.CAFile, CertFile: n.CertFile, KeyFile: n.KeyFile, ServerName: n.ServerName}
}

// Of are the nodes that hold the events of a class: its own, or else those of
// all classes.
func (r LakeRemote) Of(class string) []node.Options {
	var own, shared []node.Options
	for _, n := range r.Nodes {
		switch n.Class {
		case class:
			own = append(own, n.Node())
		case "":
			shared = append(shared, n.Node())
		}
	}
	if class != "" && len(own) > 0 {
		return own
	}
	return shared
}

// Metrics configures the store of metrics.
type Metrics struct {
	Retention Duration      `yaml:"retention" doc:"How long metrics are kept."`
	Interval  Duration      `yaml:"interval" doc:"How often the suite stores its own figures, those of /metrics, as metrics of the tenant city."`
	Remote    MetricsRemote `yaml:"remote" doc:"Servers that hold the metrics in place of this machine (docs/drivers.md)."`
}

// MetricsRemote names the servers that hold the metrics.
type MetricsRemote struct {
	Write        string `yaml:"write" doc:"Where a VictoriaMetrics server is written to, such as http://10.0.0.5:8428, or http://10.0.0.5:8480/insert/{account}/prometheus for a cluster. Empty: metrics are kept below the data folder."`
	Read         string `yaml:"read" doc:"Where it is read, such as http://10.0.0.5:8428, or http://10.0.0.6:8481/select/{account}/prometheus for a cluster. Empty: as write."`
	Username     string `yaml:"username" doc:"User for basic authentication."`
	Password     string `yaml:"password" doc:"The user's password. Better given as password_file."`
	PasswordFile string `yaml:"password_file" doc:"File that holds the password; it is read again when it changes."`
	Token        string `yaml:"token" doc:"Bearer token. Better given as token_file."`
	TokenFile    string `yaml:"token_file" doc:"File that holds the token; it is read again when it changes."`
	CAFile       string `yaml:"ca_file" doc:"PEM file of those who may have signed the servers' certificates. Empty: the system's authorities."`
	CertFile     string `yaml:"cert_file" doc:"PEM file of the suite's own certificate, where the servers ask for one."`
	KeyFile      string `yaml:"key_file" doc:"PEM file of that certificate's key."`
	ServerName   string `yaml:"server_name" doc:"Name that the servers' certificates must bear. Empty: the one of the URL."`
}

// Options are the servers as the driver takes them, nil where there are none.
func (m MetricsRemote) Options() *remote.Options {
	if m.Write == "" {
		return nil
	}
	write := node.Options{URL: m.Write, Username: m.Username, Password: m.Password, PasswordFile: m.PasswordFile, Token: m.Token, TokenFile: m.TokenFile,
		CAFile: m.CAFile, CertFile: m.CertFile, KeyFile: m.KeyFile, ServerName: m.ServerName}
	read := write
	if m.Read != "" {
		read.URL = m.Read
	}
	return &remote.Options{Write: write, Read: read}
}

// checkRemote tells what is wrong with the servers that hold events and
// metrics, as far as the configuration shows it.
func (c *Config) checkRemote(bad func(path, format string, args ...any), file func(path, v string)) {
	files := func(path string, o node.Options) {
		for name, v := range map[string]string{"password_file": o.PasswordFile, "token_file": o.TokenFile, "ca_file": o.CAFile, "cert_file": o.CertFile, "key_file": o.KeyFile} {
			file(path+"."+name, v)
		}
	}
	classes := []string{retention.Standard}
	for _, class := range c.Lake.Classes {
		classes = append(classes, class.Name)
	}
	nodes := c.Lake.Remote.Nodes
	for i, n := range nodes {
		path := fmt.Sprintf("lake.remote.nodes[%d]", i)
		if err := n.Node().Check(); err != nil {
			bad(path, "%v", err)
		}
		files(path, n.Node())
		if slices.ContainsFunc(nodes[:i], func(other LakeNode) bool { return strings.TrimRight(other.URL, "/") == strings.TrimRight(n.URL, "/") }) {
			bad(path+".url", "%q is given twice; its rows would count twice", n.URL)
		}
		if n.Class != "" && !slices.Contains(classes, n.Class) {
			bad(path+".class", "%q is not known; one of %s is expected, or none for all", n.Class, strings.Join(classes, ", "))
		}
	}
	for _, class := range classes {
		if len(nodes) > 0 && len(c.Lake.Remote.Of(class)) == 0 {
			bad("lake.remote.nodes", "no node holds the events of the class %s; give one of that class, or one without a class", class)
		}
	}
	m := c.Metrics.Remote
	switch {
	case m.Write != "":
		if err := m.Options().Check(); err != nil {
			bad("metrics.remote", "%v", err)
		}
		files("metrics.remote", m.Options().Write)
	case m.Read != "":
		bad("metrics.remote.read", "%q is given, but not where to write to; give both or neither", m.Read)
	}
}
