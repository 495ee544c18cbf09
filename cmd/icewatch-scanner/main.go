// Command icewatch-scanner looks for hosts, services and weaknesses in the ranges
// that were approved: by order of the suite, or by a file, without any suite.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"

	"icewatch/collectors/agent/inventory"
	"icewatch/collectors/agent/link"
	"icewatch/collectors/agent/program"
	"icewatch/collectors/scanner"
	"icewatch/collectors/scanner/check"
	"icewatch/collectors/scanner/home"
	"icewatch/collectors/scanner/run"
	"icewatch/collectors/scanner/templates"
	"icewatch/collectors/scanner/weak"
	"icewatch/collectors/scanner/wire"
	"icewatch/soc/version"
)

type commands struct {
	Enrol     enrol       `cmd:"" help:"Make this host a scanner of the suite that a token names."`
	Run       runIt       `cmd:"" help:"Take runs from the suite and carry them out, until a signal ends it."`
	Scan      scan        `cmd:"" help:"Carry one run out without any suite."`
	Status    status      `cmd:"" help:"Tell how the scanner fares that runs here."`
	Templates listChecks  `cmd:"" help:"List the checks and templates, and what is left out of them."`
	Version   showVersion `cmd:"" help:"Print the version."`
}

// host are the host's own settings.
type host struct {
	Dir       string          `help:"Folder of everything that the scanner keeps." default:"/var/lib/icewatch-scanner" env:"ICEWATCH_SCANNER_DIR" placeholder:"DIR"`
	Config    kong.ConfigFlag `help:"The host's own file; each of its names is a flag." env:"ICEWATCH_SCANNER_CONFIG" placeholder:"FILE"`
	Allow     []string        `help:"Ranges that may be touched from here at all, whatever the suite approves." env:"ICEWATCH_SCANNER_ALLOW" placeholder:"CIDR"`
	Community string          `help:"Folder of the community's templates." env:"ICEWATCH_SCANNER_COMMUNITY" placeholder:"DIR"`
	LogLevel  string          `name:"log-level" help:"debug, info, warn or error." default:"info" enum:"debug,info,warn,error" env:"ICEWATCH_SCANNER_LOG_LEVEL"`
}

func (h host) log() *slog.Logger { return program.Log(h.LogLevel) }

func (h host) sources() ([]templates.Source, error) {
	updates, err := templates.Updates(h.Dir)
	if err != nil {
		return nil, err
	}
	out := append([]templates.Source{templates.Shipped()}, updates...)
	if h.Community != "" {
		out = append(out, templates.Folder(h.Community))
	}
	return out, nil
}

var line = program.Program{Name: "icewatch-scanner", Description: "Hosts, services and weaknesses in approved ranges, for icewatch.", File: "/etc/icewatch-scanner.yaml",
	Settings: []string{"dir", "allow", "community", "log-level"}}

func main() {
	line.Main(func(ctx context.Context, args []string) error { return line.Call(ctx, &commands{}, args) }, home.Remove)
}

type enrol struct {
	host
	Token string `help:"Enrolment token for scanners of the console; better in the variable, where no list of processes shows it." required:"" env:"ICEWATCH_SCANNER_TOKEN" placeholder:"TOKEN"`
	Again bool   `help:"Enrol a host anew that is enrolled."`
}

func (e *enrol) Run(ctx context.Context) error {
	facts := inventory.Facts(ctx)
	facts.Machine = "" // A host may be agent and scanner: the one does not take the other's place.
	id, err := link.Enrol(ctx, e.Dir, e.Token, facts, version.String(), e.Again)
	if err != nil {
		return err
	}
	fmt.Printf("this host is scanner %s of %s\n", id.Agent, id.Tenant)
	return nil
}

type runIt struct{ host }

func (r *runIt) Run(ctx context.Context) error {
	_ = os.Unsetenv("ICEWATCH_SCANNER_TOKEN")
	return scanner.Run(ctx, scanner.Options{Dir: r.Dir, Allow: r.Allow, Community: r.Community, Version: version.String(), Log: r.log()})
}

type scan struct {
	host
	Scope   string   `help:"File (YAML or JSON) of what may be touched: ranges, exclusions, expires." required:"" type:"existingfile" placeholder:"FILE"`
	Order   string   `help:"File (YAML or JSON) of a whole run; flags below win over it." type:"existingfile" placeholder:"FILE"`
	Targets []string `help:"Addresses, ranges, names and URLs; the scope's ranges where none is given." placeholder:"TARGET"`
	Kind    string   `help:"discover, check, deep or retest." default:"check" enum:"discover,check,deep,retest"`
	TCP     []string `help:"Ports of TCP: 22, 8000-8100." placeholder:"PORTS"`
	UDP     []string `help:"Ports of UDP." placeholder:"PORTS"`
	Checks  []string `help:"Ids and tags of checks; -ID leaves out." placeholder:"CHECK"`
	Rate    int      `help:"Connects and datagrams a second." default:"0"`
	PerHost int      `help:"Of them to one address." default:"0"`
	Hosts   int      `help:"Addresses at once." default:"0"`
	Unsafe  bool     `help:"Allow checks that may disturb a service."`
	Out     string   `help:"File that results are appended to, one JSON a line; - is the standard output." default:"-" placeholder:"FILE"`
	State   string   `help:"Folder where the run keeps how far it is, so that it goes on after a kill; the same folder again goes on." placeholder:"DIR"`
	Connect string   `help:"How long a connect waits." default:"1.5s"`
	Quiet   bool     `help:"No progress on the standard error."`
}

func readFile(path string, into any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var v any
	if err := yaml.Unmarshal(data, &v); err != nil { // JSON is YAML.
		return fmt.Errorf("%s: %w", path, err)
	}
	if data, err = json.Marshal(v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func (s *scan) order() (wire.Run, error) {
	r := wire.Run{ID: "local", Kind: s.Kind}
	if s.Order != "" {
		r.Kind = ""
		if err := readFile(s.Order, &r); err != nil {
			return r, err
		}
		if r.Kind == "" {
			r.Kind = s.Kind
		}
	}
	r.Scope = wire.Scope{}
	if err := readFile(s.Scope, &r.Scope); err != nil {
		return r, err
	}
	if len(s.Targets) > 0 {
		r.Targets = s.Targets
	}
	if len(s.TCP)+len(s.UDP) > 0 {
		r.Ports = wire.Ports{TCP: s.TCP, UDP: s.UDP}
	}
	if len(s.Checks) > 0 {
		r.Checks = s.Checks
	}
	for _, f := range []struct {
		from int
		to   *int
	}{{s.Rate, &r.Rate.Packets}, {s.PerHost, &r.Rate.PerHost}, {s.Hosts, &r.Rate.Hosts}} {
		if f.from > 0 {
			*f.to = f.from
		}
	}
	r.Unsafe = r.Unsafe || s.Unsafe
	return r, r.Check()
}

func (s *scan) Run(ctx context.Context) error {
	r, err := s.order()
	if err != nil {
		return err
	}
	connect, err := time.ParseDuration(s.Connect)
	if err != nil || connect <= 0 {
		return fmt.Errorf("--connect: %q is no time like 1.5s", s.Connect)
	}
	out := os.Stdout
	if s.Out != "-" {
		if out, err = os.OpenFile(s.Out, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
			return err
		}
		defer out.Close()
	}
	if s.State != "" {
		if err := os.MkdirAll(s.State, 0o700); err != nil {
			return err
		}
	}
	ledger, err := weak.OpenLedger(s.State)
	if err != nil {
		return err
	}
	defer func() { _ = ledger.Close() }()
	sources, err := s.sources()
	if err != nil {
		return err
	}
	var allow []string
	if len(s.Allow) > 0 {
		allow = s.Allow
	}
	var end *wire.End
	j, err := run.New(run.Options{Dir: s.State, Allow: allow, Sources: sources, Ledger: ledger, Log: s.log(), Connect: connect, Emit: func(_ context.Context, results []wire.Result) error {
		var lines []byte
		for i := range results {
			lines = append(append(lines, wire.Encode(&results[i])...), '\n')
			if results[i].End != nil {
				end = results[i].End
			}
		}
		if _, err := out.Write(lines); err != nil {
			return err
		}
		if s.Out != "-" {
			return out.Sync()
		}
		return nil
	}}, r)
	if err != nil {
		return err
	}
	done := make(chan struct{})
	if !s.Quiet {
		go progress(j, done)
	}
	err = j.Do(ctx)
	close(done)
	if err != nil {
		if ctx.Err() != nil && s.State != "" {
			return fmt.Errorf("stopped; the same command goes on where it was: %w", err)
		}
		return err
	}
	if end != nil && end.State != wire.EndDone {
		return fmt.Errorf("the run ended as %s: %s", end.State, end.Reason)
	}
	return nil
}

// progress tells every few seconds how far a run is.
func progress(j *run.Job, done <-chan struct{}) {
	t := time.NewTicker(2 * time.Second)
	defer t.Stop()
	for {
		select {
		case <-done:
			return
		case <-t.C:
			p := j.State().Progress
			fmt.Fprintf(os.Stderr, "%d of %d hosts, %d of %d probes, %d found, %d services, %d weaknesses %s\n", p.HostsDone, p.HostsTotal, p.ProbesDone, p.ProbesTotal, p.Found, p.Services, p.Weaknesses, p.Paused)
		}
	}
}

type status struct{ host }

func (s *status) Run() error {
	data, err := os.ReadFile(filepath.Join(s.Dir, "status.json"))
	if errors.Is(err, os.ErrNotExist) {
		return errors.New("no scanner has run here yet: icewatch-scanner run")
	}
	if err != nil {
		return err
	}
	var st scanner.Status
	if err := json.Unmarshal(data, &st); err != nil {
		return err
	}
	fmt.Printf("last checkin %s ago", time.Since(time.Unix(st.At, 0)).Round(time.Second))
	if st.Error != "" {
		fmt.Printf(", failed: %s", st.Error)
	}
	fmt.Println()
	if c := st.Checkin; c != nil {
		fmt.Printf("version %s, %s %s, %d results wait\n", c.Version, c.State, c.Reason, c.Queued)
		for _, t := range c.Templates {
			fmt.Printf("templates %s %s: %d\n", t.Source, t.Name, t.Count)
		}
		for _, r := range c.Runs {
			p := r.Progress
			fmt.Printf("run %s %s: %d of %d hosts, %d weaknesses %s\n", r.ID, r.State, p.HostsDone, p.HostsTotal, p.Weaknesses, p.Paused)
		}
	}
	return nil
}

type listChecks struct {
	host
	Unsafe bool `help:"With those that are not for safe mode."`
}

func (l *listChecks) Run(ctx context.Context) error {
	for _, m := range append(check.All(), weak.All()...) {
		fmt.Printf("%-9s %-34s %s %s\n", m.Severity, m.ID, m.Title, m.TitleZH)
	}
	sources, err := l.sources()
	if err != nil {
		return err
	}
	list, left, err := templates.List(ctx, sources, l.Unsafe)
	if err != nil {
		return err
	}
	for _, t := range list {
		fmt.Printf("%-9s %-34s %s %s\n", t.Severity, t.Check, t.Title, t.TitleZH)
	}
	for why, n := range left {
		fmt.Printf("left out: %d, %s\n", n, why)
	}
	return nil
}

type showVersion struct{}

func (showVersion) Run() error {
	fmt.Println("icewatch-scanner", version.String())
	fmt.Println("nuclei", templates.Version)
	return nil
}
