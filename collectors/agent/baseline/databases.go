package baseline

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
)

// everywhere tells whether an address to listen at is every one of the host.
func everywhere(a string) bool { return slices.Contains([]string{"*", "0.0.0.0", "::", "::0"}, a) }

// on tells whether a switch is on, as databases write it.
func on(s string) bool {
	return slices.Contains([]string{"1", "on", "true", "yes"}, strings.ToLower(s))
}

// mysql checks the option files of MySQL and MariaDB.
func mysql(_ context.Context, h *host) {
	for _, main := range []string{"/etc/my.cnf", "/etc/mysql/my.cnf"} {
		data, err := h.read(main)
		if err != nil {
			if !absent(err) {
				h.cannot("mysql.skip-grant", main, err)
			}
			continue
		}
		set := map[string]string{}
		left := maxFiles
		server := false
		h.options(data, set, &left, 0, &server)
		if !server {
			continue // of clients alone
		}
		_, skip := set["skip_grant_tables"]
		if v := set["skip_grant_tables"]; v != "" {
			skip = on(v)
		}
		h.is("mysql.skip-grant", main, !skip, map[bool]string{true: "skip-grant-tables", false: "–"}[skip])
		_, quiet := set["skip_networking"]
		bind, bound := set["bind_address"]
		h.is("mysql.bind", main, quiet || bound && !slices.ContainsFunc(strings.Split(bind, ","), func(a string) bool { return everywhere(strings.TrimSpace(a)) }), "bind-address "+unset(bind))
		infile := set["local_infile"]
		h.is("mysql.local-infile", main, infile != "" && !on(infile), "local-infile "+unset(infile))
		tls := set["require_secure_transport"]
		h.is("mysql.tls", main, on(tls), "require_secure_transport "+unset(tls))
		h.is("mysql.user", main, set["user"] != "root", "user "+unset(set["user"]))
		priv, named := set["secure_file_priv"]
		h.is("mysql.file-priv", main, !named || priv != "", "secure-file-priv "+unset(priv))
	}
}

// options reads the sections of servers of an option file, with what it includes; the
// last setting counts.
func (h *host) options(data []byte, set map[string]string, left *int, depth int, server *bool) {
	if *left <= 0 || depth > 8 {
		return
	}
	*left--
	in := false
	lines(data, func(s string) {
		switch {
		case s[0] == ';':
		case s[0] == '[':
			in = slices.Contains([]string{"[mysqld]", "[server]", "[mariadb]", "[mariadbd]", "[mysqld_safe]"}, strings.ToLower(s))
			*server = *server || in
		case strings.HasPrefix(s, "!includedir "):
			for _, p := range h.glob(path.Join(strings.TrimSpace(s[len("!includedir "):]), "*.cnf")) {
				if more, err := h.read(p); err == nil {
					h.options(more, set, left, depth+1, server)
				}
			}
		case strings.HasPrefix(s, "!include "):
			if more, err := h.read(strings.TrimSpace(s[len("!include "):])); err == nil {
				h.options(more, set, left, depth+1, server)
			}
		case in:
			k, v, _ := strings.Cut(s, "=")
			v, _, _ = strings.Cut(v, " #")
			k = strings.ReplaceAll(strings.ToLower(strings.TrimSpace(k)), "-", "_")
			set[strings.TrimPrefix(k, "loose_")] = strings.Trim(strings.TrimSpace(v), `"'`)
		}
	})
}

// postgresql checks each cluster's postgresql.conf and pg_hba.conf.
func postgresql(_ context.Context, h *host) {
	var found []string
	for _, p := range []string{"/etc/postgresql/*/*/postgresql.conf", "/var/lib/pgsql/data/postgresql.conf", "/var/lib/pgsql/*/data/postgresql.conf", "/var/lib/postgresql/data/postgresql.conf"} {
		found = append(found, h.glob(p)...)
	}
	for _, conf := range found[:min(len(found), 20)] {
		data, err := h.read(conf)
		if err != nil {
			h.cannot("postgresql.tls", conf, err)
			continue
		}
		set := map[string]string{}
		settings(data, set)
		for _, p := range h.glob(path.Join(path.Dir(conf), "conf.d/*.conf")) {
			if more, err := h.read(p); err == nil {
				settings(more, set)
			}
		}
		// What ALTER SYSTEM wrote counts last; it lies in the data folder.
		folder := path.Dir(conf)
		if d := set["data_directory"]; d != "" {
			folder = d
		}
		if more, err := h.read(path.Join(folder, "postgresql.auto.conf")); err == nil {
			settings(more, set)
		}
		h.is("postgresql.tls", conf, on(set["ssl"]), "ssl "+unset(set["ssl"]))
		listen := set["listen_addresses"]
		h.is("postgresql.listen", conf, !slices.ContainsFunc(strings.Split(listen, ","), func(a string) bool { return everywhere(strings.TrimSpace(a)) }), "listen_addresses "+unset(listen))
		h.is("postgresql.log-connections", conf, set["log_connections"] != "" && !slices.Contains([]string{"off", "false", "0", "no"}, strings.ToLower(set["log_connections"])), "log_connections "+unset(set["log_connections"]))
		enc := strings.ToLower(set["password_encryption"])
		h.is("postgresql.password-hash", conf, enc == "" || enc == "scram-sha-256", "password_encryption "+unset(enc))
		hba := path.Join(path.Dir(conf), "pg_hba.conf")
		if f := set["hba_file"]; f != "" {
			hba = f
		}
		h.hba(hba)
	}
}

// settings reads NAME = VALUE with quotes and remarks; the last counts.
func settings(data []byte, set map[string]string) {
	lines(data, func(s string) {
		k, v, ok := strings.Cut(s, "=")
		if !ok {
			if k, v, ok = strings.Cut(s, " "); !ok {
				return
			}
		}
		v = strings.TrimSpace(v)
		if strings.HasPrefix(v, "'") {
			if end := strings.IndexByte(v[1:], '\''); end >= 0 {
				v = v[1 : end+1]
			}
		} else if at := strings.IndexByte(v, '#'); at >= 0 {
			v = strings.TrimSpace(v[:at])
		}
		set[strings.ToLower(strings.TrimSpace(k))] = v
	})
}

// hba checks who signs in to PostgreSQL from where, and how.
func (h *host) hba(file string) {
	data, err := h.read(file)
	if err != nil {
		h.cannot("postgresql.trust", file, err)
		return
	}
	var trust, clear, wide []string
	lines(data, func(s string) {
		f := strings.Fields(s)
		if len(f) < 4 || f[0] != "local" && !strings.HasPrefix(f[0], "host") {
			return
		}
		at, method := "local", f[3]
		if f[0] != "local" {
			if len(f) < 5 {
				return
			}
			at, method = f[3], f[4]
			if len(f) > 5 && strings.Count(f[4], ".") == 3 { // address and mask
				at, method = f[3]+"/"+f[4], f[5]
			}
		}
		line := fmt.Sprintf("%s %s %s %s", f[0], f[1], f[2], at)
		switch method {
		case "trust":
			trust = append(trust, line)
		case "password", "md5":
			clear = append(clear, line+" "+method)
		}
		if method != "reject" && slices.Contains([]string{"0.0.0.0/0", "::/0", "all", "0.0.0.0/0.0.0.0"}, at) {
			wide = append(wide, line)
		}
	})
	h.is("postgresql.trust", file, len(trust) == 0, told(trust, "–"))
	h.is("postgresql.weak-auth", file, len(clear) == 0, told(clear, "–"))
	h.is("postgresql.anywhere", file, len(wide) == 0, told(wide, "–"))
}

// redis checks each configuration of Redis. The password is measured, never told.
func redis(_ context.Context, h *host) {
	for _, p := range []string{"/etc/redis.conf", "/etc/redis/*.conf", "/usr/local/etc/redis.conf", "/etc/valkey/*.conf"} {
		for _, file := range h.glob(p) {
			data, err := h.read(file)
			if err != nil {
				h.cannot("redis.password", file, err)
				continue
			}
			bind, protected, password, acl := []string(nil), "yes", "", false
			is := strings.HasPrefix(path.Base(file), "redis") || strings.HasPrefix(path.Base(file), "valkey")
			lines(data, func(s string) {
				f := strings.Fields(s)
				if len(f) < 2 {
					return
				}
				switch strings.ToLower(f[0]) {
				case "bind":
					bind, is = f[1:], true
				case "protected-mode":
					protected, is = strings.ToLower(f[1]), true
				case "requirepass":
					password = strings.Trim(f[1], `"'`)
				case "user", "aclfile":
					acl = true
				}
			})
			if !is || strings.Contains(path.Base(file), "sentinel") {
				continue
			}
			open := len(bind) == 0
			for _, b := range bind {
				open = open || everywhere(strings.TrimPrefix(b, "-"))
			}
			h.is("redis.password", file, acl || password != "", map[bool]string{true: "acl", false: map[bool]string{true: "requirepass", false: "–"}[password != ""]}[acl])
			if password != "" {
				h.is("redis.password-length", file, len(password) >= 16, map[bool]string{true: "≥ 16", false: "< 16"}[len(password) >= 16])
			}
			h.is("redis.bind", file, !open, "bind "+told(bind, "–"))
			h.is("redis.protected", file, protected == "yes", "protected-mode "+protected)
		}
	}
}
