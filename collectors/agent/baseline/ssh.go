package baseline

import (
	"context"
	"path"
	"strconv"
	"strings"
)

// sshDefaults are those of OpenSSH for what is checked.
var sshDefaults = map[string]string{"permitrootlogin": "prohibit-password", "permitemptypasswords": "no", "maxauthtries": "6", "clientaliveinterval": "0", "clientalivecountmax": "3", "ciphers": "", "x11forwarding": "no", "hostbasedauthentication": "no"}

// weakCiphers are those that nobody should speak any more.
var weakCiphers = []string{"3des-cbc", "aes128-cbc", "aes192-cbc", "aes256-cbc", "arcfour", "blowfish-cbc", "cast128-cbc", "rijndael-cbc"}

// ssh checks the SSH server: by what it says is in force, else by its files.
func ssh(ctx context.Context, h *host) {
	const file = "/etc/ssh/sshd_config"
	data, err := h.read(file)
	if err != nil {
		if !absent(err) {
			h.cannot("ssh.root-login", file, err)
		}
		return // no SSH server
	}
	var set map[string]string
	if h.sshd != nil {
		if text, err := h.sshd(ctx); err == nil {
			set = map[string]string{}
			lines(text, func(s string) {
				if k, v, ok := strings.Cut(s, " "); ok && set[k] == "" {
					set[k] = strings.TrimSpace(v)
				}
			})
		}
	}
	if len(set) == 0 {
		set = map[string]string{}
		h.sshFile(data, set, 0)
	}
	get := func(k string) string {
		if v, ok := set[k]; ok {
			return strings.ToLower(v)
		}
		return sshDefaults[k]
	}
	number := func(k string) int { n, _ := strconv.Atoi(get(k)); return n }
	root := get("permitrootlogin")
	h.is("ssh.root-login", file, root == "no", "PermitRootLogin "+root)
	h.is("ssh.empty-passwords", file, get("permitemptypasswords") == "no", "PermitEmptyPasswords "+get("permitemptypasswords"))
	tries := number("maxauthtries")
	h.is("ssh.tries", file, tries > 0 && tries <= 5, "MaxAuthTries "+get("maxauthtries"))
	idle := number("clientaliveinterval")
	h.is("ssh.idle", file, idle > 0 && idle <= 900, "ClientAliveInterval "+get("clientaliveinterval"))
	h.is("ssh.hostbased", file, get("hostbasedauthentication") == "no", "HostbasedAuthentication "+get("hostbasedauthentication"))
	var weak []string
	// A list that begins with a minus takes ciphers away from the default.
	if list := get("ciphers"); !strings.HasPrefix(list, "-") {
		for c := range strings.SplitSeq(strings.TrimLeft(list, "+^"), ",") {
			for _, w := range weakCiphers {
				if c == w || w == "arcfour" && strings.HasPrefix(c, w) || w == "rijndael-cbc" && strings.HasPrefix(c, w) {
					weak = append(weak, c)
				}
			}
		}
	}
	h.is("ssh.ciphers", file, len(weak) == 0, told(weak, "–"))
}

// sshFile reads settings outside of Match, with included files; the first one counts.
func (h *host) sshFile(data []byte, set map[string]string, depth int) {
	match := false
	lines(data, func(s string) {
		f := strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == '\t' || r == '=' })
		if len(f) < 2 || match {
			return
		}
		switch k := strings.ToLower(f[0]); k {
		case "match":
			match = true
		case "include":
			for _, pattern := range f[1:] {
				if !path.IsAbs(pattern) {
					pattern = "/etc/ssh/" + pattern
				}
				for _, p := range h.glob(pattern) {
					if more, err := h.read(p); err == nil && depth < 8 {
						h.sshFile(more, set, depth+1)
					}
				}
			}
		default:
			if _, ok := set[k]; !ok {
				set[k] = strings.Trim(f[1], `"`)
			}
		}
	})
}
