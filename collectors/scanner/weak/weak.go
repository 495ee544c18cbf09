// Package weak tries default and weak passwords, few of them and never more for one
// account than a run allows. Attempts are counted before they are made, over runs
// and restarts. At the first sign that an account or this host is being locked out
// the service is left alone. A password that works is named by what kind it is, and
// masked.
package weak

import (
	"context"
	"strings"
	"time"

	"icewatch/collectors/scanner/check"
	"icewatch/collectors/scanner/scope"
	"icewatch/collectors/scanner/wire"
)

// pair is an account and a password.
type pair struct{ user, password string }

// verdict of an attempt.
type verdict int

const (
	refused    verdict = iota // the password is not it
	accepted                  // it is
	locked                    // a sign of a lock-out: leave the service alone
	impossible                // the service takes no passwords, or does not answer: nothing was tried
	closed                    // this account is not let in by a password; others may be
)

// kind is how passwords of a service are tried.
type kind struct {
	meta  check.Meta
	pairs []pair
	try   func(ctx context.Context, e *Env, t check.Target, p pair) (verdict, string)
}

func meta(service, name, zh string) check.Meta {
	return check.Meta{ID: "weak-password-" + service, Title: "Default or weak password: " + name, TitleZH: zh + " 弱口令", Severity: wire.SeverityHigh, CWE: "CWE-521", Item: "MLPS-3 8.1.4.1 a)",
		Tags: []string{"weak-password", service}, Solution: "Set a long random password for the account, turn default accounts off, and lock accounts after failed attempts.",
		SolutionZH: "修改为高强度口令,停用默认账号,并启用登录失败锁定策略。"}
}

var kinds = map[string]*kind{
	"ssh":        {meta: meta("ssh", "SSH", "SSH"), try: ssh, pairs: []pair{{"root", "root"}, {"root", "123456"}, {"root", "password"}, {"admin", "admin"}, {"admin", "123456"}, {"admin", "admin123"}, {"test", "test"}, {"oracle", "oracle"}, {"postgres", "postgres"}, {"ubuntu", "ubuntu"}}},
	"mysql":      {meta: meta("mysql", "MySQL", "MySQL"), try: mysqlTry, pairs: []pair{{"root", ""}, {"root", "root"}, {"root", "123456"}, {"admin", "admin"}, {"test", "test"}}},
	"postgresql": {meta: meta("postgresql", "PostgreSQL", "PostgreSQL"), try: postgres, pairs: []pair{{"postgres", "postgres"}, {"postgres", "123456"}, {"postgres", "password"}, {"admin", "admin"}}},
	"redis":      {meta: meta("redis", "Redis", "Redis"), try: redis, pairs: []pair{{"", "123456"}, {"", "redis"}, {"", "foobared"}}},
	"ftp":        {meta: meta("ftp", "FTP", "FTP"), try: ftp, pairs: []pair{{"admin", "admin"}, {"ftp", "123456"}, {"root", "root"}, {"test", "test"}, {"admin", "123456"}}},
	"snmp":       {meta: meta("snmp", "SNMP community", "SNMP 团体名"), try: snmp, pairs: []pair{{"", "public"}, {"", "private"}}},
	"http":       {meta: meta("http", "web sign-in", "Web 登录"), try: nil, pairs: []pair{{"admin", "admin"}, {"admin", "123456"}, {"admin", "password"}, {"root", "root"}, {"test", "test"}}},
}

// All are the checks of this package, for lists.
func All() []*check.Meta {
	var out []*check.Meta
	for _, name := range []string{"ssh", "mysql", "postgresql", "redis", "ftp", "snmp", "http"} {
		out = append(out, &kinds[name].meta)
	}
	return out
}

// Env is what attempts are made with.
type Env struct {
	Dialer   *scope.Dialer
	Ledger   *Ledger
	Lockout  wire.Lockout
	Answer   time.Duration // 5 s where it is 0
	Select   check.Selection
	Found    func(wire.Weakness)
	Attempts func(wire.Attempts)
	Note     func(wire.Note)
}

func (e *Env) answer() time.Duration {
	if e.Answer > 0 {
		return e.Answer
	}
	return 5 * time.Second
}

func (e *Env) limits() (int, time.Duration) {
	most, window := e.Lockout.Attempts, e.Lockout.Window
	if most <= 0 {
		most = wire.DefaultAttempts
	}
	if window <= 0 {
		window = wire.DefaultLockout
	}
	return min(most, wire.MostAttempts), time.Duration(window) * time.Second
}

// Service tries the passwords of a service, where it is one that is known.
func (e *Env) Service(ctx context.Context, t check.Target) {
	name := t.Service.Name
	if name == "https" || t.Service.HTTP != nil {
		name = "http"
	}
	k := kinds[name]
	if k == nil || !e.Select.Takes(k.meta.ID, k.meta.Tags) {
		return
	}
	try := k.try
	if name == "http" {
		if try = e.signIn(ctx, t); try == nil {
			return // The site has no place to sign in.
		}
	}
	s := &session{Env: e, t: t, k: k, counts: map[string]*wire.Attempts{}, closed: map[string]bool{}}
	s.all(ctx, try)
}

// session is the attempts on one service.
type session struct {
	*Env
	t      check.Target
	k      *kind
	counts map[string]*wire.Attempts
	order  []string
	closed map[string]bool // accounts that are not tried again
}

// account is where attempts on an account are counted.
func (s *session) account(user string) *wire.Attempts {
	a := s.counts[user]
	if a == nil {
		a = &wire.Attempts{Address: s.t.Address.Unmap().String(), Port: s.t.Service.Port, Service: s.k.meta.Tags[1], Account: user}
		s.counts[user] = a
		s.order = append(s.order, user)
	}
	return a
}

func (s *session) all(ctx context.Context, try func(context.Context, *Env, check.Target, pair) (verdict, string)) {
	defer func() {
		for _, user := range s.order {
			if a := s.counts[user]; s.Attempts != nil && (a.Count > 0 || a.Stopped != "") {
				s.Attempts(*a)
			}
		}
	}()
	most, window := s.limits()
	tried := false
	for _, p := range s.k.pairs {
		if ctx.Err() != nil {
			return
		}
		a := s.account(p.user)
		if a.Stopped != "" || s.closed[p.user] {
			continue
		}
		ok, err := s.Ledger.Take(s.t.Dial()+"/"+s.t.Service.Protocol+"/"+p.user, most, window)
		if err != nil {
			s.note(wire.LevelError, err.Error())
			return
		}
		if !ok {
			a.Stopped = "limit"
			continue
		}
		one, cancel := context.WithTimeout(ctx, 2*time.Minute) // The pace may hold it back; connections have deadlines of their own.
		v, what := try(one, s.Env, s.t, p)
		cancel()
		switch v {
		case impossible:
			if tried { // Servers that count drop connections before they say a word.
				s.note(wire.LevelWarn, "it stopped to answer, so that passwords are no longer tried: "+what)
			}
			return
		case closed:
			s.closed[p.user] = true
			continue
		case locked:
			a.Count++
			a.Stopped = "locked"
			s.note(wire.LevelWarn, "passwords are no longer tried: "+what)
			return
		case refused:
			a.Count++
		case accepted:
			a.Count++
			a.Stopped = "found"
			w := s.k.meta.Weakness(s.t, evidence(p)+"\n"+what)
			s.Found(w)
		}
		tried = true
	}
}

func (s *session) note(level, text string) {
	if s.Note != nil {
		s.Note(wire.Note{Level: level, Target: s.t.Dial(), Text: text})
	}
}

// evidence tells of a password what is needed to find it, and not it.
func evidence(p pair) string {
	what := "***"
	switch {
	case p.password == "":
		what = "(empty)"
	case p.password == p.user:
		what = "as the account's name"
	case strings.Trim(p.password, "0123456789") == "":
		what = "digits in a row (" + p.password[:1] + "***)"
	default:
		what = p.password[:1] + "*** (a default)"
	}
	if p.user == "" {
		return "password: " + what
	}
	return "account " + p.user + ", password: " + what
}

// lockedWords are signs of a lock-out in what services say.
func lockedWords(s string) bool {
	s = strings.ToLower(s)
	for _, w := range []string{"locked", "lock out", "lockout", "too many", "temporarily blocked", "try again later", "captcha", "rate limit", "锁定", "锁住", "验证码", "次数过多", "次数超", "稍后再试"} {
		if strings.Contains(s, w) {
			return true
		}
	}
	return false
}
