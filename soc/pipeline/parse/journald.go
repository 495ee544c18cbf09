package parse

import (
	"strconv"

	"icewatch/soc/event"
)

// Entries of the journal of systemd, as journalctl -o json and the shippers that
// read the journal write them (systemd.journal-fields(7)). Their fields keep
// their names; what has a name in ECS gets it as well, and the message is read
// as a line of its program.

// journald gives an entry whose fields lie from first on its ECS fields. The
// message is read later, by nested, in the name of the program.
func (p *Parser) journald(first int) {
	if p.soft {
		return
	}
	message, program, priority, comm := -1, "", -1, ""
	known := false
	for i := min(first, len(p.ev.Fields)); i < len(p.ev.Fields); i++ {
		switch p.ev.Fields[i].ID {
		case p.names.journalMessage:
			message = i
		case p.names.journalTransport, p.names.journalCursor, p.names.journalBoot:
			known = true
		}
	}
	if !known || message < 0 {
		return
	}
	if !p.ev.Has(event.Message) {
		p.ev.Fields[message].ID = event.Message
	}
	for i, end := min(first, len(p.ev.Fields)), len(p.ev.Fields); i < end; i++ {
		f := p.ev.Fields[i]
		to, ok := p.names.journal[f.ID]
		if !ok {
			continue
		}
		switch to {
		case event.SyslogAppname:
			program = f.Value
		case event.ProcessName:
			comm = f.Value
			continue
		case event.LogLevel:
			n, err := strconv.ParseUint(f.Value, 10, 3)
			if err != nil {
				continue
			}
			priority = int(n)
			f.Value = severityNames[n]
		case event.SyslogFacility:
			if n, err := strconv.ParseUint(f.Value, 10, 8); err != nil || n >= uint64(len(facilityNames)) {
				continue
			}
			f.Kind = event.Number
		case event.ProcessPID:
			if !isDigits(f.Value) {
				continue
			}
			f.Kind = event.Number
		}
		if f.Value != "" && !p.ev.Has(to) {
			p.ev.Fields = append(p.ev.Fields, event.Field{ID: to, Kind: f.Kind, Value: f.Value})
		}
	}
	if priority >= 0 {
		p.putNumber(event.SyslogSeverity, smallNumber(priority))
	}
	if program == "" {
		program = comm
	}
	p.program = program
	if program != "" {
		p.ev.SetDefault(event.ProcessName, baseName(program))
	}
	p.journal = true
}

// journalTime takes the time at which an entry was made: as its sender gave it,
// else as the journal did. Both are microseconds of the Unix epoch.
func (p *Parser) journalTime() {
	for _, id := range [...]event.FieldID{p.names.journalSource, p.names.journalTime} {
		if us, err := strconv.ParseInt(p.ev.Text(id), 10, 64); err == nil && us > 0 && us < 1<<53 {
			p.setTime(us * 1000)
			return
		}
	}
}

// journalNames are the fields of the journal that have a name in ECS.
func journalNames(id func(string) event.FieldID) map[event.FieldID]event.FieldID {
	m := map[event.FieldID]event.FieldID{}
	for name, to := range map[string]event.FieldID{
		"_HOSTNAME":         event.HostName,
		"SYSLOG_IDENTIFIER": event.SyslogAppname,
		"_COMM":             event.ProcessName,
		"_PID":              event.ProcessPID,
		"PRIORITY":          event.LogLevel,
		"SYSLOG_FACILITY":   event.SyslogFacility,
		"_EXE":              id("process.executable"),
		"_CMDLINE":          id("process.command_line"),
		"_UID":              id("user.id"),
		"_GID":              id("user.group.id"),
		"_SYSTEMD_UNIT":     id("systemd.unit"),
		"_MACHINE_ID":       id("host.id"),
		"CODE_FILE":         id("log.origin.file.name"),
		"CODE_FUNC":         id("log.origin.function"),
		"CONTAINER_ID_FULL": id("container.id"),
		"CONTAINER_NAME":    id("container.name"),
	} {
		m[id(name)] = to
	}
	return m
}
