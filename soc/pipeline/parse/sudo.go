package parse

import (
	"strings"

	"icewatch/soc/event"
)

// sudo reads sudo's log: "alice : TTY=pts/0 ; PWD=/home/alice ; USER=root ;
// COMMAND=/bin/ls", with an error before TTY where it refused (sudo's
// lib/eventlog and plugins/sudoers/logging.c).
func (p *Parser) sudo(text string) bool {
	if hasPrefix(text, "pam_") {
		return p.pamLine("sudo", text)
	}
	p.dataset("sudo.log", "sudo")
	user, rest, ok := strings.Cut(text, " : ")
	if !ok || strings.ContainsAny(user, " \t") && !strings.Contains(rest, "COMMAND=") {
		p.put(event.EventAction, "sudo_message")
		p.put(event.EventCategory, "process")
		p.put(event.EventType, "info")
		return true
	}
	if hasPrefix(rest, "(command continued)") {
		p.put(event.EventAction, "sudo_continued")
		p.put(event.EventCategory, "process")
		p.put(event.EventType, "info")
		p.put(event.UserName, trimSpace(user))
		p.put(event.ProcessCommandLine, trimSpace(rest[len("(command continued)"):]))
		return true
	}
	p.put(event.EventAction, "sudo")
	p.put(event.EventCategory, "process")
	p.put(event.UserName, trimSpace(user))

	// The command is last and may itself hold the separator.
	command := ""
	if i := strings.Index(rest, "COMMAND="); i >= 0 && (i == 0 || hasPrefix(rest[i-2:], "; ")) {
		command = rest[i+len("COMMAND="):]
		rest = strings.TrimSuffix(trimSpace(rest[:i]), ";")
	}
	reason := ""
	for rest != "" {
		part, tail, _ := strings.Cut(rest, " ; ")
		rest = tail
		name, value, pair := strings.Cut(trimSpace(part), "=")
		value = strings.TrimSuffix(trimSpace(value), " ;")
		switch {
		case pair && name == "TTY":
			p.put(p.names.tty, value)
		case pair && name == "PWD":
			p.put(event.ProcessWorkingDirectory, value)
		case pair && name == "USER":
			p.put(event.UserEffectiveName, value)
		case pair && name == "GROUP":
			p.put(event.GroupName, value)
		case pair && isUpper(name):
			// HOST, TSID, ENV, CHROOT, RULE: event.original has them.
		case reason == "":
			reason = trimSpace(part)
		}
	}
	p.put(event.ProcessCommandLine, command)
	if reason == "" && command != "" {
		p.put(event.EventType, "start")
		p.put(event.EventOutcome, "success")
		return true
	}
	p.put(event.EventType, "denied")
	p.put(event.EventOutcome, "failure")
	p.put(event.EventReason, reason)
	p.put(p.names.sudoError, reason)
	return true
}

func isUpper(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < 'A' || s[i] > 'Z' {
			return false
		}
	}
	return s != ""
}
