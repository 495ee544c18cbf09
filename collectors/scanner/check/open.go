package check

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net/textproto"
	"strings"
	"time"

	"icewatch/collectors/scanner/discover"
	"icewatch/collectors/scanner/wire"
)

const itemAccess = "MLPS-3 8.1.4.1"

var (
	redisOpen = &Meta{ID: "redis-no-password", Title: "Redis answers without a password", TitleZH: "Redis 未授权访问", Severity: wire.SeverityCritical, CWE: "CWE-306", Item: itemAccess,
		Tags: []string{"redis", "database", "unauth"}, Solution: "Set requirepass or ACL users, bind to the addresses that need it, keep protected-mode on.", SolutionZH: "配置 requirepass 或 ACL 用户,仅绑定必要地址,并保持 protected-mode 开启。"}
	mongoOpen = &Meta{ID: "mongodb-no-password", Title: "MongoDB lists its databases without a password", TitleZH: "MongoDB 未授权访问", Severity: wire.SeverityCritical, CWE: "CWE-306", Item: itemAccess,
		Tags: []string{"mongodb", "database", "unauth"}, Solution: "Turn authorization on (security.authorization: enabled) and bind to the addresses that need it.", SolutionZH: "启用 security.authorization 鉴权,并限制绑定地址。"}
	memcachedOpen = &Meta{ID: "memcached-no-password", Title: "memcached answers without a password", TitleZH: "Memcached 未授权访问", Severity: wire.SeverityHigh, CWE: "CWE-306", Item: itemAccess,
		Tags: []string{"memcached", "database", "unauth"}, Solution: "Bind memcached to the loopback address or use SASL; block port 11211 at the firewall.", SolutionZH: "将 Memcached 绑定到本机地址或启用 SASL,并在防火墙封禁 11211 端口。"}
	zookeeperOpen = &Meta{ID: "zookeeper-four-letter-words", Title: "ZooKeeper tells its environment without a password", TitleZH: "ZooKeeper 未授权访问", Severity: wire.SeverityMedium, CWE: "CWE-306", Item: itemAccess,
		Tags: []string{"zookeeper", "middleware", "unauth"}, Solution: "Limit 4lw.commands.whitelist to what monitoring needs and use ACLs.", SolutionZH: "收紧 4lw.commands.whitelist 并启用 ACL 鉴权。"}
	ftpAnonymous = &Meta{ID: "ftp-anonymous", Title: "FTP lets anyone in", TitleZH: "FTP 允许匿名登录", Severity: wire.SeverityMedium, CWE: "CWE-284", Item: itemAccess,
		Tags: []string{"ftp", "unauth"}, Solution: "Turn anonymous access off (anonymous_enable=NO), or move the files to where they are meant to be public.", SolutionZH: "关闭匿名登录(anonymous_enable=NO),公开文件请改用专门的发布服务。"}
	rsyncOpen = &Meta{ID: "rsync-modules", Title: "rsync lists its modules to anyone", TitleZH: "Rsync 未授权访问", Severity: wire.SeverityMedium, CWE: "CWE-306", Item: itemAccess,
		Tags: []string{"rsync", "unauth"}, Solution: "Set auth users and hosts allow for each module, list = no.", SolutionZH: "为每个模块配置 auth users 与 hosts allow,并设置 list = no。"}
	vncOpen = &Meta{ID: "vnc-no-password", Title: "VNC shows the screen without a password", TitleZH: "VNC 未授权访问", Severity: wire.SeverityCritical, CWE: "CWE-306", Item: itemAccess,
		Tags: []string{"vnc", "remote", "unauth"}, Solution: "Set a password, and let VNC be reached through a tunnel alone.", SolutionZH: "设置访问口令,并仅允许通过加密隧道访问。"}
	telnetOpen = &Meta{ID: "telnet-open", Title: "Telnet is open: passwords travel in clear", TitleZH: "Telnet 明文远程管理端口开放", Severity: wire.SeverityMedium, CWE: "CWE-319", Item: "MLPS-3 8.1.4.1 c)",
		Tags: []string{"telnet", "remote", "cleartext"}, Solution: "Turn Telnet off; use SSH.", SolutionZH: "关闭 Telnet 服务,改用 SSH。"}
	openChecks = []*Meta{redisOpen, mongoOpen, memcachedOpen, zookeeperOpen, ftpAnonymous, rsyncOpen, vncOpen, telnetOpen}
)

// open makes the checks of services that ask for no password.
func (e *Env) open(ctx context.Context, t Target) {
	switch t.Service.Name {
	case "redis":
		if e.wants(redisOpen) {
			if b, err := e.ask(ctx, t, []byte("*1\r\n$4\r\nPING\r\n"), 256); err == nil && bytes.HasPrefix(b, []byte("+PONG")) {
				e.found(redisOpen.Weakness(t, "PING → +PONG"))
			}
		}
	case "mongodb":
		if e.wants(mongoOpen) {
			whole := func(b []byte) bool { return len(b) >= 4 && uint32(len(b)) >= binary.LittleEndian.Uint32(b) }
			b, err := e.askWhole(ctx, t, discover.MongoMessage(discover.MongoCommand("listDatabases")), 64<<10, whole)
			if err == nil && len(b) == 0 { // Before 3.6 it hangs up on this message.
				b, err = e.askWhole(ctx, t, discover.MongoQuery("listDatabases"), 64<<10, whole)
			}
			if err == nil && bytes.Contains(b, []byte("databases\x00")) && bytes.Contains(b, []byte("sizeOnDisk")) {
				e.found(mongoOpen.Weakness(t, "listDatabases → answered"))
			}
		}
	case "memcached":
		if t.Service.Protocol == "tcp" && e.wants(memcachedOpen) {
			if b, err := e.ask(ctx, t, []byte("stats\r\n"), 4096); err == nil && bytes.HasPrefix(b, []byte("STAT pid ")) {
				e.found(memcachedOpen.Weakness(t, "stats → STAT pid …"))
			}
		}
	case "zookeeper":
		if e.wants(zookeeperOpen) {
			if b, err := e.ask(ctx, t, []byte("envi"), 8192); err == nil && bytes.Contains(b, []byte("zookeeper.version=")) {
				e.found(zookeeperOpen.Weakness(t, line(b, "zookeeper.version=")))
			}
		}
	case "ftp":
		if e.wants(ftpAnonymous) {
			e.ftp(ctx, t)
		}
	case "rsync":
		if e.wants(rsyncOpen) {
			b, err := e.askWhole(ctx, t, []byte("@RSYNCD: 31.0\n\n"), 64<<10, func(b []byte) bool { return bytes.Contains(b, []byte("@RSYNCD: EXIT")) })
			if err == nil {
				if modules := rsyncModules(b); modules != "" {
					e.found(rsyncOpen.Weakness(t, modules))
				}
			}
		}
	case "vnc":
		if e.wants(vncOpen) {
			e.vnc(ctx, t)
		}
	case "telnet":
		if e.wants(telnetOpen) {
			e.found(telnetOpen.Weakness(t, "port "+t.Dial()))
		}
	}
}

// rsyncModules are the lines of a listing that name a module: its name in 15 columns, a
// tab, its comment. Others are the message of the day, which is shown to whom no module is.
func rsyncModules(b []byte) string {
	greeting, rest, _ := strings.Cut(string(b), "\n")
	if !strings.HasPrefix(greeting, "@RSYNCD: ") {
		return ""
	}
	var out strings.Builder
	for l := range strings.Lines(rest) {
		if name, _, ok := strings.Cut(l, "\t"); ok && len(name) >= 15 && strings.TrimSpace(name) != "" && !strings.HasPrefix(l, "@") {
			out.WriteString(l)
		}
	}
	return out.String()
}

func line(b []byte, with string) string {
	for l := range strings.Lines(string(b)) {
		if strings.Contains(l, with) {
			return strings.TrimSpace(l)
		}
	}
	return ""
}

func (e *Env) ftp(ctx context.Context, t Target) {
	c, err := e.Dialer.DialBy(ctx, "check", "tcp", t.Dial())
	if err != nil {
		return
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(4 * e.answer()))
	if t.Service.TLS != nil { // From the first byte on, as at port 990.
		over := tls.Client(c, discover.Lenient("", tls.VersionTLS10, tls.VersionTLS13))
		if over.HandshakeContext(ctx) != nil {
			return
		}
		c = over
	}
	p := textproto.NewReader(bufio.NewReader(c))
	say := func(s string) (int, string) {
		if s != "" {
			if _, err := c.Write([]byte(s + "\r\n")); err != nil {
				return 0, ""
			}
		}
		code, text, err := p.ReadResponse(0)
		if err != nil {
			return 0, ""
		}
		return code, text
	}
	if code, _ := say(""); code != 220 {
		return
	}
	code, text := say("USER anonymous")
	if code == 331 {
		code, text = say("PASS scanner@icewatch.invalid")
	}
	if code == 230 {
		_, pwd := say("PWD")
		e.found(ftpAnonymous.Weakness(t, "USER anonymous → 230 "+text+"\nPWD → "+pwd))
	}
	_, _ = say("QUIT")
}

// vnc reads which kinds of security the server offers; 1 is none.
func (e *Env) vnc(ctx context.Context, t Target) {
	c, err := e.Dialer.DialBy(ctx, "check", "tcp", t.Dial())
	if err != nil {
		return
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(2 * e.answer()))
	r := bufio.NewReader(c)
	hello := make([]byte, 12) // "RFB 003.008\n"
	if _, err := io.ReadFull(r, hello); err != nil || !bytes.HasPrefix(hello, []byte("RFB 00")) {
		return
	}
	// Version 3.3 is told one kind by the server, in four bytes; later ones are given a list.
	old := bytes.HasPrefix(hello, []byte("RFB 003.00")) && hello[10] < '7'
	version := "RFB 003.008\n"
	switch {
	case old:
		version = "RFB 003.003\n"
	case bytes.Equal(hello, []byte("RFB 003.007\n")):
		version = string(hello)
	}
	if _, err := c.Write([]byte(version)); err != nil {
		return
	}
	if old {
		kind := make([]byte, 4)
		if _, err := io.ReadFull(r, kind); err == nil && binary.BigEndian.Uint32(kind) == 1 {
			e.found(vncOpen.Weakness(t, "security type None is set"))
		}
		return
	}
	n, err := r.ReadByte()
	if err != nil {
		return
	}
	for range n {
		if kind, err := r.ReadByte(); err == nil && kind == 1 {
			e.found(vncOpen.Weakness(t, "security type None is offered"))
			return
		}
	}
}
