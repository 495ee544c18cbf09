// Package registry lists the sources by hand: what is not in the list is not
// in the program. It stands apart from package collectors, which the sources
// import.
package registry

import (
	"icewatch/collectors"
	"icewatch/collectors/filetail"
	"icewatch/collectors/flow"
	"icewatch/collectors/ftp"
	"icewatch/collectors/journal"
	"icewatch/collectors/kafka"
	"icewatch/collectors/relp"
	"icewatch/collectors/snmppoll"
	"icewatch/collectors/snmptrap"
	"icewatch/collectors/sqltable"
	"icewatch/collectors/syslog"
)

// Factories returns every source that the configuration file can name.
func Factories() []collectors.Factory {
	return []collectors.Factory{
		syslog.NewUDPFactory(),
		syslog.NewTCPFactory(),
		filetail.NewFactory(),
		flow.NewFactory(),
		relp.NewFactory(),
		snmptrap.NewFactory(),
		snmppoll.NewFactory(),
		journal.NewFactory(),
		journal.NewUploadFactory(),
		kafka.NewFactory(),
		ftp.NewFactory(),
		sqltable.NewFactory(),
	}
}

// Lookup returns the factory of a type.
func Lookup(kind string) (collectors.Factory, bool) {
	for _, f := range Factories() {
		if f.Type == kind {
			return f, true
		}
	}
	return collectors.Factory{}, false
}
