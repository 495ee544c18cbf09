// Command icewatch-agent is the program on a host: it gathers figures, logs and
// inventory and sends them to the suite, which steers it.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/alecthomas/kong"

	"icewatch/collectors/agent"
	"icewatch/collectors/agent/config"
	"icewatch/collectors/agent/inputs"
	"icewatch/collectors/agent/install"
	"icewatch/collectors/agent/link"
	_ "icewatch/collectors/agent/plugins"
	"icewatch/collectors/agent/program"
	"icewatch/soc/version"
)

type commands struct {
	Enrol     enrol       `cmd:"" help:"Make this host an agent of the suite that a token names."`
	Run       run         `cmd:"" help:"Gather and send, until a signal ends it."`
	Test      test        `cmd:"" help:"Gather once and print what comes."`
	Status    status      `cmd:"" help:"Tell how the agent fares that runs here."`
	Install   installIt   `cmd:"" help:"Make the agent a service of this host."`
	Uninstall uninstallIt `cmd:"" help:"End and remove the service."`
	Version   showVersion `cmd:"" help:"Print the version."`
	Recover   recoverIt   `cmd:"" hidden:"" help:"What the former program does before each start of the service."`
}

// host are the host's own settings.
type host struct {
	Dir      string          `help:"Folder of everything that the agent keeps." default:"${dir}" env:"ICEWATCH_AGENT_DIR" placeholder:"DIR"`
	Config   kong.ConfigFlag `help:"The host's own file; each of its names is a flag." env:"ICEWATCH_AGENT_CONFIG" placeholder:"FILE"`
	Allow    []string        `help:"Plug-ins that run commands and that documents of the fleet may use here." env:"ICEWATCH_AGENT_ALLOW" placeholder:"NAME"`
	LogLevel string          `name:"log-level" help:"debug, info, warn or error." default:"info" enum:"debug,info,warn,error" env:"ICEWATCH_AGENT_LOG_LEVEL"`
}

func (h host) log() *slog.Logger {
	log := program.Log(h.LogLevel)
	inputs.Setup(log)
	return log
}

func main() {
	if service() {
		return
	}
	line().Main(call, nil)
}

// line is the command line.
func line() *program.Program {
	places := install.Default()
	return &program.Program{Name: "icewatch-agent", Description: "Figures, logs and inventory of this host for icewatch.", File: places.Config,
		Settings: []string{"dir", "allow", "log-level"}, Vars: kong.Vars{"dir": places.Dir}}
}

// call runs a command line.
func call(ctx context.Context, args []string) error { return line().Call(ctx, &commands{}, args) }

type enrol struct {
	host
	Token string `help:"Enrolment token of the console; better in the variable, where no list of processes shows it." required:"" env:"ICEWATCH_AGENT_TOKEN" placeholder:"TOKEN"`
	Again bool   `help:"Enrol a host anew that is enrolled."`
}

func (e *enrol) Run(ctx context.Context) error {
	id, err := agent.Enrol(ctx, e.Dir, e.Token, version.String(), e.Again)
	if err != nil {
		return err
	}
	fmt.Printf("this host is agent %s of %s\n", id.Agent, id.Tenant)
	return nil
}

type run struct {
	host
	Document string `help:"File of the document that is in force until the fleet sends one." placeholder:"FILE"`
}

func (r *run) Run(ctx context.Context) error {
	o := agent.Options{Dir: r.Dir, Allowed: r.Allow, Version: version.String(), Modules: modules(), Log: r.log()}
	// What programs that the agent starts have no business with.
	_ = os.Unsetenv("ICEWATCH_AGENT_TOKEN")
	if r.Document != "" {
		text, err := os.ReadFile(r.Document)
		if err != nil {
			return err
		}
		o.Document = string(text)
	}
	err := agent.Run(ctx, o)
	switch {
	case errors.Is(err, agent.ErrRestart):
		return restart()
	case errors.Is(err, agent.ErrUninstall):
		return install.Disable(context.WithoutCancel(ctx))
	}
	return err
}

type test struct {
	host
	Document string `help:"File of the document; the agent's own beginning where it is absent." placeholder:"FILE"`
}

func (t *test) Run(context.Context) error {
	text := config.Default
	if t.Document != "" {
		data, err := os.ReadFile(t.Document)
		if err != nil {
			return err
		}
		text = string(data)
	}
	return agent.Test(text, t.Allow, t.log(), printBatch)
}

type status struct{ host }

func (s *status) Run() error { return printStatus(s.Dir) }

type installIt struct {
	host
	Token string `help:"Enrol the host with this token, too." env:"ICEWATCH_AGENT_TOKEN" placeholder:"TOKEN"`
	Again bool   `help:"With a token, enrol a host anew that is enrolled."`
	NoRun bool   `name:"no-start" help:"Do not begin the service yet."`
	Root  string `help:"Folder that stands for / (an image of a host); nothing is begun there." env:"ICEWATCH_AGENT_ROOT" placeholder:"DIR"`
}

func (i *installIt) Run(ctx context.Context) error {
	o := install.Default()
	o.Dir, o.Root, o.Now = i.Dir, i.Root, !i.NoRun
	dir := filepath.Join(i.Root, i.Dir)
	if i.Token != "" {
		if _, err := agent.Enrol(ctx, dir, i.Token, version.String(), i.Again); err != nil {
			return err
		}
	}
	if err := install.Install(ctx, o, os.Stdout); err != nil {
		return err
	}
	if id, err := link.LoadIdentity(dir); err == nil {
		fmt.Printf("this host is agent %s of %s\n", id.Agent, id.Tenant)
	}
	return nil
}

type uninstallIt struct {
	host
	Purge bool   `help:"Remove identity, queue and settings, too."`
	Root  string `help:"Folder that stands for / (an image of a host)." env:"ICEWATCH_AGENT_ROOT" placeholder:"DIR"`
}

func (u *uninstallIt) Run(ctx context.Context) error {
	o := install.Default()
	o.Dir, o.Root = u.Dir, u.Root
	id, missing := link.LoadIdentity(filepath.Join(u.Root, u.Dir))
	if err := install.Uninstall(ctx, o, u.Purge, os.Stdout); err != nil {
		return err
	}
	if missing == nil {
		fmt.Printf("this host was agent %s of %s\n", id.Agent, id.Tenant)
	}
	return nil
}

type recoverIt struct{ host }

func (r *recoverIt) Run() error {
	agent.Guard(r.Dir, r.log())
	return nil
}

type showVersion struct{}

func (showVersion) Run() error {
	fmt.Println("icewatch-agent", version.String())
	for name, v := range modules() {
		fmt.Println(name, v)
	}
	return nil
}
