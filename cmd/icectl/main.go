// Command icectl is the analyst's and rule author's tool: it searches the
// lake, works through alerts and incidents, loads the CMDB and checks rules.
// Everything but `icectl rules lint|test|match|schema|coverage|init`, `icectl baselines`, `icectl parse`, `icectl parsers` and `icectl dashboards` speaks to a server over its REST API.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"icewatch/soc/client"
	"icewatch/soc/version"
)

// The exit codes. They are part of the command line's contract with scripts.
const (
	exitOK      = 0
	exitFailed  = 1 // the request was understood and failed, or findings were made
	exitUsage   = 2 // the command line itself is wrong
	exitDenied  = 3 // not signed in, or not permitted
	exitNoReach = 4 // the server cannot be reached
)

const description = `Search events, work through alerts and incidents, load the CMDB and check rules.

The server is --url, else ICEWATCH_URL, else the one of the last "icectl login", else http://127.0.0.1:8080.
The credential is ICEWATCH_TOKEN, else the sign-in kept by "icectl login", else, on the machine where the suite
runs and as its user, the local socket in its data folder (--data), which needs neither.

Exit codes: 0 done, 1 failed or findings made, 2 wrong command line, 3 not signed in or not permitted, 4 server not reached.`

// cli is the whole command line.
type cli struct {
	URL      string `help:"Server to ask, e.g. https://icewatch.example:8443." env:"ICEWATCH_URL" placeholder:"URL"`
	Data     string `help:"Data folder of a suite on this machine, for its local socket." env:"ICEWATCH_DATA" default:"./data" type:"path" placeholder:"DIR"`
	CA       string `name:"ca" help:"PEM file of certificates to trust beside the system's, e.g. a suite's self-signed one." env:"ICEWATCH_CA_FILE" type:"path" placeholder:"FILE"`
	Insecure bool   `help:"Take any certificate: only on a network you trust."`
	Tenant   string `help:"Ask for this tenant's data alone." short:"t" placeholder:"SLUG"`
	Output   string `help:"How to print: ${enum}. JSON is one object a line." short:"o" enum:"table,json" default:"table"`
	Lang     string `help:"Language of titles: zh or en. Default: the terminal's (LANG)." enum:"zh,en," default:"" placeholder:"LANG"`

	Login           loginCmd           `cmd:"" help:"Sign in and keep the sign-in in ~/.config/icewatch/credentials."`
	Logout          logoutCmd          `cmd:"" help:"End the sign-in and forget it."`
	Whoami          whoamiCmd          `cmd:"" help:"Show whom the server takes you for."`
	Query           queryCmd           `cmd:"" help:"Search events with LogsQL and print one JSON object a line, newest first."`
	Flows           flowsCmd           `cmd:"" help:"Show who talks to whom: top talkers, conversations, communication maps."`
	Alerts          alertsCmd          `cmd:"" help:"List and handle alerts."`
	Incidents       incidentsCmd       `cmd:"" help:"List and handle incidents."`
	CMDB            cmdbCmd            `cmd:"" name:"cmdb" help:"Import and export configuration items."`
	Tenants         tenantsCmd         `cmd:"" help:"List tenants."`
	Tokens          tokensCmd          `cmd:"" help:"Make, list and revoke access tokens (administrators)."`
	Users           usersCmd           `cmd:"" help:"List and create users (administrators)."`
	Audit           auditCmd           `cmd:"" help:"Verify, list, replay and export the audit log (audit administrators)."`
	Evidence        evidenceCmd        `cmd:"" help:"Verify what was sealed of an incident."`
	Sources         sourcesCmd         `cmd:"" help:"Show what comes in: each source with its counters."`
	Findings        findingsCmd        `cmd:"" help:"Take in scanners' reports; list and write findings."`
	Scans           scansCmd           `cmd:"" help:"List, begin and show scans."`
	Deployments     deploymentsCmd     `cmd:"" help:"Install, upgrade and remove agents on hosts over SSH."`
	Packages        packagesCmd        `cmd:"" help:"Keep the versions of the agent: list, upload and delete packages, write performance test reports."`
	Plugins         pluginsCmd         `cmd:"" help:"Upload extension plug-ins of the agent; install, start, stop and remove them on hosts."`
	Profiles        profilesCmd        `cmd:"" help:"Keep host profiles, by which hosts are added: list, export, import and delete."`
	Vulnerabilities vulnerabilitiesCmd `cmd:"" help:"Import and show the library of vulnerabilities."`
	Inputs          inputsCmd          `cmd:"" help:"Keep sources that are added while the suite runs: list, get, apply, try, delete, export and import."`
	Rules           rulesCmd           `cmd:"" help:"Lint, test and match detection rules on this machine; compare them with a server's, propose, approve and roll back."`
	Suppressions    suppressionsCmd    `cmd:"" help:"Keep exceptions from rules: list, lint, preview, apply and export."`
	Baselines       baselinesCmd       `cmd:"" help:"Make shell scripts of security baselines on this machine, without a server."`
	Parse           parseCmd           `cmd:"" help:"Read a file of log lines by the parser packs on this machine and print events, without a server."`
	Parsers         parsersCmd         `cmd:"" help:"List, test, explain and draft parser packs on this machine, without a server."`
	Dashboards      dashboardsCmd      `cmd:"" help:"Write the dashboards that Grafana loads of the suite into a folder, without a server."`
	Version         versionCmd         `cmd:"" help:"Print the version of icectl."`
}

// app is what a command needs beside its own flags.
type app struct {
	ctx    context.Context
	cli    *cli
	getenv func(string) string
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	now    func() time.Time
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Getenv, os.Stdin, os.Stdout, os.Stderr))
}

// exited carries kong's wish to end the program (after --help) out of Parse.
type exited int

// run is main with its surroundings handed in. It returns the exit code.
func run(ctx context.Context, args []string, getenv func(string) string, stdin io.Reader, stdout, stderr io.Writer) (code int) {
	var c cli
	parser, err := kong.New(&c,
		kong.Name("icectl"), kong.Description(description),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { panic(exited(code)) }),
	)
	if err != nil {
		fmt.Fprintf(stderr, "icectl: %v\n", err)
		return exitUsage
	}
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(exited)
			if !ok {
				panic(r)
			}
			code = int(e)
		}
	}()
	if len(args) == 0 {
		args = []string{"--help"}
	}
	kctx, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(stderr, "icectl: %v\n", err)
		var pe *kong.ParseError
		if errors.As(err, &pe) && pe.Context != nil {
			fmt.Fprintf(stderr, "Run \"icectl %s--help\" for help.\n", commandPath(pe.Context))
		}
		return exitUsage
	}
	a := &app{ctx: ctx, cli: &c, getenv: getenv, stdin: stdin, stdout: stdout, stderr: stderr, now: time.Now}
	return a.report(kctx.Run(a, collectionOf(kctx.Command())))
}

// commandPath is the command as far as it was understood, with a space after
// each word.
func commandPath(ctx *kong.Context) string {
	path := ""
	for _, p := range ctx.Path {
		if p.Command != nil {
			path += p.Command.Name + " "
		}
	}
	return path
}

// usageError is a fault of the command line that only a command can see.
type usageError string

func (e usageError) Error() string { return string(e) }

// findings says that a check found faults that are already printed.
type findings int

func (f findings) Error() string { return fmt.Sprintf("%d findings", int(f)) }

// report prints an error and turns it into an exit code.
func (a *app) report(err error) int {
	if err == nil {
		return exitOK
	}
	var found findings
	if errors.As(err, &found) {
		return exitFailed
	}
	// A reader that has seen enough, as `icectl query … | head` has, is no fault.
	if errors.Is(err, syscall.EPIPE) {
		return exitOK
	}
	if errors.Is(err, context.Canceled) && a.ctx.Err() != nil {
		fmt.Fprintln(a.stderr, "icectl: interrupted")
		return exitFailed
	}
	fmt.Fprintf(a.stderr, "icectl: %v\n", err)
	var usage usageError
	var unreachable *unreachableError
	var denied deniedError
	switch {
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &unreachable):
		return exitNoReach
	case errors.As(err, &denied):
		return exitDenied
	case errors.Is(err, client.ErrNoCredential):
		fmt.Fprintln(a.stderr, "Run \"icectl login\", or set ICEWATCH_TOKEN, or run as the suite's user with --data naming its data folder.")
		return exitDenied
	case client.Status(err) == 401:
		fmt.Fprintln(a.stderr, "The server does not accept this token or sign-in (any more): run \"icectl login\" again or check ICEWATCH_TOKEN.")
		return exitDenied
	case client.Status(err) == 403:
		return exitDenied
	}
	return exitFailed
}

// deniedError is a refusal that needs no further hint.
type deniedError string

func (e deniedError) Error() string { return string(e) }

// unreachableError marks errors that came before any answer of the server.
type unreachableError struct{ error }

func (e *unreachableError) Unwrap() error { return e.error }

// connect finds server and credential, and checks that the server answers, so
// that every command tells "not reached" from "refused" in the same words.
func (a *app) connect() (*client.Client, error) {
	o, err := client.Resolve(client.Options{URL: a.cli.URL, CAFile: a.cli.CA, Insecure: a.cli.Insecure, Tenant: a.cli.Tenant, UserAgent: "icectl/" + version.Number}, a.cli.Data, a.getenv, a.now())
	if err != nil {
		return nil, err
	}
	return a.dial(o)
}

func (a *app) dial(o client.Options) (*client.Client, error) {
	c, err := client.New(o)
	if err != nil {
		return nil, usageError(err.Error())
	}
	ctx, cancel := context.WithTimeout(a.ctx, 10*time.Second)
	defer cancel()
	resp, err := c.Do(ctx, "GET", "/healthz", nil, nil, nil)
	if err != nil {
		if a.ctx.Err() != nil {
			return nil, a.ctx.Err()
		}
		return nil, &unreachableError{err}
	}
	resp.Body.Close()
	return c, nil
}

// lang is the language of titles.
func (a *app) lang() string {
	if a.cli.Lang != "" {
		return a.cli.Lang
	}
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if v := a.getenv(name); v != "" {
			if len(v) >= 2 && v[:2] == "zh" {
				return "zh"
			}
			return "en"
		}
	}
	return "en"
}
