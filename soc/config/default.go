package config

import (
	"time"

	"icewatch/soc/retention"
	"icewatch/soc/transport"
)

// Default returns the configuration of a fresh installation.
func Default() *Config {
	return &Config{
		Data: "./data",
		Log:  Log{Level: "info", Format: "text"},
		HTTP: HTTP{Listen: "127.0.0.1:8080", TLSProvider: transport.Standard, MaxBody: 64 << 20, MaxUnpacked: 256 << 20},
		Syslog: Syslog{UDP: ":5514", TCP: ":5514", TLS: "off", RELP: "off", RELPTLS: "off", Zone: "default", MaxMessage: 16 << 20,
			MaxConnections: 4096, IdleTimeout: Duration(24 * time.Hour)},
		Flows: Flows{NetFlow: ":2055", SFlow: ":6343", Zone: "default"},
		SNMP:  SNMP{Traps: "off", Zone: "default"},
		OTLP: OTLP{GRPC: "127.0.0.1:4317", HTTP: "127.0.0.1:4318", MaxMessage: 16 << 20,
			Promote: []string{"deployment.environment.name", "host.name", "k8s.cluster.name", "k8s.namespace.name", "k8s.pod.name"}},
		Agents:    Agents{Listen: DefaultAgents, Zone: "default"},
		AlertMail: AlertMail{Listen: "off", Domain: "icewatch"},
		Relays:    []string{"127.0.0.0/8", "::1/128"},
		Bus:       Bus{MaxSize: 8 << 30, MaxMetrics: 2 << 30, MinFree: 512 << 20, Keep: 1000},
		Lake: Lake{Retention: Duration(retention.LegalMinimum), FlushInterval: Duration(5 * time.Second), ScrubPeriod: Duration(7 * 24 * time.Hour), ScrubRate: 16 << 20,
			Classes:      []Class{{Name: "short", Keep: Duration(30 * retention.Day)}, {Name: "long", Keep: Duration(365 * retention.Day)}, {Name: "archive", Keep: Duration(1095 * retention.Day)}},
			SecuritySets: []string{"icewatch.*", "*.auth", "*.audit", "*.security", "*.alert", "sudo.*", "pam.*", "iptables.*"}},
		Metrics: Metrics{Retention: Duration(180 * 24 * time.Hour), Interval: Duration(15 * time.Second)},
		Limits:  Limits{Fields: 500, Names: 1000, SenderIDs: 1_000_000},
		Rules: Rules{BuiltIn: true, Policy: PolicyTrust{Decisions: 100_000, DecisionRate: 100}, Interval: Duration(2 * time.Second), Flood: Flood{Rate: 200, Window: Duration(10 * time.Second), Interval: Duration(10 * time.Second)}, Slow: Slow{Percent: 20, Window: Duration(10 * time.Second), Pause: Duration(time.Minute)},
			Correlation: Correlation{Memory: 512 << 20, Lateness: Duration(5 * time.Minute)}},
		Parsers:  Parsers{Interval: Duration(2 * time.Second)},
		Geo:      Geo{Language: "zh"},
		Security: Security{Egress: Egress{Private: true}},
		Alerts: Alerts{Faults: Faults{Wait: Duration(10 * time.Second), Window: Duration(15 * time.Minute), Opens: "medium", Least: 3, Percent: 50},
			Flapping: Flapping{Changes: 6, Window: Duration(30 * time.Minute), Calm: Duration(15 * time.Minute)}, Storm: Storm{Rule: 20_000, Source: 100_000, Per: Duration(time.Minute)}},
		SLA: []SLA{
			{"P1", Duration(15 * time.Minute), Duration(4 * time.Hour)},
			{"P2", Duration(15 * time.Minute), Duration(6 * time.Hour)},
			{"P3", Duration(time.Hour), Duration(72 * time.Hour)},
			{"P4", Duration(time.Hour), Duration(7 * 24 * time.Hour)},
		},
	}
}
