package parse

import (
	"strings"

	"icewatch/soc/event"
)

// access reads the common and combined log formats of Apache and nginx, with a
// virtual host in front or further fields behind. server is "nginx" or
// "apache" where that is known, else "".
func (p *Parser) access(text, server string) bool {
	open := indexByte(text, '[')
	if open < 2 || open > 1024 || len(text) < open+22 {
		return false
	}
	c, ok := accessTime(strings.TrimSuffix(text[open+1:min(len(text), open+28)], "]"))
	shut := strings.IndexByte(text[open:], ']')
	if !ok || shut < 0 {
		if shut < 0 || shut > 40 {
			return false
		}
		if c, ok = accessTime(text[open+1 : open+shut]); !ok {
			return false
		}
	}
	head := trimSpace(text[:open])
	rest := strings.TrimLeft(text[open+shut+1:], " ")

	// The words before the time: [vhost] client ident user.
	first, after := word(head)
	client, vhost := first, ""
	if next, tail := word(after); !isIP(strings.TrimSuffix(first, ",")) && isIP(next) {
		vhost, client, after = first, next, tail
	}
	for strings.HasSuffix(client, ",") { // A list of proxies: the client is first.
		client = strings.TrimSuffix(client, ",")
		var w string
		for w, after = word(after); strings.HasSuffix(w, ","); {
			w, after = word(after)
		}
	}
	user := ""
	if _, tail := word(after); tail != "" {
		user = tail
	} else if after != "-" {
		user = after
	}
	user = strings.Trim(user, `"`)
	if user == "-" {
		user = ""
	}

	request, size := p.webQuoted(rest)
	if size == 0 {
		return false
	}
	escape := byte(0)
	if i := strings.Index(request, `\x22`); i >= 0 {
		escape = 'x'
	} else if strings.Contains(rest[:size], `\"`) {
		escape = '"'
	}
	rest = strings.TrimLeft(rest[size:], " ")
	status, rest := word(rest)
	bytes, rest := word(rest)
	if len(status) != 3 || !isDigits(status) {
		return false
	}
	referrer, agent, extra := "", "", false
	if value, n := p.webQuoted(rest); n > 0 {
		referrer, rest = value, strings.TrimLeft(rest[n:], " ")
		if value, n = p.webQuoted(rest); n > 0 {
			agent = value
			extra = strings.TrimLeft(rest[n:], " ") != ""
		}
	}

	if server == "" {
		server = p.webServer(vhost, bytes, escape, extra)
	}
	p.dataset(server+".access", server)
	p.put(event.EventCategory, "web")
	p.put(event.EventType, "access")
	p.put(event.EventAction, "http_request")
	if status[0] >= '4' {
		p.put(event.EventOutcome, "failure")
	} else {
		p.put(event.EventOutcome, "success")
	}
	if t, ok := c.moment(p.opts.Location, p.rec.Received); ok && !(p.soft && p.timed) {
		p.setTime(t)
	}
	p.putSource(client)
	if user != "" {
		p.put(event.UserName, user)
	}
	if vhost != "" {
		if name, port, ok := strings.Cut(vhost, ":"); ok && isPort(port) {
			vhost = name
			p.putNumber(event.DestPort, port)
		}
		p.put(event.URLDomain, vhost)
	}
	p.request(request)
	p.putNumber(event.HTTPResponseStatus, status)
	if isDigits(bytes) {
		p.putNumber(event.HTTPResponseBytes, bytes)
	}
	if referrer != "-" {
		p.put(event.HTTPRequestReferrer, referrer)
	}
	if agent != "-" {
		p.put(event.UserAgentOriginal, agent)
	}
	return true
}

// webServer guesses which server wrote a line that both could have written:
// by the file it came from, then by what only one of them does.
func (p *Parser) webServer(vhost, bytes string, escape byte, extra bool) string {
	for _, a := range p.rec.Attrs {
		switch {
		case strings.Contains(a.Value, "nginx"):
			return "nginx"
		case strings.Contains(a.Value, "apache"), strings.Contains(a.Value, "httpd"):
			return "apache"
		}
	}
	switch {
	case bytes == "-", escape == '"', strings.Contains(vhost, ":"):
		return "apache" // %b writes - for nothing; vhost_combined has the port.
	case escape == 'x', extra:
		return "nginx" // nginx writes a quote as \x22; its "main" format adds X-Forwarded-For.
	}
	return "nginx"
}

// webQuoted reads a text in double quotes in which a backslash protects the
// next character. The escapes stay: they say what the client sent.
func (p *Parser) webQuoted(s string) (value string, size int) {
	if s == "" || s[0] != '"' {
		return "", 0
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return s[1:i], i + 1
		}
	}
	return "", 0
}

// request reads a request line: METHOD TARGET HTTP/VERSION, or whatever a
// client sent instead, which stays in url.original as it is.
func (p *Parser) request(line string) {
	if line == "" || line == "-" {
		return
	}
	method, rest := word(line)
	if !isMethod(method) || rest == "" {
		p.put(event.URLOriginal, line)
		p.put(event.EventReason, "bad request line")
		return
	}
	p.put(event.HTTPRequestMethod, method)
	if head, tail := lastWord(rest); hasPrefix(tail, "HTTP/") {
		p.put(event.HTTPVersion, tail[5:])
		rest = head
	}
	if method == "CONNECT" {
		p.put(event.URLOriginal, rest)
		host, port, _ := strings.Cut(rest, ":")
		p.put(event.URLDomain, host)
		if isPort(port) && !p.ev.Has(event.DestPort) {
			p.putNumber(event.DestPort, port)
		}
		return
	}
	p.target(rest)
}

// isMethod tells whether a word is a method as RFC 9110 writes them in
// practice: capital letters with - or _.
func isMethod(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; (c < 'A' || c > 'Z') && c != '-' && c != '_' {
			return false
		}
	}
	return s != "" && len(s) <= 32
}

// target splits a request's target into path, query and, where it is absolute
// (a proxy's request), scheme and domain.
func (p *Parser) target(url string) {
	p.put(event.URLOriginal, url)
	if scheme, rest, ok := strings.Cut(url, "://"); ok && len(scheme) < 8 && !strings.ContainsAny(scheme, "/?") {
		p.put(event.URLScheme, scheme)
		host := rest
		url = ""
		if i := strings.IndexAny(rest, "/?"); i >= 0 {
			host, url = rest[:i], rest[i:]
		}
		if i := strings.LastIndexByte(host, ':'); i > 0 && isPort(host[i+1:]) {
			host = host[:i]
		}
		p.put(event.URLDomain, host)
	}
	path, query, _ := strings.Cut(url, "?")
	p.put(event.URLPath, path)
	p.put(event.URLQuery, query)
}

// nginxError reads "2021/12/01 13:53:33 [error] 31#31: *46 TEXT, client: …,
// server: …, request: "…", host: "…"".
func (p *Parser) nginxError(text string) bool {
	if len(text) < 24 || text[4] != '/' {
		return false
	}
	c, rest, ok := isoTime(text)
	if !ok || !hasPrefix(rest, " [") {
		return false
	}
	shut := indexByte(rest, ']')
	if shut < 0 || shut > 12 {
		return false
	}
	level := rest[2:shut]
	rest = strings.TrimLeft(rest[shut+1:], " ")
	pid, body := word(rest)
	process, _, ok := strings.Cut(pid, "#")
	if !ok || !isDigits(process) {
		return false
	}
	p.dataset("nginx.error", "nginx")
	p.put(event.EventCategory, "web")
	p.put(event.EventType, "error")
	p.put(event.EventAction, "http_error")
	p.putBetter(event.LogLevel, level)
	p.putNumber(event.ProcessPID, process)
	if t, ok := c.moment(p.opts.Location, p.rec.Received); ok && !(p.soft && p.timed) {
		p.setTime(t)
	}
	if hasPrefix(body, "*") {
		_, body = word(body)
	}
	i := strings.LastIndex(body, ", client: ")
	if i < 0 {
		p.put(event.ErrorMessage, body)
		return true
	}
	p.put(event.ErrorMessage, body[:i])
	for rest = body[i+2:]; rest != ""; {
		name, after, ok := strings.Cut(rest, ": ")
		if !ok {
			break
		}
		value := ""
		if q, n := p.webQuoted(after); n > 0 {
			value, rest = q, strings.TrimPrefix(after[n:], ", ")
		} else {
			value, rest, _ = strings.Cut(after, ", ")
		}
		switch name {
		case "client":
			p.putSource(value)
		case "server", "host":
			if value != "" && !p.ev.Has(event.URLDomain) {
				p.put(event.URLDomain, value)
			}
		case "request":
			p.request(value)
		case "referrer":
			p.put(event.HTTPRequestReferrer, value)
		}
	}
	return true
}

// apacheError reads the error log of Apache 2.2, "[Sun Dec 04 04:47:44 2005]
// [error] [client 10.0.0.1] TEXT", and of 2.4, which adds module, process and
// port.
func (p *Parser) apacheError(text string) bool {
	first, rest, ok := bracket(text)
	if !ok || len(first) < 20 || first[3] != ' ' || month(first[4:]) == 0 {
		return false
	}
	c, tail, ok := bsdTime(first[4:])
	if !ok || tail != "" {
		return false
	}
	level, rest, ok := bracket(rest)
	if !ok {
		return false
	}
	p.dataset("apache.error", "apache")
	p.put(event.EventCategory, "web")
	p.put(event.EventType, "error")
	p.put(event.EventAction, "http_error")
	if t, ok := c.moment(p.opts.Location, p.rec.Received); ok && !(p.soft && p.timed) {
		p.setTime(t)
	}
	if module, name, ok := strings.Cut(level, ":"); ok {
		p.put(event.LogLogger, module)
		level = name
	}
	p.putBetter(event.LogLevel, level)
	for {
		part, after, ok := bracket(rest)
		if !ok {
			break
		}
		rest = after
		if pid, ok := strings.CutPrefix(part, "pid "); ok {
			pid, _, _ = strings.Cut(pid, ":")
			if isDigits(pid) {
				p.putNumber(event.ProcessPID, pid)
			}
		} else if client, ok := strings.CutPrefix(part, "client "); ok {
			p.webClient(client)
		}
	}
	if i := strings.Index(rest, "[client "); i >= 0 && i < 128 {
		if client, _, ok := bracket(rest[i:]); ok {
			p.webClient(client[len("client "):])
		}
	}
	if code, _, ok := strings.Cut(rest, ": "); ok && len(code) == 7 && hasPrefix(code, "AH") && isDigits(code[2:]) {
		p.put(event.EventCode, code)
	}
	p.put(event.ErrorMessage, rest)
	return true
}

// bracket reads "[…] " at the start of s.
func bracket(s string) (inner, rest string, ok bool) {
	if s == "" || s[0] != '[' {
		return "", s, false
	}
	n := indexByte(s, ']')
	if n < 0 || n > 256 {
		return "", s, false
	}
	return s[1:n], strings.TrimLeft(s[n+1:], " "), true
}

func (p *Parser) webClient(s string) {
	if p.ev.Has(event.SourceAddress) {
		return
	}
	if i := strings.LastIndexByte(s, ':'); i > 0 && isPort(s[i+1:]) && !isIP(s) {
		p.putSource(strings.Trim(s[:i], "[]"))
		p.putNumber(event.SourcePort, s[i+1:])
		return
	} else if i > 0 && isPort(s[i+1:]) && isIP(s[:i]) && strings.Count(s, ":") == 8 {
		p.putSource(s[:i])
		p.putNumber(event.SourcePort, s[i+1:])
		return
	}
	p.putSource(s)
}
