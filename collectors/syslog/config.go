// Package syslog takes in syslog over UDP (RFC 5426) and over TCP and TLS (RFC
// 6587 and 5425, octet counting and line framing told apart frame by frame). A record's data is the
// message without its framing; the pipeline reads the header.
//
// Neither transport acknowledges. What was read from a TCP connection is
// handed to the sink within the flush interval, and where the sink is full the
// connection is not read any further, so that its sender waits. UDP senders
// cannot wait: while the sink is full datagrams stay in the kernel's buffer,
// and what does not fit there is counted from the kernel's own figure (package datagram).
package syslog

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"icewatch/collectors"
	"icewatch/soc/intake"
)

// Common is the configuration that both transports share.
type Common struct {
	ID     string `yaml:"id" json:"-"` // unique name, stored as icewatch.collector
	Listen string `yaml:"listen" json:"listen" maxLength:"300" doc:"Address and port, such as :5515 or 10.1.2.3:5515"`
	Tenant string `yaml:"tenant" json:"-"` // slug of the tenant all messages belong to; empty leaves it to the pipeline
	Zone   string `yaml:"zone" json:"-"`   // network zone of the senders
	// FlushInterval is the longest a message waits in memory for others to be
	// stored with it; at most 50 ms.
	FlushInterval time.Duration `yaml:"flush_interval" json:"-"`
}

// UDPConfig is the configuration of a UDP listener.
type UDPConfig struct {
	Common `yaml:",inline"`
	// ReceiveBuffer is the kernel's buffer in bytes. Beyond net.core.rmem_max
	// it needs CAP_NET_ADMIN; without, the kernel gives what it allows.
	ReceiveBuffer int `yaml:"receive_buffer" json:"receive_buffer" minimum:"0" maximum:"1073741824" doc:"Bytes of the kernel's buffer; it gives what net.core.rmem_max allows"`
}

// TCPConfig is the configuration of a TCP listener.
type TCPConfig struct {
	Common `yaml:",inline"`
	// MaxConnections bounds the open connections; further ones are closed at
	// once and counted as rejected.
	MaxConnections int `yaml:"max_connections" json:"max_connections" minimum:"1" maximum:"100000" doc:"Open connections; further ones are closed at once"`
	// IdleTimeout closes a connection without traffic. Plain syslog senders
	// notice a closed connection only after the first message they lose on it,
	// so it should be long; dead peers are found by TCP keep-alive.
	IdleTimeout time.Duration `yaml:"idle_timeout" json:"-"`
	// MaxMessage bounds one message in bytes. What is longer is cut there, and
	// marked; what is longer than intake.MaxData is kept aside whole.
	MaxMessage int `yaml:"max_message" json:"max_message" minimum:"1024" maximum:"268435456" doc:"Bytes of a message; what is longer is cut, and marked"`
	// DrainTime bounds how long Stop goes on reading what has arrived.
	DrainTime time.Duration `yaml:"drain_time" json:"-"`
	// TLS asks whoever makes the collector to give it an Open for TLS.
	TLS bool `yaml:"-" json:"tls" doc:"TLS (RFC 5425) by the suite's certificate; senders show one of their own where syslog.client_ca asks for it"`
	// Open opens the address, where it is not plain TCP but TLS (RFC 5425).
	Open func() (net.Listener, error) `yaml:"-" json:"-"`
}

const maxFlushInterval = 50 * time.Millisecond

func (c *Common) check() error {
	if c.ID == "" {
		return fmt.Errorf("syslog: a listener on %q has no id", c.Listen)
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return fmt.Errorf("syslog: %s: listen must be [host]:port: %w", c.ID, err)
	}
	if c.FlushInterval <= 0 || c.FlushInterval > maxFlushInterval {
		return fmt.Errorf("syslog: %s: flush_interval must be above 0 and at most %v, not %v", c.ID, maxFlushInterval, c.FlushInterval)
	}
	return nil
}

// NewUDPFactory returns the factory of UDP listeners, "syslog_udp".
func NewUDPFactory() collectors.Factory {
	return collectors.Factory{
		Type: "syslog_udp",
		DefaultConfig: func() any {
			return &UDPConfig{Common: Common{ID: "syslog-udp", Listen: ":5514", FlushInterval: 20 * time.Millisecond}, ReceiveBuffer: 16 << 20}
		},
		New: func(cfg any, deps collectors.Deps) (collectors.Collector, error) {
			c, ok := cfg.(*UDPConfig)
			if !ok {
				return nil, fmt.Errorf("syslog: configuration of a UDP listener expected, not %T", cfg)
			}
			return NewUDP(*c, deps)
		},
	}
}

// NewTCPFactory returns the factory of TCP listeners, "syslog_tcp".
func NewTCPFactory() collectors.Factory {
	return collectors.Factory{
		Type: "syslog_tcp",
		DefaultConfig: func() any {
			return &TCPConfig{Common: Common{ID: "syslog-tcp", Listen: ":5514", FlushInterval: 20 * time.Millisecond},
				MaxConnections: 1024, IdleTimeout: 24 * time.Hour, MaxMessage: 16 << 20, DrainTime: 2 * time.Second}
		},
		New: func(cfg any, deps collectors.Deps) (collectors.Collector, error) {
			c, ok := cfg.(*TCPConfig)
			if !ok {
				return nil, fmt.Errorf("syslog: configuration of a TCP listener expected, not %T", cfg)
			}
			return NewTCP(*c, deps)
		},
	}
}

// newRecord is what the records that come together have in common.
func (c *Common) newRecord(peer netip.Addr, received time.Time) intake.Record {
	return intake.Record{Tenant: c.Tenant, Zone: c.Zone, Collector: c.ID, Format: intake.Syslog, Peer: peer, Received: received.UnixNano()}
}
