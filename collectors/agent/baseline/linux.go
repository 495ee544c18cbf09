package baseline

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// linux checks accounts, passwords, files of secrets, auditing, the kernel's settings
// and services that send passwords in the clear.
func linux(_ context.Context, h *host) {
	passwd, err := h.read("/etc/passwd")
	if err != nil {
		if !absent(err) {
			h.cannot("linux.uid0", "/etc/passwd", err)
		}
		return // no Linux with accounts, such as a container without any
	}
	var roots []string
	lines(passwd, func(s string) {
		if f := strings.Split(s, ":"); len(f) >= 3 && f[2] == "0" && f[0] != "root" {
			roots = append(roots, f[0])
		}
	})
	h.is("linux.uid0", "/etc/passwd", len(roots) == 0, told(roots, "root"))
	if shadow, err := h.read("/etc/shadow"); err != nil {
		h.cannot("linux.empty-password", "/etc/shadow", err)
	} else {
		var empty []string
		lines(shadow, func(s string) {
			if f := strings.Split(s, ":"); len(f) >= 2 && f[1] == "" {
				empty = append(empty, f[0])
			}
		})
		h.is("linux.empty-password", "/etc/shadow", len(empty) == 0, told(empty, "–"))
	}
	h.mode("linux.shadow-mode", "/etc/shadow", 0o640)
	h.mode("linux.passwd-mode", "/etc/passwd", 0o644)
	if defs, err := h.read("/etc/login.defs"); err == nil {
		set := words(defs)
		days, err := strconv.Atoi(set["pass_max_days"])
		h.is("linux.password-age", "/etc/login.defs", err == nil && days > 0 && days <= 90, "PASS_MAX_DAYS "+unset(set["pass_max_days"]))
		mask, err := strconv.ParseUint(set["umask"], 8, 32)
		h.is("linux.umask", "/etc/login.defs", err == nil && mask&0o027 == 0o027, "UMASK "+unset(set["umask"]))
	} else if !absent(err) {
		h.cannot("linux.password-age", "/etc/login.defs", err)
	}
	h.quality()
	h.lockout()
	h.timeout()
	for _, x := range []struct{ id, path, want string }{
		{"linux.aslr", "kernel/randomize_va_space", "2"}, {"linux.redirects", "net/ipv4/conf/all/accept_redirects", "0"},
		{"linux.source-route", "net/ipv4/conf/all/accept_source_route", "0"}, {"linux.syncookies", "net/ipv4/tcp_syncookies", "1"},
	} {
		data, err := h.read("/proc/sys/" + x.path)
		if err != nil {
			continue // the kernel has no such setting, or hides it in a container
		}
		got := strings.TrimSpace(string(data))
		h.is(x.id, "/proc/sys/"+x.path, got == x.want, strings.ReplaceAll(x.path, "/", ".")+" = "+got)
	}
	running := false
	for _, p := range []string{"/run/auditd.pid", "/var/run/auditd.pid"} {
		if _, err := os.Stat(filepath.Join(h.root, p)); err == nil {
			running = true
		}
	}
	h.is("linux.audit", "", running, map[bool]string{true: "auditd", false: "–"}[running])
	h.clear()
}

// told joins what was found, or says what stands for nothing.
func told(list []string, none string) string {
	if len(list) == 0 {
		return none
	}
	return strings.Join(list[:min(len(list), 20)], ", ")
}

// unset shows that a setting is not there.
func unset(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

// words are settings of the form NAME VALUE, by name in small letters; the last counts.
func words(data []byte) map[string]string {
	out := map[string]string{}
	lines(data, func(s string) {
		if f := strings.Fields(s); len(f) >= 2 {
			out[strings.ToLower(f[0])] = f[1]
		}
	})
	return out
}

func (h *host) mode(id, path string, most os.FileMode) {
	info, err := os.Stat(filepath.Join(h.root, path))
	if err != nil {
		if !absent(err) {
			h.cannot(id, path, h.said(path, err))
		}
		return
	}
	h.is(id, path, info.Mode().Perm()&^most == 0, fmt.Sprintf("%04o", info.Mode().Perm()))
}

// minlen is the least length of a password in a line of PAM.
var minlen = regexp.MustCompile(`\bminlen\s*=\s*(-?[0-9]+)`)

// pam are the files in which passwords are checked, by distribution.
var pam = []string{"/etc/pam.d/common-password", "/etc/pam.d/system-auth", "/etc/pam.d/password-auth", "/etc/pam.d/common-auth", "/etc/pam.d/common-account", "/etc/pam.d/sshd"}

func (h *host) quality() {
	length, where := 0, ""
	for _, p := range append(append([]string{"/etc/security/pwquality.conf"}, h.glob("/etc/security/pwquality.conf.d/*.conf")...), pam...) {
		data, err := h.read(p)
		if err != nil {
			continue
		}
		lines(data, func(s string) {
			if m := minlen.FindStringSubmatch(s); m != nil {
				length, _ = strconv.Atoi(m[1])
				where = p
			}
		})
	}
	found := "minlen –"
	if where != "" {
		found = fmt.Sprintf("minlen %d (%s)", length, where)
	}
	h.is("linux.password-length", "", length >= 8, found)
}

func (h *host) lockout() {
	found := ""
	seen := false
	for _, p := range pam {
		data, err := h.read(p)
		if err != nil {
			continue
		}
		seen = true
		lines(data, func(s string) {
			for _, m := range []string{"pam_faillock.so", "pam_tally2.so", "pam_tally.so"} {
				if strings.Contains(s, m) {
					found = m + " (" + p + ")"
				}
			}
		})
	}
	if seen {
		h.is("linux.lockout", "", found != "", unset(found))
	}
}

// tmout is after how many seconds a shell ends that nobody uses.
var tmout = regexp.MustCompile(`(?:^|[\s;])TMOUT=["']?([0-9]+)`)

func (h *host) timeout() {
	seconds, where := 0, ""
	for _, p := range append([]string{"/etc/profile", "/etc/bash.bashrc", "/etc/bashrc"}, h.glob("/etc/profile.d/*.sh")...) {
		data, err := h.read(p)
		if err != nil {
			continue
		}
		lines(data, func(s string) {
			if m := tmout.FindStringSubmatch(s); m != nil {
				seconds, _ = strconv.Atoi(m[1])
				where = p
			}
		})
	}
	found := "TMOUT –"
	if where != "" {
		found = fmt.Sprintf("TMOUT=%d (%s)", seconds, where)
	}
	h.is("linux.session-timeout", "", seconds > 0 && seconds <= 1800, found)
}

// clear looks for services that send passwords in the clear.
func (h *host) clear() {
	var on []string
	if data, err := h.read("/etc/inetd.conf"); err == nil {
		lines(data, func(s string) {
			switch f := strings.Fields(s); f[0] {
			case "telnet", "shell", "login", "exec", "tftp":
				on = append(on, f[0])
			}
		})
	}
	for _, name := range []string{"telnet", "rsh", "rlogin", "rexec", "tftp"} {
		data, err := h.read("/etc/xinetd.d/" + name)
		if err != nil {
			continue
		}
		off := false
		lines(data, func(s string) {
			if f := strings.Fields(s); len(f) == 3 && f[0] == "disable" && f[2] == "yes" {
				off = true
			}
		})
		if !off {
			on = append(on, name)
		}
	}
	for _, unit := range []string{"telnet.socket", "rsh.socket", "rlogin.socket", "rexec.socket", "tftp.socket"} {
		if _, err := os.Lstat(filepath.Join(h.root, "/etc/systemd/system/sockets.target.wants", unit)); err == nil {
			on = append(on, strings.TrimSuffix(unit, ".socket"))
		}
	}
	h.is("linux.clear-services", "", len(on) == 0, told(on, "–"))
}
