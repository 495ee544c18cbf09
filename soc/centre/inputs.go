package centre

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"icewatch/collectors"
	"icewatch/collectors/filetail"
	"icewatch/collectors/flow"
	"icewatch/collectors/journal"
	"icewatch/collectors/registry"
	"icewatch/collectors/relp"
	"icewatch/collectors/snmppoll"
	"icewatch/collectors/syslog"
	"icewatch/soc/inputs"
	"icewatch/soc/transport"
)

// openInputs opens the sources that administrators add while the suite runs.
func (c *centre) openInputs(ctx context.Context) (err error) {
	c.inputs, err = inputs.Open(ctx, c.db, inputs.Deps{Factories: registry.Factories(), Box: c.seal, Log: c.log,
		Collectors: func(waits bool) collectors.Deps {
			deps := collectors.Deps{Sink: c.gate.Losing(), Aside: c.aside, Log: c.log, Metrics: c.metrics, Dial: c.egress.Dialer(10 * time.Second).DialContext}
			if waits {
				deps.Sink = c.gate.Keeping()
			}
			return deps
		},
		Prepare: c.prepareInput,
		Forget: func(id string) {
			if err := os.Remove(c.inputFile("files", id)); err != nil && !os.IsNotExist(err) {
				c.log.Warn("what an input kept is not removed", "input", id, "error", err)
			}
			if err := os.Remove(c.inputFile("flows", id)); err != nil && !os.IsNotExist(err) {
				c.log.Warn("what an input kept is not removed", "input", id, "error", err)
			}
		},
		Tenant: func(slug string) bool { _, ok := c.tenants.Get(slug); return ok }})
	if err == nil {
		c.gauge.inputs = c.inputs.Health
	}
	return err
}

// inputFile is where an input keeps what does not fit a place.
func (c *centre) inputFile(folder, id string) string {
	return filepath.Join(c.Config.Data, folder, id+".positions")
}

// prepareInput fills what the suite knows into the settings of an input.
func (c *centre) prepareInput(id string, cfg any) error {
	folder := ""
	switch x := cfg.(type) {
	case *filetail.Config:
		folder, x.PositionFile = "files", c.inputFile("files", id)
	case *flow.Config:
		if folder = "flows"; x.Protocol == flow.NetFlow {
			x.TemplateFile = c.inputFile("flows", id)
		}
	case *syslog.TCPConfig:
		if x.TLS {
			x.Open = c.securedInput(x.Listen)
		}
	case *snmppoll.Config:
		x.Samples, x.Held, x.Catalogue = c.samples.sink, c.samples.limits, c.samples.catalogue
	case *journal.UploadConfig:
		if x.TLS {
			x.Open = c.securedInput(x.Listen)
		}
	case *relp.Config:
		if x.TLS {
			x.Open = c.securedInput(x.Listen)
		}
	}
	if folder != "" {
		if err := os.MkdirAll(filepath.Join(c.Config.Data, folder), 0o700); err != nil {
			return fmt.Errorf("where it keeps how far it was read: %w", err)
		}
	}
	return nil
}

// securedListener follows the suite's certificate until it is closed.
type securedListener struct {
	*transport.Listener
	stop context.CancelFunc
}

// Close implements net.Listener.
func (l securedListener) Close() error {
	l.stop()
	return l.Listener.Close()
}

// securedInput opens an address by TLS as secured does, for an input that may
// be closed while the suite goes on.
func (c *centre) securedInput(listen string) func() (net.Listener, error) {
	return func() (net.Listener, error) {
		cfg := c.Config.HTTP
		ln, err := transport.Listen(transport.Options{Option: "listen", Listen: listen, Raw: true, ClientCA: c.Config.Syslog.ClientCA,
			Provider: cfg.TLSProvider, Cert: cfg.TLSCert, Key: cfg.TLSKey, Dir: filepath.Join(c.Config.Data, "tls"), Log: c.log})
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithCancel(context.Background())
		go ln.Run(ctx)
		return securedListener{ln, cancel}, nil
	}
}

// runInputs starts the inputs. They stop before the collectors of the
// configuration do.
func (c *centre) runInputs(context.Context) error {
	c.gauge.complete.Store(true)
	c.background(func(ctx context.Context) {
		if err := c.inputs.Run(ctx); err != nil && ctx.Err() == nil {
			c.log.Error("inputs do not run", "error", err)
		}
	})
	return nil
}
