package centre

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"icewatch/collectors"
	"icewatch/collectors/otlp"
	"icewatch/collectors/webbody"
	"icewatch/soc/api"
	"icewatch/soc/config"
	"icewatch/soc/transport"
)

// newOTLP makes what takes OpenTelemetry's data in, whichever way it comes.
func (c *centre) newOTLP(deps collectors.Deps, limits webbody.Limits) {
	c.otlp = otlp.New(deps.Sink, deps.Aside, c.samples.sink, otlp.Options{Limits: limits, Zone: c.Config.Syslog.Zone, Samples: c.samples.limits,
		Promote: c.Config.OTLP.Promote, Metrics: c.metrics, Log: c.log})
}

// openOTLP opens the ports by which OpenTelemetry's programs know a receiver:
// the paths below /otlp without that prefix, and gRPC.
func (c *centre) openOTLP() error {
	cfg := c.Config.OTLP
	var serving sync.WaitGroup
	serve := func(do func(net.Listener) error, ln net.Listener) {
		serving.Go(func() {
			if err := do(ln); err != nil {
				c.failed <- err
			}
		})
	}
	httpListen := ""
	if on(cfg.HTTP) {
		ln, err := c.listenOTLP("otlp.http", cfg.HTTP, config.Default().OTLP.HTTP, false)
		if err != nil {
			return err
		}
		if ln != nil {
			httpListen = ln.Addr().String()
			serve(c.server.Below(otlp.Prefix), ln)
		}
	}
	c.gauge.health = append(c.gauge.health, func() collectors.Health { return c.otlp.Health(httpListen) })
	if !on(cfg.GRPC) {
		c.later(func() error { serving.Wait(); return nil })
		return nil
	}
	plain := c.plain(cfg.GRPC)
	server := otlp.NewGRPC(c.otlp, func(ctx context.Context, e otlp.Entry) (string, int, string) {
		return c.server.AdmitIngest(ctx, api.Entry{Authorization: e.Authorization, Tenant: e.Tenant, UserAgent: e.UserAgent, Object: e.Method, Peer: e.Peer, Secure: e.Secure})
	}, otlp.GRPCOptions{Listen: cfg.GRPC, MaxMessage: int(cfg.MaxMessage), Secure: !plain})
	c.gauge.health = append(c.gauge.health, server.Health)
	ln, err := c.listenOTLP("otlp.grpc", cfg.GRPC, config.Default().OTLP.GRPC, true)
	if err != nil {
		return err
	}
	if ln != nil {
		serve(server.Serve, ln)
	}
	c.later(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		server.Stop(ctx)
		serving.Wait()
		return nil
	})
	return nil
}

// listenOTLP opens an address: plain where nobody else can listen in, elsewhere
// by TLS with the suite's certificate. It returns nil where another program,
// such as a Collector on this machine, has the port and nobody has chosen it.
func (c *centre) listenOTLP(option, listen, usual string, http2 bool) (*transport.Listener, error) {
	cfg := c.Config.HTTP
	ln, err := transport.Listen(transport.Options{Option: option, Listen: listen, Plain: c.plain(listen), HTTP2: http2,
		Provider: cfg.TLSProvider, Cert: cfg.TLSCert, Key: cfg.TLSKey, Dir: filepath.Join(c.Config.Data, "tls"), Log: c.log})
	if errors.Is(err, syscall.EADDRINUSE) && listen == usual {
		c.log.Warn("another program listens where OpenTelemetry's data is awaited: none is taken in here; name another address, or off, in "+option, "error", err)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	c.background(ln.Run)
	return ln, nil
}

// plain tells whether an address is served without TLS.
func (c *centre) plain(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(host)
	return c.Config.HTTP.Insecure || host == "localhost" || err == nil && addr.IsLoopback()
}

// on tells whether an address is given that is to be listened on.
func on(listen string) bool { return listen != "" && listen != "off" }
