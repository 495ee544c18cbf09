package simulate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"icewatch/soc/client"
)

// Command is `icewatch simulate` for kong.
type Command struct {
	URL       string        `name:"url" help:"The suite's address. Default: ICEWATCH_URL, else http://127.0.0.1:8080." placeholder:"URL"`
	Syslog    string        `name:"syslog" help:"Where syslog over TCP goes. Default: as the suite says." placeholder:"HOST:PORT"`
	SyslogUDP string        `name:"syslog-udp" help:"Where syslog over UDP goes. Default: as the suite says." placeholder:"HOST:PORT"`
	NetFlow   string        `name:"netflow" help:"Where flows go, as NetFlow v9; off sends none. Default: as the suite says." placeholder:"HOST:PORT"`
	Data      string        `name:"data" help:"Data folder of a suite on this machine, for its local socket." env:"ICEWATCH_DATA" default:"./data" placeholder:"DIR"`
	CA        string        `name:"ca" help:"PEM file of certificates to trust beside the system's, e.g. a suite's self-signed one." env:"ICEWATCH_CA_FILE" placeholder:"FILE"`
	Insecure  bool          `name:"insecure" help:"Take any certificate: only on a network you trust."`
	Seed      int64         `name:"seed" help:"Decides the attacked host and every variant; the same seed gives the same stories." default:"1"`
	Rate      float64       `name:"rate" help:"Background events a second." default:"50"`
	Duration  time.Duration `name:"duration" help:"How long to go on." default:"60s"`
	Story     []string      `name:"story" help:"Stories to play: built-in names, files, or all." default:"intrusion" placeholder:"NAME|FILE"`
	NoNoise   bool          `name:"no-noise" help:"Send the stories alone, without background traffic."`
	Zone      string        `name:"zone" help:"Network zone of the simulated inventory. Default: the suite's default zone." placeholder:"ZONE"`
}

// Help is shown below the flags.
func (Command) Help() string {
	return `Loads a small city's inventory into the CMDB and sends its telemetry over the suite's real sockets: web access,
sign-ins, administration and firewalls by syslog (TCP and UDP, RFC 5424 and 3164), application logs by _bulk and Loki
push, the connections behind them as NetFlow v9 of the border firewall, with attack stories mixed in. Progress goes to standard error; at the end a JSON summary goes to standard output.

Built-in stories: ` + strings.Join(StoryNames(), ", ") + `.

The credential is ICEWATCH_TOKEN, else ICEWATCH_ADMIN_PASSWORD (signs in as admin), else the sign-in of "icectl login",
else the local socket in the data folder.`
}

// Run plays until the duration is over or the user interrupts.
func (c *Command) Run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	o, err := c.options(ctx, os.Getenv)
	if err != nil {
		return err
	}
	o.Log, o.Progress = log, os.Stderr
	return Run(ctx, o, os.Stdout)
}

// options turns flags and environment into options: it signs in, finds the
// sockets and reads the stories.
func (c *Command) options(ctx context.Context, getenv func(string) string) (Options, error) {
	o := Options{Seed: c.Seed, Rate: c.Rate, Duration: c.Duration, Noise: !c.NoNoise, Zone: c.Zone, Watch: true}
	names := c.Story
	if len(names) == 1 && names[0] == "all" {
		names = StoryNames()
	}
	for _, name := range names {
		story, err := LoadStory(name)
		if err != nil {
			return o, err
		}
		o.Stories = append(o.Stories, story)
	}
	api, err := c.signIn(ctx, getenv)
	if err != nil {
		return o, err
	}
	o.API = api
	o.SyslogTCP, o.SyslogUDP, o.NetFlow = c.Syslog, c.SyslogUDP, c.NetFlow
	if o.SyslogTCP == "" || o.SyslogUDP == "" || o.NetFlow == "" {
		if err := findListeners(ctx, api, &o); err != nil && (o.SyslogTCP == "" || o.SyslogUDP == "") {
			return o, err
		}
	}
	if o.NetFlow == "off" {
		o.NetFlow = ""
	}
	return o, nil
}

// signIn finds a credential that is accepted.
func (c *Command) signIn(ctx context.Context, getenv func(string) string) (*client.Client, error) {
	base := client.Options{URL: c.URL, CAFile: c.CA, Insecure: c.Insecure, UserAgent: "icewatch-simulate"}
	if base.URL == "" {
		base.URL = getenv("ICEWATCH_URL")
	}
	if password := getenv("ICEWATCH_ADMIN_PASSWORD"); password != "" && getenv("ICEWATCH_TOKEN") == "" {
		api, err := client.New(base)
		if err != nil {
			return nil, err
		}
		session, err := api.Login(ctx, "admin", password)
		if err != nil {
			return nil, fmt.Errorf("signing in as admin with ICEWATCH_ADMIN_PASSWORD: %w", err)
		}
		return api.With(session.Token, ""), nil
	}
	found, err := client.Resolve(base, c.Data, getenv, time.Now())
	if errors.Is(err, client.ErrNoCredential) {
		return nil, fmt.Errorf("%w at %s: start the suite first (make run), then either name its data folder with --data, "+
			"or run \"icectl login\", or set ICEWATCH_TOKEN or ICEWATCH_ADMIN_PASSWORD", err, found.URL)
	}
	if err != nil {
		return nil, err
	}
	api, err := client.New(found)
	if err != nil {
		return nil, err
	}
	if _, err := api.Me(ctx); err != nil {
		return nil, fmt.Errorf("the credential for %s does not work: %w", api.Where(), err)
	}
	return api, nil
}

// findListeners asks the suite where it listens. What the user gave stands.
func findListeners(ctx context.Context, api *client.Client, o *Options) error {
	sources, err := api.Sources(ctx)
	if err != nil {
		return fmt.Errorf("where the suite listens for syslog is not known (give --syslog and --syslog-udp): %w", err)
	}
	base, err := url.Parse(api.Options().URL)
	if err != nil {
		return err
	}
	for _, s := range sources {
		if s.State != "ok" && s.ID == "netflow" || s.State == "off" || s.Listen == "" {
			continue
		}
		switch {
		case s.ID == "syslog-tcp" && o.SyslogTCP == "":
			o.SyslogTCP = reachable(s.Listen, base.Hostname())
		case s.ID == "syslog-udp" && o.SyslogUDP == "":
			o.SyslogUDP = reachable(s.Listen, base.Hostname())
		case s.ID == "netflow" && o.NetFlow == "":
			o.NetFlow = reachable(s.Listen, base.Hostname())
		}
	}
	if o.SyslogTCP == "" && o.SyslogUDP == "" {
		return errors.New("the suite does not listen for syslog: give --syslog HOST:PORT")
	}
	return nil
}

// reachable turns an address to listen on into one to send to.
func reachable(listen, host string) string {
	h, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if a, err := netip.ParseAddr(h); h != "" && (err != nil || !a.IsUnspecified()) {
		return listen
	}
	return net.JoinHostPort(host, port)
}
