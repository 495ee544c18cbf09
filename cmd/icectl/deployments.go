package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"icewatch/soc/client"
)

type deploymentsCmd struct {
	List   deploymentsListCmd   `cmd:"" help:"List deployments of the agent over SSH, the latest first."`
	Create deploymentsCreateCmd `cmd:"" help:"Install, upgrade or remove the agent on the hosts of a file."`
	Show   deploymentsShowCmd   `cmd:"" help:"Show how far each host is; with a host what was said on it."`
	Watch  deploymentsWatchCmd  `cmd:"" help:"Tell of each host as it goes on, until the deployment ends; exits with 1 where not all hosts are done."`
	Trust  deploymentsTrustCmd  `cmd:"" help:"Trust keys that hosts wait with: those that a file known_hosts has, or named ones."`
	Retry  deploymentsRetryCmd  `cmd:"" help:"Try the hosts that failed again: with the same credentials while the deployment goes on, else as a new one with the credentials given."`
	Stop   deploymentsStopCmd   `cmd:"" help:"Leave the hosts that wait alone, and cut the connections to the others."`
}

const deploymentsPath = "/api/v1/fleet/deployments"

func deploymentPath(id string) string { return deploymentsPath + "/" + url.PathEscape(id) }

// deploymentLine is what is shown of a deployment.
type deploymentLine struct {
	ID, Tenant, Kind, User, Version, By string
	At                                  time.Time
	Ended                               time.Time `json:"ended_at"`
	RetryOf                             string    `json:"retry_of"`
	Hosts                               int
	States                              map[string]int
	Targets                             []deploymentHost
}

// deploymentHost is one host of a deployment.
type deploymentHost struct {
	Address, State, Step, Text, Platform, Agent string
	At                                          time.Time
	Key                                         *struct{ Type, Fingerprint, Line string }
	Log                                         []struct {
		At   time.Time
		Text string
	}
}

// deploymentStates are the states of hosts in the order in which they are told.
var deploymentStates = []string{"done", "running", "waiting", "key-unknown", "failed", "cancelled"}

// counts tells how many hosts are in which state.
func (d *deploymentLine) counts() string {
	var out []string
	for _, s := range deploymentStates {
		if d.States[s] > 0 {
			out = append(out, fmt.Sprintf("%d %s", d.States[s], s))
		}
	}
	return fmt.Sprintf("%d hosts: %s", d.Hosts, or(strings.Join(out, ", ")))
}

func (h *deploymentHost) state() string {
	if h.State == "running" && h.Step != "" {
		return h.State + " " + h.Step
	}
	return h.State
}

func (h *deploymentHost) detail() string {
	if h.Key != nil {
		return h.Key.Type + " " + h.Key.Fingerprint
	}
	return or(h.Text)
}

type deploymentsListCmd struct {
	Limit int `help:"How many, at most 1,000." default:"50"`
}

// Run lists deployments.
func (l *deploymentsListCmd) Run(a *app) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	var page struct{ Items []json.RawMessage }
	if err := c.Get(a.ctx, deploymentsPath, url.Values{"limit": {fmt.Sprint(l.Limit)}}, &page); err != nil {
		return err
	}
	t := table{head: []string{"ID", "KIND", "TENANT", "USER", "BEGUN", "ENDED", "HOSTS"}}
	for _, raw := range page.Items {
		if a.cli.Output == "json" {
			if err := a.printLine(raw); err != nil {
				return err
			}
			continue
		}
		var d deploymentLine
		if err := json.Unmarshal(raw, &d); err != nil {
			return err
		}
		t.add(d.ID, strings.TrimSpace(d.Kind+" "+d.Version), d.Tenant, d.User, when(d.At), when(d.Ended), d.counts())
	}
	if a.cli.Output == "json" {
		return nil
	}
	return t.write(a.stdout)
}

// signInFlags are how the suite signs in on hosts. Secrets come from files, variables or the
// terminal: the command line shows in the list of processes.
type signInFlags struct {
	User     string `help:"Account on the hosts." placeholder:"NAME"`
	Key      string `help:"File of the private key; its passphrase is asked for, or in ICEWATCH_SSH_PASSPHRASE." type:"path" placeholder:"FILE"`
	Password bool   `help:"Sign in with a password: asked for, or in ICEWATCH_SSH_PASSWORD."`
	Sudo     bool   `help:"sudo has a password of its own: asked for, or in ICEWATCH_SUDO_PASSWORD."`
}

// given tells whether credentials are named.
func (s *signInFlags) given() bool { return s.Key != "" || s.Password || s.Sudo || s.User != "" }

// put adds the credentials to a request.
func (s *signInFlags) put(a *app, body map[string]any) error {
	if s.User != "" {
		body["user"] = s.User
	}
	if s.Key == "" && !s.Password {
		return usageError("how to sign in: want --key FILE or --password")
	}
	if s.Key != "" {
		text, err := os.ReadFile(s.Key)
		if err != nil {
			return fmt.Errorf("the private key: %w", err)
		}
		if len(text) > 32<<10 {
			return fmt.Errorf("the private key: %s has %d bytes; want 32 KB at the most", s.Key, len(text))
		}
		body["key"] = string(text)
		if p := a.getenv("ICEWATCH_SSH_PASSPHRASE"); p != "" {
			body["passphrase"] = p
		} else if protected(text) {
			if body["passphrase"], err = a.secret("Passphrase of "+s.Key, "ICEWATCH_SSH_PASSPHRASE"); err != nil {
				return err
			}
		}
	}
	for _, x := range []struct {
		wanted                      bool
		field, question, fromGetenv string
	}{{s.Password, "password", "Password on the hosts", "ICEWATCH_SSH_PASSWORD"}, {s.Sudo, "sudo_password", "Password for sudo", "ICEWATCH_SUDO_PASSWORD"}} {
		if x.wanted {
			text, err := a.secret(x.question, x.fromGetenv)
			if err != nil {
				return err
			}
			body[x.field] = text
		}
	}
	return nil
}

// secret is a variable's value, or what a person types.
func (a *app) secret(question, variable string) (string, error) {
	if v := a.getenv(variable); v != "" {
		return v, nil
	}
	if f, ok := a.stdin.(*os.File); ok && isTerminal(f) {
		fmt.Fprintf(a.stderr, "%s: ", question)
		p, err := readPassword(a.ctx, f)
		fmt.Fprintln(a.stderr)
		return p, err
	}
	return "", usageError(fmt.Sprintf("no terminal to ask for it (%s): set %s", question, variable))
}

type deploymentsCreateCmd struct {
	Kind string `arg:"" help:"install, upgrade or remove." enum:"install,upgrade,remove"`
	File string `arg:"" help:"File of hosts, one a line: an address or name, with :PORT where it is not 22; # begins a remark; - is the standard input."`
	signInFlags
	Version       string   `help:"Of the package; the newest for each platform where it is absent."`
	Label         []string `help:"Label of new agents; can be given again." placeholder:"KEY=VALUE" sep:"none"`
	Group         string   `help:"Group of new agents." placeholder:"ID"`
	Configuration string   `help:"Configuration of new agents." placeholder:"NAME"`
	Profile       string   `help:"Host profile of new agents: labels, group, configuration, plug-ins and templates." placeholder:"ID"`
	Plugin        []string `help:"Extension plug-in of new agents; can be given again." placeholder:"NAME[@VERSION]" sep:"none"`
	Task          []string `help:"Collection task that new agents take part in; can be given again." placeholder:"ID" sep:"none"`
	Purge         bool     `help:"Of remove: identity, queue and settings of the host go, too."`
	KnownHosts    string   `name:"known-hosts" help:"Trust keys that this file has, as --watch goes on." type:"existingfile" placeholder:"FILE"`
	Watch         bool     `help:"Tell of each host until the deployment ends; exits with 1 where not all are done."`
}

// Run begins a deployment.
func (d *deploymentsCreateCmd) Run(a *app) error {
	switch {
	case a.cli.Tenant == "":
		return usageError("whose hosts they are: want --tenant SLUG")
	case d.KnownHosts != "" && !d.Watch:
		return usageError("--known-hosts needs --watch: hosts show their keys when their turn comes")
	}
	hosts, err := a.hostsOf(d.File)
	if err != nil {
		return err
	}
	known, err := readKnownHosts(d.KnownHosts)
	if err != nil {
		return err
	}
	d.User = strings.TrimSpace(d.User)
	if d.User == "" {
		d.User = "root"
	}
	body := map[string]any{"tenant": a.cli.Tenant, "kind": d.Kind, "hosts": hosts, "purge": d.Purge}
	for name, v := range map[string]string{"version": d.Version, "group": d.Group, "configuration": d.Configuration, "profile": d.Profile} {
		if v != "" {
			body[name] = v
		}
	}
	for name, v := range map[string][]string{"plugins": d.Plugin, "tasks": d.Task} {
		if len(v) > 0 {
			body[name] = v
		}
	}
	if len(d.Label) > 0 {
		body["labels"] = d.Label
	}
	if err := d.put(a, body); err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	return a.begin(c, deploymentsPath, body, d.Watch, known)
}

// begin sends an order and tells what became of it.
func (a *app) begin(c *client.Client, path string, body map[string]any, watch bool, known knownHosts) error {
	var raw json.RawMessage
	if err := c.JSON(a.ctx, http.MethodPost, path, nil, body, &raw); err != nil {
		return err
	}
	var v deploymentLine
	if err := json.Unmarshal(raw, &v); err != nil {
		return err
	}
	if watch {
		return a.watchDeployment(c, v.ID, known)
	}
	if a.cli.Output == "json" {
		return a.printLine(raw)
	}
	_, err := fmt.Fprintf(a.stdout, "%s  %s\n", plain(v.ID), v.counts())
	return err
}

// hostsOf reads a file of hosts.
func (a *app) hostsOf(path string) ([]string, error) {
	in := a.stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	var hosts []string
	lines := bufio.NewScanner(in)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		text = strings.TrimSpace(strings.TrimPrefix(text, "\uFEFF"))
		if text == "" {
			continue
		}
		if strings.ContainsAny(text, " \t,;") {
			return nil, fmt.Errorf("%s, line %d: one host a line was expected, as 10.1.2.3 or app1.example.gov.cn:2222", path, n)
		}
		if hosts = append(hosts, text); len(hosts) > 1000 {
			return nil, fmt.Errorf("%s has more than 1,000 hosts, the most of one deployment: part it", path)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(hosts) == 0 {
		return nil, fmt.Errorf("%s has no host", path)
	}
	return hosts, nil
}

type deploymentsShowCmd struct {
	ID   string `arg:"" help:"Id of the deployment."`
	Host string `arg:"" optional:"" help:"Host whose log is shown, as HOST:PORT."`
}

// Run shows a deployment.
func (s *deploymentsShowCmd) Run(a *app) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	path, query := deploymentPath(s.ID), url.Values(nil)
	if s.Host != "" {
		path, query = path+"/log", url.Values{"address": {s.Host}}
	}
	var raw json.RawMessage
	if err := c.Get(a.ctx, path, query, &raw); err != nil {
		return err
	}
	if a.cli.Output == "json" {
		return a.printLine(raw)
	}
	if s.Host != "" {
		var h deploymentHost
		if err := json.Unmarshal(raw, &h); err != nil {
			return err
		}
		for _, l := range h.Log {
			fmt.Fprintf(a.stdout, "%s  %s\n", when(l.At), plain(l.Text))
		}
		_, err := fmt.Fprintf(a.stdout, "%s  %s\n", plain(h.state()), plain(h.detail()))
		return err
	}
	var d deploymentLine
	if err := json.Unmarshal(raw, &d); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%s  %s %s as %s, %s\n", plain(d.ID), plain(d.Kind), plain(d.Version), plain(d.User), d.counts())
	t := table{head: []string{"HOST", "STATE", "PLATFORM", "AGENT", "DETAIL"}}
	for i := range d.Targets {
		h := &d.Targets[i]
		t.add(h.Address, h.state(), or(h.Platform), or(h.Agent), h.detail())
	}
	return t.write(a.stdout)
}

type deploymentsRetryCmd struct {
	ID string `arg:"" help:"Id of the deployment."`
	signInFlags
	Cancelled bool `help:"Hosts that were cancelled, too."`
	Watch     bool `help:"Tell of each host until the deployment ends; exits with 1 where not all are done."`
}

// Run tries again what failed.
func (r *deploymentsRetryCmd) Run(a *app) error {
	body := map[string]any{"cancelled": r.Cancelled}
	if r.given() {
		if err := r.put(a, body); err != nil {
			return err
		}
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	return a.begin(c, deploymentPath(r.ID)+"/retry", body, r.Watch, nil)
}

type deploymentsStopCmd struct {
	ID string `arg:"" help:"Id of the deployment."`
}

// Run ends a deployment.
func (s *deploymentsStopCmd) Run(a *app) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	return a.begin(c, deploymentPath(s.ID)+"/cancel", map[string]any{}, false, nil)
}
