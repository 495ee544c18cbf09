package simulate

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"
)

// background makes the city's everyday telemetry: what a hall, a portal and
// their administrators leave in logs on an ordinary day. Nothing in it should
// raise more than an informational alert.
type background struct {
	city *City
	rnd  *rand.Rand
	n    int64
	run  string // makes the ids of this run unique
}

// output is where one message goes.
type output struct {
	channel                            string
	host                               *Host
	app, pid, facility, severity, text string
	modern                             bool
	entry                              entry
}

func newBackground(c *City, run string) *background {
	return &background{city: c, rnd: rand.New(rand.NewPCG(uint64(c.Seed), 0xb0)), run: run}
}

var (
	pages  = []string{"/", "/portal/index.html", "/portal/item/list?page=1", "/api/v2/items/11230100MB", "/api/v2/cases/query", "/static/js/app.4f1c.js", "/static/css/main.css", "/login", "/api/v2/appointments", "/favicon.ico", "/api/v2/dict/areas", "/img/banner.png"}
	agents = []string{
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 MicroMessenger/8.0.44",
		"Mozilla/5.0 (Linux; Android 13; HarmonyOS) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/99.0.4844.88 Mobile Safari/537.36",
		"Mozilla/5.0 (X11; Linux aarch64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/90.0.4430.212 Safari/537.36 UOS",
	}
	operators = []string{"ops", "zhangwei", "liming", "yunwei"}
	chores    = []string{"/usr/bin/systemctl status nginx", "/usr/bin/systemctl reload nginx", "/usr/bin/journalctl -u app -n 100", "/usr/bin/df -h", "/usr/bin/tail -n 50 /var/log/syslog"}
	actions   = []string{"submit_case", "query_item", "issue_licence", "sign_document", "verify_seal", "book_appointment", "exchange_record"}
	noisePort = []int{22, 23, 445, 1433, 3389, 5060, 8080, 6379}
)

// next makes one message. About half of the traffic is web access, the rest
// sign-ins, administration, firewalls and the applications' own logs.
func (b *background) next(now time.Time) output {
	b.n++
	switch k := b.rnd.IntN(100); {
	case k < 45:
		return b.web(now)
	case k < 55:
		return b.firewall(now)
	case k < 60:
		return b.signIn()
	case k < 63:
		return b.chore()
	case k < 67:
		return b.cron()
	case k < 85:
		return b.application(now, ChannelElastic)
	default:
		return b.application(now, ChannelLoki)
	}
}

func (b *background) host(role string) *Host {
	h, _ := b.city.pick(role, b.rnd)
	return h
}

// syslog chooses how a device speaks: a device always speaks the same way.
func (b *background) syslog(h *Host, app, pid, facility, severity, text string) output {
	o := output{channel: ChannelTCP, host: h, app: app, pid: pid, facility: facility, severity: severity, text: text}
	o.modern, o.channel = dialect(h)
	return o
}

// dialect is the header and channel a device uses, by its name.
func dialect(h *Host) (modern bool, channel string) {
	sum := 0
	for _, c := range []byte(h.Name) {
		sum += int(c)
	}
	channel = ChannelTCP
	if sum%4 == 0 {
		channel = ChannelUDP
	}
	return sum%2 == 0, channel
}

func (b *background) pid() string { return fmt.Sprint(800 + b.rnd.IntN(60000)) }

func (b *background) web(now time.Time) output {
	page, status, size := pages[b.rnd.IntN(len(pages))], 200, 300+b.rnd.IntN(40000)
	switch k := b.rnd.IntN(100); {
	case k < 8:
		status, size = 304, 0
	case k < 11:
		status, size = 302, 138
	case k < 12:
		status, size = 404, 153
	}
	method := "GET"
	if b.rnd.IntN(6) == 0 {
		method, page = "POST", "/api/v2/cases"
	}
	return b.syslog(b.host(RoleWeb), "nginx", "", "local7", "info", fmt.Sprintf(`%s - - [%s] "%s %s HTTP/1.1" %d %d "https://www.gov.example/" "%s"`,
		citizen(b.rnd), now.Format("02/Jan/2006:15:04:05 -0700"), method, page, status, size, agents[b.rnd.IntN(len(agents))]))
}

func (b *background) firewall(now time.Time) output {
	fw, web := b.host(RoleFirewall), b.host(RoleWeb)
	verdict, port := "ACCEPT", 443
	// Every address on the internet is knocked at all day; each knock here is
	// another visitor's.
	if b.rnd.IntN(5) == 0 {
		verdict, port = "DROP", noisePort[b.rnd.IntN(len(noisePort))]
	}
	return b.syslog(fw, "kernel", "", "kern", "info", fmt.Sprintf("[%d.%06d] FW-FORWARD-%s: IN=wan0 OUT=dmz0 SRC=%s DST=%s LEN=60 TOS=0x00 PREC=0x00 TTL=%d ID=%d DF PROTO=TCP SPT=%d DPT=%d WINDOW=64240 RES=0x00 SYN URGP=0",
		now.Unix()%4_000_000, now.Nanosecond()/1000, verdict, citizen(b.rnd), web.Address, 44+b.rnd.IntN(20), b.rnd.IntN(65536), 1024+b.rnd.IntN(64000), port))
}

func (b *background) signIn() output {
	h, ws := b.host(RoleApp), b.host(RoleAdmin)
	return b.syslog(h, "sshd", b.pid(), "auth", "info", fmt.Sprintf("Accepted publickey for %s from %s port %d ssh2: ED25519 SHA256:9fJx0m1tqVb3sYlRk7nWc2pDz8uGh5aEoTi4yLbKdQw",
		operators[b.rnd.IntN(len(operators))], ws.Address, 49152+b.rnd.IntN(16000)))
}

func (b *background) chore() output {
	who := operators[b.rnd.IntN(len(operators))]
	return b.syslog(b.host(RoleApp), "sudo", "", "authpriv", "notice", fmt.Sprintf("%8s : TTY=pts/%d ; PWD=/home/%s ; USER=root ; COMMAND=%s",
		who, b.rnd.IntN(4), who, chores[b.rnd.IntN(len(chores))]))
}

func (b *background) cron() output {
	return b.syslog(b.host(RoleDB), "CRON", b.pid(), "cron", "info", "(root) CMD (test -x /etc/cron.daily/popularity || run-parts --report /etc/cron.hourly)")
}

func (b *background) application(now time.Time, channel string) output {
	h := b.host(RoleApp)
	level := "info"
	if b.rnd.IntN(40) == 0 {
		level = "warn"
	}
	took := 3 + b.rnd.IntN(400)
	action := actions[b.rnd.IntN(len(actions))]
	o := output{channel: channel, host: h, entry: entry{tenant: h.Tenant, at: now, app: h.System.Service, level: level, host: h.Name}}
	if channel == ChannelLoki {
		o.entry.line = fmt.Appendf(nil, "ts=%s level=%s msg=\"request done\" action=%s case=%d took_ms=%d", now.UTC().Format(time.RFC3339Nano), level, action, 230000000+b.rnd.IntN(999999), took)
		return o
	}
	o.entry.id = fmt.Sprintf("%s-%d", b.run, b.n)
	// A map of texts and numbers always encodes.
	o.entry.line, _ = json.Marshal(map[string]any{
		"@timestamp": now.UTC().Format(time.RFC3339Nano), "message": "request done", "log.level": level,
		"service.name": h.System.Service, "host.name": h.Name, "event.action": action, "event.outcome": "success",
		"event.duration": took * 1_000_000, "client.ip": citizen(b.rnd), "trace.id": fmt.Sprintf("%016x%016x", b.rnd.Uint64(), b.rnd.Uint64()),
	})
	return o
}
