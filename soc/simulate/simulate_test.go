package simulate

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"icewatch/tenants"
)

func TestBuiltInStoriesAreSound(t *testing.T) {
	t.Parallel()
	names := StoryNames()
	if len(names) < 4 {
		t.Fatalf("only %v", names)
	}
	for _, name := range names {
		s, err := LoadStory(name)
		if err != nil {
			t.Fatal(err)
		}
		if s.Name != name {
			t.Errorf("%s names itself %s", name, s.Name)
		}
		if s.Expect.Incident != (s.Kind == "attack") {
			t.Errorf("%s is %s and expects an incident: %v", name, s.Kind, s.Expect.Incident)
		}
		for seed := range int64(30) {
			p, err := s.Plan(NewCity(seed, ""))
			if err != nil {
				t.Fatal(err)
			}
			for i := range p.Messages {
				if text, _, _, err := p.Messages[i].Render(time.Now()); err != nil || text == "" || strings.Contains(text, "<no value>") {
					t.Fatalf("%s seed %d: %q, %v", name, seed, text, err)
				}
			}
		}
	}
}

func texts(t *testing.T, p *Plan) []string {
	t.Helper()
	now := time.Unix(1_790_000_000, 0).UTC()
	var out []string
	for i := range p.Messages {
		m := &p.Messages[i]
		text, _, _, err := m.Render(now)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%d %s %s", m.At, m.Host.Name, text))
	}
	return out
}

func TestSeedDecidesTheStory(t *testing.T) {
	t.Parallel()
	s, err := LoadStory("intrusion")
	if err != nil {
		t.Fatal(err)
	}
	plan := func(seed int64) *Plan {
		p, err := s.Plan(NewCity(seed, ""))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if !reflect.DeepEqual(texts(t, plan(7)), texts(t, plan(7))) {
		t.Fatal("one seed gives two stories")
	}
	if reflect.DeepEqual(texts(t, plan(7)), texts(t, plan(8))) {
		t.Fatal("two seeds give one story")
	}
}

// TestIntrusionHoldsWhatRulesLookFor counts what each variant must contain for
// the built-in rules' thresholds.
func TestIntrusionHoldsWhatRulesLookFor(t *testing.T) {
	t.Parallel()
	s, err := LoadStory("intrusion")
	if err != nil {
		t.Fatal(err)
	}
	port := regexp.MustCompile(`DROP|BLOCK`)
	dpt := regexp.MustCompile(`DPT=(\d+)`)
	for seed := range int64(100) {
		p, err := s.Plan(NewCity(seed, ""))
		if err != nil {
			t.Fatal(err)
		}
		ports := map[string]bool{}
		failed, accepted, root, out := 0, 0, 0, 0
		var firstFail, lastFail, success, taken time.Duration
		for i, text := range texts(t, p) {
			at := p.Messages[i].At
			switch {
			case port.MatchString(text):
				ports[dpt.FindStringSubmatch(text)[1]] = true
			case strings.Contains(text, "Failed password"):
				if failed == 0 {
					firstFail = at
				}
				failed, lastFail = failed+1, at
			case strings.Contains(text, "Accepted password"):
				accepted, success = accepted+1, at
			case strings.Contains(text, "USER=root") && !strings.Contains(text, "not allowed"):
				root, taken = root+1, at
			case strings.Contains(text, "ACCEPT:"):
				out++
			}
		}
		if len(ports) < 10 || failed < 10 || accepted != 1 || root != 1 || out < 2 {
			t.Fatalf("seed %d: %d ports, %d failed, %d accepted, %d root, %d out", seed, len(ports), failed, accepted, root, out)
		}
		if lastFail-firstFail > time.Minute || success < lastFail || taken < success {
			t.Fatalf("seed %d: order or pace is wrong", seed)
		}
	}
}

func TestSeedsDoNotShareHostsOrAttackers(t *testing.T) {
	t.Parallel()
	names, addresses, attackers := map[string]int64{}, map[string]int64{}, map[string]int64{}
	taken := map[string]bool{}
	for _, h := range NewCity(0, "").Hosts {
		if h.Role != RoleAttacked {
			taken[h.Address] = true
		}
	}
	for seed := int64(-50); seed < 700; seed++ {
		h := NewCity(seed, "").Attacked
		a := netip.MustParseAddr(h.Address)
		if other, dup := names[h.Name]; dup {
			t.Fatalf("seeds %d and %d share %s", seed, other, h.Name)
		}
		if other, dup := addresses[h.Address]; dup || taken[h.Address] || !a.IsPrivate() {
			t.Fatalf("seed %d has %s, as seed %d", seed, h.Address, other)
		}
		at := outsider(seed, 0)
		if other, dup := attackers[at]; dup {
			t.Fatalf("seeds %d and %d are attacked from %s", seed, other, at)
		}
		names[h.Name], addresses[h.Address], attackers[at] = seed, seed, seed
	}
}

func TestCityUsesTheCataloguesTenants(t *testing.T) {
	t.Parallel()
	for _, s := range NewCity(1, "").Systems {
		data, err := tenants.FS.ReadFile(s.Tenant + "/tenant.yaml")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(data), "zh: "+s.Name+"\n") {
			t.Errorf("tenant %s is not called %s", s.Tenant, s.Name)
		}
	}
}

func TestParseStoryNamesTheFault(t *testing.T) {
	t.Parallel()
	const good = "name: x\nkind: benign\nactors: {h: {role: web}}\nvars: {n: {between: [1, 5]}}\nsteps:\n  - lines: [{device: h, text: 'a {{.n}} {{.h.Address}}'}]\n"
	if _, err := ParseStory("good", []byte(good)); err != nil {
		t.Fatal(err)
	}
	f := func(old, new, want string) {
		t.Helper()
		_, err := ParseStory("bad", []byte(strings.Replace(good, old, new, 1)))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", new, err, want)
		}
	}
	f("kind: benign", "kind: evil", "want attack or benign")
	f("{{.n}}", "{{.m}}", `no entry for key "m"`)
	f("{{.n}}", "{{.n", "step 1")
	f("device: h", "device: g", `device "g"`)
	f("role: web", "role: web, outside: true", "either a role or outside")
	f("between: [1, 5]", "between: [5, 1]", "the smaller first")
	f("between: [1, 5]", "pick: [a], once: [b]", "exactly one of")
	f("steps:", "stepps:", "stepps")
	f("- lines:", "- over: [2s, x]\n    lines:", `"x" is not a length of time`)
	f("- lines:", "- count: [5, 2]\n    lines:", "count [5 2]")
	f("text:", "channel: smoke, text:", `channel "smoke"`)
	if _, err := LoadStory("nope"); err == nil || !strings.Contains(err.Error(), "intrusion") {
		t.Errorf("%v", err)
	}
	own := filepath.Join(t.TempDir(), "own.yml")
	if err := os.WriteFile(own, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadStory(own); err != nil {
		t.Error(err)
	}
}

func FuzzParseStory(f *testing.F) {
	for _, name := range StoryNames() {
		data, _ := embedded.ReadFile("stories/" + name + ".yml")
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ParseStory("fuzz", data)
		if err != nil || len(data) > 4096 {
			return
		}
		for i := range s.Steps {
			if s.Steps[i].Count[1] > 1000 {
				return
			}
		}
		_, _ = s.Plan(NewCity(1, ""))
	})
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 3, 4, 5, 6, 7_000_000, time.UTC)
	if got := string(syslogHeader(true, "auth", "info", "h", "sshd", "12", "x", now)); got != "<38>1 2026-11-03T04:05:06.007000Z h sshd 12 - - x" {
		t.Error(got)
	}
	want := "<4>" + now.Local().Format("Jan _2 15:04:05") + " h kernel: x"
	if got := string(syslogHeader(false, "kern", "warning", "h", "kernel", "", "x", now)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// suite is a stand-in for the server: it counts what comes in.
type suite struct {
	*httptest.Server
	mu      sync.Mutex
	tcp     []string
	udp     int
	ids     map[string]int
	loki    int
	refused int
	tokens  map[string]bool
	host    string
}

func newSuite(t *testing.T) *suite {
	t.Helper()
	s := &suite{ids: map[string]int{}, tokens: map[string]bool{}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(); u.Close() })
	go func() {
		buf := make([]byte, 65536)
		for {
			if _, _, err := u.ReadFrom(buf); err != nil {
				return
			}
			s.mu.Lock()
			s.udp++
			s.mu.Unlock()
		}
	}()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.readTCP(conn)
		}
	}()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v1/auth/login", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `{"token":"session"}`)
	})
	mux.HandleFunc("GET /api/v1/sources", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"items":[{"id":"syslog-tcp","listen":%q,"state":"ok"},{"id":"syslog-udp","listen":":%d","state":"ok"}]}`,
			l.Addr(), u.LocalAddr().(*net.UDPAddr).Port)
	})
	mux.HandleFunc("POST /api/v1/cmdb/import", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if !bytes.Contains(body, []byte("approved-scanner")) {
			t.Error("no approved scanner in the inventory")
		}
		io.WriteString(w, `{"created":60}`)
	})
	mux.HandleFunc("POST /api/v1/tokens", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.tokens["t1"] = true
		s.mu.Unlock()
		io.WriteString(w, `{"id":"t1","token":"shipper","scopes":["ingest"]}`)
	})
	mux.HandleFunc("DELETE /api/v1/tokens/t1", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		delete(s.tokens, "t1")
		s.mu.Unlock()
		w.WriteHeader(204)
	})
	mux.HandleFunc("GET /api/v1/incidents", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"items":[{"id":"INC-1","opened_at":%q,"ci":{"name":%q}},{"id":"INC-2","opened_at":%q,"ci":{"name":"other"}}]}`,
			time.Now().UTC().Format(time.RFC3339), s.host, time.Now().UTC().Format(time.RFC3339))
	})
	mux.HandleFunc("POST /elastic/{index}/_bulk", s.bulk)
	mux.HandleFunc("POST /loki/api/v1/push", func(w http.ResponseWriter, r *http.Request) {
		zip, err := gzip.NewReader(r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		var push struct {
			Streams []struct{ Values [][2]string }
		}
		if err := json.NewDecoder(zip).Decode(&push); err != nil {
			t.Error(err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, st := range push.Streams {
			s.loki += len(st.Values)
		}
		w.WriteHeader(204)
	})
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// bulk refuses the first request as a full bus does, and one document of the
// second.
func (s *suite) bulk(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer shipper" || r.Header.Get("X-Scope-OrgID") == "" {
		w.WriteHeader(401)
		return
	}
	s.refused++
	if s.refused == 1 {
		w.WriteHeader(429)
		return
	}
	lines := bufio.NewScanner(r.Body)
	var items []string
	for n := 0; lines.Scan(); n++ {
		if n%2 == 1 {
			continue
		}
		var action struct {
			Create struct {
				ID string `json:"_id"`
			} `json:"create"`
		}
		if err := json.Unmarshal(lines.Bytes(), &action); err != nil || action.Create.ID == "" {
			w.WriteHeader(400)
			return
		}
		status := 201
		if s.refused == 2 && n == 0 {
			status = 429
		} else {
			s.ids[action.Create.ID]++
		}
		items = append(items, `{"create":{"status":`+strconv.Itoa(status)+`}}`)
	}
	io.WriteString(w, `{"errors":false,"items":[`+strings.Join(items, ",")+`]}`)
}

// readTCP reads either framing.
func (s *suite) readTCP(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	for {
		first, err := r.Peek(1)
		if err != nil {
			return
		}
		msg := ""
		if first[0] == '<' {
			msg, err = r.ReadString('\n')
		} else {
			length, e := r.ReadString(' ')
			n, _ := strconv.Atoi(strings.TrimSpace(length))
			buf := make([]byte, n)
			if err = e; err == nil {
				_, err = io.ReadFull(r, buf)
			}
			msg = string(buf)
		}
		if err != nil {
			return
		}
		s.mu.Lock()
		s.tcp = append(s.tcp, msg)
		s.mu.Unlock()
	}
}

func TestRunSendsWhatItCounts(t *testing.T) {
	t.Parallel()
	for _, seed := range []int64{4, 5} { // one a framing
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			s := newSuite(t)
			s.host = NewCity(seed, "").Attacked.Name
			env := map[string]string{"ICEWATCH_ADMIN_PASSWORD": "x", "HOME": t.TempDir()}
			cmd := Command{URL: s.URL, Seed: seed, Rate: 300, Duration: 3 * time.Second, Story: []string{"all"}, Data: t.TempDir()}
			o, err := cmd.options(context.Background(), func(k string) string { return env[k] })
			if err != nil {
				t.Fatal(err)
			}
			var out, progress bytes.Buffer
			o.Progress = &lockedWriter{w: &progress}
			if err := Run(context.Background(), o, &out); err != nil {
				t.Fatal(err)
			}
			var sum Summary
			if err := json.Unmarshal(out.Bytes(), &sum); err != nil {
				t.Fatal(err)
			}
			s.check(t, sum)
			if len(sum.Stories) != len(StoryNames()) || len(sum.Incidents) != 1 || sum.Incidents[0].ID != "INC-1" {
				t.Errorf("stories %d, incidents %v", len(sum.Stories), sum.Incidents)
			}
			if !strings.Contains(progress.String(), "Incident INC-1 opened") {
				t.Errorf("progress: %s", progress.String())
			}
		})
	}
}

// lockedWriter lets two goroutines tell their progress.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

func (s *suite) check(t *testing.T, sum Summary) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		s.mu.Lock()
		done := int64(len(s.tcp)) == sum.Channels[ChannelTCP].Sent && int64(s.udp) == sum.Channels[ChannelUDP].Sent
		s.mu.Unlock()
		if done || time.Now().After(deadline) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if int64(len(s.tcp)) != sum.Channels[ChannelTCP].Sent || len(s.tcp) == 0 || int64(s.udp) != sum.Channels[ChannelUDP].Sent || s.udp == 0 {
		t.Errorf("TCP %d, UDP %d came of %+v", len(s.tcp), s.udp, sum.Channels)
	}
	bulk, loki := sum.Channels[ChannelElastic], sum.Channels[ChannelLoki]
	if int64(len(s.ids)) != bulk.Sent || *bulk.Acknowledged != bulk.Sent || bulk.Resent == 0 || bulk.Failed != 0 {
		t.Errorf("_bulk: %d came, %d acknowledged of %+v", len(s.ids), *bulk.Acknowledged, bulk)
	}
	for id, n := range s.ids {
		if n != 1 {
			t.Errorf("%s came %d times", id, n)
		}
	}
	if int64(s.loki) != loki.Sent || *loki.Acknowledged != loki.Sent {
		t.Errorf("Loki: %d came of %+v", s.loki, loki)
	}
	if len(s.tokens) != 0 {
		t.Error("the shippers' token was left behind")
	}
	rfc := regexp.MustCompile(`^<\d+>(1 \d{4}-\d\d-\d\dT\S+ \S+ \S+ \S+ - - |[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S+ \S+: )`)
	for _, m := range s.tcp {
		if !rfc.MatchString(m) {
			t.Fatalf("not syslog: %q", m)
		}
	}
}

func TestNoCredentialTellsWhatToDo(t *testing.T) {
	t.Parallel()
	cmd := Command{URL: "http://127.0.0.1:1", Data: t.TempDir(), Story: []string{"intrusion"}}
	home := t.TempDir()
	_, err := cmd.options(context.Background(), func(k string) string { return map[string]string{"HOME": home}[k] })
	if err == nil || !strings.Contains(err.Error(), "make run") || !strings.Contains(err.Error(), "ICEWATCH_TOKEN") {
		t.Fatal(err)
	}
}

func TestReachable(t *testing.T) {
	t.Parallel()
	f := func(listen, want string) {
		if got := reachable(listen, "soc.example"); got != want {
			t.Errorf("%s: %s, want %s", listen, got, want)
		}
	}
	f(":5514", "soc.example:5514")
	f("[::]:5514", "soc.example:5514")
	f("0.0.0.0:5514", "soc.example:5514")
	f("127.0.0.1:5514", "127.0.0.1:5514")
	f("[::1]:5514", "[::1]:5514")
}

func TestSenderGoesOnAfterAnInterruption(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close() // nobody listens at first
	s := &tcpSender{addr: addr, frame: NewlineFramed, log: slog.New(slog.DiscardHandler)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.send(context.Background(), []byte("<13>x"))
	}()
	time.Sleep(50 * time.Millisecond)
	l, err = net.Listen("tcp", addr)
	if err != nil {
		t.Skipf("the port was taken by another process: %v", err)
	}
	defer l.Close()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	<-done
	if err != nil || line != "<13>x\n" || s.sent.Load() != 1 || s.resent.Load() == 0 {
		t.Fatalf("%q %v, sent %d, resent %d", line, err, s.sent.Load(), s.resent.Load())
	}
	s.close()
}
