package baseline

import (
	"context"
	"path"
	"slices"
	"strings"
)

// directive is one of Nginx, with the file it stands in.
type directive struct {
	name  string
	args  []string
	where string
}

// nginx checks the web server's configuration with all that it includes.
func nginx(_ context.Context, h *host) {
	for _, main := range []string{"/etc/nginx/nginx.conf", "/usr/local/nginx/conf/nginx.conf", "/usr/local/openresty/nginx/conf/nginx.conf"} {
		data, err := h.read(main)
		if err != nil {
			if !absent(err) {
				h.cannot("nginx.user", main, err)
			}
			continue
		}
		left := maxFiles
		var list []directive
		h.directives(data, main, path.Dir(main), &left, 0, &list)
		user, tokens, logs := "", "on", "on"
		var listings, old []string
		for _, d := range list {
			first := ""
			if len(d.args) > 0 {
				first = d.args[0]
			}
			switch d.name {
			case "user":
				user = first
			case "server_tokens":
				tokens = first
				if first == "on" {
					tokens = "on (" + d.where + ")"
				}
			case "autoindex":
				if first == "on" {
					listings = append(listings, d.where)
				}
			case "access_log":
				if first == "off" && logs == "on" {
					logs = "off (" + d.where + ")"
				}
			case "ssl_protocols":
				for _, p := range d.args {
					if slices.Contains([]string{"SSLv2", "SSLv3", "TLSv1", "TLSv1.1"}, p) {
						old = append(old, p+" ("+d.where+")")
					}
				}
			}
		}
		h.is("nginx.user", main, user != "root", "user "+unset(user))
		h.is("nginx.version", main, tokens == "off" || tokens == "build", "server_tokens "+tokens)
		h.is("nginx.listing", main, len(listings) == 0, told(listings, "autoindex off"))
		h.is("nginx.access-log", main, logs == "on", "access_log "+logs)
		h.is("nginx.tls", main, len(old) == 0, told(old, "–"))
	}
}

// directives reads a file and what it includes, in order, whatever block they stand in.
func (h *host) directives(data []byte, where, dir string, left *int, depth int, out *[]directive) {
	if *left <= 0 || depth > 8 {
		return
	}
	*left--
	var words []string
	for _, w := range tokens(data) {
		switch w {
		case ";", "{", "}":
			if len(words) > 0 && len(*out) < 100_000 {
				*out = append(*out, directive{words[0], words[1:], where})
				if words[0] == "include" && len(words) == 2 && w == ";" {
					pattern := words[1]
					if !path.IsAbs(pattern) {
						pattern = path.Join(dir, pattern)
					}
					for _, p := range h.glob(pattern) {
						if more, err := h.read(p); err == nil {
							h.directives(more, p, dir, left, depth+1, out)
						}
					}
				}
			}
			words = nil
		default:
			words = append(words, strings.Clone(w))
		}
	}
}

// tokens cuts a configuration of Nginx into words and the signs ; { and }.
func tokens(data []byte) []string {
	var out []string
	var word []byte
	begun := false
	flush := func() {
		if begun {
			out = append(out, string(word))
		}
		word, begun = word[:0], false
	}
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case c == '#' && !begun:
			for i < len(data) && data[i] != '\n' {
				i++
			}
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			flush()
		case c == ';' || c == '{' && !begun || c == '}' && !begun:
			flush()
			out = append(out, string(c))
		case (c == '"' || c == '\'') && !begun:
			begun = true
			for i++; i < len(data) && data[i] != c; i++ {
				if data[i] == '\\' && i+1 < len(data) {
					i++
				}
				word = append(word, data[i])
			}
			flush()
		case c == '\\' && i+1 < len(data):
			begun = true
			i++
			word = append(word, data[i])
		case c == '{' && !(len(word) > 0 && word[len(word)-1] == '$'):
			flush()
			out = append(out, "{")
		default:
			begun = true
			word = append(word, c)
		}
	}
	flush()
	return out
}
