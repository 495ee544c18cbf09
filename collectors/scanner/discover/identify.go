package discover

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"icewatch/collectors/scanner/scope"
	"icewatch/collectors/scanner/wire"
)

// asking is a question in a service's own protocol, and how its answer is known.
type asking struct {
	name  string
	ports []int // where the service commonly is: there it is asked first
	only  bool  // asked at those ports alone
	send  []byte
	match func(answer []byte, s *wire.Service) bool
}

var (
	redisVersion = regexp.MustCompile(`redis_version:([0-9][0-9.]*)`)
	versionLike  = regexp.MustCompile(`[0-9]+(?:\.[0-9]+)+[A-Za-z0-9.+~-]*`)
)

var askings = []asking{
	{name: "redis", ports: []int{6379, 6380, 7000, 26379}, send: []byte("*1\r\n$4\r\nPING\r\n*2\r\n$4\r\nINFO\r\n$6\r\nserver\r\n"), match: func(b []byte, s *wire.Service) bool {
		if !bytes.HasPrefix(b, []byte("+PONG")) && !bytes.HasPrefix(b, []byte("-NOAUTH")) && !bytes.HasPrefix(b, []byte("-DENIED Redis")) {
			return false
		}
		s.Product = "Redis"
		if m := redisVersion.FindSubmatch(b); m != nil {
			s.Version = string(m[1])
		}
		s.Banner, _, _ = strings.Cut(string(b), "\r\n")
		return true
	}},
	{name: "postgresql", ports: []int{5432, 5433, 54321, 26257}, send: []byte{0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f}, match: func(b []byte, s *wire.Service) bool {
		if len(b) != 1 || b[0] != 'S' && b[0] != 'N' {
			return false
		}
		s.Product = "PostgreSQL"
		return true
	}},
	{name: "memcached", ports: []int{11211}, send: []byte("version\r\n"), match: func(b []byte, s *wire.Service) bool {
		v, ok := bytes.CutPrefix(b, []byte("VERSION "))
		if ok {
			s.Product, s.Version = "memcached", string(bytes.TrimSpace(v))
		}
		return ok
	}},
	{name: "zookeeper", ports: []int{2181, 2182}, only: true, send: []byte("ruok"), match: func(b []byte, s *wire.Service) bool {
		if bytes.HasPrefix(b, []byte("imok")) || bytes.Contains(b, []byte("is not in the whitelist")) {
			s.Product = "Apache ZooKeeper"
			return true
		}
		return false
	}},
	{name: "mongodb", ports: []int{27017, 27018, 27019}, only: true, send: mongoHello(), match: func(b []byte, s *wire.Service) bool {
		if len(b) < 21 || !bytes.Contains(b, []byte("maxWireVersion")) {
			return false
		}
		s.Product = "MongoDB"
		return true
	}},
	// Before 3.6 it knows none but the older message, and hangs up on others.
	{name: "mongodb", ports: []int{27017, 27018, 27019}, only: true, send: MongoQuery("isMaster"), match: func(b []byte, s *wire.Service) bool {
		if len(b) < 36 || binary.LittleEndian.Uint32(b[12:]) != 1 || !bytes.Contains(b, []byte("ismaster\x00")) {
			return false
		}
		s.Product = "MongoDB"
		return true
	}},
	{name: "amqp", ports: []int{5672}, only: true, send: []byte("AMQP\x00\x00\x09\x01"), match: func(b []byte, s *wire.Service) bool {
		return bytes.HasPrefix(b, []byte("AMQP")) || bytes.Contains(b, []byte("cluster_name")) || bytes.Contains(b, []byte("copyright"))
	}},
	{name: "mqtt", ports: []int{1883}, only: true, send: []byte("\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04iwsc"), match: func(b []byte, s *wire.Service) bool {
		return len(b) == 4 && b[0] == 0x20 && b[1] == 2
	}},
	{name: "rdp", ports: []int{3389}, only: true, send: []byte{3, 0, 0, 19, 14, 0xe0, 0, 0, 0, 0, 0, 1, 0, 8, 0, 3, 0, 0, 0}, match: func(b []byte, s *wire.Service) bool {
		return len(b) >= 11 && b[0] == 3 && b[5] == 0xd0
	}},
	{name: "smb", ports: []int{445}, only: true, send: smbNegotiate(), match: func(b []byte, s *wire.Service) bool {
		return len(b) > 8 && bytes.Equal(b[5:8], []byte("SMB"))
	}},
}

// MongoMessage is an OP_MSG of a BSON document.
func MongoMessage(doc []byte) []byte {
	n := 16 + 4 + 1 + len(doc)
	out := []byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24), 1, 0, 0, 0, 0, 0, 0, 0, 0xdd, 7, 0, 0, 0, 0, 0, 0, 0}
	return append(out, doc...)
}

// MongoCommand is a BSON document {name: 1, $db: "admin"}.
func MongoCommand(name string) []byte {
	body := append([]byte{0x10}, name...)
	body = append(body, 0, 1, 0, 0, 0)
	body = append(body, "\x02$db\x00\x06\x00\x00\x00admin\x00\x00"...)
	n := len(body) + 4
	return append([]byte{byte(n), byte(n >> 8), 0, 0}, body...)
}

// MongoQuery is an OP_QUERY of a command on the database admin, as servers before 3.6
// take it: they answer by OP_REPLY.
func MongoQuery(command string) []byte {
	doc := append([]byte{0x10}, command...)
	doc = append(doc, 0, 1, 0, 0, 0, 0)
	out := make([]byte, 20, 64)
	binary.LittleEndian.PutUint32(out[4:], 1)                              // id of the request
	binary.LittleEndian.PutUint32(out[12:], 2004)                          // OP_QUERY; no flags
	out = append(out, "admin.$cmd\x00\x00\x00\x00\x00\xff\xff\xff\xff"...) // none skipped, one document
	out = binary.LittleEndian.AppendUint32(out, uint32(len(doc)+4))
	out = append(out, doc...)
	binary.LittleEndian.PutUint32(out, uint32(len(out)))
	return out
}

func mongoHello() []byte { return MongoMessage(MongoCommand("hello")) }

func smbNegotiate() []byte {
	dialect := []byte("\x02SMB 2.002\x00\x02SMB 2.???\x00")
	b := append([]byte("\xffSMB\x72\x00\x00\x00\x00\x18\x01\x28"), make([]byte, 20)...)
	b = append(b, 0, byte(len(dialect)), 0)
	b = append(b, dialect...)
	return append([]byte{0, 0, 0, byte(len(b))}, b...)
}

// clientFirst are ports where the client speaks first, so that no time is lost on waiting for a banner.
var clientFirst = []int{80, 81, 443, 8000, 8080, 8443, 6379, 5432, 11211, 2181, 27017, 9200, 2375, 2379, 6443, 10250, 3389, 445, 8848, 7001, 9090, 3000, 5601}

// identify finds out what listens, with the connection that is open and, where
// the service does not speak first, with others.
func (h *look) identify(ctx context.Context, c net.Conn, s *wire.Service) {
	if !slices.Contains(clientFirst, s.Port) {
		wait := h.answer / 2
		if b := scope.Read(c, 2048, wait); len(b) > 0 {
			byBanner(b, s)
			return
		}
	}
	var order []asking
	for _, q := range askings {
		if slices.Contains(q.ports, s.Port) {
			order = append(order, q)
		}
	}
	hinted := len(order)
	for i := range order[:hinted] {
		if h.ask(ctx, &order[i], s) {
			return
		}
	}
	if slices.Contains(bannerInTLS, s.Port) && h.tls(ctx, s) {
		h.secureBanner(ctx, s)
		return
	}
	secure := slices.Contains([]int{443, 636, 2376, 6443, 8443, 9443, 10250, 4443}, s.Port)
	if secure && h.tls(ctx, s) {
		h.web(ctx, s)
		return
	}
	if h.web(ctx, s) {
		return
	}
	if !secure && h.tls(ctx, s) {
		h.web(ctx, s)
		return
	}
	for i := range askings {
		if q := &askings[i]; !q.only && !slices.Contains(q.ports, s.Port) && h.ask(ctx, q, s) {
			return
		}
	}
}

// bannerInTLS are ports where a service speaks first, within TLS: SMTP, NNTP, FTP,
// Telnet, IMAP and POP3.
var bannerInTLS = []int{465, 563, 990, 992, 993, 995}

// secureBanner reads what a service says first, within TLS.
func (h *look) secureBanner(ctx context.Context, s *wire.Service) {
	c, err := h.Dialer.DialBy(ctx, "tls", "tcp", h.address(s.Port))
	if err != nil {
		return
	}
	defer reset(c)
	_ = c.SetDeadline(time.Now().Add(2 * h.answer))
	over := tls.Client(c, Lenient("", tls.VersionTLS10, tls.VersionTLS13))
	if over.HandshakeContext(ctx) != nil {
		return
	}
	if b := scope.Read(over, 2048, h.answer); len(b) > 0 {
		byBanner(b, s)
	}
}

func (h *look) address(port int) string { return net.JoinHostPort(h.a.String(), strconv.Itoa(port)) }

func (h *look) ask(ctx context.Context, q *asking, s *wire.Service) bool {
	c, err := h.Dialer.Dial(ctx, "tcp", h.address(s.Port))
	if err != nil {
		return false
	}
	defer reset(c)
	_ = c.SetWriteDeadline(time.Now().Add(h.answer))
	if _, err := c.Write(q.send); err != nil {
		return false
	}
	b := scope.Read(c, 8192, h.answer)
	if q.name == "redis" && bytes.HasPrefix(b, []byte("+PONG")) && !redisVersion.Match(b) {
		b = append(b, scope.Read(c, 8192, h.answer/4)...)
	}
	if len(b) == 0 || !q.match(b, s) {
		return false
	}
	s.Name = q.name
	return true
}

// byBanner reads what a service says first.
func byBanner(b []byte, s *wire.Service) {
	s.Banner = string(b)
	line, _, _ := strings.Cut(string(b), "\n")
	line = strings.TrimSpace(line)
	lower := strings.ToLower(string(b))
	switch {
	case strings.HasPrefix(line, "SSH-"):
		s.Name, s.Banner = "ssh", line
		if _, after, ok := strings.Cut(line[4:], "-"); ok {
			software, _, _ := strings.Cut(after, " ")
			s.Product, s.Version, _ = strings.Cut(software, "_")
		}
	case strings.HasPrefix(line, "220") && strings.Contains(lower, "ftp"):
		s.Name, s.Banner = "ftp", line
		for _, p := range []string{"vsFTPd", "ProFTPD", "Pure-FTPd", "FileZilla Server", "Microsoft FTP Service"} {
			if i := strings.Index(lower, strings.ToLower(p)); i >= 0 {
				s.Product, s.Version = p, versionLike.FindString(string(b)[i:])
			}
		}
	case strings.HasPrefix(line, "220") && (s.Port == 21 || s.Port == 990 || s.Port == 2121):
		s.Name = "ftp"
	case strings.HasPrefix(line, "220"):
		s.Name = "smtp"
		for _, p := range []string{"Postfix", "Exim", "Sendmail", "Microsoft ESMTP"} {
			if i := strings.Index(line, p); i >= 0 {
				s.Product, s.Version = p, versionLike.FindString(line[i:])
			}
		}
	case strings.HasPrefix(line, "+OK"):
		s.Name = "pop3"
	case strings.HasPrefix(line, "* OK"):
		s.Name = "imap"
	case strings.HasPrefix(line, "RFB "):
		s.Name, s.Version = "vnc", strings.TrimPrefix(line, "RFB ")
	case strings.HasPrefix(line, "@RSYNCD:"):
		s.Name = "rsync"
	case len(b) > 5 && b[3] == 0 && b[4] == 10: // The handshake of MySQL, protocol 10.
		s.Name, s.Product = "mysql", "MySQL"
		if end := bytes.IndexByte(b[5:], 0); end > 0 {
			v := string(b[5 : 5+end])
			s.Version = strings.TrimPrefix(v, "5.5.5-") // What MariaDB writes before its own.
			if strings.Contains(v, "MariaDB") {
				s.Product = "MariaDB"
				s.Version, _, _ = strings.Cut(s.Version, "-")
			}
		}
		s.Banner = s.Product + " " + s.Version
	case len(b) > 7 && b[3] == 0 && b[4] == 0xff: // MySQL refuses this host.
		s.Name, s.Product, s.Banner = "mysql", "MySQL", string(b[7:])
	case b[0] == 0xff:
		s.Name = "telnet"
	case strings.HasPrefix(line, "HTTP/"):
		s.Name = "http"
	}
}

// cpes are the names by which products stand in vulnerability libraries.
var cpes = map[string]string{
	"nginx": "f5:nginx", "apache": "apache:http_server", "openssh": "openbsd:openssh", "redis": "redis:redis", "vsftpd": "vsftpd_project:vsftpd", "proftpd": "proftpd:proftpd",
	"mysql": "oracle:mysql", "mariadb": "mariadb:mariadb", "postgresql": "postgresql:postgresql", "memcached": "memcached:memcached", "mongodb": "mongodb:mongodb",
	"microsoft-iis": "microsoft:internet_information_services", "openresty": "openresty:openresty", "lighttpd": "lighttpd:lighttpd", "exim": "exim:exim", "postfix": "postfix:postfix",
	"apache zookeeper": "apache:zookeeper", "tengine": "alibaba:tengine", "jetty": "eclipse:jetty", "dropbear": "dropbear_ssh_project:dropbear_ssh",
}

func cpe(s *wire.Service) string {
	name, ok := cpes[strings.ToLower(s.Product)]
	if !ok {
		return ""
	}
	version := "*"
	if s.Version != "" {
		version = cpeEscape.ReplaceAllString(strings.ToLower(s.Version), `\$0`)
	}
	return "cpe:2.3:a:" + name + ":" + version + ":*:*:*:*:*:*:*"
}

var cpeEscape = regexp.MustCompile(`[^a-z0-9._-]`)
