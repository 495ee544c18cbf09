package parse

import (
	"strings"

	"icewatch/soc/event"
)

// pamLine reads "pam_unix(sshd:auth): authentication failure; …".
func (p *Parser) pamLine(program, text string) bool {
	open := indexByte(text, '(')
	if open < 0 {
		return false
	}
	shut := strings.Index(text[open:], "): ")
	if shut < 0 {
		return false
	}
	inner := text[open+1 : open+shut]
	service, stage, _ := strings.Cut(inner, ":")
	return p.pam(service, stage, text[open+shut+3:])
}

// pam reads the message of a PAM module. service is the program that asked,
// stage the management group (auth, session, account, password), if known.
func (p *Parser) pam(service, stage, text string) bool {
	switch service {
	case "sshd":
		p.dataset("sshd.auth", "sshd")
	case "sudo", "sudo-i":
		p.dataset("sudo.log", "sudo")
	default:
		p.dataset("pam.log", "pam")
	}
	p.put(event.EventCategory, "authentication")
	if n, inner, ok := repeated(text); ok {
		p.putNumber(p.names.repeat, n)
		text = inner
	}
	switch {
	case hasPrefix(text, "session opened for user "), hasPrefix(text, "session closed for user "):
		p.put(event.EventCategory, "session")
		who, by, _ := strings.Cut(text[len("session opened for user "):], " by ")
		action, kind := "session_opened", "start"
		if text[8] == 'c' {
			action, kind = "session_closed", "end"
		}
		p.put(event.EventAction, action)
		p.put(event.EventType, kind)
		p.put(event.EventOutcome, "success")
		who, uid := pamName(who)
		by, _ = pamName(by)
		switch service {
		case "sudo", "sudo-i", "su", "su-l", "doas", "polkit-1", "pkexec":
			p.put(event.UserEffectiveName, who)
			p.put(event.UserName, by)
		default:
			p.put(event.UserName, who)
			if isDigits(uid) {
				p.put(event.UserID, uid)
			}
		}
	case hasPrefix(text, "authentication failure"):
		p.put(event.EventAction, "pam_auth")
		p.put(event.EventType, "info")
		p.put(event.EventOutcome, "failure")
		p.pamPairs(text)
	case hasPrefix(text, "check pass; user unknown"):
		p.put(event.EventAction, "pam_check_pass")
		p.put(event.EventType, "info")
		p.put(event.EventOutcome, "failure")
		p.put(event.EventReason, "user unknown")
	case strings.Contains(text, "password changed for "):
		_, user, _ := strings.Cut(text, "password changed for ")
		p.put(event.EventCategory, "iam")
		p.put(event.EventAction, "password_changed")
		p.put(event.EventType, "change")
		p.put(event.EventOutcome, "success")
		p.put(event.UserName, user)
	case hasPrefix(text, "user ") && strings.Contains(text, " tally "):
		rest, _ := strings.CutPrefix(text, "user ")
		user, _ := word(rest)
		p.put(event.EventAction, "pam_account_locked")
		p.put(event.EventType, "denied")
		p.put(event.EventOutcome, "failure")
		p.put(event.UserName, user)
	case strings.Contains(text, "account temporarily locked"), strings.Contains(text, "account is locked"):
		p.put(event.EventAction, "pam_account_locked")
		p.put(event.EventType, "denied")
		p.put(event.EventOutcome, "failure")
		if _, rest, ok := strings.Cut(text, "user "); ok {
			user, _ := word(rest)
			p.put(event.UserName, user)
		}
	default:
		p.put(event.EventAction, "pam_message")
		p.put(event.EventType, "info")
		if i := strings.Index(text, "[user="); i >= 0 {
			if n := indexByte(text[i:], ']'); n > 0 {
				p.put(event.UserName, text[i+6:i+n])
			}
		}
	}
	return true
}

// pamName splits "root(uid=0)" into the name and the number.
func pamName(s string) (name, uid string) {
	s = trimSpace(s)
	if i := strings.Index(s, "(uid="); i >= 0 {
		return s[:i], strings.TrimSuffix(s[i+5:], ")")
	}
	return s, ""
}

// pamPairs reads "logname= uid=0 euid=0 tty=ssh ruser= rhost=10.0.0.1  user=root".
// user comes last and may hold blanks.
func (p *Parser) pamPairs(text string) {
	_, rest, ok := strings.Cut(text, ";")
	if !ok {
		return
	}
	ruser, user := "", ""
	if i := strings.LastIndex(rest, " user="); i >= 0 {
		user = trimSpace(rest[i+6:])
		rest = rest[:i]
	}
	for rest = trimSpace(rest); rest != ""; {
		var w string
		w, rest = word(rest)
		name, value, _ := strings.Cut(w, "=")
		switch name {
		case "rhost":
			p.putSource(value)
		case "tty":
			p.put(p.names.tty, value)
		case "ruser":
			ruser = value
		case "logname":
			if ruser == "" {
				ruser = value
			}
		}
	}
	if user == "" {
		user, ruser = ruser, ""
	}
	p.put(event.UserName, user)
	if ruser != user {
		p.put(p.names.remoteUser, ruser)
	}
}
