package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// corpus is what is sent: chunks that are rendered beforehand, in which only
// the times are written anew, so that the load generator takes little of the
// machine that it shares with the suite.
type corpus struct {
	chunks []chunk
	said   string
	rules  string // how many are in force
}

// way is an input of the suite.
type way int

const (
	syslogTCP way = iota
	bulk
)

// perChunk is how many events go out at a time.
const perChunk = 250

// chunk are events of one input.
type chunk struct {
	way    way
	tenant int // whose token takes them, for bulk
	text   []byte
	stamps []stamp
}

// stamp is where a time stands in a chunk.
type stamp struct {
	at     int
	layout layout
}

// layout is how a time is written; each has one length.
type layout uint8

const (
	isoTime layout = iota
	bsdTime
	webTime
)

var layouts = [...]string{isoTime: "2006-01-02T15:04:05.000Z", bsdTime: time.Stamp, webTime: "02/Jan/2006:15:04:05 +0000"}

// restamp writes t to all places of times in text. BSD's syslog time is local.
func restamp(text []byte, stamps []stamp, t time.Time) {
	var now [len(layouts)][]byte
	for i, l := range layouts {
		if layout(i) == bsdTime {
			now[i] = t.Local().AppendFormat(nil, l)
		} else {
			now[i] = t.UTC().AppendFormat(nil, l)
		}
	}
	for _, s := range stamps {
		copy(text[s.at:], now[s.layout])
	}
}

// writer renders events of one chunk.
type writer struct {
	chunk
	r *rand.Rand
	c *city
}

// put writes a text in which <iso>, <bsd> and <web> stand for the time.
func (w *writer) put(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	for {
		i := strings.IndexByte(text, '<')
		if i < 0 {
			break
		}
		w.text = append(w.text, text[:i]...)
		text = text[i:]
		l, length := isoTime, len("<iso>")
		switch {
		case strings.HasPrefix(text, "<iso>"):
		case strings.HasPrefix(text, "<bsd>"):
			l = bsdTime
		case strings.HasPrefix(text, "<web>"):
			l = webTime
		default:
			w.text = append(w.text, '<')
			text = text[1:]
			continue
		}
		w.stamps = append(w.stamps, stamp{len(w.text), l})
		w.text = append(w.text, layouts[l]...)
		text = text[length:]
	}
	w.text = append(w.text, text...)
	w.text = append(w.text, '\n')
}

func pick[T any](w *writer, list []T) T { return list[w.r.IntN(len(list))] }

// often draws the first of a list more often than the last, as people, pages
// and addresses come.
func often[T any](w *writer, list []T) T {
	x := w.r.Float64()
	return list[int(x*x*x*float64(len(list)))]
}

// syslogMix are the kinds of lines with their shares of a hundred.
var syslogMix = []struct {
	share int
	name  string
	line  func(w *writer)
}{
	{18, "sshd", (*writer).sshd},
	{4, "sudo", (*writer).sudo},
	{4, "cron", func(w *writer) {
		w.put("<78><bsd> %s CRON[%d]: (root) CMD (run-parts /etc/cron.hourly)", pick(w, w.c.servers).name, w.r.IntN(30_000))
	}},
	{22, "nginx", func(w *writer) { w.web("nginx") }},
	{10, "apache", func(w *writer) { w.web("apache2") }},
	{22, "iptables", (*writer).iptables},
	{20, "key=value", (*writer).keyValue},
}

// outline is the mix for people.
func outline() string {
	var parts []string
	for _, k := range syslogMix {
		parts = append(parts, fmt.Sprintf("%s %d %%", k.name, k.share))
	}
	return strings.Join(parts, ", ")
}

func (w *writer) sshd() {
	h, user, port := pick(w, w.c.servers).name, often(w, w.c.users), 20_000+w.r.IntN(40_000)
	from := pick(w, w.c.servers).address
	switch w.r.IntN(10) {
	case 0:
		// Guesses come from anywhere: none of these addresses guesses often.
		w.put("<38>1 <iso> %s sshd %d - - Failed password for %s from %s port %d ssh2", h, w.r.IntN(30_000), user, pick(w, w.c.outside), port)
	case 1, 2, 3:
		w.put("<38>1 <iso> %s sshd %d - - Accepted publickey for %s from %s port %d ssh2: ED25519 SHA256:%016x", h, w.r.IntN(30_000), user, from, port, w.r.Uint64())
	case 4, 5:
		w.put("<38><bsd> %s sshd[%d]: Connection closed by %s port %d [preauth]", h, w.r.IntN(30_000), pick(w, w.c.outside), port)
	case 6, 7:
		w.put("<38>1 <iso> %s sshd %d - - Disconnected from user %s %s port %d", h, w.r.IntN(30_000), user, from, port)
	default:
		w.put("<86>1 <iso> %s sshd %d - - pam_unix(sshd:session): session opened for user %s(uid=%d) by (uid=0)", h, w.r.IntN(30_000), user, 1000+w.r.IntN(5000))
	}
}

var commands = []string{"/usr/bin/systemctl status nginx", "/usr/bin/journalctl -u app -n 100", "/usr/bin/apt-get update", "/usr/bin/tail -n 50 /var/log/app/app.log", "/usr/bin/df -h"}

func (w *writer) sudo() {
	user := often(w, w.c.users)
	w.put("<86><bsd> %s sudo: %s : TTY=pts/%d ; PWD=/home/%s ; USER=root ; COMMAND=%s", pick(w, w.c.servers).name, user, w.r.IntN(10), user, pick(w, commands))
}

var (
	methods  = []string{"GET", "GET", "GET", "GET", "POST"}
	statuses = []int{200, 200, 200, 200, 200, 200, 204, 302, 304, 404}
	agents   = []string{
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
		"Mozilla/5.0 (Linux; Android 14; V2309A) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/116.0.0.0 Mobile Safari/537.36 MicroMessenger/8.0.50"}
)

func (w *writer) web(program string) {
	w.put(`<190>1 <iso> %s %s - - - %s - - [<web>] "%s /service/%d/item/%d?page=%d&lang=zh HTTP/1.1" %d %d "https://portal.gov.example/service/%d" "%s"`,
		pick(w, w.c.servers).name, program, often(w, w.c.outside), pick(w, methods), w.r.IntN(40), w.r.IntN(5000), w.r.IntN(20), pick(w, statuses), 200+w.r.IntN(50_000), w.r.IntN(40), pick(w, agents))
}

func (w *writer) iptables() {
	from, to := often(w, w.c.outside), pick(w, w.c.servers).address
	w.put("<4><bsd> %s kernel: [%d.%06d] [UFW %s] IN=eth0 OUT=eth1 MAC=52:54:00:12:34:56:52:54:00:65:43:21:08:00 SRC=%s DST=%s LEN=60 TOS=0x00 PREC=0x00 TTL=%d ID=%d DF PROTO=TCP SPT=%d DPT=%d WINDOW=64240 RES=0x00 SYN URGP=0",
		pick(w, w.c.firewalls).name, w.r.IntN(9_000_000), w.r.IntN(1_000_000), pick(w, []string{"ALLOW", "ALLOW", "ALLOW", "BLOCK"}), from, to, 40+w.r.IntN(24), w.r.IntN(65_000), 1024+w.r.IntN(60_000), pick(w, []int{443, 443, 80, 8443}))
}

func (w *writer) keyValue() {
	w.put(`<134>1 <iso> %s seal-sign - - - level=%s msg="request handled" user=%s src_ip=%s method=%s path=/api/v1/seal/%d status=%d duration_ms=%d bytes=%d trace_id=%016x`,
		pick(w, w.c.servers).name, pick(w, []string{"info", "info", "info", "warn"}), often(w, w.c.users), often(w, w.c.outside), pick(w, methods), w.r.IntN(5000), pick(w, statuses), w.r.IntN(900), w.r.IntN(50_000), w.r.Uint64())
}

// application is a document as a log shipper sends it of a JSON log file.
func (w *writer) application() {
	h := w.ofTenant(w.c.servers)
	w.put(`{"create":{}}`+"\n"+`{"@timestamp":"<iso>","log.level":"%s","message":"%s","service.name":"app-%d","trace.id":"%016x%016x","http.request.method":"%s","url.path":"/api/v1/item/%d","http.response.status_code":%d,`+
		`"event.duration":%d,"user.name":"%s","source.ip":"%s","host.name":"%s","process.thread.name":"http-nio-8080-exec-%d","log.logger":"cn.gov.city.%s.Controller"}`,
		pick(w, []string{"INFO", "INFO", "INFO", "WARN", "ERROR"}), pick(w, []string{"request handled", "item saved", "cache miss, loaded from database", "user signed the document"}), w.r.IntN(60), w.r.Uint64(), w.r.Uint64(),
		pick(w, methods), w.r.IntN(5000), pick(w, statuses), w.r.IntN(900_000_000), often(w, w.c.users), often(w, w.c.outside), h.name, 1+w.r.IntN(50), pick(w, []string{"seal", "licence", "portal", "payment"}))
}

// ofTenant draws a host of the chunk's tenant.
func (w *writer) ofTenant(list []host) host {
	for {
		if h := pick(w, list); h.tenant == w.tenant {
			return h
		}
	}
}

// ways is in which order chunks of the inputs go out: six of ten events are
// syslog; half of the documents are Windows events, half application logs.
var ways = [...]way{syslogTCP, bulk, syslogTCP, syslogTCP, bulk, syslogTCP, bulk, syslogTCP, syslogTCP, bulk}

func (b *bench) render(c *city, folder string) (*corpus, error) {
	events, err := b.windowsEvents(folder)
	if err != nil {
		return nil, err
	}
	out := &corpus{rules: events.rules}
	r := rand.New(rand.NewPCG(b.seed, 2))
	size := 0
	for n := range max(len(ways), b.pool/perChunk) {
		w := &writer{chunk: chunk{way: ways[n%len(ways)], tenant: n % len(tenants)}, r: r, c: c}
		for i := range perChunk {
			switch {
			case w.way == bulk && i%2 == 0:
				w.windows(events, b.firing)
			case w.way == bulk:
				w.application()
			default:
				draw := r.IntN(100)
				for _, k := range syslogMix {
					if draw -= k.share; draw < 0 {
						k.line(w)
						break
					}
				}
			}
		}
		size += len(w.text)
		out.chunks = append(out.chunks, w.chunk)
	}
	total := len(out.chunks) * perChunk
	out.said = fmt.Sprintf("%d distinct, %d bytes each; 60 %% syslog over TCP (%s), 20 %% Windows events as winlogbeat sends them (%s), 20 %% JSON of applications",
		total, size/total, outline(), events.said)
	return out, nil
}
