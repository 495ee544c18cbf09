package parse

import (
	"strings"

	"icewatch/soc/event"
)

// Actions of databases, whichever product: rules ask for these.
const (
	actionDatabaseLogin  = "database_login"
	actionDatabaseLogout = "database_logout"
	actionDatabaseQuery  = "database_query"
)

// database fills what all records of databases have.
func (p *Parser) database(dataset, product, action, outcome string) {
	p.dataset(dataset, product)
	p.put(event.EventAction, action)
	p.put(event.EventCategory, "database")
	switch action {
	case actionDatabaseLogin:
		p.put(event.EventCategory, "authentication")
		p.put(event.EventType, "start")
	case actionDatabaseLogout:
		p.put(event.EventType, "end")
	default:
		p.put(event.EventType, "access")
	}
	p.put(event.EventOutcome, outcome)
}

// serverAudit reads a record of the server_audit plugin of MariaDB and MySQL:
// "host,user,address,connection,query,OPERATION,database,object,code". The
// object is a statement in quotes for queries and may hold commas; in a file
// the time stands before the host (plugin/server_audit/server_audit.c).
func (p *Parser) serverAudit(text string) bool {
	var part [6]string
	rest := trimSpace(text)
	for i := range part {
		var ok bool
		if part[i], rest, ok = strings.Cut(rest, ","); !ok {
			return false
		}
	}
	user, address, operation := part[1], part[2], part[5]
	if !isDigits(part[3]) || !isDigits(part[4]) || !isUpper(strings.ReplaceAll(operation, "_", "")) {
		return false
	}
	last := strings.LastIndexByte(rest, ',')
	database, object, ok := strings.Cut(rest[:max(last, 0)], ",")
	if !ok {
		return false
	}
	outcome := "success"
	if code := trimSpace(rest[last+1:]); code != "0" && code != "" { // what is read and written has none
		outcome = "failure"
		p.put(event.EventCode, code)
	}
	action := actionDatabaseQuery
	switch operation {
	case "CONNECT", "FAILED_CONNECT":
		action = actionDatabaseLogin
	case "DISCONNECT":
		action = actionDatabaseLogout
	default:
		if len(object) >= 2 && object[0] == '\'' && object[len(object)-1] == '\'' {
			p.put(p.names.queryText, p.unescape(object[1:len(object)-1]))
		}
	}
	p.database("mysql.audit", "mysql", action, outcome)
	p.put(event.UserName, user)
	p.putSource(address)
	p.put(p.names.namespace, database)
	return true
}

// serverAuditFile reads such a record with the time of a file before it:
// "20261125 09:00:00,db-1,app,10.1.2.3,…".
func (p *Parser) serverAuditFile(text string) bool {
	if len(text) < 20 || text[8] != ' ' || text[17] != ',' || !isDigits(text[:8]) {
		return false
	}
	if !p.serverAudit(text[18:]) {
		return false
	}
	date := text[:8]
	if t, ok := anyTime(date[:4]+"-"+date[4:6]+"-"+date[6:8]+" "+text[9:17], p.opts.Location, p.rec.Received); ok && !(p.soft && p.timed) {
		p.setTime(t)
	}
	return true
}

// mysqlDenied reads the one line of the error log of MySQL and MariaDB that
// tells who was refused: "… Access denied for user 'root'@'203.0.113.9' (using
// password: YES)".
func (p *Parser) mysqlDenied(text string) bool {
	_, rest, ok := strings.Cut(text, "Access denied for user '")
	if !ok {
		return false
	}
	user, rest, ok := strings.Cut(rest, "'@'")
	if !ok {
		return false
	}
	host, _, ok := strings.Cut(rest, "'")
	if !ok {
		return false
	}
	p.database("mysql.error", "mysql", actionDatabaseLogin, "failure")
	p.put(event.UserName, user)
	p.putSource(host)
	return true
}

// postgresql reads the server's log as it writes it to syslog or a file: the
// prefix that log_line_prefix gives, which each site sets for itself, then the
// severity and the message.
func (p *Parser) postgresql(text string) bool {
	at, severity := -1, ""
	for _, s := range [...]string{"FATAL:  ", "LOG:  ", "ERROR:  "} {
		if i := strings.Index(text, s); i >= 0 && i <= 256 && (at < 0 || i < at) {
			at, severity = i, s
		}
	}
	if at < 0 || !p.postgresMessage(severity[:len(severity)-3], text[at+len(severity):], "") {
		return false
	}
	// The address, and the user where the message has none, stand in the prefix.
	for _, w := range strings.FieldsFunc(text[:at], func(c rune) bool { return strings.ContainsRune(" ()[]=,|", c) }) {
		if w = strings.TrimSuffix(w, ":"); isIP(w) {
			p.putSource(w)
			break
		}
	}
	if i := strings.Index(text[:at], "user="); i >= 0 && !p.ev.Has(event.UserName) {
		user, _, _ := strings.Cut(text[i+len("user="):at], ",")
		user, _, _ = strings.Cut(user, " ")
		p.put(event.UserName, user)
	}
	return true
}

// postgresJSON gives a record of PostgreSQL's jsonlog the fields that records
// of databases have.
func (p *Parser) postgresJSON() {
	severity := p.ev.Text(p.names.pgSeverity)
	if severity == "" || !p.ev.Has(p.names.pgBackend) || p.ev.Has(event.EventDataset) {
		return
	}
	if !p.postgresMessage(severity, p.ev.Text(event.Message), p.ev.Text(p.names.pgState)) {
		p.dataset("postgresql.log", "postgresql")
	}
	p.ev.SetDefault(p.names.namespace, p.ev.Text(p.names.pgDatabase))
	if host := p.ev.Text(p.names.pgRemote); host != "" && !p.ev.Has(event.SourceAddress) {
		p.putSource(host)
	}
}

// postgresMessage recognises who came, who was refused and what was asked.
// state is the SQLSTATE, where the record has it.
func (p *Parser) postgresMessage(severity, message, state string) bool {
	const dataset, product = "postgresql.log", "postgresql"
	switch severity {
	case "FATAL":
		// Class 28: invalid authorization specification.
		refused := hasPrefix(state, "28") || strings.Contains(message, "authentication failed for user ") || hasPrefix(message, "no pg_hba.conf entry for host ")
		if !refused {
			return false
		}
		p.database(dataset, product, actionDatabaseLogin, "failure")
		if _, user, ok := strings.Cut(message, ` user "`); ok {
			user, _, _ = strings.Cut(user, `"`)
			p.put(event.UserName, user)
		}
		return true
	case "LOG":
		if rest, ok := strings.CutPrefix(message, "connection authorized: user="); ok {
			user, _, _ := strings.Cut(rest, " ")
			p.database(dataset, product, actionDatabaseLogin, "success")
			p.put(event.UserName, user)
			return true
		}
		if hasPrefix(message, "disconnection: ") {
			p.database(dataset, product, actionDatabaseLogout, "success")
			return true
		}
		query, ok := strings.CutPrefix(message, "statement: ")
		if !ok && hasPrefix(message, "execute ") {
			_, query, ok = strings.Cut(message, ": ")
		}
		if !ok { // with log_min_duration_statement: "duration: 12.3 ms  statement: SELECT …"
			if hasPrefix(message, "duration: ") {
				_, query, ok = strings.Cut(message, " ms  statement: ")
			} else if hasPrefix(message, "AUDIT: ") {
				query, ok = message[len("AUDIT: "):], true
			}
		}
		if ok {
			p.database(dataset, product, actionDatabaseQuery, "success")
			p.put(p.names.queryText, query)
			return true
		}
	}
	return false
}
