// Package transport opens the suite's HTTP address, and others over TLS: plain where nobody else
// can listen in, and by TLS elsewhere. A provider makes the secured listener,
// chosen by name (http.tls_provider): "standard" is TLS 1.2 and 1.3 by Go's
// own library.
//
// National cryptography comes in here: TLCP (GB/T 38636-2020) with SM2, SM3 and
// SM4 will be a second provider, which reads its two certificates, for
// signature and for encryption, from Options like the first one reads its one.
// Everything behind a provider sees a net.Listener and knows no difference.
package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Options say how to listen.
type Options struct {
	Option   string // of the configuration, for errors; "" is http.listen
	Listen   string // host:port
	Plain    bool   // no TLS
	Provider string // by whom TLS is spoken; "" is Standard
	Cert     string // PEM file of the certificate chain; "" makes a self-signed one
	Key      string // PEM file of its key
	Dir      string // where a self-signed certificate is kept
	HTTP2    bool   // clients speak HTTP/2, such as gRPC's, instead of HTTP/1.1
	Raw      bool   // clients speak no HTTP: a protocol of their own over TLS
	ClientCA string // PEM file of the authorities one of which must have signed a client's certificate; "" asks for none
	Log      *slog.Logger
}

// Standard is the provider of TLS by Go's own library.
const Standard = "standard"

// Provider makes a secured listener of a plain one. It reads the keys that the
// options name and fails where they cannot be used.
type Provider func(ln net.Listener, o Options) (Secured, error)

// Secured is what a provider made. Accept must not wait for a handshake: a
// client that never ends one would keep all others out.
type Secured struct {
	net.Listener
	// Notice is what an operator should know at the start; "" where there is
	// nothing.
	Notice string
	// Refresh looks whether the keys changed or are about to expire and takes
	// up new ones without losing a connection. Where the new ones cannot be
	// used it says why and keeps the old. always looks even where no file seems
	// to have changed.
	Refresh func(always bool) error
}

var providers = map[string]Provider{Standard: standard}

// Providers lists the names there are.
func Providers() []string { return slices.Sorted(maps.Keys(providers)) }

// refreshEvery is how often certificates are looked at. Renewals come days
// before they are needed; a minute is soon enough.
const refreshEvery = time.Minute

// Listener is the opened address.
type Listener struct {
	net.Listener
	Scheme  string // http or https
	Notice  string
	refresh func(always bool) error
	log     *slog.Logger
}

// Listen opens the address.
func Listen(o Options) (*Listener, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Provider == "" {
		o.Provider = Standard
	}
	if o.Option == "" {
		o.Option = "http.listen"
	}
	ln, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Option, err)
	}
	if o.Plain {
		return &Listener{Listener: ln, Scheme: "http", log: o.Log}, nil
	}
	p, ok := providers[o.Provider]
	if !ok {
		return nil, errors.Join(fmt.Errorf("http.tls_provider: %q is not known; one of %s is expected", o.Provider, strings.Join(Providers(), ", ")), ln.Close())
	}
	s, err := p(ln, o)
	if err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return &Listener{Listener: s.Listener, Scheme: "https", Notice: s.Notice, refresh: s.Refresh, log: o.Log}, nil
}

// Run keeps the certificates fresh until ctx ends: every minute, and at once
// at SIGHUP. On a plain listener it does nothing.
func (l *Listener) Run(ctx context.Context) {
	if l.refresh == nil {
		return
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	said := ""
	for {
		always := false
		select {
		case <-ctx.Done():
			return
		case <-hup:
			always = true
		case <-tick.C:
		}
		err := l.refresh(always)
		switch {
		case err == nil:
			said = ""
		case always || err.Error() != said:
			said = err.Error()
			l.log.Error("the certificate in use stays: the new one cannot be used", "error", err)
		}
	}
}
